//! Constants: `TensorProto` with every length checked.

use std::cell::Cell;

use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_onnx::pb::{SparseTensorProto, TensorProto};

use super::external;

/// The elements of a constant in C order.
pub(super) struct Constant {
    pub(super) spec: TensorSpec,
    pub(super) bytes: Vec<u8>,
}

/// The element type with ONNX's number.
pub(super) fn dtype(number: i32) -> Result<DType, String> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        8 => DType::Text,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        17 => DType::F8E4M3FN,
        18 => DType::F8E4M3FNUZ,
        19 => DType::F8E5M2,
        20 => DType::F8E5M2FNUZ,
        21 => DType::U4,
        22 => DType::I4,
        23 => DType::F4E2M1,
        24 => DType::F8E8M0,
        25 => DType::U2,
        26 => DType::I2,
        14 | 15 => return Err("element type complex is not supported".to_owned()),
        _ => return Err(format!("element type {number} is not known")),
    })
}

/// Reads a tensor. The error says what is wrong with it.
pub(super) fn read(tensor: &TensorProto) -> Result<Constant, String> {
    if external::is_external(tensor) {
        let location = tensor.external_data.iter().find(|entry| entry.key == "location");
        let location = location.map_or("?", |entry| entry.value.as_str());
        return Err(format!(
            "its values are in another file, {location:?}. Give the model with the files of its folder, or as one file (onnx.save_model with save_as_external_data=False)"
        ));
    }
    if tensor.segment.is_some() {
        return Err("it is stored in segments".to_owned());
    }
    let dtype = dtype(tensor.data_type)?;
    if dtype == DType::Text {
        return Err("constants of text are not supported".to_owned());
    }
    let shape = shape(&tensor.dims)?;
    let spec = TensorSpec::new(dtype, shape);
    let needed = spec.bytes().ok_or("it is too large")?;
    let bytes = if tensor.raw_data.is_empty() { typed_bytes(tensor, dtype) } else { tensor.raw_data.clone() };
    if bytes.len() as u64 != needed {
        return Err(format!("it has {} bytes of values, its shape {shape} needs {needed}", bytes.len()));
    }
    Ok(Constant { spec, bytes })
}

/// Lengths and elements of a tensor of texts.
type Texts = (Vec<usize>, Vec<String>);

/// Reads a tensor of texts; `None` for any other.
pub(super) fn texts(tensor: &TensorProto) -> Option<Result<Texts, String>> {
    if dtype(tensor.data_type) != Ok(DType::Text) {
        return None;
    }
    let read = || {
        let shape = shape(&tensor.dims)?;
        if shape.elements() != Some(tensor.string_data.len() as u64) {
            return Err(format!("it has {} texts, its shape is {shape}", tensor.string_data.len()));
        }
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).map_err(|_| "a text is not UTF-8".to_owned());
        let texts = tensor.string_data.iter().map(text).collect::<Result<_, _>>()?;
        Ok((shape.factors().iter().map(|&dim| dim as usize).collect(), texts))
    };
    Some(read())
}

/// The values of the field that holds `dtype`.
fn typed_bytes(tensor: &TensorProto, dtype: DType) -> Vec<u8> {
    fn all<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&value| bytes(value)).collect()
    }
    match dtype {
        DType::F32 => all(&tensor.float_data, f32::to_le_bytes),
        DType::F64 => all(&tensor.double_data, f64::to_le_bytes),
        DType::I64 => all(&tensor.int64_data, i64::to_le_bytes),
        DType::U64 => all(&tensor.uint64_data, u64::to_le_bytes),
        DType::U32 => all(&tensor.uint64_data, |value| (value as u32).to_le_bytes()),
        DType::I32 => all(&tensor.int32_data, i32::to_le_bytes),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
            all(&tensor.int32_data, |value| (value as u16).to_le_bytes())
        }
        _ => all(&tensor.int32_data, |value| [value as u8]),
    }
}

/// Reads a tensor of which the elements that are not zero are stored with their positions; `budget` is what its bytes may take.
pub(super) fn read_sparse(sparse: &SparseTensorProto, budget: &Cell<u64>) -> Result<Constant, String> {
    let (Some(values), Some(indices)) = (&sparse.values, &sparse.indices) else {
        return Err("its values or indices are missing".to_owned());
    };
    let (values, indices) = (read(values)?, read(indices)?);
    let shape = shape(&sparse.dims)?;
    let spec = TensorSpec::new(values.spec.dtype, shape);
    let count = values.spec.shape.elements().unwrap_or(0) as usize;
    let needed = spec.bytes().filter(|_| values.spec.dtype.bits() >= 8).ok_or("it is too large")?;
    let left = budget.get().checked_sub(needed).ok_or("it is too large when all its zeros are stored")?;
    budget.set(left);
    let positions: Vec<i64> = match indices.spec.dtype {
        DType::I64 => {
            indices.bytes.chunks_exact(8).filter_map(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))).collect()
        }
        other => return Err(format!("its indices are {other}, not int64")),
    };
    let rank = if indices.spec.shape.rank() == 2 { shape.rank() } else { 1 };
    if positions.len() != count.saturating_mul(rank) {
        return Err(format!("it has {count} values and {} indices", positions.len()));
    }
    let width = (spec.dtype.bits() / 8) as usize;
    let mut bytes = vec![0; needed as usize];
    for (position, value) in positions.chunks_exact(rank.max(1)).zip(values.bytes.chunks_exact(width)) {
        let at = if rank == 1 { usize::try_from(position[0]).ok() } else { linear(position, &shape) };
        let slot = at.and_then(|at| bytes.chunks_exact_mut(width).nth(at));
        slot.ok_or_else(|| format!("the index {position:?} is outside {shape}"))?.copy_from_slice(value);
    }
    Ok(Constant { spec, bytes })
}

/// The position in C order of an element.
fn linear(position: &[i64], shape: &Shape) -> Option<usize> {
    position.iter().zip(shape.factors()).try_fold(0usize, |at, (&index, &length)| {
        let index = usize::try_from(index).ok().filter(|&index| index < length as usize)?;
        at.checked_mul(length as usize)?.checked_add(index)
    })
}

fn shape(dims: &[i64]) -> Result<Shape, String> {
    let dim = |&dim: &i64| usize::try_from(dim).map_err(|_| format!("an axis has length {dim}"));
    let dims: Vec<usize> = dims.iter().map(dim).collect::<Result<_, _>>()?;
    Shape::fixed(&dims).map_err(|error| error.to_string())
}
