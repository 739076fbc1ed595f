//! Pipelines: transformers one after the other, then any estimator.

use super::{Estimator, Family, Method, SklearnError};
use crate::frontend::pickle::Item;

/// Pipelines.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.pipeline.Pipeline"],
    carried: &[],
    decode: |item| Ok(Box::new(Pipeline::decode(item)?)),
};

/// A pipeline of one step at least; steps that pass their input through are left out.
#[derive(Debug)]
pub struct Pipeline {
    /// Names and estimators. All but the last transform.
    pub steps: Vec<(String, Box<dyn Estimator>)>,
}

impl Pipeline {
    fn decode(item: &Item<'_>) -> Result<Pipeline, SklearnError> {
        let steps_item = item.get("steps")?;
        let mut steps: Vec<(String, Box<dyn Estimator>)> = Vec::new();
        for step in steps_item.items()? {
            let name = step.at(0)?.as_str()?.to_owned();
            let estimator = step.at(1)?;
            if estimator.is_none() || estimator.as_str() == Ok("passthrough") {
                continue;
            }
            steps.push((name, super::decode(&estimator)?));
        }
        if steps.is_empty() {
            let reason = "a pipeline that does nothing";
            return Err(SklearnError::unsupported(&steps_item, reason));
        }
        for pair in steps.windows(2) {
            let [(name, step), (next_name, next)] = pair else {
                continue;
            };
            let Some(columns) = step.transformed() else {
                let reason = format!("step {name:?} is not the last and does not transform");
                return Err(SklearnError::unsupported(&steps_item, reason));
            };
            if columns != next.features() {
                let needed = next.features();
                let reason = format!("{name:?} gives {columns} columns, {next_name:?} takes {needed}");
                return Err(SklearnError::inconsistent(&steps_item, reason));
            }
        }
        Ok(Pipeline { steps })
    }
}

impl Estimator for Pipeline {
    fn features(&self) -> usize {
        self.steps.first().map_or(0, |(_, step)| step.features())
    }

    fn methods(&self) -> &'static [Method] {
        self.steps.last().map_or(&[], |(_, step)| step.methods())
    }

    fn transformed(&self) -> Option<usize> {
        self.steps.last().and_then(|(_, step)| step.transformed())
    }
}
