//! Rows of tensors whose columns or axes are heads.

use core::ops::Range;

/// Where the rows of an operand are: row `r` of head `h` of element `b` of the batch starts at `first + b * batch + h * head + r * row`
/// and has `size` elements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    /// Elements before the first row.
    pub first: usize,
    /// Elements between elements of the batch.
    pub batch: usize,
    /// Elements between heads.
    pub head: usize,
    /// Elements between rows.
    pub row: usize,
    /// Elements of a row.
    pub size: usize,
}

impl Rows {
    /// The elements of a row: element of the batch, head, row.
    pub fn range(&self, [batch, head, row]: [usize; 3]) -> Range<usize> {
        let start = batch
            .wrapping_mul(self.batch)
            .wrapping_add(head.wrapping_mul(self.head))
            .wrapping_add(row.wrapping_mul(self.row))
            .wrapping_add(self.first);
        start..start.saturating_add(self.size)
    }

    /// A row of `data`, empty where it has none.
    pub fn of<'a, T>(&self, data: &'a [T], at: [usize; 3]) -> &'a [T] {
        data.get(self.range(at)).unwrap_or_default()
    }
}
