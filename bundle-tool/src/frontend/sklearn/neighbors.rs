//! Nearest neighbours: votes and means of the training samples that are nearest, or within a radius; local outlier factors.
//!
//! Of training samples at equal distances the first ones count as nearest, as in a search of all samples in order. scikit-learn's own
//! choice among equals depends on its algorithm: a tree takes those that its walk meets first.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::gather_nd::GatherNd;
use ekiben_runtime::ops::one_hot::OneHot;
use ekiben_runtime::ops::pairwise_distance::Metric;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::top_k::TopK;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, numbers_or_one};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, labels, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Nearest neighbours.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.neighbors._classification.KNeighborsClassifier",
        "sklearn.neighbors._classification.RadiusNeighborsClassifier",
        "sklearn.neighbors._regression.KNeighborsRegressor",
        "sklearn.neighbors._regression.RadiusNeighborsRegressor",
        "sklearn.neighbors._lof.LocalOutlierFactor",
    ],
    carried: TREES,
    decode: |item| Ok(Box::new(Neighbours::decode(item)?)),
};

/// Search trees that files hold beside the samples; they are not read.
const TREES: &[&str] = &[
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._kd_tree.KDTree64",
    "sklearn.neighbors._kd_tree.newObj",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._ball_tree.BallTree64",
    "sklearn.neighbors._ball_tree.newObj",
    "sklearn.neighbors._dist_metrics.newObj",
    "sklearn.neighbors._dist_metrics.EuclideanDistance",
    "sklearn.neighbors._dist_metrics.ManhattanDistance",
    "sklearn.neighbors._dist_metrics.ChebyshevDistance",
    "sklearn.neighbors._dist_metrics.MinkowskiDistance",
    "sklearn.metrics._dist_metrics.newObj",
    "sklearn.metrics._dist_metrics.EuclideanDistance",
    "sklearn.metrics._dist_metrics.ManhattanDistance",
    "sklearn.metrics._dist_metrics.ChebyshevDistance",
    "sklearn.metrics._dist_metrics.MinkowskiDistance",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
];

/// How far rows are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distance {
    /// Square root of the sum of the squared differences.
    Euclidean {
        /// The squares are `|x|² - 2 x · y + |y|²`.
        expanded: bool,
    },
    /// Another metric, and Minkowski's exponent.
    Metric(Metric, f64),
    /// 1 less the cosine of the angle.
    Cosine,
}

impl Distance {
    /// Decodes the name of a metric; `p` gives Minkowski's exponent.
    pub(super) fn decode(
        item: &Item<'_>,
        name: &Item<'_>,
        expanded: bool,
        p: impl FnOnce() -> Result<f64, FrontendError>,
    ) -> Result<Distance, FrontendError> {
        Ok(match name.as_str() {
            Ok("euclidean" | "l2") => Distance::Euclidean { expanded },
            Ok("manhattan" | "l1" | "cityblock") => Distance::Metric(Metric::Manhattan, 0.0),
            Ok("chebyshev") => Distance::Metric(Metric::Chebyshev, 0.0),
            Ok("minkowski") => {
                let p = p()?;
                if !p.is_finite() || p <= 0.0 {
                    return Err(unsupported(item, format!("a Minkowski metric with p={p}")));
                }
                Distance::Metric(Metric::Minkowski, p)
            }
            Ok("cosine") => Distance::Cosine,
            other => {
                let other = other.unwrap_or("a function");
                let known = "\"euclidean\", \"manhattan\", \"chebyshev\", \"minkowski\" or \"cosine\"";
                return Err(unsupported(item, format!("metric={other:?}; use {known}")));
            }
        })
    }

