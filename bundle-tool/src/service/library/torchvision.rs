//! torchvision's transforms of images and tensors.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::image::{Filter, ImageStep, Measure, Mode};
use ruff_python_ast::Operator;

use super::Function;
use super::image::{constant_size, picture};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Picture, Place, Resized, Value};

/// One transform.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::service) enum Transform {
    /// `Resize(length)`: the shorter side.
    ShorterSide(u32, Filter),
    /// `Resize((height, width))`.
    Resize(u32, u32, Filter),
    /// `CenterCrop`, width and height.
    CenterCrop(u32, u32),
    /// `Grayscale`, with one channel or three.
    Grayscale(bool),
    /// `ToTensor`.
    ToTensor,
    /// `Normalize`: means and standard deviations of the channels.
    Normalize(Vec<f64>, Vec<f64>),
}

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("torchvision.transforms.Compose", compose),
    ("torchvision.transforms.Resize", resize),
    ("torchvision.transforms.CenterCrop", center_crop),
    ("torchvision.transforms.Grayscale", grayscale),
    ("torchvision.transforms.ToTensor", |evaluator, call| {
        call.none(evaluator)?;
        one(Transform::ToTensor)
    }),
    ("torchvision.transforms.Normalize", normalize),
];

fn one<'a>(transform: Transform) -> Evaluated<'a> {
    Ok(Value::Transforms([transform].into()))
}

fn compose<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [transforms] = call.bind(evaluator, ["transforms"])?;
    let mut all = Vec::new();
    for transform in transforms.as_ref().and_then(Value::items).unwrap_or_default() {
        match transform {
            Value::Transforms(transforms) => all.extend(transforms.iter().cloned()),
            other => {
                return evaluator.fail(call.at(0), format!("{} is no transform that is compiled", other.describe()));
            }
        }
    }
    Ok(Value::Transforms(all.into()))
}

/// Width and height of a size that torchvision takes as height and width, or as one length for both.
fn sides(value: Option<&Value<'_>>) -> Option<(u32, u32)> {
    match value? {
        Value::Int(side) => constant_size(&Value::Tuple([Value::Int(*side), Value::Int(*side)].into())),
        pair => constant_size(pair).map(|(height, width)| (width, height)),
    }
}

fn resize<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [size, interpolation, longest, _antialias] =
        call.bind(evaluator, ["size", "interpolation", "max_size", "antialias"])?;
    let name = match &interpolation {
        None => Some("BILINEAR"),
        Some(Value::Path(path)) => path.rsplit('.').next(),
        Some(Value::Int(0)) => Some("NEAREST"),
        Some(Value::Int(2)) => Some("BILINEAR"),
        Some(Value::Int(3)) => Some("BICUBIC"),
        Some(_) => None,
    };
    let filter = match name {
        Some("NEAREST") => Filter::Nearest,
        Some("BILINEAR") => Filter::Bilinear,
        Some("BICUBIC") => Filter::Bicubic,
        Some("BOX") => Filter::Box,
        Some("HAMMING") => Filter::Hamming,
        Some("LANCZOS") => Filter::Lanczos,
        _ => return evaluator.fail(call.place, "this interpolation is not compiled"),
    };
    let (Some((width, height)), None | Some(Value::None)) = (sides(size.as_ref()), longest) else {
        return evaluator.fail(call.place, "`Resize` is compiled with a size that is known, and without `max_size`");
    };
    one(match size {
        Some(Value::Int(_)) => Transform::ShorterSide(width, filter),
        _ => Transform::Resize(width, height, filter),
    })
}

fn center_crop<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [size] = call.bind(evaluator, ["size"])?;
    match sides(size.as_ref()) {
        Some((width, height)) => one(Transform::CenterCrop(width, height)),
        None => evaluator.fail(call.place, "`CenterCrop` is compiled with a size that is known"),
    }
}

fn grayscale<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["num_output_channels"])? {
        [None | Some(Value::Int(1))] => one(Transform::Grayscale(false)),
        [Some(Value::Int(3))] => one(Transform::Grayscale(true)),
        _ => evaluator.fail(call.place, "`Grayscale` gives one channel or three"),
    }
}

fn normalize<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [mean, deviation, _] = call.bind(evaluator, ["mean", "std", "inplace"])?;
    let numbers = |value: Option<Value<'a>>| -> Option<Vec<f64>> {
        let number = |value: &Value<'a>| match value {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        };
        value?.items()?.iter().map(number).collect()
    };
    match (numbers(mean), numbers(deviation)) {
        (Some(mean), Some(deviation)) if mean.len() == deviation.len() && !deviation.contains(&0.0) => {
            one(Transform::Normalize(mean, deviation))
        }
        _ => evaluator.fail(call.place, "`Normalize` takes as many means as standard deviations, none of them zero"),
    }
}

