//! Pillow: images of a request, what is done with them, and files that are opened as images.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::image::{Filter, ImageStep, Measure, Mode, Turn};

use super::{Function, Method, Property};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Picture, Place, Resized, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("PIL.Image.open", open),
    ("PIL.Image.fromarray", from_array),
    ("PIL.ImageOps.exif_transpose", exif_transpose),
    ("PIL.ImageOps.grayscale", |evaluator, call| converted_to(evaluator, call, Mode::L)),
    ("PIL.ImageOps.mirror", |evaluator, call| turned_by(evaluator, call, Turn::FlipLeftRight)),
    ("PIL.ImageOps.flip", |evaluator, call| turned_by(evaluator, call, Turn::FlipTopBottom)),
    ("PIL.ImageOps.fit", fit),
    ("io.BytesIO", bytes_io),
];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Picture, "convert", convert),
    (Kind::Picture, "resize", resize),
    (Kind::Picture, "crop", crop),
    (Kind::Picture, "transpose", transpose),
    (Kind::Picture, "rotate", rotate),
    (Kind::Picture, "copy", |_, value, _| Ok(value.clone())),
    (Kind::Picture, "load", |_, _, _| Ok(Value::None)),
    (Kind::Picture, "close", |_, _, _| Ok(Value::None)),
    (Kind::Picture, "getdata", pixels),
    (Kind::File, "read", |_, value, _| Ok(value.clone())),
    (Kind::File, "getvalue", |_, value, _| Ok(value.clone())),
    (Kind::File, "seek", |_, _, _| Ok(Value::None)),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] = &[
    (Kind::Picture, "size", |evaluator, value, place| {
        Ok(Value::Tuple(pillow(evaluator, value, place)?.lengths().to_vec().into()))
    }),
    (Kind::Picture, "width", |evaluator, value, place| Ok(pillow(evaluator, value, place)?.lengths()[0].clone())),
    (Kind::Picture, "height", |evaluator, value, place| Ok(pillow(evaluator, value, place)?.lengths()[1].clone())),
    (Kind::Picture, "mode", mode),
    (Kind::Picture, "shape", shape),
];

/// Functions that take images as they are, also those that Python sees as arrays.
pub(in crate::service) fn takes_images(path: &str) -> bool {
    matches!(path, "numpy.array" | "numpy.asarray" | "numpy.ascontiguousarray" | "builtins.zip" | "builtins.list")
        || ["PIL.", "cv2.", "torchvision.", "io."].iter().any(|library| path.starts_with(library))
}

/// The image that a value is.
pub(super) fn picture(evaluator: &Evaluator<'_, '_>, value: &Value<'_>, place: Place) -> Result<Rc<Picture>, Stop> {
    match value {
        Value::Picture(picture) => Ok(picture.clone()),
        other => evaluator.fail(place, format!("an image of the request is needed here, not {}", other.describe())),
    }
}

/// The image that a value is, as Pillow's.
fn pillow(evaluator: &Evaluator<'_, '_>, value: &Value<'_>, place: Place) -> Result<Rc<Picture>, Stop> {
    let picture = picture(evaluator, value, place)?;
    if picture.is_array {
        return evaluator.fail(place, "this is an array; Pillow's images have that. Use `Image.fromarray`");
    }
    Ok(picture)
}

fn made<'a>(picture: Picture) -> Evaluated<'a> {
    Ok(Value::Picture(Rc::new(picture)))
}

/// `Image.open` of a file of the request.
fn open<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [file] = call.bind(evaluator, ["fp"])?;
    match file {
        Some(Value::File(at)) => made(opened(&at)),
        Some(Value::Picture(picture)) if !picture.is_array => Ok(Value::Picture(picture)),
        other => {
            let what = other.map_or("nothing".to_owned(), |value| value.describe());
            evaluator.fail(call.at(0), format!("an image is opened from a file of the request, not from {what}"))
        }
    }
}

/// The image in a file, as Pillow opens it.
pub(super) fn opened(at: &crate::service::evaluate::Json) -> Picture {
    Picture { at: at.clone(), steps: [].into(), mode: None, size: None, is_array: false }
}

