//! Logistic regression: scores `x · coefᵀ + intercept`, then a link to probabilities.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::{
    Estimator, Family, Features, Labels, Method, cast, inconsistent, labels, unsupported, version, with_columns,
};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Logistic regression.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.linear_model._logistic.LogisticRegression"],
    carried: &[],
    decode: |item| Ok(Box::new(LogisticRegression::decode(item)?)),
};

/// How scores become probabilities. With one row of coefficients there is one score `s`, for the second of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The logistic function of each score: `[1 - p, p]` for one score; for several, divided by their sum.
    Logistic,
    /// Softmax of the scores; of `[-s, s]` for one score.
    Softmax,
}

/// A logistic regression. The label predicted is that of the largest score (the first of equal ones); of one score, the second
/// label where it is greater than 0.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// Columns of the input.
    pub features: usize,
    /// `rows * features` coefficients, row by row.
    pub coefficients: Vec<f64>,
    /// One for each row.
    pub intercepts: Vec<f64>,
    /// Two labels where there is one row, else one for each row.
    pub labels: Labels,
    /// How scores become probabilities.
    pub link: Link,
}

impl LogisticRegression {
    fn decode(item: &Item<'_>) -> Result<LogisticRegression, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let coef = item.get("coef_")?;
        let coefficients = coef.array()?;
        let &[rows, features] = coefficients.shape() else {
            return Err(coef.wrong("an array of two dimensions").into());
        };
        let intercept = item.get("intercept_")?;
        let intercepts =
            if intercept.is_array() { intercept.array()?.f64s()? } else { vec![intercept.as_f64()?; rows] };
        let expected = if labels.count() == 2 { 1 } else { labels.count() };
        if labels.count() < 2 || rows != expected || intercepts.len() != rows || features == 0 {
            return Err(inconsistent(
                item,
                format!("{rows} rows of coefficients, {} intercepts and {} classes", intercepts.len(), labels.count()),
            ));
        }
        Ok(LogisticRegression {
            features,
            coefficients: coefficients.f64s()?,
            intercepts,
            link: link(item, labels.count())?,
            labels,
        })
    }
}

/// The link of a model of `classes` classes. `multi_class` chose it until scikit-learn 1.7; since 1.8 it is gone, and the number
/// of classes chooses.
fn link(item: &Item<'_>, classes: usize) -> Result<Link, FrontendError> {
    let binary = if classes <= 2 { Link::Logistic } else { Link::Softmax };
    if version(item)? >= (1, 8) {
        return Ok(binary);
    }
    let Some(multi_class) = item.find("multi_class")? else {
        return Ok(binary);
    };
    match multi_class.as_str()? {
        "ovr" | "warn" => Ok(Link::Logistic),
        "multinomial" => Ok(Link::Softmax),
        "auto" | "deprecated" if item.get("solver")?.as_str()? == "liblinear" => Ok(Link::Logistic),
        "auto" | "deprecated" => Ok(binary),
        other => Err(unsupported(item, format!("multi_class={other:?}; use \"ovr\" or \"multinomial\""))),
    }
}

impl Estimator for LogisticRegression {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::PredictProba, Method::PredictLogProba, Method::DecisionFunction]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let scores = self.scores(graph, path, x)?;
        Ok(vec![match method {
            Method::DecisionFunction if self.intercepts.len() == 1 => with_columns(graph, path, scores, &[])?,
            Method::DecisionFunction => scores,
            Method::PredictProba => self.shares(graph, path, scores)?,
            Method::PredictLogProba => {
                let shares = self.shares(graph, path, scores)?;
                graph.add(&format!("{path}/log"), Unary::of(UnaryKind::Log), &[shares])?
            }
            _ => self.predict(graph, path, scores)?,
        }])
    }
}

impl LogisticRegression {
    /// `x · coefᵀ + intercept`: `[N, rows]` in float64.
    fn scores(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let rows = self.intercepts.len();
        let x = cast(graph, path, x, DType::F64)?;
        let dims = [rows, self.features];
        let coefficients = graph.add_constant(&format!("{path}/coef_"), DType::F64, &dims, &self.coefficients)?;
        let intercepts = graph.add_constant(&format!("{path}/intercept_"), DType::F64, &[rows], &self.intercepts)?;
        Ok(graph.add(&format!("{path}/scores"), MatMul { transpose_b: true }, &[x, coefficients, intercepts])?)
    }

    /// A score for each label: one score `s` is `-s` for the first label and `s` for the second.
    fn of_each_label(&self, graph: &mut Graph, path: &str, scores: TensorId) -> Result<TensorId, FrontendError> {
        if self.intercepts.len() > 1 {
            return Ok(scores);
        }
        let signs = graph.add_constant(&format!("{path}/signs"), DType::F64, &[2], &[-1.0, 1.0])?;
        Ok(graph.add(&format!("{path}/both"), Binary { kind: BinaryKind::Mul }, &[scores, signs])?)
    }

    fn predict(&self, graph: &mut Graph, path: &str, scores: TensorId) -> Result<TensorId, FrontendError> {
        let scores = self.of_each_label(graph, path, scores)?;
        let argmax = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
        let indices = graph.add(&format!("{path}/argmax"), argmax, &[scores])?;
        labels::pick(graph, path, std::slice::from_ref(&self.labels), self.labels.count(), indices)
    }

    fn shares(&self, graph: &mut Graph, path: &str, scores: TensorId) -> Result<TensorId, FrontendError> {
        if self.link == Link::Softmax {
            let scores = self.of_each_label(graph, path, scores)?;
            return Ok(graph.add(&format!("{path}/softmax"), Softmax { axis: 1, log: false }, &[scores])?);
        }
        let shares = graph.add(&format!("{path}/logistic"), Unary::of(UnaryKind::Sigmoid), &[scores])?;
        if self.intercepts.len() == 1 {
            // [1 - p, p] = [-p, p] + [1, 0], exactly.
            let signed = self.of_each_label(graph, path, shares)?;
            let rest = graph.add_constant(&format!("{path}/rest"), DType::F64, &[2], &[1.0, 0.0])?;
            return Ok(graph.add(&format!("{path}/shares"), Binary { kind: BinaryKind::Add }, &[signed, rest])?);
        }
        let sum = Reduce { kind: ReduceKind::Sum, axes: 1 << 1, keep: true };
        let sum = graph.add(&format!("{path}/sum"), sum, &[shares])?;
        Ok(graph.add(&format!("{path}/shares"), Binary { kind: BinaryKind::Div }, &[shares, sum])?)
    }
}
