//! Portable kernels, one file per operator family. They define the right result on every device.
//!
//! Kernels are total: whatever the slices' lengths, they neither panic nor read outside them.

pub mod affine;
pub mod attention;
pub mod binary;
pub mod broadcast;
pub mod cast;
pub mod causal_conv;
pub mod combine;
pub mod compare;
pub mod conv2d;
pub mod cumulate;
pub mod determinant;
pub mod fixed_point;
mod float;
pub mod fourier;
pub mod gather;
pub mod gather_nd;
pub mod heads;
pub mod hybrid;
pub mod indices;
pub mod integer_mat_mul;
pub mod linear;
pub mod linear_attention;
pub mod lookup;
pub mod loss;
pub mod mat_mul;
pub mod n_grams;
pub mod non_max_suppression;
pub mod one_hot;
pub mod pad;
pub mod pool2d;
pub mod quantized_add;
pub mod quantized_compare;
pub mod quantized_conv2d;
pub mod quantized_fully_connected;
pub mod quantized_mat_mul;
pub mod quantized_pool2d;
pub mod quantized_softmax;
pub mod recurrent;
pub mod reduce;
pub mod resize_bilinear;
pub mod reverse_sequence;
pub mod rotary;
pub mod scatter;
pub mod softmax;
pub mod strided;
pub mod top_k;
pub mod transpose;
pub mod transpose_conv2d;
pub mod tree_ensemble;
pub mod triangle;
pub mod unary;
pub mod window;

pub use float::Float;
