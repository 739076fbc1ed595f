//! Models written by hand: what is refused, ranges of iterations, tables. Trained ones are compared with LightGBM's answers in the tests of the
//! workspace.

use super::*;
use crate::graph::{Graph, evaluate};

const HEADER: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\nobjective=regression\n\
    feature_names=a b\nfeature_infos=[0:9] 0:1:2\ntree_sizes=1 1\n\n";
const STUMP: &str = "Tree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=1.5\ndecision_type=2\nleft_child=-1\nright_child=-2\n\
    leaf_value=1 2\nis_linear=0\nshrinkage=1\n\n";
const SET: &str = "Tree=1\nnum_leaves=2\nnum_cat=1\nsplit_feature=1\nthreshold=0\ndecision_type=1\nleft_child=-1\nright_child=-2\n\
    leaf_value=10 20\ncat_boundaries=0 1\ncat_threshold=6\nis_linear=0\nshrinkage=1\n\n";
const END: &str = "end of trees\n\nparameters:\n[boosting: gbdt]\n[categorical_feature: 1]\nend of parameters\n\n";

fn file(parts: &[&str]) -> String {
    parts.concat()
}

/// What `method` of the model gives for rows of two numbers.
fn answer(text: &str, method: &str, rows: &[[f64; 2]]) -> Vec<f64> {
    let model = open(text.as_bytes()).unwrap();
    let mut graph = Graph::new();
    let x = graph.add_input("x", model.inputs()[0].spec);
    let outputs = model.call(&mut graph, method, &[x]).unwrap();
    graph.add_output(outputs[0].tensor);
    let out = evaluate(&graph, rows.len(), &[bytemuck::cast_slice(rows)]).unwrap();
    bytemuck::cast_slice(out[0].as_slice()).to_vec()
}

fn error(text: &str) -> String {
    open(text.as_bytes()).err().map(|error| error.to_string()).expect("an error")
}

#[test]
fn iterations_are_chosen_by_ranges() {
    let text = file(&[HEADER, STUMP, SET, END]);
    let rows = [[0.0, 1.0], [1.5, 0.0], [f64::NAN, 2.9], [2.0, f64::NAN]];
    assert_eq!(answer(&text, "predict", &rows), [11.0, 21.0, 11.0, 22.0]);
    assert_eq!(answer(&text, "predict[0:1]", &rows), [1.0, 1.0, 1.0, 2.0]);
    assert_eq!(answer(&text, "predict_raw[1:]", &rows), [10.0, 20.0, 10.0, 20.0]);
    assert_eq!(answer(&text, "predict[7:9]", &rows), [0.0; 4]);
    let mut graph = Graph::new();
    let model = open(text.as_bytes()).unwrap();
    let x = graph.add_input("x", model.inputs()[0].spec);
    for method in ["predict[", "predict[a:b]", "transform", "predict[1]"] {
        assert!(model.call(&mut graph, method, &[x]).is_err(), "{method}");
    }
    // A booster in a pickle knows its best iteration.
    let mut booster = read(text.as_bytes()).unwrap();
    booster.best_iteration = Some(1);
    let model = LightgbmModel::new(booster).unwrap();
    for (method, expected) in [("predict", 1.0), ("predict[0:]", 11.0), ("predict[:2]", 11.0), ("predict[1:]", 10.0)] {
        let mut graph = Graph::new();
        let x = graph.add_input("x", model.inputs()[0].spec);
        let outputs = model.call(&mut graph, method, &[x]).unwrap();
        graph.add_output(outputs[0].tensor);
        let out = evaluate(&graph, 1, &[bytemuck::cast_slice(&rows[0])]).unwrap();
        assert_eq!(bytemuck::cast_slice::<u8, f64>(out[0].as_slice()), [expected], "{method}");
    }
}

#[test]
fn line_ends_do_not_matter_and_a_model_may_have_no_trees() {
    let text = file(&[HEADER, STUMP, SET, END]).replace('\n', "\r\n");
    assert_eq!(answer(&text, "predict", &[[0.0, 1.0]]), [11.0]);
    let text = file(&[HEADER, END]).replace("tree_sizes=1 1\n", "tree_sizes=\n");
    assert_eq!(answer(&text, "predict", &[[0.0, 1.0]]), [0.0]);
}

