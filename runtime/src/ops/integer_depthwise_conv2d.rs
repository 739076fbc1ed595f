//! Convolution of each channel of int8 or uint8 images `[B, H, W, C]` by itself, with int8 filters `[1, KH, KW, C * multiplier]`.
//!
//! Inputs and attributes: as [`super::integer_conv2d`] without `groups`. Output channel `c * multiplier + m` reads input channel `c`.

use super::integer::{Finish, Outcome, Zeros};
use super::linear::{BYTES, NEEDS_BYTES};
use super::window::{band, band_in_place, band_scratch, convolve, depthwise_filters, emit_window, images, parse_window, put_images};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::linear::Byte;
use crate::kernels::reference::quantized_conv2d;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Convolves each channel of images of 8-bit integers with int8 filters of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerDepthwiseConv2d {
    /// How the filters move.
    pub window: Window,
    /// Stored value of real zero in the input.
    pub input_zero: i16,
    /// What becomes of the sums.
    pub outcome: Outcome,
}

impl IntegerDepthwiseConv2d {
    fn run_typed<X: Byte>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let kernel = operands.input(1)?.dims;
        let kernel = [kernel.at(1), kernel.at(2)];
        let zero = X::truncate(Zeros::of(operands, 5, self.input_zero)?.at(0).into());
        let filters = (operands.slice(1)?, operands.optional_slice(4)?.unwrap_or_default());
        let finish = Finish::new(operands, self.outcome)?;
        if self.outcome.dtype.bits() == 8 {
            return convolve(operands, self.window, kernel, |sliding, input: &[X], out: &mut [u8]| {
                quantized_conv2d::depthwise_conv2d(sliding, (input, zero), filters, out, |c, sum| finish.byte(c, sum));
            });
        }
        convolve(operands, self.window, kernel, |sliding, input: &[X], out: &mut [[u8; 4]]| {
            quantized_conv2d::depthwise_conv2d(sliding, (input, zero), filters, out, |c, sum| finish.word(c, sum));
        })
    }

    /// Elements of scratch for a run in place; see [`band`]. Results of 32 bits do not fit in the place of 8-bit integers.
    fn band(&self, inputs: &dyn Inputs) -> Option<usize> {
        band(inputs, &self.window, true).filter(|_| self.outcome.dtype.bits() == 8)
    }
}

impl Operator for IntegerDepthwiseConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            window: parse_window(reader)?,
            input_zero: reader.i16()?,
            outcome: Outcome::parse(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.i16(self.input_zero)?;
        self.outcome.emit(writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = images(inputs, inputs.typed(0, &BYTES, NEEDS_BYTES)?.dtype, NEEDS_BYTES)?;
        let needs = "int8 filters [1, KH, KW, C * multiplier]";
        let [height, width, count] = depthwise_filters(inputs, DType::I8, input.1.channels, needs)?;
        self.outcome.check(inputs, count, 1)?;
        put_images(outputs, &self.window, [height, width], input, self.outcome.dtype, count)
    }

    fn in_place(&self, inputs: &dyn Inputs) -> InPlace {
        band_in_place(self.band(inputs))
    }

    fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(band_scratch(self.band(inputs), 1))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.dtype(0) {
            Some(DType::U8) => self.run_typed::<u8>(operands),
            _ => self.run_typed::<i8>(operands),
        }
    }
}
