//! Declared APIs: compiled, run, and compared with what numpy, the models' frameworks and libraries of sound answer.

use std::fs;
use std::path::Path;

use ekiben::bundle::Bundle;
use ekiben::compile::{CompileOptions, CompiledArtifact, compile, init};
use ekiben::service::Declarations;
use ekiben_tests::case::{Case, group, root};
use ekiben_tests::exchange::compare;

/// A bento compiled with declarations.
fn compiled(bento: &Path, label: &str, text: &str) -> Result<CompiledArtifact, String> {
    let bundle = Bundle::open(bento, None).map_err(|error| error.to_string())?;
    let declarations = Declarations::parse(label, text.to_owned()).map_err(|error| error.to_string())?;
    let options = CompileOptions { service: Some(declarations), ..CompileOptions::default() };
    compile(&bundle, &options).map_err(|error| error.to_string())
}

/// Runs the exchanges of a case on an artifact and returns how many answers were compared.
fn check(case: &Case, compiled: &CompiledArtifact) -> Result<usize, String> {
    let mut compared = 0;
    for run in case.exchanges() {
        let place = format!("{} {}", run.api, run.request.file_name().unwrap_or_default().to_string_lossy());
        let (_, api) = compiled.manifest.api(&run.api).ok_or(format!("{place}: no such API"))?;
        if format!("/{}", api.route) != run.route {
            return Err(format!("{place}: the route is {}", api.route));
        }
        compared += usize::from(compare(compiled, &run, &place, case.tolerance())?);
    }
    Ok(compared)
}

/// The bento of a case as a folder with its overlay, or the bare file.
fn with_bento<T>(case: &Case, run: impl FnOnce(&Path) -> T) -> T {
    let bento = case.path("bento").expect("a bento");
    if bento.is_file() {
        return run(&bento);
    }
    let folder = case.assemble("bento");
    run(folder.path())
}

#[test]
fn declared_apis_answer_as_the_frameworks() {
    let filter = std::env::var("EKIBEN_CASE").unwrap_or_default();
    let mut cases = group("declared");
    cases.retain(|case| case.name().contains(&filter));
    let (mut compared, mut failures) = (0, Vec::new());
    for case in &cases {
        let text = fs::read_to_string(case.path("service").expect("declarations")).expect("a text");
        let result = with_bento(case, |bento| compiled(bento, "ekiben.toml", &text));
        match result.and_then(|compiled| check(case, &compiled)) {
            Ok(count) => compared += count,
            Err(error) => failures.push(format!("{}: {error}", case.name())),
        }
    }
    println!("{} declarations, {compared} answers", cases.len());
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert!(compared >= 25 || !filter.is_empty(), "only {compared} answers are compared");
}

/// What `init` writes compiles, and gives the answers that the bento's own server gives.
#[test]
fn what_init_writes_answers_the_same() {
    let filter = std::env::var("EKIBEN_CASE").unwrap_or_default();
    let (mut written, mut compared, mut failures) = (0, 0, Vec::new());
    let cases = group("bentos").into_iter().chain(group("services")).chain(group("served"));
    for case in cases.filter(|case| case.name().contains(&filter) && case.json["refused"].is_null()) {
        let result: Result<(usize, CompiledArtifact), String> = with_bento(&case, |bento| {
            let bundle = Bundle::open(bento, None).map_err(|error| error.to_string())?;
            let text = init(&bundle, &CompileOptions::default()).map_err(|error| error.to_string())?;
            let live = text.lines().filter(|line| *line == "[[api]]").count();
            println!("{}: {live} of {} APIs", case.name(), bundle.apis.len());
            if !filter.is_empty() {
                println!("{text}");
            }
            Ok((live, compiled(bento, "init.toml", &text)?))
        });
        let result = result.and_then(|(live, compiled)| Ok((live, check(&case, &compiled)?)));
        match result {
            Ok((live, count)) => {
                written += live;
                compared += count;
            }
            Err(error) => failures.push(format!("{}: {error}", case.name())),
        }
    }
    println!("{written} APIs written, {compared} answers");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(written >= 20 && compared >= 60 || !filter.is_empty(), "{written} APIs are written");
}

