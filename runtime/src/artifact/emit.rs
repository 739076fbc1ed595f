//! Writes artifacts: the counterpart of the parsers beside it, for the compiler and for tests.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::golden::{GoldenInput, VectorHead};
use super::header::{Digest, ENTRY_BYTES, FIXED_BYTES, FORMAT_VERSION, Header, MAGIC, SectionKind, section_start};
use super::plans::{ABSENT, API_BYTES, ApiRecord, COUNTS_BYTES, STEP_BYTES, StepRecord};
use super::tensors::{RECORD_BYTES, TensorRecord};
use super::{Extent, LoadError};
use crate::bytes::{BytesError, Writer};
use crate::kernels::reference::perfect_hash::build;
use crate::ops::{MAX_ATTRIBUTE_BYTES, Op};

/// Why an artifact cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// A count or an offset exceeds its field.
    TooLarge(&'static str),
    /// A record exceeds its size.
    Bytes(BytesError),
    /// The bytes written do not parse.
    Header(LoadError),
}

impl From<BytesError> for EmitError {
    fn from(error: BytesError) -> Self {
        Self::Bytes(error)
    }
}

impl core::fmt::Display for EmitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLarge(what) => write!(f, "too many {what} for the format"),
            Self::Bytes(error) => error.fmt(f),
            Self::Header(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EmitError {}

/// Strings and lists of strings in the making; equal ones are stored once.
#[derive(Clone, Debug, Default)]
pub struct StringTable {
    strings: Vec<String>,
    index: BTreeMap<String, u32>,
    lists: Vec<(u32, u32)>,
    list_index: BTreeMap<Vec<String>, u32>,
}

impl StringTable {
    /// Index of `string`, added if it is new.
    pub fn string(&mut self, string: &str) -> u32 {
        if let Some(&index) = self.index.get(string) {
            return index;
        }
        let index = self.strings.len() as u32;
        self.strings.push(string.to_string());
        self.index.insert(string.to_string(), index);
        index
    }

    /// Index of the list of `items`, added if it is new.
    pub fn list(&mut self, items: &[String]) -> u32 {
        if let Some(&index) = self.list_index.get(items) {
            return index;
        }
        // The items of a list follow each other, so they are added even when equal strings exist.
        let first = self.strings.len() as u32;
        for item in items {
            self.strings.push(item.clone());
        }
        let index = self.lists.len() as u32;
        self.lists.push((first, items.len() as u32));
        self.list_index.insert(items.to_vec(), index);
        index
    }

    /// The perfect hashes of the lists that `wanted` names, where there are such; see [`super::lookups`].
    fn emit_lookups(&self, wanted: &BTreeSet<u32>) -> Vec<u8> {
        let (mut records, mut words): (Vec<[u32; 6]>, Vec<u32>) = (Vec::new(), Vec::new());
        for &list in wanted {
            let Some(&(first, count)) = self.lists.get(list as usize) else { continue };
            let items = self.strings.iter().skip(first as usize).take(count as usize);
            let Some(hash) = build(&items.map(|item| item.as_bytes()).collect::<Vec<_>>()) else { continue };
            let displacement = words.len() as u32;
            words.extend(&hash.displacements);
            let slot = words.len() as u32;
            words.extend(&hash.slots);
            let (displacements, slots) = (hash.displacements.len() as u32, hash.slots.len() as u32);
            records.push([list, hash.seed, displacement, displacements, slot, slots]);
        }
        if records.is_empty() {
            return Vec::new();
        }
        let count = [records.len() as u32];
        let all = count.iter().chain(records.iter().flatten()).chain(&words);
        all.flat_map(|word| word.to_le_bytes()).collect()
    }

    fn emit(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((self.strings.len() as u32).to_le_bytes());
        bytes.extend((self.lists.len() as u32).to_le_bytes());
        let mut offset = 0u32;
        for string in &self.strings {
            bytes.extend(offset.to_le_bytes());
            bytes.extend((string.len() as u32).to_le_bytes());
            offset = offset.saturating_add(string.len() as u32);
        }
        for (first, count) in &self.lists {
            bytes.extend(first.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        for string in &self.strings {
            bytes.extend(string.as_bytes());
        }
        bytes
    }
}

/// One step in the making. Operands are indices of tensor records.
#[derive(Clone, Debug, PartialEq)]
pub struct StepParts {
    /// Operator with its attributes.
    pub op: Op,
    /// Inputs; `None` for an absent optional one.
    pub inputs: Vec<Option<u32>>,
    /// Outputs.
    pub outputs: Vec<u32>,
    /// Scratch tensor of type u8, where the operator needs one.
    pub scratch: Option<u32>,
    /// True when inputs have the places of outputs.
    pub in_place: bool,
}

/// One API in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiParts {
    /// String index of the name.
    pub name: u32,
    /// Input tensors.
    pub inputs: Vec<u32>,
    /// Output tensors.
    pub outputs: Vec<u32>,
    /// Rows that a run takes; 0 for any number.
    pub fixed_rows: u32,
    /// Size of the arena.
    pub arena: Extent,
    /// Steps in the order of their execution.
    pub steps: Vec<StepParts>,
    /// What a run leaves for the next one.
    pub states: Vec<StateParts>,
}

/// One state in the making. Operands are indices of tensor records of one type and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct StateParts {
    /// The tensor that holds it, which no step writes.
    pub state: u32,
    /// The tensor that it is taken from after a run.
    pub next: u32,
    /// The constant that it starts from; `None` for zero.
    pub initial: Option<u32>,
}

/// A golden vector in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenVector {
    /// API, source, rows and tolerance.
    pub head: VectorHead,
    /// Inputs.
    pub inputs: Vec<GoldenValues>,
    /// Expected outputs.
    pub outputs: Vec<Vec<u8>>,
}

