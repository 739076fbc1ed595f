//! Bounded little-endian reading and writing: the only place that turns bytes into integers and back.

/// Why a read or a write stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BytesError {
    /// The bytes end before the value does.
    Truncated {
        /// Position of the value.
        at: usize,
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A value is not one of those that its field allows.
    Invalid {
        /// Position just after the value.
        at: usize,
        /// The field.
        field: &'static str,
    },
}

impl core::fmt::Display for BytesError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated { at, needed, left } => {
                write!(f, "byte {at}: {needed} bytes needed, {left} left")
            }
            Self::Invalid { at, field } => write!(f, "before byte {at}: {field} has an undefined value"),
        }
    }
}

impl core::error::Error for BytesError {}

/// Reads values from the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! read_number {
    ($($name:ident: $type:ty),*) => {$(
        #[doc = concat!("Reads one little-endian `", stringify!($type), "`.")]
        pub fn $name(&mut self) -> Result<$type, BytesError> {
            self.array().map(<$type>::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Position of the next value.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], BytesError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..n).ok_or(BytesError::Truncated { at: self.at, needed: n, left: rest.len() })?;
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BytesError> {
        let at = self.at;
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| BytesError::Truncated { at, needed: N, left: 0 })
    }

    read_number!(u8: u8, u16: u16, u32: u32, u64: u64, i8: i8, i16: i16, i32: i32, i64: i64, f32: f32, f64: f64);

    /// Reads a byte that is 0 or 1.
    pub fn bool(&mut self, field: &'static str) -> Result<bool, BytesError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.invalid(field)),
        }
    }

    /// The error for a value just read that `field` does not allow.
    pub fn invalid(&self, field: &'static str) -> BytesError {
        BytesError::Invalid { at: self.at, field }
    }

    /// Succeeds when everything was read.
    pub fn finish(&self) -> Result<(), BytesError> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.invalid("bytes after the end")) }
    }
}

/// Writes values to the front of a byte slice.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

macro_rules! write_number {
    ($($name:ident: $type:ty),*) => {$(
        #[doc = concat!("Writes one little-endian `", stringify!($type), "`.")]
        pub fn $name(&mut self, value: $type) -> Result<(), BytesError> {
            self.put(&value.to_le_bytes())
        }
    )*};
}

impl<'a> Writer<'a> {
    /// A writer at the start of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bytes written.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Writes `value` as it is.
    pub fn put(&mut self, value: &[u8]) -> Result<(), BytesError> {
        let left = self.bytes.len() - self.at;
        let error = BytesError::Truncated { at: self.at, needed: value.len(), left };
        let end = self.at.checked_add(value.len()).ok_or(error)?;
        self.bytes.get_mut(self.at..end).ok_or(error)?.copy_from_slice(value);
        self.at = end;
        Ok(())
    }

    write_number!(u8: u8, u16: u16, u32: u32, u64: u64, i8: i8, i16: i16, i32: i32, i64: i64, f32: f32, f64: f64);

    /// Writes 0 or 1.
    pub fn bool(&mut self, value: bool) -> Result<(), BytesError> {
        self.u8(value.into())
    }
}

/// The `index`th little-endian `u32` of a table of them.
pub fn u32_at(table: &[u8], index: usize) -> Option<u32> {
    let start = index.checked_mul(4)?;
    let bytes = table.get(start..start.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// `value` rounded up to a multiple of `step` (a power of two), or `None` when that overflows.
pub const fn round_up(value: u64, step: u64) -> Option<u64> {
    match value.checked_add(step - 1) {
        Some(sum) => Some(sum & !(step - 1)),
        None => None,
    }
}
