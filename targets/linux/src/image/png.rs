//! PNG: decoded by the crate `png` to the bits of the file, which become the modes that Pillow gives them.

use std::borrow::Cow;
use std::io::Cursor;

use ekiben_runtime::artifact::image::{Mode, PassOrder};
use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};

use super::{DecodeError, Image, ImageError, Limits, Transparency, byte_count, checked_size, exif, palette_of};

const FORMAT: &str = "PNG";

/// Most bytes that one compressed byte stands for.
const MOST_PER_BYTE: usize = 1032;

/// What the pixels of a file are.
#[derive(Clone, Copy)]
struct Layout {
    mode: Mode,
    /// Bits of a sample.
    bits: u8,
    /// Samples of a pixel.
    samples: usize,
}

impl Layout {
    fn of(color: ColorType, depth: BitDepth) -> Self {
        let mode = match (color, depth) {
            (ColorType::Grayscale, BitDepth::One) => Mode::Bilevel,
            (ColorType::Grayscale, BitDepth::Sixteen) => Mode::I16,
            (ColorType::Grayscale, _) => Mode::L,
            (ColorType::Rgb, _) => Mode::Rgb,
            (ColorType::Indexed, _) => Mode::P,
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) | (ColorType::Rgba, _) => Mode::Rgba,
            (ColorType::GrayscaleAlpha, _) => Mode::La,
        };
        Self { mode, bits: depth as u8, samples: color.samples() }
    }

    /// One row in Pillow's mode: samples of 16 bits lose the lower eight except in gray.
    fn row(self, row: &[u8], width: usize, data: &mut Vec<u8>) {
        match (self.bits, self.mode) {
            (8, _) => data.extend_from_slice(row),
            (16, Mode::I16) => data.extend(row.as_chunks::<2>().0.iter().flat_map(|&[high, low]| [low, high])),
            (16, Mode::Rgba) if self.samples == 2 => {
                let pixels = row.as_chunks::<4>().0.iter();
                data.extend(pixels.flat_map(|&[gray, _, alpha, _]| [gray, gray, gray, alpha]));
            }
            (16, _) => data.extend(row.as_chunks::<2>().0.iter().map(|&[high, _]| high)),
            (bits, mode) => {
                let most = (1_u8 << bits) - 1;
                let factor = if mode == Mode::P { 1 } else { 255 / most };
                let per_byte = usize::from(8 / bits);
                data.extend((0..width).map(|x| {
                    let byte = row.get(x / per_byte).copied().unwrap_or(0);
                    let shift = 8 - usize::from(bits) * (x % per_byte + 1);
                    ((byte >> shift) & most) * factor
                }));
            }
        }
    }
}

/// Reads a PNG image; of an animation, its default image.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(problem)?;
    let (width, height) = (header.width as usize, header.height as usize);
    checked_size(FORMAT, (width, height), limits)?;
    decoder.set_limits(png::Limits { bytes: limits.max_pixels.saturating_mul(8).saturating_add(limits.max_bytes) });
    let mut reader = decoder.read_info().map_err(problem)?;
    let info = reader.info();
    let layout = Layout::of(info.color_type, info.bit_depth);
    let palette = (layout.mode == Mode::P)
        .then(|| palette_of(info.palette.as_deref().unwrap_or_default().as_chunks::<3>().0.iter().copied()));
    let transparency = info.trns.as_deref().and_then(|trns| transparency(layout.mode, trns));
    let size = reader.output_buffer_size().unwrap_or(usize::MAX);
    if size > limits.max_pixels.saturating_mul(8) {
        return Err(DecodeError::Size { format: FORMAT, width, height, max_pixels: limits.max_pixels });
    }
    if size / MOST_PER_BYTE > bytes.len() {
        return Err(DecodeError::damaged(FORMAT, None, format!("{} bytes cannot hold its pixels", bytes.len())));
    }
    let mut packed = vec![0; size];
    let frame = reader.next_frame(&mut packed).map_err(problem)?;
    // What follows the pixels may state an orientation; damage there is not damage of the image.
    let _ = reader.finish();
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, exif::orientation);
    let needed = byte_count(layout.mode, width, height, limits.max_pixels).map_err(|error| unlikely(&error))?;
    let mut data = Vec::with_capacity(needed);
    for row in packed.chunks_exact(frame.line_size.max(1)).take(height) {
        layout.row(row, width, &mut data);
    }
    if data.len() != needed {
        return Err(DecodeError::damaged(FORMAT, None, format!("it has {} bytes of pixels for {needed}", data.len())));
    }
    let max_pixels = limits.max_pixels;
    Ok(Image {
        mode: layout.mode,
        width,
        height,
        data,
        palette,
        transparency,
        orientation,
        max_pixels,
        order: PassOrder::default(),
    })
}

fn unlikely(error: &ImageError) -> DecodeError {
    DecodeError::damaged(FORMAT, None, error.to_string())
}

