//! Compiles and runs one form of a case.

use ekiben::compile::{CompileError, compile_path};
use ekiben::frontend::{Blocker, FrontendError};
use ekiben::graph::AlignedBytes;
use ekiben_runtime::tensor::View;
use ekiben_runtime::{Artifact, DType, Executor};
use ekiben_tests::case::{Tolerance, near};
use half::{bf16, f16};

use crate::case::{Case, Form, Tensor};

/// How near floats must be. Integers and booleans must be equal.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-3 };

/// How near floats of 16 bits must be: two steps of their type, which are coarser than [`TOLERANCE`]. Expected
/// values of such cases are rounded after each operation, those of this project once at the end of each operator.
const TOLERANCE_F16: Tolerance = Tolerance { absolute: 1e-5, relative: 1.0 / 512.0 };
const TOLERANCE_BF16: Tolerance = Tolerance { absolute: 1e-5, relative: 1.0 / 64.0 };

/// Operators whose results have room for the most elements that there can be, where the case shows only as many as there are: the
/// case's elements come first along every axis, and this value fills the rest.
const PADDED: [(&str, f64); 1] = [("NonMaxSuppression", -1.0)];

/// How one form of a case went.
pub(crate) enum Outcome {
    /// The answer is the case's.
    Passes,
    /// The answer is the case's, and padding after it.
    Padded,
    /// It does not compile, and this is why.
    Refused(Vec<Blocker>),
    /// Anything else.
    Wrong(String),
}

impl Outcome {
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Passes | Self::Padded)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passes => f.write_str("passes"),
            Self::Padded => f.write_str("passes, padded"),
            Self::Refused(blockers) => {
                let blockers: Vec<_> = blockers.iter().map(ToString::to_string).collect();
                write!(f, "refused: {}", blockers.join("; "))
            }
            Self::Wrong(reason) => write!(f, "WRONG: {reason}"),
        }
    }
}

/// Compiles the form, runs it and compares.
pub(crate) fn of(case: &Case, form: Form) -> Outcome {
    let compiled = match compile_path(&case.model(form), None) {
        Ok(compiled) => compiled,
        Err(error) => return refusal(case, error),
    };
    if let Some(kind) = case.other_kind() {
        return Outcome::Wrong(format!("it compiles, with a {kind}"));
    }
    let inputs = match form {
        Form::AsIs => &case.inputs[..],
        Form::Constant => &case.inputs[..case.inputs.len().min(1)],
        Form::AllConstant => &[],
    };
    let inputs: Vec<Tensor> = inputs.iter().map(|entry| case.tensor(entry)).collect();
    match run(compiled.bytes(), case, &inputs) {
        Ok(false) => Outcome::Passes,
        Ok(true) => Outcome::Padded,
        Err(reason) => Outcome::Wrong(reason),
    }
}

/// A refusal, if it names what it must.
fn refusal(case: &Case, error: CompileError) -> Outcome {
    let message = error.to_string();
    let errors = match error {
        CompileError::Model(error) => vec![error],
        CompileError::Models(errors) => errors,
        _ => Vec::new(),
    };
    let blockers: Vec<Blocker> = errors
        .into_iter()
        .flat_map(|error| match error.error {
            FrontendError::Unsupported(blockers) => blockers,
            _ => Vec::new(),
        })
        .collect();
    // Beside operators, the parts of a model that have a type.
    let named = |blocker: &Blocker| {
        let name = blocker.operator.rsplit("::").next().unwrap_or_default();
        let part = matches!(name, "input" | "initializer" | "output") && !blocker.node.is_empty();
        (part || case.operators.iter().any(|operator| operator == name)) && !blocker.reason.is_empty()
    };
    if blockers.is_empty() || !blockers.iter().all(named) {
        return Outcome::Wrong(format!("refused without the operator's name: {message}"));
    }
    Outcome::Refused(blockers)
}

