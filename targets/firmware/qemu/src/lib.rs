//! Board support for QEMU's `mps2-an386`, an ARM reference board with a Cortex-M4F, and its `mps2-an385`, the same with a Cortex-M3, which
//! also runs programs for a Cortex-M0.
//!
//! A program on it talks to the machine that runs QEMU through semihosting: it prints, reads its command line, reads
//! and writes files, and exits with a status, so that one image runs any test case. It counts its own instructions,
//! exactly and whatever the host's load, when QEMU runs with `-icount shift=0`. `scripts/run-on.sh` starts it so.
//!
//! A panic or a fault ends the program with a message and the status [`PANIC_STATUS`] or [`FAULT_STATUS`].
#![no_std]

mod counter;
mod fault;
mod memory;
mod semihosting;

pub use cortex_m_rt::entry;
pub use cortex_m_semihosting::{heprintln as eprintln, hprint as print, hprintln as println};
pub use counter::InstructionCounter;
pub use fault::{FAULT_STATUS, PANIC_STATUS};
pub use memory::{MEMORY_BYTES, stack_peak};
pub use semihosting::{HostError, PATH_BYTES, command_line, exit, read_file, write_file};

/// What the board has, to be taken once.
#[derive(Debug)]
pub struct Board {
    /// Counts executed instructions, from [`Board::take`] on.
    pub counter: InstructionCounter,
    /// [`MEMORY_BYTES`] bytes, aligned to 16 and zero at reset, that nothing else uses: room for artifacts, inputs and arenas.
    pub memory: &'static mut [u8],
}

impl Board {
    /// The board, at the first call; `None` afterwards.
    pub fn take() -> Option<Self> {
        let core = cortex_m::Peripherals::take()?;
        Some(Self { counter: InstructionCounter::start(core.SYST), memory: memory::take()? })
    }
}
