//! scikit-learn estimators: decoded from pickles and joblib files into plain data, and lowered to the graph.
//!
//! One file per family of estimators. A family says which classes it decodes and which further globals its files name, and is
//! listed once, in `FAMILIES`. Every attribute that prediction depends on is checked; what it does not depend on
//! (training parameters, random states) is not looked at.
//!
//! A model of numbers takes one tensor `X` of shape `[N, features]`, float64 unless the caller has another type; one that reads texts takes
//! the columns of a table, one input each. It computes as
//! scikit-learn does on one thread: in float64, each operation rounded as numpy rounds it, sums of trees in the order of the
//! trees. (Trained or asked with several threads, scikit-learn itself adds trees in any order.)
//!
//! scikit-learn refuses infinities, and NaN except where an estimator takes it. A compiled model computes with both: scalers and
//! logistic regression by IEEE 754, trees as follows. NaN goes where the node's `missing_go_to_left` says, which scikit-learn
//! writes from 1.3 on: where NaN went in training or, if there was none, with the larger part of the samples. In trees of older
//! releases, which refuse NaN, it goes right, as `x <= threshold` does not hold.

mod ada_boost;
mod attributes;
mod bagging;
mod calibration;
mod catboost;
mod categories;
mod cluster;
mod covariance;
mod covariance_function;
mod decomposition;
mod dict_vectorizer;
mod discretizer;
mod discriminant;
mod dummy;
mod embedding;
mod encoders;
mod features;
mod forest;
mod formula;
mod function;
mod gaussian_process;
mod gradient_boosting;
mod hist_gradient_boosting;
mod importance;
mod imputers;
mod isolation_forest;
mod isotonic;
mod kernel_features;
mod kernel_ridge;
mod knn_imputer;
mod label_encoders;
mod labels;
mod lightgbm;
mod linear;
mod linear_classifier;
mod lowering;
mod members;
mod mixture;
mod multi_output;
mod naive_bayes;
mod nearest_centroid;
mod neighbors;
mod neural_network;
mod nmf;
mod normalizer;
mod one_vs;
mod pairs;
mod pipeline;
mod polynomial;
mod power;
mod principal;
mod quantile;
mod scaler;
mod search;
mod selection;
mod spline;
mod stacking;
mod svm;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod transformer;
mod tree;
mod union;
mod voting;
mod xgboost;

use std::fmt;

use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::lightgbm::LightgbmModel;
use super::pickle::{self, AllowList, Item, Limits, PickleError, Printable, Refused};
use super::{Blocker, FrontendError, Model, OpenNames, OpenOptions};
use crate::graph::{Graph, TensorId};

pub use attributes::Matrix;
pub use categories::Categories;
pub use cluster::{Branch, Choice, Clusters};
pub use covariance::Envelope;
pub use covariance_function::{Covariance, Profile};
pub use decomposition::Components;
pub use dict_vectorizer::{DictKey, DictVectorizer};
pub use discretizer::Discretizer;
pub use discriminant::{Density, LinearDiscriminant, Projection, QuadraticDiscriminant};
pub use encoders::{OneHotColumn, OneHotEncoder, OrdinalColumn, OrdinalEncoder, TargetEncoder};
pub use features::{Column, Features, Need, Needs};
pub use forest::Forest;
pub use function::{Function, FunctionTransformer};
pub use gaussian_process::{BinaryProcess, ProcessClassifier, ProcessRegressor, Together};
pub use imputers::{Fill, Missing, MissingIndicator, SimpleImputer};
pub use kernel_features::{AdditiveFeatures, Centre, KernelProjection, RandomFeatures};
pub use kernel_ridge::{KernelRidge, PairwiseKernel};
pub use knn_imputer::KnnImputer;
pub use label_encoders::{LabelBinarizer, LabelEncoder};
pub use labels::Labels;
pub(in crate::frontend) use labels::pick as pick_labels;
pub use lightgbm::LightgbmWrapper;
pub use linear::{LinearRegression, PartialLeastSquares, PlsRegression, Ransac};
pub use linear_classifier::{LinearClassifier, LinearDetector, Link};
pub use mixture::{Mixture, Precisions};
pub use naive_bayes::{Likelihood, NaiveBayes};
pub use nearest_centroid::{CentroidScores, NearestCentroid};
pub use neighbors::{Distance, Neighbourly, Neighbours, Votes, Within};
pub use neural_network::{Activation, Answers, Perceptron};
pub use nmf::Factors;
pub use normalizer::{Binarizer, Norm, Normalizer};
pub use pipeline::{Pipeline, Step};
pub use polynomial::Polynomial;
pub use power::Power;
pub use principal::{Normal, Principal};
pub use quantile::Quantiles;
pub use scaler::{MaxAbsScaler, MinMaxScaler, StandardScaler};
pub use selection::{Elimination, Selection};
pub use spline::{Extrapolation, SplineColumns};
pub use svm::{Classes, Kernel, SupportVectorMachine, Task};
pub use text::{Terms, TfidfTransformer, Vectorizer};
pub use tree::{DecisionTree, Leaves, Split, Tree};
pub use union::{Block, Union};

