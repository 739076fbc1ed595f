//! Models that their own framework exports: when, with what shapes, and how the result is held to the framework's answers.

use std::collections::BTreeMap;

use ekiben_runtime::TensorSpec;
use ekiben_runtime::artifact::golden::{Difference, Source, VectorHead, compare};
use ekiben_runtime::artifact::manifest::ModelProvenance;
use ekiben_runtime::artifact::{GoldenValues, GoldenVector};

use super::{CompileError, CompileOptions, ModelError, Models, golden};
use crate::bundle::{Bundle, ModelFile};
use crate::frontend::FrontendError;
use crate::graph::evaluate;
use crate::lowered::LoweredApi;
use crate::python::{ExportError, Framework, Sample, export};
use crate::service::ServiceError;

/// Why an exported model is not used.
#[derive(Debug, thiserror::Error)]
#[error("{model}: {problem}")]
pub struct ExportFailure {
    /// The model's file.
    pub model: String,
    /// What went wrong.
    pub problem: ExportProblem,
}

/// What goes wrong with an exported model.
#[derive(Debug, thiserror::Error)]
pub enum ExportProblem {
    /// It is not exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// What it computes is not what the framework computes.
    #[error(
        "the exported model differs from {framework}: output {output}, element {}: {framework} computes {}, the exported model {}",
        difference.element, difference.expected, difference.actual
    )]
    Differs {
        /// The framework.
        framework: &'static str,
        /// Name of the output.
        output: String,
        /// The first element that differs.
        difference: Difference,
    },
    /// It cannot be run on the samples.
    #[error("the exported model cannot be run: {0}")]
    Run(String),
}

/// The exported models of a bundle with the framework's answers.
pub(super) struct Exports<'a> {
    bundle: &'a Bundle,
    options: &'a CompileOptions,
    /// Answers and the model's inputs, by tag.
    samples: BTreeMap<String, (Vec<TensorSpec>, Vec<Sample>)>,
}

impl<'a> Exports<'a> {
    pub(super) fn new(bundle: &'a Bundle, options: &'a CompileOptions) -> Self {
        Self { bundle, options, samples: BTreeMap::new() }
    }

    /// Exports what needs nothing of the service: bare models, models whose files state their inputs, and those whose shapes are given.
    pub(super) fn open(
        &mut self,
        models: &mut Models,
        provenance: &mut Vec<ModelProvenance>,
    ) -> Result<(), CompileError> {
        for file in &self.bundle.models {
            let Some(framework) = Framework::of(file) else { continue };
            let bare = self.bundle.entry.is_none();
            if self.options.python.is_none() && bare {
                let error = FrontendError::unsupported("file", framework.package(), framework.refusal(file));
                return Err(CompileError::Model(ModelError { model: file.describe(), error }));
            }
            let known = framework.states_inputs() || self.options.lengths.shapes().next().is_some();
            if self.options.python.is_some() && (bare || known) {
                self.export(file, framework, None, models, provenance)?;
            }
        }
        Ok(())
    }

    /// Exports the model that `error` asks for; false where none is, or nobody has allowed it.
    pub(super) fn answer(
        &mut self,
        error: &ServiceError,
        models: &mut Models,
        provenance: &mut Vec<ModelProvenance>,
    ) -> Result<bool, CompileError> {
        let Some((tag, inputs)) = error.unexported() else { return Ok(false) };
        let Some(file) = self.bundle.models.iter().find(|file| file.tag() == tag) else { return Ok(false) };
        let Some(framework) = Framework::of(file) else { return Ok(false) };
        if self.options.python.is_none() || models.contains_key(tag) {
            return Ok(false);
        }
        self.export(file, framework, inputs, models, provenance)?;
        Ok(true)
    }

