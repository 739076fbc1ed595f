//! A lowered API as a declaration: what `ekiben init` writes.
//!
//! The nodes between inputs, models and answers are written as the operators that make them. Whether the declaration means the same as what
//! it was written of is for the caller to try.

mod input;
mod literal;

use std::collections::HashMap;

use ekiben_runtime::artifact::manifest::{Orient, Returns};
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;
use ekiben_runtime::{Op, Shape};

use super::super::evaluate::{ModelCall, Models};
use crate::graph::{Graph, Node, TensorId};
use crate::lowered::LoweredApi;

use input::{Keys, Written};
use literal::{constant, list, text};

pub(crate) use literal::text as quoted;

/// Steps of a declaration that is written.
const MAX_STEPS: usize = 200;
/// Steps that one step needs before it, in a row.
const MAX_DEPTH: usize = 100;

/// The `[[api]]` that `api` is, where each of its nodes is an operator. `calls` are those of its models.
///
/// # Errors
/// Says what no declaration has.
pub(crate) fn declared(api: &LoweredApi, calls: &[ModelCall], models: &Models) -> Result<String, String> {
    let Written { lines, names, tables } = input::inputs(&api.manifest.input, &api.graph)?;
    let mut writer = Writer {
        graph: &api.graph,
        calls,
        models,
        names,
        tables,
        steps: String::new(),
        counts: HashMap::new(),
        depth: 0,
    };
    let (returns, rows) = match &api.manifest.returns {
        Returns::Rows(inner) => (&**inner, !api.manifest.input.is_row()),
        other => (other, false),
    };
    let answer = writer.answer(returns)?;
    let rows = if rows { "rows = true\n" } else { "" };
    if api.manifest.is_text {
        return Err("an answer that is a text".to_owned());
    }
    let name = text(&api.manifest.name);
    Ok(format!("[[api]]\nname = {name}\n{lines}{}\n[api.answer]\n{rows}json = {answer}\n", writer.steps))
}

struct Writer<'w> {
    graph: &'w Graph,
    calls: &'w [ModelCall],
    models: &'w Models,
    /// What references call tensors.
    names: HashMap<TensorId, String>,
    tables: Vec<(String, Vec<TensorId>)>,
    steps: String,
    /// Steps of each operator.
    counts: HashMap<String, usize>,
    depth: usize,
}

