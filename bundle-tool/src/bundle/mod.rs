//! Bento layouts: what a BentoML bento, an archive or a bare model file holds, read without running any of it.
//!
//! [`Bundle::open`] tells the layout by content, never by name, and gives one description for all of them. Everything it
//! reads is untrusted: sizes, depths, names and links are bounded or refused with a [`BundleError`].

mod api;
mod archive;
mod bare;
mod documents;
mod error;
mod files;
mod format;
mod legacy;
mod schema;
mod store;
mod v0_13;
mod v1;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use ekiben_runtime::artifact::image::PassOrder;
use serde_json::Value;

pub use api::{ApiDecl, ImageOptions, InputAdapter, Interface, ModelFile, OutputAdapter, Parameter, ValueSchema};
pub use error::BundleError;
pub use files::{Files, MODEL_LIMIT};
pub use format::ModelFormat;

use archive::{Compression, Limits};

/// Which layout a bundle has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// A BentoML 0.13 bundle.
    V0_13,
    /// A BentoML 1.x bento.
    V1,
    /// A model without a service.
    Bare,
}

/// Where the service class is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// The Python file, one of [`Bundle::sources`].
    pub file: String,
    /// The class's name in it.
    pub attribute: String,
}

/// Where a bento comes from, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// BentoML's version.
    pub bentoml_version: Option<String>,
    /// Python's version.
    pub python_version: Option<String>,
    /// Time of creation, as written.
    pub created: Option<String>,
    /// Labels (1.x).
    pub labels: BTreeMap<String, String>,
    /// pip requirements, one per line.
    pub pip_packages: Vec<String>,
    /// Framework versions, by package.
    pub frameworks: BTreeMap<String, String>,
}

impl Provenance {
    /// The release of a package (in lower case) that a requirement pins: `pillow==8.4.0`.
    pub(crate) fn pinned(&self, package: &str) -> Option<&str> {
        self.pip_packages.iter().find_map(|line| {
            let (name, release) = line.split_once("==")?;
            let release = release.split([';', ',', ' ']).next()?;
            name.trim().eq_ignore_ascii_case(package).then_some(release.trim())
        })
    }
}

/// A bento, or a bare model, with everything it declares.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its layout.
    pub generation: Generation,
    /// The service's name (class name), or the model's where there is no service.
    pub service: String,
    /// The bento's version.
    pub version: Option<String>,
    /// Where the service class is; `None` for a bare model.
    pub entry: Option<EntryPoint>,
    /// The APIs in the manifest's order, which is by name.
    pub apis: Vec<ApiDecl>,
    /// The models in the manifest's order.
    pub models: Vec<ModelFile>,
    /// Python files of the service, sorted, relative to where its imports are resolved.
    pub sources: Vec<String>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The service's schema (1.x), which its server answers at `/schema.json`.
    pub schema: Option<Value>,
    source_root: String,
    files: Files,
    /// The folder that the bento, archive or model file is in.
    folder: Option<std::path::PathBuf>,
}

/// Name of a file of declarations.
pub const DECLARATIONS: &str = "ekiben.toml";

/// Bytes that decide between layouts: a tar header's magic ends at 265.
const HEAD_BYTES: u64 = 512;

impl Bundle {
    /// Opens a bento directory, an archive or a model file.
    ///
    /// Of a bento or model in BentoML's own store the directory of its versions will do, whose file `latest` then chooses one; models
    /// that the bento does not hold are taken from the store that it is in. `store` is another directory of models
    /// (`<name>/<version>/model.yaml`), or one that has it as `models`, and comes first.
    ///
    /// # Errors
    /// Anything that is not one of these, or is damaged, or tries to reach outside of itself or to exhaust memory.
    pub fn open(path: &Path, store: Option<&Path>) -> Result<Bundle, BundleError> {
        let folder = path.parent().map(|folder| match folder.as_os_str().is_empty() {
            true => std::path::PathBuf::from("."),
            false => folder.to_owned(),
        });
        Ok(Bundle { folder, ..Bundle::open_path(path, store)? })
    }

