//! A session: a checked artifact, one of its APIs, a number of rows, and the arena they run on.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;
use core::slice;
use ekiben_runtime::executor::self_test::self_test;
use ekiben_runtime::{Artifact, Executor};

use crate::operators::KernelList;
use crate::status::Status;
use crate::tensor::{Direction, TensorInfo};

/// Size of a session in words of 8 bytes.
pub const SESSION_WORDS: usize = 40;

/// The element of an input of categories that is none of the model's.
pub const UNKNOWN_CATEGORY: u32 = 0xFFFF_FFFF;

const _: () = assert!(UNKNOWN_CATEGORY == ekiben_runtime::DType::UNKNOWN_CATEGORY);

/// Memory for a session. The caller provides it, `ekiben_open` fills it; it may be copied and needs no closing.
#[repr(C)]
#[derive(Debug)]
pub struct Session {
    opaque: [MaybeUninit<u64>; SESSION_WORDS],
}

impl Session {
    /// Memory for a session that is not open yet.
    pub const fn new() -> Self {
        Self { opaque: [const { MaybeUninit::uninit() }; SESSION_WORDS] }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

/// What is in a [`Session`].
#[derive(Clone, Copy)]
struct Open {
    artifact: Artifact<'static>,
    api: usize,
    rows: usize,
    arena: *mut u8,
    arena_bytes: usize,
}

const _: () = assert!(size_of::<Open>() <= size_of::<Session>() && align_of::<Open>() <= align_of::<Session>());

impl Open {
    /// An executor on the session's arena. Resuming leaves the arena's bytes as they are, so that each call makes its own.
    ///
    /// # Safety
    /// The arena is the memory that `ekiben_open` got, and nothing else uses it while the executor lives.
    unsafe fn executor(&self) -> Result<Executor<'_, '_>, Status> {
        // SAFETY: `ekiben_open` has checked pointer and alignment, its caller the length; the caller keeps others away.
        let arena = unsafe { slice::from_raw_parts_mut(self.arena, self.arena_bytes) };
        Ok(Executor::resume(&self.artifact, self.api, self.rows, arena)?)
    }

    /// The address of `bytes`, a part of the arena or of the artifact, for the caller to keep: what lies in the arena is derived
    /// from the caller's own pointer, which outlives every executor.
    fn address(&self, bytes: &[u8]) -> *mut u8 {
        let offset = bytes.as_ptr().addr().wrapping_sub(self.arena.addr());
        if offset < self.arena_bytes { self.arena.wrapping_add(offset) } else { bytes.as_ptr().cast_mut() }
    }
}

/// # Safety
/// `session` is null or points to a session that `ekiben_open` has filled.
unsafe fn opened<'a>(session: *const Session) -> Result<&'a Open, Status> {
    if !session.is_aligned() {
        return Err(Status::Misaligned);
    }
    // SAFETY: an `Open` was written there, by the caller's contract, and fits in size and alignment.
    unsafe { session.cast::<Open>().as_ref() }.ok_or(Status::Argument)
}

/// # Safety
/// `target` is null or points to memory for a `T`.
unsafe fn give<T>(target: *mut T, value: T) -> Result<(), Status> {
    if target.is_null() || !target.is_aligned() {
        return Err(Status::Argument);
    }
    // SAFETY: the caller's contract, and the pointer is neither null nor misaligned.
    unsafe { target.write(value) };
    Ok(())
}

fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::Ok)
}

/// # Safety
/// `model` is null or points to `length` bytes that never change.
unsafe fn model_bytes(model: *const c_void, length: usize) -> Result<&'static [u8], Status> {
    if model.is_null() || length > isize::MAX as usize {
        return Err(Status::Argument);
    }
    // SAFETY: the caller's contract; bytes have no alignment.
    Ok(unsafe { slice::from_raw_parts(model.cast::<u8>(), length) })
}

/// Bytes of arena that a run of API number `api` on `rows` rows needs; 0 when the model is not an artifact, has no such API,
/// or needs more than the address space. Reads the header only: `ekiben_open` is what checks the model.
///
/// # Safety
/// `model` points to `model_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_arena_bytes(model: *const c_void, model_length: usize, api: u32, rows: u32) -> usize {
    // SAFETY: the caller's contract.
    let Ok(bytes) = (unsafe { model_bytes(model, model_length) }) else { return 0 };
    Artifact::peek_arena_bytes(bytes, api as usize, rows as usize).ok().flatten().unwrap_or(0)
}

/// Checks the model and prepares to run API number `api` on `rows` rows. Time is linear in the model's structure.
///
/// # Safety
/// `session` points to a session; `model` to `model_length` bytes that stay as they are while the session is used; `arena` to
/// `arena_length` bytes that nothing else uses meanwhile; `kernels` to a list of operators that stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_open(
    session: *mut Session,
    model: *const c_void,
    model_length: usize,
    api: u32,
    rows: u32,
    arena: *mut c_void,
    arena_length: usize,
    kernels: *const KernelList,
) -> Status {
    let open = || {
        if session.is_null() || arena.is_null() || kernels.is_null() {
            return Err(Status::Argument);
        }
        if !session.is_aligned() {
            return Err(Status::Misaligned);
        }
        // SAFETY: the caller's contract; an aligned list is what its own C declaration gives.
        let kernels = unsafe { kernels.as_ref().and_then(|list| list.to_set()) }.ok_or(Status::Argument)?;
        // SAFETY: the caller's contract.
        let bytes = unsafe { model_bytes(model, model_length) }?;
        let artifact = Artifact::parse_with(bytes, kernels)?;
        let (api, rows) = (api as usize, rows as usize);
        let open = Open { artifact, api, rows, arena: arena.cast(), arena_bytes: arena_length };
        // SAFETY: the caller's contract on the arena.
        unsafe { open.executor() }?.reset()?;
        // SAFETY: the caller's contract on the session, whose size and alignment are asserted above.
        unsafe { give(session.cast::<Open>(), open) }
    };
    status(open())
}

