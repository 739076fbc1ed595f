//! Rotary position embedding.

use super::float::Float;
use super::heads::Rows;

/// Which elements of a row are turned together.
#[derive(Clone, Copy, Debug)]
pub struct Pairs {
    /// Number of pairs; elements after them stay.
    pub count: usize,
    /// Neighbours are pairs; otherwise element i and element `i + count` are.
    pub interleaved: bool,
}

/// For each pair i of each row: `(c * a - s * b, s * a + c * b)` with c and s from row `angle(batch, row)` of `cos` and `sin`, rows of
/// `count` elements. `lengths` are elements of the batch, heads, rows.
pub fn rotate<F: Float>(
    pairs: Pairs,
    lengths: [usize; 3],
    rows: Rows,
    x: &[F],
    [cos, sin]: [&[F]; 2],
    angle: impl Fn(usize, usize) -> usize,
    out: &mut [F],
) {
    let [batches, heads, count] = lengths;
    for batch in 0..batches {
        for row in 0..count {
            let start = angle(batch, row).saturating_mul(pairs.count);
            let of_row = |table: &'_ [F]| start..start.saturating_add(pairs.count).min(table.len());
            let (cos, sin) = (cos.get(of_row(cos)).unwrap_or_default(), sin.get(of_row(sin)).unwrap_or_default());
            for head in 0..heads {
                let x = rows.of(x, [batch, head, row]);
                let Some(out) = out.get_mut(rows.range([batch, head, row])) else { continue };
                out.copy_from_slice(x);
                for (index, (&c, &s)) in cos.iter().zip(sin).enumerate() {
                    let (first, second) =
                        if pairs.interleaved { (2 * index, 2 * index + 1) } else { (index, index + pairs.count) };
                    if let (Some(&a), Some(&b)) = (x.get(first), x.get(second)) {
                        set(out, first, c * a - s * b);
                        set(out, second, s * a + c * b);
                    }
                }
            }
        }
    }
}

fn set<F: Float>(out: &mut [F], at: usize, value: F) {
    if let Some(slot) = out.get_mut(at) {
        *slot = value;
    }
}
