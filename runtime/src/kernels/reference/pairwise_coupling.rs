//! Probabilities of classes out of probabilities of pairs of classes.

/// Rounds of [`couple`] at most, or as many as there are classes if that is more.
const MOST_ROUNDS: usize = 100;

/// Probability of class `a` against class `b` out of those of the pairs (0, 1), (0, 2), …, (1, 2), …
fn against(pairs: &[f64], count: usize, a: usize, b: usize) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    let before = low * (2 * count - low - 1) / 2;
    let pair = pairs.get(before + high - low - 1).copied().unwrap_or(0.0);
    if a < b { pair } else { 1.0 - pair }
}

/// Fills `shares`, one for each class, with the minimum of `sum of (r[b, a] * p[a] - r[a, b] * p[b])²` over p that add up to 1,
/// where `r[a, b]` is the probability of a against b: the second method of Wu, Lin and Weng (Journal of Machine Learning
/// Research 5, 2004), by the fixed-point iteration of libsvm: from equal shares, until the largest error of the optimality
/// condition is below 0.005 / classes, 100 rounds at most (or as many as there are classes). `scratch` holds two
/// numbers for each class.
pub fn couple(pairs: &[f64], shares: &mut [f64], scratch: &mut [f64]) {
    let count = shares.len();
    let Some((diagonal, products)) = scratch.split_at_mut_checked(count) else { return };
    if count == 0 || products.len() < count {
        return;
    }
    let r = |a, b| against(pairs, count, a, b);
    // The matrix of the quadratic form: sums of squares on its diagonal, products of opposite pairs off it.
    for (class, square) in diagonal.iter_mut().enumerate() {
        let others = (0..count).filter(|&other| other != class);
        *square = others.fold(0.0, |sum, other| sum + r(other, class) * r(other, class));
    }
    let diagonal = &*diagonal;
    let q = |row: usize, column: usize| {
        if row == column { diagonal.get(row).copied().unwrap_or(0.0) } else { -r(column, row) * r(row, column) }
    };
    shares.fill(1.0 / count as f64);
    let most_error = 0.005 / count as f64;
    for _ in 0..MOST_ROUNDS.max(count) {
        let mut value = 0.0;
        for ((row, product), &share) in products.iter_mut().enumerate().zip(shares.iter()) {
            *product = shares.iter().enumerate().fold(0.0, |sum, (column, &share)| sum + q(row, column) * share);
            value += share * *product;
        }
        let error = products.iter().take(count).fold(0.0, |most, &product| {
            let error = libm::fabs(product - value);
            if error > most { error } else { most }
        });
        if error < most_error {
            return;
        }
        for class in 0..count {
            let (own, product) = (q(class, class), products.get(class).copied().unwrap_or(0.0));
            let change = (-product + value) / own;
            if let Some(share) = shares.get_mut(class) {
                *share += change;
            }
            value = (value + change * (change * own + 2.0 * product)) / (1.0 + change) / (1.0 + change);
            for (other, (product, share)) in products.iter_mut().zip(shares.iter_mut()).enumerate() {
                *product = (*product + change * q(class, other)) / (1.0 + change);
                *share /= 1.0 + change;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found() {
        let pairs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        let expected = [((0, 1), 0.1), ((0, 3), 0.3), ((1, 2), 0.4), ((1, 3), 0.5), ((2, 3), 0.6), ((3, 2), 0.4)];
        for ((a, b), probability) in expected {
            assert_eq!(against(&pairs, 4, a, b), probability, "{a} {b}");
        }
    }

    #[test]
    fn shares_that_agree_with_all_pairs_are_found() {
        let shares = [0.5f64, 0.3, 0.2];
        let pair = |a: usize, b: usize| shares[a] / (shares[a] + shares[b]);
        let (mut out, mut scratch) = ([0.0; 3], [0.0; 6]);
        couple(&[pair(0, 1), pair(0, 2), pair(1, 2)], &mut out, &mut scratch);
        for (share, expected) in out.iter().zip(shares) {
            assert!((share - expected).abs() < 5e-3, "{out:?}");
        }
        couple(&[f64::NAN; 3], &mut out, &mut scratch);
        couple(&[], &mut out, &mut scratch);
        couple(&[0.5; 3], &mut out, &mut []);
    }
}
