//! Lines of Python as the body of an API that takes one array: compiled, and asked as a server is.

use std::fs;

use ekiben::compile::compile_path;
use ekiben_edge::score::Scorer;
use ekiben_runtime::Artifact;
use serde_json::{Value, json};

const MANIFEST: &str = "service: service:Lines
name: lines
version: v1
bentoml_version: 1.4.39
creation_time: '2026-11-26T12:00:00.000000+00:00'
models: []
entry_service: Lines
services:
- {name: Lines, service: '', models: [], dependencies: [], config: {}}
schema:
  name: Lines
  type: service
  routes:
  - name: answer
    route: /answer
    batchable: false
    input:
      properties: {x: {format: numpy-array, type: tensor, dtype: DTYPE, shape: SHAPE}}
      required: [x]
      type: object
    output: {type: object}
spec: 2
";

const HEAD: &str = "import math

import bentoml
import librosa
import numpy as np
import scipy.special
import tensorflow as tf


@bentoml.service
class Lines:
    @bentoml.api
    def answer(self, x: np.ndarray):
";

/// What an API with the lines `body` (a list of texts) answers to each array `x` of the type `dtype` and the shape `shape` (-1 for the rows).
///
/// # Errors
/// Why the lines are refused, or a request is.
pub fn answers<'x>(
    body: &Value,
    dtype: &str,
    shape: &[i64],
    arrays: impl IntoIterator<Item = &'x Value>,
) -> Result<Vec<Value>, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lines = body.as_array().expect("lines").iter().filter_map(Value::as_str);
    let lines: String = lines.map(|line| format!("        {line}\n")).collect();
    fs::create_dir(folder.path().join("src")).expect("a folder");
    let manifest = MANIFEST.replace("DTYPE", dtype).replace("SHAPE", &format!("{shape:?}"));
    fs::write(folder.path().join("bento.yaml"), manifest).expect("a file");
    fs::write(folder.path().join("src/service.py"), format!("{HEAD}{lines}")).expect("a file");
    let compiled = compile_path(folder.path(), None).map_err(|error| error.to_string())?;
    let artifact = Artifact::parse(compiled.bytes()).map_err(|error| error.to_string())?;
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, 0).map_err(|error| error.to_string())?;
    let ask = |x: &Value| {
        let mut out = Vec::new();
        let request = json!({ "x": x }).to_string();
        scorer.score_request(request.as_bytes(), &mut out, None).map_err(|error| error.to_string())?;
        serde_json::from_slice(&out).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&out)))
    };
    arrays.into_iter().map(ask).collect()
}
