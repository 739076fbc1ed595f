//! Python pickles and joblib files, read as data.
//!
//! A pickle is a program for a small stack machine, and Python's own loader imports and calls whatever that program names.
//! This reader runs the same program and builds a description instead: a [`Document`] of values, arrays and objects, where an
//! object is the *name* of its class, the arguments it would have been made with, and its attributes. It imports nothing,
//! calls nothing, and knows a name only if the caller's [`AllowList`] has it, letter by letter. A file that names anything else is
//! refused; it is read to its end first, so that all such names can be listed.
//!
//! Read are protocols 2 to 5; joblib files with and without alignment padding, whose array data stands between the opcodes or
//! in nested pickles; and either of them compressed as a whole with zlib, gzip, bz2, xz or lzma. numpy's arrays, scalars and
//! element types become [`Array`]s and plain values.
//!
//! Any bytes are safe to read. Memory and time are bounded by [`Limits`]; sizes that the file declares are checked against the
//! bytes it has before anything is allocated; nothing recurses along the file's structure, and structures that contain
//! themselves are represented as such, with walks through them bounded in [`Item`].
//!
//! ```
//! use ekiben::frontend::pickle::{AllowList, Limits, read};
//!
//! let bytes = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x07weights\x94]\x94s.";
//! let document = read(bytes, &AllowList::plumbing(), &Limits::default())?;
//! assert_eq!(document.root().get("weights")?.items()?.len(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod builder;
mod compression;
mod cursor;
mod document;
mod dtype;
mod error;
mod globals;
mod item;
mod joblib;
mod limits;
mod machine;
mod numpy;
mod object;
mod opcode;
#[cfg(test)]
pub(super) mod tests;

pub use array::Array;
pub use document::Document;
pub use dtype::{Dtype, Field, Kind};
pub(super) use error::Printable;
pub use error::{PickleError, Refused};
pub use globals::AllowList;
pub use item::{AccessError, Item};
pub use limits::Limits;

/// Reads the pickle or joblib file `bytes`, which may name only the globals in `allow`.
///
/// Bytes after the end of the pickle are ignored, as Python does.
///
/// # Errors
/// Anything that is not a well-formed pickle within `limits`; the error says what, where and what to do.
/// [`PickleError::GlobalsNotAllowed`] lists every global that is not on the list.
pub fn read<'a>(bytes: &'a [u8], allow: &AllowList, limits: &Limits) -> Result<Document<'a>, PickleError> {
    let document = survey(bytes, allow, limits)?;
    match document.refused() {
        [] => Ok(document),
        refused => Err(PickleError::GlobalsNotAllowed(refused.to_vec())),
    }
}

/// As [`read`], but gives a document also where globals are not on the list, so that a caller can say where in the model their
/// objects are. Such a document is for messages only: whoever finds [`Document::refused`] not empty refuses the file.
///
/// # Errors
/// As [`read`]. A file that cannot be followed to its end because of such globals is refused for them.
pub fn survey<'a>(bytes: &'a [u8], allow: &AllowList, limits: &Limits) -> Result<Document<'a>, PickleError> {
    let buffer = compression::open(bytes, limits)?;
    let mut builder = builder::Builder::new(&buffer, allow, limits);
    let result = machine::run(&mut builder);
    let contents = builder.contents;
    match result {
        Ok(root) => Ok(Document::new(buffer, contents, root, limits)),
        Err(_) if !contents.refused.is_empty() => Err(PickleError::GlobalsNotAllowed(contents.refused)),
        Err(error) => Err(error),
    }
}
