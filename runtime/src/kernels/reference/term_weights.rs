//! Weights of counted terms.

/// What a row is divided by. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Norm {
    /// Nothing.
    None = 0,
    /// The sum of absolute values.
    Sum = 1,
    /// The root of the sum of squares.
    Length = 2,
}

/// A float that is weighed: each operation is rounded to it.
pub trait Weighing: Copy + PartialEq {
    /// Zero.
    const ZERO: Self;
    /// `ln(self) + 1`.
    fn sublinear(self) -> Self;
    /// The product.
    fn times(self, other: Self) -> Self;
    /// The absolute value.
    fn absolute(self) -> Self;
    /// The same number in float64.
    fn wide(self) -> f64;
    /// The quotient of float64 division.
    fn over(self, divisor: f64) -> Self;
}

macro_rules! weighing {
    ($type:ty, $log:path) => {
        impl Weighing for $type {
            const ZERO: Self = 0.0;
            fn sublinear(self) -> Self {
                $log(self) + 1.0
            }
            fn times(self, other: Self) -> Self {
                self * other
            }
            fn absolute(self) -> Self {
                self.abs()
            }
            fn wide(self) -> f64 {
                self.into()
            }
            fn over(self, divisor: f64) -> Self {
                (self.wide() / divisor) as Self
            }
        }
    };
}
weighing!(f32, libm::logf);
weighing!(f64, libm::log);

/// Weighs the counts of one row.
pub fn weigh<T: Weighing>(row: &mut [T], sublinear: bool, weights: Option<&[T]>, norm: Norm, from_last: bool) {
    if sublinear {
        row.iter_mut().filter(|value| **value != T::ZERO).for_each(|value| *value = value.sublinear());
    }
    if let Some(weights) = weights {
        // What does not occur stays 0, whatever its weight.
        let occurring = row.iter_mut().zip(weights).filter(|(value, _)| **value != T::ZERO);
        occurring.for_each(|(value, &weight)| *value = value.times(weight));
    }
    let term = |value: &T| match norm {
        Norm::None => 0.0,
        Norm::Sum => value.absolute().wide(),
        Norm::Length => value.times(*value).wide(),
    };
    let mut sum = 0.0;
    if from_last {
        row.iter().rev().for_each(|value| sum += term(value));
    } else {
        row.iter().for_each(|value| sum += term(value));
    }
    if sum == 0.0 {
        return;
    }
    let divisor = if norm == Norm::Length { libm::sqrt(sum) } else { sum };
    row.iter_mut().filter(|value| **value != T::ZERO).for_each(|value| *value = value.over(divisor));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_weighed() {
        let mut row = [0.0f64, 3.0, 1.0];
        weigh(&mut row, false, Some(&[9.0, 1.0, 4.0]), Norm::Length, true);
        assert_eq!(row, [0.0, 0.6, 0.8]);
        let mut row = [0.0f32, 1.0, -3.0];
        weigh(&mut row, false, None, Norm::Sum, false);
        assert_eq!(row, [0.0, 0.25, -0.75]);
        let mut row = [0.0f64, 1.0];
        weigh(&mut row, true, None, Norm::None, false);
        assert_eq!(row, [0.0, 1.0]);
        let mut nothing = [0.0f64; 2];
        weigh(&mut nothing, true, Some(&[f64::INFINITY; 2]), Norm::Length, false);
        assert_eq!(nothing, [0.0; 2]);
    }
}