    fn export(
        &mut self,
        file: &ModelFile,
        framework: Framework,
        inputs: Option<&[TensorSpec]>,
        models: &mut Models,
        provenance: &mut Vec<ModelProvenance>,
    ) -> Result<(), CompileError> {
        let Some(interpreter) = &self.options.python else { return Ok(()) };
        let failure = |problem| CompileError::Export(Box::new(ExportFailure { model: file.describe(), problem }));
        let exported = export(interpreter, self.bundle, file, framework, inputs, &self.options.lengths);
        let exported = exported.map_err(|error| failure(error.into()))?;
        let lowered = super::lower_model(&exported.model);
        let lowered = lowered.map_err(|error| CompileError::Model(ModelError { model: file.describe(), error }))?;
        check(&lowered, framework, &exported.samples).map_err(failure)?;
        let specs = lowered.graph.inputs().iter().map(|&id| lowered.graph.spec(id)).collect();
        self.samples.insert(file.tag(), (specs, exported.samples));
        let mut frameworks = file.frameworks.clone();
        frameworks.extend(exported.packages);
        provenance.push(ModelProvenance {
            name: file.tag(),
            format: framework.package().to_owned(),
            frameworks,
            blake3: super::model_digest(file, &file.read()?).to_hex().to_string(),
        });
        models.insert(file.tag(), Box::new(exported.model));
        Ok(())
    }

    /// The framework's answers as golden vectors of APIs that give just what the model gives: those whose inputs have the model's shapes and
    /// whose answers to the samples are the framework's. They take at most `budget` bytes.
    pub(super) fn vectors(&self, apis: &[LoweredApi], budget: usize) -> Vec<GoldenVector> {
        let (mut vectors, mut left) = (Vec::new(), budget);
        for (index, api) in apis.iter().enumerate() {
            let own: Vec<TensorSpec> = api.graph.inputs().iter().map(|&id| api.graph.spec(id)).collect();
            let alike = |specs: &[TensorSpec]| {
                let same = |(a, b): (&TensorSpec, &TensorSpec)| {
                    a.shape == b.shape && (a.dtype == b.dtype || a.dtype.is_float() && b.dtype.is_float())
                };
                own.len() == specs.len() && own.iter().zip(specs).all(same)
            };
            for (_, samples) in self.samples.values().filter(|(specs, _)| alike(specs)) {
                for sample in samples {
                    let vector = vector(index, &own, api, sample);
                    if let Some(vector) = vector.filter(|vector| golden::size(vector) <= left) {
                        left -= golden::size(&vector);
                        vectors.push(vector);
                    }
                }
            }
        }
        vectors
    }
}

/// The sample as a golden vector of an API, if the API's own answer is the framework's.
fn vector(index: usize, specs: &[TensorSpec], api: &LoweredApi, sample: &Sample) -> Option<GoldenVector> {
    let (head, outputs) = answered(api, specs, sample).ok()?;
    let same = outputs.len() == sample.outputs.len()
        && api.graph.outputs().iter().zip(&outputs).zip(&sample.outputs).all(|((&id, own), stated)| {
            own.as_slice().len() == stated.len()
                && compare(&api.graph.spec(id), &head, stated, own.as_slice()).is_none()
        });
    same.then(|| GoldenVector {
        head: VectorHead { api: index as u32, ..head },
        inputs: sample.inputs.iter().map(|&(seed, low, high)| GoldenValues::Seeded(seed, low, high)).collect(),
        outputs: sample.outputs.clone(),
    })
}

/// What the API's graph gives for a sample, with the tolerance that golden vectors of such a graph have.
fn answered(
    api: &LoweredApi,
    specs: &[TensorSpec],
    sample: &Sample,
) -> Result<(VectorHead, Vec<crate::graph::AlignedBytes>), String> {
    let values = sample.values(specs);
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_slice()).collect();
    let outputs = evaluate(&api.graph, sample.rows as usize, &values).map_err(|error| error.to_string())?;
    let (absolute, relative) = golden::tolerance(&api.graph, &outputs);
    Ok((VectorHead { api: 0, source: Source::Framework, rows: sample.rows, absolute, relative }, outputs))
}

/// That the exported model computes what the framework does.
fn check(model: &LoweredApi, framework: Framework, samples: &[Sample]) -> Result<(), ExportProblem> {
    let specs: Vec<TensorSpec> = model.graph.inputs().iter().map(|&id| model.graph.spec(id)).collect();
    for sample in samples {
        let (head, outputs) = answered(model, &specs, sample).map_err(ExportProblem::Run)?;
        for ((&id, own), stated) in model.graph.outputs().iter().zip(&outputs).zip(&sample.outputs) {
            if let Some(difference) = compare(&model.graph.spec(id), &head, stated, own.as_slice()) {
                let output = model.graph.tensor(id).name.clone();
                return Err(ExportProblem::Differs { framework: framework.name(), output, difference });
            }
        }
    }
    Ok(())
}
