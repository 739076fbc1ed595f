//! Padding.

use crate::tensor::{Dims, MAX_RANK};

/// What stands around a padded tensor. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PadMode {
    /// A constant.
    Constant = 0,
    /// The nearest element.
    Edge = 1,
    /// The elements mirrored at the first and the last, which are not repeated.
    Reflect = 2,
    /// The elements again from the other end.
    Wrap = 3,
}

impl PadMode {
    const ALL: [Self; 4] = [Self::Constant, Self::Edge, Self::Reflect, Self::Wrap];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The mode with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The index in an axis of `length` that stands at `position`, counted from the first element; `None` for the constant.
    fn source(self, position: isize, length: usize) -> Option<usize> {
        let last = (length as isize).checked_sub(1).filter(|&last| last >= 0)?;
        let index = match self {
            Self::Constant => position,
            Self::Edge => position.clamp(0, last),
            Self::Reflect if last == 0 => 0,
            Self::Reflect => {
                let round = position.rem_euclid(2 * last);
                round.min(2 * last - round)
            }
            Self::Wrap => position.rem_euclid(last + 1),
        };
        usize::try_from(index).ok().filter(|&index| index < length)
    }
}

/// Fills `output`, of shape `output_dims`, with `input` of shape `dims` after `before` elements on each axis. Elements have `width`
/// bytes; `value` is the constant, or empty for zero.
pub fn pad(
    mode: PadMode,
    width: usize,
    (input, dims): (&[u8], &Dims),
    before: &[i32; MAX_RANK],
    value: &[u8],
    (output, output_dims): (&mut [u8], &Dims),
) {
    let rank = dims.len();
    let mut index = [0usize; MAX_RANK];
    for slot in output.chunks_exact_mut(width.max(1)) {
        let mut at = Some(0usize);
        for axis in 0..rank {
            let position = (index[axis] as isize).wrapping_sub(before[axis] as isize);
            let source = mode.source(position, dims.at(axis));
            at = at.zip(source).map(|(at, source)| at.wrapping_mul(dims.at(axis)).wrapping_add(source));
        }
        let start = at.and_then(|at| at.checked_mul(width));
        match start.and_then(|start| input.get(start..start.checked_add(width)?)) {
            Some(element) => slot.copy_from_slice(element),
            None if value.len() == slot.len() => slot.copy_from_slice(value),
            None => slot.fill(0),
        }
        for axis in (0..rank).rev() {
            index[axis] += 1;
            if index[axis] < output_dims.at(axis) {
                break;
            }
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    #[test]
    fn modes_along_one_axis() {
        let dims = Shape::fixed(&[3]).unwrap().resolve(1);
        let output_dims = Shape::fixed(&[8]).unwrap().resolve(1);
        for (mode, expected) in [
            (PadMode::Constant, [9, 9, 1, 2, 3, 9, 9, 9]),
            (PadMode::Edge, [1, 1, 1, 2, 3, 3, 3, 3]),
            (PadMode::Reflect, [3, 2, 1, 2, 3, 2, 1, 2]),
            (PadMode::Wrap, [2, 3, 1, 2, 3, 1, 2, 3]),
        ] {
            let mut output = [0; 8];
            let mut before = [0; MAX_RANK];
            before[0] = 2;
            pad(mode, 1, (&[1, 2, 3], &dims), &before, &[9], (&mut output, &output_dims));
            assert_eq!(output, expected, "{mode:?}");
        }
    }
}
