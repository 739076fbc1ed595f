//! The orientation in EXIF data: one tag of a TIFF directory.

/// The tag `Orientation`.
const ORIENTATION: u16 = 0x0112;

/// Numbers of a TIFF structure in its byte order.
struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Tiff<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

/// The orientation that EXIF data state, with or without `Exif\0\0` before them; 1 where they state none.
pub(super) fn orientation(exif: &[u8]) -> u8 {
    stated_orientation(exif).unwrap_or(1)
}

/// The orientation that EXIF data state; 1 where it is none from 1 to 8.
pub(super) fn stated_orientation(exif: &[u8]) -> Option<u8> {
    let mut bytes = exif;
    while let Some(rest) = bytes.strip_prefix(b"Exif\0\0") {
        bytes = rest;
    }
    stated(bytes).map(known)
}

/// The orientation that XMP data state: a digit behind `tiff:Orientation="` or `tiff:Orientation>`.
pub(super) fn xmp_orientation(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(|(at, _)| {
        let rest = &xmp[at + NAME.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| known(digit - b'0'))
    })
}

const fn known(orientation: u8) -> u8 {
    if matches!(orientation, 1..=8) { orientation } else { 1 }
}

fn stated(bytes: &[u8]) -> Option<u8> {
    let little = match bytes.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let tiff = Tiff { bytes, little };
    let start = tiff.u32(4)? as usize;
    let entries = tiff.u16(start)?;
    (0..usize::from(entries)).find_map(|index| {
        let entry = start.checked_add(2 + index * 12)?;
        match (tiff.u16(entry)?, tiff.u16(entry + 2)?) {
            (ORIENTATION, 3) => u8::try_from(tiff.u16(entry + 8)?).ok(),
            (ORIENTATION, 4) => u8::try_from(tiff.u32(entry + 8)?).ok(),
            _ => None,
        }
    })
}
