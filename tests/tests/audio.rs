//! Features of sound, as librosa and TensorFlow compute them: written in a service, compiled, run, and compared on generated signals.

use std::fs;

use ekiben_tests::case::root;
use ekiben_tests::lines::answers;
use serde_json::{Value, json};

/// The largest difference that is allowed, over the range of the library's values.
const LIMIT: f64 = 1e-4;

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// The numbers of nested lists, and the lengths of those.
fn flat(value: &Value, numbers: &mut Vec<f64>) -> Vec<u64> {
    let Some(items) = value.as_array() else {
        numbers.push(value.as_f64().unwrap_or_else(|| panic!("{value} is no number")));
        return Vec::new();
    };
    let inner = items.iter().map(|item| flat(item, numbers)).last().unwrap_or_default();
    [vec![items.len() as u64], inner].concat()
}

/// The largest difference from the library's answers over their range, of each signal.
fn differences(
    case: &Value,
    signals: &[Vec<f32>],
    expected: &mut dyn Iterator<Item = f32>,
) -> Result<Vec<f64>, String> {
    let shape: Vec<u64> = case["shape"].as_array().expect("a shape").iter().filter_map(Value::as_u64).collect();
    let count = shape.iter().product::<u64>() as usize;
    let expected: Vec<Vec<f32>> = signals.iter().map(|_| expected.take(count).collect()).collect();
    let arrays: Vec<Value> = signals.iter().map(|signal| json!(signal)).collect();
    let answers = answers(&case["body"], "float32", &[signals[0].len() as i64], &arrays)?;
    let mut worst = Vec::new();
    for (answer, expected) in answers.iter().zip(expected) {
        let mut got = Vec::new();
        let given = flat(answer, &mut got);
        if given != shape || expected.len() != count {
            return Err(format!("the answer has shape {given:?} instead of {shape:?}"));
        }
        let (low, high) =
            expected.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        let pairs = got.iter().zip(&expected);
        let largest = pairs.map(|(got, &expected)| (got - f64::from(expected)).abs()).fold(0.0, f64::max);
        worst.push(largest / f64::from(high - low).max(f64::MIN_POSITIVE));
    }
    Ok(worst)
}

fn check(library: &str, least: usize) {
    let folder = root().join("audio");
    let text = fs::read_to_string(folder.join(format!("{library}.json"))).expect("cases");
    let suite: Value = serde_json::from_str(&text).expect("JSON");
    let samples = suite["samples"].as_u64().expect("a number") as usize;
    let signals = floats(&fs::read(folder.join("signals.f32")).expect("signals"));
    let signals: Vec<Vec<f32>> = signals.chunks_exact(samples).map(<[f32]>::to_vec).collect();
    let mut expected = floats(&fs::read(folder.join(format!("{library}.f32"))).expect("answers")).into_iter();
    let cases = suite["cases"].as_array().expect("cases");
    let mut failures = Vec::new();
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        match differences(case, &signals, &mut expected) {
            Ok(worst) => {
                let largest = worst.iter().copied().fold(0.0, f64::max);
                println!("{library} {name}: {largest:.1e} of the range at most, of {} signals", worst.len());
                if largest > LIMIT {
                    let each: Vec<String> = worst.iter().map(|worst| format!("{worst:.1e}")).collect();
                    failures.push(format!("{name}: {}", each.join(" ")));
                }
            }
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{library}: {} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert!(cases.len() >= least && signals.len() >= 7, "{library}: {} cases", cases.len());
}

#[test]
fn features_are_librosas() {
    check("librosa", 15);
}

#[test]
fn features_are_tensorflows() {
    check("tensorflow", 6);
}