/// What can be asked of an estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `predict`: labels `[N]` or `[N, outputs]` of a classifier, values of a regressor.
    Predict,
    /// `predict_proba`: shares `[N, classes]`, one tensor for each output.
    PredictProba,
    /// `predict_log_proba`: natural logarithms of `predict_proba`.
    PredictLogProba,
    /// `decision_function`: scores `[N]` of two classes, `[N, classes]` of more.
    DecisionFunction,
    /// `transform`: `[N, columns]`.
    Transform,
    /// `score_samples`: `[N]`.
    ScoreSamples,
    /// `predict(raw_score=True)`: scores before the link, `[N]` or `[N, scores]`.
    PredictRaw,
}

impl Method {
    /// Name of the method in Python.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Predict => "predict",
            Method::PredictProba => "predict_proba",
            Method::PredictLogProba => "predict_log_proba",
            Method::DecisionFunction => "decision_function",
            Method::Transform => "transform",
            Method::ScoreSamples => "score_samples",
            Method::PredictRaw => "predict_raw",
        }
    }
}

/// A fitted estimator as plain data.
pub trait Estimator: fmt::Debug {
    /// Columns of the input. 0 for a transformer that takes any number of them, does not know it, and gives as many.
    fn features(&self) -> usize;

    /// What it can be asked, the usual question first.
    fn methods(&self) -> &'static [Method];

    /// Names of the columns, where the estimator keeps them in a way of its own; empty elsewhere.
    fn names(&self) -> &[String] {
        &[]
    }

    /// Columns of what `transform` gives, 0 where [`Estimator::features`] is; `None` for an estimator that does not transform.
    fn transformed(&self) -> Option<usize> {
        None
    }

    /// Appends what `method`, one of [`Estimator::methods`], computes from `x` of [`Estimator::features`] columns, of which each is
    /// what [`Estimator::needs`] asks for, numbers of any type. `path` names the estimator in messages.
    ///
    /// # Errors
    /// What the graph refuses; columns that are not what the estimator needs.
    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError>;

    /// Appends what `transform` computes, for the estimator that comes next: as [`Estimator::lower`], but columns that hold text stay
    /// columns.
    ///
    /// # Errors
    /// Those of [`Estimator::lower`].
    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        match self.lower(graph, path, Method::Transform, x)?.as_slice() {
            &[tensor] => Ok(Features::of(tensor)),
            several => Err(FrontendError::malformed(path, format!("it transforms to {} matrices", several.len()))),
        }
    }

    /// What each column has to be, given what the next estimator needs of the columns that [`Estimator::transform`] gives
    /// ([`Needs::Numbers`] where none follows). An estimator that hands texts on asks for those that the next one knows.
    ///
    /// # Errors
    /// Columns that cannot serve all that read them.
    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(Needs::Numbers)
    }

    /// The decision tree that this estimator is, which ensembles put into one forest.
    fn tree(&self) -> Option<&DecisionTree> {
        None
    }

    /// Appends `inverse_transform` of `x`, `[N, columns]` in float64: what regressors of transformed targets end with.
    ///
    /// # Errors
    /// An estimator whose inverse is not supported.
    fn lower_inverse(&self, _graph: &mut Graph, path: &str, _x: TensorId) -> Result<TensorId, FrontendError> {
        Err(FrontendError::unsupported(path, "inverse_transform", "the inverse of this transformer is not supported"))
    }
}

/// A family of estimators: the contents of one file.
struct Family {
    /// Full names of the classes that `decode` takes.
    classes: &'static [&'static str],
    /// Further globals that files of these classes name, carried as data.
    carried: &'static [&'static str],
    /// Decodes an object of one of `classes`.
    decode: fn(&Item<'_>) -> Result<Box<dyn Estimator>, FrontendError>,
}

/// Why a class is refused that no family has.
const NOT_READ: &str = "it is not read, and nothing was executed; export the model as ONNX, or save it without this";

