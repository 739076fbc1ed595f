//! A recurrent layer: RNN, GRU or LSTM, forwards, backwards or both.
//!
//! Attributes: `kind: u8` (0 RNN, 1 GRU, 2 LSTM), `direction: u8` (0 forwards, 1 backwards, 2 both), `flags: u8` (1 batch first,
//! 2 linear before reset, 4 input forget, 8 gives Y, 16 gives Y_h, 32 gives Y_c), `clip: f32` (infinity for none), and for each direction
//! the activations f (RNN), f and g (GRU), or f, g and h (LSTM), each `kind: u8, alpha: f32, beta: f32`; then, in one direction only and where it
//! is not infinity, `cell_clip: f32`, the bound of an LSTM's cell state.
//!
//! Inputs, f32 or f64, with S steps, B sequences, D directions, G gates, I inputs and H hidden elements:
//! 0: X `[S, B, I]`; 1: W `[D, G * H, I]`; 2: R `[D, G * H, H]`; 3, optional: biases of W and R `[D, 2 * G * H]`; 4, optional: steps of each
//! sequence, i32 `[B]`, taken into 0..=S; 5 and 6, optional: states before the first step `[D, B, H]`; 7, optional: peepholes
//! `[D, 3 * H]`. Only B may be the batch.
//!
//! Outputs, those that the flags ask for: Y `[S, D, B, H]`, Y_h `[D, B, H]`, Y_c `[D, B, H]`. Batch first: X `[B, S, I]`, Y `[B, S, D, H]`, states
//! `[B, D, H]`. The formulas stand at [`recurrent`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::Float;
use crate::kernels::reference::recurrent::{self, Activation, Cell, CellKind, Layout, Results, Sequences, State, Weights};
use crate::kernels::reference::unary::UnaryKind;
use crate::tensor::{DType, Shape, TensorSpec};

/// The order in which steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Reverse,
    /// Both, each with its own weights.
    Both,
}

/// Which results are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The hidden state after each step.
    pub y: bool,
    /// The hidden state after the last step.
    pub y_h: bool,
    /// The cell state after the last step.
    pub y_c: bool,
}

/// Runs a cell over sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recurrent {
    /// What the forward cell computes, or the only one; both cells differ in their activations only.
    pub cell: Cell,
    /// Activations of the backward cell, where both directions are taken.
    pub backward: [Activation; 3],
    /// The order of the steps.
    pub direction: Direction,
    /// Whether the batch stands before the steps.
    pub batch_first: bool,
    /// Which outputs there are.
    pub wanted: Wanted,
}

/// An activation that is not used.
pub const NO_ACTIVATION: Activation = Activation { kind: UnaryKind::Identity, alpha: 0.0, beta: 0.0 };

const FLAGS: u8 = 63;

fn parse_activations(reader: &mut Reader<'_>, count: usize) -> Result<[Activation; 3], BytesError> {
    let mut activations = [NO_ACTIVATION; 3];
    for slot in activations.iter_mut().take(count) {
        let kind = UnaryKind::from_code(reader.u8()?).ok_or(reader.invalid("activation"))?;
        *slot = Activation { kind, alpha: reader.f32()?, beta: reader.f32()? };
    }
    Ok(activations)
}

impl Recurrent {
    fn directions(&self) -> usize {
        if self.direction == Direction::Both { 2 } else { 1 }
    }

    fn flags(&self) -> u8 {
        let bits = [
            self.batch_first,
            self.cell.linear_before_reset,
            self.cell.input_forget,
            self.wanted.y,
            self.wanted.y_h,
            self.wanted.y_c,
        ];
        bits.iter().rev().fold(0, |flags, &bit| flags << 1 | u8::from(bit))
    }

    /// Axes of X, and of a state: where the batch is, and the lengths in order.
    fn layout(&self, x: &Shape, hidden: usize) -> Result<Layout, OpError> {
        let &[first, second, inputs] = x.factors() else {
            return Err(OpError::input(0, Problem::Rank, "three axes"));
        };
        let (rows, steps) = if self.batch_first { (first, second) } else { (second, first) };
        let layout = Layout {
            steps: steps as usize,
            rows: rows as usize,
            inputs: inputs as usize,
            hidden,
            directions: self.directions(),
            batch_first: self.batch_first,
        };
        if steps == 0 || inputs == 0 || hidden == 0 {
            return Err(OpError::input(0, Problem::Shape, "steps, inputs and hidden elements"));
        }
        if x.batch_axis().is_some_and(|axis| axis != usize::from(!self.batch_first)) {
            return Err(OpError::input(0, Problem::Batch, "the batch on the axis of the sequences"));
        }
        Ok(layout)
    }

