//! Integers that may depend on the batch: `fixed + per_row * N`.

use ekiben_runtime::Shape;

use super::call::Refusal;

/// `fixed + per_row * N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) fixed: i64,
    pub(super) per_row: i64,
}

/// A tensor of counts, in C order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<Count>,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.fixed, self.per_row) {
            (fixed, 0) => write!(f, "{fixed}"),
            (0, 1) => f.write_str("N"),
            (0, per_row) => write!(f, "{per_row}N"),
            (fixed, per_row) => write!(f, "{per_row}N + {fixed}"),
        }
    }
}

impl From<i64> for Count {
    fn from(fixed: i64) -> Self {
        Self { fixed, per_row: 0 }
    }
}

impl Count {
    /// The length of an axis.
    pub(super) fn of_axis(shape: &Shape, axis: usize) -> Self {
        let length = shape.factors().get(axis).copied().unwrap_or(1).into();
        if shape.is_batch(axis) { Self { fixed: 0, per_row: length } } else { length.into() }
    }

    /// The number, when it does not depend on the batch.
    pub(super) fn number(self) -> Option<i64> {
        (self.per_row == 0).then_some(self.fixed)
    }

    /// The length of an axis and whether it grows with the batch; `None` when it is no such length.
    pub(super) fn length(self) -> Option<(usize, bool)> {
        match self {
            Self { fixed: 0, per_row } if per_row > 0 => Some((usize::try_from(per_row).ok()?, true)),
            Self { fixed, per_row: 0 } => Some((usize::try_from(fixed).ok()?, false)),
            _ => None,
        }
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let fixed = self.fixed.checked_add(other.fixed)?;
        Some(Self { fixed, per_row: self.per_row.checked_add(other.per_row)? })
    }

    pub(super) fn negate(self) -> Option<Self> {
        Some(Self { fixed: self.fixed.checked_neg()?, per_row: self.per_row.checked_neg()? })
    }

    pub(super) fn multiply(self, other: Self) -> Option<Self> {
        let (count, number) = match (self.number(), other.number()) {
            (_, Some(number)) => (self, number),
            (Some(number), None) => (other, number),
            (None, None) => return None,
        };
        let fixed = count.fixed.checked_mul(number)?;
        Some(Self { fixed, per_row: count.per_row.checked_mul(number)? })
    }

    /// The smallest value for any batch of one row or more; `None` when there is none.
    fn least(self) -> Option<i64> {
        if self.per_row >= 0 { self.fixed.checked_add(self.per_row) } else { None }
    }

    /// The largest value, as [`Count::least`].
    fn most(self) -> Option<i64> {
        if self.per_row <= 0 { self.fixed.checked_add(self.per_row) } else { None }
    }

    /// The quotient rounded towards zero. Where the dividend depends on the batch, the divisor must divide what each row adds.
    pub(super) fn divide(self, other: Self) -> Option<Self> {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => Some(a.checked_div(b)?.into()),
            (None, Some(b)) => {
                let per_row = self.per_row.checked_div(b).filter(|_| self.per_row.checked_rem(b) == Some(0))?;
                let exact = self.fixed.checked_rem(b)? == 0;
                let positive = b > 0 && self.least().is_some_and(|least| least >= 0);
                let fixed = if exact { self.fixed.checked_div(b)? } else { self.fixed.div_euclid(b) };
                (exact || positive).then_some(Self { fixed, per_row })
            }
            (Some(a), None) if a >= 0 && other.least().is_some_and(|least| least > a) => Some(0.into()),
            (_, None) => {
                let quotient = self.per_row.checked_div(other.per_row)?;
                (other.multiply(quotient.into())? == self).then_some(quotient.into())
            }
        }
    }

    /// The remainder of the division by `other`, with its sign, or that of the dividend where `truncated`.
    pub(super) fn modulo(self, other: Self, truncated: bool) -> Option<Self> {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) if truncated => Some(a.checked_rem(b)?.into()),
            (Some(a), Some(b)) => {
                let rest = a.checked_rem(b)?;
                Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }.into())
            }
            (None, Some(b)) if self.per_row.checked_rem(b) == Some(0) => {
                let sign_known = !truncated || self.least().is_some_and(|least| least >= 0);
                Self::from(self.fixed).modulo(other, false).filter(|_| sign_known && b > 0)
            }
            (Some(a), None) if a >= 0 && other.least().is_some_and(|least| least > a) => Some(self),
            (None, None) if self.divide(other).is_some() => Some(0.into()),
            _ => None,
        }
    }

    /// Whether one count is smaller than another for every batch, or for none of one row or more.
    pub(super) fn is_less(self, other: Self) -> Option<bool> {
        let difference = self.add(other.negate()?)?;
        match (difference.least(), difference.most()) {
            (_, Some(most)) if most < 0 => Some(true),
            (Some(least), _) if least >= 0 => Some(false),
            _ => None,
        }
    }

    /// Whether two counts are equal for every batch, or different for every batch of one row or more.
    pub(super) fn equals(self, other: Self) -> Option<bool> {
        if self == other {
            return Some(true);
        }
        let difference = self.add(other.negate()?)?;
        // fixed + per_row * N = 0 has no solution N >= 1 when both have one sign, or per_row is 0.
        let never = difference.per_row == 0 || (difference.fixed >= 0) == (difference.per_row > 0);
        never.then_some(false)
    }
}

