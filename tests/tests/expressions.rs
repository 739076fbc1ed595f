//! Lines of Python over an array of a request, compiled, run, and compared with what numpy answers.

use std::fs;

use ekiben_tests::case::root;
use ekiben_tests::lines::answers;
use serde_json::Value;

/// Whether two answers are the same: integers, truths and texts exactly, floats within `relative` of the larger one.
fn same(got: &Value, expected: &Value, relative: f64) -> bool {
    match (got, expected) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, relative)),
        (Value::Object(a), Value::Object(b)) => {
            a.keys().eq(b.keys()) && a.iter().all(|(key, item)| same(item, &b[key], relative))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().expect("a float"), b.as_f64().expect("a float"));
            (a - b).abs() <= relative * a.abs().max(b.abs()).max(1.0)
        }
        _ => got == expected,
    }
}

#[test]
fn lines_answer_as_numpy_does() {
    let text = fs::read_to_string(root().join("expressions/numpy.json")).expect("cases");
    let suite: Value = serde_json::from_str(&text).expect("JSON");
    let cases = suite["cases"].as_array().expect("cases");
    let filter = std::env::var("EKIBEN_CASE").unwrap_or_default();
    let mut failures = Vec::new();
    for case in cases {
        let name = format!("{} of {}", case["body"], case["dtype"]);
        let relative = if case["dtype"] == "float32" { 2e-6 } else { 1e-12 };
        if !name.contains(&filter) {
            continue;
        }
        let dtype = case["dtype"].as_str().expect("a type");
        match answers(&case["body"], dtype, &[-1, 4], [&case["x"]]) {
            Ok(got) if same(&got[0], &case["answer"], relative) => {}
            Ok(got) => failures.push(format!("{name}: got {}, numpy answers {}", got[0], case["answer"])),
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    println!("{} cases", cases.len());
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert!(cases.len() >= 500);
}
