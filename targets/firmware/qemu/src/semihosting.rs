//! Services of the machine that runs the emulator: command line, files, exit.
//!
//! Operations and their argument blocks are those of Arm's "Semihosting for AArch32 and AArch64", 2022.
#![expect(unsafe_code, reason = "a semihosting call hands addresses to the host")]

use core::cell::Cell;
use core::{fmt, str};
use cortex_m_semihosting::{nr, syscall};

/// The longest path of a host file, in bytes.
pub const PATH_BYTES: usize = 255;

/// Why the host did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// The command line is longer than the buffer, or not UTF-8.
    CommandLine,
    /// The path is longer than [`PATH_BYTES`] or holds a zero byte.
    Path,
    /// The file does not exist, or may not be opened.
    Open,
    /// The file has more bytes than the buffer.
    BufferTooSmall {
        /// Length of the file.
        needed: usize,
        /// Length of the buffer.
        given: usize,
    },
    /// The host moved fewer bytes than the file or the buffer has.
    Incomplete,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("the command line is too long for its buffer, or not UTF-8"),
            Self::Path => write!(f, "the path is longer than {PATH_BYTES} bytes or holds a zero byte"),
            Self::Open => f.write_str("the host cannot open the file"),
            Self::BufferTooSmall { needed, given } => {
                write!(f, "the file has {needed} bytes, the buffer {given}")
            }
            Self::Incomplete => f.write_str("the host read or wrote a part of the file only"),
        }
    }
}

impl core::error::Error for HostError {}

/// The program's name and its arguments, separated by spaces.
pub fn command_line(buffer: &mut [u8]) -> Result<&str, HostError> {
    let block = [Cell::new(buffer.as_mut_ptr().expose_provenance()), Cell::new(buffer.len())];
    // SAFETY: SYS_GET_CMDLINE takes the address and the length of a buffer, writes at most that many bytes there, and
    // writes the length of the text into the block, whose cells allow that.
    let status = unsafe { cortex_m_semihosting::syscall(nr::GET_CMDLINE, &block) };
    let text = buffer.get(..block[1].get()).filter(|_| status == 0).ok_or(HostError::CommandLine)?;
    str::from_utf8(text).map_err(|_| HostError::CommandLine)
}

/// Reads the whole file `path` of the host into the beginning of `buffer`; returns its length.
pub fn read_file(path: &str, buffer: &mut [u8]) -> Result<usize, HostError> {
    let mut file = HostFile::open(path, nr::open::R_BINARY)?;
    let needed = file.len()?;
    let given = buffer.len();
    let target = buffer.get_mut(..needed).ok_or(HostError::BufferTooSmall { needed, given })?;
    file.read(target)?;
    Ok(needed)
}

/// Writes `contents` to the file `path` of the host, which is created, or truncated first.
pub fn write_file(path: &str, contents: &[u8]) -> Result<(), HostError> {
    HostFile::open(path, nr::open::W_TRUNC_BINARY)?.write(contents)
}

/// Ends the program, and the emulator with `status` as its own.
pub fn exit(status: u8) -> ! {
    const SYS_EXIT_EXTENDED: usize = 0x20;
    const APPLICATION_EXIT: usize = 0x2_0026;
    loop {
        // SAFETY: SYS_EXIT_EXTENDED takes a reason and a status, and no address.
        unsafe { cortex_m_semihosting::syscall(SYS_EXIT_EXTENDED, &[APPLICATION_EXIT, usize::from(status)]) };
    }
}

/// A file that is open on the host, and closed when dropped.
struct HostFile {
    handle: usize,
}

impl HostFile {
    fn open(path: &str, mode: usize) -> Result<Self, HostError> {
        let mut terminated = [0; PATH_BYTES + 1];
        if path.len() > PATH_BYTES || path.contains('\0') {
            return Err(HostError::Path);
        }
        terminated[..path.len()].copy_from_slice(path.as_bytes());
        // SAFETY: SYS_OPEN reads a path of the given length and the zero after it, which `terminated` holds.
        match unsafe { syscall!(OPEN, terminated.as_ptr(), mode, path.len()) } {
            usize::MAX => Err(HostError::Open),
            handle => Ok(Self { handle }),
        }
    }

    fn len(&self) -> Result<usize, HostError> {
        // SAFETY: SYS_FLEN takes a handle and no address.
        match unsafe { syscall!(FLEN, self.handle) } {
            usize::MAX => Err(HostError::Open),
            length => Ok(length),
        }
    }

    /// Fills `buffer`.
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), HostError> {
        // SAFETY: SYS_READ writes at most `buffer.len()` bytes to the buffer, which is borrowed for writing.
        let missing = unsafe { syscall!(READ, self.handle, buffer.as_mut_ptr(), buffer.len()) };
        if missing == 0 { Ok(()) } else { Err(HostError::Incomplete) }
    }

    fn write(&mut self, contents: &[u8]) -> Result<(), HostError> {
        // SAFETY: SYS_WRITE reads `contents.len()` bytes of the borrowed slice.
        let missing = unsafe { syscall!(WRITE, self.handle, contents.as_ptr(), contents.len()) };
        if missing == 0 { Ok(()) } else { Err(HostError::Incomplete) }
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        // SAFETY: SYS_CLOSE takes a handle, which nothing uses afterwards, and no address.
        unsafe { syscall!(CLOSE, self.handle) };
    }
}
