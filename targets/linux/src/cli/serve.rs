//! `serve`.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use ekiben_runtime::artifact::manifest::Generation;

use super::{Exit, Failure, open};
use crate::http::{self, Address, Limits, LogFormat, ModelFile, ServeError, Settings};

/// The port that BentoML 0.13 listens on, and the one of 1.x.
const PORTS: [u16; 2] = [5000, 3000];
/// The largest token file.
const MAX_TOKEN: u64 = 4096;

/// How the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogArgument {
    /// For people.
    Plain,
    /// One JSON object a line.
    Json,
}

/// Answer HTTP requests as the bento's own server does
#[derive(Args, Debug)]
pub struct Serve {
    /// The artifact; several as NAME=FILE, which then answer below /NAME/
    #[arg(required = true, value_name = "[NAME=]FILE")]
    artifacts: Vec<String>,
    /// Address to listen on; repeat for several [default: 127.0.0.1:5000 for BentoML 0.13, else 127.0.0.1:3000]
    #[arg(long, value_name = "HOST:PORT")]
    addr: Vec<String>,
    /// Unix socket to listen on
    #[arg(long, value_name = "PATH")]
    unix: Vec<PathBuf>,
    /// Threads that run models; with 0, the one that polls the sockets runs them [default: 0 on one core, else 1]
    #[arg(long)]
    workers: Option<usize>,
    /// File with the token that requests must have: Authorization: Bearer TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Write a line for each request to standard error
    #[arg(long, value_enum)]
    access_log: Option<LogArgument>,
    /// Open connections at most
    #[arg(long, default_value_t = Limits::default().connections)]
    max_connections: usize,
    /// Open connections of one address at most
    #[arg(long, default_value_t = Limits::default().connections_per_address)]
    max_connections_per_address: usize,
    /// Bytes of a request's body at most
    #[arg(long, default_value_t = Limits::default().body)]
    max_body: usize,
    /// Requests that may wait for a model
    #[arg(long, default_value_t = Limits::default().queue)]
    max_queue: usize,
    /// Bytes of requests, answers and scratch memory at most
    #[arg(long, default_value_t = Limits::default().memory)]
    max_memory: usize,
    /// Seconds that a head and a body may take to arrive, and an answer to be taken
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Open(error) => error.into(),
            ServeError::SelfTest { error, path } => {
                let failure = Self::from(error);
                Self::new(failure.exit, format!("{path}: {}", failure.message))
            }
            ServeError::Apis { .. } => Self::new(Exit::Corrupt, error),
            ServeError::Name(_) => Self::new(Exit::Usage, error),
            ServeError::Listen { .. } | ServeError::System(_) => Self::new(Exit::Failure, error),
        }
    }
}

impl Serve {
    /// Runs the verb: returns once the server was told to end.
    ///
    /// # Errors
    /// See [`Exit`].
    pub fn run(&self) -> Result<(), Failure> {
        let settings = self.settings()?;
        http::serve(&settings, |_, addresses| {
            for address in addresses {
                eprintln!("listening on {address}");
            }
        })?;
        Ok(())
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let models: Vec<_> = self.artifacts.iter().map(|argument| model_file(argument)).collect();
        let mut limits = Limits {
            connections: self.max_connections,
            connections_per_address: self.max_connections_per_address,
            body: self.max_body,
            queue: self.max_queue,
            memory: self.max_memory,
            ..Limits::default()
        };
        if let Some(seconds) = self.timeout {
            let time = Duration::from_secs(seconds);
            (limits.head_time, limits.body_time, limits.write_time) = (time, time, time);
        }
        Ok(Settings {
            addresses: self.addresses(&models)?,
            models,
            workers: self.workers.unwrap_or_else(|| usize::from(cores() > 1)),
            token: self.token_file.as_deref().map(read_token).transpose()?,
            access_log: self.access_log.map(|format| match format {
                LogArgument::Plain => LogFormat::Plain,
                LogArgument::Json => LogFormat::Json,
            }),
            limits,
        })
    }

    fn addresses(&self, models: &[ModelFile]) -> Result<Vec<Address>, Failure> {
        let mut addresses: Vec<_> = self.unix.iter().cloned().map(Address::Unix).collect();
        for text in &self.addr {
            let resolved = text.to_socket_addrs();
            let resolved = resolved.map_err(|error| Failure::new(Exit::Usage, format!("--addr {text}: {error}")))?;
            addresses.extend(resolved.map(Address::Tcp).take(1));
        }
        if addresses.is_empty() {
            let is_old = |model: &ModelFile| Ok(open(&model.path)?.manifest().generation == Generation::V0_13);
            let all_old = models.iter().map(is_old).collect::<Result<Vec<_>, Failure>>()?.into_iter().all(|old| old);
            let port = if all_old { PORTS[0] } else { PORTS[1] };
            addresses.push(Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
        }
        Ok(addresses)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `NAME=FILE`, or a file whose name without its extension is the name.
fn model_file(argument: &str) -> ModelFile {
    let named = argument.split_once('=').filter(|(name, _)| !name.is_empty() && !name.contains('/'));
    if let (Some((name, path)), false) = (named, Path::new(argument).exists()) {
        return ModelFile { name: name.to_owned(), path: path.into() };
    }
    let stem = Path::new(argument).file_stem().unwrap_or_default();
    ModelFile { name: stem.to_string_lossy().into_owned(), path: argument.into() }
}

fn read_token(path: &Path) -> Result<Vec<u8>, Failure> {
    let refused = |reason: String| Failure::new(Exit::Usage, format!("{}: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > MAX_TOKEN {
        return Err(refused(format!("more than {MAX_TOKEN} bytes")));
    }
    let token = std::fs::read(path).map_err(|error| refused(error.to_string()))?.trim_ascii().to_vec();
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(refused("the token must be of visible ASCII characters".to_owned()));
    }
    Ok(token)
}
