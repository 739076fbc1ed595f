//! Choice of boxes that do not overlap, with room for as many as there can be.
//!
//! Attributes: `centred: bool` (boxes are `[x, y, width, height]` instead of two opposite corners `[y1, x1, y2, x2]`), `capacity: u32` (rows for each class
//! of an image). Input 0, f32 `[B, S, 4]`, has the boxes; input 1, f32 `[B, C, S]`, their scores; inputs 2 to 4 have one element each: the most boxes of a
//! class (i32 or i64), the overlap, intersection over union, above which a box is suppressed (f32, 0 when absent), and the score that a box must exceed
//! (f32; none when absent). Both of the first two may have the batch on axis 0.
//!
//! The output is i64 `[B * C * capacity, 3]`: rows `[image, class, box]` by image, class and falling score (equal scores by index), and then rows of
//! -1. Where the batch is on axis 0, the images of each row of it have their own part of the output, filled so. No class gets more boxes than
//! `capacity`. Boxes without an area suppress none.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::non_max_suppression::{Choice, non_max_suppression};
use crate::tensor::{DType, Shape, TensorSpec};

/// Chooses boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonMaxSuppression {
    /// Boxes are a centre, a width and a height.
    pub centred: bool,
    /// Rows for each class of an image.
    pub capacity: u32,
}

/// Checks that an input, if it is there, has one element of one of `dtypes`.
fn single(inputs: &dyn Inputs, index: usize, dtypes: &[DType]) -> Result<(), OpError> {
    if inputs.get(index).is_none() {
        return Ok(());
    }
    let shape = inputs.typed(index, dtypes, "float32, or an integer type for input 2")?.shape;
    let one = shape.elements() == Some(1) && !shape.is_batched();
    if one { Ok(()) } else { Err(OpError::input(index, Problem::Shape, "one element")) }
}

impl Operator for NonMaxSuppression {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { centred: reader.bool("centred")?, capacity: reader.u32()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.centred)?;
        writer.u32(self.capacity)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(5)?;
        let boxes = inputs.typed(0, &[DType::F32], "float32")?.shape;
        let scores = inputs.typed(1, &[DType::F32], "float32")?.shape;
        let needs = "boxes [B, S, 4] and scores [B, C, S], the batch on axis 0 of both or neither";
        let (&[images, count, 4], &[score_images, classes, score_count]) = (boxes.factors(), scores.factors()) else {
            return Err(OpError::input(1, Problem::Shape, needs));
        };
        if (images, count, boxes.batch_axis()) != (score_images, score_count, scores.batch_axis())
            || boxes.batch_axis().is_some_and(|axis| axis != 0)
        {
            return Err(OpError::input(1, Problem::Shape, needs));
        }
        if self.capacity == 0 || self.capacity > count {
            return Err(OpError::attribute("capacity", "1 up to the number of boxes"));
        }
        inputs.required(2)?;
        single(inputs, 2, &[DType::I32, DType::I64])?;
        single(inputs, 3, &[DType::F32])?;
        single(inputs, 4, &[DType::F32])?;
        let rows = [images, classes, self.capacity].iter().map(|&factor| factor as usize).fold(1, usize::saturating_mul);
        outputs.put(0, TensorSpec::new(DType::I64, Shape::new(&[rows, 3], boxes.batch_axis())?))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let boxes: u64 = inputs.required(0)?.spec.shape.factors().get(1).copied().unwrap_or(0).into();
        Ok(Scratch { fixed: boxes.saturating_mul(8), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let scores = operands.input(1)?.dims;
        let (classes, count) = (scores.at(1), scores.at(2));
        let one = |index: usize| -> Result<Option<f32>, OpError> {
            Ok(operands.optional_slice::<f32>(index)?.and_then(|values| values.first().copied()))
        };
        let most = operands.indices(2)?.get(0).unwrap_or(0);
        let choice = Choice {
            centred: self.centred,
            most: usize::try_from(most).unwrap_or(0).min(self.capacity as usize),
            overlap: one(3)?.unwrap_or(0.0),
            score: one(4)?,
        };
        let scratch = operands.scratch()?;
        let order = super::width::elements_mut::<i64>(1, scratch.bytes)?.get_mut(..count).unwrap_or_default();
        let mut output = operands.output(0)?;
        let (rows, _) = output.elements::<i64>(0)?.as_chunks_mut::<3>();
        let (boxes, _) = operands.slice::<f32>(0)?.as_chunks::<4>();
        let scores = operands.slice::<f32>(1)?;
        let per_image = classes.saturating_mul(count).max(1);
        let mut images = boxes.chunks_exact(count.max(1)).zip(scores.chunks_exact(per_image)).enumerate();
        // Images that share a part of the output.
        let group = operands.input(0)?.spec.shape.factor(0).unwrap_or(1);
        let part = group.saturating_mul(classes).saturating_mul(self.capacity as usize).max(1);
        for rows in rows.chunks_exact_mut(part) {
            let mut used = 0usize;
            for (image, (boxes, scores)) in images.by_ref().take(group) {
                let left = rows.get_mut(used..).unwrap_or_default();
                used = used.saturating_add(non_max_suppression(&choice, image as i64, boxes, scores, order, left));
            }
            rows.iter_mut().skip(used).for_each(|row| *row = [-1; 3]);
        }
        Ok(())
    }
}
