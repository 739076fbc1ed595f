//! BentoML 1.x: bentos (`bento.yaml`), and models (`model.yaml`) by themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{ApiDecl, Interface, ModelFile};
use super::error::BundleError;
use super::files::{Files, MANIFEST_LIMIT, MODEL_LIMIT, normal_name};
use super::format::ModelFormat;
use super::store::is_part;
use super::{Bundle, EntryPoint, Generation, Provenance, legacy, schema, yaml};

/// A bento's manifest.
pub(super) const MANIFEST: &str = "bento.yaml";
/// A model's manifest.
pub(super) const MODEL_MANIFEST: &str = "model.yaml";

/// Where user code is.
const SOURCE_ROOT: &str = "src";

#[derive(Deserialize)]
struct Manifest {
    service: String,
    name: String,
    version: String,
    #[serde(default)]
    bentoml_version: Option<String>,
    #[serde(default)]
    creation_time: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    models: Option<Vec<ModelReference>>,
    #[serde(default)]
    entry_service: Option<String>,
    #[serde(default)]
    services: Option<Vec<Service>>,
    #[serde(default)]
    schema: Option<Value>,
    #[serde(default)]
    apis: Option<Vec<legacy::Listed>>,
    #[serde(default)]
    python: Option<Python>,
    #[serde(default)]
    docker: Option<Docker>,
    #[serde(default = "first_spec")]
    spec: u32,
    #[serde(default)]
    image: Option<Image>,
}

/// Bentos from before the key existed are of the first kind.
fn first_spec() -> u32 {
    1
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    models: Option<Vec<ModelReference>>,
}

#[derive(Deserialize)]
struct ModelReference {
    tag: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(default)]
    python_version: Option<String>,
    #[serde(default)]
    python_requirements: Option<String>,
}

/// What a manifest of the first kind says about Python.
#[derive(Deserialize)]
struct Python {
    #[serde(default)]
    packages: Option<Vec<String>>,
}

/// What a manifest of the first kind says about its image.
#[derive(Deserialize)]
struct Docker {
    #[serde(default)]
    python_version: Option<String>,
}

#[derive(Deserialize)]
struct Route {
    name: String,
    route: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    batchable: bool,
    input: Value,
    output: Value,
    #[serde(default)]
    is_task: bool,
}

#[derive(Deserialize)]
struct ModelManifest {
    name: String,
    version: String,
    module: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
    #[serde(default)]
    signatures: Option<Map<String, Value>>,
    #[serde(default)]
    context: Option<Context>,
    #[serde(default)]
    creation_time: Option<String>,
}

#[derive(Deserialize)]
struct Context {
    #[serde(default)]
    framework_versions: Option<BTreeMap<String, String>>,
    #[serde(default)]
    bentoml_version: Option<String>,
    #[serde(default)]
    python_version: Option<String>,
}

/// Reads a bento. Models that it does not hold are looked for in `stores`, directories with BentoML's layout of models.
pub(super) fn open(files: Files, stores: &[Files]) -> Result<Bundle, BundleError> {
    let mut manifest: Manifest = yaml::read(&files, MANIFEST)?;
    if !(1..=2).contains(&manifest.spec) {
        let problem = format!("is {}; this version reads bentos of the specs 1 and 2", manifest.spec);
        return Err(BundleError::Key { file: files.describe(MANIFEST), key: "spec".to_owned(), problem });
    }
    let entry = entry_point(&files, &manifest)?;
    let (apis, documented) = match manifest.spec {
        1 => (legacy::apis(&files, manifest.apis.take().unwrap_or_default())?, None),
        _ => apis(&files, manifest.schema.as_ref())?,
    };
    let mut models = Vec::new();
    for tag in model_tags(&manifest) {
        models.push(model_of_tag(&files, stores, &tag)?.0);
    }
    let image = manifest.image.unwrap_or_else(|| {
        let packages = manifest.python.and_then(|python| python.packages);
        let python_version = manifest.docker.and_then(|docker| docker.python_version);
        Image { python_version, python_requirements: packages.map(|packages| packages.join("\n")) }
    });
    let requirements = match image.python_requirements {
        Some(text) => text,
        None if files.contains("env/python/requirements.txt") => {
            files.read_text("env/python/requirements.txt", MANIFEST_LIMIT)?
        }
        None => String::new(),
    };
    let mut frameworks = BTreeMap::new();
    for model in &models {
        frameworks.extend(model.frameworks.clone());
    }
    let sources = sources(&files)?;
    Ok(Bundle {
        generation: Generation::V1,
        service: documented.unwrap_or(manifest.name),
        version: Some(manifest.version),
        entry: Some(entry),
        apis,
        models,
        sources,
        provenance: Provenance {
            bentoml_version: manifest.bentoml_version,
            python_version: image.python_version,
            created: manifest.creation_time,
            labels: plain_labels(manifest.labels),
            pip_packages: super::requirement_lines(&requirements),
            frameworks,
        },
        schema: manifest.schema.filter(|_| manifest.spec == 2),
        source_root: SOURCE_ROOT.to_owned(),
        folder: None,
        files,
    })
}

