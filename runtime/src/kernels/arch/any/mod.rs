//! Kernels that compilers vectorise, for processors with an operating system.

pub(in crate::kernels) mod forest;