    /// What orders rows as the distance does, `[N, points]`, and is cheaper: the square of a Euclidean one.
    pub(super) fn reduced(self, f: &mut Formula<'_>, x: TensorId, points: &Matrix) -> Result<TensorId, FrontendError> {
        match self {
            Distance::Euclidean { expanded: true } => f.expanded_distances(x, "_fit_X", points),
            Distance::Euclidean { expanded: false } => f.distances(Metric::SquaredEuclidean, 0.0, x, "_fit_X", points),
            Distance::Metric(metric, p) => f.distances(metric, p, x, "_fit_X", points),
            Distance::Cosine => cosine(f, x, points),
        }
    }

    /// The distance out of [`Distance::reduced`].
    pub(super) fn restored(self, f: &mut Formula<'_>, reduced: TensorId) -> Result<TensorId, FrontendError> {
        match self {
            Distance::Euclidean { .. } => f.unary(UnaryKind::Sqrt, reduced),
            _ => Ok(reduced),
        }
    }

    /// What [`Distance::reduced`] is for a distance of `radius`.
    fn reduced_radius(self, radius: f64) -> f64 {
        if matches!(self, Distance::Euclidean { .. }) { radius * radius } else { radius }
    }
}

/// `1 - cos` of the angles of the rows of `x` and `points`, within 0 and 2. A row of zeros has the cosine 0 with all others.
fn cosine(f: &mut Formula<'_>, x: TensorId, points: &Matrix) -> Result<TensorId, FrontendError> {
    let norms = f.reduce(ReduceKind::L2, x, 1, true)?;
    let zero = f.compare(CompareKind::Equal, norms, 0.0)?;
    let one = f.constant("one", &[1], &[1.0])?;
    let norms = f.select(zero, one, norms)?;
    let x = f.div(x, norms)?;
    let mut unit = points.clone();
    for row in unit.values.chunks_exact_mut(points.columns) {
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter_mut().for_each(|x| *x /= if norm == 0.0 { 1.0 } else { norm });
    }
    let products = f.product(x, "_fit_X", &unit, None)?;
    let negated = f.unary(UnaryKind::Neg, products)?;
    let distances = f.scalar(BinaryKind::Add, negated, 1.0)?;
    f.clip(distances, 0.0, 2.0)
}

/// Elements of the matrix of samples and classes at most.
const MOST_MEMBERS: usize = 1 << 23;

/// Which training samples count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Within {
    /// So many of the nearest.
    Nearest(u32),
    /// Those not farther away.
    Radius(f64),
}

/// Nearest neighbours.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// The training samples.
    pub samples: Matrix,
    /// How far rows are apart.
    pub distance: Distance,
    /// Which samples count.
    pub within: Within,
    /// Samples count by the reciprocal of their distance; those at no distance alone, where there are any.
    pub by_distance: bool,
    /// What is made of them.
    pub task: Neighbourly,
}

/// What is made of the samples that count.
#[derive(Debug, Clone, PartialEq)]
pub enum Neighbourly {
    /// Means of `targets`, a row for each training sample. A sample without neighbours gets NaN.
    Means {
        /// The targets.
        targets: Matrix,
        /// The answer is `[N]`, not `[N, targets]`.
        flat: bool,
    },
    /// Votes for classes.
    Votes(Votes),
    /// How dense the neighbourhood is, against those of its members.
    Density {
        /// For each training sample its distance to its farthest neighbour, and the density of its neighbourhood.
        known: Matrix,
        /// Taken off the score for `decision_function`.
        offset: f64,
    },
}

/// Votes for the classes of each output.
#[derive(Debug, Clone, PartialEq)]
pub struct Votes {
    /// The labels of each output.
    pub labels: Vec<Labels>,
    /// For each output and training sample the index of its label.
    pub classes: Vec<Vec<i32>>,
    /// The answer is `[N]`, not `[N, outputs]`.
    pub flat: bool,
    /// For each output the label of samples without neighbours, and its index among the labels if it is one of them. Without one such
    /// samples end the run, as they end scikit-learn's.
    pub outliers: Option<Vec<(Labels, Option<usize>)>>,
}

