//! Arithmetic on the elements of two tensors, and SOFTMAX.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::quantized_add::{Addend, LEFT_SHIFT, QuantizedAdd};
use ekiben_runtime::ops::quantized_binary::{Arithmetic, QuantizedBinary, QuantizedBinaryKind};
use ekiben_runtime::ops::quantized_softmax::QuantizedSoftmax;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::table_lookup::WIDE_ENTRIES;
use ekiben_runtime::ops::wide_softmax::WideSoftmax;
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::Operator;
use super::super::options::{Activation, Options};
use super::super::quantization;
use super::tables::precise_table;
use super::{Lowering, Stop, TensorId, Value, factor, symmetric};

impl<'a> Lowering<'a> {
    pub(super) fn binary(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let activation = match operator.options {
            Options::Activation(activation) => activation,
            _ => Activation::None,
        };
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let dtype = self.graph.spec(inputs[0]).dtype;
        let integer = match operator.code {
            _ if dtype == DType::F32 => false,
            BuiltinOperator::ADD if dtype == DType::I8 => {
                return self.int8_add(operator, activation, inputs).map(Value::Tensor);
            }
            BuiltinOperator::ADD
            | BuiltinOperator::SUB
            | BuiltinOperator::MUL
            | BuiltinOperator::SQUARED_DIFFERENCE
                if matches!(dtype, DType::I8 | DType::I16) =>
            {
                return self.quantized_binary(operator, activation, inputs).map(Value::Tensor);
            }
            BuiltinOperator::MAXIMUM | BuiltinOperator::MINIMUM => {
                (0..2).try_for_each(|input| self.moves(operator, input, 0))?;
                true
            }
            _ if matches!(dtype, DType::I32 | DType::I64) => true,
            _ => return Err(format!("{dtype} is not translated").into()),
        };
        if integer && activation != Activation::None {
            return Err(format!("a fused activation of {dtype} is not translated").into());
        }
        let kind = match operator.code {
            BuiltinOperator::ADD => BinaryKind::Add,
            BuiltinOperator::SUB => BinaryKind::Sub,
            BuiltinOperator::MUL => BinaryKind::Mul,
            BuiltinOperator::DIV => BinaryKind::Div,
            BuiltinOperator::MINIMUM => BinaryKind::Min,
            BuiltinOperator::MAXIMUM => BinaryKind::Max,
            _ => {
                let difference = self.add(operator, Binary { kind: BinaryKind::Sub }, &inputs.map(Some))?;
                let square = self.add(operator, Binary { kind: BinaryKind::Mul }, &[Some(difference); 2])?;
                return Ok(Value::Tensor(square));
            }
        };
        let result = self.add(operator, Binary { kind }, &inputs.map(Some))?;
        if integer {
            return Ok(Value::Tensor(result));
        }
        Ok(Value::Tensor(self.clamp(operator, activation.clamp()?, result)?))
    }

    /// Inputs are scaled to a common scale, twice the larger of both, before they are added.
    fn int8_add(
        &mut self,
        operator: &'a Operator,
        activation: Activation,
        inputs: [TensorId; 2],
    ) -> Result<TensorId, Stop> {
        let [a, b] = [self.input_quantization(operator, 0)?, self.input_quantization(operator, 1)?];
        let output = self.output_quantization(operator)?;
        let common = 2.0 * f64::from(a.0.max(b.0));
        let addend =
            |(scale, zero): (f32, i8)| Ok::<_, Stop>(Addend { zero, factor: factor(f64::from(scale) / common)? });
        let op = QuantizedAdd {
            addends: [addend(a)?, addend(b)?],
            factor: factor(common / (f64::from(1 << LEFT_SHIFT) * f64::from(output.scale)))?,
            target: activation.target(output)?,
        };
        self.add(operator, op, &inputs.map(Some))
    }

    /// Two tensors of int8 or int16 with scales of their own.
    fn quantized_binary(
        &mut self,
        operator: &'a Operator,
        activation: Activation,
        inputs: [TensorId; 2],
    ) -> Result<TensorId, Stop> {
        let sources = [self.input_scale(operator, 0)?, self.input_scale(operator, 1)?];
        let output = self.output_scale(operator)?;
        let is_wide = self.graph.spec(inputs[0]).dtype == DType::I16;
        let [a, b] = sources.map(|source| f64::from(source.scale));
        let common = 2.0 * a.max(b);
        let scaled = |shift: i32, result: f64| {
            Ok::<_, Stop>((shift as u8, [factor(a / common)?, factor(b / common)?], factor(result)?))
        };
        let result = f64::from(output.scale);
        let (kind, (left_shift, mut factors, factor)) = match operator.code {
            BuiltinOperator::MUL => {
                let [a, b] = sources.map(|source| source.scale);
                let factor = factor(f64::from(a * b / output.scale))?;
                (QuantizedBinaryKind::Multiply, (0, [factor; 2], factor))
            }
            BuiltinOperator::SQUARED_DIFFERENCE => {
                const SHIFT: i32 = 7;
                let result = common * common / (f64::from(1 << (2 * SHIFT)) * result);
                (QuantizedBinaryKind::SquaredDifference, scaled(SHIFT, result)?)
            }
            _ => {
                let shift = if is_wide { 15 } else { 20 };
                (QuantizedBinaryKind::Add, scaled(shift, common / (f64::from(1 << shift) * result))?)
            }
        };
        if operator.code == BuiltinOperator::SUB {
            factors[1].multiplier = -factors[1].multiplier;
        }
        let target = activation.wide_target(output, self.output_dtype(operator)?)?;
        let zeros = sources.map(|source| source.zero_point as i16);
        let arithmetic = Arithmetic { kind, left_shift, zeros, factors, factor, target };
        self.add(operator, QuantizedBinary(arithmetic), &inputs.map(Some))
    }