/// All families.
const FAMILIES: &[Family] = &[
    forest::FAMILY,
    tree::FAMILY,
    scaler::STANDARD,
    scaler::MIN_MAX,
    scaler::MAX_ABS,
    scaler::ROBUST,
    normalizer::NORMALIZER,
    normalizer::BINARIZER,
    discretizer::FAMILY,
    polynomial::FAMILY,
    spline::FAMILY,
    power::FAMILY,
    quantile::FAMILY,
    function::FAMILY,
    principal::FAMILY,
    decomposition::INCREMENTAL_PCA,
    decomposition::TRUNCATED_SVD,
    decomposition::FAST_ICA,
    decomposition::FACTOR_ANALYSIS,
    decomposition::RANDOM,
    kernel_features::KERNEL_PCA,
    kernel_features::CENTERER,
    kernel_features::NYSTROEM,
    kernel_features::SAMPLERS,
    kernel_features::ADDITIVE,
    nmf::FAMILY,
    selection::UNIVARIATE,
    selection::VARIANCE,
    selection::SEQUENTIAL,
    selection::FROM_MODEL,
    selection::ELIMINATION,
    pipeline::FAMILY,
    xgboost::FAMILY,
    lightgbm::FAMILY,
    encoders::ONE_HOT,
    encoders::ORDINAL,
    encoders::TARGET,
    label_encoders::ENCODER,
    label_encoders::BINARIZER,
    imputers::SIMPLE,
    imputers::INDICATOR,
    knn_imputer::FAMILY,
    text::VECTORIZERS,
    text::TFIDF,
    text::HASHER,
    dict_vectorizer::FAMILY,
    union::FEATURE_UNION,
    union::COLUMN_TRANSFORMER,
    gradient_boosting::FAMILY,
    hist_gradient_boosting::FAMILY,
    ada_boost::FAMILY,
    bagging::FAMILY,
    isolation_forest::FAMILY,
    embedding::FAMILY,
    dummy::FAMILY,
    voting::FAMILY,
    stacking::FAMILY,
    calibration::FAMILY,
    isotonic::FAMILY,
    one_vs::FAMILY,
    multi_output::SIDE_BY_SIDE,
    multi_output::CHAINS,
    target::FAMILY,
    search::WRAPPERS,
    search::THRESHOLDS,
    linear_classifier::FAMILY,
    linear_classifier::ONE_CLASS,
    linear::FAMILY,
    linear::RANSAC,
    linear::PLS,
    discriminant::LINEAR,
    discriminant::QUADRATIC,
    naive_bayes::FAMILY,
    neural_network::FAMILY,
    svm::FAMILY,
    neighbors::FAMILY,
    nearest_centroid::FAMILY,
    gaussian_process::REGRESSOR,
    gaussian_process::CLASSIFIER,
    cluster::FAMILY,
    mixture::FAMILY,
    kernel_ridge::FAMILY,
    covariance::FAMILY,
    catboost::FAMILY,
];

/// The globals that files of scikit-learn estimators may name.
pub fn allow_list() -> AllowList {
    FAMILIES.iter().fold(AllowList::plumbing(), |list, family| list.with(family.classes).with(family.carried))
}

/// Decodes the estimator in the pickle or joblib file `bytes`.
///
/// # Errors
/// A file that is not readable as data within `limits`, or estimators that are not supported: all of them, with their paths.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Box<dyn Estimator>, FrontendError> {
    decode_root(bytes, limits, decode)
}