#[test]
fn damaged_and_unknown_files_are_refused_with_the_place() {
    let change = |from: &str, to: &str| {
        let text = file(&[HEADER, STUMP, SET, END]);
        assert!(text.contains(from), "{from}");
        error(&text.replacen(from, to, 1))
    };
    for (from, to, expected) in [
        ("version=v4", "version=v5", "unsupported:\n  header (version v5)"),
        ("version=v4\n", "", "unsupported:\n  header (version none)"),
        ("objective=regression", "objective=kinetic", "objective kinetic"),
        ("tree_sizes=1 1", "tree_sizes=1 1 1", "model: 2 trees, the header lists 3"),
        ("feature_names=a b", "feature_names=a", "header: 1 feature names for 2 features"),
        ("max_feature_idx=1", "max_feature_idx=99999999999", "features"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0", "0 trees per iteration"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3", "no whole iterations"),
        ("num_leaves=2", "num_leaves=3", "tree 0: leaf_value has 2 numbers, 3 are needed"),
        ("num_leaves=2", "num_leaves=0", "tree 0: a tree without leaves"),
        ("right_child=-2", "right_child=-1", "tree 0: decisions that lead to one place twice"),
        ("right_child=-2", "right_child=0", "tree 0: decisions that lead to one place twice"),
        ("right_child=-2", "right_child=-9", "tree 0: a decision leads to -9"),
        ("split_feature=0", "split_feature=2", "tree 0: a split of feature 2, there are 2"),
        ("threshold=1.5", "threshold=x", "tree 0: threshold has \"x\" where a number is needed"),
        ("decision_type=2", "decision_type=12", "tree 0: the decision type 12"),
        ("threshold=0\n", "threshold=1\n", "tree 1: set 1 is used twice or not there"),
        ("threshold=0\n", "threshold=-1\n", "tree 1: set -1 is used twice or not there"),
        ("cat_boundaries=0 1", "cat_boundaries=1 0", "tree 1: cat_threshold has 1 numbers, 0 are needed"),
        ("is_linear=0", "is_linear=1", "tree 0: there is no leaf_const"),
    ] {
        let error = change(from, to);
        assert!(error.contains(expected), "{to}: {error}");
    }
    assert!(error("tree").contains("there is no num_class") || error("tree").contains("version none"));
    assert!(error("treee\n").contains("the first line"));
}

#[test]
fn a_model_of_a_frame_takes_its_columns() {
    let text = file(&[HEADER, STUMP, SET, END, "pandas_categorical:[[\"x\", \"y\", \"z\"]]\n"]);
    let model = open(text.as_bytes()).unwrap();
    assert!(model.takes_columns());
    let names: Vec<String> = model.inputs().into_iter().map(|input| input.name).collect();
    assert_eq!(names, ["a", "b"]);
    let numbers = file(&[HEADER, STUMP, SET, END, "pandas_categorical:[[0.5, 7, true]]\n"]);
    let model = open(numbers.as_bytes()).unwrap();
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let outputs = model.call(&mut graph, "predict", &inputs).unwrap();
    graph.add_output(outputs[0].tensor);
    let columns = [[0.0, 0.0, 0.0, 0.0], [0.5, 7.0, 1.0, 3.0]];
    let out = evaluate(&graph, 4, &[bytemuck::cast_slice(&columns[0]), bytemuck::cast_slice(&columns[1])]).unwrap();
    assert_eq!(bytemuck::cast_slice::<u8, f64>(out[0].as_slice()), [21.0, 11.0, 11.0, 21.0]);
    for (list, expected) in [
        ("[[\"x\"], [\"y\"]]", "2 columns of categories"),
        ("[[\"x\", 1]]", "neither all texts nor all numbers"),
        ("[[\"x\", \"x\"]]", "a category is there twice"),
        ("[[NaN]]", "pandas_categorical"),
    ] {
        let error = error(&file(&[HEADER, STUMP, SET, END, "pandas_categorical:", list, "\n"]));
        assert!(error.contains(expected), "{list}: {error}");
    }
    assert!(!open(file(&[HEADER, STUMP, SET, END, "pandas_categorical:null\n"]).as_bytes()).unwrap().takes_columns());
}