    fn open_path(path: &Path, store: Option<&Path>) -> Result<Bundle, BundleError> {
        let mut stores: Vec<Files> = store.map(store::given).transpose()?.into_iter().collect();
        let label = path.display().to_string();
        let meta = fs::metadata(path).map_err(|source| BundleError::Io { path: label.clone(), source })?;
        if meta.is_dir() {
            let path = store::chosen_version(path)?;
            stores.extend(store::beside(&path)?);
            return Bundle::of_files(Files::directory(&path)?, &stores);
        }
        if !meta.is_file() {
            return Err(BundleError::Unrecognised {
                path: label,
                found: "it is neither a directory nor a regular file".to_owned(),
            });
        }
        let head = head(path, &label)?;
        if let Some(compression) = archive_of(&head, path, &label)? {
            return Bundle::of_files(archive::open(path, compression, Limits::DEFAULT)?, &stores);
        }
        let format = ModelFormat::of(&files::read_regular(path, &label, MODEL_LIMIT)?);
        if matches!(format, ModelFormat::Zip | ModelFormat::Mojo | ModelFormat::Keras) {
            match archive::open_zip(path, Limits::DEFAULT, is_manifest) {
                Ok(Some(files)) => return Bundle::of_files(files, &stores),
                // A model's own reader says what is wrong with it.
                Err(error) if format == ModelFormat::Zip => return Err(error),
                _ => {}
            }
        }
        let found = match format {
            ModelFormat::Unknown => "its first bytes are those of no known format",
            ModelFormat::Zip => "it is a zip without bentoml.yml, bento.yaml or model.yaml",
            _ => return bare::open(path, format),
        };
        Err(BundleError::Unrecognised { path: label, found: found.to_owned() })
    }

    /// Tells the layout by the manifest at the root.
    fn of_files(files: Files, stores: &[Files]) -> Result<Bundle, BundleError> {
        let files = files.below_single_folder(is_manifest);
        if files.contains(v0_13::MANIFEST) {
            v0_13::open(files)
        } else if files.contains(v1::MANIFEST) {
            v1::open(files, stores)
        } else if files.contains(v1::MODEL_MANIFEST) {
            v1::open_model(files)
        } else if files.contains(bare::SAVED_MODEL) {
            bare::saved_model(files)
        } else if files.contains(bare::KERAS_WEIGHTS) && files.contains(bare::KERAS_CONFIG) {
            bare::keras(files)
        } else {
            let found = "it has no bentoml.yml, bento.yaml or model.yaml at its root".to_owned();
            Err(BundleError::Unrecognised { path: files.label().to_owned(), found })
        }
    }

    /// The text of a file of the bento; of a bare model, of its folder.
    ///
    /// # Errors
    /// A name that leads out of the bento, or a file that is too large or no text.
    pub(crate) fn read_text_file(&self, name: &str) -> Result<String, BundleError> {
        self.files.with_folder()?.read_text(name, files::SOURCE_LIMIT)
    }

