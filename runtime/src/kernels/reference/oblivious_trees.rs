//! Trees whose nodes of one depth all ask the same question.

/// Rows that are walked together.
pub const BLOCK: usize = 32;

/// Set in a column's first word where NaN is above all borders; otherwise it is below them.
pub const NAN_ABOVE: u32 = 1 << 31;

/// A question about a column's bin: whether `bin ^ mask` is `least` or more. With the mask `!b` and 255, it is whether the bin is `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinSplit {
    /// The column.
    pub column: u16,
    /// What the bin is combined with by exclusive or.
    pub mask: u8,
    /// The least value for which the answer is yes.
    pub least: u8,
}

impl BinSplit {
    /// The word in an artifact: column, mask and least value, from the lowest bits on.
    pub const fn pack(self) -> u32 {
        self.column as u32 | (self.mask as u32) << 16 | (self.least as u32) << 24
    }

    /// The parts of a word.
    pub const fn unpack(word: u32) -> Self {
        Self { column: word as u16, mask: (word >> 16) as u8, least: (word >> 24) as u8 }
    }

    const fn holds(self, bin: u8) -> bool {
        bin ^ self.mask >= self.least
    }
}

/// Trees in tables.
#[derive(Clone, Copy, Debug)]
pub struct ObliviousTrees<'a> {
    /// For each column of bins: the feature, with [`NAN_ABOVE`], and the end of its borders.
    pub columns: &'a [[u32; 2]],
    /// Rising borders of each column, 255 at most. A bin is the number of borders below the feature's value.
    pub borders: &'a [f32],
    /// [`BinSplit`]s of all trees. The first one of a tree decides the lowest bit of the leaf's number.
    pub splits: &'a [u32],
    /// Number of splits of each tree, 16 at most.
    pub depths: &'a [u8],
    /// Values of all targets for each leaf of each tree.
    pub values: &'a [f64],
}

