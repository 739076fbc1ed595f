//! Images of a request: what is done with one before it is an array, and lengths that its size decides about.

use std::rc::Rc;

use ekiben_runtime::artifact::image::{ImageStep, Measure, MeasureKind, Mode};
use ekiben_runtime::{DType, Shape};
use ruff_python_ast::{Expr, Operator, Stmt};

use super::super::input::{ApiInput, Form, ImageSource, Node};
use super::{Array, Evaluated, Evaluator, Json, Place, Stop, Value};

/// Steps that one image may take.
const MAX_STEPS: usize = 64;
/// The longest side of an image that a service makes.
const MAX_SIDE: f64 = 16_384.0;

/// An image of a request.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::service) struct Picture {
    /// Where it stands in the request.
    pub(in crate::service) at: Json,
    /// What is done with it.
    pub(in crate::service) steps: Rc<[ImageStep]>,
    /// Its mode, where that does not depend on the request.
    pub(in crate::service) mode: Option<Mode>,
    /// Width and height, where they do not depend on the request.
    pub(in crate::service) size: Option<(u32, u32)>,
    /// Whether Python sees an array of numpy, and not an image of Pillow.
    pub(in crate::service) is_array: bool,
}

/// A length that the size of an image decides about.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::service) struct Length {
    pub(in crate::service) measure: Measure,
    /// Whether it is an `int`, and not a `float`.
    pub(in crate::service) integer: bool,
    /// The image, and what was done with it before the length was taken.
    of: Option<(Json, Rc<[ImageStep]>)>,
}

impl Length {
    fn constant(number: f64, integer: bool) -> Self {
        Self { measure: Measure::Constant(number), integer, of: None }
    }
}

/// How a size changes.
pub(in crate::service) enum Resized {
    /// It stays.
    Same,
    /// It is known.
    To(u32, u32),
    /// Width becomes height.
    Swapped,
    /// The request decides about it.
    Unknown,
}

impl Picture {
    /// The image after one more step.
    pub(in crate::service) fn then(&self, step: ImageStep, size: Resized) -> Self {
        let steps = self.steps.iter().cloned().chain([step]).collect();
        let size = match size {
            Resized::Same => self.size,
            Resized::To(width, height) => Some((width, height)),
            Resized::Swapped => self.size.map(|(width, height)| (height, width)),
            Resized::Unknown => None,
        };
        Self { steps, size, ..self.clone() }
    }

    /// The image in another mode.
    pub(in crate::service) fn converted(&self, mode: Mode) -> Self {
        if self.mode == Some(mode) {
            return self.clone();
        }
        Self { mode: Some(mode), ..self.then(ImageStep::Convert(mode), Resized::Same) }
    }

    /// Its width and height.
    pub(in crate::service) fn lengths<'a>(&self) -> [Value<'a>; 2] {
        if let Some((width, height)) = self.size {
            return [Value::Int(width.into()), Value::Int(height.into())];
        }
        let steps = self.steps.len() as u32;
        let length = |measure: Measure| {
            let of = Some((self.at.clone(), self.steps.clone()));
            Value::Length(Rc::new(Length { measure, integer: true, of }))
        };
        [length(Measure::Width(steps)), length(Measure::Height(steps))]
    }

    /// A number of pixels that does not depend on the image's size: told by images of several sizes.
    pub(in crate::service) fn fixed_length(&self, length: impl Fn(&[(u32, u32)]) -> Option<f64>) -> Option<u32> {
        let mut found = None;
        for (width, height) in [(1009, 751), (640, 480), (333, 1000), (512, 512), (257, 258), (301, 299), (1200, 603)] {
            let (width, height) = self.size.unwrap_or((width, height));
            let value = length(&vec![(width, height); self.steps.len() + 1])?;
            if !(1.0..=MAX_SIDE).contains(&value) || value.fract() != 0.0 || found.is_some_and(|known| known != value) {
                return None;
            }
            found = Some(value);
        }
        found.map(|value| value as u32)
    }

    /// Element type and channels of its array.
    fn elements(&self) -> (DType, Option<usize>) {
        let mode = self.mode.unwrap_or(Mode::Rgb);
        (mode.dtype(), (mode.channels() > 1).then(|| mode.channels()))
    }
}

/// A number or length of a value.
fn length(value: &Value<'_>) -> Option<Length> {
    match value {
        Value::Int(number) if number.unsigned_abs() < 1 << 53 => Some(Length::constant(*number as f64, true)),
        Value::Float(number) => Some(Length::constant(*number, false)),
        Value::Length(length) => Some((**length).clone()),
        _ => None,
    }
}

