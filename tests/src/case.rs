//! Reads the cases of `tests/fixtures`; the scheme is in that folder's README.
//!
//! A malformed fixture is a mistake in this repository: every function panics with the case's path and what is wrong.

use ekiben_runtime::artifact::golden::split_mix;
use ekiben_runtime::tensor::DType;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// One folder with a `case.json`.
pub struct Case {
    /// The folder, to which every path of the case is relative.
    pub folder: PathBuf,
    /// The whole `case.json`.
    pub json: Value,
}

/// Equal when `|got - expected| <= absolute + relative * |expected|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Difference allowed whatever the expected value is.
    pub absolute: f64,
    /// Difference allowed per unit of the expected value.
    pub relative: f64,
}

/// The elements of a tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Numbers, little-endian in the tensor's type; booleans one byte each.
    Bytes(Vec<u8>),
    /// Texts of any length.
    Texts(Vec<String>),
}

/// One tensor of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name in the model, empty where it has none.
    pub name: String,
    /// Element type; `Text` for [`Elements::Texts`].
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// As many elements as `shape` says.
    pub elements: Elements,
}

/// One call of a model with what it gives.
pub struct Run {
    /// What was called (`predict`, `transform`, …), empty where a model has only one method.
    pub method: String,
    /// In the model's order.
    pub inputs: Vec<Tensor>,
    /// In the model's order.
    pub outputs: Vec<Tensor>,
    /// The run as written, for keys of single groups such as `digests`.
    pub json: Value,
}

/// A request to a bento's server and its answer.
pub struct Exchange {
    /// The API.
    pub api: String,
    /// Its path on the server.
    pub route: String,
    /// The file that holds the request's body.
    pub request: PathBuf,
    /// The request's media type.
    pub content_type: String,
    /// The answer's status.
    pub status: u64,
    /// The answer's JSON, where it matters.
    pub response: Option<Value>,
    /// The answer's text, where it is not JSON.
    pub response_text: Option<String>,
}

/// The folder of all groups.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// All cases of a group, by name.
pub fn group(name: &str) -> Vec<Case> {
    let folder = root().join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().map(Case::read).collect()
}

/// The folder of the MLPerf Tiny models, if it is there: `../shared/models/mlperf-tiny` beside the repository, or
/// what `EKIBEN_MLPERF_TINY` names.
pub fn mlperf_models() -> Option<PathBuf> {
    let folder = match std::env::var_os("EKIBEN_MLPERF_TINY") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models/mlperf-tiny"),
    };
    let found = folder.is_dir();
    if !found {
        eprintln!("skipped: no MLPerf Tiny models in {}; EKIBEN_MLPERF_TINY names another folder", folder.display());
    }
    found.then_some(folder)
}

impl Case {
    /// Reads `folder/case.json`.
    pub fn read(folder: PathBuf) -> Self {
        let path = folder.join("case.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(json["scheme"], 1, "{}: scheme", path.display());
        Self { folder, json }
    }

    /// The name of the case's folder.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The text at `key`.
    pub fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_else(|| panic!("{}: no text {key:?}", self.folder.display()))
    }

