//! Comparisons, logic, choices, positions of extremes, and casts.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::logic::{Logic, LogicKind};
use ekiben_runtime::ops::quantized_compare::{Comparand, QuantizedCompare};
use ekiben_runtime::ops::select::Select;
use tract_tflite::tflite::BuiltinOperator;

use super::super::file::Operator;
use super::images::axis_of;
use super::{Lowering, Stop, Value, factor};

impl<'a> Lowering<'a> {
    pub(super) fn compare(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let kind = match operator.code {
            BuiltinOperator::EQUAL => CompareKind::Equal,
            BuiltinOperator::NOT_EQUAL => CompareKind::NotEqual,
            BuiltinOperator::LESS => CompareKind::Less,
            BuiltinOperator::LESS_EQUAL => CompareKind::LessOrEqual,
            BuiltinOperator::GREATER => CompareKind::Greater,
            _ => CompareKind::GreaterOrEqual,
        };
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let dtype = self.graph.spec(inputs[0]).dtype;
        let inputs = inputs.map(Some);
        let result = match (dtype, kind) {
            (DType::I8, _) => {
                let comparands = [self.comparand(operator, 0)?, self.comparand(operator, 1)?];
                self.add(operator, QuantizedCompare { kind, comparands }, &inputs)?
            }
            (DType::Bool, CompareKind::NotEqual) => self.add(operator, Logic { kind: LogicKind::Xor }, &inputs)?,
            (DType::Bool, CompareKind::Equal) => {
                let differs = self.add(operator, Logic { kind: LogicKind::Xor }, &inputs)?;
                self.not(operator, differs)?
            }
            _ => self.add(operator, Compare { kind }, &inputs)?,
        };
        Ok(Value::Tensor(result))
    }

    /// What an int8 input of a comparison stands for; LiteRT's formula takes scales below 1 only.
    fn comparand(&self, operator: &'a Operator, input: usize) -> Result<Comparand, Stop> {
        let (scale, zero) = self.input_quantization(operator, input)?;
        if scale >= 1.0 {
            return Err(format!("input {input} has a scale of {scale}; it must be below 1").into());
        }
        Ok(Comparand { zero, factor: factor(scale.into())? })
    }

    fn not(&mut self, operator: &'a Operator, id: super::TensorId) -> Result<super::TensorId, Stop> {
        let one = self.list(operator, DType::Bool, &[], &[1u8])?;
        self.add(operator, Logic { kind: LogicKind::Xor }, &[Some(id), Some(one)])
    }

    pub(super) fn logic(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let a = self.tensor(operator, 0)?;
        let kind = match operator.code {
            BuiltinOperator::LOGICAL_NOT => return self.not(operator, a).map(Value::Tensor),
            BuiltinOperator::LOGICAL_AND => LogicKind::And,
            _ => LogicKind::Or,
        };
        let b = self.tensor(operator, 1)?;
        Ok(Value::Tensor(self.add(operator, Logic { kind }, &[Some(a), Some(b)])?))
    }

    pub(super) fn select(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?, self.tensor(operator, 2)?];
        let rank = |input: usize| self.graph.shape(inputs[input]).rank();
        if operator.code == BuiltinOperator::SELECT && rank(0) != rank(1) {
            return Err("a condition of other axes than the choices; SELECT_V2 broadcasts".into());
        }
        self.moves(operator, 1, 0)?;
        self.moves(operator, 2, 0)?;
        Ok(Value::Tensor(self.add(operator, Select, &inputs.map(Some))?))
    }

    pub(super) fn arg_extreme(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let &[axis] = self.fixed_numbers(operator, 1)?.as_slice() else { return Err("more than one axis".into()) };
        let axis = axis_of(axis, self.graph.shape(input).rank())? as u8;
        let wide = self.file.tensors[operator.outputs[0]].dtype == Some(DType::I64);
        let smallest = operator.code == BuiltinOperator::ARG_MIN;
        let op = ArgReduce { axis, smallest, last: false, keep: false, wide };
        Ok(Value::Tensor(self.add(operator, op, &[Some(input)])?))
    }

    pub(super) fn cast(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let to = self.file.tensors[operator.outputs[0]].known_dtype()?;
        Ok(Value::Tensor(self.add(operator, Cast { to }, &[Some(input)])?))
    }
}
