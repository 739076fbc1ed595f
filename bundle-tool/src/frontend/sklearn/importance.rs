//! Importances of columns for an estimator, and the threshold that selections are made by.

use super::lowering::numpy_sum;
use super::{unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;

/// Where the importances are to be found that are not read.
const UNREAD: &str = "its importances are not read; those of trees, forests, gradient boosting, AdaBoost and estimators with a coef_ array are";

/// The importance of each column for `estimator`, as the selector `item` takes it.
pub(super) fn importances(item: &Item<'_>, estimator: &Item<'_>) -> Result<Vec<f64>, FrontendError> {
    if let Some(getter) = item.find("importance_getter")? {
        let name = getter.as_str().unwrap_or_default();
        if !matches!(name, "auto" | "coef_" | "feature_importances_") {
            return Err(unsupported(&getter, "an importance_getter other than auto, coef_ and feature_importances_"));
        }
    }
    if let Some(coefficients) = estimator.find("coef_")? {
        if !coefficients.is_array() {
            return Err(unsupported(&coefficients, "coefficients that are not an array; call densify()"));
        }
        let array = coefficients.array()?;
        let values = array.f64s()?;
        return match *array.shape() {
            [_] => Ok(values.into_iter().map(f64::abs).collect()),
            [_, columns] => Ok(norms(&values, columns, item.get("norm_order")?.as_f64()?)),
            _ => Err(coefficients.wrong("an array of one dimension or two").into()),
        };
    }
    of_trees(estimator)
}

/// The norm of each column of a matrix.
fn norms(values: &[f64], columns: usize, order: f64) -> Vec<f64> {
    let column = |column: usize| values.iter().skip(column).step_by(columns).map(|x| x.abs());
    let norm = |at: usize| {
        let sizes = column(at);
        match order {
            1.0 => sizes.fold(0.0, |sum, x| sum + x),
            2.0 => sizes.fold(0.0, |sum, x| sum + x * x).sqrt(),
            f64::INFINITY => sizes.fold(0.0, f64::max),
            f64::NEG_INFINITY => sizes.fold(f64::INFINITY, f64::min),
            order => sizes.fold(0.0, |sum, x| sum + x.powf(order)).powf(1.0 / order),
        }
    };
    (0..columns).map(norm).collect()
}

/// `feature_importances_` of trees and their ensembles.
fn of_trees(estimator: &Item<'_>) -> Result<Vec<f64>, FrontendError> {
    let Ok(class) = estimator.class() else {
        return Err(unsupported(estimator, UNREAD));
    };
    let name = class.rsplit('.').next().unwrap_or_default();
    match name {
        "DecisionTreeClassifier" | "DecisionTreeRegressor" | "ExtraTreeClassifier" | "ExtraTreeRegressor" => {
            Ok(of_tree(estimator, true)?.0)
        }
        "RandomForestClassifier"
        | "RandomForestRegressor"
        | "ExtraTreesClassifier"
        | "ExtraTreesRegressor"
        | "GradientBoostingClassifier"
        | "GradientBoostingRegressor" => {
            let is_forest = !name.starts_with("Gradient");
            let mut sums: Vec<f64> = Vec::new();
            let mut count = 0;
            for tree in estimator.get("estimators_")?.items()? {
                let (importances, nodes) = of_tree(&tree, is_forest)?;
                if nodes > 1 {
                    count += 1;
                }
                if sums.is_empty() {
                    sums = vec![0.0; importances.len()];
                }
                // A tree of one node adds zeros.
                sums.iter_mut().zip(importances).for_each(|(sum, importance)| *sum += importance);
            }
            if count == 0 {
                return Ok(sums);
            }
            sums.iter_mut().for_each(|sum| *sum /= f64::from(count));
            let total = numpy_sum(&sums);
            Ok(sums.into_iter().map(|mean| mean / total).collect())
        }
        "AdaBoostClassifier" | "AdaBoostRegressor" => {
            let weights = estimator.get("estimator_weights_")?.array()?.f64s()?;
            let total = numpy_sum(&weights);
            let mut sums: Vec<f64> = Vec::new();
            for (inner, weight) in estimator.get("estimators_")?.items()?.iter().zip(&weights) {
                let importances = of_tree(inner, true)?.0;
                if sums.is_empty() {
                    sums = vec![0.0; importances.len()];
                }
                sums.iter_mut().zip(importances).for_each(|(sum, importance)| *sum += weight * importance);
            }
            Ok(sums.into_iter().map(|sum| sum / total).collect())
        }
        _ => Err(unsupported(estimator, UNREAD)),
    }
}

/// How much the splits of each column decrease the impurity, as shares of the sum for `normalized`; and the tree's number of nodes.
fn of_tree(estimator: &Item<'_>, normalized: bool) -> Result<(Vec<f64>, usize), FrontendError> {
    let Some(tree) = estimator.find("tree_")? else {
        return Err(unsupported(estimator, UNREAD));
    };
    let features = match estimator.find("n_features_in_")? {
        Some(features) => features.as_usize()?,
        None => estimator.get("n_features_")?.as_usize()?,
    };
    let item = tree.get("nodes")?;
    let nodes = item.array()?;
    let left = nodes.field("left_child")?.i64s()?;
    let right = nodes.field("right_child")?.i64s()?;
    let feature = nodes.field("feature")?.i64s()?;
    let impurity = nodes.field("impurity")?.f64s()?;
    let weight = nodes.field("weighted_n_node_samples")?.f64s()?;
    /// Columns at most.
    const MOST_FEATURES: usize = 1 << 20;
    if features > MOST_FEATURES {
        return Err(item.wrong("a tree of fewer columns").into());
    }
    let mut importances = vec![0.0; features];
    let share = |node: i64| {
        let node = usize::try_from(node).ok()?;
        Some(weight.get(node)? * impurity.get(node)?)
    };
    for node in (0..left.len()).filter(|&node| left[node] != -1) {
        let shares = (share(node as i64), share(left[node]), share(right[node]));
        let column = usize::try_from(feature[node]).ok().and_then(|column| importances.get_mut(column));
        let ((Some(own), Some(left), Some(right)), Some(slot)) = (shares, column) else {
            return Err(item.wrong("nodes whose children and columns are there").into());
        };
        *slot += own - left - right;
    }
    let root = weight.first().copied().unwrap_or(1.0);
    importances.iter_mut().for_each(|importance| *importance /= root);
    if normalized {
        let total = numpy_sum(&importances);
        if total > 0.0 {
            importances.iter_mut().for_each(|importance| *importance /= total);
        }
    }
    Ok((importances, left.len()))
}

/// The threshold that the selector `item` puts to the importances: a number, a mean or median of them, or a multiple. Where it does not say, 1e-5
/// for an estimator with an L1 penalty, else the mean.
pub(super) fn threshold(item: &Item<'_>, estimator: &Item<'_>, scores: &[f64]) -> Result<f64, FrontendError> {
    let attribute = item.get("threshold")?;
    let text = match attribute.as_str() {
        Ok(text) => text,
        Err(_) if !attribute.is_none() => return Ok(attribute.as_f64()?),
        Err(_) if is_l1_penalized(estimator)? => return Ok(1e-5),
        Err(_) => "mean",
    };
    let reference = |name: &str| match name.trim() {
        "mean" => Some(numpy_sum(scores) / scores.len() as f64),
        "median" => Some(median(scores)),
        _ => None,
    };
    let threshold = match text.split_once('*') {
        Some((scale, name)) => {
            scale.trim().parse::<f64>().ok().zip(reference(name)).map(|(scale, reference)| scale * reference)
        }
        None => reference(text),
    };
    threshold.ok_or_else(|| attribute.wrong("mean, median, or a number times one of them").into())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => f64::NAN,
        (1, Some(&middle)) => middle,
        (_, Some(&above)) => (sorted[middle - 1] + above) / 2.0,
    }
}

