//! Element types of numpy arrays.

use std::fmt;
use std::sync::Arc;

/// What an element's bytes mean; the width is [`Dtype::size`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte, zero or not.
    Bool,
    /// Signed, 1 to 8 bytes.
    Int,
    /// Unsigned, 1 to 8 bytes.
    UInt,
    /// IEEE 754, 2, 4 or 8 bytes.
    Float,
    /// UCS-4 code points, padded with zeros at the end.
    Unicode,
    /// Bytes, padded with zeros at the end.
    Bytes,
    /// Bytes without a meaning of their own.
    Void,
    /// Any Python object.
    Object,
    /// Named fields.
    Struct(Arc<[Field]>),
}

/// A field of a structured element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its first byte within the element.
    pub offset: usize,
    /// Its type, which is not itself structured.
    pub dtype: Dtype,
}

/// An array's element type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtype {
    /// What the bytes mean.
    pub kind: Kind,
    /// Bytes per element, padding of structured elements included.
    pub size: usize,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
}

/// Fields of one structured element at most.
pub(super) const MOST_FIELDS: usize = 64;

impl Dtype {
    /// The type that numpy spells `code`, as in `f8`, `i4`, `U12`, `O8`; little-endian. The error is the reason.
    pub(super) fn parse(code: &str) -> Result<Dtype, String> {
        let (big_endian, code) = match code.as_bytes().first() {
            Some(b'>') => (true, &code[1..]),
            Some(b'<' | b'|' | b'=') => (false, &code[1..]),
            _ => (false, code),
        };
        let mut chars = code.chars();
        let letter = chars.next().ok_or("it has no name")?;
        let digits = chars.as_str();
        let number = match digits {
            "" => None,
            _ if digits.len() <= 9 => digits.parse::<usize>().ok(),
            _ => return Err("its size is out of range".to_owned()),
        };
        let (kind, size) = match (letter, number) {
            ('b', Some(1)) | ('?', None) => (Kind::Bool, 1),
            ('i', Some(n @ (1 | 2 | 4 | 8))) => (Kind::Int, n),
            ('u', Some(n @ (1 | 2 | 4 | 8))) => (Kind::UInt, n),
            ('f', Some(n @ (2 | 4 | 8))) => (Kind::Float, n),
            ('U', Some(n)) => (Kind::Unicode, n * 4),
            ('S', Some(n)) => (Kind::Bytes, n),
            ('V', Some(n)) => (Kind::Void, n),
            ('O', _) => (Kind::Object, 8),
            ('f' | 'g', _) => return Err("floats wider than 64 bits are not read".to_owned()),
            ('c' | 'F' | 'D' | 'G', _) => return Err("complex numbers are not read".to_owned()),
            ('M' | 'm', _) => return Err("dates and durations are not read".to_owned()),
            _ => return Err("it is unknown".to_owned()),
        };
        Ok(Dtype { kind, size, big_endian })
    }

    /// A structured type of `size` bytes. The error is the reason.
    pub(super) fn structure(fields: Vec<Field>, size: usize) -> Result<Dtype, String> {
        for field in &fields {
            if matches!(field.dtype.kind, Kind::Struct(_) | Kind::Object | Kind::Void) {
                return Err(format!("its field {:?} is of type {}", field.name, field.dtype));
            }
            if field.offset.checked_add(field.dtype.size).is_none_or(|end| end > size) {
                return Err(format!("its field {:?} lies outside the element", field.name));
            }
        }
        Ok(Dtype { kind: Kind::Struct(fields.into()), size, big_endian: false })
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.size * 8;
        match &self.kind {
            Kind::Bool => f.write_str("bool"),
            Kind::Int => write!(f, "int{bits}"),
            Kind::UInt => write!(f, "uint{bits}"),
            Kind::Float => write!(f, "float{bits}"),
            Kind::Unicode => write!(f, "str of {} characters", self.size / 4),
            Kind::Bytes => write!(f, "bytes of length {}", self.size),
            Kind::Void => write!(f, "void of {} bytes", self.size),
            Kind::Object => f.write_str("object"),
            Kind::Struct(fields) => write!(f, "struct of {} fields", fields.len()),
        }
    }
}
