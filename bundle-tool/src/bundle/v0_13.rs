//! BentoML 0.13 bundles: `bentoml.yml` at the root, sources and artifacts in a directory named after the service.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{ApiDecl, ImageOptions, InputAdapter, Interface, ModelFile, OutputAdapter};
use super::error::BundleError;
use super::files::{Files, MANIFEST_LIMIT, MODEL_LIMIT, SOURCE_LIMIT, normal_name};
use super::format::ModelFormat;
use super::{Bundle, EntryPoint, Generation, Provenance, yaml};

/// The manifest's name.
pub(super) const MANIFEST: &str = "bentoml.yml";

/// Server defaults of BentoML 0.13.
const DEFAULT_MAX_BATCH_SIZE: u32 = 4000;
const DEFAULT_MAX_LATENCY_MS: u32 = 20_000;

#[derive(Deserialize)]
struct Manifest {
    version: String,
    metadata: Metadata,
    #[serde(default)]
    env: Option<Env>,
    #[serde(default)]
    apis: Option<Vec<Api>>,
    #[serde(default)]
    artifacts: Option<Vec<Artifact>>,
}

#[derive(Deserialize)]
struct Metadata {
    service_name: String,
    service_version: String,
    module_file: String,
    #[serde(default)]
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Env {
    #[serde(default)]
    pip_packages: Option<Vec<String>>,
    #[serde(default)]
    requirements_txt: Option<String>,
    #[serde(default)]
    python_version: Option<String>,
}

#[derive(Deserialize)]
struct Api {
    name: String,
    #[serde(default)]
    docs: Option<String>,
    #[serde(alias = "handler_type")]
    input_type: String,
    #[serde(default)]
    output_type: Option<String>,
    #[serde(default)]
    mb_max_batch_size: Option<u32>,
    #[serde(default)]
    mb_max_latency: Option<u32>,
    #[serde(default)]
    batch: bool,
    #[serde(default)]
    route: Option<String>,
    #[serde(default, alias = "handler_config")]
    input_config: Option<Map<String, Value>>,
    #[serde(default)]
    output_config: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    artifact_type: String,
}

/// Reads a bundle.
pub(super) fn open(files: Files) -> Result<Bundle, BundleError> {
    let manifest: Manifest = yaml::read(&files, MANIFEST)?;
    let key =
        |key: &str, problem: String| BundleError::Key { file: files.describe(MANIFEST), key: key.to_owned(), problem };
    if !manifest.version.starts_with("0.") {
        let problem = format!(
            "is {}; this layout belongs to BentoML 0.x. Give the bento as BentoML {0} wrote it",
            manifest.version
        );
        return Err(key("version", problem));
    }
    let Metadata { service_name, service_version, module_file, created_at } = manifest.metadata;
    if service_name.contains('/') || normal_name(&service_name).as_deref() != Ok(service_name.as_str()) {
        return Err(key("metadata.service_name", format!("is {service_name:?}, which is no directory name")));
    }
    let module = normal_name(&module_file).map_err(|reason| key("metadata.module_file", reason.to_owned()))?;
    let source_root = service_name.clone();
    let entry_file = format!("{source_root}/{module}");
    if !files.contains(&entry_file) {
        let advice = "metadata.module_file names it; save the bundle again".to_owned();
        return Err(BundleError::MissingFile { bento: files.label().to_owned(), file: entry_file, advice });
    }
    let apis = manifest.apis.unwrap_or_default().into_iter().map(api).collect();
    let pip_packages = pip_packages(&files, manifest.env.as_ref())?;
    let frameworks = pinned(&pip_packages);
    let artifacts = manifest.artifacts.unwrap_or_default();
    let folder = format!("{source_root}/artifacts");
    let present = files.list(&folder)?;
    let models = artifacts
        .iter()
        .map(|artifact| model(&files, &folder, &present, artifact, &artifacts, &frameworks))
        .collect::<Result<Vec<_>, _>>()?;
    let sources = sources(&files, &source_root)?;
    Ok(Bundle {
        generation: Generation::V0_13,
        service: service_name.clone(),
        version: Some(service_version),
        entry: Some(EntryPoint { file: module, attribute: service_name }),
        apis,
        models,
        sources,
        provenance: Provenance {
            bentoml_version: Some(manifest.version),
            python_version: manifest.env.and_then(|env| env.python_version),
            created: created_at,
            labels: BTreeMap::new(),
            pip_packages,
            frameworks,
        },
        schema: None,
        source_root,
        folder: None,
        files,
    })
}

fn api(api: Api) -> ApiDecl {
    let route = api.route.unwrap_or_else(|| api.name.clone());
    ApiDecl {
        route: route.trim_start_matches('/').to_owned(),
        name: api.name,
        docs: api.docs,
        interface: Interface::V0_13 {
            input: input_adapter(api.input_type, api.input_config.unwrap_or_default()),
            output: output_adapter(api.output_type.unwrap_or_default(), api.output_config.unwrap_or_default()),
            batch: api.batch,
            max_batch_size: api.mb_max_batch_size.unwrap_or(DEFAULT_MAX_BATCH_SIZE),
            max_latency_ms: api.mb_max_latency.unwrap_or(DEFAULT_MAX_LATENCY_MS),
        },
    }
}

fn input_adapter(class: String, config: Map<String, Value>) -> InputAdapter {
    let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
    let names = || texts(config.get("input_names"));
    let image = || {
        // BentoML writes a set here, in random order.
        let mut formats = texts(config.get("accept_image_formats"));
        formats.sort_unstable();
        ImageOptions { formats, pilmode: text("pilmode").unwrap_or_else(|| "RGB".to_owned()) }
    };
    match class.as_str() {
        "DataframeInput" => InputAdapter::Dataframe {
            orient: text("orient"),
            typ: text("typ").unwrap_or_else(|| "frame".to_owned()),
            dtype: dtypes(config.get("dtype")),
        },
        "JsonInput" => InputAdapter::Json,
        "StringInput" => InputAdapter::Text,
        "TfTensorInput" => InputAdapter::TfTensor,
        "ImageInput" => InputAdapter::Image(image()),
        "MultiImageInput" => InputAdapter::MultiImage { names: names(), image: image() },
        "AnnotatedImageInput" => InputAdapter::AnnotatedImage(image()),
        "FileInput" => InputAdapter::File,
        "MultiFileInput" => InputAdapter::MultiFile { names: names() },
        _ => InputAdapter::Other { class, config },
    }
}

fn output_adapter(class: String, config: Map<String, Value>) -> OutputAdapter {
    match class.as_str() {
        "" | "DefaultOutput" => OutputAdapter::Default,
        "JsonOutput" => OutputAdapter::Json,
        "DataframeOutput" => OutputAdapter::Dataframe {
            orient: config.get("output_orient").and_then(Value::as_str).unwrap_or("records").to_owned(),
        },
        "TfTensorOutput" => OutputAdapter::TfTensor,
        _ => OutputAdapter::Other { class, config },
    }
}

/// The texts of a list; other values of the list are left out.
fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Declared dtypes: a map by column, or one dtype for all columns under the name `*`.
fn dtypes(declared: Option<&Value>) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match declared {
        Some(Value::Object(columns)) => columns.iter().map(|(column, dtype)| (column.clone(), text(dtype))).collect(),
        Some(Value::String(dtype)) => vec![("*".to_owned(), dtype.clone())],
        _ => Vec::new(),
    }
}

