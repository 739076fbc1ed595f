//! Arrays whose axes line up as numpy broadcasts them, comparisons, logic and choices between them.
//!
//! The rows of loops stand on the leading axes of a tensor, an array's own axes after them. Arrays of the same loops, or of none,
//! line up: loops with loops from the front, own axes from the back.

use std::rc::Rc;

use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::logic::{Logic, LogicKind};
use ekiben_runtime::ops::map_categories::MapCategories;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::tensor::Element;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::arithmetic::promoted;
use super::{Array, Evaluated, Evaluator, Index, MAX_ITEMS, Place, Stop, Value, floating};
use crate::graph::TensorId;

impl<'a> Evaluator<'_, 'a> {
    /// The same elements, with other axes.
    pub(in crate::service) fn reshaped(
        &mut self,
        tensor: TensorId,
        dims: &[usize],
        batch: Option<usize>,
        place: Place,
    ) -> Result<TensorId, Stop> {
        let old = self.graph.spec(tensor);
        let Ok(shape) = Shape::new(dims, batch) else {
            return self.fail(place, "an array has eight axes at most, and none of them is this long");
        };
        if old.shape == shape {
            return Ok(tensor);
        }
        let added = self.graph.add_declared("reshape", Reshape, &[tensor], TensorSpec { shape, ..old });
        self.added(added, place)
    }

    /// An array whose indices are the rows of loops, all on its leading axes.
    pub(in crate::service) fn led(&mut self, array: &Array, place: Place) -> Result<Array, Stop> {
        let mut part = array.clone();
        for axis in (0..part.indices.len()).rev() {
            if let Index::At(at) = part.indices[axis] {
                part.tensor = self.picked(part.tensor, axis, at, place)?;
                part.indices.remove(axis);
            }
        }
        while part.indices.last() == Some(&Index::All) {
            part.indices.pop();
        }
        if part.indices.contains(&Index::All) {
            return self.fail(
                place,
                "rows of this axis, behind another one, are not computed with. Compute with whole arrays",
            );
        }
        Ok(part)
    }

    /// Tensors whose axes line up, and the loops whose rows stand on their leading axes.
    pub(in crate::service) fn aligned(
        &mut self,
        arrays: &[Array],
        place: Place,
    ) -> Result<(Vec<TensorId>, Vec<Index>), Stop> {
        // One number broadcasts as it is, so parts of one array at the same place need not be taken out of it.
        let number = |array: &&Array| array.indices.is_empty() && self.graph.shape(array.tensor).rank() == 0;
        let mut parts = arrays.iter().filter(|array| !number(array));
        if let Some(first) = parts.next() {
            let shape = self.graph.shape(first.tensor);
            if parts.all(|other| other.indices == first.indices && self.graph.shape(other.tensor) == shape) {
                return Ok((arrays.iter().map(|array| array.tensor).collect(), first.indices.clone()));
            }
        }
        let arrays = arrays.iter().map(|array| self.led(array, place)).collect::<Result<Vec<_>, _>>()?;
        let loops = arrays.iter().map(|array| &array.indices).max_by_key(|indices| indices.len()).cloned();
        let loops = loops.unwrap_or_default();
        let own = |evaluator: &Self, array: &Array| evaluator.graph.shape(array.tensor).rank() - array.indices.len();
        let rank = arrays.iter().map(|array| own(self, array)).max().unwrap_or(0);
        let mut tensors = Vec::new();
        for array in &arrays {
            if !loops.starts_with(&array.indices) {
                return self.fail(place, "rows of different loops are not computed with each other");
            }
            let shape = self.graph.shape(array.tensor);
            let outside = array.indices.len() < loops.len();
            if outside && shape.batch_axis().is_some_and(|axis| axis >= array.indices.len()) {
                return self.fail(place, "one row and all rows of the request are not computed with each other");
            }
            let mut dims: Vec<usize> = shape.factors().iter().map(|&factor| factor as usize).collect();
            let missing = loops.len() - array.indices.len() + rank - own(self, array);
            let at = array.indices.len();
            dims.splice(at..at, std::iter::repeat_n(1, missing));
            let batch = shape.batch_axis().map(|axis| if axis >= at { axis + missing } else { axis });
            tensors.push(self.reshaped(array.tensor, &dims, batch, place)?);
        }
        Ok((tensors, loops))
    }

    /// An array of a value: a constant number, truth or text stands for one element.
    pub(in crate::service) fn operand(&mut self, value: &Value<'a>, place: Place) -> Result<Array, Stop> {
        let added = match value {
            Value::Array(array) => return self.widened(array, place),
            Value::Frame(frame) => return self.frame_array(frame, place),
            Value::Bool(value) => self.graph.add_constant("truth", DType::Bool, &[], &[u8::from(*value)]),
            Value::Int(value) => self.graph.add_constant("number", DType::I64, &[], &[*value]),
            Value::Float(value) => self.graph.add_constant("number", DType::F64, &[], &[*value]),
            Value::Text(text) => self.graph.add_texts("text", &[], vec![text.to_string()]),
            Value::List(_) | Value::Tuple(_) => return self.constant_array(value, place),
            Value::Json(json) => return self.settle_number(json, place),
            Value::Picture(picture) if picture.is_array => return self.picture_array(picture, place),
            other => return self.fail(place, format!("{} is no array", other.describe())),
        };
        let python = !matches!(value, Value::Text(_));
        Ok(Array { python, ..Array::whole(self.constant(added, place)?) })
    }

    /// The array of nested lists of constants, as numpy makes it; of lists of arrays, their stack.
    pub(in crate::service) fn constant_array(&mut self, value: &Value<'a>, place: Place) -> Result<Array, Stop> {
        let mut leaves = Vec::new();
        let dims = flat(value, &mut leaves, 0);
        let Some(dims) = dims.filter(|dims| dims.iter().product::<usize>() == leaves.len()) else {
            return self.fail(place, "these lists are ragged, or too large to become an array");
        };
        if leaves.iter().any(|leaf| matches!(leaf, Value::Array(_) | Value::Json(_))) {
            return self.stacked(&leaves, &dims, place);
        }
        let texts: Option<Vec<String>> = leaves
            .iter()
            .map(|leaf| if let Value::Text(text) = leaf { Some(text.to_string()) } else { None })
            .collect();
        let truths: Option<Vec<u8>> = leaves
            .iter()
            .map(|leaf| if let Value::Bool(truth) = leaf { Some(u8::from(*truth)) } else { None })
            .collect();
        let integers: Option<Vec<i64>> = leaves.iter().map(integer).collect();
        let floats: Option<Vec<f64>> = leaves.iter().map(float).collect();
        let added = if let Some(texts) = texts.filter(|texts| !texts.is_empty()) {
            self.graph.add_texts("array", &dims, texts)
        } else if let Some(truths) = truths.filter(|truths| !truths.is_empty()) {
            self.graph.add_constant("array", DType::Bool, &dims, &truths)
        } else if let Some(integers) = integers.filter(|integers| !integers.is_empty()) {
            self.graph.add_constant("array", DType::I64, &dims, &integers)
        } else if let Some(floats) = floats {
            self.graph.add_constant("array", DType::F64, &dims, &floats)
        } else {
            return self.fail(place, "an array is made of numbers, of truths or of texts");
        };
        Ok(Array::whole(self.constant(added, place)?))
    }

    /// Arrays side by side on new leading axes of lengths `dims`.
    fn stacked(&mut self, leaves: &[Value<'a>], dims: &[usize], place: Place) -> Result<Array, Stop> {
        if let [Value::Array(text)] = leaves
            && matches!(text.dtype(&self.graph), DType::Category | DType::Text)
        {
            let mut text = self.led(text, place)?;
            for _ in dims {
                text = super::super::library::with_new_axis(self, &text, 0, place)?;
            }
            return Ok(Array { python: false, ..text });
        }
        let mut parts = Vec::new();
        for leaf in leaves {
            let part = self.operand(leaf, place)?;
            if matches!(part.dtype(&self.graph), DType::Category | DType::Text) {
                return self.fail(place, "texts and numbers are not put in one array");
            }
            parts.push(part);
        }
        // Here Python's numbers do not give way: they are of 64 bits.
        let Some(to) = parts.iter().map(|part| part.dtype(&self.graph)).reduce(promoted) else {
            return self.fail(place, "an empty array is not compiled");
        };
        let axes = |part: &Array| part.axes(&self.graph).len();
        if parts.iter().any(|part| axes(part) != axes(&parts[0])) {
            return self.fail(place, "these arrays have different numbers of axes");
        }
        let assumed = parts.iter().any(|part| part.assumed);
        for part in &mut parts {
            part.tensor = self.cast(part.tensor, to, place)?;
        }
        let (tensors, loops) = self.aligned(&parts, place)?;
        let shape = tensors.iter().map(|&tensor| self.graph.shape(tensor)).max_by_key(|shape| shape.elements());
        let Some(shape) = shape else {
            return self.fail(place, "an empty array is not compiled");
        };
        // Numbers beside rows of a loop are the same for each row.
        let mut columns = Vec::new();
        for &tensor in &tensors {
            let tensor = self.expanded(tensor, shape, place)?;
            let mut dims: Vec<usize> = shape.factors().iter().map(|&factor| factor as usize).collect();
            dims.insert(loops.len(), 1);
            let batch = shape.batch_axis().map(|axis| if axis >= loops.len() { axis + 1 } else { axis });
            columns.push(self.reshaped(tensor, &dims, batch, place)?);
        }
        let tensor = self.concatenated(&columns, loops.len(), place)?;
        let joined = self.graph.shape(tensor);
        let mut lengths: Vec<usize> = joined.factors().iter().map(|&factor| factor as usize).collect();
        lengths.splice(loops.len()..=loops.len(), dims.iter().copied());
        let batch = joined.batch_axis().map(|axis| if axis > loops.len() { axis + dims.len() - 1 } else { axis });
        let tensor = self.reshaped(tensor, &lengths, batch, place)?;
        Ok(Array { indices: loops, assumed, ..Array::whole(tensor) })
    }

    /// A tensor repeated along axes of length 1 until it has `shape`.
    pub(in crate::service) fn expanded(
        &mut self,
        tensor: TensorId,
        shape: Shape,
        place: Place,
    ) -> Result<TensorId, Stop> {
        if self.graph.shape(tensor) == shape {
            return Ok(tensor);
        }
        let spec = TensorSpec { shape, ..self.graph.spec(tensor) };
        let added = self.graph.add_declared("repeat", ekiben_runtime::ops::expand::Expand, &[tensor], spec);
        self.added(added, place)
    }

    /// Tensors one after the other along an axis.
    pub(in crate::service) fn concatenated(
        &mut self,
        tensors: &[TensorId],
        axis: usize,
        place: Place,
    ) -> Result<TensorId, Stop> {
        if let [tensor] = tensors {
            return Ok(*tensor);
        }
        let Ok(axis) = u8::try_from(axis) else {
            return self.fail(place, "this axis is not compiled");
        };
        let added = self.graph.add("concatenate", ekiben_runtime::ops::concat::Concat { axis }, tensors);
        self.added(added, place)
    }

    /// The type in which numpy puts arrays together: Python's numbers take an array's type, as far as they fit its kind.
    pub(in crate::service) fn common_type(&self, arrays: &[Array], place: Place) -> Result<DType, Stop> {
        // Before numpy 2 its own scalars give way to arrays as Python's numbers do.
        let gives_way = |array: &Array| array.python || self.bundle.generation == crate::bundle::Generation::V0_13;
        let weak = |array: &&Array| gives_way(array) && array.axes(&self.graph).is_empty();
        let strong = arrays.iter().filter(|array| !weak(array)).map(|array| array.dtype(&self.graph));
        let strong = strong.reduce(promoted);
        let weak = arrays.iter().filter(weak).map(|array| array.dtype(&self.graph)).reduce(promoted);
        let to = match (strong, weak) {
            (Some(strong), Some(weak)) if weak.is_float() => floating(strong),
            (Some(DType::Bool), Some(weak)) => weak,
            (Some(strong), _) => strong,
            (None, Some(weak)) => weak,
            (None, None) => return self.fail(place, "there is nothing to put together"),
        };
        Ok(to)
    }

    /// Two arrays compared element by element.
    pub(in crate::service) fn compared(
        &mut self,
        kind: CompareKind,
        left: &Value<'a>,
        right: &Value<'a>,
        place: Place,
    ) -> Result<Array, Stop> {
        if let (Value::Array(array), Value::Text(text)) | (Value::Text(text), Value::Array(array)) = (left, right) {
            return self.is_text(kind, array, text, place);
        }
        let (a, b) = (self.operand(left, place)?, self.operand(right, place)?);
        let text = |array: &Array| matches!(array.dtype(&self.graph), DType::Category | DType::Text);
        let (a, b) = match (text(&a), text(&b)) {
            (false, false) => {
                let to = self.common_type(&[a.clone(), b.clone()], place)?;
                let x = self.cast(a.tensor, to, place)?;
                let y = self.cast(b.tensor, to, place)?;
                (a.with_tensor(x), b.with_tensor(y))
            }
            _ => return self.fail(place, "texts of a request are compared with constant texts, by `==` and `!=`"),
        };
        let (python, torch) = (a.python && b.python, a.torch || b.torch);
        let (tensors, indices) = self.aligned(&[a, b], place)?;
        let added = self.graph.add("compare", Compare { kind }, &tensors);
        let tensor = self.added(added, place)?;
        Ok(Array { tensor, indices, python, assumed: false, torch })
    }

    /// Whether each text of an array is `text`, or is not.
    fn is_text(&mut self, kind: CompareKind, array: &Array, text: &str, place: Place) -> Result<Array, Stop> {
        let equal = match kind {
            CompareKind::Equal => true,
            CompareKind::NotEqual => false,
            _ => return self.fail(place, "texts of a request are compared by `==` and `!=`"),
        };
        let array = self.text_column(array, &[text.into()], place)?;
        self.mapped(&array, DType::Bool, |known| u8::from((known == text) == equal), u8::from(!equal), place)
    }

    /// An array of texts among which are `texts`. A column of a request's table that is compared with texts is one of texts.
    pub(in crate::service) fn text_column(
        &mut self,
        array: &Array,
        texts: &[Rc<str>],
        place: Place,
    ) -> Result<Array, Stop> {
        match array.dtype(&self.graph) {
            DType::Category => {
                // Texts are appended: what was told about those before holds for them as for any other text.
                if self.graph.inputs().contains(&array.tensor) {
                    let old = self.graph.spec(array.tensor).table;
                    let old = old.and_then(|table| self.graph.tables().get(table as usize).cloned());
                    if old.is_none() {
                        self.compared_texts.push(array.tensor);
                    }
                    let mut table = old.unwrap_or_default();
                    for text in texts.iter().filter(|text| !text.is_empty()) {
                        if table.iter().all(|known| **known != **text) {
                            table.push(text.to_string());
                        }
                    }
                    let table = self.graph.add_table(table);
                    self.graph.set_table(array.tensor, table);
                }
                Ok(array.clone())
            }
            DType::F64 if array.assumed || self.graph.inputs().contains(&array.tensor) => {
                self.settle_text(array, place)
            }
            other => self.fail(place, format!("elements of {other} are compared with a text")),
        }
    }

    /// Categories of two arrays as those of one table.
    pub(in crate::service) fn same_table(&mut self, a: Array, b: Array, place: Place) -> Result<(Array, Array), Stop> {
        let table = |evaluator: &Self, array: &Array| {
            let table = evaluator.graph.spec(array.tensor).table?;
            evaluator.graph.tables().get(table as usize).cloned()
        };
        let (Some(first), Some(second)) = (table(self, &a), table(self, &b)) else {
            return self.fail(place, "which texts these can be is not known");
        };
        if first == second {
            return Ok((a, b));
        }
        let mut whole = first.clone();
        for text in &second {
            if !whole.contains(text) {
                whole.push(text.clone());
            }
        }
        let in_whole = |evaluator: &mut Self, array: Array, own: &[String]| {
            let positions = own.iter().filter_map(|text| whole.iter().position(|known| known == text));
            evaluator.retabled(&array, &whole, &positions.map(|at| at as u32).collect::<Vec<_>>(), place)
        };
        let a = in_whole(self, a, &first)?;
        let b = in_whole(self, b, &second)?;
        Ok((a, b))
    }

    /// Categories of another table: `positions` says where each of the old ones stands in it.
    fn retabled(&mut self, array: &Array, table: &[String], positions: &[u32], place: Place) -> Result<Array, Stop> {
        if table.len() > MAX_ITEMS || positions.is_empty() {
            return self.fail(place, "these texts are too many to be compared");
        }
        let table = self.graph.add_table(table.to_vec());
        let Ok(shape) = Shape::fixed(&[positions.len() + 1]) else {
            return self.fail(place, "these texts are too many to be compared");
        };
        let spec = TensorSpec { table: Some(table), ..TensorSpec::new(DType::Category, shape) };
        let positions = positions.iter().copied().chain([DType::UNKNOWN_CATEGORY]);
        let bytes: Vec<u8> = positions.flat_map(u32::to_le_bytes).collect();
        let added = self.graph.add_constant_bytes("texts", spec, &bytes);
        let values = self.constant(added, place)?;
        let added = self.graph.add("texts", MapCategories, &[array.tensor, values]);
        Ok(array.with_tensor(self.added(added, place)?))
    }

    /// A value for each text of an array of texts: `value` of those that are known, `other` of all others.
    pub(in crate::service) fn mapped<T: Element>(
        &mut self,
        array: &Array,
        dtype: DType,
        value: impl FnMut(&String) -> T,
        other: T,
        place: Place,
    ) -> Result<Array, Stop> {
        let table = self.graph.spec(array.tensor).table.and_then(|table| self.graph.tables().get(table as usize));
        let Some(texts) = table.filter(|_| array.dtype(&self.graph) == DType::Category) else {
            return self.fail(place, "which texts these can be is not known");
        };
        let values: Vec<T> = texts.iter().map(value).chain([other]).collect();
        let added = self.graph.add_constant("values", dtype, &[values.len()], &values);
        let values = self.constant(added, place)?;
        let added = self.graph.add("map", MapCategories, &[array.tensor, values]);
        Ok(Array { assumed: false, ..array.with_tensor(self.added(added, place)?) })
    }

    /// Two arrays of truths combined element by element.
    pub(in crate::service) fn logical(
        &mut self,
        kind: LogicKind,
        left: &Array,
        right: &Array,
        place: Place,
    ) -> Result<Array, Stop> {
        let (left, right) = (self.truths(left, place)?, self.truths(right, place)?);
        let (python, torch) = (left.python && right.python, left.torch || right.torch);
        let (tensors, indices) = self.aligned(&[left, right], place)?;
        let added = self.graph.add("logic", Logic { kind }, &tensors);
        Ok(Array { tensor: self.added(added, place)?, indices, python, assumed: false, torch })
    }

    /// The elements that Python takes as true.
    pub(in crate::service) fn truths(&mut self, array: &Array, place: Place) -> Result<Array, Stop> {
        if matches!(array.dtype(&self.graph), DType::Category | DType::Text) {
            return self.fail(place, "whether a text of the request is empty is not compiled");
        }
        Ok(Array { assumed: false, ..array.with_tensor(self.cast(array.tensor, DType::Bool, place)?) })
    }

    /// The elements that are not true.
    pub(in crate::service) fn negated(&mut self, array: &Array, place: Place) -> Result<Array, Stop> {
        let always = self.operand(&Value::Bool(true), place)?;
        self.logical(LogicKind::Xor, array, &always, place)
    }

    /// The truth of a value that depends on the request, as one element.
    pub(in crate::service) fn condition_of(&mut self, value: &Value<'a>, place: Place) -> Result<Array, Stop> {
        match value {
            Value::Array(array) if array.axes(&self.graph).is_empty() => self.truths(array, place),
            Value::Array(_) | Value::Frame(_) => {
                self.fail(place, "the truth of an array is ambiguous. Use `any()` or `all()`, or `np.where`")
            }
            other => {
                let problem = format!(
                    "this condition depends on the request ({}); one plan serves all requests",
                    other.describe()
                );
                self.fail(place, problem)
            }
        }
    }

    /// `yes` where `condition` holds, `no` elsewhere.
    pub(in crate::service) fn chosen(
        &mut self,
        condition: &Array,
        yes: &Value<'a>,
        no: &Value<'a>,
        place: Place,
    ) -> Evaluated<'a> {
        let both = |a: &Rc<[Value<'a>]>, b: &Rc<[Value<'a>]>, evaluator: &mut Self| {
            let pairs = a.iter().zip(b.iter());
            pairs.map(|(a, b)| evaluator.chosen(condition, a, b, place)).collect::<Result<Rc<[_]>, _>>()
        };
        Ok(match (yes, no) {
            (a, b) if a.equals(b) == Some(true) && a.kind() == b.kind() && same_type(a, b) => a.clone(),
            (Value::List(a), Value::List(b)) if a.len() == b.len() => Value::List(both(a, b, self)?),
            (Value::Growing(before, a), Value::Growing(_, b)) if a.len() == b.len() => {
                Value::Growing(before.clone(), both(a, b, self)?)
            }
            (Value::Tuple(a), Value::Tuple(b)) if a.len() == b.len() => Value::Tuple(both(a, b, self)?),
            (Value::Dict(a), Value::Dict(b))
                if a.len() == b.len() && a.iter().zip(b.iter()).all(|((a, _), (b, _))| a.equals(b) == Some(true)) =>
            {
                let mut items = Vec::new();
                for ((key, a), (_, b)) in a.iter().zip(b.iter()) {
                    items.push((key.clone(), self.chosen(condition, a, b, place)?));
                }
                Value::Dict(items.into())
            }
            (
                Value::Array(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Text(_),
                Value::Array(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Text(_),
            ) => Value::Array(self.selected(condition, yes, no, place)?),
            (a, b) => {
                let problem = format!(
                    "depending on the request this is {} or {}, and one plan serves all requests. Give both the same form",
                    a.describe(),
                    b.describe()
                );
                return self.fail(place, problem);
            }
        })
    }

    /// The elements of `yes` where `condition` holds, and of `no` elsewhere.
    ///
    /// Of Python's numbers both must have one type: an answer's type does not change from request to request.
    pub(in crate::service) fn selected(
        &mut self,
        condition: &Array,
        yes: &Value<'a>,
        no: &Value<'a>,
        place: Place,
    ) -> Result<Array, Stop> {
        let (a, b) = (self.operand(yes, place)?, self.operand(no, place)?);
        let text = |array: &Array| matches!(array.dtype(&self.graph), DType::Category | DType::Text);
        let (a, b) = match (text(&a), text(&b)) {
            (true, true) => self.same_table(a, b, place)?,
            (false, false) => {
                let types = [a.dtype(&self.graph), b.dtype(&self.graph)];
                if a.python && b.python && types[0] != types[1] {
                    let problem =
                        format!("depending on the request this is {} or {}. Make both the same", types[0], types[1]);
                    return self.fail(place, problem);
                }
                let to = self.common_type(&[a.clone(), b.clone()], place)?;
                let x = self.cast(a.tensor, to, place)?;
                let y = self.cast(b.tensor, to, place)?;
                (a.with_tensor(x), b.with_tensor(y))
            }
            _ => return self.fail(place, "depending on the request this is a text or a number"),
        };
        let (assumed, python, torch) = (a.assumed || b.assumed, a.python && b.python, a.torch || b.torch);
        let (tensors, indices) = self.aligned(&[condition.clone(), a, b], place)?;
        let added = self.graph.add("choose", Select, &tensors);
        Ok(Array { tensor: self.added(added, place)?, indices, python, assumed, torch })
    }
}

/// Python's `is type` of constants: `1 == 1.0` are equal and print differently.
fn same_type(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Tuple(a), Value::Tuple(b)) | (Value::List(a), Value::List(b)) => {
            a.iter().zip(b.iter()).all(|(a, b)| same_type(a, b))
        }
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// Lengths of nested lists, whose items are appended to `leaves`; `None` where they are ragged or too many.
fn flat<'a>(value: &Value<'a>, leaves: &mut Vec<Value<'a>>, depth: usize) -> Option<Vec<usize>> {
    let Some(items) = value.items() else {
        leaves.push(value.clone());
        return (leaves.len() <= MAX_ITEMS * 10).then(Vec::new);
    };
    let mut inner: Option<Vec<usize>> = None;
    for item in items {
        let dims = flat(item, leaves, depth + 1).filter(|_| depth < 8)?;
        if inner.get_or_insert_with(|| dims.clone()) != &dims {
            return None;
        }
    }
    Some([vec![items.len()], inner.unwrap_or_default()].concat())
}

fn integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Bool(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        other => integer(other).map(|value| value as f64),
    }
}
