//! What a server is told: where to listen, what to serve, how much of everything it may use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::access::LogFormat;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket, which replaces a file of that name that nobody listens on.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An artifact to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// First segment of its routes, where a server has several artifacts.
    pub name: String,
    /// The file, which may be replaced by renaming another one over it.
    pub path: PathBuf,
}

/// Bounds of what clients can make a server use. The defaults suit a device with 512 MB of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// Bytes of a request's body, as it comes and after its content encoding is undone. BentoML 0.13 takes 20 MiB.
    pub body: usize,
    /// Nested lists and objects of a JSON body; the parser takes 128 at most.
    pub json_depth: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address.
    pub connections_per_address: usize,
    /// Requests that wait for a model.
    pub queue: usize,
    /// Bytes of all requests and answers that are held.
    pub memory: usize,
    /// Time for a request's head.
    pub head_time: Duration,
    /// Time for a request's body.
    pub body_time: Duration,
    /// Time for a client to take an answer.
    pub write_time: Duration,
    /// Time that a connection may be open between requests.
    pub idle_time: Duration,
    /// Time that a request may wait for a model, where the bento does not say.
    pub queue_time: Duration,
    /// Time to answer what has been asked, after the server was told to end.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16 << 10,
            body: 20 << 20,
            json_depth: 64,
            connections: 2048,
            connections_per_address: 1024,
            queue: 256,
            memory: 96 << 20,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(60),
            write_time: Duration::from_secs(60),
            idle_time: Duration::from_secs(75),
            queue_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(30),
        }
    }
}

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// What it serves.
    pub models: Vec<ModelFile>,
    /// Threads that run models; without any, the thread that polls the sockets runs them.
    pub workers: usize,
    /// The token that every request must have, but those for the server's health.
    pub token: Option<Vec<u8>>,
    /// Where a line for each request goes.
    pub access_log: Option<LogFormat>,
    /// Bounds.
    pub limits: Limits,
}
