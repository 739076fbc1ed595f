//! BMP: palettes, 16, 24 and 32 bits, bit fields and run lengths.

use ekiben_runtime::artifact::image::{Mode, PassOrder};

use super::{DecodeError, Image, Limits, byte_count, checked_size, palette_of};

const FORMAT: &str = "BMP";

/// Kinds of compression.
const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;

/// What the header states.
struct Header {
    width: usize,
    height: usize,
    /// Whether the first row is the upper one.
    from_top: bool,
    bits: usize,
    compression: u32,
    /// Red, green, blue, alpha.
    masks: [u32; 4],
    /// Colours of the palette.
    colours: usize,
    /// Bytes of one of them.
    colour_bytes: usize,
    /// Where the palette starts.
    palette: usize,
    /// Where the pixels start.
    pixels: usize,
}

/// Little-endian numbers of the file.
struct File<'a>(&'a [u8]);

impl File<'_> {
    fn u16(&self, at: usize) -> Result<u16, DecodeError> {
        let bytes = self.0.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u16::from_le_bytes).ok_or_else(|| self.cut())
    }

    fn u32(&self, at: usize) -> Result<u32, DecodeError> {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(|| self.cut())
    }

    fn cut(&self) -> DecodeError {
        DecodeError::damaged(FORMAT, Some(self.0.len()), "it ends too early")
    }
}

impl Header {
    fn read(file: &File<'_>) -> Result<Self, DecodeError> {
        let size = file.u32(14)? as usize;
        let short = match size {
            12 => true,
            40 | 52 | 56 | 64 | 108 | 124 => false,
            _ => return Err(DecodeError::unsupported(FORMAT, format!("a header of {size} bytes"))),
        };
        if file.0.len() < 14 + size {
            return Err(file.cut());
        }
        let mut header = if short { Self::core(file)? } else { Self::info(file, size)? };
        if !matches!(header.bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(DecodeError::unsupported(FORMAT, format!("{} bits per pixel", header.bits)));
        }
        if header.colours == 0 {
            header.colours = 1_usize << header.bits.min(16);
        }
        let indexed = header.bits <= 8;
        if indexed && header.colours > 65536 {
            return Err(DecodeError::damaged(FORMAT, Some(46), format!("it has {} colours", header.colours)));
        }
        let palette_end = header.palette + if indexed { header.colours * header.colour_bytes } else { 0 };
        header.pixels = match file.u32(10)? as usize {
            0 => palette_end,
            stated if stated == 14 + size && indexed => palette_end,
            stated => stated.min(file.0.len()),
        };
        Ok(header)
    }

    /// The header of twelve bytes.
    fn core(file: &File<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            width: file.u16(18)?.into(),
            height: file.u16(20)?.into(),
            from_top: false,
            bits: file.u16(24)?.into(),
            compression: RAW,
            masks: [0; 4],
            colours: 0,
            colour_bytes: 3,
            palette: 26,
            pixels: 0,
        })
    }

    /// The longer headers, which start alike.
    fn info(file: &File<'_>, size: usize) -> Result<Self, DecodeError> {
        let height = file.u32(22)?;
        let from_top = height >> 24 == 0xff;
        let compression = file.u32(30)?;
        let mut masks = [0; 4];
        let mut palette = 14 + size;
        if compression == BIT_FIELDS {
            let stated = if size >= 56 { 4 } else { 3 };
            for (index, mask) in masks.iter_mut().take(stated).enumerate() {
                *mask = file.u32(54 + 4 * index)?;
            }
            palette += if size == 40 { 12 } else { 0 };
        }
        Ok(Self {
            width: file.u32(18)? as usize,
            height: if from_top { height.wrapping_neg() } else { height } as usize,
            from_top,
            bits: file.u16(28)?.into(),
            compression,
            masks,
            colours: file.u32(46)? as usize,
            colour_bytes: 4,
            palette,
            pixels: 0,
        })
    }

    /// The palette's colours; `None` where they say no more than grays do, so that positions are grays.
    fn colours(&self, file: &File<'_>) -> Result<Option<Vec<[u8; 3]>>, DecodeError> {
        let end = self.palette + self.colours * self.colour_bytes;
        let bytes = file.0.get(self.palette..end).ok_or_else(|| file.cut())?;
        let colours: Vec<[u8; 3]> =
            bytes.chunks_exact(self.colour_bytes).map(|colour| [colour[2], colour[1], colour[0]]).collect();
        let gray = |index: usize| if self.colours == 2 { index * 255 } else { index } as u8;
        let grays = colours.iter().enumerate().all(|(index, &colour)| colour == [gray(index); 3]);
        Ok((!grays).then_some(colours))
    }
}

