//! Checks the board support on the board itself: `board-check SCRATCH-FILE`, a path on the host that may be overwritten.
//!
//! Exits with 0 if everything holds, else with a message and the status of a panic.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "a loop of known length is written in assembly")]

use core::arch::asm;
use core::hint::black_box;
use ekiben_qemu::{Board, HostError, InstructionCounter, MEMORY_BYTES};
use ekiben_qemu::{command_line, entry, exit, println, read_file, stack_peak, write_file};

#[entry]
fn main() -> ! {
    let board = Board::take().expect("the board is taken for the first time");
    assert!(Board::take().is_none(), "the board was given away twice");
    check_counter(&board.counter);
    check_memory(board.memory);
    check_stack();

    let mut line = [0; 512];
    let line = command_line(&mut line).expect("a command line");
    assert_eq!(command_line(&mut [0; 4]), Err(HostError::CommandLine));
    let mut words = line.split(' ');
    let (program, path) = (words.next(), words.next().expect("a file name as first argument"));
    assert_eq!((program, words.next()), (Some("board-check"), None));
    check_files(path, board.memory);
    println!("board-check: ok");
    exit(0)
}

/// Two instructions per iteration.
fn spin(iterations: u32) {
    // SAFETY: counts a register down to zero; touches neither memory nor stack.
    unsafe { asm!("2:", "subs {0}, {0}, #1", "bne 2b", inout(reg) iterations => _, options(nomem, nostack)) };
}

/// Twice the iterations are twice the instructions, below one round of the timer and across two.
fn check_counter(counter: &InstructionCounter) {
    for iterations in [100_000, 400_000_000] {
        let (once, ()) = counter.measure(|| spin(iterations));
        let (twice, ()) = counter.measure(|| spin(2 * iterations));
        let (counted, expected) = (twice - once, 2 * u64::from(iterations));
        println!("counter: {counted} instructions counted, {expected} executed");
        assert!(counted.abs_diff(expected) <= 2 * InstructionCounter::INSTRUCTIONS_PER_TICK);
    }
}

fn check_memory(memory: &mut [u8]) {
    assert_eq!((memory.len(), memory.as_ptr().align_offset(16)), (MEMORY_BYTES, 0));
    for index in [0, MEMORY_BYTES / 2, MEMORY_BYTES - 1] {
        memory[index] = index as u8 ^ 0x5a;
    }
    for index in [0, MEMORY_BYTES / 2, MEMORY_BYTES - 1] {
        assert_eq!(black_box(&*memory)[index], index as u8 ^ 0x5a);
    }
}

fn check_stack() {
    let before = stack_peak();
    use_stack();
    let after = stack_peak();
    println!("stack: {before} bytes, then {after}");
    assert!(before > 0 && after >= 8192 && after < before + 2 * 8192);
}

#[inline(never)]
fn use_stack() {
    black_box(&mut [0x77_u8; 8192]);
}

fn check_files(path: &str, memory: &mut [u8]) {
    let (contents, copy) = memory.split_at_mut(100_000);
    for (index, byte) in contents.iter_mut().enumerate() {
        *byte = (index * 7 % 251) as u8;
    }
    write_file(path, contents).expect("the file is written");
    assert_eq!(read_file(path, copy), Ok(contents.len()));
    assert_eq!(&copy[..contents.len()], contents);
    let too_small = HostError::BufferTooSmall { needed: contents.len(), given: 99 };
    assert_eq!(read_file(path, &mut copy[..99]), Err(too_small));
    assert_eq!(read_file("no/such/file", copy), Err(HostError::Open));
    write_file(path, &[]).expect("the file is truncated");
    assert_eq!(read_file(path, &mut []), Ok(0));
}
