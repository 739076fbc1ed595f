//! Compiles bentos.
