//! H2O's MOJOs: zips with `model.ini`, domains of categories, and what the algorithm writes.
//!
//! Models compute on a row of float64 in which a category is its place in the column's domain; what is missing, and a category that training has not
//! seen, is NaN. A model with categories takes the columns of a table, another one a matrix.
//!
//! Arithmetic is that of `hex.genmodel`: trees in float64 with leaves of float32 added in their order. Of more than two classes with equal shares H2O draws
//! one by a hash of the row; the first one is taken here.

mod algorithms;
mod answer;
mod boosted;
mod columns;
mod ensemble;
mod ini;
mod linear;
mod tree;

use ekiben_runtime::{DType, Shape, TensorSpec};

use super::sklearn::{Labels, pick_labels};
use super::zipped::Files;
use super::{FrontendError, Model, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};
use algorithms::{Algorithm, column};
use answer::Answer;
use columns::{cast, join, number, shaped};
use ini::Ini;

/// Why a model that `h2o.save_model` wrote is refused, and what to do.
const SAVE_A_MOJO: &str = "this is H2O's own binary format, which only the same release of H2O reads. Save a MOJO instead: \
call `model.save_mojo(path)` or `model.download_mojo(path)` where `h2o.save_model(model)` was called; or compile with \
--allow-python[=INTERPRETER], which starts that interpreter in a separate process and has its H2O write the MOJO";

/// Refuses a file in H2O's own binary format (Iced).
///
/// # Errors
/// Always: the sentence that says how to save a MOJO.
pub fn refuse_binary(_bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    Err(FrontendError::unsupported("file", "H2O binary model", SAVE_A_MOJO))
}

/// The most columns of a table with categories.
const MAX_TABLE: usize = 1 << 14;

/// True for files that no model reads: descriptions for people. What is known of trees besides is left out too.
fn is_for_people(name: &str) -> bool {
    name.contains("experimental/") || name.ends_with("_aux.bin")
}

/// Opens a MOJO.
///
/// # Errors
/// A damaged archive; a zip that is no MOJO; an algorithm or an option that is not supported.
pub fn open(bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    let files = Files::open(bytes, is_for_people)?;
    if !files.contains("model.ini") {
        return Err(FrontendError::malformed("archive", "it has no `model.ini` and is no MOJO"));
    }
    let ini = Ini::read(&files, "")?;
    let algorithm = Algorithm::read(&files, &ini, 0)?;
    Ok(Box::new(Mojo::new(ini, algorithm)?))
}

/// A MOJO as a model.
struct Mojo {
    ini: Ini,
    algorithm: Algorithm,
    inputs: Vec<ModelInput>,
    labels: Option<Labels>,
    methods: &'static [&'static str],
}

impl Mojo {
    fn new(ini: Ini, algorithm: Algorithm) -> Result<Self, FrontendError> {
        let features = ini.features()?;
        let shape =
            |dims: &[usize]| Shape::new(dims, Some(0)).map_err(|error| FrontendError::malformed("model", error));
        let columns = ini.columns[..features].to_vec();
        let has_categories = ini.domains[..features].iter().any(Option::is_some);
        let inputs = if has_categories {
            if features > MAX_TABLE {
                return Err(
                    ini.unsupported(&format!("{features} columns"), "tables of so many columns are not supported")
                );
            }
            let input = |(name, domain): (&String, &Option<Vec<String>>)| {
                let dtype = if domain.is_some() { DType::Category } else { DType::F64 };
                Ok(ModelInput::new(name.clone(), TensorSpec::new(dtype, shape(&[1])?)))
            };
            columns.iter().zip(&ini.domains).map(input).collect::<Result<Vec<_>, FrontendError>>()?
        } else {
            let spec = TensorSpec::new(DType::F64, shape(&[1, features])?);
            vec![ModelInput { name: "X".to_owned(), spec, columns }]
        };
        let classes = ini.number::<usize>("n_classes")?;
        let labels = (classes > 1).then(|| labels(&ini, classes)).transpose()?;
        let methods: &[&str] = if labels.is_some() { &["predict", "predict_proba"] } else { &["predict"] };
        Ok(Self { ini, algorithm, inputs, labels, methods })
    }

