//! Features of sound as graph operators: short Fourier transforms, mel bands, decibels, cosine transforms, resampling.
//!
//! A signal is a float tensor `[samples]` or `[B, samples]` whose length is known; every function keeps the leading axis. What depends
//! only on options (windows, bands, filters) is computed while compiling, in 64 bits, and stands in the artifact as a constant of the
//! signal's type.

mod decibel;
mod mel;
mod resample;
mod spectrum;
mod window;

use ekiben_runtime::DType;

use crate::graph::{ConstantError, Graph, GraphError, TensorId};

pub use decibel::{Decibels, Reference, decibels};
pub use mel::{Bands, MelNorm, MelScale};
pub use resample::{Resampling, resample};
pub use spectrum::{Frames, bands, cosine_transform, framed, magnitude, power, spectrum, twiddles, zeros_behind};
pub use window::{Taper, Window};

/// The longest transform, window and filter, in samples.
pub const MAX_LENGTH: usize = 1 << 16;

/// Why features cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AudioError {
    /// An option is out of its range, or does not fit the signal.
    #[error("{0}")]
    Option(String),
    /// A node does not fit its operands.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A constant does not fit its shape.
    #[error(transparent)]
    Constant(#[from] ConstantError),
}

impl AudioError {
    fn option(problem: impl Into<String>) -> Self {
        Self::Option(problem.into())
    }
}

/// A constant of the type of `like`, which is f32 or f64.
fn constant(
    graph: &mut Graph,
    name: &str,
    like: TensorId,
    dims: &[usize],
    values: &[f64],
) -> Result<TensorId, AudioError> {
    let added = match graph.spec(like).dtype {
        DType::F64 => graph.add_constant(name, DType::F64, dims, values),
        _ => {
            let narrow: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            graph.add_constant(name, DType::F32, dims, &narrow)
        }
    };
    Ok(added?)
}

/// Length of a signal's last axis, which does not depend on the request.
fn samples(graph: &Graph, signal: TensorId) -> Result<usize, AudioError> {
    let shape = graph.shape(signal);
    let last = shape.rank().checked_sub(1).filter(|&last| last < 2 && !shape.is_batch(last));
    if !matches!(graph.spec(signal).dtype, DType::F32 | DType::F64) {
        return Err(AudioError::option("a signal is of floats. Convert it with `astype`"));
    }
    let length = last.and_then(|last| shape.factor(last));
    length.ok_or_else(|| AudioError::option("a signal has one axis of a known length, and at most one before it"))
}
