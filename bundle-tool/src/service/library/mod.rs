//! What functions, methods and attributes of Python's libraries mean: one file per library, one entry per name.
//!
//! A function is looked up by its full path, whatever the service calls it; a method or attribute by the kind of value it belongs
//! to. To support one more, write what it does to [`Value`]s and add the entry.

mod bentoml;
mod builtins;
mod catboost;
mod h2o;
mod image;
mod librosa;
mod lightgbm;
mod model;
mod network;
mod numpy;
mod onnxruntime;
mod opencv;
mod pandas;
mod runner;
mod sound;
mod stored;
mod tensorflow;
mod text;
mod tf_signal;
mod torch;
mod torchvision;
mod xgboost;

use super::evaluate::{Call, Evaluated, Evaluator, Kind, Place, Value};

pub(super) use bentoml::artifact;
pub(super) use image::takes_images;
pub(super) use model::model_method;
pub(super) use network::network_call;
pub(super) use numpy::array_of;
pub(super) use numpy::create::mat_mul;
pub(super) use numpy::shape::with_new_axis;
pub(super) use opencv::reversed_channels;
pub(super) use pandas::columns;
pub(super) use runner::runner_attribute;
pub(super) use stored::{Stored, below, lines};
pub(super) use torch::result_type;
pub(super) use torchvision::{Transform, transformed};

/// What a function does.
pub(super) type Function = for<'e, 'a, 'c> fn(&mut Evaluator<'e, 'a>, &'c Call<'a>) -> Evaluated<'a>;
/// What a method does: the receiver comes before the call.
pub(super) type Method = for<'e, 'a, 'c> fn(&mut Evaluator<'e, 'a>, &'c Value<'a>, &'c Call<'a>) -> Evaluated<'a>;
/// What an attribute is of its owner.
pub(super) type Property = for<'e, 'a, 'c> fn(&mut Evaluator<'e, 'a>, &'c Value<'a>, Place) -> Evaluated<'a>;

const FUNCTIONS: &[&[(&str, Function)]] = &[
    builtins::FUNCTIONS,
    numpy::FUNCTIONS,
    numpy::create::FUNCTIONS,
    numpy::element::FUNCTIONS,
    numpy::reduce::FUNCTIONS,
    numpy::shape::FUNCTIONS,
    numpy::sort::FUNCTIONS,
    pandas::FUNCTIONS,
    bentoml::FUNCTIONS,
    catboost::FUNCTIONS,
    xgboost::FUNCTIONS,
    librosa::FUNCTIONS,
    tf_signal::FUNCTIONS,
    tensorflow::FUNCTIONS,
    torch::FUNCTIONS,
    image::FUNCTIONS,
    opencv::FUNCTIONS,
    torchvision::FUNCTIONS,
    stored::FUNCTIONS,
    h2o::FUNCTIONS,
];

const METHODS: &[&[(Kind, &str, Method)]] = &[
    builtins::METHODS,
    text::METHODS,
    numpy::METHODS,
    numpy::create::METHODS,
    numpy::element::METHODS,
    numpy::reduce::METHODS,
    numpy::shape::METHODS,
    numpy::sort::METHODS,
    pandas::METHODS,
    onnxruntime::METHODS,
    network::METHODS,
    runner::METHODS,
    tensorflow::METHODS,
    torch::METHODS,
    image::METHODS,
    stored::METHODS,
    h2o::METHODS,
];

const PROPERTIES: &[&[(Kind, &str, Property)]] = &[
    numpy::PROPERTIES,
    numpy::shape::PROPERTIES,
    pandas::PROPERTIES,
    onnxruntime::PROPERTIES,
    network::PROPERTIES,
    torch::PROPERTIES,
    image::PROPERTIES,
    stored::PROPERTIES,
];

/// The function with this full path.
pub(super) fn function(path: &str) -> Option<Function> {
    FUNCTIONS.iter().copied().flatten().find(|(name, _)| *name == path).map(|(_, function)| *function)
}

/// The method `name` of a kind of value.
pub(super) fn method(kind: Kind, name: &str) -> Option<Method> {
    METHODS
        .iter()
        .copied()
        .flatten()
        .find(|(owner, known, _)| *owner == kind && *known == name)
        .map(|(.., method)| *method)
}

/// The attribute `name` of a kind of value.
pub(super) fn property(kind: Kind, name: &str) -> Option<Property> {
    let mut all = PROPERTIES.iter().copied().flatten();
    all.find(|(owner, known, _)| *owner == kind && *known == name).map(|(.., property)| *property)
}

/// Whether a kind of value has this method or attribute.
pub(super) fn has(kind: Kind, name: &str) -> bool {
    method(kind, name).is_some() || property(kind, name).is_some()
}

/// The constant with this full path.
pub(super) fn constant<'a>(path: &str) -> Option<Value<'a>> {
    numpy::CONSTANTS.iter().find(|(name, _)| *name == path).map(|(_, number)| Value::Float(*number))
}

/// Names of all methods and attributes of a kind of value, for messages.
pub(super) fn names(kind: Kind) -> String {
    let methods = METHODS.iter().copied().flatten().map(|(owner, name, _)| (owner, name));
    let properties = PROPERTIES.iter().copied().flatten().map(|(owner, name, _)| (owner, name));
    let names: Vec<&str> =
        methods.chain(properties).filter(|(owner, _)| **owner == kind).map(|(_, name)| *name).collect();
    names.join(", ")
}
