//! Reduces axes to one element.
//!
//! Attributes: `kind: u8`, `axes: u8` (bit `i` for axis `i`), `keep: bool` (reduced axes stay with length 1). f32 or f64; integers of
//! 8 to 64 bits for sum, product, minimum and maximum, where arithmetic wraps; bool for minimum and maximum. The batch axis cannot be reduced.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::integer::Narrow;
use crate::kernels::reference::reduce;
pub use crate::kernels::reference::reduce::ReduceKind;
use crate::tensor::{DType, Dims, MAX_RANK, Shape, TensorSpec};

/// Combines the elements along some axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduce {
    /// The combination.
    pub kind: ReduceKind,
    /// The axes: bit `i` for axis `i`.
    pub axes: u8,
    /// Reduced axes stay, with length 1.
    pub keep: bool,
}

impl Reduce {
    fn reduces(self, axis: usize) -> bool {
        self.axes >> axis & 1 == 1
    }

    /// The lengths with 1 for reduced axes, and how many elements meet in each element of the output.
    fn kept(self, dims: &Dims) -> Result<(Dims, usize), OpError> {
        let mut kept = [0usize; MAX_RANK];
        let mut count = 1usize;
        for (axis, (slot, &dim)) in kept.iter_mut().zip(dims.iter()).enumerate() {
            *slot = if self.reduces(axis) { 1 } else { dim };
            count = count.saturating_mul(if self.reduces(axis) { dim } else { 1 });
        }
        Ok((Shape::fixed(kept.get(..dims.len()).unwrap_or_default())?.resolve(1), count))
    }
}

/// The shape after reducing or removing the axes that `removes` tells.
pub(super) fn reduced_shape(shape: &Shape, keep: bool, removes: impl Fn(usize) -> bool) -> Result<Shape, OpError> {
    let mut dims = [0usize; MAX_RANK];
    let mut rank = 0;
    let mut batch = None;
    for axis in 0..shape.rank() {
        let removed = removes(axis);
        if removed && shape.is_batch(axis) {
            return Err(OpError::input(0, Problem::Batch, "the batch on an axis that stays"));
        }
        if removed && !keep {
            continue;
        }
        if shape.is_batch(axis) {
            batch = Some(rank);
        }
        if let Some(slot) = dims.get_mut(rank) {
            *slot = if removed { 1 } else { shape.factor(axis).unwrap_or(0) };
        }
        rank += 1;
    }
    Ok(Shape::new(dims.get(..rank).unwrap_or_default(), batch)?)
}

impl Operator for Reduce {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = ReduceKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        Ok(Self { kind, axes: reader.u8()?, keep: reader.bool("keep")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        writer.u8(self.axes)?;
        writer.bool(self.keep)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let types = match self.kind {
            ReduceKind::Min | ReduceKind::Max => &DType::WHOLE[..11],
            kind if kind.takes_integers() => DType::numbers(),
            _ => &DType::WHOLE[..2],
        };
        let input = inputs.typed(0, types, "a type that the reduction takes")?;
        if u32::from(self.axes) >> input.shape.rank() != 0 {
            return Err(OpError::attribute("axes", "axes of the input"));
        }
        outputs.put(0, TensorSpec::new(input.dtype, reduced_shape(&input.shape, self.keep, |axis| self.reduces(axis))?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let (kept, count) = self.kept(&input.dims)?;
        let walk = Walk::new(&input.dims, &[&kept]);
        let mut output = operands.output(0)?;
        let kind = self.kind;
        match input.spec.dtype {
            DType::F32 => reduce::reduce_float::<f32>(kind, operands.slice(0)?, output.elements(0)?, &walk, count),
            DType::F64 => reduce::reduce_float::<f64>(kind, operands.slice(0)?, output.elements(0)?, &walk, count),
            DType::I32 => {
                let bounds = [i32::MIN, i32::MAX];
                reduce::reduce_integer(kind, operands.slice(0)?, output.elements(0)?, &walk, bounds)
            }
            DType::I64 => {
                let bounds = [i64::MIN, i64::MAX];
                reduce::reduce_integer(kind, operands.slice(0)?, output.elements(0)?, &walk, bounds)
            }
            DType::U64 => {
                let bounds = [u64::MIN, u64::MAX];
                reduce::reduce_integer(kind, operands.slice(0)?, output.elements(0)?, &walk, bounds)
            }
            dtype => {
                if let Some(narrow) = Narrow::of(dtype) {
                    reduce::reduce_narrow(kind, narrow, input.bytes, output.bytes, &walk);
                }
            }
        }
        Ok(())
    }
}
