//! Confined access to a bento's files: a directory, or an archive held in memory.
//!
//! A name is a relative path with `/` between its parts. No name reaches outside the bento: names with `..`, absolute
//! names and symbolic links that lead out of a directory are refused. Nothing is ever written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::BundleError;

/// Entries that one directory bento may hold.
const MAX_ENTRIES: usize = 100_000;
/// Directories that may be nested in a bento.
pub(super) const MAX_DEPTH: usize = 32;
/// Bytes of one name.
pub(super) const MAX_NAME_BYTES: usize = 1024;

/// Largest manifest, in bytes.
pub(super) const MANIFEST_LIMIT: u64 = 4 << 20;
/// Largest Python source, in bytes.
pub(super) const SOURCE_LIMIT: u64 = 1 << 20;
/// Largest model file, in bytes.
pub const MODEL_LIMIT: u64 = 4 << 30;

/// The files of one bento. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Files {
    /// How messages call the bento.
    label: Arc<str>,
    store: Arc<Store>,
}

#[derive(Debug)]
enum Store {
    /// A canonical directory path.
    Directory(PathBuf),
    /// Whole members in memory.
    Memory(BTreeMap<String, Vec<u8>>),
    /// One bare file, read on demand.
    Single { path: PathBuf, name: String },
}

impl Files {
    /// Opens a directory. Its own path may be a symbolic link; nothing inside may lead out of it.
    pub fn directory(path: &Path) -> Result<Files, BundleError> {
        let label = path.display().to_string();
        let root = fs::canonicalize(path).map_err(|source| BundleError::Io { path: label.clone(), source })?;
        Ok(Files::new(&label, Store::Directory(root)))
    }

