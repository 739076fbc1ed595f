//! Convolutions and matrix products of sources.

use ekiben_runtime::kernels::reference::linear::{float_at, integer_at};
use ekiben_runtime::ops::conv2d::Clamp;
use ekiben_runtime::ops::integer::Outcome;
use ekiben_runtime::ops::integer_conv2d::IntegerConv2d;
use ekiben_runtime::ops::integer_depthwise_conv2d::IntegerDepthwiseConv2d;
use ekiben_runtime::ops::integer_mat_mul::IntegerMatMul;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::{DType, Op, TensorSpec};

use super::super::PassError;
use super::source::{Source, list_of};
use super::{Pass, Quantizer};
use crate::graph::{Node, TensorId};

/// The most products whose sum cannot overflow: each is at most 255 * 255.
const MAX_PRODUCTS: u64 = (i32::MAX / (255 * 255)) as u64;

/// What a product reads beside its factors.
struct Terms {
    bias: Option<TensorId>,
    multipliers: Option<TensorId>,
    zeros: Option<TensorId>,
}

impl<'a> Pass<'a> {
    /// The product of two sources: 8-bit integers for a quantizer, floats without one.
    pub(super) fn product(
        &mut self,
        node: &'a Node,
        quantizer: Option<Quantizer>,
    ) -> Result<Option<TensorId>, PassError> {
        let source = |index: usize| self.sources.get(&node.inputs.get(index).copied()??).cloned();
        let (Some(left), Some(right)) = (source(0), source(1)) else { return Ok(None) };
        let Some((_, input_zero)) = left.bytes() else { return Ok(None) };
        if right.dtype.bits() != 8 || self.products(node) > MAX_PRODUCTS {
            return Ok(None);
        }
        let clamp = match &node.op {
            Op::Conv2d(op) => op.clamp,
            Op::DepthwiseConv2d(op) => op.clamp,
            _ => Clamp::NONE,
        };
        let outcome = match quantizer {
            Some(quantizer) => {
                let bounded = if clamp == Clamp::NONE { quantizer } else { quantizer.bounded(clamp.low, clamp.high) };
                Outcome { dtype: bounded.dtype, target: bounded.target }
            }
            None if clamp == Clamp::NONE => Outcome::NUMBERS,
            None => return Ok(None),
        };
        let (op, right, axis): (Op, Source, usize) = match &node.op {
            Op::Conv2d(op) => {
                let Some(right) = self.signed(node, right)? else { return Ok(None) };
                (IntegerConv2d { window: op.window, groups: op.groups, input_zero, outcome }.into(), right, 0)
            }
            Op::DepthwiseConv2d(op) => {
                let Some(right) = self.signed(node, right)? else { return Ok(None) };
                (IntegerDepthwiseConv2d { window: op.window, input_zero, outcome }.into(), right, 3)
            }
            Op::MatMul(op) => {
                let (right, transpose_b) = self.in_rows(node, right, op.transpose_b)?;
                (IntegerMatMul { transpose_b, input_zero, outcome }.into(), right, usize::from(!transpose_b))
            }
            _ => (IntegerMatMul { transpose_b: false, input_zero, outcome }.into(), right, usize::MAX),
        };
        if right.scales.len() > 1 && right.axis != axis {
            return Ok(None);
        }
        let Some(terms) = self.terms(node, &left, &right, quantizer)? else { return Ok(None) };
        let mut inputs = vec![Some(left.tensor), Some(right.tensor), terms.bias, terms.multipliers, terms.zeros];
        while inputs.last().is_some_and(Option::is_none) {
            inputs.pop();
        }
        self.add(node, op, &inputs, &[]).map(Some)
    }

    /// How many products one element of the result sums.
    fn products(&self, node: &Node) -> u64 {
        let shape = |index: usize| node.inputs[index].map(|id| self.rewrite.old.shape(id));
        let (Some(left), Some(right)) = (shape(0), shape(1)) else { return u64::MAX };
        match &node.op {
            Op::Conv2d(_) => right.factors()[1..].iter().map(|&dim| u64::from(dim)).product(),
            Op::DepthwiseConv2d(_) => right.factors()[1..3].iter().map(|&dim| u64::from(dim)).product(),
            _ => left.factors().last().copied().unwrap_or(0).into(),
        }
    }