    /// The path at `key`, or nothing where the case has no such key.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.folder.join(self.json.get(key)?.as_str()?))
    }

    /// How near the answers must be.
    pub fn tolerance(&self) -> Tolerance {
        let part = |name: &str| {
            let value = self.json["tolerance"][name].as_f64();
            value.unwrap_or_else(|| panic!("{}: no tolerance {name}", self.folder.display()))
        };
        Tolerance { absolute: part("absolute"), relative: part("relative") }
    }

    /// The runs of a model.
    pub fn runs(&self) -> Vec<Run> {
        let runs = self.json["runs"].as_array().unwrap_or_else(|| panic!("{}: no runs", self.folder.display()));
        let tensors = |list: &Value| {
            let list = list.as_array().unwrap_or_else(|| panic!("{}: a run without tensors", self.folder.display()));
            list.iter().map(|tensor| self.tensor(tensor)).collect()
        };
        let run = |json: &Value| Run {
            method: json["method"].as_str().unwrap_or_default().to_owned(),
            inputs: tensors(&json["inputs"]),
            outputs: tensors(&json["outputs"]),
            json: json.clone(),
        };
        runs.iter().map(run).collect()
    }

    /// The exchanges of a bento's server.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let runs = self.json["runs"].as_array().unwrap_or_else(|| panic!("{}: no runs", self.folder.display()));
        let exchange = |json: &Value| {
            let text = |json: &Value| {
                let text = json.as_str().unwrap_or_else(|| panic!("{}: a run without a text", self.folder.display()));
                text.to_owned()
            };
            Exchange {
                api: text(&json["api"]),
                route: text(&json["route"]),
                request: self.folder.join(text(&json["request"]["file"])),
                content_type: text(&json["request"]["content_type"]),
                status: json["status"].as_u64().unwrap_or_else(|| panic!("{}: no status", self.folder.display())),
                response: json.get("response").cloned(),
                response_text: json.get("response_text").map(&text),
            }
        };
        runs.iter().map(exchange).collect()
    }

    /// The bento at `key` as one folder: a copy with the files of `overlay` over it. The copy goes with the returned guard.
    pub fn assemble(&self, key: &str) -> TempDir {
        let target = tempfile::tempdir().expect("a temporary folder");
        let bento = self.path(key).unwrap_or_else(|| panic!("{}: no {key}", self.folder.display()));
        copy_tree(&bento, target.path());
        if let Some(overlay) = self.path("overlay") {
            copy_tree(&overlay, target.path());
        }
        target
    }

    fn tensor(&self, json: &Value) -> Tensor {
        let place = self.folder.display();
        let code = json["dtype"].as_str().unwrap_or_else(|| panic!("{place}: a tensor without dtype"));
        let dtype = dtype(code).unwrap_or_else(|| panic!("{place}: unknown dtype {code:?}"));
        let dims = json["shape"].as_array().unwrap_or_else(|| panic!("{place}: a tensor without shape"));
        let shape: Vec<usize> = dims.iter().map(|d| d.as_u64().expect("a dimension") as usize).collect();
        let count: usize = shape.iter().product();
        let elements = if let Some(texts) = json["values"].as_array() {
            Elements::Texts(texts.iter().map(|t| t.as_str().expect("a text").to_owned()).collect())
        } else if let Some(numbers) = json["values"].as_str() {
            Elements::Bytes(numbers.split_ascii_whitespace().flat_map(|n| encode(dtype, n)).collect())
        } else if let Some(file) = json["file"].as_str() {
            Elements::Bytes(fs::read(self.folder.join(file)).unwrap_or_else(|e| panic!("{place}: {file}: {e}")))
        } else {
            let seed = json["splitmix64"].as_str().unwrap_or_else(|| panic!("{place}: a tensor without elements"));
            let range = |key: &str, default: f64| json[key].as_f64().unwrap_or(default) as f32;
            let seed = seed.parse().expect("a seed");
            Elements::Bytes(generate(seed, dtype, count, range("scale", 1.0), range("offset", 0.0)))
        };
        let stored = match &elements {
            Elements::Texts(texts) => texts.len(),
            Elements::Bytes(bytes) => bytes.len() * 8 / dtype.bits() as usize,
        };
        assert_eq!(stored, count, "{place}: elements of a tensor of shape {shape:?}");
        Tensor { name: json["name"].as_str().unwrap_or_default().to_owned(), dtype, shape, elements }
    }
}

impl Tensor {
    /// The little-endian bytes of a tensor of numbers.
    pub fn bytes(&self) -> &[u8] {
        match &self.elements {
            Elements::Bytes(bytes) => bytes,
            Elements::Texts(_) => panic!("tensor {:?} holds texts", self.name),
        }
    }

    /// The texts of a tensor of texts.
    pub fn texts(&self) -> &[String] {
        match &self.elements {
            Elements::Texts(texts) => texts,
            Elements::Bytes(_) => panic!("tensor {:?} holds numbers", self.name),
        }
    }

    /// The elements as f64: exact but for integers beyond 2^53.
    pub fn numbers(&self) -> Vec<f64> {
        let width = self.dtype.bits() as usize / 8;
        self.bytes().chunks_exact(width).map(|element| decode(self.dtype, element)).collect()
    }

    /// The first place where `got` differs from this expected tensor, in words. Integers, booleans and texts must be equal;
    /// NaN equals NaN.
    pub fn difference(&self, got: &Self, tolerance: Tolerance) -> Option<String> {
        if (self.dtype, &self.shape) != (got.dtype, &got.shape) {
            let (e, g) = (self, got);
            return Some(format!("{:?} {:?} instead of {:?} {:?}", g.dtype, g.shape, e.dtype, e.shape));
        }
        if !self.dtype.is_float() {
            return (self.elements != got.elements).then(|| match (&self.elements, &got.elements) {
                (Elements::Bytes(_), Elements::Bytes(_)) => first_difference(&self.numbers(), &got.numbers()),
                (expected, got) => format!("{got:?} instead of {expected:?}"),
            });
        }
        let pairs = self.numbers().into_iter().zip(got.numbers());
        let mut pairs = pairs.enumerate().filter(|(_, (expected, got))| !near(*expected, *got, tolerance));
        pairs.next().map(|(at, (expected, got))| format!("element {at} is {got:e} instead of {expected:e}"))
    }
}

