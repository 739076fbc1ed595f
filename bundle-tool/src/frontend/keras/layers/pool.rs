//! Pooling over windows, and over all of an image or a sequence.

use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};

use super::super::lowering::{Site, Stop};
use super::convolution::images;
use crate::graph::TensorId;

pub(super) fn pool(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let images = images(site, x)?;
    let kernel = images.counts(site, "pool_size", Some(2))?;
    let strides = match site.value("strides") {
        None => kernel,
        Some(_) => images.counts(site, "strides", None)?,
    };
    let window = images.window(site, kernel, strides, [1, 1])?;
    let kind = if site.layer.class.starts_with("Max") { PoolKind::Max } else { PoolKind::Average };
    let op = Pool2d { kind, kernel: kernel.map(|taps| taps as u32), window };
    let result = site.add(op, &[images.tensor])?;
    images.given(site, result)
}

pub(super) fn global(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    site.channels_last()?;
    let rank = site.shape(x).rank();
    if rank < 3 {
        return Err(format!("the input has the shape {}", site.shape(x)).into());
    }
    let kind = if site.layer.class.starts_with("GlobalMax") { ReduceKind::Max } else { ReduceKind::Mean };
    let axes = (1..rank - 1).fold(0, |axes, axis| axes | 1u8 << axis);
    site.add(Reduce { kind, axes, keep: site.flag("keepdims", false) }, &[x])
}
