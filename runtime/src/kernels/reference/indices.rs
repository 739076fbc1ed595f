//! Indices that are computed while the model runs.

/// The elements of a tensor of indices.
#[derive(Clone, Copy, Debug)]
pub enum Indices<'a> {
    /// 32 bits each.
    Narrow(&'a [i32]),
    /// 64 bits each.
    Wide(&'a [i64]),
}

impl Indices<'_> {
    /// The element at a position.
    pub fn get(&self, position: usize) -> Option<i64> {
        match self {
            Self::Narrow(values) => values.get(position).map(|&value| value.into()),
            Self::Wide(values) => values.get(position).copied(),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place on an axis of `length` that the element at a position names, a negative one from the end; `None` for one outside.
    pub fn place(&self, position: usize, length: usize) -> Option<usize> {
        place(self.get(position)?, length)
    }
}

/// The place of `index` on an axis of `length`, counted from the end when negative; `None` when it is outside.
pub fn place(index: i64, length: usize) -> Option<usize> {
    let counted = if index < 0 { index.checked_add(i64::try_from(length).ok()?)? } else { index };
    usize::try_from(counted).ok().filter(|&place| place < length)
}

/// An index outside its axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside;
