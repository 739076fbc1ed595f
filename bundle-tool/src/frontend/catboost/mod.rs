//! CatBoost: `.cbm` files and what `save_model(format="json")` writes.
//!
//! Trees are oblivious (all nodes of a depth ask the same question) or free. They read numbers in float32, categories one by one, and *statistics*: numbers
//! made of counts of a combination of categories. Files keep hashes of categories, not their texts, so a model with categories takes them as
//! texts and hashes them; integers are hashed as their decimal text. A category that was not seen in training has the statistics of nothing
//! counted.
//!
//! Leaves are summed in float64 tree by tree from 0, as CatBoost's evaluator does, then multiplied by the scale, then the bias is added.

mod binary;
mod ensemble;
mod flatbuffer;
mod json;
mod link;
mod lower;
#[cfg(test)]
mod tests;

use ekiben_runtime::{DType, Shape, TensorSpec};

use super::{FrontendError, Model, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};
use ensemble::Ensemble;
use link::Link;

pub(in crate::frontend) use link::Answer;
pub(in crate::frontend) use lower::Columns;

/// Bytes of a category's text, at most.
pub(in crate::frontend) const CATEGORY_BYTES: usize = 256;

/// The most columns of a table with categories.
const MAX_COLUMNS: usize = 1 << 14;

/// Methods, with what they answer. Models without classes have the first and the last.
const METHODS: [(&str, Answer); 4] = [
    ("predict", Answer::Prediction),
    ("predict_proba", Answer::Probability),
    ("predict_log_proba", Answer::LogProbability),
    ("predict_raw", Answer::Raw),
];

/// A model of any of CatBoost's classes.
#[derive(Clone, Debug)]
pub(in crate::frontend) struct Booster {
    ensemble: Ensemble,
    link: Link,
    /// Name of each column, and whether it holds categories.
    columns: Vec<(String, bool)>,
}

/// Why a model with a feature of this kind is refused.
fn refuse_feature(name: &str, flat: i32, kind: &str) -> FrontendError {
    let name = if name.is_empty() { format!("column {flat}") } else { format!("column {name:?}") };
    let reason = format!("features of this kind are not supported; train the model without {kind}_features");
    FrontendError::unsupported(name, format!("CatBoost {kind} feature"), reason)
}

impl Booster {
    /// Reads a `.cbm` file or a JSON document.
    ///
    /// # Errors
    /// A damaged file; parts of it that are not supported, by name.
    pub(in crate::frontend) fn read(bytes: &[u8]) -> Result<Self, FrontendError> {
        let ensemble = if bytes.starts_with(binary::MAGIC) { binary::read(bytes)? } else { json::read(bytes)? };
        let columns = ensemble.columns()?;
        if columns.len() > MAX_COLUMNS && columns.iter().any(|&(_, is_category)| is_category) {
            let reason = format!("a table of {} columns; {MAX_COLUMNS} at most are supported", columns.len());
            return Err(FrontendError::unsupported("features", "CatBoost", reason));
        }
        let link = Link::of(&ensemble.info, ensemble.dimension)?;
        Ok(Self { ensemble, link, columns })
    }

    /// Name of each column of the input, and whether it holds categories.
    pub(in crate::frontend) fn columns(&self) -> &[(String, bool)] {
        &self.columns
    }

    /// Names of the columns; none where they are only numbered, as CatBoost names columns that have no names.
    pub(in crate::frontend) fn names(&self) -> Vec<String> {
        let is_named = self.columns.iter().enumerate().any(|(number, (name, _))| *name != number.to_string());
        if is_named { self.columns.iter().map(|(name, _)| name.clone()).collect() } else { Vec::new() }
    }

    /// True for a classifier.
    pub(in crate::frontend) fn has_classes(&self) -> bool {
        self.link.has_shares()
    }

    /// True where a column holds categories, so that the model takes a table.
    pub(in crate::frontend) fn has_categories(&self) -> bool {
        self.columns.iter().any(|&(_, is_category)| is_category)
    }

