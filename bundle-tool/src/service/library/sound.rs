//! What the libraries of sound have in common: signals, and options by name.

use std::rc::Rc;

use crate::audio::AudioError;
use crate::graph::{Graph, TensorId};
use crate::service::evaluate::{Array, Call, Evaluator, Index, Place, Stop, Value};

/// The arguments of a call by the names of its parameters.
pub(super) struct Options<'a> {
    pub(super) place: Place,
    given: Vec<(&'static str, Value<'a>)>,
}

impl<'a> Options<'a> {
    /// Binds a call's arguments to `names`, in the order of their positions.
    pub(super) fn bind(
        evaluator: &Evaluator<'_, 'a>,
        call: &Call<'a>,
        names: impl AsRef<[&'static str]>,
    ) -> Result<Self, Stop> {
        let names = names.as_ref();
        let mut given: Vec<(&'static str, Value<'a>)> = Vec::new();
        for (position, (value, place)) in call.positional.iter().enumerate() {
            match names.get(position) {
                Some(name) => given.push((name, value.clone())),
                None => return evaluator.fail(*place, "this argument is not compiled here"),
            }
        }
        for (name, value, place) in &call.keywords {
            match names.iter().find(|known| *known == name) {
                Some(name) if given.iter().all(|(known, _)| known != name) => given.push((name, value.clone())),
                Some(_) => return evaluator.fail(*place, format!("`{name}` is given twice")),
                None => return evaluator.fail(*place, format!("the argument `{name}` is not compiled here")),
            }
        }
        Ok(Self { place: call.place, given })
    }

    /// The argument, where it is given.
    pub(super) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A length; nothing where it is not given or `None`.
    pub(super) fn length(&self, evaluator: &Evaluator<'_, 'a>, name: &str) -> Result<Option<usize>, Stop> {
        let length = match self.get(name) {
            None | Some(Value::None) => return Ok(None),
            Some(Value::Int(value)) => usize::try_from(*value).ok().filter(|&value| value > 0),
            Some(Value::Float(value)) if value.fract() == 0.0 && (1.0..1e9).contains(value) => Some(*value as usize),
            _ => None,
        };
        match length {
            Some(length) => Ok(Some(length)),
            None => evaluator.fail(self.place, format!("`{name}` is compiled for a constant integer above 0")),
        }
    }

    /// A number; nothing where it is not given or `None`.
    pub(super) fn number(&self, evaluator: &Evaluator<'_, 'a>, name: &str) -> Result<Option<f64>, Stop> {
        match self.get(name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Int(value)) => Ok(Some(*value as f64)),
            Some(Value::Float(value)) => Ok(Some(*value)),
            Some(other) => {
                let problem = format!("`{name}` is compiled for a constant number, not {}", other.describe());
                evaluator.fail(self.place, problem)
            }
        }
    }

    /// A truth; nothing where it is not given.
    pub(super) fn flag(&self, evaluator: &Evaluator<'_, 'a>, name: &str) -> Result<Option<bool>, Stop> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => evaluator.fail(self.place, format!("`{name}` is compiled for True and False")),
        }
    }

    /// A text; nothing where it is not given.
    pub(super) fn text(&self, evaluator: &Evaluator<'_, 'a>, name: &str) -> Result<Option<Rc<str>>, Stop> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(other) => {
                let problem = format!("`{name}` is compiled for a constant text, not {}", other.describe());
                evaluator.fail(self.place, problem)
            }
        }
    }

    /// A result computed of the options.
    pub(super) fn checked<T>(&self, evaluator: &Evaluator<'_, 'a>, result: Result<T, AudioError>) -> Result<T, Stop> {
        result.or_else(|error| evaluator.fail(self.place, error.to_string()))
    }
}

/// What `lower` adds to the graph for the expression at `place`.
pub(super) fn computed_audio(
    evaluator: &mut Evaluator<'_, '_>,
    place: Place,
    lower: impl FnOnce(&mut Graph) -> Result<TensorId, AudioError>,
) -> Result<TensorId, Stop> {
    match lower(&mut evaluator.graph) {
        Ok(tensor) => Ok(tensor),
        Err(AudioError::Graph(error)) => evaluator.added(Err(error), place),
        Err(error) => evaluator.fail(place, error.to_string()),
    }
}

/// The signal that a function is given: floats, on the last axis.
pub(super) fn signal<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: Option<&Value<'a>>,
    call: &Call<'a>,
) -> Result<Array, Stop> {
    let Some(Value::Array(array)) = value else {
        let given = value.map_or("nothing".to_owned(), Value::describe);
        return evaluator.fail(call.place, format!("a signal is an array of floats, not {given}"));
    };
    let array = evaluator.computed(array, call.place)?;
    let rank = evaluator.graph.shape(array.tensor).rank();
    if !array.dtype(&evaluator.graph).is_float() {
        return evaluator.fail(call.place, "a signal is of floats. Convert it with `astype`");
    }
    if array.indices.get(rank.saturating_sub(1)).is_some_and(|index| *index != Index::All) {
        return evaluator.fail(call.place, "one sample is no signal");
    }
    Ok(array)
}

/// All axes of an array as bits, where none of them is the batch.
pub(super) fn whole_axes(evaluator: &Evaluator<'_, '_>, array: &Array, place: Place) -> Result<u8, Stop> {
    let axes = array.axes(&evaluator.graph);
    if axes.iter().any(|&axis| evaluator.graph.shape(array.tensor).is_batch(axis)) {
        let problem =
            "the loudest of all signals of a request is not compiled. Call it for each signal, or without `top_db`";
        return evaluator.fail(place, problem);
    }
    Ok(axes.iter().fold(0, |bits, &axis| bits | 1u8.checked_shl(axis as u32).unwrap_or(0)))
}