    /// The row of numbers, `[N, features]`.
    fn row(&self, graph: &mut Graph, inputs: &[TensorId]) -> Result<TensorId, FrontendError> {
        if inputs.len() != self.inputs.len() {
            let reason = format!("{} inputs, it takes {}", inputs.len(), self.inputs.len());
            return Err(FrontendError::malformed("model", reason));
        }
        let is_number = |dtype: DType| dtype == DType::Bool || DType::numbers().contains(&dtype);
        if !self.takes_columns() {
            let (spec, wanted) = (graph.spec(inputs[0]), self.inputs[0].spec.shape);
            let fits = spec.shape.rank() == 2 && spec.shape.factor(1) == wanted.factor(1) && !spec.shape.is_batch(1);
            if !(fits && is_number(spec.dtype)) {
                let reason = format!("X is {} {}, it needs numbers {wanted}", spec.dtype, spec.shape);
                return Err(FrontendError::malformed("model", reason));
            }
            return cast(graph, "model", inputs[0], DType::F64);
        }
        let mut parts = Vec::with_capacity(inputs.len());
        for ((&tensor, input), domain) in inputs.iter().zip(&self.inputs).zip(&self.ini.domains) {
            let spec = graph.spec(tensor);
            let fits = if domain.is_some() { spec.dtype == DType::Category } else { is_number(spec.dtype) };
            if !fits || spec.shape.rank() != 1 {
                let reason = format!("it is {} {}, it needs {} [N]", spec.dtype, spec.shape, input.spec.dtype);
                return Err(FrontendError::malformed(&input.name, reason));
            }
            parts.push(number(graph, &input.name, tensor, domain.as_deref())?);
        }
        join(graph, "model", &parts)
    }
}

/// The labels of the classes: the domain of the response, or 0 and 1.
fn labels(ini: &Ini, classes: usize) -> Result<Labels, FrontendError> {
    let domain = if ini.flag("supervised", false) { ini.domains.last().cloned().flatten() } else { None };
    let domain = domain.or_else(|| (classes == 2).then(|| vec!["0".to_owned(), "1".to_owned()]));
    match domain {
        Some(domain) if domain.len() == classes => Ok(Labels::Text(domain)),
        _ => Err(FrontendError::malformed("model.ini", format!("no domain of {classes} classes for the response"))),
    }
}

impl Model for Mojo {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        self.methods
    }

    fn takes_columns(&self) -> bool {
        self.inputs.len() > 1 || self.inputs[0].spec.shape.rank() == 1
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        if !self.methods.contains(&method) {
            let reason = format!("this model has no such method; it has {}", self.methods.join(", "));
            return Err(FrontendError::unsupported("model", method, reason));
        }
        let row = self.row(graph, inputs)?;
        let named = |name: &str, tensor| NamedTensor { name: name.to_owned(), tensor };
        let answer = self.algorithm.lower(graph, "model", &self.ini, row)?;
        match answer {
            Answer::Value(value) => Ok(vec![named("predict", shaped(graph, "model", value, &[])?)]),
            Answer::Cluster(cluster) => Ok(vec![named("predict", cluster)]),
            Answer::Named(values) => {
                let mut outputs = Vec::new();
                for (name, value) in values {
                    outputs.push(named(name, shaped(graph, name, value, &[])?));
                }
                Ok(outputs)
            }
            Answer::Classes(shares, _) if method == "predict_proba" => Ok(vec![named(method, shares)]),
            Answer::Classes(shares, class) => {
                let Some(labels) = &self.labels else {
                    return Err(FrontendError::malformed("model.ini", "shares of classes that have no labels"));
                };
                let label = pick_labels(graph, "model", std::slice::from_ref(labels), labels.count(), class)?;
                let mut outputs = vec![named("predict", label)];
                let Labels::Text(texts) = labels else { return Ok(outputs) };
                for (index, text) in texts.iter().enumerate() {
                    // H2O puts a letter before labels that are numbers.
                    let name = if text.parse::<f64>().is_ok() { format!("p{text}") } else { text.clone() };
                    let share = column(graph, &format!("share_{index}"), shares, index)?;
                    outputs.push(NamedTensor { name, tensor: share });
                }
                Ok(outputs)
            }
        }
    }
}