/// An API that is refused is a comment with the place, the expression and the beginning of a declaration.
#[test]
fn init_explains_what_is_refused() {
    let case = group("refused").into_iter().find(|case| case.name() == "exception_handler").expect("the case");
    let text = with_bento(&case, |bento| {
        init(&Bundle::open(bento, None).expect("a bento"), &CompileOptions::default()).expect("declarations")
    });
    for part in [
        "# `predict` is refused:\n",
        "IrisClassifier/iris_classifier.py:15:9: ",
        "# [[api]]\n# name = \"predict\"\n",
        "# type = \"table\"\n",
        "# op = \"model\"\n# model = \"model\"\n# method = \"predict\"\n",
        "#   model (sklearn): methods predict, predict_proba",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    Declarations::parse("ekiben.toml", text).expect("a comment is no declaration");
}

/// Declarations in the bento's root, beside the bento, and beside another one.
#[test]
fn declarations_are_found() {
    let case = group("declared").into_iter().find(|case| case.name() == "refused_syntax_error").expect("the case");
    let text = fs::read_to_string(case.path("service").expect("declarations")).expect("a text");
    let outside = tempfile::tempdir().expect("a folder");
    let bento = outside.path().join("bento");
    copy(case.assemble("bento").path(), &bento);
    let attempt = || {
        let bundle = Bundle::open(&bento, None).expect("a bento");
        let result = compile(&bundle, &CompileOptions::default()).map_err(|error| error.to_string());
        result.and_then(|compiled| check(&case, &compiled))
    };
    assert!(attempt().unwrap_err().contains("iris_classifier.py"));
    for place in [bento.join("ekiben.toml"), outside.path().join("ekiben.toml")] {
        fs::write(&place, &text).expect("a file");
        assert!(attempt().expect("answers") > 0);
        fs::remove_file(&place).expect("a file");
    }
    fs::write(outside.path().join("ekiben.toml"), format!("service = \"Another\"\n{text}")).expect("a file");
    assert!(attempt().unwrap_err().contains("iris_classifier.py"), "another service's file counts");
    let error = compiled(&bento, "ekiben.toml", &format!("service = \"Another\"\n{text}")).unwrap_err();
    assert_eq!(
        error,
        "the declarations are for the service \"Another\", and this bento's is \"IrisClassifier\"; remove `service` from them, or compile that bento"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A declaration of a table of two columns with these steps and this answer.
fn steps(steps: &str, answer: &str) -> String {
    format!(
        "version = 1\n[[api]]\nname = \"answer\"\n[[api.input]]\nname = \"row\"\ntype = \"table\"\ncolumns = [\"a\", \"b\"]\n{steps}\n[api.answer]\n{answer}\n"
    )
}

/// One step, and its value as the answer.
fn step(keys: &str) -> String {
    steps(&format!("[[api.step]]\nname = \"x\"\n{keys}"), "json = \"$x\"")
}

/// Every mistake is named with its place and what would be right.
#[test]
fn mistakes_are_explained() {
    let bento = root().join("bentos/v14_sklearn_iris_rf/bundle");
    let cases: Vec<(String, &str)> = vec![
        ("version = 1\n[[api]\n".into(), "d.toml:2:7: not valid TOML: "),
        ("service = \"A\"\n".into(), "d.toml:1:1: a declaration needs `version`\n  1 | service = \"A\""),
        ("version = 2\n".into(), "d.toml:1:11: the version 2 of declarations is not known; this is 1\n  1 | 2"),
        (
            "version = 1\nmodels = 3\n".into(),
            "d.toml:2:1: a declaration has no key `models`; it has version, service, api\n  2 | models",
        ),
        (
            step("op = \"scal\"\nof = \"row\""),
            "d.toml:10:6: there is no operator `scal`; there are abs, add, all, amplitude_to_db, and, any, ",
        ),
        (
            step("op = \"scale\"\nof = \"row\"\nmean = 0\nstandard = 1"),
            "d.toml:13:1: `scale` has no key `standard`; it has name, op, of, mean, std\n  13 | standard",
        ),
        (step("op = \"scale\"\nof = \"row\"\nmean = 0"), "d.toml:10:6: `scale` needs `std`\n  10 | \"scale\""),
        (
            step("op = \"scale\"\nof = \"row\"\nmean = [1, 2, 3]\nstd = 1"),
            "d.toml:12:8: `mean` has 3 numbers, and the last axis of `of` has 2\n  12 | [1, 2, 3]",
        ),
        (
            step("op = \"exp\"\nof = \"table\""),
            "d.toml:11:6: there is no value `table` here; there are row\n  11 | \"table\"",
        ),
        (step("op = \"exp\"\nof = \"row.c\""), "d.toml:11:6: the frame has the columns a, b\n  11 | \"row.c\""),
        (
            step("op = \"model\"\nof = \"row\"\nmodel = \"forest\""),
            "d.toml:12:9: the bento has no model `forest`; it has iris_rf:v1\n  12 | \"forest\"",
        ),
        (
            step("op = \"model\"\nof = \"row\"\nmethod = \"score\""),
            "d.toml:12:10: the model `iris_rf:v1` has no method `score`; it has predict, predict_proba, predict_log_proba",
        ),
        (
            step("op = \"model\"\nof = \"row\""),
            "d.toml:11:6: `X` of the model has the shape [N, 4], and this has [N, 2]\n  11 | \"row\"",
        ),
        (step("op = \"top_k\"\nof = \"row\"\nk = 3"), "d.toml:12:5: the best 3 of 2 are asked for\n  12 | 3"),
        (
            step("op = \"argmax\"\nof = \"row\"\nlabels = [\"x\", \"y\", \"z\"]"),
            "d.toml:12:10: there are 3 labels for 2 classes\n  12 | [\"x\", \"y\", \"z\"]",
        ),
        (
            step("op = \"argmax\"\nof = \"row\"\nlabels = \"../labels.json\""),
            "d.toml:12:10: this file cannot be read: ",
        ),
        (
            step("op = \"threshold\"\nof = \"row\"\nat = 1\nlabels = [\"a\"]"),
            "d.toml:13:10: a threshold has two labels, not 1\n  13 | [\"a\"]",
        ),
        (
            step("op = \"cast\"\nof = \"row\"\ndtype = \"decimal\""),
            "d.toml:12:9: `decimal` is no type here; there are float64, float32, int64, int32, int16, int8, uint8, uint16, uint32, bool\n  12 | \"decimal\"",
        ),
        (
            step("op = \"add\"\nof = \"row\""),
            "d.toml:10:6: `add` needs `with`, a value's name, or `value`, a constant\n  10 | \"add\"",
        ),
        (
            step("op = \"mean\"\nof = \"row\"\naxis = 0"),
            "d.toml:10:6: one number of all rows of a request is not compiled. Write `axis=1` for one of each row\n  10 | \"mean\"",
        ),
        (steps("", "json = \"$y\""), "d.toml:10:8: there is no value `y` here; there are row\n  10 | \"$y\""),
        (
            steps("", "rows = true\njson = 5"),
            "d.toml:11:8: nothing in this item has an axis that tells how many of them there are\n  11 | 5",
        ),
        (
            steps("[[api.step]]\nname = \"row\"\nop = \"exp\"\nof = \"row\"", "json = 1"),
            "d.toml:9:8: a value `row` is there already\n  9 | \"row\"",
        ),
        (
            steps("", "json = 1").replace("\"table\"", "\"tensor\""),
            "d.toml:6:8: `tensor` is no type of inputs; there are table, array, list, audio, number, integer, boolean, text, value, sound, image, object, json\n  6 | \"tensor\"",
        ),
        (
            steps("", "json = 1").replace("[\"a\", \"b\"]", "[\"a\", \"a\"]"),
            "d.toml:7:17: a column `a` is there already\n  7 | \"a\"",
        ),
        (
            steps("", "json = 1").replace("name = \"answer\"", "name = \"answer\"\nbody = \"rows\""),
            "d.toml:4:8: a body is one of members, value, row, text, file\n  4 | \"rows\"",
        ),
        (
            steps("", "json = 1") + "[[api]]\nname = \"answer\"\n[api.answer]\njson = 1\n",
            "d.toml:12:8: an API `answer` is declared already\n  12 | \"answer\"",
        ),
    ];
    let mut failures = Vec::new();
    for (text, said) in &cases {
        match compiled(&bento, "d.toml", text) {
            Ok(_) => failures.push(format!("compiled, without saying {said}")),
            Err(error) if error == *said || said.ends_with(' ') && error.starts_with(said) => {}
            Err(error) if error.lines().next() == Some(said) => {}
            Err(error) => failures.push(format!("said {error:?}\n instead of {said:?}")),
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Declarations that are made to exhaust memory or the stack end with an error.
#[test]
fn hostile_declarations_are_refused() {
    let bento = root().join("bentos/v14_sklearn_iris_rf/bundle");
    let deep = |open: &str, close: &str| steps("", &format!("json = {}1{}", open.repeat(5000), close.repeat(5000)));
    let texts = [
        deep("[", "]"),
        deep("{ a = ", " }"),
        steps("", &format!("json = [{}]", "1, ".repeat(300_000))),
        format!("version = 1\n# {}", "x".repeat(2 << 20)),
        step("op = \"reshape\"\nof = \"row\"\nshape = [\"N\", 9223372036854775807, 2]"),
        step("op = \"windows\"\nof = \"row\"\nlength = 9223372036854775807"),
        step("op = \"fft\"\nof = \"row.a\""),
        step("op = \"top_k\"\nof = \"row.a\"\nk = 1"),
        step("op = \"nms\"\nboxes = \"row\"\nscores = \"row\"\nmax = 1"),
        step("op = \"pick\"\nof = \"row\"\nat = -9223372036854775808"),
        step("op = \"slice\"\nof = \"row\"\nstep = 0"),
        steps("", "json = 1").replace("[\"a\", \"b\"]", "9223372036854775807"),
        "version = 1\n[[api]]\nname = \"a\"\n[[api.input]]\nname = \"x\"\ntype = \"array\"\nshape = [16777216, 16777216, 16777216]\n[api.answer]\njson = \"$x\"\n".to_owned(),
        "version = 1\n[[api]]\nname = \"a\"\n[[api.input]]\nname = \"x\"\ntype = \"audio\"\nsamples = 16000000\n[[api.step]]\nname = \"y\"\nop = \"mfcc\"\nof = \"x\"\nhop_length = 1\n[api.answer]\njson = \"$y\"\n".to_owned(),
    ];
    for text in texts {
        let shown: String = text.chars().take(300).collect();
        match compiled(&bento, "d.toml", &text) {
            Ok(_) => panic!("compiled: {shown}"),
            Err(error) => assert!(!error.is_empty()),
        }
    }
}
