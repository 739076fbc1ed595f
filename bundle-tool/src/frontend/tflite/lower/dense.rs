//! CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: in floats, in int8, with int16 activations, and with int8 weights for float activations.

use ekiben_runtime::ops::conv2d::Conv2d;
use ekiben_runtime::ops::conv2d::Window;
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;
use ekiben_runtime::ops::hybrid_conv2d::HybridConv2d;
use ekiben_runtime::ops::hybrid_depthwise_conv2d::HybridDepthwiseConv2d;
use ekiben_runtime::ops::hybrid_fully_connected::HybridFullyConnected;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::quantized_conv2d::{Factor, QuantizedConv2d};
use ekiben_runtime::ops::quantized_depthwise_conv2d::QuantizedDepthwiseConv2d;
use ekiben_runtime::ops::quantized_fully_connected::QuantizedFullyConnected;
use ekiben_runtime::ops::wide_conv2d::WideConv2d;
use ekiben_runtime::ops::wide_fully_connected::WideFullyConnected;
use ekiben_runtime::{DType, Shape};

use super::super::file::Operator;
use super::super::options::{Activation, Options, Steps};
use super::{FrontendError, Lowering, Stop, TensorId, Value, factor, symmetric};

/// The arithmetic of a layer, by the types of its input and its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    Float,
    Int8,
    /// int16 activations, int8 weights.
    Wide,
    Hybrid,
}

impl<'a> Lowering<'a> {
    pub(super) fn conv2d(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let (steps, activation) = conv_options(operator)?;
        let [input, filters] = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let [count, height, width, channels] = self.four_axes(filters, 1)?;
        let groups = self.four_axes(input, 0)?[3].checked_div(channels).and_then(|groups| u32::try_from(groups).ok());
        let groups = groups.ok_or("the filters have no channels")?;
        let window = self.window(steps, input, [height, width])?;
        let result = match self.arithmetic(input, filters)? {
            Arithmetic::Float => {
                let inputs = [Some(input), Some(filters), self.optional_tensor(operator, 2)?];
                self.add(operator, Conv2d { window, groups, clamp: activation.clamp()? }, &inputs)?
            }
            Arithmetic::Hybrid => {
                let inputs = self.hybrid_inputs(operator, [input, filters], (0, count))?;
                // LiteRT quantizes images with a zero point where the filters have a scale for each channel.
                let asymmetric = self.weight_scales(operator, (0, count))?.len() > 1;
                let op = HybridConv2d { window, groups, clamp: activation.clamp()?, asymmetric };
                self.add(operator, op, &inputs)?
            }
            Arithmetic::Int8 => {
                let (_, input_zero) = self.input_quantization(operator, 0)?;
                let target = activation.target(self.output_quantization(operator)?)?;
                let inputs = self.int8_inputs(operator, [input, filters], (0, count), Product::Exact)?;
                self.add(operator, QuantizedConv2d { window, groups, input_zero, target }, &inputs)?
            }
            Arithmetic::Wide => {
                let inputs = self.wide_inputs(operator, [input, filters], (0, count))?;
                let bounds = self.wide_bounds(operator, activation)?;
                self.add(operator, WideConv2d { window, groups, bounds }, &inputs)?
            }
        };
        Ok(Value::Tensor(result))
    }

    pub(super) fn depthwise_conv2d(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let (steps, activation) = conv_options(operator)?;
        let [input, filters] = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let [_, height, width, outputs] = self.four_axes(filters, 1)?;
        let window = self.window(steps, input, [height, width])?;
        let result = match self.arithmetic(input, filters)? {
            Arithmetic::Float => {
                let inputs = [Some(input), Some(filters), self.optional_tensor(operator, 2)?];
                self.add(operator, DepthwiseConv2d { window, clamp: activation.clamp()? }, &inputs)?
            }
            Arithmetic::Hybrid => {
                let inputs = self.hybrid_inputs(operator, [input, filters], (3, outputs))?;
                self.add(operator, HybridDepthwiseConv2d { window, clamp: activation.clamp()? }, &inputs)?
            }
            Arithmetic::Int8 => {
                let (_, input_zero) = self.input_quantization(operator, 0)?;
                let target = activation.target(self.output_quantization(operator)?)?;
                let inputs = self.int8_inputs(operator, [input, filters], (3, outputs), Product::Exact)?;
                self.add(operator, QuantizedDepthwiseConv2d { window, input_zero, target }, &inputs)?
            }
            Arithmetic::Wide => {
                let groups = self.four_axes(input, 0)?[3] as u32;
                let mut inputs = self.wide_inputs(operator, [input, filters], (3, outputs))?;
                inputs[1] = Some(self.filters_by_channel(operator, [height, width, outputs])?);
                let bounds = self.wide_bounds(operator, activation)?;
                self.add(operator, WideConv2d { window, groups, bounds }, &inputs)?
            }
        };
        Ok(Value::Tensor(result))
    }

