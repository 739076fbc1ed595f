//! Clusters: the nearest of some centres, and distances to all of them.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, vector};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Clusters.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.cluster._kmeans.KMeans",
        "sklearn.cluster._kmeans.MiniBatchKMeans",
        "sklearn.cluster._bisect_k_means.BisectingKMeans",
        "sklearn.cluster._birch.Birch",
        "sklearn.cluster._mean_shift.MeanShift",
        "sklearn.cluster._affinity_propagation.AffinityPropagation",
    ],
    carried: &[
        "sklearn.cluster._birch._CFNode",
        "sklearn.cluster._birch._CFSubcluster",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._agglomerative.AgglomerativeClustering",
    ],
    decode: |item| Ok(Box::new(Clusters::decode(item)?)),
};

/// Clusters around centres.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// The centres.
    pub centres: Matrix,
    /// How a sample's cluster is found.
    pub choice: Choice,
    /// `transform` gives the distances to all centres.
    pub transforms: bool,
}

/// How a sample's cluster is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The centre with the smallest `|centre|² - 2 x · centre`, the first of equals; int32.
    KMeans,
    /// The centre at the smallest distance, the first of equals; int64.
    Nearest,
    /// As `Nearest`, and what the centre is labelled.
    Labelled(Labels),
    /// Down a tree, always to the nearer of two centres as `KMeans` finds it; int32.
    Bisecting(Branch),
}

/// A node of a tree of clusters.
#[derive(Debug, Clone, PartialEq)]
pub enum Branch {
    /// A cluster's number.
    Leaf(i32),
    /// Two centres, and where the first and the second lead.
    Split(Matrix, Box<[Branch; 2]>),
}

impl Clusters {
    fn decode(item: &Item<'_>) -> Result<Clusters, FrontendError> {
        let class = item.class()?.rsplit('.').next().unwrap_or_default();
        let attribute = item.get(if class == "Birch" { "subcluster_centers_" } else { "cluster_centers_" })?;
        let centres = Matrix::decode(&attribute)?;
        let choice = match class {
            "Birch" => {
                let attribute = item.get("subcluster_labels_")?;
                let labels = Labels::decode(&attribute)?;
                if labels.count() != centres.rows {
                    return Err(inconsistent(&attribute, format!("{} labels", labels.count())));
                }
                Choice::Labelled(labels)
            }
            "MeanShift" | "AffinityPropagation" => Choice::Nearest,
            "BisectingKMeans" => {
                let mean = match item.find("_X_mean")? {
                    Some(mean) => numbers(&mean, centres.columns)?,
                    None => vec![0.0; centres.columns],
                };
                let mut left = centres.rows;
                Choice::Bisecting(Branch::decode(&item.get("_bisecting_tree")?, &mean, &mut left)?)
            }
            _ => Choice::KMeans,
        };
        let transforms = !matches!(choice, Choice::Nearest);
        Ok(Clusters { centres, choice, transforms })
    }
}

impl Branch {
    /// Decodes a node and what is below it, `left` leaves at most.
    fn decode(item: &Item<'_>, mean: &[f64], left: &mut usize) -> Result<Branch, FrontendError> {
        let children = [item.get("left")?, item.get("right")?];
        if children[0].is_none() {
            *left = left.checked_sub(1).ok_or_else(|| inconsistent(item, "more leaves than clusters"))?;
            let label = item.get("label")?;
            let number = i32::try_from(label.as_i64()?).map_err(|_| label.wrong("the number of a cluster"))?;
            return Ok(Branch::Leaf(number));
        }
        let mut values = Vec::with_capacity(2 * mean.len());
        for child in &children {
            let attribute = child.get("center")?;
            let centre = vector(&attribute)?;
            if centre.len() != mean.len() {
                return Err(attribute.wrong(&format!("an array of {} numbers", mean.len())).into());
            }
            values.extend(centre.iter().zip(mean).map(|(x, mean)| x + mean));
        }
        let [first, second] = children;
        let branches = [Branch::decode(&first, mean, left)?, Branch::decode(&second, mean, left)?];
        Ok(Branch::Split(Matrix::new(2, mean.len(), values), Box::new(branches)))
    }

    /// The numbers of the clusters, `[N]` in int32, or a constant of one.
    fn lower(&self, f: &mut Formula<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        match self {
            Branch::Leaf(number) => {
                let (graph, path) = f.parts();
                Ok(graph.add_constant(&format!("{path}/label"), DType::I32, &[1], &[*number])?)
            }
            Branch::Split(centres, branches) => {
                let [first, second] = branches.as_ref();
                let (first, second) = (first.lower(f, x)?, second.lower(f, x)?);
                let side = nearest(f, x, centres)?;
                let is_second = f.cast(side, DType::Bool)?;
                f.select(is_second, second, first)
            }
        }
    }
}

/// Index of the centre with the smallest `|centre|² - 2 x · centre`: `[N]`, int32.
fn nearest(f: &mut Formula<'_>, x: TensorId, centres: &Matrix) -> Result<TensorId, FrontendError> {
    let products = f.product(x, "cluster_centers_", centres, None)?;
    let products = f.scalar(BinaryKind::Mul, products, -2.0)?;
    let distances = f.with(BinaryKind::Add, products, "norms", &centres.squared_norms())?;
    f.smallest(distances)
}

impl Estimator for Clusters {
    fn features(&self) -> usize {
        self.centres.columns
    }

    fn methods(&self) -> &'static [Method] {
        if self.transforms { &[Method::Predict, Method::Transform] } else { &[Method::Predict] }
    }

    fn transformed(&self) -> Option<usize> {
        self.transforms.then_some(self.centres.rows)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        if method == Method::Transform {
            let squares = f.expanded_distances(x, "cluster_centers_", &self.centres)?;
            return Ok(vec![f.unary(UnaryKind::Sqrt, squares)?]);
        }
        Ok(vec![match &self.choice {
            Choice::KMeans => nearest(&mut f, x, &self.centres)?,
            Choice::Bisecting(tree) => {
                let number = tree.lower(&mut f, x)?;
                // A tree of one leaf says the same of every row.
                let rows = nearest(&mut f, x, &self.centres)?;
                let none = f.sub(rows, rows)?;
                f.add(none, number)?
            }
            Choice::Nearest | Choice::Labelled(_) => {
                let squares = f.expanded_distances(x, "cluster_centers_", &self.centres)?;
                let index = f.smallest(squares)?;
                match &self.choice {
                    Choice::Labelled(labels) => f.pick(labels, index)?,
                    _ => f.cast(index, DType::I64)?,
                }
            }
        }])
    }
}
