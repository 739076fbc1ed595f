//! Runs Ekiben artifacts (`.ekb`) on devices with or without an operating system.
//!
//! The crate is `no_std` and allocates nothing unless feature `std` (or `alloc`, for writing artifacts) is on.
//! An artifact is checked once by [`Artifact::parse`]; after that an [`Executor`] on an arena that the caller
//! provides runs it without a panic, a heap or an access outside its bounds.
//!
//! ```
//! use ekiben_runtime::{Artifact, Executor};
//!
//! fn classify(model: &[u8], arena: &mut [u8], features: &[f32]) -> Option<f32> {
//!     let artifact = Artifact::parse(model).ok()?;
//!     let api = artifact.api_index("predict")?;
//!     let mut executor = Executor::new(&artifact, api, 1, arena).ok()?;
//!     executor.input_mut::<f32>(0).ok()?.copy_from_slice(features);
//!     executor.run().ok()?;
//!     executor.output::<f32>(0).ok()?.first().copied()
//! }
//! ```
//!
//! Layers depend one way: `bytes`, `tensor` ← `kernels` ← `ops` ← `artifact` ← `executor` ← `session`.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod artifact;
pub mod bytes;
pub mod executor;
pub mod kernels;
pub mod ops;
#[cfg(feature = "std")]
pub mod session;
pub mod tensor;

pub use artifact::{Artifact, LoadError};
pub use executor::{Error, Executor};
pub use ops::{KernelSet, Op};
#[cfg(feature = "std")]
pub use session::Session;
pub use tensor::{DType, Dims, Shape, TensorSpec};

/// Bytes aligned to 64, as an artifact linked into a program must be. Made by [`include_artifact!`].
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Aligned<T: ?Sized>(
    /// The aligned value.
    pub T,
);

/// Includes an artifact file as a `&'static [u8]` with the alignment that [`Artifact::parse`] needs.
#[macro_export]
macro_rules! include_artifact {
    ($path:expr) => {{
        static ALIGNED: &$crate::Aligned<[u8]> = &$crate::Aligned(*include_bytes!($path));
        &ALIGNED.0
    }};
}
