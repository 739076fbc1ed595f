//! Counts of n-grams.

/// The n-grams that are counted, and how.
#[derive(Clone, Copy, Debug)]
pub struct NGrams<'a> {
    /// Elements of all n-grams.
    pub pool: &'a [i64],
    /// Start in the pool, length and column of each n-gram.
    pub grams: &'a [[i32; 3]],
    /// Most elements that are left out between neighbours of an n-gram.
    pub skips: u32,
}

impl NGrams<'_> {
    /// Adds 1 to an n-gram's column for each place where it stands in `row`, for each distance between neighbours from 1 to
    /// `skips + 1`; n-grams of one element are counted once.
    pub fn count<T: Copy + Into<i64>>(&self, row: &[T], counts: &mut [f32]) {
        for &[start, length, column] in self.grams {
            let start = start.max(0) as usize;
            let Some(gram) = self.pool.get(start..start.saturating_add(length.max(0) as usize)) else { continue };
            let Some(slot) = counts.get_mut(column.max(0) as usize) else { continue };
            let distances = if gram.len() > 1 { (self.skips as usize).saturating_add(1) } else { 1 };
            for distance in 1..=distances.min(row.len()) {
                let span = gram.len().saturating_sub(1).saturating_mul(distance);
                for first in 0..row.len().saturating_sub(span) {
                    let places = row.iter().skip(first).step_by(distance);
                    if places.zip(gram).all(|(&a, &b)| a.into() == b) {
                        *slot += 1.0;
                    }
                }
            }
        }
    }
}
