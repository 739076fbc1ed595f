//! Einstein sums: each operand becomes a matrix (or many) over the labels that it shares with the next one, so that a product is a batched
//! matrix product; labels that nothing else needs are summed first.

use std::collections::BTreeMap;

use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::tensor::MAX_RANK;
use ekiben_runtime::{DType, Shape};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Count;
use super::indexing::{Part, take};
use super::shape::shape_of_counts;
use crate::graph::TensorId;

/// A letter, or an axis of the ellipsis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// An axis of the ellipsis, by its distance from the ellipsis's end, negative, so that the order is that of the axes.
    Ellipsis(i32),
    Letter(char),
}

/// A tensor whose axes are labelled.
struct Operand {
    tensor: TensorId,
    labels: Vec<Label>,
}

/// The labels of a term for a tensor with `hidden` axes under the ellipsis.
fn labels(term: &str, hidden: usize) -> Result<Vec<Label>, Refusal> {
    let mut labels = Vec::new();
    let mut rest = term;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            if labels.iter().any(|label| matches!(label, Label::Ellipsis(_))) {
                return Err("attribute equation: a term has two ellipses".into());
            }
            labels.extend((1..=hidden as i32).rev().map(|back| Label::Ellipsis(-back)));
            rest = after;
        } else if letter.is_ascii_alphabetic() {
            labels.push(Label::Letter(letter));
            rest = &rest[1..];
        } else {
            return Err(Refusal(format!("attribute equation: {letter:?} is not a letter")));
        }
    }
    Ok(labels)
}

/// An equation for tensors of these ranks: each operand's labels and the result's.
fn parse(equation: &str, ranks: &[usize]) -> Result<(Vec<Vec<Label>>, Vec<Label>), Refusal> {
    let equation: String = equation.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != ranks.len() {
        return Err(Refusal(format!("attribute equation has {} terms for {} inputs", terms.len(), ranks.len())));
    }
    let mut operands = Vec::new();
    let mut widest = 0;
    for (term, &rank) in terms.iter().zip(ranks) {
        let letters = term.chars().filter(char::is_ascii_alphabetic).count();
        let hidden = rank.checked_sub(letters).filter(|&hidden| hidden == 0 || term.contains("..."));
        let hidden =
            hidden.ok_or_else(|| Refusal(format!("attribute equation: {term:?} is no term for {rank} axes")))?;
        widest = widest.max(hidden);
        operands.push(labels(term, hidden)?);
    }
    let output = match right {
        Some(right) => labels(right, widest)?,
        None => {
            let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
            operands.iter().flatten().for_each(|&label| *counts.entry(label).or_default() += 1);
            let kept = |(&label, &count): (&Label, &usize)| matches!(label, Label::Ellipsis(_)) || count == 1;
            counts.iter().filter(|&entry| kept(entry)).map(|(&label, _)| label).collect()
        }
    };
    for (position, label) in output.iter().enumerate() {
        if output[..position].contains(label) || !operands.iter().flatten().any(|other| other == label) {
            return Err("attribute equation: the result's labels must be different ones of the inputs".into());
        }
    }
    Ok((operands, output))
}

impl Operand {
    fn count(&self, call: &Call<'_>, label: Label) -> Count {
        let axis = self.labels.iter().position(|&other| other == label);
        axis.map_or(1.into(), |axis| Count::of_axis(&call.shape(self.tensor), axis))
    }

    fn has(&self, label: Label) -> bool {
        self.labels.contains(&label)
    }

    /// Takes the diagonal of axes with the same label.
    fn diagonal(&mut self, call: &mut Call<'_>) -> Result<(), Refusal> {
        while let Some((first, second)) = self.repeated() {
            let shape = call.shape(self.tensor);
            let (length, other) = (Count::of_axis(&shape, first), Count::of_axis(&shape, second));
            let length = length.number().filter(|_| length == other).and_then(|length| usize::try_from(length).ok());
            let length = length.ok_or("a label stands for axes of different lengths, or for the batch twice")?;
            let rest: Vec<usize> = (0..shape.rank()).filter(|&axis| axis != first && axis != second).collect();
            let order: Vec<usize> = rest.iter().copied().chain([first, second]).collect();
            let moved = call.transpose(self.tensor, &order)?;
            let mut counts: Vec<Count> = rest.iter().map(|&axis| Count::of_axis(&shape, axis)).collect();
            counts.push((length as i64).checked_mul(length as i64).ok_or("an axis is too long")?.into());
            let flat = call.reshape(moved, shape_of_counts(&counts)?)?;
            let mut parts = Part::whole(&call.shape(flat));
            let last = parts.last_mut().ok_or("an axis is missing")?;
            *last = Part { start: 0, step: length as i64 + 1, length: length as i64 };
            self.tensor = take(call, flat, &parts)?;
            self.labels = rest.iter().chain([&first]).map(|&axis| self.labels[axis]).collect();
        }
        Ok(())
    }

