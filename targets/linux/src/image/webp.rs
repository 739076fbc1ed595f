//! WebP, lossy and lossless, decoded by the crate `image-webp`; of an animation, its first image.

use std::io::Cursor;

use ekiben_runtime::artifact::image::{Mode, PassOrder};
use image_webp::{DecodingError, WebPDecoder};

use super::{DecodeError, Image, Limits, checked_size, exif};

const FORMAT: &str = "WebP";

/// Reads an image: RGB, or RGBA where the file says that it has alpha.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    for size in declared_sizes(bytes, 12, false) {
        checked_size(FORMAT, size, limits)?;
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(problem)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    checked_size(FORMAT, (width, height), limits)?;
    decoder.set_memory_limit(limits.max_pixels.saturating_mul(4).saturating_add(limits.max_bytes));
    let mode = if decoder.has_alpha() { Mode::Rgba } else { Mode::Rgb };
    let mut data = vec![0; width * height * mode.channels()];
    decoder.read_image(&mut data).map_err(problem)?;
    let stated = decoder.exif_metadata().ok().flatten();
    let orientation = stated.as_deref().map_or(1, exif::orientation);
    let max_pixels = limits.max_pixels;
    Ok(Image {
        mode,
        width,
        height,
        data,
        palette: None,
        transparency: None,
        orientation,
        max_pixels,
        order: PassOrder::default(),
    })
}

/// The sizes that the parts of a file declare, each of which the decoder takes memory for. `at` is where the first part
/// starts; the frames of an animation have parts of their own.
fn declared_sizes(bytes: &[u8], mut at: usize, in_frame: bool) -> Vec<(usize, usize)> {
    let mut sizes = Vec::new();
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let start = at + 8;
        let end = start.saturating_add(length).min(bytes.len());
        let part = &bytes[start..end];
        match (&header[..4], part) {
            (b"VP8 ", &[_, _, _, _, _, _, w0, w1, h0, h1, ..]) => {
                let side = |low, high| usize::from(u16::from_le_bytes([low, high]) & 0x3fff);
                sizes.push((side(w0, w1), side(h0, h1)));
            }
            (b"VP8L", &[_, a, b, c, d, ..]) => {
                let bits = u32::from_le_bytes([a, b, c, d]) as usize;
                sizes.push(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
            }
            (b"ANMF", part) if !in_frame => sizes.extend(declared_sizes(part, 16, true)),
            _ => {}
        }
        at = end + length % 2;
    }
    sizes
}

fn problem(error: DecodingError) -> DecodeError {
    DecodeError::damaged(FORMAT, None, error.to_string())
}
