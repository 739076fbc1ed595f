//! Support vector machines as libsvm evaluates them: kernels of each sample and each support vector, and their weighted sums, in the
//! order of the support vectors.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::pairwise_coupling::PairwiseCoupling;
use ekiben_runtime::ops::pairwise_distance::Metric;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, vector};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, pairs, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Support vector machines with kernels.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.svm._classes.SVC",
        "sklearn.svm._classes.NuSVC",
        "sklearn.svm._classes.SVR",
        "sklearn.svm._classes.NuSVR",
        "sklearn.svm._classes.OneClassSVM",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(SupportVectorMachine::decode(item)?)),
};

/// A kernel of two rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// `x · y`.
    Linear,
    /// `(gamma x · y + coef0)` to the power of the degree, by repeated squaring.
    Polynomial {
        /// Factor.
        gamma: f64,
        /// Added.
        coef0: f64,
        /// Power.
        degree: u32,
    },
    /// `exp(-gamma |x - y|²)`.
    Gaussian {
        /// Factor.
        gamma: f64,
    },
    /// `tanh(gamma x · y + coef0)`.
    Sigmoid {
        /// Factor.
        gamma: f64,
        /// Added.
        coef0: f64,
    },
}

impl Kernel {
    fn decode(item: &Item<'_>) -> Result<Kernel, FrontendError> {
        let gamma = || item.get("_gamma")?.as_f64();
        let coef0 = || item.get("coef0")?.as_f64();
        let attribute = item.get("kernel")?;
        Ok(match attribute.as_str() {
            Ok("linear") => Kernel::Linear,
            Ok("poly") => {
                let degree = item.get("degree")?;
                let power =
                    u32::try_from(degree.as_i64()?).map_err(|_| degree.wrong("a degree that is not negative"))?;
                Kernel::Polynomial { gamma: gamma()?, coef0: coef0()?, degree: power }
            }
            Ok("rbf") => Kernel::Gaussian { gamma: gamma()? },
            Ok("sigmoid") => Kernel::Sigmoid { gamma: gamma()?, coef0: coef0()? },
            other => {
                let other = other.unwrap_or("a function");
                let reason = format!("kernel={other:?}; use \"linear\", \"poly\", \"rbf\" or \"sigmoid\"");
                return Err(unsupported(item, reason));
            }
        })
    }

    /// The kernel of each row of `x` and each of `vectors`: `[N, vectors]`.
    fn lower(self, f: &mut Formula<'_>, x: TensorId, vectors: &Matrix) -> Result<TensorId, FrontendError> {
        let name = "support_vectors_";
        let affine = |f: &mut Formula<'_>, gamma, coef0| {
            let products = f.product(x, name, vectors, None)?;
            let scaled = f.scalar(BinaryKind::Mul, products, gamma)?;
            f.scalar(BinaryKind::Add, scaled, coef0)
        };
        match self {
            Kernel::Linear => f.product(x, name, vectors, None),
            Kernel::Polynomial { gamma, coef0, degree } => {
                let base = affine(f, gamma, coef0)?;
                power(f, base, degree)
            }
            Kernel::Gaussian { gamma } => {
                let distances = f.distances(Metric::SquaredEuclidean, 0.0, x, name, vectors)?;
                let scaled = f.scalar(BinaryKind::Mul, distances, -gamma)?;
                f.unary(UnaryKind::Exp, scaled)
            }
            Kernel::Sigmoid { gamma, coef0 } => {
                let scaled = affine(f, gamma, coef0)?;
                f.unary(UnaryKind::Tanh, scaled)
            }
        }
    }
}

/// `base` to the power of `degree`, by repeated squaring from the lowest bit on.
fn power(f: &mut Formula<'_>, base: TensorId, degree: u32) -> Result<TensorId, FrontendError> {
    let (mut square, mut result) = (base, None);
    let mut bits = degree;
    while bits > 0 {
        if bits & 1 == 1 {
            result = Some(match result {
                Some(result) => f.mul(result, square)?,
                None => square,
            });
        }
        bits >>= 1;
        if bits > 0 {
            square = f.mul(square, square)?;
        }
    }
    match result {
        Some(result) => Ok(result),
        None => {
            let nothing = f.scalar(BinaryKind::Mul, base, 0.0)?;
            f.scalar(BinaryKind::Add, nothing, 1.0)
        }
    }
}

/// A support vector machine.
#[derive(Debug, Clone, PartialEq)]
pub struct SupportVectorMachine {
    /// The kernel.
    pub kernel: Kernel,
    /// The support vectors.
    pub vectors: Matrix,
    /// A row of weights for each decision value: one for each pair of classes (0, 1), (0, 2), …, (1, 2), …; else one.
    pub weights: Matrix,
    /// One for each row.
    pub intercepts: Vec<f64>,
    /// What is made of the decision values.
    pub task: Task,
}

