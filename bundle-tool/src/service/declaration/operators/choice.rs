//! From scores to answers: softmax, the best classes, their names, thresholds, look-up.

use ekiben_runtime::DType;
use ekiben_runtime::ops::top_k::TopK;

use super::super::super::data;
use super::super::super::evaluate::{Array, Evaluated, Evaluator, Stop, Value};
use super::super::document::{Data, Item};
use super::super::step::{Arguments, place_of};
use super::Operator;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("softmax", &["of", "axis"], softmax),
    Operator::new("argmax", &["of", "axis", "labels"], |evaluator, arguments| {
        best(evaluator, arguments, "numpy.argmax")
    }),
    Operator::new("argmin", &["of", "axis", "labels"], |evaluator, arguments| {
        best(evaluator, arguments, "numpy.argmin")
    }),
    Operator::new("top_k", &["of", "k", "axis", "labels", "smallest"], top_k),
    Operator::new("label", &["of", "labels"], label),
    Operator::new("threshold", &["of", "at", "labels", "above"], threshold),
    Operator::new("where", &["of", "then", "then_value", "else", "else_value"], choose),
];

fn softmax<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axis = arguments.integer(evaluator, "axis")?.unwrap_or(-1);
    arguments.call(evaluator, "scipy.special.softmax", vec![Value::Array(array)], vec![("axis", Value::Int(axis))])
}

fn best<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axis = arguments.integer(evaluator, "axis")?.unwrap_or(-1);
    let found = arguments.call(evaluator, path, vec![Value::Array(array)], vec![("axis", Value::Int(axis))])?;
    match arguments.item("labels") {
        None => Ok(found),
        Some(item) => {
            let labels = constants(evaluator, arguments, item)?;
            labelled(evaluator, arguments, &found, &labels)
        }
    }
}

/// The best of an axis in falling order: positions, scores, and labels where they are known.
fn top_k<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let place = arguments.place();
    let own = array.axes(&evaluator.graph);
    let axis = own[arguments.axis(evaluator, "axis", own.len(), -1)?];
    let (length, batched) = array.extent(&evaluator.graph, axis);
    let k = arguments.needed_length(evaluator, "k")?;
    if batched || k > length {
        let problem = if batched {
            "the best rows of a request are not compiled: their number is not known".to_owned()
        } else {
            format!("the best {k} of {length} are asked for")
        };
        return evaluator.fail(arguments.at("k"), problem);
    }
    let largest = !arguments.flag(evaluator, "smallest")?.unwrap_or(false);
    let op = TopK { axis: axis as u8, k: k as u32, largest };
    let outputs = match evaluator.graph.add_node("top_k", op, &[Some(array.tensor)], &[]) {
        Ok(outputs) => outputs,
        Err(error) => return evaluator.fail(place, format!("this cannot be computed: {}", error.error)),
    };
    let [scores, positions] = outputs[..] else {
        return evaluator.fail(place, "this cannot be computed");
    };
    let index = Value::Array(Array { assumed: false, ..array.with_tensor(positions) });
    let mut parts = vec![
        (Value::Text("index".into()), index.clone()),
        (Value::Text("score".into()), Value::Array(array.with_tensor(scores))),
    ];
    if let Some(item) = arguments.item("labels") {
        let labels = constants(evaluator, arguments, item)?;
        parts.push((Value::Text("label".into()), labelled(evaluator, arguments, &index, &labels)?));
    }
    Ok(Value::Dict(parts.into()))
}

fn label<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let item = arguments.needed(evaluator, "labels")?;
    let labels = constants(evaluator, arguments, item)?;
    labelled(evaluator, arguments, &Value::Array(array), &labels)
}

/// The labels at positions.
fn labelled<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    positions: &Value<'a>,
    labels: &[Value<'a>],
) -> Evaluated<'a> {
    let place = arguments.at("labels");
    let positions = evaluator.operand(positions, place)?;
    if !positions.dtype(&evaluator.graph).is_integer() {
        let problem = format!("labels are looked up by integers, and these are {}", positions.dtype(&evaluator.graph));
        return evaluator.fail(arguments.at("of"), format!("{problem}. Use `cast`"));
    }
    if let Some((known, false)) = scores_before(evaluator, &positions)
        && labels.len() > 1
        && known != labels.len()
    {
        return evaluator.fail(place, format!("there are {} labels for {known} classes", labels.len()));
    }
    let data = evaluator.constant_list(labels, place)?;
    let tensor = match positions.dtype(&evaluator.graph) {
        DType::I32 | DType::I64 => positions.tensor,
        _ => evaluator.cast(positions.tensor, DType::I64, place)?,
    };
    let tensor = evaluator.gathered(data, 0, tensor, place)?;
    Ok(Value::Array(Array { assumed: false, python: false, ..positions.with_tensor(tensor) }))
}

/// Length of the axis among which positions were found.
fn scores_before(evaluator: &Evaluator<'_, '_>, positions: &Array) -> Option<(usize, bool)> {
    use ekiben_runtime::Op;
    let node = evaluator.graph.producer(positions.tensor)?;
    let axis = match &node.op {
        Op::ArgReduce(op) => op.axis,
        Op::TopK(op) => op.axis,
        _ => return None,
    };
    let shape = evaluator.graph.shape((*node.inputs.first()?)?);
    Some((shape.factor(usize::from(axis))?, shape.is_batch(usize::from(axis))))
}

