//! An estimator as a model: a matrix, or the columns of a table, become its features.

use ekiben_runtime::{DType, Shape, TensorSpec};

use super::features::{Column, Features, Need, Needs};
use super::{Estimator, Item};
use crate::frontend::lengths::Length;
use crate::frontend::{FrontendError, InputLengths, LengthsError, Model, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};

/// Bytes of a text column's cells, at most, unless the user says otherwise.
pub(super) const TEXT_BYTES: usize = 4096;

/// The most that the user can ask for.
const MOST_TEXT_BYTES: u32 = 1 << 24;

/// Name of the length of texts: `--dim text=8192`.
pub(super) const TEXT_DIM: &str = "text";

/// Bytes of a text column's cells that lengths ask for.
///
/// # Errors
/// A length that texts cannot have.
pub(super) fn text_bytes(lengths: &InputLengths) -> Result<usize, LengthsError> {
    match lengths.dims().find(|(name, _)| *name == TEXT_DIM) {
        None => Ok(TEXT_BYTES),
        Some((_, Length::Fixed(bytes))) if bytes <= MOST_TEXT_BYTES => Ok(bytes as usize),
        Some((_, length)) => {
            Err(LengthsError(format!("--dim {TEXT_DIM}={length}: texts take 1 to {MOST_TEXT_BYTES} bytes")))
        }
    }
}

/// The most columns of a table; more are taken as a matrix only.
const MAX_COLUMNS: usize = 1 << 14;

/// Attributes that lead from an estimator around others to one that was fitted on the same columns.
const FITTED_ON_THE_SAME: [&str; 3] = ["best_estimator_", "estimator_", "regressor_"];

/// Lists of estimators whose first one was fitted on the same columns.
const FIRST_OF: [&str; 3] = ["steps", "transformer_list", "estimators_"];

/// Names of the columns that the estimator `item` was fitted on, or its first part where it does not say itself.
pub(super) fn column_names(item: &Item<'_>) -> Result<Option<Vec<String>>, FrontendError> {
    match item.class() {
        Err(_) => return Ok(None),
        Ok(class) if super::dict_vectorizer::FAMILY.classes.contains(&class) => {
            return super::dict_vectorizer::keys(item).map(Some);
        }
        Ok(_) => {}
    }
    for attribute in ["feature_names_in_", "_feature_names_in"] {
        if let Some(names) = item.find(attribute)?
            && names.is_array()
        {
            return Ok(names.array()?.strings().ok());
        }
    }
    if let Some(index) = item.find("_df_columns")? {
        // A pandas Index is made from a dict that holds its labels.
        let labels = index.argument(1).and_then(|made_from| made_from.get("data"));
        return Ok(labels.and_then(|labels| labels.array()?.strings()).ok());
    }
    for attribute in FITTED_ON_THE_SAME {
        if let Some(part) = item.find(attribute)?
            && let Some(names) = column_names(&part)?
        {
            return Ok(Some(names));
        }
    }
    for attribute in FIRST_OF {
        let Some(first) = item.find(attribute)?.and_then(|list| list.at(0).ok()) else { continue };
        let part = if first.class().is_ok() { Some(first) } else { first.at(1).ok() };
        if let Some(names) = part.map(|part| column_names(&part)).transpose()?.flatten() {
            return Ok(Some(names));
        }
    }
    Ok(None)
}

/// An estimator as a model.
pub(super) struct SklearnModel {
    estimator: Box<dyn Estimator>,
    /// Names of the columns; empty where the estimator was fitted on an array.
    names: Vec<String>,
    needs: Needs,
    inputs: Vec<ModelInput>,
    methods: Vec<&'static str>,
}