    /// Opens one file as a bento that holds only it.
    pub(super) fn single(path: &Path) -> Result<Files, BundleError> {
        let label = path.display().to_string();
        let name = match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => name.to_owned(),
            None => {
                return Err(BundleError::UnsafeName { name: label, reason: "is not a UTF-8 file name" });
            }
        };
        Ok(Files::new(&label, Store::Single { path: path.to_owned(), name }))
    }

    /// The same files, and for a bare file those of its folder.
    pub(super) fn with_folder(&self) -> Result<Cow<'_, Files>, BundleError> {
        match &*self.store {
            Store::Single { path, .. } => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Files::directory(folder.unwrap_or(Path::new("."))).map(Cow::Owned)
            }
            _ => Ok(Cow::Borrowed(self)),
        }
    }

    /// Wraps the decoded members of an archive; names have passed [`normal_name`].
    pub(super) fn memory(label: &str, members: BTreeMap<String, Vec<u8>>) -> Files {
        Files::new(label, Store::Memory(members))
    }

    /// The same files without the one folder that all of an archive are in, where the manifest is in that folder: `tar -czf a.tar.gz bento`
    /// makes such archives.
    pub(super) fn below_single_folder(self, is_manifest: impl Fn(&str) -> bool) -> Files {
        let Store::Memory(members) = &*self.store else {
            return self;
        };
        let folder =
            members.keys().next().and_then(|name| name.split_once('/')).map(|(folder, _)| format!("{folder}/"));
        let Some(folder) = folder.filter(|folder| members.keys().all(|name| name.starts_with(folder))) else {
            return self;
        };
        if !members.keys().any(|name| name.matches('/').count() == 1 && is_manifest(name)) {
            return self;
        }
        let label = Arc::clone(&self.label);
        let below = |members: BTreeMap<String, Vec<u8>>| {
            members.into_iter().map(|(name, bytes)| (name[folder.len()..].to_owned(), bytes)).collect()
        };
        let store = match Arc::try_unwrap(self.store) {
            Ok(Store::Memory(members)) => Store::Memory(below(members)),
            Ok(other) => other,
            Err(shared) => return Files { label, store: shared },
        };
        Files { label, store: Arc::new(store) }
    }

    fn new(label: &str, store: Store) -> Files {
        Files { label: label.into(), store: Arc::new(store) }
    }

    /// The bento's path as the user gave it, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How messages call the file `name` of this bento.
    pub fn describe(&self, name: &str) -> String {
        match &*self.store {
            Store::Single { .. } => self.label.to_string(),
            Store::Directory(_) | Store::Memory(_) => {
                format!("{}/{name}", self.label.trim_end_matches('/'))
            }
        }
    }

    /// Whether a file called `name` is there. Unsafe names are simply absent.
    pub fn contains(&self, name: &str) -> bool {
        match &*self.store {
            Store::Memory(members) => members.contains_key(name),
            Store::Single { name: only, .. } => only == name,
            Store::Directory(root) => normal_name(name).is_ok_and(|name| {
                !name.is_empty() && root.join(name).symlink_metadata().is_ok_and(|meta| !meta.is_dir())
            }),
        }
    }

    /// Reads the whole file `name`, at most `limit` bytes.
    ///
    /// # Errors
    /// An absent file, a file over the limit, a name or a link that leads out of the bento, something that is no regular file.
    pub fn read(&self, name: &str, limit: u64) -> Result<Cow<'_, [u8]>, BundleError> {
        match &*self.store {
            Store::Memory(members) => {
                let bytes = members.get(name).ok_or_else(|| self.missing(name))?;
                let size = bytes.len() as u64;
                if size > limit {
                    return Err(BundleError::TooLarge { file: self.describe(name), size, limit });
                }
                Ok(Cow::Borrowed(bytes))
            }
            Store::Single { path, name: only } if only == name => {
                read_regular(path, &self.label, limit).map(Cow::Owned)
            }
            Store::Single { .. } => Err(self.missing(name)),
            Store::Directory(root) => {
                let name =
                    normal_name(name).map_err(|reason| BundleError::UnsafeName { name: name.to_owned(), reason })?;
                let path = self.resolve(root, &name)?;
                read_regular(&path, &self.describe(&name), limit).map(Cow::Owned)
            }
        }
    }

    /// Reads the whole text file `name`, at most `limit` bytes of UTF-8; a byte order mark is dropped.
    pub fn read_text(&self, name: &str, limit: u64) -> Result<String, BundleError> {
        let bytes = self.read(name, limit)?.into_owned();
        let text = String::from_utf8(bytes).map_err(|error| BundleError::NotUtf8 {
            file: self.describe(name),
            offset: error.utf8_error().valid_up_to(),
        })?;
        Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        })
    }

    /// Names of all files under the directory `under` (`""` is the root), sorted, relative to the bento's root.
    ///
    /// Symbolic links are listed and not followed. An absent directory has no files.
    pub fn list(&self, under: &str) -> Result<Vec<String>, BundleError> {
        let under = normal_name(under).map_err(|reason| BundleError::UnsafeName { name: under.to_owned(), reason })?;
        match &*self.store {
            Store::Memory(members) => {
                let prefix = if under.is_empty() { under } else { under + "/" };
                Ok(members
                    .range(prefix.clone()..)
                    .map(|(name, _)| name)
                    .take_while(|name| name.starts_with(&prefix))
                    .cloned()
                    .collect())
            }
            Store::Single { name, .. } => Ok(if under.is_empty() { vec![name.clone()] } else { Vec::new() }),
            Store::Directory(root) => self.walk(root, &under),
        }
    }

    fn missing(&self, name: &str) -> BundleError {
        BundleError::MissingFile {
            bento: self.label.to_string(),
            file: name.to_owned(),
            advice: "Copy or export the bento again".to_owned(),
        }
    }

    /// The real path of `name`, which must stay below `root`.
    fn resolve(&self, root: &Path, name: &str) -> Result<PathBuf, BundleError> {
        let path = match fs::canonicalize(root.join(name)) {
            Ok(path) => path,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(self.missing(name));
            }
            Err(source) => {
                return Err(BundleError::Io { path: self.describe(name), source });
            }
        };
        if !path.starts_with(root) {
            return Err(BundleError::UnsafeName {
                name: self.describe(name),
                reason: "is a symbolic link that leads out of the bento",
            });
        }
        Ok(path)
    }

    fn walk(&self, root: &Path, under: &str) -> Result<Vec<String>, BundleError> {
        let limit = |problem: String| BundleError::DirectoryLimit { path: self.label.to_string(), problem };
        let mut names = BTreeSet::new();
        let mut seen = 0_usize;
        let mut pending = vec![under.to_owned()];
        while let Some(folder) = pending.pop() {
            if folder.split('/').count() > MAX_DEPTH {
                return Err(limit(format!("has more than {MAX_DEPTH} nested directories at {folder:?}")));
            }
            let path = match self.resolve(root, &folder) {
                Ok(path) => path,
                Err(BundleError::MissingFile { .. }) => continue,
                Err(error) => return Err(error),
            };
            let io = |source| BundleError::Io { path: self.describe(&folder), source };
            for entry in fs::read_dir(&path).map_err(io)? {
                let entry = entry.map_err(io)?;
                seen += 1;
                if seen > MAX_ENTRIES {
                    return Err(limit(format!("holds more than {MAX_ENTRIES} entries")));
                }
                // A name that is not UTF-8 cannot be named by a manifest, so it is no part of the bento.
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    continue;
                };
                let full = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if entry.file_type().map_err(io)?.is_dir() {
                    pending.push(full);
                } else {
                    names.insert(full);
                }
            }
        }
        Ok(names.into_iter().collect())
    }
}

/// The plain form of a relative name: parts joined by `/`, without `.` and empty parts; `""` is the root.
///
/// # Errors
/// Says what is wrong with a name that is absolute, has `..`, a backslash or a control character, or is too long or too deep.
pub(super) fn normal_name(name: &str) -> Result<String, &'static str> {
    if name.len() > MAX_NAME_BYTES {
        return Err("is longer than 1024 bytes");
    }
    if name.starts_with('/') {
        return Err("is an absolute path");
    }
    if name.contains('\\') {
        return Err("contains a backslash");
    }
    if name.chars().any(char::is_control) {
        return Err("contains a control character");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err("leads out of the bento with `..`");
    }
    if parts.len() > MAX_DEPTH {
        return Err("is nested in more than 32 directories");
    }
    Ok(parts.join("/"))
}

/// Reads a regular file of at most `limit` bytes, whatever its size becomes while it is read.
pub(super) fn read_regular(path: &Path, label: &str, limit: u64) -> Result<Vec<u8>, BundleError> {
    let io = |source| BundleError::Io { path: label.to_owned(), source };
    // A pipe or a device must not even be opened: it could block or have effects.
    let meta = fs::metadata(path).map_err(io)?;
    if !meta.is_file() {
        return Err(BundleError::UnsafeName { name: label.to_owned(), reason: "is not a regular file" });
    }
    if meta.len() > limit {
        return Err(BundleError::TooLarge { file: label.to_owned(), size: meta.len(), limit });
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(BundleError::TooLarge { file: label.to_owned(), size: bytes.len() as u64, limit });
    }
    Ok(bytes)
}
