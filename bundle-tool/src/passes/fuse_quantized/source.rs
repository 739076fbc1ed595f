//! Integers that stand for floats, and the moves that they can make in the floats' place.

use ekiben_runtime::kernels::reference::linear::{Target, float_at, integer_at, range};
use ekiben_runtime::ops::byte_map::ByteMap;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::linear_dequantize::LinearDequantize;
use ekiben_runtime::ops::linear_quantize::LinearQuantize;
use ekiben_runtime::ops::pad::PadMode;
use ekiben_runtime::ops::resize::{Coordinates, Interpolation};
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::super::PassError;
use super::{Pass, Quantizer};
use crate::graph::{Node, TensorId};

/// Narrower numbers that stand for the floats of another tensor of the same shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    /// The numbers, in the new graph: int8, uint8, int32, or known float16 or bfloat16.
    pub(super) tensor: TensorId,
    /// Their type.
    pub(super) dtype: DType,
    /// One scale, or one for each index of `axis`. All are positive and finite.
    pub(super) scales: Vec<f32>,
    /// As many zero points.
    pub(super) zeros: Vec<i32>,
    pub(super) axis: usize,
}

impl Source {
    /// Scale and zero point, where they are the same for all elements.
    pub(super) fn whole(&self) -> Option<(f32, i32)> {
        match (&self.scales[..], &self.zeros[..]) {
            (&[scale], &[zero]) => Some((scale, zero)),
            _ => None,
        }
    }

    /// As [`Self::whole`], for types of 8 bits.
    pub(super) fn bytes(&self) -> Option<(f32, i16)> {
        self.whole().filter(|_| self.dtype.bits() == 8).map(|(scale, zero)| (scale, zero as i16))
    }

    fn same_scale(&self, other: &Self) -> bool {
        (self.dtype, &self.scales, &self.zeros) == (other.dtype, &other.scales, &other.zeros)
    }
}

/// The position of axis `axis` of `from` in `to`, which has the same elements in the same order.
fn reshaped_axis(from: &Shape, to: &Shape, axis: usize) -> Option<usize> {
    let before = |shape: &Shape, axis: usize| -> u64 {
        shape.factors()[..axis].iter().map(|&dim| u64::from(dim)).fold(1, u64::saturating_mul)
    };
    let length = from.factor(axis)?;
    let wanted = before(from, axis);
    (0..to.rank()).find(|&axis| to.factor(axis) == Some(length) && before(to, axis) == wanted)
}

/// The shape of a list.
pub(super) fn list_of(length: usize) -> Shape {
    Shape::fixed(&[length]).unwrap_or(Shape::scalar())
}

impl<'a> Pass<'a> {
    /// The source of a dequantized tensor.
    pub(super) fn dequantized(&mut self, node: &Node, op: &LinearDequantize) -> Result<Option<Source>, PassError> {
        let old = self.rewrite.old;
        let (Some(Some(input)), Some(Some(scale))) = (node.inputs.first().copied(), node.inputs.get(1).copied()) else {
            return Ok(None);
        };
        let spec = old.spec(input);
        if op.dtype != DType::F32 || op.block != 0 || !matches!(spec.dtype, DType::I8 | DType::U8 | DType::I32) {
            return Ok(None);
        }
        let Some(bytes) = self.constant(scale) else { return Ok(None) };
        let count = old.shape(scale).elements().unwrap_or(0) as usize;
        if !self.spend(count.saturating_mul(8)) {
            return Ok(None);
        }
        let scales: Vec<f32> = (0..count).map(|at| float_at(old.spec(scale).dtype, bytes, at)).collect();
        let zeros = match node.inputs.get(2).copied().flatten() {
            None => vec![0; count],
            Some(zero) => match self.constant(zero) {
                None => return Ok(None),
                Some(bytes) => (0..count).map(|at| integer_at(spec.dtype, bytes, at)).collect(),
            },
        };
        if scales.is_empty() || scales.iter().any(|&scale| !(scale > 0.0 && scale.is_finite())) {
            return Ok(None);
        }
        let tensor = self.rewrite.tensor(input)?;
        Ok(Some(Source { tensor, dtype: spec.dtype, scales, zeros, axis: op.axis.into() }))
    }

