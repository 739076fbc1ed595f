//! A booster as a model.

use ekiben_runtime::{DType, Shape, TensorSpec};

use super::categories;
use super::scores::{Answer, Iterations};
use super::text::Booster;
use crate::frontend::sklearn::Need;
use crate::frontend::{FrontendError, Model, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};

/// What can be asked of a booster. Each may be followed by a range of iterations, `predict[0:10]`, of which either end may be left
/// out.
const METHODS: &[(&str, Answer)] =
    &[("predict", Answer::Prediction), ("predict_raw", Answer::Raw), ("predict_leaf", Answer::Leaves)];
const NAMES: &[&str] = &["predict", "predict_raw", "predict_leaf"];

/// The most columns of a table; more are taken as a matrix only.
const MAX_COLUMNS: usize = 1 << 14;

/// A booster as a model: of one matrix `data`, or of the columns of a table.
#[derive(Debug)]
pub struct LightgbmModel {
    booster: Booster,
    inputs: Vec<ModelInput>,
}

impl LightgbmModel {
    /// The model of a booster.
    ///
    /// # Errors
    /// A table of more columns than are taken.
    pub fn new(booster: Booster) -> Result<Self, FrontendError> {
        let shape =
            |dims: &[usize]| Shape::new(dims, Some(0)).map_err(|error| FrontendError::malformed("header", error));
        let inputs = match booster.needs() {
            None => {
                let spec = TensorSpec::new(DType::F64, shape(&[1, booster.features])?);
                vec![ModelInput { name: "data".to_owned(), spec, columns: booster.feature_names.clone() }]
            }
            Some(needs) if needs.len() > MAX_COLUMNS => {
                let reason = format!("a table of {} columns, at most {MAX_COLUMNS} are taken", needs.len());
                return Err(FrontendError::malformed("header", reason));
            }
            Some(needs) => {
                let column = |(index, need): (usize, Need)| {
                    let dtype = if matches!(need, Need::Category(_)) { DType::Category } else { DType::F64 };
                    Ok(ModelInput::new(booster.name(index), TensorSpec::new(dtype, shape(&[1])?)))
                };
                needs.into_iter().enumerate().map(column).collect::<Result<_, FrontendError>>()?
            }
        };
        Ok(Self { booster, inputs })
    }

    /// The booster.
    pub fn booster(&self) -> &Booster {
        &self.booster
    }
}

impl Model for LightgbmModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        // There are no leaves to name without trees.
        if self.booster.trees.is_empty() { &NAMES[..2] } else { NAMES }
    }

    fn takes_columns(&self) -> bool {
        self.booster.columns.is_some()
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        if inputs.len() != self.inputs.len() {
            let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
            let reason = format!("{} inputs, it takes {}: {}", inputs.len(), names.len(), names.join(", "));
            return Err(FrontendError::malformed("model", reason));
        }
        let (answer, iterations) = parse_method(method)?;
        for (input, &tensor) in self.inputs.iter().zip(inputs) {
            check(graph.spec(tensor), input)?;
        }
        let x =
            if self.takes_columns() { categories::matrix(graph, "model", &self.booster, inputs)? } else { inputs[0] };
        let tensor = self.booster.lower(graph, "model", answer, x, iterations)?;
        Ok(vec![NamedTensor { name: "prediction".to_owned(), tensor }])
    }
}

/// Checks that a tensor can be what the model takes: numbers of any type where it takes numbers.
fn check(spec: TensorSpec, input: &ModelInput) -> Result<(), FrontendError> {
    let (shape, wanted) = (spec.shape, input.spec.shape);
    let lengths = (1..wanted.rank()).all(|axis| shape.factor(axis) == wanted.factor(axis) && !shape.is_batch(axis));
    let is_number =
        spec.dtype == DType::Bool || spec.dtype.is_float() || spec.dtype.is_integer() && spec.dtype.bits() >= 8;
    let fits = if input.spec.dtype == DType::Category { spec.dtype == DType::Category } else { is_number };
    if shape.rank() == wanted.rank() && lengths && fits {
        return Ok(());
    }
    let reason = format!("it is {} {shape}, it needs {} {wanted}", spec.dtype, input.spec.dtype);
    Err(FrontendError::malformed(input.name.clone(), reason))
}

/// A method's answer and its range of iterations.
fn parse_method(method: &str) -> Result<(Answer, Iterations), FrontendError> {
    let (name, range) = match method.split_once('[') {
        Some((name, range)) => (name, range.strip_suffix(']')),
        None => (method, Some(":")),
    };
    let end = |text: &str| if text.is_empty() { Ok(None) } else { text.parse::<usize>().map(Some) };
    let range = range.and_then(|range| range.split_once(':')).map(|(start, stop)| (end(start), end(stop)));
    let answer = METHODS.iter().find(|(known, _)| *known == name).map(|(_, answer)| *answer);
    match (answer, range) {
        (Some(answer), Some((Ok(start), Ok(stop)))) => {
            let iterations = match (start, stop) {
                (None, None) => Iterations::default(),
                (start, stop) => Iterations { start: start.unwrap_or(0), stop: Some(stop.unwrap_or(usize::MAX)) },
            };
            Ok((answer, iterations))
        }
        _ => {
            let reason = format!("a booster has no such method; it has {}", NAMES.join(", "));
            Err(FrontendError::unsupported("model", method, reason))
        }
    }
}
