//! Which kernel runs: the only place that looks at a processor's features.
//!
//! Programs without an operating system have the reference kernels: they know their processor when they are built, and have
//! neither its features to ask for nor the stack that blocks of rows take.

use super::reference::forest::{Feature, Forest, Node, Value};

/// [`Forest::run`] by the fastest kernel that this processor has.
pub fn forest<F: Feature, N: Node, V: Value>(
    forest: &Forest<'_, F, N, V>,
    features: usize,
    x: &[F],
    columns: &mut [N::Rank],
    seen: &mut [u8],
    out: &mut [V],
) {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if std::arch::is_x86_feature_detected!("avx2") {
        return super::arch::x86_64::forest::run_avx2(forest, features, x, columns, seen, out);
    }
    #[cfg(feature = "std")]
    super::arch::any::forest::run(forest, features, x, columns, seen, out);
    #[cfg(not(feature = "std"))]
    forest.run(features, x, columns, seen, out);
}
