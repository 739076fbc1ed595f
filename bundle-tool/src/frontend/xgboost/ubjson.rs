//! UBJSON (draft 12) as serde data: objects, arrays (also with a declared type and count), texts, numbers, booleans and null.
//!
//! Numbers are big-endian. A container may declare its count (`#`), and its elements' type before that (`$`), as xgboost's arrays of
//! numbers do. The reader trusts no count: an element of a type without content has no place in the file and is refused, every other one
//! takes a byte at least, so nothing larger than the file is ever made of it.

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// How deeply containers may nest. xgboost's files need ten levels.
const MAX_DEPTH: u32 = 64;

/// Why bytes are no UBJSON, or not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub(super) struct UbjsonError {
    offset: usize,
    reason: String,
}

impl de::Error for UbjsonError {
    fn custom<T: std::fmt::Display>(reason: T) -> Self {
        Self { offset: 0, reason: reason.to_string() }
    }
}

/// Reads one value. What follows it is not looked at.
///
/// # Errors
/// Bytes that are no UBJSON, containers that nest too deeply, and what `T` does not accept.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UbjsonError> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let marker = reader.marker()?;
    T::deserialize(Value { reader: &mut reader, marker })
        .map_err(|error| UbjsonError { offset: error.offset.max(reader.at), ..error })
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: u32,
}

/// What is declared of a container's elements.
#[derive(Clone, Copy)]
struct Header {
    marker: Option<u8>,
    count: Option<usize>,
}

impl<'de> Reader<'de> {
    fn fail<T>(&self, reason: impl Into<String>) -> Result<T, UbjsonError> {
        Err(UbjsonError { offset: self.at, reason: reason.into() })
    }

    fn take(&mut self, length: usize) -> Result<&'de [u8], UbjsonError> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => self.fail(format!("{length} bytes are needed, {} are left", self.bytes.len() - self.at)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], UbjsonError> {
        let bytes = self.take(N)?;
        bytes.try_into().or_else(|_| self.fail("too few bytes"))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next marker; `N` stands for nothing.
    fn marker(&mut self) -> Result<u8, UbjsonError> {
        loop {
            match self.array::<1>()? {
                [b'N'] => {}
                [marker] => return Ok(marker),
            }
        }
    }

    fn integer(&mut self, marker: u8) -> Result<i64, UbjsonError> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return self.fail(format!("{:?} stands where an integer is needed", char::from(marker))),
        })
    }

    fn length(&mut self) -> Result<usize, UbjsonError> {
        let marker = self.array::<1>()?[0];
        let length = self.integer(marker)?;
        usize::try_from(length).or_else(|_| self.fail(format!("a length of {length}")))
    }

    fn text(&mut self) -> Result<&'de str, UbjsonError> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).or_else(|_| self.fail("a text is not UTF-8"))
    }

    fn header(&mut self) -> Result<Header, UbjsonError> {
        let mut header = Header { marker: None, count: None };
        if self.peek() == Some(b'$') {
            self.at += 1;
            let marker = self.array::<1>()?[0];
            if matches!(marker, b'Z' | b'N' | b'T' | b'F') {
                return self.fail("elements without content");
            }
            header.marker = Some(marker);
        }
        if self.peek() == Some(b'#') {
            self.at += 1;
            let count = self.length()?;
            if count > self.bytes.len() - self.at {
                return self.fail(format!("{count} elements, with {} bytes left", self.bytes.len() - self.at));
            }
            header.count = Some(count);
        } else if header.marker.is_some() {
            return self.fail("a type without a count");
        }
        Ok(header)
    }
}

/// A value whose marker has been read.
struct Value<'r, 'de> {
    reader: &'r mut Reader<'de>,
    marker: u8,
}

