//! The standard normal distribution, in f64.

use core::f64::consts::FRAC_1_SQRT_2;

use libm::{erf, erfc, fabs, log, sqrt};

/// `coefficients[0] + coefficients[1] * x + …`.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, &c| sum * x + c)
}

/// Share of the distribution that lies below `x`.
pub fn share(x: f64) -> f64 {
    let z = x * FRAC_1_SQRT_2;
    if fabs(z) < FRAC_1_SQRT_2 {
        0.5 + 0.5 * erf(z)
    } else if z > 0.0 {
        1.0 - 0.5 * erfc(z)
    } else {
        0.5 * erfc(-z)
    }
}

/// Value below which the share `p` of the distribution lies: minus and plus infinity for 0 and 1, NaN outside of them.
///
/// M. J. Wichura's algorithm AS 241 (PPND16): rational functions around the middle and of sqrt(-ln p) in the tails, accurate to about
/// one part in 10^16.
pub fn quantile(p: f64) -> f64 {
    const MIDDLE: [&[f64]; 2] = [
        &[
            3.387_132_872_796_366_5,
            1.331_416_678_917_843_8e2,
            1.971_590_950_306_551_3e3,
            1.373_169_376_550_946e4,
            4.592_195_393_154_987e4,
            6.726_577_092_700_87e4,
            3.343_057_558_358_813e4,
            2.509_080_928_730_122_7e3,
        ],
        &[
            1.0,
            4.231_333_070_160_091e1,
            6.871_870_074_920_579e2,
            5.394_196_021_424_751e3,
            2.121_379_430_158_659_7e4,
            3.930_789_580_009_271e4,
            2.872_908_573_572_194_3e4,
            5.226_495_278_852_854e3,
        ],
    ];
    const NEAR: [&[f64]; 2] = [
        &[
            1.423_437_110_749_683_5,
            4.630_337_846_156_546,
            5.769_497_221_460_691,
            3.647_848_324_763_204_5,
            1.270_458_252_452_368_4,
            2.417_807_251_774_506e-1,
            2.272_384_498_926_918_4e-2,
            7.745_450_142_783_414e-4,
        ],
        &[
            1.0,
            2.053_191_626_637_759,
            1.676_384_830_183_803_8,
            6.897_673_349_851e-1,
            1.481_039_764_274_800_8e-1,
            1.519_866_656_361_645_7e-2,
            5.475_938_084_995_345e-4,
            1.050_750_071_644_416_9e-9,
        ],
    ];
    const FAR: [&[f64]; 2] = [
        &[
            6.657_904_643_501_103,
            5.463_784_911_164_114,
            1.784_826_539_917_291_3,
            2.965_605_718_285_048_7e-1,
            2.653_218_952_657_612_4e-2,
            1.242_660_947_388_078_4e-3,
            2.711_555_568_743_487_6e-5,
            2.010_334_399_292_288_1e-7,
        ],
        &[
            1.0,
            5.998_322_065_558_88e-1,
            1.369_298_809_227_358e-1,
            1.487_536_129_085_061_5e-2,
            7.868_691_311_456_133e-4,
            1.846_318_317_510_054_8e-5,
            1.421_511_758_316_446e-7,
            2.044_263_103_389_939_8e-15,
        ],
    ];
    let ratio = |x: f64, [above, below]: [&[f64]; 2]| polynomial(x, above) / polynomial(x, below);
    let q = p - 0.5;
    if fabs(q) <= 0.425 {
        return q * ratio(0.180_625 - q * q, MIDDLE);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 || tail.is_nan() {
        return if tail == 0.0 { f64::INFINITY * q } else { f64::NAN };
    }
    let r = sqrt(-log(tail));
    let size = if r <= 5.0 { ratio(r - 1.6, NEAR) } else { ratio(r - 5.0, FAR) };
    if q < 0.0 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by `scipy.special.ndtri` and `ndtr`.
    #[test]
    fn quantiles_and_shares() {
        let known = [
            (1e-300, -37.047_096_299_361_2),
            (1e-20, -9.262_340_089_798_409),
            (1e-7, -5.199_337_582_192_817),
            (0.025, -1.959_963_984_540_054_5),
            (0.3, -0.524_400_512_708_040_9),
            (0.500_000_1, 2.506_628_273_311_648e-7),
            (0.9, 1.281_551_565_544_600_8),
            (0.999_999_9, 5.199_337_582_290_661),
        ];
        for (p, x) in known {
            let found = quantile(p);
            assert!((found - x).abs() <= 1e-14 * x.abs(), "{p}: {found} {x}");
            let back = share(x);
            assert!((back - p).abs() <= 1e-12 * p, "{x}: {back} {p}");
        }
        assert_eq!([quantile(0.0), quantile(0.5), quantile(1.0)], [f64::NEG_INFINITY, 0.0, f64::INFINITY]);
        assert!([-0.1, 1.1, f64::NAN, f64::INFINITY].iter().all(|&p| quantile(p).is_nan()));
    }
}
