//! The loader's checks: after them a run stays inside its memory and ends, whatever the numbers are.

use super::header::SectionKind;
use super::plans::{ApiRecord, Plans, StepRecord};
use super::tensors::{Place, TensorRecord};
use super::{Artifact, Extent, LoadError, MEMORY_ALIGNMENT, StateRecord, golden};
use crate::ops::{InPlace, Inputs, OpError, OperandSpec, Outputs, Problem};
use crate::tensor::{DType, TensorSpec};

/// Checks everything that is used as an index, an offset, a length or a loop bound.
pub(super) fn check(artifact: &Artifact<'_>) -> Result<(), LoadError> {
    artifact.strings().check()?;
    check_tensors(artifact)?;
    check_plans(artifact)?;
    golden::check(artifact)
}

fn check_tensors(artifact: &Artifact<'_>) -> Result<(), LoadError> {
    let error = |index, problem| LoadError::Record { kind: SectionKind::Tensors, index, problem };
    let tensors = artifact.tensors();
    if !artifact.section(SectionKind::Tensors).len().is_multiple_of(super::tensors::RECORD_BYTES) {
        return Err(error(tensors.len(), "the record is cut off"));
    }
    let strings = artifact.strings();
    for index in 0..tensors.len() {
        let record = tensors.get(index).ok_or(error(index, "a field has an undefined value"))?;
        if record.spec.bytes().is_none() {
            return Err(error(index, "the shape has too many elements"));
        }
        let aligned = |offset: u64| offset.is_multiple_of(MEMORY_ALIGNMENT as u64);
        match record.place {
            Place::Arena { offset, per_row } => {
                if !aligned(offset) || !aligned(per_row.into()) {
                    return Err(error(index, "the offset is not a multiple of 16"));
                }
            }
            Place::Weights { offset } | Place::Tables { offset } => {
                if !aligned(offset) || record.spec.shape.is_batched() || artifact.constant(&record).is_none() {
                    return Err(error(index, "the constant lies outside its section"));
                }
            }
        }
        if record.name.is_some_and(|name| strings.get(name).is_none()) {
            return Err(error(index, "the name is not there"));
        }
        if let Some(table) = record.spec.table {
            check_categories(artifact, &record, table).map_err(|problem| error(index, problem))?;
        }
    }
    Ok(())
}

/// The values of a constant category tensor are indices.
fn check_categories(artifact: &Artifact<'_>, record: &TensorRecord, table: u32) -> Result<(), &'static str> {
    let length = artifact.strings().list_len(table).ok_or("the category table is not there")?;
    let Some(values) = artifact.constant(record) else { return Ok(()) };
    let index = |value: &[u8]| crate::bytes::u32_at(value, 0).unwrap_or(0);
    let valid = |value| value < length || value == DType::UNKNOWN_CATEGORY;
    if values.chunks_exact(4).all(|value| valid(index(value))) {
        Ok(())
    } else {
        Err("a category is outside its table")
    }
}

fn check_plans(artifact: &Artifact<'_>) -> Result<(), LoadError> {
    let error = |index, problem| LoadError::Record { kind: SectionKind::Plans, index, problem };
    let plans = Plans::parse(artifact.section(SectionKind::Plans));
    let plans = plans.ok_or(error(0, "the counts do not fit the section"))?;
    let tensors = artifact.tensors();
    for index in 0..plans.operand_count() {
        let tensor = plans.operand(index).ok_or(error(index, "the operand list is cut off"))?;
        if tensor.is_some_and(|tensor| tensor as usize >= tensors.len()) {
            return Err(error(index, "the operand is not a tensor"));
        }
    }
    let mut cursor = Cursor::default();
    // Every operator's shape rule may walk its tables, which steps can share.
    let mut table_bytes = (artifact.bytes().len() as u64).saturating_mul(TABLE_READS);
    for index in 0..plans.api_count() {
        let api = plans.api(index).ok_or(error(index, "a field of the API has an undefined value"))?;
        cursor.pass_api(&api).ok_or(error(index, "the API does not begin where the one before it ends"))?;
        check_api(artifact, &plans, &api).map_err(|problem| error(index, problem))?;
        for step in (cursor.steps..).take(api.steps as usize) {
            let record = plans.step(step).ok_or(error(step, "the step is not there, or a field is undefined"))?;
            cursor.pass_step(&record).ok_or(error(step, "the step does not begin where the one before it ends"))?;
            let tables = StepSpecs { artifact, plans: &plans, record: &record }.table_bytes();
            table_bytes = table_bytes.checked_sub(tables).ok_or(error(step, "the steps share a table too often"))?;
            check_step(artifact, &plans, &api, &record, step)?;
        }
    }
    let end = (cursor.steps, cursor.operands, cursor.attributes);
    if end == (plans.step_count(), plans.operand_count(), plans.attribute_bytes()) {
        Ok(())
    } else {
        Err(error(plans.api_count(), "steps, operands or attributes are left over"))
    }
}

/// How many times an artifact's own size of tables its steps may read: keeps the check linear in the structure.
const TABLE_READS: u64 = 64;

/// Where the next API or step begins. Plans have one layout only: everything follows in order, nothing is shared or left over.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    steps: usize,
    api_steps: usize,
    operands: usize,
    attributes: usize,
}

