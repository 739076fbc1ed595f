use std::path::{Path, PathBuf};

use super::{AdapterDecl, ArtifactDecl, ServiceClass};
use crate::bundle::{Bundle, Generation, Interface, ValueSchema};
use crate::service::modules::program_of;
use crate::service::{Literal, Program, ServiceError};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// Reads the class `S` of one file, and gives what `show` makes of it.
fn read<T>(text: &str, generation: Generation, show: impl Fn(&ServiceClass<'_>) -> T) -> Result<T, String> {
    let program = program_of(&[("s.py", text)]).map_err(|error| error.to_string())?;
    ServiceClass::read(&program, generation, "S").map(|class| show(&class)).map_err(|error| error.to_string())
}

const OLD: &str = "import bentoml as b\nfrom bentoml import api, artifacts as arts, BentoService\nfrom bentoml.adapters import \
                   DataframeInput as DI, JsonOutput\nfrom bentoml.frameworks.onnx import OnnxModelArtifact as OMA\nCOLUMNS = ['x', 'y']\n";

#[test]
fn a_0_13_class_with_renamed_imports() {
    let text = OLD.to_owned()
        + "@b.env(infer_pip_packages=True)\n@arts([OMA('net', backend='onnxruntime')])\nclass S(b.BentoService):\n    '''doc'''\n    \
           K = 3\n    @api(input=DI(columns=COLUMNS, orient='records'), output=JsonOutput(), batch=True, api_name='go', route='a/b')\n    \
           def run(self, frame):\n        return 1\n    def helper(self): pass\n";
    read(&text, Generation::V0_13, |class| {
        let option = |name: &str, value: Literal| (name.to_owned(), value);
        let word = |text: &str| Literal::Text(text.to_owned());
        let artifact = ArtifactDecl {
            name: "net".into(),
            class: "OnnxModelArtifact".into(),
            options: vec![option("backend", word("onnxruntime"))],
        };
        assert_eq!(class.artifacts, [artifact]);
        let api = &class.apis[0];
        assert_eq!((api.name.as_str(), api.function.name.as_str()), ("go", "run"));
        let columns = Literal::List(vec![word("x"), word("y")]);
        let input = AdapterDecl {
            class: "DataframeInput".into(),
            options: vec![option("columns", columns), option("orient", word("records"))],
        };
        assert_eq!(api.input, Some(input));
        assert_eq!(api.output.as_ref().map(|output| output.class.as_str()), Some("JsonOutput"));
        assert!(
            api.options.contains(&option("batch", Literal::Bool(true)))
                && api.options.contains(&option("route", word("a/b")))
        );
        assert_eq!(api.parameters[0].name, "frame");
        assert!(class.methods.contains_key("helper") && class.attributes.contains_key("K"));
    })
    .unwrap();
}

#[test]
fn what_a_class_may_not_have() {
    let api = "    @api(input=DI())\n    def run(self, x): pass\n";
    let cases = [
        ("class T: pass", "`S` is not found"),
        ("S = 3", "is no service"),
        ("class S(BentoService): pass", "no method with the decorator"),
        ("class X: pass\nclass S(X):\n{api}", "base class"),
        ("class S(BentoService, metaclass=type):\n{api}", "class keywords"),
        ("def d(x): return x\n@d\nclass S(BentoService):\n{api}", "class decorator"),
        ("@arts([x for x in []])\nclass S(BentoService):\n{api}", "with a list of artifacts"),
        ("@arts(OMA('a'))\nclass S(BentoService):\n{api}", "with a list of artifacts"),
        ("@arts([OMA(3)])\nclass S(BentoService):\n{api}", "name is no text"),
        ("@arts([OMA(f())])\nclass S(BentoService):\n{api}", "no constant"),
        ("class S(BentoService):\n    for x in y: pass\n{api}", "statement in the class body"),
        ("class S(BentoService):\n    a.b = 1\n{api}", "class attribute"),
        ("class S(BentoService):\n{api}{api}", "defined twice"),
        ("class S(BentoService):\n    @api\n    def run(self, x): pass", "no `input` adapter"),
        ("class S(BentoService):\n    @api(DI())\n    def run(self, x): pass", "named arguments"),
        ("class S(BentoService):\n    @api(**{})\n    def run(self, x): pass", "`**` in arguments"),
        ("class S(BentoService):\n    @api(input=DI)\n    def run(self, x): pass", "no call of an adapter"),
        ("import me\nclass S(BentoService):\n    @api(input=me.In())\n    def run(self, x): pass", "is not BentoML's"),
        ("class S(BentoService):\n    @api(input=DI())\n    def run(): pass", "no `self`"),
        ("class S(BentoService):\n    @api(input=DI())\n    def run(self, *x): pass", "`*` and `**` parameters"),
        (
            "import f\nclass S(BentoService):\n    @f.cache\n    @api(input=DI())\n    def run(self, x): pass",
            "method decorator",
        ),
    ];
    for (text, expected) in cases {
        let text = OLD.to_owned() + &text.replace("{api}", api);
        let error = read(&text, Generation::V0_13, |_| ()).unwrap_err();
        assert!(error.contains(expected) && error.starts_with("s.py:"), "{text}: {error}");
    }
}

#[test]
fn a_1_x_class() {
    let text = "from bentoml import service, api as endpoint, models, task\nimport numpy as np\n@service\nclass S:\n    ref = models.BentoModel('x:v1')\n    \
                def __init__(self): pass\n    @endpoint\n    def a(self, x: np.ndarray, /, t: float = 0.5): pass\n    \
                @endpoint(batchable=True, route='/b')\n    def b(self, x: 'np.ndarray'): pass\n";
    read(text, Generation::V1, |class| {
        assert!(class.init.is_some() && class.attributes.contains_key("ref"));
        let names: Vec<_> = class.apis.iter().map(|api| api.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let parameters = &class.apis[0].parameters;
        assert_eq!(
            (parameters[1].name, class.schema(parameters[1].annotation.unwrap()).unwrap()),
            ("t", ValueSchema::Number)
        );
        assert!(parameters[0].default.is_none() && parameters[1].default.is_some());
    })
    .unwrap();
    let task = text.replace("@endpoint\n", "@task\n");
    read(&task, Generation::V1, |class| assert_eq!(class.apis.len(), 2)).unwrap();
    let generation = read(text, Generation::V0_13, |_| ()).unwrap_err();
    assert!(generation.contains("class decorator"), "{generation}");
}

/// Opens a fixture's bento, and loads its program.
fn load(bento: &str) -> (Bundle, Program) {
    let bundle = Bundle::open(&fixtures().join(bento), None).unwrap();
    let program = Program::load(&bundle).unwrap();
    (bundle, program)
}

#[test]
fn sources_agree_with_the_manifests_of_real_bentos() {
    for bento in [
        "bentos/v013_sklearn_iris_rf/bundle",
        "bentos/v013_onnx_iris_gb/bundle",
        "bentos/v14_sklearn_iris_rf/bundle",
        "bentos/v14_sklearn_iris_rf_archive/iris_classifier.bento",
        "bentos/v14_onnx_iris/bundle",
    ] {
        let (bundle, program) = load(bento);
        let entry = bundle.entry.as_ref().unwrap();
        let class = ServiceClass::read(&program, bundle.generation, &entry.attribute).unwrap();
        assert_eq!(class.name, bundle.service, "{bento}");
        assert_eq!(class.apis.len(), bundle.apis.len(), "{bento}");
        for api in &class.apis {
            let declared = bundle.api(&api.name).unwrap();
            if let Interface::V1 { parameters, .. } = &declared.interface {
                let of_source: Vec<_> =
                    api.parameters.iter().map(|p| (p.name, class.schema(p.annotation.unwrap()).unwrap())).collect();
                let of_manifest: Vec<_> = parameters.iter().map(|p| (p.name.as_str(), p.schema.clone())).collect();
                assert_eq!(of_source, of_manifest, "{bento} {}", api.name);
            }
        }
        for artifact in &class.artifacts {
            assert_eq!(bundle.model(&artifact.name).unwrap().kind, artifact.class);
        }
    }
}

#[test]
fn hostile_sources_are_errors() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("hostile")).unwrap() {
        let folder = entry.unwrap().path();
        for text in python_files(&folder) {
            seen += 1;
            // Too deep, or fit for the evaluator to judge: never a crash.
            if let Ok(program) = program_of(&[("s.py", &text)]) {
                for name in ["IrisClassifier", "OnnxIris"] {
                    let _: Result<_, ServiceError> = ServiceClass::read(&program, Generation::V0_13, name);
                }
            }
        }
    }
    assert!(seen > 0);
}

/// The texts of all Python files below a folder.
fn python_files(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(python_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "py") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts
}
