//! From shares and values to what H2O's `predict` gives.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::UnaryKind;

use super::columns::{against, binary, cast, constant, join, shaped, take, unary, with};
use super::ini::Ini;
use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// What a model gives for rows.
pub(super) enum Answer {
    /// A value, `[N, 1]`.
    Value(TensorId),
    /// The number of a cluster, `[N]`.
    Cluster(TensorId),
    /// Values by name, `[N, 1]` each.
    Named(Vec<(&'static str, TensorId)>),
    /// Shares of classes, `[N, classes]`, and the number of the predicted one, `[N]`.
    Classes(TensorId, TensorId),
}

/// How shares become predictions.
pub(super) struct Classes {
    /// Number of classes.
    pub(super) count: usize,
    threshold: f64,
    /// Factors that undo the balancing of classes, where there are any.
    correction: Option<Vec<f64>>,
}

impl Classes {
    /// What the model says; one class or none for a model without classes.
    pub(super) fn of(ini: &Ini) -> Result<Self, FrontendError> {
        let count: usize = ini.number("n_classes")?;
        let (prior, trained) = (ini.numbers::<f64>("prior_class_distrib")?, ini.numbers::<f64>("model_class_distrib")?);
        let mut correction = None;
        if ini.flag("balance_classes", false) && count > 1 {
            if prior.len() != count || trained.len() != count {
                return Err(FrontendError::malformed("model.ini", "distributions of other than the classes"));
            }
            let factor =
                |(&prior, &trained): (&f64, &f64)| if prior != 0.0 && trained != 0.0 { prior / trained } else { 1.0 };
            correction = Some(prior.iter().zip(&trained).map(factor).collect());
        }
        Ok(Self { count, threshold: ini.number_or("default_threshold", 0.5)?, correction })
    }

    /// Shares `[N, classes]`, with balancing undone, and the predicted class.
    pub(super) fn answer(&self, graph: &mut Graph, path: &str, mut shares: TensorId) -> Result<Answer, FrontendError> {
        if let Some(factors) = &self.correction {
            let scaled = with(graph, &format!("{path}/prior"), shares, BinaryKind::Mul, factors)?;
            shares = normalised(graph, path, scaled)?;
        }
        let class = self.predicted(graph, path, shares)?;
        Ok(Answer::Classes(shares, class))
    }

    /// The predicted class of shares: of two, the second where its share reaches the threshold; of more, the first of the largest.
    pub(super) fn predicted(&self, graph: &mut Graph, path: &str, shares: TensorId) -> Result<TensorId, FrontendError> {
        if self.count != 2 {
            let largest = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
            return Ok(graph.add(&format!("{path}/class"), largest, &[shares])?);
        }
        let second = take(graph, &format!("{path}/second"), shares, [1])?;
        let second = shaped(graph, path, second, &[])?;
        let threshold = constant(graph, &format!("{path}/threshold"), &[self.threshold])?;
        let compare = Compare { kind: CompareKind::GreaterOrEqual };
        let reached = graph.add(&format!("{path}/reached"), compare, &[second, threshold])?;
        cast(graph, path, reached, DType::I32)
    }
}

/// Rows divided by their sums.
pub(super) fn normalised(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    let sum = row_sums(graph, path, x)?;
    binary(graph, &format!("{path}/share"), BinaryKind::Div, x, sum)
}

/// Sums of rows, `[N, 1]`.
pub(super) fn row_sums(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    let sum = Reduce { kind: ReduceKind::Sum, axes: 1 << 1, keep: true };
    Ok(graph.add(&format!("{path}/sum"), sum, &[x])?)
}

/// Both shares of two classes, from the second one.
pub(super) fn two(graph: &mut Graph, path: &str, second: TensorId) -> Result<TensorId, FrontendError> {
    let first = against(graph, &format!("{path}/first"), 1.0, BinaryKind::Sub, second)?;
    join(graph, &format!("{path}/shares"), &[first, second])
}

/// An inverse link of H2O's, by its name; `power` is that of `tweedie`.
///
/// # Errors
/// A link that is not supported.
pub(super) fn inverse_link(
    graph: &mut Graph,
    path: &str,
    ini: &Ini,
    link: &str,
    power: f64,
    x: TensorId,
) -> Result<TensorId, FrontendError> {
    match link {
        "identity" => Ok(x),
        "logit" => {
            let turned = unary(graph, path, UnaryKind::Neg, x)?;
            let odds = unary(graph, path, UnaryKind::Exp, turned)?;
            let sum = with(graph, path, odds, BinaryKind::Add, &[1.0])?;
            against(graph, &format!("{path}/logit"), 1.0, BinaryKind::Div, sum)
        }
        "log" => unary(graph, path, UnaryKind::Exp, x),
        "inverse" => {
            // Kept away from 0 on its own side of it.
            let zero = constant(graph, &format!("{path}/zero"), &[0.0])?;
            let below = graph.add(&format!("{path}/below"), Compare { kind: CompareKind::Less }, &[x, zero])?;
            let low = with(graph, &format!("{path}/low"), x, BinaryKind::Min, &[-1e-5])?;
            let high = with(graph, &format!("{path}/high"), x, BinaryKind::Max, &[1e-5])?;
            let select = ekiben_runtime::ops::select::Select;
            let away = graph.add(&format!("{path}/away"), select, &[below, low, high])?;
            against(graph, &format!("{path}/inverse"), 1.0, BinaryKind::Div, away)
        }
        "tweedie" if power == 0.0 => {
            let value = unary(graph, path, UnaryKind::Exp, x)?;
            with(graph, path, value, BinaryKind::Max, &[2e-16])
        }
        "tweedie" => with(graph, path, x, BinaryKind::Pow, &[1.0 / power]),
        other => Err(ini
            .unsupported(&format!("link {other:?}"), "this link is not supported; train with the family's usual one")),
    }
}

/// The usual link of a distribution.
pub(super) fn usual_link(distribution: &str) -> &'static str {
    match distribution {
        "bernoulli" | "quasibinomial" | "modified_huber" | "ordinal" => "logit",
        "multinomial" | "poisson" | "gamma" | "tweedie" | "negativebinomial" => "log",
        _ => "identity",
    }
}

/// The inverse link of trees and networks, which keep exponents at 1e19 at most.
pub(super) fn inverse_distribution_link(
    graph: &mut Graph,
    path: &str,
    ini: &Ini,
    x: TensorId,
) -> Result<TensorId, FrontendError> {
    let distribution = ini.text("distribution")?;
    let link = ini.find("link_function").unwrap_or(usual_link(distribution));
    let most = |graph: &mut Graph, power| with(graph, &format!("{path}/most"), power, BinaryKind::Min, &[1e19]);
    match link {
        "log" => {
            let value = unary(graph, path, UnaryKind::Exp, x)?;
            most(graph, value)
        }
        "logit" => {
            let turned = unary(graph, path, UnaryKind::Neg, x)?;
            let odds = unary(graph, path, UnaryKind::Exp, turned)?;
            let odds = most(graph, odds)?;
            let sum = with(graph, path, odds, BinaryKind::Add, &[1.0])?;
            against(graph, &format!("{path}/logit"), 1.0, BinaryKind::Div, sum)
        }
        link => inverse_link(graph, path, ini, link, 0.0, x),
    }
}
