//! One client: its socket, what it sent, what it is still to get.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::time::Instant;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::body::Chunks;
use super::head::Head;
use super::metrics::Series;

/// A socket of either family.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) {
        // The socket is closed next in any case.
        let _ = self.source().deregister(registry);
    }

    pub(super) fn shutdown_write(&self) {
        // A peer that is gone already is what this is for.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of a request is there.
    Idle,
    /// A part of a head is there.
    Head,
    /// The head is there, the body is not complete.
    Body,
    /// A model is asked.
    Waiting,
    /// The answer is given and the socket closed for writing; what the client still sends is thrown away.
    Lingering,
}

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) peer: Option<IpAddr>,
    pub(super) serial: u64,
    pub(super) phase: Phase,
    /// When the phase must be over.
    pub(super) deadline: Instant,
    /// Bytes that were read and not yet used.
    pub(super) input: Vec<u8>,
    pub(super) head: Option<Head>,
    /// The body of a request of chunks.
    pub(super) chunks: Option<Chunks>,
    pub(super) decoded: Vec<u8>,
    /// Bytes to write, and how many of them have been.
    pub(super) output: Vec<u8>,
    pub(super) written: usize,
    /// Whether the socket may have more, or take more.
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Whether the client sends no more, which no later event says again.
    pub(super) is_ending: bool,
    /// Whether the socket is to be closed once everything is written.
    pub(super) closes: bool,
    /// End of the request in the buffer that its job has taken; 0 where it has taken none.
    pub(super) taken: usize,
    /// When the first byte of the request was there.
    pub(super) received: Instant,
    pub(super) series: Option<Series>,
    /// Bytes of buffers that the server has counted for it.
    pub(super) counted: usize,
    /// Method, path and bytes of the request, for the access log.
    pub(super) line: Option<(String, usize)>,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    More,
    Nothing,
    End,
}

/// Bytes that are read at once.
const CHUNK: usize = 8 << 10;
/// Bytes that are read at once of a large body.
const LARGE_CHUNK: usize = 64 << 10;

impl Connection {
    pub(super) fn new(stream: Stream, peer: Option<IpAddr>, serial: u64, now: Instant, deadline: Instant) -> Self {
        Self {
            stream,
            peer,
            serial,
            phase: Phase::Idle,
            deadline,
            input: Vec::new(),
            head: None,
            chunks: None,
            decoded: Vec::new(),
            output: Vec::new(),
            written: 0,
            readable: true,
            writable: true,
            is_ending: false,
            closes: false,
            taken: 0,
            received: now,
            series: None,
            counted: 0,
            line: None,
        }
    }

    /// Bytes of buffers that it has.
    pub(super) fn held(&self) -> usize {
        self.input.capacity() + self.decoded.capacity() + self.output.capacity()
    }

    /// Reads once.
    pub(super) fn read(&mut self) -> ReadOutcome {
        let start = self.input.len();
        let chunk = if start >= LARGE_CHUNK { LARGE_CHUNK } else { CHUNK };
        self.input.resize(start + chunk, 0);
        let outcome = self.stream.reader().read(&mut self.input[start..]);
        let read = outcome.as_ref().map_or(0, |&read| read);
        self.input.truncate(start + read);
        match outcome {
            Ok(0) => ReadOutcome::End,
            Ok(read) => {
                // Less than there was room for: the socket is empty, and its next event says when it is not.
                self.readable = read == chunk || self.is_ending;
                ReadOutcome::More
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => ReadOutcome::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                ReadOutcome::Nothing
            }
            Err(_) => ReadOutcome::End,
        }
    }

    /// Writes what it can; false when the client is gone.
    pub(super) fn flush(&mut self) -> bool {
        while self.written < self.output.len() && self.writable {
            match self.stream.writer().write(&self.output[self.written..]) {
                Ok(0) => return false,
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(_) => return false,
            }
        }
        if self.written == self.output.len() {
            self.output.clear();
            self.written = 0;
        }
        true
    }

    /// Whether everything is written.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }
}
