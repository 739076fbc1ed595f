//! The algorithms: what each reads of a MOJO, and what it computes of a row of numbers `[N, features]` in float64.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::UnaryKind;

use super::answer::{Answer, Classes, inverse_distribution_link, normalised, row_sums, two};
use super::boosted::Boosted;
use super::columns::{against, binary, cast, constant, filled, join, shaped, take, unary, with};
use super::ensemble::StackedEnsemble;
use super::ini::Ini;
use super::linear::{Glm, Network};
use super::tree;
use crate::frontend::FrontendError;
use crate::frontend::forest::{Aggregate, Combination, Forest};
use crate::frontend::zipped::Files;
use crate::graph::{Graph, TensorId};

/// The most trees of a model.
const MAX_TREES: usize = 1 << 20;

/// A model's own part.
pub(super) enum Algorithm {
    /// Gradient boosting.
    Gbm(Trees),
    /// A random forest; whether two classes have trees of their own.
    Drf(Trees, bool),
    /// An isolation forest, with the shortest and the longest sum of path lengths in training.
    Isolation(Trees, [f64; 2]),
    /// XGBoost.
    Boosted(Box<Boosted>),
    /// A generalised linear model.
    Glm(Glm),
    /// A neural network.
    Network(Network),
    /// Clusters.
    KMeans(KMeans),
    /// Models whose answers are another one's features.
    Ensemble(Box<StackedEnsemble>),
}

/// Trees, one group after the other.
pub(super) struct Trees {
    forest: Forest,
    count: f64,
}

/// Centres of clusters.
pub(super) struct KMeans {
    centres: Vec<Vec<f64>>,
    /// Means, factors, and modes of categories (-1 for numbers), where columns are standardised.
    standard: Option<(Vec<f64>, Vec<f64>, Vec<i64>)>,
}

impl Algorithm {
    /// Reads the model that `ini` describes. `depth` is the number of ensembles that it is part of.
    ///
    /// # Errors
    /// Damaged files; an algorithm or an option that is not supported.
    pub(super) fn read(files: &Files, ini: &Ini, depth: usize) -> Result<Self, FrontendError> {
        if let Some(column) = ini.find("offset_column") {
            return Err(
                ini.unsupported(&format!("offset_column {column:?}"), "offsets are not supported; train without")
            );
        }
        let encoding = ini.find("_genmodel_encoding").or(ini.find("encoding")).unwrap_or("AUTO");
        if !matches!(encoding, "AUTO" | "Enum" | "OneHotInternal" | "SortByResponse") {
            let reason = "this categorical_encoding is not supported; train with \"enum\"";
            return Err(ini.unsupported(encoding, reason));
        }
        match ini.text("algo")? {
            "gbm" => Ok(Self::Gbm(Trees::read(files, ini)?)),
            "drf" => {
                let double = ini.flag("binomial_double_trees", false);
                Ok(Self::Drf(Trees::read(files, ini)?, double))
            }
            "isolationforest" => {
                let lengths = [ini.number("min_path_length")?, ini.number("max_path_length")?];
                Ok(Self::Isolation(Trees::read(files, ini)?, lengths))
            }
            "xgboost" => Ok(Self::Boosted(Box::new(Boosted::read(files, ini)?))),
            "glm" => Ok(Self::Glm(Glm::read(ini)?)),
            "deeplearning" => Ok(Self::Network(Network::read(ini)?)),
            "kmeans" => Ok(Self::KMeans(KMeans::read(ini)?)),
            "stackedensemble" => Ok(Self::Ensemble(Box::new(StackedEnsemble::read(files, ini, depth)?))),
            other => Err(ini.unsupported(
                other,
                "models of this kind are not read. GBM, DRF, XGBoost, GLM, DeepLearning, KMeans, IsolationForest and stacked ensembles are",
            )),
        }
    }

    /// What the model answers to the row `x`.
    ///
    /// # Errors
    /// What the graph refuses; options that are not supported.
    pub(super) fn lower(&self, graph: &mut Graph, path: &str, ini: &Ini, x: TensorId) -> Result<Answer, FrontendError> {
        let classes = Classes::of(ini)?;
        match self {
            Self::Gbm(trees) => trees.lower_gbm(graph, path, ini, &classes, x),
            Self::Drf(trees, double) => trees.lower_drf(graph, path, &classes, *double, x),
            Self::Isolation(trees, lengths) => trees.lower_isolation(graph, path, ini, *lengths, x),
            Self::Boosted(boosted) => boosted.lower(graph, path, ini, &classes, x),
            Self::Glm(glm) => glm.lower(graph, path, ini, &classes, x),
            Self::Network(network) => network.lower(graph, path, ini, &classes, x),
            Self::KMeans(clusters) => clusters.lower(graph, path, ini, x),
            Self::Ensemble(ensemble) => ensemble.lower(graph, path, ini, x),
        }
    }
}