impl Cursor {
    fn pass_api(&mut self, api: &ApiRecord) -> Option<()> {
        let begins = (api.first_step as usize, api.first_operand as usize) == (self.api_steps, self.operands);
        self.steps = self.api_steps;
        self.api_steps = self.api_steps.checked_add(api.steps as usize)?;
        self.operands = self.operands.checked_add(api.operands())?;
        begins.then_some(())
    }

    fn pass_step(&mut self, step: &StepRecord) -> Option<()> {
        let begins = (step.first_operand as usize, step.first_attribute as usize) == (self.operands, self.attributes);
        self.steps = self.steps.checked_add(1)?;
        self.operands = self.operands.checked_add(step.operands())?;
        self.attributes = self.attributes.checked_add(step.attribute_bytes.into())?;
        begins.then_some(())
    }
}

fn check_api(artifact: &Artifact<'_>, plans: &Plans<'_>, api: &ApiRecord) -> Result<(), &'static str> {
    if artifact.strings().get(api.name).is_none() {
        return Err("the API's name is not there");
    }
    let operands = usize::from(api.inputs) + usize::from(api.outputs);
    for position in 0..operands {
        let index = (api.first_operand as usize).checked_add(position).ok_or("the API's operands are not there")?;
        let tensor = plans.operand(index).flatten().ok_or("an input or output is not there")?;
        let record = artifact.tensors().get(tensor as usize).ok_or("an input or output is not a tensor")?;
        let is_input = position < api.inputs.into();
        match span(&record) {
            None if is_input => return Err("an input is a constant"),
            None => {}
            Some(span) if !span.end.never_exceeds(api.arena) => {
                return Err("an input or output lies outside the arena");
            }
            Some(_) if api.fixed_rows != 0 && record.spec.shape.is_batched() => {
                return Err("an input or output of an API with fixed rows depends on the batch");
            }
            Some(span) if states(artifact, api).any(|(_, state)| !state.is_disjoint(&span)) => {
                return Err("an input or output overlaps a state");
            }
            Some(_) => {}
        }
    }
    (0..api.states as usize).try_for_each(|index| check_state(artifact, api, index))
}

/// The places of an API's states, which [`check_state`] has not accepted yet.
fn states<'a>(artifact: &'a Artifact<'a>, api: &'a ApiRecord) -> impl Iterator<Item = (usize, Span)> + 'a {
    let place = |index: usize| Some((index, span(&artifact.api_state(api, index)?.state)?));
    (0..api.states as usize).filter_map(place)
}

