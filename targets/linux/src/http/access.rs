//! The access log: one line for each request, on standard error.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Plain,
    /// One JSON object a line.
    Json,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) peer: &'a str,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) status: u16,
    pub(super) received: usize,
    pub(super) sent: usize,
    pub(super) took: Duration,
}

/// Collects lines until they are written together.
#[derive(Debug)]
pub(super) struct AccessLog {
    format: LogFormat,
    lines: Vec<u8>,
}

/// Lines are written once so many bytes are there.
const FULL: usize = 16 << 10;

impl AccessLog {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, lines: Vec::with_capacity(FULL + 1024) }
    }

    pub(super) fn add(&mut self, access: &Access<'_>) {
        // What a client sends does not end a line, or look like a terminal's command.
        let clean = |text: &str| text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = access.took.as_micros();
        let Access { peer, method, path, status, received, sent, .. } = *access;
        let path: String = clean(path).chars().take(256).collect();
        // Writing to a Vec does not fail.
        let _ = match self.format {
            LogFormat::Plain => writeln!(
                self.lines,
                "{}.{:03} {peer} {method} {path} {status} {received} {sent} {micros}us",
                time.as_secs(),
                time.subsec_millis()
            ),
            LogFormat::Json => writeln!(
                self.lines,
                "{}",
                serde_json::json!({
                    "time": time.as_secs_f64(), "peer": peer, "method": method, "path": path, "status": status,
                    "request_bytes": received, "response_bytes": sent, "microseconds": micros as u64,
                })
            ),
        };
        if self.lines.len() >= FULL {
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        if !self.lines.is_empty() {
            // A log that cannot be written stops nobody from being answered.
            let _ = std::io::stderr().lock().write_all(&self.lines);
            self.lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_does_not_forge_a_line() {
        for format in [LogFormat::Plain, LogFormat::Json] {
            let mut log = AccessLog::new(format);
            let access = Access {
                peer: "127.0.0.1",
                method: "GET",
                path: "/a\n\u{1b}[2Jb",
                status: 200,
                received: 1,
                sent: 2,
                took: Duration::from_micros(3),
            };
            log.add(&access);
            let text = String::from_utf8(log.lines.clone()).unwrap();
            assert_eq!(text.matches('\n').count(), 1);
            assert!(text.contains("/a??[2Jb") && text.contains("200"), "{text}");
        }
    }
}
