//! Values as TOML.

use ekiben_runtime::DType;

use crate::graph::{Graph, TensorId};

/// Elements of a constant that is written.
const MAX_ELEMENTS: usize = 4096;

/// A text in quotes.
pub(crate) fn text(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.replace('\u{7f}', "\\u007f")
}

/// A float, always with a point or an exponent.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() { "nan".to_owned() } else { format!("{value:?}") }
}

/// A value of JSON text; nothing where TOML has none for it.
pub(super) fn json(value: &str) -> Option<String> {
    of_json(&serde_json::from_str(value).ok()?)
}

fn of_json(value: &serde_json::Value) -> Option<String> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(truth) => truth.to_string(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => integer.to_string(),
            (None, number) => float(number?),
        },
        serde_json::Value::String(value) => text(&value.replacen('$', "$$", usize::from(value.starts_with('$')))),
        serde_json::Value::Array(items) => list(items.iter().map(of_json).collect::<Option<_>>()?),
        serde_json::Value::Object(members) => {
            let members = members.iter().map(|(key, value)| Some(format!("{} = {}", text(key), of_json(value)?)));
            format!("{{ {} }}", members.collect::<Option<Vec<_>>>()?.join(", "))
        }
    })
}

pub(super) fn list(items: Vec<String>) -> String {
    format!("[{}]", items.join(", "))
}

/// The elements of a constant tensor, as nested lists; a number where it has one element and no axis.
pub(super) fn constant(graph: &Graph, id: TensorId) -> Option<String> {
    let tensor = graph.tensor(id);
    let bytes = tensor.constant.as_ref()?.as_slice();
    let dims: Vec<usize> = tensor.spec.shape.factors().iter().map(|&factor| factor as usize).collect();
    if dims.iter().product::<usize>() > MAX_ELEMENTS {
        return None;
    }
    let elements: Vec<String> = match tensor.spec.dtype {
        DType::F64 => bytemuck::cast_slice::<u8, f64>(bytes).iter().map(|&value| float(value)).collect(),
        DType::F32 => bytemuck::cast_slice::<u8, f32>(bytes).iter().map(|&value| float(value.into())).collect(),
        DType::I64 => bytemuck::cast_slice::<u8, i64>(bytes).iter().map(i64::to_string).collect(),
        DType::I32 => bytemuck::cast_slice::<u8, i32>(bytes).iter().map(i32::to_string).collect(),
        DType::Bool => bytes.iter().map(|&value| (value != 0).to_string()).collect(),
        DType::Category => {
            let table = graph.tables().get(tensor.spec.table? as usize)?;
            let words = bytes.as_chunks::<4>().0.iter().map(|word| table.get(u32::from_le_bytes(*word) as usize));
            words.map(|word| word.map(|word| text(word))).collect::<Option<_>>()?
        }
        _ => return None,
    };
    nested(&dims, elements)
}

fn nested(dims: &[usize], mut elements: Vec<String>) -> Option<String> {
    for &length in dims.iter().skip(1).rev() {
        if length == 0 {
            return None;
        }
        elements = elements.chunks(length).map(|row| list(row.to_vec())).collect();
    }
    if dims.is_empty() { elements.pop() } else { Some(list(elements)) }
}
