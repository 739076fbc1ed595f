//! Selections of columns: which ones is worked out from scores, as `get_support` does.

use super::features::take;
use super::importance::{self, importances};
use super::{Estimator, Family, Features, Method, Need, Needs, decode, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Selectors by scores of single columns.
pub(super) const UNIVARIATE: Family = Family {
    classes: &[
        "sklearn.feature_selection._univariate_selection.SelectKBest",
        "sklearn.feature_selection._univariate_selection.SelectPercentile",
        "sklearn.feature_selection._univariate_selection.SelectFpr",
        "sklearn.feature_selection._univariate_selection.SelectFdr",
        "sklearn.feature_selection._univariate_selection.SelectFwe",
        "sklearn.feature_selection._univariate_selection.GenericUnivariateSelect",
    ],
    // What the scores were made by.
    carried: &[
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.r_regression",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
    ],
    decode: |item| Ok(Box::new(Selection::decode_univariate(item)?)),
};

/// `VarianceThreshold`.
pub(super) const VARIANCE: Family = Family {
    classes: &["sklearn.feature_selection._variance_threshold.VarianceThreshold"],
    carried: &[],
    decode: |item| {
        let threshold = item.get("threshold")?.as_f64()?;
        let variances = vector(&item.get("variances_")?)?;
        Ok(Box::new(Selection::of(item, variances.iter().map(|&variance| variance > threshold))?))
    },
};

/// `SequentialFeatureSelector`.
pub(super) const SEQUENTIAL: Family = Family {
    classes: &["sklearn.feature_selection._sequential.SequentialFeatureSelector"],
    carried: &[],
    decode: |item| Ok(Box::new(Selection::decode_support(item)?)),
};

/// `SelectFromModel`.
pub(super) const FROM_MODEL: Family = Family {
    classes: &["sklearn.feature_selection._from_model.SelectFromModel"],
    carried: &[],
    decode: |item| Ok(Box::new(Selection::decode_from_model(item)?)),
};

/// `RFE` and `RFECV`, whose estimator answers too.
pub(super) const ELIMINATION: Family = Family {
    classes: &["sklearn.feature_selection._rfe.RFE", "sklearn.feature_selection._rfe.RFECV"],
    carried: &[],
    decode: |item| Ok(Box::new(Elimination::decode(item)?)),
};

/// Numbers in an array of one dimension.
fn vector(item: &Item<'_>) -> Result<Vec<f64>, FrontendError> {
    let array = item.array()?;
    match array.shape() {
        [_] => Ok(array.f64s()?),
        _ => Err(item.wrong("an array of one dimension").into()),
    }
}

/// Some of the columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Columns of the input.
    pub features: usize,
    /// Those that are kept, one at least.
    pub kept: Vec<usize>,
}

impl Selection {
    fn of(item: &Item<'_>, mask: impl Iterator<Item = bool>) -> Result<Selection, FrontendError> {
        let mask: Vec<bool> = mask.collect();
        let kept: Vec<usize> = (0..mask.len()).filter(|&column| mask[column]).collect();
        if kept.is_empty() {
            return Err(unsupported(item, "no column is selected; select one at least"));
        }
        Ok(Selection { features: mask.len(), kept })
    }

    /// Selectors that store their mask.
    fn decode_support(item: &Item<'_>) -> Result<Selection, FrontendError> {
        let support = item.get("support_")?;
        let array = support.array()?;
        if array.shape().len() != 1 {
            return Err(support.wrong("a list of booleans").into());
        }
        Selection::of(item, array.bools()?.into_iter())
    }

