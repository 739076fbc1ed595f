//! Scaled dot-product attention, one query at a time: only one row of scores is ever held.

use core::ops::Range;

use super::float::Float;
use super::heads::Rows;

/// What is added to the scores, or which of them count.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a, T> {
    /// Nothing.
    None,
    /// A byte for each score: those of zero bytes do not count.
    Chosen(&'a [u8]),
    /// A number for each score; those of minus infinity do not count.
    Added(&'a [T]),
}

impl<T: Float> Mask<'_, T> {
    /// What is added to the score at `at` of the mask; `None` where the score does not count.
    fn at(&self, at: Option<usize>) -> Option<T> {
        match self {
            Self::None => Some(T::ZERO),
            Self::Chosen(mask) => mask.get(at?).filter(|&&byte| byte != 0).map(|_| T::ZERO),
            Self::Added(mask) => mask.get(at?).copied().filter(|&added| added != T::NEG_INFINITY),
        }
    }
}

/// Which of the stages of the scores is written down. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// `q . k * scale`.
    Raw = 0,
    /// After the soft cap.
    Capped = 1,
    /// With what the mask adds; minus infinity where a key does not count.
    Masked = 2,
    /// After the softmax.
    Shares = 3,
}

impl Stage {
    /// The stage with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Raw, Self::Capped, Self::Masked, Self::Shares].get(usize::from(code)).copied()
    }
}

/// Lengths and layout of an attention, and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Elements of the batch, heads of the queries, queries.
    pub queries: [usize; 3],
    /// Heads of keys and values, each shared by as many heads of the queries as are there for it.
    pub key_heads: usize,
    /// Keys.
    pub keys: usize,
    /// Rows of the queries, the keys, the values and the result.
    pub rows: [Rows; 4],
    /// Rows of the mask, which may be shorter than there are keys: keys beyond do not count.
    pub mask: Rows,
    /// Factor of the products.
    pub scale: f64,
    /// Above 0: scores s become `cap * tanh(s / cap)`.
    pub softcap: f64,
    /// Keys that a query sees to the left and to the right of its own place; `None` for all.
    pub window: [Option<usize>; 2],
    /// Place of the first query among the keys, where the batch's lengths do not tell.
    pub offset: i64,
}

impl Attention {
    /// For each query q of each head: scores `s_j = cap(sum over d of q_d * k_jd, times scale) + mask_j`, weights
    /// `p_j = exp(s_j - m) / sum of exp(s_j - m)` with m the largest, and `y = sum over j of p_j * v_j`.
    ///
    /// The sum over d starts from zero and runs upwards; so do the sums over j, which leave out keys whose weight is 0. Scores are
    /// computed in `T`, their softmax in `S`, and the weights are rounded to `T`. A query for which no key counts gives zeros. With
    /// `lengths`, only the first `lengths(b)` keys of element b of the batch count and its last query is at the last of them.
    ///
    /// `row` holds as many elements as there are keys.
    pub fn run<T: Float, S: Float>(
        &self,
        [q, k, v]: [&[T]; 3],
        mask: Mask<'_, T>,
        lengths: impl Fn(usize) -> Option<i64>,
        row: &mut [S],
        out: &mut [T],
        mut scores: Option<(Stage, &mut [T])>,
    ) {
        let [batches, heads, queries] = self.queries;
        let group = heads.checked_div(self.key_heads).unwrap_or(1).max(1);
        let [query_rows, key_rows, value_rows, out_rows] = self.rows;
        let mut number = 0usize;
        for (batch, head, query) in (0..batches)
            .flat_map(|batch| (0..heads).flat_map(move |head| (0..queries).map(move |query| (batch, head, query))))
        {
            let key_head = head / group;
            let start = number.saturating_mul(self.keys);
            let stage = scores.as_mut().and_then(|(stage, all)| {
                let end = start.saturating_add(self.keys);
                Some((*stage, all.get_mut(start..end)?))
            });
            number = number.saturating_add(1);
            let visible = self.visible(lengths(batch), query);
            // Scores that are written down before the mask are wanted of every key.
            let every = matches!(stage, Some((Stage::Raw | Stage::Capped, _)));
            let wanted = if every { 0..self.keys } else { visible.clone() };
            let of_query = query_rows.of(q, [batch, head, query]);
            products(of_query, |key| key_rows.of(k, [batch, key_head, key]), wanted.clone(), row);
            let mask_row = self.mask.range([batch, head, query]);
            let added = |key: usize| mask.at((key < self.mask.size).then(|| mask_row.start.wrapping_add(key)));
            self.weigh([visible.clone(), wanted], added, row, stage);
            let Some(out) = out.get_mut(out_rows.range([batch, head, query])) else { continue };
            out.fill(T::ZERO);
            for (key, weight) in row.iter().enumerate().take(visible.end).skip(visible.start) {
                let weight = T::from_f64(weight.to_f64());
                if weight != T::ZERO {
                    for (out, &v) in out.iter_mut().zip(value_rows.of(v, [batch, key_head, key])) {
                        *out = *out + weight * v;
                    }
                }
            }
        }
    }

