//! Classifiers of several classes made of classifiers of two: one against the rest, one against one, and by codes.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::lowering::At;
use super::members::{self, Member, offered};
use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Classifiers made of classifiers of two classes.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.multiclass.OneVsRestClassifier",
        "sklearn.multiclass.OneVsOneClassifier",
        "sklearn.multiclass.OutputCodeClassifier",
    ],
    carried: &["sklearn.preprocessing._label.LabelBinarizer"],
    decode: |item| Ok(Box::new(OneVs::decode(item)?)),
};

/// A classifier made of several.
#[derive(Debug)]
pub(super) struct OneVs {
    /// Columns of the input.
    pub features: usize,
    /// The classifiers of the classes 0 and 1, or regressors.
    pub members: Vec<Member>,
    /// How they answer together.
    pub scheme: Scheme,
}

/// How classifiers of two classes answer together.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scheme {
    /// Each tells one class from all others; the class with the largest score wins.
    Rest {
        /// The classes.
        labels: Labels,
        /// Of equal scores the last one wins, as it does until scikit-learn 1.7.
        last_wins: bool,
        /// Shares that are all 0 stay 0; until scikit-learn 1.6, they become NaN.
        zeros_stay: bool,
    },
    /// One classifier for two classes.
    Binary(Labels),
    /// Each says of one label whether a sample has it.
    Many,
    /// One classifier for each pair of classes.
    One {
        /// The classes.
        labels: Labels,
        /// Of two classes, the second one wins where the score is larger.
        threshold: f64,
    },
    /// The class wins whose code, a row of the book, is nearest to the scores.
    Code {
        /// The classes.
        labels: Labels,
        /// A row for each class.
        book: Vec<f64>,
    },
}

impl OneVs {
    fn decode(item: &Item<'_>) -> Result<OneVs, FrontendError> {
        let members = Member::decode_all(&item.get("estimators_")?)?;
        let features = members::features(item, &members)?;
        let scheme = match item.class()? {
            class if class.ends_with("OneVsRestClassifier") => decode_rest(item, members.len())?,
            class if class.ends_with("OneVsOneClassifier") => decode_one(item, &members)?,
            _ => {
                let labels = Labels::decode(&item.get("classes_")?)?;
                let book_item = item.get("code_book_")?;
                let array = book_item.array()?;
                if array.shape() != [labels.count(), members.len()] {
                    return Err(inconsistent(&book_item, format!("a book of codes of shape {:?}", array.shape())));
                }
                Scheme::Code { labels, book: array.f64s()? }
            }
        };
        Ok(OneVs { features, members, scheme })
    }
}

fn decode_rest(item: &Item<'_>, count: usize) -> Result<Scheme, FrontendError> {
    let binarizer = item.get("label_binarizer_")?;
    let kind = binarizer.get("y_type_")?;
    let kind = kind.as_str()?;
    if kind.starts_with("multilabel") {
        if binarizer.find("sparse_input_")?.is_some_and(|sparse| sparse.as_bool() == Ok(true)) {
            return Err(unsupported(item, "labels in a sparse matrix; train it with a dense one"));
        }
        return Ok(Scheme::Many);
    }
    let labels = Labels::decode(&binarizer.get("classes_")?)?;
    let (expected, scheme) = match kind {
        "binary" => (1, Scheme::Binary(labels.clone())),
        _ => {
            let version = version(item)?;
            let (last_wins, zeros_stay) = (version < (1, 8), version >= (1, 7));
            (labels.count(), Scheme::Rest { labels: labels.clone(), last_wins, zeros_stay })
        }
    };
    if count != expected || (expected == 1 && labels.count() != 2) {
        return Err(inconsistent(item, format!("{count} estimators for {} classes", labels.count())));
    }
    Ok(scheme)
}

