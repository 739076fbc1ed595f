//! Models.

use super::super::super::evaluate::{Array, Call, Evaluated, Evaluator, Place, Value};
use super::super::super::library;
use super::super::document::Data;
use super::super::step::{Arguments, place_of, stop};
use super::Operator;
use crate::bundle::ModelFile;
use crate::frontend::{Model, NamedTensor};
use crate::python::Framework;

pub(super) const OPERATORS: &[Operator] = &[Operator::new("model", &["of", "model", "method", "options"], model)];

/// The file of the model that `model` names; of a bento with one model that one.
fn file<'e, 'a>(
    evaluator: &Evaluator<'e, 'a>,
    arguments: &Arguments<'_, 'a>,
) -> Result<&'e ModelFile, super::super::super::evaluate::Stop> {
    let all = &evaluator.bundle.models;
    let names: Vec<String> = all.iter().map(ModelFile::tag).collect();
    match arguments.text(evaluator, "model")? {
        Some(name) => match evaluator.bundle.model(name.strip_suffix(":latest").unwrap_or(&name)) {
            Some(file) => Ok(file),
            None => {
                let problem = format!("the bento has no model `{name}`; it has {}", names.join(", "));
                evaluator.fail(arguments.at("model"), problem)
            }
        },
        None => match &all[..] {
            [only] => Ok(only),
            _ => evaluator.fail(arguments.place(), format!("`model` needs `model`, one of {}", names.join(", "))),
        },
    }
}

/// What a method of a model computes.
fn model<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let file = file(evaluator, arguments)?;
    let tag = file.tag();
    let models = evaluator.models;
    if let Some(framework) = Framework::of(file) {
        return network(evaluator, arguments, &tag, framework);
    }
    let Some(model) = models.get(&tag) else {
        return evaluator.missing_model(&tag, arguments.at("model"));
    };
    let methods = model.methods();
    let method = match arguments.text(evaluator, "method")? {
        Some(method) if methods.contains(&&*method) => method.to_string(),
        Some(method) => {
            let problem = format!("the model `{tag}` has no method `{method}`; it has {}", methods.join(", "));
            return evaluator.fail(arguments.at("method"), problem);
        }
        None => match methods.iter().find(|method| **method == "predict").or(methods.first()) {
            Some(method) => (*method).to_owned(),
            None => return evaluator.fail(arguments.at("model"), "this model has no method to call"),
        },
    };
    let asked = model.takes_columns() || methods.contains(&"predict_margin") || arguments.item("options").is_some();
    if asked {
        return estimator(evaluator, arguments, &tag, method, model.as_ref());
    }
    let given = inputs(evaluator, arguments, model.as_ref(), &tag)?;
    let outputs = evaluator.call_model(&tag, &method, &given, true, arguments.place())?;
    Ok(value(&outputs))
}

/// One output as it is, several by their names.
fn value<'a>(outputs: &[NamedTensor]) -> Value<'a> {
    match outputs {
        [output] => Value::Array(Array::whole(output.tensor)),
        _ => Value::Dict(
            outputs
                .iter()
                .map(|output| (Value::Text(output.name.as_str().into()), Value::Array(Array::whole(output.tensor))))
                .collect(),
        ),
    }
}

/// The arrays that `of` gives to each input: a list in the inputs' order, or a table by their names.
fn inputs<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    model: &dyn Model,
    tag: &str,
) -> Result<Vec<(Array, Place)>, super::super::super::evaluate::Stop> {
    let item = arguments.needed(evaluator, "of")?;
    let mut given = Vec::new();
    match &item.data {
        Data::Table(table) => {
            let wanted = model.inputs();
            let names: Vec<&str> = wanted.iter().map(|input| input.name.as_str()).collect();
            table.only(&names, &format!("the model `{tag}`")).map_err(|fault| stop(evaluator, fault))?;
            for input in &wanted {
                let Some(item) = table.get(&input.name) else {
                    let problem =
                        format!("the model `{tag}` takes {}; `{}` is not given", names.join(", "), input.name);
                    return evaluator.fail(place_of(item), problem);
                };
                let value = arguments.reference(evaluator, item)?;
                given.push((evaluator.operand(&value, place_of(item))?, place_of(item)));
            }
        }
        _ => {
            for value in arguments.values(evaluator, "of")? {
                given.push((evaluator.operand(&value, place_of(item))?, place_of(item)));
            }
        }
    }
    Ok(given)
}

/// A model whose library has arguments of its own, or that takes a table.
fn estimator<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    tag: &str,
    method: String,
    model: &dyn Model,
) -> Evaluated<'a> {
    let mut given = arguments.value(evaluator, "of")?;
    // xgboost's boosters take a matrix of their own.
    if model.methods().contains(&"predict_margin") && !method.starts_with("inplace_") {
        given = arguments.call(evaluator, "xgboost.DMatrix", vec![given], Vec::new())?;
    }
    let mut keywords = Vec::new();
    if let Some(item) = arguments.item("options") {
        let table = item.table().map_err(|fault| stop(evaluator, fault))?;
        for entry in &table.entries {
            let Some(name) = OPTIONS.iter().copied().find(|known| *known == &*entry.key) else {
                let problem = format!("there is no option `{}`; there are {}", entry.key, OPTIONS.join(", "));
                return evaluator.fail(place_of(&entry.item), problem);
            };
            keywords.push((name, entry.item.constant(), place_of(&entry.item)));
        }
    }
    let call = Call { place: arguments.place(), positional: vec![(given, arguments.at("of"))], keywords };
    library::model_method(evaluator, &Value::Estimator(tag.into()), &method, &call)
}

/// Arguments of the methods of models.
const OPTIONS: &[&str] = &[
    "output_margin",
    "iteration_range",
    "predict_type",
    "missing",
    "raw_score",
    "pred_leaf",
    "start_iteration",
    "num_iteration",
    "prediction_type",
    "ntree_start",
    "ntree_end",
];

/// A network that its own framework exports.
fn network<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    tag: &str,
    framework: Framework,
) -> Evaluated<'a> {
    let item = arguments.needed(evaluator, "of")?;
    let mut positional = Vec::new();
    for value in arguments.values(evaluator, "of")? {
        let array = evaluator.operand(&value, place_of(item))?;
        let torch = framework != Framework::Tensorflow;
        positional.push((Value::Array(Array { python: false, torch, ..array }), place_of(item)));
    }
    let call = Call { place: arguments.place(), positional, keywords: Vec::new() };
    library::network_call(evaluator, &Value::Network(tag.into(), framework), &call)
}
