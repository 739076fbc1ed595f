//! Images at other sizes and places.

use ekiben_runtime::ops::affine_grid::AffineGrid;
use ekiben_runtime::ops::grid_sample::{GridSample, SampleMode, SamplePadding, Sampling};
use ekiben_runtime::ops::resize::{Coordinates, Interpolation, Nearest, Resampling, Resize};
use ekiben_runtime::ops::roi_align::{Regions, RoiAlign};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Count;
use super::window::{channels_last, channels_second, numbers, spatial_lengths, table};
use crate::graph::TensorId;

/// A text that must be one of a few.
fn choice<T: Copy>(call: &Call<'_>, name: &str, default: &str, choices: &[(&str, T)]) -> Result<T, Refusal> {
    let text = call.attributes.string(name)?.unwrap_or(default);
    let found = choices.iter().find(|(choice, _)| *choice == text);
    found.map(|&(_, value)| value).ok_or_else(|| Refusal(format!("attribute {name} is {text:?}")))
}

/// What becomes of each axis of a tensor.
struct Axes {
    /// Lengths of the output.
    lengths: Vec<usize>,
    scales: Vec<f32>,
    /// True when a scale gives no whole length.
    fractional: bool,
}

/// Constant floats of input `index`; `None` where it is absent or empty.
fn floats(call: &mut Call<'_>, index: usize) -> Result<Option<Vec<f64>>, Refusal> {
    let Some(id) = call.optional(index)? else { return Ok(None) };
    if call.shape(id).elements() == Some(0) {
        return Ok(None);
    }
    let values = call.constant_floats(id).ok_or_else(|| Refusal(format!("input {index} must be a constant")))?;
    Ok(Some(values))
}

/// The axes that `scales`, `sizes` and `roi` refer to.
fn stated_axes(call: &Call<'_>, rank: usize) -> Result<Vec<usize>, Refusal> {
    let Some(stated) = call.attributes.ints("axes")? else { return Ok((0..rank).collect()) };
    let axes = stated.iter().map(|&axis| call.axis(axis, rank)).collect::<Result<Vec<usize>, Refusal>>()?;
    if (1..axes.len()).any(|position| axes[..position].contains(&axes[position])) {
        return Err("attribute axes names an axis twice".into());
    }
    Ok(axes)
}

impl Axes {
    fn unchanged(shape: &Shape) -> Self {
        let lengths: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
        Self { scales: vec![1.0; lengths.len()], lengths, fractional: false }
    }

    /// Axes whose lengths are those of the input times `scales`, rounded down.
    fn scaled(shape: &Shape, axes: &[usize], scales: &[f64]) -> Result<Self, Refusal> {
        if scales.len() != axes.len() {
            return Err(Refusal(format!("{} scales for {} axes", scales.len(), axes.len())));
        }
        let mut all = Self::unchanged(shape);
        for (&axis, &scale) in axes.iter().zip(scales) {
            // ONNX multiplies in f32.
            let scale = scale as f32;
            let exact = scale * all.lengths[axis] as f32;
            if scale <= 0.0 || !(1.0..1e9).contains(&exact) {
                return Err(Refusal(format!("axis {axis} of {} has a scale of {scale}", all.lengths[axis])));
            }
            all.fractional |= exact.fract() != 0.0;
            all.lengths[axis] = exact as usize;
            all.scales[axis] = scale;
        }
        Ok(all)
    }

    /// Axes of stated lengths, or of one scale that fits them.
    fn sized(shape: &Shape, axes: &[usize], sizes: &[Count], policy: Option<bool>) -> Result<Self, Refusal> {
        if sizes.len() != axes.len() {
            return Err(Refusal(format!("{} sizes for {} axes", sizes.len(), axes.len())));
        }
        let mut all = Self::unchanged(shape);
        let mut ratios = Vec::new();
        for (&axis, &size) in axes.iter().zip(sizes) {
            if size != Count::of_axis(shape, axis) {
                let length = size.number().and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
                let length = length.filter(|_| !shape.is_batch(axis));
                all.scales[axis] = length.unwrap_or(1) as f32 / all.lengths[axis] as f32;
                all.lengths[axis] = length.ok_or_else(|| Refusal(format!("axis {axis} gets a size of {size}")))?;
            }
            let before = shape.factor(axis).unwrap_or(1);
            ratios.push(all.lengths[axis] as f64 / before as f64);
        }
        let Some(larger) = policy else { return Ok(all) };
        let scale =
            if larger { ratios.into_iter().fold(0.0, f64::max) } else { ratios.into_iter().fold(f64::MAX, f64::min) };
        for &axis in axes {
            let exact = scale * shape.factor(axis).unwrap_or(1) as f64;
            all.fractional |= exact.fract() != 0.0;
            all.lengths[axis] = (exact + 0.5).floor().max(1.0) as usize;
            all.scales[axis] = scale as f32;
        }
        Ok(all)
    }
}

