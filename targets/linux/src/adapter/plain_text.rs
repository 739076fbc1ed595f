//! Texts: an answer that is one, and values inside of a text as Python formats them.

use ekiben_runtime::artifact::manifest::TextFormat;

use super::AnswerError;
use super::python::write_float;
use super::sinks::{Scalar, Sink};

/// A text that single values are appended to.
#[derive(Debug)]
pub struct PlainText {
    pub(super) text: String,
    /// How the next value is written.
    pub(super) format: TextFormat,
    /// Whether something else than a single value was met.
    is_nested: bool,
}

impl Default for PlainText {
    fn default() -> Self {
        Self { text: String::new(), format: TextFormat::Plain, is_nested: false }
    }
}

impl PlainText {
    /// The text.
    ///
    /// # Errors
    /// [`AnswerError::Template`] when a list or an object was written into it.
    pub fn finish(self) -> Result<String, AnswerError> {
        if self.is_nested {
            return Err(AnswerError::Template("a list or an object in a text".to_owned()));
        }
        Ok(self.text)
    }
}

impl Sink for PlainText {
    fn begin_list(&mut self) {
        self.is_nested = true;
    }

    fn end_list(&mut self) {}

    fn begin_object(&mut self) {
        self.is_nested = true;
    }

    fn key(&mut self, _key: &str) {}

    fn end_object(&mut self) {}

    fn scalar(&mut self, scalar: Scalar<'_>) {
        let number = match scalar {
            Scalar::Float(value) => Some(value),
            Scalar::Integer(value) => Some(value as f64),
            Scalar::Bool(truth) => Some(u8::from(truth).into()),
            Scalar::Null | Scalar::Text(_) => None,
        };
        match (self.format, number) {
            (TextFormat::Fixed(digits), Some(value)) => self.text.push_str(&fixed(value, digits)),
            (TextFormat::Percent(digits), Some(value)) => {
                self.text.push_str(&fixed(value * 100.0, digits));
                self.text.push('%');
            }
            _ => plain(scalar, &mut self.text),
        }
    }
}

/// `format(value, ".<digits>f")`.
fn fixed(value: f64, digits: u8) -> String {
    match (value.is_nan(), value.is_infinite()) {
        (true, _) => "nan".to_owned(),
        (_, true) => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        _ => format!("{value:.*}", usize::from(digits)),
    }
}

/// `str(value)`.
fn plain(scalar: Scalar<'_>, text: &mut String) {
    match scalar {
        Scalar::Null => text.push_str("None"),
        Scalar::Bool(truth) => text.push_str(if truth { "True" } else { "False" }),
        Scalar::Integer(value) => text.push_str(&value.to_string()),
        Scalar::Text(part) => text.push_str(part),
        Scalar::Float(value) if value.is_finite() => {
            let mut digits = Vec::new();
            write_float(value, &mut digits);
            text.push_str(&String::from_utf8_lossy(&digits));
        }
        Scalar::Float(value) => text.push_str(&fixed(value, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What CPython 3.11 writes.
    #[test]
    fn values_are_formatted_as_python_formats_them() {
        for (scalar, format, expected) in [
            (Scalar::Float(0.1), TextFormat::Plain, "0.1"),
            (Scalar::Float(1e22), TextFormat::Plain, "1e+22"),
            (Scalar::Float(f64::NAN), TextFormat::Plain, "nan"),
            (Scalar::Float(f64::NEG_INFINITY), TextFormat::Fixed(1), "-inf"),
            (Scalar::Integer(3), TextFormat::Plain, "3"),
            (Scalar::Integer(3), TextFormat::Fixed(2), "3.00"),
            (Scalar::Bool(true), TextFormat::Plain, "True"),
            (Scalar::Null, TextFormat::Plain, "None"),
            (Scalar::Text("a"), TextFormat::Plain, "a"),
            (Scalar::Float(2.675), TextFormat::Fixed(2), "2.67"),
            (Scalar::Float(0.125), TextFormat::Fixed(2), "0.12"),
            (Scalar::Float(-0.001), TextFormat::Fixed(2), "-0.00"),
            (Scalar::Float(0.8235), TextFormat::Percent(1), "82.3%"),
            (Scalar::Float(1e-7), TextFormat::Plain, "1e-07"),
        ] {
            let mut text = PlainText { format, ..PlainText::default() };
            text.scalar(scalar);
            assert_eq!(text.finish().unwrap(), expected);
        }
    }
}
