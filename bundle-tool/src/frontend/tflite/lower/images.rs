//! AVERAGE_POOL_2D, MAX_POOL_2D and MEAN.

use ekiben_runtime::DType;
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::quantized_pool2d::QuantizedPool2d;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::Operator;
use super::super::options::Options;
use super::{Lowering, Stop, Value};

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
                self.same_quantization(operator, 0)?;
                let target = activation.target(self.output_quantization(operator)?)?;
                self.add(operator, QuantizedPool2d { kind, kernel, window, target }, &[Some(input)])?
            }
            dtype => return Err(format!("{dtype} images are not translated").into()),
        };
        Ok(Value::Tensor(result))
    }

    /// Fails unless an int8 input and the result have one scale and one zero point.
    pub(super) fn same_quantization(&self, operator: &Operator, input: usize) -> Result<(), Stop> {
        let (scale, zero) = self.input_quantization(operator, input)?;
        let output = self.output_quantization(operator)?;
        if (scale, i32::from(zero)) == (output.scale, output.zero_point) {
            return Ok(());
        }
        Err(format!("input {input} and the result have different scales or zero points").into())
    }

    pub(super) fn mean(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::KeepDims(keep) = operator.options else { return Err("the options are missing".into()) };
        let input = self.tensor(operator, 0)?;
        if self.graph.spec(input).dtype != DType::F32 {
            return Err("only float32 is translated".into());
        }
        let rank = self.graph.shape(input).rank();
        let axes = self.fixed_numbers(operator, 1)?;
        let axes = axes.iter().try_fold(0u8, |axes, &axis| Ok::<_, Stop>(axes | 1 << axis_of(axis, rank)?))?;
        let result = self.add(operator, Reduce { kind: ReduceKind::Mean, axes, keep }, &[Some(input)])?;
        Ok(Value::Tensor(result))
    }
}

/// An axis of a tensor of `rank` axes, counted from the end where it is negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, Stop> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let counted = usize::try_from(counted).ok().filter(|&counted| counted < rank);
    counted.ok_or_else(|| format!("axis {axis} of a tensor of {rank} axes").into())
}