/// A golden vector's input in the making.
#[derive(Clone, Debug, PartialEq)]
pub enum GoldenValues {
    /// Stored elements.
    Stored(Vec<u8>),
    /// Seed, low and high of [`super::golden::fill`].
    Seeded(u64, f64, f64),
}

/// Everything that an artifact holds.
#[derive(Clone, Debug, Default)]
pub struct ArtifactParts {
    /// The manifest's CBOR; may be empty.
    pub manifest: Vec<u8>,
    /// Tensor records.
    pub tensors: Vec<TensorRecord>,
    /// APIs.
    pub apis: Vec<ApiParts>,
    /// The weights section.
    pub weights: Vec<u8>,
    /// The tables section.
    pub tables: Vec<u8>,
    /// Strings and lists.
    pub strings: StringTable,
    /// Golden vectors.
    pub golden: Vec<GoldenVector>,
}

/// Writes an artifact. The same parts give the same bytes.
///
/// # Errors
/// [`EmitError`] when a count exceeds its field. The result is not checked further: parse it.
pub fn emit(parts: &ArtifactParts) -> Result<Vec<u8>, EmitError> {
    let tensors = emit_tensors(&parts.tensors)?;
    let plans = emit_plans(&parts.apis)?;
    let strings = parts.strings.emit();
    let golden = emit_golden(&parts.golden)?;
    // What an API reads as categories is looked up while data is read.
    let inputs = parts.apis.iter().flat_map(|api| &api.inputs);
    let tables = inputs.filter_map(|&input| parts.tensors.get(input as usize)?.spec.table).collect();
    let lookups = parts.strings.emit_lookups(&tables);
    let sections: [(SectionKind, &[u8]); 8] = [
        (SectionKind::Manifest, &parts.manifest),
        (SectionKind::Tensors, &tensors),
        (SectionKind::Plans, &plans),
        (SectionKind::Weights, &parts.weights),
        (SectionKind::Tables, &parts.tables),
        (SectionKind::Strings, &strings),
        (SectionKind::Golden, &golden),
        (SectionKind::Lookups, &lookups),
    ];
    assemble(&sections)
}

/// Joins sections, in the order of their kinds, into an artifact with right digests. Empty sections are left out.
///
/// # Errors
/// [`EmitError`] when the sections' total length overflows.
pub fn assemble(sections: &[(SectionKind, &[u8])]) -> Result<Vec<u8>, EmitError> {
    let present: Vec<_> = sections.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let table_end = FIXED_BYTES + present.len() * ENTRY_BYTES;
    let mut table = Vec::new();
    let mut end = table_end;
    for (kind, bytes) in &present {
        let start = section_start(end).ok_or(EmitError::TooLarge("bytes"))?;
        table.extend(kind.code().to_le_bytes());
        table.extend(0u32.to_le_bytes());
        table.extend((start as u64).to_le_bytes());
        table.extend((bytes.len() as u64).to_le_bytes());
        end = start.checked_add(bytes.len()).ok_or(EmitError::TooLarge("bytes"))?;
    }
    let mut out = Vec::with_capacity(end);
    out.extend(MAGIC);
    out.extend(FORMAT_VERSION.to_le_bytes());
    out.extend((present.len() as u32).to_le_bytes());
    out.extend((end as u64).to_le_bytes());
    out.extend([0; 8 + 64]);
    out.extend(table);
    for (_, bytes) in &present {
        out.resize(section_start(out.len()).ok_or(EmitError::TooLarge("bytes"))?, 0);
        out.extend(*bytes);
    }
    seal(&mut out)?;
    Ok(out)
}

/// Writes the digests of what stands in `bytes` into its header.
///
/// # Errors
/// [`EmitError::Header`] when `bytes` has no readable header.
pub fn seal(bytes: &mut [u8]) -> Result<(), EmitError> {
    let header = Header::parse(bytes).map_err(EmitError::Header)?;
    let structure = header.compute(Digest::Structure, bytes);
    let numbers = header.compute(Digest::Numbers, bytes);
    for (start, digest) in [(32, structure), (64, numbers)] {
        if let Some(slot) = bytes.get_mut(start..start + 32) {
            slot.copy_from_slice(&digest);
        }
    }
    Ok(())
}

