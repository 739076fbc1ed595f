//! One run of the interpreter: its environment, its limits, and its end.
//!
//! The process gets a group of its own, an environment of a few variables, and a temporary folder as working folder and home. Before a script of
//! this tool runs, `launch.py` bounds the address space, the size of one file and core dumps with `setrlimit`. The parent watches the time and the
//! size of the folder, and ends the whole group when either is exceeded, and in any case when the process itself has ended.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::error::PythonError;

/// The script that bounds the process and then runs one of the others.
const LAUNCH: &str = include_str!("launch.py");
/// Bytes of standard error that are kept: its end.
const STDERR_TAIL: usize = 16 << 10;
/// Lines of it that messages show.
const STDERR_LINES: usize = 12;
/// Bytes of the answer's own file.
const ANSWER_LIMIT: u64 = 16 << 20;
/// Time between two looks at the process.
const PAUSE: Duration = Duration::from_millis(20);
/// Looks between two looks at the size of the folder, which takes longer.
const LOOKS: u32 = 10;
/// How long the end of standard error is waited for once the process group is gone.
const DRAIN: Duration = Duration::from_secs(2);
/// Variables that the process inherits: where programs and their libraries are.
const INHERITED: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE"];

/// What the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of one run.
    pub time: Duration,
    /// Bytes of address space.
    pub memory: u64,
    /// Bytes of all files that it writes together.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(600), memory: 32 << 30, output: 4 << 30 }
    }
}

/// The user's interpreter, which the user has allowed to run what a bento holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub program: PathBuf,
    /// What a run may use.
    pub limits: Limits,
}

impl Interpreter {
    /// An interpreter with the usual limits.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), limits: Limits::default() }
    }

    /// Runs `script` in `folder`. Its function `run(request, out)` gets `request` and the folder [`Workplace::output`]; what it returns comes back.
    ///
    /// # Errors
    /// See [`PythonError`].
    pub fn run(&self, folder: &Workplace, script: &str, request: &Value) -> Result<Value, PythonError> {
        let child = self.start(folder, script, request)?;
        let (status, stderr) = self.watch(child, folder)?;
        self.answer(folder, status, &stderr)
    }

    fn start(&self, folder: &Workplace, script: &str, request: &Value) -> Result<Running, PythonError> {
        fs::write(folder.path("launch.py"), LAUNCH)?;
        fs::write(folder.path("script.py"), script)?;
        let limits = json!({ "memory": self.limits.memory, "file": self.limits.output });
        let request = json!({ "limits": limits, "out": folder.output(), "request": request });
        fs::write(folder.path("request.json"), request.to_string())?;
        let mut command = Command::new(self.program());
        command.arg("-B").arg(folder.path("launch.py")).arg(folder.path("request.json"));
        command.current_dir(folder.path("home")).env_clear().envs(environment(folder));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| PythonError::Interpreter {
            interpreter: self.program.clone(),
            reason: error.to_string(),
        })?;
        let stderr = child.stderr.take();
        let (sender, tail) = mpsc::sync_channel(1);
        thread::spawn(move || drop(sender.send(stderr.map_or_else(Vec::new, read_tail))));
        Ok(Running { child, tail, started: Instant::now() })
    }

    /// A relative path is the user's, not relative to the folder that the process works in.
    fn program(&self) -> PathBuf {
        let is_path = self.program.components().count() > 1 && self.program.is_relative();
        if is_path { std::path::absolute(&self.program).unwrap_or(self.program.clone()) } else { self.program.clone() }
    }

    /// Waits for the end, and makes one where a limit is exceeded. Gives the end of standard error.
    fn watch(&self, mut running: Running, folder: &Workplace) -> Result<(ExitStatus, String), PythonError> {
        for look in 0_u32.. {
            if let Some(status) = running.child.try_wait()? {
                return Ok((status, running.finish()));
            }
            if running.started.elapsed() > self.limits.time {
                running.finish();
                return Err(PythonError::OutOfTime { interpreter: self.program.clone(), limit: self.limits.time });
            }
            if look % LOOKS == 0 && exceeds(&folder.root(), self.limits.output.saturating_add(folder.given)) {
                running.finish();
                return Err(self.too_much());
            }
            thread::sleep(PAUSE);
        }
        Err(self.unusable("it never ended"))
    }

    fn too_much(&self) -> PythonError {
        PythonError::TooMuchOutput { interpreter: self.program.clone(), limit: self.limits.output }
    }

    /// That an answer cannot be used.
    pub(super) fn unusable(&self, reason: impl ToString) -> PythonError {
        PythonError::Answer { interpreter: self.program.clone(), reason: reason.to_string() }
    }

    fn answer(&self, folder: &Workplace, status: ExitStatus, stderr: &str) -> Result<Value, PythonError> {
        let interpreter = || self.program.clone();
        let file = folder.output().join("answer.json");
        if !status.success() || !file.exists() {
            let starved = status.signal() == Some(Signal::KILL.as_raw()) || is_starved(stderr);
            return Err(match starved {
                true => PythonError::OutOfMemory { interpreter: interpreter(), limit: self.limits.memory },
                false => self
                    .failed(if status.success() { "it gave no answer".to_owned() } else { status.to_string() }, stderr),
            });
        }
        let answer = read_bounded(&file, ANSWER_LIMIT).map_err(|reason| self.unusable(reason))?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| self.unusable(error))?;
        let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        Err(match answer["error"]["kind"].as_str() {
            None if answer["result"].is_object() => return Ok(answer["result"].clone()),
            Some("package") => {
                PythonError::Package { interpreter: interpreter(), package: text("package"), message: text("message") }
            }
            Some("memory") => PythonError::OutOfMemory { interpreter: interpreter(), limit: self.limits.memory },
            Some("output") => self.too_much(),
            Some("refused") => PythonError::Refused(text("message")),
            Some("exception") if is_starved(&text("message")) => {
                PythonError::OutOfMemory { interpreter: interpreter(), limit: self.limits.memory }
            }
            Some("exception") => self.failed(text("message"), stderr),
            _ => self.unusable("it has neither a result nor an error"),
        })
    }

    fn failed(&self, status: String, stderr: &str) -> PythonError {
        let lines: Vec<&str> = stderr.lines().collect();
        let stderr = lines[lines.len().saturating_sub(STDERR_LINES)..].join("\n");
        PythonError::Failed { interpreter: self.program.clone(), status, stderr }
    }
}

