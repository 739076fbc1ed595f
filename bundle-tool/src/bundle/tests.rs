use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::{
    Bundle, BundleError, EntryPoint, Files, Generation, InputAdapter, Interface, ModelFormat, OutputAdapter,
    ValueSchema,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/bentos").join(name)
}

/// A sample bento that is not part of the repository, if it is there.
fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/bentos").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// A directory with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn open_error(dir: &TempDir) -> String {
    Bundle::open(dir.path(), None).unwrap_err().to_string()
}

const OLD: &str =
    "version: 0.13.1\nmetadata: {service_name: S, service_version: 20210526123456_123456, module_file: s.py}\n";
const NEW: &str = "service: 'service:S'\nname: s\nversion: v1\nspec: 2\nschema: {name: S, routes: []}\n";
const MODEL: &str = "name: m\nversion: v1\nmodule: bentoml.sklearn\n";

#[test]
fn reads_a_0_13_bundle() {
    let bundle = Bundle::open(&fixture("v013_sklearn_iris_rf/bundle"), None).unwrap();
    assert_eq!(bundle.generation, Generation::V0_13);
    assert_eq!(bundle.service, "IrisClassifier");
    assert_eq!(bundle.version.as_deref(), Some("20261122120000_AAAAAA"));
    let entry = EntryPoint { file: "iris_classifier.py".into(), attribute: "IrisClassifier".into() };
    assert_eq!(bundle.entry, Some(entry));
    assert_eq!(bundle.sources, ["iris_classifier.py"]);
    assert!(bundle.read_source("iris_classifier.py").unwrap().contains("class IrisClassifier"));
    let api = bundle.api("predict").unwrap();
    assert_eq!(api.route, "predict");
    let Interface::V0_13 { input, output, batch, max_batch_size, max_latency_ms } = &api.interface else {
        panic!("{api:?}")
    };
    assert_eq!(*input, InputAdapter::Dataframe { orient: None, typ: "frame".into(), dtype: Vec::new() });
    assert_eq!((output, *batch), (&OutputAdapter::Default, true));
    assert_eq!((*max_batch_size, *max_latency_ms), (4000, 20_000));
    let model = bundle.model("model").unwrap();
    assert_eq!(model.kind, "SklearnModelArtifact");
    assert_eq!(model.format, ModelFormat::Pickle);
    assert_eq!(model.files, ["IrisClassifier/artifacts/model.pkl"]);
    assert_eq!(model.read().unwrap().len(), 35_073);
    assert_eq!(bundle.provenance.bentoml_version.as_deref(), Some("0.13.1"));
    assert_eq!(bundle.provenance.python_version.as_deref(), Some("3.8.18"));
    assert_eq!(bundle.provenance.frameworks["scikit-learn"], "0.24.2");
    assert_eq!(bundle.provenance.created.as_deref(), Some("2026-11-22 15:47:04.628983"));
}

#[test]
fn reads_a_0_13_onnx_bundle() {
    let bundle = Bundle::open(&fixture("v013_onnx_iris_gb/bundle"), None).unwrap();
    let model = bundle.model("model").unwrap();
    assert_eq!((model.kind.as_str(), model.format), ("OnnxModelArtifact", ModelFormat::Onnx));
}

/// The archive's one file.
fn archive(case: &str) -> PathBuf {
    let mut files = fs::read_dir(fixture(case)).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "bento")).unwrap()
}

