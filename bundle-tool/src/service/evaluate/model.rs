//! Calls of models, and what they settle about the API's inputs.

use std::collections::HashSet;
use std::rc::Rc;

use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::{DType, Shape};

use super::super::error::ServiceError;
use super::super::input::{ApiInput, Form};
use super::{Array, Evaluator, Frame, Index, MAX_MODEL_CALLS, ModelCall, Place, Stop, Value};
use crate::frontend::{FrontendError, ModelInput, NamedTensor, format_name};
use crate::graph::{Graph, GraphError, TensorId};

impl<'a> Evaluator<'_, 'a> {
    /// What `method` of a model computes of `given`, one array for each of its inputs.
    ///
    /// With `converts`, numbers of another type are converted, as scikit-learn does and ONNX Runtime does not.
    pub(in crate::service) fn call_model(
        &mut self,
        name: &str,
        method: &str,
        given: &[(Array, Place)],
        converts: bool,
        place: Place,
    ) -> Result<Vec<NamedTensor>, Stop> {
        let Some(model) = self.models.get(name) else {
            return self.missing_model(name, place);
        };
        let wanted = model.inputs();
        if wanted.len() != given.len() {
            return self
                .fail(place, format!("the model `{name}` takes {} inputs, {} are given", wanted.len(), given.len()));
        }
        let mut tensors = Vec::new();
        for (input, (array, place)) in wanted.iter().zip(given) {
            tensors.push(self.fitting(array, input, converts, *place)?);
        }
        let known = |call: &&ModelCall| (call.0.as_str(), call.1.as_str(), &call.2) == (name, method, &tensors);
        if let Some((.., outputs)) = self.model_calls.iter().find(known) {
            return Ok(outputs.clone());
        }
        if self.model_calls.len() >= MAX_MODEL_CALLS {
            return self
                .fail(place, format!("an API with more than {MAX_MODEL_CALLS} calls of models is not compiled"));
        }
        match model.call(&mut self.graph, method, &tensors) {
            Ok(outputs) => {
                self.model_calls.push((name.to_owned(), method.to_owned(), tensors, outputs.clone()));
                Ok(outputs)
            }
            Err(error) => self.model_error(error, place, name),
        }
    }

    /// Whether a model takes the columns of a table.
    pub(in crate::service) fn takes_columns(&self, model: &str) -> bool {
        self.models.get(model).is_some_and(|model| model.takes_columns())
    }

    /// What `method` of a model that takes the columns of a table computes of `given`, a frame or a column.
    pub(in crate::service) fn call_table_model(
        &mut self,
        name: &str,
        method: &str,
        given: &Value<'a>,
        place: Place,
    ) -> Result<Vec<NamedTensor>, Stop> {
        let Some(model) = self.models.get(name) else {
            return self.missing_model(name, place);
        };
        let wanted = model.inputs();
        let arrays = match given {
            Value::Frame(frame) => match &**frame {
                Frame::Columns(columns, input) => {
                    let named = |input: &ModelInput| columns.iter().any(|(name, _)| *name == input.name);
                    if !wanted.iter().all(named) {
                        self.note_whole_use(*input, place);
                    }
                    self.columns_for(name, &wanted, columns, place)?
                }
                Frame::Table { array, .. } => return self.settle_table(array.tensor, &wanted, None, place),
            },
            Value::Array(array) if wanted.len() == 1 => {
                let column = match array.indices.get(1) {
                    Some(Index::At(column)) => Some(*column as usize),
                    _ => None,
                };
                let is_table = self.graph.shape(array.tensor).rank() == 2
                    && !matches!(array.dtype(&self.graph), DType::Text | DType::Category);
                if is_table {
                    return self.settle_table(array.tensor, &wanted, column, place);
                }
                vec![array.clone()]
            }
            Value::List(_) | Value::Rows(..) => self.listed_columns(name, &wanted, given, place)?,
            other => {
                let problem = format!(
                    "the model `{name}` takes a table with texts; call it with the frame, not with {}",
                    other.describe()
                );
                return self.fail(place, problem);
            }
        };
        let given: Vec<(Array, Place)> = arrays.into_iter().map(|array| (array, place)).collect();
        self.call_model(name, method, &given, true, place)
    }

    /// The columns of a list of rows, or of a list of single values for a model of one column.
    fn listed_columns(
        &mut self,
        model: &str,
        wanted: &[ModelInput],
        rows: &Value<'a>,
        place: Place,
    ) -> Result<Vec<Array>, Stop> {
        let single = |row: &Value<'a>| wanted.len() == 1 && !matches!(row, Value::List(_) | Value::Tuple(_));
        let refused = format!("the model `{model}` takes rows of {} values", wanted.len());
        let mut columns = Vec::new();
        match rows {
            Value::Rows(id, row) => {
                let row = row.substitute(*id, Index::All);
                for at in 0..wanted.len() {
                    let cell = if single(&row) { Some(&row) } else { row.items().and_then(|cells| cells.get(at)) };
                    match cell {
                        Some(cell) => columns.push(self.operand(cell, place)?),
                        None => return self.fail(place, refused),
                    }
                }
            }
            rows => {
                let rows = rows.items().unwrap_or_default();
                for at in 0..wanted.len() {
                    let cell =
                        |row: &Value<'a>| if single(row) { Some(row.clone()) } else { row.items()?.get(at).cloned() };
                    match rows.iter().map(cell).collect::<Option<Vec<_>>>() {
                        Some(cells) if !cells.is_empty() => {
                            columns.push(self.operand(&Value::List(cells.into()), place)?);
                        }
                        _ => return self.fail(place, refused),
                    }
                }
            }
        }
        Ok(columns)
    }

    /// The columns that a model takes, by their names, or all in order where there are as many without those names.
    fn columns_for(
        &self,
        model: &str,
        wanted: &[ModelInput],
        columns: &[(String, Array)],
        place: Place,
    ) -> Result<Vec<Array>, Stop> {
        let find =
            |input: &ModelInput| columns.iter().find(|(name, _)| *name == input.name).map(|(_, array)| array.clone());
        if let Some(found) = wanted.iter().map(find).collect() {
            return Ok(found);
        }
        if wanted.len() == columns.len() {
            return Ok(columns.iter().map(|(_, array)| array.clone()).collect());
        }
        let names: Vec<&str> = wanted.iter().map(|input| input.name.as_str()).collect();
        self.fail(place, format!("the model `{model}` takes the columns {}", names.join(", ")))
    }

    /// A model takes the columns of the table that `tensor` is computed of: each becomes an input of the graph. With `column`, the model
    /// takes that one alone.
    fn settle_table<T>(
        &mut self,
        tensor: TensorId,
        wanted: &[ModelInput],
        column: Option<usize>,
        place: Place,
    ) -> Result<T, Stop> {
        let mut inputs = self.inputs.clone();
        let sources = self.sources(tensor);
        let open = match sources[..] {
            [index] => {
                inputs.get_mut(index).filter(|input| matches!(input.form, Form::Frame { .. }) && input.table.is_none())
            }
            _ => None,
        };
        let Some(open) = open else {
            return self.fail(place, "the model takes a table with texts; call it with the frame that the API takes");
        };
        let known = open.columns.clone().unwrap_or_default();
        let mut names = known.clone();
        if !open.columns_declared && column.is_none() {
            let missing = wanted.iter().filter(|input| !known.contains(&input.name)).map(|input| input.name.clone());
            names = missing.chain(known.iter().cloned()).collect();
            let place = |name: &String| wanted.iter().position(|input| input.name == *name).unwrap_or(usize::MAX);
            names.sort_by_key(place);
        }
        let number = Shape::new(&[1], Some(0)).map(|shape| ekiben_runtime::TensorSpec::new(DType::F64, shape));
        let Ok(number) = number else {
            return self.fail(place, "this table has no shape that can be compiled");
        };
        let by_position = wanted.len() == names.len() && wanted.iter().all(|input| !names.contains(&input.name));
        let spec = |(position, name): (usize, &String)| {
            let named = wanted.iter().find(|input| input.name == *name);
            let input = match column {
                Some(column) => wanted.first().filter(|_| column == position),
                None if by_position => wanted.get(position),
                None => named,
            };
            input.map_or(number, |input| input.spec)
        };
        open.table = Some(names.iter().enumerate().map(spec).collect());
        open.columns = Some(names);
        open.settled = true;
        Err(Stop::Settled(inputs))
    }

    /// A column of a request's table holds texts: then each column is an input of the graph.
    pub(super) fn settle_text<T>(&mut self, array: &Array, place: Place) -> Result<T, Stop> {
        self.retype(array.tensor, DType::Category, &[])?;
        if array.indices.is_empty() && self.graph.inputs().contains(&array.tensor) {
            return self.settle_text_column(array.tensor, place);
        }
        let mut inputs = self.inputs.clone();
        let column = match array.indices.get(1) {
            Some(Index::At(column)) if self.graph.inputs().contains(&array.tensor) => Some(*column as usize),
            _ => None,
        };
        let open = match self.sources(array.tensor)[..] {
            [index] => inputs.get_mut(index),
            _ => None,
        };
        let open = open.filter(|input| matches!(input.form, Form::Frame { .. }) && input.table.is_none());
        let (Some(open), Some(column), Ok(shape)) = (open, column, Shape::new(&[1], Some(0))) else {
            return self.fail(place, "numbers are compared with a text. A text is a column of the API's table");
        };
        let width = open.columns.as_ref().map_or(0, Vec::len);
        let spec = |at: usize| {
            let dtype = if at == column { DType::Category } else { DType::F64 };
            ekiben_runtime::TensorSpec::new(dtype, shape)
        };
        open.table = Some((0..width).map(spec).collect());
        open.settled = true;
        Err(Stop::Settled(inputs))
    }

    /// A column of a table whose columns are inputs holds texts.
    fn settle_text_column<T>(&mut self, tensor: TensorId, place: Place) -> Result<T, Stop> {
        let mut inputs = self.inputs.clone();
        let at = self.graph.inputs().iter().position(|input| *input == tensor);
        if let Some(at) = at
            && let Some(leaf) = inputs.leaf_of(at)
            && let first = inputs.first_input(leaf)
            && let Some(table) = inputs.get_mut(leaf).and_then(|leaf| leaf.table.as_mut())
            && let Some(spec) = table.get_mut(at - first)
        {
            spec.dtype = DType::Category;
            return Err(Stop::Settled(inputs));
        }
        self.fail(place, "numbers are compared with a text. A text is a column of the API's table")
    }

    /// The end at a use of a model that no front-end has read.
    pub(in crate::service) fn missing_model<T>(&self, name: &str, place: Place) -> Result<T, Stop> {
        let problem = match self.bundle.model(name) {
            Some(model) => format!(
                "the model `{name}` is in the format {}, which is not read. Export it as ONNX or TFLite, or use scikit-learn",
                format_name(model.format)
            ),
            None => format!("the bento has no model `{name}`"),
        };
        self.fail(place, problem)
    }

    fn model_error<T>(&self, error: FrontendError, place: Place, name: &str) -> Result<T, Stop> {
        let source = self.class.modules.source(place.module);
        let place = Box::new(source.place(&place.range, format!("the model `{name}` cannot be compiled")));
        Err(Stop::Error(ServiceError::Model { place, source: Box::new(error) }))
    }

    /// The tensor of `array` as the model's input `wanted`.
    fn fitting(&mut self, array: &Array, wanted: &ModelInput, converts: bool, place: Place) -> Result<TensorId, Stop> {
        let array = &self.materialise(array, place)?;
        let shape = self.graph.shape(array.tensor);
        if !fits(&shape, &wanted.spec.shape) {
            return self.settle_shape(array.tensor, wanted, place);
        }
        self.note_shape(array.tensor);
        let dtype = array.dtype(&self.graph);
        if dtype != wanted.spec.dtype && matches!(wanted.spec.dtype, DType::Category | DType::Text) {
            self.retype(array.tensor, wanted.spec.dtype, &[])?;
        }
        if self.compared_texts.contains(&array.tensor) {
            let problem = "a column that is compared with texts here is not given to a model too. Call the model first";
            return self.fail(place, problem);
        }
        if dtype == wanted.spec.dtype {
            return Ok(array.tensor);
        }
        if !converts || matches!(dtype, DType::Category | DType::Text) {
            let problem = format!(
                "`{}` of the model is {}, and this is {dtype}; the framework refuses it. Convert it with `astype`",
                wanted.name, wanted.spec.dtype
            );
            return self.fail(place, problem);
        }
        self.cast(array.tensor, wanted.spec.dtype, place)
    }

    /// `tensor` converted to another type.
    pub(in crate::service) fn cast(&mut self, tensor: TensorId, to: DType, place: Place) -> Result<TensorId, Stop> {
        if self.graph.spec(tensor).dtype == to {
            return Ok(tensor);
        }
        let added = self.graph.add("astype", Cast { to }, &[tensor]);
        self.added(added, place)
    }

    /// The result of adding a node for the expression at `place`.
    pub(in crate::service) fn added(
        &self,
        added: Result<TensorId, GraphError>,
        place: Place,
    ) -> Result<TensorId, Stop> {
        added.or_else(|error| self.fail(place, format!("this cannot be computed: {}", error.error)))
    }

    /// The inputs of the API that a tensor is computed of, by index.
    fn sources(&self, tensor: TensorId) -> Vec<usize> {
        let mut needed = HashSet::from([tensor]);
        for node in self.graph.nodes().iter().rev() {
            if node.outputs.iter().any(|output| needed.contains(output)) {
                needed.extend(node.inputs.iter().flatten().copied());
            }
        }
        let inputs = self.graph.inputs().iter().enumerate().filter(|(_, input)| needed.contains(input));
        let mut sources: Vec<usize> = inputs.filter_map(|(at, _)| self.inputs.leaf_of(at)).collect();
        sources.dedup();
        sources
    }

    /// The one input that a tensor is computed of, while its shape is only assumed.
    pub(in crate::service) fn unsettled(&self, tensor: TensorId) -> Option<usize> {
        match self.sources(tensor)[..] {
            [index] if self.inputs.get(index).is_some_and(|input| !input.settled) => Some(index),
            _ => None,
        }
    }

    /// An array whose number of columns is only assumed is computed with a constant of several: it has as many.
    pub(super) fn hint_columns(&mut self, a: &Array, b: &Array) -> Result<(), Stop> {
        for (open, constant) in [(a, b), (b, a)] {
            let (shape, other) = (self.graph.shape(open.tensor), self.graph.shape(constant.tensor));
            let is_constant = self.graph.tensor(constant.tensor).constant.is_some();
            let columns = other.rank().checked_sub(1).and_then(|axis| other.factor(axis)).unwrap_or(1);
            let last = shape.rank().saturating_sub(1);
            let is_open = shape.rank() > 1 && shape.factor(last) == Some(1) && !shape.is_batch(last);
            if !is_constant || columns < 2 || !is_open || other.rank() > shape.rank() {
                continue;
            }
            let Some(index) = self.unsettled(open.tensor) else { continue };
            let mut inputs = self.inputs.clone();
            if let Some(input) = inputs.get_mut(index)
                && input.shape == shape
                && matches!(input.form, Form::Frame { .. } | Form::Array { .. } | Form::List)
                && input.columns.is_none()
                && let Ok(wider) = shape.with_axis(last, columns, false)
            {
                input.shape = wider;
                input.hinted = true;
                return Err(Stop::Settled(inputs));
            }
        }
        Ok(())
    }

    /// A model takes a tensor as it is: if it has an input's assumed shape, that is the input's shape.
    fn note_shape(&mut self, tensor: TensorId) {
        let shape = self.graph.shape(tensor);
        if let Some(index) = self.unsettled(tensor)
            && let Some(input) = self.inputs.get_mut(index)
            && input.shape == shape
        {
            input.settled = !input.is_scalar();
        }
    }

    /// A model does not take a tensor's shape: the input's shape, if it was assumed, is the one that the model takes.
    pub(super) fn settle_shape<T>(&mut self, tensor: TensorId, wanted: &ModelInput, place: Place) -> Result<T, Stop> {
        let shape = self.graph.shape(tensor);
        let rank = wanted.spec.shape.rank();
        let possible = |input: &ApiInput| match &input.form {
            Form::Frame { .. } => rank == 2,
            Form::Array { .. } | Form::List | Form::Image => true,
            Form::Scalar { .. } | Form::Sound { .. } => false,
        };
        self.settle_leaf(tensor, wanted)?;
        let index = self.unsettled(tensor);
        if let Some(index) = index.filter(|&index| self.inputs.get(index).is_some_and(possible)) {
            let mut inputs = self.inputs.clone();
            if let Some(input) = inputs.get_mut(index)
                && input.shape == shape
            {
                input.shape = wanted.spec.shape;
                input.settled = true;
                return Err(Stop::Settled(inputs));
            }
        }
        let problem =
            format!("`{}` of the model has the shape {}, and this has {shape}", wanted.name, wanted.spec.shape);
        self.fail(place, problem)
    }

    /// Adds columns to those of an input whose columns are not declared.
    pub(super) fn settle_columns<T>(
        &mut self,
        input: Option<usize>,
        known: &[String],
        names: &[Rc<str>],
        place: Place,
    ) -> Result<T, Stop> {
        let mut inputs = self.inputs.clone();
        let open = input.and_then(|index| inputs.get_mut(index)).filter(|input| !input.columns_declared);
        let Some(open) = open else {
            return self.fail(place, format!("the frame has the columns {}", known.join(", ")));
        };
        let columns = open.columns.get_or_insert_default();
        for name in names {
            if columns.iter().all(|column| **column != **name) {
                columns.push(name.to_string());
            }
        }
        let width = columns.len();
        let (Ok(shape), Ok(column)) = (Shape::new(&[1, width], Some(0)), Shape::new(&[1], Some(0))) else {
            return self.fail(place, "these are too many columns");
        };
        if let Some(table) = &mut open.table {
            table.resize(width, ekiben_runtime::TensorSpec::new(DType::F64, column));
        }
        open.shape = shape;
        open.settled = true;
        Err(Stop::Settled(inputs))
    }

    /// Columns of an input are used by their names.
    pub(super) fn note_named_use(&mut self, input: Option<usize>, place: Place) {
        if let Some(input) = input.and_then(|index| self.inputs.get_mut(index)) {
            input.named_use.get_or_insert(place);
        }
    }

    /// The names of a session's outputs, in order.
    pub(in crate::service) fn output_names(&mut self, model: &str, place: Place) -> Result<Vec<String>, Stop> {
        if let Some(names) = self.output_names.get(model) {
            return Ok(names.clone());
        }
        let Some(session) = self.models.get(model) else {
            return self.missing_model(model, place);
        };
        let mut graph = Graph::new();
        let inputs: Vec<TensorId> =
            session.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
        match session.call(&mut graph, "run", &inputs) {
            Ok(outputs) => {
                let names: Vec<String> = outputs.into_iter().map(|output| output.name).collect();
                self.output_names.insert(model.to_owned(), names.clone());
                Ok(names)
            }
            Err(error) => self.model_error(error, place, model),
        }
    }
}

/// Whether a model whose input has the shape `wanted` takes the shape `given`: the same, or with a fixed number of rows.
fn fits(given: &Shape, wanted: &Shape) -> bool {
    let axis = |axis: usize| {
        let fixed_rows = wanted.is_batch(axis) && !given.is_batched();
        fixed_rows || (given.factor(axis) == wanted.factor(axis) && given.is_batch(axis) == wanted.is_batch(axis))
    };
    given.rank() == wanted.rank() && (0..given.rank()).all(axis)
}
