//! Piecewise linear functions.

/// A function given by its values at rising places, as `numpy.interp` computes it.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// The places.
    pub places: &'a [f64],
    /// The value at each.
    pub values: &'a [f64],
    /// The function `-f(-x)` instead of `f(x)`: places and values are taken with the other sign, from the last to the first. It differs where
    /// places are equal.
    pub mirrored: bool,
}

impl Curve<'_> {
    fn sample(&self, index: usize, samples: &[f64]) -> f64 {
        if self.mirrored {
            let index = samples.len().wrapping_sub(1).wrapping_sub(index);
            return -samples.get(index).copied().unwrap_or(f64::NAN);
        }
        samples.get(index).copied().unwrap_or(f64::NAN)
    }

    fn place(&self, index: usize) -> f64 {
        self.sample(index, self.places)
    }

    fn value(&self, index: usize) -> f64 {
        self.sample(index, self.values)
    }

    /// Number of places that are not above `x`.
    fn not_above(&self, x: f64) -> usize {
        if self.mirrored {
            self.places.len() - self.places.partition_point(|&place| -place > x)
        } else {
            self.places.partition_point(|&place| place <= x)
        }
    }

    /// The value at `x`: that of the first or last place outside of them, NaN for NaN. Of equal places the last one counts.
    pub fn at(&self, x: f64) -> f64 {
        let count = self.places.len().min(self.values.len());
        if x.is_nan() || count == 0 {
            return if x.is_nan() { x } else { f64::NAN };
        }
        let Some(left) = self.not_above(x).checked_sub(1) else { return self.value(0) };
        if left >= count - 1 || self.place(left) == x {
            return self.value(left.min(count - 1));
        }
        let (from, to) = (self.value(left), self.value(left + 1));
        let slope = (to - from) / (self.place(left + 1) - self.place(left));
        let value = slope * (x - self.place(left)) + from;
        if !value.is_nan() {
            return value;
        }
        let value = slope * (x - self.place(left + 1)) + to;
        if value.is_nan() && from == to { from } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_places_differ_from_both_sides() {
        let (places, values) = ([0.0, 1.0, 1.0, 1.0, 2.0], [0.0, 0.25, 0.5, 0.75, 1.0]);
        let curve = Curve { places: &places, values: &values, mirrored: false };
        let mirrored = Curve { mirrored: true, ..curve };
        assert_eq!([-1.0, 0.5, 1.0, 1.5, 3.0].map(|x| curve.at(x)), [0.0, 0.125, 0.75, 0.875, 1.0]);
        assert_eq!([-1.0, 0.5, 1.0, 1.5, 3.0].map(|x| -mirrored.at(-x)), [0.0, 0.125, 0.25, 0.875, 1.0]);
        assert!(curve.at(f64::NAN).is_nan());
        let infinite = Curve { places: &[0.0, f64::INFINITY], values: &[1.0, 1.0], mirrored: false };
        assert_eq!(infinite.at(5.0), 1.0);
    }
}
