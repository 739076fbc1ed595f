//! Texts that are put together: known ones at once, those with values of the request as templates of the answer.

use ekiben_runtime::DType;
use ekiben_runtime::artifact::manifest::TextFormat;
use ruff_python_ast::{ExprFString, FStringPart, InterpolatedElement, InterpolatedStringElement};

use super::{Array, Evaluated, Evaluator, MAX_TEXT, Piece, Place, Stop, Value};

/// Most pieces of a text.
const MAX_PIECES: usize = 1000;
/// Most places after a decimal point.
const MAX_DIGITS: u8 = 30;

impl<'a> Evaluator<'_, 'a> {
    /// `f"…{value:.2f}…"`.
    pub(super) fn formatted(&mut self, text: &'a ExprFString, place: Place) -> Evaluated<'a> {
        let mut pieces = Vec::new();
        for part in text.value.iter() {
            match part {
                FStringPart::Literal(literal) => pieces.push(known(&literal.value)),
                FStringPart::FString(inner) => {
                    for element in &inner.elements {
                        self.element(element, &mut pieces)?;
                    }
                }
            }
        }
        self.joined_text(pieces, place)
    }

    fn element(&mut self, element: &'a InterpolatedStringElement, pieces: &mut Vec<Piece<'a>>) -> Result<(), Stop> {
        match element {
            InterpolatedStringElement::Literal(literal) => pieces.push(known(&literal.value)),
            InterpolatedStringElement::Interpolation(part) => {
                let place = self.place(part);
                let value = self.expression(&part.expression)?;
                let Some(format) = specification(part).filter(|_| part.debug_text.is_none()) else {
                    return self.fail(place, "a value in a text is written plainly, or with `:.2f` or `:.2%`");
                };
                pieces.extend(self.pieces(value, format, place)?);
            }
        }
        Ok(())
    }

    /// `str(value)` of a value of the request.
    pub(in crate::service) fn as_text(&mut self, value: Value<'a>, place: Place) -> Evaluated<'a> {
        let pieces = self.pieces(value, TextFormat::Plain, place)?;
        self.joined_text(pieces, place)
    }

    /// The pieces of a text that a value is.
    fn pieces(&mut self, value: Value<'a>, format: TextFormat, place: Place) -> Result<Vec<Piece<'a>>, Stop> {
        let plain = format == TextFormat::Plain;
        match value {
            Value::Text(_) if plain => Ok(vec![(value, format)]),
            Value::Format(pieces) if plain => Ok(pieces.to_vec()),
            Value::Int(number) if plain => Ok(vec![known(&number.to_string())]),
            Value::Int(_) | Value::Float(_) => Ok(vec![(value, format)]),
            Value::Array(array) if array.axes(&self.graph).is_empty() => {
                let dtype = array.dtype(&self.graph);
                let text = matches!(dtype, DType::Category | DType::Text);
                if text && !plain {
                    return self.fail(place, "a text is written plainly");
                }
                if array.assumed && plain {
                    return self.fail(
                        place,
                        "whether this is an integer or a float depends on the request. Convert it with `float`",
                    );
                }
                if plain && dtype.is_float() && dtype != DType::F64 {
                    return self.fail(
                        place,
                        "numpy writes this number with fewer digits. Convert it with `float`, or give a format",
                    );
                }
                // Here an integer is written as the float of its value.
                Ok(vec![(Value::Array(Array { assumed: false, ..array }), format)])
            }
            other => self.fail(place, format!("{} in a text is not compiled", other.describe())),
        }
    }

    /// The text of pieces: a constant where all are known.
    fn joined_text(&mut self, pieces: Vec<Piece<'a>>, place: Place) -> Evaluated<'a> {
        let mut joined: Vec<Piece<'a>> = Vec::new();
        let mut length = 0usize;
        for piece in pieces {
            if let (Value::Text(text), _) = &piece {
                length = length.saturating_add(text.len());
            }
            match (joined.last_mut(), &piece) {
                (Some((Value::Text(before), _)), (Value::Text(text), _)) => *before = format!("{before}{text}").into(),
                _ => joined.push(piece),
            }
        }
        if length > MAX_TEXT {
            return self.fail(place, format!("this text is longer than {MAX_TEXT} bytes"));
        }
        if joined.len() > MAX_PIECES {
            return self.fail(place, format!("this text is put together of more than {MAX_PIECES} pieces"));
        }
        match &joined[..] {
            [] => Ok(Value::Text("".into())),
            [(text @ Value::Text(_), _)] => Ok(text.clone()),
            _ => Ok(Value::Format(joined.into())),
        }
    }

    /// `left + right` of texts of which one has values of the request in it.
    pub(super) fn texts_joined(&mut self, left: &Value<'a>, right: &Value<'a>, place: Place) -> Evaluated<'a> {
        let mut pieces = self.pieces(left.clone(), TextFormat::Plain, place)?;
        pieces.extend(self.pieces(right.clone(), TextFormat::Plain, place)?);
        self.joined_text(pieces, place)
    }
}

fn known<'a>(text: &str) -> Piece<'a> {
    (Value::Text(text.into()), TextFormat::Plain)
}

/// The format that an interpolation asks for, as far as it is compiled.
fn specification(part: &InterpolatedElement) -> Option<TextFormat> {
    let Some(specification) = &part.format_spec else {
        return part.conversion.to_char().is_none().then_some(TextFormat::Plain);
    };
    let [InterpolatedStringElement::Literal(text)] = &specification.elements[..] else { return None };
    let digits = |rest: &str| rest.parse::<u8>().ok().filter(|digits| *digits <= MAX_DIGITS);
    let places = text.value.strip_prefix('.')?;
    match (places.strip_suffix('f'), places.strip_suffix('%')) {
        (Some(places), _) => digits(places).map(TextFormat::Fixed),
        (_, Some(places)) => digits(places).map(TextFormat::Percent),
        _ => None,
    }
}
