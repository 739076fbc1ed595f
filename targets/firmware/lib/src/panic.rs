//! What a panic does on bare metal.
//!
//! A checked artifact does not panic. Should it happen all the same, the processor traps: firmware has a fault handler,
//! and knows what to do in it better than a library.

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: an undefined instruction ends in the fault handler; nothing after it runs.
    unsafe { core::arch::asm!("udf #0", options(noreturn, nomem, nostack)) }
}
