//! Wherever the oracle's answer is taken, it is the one of ONNX Runtime and of LiteRT.

use ekiben::bundle::ModelFormat;
use ekiben::verify::oracle::{Input, Output, Values, answers};
use ekiben::verify::policy::objection;
use ekiben_runtime::DType;
use ekiben_tests::case::{Case, Elements, Tensor, group, near};
use std::collections::BTreeMap;
use std::fs;

fn input(tensor: &Tensor) -> Input {
    let bytes = match &tensor.elements {
        Elements::Bytes(bytes) => bytes.clone(),
        Elements::Texts(_) => Vec::new(),
    };
    Input { dtype: tensor.dtype, dims: tensor.shape.clone(), bytes }
}

/// The first place where an answer is not the recorded one.
fn difference(case: &Case, expected: &[Tensor], got: &[Output]) -> Option<String> {
    if expected.len() != got.len() {
        return Some(format!("{} outputs instead of {}", got.len(), expected.len()));
    }
    let mut pairs = expected.iter().zip(got);
    pairs.find_map(|(expected, got)| {
        if expected.shape != got.dims {
            return Some(format!("{}: shape {:?} instead of {:?}", expected.name, got.dims, expected.shape));
        }
        let equal = match (&expected.elements, &got.values) {
            (Elements::Texts(expected), Values::Texts(got)) => expected == got,
            (Elements::Bytes(_), Values::Floats(got)) if expected.dtype.is_float() => {
                expected.numbers().iter().zip(got).all(|(&expected, &got)| near(expected, got, case.tolerance()))
            }
            (Elements::Bytes(_), Values::Integers(got)) if expected.dtype != DType::F32 => {
                expected.numbers().iter().zip(got).all(|(&expected, &got)| expected == got as f64)
            }
            _ => false,
        };
        (!equal).then(|| format!("{}: {:?} instead of {:?}", expected.name, got.values, expected.elements))
    })
}

/// Whether tract gives the recorded outputs for every run that it answers; `None` when it answers none.
fn reproduces(case: &Case, format: ModelFormat, model: &[u8]) -> Option<Result<(), String>> {
    let runs = case.runs();
    let calls = runs.iter().map(|run| run.inputs.iter().map(input).collect()).collect();
    let answers = answers(format, model, calls).ok()?;
    let mut pairs = runs.iter().zip(&answers).filter_map(|(run, answer)| Some((run, answer.as_ref().ok()?)));
    Some(pairs.find_map(|(run, outputs)| difference(case, &run.outputs, outputs)).map_or(Ok(()), Err))
}

/// Cases with a model of the format, with its bytes.
fn cases(name: &str) -> Vec<(Case, Vec<u8>)> {
    let cases = group(name).into_iter().filter(|case| case.json.get("unsupported").is_none());
    let read = |case: Case| {
        let model = fs::read(case.path("model").expect("a model")).expect("the model's file");
        (case, model)
    };
    cases.map(read).collect()
}

#[test]
fn whatever_is_not_objected_to_is_right() {
    for (name, format, least) in [("onnx", ModelFormat::Onnx, 50), ("tflite", ModelFormat::Tflite, 4)] {
        let (mut right, mut wrong) = (0, Vec::new());
        for (case, model) in cases(name) {
            if objection(format, &model).is_some() {
                continue;
            }
            match reproduces(&case, format, &model) {
                Some(Ok(())) => right += 1,
                Some(Err(difference)) => wrong.push(format!("{name}/{}: {difference:.200}", case.name())),
                None => eprintln!("{name}/{}: tract has no answer", case.name()),
            }
        }
        assert!(wrong.is_empty(), "tract is wrong on {}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(right >= least, "{name}: only {right} models are answered");
    }
}

#[test]
fn binary_tree_classifiers_are_wrong_indeed() {
    for name in ["made_tree_classifier_one_score_none", "sklearn_forest_binary"] {
        let (case, model) = cases("onnx").into_iter().find(|(case, _)| case.name() == name).expect("the case");
        let reason = objection(ModelFormat::Onnx, &model).expect("an objection");
        assert!(reason.contains("two classes") && reason.contains("TreeEnsembleClassifier"), "{reason}");
        assert!(reproduces(&case, ModelFormat::Onnx, &model).is_some_and(|result| result.is_err()), "{name}");
    }
}

#[test]
fn quantised_and_hybrid_models_are_objected_to_and_float_ones_are_not() {
    for (case, model) in cases("tflite") {
        let objected = objection(ModelFormat::Tflite, &model).is_some();
        assert_eq!(objected, !case.name().ends_with("_float"), "{}", case.name());
    }
    // What is objected to is wrong in some model with the same reason.
    let mut reasons: BTreeMap<String, bool> = BTreeMap::new();
    for (case, model) in cases("onnx") {
        if let Some(reason) = objection(ModelFormat::Onnx, &model) {
            let reason = reason.split(" (").next().unwrap_or_default().to_owned();
            let wrong = reproduces(&case, ModelFormat::Onnx, &model).is_none_or(|result| result.is_err());
            *reasons.entry(reason).or_default() |= wrong;
        }
    }
    // The fixtures' rows have no number below zero whose magnitude is the largest.
    let unseen = "tract divides by the largest magnitude";
    let unfounded: Vec<_> =
        reasons.into_iter().filter(|(reason, wrong)| !wrong && !reason.starts_with(unseen)).collect();
    assert!(unfounded.is_empty(), "{unfounded:?}");
}
