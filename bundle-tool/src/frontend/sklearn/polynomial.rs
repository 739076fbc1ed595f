//! Polynomials of columns: each term is an earlier one times one more column, as scikit-learn multiplies them.

use ekiben_runtime::DType;
use ekiben_runtime::ops::products::Products;

use super::features::take;
use super::transformer::{Transformer, floats};
use super::{Family, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `PolynomialFeatures`, in its two places.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.preprocessing._data.PolynomialFeatures",
        "sklearn.preprocessing._polynomial.PolynomialFeatures",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Polynomial::decode(item)?)),
};

/// Terms at most.
const MOST_TERMS: usize = 1 << 18;

/// Products of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Polynomial {
    /// Columns of the input.
    pub features: usize,
    /// The terms: the number of an earlier term, and the column that it is multiplied by; -1 for 1.
    pub terms: Vec<[i32; 2]>,
    /// Which of the terms are asked for, in order.
    pub kept: Vec<usize>,
}

impl Polynomial {
    fn decode(item: &Item<'_>) -> Result<Polynomial, FrontendError> {
        let features = match item.find("n_features_in_")? {
            Some(features) => features.as_usize()?,
            None => item.get("n_input_features_")?.as_usize()?,
        };
        let degree = item.get("degree")?;
        let degrees = match degree.as_usize() {
            Ok(most) => (0, most),
            Err(_) => (degree.at(0)?.as_usize()?, degree.at(1)?.as_usize()?),
        };
        let bias = item.get("include_bias")?.as_bool()?;
        let distinct = item.get("interaction_only")?.as_bool()?;
        let Some(polynomial) = Polynomial::new(features, degrees, distinct, bias) else {
            return Err(unsupported(item, format!("more than {MOST_TERMS} terms")));
        };
        let expected = item.get("n_output_features_")?;
        if expected.as_usize()? != polynomial.kept.len() {
            return Err(inconsistent(&expected, format!("there are {} terms", polynomial.kept.len())));
        }
        Ok(polynomial)
    }

    /// The terms of `degrees.0..=degrees.1` (and 1 for `bias`) over `features` columns, in scikit-learn's order; of `distinct` columns only, where
    /// asked. `None` where there are too many.
    fn new(features: usize, degrees: (usize, usize), distinct: bool, bias: bool) -> Option<Polynomial> {
        let mut terms: Vec<[i32; 2]> = Vec::new();
        if features > MOST_TERMS || degrees.1 > MOST_TERMS {
            return None;
        }
        if bias {
            terms.push([-1, -1]);
        }
        let constant = terms.len();
        // Where the terms of the last degree start whose columns are not before a given one.
        let mut starts: Vec<usize> = (terms.len()..=terms.len() + features).collect();
        let mut first_kept = constant;
        for degree in 1..=degrees.1 {
            if degree == degrees.0 {
                first_kept = terms.len();
            }
            if degree == 1 {
                terms.extend((0..features).map(|column| [-1, column as i32]));
                continue;
            }
            let end = *starts.last()?;
            let mut next = Vec::with_capacity(features + 1);
            for column in 0..features {
                next.push(terms.len());
                let skipped = if distinct { 1 } else { 0 };
                let Some(&start) = starts.get(column + skipped).filter(|&&start| start < end) else { break };
                if terms.len() + (end - start) > MOST_TERMS {
                    return None;
                }
                terms.extend((start..end).map(|earlier| [earlier as i32, column as i32]));
            }
            next.push(terms.len());
            starts = next;
        }
        let kept = (0..constant).chain(first_kept..terms.len()).collect();
        Some(Polynomial { features, terms, kept })
    }
}

impl Transformer for Polynomial {
    fn width(&self) -> usize {
        self.features
    }

    fn results(&self) -> usize {
        self.kept.len()
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let x = floats(graph, path, x)?;
        let name = format!("{path}/terms");
        let terms = graph.add_constant(&name, DType::I32, &[self.terms.len(), 2], &self.terms.concat())?;
        let products = graph.add(&name, Products, &[x, terms])?;
        take(graph, path, products, &self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_in_order() {
        let all = Polynomial::new(2, (0, 3), false, true).unwrap();
        assert_eq!(all.terms, [[-1, -1], [-1, 0], [-1, 1], [1, 0], [2, 0], [2, 1], [3, 0], [4, 0], [5, 0], [5, 1]]);
        let distinct = Polynomial::new(3, (0, 3), true, false).unwrap();
        assert_eq!(distinct.terms, [[-1, 0], [-1, 1], [-1, 2], [1, 0], [2, 0], [2, 1], [5, 0]]);
        let high = Polynomial::new(2, (2, 3), false, true).unwrap();
        assert_eq!(high.kept, [0, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(Polynomial::new(2, (0, 0), false, true).unwrap().kept, [0]);
        assert_eq!(Polynomial::new(1000, (0, 3), false, true), None);
        assert_eq!(Polynomial::new(usize::MAX, (0, usize::MAX), false, true), None);
    }
}
