//! Choice of a kernel by the type of the elements.

use super::{OpError, Problem};

/// Evaluates an expression with `$element` as the type that combines elements of `$dtype`; any type of its width for other types.
macro_rules! with_combined {
    ($dtype:expr, $element:ident => $then:expr) => {
        match $dtype {
            DType::Bool => { type $element = $crate::kernels::reference::combine::Truth; $then }
            DType::I8 => { type $element = i8; $then }
            DType::I16 => { type $element = i16; $then }
            DType::I32 => { type $element = i32; $then }
            DType::I64 => { type $element = i64; $then }
            DType::F16 => { type $element = half::f16; $then }
            DType::BF16 => { type $element = half::bf16; $then }
            DType::F32 => { type $element = f32; $then }
            DType::F64 => { type $element = f64; $then }
            other => $crate::ops::width::with_width!(other, $element => $then),
        }
    };
}

/// Evaluates an expression with `$element` as an unsigned integer as wide as elements of `$dtype`.
macro_rules! with_width {
    ($dtype:expr, $element:ident => $then:expr) => {
        match $dtype.bits() {
            64 => {
                type $element = u64;
                $then
            }
            32 => {
                type $element = u32;
                $then
            }
            16 => {
                type $element = u16;
                $then
            }
            _ => {
                type $element = u8;
                $then
            }
        }
    };
}

pub(super) use {with_combined, with_width};

/// Bytes as elements of a type of the tensor's width.
pub(super) fn elements<T: bytemuck::Pod>(index: usize, bytes: &[u8]) -> Result<&[T], OpError> {
    bytemuck::try_cast_slice(bytes).map_err(|_| OpError::input(index, Problem::Shape, "aligned elements"))
}

/// As [`elements`], for an output.
pub(super) fn elements_mut<T: bytemuck::Pod>(index: usize, bytes: &mut [u8]) -> Result<&mut [T], OpError> {
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| OpError::output(index, Problem::Shape, "aligned elements"))
}
