//! Damaged ONNX and TFLite files through the whole compiler: no panic, and memory bounded by the file's size.
//!
//! Half of the mutations change bytes. The others know the format: of ONNX, fields of protobuf messages (numbers such as lengths of axes,
//! element types and attributes; names of operators and tensors; whole fields left out, doubled or exchanged), encoded again with
//! sound lengths; of TFLite, aligned words, which are its offsets, lengths, options and codes.
//!
//! `EKIBEN_MUTATIONS` says how many files of each format are made; see `tests/long/README.md`.

mod measuring;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ekiben::bundle::ModelFormat;
use ekiben::frontend::{self, FrontendError, Model, OpenOptions};
use ekiben::graph::{AlignedBytes, Graph};
use ekiben::passes::optimise;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::Artifact;
use ekiben_runtime::artifact::emit;
use ekiben_tests::case::{root, splitmix64};
use measuring::Measuring;

/// Number of files of each format in the long form.
const VARIABLE: &str = "EKIBEN_MUTATIONS";
/// Number of files of each format otherwise.
const SHORT: usize = 300;
/// Seed of all mutations.
const SEED: u64 = 3;
/// The largest file that is mutated.
const MAX_FILE: usize = 64 << 10;

/// Bytes that a compilation may use at most: a fixed part, for constants that a few numbers ask for, and as many for each byte of
/// the file.
const FIXED_BYTES: usize = 192 << 20;
const BYTES_PER_BYTE: usize = 256;

#[global_allocator]
static ALLOCATOR: Measuring = Measuring::new();

/// Numbers of one seed.
struct Random(Box<dyn Iterator<Item = u64>>);

impl Random {
    fn next(&mut self) -> u64 {
        self.0.next().unwrap_or_default()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A number that programs seldom expect.
    fn number(&mut self) -> u64 {
        let odd =
            [0, 1, 2, 3, 7, 16, 255, 65_535, 1 << 20, i32::MAX as u64, 1 << 31, 1 << 32, i64::MAX as u64, 1 << 63];
        match self.below(3) {
            0 => odd[self.below(odd.len())],
            1 => odd[self.below(odd.len())].wrapping_neg(),
            _ => self.next() % 40,
        }
    }
}

/// Changes some bytes: flipped, replaced, cut out, doubled, or cut off.
fn mutate_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(16)).min(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => bytes.truncate(bytes.len() - random.below(8).min(bytes.len() - 1)),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}

/// A field of a protobuf message.
#[derive(Clone)]
struct Field {
    key: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Message(Vec<Field>),
}

