//! Fourier transforms, and constants for sound that are computed while the model is compiled.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::fourier::Fourier;
use ekiben_runtime::ops::short_fourier::ShortFourier;

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::tensor;
use crate::audio::{self, MAX_LENGTH, Taper, Window};
use crate::graph::TensorId;

/// A scalar input that must be known.
fn scalar(call: &Call<'_>, index: usize) -> Result<i64, Refusal> {
    match call.integers(index)?.as_slice() {
        &[value] => Ok(value),
        values => Err(Refusal(format!("input {index} has {} elements instead of one", values.len()))),
    }
}

/// A scalar input that is a length within bounds.
fn length(call: &Call<'_>, index: usize) -> Result<usize, Refusal> {
    let value = scalar(call, index)?;
    let length = usize::try_from(value).ok().filter(|&length| (1..=MAX_LENGTH).contains(&length));
    length.ok_or_else(|| Refusal(format!("input {index} is {value}; lengths from 1 to {MAX_LENGTH} are supported")))
}

/// Cosine and sine of `-2 pi k / length` for each k.
fn twiddles(call: &mut Call<'_>, like: TensorId, length: usize) -> Result<TensorId, Refusal> {
    if !(1..=MAX_LENGTH).contains(&length) {
        return Err(Refusal(format!("a transform of {length} elements; 1 to {MAX_LENGTH} are supported")));
    }
    call.computed(call.dtype(like), &[length, 2], &audio::twiddles(length))
}

pub(super) fn dft(call: &mut Call<'_>) -> Lowered {
    let inverse = call.attributes.flag("inverse", false)?;
    let onesided = call.attributes.flag("onesided", false)?;
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let axis = match call.version {
        ..20 => call.attributes.int("axis")?.unwrap_or(1),
        _ if call.has(2) => scalar(call, 2)?,
        _ => -2,
    };
    let axis = call.axis(axis, shape.rank())?;
    let stored = shape.factor(axis).filter(|_| !shape.is_batch(axis)).ok_or("the transformed axis is the batch")?;
    let length = match call.has(1) {
        true => length(call, 1)?,
        false if inverse && onesided => stored.saturating_sub(1) * 2,
        false => stored,
    };
    let table = twiddles(call, x, length)?;
    one(call.add(Fourier { axis: axis as u8, inverse, onesided }, &[x, table])?)
}

pub(super) fn stft(call: &mut Call<'_>) -> Lowered {
    let onesided = call.attributes.flag("onesided", true)?;
    let (x, window) = (call.tensor(0)?, call.optional(2)?);
    let step = length(call, 1)? as u32;
    let frame = match (call.has(3), window) {
        (true, _) => length(call, 3)?,
        (false, Some(window)) => call.shape(window).factor(0).unwrap_or(0),
        (false, None) => call.shape(x).factor(1).unwrap_or(0),
    };
    let table = twiddles(call, x, frame)?;
    let mut inputs = vec![x, table];
    inputs.extend(window);
    one(call.add(ShortFourier { step, onesided }, &inputs)?)
}

/// A constant of the type that `output_datatype` names, f32 unless stated.
fn put(call: &mut Call<'_>, dims: &[usize], values: &[f64]) -> Lowered {
    let dtype = tensor::dtype(i32::try_from(call.attributes.int("output_datatype")?.unwrap_or(1)).unwrap_or(0))?;
    let stored = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let result = call.computed(stored, dims, values)?;
    if dtype == stored { one(result) } else { one(call.add(Cast { to: dtype }, &[result])?) }
}

/// A window of the length that input 0 says.
fn window(call: &mut Call<'_>, taper: Taper) -> Lowered {
    let length = length(call, 0)?;
    let periodic = call.attributes.flag("periodic", true)?;
    if length == 1 && !periodic {
        return Err("a window of one element with periodic=0 is not defined".into());
    }
    let window = Window { taper, length, period: if periodic { length } else { length - 1 } };
    let values = window.values().map_err(|error| Refusal(error.to_string()))?;
    put(call, &[length], &values)
}

pub(super) fn hann(call: &mut Call<'_>) -> Lowered {
    window(call, Taper::Hann)
}

pub(super) fn hamming(call: &mut Call<'_>) -> Lowered {
    window(call, Taper::ExactHamming)
}

pub(super) fn blackman(call: &mut Call<'_>) -> Lowered {
    window(call, Taper::Blackman)
}

/// Triangles on the mel scale: `[dft_length / 2 + 1, num_mel_bins]`.
pub(super) fn mel_weights(call: &mut Call<'_>) -> Lowered {
    let (bands, transform) = (length(call, 0)?, length(call, 1)?);
    let rate = sample_rate(call)?;
    let bins = transform / 2 + 1;
    let mut edges = [0.0f64; 2];
    for (index, edge) in edges.iter_mut().enumerate() {
        let input = call.tensor(3 + index)?;
        match call.constant_floats(input).as_deref() {
            Some(&[hertz]) => *edge = 2595.0 * (hertz / 700.0).ln_1p() / std::f64::consts::LN_10,
            _ => return Err(Refusal(format!("input {} must be a number that is known", 3 + index))),
        }
    }
    let step = (edges[1] - edges[0]) / (bands + 2) as f64;
    let corner = |number: usize| {
        let mel = edges[0] + step * number as f64;
        let hertz = 700.0 * (mel / 2595.0 * std::f64::consts::LN_10).exp_m1();
        let bin = ((transform + 1) as f64 * hertz / rate).floor();
        (bin >= 0.0 && bin <= bins as f64).then_some(bin as usize)
    };
    let corners = (0..bands + 2).map(corner).collect::<Option<Vec<usize>>>();
    let corners = corners.ok_or("the edges in hertz lie outside the spectrum")?;
    let elements = bins.checked_mul(bands).filter(|&elements| elements <= MAX_LENGTH * 64);
    let mut weights = vec![0.0f64; elements.ok_or("the matrix is too large")?];
    for (band, corners) in corners.windows(3).enumerate() {
        let &[low, centre, high] = corners else { continue };
        if low > centre || centre > high || centre >= bins {
            return Err("the edges in hertz do not rise within the spectrum".into());
        }
        let mut set = |bin: usize, weight: f64| {
            if let Some(slot) = weights.get_mut(bin * bands + band) {
                *slot = weight;
            }
        };
        if low == centre {
            set(centre, 1.0);
        }
        (low..=centre).filter(|_| low < centre).for_each(|bin| set(bin, (bin - low) as f64 / (centre - low) as f64));
        (centre..high).for_each(|bin| set(bin, (high - bin) as f64 / (high - centre) as f64));
    }
    put(call, &[bins, bands], &weights)
}

fn sample_rate(call: &Call<'_>) -> Result<f64, Refusal> {
    let rate = scalar(call, 2)?;
    if rate > 0 { Ok(rate as f64) } else { Err(Refusal(format!("input 2, the sample rate, is {rate}"))) }
}
