//! The loader on damaged and hostile artifacts.
//!
//! With the digests left alone, every change is refused. With the digests repaired, as an attacker would, an artifact is refused or
//! runs to its end inside its arena. Neither allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ekiben::compile::compile_path;
use ekiben::graph::AlignedBytes;
use ekiben_runtime::artifact::golden::split_mix;
use ekiben_runtime::artifact::header::{ENTRY_BYTES, FIXED_BYTES};
use ekiben_runtime::artifact::seal;
use ekiben_runtime::ops::{OpError, Problem};
use ekiben_runtime::{Artifact, Error, Executor};
use ekiben_tests::suite::operator_cases;

/// Counts the allocations of the thread that asks for it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code, reason = "a global allocator is unsafe by its nature")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Mutants of each artifact.
const MUTANTS: usize = 100_000;
/// The largest arena that a test gives to a mutant.
const ARENA_LIMIT: usize = 1 << 20;
/// Bytes around the arena that must not change.
const GUARD: usize = 4096;
const GUARD_BYTE: u8 = 0xA5;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (split_mix(&mut self.0) % bound.max(1) as u64) as usize
    }
}

/// Artifacts that together use every kind of section and many operators.
fn artifacts() -> Vec<(String, Vec<u8>)> {
    ekiben_tests::small_artifacts().into_iter().chain(streaming()).collect()
}

/// Artifacts with states.
fn streaming() -> impl Iterator<Item = (String, Vec<u8>)> {
    let wanted = [("READ_VARIABLE", "int8_sum"), ("SVDF", "float_rank_2")];
    let cases = operator_cases().into_iter();
    cases.filter(move |case| wanted.contains(&(&case.operator, &case.name))).map(|case| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.tflite");
        std::fs::write(&path, &case.model).expect("a file");
        let compiled = compile_path(&path, None).expect("a model of the suite");
        (format!("{} {}", case.operator, case.name), compiled.bytes().to_vec())
    })
}

/// Changes some bytes; the result may equal the original.
fn mutate(random: &mut Random, original: &[u8], out: &mut [u8]) -> usize {
    out[..original.len()].copy_from_slice(original);
    let length = original.len();
    for _ in 0..1 + random.below(3) {
        match random.below(6) {
            0 => out[random.below(length)] ^= 1 << random.below(8),
            1 => out[random.below(length)] = random.below(256) as u8,
            2 => {
                const FIELDS: [u32; 10] =
                    [0, 1, 2, 16, 64, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0, 0xFFFF_FFFE, 0xFFFF_FFFF];
                let at = random.below(length / 4) * 4;
                out[at..at + 4].copy_from_slice(&FIELDS[random.below(FIELDS.len())].to_le_bytes());
            }
            3 => {
                let at = random.below(length / 4) * 4;
                let field = u32::from_le_bytes(out[at..at + 4].try_into().unwrap());
                let changed = field.wrapping_add(random.below(33) as u32).wrapping_sub(16);
                out[at..at + 4].copy_from_slice(&changed.to_le_bytes());
            }
            4 => {
                let count = 1 + random.below(64.min(length));
                let (from, to) = (random.below(length - count + 1), random.below(length - count + 1));
                out.copy_within(from..from + count, to);
            }
            _ => {
                // The section table: offsets and lengths that overlap or leave the file.
                let entries = u32::from_le_bytes(original[12..16].try_into().unwrap()) as usize;
                let at = FIXED_BYTES + random.below(entries) * ENTRY_BYTES + 8 * (1 + random.below(2));
                let field = (random.below(length + 128) as u64) & !(random.below(2) as u64 * 63);
                out[at..at + 8].copy_from_slice(&field.to_le_bytes());
            }
        }
    }
    if random.below(8) == 0 { random.below(length) } else { length }
}

