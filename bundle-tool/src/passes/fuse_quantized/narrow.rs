//! Weights that stay as narrow as they are stored while the other factor is float: float16, and integers of 4 and 8 bits with scales.

use ekiben_runtime::kernels::reference::linear::{Parts, integer_at};
use ekiben_runtime::ops::block_mat_mul::BlockMatMul;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::linear_dequantize::LinearDequantize;
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::super::PassError;
use super::Pass;
use super::source::Source;
use crate::graph::{Node, TensorId};

/// A known matrix of integers of 4 or 8 bits that is dequantized, and perhaps transposed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed<'a> {
    /// The dequantizing node.
    node: &'a Node,
    op: LinearDequantize,
    transposed: bool,
}

/// Scales and zero points of a matrix `[units, K]`, row by row, and how many elements share one.
struct Rows {
    block: usize,
    /// Position of each among those of the matrix as it is stored.
    positions: Vec<usize>,
}

impl<'a> Pass<'a> {
    /// The source of a cast from a known 16-bit float.
    pub(super) fn widened(&mut self, node: &Node, op: &Cast) -> Result<Option<Source>, PassError> {
        let Some(Some(input)) = node.inputs.first().copied() else { return Ok(None) };
        let dtype = self.rewrite.old.spec(input).dtype;
        let narrow = matches!(dtype, DType::F16 | DType::BF16) && op.to == DType::F32;
        if !narrow || self.constant(input).is_none() {
            return Ok(None);
        }
        let tensor = self.rewrite.tensor(input)?;
        Ok(Some(Source { tensor, dtype, scales: vec![1.0], zeros: vec![0], axis: 0 }))
    }

    /// Remembers matrices of integers that may become the factor of a product.
    pub(super) fn pack(&mut self, node: &'a Node) {
        let Some(Some(input)) = node.inputs.first().copied() else { return };
        let packed = match &node.op {
            Op::LinearDequantize(op) => {
                let spec = self.rewrite.old.spec(input);
                let narrow = matches!(spec.dtype, DType::I4 | DType::U4 | DType::I8 | DType::U8);
                let known = node.inputs.iter().flatten().all(|&id| self.constant(id).is_some());
                let fits = narrow && known && spec.shape.rank() == 2 && op.dtype == DType::F32;
                fits.then_some(Packed { node, op: *op, transposed: false })
            }
            Op::Transpose(_) => {
                self.packed.get(&input).map(|packed| Packed { transposed: !packed.transposed, ..*packed })
            }
            _ => None,
        };
        if let Some(packed) = packed {
            self.packed.insert(node.outputs[0], packed);
        }
    }

    /// A product of floats with narrow weights.
    pub(super) fn narrow(&mut self, node: &'a Node) -> Result<Option<TensorId>, PassError> {
        let Some(Some(right)) = node.inputs.get(1).copied() else { return Ok(None) };
        if let Some(source) = self.sources.get(&right).cloned()
            && matches!(source.dtype, DType::F16 | DType::BF16)
            && !matches!(node.op, Op::BatchMatMul(_))
        {
            let mut inputs = self.new_inputs(node, 0)?;
            inputs[1] = Some(source.tensor);
            return self.add(node, node.op, &inputs, &[]).map(Some);
        }
        match (&node.op, self.packed.get(&right).copied()) {
            (Op::MatMul(op), Some(packed)) => self.block_product(node, packed, op.transpose_b),
            _ => Ok(None),
        }
    }