/// Appends a record of `N` bytes at most, as `write` fills it.
fn record<const N: usize>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), BytesError>,
) -> Result<usize, EmitError> {
    let mut bytes = [0; N];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer)?;
    let length = writer.position();
    out.extend(bytes.iter().take(length));
    Ok(length)
}

fn emit_tensors(tensors: &[TensorRecord]) -> Result<Vec<u8>, EmitError> {
    let mut out = Vec::with_capacity(tensors.len() * RECORD_BYTES);
    for tensor in tensors {
        record::<RECORD_BYTES>(&mut out, |writer| tensor.emit(writer))?;
    }
    Ok(out)
}

fn count<T: TryFrom<usize>>(value: usize, what: &'static str) -> Result<T, EmitError> {
    T::try_from(value).map_err(|_| EmitError::TooLarge(what))
}

fn emit_plans(apis: &[ApiParts]) -> Result<Vec<u8>, EmitError> {
    let (mut api_bytes, mut step_bytes, mut attributes) = (vec![], vec![], vec![]);
    let mut operands: Vec<u32> = vec![];
    let mut step_count = 0usize;
    for api in apis {
        let record_of_api = ApiRecord {
            name: api.name,
            first_step: count(step_count, "steps")?,
            steps: count(api.steps.len(), "steps")?,
            first_operand: count(operands.len(), "operands")?,
            inputs: count(api.inputs.len(), "inputs")?,
            outputs: count(api.outputs.len(), "outputs")?,
            fixed_rows: api.fixed_rows,
            arena: api.arena,
            states: count(api.states.len(), "states")?,
        };
        record::<API_BYTES>(&mut api_bytes, |writer| record_of_api.emit(writer))?;
        operands.extend(api.inputs.iter().chain(&api.outputs));
        operands.extend(api.states.iter().flat_map(|s| [s.state, s.next, s.initial.unwrap_or(ABSENT)]));
        for step in &api.steps {
            let first_attribute = count(attributes.len(), "attributes")?;
            let length = record::<MAX_ATTRIBUTE_BYTES>(&mut attributes, |writer| step.op.emit(writer))?;
            let record_of_step = StepRecord {
                tag: step.op.tag(),
                inputs: count(step.inputs.len(), "inputs of a step")?,
                outputs: count(step.outputs.len(), "outputs of a step")?,
                scratch: step.scratch.is_some(),
                in_place: step.in_place,
                attribute_bytes: count(length, "attribute bytes")?,
                first_operand: count(operands.len(), "operands")?,
                first_attribute,
            };
            record::<STEP_BYTES>(&mut step_bytes, |writer| record_of_step.emit(writer))?;
            operands.extend(step.inputs.iter().map(|input| input.unwrap_or(ABSENT)));
            operands.extend(step.outputs.iter().copied().chain(step.scratch));
        }
        step_count += api.steps.len();
    }
    let mut out = Vec::with_capacity(COUNTS_BYTES);
    for length in [apis.len(), step_count, operands.len(), attributes.len()] {
        out.extend(count::<u32>(length, "plan entries")?.to_le_bytes());
    }
    out.extend(api_bytes);
    out.extend(step_bytes);
    out.extend(operands.iter().flat_map(|operand| operand.to_le_bytes()));
    out.extend(attributes);
    Ok(out)
}

fn emit_golden(vectors: &[GoldenVector]) -> Result<Vec<u8>, EmitError> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    let u32_bytes = |value: usize| count::<u32>(value, "golden bytes").map(u32::to_le_bytes);
    out.extend(u32_bytes(vectors.len())?);
    for vector in vectors {
        let head = &vector.head;
        for field in [head.api, head.source.code(), head.rows, head.absolute.to_bits(), head.relative.to_bits()] {
            out.extend(field.to_le_bytes());
        }
        for input in &vector.inputs {
            match input {
                GoldenValues::Stored(values) => {
                    out.extend(0u32.to_le_bytes());
                    out.extend(u32_bytes(values.len())?);
                    out.extend(values);
                }
                GoldenValues::Seeded(seed, low, high) => {
                    out.extend(1u32.to_le_bytes());
                    out.extend(seed.to_le_bytes());
                    out.extend(low.to_le_bytes());
                    out.extend(high.to_le_bytes());
                }
            }
        }
        for output in &vector.outputs {
            out.extend(u32_bytes(output.len())?);
            out.extend(output);
        }
    }
    Ok(out)
}

impl From<&GoldenInput<'_>> for GoldenValues {
    fn from(input: &GoldenInput<'_>) -> Self {
        match *input {
            GoldenInput::Stored(values) => Self::Stored(values.to_vec()),
            GoldenInput::Seeded { seed, low, high } => Self::Seeded(seed, low, high),
        }
    }
}
