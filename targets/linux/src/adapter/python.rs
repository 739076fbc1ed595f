//! Numbers as Python prints them.

use std::fmt::{self, Write as _};
use std::io;

/// Appends the shortest decimal form that reads back as `value`, spelt as Python's `repr`: `1.0`, `1e-05`, `1e+16`, `NaN`,
/// `Infinity`.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend(b"NaN");
    }
    if value.is_infinite() {
        return out.extend(if value > 0.0 { b"Infinity".as_slice() } else { b"-Infinity" });
    }
    // 17 digits, a sign, a point and an exponent; the plain form of what Python writes without an exponent is shorter than that.
    let mut scientific = Short::<32>::default();
    let _ = write!(scientific, "{value:e}");
    let (digits, exponent) = scientific.text().split_once('e').unwrap_or((scientific.text(), "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Python's float_repr_style: scientific notation outside of 1e-4 ..= 1e16.
    if (-4..16).contains(&exponent) {
        let start = out.len();
        let _ = io::Write::write_fmt(out, format_args!("{value}"));
        if !out[start..].contains(&b'.') {
            out.extend(b".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = io::Write::write_fmt(out, format_args!("{digits}e{sign}{:02}", exponent.unsigned_abs()));
    }
}

/// A short text on the stack; what does not fit is cut off.
#[derive(Debug)]
struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}

impl<const N: usize> Short<N> {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for Short<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::write_float;

    #[test]
    fn floats_are_spelt_as_python_spells_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.1f32.into(), "0.10000000149011612"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (1e-300, "1e-300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            write_float(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
