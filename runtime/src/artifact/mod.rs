//! The byte layout of an artifact (`.ekb`), its checks, and its writer.
//!
//! All integers are little-endian. A file is a [`header`], then sections, each at a multiple of [`SECTION_ALIGNMENT`], in the order of
//! the section table, with zero bytes between them and nothing after the last.
//!
//! | section | module | digest | holds |
//! |---|---|---|---|
//! | manifest | [`manifest`] | structure | CBOR: service, APIs, adapters, provenance; firmware never reads it |
//! | tensors | [`tensors`] | structure | one fixed-size record per tensor |
//! | plans | [`plans`] | structure | APIs, steps, operand lists, operator attributes |
//! | weights | | numbers | constants whose values can be anything without harm |
//! | tables | | structure | constants used as indices, lengths or bounds |
//! | strings | [`strings`] | structure | names and category tables |
//! | golden | [`golden`] | numbers | inputs with expected outputs |
//! | signature | | neither | Ed25519 signature over both digests |
//! | lookups | [`lookups`] | structure | perfect hashes of category tables |
//!
//! Two BLAKE3 digests stand in the header. The *structure* digest covers the header before the digests, the section table
//! and every section marked so; it is checked by every [`Artifact::parse`]. The *numbers* digest covers the rest and is checked by
//! [`Artifact::verify_numbers`].
//!
//! Parsing takes time linear in the structure. It checks every offset, shape, alignment and step, so that a run needs no
//! further check to stay inside its memory and to end.

mod check;
#[cfg(feature = "alloc")]
mod emit;
mod error;
pub mod golden;
pub mod header;
#[cfg(feature = "std")]
pub mod image;
pub mod lookups;
#[cfg(feature = "std")]
pub mod manifest;
pub mod plans;
pub mod strings;
pub mod tensors;

#[cfg(feature = "alloc")]
pub use emit::{
    ApiParts, ArtifactParts, EmitError, GoldenValues, GoldenVector, StateParts, StepParts, StringTable, assemble, emit,
    seal,
};
pub use error::LoadError;
#[cfg(feature = "std")]
pub use manifest::Manifest;

use crate::ops::{KernelSet, Scratch};
use header::{Header, SectionKind};
use plans::{ApiRecord, Plans, STATE_OPERANDS};
use strings::Strings;
use tensors::{Place, TensorRecord, Tensors};

/// Every section starts at a multiple of this many bytes from the start of the artifact.
pub const SECTION_ALIGNMENT: usize = 64;

/// The artifact's own bytes, and a caller's arena, must start at a multiple of this many bytes.
pub const MEMORY_ALIGNMENT: usize = 16;

/// An artifact whose structure has been checked. It borrows the bytes and copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Artifact<'a> {
    bytes: &'a [u8],
    header: Header,
    kernels: KernelSet,
}

