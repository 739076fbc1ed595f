//! The program `ekiben` from outside: what it prints, what it leaves on disk, and its exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ekiben_runtime::artifact::header::SectionKind;
use ekiben_runtime::artifact::{manifest::Manifest, seal};
use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, Session};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A bare scikit-learn model, and rows for it.
fn model() -> PathBuf {
    fixtures().join("bentos/v013_sklearn_iris_rf/bundle/IrisClassifier/artifacts/model.pkl")
}

fn rows() -> PathBuf {
    fixtures().join("bentos/v013_sklearn_iris_rf/inputs/rows.csv")
}

const ANSWERS: &str = "prediction\n0\n0\n1\n2\n2\n2\n2\n";

/// A folder for one test, which is the cache's place too.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&dyn AsRef<Path>]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ekiben"));
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.args(arguments.iter().map(|argument| argument.as_ref())).output().unwrap()
    }

    /// Standard output of a run that succeeds.
    fn ok(&self, arguments: &[&dyn AsRef<Path>]) -> String {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{message}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and standard error of a run that fails; it must print no data.
    fn fails(&self, arguments: &[&dyn AsRef<Path>]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn compiled(&self) -> PathBuf {
        let artifact = self.path("model.ekb");
        self.ok(&[&"compile", &model(), &"-o", &artifact]);
        artifact
    }
}

#[test]
fn compile_tells_what_it_made_and_makes_the_same_bytes_again() {
    let place = Place::new();
    let (one, two) = (place.path("one.ekb"), place.path("two.ekb"));
    let told = place.ok(&[&"compile", &model(), &"-o", &one]);
    for part in ["API predict", "float64 [N, 4]", "int64 [N]", "arena", "Forest", "golden vectors reference"] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    place.ok(&[&"compile", &model(), &"-o", &two]);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 2, "something else was left behind");
}

#[test]
fn inspect_prints_the_same_for_people_and_programs() {
    let place = Place::new();
    let artifact = place.compiled();
    let json: Value = serde_json::from_str(&place.ok(&[&"inspect", &artifact, &"--json"])).unwrap();
    assert_eq!(json["apis"][0]["inputs"][0]["shape"], "[N, 4]");
    assert_eq!(json["artifact_bytes"], fs::metadata(&artifact).unwrap().len());
    assert_eq!(json["provenance"]["models"][0]["format"], "sklearn");
    assert!(json["golden"]["reference"].as_u64().unwrap() > 0);
    let text = place.ok(&[&"inspect", &artifact]);
    assert!(text.contains(&format!("{} bytes", json["artifact_bytes"])), "{text}");
}

#[test]
fn self_test_tells_corruption_from_a_wrong_result() {
    let place = Place::new();
    let artifact = place.compiled();
    let passed = place.ok(&[&"self-test", &artifact]);
    assert!(passed.contains("golden vectors pass (reference"), "{passed}");
    let sound = fs::read(&artifact).unwrap();
    let section = |kind| {
        let mut buffer = ArenaBuffer::default();
        buffer.get(sound.len())[..sound.len()].copy_from_slice(&sound);
        let artifact = Artifact::parse(&buffer.get(sound.len())[..sound.len()]).unwrap();
        let start = artifact.section(kind).as_ptr() as usize - artifact.bytes().as_ptr() as usize;
        start..start + artifact.section(kind).len()
    };
    for (kind, digest) in [(SectionKind::Plans, "structure"), (SectionKind::Weights, "numbers")] {
        let mut damaged = sound.clone();
        damaged[section(kind).start] ^= 1;
        fs::write(&artifact, &damaged).unwrap();
        let (code, message) = place.fails(&[&"self-test", &artifact]);
        assert_eq!(code, 6, "{message}");
        assert!(message.contains(&format!("{digest} digest does not match")), "{message}");
    }
    let mut wrong = sound.clone();
    // The last bytes of the golden vectors are an expected output.
    wrong[section(SectionKind::Golden).end - 1] ^= 1;
    seal(&mut wrong).unwrap();
    fs::write(&artifact, &wrong).unwrap();
    let (code, message) = place.fails(&[&"self-test", &artifact]);
    assert_eq!(code, 5, "{message}");
    assert!(message.contains("expected"), "{message}");
}

