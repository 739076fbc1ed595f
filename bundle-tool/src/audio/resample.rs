//! Resampling by a rational factor.

use std::f64::consts::PI;

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::conv2d::Clamp;
use ekiben_runtime::ops::conv_nd::{ConvNd, Direction};
use ekiben_runtime::ops::slice::Slice;

use super::spectrum::{as_rows, reshaped};
use super::{AudioError, MAX_LENGTH, constant, samples};
use crate::graph::{Graph, TensorId};

/// A change of the sample rate by `up / down`, as SciPy's `resample_poly` makes it: a filter of `20 max(up, down) + 1` taps, the ideal
/// low-pass under a Kaiser window (beta 5), with zeros around the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resampling {
    up: usize,
    down: usize,
}

/// Taps on each side of the middle, for each unit of the larger factor.
const HALF: usize = 10;
/// Shape of the Kaiser window.
const BETA: f64 = 5.0;

impl Resampling {
    /// From one sample rate to another, in lowest terms.
    ///
    /// # Errors
    /// Rates of zero, or with so little in common that the filter would be too long.
    pub fn new(from: usize, to: usize) -> Result<Self, AudioError> {
        let common = gcd(from, to);
        let (Some(up), Some(down)) = (to.checked_div(common), from.checked_div(common)) else {
            return Err(AudioError::option(format!("{from} and {to} samples per second are no rates")));
        };
        if up == 0 || down == 0 || up.max(down).saturating_mul(2 * HALF) >= MAX_LENGTH {
            return Err(AudioError::option(format!("rates of {from} and {to} have too little in common to resample")));
        }
        Ok(Self { up, down })
    }

    /// Samples that come of `samples`.
    pub fn length(self, samples: usize) -> usize {
        samples.saturating_mul(self.up).div_ceil(self.down)
    }

    /// The filter, `20 max(up, down) + 1` taps that add up to `up`.
    fn taps(self) -> Vec<f64> {
        let largest = self.up.max(self.down);
        let half = HALF * largest;
        let cutoff = 1.0 / largest as f64;
        let tap = |n: usize| {
            let m = n as f64 - half as f64;
            let sinc = if m == 0.0 { 1.0 } else { (PI * cutoff * m).sin() / (PI * cutoff * m) };
            let across = m / half as f64;
            cutoff * sinc * bessel(BETA * (1.0 - across * across).max(0.0).sqrt()) / bessel(BETA)
        };
        let taps: Vec<f64> = (0..=2 * half).map(tap).collect();
        let sum: f64 = taps.iter().sum();
        taps.into_iter().map(|tap| tap / sum * self.up as f64).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= (x / 2.0 / f64::from(k)) * (x / 2.0 / f64::from(k));
        sum += term;
    }
    sum
}

/// The signal at another sample rate: `ceil(samples * up / down)` samples on the last axis.
///
/// Sample `q * up + p` of the result is `sum_j x[q * down + j] taps[half + p * down - j * up]`: a convolution with one filter for each `p`,
/// which goes on by `down` samples.
///
/// # Errors
/// A signal of another shape.
pub fn resample(graph: &mut Graph, signal: TensorId, resampling: Resampling) -> Result<TensorId, AudioError> {
    let Resampling { up, down } = resampling;
    let given = samples(graph, signal)?;
    if up == down {
        return Ok(signal);
    }
    let taps = resampling.taps();
    let half = (taps.len() / 2) as i64;
    let (first, last) = (-(half / up as i64), ((up - 1) * down) as i64 / up as i64 + half / up as i64 + 1);
    let width = (last - first + 1) as usize;
    if width.saturating_mul(up) > 1 << 22 {
        return Err(AudioError::option("rates with too little in common to resample"));
    }
    let tap = |p: usize, j: i64| {
        let at = half + (p * down) as i64 - j * up as i64;
        usize::try_from(at).ok().and_then(|at| taps.get(at)).copied().unwrap_or(0.0)
    };
    let filters: Vec<f64> = (0..up).flat_map(|p| (first..=last).map(move |j| (p, j))).map(|(p, j)| tap(p, j)).collect();
    let filters = constant(graph, "filters", signal, &[up, width, 1], &filters)?;
    let wanted = resampling.length(given);
    let count = wanted.div_ceil(up);
    // The last filter's position ends here, counted from the first sample.
    let end = (count - 1) * down + (last.max(0) as usize) + 1;
    let table = [down as i32, 1, -first as i32, end.saturating_sub(given) as i32];
    let table = graph.add_constant("steps", DType::I32, &[4, 1], &table)?;
    let batch = graph.shape(signal).batch_axis();
    let (rows, rank) = as_rows(graph, signal)?;
    let op = ConvNd { direction: Direction::Forward, groups: 1, clamp: Clamp::NONE };
    let phases = graph.add("resample", op, &[rows, filters, table])?;
    let found: Vec<usize> = graph.shape(phases).factors().iter().map(|&factor| factor as usize).collect();
    let (count, long) = (found[0], found[1] * up);
    let dims = if rank == 1 { vec![long] } else { vec![count, long] };
    let flat = reshaped(graph, phases, &dims, batch)?;
    if long == wanted {
        return Ok(flat);
    }
    let table: Vec<i32> = match rank {
        1 => vec![0, 1, wanted as i32],
        _ => vec![0, 0, 1, 1, count as i32, wanted as i32],
    };
    let table = graph.add_constant("samples", DType::I32, &[3, dims.len()], &table)?;
    Ok(graph.add("resample", Slice, &[flat, table])?)
}
