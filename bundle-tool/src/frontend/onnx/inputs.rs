//! What a model takes: types and shapes of its inputs, with the lengths that the user gives for what the file leaves open.
//!
//! The batch is what stands on the first axis of an input without a stated length, and every dimension of that name. Where no first
//! axis is free, it is the only name of the lengths that are not given.

use std::collections::HashMap;

use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ValueInfoProto};

use super::tensor;
use crate::frontend::lengths::{InputLengths, Length, LengthsError, OpenNames};
use crate::frontend::{Blocker, FrontendError, ModelInput};

/// A length as the file states it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Axis {
    /// A number.
    Stated(u64),
    /// A name.
    Named(String),
    /// Nothing.
    Free,
}

/// An input as the file states it.
struct Declared<'a> {
    name: &'a str,
    dtype: DType,
    /// `None` where not even the number of axes is stated.
    axes: Option<Vec<Axis>>,
}

/// The inputs that are no initializers.
fn given_inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let stored: std::collections::HashSet<_> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.iter().filter(move |input| !stored.contains(input.name.as_str()))
}

fn axes(input: &ValueInfoProto) -> Option<Vec<Axis>> {
    let Some(TypeValue::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else { return None };
    let axis = |value: &Option<Dimension>| match value {
        Some(Dimension::DimValue(length)) => u64::try_from(*length).map_or(Axis::Free, Axis::Stated),
        Some(Dimension::DimParam(name)) if !name.is_empty() => Axis::Named(name.clone()),
        _ => Axis::Free,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| axis(&dim.value)).collect())
}

fn declared(input: &ValueInfoProto) -> Result<Declared<'_>, String> {
    let Some(TypeValue::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        // Maps, which CastMap and DictVectorizer read, and sequences.
        return Err(
            "it is not a tensor: in the place of a map, give the model a tensor with a column for each key".to_owned()
        );
    };
    let dtype = match tensor::dtype(tensor.elem_type)? {
        // Texts enter as categories: positions among those that the model knows, see `lowering`.
        DType::Text => DType::Category,
        dtype => dtype,
    };
    Ok(Declared { name: &input.name, dtype, axes: axes(input) })
}

/// Names that lengths and shapes can be given for.
pub(super) fn open_names(graph: &GraphProto) -> OpenNames {
    let mut names = OpenNames::default();
    for input in given_inputs(graph) {
        let dims = axes(input).unwrap_or_default().into_iter().filter_map(|axis| match axis {
            Axis::Named(name) => Some(name),
            _ => None,
        });
        names.extend(OpenNames { dims: dims.collect(), inputs: vec![input.name.clone()] });
    }
    names
}

/// The model's inputs.
///
/// # Errors
/// [`FrontendError::Lengths`] when the lengths given contradict the model or each other; [`FrontendError::Unsupported`] with every
/// input whose shape is still open.
pub(super) fn read(graph: &GraphProto, lengths: &InputLengths) -> Result<Vec<ModelInput>, FrontendError> {
    let mut blockers = Vec::new();
    let block = |name: &str, reason| Blocker { node: name.to_owned(), operator: "input".to_owned(), reason };
    let mut inputs = Vec::new();
    for input in given_inputs(graph) {
        match declared(input) {
            Ok(declared) => inputs.push(declared),
            Err(reason) => blockers.push(block(&input.name, reason)),
        }
    }
    let mut known: HashMap<String, Length> = lengths.dims().map(|(name, length)| (name.to_owned(), length)).collect();
    for input in &inputs {
        if let Some(shape) = lengths.shape(input.name) {
            bind(input, shape, &mut known)?;
        }
    }
    find_batch(&inputs, lengths, &mut known);
    let mut read = Vec::new();
    for input in &inputs {
        match spec(input, lengths.shape(input.name), &known) {
            Ok(spec) => read.push(ModelInput::new(input.name, spec)),
            Err(reason) => blockers.push(block(input.name, reason)),
        }
    }
    if blockers.is_empty() { Ok(read) } else { Err(FrontendError::Unsupported(blockers)) }
}

