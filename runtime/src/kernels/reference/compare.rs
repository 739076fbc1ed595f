//! Comparisons, logic and selection.

use super::broadcast::Walk;
use super::integer::Narrow;

/// How two elements are compared. The discriminant is the code in an artifact. NaN is unequal to everything and neither less
/// nor greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CompareKind {
    /// a == b.
    Equal = 0,
    /// a != b.
    NotEqual = 1,
    /// a < b.
    Less = 2,
    /// a <= b.
    LessOrEqual = 3,
    /// a > b.
    Greater = 4,
    /// a >= b.
    GreaterOrEqual = 5,
}

impl CompareKind {
    const ALL: [Self; 6] =
        [Self::Equal, Self::NotEqual, Self::Less, Self::LessOrEqual, Self::Greater, Self::GreaterOrEqual];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The comparison with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Whether the comparison holds.
    pub(super) fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::NotEqual => a != b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

/// How two booleans are combined. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogicKind {
    /// Both.
    And = 0,
    /// One at least.
    Or = 1,
    /// Exactly one.
    Xor = 2,
}

impl LogicKind {
    const ALL: [Self; 3] = [Self::And, Self::Or, Self::Xor];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The combination with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// `out[i]` is 1 where the comparison holds, 0 elsewhere.
pub fn compare<T: PartialOrd + Copy>(kind: CompareKind, a: &[T], b: &[T], out: &mut [u8], walk: &Walk) {
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_a, at_b, _]| {
        if let (Some(out), Some(&a), Some(&b)) = (slots.next(), a.get(at_a), b.get(at_b)) {
            *out = kind.holds(a, b).into();
        }
    });
}

/// As [`compare`] for integers of one, two or four bytes.
pub fn compare_narrow(kind: CompareKind, narrow: Narrow, a: &[u8], b: &[u8], out: &mut [u8], walk: &Walk) {
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_a, at_b, _]| {
        if let (Some(out), Some(a), Some(b)) = (slots.next(), narrow.get(a, at_a), narrow.get(b, at_b)) {
            *out = kind.holds(a, b).into();
        }
    });
}

/// `out[i]` is 1 where the combination of two booleans is true, 0 elsewhere.
pub fn logic(kind: LogicKind, a: &[u8], b: &[u8], out: &mut [u8], walk: &Walk) {
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_a, at_b, _]| {
        if let (Some(out), Some(&a), Some(&b)) = (slots.next(), a.get(at_a), b.get(at_b)) {
            let (a, b) = (a != 0, b != 0);
            let value = match kind {
                LogicKind::And => a & b,
                LogicKind::Or => a | b,
                LogicKind::Xor => a ^ b,
            };
            *out = value.into();
        }
    });
}

/// Elements of `width` bytes stay as they are in `out` where the condition is `kept`, and are `other`'s elsewhere; `walk` broadcasts
/// condition and `other`.
pub fn select(width: usize, condition: &[u8], kept: bool, other: &[u8], out: &mut [u8], walk: &Walk) {
    let width = width.max(1);
    let elements = out.len() / width;
    let mut slots = out.chunks_exact_mut(width);
    walk.for_each(elements, |[at_condition, at, _]| {
        let (Some(slot), Some(&condition)) = (slots.next(), condition.get(at_condition)) else { return };
        let start = at.saturating_mul(width);
        if let Some(element) = other.get(start..start.saturating_add(width)).filter(|_| (condition != 0) != kept) {
            slot.copy_from_slice(element);
        }
    });
}
