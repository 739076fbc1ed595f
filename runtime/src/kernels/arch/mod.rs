//! Faster kernels than the reference's, with the same results: `any` for every processor with vectors, and those of one architecture.

pub(super) mod any;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86_64;