/// Reads an image.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let file = File(bytes);
    let header = Header::read(&file)?;
    checked_size(FORMAT, (header.width, header.height), limits)?;
    let colours = if header.bits <= 8 { Some(header.colours(&file)?) } else { None };
    let mode = header.mode(&colours)?;
    let palette = colours.flatten().map(|colours| palette_of(colours.into_iter()));
    let needed = byte_count(mode, header.width, header.height, limits.max_pixels)
        .map_err(|error| DecodeError::damaged(FORMAT, None, error.to_string()))?;
    let mut data = match header.compression {
        RLE8 | RLE4 if header.bits <= 8 => header.runs(&file, needed)?,
        RAW | BIT_FIELDS => header.rows(&file, mode, needed)?,
        other => return Err(DecodeError::unsupported(FORMAT, format!("compression {other}"))),
    };
    if !header.from_top {
        data = data.rchunks_exact(header.width * mode.channels()).flatten().copied().collect();
    }
    let (width, height, max_pixels) = (header.width, header.height, limits.max_pixels);
    Ok(Image {
        mode,
        width,
        height,
        data,
        palette,
        transparency: None,
        orientation: 1,
        max_pixels,
        order: PassOrder::default(),
    })
}

impl Header {
    fn mode(&self, colours: &Option<Option<Vec<[u8; 3]>>>) -> Result<Mode, DecodeError> {
        match colours {
            Some(Some(_)) => Ok(Mode::P),
            Some(None) if self.bits == 1 && self.colours <= 2 => Ok(Mode::Bilevel),
            Some(None) if self.bits == 8 && self.colours > 2 => Ok(Mode::L),
            Some(None) => Err(DecodeError::unsupported(FORMAT, "a palette of grays with another number of bits")),
            None if self.compression == BIT_FIELDS
                && self.bits == 32
                && (self.masks[3] != 0 || self.masks == [0; 4]) =>
            {
                Ok(Mode::Rgba)
            }
            None => Ok(Mode::Rgb),
        }
    }

    /// Pixels that are not compressed, in the order of the file.
    fn rows(&self, file: &File<'_>, mode: Mode, needed: usize) -> Result<Vec<u8>, DecodeError> {
        let stride = (self.width * self.bits).div_ceil(32) * 4;
        let row_bytes = (self.width * self.bits).div_ceil(8);
        let start = self.pixels;
        // The last row may lack what fills it up.
        let end = start.checked_add(stride * (self.height - 1) + row_bytes).filter(|&end| end <= file.0.len());
        let end = end.ok_or_else(|| file.cut())?;
        let unpack = Unpack::of(self, mode)?;
        let mut data = Vec::with_capacity(needed);
        for row in file.0[start..end].chunks(stride) {
            unpack.row(row, self.width, &mut data);
        }
        Ok(data)
    }

