//! The one block of scratch memory, seen as many disjoint slices.
#![allow(unsafe_code, reason = "the loader proves the disjointness that the borrow checker cannot see")]

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::Executor;
use crate::artifact::MEMORY_ALIGNMENT;
use crate::artifact::plans::StepRecord;
use crate::artifact::tensors::TensorRecord;
use crate::ops::{OpError, Operands, Problem};
use crate::tensor::{DType, View, ViewMut};

/// An exclusive borrow of the caller's memory.
#[derive(Debug)]
pub(super) struct Arena<'b> {
    start: NonNull<u8>,
    length: usize,
    memory: PhantomData<&'b mut [u8]>,
}

// SAFETY: the arena is an exclusive borrow of plain bytes; it can move to another thread as that borrow can.
unsafe impl Send for Arena<'_> {}

impl<'b> Arena<'b> {
    /// `None` when the memory does not start at a multiple of 16.
    pub(super) fn new(memory: &'b mut [u8]) -> Option<Self> {
        let length = memory.len();
        let start = NonNull::from(memory).cast::<u8>();
        let aligned = start.as_ptr().align_offset(MEMORY_ALIGNMENT) == 0;
        aligned.then_some(Self { start, length, memory: PhantomData })
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Pointer to `length` bytes from `start` on, when they are inside.
    fn pointer(&self, start: usize, length: usize) -> Option<NonNull<u8>> {
        let inside = start.checked_add(length)? <= self.length;
        // SAFETY: `start` is at most `self.length`, so the pointer stays inside the borrowed memory or at its end.
        inside.then(|| unsafe { self.start.add(start) })
    }

    /// Bytes to read.
    pub(super) fn slice(&self, start: usize, length: usize) -> Option<&[u8]> {
        let pointer = self.pointer(start, length)?;
        // SAFETY: the bytes are inside the borrowed memory and initialised; the only writable slices that can exist beside a
        // shared borrow of the arena come from `slice_shared_mut`, whose caller keeps them apart from these.
        Some(unsafe { core::slice::from_raw_parts(pointer.as_ptr(), length) })
    }

    /// Bytes to write, under an exclusive borrow.
    pub(super) fn slice_mut(&mut self, start: usize, length: usize) -> Option<&mut [u8]> {
        let pointer = self.pointer(start, length)?;
        // SAFETY: the bytes are inside the borrowed memory and initialised, and `self` is borrowed exclusively.
        Some(unsafe { core::slice::from_raw_parts_mut(pointer.as_ptr(), length) })
    }

    /// Bytes to write, under a shared borrow.
    ///
    /// # Safety
    /// While the slice lives, no other slice of the arena that overlaps it may be in use.
    #[allow(clippy::mut_from_ref, reason = "disjointness is the caller's contract")]
    unsafe fn slice_shared_mut(&self, start: usize, length: usize) -> Option<&mut [u8]> {
        let pointer = self.pointer(start, length)?;
        // SAFETY: the bytes are inside the borrowed memory and initialised; the caller keeps overlapping slices away.
        Some(unsafe { core::slice::from_raw_parts_mut(pointer.as_ptr(), length) })
    }
}

/// The operands of the step that runs.
pub(super) struct StepOperands<'e, 'm, 'b> {
    executor: &'e Executor<'m, 'b>,
    step: StepRecord,
    /// One bit for each output handed out, the scratch being the last.
    taken: [Cell<u64>; 4],
}

impl<'e, 'm, 'b> StepOperands<'e, 'm, 'b> {
    /// The operands of `step`, a step of the executor's API. The exclusive borrow of the executor, held as long as the operands
    /// live, keeps every other access to the arena away.
    pub(super) fn new(executor: &'e mut Executor<'m, 'b>, step: StepRecord) -> Self {
        Self { executor, step, taken: Default::default() }
    }

    /// Start and length in the arena of the operand at `position`; `None` for constants and empty tensors.
    fn place(&self, position: usize) -> Option<(usize, usize)> {
        self.executor.place(&self.record(position)?).filter(|&(_, length)| length > 0)
    }

    fn record(&self, position: usize) -> Option<TensorRecord> {
        let index = (self.step.first_operand as usize).checked_add(position)?;
        let tensor = self.executor.plans.operand(index)??;
        self.executor.tensors.get(tensor as usize)
    }

    /// Marks writable operand `index` as handed out; false when it was already.
    fn take(&self, index: usize) -> bool {
        let Some(word) = self.taken.get(index / 64) else { return false };
        let bit = 1u64 << (index % 64);
        let first = word.get() & bit == 0;
        word.set(word.get() | bit);
        first
    }

    /// Writable operand `index`: an output, or the scratch after the last of them.
    fn writable(&self, index: usize, needs: &'static str) -> Result<ViewMut<'_>, OpError> {
        let missing = OpError::output(index, Problem::Missing, needs);
        let record = self.record(usize::from(self.step.inputs) + index).ok_or(missing)?;
        let (start, length) = self.executor.place(&record).ok_or(missing)?;
        if !self.take(index) {
            return Err(missing);
        }
        // SAFETY: the loader has proved that for any batch of one row or more a step's outputs and scratch do not overlap each
        // other, and overlap no input but those that have exactly an output's place in a step marked so, which
        // `optional` hands to nobody. `take` hands each writable operand out once for each `StepOperands`, and `new` took
        // the executor exclusively, so that only these operands reach the arena while the views live.
        let bytes = unsafe { self.executor.arena.slice_shared_mut(start, length) }.ok_or(missing)?;
        Ok(ViewMut { spec: record.spec, dims: record.spec.shape.resolve(self.executor.rows), bytes })
    }
}

impl Operands for StepOperands<'_, '_, '_> {
    fn inputs(&self) -> usize {
        self.step.inputs.into()
    }

    fn outputs(&self) -> usize {
        self.step.outputs.into()
    }

    fn optional(&self, index: usize) -> Result<Option<View<'_>>, OpError> {
        if index >= self.inputs() {
            return Ok(None);
        }
        if self.step.in_place && (0..self.outputs()).any(|output| self.is_in_place(index, output)) {
            return Err(OpError::input(index, Problem::InPlace, "a place of its own"));
        }
        let Some(record) = self.record(index) else { return Ok(None) };
        let view = self.executor.view(&record);
        view.map(Some).ok_or(OpError::input(index, Problem::Missing, "a place in memory"))
    }

    fn is_in_place(&self, input: usize, output: usize) -> bool {
        if !self.step.in_place || input >= self.inputs() || output >= self.outputs() {
            return false;
        }
        let place = self.place(input);
        place.is_some() && place == self.place(self.inputs() + output)
    }

    fn dtype(&self, index: usize) -> Option<DType> {
        let record = (index < self.inputs()).then(|| self.record(index)).flatten()?;
        Some(record.spec.dtype)
    }

    fn output(&self, index: usize) -> Result<ViewMut<'_>, OpError> {
        if index >= self.outputs() {
            return Err(OpError::output(index, Problem::Extra, "no output here"));
        }
        self.writable(index, "an output here")
    }

    fn scratch(&self) -> Result<ViewMut<'_>, OpError> {
        if !self.step.scratch {
            return Err(OpError::output(self.outputs(), Problem::Missing, "scratch memory"));
        }
        self.writable(self.outputs(), "scratch memory")
    }
}
