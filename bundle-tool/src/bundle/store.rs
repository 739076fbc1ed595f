//! BentoML's own store on a disk: `bentos/<name>/<version>` and `models/<name>/<version>`, each name with a file `latest`.

use std::path::{Path, PathBuf};

use super::error::BundleError;
use super::files::{Files, normal_name, read_regular};
use super::{v0_13, v1};

/// The folder of models in a store, and that of bentos.
const MODELS: &str = "models";
const BENTOS: &str = "bentos";
/// The file that names the newest version.
const LATEST: &str = "latest";
/// Bytes of a version's name.
const VERSION_LIMIT: u64 = 1024;

/// A directory of models as the user names it: itself, or its `models` where it is a whole store.
pub(super) fn given(path: &Path) -> Result<Files, BundleError> {
    let models = path.join(MODELS);
    Files::directory(if models.is_dir() { &models } else { path })
}

/// The directory of models of the store that the bento at `path` is in, if it is in one.
pub(super) fn beside(path: &Path) -> Result<Option<Files>, BundleError> {
    let Ok(path) = path.canonicalize() else {
        return Ok(None);
    };
    let bentos = path.ancestors().nth(2).filter(|folder| folder.ends_with(BENTOS));
    let models = bentos.and_then(Path::parent).map(|store| store.join(MODELS));
    models.filter(|models| models.is_dir()).map(|models| Files::directory(&models)).transpose()
}

/// The directory of the version that the file `latest` of `path` names; `path` itself where it holds a bento or model, or no such file.
///
/// # Errors
/// A file `latest` that does not name a directory in `path`.
pub(super) fn chosen_version(path: &Path) -> Result<PathBuf, BundleError> {
    let manifests = [v0_13::MANIFEST, v1::MANIFEST, v1::MODEL_MANIFEST];
    let latest = path.join(LATEST);
    if !latest.is_file() || manifests.iter().any(|name| path.join(name).exists()) {
        return Ok(path.to_owned());
    }
    let label = latest.display().to_string();
    let bytes = read_regular(&latest, &label, VERSION_LIMIT)?;
    let version = String::from_utf8_lossy(&bytes).trim().to_owned();
    if !is_part(&version) || !path.join(&version).is_dir() {
        let problem = format!("names the version {version:?}, which is no directory beside it");
        return Err(BundleError::Key { file: label, key: LATEST.to_owned(), problem });
    }
    Ok(path.join(version))
}

/// Whether a text is one part of a path: a name or a version.
pub(super) fn is_part(part: &str) -> bool {
    !part.contains('/') && !part.is_empty() && normal_name(part).as_deref() == Ok(part)
}
