//! Compares an artifact with the bento that it was compiled from, by way of engines that are not this project's.
//!
//! Three things are independent: the bento's own **service**, where the user's interpreter may run it ([`verify_service`]); **tract**, which runs the bento's ONNX and TFLite models (see [`policy`] for those that it is known to get
//! wrong), and the golden vectors that the **framework** itself computed. Where there is neither, the verdict is
//! [`Verdict::NoOracle`], never [`Verdict::Agrees`].
//!
//! The artifact of a bare model is itself run against tract. In a service, its models are: the graph that each is lowered to, before any
//! service code; what the code around them does is covered by golden vectors only, and the report says so.

mod answers;
mod candidate;
mod compare;
mod inputs;
pub mod oracle;
pub mod policy;
mod report;
mod requests;

use std::path::Path;

use ekiben_runtime::artifact::golden::{GoldenReader, Source};
use ekiben_runtime::artifact::manifest::{ModelProvenance, Provenance};
use ekiben_runtime::executor::self_test::SelfTestError;
use ekiben_runtime::session::OpenError;
use ekiben_runtime::{Artifact, LoadError, Session};

use self::candidate::Candidate;
use self::inputs::{Call, Data};
use crate::bundle::{Bundle, BundleError, ModelFile, ModelFormat};
use crate::compile::{DATA, ModelError, model_digest, open_model};
use crate::frontend::{InputLengths, self_contained};
use crate::python::{AskError, Framework, Interpreter, ServiceRequest, needs_conversion};

pub use self::answers::{Difference, ServiceReport};
pub use self::compare::{ABSOLUTE, OutputDifference, RELATIVE, Worst};
pub use self::inputs::MAX_DATA_ROWS;
pub use self::report::{Comparison, GoldenReport, ModelReport, Report, Verdict};

/// Why an artifact cannot be compared with a bento.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The artifact cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The artifact's weights or golden vectors are not those that were written.
    #[error("the artifact is damaged: {0}. Compile it again")]
    Corrupt(LoadError),
    /// The bento cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The artifact was compiled from a model that the bento does not have.
    #[error(
        "the artifact was compiled from model {model}, which {bento} does not have. Give the bento that it was compiled from"
    )]
    MissingModel {
        /// The model's tag in the artifact.
        model: String,
        /// The bento.
        bento: String,
    },
    /// The bento's model is not the one that the artifact was compiled from.
    #[error(
        "model {model} is not the one that the artifact was compiled from: its BLAKE3 is {found}, the artifact's {expected}. \
         Compile the bento again, or give the bento that the artifact was compiled from"
    )]
    OtherModel {
        /// The model's tag.
        model: String,
        /// Digest that the artifact states.
        expected: String,
        /// Digest of the bento's file.
        found: String,
    },
    /// The artifact's inputs or outputs are not those that the model is lowered to.
    #[error(
        "model {model}: {reason}. The artifact was compiled by another version or with other options: compile it again"
    )]
    Interface {
        /// The model's tag.
        model: String,
        /// What differs.
        reason: String,
    },
    /// The artifact's manifest states lengths that cannot be read.
    #[error("the artifact's manifest: {0}")]
    Lengths(String),
    /// The model cannot be lowered.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The bento's own service cannot be asked.
    #[error(transparent)]
    Service(#[from] AskError),
    /// The data cannot be used.
    #[error("{file}: {reason}")]
    Data {
        /// The file.
        file: String,
        /// Where and why.
        reason: String,
    },
}

