//! From one mode to another, as Pillow's `convert` goes: directly where it has a way, else over the mode's base, `L` or
//! `RGB`.

use ekiben_runtime::artifact::image::Mode;

use super::colour::{YCbCr, byte, cmyk_to_rgb, hsv_to_rgb, luma, luma_thousandths, product, rgb_to_hsv};
use super::dither::bilevel;
use super::{Image, ImageError, Transparency, byte_count, grays};

impl Image {
    /// The image in another mode, as Pillow's `convert(mode)` makes it.
    ///
    /// Black and white are dithered. What a file says about a transparent colour becomes alpha in modes with alpha.
    ///
    /// # Errors
    /// [`ImageError::Convert`] for a palette of colours, which would have to be chosen; [`ImageError::Size`] where the
    /// result is over the limit.
    pub fn convert(&self, mode: Mode) -> Result<Self, ImageError> {
        if self.mode == mode {
            return Ok(self.clone());
        }
        if self.mode == Mode::Rgb && mode == Mode::La && self.transparency.is_some() {
            // Colours are compared before they are grays.
            return self.convert(Mode::Rgba)?.convert(Mode::La);
        }
        byte_count(mode, self.width, self.height, self.max_pixels)?;
        let mut converted = match self.direct(mode) {
            Some(converted) => converted,
            None => {
                let base = self.base().filter(|&base| base != self.mode).ok_or_else(|| self.no_way(mode))?;
                let via = self.direct(base).ok_or_else(|| self.no_way(mode))?;
                if via.mode == mode { via } else { via.direct(mode).ok_or_else(|| self.no_way(mode))? }
            }
        };
        self.carry_transparency(&mut converted);
        Ok(converted)
    }

    fn no_way(&self, mode: Mode) -> ImageError {
        ImageError::Convert { from: self.mode.name(), to: mode.name() }
    }

    /// The mode that Pillow goes over.
    const fn base(&self) -> Option<Mode> {
        match self.mode {
            Mode::Bilevel | Mode::L | Mode::La | Mode::I | Mode::F | Mode::I16 => Some(Mode::L),
            Mode::Rgb | Mode::Rgba | Mode::Cmyk | Mode::YCbCr | Mode::Hsv => Some(Mode::Rgb),
            Mode::P => None,
        }
    }

    /// The image in another mode, where Pillow has a way that leads over no third one.
    fn direct(&self, mode: Mode) -> Option<Self> {
        match self.mode {
            Mode::Bilevel | Mode::L => self.of_gray(mode),
            Mode::La => self.of_gray_alpha(mode),
            Mode::P => self.of_palette(mode),
            Mode::Rgb => self.of_colours::<3>(mode),
            Mode::Rgba => self.of_colours::<4>(mode),
            Mode::Cmyk => self.of_cmyk(mode),
            Mode::YCbCr => self.of_ycbcr(mode),
            Mode::Hsv => (mode == Mode::Rgb).then(|| self.mapped(mode, hsv_to_rgb)),
            Mode::I => self.of_integers(mode),
            Mode::F => self.of_floats(mode),
            Mode::I16 => self.of_short_integers(mode),
        }
    }

    /// Every pixel of `A` bytes as one of `B` bytes.
    fn mapped<const A: usize, const B: usize>(&self, mode: Mode, f: impl Fn([u8; A]) -> [u8; B]) -> Self {
        let (pixels, _) = self.data.as_chunks::<A>();
        let mut data = vec![0; pixels.len() * B];
        for (place, pixel) in data.as_chunks_mut::<B>().0.iter_mut().zip(pixels) {
            *place = f(*pixel);
        }
        self.with_mode(mode, data)
    }