impl<'de> de::Deserializer<'de> for Value<'_, 'de> {
    type Error = UbjsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        let reader = self.reader;
        match self.marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            marker @ (b'i' | b'U' | b'I' | b'l' | b'L') => visitor.visit_i64(reader.integer(marker)?),
            b'd' => visitor.visit_f32(f32::from_be_bytes(reader.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(reader.array()?)),
            b'C' => {
                let [character] = reader.array()?;
                visitor.visit_char(character.into())
            }
            b'S' | b'H' => visitor.visit_borrowed_str(reader.text()?),
            marker @ (b'[' | b'{') => {
                if reader.depth >= MAX_DEPTH {
                    return reader.fail(format!("more than {MAX_DEPTH} levels"));
                }
                reader.depth += 1;
                let header = reader.header()?;
                let mut container = Container { reader, header, done: 0, close: marker + 2 };
                let value = if marker == b'[' {
                    visitor.visit_seq(&mut container)?
                } else {
                    visitor.visit_map(&mut container)?
                };
                if container.next()? {
                    return container.reader.fail("more elements than are expected");
                }
                container.reader.depth -= 1;
                Ok(value)
            }
            other => reader.fail(format!("{:?} is no type of UBJSON", char::from(other))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, UbjsonError> {
        if self.marker == b'Z' { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, UbjsonError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct
        map struct enum identifier ignored_any
    }
}

/// A container whose elements are being read.
struct Container<'r, 'de> {
    reader: &'r mut Reader<'de>,
    header: Header,
    done: usize,
    /// The marker that ends it where its count is not declared.
    close: u8,
}

impl Container<'_, '_> {
    /// Whether there is another element; else the container has been left.
    fn next(&mut self) -> Result<bool, UbjsonError> {
        if let Some(count) = self.header.count {
            return Ok(self.done < count);
        }
        while self.reader.peek() == Some(b'N') {
            self.reader.at += 1;
        }
        if self.reader.peek() == Some(self.close) {
            self.reader.at += 1;
            self.header.count = Some(self.done);
            return Ok(false);
        }
        Ok(true)
    }
}

impl<'de> SeqAccess<'de> for Container<'_, 'de> {
    type Error = UbjsonError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, UbjsonError> {
        if !self.next()? {
            return Ok(None);
        }
        self.done += 1;
        let marker = self.marker()?;
        seed.deserialize(Value { reader: self.reader, marker }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.header.count.map(|count| count.saturating_sub(self.done))
    }
}

impl<'de> MapAccess<'de> for Container<'_, 'de> {
    type Error = UbjsonError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, UbjsonError> {
        if !self.next()? {
            return Ok(None);
        }
        self.done += 1;
        let key = self.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, UbjsonError> {
        let marker = self.marker()?;
        seed.deserialize(Value { reader: self.reader, marker })
    }
}

impl Container<'_, '_> {
    /// The marker of the next element: the declared one, or that in the file.
    fn marker(&mut self) -> Result<u8, UbjsonError> {
        match self.header.marker {
            Some(marker) => Ok(marker),
            None => self.reader.marker(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::from_slice;
    use serde_json::{Value, json};

    fn read(bytes: &[u8]) -> Result<Value, String> {
        from_slice(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn every_type_and_form_of_container() {
        let cases: [(&[u8], Value); 9] = [
            (b"Z", json!(null)),
            (
                b"[TFi\xffU\xffI\x01\x00l\x00\x01\x00\x00L\0\0\0\0\0\0\0\x05]",
                json!([true, false, -1, 255, 256, 65536, 5]),
            ),
            (b"[d\x3f\x80\0\0D\x3f\xf0\0\0\0\0\0\0]", json!([1.0, 1.0])),
            (b"[CaSi\x02bcHi\x011]", json!(["a", "bc", "1"])),
            (b"[$l#L\0\0\0\0\0\0\0\x02\0\0\0\x01\xff\xff\xff\xff", json!([1, -1])),
            (b"[#i\x02NTF", json!([true, false])),
            (b"{i\x01a[]NL\0\0\0\0\0\0\0\x01b{}}", json!({"a": [], "b": {}})),
            (b"{#i\x01i\x01aT", json!({"a": true})),
            (b"[$[#i\x02]T]", json!([[], [true]])),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes).unwrap(), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let deep = b"[".repeat(1000);
        let cases: [&[u8]; 10] = [
            b"",
            b"x",
            b"[",
            b"[$T#L\0\0\xff\xff\xff\xff\xff\xff",
            b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"[$d]",
            b"{i\xff",
            b"Si\x02\xff\xff",
            b"L\0\0",
            &deep,
        ];
        for bytes in cases {
            assert!(read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
