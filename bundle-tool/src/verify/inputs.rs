//! What a model and its oracle are both run on: seeded random values, and rows of the user's own data.

use std::path::Path;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::golden::{fill, sample_ranges};

use super::VerifyError;
use super::oracle::Input;
use crate::frontend::ModelInput;

/// Seed of the first random input; each further one adds one.
const FIRST_SEED: u64 = 0x0E4B_1BE5;
/// Rows of a random batch, where a model can be batched.
const ROWS: usize = 4;
/// Rows of data that are used.
pub const MAX_DATA_ROWS: usize = 1000;

/// One call of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Where the values are from, for messages.
    pub(super) origin: String,
    /// Rows of the batch.
    pub(super) rows: usize,
    /// The inputs, in the model's order.
    pub(super) inputs: Vec<Input>,
}

/// Calls on random values: one row from every range in which inputs of the types are usually found, then batches of [`ROWS`] rows where
/// `batched` says that the oracle takes them. `None` when the values would not fit in memory.
pub(super) fn random(inputs: &[ModelInput], batched: bool) -> Option<Vec<Call>> {
    let batched = batched && inputs.iter().any(|input| input.spec.shape.is_batched());
    let counts = if batched { &[1, ROWS][..] } else { &[1] };
    let mut seed = FIRST_SEED;
    let mut calls = Vec::new();
    for &rows in counts {
        for variant in 0..sample_ranges(DType::F32, 0).len() {
            let mut values = Vec::new();
            for input in inputs {
                let (low, high) = sample_ranges(input.spec.dtype, 0)[variant];
                let mut value = empty(input, rows)?;
                fill(seed, low, high, value.dtype, &mut value.bytes);
                values.push(value);
                seed += 1;
            }
            let origin = format!("random values, range {} of each type", variant + 1);
            calls.push(Call { origin, rows, inputs: values });
        }
    }
    Some(calls)
}

/// An input with zero elements' values.
fn empty(input: &ModelInput, rows: usize) -> Option<Input> {
    let dims = input.spec.shape.resolve(rows).to_vec();
    let elements = dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim as u64))?;
    let bytes = usize::try_from(input.spec.dtype.bytes(elements)?).ok().filter(|&bytes| bytes < isize::MAX as usize)?;
    Some(Input { dtype: input.spec.dtype, dims, bytes: vec![0; bytes] })
}

/// A table of numbers with the line at which each row starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Data {
    file: String,
    rows: Vec<(u64, Vec<String>)>,
}

impl Data {
    /// Reads the first [`MAX_DATA_ROWS`] rows of a CSV file. A first line with a cell that is no number is a header.
    ///
    /// # Errors
    /// [`VerifyError::Data`] when the file cannot be read, is not CSV or holds no rows.
    pub(super) fn read(path: &Path) -> Result<Self, VerifyError> {
        let file = path.display().to_string();
        let failed = |reason: String| VerifyError::Data { file: file.clone(), reason };
        let reader = csv::ReaderBuilder::new().has_headers(false).from_path(path);
        let mut reader = reader.map_err(|error| failed(error.to_string()))?;
        let mut rows = Vec::new();
        for (index, record) in reader.records().take(MAX_DATA_ROWS + 1).enumerate() {
            let record = record.map_err(|error| failed(error.to_string()))?;
            let header = index == 0 && record.iter().any(|cell| encode(DType::F64, cell).is_none());
            if !header && rows.len() < MAX_DATA_ROWS {
                let line = record.position().map_or(0, csv::Position::line);
                rows.push((line, record.iter().map(str::to_owned).collect()));
            }
        }
        if rows.is_empty() { Err(failed("it has no rows".to_owned())) } else { Ok(Self { file, rows }) }
    }

    /// One call per row: its cells fill the inputs one after the other.
    ///
    /// # Errors
    /// [`VerifyError::Data`] names the line whose cells do not fit the inputs.
    pub(super) fn calls(&self, model: &str, inputs: &[ModelInput]) -> Result<Vec<Call>, VerifyError> {
        self.rows.iter().map(|(line, cells)| self.call(model, inputs, *line, cells)).collect()
    }

    fn call(&self, model: &str, inputs: &[ModelInput], line: u64, cells: &[String]) -> Result<Call, VerifyError> {
        let failed =
            |reason: String| VerifyError::Data { file: self.file.clone(), reason: format!("line {line}: {reason}") };
        let mut rest = cells;
        let mut values = Vec::new();
        for input in inputs {
            let dims = input.spec.shape.resolve(1);
            let Some((mine, after)) = rest.split_at_checked(dims.elements()) else {
                let needed = inputs
                    .iter()
                    .fold(0, |sum: usize, input| sum.saturating_add(input.spec.shape.resolve(1).elements()));
                return Err(failed(format!("{} cells; model {model} takes {needed} numbers per row", cells.len())));
            };
            let mut bytes = Vec::new();
            for cell in mine {
                let element = encode(input.spec.dtype, cell);
                let element = element.ok_or_else(|| failed(format!("{cell:?} is no {}", input.spec.dtype)))?;
                bytes.extend(element);
            }
            values.push(Input { dtype: input.spec.dtype, dims: dims.to_vec(), bytes });
            rest = after;
        }
        if !rest.is_empty() {
            let used = cells.len() - rest.len();
            return Err(failed(format!("{} cells; model {model} takes {used} numbers per row", cells.len())));
        }
        Ok(Call { origin: format!("{}, line {line}", self.file), rows: 1, inputs: values })
    }
}

