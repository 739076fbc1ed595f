//! Linear attention: a recurrence over the rows of a sequence.

use super::float::Float;
use super::heads::Rows;

/// An input with one element, or `size` of them, for each row of each head.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a, F> {
    /// The elements.
    pub data: &'a [F],
    /// Where they are; a `size` of 1 is repeated.
    pub rows: Rows,
}

impl<F: Float> Gate<'_, F> {
    fn at(&self, at: [usize; 3], index: usize) -> F {
        let row = self.rows.of(self.data, at);
        row.get(if row.len() == 1 { 0 } else { index }).copied().unwrap_or(F::ZERO)
    }
}

/// Lengths and layout.
#[derive(Clone, Copy, Debug)]
pub struct LinearAttention {
    /// Elements of the batch, heads of the queries, rows.
    pub lengths: [usize; 3],
    /// Heads of keys and values.
    pub key_heads: usize,
    /// Rows of queries, keys, values and the result.
    pub rows: [Rows; 4],
    /// Factor of the result.
    pub scale: f64,
}

impl LinearAttention {
    /// For each row t of each head, on the head's state S of `size * value_size` elements (which holds the past when this is called):
    /// `S_d *= exp(decay_d)` where there is a decay; `w = beta * (v - sum over d of k_d * S_d)` where there is a beta, `w = v` else;
    /// `S_d += k_d * w`; and for each of its queries `y = scale * sum over d of q_d * S_d`. Sums start from zero and run upwards in d.
    ///
    /// `row` holds `value_size` elements.
    pub fn run<F: Float>(
        &self,
        [q, k, v]: [&[F]; 3],
        (decay, beta): (Option<Gate<'_, F>>, Option<Gate<'_, F>>),
        state: &mut [F],
        row: &mut [F],
        out: &mut [F],
    ) {
        let [_, heads, rows] = self.lengths;
        let [query_rows, key_rows, value_rows, out_rows] = self.rows;
        let group = heads.checked_div(self.key_heads).unwrap_or(1);
        let width = value_rows.size.max(1);
        let scale = F::from_f64(self.scale);
        let part = key_rows.size.saturating_mul(width).max(1);
        for (number, state) in state.chunks_exact_mut(part).enumerate() {
            let (batch, head) = (number / self.key_heads.max(1), number % self.key_heads.max(1));
            for at in (0..rows).map(|t| [batch, head, t]) {
                if let Some(decay) = &decay {
                    for (d, line) in state.chunks_exact_mut(width).enumerate() {
                        let factor = decay.at(at, d).exp();
                        line.iter_mut().for_each(|s| *s = *s * factor);
                    }
                }
                let key = key_rows.of(k, at);
                row.fill(F::ZERO);
                if let Some(beta) = &beta {
                    weighted(key, state, width, row);
                    let beta = beta.at(at, 0);
                    for (w, &v) in row.iter_mut().zip(value_rows.of(v, at)) {
                        *w = beta * (v - *w);
                    }
                } else {
                    row.iter_mut().zip(value_rows.of(v, at)).for_each(|(w, &v)| *w = v);
                }
                for (&k, line) in key.iter().zip(state.chunks_exact_mut(width)) {
                    line.iter_mut().zip(row.iter()).for_each(|(s, &w)| *s = *s + k * w);
                }
                for query_head in (0..group).map(|of_group| head.saturating_mul(group).saturating_add(of_group)) {
                    let at = [batch, query_head, at[2]];
                    let Some(out) = out.get_mut(out_rows.range(at)) else { continue };
                    out.fill(F::ZERO);
                    weighted(query_rows.of(q, at), state, width, out);
                    out.iter_mut().for_each(|y| *y = *y * scale);
                }
            }
        }
    }
}

/// Adds the sum over d of `factors_d * state_d` to `out`.
fn weighted<F: Float>(factors: &[F], state: &[F], width: usize, out: &mut [F]) {
    for (&factor, line) in factors.iter().zip(state.chunks_exact(width)) {
        for (out, &s) in out.iter_mut().zip(line) {
            *out = *out + factor * s;
        }
    }
}
