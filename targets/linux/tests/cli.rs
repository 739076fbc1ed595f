//! The program `ekiben-edge` from outside: exit codes and messages that need no model.

use std::process::{Command, Output};

fn edge(arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_ekiben-edge")).args(arguments).output().unwrap();
    assert!(output.stdout.is_empty() || output.status.success(), "data on a failure");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [&["score"][..], &["frobnicate"], &["bench", "a.ekb", "--batch", "0"], &[]] {
        assert_eq!(edge(arguments).0, Some(2), "{arguments:?}");
    }
    assert_eq!(edge(&["--help"]).0, Some(0));
}

#[test]
fn missing_and_damaged_artifacts_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.ekb");
    let name = path.to_str().unwrap();
    let (code, message) = edge(&["inspect", name]);
    assert_eq!(code, Some(1));
    assert!(message.contains(name), "{message}");
    std::fs::write(&path, b"not an artifact, but long enough for a header of one, and then some more bytes after it")
        .unwrap();
    for verb in ["inspect", "self-test", "bench"] {
        let (code, message) = edge(&[verb, name]);
        assert_eq!(code, Some(6), "{verb}");
        assert!(message.contains("not an Ekiben artifact"), "{message}");
    }
}
