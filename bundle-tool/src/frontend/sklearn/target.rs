//! Regressors of transformed targets: what a regressor answers, transformed back.

use super::lowering::At;
use super::members::Member;
use super::{Estimator, Family, Features, Method, Needs, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Regressors of transformed targets.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.compose._target.TransformedTargetRegressor"],
    carried: &[],
    decode: |item| Ok(Box::new(TransformedTarget::decode(item)?)),
};

/// A regressor and the transformer of its targets.
#[derive(Debug)]
pub(super) struct TransformedTarget {
    /// The regressor.
    pub regressor: Member,
    /// What its targets were transformed by.
    pub transformer: Member,
    /// Whether the target was one column, so that the answer is `[N]`.
    pub is_list: bool,
}

impl TransformedTarget {
    fn decode(item: &Item<'_>) -> Result<TransformedTarget, FrontendError> {
        let parts = [item.get("regressor_")?, item.get("transformer_")?];
        let mut parts = super::members::collect(parts.iter().map(Member::decode))?.into_iter();
        let (Some(regressor), Some(transformer)) = (parts.next(), parts.next()) else {
            return Err(unsupported(item, "a regressor without a transformer"));
        };
        Ok(TransformedTarget { regressor, transformer, is_list: item.get("_training_dim")?.as_i64()? == 1 })
    }
}

impl Estimator for TransformedTarget {
    fn features(&self) -> usize {
        self.regressor.estimator.features()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let answer = self.regressor.answer(graph, method, x)?;
        let mut at = At { graph: &mut *graph, path };
        let answer = at.numbers(answer)?;
        let answer = at.as_matrix(answer)?;
        let answer = self.transformer.estimator.lower_inverse(graph, &self.transformer.path, answer)?;
        Ok(vec![if self.is_list { At { graph, path }.as_list(answer)? } else { answer }])
    }

    fn needs(&self, _path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        self.regressor.estimator.needs(&self.regressor.path, after)
    }
}