/// The deepest nesting that is taken apart.
const MAX_DEPTH: usize = 12;

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The fields of a message; `None` for bytes that are none.
fn read_message(mut bytes: &[u8], depth: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_number(&mut bytes)?;
        let mut take = |length: usize| {
            let (taken, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(taken.to_vec())
        };
        let value = match key & 7 {
            0 => Value::Number(read_number(&mut bytes)?),
            1 => Value::Bytes(take(8)?),
            5 => Value::Bytes(take(4)?),
            2 => {
                let length = usize::try_from(read_number(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                let text = content.iter().all(|&byte| (0x20..0x7F).contains(&byte));
                match (!text && depth > 0).then(|| read_message(content, depth - 1)).flatten() {
                    Some(message) => Value::Message(message),
                    None => Value::Bytes(content.to_vec()),
                }
            }
            _ => return None,
        };
        if key >> 3 == 0 {
            return None;
        }
        fields.push(Field { key, value });
    }
    Some(fields)
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_message(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        write_number(field.key, out);
        match &field.value {
            Value::Number(number) => write_number(*number, out),
            Value::Bytes(bytes) => {
                if field.key & 7 == 2 {
                    write_number(bytes.len() as u64, out);
                }
                out.extend(bytes);
            }
            Value::Message(fields) => {
                let mut content = Vec::new();
                write_message(fields, &mut content);
                write_number(content.len() as u64, out);
                out.extend(content);
            }
        }
    }
}

/// All texts of a message and of those in it.
fn texts(fields: &[Field], found: &mut Vec<Vec<u8>>) {
    for field in fields {
        match &field.value {
            Value::Bytes(bytes) if field.key & 7 == 2 && bytes.len() < 40 => found.push(bytes.clone()),
            Value::Message(fields) => texts(fields, found),
            _ => {}
        }
    }
}

/// Changes one field somewhere in the message.
fn mutate_message(fields: &mut Vec<Field>, texts: &[Vec<u8>], random: &mut Random) {
    if fields.is_empty() {
        return;
    }
    let at = random.below(fields.len());
    if let (Value::Message(inner), true) = (&mut fields[at].value, random.below(8) > 0) {
        return mutate_message(inner, texts, random);
    }
    match random.below(8) {
        0 => drop(fields.remove(at)),
        1 => fields.insert(at, fields[at].clone()),
        2 => {
            let other = random.below(fields.len());
            fields.swap(at, other);
        }
        _ => match &mut fields[at].value {
            Value::Number(number) if random.below(3) == 0 => {
                *number = number.wrapping_add(random.next() % 5).wrapping_sub(2)
            }
            Value::Number(number) => *number = random.number(),
            // Operators and names take each other's place.
            Value::Bytes(bytes) if random.below(2) == 0 && !texts.is_empty() => {
                *bytes = texts[random.below(texts.len())].clone()
            }
            Value::Bytes(bytes) if !bytes.is_empty() => mutate_bytes(bytes, random),
            Value::Bytes(_) | Value::Message(_) => {}
        },
    }
}

fn mutate_onnx(original: &[u8], operators: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let Some(mut fields) = (random.below(2) == 0).then(|| read_message(original, MAX_DEPTH)).flatten() else {
        mutate_bytes(&mut bytes, random);
        return bytes;
    };
    let mut names = operators.to_vec();
    texts(&fields, &mut names);
    (0..=random.below(3)).for_each(|_| mutate_message(&mut fields, &names, random));
    bytes.clear();
    write_message(&fields, &mut bytes);
    bytes
}

fn mutate_tflite(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    if random.below(2) == 0 {
        mutate_bytes(&mut bytes, random);
        return bytes;
    }
    let words = bytes.len() / 4;
    for _ in 0..=random.below(3) {
        let at = 4 * random.below(words);
        let old = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let other = 4 * random.below(words);
        let new = match random.below(4) {
            0 => random.number() as u32,
            1 => old.wrapping_add(random.below(9) as u32).wrapping_sub(4),
            2 => u32::from_le_bytes([bytes[other], bytes[other + 1], bytes[other + 2], bytes[other + 3]]),
            _ => old ^ 1 << random.below(32),
        };
        bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
    }
    bytes
}

/// Opens a file of one format.
type Open = fn(&[u8]) -> Result<Box<dyn Model>, FrontendError>;

/// Opens, lowers, optimises, plans, writes and loads; false where something is refused.
fn compile(open: Open, bytes: &[u8]) -> bool {
    let Ok(model) = open(bytes) else { return false };
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let Ok(outputs) = model.call(&mut graph, model.methods()[0], &inputs) else { return false };
    outputs.iter().for_each(|output| graph.add_output(output.tensor));
    let Ok(graph) = optimise(&graph) else { return false };
    let Ok(arena) = plan(&graph) else { return false };
    let parts = artifact_parts(&[PlannedApi { name: "run", graph: &graph, plan: &arena }]);
    let Ok(artifact) = emit(&parts) else { return false };
    let artifact = AlignedBytes::from(artifact.as_slice());
    Artifact::parse(artifact.as_slice()).expect("what was written loads");
    true
}

/// Models of the fixtures' group, the smaller ones.
fn originals(group: &str, file: &str) -> Vec<Vec<u8>> {
    let read =
        |folder: &Path| std::fs::read(folder.join(file)).ok().filter(|bytes| (16..=MAX_FILE).contains(&bytes.len()));
    let mut folders: Vec<_> =
        std::fs::read_dir(root().join(group)).expect("a group").map(|entry| entry.expect("a case").path()).collect();
    folders.sort();
    folders.iter().filter_map(|folder| read(folder)).collect()
}

/// Runs `count` mutations; the number that compiled, and the most bytes used beyond those for each byte of the file.
fn run(name: &str, count: usize, originals: &[Vec<u8>], open: Open, mutate: impl Fn(&[u8], &mut Random) -> Vec<u8>) {
    let mut random = Random(Box::new(splitmix64(SEED)));
    let (mut compiled, mut most, mut panics) = (0, 0, Vec::new());
    for index in 0..count {
        let original = random.below(originals.len());
        let bytes = mutate(&originals[original], &mut random);
        let used = ALLOCATOR.peak_of(|| match catch_unwind(AssertUnwindSafe(|| compile(open, &bytes))) {
            Ok(done) => compiled += usize::from(done),
            Err(_) => panics.push(index),
        });
        let bound = FIXED_BYTES + BYTES_PER_BYTE * bytes.len();
        assert!(used <= bound, "{name} {index}: {used} bytes for a file of {}", bytes.len());
        most = most.max(used);
    }
    println!(
        "{name}: {count} files from {} models, seed {SEED}: {compiled} compile, at most {most} bytes",
        originals.len()
    );
    assert!(panics.is_empty(), "{name}: {} panics, the first at {:?}", panics.len(), &panics[..panics.len().min(20)]);
    assert!(compiled * 50 > count && compiled < count, "{name}: {compiled} of {count} compile");
}

// One test in this program: others would allocate beside it.
#[test]
fn damaged_models_neither_panic_nor_take_much_memory() {
    let count = std::env::var(VARIABLE).map_or(SHORT, |count| count.parse().expect("a number of files"));
    let models = originals("onnx", "model.onnx");
    let mut names = Vec::new();
    models.iter().filter_map(|model| read_message(model, MAX_DEPTH)).for_each(|model| texts(&model, &mut names));
    let operator =
        |name: &Vec<u8>| name.len() > 2 && name[0].is_ascii_uppercase() && name.iter().all(u8::is_ascii_alphanumeric);
    names.retain(operator);
    names.sort();
    names.dedup();
    run(
        "ONNX",
        count,
        &models,
        |bytes| frontend::open(ModelFormat::Onnx, bytes, &OpenOptions::default()),
        |original, random| mutate_onnx(original, &names, random),
    );
    run(
        "TFLite",
        count,
        &originals("tflite", "model.tflite"),
        |bytes| frontend::open(ModelFormat::Tflite, bytes, &OpenOptions::default()),
        mutate_tflite,
    );
}
