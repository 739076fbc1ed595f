//! Texts that are known while the model is compiled.

use ekiben_runtime::DType;

use super::super::call::{Call, Lowered, Refusal, one};
use crate::graph::TensorId;

/// The texts of a constant.
fn texts(call: &Call<'_>, id: TensorId) -> Result<Vec<String>, Refusal> {
    let tensor = call.graph.tensor(id);
    if tensor.spec.dtype != DType::Category {
        return Err(Refusal(format!("it needs texts, and this is {}", tensor.spec.dtype)));
    }
    let table = tensor.spec.table.and_then(|table| call.graph.tables().get(table as usize));
    let (Some(table), Some(constant)) = (table, &tensor.constant) else {
        return Err(
            "texts that are only known when the model runs cannot be changed: they are positions in a table".into()
        );
    };
    let ids = bytemuck::cast_slice::<u8, u32>(constant.as_slice());
    let texts = ids.iter().map(|&id| table.get(id as usize).cloned()).collect::<Option<_>>();
    texts.ok_or_else(|| "a text is not in its table".into())
}

/// Takes stop words out and changes the case of the others.
pub(super) fn normalizer(call: &mut Call<'_>) -> Lowered {
    let change = match call.attributes.string("case_change_action")?.unwrap_or("NONE") {
        "NONE" => |text: &str| text.to_owned(),
        "LOWER" => |text: &str| text.to_lowercase(),
        "UPPER" => |text: &str| text.to_uppercase(),
        other => return Err(Refusal(format!("attribute case_change_action is {other:?}"))),
    };
    if let Some(locale) = call.attributes.string("locale")?.filter(|locale| !["", "C", "en_US"].contains(locale)) {
        return Err(Refusal(format!("attribute locale is {locale:?}, en_US is supported")));
    }
    let sensitive = call.attributes.flag("is_case_sensitive", false)?;
    let stop = call.attributes.strings("stopwords")?.unwrap_or_default();
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    if !(rank == 1 || rank == 2 && call.shape(x).factor(0) == Some(1)) {
        return Err(Refusal(format!("an input of {}; [C] and [1, C] are supported", call.shape(x))));
    }
    let same = |a: &str, b: &str| if sensitive { a == b } else { a.to_lowercase() == b.to_lowercase() };
    let kept = texts(call, x)?.into_iter().filter(|text| !stop.iter().any(|word| same(word, text)));
    let mut kept: Vec<String> = kept.map(|text| change(&text)).collect();
    if kept.is_empty() {
        kept.push(String::new());
    }
    let dims = [1, kept.len()];
    let name = call.name.clone();
    one(call.graph.add_texts(&name, &dims[2 - rank..], kept)?)
}
