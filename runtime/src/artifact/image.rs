//! Images in a manifest: what an adapter does with one before it is a tensor. Modes, filters and turns are named as Pillow names them.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::tensor::DType;

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

    /// Element type of the mode's tensor.
    pub const fn dtype(self) -> DType {
        match self {
            Self::Bilevel => DType::Bool,
            Self::I => DType::I32,
            Self::F => DType::F32,
            Self::I16 => DType::U16,
            _ => DType::U8,
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

/// How an image of a request becomes tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The tensors that are made of it.
    pub uses: Vec<ImageUse>,
    /// The order in which sizes change.
    #[serde(default, skip_serializing_if = "PassOrder::is_by_shape")]
    pub order: PassOrder,
}

/// The order in which another size is computed; it decides about roundings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassOrder {
    /// Along the columns first where more than twice as many rows as columns go, else along the rows: Pillow from 13.0 on.
    #[default]
    ByShape,
    /// Along the rows first: Pillow before.
    RowsFirst,
}

impl PassOrder {
    /// The order of a release of Pillow: `12.3.0`.
    pub fn of_pillow(release: &str) -> Self {
        let major = release.split('.').next().and_then(|major| major.trim().parse::<u32>().ok());
        if major.is_some_and(|major| major < 13) { Self::RowsFirst } else { Self::ByShape }
    }

    fn is_by_shape(&self) -> bool {
        *self == Self::ByShape
    }
}

/// One tensor that is made of an image: `[height, width]`, with channels last where its mode has several, and rows before where each
/// row has an image.
///
/// Values are of [`Mode::dtype`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageUse {
    /// What is done with the image, in order.
    pub steps: Vec<ImageStep>,
    /// Index of the API's input.
    pub input: u32,
}

/// What is done with an image before it is a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageStep {
    /// Another mode, as Pillow's `convert` makes it.
    Convert(Mode),
    /// Colours as OpenCV's `imdecode` gives them: blue first, with the EXIF orientation carried out.
    OpencvDecoded,
    /// Nothing, where the image has this mode; an error otherwise.
    Require(Mode),
    /// Another size.
    Resize {
        /// Width of the result.
        width: Measure,
        /// Height of the result.
        height: Measure,
        /// How its pixels are computed.
        filter: Filter,
        /// Left, upper, right and lower bound of the part that is taken; all without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<[Measure; 4]>,
        /// Pillow's `reducing_gap`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reducing_gap: Option<f64>,
    },
    /// The part between left, upper, right and lower bound, each rounded; zeros outside of the image.
    Crop([Measure; 4]),
    /// A turn or mirroring.
    Turn(Turn),
    /// The turn that the EXIF data ask for.
    ExifTranspose,
    /// Pillow's `ImageOps.fit`: the largest part of these proportions, resized.
    Fit {
        /// Width of the result.
        width: u32,
        /// Height of the result.
        height: u32,
        /// How its pixels are computed.
        filter: Filter,
        /// Where the part lies, from 0 to 1 on both axes.
        centering: [f64; 2],
    },
    /// The shorter side gets this length, the other one in proportion, as in torchvision's `Resize`.
    ShorterSide {
        /// Its length.
        length: u32,
        /// How pixels are computed.
        filter: Filter,
    },
    /// The middle of these lengths, with zeros around an image that is smaller, as torchvision's `CenterCrop` cuts it.
    CenterCrop {
        /// Width of the result.
        width: u32,
        /// Height of the result.
        height: u32,
    },
    /// The channels in the other order.
    ReverseChannels,
    /// Gray of colours as OpenCV's `cvtColor` computes it.
    OpencvGray {
        /// Whether blue comes first.
        blue_first: bool,
    },
}

/// A length that the size of an image decides about, computed as Python computes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A number.
    Constant(f64),
    /// The image's width after so many steps.
    Width(u32),
    /// The image's height after so many steps.
    Height(u32),
    /// Lengths computed with.
    Of(MeasureKind, Vec<Measure>),
}

/// How lengths are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// `a + b`.
    Add,
    /// `a - b`.
    Subtract,
    /// `a * b`.
    Multiply,
    /// `a / b`.
    Divide,
    /// `a // b`.
    FloorDivide,
    /// `min(a, …)`.
    Min,
    /// `max(a, …)`.
    Max,
    /// `int(a)`.
    Truncate,
    /// `round(a)`, halves to even.
    Round,
}

/// Deepest nesting of a [`Measure`].
pub const MAX_MEASURE_DEPTH: usize = 32;

impl Measure {
    /// Its value; `sizes` are the image's widths and heights before the first step and after each one. `None` where a step is not there, a
    /// divisor is zero, or it is nested too deeply.
    pub fn value(&self, sizes: &[(u32, u32)]) -> Option<f64> {
        self.value_within(sizes, MAX_MEASURE_DEPTH)
    }

    fn value_within(&self, sizes: &[(u32, u32)], depth: usize) -> Option<f64> {
        let depth = depth.checked_sub(1)?;
        match self {
            Self::Constant(number) => Some(*number),
            Self::Width(steps) => sizes.get(*steps as usize).map(|size| f64::from(size.0)),
            Self::Height(steps) => sizes.get(*steps as usize).map(|size| f64::from(size.1)),
            Self::Of(kind, operands) => {
                let mut values = operands.iter().map(|operand| operand.value_within(sizes, depth));
                let first = values.next()??;
                match kind {
                    MeasureKind::Truncate => Some(first.trunc()),
                    MeasureKind::Round => Some(first.round_ties_even()),
                    MeasureKind::Min => values.try_fold(first, |least, next| Some(next?.min(least))),
                    MeasureKind::Max => values.try_fold(first, |most, next| Some(next?.max(most))),
                    binary => combined(*binary, first, values.next()??),
                }
            }
        }
    }
}

/// Two numbers computed with; `None` for a division by zero.
fn combined(kind: MeasureKind, a: f64, b: f64) -> Option<f64> {
    Some(match kind {
        MeasureKind::Add => a + b,
        MeasureKind::Subtract => a - b,
        MeasureKind::Multiply => a * b,
        MeasureKind::Divide if b != 0.0 => a / b,
        MeasureKind::FloorDivide if b != 0.0 => (a / b).floor(),
        _ => return None,
    })
}
