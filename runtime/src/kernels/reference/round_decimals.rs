//! Rounding to decimal places, as Python's `round` of a float does it.

use core::fmt::Write;

/// Most places after the decimal point: a double has no more digits that tell it from its neighbours.
pub const MAX_DIGITS: u8 = 17;

/// From here on doubles have no fraction.
const INTEGRAL: f64 = 4_503_599_627_370_496.0;

/// The float nearest to the decimal number of `digits` places that is nearest to the exact value of `value`; of two as near, the one
/// with the even last digit (CPython's `float.__round__`).
pub fn round_decimals(value: f64, digits: u8) -> f64 {
    // Infinities and NaN are none of these.
    if !(value > -INTEGRAL && value < INTEGRAL) {
        return value;
    }
    // A sign, 16 digits, a point and 17 places.
    let mut text = heapless::String::<40>::new();
    match write!(text, "{value:.*}", usize::from(digits.min(MAX_DIGITS))) {
        Ok(()) => text.parse().unwrap_or(value),
        Err(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::round_decimals;

    /// Values of CPython 3.11.
    #[test]
    fn floats_are_rounded_as_python_rounds_them() {
        for (value, digits, expected) in [
            (2.675, 2, 2.67),
            (0.125, 2, 0.12),
            (0.375, 2, 0.38),
            (2.5, 0, 2.0),
            (3.5, 0, 4.0),
            (-0.5, 0, -0.0),
            (1234.5678, 3, 1234.568),
            (1e-20, 5, 0.0),
            (0.1 + 0.2, 17, 0.30000000000000004),
            (4503599627370495.5, 0, 4503599627370496.0),
            (1e300, 2, 1e300),
            (5.015, 2, 5.01),
            (1.005, 2, 1.0),
        ] {
            let rounded = round_decimals(value, digits);
            assert_eq!(rounded.to_bits(), f64::to_bits(expected), "{value} to {digits}: {rounded}");
        }
        assert!(round_decimals(f64::NAN, 2).is_nan());
        assert_eq!(round_decimals(f64::NEG_INFINITY, 2), f64::NEG_INFINITY);
    }
}
