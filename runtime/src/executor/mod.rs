//! Runs the steps of a checked artifact on a caller's arena.

mod arena;
mod error;
pub mod self_test;

pub use error::Error;

use crate::artifact::plans::{ApiRecord, Plans};
use crate::artifact::tensors::{Place, TensorRecord, Tensors};
use crate::artifact::{Artifact, StateRecord};
use crate::ops::OpError;
use crate::tensor::{Element, View, ViewMut};
use arena::{Arena, StepOperands};

/// One API of an artifact, ready to run on an arena.
///
/// A run may overwrite the inputs: write them again before the next one.
#[derive(Debug)]
pub struct Executor<'m, 'b> {
    artifact: &'m Artifact<'m>,
    plans: Plans<'m>,
    tensors: Tensors<'m>,
    api: ApiRecord,
    rows: usize,
    arena: Arena<'b>,
}

impl<'m, 'b> Executor<'m, 'b> {
    /// Prepares to run the API at index `api` on `rows` rows. States begin as the model says; the arena's other bytes stay as they are.
    ///
    /// # Errors
    /// [`Error::NoApi`]; [`Error::Rows`] when the API cannot take that many rows; [`Error::ArenaTooSmall`];
    /// [`Error::Misaligned`] when the arena does not start at a multiple of 16.
    pub fn new(artifact: &'m Artifact<'m>, api: usize, rows: usize, arena: &'b mut [u8]) -> Result<Self, Error> {
        let mut executor = Self::resume(artifact, api, rows, arena)?;
        executor.reset()?;
        Ok(executor)
    }

