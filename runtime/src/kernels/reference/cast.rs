//! Conversion between element types.

use crate::tensor::DType;

/// A number on its way between two types: integers stay exact, floats stay f64.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

fn read(dtype: DType, bytes: &[u8]) -> Option<Number> {
    Some(match dtype {
        DType::Bool => Number::Integer((*bytes.first()? != 0).into()),
        DType::I8 => Number::Integer(i8::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::I16 => Number::Integer(i16::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::I32 => Number::Integer(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::I64 => Number::Integer(i64::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::U8 => Number::Integer(u8::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::U16 => Number::Integer(u16::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::U32 => Number::Integer(u32::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::U64 => Number::Integer(u64::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::F16 => Number::Float(half::f16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        DType::BF16 => Number::Float(half::bf16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        DType::F32 => Number::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::F64 => Number::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        DType::I4 | DType::U4 | DType::Category | DType::Text => return None,
    })
}

macro_rules! store {
    ($number:expr, $bytes:expr, $type:ty) => {{
        let value = match $number {
            Number::Integer(value) => value as $type,
            Number::Float(value) => value as $type,
        };
        $bytes.copy_from_slice(&value.to_le_bytes())
    }};
}

fn write(dtype: DType, number: Number, bytes: &mut [u8]) {
    let float = |number| match number {
        Number::Integer(value) => value as f64,
        Number::Float(value) => value,
    };
    match dtype {
        DType::Bool => {
            let value = match number {
                Number::Integer(value) => value != 0,
                Number::Float(value) => value != 0.0,
            };
            bytes.fill(value.into());
        }
        DType::I8 => store!(number, bytes, i8),
        DType::I16 => store!(number, bytes, i16),
        DType::I32 => store!(number, bytes, i32),
        DType::I64 => store!(number, bytes, i64),
        DType::U8 => store!(number, bytes, u8),
        DType::U16 => store!(number, bytes, u16),
        DType::U32 => store!(number, bytes, u32),
        DType::U64 => store!(number, bytes, u64),
        DType::F16 => bytes.copy_from_slice(&half::f16::from_f64(float(number)).to_le_bytes()),
        DType::BF16 => bytes.copy_from_slice(&half::bf16::from_f64(float(number)).to_le_bytes()),
        DType::F32 => store!(number, bytes, f32),
        DType::F64 => store!(number, bytes, f64),
        DType::I4 | DType::U4 | DType::Category | DType::Text => {}
    }
}

/// Converts elements of type `from` in `input` to elements of type `to` in `output`, as many as both have room for.
/// Types of less than a byte, categories and text are left alone.
pub fn cast(from: DType, input: &[u8], to: DType, output: &mut [u8]) {
    let (from_width, to_width) = ((from.bits() / 8) as usize, (to.bits() / 8) as usize);
    if from_width == 0 || to_width == 0 {
        return;
    }
    for (input, output) in input.chunks_exact(from_width).zip(output.chunks_exact_mut(to_width)) {
        if let Some(number) = read(from, input) {
            write(to, number, output);
        }
    }
}