/// What transforms make of an image or a tensor.
pub(in crate::service) fn transformed<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    transforms: &[Transform],
    call: &Call<'a>,
) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["img"])?;
    let mut value = value.unwrap_or(Value::None);
    for transform in transforms {
        value = match transform {
            Transform::ToTensor => to_tensor(evaluator, &value, call.place)?,
            Transform::Normalize(mean, deviation) => normalized(evaluator, value, mean, deviation, call.place)?,
            step => {
                let picture = picture(evaluator, &value, call.place)?;
                if picture.is_array {
                    return evaluator.fail(call.place, "this transform is compiled of Pillow's images");
                }
                Value::Picture(Rc::new(stepped(&picture, step)))
            }
        };
    }
    Ok(value)
}

/// An image after a transform that gives an image.
fn stepped(picture: &Picture, transform: &Transform) -> Picture {
    match *transform {
        Transform::ShorterSide(length, filter) => {
            picture.then(ImageStep::ShorterSide { length, filter }, Resized::Unknown)
        }
        Transform::Resize(width, height, filter) => {
            let side = |side: u32| Measure::Constant(f64::from(side));
            let step =
                ImageStep::Resize { width: side(width), height: side(height), filter, part: None, reducing_gap: None };
            picture.then(step, Resized::To(width, height))
        }
        Transform::CenterCrop(width, height) => {
            picture.then(ImageStep::CenterCrop { width, height }, Resized::To(width, height))
        }
        Transform::Grayscale(false) => picture.converted(Mode::L),
        Transform::Grayscale(true) => {
            let gray = picture.converted(Mode::L);
            Picture { mode: Some(Mode::Rgb), ..gray.then(ImageStep::Convert(Mode::Rgb), Resized::Same) }
        }
        Transform::ToTensor | Transform::Normalize(..) => picture.clone(),
    }
}

/// Channels first, bytes from 0 to 1.
fn to_tensor<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let picture = picture(evaluator, value, place)?;
    let bytes = !matches!(picture.mode, Some(Mode::I | Mode::F | Mode::I16 | Mode::Bilevel));
    if !bytes {
        return evaluator.fail(place, "`ToTensor` is compiled of images of bytes");
    }
    let array = evaluator.picture_array(&picture, place)?;
    let channels = picture.mode.map_or(3, Mode::channels);
    let array = if channels == 1 {
        super::with_new_axis(evaluator, &array, 0, place)?
    } else {
        let axes = Value::Tuple([Value::Int(2), Value::Int(0), Value::Int(1)].into());
        let call = Call { place, positional: vec![(axes, place)], keywords: Vec::new() };
        match super::method(Kind::Array, "transpose") {
            Some(transpose) => match transpose(evaluator, &Value::Array(array), &call)? {
                Value::Array(array) => array,
                _ => return evaluator.fail(place, "this image has no array"),
            },
            None => return evaluator.fail(place, "this method is not compiled"),
        }
    };
    let tensor = evaluator.cast(array.tensor, DType::F32, place)?;
    let scaled =
        evaluator.binary(Operator::Div, Value::Array(array.with_tensor(tensor)), Value::Float(255.0), place)?;
    match scaled {
        Value::Array(array) => Ok(Value::Array(Array { torch: true, python: false, ..array })),
        other => Ok(other),
    }
}

/// Each channel without its mean, divided by its standard deviation, in float32.
fn normalized<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: Value<'a>,
    mean: &[f64],
    deviation: &[f64],
    place: Place,
) -> Evaluated<'a> {
    let Value::Array(array) = value else {
        return evaluator.fail(place, "`Normalize` takes a tensor; `ToTensor` comes before it");
    };
    let mut constant = |numbers: &[f64]| {
        let numbers: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
        let added = evaluator.graph.add_constant("channels", DType::F32, &[numbers.len(), 1, 1], &numbers);
        evaluator.constant(added, place).map(|tensor| Value::Array(Array { torch: true, ..Array::whole(tensor) }))
    };
    let (mean, deviation) = (constant(mean)?, constant(deviation)?);
    let centred = evaluator.binary(Operator::Sub, Value::Array(array), mean, place)?;
    evaluator.binary(Operator::Div, centred, deviation, place)
}
