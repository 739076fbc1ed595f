//! Images: what the adapter does with one before it is an array.

use std::rc::Rc;

use ekiben_runtime::artifact::image::{Filter, ImageStep, Measure, Mode, Turn};
use serde::de::DeserializeOwned;

use super::super::super::evaluate::{Evaluated, Evaluator, Picture, Resized, Stop, Value};
use super::super::input::{NUMBERS, dtype};
use super::super::step::{Arguments, stop};
use super::Operator;

/// The longest side of an image.
const MAX_SIDE: usize = 16_384;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("image_convert", &["of", "mode"], convert),
    Operator::new("image_exif", &["of"], |evaluator, arguments| {
        let picture = picture(evaluator, arguments)?;
        let size = if picture.size.is_some() { Resized::Unknown } else { Resized::Same };
        made(picture.then(ImageStep::ExifTranspose, size))
    }),
    Operator::new("image_turn", &["of", "turn"], turn),
    Operator::new("image_resize", &["of", "width", "height", "filter", "box", "reducing_gap"], resize),
    Operator::new("image_shorter_side", &["of", "length", "filter"], |evaluator, arguments| {
        let picture = picture(evaluator, arguments)?;
        let length = side(evaluator, arguments, "length")?;
        let filter = filter(evaluator, arguments, &picture)?;
        made(picture.then(ImageStep::ShorterSide { length, filter }, Resized::Unknown))
    }),
    Operator::new("image_center_crop", &["of", "width", "height"], |evaluator, arguments| {
        let picture = picture(evaluator, arguments)?;
        let (width, height) = (side(evaluator, arguments, "width")?, side(evaluator, arguments, "height")?);
        made(picture.then(ImageStep::CenterCrop { width, height }, Resized::To(width, height)))
    }),
    Operator::new("image_crop", &["of", "box"], crop),
    Operator::new("image_fit", &["of", "width", "height", "filter"], |evaluator, arguments| {
        let picture = picture(evaluator, arguments)?;
        let (width, height) = (side(evaluator, arguments, "width")?, side(evaluator, arguments, "height")?);
        let filter = filter(evaluator, arguments, &picture)?;
        let step = ImageStep::Fit { width, height, filter, centering: [0.5, 0.5] };
        made(picture.then(step, Resized::To(width, height)))
    }),
    Operator::new("image_opencv_decode", &["of"], |evaluator, arguments| {
        let picture = picture(evaluator, arguments)?;
        if !picture.steps.is_empty() {
            return evaluator.fail(arguments.at("of"), "OpenCV decodes the file itself: this is its first step");
        }
        made(Picture { mode: Some(Mode::Rgb), ..picture.then(ImageStep::OpencvDecoded, Resized::Unknown) })
    }),
    Operator::new("image_opencv_gray", &["of", "blue_first"], |evaluator, arguments| {
        let picture = coloured(evaluator, arguments)?;
        let blue_first = arguments.flag(evaluator, "blue_first")?.unwrap_or(false);
        made(Picture { mode: Some(Mode::L), ..picture.then(ImageStep::OpencvGray { blue_first }, Resized::Same) })
    }),
    Operator::new("image_reverse", &["of"], |evaluator, arguments| {
        made(coloured(evaluator, arguments)?.then(ImageStep::ReverseChannels, Resized::Same))
    }),
    Operator::new("image_pixels", &["of", "dtype"], pixels),
];

fn made<'a>(picture: Picture) -> Evaluated<'a> {
    Ok(Value::Picture(Rc::new(picture)))
}

/// The image that `of` refers to.
fn picture<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Result<Rc<Picture>, Stop> {
    match arguments.value(evaluator, "of")? {
        Value::Picture(picture) => Ok(picture),
        other => {
            let problem = format!("an image is needed here, not {}: an input of the type `image`", other.describe());
            evaluator.fail(arguments.at("of"), problem)
        }
    }
}

/// The same of an image whose channels are red, green and blue.
fn coloured<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Result<Rc<Picture>, Stop> {
    let picture = picture(evaluator, arguments)?;
    match picture.mode {
        Some(Mode::Rgb) => Ok(picture),
        _ => {
            evaluator.fail(arguments.at("of"), "an image of the mode RGB is needed here: `image_convert` makes it one")
        }
    }
}

/// What a text means that names one of a few things.
fn named<T: DeserializeOwned>(
    evaluator: &Evaluator<'_, '_>,
    arguments: &Arguments<'_, '_>,
    key: &str,
    known: &str,
) -> Result<Option<T>, Stop> {
    let Some(name) = arguments.text(evaluator, key)? else { return Ok(None) };
    match serde_json::from_value(serde_json::Value::from(&*name)) {
        Ok(value) => Ok(Some(value)),
        Err(_) => evaluator.fail(arguments.at(key), format!("there is no `{name}` here; there are {known}")),
    }
}

const FILTERS: &str =
    "nearest, box, bilinear, hamming, bicubic, lanczos, opencv_nearest, opencv_linear, opencv_cubic, opencv_area";
const TURNS: &str = "flip_left_right, flip_top_bottom, rotate90, rotate180, rotate270, transpose, transverse";

