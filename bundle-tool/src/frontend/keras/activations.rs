//! Functions of elements that layers end with, and the layers that are such functions.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use serde_json::Value;

use super::config::Generation;
use super::lowering::{Site, Stop};
use crate::graph::TensorId;

/// Self-normalising networks' constants, as Keras has them.
const SELU: [f64; 2] = [1.673_263_242_354_377_2, 1.050_700_987_355_480_5];
/// Slope of `leaky_relu` as a function.
const LEAK: f64 = 0.2;

fn with(kind: UnaryKind, alpha: f64, beta: f64) -> Unary {
    Unary { kind, alpha, beta }
}

/// The function with a name of Keras's; `None` where it is none of one element.
pub(super) fn function(name: &str, generation: Generation) -> Option<Unary> {
    Some(match name {
        "linear" => Unary::of(UnaryKind::Identity),
        "relu" => Unary::of(UnaryKind::Relu),
        "relu6" => with(UnaryKind::Clip, 0.0, 6.0),
        "leaky_relu" => with(UnaryKind::LeakyRelu, LEAK, 0.0),
        "elu" => with(UnaryKind::Elu, 1.0, 0.0),
        "selu" => with(UnaryKind::Selu, SELU[0], SELU[1]),
        "celu" => with(UnaryKind::Elu, 1.0, 0.0),
        "gelu" => Unary::of(UnaryKind::Gelu),
        "swish" | "silu" => Unary::of(UnaryKind::Silu),
        "sigmoid" => Unary::of(UnaryKind::Sigmoid),
        "hard_sigmoid" if generation == Generation::Two => with(UnaryKind::HardSigmoid, 0.2, 0.5),
        "hard_sigmoid" => with(UnaryKind::HardSigmoid, 1.0 / 6.0, 0.5),
        "hard_swish" | "hard_silu" => with(UnaryKind::HardSwish, 1.0 / 6.0, 0.5),
        "hard_tanh" => with(UnaryKind::Clip, -1.0, 1.0),
        "tanh" => Unary::of(UnaryKind::Tanh),
        "softplus" => Unary::of(UnaryKind::Softplus),
        "softsign" => Unary::of(UnaryKind::Softsign),
        "exponential" => Unary::of(UnaryKind::Exp),
        _ => return None,
    })
}

