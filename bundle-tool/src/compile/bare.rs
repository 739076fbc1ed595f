//! The API of a model file without a service: `predict`, with one parameter per input, or one table.

use ekiben_runtime::artifact::manifest::{Api, Frame, InputAdapter, Parameter, ParameterKind, Returns, Wire};

use crate::frontend::{FrontendError, Model, ModelInput};
use crate::graph::Graph;
use crate::lowered::LoweredApi;

/// Name and route of the API.
const NAME: &str = "predict";

/// Lowers the model's `predict`, or else its usual method. One output is returned as it is, several as an object by name.
pub(crate) fn lower(model: &dyn Model) -> Result<LoweredApi, FrontendError> {
    let methods = model.methods();
    let method = methods.iter().find(|&&method| method == NAME).or(methods.first());
    let method = method.ok_or_else(|| FrontendError::unsupported("model", "", "it has no method to call"))?;
    let mut graph = Graph::new();
    let inputs = model.inputs();
    let ids: Vec<_> = inputs.iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let outputs = model.call(&mut graph, method, &ids)?;
    for output in &outputs {
        graph.rename(output.tensor, &output.name);
        graph.add_output(output.tensor);
    }
    let returns = match outputs.as_slice() {
        [_] => Returns::output(0),
        several => {
            let members = several.iter().zip(0..);
            Returns::Object(members.map(|(output, index)| (output.name.clone(), Returns::output(index))).collect())
        }
    };
    let parameters = match model.takes_columns() {
        true => vec![table(&inputs)],
        false => inputs.iter().zip(0..).map(|(input, index)| parameter(input, index)).collect(),
    };
    let manifest = Api {
        name: NAME.to_owned(),
        route: NAME.to_owned(),
        description: String::new(),
        batch: inputs.iter().any(|input| input.spec.shape.is_batched()),
        input: InputAdapter::Parameters(parameters),
        returns,
        max_batch_size: None,
        max_latency_ms: None,
        is_text: false,
        wire: Wire::default(),
    };
    Ok(LoweredApi { manifest, graph })
}

/// Name of the parameter of a model that takes the columns of a table.
const TABLE: &str = "table";

/// A table with a column for each input.
fn table(inputs: &[ModelInput]) -> Parameter {
    let columns = inputs.iter().map(|input| input.name.clone()).collect();
    let inputs = (0..).take(inputs.len()).collect();
    Parameter {
        name: TABLE.to_owned(),
        kind: ParameterKind::Dataframe(Frame { orient: None, columns, fills: false, input: 0, inputs }),
        default: None,
    }
}

fn parameter(input: &ModelInput, index: u32) -> Parameter {
    let shape = &input.spec.shape;
    let dims = shape.factors().iter().enumerate();
    let dims = dims.map(|(axis, &dim)| if shape.is_batch(axis) { -1 } else { dim.into() });
    Parameter {
        name: input.name.clone(),
        kind: ParameterKind::Array {
            shape: Some(dims.collect()),
            dtype: Some(input.spec.dtype.name().to_owned()),
            input: index,
        },
        default: None,
    }
}