    /// The shape of a state; batched as X is.
    fn state_shape(&self, layout: &Layout, batched: bool) -> Result<Shape, OpError> {
        let (rows, directions) = (layout.rows, layout.directions);
        Ok(match self.batch_first {
            true => Shape::new(&[rows, directions, layout.hidden], batched.then_some(0))?,
            false => Shape::new(&[directions, rows, layout.hidden], batched.then_some(1))?,
        })
    }

    fn output_shape(&self, layout: &Layout, batched: bool) -> Result<Shape, OpError> {
        let &Layout { steps, rows, hidden, directions, .. } = layout;
        Ok(match self.batch_first {
            true => Shape::new(&[rows, steps, directions, hidden], batched.then_some(0))?,
            false => Shape::new(&[steps, directions, rows, hidden], batched.then_some(2))?,
        })
    }

    fn check_weights(&self, inputs: &dyn Inputs, dtype: DType, layout: &Layout) -> Result<(), OpError> {
        let &Layout { inputs: columns, hidden, directions, .. } = layout;
        let too_large = OpError::input(1, Problem::Shape, "weights that fit in memory");
        let rows = hidden.checked_mul(self.cell.kind.gates()).ok_or(too_large)?;
        let (biases, peepholes) = (rows.checked_mul(2).ok_or(too_large)?, hidden.checked_mul(3).ok_or(too_large)?);
        inputs.fixed(1, dtype, &[directions, rows, columns], "weights [directions, gates * hidden, inputs]")?;
        inputs.fixed(2, dtype, &[directions, rows, hidden], "weights [directions, gates * hidden, hidden]")?;
        if inputs.get(3).is_some() {
            inputs.fixed(3, dtype, &[directions, biases], "biases [directions, 2 * gates * hidden]")?;
        }
        if inputs.get(7).is_some() {
            inputs.fixed(7, dtype, &[directions, peepholes], "peepholes [directions, 3 * hidden]")?;
        }
        Ok(())
    }

    fn hidden(inputs: &dyn Inputs) -> Result<usize, OpError> {
        let r = inputs.required(2)?.spec.shape;
        r.factor(2).ok_or(OpError::input(2, Problem::Rank, "three axes"))
    }

    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (x, w, r) = (operands.input(0)?, operands.slice::<F>(1)?, operands.slice::<F>(2)?);
        let hidden = operands.input(2)?.dims.at(2);
        let (rows, steps) = if self.batch_first { (0, 1) } else { (1, 0) };
        let layout = Layout {
            steps: x.dims.at(steps),
            rows: x.dims.at(rows),
            inputs: x.dims.at(2),
            hidden,
            directions: self.directions(),
            batch_first: self.batch_first,
        };
        let optional = |index| operands.optional_slice::<F>(index).map(Option::unwrap_or_default);
        let given = Sequences {
            x: operands.slice(0)?,
            lengths: operands.optional_slice(4)?.unwrap_or_default(),
            initial_h: optional(5)?,
            initial_c: optional(6)?,
        };
        let scratch = operands.scratch()?;
        let needs = OpError::output(operands.outputs(), Problem::Missing, "scratch memory for a state");
        let elements = bytemuck::try_cast_slice_mut(scratch.bytes).map_err(|_| needs)?;
        let mut state = State::new(self.cell.kind, hidden, elements).ok_or(needs)?;
        let mut outputs = [None, None, None];
        let mut next = 0;
        for (slot, wanted) in outputs.iter_mut().zip([self.wanted.y, self.wanted.y_h, self.wanted.y_c]) {
            if wanted {
                *slot = Some(operands.output(next)?);
                next = next.saturating_add(1);
            }
        }
        let [y, y_h, y_c] = &mut outputs;
        let mut results = Results { y: slots(y)?, y_h: slots(y_h)?, y_c: slots(y_c)? };
        let (bias, peepholes) = (optional(3)?, optional(7)?);
        for d in 0..layout.directions {
            let of = |values| half(values, d, layout.directions);
            let weights = Weights { w: of(w), r: of(r), bias: of(bias), peepholes: of(peepholes) };
            let backward = d > 0 || self.direction == Direction::Reverse;
            let activations = if d > 0 { self.backward } else { self.cell.activations };
            let cell = Cell { activations, ..self.cell };
            recurrent::run((&cell, &weights), &layout, (d, backward), &given, &mut state, &mut results);
        }
        Ok(())
    }
}

