//! The C interface of the runtime, `ekiben.h`: for firmware that runs an artifact from flash.
//!
//! Everything is in memory that the caller provides: a session, an arena, and the artifact itself. Nothing is
//! allocated, nothing is global, and every function can be called from several threads on different sessions.
//! Pointers are checked for null and alignment; that they point to memory of the stated length is the caller's word.
#![cfg_attr(target_os = "none", no_std)]
#![allow(unsafe_code, reason = "the C boundary: callers hand over pointers")]

mod operators;
mod panic;
mod session;
mod status;
mod tensor;

pub use operators::{KernelList, ekiben_all_kernels};
pub use session::{
    SESSION_WORDS, Session, UNKNOWN_CATEGORY, ekiben_arena_bytes, ekiben_category, ekiben_input, ekiben_open,
    ekiben_output, ekiben_reset, ekiben_run, ekiben_self_test, ekiben_tensor_info,
};
pub use status::{Status, ekiben_status_str};
pub use tensor::{Direction, TensorInfo};
