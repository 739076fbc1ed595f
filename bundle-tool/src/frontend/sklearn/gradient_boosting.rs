//! Gradient boosting over decision trees: what an initial estimator says, and to it, tree by tree, the learning rate times what the
//! tree answers, in float64.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::UnaryKind;

use super::dummy::{Answer, Dummy};
use super::lowering::At;
use super::members::{Member, offered};
use super::tree::{self, Addend, DecisionTree, Leaves, Tree, Values};
use super::{
    Estimator, Family, Features, Labels, Method, features_in, inconsistent, unsupported, version, with_columns,
};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Gradient boosting.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.ensemble._gb.GradientBoostingClassifier", "sklearn.ensemble._gb.GradientBoostingRegressor"],
    carried: &[
        "sklearn.ensemble._gb.VerboseReporter",
        "sklearn.ensemble._gb_losses.BinomialDeviance",
        "sklearn.ensemble._gb_losses.ExponentialLoss",
        "sklearn.ensemble._gb_losses.HuberLossFunction",
        "sklearn.ensemble._gb_losses.LeastAbsoluteError",
        "sklearn.ensemble._gb_losses.LeastSquaresError",
        "sklearn.ensemble._gb_losses.MultinomialDeviance",
        "sklearn.ensemble._gb_losses.QuantileLossFunction",
    ],
    decode: |item| Ok(Box::new(GradientBoosting::decode(item)?)),
};

/// Boosted trees.
#[derive(Debug)]
pub(super) struct GradientBoosting {
    /// Columns of the input.
    pub features: usize,
    /// What sums start from.
    pub start: Start,
    /// The trees, those of one stage together: one for each score.
    pub trees: Vec<Tree>,
    /// Scores of a sample: 1, or one for each of three or more classes.
    pub scores: usize,
    /// What the trees' values are multiplied with.
    pub learning_rate: f64,
    /// What the scores stand for.
    pub answer: Scores,
}

/// What the sums of boosted trees start from.
#[derive(Debug)]
pub(super) enum Start {
    /// The same for every sample.
    Constant(Vec<f64>),
    /// What another estimator answers.
    Estimator(Member, InitialLink),
}

/// How an initial estimator's shares become scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct InitialLink {
    /// Shares are clipped to this much from 0 and 1.
    pub margin: f64,
    /// The logarithm of `p / (1 - p)` is multiplied with this; for three or more classes, logarithms are taken as they are.
    pub factor: f64,
    /// Shares of three or more classes are divided by their geometric mean first.
    pub centred: bool,
}

/// What scores stand for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scores {
    /// The predicted values.
    Values,
    /// One score `s` of the second of two classes, whose share is the logistic function of `factor * s`.
    Binary {
        /// The classes.
        labels: Labels,
        /// 1 or 2.
        factor: f64,
        /// When the second class is predicted.
        second: Second,
    },
    /// Logarithms of shares up to a constant.
    Classes(Labels),
}

/// When the second of two classes is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    /// Where its share is larger than the first one's.
    LargerShare,
    /// Where its score is not negative.
    NotNegative,
    /// Where its score is positive.
    Positive,
}

impl GradientBoosting {
    fn decode(item: &Item<'_>) -> Result<GradientBoosting, FrontendError> {
        let features = features_in(item)?;
        let stages = item.get("estimators_")?;
        let array = stages.array()?;
        let &[_, scores] = array.shape() else {
            return Err(stages.wrong("an array of two dimensions").into());
        };
        let trees = array.objects()?;
        if trees.is_empty() {
            return Err(inconsistent(&stages, "no trees"));
        }
        let mut decoded = Vec::with_capacity(trees.len());
        for item in &trees {
            let decision = DecisionTree::decode(item)?;
            let fits = decision.leaves == Leaves::Regression && decision.tree.targets() == 1;
            if !fits || decision.features != features {
                return Err(inconsistent(item, format!("not a regressor of {features} columns and one value")));
            }
            decoded.push(decision.tree);
        }
        let loss = item.get("loss")?;
        let loss = loss.as_str()?;
        let answer = if item.class()?.ends_with("Regressor") {
            Scores::Values
        } else {
            let labels = Labels::decode(&item.get("classes_")?)?;
            match loss {
                "deviance" | "log_loss" if labels.count() > 2 => Scores::Classes(labels),
                "deviance" | "log_loss" => {
                    let second = if version(item)? < (1, 4) { Second::LargerShare } else { Second::NotNegative };
                    Scores::Binary { labels, factor: 1.0, second }
                }
                "exponential" => Scores::Binary { labels, factor: 2.0, second: Second::NotNegative },
                other => return Err(unsupported(item, format!("loss={other:?}; use \"log_loss\" or \"exponential\""))),
            }
        };
        let expected = match &answer {
            Scores::Values => 1,
            Scores::Binary { labels, .. } if labels.count() == 2 => 1,
            Scores::Binary { .. } => 0,
            Scores::Classes(labels) => labels.count(),
        };
        if scores != expected {
            return Err(inconsistent(&stages, format!("{scores} trees in a stage")));
        }
        let start = decode_start(item, &answer, features)?;
        let learning_rate = item.get("learning_rate")?.as_f64()?;
        Ok(GradientBoosting { features, start, trees: decoded, scores, learning_rate, answer })
    }
}

