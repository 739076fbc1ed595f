//! Functions of one element: in floats, as tables of 8-bit integers, in fixed point on int16.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::inverse_sqrt::inverse_sqrt;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::byte_map::ByteMap;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::dequantize::Dequantize;
use ekiben_runtime::ops::quantize::Quantize;
use ekiben_runtime::ops::quantized_conv2d::{Factor, Target};
use ekiben_runtime::ops::rescale::{Rescale, Slopes};
use ekiben_runtime::ops::sigmoid16::{self, Sigmoid, Sigmoid16};
use ekiben_runtime::ops::table_lookup::{TableLookup, WIDE_ENTRIES};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::ops::wide_quantize::WideQuantize;
use ekiben_runtime::tensor::Quantization;
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::Operator;
use super::super::fixed_functions::HardSwish;
use super::super::options::Options;
use super::tables::{interpolated_table, sigmoid_table};
use super::{Lowering, Stop, TensorId, Value, factor, symmetric};

/// A function of the stored 8-bit value, to the value to be stored before it is clipped.
type Stored = Box<dyn Fn(i32) -> i32>;

impl<'a> Lowering<'a> {
    pub(super) fn unary(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let result = match self.graph.spec(input).dtype {
            DType::F32 => self.float_unary(operator, input)?,
            dtype @ (DType::I8 | DType::U8) => {
                let (source, target) = (self.input_scale(operator, 0)?, self.output_scale(operator)?);
                let function = stored_function(operator, dtype, source, target)?;
                self.table(operator, input, (dtype, dtype), function)?
            }
            DType::I16 => self.int16_unary(operator, input)?,
            dtype => return Err(format!("{dtype} is not translated").into()),
        };
        Ok(Value::Tensor(result))
    }

