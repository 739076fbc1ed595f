//! The two layouts of tensors with heads.

use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::heads::Rows;
use crate::tensor::Dims;

/// Order of the axes of an operand with heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Layout {
    /// `[B, heads, rows, size]`.
    Heads = 0,
    /// `[B, rows, columns]`: head h has `size` columns.
    Columns = 1,
}

impl Layout {
    /// The axis of the rows.
    pub const fn row_axis(self) -> usize {
        match self {
            Self::Heads => 2,
            Self::Columns => 1,
        }
    }
}

/// Reads a layout.
pub(super) fn parse_layout(reader: &mut Reader<'_>) -> Result<Layout, BytesError> {
    Ok(if reader.bool("layout")? { Layout::Columns } else { Layout::Heads })
}

/// Rows of `size` elements in a tensor of these lengths, from column `first` on.
pub(super) fn rows_of(layout: Layout, dims: &Dims, first: usize, size: usize) -> Rows {
    let batch = dims.inner(0);
    match layout {
        Layout::Heads => Rows { first: 0, batch, head: dims.inner(1), row: size, size },
        Layout::Columns => Rows { first, batch, head: size, row: dims.at(2), size },
    }
}
