//! Hostile bentos and models, given to the program as a user would: refused with a message, in bounded memory, nothing executed and
//! nothing written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Address space of the program, in kilobytes: far below what the bombs expand to or declare.
const MEMORY_KB: u64 = 1 << 20;
/// Seconds of processor time.
const SECONDS: u64 = 60;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if entry.is_dir() {
            copy(&entry, &to.join(name));
        } else {
            fs::copy(&entry, to.join(name)).unwrap();
        }
    }
}

/// Names of everything below a folder.
fn listing(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.display().to_string());
        if path.is_dir() {
            names.extend(listing(&path));
        }
    }
    names.sort();
    names
}

/// The input of a case; an overlay is laid over a copy of it in `place`.
fn input(case: &Path, json: &serde_json::Value, place: &Path) -> PathBuf {
    let input = case.join(json["input"].as_str().unwrap());
    let Some(overlay) = json["overlay"].as_str() else { return input };
    copy(&input, place);
    copy(&case.join(overlay), place);
    place.to_owned()
}

#[test]
fn hostile_inputs_are_refused_without_effect() {
    let mut cases: Vec<_> =
        fs::read_dir(fixtures().join("hostile")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 50);
    let mut failures = Vec::new();
    for case in cases {
        let json: serde_json::Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
        let place = tempfile::tempdir().unwrap();
        let work = place.path().join("outer/work");
        fs::create_dir_all(&work).unwrap();
        let input = input(&case, &json, &place.path().join("bento")).canonicalize().unwrap();
        let (before, near_input) = (listing(place.path()), listing(input.parent().unwrap()));
        let limits = format!("ulimit -v {MEMORY_KB}; ulimit -t {SECONDS}; exec \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &limits, "sh", env!("CARGO_BIN_EXE_ekiben"), "compile"])
            .arg(&input)
            .args(["-o", "out.ekb"])
            .current_dir(&work)
            .env("HOME", &work)
            .env("TMPDIR", &work)
            .env("XDG_CACHE_HOME", &work)
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        if !matches!(output.status.code(), Some(1 | 3)) {
            failures.push(format!("{name}: {} {message}", output.status));
        } else if message.trim().is_empty() || message.contains("panicked") || message.len() > 10_000 {
            failures.push(format!("{name}: a message of {} bytes: {message:.300}", message.len()));
        } else if listing(place.path()) != before || listing(input.parent().unwrap()) != near_input {
            failures.push(format!("{name}: files were written: {:?}", listing(place.path())));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
