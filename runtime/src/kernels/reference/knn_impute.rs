//! Fills missing numbers from the nearest of known rows.

use core::cmp::Ordering;

/// The known rows, and how they are averaged.
#[derive(Clone, Copy, Debug)]
pub struct KnnImputer<'a> {
    /// Rows of `width` numbers, NaN for missing ones.
    pub known: &'a [f64],
    /// Columns.
    pub width: usize,
    /// Rows that a number is filled from, at most.
    pub neighbours: usize,
    /// How much a row counts.
    pub weights: NeighbourWeights,
}

/// How much each neighbour counts. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NeighbourWeights {
    /// All the same.
    Equal = 0,
    /// By the inverse of its distance.
    InverseDistance = 1,
    /// All the same; rows at an undefined distance are taken where there are not enough others, unless there are no others at all.
    EqualWithUndefined = 2,
}

/// Memory for one distance and one position for each known row: 8 bytes each.
pub struct Workspace<'a> {
    pairs: &'a mut [[u8; 16]],
}

/// A known row's distance and position.
fn pair(bytes: &[u8; 16]) -> (f64, usize) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *bytes;
    (f64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]) as usize)
}

impl<'a> Workspace<'a> {
    /// Works in memory for as many pairs as there are known rows.
    pub fn new(pairs: &'a mut [[u8; 16]]) -> Self {
        Self { pairs }
    }
}

impl KnnImputer<'_> {
    /// Copies the row `x`, filling what is missing.
    pub fn fill(&self, x: &[f64], output: &mut [f64], workspace: &mut Workspace<'_>) {
        output.copy_from_slice(x);
        if !x.iter().any(|value| value.is_nan()) {
            return;
        }
        let rows = self.known.chunks_exact(self.width.max(1));
        for ((position, row), slot) in rows.enumerate().zip(workspace.pairs.iter_mut()) {
            let (distance, place) = slot.split_at_mut(8);
            distance.copy_from_slice(&distance_of(x, row).to_le_bytes());
            place.copy_from_slice(&(position as u64).to_le_bytes());
        }
        // Undefined distances come last.
        workspace.pairs.sort_unstable_by(|a, b| {
            let ((a, first), (b, second)) = (pair(a), pair(b));
            let order = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
            if order == Ordering::Equal { first.cmp(&second) } else { order }
        });
        for (column, slot) in output.iter_mut().enumerate().filter(|(_, slot)| slot.is_nan()) {
            *slot = self.mean(column, workspace.pairs);
        }
    }

    /// The number of known row `row` in a column.
    fn number(&self, row: usize, column: usize) -> f64 {
        self.known.get(row.saturating_mul(self.width).saturating_add(column)).copied().unwrap_or(f64::NAN)
    }

    /// The mean of a column over the first pairs that have it.
    fn mean(&self, column: usize, pairs: &[[u8; 16]]) -> f64 {
        let having = || {
            let all = pairs.iter().map(pair).map(|(distance, row)| (distance, self.number(row, column)));
            all.filter(|(_, number)| !number.is_nan())
        };
        let is_defined = |(distance, _): &(f64, f64)| !distance.is_nan();
        let has_defined = having().any(|pair| is_defined(&pair));
        let with_undefined = self.weights == NeighbourWeights::EqualWithUndefined && has_defined;
        let near = || having().take(self.neighbours).filter(|pair| with_undefined || is_defined(pair));
        let is_same = near().next().is_some_and(|(distance, _)| distance == 0.0);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (distance, number) in near() {
            let weight = match self.weights {
                NeighbourWeights::InverseDistance if is_same => f64::from(u8::from(distance == 0.0)),
                NeighbourWeights::InverseDistance => 1.0 / distance,
                _ => 1.0,
            };
            sum += weight * number;
            weights += weight;
        }
        if near().next().is_none() {
            let (mut sum, mut count) = (0.0, 0.0);
            for (_, number) in having() {
                sum += number;
                count += 1.0;
            }
            return sum / count;
        }
        sum / weights
    }
}

/// The distance in the columns that both rows have; NaN where there is none.
fn distance_of(x: &[f64], row: &[f64]) -> f64 {
    let (mut sum, mut present) = (0.0, 0u32);
    for (&a, &b) in x.iter().zip(row) {
        if !a.is_nan() && !b.is_nan() {
            sum += (a - b) * (a - b);
            present += 1;
        }
    }
    if present == 0 { f64::NAN } else { libm::sqrt(sum / f64::from(present) * x.len() as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(weights: NeighbourWeights, neighbours: usize, x: [f64; 2]) -> [f64; 2] {
        let known = [1.0, 10.0, 2.0, 20.0, 4.0, 40.0, f64::NAN, 80.0];
        let imputer = KnnImputer { known: &known, width: 2, neighbours, weights };
        let (mut pairs, mut output) = ([[0; 16]; 4], [0.0; 2]);
        imputer.fill(&x, &mut output, &mut Workspace::new(&mut pairs));
        output
    }

    #[test]
    fn missing_numbers_are_means_of_neighbours() {
        assert_eq!(fill(NeighbourWeights::Equal, 2, [1.2, f64::NAN]), [1.2, 15.0]);
        assert_eq!(fill(NeighbourWeights::InverseDistance, 2, [2.0, f64::NAN]), [2.0, 20.0]);
        // No column in common with any row: the mean of all that have the column.
        assert_eq!(fill(NeighbourWeights::Equal, 2, [f64::NAN, f64::NAN]), [7.0 / 3.0, 37.5]);
        assert_eq!(fill(NeighbourWeights::Equal, 9, [f64::NAN, 60.0]), [7.0 / 3.0, 60.0]);
        assert_eq!(fill(NeighbourWeights::EqualWithUndefined, 4, [1.0, f64::NAN]), [1.0, 37.5]);
        assert_eq!(fill(NeighbourWeights::Equal, 1, [f64::INFINITY, 5.0]), [f64::INFINITY, 5.0]);
    }
}