    fn of_gray(&self, mode: Mode) -> Option<Self> {
        Some(match mode {
            Mode::Bilevel => self.with_mode(mode, bilevel(self.data.iter().copied(), self.width, self.height)),
            Mode::L => self.mapped(mode, |[gray]| [gray]),
            Mode::La => self.mapped(mode, |[gray]| [gray, 255]),
            Mode::P => Self { palette: Some(grays()), ..self.mapped(mode, |[gray]| [gray]) },
            Mode::Rgb => self.mapped(mode, |[gray]| [gray; 3]),
            Mode::Rgba => self.mapped(mode, |[gray]| [gray, gray, gray, 255]),
            Mode::Cmyk => self.mapped(mode, |[gray]| [0, 0, 0, 255 - gray]),
            Mode::YCbCr => self.mapped(mode, |[gray]| [gray, 128, 128]),
            Mode::Hsv => self.mapped(mode, |[gray]| [0, 0, gray]),
            Mode::I => self.mapped(mode, |[gray]| i32::from(gray).to_le_bytes()),
            Mode::F => self.mapped(mode, |[gray]| f32::from(gray).to_le_bytes()),
            Mode::I16 => self.mapped(mode, |[gray]| u16::from(gray).to_le_bytes()),
        })
    }

    fn of_gray_alpha(&self, mode: Mode) -> Option<Self> {
        Some(match mode {
            Mode::L => self.mapped(mode, |[gray, _]| [gray]),
            Mode::Rgb => self.mapped(mode, |[gray, _]| [gray; 3]),
            Mode::Rgba => self.mapped(mode, |[gray, alpha]| [gray, gray, gray, alpha]),
            Mode::Cmyk => self.mapped(mode, |[gray, _]| [0, 0, 0, 255 - gray]),
            Mode::YCbCr => self.mapped(mode, |[gray, _]| [gray, 128, 128]),
            Mode::Hsv => self.mapped(mode, |[gray, _]| [0, 0, gray]),
            _ => return None,
        })
    }

    /// Of a palette's colours. Black and white are not dithered here.
    fn of_palette(&self, mode: Mode) -> Option<Self> {
        let palette = self.palette.as_deref()?;
        let alphas = self.palette_alphas();
        let colour = |[index]: [u8; 1]| palette[usize::from(index)];
        let alpha = |[index]: [u8; 1]| alphas[usize::from(index)];
        Some(match mode {
            Mode::Bilevel => {
                self.mapped(mode, |index| [if luma_thousandths(colour(index)) >= 128_000 { 255 } else { 0 }])
            }
            Mode::La => self.mapped(mode, |index| [luma(colour(index)), alpha(index)]),
            Mode::Rgba => self.mapped(mode, |index| with_alpha(colour(index), alpha(index))),
            Mode::P | Mode::I16 => return None,
            _ => return self.mapped(Mode::Rgb, colour).into_colours(mode),
        })
    }

    fn into_colours(self, mode: Mode) -> Option<Self> {
        if mode == Mode::Rgb { Some(self) } else { self.of_colours::<3>(mode) }
    }

    /// The alpha of each position of the palette.
    fn palette_alphas(&self) -> [u8; 256] {
        let mut alphas = [255; 256];
        match &self.transparency {
            Some(Transparency::Alphas(given)) => {
                for (alpha, &given) in alphas.iter_mut().zip(given) {
                    *alpha = given;
                }
            }
            Some(Transparency::One(index)) => {
                if let Some(alpha) = alphas.get_mut(usize::from(*index)) {
                    *alpha = 0;
                }
            }
            _ => {}
        }
        alphas
    }

