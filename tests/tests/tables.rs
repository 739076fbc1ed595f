//! Tables with texts end to end: pickles compiled without a service, scored from CSV, JSON lines and JSON tables, and compared with what scikit-learn predicted.

use std::fmt::Write;
use std::fs;

use ekiben::bundle::Bundle;
use ekiben::compile::{CompileOptions, CompiledArtifact, compile, compile_path};
use ekiben::frontend::InputLengths;
use ekiben_edge::adapter::Table;
use ekiben_edge::score::Scorer;
use ekiben_runtime::Artifact;
use ekiben_tests::case::{Elements, Tensor};
use ekiben_tests::tabular::{TabularCase, cases, suites};
use serde_json::{Map, Value, json};

/// A case of the newest suite.
fn case(name: &str) -> TabularCase {
    let archive = suites().into_iter().find(|path| path.ends_with("sklearn_tables_1_9.tar.gz")).expect("the suite");
    cases(&archive).into_iter().find(|case| case.name.ends_with(&format!("/{name}"))).expect("the case")
}

fn compiled(case: &TabularCase) -> CompiledArtifact {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.pkl");
    fs::write(&path, &case.model).expect("a file");
    compile_path(&path, None).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// The cell of a column, as JSON: null where it is missing.
fn cell(column: &Tensor, row: usize) -> Value {
    match &column.elements {
        Elements::Texts(texts) if texts[row].is_empty() => Value::Null,
        Elements::Texts(texts) => texts[row].clone().into(),
        Elements::Bytes(_) => json!(column.numbers()[row]),
    }
}

/// The rows as objects by the columns' names.
fn records(columns: &[Tensor], rows: usize) -> Vec<Map<String, Value>> {
    let record = |row| columns.iter().map(|column| (column.name.clone(), cell(column, row))).collect();
    (0..rows).map(record).collect()
}

/// The rows as CSV with a header; a missing value is an empty field.
fn csv(columns: &[&Tensor], rows: usize) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut text = names.join(",") + "\n";
    for row in 0..rows {
        let fields = columns.iter().map(|column| match cell(column, row) {
            Value::Null => String::new(),
            Value::String(field) => format!("\"{}\"", field.replace('"', "\"\"")),
            number => number.to_string(),
        });
        writeln!(text, "{}", fields.collect::<Vec<_>>().join(",")).expect("memory");
    }
    text
}

/// The lines that scoring a table gives.
fn score(compiled: &CompiledArtifact, body: &str, table: Table) -> Result<Vec<Value>, String> {
    let artifact = Artifact::parse(compiled.bytes()).expect("an artifact");
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, 0).expect("an API");
    let mut out = Vec::new();
    scorer.score_rows(body.as_bytes(), table, &mut out, Table::JsonLines, 7).map_err(|error| error.to_string())?;
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect())
}

/// What a request gives.
fn request(compiled: &CompiledArtifact, body: &Value) -> Result<Value, String> {
    let artifact = Artifact::parse(compiled.bytes()).expect("an artifact");
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, 0).expect("an API");
    let mut out = Vec::new();
    let body = body.to_string();
    scorer.score_request(body.as_bytes(), &mut out, None).map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice(&out).expect("JSON"))
}

/// The expected predictions as JSON.
fn expected(case: &TabularCase) -> Vec<Value> {
    let run = case.runs.iter().find(|run| run.method == "predict").expect("predictions");
    match &run.outputs[0].elements {
        Elements::Texts(texts) => texts.iter().map(|text| text.as_str().into()).collect(),
        Elements::Bytes(bytes) => bytes.iter().map(|byte| (*byte != 0).into()).collect(),
    }
}

