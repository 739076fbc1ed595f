//! What either generation of BentoML answers.

mod validation;

use std::borrow::Cow;

use ekiben_runtime::artifact::manifest::{Api, InputAdapter, Returns};

use serde_json::Value;

use crate::adapter::{DataError, JsonStyle};

/// A whole answer that is no answer of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plain {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
    /// Further lines of the head.
    pub(super) more: Cow<'static, str>,
}

/// Line of a head that says when to ask again.
pub(super) const RETRY: &str = "Retry-After: 1\r\n";

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
const EVENTS: &str = "text/event-stream; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// Bytes of a body that an error message repeats.
const MOST_REPEATED: usize = 1024;

/// What BentoML 1.x says of an error whose reason stays on the server.
const UNEXPECTED: &str = r#"{"error":"An unexpected error has occurred, please check the server log."}"#;

impl Plain {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, body: body.into(), more: Cow::Borrowed("") }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, JSON, value.to_string())
    }

    /// An error of the server itself: JSON for clients of 1.x, a text for those of 0.13.
    pub(super) fn error(is_old: bool, status: u16, reason: &str) -> Self {
        match is_old {
            true => Self::new(status, TEXT, reason),
            false => Self::json(status, &serde_json::json!({ "error": reason })),
        }
    }

    /// There is no such route.
    pub(super) fn not_found(is_old: bool) -> Self {
        match is_old {
            true => Self::new(
                404,
                HTML,
                page(
                    "404 Not Found",
                    "The requested URL was not found on the server. If you entered the URL manually please check your \
                     spelling and try again.",
                ),
            ),
            false => Self::new(404, TEXT, "Not Found"),
        }
    }

    /// The methods of a route, for a request that asks for them.
    pub(super) fn options(allow: &'static str) -> Self {
        Self { more: allow.into(), ..Self::new(200, HTML, "") }
    }

    /// The route does not take the method; `allow` is the line of the head that says which ones it takes.
    pub(super) fn method_not_allowed(is_old: bool, allow: &'static str) -> Self {
        let plain = match is_old {
            true => {
                Self::new(405, HTML, page("405 Method Not Allowed", "The method is not allowed for the requested URL."))
            }
            false => Self::new(405, TEXT, "Method Not Allowed"),
        };
        Self { more: allow.into(), ..plain }
    }

    /// More is asked than can be answered now.
    pub(super) fn overloaded(is_old: bool) -> Self {
        let plain = match is_old {
            true => Self::new(429, TEXT, "429: Too Many Requests"),
            false => Self::new(503, JSON, UNEXPECTED),
        };
        Self { more: RETRY.into(), ..plain }
    }

    /// The token is missing or wrong.
    pub(super) fn unauthorized(is_old: bool) -> Self {
        let plain = match is_old {
            true => Self::new(401, TEXT, "401: Unauthorized"),
            false => Self::new(401, JSON, r#"{"error":"Authorization error"}"#),
        };
        Self { more: Cow::Borrowed("WWW-Authenticate: Bearer\r\n"), ..plain }
    }

    /// BentoML's pickles are code.
    pub(super) fn pickle_refused() -> Self {
        Self::new(
            415,
            JSON,
            r#"{"error":"application/vnd.bentoml+pickle is not allowed: it can hold code; send JSON or a form"}"#,
        )
    }
}

/// A page as Werkzeug writes them.
fn page(title: &str, text: &str) -> String {
    let name = title.split_once(' ').map_or(title, |(_, name)| name);
    format!(
        "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<title>{title}</title>\n<h1>{name}</h1>\n<p>{text}</p>\n"
    )
}

/// Answer to `/feedback` (0.13): `None` where it is taken.
pub(super) fn feedback_problem(body: &[u8]) -> Option<Plain> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let problem = match value {
        Some(Value::Object(members)) if members.contains_key("request_id") => return None,
        Some(Value::Object(members)) if !members.is_empty() => "Missing 'request_id' in feedback JSON data",
        _ => "Failed parsing feedback JSON data",
    };
    Some(Plain::new(400, HTML, page("400 Bad Request", problem)))
}

/// How answers of an API are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form<'a> {
    pub(super) content_type: &'a str,
    pub(super) style: JsonStyle,
    pub(super) is_chunked: bool,
}