impl SklearnModel {
    /// The model of an estimator that was fitted on columns of these names, if they had any. Free texts take `text_bytes` at most.
    ///
    /// # Errors
    /// An estimator of no columns or too many; columns that cannot serve all that read them.
    pub(super) fn new(
        estimator: Box<dyn Estimator>,
        names: Vec<String>,
        text_bytes: usize,
    ) -> Result<Self, FrontendError> {
        let features = estimator.features();
        if features == 0 {
            let reason = "the file does not say how many columns it takes. Save it in a pipeline with an estimator that was fitted on them";
            return Err(FrontendError::unsupported("model", "estimator of any number of columns", reason));
        }
        let mut needs = estimator.needs("model", &Needs::Numbers)?;
        if let Needs::Columns(columns) = &needs
            && names.is_empty()
            && columns.iter().all(|need| matches!(need, Need::Nothing | Need::Number))
        {
            // What it was fitted on was one array of numbers, some of which are not read.
            needs = Needs::Numbers;
        }
        let shape =
            |dims: &[usize]| Shape::new(dims, Some(0)).map_err(|error| FrontendError::malformed("model", error));
        let inputs = match &needs {
            Needs::Numbers => {
                let spec = TensorSpec::new(DType::F64, shape(&[1, features])?);
                vec![ModelInput { name: "X".to_owned(), spec, columns: names.clone() }]
            }
            Needs::Columns(needs) if needs.len() != features || features > MAX_COLUMNS => {
                let reason = format!("a table of {features} columns, of which {} are read", needs.len());
                return Err(FrontendError::malformed("model", reason));
            }
            Needs::Columns(needs) => {
                let input = |(index, need): (usize, &Need)| {
                    let name = match names.get(index) {
                        Some(name) => name.clone(),
                        None if features == 1 && *need == Need::Text => "text".to_owned(),
                        None => format!("x{index}"),
                    };
                    let spec = match need {
                        Need::Number => TensorSpec::new(DType::F64, shape(&[1])?),
                        Need::Nothing | Need::Category(_) => TensorSpec::new(DType::Category, shape(&[1])?),
                        Need::Text => TensorSpec::new(DType::Text, shape(&[1, text_bytes])?),
                    };
                    Ok(ModelInput::new(name, spec))
                };
                needs.iter().enumerate().map(input).collect::<Result<_, FrontendError>>()?
            }
        };
        let methods = estimator.methods().iter().map(|method| method.name()).collect();
        Ok(Self { estimator, names, needs, inputs, methods })
    }

    /// The columns of a table as the estimator's features.
    fn columns(&self, graph: &mut Graph, needs: &[Need], inputs: &[TensorId]) -> Result<Features, FrontendError> {
        let mut columns = Vec::with_capacity(inputs.len());
        for ((input, need), &tensor) in self.inputs.iter().zip(needs).zip(inputs) {
            let spec = graph.spec(tensor);
            let (shape, wanted) = (spec.shape, input.spec.shape);
            let is_column = match need {
                Need::Text => shape.rank() == 2 && !shape.is_batch(1),
                _ => shape.rank() == 1,
            };
            let fits = match need {
                Need::Nothing => true,
                Need::Number => is_numeric(spec.dtype),
                Need::Category(_) => spec.dtype == DType::Category,
                Need::Text => spec.dtype == DType::Text,
            };
            if !(fits && is_column) {
                let reason = format!("it is {} {shape}, it needs {need} {wanted}", spec.dtype);
                return Err(FrontendError::malformed(input.name.clone(), reason));
            }
            if spec.dtype == DType::Category && spec.table.is_none() {
                let texts = if let Need::Category(texts) = need { texts.clone() } else { Vec::new() };
                let table = graph.add_table(texts);
                graph.set_table(tensor, table);
            }
            columns.push(Column { name: input.name.clone(), tensor });
        }
        Ok(Features::Columns(columns))
    }
}

impl Model for SklearnModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    fn takes_columns(&self) -> bool {
        self.needs != Needs::Numbers
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        let methods = self.estimator.methods();
        let Some(&method) = methods.iter().find(|known| known.name() == method) else {
            let reason = format!("this estimator has no such method; it has {}", self.methods.join(", "));
            return Err(FrontendError::unsupported("model", method, reason));
        };
        if inputs.len() != self.inputs.len() {
            let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
            let reason = format!("{} inputs, it takes {}: {}", inputs.len(), names.len(), names.join(", "));
            return Err(FrontendError::malformed("model", reason));
        }
        let features = match &self.needs {
            Needs::Columns(needs) => self.columns(graph, needs, inputs)?,
            Needs::Numbers => {
                check_matrix(graph.spec(inputs[0]), self.estimator.features())?;
                Features::Matrix { tensor: inputs[0], names: self.names.clone() }
            }
        };
        let outputs = self.estimator.lower(graph, "model", method, &features)?;
        let count = outputs.len();
        let name = |index| match count {
            1 => method.name().to_owned(),
            _ => format!("{}_{index}", method.name()),
        };
        Ok(outputs.into_iter().enumerate().map(|(index, tensor)| NamedTensor { name: name(index), tensor }).collect())
    }
}

/// Whether scikit-learn computes with elements of this type.
fn is_numeric(dtype: DType) -> bool {
    dtype == DType::Bool || dtype.is_float() || dtype.is_integer() && dtype.bits() >= 8
}

/// Checks that a tensor can be the `X` of an estimator.
fn check_matrix(spec: TensorSpec, features: usize) -> Result<(), FrontendError> {
    let shape = spec.shape;
    let fits = shape.rank() == 2 && shape.factor(1) == Some(features) && !shape.is_batch(1);
    if fits && is_numeric(spec.dtype) {
        return Ok(());
    }
    let reason = format!("X is {} {shape}, it needs numbers [N, {features}]", spec.dtype);
    Err(FrontendError::malformed("model", reason))
}
