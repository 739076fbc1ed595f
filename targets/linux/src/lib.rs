//! Device programs.
