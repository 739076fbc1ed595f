//! Losses of classifications.

use super::float::Float;

/// What becomes of the losses of all targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reduction {
    /// They stay.
    None = 0,
    /// Their sum.
    Sum = 1,
    /// Their sum over the sum of their weights.
    Mean = 2,
}

impl Reduction {
    /// The reduction with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::Sum, Self::Mean].get(usize::from(code)).copied()
    }
}

/// For the target class c at each place: `-weight_c * x_c`, 0 where c is `ignored`. `x` holds parts of `classes * inner` elements.
///
/// A class outside the range is taken as the nearest. Sums start from zero and run in the order of the targets.
pub fn negative_log_likelihood<F: Float>(
    reduction: Reduction,
    ignored: Option<i64>,
    [classes, inner]: [usize; 2],
    x: &[F],
    targets: impl Iterator<Item = i64>,
    weights: Option<&[F]>,
    out: &mut [F],
) {
    let (mut sum, mut total) = (F::ZERO, F::ZERO);
    let last = (classes as i64).saturating_sub(1).max(0);
    for (number, target) in targets.enumerate() {
        let mut loss = F::ZERO;
        if Some(target) != ignored {
            let class = target.clamp(0, last) as usize;
            let (part, place) = (number.checked_div(inner).unwrap_or(0), number.checked_rem(inner).unwrap_or(0));
            let at = part.saturating_mul(classes).saturating_add(class).saturating_mul(inner).saturating_add(place);
            let weight = weights.map_or(F::ONE, |weights| weights.get(class).copied().unwrap_or(F::ZERO));
            loss = -(weight * x.get(at).copied().unwrap_or(F::ZERO));
            total = total + weight;
        }
        sum = sum + loss;
        if let Some(out) = out.get_mut(number).filter(|_| reduction == Reduction::None) {
            *out = loss;
        }
    }
    if let (true, Some(out)) = (reduction != Reduction::None, out.first_mut()) {
        *out = if reduction == Reduction::Mean { sum / total } else { sum };
    }
}
