//! Least squares without negative coefficients, by descent along one coordinate after the other.

/// Minimises `w · gram · w / 2 - targets · w` over `w >= 0`, starting from zeros: rounds over all coordinates, at most `rounds` of them, until the
/// sizes of the projected gradients of a round add up to at most `tolerance` times those of the first. All are NaN where a gradient is. `gram` holds `w.len()` rows.
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
        if violation.is_nan() {
            return w.fill(f64::NAN);
        }
        let first = *first.get_or_insert(violation);
        if first == 0.0 || violation / first <= tolerance {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_not_negative_and_time_is_bounded() {
        let mut w = [7.0; 2];
        coordinate_descent(&[2.0, 1.0, 1.0, 2.0], &[3.0, 3.0], (0.0, 500), &mut w);
        assert!((w[0] - 1.0).abs() < 1e-12 && (w[1] - 1.0).abs() < 1e-12, "{w:?}");
        coordinate_descent(&[2.0, 0.0, 0.0, 2.0], &[-3.0, 4.0], (1e-4, 500), &mut w);
        assert_eq!(w, [0.0, 2.0]);
        coordinate_descent(&[f64::NAN; 4], &[f64::INFINITY; 2], (1e-4, 500), &mut w);
        coordinate_descent(&[0.0; 4], &[0.0; 2], (1e-4, u32::MAX), &mut w);
        assert_eq!(w, [0.0; 2]);
    }
}
