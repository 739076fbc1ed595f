//! Portable kernels, one file per operator family. They define the right result on every device.
//!
//! Kernels are total: whatever the slices' lengths, they neither panic nor read outside them.

pub mod binary;
pub mod broadcast;
pub mod cast;
pub mod compare;
pub mod conv2d;
mod float;
pub mod gather;
pub mod lookup;
pub mod mat_mul;
pub mod pad;
pub mod pool2d;
pub mod reduce;
pub mod softmax;
pub mod strided;
pub mod transpose;
pub mod tree_ensemble;
pub mod unary;
pub mod window;

pub use float::Float;
