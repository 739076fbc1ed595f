//! Objectives, and what each makes of raw scores.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// What raw scores stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// The score itself: regression, ranking, and objectives of the user's own.
    Identity,
    /// `sign(s) * s * s`: regression on square roots (`reg_sqrt`).
    Square,
    /// `exp(s)`: poisson, gamma, tweedie.
    Exp,
    /// `1 / (1 + exp(-sigmoid * s))` of each score: binary, multiclassova, cross_entropy.
    Logistic {
        /// The factor.
        sigmoid: f64,
    },
    /// Softmax over the classes: multiclass.
    Softmax,
    /// `log(1 + exp(s))`: cross_entropy_lambda.
    Softplus,
}

impl Objective {
    /// Reads the header's `objective`, a name and options, of a model of `per_iteration` scores; absent, it was the user's own.
    pub(super) fn read(text: Option<&str>, per_iteration: usize) -> Result<Objective, FrontendError> {
        let mut words = text.unwrap_or("custom").split_ascii_whitespace();
        let name = words.next().unwrap_or("custom");
        let mut sqrt = false;
        let (mut sigmoid, mut classes) = (None, None);
        for word in words {
            match word.split_once(':').unwrap_or((word, "")) {
                ("sqrt", "") => sqrt = true,
                ("sigmoid", number) => sigmoid = number.parse().ok().filter(|sigmoid: &f64| *sigmoid > 0.0),
                ("num_class", number) => classes = number.parse::<usize>().ok(),
                _ => {}
            }
        }
        let needed = |sigmoid: Option<f64>| {
            sigmoid.ok_or_else(|| FrontendError::malformed("header", format!("{name} without a positive sigmoid")))
        };
        match name {
            "regression" | "regression_l2" | "regression_l1" | "fair" | "quantile" | "mape" if sqrt => {
                Ok(Objective::Square)
            }
            "regression" | "regression_l2" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => {
                Ok(Objective::Identity)
            }
            "lambdarank" | "rank_xendcg" | "custom" | "none" | "null" | "na" => Ok(Objective::Identity),
            "poisson" | "gamma" | "tweedie" => Ok(Objective::Exp),
            "cross_entropy" | "xentropy" => Ok(Objective::Logistic { sigmoid: 1.0 }),
            "cross_entropy_lambda" | "xentlambda" => Ok(Objective::Softplus),
            "binary" => Ok(Objective::Logistic { sigmoid: needed(sigmoid)? }),
            "multiclass" | "multiclassova" if classes != Some(per_iteration) => {
                let reason = format!("{name} of {per_iteration} trees per iteration states num_class {classes:?}");
                Err(FrontendError::malformed("header", reason))
            }
            "multiclass" => Ok(Objective::Softmax),
            "multiclassova" => Ok(Objective::Logistic { sigmoid: needed(sigmoid)? }),
            other => {
                let reason = "this objective is not known, nor what it makes of raw scores; the objectives of LightGBM 2.1 to 4.7 are";
                Err(FrontendError::unsupported("header", format!("objective {other}"), reason))
            }
        }
    }

    /// Appends what becomes of `scores`, float64 with the classes last.
    pub(super) fn lower(self, graph: &mut Graph, path: &str, scores: TensorId) -> Result<TensorId, FrontendError> {
        let name = format!("{path}/link");
        let unary = |graph: &mut Graph, kind, x| graph.add(&name, Unary::of(kind), &[x]);
        let scalar = |graph: &mut Graph, value| graph.add_constant(&name, DType::F64, &[1], &[value]);
        let mul = Binary { kind: BinaryKind::Mul };
        Ok(match self {
            Objective::Identity => scores,
            Objective::Exp => unary(graph, UnaryKind::Exp, scores)?,
            Objective::Square => {
                let sign = unary(graph, UnaryKind::Sign, scores)?;
                let signed = graph.add(&name, mul, &[sign, scores])?;
                graph.add(&name, mul, &[signed, scores])?
            }
            Objective::Logistic { sigmoid } => {
                let factor = scalar(graph, -sigmoid)?;
                let power = graph.add(&name, mul, &[scores, factor])?;
                let power = unary(graph, UnaryKind::Exp, power)?;
                let one = scalar(graph, 1.0)?;
                let sum = graph.add(&name, Binary { kind: BinaryKind::Add }, &[power, one])?;
                unary(graph, UnaryKind::Reciprocal, sum)?
            }
            Objective::Softmax => graph.add(&name, Softmax { axis: 1, log: false }, &[scores])?,
            Objective::Softplus => {
                let power = unary(graph, UnaryKind::Exp, scores)?;
                unary(graph, UnaryKind::Log1p, power)?
            }
        })
    }
}
