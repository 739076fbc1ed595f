//! Boxes around objects: other corners, offsets from anchors, choice of those that do not overlap.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::non_max_suppression::NonMaxSuppression;
use ekiben_runtime::ops::unary::UnaryKind;

use super::super::super::evaluate::{Array, Evaluated, Evaluator, Stop, Value};
use super::super::document::Item;
use super::super::step::Arguments;
use super::Operator;
use super::arithmetic::floats;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("box_convert", &["of", "from", "to"], convert),
    Operator::new("box_decode", &["of", "anchors", "scales"], decode),
    Operator::new("nms", &["boxes", "scores", "max", "overlap", "score", "form"], suppress),
];

/// How four numbers are a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Two opposite corners, x first.
    Xyxy,
    /// Two opposite corners, y first.
    Yxyx,
    /// The least corner and the lengths.
    Xywh,
    /// The centre and the lengths, x first.
    Cxcywh,
    /// The centre and the lengths, y first.
    Cycxhw,
}

const FORMS: [(&str, Form); 5] = [
    ("xyxy", Form::Xyxy),
    ("yxyx", Form::Yxyx),
    ("xywh", Form::Xywh),
    ("cxcywh", Form::Cxcywh),
    ("cycxhw", Form::Cycxhw),
];

fn form<'a>(
    evaluator: &Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    key: &str,
    usual: Option<Form>,
) -> Result<Form, Stop> {
    if let (Some(usual), None) = (usual, arguments.item(key)) {
        return Ok(usual);
    }
    arguments.needed(evaluator, key)?;
    let name = arguments.text(evaluator, key)?.unwrap_or_else(|| "".into());
    match FORMS.iter().find(|(known, _)| **known == *name) {
        Some((_, form)) => Ok(*form),
        None => {
            let names: Vec<&str> = FORMS.iter().map(|(name, _)| *name).collect();
            evaluator.fail(arguments.at(key), format!("`{name}` is no form of boxes; there are {}", names.join(", ")))
        }
    }
}

/// Arithmetic of parts of boxes.
struct Parts<'p, 'e, 'c, 'a> {
    evaluator: &'p mut Evaluator<'e, 'a>,
    arguments: &'p Arguments<'c, 'a>,
}

impl<'a> Parts<'_, '_, '_, 'a> {
    fn combine(&mut self, kind: BinaryKind, a: &Array, b: &Array) -> Result<Array, Stop> {
        let (a, b) = (Value::Array(a.clone()), Value::Array(b.clone()));
        self.evaluator.combine(kind, &a, &b, self.arguments.place())
    }

    fn times(&mut self, a: &Array, factor: f64) -> Result<Array, Stop> {
        let place = self.arguments.place();
        self.evaluator.combine(BinaryKind::Mul, &Value::Array(a.clone()), &Value::Float(factor), place)
    }

    /// The four numbers of boxes, each with the other axes.
    fn of(&mut self, boxes: &Array, key: &str) -> Result<[Array; 4], Stop> {
        let axes = boxes.axes(&self.evaluator.graph);
        let last = axes.last().map(|&axis| boxes.extent(&self.evaluator.graph, axis));
        if last != Some((4, false)) {
            return self.evaluator.fail(self.arguments.at(key), "boxes have four numbers each on their last axis");
        }
        let mut numbers = Vec::new();
        for at in 0..4 {
            let mut indices = vec![Value::Slice(None, None, 1); axes.len() - 1];
            indices.push(Value::Int(at));
            let part = self.evaluator.part(boxes, &indices, self.arguments.place())?;
            let part = self.evaluator.operand(&part, self.arguments.place())?;
            numbers.push(self.evaluator.led(&part, self.arguments.place())?);
        }
        match <[Array; 4]>::try_from(numbers) {
            Ok(numbers) => Ok(numbers),
            Err(_) => self.evaluator.fail(self.arguments.place(), "boxes have four numbers"),
        }
    }

    /// Four numbers as boxes.
    fn boxes(&mut self, numbers: [Array; 4]) -> Evaluated<'a> {
        let rank = numbers[0].axes(&self.evaluator.graph).len() as i64;
        let items = numbers.into_iter().map(Value::Array).collect();
        self.arguments.call(self.evaluator, "numpy.stack", vec![Value::List(items)], vec![("axis", Value::Int(rank))])
    }

    /// Boxes of a form as their least and greatest corners: x1, y1, x2, y2.
    fn corners(&mut self, [a, b, c, d]: [Array; 4], form: Form) -> Result<[Array; 4], Stop> {
        Ok(match form {
            Form::Xyxy => [a, b, c, d],
            Form::Yxyx => [b, a, d, c],
            Form::Xywh => {
                let x = self.combine(BinaryKind::Add, &a, &c)?;
                let y = self.combine(BinaryKind::Add, &b, &d)?;
                [a, b, x, y]
            }
            Form::Cxcywh | Form::Cycxhw => {
                let [x, y, width, height] = if form == Form::Cxcywh { [a, b, c, d] } else { [b, a, d, c] };
                let (half_width, half_height) = (self.times(&width, 0.5)?, self.times(&height, 0.5)?);
                [
                    self.combine(BinaryKind::Sub, &x, &half_width)?,
                    self.combine(BinaryKind::Sub, &y, &half_height)?,
                    self.combine(BinaryKind::Add, &x, &half_width)?,
                    self.combine(BinaryKind::Add, &y, &half_height)?,
                ]
            }
        })
    }

    /// Corners as boxes of a form.
    fn in_form(&mut self, [x1, y1, x2, y2]: [Array; 4], form: Form) -> Result<[Array; 4], Stop> {
        Ok(match form {
            Form::Xyxy => [x1, y1, x2, y2],
            Form::Yxyx => [y1, x1, y2, x2],
            _ => {
                let width = self.combine(BinaryKind::Sub, &x2, &x1)?;
                let height = self.combine(BinaryKind::Sub, &y2, &y1)?;
                if form == Form::Xywh {
                    return Ok([x1, y1, width, height]);
                }
                let (x, y) = (self.combine(BinaryKind::Add, &x1, &x2)?, self.combine(BinaryKind::Add, &y1, &y2)?);
                let (x, y) = (self.times(&x, 0.5)?, self.times(&y, 0.5)?);
                if form == Form::Cxcywh { [x, y, width, height] } else { [y, x, height, width] }
            }
        })
    }
}