/// What the chunk `tRNS` says, as Pillow reads it.
fn transparency(mode: Mode, trns: &[u8]) -> Option<Transparency> {
    // The decoder gives what belongs to samples of a byte and less as bytes.
    let short = matches!((mode, trns.len()), (Mode::Bilevel | Mode::L, 1) | (Mode::Rgb, 3));
    let number = |at: usize| {
        if short {
            return trns.get(at / 2).copied().map(u16::from);
        }
        Some(u16::from_be_bytes([*trns.get(at)?, *trns.get(at + 1)?]))
    };
    match mode {
        Mode::P => {
            let mut opaque = trns.iter().enumerate().filter(|&(_, &alpha)| alpha != 255);
            match (opaque.next(), opaque.next()) {
                (Some((index, 0)), None) => Some(Transparency::One(u16::try_from(index).ok()?)),
                _ => Some(Transparency::Alphas(trns.to_vec())),
            }
        }
        Mode::Bilevel => Some(Transparency::One(if number(0)? == 0 { 0 } else { 255 })),
        Mode::L | Mode::I16 => Some(Transparency::One(number(0)?)),
        Mode::Rgb => Some(Transparency::Colour([number(0)?, number(2)?, number(4)?])),
        _ => None,
    }
}

impl Image {
    /// The image as a PNG file, of the same mode.
    ///
    /// # Errors
    /// In modes that PNG does not have, and for an empty image.
    pub fn to_png(&self) -> Result<Vec<u8>, ImageError> {
        let refused = || ImageError::Mode { what: "PNG", mode: self.mode.name() };
        let (color, depth) = match self.mode {
            Mode::Bilevel => (ColorType::Grayscale, BitDepth::One),
            Mode::L => (ColorType::Grayscale, BitDepth::Eight),
            Mode::I16 => (ColorType::Grayscale, BitDepth::Sixteen),
            Mode::La => (ColorType::GrayscaleAlpha, BitDepth::Eight),
            Mode::P => (ColorType::Indexed, BitDepth::Eight),
            Mode::Rgb => (ColorType::Rgb, BitDepth::Eight),
            Mode::Rgba => (ColorType::Rgba, BitDepth::Eight),
            Mode::Cmyk | Mode::YCbCr | Mode::Hsv | Mode::I | Mode::F => return Err(refused()),
        };
        let (width, height) = (u32::try_from(self.width), u32::try_from(self.height));
        let (Ok(width), Ok(height)) = (width, height) else { return Err(refused()) };
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = &self.palette {
            encoder.set_palette(palette.as_flattened().to_vec());
        }
        if let Some(trns) = self.trns() {
            encoder.set_trns(trns);
        }
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&self.packed())?;
            writer.finish()
        });
        written.map_err(|_| ImageError::Size {
            width: self.width,
            height: self.height,
            max_pixels: self.max_pixels,
        })?;
        Ok(file)
    }

    /// What the chunk `tRNS` says of this image.
    fn trns(&self) -> Option<Vec<u8>> {
        match (self.transparency.as_ref()?, self.mode) {
            (Transparency::Alphas(alphas), Mode::P) => Some(alphas.clone()),
            (Transparency::One(index), Mode::P) => {
                let mut alphas = vec![255; usize::from(*index).min(255)];
                alphas.push(0);
                Some(alphas)
            }
            (Transparency::One(gray), Mode::Bilevel) => Some(vec![0, u8::from(*gray != 0)]),
            (Transparency::One(gray), Mode::I16) => Some(gray.to_be_bytes().to_vec()),
            // Of a colour of 16 bits the low byte is what counts among bytes.
            (Transparency::One(gray), Mode::L) => Some(vec![0, *gray as u8]),
            (Transparency::Colour(colour), Mode::Rgb) => {
                Some(colour.iter().flat_map(|value| [0, *value as u8]).collect())
            }
            _ => None,
        }
    }

    /// The pixels as PNG has them.
    fn packed(&self) -> Cow<'_, [u8]> {
        match self.mode {
            Mode::Bilevel => {
                let bits = |pixels: &[u8]| {
                    let bit = |(at, &pixel): (usize, &u8)| u8::from(pixel != 0) << (7 - at);
                    pixels.iter().enumerate().map(bit).sum::<u8>()
                };
                self.data.chunks(self.width.max(1)).flat_map(|row| row.chunks(8).map(bits)).collect()
            }
            Mode::I16 => self.data.as_chunks::<2>().0.iter().flat_map(|&[low, high]| [high, low]).collect(),
            _ => Cow::Borrowed(&self.data),
        }
    }
}

fn problem(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::LimitsExceeded => DecodeError::unsupported(FORMAT, "parts that take more memory than allowed"),
        other => DecodeError::damaged(FORMAT, None, other.to_string()),
    }
}
