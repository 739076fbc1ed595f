//! Forests on x86-64: the block kernel compiled for AVX2.
#![allow(unsafe_code, reason = "instructions that a processor may lack; select.rs has asked for them")]

use super::super::any::forest::{Block, block_of};
use crate::kernels::reference::forest::{Feature, Value};

/// [`super::super::any::forest::block`] with AVX2, which the processor must have.
pub(in crate::kernels) fn avx2<F: Feature, V: Value>(block: Block<'_, F, V>) {
    #[target_feature(enable = "avx2")]
    fn compiled<F: Feature, V: Value>(block: Block<'_, F, V>) {
        block_of(block);
    }
    // SAFETY: select.rs names this kernel only where the processor has AVX2.
    unsafe { compiled(block) }
}
