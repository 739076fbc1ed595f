//! The boundary to the user's Python, with the machine's plain `python3`: limits hold, whatever a script does, and errors are told apart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ekiben::python::{Interpreter, Limits, PythonError, Workplace};
use serde_json::{Value, json};

const SMALL: Limits = Limits { time: Duration::from_secs(60), memory: 1 << 30, output: 1 << 20 };

fn run_with(limits: Limits, script: &str) -> (Result<Value, PythonError>, Workplace) {
    let folder = Workplace::new().expect("a temporary folder");
    let interpreter = Interpreter { limits, ..Interpreter::new("python3") };
    (interpreter.run(&folder, script, &json!({ "x": 20 })), folder)
}

fn error_of(script: &str) -> PythonError {
    run_with(SMALL, script).0.expect_err("an error")
}

#[test]
fn a_script_answers_with_a_value_and_files() {
    let script =
        "def run(request, out):\n    open(out + '/a.bin', 'wb').write(b'abc')\n    return {'y': request['x'] + 1}\n";
    let (answer, folder) = run_with(SMALL, script);
    assert_eq!(answer.expect("an answer"), json!({ "y": 21 }));
    assert_eq!(folder.take("a.bin", 3).expect("a file"), b"abc");
    assert!(folder.take("a.bin", 2).is_err());
    for outside in ["../in", "/etc/passwd", "..", "", "b.bin"] {
        assert!(folder.take(outside, 1000).is_err(), "{outside}");
    }
}

#[test]
fn a_link_is_not_followed() {
    let (_, folder) = run_with(
        SMALL,
        "import os\ndef run(request, out):\n    os.symlink('/etc/passwd', out + '/a')\n    return {}\n",
    );
    assert!(folder.take("a", 1 << 20).is_err_and(|reason| reason.contains("no regular file")));
}

