//! Functions of one element.

use super::float::Float;
use super::normal;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// A function of one element. The discriminant is the code in an artifact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum UnaryKind {
            $($(#[$doc])* $name = $code,)*
        }

        impl UnaryKind {
            /// All functions.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Code in an artifact.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The function with this code.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.code() == code)
            }
        }
    };
}

kinds! {
    /// x, unchanged.
    Identity = 0;
    /// max(x, 0); NaN stays.
    Relu = 1;
    /// x clipped to alpha..=beta; NaN stays.
    Clip = 2;
    /// x for x >= 0, alpha * x below.
    LeakyRelu = 3;
    /// x for x > 0, alpha * (exp(x) - 1) below.
    Elu = 4;
    /// beta * x for x > 0, beta * alpha * (exp(x) - 1) below.
    Selu = 5;
    /// 1 / (1 + exp(-x)), computed with exp of a negative number only.
    Sigmoid = 6;
    /// alpha * x + beta clipped to 0..=1.
    HardSigmoid = 7;
    /// x * HardSigmoid(x) with alpha and beta.
    HardSwish = 8;
    /// Hyperbolic tangent.
    Tanh = 9;
    /// ln(1 + exp(x)) without overflow.
    Softplus = 10;
    /// x / (1 + |x|).
    Softsign = 11;
    /// x * Sigmoid(x).
    Silu = 12;
    /// x / 2 * (1 + erf(x / sqrt 2)).
    Gelu = 13;
    /// e to the power of x.
    Exp = 14;
    /// Natural logarithm.
    Log = 15;
    /// Square root.
    Sqrt = 16;
    /// -x.
    Neg = 17;
    /// |x|.
    Abs = 18;
    /// 1 / x.
    Reciprocal = 19;
    /// Largest integer not above x.
    Floor = 20;
    /// Smallest integer not below x.
    Ceil = 21;
    /// Nearest integer, ties to even.
    Round = 22;
    /// Gauss error function.
    Erf = 23;
    /// Sine.
    Sin = 24;
    /// Cosine.
    Cos = 25;
    /// -1, 0 or 1; NaN stays.
    Sign = 26;
    /// ln(1 + x).
    Log1p = 27;
    /// exp(x) - 1.
    Expm1 = 28;
    /// x for x > alpha, 0 otherwise.
    ThresholdedRelu = 29;
    /// x * x.
    Square = 30;
    /// alpha * x + beta.
    Affine = 31;
    /// 1 / sqrt(x).
    Rsqrt = 32;
    /// Tangent.
    Tan = 33;
    /// Inverse sine.
    Asin = 34;
    /// Inverse cosine.
    Acos = 35;
    /// Inverse tangent.
    Atan = 36;
    /// Hyperbolic sine.
    Sinh = 37;
    /// Hyperbolic cosine.
    Cosh = 38;
    /// Inverse hyperbolic sine.
    Asinh = 39;
    /// Inverse hyperbolic cosine.
    Acosh = 40;
    /// Inverse hyperbolic tangent.
    Atanh = 41;
    /// alpha * tanh(beta * x).
    ScaledTanh = 110;
    /// Value below which a share x of the standard normal distribution lies: minus and plus infinity for 0 and 1, NaN outside.
    NormalQuantile = 112;
    /// Share of the standard normal distribution that lies below x.
    NormalShare = 113;
    /// Logarithm to base 2.
    Log2 = 114;
    /// Logarithm to base 10.
    Log10 = 115;
    /// 2 to the power of x.
    Exp2 = 116;
    /// Cube root.
    Cbrt = 117;
    /// Nearest integer towards zero.
    Trunc = 118;
    /// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).
    GeluTanh = 130;
    /// x * Sigmoid(alpha * x).
    Swish = 131;
}

/// 1 / (1 + exp(-x)) without overflow: exp is taken of -|x|.
pub fn sigmoid<F: Float>(x: F) -> F {
    let e = Float::exp(-Float::abs(x));
    if x < F::ZERO { e / (F::ONE + e) } else { F::ONE / (F::ONE + e) }
}

