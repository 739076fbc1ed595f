//! Where an answer is written: JSON text, or the cells of a CSV row.

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

/// JSON as Python's `json.dumps` writes it, in UTF-8.
#[derive(Clone, Debug, Default)]
pub struct JsonText {
    text: Vec<u8>,
    /// True when the next value needs a comma before it.
    comma: bool,
}

impl JsonText {
    /// The text so far.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Forgets the text and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.comma = false;
    }

    fn separate(&mut self) {
        if self.comma {
            self.text.extend(b", ");
        }
        self.comma = true;
    }

    fn string(&mut self, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        self.text.extend(quoted.as_bytes());
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
        self.text.extend(b": ");
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
            Scalar::Integer(integer) => self.text.extend(integer.to_string().as_bytes()),
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
