//! PBM, PGM and PPM, in text and in bytes.

use ekiben_runtime::artifact::image::{Mode, PassOrder};

use super::{DecodeError, Image, Limits, byte_count, checked_size};

const FORMAT: &str = "PNM";

/// Most characters of a number.
const MAX_DIGITS: usize = 10;

/// The bytes of a file from some place on.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    /// The next byte that is in no comment.
    fn next_meant(&mut self) -> Option<u8> {
        loop {
            match self.next()? {
                b'#' => while !matches!(self.next()?, b'\r' | b'\n') {},
                byte => return Some(byte),
            }
        }
    }

    /// The next number, and the space after it.
    fn number(&mut self) -> Result<usize, DecodeError> {
        let start = self.at;
        let (mut number, mut digits) = (0_usize, 0);
        loop {
            match self.next_meant() {
                Some(byte) if is_space(byte) && digits == 0 => {}
                Some(byte @ b'0'..=b'9') if digits < MAX_DIGITS => {
                    number = number.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
                    digits += 1;
                }
                Some(byte) if is_space(byte) => return Ok(number),
                None if digits > 0 => return Ok(number),
                _ => return Err(DecodeError::damaged(FORMAT, Some(start), "a number is expected here")),
            }
        }
    }
}

/// What the header states.
struct Header {
    /// Whether samples are written as text.
    plain: bool,
    mode: Mode,
    width: usize,
    height: usize,
    /// The largest sample.
    most: usize,
}

/// Reads an image.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let kind = bytes.get(1).copied().unwrap_or_default();
    let mut reader = Reader { bytes, at: 3 };
    let (width, height) = (reader.number()?, reader.number()?);
    checked_size(FORMAT, (width, height), limits)?;
    let most = if matches!(kind, b'1' | b'4') { 1 } else { reader.number()? };
    if !(1..=0xffff).contains(&most) {
        return Err(DecodeError::damaged(FORMAT, Some(reader.at), format!("its largest sample is {most}")));
    }
    let mode = match kind {
        b'1' | b'4' => Mode::Bilevel,
        b'2' | b'5' if most > 255 => Mode::I,
        b'2' | b'5' => Mode::L,
        _ => Mode::Rgb,
    };
    let header = Header { plain: kind < b'4', mode, width, height, most };
    let needed = byte_count(mode, width, height, limits.max_pixels)
        .map_err(|error| DecodeError::damaged(FORMAT, None, error.to_string()))?;
    let data = header.samples(reader, needed)?;
    let max_pixels = limits.max_pixels;
    Ok(Image {
        mode,
        width,
        height,
        data,
        palette: None,
        transparency: None,
        orientation: 1,
        max_pixels,
        order: PassOrder::default(),
    })
}

impl Header {
    fn samples(&self, mut reader: Reader<'_>, needed: usize) -> Result<Vec<u8>, DecodeError> {
        let samples = self.width * self.height * self.mode.channels();
        let row_bytes = self.width.div_ceil(8);
        let sample_bytes = if self.most > 255 { 2 } else { 1 };
        let raw = reader.bytes.get(reader.at..).unwrap_or_default();
        let stated = match (self.plain, self.mode) {
            (true, _) => samples,
            (false, Mode::Bilevel) => row_bytes * self.height,
            (false, _) => samples * sample_bytes,
        };
        if raw.len() < stated {
            let end = reader.bytes.len();
            return Err(DecodeError::damaged(FORMAT, Some(end), "it ends in the middle of its pixels"));
        }
        let mut data = Vec::with_capacity(needed);
        match (self.plain, self.mode) {
            (true, Mode::Bilevel) => bits(&mut reader, samples, &mut data)?,
            (true, _) => {
                for _ in 0..samples {
                    let at = reader.at;
                    let sample = reader.number()?;
                    if sample > self.most {
                        let what = format!("sample {sample} is over {}", self.most);
                        return Err(DecodeError::damaged(FORMAT, Some(at), what));
                    }
                    self.push(sample, &mut data);
                }
            }
            (false, Mode::Bilevel) => {
                for row in raw.chunks_exact(row_bytes).take(self.height) {
                    data.extend((0..self.width).map(|x| if row[x / 8] >> (7 - x % 8) & 1 == 0 { 255 } else { 0 }));
                }
            }
            (false, _) => {
                for sample in raw.chunks_exact(sample_bytes).take(samples) {
                    let sample = sample.iter().fold(0, |sample, &byte| sample << 8 | usize::from(byte));
                    self.push(sample, &mut data);
                }
            }
        }
        Ok(data)
    }

    /// A sample over the range of its mode, halves to even.
    fn push(&self, sample: usize, data: &mut Vec<u8>) {
        let range = if self.mode == Mode::I { 65535.0 } else { 255.0 };
        let scaled = (sample as f64 / self.most as f64 * range).round_ties_even().min(range);
        if self.mode == Mode::I {
            data.extend_from_slice(&(scaled as i32).to_le_bytes());
        } else {
            data.push(scaled as u8);
        }
    }
}

/// Digits 0 and 1, with or without spaces between them.
fn bits(reader: &mut Reader<'_>, count: usize, data: &mut Vec<u8>) -> Result<(), DecodeError> {
    while data.len() < count {
        let at = reader.at;
        match reader.next_meant() {
            Some(b'0') => data.push(255),
            Some(b'1') => data.push(0),
            Some(byte) if is_space(byte) => {}
            _ => return Err(DecodeError::damaged(FORMAT, Some(at), "0 or 1 is expected here")),
        }
    }
    Ok(())
}