    fn float_unary(&mut self, operator: &'a Operator, input: TensorId) -> Result<TensorId, Stop> {
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
            (BuiltinOperator::ABS, _) => Unary::of(UnaryKind::Abs),
            (BuiltinOperator::LOG, _) => Unary::of(UnaryKind::Log),
            (BuiltinOperator::SQRT, _) => Unary::of(UnaryKind::Sqrt),
            (BuiltinOperator::SIN, _) => Unary::of(UnaryKind::Sin),
            (BuiltinOperator::COS, _) => Unary::of(UnaryKind::Cos),
            (BuiltinOperator::CEIL, _) => Unary::of(UnaryKind::Ceil),
            (BuiltinOperator::FLOOR, _) => Unary::of(UnaryKind::Floor),
            (BuiltinOperator::ROUND, _) => Unary::of(UnaryKind::Round),
            (BuiltinOperator::ELU, _) => Unary { kind: UnaryKind::Elu, alpha: 1.0, beta: 0.0 },
            (BuiltinOperator::SQUARE, _) => Unary::of(UnaryKind::Square),
            (BuiltinOperator::RSQRT, _) => Unary::of(UnaryKind::Rsqrt),
            _ => return Err("float32 is not translated, or the options are missing".into()),
        };
        self.add(operator, unary, &[Some(input)])
    }

    /// A table of 256 entries, by the stored byte.
    pub(super) fn table(
        &mut self,
        operator: &Operator,
        input: TensorId,
        (from, to): (DType, DType),
        function: impl Fn(i32) -> i32,
    ) -> Result<TensorId, Stop> {
        let values = (0..=u8::MAX).map(|byte| function(stored_value(from, byte)));
        let table = match to {
            DType::I8 => {
                let clip = |value: i32| value.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
                self.list(operator, to, &[256], &values.map(clip).collect::<Vec<_>>())?
            }
            DType::U8 => {
                let clip = |value: i32| value.clamp(0, u8::MAX.into()) as u8;
                self.list(operator, to, &[256], &values.map(clip).collect::<Vec<_>>())?
            }
            DType::I16 => {
                let clip = |value: i32| value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
                self.list(operator, to, &[256], &values.map(clip).collect::<Vec<_>>())?
            }
            _ => self.list(operator, DType::I32, &[256], &values.collect::<Vec<_>>())?,
        };
        match to {
            DType::I8 | DType::U8 => self.add(operator, ByteMap, &[Some(input), Some(table)]),
            _ => self.add(operator, TableLookup, &[Some(input), Some(table)]),
        }
    }

    fn int16_unary(&mut self, operator: &'a Operator, input: TensorId) -> Result<TensorId, Stop> {
        let (source, target) = (self.input_scale(operator, 0)?, self.output_scale(operator)?);
        match (operator.code, &operator.options) {
            (BuiltinOperator::LOGISTIC, _) => self.sigmoid16(operator, input, Sigmoid::Logistic),
            (BuiltinOperator::TANH, _) => self.sigmoid16(operator, input, Sigmoid::Tanh),
            (BuiltinOperator::LEAKY_RELU, &Options::Number(alpha)) => {
                let slopes = leaky_slopes(source, target, alpha)?;
                self.add(operator, Rescale { dtype: DType::I16, slopes }, &[Some(input)])
            }
            (BuiltinOperator::ABS, _) => {
                symmetric([source, target])?;
                let slopes = absolute_slopes(source, target)?;
                self.add(operator, Rescale { dtype: DType::I16, slopes }, &[Some(input)])
            }
            _ => {
                symmetric([target])?;
                let function = real_function(operator, DType::I16, target)?;
                let table = interpolated_table((source.scale, source.zero_point), target.scale, function);
                let table = self.list(operator, DType::I16, &[WIDE_ENTRIES], &table)?;
                self.add(operator, TableLookup, &[Some(input), Some(table)])
            }
        }
    }

    fn sigmoid16(&mut self, operator: &'a Operator, input: TensorId, kind: Sigmoid) -> Result<TensorId, Stop> {
        let (source, target) = (self.input_scale(operator, 0)?, self.output_scale(operator)?);
        symmetric([source, target])?;
        if target.scale != 1.0 / 32768.0 {
            return Err("the result's scale is not 1/32768".into());
        }
        let (multiplier, shift) = sigmoid_multiplier(source.scale, kind)?;
        let table = sigmoid_table();
        let table = self.list(operator, DType::U16, &[sigmoid16::ENTRIES], &table)?;
        self.add(operator, Sigmoid16 { kind, multiplier, shift }, &[Some(input), Some(table)])
    }
}

impl<'a> Lowering<'a> {
    /// From floats, or from integers of another scale or type.
    pub(super) fn quantize(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let to = self.output_dtype(operator)?;
        let target = self.output_scale(operator)?;
        let from = self.graph.spec(input).dtype;
        if from == DType::F32 {
            return self.quantize_floats(operator, input, to, target).map(Value::Tensor);
        }
        let source = self.input_scale(operator, 0)?;
        let slope = factor(f64::from(source.scale) / f64::from(target.scale))?;
        let slopes = Slopes {
            input_zero: source.zero_point,
            negative: slope,
            positive: slope,
            absolute: false,
            zero: target.zero_point,
        };
        let result = match from {
            DType::I8 | DType::U8 => self.table(operator, input, (from, to), |x| slopes.value(x))?,
            _ => self.add(operator, Rescale { dtype: to, slopes }, &[Some(input)])?,
        };
        Ok(Value::Tensor(result))
    }

    fn quantize_floats(
        &mut self,
        operator: &Operator,
        input: TensorId,
        to: DType,
        target: Quantization,
    ) -> Result<TensorId, Stop> {
        let scale = target.scale;
        let zero = |offset: i32| i8::try_from(target.zero_point - offset).map_err(|_| "a zero point outside the type");
        match to {
            DType::I8 => {
                let target = Target { zero: zero(0)?, low: i8::MIN, high: i8::MAX };
                self.add(operator, Quantize { scale, target }, &[Some(input)])
            }
            DType::U8 => {
                let target = Target { zero: zero(128)?, low: i8::MIN, high: i8::MAX };
                let signed = self.add(operator, Quantize { scale, target }, &[Some(input)])?;
                self.table(operator, signed, (DType::I8, DType::U8), |x| x + 128)
            }
            DType::I16 => {
                symmetric([target])?;
                self.add(operator, WideQuantize { scale }, &[Some(input)])
            }
            to => Err(format!("float32 to {to} is not translated").into()),
        }
    }

