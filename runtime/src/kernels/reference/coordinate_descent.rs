//! Least squares without negative coefficients, by descent along one coordinate after the other.

/// Minimises `w · gram · w / 2 - targets · w` over `w >= 0`, starting from zeros: rounds over all coordinates, at most `rounds` of them, until the
/// sizes of the projected gradients of a round add up to at most `tolerance` times those of the first. `gram` holds `w.len()` rows.
pub fn coordinate_descent(gram: &[f64], targets: &[f64], (tolerance, rounds): (f64, u32), w: &mut [f64]) {
    w.fill(0.0);
    let count = w.len().max(1);
    let mut first = None;
    for _ in 0..rounds {
        let mut violation = 0.0;
        for ((at, row), &target) in gram.chunks_exact(count).enumerate().zip(targets) {
            let gradient = row.iter().zip(w.iter()).fold(-target, |sum, (&g, &w)| sum + g * w);
            let (Some(w), Some(&curvature)) = (w.get_mut(at), row.get(at)) else { continue };
            let projected = if *w == 0.0 && gradient > 0.0 { 0.0 } else { gradient };
            violation += libm::fabs(projected);
            if curvature != 0.0 {
                let moved = *w - gradient / curvature;
                *w = if moved > 0.0 || moved.is_nan() { moved } else { 0.0 };
            }
        }
        let first = *first.get_or_insert(violation);
        if first == 0.0 || violation / first <= tolerance {
            return;
        }
    }
}
