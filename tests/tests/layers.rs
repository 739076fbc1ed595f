//! The shape of the project: which layer may use which, where unsafe code may be, how files are named, how long they get.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Layers of the runtime, each with its height: a module uses modules of its own height or lower.
const LAYERS: [(&str, u32); 7] =
    [("bytes", 0), ("tensor", 0), ("kernels", 1), ("ops", 2), ("artifact", 3), ("executor", 4), ("session", 5)];

/// Names that the runtime's root exports again, with the layer that defines them.
const REEXPORTS: [(&str, &str); 11] = [
    ("Artifact", "artifact"),
    ("LoadError", "artifact"),
    ("Error", "executor"),
    ("Executor", "executor"),
    ("KernelSet", "ops"),
    ("Op", "ops"),
    ("Session", "session"),
    ("DType", "tensor"),
    ("Dims", "tensor"),
    ("Shape", "tensor"),
    ("TensorSpec", "tensor"),
];

/// Where unsafe code may be; everywhere else the lint denies it.
const UNSAFE_PLACES: [&str; 6] = [
    "runtime/src/executor/arena.rs",
    "runtime/src/kernels/arch/",
    "runtime/src/session.rs",
    "targets/firmware/",
    "examples/firmware/",
    "tests/tests/",
];

/// Words that hide what a file is for.
const BANNED_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];

/// A file that a reader can hold in mind.
const MAX_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Source files that git tracks or would track, relative to the root.
fn rust_files() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["runtime", "bundle-tool", "targets", "tests", "examples"] {
        collect(&root().join(folder), &mut files);
    }
    let strip = |path: PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
    let mut files: Vec<_> = files.into_iter().map(strip).collect();
    files.sort();
    assert!(files.len() > 50, "only {} source files found", files.len());
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "fixtures") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// The part of each line that is code.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

/// Names that follow `crate::` in a line of code.
fn crate_paths(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, found) in line.match_indices("crate::") {
        let macro_path = line[..at].ends_with('$');
        let rest = &line[at + found.len()..];
        if macro_path {
            continue;
        }
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group.split(['}', ',']).map(|name| word(name.trim()))),
            None => names.push(word(rest)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn the_runtime_layers_depend_one_way() {
    let heights = BTreeMap::from(LAYERS);
    let reexports = BTreeMap::from(REEXPORTS);
    let mut checked = 0;
    for file in rust_files() {
        let Some(module) = file.strip_prefix("runtime/src/") else { continue };
        let layer = module.split(['/', '.']).next().unwrap();
        if layer == "lib" {
            continue;
        }
        let height = heights.get(layer).unwrap_or_else(|| panic!("{file}: layer {layer} has no height"));
        let text = read(&file);
        let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
        for (number, line) in code_lines(&text[..tests]) {
            for name in crate_paths(line) {
                let used = reexports.get(name.as_str()).copied().unwrap_or(&name);
                let used_height =
                    heights.get(used).unwrap_or_else(|| panic!("{file}:{number}: crate::{name} is in no known layer"));
                assert!(used_height <= height, "{file}:{number}: {layer} must not use {used}");
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} uses found");
}

#[test]
fn unsafe_code_is_in_its_places_only() {
    let mut seen = 0;
    for file in rust_files() {
        let text = read(&file);
        for (number, line) in code_lines(&text) {
            let uses = line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
            if uses {
                assert!(UNSAFE_PLACES.iter().any(|place| file.starts_with(place)), "{file}:{number}: unsafe code");
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn names_say_what_files_are_for_and_files_stay_readable() {
    for file in rust_files() {
        for part in file.split(['/', '.']) {
            assert!(!BANNED_NAMES.contains(&part), "{file}: {part:?} hides what the file is for");
        }
        let lines = read(&file).lines().count();
        assert!(lines <= MAX_LINES, "{file} has {lines} lines, {MAX_LINES} at most");
    }
}

/// Names of all packages that a package is built from, dev-dependencies apart.
fn dependencies(metadata: &serde_json::Value, package: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let name_of: BTreeMap<&str, &str> =
        packages.iter().map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap())).collect();
    let nodes: BTreeMap<&str, &serde_json::Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let start = name_of.iter().find(|(_, name)| **name == package).map(|(id, _)| *id);
    let mut open = vec![start.unwrap_or_else(|| panic!("{package} is not in the workspace"))];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"].is_null() || kind["kind"] == "build") {
                open.push(dependency["pkg"].as_str().unwrap());
            }
        }
    }
    seen.iter().map(|id| name_of[id].to_owned()).collect()
}

#[test]
fn device_programs_depend_on_no_host_code() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(dependencies(&metadata, "ekiben").contains("tract-onnx"), "the check sees the host tool's dependencies");
    for package in ["ekiben-runtime", "ekiben-edge", "ekiben-firmware"] {
        for dependency in dependencies(&metadata, package) {
            let host_only =
                dependency.starts_with("tract") || dependency.starts_with("ruff_") || dependency == "ekiben";
            assert!(!host_only, "{package} depends on {dependency}");
        }
    }
}