/// Resamples a tensor; parts of the axes are given for [`Coordinates::TfCropAndResize`].
fn resample(call: &mut Call<'_>, x: TensorId, how: Resampling, axes: &Axes, roi: Option<&[f32]>) -> Lowered {
    let rank = axes.lengths.len();
    // One neighbour's weight serves all channels when they stand last.
    let channels = (0..2).all(|axis| axes.scales.get(axis) == Some(&1.0)) && roi.is_none() && rank > 2;
    let channels =
        channels && call.shape(x).factor(1) != Some(1) && call.shape(x).batch_axis().is_none_or(|axis| axis == 0);
    let order: Vec<usize> =
        if channels { [0].into_iter().chain(2..rank).chain([1]).collect() } else { (0..rank).collect() };
    let x = call.transpose(x, &order)?;
    let shape = call.shape(x);
    let lengths: Vec<usize> = order.iter().map(|&axis| axes.lengths[axis]).collect();
    let scales: Vec<f32> = order.iter().map(|&axis| axes.scales[axis]).collect();
    let spec = TensorSpec { shape: Shape::new(&lengths, shape.batch_axis())?, ..call.graph.spec(x) };
    let scales = call.constant(DType::F32, &[rank], &scales)?;
    let mut inputs = vec![Some(x), Some(scales)];
    if let Some(roi) = roi {
        inputs.push(Some(call.constant(DType::F32, &[2, rank], roi)?));
    }
    let result = call.add_node(Resize { how }.into(), &inputs, &[spec])?[0];
    one(if channels { channels_second(call, result)? } else { result })
}

const PLAIN: Resampling = Resampling {
    interpolation: Interpolation::Nearest,
    coordinates: Coordinates::Asymmetric,
    nearest: Nearest::Simple,
    antialias: false,
    exclude_outside: false,
    cubic: -0.75,
    extrapolation: 0.0,
};

/// `Upsample`, and `Resize` of operator set 10, which follows it.
pub(super) fn upsample(call: &mut Call<'_>) -> Lowered {
    let modes = [("nearest", Interpolation::Nearest), ("linear", Interpolation::Linear)];
    let interpolation = choice(call, "mode", "nearest", &modes)?;
    let x = call.tensor(0)?;
    let scales = match call.attributes.floats("scales")? {
        Some(scales) => scales.iter().map(|&scale| scale.into()).collect(),
        None => floats(call, 1)?.ok_or("input 1, the scales, is missing")?,
    };
    let shape = call.shape(x);
    let axes: Vec<usize> = (0..shape.rank()).collect();
    let axes = Axes::scaled(&shape, &axes, &scales)?;
    resample(call, x, Resampling { interpolation, ..PLAIN }, &axes, None)
}

/// Reads how `Resize` resamples.
fn resampling(call: &Call<'_>) -> Result<Resampling, Refusal> {
    let interpolation = choice(
        call,
        "mode",
        "nearest",
        &[("nearest", Interpolation::Nearest), ("linear", Interpolation::Linear), ("cubic", Interpolation::Cubic)],
    )?;
    let coordinates = choice(
        call,
        "coordinate_transformation_mode",
        "half_pixel",
        &[
            ("half_pixel", Coordinates::HalfPixel),
            ("asymmetric", Coordinates::Asymmetric),
            ("pytorch_half_pixel", Coordinates::PytorchHalfPixel),
            ("tf_half_pixel_for_nn", Coordinates::TfHalfPixelForNearest),
            ("align_corners", Coordinates::AlignCorners),
            ("tf_crop_and_resize", Coordinates::TfCropAndResize),
            ("half_pixel_symmetric", Coordinates::HalfPixelSymmetric),
        ],
    )?;
    let nearest = choice(
        call,
        "nearest_mode",
        "round_prefer_floor",
        &[
            ("round_prefer_floor", Nearest::RoundPreferFloor),
            ("round_prefer_ceil", Nearest::RoundPreferCeil),
            ("floor", Nearest::Floor),
            ("ceil", Nearest::Ceil),
        ],
    )?;
    let antialias = call.attributes.flag("antialias", false)?;
    if antialias && interpolation == Interpolation::Nearest {
        return Err("attribute antialias is 1 with mode=nearest".into());
    }
    Ok(Resampling {
        interpolation,
        coordinates,
        nearest,
        antialias,
        exclude_outside: call.attributes.flag("exclude_outside", false)?,
        cubic: call.attributes.float("cubic_coeff_a")?.unwrap_or(-0.75),
        extrapolation: call.attributes.float("extrapolation_value")?.unwrap_or(0.0),
    })
}

