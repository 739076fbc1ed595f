//! How operators see their operands: while shapes are worked out, and while they run.

use super::{OpError, Problem};
use crate::kernels::reference::indices::Indices;
use crate::tensor::{DType, Element, Shape, TensorSpec, View, ViewMut};

/// An input while shapes are worked out.
#[derive(Clone, Copy, Debug)]
pub struct OperandSpec<'a> {
    /// Type and shape.
    pub spec: TensorSpec,
    /// The values, where the input is a constant.
    pub constant: Option<&'a [u8]>,
}

impl OperandSpec<'_> {
    /// The `index`th element of a constant `i32` input.
    pub fn i32_at(&self, index: usize) -> Option<i32> {
        let bytes = self.constant?;
        (self.spec.dtype == DType::I32).then_some(())?;
        crate::bytes::u32_at(bytes, index).map(|bits| bits as i32)
    }
}

/// The inputs of an operator while shapes are worked out.
pub trait Inputs {
    /// Number of inputs, absent optional ones included.
    fn len(&self) -> usize;

    /// The input at `index`; `None` when it is absent.
    fn get(&self, index: usize) -> Option<OperandSpec<'_>>;

    /// True when there are no inputs.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl dyn Inputs + '_ {
    /// The input at `index`, which must be there.
    pub fn required(&self, index: usize) -> Result<OperandSpec<'_>, OpError> {
        self.get(index).ok_or(OpError::input(index, Problem::Missing, "an input here"))
    }

    /// The type and shape of the input at `index`, which must be of one of `dtypes`.
    pub fn typed(&self, index: usize, dtypes: &[DType], needs: &'static str) -> Result<TensorSpec, OpError> {
        let spec = self.required(index)?.spec;
        if dtypes.contains(&spec.dtype) { Ok(spec) } else { Err(OpError::input(index, Problem::DType, needs)) }
    }

    /// The type and shape of the input at `index`, whose elements must have whole bytes.
    pub fn whole_bytes(&self, index: usize) -> Result<TensorSpec, OpError> {
        let spec = self.required(index)?.spec;
        if spec.dtype.bits() < 8 {
            return Err(OpError::input(index, Problem::DType, "elements of whole bytes"));
        }
        Ok(spec)
    }

    /// The shape of the input at `index`, whose elements must be i32 or i64.
    pub fn indices(&self, index: usize) -> Result<Shape, OpError> {
        Ok(self.typed(index, &[DType::I32, DType::I64], "int32 or int64 indices")?.shape)
    }

    /// As [`Self::typed`], for a tensor whose shape is `dims` and does not depend on the batch (weights, biases, tables).
    pub fn fixed(&self, index: usize, dtype: DType, dims: &[usize], needs: &'static str) -> Result<(), OpError> {
        let spec = self.typed(index, &[dtype], needs)?;
        match Shape::fixed(dims) {
            Ok(shape) if shape == spec.shape => Ok(()),
            _ => Err(OpError::input(index, Problem::Shape, needs)),
        }
    }

    /// A constant input of type `i32` with exactly `count` elements.
    pub fn i32_list(&self, index: usize, count: usize, needs: &'static str) -> Result<OperandSpec<'_>, OpError> {
        self.fixed(index, DType::I32, &[count], needs)?;
        let operand = self.required(index)?;
        if operand.constant.is_none() {
            return Err(OpError::input(index, Problem::NotConstant, needs));
        }
        Ok(operand)
    }

    /// Fails when there are more than `count` inputs.
    pub fn at_most(&self, count: usize) -> Result<(), OpError> {
        if self.len() > count { Err(OpError::input(count, Problem::Extra, "no input here")) } else { Ok(()) }
    }
}

/// Where an operator states its outputs.
pub trait Outputs {
    /// Number of outputs that the step declares.
    fn len(&self) -> usize;

    /// Type and shape that the step declares for the output at `index`, for operators whose inputs do not tell.
    fn declared(&self, index: usize) -> Option<TensorSpec>;

    /// States the type and shape of the output at `index`.
    fn put(&mut self, index: usize, spec: TensorSpec) -> Result<(), OpError>;

    /// True when there are no outputs.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The operands of a running step.
pub trait Operands {
    /// Number of inputs, absent optional ones included.
    fn inputs(&self) -> usize;

    /// Number of outputs.
    fn outputs(&self) -> usize;

    /// The input at `index`; `None` when it is absent. Fails for one that lies in the place of an output: see
    /// [`Self::is_in_place`].
    fn optional(&self, index: usize) -> Result<Option<View<'_>>, OpError>;

    /// True when an input that [`super::Operator::in_place`] names lies in the place of that output.
    fn is_in_place(&self, input: usize, output: usize) -> bool;

    /// The element type of the input at `index`, which may lie in the place of an output.
    fn dtype(&self, index: usize) -> Option<DType>;

    /// The output at `index`. Each output can be taken once in a run.
    fn output(&self, index: usize) -> Result<ViewMut<'_>, OpError>;

    /// The scratch memory, of the size that [`super::Operator::scratch`] asked for. It can be taken once in a run.
    fn scratch(&self) -> Result<ViewMut<'_>, OpError>;
}

impl dyn Operands + '_ {
    /// The input at `index`.
    pub fn input(&self, index: usize) -> Result<View<'_>, OpError> {
        self.optional(index)?.ok_or(OpError::input(index, Problem::Missing, "an input here"))
    }

    /// The output at `output`, whose bytes are those of the input at `input` to begin with: in place, or copied. Both take the same
    /// number of bytes.
    pub fn overwrite(&self, input: usize, output: usize) -> Result<ViewMut<'_>, OpError> {
        let view = self.output(output)?;
        if !self.is_in_place(input, output) {
            for (to, from) in view.bytes.iter_mut().zip(self.input(input)?.bytes) {
                *to = *from;
            }
        }
        Ok(view)
    }

    /// The elements of the input at `index`.
    pub fn slice<T: Element>(&self, index: usize) -> Result<&[T], OpError> {
        view_input(index, &self.input(index)?)
    }

    /// The elements of the input at `index`, which are i32 or i64.
    pub fn indices(&self, index: usize) -> Result<Indices<'_>, OpError> {
        Ok(match self.input(index)?.spec.dtype {
            DType::I64 => Indices::Wide(self.slice(index)?),
            _ => Indices::Narrow(self.slice(index)?),
        })
    }

    /// The elements of the input at `index`, if it is there.
    pub fn optional_slice<T: Element>(&self, index: usize) -> Result<Option<&[T]>, OpError> {
        self.optional(index)?.map(|view| view_input(index, &view)).transpose()
    }
}

/// The elements of an input's view.
fn view_input<'a, T: Element>(index: usize, view: &View<'a>) -> Result<&'a [T], OpError> {
    view.as_slice().map_err(|error| OpError::input(index, Problem::View(error), "elements of another type"))
}

impl ViewMut<'_> {
    /// The elements, as an operator's output number `index`.
    pub fn elements<T: Element>(&mut self, index: usize) -> Result<&mut [T], OpError> {
        self.as_mut_slice().map_err(|error| OpError::output(index, Problem::View(error), "elements of another type"))
    }
}
