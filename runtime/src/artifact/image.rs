//! Words for images in a manifest: their modes, filters and turns, as Pillow names them.

use serde::{Deserialize, Serialize};

/// What the pixels of an image are: Pillow's modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Black or white, one byte per pixel here: 0 or 255.
    #[serde(rename = "1")]
    Bilevel,
    /// Gray, 8 bits.
    L,
    /// Gray with alpha.
    #[serde(rename = "LA")]
    La,
    /// Positions in a palette.
    P,
    /// Red, green, blue.
    #[serde(rename = "RGB")]
    Rgb,
    /// Red, green, blue with alpha.
    #[serde(rename = "RGBA")]
    Rgba,
    /// Cyan, magenta, yellow, black.
    #[serde(rename = "CMYK")]
    Cmyk,
    /// Luma and two colour differences.
    #[serde(rename = "YCbCr")]
    YCbCr,
    /// Hue, saturation, value.
    #[serde(rename = "HSV")]
    Hsv,
    /// Signed integers of 32 bits, little-endian.
    I,
    /// Floats of 32 bits, little-endian.
    F,
    /// Unsigned integers of 16 bits, little-endian.
    #[serde(rename = "I;16")]
    I16,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 12] = [
        Self::Bilevel,
        Self::L,
        Self::La,
        Self::P,
        Self::Rgb,
        Self::Rgba,
        Self::Cmyk,
        Self::YCbCr,
        Self::Hsv,
        Self::I,
        Self::F,
        Self::I16,
    ];

    /// Pillow's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bilevel => "1",
            Self::L => "L",
            Self::La => "LA",
            Self::P => "P",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::Cmyk => "CMYK",
            Self::YCbCr => "YCbCr",
            Self::Hsv => "HSV",
            Self::I => "I",
            Self::F => "F",
            Self::I16 => "I;16",
        }
    }

    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Values of one pixel.
    pub const fn channels(self) -> usize {
        match self {
            Self::Bilevel | Self::L | Self::P | Self::I | Self::F | Self::I16 => 1,
            Self::La => 2,
            Self::Rgb | Self::YCbCr | Self::Hsv => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Bytes of one value.
    pub const fn value_bytes(self) -> usize {
        match self {
            Self::I | Self::F => 4,
            Self::I16 => 2,
            _ => 1,
        }
    }
}

/// How the pixels of another size are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Pillow's `NEAREST`.
    Nearest,
    /// Pillow's `BOX`.
    Box,
    /// Pillow's `BILINEAR`: a triangle as wide as the scale.
    Bilinear,
    /// Pillow's `HAMMING`.
    Hamming,
    /// Pillow's `BICUBIC`, a = -0.5.
    Bicubic,
    /// Pillow's `LANCZOS`, three lobes.
    Lanczos,
    /// OpenCV's `INTER_NEAREST`.
    OpencvNearest,
    /// OpenCV's `INTER_LINEAR`.
    OpencvLinear,
    /// OpenCV's `INTER_CUBIC`, a = -0.75.
    OpencvCubic,
    /// OpenCV's `INTER_AREA`.
    OpencvArea,
}

/// A turn or mirroring: Pillow's `Transpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// `FLIP_LEFT_RIGHT`.
    FlipLeftRight,
    /// `FLIP_TOP_BOTTOM`.
    FlipTopBottom,
    /// `ROTATE_90`, counter-clockwise.
    Rotate90,
    /// `ROTATE_180`.
    Rotate180,
    /// `ROTATE_270`.
    Rotate270,
    /// `TRANSPOSE`: over the main diagonal.
    Transpose,
    /// `TRANSVERSE`: over the other diagonal.
    Transverse,
}
