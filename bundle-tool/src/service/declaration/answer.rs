//! The declared answer as a value.
//!
//! A text `"$name"` is a hole, `"$$"` begins a text with one dollar sign. A table whose only key is `$rows` is a list with one item for
//! each position of the next axis of what it reads.

use ekiben_runtime::artifact::manifest::TextFormat;

use super::super::evaluate::{Array, Evaluated, Evaluator, Index, LoopId, Stop, Value};
use super::api::Answer;
use super::document::{Data, Item};
use super::scope::Scope;
use super::step::place_of;

/// The key of a list with one item for each position of an axis.
const ROWS: &str = "$rows";

/// The value that an API answers. With `one_row`, a request is one row, so there is one answer for each.
pub(super) fn value<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    scope: &Scope<'a>,
    answer: &Answer<'_>,
    one_row: bool,
) -> Evaluated<'a> {
    let mut writer = Writer { evaluator, scope, loops: Vec::new() };
    match answer {
        Answer::Json { json, rows } if *rows || one_row => writer.rows(json, json, Writer::item),
        Answer::Json { json, .. } => writer.item(json),
        Answer::Text(item) if one_row => writer.rows(item, item, Writer::text),
        Answer::Text(item) => writer.text(item),
    }
}

struct Writer<'w, 'e, 'a> {
    evaluator: &'w mut Evaluator<'e, 'a>,
    scope: &'w Scope<'a>,
    /// Loops around the item that is written, each with its length once something tells it.
    loops: Vec<(LoopId, Option<(usize, bool)>)>,
}

impl<'a> Writer<'_, '_, 'a> {
    fn item(&mut self, item: &Item) -> Evaluated<'a> {
        match &item.data {
            Data::Text(text) => match text.strip_prefix('$') {
                Some(rest) if rest.starts_with('$') => Ok(Value::Text(rest.into())),
                Some(reference) => self.hole(reference, item),
                None => Ok(Value::Text(text.clone())),
            },
            Data::List(items) => Ok(Value::List(items.iter().map(|item| self.item(item)).collect::<Result<_, _>>()?)),
            Data::Table(table) => {
                if let Some(inner) = table.get(ROWS) {
                    if table.entries.len() != 1 {
                        return self.evaluator.fail(place_of(item), format!("`{ROWS}` is the only key of its table"));
                    }
                    return self.rows(inner, item, Self::item);
                }
                let mut members = Vec::new();
                for entry in &table.entries {
                    members.push((Value::Text(entry.key.clone()), self.item(&entry.item)?));
                }
                Ok(Value::Dict(members.into()))
            }
            _ => Ok(item.constant()),
        }
    }

    /// A list with `item` for each position of the next axis.
    fn rows(
        &mut self,
        item: &Item,
        whole: &Item,
        write: impl FnOnce(&mut Self, &Item) -> Evaluated<'a>,
    ) -> Evaluated<'a> {
        self.evaluator.loops.push((1, true));
        let id = self.evaluator.loops.len() - 1;
        self.loops.push((id, None));
        let inner = write(self, item)?;
        match self.loops.pop() {
            Some((_, Some(extent))) => self.evaluator.loops[id] = extent,
            _ => {
                return self
                    .evaluator
                    .fail(place_of(whole), "nothing in this item has an axis that tells how many of them there are");
            }
        }
        Ok(Value::Rows(id, std::rc::Rc::new(inner)))
    }

    /// The value that `reference` stands for, in the loops around it.
    fn hole(&mut self, reference: &str, item: &Item) -> Evaluated<'a> {
        let value = self.scope.find(self.evaluator, reference, place_of(item))?;
        self.inside(value, item)
    }

    /// A value at the positions of the loops.
    fn inside(&mut self, value: Value<'a>, item: &Item) -> Evaluated<'a> {
        if self.loops.is_empty() {
            return Ok(value);
        }
        Ok(match value {
            Value::Array(array) => Value::Array(self.array_inside(array, item)?),
            Value::Dict(items) | Value::Record(items) => {
                let mut members = Vec::new();
                for (key, value) in items.iter() {
                    members.push((key.clone(), self.inside(value.clone(), item)?));
                }
                Value::Dict(members.into())
            }
            Value::List(items) => {
                Value::List(items.iter().map(|value| self.inside(value.clone(), item)).collect::<Result<_, _>>()?)
            }
            Value::Frame(frame) => {
                let mut members = Vec::new();
                for (name, array) in super::super::library::columns(self.evaluator, &frame, place_of(item))? {
                    members.push((Value::Text(name.into()), Value::Array(self.array_inside(array, item)?)));
                }
                Value::Dict(members.into())
            }
            other => other,
        })
    }

    fn array_inside(&mut self, array: Array, item: &Item) -> Result<Array, Stop> {
        let place = place_of(item);
        let axes = array.axes(&self.evaluator.graph);
        let mut part = array.clone();
        for (&axis, (id, known)) in axes.iter().zip(&mut self.loops) {
            let extent = array.extent(&self.evaluator.graph, axis);
            let length = *known.get_or_insert(extent);
            if length != extent {
                let problem = "this value has another number of rows than those beside it";
                return self.evaluator.fail(place, problem);
            }
            part = part.with_index(axis, Index::Loop(*id));
        }
        Ok(part)
    }

    /// A text with values in braces: `{name}`, `{name:.2f}`, `{name:.1%}`.
    fn text(&mut self, item: &Item) -> Evaluated<'a> {
        let Data::Text(text) = &item.data else {
            return self.evaluator.fail(place_of(item), "a text is needed");
        };
        let mut pieces: Vec<(Value<'a>, TextFormat)> = Vec::new();
        let mut rest: &str = text;
        while let Some(open) = rest.find('{') {
            let (before, after) = rest.split_at(open);
            let Some((hole, behind)) = after[1..].split_once('}') else {
                return self.evaluator.fail(place_of(item), "a `{` of this text has no `}`");
            };
            if !before.is_empty() {
                pieces.push((Value::Text(before.into()), TextFormat::Plain));
            }
            let (reference, format) = match hole.split_once(':') {
                None => (hole, Some(TextFormat::Plain)),
                Some((reference, format)) => (reference, text_format(format)),
            };
            let Some(format) = format else {
                return self.evaluator.fail(place_of(item), format!("`{hole}` is written as `.2f` or `.2%`"));
            };
            pieces.push((self.hole(reference, item)?, format));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push((Value::Text(rest.into()), TextFormat::Plain));
        }
        Ok(Value::Format(pieces.into()))
    }
}

/// `.2f` and `.2%`.
fn text_format(format: &str) -> Option<TextFormat> {
    let digits = format.strip_prefix('.')?;
    let places = |digits: &str| digits.parse().ok().filter(|&places: &u8| places <= 60);
    match (digits.strip_suffix('f'), digits.strip_suffix('%')) {
        (Some(digits), _) => places(digits).map(TextFormat::Fixed),
        (_, Some(digits)) => places(digits).map(TextFormat::Percent),
        _ => None,
    }
}