fn convert<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let boxes = floats(evaluator, arguments, "of")?;
    let from = form(evaluator, arguments, "from", None)?;
    let to = form(evaluator, arguments, "to", None)?;
    let mut parts = Parts { evaluator: &mut *evaluator, arguments };
    let numbers = parts.of(&boxes, "of")?;
    let corners = parts.corners(numbers, from)?;
    let numbers = parts.in_form(corners, to)?;
    parts.boxes(numbers)
}

/// Offsets `[ty, tx, th, tw]` from anchors `[cy, cx, h, w]` as boxes `[y1, x1, y2, x2]`: the centre moves by `t / scale` lengths of the
/// anchor, the lengths grow by `exp(t / scale)`.
fn decode<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let offsets = floats(evaluator, arguments, "of")?;
    let item = arguments.needed(evaluator, "anchors")?;
    let anchors = match item.text() {
        Ok(_) => arguments.array(evaluator, "anchors")?,
        Err(_) => evaluator.operand(&item.constant(), arguments.at("anchors"))?,
    };
    let to = offsets.dtype(&evaluator.graph);
    let tensor = evaluator.cast(anchors.tensor, to, arguments.at("anchors"))?;
    let anchors = Array { python: false, ..anchors.with_tensor(tensor) };
    let scales = match arguments.item("scales") {
        None => vec![1.0; 4],
        Some(item) => {
            let scales = item.list().and_then(|items| items.iter().map(Item::number).collect::<Result<Vec<_>, _>>());
            scales.unwrap_or_default()
        }
    };
    if scales.len() != 4 || scales.contains(&0.0) {
        return evaluator.fail(arguments.at("scales"), "`scales` are four numbers other than zero");
    }
    let mut parts = Parts { evaluator: &mut *evaluator, arguments };
    let moved = parts.of(&offsets, "of")?;
    let [y, x, height, width] = parts.of(&anchors, "anchors")?;
    let mut scaled = Vec::new();
    for (offset, scale) in moved.iter().zip(scales) {
        scaled.push(parts.times(offset, 1.0 / scale)?);
    }
    let [ty, tx, th, tw] = &scaled[..] else {
        return parts.evaluator.fail(arguments.place(), "boxes have four numbers");
    };
    let mut centre = |t: &Array, length: &Array, at: &Array| {
        let away = parts.combine(BinaryKind::Mul, t, length)?;
        parts.combine(BinaryKind::Add, &away, at)
    };
    let (y, x) = (centre(ty, &height, &y)?, centre(tx, &width, &x)?);
    let mut grown = |t: &Array, length: &Array| {
        let factor = parts.evaluator.map(t, UnaryKind::Exp, arguments.place())?;
        parts.combine(BinaryKind::Mul, &factor, length)
    };
    let (height, width) = (grown(th, &height)?, grown(tw, &width)?);
    let corners = parts.corners([x, y, width, height], Form::Cxcywh)?;
    let numbers = parts.in_form(corners, Form::Yxyx)?;
    parts.boxes(numbers)
}