impl Trees {
    fn read(files: &Files, ini: &Ini) -> Result<Self, FrontendError> {
        let version: f64 = ini.number("mojo_version")?;
        if version < 1.2 {
            let reason = "trees of this version of the format are not read; score the model with H2O 3.18 or newer and save it again";
            return Err(ini.unsupported(&format!("mojo_version {version}"), reason));
        }
        let (count, groups): (usize, usize) = (ini.number("n_trees")?, ini.number("n_trees_per_class")?);
        if count == 0 || groups == 0 || count.checked_mul(groups).is_none_or(|trees| trees > MAX_TREES) {
            return Err(FrontendError::malformed("model.ini", format!("{count} trees of {groups} groups")));
        }
        let mut forest = Forest::new(groups as u32);
        for group in 0..groups {
            for number in 0..count {
                let name = format!("{}trees/t{group:02}_{number:03}.bin", ini.folder);
                tree::add(&mut forest, &name, files.bytes(&name)?, group as u32)?;
            }
        }
        Ok(Self { forest, count: count as f64 })
    }

    /// Sums of the leaves of each group, `[N, groups]`, in the trees' order.
    fn sums(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: None };
        self.forest.lower(graph, &format!("{path}/trees"), x, combination)
    }

    fn lower_gbm(
        &self,
        graph: &mut Graph,
        path: &str,
        ini: &Ini,
        classes: &Classes,
        x: TensorId,
    ) -> Result<Answer, FrontendError> {
        let mut sums = self.sums(graph, path, x)?;
        let first = ini.number::<f64>("init_f")?;
        let distribution = ini.text("distribution")?;
        if distribution == "multinomial" {
            if classes.count == 2 {
                sums = with(graph, &format!("{path}/start"), sums, BinaryKind::Add, &[first])?;
                let second = unary(graph, path, UnaryKind::Neg, sums)?;
                sums = join(graph, path, &[sums, second])?;
            }
            let shares = graph.add(&format!("{path}/shares"), Softmax { axis: 1, log: false }, &[sums])?;
            return classes.answer(graph, path, shares);
        }
        let score = with(graph, &format!("{path}/start"), sums, BinaryKind::Add, &[first])?;
        let value = inverse_distribution_link(graph, path, ini, score)?;
        if classes.count != 2 {
            return Ok(Answer::Value(value));
        }
        let shares = two(graph, path, value)?;
        classes.answer(graph, path, shares)
    }

    fn lower_drf(
        &self,
        graph: &mut Graph,
        path: &str,
        classes: &Classes,
        double: bool,
        x: TensorId,
    ) -> Result<Answer, FrontendError> {
        let sums = self.sums(graph, path, x)?;
        if classes.count > 2 || double {
            let shares = normalised(graph, path, sums)?;
            return classes.answer(graph, path, shares);
        }
        let mean = with(graph, &format!("{path}/mean"), sums, BinaryKind::Div, &[self.count])?;
        if classes.count != 2 {
            return Ok(Answer::Value(mean));
        }
        // The trees count the first class.
        let second = against(graph, &format!("{path}/second"), 1.0, BinaryKind::Sub, mean)?;
        let shares = join(graph, path, &[mean, second])?;
        classes.answer(graph, path, shares)
    }

    fn lower_isolation(
        &self,
        graph: &mut Graph,
        path: &str,
        ini: &Ini,
        [shortest, longest]: [f64; 2],
        x: TensorId,
    ) -> Result<Answer, FrontendError> {
        if ini.flag("output_anomaly_flag", false) {
            let reason =
                "flags of anomalies are not supported; train without `contamination` and `validation_response_column`";
            return Err(ini.unsupported("output_anomaly_flag", reason));
        }
        let length = self.sums(graph, path, x)?;
        let mean = with(graph, &format!("{path}/mean"), length, BinaryKind::Div, &[self.count])?;
        let score = if longest > shortest {
            let less = against(graph, path, longest, BinaryKind::Sub, length)?;
            with(graph, &format!("{path}/score"), less, BinaryKind::Div, &[longest - shortest])?
        } else {
            let none = with(graph, &format!("{path}/none"), length, BinaryKind::Mul, &[0.0])?;
            with(graph, &format!("{path}/score"), none, BinaryKind::Add, &[1.0])?
        };
        Ok(Answer::Named(vec![("predict", score), ("mean_length", mean)]))
    }
}