    /// The keys that a query may see, whatever the mask says.
    fn visible(&self, length: Option<i64>, query: usize) -> Range<usize> {
        let keys = self.keys as i64;
        let (valid, offset) = match length {
            Some(length) => (length.clamp(0, keys), length.clamp(-1, keys).saturating_sub(self.queries[2] as i64)),
            None => (keys, self.offset),
        };
        let place = offset.saturating_add(query as i64);
        let [left, right] = self.window;
        let start = left.map_or(0, |left| place.saturating_sub(left as i64)).clamp(0, valid);
        let end = right.map_or(valid, |right| place.saturating_add(right as i64).saturating_add(1)).clamp(start, valid);
        start as usize..end as usize
    }

    /// Turns the products in `row` into the weights of the keys, all of them 0 where none counts.
    fn weigh<T: Float, S: Float>(
        &self,
        [visible, wanted]: [Range<usize>; 2],
        added: impl Fn(usize) -> Option<T>,
        row: &mut [S],
        mut stage: Option<(Stage, &mut [T])>,
    ) {
        let (scale, cap) = (T::from_f64(self.scale), T::from_f64(self.softcap));
        let mut note = |wanted: Stage, key: usize, value: T| {
            let scores = stage.as_mut().filter(|(stage, _)| *stage == wanted);
            if let Some(slot) = scores.and_then(|(_, scores)| scores.get_mut(key)) {
                *slot = value;
            }
        };
        let mut largest = S::NEG_INFINITY;
        for (key, slot) in row.iter_mut().enumerate() {
            let mut masked = T::NEG_INFINITY;
            if wanted.contains(&key) {
                let raw = T::from_f64(slot.to_f64()) * scale;
                note(Stage::Raw, key, raw);
                let capped = if self.softcap > 0.0 { (raw / cap).tanh() * cap } else { raw };
                note(Stage::Capped, key, capped);
                let added = if visible.contains(&key) { added(key) } else { None };
                masked = added.map_or(masked, |added| capped + added);
            }
            note(Stage::Masked, key, masked);
            *slot = S::from_f64(masked.to_f64());
            if *slot > largest {
                largest = *slot;
            }
        }
        let mut sum = S::ZERO;
        for slot in row.iter_mut() {
            *slot = if *slot == S::NEG_INFINITY { S::ZERO } else { (*slot - largest).exp() };
            sum = sum + *slot;
        }
        for (key, slot) in row.iter_mut().enumerate() {
            if sum != S::ZERO {
                *slot = *slot / sum;
            }
            note(Stage::Shares, key, T::from_f64(slot.to_f64()));
        }
    }
}

/// Keys whose products with a query are summed side by side, so that no sum waits for another.
const SIDE_BY_SIDE: usize = 8;

/// Puts the products of a query with the keys in `range` at their places in `row`.
fn products<'a, T: Float, S: Float>(query: &[T], key: impl Fn(usize) -> &'a [T], range: Range<usize>, row: &mut [S]) {
    let Some(slots) = row.get_mut(range.clone()) else { return };
    for (block, slots) in slots.chunks_mut(SIDE_BY_SIDE).enumerate() {
        let first = range.start.saturating_add(block.saturating_mul(SIDE_BY_SIDE));
        // The last block repeats its last key.
        let rows: [&[T]; SIDE_BY_SIDE] = core::array::from_fn(|at| key(first + at.min(slots.len().saturating_sub(1))));
        let mut sums = [T::ZERO; SIDE_BY_SIDE];
        for (d, &q) in query.iter().enumerate() {
            for (sum, row) in sums.iter_mut().zip(&rows) {
                *sum = *sum + q * row.get(d).copied().unwrap_or(T::ZERO);
            }
        }
        for (slot, sum) in slots.iter_mut().zip(sums) {
            *slot = S::from_f64(sum.to_f64());
        }
    }
}
