//! Conversion between element types.

use half::{bf16, f16};

use crate::tensor::{DType, Element};

/// A number on its way between two types: integers stay exact, floats stay f64.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

/// The number in the bytes of one element; `None` for types of which [`cast`] takes none.
pub(super) fn read(dtype: DType, bytes: &[u8]) -> Option<Number> {
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
        DType::F16 => Number::Float(f16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        DType::BF16 => Number::Float(bf16::from_le_bytes(bytes.try_into().ok()?).to_f64()),
        DType::F32 => Number::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::F64 => Number::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => return None,
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

/// The number as the nearest f64.
pub(super) fn float(number: Number) -> f64 {
    match number {
        Number::Integer(value) => value as f64,
        Number::Float(value) => value,
    }
}

/// Stores a number as one element of a type that [`cast`] takes.
pub(super) fn write(dtype: DType, number: Number, bytes: &mut [u8]) {
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
        DType::F16 => bytes.copy_from_slice(&f16::from_f64(float(number)).to_le_bytes()),
        DType::BF16 => bytes.copy_from_slice(&bf16::from_f64(float(number)).to_le_bytes()),
        DType::F32 => store!(number, bytes, f32),
        DType::F64 => store!(number, bytes, f64),
        _ => {}
    }
}

/// Converts elements of type `from` in `input` to elements of type `to` in `output`, as many as both have room for.
/// Types that are only stored (of less than a byte, floats of eight bits, categories, text) are left alone.
pub fn cast(from: DType, input: &[u8], to: DType, output: &mut [u8]) {
    let (from_width, to_width) = ((from.bits() / 8) as usize, (to.bits() / 8) as usize);
    if from_width == 0 || to_width == 0 || cast_frequent(from, input, to, output) {
        return;
    }
    for (input, output) in input.chunks_exact(from_width).zip(output.chunks_exact_mut(to_width)) {
        cast_one(from, input, to, output);
    }
}

/// As [`cast`], for one element; links none of what is there for many of them.
pub fn cast_one(from: DType, input: &[u8], to: DType, output: &mut [u8]) {
    if let Some(number) = read(from, input) {
        write(to, number, output);
    }
}

/// Converts elements that lie aligned, if both types are among those that models often convert.
fn cast_frequent(from: DType, input: &[u8], to: DType, output: &mut [u8]) -> bool {
    fn map<A: Element, B: Element>(input: &[u8], output: &mut [u8], convert: impl Fn(A) -> B) -> bool {
        let (Ok(input), Ok(output)) =
            (bytemuck::try_cast_slice::<u8, A>(input), bytemuck::try_cast_slice_mut::<u8, B>(output))
        else {
            return false;
        };
        for (output, &input) in output.iter_mut().zip(input) {
            *output = convert(input);
        }
        true
    }
    match (from, to) {
        (DType::F16, DType::F32) => map(input, output, f16::to_f32),
        (DType::F32, DType::F16) => map(input, output, f16::from_f32),
        (DType::BF16, DType::F32) => map(input, output, bf16::to_f32),
        (DType::F32, DType::BF16) => map(input, output, bf16::from_f32),
        (DType::I8, DType::F32) => map(input, output, |x: i8| f32::from(x)),
        (DType::U8, DType::F32) => map(input, output, |x: u8| f32::from(x)),
        (DType::I32, DType::F32) => map(input, output, |x: i32| x as f32),
        (DType::I64, DType::F32) => map(input, output, |x: i64| x as f32),
        (DType::F32, DType::I32) => map(input, output, |x: f32| x as i32),
        (DType::F32, DType::I64) => map(input, output, |x: f32| x as i64),
        (DType::I32, DType::I64) => map(input, output, |x: i32| i64::from(x)),
        (DType::I64, DType::I32) => map(input, output, |x: i64| x as i32),
        _ => false,
    }
}
