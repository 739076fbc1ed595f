//! `run`: compiles to a cache when needed, then scores.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use ekiben_edge::cli::{Exit, Failure, ScoreOptions};
use ekiben_edge::output_file::OutputFile;
use ekiben_runtime::Session;
use ekiben_runtime::artifact::header::{FORMAT_VERSION, MAGIC};

use super::declared::ServiceFlag;
use super::lengths::LengthFlags;
use crate::bundle::Bundle;
use crate::compile::{CompileOptions, compile, declarations, model_digest};

/// Compile a bento to a cache when needed, and score a file with it
#[derive(Args, Debug)]
pub struct Run {
    /// A bento, an archive, a model file, or an artifact
    bento: PathBuf,
    #[command(flatten)]
    options: ScoreOptions,
    #[command(flatten)]
    service: ServiceFlag,
    #[command(flatten)]
    lengths: LengthFlags,
    /// Folder with BentoML's models, for a 1.x bento that does not hold its own
    #[arg(long)]
    store: Option<PathBuf>,
}

impl Run {
    /// Runs the verb.
    ///
    /// # Errors
    /// Those of `compile` and `score`.
    pub fn run(&self) -> Result<(), Failure> {
        let lengths = self.lengths.lengths()?;
        let service = self.service.declarations()?;
        if is_artifact(&self.bento) {
            if !lengths.is_empty() || service.is_some() {
                return Err(Failure::new(
                    Exit::Usage,
                    "an artifact's lengths and APIs are fixed: --dim, --shape and --service are for models and bentos",
                ));
            }
            return self.options.run(&self.bento);
        }
        let bundle = Bundle::open(&self.bento, self.store.as_deref())?;
        let options = CompileOptions { lengths, service, ..CompileOptions::default() };
        let cached = match cache_folder() {
            Some(folder) => Some(folder.join(format!("{}.ekb", key(&bundle, &options)?))),
            None => None,
        };
        if let Some(cached) = cached.as_deref().filter(|path| is_sound(path)) {
            return self.options.run(cached);
        }
        let compiled = compile(&bundle, &options)?;
        if let Some(cached) = cached.filter(|path| OutputFile::write(path, compiled.bytes()).is_ok()) {
            return self.options.run(&cached);
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("artifact.ekb");
        OutputFile::write(&path, compiled.bytes())?;
        self.options.run(&path)
    }
}

fn is_artifact(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    let read = fs::metadata(path).is_ok_and(|meta| meta.is_file())
        && fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok();
    read && head == MAGIC
}

/// True for an artifact that loads and whose numbers match their digest.
fn is_sound(path: &Path) -> bool {
    path.is_file() && Session::open(path).is_ok_and(|session| session.artifact().verify_numbers().is_ok())
}

/// What the compiled artifact depends on: the bento's contents, the lengths and declarations given, and the version and build of this program.
fn key(bundle: &Bundle, options: &CompileOptions) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bundle.digest()?.as_bytes());
    for model in &bundle.models {
        hasher.update(model_digest(model, &model.read()?).as_bytes());
    }
    hasher.update(bundle.service.as_bytes());
    let declarations = declarations(bundle, options)?;
    let declared = declarations.as_ref().map_or("", |declarations| declarations.text());
    hasher.update(&(declared.len() as u64).to_le_bytes()).update(declared.as_bytes());
    let (dims, shapes) = options.lengths.spelt();
    for part in [dims, shapes] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        for text in part {
            hasher.update(text.as_bytes()).update(&[0]);
        }
    }
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes());
    hasher.update(&FORMAT_VERSION.to_le_bytes());
    if let Ok(program) = std::env::current_exe().and_then(fs::metadata) {
        let changed = program.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        hasher.update(&program.len().to_le_bytes());
        hasher.update(&changed.unwrap_or_default().as_nanos().to_le_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// `$XDG_CACHE_HOME/ekiben` or `~/.cache/ekiben`, made when it is not there; `None` where neither can be.
fn cache_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    let folder = base.join("ekiben");
    fs::create_dir_all(&folder).ok()?;
    Some(folder)
}
