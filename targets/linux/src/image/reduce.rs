//! Smaller by whole factors: the mean of blocks, as Pillow's `reduce` computes it.

use ekiben_runtime::artifact::image::Mode;

use super::{Image, ImageError};

/// A block of pixels.
#[derive(Clone, Copy)]
struct Block {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// Whether it has as many pixels as the factors say, and not fewer, at a bound.
    full: bool,
}

impl Image {
    /// The image with one pixel for each block of `fx` by `fy` pixels of the part `[left, top, right, bottom]`, all
    /// without one. Blocks at the right and lower bound may be smaller.
    ///
    /// # Errors
    /// Where a factor is zero, the part is empty or not within the image, or the mode has no means: `1`, `P` and
    /// `I;16`.
    pub fn reduce(&self, fx: usize, fy: usize, part: Option<[usize; 4]>) -> Result<Self, ImageError> {
        if fx == 0 || fy == 0 {
            return Err(ImageError::Number { what: "the factor of a reduction", given: 0.0, needed: "1 or more" });
        }
        let [left, top, right, bottom] = part.unwrap_or([0, 0, self.width, self.height]);
        if left >= right || top >= bottom || right > self.width || bottom > self.height {
            return Err(self.bad_part([left, top, right, bottom].map(|bound| bound as f64)));
        }
        if fx == 1 && fy == 1 {
            return self.crop(left as i64, top as i64, right as i64, bottom as i64);
        }
        match self.mode {
            Mode::Bilevel | Mode::P | Mode::I16 => Err(ImageError::Mode { what: "reduce", mode: self.mode.name() }),
            Mode::La | Mode::Rgba => {
                Ok(self.premultiplied().reduced(fx, fy, [left, top, right, bottom]).unmultiplied())
            }
            _ => Ok(self.reduced(fx, fy, [left, top, right, bottom])),
        }
    }

    /// [`Image::reduce`] of checked numbers, alpha being one more channel.
    pub(super) fn reduced(&self, fx: usize, fy: usize, [left, top, right, bottom]: [usize; 4]) -> Self {
        let (width, height) = ((right - left).div_ceil(fx), (bottom - top).div_ceil(fy));
        let mut data = Vec::with_capacity(width * height * self.pixel_bytes());
        for y in 0..height {
            for x in 0..width {
                let (block_left, block_top) = (left + x * fx, top + y * fy);
                let (width, height) = (fx.min(right - block_left), fy.min(bottom - block_top));
                let full = (width, height) == (fx, fy);
                let block = Block { left: block_left, top: block_top, width, height, full };
                match self.mode {
                    Mode::I => data.extend_from_slice(&self.mean_integer(block).to_le_bytes()),
                    Mode::F => data.extend_from_slice(&self.mean_float(block).to_le_bytes()),
                    _ => self.mean_bytes(block, &mut data),
                }
            }
        }
        self.with_pixels(width, height, data)
    }

    /// The mean of each channel: the sum and half the count, times a reciprocal of 24 bits.
    fn mean_bytes(&self, block: Block, data: &mut Vec<u8>) {
        let channels = self.mode.channels();
        let count = (block.width * block.height) as u64;
        let reciprocal = (1_u64 << 24) / count;
        for channel in 0..channels {
            let mut sum = 0_u64;
            for y in block.top..block.top + block.height {
                let start = (y * self.width + block.left) * channels;
                let row = &self.data[start..start + block.width * channels];
                sum += row.iter().skip(channel).step_by(channels).map(|&value| u64::from(value)).sum::<u64>();
            }
            data.push((((sum + count / 2) * reciprocal) >> 24).min(255) as u8);
        }
    }

    fn value(&self, x: usize, y: usize) -> [u8; 4] {
        let at = (y * self.width + x) * 4;
        self.data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default()
    }

    fn mean_integer(&self, block: Block) -> i32 {
        let sum = blockwise(block, |x, y| i32::from_le_bytes(self.value(x, y)), i32::wrapping_add, f64::from);
        rounded(sum * (1.0 / (block.width * block.height) as f64))
    }

    fn mean_float(&self, block: Block) -> f32 {
        let sum = blockwise(block, |x, y| f32::from_le_bytes(self.value(x, y)), |a, b| a + b, f64::from);
        (sum * (1.0 / (block.width * block.height) as f64)) as f32
    }
}

/// The sum of a block in Pillow's order: four pixels are added in their own type, and then to the sum in double
/// precision; where the block is not full, each pixel is added in double precision.
fn blockwise<T: Copy>(
    block: Block,
    at: impl Fn(usize, usize) -> T,
    add: impl Fn(T, T) -> T,
    widened: impl Fn(T) -> f64,
) -> f64 {
    let mut sum = 0.0;
    let (right, bottom) = (block.left + block.width, block.top + block.height);
    let mut y = block.top;
    let most = if block.full { 2 } else { 1 };
    while y < bottom {
        let rows = most.min(bottom - y);
        let mut x = block.left;
        while x < right {
            let columns = most.min(right - x);
            let mut group = None;
            for (x, y) in (y..y + rows).flat_map(|y| (x..x + columns).map(move |x| (x, y))) {
                let value = at(x, y);
                group = Some(group.map_or(value, |group| add(group, value)));
            }
            sum += group.map_or(0.0, &widened);
            x += columns;
        }
        y += rows;
    }
    sum
}

/// The nearest integer, halves away from zero.
pub(super) fn rounded(value: f64) -> i32 {
    if value >= 0.0 { (value + 0.5) as i32 } else { (value - 0.5) as i32 }
}
