//! Recurrent layers: one cell that runs over the steps of each sequence.
//!
//! With x the input of a step, h and c the state before it, and `a(M, v)` the sum over the columns of M from the first to the last, the
//! value of a gate before its activation is `a(W, x) + a(R, h) + (wb + rb)`, then `+ p * c` where there are peepholes, then clipped.
//!
//! RNN: `h' = f(gate)`.
//! GRU, gates z, r, h: `h~ = g(a(W, x) + a(R, r * h) + (wb + rb))`, or with `linear_before_reset`
//! `h~ = g(a(W, x) + wb + r * (a(R, h) + rb))`; `h' = (1 - z) * h~ + z * h`.
//! LSTM, gates i, o, f, c, peepholes i, o, f: `c' = f * c + i * g(gate c)`, `h' = o * h(c')`; the output gate's peephole sees c'. With
//! `input_forget`, `f = 1 - i`.
//!
//! The cell state is clipped with `cell_clip` only, as TensorFlow Lite does; ONNX Runtime clips it nowhere. As there, a sequence without steps leaves zeros, also in the final state.

use super::float::Float;
use super::unary::{UnaryKind, clip, unary};

/// What a cell computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// One gate.
    Rnn,
    /// Gates z, r, h.
    Gru,
    /// Gates i, o, f, c, and a cell state.
    Lstm,
}

impl CellKind {
    /// Number of gates.
    pub const fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// Number of activation functions.
    pub const fn activations(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 2,
            Self::Lstm => 3,
        }
    }
}

/// A function with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// The function.
    pub kind: UnaryKind,
    /// Its first parameter.
    pub alpha: f32,
    /// Its second parameter.
    pub beta: f32,
}

impl Activation {
    /// `values[i] = function(values[i])`.
    fn apply<F: Float>(&self, values: &mut [F]) {
        unary(self.kind, F::from_f64(self.alpha.into()), F::from_f64(self.beta.into()), values);
    }
}

/// The arithmetic of one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// What it computes.
    pub kind: CellKind,
    /// GRU: the reset gate scales after the product.
    pub linear_before_reset: bool,
    /// LSTM: the forget gate is 1 minus the input gate.
    pub input_forget: bool,
    /// Gates are kept in -clip..=clip before their activation; infinity leaves them as they are.
    pub clip: f32,
    /// LSTM: the cell state is kept in -cell_clip..=cell_clip; infinity leaves it as it is.
    pub cell_clip: f32,
    /// f, g, h; as many as [`CellKind::activations`] count.
    pub activations: [Activation; 3],
}

/// The weights of one direction: rows of all gates.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, F> {
    /// `gates * hidden` rows of `inputs`.
    pub w: &'a [F],
    /// `gates * hidden` rows of `hidden`.
    pub r: &'a [F],
    /// Biases of `w`, then of `r`; empty for zeros.
    pub bias: &'a [F],
    /// i, o, f of an LSTM; empty for zeros.
    pub peepholes: &'a [F],
}

/// Working memory of one step.
#[derive(Debug)]
pub struct State<'a, F> {
    h: &'a mut [F],
    c: &'a mut [F],
    gates: &'a mut [F],
    mixed: &'a mut [F],
}

impl<'a, F: Float> State<'a, F> {
    /// Elements that [`State::new`] needs.
    pub const fn elements(kind: CellKind, hidden: usize) -> usize {
        // h, c, gates, mixed.
        hidden.saturating_mul(kind.gates().saturating_add(3))
    }

    /// Working memory in `elements`; `None` where there are too few.
    pub fn new(kind: CellKind, hidden: usize, elements: &'a mut [F]) -> Option<Self> {
        let (h, rest) = elements.split_at_mut_checked(hidden)?;
        let (c, rest) = rest.split_at_mut_checked(hidden)?;
        let (mixed, rest) = rest.split_at_mut_checked(hidden)?;
        let gates = rest.get_mut(..hidden.checked_mul(kind.gates())?)?;
        Some(Self { h, c, gates, mixed })
    }
}

/// `out[i] = out[i] + sum over k of rows[i][k] * x[k]`, the sum running upwards from zero.
fn add_products<F: Float>(rows: &[F], x: &[F], out: &mut [F]) {
    for (out, row) in out.iter_mut().zip(rows.chunks_exact(x.len().max(1))) {
        *out = *out + row.iter().zip(x).fold(F::ZERO, |sum, (&weight, &x)| sum + weight * x);
    }
}

/// `out[i] = out[i] + a[i] * b[i]`.
fn add_scaled<F: Float>(a: &[F], b: &[F], out: &mut [F]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = *out + a * b;
    }
}

/// Gate number `gate`.
fn gate<F>(gates: &mut [F], hidden: usize, gate: usize) -> &mut [F] {
    gates.chunks_exact_mut(hidden.max(1)).nth(gate).unwrap_or_default()
}

