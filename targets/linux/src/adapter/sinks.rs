//! Where an answer is written: JSON text, or the cells of a CSV row.

use std::io::Write;

use csv::ByteRecord;

use super::python::write_float;

/// A single value of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Integer(i128),
    /// A float.
    Float(f64),
    /// A text.
    Text(&'a str),
}

/// Receives an answer in the order in which JSON spells it.
pub trait Sink {
    /// A list starts.
    fn begin_list(&mut self);
    /// The list ends.
    fn end_list(&mut self);
    /// An object starts.
    fn begin_object(&mut self);
    /// The key of the object's next member.
    fn key(&mut self, key: &str);
    /// The object ends.
    fn end_object(&mut self);
    /// A single value.
    fn scalar(&mut self, scalar: Scalar<'_>);
}

/// How JSON text is spelt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonStyle {
    /// As Python's `json.dumps` with `ensure_ascii=False`: a space after commas and colons, UTF-8.
    #[default]
    Spaced,
    /// As BentoML 1.x writes it by `json.dumps`: the same, with other characters than ASCII escaped, and null for NaN and infinities.
    Ascii,
    /// As pydantic writes it: no spaces, UTF-8, null for NaN and infinities.
    Compact,
    /// As pandas's `to_json`: no spaces, other characters than ASCII and slashes escaped.
    Pandas,
}

impl JsonStyle {
    const fn has_spaces(self) -> bool {
        matches!(self, Self::Spaced | Self::Ascii)
    }
}

/// JSON as Python writes it.
#[derive(Clone, Debug, Default)]
pub struct JsonText {
    text: Vec<u8>,
    style: JsonStyle,
    /// True when the next value needs a comma before it.
    comma: bool,
}

impl JsonText {
    /// The text so far.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Spells what follows in this style.
    pub fn set_style(&mut self, style: JsonStyle) {
        self.style = style;
    }

    /// Forgets the text and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.comma = false;
    }

    fn separate(&mut self) {
        if self.comma {
            self.text.extend(if self.style.has_spaces() { b", ".as_slice() } else { b"," });
        }
        self.comma = true;
    }

    fn string(&mut self, text: &str) {
        let escapes = match self.style {
            JsonStyle::Spaced | JsonStyle::Compact => false,
            JsonStyle::Ascii => !text.is_ascii(),
            JsonStyle::Pandas => !text.is_ascii() || text.contains('/'),
        };
        if escapes {
            return self.ascii_string(text);
        }
        // A text can be written to memory always.
        let _ = serde_json::to_writer(&mut self.text, text);
    }

    /// A text with everything beyond ASCII as UTF-16 escapes.
    fn ascii_string(&mut self, text: &str) {
        self.text.push(b'"');
        let mut buffer = [0; 4];
        for letter in text.chars() {
            let letter: &str = letter.encode_utf8(&mut buffer);
            if letter == "/" && self.style == JsonStyle::Pandas {
                self.text.extend(b"\\/");
            } else if letter.is_ascii() {
                let start = self.text.len();
                let _ = serde_json::to_writer(&mut self.text, letter);
                self.text.pop();
                self.text.remove(start);
            } else {
                for unit in letter.encode_utf16() {
                    let _ = write!(self.text, "\\u{unit:04x}");
                }
            }
        }
        self.text.push(b'"');
    }
}

impl Sink for JsonText {
    fn begin_list(&mut self) {
        self.separate();
        self.text.push(b'[');
        self.comma = false;
    }

    fn end_list(&mut self) {
        self.text.push(b']');
        self.comma = true;
    }

    fn begin_object(&mut self) {
        self.separate();
        self.text.push(b'{');
        self.comma = false;
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.string(key);
        self.text.extend(if self.style.has_spaces() { b": ".as_slice() } else { b":" });
        self.comma = false;
    }

    fn end_object(&mut self) {
        self.text.push(b'}');
        self.comma = true;
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.separate();
        match scalar {
            Scalar::Null => self.text.extend(b"null"),
            Scalar::Bool(flag) => self.text.extend(if flag { b"true".as_slice() } else { b"false" }),
            Scalar::Integer(integer) => self.text.extend(itoa::Buffer::new().format(integer).as_bytes()),
            Scalar::Float(value) if !value.is_finite() && self.style != JsonStyle::Spaced => self.text.extend(b"null"),
            Scalar::Float(value) => write_float(value, &mut self.text),
            Scalar::Text(text) => self.string(text),
        }
    }
}

/// One step from the answer down to a value.
#[derive(Clone, Debug)]
enum Segment {
    Key(String),
    Position(usize),
}

/// The cells of a CSV row. Their names are the keys and positions that lead to them, joined by `_`, after `prediction` where
/// the answer is no object.
#[derive(Clone, Debug, Default)]
pub struct CsvCells {
    cells: ByteRecord,
    /// Names of the first row's cells.
    names: Vec<String>,
    is_first: bool,
    path: Vec<Segment>,
    text: Vec<u8>,
}

