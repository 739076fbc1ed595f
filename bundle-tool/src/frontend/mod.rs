//! Readers of model formats.

pub mod pickle;
