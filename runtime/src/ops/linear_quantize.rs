//! Numbers to integers, as ONNX's QuantizeLinear: `clip(round(x / scale) + zero)`, halves to even.
//!
//! Inputs: numbers (f32, f16, bf16 or i32), scales (f32, f16 or bf16), and optional zero points of the result's type. There is one scale
//! for all; or one for each index of `axis`; or, where `block` is not 0, one for each `block` elements along `axis`, in a tensor of
//! the input's shape but for that axis. Attributes: `dtype: u8`, the result's (i4 to u16), `precision: u8`, the float type that
//! the quotient is rounded to before it is rounded to an integer, `axis: u8`, `block: u32`. The kernel is [`linear::quantize`].

use super::linear::{FLOATS, STEPS, check_linear, linear as scales_of, parse_dtype};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::linear;
use crate::tensor::DType;

/// Quantizes numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearQuantize {
    /// Type of the result: an integer of 4, 8 or 16 bits.
    pub dtype: DType,
    /// Type of the quotient.
    pub precision: DType,
    /// Axis along which scales differ, where they do.
    pub axis: u8,
    /// Elements along the axis that share a scale; 0 where all do, or none.
    pub block: u32,
}

impl Operator for LinearQuantize {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            dtype: parse_dtype(reader, &STEPS, "dtype")?,
            precision: parse_dtype(reader, &FLOATS, "precision")?,
            axis: reader.u8()?,
            block: reader.u32()?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.dtype.code())?;
        writer.u8(self.precision.code())?;
        writer.u8(self.axis)?;
        writer.u32(self.block)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let types = [DType::F32, DType::F16, DType::BF16, DType::I32];
        let input = inputs.typed(0, &types, "float32, float16, bfloat16 or int32")?;
        if !STEPS.contains(&self.dtype) {
            return Err(OpError::attribute("dtype", "an integer type of 4, 8 or 16 bits"));
        }
        check_linear(inputs, &input.shape, (self.axis, self.block), self.dtype)?;
        outputs.put(0, input.with_dtype(self.dtype))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let scales = scales_of(operands, &input.dims, (self.axis, self.block))?;
        let typed = (input.spec.dtype, input.bytes);
        let output = operands.output(0)?;
        linear::quantize(input.dims.elements(), typed, &scales, self.precision, self.dtype, output.bytes);
        Ok(())
    }
}
