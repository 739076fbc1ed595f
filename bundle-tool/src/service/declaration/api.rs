//! One declared API: inputs, steps, answer.

use std::rc::Rc;

use ruff_text_size::TextRange;

use super::document::{Fault, Item, Table};
use super::step::Step;

/// Steps of one API.
const MAX_STEPS: usize = 2_000;

/// What a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// An object with a member for each input.
    Members,
    /// The value of the only input.
    Value,
    /// One row of the only input; the answer has no list around it.
    Row,
    /// The text of the only input itself.
    Text,
    /// The only input's file itself, or a form that has the inputs by name.
    File,
}

impl Body {
    fn read(item: &Item) -> Result<Self, Fault> {
        let name = item.text()?;
        match BODIES.iter().find(|(known, _)| **known == **name) {
            Some((_, body)) => Ok(*body),
            None => {
                let names: Vec<&str> = BODIES.iter().map(|(name, _)| *name).collect();
                Err(Fault::new(item.range, format!("a body is one of {}", names.join(", "))))
            }
        }
    }
}

const BODIES: [(&str, Body); 5] = [
    ("members", Body::Members),
    ("value", Body::Value),
    ("row", Body::Row),
    ("text", Body::Text),
    ("file", Body::File),
];

/// An API as it is declared.
#[derive(Debug)]
pub(super) struct DeclaredApi<'d> {
    pub(super) name: Rc<str>,
    /// Where its name stands.
    pub(super) range: TextRange,
    pub(super) route: Option<Rc<str>>,
    pub(super) description: Option<Rc<str>>,
    pub(super) body: Option<Body>,
    pub(super) inputs: Vec<&'d Table>,
    pub(super) steps: Vec<Step<'d>>,
    pub(super) answer: Answer<'d>,
}

/// The answer as it is declared.
#[derive(Debug)]
pub(super) enum Answer<'d> {
    /// JSON with holes; with `rows` one for each row.
    Json {
        /// The shape.
        json: &'d Item,
        /// Whether there is one for each row.
        rows: bool,
    },
    /// A text with holes.
    Text(&'d Item),
}

const KEYS: [&str; 7] = ["name", "route", "description", "body", "input", "step", "answer"];

impl<'d> DeclaredApi<'d> {
    pub(super) fn read(table: &'d Table) -> Result<Self, Fault> {
        table.only(&KEYS, "an API")?;
        let name = table.needed("name", "an API")?;
        let text = |key: &str| table.get(key).map(|item| item.text().cloned()).transpose();
        let body = table.get("body").map(Body::read).transpose()?;
        let steps = table.tables("step")?;
        if let Some(step) = steps.get(MAX_STEPS) {
            return Err(Fault::new(step.place(), format!("an API has {MAX_STEPS} steps at most")));
        }
        Ok(Self {
            name: name.text()?.clone(),
            range: name.range,
            route: text("route")?,
            description: text("description")?,
            body,
            inputs: table.tables("input")?,
            steps: steps.into_iter().map(Step::read).collect::<Result<_, _>>()?,
            answer: Answer::read(table.needed("answer", &format!("the API `{}`", name.text()?))?)?,
        })
    }
}

impl<'d> Answer<'d> {
    fn read(item: &'d Item) -> Result<Self, Fault> {
        let table = item.table()?;
        table.only(&["json", "rows", "text"], "an answer")?;
        match (table.get("json"), table.get("text")) {
            (Some(json), None) => Ok(Self::Json { json, rows: table.get("rows").map_or(Ok(false), Item::truth)? }),
            (None, Some(text)) => {
                if let Some(rows) = table.get("rows") {
                    return Err(Fault::new(rows.range, "a text is one answer for all rows"));
                }
                text.text()?;
                Ok(Self::Text(text))
            }
            _ => Err(Fault::new(table.place(), "an answer is `json` or `text`")),
        }
    }

    /// Where it stands.
    pub(super) fn range(&self) -> TextRange {
        match self {
            Self::Json { json, .. } => json.range,
            Self::Text(item) => item.range,
        }
    }
}