/// The parts of all axes, starts before ends.
fn regions(call: &mut Call<'_>, axes: &[usize], rank: usize) -> Result<Vec<f32>, Refusal> {
    let stated = floats(call, 1)?.filter(|stated| stated.len() == 2 * axes.len());
    let stated = stated.ok_or("tf_crop_and_resize needs a start and an end for each axis as input 1")?;
    let mut all = vec![0.0; rank];
    all.resize(2 * rank, 1.0);
    for (position, &axis) in axes.iter().enumerate() {
        all[axis] = stated[position] as f32;
        all[rank + axis] = stated[axes.len() + position] as f32;
    }
    Ok(all)
}

pub(super) fn resize(call: &mut Call<'_>) -> Lowered {
    if call.version < 11 {
        return upsample(call);
    }
    let how = resampling(call)?;
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let named = stated_axes(call, shape.rank())?;
    let policy = choice(
        call,
        "keep_aspect_ratio_policy",
        "stretch",
        &[("stretch", None), ("not_larger", Some(false)), ("not_smaller", Some(true))],
    )?;
    let cropped = how.coordinates == Coordinates::TfCropAndResize;
    let roi = if cropped { Some(regions(call, &named, shape.rank())?) } else { None };
    let axes = match floats(call, 2)? {
        Some(_) if cropped => return Err("tf_crop_and_resize needs sizes instead of scales".into()),
        Some(scales) => Axes::scaled(&shape, &named, &scales)?,
        None => Axes::sized(&shape, &named, &call.counts(3)?.values, policy)?,
    };
    let by_length = matches!(
        how.coordinates,
        Coordinates::AlignCorners | Coordinates::PytorchHalfPixel | Coordinates::TfCropAndResize
    );
    if axes.fractional && by_length {
        return Err(
            "attribute coordinate_transformation_mode is one that uses the output's length, and a scale gives a fraction, where the \
             specification's cases and ONNX Runtime differ: state sizes with keep_aspect_ratio_policy=stretch"
                .into(),
        );
    }
    resample(call, x, how, &axes, roi.as_deref())
}

pub(super) fn grid_sample(call: &mut Call<'_>) -> Lowered {
    let mode = choice(
        call,
        "mode",
        "linear",
        &[
            ("linear", SampleMode::Linear),
            ("bilinear", SampleMode::Linear),
            ("nearest", SampleMode::Nearest),
            ("cubic", SampleMode::Cubic),
            ("bicubic", SampleMode::Cubic),
        ],
    )?;
    let padding = choice(
        call,
        "padding_mode",
        "zeros",
        &[
            ("zeros", SamplePadding::Zeros),
            ("border", SamplePadding::Border),
            ("reflection", SamplePadding::Reflection),
        ],
    )?;
    let align_corners = call.attributes.flag("align_corners", false)?;
    let (x, grid) = (call.tensor(0)?, call.tensor(1)?);
    spatial_lengths(call, x)?;
    let x = channels_last(call, x)?;
    let result = call.add(GridSample { how: Sampling { mode, padding, align_corners } }, &[x, grid])?;
    one(channels_second(call, result)?)
}

pub(super) fn affine_grid(call: &mut Call<'_>) -> Lowered {
    let align_corners = call.attributes.flag("align_corners", false)?;
    let theta = call.tensor(0)?;
    let size = call.counts(1)?.values;
    let shape = call.shape(theta);
    if size.first() != Some(&Count::of_axis(&shape, 0)) {
        return Err("the size is not one of as many images as there are maps".into());
    }
    let lengths: Option<Vec<usize>> =
        size.iter().skip(2).map(|count| count.number().and_then(|length| usize::try_from(length).ok())).collect();
    let lengths = numbers(&lengths.ok_or("the size of the images must be known while the model is compiled")?)?;
    let table = table(call, &[&lengths])?;
    one(call.add(AffineGrid { align_corners }, &[theta, table])?)
}

pub(super) fn roi_align(call: &mut Call<'_>) -> Lowered {
    let max = choice(call, "mode", "avg", &[("avg", false), ("max", true)])?;
    // Before version 16 coordinates were never shifted.
    let half_pixel = match call.version >= 16 {
        true => choice(
            call,
            "coordinate_transformation_mode",
            "half_pixel",
            &[("half_pixel", true), ("output_half_pixel", false)],
        )?,
        false => false,
    };
    let number = |name: &str, default: i64| -> Result<u32, Refusal> {
        let value = call.attributes.int(name)?.unwrap_or(default);
        u32::try_from(value).map_err(|_| Refusal(format!("attribute {name} is {value}")))
    };
    let (samples, rows) = (number("sampling_ratio", 0)?, number("output_height", 1)?);
    let cells = [rows as usize, number("output_width", 1)? as usize];
    let scale = call.attributes.float("spatial_scale")?.unwrap_or(1.0);
    let (x, regions, numbers) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    spatial_lengths(call, x)?;
    let x = channels_last(call, x)?;
    let op = RoiAlign { how: Regions { max, half_pixel, samples, scale, cells } };
    let result = call.add(op, &[x, regions, numbers])?;
    one(channels_second(call, result)?)
}
