//! Turns the beginnings of sequences round: step `t` of a sequence of length `l` is step `l - 1 - t` of the input for `t < l`, and step `t` from there on.
//!
//! Attributes: `time_first: bool`. Input 0, of any type of whole bytes, has time as axis 0 and sequences as axis 1, or the other way round; time is
//! not the batch. Input 1 (i32 or i64) has the length of each sequence; one outside `0..=steps` is an error.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::reverse_sequence::{self, SequenceShape};
use crate::tensor::Shape;

/// Reverses sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReverseSequence {
    /// Time is axis 0 and sequences axis 1; the other way round otherwise.
    pub time_first: bool,
}

impl ReverseSequence {
    /// The axes of time and of sequences.
    fn axes(self) -> (usize, usize) {
        if self.time_first { (0, 1) } else { (1, 0) }
    }
}

impl Operator for ReverseSequence {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { time_first: reader.bool("time_first")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.time_first)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let (x, lengths) = (inputs.whole_bytes(0)?, inputs.indices(1)?);
        let (time, sequences) = self.axes();
        if x.shape.rank() < 2 {
            return Err(OpError::input(0, Problem::Rank, "two axes at least"));
        }
        if x.shape.is_batch(time) {
            return Err(OpError::input(0, Problem::Batch, "the batch on another axis than time"));
        }
        if Shape::of_axes([(&x.shape, sequences)].into_iter()) != Ok(lengths) {
            return Err(OpError::input(1, Problem::Shape, "a length for each sequence"));
        }
        outputs.put(0, x)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let (time, sequences) = self.axes();
        let shape = SequenceShape {
            steps: x.dims.at(time),
            sequences: x.dims.at(sequences),
            block: x.dims.inner(1).saturating_mul((x.spec.dtype.bits() / 8) as usize),
            time_first: self.time_first,
        };
        reverse_sequence::reverse_sequence(shape, operands.indices(1)?, x.bytes, operands.output(0)?.bytes)
            .map_err(|_| OpError::input(1, Problem::Value, "lengths from 0 to the number of steps"))
    }
}
