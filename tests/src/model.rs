//! Runs models as devices do: lowered, planned, written, loaded, executed.

use ekiben::frontend::Model;
use ekiben::graph::{AlignedBytes, Graph};
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::tensor::View;
use ekiben_runtime::{Artifact, DType, Executor, TensorSpec};

use crate::case::{Elements, Tensor};

/// An artifact with one API for each method of a model.
pub struct Compiled {
    bytes: AlignedBytes,
}

impl Compiled {
    /// Compiles every method of `model`. Panics with the method and the error where one cannot be compiled.
    pub fn of(model: &dyn Model) -> Self {
        Self::with_types(model, &[])
    }

    /// As [`Compiled::of`], with other element types for the first inputs.
    pub fn with_types(model: &dyn Model, dtypes: &[DType]) -> Self {
        let lowered = |method: &&'static str| {
            let mut graph = Graph::new();
            let mut inputs = model.inputs();
            for (input, &dtype) in inputs.iter_mut().zip(dtypes) {
                input.spec = input.spec.with_dtype(dtype);
            }
            let inputs: Vec<_> = inputs.iter().map(|i| graph.add_input(&i.name, i.spec)).collect();
            let outputs = model.call(&mut graph, method, &inputs).unwrap_or_else(|e| panic!("{method}: {e}"));
            for output in &outputs {
                graph.rename(output.tensor, &output.name);
                graph.add_output(output.tensor);
            }
            let arena = plan(&graph).unwrap_or_else(|e| panic!("{method}: {e}"));
            (*method, graph, arena)
        };
        let lowered: Vec<_> = model.methods().iter().map(lowered).collect();
        let apis = lowered.iter().map(|(name, graph, plan)| PlannedApi { name, graph, plan });
        let parts = artifact_parts(&apis.collect::<Vec<_>>());
        Self { bytes: AlignedBytes::from(emit(&parts).expect("an artifact").as_slice()) }
    }

    /// What `method` gives for `inputs` of `rows` rows. Outputs are named as in the model; categories become texts.
    pub fn run(&self, method: &str, rows: usize, inputs: &[Tensor]) -> Vec<Tensor> {
        let artifact = Artifact::parse(self.bytes.as_slice()).unwrap_or_else(|e| panic!("{method}: {e}"));
        let index = artifact.api_index(method).unwrap_or_else(|| panic!("no method {method}"));
        let api = artifact.api(index).expect("the API");
        let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(index, rows).expect("an arena"));
        let mut executor = Executor::new(&artifact, index, rows, arena.as_mut_slice()).expect("an executor");
        for (position, input) in inputs.iter().enumerate() {
            let view = executor.input_view(position).expect("an input");
            let bytes = match &input.elements {
                // A number is none of a column's categories.
                Elements::Bytes(_) if view.spec.table.is_some() => DType::UNKNOWN_CATEGORY.to_le_bytes().repeat(rows),
                Elements::Bytes(bytes) => {
                    let (spec, dims) = (view.spec, &view.dims[..]);
                    assert_eq!((spec.dtype, dims), (input.dtype, &input.shape[..]), "{method}: input {position}");
                    bytes.clone()
                }
                Elements::Texts(texts) => encoded(&artifact, view.spec, texts, view.bytes.len()),
            };
            view.bytes.copy_from_slice(&bytes);
        }
        executor.run().unwrap_or_else(|e| panic!("{method}: {e}"));
        let output = |position: usize| {
            let record = artifact.api_output(&api, position).expect("an output");
            let name = record.name.and_then(|name| artifact.strings().get(name)).expect("a name");
            tensor(&artifact, name, &executor.output_view(position).expect("an output"))
        };
        (0..api.outputs.into()).map(output).collect()
    }
}

/// Texts as the elements of an input of `bytes` bytes: categories by the input's table, or bytes with zeros after them.
fn encoded(artifact: &Artifact<'_>, spec: TensorSpec, texts: &[String], bytes: usize) -> Vec<u8> {
    let width = bytes / texts.len().max(1);
    let text = |text: &String| match spec.table {
        Some(table) => {
            let strings = artifact.strings();
            let mut codes = 0..strings.list_len(table).unwrap_or(0);
            let code = codes.find(|&code| strings.list_item(table, code) == Some(text));
            code.unwrap_or(DType::UNKNOWN_CATEGORY).to_le_bytes().to_vec()
        }
        None => {
            assert!(spec.dtype == DType::Text && text.len() <= width, "{text:?} for an input of {}", spec.dtype);
            let mut padded = text.clone().into_bytes();
            padded.resize(width, 0);
            padded
        }
    };
    texts.iter().flat_map(text).collect()
}

/// The tensor that `view` shows.
fn tensor(artifact: &Artifact<'_>, name: &str, view: &View<'_>) -> Tensor {
    let shape = view.dims.to_vec();
    let name = name.to_owned();
    let Some(table) = view.spec.table else {
        return Tensor { name, dtype: view.spec.dtype, shape, elements: Elements::Bytes(view.bytes.to_vec()) };
    };
    let codes = view.as_slice::<u32>().expect("categories");
    let text = |&code: &u32| artifact.strings().list_item(table, code).expect("a known category").to_owned();
    Tensor { name, dtype: DType::Text, shape, elements: Elements::Texts(codes.iter().map(text).collect()) }
}

/// Row `row` of a tensor whose first axis are rows.
pub fn row(tensor: &Tensor, row: usize) -> Tensor {
    let rows = tensor.shape[0];
    let elements = match &tensor.elements {
        Elements::Bytes(bytes) => Elements::Bytes(bytes.chunks_exact(bytes.len() / rows).nth(row).unwrap().to_vec()),
        Elements::Texts(texts) => Elements::Texts(texts.chunks_exact(texts.len() / rows).nth(row).unwrap().to_vec()),
    };
    let shape = std::iter::once(1).chain(tensor.shape[1..].iter().copied()).collect();
    Tensor { name: tensor.name.clone(), dtype: tensor.dtype, shape, elements }
}