    /// Appends what the model answers to `columns`.
    ///
    /// # Errors
    /// Columns that are not what [`Self::columns`] says; parts of the model that do not belong together.
    pub(in crate::frontend) fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        answer: Answer,
        columns: &Columns,
    ) -> Result<TensorId, FrontendError> {
        self.check(graph, path, columns)?;
        let raw = self.ensemble.lower(graph, path, columns)?;
        self.link.lower(graph, path, raw, answer)
    }

    fn check(&self, graph: &Graph, path: &str, columns: &Columns) -> Result<(), FrontendError> {
        let is_number = |spec: TensorSpec| spec.dtype == DType::Bool || DType::numbers().contains(&spec.dtype);
        let wrong = |name: &str, spec: TensorSpec, needs: &str| {
            let reason = format!("{name} is {} {}, it needs {needs}", spec.dtype, spec.shape);
            Err(FrontendError::malformed(path, reason))
        };
        match columns {
            &Columns::Matrix(x) => {
                let (spec, width) = (graph.spec(x), self.columns.len());
                let fits = spec.shape.rank() == 2 && spec.shape.factor(1) == Some(width) && !spec.shape.is_batch(1);
                if self.has_categories() {
                    return wrong("X", spec, "a table: some columns hold categories, which are texts");
                }
                if fits && is_number(spec) { Ok(()) } else { wrong("X", spec, &format!("numbers [N, {width}]")) }
            }
            Columns::Table(table) if table.len() != self.columns.len() => {
                let reason = format!("{} columns, it takes {}", table.len(), self.columns.len());
                Err(FrontendError::malformed(path, reason))
            }
            Columns::Table(table) => {
                for (&tensor, (name, is_category)) in table.iter().zip(&self.columns) {
                    let spec = graph.spec(tensor);
                    let is_text = spec.dtype == DType::Text && spec.shape.rank() == 2 && !spec.shape.is_batch(1);
                    match is_category {
                        true if !is_text => return wrong(name, spec, "texts [N, bytes]"),
                        false if spec.shape.rank() != 1 || !is_number(spec) => return wrong(name, spec, "numbers [N]"),
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }
}

/// Opens a `.cbm` file or a JSON document.
///
/// # Errors
/// A damaged file; parts of it that are not supported, by name.
pub fn open(bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    let booster = Booster::read(bytes)?;
    let shape = |dims: &[usize]| Shape::new(dims, Some(0)).map_err(|error| FrontendError::malformed("model", error));
    let inputs = if booster.has_categories() {
        let input = |(name, is_category): &(String, bool)| {
            let spec = match is_category {
                true => TensorSpec::new(DType::Text, shape(&[1, CATEGORY_BYTES])?),
                false => TensorSpec::new(DType::F64, shape(&[1])?),
            };
            Ok(ModelInput::new(name.clone(), spec))
        };
        booster.columns().iter().map(input).collect::<Result<_, FrontendError>>()?
    } else {
        let spec = TensorSpec::new(DType::F32, shape(&[1, booster.columns().len()])?);
        vec![ModelInput { name: "X".to_owned(), spec, columns: booster.names() }]
    };
    let methods = METHODS.iter().filter(|(_, answer)| booster.has_classes() || !is_share(*answer));
    let methods = methods.map(|&(name, _)| name).collect();
    Ok(Box::new(CatboostModel { booster, inputs, methods }))
}

fn is_share(answer: Answer) -> bool {
    matches!(answer, Answer::Probability | Answer::LogProbability)
}

/// A booster as a model.
struct CatboostModel {
    booster: Booster,
    inputs: Vec<ModelInput>,
    methods: Vec<&'static str>,
}

impl Model for CatboostModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    fn takes_columns(&self) -> bool {
        self.booster.has_categories()
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        let known = METHODS.iter().find(|(name, _)| *name == method && self.methods.contains(name));
        let Some(&(name, answer)) = known else {
            let reason = format!("this model has no such method; it has {}", self.methods.join(", "));
            return Err(FrontendError::unsupported("model", method, reason));
        };
        let columns = match (inputs, self.takes_columns()) {
            (&[x], false) => Columns::Matrix(x),
            (inputs, true) => Columns::Table(inputs.to_vec()),
            _ => return Err(FrontendError::malformed("model", format!("{} inputs, it takes X", inputs.len()))),
        };
        let tensor = self.booster.lower(graph, "model", answer, &columns)?;
        Ok(vec![NamedTensor { name: name.to_owned(), tensor }])
    }
}
