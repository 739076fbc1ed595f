use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ekiben_runtime::artifact::emit;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::tensor::Quantization;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::*;
use crate::graph::{Graph, TensorId};
use crate::planner::plan;
use crate::writer::{PlannedApi, artifact_parts};

const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../targets/firmware/include");

fn row(length: usize) -> TensorSpec {
    TensorSpec::new(DType::F32, Shape::new(&[1, length], Some(0)).unwrap())
}

fn output(graph: &mut Graph, tensor: TensorId, name: &str) {
    graph.rename(tensor, name);
    graph.add_output(tensor);
}

/// `tanh(x w)` with an input and an output of these names.
fn dense(input: &str, name: &str) -> Graph {
    let mut graph = Graph::new();
    let quantization = Some(Quantization { scale: 0.0125, zero_point: -7 });
    let x = graph.add_input(input, TensorSpec { quantization, ..row(2) });
    let w = graph.add_constant("w", DType::F32, &[2, 3], &[0.5f32, -0.5, 0.25, 1.0, 2.0, -1.5]).unwrap();
    let h = graph.add("dense", MatMul { transpose_b: false }, &[x, w]).unwrap();
    let y = graph.add("tanh", Unary::of(UnaryKind::Tanh), &[h]).unwrap();
    output(&mut graph, y, name);
    graph
}

/// A graph without steps.
fn identity() -> Graph {
    let mut graph = Graph::new();
    let x = graph.add_input("x", row(1));
    graph.add_output(x);
    graph
}

fn artifact(apis: &[(&str, Graph)]) -> Vec<u8> {
    let plans: Vec<_> = apis.iter().map(|(_, graph)| plan(graph).unwrap()).collect();
    let planned = apis.iter().zip(&plans).map(|((name, graph), plan)| PlannedApi { name, graph, plan });
    emit(&artifact_parts(&planned.collect::<Vec<_>>())).unwrap()
}

fn text(files: &[PackagedFile], name: &str) -> String {
    let file = files.iter().find(|file| file.name == name).unwrap();
    String::from_utf8(file.contents.clone()).unwrap()
}

/// The macros that a header defines.
fn macros(header: &str) -> Vec<&str> {
    let names = header.lines().filter_map(|line| line.strip_prefix("#define "));
    names.filter_map(|line| line.split([' ', '(']).next()).collect()
}

/// Compiles the C files of a package, and the macro `SHAPE` of an input as an initialiser.
fn compiles(files: &[PackagedFile]) {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        std::fs::write(folder.path().join(file.name), &file.contents).unwrap();
    }
    for source in ["model.c", "kernels.c"] {
        let mut compiler = Command::new("cc");
        compiler.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I", INCLUDE]);
        let output = compiler.arg(source).current_dir(folder.path()).output().expect("a C compiler");
        assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn says_what_the_artifact_holds() {
    let bytes = artifact(&[("classify", dense("x", "scores"))]);
    let files = firmware(&bytes).unwrap();
    assert_eq!(firmware(&bytes).unwrap(), files);
    let expected = include_str!("golden/model.h").replace("@LENGTH@", &bytes.len().to_string());
    assert_eq!(text(&files, "model.h"), expected);
    assert_eq!(text(&files, "kernels.c"), include_str!("golden/kernels.c"));
    assert_eq!(text(&files, "model.rs"), include_str!("golden/model.rs.txt"));
    assert_eq!(files.iter().find(|file| file.name == "model.ekb").unwrap().contents, bytes);
    compiles(&files);
}

#[test]
fn the_array_is_the_artifact() {
    let bytes = artifact(&[("classify", dense("x", "scores"))]);
    let source = text(&firmware(&bytes).unwrap(), "model.c");
    let array = source.split_once("] = {").unwrap().1.split_once('}').unwrap().0;
    let values = array.split(',').map(str::trim).filter(|value| !value.is_empty());
    assert_eq!(values.map(|value| value.parse().unwrap()).collect::<Vec<u8>>(), bytes);
    assert!(source.contains("_Alignas(64)"));
}

#[test]
fn any_name_gives_an_identifier_of_its_own() {
    let long = "a/very;long:name ".repeat(20);
    let apis = [
        ("predict", dense("", "駅弁")),
        ("Predict!", dense("x.y", "x y")),
        ("predict input", dense("arena", "name")),
        ("2 fast", dense("*/ \"\\ ??/ \n", &long)),
        ("self test", dense("rank", "shape")),
        ("", dense("x", "x")),
        ("api", identity()),
    ];
    let files = firmware(&artifact(&apis)).unwrap();
    let header = text(&files, "model.h");
    let macros = macros(&header);
    assert_eq!(macros.iter().collect::<BTreeSet<_>>().len(), macros.len());
    let is_identifier = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    assert!(macros.iter().all(is_identifier), "{macros:?}");
    for api in ["MODEL_PREDICT_API", "MODEL_PREDICT_2_API", "MODEL_N2_FAST_API", "MODEL_SELF_TEST_2_API"] {
        assert!(macros.contains(&api), "{api} is not in {macros:?}");
    }
    assert!(header.contains(r#""*/ \042\134 \077\077/ \012""#), "{header}");
    compiles(&files);
    let module = text(&files, "model.rs");
    let constants = module.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let constants: Vec<_> = constants.collect();
    assert_eq!(constants.iter().collect::<BTreeSet<_>>().len(), constants.len());
    assert!(module.lines().all(|line| !line.contains('駅')), "names are escaped in comments");
}

#[test]
fn an_artifact_without_steps_needs_no_operator() {
    let files = firmware(&artifact(&[("echo", identity())])).unwrap();
    assert!(text(&files, "kernels.c").contains("model_kernels = {operators, 0};"));
    compiles(&files);
}

#[test]
fn writes_files_once_and_refuses_what_is_no_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let (model, target) = (folder.path().join("m.ekb"), folder.path().join("a/b"));
    let bytes = artifact(&[("classify", dense("x", "scores"))]);
    std::fs::write(&model, &bytes).unwrap();
    let written = write_firmware(&model, &target).unwrap();
    assert_eq!(written.len(), firmware(&bytes).unwrap().len());
    let time = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let before: Vec<_> = written.iter().map(|path| time(path)).collect();
    assert_eq!(write_firmware(&model, &target).unwrap(), written);
    assert_eq!(written.iter().map(|path| time(path)).collect::<Vec<_>>(), before);

    std::fs::write(&model, &bytes[..bytes.len() - 1]).unwrap();
    let error = write_firmware(&model, &target).unwrap_err();
    assert!(matches!(&error, PackageError::Load { path, .. } if *path == model), "{error}");
    assert!(matches!(write_firmware(&target, &target), Err(PackageError::Io { .. })));
}