impl<'a> Artifact<'a> {
    /// Checks `bytes` for a program that can run every operator.
    ///
    /// # Errors
    /// See [`LoadError`]. The function returns on any bytes, in time linear in the artifact's structure, without allocating.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        Self::parse_with(bytes, KernelSet::ALL)
    }

    /// Checks `bytes` for a program that can run the operators of `kernels`.
    ///
    /// # Errors
    /// As [`Artifact::parse`]; [`LoadError::NoKernel`] names an operator that `kernels` lacks.
    pub fn parse_with(bytes: &'a [u8], kernels: KernelSet) -> Result<Self, LoadError> {
        if bytes.as_ptr().align_offset(MEMORY_ALIGNMENT) != 0 {
            return Err(LoadError::Misaligned);
        }
        let header = Header::parse(bytes)?;
        header.verify_structure(bytes)?;
        let artifact = Self { bytes, header, kernels };
        check::check(&artifact)?;
        Ok(artifact)
    }

    /// Bytes of arena that a run of an API on `rows` rows will need, from an artifact whose steps nobody has checked, and
    /// without the kernels that checking takes; `None` when there is no such API or they exceed the address space.
    ///
    /// # Errors
    /// [`LoadError`] when the header is refused.
    pub fn peek_arena_bytes(bytes: &[u8], api: usize, rows: usize) -> Result<Option<usize>, LoadError> {
        let plans = Plans::parse(Header::parse(bytes)?.section(SectionKind::Plans, bytes));
        Ok(plans.and_then(|plans| plans.api(api)).and_then(|api| api.arena.bytes(rows)))
    }

    /// The artifact over bytes that [`Artifact::parse_with`] has accepted with this header and these kernels.
    #[cfg(feature = "std")]
    pub(crate) fn from_checked(bytes: &'a [u8], header: Header, kernels: KernelSet) -> Self {
        Self { bytes, header, kernels }
    }

    /// Compares the numbers digest with the weights and golden vectors: time linear in the whole file.
    ///
    /// # Errors
    /// [`LoadError::Digest`] when they differ.
    pub fn verify_numbers(&self) -> Result<(), LoadError> {
        self.header.verify_numbers(self.bytes)
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The whole artifact.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of a section; empty when the artifact has none of that kind.
    pub fn section(&self, kind: SectionKind) -> &'a [u8] {
        self.header.section(kind, self.bytes)
    }

    /// The operators that the artifact was checked against.
    pub fn kernels(&self) -> KernelSet {
        self.kernels
    }

    /// The tensor records.
    pub fn tensors(&self) -> Tensors<'a> {
        Tensors::new(self.section(SectionKind::Tensors))
    }

    /// The plans.
    pub fn plans(&self) -> Plans<'a> {
        Plans::parse(self.section(SectionKind::Plans)).unwrap_or_default()
    }

    /// The strings.
    pub fn strings(&self) -> Strings<'a> {
        Strings::new(self.section(SectionKind::Strings), self.section(SectionKind::Lookups))
    }

    /// Number of APIs.
    pub fn api_count(&self) -> usize {
        self.plans().api_count()
    }

    /// The API at `index`, in the manifest's order.
    pub fn api(&self, index: usize) -> Option<ApiRecord> {
        self.plans().api(index)
    }

    /// Name of the API at `index`.
    pub fn api_name(&self, index: usize) -> Option<&'a str> {
        self.strings().get(self.api(index)?.name)
    }

    /// Index of the API with this name.
    pub fn api_index(&self, name: &str) -> Option<usize> {
        (0..self.api_count()).find(|&index| self.api_name(index) == Some(name))
    }

    /// Bytes of arena that a run of an API on `rows` rows needs; `None` when there is no such API or they exceed the address space.
    pub fn arena_bytes(&self, api: usize, rows: usize) -> Option<usize> {
        self.api(api)?.arena.bytes(rows)
    }

    /// Record of an API's operand: its inputs come first, then its outputs.
    pub fn api_tensor(&self, api: &ApiRecord, position: usize) -> Option<TensorRecord> {
        let operands = usize::from(api.inputs) + usize::from(api.outputs);
        let position = (position < operands).then_some(position)?;
        let tensor = self.plans().operand((api.first_operand as usize).checked_add(position)?)??;
        self.tensors().get(tensor as usize)
    }

    /// Record of an API's input.
    pub fn api_input(&self, api: &ApiRecord, index: usize) -> Option<TensorRecord> {
        (index < api.inputs.into()).then(|| self.api_tensor(api, index)).flatten()
    }

    /// Record of an API's output.
    pub fn api_output(&self, api: &ApiRecord, index: usize) -> Option<TensorRecord> {
        self.api_tensor(api, usize::from(api.inputs).checked_add(index)?)
    }

    /// A state of an API: the tensor that holds it, the one that it is taken from after a run, and the constant that it starts from,
    /// if that is not zero.
    pub fn api_state(&self, api: &ApiRecord, index: usize) -> Option<StateRecord> {
        let first = usize::from(api.inputs) + usize::from(api.outputs);
        let first = (api.first_operand as usize).checked_add(first)?;
        let first = first.checked_add(index.checked_mul(STATE_OPERANDS)?)?;
        let (plans, tensors) = (self.plans(), self.tensors());
        let operand = |position: usize| plans.operand(first.checked_add(position)?);
        let tensor = |tensor: u32| tensors.get(tensor as usize);
        let initial = match (index < api.states as usize).then(|| operand(2)).flatten()? {
            None => None,
            Some(initial) => Some(tensor(initial)?),
        };
        Some(StateRecord { state: tensor(operand(0)??)?, next: tensor(operand(1)??)?, initial })
    }

    /// Values of a constant tensor.
    pub fn constant(&self, record: &TensorRecord) -> Option<&'a [u8]> {
        let (kind, offset) = match record.place {
            Place::Weights { offset } => (SectionKind::Weights, offset),
            Place::Tables { offset } => (SectionKind::Tables, offset),
            Place::Arena { .. } => return None,
        };
        let start = usize::try_from(offset).ok()?;
        let length = usize::try_from(record.spec.bytes()?).ok()?;
        self.section(kind).get(start..start.checked_add(length)?)
    }
}

/// A state of an API; see [`Artifact::api_state`].
#[derive(Clone, Copy, Debug)]
pub struct StateRecord {
    /// The tensor that holds it.
    pub state: TensorRecord,
    /// The tensor that it is taken from after a run.
    pub next: TensorRecord,
    /// The constant that it starts from; `None` for zero.
    pub initial: Option<TensorRecord>,
}

/// A number of bytes that grows with the batch: `fixed + per_row * N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extent {
    /// Bytes whatever the batch.
    pub fixed: u64,
    /// Bytes for each row.
    pub per_row: u64,
}

impl Extent {
    /// The bytes for `rows` rows, or `None` when they exceed the address space.
    pub fn bytes(&self, rows: usize) -> Option<usize> {
        let rows = u64::try_from(rows).ok()?;
        usize::try_from(self.per_row.checked_mul(rows)?.checked_add(self.fixed)?).ok()
    }

    /// Sum of two extents.
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self { fixed: self.fixed.checked_add(other.fixed)?, per_row: self.per_row.checked_add(other.per_row)? })
    }

    /// True when `self <= other` for every batch of one row or more.
    pub fn never_exceeds(self, other: Self) -> bool {
        // Both sides are linear: compare at N = 1, then the slopes.
        let one = |extent: Self| extent.fixed.checked_add(extent.per_row);
        self.per_row <= other.per_row && matches!((one(self), one(other)), (Some(a), Some(b)) if a <= b)
    }
}

impl From<Scratch> for Extent {
    fn from(scratch: Scratch) -> Self {
        Self { fixed: scratch.fixed, per_row: scratch.per_row }
    }
}
