//! What a C caller can ask about a tensor.

use core::ffi::c_char;
use core::ptr;
use ekiben_runtime::tensor::{Dims, MAX_RANK, TensorSpec};

/// On which side of a run a tensor is.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Written by the caller before a run.
    Input = 0,
    /// Read by the caller after a run.
    Output = 1,
}

/// Name, type and shape of an input or output.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo {
    /// The name in UTF-8, not terminated; null when there is none.
    pub name: *const c_char,
    /// Bytes of the name.
    pub name_length: usize,
    /// Bytes of the values.
    pub bytes: usize,
    /// Type of the elements: one of `EKIBEN_DTYPE_...`.
    pub dtype: u8,
    /// Number of axes.
    pub rank: u8,
    /// Lengths of the axes for the session's rows; beyond the rank they are 0.
    pub shape: [u32; MAX_RANK],
    /// `real = scale * (stored - zero_point)`; 0 when the elements are not quantized.
    pub scale: f32,
    /// The stored value of real zero.
    pub zero_point: i32,
}

impl TensorInfo {
    pub(crate) fn new(name: Option<&str>, spec: &TensorSpec, dims: &Dims, bytes: usize) -> Self {
        let mut shape = [0; MAX_RANK];
        for (slot, &length) in shape.iter_mut().zip(dims.iter()) {
            *slot = u32::try_from(length).unwrap_or(u32::MAX);
        }
        Self {
            name: name.map_or(ptr::null(), |name| name.as_ptr().cast()),
            name_length: name.map_or(0, str::len),
            bytes,
            dtype: spec.dtype.code(),
            rank: dims.len() as u8,
            shape,
            scale: spec.quantization.map_or(0.0, |quantization| quantization.scale),
            zero_point: spec.quantization.map_or(0, |quantization| quantization.zero_point),
        }
    }
}
