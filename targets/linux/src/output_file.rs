//! Files that appear whole: written beside their name, flushed to the disk, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file that takes its name only when it is complete. Dropped before [`OutputFile::finish`], it leaves nothing.
#[derive(Debug)]
pub struct OutputFile {
    writer: BufWriter<File>,
    target: PathBuf,
    /// Where the bytes are until then; `None` when they go straight to a device or a pipe.
    beside: Option<PathBuf>,
}

impl OutputFile {
    /// Starts a file that is to be at `target`.
    ///
    /// # Errors
    /// Those of creating a file in its folder.
    pub fn create(target: &Path) -> io::Result<Self> {
        if fs::metadata(target).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
            let file = OpenOptions::new().write(true).open(target)?;
            return Ok(Self { writer: BufWriter::new(file), target: target.into(), beside: None });
        }
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
        let beside = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        Ok(Self { writer: BufWriter::new(file), target: target.into(), beside: Some(beside) })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// Those of writing and renaming; nothing is left then.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        let Some(beside) = &self.beside else { return Ok(()) };
        self.writer.get_ref().sync_all()?;
        fs::rename(beside, &self.target)?;
        self.beside = None;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// Those of [`OutputFile::create`], writing and [`OutputFile::finish`].
    pub fn write(target: &Path, contents: &[u8]) -> io::Result<()> {
        let mut file = Self::create(target)?;
        file.write_all(contents)?;
        file.finish()
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            // What cannot be removed here cannot be reported either; the file has a name of its own.
            let _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("out.csv");
        let mut file = OutputFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!target.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        OutputFile::write(&target, b"whole").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
