//! What a tensor is: element type, shape with a symbolic batch, quantization, and views of its bytes.

mod dtype;
mod shape;
mod view;

pub use dtype::{DType, Element};
pub use shape::{Dims, MAX_RANK, Shape, ShapeError};
pub use view::{View, ViewError, ViewMut};

/// Affine quantization of a whole tensor: `real = scale * (stored - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantization {
    /// Real value of one step; positive.
    pub scale: f32,
    /// Stored value of real zero.
    pub zero_point: i32,
}

/// Everything about a tensor but its place and its values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TensorSpec {
    /// Element type.
    pub dtype: DType,
    /// Shape; one axis may grow with the batch.
    pub shape: Shape,
    /// How stored integers stand for real numbers, where they do.
    pub quantization: Option<Quantization>,
    /// For [`DType::Category`]: the list of strings that the values index.
    pub table: Option<u32>,
}

impl TensorSpec {
    /// A tensor without quantization and string table.
    pub const fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape, quantization: None, table: None }
    }

    /// Bytes that the tensor takes per row of the batch (or in all, when it does not depend on the batch).
    /// `None` when the product overflows.
    pub fn bytes(&self) -> Option<u64> {
        self.dtype.bytes(self.shape.elements()?)
    }

    /// The same tensor with another element type.
    pub const fn with_dtype(self, dtype: DType) -> Self {
        Self::new(dtype, self.shape)
    }
}
