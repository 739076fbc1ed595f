//! Python sources: parsed once, with bounded nesting, and able to say where a node is.

use ruff_python_ast::ModModule;
use ruff_text_size::{Ranged, TextRange};

use super::error::{NotUnderstood, ServiceError};
use super::nesting;

/// Characters of source text that a message shows.
const EXCERPT_CHARS: usize = 120;

/// One parsed Python file.
#[derive(Debug)]
pub(super) struct Source {
    /// Path relative to where imports are resolved.
    pub(super) name: String,
    /// How messages call the file.
    label: String,
    text: String,
    syntax: ModModule,
}

impl Source {
    /// Parses `text`; nothing is run.
    ///
    /// # Errors
    /// Text that nests too deeply to be handled safely, or that is not Python.
    pub(super) fn parse(name: &str, label: &str, text: String) -> Result<Source, ServiceError> {
        nesting::check(&text).map_err(|problem| ServiceError::File { file: label.to_owned(), problem })?;
        match ruff_python_parser::parse_module(&text) {
            Ok(parsed) => {
                Ok(Source { name: name.to_owned(), label: label.to_owned(), text, syntax: parsed.into_syntax() })
            }
            Err(error) => {
                let problem = format!("not valid Python: {}", error.error);
                Err(ServiceError::At(Box::new(locate(label, &text, error.location, problem))))
            }
        }
    }

    /// A file that is no Python.
    pub(super) fn without_code(label: &str, text: &str) -> Result<Source, ServiceError> {
        let source = Source::parse(label, label, String::new())?;
        Ok(Source { text: text.to_owned(), ..source })
    }

    /// The parsed module.
    pub(super) fn syntax(&self) -> &ModModule {
        &self.syntax
    }

    /// The error that `problem` is at `node`.
    pub(super) fn error(&self, node: &impl Ranged, problem: impl Into<String>) -> ServiceError {
        ServiceError::At(Box::new(self.place(node, problem)))
    }

    /// The place of `node`, with what is wrong there.
    pub(super) fn place(&self, node: &impl Ranged, problem: impl Into<String>) -> NotUnderstood {
        locate(&self.label, &self.text, node.range(), problem.into())
    }

    /// The error that something is not in the file.
    pub(super) fn missing(&self, problem: String) -> ServiceError {
        ServiceError::File { file: self.label.clone(), problem }
    }
}

/// The error that `problem` is at `range` of a file that is no Python.
pub(super) fn error_in(label: &str, text: &str, range: TextRange, problem: String) -> ServiceError {
    ServiceError::At(Box::new(locate(label, text, range, problem)))
}

/// The place of `range` in `text`.
fn locate(label: &str, text: &str, range: TextRange, problem: String) -> NotUnderstood {
    // A parser may point past the last character.
    let start = text.floor_char_boundary(range.start().to_usize().min(text.len()));
    let end = text.floor_char_boundary(range.end().to_usize().clamp(start, text.len()));
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let mut shown = &text[start..end];
    if shown.trim().is_empty() {
        shown = text[line_start..].lines().next().unwrap_or_default();
    }
    NotUnderstood {
        file: label.to_owned(),
        line: text[..start].matches('\n').count() + 1,
        column: text[line_start..start].chars().count() + 1,
        expression: excerpt(shown),
        problem,
    }
}

/// `text` on one line, cut to what a message can show.
fn excerpt(text: &str) -> String {
    let mut words = String::new();
    let mut count = 0;
    for character in text.split_whitespace().flat_map(|word| [" ", word]).flat_map(str::chars).skip(1) {
        count += 1;
        if count > EXCERPT_CHARS {
            words.push('…');
            break;
        }
        words.push(character);
    }
    words
}

#[cfg(test)]
mod tests {
    use ruff_text_size::Ranged;

    use super::Source;
    use crate::service::ServiceError;

    fn place(error: ServiceError) -> super::NotUnderstood {
        match error {
            ServiceError::At(place) => *place,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn errors_have_line_column_and_text() {
        let source = Source::parse("s.py", "b/s.py", "é = 1\nü = f( x,\n  y )\n".into()).unwrap();
        let statement = &source.syntax().body[1];
        let call = statement.as_assign_stmt().unwrap().value.range();
        let error = place(source.error(&call, "is odd"));
        assert_eq!((error.line, error.column), (2, 5));
        assert_eq!(error.expression, "f( x, y )");
        assert_eq!(error.to_string(), "b/s.py:2:5: is odd\n  2 | f( x, y )");
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let text = "def f(x):\n    return g(x\n";
        let error = place(Source::parse("s.py", "s.py", text.into()).unwrap_err());
        assert!(error.line >= 2 && error.problem.contains("not valid Python"), "{error:?}");
        for text in ["(", "\"", "\u{0}", "x = \\", "é(", "def", "f'{", "    x"] {
            assert!(Source::parse("s.py", "s.py", text.into()).is_err(), "{text:?}");
        }
    }
}
