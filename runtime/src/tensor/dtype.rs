//! Element types.

/// Type of a tensor's elements. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum DType {
    /// One byte, 0 or 1 (any other byte reads as true).
    Bool = 1,
    /// 8-bit signed integer.
    I8 = 2,
    /// 16-bit signed integer.
    I16 = 3,
    /// 32-bit signed integer.
    I32 = 4,
    /// 64-bit signed integer.
    I64 = 5,
    /// 8-bit unsigned integer.
    U8 = 6,
    /// 16-bit unsigned integer.
    U16 = 7,
    /// 32-bit unsigned integer.
    U32 = 8,
    /// 64-bit unsigned integer.
    U64 = 9,
    /// IEEE 754 binary16.
    F16 = 10,
    /// The upper half of a binary32.
    BF16 = 11,
    /// IEEE 754 binary32.
    F32 = 12,
    /// IEEE 754 binary64.
    F64 = 13,
    /// 4-bit signed integers, two to a byte, the earlier one in the low half.
    I4 = 14,
    /// 4-bit unsigned integers, two to a byte, the earlier one in the low half.
    U4 = 15,
    /// `u32` index into a list of strings; [`DType::UNKNOWN_CATEGORY`] stands for none of them.
    Category = 16,
    /// Bytes of text; the last axis is the declared maximum, unused bytes are zero.
    Text = 17,
    /// 8-bit float of 4 exponent and 3 mantissa bits, without infinities (E4M3FN). Like the types after it: stored, cast and dequantised
    /// only.
    F8E4M3FN = 18,
    /// As [`DType::F8E4M3FN`] with a bias of 8 and without a negative zero, whose code is NaN.
    F8E4M3FNUZ = 19,
    /// 8-bit float of 5 exponent and 2 mantissa bits.
    F8E5M2 = 20,
    /// As [`DType::F8E5M2`] with a bias of 16, without infinities and without a negative zero, whose code is NaN.
    F8E5M2FNUZ = 21,
    /// A power of two: `2^(code - 127)`; 255 is NaN.
    F8E8M0 = 22,
    /// 4-bit floats of 2 exponent bits and 1 mantissa bit, two to a byte, the earlier one in the low half.
    F4E2M1 = 23,
    /// 2-bit signed integers, four to a byte, the earliest one in the lowest bits.
    I2 = 24,
    /// 2-bit unsigned integers, four to a byte, the earliest one in the lowest bits.
    U2 = 25,
}

impl DType {
    /// The category that is none of the table's strings.
    pub const UNKNOWN_CATEGORY: u32 = u32::MAX;

    /// All types, by code.
    pub const ALL: [Self; 25] = [
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::F16,
        Self::BF16,
        Self::F32,
        Self::F64,
        Self::I4,
        Self::U4,
        Self::Category,
        Self::Text,
        Self::F8E4M3FN,
        Self::F8E4M3FNUZ,
        Self::F8E5M2,
        Self::F8E5M2FNUZ,
        Self::F8E8M0,
        Self::F4E2M1,
        Self::I2,
        Self::U2,
    ];

    /// Elements of whole bytes that stand for a number: the two floats that are computed with, then the integers, then bool, then the floats of
    /// 16 bits, which are stored.
    pub const WHOLE: [Self; 13] = [
        Self::F32,
        Self::F64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::Bool,
        Self::F16,
        Self::BF16,
    ];

    /// The floats and integers of [`Self::WHOLE`].
    pub fn numbers() -> &'static [Self] {
        &Self::WHOLE[..10]
    }

    /// The integers of [`Self::WHOLE`].
    pub fn integers() -> &'static [Self] {
        &Self::WHOLE[2..10]
    }

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }

    /// Bits of one element.
    pub const fn bits(self) -> u64 {
        match self {
            Self::I2 | Self::U2 => 2,
            Self::I4 | Self::U4 | Self::F4E2M1 => 4,
            Self::Bool | Self::I8 | Self::U8 | Self::Text => 8,
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F8E8M0 => 8,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 16,
            Self::I32 | Self::U32 | Self::F32 | Self::Category => 32,
            Self::I64 | Self::U64 | Self::F64 => 64,
        }
    }

    /// Bytes of `elements` elements, or `None` on overflow.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        Some(elements.checked_mul(self.bits())?.div_ceil(8))
    }

    /// The name that numpy and this project's messages use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::I4 => "int4",
            Self::U4 => "uint4",
            Self::Category => "category",
            Self::Text => "text",
            Self::F8E4M3FN => "float8e4m3fn",
            Self::F8E4M3FNUZ => "float8e4m3fnuz",
            Self::F8E5M2 => "float8e5m2",
            Self::F8E5M2FNUZ => "float8e5m2fnuz",
            Self::F8E8M0 => "float8e8m0",
            Self::F4E2M1 => "float4e2m1",
            Self::I2 => "int2",
            Self::U2 => "uint2",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// True for the floats of 8 bits and less.
    pub const fn is_small_float(self) -> bool {
        matches!(
            self,
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F8E8M0 | Self::F4E2M1
        )
    }

    /// True for the IEEE types and bfloat16.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// True for integers of any width and sign (not bool, not category).
    pub const fn is_integer(self) -> bool {
        matches!(
            self,
            Self::I2
                | Self::U2
                | Self::I4
                | Self::U4
                | Self::I8
                | Self::I16
                | Self::I32
                | Self::I64
                | Self::U8
                | Self::U16
                | Self::U32
                | Self::U64
        )
    }
}

impl core::fmt::Display for DType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that views the elements of some tensors in place.
pub trait Element: bytemuck::Pod {
    /// True when elements of `dtype` are stored as `Self`.
    fn stores(dtype: DType) -> bool;
}

macro_rules! element {
    ($($type:ty => $($dtype:ident)|+;)*) => {$(
        impl Element for $type {
            fn stores(dtype: DType) -> bool {
                matches!(dtype, $(DType::$dtype)|+)
            }
        }
    )*};
}

element! {
    i8 => I8;
    i16 => I16;
    i32 => I32;
    i64 => I64;
    u8 => U8 | Bool | I4 | U4 | Text | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | F4E2M1 | I2 | U2;
    u16 => U16;
    u32 => U32 | Category;
    u64 => U64;
    f32 => F32;
    f64 => F64;
    half::f16 => F16;
    half::bf16 => BF16;
}