fn decode_one(item: &Item<'_>, members: &[Member]) -> Result<Scheme, FrontendError> {
    if item.find("pairwise_indices_")?.is_some_and(|indices| !indices.is_none()) {
        return Err(unsupported(
            item,
            "estimators of precomputed kernels; use a kernel that is computed from the features",
        ));
    }
    let labels = Labels::decode(&item.get("classes_")?)?;
    let count = labels.count();
    // So many classes have more pairs than there could be estimators.
    if !(2..=1 << 16).contains(&count) || members.len() != count * (count - 1) / 2 {
        return Err(inconsistent(item, format!("{} estimators for {count} classes", members.len())));
    }
    let threshold = if version(item)? < (1, 1) { 0.0 } else { threshold(&members[0]) };
    Ok(Scheme::One { labels, threshold })
}

/// What a score of the second class has to be larger than.
fn threshold(member: &Member) -> f64 {
    if member.offers(Method::DecisionFunction) { 0.0 } else { 0.5 }
}

/// The score `[N, 1]` of the second of the two classes that `member` knows.
fn score(member: &Member, graph: &mut Graph, x: &Features) -> Result<TensorId, FrontendError> {
    let known = [Method::DecisionFunction, Method::PredictProba, Method::Predict];
    let method = known.into_iter().find(|&method| member.offers(method)).unwrap_or(Method::Predict);
    let answer = member.answer(graph, method, x)?;
    let mut at = At { graph, path: &member.path };
    let answer = at.numbers(answer)?;
    if method == Method::PredictProba { at.column(answer, 1) } else { at.as_matrix(answer) }
}

impl OneVs {
    /// The scores of all estimators side by side.
    fn scores(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let scores = self.members.iter().map(|member| score(member, &mut *graph, x));
        let scores = scores.collect::<Result<Vec<_>, _>>()?;
        At { graph, path }.side_by_side(&scores)
    }

    /// What `method` answers of the second class, of all estimators side by side.
    fn answers(&self, graph: &mut Graph, path: &str, method: Method, x: &Features) -> Result<TensorId, FrontendError> {
        let mut answers = Vec::new();
        for member in &self.members {
            let answer = member.answer(graph, method, x)?;
            let mut at = At { graph: &mut *graph, path: &member.path };
            let answer = at.numbers(answer)?;
            answers.push(if method == Method::PredictProba { at.column(answer, 1)? } else { answer });
        }
        At { graph, path }.side_by_side(&answers)
    }

    /// Shares of the classes, for one against the rest.
    fn shares(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let shares = self.answers(graph, path, Method::PredictProba, x)?;
        let mut at = At { graph, path };
        match self.scheme {
            Scheme::Many if self.members.len() > 1 => Ok(shares),
            Scheme::Many => at.pair(shares),
            Scheme::Binary(_) => {
                let shares = at.pair(shares)?;
                let sum = at.sum_of_rows(shares)?;
                at.binary(BinaryKind::Div, shares, sum)
            }
            Scheme::Rest { zeros_stay, .. } => {
                let sum = at.sum_of_rows(shares)?;
                let parts = at.binary(BinaryKind::Div, shares, sum)?;
                if !zeros_stay {
                    return Ok(parts);
                }
                let something = at.compare(CompareKind::NotEqual, sum, 0.0)?;
                at.select(something, parts, shares)
            }
            _ => Err(FrontendError::malformed(path, "it has no shares")),
        }
    }

