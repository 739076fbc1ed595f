//! AVERAGE_POOL_2D, MAX_POOL_2D and reductions over axes.

use ekiben_runtime::DType;
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::quantized_conv2d::Factor;
use ekiben_runtime::ops::quantized_pool2d::QuantizedPool2d;
use ekiben_runtime::ops::quantized_reduce::QuantizedReduce;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::wide_pool2d::WidePool2d;
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::Operator;
use super::super::options::{Activation, Options};
use super::{Lowering, Stop, Value, factor};

impl<'a> Lowering<'a> {
    pub(super) fn pool2d(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Pool { steps, kernel, activation } = operator.options else {
            return Err("the options are missing".into());
        };
        let input = self.tensor(operator, 0)?;
        let window = self.window(steps, input, kernel.map(|taps| taps as usize))?;
        let kind = match operator.code {
            BuiltinOperator::MAX_POOL_2D => PoolKind::Max,
            _ => PoolKind::Average,
        };
        let result = match self.graph.spec(input).dtype {
            DType::F32 => {
                let pooled = self.add(operator, Pool2d { kind, kernel, window }, &[Some(input)])?;
                self.clamp(operator, activation.clamp()?, pooled)?
            }
            DType::I8 => {
                self.moves(operator, 0, 0)?;
                let target = activation.target(self.output_quantization(operator)?)?;
                self.add(operator, QuantizedPool2d { kind, kernel, window, target }, &[Some(input)])?
            }
            DType::I16 => {
                self.moves(operator, 0, 0)?;
                let target = activation.wide_target(self.output_scale(operator)?, DType::I16)?;
                let bounds = [target.low, target.high];
                self.add(operator, WidePool2d { kind, kernel, window, bounds }, &[Some(input)])?
            }
            dtype => return Err(format!("{dtype} images are not translated").into()),
        };
        Ok(Value::Tensor(result))
    }

    pub(super) fn reduce(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::KeepDims(keep) = operator.options else { return Err("the options are missing".into()) };
        let input = self.tensor(operator, 0)?;
        let shape = self.graph.shape(input);
        let axes = self.fixed_numbers(operator, 1)?;
        let axis = |axes: u8, &axis: &i64| Ok::<_, Stop>(axes | 1 << axis_of(axis, shape.rank())?);
        let axes = axes.iter().try_fold(0u8, axis)?;
        let kind = match operator.code {
            BuiltinOperator::MEAN => ReduceKind::Mean,
            BuiltinOperator::SUM => ReduceKind::Sum,
            BuiltinOperator::REDUCE_MAX => ReduceKind::Max,
            _ => ReduceKind::Min,
        };
        let result = match (self.graph.spec(input).dtype, kind) {
            (DType::I8 | DType::I16, ReduceKind::Mean | ReduceKind::Sum) => {
                let length = |axis: usize| if axes >> axis & 1 == 1 { u64::from(shape.factors()[axis]) } else { 1 };
                let count = (0..shape.rank()).map(length).product::<u64>();
                let op = self.quantized_reduce(operator, axes, keep, (kind == ReduceKind::Mean).then_some(count))?;
                self.add(operator, op, &[Some(input)])?
            }
            (DType::I32 | DType::I64, ReduceKind::Mean) => return Err("integers are not translated".into()),
            (dtype, _) => {
                if dtype != DType::F32 {
                    self.moves(operator, 0, 0)?;
                }
                self.add(operator, Reduce { kind, axes, keep }, &[Some(input)])?
            }
        };
        Ok(Value::Tensor(result))
    }

    /// A sum over axes, divided by `count` for a mean: the multiplier is divided after as many shifts as the count has bits.
    fn quantized_reduce(
        &self,
        operator: &Operator,
        axes: u8,
        keep: bool,
        count: Option<u64>,
    ) -> Result<QuantizedReduce, Stop> {
        let (source, output) = (self.input_scale(operator, 0)?, self.output_scale(operator)?);
        let mut factor = factor(f64::from(source.scale) / f64::from(output.scale))?;
        if let Some(count) = count.filter(|&count| count > 0) {
            let shift = (count.ilog2() as i32).min(32).min(31 + factor.shift);
            let divided = (i64::from(factor.multiplier) << shift) / count as i64;
            factor = Factor { multiplier: divided as i32, shift: factor.shift - shift };
        }
        let target = Activation::None.wide_target(output, self.output_dtype(operator)?)?;
        Ok(QuantizedReduce { axes, keep, input_zero: source.zero_point as i16, factor, target })
    }
}

/// An axis of a tensor of `rank` axes, counted from the end where it is negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Stop> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let counted = usize::try_from(counted).ok().filter(|&counted| counted < rank);
    counted.ok_or_else(|| format!("axis {axis} of a tensor of {rank} axes").into())
}