impl Writer<'_> {
    /// Writes a step and gives its name.
    fn step(&mut self, stem: &str, op: &str, keys: &[(&str, String)]) -> Result<String, String> {
        if self.counts.values().sum::<usize>() >= MAX_STEPS {
            return Err(format!("more than {MAX_STEPS} steps"));
        }
        let stem: String = stem.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '_' }).collect();
        let count = self.counts.entry(stem.clone()).or_default();
        *count += 1;
        let mut name = if *count == 1 { stem } else { format!("{stem}_{count}") };
        if name.starts_with(|letter: char| letter.is_numeric()) {
            name.insert(0, '_');
        }
        while self.names.values().any(|known| known.split('.').next() == Some(name.as_str())) {
            name.push('_');
        }
        self.steps += &format!("\n[[api.step]]\nname = {}\nop = {}\n", text(&name), text(op));
        for (key, value) in keys {
            self.steps += &format!("{key} = {value}\n");
        }
        Ok(name)
    }

    /// What references call a tensor; the steps that make it are written first.
    fn reference(&mut self, tensor: TensorId) -> Result<String, String> {
        if let Some(name) = self.names.get(&tensor) {
            return Ok(name.clone());
        }
        if self.depth >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} steps in a row"));
        }
        self.depth += 1;
        let name = match self.calls.iter().find(|call| call.3.iter().any(|output| output.tensor == tensor)) {
            Some(call) => self.model(call, tensor)?,
            None => match self.graph.producer(tensor).cloned() {
                Some(node) => self.node(&node, tensor)?,
                None => return Err("a constant, or an input that no request fills".to_owned()),
            },
        };
        self.depth -= 1;
        self.names.insert(tensor, name.clone());
        Ok(name)
    }

    /// A call of a model.
    fn model(&mut self, (tag, method, inputs, outputs): &ModelCall, wanted: TensorId) -> Result<String, String> {
        let Some(model) = self.models.get(tag) else { return Err("a model that is not read".to_owned()) };
        let given: Vec<TensorId> = inputs.iter().map(|&tensor| self.unconverted(tensor)).collect();
        let table = self.tables.iter().find(|(_, tensors)| given.iter().all(|tensor| tensors.contains(tensor)));
        let table = table.map(|(name, _)| name.clone());
        let of = match (table, &given[..]) {
            (Some(name), _) if model.takes_columns() => text(&name),
            (_, [only]) => text(&self.reference(*only)?),
            _ => {
                let names = given.iter().map(|&tensor| Ok(text(&self.reference(tensor)?)));
                list(names.collect::<Result<_, String>>()?)
            }
        };
        let mut keys = vec![("model", text(tag))];
        match method.strip_suffix("_margin") {
            _ if method.contains('[') => return Err(format!("the method {method} of a model")),
            Some(plain) if model.methods().contains(&"predict_margin") && plain == "predict" => {
                keys.push(("method", text(plain)));
                keys.push(("options", "{ output_margin = true }".to_owned()));
            }
            _ => keys.push(("method", text(method))),
        }
        keys.push(("of", of));
        let stem = tag.split(':').next().unwrap_or("model");
        let name = self.step(stem, "model", &keys)?;
        if let [_] = outputs[..] {
            return Ok(name);
        }
        for output in outputs {
            self.names.insert(output.tensor, format!("{name}.{}", output.name));
        }
        Ok(self.names.get(&wanted).cloned().unwrap_or(name))
    }

    /// The tensor that was converted to a model's type: the step converts it again.
    fn unconverted(&self, mut tensor: TensorId) -> TensorId {
        while let Some(Node { op: Op::Cast(_), inputs, .. }) = self.graph.producer(tensor)
            && let [Some(from)] = inputs[..]
            && !self.names.contains_key(&tensor)
        {
            tensor = from;
        }
        tensor
    }

    /// A constant of the graph, whatever its axes and type were made of.
    fn known(&self, mut tensor: TensorId) -> Option<String> {
        while let Some(Node { op: Op::Cast(_) | Op::Reshape(_), inputs, .. }) = self.graph.producer(tensor) {
            tensor = (*inputs.first()?)?;
        }
        constant(self.graph, tensor)
    }

    fn node(&mut self, node: &Node, tensor: TensorId) -> Result<String, String> {
        let inputs: Vec<TensorId> = node.inputs.iter().flatten().copied().collect();
        let first = *inputs.first().ok_or("an operator without inputs")?;
        match &node.op {
            Op::Binary(op) => {
                let name = binary(op.kind).ok_or_else(|| unknown(node))?;
                return self.pair(name, &inputs);
            }
            Op::Compare(op) => return self.pair(compare(op.kind), &inputs),
            Op::Gather(op) => return self.gather(op.axis, &inputs),
            Op::Concat(op) => {
                let names = inputs.iter().map(|&tensor| Ok(text(&self.reference(tensor)?)));
                let names = list(names.collect::<Result<_, String>>()?);
                return self.step("concat", "concat", &[("of", names), ("axis", op.axis.to_string())]);
            }
            _ => {}
        }
        if let (Op::Reshape(_), true) = (&node.op, self.graph.shape(first) == self.graph.shape(tensor)) {
            return self.reference(first);
        }
        let (op, keys) = self.single(node, first, tensor)?;
        let of = text(&self.reference(first)?);
        self.step(op, op, &[vec![("of", of)], keys].concat())
    }

    /// An operator of one value: its name and further keys.
    fn single(&self, node: &Node, first: TensorId, tensor: TensorId) -> Result<(&'static str, Keys), String> {
        let axis = |axis: u8| vec![("axis", axis.to_string())];
        Ok(match &node.op {
            Op::Cast(op) => ("cast", vec![("dtype", text(op.to.name()))]),
            Op::Unary(op) => (unary(op.kind).ok_or_else(|| unknown(node))?, Vec::new()),
            Op::Reshape(_) => ("reshape", vec![("shape", shape(&self.graph.shape(tensor)))]),
            Op::Softmax(op) if !op.log => ("softmax", axis(op.axis)),
            Op::ArgReduce(op) if !op.keep && !op.last => (if op.smallest { "argmin" } else { "argmax" }, axis(op.axis)),
            Op::Reduce(op) if op.axes.is_power_of_two() => {
                let mut keys = axis(op.axes.trailing_zeros() as u8);
                if op.keep {
                    keys.push(("keep", "true".to_owned()));
                }
                (reduce(op.kind).ok_or_else(|| unknown(node))?, keys)
            }
            Op::Transpose(op) => {
                let rank = self.graph.shape(first).rank();
                let axes = (0..rank).map(|at| op.perm.axis(at).to_string()).collect();
                ("transpose", vec![("axes", list(axes))])
            }
            _ => return Err(unknown(node)),
        })
    }

    /// An operator of two values, one of which may be known.
    fn pair(&mut self, op: &str, inputs: &[TensorId]) -> Result<String, String> {
        let [left, right] = inputs[..] else { return Err(format!("`{op}` of other than two values")) };
        let keys = match (self.known(left), self.known(right)) {
            (None, Some(value)) => [("of", text(&self.reference(left)?)), ("value", value)],
            (Some(value), None) => [("of", value), ("with", text(&self.reference(right)?))],
            (None, None) => [("of", text(&self.reference(left)?)), ("with", text(&self.reference(right)?))],
            (Some(_), Some(_)) => return Err("arithmetic of constants".to_owned()),
        };
        self.step(op, op, &keys)
    }

    /// Labels at positions, or positions of a value.
    fn gather(&mut self, axis: u8, inputs: &[TensorId]) -> Result<String, String> {
        let [data, positions] = inputs[..] else { return Err("an operator that takes parts".to_owned()) };
        match (self.known(data), self.known(positions)) {
            (Some(labels), None) if axis == 0 => {
                let of = text(&self.reference(positions)?);
                self.step("label", "label", &[("of", of), ("labels", labels)])
            }
            (None, Some(at)) => {
                let of = text(&self.reference(data)?);
                self.step("pick", "pick", &[("of", of), ("axis", axis.to_string()), ("at", at)])
            }
            _ => Err("positions of a value that another value tells".to_owned()),
        }
    }

    fn answer(&mut self, returns: &Returns) -> Result<String, String> {
        Ok(match returns {
            Returns::Output { output, at } => text(&format!("${}", self.output(*output, at)?)),
            Returns::Rows(inner) => format!("{{ \"$rows\" = {} }}", self.answer(inner)?),
            Returns::Object(members) => {
                let mut written = Vec::new();
                for (key, value) in members {
                    if key.starts_with('$') {
                        return Err(format!("the key {key:?} of an answer"));
                    }
                    written.push(format!("{} = {}", text(key), self.answer(value)?));
                }
                format!("{{ {} }}", written.join(", "))
            }
            Returns::List(items) => list(items.iter().map(|item| self.answer(item)).collect::<Result<_, _>>()?),
            Returns::Constant(value) => literal::json(value).ok_or("a constant that TOML has no value for")?,
            Returns::Frame { columns, orient: Orient::Records, digits: None } => {
                let mut written = Vec::new();
                for column in columns {
                    let name = self.output(column.output, &column.at)?;
                    written.push(format!("{} = {}", text(&column.name), text(&name)));
                }
                let columns = format!("{{ {} }}", written.join(", "));
                text(&format!("${}", self.step("answer", "table", &[("columns", columns)])?))
            }
            Returns::Frame { .. } => return Err("a table with pandas's digits, or in another orientation".to_owned()),
            Returns::Text(_) => return Err("a text that is put together".to_owned()),
        })
    }

    fn output(&mut self, output: u32, at: &[u32]) -> Result<String, String> {
        let tensor = *self.graph.outputs().get(output as usize).ok_or("an output that is not there")?;
        let mut name = self.reference(tensor)?;
        for position in at {
            name += &format!(".{position}");
        }
        Ok(name)
    }
}