/// Compares the artifact in the file `artifact` with `bundle`, on random inputs and, where `data` names a CSV file, on its rows of numbers
/// (at most [`MAX_DATA_ROWS`]). A row's cells fill the inputs of the model one after the other.
///
/// # Errors
/// See [`VerifyError`]. A difference is not an error but a [`Verdict`].
pub fn verify(artifact: &Path, bundle: &Bundle, data: Option<&Path>) -> Result<Report, VerifyError> {
    let mut session = Session::open(artifact)?;
    let data = data.map(Data::read).transpose()?;
    let stated = session.manifest().provenance.models.clone();
    let lengths = recorded_lengths(&session.manifest().provenance)?;
    let files = stated.iter().map(|model| same_model(bundle, stated.len(), model)).collect::<Result<Vec<_>, _>>()?;
    let golden = golden(&mut session)?;
    let service = bundle.entry.is_some();
    let artifact = session.artifact();
    // Look-up tables are constants of the service: that they are the same is all there is to compare.
    let called = files.iter().zip(&stated).filter(|(_, model)| model.format != DATA);
    let models = called.map(|(file, _)| {
        let whole = (!service).then_some(&artifact);
        let comparison = compare_model(file, whole, data.as_ref(), &lengths)?;
        Ok(ModelReport { model: file.tag(), comparison })
    });
    let models = models.collect::<Result<Vec<_>, VerifyError>>()?;
    Ok(Report { models, golden, service, answers: None })
}

/// Compares the artifact in the file `artifact` with the service of `bundle`, which `interpreter` runs: on the requests `given`, and of APIs
/// that none of them asks on requests made of what their adapters take. Gives BentoML's version, and the APIs in the artifact's order.
///
/// # Errors
/// See [`VerifyError`]. A difference is not an error but stands in the report.
pub fn verify_service(
    artifact: &Path,
    bundle: &Bundle,
    interpreter: &Interpreter,
    given: Vec<ServiceRequest>,
) -> Result<(String, Vec<ServiceReport>), VerifyError> {
    let session = Session::open(artifact)?;
    answers::compare_service(&session, bundle, interpreter, given)
}

/// The lengths that the artifact was compiled with.
fn recorded_lengths(provenance: &Provenance) -> Result<InputLengths, VerifyError> {
    let dims = provenance.dims.iter().map(|dim| dim.parse()).collect::<Result<Vec<_>, _>>();
    let shapes = provenance.shapes.iter().map(|shape| shape.parse()).collect::<Result<Vec<_>, _>>();
    let lengths = dims.and_then(|dims| InputLengths::new(dims, shapes?).map_err(|error| error.to_string()));
    lengths.map_err(VerifyError::Lengths)
}

/// The bento's file of a model that the artifact was compiled from. `count` models were; a bare one may have been renamed.
fn same_model<'a>(bundle: &'a Bundle, count: usize, stated: &ModelProvenance) -> Result<&'a ModelFile, VerifyError> {
    let only = match bundle.models.as_slice() {
        [only] if count == 1 && bundle.entry.is_none() => Some(only),
        _ => None,
    };
    let file = only.or_else(|| bundle.models.iter().find(|file| file.tag() == stated.name));
    let file =
        file.ok_or_else(|| VerifyError::MissingModel { model: stated.name.clone(), bento: bundle.label().to_owned() })?;
    let found = model_digest(file, &file.read()?).to_hex().to_string();
    if found != stated.blake3 {
        return Err(VerifyError::OtherModel { model: file.describe(), expected: stated.blake3.clone(), found });
    }
    Ok(file)
}

/// Runs the golden vectors and finds the APIs that no independent one covers.
fn golden(session: &mut Session) -> Result<GoldenReport, VerifyError> {
    let mut report = match session.self_test() {
        Ok(passed) => GoldenReport { passed, ..GoldenReport::default() },
        Err(SelfTestError::Load(error)) => return Err(VerifyError::Corrupt(error)),
        Err(error) => GoldenReport { failure: Some(error.to_string()), ..GoldenReport::default() },
    };
    let artifact = session.artifact();
    // A vector that was skipped proves nothing, and the report does not say whose it was.
    let covered = if report.passed.skipped > 0 { Vec::new() } else { covered_apis(&artifact) };
    let apis = (0..artifact.api_count()).filter(|index| !covered.contains(index));
    report.uncovered = apis.map(|index| artifact.api_name(index).unwrap_or_default().to_owned()).collect();
    Ok(report)
}