#[test]
fn every_truncation_is_refused() {
    for (name, bytes) in artifacts() {
        let aligned = AlignedBytes::from(bytes.as_slice());
        let step = (bytes.len() / 20_000).max(1);
        for length in (0..bytes.len()).step_by(step) {
            let error = Artifact::parse(&aligned.as_slice()[..length]).expect_err(&name);
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn every_change_under_the_digests_is_refused() {
    let artifacts = artifacts();
    for (name, bytes) in &artifacts {
        let mut random = Random(0x0DD5);
        let mut mutant = AlignedBytes::zeroed(bytes.len());
        for round in 0..MUTANTS / artifacts.len() {
            let length = mutate(&mut random, bytes, mutant.as_mut_slice());
            let mutant = &mutant.as_slice()[..length];
            if mutant == bytes.as_slice() {
                continue;
            }
            let before = ALLOCATIONS.with(Cell::get);
            let result = Artifact::parse(mutant).and_then(|artifact| artifact.verify_numbers());
            assert_eq!(ALLOCATIONS.with(Cell::get), before, "{name}, mutant {round}: the loader allocated");
            assert!(result.is_err(), "{name}, mutant {round} was accepted");
        }
    }
}

#[test]
fn a_mutant_with_repaired_digests_is_refused_or_runs_inside_its_arena() {
    let artifacts = artifacts();
    let (mut refused, mut ran, mut too_large) = (0, 0, 0);
    for (name, bytes) in &artifacts {
        let mut random = Random(0xBEEF);
        let mut mutant = AlignedBytes::zeroed(bytes.len());
        for round in 0..MUTANTS / artifacts.len() {
            let length = mutate(&mut random, bytes, mutant.as_mut_slice());
            let mutant = &mut mutant.as_mut_slice()[..length];
            let sealed = seal(mutant);
            let before = ALLOCATIONS.with(Cell::get);
            let parsed = Artifact::parse(mutant);
            assert_eq!(ALLOCATIONS.with(Cell::get), before, "{name}, mutant {round}: the loader allocated");
            match parsed {
                Err(_) => refused += 1,
                Ok(artifact) => {
                    assert!(sealed.is_ok());
                    match run_guarded(&artifact, &format!("{name}, mutant {round}")) {
                        true => ran += 1,
                        false => too_large += 1,
                    }
                }
            }
        }
    }
    println!("{refused} refused, {ran} ran to the end, {too_large} asked for more than {ARENA_LIMIT} bytes");
    assert!(ran > 0 && refused > 0);
}

/// Runs every API on arenas of exactly the size that it asks for, between guards. False when it asks for too much.
fn run_guarded(artifact: &Artifact<'_>, context: &str) -> bool {
    let mut all = true;
    for api in 0..artifact.api_count() {
        let fixed = artifact.api(api).map_or(0, |api| api.fixed_rows as usize);
        for rows in if fixed == 0 { vec![1, 3] } else { vec![fixed] } {
            let Some(needed) = artifact.arena_bytes(api, rows).filter(|&needed| needed <= ARENA_LIMIT) else {
                all = false;
                continue;
            };
            let mut memory = AlignedBytes::zeroed(needed + 2 * GUARD);
            memory.as_mut_slice().fill(GUARD_BYTE);
            let arena = &mut memory.as_mut_slice()[GUARD..GUARD + needed];
            let mut executor = Executor::new(artifact, api, rows, arena).unwrap();
            let before = ALLOCATIONS.with(Cell::get);
            let result = executor.run();
            assert_eq!(ALLOCATIONS.with(Cell::get), before, "{context}: the run allocated");
            // Values of inputs may be refused while the model runs: an index outside its axis.
            let value = |error: &Error| {
                matches!(error, Error::Step { error: OpError::Input { problem: Problem::Value, .. }, .. })
            };
            if let Some(error) = result.err().filter(|error| !value(error)) {
                panic!("{context}: a checked artifact failed to run: {error}");
            }
            let bytes = memory.as_slice();
            let guards = bytes[..GUARD].iter().chain(&bytes[GUARD + needed..]);
            assert!(guards.into_iter().all(|&byte| byte == GUARD_BYTE), "{context}: wrote outside the arena");
        }
    }
    all
}
