//! Convolutions whose taps move.

use super::window::Sliding;

/// How channels are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deformation {
    /// Groups of channels that filters see.
    pub groups: usize,
    /// Groups of channels whose taps move together.
    pub offset_groups: usize,
}

/// `out[p, o] = bias[o] + sum over the taps, then the channels c of o's group, of weight[o, tap, c] * mask[p, tap] * input(q, c)`, where q is the
/// tap's place plus `offsets[p, tap]` (rows, columns) and input(q) lies between four pixels, those outside the image being 0. Formula: the
/// operator `DeformConv` of ONNX 1.23. Weights are `[outputs, kernel height, kernel width, channels / groups]`, offsets `[…, offset groups,
/// kernel height, kernel width, 2]`, the mask `[…, offset groups, kernel height, kernel width]`, without which it is 1.
pub fn deform_conv(
    sliding: &Sliding,
    how: &Deformation,
    input: &[f32],
    weights: &[f32],
    (offsets, mask): (&[f32], Option<&[f32]>),
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let (channels, outputs) = (sliding.input.channels, sliding.output.channels);
    let (groups, offset_groups) = (how.groups.max(1), how.offset_groups.max(1));
    let (width, per_group, together) = (channels / groups, outputs / groups, channels / offset_groups);
    let taps = sliding.kernel[0].saturating_mul(sliding.kernel[1]);
    let moved = taps.saturating_mul(offset_groups);
    if width == 0 || per_group == 0 || together == 0 || moved == 0 || sliding.output.elements() == 0 {
        return;
    }
    let images = input.chunks_exact(sliding.input.elements());
    let mut places = offsets.chunks_exact(moved.saturating_mul(2));
    let mut masks = mask.unwrap_or_default().chunks_exact(moved);
    for (image, out) in images.zip(out.chunks_exact_mut(sliding.output.elements())) {
        for (number, pixel) in out.chunks_exact_mut(outputs).enumerate() {
            pixel.fill(0.0);
            let (places, masks) = (places.next().unwrap_or_default(), masks.next().unwrap_or_default());
            let (row, column) = (number / sliding.output.width.max(1), number % sliding.output.width.max(1));
            for tap in 0..taps {
                for group in 0..offset_groups {
                    let at = group * taps + tap;
                    let offset = places.get(at * 2..at * 2 + 2).unwrap_or_default();
                    let corners = Corners::new(sliding, [row, column], tap, offset);
                    let mask = masks.get(at).copied().unwrap_or(1.0);
                    for c in group * together..(group + 1) * together {
                        let x = corners.value(image, channels, c) * mask;
                        let first = c / width * per_group;
                        let filters = weights.chunks_exact(taps * width).skip(first);
                        let sums = pixel.iter_mut().skip(first).take(per_group);
                        for (sum, filter) in sums.zip(filters) {
                            *sum += x * filter.get(tap * width + c % width).copied().unwrap_or(0.0);
                        }
                    }
                }
            }
            for (out, &bias) in pixel.iter_mut().zip(bias.unwrap_or_default()) {
                *out += bias;
            }
        }
    }
}

/// The four pixels around a place, with their weights; `None` outside the image.
struct Corners([(Option<usize>, f32); 4]);

impl Corners {
    fn new(sliding: &Sliding, position: [usize; 2], tap: usize, offset: &[f32]) -> Self {
        let taps = [tap / sliding.kernel[1].max(1), tap % sliding.kernel[1].max(1)];
        let axes = [sliding.window.rows, sliding.window.columns];
        let mut place = [0.0; 2];
        for (axis, place) in place.iter_mut().enumerate() {
            let window = &axes[axis];
            let start = position[axis] as f32 * window.stride as f32 - window.before as f32;
            *place = start + taps[axis] as f32 * window.dilation as f32 + offset.get(axis).copied().unwrap_or(0.0);
        }
        let [y, x] = place.map(libm::floorf);
        let [ly, lx] = [place[0] - y, place[1] - x];
        let inside = |at: f32, length: usize| (at >= 0.0 && at < length as f32).then_some(at as usize);
        let pixel = |y: f32, x: f32| {
            Some(inside(y, sliding.input.height)? * sliding.input.width + inside(x, sliding.input.width)?)
        };
        Self([
            (pixel(y, x), (1.0 - ly) * (1.0 - lx)),
            (pixel(y, x + 1.0), (1.0 - ly) * lx),
            (pixel(y + 1.0, x), ly * (1.0 - lx)),
            (pixel(y + 1.0, x + 1.0), ly * lx),
        ])
    }

    fn value(&self, image: &[f32], channels: usize, channel: usize) -> f32 {
        self.0.iter().fold(0.0, |sum, &(pixel, weight)| {
            let x = pixel.and_then(|pixel| image.get(pixel.saturating_mul(channels).saturating_add(channel)));
            sum + x.map_or(0.0, |x| weight * x)
        })
    }
}