/// Reads a model directory or archive by itself.
pub(super) fn open_model(files: Files) -> Result<Bundle, BundleError> {
    let (model, manifest) = model_in(&files, "")?;
    let context =
        manifest.context.unwrap_or(Context { framework_versions: None, bentoml_version: None, python_version: None });
    Ok(Bundle {
        generation: Generation::Bare,
        service: model.name.clone(),
        version: model.version.clone(),
        entry: None,
        apis: Vec::new(),
        sources: Vec::new(),
        provenance: Provenance {
            bentoml_version: context.bentoml_version,
            python_version: context.python_version,
            created: manifest.creation_time,
            labels: model.labels.clone(),
            pip_packages: Vec::new(),
            frameworks: model.frameworks.clone(),
        },
        models: vec![model],
        schema: None,
        source_root: String::new(),
        folder: None,
        files,
    })
}

/// The file and attribute of `service: module:attribute`.
fn entry_point(files: &Files, manifest: &Manifest) -> Result<EntryPoint, BundleError> {
    let key = |problem: String| BundleError::Key { file: files.describe(MANIFEST), key: "service".to_owned(), problem };
    let (module, attribute) = match manifest.service.split_once(':') {
        Some((module, attribute)) => (module, attribute),
        None => (manifest.service.as_str(), ""),
    };
    let attribute = match (attribute, &manifest.entry_service) {
        ("", Some(name)) => name.clone(),
        ("", None) => {
            return Err(key(format!("is {:?} without `:Class`, and there is no `entry_service`", manifest.service)));
        }
        (attribute, _) => attribute.to_owned(),
    };
    let path = module.strip_suffix(".py").map_or_else(|| module.replace('.', "/"), str::to_owned);
    let path = normal_name(&path).map_err(|reason| key(reason.to_owned()))?;
    let candidates = [format!("{path}.py"), format!("{path}/__init__.py")];
    match candidates.iter().find(|file| files.contains(&format!("{SOURCE_ROOT}/{file}"))) {
        Some(file) => Ok(EntryPoint { file: file.clone(), attribute }),
        None => Err(BundleError::MissingFile {
            bento: files.label().to_owned(),
            file: format!("{SOURCE_ROOT}/{}", candidates[0]),
            advice: "The manifest's `service` names it; build the bento again with its source included".to_owned(),
        }),
    }
}

/// The APIs of the schema, and the service's own name.
fn apis(files: &Files, schema: Option<&Value>) -> Result<(Vec<ApiDecl>, Option<String>), BundleError> {
    let key = |key: String, problem: String| BundleError::Key { file: files.describe(MANIFEST), key, problem };
    let Some(schema) = schema else {
        return Err(key("schema".to_owned(), "is missing; build the bento again with BentoML 1.2 or later".to_owned()));
    };
    let routes = schema.get("routes").and_then(Value::as_array);
    let routes =
        routes.ok_or_else(|| key("schema.routes".to_owned(), "is no list; build the bento again".to_owned()))?;
    let mut apis = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let at = format!("schema.routes[{index}]");
        let route =
            Route::deserialize(route).map_err(|error| key(at.clone(), format!("is not understood: {error}")))?;
        let (parameters, root_input) = schema::parameters(&route.input).map_err(|problem| key(at, problem))?;
        let stream = route.output.get("is_stream").and_then(Value::as_bool).unwrap_or(false);
        let media_type = route.output.get("media_type").and_then(Value::as_str).unwrap_or("text/event-stream");
        apis.push(ApiDecl {
            name: route.name,
            route: route.route.trim_start_matches('/').to_owned(),
            docs: route.description,
            interface: Interface::V1 {
                batchable: route.batchable,
                parameters,
                root_input,
                output: schema::value(&route.output),
                stream: stream.then(|| media_type.to_owned()),
                is_task: route.is_task,
            },
        });
    }
    let name = schema.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok((apis, name))
}

/// Tags of all models, each once: the build file's are listed at the top, those that classes refer to only under `services`.
fn model_tags(manifest: &Manifest) -> Vec<String> {
    let top = manifest.models.iter().flatten();
    let of_services = manifest.services.iter().flatten().flat_map(|service| service.models.iter().flatten());
    let mut seen = BTreeSet::new();
    top.chain(of_services).filter(|model| seen.insert(model.tag.clone())).map(|model| model.tag.clone()).collect()
}