    /// From integers, or of float16 constants, which become float32 constants.
    pub(super) fn dequantize(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let stated = self.stated(operator, 0)?;
        if let (Some(DType::F16), Some(data)) = (stated.dtype, &stated.data) {
            let wide = data.as_chunks().0.iter().map(|&bytes| half::f16::from_le_bytes(bytes).to_f32());
            let wide: Vec<f32> = wide.collect();
            return Ok(Value::Tensor(self.list(operator, DType::F32, &stated.shape, &wide)?));
        }
        let input = self.tensor(operator, 0)?;
        let Quantization { scale, zero_point } = self.input_scale(operator, 0)?;
        let result = match self.graph.spec(input).dtype {
            DType::I8 => {
                let zero = i8::try_from(zero_point).map_err(|_| "a zero point outside the type")?;
                self.add(operator, Dequantize { scale, zero }, &[Some(input)])?
            }
            DType::U8 => {
                let table: Vec<f32> = (0..=u8::MAX).map(|x| scale * (i32::from(x) - zero_point) as f32).collect();
                let table = self.list(operator, DType::F32, &[256], &table)?;
                self.add(operator, TableLookup, &[Some(input), Some(table)])?
            }
            DType::I16 if zero_point == 0 => {
                let wide = self.add(operator, Cast { to: DType::F32 }, &[Some(input)])?;
                let scale = self.list(operator, DType::F32, &[], &[scale])?;
                self.add(operator, Binary { kind: BinaryKind::Mul }, &[Some(wide), Some(scale)])?
            }
            dtype => return Err(format!("{dtype} is not translated").into()),
        };
        Ok(Value::Tensor(result))
    }
}

/// The value that a byte stores.
fn stored_value(dtype: DType, byte: u8) -> i32 {
    if dtype == DType::U8 { byte.into() } else { (byte as i8).into() }
}

/// LiteRT's function of one 8-bit integer.
fn stored_function(
    operator: &Operator,
    dtype: DType,
    source: Quantization,
    target: Quantization,
) -> Result<Stored, Stop> {
    let ratio = || factor(f64::from(source.scale / target.scale));
    let clipped = |low: f32, high: f32| {
        let bound = |real: f32| target.zero_point.saturating_add((real / target.scale).round() as i32);
        let (factor, low, high) = (ratio()?, bound(low), bound(high));
        Ok::<Stored, Stop>(Box::new(move |x| {
            factor.apply(x - source.zero_point).saturating_add(target.zero_point).clamp(low, high.max(low))
        }))
    };
    Ok(match (operator.code, &operator.options) {
        (BuiltinOperator::RELU, _) => clipped(0.0, f32::INFINITY)?,
        (BuiltinOperator::RELU6, _) => clipped(0.0, 6.0)?,
        (BuiltinOperator::RELU_N1_TO_1, _) => clipped(-1.0, 1.0)?,
        (BuiltinOperator::LEAKY_RELU, &Options::Number(alpha)) => straight(leaky_slopes(source, target, alpha)?),
        (BuiltinOperator::ABS, _) => straight(absolute_slopes(source, target)?),
        (BuiltinOperator::HARD_SWISH, _) => {
            let function = HardSwish::new(source, target).ok_or("the result's scale is too small for the input's")?;
            Box::new(move |x| function.value(x))
        }
        (BuiltinOperator::RSQRT, _) if dtype == DType::I8 => rsqrt(source, target)?,
        (BuiltinOperator::LOGISTIC, _) if target.scale != 1.0 / 256.0 => {
            return Err("the result's scale is not 1/256".into());
        }
        _ => {
            let function = real_function(operator, dtype, target)?;
            Box::new(move |x| {
                let real = function(source.scale * (x - source.zero_point) as f32);
                ((real * (1.0 / target.scale)).round() + target.zero_point as f32) as i32
            })
        }
    })
}