    /// Of red, green, blue, and perhaps alpha: `N` is 3 or 4.
    fn of_colours<const N: usize>(&self, mode: Mode) -> Option<Self> {
        let rgb = |pixel: [u8; N]| [pixel[0], pixel[1], pixel[2]];
        let alpha = |pixel: [u8; N]| pixel.get(3).copied().unwrap_or(255);
        Some(match mode {
            Mode::Bilevel if N == 3 => {
                let (pixels, _) = self.data.as_chunks::<3>();
                let grays = pixels.iter().map(|&pixel| (luma_thousandths(pixel) / 1000) as u8);
                self.with_mode(mode, bilevel(grays, self.width, self.height))
            }
            Mode::L => self.mapped(mode, |pixel| [luma(rgb(pixel))]),
            Mode::La => self.mapped(mode, |pixel| [luma(rgb(pixel)), alpha(pixel)]),
            Mode::Rgb => self.mapped(mode, rgb),
            Mode::Rgba => self.mapped(mode, |pixel| with_alpha(rgb(pixel), alpha(pixel))),
            Mode::Cmyk => self.mapped(mode, |pixel| with_alpha(rgb(pixel).map(|value| 255 - value), 0)),
            Mode::YCbCr => {
                let tables = YCbCr::new();
                self.mapped(mode, |pixel| tables.of_rgb(rgb(pixel)))
            }
            Mode::Hsv => self.mapped(mode, |pixel| rgb_to_hsv(rgb(pixel))),
            Mode::I => self.mapped(mode, |pixel| i32::from(luma(rgb(pixel))).to_le_bytes()),
            Mode::F => self.mapped(mode, |pixel| (luma_thousandths(rgb(pixel)) as f32 / 1000.0).to_le_bytes()),
            Mode::I16 if N == 3 => self.mapped(mode, |pixel| u16::from(luma(rgb(pixel))).to_le_bytes()),
            _ => return None,
        })
    }

    fn of_cmyk(&self, mode: Mode) -> Option<Self> {
        Some(match mode {
            Mode::Rgb => self.mapped(mode, cmyk_to_rgb),
            Mode::Rgba => self.mapped(mode, |pixel| with_alpha(cmyk_to_rgb(pixel), 255)),
            Mode::Hsv => self.mapped(mode, |pixel| rgb_to_hsv(cmyk_to_rgb(pixel))),
            _ => return None,
        })
    }

    fn of_ycbcr(&self, mode: Mode) -> Option<Self> {
        Some(match mode {
            Mode::L => self.mapped(mode, |[y, _, _]| [y]),
            Mode::La => self.mapped(mode, |[y, _, _]| [y, 255]),
            Mode::Rgb => {
                let tables = YCbCr::new();
                self.mapped(mode, |pixel| tables.to_rgb(pixel))
            }
            _ => return None,
        })
    }

    fn of_integers(&self, mode: Mode) -> Option<Self> {
        let gray = |bytes: [u8; 4]| byte(i32::from_le_bytes(bytes));
        Some(match mode {
            Mode::L => self.mapped(mode, |bytes| [gray(bytes)]),
            Mode::Rgb => self.mapped(mode, |bytes| [gray(bytes); 3]),
            Mode::Rgba => self.mapped(mode, |bytes| with_alpha([gray(bytes); 3], 255)),
            Mode::Hsv => self.mapped(mode, |bytes| [0, 0, gray(bytes)]),
            Mode::F => self.mapped(mode, |bytes| (i32::from_le_bytes(bytes) as f32).to_le_bytes()),
            Mode::I16 => self.mapped(mode, |bytes| (i32::from_le_bytes(bytes).clamp(0, 0xffff) as u16).to_le_bytes()),
            _ => return None,
        })
    }

    fn of_floats(&self, mode: Mode) -> Option<Self> {
        Some(match mode {
            Mode::L => self.mapped(mode, |bytes| [f32::from_le_bytes(bytes) as u8]),
            Mode::I => self.mapped(mode, |bytes| truncated(f32::from_le_bytes(bytes)).to_le_bytes()),
            _ => return None,
        })
    }

    fn of_short_integers(&self, mode: Mode) -> Option<Self> {
        let gray = |bytes: [u8; 2]| u16::from_le_bytes(bytes).min(255) as u8;
        Some(match mode {
            Mode::L => self.mapped(mode, |bytes| [gray(bytes)]),
            Mode::Rgb => self.mapped(mode, |bytes| [gray(bytes); 3]),
            Mode::I => self.mapped(mode, |bytes| i32::from(u16::from_le_bytes(bytes)).to_le_bytes()),
            Mode::F => self.mapped(mode, |bytes| f32::from(u16::from_le_bytes(bytes)).to_le_bytes()),
            _ => return None,
        })
    }

