//! Spectra of overlapping frames, bands of them, and their cosine transforms.

use std::f64::consts::{PI, TAU};

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::short_fourier::ShortFourier;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::{AudioError, Bands, MAX_LENGTH, constant, samples};
use crate::graph::{Graph, TensorId};

/// How a signal is cut into frames, and what each is multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Samples between the beginnings of frames.
    pub step: usize,
    /// Weights of a frame's samples: as many as the transform is long.
    pub window: Vec<f64>,
    /// What stands around the signal, half a transform on each side, so that frame `t` is centred on sample `t * step`.
    pub centred: Option<PadMode>,
}

impl Frames {
    /// A window in the middle of a transform of `length` samples (librosa's `pad_center`).
    ///
    /// # Errors
    /// A window longer than the transform.
    pub fn in_the_middle(window: &[f64], length: usize) -> Result<Vec<f64>, AudioError> {
        let left = length.checked_sub(window.len()).filter(|_| length <= MAX_LENGTH);
        let Some(rest) = left else {
            let problem = format!("a window of {} samples in a transform of {length}", window.len());
            return Err(AudioError::option(problem));
        };
        let mut values = vec![0.0; length];
        values[rest / 2..rest / 2 + window.len()].copy_from_slice(window);
        Ok(values)
    }
}

/// `exp(-2 pi i k / length)` for each k: real and imaginary parts, which the runtime's transforms take.
pub fn twiddles(length: usize) -> Vec<f64> {
    let angles = (0..length).map(|k| -TAU * k as f64 / length as f64);
    angles.flat_map(|angle| [angle.cos(), angle.sin()]).collect()
}

/// A signal as `[rows, samples, 1]`, one row where it has no axis before its samples; and its number of axes.
pub(super) fn as_rows(graph: &mut Graph, signal: TensorId) -> Result<(TensorId, usize), AudioError> {
    let shape = graph.shape(signal);
    let dims: Vec<usize> = shape.factors().iter().map(|&factor| factor as usize).collect();
    let rows = match dims[..] {
        [samples] => reshaped(graph, signal, &[1, samples, 1], None)?,
        [rows, samples] => reshaped(graph, signal, &[rows, samples, 1], shape.batch_axis())?,
        _ => return Err(AudioError::option("a signal has one axis, or rows of samples")),
    };
    Ok((rows, dims.len()))
}

/// The same elements, with other axes.
pub(super) fn reshaped(
    graph: &mut Graph,
    x: TensorId,
    dims: &[usize],
    batch: Option<usize>,
) -> Result<TensorId, AudioError> {
    let shape = Shape::new(dims, batch).map_err(|error| AudioError::option(format!("{error}")))?;
    let spec = TensorSpec::new(graph.spec(x).dtype, shape);
    Ok(graph.add_declared("frames", Reshape, &[x], spec)?)
}

/// A signal with elements added before and after its samples.
fn padded(
    graph: &mut Graph,
    signal: TensorId,
    mode: PadMode,
    [before, after]: [usize; 2],
) -> Result<TensorId, AudioError> {
    let rank = graph.shape(signal).rank();
    let mut table = vec![0i32; 2 * rank];
    table[rank - 1] = before as i32;
    table[2 * rank - 1] = after as i32;
    let table = graph.add_constant("padding", DType::I32, &[2, rank], &table)?;
    Ok(graph.add("padding", Pad { mode }, &[signal, table])?)
}

/// A signal with `count` zeros behind its samples.
///
/// # Errors
/// A signal of another shape.
pub fn zeros_behind(graph: &mut Graph, signal: TensorId, count: usize) -> Result<TensorId, AudioError> {
    samples(graph, signal)?;
    padded(graph, signal, PadMode::Constant, [0, count])
}

/// Spectra `[…, frames, length / 2 + 1, 2]` of a signal's frames: real and imaginary parts, the transform as long as the window.
///
/// `frames = (samples - length) / step + 1`, of the padded samples where frames are centred.
///
/// # Errors
/// A signal of another shape, or shorter than a frame; lengths out of range.
pub fn spectrum(graph: &mut Graph, signal: TensorId, frames: &Frames) -> Result<TensorId, AudioError> {
    let length = frames.window.len();
    if !(1..=MAX_LENGTH).contains(&length) || !(1..=MAX_LENGTH).contains(&frames.step) {
        let problem = format!("frames of {length} samples every {} are not supported", frames.step);
        return Err(AudioError::option(problem));
    }
    let given = samples(graph, signal)?;
    let signal = match frames.centred {
        Some(PadMode::Reflect) if given <= length / 2 => {
            let problem = format!("{given} samples are not reflected over {}", length / 2);
            return Err(AudioError::option(problem));
        }
        Some(mode) => padded(graph, signal, mode, [length / 2; 2])?,
        None => signal,
    };
    let long = samples(graph, signal)?;
    if long < length {
        return Err(AudioError::option(format!("{given} samples are less than a frame of {length}")));
    }
    let (rows, rank) = as_rows(graph, signal)?;
    let twiddles = constant(graph, "twiddles", signal, &[length, 2], &twiddles(length))?;
    let window = constant(graph, "window", signal, &[length], &frames.window)?;
    let op = ShortFourier { step: frames.step as u32, onesided: true };
    let spectra = graph.add("spectrum", op, &[rows, twiddles, window])?;
    if rank > 1 {
        return Ok(spectra);
    }
    let count = graph.shape(spectra).factor(1).unwrap_or(0);
    reshaped(graph, spectra, &[count, length / 2 + 1, 2], None)
}

