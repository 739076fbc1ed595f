//! Kernels for x86-64.

pub(in crate::kernels) mod forest;
