//! What can be wrong with an image, and with what is asked of it.

use thiserror::Error;

/// Why bytes are no image that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No known format.
    #[error(
        "the image starts with the bytes {first:02x?}, which no format that can be read starts with: send PNG, JPEG, \
             BMP, GIF, WebP, PPM or PGM"
    )]
    Unknown {
        /// The first bytes.
        first: Vec<u8>,
    },
    /// A file over the limit.
    #[error("the image has {given} bytes, {max} at most")]
    Bytes {
        /// Its bytes.
        given: usize,
        /// The limit.
        max: usize,
    },
    /// A size over the limit.
    #[error("the {format} image declares {width} x {height} pixels, {max_pixels} in all at most: send a smaller one")]
    Size {
        /// The format's name.
        format: &'static str,
        /// Declared width.
        width: usize,
        /// Declared height.
        height: usize,
        /// The limit.
        max_pixels: usize,
    },
    /// A file that breaks the rules of its format.
    #[error("the {format} image is damaged{}: {what}", place(.offset))]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// Where, in bytes from the start.
        offset: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// A part of the format that is not read.
    #[error("the {format} image has {what}, which is not read: save it in another way")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// What it has.
        what: String,
    },
}

/// Where, as words.
fn place(offset: &Option<usize>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}

impl DecodeError {
    pub(super) fn damaged(format: &'static str, offset: Option<usize>, what: impl Into<String>) -> Self {
        Self::Damaged { format, offset, what: what.into() }
    }

    pub(super) fn unsupported(format: &'static str, what: impl Into<String>) -> Self {
        Self::Unsupported { format, what: what.into() }
    }
}

/// Why an image cannot become what is asked for.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ImageError {
    /// A size over the limit.
    #[error("the image would have {width} x {height} pixels, {max_pixels} in all at most")]
    Size {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The limit.
        max_pixels: usize,
    },
    /// Pixels that are not as many as the size says.
    #[error("an image of {width} x {height} pixels of mode {mode:?} takes {needed} bytes, {given} are given")]
    Data {
        /// Pillow's name of the mode.
        mode: &'static str,
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// Bytes that it takes.
        needed: usize,
        /// Bytes that are given.
        given: usize,
    },
    /// A mode that cannot be had from another one.
    #[error("mode {from:?} does not become mode {to:?}: convert it to RGB first")]
    Convert {
        /// Pillow's name of the image's mode.
        from: &'static str,
        /// Pillow's name of the mode that is asked for.
        to: &'static str,
    },
    /// A mode with which something cannot be done.
    #[error("{what} does not take images of mode {mode:?}: convert it first")]
    Mode {
        /// What is done.
        what: &'static str,
        /// Pillow's name of the image's mode.
        mode: &'static str,
    },
    /// A part that is not in the image, or empty.
    #[error("the part {left}, {top}, {right}, {bottom} is empty or not within the image of {width} x {height} pixels")]
    Part {
        /// Left bound.
        left: f64,
        /// Upper bound.
        top: f64,
        /// Right bound.
        right: f64,
        /// Lower bound.
        bottom: f64,
        /// The image's width.
        width: usize,
        /// The image's height.
        height: usize,
    },
    /// A number that is out of its range.
    #[error("{what} is {given}, and must be {needed}")]
    Number {
        /// What the number is.
        what: &'static str,
        /// The number.
        given: f64,
        /// Its range.
        needed: &'static str,
    },
}
