//! Reads the archives of `tests/fixtures/tflite_operators`: models of one operator with the answers of LiteRT's reference kernels.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::case::{Elements, Tensor, dtype, root};

/// A model of one operator.
pub struct OperatorCase {
    /// Name of the operator in the TFLite schema.
    pub operator: String,
    /// What is particular about the case.
    pub name: String,
    /// The TFLite file.
    pub model: Vec<u8>,
    /// Calls, in the order in which they were made on one interpreter: inputs, and outputs.
    pub runs: Vec<[Vec<Tensor>; 2]>,
}

/// All cases, by operator.
///
/// # Panics
/// On a damaged archive.
pub fn operator_cases() -> Vec<OperatorCase> {
    let folder = root().join("tflite_operators");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut archives: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    archives.sort();
    let mut cases = Vec::new();
    for archive in archives {
        let name = archive.file_name().expect("a name").to_string_lossy().into_owned();
        let operator = name.strip_suffix(".tar.gz").unwrap_or_else(|| panic!("{name}: no archive"));
        let mut files = HashMap::new();
        let mut tar = tar::Archive::new(GzDecoder::new(File::open(&archive).expect("an archive")));
        for entry in tar.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("the whole file");
            files.insert(path, bytes);
        }
        let list: Value = serde_json::from_slice(&files["cases.json"]).expect("JSON");
        cases.extend(list.as_array().expect("a list").iter().map(|json| read_case(operator, json, &mut files)));
    }
    cases
}

fn read_case(operator: &str, json: &Value, files: &mut HashMap<String, Vec<u8>>) -> OperatorCase {
    let name = json["name"].as_str().expect("a name").to_owned();
    let model = files.remove(&format!("{name}.tflite")).unwrap_or_else(|| panic!("{operator} {name}: no model"));
    let data = files.remove(&format!("{name}.data")).unwrap_or_else(|| panic!("{operator} {name}: no data"));
    let mut rest = data.as_slice();
    let mut take = |list: &Value| -> Vec<Tensor> {
        list.as_array().expect("a list").iter().map(|tensor| read_tensor(tensor, &mut rest)).collect()
    };
    let runs = (0..json["runs"].as_u64().expect("a count")).map(|_| [take(&json["inputs"]), take(&json["outputs"])]);
    let runs = runs.collect();
    assert!(rest.is_empty(), "{operator} {name}: {} bytes left over", rest.len());
    OperatorCase { operator: operator.to_owned(), name, model, runs }
}

fn read_tensor(json: &Value, rest: &mut &[u8]) -> Tensor {
    let dtype = dtype(json["dtype"].as_str().expect("a type")).expect("a known type");
    let shape: Vec<usize> =
        json["shape"].as_array().expect("a shape").iter().map(|d| d.as_u64().expect("a length") as usize).collect();
    let bytes = shape.iter().product::<usize>() * dtype.bits() as usize / 8;
    let (taken, left) = rest.split_at(bytes);
    *rest = left;
    Tensor { name: String::new(), dtype, shape, elements: Elements::Bytes(taken.to_vec()) }
}