impl Counts {
    /// Applies `function` element by element, broadcasting as numpy does.
    pub(super) fn zip(parts: &[&Self], function: impl Fn(&[Count]) -> Option<Count>) -> Result<Self, Refusal> {
        let rank = parts.iter().map(|part| part.dims.len()).max().unwrap_or(0);
        let mut dims = vec![1usize; rank];
        for part in parts {
            for (dim, &length) in dims[rank - part.dims.len()..].iter_mut().zip(&part.dims) {
                match (*dim, length) {
                    (a, b) if a == b || b == 1 => {}
                    (1, b) => *dim = b,
                    _ => return Err(Refusal("the shapes do not broadcast".to_owned())),
                }
            }
        }
        let elements = dims.iter().product::<usize>();
        let mut values = Vec::with_capacity(elements.min(MAX_COUNTS));
        if elements > MAX_COUNTS {
            return Err(Refusal(format!("more than {MAX_COUNTS} integers depend on the batch")));
        }
        for index in 0..elements {
            let arguments: Vec<Count> = parts.iter().map(|part| part.at(&dims, index)).collect();
            values.push(function(&arguments).ok_or_else(|| {
                let shown: Vec<_> = arguments.iter().map(ToString::to_string).collect();
                Refusal(format!("the result for {} is not known before the batch is", shown.join(" and ")))
            })?);
        }
        Ok(Self { dims, values })
    }

    /// The element that a broadcast to `dims` has at `index`.
    fn at(&self, dims: &[usize], mut index: usize) -> Count {
        let (mut position, mut stride) = (0, 1);
        for (back, &dim) in dims.iter().rev().enumerate() {
            let coordinate = index % dim.max(1);
            index /= dim.max(1);
            if let Some(axis) = self.dims.len().checked_sub(back + 1) {
                if self.dims[axis] != 1 {
                    position += coordinate * stride;
                }
                stride *= self.dims[axis];
            }
        }
        self.values.get(position).copied().unwrap_or_else(|| 0.into())
    }
}

/// The most elements of a tensor of counts: shapes are short.
pub(super) const MAX_COUNTS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const N: Count = Count { fixed: 0, per_row: 1 };

    #[test]
    fn arithmetic_of_counts() {
        let n6 = N.multiply(6.into()).unwrap();
        assert_eq!(n6.divide(3.into()), N.multiply(2.into()));
        assert_eq!(n6.divide(4.into()), None);
        assert_eq!(n6.divide(N), Some(6.into()));
        assert_eq!(Count::from(7).divide(2.into()), Some(3.into()));
        assert_eq!(N.multiply(N), None);
        assert_eq!(N.add(1.into()).unwrap().to_string(), "1N + 1");
        assert_eq!(Count::from(1).divide(0.into()), None);
    }

    #[test]
    fn quotients_and_remainders() {
        let n6 = N.multiply(6.into()).unwrap();
        let n6_and_5 = n6.add(5.into()).unwrap();
        assert_eq!(n6_and_5.divide(3.into()), Some(Count { fixed: 1, per_row: 2 }));
        assert_eq!(n6.add((-7).into()).unwrap().divide(3.into()), None);
        assert_eq!(n6_and_5.divide((-3).into()), None);
        assert_eq!(n6_and_5.divide(0.into()), None);
        assert_eq!(Count::from(2).divide(n6), Some(0.into()));
        assert_eq!(n6_and_5.modulo(3.into(), false), Some(2.into()));
        assert_eq!(n6_and_5.modulo(4.into(), false), None);
        assert_eq!(n6.modulo(N, false), Some(0.into()));
        assert_eq!(Count::from(5).modulo(n6, true), Some(5.into()));
        assert_eq!(Count::from(-7).modulo(3.into(), false), Some(2.into()));
        assert_eq!(Count::from(-7).modulo(3.into(), true), Some((-1).into()));
    }

    #[test]
    fn order_for_every_batch() {
        let n2 = N.multiply(2.into()).unwrap();
        assert_eq!(N.is_less(n2), Some(true));
        assert_eq!(n2.is_less(N), Some(false));
        assert_eq!(N.is_less(1.into()), Some(false));
        assert_eq!(Count::from(0).is_less(N), Some(true));
        assert_eq!(N.is_less(5.into()), None);
        assert_eq!(Count::from(1).is_less(N), None);
    }

    #[test]
    fn equality_for_every_batch() {
        assert_eq!(N.equals(N), Some(true));
        assert_eq!(N.equals((-1).into()), Some(false));
        assert_eq!(N.equals(0.into()), Some(false));
        assert_eq!(N.equals(3.into()), None);
    }
}
