//! Every fixture of scikit-learn, decoded from every encoding and evaluated by the plain arithmetic the data stands for, gives
//! what scikit-learn gave.

use super::*;
use crate::frontend::pickle::tests::fixture;
use crate::frontend::pickle::tests::mutation::{SMALL, mutate};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

fn fixtures(group: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(group);
    let entries = std::fs::read_dir(folder).expect("fixtures of the repository");
    let mut cases: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    cases.sort();
    cases
}

fn case(folder: &Path) -> Json {
    let text = std::fs::read_to_string(folder.join("case.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// One output: numbers, or labels.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// `method` of `model` for `rows` rows; one answer per output tensor.
fn evaluate(model: &dyn Estimator, method: Method, rows: &[Vec<f64>]) -> Vec<Answer> {
    let model: &dyn Any = model;
    if let Some(pipeline) = model.downcast_ref::<Pipeline>() {
        let mut rows = rows.to_vec();
        let (last, before) = pipeline.steps.split_last().unwrap();
        for (_, step) in before {
            let [Answer::Numbers(flat)] = &evaluate(step.as_ref(), Method::Transform, &rows)[..] else {
                panic!("a transformer gives numbers");
            };
            rows = flat.chunks(flat.len() / rows.len()).map(<[f64]>::to_vec).collect();
        }
        return evaluate(last.1.as_ref(), method, &rows);
    }
    if let Some(scaler) = model.downcast_ref::<StandardScaler>() {
        return vec![transform(rows, |x, column| {
            let x = scaler.mean.as_ref().map_or(x, |mean| x - mean[column]);
            scaler.scale.as_ref().map_or(x, |scale| x / scale[column])
        })];
    }
    if let Some(scaler) = model.downcast_ref::<MinMaxScaler>() {
        return vec![transform(rows, |x, column| {
            let x = x * scaler.scale[column] + scaler.min[column];
            scaler.clip.map_or(x, |(low, high)| x.max(low).min(high))
        })];
    }
    if let Some(logistic) = model.downcast_ref::<LogisticRegression>() {
        return vec![evaluate_logistic(logistic, method, rows)];
    }
    if let Some(tree) = model.downcast_ref::<DecisionTree>() {
        return evaluate_trees(std::slice::from_ref(&tree.tree), &tree.leaves, method, rows);
    }
    let forest = model.downcast_ref::<Forest>().expect("a known estimator");
    evaluate_trees(&forest.trees, &forest.leaves, method, rows)
}

fn transform(rows: &[Vec<f64>], each: impl Fn(f64, usize) -> f64) -> Answer {
    let columns = |row: &Vec<f64>| (0..row.len()).map(|c| each(row[c], c)).collect::<Vec<_>>();
    Answer::Numbers(rows.iter().flat_map(columns).collect())
}

fn evaluate_logistic(model: &LogisticRegression, method: Method, rows: &[Vec<f64>]) -> Answer {
    let mut probabilities = Vec::new();
    let mut winners = Vec::new();
    for row in rows {
        let score =
            |(weights, intercept): (&[f64], &f64)| weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() + intercept;
        let coefficients = model.coefficients.chunks(model.features);
        let scores: Vec<f64> = coefficients.zip(&model.intercepts).map(score).collect();
        winners.push(match scores[..] {
            [score] => usize::from(score > 0.0),
            _ => first_largest(&scores),
        });
        probabilities.extend(link_scores(model.link, &scores));
    }
    match method {
        Method::PredictProba => Answer::Numbers(probabilities),
        _ => pick(&model.labels, &winners),
    }
}

fn link_scores(link: Link, scores: &[f64]) -> Vec<f64> {
    let logistic = |s: f64| 1.0 / (1.0 + (-s).exp());
    let share = |weights: Vec<f64>| {
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    };
    match (link, scores) {
        (Link::Logistic, &[score]) => vec![1.0 - logistic(score), logistic(score)],
        (Link::Logistic, _) => share(scores.iter().map(|&s| logistic(s)).collect()),
        (Link::Softmax, _) => {
            let scores = match *scores {
                [score] => vec![-score, score],
                _ => scores.to_vec(),
            };
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            share(scores.iter().map(|s| (s - most).exp()).collect())
        }
    }
}

fn evaluate_trees(trees: &[Tree], leaves: &Leaves, method: Method, rows: &[Vec<f64>]) -> Vec<Answer> {
    let (outputs, width) = (trees[0].outputs, trees[0].width);
    let means: Vec<Vec<f64>> = rows.iter().map(|row| mean_of_leaves(trees, row)).collect();
    let Leaves::Classes(labels) = leaves else {
        return vec![Answer::Numbers(means.concat())];
    };
    let output = |k: usize| {
        let of = |mean: &Vec<f64>| mean[k * width..][..labels[k].count()].to_vec();
        means.iter().map(of).collect::<Vec<_>>()
    };
    if method == Method::PredictProba {
        return (0..outputs).map(|k| Answer::Numbers(output(k).concat())).collect();
    }
    let winners = |k| output(k).iter().map(|p| first_largest(p)).collect::<Vec<_>>();
    let picked: Vec<Answer> = (0..outputs).map(|k| pick(&labels[k], &winners(k))).collect();
    // Several outputs are the columns of one tensor.
    let columns: Vec<&Vec<f64>> = match &picked[..] {
        [one] => return vec![one.clone()],
        many => many
            .iter()
            .map(|answer| match answer {
                Answer::Numbers(numbers) => numbers,
                Answer::Texts(_) => panic!("several outputs of text"),
            })
            .collect(),
    };
    let row = |r: usize| columns.iter().map(move |c| c[r]);
    vec![Answer::Numbers((0..rows.len()).flat_map(row).collect())]
}

fn mean_of_leaves(trees: &[Tree], row: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; trees[0].outputs * trees[0].width];
    for tree in trees {
        let mut node = 0;
        while let Some(split) = tree.splits[node] {
            let x = row[split.feature] as f32;
            let left = if x.is_nan() { split.missing_left } else { f64::from(x) <= split.threshold };
            node = if left { split.left } else { split.right };
        }
        let leaf = &tree.values[node * sum.len()..][..sum.len()];
        sum.iter_mut().zip(leaf).for_each(|(s, v)| *s += v);
    }
    sum.iter().map(|s| s / trees.len() as f64).collect()
}

fn first_largest(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

fn pick(labels: &Labels, winners: &[usize]) -> Answer {
    let numbers = |all: Vec<f64>| Answer::Numbers(winners.iter().map(|&w| all[w]).collect());
    match labels {
        Labels::Bool(all) => numbers(all.iter().map(|&b| f64::from(u8::from(b))).collect()),
        Labels::Int(all) => numbers(all.iter().map(|&i| i as f64).collect()),
        Labels::Float(all) => numbers(all.clone()),
        Labels::Text(all) => Answer::Texts(winners.iter().map(|&w| all[w].clone()).collect()),
    }
}

fn expected(tensor: &Json) -> Answer {
    match &tensor["values"] {
        Json::Array(texts) => Answer::Texts(texts.iter().map(|t| t.as_str().unwrap().into()).collect()),
        values => Answer::Numbers(numbers(values)),
    }
}

fn numbers(values: &Json) -> Vec<f64> {
    values.as_str().unwrap().split_whitespace().map(|v| v.parse().unwrap()).collect()
}

fn assert_close(got: &Answer, want: &Answer, tolerance: &Json, place: &str) {
    let (Answer::Numbers(got), Answer::Numbers(want)) = (got, want) else {
        return assert_eq!(got, want, "{place}");
    };
    assert_eq!(got.len(), want.len(), "{place}");
    let of = |key: &str| tolerance[key].as_f64().unwrap();
    let (absolute, relative) = (of("absolute"), of("relative"));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let near = (got - want).abs() <= absolute + relative * want.abs();
        let same = got == want || got.is_nan() && want.is_nan();
        assert!(near || same, "{place}: element {i} is {got}, scikit-learn gave {want}");
    }
}

#[test]
fn every_fixture_in_every_encoding_predicts_what_scikit_learn_does() {
    let mut runs = 0;
    let cases = fixtures("sklearn");
    for folder in &cases {
        let case = case(folder);
        for model in case["models"].as_array().unwrap() {
            let file = folder.join(model["file"].as_str().unwrap());
            let bytes = std::fs::read(&file).unwrap();
            let model = read(&bytes, &Limits::default());
            let model = model.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for run in case["runs"].as_array().unwrap() {
                let method = match run["method"].as_str().unwrap() {
                    "predict" => Method::Predict,
                    "predict_proba" => Method::PredictProba,
                    "transform" => Method::Transform,
                    other => panic!("{other}"),
                };
                assert!(model.methods().contains(&method));
                let input = numbers(&run["inputs"][0]["values"]);
                let rows: Vec<Vec<f64>> = input.chunks(model.features()).map(<[f64]>::to_vec).collect();
                let got = evaluate(model.as_ref(), method, &rows);
                let want: Vec<Answer> = run["outputs"].as_array().unwrap().iter().map(expected).collect();
                assert_eq!(got.len(), want.len());
                let place = format!("{} {method:?} run {runs}", file.display());
                for (got, want) in got.iter().zip(&want) {
                    assert_close(got, want, &case["tolerance"], &place);
                }
                runs += 1;
            }
        }
    }
    assert!(cases.len() >= 50 && runs >= 1000, "{} cases, {runs} runs", cases.len());
}

#[test]
fn hostile_models_are_refused() {
    let mut seen = 0;
    for folder in fixtures("hostile") {
        let case = case(&folder);
        if case["kind"] != "model" {
            continue;
        }
        seen += 1;
        let bytes = std::fs::read(folder.join(case["input"].as_str().unwrap())).unwrap();
        let error = match read(&bytes, &Limits::default()) {
            Ok(model) => panic!("{}: read as {} features", folder.display(), model.features()),
            Err(error) => error.to_string(),
        };
        assert!((10..1000).contains(&error.len()), "{error}");
        println!("{}: {error}", folder.file_name().unwrap().display());
    }
    assert!(seen >= 30, "{seen}");
}

#[test]
fn an_estimator_that_is_not_supported_is_named() {
    let file = b"\x80\x04csklearn.tree._tree\nTree\n)R.";
    let error = read(file, &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "model: not supported: `sklearn.tree._tree.Tree` is not an estimator this tool predicts with");
    let error = read(b"\x80\x04}.", &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "model: expected a scikit-learn estimator, found a dict of 0");
    let file = b"\x80\x04csklearn.svm._classes\nSVC\n)\x81.";
    let error = read(file, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("sklearn.svm._classes.SVC"), "{error}");
}

#[test]
fn pipelines_that_contain_themselves_end() {
    // p.steps = [("a", p), ("b", p)]
    let file =
        b"\x80\x04csklearn.pipeline\nPipeline\n)\x81\x94}\x8c\x05steps](\x8c\x01ah\x00\x86\x8c\x01bh\x00\x86esb.";
    let error = read(file, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("levels deep"), "{error}");
    // Forty pipelines, each of twice the one before.
    let mut file = b"\x80\x04csklearn.preprocessing._data\nStandardScaler\n)\x81}(\x8c\x0en_features_in_K\x01".to_vec();
    file.extend(b"\x8c\x09with_mean\x89\x8c\x08with_std\x89ub\x94");
    for below in 0..20 {
        file.extend(b"csklearn.pipeline\nPipeline\n)\x81}\x8c\x05steps](\x8c\x01ah");
        file.extend([below, 0x86, 0x8c, 1, b'b', b'h', below]);
        file.extend(b"\x86esb\x94");
    }
    file.push(b'.');
    let error = read(&file, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("values in all"), "{error}");
}

#[test]
fn damaged_estimators_are_refused_or_evaluated() {
    let forest = "sklearn/v19_forest_classifier_missing/model.pkl";
    for (seed, path) in SMALL.iter().chain([&forest]).enumerate() {
        let reads = |bytes: &[u8]| match read(bytes, &Limits::default()) {
            Ok(model) => {
                let row = vec![0.5; model.features().min(1000)];
                let fits = row.len() == model.features();
                for &method in model.methods().iter().filter(|_| fits) {
                    evaluate(model.as_ref(), method, std::slice::from_ref(&row));
                }
                false
            }
            Err(error) => !error.to_string().is_empty(),
        };
        assert!(!reads(&fixture(path)));
        let refused = mutate(&fixture(path), 1_500, 100 + seed as u64, reads);
        assert!(refused > 100 && refused < 1_500, "{path}: {refused} refused");
    }
}

#[test]
fn steps_must_fit_together() {
    let scaler = |columns: u8| {
        let head = b"csklearn.preprocessing._data\nStandardScaler\n)\x81}(\x8c\x0en_features_in_K";
        let tail = b"\x8c\x09with_mean\x89\x8c\x08with_std\x89ub";
        [&head[..], &[columns], tail].concat()
    };
    let pipeline = |first: u8, second: u8| {
        let head = b"\x80\x04csklearn.pipeline\nPipeline\n)\x81}\x8c\x05steps](\x8c\x01a";
        let parts = [&head[..], &scaler(first), b"\x86\x8c\x01b", &scaler(second), b"\x86esb."];
        read(&parts.concat(), &Limits::default())
    };
    assert_eq!(pipeline(3, 3).unwrap().transformed(), Some(3));
    let error = pipeline(3, 4).unwrap_err().to_string();
    assert_eq!(error, "steps: damaged model: \"a\" gives 3 columns, \"b\" takes 4");
}
