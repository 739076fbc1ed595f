//! What a run leaves for the next one: resource variables, the variable tensors of recurrent operators, and SVDF.

use std::rc::Rc;

use ekiben_runtime::ops::svdf::{Scales, Svdf, SvdfScale};
use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::{Operator, Tensor};
use super::super::options::Options;
use super::{FrontendError, Lowering, Stop, TensorId, Value, factor};
use crate::graph::AlignedBytes;

/// The most resource variables of a model.
const MAX_VARIABLES: usize = 256;

/// A resource variable, or a tensor of the file that keeps its elements.
#[derive(Debug, Default)]
pub(super) struct Variable {
    /// Name of a resource variable; `None` for a tensor.
    name: Option<String>,
    /// The tensor of the graph that holds what the run before left, once something reads it.
    state: Option<TensorId>,
    /// Its elements at this point of the run.
    current: Option<TensorId>,
    /// What it starts from, where that is not zero.
    initial: Option<Rc<[u8]>>,
}

impl<'a> Lowering<'a> {
    /// The variable of a name, added when it is new.
    fn variable(&mut self, name: &str) -> Result<usize, Stop> {
        let known = self.variables.iter().position(|variable| variable.name.as_deref() == Some(name));
        known.map_or_else(|| self.add_variable(Some(name.to_owned())), Ok)
    }

    fn add_variable(&mut self, name: Option<String>) -> Result<usize, Stop> {
        if self.variables.len() == MAX_VARIABLES {
            return Err(format!("the model has more than {MAX_VARIABLES} variables").into());
        }
        self.variables.push(Variable { name, ..Variable::default() });
        Ok(self.variables.len() - 1)
    }

    pub(super) fn var_handle(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Variable(name) = &operator.options else { return Err("the options are missing".into()) };
        self.variable(name).map(Value::Variable)
    }

    /// The variable that an input is the handle of.
    fn handle(&mut self, operator: &'a Operator, input: usize) -> Result<usize, Stop> {
        let index = self.optional(operator, input);
        match index.and_then(|index| self.values.get(&index)) {
            Some(Value::Variable(variable)) => Ok(*variable),
            Some(Value::Unknown) => Err(Stop::Unknown),
            _ => Err(format!("input {input} is not what a VAR_HANDLE makes").into()),
        }
    }

    pub(super) fn read_variable(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let variable = self.handle(operator, 0)?;
        let output = operator.outputs.first().ok_or("the operator has no output")?;
        self.current(variable, &self.file.tensors[*output]).map(Value::Tensor)
    }

    /// A variable's elements at this point: those of the run before, where nothing was assigned in this one.
    fn current(&mut self, variable: usize, stated: &Tensor) -> Result<TensorId, Stop> {
        if let Some(current) = self.variables[variable].current {
            return Ok(current);
        }
        let shape = Shape::fixed(&stated.shape).map_err(|error| FrontendError::malformed(stated.place(), error))?;
        let spec = TensorSpec::new(stated.known_dtype().map_err(|error| Stop::Unsupported(error.to_string()))?, shape);
        let bytes = spec.bytes().and_then(|bytes| usize::try_from(bytes).ok()).ok_or("the variable is too large")?;
        self.charge(bytes)?;
        let mut initial = match &self.variables[variable].initial {
            Some(initial) => AlignedBytes::from(&initial[..]),
            None => AlignedBytes::zeroed(bytes),
        };
        let zero = stated.quantization.as_ref().and_then(|quantization| quantization.per_tensor());
        if let (true, DType::I8, Some(zero)) = (stated.is_variable, spec.dtype, zero) {
            // LiteRT puts int8 tensors to real zero.
            initial.as_mut_slice().fill(zero.zero_point as u8);
        }
        let state = self.graph.add_state(&stated.name, spec, Rc::new(initial))?;
        let known = &mut self.variables[variable];
        (known.state, known.current) = (Some(state), Some(state));
        Ok(state)
    }

    pub(super) fn assign_variable(&mut self, operator: &'a Operator) -> Result<Vec<Value>, Stop> {
        let variable = self.handle(operator, 0)?;
        let value = self.tensor(operator, 1)?;
        if self.graph.shape(value).is_batched() {
            return Err("the variable would grow with the batch".into());
        }
        self.variables[variable].current = Some(value);
        Ok(Vec::new())
    }

