//! What operators with sliding windows share: the attributes' bytes and the rules for shapes.

use super::width::{elements, elements_mut};
use super::{InPlace, Inputs, OpError, Operands, Outputs, Problem, Scratch};
use bytemuck::Pod;

use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
use crate::kernels::reference::window::{Image, MAX_PADDED, Sliding, Window, WindowAxis};
use crate::tensor::{DType, Dims, Shape, TensorSpec};

/// Reads a window: for the height, then the width, `stride, dilation, before, after: u32`.
pub(super) fn parse_window(reader: &mut Reader<'_>) -> Result<Window, BytesError> {
    Ok(Window { rows: parse_axis(reader)?, columns: parse_axis(reader)? })
}

fn parse_axis(reader: &mut Reader<'_>) -> Result<WindowAxis, BytesError> {
    let stride = reader.u32()?;
    let dilation = reader.u32()?;
    if stride == 0 || dilation == 0 {
        return Err(reader.invalid("stride or dilation"));
    }
    Ok(WindowAxis { stride, dilation, before: reader.u32()?, after: reader.u32()? })
}

/// Writes a window as [`parse_window`] reads it.
pub(super) fn emit_window(window: &Window, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    for axis in [&window.rows, &window.columns] {
        for value in [axis.stride, axis.dilation, axis.before, axis.after] {
            writer.u32(value)?;
        }
    }
    Ok(())
}

/// Reads the bounds of an activation: `low, high: f32`, neither NaN, in this order.
pub(super) fn parse_clamp(reader: &mut Reader<'_>) -> Result<Clamp, BytesError> {
    let clamp = Clamp { low: reader.f32()?, high: reader.f32()? };
    if clamp.low <= clamp.high { Ok(clamp) } else { Err(reader.invalid("activation bounds")) }
}

/// Writes bounds as [`parse_clamp`] reads them.
pub(super) fn emit_clamp(clamp: Clamp, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.f32(clamp.low)?;
    writer.f32(clamp.high)
}

/// Input 0: images `[B, H, W, C]` of `dtype`, where B may be the batch, and the one image's lengths. No length but B is 0.
pub(super) fn images(inputs: &dyn Inputs, dtype: DType, needs: &'static str) -> Result<(TensorSpec, Image), OpError> {
    let spec = inputs.typed(0, &[dtype], needs)?;
    let &[_, height, width, channels] = spec.shape.factors() else {
        return Err(OpError::input(0, Problem::Rank, "images [batch, height, width, channels]"));
    };
    if spec.shape.batch_axis().is_some_and(|axis| axis != 0) {
        return Err(OpError::input(0, Problem::Batch, "the batch on axis 0"));
    }
    if height == 0 || width == 0 || channels == 0 {
        return Err(OpError::input(0, Problem::Shape, "images of one element or more"));
    }
    Ok((spec, Image { height: height as usize, width: width as usize, channels: channels as usize }))
}

/// Input 1: filters of `dtype` with four axes, none of length 0, that do not depend on the batch.
pub(super) fn filters(inputs: &dyn Inputs, dtype: DType, needs: &'static str) -> Result<[usize; 4], OpError> {
    let shape = inputs.typed(1, &[dtype], needs)?.shape;
    match *shape.factors() {
        [a, b, c, d] if !shape.is_batched() && a.min(b).min(c).min(d) > 0 => {
            Ok([a, b, c, d].map(|length| length as usize))
        }
        _ => Err(OpError::input(1, Problem::Shape, needs)),
    }
}

/// Input 1 as depthwise filters `[1, KH, KW, channels * multiplier]`: height, width, and the last axis.
pub(super) fn depthwise_filters(
    inputs: &dyn Inputs,
    dtype: DType,
    channels: usize,
    needs: &'static str,
) -> Result<[usize; 3], OpError> {
    match filters(inputs, dtype, needs)? {
        [1, height, width, outputs] if outputs.is_multiple_of(channels) => Ok([height, width, outputs]),
        _ => Err(OpError::input(1, Problem::Shape, needs)),
    }
}

/// Checks that `groups` divides `inputs` channels into groups as wide as the filters, and `filters` filters among them.
pub(super) fn check_groups(groups: u32, inputs: usize, filters: usize, width: usize) -> Result<(), OpError> {
    let groups = groups as usize;
    if width.checked_mul(groups) == Some(inputs) && filters.is_multiple_of(groups) {
        return Ok(());
    }
    Err(OpError::attribute("groups", "the input's channels over the filters', and a divisor of the filters"))
}

/// States output 0: the images of [`image_spec`].
pub(super) fn put_images(
    outputs: &mut dyn Outputs,
    window: &Window,
    kernel: [usize; 2],
    input: (TensorSpec, Image),
    dtype: DType,
    channels: usize,
) -> Result<(), OpError> {
    outputs.put(0, image_spec(window, kernel, input, dtype, channels)?)
}

