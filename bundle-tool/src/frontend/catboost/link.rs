//! What the Python classes make of the trees' sums: labels, shares, exponents.

use std::collections::HashMap;

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{Shape, TensorSpec};
use serde_json::Value;

use crate::frontend::FrontendError;
use crate::frontend::sklearn::{Labels, pick_labels};
use crate::graph::{Graph, TensorId};

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::frontend) enum Answer {
    /// What `predict` of the Python class gives: labels, or the value on the target's scale.
    Prediction,
    /// Shares of classes.
    Probability,
    /// Their natural logarithms.
    LogProbability,
    /// The trees' sums (`prediction_type="RawFormulaVal"`).
    Raw,
}

/// What the sums stand for.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// A value.
    Value,
    /// The logarithm of a value: Poisson, Tweedie.
    Exponent,
    /// A mean, and the logarithm of a standard deviation, whose square is given.
    Uncertainty,
    /// The log-odds of the second of two classes, and the log-odds above which it is predicted.
    Binary(Labels, f64),
    /// A score for each class; whether each has its own logistic function. Classes that the model does not know are left out of the sums.
    Classes { labels: Labels, one_vs_all: bool, known: Vec<usize> },
    /// Log-odds of several properties, and the log-odds above which they are predicted.
    Properties(f64),
}

/// How answers are made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    kind: Kind,
    dimension: usize,
}