    /// Filters as int8, when they are known.
    fn signed(&mut self, node: &Node, source: Source) -> Result<Option<Source>, PassError> {
        let tensor = self.rewrite.new.tensor(source.tensor);
        let (spec, Some(bytes)) = (tensor.spec, tensor.constant.clone()) else { return Ok(None) };
        if source.dtype == DType::I8 {
            return Ok(Some(source));
        }
        if !self.spend(bytes.as_slice().len()) {
            return Ok(None);
        }
        let moved: Vec<u8> = bytes.as_slice().iter().map(|byte| byte ^ 0x80).collect();
        let tensor = self.rewrite.new.add_constant_bytes(&node.name, spec.with_dtype(DType::I8), &moved)?;
        let zeros = source.zeros.iter().map(|zero| zero - 128).collect();
        Ok(Some(Source { tensor, dtype: DType::I8, zeros, ..source }))
    }

    /// A known matrix `[K, C]` as `[C, K]`, whose rows stand together.
    fn in_rows(&mut self, node: &Node, source: Source, transposed: bool) -> Result<(Source, bool), PassError> {
        let known = self.rewrite.new.tensor(source.tensor).constant.is_some();
        let (true, false, Some(perm)) = (known, transposed, Permutation::new(&[1, 0])) else {
            return Ok((source, transposed));
        };
        let tensor = self.add(node, Transpose { perm }, &[Some(source.tensor)], &[])?;
        let axis = 1usize.saturating_sub(source.axis);
        Ok((Source { tensor, axis, ..source }, true))
    }

    /// Bias, multipliers and zero points of a product; `None` when the bias is not known.
    fn terms(
        &mut self,
        node: &Node,
        left: &Source,
        right: &Source,
        quantizer: Option<Quantizer>,
    ) -> Result<Option<Terms>, PassError> {
        let Some((left_scale, _)) = left.whole() else { return Ok(None) };
        let bias = node.inputs.get(2).copied().flatten();
        let channels = bias.and_then(|id| self.rewrite.old.shape(id).elements()).unwrap_or(0) as usize;
        if !self.spend(16 * channels.max(right.scales.len())) {
            return Ok(None);
        }
        let products: Vec<f32> = right.scales.iter().map(|scale| left_scale * scale).collect();
        let step = quantizer.map_or(1.0, |quantizer| quantizer.scale);
        let multipliers: Vec<f32> = products.iter().map(|product| product / step).collect();
        if multipliers.iter().any(|multiplier| !multiplier.is_finite()) {
            return Ok(None);
        }
        let bias = match bias {
            None => None,
            Some(id) => match self.bias(node, id, &products, step)? {
                None => return Ok(None),
                bias => bias,
            },
        };
        let multipliers = Some(self.list(node, DType::F32, &[multipliers.len()], &multipliers)?);
        let zeros = match right.zeros.iter().all(|&zero| zero == 0) {
            true => None,
            false => {
                let bytes: Vec<u8> = right.zeros.iter().map(|&zero| zero as u8).collect();
                let spec = TensorSpec::new(right.dtype, list_of(bytes.len()));
                Some(self.rewrite.new.add_constant_bytes(&node.name, spec, &bytes)?)
            }
        };
        Ok(Some(Terms { bias, multipliers, zeros }))
    }

    /// The bias in units of the sums, where it is stored so, or else in steps of the result.
    fn bias(&mut self, node: &Node, id: TensorId, products: &[f32], step: f32) -> Result<Option<TensorId>, PassError> {
        let old = self.rewrite.old;
        let count = old.shape(id).elements().unwrap_or(0) as usize;
        let Some(source) = self.sources.get(&id).cloned() else {
            let Some(bytes) = self.constant(id) else { return Ok(None) };
            let values: Vec<f32> = (0..count).map(|at| float_at(DType::F32, bytes, at) / step).collect();
            return self.list(node, DType::F32, &[count], &values).map(Some);
        };
        let Some(bytes) = self.rewrite.new.tensor(source.tensor).constant.clone() else { return Ok(None) };
        let at = |list: &[f32], position: usize| list.get(position).or(list.first()).copied().unwrap_or(0.0);
        let channels = count.max(1);
        let in_units = source.dtype == DType::I32
            && source.zeros.iter().all(|&zero| zero == 0)
            && (0..channels).all(|c| (at(&source.scales, c) / at(products, c) - 1.0).abs() < 1e-6);
        if in_units {
            return Ok(Some(source.tensor));
        }
        let zero = |position: usize| source.zeros.get(position).or(source.zeros.first()).copied().unwrap_or(0);
        let number = |position: usize| match source.dtype {
            DType::F16 | DType::BF16 => float_at(source.dtype, bytes.as_slice(), position),
            dtype => {
                let stored = integer_at(dtype, bytes.as_slice(), position);
                stored.wrapping_sub(zero(position)) as f32 * at(&source.scales, position)
            }
        };
        let values: Vec<f32> = (0..count).map(|position| number(position) / step).collect();
        self.list(node, DType::F32, &[count], &values).map(Some)
    }
}