/// The little-endian bytes of a number in decimal. An empty cell is a missing value: NaN, in float inputs only.
fn encode(dtype: DType, cell: &str) -> Option<Vec<u8>> {
    let cell = cell.trim();
    let float = || if cell.is_empty() { Some(f64::NAN) } else { cell.parse::<f64>().ok() };
    let narrow = || if cell.is_empty() { Some(f32::NAN) } else { cell.parse::<f32>().ok() };
    let whole = || {
        let exact = cell.parse::<f64>().ok().filter(|value| value.fract() == 0.0 && value.abs() < 9e15);
        cell.parse::<i128>().ok().or(exact.map(|value| value as i128))
    };
    Some(match dtype {
        DType::F64 => float()?.to_le_bytes().to_vec(),
        DType::F32 => narrow()?.to_le_bytes().to_vec(),
        DType::F16 => half::f16::from_f32(narrow()?).to_le_bytes().to_vec(),
        DType::I64 => i64::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::I32 => i32::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::I16 => i16::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::I8 => i8::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::U64 => u64::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::U32 => u32::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::U16 => u16::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::U8 => u8::try_from(whole()?).ok()?.to_le_bytes().to_vec(),
        DType::Bool => match cell {
            "0" | "false" | "False" => vec![0],
            "1" | "true" | "True" => vec![1],
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ekiben_runtime::{Shape, TensorSpec};

    use super::*;

    fn inputs() -> Vec<ModelInput> {
        let batched = Shape::new(&[1, 2], Some(0)).expect("two axes");
        let fixed = Shape::fixed(&[1]).expect("an axis");
        vec![
            ModelInput::new("x", TensorSpec::new(DType::F32, batched)),
            ModelInput::new("n", TensorSpec::new(DType::I8, fixed)),
        ]
    }

    fn data(text: &str) -> Result<Data, VerifyError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("a temporary file");
        Data::read(file.path())
    }

    #[test]
    fn random_calls_are_repeatable_and_cover_batches() {
        let calls = random(&inputs(), true).expect("small inputs");
        assert_eq!(calls, random(&inputs(), true).expect("small inputs"));
        assert_eq!(calls.iter().map(|call| call.rows).collect::<Vec<_>>(), [1, 1, 1, 1, 4, 4, 4, 4]);
        assert_eq!((calls[7].inputs[0].dims.as_slice(), calls[7].inputs[0].bytes.len()), (&[4, 2][..], 32));
        assert_eq!(calls[7].inputs[1].dims, [1]);
        assert_ne!(calls[0].inputs[0].bytes, calls[4].inputs[0].bytes);
        assert_eq!(random(&inputs(), false).expect("small inputs").len(), 4);
    }

    #[test]
    fn cells_fill_the_inputs_in_order() {
        let calls = data("a,b,c\n1.5,,-3\n0.1,2,4.0\n").and_then(|data| data.calls("m", &inputs())).expect("numbers");
        assert_eq!(calls.len(), 2);
        assert!(calls[0].origin.ends_with("line 2"), "{}", calls[0].origin);
        assert_eq!(calls[0].inputs[0].bytes, [1.5_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat());
        assert_eq!(calls[0].inputs[1].bytes, [0xFD]);
        assert_eq!(calls[1].inputs[0].bytes, [0.1_f32.to_le_bytes(), 2_f32.to_le_bytes()].concat());
        assert_eq!(calls[1].inputs[1].bytes, [4]);
    }

    #[test]
    fn cells_that_do_not_fit_are_named() {
        let message = |text| data(text).and_then(|data| data.calls("m", &inputs())).expect_err("refused").to_string();
        assert!(message("1,2,3\n1,2,300\n").contains("line 2: \"300\" is no int8"));
        assert!(message("1,2\n").contains("line 1: 2 cells; model m takes 3 numbers per row"));
        assert!(message("1,2,3,4\n").contains("line 1: 4 cells; model m takes 3 numbers per row"));
        assert!(message("1,2,3\n1,x,3\n").contains("line 2: \"x\" is no float32"));
        assert!(message("1,2,3\n1,2\n").contains("line"));
        assert!(message("a,b,c\n").contains("no rows"));
    }

    #[test]
    fn no_more_rows_than_the_limit() {
        let calls = data(&"1,2,3\n".repeat(MAX_DATA_ROWS + 9)).and_then(|data| data.calls("m", &inputs()));
        assert_eq!(calls.expect("numbers").len(), MAX_DATA_ROWS);
    }
}
