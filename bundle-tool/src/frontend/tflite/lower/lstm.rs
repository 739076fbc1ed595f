//! UNIDIRECTIONAL_SEQUENCE_LSTM, in floats and in integers.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::recurrent::{Activation, Cell, CellKind};
use ekiben_runtime::ops::integer_lstm::{Cell as Cell8, IntegerLstm};
use ekiben_runtime::ops::recurrent::{Direction, NO_ACTIVATION, Recurrent, Wanted};
use ekiben_runtime::ops::unary::UnaryKind;

use super::super::file::Operator;
use super::super::options::Options;
use super::{Lowering, Stop, TensorId, Value, factor, scale_of, symmetric};

/// Inputs of the operator.
const INPUT_WEIGHTS: [usize; 4] = [1, 2, 3, 4];
const RECURRENT_WEIGHTS: [usize; 4] = [5, 6, 7, 8];
const PEEPHOLES: std::ops::Range<usize> = 9..12;
const BIASES: [usize; 4] = [12, 13, 14, 15];
const PROJECTION: std::ops::Range<usize> = 16..18;
const STATES: [usize; 2] = [18, 19];
const NORMS: std::ops::Range<usize> = 20..24;

/// The file's gates are input, forget, cell, output; the runtime's input, output, forget, cell.
const ORDER: [usize; 4] = [0, 3, 1, 2];

const SIGMOID: Activation = Activation { kind: UnaryKind::Sigmoid, alpha: 0.0, beta: 0.0 };
const TANH: Activation = Activation { kind: UnaryKind::Tanh, alpha: 0.0, beta: 0.0 };

impl<'a> Lowering<'a> {
    pub(super) fn sequence_lstm(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Lstm { is_tanh, cell_clip, projection_clip, time_major, is_diagonal } = operator.options else {
            return Err("the options are missing".into());
        };
        let has = |mut inputs: std::ops::Range<usize>| inputs.any(|input| self.optional(operator, input).is_some());
        for (inputs, what) in [(PEEPHOLES, "peepholes"), (PROJECTION, "a projection"), (NORMS, "layer normalisation")] {
            if has(inputs) {
                return Err(format!("{what} are not translated").into());
            }
        }
        if INPUT_WEIGHTS.iter().chain(&RECURRENT_WEIGHTS).any(|&input| self.optional(operator, input).is_none()) {
            return Err("coupled input and forget gates are not translated".into());
        }
        if !is_tanh || is_diagonal || projection_clip != 0.0 {
            return Err(
                "an activation other than TANH, diagonal weights or a clipped projection is not translated".into()
            );
        }
        let input = self.tensor(operator, 0)?;
        match self.graph.spec(input).dtype {
            DType::F32 => {}
            DType::I8 => return self.integer_lstm(operator, input, time_major, cell_clip),
            dtype => return Err(format!("{dtype} is not translated").into()),
        }
        let shape = self.graph.shape(input);
        let &[first, second, columns] = shape.factors() else {
            return Err("the input does not have three axes".into());
        };
        let [rows, steps, columns] =
            (if time_major { [second, first, columns] } else { [first, second, columns] }).map(|n| n as usize);
        let hidden = self.stated(operator, RECURRENT_WEIGHTS[0])?.shape.first().copied().unwrap_or(0);
        let w = self.gates(operator, INPUT_WEIGHTS, hidden, columns)?;
        let r = self.gates(operator, RECURRENT_WEIGHTS, hidden, hidden)?;
        let mut bias = self.gates(operator, BIASES, hidden, 1)?;
        bias.resize(8 * hidden, 0.0);
        let w = self.list(operator, DType::F32, &[1, 4 * hidden, columns], &w)?;
        let r = self.list(operator, DType::F32, &[1, 4 * hidden, hidden], &r)?;
        let bias = self.list(operator, DType::F32, &[1, 8 * hidden], &bias)?;
        let state_shape = if time_major { [1, rows, hidden] } else { [rows, 1, hidden] };
        let [h, c] = [self.lstm_state(operator, 0, &state_shape)?, self.lstm_state(operator, 1, &state_shape)?];
        let op = Recurrent {
            cell: Cell {
                kind: CellKind::Lstm,
                linear_before_reset: false,
                input_forget: false,
                clip: f32::INFINITY,
                cell_clip: if cell_clip > 0.0 { cell_clip } else { f32::INFINITY },
                activations: [SIGMOID, TANH, TANH],
            },
            backward: [NO_ACTIVATION; 3],
            direction: Direction::Forward,
            batch_first: !time_major,
            wanted: Wanted { y: true, y_h: true, y_c: true },
        };
        let inputs = [Some(input), Some(w), Some(r), Some(bias), None, Some(h), Some(c)];
        let outputs = self.graph.add_node(self.file.node_name(operator), op, &inputs, &[])?;
        let &[y, y_h, y_c] = outputs.as_slice() else { return Err("the operator has no results".into()) };
        for (&state, next) in STATES.iter().zip([y_h, y_c]) {
            let next = self.reshaped(operator, next, &[rows, hidden])?;
            self.keep(operator, state, next)?;
        }
        let lengths = if time_major { [steps, rows, hidden] } else { [rows, steps, hidden] };
        self.reshaped(operator, y, &lengths).map(Value::Tensor)
    }