    /// A slope for negative elements that is a tensor.
    pub(super) fn prelu(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let result = match self.graph.spec(inputs[0]).dtype {
            DType::F32 => self.add(operator, Binary { kind: BinaryKind::PRelu }, &inputs.map(Some))?,
            DType::I8 => {
                let sources = [self.input_scale(operator, 0)?, self.input_scale(operator, 1)?];
                let output = self.output_scale(operator)?;
                let [x, slope] = sources.map(|source| source.scale);
                let positive = factor(f64::from(x / output.scale))?;
                let arithmetic = Arithmetic {
                    kind: QuantizedBinaryKind::PRelu,
                    left_shift: 0,
                    zeros: sources.map(|source| source.zero_point as i16),
                    factors: [positive; 2],
                    factor: factor(f64::from(x * slope / output.scale))?,
                    target: Activation::None.wide_target(output, DType::I8)?,
                };
                self.add(operator, QuantizedBinary(arithmetic), &inputs.map(Some))?
            }
            dtype => return Err(format!("{dtype} is not translated").into()),
        };
        Ok(Value::Tensor(result))
    }

    /// A sum of tensors of one shape.
    pub(super) fn add_n(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let mut sum = self.tensor(operator, 0)?;
        let dtype = self.graph.spec(sum).dtype;
        if !matches!(dtype, DType::F32 | DType::I32) {
            return Err(format!("{dtype} is not translated").into());
        }
        for input in 1..operator.inputs.len() {
            let next = self.tensor(operator, input)?;
            sum = self.add(operator, Binary { kind: BinaryKind::Add }, &[Some(sum), Some(next)])?;
        }
        Ok(Value::Tensor(sum))
    }

    /// Over the last axis.
    pub(super) fn softmax(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Number(beta) = operator.options else { return Err("the options are missing".into()) };
        let input = self.tensor(operator, 0)?;
        let spec = self.graph.spec(input);
        let axis = spec.shape.rank().checked_sub(1).ok_or("the input has no axis")?;
        let result = match spec.dtype {
            DType::F32 => {
                let mut scaled = input;
                if beta != 1.0 {
                    let beta = self.list(operator, DType::F32, &[], &[beta])?;
                    scaled = self.add(operator, Binary { kind: BinaryKind::Mul }, &[Some(input), Some(beta)])?;
                }
                self.add(operator, Softmax { axis: axis as u8, log: false }, &[Some(scaled)])?
            }
            DType::I8 => {
                let (scale, _) = self.input_quantization(operator, 0)?;
                let output = self.output_quantization(operator)?;
                if (output.scale, output.zero_point) != (1.0 / 256.0, i8::MIN.into()) {
                    return Err("the result's scale is not 1/256 or its zero point not -128".into());
                }
                let parameters = quantization::softmax_factor(beta, scale);
                let (factor, lowest) = parameters.ok_or_else(|| format!("a scale of {scale} and beta {beta}"))?;
                self.add(operator, QuantizedSoftmax { factor, lowest }, &[Some(input)])?
            }
            DType::I16 => self.int16_softmax(operator, input, beta)?,
            dtype => return Err(format!("{dtype} is not translated").into()),
        };
        Ok(Value::Tensor(result))
    }
    /// With tables of exp from -10 to 0, and of 1 / (1 + x) from 0 to 1.
    fn int16_softmax(&mut self, operator: &'a Operator, input: TensorId, beta: f32) -> Result<TensorId, Stop> {
        const RANGE: f64 = 65_535.0;
        let (source, output) = (self.input_scale(operator, 0)?, self.output_scale(operator)?);
        symmetric([source, output])?;
        if (output.scale * 32768.0 - 1.0).abs() > 0.001 {
            return Err("the result's scale is not 1/32768".into());
        }
        let exponentials = precise_table((10.0 / RANGE, i16::MAX.into()), 2.0 / RANGE, f64::exp);
        let reciprocals = precise_table((1.0 / RANGE, i16::MIN.into()), 2.0 / RANGE, |x| 1.0 / (1.0 + x));
        let exponentials = self.list(operator, DType::I16, &[WIDE_ENTRIES], &exponentials)?;
        let reciprocals = self.list(operator, DType::I16, &[WIDE_ENTRIES], &reciprocals)?;
        let factor = factor(f64::from(source.scale * beta) / (10.0 / RANGE))?;
        self.add(operator, WideSoftmax { factor }, &[Some(input), Some(exponentials), Some(reciprocals)])
    }
}
