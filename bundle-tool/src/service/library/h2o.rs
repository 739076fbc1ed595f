//! H2O: frames, and models that answer with one.

use std::rc::Rc;

use super::{Function, Method};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Frame, Kind, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[("h2o.H2OFrame", |evaluator, call| {
    let [data] = call.bind(evaluator, ["python_obj"])?;
    match data {
        Some(frame @ Value::Frame(_)) => Ok(frame),
        _ => evaluator.fail(call.at(0), "`H2OFrame` is compiled of a data frame"),
    }
})];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[(Kind::Frame, "as_data_frame", |evaluator, value, call| {
    // How the frame travels does not matter here.
    call.bind(evaluator, ["use_pandas", "header"])?;
    Ok(value.clone())
})];

/// Whether a model is one of H2O's.
pub(super) fn is_asked(evaluator: &Evaluator<'_, '_>, name: &str) -> bool {
    evaluator.bundle.model(name).is_some_and(|file| file.kind == "H2oModelArtifact")
}

/// `model.predict(frame)`: a frame of the prediction and, of classes, the share of each.
pub(super) fn predict<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    name: &str,
    method: &str,
    call: &Call<'a>,
) -> Evaluated<'a> {
    if method != "predict" {
        return evaluator.fail(call.place, format!("`{method}` of a model of H2O is not compiled; `predict` is"));
    }
    let [data] = call.bind(evaluator, ["test_data"])?;
    let Some(Value::Frame(frame)) = data else {
        return evaluator.fail(call.at(0), "a model of H2O takes an `H2OFrame`");
    };
    let frame = Value::Frame(frame);
    let prediction = asked(evaluator, name, "predict", &frame, call)?;
    let labels = evaluator.graph.spec(prediction.tensor).table.map(|table| table as usize);
    let labels: Option<Vec<String>> = labels.and_then(|table| evaluator.graph.tables().get(table).cloned());
    let Some(labels) = labels else {
        return Ok(Value::Frame(Rc::new(Frame::Columns(vec![("predict".to_owned(), prediction)], None))));
    };
    let shares = asked(evaluator, name, "predict_proba", &frame, call)?;
    let mut columns = vec![("predict".to_owned(), numbered(evaluator, prediction, &labels, call)?)];
    for (at, label) in (0..).zip(&labels) {
        // As `hex.Model` names them: a label that is an integer has a letter before.
        let column = if label.parse::<i32>().is_ok() { format!("p{label}") } else { label.clone() };
        columns.push((column, shares.with_index(1, crate::service::evaluate::Index::At(at))));
    }
    Ok(Value::Frame(Rc::new(Frame::Columns(columns, None))))
}

/// What a method of the model computes of a frame, whose columns are taken by name.
fn asked<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    name: &str,
    method: &str,
    frame: &Value<'a>,
    call: &Call<'a>,
) -> Result<Array, Stop> {
    let place = call.at(0);
    let outputs = if evaluator.takes_columns(name) {
        evaluator.call_table_model(name, method, frame, place)?
    } else {
        let Some(model) = evaluator.models.get(name) else {
            return evaluator.missing_model(name, place);
        };
        let columns = model.inputs().first().map(|input| input.columns.clone()).unwrap_or_default();
        let Value::Frame(frame) = frame else {
            return evaluator.fail(place, "a model of H2O takes an `H2OFrame`");
        };
        let names = Value::List(columns.iter().map(|column| Value::Text(column.as_str().into())).collect());
        let chosen = evaluator.select(frame, &names, place)?;
        let array = super::array_of(evaluator, &chosen, place)?;
        evaluator.call_model(name, method, &[(array, place)], true, call.place)?
    };
    match outputs.first() {
        Some(output) => Ok(Array::whole(output.tensor)),
        None => evaluator.fail(call.place, "this model answers nothing"),
    }
}

/// Labels as pandas reads them of the CSV that H2O sends: integers where all are.
fn numbered<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    prediction: Array,
    labels: &[String],
    call: &Call<'a>,
) -> Result<Array, Stop> {
    let number = |label: &String| label.parse::<i64>().ok().filter(|number| number.to_string() == *label);
    let Some(numbers) = labels.iter().map(number).collect::<Option<Vec<i64>>>() else { return Ok(prediction) };
    let texts = labels.iter().map(|label| Value::Text(label.as_str().into()));
    let items: Vec<(Value<'a>, Value<'a>)> = texts.zip(numbers.into_iter().map(Value::Int)).collect();
    match evaluator.looked_up(&items, &prediction, None, call.place)? {
        Value::Array(array) => Ok(array),
        other => evaluator.fail(call.place, format!("{} is no label", other.describe())),
    }
}
