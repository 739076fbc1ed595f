//! Isotonic regression: a rising or falling function of one number, linear between the points that it was fitted to.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;

use super::lowering::At;
use super::{Estimator, Family, Features, Method, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::forest::{Aggregate, Combination, Comparison, Forest, Split, Test, TreeNode};
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Isotonic regression.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.isotonic.IsotonicRegression"],
    carried: &[],
    decode: |item| Ok(Box::new(Isotonic::decode(item)?)),
};

/// A function that is linear between points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Isotonic {
    /// Where the points are, rising.
    pub x: Vec<f64>,
    /// What the function is there.
    pub y: Vec<f64>,
    /// Numbers outside are taken to these ends; without them, the function is NaN there.
    pub ends: Option<(f64, f64)>,
}

impl Isotonic {
    pub(super) fn decode(item: &Item<'_>) -> Result<Isotonic, FrontendError> {
        let points = |names: [&str; 2]| {
            let array = item.find(names[0])?.map_or_else(|| item.get(names[1]), Ok)?.array()?;
            Ok::<_, FrontendError>(array)
        };
        // The second names are those of scikit-learn 0.22 and 0.23.
        let (x, y) = (points(["X_thresholds_", "_necessary_X_"])?, points(["y_thresholds_", "_necessary_y_"])?);
        if x.dtype().size != 8 {
            return Err(unsupported(item, "thresholds in float32; fit it on float64"));
        }
        let (x, y) = (x.f64s()?, y.f64s()?);
        let rises = x.windows(2).all(|pair| pair[0] < pair[1]) && x.iter().all(|x| x.is_finite());
        if x.is_empty() || x.len() != y.len() || !rises {
            return Err(inconsistent(item, format!("{} thresholds and {} values", x.len(), y.len())));
        }
        let ends = match item.get("out_of_bounds")?.as_str()? {
            "clip" => Some((item.get("X_min_")?.as_f64()?, item.get("X_max_")?.as_f64()?)),
            // "raise" is an error in scikit-learn; here such a number gives NaN, as "nan" does.
            "nan" | "raise" => None,
            other => return Err(unsupported(item, format!("out_of_bounds={other:?}; use \"clip\""))),
        };
        Ok(Isotonic { x, y, ends })
    }

    /// The function of each element of `x`, `[N, 1]` in float64.
    pub(super) fn apply(&self, at: &mut At<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        let x = match self.ends {
            Some((low, high)) => {
                let x = at.with(BinaryKind::Max, x, low)?;
                at.with(BinaryKind::Min, x, high)?
            }
            None => x,
        };
        let [only] = self.y.as_slice() else { return self.interpolate(at, x) };
        at.everywhere(x, &[*only])
    }

    /// A search among the points gives for each element the left end of its piece, the slope, and the value at that end.
    fn interpolate(&self, at: &mut At<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        let last = self.x.len() - 1;
        let piece = |index: usize| {
            let slope = (self.y[index + 1] - self.y[index]) / (self.x[index + 1] - self.x[index]);
            [self.x[index], slope, self.y[index]]
        };
        let mut leaves: Vec<[f64; 3]> = (0..last).map(piece).collect();
        leaves.push([self.x[last], 0.0, self.y[last]]);
        leaves.push([0.0, f64::NAN, f64::NAN]);
        let outside = last + 1;
        // Nodes: the leaves, then the splits.
        let mut nodes: Vec<TreeNode<'_>> = leaves.iter().map(|leaf| TreeNode::Dense(leaf)).collect();
        let split = |nodes: &mut Vec<TreeNode<'_>>, comparison, threshold, when_true, when_false, nan_is_true| {
            let test = Test::Compare { comparison, threshold };
            let split = Split { feature: 0, test, nan_is_true, zero_is_missing: false, when_true, when_false };
            nodes.push(TreeNode::Split(split));
            nodes.len() - 1
        };
        // Pairs of neighbouring parts are joined until one part is left: (its first piece, its root).
        let mut parts: Vec<(usize, usize)> = (0..=last).map(|index| (index, index)).collect();
        while parts.len() > 1 {
            let mut joined = Vec::with_capacity(parts.len().div_ceil(2));
            for pair in parts.chunks(2) {
                joined.push(match *pair {
                    [(first, left), (second, right)] => {
                        let root = split(&mut nodes, Comparison::Less, self.x[second], left, right, true);
                        (first, root)
                    }
                    _ => pair[0],
                });
            }
            parts = joined;
        }
        let inside = parts[0].1;
        let inside = split(&mut nodes, Comparison::Less, self.x[0], outside, inside, true);
        let root = split(&mut nodes, Comparison::Greater, self.x[last], outside, inside, true);
        let mut forest = Forest::new(3);
        forest.add_tree(at.path, &nodes, root)?;
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: None };
        let found = forest.lower(at.graph, &format!("{}/pieces", at.path), x, combination)?;
        let (left, slope, value) = (at.column(found, 0)?, at.column(found, 1)?, at.column(found, 2)?);
        let distance = at.binary(BinaryKind::Sub, x, left)?;
        let rise = at.binary(BinaryKind::Mul, slope, distance)?;
        at.binary(BinaryKind::Add, rise, value)
    }
}

impl Estimator for Isotonic {
    fn features(&self) -> usize {
        1
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(1)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let mut at = At { graph, path };
        let x = at.numbers(x)?;
        let y = self.apply(&mut at, x)?;
        Ok(vec![at.as_list(y)?])
    }
}