/// True from a number on, or above it; with two labels the first for what is not.
fn threshold<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let value = arguments.value(evaluator, "of")?;
    let at = arguments.needed(evaluator, "at")?.constant();
    let path =
        if arguments.flag(evaluator, "above")?.unwrap_or(false) { "numpy.greater" } else { "numpy.greater_equal" };
    let reached = arguments.call(evaluator, path, vec![value, at], Vec::new())?;
    let Some(item) = arguments.item("labels") else { return Ok(reached) };
    let labels = constants(evaluator, arguments, item)?;
    let [no, yes] = &labels[..] else {
        return evaluator.fail(place_of(item), format!("a threshold has two labels, not {}", labels.len()));
    };
    let reached = evaluator.operand(&reached, arguments.place())?;
    evaluator.selected(&reached, yes, no, arguments.place()).map(Value::Array)
}

/// One value where `of` holds, another one elsewhere.
fn choose<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let condition = arguments.value(evaluator, "of")?;
    let mut sides = Vec::new();
    for (reference, constant) in [("then", "then_value"), ("else", "else_value")] {
        sides.push(match (arguments.item(reference), arguments.constant(constant)) {
            (Some(item), None) => arguments.reference(evaluator, item)?,
            (None, Some(constant)) => constant,
            _ => {
                let problem = format!("`where` needs `{reference}`, a value's name, or `{constant}`, a constant");
                return evaluator.fail(arguments.place(), problem);
            }
        });
    }
    let given = std::iter::once(condition).chain(sides).collect();
    arguments.call(evaluator, "numpy.where", given, Vec::new())
}

/// A list of constants: written, of an artifact that is data, or of a file of the bento.
pub(super) fn constants<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    item: &Item,
) -> Result<Vec<Value<'a>>, Stop> {
    let place = place_of(item);
    let value = match &item.data {
        Data::Text(name) => file(evaluator, name, item)?,
        _ => item.constant(),
    };
    match value {
        Value::List(items) if items.len() <= super::super::super::evaluate::MAX_ITEMS => Ok(items.to_vec()),
        Value::List(items) => evaluator.fail(place, format!("{} items are too many", items.len())),
        // One item on each line of a text file.
        Value::Text(text) => Ok(text.lines().map(|line| Value::Text(line.trim().into())).collect()),
        Value::Dict(items) => numbered(evaluator, &items, item),
        other => {
            let name = arguments.step.operator.name;
            evaluator.fail(place, format!("`{name}` needs a list, and this is {}", other.describe()))
        }
    }
}

/// The items of a table from positions to items, or from items to positions, in the order of the positions.
fn numbered<'a>(
    evaluator: &Evaluator<'_, 'a>,
    items: &[(Value<'a>, Value<'a>)],
    item: &Item,
) -> Result<Vec<Value<'a>>, Stop> {
    let position = |value: &Value<'a>| match value {
        Value::Int(at) => usize::try_from(*at).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let mut found = vec![None; items.len()];
    for (key, value) in items {
        let pair = match (value, position(key)) {
            (Value::Int(at), None) => usize::try_from(*at).ok().map(|at| (at, key)),
            (_, at) => at.map(|at| (at, value)),
        };
        if let Some((at, label)) = pair
            && let Some(slot) = found.get_mut(at)
        {
            *slot = Some(label.clone());
        }
    }
    match found.into_iter().collect() {
        Some(labels) => Ok(labels),
        None => evaluator.fail(place_of(item), "this table has not one item for each position from 0 on"),
    }
}

/// A table of constants: written, of an artifact that is data, or of a file of the bento.
pub(super) fn dictionary<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    item: &Item,
) -> Result<Vec<(Value<'a>, Value<'a>)>, Stop> {
    let value = match &item.data {
        Data::Text(name) => file(evaluator, name, item)?,
        _ => item.constant(),
    };
    match value {
        Value::Dict(items) if !items.is_empty() => Ok(items.to_vec()),
        other => {
            let name = arguments.step.operator.name;
            evaluator.fail(place_of(item), format!("`{name}` needs a table of constants, not {}", other.describe()))
        }
    }
}

/// What a look-up table of the bento holds: an artifact by its name, or a JSON or text file by its path.
fn file<'a>(evaluator: &mut Evaluator<'_, 'a>, name: &str, item: &Item) -> Evaluated<'a> {
    let place = place_of(item);
    if let Some(model) = evaluator.bundle.model(name) {
        let tag = model.tag();
        return match evaluator.data(&tag, place)? {
            Some(value) => Ok(value),
            None => evaluator.fail(place, format!("`{name}` is a model, and no look-up table")),
        };
    }
    let text = match evaluator.bundle.read_text_file(name) {
        Ok(text) => text,
        Err(error) => return evaluator.fail(place, format!("this file cannot be read: {error}")),
    };
    if !name.ends_with(".json") {
        return Ok(Value::Text(text.into()));
    }
    data::json(&text).or_else(|problem| evaluator.fail(place, format!("{name}: {problem}")))
}
