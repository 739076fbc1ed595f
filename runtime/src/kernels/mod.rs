//! Arithmetic on slices: knows no format and no graph.
//!
//! [`reference`](mod@reference) is portable and defines the right result: it states formula, rounding and saturation.

pub mod reference;