    /// Takes the values that variables start from out of a subgraph that assigns constants.
    pub(super) fn call_once(&mut self, operator: &'a Operator) -> Result<Vec<Value>, Stop> {
        let part = operator.options.subgraph().and_then(|index| self.file.initialisers.get(&index));
        let part = part.ok_or("the options are missing")?;
        let mut handles = vec![None; part.tensors.len()];
        for step in &part.operators {
            match (step.code, &step.options, step.outputs.as_slice(), step.inputs.as_slice()) {
                (BuiltinOperator::VAR_HANDLE, Options::Variable(name), &[output], _) => {
                    handles[output] = Some(self.variable(name)?);
                }
                (BuiltinOperator::ASSIGN_VARIABLE, _, _, &[Some(handle), Some(value)]) => {
                    let variable = handles[handle].ok_or("a handle that no VAR_HANDLE makes")?;
                    let data = part.tensors[value].data.clone();
                    let data = data.ok_or("a variable starts from what is computed; only constants are translated")?;
                    self.charge(data.len())?;
                    let variable = &mut self.variables[variable];
                    if variable.current.is_some() {
                        return Err("a variable is initialised after it was used".into());
                    }
                    variable.initial = Some(data);
                }
                _ => return Err(format!("{} in the subgraph is not translated", step.operator).into()),
            }
        }
        Ok(Vec::new())
    }

    /// The elements of a variable tensor of the file that the run before left.
    pub(super) fn variable_tensor(&mut self, index: usize) -> Result<TensorId, Stop> {
        let variable = self.add_variable(None)?;
        let state = self.current(variable, &self.file.tensors[index])?;
        self.values.insert(index, Value::Tensor(state));
        Ok(state)
    }

    /// Notes what an operator leaves in the variable tensor at an input.
    pub(super) fn keep(&mut self, operator: &Operator, input: usize, next: TensorId) -> Result<(), Stop> {
        let index = self.optional(operator, input).ok_or("a state is missing")?;
        let state = match self.values.insert(index, Value::Tensor(next)) {
            Some(Value::Tensor(state)) => state,
            _ => return Err("a state that is no tensor".into()),
        };
        let variable = self.variables.iter_mut().find(|variable| variable.current == Some(state));
        variable.ok_or("a state that is no variable")?.current = Some(next);
        Ok(())
    }

    /// States what each variable is taken from after a run.
    pub(super) fn keep_variables(&mut self) -> Result<(), FrontendError> {
        for variable in &self.variables {
            let (Some(state), Some(current)) = (variable.state, variable.current) else { continue };
            if state != current {
                let place = variable.name.clone().unwrap_or_default();
                let unfit = |error| FrontendError::malformed(format!("variable {place:?}"), error);
                self.graph.set_next(state, current).map_err(unfit)?;
            }
        }
        Ok(())
    }

    pub(super) fn svdf(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        const STATE: usize = 4;
        let Options::Svdf { rank, activation } = operator.options else {
            return Err("the options are missing".into());
        };
        let [input, features, times] =
            [self.tensor(operator, 0)?, self.tensor(operator, 1)?, self.tensor(operator, 2)?];
        let bias = self.optional_tensor(operator, 3)?;
        let state = self.tensor(operator, STATE)?;
        if !self.stated(operator, STATE)?.is_variable {
            return Err("its state is no variable tensor".into());
        }
        let types = [input, features, times, state].map(|id| self.graph.spec(id).dtype);
        let scale = match types {
            [DType::F32, DType::F32, DType::F32, DType::F32] => SvdfScale::Float(activation.clamp()?),
            [DType::I8, DType::I8, DType::I16, DType::I16] => {
                let scale = |input: usize| Ok::<_, Stop>(f64::from(self.input_scale(operator, input)?.scale));
                let output = self.output_scale(operator)?;
                let [feature, time] =
                    [scale(0)? * scale(1)? / scale(STATE)?, scale(STATE)? * scale(2)? / f64::from(output.scale)];
                let (_, input_zero) = self.input_quantization(operator, 0)?;
                let (feature, time) = (factor(feature)?, factor(time)?);
                let zero = i8::try_from(output.zero_point).map_err(|_| "a zero point outside the type")?;
                SvdfScale::Integer(Scales { input_zero, feature, time, zero })
            }
            [input, features, ..] => return Err(format!("{input} with {features} weights is not translated").into()),
        };
        let inputs = [Some(input), Some(features), Some(times), bias, Some(state)];
        let name = self.file.node_name(operator);
        let outputs = self.graph.add_node(name, Svdf { rank, scale }, &inputs, &[])?;
        let &[result, next] = outputs.as_slice() else { return Err("the operator has no results".into()) };
        self.keep(operator, STATE, next)?;
        Ok(Value::Tensor(result))
    }
}