/// What a support vector machine is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// The decision value is the answer.
    Regression,
    /// An inlier has a decision value above 0.
    OneClass {
        /// Added for `score_samples`.
        offset: f64,
    },
    /// A decision value above 0 is a vote for the first class of its pair, any other for the second.
    Classes(Classes),
}

/// How classes are decided between.
#[derive(Debug, Clone, PartialEq)]
pub struct Classes {
    /// The labels.
    pub labels: Labels,
    /// `decision_function` has a column for each class, not for each pair.
    pub one_vs_rest: bool,
    /// The label is that of the largest column of `decision_function`, not that of most votes, the first of equals.
    pub break_ties: bool,
    /// Platt's factors and terms, for models with probabilities.
    pub platt: Option<(Vec<f64>, Vec<f64>)>,
}

impl SupportVectorMachine {
    fn decode(item: &Item<'_>) -> Result<SupportVectorMachine, FrontendError> {
        let kernel = Kernel::decode(item)?;
        let vectors = Matrix::decode(&item.get("support_vectors_")?)?;
        let dual = item.get("_dual_coef_")?;
        let weights = Matrix::decode(&dual)?;
        let rows = weights.rows;
        let weights = weights.sized(&dual, rows, vectors.rows)?;
        let intercept = item.get("_intercept_")?;
        let (task, weights) = match item.class()?.rsplit('.').next() {
            Some("SVC" | "NuSVC") => {
                let labels = Labels::decode(&item.get("classes_")?)?;
                let weights = of_pairs(item, &weights, labels.count())?;
                (Task::Classes(Classes::decode(item, labels, weights.rows)?), weights)
            }
            class => {
                let weights = weights.sized(&dual, 1, vectors.rows)?;
                let task = match class {
                    Some("OneClassSVM") => Task::OneClass { offset: offset(item)? },
                    _ => Task::Regression,
                };
                (task, weights)
            }
        };
        let intercepts = numbers(&intercept, weights.rows)?;
        Ok(SupportVectorMachine { kernel, vectors, weights, intercepts, task })
    }
}

fn offset(item: &Item<'_>) -> Result<f64, FrontendError> {
    let attribute = item.get("offset_")?;
    Ok(super::attributes::numbers_or_one(&attribute, 1)?[0])
}

/// Weights of all pairs of classes at most, and signs of the votes of all pairs.
const MOST_WEIGHTS: usize = 1 << 23;

/// A row of weights for each pair of classes. The file has classes - 1 rows, in which a support vector of class `i` has its weight
/// against class `j` in row `j - 1` or, for a lower `j`, in row `j`.
fn of_pairs(item: &Item<'_>, dual: &Matrix, classes: usize) -> Result<Matrix, FrontendError> {
    let attribute = match item.find("_n_support")? {
        Some(counts) => counts,
        None => item.get("n_support_")?,
    };
    let counts: Result<Vec<usize>, _> = attribute.array()?.i64s()?.into_iter().map(usize::try_from).collect();
    let counts = counts.map_err(|_| attribute.wrong("numbers that are not negative"))?;
    let total = counts.iter().try_fold(0usize, |sum, &count| sum.checked_add(count));
    if counts.len() != classes || total != Some(dual.columns) || classes < 2 || dual.rows != classes - 1 {
        return Err(inconsistent(item, format!("{classes} classes, {} of support vectors", counts.len())));
    }
    let pairs = classes * (classes - 1) / 2;
    // Weights are as many as pairs times support vectors, which grows with the square of the classes.
    let fits = |factor: usize| pairs.checked_mul(factor).filter(|&elements| elements <= MOST_WEIGHTS);
    let (Some(elements), Some(_)) = (fits(dual.columns), fits(classes)) else {
        return Err(unsupported(item, format!("{pairs} pairs of classes for {} support vectors", dual.columns)));
    };
    let starts: Vec<usize> =
        counts.iter().scan(0, |next, &count| Some(std::mem::replace(next, *next + count))).collect();
    let mut values = Vec::with_capacity(elements);
    for i in 0..classes {
        for j in i + 1..classes {
            let mut row = vec![0.0; dual.columns];
            for (class, against) in [(i, j - 1), (j, i)] {
                let range = starts[class]..starts[class] + counts[class];
                row[range.clone()].copy_from_slice(&dual.row(against)[range]);
            }
            values.extend(row);
        }
    }
    Ok(Matrix::new(pairs, dual.columns, values))
}

