//! One number from text or JSON into one element of a tensor.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::cast::cast;
use serde_json::Value;

/// A number before it has its element type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// An integer or a boolean.
    Integer(i128),
    /// Any other number; NaN stands for a missing value.
    Float(f64),
}

/// What pandas takes for a missing value.
const MISSING: [&str; 17] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "n/a", "nan",
];

/// True for a field that pandas takes for a missing value.
pub(super) fn is_missing(field: &str) -> bool {
    let field = field.trim();
    MISSING.contains(&field) || matches!(field, "null" | "None")
}

impl Number {
    /// A field of a text table, read as pandas reads it.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(integer) = text.parse() {
            return Some(Self::Integer(integer));
        }
        match text {
            "True" | "TRUE" | "true" => Some(Self::Integer(1)),
            "False" | "FALSE" | "false" => Some(Self::Integer(0)),
            "null" => Some(Self::Float(f64::NAN)),
            text if MISSING.contains(&text) => Some(Self::Float(f64::NAN)),
            text => text.parse().ok().map(Self::Float),
        }
    }

    /// A number or boolean of JSON.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(Self::Integer((*flag).into())),
            Value::Number(number) => {
                let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
                integer.map(Self::Integer).or(number.as_f64().map(Self::Float))
            }
            _ => None,
        }
    }

    /// Appends the number as an element of type `dtype`. With `truncate`, floats lose their fraction as in
    /// numpy's `astype`; without, they are refused.
    pub(super) fn push(self, dtype: DType, truncate: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let width = (dtype.bits() / 8) as usize;
        let start = out.len();
        out.resize(start + width, 0);
        let element = &mut out[start..];
        if dtype.is_float() {
            let value = match self {
                Self::Integer(integer) => integer as f64,
                Self::Float(value) => value,
            };
            cast(DType::F64, &value.to_le_bytes(), dtype, element);
            return Ok(());
        }
        let integer = match self {
            Self::Integer(integer) => integer,
            Self::Float(value) if value.is_nan() => return Err(format!("a missing value cannot be {dtype}")),
            Self::Float(value) if value.is_finite() && (truncate || value.fract() == 0.0) => value as i128,
            Self::Float(value) => return Err(format!("{value} is no {dtype}")),
        };
        let (low, high) = range(dtype).ok_or_else(|| format!("inputs of type {dtype} cannot be read from numbers"))?;
        if integer < low || integer > high {
            return Err(format!("{integer} is outside the range of {dtype}, {low} to {high}"));
        }
        element.copy_from_slice(&integer.to_le_bytes()[..width]);
        Ok(())
    }
}

/// Smallest and largest value of an integer type that numbers can be read into.
fn range(dtype: DType) -> Option<(i128, i128)> {
    Some(match dtype {
        DType::Bool => (0, 1),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I64 => (i64::MIN.into(), i64::MAX.into()),
        DType::U8 => (0, u8::MAX.into()),
        DType::U16 => (0, u16::MAX.into()),
        DType::U32 => (0, u32::MAX.into()),
        DType::U64 => (0, u64::MAX.into()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_value_or_are_refused() {
        let push = |number: Number, dtype, truncate| {
            let mut out = Vec::new();
            number.push(dtype, truncate, &mut out).map(|()| out)
        };
        assert_eq!(push(Number::Integer(-1), DType::I8, false), Ok(vec![0xff]));
        assert_eq!(push(Number::Float(3.0), DType::U16, false), Ok(vec![3, 0]));
        assert_eq!(push(Number::Float(3.7), DType::I32, true), Ok(vec![3, 0, 0, 0]));
        assert_eq!(push(Number::Float(0.1), DType::F32, false), Ok(0.1f32.to_le_bytes().to_vec()));
        for (number, dtype) in [
            (Number::Integer(256), DType::U8),
            (Number::Float(0.5), DType::I64),
            (Number::Float(f64::NAN), DType::I32),
            (Number::Integer(1), DType::Text),
        ] {
            assert!(push(number, dtype, false).is_err(), "{number:?} {dtype}");
        }
    }

    #[test]
    fn text_reads_as_pandas_does() {
        assert_eq!(Number::from_text(" 7 "), Some(Number::Integer(7)));
        assert_eq!(Number::from_text("007"), Some(Number::Integer(7)));
        assert_eq!(Number::from_text("12345678901234567890"), Some(Number::Integer(12_345_678_901_234_567_890)));
        assert_eq!(Number::from_text("1e3"), Some(Number::Float(1000.0)));
        assert_eq!(Number::from_text("true"), Some(Number::Integer(1)));
        assert!(matches!(Number::from_text("NA"), Some(Number::Float(value)) if value.is_nan()));
        assert_eq!(Number::from_text("setosa"), None);
    }
}
