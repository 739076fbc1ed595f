//! The emulated devices that a case runs on, beside this machine.
//!
//! Every backend runs `run-artifact ARTIFACT API ROWS INPUT OUTPUT`: an example of the runtime on Linux, an image of its own on
//! the microcontroller. `EKIBEN_BACKENDS` names those to use, separated by commas; none where it is not set.

use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// Names the backends to use.
pub const VARIABLE: &str = "EKIBEN_BACKENDS";

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The bytes of all outputs, one after the other.
    pub outputs: Vec<u8>,
    /// What the program said about the run: on the microcontroller what it took.
    pub figures: String,
}

/// An emulated device that runs artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// 64-bit ARM Linux under qemu-user.
    Aarch64,
    /// 32-bit ARM Linux under qemu-user.
    Armv7,
    /// Cortex-M4F under qemu-system.
    CortexM4,
    /// Cortex-M0 code on a Cortex-M3 under qemu-system.
    CortexM0,
}

impl Backend {
    const ALL: [Self; 4] = [Self::Aarch64, Self::Armv7, Self::CortexM4, Self::CortexM0];

    /// Name in [`VARIABLE`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::Armv7 => "armv7",
            Self::CortexM4 => "cortex-m4",
            Self::CortexM0 => "cortex-m0",
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Armv7 => "armv7-unknown-linux-gnueabihf",
            Self::CortexM4 => "thumbv7em-none-eabihf",
            Self::CortexM0 => "thumbv6m-none-eabi",
        }
    }

    /// The backends that [`VARIABLE`] names.
    ///
    /// # Panics
    /// On an unknown name.
    pub fn selected() -> Vec<Self> {
        let Ok(names) = env::var(VARIABLE) else {
            eprintln!("skipped on emulated devices: {VARIABLE} is not set");
            return Vec::new();
        };
        let known = |name: &str| Self::ALL.into_iter().find(|backend| backend.name() == name);
        names
            .split(',')
            .map(|name| known(name).unwrap_or_else(|| panic!("{VARIABLE}: unknown backend {name}")))
            .collect()
    }

    /// Runs API number `api` of `artifact` on `rows` rows. `inputs` are the bytes of all inputs, one after the other.
    ///
    /// # Errors
    /// What the program said, when it did not end well.
    ///
    /// # Panics
    /// When the program cannot be built, or its files not be written.
    pub fn run(self, artifact: &[u8], api: usize, rows: usize, inputs: &[u8]) -> Result<Outcome, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("artifact"), artifact).expect("a temporary file");
        fs::write(path("input"), inputs).expect("a temporary file");
        let mut command = Command::new(root().join("scripts/run-on.sh"));
        command.arg(self.target()).arg(self.program()).arg(path("artifact"));
        command.args([api.to_string(), rows.to_string()]).arg(path("input")).arg(path("output"));
        let output = command.output().expect("scripts/run-on.sh can be started");
        if !output.status.success() {
            return Err(messages(&output));
        }
        let figures = String::from_utf8_lossy(&output.stdout).trim_end().replace('\n', ", ");
        Ok(Outcome { outputs: fs::read(path("output")).expect("the program has written its output"), figures })
    }

    /// The program, built at the first call.
    fn program(self) -> PathBuf {
        static BUILT: Mutex<Option<HashMap<Backend, PathBuf>>> = Mutex::new(None);
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        built.get_or_insert_default().entry(self).or_insert_with(|| self.build()).clone()
    }

    fn build(self) -> PathBuf {
        let mut command = Command::new(root().join("scripts/cargo-cross.sh"));
        command.args([self.target(), "build", "--locked", "--message-format=json"]).current_dir(root());
        match self {
            Self::CortexM4 | Self::CortexM0 => {
                command.args(["--release", "--manifest-path", "targets/firmware/Cargo.toml"])
            }
            _ => command.args(["-p", "ekiben-runtime", "--features", "std", "--example", "run-artifact"]),
        };
        let output = command.output().expect("scripts/cargo-cross.sh can be started");
        assert!(output.status.success(), "{}: {}", self.name(), messages(&output));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == "run-artifact")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .unwrap_or_else(|| panic!("{}: cargo has built no run-artifact", self.name()))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a folder of the repository")
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_string()
}
