//! Compiles bentos.

pub mod bundle;
pub mod frontend;
pub mod service;
