//! Typed views of a tensor's bytes.

use super::{DType, Dims, Element, TensorSpec};

/// Why bytes cannot be seen as elements of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ViewError {
    /// The tensor's elements are of another type.
    DType {
        /// Type of the tensor.
        stored: DType,
    },
    /// The bytes are not aligned for the type.
    Misaligned,
}

impl core::fmt::Display for ViewError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::DType { stored } => write!(f, "the tensor's elements are {stored}"),
            Self::Misaligned => f.write_str("the bytes are not aligned for their type"),
        }
    }
}

impl core::error::Error for ViewError {}

/// A tensor that can be read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Type, symbolic shape and quantization.
    pub spec: TensorSpec,
    /// Lengths of the axes for the batch at hand.
    pub dims: Dims,
    /// The elements, in C order.
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The elements as a slice.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], ViewError> {
        if !T::stores(self.spec.dtype) {
            return Err(ViewError::DType { stored: self.spec.dtype });
        }
        bytemuck::try_cast_slice(self.bytes).map_err(|_| ViewError::Misaligned)
    }
}

/// A tensor that can be written.
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// Type, symbolic shape and quantization.
    pub spec: TensorSpec,
    /// Lengths of the axes for the batch at hand.
    pub dims: Dims,
    /// The elements, in C order.
    pub bytes: &'a mut [u8],
}

impl<'a> ViewMut<'a> {
    /// The elements as a slice.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], ViewError> {
        ViewMut { bytes: &mut *self.bytes, ..*self }.into_mut_slice()
    }

    /// The elements as a slice that lives as long as the tensor's memory.
    pub fn into_mut_slice<T: Element>(self) -> Result<&'a mut [T], ViewError> {
        if !T::stores(self.spec.dtype) {
            return Err(ViewError::DType { stored: self.spec.dtype });
        }
        bytemuck::try_cast_slice_mut(self.bytes).map_err(|_| ViewError::Misaligned)
    }
}