#[test]
fn score_writes_whole_files_or_none() {
    let place = Place::new();
    let artifact = place.compiled();
    assert_eq!(place.ok(&[&"score", &artifact, &rows()]), ANSWERS);
    let out = place.path("out.jsonl");
    assert_eq!(place.ok(&[&"score", &artifact, &rows(), &"-o", &out, &"--batch", &"3"]), "");
    assert_eq!(fs::read_to_string(&out).unwrap(), "0\n0\n1\n2\n2\n2\n2\n");
    let bad = place.path("bad.csv");
    fs::write(&bad, "5,3,1,0\n5,3,1,0\n5,3,x,0\n").unwrap();
    let (code, message) = place.fails(&[&"score", &artifact, &bad, &"-o", &place.path("none.csv"), &"--batch", &"1"]);
    assert_eq!(code, 1);
    assert!(message.contains("line 3, column 3: \"x\" is no number"), "{message}");
    let mut left: Vec<_> = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["bad.csv", "model.ekb", "out.jsonl"]);
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let place = Place::new();
    let many = place.path("many.csv");
    fs::write(&many, "5.1,3.6,1.4,0.25\n".repeat(100_000)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_ekiben"));
    program.arg("score").args([&place.compiled(), &many]);
    let mut child = program.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn usage_errors_say_what_would_work() {
    let place = Place::new();
    let artifact = place.compiled();
    let (code, message) = place.fails(&[&"score", &artifact, &rows(), &"--api", &"classify"]);
    assert_eq!(code, 2);
    assert!(message.contains("it has: predict"), "{message}");
    let (code, message) = place.fails(&[&"score", &artifact, &"-"]);
    assert_eq!(code, 2);
    assert!(message.contains("--input-format"), "{message}");
    let (code, message) = place.fails(&[&"bench", &artifact, &"--threads", &"2"]);
    assert_eq!(code, 2);
    assert!(message.contains("--threads 1"), "{message}");
    assert_eq!(place.fails(&[&"compile", &model()]).0, 2);
}

#[test]
fn bench_prints_exactly_the_agreed_keys() {
    let place = Place::new();
    let json: Value =
        serde_json::from_str(&place.ok(&[&"bench", &place.compiled(), &"--json", &"--batch", &"5"])).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    let agreed =
        ["load_ms", "first_ms", "median_us", "n", "threads", "batch", "arena_bytes", "artifact_bytes", "rss_kb", "out"];
    assert_eq!(keys, agreed);
    assert_eq!(json["batch"], 5);
    assert!(json["median_us"].as_f64().unwrap() > 0.0 && json["rss_kb"].as_u64().unwrap() > 0);
    assert_eq!(json["out"].as_array().unwrap().len(), 4);
}

#[test]
fn run_compiles_once_and_mends_its_cache() {
    let place = Place::new();
    let cached = || -> Vec<PathBuf> {
        fs::read_dir(place.path("cache/ekiben")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(place.ok(&[&"run", &model(), &rows()]), ANSWERS);
    let first = cached();
    assert_eq!(first.len(), 1);
    let made = fs::metadata(&first[0]).unwrap().modified().unwrap();
    assert_eq!(place.ok(&[&"run", &model(), &rows()]), ANSWERS);
    assert_eq!(fs::metadata(&first[0]).unwrap().modified().unwrap(), made, "compiled again");
    let sound = fs::read(&first[0]).unwrap();
    fs::write(&first[0], &sound[..sound.len() / 2]).unwrap();
    assert_eq!(place.ok(&[&"run", &model(), &rows()]), ANSWERS);
    assert_eq!(fs::read(&first[0]).unwrap(), sound);
    assert_eq!(place.ok(&[&"run", &first[0], &rows()]), ANSWERS, "an artifact runs without a bento");
}

#[test]
fn recorded_answers_are_compared_and_travel_along() {
    let place = Place::new();
    let artifact = place.path("model.ekb");
    let compile = |expected: &Path| {
        place.run(&[&"compile", &model(), &"-o", &artifact, &"--data", &rows(), &"--expected", &expected])
    };
    let (table, lines, wrong) = (place.path("answers.csv"), place.path("answers.jsonl"), place.path("wrong.csv"));
    fs::write(&table, ANSWERS).unwrap();
    fs::write(&lines, "0\n0\n1\n2\n2\n2\n2\n").unwrap();
    fs::write(&wrong, ANSWERS.replace('1', "2")).unwrap();
    for expected in [&table, &lines] {
        assert_eq!(compile(expected).status.code(), Some(0));
        let passed = place.ok(&[&"self-test", &artifact]);
        assert!(passed.contains("framework 1, reference"), "{passed}");
        fs::remove_file(&artifact).unwrap();
    }
    let refused = compile(&wrong);
    assert_eq!(refused.status.code(), Some(5));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("element 2: recorded 2, computed 1"), "{message}");
    assert!(!artifact.exists());
    fs::write(&wrong, "label\n0\n").unwrap();
    let refused = compile(&wrong);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the columns must be prediction"));
}

#[test]
fn golden_vectors_keep_to_their_share() {
    let place = Place::new();
    let (data, expected, artifact) = (place.path("data.csv"), place.path("expected.csv"), place.path("model.ekb"));
    fs::write(&data, "5.1,3.6,1.4,0.25\n".repeat(1000)).unwrap();
    fs::write(&expected, format!("prediction\n{}", "0\n".repeat(1000))).unwrap();
    place.ok(&[&"compile", &model(), &"-o", &artifact, &"--data", &data, &"--expected", &expected]);
    let json: Value = serde_json::from_str(&place.ok(&[&"inspect", &artifact, &"--json"])).unwrap();
    let golden = json["sections"]["golden"].as_u64().unwrap();
    assert!((4000..=4096).contains(&golden), "{golden} bytes of golden vectors");
}

#[test]
fn a_firmware_package_is_listed_file_by_file() {
    let place = Place::new();
    let (artifact, folder) = (place.compiled(), place.path("generated"));
    let listed = place.ok(&[&"package", &artifact, &"--as", &"firmware", &"-o", &folder]);
    let names: Vec<_> = listed.lines().map(|line| Path::new(line).strip_prefix(&folder).unwrap().to_owned()).collect();
    assert!(names.iter().any(|name| name.as_os_str() == "model.h"), "{listed}");
    for name in &names {
        assert!(fs::metadata(folder.join(name)).unwrap().len() > 0, "{name:?}");
    }
    fs::write(&artifact, b"EKIBEN").unwrap();
    assert_eq!(place.fails(&[&"package", &artifact, &"--as", &"firmware", &"-o", &folder]).0, 6);
    assert_eq!(place.fails(&[&"package", &artifact, &"-o", &folder]).0, 2);
}

#[test]
fn verify_never_says_ok_without_an_oracle() {
    let place = Place::new();
    let artifact = place.compiled();
    let told = place.run(&[&"verify", &artifact, &"--against", &model()]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stdout).contains("oracle: none"));
    let onnx = fixtures().join("onnx/torch_mlp/model.onnx");
    let other = place.path("onnx.ekb");
    place.ok(&[&"compile", &onnx, &"-o", &other]);
    let agreed = place.ok(&[&"verify", &other, &"--against", &onnx]);
    assert!(agreed.contains("verdict: agrees"), "{agreed}");
    assert_eq!(place.fails(&[&"verify", &other, &"--against", &model()]).0, 5, "another model");
    let answers = place.path("answers.csv");
    fs::write(&answers, ANSWERS).unwrap();
    let recorded: [&dyn AsRef<Path>; 8] =
        [&"compile", &model(), &"-o", &artifact, &"--data", &rows(), &"--expected", &answers];
    place.ok(&recorded);
    let covered = place.ok(&[&"verify", &artifact, &"--against", &model()]);
    assert!(covered.contains("verdict: agrees"), "{covered}");
}

#[test]
fn a_service_answers_by_its_apis() {
    let place = Place::new();
    let bento = fixtures().join("bentos/v14_sklearn_iris_rf");
    let artifact = place.path("iris.ekb");
    place.ok(&[&"compile", &bento.join("bundle"), &"-o", &artifact]);
    let (code, message) = place.fails(&[&"score", &artifact, &bento.join("inputs/rows.json")]);
    assert_eq!(code, 2);
    assert!(message.contains("--api: classify, classify_df, predict_proba"), "{message}");
    let frame = place.ok(&[&"score", &artifact, &bento.join("inputs/df.json"), &"--api", &"classify_df"]);
    assert!(frame.starts_with(r#"[{"label": 0}, {"label": 0}, {"label": 1}"#), "{frame}");
    let table = place.path("table.csv");
    fs::write(&table, "pw,sl,sw,pl\n0.25,5.1,3.6,1.4\n2.55,6.3,3.4,6.0\n").unwrap();
    assert_eq!(place.ok(&[&"score", &artifact, &table, &"--api", &"classify_df"]), "label\n0\n2\n");
    let shares = place.ok(&[&"score", &artifact, &rows(), &"--api", &"predict_proba", &"--format", &"jsonl"]);
    assert_eq!(shares.lines().next(), Some("[1.0, 0.0, 0.0]"));
    assert_eq!(shares.lines().count(), 7);
    for (body, part) in
        [("bad_shape", "cannot reshape array of size 2"), ("missing", "missing"), ("notjson", "no JSON")]
    {
        let body = bento.join(format!("inputs/{body}.json"));
        let (code, message) = place.fails(&[&"score", &artifact, &body, &"--api", &"classify"]);
        assert_eq!(code, 1);
        assert!(message.contains(part), "{message}");
    }
    let old = fixtures().join("bentos/v013_sklearn_iris_rf");
    assert_eq!(place.ok(&[&"run", &old.join("bundle"), &old.join("inputs/rows.csv")]), ANSWERS);
    assert_eq!(place.ok(&[&"run", &old.join("bundle"), &old.join("inputs/records.json")]), "[0, 0, 1, 2, 2, 2, 2]\n");
}

#[test]
fn what_is_refused_is_named() {
    let place = Place::new();
    let none = place.path("none");
    let (code, message) = place.fails(&[&"compile", &none, &"-o", &place.path("a.ekb")]);
    assert_eq!(code, 1);
    assert!(message.contains("none"), "{message}");
    let text = place.path("notes.txt");
    fs::write(&text, "not a model").unwrap();
    assert_eq!(place.fails(&[&"compile", &text, &"-o", &place.path("a.ekb")]).0, 1);
    let hostile = fixtures().join("hostile/pickle_os_system/model.pkl");
    let (code, message) = place.fails(&[&"compile", &hostile, &"-o", &place.path("a.ekb")]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("system"), "{message}");
    assert!(!place.path("a.ekb").exists());
}

#[test]
fn provenance_names_the_model_that_was_read() {
    let place = Place::new();
    let session = Session::open(&place.compiled()).unwrap();
    let manifest: &Manifest = session.manifest();
    let model = &manifest.provenance.models[0];
    assert_eq!((manifest.name.as_str(), model.format.as_str()), ("model", "sklearn"));
    assert_eq!(model.blake3, blake3::hash(&fs::read(self::model()).unwrap()).to_hex().to_string());
}

#[test]
fn a_model_that_does_not_fit_its_target_is_refused_with_what_it_needs() {
    let place = Place::new();
    let (artifact, board) = (place.path("out.ekb"), place.path("board.toml"));
    let network = fixtures().join("tflite/ds_cnn_int8/model.tflite");
    let told = place.ok(&[&"compile", &network, &"-o", &artifact, &"--target", &"stm32f4"]);
    assert!(told.contains("target stm32f4 (STM32F407xG: Cortex-M4F)"), "{told}");
    let session = Session::open(&artifact).unwrap();
    let manifest = Manifest::from_cbor(session.artifact().section(SectionKind::Manifest)).unwrap();
    assert_eq!(manifest.provenance.target, "stm32f4");
    fs::remove_file(&artifact).unwrap();
    let profile = "device = 'tiny'\nsystem = 'none'\nrust_target = 'thumbv7em-none-eabihf'\nisa = 'armv7e-m'\n";
    fs::write(&board, format!("{profile}ram = '4 KiB'\nflash = '1 MiB'\n")).unwrap();
    let (code, message) = place.fails(&[&"compile", &network, &"-o", &artifact, &"--target", &board]);
    assert_eq!(code, 4, "{message}");
    for said in ["RAM", "4096  does not fit", "arena of predict", "stack", "flash", "weights", "multiply-accumulates"] {
        assert!(message.contains(said), "{said}: {message}");
    }
    assert!(!artifact.exists());
    let (code, message) = place.fails(&[&"compile", &network, &"-o", &artifact, &"--target", &"pi"]);
    assert!(code == 2 && message.contains("raspberry-pi-5"), "{code} {message}");
}

#[test]
fn lengths_that_a_model_leaves_open_are_given_on_the_command_line() {
    let place = Place::new();
    let (model, artifact) = (place.path("free.onnx"), place.path("free.ekb"));
    fs::write(&model, free_lengths()).unwrap();
    let (code, message) = place.fails(&[&"compile", &model, &"-o", &artifact]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("axis 1 (\"seq\") is not stated. Give it: --dim seq=LENGTH"), "{message}");
    let (code, message) = place.fails(&[&"compile", &model, &"-o", &artifact, &"--dim", &"sek=4"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("--dim sek") && message.contains("there is: batch, seq"), "{message}");
    let (code, message) = place.fails(&[&"compile", &model, &"-o", &artifact, &"--shape", &"x=1x2x3"]);
    assert_eq!(code, 2, "{message}");
    let told = place.ok(&[&"compile", &model, &"-o", &artifact, &"--dim", &"seq=4"]);
    assert!(told.contains("lengths        seq=4") && told.contains("[N, 4]"), "{told}");
    let verified = place.ok(&[&"verify", &artifact, &"--against", &model]);
    assert!(verified.contains("tract"), "{verified}");
    let request = place.path("request.json");
    fs::write(&request, r#"{"x": [[-1, 2, -3]]}"#).unwrap();
    let shape: [&dyn AsRef<Path>; 5] = [&"run", &model, &request, &"--shape", &"x=1x3"];
    assert_eq!(place.ok(&shape).trim(), "[[0.0, 2.0, 0.0]]");
    assert_eq!(place.fails(&[&"run", &artifact, &request, &"--dim", &"seq=4"]).0, 2);
}

/// An ONNX model of one Relu over `x: float32[batch, seq]`, written field by field: (number, contents).
fn free_lengths() -> Vec<u8> {
    fn message(parts: &[(u8, &[u8])]) -> Vec<u8> {
        parts.iter().flat_map(|(field, bytes)| [&[field << 3 | 2, bytes.len() as u8], *bytes].concat()).collect()
    }
    let dims = message(&[(1, &message(&[(2, b"batch")])), (1, &message(&[(2, b"seq")]))]);
    // elem_type (1) is FLOAT.
    let tensor = [&[8, 1], message(&[(2, &dims)]).as_slice()].concat();
    let value = |name: &[u8]| message(&[(1, name), (2, &message(&[(1, &tensor)]))]);
    let node = message(&[(1, b"x"), (2, b"y"), (4, b"Relu")]);
    let graph = message(&[(1, &node), (2, b"g"), (11, &value(b"x")), (12, &value(b"y"))]);
    // ir_version (1) 8, operator set (8) version (2) 17.
    [&[8, 8], message(&[(7, &graph), (8, &[16, 17])]).as_slice()].concat()
}

#[test]
fn weights_beside_a_model_are_read_and_are_part_of_it() {
    use prost::Message;
    use tract_onnx::pb::{ModelProto, StringStringEntryProto};

    let place = Place::new();
    let original = fs::read(fixtures().join("onnx/torch_mlp/model.onnx")).unwrap();
    let (whole, apart, weights) = (place.path("whole.onnx"), place.path("apart.onnx"), place.path("weights.bin"));
    fs::write(&whole, &original).unwrap();
    let mut model = ModelProto::decode(&original[..]).unwrap();
    let mut bytes = Vec::new();
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
        let length = tensor.raw_data.len().to_string();
        let place = [("location", "weights.bin".to_owned()), ("offset", bytes.len().to_string()), ("length", length)];
        tensor.external_data = place.map(|(key, value)| entry(key, value)).to_vec();
        tensor.data_location = Some(1);
        bytes.append(&mut tensor.raw_data);
    }
    fs::write(&apart, model.encode_to_vec()).unwrap();
    fs::write(&weights, &bytes).unwrap();
    let request = place.path("request.json");
    fs::write(&request, r#"{"x": [[1, -2, 3, 0.5, 2, 1, 0, -1]]}"#).unwrap();
    let answer = place.ok(&[&"run", &whole, &request]);
    assert_eq!(place.ok(&[&"run", &apart, &request]), answer);
    let artifact = place.path("apart.ekb");
    place.ok(&[&"compile", &apart, &"-o", &artifact]);
    let verified = place.ok(&[&"verify", &artifact, &"--against", &apart]);
    assert!(verified.contains("verdict: agrees"), "{verified}");
    bytes.fill(0);
    fs::write(&weights, &bytes).unwrap();
    assert_ne!(place.ok(&[&"run", &apart, &request]), answer, "the cache does not know the weights");
    let (code, message) = place.fails(&[&"verify", &artifact, &"--against", &apart]);
    assert!(code == 5 && message.contains("is not the one"), "{message}");
    fs::remove_file(&weights).unwrap();
    let (code, message) = place.fails(&[&"compile", &apart, &"-o", &place.path("a.ekb")]);
    assert_eq!(code, 3, "{message}");
    assert!(message.contains("weights.bin"), "{message}");
}
