//! BATCH_MATMUL, norms over the last axis, running sums, and quotients rounded down.

use ekiben_runtime::DType;
use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cumulate::{Combination, Cumulate};
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::quantized_batch_mat_mul::QuantizedBatchMatMul;
use ekiben_runtime::ops::quantized_l2_norm::QuantizedL2Norm;
use ekiben_runtime::ops::quantized_log_softmax::QuantizedLogSoftmax;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::file::Operator;
use super::super::options::{Activation, Options};
use super::super::quantization;
use super::images::axis_of;
use super::{Lowering, Stop, TensorId, Value, factor};

/// What a norm is at least (TFLite's `L2Normalization`).
const LEAST_NORM: f32 = 1e-6;

impl<'a> Lowering<'a> {
    pub(super) fn batch_mat_mul(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Adjoint(adjoint) = operator.options else { return Err("the options are missing".into()) };
        let mut sides = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        for (side, adjoint) in sides.iter_mut().zip(adjoint) {
            let rank = self.graph.shape(*side).rank();
            if !adjoint || rank < 2 {
                continue;
            }
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(rank - 2, rank - 1);
            let perm = Permutation::new(&axes).ok_or("too many axes")?;
            *side = self.add(operator, Transpose { perm }, &[Some(*side)])?;
        }
        let result = match sides.map(|side| self.graph.spec(side).dtype) {
            [DType::F32, DType::F32] => self.add(operator, BatchMatMul, &sides.map(Some))?,
            [dtype @ (DType::I8 | DType::I16), other] if dtype == other => {
                let [a, b] = [self.input_scale(operator, 0)?, self.input_scale(operator, 1)?];
                let output = self.output_scale(operator)?;
                // LiteRT multiplies the scales in float32.
                let factor = factor(f64::from(a.scale * b.scale) / f64::from(output.scale))?;
                let target = Activation::None.wide_target(output, dtype)?;
                let zeros = [a, b].map(|side| i16::try_from(side.zero_point).unwrap_or_default());
                let op = QuantizedBatchMatMul { zeros, factor, target };
                self.add(operator, op, &sides.map(Some))?
            }
            [a, b] => return Err(format!("{a} times {b} is not translated").into()),
        };
        Ok(Value::Tensor(result))
    }

    fn float(&mut self, operator: &'a Operator) -> Result<TensorId, Stop> {
        let input = self.tensor(operator, 0)?;
        match self.graph.spec(input).dtype {
            DType::F32 => Ok(input),
            dtype => Err(format!("{dtype} is not translated").into()),
        }
    }

    fn unary_of(&mut self, operator: &'a Operator, kind: UnaryKind, input: TensorId) -> Result<TensorId, Stop> {
        self.add(operator, Unary::of(kind), &[Some(input)])
    }

    pub(super) fn l2_normalization(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        if !matches!(operator.options, Options::Activation(Activation::None)) {
            return Err("a fused activation is not translated".into());
        }
        let input = self.tensor(operator, 0)?;
        if self.graph.spec(input).dtype == DType::I8 {
            let output = self.output_quantization(operator)?;
            if (output.scale, output.zero_point) != (1.0 / 128.0, 0) {
                return Err("the result's scale is not 1/128 or its zero point not 0".into());
            }
            let (_, zero) = self.input_quantization(operator, 0)?;
            return Ok(Value::Tensor(self.add(operator, QuantizedL2Norm { zero }, &[Some(input)])?));
        }
        let input = self.float(operator)?;
        let last = self.graph.shape(input).rank().checked_sub(1).ok_or("the input has no axis")?;
        let squares = self.unary_of(operator, UnaryKind::Square, input)?;
        let sum = Reduce { kind: ReduceKind::Sum, axes: 1 << last, keep: true };
        let sum = self.add(operator, sum, &[Some(squares)])?;
        let norm = self.unary_of(operator, UnaryKind::Sqrt, sum)?;
        let least = self.list(operator, DType::F32, &[], &[LEAST_NORM])?;
        let norm = self.add(operator, Binary { kind: BinaryKind::Max }, &[Some(norm), Some(least)])?;
        Ok(Value::Tensor(self.add(operator, Binary { kind: BinaryKind::Div }, &[Some(input), Some(norm)])?))
    }

    /// The root of the mean of squares in each window.
    pub(super) fn l2_pool2d(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Pool { steps, kernel, activation } = operator.options else {
            return Err("the options are missing".into());
        };
        let input = self.float(operator)?;
        let window = self.window(steps, input, kernel.map(|taps| taps as usize))?;
        let squares = self.unary_of(operator, UnaryKind::Square, input)?;
        let pool = Pool2d { kind: PoolKind::Average, kernel, window };
        let means = self.add(operator, pool, &[Some(squares)])?;
        let roots = self.unary_of(operator, UnaryKind::Sqrt, means)?;
        Ok(Value::Tensor(self.clamp(operator, activation.clamp()?, roots)?))
    }

    pub(super) fn log_softmax(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        if self.graph.spec(input).dtype == DType::I8 {
            let output = self.output_quantization(operator)?;
            if (output.scale, output.zero_point) != (1.0 / 16.0, 127) {
                return Err("the result's scale is not 1/16 or its zero point not 127".into());
            }
            let (scale, _) = self.input_quantization(operator, 0)?;
            let scaling = quantization::log_softmax_scaling(scale).ok_or_else(|| format!("a scale of {scale}"))?;
            return Ok(Value::Tensor(self.add(operator, QuantizedLogSoftmax { scaling }, &[Some(input)])?));
        }
        let input = self.float(operator)?;
        let axis = self.graph.shape(input).rank().checked_sub(1).ok_or("the input has no axis")? as u8;
        Ok(Value::Tensor(self.add(operator, Softmax { axis, log: true }, &[Some(input)])?))
    }

    pub(super) fn cumsum(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Running { exclusive, reverse } = operator.options else {
            return Err("the options are missing".into());
        };
        let input = self.tensor(operator, 0)?;
        if self.stated(operator, 0)?.quantization.is_some() {
            return Err("a quantized tensor is not translated".into());
        }
        let &[axis] = self.fixed_numbers(operator, 1)?.as_slice() else { return Err("more than one axis".into()) };
        let axis = axis_of(axis, self.graph.shape(input).rank())? as u8;
        let op = Cumulate { kind: Combination::Add, exclusive, reverse, axis };
        Ok(Value::Tensor(self.add(operator, op, &[Some(input)])?))
    }

    pub(super) fn floor_mod(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?].map(Some);
        Ok(Value::Tensor(self.add(operator, Binary { kind: BinaryKind::Mod }, &inputs)?))
    }

    /// Floats: the quotient rounded down. Integers: what the remainder leaves is divided.
    pub(super) fn floor_div(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let [a, b] = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let binary = |kind| Binary { kind };
        if self.graph.spec(a).dtype == DType::F32 {
            let quotient = self.add(operator, binary(BinaryKind::Div), &[Some(a), Some(b)])?;
            return self.unary_of(operator, UnaryKind::Floor, quotient).map(Value::Tensor);
        }
        let rest = self.add(operator, binary(BinaryKind::Mod), &[Some(a), Some(b)])?;
        let whole = self.add(operator, binary(BinaryKind::Sub), &[Some(a), Some(rest)])?;
        Ok(Value::Tensor(self.add(operator, binary(BinaryKind::Div), &[Some(whole), Some(b)])?))
    }
}
