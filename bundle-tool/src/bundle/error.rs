//! What can be wrong with a bento, always with the file, key or member it was found in.

use std::io;

/// Why a bento or a model file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The operating system refused to list or read something.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or directory, as the user knows it.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The content is none of the layouts or formats read here.
    #[error(
        "{path} is not a bento or a model that ekiben reads: {found}. Give a BentoML 0.13 bundle directory, a BentoML 1.x \
         bento directory or its .bento export (or a tar or zip of either), or a .onnx, .tflite or scikit-learn pickle file"
    )]
    Unrecognised {
        /// The file or directory.
        path: String,
        /// What its content looks like.
        found: String,
    },
    /// A file that the layout needs, or that a manifest names, is absent.
    #[error("{bento} has no file {file}. {advice}")]
    MissingFile {
        /// The bento.
        bento: String,
        /// The absent file, relative to the bento.
        file: String,
        /// What to do next.
        advice: String,
    },
    /// A file is larger than what its kind may be.
    #[error(
        "{file} has {size} bytes; at most {limit} are read for a file of this kind. Remove what does not belong in it"
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A directory holds more entries, or deeper ones, than any bento needs.
    #[error(
        "{path} {problem}. Give the directory that holds bentoml.yml, bento.yaml or model.yaml, without unrelated files"
    )]
    DirectoryLimit {
        /// The directory.
        path: String,
        /// The limit that was reached.
        problem: String,
    },
    /// A name inside the bento could reach outside of it, or is not a plain relative path.
    #[error("the name {name:?} is refused: it {reason}. Names in a bento are relative paths inside it")]
    UnsafeName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A member of an archive is refused.
    #[error("{archive}: member {member:?} is refused: it {reason}. Rebuild the archive with `bentoml export`")]
    Member {
        /// The archive.
        archive: String,
        /// The member's name as stored.
        member: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An archive unpacks to more than is allowed.
    #[error("{archive} is refused: it {problem}. If the bento is genuine, unpack it yourself and give the directory")]
    ArchiveLimit {
        /// The archive.
        archive: String,
        /// The limit that was reached.
        problem: String,
    },
    /// An archive's own structure is broken.
    #[error("{archive} is damaged: {detail}. Copy or export it again")]
    Archive {
        /// The archive.
        archive: String,
        /// Where and what.
        detail: String,
    },
    /// A manifest is not YAML, or lacks a key, or has a value of another type.
    #[error("{file}: {detail}")]
    Yaml {
        /// The manifest.
        file: String,
        /// The parser's message, with line and column.
        detail: String,
    },
    /// A manifest's value is understood as YAML but not usable.
    #[error("{file}: `{key}` {problem}")]
    Key {
        /// The manifest.
        file: String,
        /// The key, with its path (`apis[2].route`).
        key: String,
        /// What is wrong with it and what to do next.
        problem: String,
    },
    /// A text file is not UTF-8.
    #[error("{file} is not UTF-8 text (byte {offset}). Save it as UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// Offset of the first wrong byte.
        offset: usize,
    },
}