impl CsvCells {
    /// Starts a row; the `first` one gives the names.
    pub fn begin_row(&mut self, first: bool) {
        self.cells.clear();
        self.is_first = first;
        self.path.clear();
    }

    /// The row's cells.
    pub fn cells(&self) -> &ByteRecord {
        &self.cells
    }

    /// Names of the columns, known after the first row.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn name(&self) -> String {
        let start = match self.path.first() {
            Some(Segment::Key(_)) => None,
            _ => Some("prediction".to_owned()),
        };
        let parts = self.path.iter().map(|segment| match segment {
            Segment::Key(key) => key.clone(),
            Segment::Position(position) => position.to_string(),
        });
        start.into_iter().chain(parts).collect::<Vec<_>>().join("_")
    }

    /// After a value: the next one stands one position further, or a key follows.
    fn advance(&mut self) {
        match self.path.last_mut() {
            Some(Segment::Position(position)) => *position += 1,
            Some(Segment::Key(_)) => drop(self.path.pop()),
            None => {}
        }
    }
}

impl Sink for CsvCells {
    fn begin_list(&mut self) {
        self.path.push(Segment::Position(0));
    }

    fn end_list(&mut self) {
        self.path.pop();
        self.advance();
    }

    fn begin_object(&mut self) {}

    fn key(&mut self, key: &str) {
        self.path.push(Segment::Key(key.to_owned()));
    }

    fn end_object(&mut self) {
        self.advance();
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        if self.is_first {
            let name = self.name();
            self.names.push(name);
        }
        self.text.clear();
        match scalar {
            Scalar::Null => {}
            Scalar::Bool(flag) => self.text.extend(if flag { b"True".as_slice() } else { b"False" }),
            Scalar::Integer(integer) => self.text.extend(integer.to_string().as_bytes()),
            Scalar::Float(value) if value.is_nan() => self.text.extend(b"nan"),
            Scalar::Float(value) if value.is_infinite() => {
                self.text.extend(if value > 0.0 { b"inf".as_slice() } else { b"-inf" });
            }
            Scalar::Float(value) => write_float(value, &mut self.text),
            Scalar::Text(text) => self.text.extend(text.as_bytes()),
        }
        self.cells.push_field(&self.text);
        self.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(sink: &mut dyn Sink) {
        sink.begin_object();
        sink.key("label");
        sink.scalar(Scalar::Integer(2));
        sink.key("scores");
        sink.begin_list();
        sink.scalar(Scalar::Float(0.5));
        sink.begin_list();
        sink.scalar(Scalar::Float(1.0));
        sink.scalar(Scalar::Text("a\"b"));
        sink.end_list();
        sink.scalar(Scalar::Null);
        sink.end_list();
        sink.end_object();
    }

    #[test]
    fn json_is_spaced_as_python_spaces_it() {
        let mut json = JsonText::default();
        feed(&mut json);
        assert_eq!(json.text(), br#"{"label": 2, "scores": [0.5, [1.0, "a\"b"], null]}"#);
    }

    #[test]
    fn styles_differ_in_spaces_and_escapes() {
        for (style, expected) in [
            (JsonStyle::Spaced, r#"{"a": ["é/\"", 1]}"#),
            (JsonStyle::Ascii, r#"{"a": ["\u00e9/\"", 1]}"#),
            (JsonStyle::Compact, r#"{"a":["é/\"",1]}"#),
            (JsonStyle::Pandas, r#"{"a":["\u00e9\/\"",1]}"#),
        ] {
            let mut json = JsonText::default();
            json.set_style(style);
            json.begin_object();
            json.key("a");
            json.begin_list();
            json.scalar(Scalar::Text("é/\""));
            json.scalar(Scalar::Integer(1));
            json.end_list();
            json.end_object();
            assert_eq!(std::str::from_utf8(json.text()).unwrap(), expected);
        }
    }

    #[test]
    fn cells_are_named_by_their_path() {
        let mut cells = CsvCells::default();
        cells.begin_row(true);
        feed(&mut cells);
        assert_eq!(cells.names(), ["label", "scores_0", "scores_1_0", "scores_1_1", "scores_2"]);
        let values: Vec<_> = cells.cells().iter().collect();
        assert_eq!(values, [b"2".as_slice(), b"0.5", b"1.0", b"a\"b", b""]);
        cells.begin_row(false);
        cells.begin_list();
        cells.scalar(Scalar::Float(f64::NAN));
        cells.end_list();
        assert_eq!(cells.cells().iter().collect::<Vec<_>>(), [b"nan"]);
        assert_eq!(cells.names().len(), 5);
    }
}
