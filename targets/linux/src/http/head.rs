//! The head of a request: RFC 9112.

use std::ops::Range;

use super::settings::Limits;

/// Header lines of a request.
const MAX_HEADERS: usize = 64;

/// A method that some route may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Put,
    Options,
    Other,
}

impl Method {
    fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// What the head of a request says. Ranges are those of the buffer that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: Method,
    /// The path, without query and fragment.
    pub(super) path: Range<usize>,
    pub(super) query: Range<usize>,
    /// Whether the client speaks HTTP/1.1, and so takes chunks.
    pub(super) is_1_1: bool,
    pub(super) keep_alive: bool,
    pub(super) framing: Framing,
    pub(super) encoding: Encoding,
    pub(super) expects_continue: bool,
    pub(super) content_type: Range<usize>,
    pub(super) authorization: Range<usize>,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// Why a head is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("{0}")]
    Malformed(String),
    #[error("the head of the request is larger than {0} bytes")]
    TooLarge(usize),
    #[error("a body of {given} bytes, {most} are taken")]
    BodyTooLarge { given: u64, most: usize },
    #[error("HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
    #[error("transfer encoding {0:?} is not taken: chunked is")]
    TransferEncoding(String),
    #[error("content encoding {0:?} is not taken: gzip, deflate and identity are")]
    ContentEncoding(String),
    #[error("expectation {0:?} is not known")]
    Expectation(String),
}

impl HeadError {
    /// The status to answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooLarge(_) => 431,
            Self::BodyTooLarge { .. } => 413,
            Self::Version => 505,
            Self::TransferEncoding(_) => 501,
            Self::ContentEncoding(_) => 415,
            Self::Expectation(_) => 417,
        }
    }
}

fn malformed(reason: impl Into<String>) -> HeadError {
    HeadError::Malformed(reason.into())
}

/// Reads the head at the start of `buffer`; `None` where it is not complete.
pub(super) fn parse(buffer: &[u8], limits: &Limits) -> Result<Option<Head>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) if length > limits.head => return Err(HeadError::TooLarge(limits.head)),
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() >= limits.head => return Err(HeadError::TooLarge(limits.head)),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge(limits.head)),
        Err(httparse::Error::Version) => return Err(HeadError::Version),
        Err(error) => return Err(malformed(format!("the head of the request: {error}"))),
    };
    let is_1_1 = request.version == Some(1);
    let target = request.path.unwrap_or_default();
    let (path, query) = split_target(target)?;
    let at = |part: &[u8]| {
        let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
        start..start + part.len()
    };
    let mut head = Head {
        method: Method::of(request.method.unwrap_or_default()),
        path: at(path.as_bytes()),
        query: at(query.as_bytes()),
        is_1_1,
        keep_alive: is_1_1,
        framing: Framing::Length(0),
        encoding: Encoding::Identity,
        expects_continue: false,
        content_type: 0..0,
        authorization: 0..0,
        length,
    };
    let mut content_length: Option<u64> = None;
    let mut is_chunked = false;
    let mut hosts = 0;
    for header in request.headers.iter() {
        let value = header.value.trim_ascii();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let given = decimal(value).ok_or_else(|| malformed("Content-Length is no whole number"))?;
            if content_length.is_some_and(|before| before != given) {
                return Err(malformed("two Content-Length headers differ"));
            }
            content_length = Some(given);
        } else if is("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") || is_chunked {
                return Err(HeadError::TransferEncoding(String::from_utf8_lossy(value).into_owned()));
            }
            is_chunked = true;
        } else if is("connection") {
            for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    head.keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") && !is_1_1 {
                    head.keep_alive = true;
                }
            }
        } else if is("content-encoding") {
            head.encoding = encoding(value)?;
        } else if is("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(HeadError::Expectation(String::from_utf8_lossy(value).into_owned()));
            }
            head.expects_continue = is_1_1;
        } else if is("content-type") {
            head.content_type = at(value);
        } else if is("authorization") {
            head.authorization = at(value);
        } else if is("host") {
            hosts += 1;
        }
    }
    if hosts > 1 || (is_1_1 && hosts == 0) {
        return Err(malformed("one Host header is needed"));
    }
    head.framing = match (is_chunked, content_length) {
        // A request with both may have been read in two ways on its way here: RFC 9112, section 6.1.
        (true, Some(_)) => return Err(malformed("both Transfer-Encoding and Content-Length")),
        (true, None) if !is_1_1 => return Err(malformed("chunks in HTTP/1.0")),
        (true, None) => Framing::Chunked,
        (false, given) => {
            let given = given.unwrap_or(0);
            match usize::try_from(given) {
                Ok(length) if length <= limits.body => Framing::Length(length),
                _ => return Err(HeadError::BodyTooLarge { given, most: limits.body }),
            }
        }
    };
    Ok(Some(head))
}

/// The path and the query of a request's target in origin or absolute form.
fn split_target(target: &str) -> Result<(&str, &str), HeadError> {
    let origin = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    };
    if !origin.starts_with('/') && origin != "*" {
        return Err(malformed("the target of the request must be a path"));
    }
    let origin = origin.split('#').next().unwrap_or_default();
    Ok(origin.split_once('?').unwrap_or((origin, &origin[origin.len()..])))
}

fn encoding(value: &[u8]) -> Result<Encoding, HeadError> {
    let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("identity") || is("") => Ok(Encoding::Identity),
        () if is("gzip") || is("x-gzip") => Ok(Encoding::Gzip),
        () if is("deflate") => Ok(Encoding::Deflate),
        () => Err(HeadError::ContentEncoding(String::from_utf8_lossy(value).into_owned())),
    }
}

/// A number of decimal digits alone.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, HeadError> {
        parse(text.as_bytes(), &Limits::default())
    }

    #[test]
    fn a_head_is_read() {
        let text =
            "POST /v1/predict?a=b HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 12\r\n\r\nrest";
        let head = read(text).unwrap().unwrap();
        assert_eq!((&text[head.path.clone()], &text[head.query.clone()]), ("/v1/predict", "a=b"));
        assert_eq!((&text[head.content_type.clone()], &text[head.length..]), ("text/csv", "rest"));
        assert_eq!((head.method, head.framing, head.keep_alive), (Method::Post, Framing::Length(12), true));
        for cut in 0..text.len() - 4 {
            assert_eq!(read(&text[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn heads_that_could_be_read_in_two_ways_are_refused() {
        for (lines, status) in [
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
            ("Content-Encoding: br\r\n", 415),
            ("Content-Length: 99999999999\r\n", 413),
            ("Content-Length: 99999999999999999999999999\r\n", 400),
            ("Expect: 200-ok\r\n", 417),
            ("Host: y\r\n", 400),
            ("A : b\r\n", 400),
        ] {
            let error = read(&format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n")).unwrap_err();
            assert_eq!(error.status(), status, "{lines}: {error}");
        }
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n").unwrap_err().status(), 400);
        assert_eq!(read("GET / HTTP/2.0\r\n\r\n").unwrap_err().status(), 505);
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(20_000));
        assert_eq!(read(&long).unwrap_err().status(), 431);
    }
}
