//! Reads the archives of `tests/fixtures/tabular`: tabular models with the answers of the frameworks that trained them.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::case::{Elements, Tensor, Tolerance, dtype, root};

/// Names a folder with further suites, which the makers wrote elsewhere because they are large.
pub const FOLDER_VARIABLE: &str = "EKIBEN_TABULAR";

/// Chooses the cases whose `suite/name` contains it.
pub const FILTER_VARIABLE: &str = "EKIBEN_TABULAR_FILTER";

/// One model with its rows and what its framework answers to them.
pub struct TabularCase {
    /// `suite/name`.
    pub name: String,
    /// The model file.
    pub model: Vec<u8>,
    /// Number of rows.
    pub rows: usize,
    /// One matrix `X` of shape `[rows, features]`, or one tensor per column of a table, `[rows]`.
    pub inputs: Vec<Tensor>,
    /// The answers, by method.
    pub runs: Vec<TabularRun>,
}

/// What one method answers.
pub struct TabularRun {
    /// The method.
    pub method: String,
    /// How near the answers must be.
    pub tolerance: Tolerance,
    /// The outputs, in the model's order.
    pub outputs: Vec<Tensor>,
}

/// The archives, in order of their names, those of [`FOLDER_VARIABLE`] among them.
///
/// # Panics
/// When a folder cannot be read.
pub fn suites() -> Vec<PathBuf> {
    let further = env::var_os(FOLDER_VARIABLE).map(PathBuf::from);
    let mut archives = Vec::new();
    for folder in [Some(root().join("tabular")), further].into_iter().flatten() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        archives.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    archives.retain(|path| path.to_string_lossy().ends_with(".tar.gz"));
    archives.sort();
    archives
}

/// The cases of an archive that [`FILTER_VARIABLE`] chooses.
///
/// # Panics
/// On a damaged archive.
pub fn cases(archive: &Path) -> Vec<TabularCase> {
    let file = archive.file_name().expect("a name").to_string_lossy().into_owned();
    let suite = file.strip_suffix(".tar.gz").unwrap_or(&file);
    let filter = env::var(FILTER_VARIABLE).unwrap_or_default();
    let mut files = HashMap::new();
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(archive).expect("an archive")));
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("the whole file");
        files.insert(path, bytes);
    }
    let head: Value = serde_json::from_slice(&files["cases.json"]).expect("JSON");
    assert_eq!(head["scheme"], 1, "{file}: scheme");
    let all = list(&head["cases"]).iter().map(|json| read_case(suite, json, &mut files));
    all.filter(|case| case.name.contains(&filter)).collect()
}

fn list(json: &Value) -> &[Value] {
    json.as_array().expect("a list")
}

fn read_case(suite: &str, json: &Value, files: &mut HashMap<String, Vec<u8>>) -> TabularCase {
    let short = json["name"].as_str().expect("a name");
    let name = format!("{suite}/{short}");
    let mut take = |kind: &str| files.remove(&format!("{short}.{kind}")).unwrap_or_else(|| panic!("{name}: no {kind}"));
    let (model, data) = (take("model"), take("data"));
    let mut rest = data.as_slice();
    let inputs = list(&json["inputs"]).iter().map(|tensor| read_tensor(tensor, &mut rest)).collect();
    let mut runs = Vec::new();
    for run in list(&json["runs"]) {
        let part = |part: &str| run["tolerance"][part].as_f64().expect("a tolerance");
        runs.push(TabularRun {
            method: run["method"].as_str().expect("a method").to_owned(),
            tolerance: Tolerance { absolute: part("absolute"), relative: part("relative") },
            outputs: list(&run["outputs"]).iter().map(|tensor| read_tensor(tensor, &mut rest)).collect(),
        });
    }
    assert!(rest.is_empty(), "{name}: {} bytes left over", rest.len());
    let rows = json["rows"].as_u64().expect("a number of rows") as usize;
    TabularCase { name, model, rows, inputs, runs }
}

fn read_tensor(json: &Value, rest: &mut &[u8]) -> Tensor {
    let name = json["name"].as_str().unwrap_or_default().to_owned();
    let dtype = dtype(json["dtype"].as_str().expect("a type")).expect("a known type");
    let shape: Vec<usize> = list(&json["shape"]).iter().map(|d| d.as_u64().expect("a length") as usize).collect();
    if let Some(texts) = json["values"].as_array() {
        let texts = texts.iter().map(|text| text.as_str().expect("a text").to_owned()).collect();
        return Tensor { name, dtype, shape, elements: Elements::Texts(texts) };
    }
    let bytes = shape.iter().product::<usize>() * dtype.bits() as usize / 8;
    let (taken, left) = rest.split_at(bytes);
    *rest = left;
    Tensor { name, dtype, shape, elements: Elements::Bytes(taken.to_vec()) }
}

/// The inputs in the order and form in which a model takes them: `names` are those of its inputs, and by position where they name none. Columns of numbers become one matrix where the model has
/// one input for all of them.
///
/// # Errors
/// A column that is not there, or texts where numbers are needed.
pub fn arrange(inputs: &[Tensor], names: &[String]) -> Result<Vec<Tensor>, String> {
    if let ([_], [matrix]) = (names, inputs)
        && matrix.shape.len() == 2
    {
        return Ok(inputs.to_vec());
    }
    let find = |name: &String| inputs.iter().find(|input| input.name == *name).cloned();
    let found: Option<Vec<Tensor>> = names.iter().map(find).collect();
    let is_text = |input: &Tensor| matches!(input.elements, Elements::Texts(_));
    match (found, names) {
        (Some(found), _) => Ok(found),
        (None, [_]) if inputs.len() == 1 && inputs.iter().all(is_text) => Ok(inputs.to_vec()),
        (None, [name]) => Ok(vec![joined(inputs, name)?]),
        (None, names) if names.len() == inputs.len() => Ok(inputs.to_vec()),
        (None, _) => Err(format!("the model takes the columns {names:?}")),
    }
}

/// Columns of numbers as one matrix.
fn joined(columns: &[Tensor], name: &str) -> Result<Tensor, String> {
    let rows = columns.first().map_or(0, |column| column.shape[0]);
    if let Some(text) = columns.iter().find(|column| matches!(column.elements, Elements::Texts(_))) {
        return Err(format!("the model takes one matrix, and column {:?} holds texts", text.name));
    }
    let numbers: Vec<Vec<f64>> = columns.iter().map(Tensor::numbers).collect();
    let cells = (0..rows).flat_map(|row| numbers.iter().flat_map(move |column| column[row].to_le_bytes()));
    let elements = Elements::Bytes(cells.collect());
    Ok(Tensor { name: name.to_owned(), dtype: ekiben_runtime::DType::F64, shape: vec![rows, columns.len()], elements })
}
