//! Sounds of requests: RIFF WAVE files as signals.

use std::io::Cursor;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::manifest::Sound;
use hound::{SampleFormat, WavReader};

use super::{DataError, InputBuffer};

/// Appends the signal in `file`: the mean of its channels, integers divided by their greatest magnitude.
pub(super) fn push(
    declared: &Sound,
    file: &[u8],
    place: &str,
    inputs: &mut [InputBuffer<'_>],
) -> Result<(), DataError> {
    let refused = |reason: String| DataError::body(place, reason);
    let Some(buffer) = inputs.get_mut(declared.input as usize) else {
        return Err(DataError::body("manifest", "it names an input that is not there"));
    };
    if buffer.spec.dtype != DType::F32 {
        return Err(DataError::body("manifest", "a sound fills an input of float32"));
    }
    let wanted = buffer.elements();
    let signal = decoded(file, wanted, declared.rate).map_err(refused)?;
    if signal.len() != wanted && !declared.fits {
        let reason = format!("a sound of {} samples, the API takes {wanted}", told(signal.len(), wanted));
        return Err(refused(reason));
    }
    let silence = std::iter::repeat_n(0.0, wanted.saturating_sub(signal.len()));
    buffer.bytes.extend(signal.iter().copied().take(wanted).chain(silence).flat_map(f32::to_le_bytes));
    Ok(())
}

/// One sample more than wanted is read, and no more.
fn told(found: usize, wanted: usize) -> String {
    if found > wanted { format!("more than {wanted}") } else { found.to_string() }
}

/// The first samples of a file: one more than `wanted` at most.
fn decoded(file: &[u8], wanted: usize, rate: Option<u32>) -> Result<Vec<f32>, String> {
    let broken = |error: hound::Error| format!("this is no RIFF WAVE file that can be read: {error}");
    let mut reader = WavReader::new(Cursor::new(file)).map_err(broken)?;
    let spec = reader.spec();
    if let Some(rate) = rate.filter(|rate| *rate != spec.sample_rate) {
        return Err(format!("a sound of {} samples a second, the API takes {rate}", spec.sample_rate));
    }
    let channels = usize::from(spec.channels).max(1);
    let most = wanted.saturating_add(1).saturating_mul(channels);
    let samples: Result<Vec<f32>, hound::Error> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().take(most).collect(),
        SampleFormat::Int => {
            let scale = 2_f64.powi(i32::from(spec.bits_per_sample) - 1);
            let scaled = |sample: i32| (f64::from(sample) / scale) as f32;
            reader.samples::<i32>().take(most).map(|sample| sample.map(scaled)).collect()
        }
    };
    let samples = samples.map_err(broken)?;
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    Ok(samples.chunks_exact(channels).map(mean).collect())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    fn wave(channels: u16, bits: u16, format: u16, data: &[u8]) -> Vec<u8> {
        let block = channels * bits / 8;
        let mut out = b"RIFF".to_vec();
        out.extend((36 + data.len() as u32).to_le_bytes());
        out.extend(b"WAVEfmt ");
        out.extend(16_u32.to_le_bytes());
        out.extend(format.to_le_bytes());
        out.extend(channels.to_le_bytes());
        out.extend(8000_u32.to_le_bytes());
        out.extend((8000 * u32::from(block)).to_le_bytes());
        out.extend(block.to_le_bytes());
        out.extend(bits.to_le_bytes());
        out.extend(b"data");
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn integers_and_floats_are_scaled_and_channels_averaged() {
        let bytes = |numbers: &[i16]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        let mono = wave(1, 16, 1, &bytes(&[0, 16384, -32768, 32767]));
        assert_eq!(decoded(&mono, 9, Some(8000)), Ok(vec![0.0, 0.5, -1.0, 32767.0 / 32768.0]));
        assert_eq!(decoded(&mono, 2, None).map(|signal| signal.len()), Ok(3));
        let stereo = wave(2, 16, 1, &bytes(&[16384, -16384, 8192, 8192]));
        assert_eq!(decoded(&stereo, 9, None), Ok(vec![0.0, 0.25]));
        let eight = wave(1, 8, 1, &[128, 255, 0]);
        assert_eq!(decoded(&eight, 9, None), Ok(vec![0.0, 127.0 / 128.0, -1.0]));
        let float = wave(1, 32, 3, &0.75_f32.to_le_bytes());
        assert_eq!(decoded(&float, 9, None), Ok(vec![0.75]));
        assert!(decoded(&mono, 9, Some(16000)).unwrap_err().contains("8000 samples a second"));
    }

    #[test]
    fn damaged_files_are_refused_or_read() {
        let whole = wave(2, 16, 1, &[7; 64]);
        for end in 0..whole.len() {
            let _ = decoded(&whole[..end], 100, None);
        }
        for at in 0..44 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = decoded(&changed, 100, None);
            }
        }
        assert!(decoded(b"no sound", 1, None).is_err());
    }
}
