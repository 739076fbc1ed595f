//! Leaves that are linear functions of a row.

/// Numbers of at most this size count as zero.
const ZERO: f64 = 1e-35_f32 as f64;

/// The leaves of all trees, tree by tree.
#[derive(Clone, Copy, Debug)]
pub struct LinearLeaves<'a> {
    /// First leaf of each tree, and the number of leaves at the end.
    pub trees: &'a [u32],
    /// First term of each leaf, and the number of terms at the end.
    pub terms: &'a [u32],
    /// Feature of each term.
    pub features: &'a [u32],
    /// Coefficient of each term.
    pub coefficients: &'a [f64],
    /// What each leaf's sum starts from.
    pub constants: &'a [f64],
    /// Value of each leaf where one of its features is NaN.
    pub values: &'a [f64],
}

impl LinearLeaves<'_> {
    /// What a leaf gives: its constant, to which its terms are added one by one, each product and each sum rounded.
    fn leaf(&self, leaf: usize, row: &[f64]) -> Option<f64> {
        let range = *self.terms.get(leaf)? as usize..*self.terms.get(leaf.checked_add(1)?)? as usize;
        let mut sum = *self.constants.get(leaf)?;
        for (&feature, &coefficient) in self.features.get(range.clone())?.iter().zip(self.coefficients.get(range)?) {
            let x = *row.get(feature as usize)?;
            if x.is_nan() {
                return self.values.get(leaf).copied();
            }
            let x = if (-ZERO..=ZERO).contains(&x) { 0.0 } else { x };
            sum += coefficient * x;
        }
        Some(sum)
    }

    /// `out[row, target]`: rows of `width` features in `x`, the leaf of each tree for each row in `leaves`. Tree `t` adds to target `t` modulo
    /// `targets`, in order, from 0. A leaf that its tree does not have adds nothing.
    pub fn run(&self, width: usize, targets: usize, x: &[f64], leaves: &[i32], out: &mut [f64]) {
        let count = self.trees.len().saturating_sub(1);
        out.fill(0.0);
        let rows = x.chunks_exact(width.max(1)).zip(leaves.chunks_exact(count.max(1)));
        for ((row, leaves), out) in rows.zip(out.chunks_exact_mut(targets.max(1))) {
            for ((tree, bounds), &leaf) in self.trees.windows(2).enumerate().zip(leaves) {
                let &[start, end] = bounds else { continue };
                let place =
                    u32::try_from(leaf).ok().and_then(|leaf| start.checked_add(leaf)).filter(|leaf| *leaf < end);
                let value = place.and_then(|leaf| self.leaf(leaf as usize, row));
                if let (Some(value), Some(out)) = (value, out.get_mut(tree % targets.max(1))) {
                    *out += value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LinearLeaves;

    const LEAVES: LinearLeaves<'static> = LinearLeaves {
        trees: &[0, 2, 3],
        terms: &[0, 2, 3, 3],
        features: &[1, 0, 0],
        coefficients: &[2.0, -1.0, 0.5],
        constants: &[1.0, 4.0, 8.0],
        values: &[-7.0, -9.0, -11.0],
    };

    #[test]
    fn terms_are_added_to_the_constant_and_nan_takes_the_value() {
        let x = [3.0, 5.0, f64::NAN, 5.0, 1e-36, f64::NAN];
        let mut out = [9.0; 3];
        LEAVES.run(2, 1, &x, &[0, 0, 0, 0, 1, 0], &mut out);
        assert_eq!(out, [1.0 + 10.0 - 3.0 + 8.0, -7.0 + 8.0, 4.0 + 8.0]);
    }

    #[test]
    fn trees_take_turns_at_the_targets_and_odd_leaves_add_nothing() {
        let mut out = [9.0; 4];
        LEAVES.run(2, 2, &[3.0, 5.0, 3.0, 5.0], &[1, 0, 2, -1], &mut out);
        assert_eq!(out, [5.5, 8.0, 0.0, 0.0]);
    }
}
