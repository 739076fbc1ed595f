//! Sessions: an artifact mapped from a file, with its arena.
#![allow(unsafe_code, reason = "mapping a file is unsafe; Session::open states the contract")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::vec::Vec;

use memmap2::Mmap;

use crate::artifact::header::{Header, SectionKind};
use crate::artifact::manifest::{Manifest, ManifestError};
use crate::artifact::{Artifact, LoadError};
use crate::executor::{Error, Executor};
use crate::ops::KernelSet;

/// Why a session cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be opened or mapped.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The artifact is refused.
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// The manifest is refused.
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ManifestError,
    },
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Load { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Manifest { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// 16 bytes with the alignment of an arena.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(16))]
struct Block([u8; 16]);

/// Memory for arenas that grows to the largest run and is then used again without an allocation.
#[derive(Debug, Default)]
pub struct ArenaBuffer(Vec<Block>);

impl ArenaBuffer {
    /// At least `bytes` bytes, aligned for an arena; fewer when the system refuses that many, which [`Executor::new`] then
    /// reports as [`Error::ArenaTooSmall`].
    pub fn get(&mut self, bytes: usize) -> &mut [u8] {
        let blocks = bytes.div_ceil(size_of::<Block>());
        let missing = blocks.saturating_sub(self.0.len());
        if self.0.try_reserve_exact(missing).is_ok() {
            self.0.resize(self.0.len().max(blocks), Block::default());
        }
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// An artifact mapped from a file.
#[derive(Debug)]
pub struct Session {
    map: Mmap,
    header: Header,
    kernels: KernelSet,
    manifest: Manifest,
    arena: ArenaBuffer,
}

impl Session {
    /// Maps the artifact at `path`, checks its structure and reads its manifest.
    ///
    /// # Contract
    /// The file must not be changed or truncated while it is mapped. Replace an artifact by writing a new file beside it and
    /// renaming that over it, as every tool of this project does; the old contents then live on until the session ends.
    ///
    /// # Errors
    /// [`OpenError`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io { path: path.into(), error };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the function's contract keeps the file unchanged while it is mapped.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let artifact =
            Artifact::parse_with(&map, KernelSet::ALL).map_err(|error| OpenError::Load { path: path.into(), error })?;
        let header = *artifact.header();
        let manifest = Manifest::from_cbor(artifact.section(SectionKind::Manifest))
            .map_err(|error| OpenError::Manifest { path: path.into(), error })?;
        Ok(Self { map, header, kernels: KernelSet::ALL, manifest, arena: ArenaBuffer::default() })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The artifact.
    pub fn artifact(&self) -> Artifact<'_> {
        Artifact::from_checked(&self.map, self.header, self.kernels)
    }

    /// Lets `run` use an executor of API `api` for `rows` rows on the session's arena, which grows when it must.
    ///
    /// # Errors
    /// Those of [`Executor::new`], and those of `run`.
    pub fn with_executor<T, E: From<Error>>(
        &mut self,
        api: usize,
        rows: usize,
        run: impl FnOnce(&mut Executor<'_, '_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let artifact = Artifact::from_checked(&self.map, self.header, self.kernels);
        let needed = artifact.arena_bytes(api, rows);
        let needed = needed.ok_or(Error::NoApi { index: api, count: artifact.api_count() })?;
        let mut executor = Executor::new(&artifact, api, rows, self.arena.get(needed))?;
        run(&mut executor)
    }

    /// Gives the arena's memory back, which the next run takes again.
    pub fn release_arena(&mut self) {
        self.arena = ArenaBuffer::default();
    }

    /// Checks the numbers digest and runs the golden vectors.
    ///
    /// # Errors
    /// [`crate::executor::self_test::SelfTestError`].
    pub fn self_test(
        &mut self,
    ) -> Result<crate::executor::self_test::SelfTestReport, crate::executor::self_test::SelfTestError> {
        use crate::executor::self_test::{self_test, self_test_arena_bytes};
        let artifact = Artifact::from_checked(&self.map, self.header, self.kernels);
        let needed = self_test_arena_bytes(&artifact).unwrap_or(0);
        self_test(&artifact, self.arena.get(needed))
    }
}
