//! Bins of numbers between rising edges.

use super::float::Float;

/// For each element of the rows of `x`, of `starts.len() - 1` columns: how many of its column's edges, `edges[starts[c]..starts[c + 1]]`, are not
/// above it. NaN is above all edges.
pub fn digitize<F: Float>(edges: &[f64], starts: &[i32], x: &[F], out: &mut [F]) {
    let columns = starts.len().saturating_sub(1);
    if columns == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
        for ((&x, out), bounds) in x.iter().zip(out).zip(starts.windows(2)) {
            let &[start, end] = bounds else { continue };
            let edges = edges.get(start.max(0) as usize..end.max(0) as usize).unwrap_or_default();
            let x = x.to_f64();
            let bin = edges.partition_point(|&edge| edge <= x || x.is_nan());
            *out = F::from_f64(bin as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_in_the_bin_above_it() {
        let (edges, starts) = ([0.0, 1.0, 2.0, -1.0], [0, 3, 3, 4]);
        let mut out = [9.0; 6];
        digitize(&edges, &starts, &[1.0, 5.0, -0.5, f64::NAN, f64::NAN, -1.5], &mut out);
        assert_eq!(out, [2.0, 0.0, 1.0, 3.0, 0.0, 0.0]);
        digitize(&edges, &[3, -1, 70], &[-0.0f64, 1.0], &mut out[..2]);
    }
}
