//! The pipeline that joins everything: bundle → models → one graph per API → plans → artifact.

mod bare;
mod declared;
mod exports;
mod golden;
mod init;
mod models;
mod options;
mod recorded;

use std::collections::BTreeMap;
use std::path::Path;

use ekiben_runtime::artifact::manifest::{Documents, Generation, Manifest, ManifestError, ModelProvenance, Provenance};
use ekiben_runtime::artifact::{EmitError, Extent, emit};
use ekiben_runtime::executor::self_test::{SelfTestError, SelfTestReport, self_test, self_test_arena_bytes};
use ekiben_runtime::{Artifact, LoadError};

use crate::bundle::{self, Bundle, BundleError};
use crate::frontend::{FrontendError, LengthsError, Model};
use crate::graph::{AlignedBytes, EvaluateError};
use crate::lowered::LoweredApi;
use crate::passes::{self, PassError};
use crate::planner::{self, PlanError};
use crate::service::{self, Declarations, ServiceError};
use crate::target::{Fit, System, Target};
use crate::writer::{PlannedApi, artifact_parts};

use exports::Exports;

pub(crate) use bare::lower as lower_model;
pub(crate) use declared::declarations;
pub use exports::{ExportFailure, ExportProblem};
pub use init::init;
pub use models::open_models;
pub(crate) use models::{DATA, model_digest, open_model};
pub use options::CompileOptions;
pub use recorded::{Recorded, RecordedError};

/// Models that a service can call, by [`ModelFile::tag`].
pub type Models = BTreeMap<String, Box<dyn Model>>;

/// The largest arena, in bytes, of a graph that can be compiled: a model of a few bytes can ask for any.
pub const MAX_ARENA: u64 = 4 << 30;

/// A finished artifact.
#[derive(Clone, Debug)]
pub struct CompiledArtifact {
    bytes: AlignedBytes,
    /// The manifest, as the artifact holds it.
    pub manifest: Manifest,
    /// Arena of each API, in the manifest's order.
    pub arenas: Vec<Extent>,
    /// Golden vectors that the artifact holds and has passed.
    pub golden: SelfTestReport,
    /// What the artifact needs of the device that it was compiled for.
    pub fit: Option<Fit>,
}

impl CompiledArtifact {
    /// The artifact, aligned as [`Artifact::parse`] needs it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The artifact with what it needs of `target`.
    fn fitted(self, target: &Target) -> Result<Self, CompileError> {
        let fit = Fit::of(&Artifact::parse(self.bytes())?, target);
        if fit.fits() { Ok(Self { fit: Some(fit), ..self }) } else { Err(CompileError::DoesNotFit(Box::new(fit))) }
    }
}