/// Runs an artifact and compares its outputs; true when one of them is padded.
fn run(bytes: &[u8], case: &Case, inputs: &[Tensor]) -> Result<bool, String> {
    let artifact = Artifact::parse(bytes).map_err(|error| error.to_string())?;
    let api = artifact.api(0).ok_or("no API")?;
    if usize::from(api.inputs) != inputs.len() || usize::from(api.outputs) != case.outputs.len() {
        return Err(format!("it has {} inputs and {} outputs", api.inputs, api.outputs));
    }
    let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, 1).ok_or("no arena")?);
    let mut executor = Executor::new(&artifact, 0, 1, arena.as_mut_slice()).map_err(|error| error.to_string())?;
    for (index, input) in inputs.iter().enumerate() {
        let view = executor.input_view(index).map_err(|error| error.to_string())?;
        if (as_case(view.spec.dtype), &view.dims[..]) != (input.dtype, &input.dims[..]) {
            return Err(format!("input {index} is {} {:?}", view.spec.dtype, &view.dims[..]));
        }
        match view.spec.table {
            None => view.bytes.copy_from_slice(&input.bytes),
            Some(table) => view.bytes.copy_from_slice(&categories(&artifact, table, &input.texts)),
        }
    }
    executor.run().map_err(|error| error.to_string())?;
    let mut padded = false;
    for (index, entry) in case.outputs.iter().enumerate() {
        let view = executor.output_view(index).map_err(|error| error.to_string())?;
        let expected = case.tensor(entry);
        if let Some(table) = view.spec.table {
            let known = view.as_slice::<u32>().is_ok_and(|ids| !ids.contains(&DType::UNKNOWN_CATEGORY));
            if !known || view.bytes != categories(&artifact, table, &expected.texts) {
                return Err(format!("output {index} holds other texts"));
            }
            continue;
        }
        let output = compare(case, &expected, &view);
        padded |= output.map_err(|reason| format!("output {index} {reason}"))?;
    }
    Ok(padded)
}

/// The type that a case has for one of this project's.
fn as_case(dtype: DType) -> Option<DType> {
    Some(if dtype == DType::Category { DType::Text } else { dtype })
}

/// The positions of texts in a table of the artifact, as bytes.
fn categories(artifact: &Artifact<'_>, table: u32, texts: &[String]) -> Vec<u8> {
    let strings = artifact.strings();
    let known = || 0..strings.list_len(table).unwrap_or(0);
    let category = |text: &String| known().find(|&at| strings.list_item(table, at) == Some(text));
    texts.iter().flat_map(|text| category(text).unwrap_or(DType::UNKNOWN_CATEGORY).to_le_bytes()).collect()
}

/// True when `got` is `expected` and padding.
fn compare(case: &Case, expected: &Tensor, got: &View<'_>) -> Result<bool, String> {
    let dtype = got.spec.dtype;
    let dims = &got.dims[..];
    if Some(dtype) != expected.dtype {
        return Err(format!("is {dtype}"));
    }
    let padding = PADDED.iter().find(|(operator, _)| *operator == case.operator).map(|&(_, value)| value);
    let fits = dims.len() == expected.dims.len() && dims.iter().zip(&expected.dims).all(|(got, wanted)| got >= wanted);
    let padding = padding.filter(|_| fits && dims != expected.dims);
    if padding.is_none() && dims != expected.dims {
        return Err(format!("has lengths {dims:?} instead of {:?}", expected.dims));
    }
    if padding.is_none() && !is_float(dtype) {
        let differs = got.bytes.iter().zip(&expected.bytes).position(|(got, wanted)| got != wanted);
        return differs.map_or(Ok(false), |at| {
            let (got, wanted) = (got.bytes[at], expected.bytes[at]);
            Err(format!("of {dtype}: byte {at} is {got} instead of {wanted}"))
        });
    }
    let tolerance = match dtype {
        DType::F16 => TOLERANCE_F16,
        DType::BF16 => TOLERANCE_BF16,
        _ => TOLERANCE,
    };
    let (given, wanted) = (numbers(dtype, got.bytes)?, numbers(dtype, &expected.bytes)?);
    let mut wanted = wanted.into_iter();
    for (at, given) in given.into_iter().enumerate() {
        let wanted = match padding {
            Some(value) if !is_inside(at, dims, &expected.dims) => value,
            _ => wanted.next().ok_or("has too many elements")?,
        };
        if !near(wanted, given, tolerance) {
            return Err(format!("of {dtype}: element {at} is {given:e} instead of {wanted:e}"));
        }
    }
    Ok(padding.is_some())
}

/// True when the element at position `at` of a tensor of `dims` is also one of the block of `inner` at its start.
fn is_inside(mut at: usize, dims: &[usize], inner: &[usize]) -> bool {
    dims.iter().zip(inner).rev().all(|(&dim, &inner)| {
        let index = at % dim;
        at /= dim;
        index < inner
    })
}

fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

fn numbers(dtype: DType, bytes: &[u8]) -> Result<Vec<f64>, String> {
    fn all<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|&chunk| number(chunk)).collect()
    }
    Ok(match dtype {
        DType::F16 => all(bytes, |bytes| f16::from_le_bytes(bytes).to_f64()),
        DType::BF16 => all(bytes, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        DType::F32 => all(bytes, |bytes| f32::from_le_bytes(bytes).into()),
        DType::F64 => all(bytes, f64::from_le_bytes),
        DType::I64 => all(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        DType::I32 => all(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        other => return Err(format!("is {other}, which is not compared")),
    })
}
