//! Reads the folders that `onnx_node_cases.py` writes.

use std::path::{Path, PathBuf};

use ekiben_runtime::DType;
use serde_json::Value;

/// How a case's inputs reach its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// All are given when it runs.
    AsIs,
    /// Those after the first are in the model.
    Constant,
    /// All are in the model.
    AllConstant,
}

impl Form {
    /// Those of the operators' cases.
    pub(crate) const ALL: [Self; 2] = [Self::AsIs, Self::Constant];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as is",
            Self::Constant => "constant",
            Self::AllConstant => "all constant",
        }
    }
}

/// One case.
pub(crate) struct Case {
    pub(crate) name: String,
    folder: PathBuf,
    /// The operator that it is about.
    pub(crate) operator: String,
    /// Every operator in the model.
    pub(crate) operators: Vec<String>,
    pub(crate) inputs: Vec<Value>,
    pub(crate) outputs: Vec<Value>,
}

/// A tensor of a case.
pub(crate) struct Tensor {
    /// `None` for a type that this project does not know.
    pub(crate) dtype: Option<DType>,
    pub(crate) dims: Vec<usize>,
    /// Numbers, little-endian.
    pub(crate) bytes: Vec<u8>,
    /// Texts, for [`DType::Text`].
    pub(crate) texts: Vec<String>,
}

impl Case {
    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join("case.json");
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let list = |key: &str| json[key].as_array().expect("a list").clone();
        let text = |json: &Value| json.as_str().expect("a text").to_owned();
        Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            operator: text(&json["operator"]),
            operators: list("operators").iter().map(text).collect(),
            inputs: list("inputs"),
            outputs: list("outputs"),
        }
    }

    pub(crate) fn model(&self, form: Form) -> PathBuf {
        self.folder.join(match form {
            Form::AsIs => "as_is.onnx",
            Form::Constant => "constant.onnx",
            Form::AllConstant => "all_constant.onnx",
        })
    }

    /// What an input or output is instead of a tensor.
    pub(crate) fn other_kind(&self) -> Option<&str> {
        self.inputs.iter().chain(&self.outputs).find_map(|entry| entry["kind"].as_str())
    }

    pub(crate) fn tensor(&self, entry: &Value) -> Tensor {
        let dims = entry["shape"].as_array().expect("a shape");
        let bytes = entry["file"].as_str().map_or_else(Vec::new, |file| {
            let file = self.folder.join(file);
            std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        });
        let texts = entry["texts"].as_array().map_or(&[][..], Vec::as_slice);
        Tensor {
            dtype: DType::from_name(entry["dtype"].as_str().expect("a type")),
            dims: dims.iter().map(|dim| dim.as_u64().expect("a length") as usize).collect(),
            bytes,
            texts: texts.iter().map(|text| text.as_str().expect("a text").to_owned()).collect(),
        }
    }
}
