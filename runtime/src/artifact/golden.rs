//! Golden vectors: inputs with expected outputs, by which a device proves itself.
//!
//! The section is a `u32` number of vectors, then each vector:
//!
//! | type | field |
//! |---|---|
//! | u32 | API |
//! | u32 | who computed the outputs: 0 framework, 1 oracle, 2 reference |
//! | u32 | rows of the batch |
//! | f32, f32 | absolute and relative tolerance of float outputs |
//! | per input | u32 0, u32 length, that many bytes; or u32 1, u64 seed, f64 low, f64 high |
//! | per output | u32 length, that many bytes |
//!
//! Nothing in the section is aligned. A seeded input is [`fill`]ed; a float output passes when
//! `|actual - expected| <= absolute + relative * |expected|`, any other output when it is equal.

use super::header::SectionKind;
use super::plans::ApiRecord;
use super::{Artifact, LoadError};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::cast;
use crate::kernels::reference::storage_cast::is_stored_only;
use crate::tensor::{DType, TensorSpec};

/// Who computed the expected outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum Source {
    /// The framework that trained the model: recorded examples, or data given to the compiler.
    Framework = 0,
    /// An independent engine.
    Oracle = 1,
    /// This project's portable kernels on the graph before any optimisation.
    Reference = 2,
}

impl Source {
    fn from_code(code: u32) -> Option<Self> {
        [Self::Framework, Self::Oracle, Self::Reference].get(code as usize).copied()
    }

    /// Code in an artifact.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Name for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framework => "framework",
            Self::Oracle => "oracle",
            Self::Reference => "reference",
        }
    }
}

/// Values of a golden vector's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GoldenInput<'a> {
    /// The elements as they stand in the tensor.
    Stored(&'a [u8]),
    /// Elements made by [`fill`].
    Seeded {
        /// Seed of the generator.
        seed: u64,
        /// Smallest value.
        low: f64,
        /// Largest value.
        high: f64,
    },
}

/// The head of a golden vector; its inputs and outputs follow in the reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VectorHead {
    /// API to run.
    pub api: u32,
    /// Who computed the outputs.
    pub source: Source,
    /// Rows of the batch.
    pub rows: u32,
    /// Absolute tolerance.
    pub absolute: f32,
    /// Relative tolerance.
    pub relative: f32,
}

/// Reads golden vectors one after the other.
#[derive(Clone, Debug)]
pub struct GoldenReader<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl<'a> GoldenReader<'a> {
    /// A reader of an artifact's golden section, which may be empty.
    pub fn new(artifact: &Artifact<'a>) -> Self {
        let mut reader = Reader::new(artifact.section(SectionKind::Golden));
        let left = reader.u32().unwrap_or(0);
        Self { reader, left }
    }

    /// Vectors not yet read.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The next vector's head; its inputs and outputs must then be read, in order.
    pub fn next_head(&mut self) -> Option<Result<VectorHead, BytesError>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.head())
    }

    fn head(&mut self) -> Result<VectorHead, BytesError> {
        let reader = &mut self.reader;
        let api = reader.u32()?;
        let source = Source::from_code(reader.u32()?).ok_or(reader.invalid("source"))?;
        Ok(VectorHead { api, source, rows: reader.u32()?, absolute: reader.f32()?, relative: reader.f32()? })
    }

    /// The next input of the vector.
    pub fn input(&mut self) -> Result<GoldenInput<'a>, BytesError> {
        match self.reader.u32()? {
            0 => self.output().map(GoldenInput::Stored),
            1 => {
                Ok(GoldenInput::Seeded { seed: self.reader.u64()?, low: self.reader.f64()?, high: self.reader.f64()? })
            }
            _ => Err(self.reader.invalid("kind of input")),
        }
    }

    /// The next expected output of the vector.
    pub fn output(&mut self) -> Result<&'a [u8], BytesError> {
        let length = self.reader.u32()? as usize;
        self.reader.take(length)
    }
}

/// Checks that every vector fits its API.
pub(super) fn check(artifact: &Artifact<'_>) -> Result<(), LoadError> {
    let error = |index, problem| LoadError::Record { kind: SectionKind::Golden, index, problem };
    let mut reader = GoldenReader::new(artifact);
    let mut index = 0;
    while let Some(head) = reader.next_head() {
        let head = head.map_err(|_| error(index, "the vector is cut off"))?;
        let api = artifact.api(head.api as usize).ok_or(error(index, "the vector's API is not there"))?;
        let rows_fit = head.rows > 0 && (api.fixed_rows == 0 || api.fixed_rows == head.rows);
        if !rows_fit {
            return Err(error(index, "the vector's rows do not fit the API"));
        }
        check_values(artifact, &api, &head, &mut reader).ok_or(error(index, "a value does not fit its tensor"))?;
        index += 1;
    }
    match reader.reader.finish() {
        Ok(()) => Ok(()),
        Err(_) => Err(error(index, "bytes follow the last vector")),
    }
}

