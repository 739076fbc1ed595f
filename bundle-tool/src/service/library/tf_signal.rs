//! `tf.signal`: spectra, mel bands and cepstra as TensorFlow computes them. Time stands before the bins: `[…, frames, bins]`.

use ekiben_runtime::ops::unary::UnaryKind;

use super::Function;
use super::numpy::create::{mat_mul, product};
use super::numpy::element::{absolute, each, square};
use super::sound::{Options, computed_audio, signal};
use crate::audio::{self, Bands, Frames, MelNorm, MelScale, Taper, Window};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("tensorflow.signal.stft", stft),
    ("tensorflow.signal.linear_to_mel_weight_matrix", mel_weights),
    ("tensorflow.signal.mfccs_from_log_mel_spectrograms", mfccs),
    ("tensorflow.abs", absolute),
    ("tensorflow.math.abs", absolute),
    ("tensorflow.math.log", |evaluator, call| each(evaluator, call, UnaryKind::Log)),
    ("tensorflow.square", square),
    ("tensorflow.math.square", square),
    ("tensorflow.matmul", product),
    ("tensorflow.linalg.matmul", product),
    ("tensorflow.tensordot", tensor_product),
];

/// Windows that TensorFlow names; all are periodic where nothing is said.
const WINDOWS: [(&str, Taper); 2] =
    [("tensorflow.signal.hann_window", Taper::Hann), ("tensorflow.signal.hamming_window", Taper::Hamming)];

fn needed<'a>(evaluator: &Evaluator<'_, 'a>, options: &Options<'a>, name: &str) -> Result<usize, Stop> {
    match options.length(evaluator, name)? {
        Some(length) => Ok(length),
        None => evaluator.fail(options.place, format!("`{name}` is needed")),
    }
}

/// `tf.signal.stft(signals, frame_length, frame_step, …)`: complex numbers. Zeros stand behind a frame that is shorter than the
/// transform.
fn stft<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let names = ["signals", "frame_length", "frame_step", "fft_length", "window_fn", "pad_end"];
    let options = Options::bind(evaluator, call, names)?;
    let given = signal(evaluator, options.get("signals"), call)?;
    let length = needed(evaluator, &options, "frame_length")?;
    let step = needed(evaluator, &options, "frame_step")?;
    let transform = options.length(evaluator, "fft_length")?.unwrap_or(length.next_power_of_two());
    if options.flag(evaluator, "pad_end")?.unwrap_or(false) {
        return evaluator.fail(call.place, "`pad_end=True` is not compiled");
    }
    let taper = match options.get("window_fn") {
        None => Taper::Hann,
        Some(Value::None) => Taper::Boxcar,
        Some(Value::Path(path)) if WINDOWS.iter().any(|(name, _)| *name == &**path) => {
            WINDOWS.iter().find(|(name, _)| *name == &**path).map_or(Taper::Hann, |(_, taper)| *taper)
        }
        Some(other) => return evaluator.fail(call.place, format!("{} is not compiled as a window", other.describe())),
    };
    if transform < length {
        return evaluator.fail(call.place, "a transform shorter than the frame is not compiled");
    }
    let mut window = options.checked(evaluator, Window::tensorflow(taper, length, true).values())?;
    window.resize(transform, 0.0);
    let frames = Frames { step, window, centred: None };
    let samples = evaluator.graph.shape(given.tensor).factors().last().map_or(0, |&samples| samples as usize);
    // Frames are counted by their own length, not the transform's.
    let Some(count) = samples.checked_sub(length).map(|rest| rest / step + 1) else {
        return evaluator.fail(call.place, format!("{samples} samples are less than a frame of {length}"));
    };
    let behind = ((count - 1) * step + transform).saturating_sub(samples);
    let tensor = computed_audio(evaluator, call.place, |graph| {
        let long = if behind > 0 { audio::zeros_behind(graph, given.tensor, behind)? } else { given.tensor };
        audio::spectrum(graph, long, &frames)
    })?;
    Ok(Value::Complex(given.with_tensor(tensor)))
}

/// `tf.tensordot(a, b, 1)`: the last axis of one with the first of the other.
fn tensor_product<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["a", "b", "axes"])? {
        [Some(a), Some(b), Some(Value::Int(1))] => mat_mul(evaluator, &a, &b, call.place).map(Value::Array),
        _ => evaluator.fail(call.place, "`tensordot` is compiled with axes=1"),
    }
}

/// `tf.signal.linear_to_mel_weight_matrix(…)`: a constant `[bins, bands]` of float32.
fn mel_weights<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let names = ["num_mel_bins", "num_spectrogram_bins", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"];
    let options = Options::bind(evaluator, call, names)?;
    let bands = Bands {
        sample_rate: options.number(evaluator, "sample_rate")?.unwrap_or(8000.0),
        bins: options.length(evaluator, "num_spectrogram_bins")?.unwrap_or(129),
        bands: options.length(evaluator, "num_mel_bins")?.unwrap_or(20),
        edges: [
            options.number(evaluator, "lower_edge_hertz")?.unwrap_or(125.0),
            options.number(evaluator, "upper_edge_hertz")?.unwrap_or(3800.0),
        ],
        scale: MelScale::Htk,
        norm: MelNorm::Peak,
        straight_in_mels: true,
    };
    let weights = options.checked(evaluator, bands.weights())?;
    let narrow: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
    let added = evaluator.graph.add_constant("bands", ekiben_runtime::DType::F32, &[bands.bins, bands.bands], &narrow);
    Ok(Value::Array(Array::whole(evaluator.constant(added, call.place)?)))
}

/// `tf.signal.mfccs_from_log_mel_spectrograms(x)`: a cosine transform over `sqrt(2 N)`.
fn mfccs<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let options = Options::bind(evaluator, call, ["log_mel_spectrograms"])?;
    let given = signal(evaluator, options.get("log_mel_spectrograms"), call)?;
    let bands = evaluator.graph.shape(given.tensor).factors().last().map_or(0, |&bands| bands as usize);
    let scale = |_, length: usize| (2.0 * length as f64).sqrt().recip();
    let tensor =
        computed_audio(evaluator, call.place, |graph| audio::cosine_transform(graph, given.tensor, bands, scale))?;
    Ok(Value::Array(given.with_tensor(tensor)))
}
