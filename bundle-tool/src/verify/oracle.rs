//! Runs a source model in tract, kept apart: on a thread with a large stack, panics caught and silent, within a time limit.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Arc, Once, mpsc};
use std::thread;
use std::time::Duration;

use ekiben_runtime::DType;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TValue, TVec, Tensor as TractTensor,
    TractError, TractResult, TypedModel, TypedRunnableModel,
};

use crate::bundle::ModelFormat;

/// The engine and its version, as reports name it.
pub const NAME: &str = "tract 0.23.9";

/// Name of the thread that runs the engine, by which its panics are told apart.
const THREAD: &str = "ekiben-oracle";
/// tract optimises a model by recursion as deep as the model.
const STACK_BYTES: usize = 256 << 20;
/// What loading and all runs may take together.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// An input with all its lengths known.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Type of the elements.
    pub dtype: DType,
    /// Lengths, outermost first.
    pub dims: Vec<usize>,
    /// The elements, little-endian, in C order.
    pub bytes: Vec<u8>,
}

/// An output of either side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Lengths, outermost first.
    pub dims: Vec<usize>,
    /// The elements in C order.
    pub values: Values,
}

/// Elements by how they are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats of any width: compared within a tolerance.
    Floats(Vec<f64>),
    /// Integers and booleans: compared exactly.
    Integers(Vec<i128>),
    /// Strings: compared exactly.
    Texts(Vec<String>),
}

/// The outputs of one call, or what the engine said instead.
pub type Answer = Result<Vec<Output>, String>;

/// Runs the model on every call's inputs. Calls of the same shapes that follow each other share one loaded model.
///
/// # Errors
/// Why the engine has no answer to any call: it cannot load the model, or takes too long.
pub fn answers(format: ModelFormat, model: &[u8], calls: Vec<Vec<Input>>) -> Result<Vec<Answer>, String> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let model = model.to_vec();
    let answers = contained(TIME_LIMIT, move || run_all(format, &model, &calls))?;
    match answers.iter().find_map(|answer| answer.as_ref().err()) {
        Some(reason) if answers.iter().all(Result::is_err) => Err(reason.clone()),
        _ => Ok(answers),
    }
}

/// Runs `work` on a thread of its own and waits for its result; a thread that takes longer than `limit` is left behind.
fn contained<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    silence_panics();
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(move || drop(sender.send(work())));
    thread.map_err(|error| format!("its thread cannot be started: {error}"))?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => format!("it has not answered within {} seconds", limit.as_secs()),
        mpsc::RecvTimeoutError::Disconnected => "it panicked".to_owned(),
    })
}

/// Keeps the panics of the engine's thread off the user's terminal; all others are reported as before.
fn silence_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if thread::current().name() != Some(THREAD) {
                before(info);
            }
        }));
    });
}

/// The result of `work`, or the message of its error or panic.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| causes(&error)),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(format!("it panicked: {}", one_line(text.as_deref().unwrap_or("without a message"))))
        }
    }
}

/// An error with what caused it.
fn causes(error: &TractError) -> String {
    error.chain().map(|cause| one_line(&cause.to_string())).collect::<Vec<_>>().join(": ")
}

/// The start of a message, on one line.
fn one_line(text: &str) -> String {
    const LENGTH: usize = 100;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn run_all(format: ModelFormat, model: &[u8], calls: &[Vec<Input>]) -> Vec<Answer> {
    let alike = |a: &Vec<Input>, b: &Vec<Input>| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.dtype, &a.dims) == (b.dtype, &b.dims))
    };
    let mut answers = Vec::new();
    for calls in calls.chunk_by(alike) {
        match guarded(|| load(format, model, &calls[0])) {
            Ok(plan) => answers.extend(calls.iter().map(|call| guarded(|| run(&plan, call)))),
            Err(reason) => answers.extend(calls.iter().map(|_| Err(reason.clone()))),
        }
    }
    answers
}

/// The model with the inputs' types and lengths, ready to run.
fn load(format: ModelFormat, model: &[u8], inputs: &[Input]) -> TractResult<Arc<TypedRunnableModel>> {
    let bytes = &mut &*model;
    let typed: TypedModel = match format {
        ModelFormat::Onnx => {
            let onnx = tract_onnx::onnx().with_ignore_output_shapes(true);
            let mut graph = onnx.model_for_read(bytes)?;
            for (index, input) in inputs.iter().enumerate() {
                graph.set_input_fact(index, InferenceFact::dt_shape(datum_type(input.dtype)?, &input.dims))?;
            }
            graph.into_optimized()?
        }
        ModelFormat::Tflite => tract_tflite::tflite().model_for_read(bytes)?.into_optimized()?,
        other => return Err(TractError::msg(format!("it does not read {other:?} models"))),
    };
    typed.into_runnable()
}

