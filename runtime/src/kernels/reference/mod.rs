//! Portable kernels, one file per operator family. They define the right result on every device.
//!
//! Kernels are total: whatever the slices' lengths, they neither panic nor read outside them.

pub mod affine;
pub mod binary;
pub mod broadcast;
pub mod cast;
pub mod compare;
pub mod conv2d;
pub mod fixed_point;
mod float;
pub mod gather;
pub mod hybrid;
pub mod lookup;
pub mod mat_mul;
pub mod pad;
pub mod pool2d;
pub mod quantized_add;
pub mod quantized_conv2d;
pub mod quantized_fully_connected;
pub mod quantized_pool2d;
pub mod quantized_softmax;
pub mod recurrent;
pub mod reduce;
pub mod softmax;
pub mod strided;
pub mod transpose;
pub mod tree_ensemble;
pub mod unary;
pub mod window;

pub use float::Float;