    /// How a quantization stores numbers, where that is the same for all and in 8 bits.
    pub(super) fn quantizer(&self, node: &Node, op: &LinearQuantize) -> Option<Quantizer> {
        let old = self.rewrite.old;
        let (input, scale) = (node.inputs.first().copied()??, node.inputs.get(1).copied()??);
        let whole = old.shape(scale).elements() == Some(1) && op.block == 0 && op.precision == DType::F32;
        if !whole || !matches!(op.dtype, DType::I8 | DType::U8) || old.spec(input).dtype != DType::F32 {
            return None;
        }
        let scale = float_at(old.spec(scale).dtype, self.constant(scale)?, 0);
        let zero = match node.inputs.get(2).copied().flatten() {
            None => 0,
            Some(zero) => integer_at(op.dtype, self.constant(zero)?, 0),
        };
        let (low, high) = range(op.dtype);
        let target = Target { zero: zero as i16, low: low as i16, high: high as i16 };
        (scale > 0.0 && scale.is_finite()).then_some(Quantizer { scale, dtype: op.dtype, target })
    }

    /// A source at another scale.
    pub(super) fn requantized(
        &mut self,
        node: &Node,
        source: &Source,
        quantizer: Quantizer,
    ) -> Result<Option<TensorId>, PassError> {
        let Some((scale, zero)) = source.bytes() else { return Ok(None) };
        let same = (scale, zero, source.dtype) == (quantizer.scale, quantizer.target.zero, quantizer.dtype);
        if same && quantizer.unbounded() {
            return Ok(Some(source.tensor));
        }
        let table: Vec<u8> = (0..=255u8)
            .map(|byte| {
                let stored = integer_at(source.dtype, &[byte], 0);
                quantizer.store((stored - i32::from(zero)) as f32 * scale) as u8
            })
            .collect();
        self.mapped(node, source.tensor, quantizer.dtype, &table).map(Some)
    }

    /// The bytes that a table has for those of a tensor.
    pub(super) fn mapped(
        &mut self,
        node: &Node,
        tensor: TensorId,
        dtype: DType,
        table: &[u8],
    ) -> Result<TensorId, PassError> {
        let spec = TensorSpec::new(dtype, list_of(table.len()));
        let table = self.rewrite.new.add_constant_bytes(&node.name, spec, table)?;
        self.add(node, ByteMap, &[Some(tensor), Some(table)], &[])
    }

    /// The floats of a node that moves the elements of a source: the integers are moved, then dequantized.
    pub(super) fn moved(&mut self, node: &'a Node) -> Result<Option<TensorId>, PassError> {
        let Some(source) = self.moved_source(node)? else { return Ok(None) };
        if matches!(source.dtype, DType::F16 | DType::BF16) {
            let id = self.rewrite.new.add_node(&node.name, Cast { to: DType::F32 }, &[Some(source.tensor)], &[])?[0];
            self.rewrite.new.rename(id, "");
            self.sources.insert(node.outputs[0], source);
            return Ok(Some(id));
        }
        let count = source.scales.len();
        let dims: &[usize] = if count == 1 { &[] } else { &[count] };
        let scales = self.list(node, DType::F32, dims, &source.scales)?;
        let shape = self.rewrite.new.shape(scales);
        let bytes: Vec<u8> = match source.dtype {
            DType::I32 => source.zeros.iter().flat_map(|zero| zero.to_le_bytes()).collect(),
            _ => source.zeros.iter().map(|&zero| zero as u8).collect(),
        };
        let zeros = self.rewrite.new.add_constant_bytes(&node.name, TensorSpec::new(source.dtype, shape), &bytes)?;
        let op = LinearDequantize { dtype: DType::F32, axis: source.axis as u8, block: 0 };
        let inputs = [source.tensor, scales, zeros].map(Some);
        let id = self.rewrite.new.add_node(&node.name, op, &inputs, &[])?[0];
        self.rewrite.new.rename(id, "");
        self.sources.insert(node.outputs[0], source);
        Ok(Some(id))
    }