/// Whether coefficients become exactly 0 by the estimator's penalty, as scikit-learn's release finds out.
fn is_l1_penalized(estimator: &Item<'_>) -> Result<bool, FrontendError> {
    let version = version(estimator)?;
    let name = estimator.class()?.rsplit('.').next().unwrap_or_default();
    let is_one = |attribute: &str| -> Result<bool, FrontendError> {
        let Some(ratio) = estimator.find(attribute)? else { return Ok(false) };
        let ratios = if ratio.is_array() { ratio.array()?.f64s()? } else { ratio.as_f64().into_iter().collect() };
        Ok(!ratios.is_empty() && ratios.iter().all(|ratio| (ratio - 1.0).abs() <= 1e-8 + 1e-5))
    };
    if estimator.find("penalty")?.is_some_and(|penalty| penalty.as_str() == Ok("l1")) || name.contains("Lasso") {
        return Ok(true);
    }
    match name {
        "ElasticNetCV" if version >= (1, 7) => is_one("l1_ratio_"),
        "ElasticNet" if version >= (1, 7) => is_one("l1_ratio"),
        "LogisticRegression" if version >= (1, 8) => is_one("l1_ratio"),
        "LogisticRegressionCV" if version >= (1, 8) => is_one("l1_ratio_"),
        _ if name.contains("ElasticNet") && ((1, 1)..(1, 7)).contains(&version) => is_one("l1_ratio"),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_numpy() {
        // numpy.sum of 0.1, 0.2, …: the order shows in the last digits.
        let values: Vec<f64> = (1..=300).map(|i| f64::from(i) * 0.1).collect();
        assert_eq!(numpy_sum(&values[..7]), 2.8000000000000003);
        assert_eq!(numpy_sum(&values[..20]), 21.0);
        assert_eq!(numpy_sum(&values), 4515.0);
    }
}
