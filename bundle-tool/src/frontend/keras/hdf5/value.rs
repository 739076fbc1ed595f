//! Types, spaces and values of attributes and datasets.

use super::chunks;
use super::cursor::{Cursor, text};
use super::{File, Object, Read, UNDEFINED, header};

/// The most axes of a value.
pub(super) const MAX_AXES: usize = 32;

/// A value with its lengths; one element where there are none.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Array {
    /// Lengths of the axes.
    pub(in super::super) dims: Vec<usize>,
    /// The elements in C order.
    pub(in super::super) elements: Elements,
}

/// Elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Elements {
    /// Numbers of any type, as single floats, which is what Keras computes in.
    Floats(Vec<f32>),
    /// Texts.
    Texts(Vec<String>),
}

impl Array {
    /// The only text.
    pub(in super::super) fn as_text(&self) -> Option<&str> {
        match &self.elements {
            Elements::Texts(texts) if texts.len() == 1 => texts.first().map(String::as_str),
            _ => None,
        }
    }

    /// The texts of a list.
    pub(in super::super) fn into_texts(self) -> Option<Vec<String>> {
        match self.elements {
            Elements::Texts(texts) => Some(texts),
            Elements::Floats(floats) => floats.is_empty().then(Vec::new),
        }
    }
}

/// The type of an element.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    Integer { width: usize, signed: bool, big: bool },
    Float { width: usize, big: bool },
    Text { width: usize },
    LongText,
    Bool,
}

impl Type {
    fn parse(body: &[u8]) -> Read<Self> {
        let mut cursor = Cursor::new(body);
        let kind = cursor.u8()? & 15;
        let bits = cursor.number(3)?;
        let width = cursor.u32()? as usize;
        let big = bits & 1 != 0;
        match kind {
            0 if matches!(width, 1 | 2 | 4 | 8) => Ok(Self::Integer { width, signed: bits & 8 != 0, big }),
            1 => {
                cursor.take(4)?;
                let parts = [cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?];
                match (width, parts) {
                    (2, [10, 5, 0, 10]) | (4, [23, 8, 0, 23]) | (8, [52, 11, 0, 52]) => Ok(Self::Float { width, big }),
                    _ => Err(format!("floats of {width} bytes that are not IEEE's are not read")),
                }
            }
            3 if width > 0 => Ok(Self::Text { width }),
            // An enumeration of false and true, which is how booleans are kept.
            8 if width == 1 => Ok(Self::Bool),
            9 if bits & 15 == 1 && width == 16 => Ok(Self::LongText),
            _ => Err(format!("values of the class {kind} and {width} bytes are not read")),
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Integer { width, .. } | Self::Float { width, .. } | Self::Text { width } => width,
            Self::LongText => 16,
            Self::Bool => 1,
        }
    }

    /// A number.
    fn float(self, bytes: &[u8]) -> f32 {
        let mut ordered = [0u8; 8];
        let (big, width) = match self {
            Self::Integer { width, big, .. } | Self::Float { width, big } => (big, width),
            _ => (false, 1),
        };
        for (at, &byte) in bytes.iter().take(width).enumerate() {
            ordered[if big { width - 1 - at } else { at }] = byte;
        }
        let bits = u64::from_le_bytes(ordered);
        match self {
            Self::Float { width: 2, .. } => half::f16::from_bits(bits as u16).to_f32(),
            Self::Float { width: 4, .. } => f32::from_bits(bits as u32),
            Self::Float { .. } => f64::from_bits(bits) as f32,
            Self::Integer { signed: true, width, .. } => {
                let unused = 64 - 8 * width as u32;
                ((bits << unused) as i64 >> unused) as f32
            }
            _ => bits as f32,
        }
    }
}

/// Lengths of axes; `None` for a space without elements.
fn dims(body: &[u8]) -> Read<Option<Vec<usize>>> {
    let mut cursor = Cursor::new(body);
    let (version, axes, _flags) = (cursor.u8()?, usize::from(cursor.u8()?), cursor.u8()?);
    let kind = cursor.u8()?;
    match version {
        1 => {
            cursor.take(4)?;
        }
        2 if kind == 2 => return Ok(None),
        2 => {}
        other => return Err(format!("spaces of version {other} are not read")),
    }
    if axes > MAX_AXES {
        return Err(format!("a value of {axes} axes"));
    }
    let length = |_| cursor.u64().and_then(|length| usize::try_from(length).map_err(|_| "a long axis".to_owned()));
    (0..axes).map(length).collect::<Read<Vec<_>>>().map(Some)
}

