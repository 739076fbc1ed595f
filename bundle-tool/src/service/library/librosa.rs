//! librosa: spectra, mel bands and cepstra of signals whose length is known.
//!
//! librosa puts time last: `[…, bins, frames]`. Options and their defaults are those of librosa 0.10 and 0.11.

use ekiben_runtime::ops::pad::PadMode;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::Function;
use super::sound::{Options, computed_audio, signal, whole_axes};
use crate::audio::{self, Bands, Decibels, Frames, MelNorm, MelScale, Reference, Resampling, Taper, Window};
use crate::bundle::Generation;
use crate::graph::TensorId;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Place, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("librosa.stft", stft),
    ("librosa.core.stft", stft),
    ("librosa.resample", resample),
    ("librosa.core.resample", resample),
    ("librosa.power_to_db", |evaluator, call| to_decibels(evaluator, call, false)),
    ("librosa.core.power_to_db", |evaluator, call| to_decibels(evaluator, call, false)),
    ("librosa.amplitude_to_db", |evaluator, call| to_decibels(evaluator, call, true)),
    ("librosa.core.amplitude_to_db", |evaluator, call| to_decibels(evaluator, call, true)),
    ("librosa.feature.melspectrogram", mel_spectrogram),
    ("librosa.feature.mfcc", mfcc),
    ("librosa.feature.rms", rms),
];

const DEFAULT_RATE: f64 = 22050.0;
const DEFAULT_TRANSFORM: usize = 2048;
const DEFAULT_STEP: usize = 512;
/// Decibels below the loudest that are kept where nothing is said.
const DEFAULT_RANGE: f64 = 80.0;

/// The frames that options ask for. `step` is the hop where none is given.
fn frames<'a>(evaluator: &Evaluator<'_, 'a>, options: &Options<'a>, step: Option<usize>) -> Result<Frames, Stop> {
    let transform = options.length(evaluator, "n_fft")?.unwrap_or(DEFAULT_TRANSFORM);
    let length = options.length(evaluator, "win_length")?.unwrap_or(transform);
    let step = options.length(evaluator, "hop_length")?.or(step).unwrap_or(length / 4);
    let taper = match options.text(evaluator, "window")? {
        None => Taper::Hann,
        Some(name) => match Taper::from_name(&name) {
            Some(taper) => taper,
            None => return evaluator.fail(options.place, format!("the window `{name}` is not compiled")),
        },
    };
    let window = Window::periodic(taper, length).values().and_then(|window| Frames::in_the_middle(&window, transform));
    let window = options.checked(evaluator, window)?;
    let centred = match options.flag(evaluator, "center")?.unwrap_or(true) {
        true => Some(pad_mode(evaluator, options)?),
        false => None,
    };
    Ok(Frames { step, window, centred })
}

fn pad_mode<'a>(evaluator: &Evaluator<'_, 'a>, options: &Options<'a>) -> Result<PadMode, Stop> {
    match options.text(evaluator, "pad_mode")?.as_deref() {
        Some("constant") => Ok(PadMode::Constant),
        Some("reflect") => Ok(PadMode::Reflect),
        Some("edge") => Ok(PadMode::Edge),
        Some(other) => evaluator.fail(options.place, format!("`pad_mode=\"{other}\"` is not compiled")),
        None if evaluator.bundle.generation == Generation::V0_13 => {
            let problem = "what surrounds the signal depends on librosa's version: \"reflect\" before 0.10, \"constant\" since. Write `pad_mode=…`";
            evaluator.fail(options.place, problem)
        }
        None => Ok(PadMode::Constant),
    }
}

