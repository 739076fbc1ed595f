//! A copy of input 0 in which input 1 stands as a block, from the place on that input 2 names.
//!
//! No attributes. Inputs 0 and 1 have one type of whole bytes and as many axes; input 1 is nowhere longer. Input 2 (i32 or i64, one for each axis)
//! holds the first place on each axis, moved so that the block lies inside. None depends on the batch.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::update_slice;
use crate::tensor::{DType, MAX_RANK, TensorSpec};

/// Writes a block into a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateSlice;

/// An operand whose shape does not depend on the batch.
fn unbatched(index: usize, spec: TensorSpec) -> Result<TensorSpec, OpError> {
    if spec.shape.is_batched() { Err(OpError::input(index, Problem::Batch, "no batch")) } else { Ok(spec) }
}

impl Operator for UpdateSlice {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let data = unbatched(0, inputs.required(0)?.spec)?;
        if data.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        let update = unbatched(1, inputs.typed(1, &[data.dtype], "the type of input 0")?)?.shape;
        let rank = data.shape.rank();
        let fits = update.rank() == rank && update.factors().iter().zip(data.shape.factors()).all(|(part, all)| part <= all);
        if rank == 0 || !fits {
            return Err(OpError::input(1, Problem::Shape, "as many axes as input 0, none longer"));
        }
        let needs = "an int32 or int64 place on each axis";
        let dtype = inputs.typed(2, &[DType::I32, DType::I64], needs)?.dtype;
        inputs.fixed(2, dtype, &[rank], needs)?;
        outputs.put(0, data)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (update, places) = (operands.input(1)?, operands.input(2)?);
        let mut starts = [0i64; MAX_RANK];
        match places.spec.dtype {
            DType::I32 => {
                for (start, &place) in starts.iter_mut().zip(operands.slice::<i32>(2)?) {
                    *start = place.into();
                }
            }
            _ => {
                for (start, &place) in starts.iter_mut().zip(operands.slice::<i64>(2)?) {
                    *start = place;
                }
            }
        }
        let output = operands.overwrite(0, 0)?;
        let width = (output.spec.dtype.bits() / 8) as usize;
        update_slice::update_slice(width, update.bytes, &update.dims, &starts, output.bytes, &output.dims);
        Ok(())
    }
}
