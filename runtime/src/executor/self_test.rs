//! Runs an artifact's golden vectors.

use super::{Error, Executor};
use crate::artifact::golden::{Difference, GoldenInput, GoldenReader, Source, VectorHead, compare, fill};
use crate::artifact::{Artifact, LoadError};

/// Why a self-test failed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SelfTestError {
    /// The artifact's numbers do not match their digest.
    Load(LoadError),
    /// A vector could not be run.
    Run {
        /// Number of the vector.
        vector: usize,
        /// Why.
        error: Error,
    },
    /// An output differs from the expected one by more than the tolerance.
    Differs {
        /// Number of the vector.
        vector: usize,
        /// Index of the output.
        output: usize,
        /// The first element that differs.
        difference: Difference,
    },
}

impl core::fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Run { vector, error } => write!(f, "golden vector {vector}: {error}"),
            Self::Differs { vector, output, difference } => write!(
                f,
                "golden vector {vector}, output {output}, element {}: expected {}, got {}",
                difference.element, difference.expected, difference.actual
            ),
        }
    }
}

impl core::error::Error for SelfTestError {}

/// How many vectors passed, by who computed their outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SelfTestReport {
    /// Vectors computed by the framework that trained the model.
    pub framework: usize,
    /// Vectors computed by an independent engine.
    pub oracle: usize,
    /// Vectors computed by this project's portable kernels.
    pub reference: usize,
    /// Vectors not run, because their rows need more arena than there is.
    pub skipped: usize,
}

impl SelfTestReport {
    /// Number of vectors that passed.
    pub fn total(&self) -> usize {
        self.framework + self.oracle + self.reference
    }
}

/// Bytes of arena that [`self_test`] needs: the largest of the golden vectors' runs.
pub fn self_test_arena_bytes(artifact: &Artifact<'_>) -> Option<usize> {
    let mut reader = GoldenReader::new(artifact);
    let mut largest = 0;
    while let Some(head) = reader.next_head() {
        let head = head.ok()?;
        largest = largest.max(artifact.arena_bytes(head.api as usize, head.rows as usize)?);
        skip_vector(artifact, &head, &mut reader)?;
    }
    Some(largest)
}

/// Reads past the vector that begins with `head`.
fn skip_vector(artifact: &Artifact<'_>, head: &VectorHead, reader: &mut GoldenReader<'_>) -> Option<()> {
    let api = artifact.api(head.api as usize)?;
    for _ in 0..api.inputs {
        reader.input().ok()?;
    }
    for _ in 0..api.outputs {
        reader.output().ok()?;
    }
    Some(())
}

/// Checks the numbers digest, then runs every golden vector that the arena is large enough for, and compares.
///
/// # Errors
/// See [`SelfTestError`]; the first failure ends the test. An arena that is too small for every vector is one.
pub fn self_test(artifact: &Artifact<'_>, arena: &mut [u8]) -> Result<SelfTestReport, SelfTestError> {
    artifact.verify_numbers().map_err(SelfTestError::Load)?;
    let mut report = SelfTestReport::default();
    let mut reader = GoldenReader::new(artifact);
    let (mut vector, mut smallest) = (0, usize::MAX);
    while let Some(head) = reader.next_head() {
        let broken = Error::NoTensor { index: 0, count: 0 };
        let failed = |error| SelfTestError::Run { vector, error };
        let head = head.map_err(|_| failed(broken))?;
        let needed = artifact.arena_bytes(head.api as usize, head.rows as usize);
        smallest = smallest.min(needed.unwrap_or(usize::MAX));
        if needed.is_none_or(|needed| needed > arena.len()) {
            skip_vector(artifact, &head, &mut reader).ok_or(failed(broken))?;
            report.skipped += 1;
        } else {
            run_vector(artifact, arena, vector, &head, &mut reader)?;
            match head.source {
                Source::Framework => report.framework += 1,
                Source::Oracle => report.oracle += 1,
                Source::Reference => report.reference += 1,
            }
        }
        vector += 1;
    }
    if report.total() == 0 && report.skipped > 0 {
        let error = Error::ArenaTooSmall { needed: smallest, given: arena.len() };
        return Err(SelfTestError::Run { vector: 0, error });
    }
    Ok(report)
}

fn run_vector(
    artifact: &Artifact<'_>,
    arena: &mut [u8],
    vector: usize,
    head: &VectorHead,
    reader: &mut GoldenReader<'_>,
) -> Result<(), SelfTestError> {
    let failed = |error| SelfTestError::Run { vector, error };
    let mut executor = Executor::new(artifact, head.api as usize, head.rows as usize, arena).map_err(failed)?;
    for index in 0..usize::from(executor.api().inputs) {
        let count = executor.api().inputs.into();
        let input = reader.input().map_err(|_| failed(Error::NoTensor { index, count }))?;
        let view = executor.input_view(index).map_err(failed)?;
        match input {
            GoldenInput::Stored(values) if values.len() == view.bytes.len() => view.bytes.copy_from_slice(values),
            GoldenInput::Stored(_) => return Err(failed(Error::NoTensor { index, count })),
            GoldenInput::Seeded { seed, low, high } => fill(seed, low, high, view.spec.dtype, view.bytes),
        }
    }
    executor.run().map_err(failed)?;
    for output in 0..usize::from(executor.api().outputs) {
        let count = executor.api().outputs.into();
        let expected = reader.output().map_err(|_| failed(Error::NoTensor { index: output, count }))?;
        let actual = executor.output_view(output).map_err(failed)?;
        if let Some(difference) = compare(&actual.spec, head, expected, actual.bytes) {
            return Err(SelfTestError::Differs { vector, output, difference });
        }
    }
    Ok(())
}