/// The filter; of Pillow's default, bicubic, where there is none.
fn filter(evaluator: &Evaluator<'_, '_>, arguments: &Arguments<'_, '_>, picture: &Picture) -> Result<Filter, Stop> {
    let filter = named(evaluator, arguments, "filter", FILTERS)?.unwrap_or(Filter::Bicubic);
    let is_opencv =
        matches!(filter, Filter::OpencvNearest | Filter::OpencvLinear | Filter::OpencvCubic | Filter::OpencvArea);
    if is_opencv && !picture.mode.is_some_and(|mode| mode.value_bytes() == 1 && mode != Mode::Bilevel) {
        return evaluator
            .fail(arguments.at("filter"), "OpenCV's filters take images of bytes of a known mode: convert it first");
    }
    Ok(filter)
}

fn side(evaluator: &Evaluator<'_, '_>, arguments: &Arguments<'_, '_>, key: &str) -> Result<u32, Stop> {
    let length = arguments.needed_length(evaluator, key)?;
    match u32::try_from(length) {
        Ok(side) if length <= MAX_SIDE => Ok(side),
        _ => evaluator.fail(arguments.at(key), format!("a side of an image has {MAX_SIDE} pixels at most")),
    }
}

fn convert<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let picture = picture(evaluator, arguments)?;
    arguments.needed(evaluator, "mode")?;
    let name = arguments.text(evaluator, "mode")?.unwrap_or_default();
    match Mode::from_name(&name).filter(|mode| *mode != Mode::P) {
        Some(mode) => made(picture.converted(mode)),
        None => {
            let problem = format!(
                "there is no mode `{name}` to convert to; there are 1, L, LA, RGB, RGBA, CMYK, YCbCr, HSV, I, F"
            );
            evaluator.fail(arguments.at("mode"), problem)
        }
    }
}

fn turn<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let picture = picture(evaluator, arguments)?;
    arguments.needed(evaluator, "turn")?;
    let turn: Turn = named(evaluator, arguments, "turn", TURNS)?.unwrap_or(Turn::Rotate180);
    let size = match turn {
        Turn::FlipLeftRight | Turn::FlipTopBottom | Turn::Rotate180 => Resized::Same,
        Turn::Rotate90 | Turn::Rotate270 | Turn::Transpose | Turn::Transverse => Resized::Swapped,
    };
    made(picture.then(ImageStep::Turn(turn), size))
}

/// Four numbers: left, upper, right, lower.
fn bounds(evaluator: &Evaluator<'_, '_>, arguments: &Arguments<'_, '_>) -> Result<Option<[f64; 4]>, Stop> {
    let Some(item) = arguments.item("box") else { return Ok(None) };
    let numbers = item.list().and_then(|items| items.iter().map(|item| item.number()).collect::<Result<Vec<_>, _>>());
    let numbers = numbers.map_err(|fault| stop(evaluator, fault))?;
    match <[f64; 4]>::try_from(numbers) {
        Ok(bounds) => Ok(Some(bounds)),
        Err(_) => evaluator.fail(arguments.at("box"), "a box is four numbers: left, upper, right, lower"),
    }
}

fn resize<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let picture = picture(evaluator, arguments)?;
    let (width, height) = (side(evaluator, arguments, "width")?, side(evaluator, arguments, "height")?);
    let filter = filter(evaluator, arguments, &picture)?;
    let part = bounds(evaluator, arguments)?.map(|bounds| bounds.map(Measure::Constant));
    let reducing_gap = arguments.number(evaluator, "reducing_gap")?;
    if reducing_gap.is_some_and(|gap| gap.is_nan() || gap < 1.0) {
        return evaluator.fail(arguments.at("reducing_gap"), "`reducing_gap` is a number of 1 or more");
    }
    let measure = |side: u32| Measure::Constant(side.into());
    let step = ImageStep::Resize { width: measure(width), height: measure(height), filter, part, reducing_gap };
    made(picture.then(step, Resized::To(width, height)))
}

fn crop<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let picture = picture(evaluator, arguments)?;
    arguments.needed(evaluator, "box")?;
    let bounds = bounds(evaluator, arguments)?.unwrap_or_default();
    let [left, upper, right, lower] = bounds.map(f64::round_ties_even);
    let (width, height) = (right - left, lower - upper);
    let fits = |side: f64| (1.0..=MAX_SIDE as f64).contains(&side);
    if !fits(width) || !fits(height) {
        return evaluator.fail(arguments.at("box"), "this part has no pixels, or too many");
    }
    let step = ImageStep::Crop(bounds.map(Measure::Constant));
    made(picture.then(step, Resized::To(width as u32, height as u32)))
}

fn pixels<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let picture = picture(evaluator, arguments)?;
    let array = evaluator.picture_array(&picture, arguments.at("of"))?;
    let Some(item) = arguments.item("dtype") else { return Ok(Value::Array(array)) };
    let to = dtype(item, &NUMBERS).map_err(|fault| stop(evaluator, fault))?;
    let tensor = evaluator.cast(array.tensor, to, arguments.at("dtype"))?;
    Ok(Value::Array(array.with_tensor(tensor)))
}