    fn decode_univariate(item: &Item<'_>) -> Result<Selection, FrontendError> {
        let class = item.class()?;
        let mode = match class.rsplit('.').next() {
            Some("SelectKBest") => "k_best",
            Some("SelectPercentile") => "percentile",
            Some("SelectFpr") => "fpr",
            Some("SelectFdr") => "fdr",
            Some("SelectFwe") => "fwe",
            _ => item.get("mode")?.as_str()?,
        };
        let own = match mode {
            "k_best" => "k",
            "percentile" => "percentile",
            _ => "alpha",
        };
        let parameter = if class.ends_with("GenericUnivariateSelect") { item.get("param")? } else { item.get(own)? };
        let scores = || -> Result<Vec<f64>, FrontendError> {
            let scores = vector(&item.get("scores_")?)?;
            Ok(scores.into_iter().map(|score| if score.is_nan() { f64::MIN } else { score }).collect())
        };
        let shares = || vector(&item.get("pvalues_")?);
        let mask: Vec<bool> = match mode {
            "k_best" if parameter.as_str() == Ok("all") => vec![true; scores()?.len()],
            "k_best" => best(&scores()?, parameter.as_usize()?),
            "percentile" => upper_percentile(&scores()?, parameter.as_f64()?),
            "fpr" | "fdr" | "fwe" => {
                let (alpha, shares) = (parameter.as_f64()?, shares()?);
                let limit = match mode {
                    "fpr" => Limit::Below(alpha),
                    "fwe" => Limit::Below(alpha / shares.len() as f64),
                    _ => false_discovery(&shares, alpha),
                };
                shares.into_iter().map(|share| limit.admits(share)).collect()
            }
            _ => return Err(unsupported(item, format!("mode {mode:?} is not read"))),
        };
        Selection::of(item, mask.into_iter())
    }

    fn decode_from_model(item: &Item<'_>) -> Result<Selection, FrontendError> {
        let estimator = match item.find("estimator_")? {
            Some(estimator) => estimator,
            None => item.get("estimator")?,
        };
        let scores = importances(item, &estimator)?;
        let threshold = importance::threshold(item, &estimator, &scores)?;
        let most = match item.find("max_features_")? {
            Some(most) => most,
            None => item.get("max_features")?,
        };
        let mut mask = vec![true; scores.len()];
        if !most.is_none() {
            let most = most.as_usize()?;
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| numpy_order(-scores[a], -scores[b]));
            order.iter().skip(most).for_each(|&column| mask[column] = false);
        }
        let mask = mask
            .into_iter()
            .zip(&scores)
            .map(|(kept, &score)| kept && (score >= threshold || score.is_nan() || threshold.is_nan()));
        Selection::of(item, mask)
    }
}

/// The order that numpy sorts by: NaN comes last.
fn numpy_order(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The `count` largest scores, of equals the last ones.
fn best(scores: &[f64], count: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| numpy_order(scores[a], scores[b]));
    let mut mask = vec![false; scores.len()];
    order.iter().rev().take(count).for_each(|&column| mask[column] = true);
    mask
}

/// Scores above the percentile `100 - share`, and so many of those equal to it as make up the share, the first ones.
fn upper_percentile(scores: &[f64], share: f64) -> Vec<bool> {
    if share == 100.0 || share == 0.0 || scores.is_empty() {
        return vec![share == 100.0; scores.len()];
    }
    let mut sorted = scores.to_vec();
    sorted.sort_by(|&a, &b| numpy_order(a, b));
    let place = (sorted.len() - 1) as f64 * ((100.0 - share) / 100.0).clamp(0.0, 1.0);
    let (below, part) = (place.floor() as usize, place - place.floor());
    let (a, b) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    let threshold = if part >= 0.5 { b - (b - a) * (1.0 - part) } else { a + (b - a) * part };
    let mut mask: Vec<bool> = scores.iter().map(|&score| score > threshold).collect();
    let above = mask.iter().filter(|&&kept| kept).count();
    let most = (scores.len() as f64 * share / 100.0) as usize;
    let ties: Vec<usize> = (0..scores.len()).filter(|&column| scores[column] == threshold).collect();
    // A negative length counts from the end in Python.
    let taken = if most >= above { most - above } else { ties.len().saturating_sub(above - most) };
    ties.iter().take(taken).for_each(|&column| mask[column] = true);
    mask
}

/// Which shares are small enough.
enum Limit {
    Below(f64),
    UpTo(f64),
}

impl Limit {
    fn admits(&self, share: f64) -> bool {
        match *self {
            Limit::Below(limit) => share < limit,
            Limit::UpTo(limit) => share <= limit,
        }
    }
}

