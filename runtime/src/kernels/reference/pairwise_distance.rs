//! Distances of rows to points.

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

/// `sums[s] = step(sums[s], x[f] - points[f, s])` for each f in turn. Points lie side by side, so that the inner loop runs over all of them, while
/// each sum keeps its order.
fn accumulate<F: Float>(x: &[F], points: &[F], sums: &mut [F], step: impl Fn(F, F) -> F) {
    for (&x, points) in x.iter().zip(points.chunks_exact(sums.len().max(1))) {
        for (sum, &y) in sums.iter_mut().zip(points) {
            *sum = step(*sum, x - y);
        }
    }
}

/// `out[n, s]` is the distance of row `n` of `x` and point `s` of `count`, which is column `s` of `points`. With `divisors`, as many as `points`, it is
/// the sum of the squares of the differences, each divided by its divisor.
pub fn pairwise_distance<F: Float>(
    (metric, p): (Metric, F),
    count: usize,
    x: &[F],
    points: &[F],
    divisors: Option<&[F]>,
    out: &mut [F],
) {
    let count = count.max(1);
    let columns = (points.len() / count).max(1);
    out.fill(F::ZERO);
    for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(count)) {
        if let Some(divisors) = divisors {
            let rows = points.chunks_exact(count).zip(divisors.chunks_exact(count));
            for (&x, (points, divisors)) in x.iter().zip(rows) {
                for ((sum, &y), &divisor) in out.iter_mut().zip(points).zip(divisors) {
                    *sum = *sum + (x - y) * (x - y) / divisor;
                }
            }
            continue;
        }
        match metric {
            Metric::SquaredEuclidean => accumulate(x, points, out, |sum, difference| sum + difference * difference),
            Metric::Euclidean => {
                accumulate(x, points, out, |sum, difference| sum + difference * difference);
                out.iter_mut().for_each(|sum| *sum = Float::sqrt(*sum));
            }
            Metric::Manhattan => accumulate(x, points, out, |sum, difference| sum + Float::abs(difference)),
            Metric::Chebyshev => accumulate(x, points, out, |largest, difference| {
                let size = Float::abs(difference);
                if size > largest || size.is_nan() { size } else { largest }
            }),
            Metric::Minkowski => {
                accumulate(x, points, out, |sum, difference| sum + Float::abs(difference).pow(p));
                out.iter_mut().for_each(|sum| *sum = sum.pow(F::ONE / p));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_its_formula() {
        let (x, points) = ([1.0f64, -2.0, 3.0], [1.0, 1.0, 2.0, -2.0, 0.0, 3.0]);
        let of = |metric| {
            let mut out = [9.0; 2];
            pairwise_distance((metric, 3.0), 2, &x, &points, None, &mut out);
            out
        };
        assert_eq!(of(Metric::SquaredEuclidean), [25.0, 0.0]);
        assert_eq!(of(Metric::Euclidean), [5.0, 0.0]);
        assert_eq!(of(Metric::Manhattan), [7.0, 0.0]);
        assert_eq!(of(Metric::Chebyshev), [4.0, 0.0]);
        assert!((of(Metric::Minkowski)[0] - 91f64.cbrt()).abs() < 1e-14);
        let mut out = [9.0; 2];
        let divisors = [1.0, 1.0, 4.0, 1.0, 2.0, 1.0];
        pairwise_distance((Metric::SquaredEuclidean, 0.0), 2, &x, &points, Some(&divisors), &mut out);
        assert_eq!(out, [8.5, 0.0]);
    }

    #[test]
    fn the_largest_difference_may_be_nan() {
        let mut out = [0.0];
        for x in [[f64::NAN, 1.0], [1.0, f64::NAN]] {
            pairwise_distance((Metric::Chebyshev, 0.0), 1, &x, &[0.0, 0.0], None, &mut out);
            assert!(out[0].is_nan());
        }
    }
}
