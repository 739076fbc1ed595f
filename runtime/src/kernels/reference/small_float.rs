//! Floats of eight bits and less: what their codes stand for, and the nearest code to a number.
//!
//! Values follow the OCP specification of 8-bit floats and of microscaling formats, and ONNX's rules for casts to them.

use crate::tensor::DType;

/// What becomes of numbers that have no exact code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rounding {
    /// To the nearest power of two above, for `float8e8m0` only.
    Up = 0,
    /// To the nearest power of two below, for `float8e8m0` only.
    Down = 1,
    /// To the nearest code; ties to the even one, for `float8e8m0` up.
    Nearest = 2,
}

impl Rounding {
    /// The rounding with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Up, Self::Down, Self::Nearest].get(usize::from(code)).copied()
    }
}

/// One of the formats with a sign.
#[derive(Clone, Copy)]
struct Format {
    mantissa_bits: u32,
    bias: i32,
    /// Code of the largest finite magnitude.
    largest: u8,
    sign: u8,
    /// Code of infinity, where there is one.
    infinity: Option<u8>,
    /// Code of NaN, where there is one; it takes the number's sign unless it is the negative zero.
    nan: Option<u8>,
}

impl Format {
    fn of(dtype: DType) -> Option<Self> {
        let format = |mantissa_bits, bias, largest, infinity, nan| Self {
            mantissa_bits,
            bias,
            largest,
            sign: 0x80,
            infinity,
            nan: Some(nan),
        };
        Some(match dtype {
            DType::F8E4M3FN => format(3, 7, 0x7E, None, 0x7F),
            DType::F8E4M3FNUZ => format(3, 8, 0x7F, None, 0x80),
            DType::F8E5M2 => format(2, 15, 0x7B, Some(0x7C), 0x7E),
            DType::F8E5M2FNUZ => format(2, 16, 0x7F, None, 0x80),
            DType::F4E2M1 => Self { mantissa_bits: 1, bias: 1, largest: 7, sign: 8, infinity: None, nan: None },
            _ => return None,
        })
    }

    /// True when the code of the negative zero is NaN.
    fn has_one_zero(self) -> bool {
        self.nan == Some(self.sign)
    }

    /// The finite number that a magnitude's code stands for.
    fn magnitude(self, code: u8) -> f64 {
        let mantissa = f64::from(u32::from(code) & ((1 << self.mantissa_bits) - 1));
        let exponent = i32::from(code) >> self.mantissa_bits;
        let unit = power_of_two(1 - self.bias - self.mantissa_bits as i32);
        if exponent == 0 {
            return mantissa * unit;
        }
        (mantissa + f64::from(1u32 << self.mantissa_bits)) * unit * power_of_two(exponent - 1)
    }

    fn decode(self, code: u8) -> f64 {
        if self.has_one_zero() && code == self.sign {
            return f64::NAN;
        }
        let magnitude = code & (self.sign - 1);
        let value = if magnitude <= self.largest {
            self.magnitude(magnitude)
        } else if self.infinity == Some(magnitude) {
            f64::INFINITY
        } else {
            f64::NAN
        };
        if code & self.sign == 0 { value } else { -value }
    }

    /// The code of the nearest magnitude, ties to even; one above the largest where that is nearest.
    fn nearest(self, magnitude: f64) -> u8 {
        let (mut low, mut high) = (0, self.largest.saturating_add(1));
        if magnitude >= self.magnitude(high) {
            return high;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.magnitude(middle) <= magnitude { low = middle } else { high = middle }
        }
        let (below, above) = (magnitude - self.magnitude(low), self.magnitude(high) - magnitude);
        if below < above || (below == above && low % 2 == 0) { low } else { high }
    }

