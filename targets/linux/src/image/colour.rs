//! Colours from one mode to another, pixel by pixel, as Pillow computes them: in fixed point, truncated.

/// Luma of ITU-R 601-2, in 1/65536, rounded.
pub(super) const fn luma(colour: [u8; 3]) -> u8 {
    let [r, g, b] = [colour[0] as u32, colour[1] as u32, colour[2] as u32];
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

/// Luma in thousandths.
pub(super) const fn luma_thousandths(colour: [u8; 3]) -> i32 {
    colour[0] as i32 * 299 + colour[1] as i32 * 587 + colour[2] as i32 * 114
}

/// `a * b / 255`, rounded.
pub(super) const fn product(a: u8, b: u8) -> u8 {
    let product = a as u32 * b as u32 + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// The nearest byte.
pub(super) fn byte(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

/// One weight of a colour transform, times a value: in 1/64, a half added and truncated towards zero.
fn weighted(weight: f64, value: i32) -> i32 {
    (weight * 64.0 * f64::from(value) + 0.5) as i32
}

/// JFIF's YCbCr and back, by tables.
pub(super) struct YCbCr {
    to: [[[i32; 256]; 3]; 3],
    from: [[i32; 256]; 4],
}

/// What red, green and blue weigh in luma and the two differences.
const TO_YCBCR: [[f64; 3]; 3] = [[0.299, 0.587, 0.114], [-0.16874, -0.33126, 0.5], [0.5, -0.41869, -0.08131]];

/// What the red difference weighs in red, both in green, and the blue one in blue.
const FROM_YCBCR: [f64; 4] = [1.402, -0.71414, -0.34414, 1.772];

impl YCbCr {
    pub(super) fn new() -> Self {
        let table = |weight: f64, zero: i32| -> [i32; 256] {
            let mut table = [0; 256];
            for (entry, value) in table.iter_mut().zip(0..) {
                *entry = weighted(weight, value - zero);
            }
            table
        };
        Self {
            to: TO_YCBCR.map(|weights| weights.map(|weight| table(weight, 0))),
            from: FROM_YCBCR.map(|weight| table(weight, 128)),
        }
    }

    /// Of red, green, blue.
    pub(super) fn of_rgb(&self, colour: [u8; 3]) -> [u8; 3] {
        let sum = |tables: &[[i32; 256]; 3]| -> i32 {
            tables.iter().zip(colour).map(|(table, value)| table[usize::from(value)]).sum::<i32>() >> 6
        };
        [byte(sum(&self.to[0])), byte(sum(&self.to[1]) + 128), byte(sum(&self.to[2]) + 128)]
    }

    /// To red, green, blue.
    pub(super) fn to_rgb(&self, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let (y, cb, cr) = (i32::from(y), usize::from(cb), usize::from(cr));
        [
            byte(y + (self.from[0][cr] >> 6)),
            byte(y + ((self.from[1][cr] + self.from[2][cb]) >> 6)),
            byte(y + (self.from[3][cb] >> 6)),
        ]
    }
}

/// Red, green, blue of cyan, magenta, yellow, black.
pub(super) fn cmyk_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - k;
    [c, m, y].map(|ink| light.saturating_sub(product(ink, light)))
}

/// Hue, saturation, value: in single precision where Pillow has single precision.
pub(super) fn rgb_to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [rc, gc, bc] = [r, g, b].map(|value| f32::from(most - value) / range);
    let hue = if r == most {
        bc - gc
    } else if g == most {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(hue) / 6.0 + 1.0) % 1.0) as f32;
    let scaled = |part: f32| byte((f64::from(part) * 255.0) as i32);
    [scaled(hue), scaled(saturation), most]
}

/// Red, green, blue of hue, saturation, value.
pub(super) fn hsv_to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let sixths = f64::from(h) * 6.0 / 255.0;
    let sector = sixths.floor();
    let part = f64::from((sixths - sector) as f32);
    let saturation = f64::from((f64::from(s) / 255.0) as f32);
    let scaled = |factor: f64| byte((f64::from(v) * factor).round() as i32);
    let low = scaled(1.0 - saturation);
    let falling = scaled(1.0 - saturation * part);
    let rising = scaled(1.0 - saturation * (1.0 - part));
    match sector as u32 % 6 {
        0 => [v, rising, low],
        1 => [falling, v, low],
        2 => [low, v, rising],
        3 => [low, falling, v],
        4 => [rising, low, v],
        _ => [v, low, falling],
    }
}
