//! numpy's ways to spell arrays, scalars and element types in a pickle.

use super::array::{Elements, MOST_DIMENSIONS, NdArray, Order, decode_ucs4, extent};
use super::builder::Builder;
use super::document::{Blob, Node, Value};
use super::dtype::{Dtype, Field, Kind, MOST_FIELDS};
use super::error::PickleError;
use super::globals::Role;

impl Builder<'_> {
    /// `numpy.dtype(code, align, copy)`.
    pub(super) fn make_dtype(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let args = self.few_args(global, args)?;
        let code = args.first().and_then(|&a| self.as_name(a));
        let Some(code) = code else {
            return Err(self.misuse(global, "the element type has no name"));
        };
        let dtype = Dtype::parse(code).map_err(|reason| PickleError::Dtype {
            offset: self.offset,
            dtype: code.to_owned(),
            reason,
        })?;
        self.add(Node::Dtype(dtype))
    }

    /// The state of a dtype: version, byte order, sub-array, names, fields, size, alignment, flags.
    pub(super) fn set_dtype(&mut self, dtype: &Dtype, state: Value) -> Result<Dtype, PickleError> {
        let Some(parts) = self.contents.sequence(state).filter(|p| p.len() >= 6) else {
            return Err(self.malformed("the state of a dtype is not a tuple of 6 or more"));
        };
        let (order, subarray, names, fields, size) = (parts[1], parts[2], parts[3], parts[4], parts[5]);
        if subarray != Value::None {
            return Err(self.dtype_error(dtype, "elements that are arrays themselves are not read"));
        }
        if names == Value::None {
            let big_endian = self.as_name(order) == Some(">");
            return Ok(Dtype { big_endian, ..dtype.clone() });
        }
        let Value::Int(size) = size else {
            return Err(self.dtype_error(dtype, "its size is not an int"));
        };
        let size = usize::try_from(size).unwrap_or(0);
        let fields = self.fields(dtype, names, fields)?;
        let name_bytes = fields.iter().map(|f| f.name.len()).sum();
        self.budget.allocate(fields.len(), size_of::<Field>(), self.offset)?;
        self.charge_bytes(name_bytes)?;
        let structure = Dtype::structure(fields, size);
        structure.map_err(|reason| self.dtype_error(dtype, reason))
    }

    /// The fields of a structured dtype: `names` in order, `fields` from name to a tuple of dtype and offset.
    fn fields(&self, dtype: &Dtype, names: Value, fields: Value) -> Result<Vec<Field>, PickleError> {
        let Some(names) = self.contents.sequence(names) else {
            return Err(self.dtype_error(dtype, "its field names are not a tuple"));
        };
        let Some(Node::Dict(entries)) = self.contents.node(fields) else {
            return Err(self.dtype_error(dtype, "its fields are not a dict"));
        };
        if names.len() > entries.len() {
            return Err(self.dtype_error(dtype, "it names more fields than it has"));
        }
        if entries.len() > MOST_FIELDS {
            let reason = format!("it has more than {MOST_FIELDS} fields");
            return Err(self.dtype_error(dtype, reason));
        }
        let find = |name: &str| entries.iter().find(|(k, _)| self.is_text(*k, name));
        let mut out = Vec::with_capacity(names.len());
        for &name in names {
            let name = self.as_name(name).unwrap_or_default();
            let place = find(name).and_then(|(_, v)| self.contents.sequence(*v));
            let Some(&[field, Value::Int(offset), ..]) = place else {
                let reason = format!("its field {name:?} has no type and offset");
                return Err(self.dtype_error(dtype, reason));
            };
            let Some(Node::Dtype(field)) = self.contents.node(field) else {
                return Err(self.dtype_error(dtype, format!("its field {name:?} has no dtype")));
            };
            out.push(Field {
                name: name.to_owned(),
                offset: usize::try_from(offset).unwrap_or(usize::MAX),
                dtype: field.clone(),
            });
        }
        Ok(out)
    }

    fn dtype_error(&self, dtype: &Dtype, reason: impl Into<String>) -> PickleError {
        PickleError::Dtype { offset: self.offset, dtype: dtype.to_string(), reason: reason.into() }
    }

    /// `_reconstruct(class, shape, code)`: an array without content yet, as an object that BUILD turns into an array.
    pub(super) fn reconstruct(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let items = self.few_args(global, args)?;
        self.array_class(global, items.first().copied())?;
        self.object(global, args, None)
    }

    /// Checks that `class` is an array class.
    pub(super) fn array_class(&self, global: u32, class: Option<Value>) -> Result<(), PickleError> {
        let role = match class.and_then(|c| self.contents.node(c)) {
            Some(Node::Global(index)) => self.role(*index),
            _ => Role::Data,
        };
        match role {
            Role::ArrayClass => Ok(()),
            _ => Err(self.misuse(global, "it makes something other than a plain array")),
        }
    }

    /// The array that the state of a `_reconstruct`ed object says: version, shape, dtype, Fortran order, elements.
    pub(super) fn array_from_state(&mut self, global: u32, state: Value) -> Result<NdArray, PickleError> {
        let parts = self.few_args(global, state)?;
        let &[_, shape, dtype, fortran, data] = parts.as_slice() else {
            return Err(self.misuse(global, "the state of the array is not a tuple of 5"));
        };
        let order = match fortran {
            Value::Bool(true) | Value::Int(1) => Order::Fortran,
            _ => Order::C,
        };
        self.array(global, dtype, shape, order, data)
    }

    /// `_frombuffer(bytes, dtype, shape, order)`.
    pub(super) fn array_from_buffer(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let parts = self.few_args(global, args)?;
        let &[data, dtype, shape, order, ..] = parts.as_slice() else {
            return Err(self.misuse(global, "it takes bytes, dtype, shape and order"));
        };
        let order = self.order(global, order)?;
        let array = self.array(global, dtype, shape, order, data)?;
        self.add(Node::Array(Box::new(array)))
    }

    /// `"C"` or `"F"`.
    pub(super) fn order(&self, global: u32, value: Value) -> Result<Order, PickleError> {
        match self.as_name(value) {
            Some("C" | "A" | "K") => Ok(Order::C),
            Some("F") => Ok(Order::Fortran),
            _ => Err(self.misuse(global, "the order of the array is neither C nor F")),
        }
    }

    /// The dtype that `value` is.
    pub(super) fn dtype(&self, global: u32, value: Value) -> Result<Dtype, PickleError> {
        match self.contents.node(value) {
            Some(Node::Dtype(dtype)) => Ok(dtype.clone()),
            _ => Err(self.misuse(global, "the element type is not a dtype")),
        }
    }

    /// The shape that `value`, a tuple of ints, says.
    pub(super) fn shape(&mut self, global: u32, value: Value) -> Result<Vec<usize>, PickleError> {
        let dimensions = self.contents.sequence(value).map_or(0, <[Value]>::len);
        self.budget.allocate(dimensions, size_of::<usize>(), self.offset)?;
        let shape = self.contents.sequence(value).and_then(|items| {
            let length = |item: &Value| match item {
                Value::Int(i) => usize::try_from(*i).ok(),
                _ => None,
            };
            items.iter().map(length).collect::<Option<Vec<usize>>>()
        });
        match shape {
            Some(shape) if shape.len() <= MOST_DIMENSIONS => Ok(shape),
            _ => Err(self.misuse(
                global,
                format!("the shape is not a tuple of at most {MOST_DIMENSIONS} ints that are not negative"),
            )),
        }
    }

    /// Number of elements of an array and their bytes, `available` at most.
    pub(super) fn checked_extent(
        &self,
        global: u32,
        shape: &[usize],
        dtype: &Dtype,
        available: u64,
    ) -> Result<(usize, u64), PickleError> {
        match extent(shape, dtype.size) {
            // Elements without bytes would make any count free of charge.
            Some((count, bytes)) if bytes <= available && (dtype.size > 0 || count == 0) => Ok((count, bytes)),
            Some((_, bytes)) => Err(self.misuse(
                global,
                format!("it declares an array of {dtype} {shape:?} of {bytes} bytes, but there are {available}"),
            )),
            None => {
                Err(self
                    .misuse(global, format!("it declares an array of {dtype} {shape:?}, more than memory can hold")))
            }
        }
    }

    /// An array of the given parts; `data` is bytes, or a list for an array of objects.
    fn array(
        &mut self,
        global: u32,
        dtype: Value,
        shape: Value,
        order: Order,
        data: Value,
    ) -> Result<NdArray, PickleError> {
        let dtype = self.dtype(global, dtype)?;
        let shape = self.shape(global, shape)?;
        let elements = match (self.contents.node(data), &dtype.kind) {
            (Some(Node::List(items)), Kind::Object) => {
                let given = items.len();
                if extent(&shape, 0).map(|(count, _)| count) != Some(given) {
                    let reason = format!("an array of shape {shape:?} cannot have {given} elements");
                    return Err(self.misuse(global, reason));
                }
                self.charge_values(given)?;
                Elements::Objects(self.contents.sequence(data).unwrap_or_default().to_vec())
            }
            (_, Kind::Object) => {
                return Err(self.misuse(global, "the objects of an array are not in a list"));
            }
            (Some(Node::Bytes(blob)), _) => {
                let available = blob.len() as u64;
                let (_, bytes) = self.checked_extent(global, &shape, &dtype, available)?;
                if bytes != available {
                    return Err(self
                        .misuse(global, format!("an array of {dtype} {shape:?} has {bytes} bytes, not {available}")));
                }
                let (blob, owned) = (blob.clone(), matches!(blob, Blob::Owned(_)));
                if owned {
                    self.charge_bytes(blob.len())?;
                }
                Elements::Raw(blob)
            }
            _ => return Err(self.misuse(global, "the content of an array is not bytes")),
        };
        Ok(NdArray { dtype, shape, order, elements })
    }

    /// `scalar(dtype, bytes)`: the value itself.
    pub(super) fn scalar(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let parts = self.few_args(global, args)?;
        let &[dtype, data] = parts.as_slice() else {
            return Err(self.misuse(global, "it takes a dtype and bytes"));
        };
        let dtype = self.dtype(global, dtype)?;
        let bytes = match self.contents.node(data) {
            Some(Node::Bytes(blob)) if blob.len() == dtype.size => blob.resolve(self.bytes),
            _ => return Err(self.misuse(global, format!("its content is not one {dtype}"))),
        };
        if dtype.kind == Kind::Unicode {
            return match decode_ucs4(bytes, dtype.big_endian) {
                Some(text) => self.made_text(text),
                None => Err(self.misuse(global, "its text has an invalid code point")),
            };
        }
        let mut wide = [0; 8];
        match wide.get_mut(..bytes.len()) {
            Some(low) => low.copy_from_slice(bytes),
            None => return Err(self.misuse(global, format!("a scalar of {dtype} is not read"))),
        }
        if dtype.big_endian {
            wide[..bytes.len()].reverse();
        }
        number(&dtype, wide)
            .ok_or_else(|| self.misuse(global, format!("a scalar of {dtype} with this value is not read")))
    }
}

/// The number in the low, little-endian bytes of `wide`.
fn number(dtype: &Dtype, wide: [u8; 8]) -> Option<Value> {
    let bits = u64::from_le_bytes(wide);
    let unused = 64usize.checked_sub(8 * dtype.size)? as u32;
    Some(match (&dtype.kind, dtype.size) {
        (Kind::Bool, _) => Value::Bool(bits != 0),
        (Kind::Int, 1..) => Value::Int(((bits << unused) as i64) >> unused),
        (Kind::UInt, _) => Value::Int(i64::try_from(bits).ok()?),
        (Kind::Float, 2) => Value::Float(half::f16::from_bits(bits as u16).to_f64()),
        (Kind::Float, 4) => Value::Float(f64::from(f32::from_bits(bits as u32))),
        (Kind::Float, 8) => Value::Float(f64::from_bits(bits)),
        _ => return None,
    })
}