/// Losses of classifiers, for files that do not list classes.
const CLASSIFIERS: [&str; 7] =
    ["Logloss", "CrossEntropy", "Focal", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy"];

/// The JSON value that the file keeps under `key`.
fn structured(info: &HashMap<String, String>, key: &str) -> Option<Value> {
    serde_json::from_str(info.get(key)?).ok()
}

/// Name of the loss that was minimised, without its parameters; "" where the file does not say.
fn loss(info: &HashMap<String, String>) -> String {
    let inside = structured(info, "params").and_then(|params| params.get("loss_function").cloned());
    let loss = inside.or_else(|| structured(info, "loss_function"));
    let name = loss.as_ref().and_then(|loss| loss.as_str().or_else(|| loss.get("type")?.as_str()));
    name.unwrap_or_default().split(':').next().unwrap_or_default().to_owned()
}

/// Labels of one type.
fn labels(names: &[Value]) -> Option<Labels> {
    fn all<T>(names: &[Value], read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        names.iter().map(read).collect()
    }
    let text = |name: &Value| name.as_str().map(str::to_owned);
    let found = all(names, Value::as_bool).map(Labels::Bool).or_else(|| all(names, Value::as_i64).map(Labels::Int));
    found.or_else(|| all(names, Value::as_f64).map(Labels::Float)).or_else(|| all(names, text).map(Labels::Text))
}

impl Link {
    /// What the file says about the values that its trees give.
    ///
    /// # Errors
    /// Classes that do not fit the values.
    pub(super) fn of(info: &HashMap<String, String>, dimension: usize) -> Result<Self, FrontendError> {
        let loss = loss(info);
        let classes = structured(info, "class_params").or_else(|| structured(info, "multiclass_params"));
        let has_classes = classes.is_some() || CLASSIFIERS.contains(&loss.as_str());
        let threshold = info.get("binclass_probability_threshold").and_then(|text| text.parse().ok()).unwrap_or(0.5);
        let threshold = -(1.0_f64 / threshold - 1.0).ln();
        let kind = match loss.as_str() {
            "Poisson" | "Tweedie" => Kind::Exponent,
            "RMSEWithUncertainty" if dimension == 2 => Kind::Uncertainty,
            "MultiLogloss" | "MultiCrossEntropy" => Kind::Properties(threshold),
            _ if !has_classes => Kind::Value,
            loss => {
                let (labels, known) = class_labels(&classes.unwrap_or(Value::Null), dimension)?;
                match dimension {
                    1 => Kind::Binary(labels, threshold),
                    _ => Kind::Classes { labels, one_vs_all: loss == "MultiClassOneVsAll", known },
                }
            }
        };
        Ok(Self { kind, dimension })
    }

    /// True for a model that has shares of classes.
    pub(super) fn has_shares(&self) -> bool {
        matches!(self.kind, Kind::Binary(..) | Kind::Classes { .. } | Kind::Properties(_))
    }

    /// The answer made of the sums `raw`, `[N, dimension]`: labels and values `[N]`, or `[N, values]` where there are several; labels of more than two
    /// classes `[N, 1]`, as CatBoost gives them.
    pub(super) fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        raw: TensorId,
        answer: Answer,
    ) -> Result<TensorId, FrontendError> {
        let unary = |graph: &mut Graph, kind, x| graph.add(&format!("{path}/{kind:?}"), Unary::of(kind), &[x]);
        match (&self.kind, answer) {
            (Kind::Classes { labels, known, .. }, Answer::Raw) => Ok(spread(graph, path, raw, labels, known)?),
            (_, Answer::Raw) | (Kind::Value, _) => self.narrow(graph, path, raw),
            (Kind::Exponent, _) => {
                let value = unary(graph, UnaryKind::Exp, raw)?;
                self.narrow(graph, path, value)
            }
            (Kind::Uncertainty, _) => {
                let mean = column(graph, path, raw, 0)?;
                let log = column(graph, path, raw, 1)?;
                let twice = constant(graph, path, "two", 2.0)?;
                let square = binary(graph, path, BinaryKind::Mul, log, twice)?;
                let variance = unary(graph, UnaryKind::Exp, square)?;
                Ok(graph.add(&format!("{path}/values"), Concat { axis: 1 }, &[mean, variance])?)
            }
            (Kind::Binary(labels, threshold), Answer::Prediction) => {
                let raw = self.narrow(graph, path, raw)?;
                let index = above(graph, path, raw, *threshold, DType::I32)?;
                pick_labels(graph, path, std::slice::from_ref(labels), labels.count(), index)
            }
            (Kind::Binary(..), Answer::Probability) => {
                let second = unary(graph, UnaryKind::Sigmoid, raw)?;
                let one = constant(graph, path, "one", 1.0)?;
                let first = binary(graph, path, BinaryKind::Sub, one, second)?;
                Ok(graph.add(&format!("{path}/shares"), Concat { axis: 1 }, &[first, second])?)
            }
            (Kind::Binary(..), Answer::LogProbability) => {
                let turned = unary(graph, UnaryKind::Neg, raw)?;
                let first = log_sigmoid(graph, path, turned)?;
                let second = log_sigmoid(graph, path, raw)?;
                Ok(graph.add(&format!("{path}/shares"), Concat { axis: 1 }, &[first, second])?)
            }
            (Kind::Classes { labels, known, .. }, Answer::Prediction) => {
                let scores = spread(graph, path, raw, labels, known)?;
                let largest = ArgReduce { axis: 1, smallest: false, last: false, keep: true, wide: false };
                let index = graph.add(&format!("{path}/class"), largest, &[scores])?;
                pick_labels(graph, path, std::slice::from_ref(labels), labels.count(), index)
            }
            (Kind::Classes { labels, known, one_vs_all }, _) => {
                let scores = spread(graph, path, raw, labels, known)?;
                match (one_vs_all, answer) {
                    (true, Answer::LogProbability) => log_sigmoid(graph, path, scores),
                    (true, _) => Ok(unary(graph, UnaryKind::Sigmoid, scores)?),
                    (false, _) => {
                        let softmax = Softmax { axis: 1, log: answer == Answer::LogProbability };
                        Ok(graph.add(&format!("{path}/shares"), softmax, &[scores])?)
                    }
                }
            }
            (Kind::Properties(threshold), Answer::Prediction) => above(graph, path, raw, *threshold, DType::I64),
            (Kind::Properties(_), Answer::Probability) => Ok(unary(graph, UnaryKind::Sigmoid, raw)?),
            (Kind::Properties(_), Answer::LogProbability) => log_sigmoid(graph, path, raw),
        }
    }

    /// One value for each row as `[N]`.
    fn narrow(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        if self.dimension != 1 {
            return Ok(x);
        }
        let spec = graph.spec(x);
        let rows = spec.shape.factor(0).unwrap_or(1);
        let shape = Shape::new(&[rows], spec.shape.batch_axis()).map_err(|e| FrontendError::malformed(path, e))?;
        Ok(graph.add_declared(&format!("{path}/values"), Reshape, &[x], TensorSpec { shape, ..spec })?)
    }
}

