//! JPEG, as libjpeg decodes it for Pillow: sequential and progressive with Huffman codes, its accurate transform, its
//! smooth upsampling and its colour tables.
//!
//! It is written here because pixels have to be libjpeg's: another transform or upsampling, right as it is, gives other
//! ones.

mod blocks;
mod frame;
mod huffman;
mod idct;
mod pixels;
mod scan;
mod upsample;

use ekiben_runtime::artifact::image::{Mode, PassOrder};

use self::blocks::NATURAL;
use self::frame::Frame;
use self::huffman::{Table, next_marker};
use super::{DecodeError, Image, Limits, exif};

const FORMAT: &str = "JPEG";

/// Most scans of a file: more take time and show nothing.
const MAX_SCANS: usize = 256;

/// What a file has stated up to some place.
#[derive(Default)]
struct State {
    steps: [Option<[u16; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    restart_interval: usize,
    frame: Option<Frame>,
    scans: usize,
    jfif: bool,
    /// The colour transform that Adobe's marker names.
    adobe: Option<u8>,
    exif: Vec<u8>,
    xmp: Option<Vec<u8>>,
}

fn damaged(at: usize, what: impl Into<String>) -> DecodeError {
    DecodeError::damaged(FORMAT, Some(at), what)
}

/// Reads a JPEG image.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let mut state = State::default();
    let mut at = 2;
    loop {
        let (marker_at, marker) =
            next_marker(bytes, at).ok_or_else(|| damaged(bytes.len(), "it ends before its end marker"))?;
        at = marker_at + 2;
        match marker {
            0xd9 => break,
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let length = bytes.get(at..at + 2).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let segment = (length >= 2).then(|| bytes.get(at + 2..at + length)).flatten();
        let segment = segment.ok_or_else(|| damaged(marker_at, "a marker's segment does not fit in the file"))?;
        at += length;
        if marker == 0xda {
            at = state.scan(bytes, segment, at)?;
        } else {
            state.segment(marker, segment, (marker_at, bytes.len()), limits)?;
        }
    }
    state.image(limits)
}

impl State {
    /// `at` is where the marker is, and the length of the file.
    fn segment(
        &mut self,
        marker: u8,
        segment: &[u8],
        (at, file_bytes): (usize, usize),
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        match marker {
            0xc0..=0xc2 => {
                if self.frame.is_some() {
                    return Err(damaged(at, "it has two frames"));
                }
                self.frame = Some(Frame::new(segment, marker == 0xc2, at, file_bytes, limits)?);
            }
            0xc3 | 0xc5..=0xc7 | 0xcd..=0xcf => return Err(DecodeError::unsupported(FORMAT, lossless(marker))),
            0xc9..=0xcb => return Err(DecodeError::unsupported(FORMAT, "arithmetic coding")),
            0xc4 => self.codes(segment).ok_or_else(|| damaged(at, "a Huffman table is not one"))?,
            0xdb => self.quantisation(segment).ok_or_else(|| damaged(at, "a quantisation table is not one"))?,
            0xdd => match segment {
                &[high, low] => self.restart_interval = u16::from_be_bytes([high, low]).into(),
                _ => return Err(damaged(at, "the restart interval is not two bytes")),
            },
            0xe0 => self.jfif |= segment.len() >= 14 && segment.starts_with(b"JFIF\0"),
            0xe1 => self.application_data(segment),
            0xee if segment.len() >= 12 && segment.starts_with(b"Adobe") => self.adobe = Some(segment[11]),
            _ => {}
        }
        Ok(())
    }

    fn application_data(&mut self, segment: &[u8]) {
        const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
        if let Some(rest) = segment.strip_prefix(b"Exif\0\0") {
            self.exif.extend_from_slice(rest);
        } else if let Some(xmp) = segment.strip_prefix(XMP) {
            self.xmp = Some(xmp.to_vec());
        }
    }

    /// `None` where the segment is not made of tables.
    fn codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_at_checked(16)?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let table = Table::new(counts, symbols)?;
            let places = if kind >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            if kind >> 4 > 1 || (kind >> 4 == 0 && !table.symbols_up_to(15)) {
                return None;
            }
            *places.get_mut(usize::from(kind & 15))? = Some(table);
            segment = rest;
        }
        Some(())
    }

    /// `None` where the segment is not made of tables.
    fn quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = segment.split_first() {
            let width = if kind >> 4 == 0 { 1 } else { 2 };
            let (given, rest) = rest.split_at_checked(64 * width)?;
            let mut steps = [0; 64];
            for (step, &position) in given.chunks_exact(width).zip(&NATURAL) {
                steps[usize::from(position)] = step.iter().fold(0, |step, &byte| step << 8 | u16::from(byte));
            }
            *self.steps.get_mut(usize::from(kind & 15))? = Some(steps);
            segment = rest;
        }
        Some(())
    }

    fn orientation(&self) -> u8 {
        match exif::stated_orientation(&self.exif) {
            Some(stated) => stated,
            None => self.xmp.as_deref().and_then(exif::xmp_orientation).unwrap_or(1),
        }
    }

    fn image(mut self, limits: &Limits) -> Result<Image, DecodeError> {
        let orientation = self.orientation();
        let Some(frame) = self.frame.take().filter(|_| self.scans > 0) else {
            return Err(DecodeError::damaged(FORMAT, None, "it has no pixels"));
        };
        let (width, height) = (frame.width, frame.height);
        let mode = match frame.components.len() {
            1 => Mode::L,
            3 => Mode::Rgb,
            _ => Mode::Cmyk,
        };
        let data = pixels::pixels(frame, self.jfif, self.adobe);
        let max_pixels = limits.max_pixels;
        Ok(Image {
            mode,
            width,
            height,
            data,
            palette: None,
            transparency: None,
            orientation,
            max_pixels,
            order: PassOrder::default(),
        })
    }
}

fn lossless(marker: u8) -> String {
    format!("frames of the kind {marker:#x} (lossless or differential)")
}
