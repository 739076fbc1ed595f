//! Bagging: the mean of what estimators answer that were trained on parts of the samples and of the columns.

use std::borrow::Cow;

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::unary::UnaryKind;

use super::isolation_forest::decode_columns;
use super::lowering::At;
use super::members::{self, Member, offered};
use super::tree::{self, Addend, Leaves, Values};
use super::{Estimator, Family, Features, Labels, Method, Need, Needs, features_in, inconsistent, labels};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Bagging.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.ensemble._bagging.BaggingClassifier",
        "sklearn.ensemble._bagging.BaggingRegressor",
        "imblearn.ensemble._bagging.BalancedBaggingClassifier",
        "imblearn.ensemble._easy_ensemble.EasyEnsembleClassifier",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Bagging::decode(item)?)),
};

/// Estimators of parts of the columns.
#[derive(Debug)]
pub(super) struct Bagging {
    /// Columns of the input.
    pub features: usize,
    /// The estimators.
    pub bags: Vec<Bag>,
    /// What sums are divided by.
    pub count: f64,
    /// The classes of a classifier.
    pub labels: Option<Labels>,
}

/// One of the estimators.
#[derive(Debug)]
pub(super) struct Bag {
    /// The estimator. A classifier's labels are numbers of classes.
    pub member: Member,
    /// The columns that it takes; `None` for all in order.
    pub columns: Option<Vec<usize>>,
    /// The numbers of the classes that it knows; `None` for all.
    pub classes: Option<Vec<usize>>,
}

impl Bagging {
    fn decode(item: &Item<'_>) -> Result<Bagging, FrontendError> {
        let features = features_in(item)?;
        let list = item.get("estimators_")?;
        let members = Member::decode_all(&list)?;
        let columns = item.get("estimators_features_")?.items()?;
        if columns.len() != members.len() {
            return Err(inconsistent(item, format!("{} estimators, {} sets of columns", members.len(), columns.len())));
        }
        let labels = match item.class()?.ends_with("Regressor") {
            true => None,
            false => Some(Labels::decode(&item.get("classes_")?)?),
        };
        let mut bags = Vec::new();
        for ((member, columns), estimator) in members.into_iter().zip(&columns).zip(list.items()?) {
            let columns = decode_columns(columns, features)?;
            let takes = member.estimator.features();
            if takes != 0 && takes != columns.len() {
                return Err(inconsistent(
                    &estimator,
                    format!("it takes {takes} columns and is given {}", columns.len()),
                ));
            }
            let all = columns.len() == features && columns.iter().enumerate().all(|(index, &column)| index == column);
            let classes = match &labels {
                Some(labels) => known_classes(&estimator, labels.count())?,
                None => None,
            };
            bags.push(Bag { member, columns: if all { None } else { Some(columns) }, classes });
        }
        let count = item.get("n_estimators")?.as_usize()? as f64;
        Ok(Bagging { features, bags, count, labels })
    }

    /// Whether every estimator can be asked `method`.
    fn all_offer(&self, method: Method) -> bool {
        self.bags.iter().all(|bag| bag.member.offers(method))
    }

    /// The sum of what the estimators' trees answer, if they all are trees and that is what is asked.
    fn of_trees(&self, graph: &mut Graph, path: &str, x: &Features) -> Option<Result<TensorId, FrontendError>> {
        let classes = self.labels.as_ref().map(Labels::count);
        let trees: Option<Vec<Addend<'_>>> = self.bags.iter().map(|bag| bag.addend(classes)).collect();
        let (trees, targets) = (trees?, classes.unwrap_or(self.bags.first()?.member.estimator.tree()?.tree.outputs));
        if trees.iter().any(|addend| classes.is_none() && addend.tree.outputs != targets) {
            return None;
        }
        let x = x.matrix(graph, path);
        Some(x.and_then(|x| tree::sum(graph, path, trees.into_iter(), targets, None, x)))
    }

    /// The mean of what `method` answers, of shares for all classes.
    fn mean(&self, graph: &mut Graph, path: &str, method: Method, x: &Features) -> Result<TensorId, FrontendError> {
        let trees = if method == Method::DecisionFunction { None } else { self.of_trees(graph, path, x) };
        let sum = match trees {
            Some(sum) => sum?,
            None => {
                let answers = self.bags.iter().map(|bag| self.answer(bag, graph, method, x));
                let answers = answers.collect::<Result<Vec<_>, _>>()?;
                At { graph, path }.sum(&answers)?
            }
        };
        At { graph, path }.with(BinaryKind::Div, sum, self.count)
    }

    /// What one estimator answers to its columns, in float64; shares for all classes.
    fn answer(&self, bag: &Bag, graph: &mut Graph, method: Method, x: &Features) -> Result<TensorId, FrontendError> {
        let path = &bag.member.path;
        let x = match &bag.columns {
            Some(columns) => &x.select(graph, path, columns)?,
            None => x,
        };
        let classes = self.labels.as_ref().map_or(0, Labels::count);
        if method == Method::PredictProba && !bag.member.offers(method) {
            let predicted = bag.member.answer(graph, Method::Predict, x)?;
            let known = Labels::Int((0..classes as i64).collect());
            let indices = labels::indices(graph, path, &known, predicted)?;
            let certain: Vec<f64> =
                (0..classes * classes).map(|at| if at / classes == at % classes { 1.0 } else { 0.0 }).collect();
            return At { graph, path }.rows_of(&certain, classes, indices);
        }
        let answer = bag.member.answer(graph, method, x)?;
        let mut at = At { graph, path };
        let answer = at.numbers(answer)?;
        let (Method::PredictProba | Method::PredictLogProba, Some(known)) = (method, &bag.classes) else {
            return Ok(answer);
        };
        if at.width(answer) != known.len() {
            return Err(FrontendError::malformed(path, "not a share for each of its classes"));
        }
        // A column of what is said of classes that it does not know stands after its own.
        let nothing = at.everywhere(answer, &[if method == Method::PredictProba { 0.0 } else { f64::NEG_INFINITY }])?;
        let answer = at.side_by_side(&[answer, nothing])?;
        let column = |class| known.iter().position(|&k| k == class).unwrap_or(known.len());
        at.take(answer, &(0..classes).map(column).collect::<Vec<_>>())
    }

