//! A bound on how deep a Python file's syntax tree can be, before it is built.
//!
//! The parser grows its stack on the heap without limit, and a tree of a million levels overflows the stack when it is
//! walked or dropped. A tree is deep in only two ways: statements in indented blocks, and expressions in one logical line,
//! where every level costs a token. In brackets and lists, what stands on two sides of a comma is beside, not inside, each
//! other, unless a keyword (`lambda`, `yield`, `if`, …) holds both; so tokens other than keywords stop counting at a comma.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// Tokens that may nest in one logical line. Real expressions stay below 200.
const MAX_TOKENS: usize = 1000;
/// Brackets that may be open at once.
const MAX_BRACKETS: usize = 64;
/// Whitespace characters before a line's text; every nested block costs at least one.
const MAX_INDENT: usize = 200;

/// Checks that the tree of `text` has a bounded depth.
///
/// # Errors
/// Says which bound is exceeded and how to change the source.
pub(super) fn check(text: &str) -> Result<(), String> {
    if let Some(index) = text.lines().position(|line| indent(line) > MAX_INDENT) {
        let line = index + 1;
        return Err(format!("line {line} is indented by more than {MAX_INDENT} characters. Use less nesting"));
    }
    let mut lexer = lexer::lex(text, Mode::Module);
    let mut levels = vec![Level::default()];
    let mut total = 0;
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return Ok(()),
            kind if kind.is_trivia() => continue,
            kind if ends_statement(kind, levels.len()) => {
                levels.clear();
                levels.push(Level::default());
                total = 0;
            }
            kind if opens(kind) => {
                if levels.len() > MAX_BRACKETS {
                    return Err(format!("more than {MAX_BRACKETS} brackets are open at once. Use local variables"));
                }
                levels.push(Level::default());
                total += count(&mut levels, kind);
            }
            kind if closes(kind) && levels.len() > 1 => {
                let level = levels.pop().unwrap_or_default();
                total -= level.tokens + level.keywords;
                total += count(&mut levels, kind);
            }
            TokenKind::Comma => {
                if let Some(level) = levels.last_mut() {
                    total -= level.tokens;
                    level.tokens = 0;
                }
            }
            kind => total += count(&mut levels, kind),
        }
        if total > MAX_TOKENS {
            return Err(format!("one expression has more than {MAX_TOKENS} nested parts. Use local variables"));
        }
    }
}

/// Tokens counted inside one pair of brackets.
#[derive(Default)]
struct Level {
    /// Since the last comma.
    tokens: usize,
    /// Keywords since the bracket was opened.
    keywords: usize,
}

/// Counts one token on the innermost level.
fn count(levels: &mut [Level], kind: TokenKind) -> usize {
    let Some(level) = levels.last_mut() else {
        return 0;
    };
    if kind.is_keyword() && !kind.is_singleton() {
        level.keywords += 1;
    } else {
        level.tokens += 1;
    }
    1
}

/// Whether a statement ends here; the lexer gives a `Newline` only outside of brackets.
fn ends_statement(kind: TokenKind, levels: usize) -> bool {
    kind == TokenKind::Newline || (kind == TokenKind::Semi && levels == 1)
}

fn opens(kind: TokenKind) -> bool {
    use TokenKind::{FStringStart, Lbrace, Lpar, Lsqb, TStringStart};
    matches!(kind, Lpar | Lsqb | Lbrace | FStringStart | TStringStart)
}

fn closes(kind: TokenKind) -> bool {
    use TokenKind::{FStringEnd, Rbrace, Rpar, Rsqb, TStringEnd};
    matches!(kind, Rpar | Rsqb | Rbrace | FStringEnd | TStringEnd)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t', '\u{c}']).len()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::service::source::Source;

    /// Parses and drops in a thread with as much stack as a program's smallest threads have.
    fn parse(text: String) -> bool {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        let parsed = thread.spawn(move || Source::parse("s.py", "s.py", text).is_ok()).unwrap();
        parsed.join().unwrap()
    }

    #[test]
    fn hostile_nesting_is_refused() {
        let many = 100_000;
        let cases = [
            "(".repeat(many),
            "[".repeat(many) + &"]".repeat(many),
            "{1:".repeat(many),
            "-".repeat(many) + "1",
            "not ".repeat(many) + "1",
            "x".to_owned() + &".y".repeat(many),
            "x".to_owned() + &"+1".repeat(many),
            "f".to_owned() + &"()".repeat(many),
            "f".to_owned() + &"[0]".repeat(many),
            "lambda:".repeat(many) + "1",
            "lambda x,y:".repeat(many) + "1",
            "[".to_owned() + &"lambda x,y:".repeat(many) + "1]",
            "yield x,".repeat(many),
            "x if y else ".repeat(many) + "1",
            "if x: ".repeat(many),
            "f'{".repeat(many),
            "(\n".to_owned() + &"if x,:\n".repeat(many),
            (0..3000).map(|depth| " ".repeat(depth) + "if x:\n").collect(),
            "(\n".to_owned() + &(0..3000).map(|depth| " ".repeat(depth) + "if x,:\n").collect::<String>(),
            "(;".repeat(many),
            "*".repeat(many),
            "await ".repeat(many),
            "a = ".repeat(many),
            "@".repeat(many),
            "match x:\n case ".to_owned() + &"[".repeat(many),
        ];
        for case in cases {
            let start: String = case.chars().take(20).collect();
            assert!(check(&case).is_err(), "{start}");
            assert!(!parse(case), "{start}");
        }
    }

    #[test]
    fn the_deepest_that_is_accepted_fits_the_stack() {
        let cases = [
            "(".repeat(63) + "1" + &")".repeat(63),
            "-".repeat(998) + "1",
            "x".to_owned() + &".y".repeat(499),
            "lambda:".repeat(499) + "1",
            (0..200).map(|depth| " ".repeat(depth) + "if x:\n").collect::<String>()
                + &" ".repeat(200)
                + &"-".repeat(900)
                + "1",
        ];
        for case in cases {
            let start: String = case.chars().take(20).collect();
            assert!(check(&case).is_ok(), "{start}");
            let _ = parse(case);
        }
    }

    #[test]
    fn wide_is_not_deep() {
        let row = vec!["['a', -1.5, None, {'k': f(x)}]"; 5000].join(",\n");
        assert!(parse(format!("TABLE = [{row}]\n")));
        assert!(parse("x = 1\n".repeat(20_000)));
        assert!(parse(format!("x = '{}'\n", "(".repeat(100_000))));
    }
}