impl Neighbours {
    fn decode(item: &Item<'_>) -> Result<Neighbours, FrontendError> {
        let samples = Matrix::decode(&item.get("_fit_X")?)?;
        let class = item.class()?.rsplit('.').next().unwrap_or_default();
        let expanded = item.get("_fit_method")?.as_str()? == "brute";
        let parameters = item.get("effective_metric_params_")?;
        if parameters.find("w")?.is_some_and(|weights| !weights.is_none()) {
            return Err(unsupported(item, "weights of the columns; scale the columns instead"));
        }
        let p = || Ok(parameters.get("p")?.as_f64()?);
        let distance = Distance::decode(item, &item.get("effective_metric_")?, expanded, p)?;
        let by_distance = match item.find("weights")? {
            Some(weights) if !weights.is_none() => match weights.as_str() {
                Ok("uniform") => false,
                Ok("distance") => true,
                _ => return Err(unsupported(item, "weights of its own; use \"uniform\" or \"distance\"")),
            },
            _ => false,
        };
        let within = if class.starts_with("Radius") {
            Within::Radius(item.get("radius")?.as_f64()?)
        } else {
            let name = if class == "LocalOutlierFactor" { "n_neighbors_" } else { "n_neighbors" };
            let attribute = item.get(name)?;
            let count = attribute.as_usize()?;
            if count == 0 || count > samples.rows {
                return Err(inconsistent(&attribute, format!("{count} neighbours of {} samples", samples.rows)));
            }
            Within::Nearest(u32::try_from(count).map_err(|_| attribute.wrong("a smaller number"))?)
        };
        let task = match class {
            "LocalOutlierFactor" => density(item, samples.rows)?,
            class if class.ends_with("Classifier") => Neighbourly::Votes(Votes::decode(item, samples.rows)?),
            _ => {
                let attribute = item.get("_y")?;
                let flat = attribute.array()?.shape().len() == 1;
                let targets = Matrix::decode_rows(&attribute)?;
                let targets = if flat { targets.transposed() } else { targets };
                let columns = targets.columns;
                Neighbourly::Means { targets: targets.sized(&attribute, samples.rows, columns)?, flat }
            }
        };
        if let (Neighbourly::Votes(votes), Within::Radius(_)) = (&task, within) {
            // Within a radius all samples vote, by a matrix of samples and classes.
            let elements = votes.labels.iter().map(|labels| labels.count().saturating_mul(samples.rows));
            if elements.fold(0, usize::saturating_add) > MOST_MEMBERS {
                return Err(unsupported(item, format!("{} samples of so many classes within a radius", samples.rows)));
            }
        }
        Ok(Neighbours { samples, distance, within, by_distance, task })
    }
}

/// A local outlier factor that can be asked about new samples.
fn density(item: &Item<'_>, samples: usize) -> Result<Neighbourly, FrontendError> {
    if !item.get("novelty")?.as_bool()? {
        return Err(unsupported(item, "novelty=False has no methods for new samples; fit with novelty=True"));
    }
    let distances = Matrix::decode(&item.get("_distances_fit_X_")?)?;
    let farthest = item.get("n_neighbors_")?.as_usize()?;
    let densities = numbers(&item.get("_lrd")?, samples)?;
    if distances.rows != samples || farthest == 0 || farthest > distances.columns {
        return Err(inconsistent(item, format!("distances of {} samples", distances.rows)));
    }
    let pairs = distances.row_slices().zip(&densities).flat_map(|(row, &density)| [row[farthest - 1], density]);
    let offset = numbers_or_one(&item.get("offset_")?, 1)?[0];
    Ok(Neighbourly::Density { known: Matrix::new(samples, 2, pairs.collect()), offset })
}

