//! Features of sound, as librosa and TensorFlow compute them: written in a service, compiled, run, and compared on generated signals.

use std::fs;

use ekiben::compile::compile_path;
use ekiben_edge::score::Scorer;
use ekiben_runtime::Artifact;
use ekiben_tests::case::root;
use serde_json::{Value, json};

/// The largest difference that is allowed, over the range of the library's values.
const LIMIT: f64 = 1e-4;

const MANIFEST: &str = "service: service:Sound
name: sound
version: v1
bentoml_version: 1.4.39
creation_time: '2026-11-26T12:00:00.000000+00:00'
models: []
entry_service: Sound
services:
- {name: Sound, service: '', models: [], dependencies: [], config: {}}
schema:
  name: Sound
  type: service
  routes:
  - name: features
    route: /features
    batchable: false
    input:
      properties: {y: {format: numpy-array, type: tensor, dtype: float32, shape: [SAMPLES]}}
      required: [y]
      type: object
    output: {format: numpy-array, type: tensor}
spec: 2
";

/// The source of a service whose API has this body.
fn source(samples: usize, body: &[&str]) -> String {
    let body: String = body.iter().map(|line| format!("        {line}\n")).collect();
    format!(
        "import bentoml\nimport librosa\nimport numpy as np\nimport tensorflow as tf\nfrom typing import Annotated\n\
         from bentoml.validators import DType, Shape\n\n\n\
         @bentoml.service\nclass Sound:\n    @bentoml.api\n    \
         def features(self, y: Annotated[np.ndarray, Shape(({samples},)), DType(\"float32\")]) -> np.ndarray:\n{body}"
    )
}

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
    let folder = tempfile::tempdir().expect("a temporary folder");
    let body: Vec<&str> = case["body"].as_array().expect("lines").iter().filter_map(Value::as_str).collect();
    fs::create_dir(folder.path().join("src")).expect("a folder");
    let manifest = MANIFEST.replace("SAMPLES", &signals[0].len().to_string());
    fs::write(folder.path().join("bento.yaml"), manifest).expect("a file");
    fs::write(folder.path().join("src/service.py"), source(signals[0].len(), &body)).expect("a file");
    let shape: Vec<u64> = case["shape"].as_array().expect("a shape").iter().filter_map(Value::as_u64).collect();
    let count = shape.iter().product::<u64>() as usize;
    let expected: Vec<Vec<f32>> = signals.iter().map(|_| expected.take(count).collect()).collect();
    let compiled = compile_path(folder.path(), None).map_err(|error| error.to_string())?;
    let artifact = Artifact::parse(compiled.bytes()).map_err(|error| error.to_string())?;
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, 0).map_err(|error| error.to_string())?;
    let mut worst = Vec::new();
    for (signal, expected) in signals.iter().zip(expected) {
        let mut out = Vec::new();
        let request = json!({ "y": signal }).to_string();
        scorer.score_request(request.as_bytes(), &mut out, None).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&out).map_err(|error| error.to_string())?;
        let mut got = Vec::new();
        let given = flat(&answer, &mut got);
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