/// What the initial estimator says.
fn decode_start(item: &Item<'_>, answer: &Scores, features: usize) -> Result<Start, FrontendError> {
    let init = item.get("init_")?;
    if init.as_str() == Ok("zero") {
        let scores = if let Scores::Classes(labels) = answer { labels.count() } else { 1 };
        return Ok(Start::Constant(vec![0.0; scores]));
    }
    let version = version(item)?;
    let margin = if version < (1, 8) { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let factor = if let Scores::Binary { factor, .. } = answer { 1.0 / factor } else { 1.0 };
    let link = InitialLink { margin, factor, centred: version >= (1, 4) };
    if init.class().is_ok_and(|class| super::dummy::FAMILY.classes.contains(&class)) {
        match (Dummy::decode(&init)?.answer, answer) {
            (Answer::Values(values), Scores::Values) if values.len() == 1 => return Ok(Start::Constant(values)),
            (Answer::Classes(outputs), _) => {
                if let [(labels, _, shares)] = outputs.as_slice()
                    && let Scores::Binary { labels: own, .. } | Scores::Classes(own) = answer
                    && labels.count() == own.count()
                {
                    return Ok(Start::Constant(link.scores(shares)));
                }
            }
            _ => {}
        }
        return Err(inconsistent(&init, "an initial estimator of other outputs"));
    }
    let member = Member::decode(&init)?;
    let method = if *answer == Scores::Values { Method::Predict } else { Method::PredictProba };
    if !member.offers(method) {
        return Err(unsupported(&init, format!("an initial estimator without {}", method.name())));
    }
    if member.estimator.features() != features {
        return Err(inconsistent(&init, "an initial estimator of other columns"));
    }
    Ok(Start::Estimator(member, link))
}

impl InitialLink {
    /// The scores of constant shares: one for two classes.
    fn scores(self, shares: &[f64]) -> Vec<f64> {
        let clip = |share: &f64| share.max(self.margin).min(1.0 - self.margin);
        if let [_, share] = shares {
            let share = clip(share);
            return vec![self.factor * self.logit(share)];
        }
        let shares: Vec<f64> = shares.iter().map(clip).collect();
        let mean = if self.centred {
            (shares.iter().map(|share| share.ln()).sum::<f64>() / shares.len() as f64).exp()
        } else {
            1.0
        };
        shares.iter().map(|share| (share / mean).ln()).collect()
    }

    /// The logarithm of `share / (1 - share)`; near one half without cancellation, as newer releases of scipy do.
    fn logit(self, share: f64) -> f64 {
        if self.centred && (0.3..=0.65).contains(&share) {
            let s = 2.0 * (share - 0.5);
            return s.ln_1p() - (-s).ln_1p();
        }
        (share / (1.0 - share)).ln()
    }

    /// [`InitialLink::scores`] of the shares `[N, classes]` of each sample.
    fn lower(self, at: &mut At<'_>, shares: TensorId) -> Result<TensorId, FrontendError> {
        let binary = at.width(shares) == 2;
        let shares = if binary { at.column(shares, 1)? } else { shares };
        let shares = at.with(BinaryKind::Max, shares, self.margin)?;
        let shares = at.with(BinaryKind::Min, shares, 1.0 - self.margin)?;
        if binary {
            let negative = at.with(BinaryKind::Sub, shares, 1.0)?;
            let rest = at.unary(UnaryKind::Neg, negative)?;
            let odds = at.binary(BinaryKind::Div, shares, rest)?;
            let scores = at.unary(UnaryKind::Log, odds)?;
            return if self.factor == 1.0 { Ok(scores) } else { at.with(BinaryKind::Mul, scores, self.factor) };
        }
        if !self.centred {
            return at.unary(UnaryKind::Log, shares);
        }
        let logarithms = at.unary(UnaryKind::Log, shares)?;
        let mean = at.add("mean", Reduce { kind: ReduceKind::Mean, axes: 1 << 1, keep: true }, &[logarithms])?;
        let mean = at.unary(UnaryKind::Exp, mean)?;
        let shares = at.binary(BinaryKind::Div, shares, mean)?;
        at.unary(UnaryKind::Log, shares)
    }
}

impl GradientBoosting {
    /// The scores `[N, scores]`.
    fn raw(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let matrix = x.matrix(graph, path)?;
        let scaled = |tree: &Tree| tree.values.iter().map(|value| self.learning_rate * value).collect::<Vec<f64>>();
        let addend = |(index, tree): (usize, &'_ Tree), targets: usize| {
            let target = u32::try_from(index % targets).unwrap_or(u32::MAX);
            (target, scaled(tree))
        };
        let (member, link) = match &self.start {
            Start::Constant(start) => {
                let trees = self.trees.iter().enumerate().map(|(index, tree)| {
                    let (target, values) = addend((index, tree), self.scores);
                    Addend { tree, columns: None, values: Values::One(target, values.into()) }
                });
                return tree::sum(graph, path, trees, self.scores, Some(start), matrix);
            }
            Start::Estimator(member, link) => (member, link),
        };
        // The initial scores and what each tree adds stand side by side, and are added up in that order. scikit-learn asks the
        // initial estimator about the samples in float32.
        let narrow = super::cast(graph, path, matrix, ekiben_runtime::DType::F32)?;
        let narrow = Features::of(narrow);
        let start = match self.answer {
            Scores::Values => {
                let start = member.answer(graph, Method::Predict, &narrow)?;
                At { graph, path }.numbers(start)?
            }
            _ => {
                let shares = member.answer(graph, Method::PredictProba, &narrow)?;
                let mut at = At { graph, path };
                let shares = at.numbers(shares)?;
                link.lower(&mut at, shares)?
            }
        };
        let start = with_columns(graph, path, start, &[1, self.scores])?;
        let targets = self.trees.len();
        let trees = self.trees.iter().enumerate().map(|(index, tree)| {
            let (target, values) = addend((index, tree), targets);
            Addend { tree, columns: None, values: Values::One(target, values.into()) }
        });
        let added = tree::sum(graph, path, trees, targets, None, matrix)?;
        let added = with_columns(graph, path, added, &[targets / self.scores, self.scores])?;
        let mut at = At { graph, path };
        let all = at.add("stages", ekiben_runtime::ops::concat::Concat { axis: 1 }, &[start, added])?;
        at.add("sum", Reduce { kind: ReduceKind::Sum, axes: 1 << 1, keep: false }, &[all])
    }
}

impl Scores {
    /// What can be asked of an estimator of such scores.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Scores::Values => offered(false, false, false),
            _ => offered(true, true, true),
        }
    }

    /// What `method` answers, given the scores `[N, scores]`.
    pub(super) fn lower(&self, at: &mut At<'_>, method: Method, scores: TensorId) -> Result<TensorId, FrontendError> {
        if method == Method::DecisionFunction || *self == Scores::Values {
            return at.as_list(scores);
        }
        if method == Method::Predict {
            return match self {
                Scores::Binary { labels, second: Second::LargerShare, .. } => {
                    let shares = self.shares(at, scores)?;
                    let index = at.largest(shares, false)?;
                    at.label(labels, index)
                }
                Scores::Binary { labels, second, .. } => {
                    let kind = match second {
                        Second::Positive => CompareKind::Greater,
                        _ => CompareKind::GreaterOrEqual,
                    };
                    let second = at.compare(kind, scores, 0.0)?;
                    at.second_where(labels, second)
                }
                Scores::Classes(labels) => {
                    let index = at.largest(scores, false)?;
                    at.label(labels, index)
                }
                Scores::Values => at.as_list(scores),
            };
        }
        let shares = self.shares(at, scores)?;
        if method == Method::PredictLogProba { at.unary(UnaryKind::Log, shares) } else { Ok(shares) }
    }

    /// The shares `[N, classes]`.
    fn shares(&self, at: &mut At<'_>, scores: TensorId) -> Result<TensorId, FrontendError> {
        match self {
            Scores::Binary { factor, .. } => {
                let scores = if *factor == 1.0 { scores } else { at.with(BinaryKind::Mul, scores, *factor)? };
                let share = at.unary(UnaryKind::Sigmoid, scores)?;
                at.pair(share)
            }
            _ => at.softmax(scores),
        }
    }
}

impl Estimator for GradientBoosting {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        self.answer.methods()
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let scores = self.raw(graph, path, x)?;
        Ok(vec![self.answer.lower(&mut At { graph, path }, method, scores)?])
    }
}