/// Benjamini and Hochberg's procedure.
fn false_discovery(shares: &[f64], alpha: f64) -> Limit {
    let mut sorted = shares.to_vec();
    sorted.sort_by(|&a, &b| numpy_order(a, b));
    let count = sorted.len() as f64;
    let passing = sorted.iter().enumerate().filter(|(rank, share)| **share <= alpha / count * (*rank as f64 + 1.0));
    match passing.map(|(_, share)| *share).reduce(f64::max) {
        Some(largest) => Limit::UpTo(largest),
        None => Limit::Below(f64::NEG_INFINITY),
    }
}

impl Estimator for Selection {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.kept.len())
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        Ok(vec![take(graph, path, x, &self.kept)?])
    }

    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        x.select(graph, path, &self.kept)
    }

    fn needs(&self, _path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        if *after == Needs::Numbers {
            return Ok(Needs::Numbers);
        }
        let mut needs = vec![Need::Nothing; self.features];
        for (index, &column) in self.kept.iter().enumerate() {
            if let Some(need) = needs.get_mut(column) {
                *need = after.of(index);
            }
        }
        Ok(Needs::columns(needs))
    }
}

/// A selection, and an estimator of what it keeps.
#[derive(Debug)]
pub struct Elimination {
    /// The columns.
    pub selection: Selection,
    /// Where in the file the estimator is.
    pub path: String,
    /// The estimator.
    pub estimator: Box<dyn Estimator>,
}

impl Elimination {
    fn decode(item: &Item<'_>) -> Result<Elimination, FrontendError> {
        let inner = item.get("estimator_")?;
        let (selection, estimator) = (Selection::decode_support(item)?, decode(&inner)?);
        let (kept, taken) = (selection.kept.len(), estimator.features());
        if kept != taken {
            return Err(inconsistent(item, format!("{kept} columns are kept, the estimator takes {taken}")));
        }
        Ok(Elimination { selection, path: inner.path(), estimator })
    }
}

impl Estimator for Elimination {
    fn features(&self) -> usize {
        self.selection.features
    }

    fn methods(&self) -> &'static [Method] {
        use Method::{DecisionFunction, Predict, PredictLogProba, PredictProba, Transform};
        let has = |method| self.estimator.methods().contains(&method);
        match (has(Predict), has(PredictProba) && has(PredictLogProba), has(DecisionFunction)) {
            (false, _, _) => &[Transform],
            (true, false, false) => &[Predict, Transform],
            (true, false, true) => &[Predict, DecisionFunction, Transform],
            (true, true, false) => &[Predict, PredictProba, PredictLogProba, Transform],
            (true, true, true) => &[Predict, PredictProba, PredictLogProba, DecisionFunction, Transform],
        }
    }

    fn transformed(&self) -> Option<usize> {
        self.selection.transformed()
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        if method == Method::Transform {
            return self.selection.lower(graph, path, method, x);
        }
        let x = self.selection.transform(graph, path, x)?;
        self.estimator.lower(graph, &self.path, method, &x)
    }

    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        self.selection.transform(graph, path, x)
    }

    fn needs(&self, path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        let own = self.selection.needs(path, &self.estimator.needs(&self.path, &Needs::Numbers)?)?;
        match after {
            Needs::Numbers => Ok(own),
            after => own.and(self.selection.needs(path, after)?, path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let scores = [3.0, 1.0, 3.0, f64::MIN, 3.0];
        assert_eq!(best(&scores, 2), [false, false, true, false, true]);
        assert_eq!(best(&scores, 9), [true; 5]);
        assert_eq!(upper_percentile(&scores, 40.0), [true, false, true, false, false]);
        assert_eq!(upper_percentile(&scores, 100.0), [true; 5]);
        assert_eq!(upper_percentile(&[], 50.0), [false; 0]);
        let limit = false_discovery(&[0.02, 0.5, 0.001, f64::NAN], 0.05);
        assert_eq!([0.001, 0.02, 0.03].map(|share| limit.admits(share)), [true, true, false]);
        assert!(!false_discovery(&[0.9, 0.8], 0.05).admits(0.0));
    }
}