    /// The logarithm of the mean of shares, by adding up in logarithms.
    fn log_shares(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let mut sum: Option<TensorId> = None;
        for bag in &self.bags {
            let logarithms = self.answer(bag, graph, Method::PredictLogProba, x)?;
            let mut at = At { graph: &mut *graph, path };
            sum = Some(match sum {
                Some(sum) => log_add_exp(&mut at, sum, logarithms)?,
                None => logarithms,
            });
        }
        let Some(sum) = sum else { return Err(FrontendError::malformed(path, "no estimators")) };
        At { graph, path }.with(BinaryKind::Sub, sum, self.count.ln())
    }
}

/// `ln(exp(a) + exp(b))` as numpy computes it.
fn log_add_exp(at: &mut At<'_>, a: TensorId, b: TensorId) -> Result<TensorId, FrontendError> {
    let equal = at.add("equal", Compare { kind: CompareKind::Equal }, &[a, b])?;
    let twice = at.with(BinaryKind::Add, a, std::f64::consts::LN_2)?;
    let larger = at.binary(BinaryKind::Max, a, b)?;
    let difference = at.binary(BinaryKind::Sub, a, b)?;
    let distance = at.unary(UnaryKind::Abs, difference)?;
    let distance = at.unary(UnaryKind::Neg, distance)?;
    let smaller = at.unary(UnaryKind::Exp, distance)?;
    let smaller = at.unary(UnaryKind::Log1p, smaller)?;
    let sum = at.binary(BinaryKind::Add, larger, smaller)?;
    at.select(equal, twice, sum)
}

/// The numbers of the classes that an estimator knows; `None` for all of the `count` there are.
fn known_classes(item: &Item<'_>, count: usize) -> Result<Option<Vec<usize>>, FrontendError> {
    let known = match members::classes(item)? {
        None => return Ok(None),
        Some(known) if known.count() == count => return Ok(None),
        Some(Labels::Int(known)) => known,
        Some(_) => return Err(inconsistent(item, "labels that are not numbers of classes")),
    };
    let numbers = known.iter().map(|&class| usize::try_from(class).ok().filter(|&class| class < count));
    let numbers: Option<Vec<usize>> = numbers.collect();
    numbers.map(Some).ok_or_else(|| inconsistent(item, format!("a class outside the {count}")))
}

impl Bag {
    /// The estimator as a tree that adds to the shares of `classes`, or to values; `None` if it is none.
    fn addend(&self, classes: Option<usize>) -> Option<Addend<'_>> {
        let decision = self.member.estimator.tree()?;
        let tree = &decision.tree;
        let values: Cow<'_, [f64]> = match (&decision.leaves, classes) {
            (Leaves::Regression, None) => tree.values.as_slice().into(),
            (Leaves::Classes(labels), Some(classes)) if labels.len() == 1 => match &self.classes {
                None if tree.width == classes => tree.values.as_slice().into(),
                Some(known) if tree.width == known.len() => {
                    let mut values = vec![0.0; tree.splits.len() * classes];
                    for (node, shares) in tree.values.chunks_exact(tree.width).enumerate() {
                        known.iter().zip(shares).for_each(|(class, share)| values[node * classes + class] = *share);
                    }
                    values.into()
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(Addend { tree, columns: self.columns.as_deref(), values: Values::All(values) })
    }
}

impl Estimator for Bagging {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        match self.labels {
            None => offered(false, false, false),
            Some(_) => offered(true, true, self.all_offer(Method::DecisionFunction)),
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let Some(labels) = &self.labels else {
            let mean = self.mean(graph, path, Method::Predict, x)?;
            return Ok(vec![At { graph, path }.as_list(mean)?]);
        };
        Ok(vec![match method {
            Method::Predict => {
                let shares = self.mean(graph, path, Method::PredictProba, x)?;
                let mut at = At { graph, path };
                let index = at.largest(shares, false)?;
                at.label(labels, index)?
            }
            Method::PredictLogProba if self.all_offer(method) => self.log_shares(graph, path, x)?,
            Method::PredictLogProba => {
                let shares = self.mean(graph, path, Method::PredictProba, x)?;
                At { graph, path }.unary(UnaryKind::Log, shares)?
            }
            method => self.mean(graph, path, method, x)?,
        }])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let mut needs = vec![Need::Nothing; self.features];
        for Bag { member, columns, .. } in &self.bags {
            let of_member = member.estimator.needs(&member.path, &Needs::Numbers)?;
            let positions: Cow<'_, [usize]> = match columns {
                Some(columns) => columns.as_slice().into(),
                None => (0..self.features).collect(),
            };
            for (index, &column) in positions.iter().enumerate() {
                let need = std::mem::replace(&mut needs[column], Need::Nothing);
                needs[column] = need.and(of_member.of(index), path)?;
            }
        }
        let is_table = needs.iter().any(|need| !matches!(need, Need::Nothing | Need::Number));
        Ok(if is_table { Needs::columns(needs) } else { Needs::Numbers })
    }
}
