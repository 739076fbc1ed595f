//! Parts, turns and mirrorings: pixels moved, none computed.

use ekiben_runtime::artifact::image::Turn;

use super::{Image, ImageError, byte_count};

/// `to - from` for bounds of a part, none where it is negative.
fn length(from: i64, to: i64) -> Option<usize> {
    to.checked_sub(from).and_then(|length| usize::try_from(length).ok())
}

impl Image {
    /// The part between these bounds, as Pillow's `crop` cuts it: what lies outside of the image is zero. The part may
    /// be empty.
    ///
    /// # Errors
    /// Where the right bound is left of the left one, or the lower one above the upper one; where the result is over
    /// the limit.
    pub fn crop(&self, left: i64, top: i64, right: i64, bottom: i64) -> Result<Self, ImageError> {
        let (Some(width), Some(height)) = (length(left, right), length(top, bottom)) else {
            return Err(self.bad_part([left, top, right, bottom].map(|bound| bound as f64)));
        };
        let bytes = byte_count(self.mode, width, height, self.max_pixels)?;
        let mut data = vec![0; bytes];
        let size = self.pixel_bytes();
        let within = |bound: i64, length: usize| usize::try_from(bound).unwrap_or(0).min(length);
        let (from, to) = (within(left, self.width), within(right, self.width));
        if from < to {
            let at = (from as i64 - left) as usize;
            for y in within(top, self.height)..within(bottom, self.height) {
                let row = &self.data[(y * self.width + from) * size..(y * self.width + to) * size];
                let start = ((y as i64 - top) as usize * width + at) * size;
                data[start..start + row.len()].copy_from_slice(row);
            }
        }
        Ok(self.with_pixels(width, height, data))
    }

    pub(super) fn bad_part(&self, [left, top, right, bottom]: [f64; 4]) -> ImageError {
        ImageError::Part { left, top, right, bottom, width: self.width, height: self.height }
    }

    /// The image turned or mirrored, as Pillow's `transpose` does it.
    pub fn turn(&self, turn: Turn) -> Self {
        let (width, height) = match turn {
            Turn::FlipLeftRight | Turn::FlipTopBottom | Turn::Rotate180 => (self.width, self.height),
            Turn::Rotate90 | Turn::Rotate270 | Turn::Transpose | Turn::Transverse => (self.height, self.width),
        };
        let (right, bottom) = (self.width.wrapping_sub(1), self.height.wrapping_sub(1));
        let size = self.pixel_bytes();
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..height {
            for x in 0..width {
                let (x, y) = match turn {
                    Turn::FlipLeftRight => (right - x, y),
                    Turn::FlipTopBottom => (x, bottom - y),
                    Turn::Rotate180 => (right - x, bottom - y),
                    Turn::Rotate90 => (right - y, x),
                    Turn::Rotate270 => (y, bottom - x),
                    Turn::Transpose => (y, x),
                    Turn::Transverse => (right - y, bottom - x),
                };
                let at = (y * self.width + x) * size;
                data.extend_from_slice(&self.data[at..at + size]);
            }
        }
        self.with_pixels(width, height, data)
    }

    /// The turn that the EXIF orientation asks for; the result has none.
    pub fn exif_transpose(&self) -> Self {
        let turn = match self.orientation {
            2 => Turn::FlipLeftRight,
            3 => Turn::Rotate180,
            4 => Turn::FlipTopBottom,
            5 => Turn::Transpose,
            6 => Turn::Rotate270,
            7 => Turn::Transverse,
            8 => Turn::Rotate90,
            _ => return self.clone(),
        };
        Self { orientation: 1, ..self.turn(turn) }
    }
}
