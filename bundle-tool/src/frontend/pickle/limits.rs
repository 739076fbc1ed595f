//! Bounds on the work and memory that one file may cause.

use super::error::PickleError;

/// Bounds on what reading one file may cost. The defaults admit every estimator of ordinary size; raise them for trusted, very
/// large files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file in bytes.
    pub input_bytes: u64,
    /// Size in bytes after decompression of a file that is compressed as a whole.
    pub decoded_bytes: u64,
    /// Decompressed bytes per compressed byte. Data up to 64 MiB is exempt, since small files of zeros compress without bound.
    pub expansion: u64,
    /// Opcodes executed, nested pickles included.
    pub steps: u64,
    /// Marks open at the same time: how deeply containers under construction may nest. Python's own pickler stops near 1000.
    pub depth: u32,
    /// Entries of one pickle's memo.
    pub memo_entries: u32,
    /// Bytes of memory for the decoded values, the stack and the memo, besides the file's own bytes, which are used in place.
    pub memory_bytes: u64,
    /// How many attributes or elements one path of accessors may descend: ends walks of structures that contain themselves.
    pub path_depth: u32,
    /// Values and array elements handed out by accessors of one document, besides four for each byte it has: ends walks of
    /// structures that share their parts exponentially often, and bounds what copies of shared arrays can add up to.
    pub visits: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            input_bytes: 2 << 30,
            decoded_bytes: 4 << 30,
            expansion: 200,
            steps: 200_000_000,
            depth: 1_000,
            memo_entries: 20_000_000,
            memory_bytes: 1 << 30,
            path_depth: 64,
            visits: 1_000_000,
        }
    }
}

/// What is left of [`Limits`] while one file is being read.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    steps: u64,
    memory: u64,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Budget {
        Budget { limits: *limits, steps: limits.steps, memory: limits.memory_bytes }
    }

    /// The limits this budget started from.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Accounts for one opcode.
    pub(super) fn step(&mut self, offset: usize) -> Result<(), PickleError> {
        self.steps = self.steps.checked_sub(1).ok_or(PickleError::Limit {
            offset,
            what: "opcodes",
            limit: self.limits.steps,
        })?;
        Ok(())
    }

    /// Accounts for `count` things of `each` bytes, before they are allocated.
    pub(super) fn allocate(&mut self, count: usize, each: usize, offset: usize) -> Result<(), PickleError> {
        let wanted = (count as u64).checked_mul(each as u64);
        self.memory = wanted.and_then(|w| self.memory.checked_sub(w)).ok_or(PickleError::Limit {
            offset,
            what: "bytes of decoded values",
            limit: self.limits.memory_bytes,
        })?;
        Ok(())
    }
}
