//! An LSTM in integers over sequences: int8 input, weights and hidden state, int16 cell state.
//!
//! Inputs, with B sequences of S steps, I inputs and H hidden elements: 0: int8 `[B, S, I]`, or `[S, B, I]` where `time_major`; 1 and 2: int8
//! weights `[4 * H, I]` and `[4 * H, H]`, gates input, forget, cell, output; 3 and 4: their int32 biases `[4 * H]`; 5 and 6: int32 multipliers
//! and shifts `[8]`; 7 and 8: the hidden state int8 and the cell state int16 before the first step, `[B, H]`. B is fixed. Outputs: the
//! hidden state after each step, with the input's axes; both states after the last step. Attributes: `time_major: u8`, `cell_bits: u8` (1 to
//! 4), `cell_clip: i16` (0 for none), the hidden state's factor `multiplier, shift: i32`, `hidden_zero: i8`. The formulas stand at
//! [`integer_lstm`].

use super::fixed_point::{emit_factor, parse_factor};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::integer_lstm::Cell;
use crate::kernels::reference::integer_lstm::{self, Weights};
use crate::tensor::{DType, Shape, TensorSpec};

/// Runs an integer LSTM over sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerLstm {
    /// The steps are the first axis.
    pub time_major: bool,
    /// What a cell computes.
    pub cell: Cell,
}

impl Operator for IntegerLstm {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (time_major, cell_bits, cell_clip) = (reader.bool("time major")?, reader.u8()?, reader.i16()?);
        if !(1..=4).contains(&cell_bits) || cell_clip < 0 {
            return Err(reader.invalid("bits or bound of the cell state"));
        }
        let hidden = parse_factor(reader)?;
        Ok(Self { time_major, cell: Cell { cell_bits, cell_clip, hidden, hidden_zero: reader.i8()? } })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.time_major)?;
        writer.u8(self.cell.cell_bits)?;
        writer.i16(self.cell.cell_clip)?;
        emit_factor(self.cell.hidden, writer)?;
        writer.i8(self.cell.hidden_zero)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        const NEEDS: &str = "int8 sequences of three axes that do not depend on the batch";
        inputs.at_most(9)?;
        let x = inputs.typed(0, &[DType::I8], NEEDS)?.shape;
        let (&[first, second, columns], false) = (x.factors(), x.is_batched()) else {
            return Err(OpError::input(0, Problem::Rank, NEEDS));
        };
        let (first, second, columns) = (first as usize, second as usize, columns as usize);
        let rows = if self.time_major { second } else { first };
        let state = inputs.typed(7, &[DType::I8], "the hidden state, int8")?.shape;
        let hidden = state.factor(1).filter(|&hidden| hidden > 0);
        let hidden = hidden.ok_or(OpError::input(7, Problem::Shape, "the hidden state [B, H]"))?;
        let gates = hidden.checked_mul(4).ok_or(OpError::input(7, Problem::Shape, "a smaller hidden state"))?;
        if first == 0 || second == 0 || columns == 0 {
            return Err(OpError::input(0, Problem::Shape, NEEDS));
        }
        inputs.fixed(1, DType::I8, &[gates, columns], "weights [4 * H, I]")?;
        inputs.fixed(2, DType::I8, &[gates, hidden], "weights [4 * H, H]")?;
        for index in [3, 4] {
            inputs.fixed(index, DType::I32, &[gates], "a bias for each row of weights")?;
        }
        for index in [5, 6] {
            inputs.fixed(index, DType::I32, &[8], "eight multipliers and shifts")?;
        }
        inputs.fixed(7, DType::I8, &[rows, hidden], "the hidden state [B, H]")?;
        inputs.fixed(8, DType::I16, &[rows, hidden], "the cell state [B, H], int16")?;
        outputs.put(0, TensorSpec::new(DType::I8, Shape::fixed(&[first, second, hidden])?))?;
        outputs.put(1, TensorSpec::new(DType::I8, Shape::fixed(&[rows, hidden])?))?;
        outputs.put(2, TensorSpec::new(DType::I16, Shape::fixed(&[rows, hidden])?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (x, state) = (operands.input(0)?.dims, operands.input(7)?.dims);
        let (rows, hidden, columns) = (state.at(0), state.at(1), x.at(2));
        let steps = if self.time_major { x.at(0) } else { x.at(1) };
        let weights = Weights {
            input: operands.slice(1)?,
            recurrent: operands.slice(2)?,
            biases: [operands.slice(3)?, operands.slice(4)?],
            factors: [operands.slice(5)?, operands.slice(6)?],
        };
        let (input, cells) = (operands.slice::<i8>(0)?, operands.slice::<i16>(8)?);
        let (mut y, mut h, mut c) = (operands.output(0)?, operands.output(1)?, operands.output(2)?);
        let (y, h, c) = (y.elements::<i8>(0)?, h.elements::<i8>(1)?, c.elements::<i16>(2)?);
        h.copy_from_slice(operands.slice(7)?);
        c.copy_from_slice(cells);
        let states = h.chunks_exact_mut(hidden.max(1)).zip(c.chunks_exact_mut(hidden.max(1)));
        for (row, (h, c)) in states.enumerate() {
            for step in 0..steps {
                let place = if self.time_major { step * rows + row } else { row * steps + step };
                let x = input.get(place * columns..place * columns + columns).unwrap_or_default();
                let Some(out) = y.get_mut(place * hidden..place * hidden + hidden) else { continue };
                integer_lstm::step(&self.cell, &weights, x, h, c, out);
                h.copy_from_slice(out);
            }
        }
        Ok(())
    }
}