/// The labels, and the class of each of the model's values.
fn class_labels(classes: &Value, dimension: usize) -> Result<(Labels, Vec<usize>), FrontendError> {
    let list = |key: &str| classes.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    let damaged = |reason: String| FrontendError::malformed("class_params", reason);
    let count = if dimension == 1 { 2 } else { dimension };
    let to_label = list("class_to_label").map(|list| list.iter().map(|value| value.as_f64().unwrap_or(-1.0) as i64));
    let stated = classes.get("classes_count").and_then(Value::as_u64).filter(|&count| count > 0);
    let found = match (list("class_names").or_else(|| list("class_labels")), stated) {
        (Some(names), _) => labels(names).ok_or_else(|| damaged("labels of several types".to_owned()))?,
        // More than there are values is possible, and bounded by what an index can be.
        (None, Some(count)) => Labels::Int((0..count.min(1 << 16) as i64).collect()),
        (None, None) => Labels::Int(to_label.clone().map_or_else(|| (0..count as i64).collect(), Iterator::collect)),
    };
    if found.count() == count {
        return Ok((found, (0..count).collect()));
    }
    let known = to_label.map(|list| list.map(usize::try_from).collect::<Result<Vec<_>, _>>());
    match known {
        Some(Ok(known)) if known.len() == count && known.iter().all(|&class| class < found.count()) => {
            Ok((found, known))
        }
        _ => Err(damaged(format!("{} labels for {count} classes", found.count()))),
    }
}

/// Scores of all classes: minus infinity for those that the model does not know.
fn spread(
    graph: &mut Graph,
    path: &str,
    raw: TensorId,
    labels: &Labels,
    known: &[usize],
) -> Result<TensorId, FrontendError> {
    if known.iter().copied().eq(0..labels.count()) {
        return Ok(raw);
    }
    let (mut sources, mut added) = (vec![0_i32; labels.count()], vec![f64::NEG_INFINITY; labels.count()]);
    for (value, &class) in known.iter().enumerate() {
        (sources[class], added[class]) = (value as i32, 0.0);
    }
    let sources = graph.add_constant(&format!("{path}/classes"), DType::I32, &[sources.len()], &sources)?;
    let scores = graph.add(&format!("{path}/scores"), Gather { axis: 1 }, &[raw, sources])?;
    let added = graph.add_constant(&format!("{path}/unknown"), DType::F64, &[added.len()], &added)?;
    binary(graph, path, BinaryKind::Add, scores, added)
}

fn constant(graph: &mut Graph, path: &str, name: &str, value: f64) -> Result<TensorId, FrontendError> {
    Ok(graph.add_constant(&format!("{path}/{name}"), DType::F64, &[1], &[value])?)
}

fn binary(
    graph: &mut Graph,
    path: &str,
    kind: BinaryKind,
    a: TensorId,
    b: TensorId,
) -> Result<TensorId, FrontendError> {
    Ok(graph.add(&format!("{path}/{kind:?}"), Binary { kind }, &[a, b])?)
}

/// Column `index` of `x`, `[N, 1]`.
fn column(graph: &mut Graph, path: &str, x: TensorId, index: i32) -> Result<TensorId, FrontendError> {
    let indices = graph.add_constant(&format!("{path}/index"), DType::I32, &[1], &[index])?;
    Ok(graph.add(&format!("{path}/column"), Gather { axis: 1 }, &[x, indices])?)
}

/// 1 where `x` is above `threshold`, else 0.
fn above(graph: &mut Graph, path: &str, x: TensorId, threshold: f64, to: DType) -> Result<TensorId, FrontendError> {
    let threshold = constant(graph, path, "threshold", threshold)?;
    let is_above = graph.add(&format!("{path}/above"), Compare { kind: CompareKind::Greater }, &[x, threshold])?;
    Ok(graph.add(&format!("{path}/index"), Cast { to }, &[is_above])?)
}

/// `-ln(1 + exp(-x))`, rounded at each step as CatBoost does.
fn log_sigmoid(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    let unary = |graph: &mut Graph, kind, x| graph.add(&format!("{path}/{kind:?}"), Unary::of(kind), &[x]);
    let turned = unary(graph, UnaryKind::Neg, x)?;
    let power = unary(graph, UnaryKind::Exp, turned)?;
    let one = constant(graph, path, "one", 1.0)?;
    let sum = binary(graph, path, BinaryKind::Add, power, one)?;
    let log = unary(graph, UnaryKind::Log, sum)?;
    Ok(unary(graph, UnaryKind::Neg, log)?)
}
