//! Normalisation of groups of channels.

use super::float::Float;

/// Where a tensor's groups lie: an instance is `[before, channels, after]` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Positions on the axes between the instances and the channels.
    pub before: usize,
    /// Channels.
    pub channels: usize,
    /// Positions on the axes after the channels.
    pub after: usize,
    /// Number of groups; a divisor of the channels.
    pub count: usize,
}

impl Groups {
    /// The stretches of group `group` within an instance, in C order.
    fn stretches<'a, F>(&self, instance: &'a [F], group: usize) -> impl Iterator<Item = &'a [F]> + use<'a, F> {
        let length = (self.channels / self.count.max(1)).saturating_mul(self.after);
        let (row, start) = (self.channels.saturating_mul(self.after), group.saturating_mul(length));
        (0..self.before).map(move |at| {
            let start = at.saturating_mul(row).saturating_add(start);
            instance.get(start..start.saturating_add(length)).unwrap_or_default()
        })
    }
}

/// `out = (x - mean) / sqrt(variance + epsilon) * scale[c] + bias[c]`, with mean and variance (the mean square of what is left) of each
/// instance's group. Sums start from zero and run in C order.
pub fn group_norm<F: Float>(groups: &Groups, epsilon: F, x: &[F], scale: &[F], bias: &[F], out: &mut [F]) {
    let row = groups.channels.saturating_mul(groups.after);
    let instance = groups.before.saturating_mul(row);
    let per_group = groups.channels.checked_div(groups.count).unwrap_or(0);
    if instance == 0 || per_group == 0 {
        return;
    }
    let count = F::from_f64((per_group * groups.after * groups.before) as f64);
    for (x, out) in x.chunks_exact(instance).zip(out.chunks_exact_mut(instance)) {
        for group in 0..groups.count {
            let sum = groups.stretches(x, group).flatten().fold(F::ZERO, |sum, &x| sum + x);
            let mean = sum / count;
            let squares = groups.stretches(x, group).flatten().map(|&x| (x - mean) * (x - mean));
            let variance = squares.fold(F::ZERO, |sum, square| sum + square) / count;
            let deviation = Float::sqrt(variance + epsilon);
            for (x, out) in x.chunks_exact(row).zip(out.chunks_exact_mut(row)) {
                let channels = x.chunks_exact(groups.after).zip(out.chunks_exact_mut(groups.after));
                let parameters = scale.iter().zip(bias);
                for ((x, out), (&scale, &bias)) in channels.zip(parameters).skip(group * per_group).take(per_group) {
                    for (out, &x) in out.iter_mut().zip(x) {
                        *out = (x - mean) / deviation * scale + bias;
                    }
                }
            }
        }
    }
}