fn bytes_io<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["initial_bytes"])? {
        [Some(file @ Value::File(_))] => Ok(file),
        _ => evaluator.fail(call.at(0), "`BytesIO` is compiled of a file of the request"),
    }
}

fn from_array<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [array, mode] = call.bind(evaluator, ["obj", "mode"])?;
    let known = |picture: &Picture| match &mode {
        None | Some(Value::None) => true,
        Some(Value::Text(name)) => picture.mode.is_some_and(|mode| mode.name() == &**name),
        _ => false,
    };
    match array {
        Some(Value::Picture(picture)) if known(&picture) => made(Picture { is_array: false, ..(*picture).clone() }),
        Some(Value::Picture(_)) => evaluator.fail(call.at(1), "an array is taken as an image of its own mode only"),
        _ => evaluator.fail(
            call.at(0),
            "an image of an array that was computed with is not compiled. Change the image before it becomes an array",
        ),
    }
}

fn exif_transpose<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [image] = call.bind(evaluator, ["image"])?;
    let picture = pillow(evaluator, &image.unwrap_or(Value::None), call.at(0))?;
    let size = if picture.size.is_some() { Resized::Unknown } else { Resized::Same };
    made(picture.then(ImageStep::ExifTranspose, size))
}

fn converted_to<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, mode: Mode) -> Evaluated<'a> {
    let [image] = call.bind(evaluator, ["image"])?;
    made(pillow(evaluator, &image.unwrap_or(Value::None), call.at(0))?.converted(mode))
}

fn turned_by<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, turn: Turn) -> Evaluated<'a> {
    let [image] = call.bind(evaluator, ["image"])?;
    made(turned(&*pillow(evaluator, &image.unwrap_or(Value::None), call.at(0))?, turn))
}

fn turned(picture: &Picture, turn: Turn) -> Picture {
    let size = match turn {
        Turn::FlipLeftRight | Turn::FlipTopBottom | Turn::Rotate180 => Resized::Same,
        Turn::Rotate90 | Turn::Rotate270 | Turn::Transpose | Turn::Transverse => Resized::Swapped,
    };
    picture.then(ImageStep::Turn(turn), size)
}

/// Two positive integers that are known.
pub(super) fn constant_size(value: &Value<'_>) -> Option<(u32, u32)> {
    let side = |value: &Value<'_>| match value {
        Value::Int(side) => u32::try_from(*side).ok().filter(|side| (1..=16_384).contains(side)),
        _ => None,
    };
    match value.items()? {
        [width, height] => Some((side(width)?, side(height)?)),
        _ => None,
    }
}

fn fit<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [image, size, method, bleed, centering] =
        call.bind(evaluator, ["image", "size", "method", "bleed", "centering"])?;
    let picture = pillow(evaluator, &image.unwrap_or(Value::None), call.at(0))?;
    let Some((width, height)) = size.as_ref().and_then(constant_size) else {
        return evaluator.fail(call.at(1), "`fit` is compiled with a size that is known");
    };
    if !matches!(bleed, None | Some(Value::Int(0) | Value::Float(0.0))) {
        return evaluator.fail(call.place, "`bleed` of `fit` is not compiled");
    }
    let number = |value: &Value<'a>| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let centering = match &centering {
        None => Some([0.5, 0.5]),
        Some(value) => match value.items() {
            Some([x, y]) => number(x).zip(number(y)).map(|(x, y)| [x, y]),
            _ => None,
        },
    };
    let Some(centering) = centering.filter(|parts| parts.iter().all(|part| (0.0..=1.0).contains(part))) else {
        return evaluator.fail(call.place, "`centering` of `fit` is two numbers from 0 to 1");
    };
    let filter = filter(evaluator, method.as_ref(), Filter::Bicubic, call.place)?;
    made(picture.then(ImageStep::Fit { width, height, filter, centering }, Resized::To(width, height)))
}

