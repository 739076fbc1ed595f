//! Bands on the mel scale.

use super::{AudioError, MAX_LENGTH};

/// A formula from hertz to mels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MelScale {
    /// Linear below 1000 Hz, logarithmic above (Slaney's Auditory Toolbox; librosa's default).
    Slaney,
    /// `2595 log10(1 + f / 700)` (HTK; TensorFlow).
    Htk,
}

/// Slaney's scale: mels per hertz below the break, the break in hertz and mels, the logarithm of a step above it.
const SLOPE: f64 = 3.0 / 200.0;
const BREAK_HERTZ: f64 = 1000.0;
const BREAK_MEL: f64 = 15.0;

fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

impl MelScale {
    /// Mels of a frequency in hertz.
    pub fn mels(self, hertz: f64) -> f64 {
        match self {
            Self::Htk => 2595.0 * (1.0 + hertz / 700.0).log10(),
            Self::Slaney if hertz >= BREAK_HERTZ => BREAK_MEL + (hertz / BREAK_HERTZ).ln() / log_step(),
            Self::Slaney => hertz * SLOPE,
        }
    }

    /// The frequency in hertz that has these mels.
    pub fn hertz(self, mels: f64) -> f64 {
        match self {
            Self::Htk => 700.0 * (10f64.powf(mels / 2595.0) - 1.0),
            Self::Slaney if mels >= BREAK_MEL => BREAK_HERTZ * (log_step() * (mels - BREAK_MEL)).exp(),
            Self::Slaney => mels / SLOPE,
        }
    }
}

/// What the triangles are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MelNorm {
    /// Nothing: each is 1 at its top.
    Peak,
    /// Half their widths in hertz (Slaney): each has the same area.
    Area,
}

/// Triangular bands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bands {
    /// Samples per second.
    pub sample_rate: f64,
    /// Bins of the spectrum: half the transform's length and one.
    pub bins: usize,
    /// Bands.
    pub bands: usize,
    /// Where the first begins and the last ends, in hertz.
    pub edges: [f64; 2],
    /// Scale on which they are equally wide.
    pub scale: MelScale,
    /// What they are divided by.
    pub norm: MelNorm,
    /// The sides are straight in mels and the bin of 0 Hz has no weight (TensorFlow), not straight in hertz (librosa).
    pub straight_in_mels: bool,
}

impl Bands {
    /// Weights `[bins, bands]`.
    ///
    /// # Errors
    /// Sizes out of range, or edges that do not rise from 0 to half the sample rate.
    pub fn weights(&self) -> Result<Vec<f64>, AudioError> {
        let nyquist = self.sample_rate / 2.0;
        let [low, high] = self.edges;
        let rising = low >= 0.0 && low < high && high <= nyquist && self.sample_rate.is_finite();
        if !rising {
            let problem =
                format!("bands from {low} to {high} Hz do not lie between 0 and half the sample rate, {nyquist} Hz");
            return Err(AudioError::option(problem));
        }
        if self.bins < 2 || self.bins > MAX_LENGTH / 2 + 1 || self.bands == 0 || self.bands > 4096 {
            let problem = format!("{} bands of {} bins are not supported", self.bands, self.bins);
            return Err(AudioError::option(problem));
        }
        let (from, to) = (self.scale.mels(low), self.scale.mels(high));
        let step = (to - from) / (self.bands + 1) as f64;
        let place = |mels: f64| if self.straight_in_mels { mels } else { self.scale.hertz(mels) };
        let corners: Vec<f64> = (0..self.bands + 2).map(|n| place(from + step * n as f64)).collect();
        let mut weights = vec![0.0; self.bins * self.bands];
        for bin in usize::from(self.straight_in_mels)..self.bins {
            let hertz = nyquist * bin as f64 / (self.bins - 1) as f64;
            let at = if self.straight_in_mels { self.scale.mels(hertz) } else { hertz };
            for (band, corners) in corners.windows(3).enumerate() {
                let &[left, top, right] = corners else { continue };
                let side = ((at - left) / (top - left)).min((right - at) / (right - top)).max(0.0);
                let width = match self.norm {
                    MelNorm::Peak => 1.0,
                    MelNorm::Area => 2.0 / (right - left),
                };
                weights[bin * self.bands + band] = side * width;
            }
        }
        Ok(weights)
    }
}