fn check_values(
    artifact: &Artifact<'_>,
    api: &ApiRecord,
    head: &VectorHead,
    reader: &mut GoldenReader<'_>,
) -> Option<()> {
    let bytes = |position: usize| {
        let spec = artifact.api_tensor(api, position)?.spec;
        let rows = if spec.shape.is_batched() { u64::from(head.rows) } else { 1 };
        spec.dtype.bytes(spec.shape.elements()?.checked_mul(rows)?)
    };
    for position in 0..usize::from(api.inputs) {
        match reader.input().ok()? {
            GoldenInput::Stored(values) if values.len() as u64 != bytes(position)? => return None,
            GoldenInput::Seeded { low, high, .. } if !(low.is_finite() && high.is_finite() && low <= high) => {
                return None;
            }
            _ => {}
        }
    }
    for position in 0..usize::from(api.outputs) {
        let values = reader.output().ok()?;
        if values.len() as u64 != bytes(usize::from(api.inputs) + position)? {
            return None;
        }
    }
    Some(())
}

/// One step of SplitMix64 (Steele, Lea and Flood, 2014): advances `state` and returns 64 bits.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Fills a tensor's bytes with values between `low` and `high`, evenly distributed, from [`split_mix`] with `seed`.
///
/// Element `i` takes the `i`th number's upper 53 bits as a fraction `u` of 1. Floats are `low + u * (high - low)`; other types are
/// `floor(low + u * (high - low + 1))`, at most `high`. Types that are only stored are filled byte by byte, as u8.
pub fn fill(seed: u64, low: f64, high: f64, dtype: DType, bytes: &mut [u8]) {
    let mut state = seed;
    let width = (dtype.bits() / 8).max(1) as usize;
    let storage = match dtype {
        DType::Category => DType::U32,
        stored if is_stored_only(stored) => DType::U8,
        other => other,
    };
    for element in bytes.chunks_exact_mut(width) {
        let fraction = (split_mix(&mut state) >> 11) as f64 / (1u64 << 53) as f64;
        let value = if dtype.is_float() {
            low + fraction * (high - low)
        } else {
            libm::fmin(libm::floor(low + fraction * (high - low + 1.0)), high)
        };
        cast::cast_one(DType::F64, &value.to_le_bytes(), storage, element);
    }
}

/// Ranges from which synthetic inputs of a type are drawn, the usual one first. A category input has `categories` strings.
pub const fn sample_ranges(dtype: DType, categories: usize) -> [(f64, f64); 4] {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => [(0.0, 1.0), (-1.0, 1.0), (0.0, 8.0), (-100.0, 100.0)],
        DType::Bool => [(0.0, 1.0); 4],
        DType::I8 => [(-128.0, 127.0); 4],
        DType::U8 => [(0.0, 255.0); 4],
        stored if is_stored_only(stored) => [(0.0, 255.0); 4],
        DType::Category => [(0.0, categories.saturating_sub(1) as f64); 4],
        // Lower-case ASCII letters.
        DType::Text => [(97.0, 122.0); 4],
        _ => [(0.0, 1.0), (0.0, 9.0), (0.0, 99.0), (0.0, 999.0)],
    }
}

/// The first element of `actual` that is farther from `expected` than the tolerance allows: its position, with both values where
/// the type is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Difference {
    /// Position of the element.
    pub element: usize,
    /// Value that the vector expects.
    pub expected: f64,
    /// Value that the run gave.
    pub actual: f64,
}

/// Compares an output with its expected values, both as they stand in the tensor.
pub fn compare(spec: &TensorSpec, head: &VectorHead, expected: &[u8], actual: &[u8]) -> Option<Difference> {
    let width = (spec.dtype.bits() / 8).max(1) as usize;
    let as_float = |bytes: &[u8]| {
        let mut value = [0; 8];
        cast::cast_one(spec.dtype, bytes, DType::F64, &mut value);
        f64::from_le_bytes(value)
    };
    for (element, (expected, actual)) in expected.chunks(width).zip(actual.chunks(width)).enumerate() {
        if expected == actual {
            continue;
        }
        let (expected, actual) = (as_float(expected), as_float(actual));
        let tolerance = f64::from(head.absolute) + f64::from(head.relative) * libm::fabs(expected);
        let close =
            libm::fabs(actual - expected) <= tolerance || actual == expected || (actual.is_nan() && expected.is_nan());
        if !spec.dtype.is_float() || !close {
            return Some(Difference { element, expected, actual });
        }
    }
    (expected.len() != actual.len()).then_some(Difference {
        element: expected.len() / width,
        expected: 0.0,
        actual: 0.0,
    })
}
