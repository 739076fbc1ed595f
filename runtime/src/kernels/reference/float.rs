//! The two float types that kernels compute in.

use core::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($argument:ident),*): $f32:path, $f64:path;)*) => {
        /// `f32` or `f64`, with `libm`'s functions: the same bits on every device.
        pub trait Float:
            bytemuck::Pod
            + crate::tensor::Element
            + PartialOrd
            + Add<Output = Self>
            + Sub<Output = Self>
            + Mul<Output = Self>
            + Div<Output = Self>
            + Neg<Output = Self>
        {
            /// 0.
            const ZERO: Self;
            /// 1.
            const ONE: Self;
            /// Minus infinity.
            const NEG_INFINITY: Self;
            /// The nearest value to an `f64`.
            fn from_f64(value: f64) -> Self;
            /// The value, exactly.
            fn to_f64(self) -> f64;
            /// True for NaN.
            fn is_nan(self) -> bool;
            $($(#[$doc])* fn $name(self $(, $argument: Self)*) -> Self;)*
        }
        impl Float for f32 {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = f32::NEG_INFINITY;
            fn from_f64(value: f64) -> Self { value as f32 }
            fn to_f64(self) -> f64 { self.into() }
            fn is_nan(self) -> bool { self != self }
            $(fn $name(self $(, $argument: Self)*) -> Self { $f32(self $(, $argument)*) })*
        }
        impl Float for f64 {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = f64::NEG_INFINITY;
            fn from_f64(value: f64) -> Self { value }
            fn to_f64(self) -> f64 { self }
            fn is_nan(self) -> bool { self != self }
            $(fn $name(self $(, $argument: Self)*) -> Self { $f64(self $(, $argument)*) })*
        }
    };
}

functions! {
    /// Absolute value.
    abs(): libm::fabsf, libm::fabs;
    /// e to the power of the value.
    exp(): libm::expf, libm::exp;
    /// exp - 1 without cancellation.
    expm1(): libm::expm1f, libm::expm1;
    /// Natural logarithm.
    ln(): libm::logf, libm::log;
    /// ln(1 + value) without cancellation.
    ln_1p(): libm::log1pf, libm::log1p;
    /// Square root, correctly rounded.
    sqrt(): libm::sqrtf, libm::sqrt;
    /// Hyperbolic tangent.
    tanh(): libm::tanhf, libm::tanh;
    /// Gauss error function.
    erf(): libm::erff, libm::erf;
    /// Largest integer not above the value.
    floor(): libm::floorf, libm::floor;
    /// Smallest integer not below the value.
    ceil(): libm::ceilf, libm::ceil;
    /// Nearest integer, ties to even.
    round_even(): libm::rintf, libm::rint;
    /// Sine.
    sin(): libm::sinf, libm::sin;
    /// Cosine.
    cos(): libm::cosf, libm::cos;
    /// Tangent.
    tan(): libm::tanf, libm::tan;
    /// Inverse sine.
    asin(): libm::asinf, libm::asin;
    /// Inverse cosine.
    acos(): libm::acosf, libm::acos;
    /// Inverse tangent.
    atan(): libm::atanf, libm::atan;
    /// Hyperbolic sine.
    sinh(): libm::sinhf, libm::sinh;
    /// Hyperbolic cosine.
    cosh(): libm::coshf, libm::cosh;
    /// Inverse hyperbolic sine.
    asinh(): libm::asinhf, libm::asinh;
    /// Inverse hyperbolic cosine.
    acosh(): libm::acoshf, libm::acosh;
    /// Inverse hyperbolic tangent.
    atanh(): libm::atanhf, libm::atanh;
    /// The value to the power of y.
    pow(y): libm::powf, libm::pow;
    /// Logarithm to base 2.
    log2(): libm::log2f, libm::log2;
    /// Logarithm to base 10.
    log10(): libm::log10f, libm::log10;
    /// 2 to the power of the value.
    exp2(): libm::exp2f, libm::exp2;
    /// Cube root.
    cbrt(): libm::cbrtf, libm::cbrt;
    /// Nearest integer towards zero.
    trunc(): libm::truncf, libm::trunc;
    /// Remainder of the division by y, with the sign of the value.
    rem(y): libm::fmodf, libm::fmod;
}
