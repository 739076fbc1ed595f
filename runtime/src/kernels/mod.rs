//! Arithmetic on slices: knows no format and no graph.
//!
//! [`reference`](mod@reference) is portable and defines the right result: it states formula, rounding and saturation. `arch` has faster
//! kernels with the same results, which [`select`] chooses between.

#[cfg(feature = "std")]
mod arch;
pub mod reference;
pub mod select;
