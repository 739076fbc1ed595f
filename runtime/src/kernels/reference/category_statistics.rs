//! Statistics of combinations of categories.

/// The multiplier of [`combined`].
const MULTIPLIER: u64 = 0x4906_ba49_4954_cb65;

/// A hash of values so far with one more value (CatBoost's combination of hashes). From 0, different values have different hashes.
pub const fn combined(hash: u64, value: u64) -> u64 {
    MULTIPLIER.wrapping_mul(hash.wrapping_add(MULTIPLIER.wrapping_mul(value)))
}

/// What a hash of a category is among the values that are combined.
pub const fn category_value(hash: i32) -> u64 {
    hash as i64 as u64
}

/// One of the values that make a combination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The hash in a column of categories.
    Category {
        /// The column.
        column: u32,
    },
    /// 1 where a number is above a border, else 0.
    Above {
        /// The column of numbers.
        column: u32,
        /// The border.
        border: f32,
        /// True when NaN counts as above.
        nan: bool,
    },
    /// 1 where the hash in a column of categories is this one, else 0.
    Equal {
        /// The column.
        column: u32,
        /// The hash.
        hash: i32,
    },
}

impl Part {
    /// The words in an artifact: kind (0 category, 1 above, 2 above or NaN, 3 equal), column, bits of the border or hash.
    pub const fn pack(self) -> [u32; 3] {
        match self {
            Self::Category { column } => [0, column, 0],
            Self::Above { column, border, nan } => [1 + nan as u32, column, border.to_bits()],
            Self::Equal { column, hash } => [3, column, hash as u32],
        }
    }

    /// The part of these words; `None` for an undefined kind.
    pub const fn unpack([kind, column, bits]: [u32; 3]) -> Option<Self> {
        match kind {
            0 => Some(Self::Category { column }),
            1 | 2 => Some(Self::Above { column, border: f32::from_bits(bits), nan: kind == 2 }),
            3 => Some(Self::Equal { column, hash: bits as i32 }),
            _ => None,
        }
    }

    fn value(self, categories: &[i32], numbers: &[f32]) -> u64 {
        match self {
            Self::Category { column } => category_value(categories.get(column as usize).copied().unwrap_or(0)),
            Self::Above { column, border, nan } => {
                let number = numbers.get(column as usize).copied().unwrap_or(f32::NAN);
                u64::from(number > border || nan && number.is_nan())
            }
            Self::Equal { column, hash } => u64::from(categories.get(column as usize) == Some(&hash)),
        }
    }
}

/// Statistics in tables.
#[derive(Clone, Copy, Debug)]
pub struct Statistics<'a> {
    /// For each statistic: the ends of its parts and of its keys, and its number of columns.
    pub statistics: &'a [[u32; 3]],
    /// [`Part::pack`] of all parts.
    pub parts: &'a [[u32; 3]],
    /// Rising hashes of the combinations that each statistic knows.
    pub keys: &'a [u64],
    /// The columns' values for each key and, after them, for any other combination.
    pub values: &'a [f32],
}

impl Statistics<'_> {
    /// Writes the columns of all statistics for each row of `categories` and `numbers`, of these widths, to the rows of `out`.
    pub fn run(&self, widths: [usize; 2], categories: &[i32], numbers: &[f32], columns: usize, out: &mut [f32]) {
        for (row, out) in out.chunks_exact_mut(columns.max(1)).enumerate() {
            let part = |width: usize| row.saturating_mul(width)..row.saturating_add(1).saturating_mul(width);
            let categories = categories.get(part(widths[0])).unwrap_or_default();
            let numbers = numbers.get(part(widths[1])).unwrap_or_default();
            self.row(categories, numbers, out);
        }
    }

    fn row(&self, categories: &[i32], numbers: &[f32], out: &mut [f32]) {
        let (mut first_part, mut first_key, mut first_value, mut out) = (0, 0, 0_usize, out);
        for &[parts_end, keys_end, width] in self.statistics {
            let (parts_end, keys_end, width) = (parts_end as usize, keys_end as usize, width as usize);
            let mut hash = 0;
            for &words in self.parts.get(first_part..parts_end).unwrap_or_default() {
                let value = Part::unpack(words).map_or(0, |part| part.value(categories, numbers));
                hash = combined(hash, value);
            }
            let keys = self.keys.get(first_key..keys_end).unwrap_or_default();
            let found = keys.binary_search(&hash).unwrap_or(keys.len());
            let start = first_value.saturating_add(found.saturating_mul(width));
            let values = self.values.get(start..start.saturating_add(width)).unwrap_or_default();
            let Some((columns, rest)) = out.split_at_mut_checked(width) else { return };
            for (column, &value) in columns.iter_mut().zip(values) {
                *column = value;
            }
            out = rest;
            first_value = first_value.saturating_add((keys.len() + 1).saturating_mul(width));
            (first_part, first_key) = (parts_end, keys_end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_known_and_unknown_combinations() {
        let parts = [
            Part::Category { column: 1 },
            Part::Above { column: 0, border: 0.5, nan: true },
            Part::Equal { column: 0, hash: -7 },
        ];
        let key =
            |hash: i32, above: u64, equal: u64| combined(combined(combined(0, category_value(hash)), above), equal);
        let mut known = [(key(-3, 1, 0), [1.0, 2.0]), (key(-3, 0, 1), [3.0, 4.0]), (key(9, 1, 1), [5.0, 6.0])];
        known.sort_by_key(|known| known.0);
        let mut values: [f32; 9] = [0.0; 9];
        for (to, known) in values.chunks_mut(2).zip(&known) {
            to.copy_from_slice(&known.1);
        }
        values[6..].copy_from_slice(&[-1.0, -2.0, 8.0]);
        let mut keys = [0; 3];
        keys.iter_mut().zip(&known).for_each(|(key, known)| *key = known.0);
        let packed = parts.map(Part::pack);
        assert_eq!(packed.map(|words| Part::unpack(words).unwrap()), parts);
        assert_eq!(Part::unpack([4, 0, 0]), None);
        let statistics =
            Statistics { statistics: &[[3, 3, 2], [3, 3, 1]], parts: &packed, keys: &keys, values: &values };
        let mut out = [9.0; 12];
        let categories = [0, -3, -7, -3, -7, 9, -7, 10];
        statistics.run([2, 1], &categories, &[f32::NAN, 0.5, 0.75, 0.75], 3, &mut out);
        assert_eq!(out, [1.0, 2.0, 8.0, 3.0, 4.0, 8.0, 5.0, 6.0, 8.0, -1.0, -2.0, 8.0]);
    }
}