/// Images of `dtype` with `channels` channels, as many as the input's, as large as the window makes them.
pub(super) fn image_spec(
    window: &Window,
    kernel: [usize; 2],
    (input, image): (TensorSpec, Image),
    dtype: DType,
    channels: usize,
) -> Result<TensorSpec, OpError> {
    let misfit = OpError::attribute("window", "a kernel that fits into the padded input");
    if (kernel[0] as u64).saturating_mul(kernel[1] as u64) > MAX_PADDED {
        return Err(misfit);
    }
    let height = window.rows.output_length(image.height, kernel[0]).ok_or(misfit)?;
    let width = window.columns.output_length(image.width, kernel[1]).ok_or(misfit)?;
    let count = input.shape.factor(0).unwrap_or(1);
    let shape = Shape::new(&[count, height, width, channels], input.shape.batch_axis())
        .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
    Ok(TensorSpec::new(dtype, shape))
}

/// Elements of scratch with which images can be convolved in place (see [`Sliding::band`]); `None` where they cannot. Inputs 0 and 1
/// are the images and the filters `[O, KH, KW, C / groups]`, or, `depthwise`, `[1, KH, KW, C * multiplier]`.
pub(super) fn band(inputs: &dyn Inputs, window: &Window, depthwise: bool) -> Option<usize> {
    sliding_of(inputs, window, depthwise)?.band()
}

/// What slides over what, from inputs as in [`band`].
pub(super) fn sliding_of(inputs: &dyn Inputs, window: &Window, depthwise: bool) -> Option<Sliding> {
    let (images, filters) = (inputs.get(0)?.spec.shape, inputs.get(1)?.spec.shape);
    let input = image_of(|axis| images.factor(axis).unwrap_or(0));
    let kernel = [filters.factor(1)?, filters.factor(2)?];
    let height = window.rows.output_length(input.height, kernel[0])?;
    let width = window.columns.output_length(input.width, kernel[1])?;
    let channels = filters.factor(if depthwise { 3 } else { 0 })?;
    Some(Sliding { window: *window, kernel, input, output: Image { height, width, channels } })
}

/// What an operator that can be done with this band says of its places; see [`super::Operator::in_place`].
pub(super) fn band_in_place(band: Option<usize>) -> InPlace {
    if band.is_some() { &[(0, 0)] } else { &[] }
}

/// The scratch memory of a convolution in place, in elements of `width` bytes.
pub(super) fn band_scratch(band: Option<usize>, width: u64) -> Scratch {
    Scratch { fixed: width.saturating_mul(band.unwrap_or(0) as u64), per_row: 0 }
}

/// Convolves images, or rows of them.
type Convolve<'a, I, O> = dyn FnMut(&Sliding, &[I], &mut [O]) + 'a;

/// Runs `convolve` from input 0 to output 0, which are images: at once, or row by row where the former lie in the latter's place. Elements
/// are seen as `I` and `O`, which are equally wide where there is a band (see [`band`]).
pub(super) fn convolve<I: Pod, O: Pod>(
    operands: &dyn Operands,
    window: Window,
    kernel: [usize; 2],
    mut convolve: impl FnMut(&Sliding, &[I], &mut [O]),
) -> Result<(), OpError> {
    // Called in two places, compiled once.
    let convolve: &mut Convolve<'_, I, O> = &mut convolve;
    let output = operands.output(0)?;
    if !operands.is_in_place(0, 0) {
        let input = operands.input(0)?;
        convolve(
            &sliding(window, kernel, &input.dims, &output.dims),
            elements(0, input.bytes)?,
            elements_mut(0, output.bytes)?,
        );
        return Ok(());
    }
    let sliding = sliding(window, kernel, &output.dims, &output.dims);
    let band = elements_mut::<O>(1, operands.scratch()?.bytes)?;
    let mut result = Ok(());
    sliding.for_each_row_in_place(elements_mut::<O>(0, output.bytes)?, band, |part, seen, row| {
        match bytemuck::try_cast_slice(seen) {
            Ok(seen) => convolve(part, seen, row),
            Err(_) => result = Err(OpError::input(0, Problem::DType, "elements as wide as the output's")),
        }
    });
    result
}

/// The lengths of images whose axes have these lengths.
fn image_of(length: impl Fn(usize) -> usize) -> Image {
    Image { height: length(1), width: length(2), channels: length(3) }
}

/// What a kernel slides over, from the lengths of the input's and the output's images.
pub(super) fn sliding(window: Window, kernel: [usize; 2], input: &Dims, output: &Dims) -> Sliding {
    Sliding { window, kernel, input: image_of(|axis| input.at(axis)), output: image_of(|axis| output.at(axis)) }
}