    pub(super) fn fully_connected(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Dense { activation, keep_dims, asymmetric, shuffled } = operator.options else {
            return Err("the options are missing".into());
        };
        if shuffled {
            return Err("shuffled weights are not read. Convert the model with plain weights".into());
        }
        let [input, weights] = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let &[units, columns] = self.graph.shape(weights).factors() else {
            return Err("the weights are not a matrix".into());
        };
        let input = self.rows(operator, input, columns as usize, keep_dims)?;
        let units = units as usize;
        let result = match self.arithmetic(input, weights)? {
            Arithmetic::Float => {
                let inputs = [Some(input), Some(weights), self.optional_tensor(operator, 2)?];
                let product = self.add(operator, MatMul { transpose_b: true }, &inputs)?;
                self.clamp(operator, activation.clamp()?, product)?
            }
            Arithmetic::Hybrid => {
                let inputs = self.hybrid_inputs(operator, [input, weights], (0, units))?;
                self.add(operator, HybridFullyConnected { asymmetric, clamp: activation.clamp()? }, &inputs)?
            }
            Arithmetic::Int8 => {
                let (_, input_zero) = self.input_quantization(operator, 0)?;
                let target = activation.target(self.output_quantization(operator)?)?;
                let inputs = self.int8_inputs(operator, [input, weights], (0, units), Product::Single)?;
                self.add(operator, QuantizedFullyConnected { input_zero, target }, &inputs)?
            }
            Arithmetic::Wide => {
                let inputs = self.wide_inputs(operator, [input, weights], (0, units))?;
                let bounds = self.wide_bounds(operator, activation)?;
                self.add(operator, WideFullyConnected { bounds }, &inputs)?
            }
        };
        Ok(Value::Tensor(result))
    }

    /// The input of a matrix product as rows of `columns` elements: other shapes are taken as a list of such rows.
    fn rows(
        &mut self,
        operator: &'a Operator,
        input: TensorId,
        columns: usize,
        keep_dims: bool,
    ) -> Result<TensorId, Stop> {
        let shape = self.graph.shape(input);
        let last = shape.rank().checked_sub(1);
        let fits = last.is_some_and(|last| shape.factor(last) == Some(columns) && !shape.is_batch(last));
        if fits && (keep_dims || shape.rank() == 2) {
            return Ok(input);
        }
        let elements = shape.elements().and_then(|elements| usize::try_from(elements).ok());
        let rows = elements
            .filter(|elements| columns > 0 && elements.is_multiple_of(columns))
            .map(|elements| elements / columns);
        let rows = rows.filter(|_| !keep_dims).ok_or("the input is not made of rows as long as the weights'")?;
        self.reshaped(operator, input, &[rows, columns])
    }

    /// The lengths of a tensor of four axes.
    pub(super) fn four_axes(&self, id: TensorId, input: usize) -> Result<[usize; 4], Stop> {
        let lengths: Result<[u32; 4], _> = self.graph.shape(id).factors().try_into();
        Ok(lengths.map_err(|_| format!("input {input} does not have four axes"))?.map(|length| length as usize))
    }

    /// How a window of `kernel` moves over the images of `input`.
    pub(super) fn window(&self, steps: Steps, input: TensorId, kernel: [usize; 2]) -> Result<Window, Stop> {
        let [_, height, width, _] = self.four_axes(input, 0)?;
        Ok(steps.window([height, width], kernel)?)
    }

    fn arithmetic(&self, input: TensorId, weights: TensorId) -> Result<Arithmetic, Stop> {
        match (self.graph.spec(input).dtype, self.graph.spec(weights).dtype) {
            (DType::F32, DType::F32) => Ok(Arithmetic::Float),
            (DType::I8, DType::I8) => Ok(Arithmetic::Int8),
            (DType::I16, DType::I8) => Ok(Arithmetic::Wide),
            (DType::F32, DType::I8) => Ok(Arithmetic::Hybrid),
            (input, weights) => Err(format!("{input} activations with {weights} weights are not translated").into()),
        }
    }

