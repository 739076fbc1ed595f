//! OpenCV: images of a request as arrays of bytes.

use std::rc::Rc;

use ekiben_runtime::artifact::image::{Filter, ImageStep, Measure, Mode};

use super::Function;
use super::image::{opened, picture};
use crate::service::evaluate::{Call, Evaluated, Evaluator, Picture, Place, Resized, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] =
    &[("cv2.imdecode", decode), ("cv2.resize", resize), ("cv2.cvtColor", colour), ("numpy.frombuffer", from_buffer)];

/// The name of one of OpenCV's constants.
fn constant(value: &Value<'_>, numbers: &[(i64, &'static str)]) -> Option<String> {
    match value {
        Value::Path(path) => path.strip_prefix("cv2.").map(str::to_owned),
        Value::Int(number) => numbers.iter().find(|(known, _)| known == number).map(|(_, name)| (*name).to_owned()),
        _ => None,
    }
}

/// `np.frombuffer(file.read(), np.uint8)`: the bytes of a file.
fn from_buffer<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [buffer, dtype] = call.bind(evaluator, ["buffer", "dtype"])?;
    let bytes = match &dtype {
        Some(Value::Path(path)) => &**path == "numpy.uint8",
        Some(Value::Text(name)) => &**name == "uint8",
        _ => false,
    };
    match buffer {
        Some(file @ Value::File(_)) if bytes => Ok(file),
        _ => evaluator.fail(call.place, "`frombuffer` is compiled of the bytes of a file of the request, as uint8"),
    }
}

fn decode<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [buffer, flags] = call.bind(evaluator, ["buf", "flags"])?;
    let colour = flags.as_ref().and_then(|flags| constant(flags, &[(1, "IMREAD_COLOR")]));
    match (buffer, colour.as_deref()) {
        (Some(Value::File(at)), Some("IMREAD_COLOR")) => {
            let decoded = opened(&at).then(ImageStep::OpencvDecoded, Resized::Unknown);
            Ok(Value::Picture(Rc::new(Picture { mode: Some(Mode::Rgb), is_array: true, ..decoded })))
        }
        (Some(Value::File(_)), _) => {
            evaluator.fail(call.at(1), "`imdecode` is compiled with `cv2.IMREAD_COLOR`; make it gray with `cvtColor`")
        }
        _ => evaluator.fail(call.at(0), "`imdecode` is compiled of the bytes of a file of the request"),
    }
}

/// The image in an argument, as an array of bytes.
fn bytes(evaluator: &Evaluator<'_, '_>, value: Option<Value<'_>>, place: Place) -> Result<Rc<Picture>, Stop> {
    let found = picture(evaluator, &value.unwrap_or(Value::None), place)?;
    match found.mode {
        Some(Mode::I | Mode::F | Mode::I16 | Mode::Bilevel) => {
            evaluator.fail(place, "OpenCV's functions are compiled on images of bytes")
        }
        None => evaluator.fail(place, "the image's channels depend on the request. Convert it first"),
        Some(_) if !found.is_array => evaluator.fail(place, "OpenCV takes arrays; make one with `np.array(image)`"),
        Some(_) => Ok(found),
    }
}

fn resize<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [source, size, _, fx, fy, interpolation] =
        call.bind(evaluator, ["src", "dsize", "dst", "fx", "fy", "interpolation"])?;
    let picture = bytes(evaluator, source, call.at(0))?;
    let none = |value: &Option<Value<'a>>| matches!(value, None | Some(Value::None | Value::Int(0)));
    if !none(&fx) || !none(&fy) {
        return evaluator.fail(call.place, "`resize` is compiled with a size, and not with factors");
    }
    let known = [(0, "INTER_NEAREST"), (1, "INTER_LINEAR"), (2, "INTER_CUBIC"), (3, "INTER_AREA")];
    let name = interpolation.map_or(Some("INTER_LINEAR".to_owned()), |value| constant(&value, &known));
    let filter = match name.as_deref() {
        Some("INTER_NEAREST") => Filter::OpencvNearest,
        Some("INTER_LINEAR") => Filter::OpencvLinear,
        Some("INTER_CUBIC") => Filter::OpencvCubic,
        Some("INTER_AREA") => Filter::OpencvArea,
        _ => {
            return evaluator
                .fail(call.place, "of OpenCV's interpolations nearest, linear, cubic and area are compiled");
        }
    };
    let [width, height] = evaluator.measures::<2>(&picture, &size.unwrap_or(Value::None), true, call.at(1))?;
    let side = |measure: &Measure| picture.fixed_length(|sizes| measure.value(sizes));
    let size = match (side(&width), side(&height)) {
        (Some(width), Some(height)) => Resized::To(width, height),
        _ => Resized::Unknown,
    };
    let step = ImageStep::Resize { width, height, filter, part: None, reducing_gap: None };
    Ok(Value::Picture(Rc::new(picture.then(step, size))))
}

fn colour<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [source, code] = call.bind(evaluator, ["src", "code"])?;
    let picture = bytes(evaluator, source, call.at(0))?;
    let known = [(4, "COLOR_BGR2RGB"), (6, "COLOR_BGR2GRAY"), (7, "COLOR_RGB2GRAY")];
    let name = code.and_then(|code| constant(&code, &known));
    let colours = picture.mode == Some(Mode::Rgb);
    let made = match name.as_deref() {
        Some("COLOR_BGR2RGB" | "COLOR_RGB2BGR") if colours => picture.then(ImageStep::ReverseChannels, Resized::Same),
        Some(name @ ("COLOR_BGR2GRAY" | "COLOR_RGB2GRAY")) if colours => {
            let step = ImageStep::OpencvGray { blue_first: name == "COLOR_BGR2GRAY" };
            Picture { mode: Some(Mode::L), ..picture.then(step, Resized::Same) }
        }
        _ => {
            return evaluator
                .fail(call.place, "of OpenCV's colour codes BGR2RGB, RGB2BGR, BGR2GRAY and RGB2GRAY are compiled");
        }
    };
    Ok(Value::Picture(Rc::new(made)))
}

/// `array[:, :, ::-1]` and `array[..., ::-1]` of an image that Python sees as an array.
pub(in crate::service) fn reversed_channels<'a>(value: &Value<'a>, index: &Value<'a>) -> Option<Value<'a>> {
    let (Value::Picture(picture), Value::Tuple(parts)) = (value, index) else { return None };
    let backwards = matches!(&parts[..], [Value::Ellipsis, Value::Slice(None, None, -1)])
        || matches!(
            &parts[..],
            [Value::Slice(None, None, 1), Value::Slice(None, None, 1), Value::Slice(None, None, -1)]
        );
    let colours = picture.is_array && picture.mode == Some(Mode::Rgb);
    (backwards && colours).then(|| Value::Picture(Rc::new(picture.then(ImageStep::ReverseChannels, Resized::Same))))
}