    /// Votes for each class, and between -1/3 and 1/3 what the scores say: `[N, classes]`.
    fn votes(&self, graph: &mut Graph, path: &str, classes: usize, x: &Features) -> Result<TensorId, FrontendError> {
        let mut votes: Vec<Vec<TensorId>> = vec![Vec::new(); classes];
        let mut confidences: Vec<Option<TensorId>> = vec![None; classes];
        let pairs = (0..classes).flat_map(|first| (first + 1..classes).map(move |second| (first, second)));
        for (member, (first, second)) in self.members.iter().zip(pairs) {
            let predicted = member.answer(graph, Method::Predict, x)?;
            let score = score(member, graph, x)?;
            let mut at = At { graph: &mut *graph, path: &member.path };
            let predicted = at.numbers(predicted)?;
            let predicted = at.as_matrix(predicted)?;
            for (class, label, kind) in [(first, 0.0, BinaryKind::Sub), (second, 1.0, BinaryKind::Add)] {
                let vote = at.compare(CompareKind::Equal, predicted, label)?;
                votes[class].push(at.cast(vote, DType::F64)?);
                confidences[class] = Some(match (confidences[class], kind) {
                    (Some(sum), kind) => at.binary(kind, sum, score)?,
                    (None, BinaryKind::Sub) => at.unary(UnaryKind::Neg, score)?,
                    (None, _) => score,
                });
            }
        }
        let mut at = At { graph, path };
        let votes = votes.iter().map(|votes| at.sum(votes)).collect::<Result<Vec<_>, _>>()?;
        let votes = at.side_by_side(&votes)?;
        let confidences = at.side_by_side(&confidences.into_iter().flatten().collect::<Vec<_>>())?;
        let size = at.unary(UnaryKind::Abs, confidences)?;
        let size = at.with(BinaryKind::Add, size, 1.0)?;
        let size = at.with(BinaryKind::Mul, size, 3.0)?;
        let within = at.binary(BinaryKind::Div, confidences, size)?;
        at.binary(BinaryKind::Add, votes, within)
    }

    fn predict(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        match &self.scheme {
            Scheme::Rest { labels, last_wins, .. } => {
                let scores = self.scores(graph, path, x)?;
                let mut at = At { graph, path };
                let index = at.largest(scores, *last_wins)?;
                at.label(labels, index)
            }
            Scheme::Binary(labels) => {
                let score = self.scores(graph, path, x)?;
                let mut at = At { graph, path };
                let second = at.compare(CompareKind::Greater, score, threshold(&self.members[0]))?;
                at.second_where(labels, second)
            }
            Scheme::Many => {
                let scores = self.scores(graph, path, x)?;
                let mut at = At { graph, path };
                let has = at.compare(CompareKind::Greater, scores, threshold(&self.members[0]))?;
                at.cast(has, DType::I64)
            }
            Scheme::One { labels, threshold } => {
                let votes = self.votes(graph, path, labels.count(), x)?;
                let mut at = At { graph, path };
                if labels.count() == 2 {
                    let second = at.column(votes, 1)?;
                    let second = at.compare(CompareKind::Greater, second, *threshold)?;
                    return at.second_where(labels, second);
                }
                let index = at.largest(votes, false)?;
                at.label(labels, index)
            }
            Scheme::Code { labels, book } => {
                let scores = self.scores(graph, path, x)?;
                let mut at = At { graph, path };
                // The square of the distance without that of the scores: |code|^2 - 2 * scores * code.
                let doubled: Vec<f64> = book.iter().map(|value| -2.0 * value).collect();
                let products = at.products(scores, &doubled, labels.count())?;
                let squares: Vec<f64> =
                    book.chunks_exact(self.members.len()).map(|code| code.iter().map(|v| v * v).sum()).collect();
                let squares = at.row(&squares)?;
                let distances = at.binary(BinaryKind::Add, products, squares)?;
                let distances = at.unary(UnaryKind::Neg, distances)?;
                let index = at.largest(distances, false)?;
                at.label(labels, index)
            }
        }
    }
}

impl Estimator for OneVs {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        let all = |method| self.members.iter().all(|member| member.offers(method));
        match self.scheme {
            Scheme::One { .. } => offered(false, false, true),
            Scheme::Code { .. } => offered(false, false, false),
            _ => offered(all(Method::PredictProba), false, all(Method::DecisionFunction)),
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        Ok(vec![match (method, &self.scheme) {
            (Method::PredictProba, _) => self.shares(graph, path, x)?,
            (Method::DecisionFunction, Scheme::One { labels, .. }) => {
                let votes = self.votes(graph, path, labels.count(), x)?;
                let mut at = At { graph, path };
                if labels.count() == 2 {
                    let second = at.column(votes, 1)?;
                    return Ok(vec![at.as_list(second)?]);
                }
                votes
            }
            (Method::DecisionFunction, _) => {
                let scores = self.answers(graph, path, method, x)?;
                At { graph, path }.as_list(scores)?
            }
            _ => self.predict(graph, path, x)?,
        }])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        members::needs(&self.members, path)
    }
}
