//! Forms of several parts: `multipart/form-data`, RFC 7578.

use std::borrow::Cow;

use memchr::memmem;

use super::DataError;

/// The most parts of a form.
const MAX_PARTS: usize = 1024;
/// The most header lines of a part.
const MAX_HEADERS: usize = 16;

/// One part of a form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part<'b> {
    /// The field's name.
    pub(super) name: String,
    /// Whether it is a file.
    pub(super) is_file: bool,
    /// Its contents.
    pub(super) bytes: Cow<'b, [u8]>,
}

/// Whether a body is a form: it starts with a boundary.
pub(super) fn is_form(body: &[u8]) -> bool {
    body.starts_with(b"--") && boundary(body).is_some()
}

/// The line that stands between the parts.
fn boundary(body: &[u8]) -> Option<&[u8]> {
    let line = body.get(..memchr::memchr(b'\n', body.get(..256).unwrap_or(body))?)?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // RFC 2046: a boundary has 1 to 70 characters.
    (3..=72).contains(&line.len()).then_some(line)
}

/// The parts of a form.
///
/// # Errors
/// [`DataError::Body`] where the form is cut off, or a part has no name.
pub(super) fn parts(body: &[u8]) -> Result<Vec<Part<'_>>, DataError> {
    let refused = |reason: &str| DataError::body("form", reason);
    let boundary = boundary(body).ok_or_else(|| refused("it does not start with a boundary"))?;
    let mut rest = body.get(boundary.len()..).unwrap_or_default();
    let separator = [b"\r\n", boundary].concat();
    let finder = memmem::Finder::new(&separator);
    let mut found = Vec::new();
    while !rest.starts_with(b"--") {
        rest =
            rest.strip_prefix(b"\r\n").ok_or_else(|| refused("a boundary is not followed by the end of the line"))?;
        let end = finder.find(rest).ok_or_else(|| refused("it ends before its last boundary"))?;
        if found.len() >= MAX_PARTS {
            return Err(refused(&format!("it has more than {MAX_PARTS} parts")));
        }
        found.push(part(&rest[..end])?);
        rest = &rest[end + separator.len()..];
    }
    Ok(found)
}

/// The fields of a form in one line: `application/x-www-form-urlencoded`, the URL standard, section 5.
///
/// # Errors
/// [`DataError::Body`] where there are too many.
pub(super) fn fields(body: &[u8]) -> Result<Vec<Part<'static>>, DataError> {
    let mut found = Vec::new();
    for pair in body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        if found.len() >= MAX_PARTS {
            return Err(DataError::body("form", format!("it has more than {MAX_PARTS} parts")));
        }
        let mut halves = pair.splitn(2, |&byte| byte == b'=').map(unescaped);
        let name = String::from_utf8_lossy(&halves.next().unwrap_or_default()).into_owned();
        found.push(Part { name, is_file: false, bytes: halves.next().unwrap_or_default().into() });
    }
    Ok(found)
}

/// Text with its escapes (`%20`, and `+` for a space) undone; what is no escape stays.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if code.is_some() { &after[2..] } else { after };
        out.push(code.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    out
}

fn part(bytes: &[u8]) -> Result<Part<'_>, DataError> {
    let refused = |reason: String| DataError::body("form", reason);
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let (length, headers) = match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Ok(httparse::Status::Partial) => return Err(refused("the head of a part is cut off".to_owned())),
        Err(error) => return Err(refused(format!("the head of a part: {error}"))),
    };
    let disposition = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-disposition"));
    let disposition = disposition.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default();
    let name = parameter(disposition, "name").ok_or_else(|| refused("a part has no name".to_owned()))?;
    let is_file = parameter(disposition, "filename").is_some();
    Ok(Part { name, is_file, bytes: bytes.get(length..).unwrap_or_default().into() })
}

/// A parameter of a header: `key=value` or `key="value"`, in which a backslash stands before a quote.
fn parameter(header: &str, key: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once(';') {
        let after = after.trim_start();
        let (name, value) = after.split_once('=')?;
        let (value, next) = match value.strip_prefix('"') {
            Some(quoted) => {
                let mut text = String::new();
                let mut letters = quoted.char_indices();
                let end = loop {
                    match letters.next()? {
                        (at, '"') => break at + 1,
                        (_, '\\') => text.push(letters.next()?.1),
                        (_, letter) => text.push(letter),
                    }
                };
                (text, &quoted[end..])
            }
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(key) {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"a b\\\"c\"\r\n\r\n1\r\n--xyz\r\n\
            content-disposition: form-data; name=image; filename=\"x;y.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\r\n--xyz--\r\n";
        let parts = parts(body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name.as_str(), parts[0].is_file, &*parts[0].bytes), ("a b\"c", false, &b"1"[..]));
        assert_eq!((parts[1].name.as_str(), parts[1].is_file, &*parts[1].bytes), ("image", true, &b"\x89PNG\r\n"[..]));
    }

    #[test]
    fn fields_are_unescaped() {
        let fields = fields(b"a=1%2B+x&rows=%5B%5B1%5D%5D&%zz&b").unwrap();
        let found: Vec<_> = fields.iter().map(|part| (part.name.as_str(), &*part.bytes)).collect();
        assert_eq!(found, [("a", &b"1+ x"[..]), ("rows", b"[[1]]"), ("%zz", b""), ("b", b"")]);
    }

    #[test]
    fn broken_forms_are_refused() {
        let whole = b"--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--xyz--\r\n";
        assert!(is_form(whole));
        for length in 0..whole.len() - 4 {
            assert!(parts(&whole[..length]).is_err(), "{length}");
        }
        assert!(!is_form(b"--"));
        assert!(!is_form(b"{\"a\": 1}"));
        assert!(parts(b"--xyz\r\n\r\n1\r\n--xyz--").is_err());
    }
}