    /// Where declarations are that come with the bento, as messages call them, and their text: [`DECLARATIONS`] at its root, or else beside it.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn declarations(&self) -> Result<Option<(String, String)>, BundleError> {
        if self.files.contains(DECLARATIONS) {
            let text = self.files.read_text(DECLARATIONS, files::SOURCE_LIMIT)?;
            return Ok(Some((self.files.describe(DECLARATIONS), text)));
        }
        let Some(folder) = self.folder.as_ref().filter(|folder| folder.join(DECLARATIONS).is_file()) else {
            return Ok(None);
        };
        let files = Files::directory(folder)?;
        Ok(Some((files.describe(DECLARATIONS), files.read_text(DECLARATIONS, files::SOURCE_LIMIT)?)))
    }

    /// The text of one of [`Bundle::sources`].
    pub fn read_source(&self, name: &str) -> Result<String, BundleError> {
        self.files.read_text(&format!("{}/{name}", self.source_root), files::SOURCE_LIMIT)
    }

    /// The bytes of a file beside [`Bundle::sources`], by its path relative to where they are.
    ///
    /// # Errors
    /// A file that is not there, is too large, or a link that leads out of the bento.
    pub(crate) fn read_beside_sources(&self, name: &str, limit: u64) -> Result<Vec<u8>, BundleError> {
        let path = if self.source_root.is_empty() { name.to_owned() } else { format!("{}/{name}", self.source_root) };
        Ok(self.files.read(&path, limit)?.into_owned())
    }

    /// BLAKE3 over the names and contents of all that is read of the bento: its files, and those of its models.
    ///
    /// # Errors
    /// Those of reading the files.
    pub fn digest(&self) -> Result<blake3::Hash, BundleError> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |name: &str, contents: &[u8]| {
            for part in [name.as_bytes(), contents] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        };
        for name in self.files.list("")? {
            add(&name, &self.files.read(&name, MODEL_LIMIT)?);
        }
        for model in &self.models {
            add(&model.tag(), &[]);
            for name in &model.files {
                add(name, &model.read_file(name)?);
            }
        }
        Ok(hasher.finalize())
    }

    /// BLAKE3 over the names and contents of [`Bundle::sources`], and of a 1.x bento all other files beside them, which the service may open;
    /// `None` where there are none.
    ///
    /// # Errors
    /// Those of reading the files.
    pub fn sources_digest(&self) -> Result<Option<blake3::Hash>, BundleError> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |name: &str, contents: &[u8]| {
            for part in [name.as_bytes(), contents] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        };
        for name in &self.sources {
            add(name, self.read_source(name)?.as_bytes());
        }
        if self.generation == Generation::V1 && !self.sources.is_empty() {
            for name in self.files.list(&self.source_root)?.iter().filter(|name| !name.ends_with(".py")) {
                add(name, &self.files.read(name, MODEL_LIMIT)?);
            }
        }
        Ok((!self.sources.is_empty()).then(|| hasher.finalize()))
    }

    /// The order in which the bento's release of Pillow changes the sizes of images. Where none is pinned: that of the releases that
    /// BentoML's generation is used with.
    pub(crate) fn pass_order(&self) -> PassOrder {
        match (self.provenance.pinned("pillow"), self.generation) {
            (Some(release), _) => PassOrder::of_pillow(release),
            (None, Generation::V0_13) => PassOrder::RowsFirst,
            (None, _) => PassOrder::default(),
        }
    }

    /// Gives every file of the bento by its path, and those of its models where BentoML looks for them in an exported bento.
    ///
    /// # Errors
    /// Those of reading the files, and those of `take`.
    pub(crate) fn each_file<E: From<BundleError>>(
        &self,
        mut take: impl FnMut(&str, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for name in self.files.list("")? {
            take(&name, &self.files.read(&name, MODEL_LIMIT)?)?;
        }
        for model in &self.models {
            let Some(version) = &model.version else { continue };
            if !self.files.contains(&model.main) {
                let folder = format!("{}/{version}", model.name);
                for name in model.store.list(&folder)? {
                    take(&format!("models/{name}"), &model.store.read(&name, MODEL_LIMIT)?)?;
                }
            }
            // What a tag without a version means.
            let latest = format!("models/{}/latest", model.name);
            if !self.files.contains(&latest) {
                take(&latest, version.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The folder that the names of [`Bundle::sources`] are relative to, relative to the bento.
    pub(crate) fn source_root(&self) -> &str {
        &self.source_root
    }

    /// How messages call one of [`Bundle::sources`].
    pub fn describe_source(&self, name: &str) -> String {
        self.files.describe(&format!("{}/{name}", self.source_root))
    }

    /// The bento's path as the user gave it.
    pub fn label(&self) -> &str {
        self.files.label()
    }

    /// The API called `name`.
    pub fn api(&self, name: &str) -> Option<&ApiDecl> {
        self.apis.iter().find(|api| api.name == name)
    }

    /// The model whose name or `name:version` is `tag`.
    pub fn model(&self, tag: &str) -> Option<&ModelFile> {
        self.models.iter().find(|model| model.name == tag || model.tag() == tag)
    }
}

/// The text of a file of declarations anywhere.
///
/// # Errors
/// A file that cannot be read, is too large, or is no text.
pub fn read_declarations(path: &Path) -> Result<String, BundleError> {
    let files = Files::single(path)?;
    let name = files.list("")?.into_iter().next().unwrap_or_default();
    files.read_text(&name, files::SOURCE_LIMIT)
}

/// Whether a file of this name, at the root or in the only folder there, is the manifest of a bento or model.
fn is_manifest(name: &str) -> bool {
    let name = match name.split_once('/') {
        Some((_, name)) => name,
        None => name,
    };
    [v0_13::MANIFEST, v1::MANIFEST, v1::MODEL_MANIFEST].contains(&name)
}

/// The first bytes of a file.
fn head(path: &Path, label: &str) -> Result<Vec<u8>, BundleError> {
    let io = |source| BundleError::Io { path: label.to_owned(), source };
    let mut head = Vec::new();
    fs::File::open(path).map_err(io)?.take(HEAD_BYTES).read_to_end(&mut head).map_err(io)?;
    Ok(head)
}

/// How a file is compressed if it is a tar archive: a compressed pickle is told apart by what it unpacks to.
fn archive_of(head: &[u8], path: &Path, label: &str) -> Result<Option<Compression>, BundleError> {
    let compression = match head {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [b'B', b'Z', b'h', ..] => Compression::Bzip2,
        _ if is_tar(head) => return Ok(Some(Compression::None)),
        _ => return Ok(None),
    };
    let inner = archive::head(path, label, compression, HEAD_BYTES)?;
    Ok(is_tar(&inner).then_some(compression))
}

/// Whether a block begins a POSIX or GNU tar: a header, or the zeros that end an empty archive.
fn is_tar(block: &[u8]) -> bool {
    let empty = block.len() as u64 == HEAD_BYTES && block.iter().all(|&byte| byte == 0);
    empty || block.get(257..262) == Some(b"ustar")
}

/// Requirements of a requirements.txt: lines without comments, options and blanks.
fn requirement_lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '-'])).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
