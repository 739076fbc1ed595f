//! Operators by name: the keys that each has, and what it does to values.
//!
//! Most are a function of one of Python's libraries under another name. To add one, write a line in the table of its kind.

mod arithmetic;
mod boxes;
mod choice;
mod columns;
mod image;
mod model;
mod shape;
mod signal;

use super::super::evaluate::{Evaluated, Evaluator, Value};
use super::step::Arguments;

/// What an operator does.
pub(super) type Lower = for<'e, 'a, 'c> fn(&mut Evaluator<'e, 'a>, &'c Arguments<'c, 'a>) -> Evaluated<'a>;

/// An operator.
pub(super) struct Operator {
    pub(super) name: &'static str,
    /// Keys besides `name` and `op`.
    pub(super) keys: &'static [&'static str],
    pub(super) lower: Lower,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Operator {
    const fn new(name: &'static str, keys: &'static [&'static str], lower: Lower) -> Self {
        Self { name, keys, lower }
    }
}

const OPERATORS: &[&[Operator]] = &[
    model::OPERATORS,
    columns::OPERATORS,
    arithmetic::OPERATORS,
    arithmetic::ELEMENTS,
    arithmetic::PAIRS,
    arithmetic::ALONG,
    choice::OPERATORS,
    shape::OPERATORS,
    signal::OPERATORS,
    boxes::OPERATORS,
    image::OPERATORS,
];

/// The operator with this name.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().copied().flatten().find(|operator| operator.name == name)
}

/// Names of all operators, for messages.
pub(super) fn names() -> String {
    let mut names: Vec<&str> = OPERATORS.iter().copied().flatten().map(|operator| operator.name).collect();
    names.sort_unstable();
    names.join(", ")
}

/// A function of a library, called with `of`.
fn of<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let value = arguments.value(evaluator, "of")?;
    arguments.call(evaluator, path, vec![value], Vec::new())
}

/// A function of a library, called with `of` and with all other keys under their own names; the text `"none"` is Python's `None`.
fn named<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let keys = arguments.step.operator.keys.iter().copied().filter(|key| *key != "of");
    let given = keys.filter_map(|key| Some((key, arguments.constant(key)?)));
    let given = given.map(|(key, value)| match value {
        Value::Text(text) if &*text == "none" => (key, Value::None),
        other => (key, other),
    });
    let given = given.collect();
    arguments.call(evaluator, path, vec![Value::Array(array)], given)
}

#[cfg(test)]
mod tests {
    use super::OPERATORS;

    #[test]
    fn names_and_keys_stand_once() {
        let mut names: Vec<&str> = OPERATORS.iter().copied().flatten().map(|operator| operator.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// Every operator and every key of it is described.
    #[test]
    fn the_documentation_lists_all_operators() {
        let text = include_str!("../../../../../docs/declarations.md");
        for operator in OPERATORS.iter().copied().flatten() {
            let line = text.lines().find(|line| {
                line.starts_with('|')
                    && line.split('|').nth(1).is_some_and(|cell| cell.contains(&format!("`{}`", operator.name)))
            });
            let line = line.unwrap_or_else(|| panic!("{} is not described", operator.name));
            for key in operator.keys {
                assert!(line.contains(&format!("`{key}`")), "{}: {key} is not described", operator.name);
            }
        }
    }
}