impl Classes {
    fn decode(item: &Item<'_>, labels: Labels, pairs: usize) -> Result<Classes, FrontendError> {
        let named = |new: &str, old: &str| match item.find(new)? {
            Some(found) => Ok::<_, FrontendError>(Some(found)),
            None => Ok(item.find(old)?),
        };
        let probability = item.get("probability")?;
        let platt = match (named("_probA", "probA_")?, named("_probB", "probB_")?) {
            (Some(factors), Some(terms)) if probability.as_bool() == Ok(true) => {
                let (factors, terms) = (vector(&factors)?, vector(&terms)?);
                if factors.len() != pairs || terms.len() != pairs || u16::try_from(labels.count()).is_err() {
                    return Err(inconsistent(item, format!("probabilities of {} pairs", factors.len())));
                }
                Some((factors, terms))
            }
            _ => None,
        };
        let shape = item.get("decision_function_shape")?;
        let one_vs_rest = match shape.as_str()? {
            "ovr" => labels.count() > 2,
            "ovo" => false,
            _ => return Err(shape.wrong("\"ovr\" or \"ovo\"").into()),
        };
        let break_ties = match item.find("break_ties")? {
            Some(breaks) => breaks.as_bool()?,
            None => false,
        };
        Ok(Classes { labels, one_vs_rest, break_ties: break_ties && one_vs_rest, platt })
    }

    /// What `method` gives for the decision values `[N, pairs]`.
    fn lower(&self, f: &mut Formula<'_>, method: Method, values: TensorId) -> Result<TensorId, FrontendError> {
        let is_binary = self.labels.count() == 2;
        match method {
            Method::PredictProba | Method::PredictLogProba => {
                let shares = self.shares(f, values)?;
                if method == Method::PredictProba { Ok(shares) } else { f.unary(UnaryKind::Log, shares) }
            }
            Method::DecisionFunction if is_binary => {
                let negated = f.unary(UnaryKind::Neg, values)?;
                f.flat(negated)
            }
            Method::DecisionFunction if self.one_vs_rest => self.one_vs_rest(f, values),
            Method::DecisionFunction => Ok(values),
            _ if self.break_ties => {
                let scores = self.one_vs_rest(f, values)?;
                f.label_of_largest(&self.labels, scores)
            }
            _ => {
                let first = f.compare(CompareKind::Greater, values, 0.0)?;
                let votes = pairs::votes(f, self.labels.count(), first)?;
                f.label_of_largest(&self.labels, votes)
            }
        }
    }

    /// Votes and clearness: a column for each class.
    fn one_vs_rest(&self, f: &mut Formula<'_>, values: TensorId) -> Result<TensorId, FrontendError> {
        // A value of exactly 0 votes for the first class here, though not in `predict`.
        let first = f.compare(CompareKind::GreaterOrEqual, values, 0.0)?;
        pairs::one_vs_rest(f, self.labels.count(), first, values)
    }

    /// Probabilities of the classes: Platt's for each pair, coupled.
    fn shares(&self, f: &mut Formula<'_>, values: TensorId) -> Result<TensorId, FrontendError> {
        const LEAST: f64 = 1e-7;
        let (Some((factors, terms)), Ok(classes)) = (&self.platt, u16::try_from(self.labels.count())) else {
            return Err(FrontendError::malformed("probability", "a model without probabilities"));
        };
        let scaled = f.with(BinaryKind::Mul, values, "probA_", factors)?;
        let shifted = f.with(BinaryKind::Add, scaled, "probB_", terms)?;
        let negated = f.unary(UnaryKind::Neg, shifted)?;
        let pairs = f.unary(UnaryKind::Sigmoid, negated)?;
        let pairs = f.clip(pairs, LEAST, 1.0 - LEAST)?;
        let (graph, path) = f.parts();
        Ok(graph.add(&format!("{path}/coupling"), PairwiseCoupling { classes }, &[pairs])?)
    }
}

impl Estimator for SupportVectorMachine {
    fn features(&self) -> usize {
        self.vectors.columns
    }

    fn methods(&self) -> &'static [Method] {
        match &self.task {
            Task::Regression => &[Method::Predict],
            Task::OneClass { .. } => &[Method::Predict, Method::DecisionFunction, Method::ScoreSamples],
            Task::Classes(Classes { platt: None, .. }) => &[Method::Predict, Method::DecisionFunction],
            Task::Classes(_) => {
                &[Method::Predict, Method::PredictProba, Method::PredictLogProba, Method::DecisionFunction]
            }
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
        let kernels = self.kernel.lower(&mut f, x, &self.vectors)?;
        let values = f.product(kernels, "_dual_coef_", &self.weights, Some(&self.intercepts))?;
        Ok(vec![match &self.task {
            Task::Classes(classes) => classes.lower(&mut f, method, values)?,
            Task::Regression => f.flat(values)?,
            Task::OneClass { offset } => match method {
                Method::ScoreSamples => {
                    let scores = f.scalar(BinaryKind::Add, values, *offset)?;
                    f.flat(scores)?
                }
                Method::DecisionFunction => f.flat(values)?,
                _ => {
                    let inside = f.compare(CompareKind::Greater, values, 0.0)?;
                    let signs = f.choose(inside, 1.0, -1.0)?;
                    let signs = f.flat(signs)?;
                    f.cast(signs, DType::I64)?
                }
            },
        }])
    }
}
