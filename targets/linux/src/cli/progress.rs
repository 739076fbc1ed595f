//! A progress bar on standard error for reading that takes long.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work shorter than this shows no bar.
const QUIET: Duration = Duration::from_millis(500);

/// A reader that shows how much of `R` has been read, when standard error is a terminal.
pub(super) struct Progress<R> {
    inner: R,
    bar: ProgressBar,
    start: Instant,
}

impl<R> Progress<R> {
    /// Shows progress through `length` bytes, or a spinner when that is not known.
    pub(super) fn new(inner: R, length: Option<u64>) -> Self {
        let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let style = "{elapsed_precise} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { inner, bar, start: Instant::now() }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if self.bar.is_hidden() && self.start.elapsed() > QUIET {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(read as u64);
        Ok(read)
    }
}

impl<R> Drop for Progress<R> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