#[test]
fn reads_a_1_x_bento_and_its_archive_alike() {
    let directory = Bundle::open(&fixture("v14_sklearn_iris_rf/bundle"), None).unwrap();
    let archive = Bundle::open(&archive("v14_sklearn_iris_rf_archive"), None).unwrap();
    for bundle in [&directory, &archive] {
        assert_eq!(bundle.generation, Generation::V1);
        assert_eq!(bundle.service, "IrisClassifier");
        assert_eq!(bundle.version.as_deref(), Some("v1"));
        assert_eq!(bundle.entry.as_ref().unwrap().file, "service.py");
        assert_eq!(bundle.sources, ["service.py"]);
        let names: Vec<_> = bundle.apis.iter().map(|api| (api.name.as_str(), api.route.as_str())).collect();
        let expected = [("classify", "classify"), ("classify_df", "classify_df"), ("predict_proba", "v1/proba")];
        assert_eq!(names, expected);
        let model = bundle.model("iris_rf:v1").unwrap();
        assert_eq!(model.kind, "bentoml.sklearn");
        assert_eq!(model.format, ModelFormat::Pickle);
        assert_eq!(model.main, "models/iris_rf/v1/saved_model.pkl");
        assert_eq!(model.labels["team"], "edge");
        assert_eq!(model.read().unwrap().len(), 30_385);
        assert_eq!(bundle.provenance.frameworks["scikit-learn"], "1.9.1");
        assert_eq!(bundle.provenance.python_version.as_deref(), Some("3.11"));
        assert_eq!(bundle.provenance.pip_packages, ["scikit-learn", "pandas", "bentoml==1.4.39"]);
        assert_eq!(bundle.provenance.labels["owner"], "holdout");
    }
    assert_eq!(directory.apis, archive.apis);
    assert_eq!(directory.read_source("service.py").unwrap(), archive.read_source("service.py").unwrap());
}

#[test]
fn typed_parameters_of_1_x() {
    let bundle = Bundle::open(&fixture("v14_sklearn_iris_rf/bundle"), None).unwrap();
    let Interface::V1 { batchable, parameters, output, .. } = &bundle.api("classify").unwrap().interface else {
        panic!()
    };
    assert!(*batchable);
    let tensor = |dtype: Option<&str>, shape| ValueSchema::Tensor {
        format: "numpy-array".into(),
        dtype: dtype.map(str::to_owned),
        shape,
    };
    assert_eq!(parameters[0].name, "input_data");
    assert_eq!(parameters[0].schema, tensor(Some("float64"), Some(vec![-1, 4])));
    assert_eq!(*output, tensor(None, None));
    let Interface::V1 { parameters, .. } = &bundle.api("classify_df").unwrap().interface else { panic!() };
    let columns = ["sl", "sw", "pl", "pw"].map(str::to_owned).to_vec();
    assert_eq!(parameters[0].schema, ValueSchema::Dataframe { orient: "records".into(), columns: Some(columns) });
    let Interface::V1 { output, .. } = &bundle.api("predict_proba").unwrap().interface else { panic!() };
    let row = ValueSchema::List(Box::new(ValueSchema::Number));
    assert_eq!(*output, ValueSchema::List(Box::new(row)));
}

