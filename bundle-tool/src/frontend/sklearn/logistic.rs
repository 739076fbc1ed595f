//! Logistic regression: scores `x · coefᵀ + intercept`, then a link to probabilities.

use super::{Estimator, Family, Labels, Method, SklearnError, version};
use crate::frontend::pickle::Item;

/// Logistic regression.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.linear_model._logistic.LogisticRegression"],
    carried: &[],
    decode: |item| Ok(Box::new(LogisticRegression::decode(item)?)),
};

/// How scores become probabilities. With one row of coefficients there is one score `s`, for the second of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The logistic function of each score: `[1 - p, p]` for one score; for several, divided by their sum.
    Logistic,
    /// Softmax of the scores; of `[-s, s]` for one score.
    Softmax,
}

/// A logistic regression. The label predicted is that of the largest score (the first of equal ones); of one score, the second
/// label where it is greater than 0.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    /// Columns of the input.
    pub features: usize,
    /// `rows * features` coefficients, row by row.
    pub coefficients: Vec<f64>,
    /// One for each row.
    pub intercepts: Vec<f64>,
    /// Two labels where there is one row, else one for each row.
    pub labels: Labels,
    /// How scores become probabilities.
    pub link: Link,
}

impl LogisticRegression {
    fn decode(item: &Item<'_>) -> Result<LogisticRegression, SklearnError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let coef = item.get("coef_")?;
        let coefficients = coef.array()?;
        let &[rows, features] = coefficients.shape() else {
            return Err(coef.wrong("an array of two dimensions").into());
        };
        let intercept = item.get("intercept_")?;
        let intercepts =
            if intercept.is_array() { intercept.array()?.f64s()? } else { vec![intercept.as_f64()?; rows] };
        let expected = if labels.count() == 2 { 1 } else { labels.count() };
        if labels.count() < 2 || rows != expected || intercepts.len() != rows || features == 0 {
            return Err(SklearnError::inconsistent(
                item,
                format!("{rows} rows of coefficients, {} intercepts and {} classes", intercepts.len(), labels.count()),
            ));
        }
        Ok(LogisticRegression {
            features,
            coefficients: coefficients.f64s()?,
            intercepts,
            link: link(item, labels.count())?,
            labels,
        })
    }
}

/// The link of a model of `classes` classes. `multi_class` chose it until scikit-learn 1.7; since 1.8 it is gone, and the number
/// of classes chooses.
fn link(item: &Item<'_>, classes: usize) -> Result<Link, SklearnError> {
    let binary = if classes <= 2 { Link::Logistic } else { Link::Softmax };
    if version(item)? >= (1, 8) {
        return Ok(binary);
    }
    let Some(multi_class) = item.find("multi_class")? else {
        return Ok(binary);
    };
    match multi_class.as_str()? {
        "ovr" | "warn" => Ok(Link::Logistic),
        "multinomial" => Ok(Link::Softmax),
        "auto" | "deprecated" if item.get("solver")?.as_str()? == "liblinear" => Ok(Link::Logistic),
        "auto" | "deprecated" => Ok(binary),
        other => Err(SklearnError::unsupported(&multi_class, format!("multi_class={other:?}"))),
    }
}

impl Estimator for LogisticRegression {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::PredictProba]
    }
}