/// Says what input or output number `index` is.
///
/// # Safety
/// `session` is open; `info` points to memory for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_tensor_info(
    session: *const Session,
    direction: Direction,
    index: u32,
    info: *mut TensorInfo,
) -> Status {
    let tell = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        let record = open.artifact.api(open.api).ok_or(Status::NoApi)?;
        let index = index as usize;
        let tensor = match direction {
            Direction::Input => open.artifact.api_input(&record, index),
            Direction::Output => open.artifact.api_output(&record, index),
        };
        let tensor = tensor.ok_or(Status::NoTensor)?;
        let dims = tensor.spec.shape.resolve(open.rows);
        let bytes = tensor.spec.dtype.bytes(dims.elements() as u64).ok_or(Status::Rows)?;
        let name = tensor.name.and_then(|name| open.artifact.strings().get(name));
        // SAFETY: the caller's contract.
        unsafe { give(info, TensorInfo::new(name, &tensor.spec, &dims, bytes as usize)) }
    };
    status(tell())
}

/// Where to write the values of input number `index` before a run. A run may overwrite them.
///
/// # Safety
/// `session` is open; `data` points to memory for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_input(session: *const Session, index: u32, data: *mut *mut c_void) -> Status {
    let find = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        // SAFETY: the arena is the session's, and the executor ends with this function.
        let mut executor = unsafe { open.executor() }?;
        let address = open.address(executor.input_view(index as usize)?.bytes);
        // SAFETY: the caller's contract.
        unsafe { give(data, address.cast()) }
    };
    status(find())
}

/// The element that stands for a text in input number `index`, whose elements are categories: the text's number, or
/// `EKIBEN_UNKNOWN_CATEGORY` when the model does not know it. An empty text stands for a missing value. Takes one look at the model,
/// whatever the number of categories.
///
/// # Safety
/// `session` is open; `text` points to `length` bytes; `category` to memory for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_category(
    session: *const Session,
    index: u32,
    text: *const c_char,
    length: usize,
    category: *mut u32,
) -> Status {
    let find = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        let record = open.artifact.api(open.api).ok_or(Status::NoApi)?;
        let tensor = open.artifact.api_input(&record, index as usize).ok_or(Status::NoTensor)?;
        let table = tensor.spec.table.ok_or(Status::NoTensor)?;
        // SAFETY: the caller's contract on the text.
        let bytes = if length == 0 { &[] } else { unsafe { model_bytes(text.cast(), length) }? };
        let known = core::str::from_utf8(bytes).ok().and_then(|text| open.artifact.strings().find(table, text));
        // SAFETY: the caller's contract.
        unsafe { give(category, known.unwrap_or(UNKNOWN_CATEGORY)) }
    };
    status(find())
}

/// Runs the API on the inputs.
///
/// # Safety
/// `session` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_run(session: *const Session) -> Status {
    let run = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        // SAFETY: the arena is the session's, and the executor ends with this function.
        Ok(unsafe { open.executor() }?.run()?)
    };
    status(run())
}

/// Puts the states of a streaming model to what they start from, as `ekiben_open` does. Other models are left as they are.
///
/// # Safety
/// `session` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_reset(session: *const Session) -> Status {
    let reset = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        // SAFETY: the arena is the session's, and the executor ends with this function.
        Ok(unsafe { open.executor() }?.reset()?)
    };
    status(reset())
}

/// Where to read the values of output number `index` after a run. The next run overwrites them.
///
/// # Safety
/// `session` is open; `data` points to memory for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_output(session: *const Session, index: u32, data: *mut *const c_void) -> Status {
    let find = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        // SAFETY: the arena is the session's, and the executor ends with this function.
        let executor = unsafe { open.executor() }?;
        let address = open.address(executor.output_view(index as usize)?.bytes);
        // SAFETY: the caller's contract.
        unsafe { give(data, address.cast_const().cast()) }
    };
    status(find())
}

/// Checks the weights against their digest and runs every golden vector of the artifact that the arena is large enough for; one at
/// least must be. Inputs and outputs of the session are lost. `vectors`, when it is not null, gets the number of vectors that passed.
///
/// # Safety
/// `session` is open; `vectors` is null or points to memory for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ekiben_self_test(session: *const Session, vectors: *mut u32) -> Status {
    let test = || {
        // SAFETY: the caller's contract.
        let open = unsafe { opened(session) }?;
        // SAFETY: `ekiben_open` has checked pointer and alignment, its caller the length; nothing else uses the arena now.
        let arena = unsafe { slice::from_raw_parts_mut(open.arena, open.arena_bytes) };
        let passed = self_test(&open.artifact, arena)?.total();
        if vectors.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's contract.
        unsafe { give(vectors, passed as u32) }
    };
    status(test())
}
