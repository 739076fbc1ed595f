//! Integers to numbers, as ONNX's DequantizeLinear: `scale * (x - zero)`.
//!
//! Inputs: integers (i4 to u16, or i32), scales and optional zero points as in [`super::linear_quantize`]. Attributes: `dtype: u8`, the
//! result's (f32, f16 or bf16), `axis: u8`, `block: u32`. The kernel is [`linear::dequantize`].

use super::linear::{FLOATS, check_linear, linear as scales_of, parse_dtype};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::linear;
use crate::tensor::DType;

/// Turns quantized integers back into numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearDequantize {
    /// Type of the result.
    pub dtype: DType,
    /// Axis along which scales differ, where they do.
    pub axis: u8,
    /// Elements along the axis that share a scale; 0 where all do, or none.
    pub block: u32,
}

/// Types that are dequantized.
const INTEGERS: [DType; 7] =
    [DType::I4, DType::U4, DType::I8, DType::U8, DType::I16, DType::U16, DType::I32];

impl Operator for LinearDequantize {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { dtype: parse_dtype(reader, &FLOATS, "dtype")?, axis: reader.u8()?, block: reader.u32()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.dtype.code())?;
        writer.u8(self.axis)?;
        writer.u32(self.block)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = inputs.typed(0, &INTEGERS, "integers of 4, 8 or 16 bits, or int32")?;
        check_linear(inputs, &input.shape, (self.axis, self.block), input.dtype)?;
        outputs.put(0, input.with_dtype(self.dtype))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let scales = scales_of(operands, &input.dims, (self.axis, self.block))?;
        let typed = (input.spec.dtype, input.bytes);
        let output = operands.output(0)?;
        linear::dequantize(input.dims.elements(), typed, &scales, self.dtype, output.bytes);
        Ok(())
    }
}