    /// Gives the converted image what is left of this one's transparency.
    fn carry_transparency(&self, converted: &mut Self) {
        let Some(transparency) = &self.transparency else { return };
        let alpha = matches!(converted.mode, Mode::La | Mode::Rgba);
        match (transparency, self.mode) {
            (Transparency::One(gray), Mode::Bilevel | Mode::L | Mode::I | Mode::I16) if alpha => {
                converted.make_transparent([*gray as u8; 3]);
            }
            (Transparency::Colour(colour), Mode::Rgb) if alpha => {
                converted.make_transparent(colour.map(|value| value as u8));
            }
            (Transparency::Alphas(_), _) => {}
            (_, Mode::P) if alpha => {}
            (_, Mode::L | Mode::Rgb | Mode::P) if matches!(converted.mode, Mode::L | Mode::Rgb | Mode::P) => {
                converted.transparency = self.transparent_colour().and_then(|colour| colour_in(colour, converted.mode));
            }
            _ => converted.transparency = Some(transparency.clone()),
        }
    }

    /// The transparent colour of an image of mode `L`, `RGB` or `P`.
    fn transparent_colour(&self) -> Option<[u8; 3]> {
        let byte = |value: u16| value.min(255) as u8;
        match (self.transparency.as_ref()?, self.mode) {
            (Transparency::One(index), Mode::P) => self.palette.as_deref()?.get(usize::from(*index)).copied(),
            (Transparency::One(gray), _) => Some([byte(*gray); 3]),
            (Transparency::Colour(colour), _) => Some(colour.map(byte)),
            (Transparency::Alphas(_), _) => None,
        }
    }

    /// Takes the alpha from the pixels of one colour.
    fn make_transparent(&mut self, colour: [u8; 3]) {
        if self.mode == Mode::La {
            let (pixels, _) = self.data.as_chunks_mut::<2>();
            pixels.iter_mut().filter(|pixel| pixel[0] == colour[0]).for_each(|pixel| pixel[1] = 0);
        } else {
            let (pixels, _) = self.data.as_chunks_mut::<4>();
            pixels.iter_mut().filter(|pixel| pixel[..3] == colour).for_each(|pixel| pixel[3] = 0);
        }
    }

    /// Colours times alpha, in the modes with alpha: Pillow's `La` and `RGBa`.
    pub(super) fn premultiplied(&self) -> Self {
        let mut image = self.clone();
        for pixel in image.data.chunks_exact_mut(self.mode.channels()) {
            if let Some((alpha, colours)) = pixel.split_last_mut() {
                colours.iter_mut().for_each(|value| *value = product(*value, *alpha));
            }
        }
        image
    }

    /// The way back from [`Image::premultiplied`], which cuts and does not round.
    pub(super) fn unmultiplied(mut self) -> Self {
        for pixel in self.data.chunks_exact_mut(self.mode.channels()) {
            match pixel.split_last_mut() {
                Some((&mut (0 | 255), _)) | None => {}
                Some((&mut alpha, colours)) => colours.iter_mut().for_each(|value| {
                    *value = (255 * u32::from(*value) / u32::from(alpha)).min(255) as u8;
                }),
            }
        }
        self
    }
}

/// A transparent colour as an image of this mode states it. In `P` it is a gray, since only grays become palettes.
fn colour_in(colour: [u8; 3], mode: Mode) -> Option<Transparency> {
    match mode {
        Mode::L => Some(Transparency::One(luma(colour).into())),
        Mode::P => Some(Transparency::One(colour[0].into())),
        Mode::Rgb => Some(Transparency::Colour(colour.map(u16::from))),
        _ => None,
    }
}

const fn with_alpha([a, b, c]: [u8; 3], alpha: u8) -> [u8; 4] {
    [a, b, c, alpha]
}

/// The integer towards zero; the least one where there is none, as x86 has it.
fn truncated(value: f32) -> i32 {
    if value > -2_147_483_904.0 && value < 2_147_483_648.0 { value as i32 } else { i32::MIN }
}
