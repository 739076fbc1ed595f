//! Convolutions and their transposes over any number of axes, in f32 or f64.

use super::conv2d::Clamp;
use super::float::Float;
use super::spatial::Sweep;

/// `out[p, o] = clamp(sum over the taps that see a position q, then channels c of o's group, of input[q, c] * weight[o, tap, c], + bias[o])`.
///
/// `input` and `out` are images with the channels last, `channels` and `outputs` of them; weights are `[outputs, taps, channels /
/// groups]`. The sum starts from zero, runs over the taps in C order, then the channels upwards, without fused multiply-add; the bias is
/// added last.
pub fn conv_nd<F: Float>(
    sweep: &Sweep,
    [groups, channels, outputs]: [usize; 3],
    input: &[F],
    weights: &[F],
    bias: Option<&[F]>,
    clamp: Clamp,
    out: &mut [F],
) {
    let groups = groups.max(1);
    let (width, per_group) = (channels / groups, outputs / groups);
    let image = sweep.input.positions().saturating_mul(channels);
    let result = sweep.output.positions().saturating_mul(outputs);
    if width == 0 || per_group == 0 || image == 0 || result == 0 {
        return;
    }
    let filter = sweep.kernel.positions().saturating_mul(width);
    for (image, result) in input.chunks_exact(image).zip(out.chunks_exact_mut(result)) {
        let mut pixels = result.chunks_exact_mut(outputs);
        sweep.output.for_each(|position| {
            let Some(pixel) = pixels.next() else { return };
            pixel.fill(F::ZERO);
            sweep.for_each_tap(position, |tap, at| {
                let seen = image.get(at.saturating_mul(channels)..).unwrap_or_default();
                let filters = weights.get(tap.saturating_mul(width)..).unwrap_or_default().chunks(filter);
                for (number, (sum, filter)) in pixel.iter_mut().zip(filters).enumerate() {
                    let seen = seen.get(number / per_group * width..).unwrap_or_default();
                    *sum = seen.iter().zip(filter).take(width).fold(*sum, |sum, (&x, &w)| sum + x * w);
                }
            });
            finish(pixel, bias, clamp);
        });
    }
}

/// Adds the bias to the sums of a pixel, then applies the activation.
fn finish<F: Float>(pixel: &mut [F], bias: Option<&[F]>, clamp: Clamp) {
    for (out, &bias) in pixel.iter_mut().zip(bias.unwrap_or_default()) {
        *out = *out + bias;
    }
    let (low, high) = (F::from_f64(clamp.low.into()), F::from_f64(clamp.high.into()));
    for out in pixel {
        if *out < low {
            *out = low;
        } else if *out > high {
            *out = high;
        }
    }
}

/// Sums the blocks that [`Sweep`]'s forward window took out of images: `out[n, c, p] = sum over the taps that see a block b of
/// input[n, c, tap, b]`, in the order of the taps from zero. `sweep` is transposed: its input are the blocks, its output the image.
pub fn blocks_to_image<F: Float>(sweep: &Sweep, input: &[F], out: &mut [F]) {
    let (blocks, pixels) = (sweep.input.positions(), sweep.output.positions());
    let columns = blocks.saturating_mul(sweep.kernel.positions());
    if columns == 0 || pixels == 0 {
        return;
    }
    for (columns, image) in input.chunks_exact(columns).zip(out.chunks_exact_mut(pixels)) {
        let mut image = image.iter_mut();
        sweep.output.for_each(|position| {
            let Some(out) = image.next() else { return };
            *out = F::ZERO;
            sweep.for_each_tap(position, |tap, at| {
                let x = columns.get(tap.saturating_mul(blocks).saturating_add(at)).copied();
                *out = *out + x.unwrap_or(F::ZERO);
            });
        });
    }
}