/// Compares the shape given for an input with what the file states, and notes the lengths of its named dimensions.
fn bind(input: &Declared<'_>, shape: &[Length], known: &mut HashMap<String, Length>) -> Result<(), LengthsError> {
    let name = input.name;
    let Some(axes) = &input.axes else { return Ok(()) };
    if axes.len() != shape.len() {
        return Err(LengthsError(format!("--shape {name}: it has {} axes, not {}", axes.len(), shape.len())));
    }
    for (position, (axis, &length)) in axes.iter().zip(shape).enumerate() {
        match axis {
            Axis::Stated(stated) if length != Length::Fixed(u32::try_from(*stated).unwrap_or(0)) => {
                let reason =
                    format!("--shape {name}: the model states the length {stated} for axis {position}, not {length}");
                return Err(LengthsError(reason));
            }
            Axis::Named(dim) => {
                let before = known.insert(dim.clone(), length).filter(|&before| before != length);
                if let Some(before) = before {
                    let reason = format!("--shape {name}: axis {position} is {dim:?}, which is {before}, not {length}");
                    return Err(LengthsError(reason));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Notes which names stand for the batch.
fn find_batch(inputs: &[Declared<'_>], lengths: &InputLengths, known: &mut HashMap<String, Length>) {
    if known.values().any(|&length| length == Length::Batch) {
        return;
    }
    let open = |axis: &Axis| match axis {
        Axis::Named(name) => !known.contains_key(name),
        Axis::Free => true,
        Axis::Stated(_) => false,
    };
    // An input whose shape is given has no open axis left.
    let axes = || inputs.iter().filter(|input| lengths.shape(input.name).is_none()).flat_map(|input| &input.axes);
    let firsts: Vec<&Axis> = axes().filter_map(|axes| axes.first()).filter(|axis| open(axis)).collect();
    let all: Vec<&Axis> = axes().flatten().filter(|axis| open(axis)).collect();
    let batches = match all.iter().all(|axis| *axis == all[0]) {
        true if firsts.is_empty() => all,
        _ => firsts,
    };
    let names = batches.into_iter().filter_map(|axis| match axis {
        Axis::Named(name) => Some((name.clone(), Length::Batch)),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    known.extend(names);
}

/// Type and shape of an input.
fn spec(input: &Declared<'_>, given: Option<&[Length]>, known: &HashMap<String, Length>) -> Result<TensorSpec, String> {
    let name = input.name;
    let lengths = match (given, &input.axes) {
        (Some(given), _) => given.to_vec(),
        (None, Some(axes)) => axes
            .iter()
            .enumerate()
            .map(|(position, axis)| length(name, position, axis, known))
            .collect::<Result<_, _>>()?,
        (None, None) => return Err(format!("its number of axes is not stated. Give its shape: --shape {name}=…")),
    };
    let mut batch = None;
    let mut dims = Vec::new();
    for (axis, length) in lengths.iter().enumerate() {
        dims.push(match length {
            Length::Fixed(length) => *length as usize,
            Length::Batch if batch.replace(axis).is_some() => {
                return Err(format!("two of its axes are the batch. Give the length of one: --shape {name}=…"));
            }
            Length::Batch => 1,
        });
    }
    let shape = Shape::new(&dims, batch).map_err(|error| error.to_string())?;
    Ok(TensorSpec::new(input.dtype, shape))
}

fn length(input: &str, position: usize, axis: &Axis, known: &HashMap<String, Length>) -> Result<Length, String> {
    match axis {
        Axis::Stated(length) => {
            u32::try_from(*length).map(Length::Fixed).map_err(|_| format!("axis {position} has length {length}"))
        }
        Axis::Named(name) => known.get(name).copied().ok_or_else(|| {
            format!("the length of axis {position} ({name:?}) is not stated. Give it: --dim {name}=LENGTH")
        }),
        Axis::Free if position == 0 => Ok(Length::Batch),
        Axis::Free => Err(format!(
            "the length of axis {position} is not stated, and it has no name. Give the input's shape: --shape {input}=…, with N for the batch"
        )),
    }
}