    fn repeated(&self) -> Option<(usize, usize)> {
        let place = |&second: &usize| self.labels[..second].contains(&self.labels[second]);
        let second = (0..self.labels.len()).find(place)?;
        Some((self.labels.iter().position(|&label| label == self.labels[second])?, second))
    }

    /// Removes axes of length 1 whose label is longer in another operand: they are broadcast.
    fn squeeze(&mut self, call: &mut Call<'_>, lengths: &BTreeMap<Label, Count>) -> Result<(), Refusal> {
        let shape = call.shape(self.tensor);
        let one = Count::from(1);
        let kept =
            |axis: &usize| Count::of_axis(&shape, *axis) != one || lengths.get(&self.labels[*axis]) == Some(&one);
        let kept: Vec<usize> = (0..shape.rank()).filter(kept).collect();
        let counts: Vec<Count> = kept.iter().map(|&axis| Count::of_axis(&shape, axis)).collect();
        self.tensor = call.reshape(self.tensor, shape_of_counts(&counts)?)?;
        self.labels = kept.iter().map(|&axis| self.labels[axis]).collect();
        Ok(())
    }

    /// Sums the axes whose labels are not `needed`.
    fn sum(&mut self, call: &mut Call<'_>, needed: impl Fn(Label) -> bool) -> Result<(), Refusal> {
        let summed = |&(_, &label): &(usize, &Label)| !needed(label);
        let axes = self.labels.iter().enumerate().filter(summed).fold(0u8, |axes, (axis, _)| axes | 1 << axis);
        if axes != 0 {
            self.tensor = call.add(Reduce { kind: ReduceKind::Sum, axes, keep: false }, &[self.tensor])?;
            self.labels.retain(|&label| needed(label));
        }
        Ok(())
    }

    /// The tensor with an axis for each group of labels, in their order.
    fn grouped(&self, call: &mut Call<'_>, groups: &[&[Label]]) -> Result<TensorId, Refusal> {
        let place = |label: &Label| self.labels.iter().position(|other| other == label);
        let order: Vec<usize> = groups.iter().flat_map(|group| group.iter().filter_map(place)).collect();
        let moved = call.transpose(self.tensor, &order)?;
        let product = |group: &&[Label]| {
            group.iter().map(|&label| self.count(call, label)).try_fold(Count::from(1), Count::multiply)
        };
        let counts = groups.iter().map(product).collect::<Option<Vec<_>>>();
        let shape = shape_of_counts(&counts.ok_or("two labels depend on the batch")?)?;
        call.reshape(moved, shape)
    }

    /// True when the tensor depends on the batch under one of these labels.
    fn is_batched(&self, call: &Call<'_>, labels: &[Label]) -> bool {
        labels.iter().any(|&label| self.count(call, label).number().is_none())
    }
}

/// Multiplies two operands and sums over the labels that both have and that are not `needed`.
fn contract(call: &mut Call<'_>, a: Operand, b: Operand, needed: impl Fn(Label) -> bool) -> Result<Operand, Refusal> {
    let (shared, free_a): (Vec<Label>, Vec<Label>) = a.labels.iter().partition(|&&label| b.has(label));
    let free_b: Vec<Label> = b.labels.iter().copied().filter(|&label| !a.has(label)).collect();
    if b.is_batched(call, &free_b) {
        return contract(call, b, a, needed);
    }
    let (pairs, summed): (Vec<Label>, Vec<Label>) = shared.iter().partition(|&&label| needed(label));
    let matrices = matches!(call.dtype(a.tensor), DType::F32 | DType::F64);
    if summed.is_empty() || !matrices {
        return multiply(call, &a, &b, [&pairs, &free_a, &free_b, &summed]);
    }
    // The batch cannot be a row of paired matrices: it is an axis before the pairs.
    let batched = |label: &&Label| !pairs.is_empty() && a.count(call, **label).number().is_none();
    let leading: Vec<Label> = free_a.iter().filter(batched).copied().collect();
    let rows: Vec<Label> = free_a.iter().copied().filter(|label| !leading.contains(label)).collect();
    let lengths = Lengths::of(call, &[&a, &b]);
    let product = if pairs.is_empty() {
        let (left, right) = (a.grouped(call, &[&rows, &summed])?, b.grouped(call, &[&summed, &free_b])?);
        if call.shape(right).is_batched() {
            return Err("it sums over the batch".into());
        }
        call.add(MatMul { transpose_b: false }, &[left, right])?
    } else {
        let left = a.grouped(call, &[&leading, &pairs, &rows, &summed])?;
        let right = b.grouped(call, &[&[], &pairs, &summed, &free_b])?;
        call.add(BatchMatMul, &[left, right])?
    };
    let labels = [leading, pairs, rows, free_b].concat();
    let tensor = call.reshape(product, lengths.shape(&labels)?)?;
    Ok(Operand { tensor, labels })
}