/// The filter that a constant of Pillow names.
pub(super) fn filter(
    evaluator: &Evaluator<'_, '_>,
    value: Option<&Value<'_>>,
    default: Filter,
    place: Place,
) -> Result<Filter, Stop> {
    let name = match value {
        None | Some(Value::None) => return Ok(default),
        Some(Value::Path(path)) => match path.strip_prefix("PIL.Image.") {
            Some(name) => name.trim_start_matches("Resampling.").to_owned(),
            None => String::new(),
        },
        Some(Value::Int(number)) => number.to_string(),
        Some(_) => String::new(),
    };
    Ok(match name.as_str() {
        "NEAREST" | "0" | "NONE" => Filter::Nearest,
        "LANCZOS" | "ANTIALIAS" | "1" => Filter::Lanczos,
        "BILINEAR" | "LINEAR" | "2" => Filter::Bilinear,
        "BICUBIC" | "CUBIC" | "3" => Filter::Bicubic,
        "BOX" | "4" => Filter::Box,
        "HAMMING" | "5" => Filter::Hamming,
        _ => return evaluator.fail(place, "this is none of Pillow's filters, `Image.BILINEAR` and such"),
    })
}

fn convert<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let picture = pillow(evaluator, value, call.place)?;
    let [name] = call.bind(evaluator, ["mode"])?;
    let mode = match name {
        Some(Value::Text(name)) => Mode::from_name(&name).filter(|mode| *mode != Mode::P),
        _ => None,
    };
    match mode {
        Some(mode) => made(picture.converted(mode)),
        None => evaluator
            .fail(call.at(0), "`convert` is compiled to the modes 1, L, LA, RGB, RGBA, CMYK, YCbCr, HSV, I and F"),
    }
}

fn resize<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let picture = pillow(evaluator, value, call.place)?;
    let [size, resample, part, gap] = call.bind(evaluator, ["size", "resample", "box", "reducing_gap"])?;
    let size = size.unwrap_or(Value::None);
    let [width, height] = evaluator.measures::<2>(&picture, &size, true, call.at(0))?;
    let filter = filter(evaluator, resample.as_ref(), Filter::Bicubic, call.place)?;
    let part = match part {
        None | Some(Value::None) => None,
        Some(part) => Some(evaluator.measures::<4>(&picture, &part, false, call.place)?),
    };
    let reducing_gap = match gap {
        None | Some(Value::None) => None,
        Some(Value::Float(gap)) if gap >= 1.0 => Some(gap),
        Some(Value::Int(gap)) if gap >= 1 => Some(gap as f64),
        Some(_) => return evaluator.fail(call.place, "`reducing_gap` is a number of 1 or more"),
    };
    let side = |measure: &Measure| picture.fixed_length(|sizes| measure.value(sizes));
    let made_size = match (side(&width), side(&height)) {
        (Some(width), Some(height)) => Resized::To(width, height),
        _ => Resized::Unknown,
    };
    made(picture.then(ImageStep::Resize { width, height, filter, part, reducing_gap }, made_size))
}

fn crop<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let picture = pillow(evaluator, value, call.place)?;
    let [bounds] = call.bind(evaluator, ["box"])?;
    let bounds = evaluator.measures::<4>(&picture, &bounds.unwrap_or(Value::None), false, call.at(0))?;
    let at = |side: usize, sizes: &[(u32, u32)]| bounds[side].value(sizes).map(f64::round_ties_even);
    let width = picture.fixed_length(|sizes| Some(at(2, sizes)? - at(0, sizes)?));
    let height = picture.fixed_length(|sizes| Some(at(3, sizes)? - at(1, sizes)?));
    let size = match (width, height) {
        (Some(width), Some(height)) => Resized::To(width, height),
        _ => Resized::Unknown,
    };
    made(picture.then(ImageStep::Crop(bounds), size))
}