/// `x` no smaller than `low` and no larger than `high`; NaN stays.
pub fn clip<F: Float>(x: F, low: F, high: F) -> F {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

fn hard_sigmoid<F: Float>(x: F, alpha: F, beta: F) -> F {
    clip(alpha * x + beta, F::ZERO, F::ONE)
}

/// `x[i] = kind(x[i])`.
pub fn unary<F: Float>(kind: UnaryKind, alpha: F, beta: F, x: &mut [F]) {
    fn map<F: Float>(x: &mut [F], function: impl Fn(F) -> F) {
        for x in x {
            *x = function(*x);
        }
    }
    let (zero, one) = (F::ZERO, F::ONE);
    match kind {
        UnaryKind::Identity => map(x, |x| x),
        UnaryKind::Relu => map(x, |x| if x < zero { zero } else { x }),
        UnaryKind::Clip => map(x, |x| clip(x, alpha, beta)),
        UnaryKind::LeakyRelu => map(x, |x| if x < zero { alpha * x } else { x }),
        UnaryKind::Elu => map(x, |x| if x > zero { x } else { alpha * x.expm1() }),
        UnaryKind::Selu => map(x, |x| if x > zero { beta * x } else { beta * (alpha * x.expm1()) }),
        UnaryKind::Sigmoid => map(x, sigmoid),
        UnaryKind::HardSigmoid => map(x, |x| hard_sigmoid(x, alpha, beta)),
        UnaryKind::HardSwish => map(x, |x| x * hard_sigmoid(x, alpha, beta)),
        UnaryKind::Tanh => map(x, F::tanh),
        UnaryKind::Softplus => map(x, |x| (if x > zero { x } else { zero }) + (-Float::abs(x)).exp().ln_1p()),
        UnaryKind::Softsign => map(x, |x| x / (one + Float::abs(x))),
        UnaryKind::Silu => map(x, |x| x * sigmoid(x)),
        UnaryKind::Gelu => {
            let (half, root) = (F::from_f64(0.5), F::from_f64(core::f64::consts::FRAC_1_SQRT_2));
            map(x, |x| half * x * (one + (x * root).erf()))
        }
        UnaryKind::GeluTanh => {
            let (half, cubic) = (F::from_f64(0.5), F::from_f64(0.044715));
            let root = F::from_f64(0.797_884_560_802_865_4);
            map(x, |x| half * x * (one + (root * (x + cubic * (x * x * x))).tanh()))
        }
        UnaryKind::Swish => map(x, |x| x * sigmoid(alpha * x)),
        UnaryKind::Exp => map(x, F::exp),
        UnaryKind::Log => map(x, F::ln),
        UnaryKind::Sqrt => map(x, F::sqrt),
        UnaryKind::Neg => map(x, |x| -x),
        UnaryKind::Abs => map(x, F::abs),
        UnaryKind::Reciprocal => map(x, |x| one / x),
        UnaryKind::Floor => map(x, F::floor),
        UnaryKind::Ceil => map(x, F::ceil),
        UnaryKind::Round => map(x, F::round_even),
        UnaryKind::Erf => map(x, F::erf),
        UnaryKind::Sin => map(x, F::sin),
        UnaryKind::Cos => map(x, F::cos),
        UnaryKind::Sign => map(x, |x| {
            if x > zero {
                one
            } else if x < zero {
                -one
            } else {
                x
            }
        }),
        UnaryKind::Log1p => map(x, F::ln_1p),
        UnaryKind::Expm1 => map(x, F::expm1),
        UnaryKind::ThresholdedRelu => map(x, |x| if x > alpha { x } else { zero }),
        UnaryKind::Square => map(x, |x| x * x),
        UnaryKind::Affine => map(x, |x| alpha * x + beta),
        UnaryKind::Rsqrt => map(x, |x| one / x.sqrt()),
        UnaryKind::ScaledTanh => map(x, |x| alpha * (beta * x).tanh()),
        UnaryKind::NormalQuantile => map(x, |x| F::from_f64(normal::quantile(x.to_f64()))),
        UnaryKind::NormalShare => map(x, |x| F::from_f64(normal::share(x.to_f64()))),
        UnaryKind::Log2 => map(x, F::log2),
        UnaryKind::Log10 => map(x, F::log10),
        UnaryKind::Exp2 => map(x, F::exp2),
        UnaryKind::Cbrt => map(x, F::cbrt),
        UnaryKind::Trunc => map(x, F::trunc),
        UnaryKind::Tan => map(x, F::tan),
        UnaryKind::Asin => map(x, F::asin),
        UnaryKind::Acos => map(x, F::acos),
        UnaryKind::Atan => map(x, F::atan),
        UnaryKind::Sinh => map(x, F::sinh),
        UnaryKind::Cosh => map(x, F::cosh),
        UnaryKind::Asinh => map(x, F::asinh),
        UnaryKind::Acosh => map(x, F::acosh),
        UnaryKind::Atanh => map(x, F::atanh),
    }
}
