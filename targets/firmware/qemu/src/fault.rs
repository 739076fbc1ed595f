//! How a program ends that cannot go on: with a message and a status, never in a silent loop.
#![expect(unsafe_code, reason = "a fault handler is an unsafe function")]

use core::panic::PanicInfo;
use cortex_m_rt::{ExceptionFrame, exception};

use crate::{eprintln, exit};

/// Exit status after a panic; a Rust program on an operating system has the same.
pub const PANIC_STATUS: u8 = 101;
/// Exit status after a processor fault.
pub const FAULT_STATUS: u8 = 102;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    eprintln!("{}", info);
    exit(PANIC_STATUS)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    eprintln!("processor fault at {:#010x}, called from {:#010x}", frame.pc(), frame.lr());
    exit(FAULT_STATUS)
}