impl Votes {
    fn decode(item: &Item<'_>, samples: usize) -> Result<Votes, FrontendError> {
        let attribute = item.get("classes_")?;
        let flat = !item.get("outputs_2d_")?.as_bool()?;
        let labels = if flat {
            vec![Labels::decode(&attribute)?]
        } else {
            match attribute.items()?.as_slice() {
                [one] => vec![Labels::decode(one)?],
                several => Labels::decode_outputs(&attribute, several.len())?,
            }
        };
        let y = item.get("_y")?;
        let array = y.array()?;
        let codes = array.i64s()?;
        let outputs = labels.len();
        if outputs == 0 || codes.len() != samples.saturating_mul(outputs) {
            return Err(inconsistent(&y, format!("{} labels for {samples} samples", codes.len())));
        }
        let mut classes = vec![Vec::with_capacity(samples); outputs];
        for row in codes.chunks_exact(outputs) {
            for ((classes, &code), labels) in classes.iter_mut().zip(row).zip(&labels) {
                let code =
                    i32::try_from(code).ok().filter(|&code| (0..labels.count() as i64).contains(&i64::from(code)));
                classes.push(code.ok_or_else(|| inconsistent(&y, "a label that is not among the classes"))?);
            }
        }
        let outliers = match item.find("outlier_label_")? {
            Some(outliers) if !outliers.is_none() => Some(Votes::outliers(&outliers, &labels)?),
            _ => None,
        };
        Ok(Votes { labels, classes, flat, outliers })
    }

    /// The labels of samples without neighbours: a list of one for each output.
    fn outliers(item: &Item<'_>, labels: &[Labels]) -> Result<Vec<(Labels, Option<usize>)>, FrontendError> {
        let elements = if item.is_array() {
            outlier_array(item)?
        } else {
            item.items()?.iter().map(outlier).collect::<Result<_, _>>()?
        };
        if elements.len() != labels.len() {
            return Err(item.wrong(&format!("{} labels", labels.len())).into());
        }
        let with_index = |(outlier, labels): (Labels, &Labels)| {
            let outlier = alike(outlier, labels).ok_or_else(|| item.wrong("labels of the classes' type"))?;
            Ok((outlier.clone(), position(labels, &outlier)))
        };
        elements.into_iter().zip(labels).map(with_index).collect()
    }
}

/// The elements of an array as labels of one each.
fn outlier_array(item: &Item<'_>) -> Result<Vec<Labels>, FrontendError> {
    Ok(match Labels::decode(item)? {
        Labels::Bool(all) => all.into_iter().map(|one| Labels::Bool(vec![one])).collect(),
        Labels::Int(all) => all.into_iter().map(|one| Labels::Int(vec![one])).collect(),
        Labels::Float(all) => all.into_iter().map(|one| Labels::Float(vec![one])).collect(),
        Labels::Text(all) => all.into_iter().map(|one| Labels::Text(vec![one])).collect(),
    })
}

/// One value as a label.
fn outlier(item: &Item<'_>) -> Result<Labels, FrontendError> {
    if let Ok(text) = item.as_str() {
        return Ok(Labels::Text(vec![text.to_owned()]));
    }
    if let Ok(flag) = item.as_bool() {
        return Ok(Labels::Bool(vec![flag]));
    }
    match item.as_i64() {
        Ok(number) => Ok(Labels::Int(vec![number])),
        Err(_) => Ok(Labels::Float(vec![item.as_f64()?])),
    }
}

/// `outlier` as the type of `labels`.
fn alike(outlier: Labels, labels: &Labels) -> Option<Labels> {
    match (outlier, labels) {
        (Labels::Int(values), Labels::Float(_)) => Some(Labels::Float(values.iter().map(|&x| x as f64).collect())),
        (outlier, labels) if std::mem::discriminant(&outlier) == std::mem::discriminant(labels) => Some(outlier),
        _ => None,
    }
}

/// Position of the one label `outlier` among `labels`.
fn position(labels: &Labels, outlier: &Labels) -> Option<usize> {
    match (labels, outlier) {
        (Labels::Bool(all), Labels::Bool(one)) => all.iter().position(|x| one.contains(x)),
        (Labels::Int(all), Labels::Int(one)) => all.iter().position(|x| one.contains(x)),
        (Labels::Float(all), Labels::Float(one)) => all.iter().position(|x| one.contains(x)),
        (Labels::Text(all), Labels::Text(one)) => all.iter().position(|x| one.contains(x)),
        _ => None,
    }
}

