//! What can be wrong with a pickle.

use std::fmt;

/// Why a pickle was refused. Offsets count bytes from the start of the file, or of its decompressed data where the file is
/// compressed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The first bytes are not those of a pickle of protocol 2 to 5, nor of a known compression.
    #[error("not a pickle: {found}; expected a pickle of protocol 2 to 5 or a joblib file, as `joblib.dump` writes it")]
    NotAPickle {
        /// What the first bytes look like.
        found: String,
    },
    /// The file is compressed in a way this reader does not decompress.
    #[error("the file is compressed with {format}, which is not supported: {advice}")]
    CompressionUnsupported {
        /// Name of the compression.
        format: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// The compressed data is damaged.
    #[error("damaged {format} data: {reason}")]
    CompressionDamaged {
        /// Name of the compression.
        format: &'static str,
        /// What the decompressor says.
        reason: String,
    },
    /// The data ends early.
    #[error("truncated at byte {offset}: {what} needs {needed} bytes, {remaining} are left; copy the file again")]
    Truncated {
        /// Where the missing bytes should start.
        offset: usize,
        /// What they belong to.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        remaining: usize,
    },
    /// An opcode that is not read.
    #[error("byte {offset}: opcode {name} (0x{opcode:02x}) is refused: {reason}")]
    Opcode {
        /// Where the opcode is.
        offset: usize,
        /// Its byte.
        opcode: u8,
        /// Its name in Python's `pickletools`.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The pickle names globals that are not on the allow-list: all that were found. Nothing was imported, called or executed.
    #[error(
        "the pickle asks for {}, not on the list of classes and functions this tool reads as data. Nothing was executed. \
         If the file is trusted, export the model to ONNX, or save only estimators of supported libraries without them",
        RefusedList(.0)
    )]
    GlobalsNotAllowed(Vec<Refused>),
    /// A global of the allow-list is used in a way that its library never writes.
    #[error("byte {offset}: `{}`: {reason}", Printable(global))]
    Misuse {
        /// Where.
        offset: usize,
        /// The global.
        global: String,
        /// What is wrong.
        reason: String,
    },
    /// The opcodes do not fit together.
    #[error("byte {offset}: {opcode}: {reason}")]
    Malformed {
        /// Where the opcode is.
        offset: usize,
        /// Its name in Python's `pickletools`.
        opcode: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An array's element type is not read.
    #[error("byte {offset}: array element type {dtype} is not supported: {reason}")]
    Dtype {
        /// Where.
        offset: usize,
        /// numpy's name of it.
        dtype: String,
        /// Why.
        reason: String,
    },
    /// A limit was reached.
    #[error("byte {offset}: more than {limit} {what}, which no model of ordinary size needs")]
    Limit {
        /// Where.
        offset: usize,
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// A global that is not on the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Module and qualified name, joined by a dot; any text.
    pub name: String,
    /// Where it is first named, in bytes.
    pub offset: usize,
}

impl fmt::Display for Refused {
    /// The name, fit for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.name).fmt(f)
    }
}

struct RefusedList<'a>(&'a [Refused]);

impl fmt::Display for RefusedList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refused) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{refused}` (byte {})", refused.offset)?;
        }
        Ok(())
    }
}

/// Text of a file in a message: control characters escaped, 200 characters at most.
pub(in crate::frontend) struct Printable<'a>(pub(in crate::frontend) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        for c in self.0.chars().take(SHOWN) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        if self.0.chars().nth(SHOWN).is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}
