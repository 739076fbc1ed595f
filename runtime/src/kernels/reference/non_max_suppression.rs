//! Choice of boxes that do not overlap.

use super::combine::Combine;
use super::top_k::select;

/// A box: its lower and upper ends.
#[derive(Clone, Copy, Debug)]
struct Region {
    low: [f32; 2],
    high: [f32; 2],
}

impl Region {
    /// Reads `[y1, x1, y2, x2]`, any two opposite corners, or, when `centred`, `[x, y, width, height]`.
    fn read(centred: bool, corners: [f32; 4]) -> Self {
        let [a, b, c, d] = corners;
        if centred {
            let (half_width, half_height) = (c / 2.0, d / 2.0);
            return Self { low: [b - half_height, a - half_width], high: [b + half_height, a + half_width] };
        }
        let low = [if a < c { a } else { c }, if b < d { b } else { d }];
        Self { low, high: [if a < c { c } else { a }, if b < d { d } else { b }] }
    }

    fn area(&self) -> f32 {
        (self.high[1] - self.low[1]) * (self.high[0] - self.low[0])
    }

    /// Area of the intersection over that of the union; 0 where there is none.
    fn overlap(&self, other: &Self) -> f32 {
        let side = |axis: usize| {
            let low = if self.low[axis] > other.low[axis] { self.low[axis] } else { other.low[axis] };
            let high = if self.high[axis] < other.high[axis] { self.high[axis] } else { other.high[axis] };
            high - low
        };
        let (height, width) = (side(0), side(1));
        if !(height > 0.0 && width > 0.0) {
            return 0.0;
        }
        let (intersection, a, b) = (width * height, self.area(), other.area());
        let union = a + b - intersection;
        if intersection <= 0.0 || a <= 0.0 || b <= 0.0 || union <= 0.0 { 0.0 } else { intersection / union }
    }
}

/// How boxes are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Boxes are a centre, a width and a height instead of two corners.
    pub centred: bool,
    /// Most boxes of a class.
    pub most: usize,
    /// Two boxes of a class that overlap by more than this are not both chosen.
    pub overlap: f32,
    /// Boxes need a score above this.
    pub score: Option<f32>,
}

/// Chooses boxes of one image, by class and falling score (equal scores by index), and writes `[image, class, box]` for each to `rows`; returns
/// how many. `scores` holds one row of `order.len()` scores for each class; `order` is working memory.
pub fn non_max_suppression(
    choice: &Choice,
    image: i64,
    boxes: &[[f32; 4]],
    scores: &[f32],
    order: &mut [i64],
    rows: &mut [[i64; 3]],
) -> usize {
    let count = order.len();
    let region = |index: i64| boxes.get(index as usize).map(|&corners| Region::read(choice.centred, corners));
    let mut used = 0usize;
    for (class, scores) in scores.chunks_exact(count.max(1)).enumerate() {
        let score = |index: i64| scores.get(index as usize).copied().unwrap_or(f32::NEG_INFINITY);
        let before = |a: i64, b: i64| score(a).above(score(b)) || (!score(b).above(score(a)) && a < b);
        select(order, 1, count, count, before);
        let first = used;
        for &candidate in order.iter() {
            if used - first >= choice.most {
                break;
            }
            if !choice.score.is_none_or(|least| score(candidate) > least) {
                continue;
            }
            let Some(candidate_region) = region(candidate) else { continue };
            let mut chosen = rows.get(first..used).unwrap_or_default().iter();
            let suppressed = chosen.any(|&[_, _, other]| {
                region(other).is_some_and(|other| candidate_region.overlap(&other) > choice.overlap)
            });
            if let (false, Some(row)) = (suppressed, rows.get_mut(used)) {
                *row = [image, class as i64, candidate];
                used += 1;
            }
        }
    }
    used
}