fn model_of_tag(files: &Files, stores: &[Files], tag: &str) -> Result<(ModelFile, ModelManifest), BundleError> {
    let (name, version) = tag.split_once(':').unwrap_or((tag, "latest"));
    if !is_part(name) || !is_part(version) {
        let problem = format!("has the tag {tag:?}, which is not `name:version`");
        return Err(BundleError::Key { file: files.describe(MANIFEST), key: "models".to_owned(), problem });
    }
    let elsewhere = stores.iter().map(|store| (store, name.to_owned()));
    for (place, folder) in std::iter::once((files, format!("models/{name}"))).chain(elsewhere) {
        let latest = format!("{folder}/latest");
        let version = match version {
            "latest" if place.contains(&latest) => place.read_text(&latest, MANIFEST_LIMIT)?.trim().to_owned(),
            version => version.to_owned(),
        };
        let folder = format!("{folder}/{version}");
        if is_part(&version) && place.contains(&format!("{folder}/{MODEL_MANIFEST}")) {
            return model_in(place, &folder);
        }
    }
    Err(BundleError::MissingFile {
        bento: files.label().to_owned(),
        file: format!("models/{name}/{version}/{MODEL_MANIFEST}"),
        advice: format!(
            "Its model {tag} is elsewhere: `bentoml export` the bento, or name the directory of models with --store"
        ),
    })
}

/// The model in `folder` (`""` is the root).
fn model_in(files: &Files, folder: &str) -> Result<(ModelFile, ModelManifest), BundleError> {
    let at = |name: &str| {
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    };
    let mut manifest: ModelManifest = yaml::read(files, &at(MODEL_MANIFEST))?;
    let names: Vec<String> = files.list(folder)?.into_iter().filter(|name| *name != at(MODEL_MANIFEST)).collect();
    let Some(main) = main_file(&names, &at).or(of_known_format(files, &names)?) else {
        return Err(BundleError::MissingFile {
            bento: files.label().to_owned(),
            file: at("saved_model.*"),
            advice: format!("The model {}:{} has no model file; export it again", manifest.name, manifest.version),
        });
    };
    let format = ModelFormat::of(&files.read(&main, MODEL_LIMIT)?);
    let model = ModelFile {
        name: manifest.name.clone(),
        version: Some(manifest.version.clone()),
        kind: manifest.module.clone(),
        format,
        main,
        files: names,
        options: manifest.options.take().unwrap_or_default(),
        labels: plain_labels(manifest.labels.take()),
        methods: manifest.signatures.take().unwrap_or_default().into_iter().map(|(name, _)| name).collect(),
        frameworks: manifest.context.as_mut().and_then(|context| context.framework_versions.take()).unwrap_or_default(),
        store: files.clone(),
    };
    Ok((model, manifest))
}

/// The file that holds the model: `saved_model.*` in all modules but Keras, whose directory format has its weights beside `config.json`;
/// else the only file there is besides custom objects.
fn main_file(names: &[String], at: &dyn Fn(&str) -> String) -> Option<String> {
    let stem = at("saved_model.");
    let saved = names.iter().find(|name| name.starts_with(&stem) && !name[stem.len()..].contains('/'));
    let weights = || names.iter().find(|name| **name == at("model.weights.h5"));
    let only = || {
        let mut others = names.iter().filter(|name| **name != at("custom_objects.pkl"));
        others.next().filter(|_| others.next().is_none())
    };
    saved.or_else(weights).or_else(only).cloned()
}

/// Of several files that `bentoml.models.create` was given, the first that is a model, or else the first.
fn of_known_format(files: &Files, names: &[String]) -> Result<Option<String>, BundleError> {
    for name in names {
        let is_model = !matches!(
            ModelFormat::of(&files.read(name, MODEL_LIMIT)?),
            ModelFormat::Unknown | ModelFormat::Json | ModelFormat::Zip
        );
        if is_model {
            return Ok(Some(name.clone()));
        }
    }
    Ok(names.first().cloned())
}

fn plain_labels(labels: Option<BTreeMap<String, Option<String>>>) -> BTreeMap<String, String> {
    labels.unwrap_or_default().into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
}

/// Python files below `src/`, relative to it.
fn sources(files: &Files) -> Result<Vec<String>, BundleError> {
    let names = files.list(SOURCE_ROOT)?;
    let relative = names.iter().filter_map(|name| name.strip_prefix(SOURCE_ROOT)?.strip_prefix('/'));
    Ok(relative.filter(|name| name.ends_with(".py")).map(str::to_owned).collect())
}