    /// The state that the run before left, with the axes that the layer takes.
    fn lstm_state(&mut self, operator: &'a Operator, index: usize, lengths: &[usize]) -> Result<TensorId, Stop> {
        let input = STATES[index];
        if !self.stated(operator, input)?.is_variable {
            return Err("its state is no variable tensor".into());
        }
        let state = self.tensor(operator, input)?;
        if self.graph.spec(state).dtype != DType::F32 {
            return Err("a state that is not float32".into());
        }
        self.reshaped(operator, state, lengths)
    }

    /// Constants of all gates, one after the other in the runtime's order; zeros for what is absent.
    fn gates(
        &mut self,
        operator: &'a Operator,
        inputs: [usize; 4],
        rows: usize,
        columns: usize,
    ) -> Result<Vec<f32>, Stop> {
        let count = rows.checked_mul(columns).filter(|&count| count > 0).ok_or("the layer has no hidden elements")?;
        let mut gates = Vec::new();
        for gate in ORDER {
            let Some(index) = self.optional(operator, inputs[gate]) else {
                gates.resize(gates.len() + count, 0.0);
                continue;
            };
            let stated = &self.file.tensors[index];
            let data = stated.data.as_ref().filter(|_| stated.dtype == Some(DType::F32));
            let data = data.ok_or("weights that are computed, or not float32, are not translated")?;
            if data.len() != count * size_of::<f32>() {
                return Err(format!("{} does not have {rows} x {columns} elements", stated.place()).into());
            }
            self.charge(data.len())?;
            gates.extend(data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        }
        Ok(gates)
    }
    /// In integers: gates are Q3, the cell state has a power of two as its scale.
    fn integer_lstm(
        &mut self,
        operator: &'a Operator,
        input: TensorId,
        time_major: bool,
        cell_clip: f32,
    ) -> Result<Value, Stop> {
        const GATE_SCALE: f32 = 1.0 / 4096.0;
        let [hidden_state, cell_state] = STATES;
        let (source, state) = (self.input_scale(operator, 0)?, self.input_scale(operator, hidden_state)?);
        let stated = operator.intermediates.get(4).map(|&index| scale_of(&self.file.tensors[index])).transpose()?;
        if self.output_scale(operator)? != state || stated.is_some_and(|stated| stated != state) {
            return Err(
                "the result, the hidden state and what is stated of it have different scales or zero points".into()
            );
        }
        let cell_scale = self.input_scale(operator, cell_state)?;
        symmetric([cell_scale])?;
        let cell_bits = (1..=4u8).find(|&bits| cell_scale.scale == 2f32.powi(i32::from(bits) - 15));
        let cell_bits = cell_bits.ok_or("the cell state's scale is not a power of two from 2^-14 to 2^-11")?;
        let zeros = [source.zero_point, state.zero_point];
        let (mut multipliers, mut shifts) = (Vec::new(), Vec::new());
        let mut sides = Vec::new();
        for (side, (inputs, scale)) in
            [(INPUT_WEIGHTS, source.scale), (RECURRENT_WEIGHTS, state.scale)].into_iter().enumerate()
        {
            let (mut weights, mut biases) = (Vec::new(), Vec::new());
            for (gate, &input) in inputs.iter().enumerate() {
                let factor = factor(f64::from(self.input_scale(operator, input)?.scale * scale / GATE_SCALE))?;
                multipliers.push(factor.multiplier);
                shifts.push(factor.shift);
                let bias = if side == 0 { self.optional(operator, BIASES[gate]) } else { None };
                self.integer_gate(operator, input, bias, zeros[side], (&mut weights, &mut biases))?;
            }
            sides.push((weights, biases));
        }
        let hidden = self.stated(operator, RECURRENT_WEIGHTS[0])?.shape.first().copied().unwrap_or(0);
        let mut inputs = vec![Some(input)];
        for (weights, _) in &sides {
            let columns = weights.len() / (4 * hidden).max(1);
            inputs.push(Some(self.list(operator, DType::I8, &[4 * hidden, columns], weights)?));
        }
        for (_, biases) in &sides {
            inputs.push(Some(self.list(operator, DType::I32, &[4 * hidden], biases)?));
        }
        for list in [multipliers, shifts] {
            inputs.push(Some(self.list(operator, DType::I32, &[8], &list)?));
        }
        for input in STATES {
            if !self.stated(operator, input)?.is_variable {
                return Err("its state is no variable tensor".into());
            }
            inputs.push(Some(self.tensor(operator, input)?));
        }
        let cell = Cell8 {
            cell_bits,
            cell_clip: (cell_clip / cell_scale.scale).clamp(0.0, i16::MAX.into()) as i16,
            hidden: factor(f64::from(2f32.powi(-15) / state.scale * 2f32.powi(-15)))?,
            hidden_zero: i8::try_from(state.zero_point).map_err(|_| "a zero point outside the type")?,
        };
        let op = IntegerLstm { time_major, cell };
        let outputs = self.graph.add_node(self.file.node_name(operator), op, &inputs, &[])?;
        let &[y, y_h, y_c] = outputs.as_slice() else { return Err("the operator has no results".into()) };
        self.keep(operator, hidden_state, y_h)?;
        self.keep(operator, cell_state, y_c)?;
        Ok(Value::Tensor(y))
    }

    /// Appends a gate's int8 weights, and its biases less what the zero point of the values adds to each product.
    fn integer_gate(
        &mut self,
        operator: &'a Operator,
        input: usize,
        bias: Option<usize>,
        zero: i32,
        (weights, biases): (&mut Vec<i8>, &mut Vec<i32>),
    ) -> Result<(), Stop> {
        let stated = self.stated(operator, input)?;
        let data = stated.data.as_ref().filter(|_| stated.dtype == Some(DType::I8));
        let data = data.ok_or("weights that are computed, or not int8, are not translated")?;
        let &[_, columns] = stated.shape.as_slice() else { return Err("weights that are not a matrix".into()) };
        if columns == 0 {
            return Err("weights without columns".into());
        }
        self.charge(data.len())?;
        let bias = match bias.map(|index| &self.file.tensors[index]) {
            None => None,
            Some(tensor) => {
                let data = tensor.data.as_ref().filter(|_| tensor.dtype == Some(DType::I32));
                Some(data.ok_or("biases that are computed, or not int32, are not translated")?.as_chunks::<4>().0)
            }
        };
        for (row, values) in data.chunks_exact(columns).enumerate() {
            let sum = values.iter().fold(0i32, |sum, &value| sum.wrapping_add((value as i8).into()));
            let bias = bias.and_then(|bias| bias.get(row)).map_or(0, |&bytes| i32::from_le_bytes(bytes));
            biases.push(bias.wrapping_sub(sum.wrapping_mul(zero)));
            weights.extend(values.iter().map(|&value| value as i8));
        }
        Ok(())
    }
}
