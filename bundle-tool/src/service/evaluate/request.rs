//! Values of a request that are objects, lists and single values of JSON.
//!
//! Where a service declares no types, its use of a value tells what it is: a member that is taken becomes a leaf, a leaf that is
//! taken apart becomes an object or a list, one that a model takes whole becomes an array.

use std::rc::Rc;

use ekiben_runtime::artifact::manifest::Orient;
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::super::input::{ApiInput, Form, Inputs, Member, Node, Step};
use super::{Array, Evaluated, Evaluator, Frame, Index, Json, Place, Stop, Value};
use crate::frontend::ModelInput;
use crate::graph::TensorId;

impl<'a> Evaluator<'_, 'a> {
    /// The values of the API's parameters; their leaves become inputs of the graph.
    pub(in crate::service) fn input_values(&mut self) -> Vec<Value<'a>> {
        for index in 0..self.inputs.leaves.len() {
            self.add_leaf(index);
        }
        (0..self.inputs.parameters.len()).map(|parameter| self.node_value(parameter, &[], None)).collect()
    }

    /// The inputs of the graph that leaf `index` fills.
    pub(super) fn add_leaf(&mut self, index: usize) {
        let Some(leaf) = self.inputs.get(index).cloned() else { return };
        match (&leaf.table, &leaf.columns) {
            (Some(specs), Some(names)) => {
                for (name, &spec) in names.iter().zip(specs) {
                    self.graph.add_input(name, spec);
                }
            }
            _ => {
                self.graph.add_input(&leaf.name, TensorSpec::new(leaf.dtype, leaf.shape));
            }
        }
    }

    /// The value of leaf `index`.
    pub(super) fn leaf_value(&self, index: usize, row: Option<Index>) -> Value<'a> {
        let first = self.inputs.first_input(index);
        let (Some(leaf), Some(&tensor)) = (self.inputs.get(index), self.graph.inputs().get(first)) else {
            return Value::None;
        };
        if let (Some(specs), Some(names)) = (&leaf.table, &leaf.columns) {
            let tensors = self.graph.inputs().iter().skip(first).take(specs.len());
            let columns = names.iter().zip(tensors).map(|(name, &tensor)| (name.clone(), Array::whole(tensor)));
            let open = (!leaf.columns_declared).then_some(index);
            return Value::Frame(Rc::new(Frame::Columns(columns.collect(), open)));
        }
        let python = matches!(leaf.form, Form::List | Form::Scalar { .. });
        let array = Array { python, assumed: leaf.assumed, ..Array::whole(tensor) };
        match (&leaf.form, row) {
            (Form::Frame { .. }, _) => {
                let columns = leaf.columns.clone();
                Value::Frame(Rc::new(Frame::Table { array, columns, input: Some(index) }))
            }
            (_, Some(row)) => Value::Array(array.with_index(0, row)),
            (_, None) => Value::Array(array),
        }
    }

    /// The value at the end of `path`; `row` is the row that it belongs to.
    fn node_value(&mut self, parameter: usize, path: &[Step], row: Option<Index>) -> Value<'a> {
        let below = |step: Step| -> Vec<Step> { path.iter().cloned().chain([step]).collect() };
        match self.inputs.node(parameter, path).cloned() {
            Some(Node::Leaf(index)) => self.leaf_value(index, row),
            Some(Node::Object { members, open: false }) => {
                let mut items = Vec::new();
                for member in &members {
                    let name: Rc<str> = member.name.as_str().into();
                    let value = self.node_value(parameter, &below(Step::Member(name.clone())), row);
                    items.push((Value::Text(name), value));
                }
                Value::Record(items.into())
            }
            Some(Node::Records(item)) => {
                if let Node::Leaf(index) = *item {
                    return self.leaf_value(index, None);
                }
                self.loops.push((1, true));
                let id = self.loops.len() - 1;
                let item = self.node_value(parameter, &below(Step::Items), Some(Index::Loop(id)));
                Value::Rows(id, Rc::new(item))
            }
            Some(Node::Image { source, .. }) => self.picture_value(Json { parameter, path: path.into(), row }, &source),
            Some(Node::Object { open: true, .. } | Node::Single(_)) | None => {
                Value::Json(Json { parameter, path: path.into(), row })
            }
        }
    }

    /// `value["name"]`; with a default, `value.get("name", default)`.
    pub(in crate::service) fn json_member(
        &mut self,
        json: &Json,
        name: &Rc<str>,
        default: Option<serde_json::Value>,
        place: Place,
    ) -> Evaluated<'a> {
        let path: Vec<Step> = json.path.iter().cloned().chain([Step::Member(name.clone())]).collect();
        let shape = self.leaf_shape(json.row.is_some(), place)?;
        let Some(Node::Object { members, open: true }) = self.inputs.node(json.parameter, &json.path) else {
            return self.fail(place, "this value is a row of a table here; take its columns from the frame");
        };
        if let Some(member) = members.iter_mut().find(|member| *member.name == **name) {
            // A request without it would be an error, if not here then there.
            if member.default != default {
                member.default = None;
            }
            return Ok(self.node_value(json.parameter, &path, json.row));
        }
        let Some(node) = self.inputs.add(ApiInput::any(name, place, shape)) else {
            return self.fail(place, "this API takes too many values");
        };
        if let Some(Node::Object { members, .. }) = self.inputs.node(json.parameter, &json.path) {
            members.push(Member { name: name.to_string(), node, default });
        }
        self.add_leaf(self.inputs.leaves.len() - 1);
        Ok(self.node_value(json.parameter, &path, json.row))
    }

    fn leaf_shape(&self, batched: bool, place: Place) -> Result<Shape, Stop> {
        let shape = if batched { Shape::new(&[1], Some(0)) } else { Shape::new(&[], None) };
        shape.or_else(|error| self.fail(place, error.to_string()))
    }

    /// The leaf that an array is, where it is one whose type only its use tells.
    pub(in crate::service) fn open_leaf(&self, array: &Array) -> Option<usize> {
        let position = self.graph.inputs().iter().position(|input| *input == array.tensor)?;
        let leaf = self.inputs.leaf_of(position)?;
        let open = self.inputs.get(leaf).is_some_and(|leaf| leaf.is_scalar() && leaf.assumed);
        open.then_some(leaf)
    }

    /// A value of the request whose members are taken is an object.
    pub(in crate::service) fn settle_object<T>(
        &mut self,
        leaf: usize,
        name: &Rc<str>,
        place: Place,
    ) -> Result<T, Stop> {
        self.replace(leaf, place, |node, _| {
            let member = Member { name: name.to_string(), node, default: None };
            Some(Node::Object { members: vec![member], open: true })
        })
    }

    /// A value of the request that a loop goes over is a list with one item for each row.
    pub(in crate::service) fn settle_records<T>(&mut self, leaf: usize, place: Place) -> Result<T, Stop> {
        let shape = self.leaf_shape(true, place)?;
        self.replace(leaf, place, |node, inputs| {
            inputs.get_mut(leaf)?.shape = shape;
            Some(Node::Records(Box::new(node)))
        })
    }

    /// Puts another node in a leaf's place and starts again.
    fn replace<T>(
        &mut self,
        leaf: usize,
        place: Place,
        with: impl FnOnce(Node, &mut Inputs) -> Option<Node>,
    ) -> Result<T, Stop> {
        let mut inputs = self.inputs.clone();
        let found = inputs.path_of(leaf).and_then(|(parameter, path)| {
            let node = with(Node::Leaf(leaf), &mut inputs)?;
            // Rows of rows are not told apart.
            let nested = matches!(node, Node::Records(_)) && path.contains(&Step::Items);
            *inputs.node(parameter, &path)? = node;
            (!nested).then_some(())
        });
        match found {
            Some(()) => Err(Stop::Settled(inputs)),
            None => {
                self.fail(place, "a list of a number of items that each request decides, for each row, is not compiled")
            }
        }
    }

    /// A value of which no member is known yet becomes another node; the evaluation starts again.
    fn settle_json<T>(
        &mut self,
        json: &Json,
        place: Place,
        make: impl FnOnce(&mut Inputs, &str) -> Option<Node>,
    ) -> Result<T, Stop> {
        let mut inputs = self.inputs.clone();
        let step = |step: &Step| if let Step::Member(name) = step { Some(name.to_string()) } else { None };
        let named = json.path.iter().rev().find_map(step);
        let whole = || inputs.parameters.get(json.parameter).map(|parameter| parameter.name.clone());
        let name = named.or_else(whole).unwrap_or_default();
        let node = inputs.node(json.parameter, &json.path);
        let unused = matches!(node, Some(Node::Object { members, open: true }) if members.is_empty());
        let made = if unused { make(&mut inputs, &name) } else { None };
        match (made, inputs.node(json.parameter, &json.path)) {
            (Some(made), Some(node)) => {
                *node = made;
                Err(Stop::Settled(inputs))
            }
            _ => self.fail(place, "this value of the request is used as an object elsewhere, and otherwise here"),
        }
    }

    /// A value of the request that is computed with is a number or an array of them.
    pub(in crate::service) fn settle_number<T>(&mut self, json: &Json, place: Place) -> Result<T, Stop> {
        let shape = self.leaf_shape(json.row.is_some(), place)?;
        self.settle_json(json, place, |inputs, name| inputs.add(ApiInput::any(name, place, shape)))
    }

    /// A value of the request that a loop goes over is a list of objects.
    pub(in crate::service) fn settle_list<T>(&mut self, json: &Json, place: Place) -> Result<T, Stop> {
        if json.row.is_some() {
            return self
                .fail(place, "a list of a number of items that each request decides, for each row, is not compiled");
        }
        let item = Node::Object { members: Vec::new(), open: true };
        self.settle_json(json, place, |_, _| Some(Node::Records(Box::new(item))))
    }

    /// A leaf that is a table, whose columns a model tells; with `fills`, columns that it lacks are of missing values.
    fn table(name: &str, orient: Option<Orient>, fills: bool, place: Place) -> Option<ApiInput> {
        let shape = Shape::new(&[1, 1], Some(0)).ok()?;
        let leaf = ApiInput::new(name, place, Form::Frame { orient }, DType::F64, shape);
        Some(ApiInput { assumed: true, fills, ..leaf })
    }

    /// `pandas.DataFrame(value)` of a value of the request.
    pub(in crate::service) fn json_frame(&mut self, json: &Json, fills: bool, place: Place) -> Evaluated<'a> {
        self.settle_json(json, place, |inputs, name| inputs.add(Self::table(name, None, fills, place)?))
    }

    /// `pandas.DataFrame([value])`, or of a list of such values, one for each row.
    pub(in crate::service) fn json_row_frame(&mut self, json: &Json, fills: bool, place: Place) -> Evaluated<'a> {
        if let Some(Node::Single(item)) = self.inputs.node(json.parameter, &json.path)
            && let Node::Leaf(index) = **item
        {
            return Ok(self.leaf_value(index, None));
        }
        self.settle_json(json, place, |inputs, name| {
            let leaf = inputs.add(Self::table(name, Some(Orient::Records), fills, place)?)?;
            Some(Node::Single(Box::new(leaf)))
        })
    }

    /// `pandas.DataFrame(leaf)`: the value is a table.
    pub(in crate::service) fn leaf_frame<T>(
        &mut self,
        leaf: usize,
        single: bool,
        fills: bool,
        place: Place,
    ) -> Result<T, Stop> {
        self.replace(leaf, place, |node, inputs| {
            let name = inputs.get(leaf)?.name.clone();
            let orient = single.then_some(Orient::Records);
            *inputs.get_mut(leaf)? = Self::table(&name, orient, fills, place)?;
            Some(if single { Node::Single(Box::new(node)) } else { node })
        })
    }

    /// The leaf that a tensor holds, with other axes of length 1 at most.
    fn leaf_below(&self, mut tensor: TensorId) -> Option<usize> {
        loop {
            if let Some(position) = self.graph.inputs().iter().position(|input| *input == tensor) {
                return self.inputs.leaf_of(position);
            }
            let node = self.graph.producer(tensor)?;
            if !matches!(node.op, Op::Reshape(_)) {
                return None;
            }
            tensor = (*node.inputs.first()?)?;
        }
    }

    /// A model takes texts or categories where a leaf was taken for a number, or for one of the other: it starts again. `bytes` is the
    /// length of a text.
    pub(super) fn retype(&mut self, tensor: TensorId, dtype: DType, bytes: &[usize]) -> Result<(), Stop> {
        let Some(leaf) = self.leaf_below(tensor) else { return Ok(()) };
        let mut inputs = self.inputs.clone();
        let Some(input) = inputs.get_mut(leaf).filter(|input| {
            input.is_scalar() && input.dtype != dtype && (input.assumed || input.dtype == DType::Category)
        }) else {
            return Ok(());
        };
        let factors = input.shape.factors().iter().map(|&factor| factor as usize);
        let dims: Vec<usize> = factors.chain(bytes.iter().copied()).collect();
        if let Ok(shape) = Shape::new(&dims, input.shape.batch_axis()) {
            (input.dtype, input.shape, input.assumed) = (dtype, shape, false);
            return Err(Stop::Settled(inputs));
        }
        Ok(())
    }

    /// A model takes a shape that a leaf does not have yet: a text of some bytes, or a list where one value was assumed.
    pub(super) fn settle_leaf(&mut self, tensor: TensorId, wanted: &ModelInput) -> Result<(), Stop> {
        let shape = wanted.spec.shape;
        if wanted.spec.dtype == DType::Text
            && let Some(&bytes) = shape.factors().last()
        {
            return self.retype(tensor, DType::Text, &[bytes as usize]);
        }
        let given = self.graph.shape(tensor);
        let Some(leaf) = self.leaf_below(tensor) else { return Ok(()) };
        let mut inputs = self.inputs.clone();
        let dims: Vec<usize> = shape.factors().iter().map(|&factor| factor as usize).collect();
        let Some(input) = inputs.get_mut(leaf).filter(|input| {
            let open = input.is_scalar() && input.assumed || input.form == Form::List && !input.settled;
            open && shape.batch_axis() == Some(0)
        }) else {
            return Ok(());
        };
        // The leaf itself is what the model takes, or one row of it.
        let whole = input.shape == given;
        let one_row = !input.shape.is_batched() || input.form == Form::List;
        let made = if whole {
            (input.is_scalar() || input.shape.rank() == shape.rank()).then_some(shape)
        } else if one_row && (input.is_scalar() || given.rank() == shape.rank()) {
            Shape::fixed(dims.get(1..).unwrap_or_default()).ok()
        } else {
            None
        };
        // A list for each row keeps its rows.
        let Some(made) = made.filter(|made| *made != input.shape) else { return Ok(()) };
        if made.rank() > 0 {
            (input.form, input.shape, input.settled, input.holds) = (Form::List, made, true, false);
            return Err(Stop::Settled(inputs));
        }
        Ok(())
    }
}