/// Frames `[…, frames, length]` of a signal, one every `step` samples; with `centred`, half a frame stands around it on each side.
///
/// # Errors
/// As [`spectrum`].
pub fn framed(
    graph: &mut Graph,
    signal: TensorId,
    length: usize,
    step: usize,
    centred: Option<PadMode>,
) -> Result<TensorId, AudioError> {
    let signal = match centred {
        Some(mode) => padded(graph, signal, mode, [length / 2; 2])?,
        None => signal,
    };
    let long = samples(graph, signal)?;
    let Some(count) = long.checked_sub(length).and_then(|rest| rest.checked_div(step)).map(|steps| steps + 1) else {
        return Err(AudioError::option(format!("{long} samples are less than a frame of {length}")));
    };
    if count.saturating_mul(length) > 1 << 26 {
        return Err(AudioError::option(format!("{count} frames of {length} samples are too many")));
    }
    let starts = (0..count).map(|frame| frame * step);
    let places: Vec<i32> = starts.flat_map(|start| (start..start + length).map(|at| at as i32)).collect();
    let places = graph.add_constant("places", DType::I32, &[count, length], &places)?;
    let axis = graph.shape(signal).rank() - 1;
    Ok(graph.add("frames", Gather { axis: axis as u8 }, &[signal, places])?)
}

/// Squared magnitudes of complex numbers, whose parts stand on the last axis.
///
/// # Errors
/// A tensor without axes.
pub fn power(graph: &mut Graph, spectra: TensorId) -> Result<TensorId, AudioError> {
    let Some(last) = graph.shape(spectra).rank().checked_sub(1) else {
        return Err(AudioError::option("one number is not complex"));
    };
    let op = Reduce { kind: ReduceKind::SumSquare, axes: 1 << last, keep: false };
    Ok(graph.add("power", op, &[spectra])?)
}

/// Magnitudes of complex numbers, whose parts stand on the last axis.
///
/// # Errors
/// As [`power`].
pub fn magnitude(graph: &mut Graph, spectra: TensorId) -> Result<TensorId, AudioError> {
    let power = power(graph, spectra)?;
    Ok(graph.add("magnitude", Unary::of(UnaryKind::Sqrt), &[power])?)
}

/// Sums `[…, bands]` of spectra `[…, bins]`, weighted by bands. The weights are rounded to 32 bits, as librosa and TensorFlow have them.
///
/// # Errors
/// Bands that do not fit the spectra, and those of [`Bands::weights`].
pub fn bands(graph: &mut Graph, spectra: TensorId, bands: &Bands) -> Result<TensorId, AudioError> {
    let weights: Vec<f64> = bands.weights()?.into_iter().map(|weight| f64::from(weight as f32)).collect();
    let weights = constant(graph, "bands", spectra, &[bands.bins, bands.bands], &weights)?;
    Ok(graph.add("bands", MatMul { transpose_b: false }, &[spectra, weights])?)
}

/// The first `count` coefficients of the cosine transform (DCT-II) of the last axis: `2 sum_n x[n] cos(pi k (2n + 1) / (2N))`, times
/// `scale(k, N)`.
///
/// # Errors
/// More coefficients than elements.
pub fn cosine_transform(
    graph: &mut Graph,
    x: TensorId,
    count: usize,
    scale: impl Fn(usize, usize) -> f64,
) -> Result<TensorId, AudioError> {
    let length = graph.shape(x).factors().last().map_or(0, |&factor| factor as usize);
    if count == 0 || count > length || length > 4096 {
        return Err(AudioError::option(format!("{count} coefficients of {length} bands are not supported")));
    }
    let angle = |n: usize, k: usize| PI * k as f64 * (2 * n + 1) as f64 / (2 * length) as f64;
    let matrix: Vec<f64> = (0..length)
        .flat_map(|n| (0..count).map(move |k| (n, k)))
        .map(|(n, k)| 2.0 * angle(n, k).cos() * scale(k, length))
        .collect();
    let matrix = constant(graph, "cosines", x, &[length, count], &matrix)?;
    Ok(graph.add("cosine transform", MatMul { transpose_b: false }, &[x, matrix])?)
}

/// `x` combined with a constant number.
pub(super) fn with_number(
    graph: &mut Graph,
    kind: BinaryKind,
    x: TensorId,
    number: f64,
) -> Result<TensorId, AudioError> {
    let number = constant(graph, "number", x, &[], &[number])?;
    Ok(graph.add("decibels", Binary { kind }, &[x, number])?)
}