    fn block_product(
        &mut self,
        node: &'a Node,
        packed: Packed<'a>,
        transpose_b: bool,
    ) -> Result<Option<TensorId>, PassError> {
        let old = self.rewrite.old;
        let (Some(stored), Some(scales)) = (packed.node.inputs[0], packed.node.inputs[1]) else { return Ok(None) };
        let spec = old.spec(stored);
        let &[height, width] = spec.shape.factors() else { return Ok(None) };
        // Rows of K elements: the matrix as it is stored, or the other way round.
        let in_rows = transpose_b != packed.transposed;
        let (units, k) = if in_rows { (height, width) } else { (width, height) };
        let (units, k) = (units as usize, k as usize);
        let element = |unit: usize, at: usize| if in_rows { unit * k + at } else { at * units + unit };
        let k_axis = usize::from(in_rows);
        let whole = old.shape(scales).elements() == Some(1) && packed.op.block == 0;
        let Some(rows) = rows(&packed.op, [height as usize, width as usize], k_axis, whole, [units, k], element) else {
            return Ok(None);
        };
        if !self.spend((units * k).saturating_add(rows.positions.len().saturating_mul(8))) {
            return Ok(None);
        }
        let bytes = self.constant(stored).unwrap_or_default();
        let stride = if spec.dtype.bits() == 4 { k.next_multiple_of(2) } else { k };
        let weights = (0..units).flat_map(|unit| (0..stride).map(move |at| (unit, at)));
        let weights = weights.map(|(unit, at)| match at < k {
            true => integer_at(spec.dtype, bytes, element(unit, at)),
            false => 0,
        });
        let weights = self.integers(node, spec.dtype, [units, stride], weights)?;
        let count = rows.positions.len() / units.max(1);
        let scales_spec = old.spec(scales);
        let size = (scales_spec.dtype.bits() / 8) as usize;
        let scale_bytes = self.constant(scales).unwrap_or_default();
        let picked = rows.positions.iter().flat_map(|&position| &scale_bytes[position * size..][..size]);
        let picked: Vec<u8> = picked.copied().collect();
        let picked_spec = TensorSpec::new(scales_spec.dtype, matrix(units, count));
        let picked = self.rewrite.new.add_constant_bytes(&node.name, picked_spec, &picked)?;
        let zeros = match packed.node.inputs.get(2).copied().flatten() {
            None => None,
            Some(zeros) => {
                let bytes = self.constant(zeros).unwrap_or_default();
                let row = count.next_multiple_of(2);
                let values: Vec<i32> = (0..units * row)
                    .map(|index| (index / row * count, index % row))
                    .map(|(start, at)| rows.positions.get(start + at.min(count - 1)).copied().unwrap_or(0))
                    .map(|position| integer_at(spec.dtype, bytes, position))
                    .collect();
                match values.iter().all(|&zero| zero == 0) {
                    true => None,
                    false => Some(self.integers(node, spec.dtype, [units, row], values.into_iter())?),
                }
            }
        };
        let rows_of_left = self.new_inputs(node, 0)?;
        let inputs = [rows_of_left[0], Some(weights), Some(picked), zeros, rows_of_left.get(2).copied().flatten()];
        let used = inputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let block = u32::try_from(rows.block).unwrap_or(u32::MAX);
        self.add(node, BlockMatMul { block, zero: 0 }, &inputs[..used], &[]).map(Some)
    }

    /// A constant of integers of 4 or 8 bits; rows have whole bytes.
    fn integers(
        &mut self,
        node: &Node,
        dtype: DType,
        [rows, columns]: [usize; 2],
        values: impl Iterator<Item = i32>,
    ) -> Result<TensorId, PassError> {
        let values: Vec<u8> = values.map(|value| value as u8).collect();
        let bytes = match dtype.bits() {
            4 => values.chunks(2).map(|pair| pair[0] & 15 | pair.get(1).copied().unwrap_or(0) << 4).collect(),
            _ => values,
        };
        let spec = TensorSpec::new(dtype, matrix(rows, columns));
        Ok(self.rewrite.new.add_constant_bytes(&node.name, spec, &bytes)?)
    }
}

fn matrix(rows: usize, columns: usize) -> Shape {
    Shape::fixed(&[rows, columns]).unwrap_or(Shape::scalar())
}

/// The scales of each row of K elements; `None` where scales differ along K but not in blocks, or in blocks along the other axis.
fn rows(
    op: &LinearDequantize,
    dims: [usize; 2],
    k_axis: usize,
    whole: bool,
    [units, k]: [usize; 2],
    element: impl Fn(usize, usize) -> usize,
) -> Option<Rows> {
    let axis = usize::from(op.axis);
    let (length, inner) = (*dims.get(axis)?, if axis == 0 { dims[1] } else { 1 });
    let (parts, block) = match op.block {
        0 if whole => (Parts::Whole, k),
        0 if axis != k_axis => (Parts::Axis { length, inner }, k),
        block if block > 0 && axis == k_axis => {
            (Parts::Blocks { length, inner, block: block as usize }, (block as usize).min(k))
        }
        _ => return None,
    };
    let block = block.max(1);
    let blocks = k.div_ceil(block);
    let positions = (0..units).flat_map(|unit| (0..blocks).map(move |number| (unit, number * block)));
    Some(Rows { block, positions: positions.map(|(unit, at)| parts.of(element(unit, at))).collect() })
}
