//! Pipelines: transformers one after the other, then any estimator.

use super::{Estimator, Family, Method, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Pipelines.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.pipeline.Pipeline"],
    carried: &[],
    decode: |item| Ok(Box::new(Pipeline::decode(item)?)),
};

/// One step of a pipeline.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Where in the file it is, for messages: `steps[1][1]`.
    pub path: String,
    /// The estimator.
    pub estimator: Box<dyn Estimator>,
}

/// A pipeline of one step at least; steps that pass their input through are left out.
#[derive(Debug)]
pub struct Pipeline {
    /// The steps. All but the last transform.
    pub steps: Vec<Step>,
}

impl Pipeline {
    fn decode(item: &Item<'_>) -> Result<Pipeline, FrontendError> {
        let steps_item = item.get("steps")?;
        let mut steps: Vec<Step> = Vec::new();
        let mut blockers = Vec::new();
        for step in steps_item.items()? {
            let name = step.at(0)?.as_str()?.to_owned();
            let estimator = step.at(1)?;
            if estimator.is_none() || estimator.as_str() == Ok("passthrough") {
                continue;
            }
            match super::decode(&estimator) {
                Ok(decoded) => steps.push(Step { name, path: estimator.path(), estimator: decoded }),
                Err(FrontendError::Unsupported(more)) => blockers.extend(more),
                Err(error) => return Err(error),
            }
        }
        if !blockers.is_empty() {
            return Err(FrontendError::Unsupported(blockers));
        }
        if steps.is_empty() {
            return Err(unsupported(item, "a pipeline that does nothing"));
        }
        for pair in steps.windows(2) {
            let [Step { name, estimator, .. }, next] = pair else {
                continue;
            };
            let Some(columns) = estimator.transformed() else {
                return Err(unsupported(item, format!("step {name:?} is not the last and does not transform")));
            };
            let (next, needed) = (&next.name, next.estimator.features());
            if columns != needed {
                let reason = format!("{name:?} gives {columns} columns, {next:?} takes {needed}");
                return Err(inconsistent(&steps_item, reason));
            }
        }
        Ok(Pipeline { steps })
    }
}

impl Estimator for Pipeline {
    fn features(&self) -> usize {
        self.steps.first().map_or(0, |step| step.estimator.features())
    }

    fn methods(&self) -> &'static [Method] {
        self.steps.last().map_or(&[], |step| step.estimator.methods())
    }

    fn transformed(&self) -> Option<usize> {
        self.steps.last().and_then(|step| step.estimator.transformed())
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: TensorId,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let Some((last, before)) = self.steps.split_last() else {
            return Err(FrontendError::malformed(path, "a pipeline without steps"));
        };
        let mut x = x;
        for Step { path, estimator, .. } in before {
            let transformed = estimator.lower(graph, path, Method::Transform, x)?;
            x = transformed
                .first()
                .copied()
                .ok_or_else(|| FrontendError::malformed(path, "it transforms to nothing"))?;
        }
        last.estimator.lower(graph, &last.path, method, x)
    }
}