/// Whether two floats are equal within `tolerance`; infinities only equal themselves, NaN equals NaN.
pub fn near(expected: f64, got: f64, tolerance: Tolerance) -> bool {
    expected == got
        || expected.is_nan() && got.is_nan()
        || expected.is_finite() && (got - expected).abs() <= tolerance.absolute + tolerance.relative * expected.abs()
}

fn first_difference(expected: &[f64], got: &[f64]) -> String {
    let differs = expected.iter().zip(got).position(|(e, g)| e != g);
    let Some(at) = differs else { return "integers beyond 2^53 differ".to_owned() };
    format!("element {at} is {} instead of {}", got[at], expected[at])
}

/// The yields of SplitMix64 for `seed`.
pub fn splitmix64(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || split_mix(&mut state))
}

fn generate(seed: u64, dtype: DType, count: usize, scale: f32, offset: f32) -> Vec<u8> {
    let words = splitmix64(seed);
    if dtype == DType::F32 {
        let unit = |z: u64| (z >> 40) as f32 / 16_777_216.0;
        return words.take(count).flat_map(|z| (unit(z) * scale + offset).to_le_bytes()).collect();
    }
    let bytes = count * dtype.bits() as usize / 8;
    words.flat_map(u64::to_le_bytes).take(bytes).collect()
}

pub(crate) fn dtype(code: &str) -> Option<DType> {
    Some(match code {
        "bool" => DType::Bool,
        "i8" => DType::I8,
        "i16" => DType::I16,
        "i32" => DType::I32,
        "i64" => DType::I64,
        "u8" => DType::U8,
        "f32" => DType::F32,
        "f64" => DType::F64,
        "text" => DType::Text,
        _ => return None,
    })
}

fn encode(dtype: DType, number: &str) -> Vec<u8> {
    match dtype {
        DType::Bool | DType::U8 => parse::<u8>(number).to_le_bytes().to_vec(),
        DType::I8 => parse::<i8>(number).to_le_bytes().to_vec(),
        DType::I16 => parse::<i16>(number).to_le_bytes().to_vec(),
        DType::I32 => parse::<i32>(number).to_le_bytes().to_vec(),
        DType::I64 => parse::<i64>(number).to_le_bytes().to_vec(),
        DType::F32 => parse::<f32>(number).to_le_bytes().to_vec(),
        DType::F64 => parse::<f64>(number).to_le_bytes().to_vec(),
        other => panic!("no fixture holds {}", other.name()),
    }
}

fn parse<T: std::str::FromStr>(number: &str) -> T {
    number.parse().unwrap_or_else(|_| panic!("{number:?} is no {}", std::any::type_name::<T>()))
}

fn decode(dtype: DType, element: &[u8]) -> f64 {
    let array = |n: usize| -> [u8; 8] {
        let mut array = [0; 8];
        array[..n].copy_from_slice(element);
        array
    };
    match dtype {
        DType::Bool | DType::U8 => f64::from(element[0]),
        DType::I8 => f64::from(element[0] as i8),
        DType::I16 => f64::from(u64::from_le_bytes(array(2)) as u16 as i16),
        DType::I32 => f64::from(u64::from_le_bytes(array(4)) as u32 as i32),
        DType::I64 => i64::from_le_bytes(array(8)) as f64,
        DType::F32 => f64::from(f32::from_bits(u64::from_le_bytes(array(4)) as u32)),
        DType::F64 => f64::from_le_bytes(array(8)),
        other => panic!("no fixture holds {}", other.name()),
    }
}

fn copy_tree(from: &Path, to: &Path) {
    let fail = |path: &Path, e: std::io::Error| -> ! { panic!("{}: {e}", path.display()) };
    fs::create_dir_all(to).unwrap_or_else(|e| fail(to, e));
    for entry in fs::read_dir(from).unwrap_or_else(|e| fail(from, e)) {
        let source = entry.unwrap_or_else(|e| fail(from, e)).path();
        let target = to.join(source.file_name().expect("an entry has a name"));
        if source.is_dir() {
            copy_tree(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap_or_else(|e| fail(&source, e));
        }
    }
}