fn slots<'a, F: Float>(output: &'a mut Option<crate::tensor::ViewMut<'_>>) -> Result<&'a mut [F], OpError> {
    output.as_mut().map_or(Ok(Default::default()), |output| output.elements(0))
}

/// The values of direction `d`.
fn half<F>(values: &[F], d: usize, directions: usize) -> &[F] {
    let length = values.len() / directions.max(1);
    values.chunks_exact(length.max(1)).nth(d).unwrap_or_default()
}

impl Operator for Recurrent {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = match reader.u8()? {
            0 => CellKind::Rnn,
            1 => CellKind::Gru,
            2 => CellKind::Lstm,
            _ => return Err(reader.invalid("kind of the cell")),
        };
        let direction = match reader.u8()? {
            0 => Direction::Forward,
            1 => Direction::Reverse,
            2 => Direction::Both,
            _ => return Err(reader.invalid("direction")),
        };
        let flags = reader.u8()?;
        if flags & !FLAGS != 0 {
            return Err(reader.invalid("flags"));
        }
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let clip = reader.f32()?;
        if clip.is_nan() || clip < 0.0 {
            return Err(reader.invalid("clip"));
        }
        let activations = parse_activations(reader, kind.activations())?;
        let backward = match direction {
            Direction::Both => parse_activations(reader, kind.activations())?,
            _ => [NO_ACTIVATION; 3],
        };
        let cell_clip = if reader.remaining() > 0 { reader.f32()? } else { f32::INFINITY };
        if cell_clip.is_nan() || cell_clip < 0.0 {
            return Err(reader.invalid("cell clip"));
        }
        let cell = Cell { kind, linear_before_reset: flag(1), input_forget: flag(2), clip, cell_clip, activations };
        let wanted = Wanted { y: flag(3), y_h: flag(4), y_c: flag(5) };
        Ok(Self { cell, backward, direction, batch_first: flag(0), wanted })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.cell.kind as u8)?;
        writer.u8(self.direction as u8)?;
        writer.u8(self.flags())?;
        writer.f32(self.cell.clip)?;
        let count = self.cell.kind.activations();
        let backward = if self.direction == Direction::Both { count } else { 0 };
        let activations = self.cell.activations.iter().take(count).chain(self.backward.iter().take(backward));
        for activation in activations {
            writer.u8(activation.kind.code())?;
            writer.f32(activation.alpha)?;
            writer.f32(activation.beta)?;
        }
        if self.cell.cell_clip < f32::INFINITY { writer.f32(self.cell.cell_clip) } else { Ok(()) }
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(8)?;
        if self.cell.cell_clip < f32::INFINITY && self.direction == Direction::Both {
            return Err(OpError::attribute("cell_clip", "one direction"));
        }
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let layout = self.layout(&x.shape, Self::hidden(inputs)?)?;
        self.check_weights(inputs, x.dtype, &layout)?;
        let batched = x.shape.is_batched();
        let lengths = TensorSpec::new(DType::I32, Shape::new(&[layout.rows], batched.then_some(0))?);
        let state = TensorSpec::new(x.dtype, self.state_shape(&layout, batched)?);
        for (index, needed) in [(4, lengths), (5, state), (6, state)] {
            let given = inputs.get(index).map_or(needed, |given| given.spec);
            if (given.dtype, given.shape) != (needed.dtype, needed.shape) {
                let needs = if index == 4 { "int32, one for each sequence" } else { "a state for each sequence" };
                return Err(OpError::input(index, Problem::Shape, needs));
            }
        }
        let lstm = self.cell.kind == CellKind::Lstm;
        if !lstm && (self.wanted.y_c || inputs.get(6).is_some() || inputs.get(7).is_some()) {
            return Err(OpError::attribute("kind", "an LSTM for a cell state and peepholes"));
        }
        let y = TensorSpec::new(x.dtype, self.output_shape(&layout, batched)?);
        let mut next = 0;
        for (wanted, spec) in [(self.wanted.y, y), (self.wanted.y_h, state), (self.wanted.y_c, state)] {
            if wanted {
                outputs.put(next, spec)?;
                next = next.saturating_add(1);
            }
        }
        if next == 0 { Err(OpError::attribute("flags", "one output at least")) } else { Ok(()) }
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let elements = State::<f64>::elements(self.cell.kind, Self::hidden(inputs)?) as u64;
        let dtype = inputs.required(0)?.spec.dtype;
        let fixed = dtype.bytes(elements).ok_or(OpError::input(2, Problem::Shape, "weights that fit in memory"))?;
        Ok(Scratch { fixed, per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
