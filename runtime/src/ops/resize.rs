//! Resamples the axes of a tensor.
//!
//! Attributes: `interpolation, coordinates, nearest: u8`, `antialias, exclude_outside: bool`, `cubic, extrapolation: f32`. Inputs: x; the scales of
//! its axes, a constant f32 `[rank]`; for [`Coordinates::TfCropAndResize`] a constant f32 `[2, rank]` with the start and the end of each axis's
//! part. The output's shape is declared: along each axis the input's length times the scale, to the nearest or the next lower integer. The batch
//! axis stays. f32 and f64; the nearest neighbour of elements of any type of whole bytes, where an extrapolation value other than
//! zero needs f32 or f64. Formulas stand at [`crate::kernels::reference::resize`].

use super::{Inputs, OpError, OperandSpec, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::resize::{Coordinates, Interpolation, Nearest, Resampling};
use crate::kernels::reference::resize::{self, ResizeAxis};
use crate::tensor::{DType, Dims, MAX_RANK, Shape, TensorSpec};

/// Resamples a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// How.
    pub how: Resampling,
}

/// An axis's scale, and the part of it that is taken.
type AxisScale = (f32, [f32; 2]);

/// The axes, from lengths, scales and parts.
fn axes(input: &[usize], output: &[usize], at: impl Fn(usize) -> AxisScale) -> [ResizeAxis; MAX_RANK] {
    let mut axes = [ResizeAxis::unchanged(1); MAX_RANK];
    for (axis, ((slot, &input), &output)) in axes.iter_mut().zip(input).zip(output).enumerate() {
        let (scale, roi) = at(axis);
        *slot = ResizeAxis { input, output, scale, roi };
    }
    axes
}

fn f32_at(operand: &OperandSpec<'_>, index: usize) -> Option<f32> {
    crate::bytes::u32_at(operand.constant?, index).map(f32::from_bits)
}

impl Resize {
    fn takes_regions(&self) -> bool {
        self.how.coordinates == Coordinates::TfCropAndResize
    }

    /// Checks one axis of a tensor: its scale must give its length, so that a stretched filter has no more than a few taps for each element.
    fn check_axis(&self, shapes: [&Shape; 2], axis: usize, (scale, roi): AxisScale) -> Result<(), OpError> {
        let [input, output] = shapes.map(|shape| shape.factor(axis).unwrap_or(0));
        let exact = f64::from(scale) * input as f64;
        let length = output as f64;
        if !(exact >= length - 0.51 && exact < length + 1.01) || input == 0 || output == 0 {
            return Err(OpError::input(1, Problem::Value, "scales that give the output's lengths"));
        }
        if shapes[0].is_batch(axis) && !(ResizeAxis { input, output, scale, roi }).is_unchanged() {
            return Err(OpError::input(1, Problem::Batch, "a batch axis that stays"));
        }
        Ok(())
    }

    fn axes_of(&self, operands: &dyn Operands, input: &Dims, output: &Dims) -> Result<[ResizeAxis; MAX_RANK], OpError> {
        let scales = operands.slice::<f32>(1)?;
        let regions = operands.optional_slice::<f32>(2)?.unwrap_or_default();
        let rank = input.len();
        Ok(axes(input, output, |axis| {
            let roi = |at: usize, default: f32| regions.get(at).copied().unwrap_or(default);
            (scales.get(axis).copied().unwrap_or(1.0), [roi(axis, 0.0), roi(rank + axis, 1.0)])
        }))
    }
}

impl Operator for Resize {
    const TABLE_INPUTS: u32 = 1 << 1 | 1 << 2;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let how = Resampling {
            interpolation: Interpolation::from_code(reader.u8()?).ok_or(reader.invalid("interpolation"))?,
            coordinates: Coordinates::from_code(reader.u8()?).ok_or(reader.invalid("coordinates"))?,
            nearest: Nearest::from_code(reader.u8()?).ok_or(reader.invalid("nearest"))?,
            antialias: reader.bool("antialias")?,
            exclude_outside: reader.bool("exclude_outside")?,
            cubic: reader.f32()?,
            extrapolation: reader.f32()?,
        };
        Ok(Self { how })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        for code in [self.how.interpolation.code(), self.how.coordinates.code(), self.how.nearest.code()] {
            writer.u8(code)?;
        }
        writer.bool(self.how.antialias)?;
        writer.bool(self.how.exclude_outside)?;
        writer.f32(self.how.cubic)?;
        writer.f32(self.how.extrapolation)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = inputs.required(0)?.spec;
        let float = matches!(input.dtype, DType::F32 | DType::F64);
        let zero = self.how.extrapolation.to_bits() == 0 || !self.takes_regions();
        let nearest = self.how.interpolation == Interpolation::Nearest && input.dtype.bits() >= 8 && zero;
        if !float && !nearest {
            return Err(OpError::input(0, Problem::DType, "float32 or float64, unless the nearest element is taken"));
        }
        let rank = input.shape.rank();
        let output = outputs.declared(0).ok_or(OpError::output(0, Problem::Missing, "a declared shape"))?;
        let same = output.shape.rank() == rank && output.shape.batch_axis() == input.shape.batch_axis();
        if !same || output.dtype != input.dtype {
            return Err(OpError::output(0, Problem::Declared, "the input's type, rank and batch axis"));
        }
        inputs.fixed(1, DType::F32, &[rank], "a scale for each axis")?;
        if self.takes_regions() {
            inputs.fixed(2, DType::F32, &[2, rank], "a start and an end for each axis")?;
        } else {
            inputs.at_most(2)?;
        }
        let scales = inputs.required(1)?;
        let regions = inputs.get(2);
        for axis in 0..rank {
            let missing = OpError::input(1, Problem::NotConstant, "constant scales");
            let scale = f32_at(&scales, axis).ok_or(missing)?;
            let roi = match &regions {
                None => [0.0, 1.0],
                Some(regions) => {
                    let missing = OpError::input(2, Problem::NotConstant, "constant regions");
                    [f32_at(regions, axis).ok_or(missing)?, f32_at(regions, rank + axis).ok_or(missing)?]
                }
            };
            self.check_axis([&input.shape, &output.shape], axis, (scale, roi))?;
        }
        outputs.put(0, TensorSpec { shape: output.shape, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let mut output = operands.output(0)?;
        let axes = self.axes_of(operands, &input.dims, &output.dims)?;
        let rank = input.dims.len();
        match (input.spec.dtype, self.how.interpolation) {
            (DType::F32, _) => resize::resize::<f32>(&self.how, &axes, rank, operands.slice(0)?, output.elements(0)?),
            (DType::F64, _) => resize::resize::<f64>(&self.how, &axes, rank, operands.slice(0)?, output.elements(0)?),
            (dtype, _) => {
                let width = (dtype.bits() / 8) as usize;
                resize::resize_nearest(&self.how, &axes, &input.dims, width, input.bytes, output.bytes);
            }
        }
        Ok(())
    }
}
