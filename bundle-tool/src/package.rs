//! Packages an artifact as source files for a firmware: the artifact itself, the arena's size, names, and the operators that
//! it needs, so that the linker drops all others.
//!
//! | file | for | holds |
//! |---|---|---|
//! | `model.c` | C | the artifact as an aligned constant array |
//! | `model.h` | C | its length; the APIs' indices, arenas and tensors as macros |
//! | `kernels.c` | C | the operators |
//! | `model.ekb` | Rust | the artifact |
//! | `model.rs` | Rust | the artifact, the operators, the APIs' indices and arenas |
//!
//! The same artifact gives the same bytes.

mod c;
mod names;
mod rust;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use ekiben_runtime::artifact::tensors::TensorRecord;
use ekiben_runtime::artifact::{Extent, LoadError};
use ekiben_runtime::executor::self_test::self_test_arena_bytes;
use ekiben_runtime::{Artifact, Op, TensorSpec};

use crate::graph::AlignedBytes;
use names::{API_SUFFIXES, Names, TENSOR_SUFFIXES};

/// A file of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagedFile {
    /// Name, without a folder.
    pub name: &'static str,
    /// Contents.
    pub contents: Vec<u8>,
}

/// Why an artifact cannot be packaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A file cannot be read, or not be written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The artifact is refused.
    #[error("{}: {error}", path.display())]
    Load {
        /// The artifact.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
}

/// Packages the artifact at `path` for firmware and writes the files into `folder`, which is made if it is not there. Files that
/// already say the same are left alone, so that builds which depend on them need not run again.
///
/// # Errors
/// [`PackageError`] names the file.
pub fn write_firmware(path: &Path, folder: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        |error| PackageError::Io { path, error }
    };
    let bytes = fs::read(path).map_err(io(path))?;
    let files = firmware(&bytes).map_err(|error| PackageError::Load { path: path.to_owned(), error })?;
    fs::create_dir_all(folder).map_err(io(folder))?;
    let mut written = Vec::new();
    for file in files {
        let target = folder.join(file.name);
        if fs::read(&target).ok().as_ref() != Some(&file.contents) {
            fs::write(&target, &file.contents).map_err(io(&target))?;
        }
        written.push(target);
    }
    Ok(written)
}

/// The files of a firmware package of the artifact `bytes`.
///
/// # Errors
/// When the artifact is refused.
pub fn firmware(bytes: &[u8]) -> Result<Vec<PackagedFile>, LoadError> {
    let aligned = AlignedBytes::from(bytes);
    let artifact = Artifact::parse(aligned.as_slice())?;
    let model = Model::of(&artifact);
    let text = |name, contents: String| PackagedFile { name, contents: contents.into_bytes() };
    Ok(vec![
        text("model.c", c::source(bytes)),
        text("model.h", c::header(&model)),
        text("kernels.c", c::kernels(&model)),
        PackagedFile { name: "model.ekb", contents: bytes.to_vec() },
        text("model.rs", rust::module(&model)),
    ])
}

/// What the files say about an artifact.
struct Model {
    length: usize,
    self_test_arena: usize,
    /// Paths of the operators' types under `ekiben_runtime::ops`, by tag.
    operators: Vec<&'static str>,
    apis: Vec<Api>,
}

struct Api {
    /// Identifier in upper case, unlike any other.
    identifier: String,
    name: String,
    arena: Extent,
    /// 0 for any number.
    fixed_rows: u32,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

struct Tensor {
    /// Identifier in upper case, that of its API included; unlike any other.
    identifier: String,
    name: String,
    spec: TensorSpec,
}

impl Model {
    fn of(artifact: &Artifact<'_>) -> Self {
        let mut names = Names::new();
        let plans = artifact.plans();
        let mut tags: Vec<u16> = (0..plans.step_count()).filter_map(|step| Some(plans.step(step)?.tag)).collect();
        tags.sort_unstable();
        tags.dedup();
        Self {
            length: artifact.bytes().len(),
            self_test_arena: self_test_arena_bytes(artifact).unwrap_or(0),
            operators: tags.into_iter().filter_map(Op::path_of).collect(),
            apis: (0..artifact.api_count()).filter_map(|index| Api::of(artifact, index, &mut names)).collect(),
        }
    }
}

impl Api {
    fn of(artifact: &Artifact<'_>, index: usize, names: &mut Names) -> Option<Self> {
        let record = artifact.api(index)?;
        let name = artifact.api_name(index)?;
        let identifier = names.claim("", name, "API", API_SUFFIXES);
        let mut tensors = |count: u16, direction: &str, get: &dyn Fn(usize) -> Option<TensorRecord>| {
            let prefix = format!("{identifier}_{direction}_");
            let one = |position: usize| {
                let record = get(position)?;
                let name = record.name.and_then(|name| artifact.strings().get(name)).unwrap_or_default();
                let identifier = names.claim(&prefix, name, &position.to_string(), TENSOR_SUFFIXES);
                Some(Tensor { identifier, name: name.to_owned(), spec: record.spec })
            };
            (0..count.into()).filter_map(one).collect()
        };
        let inputs = tensors(record.inputs, "INPUT", &|position| artifact.api_input(&record, position));
        let outputs = tensors(record.outputs, "OUTPUT", &|position| artifact.api_output(&record, position));
        let fixed_rows = record.fixed_rows;
        Some(Self { identifier, name: name.to_owned(), arena: record.arena, fixed_rows, inputs, outputs })
    }

    /// Rows of the run that the constants without a number of rows are for.
    fn usual_rows(&self) -> u64 {
        self.fixed_rows.max(1).into()
    }

    /// Bytes of arena for [`Self::usual_rows`].
    fn usual_arena(&self) -> u64 {
        self.arena.fixed.saturating_add(self.arena.per_row.saturating_mul(self.usual_rows()))
    }
}