impl KMeans {
    fn read(ini: &Ini) -> Result<Self, FrontendError> {
        let (features, count) = (ini.features()?, ini.number::<usize>("center_num")?);
        let damaged = |reason: &str| FrontendError::malformed("model.ini", reason);
        if count == 0 || count > 1 << 16 {
            return Err(damaged("no clusters, or too many"));
        }
        let mut centres = Vec::new();
        for number in 0..count {
            let centre = ini.numbers::<f64>(&format!("center_{number}"))?;
            if centre.len() != features {
                return Err(damaged("a centre of other than the features"));
            }
            centres.push(centre);
        }
        let mut standard = None;
        if ini.flag("standardize", false) {
            let parts = (
                ini.numbers("standardize_means")?,
                ini.numbers("standardize_mults")?,
                ini.numbers("standardize_modes")?,
            );
            if [parts.0.len(), parts.1.len(), parts.2.len()] != [features; 3] {
                return Err(damaged("standards of other than the features"));
            }
            standard = Some(parts);
        }
        Ok(Self { centres, standard })
    }

    fn lower(&self, graph: &mut Graph, path: &str, ini: &Ini, x: TensorId) -> Result<Answer, FrontendError> {
        let features = ini.features()?;
        let is_category: Vec<bool> = ini.domains.iter().take(features).map(Option::is_some).collect();
        let x = match &self.standard {
            Some((means, factors, modes)) => {
                let is_number = |column: usize| modes[column] == -1;
                let fill: Vec<f64> =
                    (0..features).map(|at| if is_number(at) { means[at] } else { modes[at] as f64 }).collect();
                let less: Vec<f64> = (0..features).map(|at| if is_number(at) { means[at] } else { 0.0 }).collect();
                let times: Vec<f64> = (0..features).map(|at| if is_number(at) { factors[at] } else { 1.0 }).collect();
                let x = filled(graph, &format!("{path}/row"), x, &fill)?;
                let x = with(graph, &format!("{path}/centred"), x, BinaryKind::Sub, &less)?;
                with(graph, &format!("{path}/scaled"), x, BinaryKind::Mul, &times)?
            }
            None => x,
        };
        // Distances for one centre after the other: `[N, 1]` each. Missing values add nothing.
        let weights: Vec<f64> = is_category.iter().map(|&is_category| f64::from(u8::from(!is_category))).collect();
        let others: Vec<f64> = weights.iter().map(|weight| 1.0 - weight).collect();
        let mut distances = Vec::with_capacity(self.centres.len());
        for (number, centre) in self.centres.iter().enumerate() {
            let name = format!("{path}/centre_{number}");
            let difference = with(graph, &name, x, BinaryKind::Sub, centre)?;
            let square = binary(graph, &name, BinaryKind::Mul, difference, difference)?;
            let mut terms = square;
            if others.iter().any(|&other| other != 0.0) {
                let zero = constant(graph, &format!("{name}/zero"), &[0.0])?;
                let differs = graph.add(
                    &format!("{name}/differs"),
                    Compare { kind: CompareKind::NotEqual },
                    &[difference, zero],
                )?;
                let differs = cast(graph, &name, differs, DType::F64)?;
                let differs = with(graph, &format!("{name}/categories"), differs, BinaryKind::Mul, &others)?;
                let square = filled(graph, &format!("{name}/squares"), square, &[0.0])?;
                let square = with(graph, &format!("{name}/numbers"), square, BinaryKind::Mul, &weights)?;
                let both = binary(graph, &name, BinaryKind::Add, square, differs)?;
                // A missing category adds nothing: NaN differs from everything.
                let missing = graph.add(&format!("{name}/missing"), Compare { kind: CompareKind::Equal }, &[x, x])?;
                let missing = cast(graph, &format!("{name}/present"), missing, DType::F64)?;
                terms = binary(graph, &format!("{name}/terms"), BinaryKind::Mul, both, missing)?;
            } else {
                terms = filled(graph, &format!("{name}/squares"), terms, &[0.0])?;
            }
            distances.push(row_sums(graph, &name, terms)?);
        }
        let distances = join(graph, &format!("{path}/distances"), &distances)?;
        let nearest = ArgReduce { axis: 1, smallest: true, last: false, keep: false, wide: true };
        let cluster = graph.add(&format!("{path}/cluster"), nearest, &[distances])?;
        // No centre is nearest where all distances are beyond float64.
        let least = Reduce { kind: ReduceKind::Min, axes: 1 << 1, keep: false };
        let least = graph.add(&format!("{path}/least"), least, &[distances])?;
        let most = constant(graph, &format!("{path}/most"), &[f64::MAX])?;
        let is_near = graph.add(&format!("{path}/is_near"), Compare { kind: CompareKind::Less }, &[least, most])?;
        let none = graph.add_constant(&format!("{path}/none"), DType::I64, &[1], &[-1_i64])?;
        Ok(Answer::Cluster(graph.add(&format!("{path}/found"), Select, &[is_near, cluster, none])?))
    }
}

/// Column `index` of `x` as `[N]`.
pub(super) fn column(graph: &mut Graph, path: &str, x: TensorId, index: usize) -> Result<TensorId, FrontendError> {
    let taken = take(graph, &format!("{path}/{index}"), x, [index])?;
    shaped(graph, path, taken, &[])
}
