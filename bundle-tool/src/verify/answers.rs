//! The answers of an artifact beside those of the bento's own service.

use std::fmt;

use ekiben_edge::score::Scorer;
use ekiben_runtime::Session;
use serde_json::Value;

use super::{ABSOLUTE, RELATIVE, VerifyError};
use crate::bundle::Bundle;
use crate::python::{Interpreter, ServiceAnswer, ServiceRequest, ask_service};

/// Levels of lists and objects in an answer that are compared.
const MAX_DEPTH: usize = 128;

/// One API, by the bento's own service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceReport {
    /// The API.
    pub api: String,
    /// Requests that both answered.
    pub answered: usize,
    /// Requests that neither answered, and why the artifact did not answer the first.
    pub refused: Option<(usize, String)>,
    /// Numbers that were compared.
    pub numbers: usize,
    /// The largest difference of two numbers, and where it is.
    pub worst: Option<Difference>,
    /// Requests whose answers differ, with the first difference.
    pub differing: Option<(usize, Difference)>,
}

/// A place where two answers differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where: the request, and the place in its answer.
    pub place: String,
    /// The artifact's value, or its refusal.
    pub ours: String,
    /// The service's value, or its status.
    pub theirs: String,
    /// By how much two numbers differ.
    pub absolute: f64,
}

impl ServiceReport {
    /// Whether the API answers as the service does, as far as it has been asked.
    pub fn agrees(&self) -> bool {
        self.differing.is_none()
    }

    /// Adds what both say to one request.
    fn add(&mut self, request: &ServiceRequest, ours: Result<Vec<u8>, String>, theirs: &ServiceAnswer) {
        let refused = theirs.status >= 400;
        let first = match (ours, refused) {
            (Err(reason), true) => {
                self.note_refused(reason);
                None
            }
            // Python's server fails where it would have to write a number that JSON does not have.
            (Ok(body), true) if theirs.status >= 500 && has_no_json(&body) => {
                self.note_refused("the answer has numbers that JSON does not have".to_owned());
                None
            }
            (Ok(body), true) => Some(difference(
                String::new(),
                &excerpt(&body),
                &format!("status {}: {}", theirs.status, excerpt(&theirs.body)),
            )),
            (Err(reason), false) => {
                Some(difference(String::new(), &format!("refused: {reason}"), &excerpt(&theirs.body)))
            }
            (Ok(body), false) => {
                self.answered += 1;
                self.compare(&request.origin, &body, &theirs.body)
            }
        };
        if let Some(mut first) = first {
            first.place = [request.origin.as_str(), &first.place].join(" ").trim_end().to_owned();
            match &mut self.differing {
                Some((count, _)) => *count += 1,
                None => self.differing = Some((1, first)),
            }
        }
    }

    fn note_refused(&mut self, reason: String) {
        match &mut self.refused {
            Some((count, _)) => *count += 1,
            None => self.refused = Some((1, reason)),
        }
    }

    /// The first place where two bodies differ by more than rounding.
    fn compare(&mut self, origin: &str, ours: &[u8], theirs: &[u8]) -> Option<Difference> {
        let json = |body: &[u8]| serde_json::from_slice::<Value>(body);
        match (json(ours), json(theirs)) {
            (Ok(ours), Ok(theirs)) => self.walk("answer", origin, &ours, &theirs, 0),
            // The program ends its output with a line feed.
            _ if ours.trim_ascii_end() == theirs.trim_ascii_end() => None,
            _ => Some(difference("answer".to_owned(), &excerpt(ours), &excerpt(theirs))),
        }
    }

    fn walk(&mut self, place: &str, origin: &str, ours: &Value, theirs: &Value, depth: usize) -> Option<Difference> {
        let differ = || {
            Some(difference(
                place.to_owned(),
                &excerpt(ours.to_string().as_bytes()),
                &excerpt(theirs.to_string().as_bytes()),
            ))
        };
        match (ours, theirs) {
            _ if depth > MAX_DEPTH => differ(),
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let mut pairs = a.iter().zip(b).enumerate();
                pairs.find_map(|(at, (a, b))| self.walk(&format!("{place}[{at}]"), origin, a, b, depth + 1))
            }
            (Value::Object(a), Value::Object(b)) if a.len() == b.len() && a.keys().all(|key| b.contains_key(key)) => {
                let mut pairs = a.iter().filter_map(|(key, item)| Some((key, item, b.get(key)?)));
                pairs.find_map(|(key, a, b)| self.walk(&format!("{place}.{key}"), origin, a, b, depth + 1))
            }
            (Value::Number(a), Value::Number(b)) if a.is_f64() == b.is_f64() => {
                let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
                self.numbers += 1;
                let absolute = (a - b).abs();
                if absolute > self.worst.as_ref().map_or(0.0, |worst| worst.absolute) {
                    let place = format!("{origin} {place}");
                    self.worst = Some(Difference { place, ours: a.to_string(), theirs: b.to_string(), absolute });
                }
                let near = absolute <= ABSOLUTE + RELATIVE * a.abs().max(b.abs());
                if near || ours == theirs { None } else { differ() }
            }
            _ if ours == theirs => None,
            _ => differ(),
        }
    }
}