/// What `decode` makes of the root of the file `bytes`. Globals off the list come first: a file that names one is refused.
fn decode_root<T>(
    bytes: &[u8],
    limits: &Limits,
    decode: impl FnOnce(&Item<'_>) -> Result<T, FrontendError>,
) -> Result<T, FrontendError> {
    let document = match pickle::survey(bytes, &allow_list(), limits) {
        Err(PickleError::GlobalsNotAllowed(refused)) => return Err(refuse(Vec::new(), &refused)),
        result => result?,
    };
    match (decode(&document.root()), document.refused()) {
        (decoded, []) => decoded,
        (Err(FrontendError::Unsupported(blockers)), refused) => Err(refuse(blockers, refused)),
        (_, refused) => Err(refuse(Vec::new(), refused)),
    }
}

/// `blockers`, and the classes and functions off the list that are not among them.
fn refuse(mut blockers: Vec<Blocker>, refused: &[Refused]) -> FrontendError {
    for refused in refused {
        let (node, operator) = (format!("byte {}", refused.offset), refused.to_string());
        if blockers.iter().all(|blocker| blocker.operator != operator) {
            blockers.push(Blocker { node, operator, reason: NOT_READ.to_owned() });
        }
    }
    FrontendError::Unsupported(blockers)
}

/// Opens the estimator in the pickle or joblib file `bytes`, or the booster that is there by itself.
///
/// # Errors
/// Those of [`read`], with the default limits.
pub fn open(bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    open_with(bytes, &OpenOptions::default())
}

/// As [`open`], with the longest text that a column of texts takes: the length `text`.
///
/// # Errors
/// Those of [`open`]; a length that texts cannot have.
pub fn open_with(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    let text_bytes = table::text_bytes(&options.lengths)?;
    decode_root(bytes, &Limits::default(), |root| -> Result<Box<dyn Model>, FrontendError> {
        if root.class() == Ok(lightgbm::BOOSTER) {
            return Ok(Box::new(LightgbmModel::new(lightgbm::booster(root)?)?));
        }
        let estimator = decode(root)?;
        let names = match table::column_names(root)? {
            Some(names) => names,
            None => estimator.names().to_vec(),
        };
        let names = if names.len() == estimator.features() { names } else { Vec::new() };
        Ok(Box::new(table::SklearnModel::new(estimator, names, text_bytes)?))
    })
}

/// An estimator of xgboost's of the class `class` (`XGBClassifier`) that was saved as its booster.
///
/// # Errors
/// A class that is not read; a booster that cannot be the estimator's.
pub(super) fn of_booster(class: &str, booster: super::xgboost::Booster) -> Result<Box<dyn Model>, FrontendError> {
    let names = booster.names.clone();
    Ok(Box::new(table::SklearnModel::new(xgboost::of_booster(class, booster)?, names, table::TEXT_BYTES)?))
}

/// The lengths that [`open_with`] takes: `text` where the model reads texts.
///
/// # Errors
/// Those of [`open`].
pub fn open_names(bytes: &[u8]) -> Result<OpenNames, FrontendError> {
    let reads_texts = open(bytes)?.inputs().iter().any(|input| input.spec.dtype == DType::Text);
    let dims = reads_texts.then(|| table::TEXT_DIM.to_owned()).into_iter().collect();
    Ok(OpenNames { dims, inputs: Vec::new() })
}

/// Decodes `item`, an estimator of any family.
fn decode(item: &Item<'_>) -> Result<Box<dyn Estimator>, FrontendError> {
    let Ok(class) = item.class() else {
        return Err(item.wrong("a scikit-learn estimator").into());
    };
    match FAMILIES.iter().find(|f| f.classes.contains(&class)) {
        Some(family) => (family.decode)(item),
        None => Err(unsupported(item, NOT_READ)),
    }
}

/// `reason` why `item` is not supported.
fn unsupported(item: &Item<'_>, reason: impl Into<String>) -> FrontendError {
    let class = item.class().map_or_else(|_| item.describe(), |class| Printable(class).to_string());
    FrontendError::unsupported(item.path(), class, reason)
}

/// `reason` why `item` cannot be right.
fn inconsistent(item: &Item<'_>, reason: impl fmt::Display) -> FrontendError {
    FrontendError::malformed(item.path(), format!("damaged model: {reason}"))
}

/// The release of scikit-learn that wrote an estimator: major and minor number.
fn version(item: &Item<'_>) -> Result<(u32, u32), FrontendError> {
    let attribute = item.get("_sklearn_version")?;
    let mut numbers = attribute.as_str()?.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(attribute.wrong("a version like 1.9.1").into()),
    }
}

/// Columns of the input of the estimator `item`, by its attribute's names through the releases.
fn features_in(item: &Item<'_>) -> Result<usize, FrontendError> {
    for attribute in ["n_features_in_", "n_features_", "_n_features"] {
        if let Some(count) = item.find(attribute)?
            && !count.is_none()
        {
            return Ok(count.as_usize()?);
        }
    }
    Err(item.wrong("something with an attribute `n_features_in_`").into())
}

/// `x` in another type.
fn cast(graph: &mut Graph, path: &str, x: TensorId, to: DType) -> Result<TensorId, FrontendError> {
    if graph.spec(x).dtype == to {
        return Ok(x);
    }
    Ok(graph.add(&format!("{path}/{to}"), Cast { to }, &[x])?)
}

/// `x` with the lengths `dims` after its first axis, which stays.
fn with_columns(graph: &mut Graph, path: &str, x: TensorId, dims: &[usize]) -> Result<TensorId, FrontendError> {
    let spec = graph.spec(x);
    let dims: Vec<usize> = spec.shape.factor(0).into_iter().chain(dims.iter().copied()).collect();
    let shape = Shape::new(&dims, spec.shape.batch_axis()).map_err(|error| FrontendError::malformed(path, error))?;
    Ok(graph.add_declared(&format!("{path}/reshape"), Reshape, &[x], TensorSpec { shape, ..spec })?)
}
