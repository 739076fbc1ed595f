//! Pixels of planes: upsampled and converted row by row.

use super::frame::{Component, Frame};
use super::upsample::Plane;

/// What the components of a file are.
#[derive(Clone, Copy)]
enum Colours {
    Gray,
    Rgb,
    YCbCr,
    Cmyk,
    Ycck,
}

impl Colours {
    /// As libjpeg guesses it.
    fn of(frame: &Frame, jfif: bool, adobe: Option<u8>) -> Self {
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (ids.as_slice(), adobe) {
            ([_], _) => Self::Gray,
            ([_, _, _], Some(0)) if !jfif => Self::Rgb,
            (b"RGB", None) if !jfif => Self::Rgb,
            ([_, _, _], _) => Self::YCbCr,
            (_, None | Some(0)) => Self::Cmyk,
            _ => Self::Ycck,
        }
    }
}

/// Tables from the two colour differences to red, green and blue, in 16 bits behind the point.
struct Tables {
    red: [i32; 256],
    blue: [i32; 256],
    green_of_red: [i32; 256],
    green_of_blue: [i32; 256],
}

/// A factor with 16 bits behind the point.
const fn fixed(factor: f64) -> i32 {
    (factor * 65536.0 + 0.5) as i32
}

impl Tables {
    fn new() -> Self {
        let table = |f: fn(i32) -> i32| std::array::from_fn(|value| f(value as i32 - 128));
        Self {
            red: table(|x| (fixed(1.402) * x + 0x8000) >> 16),
            blue: table(|x| (fixed(1.772) * x + 0x8000) >> 16),
            green_of_red: table(|x| -fixed(0.71414) * x),
            green_of_blue: table(|x| -fixed(0.34414) * x + 0x8000),
        }
    }

    fn rgb(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let (y, cb, cr) = (i32::from(y), usize::from(cb), usize::from(cr));
        let green = (self.green_of_blue[cb] + self.green_of_red[cr]) >> 16;
        [y + self.red[cr], y + green, y + self.blue[cb]].map(|value| value.clamp(0, 255) as u8)
    }
}

/// The pixels of a frame: gray, red green blue, or inks as Adobe's programs write them, inverted.
pub(super) fn pixels(mut frame: Frame, jfif: bool, adobe: Option<u8>) -> Vec<u8> {
    frame.components.iter_mut().for_each(Component::place_all);
    let colours = Colours::of(&frame, jfif, adobe);
    let tables = Tables::new();
    let planes: Vec<&Plane> = frame.components.iter().map(|component| &component.plane).collect();
    let row_bytes = frame.width * planes.len();
    let mut data = vec![0; row_bytes * frame.height];
    let mut rows = vec![Vec::new(); planes.len()];
    for (y, out) in data.chunks_exact_mut(row_bytes).enumerate() {
        for (plane, row) in planes.iter().zip(&mut rows) {
            plane.upsampled(y, row);
        }
        tables.row(colours, &rows, out);
    }
    data
}

impl Tables {
    /// A row of pixels, of its components' samples.
    fn row(&self, colours: Colours, rows: &[Vec<u8>], out: &mut [u8]) {
        match (colours, rows) {
            (Colours::Gray, [gray]) => out.iter_mut().zip(gray).for_each(|(out, &gray)| *out = gray),
            (Colours::Rgb, [r, g, b]) => placed(out, |x| [r[x], g[x], b[x]]),
            (Colours::YCbCr, [luma, cb, cr]) => placed(out, |x| self.rgb([luma[x], cb[x], cr[x]])),
            (Colours::Cmyk, [c, m, y, k]) => placed(out, |x| [c[x], m[x], y[x], k[x]].map(|ink| 255 - ink)),
            (_, [luma, cb, cr, k]) => placed(out, |x| {
                let [r, g, b] = self.rgb([luma[x], cb[x], cr[x]]);
                [r, g, b, 255 - k[x]]
            }),
            _ => {}
        }
    }
}

/// Puts a pixel at each place of a row.
fn placed<const N: usize>(row: &mut [u8], pixel: impl Fn(usize) -> [u8; N]) {
    for (place, x) in row.as_chunks_mut::<N>().0.iter_mut().zip(0..) {
        *place = pixel(x);
    }
}
