//! Signals: frames, spectra, mel bands, cepstra, resampling.
//!
//! Operators that begin with `tf_` are those of `tf.signal`, which puts time before the bins; the others are librosa's, which puts it last.

use super::super::super::evaluate::{Array, Evaluated, Evaluator, Stop, Value};
use super::super::step::Arguments;
use super::{Operator, named};
use crate::audio::{self, AudioError, Frames};
use crate::graph::{Graph, TensorId};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("windows", &["of", "length", "hop"], windows),
    Operator::new("fft", &["of", "power"], fft),
    Operator::new("stft", STFT, |evaluator, arguments| {
        let spectra = named(evaluator, arguments, "librosa.stft")?;
        arguments.call(evaluator, "numpy.abs", vec![spectra], Vec::new())
    }),
    Operator::new("mel_spectrogram", MEL, |evaluator, arguments| {
        named(evaluator, arguments, "librosa.feature.melspectrogram")
    }),
    Operator::new("mfcc", MFCC, |evaluator, arguments| named(evaluator, arguments, "librosa.feature.mfcc")),
    Operator::new("power_to_db", DECIBELS, |evaluator, arguments| named(evaluator, arguments, "librosa.power_to_db")),
    Operator::new("amplitude_to_db", DECIBELS, |evaluator, arguments| {
        named(evaluator, arguments, "librosa.amplitude_to_db")
    }),
    Operator::new("rms", &["of", "frame_length", "hop_length", "center", "pad_mode"], |evaluator, arguments| {
        let signal = arguments.array(evaluator, "of")?;
        let keys = ["frame_length", "hop_length", "center", "pad_mode"];
        let mut given: Vec<_> = keys.into_iter().filter_map(|key| Some((key, arguments.constant(key)?))).collect();
        given.push(("y", Value::Array(signal)));
        arguments.call(evaluator, "librosa.feature.rms", Vec::new(), given)
    }),
    Operator::new("resample", &["of", "from", "to"], resample),
    Operator::new("tf_stft", TF_STFT, tf_stft),
    Operator::new("tf_log_mel", TF_MEL, tf_log_mel),
    Operator::new("tf_mfcc", TF_MFCC, tf_mfcc),
];

const STFT: &[&str] = &["of", "n_fft", "hop_length", "win_length", "window", "center", "pad_mode"];
const MEL: &[&str] = &[
    "of",
    "sr",
    "n_fft",
    "hop_length",
    "win_length",
    "window",
    "center",
    "pad_mode",
    "power",
    "n_mels",
    "fmin",
    "fmax",
    "htk",
    "norm",
];
const MFCC: &[&str] = &[
    "of",
    "sr",
    "n_mfcc",
    "norm",
    "lifter",
    "n_fft",
    "hop_length",
    "win_length",
    "window",
    "center",
    "pad_mode",
    "power",
    "n_mels",
    "fmin",
    "fmax",
    "htk",
    "mel_norm",
];
const DECIBELS: &[&str] = &["of", "ref", "amin", "top_db"];
const TF_STFT: &[&str] = &["of", "frame_length", "frame_step", "fft_length", "window", "power"];
const TF_MEL: &[&str] =
    &["of", "frame_length", "frame_step", "fft_length", "window", "power", "bands", "rate", "low", "high", "offset"];
const TF_MFCC: &[&str] = &[
    "of",
    "frame_length",
    "frame_step",
    "fft_length",
    "window",
    "power",
    "bands",
    "rate",
    "low",
    "high",
    "offset",
    "count",
];

/// What `lower` adds to the graph.
fn lowered<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    like: &Array,
    lower: impl FnOnce(&mut Graph) -> Result<TensorId, AudioError>,
) -> Evaluated<'a> {
    match lower(&mut evaluator.graph) {
        Ok(tensor) => Ok(Value::Array(like.with_tensor(tensor))),
        Err(error) => evaluator.fail(arguments.place(), error.to_string()),
    }
}

/// Frames of a signal, one every `hop` samples.
fn windows<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let signal = arguments.array(evaluator, "of")?;
    let length = arguments.needed_length(evaluator, "length")?;
    let hop = arguments.length(evaluator, "hop")?.unwrap_or(length);
    lowered(evaluator, arguments, &signal, |graph| audio::framed(graph, signal.tensor, length, hop, None))
}