fn run(plan: &Arc<TypedRunnableModel>, inputs: &[Input]) -> TractResult<Vec<Output>> {
    let inputs = inputs.iter().map(|input| Ok(TValue::from(tensor(input)?)));
    let inputs = inputs.collect::<TractResult<TVec<TValue>>>()?;
    plan.run(inputs)?.iter().map(|value| output(value)).collect()
}

fn tensor(input: &Input) -> TractResult<TractTensor> {
    let mut tensor = TractTensor::zero_dt(datum_type(input.dtype)?, &input.dims)?;
    let bytes = tensor.as_bytes_mut();
    if bytes.len() != input.bytes.len() {
        return Err(TractError::msg(format!("it needs {} bytes for an input of {}", bytes.len(), input.bytes.len())));
    }
    bytes.copy_from_slice(&input.bytes);
    Ok(tensor)
}

fn datum_type(dtype: DType) -> TractResult<DatumType> {
    Ok(match dtype {
        DType::Bool => DatumType::Bool,
        DType::I8 => DatumType::I8,
        DType::I16 => DatumType::I16,
        DType::I32 => DatumType::I32,
        DType::I64 => DatumType::I64,
        DType::U8 => DatumType::U8,
        DType::U16 => DatumType::U16,
        DType::U32 => DatumType::U32,
        DType::U64 => DatumType::U64,
        DType::F16 => DatumType::F16,
        DType::F32 => DatumType::F32,
        DType::F64 => DatumType::F64,
        _ => {
            return Err(TractError::msg(format!("inputs of type {dtype} are not given to it")));
        }
    })
}

fn output(tensor: &TractTensor) -> TractResult<Output> {
    let values = match tensor.datum_type() {
        DatumType::String => Values::Texts(tensor.try_as_plain_ram()?.as_slice::<String>()?.to_vec()),
        DatumType::U64 => {
            Values::Integers(tensor.try_as_plain_ram()?.as_slice::<u64>()?.iter().map(|&value| value.into()).collect())
        }
        dtype if dtype.is_float() => {
            Values::Floats(tensor.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
        }
        _ => {
            let wide = tensor.cast_to::<i64>()?;
            Values::Integers(wide.try_as_plain_ram()?.as_slice::<i64>()?.iter().map(|&value| value.into()).collect())
        }
    };
    Ok(Output { dims: tensor.shape().to_vec(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_and_errors_become_messages() {
        silence_panics();
        assert_eq!(guarded(|| Ok(7)), Ok(7));
        let failed = guarded(|| -> TractResult<()> { Err(TractError::msg("inner\ncause").context("outer")) });
        assert_eq!(failed, Err("outer: inner cause".to_owned()));
        let panicked = contained(TIME_LIMIT, || guarded(|| -> TractResult<()> { panic!("at {}", 7) }));
        assert_eq!(panicked, Ok(Err("it panicked: at 7".to_owned())));
        assert_eq!(contained(TIME_LIMIT, || -> () { panic!() }), Err("it panicked".to_owned()));
    }

    #[test]
    fn work_without_an_end_is_left() {
        let (_sender, receiver) = mpsc::channel::<()>();
        let endless = contained(Duration::from_millis(20), move || receiver.recv().is_ok());
        assert!(endless.is_err_and(|reason| reason.contains("has not answered")));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(one_line("two\n  lines"), "two lines");
        let long = one_line(&"é".repeat(500));
        assert!(long.ends_with('…') && long.chars().count() == 101);
    }

    #[test]
    fn files_of_other_formats_are_refused() {
        let call = vec![Input { dtype: DType::F32, dims: vec![1], bytes: vec![0; 4] }];
        for format in [ModelFormat::Pickle, ModelFormat::Onnx, ModelFormat::Tflite] {
            assert!(answers(format, b"no model", vec![call.clone()]).is_err(), "{format:?}");
        }
        assert_eq!(answers(ModelFormat::Onnx, b"no model", Vec::new()), Ok(Vec::new()));
    }
}
