//! Devices to compile for: what they have, and whether an artifact fits.
//!
//! A profile is a TOML file; those in `profiles/` are built in. A board of your own is a file like them:
//!
//! ```toml
//! device = "my board: STM32L4"          # for people
//! system = "none"                        # or "linux"
//! rust_target = "thumbv7em-none-eabihf"  # what its programs are compiled for
//! isa = "armv7e-m"
//! features = ["dsp"]
//! ram = "96 KiB"                         # the largest piece in which the arena can lie; bytes, or a number with KiB, MiB or GiB
//! flash = "512 KiB"                      # left out where nobody counts it, as on an SD card
//! reserved_ram = "8 KiB"                 # what the rest of the firmware or the system keeps for itself
//! reserved_flash = "32 KiB"
//! ```

mod code;
mod fit;
mod size;
#[cfg(test)]
mod tests;
mod work;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use fit::{Demand, Fit, Part};
use size::Size;

/// What runs on a device besides the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Linux: the device program maps the artifact.
    Linux,
    /// A firmware that has the artifact in flash.
    None,
}

/// A device, or a family of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name that `--target` takes.
    pub name: String,
    /// What it is, for people.
    pub device: String,
    /// What runs on it.
    pub system: System,
    /// Rust's name of what its programs are compiled for.
    pub rust_target: String,
    /// Instruction set.
    pub isa: String,
    /// Extensions of the instruction set.
    pub features: Vec<String>,
    /// Bytes of memory in one piece.
    pub ram: u64,
    /// Bytes of flash; `None` where they are not counted.
    pub flash: Option<u64>,
    /// Bytes of memory that the rest of the firmware, or the system, keeps.
    pub reserved_ram: u64,
    /// Bytes of flash that the rest of the firmware keeps.
    pub reserved_flash: u64,
}

/// A profile's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    device: String,
    system: System,
    rust_target: String,
    isa: String,
    #[serde(default)]
    features: Vec<String>,
    ram: Size,
    flash: Option<Size>,
    #[serde(default)]
    reserved_ram: Size,
    #[serde(default)]
    reserved_flash: Size,
}

/// Why there is no such target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No profile has this name.
    #[error(
        "unknown target {name:?}; known are {}. A board of your own is a .toml file, see docs/targets.md",
        BUILT_IN.map(|(name, _)| name).join(", ")
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not a profile.
    #[error("{origin}: {error}")]
    Profile {
        /// The file, or the name of a built-in profile.
        origin: String,
        /// Why.
        error: toml::de::Error,
    },
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("profiles/", $name, ".toml")))),*] };
}

/// Names and files of the built-in profiles.
const BUILT_IN: [(&str, &str); 14] = built_in![
    "raspberry-pi-zero-2",
    "raspberry-pi-3",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "jetson-nano",
    "jetson-orin",
    "stm32f4",
    "stm32f7",
    "stm32h7",
    "stm32u5",
    "nrf52840",
    "rp2040",
    "rp2350",
    "corstone-300",
];

/// The largest profile that is read.
const MAX_PROFILE_BYTES: u64 = 1 << 16;

impl Target {
    /// The built-in target `name`, or the one in the file `name`, which then ends in `.toml`.
    ///
    /// # Errors
    /// [`TargetError`] lists the names that there are, or says what is wrong with the file.
    pub fn open(name: &str) -> Result<Self, TargetError> {
        if let Some((name, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, name, text);
        }
        let path = Path::new(name);
        if path.extension().is_none_or(|extension| extension != "toml") {
            return Err(TargetError::Unknown { name: name.to_owned() });
        }
        let io = |error| TargetError::Io { path: path.to_owned(), error };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(io)?;
        std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_PROFILE_BYTES), &mut text).map_err(io)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&stem, name, &text)
    }

    /// All built-in targets.
    pub fn built_in() -> Vec<Self> {
        BUILT_IN.iter().filter_map(|(name, text)| Self::parse(name, name, text).ok()).collect()
    }

    fn parse(name: &str, origin: &str, text: &str) -> Result<Self, TargetError> {
        let profile = toml::from_str::<Profile>(text);
        let profile = profile.map_err(|error| TargetError::Profile { origin: origin.to_owned(), error })?;
        Ok(Self {
            name: name.to_owned(),
            device: profile.device,
            system: profile.system,
            rust_target: profile.rust_target,
            isa: profile.isa,
            features: profile.features,
            ram: profile.ram.bytes(),
            flash: profile.flash.map(Size::bytes),
            reserved_ram: profile.reserved_ram.bytes(),
            reserved_flash: profile.reserved_flash.bytes(),
        })
    }
}