    /// As [`Executor::new`], but leaves all the arena's bytes as they are: an executor made again on the same arena, for the same
    /// API and rows, finds the tensors and the states of the one before.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn resume(artifact: &'m Artifact<'m>, api: usize, rows: usize, arena: &'b mut [u8]) -> Result<Self, Error> {
        let record = artifact.api(api).ok_or(Error::NoApi { index: api, count: artifact.api_count() })?;
        let arena = Arena::new(arena).ok_or(Error::Misaligned)?;
        let (plans, tensors) = (artifact.plans(), artifact.tensors());
        let mut executor = Self { artifact, plans, tensors, api: record, rows: 0, arena };
        executor.set_rows(rows)?;
        Ok(executor)
    }

    /// Changes the number of rows; the values of all tensors are lost.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn set_rows(&mut self, rows: usize) -> Result<(), Error> {
        let fixed = self.api.fixed_rows as usize;
        if rows == 0 || (fixed != 0 && rows != fixed) {
            return Err(Error::Rows { given: rows, fixed });
        }
        let given = self.arena.len();
        match self.api.arena.bytes(rows) {
            Some(needed) if needed <= given => self.rows = rows,
            needed => return Err(Error::ArenaTooSmall { needed: needed.unwrap_or(usize::MAX), given }),
        }
        Ok(())
    }

    /// Puts every state to what it starts from. An API without states is left as it is.
    ///
    /// # Errors
    /// [`Error::State`] names the state; a checked artifact gives none.
    pub fn reset(&mut self) -> Result<(), Error> {
        for index in 0..self.api.states as usize {
            self.state(index)
                .and_then(|record| self.write_state(&record.state, record.initial.as_ref()))
                .ok_or(Error::State { index })?;
        }
        Ok(())
    }

    fn state(&self, index: usize) -> Option<StateRecord> {
        self.artifact.api_state(&self.api, index)
    }

    /// Copies a tensor's elements, or zero, to a state's place.
    fn write_state(&mut self, state: &TensorRecord, from: Option<&TensorRecord>) -> Option<()> {
        let (start, length) = self.place(state)?;
        match from.map(|record| (record, self.place(record))) {
            None => self.arena.slice_mut(start, length)?.fill(0),
            Some((_, Some((source, given)))) => {
                let all = self.arena.slice_mut(0, self.arena.len())?;
                let source = source..source.checked_add(given)?;
                (given == length && source.end <= all.len()).then(|| all.copy_within(source, start))?;
            }
            Some((record, None)) => {
                let values = self.artifact.constant(record).filter(|values| values.len() == length)?;
                self.arena.slice_mut(start, length)?.copy_from_slice(values);
            }
        }
        Some(())
    }

    /// Rows of the batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The API.
    pub fn api(&self) -> &ApiRecord {
        &self.api
    }

    /// Runs every step, and takes the states that the next run begins with from what this one made.
    ///
    /// # Errors
    /// [`Error::Step`] names the step whose operator failed; a checked artifact gives none.
    pub fn run(&mut self) -> Result<(), Error> {
        let (plans, kernels) = (self.plans, self.artifact.kernels());
        for offset in 0..self.api.steps {
            let index = self.api.first_step.saturating_add(offset) as usize;
            let failed = |error| Error::Step { step: index, error };
            let missing = failed(OpError::attribute("step", "a checked artifact"));
            let step = plans.step(index).ok_or(missing)?;
            let attributes = plans.attributes(&step).ok_or(missing)?;
            let entry = kernels.get(step.tag).ok_or(missing)?;
            let operands = StepOperands::new(self, step);
            (entry.run)(attributes, &operands).map_err(failed)?;
        }
        for index in 0..self.api.states as usize {
            self.state(index)
                .and_then(|record| self.write_state(&record.state, Some(&record.next)))
                .ok_or(Error::State { index })?;
        }
        Ok(())
    }

    /// Type, lengths and values of an output after a run.
    ///
    /// # Errors
    /// [`Error::NoTensor`] when there is no such output.
    pub fn output_view(&self, index: usize) -> Result<View<'_>, Error> {
        let record = self.artifact.api_output(&self.api, index);
        let record = record.ok_or(Error::NoTensor { index, count: self.api.outputs.into() })?;
        self.view(&record).ok_or(Error::NoTensor { index, count: self.api.outputs.into() })
    }

    /// Elements of an output after a run.
    ///
    /// # Errors
    /// [`Error::NoTensor`]; [`Error::View`] when they are of another type.
    pub fn output<T: Element>(&self, index: usize) -> Result<&[T], Error> {
        self.output_view(index)?.as_slice().map_err(|error| Error::View { index, error })
    }

    /// Type, lengths and bytes of an input, to be written before a run.
    ///
    /// # Errors
    /// [`Error::NoTensor`] when there is no such input.
    pub fn input_view(&mut self, index: usize) -> Result<ViewMut<'_>, Error> {
        let none = Error::NoTensor { index, count: self.api.inputs.into() };
        let record = self.artifact.api_input(&self.api, index).ok_or(none)?;
        let (start, length) = self.place(&record).ok_or(none)?;
        let dims = record.spec.shape.resolve(self.rows);
        let bytes = self.arena.slice_mut(start, length).ok_or(none)?;
        Ok(ViewMut { spec: record.spec, dims, bytes })
    }

    /// Elements of an input, to be written before a run.
    ///
    /// # Errors
    /// [`Error::NoTensor`]; [`Error::View`] when they are of another type.
    pub fn input_mut<T: Element>(&mut self, index: usize) -> Result<&mut [T], Error> {
        self.input_view(index)?.into_mut_slice().map_err(|error| Error::View { index, error })
    }

    /// Start and length in the arena; `None` for constants.
    fn place(&self, record: &TensorRecord) -> Option<(usize, usize)> {
        let Place::Arena { offset, per_row } = record.place else { return None };
        let start = usize::try_from(offset).ok()?.checked_add((per_row as usize).checked_mul(self.rows)?)?;
        let rows = if record.spec.shape.is_batched() { self.rows as u64 } else { 1 };
        let elements = record.spec.shape.elements()?.checked_mul(rows)?;
        Some((start, usize::try_from(record.spec.dtype.bytes(elements)?).ok()?))
    }

    fn view(&self, record: &TensorRecord) -> Option<View<'_>> {
        let bytes = match self.place(record) {
            Some((start, length)) => self.arena.slice(start, length)?,
            None => self.artifact.constant(record)?,
        };
        Some(View { spec: record.spec, dims: record.spec.shape.resolve(self.rows), bytes })
    }
}