#[test]
fn tables_are_scored_from_every_form() {
    // Booleans from texts with unknown categories and missing values; texts from free text beside them.
    for name in ["missing", "text_column", "tree"] {
        let case = case(name);
        let (compiled, rows, expected) = (compiled(&case), case.rows, expected(&case));
        let columns: Vec<&Tensor> = case.inputs.iter().collect();
        let free_text = |column: &&Tensor| column.name == "note";
        // A missing value is no text, and CSV writes the empty text as one.
        let records: Vec<Map<String, Value>> = records(&case.inputs, rows)
            .into_iter()
            .map(|mut record| {
                if let Some(note @ Value::Null) = record.get_mut("note") {
                    *note = "".into();
                }
                record
            })
            .collect();
        assert_eq!(score(&compiled, &csv(&columns, rows), Table::Csv).as_ref(), Ok(&expected), "{name}");
        let turned: Vec<&Tensor> = columns.iter().rev().copied().collect();
        assert_eq!(score(&compiled, &csv(&turned, rows), Table::Csv).as_ref(), Ok(&expected), "{name}: other order");
        let extra = Tensor { name: "extra".to_owned(), ..case.inputs[0].clone() };
        let more: Vec<&Tensor> = [&extra].into_iter().chain(columns.iter().copied()).collect();
        assert_eq!(score(&compiled, &csv(&more, rows), Table::Csv).as_ref(), Ok(&expected), "{name}: more columns");
        let lines: String = records.iter().map(|record| json!(record).to_string() + "\n").collect();
        assert_eq!(score(&compiled, &lines, Table::JsonLines).as_ref(), Ok(&expected), "{name}: lines");
        let by_column = columns.iter().map(|column| {
            let cells = records.iter().map(|record| record[&column.name].clone());
            (column.name.clone(), Value::Array(cells.collect()))
        });
        let by_column: Map<String, Value> = by_column.collect();
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let data: Vec<Vec<&Value>> =
            records.iter().map(|record| names.iter().map(|&name| &record[name]).collect()).collect();
        let split = json!({"columns": names, "index": (0..rows).collect::<Vec<_>>(), "data": data});
        for table in [json!(records), json!(by_column), split, json!(data)] {
            assert_eq!(request(&compiled, &json!({"table": table})), Ok(json!(expected)), "{name}");
        }
        assert!(columns.iter().any(free_text) == (name == "text_column"));
    }
}

#[test]
fn rows_with_unknown_categories_are_refused_where_the_framework_refuses_them() {
    let compiled = compiled(&case("one_hot"));
    let known = r#""Paris","S""#;
    let table = |rows: &[&str]| format!("city,port\n{}\n", rows.join("\n"));
    let answers = score(&compiled, &table(&[known, known]), Table::Csv).expect("answers");
    assert_eq!(answers.len(), 2);
    for unknown in [r#""Atlantis","S""#, r#""Paris","""#, r#""Paris","s""#] {
        let rows: Vec<&str> = std::iter::repeat_n(known, 11).chain([unknown, known]).collect();
        let error = score(&compiled, &table(&rows), Table::Csv).expect_err("a refusal");
        assert!(error.starts_with("row 12: ") && error.contains("categories that the model knows"), "{error}");
    }
    let error = request(&compiled, &json!({"table": [{"city": "Paris", "port": "S"}, {"city": 7, "port": "S"}]}));
    assert!(error.expect_err("a refusal").starts_with("row 2: "));
}

#[test]
fn texts_have_the_length_that_is_asked_for() {
    let case = case("count");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.pkl");
    fs::write(&path, &case.model).expect("a file");
    let bundle = Bundle::open(&path, None).expect("a bundle");
    let lengths = |dim: &str| InputLengths::new([dim.parse().expect("a length")], []).expect("lengths");
    let options = CompileOptions { lengths: lengths("text=10"), ..CompileOptions::default() };
    let compiled = compile(&bundle, &options).expect("an artifact");
    score(&compiled, "text\nlazy dog\n", Table::Csv).expect("an answer");
    let error = score(&compiled, "text\nquick brown fox\n", Table::Csv).expect_err("a refusal");
    assert!(error.contains("line 2, column text") && error.contains("15 bytes, the model takes 10"), "{error}");
    for wrong in ["text=N", "text=999999999", "words=3"] {
        let options = CompileOptions { lengths: lengths(wrong), ..CompileOptions::default() };
        assert!(compile(&bundle, &options).is_err(), "{wrong}");
    }
}
