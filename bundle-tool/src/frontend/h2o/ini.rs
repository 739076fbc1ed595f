//! `model.ini`: what every MOJO says about itself, its columns and their domains.

use std::collections::HashMap;

use crate::frontend::FrontendError;
use crate::frontend::zipped::Files;

/// The most columns of a model.
const MAX_COLUMNS: usize = 1 << 16;

/// A model's description.
pub(super) struct Ini {
    /// Folder of the model in the archive: "" or a path that ends with `/`.
    pub(super) folder: String,
    info: HashMap<String, String>,
    /// Names of the columns; the response comes last.
    pub(super) columns: Vec<String>,
    /// Categories of each column that has them.
    pub(super) domains: Vec<Option<Vec<String>>>,
}

impl Ini {
    /// Reads the description in `folder`.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub(super) fn read(files: &Files, folder: &str) -> Result<Self, FrontendError> {
        let path = format!("{folder}model.ini");
        let damaged = |reason: String| FrontendError::malformed(&path, reason);
        let mut made =
            Self { folder: folder.to_owned(), info: HashMap::new(), columns: Vec::new(), domains: Vec::new() };
        let (mut section, mut domain_files) = ("", Vec::new());
        for line in files.text(&path)?.lines().map(str::trim) {
            match (line, section) {
                ("", _) => {}
                ("[info]" | "[columns]" | "[domains]", _) => section = line,
                (_, "[columns]") => made.columns.push(line.to_owned()),
                _ if line.starts_with('#') => {}
                (_, "[info]") => {
                    let (key, value) = line.split_once('=').ok_or_else(|| damaged(format!("{line:?} has no value")))?;
                    made.info.insert(key.trim().to_owned(), value.trim().to_owned());
                }
                (_, "[domains]") => {
                    let parts = line.split_once(':').and_then(|(column, rest)| {
                        let (count, file) = rest.trim().split_once(' ')?;
                        Some((column.trim().parse::<usize>().ok()?, count.parse::<usize>().ok()?, file.trim()))
                    });
                    domain_files.push(parts.ok_or_else(|| damaged(format!("{line:?} is no domain")))?);
                }
                _ => return Err(damaged(format!("{line:?} stands before any section"))),
            }
        }
        if made.columns.len() != made.number::<usize>("n_columns")? || made.columns.len() > MAX_COLUMNS {
            return Err(damaged(format!("{} columns, it says otherwise or that is too many", made.columns.len())));
        }
        made.domains.resize(made.columns.len(), None);
        let escaped = made.flag("escape_domain_values", false);
        for (column, count, file) in domain_files {
            let file = format!("{folder}domains/{file}");
            // Domains of columns that are not the model's are written at times.
            let Some(domain) = made.domains.get_mut(column) else { continue };
            let lines = files.text(&file)?.lines();
            let texts: Vec<String> =
                if escaped { lines.map(unescaped).collect() } else { lines.map(str::to_owned).collect() };
            if texts.len() != count {
                return Err(FrontendError::malformed(file, format!("{} categories, it says {count}", texts.len())));
            }
            *domain = Some(texts);
        }
        Ok(made)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> FrontendError {
        FrontendError::malformed(format!("{}model.ini", self.folder), reason)
    }

    /// The value of a key, if it is there and not null.
    pub(super) fn find(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str).filter(|value| *value != "null")
    }

    /// The value of a key.
    pub(super) fn text(&self, key: &str) -> Result<&str, FrontendError> {
        self.find(key).ok_or_else(|| self.damaged(format_args!("{key} is missing")))
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, FrontendError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.damaged(format_args!("{key} is {text:?} and no such number")))
    }

    /// A number, or its default.
    pub(super) fn number_or<T: std::str::FromStr>(&self, key: &str, default: T) -> Result<T, FrontendError> {
        if self.find(key).is_none() { Ok(default) } else { self.number(key) }
    }

    /// A truth value, or its default.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.find(key).map_or(default, |value| value == "true")
    }

    /// A list of numbers; empty where it is not there.
    pub(super) fn numbers<T: std::str::FromStr>(&self, key: &str) -> Result<Vec<T>, FrontendError> {
        let Some(text) = self.find(key) else { return Ok(Vec::new()) };
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or_else(|| self.damaged(format_args!("{key} is no list")))?;
        if inner.trim().is_empty() {
            return Ok(Vec::new());
        }
        let parsed = inner.split(',').map(|number| number.trim().parse().ok());
        parsed.collect::<Option<_>>().ok_or_else(|| self.damaged(format_args!("{key} is no list of such numbers")))
    }

    /// Number of columns that are features.
    pub(super) fn features(&self) -> Result<usize, FrontendError> {
        let features = self.number::<usize>("n_features")?;
        if features == 0 || features > self.columns.len() {
            return Err(self.damaged(format_args!("{features} features of {} columns", self.columns.len())));
        }
        Ok(features)
    }

    /// What refuses a model for what `key` says.
    pub(super) fn unsupported(&self, what: &str, reason: &str) -> FrontendError {
        let algorithm = self.find("algorithm").unwrap_or("MOJO");
        let node = if self.folder.is_empty() { "model" } else { self.folder.trim_end_matches('/') };
        FrontendError::unsupported(node, format!("H2O {algorithm}"), format!("{what}: {reason}"))
    }
}

/// A line with `\n` and `\\` for what cannot stand in it.
fn unescaped(line: &str) -> String {
    let (mut text, mut escaped) = (String::with_capacity(line.len()), false);
    for letter in line.chars() {
        match (escaped, letter) {
            (false, '\\') => escaped = true,
            (true, 'n') => {
                text.push('\n');
                escaped = false;
            }
            _ => {
                text.push(letter);
                escaped = false;
            }
        }
    }
    text
}
