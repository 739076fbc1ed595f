//! Pipelines: transformers one after the other, then any estimator.

use super::{Estimator, Family, Features, Method, Needs, inconsistent, members, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Pipelines.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.pipeline.Pipeline", "imblearn.pipeline.Pipeline"],
    carried: SAMPLING,
    decode: |item| Ok(Box::new(Pipeline::decode(item)?)),
};

/// What starts the names of steps that change the samples of training only, and pass their input through otherwise.
const SAMPLERS: [&str; 3] = ["imblearn.combine.", "imblearn.over_sampling.", "imblearn.under_sampling."];

/// Such steps, and what they keep of their training.
const SAMPLING: &[&str] = &[
    "imblearn.combine._smote_enn.SMOTEENN",
    "imblearn.combine._smote_tomek.SMOTETomek",
    "imblearn.over_sampling._adasyn.ADASYN",
    "imblearn.over_sampling._random_over_sampler.RandomOverSampler",
    "imblearn.over_sampling._smote.base.SMOTE",
    "imblearn.over_sampling._smote.base.SMOTEN",
    "imblearn.over_sampling._smote.base.SMOTENC",
    "imblearn.over_sampling._smote.cluster.KMeansSMOTE",
    "imblearn.over_sampling._smote.filter.BorderlineSMOTE",
    "imblearn.over_sampling._smote.filter.SVMSMOTE",
    "imblearn.under_sampling._prototype_generation._cluster_centroids.ClusterCentroids",
    "imblearn.under_sampling._prototype_selection._condensed_nearest_neighbour.CondensedNearestNeighbour",
    "imblearn.under_sampling._prototype_selection._edited_nearest_neighbours.AllKNN",
    "imblearn.under_sampling._prototype_selection._edited_nearest_neighbours.EditedNearestNeighbours",
    "imblearn.under_sampling._prototype_selection._edited_nearest_neighbours.RepeatedEditedNearestNeighbours",
    "imblearn.under_sampling._prototype_selection._instance_hardness_threshold.InstanceHardnessThreshold",
    "imblearn.under_sampling._prototype_selection._nearmiss.NearMiss",
    "imblearn.under_sampling._prototype_selection._neighbourhood_cleaning_rule.NeighbourhoodCleaningRule",
    "imblearn.under_sampling._prototype_selection._one_sided_selection.OneSidedSelection",
    "imblearn.under_sampling._prototype_selection._random_under_sampler.RandomUnderSampler",
    "imblearn.under_sampling._prototype_selection._tomek_links.TomekLinks",
    "sklearn.metrics._dist_metrics.EuclideanDistance",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._dist_metrics.newObj",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._ball_tree.BallTree64",
    "sklearn.neighbors._ball_tree.newObj",
    "sklearn.neighbors._dist_metrics.EuclideanDistance",
    "sklearn.neighbors._dist_metrics.MinkowskiDistance",
    "sklearn.neighbors._dist_metrics.newObj",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._kd_tree.KDTree64",
    "sklearn.neighbors._kd_tree.newObj",
    "sklearn.neighbors._unsupervised.NearestNeighbors",
];

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

/// Decodes the steps that do something.
fn decode_steps(item: &Item<'_>) -> Result<Vec<Step>, FrontendError> {
    let steps = members::collect(item.items()?.iter().map(Step::decode))?;
    Ok(steps.into_iter().flatten().collect())
}

impl Step {
    /// Decodes a pair of name and estimator; `None` for a step that passes its input through.
    fn decode(item: &Item<'_>) -> Result<Option<Step>, FrontendError> {
        let name = item.at(0)?.as_str()?.to_owned();
        let estimator = item.at(1)?;
        let is_sampler =
            |class: &str| SAMPLERS.iter().any(|start| class.starts_with(start)) && SAMPLING.contains(&class);
        let samples = estimator.class().is_ok_and(is_sampler);
        if samples || estimator.is_none() || estimator.as_str() == Ok("passthrough") {
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