/// The best boxes of each class that do not overlap: `max` of them for each class, those that are not there with `kept` false.
fn suppress<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let place = arguments.place();
    let boxes = arguments.array(evaluator, "boxes")?;
    let scores = arguments.array(evaluator, "scores")?;
    let form = form(evaluator, arguments, "form", Some(Form::Xyxy))?;
    let shapes = (evaluator.graph.shape(boxes.tensor), evaluator.graph.shape(scores.tensor));
    let (&[count, 4], &[classes, others]) = (shapes.0.factors(), shapes.1.factors()) else {
        return evaluator.fail(arguments.at("boxes"), "boxes have the shape [S, 4] and scores [C, S]");
    };
    if count != others || shapes.0.is_batched() || shapes.1.is_batched() {
        let problem = "boxes have the shape [S, 4] and scores [C, S], of one picture and a known number of boxes";
        return evaluator.fail(arguments.at("scores"), problem);
    }
    let most = arguments.needed_length(evaluator, "max")?.min(count as usize);
    let overlap = arguments.number(evaluator, "overlap")?.unwrap_or(0.5);
    let least = arguments.number(evaluator, "score")?;
    // The operator takes corners with y first; all overlaps are the same with x first.
    let numbers = {
        let mut parts = Parts { evaluator: &mut *evaluator, arguments };
        let numbers = parts.of(&boxes, "boxes")?;
        let corners = parts.corners(numbers, form)?;
        parts.boxes(corners)?
    };
    let boxes = evaluator.operand(&numbers, place)?;
    let as_image = |evaluator: &mut Evaluator<'_, 'a>, array: &Array, dims: [usize; 3]| {
        let tensor = evaluator.cast(array.tensor, DType::F32, place)?;
        evaluator.reshaped(tensor, &dims, None, place)
    };
    let (count, classes) = (count as usize, classes as usize);
    let image_boxes = as_image(evaluator, &boxes, [1, count, 4])?;
    let image_scores = as_image(evaluator, &scores, [1, classes, count])?;
    let mut inputs = vec![Some(image_boxes), Some(image_scores)];
    let added = evaluator.graph.add_constant("most", DType::I64, &[1], &[most as i64]);
    inputs.push(Some(evaluator.constant(added, place)?));
    for number in std::iter::once(overlap).chain(least) {
        let added = evaluator.graph.add_constant("limit", DType::F32, &[1], &[number as f32]);
        inputs.push(Some(evaluator.constant(added, place)?));
    }
    let op = NonMaxSuppression { centred: false, capacity: most as u32 };
    let chosen = match evaluator.graph.add_node("nms", op, &inputs, &[]) {
        Ok(outputs) => outputs[0],
        Err(error) => return evaluator.fail(place, format!("this cannot be computed: {}", error.error)),
    };
    chosen_boxes(evaluator, arguments, &Array::whole(chosen), [&boxes, &scores], count)
}

/// The parts of the result: positions, classes, boxes and scores of what was chosen.
fn chosen_boxes<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    chosen: &Array,
    [boxes, scores]: [&Array; 2],
    count: usize,
) -> Evaluated<'a> {
    let place = arguments.place();
    let whole = Value::Slice(None, None, 1);
    let mut column = |at: i64| {
        let part = evaluator.part(chosen, &[whole.clone(), Value::Int(at)], place)?;
        let part = evaluator.operand(&part, place)?;
        evaluator.led(&part, place)
    };
    let (class, index) = (column(1)?, column(2)?);
    let kept = evaluator.compared(
        ekiben_runtime::ops::compare::CompareKind::GreaterOrEqual,
        &Value::Array(index.clone()),
        &Value::Int(0),
        place,
    )?;
    // What is not there is read at the first position, and shows zeros.
    let zero = Value::Int(0);
    let there = |evaluator: &mut Evaluator<'_, 'a>, array: &Array| {
        evaluator.combine(BinaryKind::Max, &Value::Array(array.clone()), &zero, place)
    };
    let (at, of_class) = (there(evaluator, &index)?, there(evaluator, &class)?);
    let row = evaluator.combine(BinaryKind::Mul, &Value::Array(of_class), &Value::Int(count as i64), place)?;
    let flat_at = evaluator.combine(BinaryKind::Add, &Value::Array(row), &Value::Array(at.clone()), place)?;
    let total = evaluator.graph.shape(scores.tensor).elements().unwrap_or(0) as usize;
    let flat = evaluator.reshaped(scores.tensor, &[total], None, place)?;
    let score = evaluator.gathered(flat, 0, flat_at.tensor, place)?;
    let corners = evaluator.gathered(boxes.tensor, 0, at.tensor, place)?;
    let score = evaluator.selected(&kept, &Value::Array(Array::whole(score)), &Value::Float(0.0), place)?;
    let parts = [("index", index), ("class", class), ("kept", kept), ("score", score), ("box", Array::whole(corners))];
    Ok(Value::Dict(parts.into_iter().map(|(name, array)| (Value::Text(name.into()), Value::Array(array))).collect()))
}
