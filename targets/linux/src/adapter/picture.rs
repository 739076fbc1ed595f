//! Images of requests: decoded, taken through their steps, and laid out as tensors.

use ekiben_runtime::Shape;
use ekiben_runtime::artifact::image::{self as manifest, Filter, ImageStep, Measure, Mode};

use super::{DataError, InputBuffer};
use crate::image::{Image, ImageError, Limits, decode};

/// The longest side that a step may make.
const MAX_SIDE: f64 = 16_384.0;

/// Appends the tensors that are made of the image in `file`.
pub(super) fn push(
    declared: &manifest::Image,
    file: &[u8],
    place: &str,
    inputs: &mut [InputBuffer<'_>],
) -> Result<(), DataError> {
    let refused = |reason: String| DataError::body(place, reason);
    let decoded = decode(file, &Limits::default()).map_err(|error| refused(error.to_string()))?;
    let decoded = decoded.with_pass_order(declared.order);
    let mut lay = |image: Image, made: &manifest::ImageUse| {
        let image = stepped(image, &made.steps).map_err(refused)?;
        let buffer = inputs.get_mut(made.input as usize);
        let buffer = buffer.ok_or_else(|| DataError::body("manifest", "it names an input that is not there"))?;
        lay_out(&image, buffer).map_err(refused)
    };
    // Only an image of several uses is copied.
    let Some((last, others)) = declared.uses.split_last() else { return Ok(()) };
    others.iter().try_for_each(|made| lay(decoded.clone(), made))?;
    lay(decoded, last)
}

/// The image after its steps.
fn stepped(mut image: Image, steps: &[ImageStep]) -> Result<Image, String> {
    let mut sizes = vec![size(&image)];
    for step in steps {
        image = after(image, step, &sizes)?;
        sizes.push(size(&image));
    }
    Ok(image)
}

fn size(image: &Image) -> (u32, u32) {
    let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    (side(image.width()), side(image.height()))
}

fn after(image: Image, step: &ImageStep, sizes: &[(u32, u32)]) -> Result<Image, String> {
    let failed = |error: ImageError| error.to_string();
    match step {
        ImageStep::Convert(mode) | ImageStep::Require(mode) if image.mode() == *mode => Ok(image),
        ImageStep::Convert(mode) => image.convert(*mode).map_err(failed),
        ImageStep::OpencvDecoded => {
            let upright = image.exif_transpose();
            reversed(upright.convert(Mode::Rgb).map_err(failed)?).map_err(failed)
        }
        ImageStep::Require(mode) => Err(format!(
            "an image in the mode {}, the service takes {}; convert it, or let the service convert it",
            image.mode().name(),
            mode.name()
        )),
        ImageStep::Resize { width, height, filter, part, reducing_gap } => {
            let to = (side(width, sizes)?, side(height, sizes)?);
            let part = part.as_ref().map(|part| bounds(part, sizes)).transpose()?;
            resize(&image, to, *filter, part, *reducing_gap)
        }
        ImageStep::Crop(part) => {
            let [left, upper, right, lower] = bounds(part, sizes)?.map(f64::round_ties_even);
            check(right - left, lower - upper)?;
            let at = |bound: f64| bound as i64;
            image.crop(at(left), at(upper), at(right), at(lower)).map_err(failed)
        }
        ImageStep::Turn(turn) => Ok(image.turn(*turn)),
        ImageStep::ExifTranspose => Ok(image.exif_transpose()),
        ImageStep::Fit { width, height, filter, centering } => {
            let part = fitted(size(&image), (*width, *height), *centering);
            resize(&image, (*width as usize, *height as usize), *filter, Some(part), None)
        }
        ImageStep::ShorterSide { length, filter } => {
            let to = shorter_side(size(&image), *length);
            check(to.0 as f64, to.1 as f64)?;
            if to == (image.width(), image.height()) { Ok(image) } else { resize(&image, to, *filter, None, None) }
        }
        ImageStep::CenterCrop { width, height } => {
            let (left, upper) = centred(size(&image), (*width, *height));
            image.crop(left, upper, left + i64::from(*width), upper + i64::from(*height)).map_err(failed)
        }
        ImageStep::ReverseChannels => reversed(image).map_err(failed),
        ImageStep::OpencvGray { blue_first } => image.opencv_gray(*blue_first).map_err(failed),
    }
}

/// The channels in the other order.
fn reversed(image: Image) -> Result<Image, ImageError> {
    let (mode, width, height, order) = (image.mode(), image.width(), image.height(), image.pass_order());
    let mut data = image.into_data();
    data.chunks_exact_mut(mode.channels()).for_each(<[u8]>::reverse);
    Ok(Image::new(mode, width, height, data)?.with_pass_order(order))
}

fn resize(
    image: &Image,
    to: (usize, usize),
    filter: Filter,
    part: Option<[f64; 4]>,
    reducing_gap: Option<f64>,
) -> Result<Image, String> {
    check(to.0 as f64, to.1 as f64)?;
    image.resize(to, filter, part, reducing_gap).map_err(|error| error.to_string())
}

/// That lengths are ones that an image may have; [`Image`] bounds the pixels.
fn check(width: f64, height: f64) -> Result<(), String> {
    let fits = |side: f64| (1.0..=MAX_SIDE).contains(&side);
    if fits(width) && fits(height) {
        return Ok(());
    }
    Err(format!("the service makes an image of {width} x {height} pixels of it, which is not possible here"))
}

fn value(measure: &Measure, sizes: &[(u32, u32)]) -> Result<f64, String> {
    measure.value(sizes).filter(|value| value.is_finite()).ok_or_else(|| {
        "a length of the image has no value: it divides by zero, or names a step that is not there".to_owned()
    })
}

fn side(measure: &Measure, sizes: &[(u32, u32)]) -> Result<usize, String> {
    let side = value(measure, sizes)?;
    check(side, 1.0)?;
    Ok(side as usize)
}

fn bounds(part: &[Measure; 4], sizes: &[(u32, u32)]) -> Result<[f64; 4], String> {
    let mut bounds = [0.0; 4];
    for (bound, measure) in bounds.iter_mut().zip(part) {
        *bound = value(measure, sizes)?;
        if bound.abs() > 1e6 {
            return Err("a bound of a part of the image is too far outside of it".to_owned());
        }
    }
    Ok(bounds)
}

/// The part that Pillow's `ImageOps.fit` takes: the largest one of the wanted proportions.
fn fitted((width, height): (u32, u32), to: (u32, u32), centering: [f64; 2]) -> [f64; 4] {
    let (width, height) = (f64::from(width), f64::from(height));
    let wanted = f64::from(to.0) / f64::from(to.1);
    let given = width / height;
    let (part_width, part_height) = if given == wanted {
        (width, height)
    } else if given >= wanted {
        (wanted * height, height)
    } else {
        (width, width / wanted)
    };
    let left = (width - part_width) * centering[0];
    let upper = (height - part_height) * centering[1];
    [left, upper, left + part_width, upper + part_height]
}

/// The size in which torchvision's `Resize` makes an image whose shorter side gets this length.
fn shorter_side((width, height): (u32, u32), length: u32) -> (usize, usize) {
    let (short, long) = (u64::from(width.min(height)), u64::from(width.max(height)));
    let longer = (u64::from(length) * long / short.max(1)) as usize;
    if width <= height { (length as usize, longer) } else { (longer, length as usize) }
}

/// Left and upper bound of torchvision's `CenterCrop`.
fn centred((width, height): (u32, u32), to: (u32, u32)) -> (i64, i64) {
    let bound = |given: u32, wanted: u32| {
        let (given, wanted) = (i64::from(given), i64::from(wanted));
        // A smaller image gets zeros around it first: the smaller half before it.
        let before = ((wanted - given).max(0)) / 2;
        let padded = given.max(wanted);
        ((padded - wanted) as f64 / 2.0).round_ties_even() as i64 - before
    };
    (bound(width, to.0), bound(height, to.1))
}

/// Appends an image to an input, whose lengths it must have.
fn lay_out(image: &Image, buffer: &mut InputBuffer<'_>) -> Result<(), String> {
    let mode = image.mode();
    let channels = (mode.channels() > 1).then(|| mode.channels());
    let dims: Vec<usize> = [image.height(), image.width()].into_iter().chain(channels).collect();
    let (shape, dtype) = (buffer.spec.shape, buffer.spec.dtype);
    let wanted = own_dims(&shape);
    if dims != wanted {
        return Err(format!("an image whose array has the shape {dims:?}, the API takes {wanted:?}"));
    }
    if dtype != mode.dtype() {
        return Err(format!("an image in the mode {}, the API takes {}", mode.name(), dtype.name()));
    }
    if mode == Mode::Bilevel {
        buffer.bytes.extend(image.data().iter().map(|byte| u8::from(*byte != 0)));
    } else {
        buffer.bytes.extend(image.data());
    }
    Ok(())
}

/// The lengths of one row.
fn own_dims(shape: &Shape) -> Vec<usize> {
    let own = shape.factors().iter().enumerate().filter(|(axis, _)| !shape.is_batch(*axis));
    own.map(|(_, factor)| *factor as usize).collect()
}
