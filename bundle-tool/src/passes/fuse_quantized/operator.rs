//! Operators on sources that are no products.

use ekiben_runtime::kernels::reference::linear::{Target, range};
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::conv2d::Window;
use ekiben_runtime::ops::integer_binary::{IntegerBinary, Place, Real};
use ekiben_runtime::ops::integer_pool2d::IntegerPool2d;
use ekiben_runtime::ops::integer_softmax::IntegerSoftmax;
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::{Op, TensorSpec};

use super::super::PassError;
use super::source::Source;
use super::{Pass, Quantizer};
use crate::graph::{Node, TensorId};

/// Axes 1 and 2, and axes 2 and 3.
const CHANNELS_LAST: u8 = 0b0110;
const CHANNELS_FIRST: u8 = 0b1100;

impl Quantizer {
    fn place(&self) -> Place {
        Place { scale: self.scale, target: self.target }
    }
}

impl<'a> Pass<'a> {
    /// The quantized result of a node all of whose inputs have sources.
    pub(super) fn operator(&mut self, node: &'a Node, quantizer: Quantizer) -> Result<Option<TensorId>, PassError> {
        let sources = node.inputs.iter().map(|input| self.sources.get(input.as_ref()?).cloned());
        let Some(sources) = sources.collect::<Option<Vec<Source>>>() else { return Ok(None) };
        let reals = sources.iter().map(|source| source.bytes().map(|(scale, zero)| Real { scale, zero }));
        let Some(reals) = reals.collect::<Option<Vec<Real>>>() else { return Ok(None) };
        let (Some(first), Some(&input)) = (sources.first(), reals.first()) else { return Ok(None) };
        let (dtype, place) = (quantizer.dtype, quantizer.place());
        match (&node.op, &reals[..]) {
            (Op::Binary(op), &[left, right]) if combines(op.kind) => {
                let op = IntegerBinary { kind: op.kind, inputs: [left, right], dtype, place };
                self.add(node, op, &[Some(sources[0].tensor), Some(sources[1].tensor)], &[]).map(Some)
            }
            (Op::Softmax(op), _) if !op.log => {
                let op = IntegerSoftmax { axis: op.axis, input, dtype, place };
                self.add(node, op, &[Some(first.tensor)], &[]).map(Some)
            }
            (Op::Pool2d(op), _) => self.pool(node, op, first, quantizer),
            (Op::Reduce(op), _) if op.kind == ReduceKind::Mean => self.mean(node, op, first, quantizer),
            (Op::Concat(_), _) if quantizer.unbounded() => {
                let mut inputs = Vec::with_capacity(sources.len());
                for source in &sources {
                    inputs.push(self.requantized(node, source, quantizer)?);
                }
                self.add(node, node.op, &inputs, &[]).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn pool(
        &mut self,
        node: &Node,
        op: &Pool2d,
        source: &Source,
        quantizer: Quantizer,
    ) -> Result<Option<TensorId>, PassError> {
        let Some((scale, zero)) = source.bytes() else { return Ok(None) };
        let (input, dtype, place) = (Real { scale, zero }, quantizer.dtype, quantizer.place());
        let average = IntegerPool2d { kind: op.kind, kernel: op.kernel, window: op.window, input, dtype, place };
        match op.kind {
            PoolKind::Max => {
                // The largest first, at its own scale, then what it becomes.
                let (low, high) = range(source.dtype);
                let target = Target { zero, low: low as i16, high: high as i16 };
                let largest = IntegerPool2d { dtype: source.dtype, place: Place { scale, target }, ..average };
                let tensor = self.add(node, largest, &[Some(source.tensor)], &[])?;
                self.requantized(node, &Source { tensor, ..source.clone() }, quantizer)
            }
            PoolKind::Average | PoolKind::AveragePadded => {
                self.add(node, average, &[Some(source.tensor)], &[]).map(Some)
            }
        }
    }

    /// The mean over the spatial axes of images, as a pool over whole images.
    fn mean(
        &mut self,
        node: &Node,
        op: &Reduce,
        source: &Source,
        quantizer: Quantizer,
    ) -> Result<Option<TensorId>, PassError> {
        let shape = self.rewrite.new.shape(source.tensor);
        let first = op.axes == CHANNELS_FIRST;
        let (&[_, a, b, c], true) = (shape.factors(), first || op.axes == CHANNELS_LAST) else { return Ok(None) };
        if shape.batch_axis().is_some_and(|axis| axis != 0) {
            return Ok(None);
        }
        let kernel = if first { [b, c] } else { [a, b] };
        let pool = Pool2d { kind: PoolKind::Average, kernel, window: Window::DENSE };
        let transpose = |axes: &[usize]| Permutation::new(axes).map(|perm| Transpose { perm });
        let (Some(to_last), Some(to_first)) = (transpose(&[0, 2, 3, 1]), transpose(&[0, 3, 1, 2])) else {
            return Ok(None);
        };
        let mut images = source.clone();
        if first {
            images.tensor = self.add(node, to_last, &[Some(source.tensor)], &[])?;
        }
        let Some(mut result) = self.pool(node, &pool, &images, quantizer)? else { return Ok(None) };
        if first {
            result = self.add(node, to_first, &[Some(result)], &[])?;
        }
        if !op.keep {
            let shape = self.rewrite.old.shape(node.outputs[0]);
            let declared = TensorSpec { shape, ..self.rewrite.new.spec(result) };
            result = self.add(node, Reshape, &[Some(result)], &[declared])?;
        }
        Ok(Some(result))
    }
}

/// Combinations that an integer twin is worth it for.
fn combines(kind: BinaryKind) -> bool {
    use BinaryKind::{Add, Div, Max, Min, Mul, PRelu, Sub};
    matches!(kind, Add | Sub | Mul | Div | Min | Max | PRelu)
}
