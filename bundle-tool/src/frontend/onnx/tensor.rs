//! Constants: `TensorProto` with every length checked.

use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

/// The elements of a constant in C order.
pub(super) struct Constant {
    pub(super) spec: TensorSpec,
    pub(super) bytes: Vec<u8>,
}

/// The element type with ONNX's number.
pub(super) fn dtype(number: i32) -> Result<DType, String> {
    let kind = DataType::try_from(number).map_err(|_| format!("element type {number} is not known"))?;
    Ok(match kind {
        DataType::Float => DType::F32,
        DataType::Double => DType::F64,
        DataType::Float16 => DType::F16,
        DataType::Bfloat16 => DType::BF16,
        DataType::Int4 => DType::I4,
        DataType::Int8 => DType::I8,
        DataType::Int16 => DType::I16,
        DataType::Int32 => DType::I32,
        DataType::Int64 => DType::I64,
        DataType::Uint4 => DType::U4,
        DataType::Uint8 => DType::U8,
        DataType::Uint16 => DType::U16,
        DataType::Uint32 => DType::U32,
        DataType::Uint64 => DType::U64,
        DataType::Bool => DType::Bool,
        DataType::String => DType::Text,
        other => return Err(format!("element type {} is not supported", other.as_str_name())),
    })
}

/// Reads a tensor. The error says what is wrong with it.
pub(super) fn read(tensor: &TensorProto) -> Result<Constant, String> {
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        let location = tensor.external_data.iter().find(|entry| entry.key == "location");
        let location = location.map_or("?", |entry| entry.value.as_str());
        return Err(format!(
            "its values are in another file, {location:?}. Save the model as one file (onnx.save_model with save_as_external_data=False)"
        ));
    }
    if tensor.segment.is_some() {
        return Err("it is stored in segments".to_owned());
    }
    let dtype = dtype(tensor.data_type)?;
    if dtype == DType::Text {
        return Err("constants of text are not supported".to_owned());
    }
    let dims: Vec<usize> = tensor
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| format!("an axis has length {dim}")))
        .collect::<Result<_, _>>()?;
    let shape = Shape::fixed(&dims).map_err(|error| error.to_string())?;
    let spec = TensorSpec::new(dtype, shape);
    let needed = spec.bytes().ok_or("it is too large")?;
    let bytes = if tensor.raw_data.is_empty() { typed_bytes(tensor, dtype) } else { tensor.raw_data.clone() };
    if bytes.len() as u64 != needed {
        return Err(format!("it has {} bytes of values, its shape {shape} needs {needed}", bytes.len()));
    }
    Ok(Constant { spec, bytes })
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
