//! Golden vectors made at compile time: seeded inputs, with the outputs of the portable kernels on the graph before any pass.

use ekiben_runtime::artifact::golden::{Source, VectorHead, fill, sample_ranges};
use ekiben_runtime::artifact::{GoldenValues, GoldenVector};
use ekiben_runtime::ops::{OpError, Problem};
use ekiben_runtime::{DType, TensorSpec};

use super::CompileError;
use crate::graph::{AlignedBytes, EvaluateError, Graph, evaluate};
use crate::lowered::LoweredApi;

/// Seed of the first input; each further one adds one.
const FIRST_SEED: u64 = 0xE1B0;

/// Rows of each vector, in the order in which they are made.
const ROWS: [u32; 4] = [1, 3, 1, 1];

/// The most rows of a vector.
pub(super) fn most_rows() -> u32 {
    ROWS.into_iter().max().unwrap_or(1)
}

/// Bytes of a vector's head, of a seeded input, and of a stored input beside its values.
pub(super) const HEAD: usize = 20;
const SEEDED: usize = 28;
pub(super) const STORED: usize = 8;

/// Bytes that the vectors of an artifact of `size` bytes may take: the section's share without its count.
pub(super) fn budget(size: usize) -> usize {
    (size / 100).max(4096) - size_of::<u32>()
}

/// Bytes of a finished vector in the artifact.
pub(super) fn size(vector: &GoldenVector) -> usize {
    let inputs = vector.inputs.iter().map(|input| match input {
        GoldenValues::Stored(values) => STORED + values.len(),
        GoldenValues::Seeded(..) => SEEDED,
    });
    let outputs = vector.outputs.iter().map(|values| size_of::<u32>() + values.len());
    HEAD + inputs.chain(outputs).sum::<usize>()
}

/// At most [`ROWS`]`.len()` vectors per API that together take at most `budget` bytes.
pub(super) fn vectors(apis: &[LoweredApi], budget: usize) -> Result<Vec<GoldenVector>, CompileError> {
    let share = budget / apis.len().max(1);
    let mut vectors = Vec::new();
    for (index, api) in apis.iter().enumerate() {
        let mut left = share;
        for (variant, &batch) in ROWS.iter().enumerate() {
            let rows = if is_batched(&api.graph) { batch } else { 1 };
            let Some(cost) = cost(&api.graph, rows).filter(|&cost| cost <= left) else { continue };
            let mut made = vector(&api.graph, index as u32, rows, variant, sample_ranges);
            if made.as_ref().is_err_and(is_refused_value) {
                made = vector(&api.graph, index as u32, rows, variant, ranges_from_zero);
            }
            match made {
                Ok(vector) => vectors.push(vector),
                Err(error) if is_refused_value(&error) => continue,
                Err(error) => return Err(CompileError::Evaluate { api: api.manifest.name.clone(), error }),
            }
            left -= cost;
        }
    }
    Ok(vectors)
}

/// True when an operator refused a value: an index outside its axis, say.
fn is_refused_value(error: &EvaluateError) -> bool {
    matches!(error, EvaluateError::Node { error: OpError::Input { problem: Problem::Value, .. }, .. })
}

/// As [`sample_ranges`], with 0 for integers: an index that every axis has.
fn ranges_from_zero(dtype: DType, categories: usize) -> [(f64, f64); 4] {
    if dtype.is_integer() { [(0.0, 0.0); 4] } else { sample_ranges(dtype, categories) }
}

fn is_batched(graph: &Graph) -> bool {
    graph.inputs().iter().chain(graph.outputs()).any(|&id| graph.shape(id).is_batched())
}

fn bytes(spec: &TensorSpec, rows: u32) -> Option<usize> {
    let rows = if spec.shape.is_batched() { u64::from(rows) } else { 1 };
    usize::try_from(spec.dtype.bytes(spec.shape.elements()?.checked_mul(rows)?)?).ok()
}

/// Bytes of a vector in the artifact.
fn cost(graph: &Graph, rows: u32) -> Option<usize> {
    let inputs = graph.inputs().len().checked_mul(SEEDED)?;
    graph.outputs().iter().try_fold(HEAD.checked_add(inputs)?, |sum, &id| {
        sum.checked_add(size_of::<u32>())?.checked_add(bytes(&graph.spec(id), rows)?)
    })
}

/// A vector of seeded inputs from `ranges`.
fn vector(
    graph: &Graph,
    api: u32,
    rows: u32,
    variant: usize,
    ranges: impl Fn(DType, usize) -> [(f64, f64); 4],
) -> Result<GoldenVector, EvaluateError> {
    let (mut stored, mut values) = (Vec::new(), Vec::new());
    for (index, &id) in graph.inputs().iter().enumerate() {
        let spec = graph.spec(id);
        let categories = spec.table.map_or(0, |table| graph.tables()[table as usize].len());
        let ranges = ranges(spec.dtype, categories);
        let (low, high) = ranges[variant % ranges.len()];
        let seed = FIRST_SEED + (variant * graph.inputs().len() + index) as u64;
        let mut tensor = AlignedBytes::zeroed(bytes(&spec, rows).unwrap_or(0));
        fill(seed, low, high, spec.dtype, tensor.as_mut_slice());
        stored.push(GoldenValues::Seeded(seed, low, high));
        values.push(tensor);
    }
    let values: Vec<_> = values.iter().map(AlignedBytes::as_slice).collect();
    let outputs = evaluate(graph, rows as usize, &values)?;
    let (absolute, relative) = tolerance(graph, &outputs);
    Ok(GoldenVector {
        head: VectorHead { api, source: Source::Reference, rows, absolute, relative },
        inputs: stored,
        outputs: outputs.iter().map(|output| output.as_slice().to_vec()).collect(),
    })
}

/// Absolute and relative tolerance of float outputs: what passes may change by regrouping sums and folding factors into weights. Such a
/// change follows the largest terms of a sum, not the sum, so the absolute part grows with the outputs' range. Integers are compared
/// exactly.
pub(super) fn tolerance(graph: &Graph, outputs: &[AlignedBytes]) -> (f32, f32) {
    let narrow = |tensor: &crate::graph::Tensor| matches!(tensor.spec.dtype, DType::F16 | DType::BF16 | DType::F32);
    let (absolute, relative) = if graph.tensors().iter().any(narrow) { (1e-5, 1e-4) } else { (1e-12, 1e-9) };
    let ranges =
        graph.outputs().iter().zip(outputs).map(|(&id, output)| range(graph.spec(id).dtype, output.as_slice()));
    (absolute * ranges.fold(1.0, f32::max), relative)
}

/// The largest finite absolute value among f32 or f64; 0 for other types.
fn range(dtype: DType, bytes: &[u8]) -> f32 {
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.map(f32::abs).filter(|value| value.is_finite()).fold(0.0, f32::max)
    };
    match dtype {
        DType::F32 => largest(&mut bytemuck::cast_slice::<u8, f32>(bytes).iter().copied()),
        DType::F64 => largest(&mut bytemuck::cast_slice::<u8, f64>(bytes).iter().map(|&value| value as f32)),
        _ => 0.0,
    }
}