    fn moved_source(&mut self, node: &Node) -> Result<Option<Source>, PassError> {
        let old = self.rewrite.old;
        let (Some(Some(input)), &[output]) = (node.inputs.first().copied(), &node.outputs[..]) else { return Ok(None) };
        let Some(source) = self.sources.get(&input) else { return Ok(None) };
        let (source, count) = (source.clone(), source.scales.len());
        if !self.spend(count.saturating_mul(16)) {
            return Ok(None);
        }
        let whole = source.whole();
        let declared = TensorSpec::new(source.dtype, old.shape(output));
        let (mut axis, mut inputs, mut specs) = (source.axis, vec![Some(source.tensor)], vec![]);
        match &node.op {
            Op::Transpose(op) => {
                let rank = old.shape(input).rank();
                let position = (0..rank).find(|&position| op.perm.axis(position) == source.axis);
                axis = position.unwrap_or(0);
            }
            Op::Reshape(_) => {
                specs.push(declared);
                match reshaped_axis(&old.shape(input), &old.shape(output), source.axis) {
                    Some(position) => axis = position,
                    None if whole.is_some() => {}
                    None => return Ok(None),
                }
            }
            Op::Slice(_) | Op::Expand(_) | Op::Gather(_) | Op::Pad(_) if whole.is_none() => return Ok(None),
            Op::Slice(_) | Op::Gather(_) => inputs.extend(self.new_inputs(node, 1)?),
            Op::Expand(_) => {
                inputs.extend(self.new_inputs(node, 1)?);
                specs.push(declared);
            }
            // Positions outside are of the nearest element but for a cropped part.
            Op::Resize(op) if op.how.interpolation == Interpolation::Nearest => {
                if whole.is_none() || op.how.coordinates == Coordinates::TfCropAndResize {
                    return Ok(None);
                }
                inputs.extend(self.new_inputs(node, 1)?);
                specs.push(declared);
            }
            Op::Pad(op) => {
                inputs.extend(self.new_inputs(node, 1)?.into_iter().take(1));
                let value = node.inputs.get(2).copied().flatten();
                let is_zero =
                    value.is_none_or(|id| self.constant(id).is_some_and(|bytes| float_at(DType::F32, bytes, 0) == 0.0));
                match (op.mode, source.bytes()) {
                    (PadMode::Constant, Some((_, zero))) if is_zero => {
                        let spec = TensorSpec::new(source.dtype, Shape::scalar());
                        inputs.push(Some(self.rewrite.new.add_constant_bytes(&node.name, spec, &[zero as u8])?));
                    }
                    (PadMode::Constant, _) => return Ok(None),
                    _ => {}
                }
            }
            Op::Concat(_) => {
                let others = node.inputs[1..].iter().map(|input| self.sources.get(input.as_ref()?).cloned());
                let Some(others) = others.collect::<Option<Vec<_>>>() else { return Ok(None) };
                if whole.is_none() || !others.iter().all(|other| other.same_scale(&source)) {
                    return Ok(None);
                }
                inputs.extend(others.iter().map(|other| Some(other.tensor)));
            }
            _ => return Ok(None),
        }
        let tensor = self.add(node, node.op, &inputs, &specs)?;
        Ok(Some(Source { tensor, axis, ..source }))
    }

    /// The new tensors of a node's inputs from `first` on.
    pub(super) fn new_inputs(&mut self, node: &Node, first: usize) -> Result<Vec<Option<TensorId>>, PassError> {
        let inputs = node.inputs.iter().skip(first);
        inputs.map(|input| input.map(|id| self.rewrite.tensor(id)).transpose()).collect()
    }
}
