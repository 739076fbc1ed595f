//! Windows, by the names of SciPy.

use std::f64::consts::TAU;

use super::{AudioError, MAX_LENGTH};

/// A shape of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taper {
    /// Ones.
    Boxcar,
    /// `0.5 - 0.5 cos(a)`
    Hann,
    /// `0.54 - 0.46 cos(a)`
    Hamming,
    /// `25/46 - 21/46 cos(a)` (ONNX)
    ExactHamming,
    /// `0.42 - 0.5 cos(a) + 0.08 cos(2a)`
    Blackman,
    /// `0.35875 - 0.48829 cos(a) + 0.14128 cos(2a) - 0.01168 cos(3a)`
    BlackmanHarris,
}

impl Taper {
    const NAMES: [(&'static str, Self); 8] = [
        ("hann", Self::Hann),
        ("hanning", Self::Hann),
        ("hamming", Self::Hamming),
        ("blackman", Self::Blackman),
        ("blackmanharris", Self::BlackmanHarris),
        ("boxcar", Self::Boxcar),
        ("ones", Self::Boxcar),
        ("rectangular", Self::Boxcar),
    ];

    /// The window with this name of SciPy's `get_window`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, taper)| *taper)
    }

    /// The value where the angle is `a`: a whole turn is the window's period.
    fn at(self, a: f64) -> f64 {
        match self {
            Self::Boxcar => 1.0,
            Self::Hann => 0.5 - 0.5 * a.cos(),
            Self::Hamming => 0.54 - 0.46 * a.cos(),
            Self::ExactHamming => 25.0 / 46.0 - 21.0 / 46.0 * a.cos(),
            Self::Blackman => 0.42 - 0.5 * a.cos() + 0.08 * (2.0 * a).cos(),
            Self::BlackmanHarris => 0.35875 - 0.48829 * a.cos() + 0.14128 * (2.0 * a).cos() - 0.01168 * (3.0 * a).cos(),
        }
    }
}

/// A window of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its shape.
    pub taper: Taper,
    /// Samples.
    pub length: usize,
    /// Samples of a period: `length` for a periodic window (SciPy's `fftbins=True`), `length - 1` for a symmetric one.
    pub period: usize,
}

impl Window {
    /// A periodic window, as spectral analysis takes it.
    pub const fn periodic(taper: Taper, length: usize) -> Self {
        Self { taper, length, period: length }
    }

    /// A window as `tf.signal` makes it: of odd lengths, a periodic one too is symmetric.
    pub const fn tensorflow(taper: Taper, length: usize, periodic: bool) -> Self {
        let period = if periodic && length.is_multiple_of(2) { length } else { length.saturating_sub(1) };
        Self { taper, length, period }
    }

    /// The values.
    ///
    /// # Errors
    /// A length of zero or above [`MAX_LENGTH`].
    pub fn values(self) -> Result<Vec<f64>, AudioError> {
        if !(1..=MAX_LENGTH).contains(&self.length) {
            return Err(AudioError::option(format!("a window has 1 to {MAX_LENGTH} samples, not {}", self.length)));
        }
        if self.period == 0 {
            return Ok(vec![1.0]);
        }
        Ok((0..self.length).map(|n| self.taper.at(TAU * n as f64 / self.period as f64)).collect())
    }
}