    /// The scales of int8 weights, for each of the `channels` along `axis` or one for all. Their zero points must be 0.
    pub(super) fn weight_scales(
        &self,
        operator: &Operator,
        (axis, channels): (usize, usize),
    ) -> Result<&'a [f32], Stop> {
        let weights = self.stated(operator, 1)?;
        let place = weights.place();
        let quantized = weights.quantization.as_ref();
        let quantized = quantized.ok_or_else(|| FrontendError::malformed(&place, "int8 weights without a scale"))?;
        if !quantized.is_symmetric {
            return Err(format!("{place} has zero points other than 0").into());
        }
        match quantized.scales.len() {
            1 => Ok(&quantized.scales),
            count if count == channels && quantized.axis == axis => Ok(&quantized.scales),
            _ => Err(format!("{place} has scales along axis {}", quantized.axis).into()),
        }
    }

    /// Operands of an int8 layer: input, weights, bias, multipliers, shifts.
    fn int8_inputs(
        &mut self,
        operator: &'a Operator,
        [input, weights]: [TensorId; 2],
        channels: (usize, usize),
        product: Product,
    ) -> Result<[Option<TensorId>; 5], Stop> {
        let input_scale = self.input_scale(operator, 0)?.scale;
        let output_scale = f64::from(self.output_scale(operator)?.scale);
        let scales = self.weight_scales(operator, channels)?;
        let factors = scales.iter().map(|&scale| {
            let product = match product {
                Product::Single if scales.len() == 1 => f64::from(input_scale * scale),
                _ => f64::from(input_scale) * f64::from(scale),
            };
            factor(product / output_scale)
        });
        let factors = factors.collect::<Result<Vec<Factor>, _>>()?;
        let [multipliers, shifts] = self.factors(operator, &factors)?;
        let bias = self.optional_tensor(operator, 2)?;
        Ok([Some(input), Some(weights), bias, Some(multipliers), Some(shifts)])
    }

    /// As [`Self::int8_inputs`], of a layer with int16 activations, whose zero points are 0.
    fn wide_inputs(
        &mut self,
        operator: &'a Operator,
        operands: [TensorId; 2],
        channels: (usize, usize),
    ) -> Result<[Option<TensorId>; 5], Stop> {
        symmetric([self.input_scale(operator, 0)?, self.output_scale(operator)?])?;
        self.int8_inputs(operator, operands, channels, Product::Exact)
    }

    /// Bounds of an int16 result.
    pub(super) fn wide_bounds(&self, operator: &Operator, activation: Activation) -> Result<[i16; 2], Stop> {
        let target = activation.wide_target(self.output_scale(operator)?, DType::I16)?;
        Ok([target.low, target.high])
    }

    /// Constant filters `[1, height, width, outputs]` as `[outputs, height, width, 1]`.
    fn filters_by_channel(
        &mut self,
        operator: &'a Operator,
        [height, width, outputs]: [usize; 3],
    ) -> Result<TensorId, Stop> {
        let filters = self.stated(operator, 1)?.data.as_ref().ok_or("filters that are computed are not translated")?;
        let taps = filters.chunks_exact(outputs.max(1));
        let turned = (0..outputs).flat_map(|output| taps.clone().map(move |tap| tap[output] as i8));
        let turned: Vec<i8> = turned.collect();
        self.list(operator, DType::I8, &[outputs, height, width, 1], &turned)
    }

    /// Operands of a hybrid layer: input, weights, bias, scales of the weights.
    fn hybrid_inputs(
        &mut self,
        operator: &'a Operator,
        [input, weights]: [TensorId; 2],
        channels: (usize, usize),
    ) -> Result<[Option<TensorId>; 4], Stop> {
        let scales = self.weight_scales(operator, channels)?;
        let scales = self.list(operator, DType::F32, &[scales.len()], scales)?;
        Ok([Some(input), Some(weights), self.optional_tensor(operator, 2)?, Some(scales)])
    }

    /// The same elements with other lengths, those of one row; the batch stays the outermost axis.
    pub(super) fn reshaped(
        &mut self,
        operator: &'a Operator,
        input: TensorId,
        lengths: &[usize],
    ) -> Result<TensorId, Stop> {
        let spec = self.graph.spec(input);
        let batch = match spec.shape.batch_axis() {
            None => None,
            Some(0) if !lengths.is_empty() => Some(0),
            Some(axis) => return Err(format!("the batch is axis {axis} and cannot be kept").into()),
        };
        let shape = Shape::new(lengths, batch).map_err(|error| error.to_string())?;
        if shape == spec.shape {
            return Ok(input);
        }
        let declared = ekiben_runtime::TensorSpec { shape, ..spec };
        let name = self.file.node_name(operator);
        Ok(self.graph.add_declared(name, ekiben_runtime::ops::reshape::Reshape, &[input], declared)?)
    }
}

/// How the product of the input's and the weights' scale is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    /// Not at all, in float64.
    Exact,
    /// To float32, where there is one scale for all weights.
    Single,
}

pub(super) fn conv_options(operator: &Operator) -> Result<(Steps, Activation), Stop> {
    match operator.options {
        Options::Conv { steps, activation } => Ok((steps, activation)),
        _ => Err("the options are missing".into()),
    }
}
