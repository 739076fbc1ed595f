//! Pipelines: transformers one after the other, then any estimator.

use super::{Estimator, Family, Features, Method, Needs, inconsistent, unsupported};
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
        let steps = decode_steps(&item.get("steps")?)?;
        if steps.is_empty() {
            return Err(unsupported(item, "a pipeline that does nothing"));
        }
        for pair in steps.windows(2) {
            let [Step { name, estimator, .. }, _] = pair else {
                continue;
            };
            if estimator.transformed().is_none() {
                return Err(unsupported(item, format!("step {name:?} is not the last and does not transform")));
            }
        }
        // Steps that take any number of columns do not change it.
        let counted: Vec<&Step> = steps.iter().filter(|step| step.estimator.features() != 0).collect();
        for pair in counted.windows(2) {
            let [Step { name, estimator, .. }, next] = pair else {
                continue;
            };
            let (next, needed) = (&next.name, next.estimator.features());
            match estimator.transformed() {
                Some(columns) if columns != needed => {
                    let reason = format!("{name:?} gives {columns} columns, {next:?} takes {needed}");
                    return Err(inconsistent(&item.get("steps")?, reason));
                }
                _ => {}
            }
        }
        Ok(Pipeline { steps })
    }
}

/// Decodes the steps that do something. What is not supported is collected over all of them, up to one that is damaged.
fn decode_steps(item: &Item<'_>) -> Result<Vec<Step>, FrontendError> {
    /// So many blockers say enough.
    const MOST_BLOCKERS: usize = 64;
    let mut steps = Vec::new();
    let mut blockers = Vec::new();
    for step in item.items()? {
        match Step::decode(&step) {
            Ok(step) => steps.extend(step),
            Err(FrontendError::Unsupported(more)) => blockers.extend(more),
            Err(error) if blockers.is_empty() => return Err(error),
            Err(_) => break,
        }
        if blockers.len() >= MOST_BLOCKERS {
            break;
        }
    }
    if blockers.is_empty() { Ok(steps) } else { Err(FrontendError::Unsupported(blockers)) }
}

impl Step {
    /// Decodes a pair of name and estimator; `None` for a step that passes its input through.
    fn decode(item: &Item<'_>) -> Result<Option<Step>, FrontendError> {
        let name = item.at(0)?.as_str()?.to_owned();
        let estimator = item.at(1)?;
        if estimator.is_none() || estimator.as_str() == Ok("passthrough") {
            return Ok(None);
        }
        Ok(Some(Step { name, path: estimator.path(), estimator: super::decode(&estimator)? }))
    }
}

impl Estimator for Pipeline {
    fn features(&self) -> usize {
        let counts = self.steps.iter().map(|step| step.estimator.features());
        counts.into_iter().find(|&count| count != 0).unwrap_or(0)
    }

    fn methods(&self) -> &'static [Method] {
        self.steps.last().map_or(&[], |step| step.estimator.methods())
    }

    fn transformed(&self) -> Option<usize> {
        let last = self.steps.last()?.estimator.transformed()?;
        let counts = self.steps.iter().rev().filter_map(|step| step.estimator.transformed());
        Some(counts.into_iter().find(|&count| count != 0).unwrap_or(last))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let Some((last, before)) = self.steps.split_last() else {
            return Err(FrontendError::malformed(path, "a pipeline without steps"));
        };
        let mut x = x.clone();
        for Step { path, estimator, .. } in before {
            x = estimator.transform(graph, path, &x)?;
        }
        last.estimator.lower(graph, &last.path, method, &x)
    }

    fn transform(&self, graph: &mut Graph, _path: &str, x: &Features) -> Result<Features, FrontendError> {
        let mut x = x.clone();
        for Step { path, estimator, .. } in &self.steps {
            x = estimator.transform(graph, path, &x)?;
        }
        Ok(x)
    }

    fn needs(&self, _path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        let mut needs = after.clone();
        for Step { path, estimator, .. } in self.steps.iter().rev() {
            needs = estimator.needs(path, &needs)?;
        }
        Ok(needs)
    }
}
