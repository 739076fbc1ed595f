//! Images on the device, as Pillow computes them: decoding, modes, sizes, parts and turns.
//!
//! An [`Image`] is its pixels row by row, without gaps, channels together. Whatever its bytes are, nothing here panics,
//! and nothing is allocated before its size has been compared with the [`Limits`].

mod bmp;
mod colour;
mod convert;
mod dither;
mod errors;
mod exif;
mod geometry;
mod gif;
mod jpeg;
mod opencv;
mod png;
mod pnm;
mod reduce;
mod resample;
mod resize;
mod webp;

use ekiben_runtime::artifact::image::{Mode, PassOrder};

pub use errors::{DecodeError, ImageError};

/// What an image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a file.
    pub max_bytes: usize,
    /// Most pixels of an image, and of every image that is made of it.
    pub max_pixels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_pixels: 50_000_000 }
    }
}

/// What a file says about transparent pixels of an image that has no alpha channel: Pillow's `info["transparency"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transparency {
    /// The alpha of the first colours of a palette.
    Alphas(Vec<u8>),
    /// The position in a palette, or the gray, that is transparent.
    One(u16),
    /// The colour that is transparent.
    Colour([u16; 3]),
}

/// An image: pixels of one mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    mode: Mode,
    width: usize,
    height: usize,
    data: Vec<u8>,
    /// Red, green and blue of each position; black where the file has none.
    palette: Option<Box<[[u8; 3]; 256]>>,
    transparency: Option<Transparency>,
    orientation: u8,
    max_pixels: usize,
    order: PassOrder,
}

impl Image {
    /// An image of these pixels, within the default [`Limits`].
    ///
    /// # Errors
    /// Where the size is over the limit, or is not the size of the data.
    pub fn new(mode: Mode, width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        let max_pixels = Limits::default().max_pixels;
        let needed = byte_count(mode, width, height, max_pixels)?;
        if needed != data.len() {
            return Err(ImageError::Data { mode: mode.name(), width, height, needed, given: data.len() });
        }
        let palette = (mode == Mode::P).then(grays);
        Ok(Self {
            mode,
            width,
            height,
            data,
            palette,
            transparency: None,
            orientation: 1,
            max_pixels,
            order: PassOrder::default(),
        })
    }

    /// What its pixels are.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Pixels of a row.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The pixels: rows from the top, [`Mode::channels`] values of [`Mode::value_bytes`] bytes each.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The pixels, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// EXIF's orientation, 1 to 8; 1 where the file has none.
    pub const fn orientation(&self) -> u8 {
        self.orientation
    }

    /// The same image, whose sizes change in this order.
    #[must_use]
    pub fn with_pass_order(self, order: PassOrder) -> Self {
        Self { order, ..self }
    }

    /// The order in which [`Image::resize`] goes along rows and columns.
    pub const fn pass_order(&self) -> PassOrder {
        self.order
    }

    /// Bytes of one pixel.
    const fn pixel_bytes(&self) -> usize {
        self.mode.channels() * self.mode.value_bytes()
    }

    /// An image of other pixels with what this one knows besides them. The caller has checked the size.
    fn with_pixels(&self, width: usize, height: usize, data: Vec<u8>) -> Self {
        Self {
            mode: self.mode,
            width,
            height,
            data,
            palette: self.palette.clone(),
            transparency: self.transparency.clone(),
            orientation: self.orientation,
            max_pixels: self.max_pixels,
            order: self.order,
        }
    }

    /// An image of another mode and the same size, whose palette and transparency are gone.
    fn with_mode(&self, mode: Mode, data: Vec<u8>) -> Self {
        Self {
            mode,
            width: self.width,
            height: self.height,
            data,
            palette: None,
            transparency: None,
            orientation: self.orientation,
            max_pixels: self.max_pixels,
            order: self.order,
        }
    }
}

/// A palette of grays.
fn grays() -> Box<[[u8; 3]; 256]> {
    palette_of((0..=255).map(|gray| [gray; 3]))
}

/// The palette of these colours, black after them. `colours` are red, green, blue.
fn palette_of(colours: impl Iterator<Item = [u8; 3]>) -> Box<[[u8; 3]; 256]> {
    let mut palette = Box::new([[0; 3]; 256]);
    for (place, colour) in palette.iter_mut().zip(colours) {
        *place = colour;
    }
    palette
}

/// Bytes of an image's pixels.
fn byte_count(mode: Mode, width: usize, height: usize, max_pixels: usize) -> Result<usize, ImageError> {
    width
        .checked_mul(height)
        .filter(|&pixels| pixels <= max_pixels)
        .and_then(|pixels| pixels.checked_mul(mode.channels() * mode.value_bytes()))
        .ok_or(ImageError::Size { width, height, max_pixels })
}

/// Reads an image of any known format, which its first bytes tell.
///
/// # Errors
/// Where the bytes are no image of a known format, are damaged, or are more than `limits` allow.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    if bytes.len() > limits.max_bytes {
        return Err(DecodeError::Bytes { given: bytes.len(), max: limits.max_bytes });
    }
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => png::decode(bytes, limits),
        [0xff, 0xd8, 0xff, ..] => jpeg::decode(bytes, limits),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => gif::decode(bytes, limits),
        [b'B', b'M', ..] => bmp::decode(bytes, limits),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::decode(bytes, limits),
        [b'P', b'1'..=b'6', b' ' | b'\t'..=b'\r', ..] => pnm::decode(bytes, limits),
        _ => Err(DecodeError::Unknown { first: bytes.iter().take(8).copied().collect() }),
    }
}

/// The check of a size that a header declares, before anything is allocated.
fn checked_size(format: &'static str, size: (usize, usize), limits: &Limits) -> Result<(), DecodeError> {
    let (width, height) = size;
    if width == 0 || height == 0 {
        return Err(DecodeError::damaged(format, None, format!("it declares {width} x {height} pixels")));
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= limits.max_pixels => Ok(()),
        _ => Err(DecodeError::Size { format, width, height, max_pixels: limits.max_pixels }),
    }
}