/// Part number `index` of `parts` equal ones.
fn part<F>(values: &[F], index: usize, parts: usize) -> &[F] {
    let length = values.len() / parts.max(1);
    values.chunks_exact(length.max(1)).nth(index).unwrap_or_default()
}

impl Cell {
    fn activate<F: Float>(&self, function: usize, values: &mut [F]) {
        if self.clip < f32::INFINITY {
            let bound = F::from_f64(self.clip.into());
            values.iter_mut().for_each(|value| *value = clip(*value, -bound, bound));
        }
        if let Some(activation) = self.activations.get(function) {
            activation.apply(values);
        }
    }

    /// One step of one sequence: `state.h` and `state.c` become those after it.
    pub fn step<F: Float>(&self, weights: &Weights<'_, F>, x: &[F], state: &mut State<'_, F>) {
        state.gates.fill(F::ZERO);
        add_products(weights.w, x, state.gates);
        match self.kind {
            CellKind::Rnn => self.rnn(weights, state),
            CellKind::Gru => self.gru(weights, state),
            CellKind::Lstm => self.lstm(weights, state),
        }
    }

    fn rnn<F: Float>(&self, weights: &Weights<'_, F>, state: &mut State<'_, F>) {
        add_products(weights.r, state.h, state.gates);
        add_biases(weights.bias, state.gates);
        self.activate(0, state.gates);
        state.h.copy_from_slice(state.gates);
    }

    fn gru<F: Float>(&self, weights: &Weights<'_, F>, state: &mut State<'_, F>) {
        let hidden = state.h.len();
        let (open, last) = state.gates.split_at_mut(hidden.saturating_mul(2).min(state.gates.len()));
        let rows = weights.r.len() / 3;
        let (open_rows, last_rows) = weights.r.split_at(rows.saturating_mul(2));
        add_products(open_rows, state.h, open);
        let biases = |side: usize, gate: usize| part(weights.bias, side.saturating_mul(3).saturating_add(gate), 6);
        for index in 0..2 {
            let values = gate(open, hidden, index);
            add_sums(biases(0, index), biases(1, index), values);
            self.activate(0, values);
        }
        let (z, r) = open.split_at(hidden.min(open.len()));
        if self.linear_before_reset {
            state.mixed.fill(F::ZERO);
            add_products(last_rows, state.h, state.mixed);
            add(biases(1, 2), state.mixed);
            add(biases(0, 2), last);
            add_scaled(r, state.mixed, last);
        } else {
            for ((mixed, &r), &h) in state.mixed.iter_mut().zip(r).zip(state.h.iter()) {
                *mixed = r * h;
            }
            add_products(last_rows, state.mixed, last);
            add_sums(biases(0, 2), biases(1, 2), last);
        }
        self.activate(1, last);
        for ((h, &z), &new) in state.h.iter_mut().zip(z).zip(last.iter()) {
            *h = (F::ONE - z) * new + z * *h;
        }
    }

    fn lstm<F: Float>(&self, weights: &Weights<'_, F>, state: &mut State<'_, F>) {
        add_products(weights.r, state.h, state.gates);
        add_biases(weights.bias, state.gates);
        let hidden = state.h.len();
        let (first, last) = state.gates.split_at_mut(hidden.saturating_mul(2).min(state.gates.len()));
        let (i, o) = first.split_at_mut(hidden.min(first.len()));
        let (f, new) = last.split_at_mut(hidden.min(last.len()));
        add_scaled(part(weights.peepholes, 0, 3), state.c, i);
        self.activate(0, i);
        if self.input_forget {
            f.iter_mut().zip(i.iter()).for_each(|(f, &i)| *f = F::ONE - i);
        } else {
            add_scaled(part(weights.peepholes, 2, 3), state.c, f);
            self.activate(0, f);
        }
        self.activate(1, new);
        for (((c, &f), &i), &new) in state.c.iter_mut().zip(f.iter()).zip(i.iter()).zip(new.iter()) {
            *c = f * *c + i * new;
        }
        if self.cell_clip < f32::INFINITY {
            let bound = F::from_f64(self.cell_clip.into());
            state.c.iter_mut().for_each(|c| *c = clip(*c, -bound, bound));
        }
        add_scaled(part(weights.peepholes, 1, 3), state.c, o);
        self.activate(0, o);
        state.mixed.copy_from_slice(state.c);
        if let Some(activation) = self.activations.get(2) {
            activation.apply(state.mixed);
        }
        for ((h, &o), &c) in state.h.iter_mut().zip(o.iter()).zip(state.mixed.iter()) {
            *h = o * c;
        }
    }
}

/// `out[i] = out[i] + a[i]`.
fn add<F: Float>(a: &[F], out: &mut [F]) {
    out.iter_mut().zip(a).for_each(|(out, &a)| *out = *out + a);
}

