//! Parts of tensors as tensors of their own, and items of constant lists by computed positions.

use std::rc::Rc;

use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::{Array, Evaluated, Evaluator, Frame, Index, MAX_ITEMS, Place, Stop, Value};
use crate::graph::{ConstantError, TensorId};

impl<'a> Evaluator<'_, 'a> {
    /// The parts of an axis at `positions`, in their order.
    pub(in crate::service) fn taken(
        &mut self,
        tensor: TensorId,
        axis: usize,
        positions: &[usize],
        place: Place,
    ) -> Result<TensorId, Stop> {
        self.charge(positions.len(), place)?;
        let whole: Vec<i32> = positions.iter().filter_map(|&at| i32::try_from(at).ok()).collect();
        let added = self.graph.add_constant("positions", DType::I32, &[whole.len()], &whole);
        let indices = self.constant(added, place)?;
        self.gathered(tensor, axis, indices, place)
    }

    pub(in crate::service) fn gathered(
        &mut self,
        data: TensorId,
        axis: usize,
        indices: TensorId,
        place: Place,
    ) -> Result<TensorId, Stop> {
        let Ok(axis) = u8::try_from(axis) else {
            return self.fail(place, "this axis is not compiled");
        };
        let added = self.graph.add("take", Gather { axis }, &[data, indices]);
        self.added(added, place)
    }

    /// The part of a tensor at one position of an axis, which is removed.
    pub(super) fn picked(&mut self, tensor: TensorId, axis: usize, at: u32, place: Place) -> Result<TensorId, Stop> {
        if self.graph.shape(tensor).is_batch(axis) {
            return self.fail(place, "one row of the request is not computed apart from the others. Use all rows");
        }
        let position = i32::try_from(at).unwrap_or(i32::MAX);
        let added = self.graph.add_constant("position", DType::I32, &[], &[position]);
        let index = self.constant(added, place)?;
        self.gathered(tensor, axis, index, place)
    }

    /// The part of a tensor that an array stands for, as a whole tensor.
    pub(in crate::service) fn materialise(&mut self, array: &Array, place: Place) -> Result<Array, Stop> {
        let mut tensor = array.tensor;
        for (axis, index) in array.indices.iter().enumerate().rev() {
            match index {
                Index::All => {}
                Index::At(at) => tensor = self.picked(tensor, axis, *at, place)?,
                Index::Loop(_) => {
                    return self
                        .fail(place, "one row of the request is not computed apart from the others. Use all rows");
                }
            }
        }
        Ok(Array { indices: Vec::new(), ..array.with_tensor(tensor) })
    }

    /// The items of a constant list at computed positions.
    pub(super) fn look_up(&mut self, items: &[Value<'a>], positions: &Array, place: Place) -> Evaluated<'a> {
        if !positions.dtype(&self.graph).is_integer() {
            return self.fail(place, "a position in a list is an integer. Convert it with `int`");
        }
        if !positions.axes(&self.graph).is_empty() {
            return self.fail(place, "a list takes one position at a time. Write a comprehension");
        }
        if items.is_empty() || items.len() > MAX_ITEMS {
            return self.fail(place, "a list of this length is not compiled with a computed position");
        }
        self.charge(items.len(), place)?;
        let data = self.constant_list(items, place)?;
        let indices = match positions.dtype(&self.graph) {
            DType::I32 | DType::I64 => positions.tensor,
            _ => self.cast(positions.tensor, DType::I64, place)?,
        };
        let tensor = self.gathered(data, 0, indices, place)?;
        Ok(Value::Array(Array { python: true, assumed: false, ..positions.with_tensor(tensor) }))
    }

    /// A constant tensor of one axis: texts, integers or floats.
    pub(in crate::service) fn constant_list(&mut self, items: &[Value<'a>], place: Place) -> Result<TensorId, Stop> {
        let texts: Option<Vec<String>> =
            items.iter().map(|item| if let Value::Text(text) = item { Some(text.to_string()) } else { None }).collect();
        let integers: Option<Vec<i64>> =
            items.iter().map(|item| if let Value::Int(value) = item { Some(*value) } else { None }).collect();
        let floats: Option<Vec<f64>> =
            items.iter().map(|item| if let Value::Float(value) = item { Some(*value) } else { None }).collect();
        let length = [items.len()];
        let added = if let Some(texts) = texts {
            let table = self.graph.add_table(texts);
            let Ok(shape) = Shape::fixed(&length) else {
                return self.fail(place, "this list is too long");
            };
            let spec = TensorSpec { table: Some(table), ..TensorSpec::new(DType::Category, shape) };
            let values: Vec<u8> = (0..items.len() as u32).flat_map(u32::to_le_bytes).collect();
            self.graph.add_constant_bytes("list", spec, &values)
        } else if let Some(integers) = integers {
            self.graph.add_constant("list", DType::I64, &length, &integers)
        } else if let Some(floats) = floats {
            self.graph.add_constant("list", DType::F64, &length, &floats)
        } else {
            return self
                .fail(place, "a list with a computed position is compiled only of texts, of integers or of floats");
        };
        self.constant(added, place)
    }

    /// The array of a frame's numbers.
    pub(in crate::service) fn frame_array(&mut self, frame: &Frame, place: Place) -> Result<Array, Stop> {
        match frame {
            Frame::Table { array, input, .. } => {
                self.note_whole_use(*input, place);
                Ok(array.clone())
            }
            Frame::Columns(columns, input) => {
                self.note_whole_use(*input, place);
                self.joined(columns, place)
            }
        }
    }

    /// All columns of an input are used, whatever their names.
    pub(in crate::service) fn note_whole_use(&mut self, input: Option<usize>, place: Place) {
        if let Some(input) = input.and_then(|index| self.inputs.get_mut(index)) {
            input.whole_use.get_or_insert(place);
        }
    }

    /// Columns side by side, in the type that holds them all.
    fn joined(&mut self, columns: &[(String, Array)], place: Place) -> Result<Array, Stop> {
        let mut parts = Vec::new();
        let mut assumed = false;
        let Some((_, first)) = columns.first() else {
            return self.fail(place, "a frame without columns is not compiled");
        };
        let text = |array: &Array| matches!(array.dtype(&self.graph), DType::Category | DType::Text);
        let of_text = text(first);
        if columns.iter().any(|(_, array)| text(array) != of_text) {
            return self
                .fail(place, "a frame with texts and numbers is no array of one type. Take the columns of numbers");
        }
        let arrays: Vec<Array> = columns.iter().map(|(_, array)| array.clone()).collect();
        let dtype = if of_text { first.dtype(&self.graph) } else { self.common_type(&arrays, place)? };
        for (_, column) in columns {
            let mut part = self.materialise(column, place)?;
            if !of_text {
                part.tensor = self.cast(part.tensor, dtype, place)?;
            }
            assumed |= part.assumed;
            let shape = self.graph.shape(part.tensor);
            let Ok(shape) = Shape::new(&[shape.factor(0).unwrap_or(1), 1], shape.batch_axis()) else {
                return self.fail(place, "this frame has no shape that can be compiled");
            };
            let spec = TensorSpec { shape, ..self.graph.spec(part.tensor) };
            let added = self.graph.add_declared("column", Reshape, &[part.tensor], spec);
            parts.push(self.added(added, place)?);
        }
        let added = self.graph.add("columns", Concat { axis: 1 }, &parts);
        Ok(Array { assumed, ..Array::whole(self.added(added, place)?) })
    }

    /// A frame of some columns of a table.
    pub(super) fn columns_taken(
        &mut self,
        array: &Array,
        columns: &[String],
        positions: &[usize],
        place: Place,
    ) -> Evaluated<'a> {
        let everything =
            positions.len() == columns.len() && positions.iter().enumerate().all(|(at, position)| at == *position);
        let tensor = if everything { array.tensor } else { self.taken(array.tensor, 1, positions, place)? };
        let names = positions.iter().filter_map(|&at| columns.get(at).cloned()).collect();
        let frame = Frame::Table { array: array.with_tensor(tensor), columns: Some(names), input: None };
        Ok(Value::Frame(Rc::new(frame)))
    }

    /// The constant that was added for the expression at `place`.
    pub(in crate::service) fn constant(
        &self,
        added: Result<TensorId, ConstantError>,
        place: Place,
    ) -> Result<TensorId, Stop> {
        added.or_else(|error| self.fail(place, error.to_string()))
    }
}
