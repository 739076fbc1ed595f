//! Damaged tabular models: the models of the suites with bytes and words changed, through the whole compiler.
//!
//! Of H2O's zips single members are changed, mostly.
//!
//! Whatever the bytes, a file is refused or compiles; nothing panics, and memory stays within a bound by the file's length. What compiles is an artifact
//! that loads, and runs to its end.
//!
//! `EKIBEN_MUTATIONS` says how many files of each suite are made; see `tests/long/README.md`.

mod measuring;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ekiben::bundle::ModelFormat;
use ekiben::frontend::{self, OpenOptions};
use ekiben::graph::{AlignedBytes, Graph};
use ekiben::passes::optimise;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::{Artifact, Executor};
use ekiben_tests::case::splitmix64;
use ekiben_tests::mojo::{packed, unpacked};
use ekiben_tests::tabular::{cases, suites};
use measuring::Measuring;

const VARIABLE: &str = "EKIBEN_MUTATIONS";
const SHORT: usize = 60;
const SEED: u64 = 4;

/// The largest original that is changed, in bytes.
const MAX_FILE: usize = 64 << 10;

/// Bytes that a file may take whatever its length, and for each of its bytes.
const FIXED_BYTES: usize = 192 << 20;
const BYTES_PER_BYTE: usize = 512;

/// The largest arena that is provided to run what compiles.
const MAX_ARENA: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: Measuring = Measuring::new();

/// Numbers of one seed.
struct Random(Box<dyn Iterator<Item = u64>>);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.next().expect("an endless generator")
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Changes some places: bits, bytes, words, runs of bytes; in text also digits, signs and separators.
fn mutate(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(24)).min(bytes.len());
        let from = random.below(bytes.len());
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copied = bytes[at..end].to_vec();
                bytes.splice(from..from, copied);
            }
            5 => bytes[at] = b"0123456789-.eE,: \n[]{}\"=NaI"[random.below(27)],
            6 | 7 => {
                let word = match random.below(5) {
                    0 => u32::MAX,
                    1 => 0x8000_0000,
                    2 => random.next() as u32,
                    3 => random.below(40) as u32,
                    _ => (random.below(40) as u32).wrapping_neg(),
                };
                let word = if random.below(2) == 0 { word.to_le_bytes() } else { word.to_be_bytes() };
                bytes.iter_mut().skip(at).zip(word).for_each(|(byte, new)| *byte = new);
            }
            _ => bytes.truncate(bytes.len() - random.below(16).min(bytes.len() - 1)),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

/// Changes a member of a zip, mostly its description, and packs it again with sound lengths and checksums.
fn mutate_member(members: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut members = members.to_vec();
    let description = members.iter().position(|(name, _)| name == "model.ini").unwrap_or(0);
    let at = if random.below(2) == 0 { description } else { random.below(members.len()) };
    match random.below(12) {
        0 => drop(members.remove(at)),
        _ if members[at].1.is_empty() => {}
        _ => members[at].1 = mutate(&members[at].1, random),
    }
    packed(&members)
}

/// Opens, lowers, optimises, plans, writes, loads and runs one row of zeros; false where something is refused.
fn compile(bytes: &[u8]) -> bool {
    let Ok(model) = frontend::open(ModelFormat::of(bytes), bytes, &OpenOptions::default()) else { return false };
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let Some(method) = model.methods().first() else { return false };
    let Ok(outputs) = model.call(&mut graph, method, &inputs) else { return false };
    outputs.iter().for_each(|output| graph.add_output(output.tensor));
    let Ok(graph) = optimise(&graph) else { return false };
    let Ok(arena) = plan(&graph) else { return false };
    let parts = artifact_parts(&[PlannedApi { name: "run", graph: &graph, plan: &arena }]);
    let Ok(artifact) = emit(&parts) else { return false };
    let artifact = AlignedBytes::from(artifact.as_slice());
    let artifact = Artifact::parse(artifact.as_slice()).expect("what was written loads");
    if let Some(bytes) = artifact.arena_bytes(0, 1).filter(|&bytes| bytes <= MAX_ARENA) {
        let mut arena = AlignedBytes::zeroed(bytes);
        let mut executor = Executor::new(&artifact, 0, 1, arena.as_mut_slice()).expect("an executor");
        // Data may be refused; nothing else goes wrong.
        let _ = executor.run();
    }
    true
}

// One test in this program: others would allocate beside it.
#[test]
fn damaged_tabular_models_neither_panic_nor_take_much_memory() {
    let count = std::env::var(VARIABLE).map_or(SHORT, |count| count.parse().expect("a number of files"));
    for archive in suites() {
        let name = archive.file_name().expect("a name").to_string_lossy().into_owned();
        let originals: Vec<Vec<u8>> =
            cases(&archive).into_iter().map(|case| case.model).filter(|model| model.len() <= MAX_FILE).collect();
        if originals.is_empty() {
            println!("{name}: no model of at most {MAX_FILE} bytes");
            continue;
        }
        let is_mojo = |bytes: &Vec<u8>| ModelFormat::of(bytes) == ModelFormat::Mojo;
        let members: Vec<_> =
            originals.iter().map(|model| if is_mojo(model) { unpacked(model) } else { Vec::new() }).collect();
        let mut random = Random(Box::new(splitmix64(SEED)));
        let (mut compiled, mut most, mut panics) = (0, 0, Vec::new());
        for index in 0..count {
            let original = random.below(originals.len());
            let bytes = match members.get(original) {
                Some(members) if !members.is_empty() && random.below(8) > 0 => mutate_member(members, &mut random),
                _ => mutate(&originals[original], &mut random),
            };
            let used = ALLOCATOR.peak_of(|| match catch_unwind(AssertUnwindSafe(|| compile(&bytes))) {
                Ok(done) => compiled += usize::from(done),
                Err(_) => panics.push(index),
            });
            let bound = FIXED_BYTES + BYTES_PER_BYTE * bytes.len();
            assert!(used <= bound, "{name} {index}: {used} bytes for a file of {}", bytes.len());
            most = most.max(used);
        }
        println!(
            "{name}: {count} files of {} models, seed {SEED}: {compiled} compile, at most {most} bytes",
            originals.len()
        );
        let first = &panics[..panics.len().min(20)];
        assert!(panics.is_empty(), "{name}: {} panics, the first at {first:?}", panics.len());
    }
}