/// The neighbours of each row.
struct Found {
    /// Their indices, `[N, count]`, where so many are taken; `None` where the weights are those of all training samples.
    indices: Option<TensorId>,
    /// Their weights, `[N, count]` or `[N, samples]`; `None` where each counts as 1.
    weights: Option<TensorId>,
    /// Sums of the weights, `[N, 1]` or `[1, 1]`.
    total: TensorId,
}

impl Neighbours {
    /// The neighbours of each row of `x`.
    fn find(&self, f: &mut Formula<'_>, x: TensorId) -> Result<Found, FrontendError> {
        let reduced = self.distance.reduced(f, x, &self.samples)?;
        match self.within {
            Within::Nearest(count) => {
                let (distances, indices) = nearest(f, reduced, count)?;
                if !self.by_distance {
                    let total = f.constant("n_neighbors", &[1, 1], &[count.into()])?;
                    return Ok(Found { indices: Some(indices), weights: None, total });
                }
                let distances = self.distance.restored(f, distances)?;
                let weights = f.unary(UnaryKind::Reciprocal, distances)?;
                let touching = f.compare(CompareKind::Equal, weights, f64::INFINITY)?;
                let weights = among_touching(f, touching, weights)?;
                let total = f.reduce(ReduceKind::Sum, weights, 1, true)?;
                Ok(Found { indices: Some(indices), weights: Some(weights), total })
            }
            Within::Radius(radius) => {
                let inside = f.compare(CompareKind::LessOrEqual, reduced, self.distance.reduced_radius(radius))?;
                let weights = if self.by_distance {
                    let distances = self.distance.restored(f, reduced)?;
                    let weights = f.unary(UnaryKind::Reciprocal, distances)?;
                    let touching = f.compare(CompareKind::Equal, distances, 0.0)?;
                    let weights = among_touching(f, touching, weights)?;
                    let zero = f.constant("zero", &[1], &[0.0])?;
                    f.select(inside, weights, zero)?
                } else {
                    f.cast(inside, DType::F64)?
                };
                let total = f.reduce(ReduceKind::Sum, weights, 1, true)?;
                Ok(Found { indices: None, weights: Some(weights), total })
            }
        }
    }
}

impl Found {
    /// The weighted sums, over the neighbours, of the rows of `values`: `[N, columns]`.
    fn sum(&self, f: &mut Formula<'_>, values: &Matrix) -> Result<TensorId, FrontendError> {
        let Some(indices) = self.indices else {
            let weights = self.weights.unwrap_or(self.total);
            return f.product(weights, "_y", &values.transposed(), None);
        };
        let table = f.matrix("_y", values)?;
        let found = f.gather(table, indices)?;
        self.weighted(f, found)
    }

    /// The weights of the neighbours of each of `count` classes: `[N, count]`. `classes` has one for each training sample.
    fn votes(&self, f: &mut Formula<'_>, classes: &[i32], count: usize) -> Result<TensorId, FrontendError> {
        let Some(indices) = self.indices else {
            let mut members = vec![0.0; count * classes.len()];
            for (row, &class) in members.chunks_exact_mut(count).zip(classes) {
                row[class as usize] = 1.0;
            }
            return self.sum(f, &Matrix::new(classes.len(), count, members));
        };
        let values = f.constant("member", &[2], &[0.0, 1.0])?;
        let depth = u32::try_from(count).map_err(|error| FrontendError::malformed("classes_", error))?;
        let (graph, path) = f.parts();
        let table = graph.add_constant(&format!("{path}/_y"), DType::I32, &[classes.len()], classes)?;
        let found = f.gather(table, indices)?;
        let (graph, path) = f.parts();
        let members = graph.add(&format!("{path}/members"), OneHot { axis: 2, depth }, &[found, values])?;
        self.weighted(f, members)
    }

