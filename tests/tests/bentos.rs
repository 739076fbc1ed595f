//! Whole bentos: compiled, run through the adapters of their APIs, and compared with what BentoML's own server answers.

use std::fs;
use std::path::{Path, PathBuf};

use ekiben::bundle::Bundle;
use ekiben::compile::{CompileError, CompileOptions, CompiledArtifact, compile, compile_path};
use ekiben::python::Interpreter;
use ekiben::service::{NotUnderstood, ServiceError};
use ekiben::verify::verify_service;
use ekiben_edge::adapter::Table;
use ekiben_edge::score::Scorer;
use ekiben_runtime::Artifact;
use ekiben_tests::case::{Case, Tolerance, group};
use ekiben_tests::exchange::{answer_body, compare, difference};
use serde_json::Value;

/// The case's bento, compiled: a directory with the overlay on it, or an archive as it is.
fn compiled(case: &Case) -> Result<CompiledArtifact, String> {
    let bento = case.path("bento").expect("a bento");
    let result =
        if bento.is_file() { compile_path(&bento, None) } else { compile_path(case.assemble("bento").path(), None) };
    result.map_err(|error| error.to_string())
}

/// The JSON that the API called `name` answers to a request.
fn answer(compiled: &CompiledArtifact, name: &str, body: &[u8], content_type: &str) -> Result<Value, String> {
    let out = answer_body(compiled, name, body, content_type)?;
    serde_json::from_slice(&out).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&out)))
}

/// Runs every exchange of a case and returns how many answers were compared.
fn check(case: &Case) -> Result<usize, String> {
    // A model that is refused, with what the message must say.
    if let Some(said) = case.json["refused"].as_str() {
        return match compiled(case) {
            Ok(_) => Err("it compiles, and must be refused".to_owned()),
            Err(error) if error.contains(said) => Ok(1),
            Err(error) => Err(format!("refused otherwise: {error}")),
        };
    }
    check_compiled(case, &compiled(case)?)
}

/// Runs every exchange of a case on its artifact.
fn check_compiled(case: &Case, compiled: &CompiledArtifact) -> Result<usize, String> {
    let mut compared = 0;
    for run in case.exchanges() {
        let place = format!("{} {}", run.api, run.request.display());
        let (_, api) = compiled.manifest.api(&run.api).ok_or(format!("{place}: no such API"))?;
        if format!("/{}", api.route) != run.route {
            return Err(format!("{place}: the route is {}", api.route));
        }
        compared += usize::from(compare(compiled, &run, &place, case.tolerance())?);
    }
    Ok(compared)
}