/// Magnitudes, or powers, of the spectrum of the last axis: `length / 2 + 1` bins.
fn fft<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let signal = arguments.array(evaluator, "of")?;
    let power = arguments.flag(evaluator, "power")?.unwrap_or(false);
    let place = arguments.place();
    let shape = evaluator.graph.shape(signal.tensor);
    let mut dims: Vec<usize> = shape.factors().iter().map(|&factor| factor as usize).collect();
    let Some(&length) = dims.last().filter(|_| shape.batch_axis() != Some(dims.len() - 1)) else {
        return evaluator.fail(arguments.at("of"), "a signal has a last axis of a known length");
    };
    // Every axis before the last one is one of signals.
    let rows: usize = dims[..dims.len() - 1].iter().product();
    let batch = shape.batch_axis().filter(|&axis| axis == 0);
    if batch != shape.batch_axis() {
        return evaluator.fail(arguments.at("of"), "rows of the request are on another axis than the first");
    }
    let flat = evaluator.reshaped(signal.tensor, &[rows, length], batch, place)?;
    let frames = Frames { step: length, window: vec![1.0; length], centred: None };
    let spectra = lowered(evaluator, arguments, &Array::whole(flat), |graph| {
        let spectra = audio::spectrum(graph, flat, &frames)?;
        if power { audio::power(graph, spectra) } else { audio::magnitude(graph, spectra) }
    })?;
    let spectra = evaluator.operand(&spectra, place)?;
    if let Some(last) = dims.last_mut() {
        *last = length / 2 + 1;
    }
    let tensor = evaluator.reshaped(spectra.tensor, &dims, batch, place)?;
    Ok(Value::Array(signal.with_tensor(tensor)))
}

/// SciPy's polyphase resampling.
fn resample<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let signal = arguments.array(evaluator, "of")?;
    let from = arguments.needed_length(evaluator, "from")?;
    let to = arguments.needed_length(evaluator, "to")?;
    lowered(evaluator, arguments, &signal, |graph| {
        audio::resample(graph, signal.tensor, audio::Resampling::new(from, to)?)
    })
}

/// Magnitudes `[…, frames, bins]`; with `power` 2 their squares.
fn tf_stft<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let signal = arguments.array(evaluator, "of")?;
    for key in ["frame_length", "frame_step"] {
        arguments.needed(evaluator, key)?;
    }
    let lengths = ["frame_length", "frame_step", "fft_length"];
    let mut given: Vec<_> = lengths.into_iter().filter_map(|key| Some((key, arguments.constant(key)?))).collect();
    match arguments.text(evaluator, "window")?.as_deref() {
        None => {}
        Some("none") => given.push(("window_fn", Value::None)),
        Some(name @ ("hann" | "hamming")) => {
            given.push(("window_fn", Value::Path(format!("tensorflow.signal.{name}_window").into())));
        }
        Some(_) => return evaluator.fail(arguments.at("window"), "the windows here are hann, hamming, none"),
    }
    let spectra = arguments.call(evaluator, "tensorflow.signal.stft", vec![Value::Array(signal)], given)?;
    let magnitudes = arguments.call(evaluator, "tensorflow.abs", vec![spectra], Vec::new())?;
    match arguments.integer(evaluator, "power")?.unwrap_or(1) {
        1 => Ok(magnitudes),
        2 => arguments.call(evaluator, "tensorflow.square", vec![magnitudes], Vec::new()),
        _ => evaluator.fail(arguments.at("power"), "`power` is 1 or 2"),
    }
}

/// Logarithms of mel bands: `log(bands + offset)`.
fn tf_log_mel<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let spectra = tf_stft(evaluator, arguments)?;
    let bins = match &spectra {
        Value::Array(array) => evaluator.graph.shape(array.tensor).factors().last().map_or(0, |&bins| i64::from(bins)),
        _ => 0,
    };
    let number = |key: &str, usual: f64| arguments.constant(key).unwrap_or(Value::Float(usual));
    let weights = vec![
        ("num_mel_bins", arguments.constant("bands").unwrap_or(Value::Int(20))),
        ("num_spectrogram_bins", Value::Int(bins)),
        ("sample_rate", number("rate", 8000.0)),
        ("lower_edge_hertz", number("low", 125.0)),
        ("upper_edge_hertz", number("high", 3800.0)),
    ];
    let weights = arguments.call(evaluator, "tensorflow.signal.linear_to_mel_weight_matrix", Vec::new(), weights)?;
    let bands = arguments.call(evaluator, "tensorflow.matmul", vec![spectra, weights], Vec::new())?;
    let bands = arguments.call(evaluator, "numpy.add", vec![bands, number("offset", 1e-6)], Vec::new())?;
    arguments.call(evaluator, "tensorflow.math.log", vec![bands], Vec::new())
}

/// The first `count` coefficients of `tf.signal.mfccs_from_log_mel_spectrograms`.
fn tf_mfcc<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let bands = tf_log_mel(evaluator, arguments)?;
    let all =
        arguments.call(evaluator, "tensorflow.signal.mfccs_from_log_mel_spectrograms", vec![bands], Vec::new())?;
    let Some(count) = arguments.length(evaluator, "count")? else { return Ok(all) };
    first_of_last(evaluator, arguments, all, count)
}

fn first_of_last<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    value: Value<'a>,
    count: usize,
) -> Result<Value<'a>, Stop> {
    let array = evaluator.operand(&value, arguments.place())?;
    let axes = array.axes(&evaluator.graph).len();
    let mut indices = vec![Value::Slice(None, None, 1); axes.saturating_sub(1)];
    indices.push(Value::Slice(None, i64::try_from(count).ok(), 1));
    evaluator.part(&array, &indices, arguments.at("count"))
}
