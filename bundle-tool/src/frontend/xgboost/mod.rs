//! xgboost's models: JSON and UBJSON files, and the binary files of releases before 2.2, with the arithmetic of its CPU predictor.
//!
//! A model takes one matrix of float32, NaN where a value is missing. Its methods are those of `xgboost.Booster`: `predict` and
//! `inplace_predict`, with the objective's link, and either with `_margin` for the sums before it. A range of rounds may follow, as in
//! `predict[0:10]`. Without one every tree counts, as in `Booster.predict`; only scikit-learn's wrapper looks at the best iteration.
//!
//! A model that was trained on a frame with columns of categories, and keeps them (since 3.1), takes the columns of a table.
//!
//! Splits compare in float32; the sum starts from the base score, to which trees are added in order, in float32. Links are computed operation by
//! operation as xgboost has them; only `exp` and the logarithm can differ, by a unit in the last place.

mod binary;
mod document;
pub(crate) mod lower;
pub(crate) mod model;
mod objective;
#[cfg(test)]
mod tests;
mod ubjson;

use ekiben_runtime::{DType, Shape, TensorSpec};

use super::sklearn::Need;
use super::{FrontendError, Model, ModelInput, NamedTensor, OpenOptions, sklearn};
use crate::graph::{Graph, TensorId};
use lower::Way;

pub(crate) use lower::with_missing;
pub(crate) use model::Booster;
pub(crate) use objective::Link;

/// The methods of a booster, and whether each gives margins, as `inplace_predict` makes them.
const METHODS: &[(&str, bool, bool)] = &[
    ("predict", false, false),
    ("predict_margin", true, false),
    ("inplace_predict", false, true),
    ("inplace_predict_margin", true, true),
];

/// Opens a JSON file.
///
/// # Errors
/// A file that is damaged or no model of xgboost's, and objectives that are not known.
pub fn open_json(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    document::from_json(bytes).and_then(|booster| XgboostModel::open(booster, options))
}

/// Opens a UBJSON file.
///
/// # Errors
/// As [`open_json`].
pub fn open_ubjson(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    document::from_ubjson(bytes).and_then(|booster| XgboostModel::open(booster, options))
}

/// Opens a binary file (`.model`).
///
/// # Errors
/// As [`open_json`].
pub fn open_binary(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    binary::read(bytes).and_then(|booster| XgboostModel::open(booster, options))
}

/// Reads the bytes that a pickled `Booster` holds: a document with model and configuration, or, up to 1.6, both after one another behind
/// `CONFIG-offset:` and the length of the first.
///
/// # Errors
/// As [`open_json`].
pub(crate) fn read_state(bytes: &[u8]) -> Result<Booster, FrontendError> {
    const HEADER: &[u8] = b"CONFIG-offset:";
    match bytes {
        [b'{', b'"' | b' ' | b'\n' | b'\r' | b'\t', ..] => document::from_json(bytes),
        [b'{', ..] => document::from_ubjson(bytes),
        _ if bytes.starts_with(HEADER) => {
            let rest = &bytes[HEADER.len()..];
            let parts = rest
                .split_first_chunk::<8>()
                .and_then(|(length, rest)| rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?));
            let Some((model, config)) = parts else {
                return Err(FrontendError::malformed("handle", "the configuration is not where it should be"));
            };
            let mut booster = binary::read(model)?;
            if let Some(parallel) = document::config_from_json(config)?.parallel_trees() {
                booster.set_parallel_trees(parallel);
            }
            Ok(booster)
        }
        _ => binary::read(bytes),
    }
}

/// A booster as a model.
struct XgboostModel {
    booster: Booster,
    inputs: Vec<ModelInput>,
}

/// The most columns of a table.
const MAX_COLUMNS: usize = 1 << 14;

impl XgboostModel {
    /// The model of a file, or the estimator that the file is loaded as.
    fn open(booster: Booster, options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
        if let Some(class) = options.class.filter(|class| class.starts_with("XGB")) {
            return sklearn::of_booster(class, booster);
        }
        let shape = |dims: &[usize]| {
            let shape = Shape::new(dims, Some(0));
            shape.map_err(|error| FrontendError::malformed("learner_model_param.num_feature", error))
        };
        let inputs = match booster.needs() {
            None => {
                let spec = TensorSpec::new(DType::F32, shape(&[1, booster.features])?);
                vec![ModelInput { name: "X".to_owned(), spec, columns: booster.names.clone() }]
            }
            Some(needs) if needs.len() > MAX_COLUMNS => {
                let reason = format!("a table of {} columns, at most {MAX_COLUMNS} are taken", needs.len());
                return Err(FrontendError::malformed("cats", reason));
            }
            Some(needs) => {
                let column = |(index, need): (usize, Need)| {
                    let dtype = if matches!(need, Need::Category(_)) { DType::Category } else { DType::F64 };
                    Ok(ModelInput::new(booster.name(index), TensorSpec::new(dtype, shape(&[1])?)))
                };
                needs.into_iter().enumerate().map(column).collect::<Result<_, FrontendError>>()?
            }
        };
        Ok(Box::new(XgboostModel { booster, inputs }))
    }

    /// The matrix of what the model is given.
    fn matrix(&self, graph: &mut Graph, inputs: &[TensorId]) -> Result<TensorId, FrontendError> {
        if inputs.len() != self.inputs.len() {
            let reason = format!("{} inputs, it takes {}", inputs.len(), self.inputs.len());
            return Err(FrontendError::malformed("model", reason));
        }
        for (input, &tensor) in self.inputs.iter().zip(inputs) {
            let (spec, wanted) = (graph.spec(tensor), input.spec.shape);
            let fits = spec.shape.rank() == wanted.rank() && spec.shape.factor(1) == wanted.factor(1);
            if !fits || spec.shape.is_batch(1) {
                let reason = format!("it is {} {}, it needs {wanted}", spec.dtype, spec.shape);
                return Err(FrontendError::malformed(input.name.clone(), reason));
            }
        }
        match inputs {
            &[x] if !self.takes_columns() => Ok(x),
            columns => self.booster.matrix(graph, "model", columns),
        }
    }
}

impl Model for XgboostModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn takes_columns(&self) -> bool {
        self.booster.columns.is_some()
    }

    fn methods(&self) -> &[&'static str] {
        &["predict", "predict_margin", "inplace_predict", "inplace_predict_margin"]
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        let (plain, range) = method.split_once('[').map_or((method, None), |(plain, range)| (plain, Some(range)));
        let rounds = range.map_or(Some((0, None)), rounds);
        let known = METHODS.iter().find(|(known, ..)| *known == plain);
        let (Some(&(name, is_margin, in_place)), Some((from, to))) = (known, rounds) else {
            let reason = format!("a booster has no such method; it has {}", self.methods().join(", "));
            return Err(FrontendError::unsupported("model", method, reason));
        };
        let x = self.matrix(graph, inputs)?;
        let x = with_missing(graph, "model", x, f32::NAN)?;
        let margins = self.booster.margins(graph, "model", x, Way { from, to, in_place })?;
        let tensor = match is_margin {
            true => self.booster.squeezed(graph, "model", margins)?,
            false => self.booster.predictions(graph, "model", margins)?,
        };
        Ok(vec![NamedTensor { name: name.to_owned(), tensor }])
    }
}

/// The rounds that `0:10]` names; no number after the colon stands for the last one.
fn rounds(range: &str) -> Option<(usize, Option<usize>)> {
    let (from, to) = range.strip_suffix(']')?.split_once(':')?;
    let to = if to.is_empty() { None } else { Some(to.parse().ok()?) };
    Some((from.parse().ok()?, to))
}