/// Why a bento cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The bento cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Models cannot be read or use what is not supported: all of them that cannot.
    #[error("{}", lines(.0))]
    Models(Vec<ModelError>),
    /// A length or shape is given for what no model has.
    #[error(transparent)]
    Lengths(#[from] LengthsError),
    /// The service's code is not understood, or calls models in a way that is not supported.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The declarations that are given are for another bento.
    #[error(
        "the declarations are for the service {service:?}, and this bento's is {found:?}; remove `service` from them, or compile that bento"
    )]
    OtherService {
        /// The service that they name.
        service: String,
        /// The bento's.
        found: String,
    },
    /// The bare model cannot be lowered.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An API's graph cannot be rewritten: a defect of this program.
    #[error("internal error: API {api}: {error}")]
    Pass {
        /// The API.
        api: String,
        /// Why.
        error: PassError,
    },
    /// An API's tensors have no place.
    #[error("API {api}: {error}")]
    Plan {
        /// The API.
        api: String,
        /// Why.
        error: PlanError,
    },
    /// An API needs more arena than this program makes golden vectors on.
    #[error(
        "API {api}: its arena would take {needed} bytes, {MAX_ARENA} at most; compile a smaller model or input shape"
    )]
    Arena {
        /// The API.
        api: String,
        /// Bytes for the rows of a golden vector.
        needed: u64,
    },
    /// The artifact needs more than the device has: how much, and what takes it.
    #[error("the model does not fit\n{0}")]
    DoesNotFit(Box<Fit>),
    /// The graph cannot be run for the golden vectors.
    #[error("API {api}: {error}")]
    Evaluate {
        /// The API.
        api: String,
        /// Why.
        error: EvaluateError,
    },
    /// The recorded examples cannot be used, or the artifact's answers differ from them.
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    /// A model's framework does not export it, or exports something that computes otherwise.
    #[error(transparent)]
    Export(Box<ExportFailure>),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The artifact cannot be written.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The artifact just written is refused by the loader: a defect of this program.
    #[error("internal error: the compiled artifact does not load: {0}")]
    Load(#[from] LoadError),
    /// The artifact's answers are not those of the graph that it was made from: a defect of this program.
    #[error("internal error: the compiled artifact differs from its source graph: {0}")]
    Differs(#[from] SelfTestError),
}

/// Why a model cannot be read or lowered.
#[derive(Debug, thiserror::Error)]
#[error("{model}: {error}")]
pub struct ModelError {
    /// The model's file.
    pub model: String,
    /// Why.
    pub error: FrontendError,
}

fn lines(errors: &[ModelError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Opens the bento, archive or model file at `path` and compiles it; `store` as in [`Bundle::open`].
///
/// # Errors
/// See [`CompileError`].
pub fn compile_path(path: &Path, store: Option<&Path>) -> Result<CompiledArtifact, CompileError> {
    compile(&Bundle::open(path, store)?, &CompileOptions::default())
}

/// Compiles every API of a bundle. The same bundle and options give the same bytes.
///
/// # Errors
/// See [`CompileError`].
pub fn compile(bundle: &Bundle, options: &CompileOptions) -> Result<CompiledArtifact, CompileError> {
    let (mut models, mut provenance) = models::open_converted(bundle, &options.lengths, options.python.as_ref())?;
    let mut exports = Exports::new(bundle, options);
    exports.open(&mut models, &mut provenance)?;
    let declarations = declarations(bundle, options)?;
    let apis = loop {
        match lower_apis(bundle, &models, declarations.as_ref()) {
            Err(CompileError::Service(error)) if exports.answer(&error, &mut models, &mut provenance)? => {}
            other => break other?,
        }
    };
    provenance.extend(models::data_provenance(bundle)?);
    let manifest = manifest(bundle, &apis, provenance, options)?;
    let compiled = assemble(manifest, &apis, options.recorded.as_ref(), &exports)?;
    match &options.target {
        Some(target) => compiled.fitted(target),
        None => Ok(compiled),
    }
}

/// What the bundle's APIs compute, and those that `declarations` declare. `models` are those of [`open_models`].
///
/// # Errors
/// [`CompileError::Service`] and [`CompileError::Model`].
pub fn lower_apis(
    bundle: &Bundle,
    models: &Models,
    declarations: Option<&Declarations>,
) -> Result<Vec<LoweredApi>, CompileError> {
    if bundle.entry.is_some() || declarations.is_some() {
        return Ok(service::lower_apis(bundle, models, declarations)?);
    }
    let file = &bundle.models[0];
    let lowered = bare::lower(models[&file.tag()].as_ref());
    Ok(vec![lowered.map_err(|error| ModelError { model: file.describe(), error })?])
}

/// Target of an artifact that is compiled for no device in particular.
const PORTABLE: &str = "portable";

fn manifest(
    bundle: &Bundle,
    apis: &[LoweredApi],
    models: Vec<ModelProvenance>,
    options: &CompileOptions,
) -> Result<Manifest, BundleError> {
    let (dims, shapes) = options.lengths.spelt();
    let sources = bundle.sources_digest()?.map(|digest| digest.to_hex().to_string());
    Ok(Manifest {
        name: bundle.service.clone(),
        version: bundle.version.clone().unwrap_or_default(),
        generation: match bundle.generation {
            bundle::Generation::V0_13 => Generation::V0_13,
            bundle::Generation::V1 => Generation::V1,
            bundle::Generation::Bare => Generation::Bare,
        },
        description: String::new(),
        labels: bundle.provenance.labels.clone(),
        provenance: Provenance {
            tool: concat!("ekiben ", env!("CARGO_PKG_VERSION")).to_owned(),
            bentoml_version: bundle.provenance.bentoml_version.clone().unwrap_or_default(),
            target: options.target.as_ref().map_or(PORTABLE, |target| &target.name).to_owned(),
            dims,
            shapes,
            models,
            sources: sources.unwrap_or_default(),
        },
        apis: apis.iter().map(|api| api.manifest.clone()).collect(),
        documents: match options.target.as_ref().map(|target| target.system) {
            Some(System::None) => Documents::default(),
            Some(System::Linux) | None => bundle.documents()?,
        },
    })
}

/// Optimises, plans and writes the APIs' graphs, adds golden vectors, and loads and tests the result.
fn assemble(
    manifest: Manifest,
    apis: &[LoweredApi],
    recorded: Option<&Recorded>,
    exports: &Exports<'_>,
) -> Result<CompiledArtifact, CompileError> {
    let name = |api: &LoweredApi| api.manifest.name.clone();
    // What a quantized model means in integers is what its golden vectors are computed with.
    let fused = apis.iter().map(|api| match passes::fuse_quantized(&api.graph) {
        Ok(graph) => Ok(LoweredApi { graph, ..api.clone() }),
        Err(error) => Err(CompileError::Pass { api: name(api), error }),
    });
    let apis = &fused.collect::<Result<Vec<_>, _>>()?[..];
    apis.iter().try_for_each(check_arena)?;
    let graphs = apis
        .iter()
        .map(|api| passes::optimise(&api.graph).map_err(|error| CompileError::Pass { api: name(api), error }));
    let graphs = graphs.collect::<Result<Vec<_>, _>>()?;
    let plans = apis
        .iter()
        .zip(&graphs)
        .map(|(api, graph)| planner::plan(graph).map_err(|error| CompileError::Plan { api: name(api), error }));
    let plans = plans.collect::<Result<Vec<_>, _>>()?;
    let planned = apis.iter().zip(&graphs).zip(&plans);
    let planned = planned.map(|((api, graph), plan)| PlannedApi { name: &api.manifest.name, graph, plan });
    let mut parts = artifact_parts(&planned.collect::<Vec<_>>());
    parts.manifest = manifest.to_cbor()?;
    let untested = AlignedBytes::from(emit(&parts)?.as_slice());
    let budget = golden::budget(untested.as_slice().len());
    if let Some(recorded) = recorded {
        parts.golden.push(recorded.vector(&Artifact::parse(untested.as_slice())?, &manifest, budget)?);
    }
    let left = budget.saturating_sub(parts.golden.iter().map(golden::size).sum());
    parts.golden.extend(exports.vectors(apis, left));
    let left = budget.saturating_sub(parts.golden.iter().map(golden::size).sum());
    parts.golden.extend(golden::vectors(apis, left)?);
    let bytes = AlignedBytes::from(emit(&parts)?.as_slice());
    let golden = test(bytes.as_slice())?;
    let arenas = plans.iter().map(|plan| plan.extent).collect();
    Ok(CompiledArtifact { bytes, manifest, arenas, golden, fit: None })
}

/// Refuses a graph whose golden vectors, which run on it before any pass, would take too much memory.
fn check_arena(api: &LoweredApi) -> Result<(), CompileError> {
    let plan = planner::plan(&api.graph);
    let plan = plan.map_err(|error| CompileError::Plan { api: api.manifest.name.clone(), error })?;
    let rows = golden::most_rows().into();
    let needed = plan.extent.per_row.saturating_mul(rows).saturating_add(plan.extent.fixed);
    if needed > MAX_ARENA {
        return Err(CompileError::Arena { api: api.manifest.name.clone(), needed });
    }
    Ok(())
}

fn test(bytes: &[u8]) -> Result<SelfTestReport, CompileError> {
    let artifact = Artifact::parse(bytes)?;
    let mut arena = AlignedBytes::zeroed(self_test_arena_bytes(&artifact).unwrap_or(0));
    Ok(self_test(&artifact, arena.as_mut_slice())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::{ModelInput, NamedTensor};
    use crate::graph::{Graph, TensorId};
    use ekiben_runtime::ops::unary::{Unary, UnaryKind};
    use ekiben_runtime::{DType, Shape, TensorSpec};

    /// A model of a few bytes that asks for `width` floats per row.
    struct Wide(usize);

    impl Model for Wide {
        fn inputs(&self) -> Vec<ModelInput> {
            let shape = Shape::new(&[1, self.0], Some(0)).unwrap();
            vec![ModelInput::new("x", TensorSpec::new(DType::F32, shape))]
        }

        fn methods(&self) -> &[&'static str] {
            &["run"]
        }

        fn call(
            &self,
            graph: &mut Graph,
            _method: &str,
            inputs: &[TensorId],
        ) -> Result<Vec<NamedTensor>, FrontendError> {
            let tensor = graph.add("relu", Unary::of(UnaryKind::Relu), inputs)?;
            Ok(vec![NamedTensor { name: "y".to_owned(), tensor }])
        }
    }

    #[test]
    fn an_arena_beyond_the_limit_is_refused_before_anything_runs() {
        check_arena(&bare::lower(&Wide(1000)).unwrap()).unwrap();
        let error = check_arena(&bare::lower(&Wide(1 << 29)).unwrap()).unwrap_err();
        assert!(matches!(error, CompileError::Arena { needed, .. } if needed > MAX_ARENA), "{error}");
    }
}