/// A state has a place of its own in the arena, for any number of runs on one fixed number of rows; what it is taken from and starts
/// from have its type and shape.
fn check_state(artifact: &Artifact<'_>, api: &ApiRecord, index: usize) -> Result<(), &'static str> {
    let StateRecord { state, next, initial } = artifact.api_state(api, index).ok_or("a state is not there")?;
    let place = span(&state).ok_or("a state is a constant")?;
    if api.fixed_rows == 0 || state.spec.shape.is_batched() {
        return Err("a state depends on the batch");
    }
    if !place.end.never_exceeds(api.arena) {
        return Err("a state lies outside the arena");
    }
    if states(artifact, api).any(|(other, span)| other != index && !span.is_disjoint(&place)) {
        return Err("a state overlaps another");
    }
    let fits = |other: &TensorRecord| (other.spec.dtype, other.spec.shape) == (state.spec.dtype, state.spec.shape);
    match span(&next) {
        _ if !fits(&next) => return Err("a state is taken from a tensor of another type or shape"),
        Some(span) if !span.end.never_exceeds(api.arena) => {
            return Err("what a state is taken from lies outside the arena");
        }
        Some(span)
            if states(artifact, api)
                .any(|(other, state)| !state.is_disjoint(&span) && (other != index || state != span)) =>
        {
            return Err("what a state is taken from overlaps a state");
        }
        _ => {}
    }
    if initial.is_some_and(|initial| !fits(&initial) || artifact.constant(&initial).is_none()) {
        return Err("what a state starts from is no constant of its type and shape");
    }
    Ok(())
}

/// The bytes of the arena that a tensor takes, for every batch size.
#[derive(PartialEq)]
struct Span {
    start: Extent,
    end: Extent,
}

impl Span {
    /// An empty tensor meets nobody.
    fn is_disjoint(&self, other: &Self) -> bool {
        let is_empty = |span: &Self| span.start == span.end;
        is_empty(self) || is_empty(other) || self.end.never_exceeds(other.start) || other.end.never_exceeds(self.start)
    }
}

/// `None` for constants, and for sizes that overflow, which `check_tensors` has refused.
fn span(record: &TensorRecord) -> Option<Span> {
    let Place::Arena { offset, per_row } = record.place else { return None };
    let start = Extent { fixed: offset, per_row: per_row.into() };
    let bytes = record.spec.bytes()?;
    let size = if record.spec.shape.is_batched() {
        Extent { fixed: 0, per_row: bytes }
    } else {
        Extent { fixed: bytes, per_row: 0 }
    };
    Some(Span { start, end: start.plus(size).unwrap_or(Extent { fixed: u64::MAX, per_row: u64::MAX }) })
}

fn check_step(
    artifact: &Artifact<'_>,
    plans: &Plans<'_>,
    api: &ApiRecord,
    record: &StepRecord,
    step: usize,
) -> Result<(), LoadError> {
    let error = |problem| LoadError::Record { kind: SectionKind::Plans, index: step, problem };
    let entry = artifact.kernels.get(record.tag).ok_or(LoadError::NoKernel {
        step,
        tag: record.tag,
        name: crate::ops::Op::name_of(record.tag),
    })?;
    let attributes = plans.attributes(record).ok_or(error("the attributes are not there"))?;
    let operands = StepSpecs { artifact, plans, record };
    let mut outputs = DeclaredOutputs { specs: &operands, stated: 0 };
    let operator = |error| LoadError::Operator { step, operator: entry.name, error };
    let memory = (entry.check)(attributes, &operands, &mut outputs, record.in_place).map_err(operator)?;
    if outputs.stated != record.outputs.into() {
        return Err(operator(OpError::output(outputs.stated, Problem::Extra, "no output here")));
    }
    check_memory(artifact, plans, api, record, step, memory.in_place)?;
    check_scratch(&operands, memory.scratch.into()).ok_or(LoadError::Memory { step, operand: record.operands() })
}

/// Every output and the scratch lie in the arena, apart from each other, from the inputs and from the API's states, for every batch size. In a step marked
/// so, one input at least has exactly the place of an output, as `allowed`; no other input overlaps that output.
fn check_memory(
    artifact: &Artifact<'_>,
    plans: &Plans<'_>,
    api: &ApiRecord,
    record: &StepRecord,
    step: usize,
    allowed: InPlace,
) -> Result<(), LoadError> {
    let tensors = artifact.tensors();
    let first = record.first_operand as usize;
    let inputs = usize::from(record.inputs);
    let mut in_place = false;
    let is_allowed = |input: usize, output: usize| {
        let pair = |&(i, o): &(u8, u8)| (usize::from(i), usize::from(o)) == (input, output);
        allowed.iter().any(pair)
    };
    let at = |operand: usize| -> Result<Option<TensorRecord>, LoadError> {
        let missing =
            LoadError::Record { kind: SectionKind::Plans, index: step, problem: "the operands are not there" };
        let tensor = first.checked_add(operand).and_then(|index| plans.operand(index)).ok_or(missing)?;
        Ok(tensor.and_then(|tensor| tensors.get(tensor as usize)))
    };
    for operand in 0..record.operands() {
        let memory = LoadError::Memory { step, operand };
        let record = at(operand)?;
        let span = record.as_ref().and_then(span);
        if span.as_ref().is_some_and(|span| !span.end.never_exceeds(api.arena)) {
            return Err(memory);
        }
        let fixed_batch = api.fixed_rows != 0 && record.is_some_and(|record| record.spec.shape.is_batched());
        if fixed_batch {
            return Err(memory);
        }
        if operand < inputs {
            continue;
        }
        let span = span.ok_or(memory)?;
        if states(artifact, api).any(|(_, state)| !state.is_disjoint(&span)) {
            return Err(memory);
        }
        let mut holds_input = false;
        for other in 0..operand {
            let Some(place) = at(other)?.as_ref().and_then(self::span) else { continue };
            if span.is_disjoint(&place) {
                continue;
            }
            if holds_input || other >= inputs || span != place || !is_allowed(other, operand - inputs) {
                return Err(memory);
            }
            (holds_input, in_place) = (true, true);
        }
    }
    if in_place == record.in_place { Ok(()) } else { Err(LoadError::Memory { step, operand: 0 }) }
}

fn check_scratch(operands: &StepSpecs<'_>, needed: Extent) -> Option<()> {
    let has = operands.record.scratch;
    if needed == Extent::default() {
        return (!has).then_some(());
    }
    let record = operands.record;
    let position = usize::from(record.inputs) + usize::from(record.outputs);
    let spec = has.then(|| operands.operand(position)).flatten()?.spec;
    let bytes = spec.bytes()?;
    let given = match spec.shape.is_batched() {
        true => Extent { fixed: 0, per_row: bytes },
        false => Extent { fixed: bytes, per_row: 0 },
    };
    (spec.dtype == DType::U8 && needed.never_exceeds(given)).then_some(())
}

/// The operands of a step as the shape rule sees them.
struct StepSpecs<'a> {
    artifact: &'a Artifact<'a>,
    plans: &'a Plans<'a>,
    record: &'a StepRecord,
}

