//! A request that needs a model, with everything that its answer needs.

use std::ops::Range;
use std::time::Instant;

/// What the content type says about a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// Anything that is not one of the others, and nothing: JSON.
    Json,
    Csv,
    Form,
    UrlEncoded,
    /// BentoML's pickles, which are not read.
    Pickle,
}

impl Media {
    pub(super) fn of(content_type: &[u8]) -> Self {
        let media = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| media.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("text/csv") => Self::Csv,
            () if is("multipart/form-data") => Self::Form,
            () if is("application/x-www-form-urlencoded") => Self::UrlEncoded,
            () if is("application/vnd.bentoml+pickle") => Self::Pickle,
            () => Self::Json,
        }
    }
}

/// What happens to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It goes to the connection that asked.
    Reply,
    /// It is kept as the result of the task at this number.
    Task(u64),
}

/// A request for a model.
#[derive(Debug)]
pub(super) struct Job {
    /// The connection that asked, and its serial number, which tells it from a later one in the same place.
    pub(super) connection: usize,
    pub(super) serial: u64,
    /// The artifact and its API.
    pub(super) model: usize,
    pub(super) api: usize,
    pub(super) purpose: Purpose,
    pub(super) media: Media,
    pub(super) is_1_1: bool,
    pub(super) is_head: bool,
    pub(super) keep_alive: bool,
    /// The buffer that holds the body.
    pub(super) request: Vec<u8>,
    pub(super) body: Range<usize>,
    /// Random bits for the request's name.
    pub(super) identity: (u64, u64),
    pub(super) received: Instant,
    /// Receives the whole response.
    pub(super) response: Vec<u8>,
    pub(super) status: u16,
    /// Rows of the run that answered it; 0 where none did.
    pub(super) batch_rows: u32,
}

impl Job {
    pub(super) fn body(&self) -> &[u8] {
        self.request.get(self.body.clone()).unwrap_or_default()
    }
}
