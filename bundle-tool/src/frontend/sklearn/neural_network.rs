//! Multi-layer perceptrons.

use ekiben_runtime::DType;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Multi-layer perceptrons.
pub(super) const FAMILY: Family = Family {
    classes: &[CLASSIFIER, "sklearn.neural_network._multilayer_perceptron.MLPRegressor"],
    carried: &[
        "sklearn.preprocessing._label.LabelBinarizer",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    ],
    decode: |item| Ok(Box::new(Perceptron::decode(item)?)),
};

const CLASSIFIER: &str = "sklearn.neural_network._multilayer_perceptron.MLPClassifier";

/// A function of a layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// Logistic function.
    Logistic,
    /// Hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
    /// Softmax of each row.
    Softmax,
    /// e to the power of x.
    Exp,
}

impl Activation {
    fn decode(item: &Item<'_>) -> Result<Activation, FrontendError> {
        Ok(match item.as_str()? {
            "identity" => Activation::Identity,
            "logistic" => Activation::Logistic,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            "softmax" => Activation::Softmax,
            "exp" => Activation::Exp,
            other => return Err(unsupported(item, format!("the activation {other:?}"))),
        })
    }

    fn lower(self, f: &mut Formula<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        match self {
            Activation::Identity => Ok(x),
            Activation::Logistic => f.unary(UnaryKind::Sigmoid, x),
            Activation::Tanh => f.unary(UnaryKind::Tanh, x),
            Activation::Relu => f.unary(UnaryKind::Relu, x),
            Activation::Softmax => f.softmax(x),
            Activation::Exp => f.unary(UnaryKind::Exp, x),
        }
    }
}

/// Layers, each `activation(x · weightsᵀ + bias)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Perceptron {
    /// Weights, a row for each unit, and bias of each layer.
    pub layers: Vec<(Matrix, Vec<f64>)>,
    /// Of all layers but the last.
    pub activation: Activation,
    /// Of the last.
    pub last: Activation,
    /// What the outputs are.
    pub answers: Answers,
}

/// What the outputs of a perceptron are.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// Values.
    Values,
    /// The probability of the second of two labels, or of each label.
    Classes(Labels),
    /// The probability of each of several labels that a sample can have at once.
    Multilabel,
}

impl Perceptron {
    fn decode(item: &Item<'_>) -> Result<Perceptron, FrontendError> {
        let (weights, biases) = (item.get("coefs_")?.items()?, item.get("intercepts_")?.items()?);
        if weights.is_empty() || weights.len() != biases.len() {
            return Err(inconsistent(item, format!("{} matrices and {} biases", weights.len(), biases.len())));
        }
        let mut layers: Vec<(Matrix, Vec<f64>)> = Vec::with_capacity(weights.len());
        for (weights, bias) in weights.iter().zip(&biases) {
            let matrix = Matrix::decode(weights)?.transposed();
            let bias = numbers(bias, matrix.rows)?;
            if let Some((before, _)) = layers.last()
                && before.rows != matrix.columns
            {
                return Err(inconsistent(weights, format!("{} inputs after {} units", matrix.columns, before.rows)));
            }
            layers.push((matrix, bias));
        }
        let outputs = layers.last().map_or(0, |(matrix, _)| matrix.rows);
        Ok(Perceptron {
            layers,
            activation: Activation::decode(&item.get("activation")?)?,
            last: Activation::decode(&item.get("out_activation_")?)?,
            answers: Answers::decode(item, outputs)?,
        })
    }
}

impl Answers {
    fn decode(item: &Item<'_>, outputs: usize) -> Result<Answers, FrontendError> {
        if item.class()? != CLASSIFIER {
            return Ok(Answers::Values);
        }
        let binarizer = item.get("_label_binarizer")?;
        if binarizer.get("y_type_")?.as_str()?.starts_with("multilabel") {
            return Ok(Answers::Multilabel);
        }
        let labels = Labels::decode(&binarizer.get("classes_")?)?;
        let expected = if labels.count() == 2 { 1 } else { labels.count() };
        if outputs != expected || labels.count() < 2 {
            return Err(inconsistent(&binarizer, format!("{} classes for {outputs} outputs", labels.count())));
        }
        Ok(Answers::Classes(labels))
    }
}

impl Estimator for Perceptron {
    fn features(&self) -> usize {
        self.layers.first().map_or(0, |(matrix, _)| matrix.columns)
    }

    fn methods(&self) -> &'static [Method] {
        match self.answers {
            Answers::Values => &[Method::Predict],
            _ => &[Method::Predict, Method::PredictProba, Method::PredictLogProba],
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, mut x) = Formula::new(graph, path, x)?;
        for (index, (weights, bias)) in self.layers.iter().enumerate() {
            let sums = f.product(x, &format!("coefs_[{index}]"), weights, Some(bias))?;
            let activation = if index + 1 < self.layers.len() { self.activation } else { self.last };
            x = activation.lower(&mut f, sums)?;
        }
        let is_single = f.columns(x) == 1;
        Ok(vec![match (&self.answers, method) {
            (Answers::Values, _) => {
                if is_single {
                    f.flat(x)?
                } else {
                    x
                }
            }
            (Answers::Classes(labels), Method::Predict) if is_single => f.label_above(labels, x, 0.5)?,
            (Answers::Classes(labels), Method::Predict) => f.label_of_largest(labels, x)?,
            (Answers::Multilabel, Method::Predict) => {
                let above = f.compare(CompareKind::Greater, x, 0.5)?;
                f.cast(above, DType::I64)?
            }
            _ => {
                let shares = if is_single { f.complemented(x)? } else { x };
                if method == Method::PredictProba { shares } else { f.unary(UnaryKind::Log, shares)? }
            }
        }])
    }
}
