//! The artifacts that a server has open.

use std::path::Path;

use ekiben_runtime::Session;
use ekiben_runtime::artifact::manifest::Generation;
use ekiben_runtime::executor::self_test::SelfTestError;
use ekiben_runtime::session::OpenError;

use super::settings::ModelFile;

/// Why an artifact is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It failed its own test.
    #[error("{path}: {error}")]
    SelfTest {
        /// The file.
        path: String,
        /// Why.
        error: SelfTestError,
    },
    /// Manifest and plans do not agree.
    #[error("{path}: the manifest describes {described} APIs, the plans {planned}")]
    Apis {
        /// The file.
        path: String,
        /// APIs of the manifest.
        described: usize,
        /// APIs of the plans.
        planned: usize,
    },
    /// Two artifacts would have the same routes.
    #[error("two artifacts are called {0:?}; name them: NAME=FILE")]
    Name(String),
    /// The address cannot be listened on.
    #[error("{address}: {error}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        error: std::io::Error,
    },
    /// The system fails.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

/// An artifact that is served.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) session: Session,
    /// What stands before its routes: nothing, or `/name`.
    pub(super) prefix: String,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

impl Model {
    /// Maps an artifact and lets it test itself.
    pub(super) fn open(file: &ModelFile, is_only: bool) -> Result<Self, ServeError> {
        let mut session = Session::open(&file.path)?;
        let (described, planned) = (session.manifest().apis.len(), session.artifact().api_count());
        let path = || file.path.display().to_string();
        if described != planned {
            return Err(ServeError::Apis { path: path(), described, planned });
        }
        session.self_test().map_err(|error| ServeError::SelfTest { path: path(), error })?;
        session.release_arena();
        let prefix = if is_only { String::new() } else { format!("/{}", file.name) };
        Ok(Self { session, prefix, bytes: length(&file.path) })
    }

    /// Opens every artifact.
    pub(super) fn open_all(files: &[ModelFile]) -> Result<Vec<Self>, ServeError> {
        for (at, file) in files.iter().enumerate() {
            if files[..at].iter().any(|before| before.name == file.name) {
                return Err(ServeError::Name(file.name.clone()));
            }
        }
        files.iter().map(|file| Self::open(file, files.len() == 1)).collect()
    }

    /// Whether it answers as BentoML 0.13.
    pub(super) fn is_old(&self) -> bool {
        self.session.manifest().generation == Generation::V0_13
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