fn unknown(node: &Node) -> String {
    format!("no operator has the name of {}", node.op.name())
}

fn shape(shape: &Shape) -> String {
    let axes = shape.factors().iter().enumerate();
    list(axes.map(|(at, factor)| if shape.is_batch(at) { text("N") } else { factor.to_string() }).collect())
}

fn unary(kind: UnaryKind) -> Option<&'static str> {
    Some(match kind {
        UnaryKind::Exp => "exp",
        UnaryKind::Expm1 => "expm1",
        UnaryKind::Log => "log",
        UnaryKind::Log2 => "log2",
        UnaryKind::Log10 => "log10",
        UnaryKind::Log1p => "log1p",
        UnaryKind::Sqrt => "sqrt",
        UnaryKind::Square => "square",
        UnaryKind::Abs => "abs",
        UnaryKind::Reciprocal => "reciprocal",
        UnaryKind::Floor => "floor",
        UnaryKind::Ceil => "ceil",
        UnaryKind::Round => "round",
        UnaryKind::Sin => "sin",
        UnaryKind::Cos => "cos",
        UnaryKind::Tan => "tan",
        UnaryKind::Tanh => "tanh",
        UnaryKind::Sigmoid => "sigmoid",
        _ => return None,
    })
}

fn binary(kind: BinaryKind) -> Option<&'static str> {
    Some(match kind {
        BinaryKind::Add => "add",
        BinaryKind::Sub => "subtract",
        BinaryKind::Mul => "multiply",
        BinaryKind::Div => "divide",
        BinaryKind::Min => "minimum",
        BinaryKind::Max => "maximum",
        BinaryKind::Pow => "power",
        BinaryKind::Mod => "mod",
        _ => return None,
    })
}

fn compare(kind: CompareKind) -> &'static str {
    match kind {
        CompareKind::Equal => "equal",
        CompareKind::NotEqual => "not_equal",
        CompareKind::Less => "less",
        CompareKind::LessOrEqual => "less_equal",
        CompareKind::Greater => "greater",
        CompareKind::GreaterOrEqual => "greater_equal",
    }
}

fn reduce(kind: ReduceKind) -> Option<&'static str> {
    Some(match kind {
        ReduceKind::Sum => "sum",
        ReduceKind::Mean => "mean",
        ReduceKind::Max => "max",
        ReduceKind::Min => "min",
        ReduceKind::L2 => "norm",
        _ => return None,
    })
}