/// The form of an API's answers.
pub(super) fn form(api: &Api, is_old: bool) -> Form<'_> {
    let form = Form { content_type: JSON, style: JsonStyle::Ascii, is_chunked: false };
    let wire = &api.wire;
    if is_old {
        // Tables have no content type, and the server in front of Flask, or Flask, puts its own.
        let default = if api.batch { TEXT } else { HTML };
        let is_frame = matches!(api.returns, Returns::Frame { .. }) || wire.output == "DataframeOutput";
        return match is_frame {
            true => Form { content_type: default, style: JsonStyle::Pandas, ..form },
            false => Form { style: JsonStyle::Spaced, ..form },
        };
    }
    match (wire.output.as_str(), api.is_text) {
        _ if wire.stream == "text/event-stream" => Form { content_type: EVENTS, is_chunked: true, ..form },
        _ if !wire.stream.is_empty() => Form { content_type: &wire.stream, is_chunked: true, ..form },
        ("Text", _) => Form { content_type: TEXT, is_chunked: true, ..form },
        (_, true) => Form { content_type: TEXT, ..form },
        ("JSON", _) => Form { style: JsonStyle::Compact, ..form },
        ("PandasDataFrame" | "PandasSeries", _) => Form { style: JsonStyle::Pandas, ..form },
        _ if wire.compact => Form { style: JsonStyle::Compact, ..form },
        _ => form,
    }
}

/// The answer where a request does not hold what the API takes.
pub(super) fn refused(api: &Api, class: &str, is_old: bool, body: &[u8], error: &DataError) -> Plain {
    match is_old {
        true => refused_old(api, body, error),
        // Services with runners answer a text in JSON.
        false if !api.wire.input.is_empty() => {
            Plain::json(400, &Value::from(format!("BentoService error handling API request: {error}")))
        }
        false => validation::refused(api, class, body, error),
    }
}

fn refused_old(api: &Api, body: &[u8], error: &DataError) -> Plain {
    let content_type = if api.batch { TEXT } else { HTML };
    let adapter = api.wire.input.as_str();
    let failed = |text: String| Plain::new(500, content_type, format!("Exception happened in API function: {text}"));
    match (adapter, error) {
        ("DataframeInput", DataError::Width { given, needed, .. }) if *given > 0 && !has_list_columns(body) => {
            failed(format!("X has {given} features, but the model is expecting {needed} features as input."))
        }
        // Where nothing is declared about the table, an error is one of all requests of a batch, which are not repeated.
        ("DataframeInput", _) if !is_declared(api) && !has_header(body, error) => {
            Plain::new(400, content_type, "DataframeInput Wrong input format.")
        }
        ("DataframeInput", _) => {
            let body = String::from_utf8_lossy(&body[..body.len().min(MOST_REPEATED)]);
            Plain::new(400, content_type, format!("DataframeInput Wrong input format: {body}."))
        }
        ("JsonInput" | "TfTensorInput", DataError::Json(_)) => Plain::new(400, content_type, "Not a valid JSON format"),
        // What Python says of a key that a dict lacks.
        ("JsonInput", DataError::Missing { place, .. }) => {
            failed(format!("'{}'", place.rsplit('.').next().unwrap_or_default()))
        }
        ("TfTensorInput", DataError::Missing { .. }) => {
            Plain::new(400, content_type, "input format is not implemented")
        }
        ("JsonInput", error) => failed(error.to_string()),
        (_, error) => Plain::new(400, content_type, format!("BentoML#{adapter} {error}")),
    }
}

/// Whether a table that was refused has names of columns, so that it is repeated.
fn has_header(body: &[u8], error: &DataError) -> bool {
    match (serde_json::from_slice::<Value>(body), error) {
        (Ok(Value::Object(members)), _) => !members.is_empty(),
        (Ok(Value::Array(rows)), _) => rows.first().and_then(Value::as_object).is_some_and(|row| !row.is_empty()),
        (Ok(_), _) | (Err(_), DataError::Json(_)) => false,
        (Err(_), _) => true,
    }
}

/// Whether a body is an object of lists, which 0.13 takes for a table without rows.
fn has_list_columns(body: &[u8]) -> bool {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let members = value.as_ref().and_then(Value::as_object);
    members.is_some_and(|members| members.values().all(Value::is_array) && !members.contains_key("index"))
}

/// Whether the service declares columns or an orientation of its table.
fn is_declared(api: &Api) -> bool {
    matches!(&api.input, InputAdapter::Dataframe(frame) if !frame.columns.is_empty() || frame.orient.is_some())
}

/// The answer where a model cannot compute what it was given.
pub(super) fn failed(api: &Api, is_old: bool, error: &str) -> Plain {
    match is_old {
        true => {
            let content_type = if api.batch { TEXT } else { HTML };
            Plain::new(500, content_type, format!("Exception happened in API function: {error}"))
        }
        false => Plain::new(500, JSON, UNEXPECTED),
    }
}

/// The answer where not even the reason is known.
pub(super) fn failed_unknown(is_old: bool) -> Plain {
    match is_old {
        true => Plain::new(500, TEXT, "500 Internal Server Error"),
        false => Plain::new(500, JSON, UNEXPECTED),
    }
}

/// The answer where a slash too many stands at the end of a path (1.x).
pub(super) fn moved(path: &str) -> Plain {
    Plain { more: format!("Location: {path}\r\n").into(), ..Plain::new(307, "", "") }
}