#[test]
fn models_named_only_by_services_are_found() {
    let bundle = Bundle::open(&fixture("v14_onnx_iris/bundle"), None).unwrap();
    let model = bundle.model("onnx_iris").unwrap();
    assert_eq!(model.format, ModelFormat::Onnx);
    assert_eq!(model.options["input_specs"]["run"][0]["name"], json!("X"));
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// BentoML's store with the sample bento in it, as `bentoml import` makes it.
fn store() -> TempDir {
    let store = tempfile::tempdir().unwrap();
    let bento = store.path().join("bentos/iris_classifier/v1");
    copy(&fixture("v14_sklearn_iris_rf/bundle"), &bento);
    fs::rename(bento.join("models"), store.path().join("models")).unwrap();
    fs::write(store.path().join("bentos/iris_classifier/latest"), "v1").unwrap();
    store
}

#[test]
fn models_of_a_store_bento_are_found_in_its_store() {
    let store = store();
    let bento = store.path().join("bentos/iris_classifier/v1");
    for path in [&bento, &store.path().join("bentos/iris_classifier")] {
        let bundle = Bundle::open(path, None).unwrap();
        assert_eq!(bundle.model("iris_rf").unwrap().read().unwrap().len(), 30_385);
    }
    let model = Bundle::open(&store.path().join("models/iris_rf"), None).unwrap();
    assert_eq!((model.generation, model.version.as_deref()), (Generation::Bare, Some("v1")));
    let elsewhere = store.path().join("elsewhere");
    fs::rename(&bento, &elsewhere).unwrap();
    let error = Bundle::open(&elsewhere, None).unwrap_err().to_string();
    assert!(error.contains("models/iris_rf/v1/model.yaml") && error.contains("--store"), "{error}");
    for given in [store.path().join("models"), store.path().to_owned()] {
        let bundle = Bundle::open(&elsewhere, Some(&given)).unwrap();
        assert_eq!(bundle.model("iris_rf").unwrap().read().unwrap().len(), 30_385);
    }
}

#[test]
fn latest_names_a_version_beside_it() {
    let store = store();
    let latest = store.path().join("bentos/iris_classifier/latest");
    for version in ["..", "../../models", "/etc", "v2", ""] {
        fs::write(&latest, version).unwrap();
        let error = Bundle::open(&store.path().join("bentos/iris_classifier"), None).unwrap_err().to_string();
        assert!(error.contains("which is no directory beside it"), "{version}: {error}");
    }
}

#[test]
fn archives_of_a_folder_are_opened_below_it() {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all("my-bento", fixture("v013_sklearn_iris_rf/bundle")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    assert_eq!(Bundle::open(&path, None).unwrap().service, "IrisClassifier");
}

#[test]
fn other_samples() {
    for (name, tag, format) in [
        ("v0.13.1/xgboost_titanic/bundle", "model", ModelFormat::XgboostBinary),
        ("v0.13.1/lightgbm_diabetes/bundle", "model", ModelFormat::LightgbmText),
        ("v1.4.39/xgboost_wine/xgb_service.bento", "xgb_wine:v1", ModelFormat::Ubjson),
        ("v1.4.39/lightgbm_cancer/lgb_service.bento", "lgb_cancer:v1", ModelFormat::LightgbmText),
        ("v1.4.39/sklearn_iris_rf/iris_rf.bentomodel", "iris_rf:v1", ModelFormat::Pickle),
        ("v1.4.39/sklearn_iris_rf/iris_classifier.tar", "iris_rf:v1", ModelFormat::Pickle),
        ("v1.4.39/sklearn_iris_rf/iris_classifier.tar.gz", "iris_rf:v1", ModelFormat::Pickle),
        ("v1.4.39/sklearn_iris_rf/iris_classifier.tar.bz2", "iris_rf:v1", ModelFormat::Pickle),
        ("v1.4.39/sklearn_iris_rf/iris_classifier.zip", "iris_rf:v1", ModelFormat::Pickle),
    ] {
        let Some(path) = shared(name) else { continue };
        let bundle = Bundle::open(&path, None).unwrap();
        assert_eq!(bundle.model(tag).map(|model| model.format), Some(format), "{name}");
    }
}

#[test]
fn bare_models_are_told_by_content() {
    let source = fixture("v013_sklearn_iris_rf/bundle/IrisClassifier/artifacts/model.pkl");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("iris.v2.onnx");
    fs::copy(source, &path).unwrap();
    let bundle = Bundle::open(&path, None).unwrap();
    assert_eq!((bundle.generation, bundle.service.as_str()), (Generation::Bare, "iris"));
    assert_eq!(bundle.models[0].format, ModelFormat::Pickle);
    assert_eq!(bundle.models[0].read().unwrap().len(), 35_073);
    fs::write(&path, "hello").unwrap();
    let error = Bundle::open(&path, None).unwrap_err();
    assert!(matches!(error, BundleError::Unrecognised { .. }), "{error}");
    assert!(open_error(&dir).contains("no bentoml.yml, bento.yaml or model.yaml"));
}

#[test]
fn compressed_pickles_are_no_archives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.pkl");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, b"\x80\x04N.").unwrap();
    fs::write(&path, encoder.finish().unwrap()).unwrap();
    assert_eq!(Bundle::open(&path, None).unwrap().models[0].format, ModelFormat::Compressed);
}

#[test]
fn versions_stay_text() {
    let dir = folder(&[("bentoml.yml", OLD), ("S/s.py", "")]);
    let bundle = Bundle::open(dir.path(), None).unwrap();
    assert_eq!(bundle.version.as_deref(), Some("20210526123456_123456"));
}

#[test]
fn older_manifests_and_missing_routes() {
    let manifest = OLD.to_owned() + "apis: [{name: p, handler_type: JsonInput, batch: true}]\n";
    let dir = folder(&[("bentoml.yml", &manifest), ("S/s.py", "")]);
    let bundle = Bundle::open(dir.path(), None).unwrap();
    assert_eq!(bundle.apis[0].route, "p");
    let Interface::V0_13 { input, output, .. } = &bundle.apis[0].interface else { panic!() };
    assert_eq!((input, output), (&InputAdapter::Json, &OutputAdapter::Default));
}

#[test]
fn artifact_files_are_probed() {
    let manifest = OLD.to_owned()
        + "artifacts: [{name: a, artifact_type: PytorchModelArtifact}, {name: a_b, artifact_type: PickleArtifact}]\n";
    let dir = folder(&[
        ("bentoml.yml", &manifest),
        ("S/s.py", ""),
        ("S/artifacts/__init__.py", ""),
        ("S/artifacts/a.yml", "k: 1"),
        ("S/artifacts/a.pth", "PK\u{3}\u{4}"),
        ("S/artifacts/ab.pkl", "x"),
        ("S/artifacts/a_b.pkl", "x"),
    ]);
    let bundle = Bundle::open(dir.path(), None).unwrap();
    assert_eq!(bundle.models[0].files, ["S/artifacts/a.pth"]);
    assert_eq!(bundle.models[0].format, ModelFormat::Zip);
    assert_eq!(bundle.models[1].files, ["S/artifacts/a_b.pkl"]);
    fs::remove_file(dir.path().join("S/artifacts/a.pth")).unwrap();
    assert!(open_error(&dir).contains("S/artifacts/a*"));
}

#[test]
fn saved_model_directories_lose_their_fillers() {
    let manifest = OLD.to_owned() + "artifacts: [{name: m, artifact_type: TensorflowSavedModelArtifact}]\n";
    let dir = folder(&[
        ("bentoml.yml", &manifest),
        ("S/s.py", ""),
        ("S/artifacts/m_saved_model/__init__.py", ""),
        ("S/artifacts/m_saved_model/saved_model.pb", "x"),
        ("S/artifacts/m_saved_model/variables/__init__.py", ""),
        ("S/artifacts/m_saved_model/variables/variables.index", "x"),
    ]);
    let bundle = Bundle::open(dir.path(), None).unwrap();
    let root = "S/artifacts/m_saved_model";
    assert_eq!(bundle.models[0].main, format!("{root}/saved_model.pb"));
    assert_eq!(bundle.models[0].files.len(), 2);
    assert_eq!(bundle.sources, ["s.py"]);
}

#[test]
fn errors_name_file_and_key() {
    let bad = [
        (
            "bentoml.yml",
            "version: 1.0.0\nmetadata: {service_name: S, service_version: a, module_file: s.py}",
            "`version`",
        ),
        ("bentoml.yml", "version: 0.13.1\n", "metadata"),
        ("bentoml.yml", "version: [", "line"),
        (
            "bentoml.yml",
            "version: 0.13.1\nmetadata: {service_name: ../x, service_version: a, module_file: s.py}",
            "service_name",
        ),
        (
            "bentoml.yml",
            "version: 0.13.1\nmetadata: {service_name: S, service_version: a, module_file: ../../s.py}",
            "module_file",
        ),
        ("bentoml.yml", OLD, "S/s.py"),
        ("bento.yaml", NEW, "src/service.py"),
        ("bento.yaml", "name: a\nversion: b", "service"),
        ("bento.yaml", "service: 'a:b'\nname: a\nversion: b\nspec: 3", "`spec`"),
        ("model.yaml", MODEL, "saved_model.*"),
    ];
    for (file, text, expected) in bad {
        let error = open_error(&folder(&[(file, text)]));
        assert!(error.contains(expected), "{file} {text}: {error}");
    }
    let source = ("src/service.py", "");
    for (extra, expected) in [
        ("models: [{tag: '../../x:v1'}]", "`models`"),
        ("models: [{tag: 'x:..'}]", "`models`"),
        ("services: [{models: [{tag: 'x:v1'}]}]", "models/x/v1/model.yaml"),
    ] {
        let error = open_error(&folder(&[("bento.yaml", &format!("{NEW}{extra}\n")), source]));
        assert!(error.contains(expected), "{extra}: {error}");
    }
    let route = NEW.replace("routes: []", "routes: [{name: a}]");
    let error = open_error(&folder(&[("bento.yaml", &route), source]));
    assert!(error.contains("schema.routes[0]") && error.contains("route"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_out_of_a_directory_are_refused() {
    use std::os::unix::fs::symlink;
    let outside = folder(&[("secret", "s")]);
    let dir = folder(&[("bentoml.yml", OLD), ("S/real.py", "x = 1"), ("inner/file", "x")]);
    let entry = dir.path().join("S/s.py");
    symlink(outside.path().join("secret"), &entry).unwrap();
    symlink(outside.path(), dir.path().join("out")).unwrap();
    symlink(dir.path(), dir.path().join("inner/loop")).unwrap();
    let files = Files::directory(dir.path()).unwrap();
    for name in ["S/s.py", "out/secret"] {
        let error = files.read(name, 10).unwrap_err();
        assert!(error.to_string().contains("leads out of the bento"), "{error}");
    }
    for name in ["../x", "/etc/passwd", "S/../../x"] {
        assert!(matches!(files.read(name, 10), Err(BundleError::UnsafeName { .. })), "{name}");
        assert!(!files.contains(name));
    }
    assert_eq!(files.list("inner").unwrap(), ["inner/file", "inner/loop"]);
    fs::remove_file(&entry).unwrap();
    symlink("real.py", &entry).unwrap();
    assert_eq!(files.read_text("S/s.py", 10).unwrap(), "x = 1");
    assert!(matches!(files.read("S/s.py", 4), Err(BundleError::TooLarge { .. })));
    assert!(files.read("inner/loop", 10).is_err());
}

#[test]
fn text_must_be_utf_8() {
    let dir = folder(&[("a", "\u{feff}ok")]);
    fs::write(dir.path().join("b"), b"ab\xff").unwrap();
    let files = Files::directory(dir.path()).unwrap();
    assert_eq!(files.read_text("a", 10).unwrap(), "ok");
    assert!(matches!(files.read_text("b", 10), Err(BundleError::NotUtf8 { offset: 2, .. })));
}

#[test]
fn hostile_archives_are_refused_and_write_nothing() {
    let mut seen = 0;
    for entry in fs::read_dir(fixture("../hostile")).unwrap() {
        let folder = entry.unwrap().path();
        let case: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
        let name = case["input"].as_str().unwrap();
        if !name.ends_with(".bento") {
            continue;
        }
        seen += 1;
        let before = fs::read_dir(&folder).unwrap().count();
        let result = Bundle::open(&folder.join(name), None);
        assert!(result.is_err(), "{}", folder.display());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), before);
    }
    assert!(seen >= 10, "{seen}");
}