/// Runs every case of a group, or those whose name has `EKIBEN_CASE` in it. At least `least` answers of a whole group are compared.
fn check_group(name: &str, least: usize) {
    let mut cases = group(name);
    let filter = std::env::var("EKIBEN_CASE").unwrap_or_default();
    cases.retain(|case| case.name().contains(&filter));
    let (mut compared, mut failures) = (0, Vec::new());
    for case in &cases {
        match check(case) {
            Ok(count) => compared += count,
            Err(error) => failures.push(format!("{}: {error}", case.name())),
        }
    }
    println!("{name}: {} cases, {compared} answers", cases.len());
    assert!(failures.is_empty(), "{} of {} cases fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert!(compared >= least || !filter.is_empty(), "{name}: only {compared} answers are compared");
}

#[test]
fn bentos_answer_as_their_own_server() {
    check_group("bentos", 30);
}

#[test]
fn services_written_differently_answer_the_same() {
    check_group("services", 35);
}

#[test]
fn served_services_answer_as_their_own_server() {
    check_group("served", 200);
}

/// Records of CSV and JSON lines files that are objects and texts give what a request with the same values gives.
#[test]
fn records_of_files_answer_as_requests() {
    let records = |case: &str, api: &str, format: Table, text: &str| {
        let case = group("served").into_iter().find(|found| found.name().ends_with(case)).expect("the case");
        let compiled = compiled(&case).unwrap();
        let artifact = Artifact::parse(compiled.bytes()).unwrap();
        let (index, _) = compiled.manifest.api(api).unwrap();
        let scorer = Scorer::new(&artifact, &compiled.manifest.apis, index).unwrap();
        let mut out = Vec::new();
        let scored = scorer.score_rows(text.as_bytes(), format, &mut out, Table::JsonLines, 2);
        scored.map(|_| String::from_utf8(out).unwrap()).map_err(|error| error.to_string())
    };
    let risks = |text: String| text.lines().map(|line| line.parse::<f64>().unwrap()).collect::<Vec<_>>();
    // The answers of BentoML's server to `rank_6.json`.
    let expected = [0.8226928227686398, 0.11648209094428102, 0.8111316317160451];
    let csv = "smoker,vitals.bmi,vitals.pressure,age\ntrue,24.9,151.5,63\nno,22.5,118,25\nno,24.9,151.5,63\n";
    let lines = "{\"age\": 63, \"vitals\": {\"pressure\": 151.5, \"bmi\": 24.9}, \"smoker\": true}\n\n\
                 {\"age\": 25, \"vitals\": {\"pressure\": 118}}\n{\"age\": 63, \"vitals\": {\"pressure\": 151.5, \"bmi\": 24.9}}\n";
    for (format, text) in [(Table::Csv, csv), (Table::JsonLines, lines)] {
        let got = risks(records("v14_lightgbm_pydantic", "rank", format, text).unwrap());
        assert!(got.len() == 3 && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{got:?}");
    }
    for (format, text, said) in [
        (
            Table::Csv,
            "smoker,vitals.bmi,vitals.pressure,age\nno,22.5,118,25\nno,22.5,118,250\n",
            "line 3, column patients.age",
        ),
        (Table::JsonLines, "{\"age\": 25, \"vitals\": {}}\n", "line 1, column patients.vitals.pressure"),
    ] {
        let error = records("v14_lightgbm_pydantic", "rank", format, text).unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
    let moods = records("v013_sklearn_moods", "mood", Table::JsonLines, "\"happy sun\"\n\"rain and tears\"\n").unwrap();
    assert_eq!(moods, "\"happy\"\n\"sad\"\n");
    let moods = records("v013_sklearn_moods", "mood", Table::Csv, "value\nhappy sun\nrain and tears\n").unwrap();
    assert_eq!(moods, "\"happy\"\n\"sad\"\n");
}

/// The interpreter that has the BentoML of a case.
fn interpreter_of(case: &Case) -> Interpreter {
    let name = if case.name().contains("v013") { "EKIBEN_PYTHON_V013" } else { "EKIBEN_PYTHON_V14" };
    Interpreter::new(std::env::var_os(name).unwrap_or_else(|| panic!("{name} names no interpreter")))
}

/// The same with TensorFlow or torchvision where the case needs one of them; `None` where no such interpreter is named.
fn service_interpreter_of(case: &Case) -> Option<Interpreter> {
    if ["tensorflow", "torchvision"].iter().all(|package| case.json["computed_by"][package].is_null()) {
        return Some(interpreter_of(case));
    }
    let generation = if case.name().contains("v013") { "V013" } else { "V14" };
    std::env::var_os(format!("EKIBEN_PYTHON_{generation}_NETWORKS")).map(Interpreter::new)
}

/// Services asked by the tool itself, on requests that it makes of their adapters.
#[test]
#[ignore = "needs BentoML 0.13.1 and 1.4; run by tests/long/verified.sh"]
fn services_agree_when_they_are_asked() {
    let (mut apis, mut answers, mut numbers, mut failures, mut skipped) = (0, 0, 0, Vec::new(), 0);
    for case in group("served").into_iter().filter(|case| case.json["refused"].is_null()) {
        let Some(interpreter) = service_interpreter_of(&case) else {
            skipped += 1;
            continue;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let artifact = folder.path().join("model.ekb");
        fs::write(&artifact, compiled(&case).expect("an artifact").bytes()).expect("a file");
        let bundle = Bundle::open(&case.path("bento").expect("a bento"), None).expect("a bento");
        let (version, reports) =
            verify_service(&artifact, &bundle, &interpreter, Vec::new()).expect("a service that answers");
        for report in reports {
            apis += 1;
            answers += report.answered;
            numbers += report.numbers;
            // NaN, the logarithm of a negative fare, and negative positions of words: scikit-learn and TensorFlow refuse them, and the artifact
            // computes with them (docs/sklearn.md, docs/keras.md).
            let known = [("v14_sklearn_titanic", "survives"), ("v013_keras_words", "scores")];
            let is_known = known.contains(&(case.name().as_str(), report.api.as_str()));
            if !(report.agrees() || is_known) || report.answered == 0 {
                failures.push(format!("{} (BentoML {version})\n{report}", case.name()));
            }
        }
    }
    println!(
        "asked: {apis} APIs, {answers} answers of both, {numbers} numbers; {skipped} services need an interpreter that is not named"
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(apis >= 60, "{apis} APIs");
}

/// Models that only their own framework can read: exported by it in the interpreters that `EKIBEN_PYTHON_V013` and `EKIBEN_PYTHON_V14` name.
#[test]
#[ignore = "needs PyTorch, TensorFlow and fast.ai; run by tests/long/exported.sh"]
fn exported_models_answer_as_their_own_server() {
    let (mut compared, mut failures) = (0, Vec::new());
    for case in group("exported") {
        let h2o = std::env::var_os("EKIBEN_PYTHON_V013_H2O").filter(|_| !case.json["computed_by"]["h2o"].is_null());
        let python = h2o.map_or_else(|| interpreter_of(&case), Interpreter::new);
        let options = CompileOptions { python: Some(python), ..CompileOptions::default() };
        let bundle = Bundle::open(&case.path("bento").expect("a bento"), None).expect("a bento");
        let result = compile(&bundle, &options).map_err(|error| error.to_string());
        match result.and_then(|compiled| check_compiled(&case, &compiled)) {
            Ok(count) => compared += count,
            Err(error) => failures.push(format!("{}: {error}", case.name())),
        }
    }
    println!("exported: {compared} answers");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared >= 12);
}

/// Without leave nothing of a bento is run, and the message says what would be.
#[test]
fn models_that_are_code_need_leave() {
    for case in group("exported") {
        let error = compiled(&case).err().unwrap_or_else(|| panic!("{} compiles", case.name()));
        assert!(error.contains("--allow-python"), "{}: {error}", case.name());
    }
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    for case in group("bentos").into_iter().chain(group("served")) {
        if case.json["refused"].is_null() {
            let (first, second) = (compiled(&case).unwrap(), compiled(&case).unwrap());
            assert!(first.bytes() == second.bytes(), "{}", case.name());
        }
    }
}

/// A service that writes a file and opens a connection when it is imported compiles, and neither happens.
#[test]
fn nothing_of_a_service_is_run() {
    for name in ["v013_sklearn_iris_rf", "v14_sklearn_iris_rf"] {
        let case = group("bentos").into_iter().find(|case| case.name().ends_with(name)).expect("the case");
        let bento = case.assemble("bento");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let written = bento.path().join("written");
        let effects = format!(
            "\nimport socket\n\nopen({:?}, \"w\").write(\"x\")\n_here = socket.create_connection((\"127.0.0.1\", {port}))\n",
            written.display().to_string()
        );
        let sources = python_sources(bento.path());
        assert!(!sources.is_empty());
        for source in sources {
            let text = fs::read_to_string(&source).unwrap();
            fs::write(&source, format!("{text}{effects}")).unwrap();
        }
        let result = compile_path(bento.path(), None);
        assert!(result.is_ok(), "{name}: {}", result.err().map(|error| error.to_string()).unwrap_or_default());
        assert!(!written.exists(), "{name} wrote a file");
        assert!(listener.accept().is_err(), "{name} opened a connection");
    }
}

/// Python files below a folder.
fn python_sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(python_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "py") {
            found.push(path);
        }
    }
    found
}

/// Every place that an error names.
fn places(error: &ServiceError) -> Vec<&NotUnderstood> {
    match error {
        ServiceError::At(place) => vec![place],
        ServiceError::Model { place, .. } => vec![place],
        ServiceError::Several(errors) => errors.iter().flat_map(places).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn refused_services_name_the_place() {
    let cases = group("refused");
    for case in &cases {
        let folder = case.assemble("bento");
        let bundle = Bundle::open(folder.path(), None).expect("a bento");
        let error = match compile(&bundle, &CompileOptions::default()) {
            Err(CompileError::Service(error)) => error,
            Err(other) => panic!("{}: {other}", case.name()),
            Ok(_) => panic!("{} is compiled", case.name()),
        };
        let refused = &case.json["refused"];
        let number = |key: &str| refused[key].as_u64().expect("a line") as usize;
        let file = refused["file"].as_str().expect("a file");
        let lines = number("line")..=number("end_line");
        let found = places(&error).into_iter().any(|place| place.file.ends_with(file) && lines.contains(&place.line));
        assert!(found, "{}: line {lines:?} of {file} expected in: {error}", case.name());
    }
    assert!(cases.len() >= 30);
}

/// Sample bentos outside of the repository, where they are there.
fn samples() -> Option<PathBuf> {
    let folder = match std::env::var_os("EKIBEN_SAMPLE_BENTOS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bentos"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is not there (EKIBEN_SAMPLE_BENTOS names another place)", folder.display());
    None
}

#[test]
fn sample_bentos_answer_as_expected() {
    let Some(samples) = samples() else {
        return;
    };
    let tolerance = Tolerance { absolute: 1e-6, relative: 1e-5 };
    let cases = [
        ("v0.13.1/sklearn_iris_rf", "bundle"),
        ("v0.13.1/onnx_iris_gb", "bundle"),
        ("v1.4.39/sklearn_iris_rf", "bundle"),
        ("v1.4.39/sklearn_iris_rf", "iris_classifier.bento"),
        ("v1.4.39/onnx_iris", "bundle"),
        ("v0.13.1/xgboost_titanic", "bundle"),
        ("v1.4.39/xgboost_wine", "bundle"),
        ("v1.4.39/xgboost_wine", "xgb_service.bento"),
        ("v0.13.1/lightgbm_diabetes", "bundle"),
        ("v1.4.39/lightgbm_cancer", "bundle"),
        ("v1.4.39/lightgbm_cancer", "lgb_service.bento"),
    ];
    for (case, bento) in cases {
        let folder = samples.join(case);
        let compiled =
            compile_path(&folder.join(bento), None).unwrap_or_else(|error| panic!("{case}/{bento}: {error}"));
        let text = fs::read_to_string(folder.join("expected.json")).expect("expected.json");
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        let mut compared = 0;
        for run in expected["cases"].as_array().expect("cases") {
            if run["expected"].is_null() {
                continue;
            }
            let text = |key: &str| run[key].as_str().unwrap_or_else(|| panic!("{case}: no {key}"));
            let place = format!("{case}/{bento} {} {}", text("api"), text("input"));
            let body = fs::read(folder.join(text("input"))).unwrap_or_else(|error| panic!("{place}: {error}"));
            let got = answer(&compiled, text("api"), &body, text("content_type"));
            let got = got.unwrap_or_else(|error| panic!("{place}: {error}"));
            if let Some(difference) = difference(&place, &got, &run["expected"], tolerance) {
                panic!("{difference}");
            }
            compared += 1;
        }
        println!("{case}/{bento}: {compared} answers");
        assert!(compared > 0, "{case}");
    }
}
