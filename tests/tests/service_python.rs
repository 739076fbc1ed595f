//! What the Python of a service may say, one construct at a time: a 0.13 classifier of irises whose method is rewritten, compiled and run.

use std::fs;

use ekiben::compile::compile_path;
use ekiben_edge::score::Scorer;
use ekiben_runtime::Artifact;
use ekiben_tests::case::{Case, root};
use serde_json::{Value, json};

const HEAD: &str = "import numpy as np
import pandas as pd
from bentoml import env, artifacts, api, BentoService
from bentoml.adapters import DataframeInput
from bentoml.frameworks.sklearn import SklearnModelArtifact

NAMES = ['setosa', 'versicolor', 'virginica']

def scaled(x, by=2.0):
    return x / by

def endless(x):
    return endless(x)

def deep(x):
    if True:
        return [{'k': -(-(deep({1: [(1, [w for w in [y]][0])]}[1][0][1])))} for y in [x] if x]

@artifacts([SklearnModelArtifact('model')])
class IrisClassifier(BentoService):
    LIMIT = 3

    def proba(self, x):
        return self.artifacts.model.predict_proba(x)

    @api(input=DataframeInput(), batch=True)
    def predict(self, df):
        model = self.artifacts.model
";

/// What the API answers to the rows of `request` when its method goes on with `body`.
fn answer(body: &str, request: &str) -> Result<Value, String> {
    let case = Case::read(root().join("bentos/v013_sklearn_iris_rf"));
    let folder = case.assemble("bento");
    let lines: String = body.lines().map(|line| format!("        {line}\n")).collect();
    fs::write(folder.path().join("IrisClassifier/iris_classifier.py"), format!("{HEAD}{lines}")).unwrap();
    let compiled = compile_path(folder.path(), None).map_err(|error| error.to_string())?;
    let artifact = Artifact::parse(compiled.bytes()).map_err(|error| error.to_string())?;
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, 0).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let body = fs::read(case.folder.join("inputs").join(request)).unwrap();
    scorer.score_request(&body[..], &mut out, None).map_err(|error| error.to_string())?;
    serde_json::from_slice(&out).map_err(|error| error.to_string())
}

#[track_caller]
fn answers(body: &str, expected: Value) {
    assert_eq!(answer(body, "values.json").unwrap_or_else(|error| panic!("{error}")), expected, "{body}");
}

#[test]
fn labels_are_looked_up() {
    let names = json!(["setosa", "setosa", "versicolor", "virginica", "virginica", "virginica", "virginica"]);
    answers("return [NAMES[i] for i in model.predict(df)]", names.clone());
    answers("best = np.argmax(self.proba(df), axis=1)\nreturn [NAMES[int(i)] for i in best]", names.clone());
    answers("return [NAMES[p.argmax()] for p in self.proba(df)]", names);
    answers(
        "return [[1.5, 2.5, 3.5][k] for k in model.predict(df).tolist()]",
        json!([1.5, 1.5, 2.5, 3.5, 3.5, 3.5, 3.5]),
    );
}

