//! Instruction counter.
//!
//! With `-icount shift=0` every instruction takes one nanosecond of QEMU's virtual time. The system timer runs at the
//! board's 25 MHz, so that one tick is 40 instructions. These are instructions, not cycles: QEMU models no pipeline.

use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// Ticks of the 24-bit timer from one interrupt to the next.
const TICKS_PER_WRAP: u32 = 1 << 24;

/// How often the timer has reached zero since [`InstructionCounter::start`].
static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    // Nothing else writes it; a Cortex-M0 has no instruction that adds in memory.
    WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Counts the instructions that the processor executes. Holds the system timer.
#[derive(Debug)]
pub struct InstructionCounter(());

impl InstructionCounter {
    /// What a tick of the timer stands for, and so the counter's resolution.
    pub const INSTRUCTIONS_PER_TICK: u64 = 40;

    pub(crate) fn start(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(TICKS_PER_WRAP - 1);
        timer.clear_current();
        timer.enable_interrupt();
        timer.enable_counter();
        Self(())
    }

    /// Instructions since the counter started.
    ///
    /// Interrupts must be enabled: with them disabled the count is short by 671 million for every wrap of the timer.
    pub fn now(&self) -> u64 {
        loop {
            let wraps = WRAPS.load(Ordering::Relaxed);
            let to_go = SYST::get_current();
            if wraps == WRAPS.load(Ordering::Relaxed) {
                // The timer counts down and interrupts on reaching zero, so zero is the first tick of a round.
                let into_round = (TICKS_PER_WRAP - to_go) % TICKS_PER_WRAP;
                let ticks = u64::from(wraps) * u64::from(TICKS_PER_WRAP) + u64::from(into_round);
                return ticks * Self::INSTRUCTIONS_PER_TICK;
            }
        }
    }

    /// Runs `work` and says how many instructions it took, within one tick and the few dozen of the measurement.
    pub fn measure<R>(&self, work: impl FnOnce() -> R) -> (u64, R) {
        let before = self.now();
        let result = work();
        (self.now() - before, result)
    }
}
