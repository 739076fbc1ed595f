//! Sampling grids of affine maps.

use super::float::Float;
use super::spatial::{Lengths, MAX_SPATIAL};

/// The coordinate, from -1 to 1, of element `at` of an axis; -1 and 1 are the centers of the first and the last element, or with
/// `align_corners` false their outer edges. The only element of an axis lies at 0.
fn coordinate(at: usize, length: usize, align_corners: bool) -> f64 {
    let (at, length) = (at as f64, length as f64);
    match align_corners {
        true if length > 1.0 => -1.0 + at * (2.0 / (length - 1.0)),
        true => 0.0,
        false => -1.0 + (at + 0.5) * (2.0 / length),
    }
}

/// `out[n, p, i] = sum over j of theta[n, i, j] * p[j] + theta[n, i, axes]`, where p are the coordinates of a position in the reverse order
/// of the axes: x first. Formula: the operator `AffineGrid` of ONNX 1.23.
pub fn affine_grid<F: Float>(lengths: &Lengths, align_corners: bool, theta: &[F], out: &mut [F]) {
    let axes = lengths.len();
    let grid = lengths.positions().saturating_mul(axes);
    if grid == 0 {
        return;
    }
    let maps = theta.chunks_exact(axes * (axes + 1));
    for (map, out) in maps.zip(out.chunks_exact_mut(grid)) {
        let mut places = out.chunks_exact_mut(axes);
        lengths.for_each(|position| {
            let mut point = [F::ONE; MAX_SPATIAL + 1];
            for ((slot, &at), &length) in point.iter_mut().zip(position.iter().rev()).zip(lengths.iter().rev()) {
                *slot = F::from_f64(coordinate(at, length, align_corners));
            }
            for (out, row) in places.next().unwrap_or_default().iter_mut().zip(map.chunks_exact(axes + 1)) {
                *out = row.iter().zip(&point).fold(F::ZERO, |sum, (&factor, &x)| sum + factor * x);
            }
        });
    }
}