/// A process with the end of its standard error.
struct Running {
    child: Child,
    tail: mpsc::Receiver<Vec<u8>>,
    started: Instant,
}

impl Running {
    /// Ends what is left of the process group, and gives the end of standard error.
    fn finish(&mut self) -> String {
        end_group(&self.child);
        // A process that was ended leaves an entry until it is waited for.
        let _ = self.child.wait();
        let tail = self.tail.recv_timeout(DRAIN).unwrap_or_default();
        String::from_utf8_lossy(&tail).trim_end().to_owned()
    }
}

/// Ends every process of the group; one that has ended already is no error.
fn end_group(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// The last bytes of a stream, which is read to its end so that its writer never waits.
fn read_tail(mut stream: impl Read) -> Vec<u8> {
    let (mut tail, mut block) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut block) {
        tail.extend_from_slice(&block[..count]);
        if tail.len() > 2 * STDERR_TAIL {
            tail.drain(..tail.len() - STDERR_TAIL);
        }
    }
    tail.drain(..tail.len().saturating_sub(STDERR_TAIL));
    tail
}

/// Whether a message is one of those by which frameworks say that memory is short.
fn is_starved(message: &str) -> bool {
    const SIGNS: [&str; 6] = [
        "MemoryError",
        "bad_alloc",
        "can't allocate memory",
        "Cannot allocate memory",
        "not enough memory",
        "OOM when allocating",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

fn environment(folder: &Workplace) -> Vec<(String, String)> {
    let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let home = folder.path("home").display().to_string();
    let site = std::env::var("PYTHONUSERBASE").ok().or_else(|| Some(format!("{}/.local", std::env::var("HOME").ok()?)));
    let own = [
        ("HOME", home.clone()),
        ("TMPDIR", home.clone()),
        ("BENTOML_HOME", format!("{home}/bentoml")),
        ("BENTOML_DO_NOT_TRACK", "True".to_owned()),
        // Results are those of the host's processor.
        ("CUDA_VISIBLE_DEVICES", String::new()),
        ("TF_CPP_MIN_LOG_LEVEL", "2".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PYTHONHASHSEED", "0".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    inherited.chain(own).chain(site.map(|site| ("PYTHONUSERBASE".to_owned(), site))).collect()
}

/// The folder that the interpreter works in; it goes with this value.
#[derive(Debug)]
pub struct Workplace {
    folder: TempDir,
    /// Bytes of what the tool itself put there.
    given: u64,
}

impl Workplace {
    /// An empty folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ekiben-python-").tempdir()?;
        for part in ["home", "out", "in"] {
            fs::create_dir(folder.path().join(part))?;
        }
        Ok(Self { folder, given: 0 })
    }

    /// Writes a file that scripts read, by its relative path below the folder `in`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn give(&mut self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path("in").join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
        self.given += bytes.len() as u64;
        Ok(path)
    }

    /// Reads a file that a script wrote, by its name in the folder `out`.
    ///
    /// # Errors
    /// A name that leads elsewhere, a file that is not there, is no regular file, or has more than `limit` bytes.
    pub fn take(&self, name: &str, limit: u64) -> Result<Vec<u8>, String> {
        let plain = !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "..";
        if !plain {
            return Err(format!("{name:?} is no name of a file"));
        }
        read_bounded(&self.output().join(name), limit)
    }

    /// Where scripts find what [`Workplace::give`] wrote.
    pub fn input(&self) -> PathBuf {
        self.path("in")
    }

    /// Where scripts write.
    pub fn output(&self) -> PathBuf {
        self.path("out")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Reads a regular file of at most `limit` bytes; a link is not followed.
fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let failed = |error: io::Error| format!("{name}: {error}");
    let meta = fs::symlink_metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(format!("{name} is no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(failed)?.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(format!("{name} has more than {limit} bytes"));
    }
    Ok(bytes)
}

/// Whether the files below a folder have more than `limit` bytes together, or are more than anything needs.
fn exceeds(folder: &Path, limit: u64) -> bool {
    const MOST_FILES: usize = 100_000;
    let (mut total, mut files, mut pending) = (0_u64, 0, vec![folder.to_owned()]);
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            files += 1;
            if meta.is_dir() {
                pending.push(entry.path());
            } else {
                total = total.saturating_add(meta.len());
            }
            if total > limit || files > MOST_FILES {
                return true;
            }
        }
    }
    false
}
