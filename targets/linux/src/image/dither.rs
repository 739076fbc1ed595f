//! Black and white of grays: Floyd and Steinberg's spread of errors, in sixteenths, as Pillow carries it along.

use super::colour::byte;

/// Bytes 0 and 255 for rows of grays. A gray over 128 is white; its error goes to the right and to the row below.
pub(super) fn bilevel(grays: impl Iterator<Item = u8>, width: usize, height: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height);
    let mut grays = grays;
    let mut below = vec![0_i32; width + 1];
    for _ in 0..height {
        let (mut carried, mut one_left, mut two_left) = (0, 0, 0);
        for x in 0..width {
            let gray = i32::from(grays.next().unwrap_or(0));
            let value = i32::from(byte(gray + (carried + below[x + 1]) / 16));
            let white = value > 128;
            pixels.push(if white { 255 } else { 0 });
            let error = if white { value - 255 } else { value };
            below[x] = 3 * error + one_left;
            one_left = 5 * error + two_left;
            two_left = error;
            carried = 7 * error;
        }
        below[width] = one_left;
    }
    pixels
}