    /// The sums over the neighbours of `found`, `[N, neighbours, columns]`, times their weights.
    fn weighted(&self, f: &mut Formula<'_>, found: TensorId) -> Result<TensorId, FrontendError> {
        let mut found = found;
        if let Some(weights) = self.weights {
            let count = f.columns(weights);
            let factors = f.reshape(weights, &[count, 1])?;
            found = f.mul(found, factors)?;
        }
        f.reduce(ReduceKind::Sum, found, 1, false)
    }
}

impl Neighbours {
    /// How dense the neighbourhood is against its members': `[N, 1]`, from minus infinity to 0.
    fn outlyingness(&self, f: &mut Formula<'_>, x: TensorId, known: &Matrix) -> Result<TensorId, FrontendError> {
        let reduced = self.distance.reduced(f, x, &self.samples)?;
        let Within::Nearest(count) = self.within else {
            return Err(FrontendError::malformed("radius", "a local outlier factor within a radius"));
        };
        let (distances, indices) = nearest(f, reduced, count)?;
        let distances = self.distance.restored(f, distances)?;
        let columns = known.transposed();
        let farthest = f.constant("_distances_fit_X_", &[known.rows], columns.row(0))?;
        let farthest = f.gather(farthest, indices)?;
        let reach = f.binary(BinaryKind::Max, distances, farthest)?;
        let mean = f.reduce(ReduceKind::Mean, reach, 1, true)?;
        let mean = f.scalar(BinaryKind::Add, mean, 1e-10)?;
        let density = f.unary(UnaryKind::Reciprocal, mean)?;
        let densities = f.constant("_lrd", &[known.rows], columns.row(1))?;
        let densities = f.gather(densities, indices)?;
        let ratios = f.div(densities, density)?;
        let mean = f.reduce(ReduceKind::Mean, ratios, 1, true)?;
        f.unary(UnaryKind::Neg, mean)
    }
}

/// The `count` smallest of each row of `distances` in rising order, and their indices, int64.
fn nearest(f: &mut Formula<'_>, distances: TensorId, count: u32) -> Result<(TensorId, TensorId), FrontendError> {
    let (graph, path) = f.parts();
    let operator = TopK { axis: 1, k: count, largest: false };
    match graph.add_node(&format!("{path}/nearest"), operator, &[Some(distances)], &[])?.as_slice() {
        &[values, indices] => Ok((values, indices)),
        _ => Err(FrontendError::malformed(path, "no indices of neighbours")),
    }
}

/// `weights`; in rows where any sample is `touching`, 1 for those and 0 for the others.
fn among_touching(f: &mut Formula<'_>, touching: TensorId, weights: TensorId) -> Result<TensorId, FrontendError> {
    let alone = f.cast(touching, DType::F64)?;
    let any = f.reduce(ReduceKind::Max, alone, 1, true)?;
    let any = f.compare(CompareKind::Greater, any, 0.0)?;
    f.select(any, alone, weights)
}

impl Estimator for Neighbours {
    fn features(&self) -> usize {
        self.samples.columns
    }

    fn methods(&self) -> &'static [Method] {
        match &self.task {
            Neighbourly::Means { .. } => &[Method::Predict],
            Neighbourly::Votes(_) => &[Method::Predict, Method::PredictProba],
            Neighbourly::Density { .. } => &[Method::Predict, Method::DecisionFunction, Method::ScoreSamples],
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        match &self.task {
            Neighbourly::Means { targets, flat } => {
                let found = self.find(&mut f, x)?;
                let sums = found.sum(&mut f, targets)?;
                let means = f.div(sums, found.total)?;
                Ok(vec![if *flat { f.flat(means)? } else { means }])
            }
            Neighbourly::Votes(votes) => self.votes(&mut f, x, votes, method),
            Neighbourly::Density { known, offset } => {
                let scores = self.outlyingness(&mut f, x, known)?;
                if method == Method::ScoreSamples {
                    return Ok(vec![f.flat(scores)?]);
                }
                let shifted = f.scalar(BinaryKind::Sub, scores, *offset)?;
                Ok(vec![if method == Method::Predict { f.inliers(shifted)? } else { f.flat(shifted)? }])
            }
        }
    }
}