/// Multiplies element by element, over all labels, and sums those that only `summed` lists.
fn multiply(
    call: &mut Call<'_>,
    a: &Operand,
    b: &Operand,
    [pairs, free_a, free_b, summed]: [&[Label]; 4],
) -> Result<Operand, Refusal> {
    let labels = [pairs, free_a, free_b, summed].concat();
    if labels.len() > MAX_RANK {
        return Err(Refusal(format!("a product has {} axes, {MAX_RANK} are supported", labels.len())));
    }
    let groups: Vec<&[Label]> = labels.iter().map(std::slice::from_ref).collect();
    let (left, right) = (a.grouped(call, &groups)?, b.grouped(call, &groups)?);
    let tensor = call.add(Binary { kind: BinaryKind::Mul }, &[left, right])?;
    let mut product = Operand { tensor, labels };
    product.sum(call, |label| !summed.contains(&label))?;
    Ok(product)
}

/// Lengths of labels.
struct Lengths(BTreeMap<Label, Count>);

impl Lengths {
    /// The lengths in some operands: the one that is not 1 where they differ.
    fn of(call: &Call<'_>, operands: &[&Operand]) -> Self {
        let mut lengths: BTreeMap<Label, Count> = BTreeMap::new();
        for operand in operands {
            for &label in &operand.labels {
                let count = operand.count(call, label);
                let length = lengths.entry(label).or_insert(count);
                if *length == Count::from(1) {
                    *length = count;
                }
            }
        }
        Self(lengths)
    }

    fn shape(&self, labels: &[Label]) -> Result<Shape, Refusal> {
        let counts: Vec<Count> = labels.iter().filter_map(|label| self.0.get(label).copied()).collect();
        shape_of_counts(&counts)
    }
}

pub(super) fn einsum(call: &mut Call<'_>) -> Lowered {
    let equation = call.attributes.string("equation")?.ok_or("attribute equation is missing")?;
    let tensors: Vec<TensorId> = (0..call.inputs.len()).map(|index| call.tensor(index)).collect::<Result<_, _>>()?;
    let dtype = call.dtype(*tensors.first().ok_or("it has no inputs")?);
    let ranks: Vec<usize> = tensors.iter().map(|&tensor| call.shape(tensor).rank()).collect();
    let (terms, output) = parse(equation, &ranks)?;
    let mut operands = Vec::new();
    for (tensor, labels) in tensors.into_iter().zip(terms) {
        let halves = matches!(dtype, DType::F16 | DType::BF16);
        let tensor = if halves { call.add(Cast { to: DType::F32 }, &[tensor])? } else { tensor };
        let mut operand = Operand { tensor, labels };
        operand.diagonal(call)?;
        operands.push(operand);
    }
    let lengths = Lengths::of(call, &operands.iter().collect::<Vec<_>>());
    for operand in &mut operands {
        operand.squeeze(call, &lengths.0)?;
        if operand.labels.iter().any(|&label| lengths.0.get(&label) != Some(&operand.count(call, label))) {
            return Err("a label stands for different lengths".into());
        }
    }
    let needed = |label: Label, rest: &[Operand]| output.contains(&label) || rest.iter().any(|other| other.has(label));
    let mut operands = operands.into_iter();
    let mut result = operands.next().ok_or("it has no inputs")?;
    result.sum(call, |label| needed(label, operands.as_slice()))?;
    while let Some(mut next) = operands.next() {
        let rest = operands.as_slice();
        next.sum(call, |label| result.has(label) || needed(label, rest))?;
        result = contract(call, result, next, |label| needed(label, rest))?;
    }
    let groups: Vec<&[Label]> = output.iter().map(std::slice::from_ref).collect();
    let tensor = result.grouped(call, &groups)?;
    let tensor = super::layout::expand_to(call, tensor, lengths.shape(&output)?)?;
    if call.dtype(tensor) == dtype {
        return one(tensor);
    }
    one(call.add(Cast { to: dtype }, &[tensor])?)
}
