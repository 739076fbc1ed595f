//! Which operators a program can run.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::Reader;

/// Parses a step's attributes and applies the shape rule; `in_place` says whether the step is marked so.
pub type CheckStep = fn(&[u8], &dyn Inputs, &mut dyn Outputs, in_place: bool) -> Result<StepMemory, OpError>;

/// What a step asks of the memory that it is given.
#[derive(Clone, Copy, Debug)]
pub struct StepMemory {
    /// Scratch memory that it needs.
    pub scratch: Scratch,
    /// Inputs that may have the places of outputs, in a step in place.
    pub in_place: InPlace,
}

/// How to check and run the steps of one operator.
#[derive(Clone, Copy, Debug)]
pub struct KernelEntry {
    /// The operator's tag.
    pub tag: u16,
    /// The operator's name.
    pub name: &'static str,
    /// Checks a step's attributes and operands.
    pub check: CheckStep,
    /// Runs a step that `check` accepted.
    pub run: fn(&[u8], &dyn Operands) -> Result<(), OpError>,
}

impl KernelEntry {
    /// The entry of operator `O`.
    pub const fn of<O: Operator>() -> Self {
        Self { tag: O::TAG, name: O::NAME, check: check::<O>, run: run::<O> }
    }
}

fn check<O: Operator>(
    attributes: &[u8],
    inputs: &dyn Inputs,
    outputs: &mut dyn Outputs,
    in_place: bool,
) -> Result<StepMemory, OpError> {
    let mut reader = Reader::new(attributes);
    let operator = O::parse(&mut reader)?;
    reader.finish()?;
    operator.infer(inputs, outputs)?;
    if in_place {
        return Ok(StepMemory { scratch: operator.in_place_scratch(inputs)?, in_place: operator.in_place(inputs) });
    }
    Ok(StepMemory { scratch: operator.scratch(inputs)?, in_place: &[] })
}

fn run<O: Operator>(attributes: &[u8], operands: &dyn Operands) -> Result<(), OpError> {
    O::parse(&mut Reader::new(attributes))?.run(operands)
}

/// The operators of a program, in rising order of their tags. A program that names a smaller set than [`KernelSet::ALL`] is
/// linked without the other operators' kernels.
#[derive(Clone, Copy, Debug)]
pub struct KernelSet {
    entries: &'static [&'static KernelEntry],
}

impl KernelSet {
    /// A set of `entries`, whose tags must rise.
    ///
    /// # Panics
    /// When they do not: at compile time for a constant.
    pub const fn new(entries: &'static [&'static KernelEntry]) -> Self {
        match Self::try_new(entries) {
            Some(set) => set,
            None => panic!("the tags of a kernel set must rise"),
        }
    }

    /// A set of `entries`, or `None` when their tags do not rise.
    pub const fn try_new(entries: &'static [&'static KernelEntry]) -> Option<Self> {
        let mut i = 1;
        while i < entries.len() {
            if entries[i - 1].tag >= entries[i].tag {
                return None;
            }
            i += 1;
        }
        Some(Self { entries })
    }

    /// The entry for the operator with this tag.
    pub fn get(&self, tag: u16) -> Option<&'static KernelEntry> {
        let index = self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
        self.entries.get(index).copied()
    }

    /// All entries, by tag.
    pub const fn entries(&self) -> &'static [&'static KernelEntry] {
        self.entries
    }
}
