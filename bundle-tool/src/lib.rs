//! Compiles BentoML bentos into memory-mapped artifacts for `ekiben-runtime`.

pub mod audio;
pub mod bundle;
pub mod cli;
pub mod compile;
pub mod frontend;
pub mod graph;
pub mod lowered;
pub mod package;
pub mod passes;
pub mod planner;
pub mod python;
pub mod service;
pub mod target;
pub mod verify;
pub mod writer;