/// The pip requirements, from the manifest's list or its copy of requirements.txt.
fn pip_packages(files: &Files, env: Option<&Env>) -> Result<Vec<String>, BundleError> {
    let text = match env {
        Some(Env { pip_packages: Some(packages), .. }) => return Ok(packages.clone()),
        Some(Env { requirements_txt: Some(text), .. }) => text.clone(),
        _ if files.contains("requirements.txt") => files.read_text("requirements.txt", MANIFEST_LIMIT)?,
        _ => return Ok(Vec::new()),
    };
    Ok(super::requirement_lines(&text))
}

/// Packages that are pinned to one version.
fn pinned(packages: &[String]) -> BTreeMap<String, String> {
    packages
        .iter()
        .filter_map(|line| line.split_once("=="))
        .map(|(name, version)| (name.trim().to_owned(), version.trim().to_owned()))
        .collect()
}

/// What BentoML 0.13 appends to an artifact's name, by artifact class; the first is the file that holds the model.
fn suffixes(class: &str) -> &'static [&'static str] {
    match class {
        "SklearnModelArtifact" | "PickleArtifact" | "FastaiModelArtifact" | "FastaiV2ModelArtifact" => &[".pkl"],
        "XgboostModelArtifact" => &[".model"],
        "LightGBMModelArtifact" | "TextFileArtifact" => &[".txt"],
        "OnnxModelArtifact" => &[".onnx"],
        "PytorchModelArtifact" => &[".pt"],
        "JSONArtifact" => &[".json"],
        "CatBoostModelArtifact" | "CatboostModelArtifact" => &[".cbm"],
        "H2oModelArtifact" => &[""],
        "TensorflowSavedModelArtifact" => &["_saved_model/saved_model.pb", "_saved_model/"],
        "KerasModelArtifact" => {
            &[".h5", "_json.json", "_weights.hdf5", "_keras_module_name.txt", "_custom_objects.pkl"]
        }
        _ => &[],
    }
}

