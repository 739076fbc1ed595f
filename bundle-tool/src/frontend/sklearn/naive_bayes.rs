//! Naive Bayes: logarithms of joint probabilities of sample and class, and shares out of them.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::gather_nd::GatherNd;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Naive Bayes.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.naive_bayes.GaussianNB",
        "sklearn.naive_bayes.MultinomialNB",
        "sklearn.naive_bayes.ComplementNB",
        "sklearn.naive_bayes.BernoulliNB",
        "sklearn.naive_bayes.CategoricalNB",
    ],
    carried: &["sklearn.preprocessing._label.LabelBinarizer"],
    decode: |item| Ok(Box::new(NaiveBayes::decode(item)?)),
};

/// A naive Bayes classifier. Predicted is the label of the largest joint probability, the first of equal ones.
#[derive(Debug, Clone, PartialEq)]
pub struct NaiveBayes {
    /// The labels.
    pub labels: Labels,
    /// How samples are distributed in a class.
    pub likelihood: Likelihood,
}

/// The logarithm of a joint probability, for each class.
#[derive(Debug, Clone, PartialEq)]
pub enum Likelihood {
    /// `(log_factor - sum of (x - mean)² / variance / 2) + log_prior`.
    Gaussian {
        /// A row for each class.
        means: Matrix,
        /// A row for each class.
        variances: Matrix,
        /// Logarithms of the densities' factors.
        log_factors: Vec<f64>,
        /// Logarithms of the classes' shares.
        log_priors: Vec<f64>,
    },
    /// `x · weightsᵀ + base`.
    Linear {
        /// Columns become 1 where they are greater than this, else 0.
        binarize: Option<f64>,
        /// A row for each class.
        weights: Matrix,
        /// One for each class.
        base: Option<Vec<f64>>,
    },
    /// The sum of what each column's category has, and `base`.
    Categorical {
        /// For each column a row for each category, a number for each class.
        columns: Vec<Matrix>,
        /// One for each class.
        base: Vec<f64>,
    },
}

impl NaiveBayes {
    fn decode(item: &Item<'_>) -> Result<NaiveBayes, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let count = labels.count();
        let of_classes = |name: &str| numbers(&item.get(name)?, count);
        let of_features = |attribute: Item<'_>| {
            let matrix = Matrix::decode(&attribute)?;
            let columns = matrix.columns;
            matrix.sized(&attribute, count, columns)
        };
        let likelihood = match item.class()?.rsplit('.').next() {
            Some("GaussianNB") => gaussian(item, count)?,
            Some("MultinomialNB") => Likelihood::Linear {
                binarize: None,
                weights: of_features(item.get("feature_log_prob_")?)?,
                base: Some(of_classes("class_log_prior_")?),
            },
            Some("ComplementNB") => Likelihood::Linear {
                binarize: None,
                weights: of_features(item.get("feature_log_prob_")?)?,
                base: if count == 1 { Some(of_classes("class_log_prior_")?) } else { None },
            },
            Some("BernoulliNB") => {
                let mut weights = of_features(item.get("feature_log_prob_")?)?;
                let mut base = of_classes("class_log_prior_")?;
                for (row, base) in weights.values.chunks_exact_mut(weights.columns).zip(&mut base) {
                    let mut absent = 0.0;
                    for weight in row {
                        let log = libm::log(1.0 - libm::exp(*weight));
                        *weight -= log;
                        absent += log;
                    }
                    *base += absent;
                }
                let binarize = item.get("binarize")?;
                let binarize = if binarize.is_none() { None } else { Some(binarize.as_f64()?) };
                Likelihood::Linear { binarize, weights, base: Some(base) }
            }
            _ => {
                let attribute = item.get("feature_log_prob_")?;
                let mut columns = Vec::new();
                for column in attribute.items()? {
                    columns.push(of_features(column)?.transposed());
                }
                if columns.is_empty() {
                    return Err(inconsistent(&attribute, "no columns"));
                }
                Likelihood::Categorical { columns, base: of_classes("class_log_prior_")? }
            }
        };
        Ok(NaiveBayes { labels, likelihood })
    }
}