#[test]
fn the_environment_has_what_is_needed_and_no_more() {
    let script = "import os\ndef run(request, out):\n    return {'names': sorted(os.environ), 'home': os.path.expanduser('~'), 'here': os.getcwd()}\n";
    let answer = run_with(SMALL, script).0.expect("an answer");
    let names: Vec<&str> = answer["names"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert!(names.contains(&"PATH") && names.contains(&"TMPDIR"), "{names:?}");
    // Cargo's own variables are there for this test, and do not go through.
    assert!(
        std::env::var("CARGO_MANIFEST_DIR").is_ok() && !names.iter().any(|name| name.starts_with("CARGO")),
        "{names:?}"
    );
    assert_eq!(answer["home"], answer["here"]);
    assert!(!Path::new(answer["home"].as_str().expect("a path")).exists(), "the folder stays");
}

#[test]
fn time_is_limited_and_children_are_ended_too() {
    let mark = tempfile::tempdir().expect("a temporary folder");
    let pid = mark.path().join("pid");
    let script = format!(
        "import subprocess, time\ndef run(request, out):\n    child = subprocess.Popen(['sleep', '1000'])\n    open({pid:?}, 'w').write(str(child.pid))\n    time.sleep(1000)\n"
    );
    let limits = Limits { time: Duration::from_secs(3), ..SMALL };
    let error = run_with(limits, &script).0.expect_err("no end");
    assert!(matches!(error, PythonError::OutOfTime { .. }), "{error}");
    let child: u32 = fs::read_to_string(&pid).expect("a child").parse().expect("its number");
    // An ended child that nobody has waited for yet is a zombie.
    let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
}

#[test]
fn children_do_not_outlive_an_answer() {
    let mark = tempfile::tempdir().expect("a temporary folder");
    let pid = mark.path().join("pid");
    let script = format!(
        "import subprocess\ndef run(request, out):\n    open({pid:?}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))\n    return {{}}\n"
    );
    run_with(SMALL, &script).0.expect("an answer");
    let child: u32 = fs::read_to_string(&pid).expect("a child").parse().expect("its number");
    let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
}

#[test]
fn memory_is_limited() {
    let error = error_of("def run(request, out):\n    return {'n': len(bytearray(8 << 30))}\n");
    assert!(matches!(error, PythonError::OutOfMemory { limit, .. } if limit == 1 << 30), "{error}");
    // What a framework's own allocator says.
    let error =
        error_of("def run(request, out):\n    raise RuntimeError(\"DefaultCPUAllocator: can't allocate memory\")\n");
    assert!(matches!(error, PythonError::OutOfMemory { .. }), "{error}");
    let error = error_of("import os, signal\ndef run(request, out):\n    os.kill(os.getpid(), signal.SIGKILL)\n");
    assert!(matches!(error, PythonError::OutOfMemory { .. }), "{error}");
}

#[test]
fn a_missing_package_is_named() {
    let error = error_of("def run(request, out):\n    import no_such_package_of_anyone.part\n");
    assert!(
        matches!(&error, PythonError::Package { package, .. } if package == "no_such_package_of_anyone"),
        "{error}"
    );
    assert!(error.to_string().contains("python3 lacks the Python package \"no_such_package_of_anyone\""), "{error}");
}

#[test]
fn garbage_answers_are_refused() {
    let writes = |text: &str| {
        format!(
            "import os\ndef run(request, out):\n    open(out + '/answer.json', 'w').write({text:?})\n    os._exit(0)\n"
        )
    };
    for text in ["", "{", "[]", "null", "{\"result\": 3}", "{\"error\": {}}", "~ no JSON"] {
        let error = error_of(&writes(text));
        assert!(matches!(error, PythonError::Answer { .. }), "{text:?}: {error}");
    }
    let nested = "def run(request, out):\n    import os\n    open(out + '/answer.json', 'w').write('[' * 500000)\n    os._exit(0)\n";
    assert!(matches!(error_of(nested), PythonError::Answer { .. }));
}

#[test]
fn output_is_limited() {
    let one_file = "def run(request, out):\n    open(out + '/a', 'wb').write(bytes(2 << 20))\n";
    let error = error_of(one_file);
    assert!(matches!(error, PythonError::TooMuchOutput { .. }), "{error}");
    let many_files = "def run(request, out):\n    import time\n    for n in range(100):\n        open(f'{out}/{n}', 'wb').write(bytes(1 << 19))\n    time.sleep(1000)\n";
    let error = error_of(many_files);
    assert!(matches!(error, PythonError::TooMuchOutput { .. }), "{error}");
    // Standard error has no limit: it is read and forgotten.
    let talks = "import sys\ndef run(request, out):\n    for _ in range(300):\n        sys.stderr.write('x' * (1 << 16) + '\\n')\n    sys.stderr.write('the last words\\n')\n    raise ValueError('no')\n";
    let error = error_of(talks);
    assert!(
        matches!(&error, PythonError::Failed { stderr, .. } if stderr.contains("the last words") && stderr.len() < 1 << 17),
        "{error}"
    );
}

#[test]
fn errors_carry_the_last_lines() {
    let error = error_of("def run(request, out):\n    raise ValueError('the wheel is broken')\n").to_string();
    assert!(error.contains("ValueError: the wheel is broken") && error.contains("Traceback"), "{error}");
    let error = error_of(
        "import os, sys\ndef run(request, out):\n    sys.stderr.write('bye'); sys.stderr.flush(); os._exit(7)\n",
    )
    .to_string();
    assert!(error.contains("exit status: 7") && error.contains("bye"), "{error}");
    let error = error_of("import os\ndef run(request, out):\n    os._exit(0)\n").to_string();
    assert!(error.contains("it gave no answer"), "{error}");
}

#[test]
fn an_interpreter_that_is_not_there_is_named() {
    let folder = Workplace::new().expect("a temporary folder");
    for program in ["no-such-python", "/no/such/python", "./no-such-python"] {
        let error = Interpreter::new(program).run(&folder, "", &Value::Null).expect_err("no interpreter");
        assert!(matches!(&error, PythonError::Interpreter { .. }) && error.to_string().starts_with(program), "{error}");
    }
}
