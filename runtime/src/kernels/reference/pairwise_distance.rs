//! Distances between the rows of two matrices.

use super::float::Float;

/// What a distance is. The discriminant is the code in an artifact. Sums start from zero and run upwards over the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Metric {
    /// Sum of the squares of the differences.
    SquaredEuclidean = 0,
    /// Square root of the sum of the squares of the differences.
    Euclidean = 1,
    /// Sum of the absolute differences.
    Manhattan = 2,
    /// Largest absolute difference; NaN if any is.
    Chebyshev = 3,
    /// Sum of the absolute differences to the power of p, to the power of 1 / p.
    Minkowski = 4,
}

impl Metric {
    const ALL: [Self; 5] = [Self::SquaredEuclidean, Self::Euclidean, Self::Manhattan, Self::Chebyshev, Self::Minkowski];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The metric with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// The distance of `x` and `point`, of one length.
fn distance<F: Float>(metric: Metric, p: F, x: &[F], point: &[F]) -> F {
    let differences = x.iter().zip(point).map(|(&x, &y)| x - y);
    let squares = |sum: F, difference: F| sum + difference * difference;
    match metric {
        Metric::SquaredEuclidean => differences.fold(F::ZERO, squares),
        Metric::Euclidean => differences.fold(F::ZERO, squares).sqrt(),
        Metric::Manhattan => differences.fold(F::ZERO, |sum, difference| sum + Float::abs(difference)),
        Metric::Chebyshev => differences.map(Float::abs).fold(F::ZERO, |largest, difference| {
            if difference > largest || difference.is_nan() { difference } else { largest }
        }),
        Metric::Minkowski => {
            differences.fold(F::ZERO, |sum, difference| sum + Float::abs(difference).pow(p)).pow(F::ONE / p)
        }
    }
}

/// `out[n, s]` is the distance of row `n` of `x` and row `s` of `points`; rows have `columns` elements. With `divisors`, as many as
/// `points`, it is the sum of the squares of the differences, each divided by its divisor.
pub fn pairwise_distance<F: Float>(
    (metric, p): (Metric, F),
    columns: usize,
    x: &[F],
    points: &[F],
    divisors: Option<&[F]>,
    out: &mut [F],
) {
    let columns = columns.max(1);
    let count = points.len() / columns;
    if count == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(count)) {
        let Some(divisors) = divisors else {
            for (out, point) in out.iter_mut().zip(points.chunks_exact(columns)) {
                *out = distance(metric, p, x, point);
            }
            continue;
        };
        let rows = points.chunks_exact(columns).zip(divisors.chunks_exact(columns));
        for (out, (point, divisors)) in out.iter_mut().zip(rows) {
            let differences = x.iter().zip(point).map(|(&x, &y)| x - y).zip(divisors);
            *out = differences.fold(F::ZERO, |sum, (difference, &divisor)| sum + difference * difference / divisor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_its_formula() {
        let (x, points) = ([1.0f64, -2.0, 3.0], [1.0, 2.0, 0.0, 1.0, -2.0, 3.0]);
        let of = |metric| {
            let mut out = [9.0; 2];
            pairwise_distance((metric, 3.0), 3, &x, &points, None, &mut out);
            out
        };
        assert_eq!(of(Metric::SquaredEuclidean), [25.0, 0.0]);
        assert_eq!(of(Metric::Euclidean), [5.0, 0.0]);
        assert_eq!(of(Metric::Manhattan), [7.0, 0.0]);
        assert_eq!(of(Metric::Chebyshev), [4.0, 0.0]);
        assert!((of(Metric::Minkowski)[0] - 91f64.cbrt()).abs() < 1e-14);
        let mut out = [9.0; 2];
        let divisors = [1.0, 4.0, 2.0, 1.0, 1.0, 1.0];
        pairwise_distance((Metric::SquaredEuclidean, 0.0), 3, &x, &points, Some(&divisors), &mut out);
        assert_eq!(out, [8.5, 0.0]);
    }

    #[test]
    fn the_largest_difference_may_be_nan() {
        let mut out = [0.0];
        for x in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            pairwise_distance((Metric::Chebyshev, 0.0), 2, &x, &[0.0, 0.0], None, &mut out);
            assert!(out[0].is_nan());
        }
    }
}
