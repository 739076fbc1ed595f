//! Compiles bentos.

pub mod bundle;