/// The last two axes of a tensor, exchanged.
fn turned(evaluator: &mut Evaluator<'_, '_>, x: TensorId, from_end: usize, place: Place) -> Result<TensorId, Stop> {
    let rank = evaluator.graph.shape(x).rank();
    let mut axes: Vec<usize> = (0..rank).collect();
    if let Some(first) = rank.checked_sub(2 + from_end) {
        axes.swap(first, first + 1);
    }
    let Some(perm) = Permutation::new(&axes) else {
        return evaluator.fail(place, "this array has too few axes, or too many");
    };
    let added = evaluator.graph.add("time last", Transpose { perm }, &[x]);
    evaluator.added(added, place)
}

/// `librosa.stft(y, …)`: complex numbers `[…, bins, frames]`.
fn stft<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let names = ["y", "n_fft", "hop_length", "win_length", "window", "center", "pad_mode"];
    let options = Options::bind(evaluator, call, names)?;
    let signal = signal(evaluator, options.get("y"), call)?;
    let frames = frames(evaluator, &options, None)?;
    let spectra = computed_audio(evaluator, call.place, |graph| audio::spectrum(graph, signal.tensor, &frames))?;
    let tensor = turned(evaluator, spectra, 1, call.place)?;
    Ok(Value::Complex(signal.with_tensor(tensor)))
}

const SPECTRUM: [&str; 7] = ["n_fft", "hop_length", "win_length", "window", "center", "pad_mode", "power"];
const BANDS: [&str; 4] = ["n_mels", "fmin", "fmax", "htk"];

/// Powers of bands `[…, frames, bands]` of `y`, or of the spectrogram `S`.
fn mel_powers<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    options: &Options<'a>,
    norm: &'static str,
    call: &Call<'a>,
) -> Result<Array, Stop> {
    let (source, spectra) = match options.get("S") {
        Some(Value::Array(given)) => {
            let array = evaluator.computed(given, call.place)?;
            let spectra = turned(evaluator, array.tensor, 0, call.place)?;
            (array, spectra)
        }
        Some(other) => return evaluator.fail(call.place, format!("`S` is {}", other.describe())),
        None => {
            let signal = signal(evaluator, options.get("y"), call)?;
            let frames = frames(evaluator, options, Some(DEFAULT_STEP))?;
            let exponent = options.number(evaluator, "power")?.unwrap_or(2.0);
            let spectra = computed_audio(evaluator, call.place, |graph| {
                let spectra = audio::spectrum(graph, signal.tensor, &frames)?;
                if exponent == 2.0 { audio::power(graph, spectra) } else { audio::magnitude(graph, spectra) }
            })?;
            if exponent != 1.0 && exponent != 2.0 {
                return evaluator.fail(call.place, "`power` is compiled for 1 and 2");
            }
            (signal, spectra)
        }
    };
    let bins = evaluator.graph.shape(spectra).factors().last().map_or(0, |&bins| bins as usize);
    let bands = bands(evaluator, options, norm, bins)?;
    let tensor = computed_audio(evaluator, call.place, |graph| audio::bands(graph, spectra, &bands))?;
    Ok(source.with_tensor(tensor))
}

fn bands<'a>(
    evaluator: &Evaluator<'_, 'a>,
    options: &Options<'a>,
    norm: &'static str,
    bins: usize,
) -> Result<Bands, Stop> {
    let sample_rate = options.number(evaluator, "sr")?.unwrap_or(DEFAULT_RATE);
    let norm = match options.get(norm) {
        None => MelNorm::Area,
        Some(Value::None) => MelNorm::Peak,
        Some(Value::Text(name)) if &**name == "slaney" => MelNorm::Area,
        Some(other) => {
            return evaluator.fail(options.place, format!("`{norm}` of {} is not compiled", other.describe()));
        }
    };
    let low = options.number(evaluator, "fmin")?.unwrap_or(0.0);
    let high = options.number(evaluator, "fmax")?.unwrap_or(sample_rate / 2.0);
    let scale = if options.flag(evaluator, "htk")?.unwrap_or(false) { MelScale::Htk } else { MelScale::Slaney };
    let count = options.length(evaluator, "n_mels")?.unwrap_or(128);
    Ok(Bands { sample_rate, bins, bands: count, edges: [low, high], scale, norm, straight_in_mels: false })
}

