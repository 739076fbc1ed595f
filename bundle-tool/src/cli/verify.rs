//! `verify`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};

use super::python::PythonFlags;
use crate::bundle::Bundle;
use crate::python::ServiceRequest;
use crate::verify::{Verdict, verify, verify_service};

/// Compare an artifact with its bento by way of an independent engine
#[derive(Args, Debug)]
pub struct Verify {
    /// The artifact
    artifact: PathBuf,
    /// The bento, archive or model file that the artifact was compiled from
    #[arg(long, value_name = "BENTO")]
    against: PathBuf,
    /// CSV file with rows of numbers to compare on, besides random ones; with --allow-python any other file is a request's body
    #[arg(long)]
    data: Option<PathBuf>,
    /// API that a request in --data is for, where the artifact has several
    #[arg(long, requires = "data")]
    api: Option<String>,
    /// Folder with BentoML's models, for a 1.x bento that does not hold its own
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    python: PythonFlags,
}

impl Verify {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 5 when something differs, 1 when nothing independent could be compared.
    pub fn run(&self) -> Result<(), Failure> {
        let bundle = Bundle::open(&self.against, self.store.as_deref())?;
        let is_table = self.data.as_ref().is_some_and(|path| path.extension().is_some_and(|ending| ending == "csv"));
        let interpreter = self.python.interpreter();
        let table = self.data.as_deref().filter(|_| is_table || interpreter.is_none());
        let mut report = verify(&self.artifact, &bundle, table)?;
        if let Some(interpreter) = interpreter {
            let given =
                self.data.as_deref().filter(|_| !is_table).map(|path| self.request(&bundle, path)).transpose()?;
            report.answers = Some(verify_service(&self.artifact, &bundle, &interpreter, given.into_iter().collect())?);
        }
        write!(io::stdout(), "{report}")?;
        match report.verdict() {
            Verdict::Agrees => Ok(()),
            Verdict::Differs => Err(Failure::new(Exit::Differs, "the artifact differs from its bento")),
            Verdict::NoOracle => Err(Failure::new(Exit::Failure, "not verified (oracle: none)")),
        }
    }

    /// The request whose body is in the file at `path`.
    fn request(&self, bundle: &Bundle, path: &Path) -> Result<ServiceRequest, Failure> {
        let names: Vec<&str> = bundle.apis.iter().map(|api| api.name.as_str()).collect();
        let name = match (&self.api, &names[..]) {
            (Some(name), _) => name.as_str(),
            (None, [only]) => only,
            (None, several) => {
                let reason = format!("give --api: the bento has the APIs {}", several.join(", "));
                return Err(Failure::new(Exit::Usage, reason));
            }
        };
        let Some(api) = bundle.apis.iter().find(|api| api.name == name) else {
            let reason = format!("no API {name}; the bento has the APIs {}", names.join(", "));
            return Err(Failure::new(Exit::Usage, reason));
        };
        let shown = path.display().to_string();
        let body = fs::read(path).map_err(|error| Failure::new(Exit::Failure, format!("{shown}: {error}")))?;
        let content_type = content_type(path, &body);
        Ok(ServiceRequest { api: name.to_owned(), route: api.route.clone(), body, content_type, origin: shown })
    }
}

/// The content type of a body by its file's name; a form by its first line.
fn content_type(path: &Path, body: &[u8]) -> String {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    if body.starts_with(b"--") {
        let line = body.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        return format!("multipart/form-data; boundary={}", String::from_utf8_lossy(&line[2..]));
    }
    let image = ["png", "gif", "webp", "bmp"];
    match ending.as_str() {
        "txt" => "text/plain".to_owned(),
        "jpg" | "jpeg" => "image/jpeg".to_owned(),
        other if image.contains(&other) => format!("image/{other}"),
        "json" => "application/json".to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}
