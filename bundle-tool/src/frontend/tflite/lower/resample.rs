//! RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR and TRANSPOSE_CONV.

use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::quantized_transpose_conv2d::QuantizedTransposeConv2d;
use ekiben_runtime::ops::resize_bilinear::{Corners, ResizeBilinear};
use ekiben_runtime::ops::transpose_conv2d::{TransposeConv2d, TransposedAxis};
use ekiben_runtime::ops::wide_transpose_conv2d::WideTransposeConv2d;
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::super::file::Operator;
use super::super::options::Options;
use super::dense::conv_options;
use super::{Lowering, Stop, TensorId, Value, factor, symmetric};

impl<'a> Lowering<'a> {
    /// Height and width that an input states.
    fn size(&mut self, operator: &'a Operator, input: usize) -> Result<[usize; 2], Stop> {
        let size = self.fixed_numbers(operator, input)?;
        match size.iter().map(|&length| usize::try_from(length)).collect::<Result<Vec<_>, _>>().as_deref() {
            Ok(&[height, width]) if height.min(width) > 0 => Ok([height, width]),
            _ => Err(format!("a size of {size:?}").into()),
        }
    }

    /// Adds an operator whose result has the input's images in another size and number of channels.
    fn add_images(
        &mut self,
        operator: &'a Operator,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
        [height, width, channels]: [usize; 3],
    ) -> Result<TensorId, Stop> {
        let input = inputs.first().copied().flatten().ok_or("the images are missing")?;
        let (spec, [count, ..]) = (self.graph.spec(input), self.four_axes(input, 0)?);
        let shape = Shape::new(&[count, height, width, channels], spec.shape.batch_axis());
        let spec = TensorSpec { shape: shape.map_err(|error| error.to_string())?, ..spec };
        let outputs = self.graph.add_node(self.file.node_name(operator), op, inputs, &[spec])?;
        outputs.first().copied().ok_or_else(|| Stop::from("the operator has no output"))
    }

    pub(super) fn resize_bilinear(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let corners = match operator.options {
            Options::Resize { align_corners: false, half_pixel_centers: false } => Corners::Left,
            Options::Resize { align_corners: true, half_pixel_centers: false } => Corners::Aligned,
            Options::Resize { align_corners: false, half_pixel_centers: true } => Corners::HalfPixel,
            _ => return Err("align_corners and half_pixel_centers together".into()),
        };
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let ([_, _, _, channels], [height, width]) = (self.four_axes(input, 0)?, self.size(operator, 1)?);
        let lengths = [height, width, channels];
        self.add_images(operator, ResizeBilinear { corners }, &[Some(input)], lengths).map(Value::Tensor)
    }

    /// Takes the nearest row and the nearest column of each pixel.
    pub(super) fn resize_nearest(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Resize { align_corners, half_pixel_centers } = operator.options else {
            return Err("the options are missing".into());
        };
        let mut result = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let ([_, height, width, _], size) = (self.four_axes(result, 0)?, self.size(operator, 1)?);
        for (axis, (from, to)) in [(1, (height, size[0])), (2, (width, size[1]))] {
            let places: Vec<i32> =
                (0..to).map(|at| nearest(at, from, to, align_corners, half_pixel_centers) as i32).collect();
            if places.iter().copied().eq(0..from as i32) {
                continue;
            }
            let places = self.list(operator, DType::I32, &[to], &places)?;
            result = self.add(operator, Gather { axis }, &[Some(result), Some(places)])?;
        }
        Ok(Value::Tensor(result))
    }

    /// Inputs: the result's shape, the filters, the images, a bias.
    pub(super) fn transpose_conv(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let (steps, activation) = conv_options(operator)?;
        let [filters, images] = [self.tensor(operator, 1)?, self.tensor(operator, 2)?];
        let [count, taps_y, taps_x, _] = self.four_axes(filters, 1)?;
        let stated = self.numbers(operator, 0)?;
        let &[_, height, width, _] = stated.as_slice() else { return Err("the result does not have four axes".into()) };
        let (height, width) = match (usize::try_from(height.factor), usize::try_from(width.factor)) {
            (Ok(rows @ 1..), Ok(columns @ 1..)) if !(height.batched || width.batched) => (rows, columns),
            _ => return Err("a height or width that is not positive".into()),
        };
        // The padding is that of the convolution which makes the input of the result.
        let window = steps.window([height, width], [taps_y, taps_x])?;
        let axes =
            [window.rows, window.columns].map(|axis| TransposedAxis { stride: axis.stride, before: axis.before });
        let lengths = [height, width, count];
        let bias = self.optional_tensor(operator, 3)?;
        let result = match (self.graph.spec(images).dtype, self.graph.spec(filters).dtype) {
            (DType::F32, DType::F32) => {
                let op = TransposeConv2d { axes, clamp: activation.clamp()? };
                self.add_images(operator, op, &[Some(images), Some(filters), bias], lengths)?
            }
            (DType::I8, DType::I8) => {
                let (input_scale, input_zero) = self.input_quantization(operator, 2)?;
                let output = self.output_quantization(operator)?;
                let scales = self.weight_scales(operator, (0, count))?;
                let product =
                    |&scale: &f32| factor(f64::from(input_scale) * f64::from(scale) / f64::from(output.scale));
                let factors = scales.iter().map(product).collect::<Result<Vec<_>, _>>()?;
                let [multipliers, shifts] = self.factors(operator, &factors)?;
                let op = QuantizedTransposeConv2d { axes, input_zero, target: activation.target(output)? };
                let inputs = [Some(images), Some(filters), bias, Some(multipliers), Some(shifts)];
                self.add_images(operator, op, &inputs, lengths)?
            }
            (DType::I16, DType::I8) => {
                let (source, output) = (self.input_scale(operator, 2)?, self.output_scale(operator)?);
                symmetric([source, output])?;
                let scales = self.weight_scales(operator, (0, count))?;
                let product =
                    |&scale: &f32| factor(f64::from(source.scale) * f64::from(scale) / f64::from(output.scale));
                let factors = scales.iter().map(product).collect::<Result<Vec<_>, _>>()?;
                let [multipliers, shifts] = self.factors(operator, &factors)?;
                let op = WideTransposeConv2d { axes, bounds: self.wide_bounds(operator, activation)? };
                let inputs = [Some(images), Some(filters), bias, Some(multipliers), Some(shifts)];
                self.add_images(operator, op, &inputs, lengths)?
            }
            (images, filters) => {
                return Err(format!("{images} images with {filters} filters are not translated").into());
            }
        };
        Ok(Value::Tensor(result))
    }
}

/// The place of `from` that stands at place `at` of `to` (TFLite's `GetNearestNeighbor`).
fn nearest(at: usize, from: usize, to: usize, align_corners: bool, half_pixel_centers: bool) -> usize {
    let scale = match to {
        2.. if align_corners => (from - 1) as f32 / (to - 1) as f32,
        _ => from as f32 / to as f32,
    };
    let place = (at as f32 + if half_pixel_centers { 0.5 } else { 0.0 }) * scale;
    let place = if align_corners { place.round() } else { place.floor() };
    (place as usize).min(from - 1)
}