/// `out[i] = out[i] + (a[i] + b[i])`.
fn add_sums<F: Float>(a: &[F], b: &[F], out: &mut [F]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = *out + (a + b);
    }
}

/// Adds both halves of the biases of all gates.
fn add_biases<F: Float>(bias: &[F], out: &mut [F]) {
    add_sums(part(bias, 0, 2), part(bias, 1, 2), out);
}

/// Lengths of a layer and the order of its axes.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Steps of a sequence.
    pub steps: usize,
    /// Sequences.
    pub rows: usize,
    /// Elements of an input.
    pub inputs: usize,
    /// Elements of the state.
    pub hidden: usize,
    /// 1 or 2.
    pub directions: usize,
    /// True for `[rows, steps, inputs]`, `[rows, steps, directions, hidden]`, `[rows, directions, hidden]`; false for
    /// `[steps, rows, inputs]`, `[steps, directions, rows, hidden]`, `[directions, rows, hidden]`.
    pub batch_first: bool,
}

impl Layout {
    /// Number of the input of step `t` of sequence `b`.
    fn input(&self, t: usize, b: usize) -> usize {
        let (outer, length, inner) = if self.batch_first { (b, self.steps, t) } else { (t, self.rows, b) };
        outer.saturating_mul(length).saturating_add(inner)
    }

    /// Number of the state of direction `d` of sequence `b`.
    fn state(&self, d: usize, b: usize) -> usize {
        let (outer, length, inner) = if self.batch_first { (b, self.directions, d) } else { (d, self.rows, b) };
        outer.saturating_mul(length).saturating_add(inner)
    }

    /// Number of the result of step `t`.
    fn output(&self, t: usize, d: usize, b: usize) -> usize {
        match self.batch_first {
            true => self.input(t, b).saturating_mul(self.directions).saturating_add(d),
            false => t.saturating_mul(self.directions).saturating_add(d).saturating_mul(self.rows).saturating_add(b),
        }
    }
}

/// What a layer reads besides its weights; empty slices for what is absent.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a, F> {
    /// The inputs.
    pub x: &'a [F],
    /// Steps of each sequence, taken into 0..=steps; all when empty.
    pub lengths: &'a [i32],
    /// The hidden state before the first step; zeros when empty.
    pub initial_h: &'a [F],
    /// The cell state before the first step; zeros when empty.
    pub initial_c: &'a [F],
}

/// What a layer writes; empty slices for what is not wanted.
#[derive(Debug, Default)]
pub struct Results<'a, F> {
    /// The hidden state after each step; zeros after a sequence's end.
    pub y: &'a mut [F],
    /// The hidden state after the last step.
    pub y_h: &'a mut [F],
    /// The cell state after the last step.
    pub y_c: &'a mut [F],
}

/// Element number `number` of `length` values each.
fn nth<F>(values: &[F], number: usize, length: usize) -> Option<&[F]> {
    let start = number.checked_mul(length)?;
    values.get(start..start.checked_add(length)?)
}

fn put<F: Float>(values: &mut [F], number: usize, element: Option<&[F]>, length: usize) {
    let start = number.saturating_mul(length);
    if let Some(slots) = values.get_mut(start..start.saturating_add(length)) {
        match element {
            Some(element) => slots.iter_mut().zip(element).for_each(|(slot, &value)| *slot = value),
            None => slots.fill(F::ZERO),
        }
    }
}

fn load<F: Float>(state: &mut [F], initial: Option<&[F]>) {
    let length = state.len();
    put(state, 0, initial, length);
}

/// Runs direction `d` of a layer over all its sequences, backwards when `reverse`.
pub fn run<F: Float>(
    (cell, weights): (&Cell, &Weights<'_, F>),
    layout: &Layout,
    (d, reverse): (usize, bool),
    given: &Sequences<'_, F>,
    state: &mut State<'_, F>,
    results: &mut Results<'_, F>,
) {
    let hidden = layout.hidden;
    for b in 0..layout.rows {
        let number = layout.state(d, b);
        load(state.h, nth(given.initial_h, number, hidden));
        load(state.c, nth(given.initial_c, number, hidden));
        let steps = given.lengths.get(b).map_or(layout.steps, |&length| (length.max(0) as usize).min(layout.steps));
        for step in 0..layout.steps {
            let t = if reverse && step < steps { steps - 1 - step } else { step };
            if step >= steps {
                put(results.y, layout.output(t, d, b), None, hidden);
                continue;
            }
            let x = nth(given.x, layout.input(t, b), layout.inputs).unwrap_or_default();
            cell.step(weights, x, state);
            put(results.y, layout.output(t, d, b), Some(state.h), hidden);
        }
        put(results.y_h, number, Some(&*state.h).filter(|_| steps > 0), hidden);
        put(results.y_c, number, Some(&*state.c).filter(|_| steps > 0), hidden);
    }
}
