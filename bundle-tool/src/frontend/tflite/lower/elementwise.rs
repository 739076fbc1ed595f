//! Arithmetic on elements, activations, SOFTMAX, QUANTIZE and DEQUANTIZE.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::dequantize::Dequantize;
use ekiben_runtime::ops::quantize::Quantize;
use ekiben_runtime::ops::quantized_add::{Addend, LEFT_SHIFT, QuantizedAdd};
use ekiben_runtime::ops::quantized_softmax::QuantizedSoftmax;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::Operator;
use super::super::options::{Activation, Options};
use super::super::quantization;
use super::{Lowering, Stop, TensorId, Value, factor};

impl<'a> Lowering<'a> {
    pub(super) fn binary(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let activation = match operator.options {
            Options::Activation(activation) => activation,
            _ => Activation::None,
        };
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let dtype = self.graph.spec(inputs[0]).dtype;
        if dtype == DType::I8 && operator.code == BuiltinOperator::ADD {
            return self.int8_add(operator, activation, inputs).map(Value::Tensor);
        }
        if dtype != DType::F32 {
            return Err(format!("{dtype} is not translated").into());
        }
        let kind = match operator.code {
            BuiltinOperator::ADD => BinaryKind::Add,
            BuiltinOperator::SUB => BinaryKind::Sub,
            BuiltinOperator::MUL => BinaryKind::Mul,
            BuiltinOperator::DIV => BinaryKind::Div,
            BuiltinOperator::MINIMUM => BinaryKind::Min,
            _ => BinaryKind::Max,
        };
        let result = self.add(operator, Binary { kind }, &inputs.map(Some))?;
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

    pub(super) fn unary(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let dtype = self.graph.spec(input).dtype;
        if dtype != DType::F32 {
            return Err(format!("{dtype} is not translated").into());
        }
        let clip = |low: f64, high: f64| Unary { kind: UnaryKind::Clip, alpha: low, beta: high };
        let unary = match (operator.code, &operator.options) {
            (BuiltinOperator::RELU, _) => Unary::of(UnaryKind::Relu),
            (BuiltinOperator::RELU6, _) => clip(0.0, 6.0),
            (BuiltinOperator::RELU_N1_TO_1, _) => clip(-1.0, 1.0),
            (BuiltinOperator::LEAKY_RELU, &Options::Number(alpha)) => {
                Unary { kind: UnaryKind::LeakyRelu, alpha: alpha.into(), beta: 0.0 }
            }
            (BuiltinOperator::LOGISTIC, _) => Unary::of(UnaryKind::Sigmoid),
            (BuiltinOperator::TANH, _) => Unary::of(UnaryKind::Tanh),
            (BuiltinOperator::HARD_SWISH, _) => Unary { kind: UnaryKind::HardSwish, alpha: 1.0 / 6.0, beta: 0.5 },
            (BuiltinOperator::EXP, _) => Unary::of(UnaryKind::Exp),
            (BuiltinOperator::NEG, _) => Unary::of(UnaryKind::Neg),
            _ => return Err("the options are missing".into()),
        };
        Ok(Value::Tensor(self.add(operator, unary, &[Some(input)])?))
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
            dtype => return Err(format!("{dtype} is not translated").into()),
        };
        Ok(Value::Tensor(result))
    }

    pub(super) fn quantize(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let dtype = self.graph.spec(input).dtype;
        if dtype != DType::F32 {
            return Err(format!("{dtype} is not translated").into());
        }
        let output = self.output_quantization(operator)?;
        let op = Quantize { scale: output.scale, target: Activation::None.target(output)? };
        Ok(Value::Tensor(self.add(operator, op, &[Some(input)])?))
    }

    /// From int8, or of float16 constants, which become float32 constants.
    pub(super) fn dequantize(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let stated = self.stated(operator, 0)?;
        if let (Some(DType::F16), Some(data)) = (stated.dtype, &stated.data) {
            let wide = data.as_chunks().0.iter().map(|&bytes| half::f16::from_le_bytes(bytes).to_f32());
            let wide: Vec<f32> = wide.collect();
            return Ok(Value::Tensor(self.list(operator, DType::F32, &stated.shape, &wide)?));
        }
        let input = self.tensor(operator, 0)?;
        let dtype = self.graph.spec(input).dtype;
        if dtype != DType::I8 {
            return Err(format!("{dtype} is not translated").into());
        }
        let (scale, zero) = self.input_quantization(operator, 0)?;
        Ok(Value::Tensor(self.add(operator, Dequantize { scale, zero }, &[Some(input)])?))
    }
}
