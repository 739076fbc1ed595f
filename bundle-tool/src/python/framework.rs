//! Frameworks whose model files are code, and the scripts that export their models.

use super::process::Interpreter;
use crate::bundle::{ModelFile, ModelFormat};

/// A framework whose models only its own code reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// PyTorch: pickled modules, TorchScript, `torch.export`.
    Torch,
    /// fast.ai's learners.
    Fastai,
    /// TensorFlow's SavedModel.
    Tensorflow,
}

/// Artifact classes (0.13) and modules (1.x).
const KINDS: &[(&str, Framework)] = &[
    ("PytorchModelArtifact", Framework::Torch),
    ("PytorchLightningModelArtifact", Framework::Torch),
    ("FastaiModelArtifact", Framework::Fastai),
    ("FastaiV2ModelArtifact", Framework::Fastai),
    ("TensorflowSavedModelArtifact", Framework::Tensorflow),
    ("bentoml.pytorch", Framework::Torch),
    ("bentoml.torchscript", Framework::Torch),
    ("bentoml.pytorch_lightning", Framework::Torch),
    ("bentoml.fastai", Framework::Fastai),
    ("bentoml.tensorflow", Framework::Tensorflow),
];

/// What samples are made with; every exporter begins with it.
const SAMPLES: &str = include_str!("samples.py");

impl Framework {
    /// The framework of a model that no front-end reads as data.
    pub fn of(file: &ModelFile) -> Option<Self> {
        let named = KINDS.iter().find(|(kind, _)| *kind == file.kind).map(|(_, framework)| *framework);
        named.or(match file.format {
            ModelFormat::Torch => Some(Self::Torch),
            ModelFormat::SavedModel => Some(Self::Tensorflow),
            _ => None,
        })
    }

    /// The framework as its users call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torch => "PyTorch",
            Self::Fastai => "fast.ai",
            Self::Tensorflow => "TensorFlow",
        }
    }

    /// Its name in manifests, requests and Python.
    pub fn package(self) -> &'static str {
        match self {
            Self::Torch => "torch",
            Self::Fastai => "fastai",
            Self::Tensorflow => "tensorflow",
        }
    }

    /// What the exporter does with a model, for whoever has to allow it.
    pub fn work(self) -> &'static str {
        match self {
            Self::Torch => "load the module with PyTorch and call torch.onnx.export",
            Self::Fastai => "load the learner with fast.ai and call torch.onnx.export on its module",
            Self::Tensorflow => {
                "load the SavedModel with TensorFlow and convert it with TFLiteConverter, or else with tf2onnx"
            }
        }
    }

    /// The exporter.
    pub(super) fn script(self) -> String {
        let exporter = match self {
            Self::Torch | Self::Fastai => include_str!("export_torch.py"),
            Self::Tensorflow => include_str!("export_tensorflow.py"),
        };
        format!("{SAMPLES}\n\n{exporter}")
    }

    /// Whether the file itself says what the model's inputs are.
    pub fn states_inputs(self) -> bool {
        self == Self::Tensorflow
    }

    /// Why a model is not compiled without leave, and what would be run with it.
    pub fn refusal(self, file: &ModelFile) -> String {
        let limits = Interpreter::new("python3").limits;
        format!(
            "{} is a model of {}, whose files are code that cannot be read as data. Nothing of it was run. With --allow-python[=INTERPRETER] \
             ekiben starts that interpreter (python3) in a separate process of at most {} s and {} GiB, which would {}: that runs code of the bento",
            file.tag(),
            self.name(),
            limits.time.as_secs(),
            limits.memory >> 30,
            self.work()
        )
    }
}