/// The name of a function in a configuration; `None` for one that is not Keras's own.
pub(super) fn name(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => Some(name),
        Value::Object(object) => {
            let custom = object.get("registered_name").and_then(Value::as_str).is_some_and(|name| name.contains('>'));
            let class = object.get("class_name").and_then(Value::as_str)?;
            match (custom, class) {
                (true, _) => None,
                (_, "function") => {
                    let module = object.get("module").and_then(Value::as_str).unwrap_or_default();
                    object.get("config").and_then(Value::as_str).filter(|_| module.starts_with("keras"))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// What the function that the key `key` of the layer names gives of `x`.
pub(super) fn apply(site: &mut Site<'_, '_>, key: &str, x: TensorId) -> Result<TensorId, Stop> {
    let Some(value) = site.value(key).cloned() else { return Ok(x) };
    if let Some(class) = value.get("class_name").and_then(Value::as_str)
        && class != "function"
        && let Some(config) = value.get("config").and_then(Value::as_object)
    {
        return layer(site, class, &config.clone(), x);
    }
    let refused = || format!("the function {value} is not one that is compiled");
    let name = name(&value).ok_or_else(refused)?;
    let last = site.shape(x).rank().saturating_sub(1);
    match name {
        "softmax" | "softmax_v2" => return site.add(Softmax { axis: last as u8, log: false }, &[x]),
        "log_softmax" => return site.add(Softmax { axis: last as u8, log: true }, &[x]),
        "mish" => {
            let soft = site.add(Unary::of(UnaryKind::Softplus), &[x])?;
            let tanh = site.add(Unary::of(UnaryKind::Tanh), &[soft])?;
            return site.add(Binary { kind: BinaryKind::Mul }, &[x, tanh]);
        }
        "tanh_shrink" => {
            let tanh = site.add(Unary::of(UnaryKind::Tanh), &[x])?;
            return site.add(Binary { kind: BinaryKind::Sub }, &[x, tanh]);
        }
        _ => {}
    }
    let function = function(name, site.generation()).ok_or_else(refused)?;
    unary(site, function, x)
}

fn unary(site: &mut Site<'_, '_>, function: Unary, x: TensorId) -> Result<TensorId, Stop> {
    if function.kind == UnaryKind::Identity { Ok(x) } else { site.add(function, &[x]) }
}

/// The class of a layer that is a function, with its configuration.
pub(super) fn layer(
    site: &mut Site<'_, '_>,
    class: &str,
    config: &serde_json::Map<String, Value>,
    x: TensorId,
) -> Result<TensorId, Stop> {
    let number = |keys: &[&str], usual: f64| {
        let stated = keys.iter().find_map(|key| config.get(*key)).filter(|value| !value.is_null());
        // Keras 2 stored arrays of no axes as `{"type": "ndarray", "value": …}`.
        stated.map_or(Some(usual), |value| value.get("value").unwrap_or(value).as_f64())
    };
    let wrong = || Stop::from(format!("the parameters of {class} are not numbers"));
    match class {
        "LeakyReLU" => {
            let slope = number(&["negative_slope", "alpha"], 0.3).ok_or_else(wrong)?;
            leaky(site, x, slope)
        }
        "ELU" => {
            let alpha = number(&["alpha"], 1.0).ok_or_else(wrong)?;
            site.add(with(UnaryKind::Elu, alpha, 0.0), &[x])
        }
        "ThresholdedReLU" => {
            let theta = number(&["theta"], 1.0).ok_or_else(wrong)?;
            site.add(with(UnaryKind::ThresholdedRelu, theta, 0.0), &[x])
        }
        "ReLU" => {
            let slope = number(&["negative_slope"], 0.0).ok_or_else(wrong)?;
            let threshold = number(&["threshold"], 0.0).ok_or_else(wrong)?;
            let most = number(&["max_value"], f64::INFINITY).ok_or_else(wrong)?;
            relu(site, x, slope, threshold, most)
        }
        "Softmax" => {
            let rank = site.shape(x).rank();
            let axis = config.get("axis").cloned().unwrap_or(Value::from(-1));
            let axis = match &axis {
                Value::Array(axes) if axes.len() == 1 => site.axis(&axes[0], rank)?,
                axis => site.axis(axis, rank)?,
            };
            site.add(Softmax { axis: axis as u8, log: false }, &[x])
        }
        _ => Err(format!("the layer {class} as a function is not compiled").into()),
    }
}

fn leaky(site: &mut Site<'_, '_>, x: TensorId, slope: f64) -> Result<TensorId, Stop> {
    site.add(with(UnaryKind::LeakyRelu, slope, 0.0), &[x])
}

/// `x` from the threshold on, but no more than `most`; `slope * (x - threshold)` below.
fn relu(site: &mut Site<'_, '_>, x: TensorId, slope: f64, threshold: f64, most: f64) -> Result<TensorId, Stop> {
    if threshold == 0.0 && slope == 0.0 {
        let kind = if most == f64::INFINITY { UnaryKind::Relu } else { UnaryKind::Clip };
        return site.add(with(kind, 0.0, most), &[x]);
    }
    let cap = |site: &mut Site<'_, '_>, x: TensorId| {
        if most == f64::INFINITY { Ok(x) } else { site.add(with(UnaryKind::Clip, f64::NEG_INFINITY, most), &[x]) }
    };
    if threshold == 0.0 {
        let leaky = leaky(site, x, slope)?;
        return cap(site, leaky);
    }
    let kept = site.add(with(UnaryKind::ThresholdedRelu, threshold, 0.0), &[x])?;
    let kept = cap(site, kept)?;
    if slope == 0.0 {
        return Ok(kept);
    }
    // What is below the threshold, from there: min(x - threshold, 0).
    let shifted = site.add(with(UnaryKind::Affine, 1.0, -threshold), &[x])?;
    let below = site.add(with(UnaryKind::Clip, f64::NEG_INFINITY, 0.0), &[shifted])?;
    let below = site.add(with(UnaryKind::Affine, slope, 0.0), &[below])?;
    site.add(Binary { kind: BinaryKind::Add }, &[kept, below])
}