impl<'a> Evaluator<'_, 'a> {
    /// The array of an image: an input of the graph that the adapter fills.
    pub(in crate::service) fn picture_array(&mut self, picture: &Picture, place: Place) -> Result<Array, Stop> {
        let steps: Vec<ImageStep> = match picture.mode {
            Some(_) => picture.steps.to_vec(),
            // Colours, where the service does not say: an image of another mode is refused.
            None => picture.steps.iter().cloned().chain([ImageStep::Require(Mode::Rgb)]).collect(),
        };
        if steps.len() > MAX_STEPS {
            return self.fail(place, format!("more than {MAX_STEPS} steps of one image are not compiled"));
        }
        let known = match self.inputs.node(picture.at.parameter, &picture.at.path) {
            Some(Node::Image { uses, .. }) => uses.iter().find(|(known, _)| **known == *steps).map(|(_, leaf)| *leaf),
            _ => return self.fail(place, "this is no image of the request"),
        };
        let leaf = match known {
            Some(leaf) => leaf,
            None => self.picture_leaf(picture, &steps, place)?,
        };
        match self.leaf_value(leaf, picture.at.row) {
            Value::Array(array) => Ok(array),
            _ => self.fail(place, "this image has no array"),
        }
    }

    /// A new leaf for an image after these steps.
    fn picture_leaf(&mut self, picture: &Picture, steps: &[ImageStep], place: Place) -> Result<usize, Stop> {
        let batched = picture.at.row.is_some();
        let (dtype, channels) = picture.elements();
        let (width, height) = picture.size.unwrap_or((1, 1));
        let dims: Vec<usize> =
            batched.then_some(1).into_iter().chain([height as usize, width as usize]).chain(channels).collect();
        let shape = Shape::new(&dims, batched.then_some(0)).or_else(|error| self.fail(place, error.to_string()))?;
        let name = self.inputs.parameters.get(picture.at.parameter).map(|member| member.name.clone());
        let uses = match self.inputs.node(picture.at.parameter, &picture.at.path) {
            Some(Node::Image { uses, .. }) => uses.len(),
            _ => 0,
        };
        let mut name = name.unwrap_or_default();
        if uses > 0 {
            name = format!("{name}_{}", uses + 1);
        }
        let leaf = ApiInput::new(&name, place, Form::Image, dtype, shape);
        let Some(Node::Leaf(index)) = self.inputs.add(ApiInput { settled: picture.size.is_some(), ..leaf }) else {
            return self.fail(place, "this API takes too many values");
        };
        if let Some(Node::Image { uses, .. }) = self.inputs.node(picture.at.parameter, &picture.at.path) {
            uses.push((steps.into(), index));
        }
        self.add_leaf(index);
        Ok(index)
    }

    /// The value, with the array where it is an image that Python sees as one, also in lists.
    pub(in crate::service) fn with_arrays(&mut self, value: Value<'a>, place: Place) -> Evaluated<'a> {
        Ok(match value {
            Value::Picture(picture) if picture.is_array => Value::Array(self.picture_array(&picture, place)?),
            Value::List(items) if items.iter().any(Value::has_picture) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.with_arrays(item.clone(), place)).collect();
                Value::List(items?.into())
            }
            Value::Tuple(items) if items.iter().any(Value::has_picture) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.with_arrays(item.clone(), place)).collect();
                Value::Tuple(items?.into())
            }
            Value::Rows(id, item) if item.has_picture() => {
                let item = self.with_arrays((*item).clone(), place)?;
                self.rows(id, item, place)?
            }
            other => other,
        })
    }

    /// An image that a request has, as its adapter hands it over.
    pub(super) fn picture_value(&self, at: Json, source: &ImageSource) -> Value<'a> {
        let picture = Picture { at, steps: [].into(), mode: None, size: None, is_array: false };
        match source {
            ImageSource::Pillow => Value::Picture(Rc::new(picture)),
            ImageSource::File => Value::File(Rc::new(picture.at)),
            ImageSource::Imageio(mode) => {
                let picture = picture.then(ImageStep::Convert(*mode), Resized::Same);
                Value::Picture(Rc::new(Picture { mode: Some(*mode), is_array: true, ..picture }))
            }
        }
    }

    /// Computes with lengths; `None` where neither is one that the request decides about.
    pub(in crate::service) fn lengths_combined(
        &self,
        operator: Operator,
        left: &Value<'a>,
        right: &Value<'a>,
        place: Place,
    ) -> Option<Evaluated<'a>> {
        if !matches!((left, right), (Value::Length(_), _) | (_, Value::Length(_))) {
            return None;
        }
        let kind = match operator {
            Operator::Add => MeasureKind::Add,
            Operator::Sub => MeasureKind::Subtract,
            Operator::Mult => MeasureKind::Multiply,
            Operator::Div => MeasureKind::Divide,
            Operator::FloorDiv => MeasureKind::FloorDivide,
            _ => {
                return Some(
                    self.fail(place, format!("`{}` of the size of an image is not compiled", operator.as_str())),
                );
            }
        };
        let all = [left.clone(), right.clone()];
        Some(self.length_of(kind, &all, place))
    }

    /// A length that is computed of others.
    pub(in crate::service) fn length_of(
        &self,
        kind: MeasureKind,
        operands: &[Value<'a>],
        place: Place,
    ) -> Evaluated<'a> {
        let Some(lengths) = operands.iter().map(length).collect::<Option<Vec<_>>>() else {
            return self.fail(place, "the size of an image is computed with numbers only");
        };
        let mut of: Option<(Json, Rc<[ImageStep]>)> = None;
        for other in lengths.iter().filter_map(|length| length.of.clone()) {
            of = match of {
                None => Some(other),
                Some(known) if known.0 == other.0 && known.1.starts_with(&other.1) => Some(known),
                Some(known) if known.0 == other.0 && other.1.starts_with(&known.1) => Some(other),
                Some(_) => return self.fail(place, "the sizes of two images are not computed with each other"),
            };
        }
        let integer = match kind {
            MeasureKind::Divide => false,
            MeasureKind::Truncate | MeasureKind::Round => true,
            _ => lengths.iter().all(|length| length.integer),
        };
        let measure = Measure::Of(kind, lengths.into_iter().map(|length| length.measure).collect());
        // Whatever the image's size, it must be computed without the last resort of an error.
        if measure.value(&vec![(97, 53); MAX_STEPS + 1]).is_none() {
            return self.fail(place, "this length is nested too deeply, or divides by zero");
        }
        Ok(Value::Length(Rc::new(Length { measure, integer, of })))
    }

    /// The lengths of a step on `picture`.
    pub(in crate::service) fn measures<const N: usize>(
        &self,
        picture: &Picture,
        value: &Value<'a>,
        integers: bool,
        place: Place,
    ) -> Result<[Measure; N], Stop> {
        let refused =
            || self.fail(place, format!("{N} numbers are needed here, known now or computed of the image's size"));
        let Some(items) = value.items().filter(|items| items.len() == N) else { return refused() };
        let Some(lengths) = items.iter().map(length).collect::<Option<Vec<_>>>() else { return refused() };
        for length in &lengths {
            if integers && !length.integer {
                return self.fail(place, "Pillow takes integers here, and this is a float. Convert it with `int`");
            }
            if length.of.as_ref().is_some_and(|(at, steps)| *at != picture.at || !picture.steps.starts_with(steps)) {
                return self.fail(place, "this is the size of another image");
            }
        }
        let measures: Vec<Measure> = lengths.into_iter().map(|length| length.measure).collect();
        measures.try_into().or_else(|_| refused())
    }

    /// Whether a block under the condition `image.mode != "RGB"` is `image = image.convert("RGB")`: it may run whatever the mode is.
    pub(super) fn converts_if_needed(test: &Value<'a>, body: &[Stmt]) -> bool {
        let (Value::ModeTest(mode, false), [Stmt::Assign(assign)]) = (test, body) else { return false };
        let ([Expr::Name(target)], Expr::Call(call)) = (&assign.targets[..], &*assign.value) else { return false };
        let (Expr::Attribute(method), [Expr::StringLiteral(text)]) = (&*call.func, &call.arguments.args[..]) else {
            return false;
        };
        let same = matches!(&*method.value, Expr::Name(name) if name.id == target.id);
        same && method.attr.as_str() == "convert" && text.value.to_str() == mode.name()
    }
}

impl Value<'_> {
    /// Whether the value is an image that Python sees as an array, or has one in it.
    fn has_picture(&self) -> bool {
        match self {
            Value::Picture(picture) => picture.is_array,
            Value::List(items) | Value::Tuple(items) => items.iter().any(Value::has_picture),
            Value::Rows(_, item) => item.has_picture(),
            _ => false,
        }
    }
}