impl StepSpecs<'_> {
    fn operand(&self, position: usize) -> Option<OperandSpec<'_>> {
        let index = (self.record.first_operand as usize).checked_add(position)?;
        let record = self.artifact.tensors().get(self.plans.operand(index)?? as usize)?;
        let constant = match record.place {
            Place::Tables { .. } => self.artifact.constant(&record),
            Place::Weights { .. } | Place::Arena { .. } => None,
        };
        Some(OperandSpec { spec: record.spec, constant })
    }
}

impl StepSpecs<'_> {
    /// Bytes of the tables among the step's operands.
    fn table_bytes(&self) -> u64 {
        let constants = (0..self.record.operands()).filter_map(|position| self.operand(position)?.constant);
        constants.map(|constant| constant.len() as u64).fold(0, u64::saturating_add)
    }
}

impl Inputs for StepSpecs<'_> {
    fn len(&self) -> usize {
        self.record.inputs.into()
    }

    fn get(&self, index: usize) -> Option<OperandSpec<'_>> {
        (index < self.len()).then(|| self.operand(index)).flatten()
    }
}

/// Compares what the operator states with what the records declare.
struct DeclaredOutputs<'a> {
    specs: &'a StepSpecs<'a>,
    stated: usize,
}

impl Outputs for DeclaredOutputs<'_> {
    fn len(&self) -> usize {
        self.specs.record.outputs.into()
    }

    fn declared(&self, index: usize) -> Option<TensorSpec> {
        let position = (index < self.len()).then_some(index)?.checked_add(self.specs.record.inputs.into())?;
        Some(self.specs.operand(position)?.spec)
    }

    fn put(&mut self, index: usize, spec: TensorSpec) -> Result<(), OpError> {
        let declared = self.declared(index).ok_or(OpError::output(index, Problem::Missing, "an output here"))?;
        if (declared.dtype, declared.shape, declared.table) != (spec.dtype, spec.shape, spec.table) {
            return Err(OpError::output(index, Problem::Declared, "the type and shape that the operator makes"));
        }
        self.stated = self.stated.max(index.saturating_add(1));
        Ok(())
    }
}
