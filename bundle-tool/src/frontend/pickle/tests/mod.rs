//! Real files, hand-made ones, hostile ones.

mod hostile;
pub(in crate::frontend) mod mutation;
mod numpy;
mod real;
mod values;

use super::{AllowList, Document, Item, Limits, PickleError, read};
use std::path::PathBuf;

/// What scikit-learn's random forests and their trees name.
const FOREST: &[&str] = &[
    "sklearn.ensemble._forest.RandomForestClassifier",
    "sklearn.tree._classes.DecisionTreeClassifier",
    "sklearn.tree._tree.Tree",
];

/// What the other fixtures that are read here name.
const OTHERS: &[&str] = &[
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
];

/// A class that only tests know.
const MODEL: &str = "library.Model";

fn allow() -> AllowList {
    AllowList::plumbing().with(FOREST).with(OTHERS).with(&[MODEL])
}

fn decode(bytes: &[u8]) -> Result<Document<'_>, PickleError> {
    read(bytes, &allow(), &Limits::default())
}

/// A file among the fixtures.
pub(in crate::frontend) fn fixture(path: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    std::fs::read(root.join(path)).expect("a fixture of the repository")
}

/// A forest of scikit-learn 0.24.2, written by joblib 1.0.1: no padding, nested pickles of protocol 2.
fn forest_024() -> Vec<u8> {
    fixture("bentos/v013_sklearn_iris_rf/bundle/IrisClassifier/artifacts/model.pkl")
}

/// A forest of scikit-learn 1.9.1, written by joblib 1.6.0: array data padded to 16 bytes.
fn forest_19() -> Vec<u8> {
    fixture("bentos/v14_sklearn_iris_rf/bundle/models/iris_rf/v1/saved_model.pkl")
}

/// Protocol 4, then `body`, then STOP.
fn pickle(body: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"\x80\x04".to_vec();
    bytes.extend(body.iter().flat_map(|part| part.iter()));
    bytes.push(b'.');
    bytes
}

/// SHORT_BINUNICODE.
fn text(value: &str) -> Vec<u8> {
    let mut bytes = vec![0x8c, value.len() as u8];
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// GLOBAL.
fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// Uses every accessor on at most `most` values of a document, breadth first. What they answer is not looked at: they must
/// only answer.
fn exercise(document: &Document<'_>, most: usize) {
    let mut queue = std::collections::VecDeque::from([document.root()]);
    for _ in 0..most {
        let Some(item) = queue.pop_front() else {
            return;
        };
        let _ = (item.as_bool(), item.as_i64(), item.as_f64(), item.as_usize());
        let _ = (item.as_str(), item.as_bytes(), item.as_global());
        let _ = (item.class(), item.argument(0), item.find_keyword("copy"), item.find("classes_"));
        let _ = format!("{item:?}");
        if let Ok(array) = item.array() {
            let _ = (array.f64s(), array.i64s(), array.bools(), array.strings());
            if let Some(field) = array.find_field("threshold") {
                let _ = (field.f64s(), field.i64s());
            }
        }
        queue.extend(item.state());
        queue.extend(item.items().unwrap_or_default());
        for (key, value) in item.entries().unwrap_or_default() {
            queue.extend([key, value]);
        }
    }
}

/// The root of a document that must be readable.
fn root<'d>(document: &'d Result<Document<'_>, PickleError>) -> Item<'d> {
    match document {
        Ok(document) => document.root(),
        Err(error) => panic!("{error}"),
    }
}
