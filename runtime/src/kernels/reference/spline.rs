//! Values of B-splines by de Boor's recurrence, as `scipy.interpolate.BSpline` computes them.

/// The highest degree of a spline.
pub const MAX_DEGREE: usize = 15;

/// Values of the splines that are not zero in an interval.
type Basis = [f64; MAX_DEGREE + 1];

/// The splines of one degree over rising knots. There are `knots.len() - degree - 1` of them.
#[derive(Clone, Copy, Debug)]
pub struct Splines<'a> {
    /// The knots, two more than the degree at least.
    pub knots: &'a [f64],
    /// The degree, at most [`MAX_DEGREE`].
    pub degree: usize,
}

impl Splines<'_> {
    fn knot(&self, index: usize) -> f64 {
        self.knots.get(index).copied().unwrap_or(f64::NAN)
    }

    /// Number of splines.
    pub fn count(&self) -> usize {
        self.knots.len().saturating_sub(self.degree + 1)
    }

    /// The interval that `x` is in: the number of its left knot. Outside of the knots between which all splines overlap, the first or last interval
    /// where `extrapolates`; else none, as for NaN.
    fn interval(&self, x: f64, extrapolates: bool) -> Option<usize> {
        let (first, end) = (self.degree, self.count());
        let is_outside = x < self.knot(first) || x > self.knot(end);
        if x.is_nan() || is_outside && !extrapolates {
            return None;
        }
        let inner = self.knots.get(first + 1..end).unwrap_or_default();
        Some(first + inner.partition_point(|&knot| knot <= x))
    }

    /// The values (or with `slopes` the first derivatives) at `x` of the splines that reach into the interval.
    fn basis(&self, x: f64, interval: usize, slopes: bool) -> Basis {
        let mut values: Basis = [0.0; MAX_DEGREE + 1];
        let degree = self.degree.min(MAX_DEGREE);
        values[0] = 1.0;
        if degree == 0 && slopes {
            return [0.0; MAX_DEGREE + 1];
        }
        for order in 1..=degree {
            let last = values;
            values[0] = 0.0;
            let is_slope = slopes && order == degree;
            for n in 1..=order {
                let (left, right) = (self.knot(interval + n - order), self.knot(interval + n));
                if left == right {
                    values[n] = 0.0;
                } else if is_slope {
                    let weight = order as f64 * last[n - 1] / (right - left);
                    values[n - 1] -= weight;
                    values[n] = weight;
                } else {
                    let weight = last[n - 1] / (right - left);
                    values[n - 1] += weight * (right - x);
                    values[n] = weight * (x - left);
                }
            }
        }
        values
    }

    /// The value (or with `slopes` the first derivative) at `x` of each spline. Where there are fewer places than splines, the last
    /// ones are added to the first ones: periodic splines. NaN outside, unless it `extrapolates`.
    pub fn at(&self, x: f64, extrapolates: bool, slopes: bool, out: &mut [f64]) {
        let Some(interval) = self.interval(x, extrapolates) else { return out.fill(f64::NAN) };
        let basis = self.basis(x, interval, slopes);
        let basis = basis.get(..=self.degree).unwrap_or_default();
        let columns = out.len().max(1);
        let first = interval - self.degree;
        // A value that is not finite times another column's coefficient, 0, is NaN.
        if basis.iter().all(|value| value.is_finite()) {
            out.fill(0.0);
            for (n, &value) in basis.iter().enumerate() {
                if let Some(slot) = out.get_mut((first + n) % columns) {
                    *slot += value;
                }
            }
        } else {
            for (column, slot) in out.iter_mut().enumerate() {
                let terms = basis.iter().enumerate().map(|(n, &value)| {
                    let coefficient = if (first + n) % columns == column { 1.0 } else { 0.0 };
                    coefficient * value
                });
                *slot = terms.fold(0.0, |sum, term| sum + term);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splines_add_up_to_one_and_slopes_to_zero() {
        let knots = [-3.0, -1.0, 0.0, 1.0, 2.5, 4.0, 5.0, 6.0];
        for degree in 0..=3 {
            let splines = Splines { knots: &knots, degree };
            for x in [knots[degree], 0.5 * knots[degree] + 1.0, knots[splines.count()]] {
                let mut values = [0.0; 8];
                let values = &mut values[..splines.count()];
                splines.at(x, false, false, values);
                assert!((values.iter().sum::<f64>() - 1.0).abs() < 1e-15, "degree {degree} at {x}");
                splines.at(x, false, true, values);
                assert!(values.iter().sum::<f64>().abs() < 1e-15, "degree {degree} at {x}");
            }
        }
        let splines = Splines { knots: &knots, degree: 1 };
        let mut values = [0.0; 6];
        splines.at(-1.5, false, false, &mut values);
        assert!(values.iter().all(|value| value.is_nan()));
        splines.at(-1.5, true, false, &mut values);
        assert_eq!(values, [1.5, -0.5, 0.0, 0.0, 0.0, 0.0]);
    }
}