impl Neighbours {
    fn votes(
        &self,
        f: &mut Formula<'_>,
        x: TensorId,
        votes: &Votes,
        method: Method,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let found = self.find(f, x)?;
        let mut shares = Vec::with_capacity(votes.labels.len());
        for (output, (labels, classes)) in votes.labels.iter().zip(&votes.classes).enumerate() {
            let count = labels.count();
            let mut sum = found.votes(f, classes, count)?;
            if found.indices.is_none() {
                let outlier = votes.outliers.as_ref().and_then(|outliers| outliers.get(output));
                let lonely = f.compare(CompareKind::Equal, found.total, 0.0)?;
                sum = lonely_votes(f, sum, lonely, outlier.map(|(_, index)| *index), count)?;
            }
            shares.push(f.normalised_or_zero(sum)?);
        }
        if method == Method::PredictProba {
            return Ok(shares);
        }
        self.labels(f, votes, &shares).map(|labels| vec![labels])
    }

    /// The label with the largest share of each output, the first of equals; that of outliers where all shares are 0.
    fn labels(&self, f: &mut Formula<'_>, votes: &Votes, shares: &[TensorId]) -> Result<TensorId, FrontendError> {
        let is_radius = matches!(self.within, Within::Radius(_));
        let mut all = votes.labels.clone();
        let mut indices = Vec::with_capacity(shares.len());
        // Labels of outliers that are no classes come after those.
        if let Some(outliers) = votes.outliers.as_ref().filter(|_| is_radius) {
            all.iter_mut().zip(outliers).for_each(|(labels, (outlier, _))| append(labels, outlier));
        }
        let width = all.iter().map(Labels::count).max().unwrap_or(0);
        for (output, (&shares, labels)) in shares.iter().zip(&votes.labels).enumerate() {
            let mut shares = shares;
            if is_radius && votes.outliers.is_some() {
                // The label of outliers wins against shares that are all 0.
                let rest = f.reduce(ReduceKind::Max, shares, 1, true)?;
                let none = f.compare(CompareKind::Equal, rest, 0.0)?;
                let last = f.choose(none, 1.0, 0.0)?;
                shares = f.join(&[shares, last])?;
            }
            debug_assert!(f.columns(shares) >= labels.count());
            let index = f.largest(shares)?;
            let index = f.reshape(index, &[1])?;
            let start = i32::try_from(output * width).map_err(|error| FrontendError::malformed("classes_", error))?;
            let (graph, path) = f.parts();
            let start = graph.add_constant(&format!("{path}/start"), DType::I32, &[1], &[start])?;
            indices.push(f.add(index, start)?);
        }
        let joined = f.join(&indices)?;
        let indices = if votes.flat { f.flat(joined)? } else { joined };
        let (graph, path) = f.parts();
        labels::pick(graph, path, &all, width, indices)
    }
}

/// The votes of rows that have no neighbours, where `lonely`, `[N, 1]`: 1 for the class `outlier` names; without any label for
/// outliers they end the run.
fn lonely_votes(
    f: &mut Formula<'_>,
    votes: TensorId,
    lonely: TensorId,
    outlier: Option<Option<usize>>,
    count: usize,
) -> Result<TensorId, FrontendError> {
    match outlier {
        Some(Some(class)) => {
            let mut row = vec![0.0; count];
            row[class] = 1.0;
            let row = f.constant("outlier_label_", &[count], &row)?;
            f.select(lonely, row, votes)
        }
        Some(None) => Ok(votes),
        None => {
            // The index 1 is outside the table of one zero, which is an error of the run.
            let index = f.cast(lonely, DType::I32)?;
            let (graph, path) = f.parts();
            let table = graph.add_constant(&format!("{path}/zero"), DType::F64, &[1], &[0.0])?;
            let name = format!("{path}/no_neighbors_found");
            let zero = graph.add(&name, GatherNd { batch_dims: 0 }, &[table, index])?;
            let zero = f.reshape(zero, &[1])?;
            f.add(votes, zero)
        }
    }
}