impl ObliviousTrees<'_> {
    /// Calls `put` with the index and the bin of each column for a row of features.
    fn bins(&self, row: &[f32], mut put: impl FnMut(usize, u8)) {
        let mut start = 0;
        for (column, &[feature, end]) in self.columns.iter().enumerate() {
            let borders = self.borders.get(start..end as usize).unwrap_or_default();
            let value = row.get((feature & !NAN_ABOVE) as usize).copied().unwrap_or(f32::NAN);
            let bin = match value.is_nan() {
                true if feature & NAN_ABOVE == 0 => 0,
                true => borders.len(),
                false => borders.partition_point(|&border| value > border),
            };
            put(column, bin as u8);
            start = end as usize;
        }
    }

    /// Calls `visit` with each tree's splits and values.
    fn each_tree(&self, targets: usize, mut visit: impl FnMut(&[u32], &[f64])) {
        let (mut splits, mut values) = (self.splits, self.values);
        for &depth in self.depths {
            let leaves = 1_usize.checked_shl(depth.into()).and_then(|leaves| leaves.checked_mul(targets));
            let parts =
                splits.split_at_checked(depth.into()).zip(values.split_at_checked(leaves.unwrap_or(usize::MAX)));
            let Some(((tree, more_splits), (leaves, more_values))) = parts else { return };
            visit(tree, leaves);
            (splits, values) = (more_splits, more_values);
        }
    }

    /// Adds the leaves' values of one row, whose bins are given, to `out`.
    fn add_row(&self, bins: &[u8], out: &mut [f64]) {
        let targets = out.len();
        self.each_tree(targets, |splits, values| {
            let mut leaf = 0;
            for (bit, &word) in splits.iter().enumerate() {
                let split = BinSplit::unpack(word);
                let bin = bins.get(usize::from(split.column)).copied().unwrap_or(0);
                leaf |= usize::from(split.holds(bin)) << bit;
            }
            let leaf = values.chunks_exact(targets).nth(leaf).unwrap_or_default();
            for (out, &value) in out.iter_mut().zip(leaf) {
                *out += value;
            }
        });
    }

    /// As [`Self::add_row`] for a block of rows.
    fn add_block(&self, bins: &[[u8; BLOCK]], targets: usize, out: &mut [f64]) {
        self.each_tree(targets, |splits, values| {
            let mut leaves = [0_u16; BLOCK];
            for (byte, splits) in splits.chunks(8).enumerate() {
                let mut low = [0_u8; BLOCK];
                for (bit, &word) in splits.iter().enumerate() {
                    let split = BinSplit::unpack(word);
                    let Some(bins) = bins.get(usize::from(split.column)) else { continue };
                    for (low, &bin) in low.iter_mut().zip(bins) {
                        *low |= u8::from(split.holds(bin)) << bit;
                    }
                }
                for (leaf, &low) in leaves.iter_mut().zip(&low) {
                    *leaf |= u16::from(low) << ((8 * byte as u32) & 15);
                }
            }
            if targets == 1 {
                for (out, &leaf) in out.iter_mut().zip(&leaves) {
                    *out += values.get(usize::from(leaf)).copied().unwrap_or(0.0);
                }
                return;
            }
            for (out, &leaf) in out.chunks_exact_mut(targets).zip(&leaves) {
                let leaf = values.chunks_exact(targets).nth(leaf.into()).unwrap_or_default();
                for (out, &value) in out.iter_mut().zip(leaf) {
                    *out += value;
                }
            }
        });
    }

    /// `out[row, target]`: sums over the trees, in order and from 0, for rows of `features` values in `x`. `bins` is scratch memory of a byte for
    /// each column and each of up to [`BLOCK`] rows.
    pub fn run(&self, features: usize, targets: usize, x: &[f32], bins: &mut [u8], out: &mut [f64]) {
        let (features, targets) = (features.max(1), targets.max(1));
        out.fill(0.0);
        let rows = x.chunks(features.saturating_mul(BLOCK)).zip(out.chunks_mut(targets.saturating_mul(BLOCK)));
        for (x, out) in rows {
            let (blocks, _) = bins.as_chunks_mut::<BLOCK>();
            if out.len() == targets * BLOCK && blocks.len() >= self.columns.len() {
                for (lane, row) in x.chunks_exact(features).enumerate() {
                    self.bins(row, |column, bin| {
                        if let Some(place) = blocks.get_mut(column).and_then(|bins| bins.get_mut(lane)) {
                            *place = bin;
                        }
                    });
                }
                self.add_block(blocks, targets, out);
                continue;
            }
            for (row, out) in x.chunks_exact(features).zip(out.chunks_exact_mut(targets)) {
                self.bins(row, |column, bin| {
                    if let Some(place) = bins.get_mut(column) {
                        *place = bin;
                    }
                });
                self.add_row(bins, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_what_single_rows_give() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let columns = [[0, 3], [1 | NAN_ABOVE, 4], [2, 9]];
        let borders = [-1.0, 0.0, 1.0, 0.25, 0.5, 1.5, 2.5, 3.5, 4.5];
        for targets in [1, 3] {
            let depths = [0, 1, 3, 8, 9, 11];
            let splits: [u32; 32] = core::array::from_fn(|_| {
                let column = (next() % 3) as u16;
                match next() % 3 {
                    0 => BinSplit { column, mask: !((next() % 4) as u8), least: 255 }.pack(),
                    _ => BinSplit { column, mask: 0, least: (1 + next() % 3) as u8 }.pack(),
                }
            });
            let leaves: usize = depths.iter().map(|&depth| 1 << depth).sum();
            let numbers: [f64; 3 * 2827] = core::array::from_fn(|_| f64::from(next()) / 7.0);
            let values = &numbers[..leaves * targets];
            let trees =
                ObliviousTrees { columns: &columns, borders: &borders, splits: &splits, depths: &depths, values };
            let x: [f32; 3 * 70] = core::array::from_fn(|_| match next() % 9 {
                0 => f32::NAN,
                1 => 0.25,
                2 => f32::INFINITY,
                _ => (next() % 1000) as f32 / 150.0 - 2.0,
            });
            let mut out = [9.0; 3 * 70];
            let out = &mut out[..70 * targets];
            trees.run(3, targets, &x, &mut [0; 3 * BLOCK], out);
            for (row, out) in x.chunks(3).zip(out.chunks(targets)) {
                let mut single = [9.0; 3];
                let single = &mut single[..targets];
                trees.run(3, targets, row, &mut [0; 3], single);
                assert_eq!(single, out, "{row:?}");
            }
        }
    }

    #[test]
    fn bins_and_questions() {
        let trees = ObliviousTrees {
            columns: &[[0, 2], [1 | NAN_ABOVE, 3]],
            borders: &[0.0, 1.0, 5.0],
            splits: &[
                BinSplit { column: 0, mask: 0, least: 1 }.pack(),
                BinSplit { column: 0, mask: !2, least: 255 }.pack(),
                BinSplit { column: 1, mask: 0, least: 1 }.pack(),
            ],
            depths: &[2, 1],
            values: &[1.0, 2.0, 4.0, 8.0, 0.0, 16.0],
        };
        let mut out = [0.0; 5];
        let x = [0.0, 5.0, 0.5, 6.0, 1.5, 0.0, f32::NAN, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        trees.run(2, 1, &x, &mut [0; 2], &mut out);
        assert_eq!(out, [1.0, 18.0, 8.0, 17.0, 8.0]);
    }
}