/// `librosa.feature.melspectrogram(y=y, sr=sr, …)`: powers `[…, bands, frames]`.
fn mel_spectrogram<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let names = [&["y", "sr", "S"][..], &SPECTRUM, &BANDS, &["norm"]].concat();
    let options = Options::bind(evaluator, call, names)?;
    let powers = mel_powers(evaluator, &options, "norm", call)?;
    let tensor = turned(evaluator, powers.tensor, 0, call.place)?;
    Ok(Value::Array(powers.with_tensor(tensor)))
}

/// `librosa.feature.mfcc(y=y, sr=sr, …)`: coefficients `[…, n_mfcc, frames]`.
fn mfcc<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let names =
        [&["y", "sr", "S", "n_mfcc", "dct_type", "norm", "lifter"][..], &SPECTRUM, &BANDS, &["mel_norm"]].concat();
    let options = Options::bind(evaluator, call, names)?;
    let (levels, given) = match options.get("S") {
        // Levels in decibels already.
        Some(Value::Array(given)) => {
            let array = evaluator.computed(given, call.place)?;
            (turned(evaluator, array.tensor, 0, call.place)?, array)
        }
        _ => {
            let powers = mel_powers(evaluator, &options, "mel_norm", call)?;
            let axes = whole_axes(evaluator, &powers, call.place)?;
            let scale = Decibels { reference: Reference::Power(1.0), least: 1e-10, range: Some(DEFAULT_RANGE), axes };
            (computed_audio(evaluator, call.place, |graph| audio::decibels(graph, powers.tensor, &scale))?, powers)
        }
    };
    let count = options.length(evaluator, "n_mfcc")?.unwrap_or(20);
    let orthonormal = match options.get("norm") {
        None => true,
        Some(Value::Text(name)) if &**name == "ortho" => true,
        Some(Value::None) => false,
        Some(other) => return evaluator.fail(call.place, format!("`norm` of {} is not compiled", other.describe())),
    };
    if options.length(evaluator, "dct_type")?.unwrap_or(2) != 2 {
        return evaluator.fail(call.place, "`dct_type` is compiled for 2");
    }
    let lifter = options.number(evaluator, "lifter")?.unwrap_or(0.0);
    if lifter < 0.0 {
        return evaluator.fail(call.place, "`lifter` is not negative");
    }
    let scale = |k: usize, length: usize| {
        let even = match (orthonormal, k) {
            (false, _) => 1.0,
            (true, 0) => (0.25 / length as f64).sqrt(),
            (true, _) => (0.5 / length as f64).sqrt(),
        };
        let lift = if lifter > 0.0 {
            1.0 + lifter / 2.0 * (std::f64::consts::PI * (k + 1) as f64 / lifter).sin()
        } else {
            1.0
        };
        even * lift
    };
    let coefficients =
        computed_audio(evaluator, call.place, |graph| audio::cosine_transform(graph, levels, count, scale))?;
    let tensor = turned(evaluator, coefficients, 0, call.place)?;
    Ok(Value::Array(given.with_tensor(tensor)))
}

