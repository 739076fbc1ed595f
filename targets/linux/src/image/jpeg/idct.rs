//! The inverse cosine transform of eight by eight coefficients: Loeffler, Ligtenberg and Moschytz's, in integers with
//! 13 bits behind the point, which is libjpeg's accurate one.

/// Bits behind the point of a factor.
const FACTOR_BITS: u32 = 13;
/// Bits behind the point between the two passes.
const PASS_BITS: u32 = 2;

/// A factor in fixed point.
const fn fixed(factor: f64) -> i32 {
    (factor * (1 << FACTOR_BITS) as f64 + 0.5) as i32
}

/// The eight sums of one row or column, before they are rounded.
fn transformed(c: [i32; 8]) -> [i32; 8] {
    let times = |value: i32, factor: i32| value.wrapping_mul(factor);
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;

    let z1 = times(add(c[2], c[6]), const { fixed(0.541196100) });
    let low = sub(z1, times(c[6], const { fixed(1.847759065) }));
    let high = add(z1, times(c[2], const { fixed(0.765366865) }));
    let sum = add(c[0], c[4]).wrapping_shl(FACTOR_BITS);
    let difference = sub(c[0], c[4]).wrapping_shl(FACTOR_BITS);
    let even = [add(sum, high), add(difference, low), sub(difference, low), sub(sum, high)];

    let [z1, z2, z3, z4] = [add(c[7], c[1]), add(c[5], c[3]), add(c[7], c[3]), add(c[5], c[1])];
    let z5 = times(add(z3, z4), const { fixed(1.175875602) });
    let z1 = times(z1, const { -fixed(0.899976223) });
    let z2 = times(z2, const { -fixed(2.562915447) });
    let z3 = add(times(z3, const { -fixed(1.961570560) }), z5);
    let z4 = add(times(z4, const { -fixed(0.390180644) }), z5);
    let odd = [
        add(times(c[1], const { fixed(1.501321110) }), add(z1, z4)),
        add(times(c[3], const { fixed(3.072711026) }), add(z2, z3)),
        add(times(c[5], const { fixed(2.053119869) }), add(z2, z4)),
        add(times(c[7], const { fixed(0.298631336) }), add(z1, z3)),
    ];

    let mut out = [0; 8];
    for i in 0..4 {
        out[i] = add(even[i], odd[i]);
        out[7 - i] = sub(even[i], odd[i]);
    }
    out
}

/// Samples of 64 coefficients in natural order, times their quantisation steps. Numbers that no encoder writes may
/// wrap.
pub(super) fn samples(coefficients: &[i16; 64], steps: &[u16; 64]) -> [u8; 64] {
    let mut between = [0_i32; 64];
    for x in 0..8 {
        let column =
            std::array::from_fn(|y| i32::from(coefficients[y * 8 + x]).wrapping_mul(i32::from(steps[y * 8 + x])));
        for (y, value) in transformed(column).into_iter().enumerate() {
            between[y * 8 + x] = descaled(value, FACTOR_BITS - PASS_BITS);
        }
    }
    let mut samples = [0; 64];
    for (row, out) in between.as_chunks::<8>().0.iter().zip(samples.as_chunks_mut::<8>().0) {
        *out = transformed(*row)
            .map(|value| (descaled(value, FACTOR_BITS + PASS_BITS + 3).wrapping_add(128)).clamp(0, 255) as u8);
    }
    samples
}

/// Divided by a power of two, rounded.
const fn descaled(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_its_mean_alone_is_flat() {
        let mut coefficients = [0; 64];
        coefficients[0] = 40;
        assert_eq!(samples(&coefficients, &[4; 64]), [148; 64]);
    }

    #[test]
    fn any_coefficients_give_samples() {
        let extremes = [i16::MIN, i16::MAX, 0, -1];
        for value in extremes {
            samples(&[value; 64], &[u16::MAX; 64]);
        }
    }
}
