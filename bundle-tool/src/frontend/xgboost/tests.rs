//! What is refused, and with which words; small files by hand. The suites of models are in `tests/fixtures/tabular`.

use super::{document, open_json, read_state, rounds};
use crate::frontend::{FrontendError, Model, OpenOptions};
use crate::graph::{Graph, evaluate};

/// A file of one tree over two features: `feature 1 < 0.5` gives 1, else 2; a missing value goes right.
const FILE: &str = r#"{"learner": {"attributes": {"best_iteration": "0"}, "feature_names": [], "gradient_booster": {"model": {
    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"}, "iteration_indptr": [0, 1], "tree_info": [0], "trees": [{
    "base_weights": [0, 1, 2], "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
    "default_left": [0, 0, 0], "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_conditions": [5E-1, 1E0, 2E0],
    "split_indices": [1, 0, 0], "split_type": [0, 0, 0], "tree_param": {"size_leaf_vector": "1"}}]}, "name": "gbtree"},
    "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1"},
    "objective": {"name": "reg:squarederror"}}, "version": [3, 2, 0]}"#;

fn open(text: &str) -> Result<Box<dyn Model>, FrontendError> {
    open_json(text.as_bytes(), &OpenOptions::default())
}

fn run(text: &str, rows: &[[f32; 2]]) -> Result<Vec<f32>, FrontendError> {
    let model = open(text)?;
    let mut graph = Graph::new();
    let x = graph.add_input("X", model.inputs()[0].spec);
    let outputs = model.call(&mut graph, "predict", &[x])?;
    graph.add_output(outputs[0].tensor);
    let values = evaluate(&graph, rows.len(), &[bytemuck::cast_slice(rows)]).expect("it runs");
    Ok(bytemuck::cast_slice(values[0].as_slice()).to_vec())
}

/// `FILE` with one text in the place of another.
fn changed(from: &str, to: &str) -> String {
    assert!(FILE.contains(from), "{from}");
    FILE.replace(from, to)
}

#[test]
fn splits_compare_in_float32() {
    let below = 0.5f32.next_down();
    let rows = [[0.0, below], [0.0, 0.5], [0.0, f32::NAN], [0.0, f32::NEG_INFINITY]];
    assert_eq!(run(FILE, &rows).unwrap(), [1.5, 2.5, 2.5, 1.5]);
    // A category of a set goes right, others left, also what is no category.
    let set = changed("\"categories\": []", "\"categories\": [1, 33]");
    let set = set.replace("\"categories_nodes\": []", "\"categories_nodes\": [0]");
    let set = set.replace("\"categories_segments\": []", "\"categories_segments\": [0]");
    let set = set.replace("\"categories_sizes\": []", "\"categories_sizes\": [2]");
    let rows = [[0.0, 1.0], [0.0, 33.9], [0.0, 2.0], [0.0, -1.0], [0.0, 3e9], [0.0, f32::NAN]];
    assert_eq!(run(&set, &rows).unwrap(), [2.5, 2.5, 1.5, 1.5, 1.5, 2.5]);
}

#[test]
fn numbers_that_json_does_not_have() {
    let file = changed("5E-1, 1E0, 2E0", "Infinity, NaN, -Infinity");
    let values = run(&file, &[[0.0, 1.0], [0.0, f32::NAN]]).unwrap();
    assert!(values[0].is_nan() && values[1] == f32::NEG_INFINITY);
    assert!(
        run(&changed("\"feature_names\": []", "\"feature_names\": [\"NaN\", \"-Infinity \\\" N\"]"), &[[0.0; 2]])
            .is_ok()
    );
}

#[test]
fn what_is_refused_is_named() {
    let cases = [
        ("\"reg:squarederror\"", "\"reg:own\"", "objective reg:own"),
        ("\"name\": \"gbtree\"", "\"name\": \"forest\"", "booster forest"),
        ("\"reg:squarederror\"", "\"count:poisson\"}, \"x\": {\"y\": 0", ""),
        ("\"left_children\": [1", "\"left_children\": [3", "node 3 is not there"),
        ("\"left_children\": [1", "\"left_children\": [0", "below itself"),
        ("\"split_indices\": [1", "\"split_indices\": [2", "feature 2 of 2"),
        ("\"split_indices\": [1, 0, 0]", "\"split_indices\": [1, 0]", "3 nodes"),
        ("\"tree_info\": [0]", "\"tree_info\": [1]", "output 1 of 1"),
        ("\"num_class\": \"0\"", "\"num_class\": \"100000\"", "100000 outputs"),
        ("\"num_feature\": \"2\"", "\"num_feature\": \"0\"", "0 features"),
        ("\"categories_nodes\": []", "\"categories_nodes\": [0]", "several lengths"),
        ("\"[5E-1]\"", "\"[5E-1,x]\"", "a base score"),
    ];
    for (from, to, words) in cases {
        let message = run(&changed(from, to), &[[0.0; 2]]).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(message.contains(words) && message.is_empty() == words.is_empty(), "{to}: {message:?}");
    }
    let error = run(&changed("\"reg:squarederror\"", "\"binary:logistic\"").replace("[5E-1]", "[2E0]"), &[[0.0; 2]]);
    assert!(error.unwrap_err().to_string().contains("a base score of 2"));
    assert!(open("{\"model\": {}}").err().unwrap().to_string().contains("no `learner`"));
}

#[test]
fn categories_of_frames() {
    let cats = r#""trees": [{"#;
    let with = |encodings: &str| changed(cats, &format!("\"cats\": {{\"enc\": [{encodings}]}}, {cats}"));
    let texts = r#"{"offsets": [0, 1, 3], "values": [97, 98, 99]}"#;
    let model = open(&with(&format!("{texts}, {{\"type\": 15, \"values\": [7, 9]}}"))).unwrap();
    assert!(model.takes_columns());
    let names: Vec<String> = model.inputs().into_iter().map(|input| input.name).collect();
    assert_eq!(names, ["f0", "f1"]);
    let none = r#"{"offsets": [], "values": []}"#;
    assert!(!open(&with(&format!("{none}, {none}"))).unwrap().takes_columns());
    for (encodings, words) in [
        (texts.to_owned(), "other than 2 features"),
        (format!("{none}, {{\"offsets\": [0, 9], \"values\": [97]}}"), "where they should be"),
        (format!("{none}, {{\"offsets\": [0, 1, 2], \"values\": [97, 97]}}"), "there twice"),
        (format!("{none}, {{\"offsets\": [0, 2], \"values\": [-61, -74]}}"), "ASCII"),
    ] {
        let error = open(&with(&encodings)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(words), "{encodings}: {error}");
    }
}

#[test]
fn states_and_ranges() {
    let state = format!("{{\"Model\": {FILE}, \"Config\": {{\"learner\": {{}}}}}}");
    let booster = read_state(state.as_bytes()).unwrap();
    assert_eq!(booster, document::from_json(FILE.as_bytes()).unwrap());
    assert_eq!((booster.best_iteration, booster.version), (Some(0), (3, 2)));
    assert!(read_state(b"CONFIG-offset:\xff\xff\xff\xff\0\0\0\0binf").is_err());
    assert_eq!(rounds("0:10]"), Some((0, Some(10))));
    assert_eq!(rounds("3:]"), Some((3, None)));
    assert_eq!(rounds("-1:2]"), None);
}