/// `librosa.power_to_db(S, …)` and `librosa.amplitude_to_db(S, …)`.
fn to_decibels<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, amplitude: bool) -> Evaluated<'a> {
    let options = Options::bind(evaluator, call, ["S", "ref", "amin", "top_db"])?;
    let Some(Value::Array(given)) = options.get("S") else {
        return evaluator.fail(call.place, "decibels are compiled of an array of powers or magnitudes");
    };
    let array = evaluator.computed(given, call.place)?;
    if !array.dtype(&evaluator.graph).is_float() {
        return evaluator.fail(call.place, "decibels are compiled of floats. Convert with `astype`");
    }
    // Of magnitudes librosa squares each option too.
    let squared = |number: f64| if amplitude { number * number } else { number };
    let reference = match options.get("ref") {
        None => Reference::Power(1.0),
        Some(Value::Path(path)) if matches!(&**path, "numpy.max" | "numpy.amax") => Reference::Largest,
        Some(_) => Reference::Power(squared(options.number(evaluator, "ref")?.unwrap_or(1.0))),
    };
    let least = squared(options.number(evaluator, "amin")?.unwrap_or(if amplitude { 1e-5 } else { 1e-10 }));
    let range = match options.get("top_db") {
        Some(Value::None) => None,
        _ => Some(options.number(evaluator, "top_db")?.unwrap_or(DEFAULT_RANGE)),
    };
    let needs_axes = range.is_some() || reference == Reference::Largest;
    let axes = if needs_axes { whole_axes(evaluator, &array, call.place)? } else { 0 };
    let scale = Decibels { reference, least, range, axes };
    let tensor = computed_audio(evaluator, call.place, |graph| {
        let power = match amplitude {
            true => graph.add("power", Unary::of(UnaryKind::Square), &[array.tensor])?,
            false => graph.add("power", Unary::of(UnaryKind::Abs), &[array.tensor])?,
        };
        audio::decibels(graph, power, &scale)
    })?;
    Ok(Value::Array(array.with_tensor(tensor)))
}

/// `librosa.feature.rms(y=y, …)`: `[…, 1, frames]`. A frame's mean square is that of a spectrum's frame without window.
fn rms<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let options = Options::bind(evaluator, call, ["y", "S", "frame_length", "hop_length", "center", "pad_mode"])?;
    if options.get("S").is_some() {
        return evaluator.fail(call.place, "`rms` is compiled of a signal, `y=…`");
    }
    let given = signal(evaluator, options.get("y"), call)?;
    let length = options.length(evaluator, "frame_length")?.unwrap_or(DEFAULT_TRANSFORM);
    let step = options.length(evaluator, "hop_length")?.unwrap_or(DEFAULT_STEP);
    let centred = match options.flag(evaluator, "center")?.unwrap_or(true) {
        true => Some(pad_mode(evaluator, &options)?),
        false => None,
    };
    let tensor = computed_audio(evaluator, call.place, |graph| {
        let frames = audio::framed(graph, given.tensor, length, step, centred)?;
        let last = graph.shape(frames).rank() - 1;
        let squares = graph.add("square", Unary::of(UnaryKind::Square), &[frames])?;
        let op = Reduce { kind: ReduceKind::Mean, axes: 1 << last, keep: true };
        let mean = graph.add("mean square", op, &[squares])?;
        Ok(graph.add("rms", Unary::of(UnaryKind::Sqrt), &[mean])?)
    })?;
    let tensor = turned(evaluator, tensor, 0, call.place)?;
    Ok(Value::Array(given.with_tensor(tensor)))
}

/// `librosa.resample(y, orig_sr=…, target_sr=…, res_type="polyphase")`.
fn resample<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let options = Options::bind(evaluator, call, ["y", "orig_sr", "target_sr", "res_type"])?;
    let given = signal(evaluator, options.get("y"), call)?;
    let (Some(from), Some(to)) = (options.length(evaluator, "orig_sr")?, options.length(evaluator, "target_sr")?)
    else {
        return evaluator.fail(call.place, "`orig_sr` and `target_sr` are needed");
    };
    let kind = options.text(evaluator, "res_type")?;
    if from != to && kind.as_deref() != Some("polyphase") {
        let problem = "only `res_type=\"polyphase\"` is compiled: the filters of soxr and resampy are theirs";
        return evaluator.fail(call.place, problem);
    }
    let tensor = computed_audio(evaluator, call.place, |graph| {
        audio::resample(graph, given.tensor, Resampling::new(from, to)?)
    })?;
    Ok(Value::Array(given.with_tensor(tensor)))
}