/// APIs with a golden vector that this project did not compute itself.
fn covered_apis(artifact: &Artifact<'_>) -> Vec<usize> {
    let mut reader = GoldenReader::new(artifact);
    let mut covered = Vec::new();
    while let Some(Ok(head)) = reader.next_head() {
        let index = head.api as usize;
        if head.source != Source::Reference {
            covered.push(index);
        }
        let Some(api) = artifact.api(index) else { break };
        let inputs = (0..api.inputs).all(|_| reader.input().is_ok());
        if !inputs || !(0..api.outputs).all(|_| reader.output().is_ok()) {
            break;
        }
    }
    covered
}

/// Runs one model in the oracle and as it is compiled; `artifact` is that of a bare model.
fn compare_model(
    file: &ModelFile,
    artifact: Option<&Artifact<'_>>,
    data: Option<&Data>,
    lengths: &InputLengths,
) -> Result<Comparison, VerifyError> {
    if needs_conversion(file) || Framework::of(file).is_some() {
        return Ok(Comparison::None("only its own framework reads the model's file".to_owned()));
    }
    let failed = |error| ModelError { model: file.describe(), error };
    let beside = |path: &str| file.read_beside(path).map_err(|error| error.to_string());
    let bytes = self_contained(file.format, file.read()?, &beside).map_err(failed)?;
    let model = open_model(file, &bytes, lengths).map_err(failed)?;
    if let Some(reason) = policy::objection(file.format, &bytes) {
        return Ok(Comparison::None(reason));
    }
    let candidate = Candidate::new(model.as_ref(), artifact).map_err(|error| match error {
        candidate::Refused::Model(error) => VerifyError::Model(failed(error)),
        candidate::Refused::Interface(reason) => VerifyError::Interface { model: file.tag(), reason },
    })?;
    let model_inputs = model.inputs();
    // tract keeps the batch of one row that TFLite files state.
    let batched = file.format == ModelFormat::Onnx;
    let Some(mut calls) = inputs::random(&model_inputs, batched) else {
        return Ok(Comparison::None("the model's inputs do not fit in this machine's memory".to_owned()));
    };
    if let Some(data) = data {
        let rows = data.calls(&file.tag(), &model_inputs)?;
        calls.splice(0..0, rows);
    }
    let given = calls.iter().map(|call| call.inputs.clone()).collect();
    match oracle::answers(file.format, &bytes, given) {
        Ok(answers) => Ok(compare_answers(&candidate, calls, answers)),
        Err(reason) => Ok(Comparison::None(format!("tract has no answer: {reason}"))),
    }
}

/// Runs the candidate on the calls that the oracle has answered, and compares.
fn compare_answers(candidate: &Candidate<'_>, calls: Vec<Call>, answers: Vec<oracle::Answer>) -> Comparison {
    let (mut origins, mut rows) = (Vec::new(), 0);
    let mut outputs = candidate.output_names().map(OutputDifference::new).collect::<Vec<_>>();
    let (mut unanswered, mut refused) = (None, None);
    let count = |slot: &mut Option<(usize, String)>, reason| match slot {
        Some((count, _)) => *count += 1,
        None => *slot = Some((1, reason)),
    };
    for (call, answer) in calls.into_iter().zip(answers) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(reason) => {
                count(&mut unanswered, reason);
                continue;
            }
        };
        match candidate.run(&call) {
            Ok(ours) if ours.len() == answer.len() => {
                let tied = compare::tied_rows(call.rows, &answer);
                for ((difference, ours), oracle) in outputs.iter_mut().zip(&ours).zip(&answer) {
                    difference.add(origins.len(), &tied, ours, oracle);
                }
            }
            Ok(ours) => count(&mut refused, format!("{} outputs instead of {}", ours.len(), answer.len())),
            Err(reason) => count(&mut refused, format!("{reason} ({})", call.origin)),
        }
        rows += call.rows;
        origins.push(call.origin);
    }
    Comparison::Compared { calls: origins, rows, unanswered, outputs, refused }
}
