//! The board's memory outside the program's own sections.
#![expect(unsafe_code, reason = "memory at fixed addresses is reached through raw pointers")]

use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

/// Size of the board's PSRAM.
pub const MEMORY_BYTES: usize = 16 << 20;
const MEMORY_ADDRESS: usize = 0x2100_0000;

/// The whole PSRAM, at the first call; `None` afterwards.
pub(crate) fn take() -> Option<&'static mut [u8]> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    // A Cortex-M0 cannot swap: one core, whose interrupts are off, does it in two steps.
    let taken = cortex_m::interrupt::free(|_| {
        let taken = TAKEN.load(Ordering::Relaxed);
        TAKEN.store(true, Ordering::Relaxed);
        taken
    });
    if taken {
        return None;
    }
    let start = ptr::with_exposed_provenance_mut(MEMORY_ADDRESS);
    // SAFETY: the board has readable and writable memory at these addresses, no section of memory.x lies there, and
    // TAKEN lets one caller only have it.
    Some(unsafe { slice::from_raw_parts_mut(start, MEMORY_BYTES) })
}

/// The most bytes of stack in use at any time since reset: startup paints the stack, and what is no longer painted was
/// used. Words that a frame reserved and never wrote do not count.
pub fn stack_peak() -> usize {
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    let (highest, lowest) = (&raw const _stack_start, &raw const _stack_end);
    let mut used_from = lowest;
    while used_from < highest {
        // SAFETY: the linker script puts the stack between the two symbols, both word-aligned, and startup has painted
        // all of it; a volatile read of memory that running code may write needs no more than that.
        if unsafe { used_from.read_volatile() } != cortex_m_rt::STACK_PAINT_VALUE {
            break;
        }
        used_from = used_from.wrapping_add(1);
    }
    highest.addr() - used_from.addr()
}
