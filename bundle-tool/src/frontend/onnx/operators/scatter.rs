//! Reading and writing at indices that the model computes.

use ekiben_runtime::ops::cache_write::CacheWrite;
use ekiben_runtime::ops::gather_elements::GatherElements;
use ekiben_runtime::ops::gather_nd::GatherNd;
use ekiben_runtime::ops::scatter_elements::{Combination, ScatterElements};
use ekiben_runtime::ops::scatter_nd::ScatterNd;

use super::super::call::{Call, Lowered, Refusal, one};

pub(super) fn gather_elements(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(0), call.shape(x).rank())? as u8;
    let indices = call.tensor(1)?;
    let result = call.add(GatherElements { axis }, &[x, indices])?;
    call.moved(vec![result])
}

pub(super) fn gather_nd(call: &mut Call<'_>) -> Lowered {
    let batch_dims = call.attributes.int("batch_dims")?.unwrap_or(0);
    let batch_dims = u8::try_from(batch_dims).map_err(|_| Refusal(format!("attribute batch_dims is {batch_dims}")))?;
    let x = call.data(0)?;
    let indices = call.tensor(1)?;
    let result = call.add(GatherNd { batch_dims }, &[x, indices])?;
    call.moved(vec![result])
}

/// What attribute `reduction` makes of an element.
fn combination(call: &Call<'_>) -> Result<Combination, Refusal> {
    Ok(match call.attributes.string("reduction")?.unwrap_or("none") {
        "none" => Combination::Replace,
        "add" => Combination::Add,
        "mul" => Combination::Mul,
        "min" => Combination::Min,
        "max" => Combination::Max,
        other => return Err(Refusal(format!("attribute reduction is {other:?}"))),
    })
}

pub(super) fn scatter_elements(call: &mut Call<'_>) -> Lowered {
    let combination = combination(call)?;
    let inputs = [call.tensor(0)?, call.tensor(1)?, call.tensor(2)?];
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(0), call.shape(inputs[0]).rank())? as u8;
    one(call.add(ScatterElements { axis, combination }, &inputs)?)
}

pub(super) fn scatter_nd(call: &mut Call<'_>) -> Lowered {
    let combination = combination(call)?;
    let inputs = [call.tensor(0)?, call.tensor(1)?, call.tensor(2)?];
    one(call.add(ScatterNd { combination }, &inputs)?)
}

pub(super) fn tensor_scatter(call: &mut Call<'_>) -> Lowered {
    let circular = match call.attributes.string("mode")?.unwrap_or("linear") {
        "linear" => false,
        "circular" => true,
        other => return Err(Refusal(format!("attribute mode is {other:?}"))),
    };
    let mut inputs = vec![call.tensor(0)?, call.tensor(1)?];
    inputs.extend(call.optional(2)?);
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(-2), call.shape(inputs[0]).rank())? as u8;
    one(call.add(CacheWrite { axis, circular }, &inputs)?)
}