/// Appends the one label of `more`.
fn append(labels: &mut Labels, more: &Labels) {
    match (labels, more) {
        (Labels::Bool(all), Labels::Bool(more)) => all.extend(more),
        (Labels::Int(all), Labels::Int(more)) => all.extend(more),
        (Labels::Float(all), Labels::Float(more)) => all.extend(more),
        (Labels::Text(all), Labels::Text(more)) => all.extend(more.iter().cloned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::evaluate;
    use ekiben_runtime::{Shape, TensorSpec};

    /// What `method` gives for rows of one column, or whether the run ends.
    fn asked(model: &Neighbours, method: Method, rows: &[f64]) -> Result<Vec<u8>, String> {
        let mut graph = Graph::new();
        let x = graph.add_input("X", TensorSpec::new(DType::F64, Shape::new(&[1, 1], Some(0)).unwrap()));
        let outputs = model.lower(&mut graph, "model", method, &Features::of(x)).unwrap();
        graph.add_output(outputs[0]);
        let given = bytemuck::cast_slice(rows);
        evaluate(&graph, rows.len(), &[given]).map(|out| out[0].as_slice().to_vec()).map_err(|error| error.to_string())
    }

    fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 8]> {
        bytes.as_chunks().0.iter().copied()
    }

    fn within_one(outliers: Option<Vec<(Labels, Option<usize>)>>) -> Neighbours {
        Neighbours {
            samples: Matrix::new(3, 1, vec![0.0, 1.0, 10.0]),
            distance: Distance::Metric(Metric::Manhattan, 0.0),
            within: Within::Radius(1.0),
            by_distance: false,
            task: Neighbourly::Votes(Votes {
                labels: vec![Labels::Int(vec![5, 7])],
                classes: vec![vec![1, 1, 0]],
                flat: true,
                outliers,
            }),
        }
    }

    #[test]
    fn a_row_without_neighbours_has_the_label_of_outliers_or_ends_the_run() {
        let labels = |bytes: Vec<u8>| words(&bytes).map(i64::from_le_bytes).collect::<Vec<i64>>();
        let model = within_one(Some(vec![(Labels::Int(vec![-1]), None)]));
        assert_eq!(labels(asked(&model, Method::Predict, &[0.5, 11.0, 5.0]).unwrap()), [7, 5, -1]);
        let model = within_one(Some(vec![(Labels::Int(vec![5]), Some(0))]));
        assert_eq!(labels(asked(&model, Method::Predict, &[0.5, 5.0]).unwrap()), [7, 5]);
        let model = within_one(None);
        assert_eq!(labels(asked(&model, Method::Predict, &[0.5, 11.0]).unwrap()), [7, 5]);
        for method in [Method::Predict, Method::PredictProba] {
            let error = asked(&model, method, &[0.5, 5.0]).unwrap_err();
            assert!(error.contains("no_neighbors_found"), "{error}");
        }
    }

    #[test]
    fn of_samples_at_equal_distances_the_first_count() {
        let model = Neighbours {
            samples: Matrix::new(4, 1, vec![1.0, -1.0, 1.0, -1.0]),
            distance: Distance::Euclidean { expanded: false },
            within: Within::Nearest(2),
            by_distance: true,
            task: Neighbourly::Means { targets: Matrix::new(4, 1, vec![1.0, 2.0, 40.0, 80.0]), flat: true },
        };
        let means = asked(&model, Method::Predict, &[0.0, 1.0]).unwrap();
        assert_eq!(words(&means).map(f64::from_le_bytes).collect::<Vec<f64>>(), [1.5, 20.5]);
    }
}