    /// Pixels as runs of one or two positions, in the order of the file.
    fn runs(&self, file: &File<'_>, needed: usize) -> Result<Vec<u8>, DecodeError> {
        let mut data = Vec::with_capacity(needed);
        let mut at = self.pixels;
        let two = self.compression == RLE4;
        let nibbles = |byte: u8| [byte >> 4, byte & 15];
        let mut x = 0;
        while data.len() < needed {
            let Some(&[count, value]) = file.0.get(at..at + 2) else { break };
            at += 2;
            match (count, value) {
                (0, 0) => {
                    data.resize(data.len().next_multiple_of(self.width), 0);
                    x = 0;
                }
                (0, 1) => break,
                (0, 2) => {
                    let Some(&[right, up]) = file.0.get(at..at + 2) else { break };
                    at += 2;
                    let skipped = usize::from(right) + usize::from(up) * self.width;
                    data.resize((data.len() + skipped).min(needed), 0);
                    x = data.len() % self.width;
                }
                (0, stated) => {
                    let count = usize::from(stated).min(needed - data.len());
                    let length = if two { count.div_ceil(2) } else { count };
                    let given = file.0.get(at..at + length).ok_or_else(|| file.cut())?;
                    if two {
                        data.extend(given.iter().flat_map(|&byte| nibbles(byte)).take(count));
                    } else {
                        data.extend_from_slice(given);
                    }
                    at += length;
                    at += at % 2;
                    x += usize::from(stated);
                }
                (count, value) => {
                    let count = usize::from(count).min(self.width.saturating_sub(x));
                    let pair = if two { nibbles(value) } else { [value; 2] };
                    data.extend(pair.iter().cycle().take(count));
                    x += count;
                }
            }
        }
        if data.len() < needed {
            return Err(DecodeError::damaged(FORMAT, Some(at), "its runs are fewer than its pixels"));
        }
        data.truncate(needed);
        Ok(data)
    }
}

/// How a row becomes pixels.
enum Unpack {
    /// Bits of a position, and what one is times.
    Positions(usize, u8),
    /// Five bits each of blue and red, so many of green.
    Short(u32),
    /// Bytes of a pixel, and which of them are its channels.
    Bytes(usize, Vec<usize>),
}

impl Unpack {
    fn of(header: &Header, mode: Mode) -> Result<Self, DecodeError> {
        let refused = || DecodeError::unsupported(FORMAT, "bit fields of another layout");
        let fields = header.compression == BIT_FIELDS;
        Ok(match (header.bits, header.masks) {
            (1, _) if mode == Mode::Bilevel => Self::Positions(1, 255),
            (1 | 4 | 8, _) if !fields => Self::Positions(header.bits, 1),
            (16, _) if !fields => Self::Short(5),
            (16, [0x7c00, 0x3e0, 0x1f, _]) => Self::Short(5),
            (16, [0xf800, 0x7e0, 0x1f, _]) => Self::Short(6),
            (24, _) if !fields => Self::Bytes(3, vec![2, 1, 0]),
            (24, [0xff_0000, 0xff00, 0xff, _]) => Self::Bytes(3, vec![2, 1, 0]),
            (32, _) if !fields => Self::Bytes(4, vec![2, 1, 0]),
            (32, [0, 0, 0, 0]) => Self::Bytes(4, vec![2, 1, 0, 3]),
            (32, masks) => {
                let place = |mask: &u32| (0..4).find(|place| *mask == 0xff << (8 * place)).map(|place| place as usize);
                let places: Option<Vec<usize>> = masks.iter().take(mode.channels()).map(place).collect();
                Self::Bytes(4, places.ok_or_else(refused)?)
            }
            _ => return Err(refused()),
        })
    }

    fn row(&self, row: &[u8], width: usize, data: &mut Vec<u8>) {
        match self {
            Self::Positions(bits, factor) => {
                let most = (1_u32 << bits) as usize - 1;
                let per_byte = 8 / bits;
                data.extend((0..width).map(|x| {
                    let shift = 8 - bits * (x % per_byte + 1);
                    (usize::from(row[x / per_byte]) >> shift & most) as u8 * factor
                }));
            }
            Self::Short(green_bits) => {
                let part = |pixel: u16, shift: u32, bits: u32| {
                    let most = (1_u32 << bits) - 1;
                    ((u32::from(pixel) >> shift & most) * 255 / most) as u8
                };
                data.extend(row.as_chunks::<2>().0.iter().take(width).flat_map(|&pixel| {
                    let pixel = u16::from_le_bytes(pixel);
                    [part(pixel, 5 + green_bits, 5), part(pixel, 5, *green_bits), part(pixel, 0, 5)]
                }));
            }
            Self::Bytes(size, places) => {
                for pixel in row.chunks_exact(*size).take(width) {
                    data.extend(places.iter().map(|&place| pixel[place]));
                }
            }
        }
    }
}