/// Finds an artifact's files. The manifest does not name them, and a class may let the user choose the extension: files with the
/// class's own names come first, else whatever begins with the artifact's name and a dot or underscore.
fn model(
    files: &Files,
    folder: &str,
    present: &[String],
    artifact: &Artifact,
    all: &[Artifact],
    frameworks: &BTreeMap<String, String>,
) -> Result<ModelFile, BundleError> {
    let base = format!("{folder}/{}", artifact.name);
    let mut found: Vec<String> = Vec::new();
    for suffix in suffixes(&artifact.artifact_type) {
        let wanted = format!("{base}{suffix}");
        let matches = |name: &&String| {
            if suffix.ends_with('/') { name.starts_with(&wanted) } else { **name == wanted }
        };
        for name in present.iter().filter(matches) {
            if !found.contains(name) && !is_filler(files, name)? {
                found.push(name.clone());
            }
        }
    }
    if found.is_empty() {
        let longer = |name: &str| {
            all.iter().any(|other| other.name.len() > artifact.name.len() && belongs(name, folder, &other.name))
        };
        for name in present.iter().filter(|name| belongs(name, folder, &artifact.name) && !longer(name)) {
            if **name != format!("{base}.yml") && !is_filler(files, name)? {
                found.push(name.clone());
            }
        }
    }
    let Some(main) = found.first().cloned() else {
        let advice = format!(
            "The artifact {:?} of type {} has no file there; save the bundle again",
            artifact.name, artifact.artifact_type
        );
        return Err(BundleError::MissingFile { bento: files.label().to_owned(), file: format!("{base}*"), advice });
    };
    let format = ModelFormat::of(&files.read(&main, MODEL_LIMIT)?);
    Ok(ModelFile {
        name: artifact.name.clone(),
        version: None,
        kind: artifact.artifact_type.clone(),
        format,
        main,
        files: found,
        options: Map::new(),
        methods: Vec::new(),
        labels: BTreeMap::new(),
        frameworks: frameworks.clone(),
        store: files.clone(),
    })
}

/// Whether the file `name` is `folder/artifact`, or continues that with a dot or an underscore.
fn belongs(name: &str, folder: &str, artifact: &str) -> bool {
    let rest =
        name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).and_then(|rest| rest.strip_prefix(artifact));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_', '/']))
}

/// Whether `name` is one of the empty `__init__.py` that the bundler drops into every directory.
fn is_filler(files: &Files, name: &str) -> Result<bool, BundleError> {
    Ok(name.ends_with("/__init__.py") && files.read(name, SOURCE_LIMIT)?.is_empty())
}

/// The service's own Python files, relative to `root`: not the generated loader, not the fillers, not what artifacts hold.
fn sources(files: &Files, root: &str) -> Result<Vec<String>, BundleError> {
    let mut sources = Vec::new();
    for name in files.list(root)? {
        let Some(relative) = name.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        if relative.ends_with(".py")
            && relative != "__init__.py"
            && !relative.starts_with("artifacts/")
            && !is_filler(files, &name)?
        {
            sources.push(relative.to_owned());
        }
    }
    Ok(sources)
}