fn transpose<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    // numpy's arrays have this method too.
    if let Value::Picture(picture) = value
        && picture.is_array
    {
        let array = Value::Array(evaluator.picture_array(picture, call.place)?);
        return match super::method(Kind::Array, "transpose") {
            Some(method) => method(evaluator, &array, call),
            None => evaluator.fail(call.place, "this method is not compiled"),
        };
    }
    let picture = pillow(evaluator, value, call.place)?;
    let [method] = call.bind(evaluator, ["method"])?;
    let name = match &method {
        Some(Value::Path(path)) => path.rsplit('.').next().unwrap_or_default().to_owned(),
        Some(Value::Int(number)) => number.to_string(),
        _ => String::new(),
    };
    let turn = match name.as_str() {
        "FLIP_LEFT_RIGHT" | "0" => Turn::FlipLeftRight,
        "FLIP_TOP_BOTTOM" | "1" => Turn::FlipTopBottom,
        "ROTATE_90" | "2" => Turn::Rotate90,
        "ROTATE_180" | "3" => Turn::Rotate180,
        "ROTATE_270" | "4" => Turn::Rotate270,
        "TRANSPOSE" | "5" => Turn::Transpose,
        "TRANSVERSE" | "6" => Turn::Transverse,
        _ => return evaluator.fail(call.at(0), "this is none of Pillow's turns, `Image.ROTATE_90` and such"),
    };
    made(turned(&picture, turn))
}

/// Turns by a quarter or half of a circle, which move pixels and compute none.
fn rotate<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let picture = pillow(evaluator, value, call.place)?;
    let [angle, _resample, expand] = call.bind(evaluator, ["angle", "resample", "expand"])?;
    let square = picture.size.is_some_and(|(width, height)| width == height);
    let whole = square || expand.is_some_and(|expand| expand.truth() == Some(true));
    let turn = match angle {
        Some(Value::Int(angle)) => match angle.rem_euclid(360) {
            0 => return Ok(value.clone()),
            90 if whole => Some(Turn::Rotate90),
            180 => Some(Turn::Rotate180),
            270 if whole => Some(Turn::Rotate270),
            _ => None,
        },
        _ => None,
    };
    match turn {
        Some(turn) => made(turned(&picture, turn)),
        None => evaluator.fail(call.place, "`rotate` is compiled by 90 and 270 degrees with `expand=True`, and by 180"),
    }
}

/// `getdata()`: the pixels one after the other.
fn pixels<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let picture = pillow(evaluator, value, call.place)?;
    call.none(evaluator)?;
    let (Some(mode), Some((width, height))) = (picture.mode, picture.size) else {
        return evaluator.fail(
            call.place,
            "`getdata` is compiled of an image of known size and mode. Convert and resize it before",
        );
    };
    let array = evaluator.picture_array(&picture, call.place)?;
    // As the list of Python's numbers that it becomes.
    let array = if mode == Mode::F {
        array
    } else {
        let tensor = evaluator.cast(array.tensor, DType::I64, call.place)?;
        array.with_tensor(tensor)
    };
    let count = i64::from(width) * i64::from(height);
    let dims = match mode.channels() {
        1 => vec![Value::Int(count)],
        channels => vec![Value::Int(count), Value::Int(channels as i64)],
    };
    let shape =
        Call { place: call.place, positional: vec![(Value::Tuple(dims.into()), call.place)], keywords: Vec::new() };
    match super::method(Kind::Array, "reshape") {
        Some(reshape) => match reshape(evaluator, &Value::Array(array), &shape)? {
            Value::Array(array) => Ok(Value::Array(Array { python: true, ..array })),
            other => Ok(other),
        },
        None => evaluator.fail(call.place, "this method is not compiled"),
    }
}

fn mode<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let picture = pillow(evaluator, value, place)?;
    Ok(match picture.mode {
        Some(mode) => Value::Text(mode.name().into()),
        None => Value::Mode,
    })
}

/// `array.shape` of an image that Python sees as an array.
fn shape<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let picture = picture(evaluator, value, place)?;
    if !picture.is_array {
        return evaluator.fail(place, "an image has `size`; its array has a shape");
    }
    let [width, height] = picture.lengths();
    let channels = picture.mode.map(Mode::channels).filter(|channels| *channels > 1);
    let channels = channels.map(|channels| Value::Int(channels as i64));
    if picture.mode.is_none() {
        return evaluator.fail(place, "how many axes this has depends on the request. Convert the image first");
    }
    Ok(Value::Tuple([height, width].into_iter().chain(channels).collect()))
}
