//! Permutes axes: output axis `i` is input axis `perm[i]`.
//!
//! Attributes: `perm: u32`, four bits per axis, axis 0 lowest. Any element type of whole bytes.

use heapless::Vec;

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::transpose;
use crate::tensor::{MAX_RANK, Shape, TensorSpec};

/// An order of up to eight axes, packed four bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation(u32);

impl Permutation {
    /// Packs `axes`; `None` unless it holds each of `0..axes.len()` once, and eight at most.
    pub fn new(axes: &[usize]) -> Option<Self> {
        let mut seen = 0u32;
        let mut packed = 0u32;
        if axes.len() > MAX_RANK {
            return None;
        }
        for (position, &axis) in axes.iter().enumerate() {
            if axis >= axes.len() || seen & (1 << axis) != 0 {
                return None;
            }
            seen |= 1 << axis;
            packed |= (axis as u32) << (4 * position);
        }
        Some(Self(packed))
    }

    /// The input axis of output axis `position` (below 8).
    pub fn axis(self, position: usize) -> usize {
        ((self.0 >> (4 * position)) & 0xF) as usize
    }

    /// The input axes of the first `rank` output axes.
    pub fn axes(self, rank: usize) -> Vec<usize, MAX_RANK> {
        (0..rank.min(MAX_RANK)).map(|position| self.axis(position)).collect()
    }
}

/// Reorders the axes of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transpose {
    /// Input axis of each output axis.
    pub perm: Permutation,
}

impl Operator for Transpose {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { perm: Permutation(reader.u32()?) })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.perm.0)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.required(0)?.spec;
        if input.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        let perm = self.perm.axes(input.shape.rank());
        if Permutation::new(&perm) != Some(self.perm) {
            return Err(OpError::attribute("perm", "each axis of the input once"));
        }
        let dims: Vec<usize, MAX_RANK> = perm.iter().filter_map(|&axis| input.shape.factor(axis)).collect();
        let batch = perm.iter().position(|&axis| input.shape.is_batch(axis));
        let shape = Shape::new(&dims, batch)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec { shape, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let output = operands.output(0)?;
        let perm = self.perm.axes(input.dims.len());
        let width = (input.spec.dtype.bits() / 8) as usize;
        transpose::transpose(width, input.bytes, &input.dims, &perm, output.bytes);
        Ok(())
    }
}
