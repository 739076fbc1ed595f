//! Requests to compiled bentos, compared with recorded answers.

use std::fs;

use ekiben::compile::CompiledArtifact;
use ekiben_edge::adapter::Table;
use ekiben_edge::score::Scorer;
use ekiben_runtime::Artifact;
use serde_json::Value;

use crate::case::{Exchange, Tolerance, near};

/// The body that the API called `name` answers to a request.
///
/// # Errors
/// The program's message.
pub fn answer_body(
    compiled: &CompiledArtifact,
    name: &str,
    body: &[u8],
    content_type: &str,
) -> Result<Vec<u8>, String> {
    let artifact = Artifact::parse(compiled.bytes()).map_err(|error| error.to_string())?;
    let (index, _) = compiled.manifest.api(name).ok_or(format!("no API {name}"))?;
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, index).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    if content_type == "text/csv" {
        scorer.score_rows(body, Table::Csv, &mut out, Table::JsonLines, 3).map_err(|error| error.to_string())?;
        let rows = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let rows: Vec<&[u8]> = rows.collect();
        return Ok([b"[", rows.join(&b',').as_slice(), b"]"].concat());
    }
    scorer.score_request(body, &mut out, None).map_err(|error| error.to_string())?;
    Ok(out)
}

/// The first place where the answer to an exchange differs from the recorded one; nothing where only the status is recorded.
///
/// # Errors
/// The difference in words.
pub fn compare(compiled: &CompiledArtifact, run: &Exchange, place: &str, tolerance: Tolerance) -> Result<bool, String> {
    let body = fs::read(&run.request).map_err(|error| format!("{place}: {error}"))?;
    let got = answer_body(compiled, &run.api, &body, &run.content_type);
    if run.status >= 400 {
        return match got {
            Ok(_) => Err(format!("{place}: answered, where status {} is expected", run.status)),
            Err(_) => Ok(true),
        };
    }
    let got = got.map_err(|error| format!("{place}: {error}"))?;
    let text = String::from_utf8_lossy(&got);
    if let Some(expected) = &run.response_text {
        // The program ends its output with a line feed.
        return if expected.trim_end_matches('\n') == text.trim_end_matches('\n') {
            Ok(true)
        } else {
            Err(format!("{place}: got {text:?}, expected {expected:?}"))
        };
    }
    let Some(expected) = &run.response else {
        return Ok(false);
    };
    let got = serde_json::from_slice(&got).map_err(|error| format!("{place}: {error}: {text}"))?;
    difference(place, &got, expected, tolerance).map_or(Ok(true), Err)
}

/// The first place where two answers differ. Integers and texts are exact; a float may stand for an expected float only.
pub fn difference(place: &str, got: &Value, expected: &Value, tolerance: Tolerance) -> Option<String> {
    let report = || Some(format!("{place}: got {got}, expected {expected}"));
    match (got, expected) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut items = a.iter().zip(b).enumerate();
            items.find_map(|(at, (a, b))| difference(&format!("{place}[{at}]"), a, b, tolerance))
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, item)| difference(&format!("{place}.{key}"), item, &b[key], tolerance))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() == b.is_f64() => {
            let same = if a.is_f64() {
                near(b.as_f64().expect("a float"), a.as_f64().expect("a float"), tolerance)
            } else {
                a == b
            };
            if same { None } else { report() }
        }
        _ if got == expected => None,
        _ => report(),
    }
}
