//! Responses as bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::identity::Uuid;

/// Reason phrase of a status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        204 => "No Content",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}

/// What a request is called in its response's head.
#[derive(Clone, Copy, Debug)]
pub(super) enum RequestName {
    /// `X-Request-Id`: BentoML 0.13.
    Uuid(Uuid),
    /// `x-bentoml-request-id`: BentoML 1.x.
    Short(u64),
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseHead<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    pub(super) keep_alive: bool,
    pub(super) name: Option<RequestName>,
    /// Further lines, each with its end.
    pub(super) more: &'a str,
    /// Whether the body goes as one chunk.
    pub(super) is_chunked: bool,
    /// Whether the body stays here: the answer to a `HEAD`.
    pub(super) is_bare: bool,
}

impl<'a> ResponseHead<'a> {
    pub(super) fn new(status: u16, content_type: &'a str, keep_alive: bool) -> Self {
        Self { status, content_type, keep_alive, name: None, more: "", is_chunked: false, is_bare: false }
    }
}

/// Appends a response. Nothing is allocated beyond the room in `out`.
pub(super) fn write(out: &mut Vec<u8>, head: &ResponseHead<'_>, body: &[u8]) {
    use std::io::Write;
    // Writing to a Vec does not fail.
    let _ = write!(out, "HTTP/1.1 {} {}\r\n", head.status, reason(head.status));
    if !head.content_type.is_empty() {
        let _ = write!(out, "Content-Type: {}\r\n", head.content_type);
    }
    if head.is_chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    } else {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    match head.name {
        Some(RequestName::Uuid(uuid)) => {
            let _ = write!(out, "X-Request-Id: {uuid}\r\n");
        }
        Some(RequestName::Short(word)) => {
            let _ = write!(out, "x-bentoml-request-id: {word:016x}\r\n");
        }
        None => {}
    }
    out.extend_from_slice(b"Date: ");
    write_date(out, SystemTime::now());
    out.extend_from_slice(b"\r\nServer: ekiben\r\n");
    out.extend_from_slice(head.more.as_bytes());
    if !head.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if head.is_bare {
        return;
    }
    if head.is_chunked && !body.is_empty() {
        let _ = write!(out, "{:x}\r\n", body.len());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(body);
    }
    if head.is_chunked {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

/// Appends a date as HTTP spells it.
fn write_date(out: &mut Vec<u8>, time: SystemTime) {
    use std::io::Write;
    // httpdate panics for years that HTTP cannot spell.
    let least = UNIX_EPOCH;
    let most = UNIX_EPOCH + Duration::from_secs(250_000_000_000);
    let _ = write!(out, "{}", httpdate::HttpDate::from(time.clamp(least, most)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_written() {
        let mut out = Vec::new();
        let head = ResponseHead { name: Some(RequestName::Short(255)), ..ResponseHead::new(200, "text/plain", false) };
        write(&mut out, &head, b"hello");
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"));
        assert!(text.contains("x-bentoml-request-id: 00000000000000ff\r\nDate: "));
        assert!(text.ends_with("Connection: close\r\n\r\nhello"));
        let mut out = Vec::new();
        let head = ResponseHead { is_chunked: true, ..ResponseHead::new(200, "text/event-stream", true) };
        write(&mut out, &head, b"hello");
        assert!(String::from_utf8(out).unwrap().ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    }
}
