//! Convolution of int8 images, then the sum of its result and of images that skipped it: a residual block's end in one step, which
//! can be written over the latter.
//!
//! Inputs 0 to 4: as [`super::quantized_conv2d`]. Input 5: int8 images of the output's shape. Attributes: for the height, then the
//! width, `stride, dilation, before, after: u16`; `groups: u16`; `input_zero: i8`; the convolution's target `zero, low, high: i8`; then
//! as [`super::quantized_add`], whose input 0 is input 5 here and whose input 1 is the convolution's result. Every element is rounded as
//! by those two operators one after the other.

use super::fixed_point::{check_factors, emit_target, parse_target, requantize};
use super::quantized_add::{QuantizedAdd, Sum};
use super::quantized_conv2d::QuantizedConv2d;
use super::window::{check_groups, filters, image_spec, images, sliding};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::quantized_conv2d;
use crate::kernels::reference::window::{Window, WindowAxis};
use crate::tensor::DType;

/// Convolves int8 images with int8 filters and adds other images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedConv2dAdd {
    /// The convolution. Its window and groups are of 16 bits.
    pub conv: QuantizedConv2d,
    /// How input 5 and the convolution's result are added.
    pub add: QuantizedAdd,
}

/// The position of the images that are added.
const SKIP: usize = 5;

impl QuantizedConv2dAdd {
    /// The operator; `None` when the window or the number of groups takes more than 16 bits.
    pub fn new(conv: QuantizedConv2d, add: QuantizedAdd) -> Option<Self> {
        let axes = [conv.window.rows, conv.window.columns];
        let fields = axes.into_iter().flat_map(|axis| [axis.stride, axis.dilation, axis.before, axis.after]);
        fields.chain([conv.groups]).all(|field| u16::try_from(field).is_ok()).then_some(Self { conv, add })
    }
}

fn parse_axis(reader: &mut Reader<'_>) -> Result<WindowAxis, BytesError> {
    let (stride, dilation) = (reader.u16()?.into(), reader.u16()?.into());
    if stride == 0 || dilation == 0 {
        return Err(reader.invalid("stride or dilation"));
    }
    Ok(WindowAxis { stride, dilation, before: reader.u16()?.into(), after: reader.u16()?.into() })
}

impl Operator for QuantizedConv2dAdd {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let conv = QuantizedConv2d {
            window: Window { rows: parse_axis(reader)?, columns: parse_axis(reader)? },
            groups: reader.u16()?.into(),
            input_zero: reader.i8()?,
            target: parse_target(reader)?,
        };
        Ok(Self { conv, add: QuantizedAdd::parse(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        for axis in [self.conv.window.rows, self.conv.window.columns] {
            for value in [axis.stride, axis.dilation, axis.before, axis.after] {
                writer.u16(value as u16)?;
            }
        }
        writer.u16(self.conv.groups as u16)?;
        writer.i8(self.conv.input_zero)?;
        emit_target(self.conv.target, writer)?;
        self.add.emit(writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(SKIP + 1)?;
        let input = images(inputs, DType::I8, "int8")?;
        let [count, height, width, channels] = filters(inputs, DType::I8, "int8 filters [O, KH, KW, C / groups]")?;
        check_groups(self.conv.groups, input.1.channels, count, channels)?;
        check_factors(inputs, count)?;
        let spec = image_spec(&self.conv.window, [height, width], input, DType::I8, count)?;
        if inputs.typed(SKIP, &[DType::I8], "int8")?.shape != spec.shape {
            return Err(OpError::input(SKIP, Problem::Shape, "the shape of the convolution's result"));
        }
        outputs.put(0, spec)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(SKIP as u8, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let mut output = operands.overwrite(SKIP, 0)?;
        let kernel = [filters.at(1), filters.at(2)];
        let sliding = sliding(self.conv.window, kernel, &operands.input(0)?.dims, &output.dims);
        let requantize = requantize(operands, self.conv.target)?;
        let sum = Sum::from(&self.add);
        quantized_conv2d::conv2d_onto(
            &sliding,
            self.conv.groups as usize,
            (operands.slice(0)?, self.conv.input_zero),
            (operands.slice(1)?, &[]),
            output.elements(0)?,
            |skip, channel, convolved| *skip = sum.of(*skip, requantize.store(channel, convolved)),
        );
        Ok(())
    }
}
