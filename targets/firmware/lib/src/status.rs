//! Results of the C functions.

use core::ffi::{CStr, c_char};
use ekiben_runtime::executor::self_test::SelfTestError;
use ekiben_runtime::{Error, LoadError};

/// Result of a function: `EKIBEN_STATUS_OK`, or what went wrong.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The function did what it was asked.
    Ok = 0,
    /// A pointer is null, or a list of operators is out of order.
    Argument = -1,
    /// The model or the arena does not start at a multiple of 16 bytes, or the session at one of 8.
    Misaligned = -2,
    /// The model's bytes are not an artifact.
    NotAnArtifact = -3,
    /// The artifact has another format version than this library.
    Version = -4,
    /// The artifact was cut off, damaged or changed.
    Corrupt = -5,
    /// The artifact needs an operator that is not in the list.
    NoKernel = -6,
    /// The artifact has no API with this index.
    NoApi = -7,
    /// The API does not take this number of rows.
    Rows = -8,
    /// The arena is smaller than `ekiben_arena_bytes` says.
    ArenaTooSmall = -9,
    /// The API has no tensor with this index.
    NoTensor = -10,
    /// A step of the plan failed.
    Step = -11,
    /// A golden vector's output differs from the expected one.
    Differs = -12,
}

impl Status {
    const fn text(self) -> &'static CStr {
        match self {
            Self::Ok => c"ok",
            Self::Argument => c"a pointer is null, or the operators are out of order",
            Self::Misaligned => c"the model or the arena is not aligned to 16 bytes, or the session not to 8",
            Self::NotAnArtifact => c"the model is not an Ekiben artifact",
            Self::Version => c"the artifact's format version is another than this library's: compile it again",
            Self::Corrupt => c"the artifact is cut off, damaged or changed",
            Self::NoKernel => c"the artifact needs an operator that is not linked: package it again",
            Self::NoApi => c"the artifact has no such API",
            Self::Rows => c"the API does not take this number of rows",
            Self::ArenaTooSmall => c"the arena is too small: see ekiben_arena_bytes",
            Self::NoTensor => c"the API has no such tensor",
            Self::Step => c"a step of the plan failed",
            Self::Differs => c"a result differs from the golden vector",
        }
    }
}

/// Every status, for [`ekiben_status_str`].
const ALL: [Status; 13] = [
    Status::Ok,
    Status::Argument,
    Status::Misaligned,
    Status::NotAnArtifact,
    Status::Version,
    Status::Corrupt,
    Status::NoKernel,
    Status::NoApi,
    Status::Rows,
    Status::ArenaTooSmall,
    Status::NoTensor,
    Status::Step,
    Status::Differs,
];

/// What a status means: a constant text in English, never null.
#[unsafe(no_mangle)]
pub extern "C" fn ekiben_status_str(status: i32) -> *const c_char {
    let known = ALL.iter().find(|known| **known as i32 == status);
    known.map_or(c"unknown status", |status| status.text()).as_ptr()
}

impl From<LoadError> for Status {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Misaligned => Self::Misaligned,
            LoadError::Magic => Self::NotAnArtifact,
            LoadError::Version { .. } => Self::Version,
            LoadError::NoKernel { .. } => Self::NoKernel,
            _ => Self::Corrupt,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Misaligned => Self::Misaligned,
            Error::ArenaTooSmall { .. } => Self::ArenaTooSmall,
            Error::NoApi { .. } => Self::NoApi,
            Error::Rows { .. } => Self::Rows,
            Error::NoTensor { .. } | Error::View { .. } => Self::NoTensor,
            Error::Step { .. } | Error::State { .. } => Self::Step,
        }
    }
}

impl From<SelfTestError> for Status {
    fn from(error: SelfTestError) -> Self {
        match error {
            SelfTestError::Load(error) => error.into(),
            SelfTestError::Run { error, .. } => error.into(),
            SelfTestError::Differs { .. } => Self::Differs,
        }
    }
}
