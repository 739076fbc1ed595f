//! Runs artifacts on devices with an operating system: the library behind `ekiben-edge`, and behind the same verbs of `ekiben`.

pub mod adapter;
pub mod arena_map;
pub mod bench;
pub mod cli;
pub mod http;
pub mod image;
pub mod inspect;
pub mod output_file;
pub mod score;
