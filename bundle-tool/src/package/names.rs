//! Identifiers for names that a model's author chose.

use std::collections::BTreeSet;

/// Names about the whole model; `H` is the include guard's.
const MODEL: &[&str] = &["H", "LENGTH", "SELF_TEST_ARENA_BYTES"];
/// What follows an API's identifier, in C or in Rust.
pub(super) const API_SUFFIXES: &[&str] = &[
    "_API",
    "_NAME",
    "_FIXED_ROWS",
    "_ARENA_BYTES",
    "_ARENA_BYTES_FOR",
    "_ARENA_FIXED",
    "_ARENA_PER_ROW",
    "_INPUTS",
    "_OUTPUTS",
];
/// What follows a tensor's identifier, in C or in Rust.
pub(super) const TENSOR_SUFFIXES: &[&str] =
    &["", "_NAME", "_DTYPE", "_RANK", "_SHAPE", "_ELEMENTS", "_SCALE", "_ZERO_POINT"];

/// Characters of an identifier that come from a name.
const LONGEST: usize = 48;

/// Identifiers in use: no two macros of a header are called alike.
pub(super) struct Names {
    used: BTreeSet<String>,
}

impl Names {
    /// Only the names about the whole model are in use.
    pub(super) fn new() -> Self {
        Self { used: MODEL.iter().map(|&name| name.to_owned()).collect() }
    }

    /// An identifier of `prefix`, then `name` in upper case (`unnamed` where nothing of the name is fit for one), then a number where it
    /// takes one to differ: none of the names that it makes with `suffixes` is in use, and all of them are from now on.
    pub(super) fn claim(&mut self, prefix: &str, name: &str, unnamed: &str, suffixes: &[&str]) -> String {
        let identifier = identifier(name);
        let mut base = format!("{prefix}{}", if identifier.is_empty() { unnamed } else { &identifier });
        if base.starts_with(|first: char| first.is_ascii_digit()) {
            base.insert(0, 'N');
        }
        let is_used =
            |candidate: &str| suffixes.iter().any(|suffix| self.used.contains(&format!("{candidate}{suffix}")));
        let (mut free, mut number) = (base.clone(), 2u64);
        while is_used(&free) {
            free = format!("{base}_{number}");
            number += 1;
        }
        self.used.extend(suffixes.iter().map(|suffix| format!("{free}{suffix}")));
        free
    }
}

/// ASCII letters in upper case and digits; what is between them becomes one underscore.
fn identifier(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut text = words.collect::<Vec<_>>().join("_").to_ascii_uppercase();
    text.truncate(LONGEST);
    text.trim_end_matches('_').to_owned()
}