/// The function on real numbers, for operators that LiteRT tabulates.
fn real_function(operator: &Operator, dtype: DType, target: Quantization) -> Result<Box<dyn Fn(f32) -> f32>, Stop> {
    Ok(match operator.code {
        BuiltinOperator::LOGISTIC => Box::new(|x: f32| 1.0 / (1.0 + (-x).exp())),
        BuiltinOperator::TANH => Box::new(f32::tanh),
        BuiltinOperator::ELU => Box::new(|x: f32| if x < 0.0 { x.exp_m1() } else { x }),
        BuiltinOperator::EXP => Box::new(f32::exp),
        BuiltinOperator::LOG => {
            let lowest = if dtype == DType::I16 { i16::MIN.into() } else { i32::from(i8::MIN) };
            let lowest = (lowest - target.zero_point) as f32 * target.scale;
            Box::new(move |x: f32| if x <= 0.0 { lowest } else { x.ln() })
        }
        BuiltinOperator::RSQRT => {
            let highest = f32::from(i16::MAX) * target.scale;
            Box::new(move |x: f32| if x <= 0.0 { highest } else { 1.0 / x.sqrt() })
        }
        _ => return Err(format!("{dtype} is not translated").into()),
    })
}

/// The slopes of LEAKY_RELU.
fn leaky_slopes(source: Quantization, target: Quantization, alpha: f32) -> Result<Slopes, Stop> {
    let negative = f64::from(source.scale * alpha / target.scale);
    if negative < 0.0 {
        return Err(format!("alpha is {alpha}; a quantized LEAKY_RELU needs one that is not negative").into());
    }
    Ok(Slopes {
        input_zero: source.zero_point,
        negative: factor(negative)?,
        positive: factor(f64::from(source.scale / target.scale))?,
        absolute: false,
        zero: target.zero_point,
    })
}

/// The slopes of ABS.
fn absolute_slopes(source: Quantization, target: Quantization) -> Result<Slopes, Stop> {
    let slope = factor(f64::from(source.scale / target.scale))?;
    Ok(Slopes {
        input_zero: source.zero_point,
        negative: slope,
        positive: slope,
        absolute: true,
        zero: target.zero_point,
    })
}

fn straight(slopes: Slopes) -> Stored {
    Box::new(move |x| slopes.value(x))
}

/// `1 / sqrt(x)` of int8, in fixed point; what is not positive becomes the largest value.
fn rsqrt(source: Quantization, target: Quantization) -> Result<Stored, Stop> {
    const SHIFT: i32 = 20;
    let scale = factor(1.0 / f64::from(source.scale.sqrt() * target.scale))?;
    let scale = Factor { shift: scale.shift - SHIFT, ..scale };
    Ok(Box::new(move |x| {
        let x = x - source.zero_point;
        if x <= 0 {
            return i8::MAX.into();
        }
        let inverse = inverse_sqrt(x);
        let inverse = Factor { shift: inverse.shift + SHIFT, ..inverse };
        scale.apply(inverse.apply(1)).saturating_add(target.zero_point)
    }))
}

/// Multiplier and shift that turn int16 of a scale into the positions of the sigmoid table.
fn sigmoid_multiplier(scale: f32, kind: Sigmoid) -> Result<(i32, u8), Stop> {
    let exact = f64::from(scale) * 4096.0;
    let powers: &[f64] = if kind == Sigmoid::Tanh { &[1.0, 2.0] } else { &[1.0] };
    if powers.contains(&exact) {
        return Ok(((3.0 * exact) as i32, 0));
    }
    let (mut multiplier, mut shift) = (exact * 3.0, 0);
    while multiplier <= 32767.0 / 2.0 && shift <= 30 {
        shift += 1;
        multiplier *= 2.0;
    }
    if multiplier > f64::from(i16::MAX) {
        return Err(format!("an input scale of {scale}").into());
    }
    Ok((multiplier as i32, shift))
}
