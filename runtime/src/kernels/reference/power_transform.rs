//! Box-Cox's and Yeo-Johnson's families of functions, and their inverses.

use libm::{copysign, exp, expm1, fabs, log, log1p, pow};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        /// A family of functions of x with a parameter l. The discriminant is the code in an artifact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum PowerKind {
            $($(#[$doc])* $name = $code,)*
        }

        impl PowerKind {
            /// All families.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The family with this code.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|&kind| kind as u8 == code)
            }
        }
    };
}

kinds! {
    /// (x^l - 1) / l as expm1(l * ln x) / l, ln x for l = 0: `scipy.special.boxcox`.
    BoxCox = 0;
    /// ((x + 1)^l - 1) / l for x >= 0, -((1 - x)^(2 - l) - 1) / (2 - l) below, by expm1 and log1p: `scipy.stats.yeojohnson`.
    YeoJohnson = 1;
    /// As `YeoJohnson`, by powers.
    YeoJohnsonByPower = 2;
    /// exp(log1p(l * x) / l), e^x for l = 0: `scipy.special.inv_boxcox`.
    InverseBoxCox = 3;
    /// As `InverseBoxCox`, by a power: (x * l + 1)^(1 / l).
    InverseBoxCoxByPower = 4;
    /// The inverse of Yeo-Johnson's functions, by powers.
    InverseYeoJohnson = 5;
}

/// Distance from 1 to the next larger number: parameters so close to 0 and 2 count as these.
const SPACING: f64 = f64::EPSILON;

impl PowerKind {
    /// The function with parameter `l` at `x`.
    pub fn at(self, x: f64, l: f64) -> f64 {
        match self {
            Self::BoxCox => {
                let scaled = l * log(x);
                if fabs(l) < 1e-19 {
                    log(x)
                } else if scaled < 709.78 {
                    expm1(scaled) / l
                } else {
                    copysign(1.0, l) * exp(scaled - log(fabs(l))) - 1.0 / l
                }
            }
            Self::YeoJohnson if x >= 0.0 => {
                if fabs(l) < SPACING {
                    log1p(x)
                } else {
                    expm1(l * log1p(x)) / l
                }
            }
            Self::YeoJohnson if fabs(l - 2.0) > SPACING => -expm1((2.0 - l) * log1p(-x)) / (2.0 - l),
            Self::YeoJohnsonByPower if x >= 0.0 => {
                if fabs(l) < SPACING {
                    log1p(x)
                } else {
                    (pow(x + 1.0, l) - 1.0) / l
                }
            }
            Self::YeoJohnsonByPower if fabs(l - 2.0) > SPACING => -(pow(1.0 - x, 2.0 - l) - 1.0) / (2.0 - l),
            Self::YeoJohnson | Self::YeoJohnsonByPower => -log1p(-x),
            Self::InverseBoxCox | Self::InverseBoxCoxByPower if l == 0.0 => exp(x),
            Self::InverseBoxCox => {
                if l * x < 1.79e308 {
                    exp(log1p(l * x) / l)
                } else {
                    exp((log(copysign(1.0, l) * (x + 1.0 / l)) + log(fabs(l))) / l)
                }
            }
            Self::InverseBoxCoxByPower => pow(x * l + 1.0, 1.0 / l),
            Self::InverseYeoJohnson if x >= 0.0 => {
                if fabs(l) < SPACING {
                    exp(x) - 1.0
                } else {
                    pow(x * l + 1.0, 1.0 / l) - 1.0
                }
            }
            Self::InverseYeoJohnson if fabs(l - 2.0) > SPACING => 1.0 - pow(-(2.0 - l) * x + 1.0, 1.0 / (2.0 - l)),
            Self::InverseYeoJohnson => 1.0 - exp(-x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverses_undo() {
        let pairs = [
            (PowerKind::BoxCox, PowerKind::InverseBoxCox),
            (PowerKind::BoxCox, PowerKind::InverseBoxCoxByPower),
            (PowerKind::YeoJohnson, PowerKind::InverseYeoJohnson),
            (PowerKind::YeoJohnsonByPower, PowerKind::InverseYeoJohnson),
        ];
        for (kind, inverse) in pairs {
            for l in [-1.5, 0.0, 0.3, 1.0, 2.0, 2.5] {
                for x in [-3.0, -0.25, 0.0, 0.5, 7.0] {
                    if kind == PowerKind::BoxCox && x <= 0.0 {
                        continue;
                    }
                    let back = inverse.at(kind.at(x, l), l);
                    assert!((back - x).abs() < 1e-10, "{kind:?} {l} at {x}: {back}");
                }
                assert!(kind.at(f64::NAN, l).is_nan() && inverse.at(f64::NAN, l).is_nan());
            }
        }
    }
}