/// Whether an answer is JSON but for numbers that JSON does not have.
fn has_no_json(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let names = ["NaN", "Infinity"].iter().any(|name| text.contains(name));
    names && serde_json::from_str::<Value>(&text).is_err()
}

fn difference(place: String, ours: &str, theirs: &str) -> Difference {
    Difference { place, ours: ours.to_owned(), theirs: theirs.to_owned(), absolute: 0.0 }
}

/// The beginning of a body.
fn excerpt(body: &[u8]) -> String {
    const MOST: usize = 160;
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for ServiceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: {} requests answered by both", self.api, self.answered)?;
        write!(f, "; {} numbers", self.numbers)?;
        match &self.worst {
            Some(worst) => {
                writeln!(
                    f,
                    ", worst {:.1e}: {} instead of {} ({})",
                    worst.absolute, worst.ours, worst.theirs, worst.place
                )?;
            }
            None => writeln!(f, ", equal")?,
        }
        if let Some((count, reason)) = &self.refused {
            writeln!(f, "    {count} more answered by neither: {reason}")?;
        }
        if let Some((count, first)) = &self.differing {
            writeln!(f, "    {count} DIFFER; {}: {} instead of {}", first.place, first.ours, first.theirs)?;
        }
        Ok(())
    }
}

/// Asks the bento's own service, and the artifact, what `given` asks, and what requests made of the adapters ask of the other APIs. Gives the
/// version of BentoML and the APIs in the artifact's order.
pub(super) fn compare_service(
    session: &Session,
    bundle: &Bundle,
    interpreter: &Interpreter,
    given: Vec<ServiceRequest>,
) -> Result<(String, Vec<ServiceReport>), VerifyError> {
    let artifact = session.artifact();
    let apis = &session.manifest().apis;
    let mut requests = given;
    for (index, api) in apis.iter().enumerate() {
        if requests.iter().all(|request| request.api != api.name) {
            requests.extend(super::requests::made(&artifact, index, api));
        }
    }
    let (answers, version) = ask_service(interpreter, bundle, &requests)?;
    let mut reports = Vec::new();
    for (index, api) in apis.iter().enumerate() {
        let mut report = ServiceReport { api: api.name.clone(), ..ServiceReport::default() };
        for (request, theirs) in requests.iter().zip(&answers).filter(|(request, _)| request.api == api.name) {
            let scorer = Scorer::new(&artifact, apis, index).map_err(|error| error.to_string());
            let ours = scorer.and_then(|scorer| {
                let mut out = Vec::new();
                scorer.score_request(&request.body[..], &mut out, None).map_err(|error| error.to_string())?;
                Ok(out)
            });
            report.add(request, ours, theirs);
        }
        reports.push(report);
    }
    Ok((version, reports))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ours: Result<&str, &str>, status: u16, theirs: &str) -> ServiceReport {
        let request = ServiceRequest {
            api: "predict".to_owned(),
            route: "predict".to_owned(),
            body: Vec::new(),
            content_type: "application/json".to_owned(),
            origin: "request 1".to_owned(),
        };
        let mut report = ServiceReport { api: "predict".to_owned(), ..ServiceReport::default() };
        let ours = ours.map(|body| body.as_bytes().to_vec()).map_err(str::to_owned);
        report.add(&request, ours, &ServiceAnswer { status, body: theirs.as_bytes().to_vec() });
        report
    }

    #[test]
    fn rounding_is_no_difference_and_the_worst_is_named() {
        let found = report(Ok("{\"a\": [1.0, 2.0000001]}\n"), 200, "{\"a\": [1.0, 2.0]}");
        assert!(found.agrees());
        assert_eq!((found.answered, found.numbers), (1, 2));
        assert_eq!(found.worst.expect("a difference").place, "request 1 answer.a[1]");
    }

    #[test]
    fn differences_are_found() {
        for (ours, theirs) in [
            ("[1.0]", "[1.1]"),
            ("[1]", "[1.0]"),
            ("[1]", "[2]"),
            ("[1]", "[1, 1]"),
            ("{\"a\": 1}", "{\"b\": 1}"),
            ("\"x\"", "\"y\""),
            ("text", "other"),
            ("null", "0"),
        ] {
            assert!(!report(Ok(ours), 200, theirs).agrees(), "{ours} beside {theirs}");
        }
    }

    #[test]
    fn refusals_must_be_those_of_both() {
        assert!(report(Err("no"), 400, "no").agrees());
        assert!(!report(Ok("[1]"), 400, "no").agrees());
        assert!(!report(Err("no"), 200, "[1]").agrees());
    }
}
