//! Arrays in joblib files: the pickle stops to be one for as long as an array lasts.
//!
//! A `NumpyArrayWrapper` announces shape, order and element type in its state. Directly after the BUILD opcode come the raw
//! elements, or for arrays of objects a complete nested pickle. Writers since joblib 1.3 put a length byte and that many
//! bytes of padding first, and say so by the key `numpy_array_alignment_bytes`.

use super::array::{Elements, NdArray};
use super::builder::Builder;
use super::cursor::Cursor;
use super::document::{Blob, Node, Value};
use super::dtype::{Dtype, Kind};
use super::error::PickleError;

/// The state of a wrapper.
pub(super) struct Wrapper {
    global: u32,
    dtype: Dtype,
    shape: Value,
    order: Value,
    aligned: bool,
}

impl Wrapper {
    /// Reads the wrapper's state, a dict.
    pub(super) fn parse(builder: &Builder<'_>, global: u32, state: Value) -> Result<Wrapper, PickleError> {
        let Some(Node::Dict(entries)) = builder.contents.node(state) else {
            return Err(builder.misuse(global, "its state is not a dict"));
        };
        let find = |name: &str| {
            let mut newest = entries.iter().rev();
            newest.find_map(|&(k, v)| builder.is_text(k, name).then_some(v))
        };
        let need = |name: &str| find(name).ok_or_else(|| builder.misuse(global, format!("its state has no `{name}`")));
        builder.array_class(global, Some(need("subclass")?))?;
        Ok(Wrapper {
            global,
            dtype: builder.dtype(global, need("dtype")?)?,
            shape: need("shape")?,
            order: need("order")?,
            aligned: !matches!(find("numpy_array_alignment_bytes"), None | Some(Value::None)),
        })
    }

    /// Whether a nested pickle follows instead of raw elements.
    pub(super) fn is_nested(&self) -> bool {
        self.dtype.kind == Kind::Object
    }

    /// The array whose elements `cursor` is at.
    pub(super) fn read(&self, builder: &mut Builder<'_>, cursor: &mut Cursor<'_>) -> Result<Value, PickleError> {
        if self.aligned {
            let padding = cursor.unsigned(1, "array padding")?;
            cursor.skip(padding, "array padding")?;
        }
        let shape = builder.shape(self.global, self.shape)?;
        let order = builder.order(self.global, self.order)?;
        let available = cursor.remaining() as u64;
        let (_, bytes) = builder.checked_extent(self.global, &shape, &self.dtype, available)?;
        let start = cursor.skip(bytes, "array elements")?;
        // The extent was found to be within the file, so it fits.
        let length = cursor.position() - start;
        builder.add(Node::Array(Box::new(NdArray {
            dtype: self.dtype.clone(),
            shape,
            order,
            elements: Elements::Raw(Blob::Span(start, length)),
        })))
    }
}
