//! Normalisation, and scaling by constants.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::group_norm::GroupNorm;
use ekiben_runtime::ops::layer_norm::LayerNorm;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use serde_json::Value;

use super::super::lowering::{Site, Stop};
use crate::graph::TensorId;

fn binary(site: &mut Site<'_, '_>, kind: BinaryKind, a: TensorId, b: TensorId) -> Result<TensorId, Stop> {
    site.add(Binary { kind }, &[a, b])
}

/// The axes that a key names, in rising order.
fn axes(site: &Site<'_, '_>, key: &str, rank: usize, usual: i64) -> Result<Vec<usize>, Stop> {
    let stated = match site.value(key) {
        None => vec![Value::from(usual)],
        Some(Value::Array(axes)) => axes.clone(),
        Some(axis) => vec![axis.clone()],
    };
    let mut axes = stated.iter().map(|axis| site.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}

/// `x * scale + offset`, each a number or a list for the last axis.
pub(super) fn rescaling(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let mut result = x;
    for (key, kind, usual) in [("scale", BinaryKind::Mul, 1.0), ("offset", BinaryKind::Add, 0.0)] {
        let values = match site.value(key) {
            None => vec![usual],
            Some(Value::Array(values)) => values
                .iter()
                .map(Value::as_f64)
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| format!("{key} is not a list"))?,
            Some(value) => vec![value.as_f64().ok_or_else(|| format!("{key} is {value}"))?],
        };
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        if values.iter().all(|&value| value == usual as f32) {
            continue;
        }
        let dims = if values.len() == 1 { vec![] } else { vec![values.len()] };
        let constant = site.constant(key, &dims, |_| Ok(values))?;
        result = binary(site, kind, result, constant)?;
    }
    Ok(result)
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` along one axis, as one factor and one addend.
pub(super) fn batch(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let dims = site.dims(x);
    let &[axis] = axes(site, "axis", dims.len(), -1)?.as_slice() else {
        return Err("more than one axis is not compiled".into());
    };
    let length = dims[axis];
    let epsilon = site.number("epsilon", 1e-3)?;
    let (scale, center) = (site.flag("scale", true), site.flag("center", true));
    let parts = |site: &Site<'_, '_>| {
        let there = |role: &str, there: bool, usual: f32| {
            if there { site.numbers(role, &[length]).map(<[f32]>::to_vec) } else { Ok(vec![usual; length]) }
        };
        let (gamma, beta) = (there("gamma", scale, 1.0)?, there("beta", center, 0.0)?);
        let (mean, variance) = (there("moving_mean", true, 0.0)?, there("moving_variance", true, 1.0)?);
        let factor: Vec<f64> = gamma
            .iter()
            .zip(&variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let addend = factor
            .iter()
            .zip(&mean)
            .zip(&beta)
            .map(|((factor, &mean), &beta)| f64::from(beta) - f64::from(mean) * factor);
        Ok::<_, Stop>((factor.iter().map(|&value| value as f32).collect(), addend.map(|value| value as f32).collect()))
    };
    let mut placed = vec![1; dims.len() - axis];
    placed[0] = length;
    let factor =
        site.constant("factor", &placed, |site| parts(site).map(|(factor, _): (Vec<f32>, Vec<f32>)| factor))?;
    let addend =
        site.constant("addend", &placed, |site| parts(site).map(|(_, addend): (Vec<f32>, Vec<f32>)| addend))?;
    let scaled = binary(site, BinaryKind::Mul, x, factor)?;
    binary(site, BinaryKind::Add, scaled, addend)
}

/// Layer normalisation over the axes of the configuration, which are moved to the end for it.
pub(super) fn layer(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let epsilon = site.number("epsilon", 1e-3)?;
    let square = site.flag("rms_scaling", false);
    if square {
        return Err("rms_scaling is not compiled. Use RMSNormalization".into());
    }
    over(site, x, epsilon, [("gamma", site.flag("scale", true)), ("beta", site.flag("center", true))], false)
}

pub(super) fn root_mean_square(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let epsilon = site.number("epsilon", 1e-6)?;
    over(site, x, epsilon, [("scale", true), ("", false)], true)
}

fn over(
    site: &mut Site<'_, '_>,
    x: TensorId,
    epsilon: f64,
    roles: [(&str, bool); 2],
    root_mean_square: bool,
) -> Result<TensorId, Stop> {
    let dims = site.dims(x);
    let axes = axes(site, "axis", dims.len(), -1)?;
    let order: Vec<usize> = (0..dims.len()).filter(|axis| !axes.contains(axis)).chain(axes.iter().copied()).collect();
    let lengths: Vec<usize> = axes.iter().map(|&axis| dims[axis]).collect();
    let mut inputs = vec![Some(site.transposed(x, &order)?)];
    for (role, there) in roles {
        inputs.push(if there { Some(site.stored(role, &lengths, &lengths)?) } else { None });
    }
    let op = LayerNorm { axes: axes.len() as u8, epsilon, root_mean_square };
    let result = site.add_optional(op, &inputs)?;
    let mut back = vec![0; order.len()];
    for (at, &axis) in order.iter().enumerate() {
        back[axis] = at;
    }
    site.transposed(result, &back)
}

pub(super) fn group(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let dims = site.dims(x);
    let &[axis] = axes(site, "axis", dims.len(), -1)?.as_slice() else {
        return Err("more than one axis is not compiled".into());
    };
    let channels = dims[axis];
    let groups = match site.value("groups").and_then(Value::as_i64) {
        None => 32,
        Some(-1) => channels,
        Some(groups) => usize::try_from(groups).ok().filter(|&groups| groups > 0).ok_or("groups is not a count")?,
    };
    let epsilon = site.number("epsilon", 1e-3)?;
    let mut inputs = vec![x];
    for (role, there, usual) in [("gamma", site.flag("scale", true), 1.0), ("beta", site.flag("center", true), 0.0)] {
        inputs.push(site.constant(role, &[channels], |site| match there {
            true => site.numbers(role, &[channels]).map(<[f32]>::to_vec),
            false => Ok(vec![usual; channels]),
        })?);
    }
    site.add(GroupNorm { groups: groups as u32, axis: axis as u8, epsilon }, &inputs)
}

/// `x` over its length along axes; the square of the length is no less than 1e-12.
pub(super) fn unit(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let axes = axes(site, "axis", site.shape(x).rank(), -1)?;
    let axes = axes.into_iter().fold(0, |axes, axis| axes | 1u8 << axis);
    let sum = site.add(Reduce { kind: ReduceKind::SumSquare, axes, keep: true }, &[x])?;
    let sum = site.add(Unary { kind: UnaryKind::Clip, alpha: 1e-12, beta: f64::INFINITY }, &[sum])?;
    let factor = site.add(Unary::of(UnaryKind::Rsqrt), &[sum])?;
    binary(site, BinaryKind::Mul, x, factor)
}

/// `(x - mean) / max(sqrt(variance), 1e-7)`, with what the layer has seen or is told.
pub(super) fn normalization(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    if site.flag("invert", false) {
        return Err("invert is not compiled".into());
    }
    let dims = site.dims(x);
    let axes = match site.value("axis") {
        None => Vec::new(),
        Some(_) => axes(site, "axis", dims.len(), -1)?,
    };
    if axes.contains(&0) {
        return Err("it normalises rows of the batch apart".into());
    }
    let kept = |(axis, &length): (usize, &usize)| if axes.contains(&axis) { length } else { 1 };
    let placed: Vec<usize> = dims.iter().enumerate().map(kept).collect();
    let count: usize = placed.iter().product();
    let mean = site.constant("mean", &placed, |site| statistic(site, "mean", count))?;
    let deviation = site.constant("variance", &placed, |site| {
        let variance = statistic(site, "variance", count)?;
        Ok(variance.into_iter().map(|variance| variance.sqrt().max(1e-7)).collect())
    })?;
    let centred = binary(site, BinaryKind::Sub, x, mean)?;
    binary(site, BinaryKind::Div, centred, deviation)
}

/// Means or variances: of the configuration, else learned.
fn statistic(site: &Site<'_, '_>, role: &str, count: usize) -> Result<Vec<f32>, Stop> {
    let stated = site.value(role);
    let values = match stated {
        None => {
            let array = site.weight(role)?;
            return site.numbers(role, &array.dims).map(<[f32]>::to_vec).and_then(|values| repeated(values, count));
        }
        Some(value) => {
            let mut values = Vec::new();
            flat(value.get("value").unwrap_or(value), &mut values)
                .ok_or_else(|| format!("{role} is no list of numbers"))?;
            values
        }
    };
    repeated(values, count)
}

fn repeated(values: Vec<f32>, count: usize) -> Result<Vec<f32>, Stop> {
    match values.as_slice() {
        &[one] => Ok(vec![one; count]),
        values if values.len() == count => Ok(values.to_vec()),
        values => Err(format!("{} statistics for {count} columns", values.len()).into()),
    }
}

fn flat(value: &Value, values: &mut Vec<f32>) -> Option<()> {
    match value {
        Value::Array(parts) => parts.iter().try_for_each(|part| flat(part, values)),
        value => {
            values.push(value.as_f64()? as f32);
            Some(())
        }
    }
}