/// Means, and variances under the name that the release has for them.
fn gaussian(item: &Item<'_>, count: usize) -> Result<Likelihood, FrontendError> {
    let attribute = item.get("theta_")?;
    let means = Matrix::decode(&attribute)?;
    let columns = means.columns;
    let means = means.sized(&attribute, count, columns)?;
    let attribute = match item.find("var_")? {
        Some(variances) => variances,
        None => item.get("sigma_")?,
    };
    let variances = Matrix::decode(&attribute)?.sized(&attribute, count, columns)?;
    let priors = numbers(&item.get("class_prior_")?, count)?;
    let factors = variances.row_slices().map(|variances| {
        let logs = variances.iter().map(|variance| libm::log(2.0 * std::f64::consts::PI * variance));
        -0.5 * logs.sum::<f64>()
    });
    let log_factors = factors.collect();
    Ok(Likelihood::Gaussian { log_factors, log_priors: priors.into_iter().map(libm::log).collect(), means, variances })
}

impl Estimator for NaiveBayes {
    fn features(&self) -> usize {
        match &self.likelihood {
            Likelihood::Gaussian { means, .. } => means.columns,
            Likelihood::Linear { weights, .. } => weights.columns,
            Likelihood::Categorical { columns, .. } => columns.len(),
        }
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::PredictProba, Method::PredictLogProba]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let joint = self.likelihood.lower(&mut f, x)?;
        if method == Method::Predict {
            return Ok(vec![f.label_of_largest(&self.labels, joint)?]);
        }
        let total = f.log_sum_exp(joint)?;
        let logs = f.sub(joint, total)?;
        Ok(vec![if method == Method::PredictProba { f.unary(UnaryKind::Exp, logs)? } else { logs }])
    }
}

impl Likelihood {
    /// `[N, classes]`.
    fn lower(&self, f: &mut Formula<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        match self {
            Likelihood::Gaussian { means, variances, log_factors, log_priors } => {
                let distances = f.scaled_distances(x, means, variances)?;
                let halves = f.scalar(BinaryKind::Mul, distances, -0.5)?;
                let densities = f.with(BinaryKind::Add, halves, "var_", log_factors)?;
                f.with(BinaryKind::Add, densities, "class_prior_", log_priors)
            }
            Likelihood::Linear { binarize, weights, base } => {
                let x = match binarize {
                    Some(threshold) => {
                        let above = f.compare(CompareKind::Greater, x, *threshold)?;
                        f.cast(above, DType::F64)?
                    }
                    None => x,
                };
                f.product(x, "feature_log_prob_", weights, base.as_deref())
            }
            Likelihood::Categorical { columns, base } => {
                let mut joint = None;
                // Fractions are cut off. A category outside the table ends the run, as it ends scikit-learn's; so does a negative one, which
                // would count from the end, and NaN.
                let known = f.compare(CompareKind::Greater, x, -1.0)?;
                let outside = f.constant("outside", &[1], &[f64::from(u32::MAX)])?;
                let codes = f.select(known, x, outside)?;
                let codes = f.cast(codes, DType::I64)?;
                for (index, table) in columns.iter().enumerate() {
                    let table = f.matrix("feature_log_prob_", table)?;
                    let code = f.column(codes, index)?;
                    let (graph, path) = f.parts();
                    let name = format!("{path}/category");
                    let found = graph.add(&name, GatherNd { batch_dims: 0 }, &[table, code])?;
                    joint = Some(match joint {
                        Some(joint) => f.add(joint, found)?,
                        None => found,
                    });
                }
                let joint = joint.ok_or_else(|| FrontendError::malformed("feature_log_prob_", "no columns"))?;
                f.with(BinaryKind::Add, joint, "class_log_prior_", base)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::evaluate;
    use ekiben_runtime::{Shape, TensorSpec};

    #[test]
    fn an_unknown_category_ends_the_run() {
        let logs = Matrix::new(2, 2, vec![-0.1, -2.0, -2.0, -0.1]);
        let model = NaiveBayes {
            labels: Labels::Int(vec![3, 4]),
            likelihood: Likelihood::Categorical { columns: vec![logs], base: vec![0.0, 0.0] },
        };
        let mut graph = Graph::new();
        let x = graph.add_input("X", TensorSpec::new(DType::F64, Shape::new(&[1, 1], Some(0)).unwrap()));
        let labels = model.lower(&mut graph, "model", Method::Predict, &Features::of(x)).unwrap();
        graph.add_output(labels[0]);
        let asked = |x: f64| evaluate(&graph, 1, &[bytemuck::bytes_of(&x)]);
        for (x, label) in [(0.0, 3i64), (-0.0, 3), (1.9, 4)] {
            assert_eq!(asked(x).unwrap()[0].as_slice(), label.to_le_bytes(), "{x}");
        }
        for x in [2.0, -1.0, -7.0, f64::NAN, f64::INFINITY] {
            assert!(asked(x).is_err(), "{x}");
        }
    }
}
