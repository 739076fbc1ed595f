//! Servers in a thread, and requests to them over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use ekiben_edge::http::{Address, Control, Limits, ModelFile, ServeError, Settings, serve};

/// A server on a port of its own, which ends with this value.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Stops or reloads it.
    pub control: Control,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

/// Settings for one artifact at a free port.
pub fn settings(artifact: &Path) -> Settings {
    Settings {
        addresses: vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        models: vec![ModelFile { name: "model".to_owned(), path: artifact.to_owned() }],
        workers: 0,
        token: None,
        access_log: None,
        limits: Limits::default(),
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// Those of [`serve`].
    pub fn start(settings: Settings) -> Result<Self, ServeError> {
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            serve(&settings, |control, addresses| {
                // The test that waits for it may have failed.
                let _ = send.send((control.clone(), addresses.to_vec()));
            })
        });
        match receive.recv() {
            Ok((control, addresses)) => {
                let address = addresses.iter().find_map(|address| match address {
                    Address::Tcp(address) => Some(*address),
                    Address::Unix(_) => None,
                });
                Ok(Self { address: address.expect("a TCP address"), control, thread: Some(thread) })
            }
            Err(_) => Err(thread.join().expect("the server's thread").expect_err("it ended before it listened")),
        }
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// Sends a request on a connection of its own and reads one response.
    pub fn ask(&self, request: &[u8]) -> Response {
        let mut stream = self.connect();
        stream.write_all(request).expect("the request is taken");
        let is_head = request.starts_with(b"HEAD ");
        Reader::new(stream).response(is_head).expect("a response")
    }

    /// Sends a `POST` with a body.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Response {
        self.ask(&post(path, content_type, body))
    }

    /// Sends a `GET`.
    pub fn get(&self, path: &str) -> Response {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())
    }

    /// Tells the server to end, and waits for it.
    pub fn end(mut self) -> Result<(), ServeError> {
        self.control.stop();
        self.thread.take().map_or(Ok(()), |thread| thread.join().expect("the server's thread"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            // A server that failed is reported by `end`, or by what it did not answer.
            let _ = thread.join();
        }
    }
}

/// The bytes of a `POST`.
pub fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, its chunks put together.
    pub body: Vec<u8>,
}

impl Response {
    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads a recorded response, which has no body where it answers a `HEAD`. `None` where there is none.
    pub fn parse_answer(bytes: &[u8], is_head: bool) -> Option<Self> {
        Reader { source: bytes, buffer: Vec::new() }.response(is_head)
    }
}

/// Reads responses of a connection one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads from a connection.
    pub fn new(source: R) -> Self {
        Self { source, buffer: Vec::new() }
    }

    /// The connection.
    pub fn source(&mut self) -> &mut R {
        &mut self.source
    }

    fn more(&mut self) -> Option<()> {
        let mut chunk = [0; 16 << 10];
        let read = self.source.read(&mut chunk).ok().filter(|&read| read > 0)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Some(())
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    /// The next response; `None` where the connection ends before it is complete. Interim responses are passed over.
    pub fn response(&mut self, is_head: bool) -> Option<Response> {
        let status: u16 = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None if line.is_empty() => break,
                None => return None,
            }
        }
        if status == 100 {
            return self.response(is_head);
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if is_head {
            return Some(response);
        }
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).ok()?;
                response.body.extend(self.exactly(size)?);
                self.line()?;
                if size == 0 {
                    return Some(response);
                }
            }
        }
        let length = response.header("content-length").and_then(|length| length.parse().ok());
        response.body = match length {
            Some(length) => self.exactly(length)?,
            None => {
                while self.more().is_some() {}
                std::mem::take(&mut self.buffer)
            }
        };
        Some(response)
    }
}
