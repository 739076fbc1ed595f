//! A bento's own service, asked in the user's interpreter.

use std::io;

use serde::Deserialize;
use serde_json::json;

use super::error::PythonError;
use super::process::{Interpreter, Workplace};
use crate::bundle::{Bundle, BundleError, Generation};

/// What asks the service.
const SCRIPT: &str = include_str!("ask_service.py");
/// Bytes of one answer.
const ANSWER_LIMIT: u64 = 256 << 20;

/// A request to an API of a bento.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRequest {
    /// The API.
    pub api: String,
    /// Its route, without a leading slash.
    pub route: String,
    /// The body.
    pub body: Vec<u8>,
    /// The body's content type.
    pub content_type: String,
    /// Where it is from, for messages.
    pub origin: String,
}

/// What the service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a service is not asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The interpreter has no answer.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// The bento's files cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bento's files cannot be given to the interpreter.
    #[error("cannot copy the bento for the interpreter: {0}")]
    Copy(#[from] io::Error),
}

#[derive(Deserialize)]
struct Answered {
    answers: Vec<AnsweredOne>,
    bentoml: String,
}

#[derive(Deserialize)]
struct AnsweredOne {
    status: u16,
    body: String,
}

/// Has the bento's own server answer `requests`, in order. Gives BentoML's version too.
///
/// # Errors
/// See [`AskError`].
pub fn ask_service(
    interpreter: &Interpreter,
    bundle: &Bundle,
    requests: &[ServiceRequest],
) -> Result<(Vec<ServiceAnswer>, String), AskError> {
    let mut folder = Workplace::new()?;
    bundle.each_file(|name, bytes| folder.give(&format!("bento/{name}"), bytes).map(drop).map_err(AskError::Copy))?;
    let mut asked = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let body = folder.give(&format!("request_{at}"), &request.body)?;
        asked.push(json!({ "route": request.route, "content_type": request.content_type, "body": body }));
    }
    let generation = if bundle.generation == Generation::V0_13 { "0.13" } else { "1" };
    let request = json!({ "bento": folder.input().join("bento"), "generation": generation, "requests": asked });
    let answered = interpreter.run(&folder, SCRIPT, &request)?;
    let answered: Answered = serde_json::from_value(answered).map_err(|error| interpreter.unusable(error))?;
    if answered.answers.len() != requests.len() {
        return Err(interpreter.unusable("it has not as many answers as there were requests").into());
    }
    let answers = answered.answers.iter().map(|answer| {
        let body = folder.take(&answer.body, ANSWER_LIMIT).map_err(|reason| interpreter.unusable(reason))?;
        Ok(ServiceAnswer { status: answer.status, body })
    });
    Ok((answers.collect::<Result<_, PythonError>>()?, answered.bentoml))
}
