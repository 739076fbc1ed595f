//! Convolution of each channel of a sequence with filters that see the present and the past only.
//!
//! Inputs, f32 or f64: 0 x `[B, C, L]`, 1 weights `[C, 1, K]`, 2 optionally a bias `[C]`, 3 optionally the `K - 1` elements before x
//! `[B, C, K - 1]` (else zeros). Outputs: 0 of x's shape, 1, if there, the last `K - 1` elements of what was before and x. B may be the batch.
//!
//! Attributes: `silu: bool`. The formula stands at [`causal_conv::causal_conv`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::{Float, causal_conv};
use crate::tensor::{DType, TensorSpec};

/// Convolves with the past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CausalConv {
    /// The result y becomes `y * sigmoid(y)`.
    pub silu: bool,
}

impl CausalConv {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let lengths = [operands.input(0)?.dims.at(2), operands.input(1)?.dims.at(2)];
        let mut output = operands.output(0)?;
        let mut present = if operands.outputs() > 1 { Some(operands.output(1)?) } else { None };
        causal_conv::causal_conv::<F>(
            self.silu,
            lengths,
            (operands.slice(0)?, operands.slice(1)?),
            operands.optional_slice(2)?,
            operands.optional_slice(3)?,
            output.elements(0)?,
            present.as_mut().map(|view| view.elements(1)).transpose()?,
        );
        Ok(())
    }
}

impl Operator for CausalConv {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { silu: reader.bool("silu")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.silu)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(4)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let weights = inputs.typed(1, &[x.dtype], "the type of input 0")?.shape;
        if x.shape.rank() != 3 || x.shape.batch_axis().is_some_and(|axis| axis > 0) {
            return Err(OpError::input(0, Problem::Shape, "[B, C, L], of which B may be the batch"));
        }
        let channels = x.shape.factor(1).unwrap_or(0);
        let k = weights.factor(2).filter(|&k| k > 0).unwrap_or(1);
        inputs.fixed(1, x.dtype, &[channels, 1, k], "weights [C, 1, K]")?;
        if inputs.get(2).is_some() {
            inputs.fixed(2, x.dtype, &[channels], "a bias for each channel")?;
        }
        let state = TensorSpec::new(x.dtype, x.shape.with_axis(2, k - 1, false)?);
        if inputs.get(3).is_some() && inputs.typed(3, &[x.dtype], "the type of input 0")?.shape != state.shape {
            return Err(OpError::input(3, Problem::Shape, "[B, C, K - 1]"));
        }
        outputs.put(0, TensorSpec::new(x.dtype, x.shape))?;
        if outputs.len() > 1 { outputs.put(1, state) } else { Ok(()) }
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