    fn encode(self, value: f64, saturate: bool) -> u8 {
        let sign = if value.is_sign_negative() { self.sign } else { 0 };
        if value.is_nan() {
            return match self.nan {
                Some(nan) if self.has_one_zero() => nan,
                Some(nan) => nan | sign,
                None => self.sign,
            };
        }
        let code = self.nearest(libm::fabs(value));
        let code = match code > self.largest {
            false => code,
            true if saturate || self.nan.is_none() => self.largest,
            true => match (self.infinity, self.nan) {
                (Some(code), _) => code,
                (None, Some(nan)) if self.has_one_zero() => return nan,
                (None, nan) => nan.unwrap_or(self.largest),
            },
        };
        if code == 0 && self.has_one_zero() { 0 } else { code | sign }
    }
}

/// 2 to the power of `exponent`, which is between -1022 and 1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// The number that a code of a small float type stands for; `None` for other types.
pub fn decode(dtype: DType, code: u8) -> Option<f64> {
    if dtype == DType::F8E8M0 {
        return Some(if code == 255 { f64::NAN } else { power_of_two(i32::from(code) - 127) });
    }
    Some(Format::of(dtype)?.decode(code))
}

/// The code of a number in a small float type; `None` for other types. Numbers out of range become the largest ones with
/// `saturate`, else infinity or NaN.
pub fn encode(dtype: DType, value: f64, saturate: bool, rounding: Rounding) -> Option<u8> {
    if dtype == DType::F8E8M0 {
        return Some(encode_exponent(value as f32, saturate, rounding));
    }
    Some(Format::of(dtype)?.encode(value, saturate))
}

/// The exponent of an f32, rounded by its mantissa; the sign is dropped, infinity and NaN are NaN.
fn encode_exponent(value: f32, saturate: bool, rounding: Rounding) -> u8 {
    let bits = value.to_bits();
    let exponent = (bits >> 23) as u8;
    let mantissa = bits & 0x7F_FFFF;
    if exponent == u8::MAX {
        return u8::MAX;
    }
    // Below the smallest normal number the exponent is one too small, and a power of two has its bit in the mantissa.
    let (exact, half) = if exponent == 0 { (0x40_0000, 0x60_0000) } else { (0, 0x40_0000) };
    let up = match rounding {
        Rounding::Up => mantissa > exact,
        Rounding::Down => false,
        Rounding::Nearest => mantissa >= half,
    };
    let most = if saturate { u8::MAX - 1 } else { u8::MAX };
    exponent.saturating_add(up.into()).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: [DType; 5] = [DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F4E2M1];

    #[test]
    fn every_code_is_its_own_nearest() {
        for dtype in SIGNED {
            let codes = if dtype == DType::F4E2M1 { 16 } else { 256 };
            for code in (0..codes).map(|code| code as u8) {
                let value = decode(dtype, code).unwrap();
                let again = encode(dtype, value, false, Rounding::Nearest).unwrap();
                assert!(again == code || value.is_nan(), "{dtype}: {code} is {value}, which is {again}");
            }
        }
        for code in 0..255 {
            let value = decode(DType::F8E8M0, code).unwrap();
            for rounding in [Rounding::Up, Rounding::Down, Rounding::Nearest] {
                assert_eq!(encode(DType::F8E8M0, value, true, rounding), Some(code));
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_the_specifications() {
        let largest = |dtype| decode(dtype, encode(dtype, 1e9, true, Rounding::Nearest).unwrap()).unwrap();
        assert_eq!(SIGNED.map(largest), [448.0, 240.0, 57344.0, 57344.0, 6.0]);
        let beyond = |dtype| decode(dtype, encode(dtype, -1e9, false, Rounding::Nearest).unwrap()).unwrap();
        assert!(beyond(DType::F8E4M3FN).is_nan() && beyond(DType::F8E5M2) == f64::NEG_INFINITY);
    }

    #[test]
    fn ties_go_to_the_even_code() {
        let nearest = |value| encode(DType::F8E4M3FN, value, true, Rounding::Nearest);
        // 16, 18 and 20 are neighbours.
        assert_eq!([nearest(17.0), nearest(19.0)], [nearest(16.0), nearest(20.0)]);
    }
}
