//! Numbers as Python prints them.

/// Appends the shortest decimal form that reads back as `value`, spelt as Python's `repr`: `1.0`, `1e-05`, `1e+16`, `NaN`,
/// `Infinity`.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend(b"NaN");
    }
    if value.is_infinite() {
        return out.extend(if value > 0.0 { b"Infinity".as_slice() } else { b"-Infinity" });
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Python's float_repr_style: scientific notation outside of 1e-4 ..= 1e16.
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        out.extend(plain.as_bytes());
        if !plain.contains('.') {
            out.extend(b".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend(format!("{digits}e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
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