/// The value of an attribute message, if the attribute has this name.
pub(super) fn attribute(file: &File<'_>, body: &[u8], wanted: &str) -> Read<Option<Array>> {
    file.step()?;
    let mut cursor = Cursor::new(body);
    let (version, flags) = (cursor.u8()?, cursor.u8()?);
    if !(1..=3).contains(&version) {
        return Err(format!("attributes of version {version} are not read"));
    }
    let lengths = [cursor.u16()?, cursor.u16()?, cursor.u16()?].map(usize::from);
    cursor.take(if version == 3 { 1 } else { 0 })?;
    let mut part = |length: usize| {
        let part = cursor.take(length)?;
        if version == 1 {
            cursor.align()?;
        }
        Ok::<_, String>(part)
    };
    let [name, kind, space] = [part(lengths[0])?, part(lengths[1])?, part(lengths[2])?];
    if text(name)? != wanted {
        return Ok(None);
    }
    if version > 1 && flags & 3 != 0 {
        return Err(format!("the attribute {wanted:?} has a type that stands elsewhere, which is not read"));
    }
    let (kind, dims) = (Type::parse(kind)?, dims(space)?);
    let Some(dims) = dims else {
        return Ok(Some(Array { dims: vec![0], elements: Elements::Floats(Vec::new()) }));
    };
    let needed = bytes_of(&dims, kind)?;
    let bytes = cursor.take(usize::try_from(needed).map_err(|_| "a long attribute")?)?;
    elements(file, kind, bytes).map(|elements| Some(Array { dims, elements }))
}

/// What the elements take.
fn bytes_of(dims: &[usize], kind: Type) -> Read<u64> {
    let bytes = dims.iter().try_fold(kind.width() as u64, |bytes, &length| bytes.checked_mul(length as u64));
    bytes.ok_or_else(|| format!("a value of {dims:?} elements"))
}

/// The elements in some bytes.
fn elements(file: &File<'_>, kind: Type, bytes: &[u8]) -> Read<Elements> {
    let parts = bytes.chunks_exact(kind.width());
    let count = parts.len() as u64;
    match kind {
        Type::Text { .. } => {
            file.allot((bytes.len() as u64).saturating_add(count * 24))?;
            let trimmed = parts.map(|part| text(part).map(|text| text.trim_end_matches(' ').to_owned()));
            trimmed.collect::<Read<_>>().map(Elements::Texts)
        }
        Type::LongText => {
            file.allot(count * 24)?;
            parts.map(|part| long_text(file, part)).collect::<Read<_>>().map(Elements::Texts)
        }
        _ => {
            file.allot(count * 4)?;
            Ok(Elements::Floats(parts.map(|part| kind.float(part)).collect()))
        }
    }
}

/// A text of any length: its length, and the number of an object in a collection.
fn long_text(file: &File<'_>, part: &[u8]) -> Read<String> {
    let mut cursor = Cursor::new(part);
    let (length, collection, wanted) = (cursor.u32()?, cursor.u64()?, cursor.u32()?);
    if length == 0 {
        return Ok(String::new());
    }
    let mut cursor = file.from(collection)?;
    cursor.mark(b"GCOL")?;
    cursor.take(4)?;
    let size = cursor.u64()?;
    let mut cursor = Cursor::new(file.at(collection, size)?);
    cursor.take(16)?;
    while cursor.rest().len() >= 16 {
        file.step()?;
        let index = cursor.u16()?;
        cursor.take(6)?;
        let size = usize::try_from(cursor.u64()?).map_err(|_| "a text outside the file")?;
        if index == 0 {
            break;
        }
        let object = cursor.take(size)?;
        if u32::from(index) == wanted {
            file.allot(length.into())?;
            return text(object.get(..length as usize).ok_or("a text is longer than its object")?);
        }
        cursor.align()?;
    }
    Err("a text is not where it should be".to_owned())
}

/// The values of a dataset.
pub(super) fn dataset(object: &Object<'_>) -> Read<Array> {
    let file = object.file;
    let missing = "a dataset without a type, a space or a layout";
    let kind = Type::parse(object.message(header::DATATYPE).ok_or(missing)?)?;
    let dims = dims(object.message(header::DATASPACE).ok_or(missing)?)?.unwrap_or_else(|| vec![0]);
    let needed = bytes_of(&dims, kind)?;
    let mut cursor = Cursor::new(object.message(header::LAYOUT).ok_or(missing)?);
    let (version, class) = (cursor.u8()?, cursor.u8()?);
    if !matches!(version, 3 | 4) {
        return Err(format!("layouts of version {version} are not read"));
    }
    let held;
    let bytes = match class {
        0 => {
            let length = cursor.u16()?;
            cursor.take(length.into())?
        }
        1 => match cursor.u64()? {
            // Nothing has been written: zeros.
            UNDEFINED => {
                held = vec![0; file.allot(needed)?];
                &held[..]
            }
            address => file.at(address, needed)?,
        },
        2 if version == 3 => {
            held = chunks::read(object, cursor, &dims, kind.width(), file.allot(needed)?)?;
            &held[..]
        }
        _ => return Err(format!("layouts of version {version} and class {class} are not read")),
    };
    let length = usize::try_from(needed).ok().filter(|&length| length <= bytes.len());
    let bytes = &bytes[..length.ok_or("a dataset is shorter than its space")?];
    elements(file, kind, bytes).map(|elements| Array { dims, elements })
}