#[test]
fn loops_and_choices_are_made_for_every_row() {
    let levels = json!(["high", "high", "high", "low", "high", "low", "high"]);
    answers("return ['high' if p.max() > 0.9 else 'low' for p in self.proba(df)]", levels.clone());
    let body = "out = []\nfor p in self.proba(df):\n    if p.max() > 0.9:\n        level = 'high'\n    else:\n        \
                level = 'low'\n    print(level)\n    out.append(level)\nreturn out";
    answers(body, levels.clone());
    let body = "def level(p):\n    if p <= 0.9:\n        return 'low'\n    return 'high'\nbest = self.proba(df).max(axis=1)\nreturn [level(p) for p in best]";
    answers(body, levels);
    let best = json!([1.0, 1.0, 1.0, 0.55, 1.0, 0.7, 1.0]);
    answers("return np.round(self.proba(df).max(axis=1), 2)", best.clone());
    answers("return [p[np.argmax(p)] for p in self.proba(df)]", best);
    let total = json!([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    answers("p = self.proba(df)\nreturn np.round((p / p.sum(axis=1, keepdims=True)).sum(axis=1), 6)", total);
    answers(
        "p = self.proba(df)\nreturn np.where((p[:, 0] >= 0.5) & ~(p[:, 1] > 0.5), 1, 0)",
        json!([1, 1, 0, 0, 0, 0, 0]),
    );
}

#[test]
fn rows_become_dicts() {
    let rows = json!([
        {"setosa": 1.0, "versicolor": 0.0, "virginica": 0.0}, {"setosa": 1.0, "versicolor": 0.0, "virginica": 0.0},
        {"setosa": 0.0, "versicolor": 1.0, "virginica": 0.0}, {"setosa": 0.0, "versicolor": 0.45, "virginica": 0.55},
        {"setosa": 0.0, "versicolor": 0.0, "virginica": 1.0}, {"setosa": 0.0, "versicolor": 0.3, "virginica": 0.7},
        {"setosa": 0.0, "versicolor": 0.0, "virginica": 1.0}]);
    answers("return [{name: float(p) for name, p in zip(NAMES, row)} for row in self.proba(df)]", rows.clone());
    answers("return [dict(zip(NAMES, row.tolist())) for row in self.proba(df)]", rows.clone());
    answers("return pd.DataFrame(self.proba(df), columns=NAMES).to_dict(orient='records')", rows);
}

#[test]
fn arithmetic_and_parts() {
    answers("p = self.proba(df)\nreturn (1 - p[:, 1]).tolist()", json!([1.0, 1.0, 0.0, 0.55, 1.0, 0.7, 1.0]));
    answers("return [int(row[-1] * 100) for row in self.proba(df)]", json!([0, 0, 0, 55, 100, 70, 100]));
    answers("p = self.proba(df)\nreturn (p[:, 0] + p[:, 1]).tolist()", json!([1.0, 1.0, 1.0, 0.45, 0.0, 0.3, 0.0]));
    answers("return model.predict(scaled(df.values * 2)) * 10 + 1", json!([1, 1, 11, 21, 21, 21, 21]));
    answers("k = model.predict(df)\nk += self.LIMIT\nreturn k / 2", json!([1.5, 1.5, 2.0, 2.5, 2.5, 2.5, 2.5]));
    answers("return self.proba(df)[:, 1:][:, 0].tolist()", json!([0.0, 0.0, 1.0, 0.45, 0.0, 0.3, 0.0]));
}

#[test]
fn columns_by_name() {
    let body = "width = df['petal_width']\nx = df[['sepal_length', 'sepal_width', 'petal_length', 'petal_width']]\n\
                return [{'w': float(w), 'k': int(k)} for w, k in zip(width, model.predict(x))]";
    let got = answer(body, "records.json").unwrap();
    assert_eq!(got[3], json!({"w": 1.75, "k": 2}));
    let mixed = answer("a = df['petal_width']\nreturn model.predict(df)", "records.json").unwrap_err();
    assert!(mixed.contains("columns are not declared") || mixed.contains("has the shape"), "{mixed}");
}

#[test]
fn what_is_known_is_decided_when_compiling() {
    let body = "import math\nkey = f'species_{self.LIMIT}' if self.LIMIT > 2 else 'species'\nif len(NAMES) == 3:\n    \
                scale = [n * 2 for n in range(3)]\nelse:\n    scale = None\nreturn [{key: scale[k]} for k in model.predict(df)]";
    let item = |value: i64| json!({"species_3": value});
    answers(body, json!([item(0), item(0), item(2), item(4), item(4), item(4), item(4)]));
}

#[track_caller]
fn refused(body: &str, line: usize, problem: &str) {
    let error = answer(body, "values.json").expect_err(body);
    let line = HEAD.lines().count() + line;
    assert!(error.contains(&format!("iris_classifier.py:{line}:")) && error.contains(problem), "{body}: {error}");
}

#[test]
fn effects_and_unknowns_are_refused_with_their_line() {
    refused("out = []\nother = out\nout.append(1)\nreturn other", 3, "another name");
    refused(
        "for k in model.predict(df):\n    if k > 1:\n        raise ValueError('no')\nreturn model.predict(df)",
        3,
        "checks are not compiled",
    );
    refused("out = []\nfor k in model.predict(df):\n    out.append(len(out))\nreturn out", 3, "other rows");
    refused("t = 0\nreturn [(t := t + k) for k in model.predict(df)]", 2, "hand on");
    refused("p = self.proba(df)\nq = p.T\np += 1\nreturn p - q.T", 3, "another name");
    refused("names = NAMES\nnames.append('other')\nreturn [names[k] for k in model.predict(df)]", 2, "another name");
    refused("k = model.predict(df)\nk += 0.5\nreturn k", 2, "does not store");
    refused("p = self.proba(df)\nreturn p[:, [0, 1]][[0, 1], [1, 0]]", 2, "in pairs");
    refused("total = 0\nfor k in model.predict(df):\n    total += k\nreturn total", 3, "other rows");
    refused("out = [0]\nfor k in model.predict(df):\n    out.append(k)\nreturn out", 2, "no empty list");
    refused("model.predict(df)\nreturn model.predict(df)", 1, "is not used");
    refused("self.last = df\nreturn model.predict(df)", 1, "only `__init__`");
    refused("return model.predict(df) if df.values.mean() > 3 else None", 1, "one number of all rows");
    refused("return [k for k in model.predict(df) if k]", 1, "which rows are left out");
    let error = answer("return model.predict(endless(df))", "values.json").unwrap_err();
    assert!(error.contains("iris_classifier.py:13:") && error.contains("levels deep"), "{error}");
    refused("return model.predict(df[0:2])", 1, "brackets");
    refused("return NAMES[5]", 1, "no item 5");
    refused("return 10 ** 99", 1, "not compiled");
    refused("return [[a for b in range(100000)] for a in model.predict(df)]", 1, "items");
}

#[test]
fn hostile_sources_end_soon() {
    let doubled = |start: &str, step: &str| format!("a = {start}\n{}return a", format!("{step}\n").repeat(60));
    for (body, problem) in [
        (doubled("[1]", "a = [a, a]"), "steps"),
        (doubled("(1,)", "a = (a,)"), "too large, or nested too deeply"),
        (doubled("'x'", "a = a + a"), "longer than"),
        (doubled("str(int(model.predict(df)[0])) + '-'", "a = a + a"), "pieces"),
        (doubled("'x'", "a = f'{a}{a}'"), "longer than"),
        (doubled("[1]", "a = a + a"), "not compiled"),
        (format!("return {}1", "-".repeat(500)), "nested more than"),
        ("return deep(1)".to_owned(), "nested more than"),
        ("return [[b for b in range(9000)] for a in range(9000)]".to_owned(), "steps"),
        ("return [model.predict(df * i) for i in range(9000)]".to_owned(), "calls of models"),
        ("return [list(range(9000)) for a in range(9000)]".to_owned(), "steps"),
        ("return [NAMES[k] for i in range(9000) for k in [1]]".to_owned(), "one plain `for`"),
    ] {
        let error = answer(&body, "values.json").expect_err(&body);
        assert!(error.contains(problem), "{body}: {error}");
    }
}

#[test]
fn a_model_called_twice_on_the_same_is_computed_once() {
    let twice =
        "return [{'a': int(a), 'b': int(b)} for a, b in zip(model.predict(df), self.artifacts.model.predict(df))]";
    let got = answer(twice, "one.json").unwrap();
    assert_eq!(got, json!([{"a": 0, "b": 0}]));
}

#[test]
fn answers_that_a_server_could_not_give_are_refused() {
    let method_line = |body: &str, problem: &str| {
        let error = answer(body, "values.json").expect_err(body);
        // An answer as a whole is refused at the method's name.
        let line = HEAD.lines().count() - 1;
        assert!(error.contains(&format!("iris_classifier.py:{line}:")) && error.contains(problem), "{body}: {error}");
    };
    method_line("return {'labels': model.predict(df).tolist()}", "one item for each row");
    method_line("p = model.predict(df)\nreturn df.values", "integers or floats depends on the request");
    method_line("return model", "one item for each row");
    method_line("pass", "one item for each row");
}
