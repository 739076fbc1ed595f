//! Weights that a model keeps in files beside it.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use crate::frontend::{Blocker, FrontendError, ReadBeside};

/// How often the bytes of the files may be used in all: tensors may share them.
const MAX_USES: u64 = 4;

/// True when the values of a tensor are in another file.
pub(super) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty()
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

/// Calls `visit` for every stored tensor of a graph and of its bodies.
fn each_tensor(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut TensorProto)) {
    graph.initializer.iter_mut().for_each(&mut *visit);
    for sparse in &mut graph.sparse_initializer {
        sparse.values.iter_mut().chain(&mut sparse.indices).for_each(&mut *visit);
    }
    for attribute in graph.node.iter_mut().flat_map(|node: &mut NodeProto| &mut node.attribute) {
        attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(&mut *visit);
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|body| each_tensor(body, visit));
    }
}

/// Names of the files that hold a graph's values, each once.
pub(super) fn files(graph: &mut GraphProto) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    each_tensor(graph, &mut |tensor| {
        if let Some(file) = entry(tensor, "location").filter(|_| is_external(tensor))
            && files.iter().all(|known| known != file)
        {
            files.push(file.to_owned());
        }
    });
    files
}

/// Puts the values into the tensors.
///
/// # Errors
/// [`FrontendError::Unsupported`] with every tensor whose values cannot be read.
pub(super) fn load(graph: &mut GraphProto, beside: &ReadBeside<'_>) -> Result<(), FrontendError> {
    let files: HashMap<_, _> = files(graph).into_iter().map(|name| (name.clone(), beside(&name))).collect();
    let bytes = files.values().flatten().map(|bytes| bytes.len() as u64).fold(0, u64::saturating_add);
    let mut left = bytes.saturating_mul(MAX_USES);
    let mut blockers = Vec::new();
    each_tensor(graph, &mut |tensor| {
        if is_external(tensor)
            && let Err(reason) = fill(tensor, &files, &mut left)
        {
            blockers.push(Blocker { node: tensor.name.clone(), operator: "initializer".to_owned(), reason });
        }
    });
    if blockers.is_empty() { Ok(()) } else { Err(FrontendError::Unsupported(blockers)) }
}

fn fill(
    tensor: &mut TensorProto,
    files: &HashMap<String, Result<Vec<u8>, String>>,
    left: &mut u64,
) -> Result<(), String> {
    let location = entry(tensor, "location").ok_or("its external data has no location")?;
    let number = |key: &str| match entry(tensor, key) {
        None => Ok(None),
        Some(text) => {
            text.parse::<usize>().map(Some).map_err(|_| format!("the {key} of its external data is {text:?}"))
        }
    };
    let bytes = files.get(location).ok_or("its file is missing")?.as_ref().map_err(String::clone)?;
    let offset = number("offset")?.unwrap_or(0);
    let rest = bytes.get(offset..).unwrap_or_default();
    let length = number("length")?.unwrap_or(rest.len());
    let values = rest.get(..length).ok_or_else(|| {
        format!(
            "its {length} bytes from {offset} on are beyond the end of {location:?}, which has {} bytes",
            bytes.len()
        )
    })?;
    *left = left.checked_sub(length as u64).ok_or("tensors share the bytes of files too often")?;
    tensor.raw_data = values.to_vec();
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}
