//! Borders, parts and sizes of images and sequences.

use ekiben_runtime::Shape;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::resize_bilinear::{Corners, ResizeBilinear};
use serde_json::Value;

use super::super::lowering::{Site, Stop};
use crate::graph::TensorId;

/// Counts before and after each of the axes between batch and channels: one for all, one for each axis, or two for each axis.
fn borders(site: &Site<'_, '_>, key: &str, axes: usize) -> Result<Vec<[usize; 2]>, Stop> {
    let value = site.value(key).ok_or_else(|| format!("{key} is not stated"))?;
    let count = |value: &Value| value.as_u64().filter(|&count| count < 1 << 31).map(|count| count as usize);
    let both = |value: &Value| match value {
        Value::Array(pair) if pair.len() == 2 => Some([count(&pair[0])?, count(&pair[1])?]),
        value => count(value).map(|count| [count, count]),
    };
    let read = match value {
        Value::Array(_) if axes == 1 => both(value).map(|pair| vec![pair]),
        Value::Array(values) if values.len() == axes => values.iter().map(both).collect(),
        Value::Array(_) => None,
        value => both(value).map(|pair| vec![pair; axes]),
    };
    read.ok_or_else(|| format!("{key} is {value}").into())
}

fn spatial(site: &Site<'_, '_>, x: TensorId) -> Result<usize, Stop> {
    site.channels_last()?;
    let axes = site.shape(x).rank().checked_sub(2).filter(|&axes| axes > 0);
    axes.ok_or_else(|| format!("the input has the shape {}", site.shape(x)).into())
}

pub(super) fn zero_padding(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let axes = spatial(site, x)?;
    let borders = borders(site, "padding", axes)?;
    let row = |side: usize| {
        let counts = borders.iter().map(move |counts| counts[side] as i32);
        [0].into_iter().chain(counts).chain([0])
    };
    let values: Vec<i32> = row(0).chain(row(1)).collect();
    let table = site.table(&[2, axes + 2], &values)?;
    site.add(Pad { mode: PadMode::Constant }, &[x, table])
}

pub(super) fn cropping(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let axes = spatial(site, x)?;
    let borders = borders(site, "cropping", axes)?;
    let dims = site.dims(x);
    let mut parts: Vec<[i64; 3]> = dims.iter().map(|&length| [0, 1, length as i64]).collect();
    for (part, [before, after]) in parts[1..].iter_mut().zip(borders) {
        *part = [before as i64, 1, part[2] - before as i64 - after as i64];
    }
    site.sliced(x, &parts)
}

/// Each element of an axis several times in a row.
fn repeated(site: &mut Site<'_, '_>, x: TensorId, axis: usize, count: usize) -> Result<TensorId, Stop> {
    if count == 1 {
        return Ok(x);
    }
    let length = site.dims(x)[axis];
    if length.saturating_mul(count) > 1 << 24 {
        return Err("the result is too large".into());
    }
    let indices: Vec<i32> = (0..length * count).map(|at| (at / count) as i32).collect();
    let indices = site.table(&[indices.len()], &indices)?;
    site.add(Gather { axis: axis as u8 }, &[x, indices])
}

/// Images of another height and width, with the centres of pixels where they were.
fn bilinear(site: &mut Site<'_, '_>, x: TensorId, [height, width]: [usize; 2]) -> Result<TensorId, Stop> {
    let &[first, _, _, channels] = site.dims(x).as_slice() else { return Err("the input is not an image".into()) };
    let shape = Shape::new(&[first, height, width, channels], site.shape(x).batch_axis())?;
    site.declared(ResizeBilinear { corners: Corners::HalfPixel }, x, shape)
}

pub(super) fn up_sampling(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let axes = spatial(site, x)?;
    if axes == 1 {
        let count = site.count("size")?.unwrap_or(2);
        return repeated(site, x, 1, count);
    }
    let counts = site.counts("size", axes, Some(2))?;
    match site.text("interpolation").unwrap_or("nearest") {
        "nearest" => {
            let mut result = x;
            for (at, count) in counts.into_iter().enumerate() {
                result = repeated(site, result, at + 1, count)?;
            }
            Ok(result)
        }
        "bilinear" if axes == 2 => {
            let dims = site.dims(x);
            bilinear(site, x, [dims[1].saturating_mul(counts[0]), dims[2].saturating_mul(counts[1])])
        }
        other => Err(format!("interpolation is {other:?}; nearest and bilinear are compiled").into()),
    }
}

fn size(site: &Site<'_, '_>) -> Result<[usize; 2], Stop> {
    let height = site.count("height")?.ok_or("height is not stated")?;
    Ok([height, site.count("width")?.ok_or("width is not stated")?])
}

pub(super) fn resizing(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    site.channels_last()?;
    for key in ["crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"] {
        if site.flag(key, false) {
            return Err(format!("{key} is not compiled").into());
        }
    }
    let to = size(site)?;
    let dims = site.dims(x);
    if dims.len() != 4 || dims.contains(&0) {
        return Err(format!("the input has the shape {}", site.shape(x)).into());
    }
    match site.text("interpolation").unwrap_or("bilinear") {
        "bilinear" => bilinear(site, x, to),
        "nearest" => {
            let mut result = x;
            for (axis, length) in [(1, to[0]), (2, to[1])] {
                if length > 1 << 24 {
                    return Err("the result is too large".into());
                }
                // The element whose part of the axis the centre of the result's lies in.
                let scale = dims[axis] as f32 / length as f32;
                let last = dims[axis] as i32 - 1;
                let nearest = |at: usize| (((at as f32 + 0.5) * scale).floor() as i32).min(last);
                let indices: Vec<i32> = (0..length).map(nearest).collect();
                let indices = site.table(&[length], &indices)?;
                result = site.add(Gather { axis: axis as u8 }, &[result, indices])?;
            }
            Ok(result)
        }
        other => Err(format!("interpolation is {other:?}; nearest and bilinear are compiled").into()),
    }
}

pub(super) fn center_crop(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    site.channels_last()?;
    let to = size(site)?;
    let dims = site.dims(x);
    if dims.len() != 4 || dims[1] < to[0] || dims[2] < to[1] {
        return Err(format!("images {} are not larger than {to:?}, and are resized instead", site.shape(x)).into());
    }
    let mut parts: Vec<[i64; 3]> = dims.iter().map(|&length| [0, 1, length as i64]).collect();
    for (axis, length) in [(1, to[0]), (2, to[1])] {
        parts[axis] = [((dims[axis] - length) / 2) as i64, 1, length as i64];
    }
    site.sliced(x, &parts)
}
