//! Decodes the protobuf bytes of a model with bounded memory.
//!
//! A message of two bytes becomes a struct of hundreds, so the messages are counted before anything is built.

use prost::Message;
use tract_onnx::pb::ModelProto;

use super::FrontendError;

/// The deepest nesting of messages that is counted; prost refuses deeper ones.
const MAX_DEPTH: usize = 100;
/// Length-delimited fields that any file may have. A model with a million nodes has a few times as many.
const FREE_FIELDS: usize = 1 << 20;
/// Bytes of the file for each further length-delimited field.
const BYTES_PER_FIELD: usize = 4;

/// Decodes a model.
pub(super) fn decode(bytes: &[u8]) -> Result<ModelProto, FrontendError> {
    let limit = FREE_FIELDS + bytes.len() / BYTES_PER_FIELD;
    let mut left = limit;
    if !count(bytes, ModelField::Model, MAX_DEPTH, &mut left) {
        return Err(FrontendError::malformed("model", format!("it has more than {limit} parts for its size")));
    }
    ModelProto::decode(bytes).map_err(|error| FrontendError::malformed("model", format!("not an ONNX model: {error}")))
}

/// Messages that hold others in numbers.
#[derive(Clone, Copy)]
enum ModelField {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Other,
}

impl ModelField {
    /// The kind of message in a length-delimited field; `None` for strings, bytes and packed numbers.
    fn child(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) => Some(Self::Graph),
            (Self::Model, 8 | 14 | 20) => Some(Self::Other),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Function, 7) => Some(Self::Node),
            (Self::Function, 11) => Some(Self::Attribute),
            (Self::Graph, 1) => Some(Self::Node),
            (Self::Graph, 5 | 11..=15) => Some(Self::Other),
            (Self::Node, 5) => Some(Self::Attribute),
            (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Attribute, 5 | 10 | 14 | 15 | 22 | 23) => Some(Self::Other),
            _ => None,
        }
    }
}

/// Takes one off `left` for each length-delimited field; false when there are more. What cannot be read is left to prost.
fn count(bytes: &[u8], kind: ModelField, depth: usize, left: &mut usize) -> bool {
    let mut rest = bytes;
    while let Some((key, after)) = varint(rest) {
        rest = match key & 7 {
            0 => match varint(after) {
                Some((_, after)) => after,
                None => return true,
            },
            1 => after.get(8..).unwrap_or_default(),
            5 => after.get(4..).unwrap_or_default(),
            2 => {
                let Some((length, after)) = varint(after) else { return true };
                let Some(next) = left.checked_sub(1) else { return false };
                *left = next;
                let Some((inner, after)) =
                    usize::try_from(length).ok().and_then(|length| after.split_at_checked(length))
                else {
                    return true;
                };
                let child = kind.child(key >> 3).filter(|_| depth > 0);
                if child.is_some_and(|child| !count(inner, child, depth - 1, left)) {
                    return false;
                }
                after
            }
            _ => return true,
        };
    }
    true
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (7 * index).min(63);
        if byte < 0x80 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}
