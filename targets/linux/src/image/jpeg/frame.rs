//! The frame of a file: its size, and its components with their blocks.

use super::super::{DecodeError, Limits, checked_size};
use super::upsample::Plane;
use super::{FORMAT, damaged, idct};

/// One component.
#[derive(Default)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks across and down in a unit of several components.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Which quantisation table is its own.
    pub(super) steps_index: usize,
    /// Its quantisation steps, as they were at its first scan.
    pub(super) steps: Option<[u16; 64]>,
    /// Blocks of a row, and rows of them, that belong to the image.
    pub(super) blocks_across: usize,
    pub(super) blocks_down: usize,
    /// Blocks of a row with those that fill its units.
    pub(super) blocks_stride: usize,
    /// Coefficients of every block, where several scans state them.
    pub(super) coefficients: Vec<[i16; 64]>,
    pub(super) plane: Plane,
}

impl Component {
    /// Samples of a block, put into the plane.
    pub(super) fn place(&mut self, block_x: usize, block_y: usize, coefficients: &[i16; 64]) {
        let Some(steps) = &self.steps else { return };
        let samples = idct::samples(coefficients, steps);
        let stride = self.plane.stride;
        let start = block_y * 8 * stride + block_x * 8;
        for (row, samples) in samples.as_chunks::<8>().0.iter().enumerate() {
            let at = start + row * stride;
            if let Some(place) = self.plane.samples.get_mut(at..at + 8) {
                place.copy_from_slice(samples);
            }
        }
    }

    /// Samples of all blocks whose coefficients are known.
    pub(super) fn place_all(&mut self) {
        let coefficients = std::mem::take(&mut self.coefficients);
        for (index, block) in coefficients.iter().enumerate() {
            self.place(index % self.blocks_stride, index / self.blocks_stride, block);
        }
    }
}

/// The frame.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// Units of several components in a row, and rows of them.
    pub(super) units_across: usize,
    pub(super) units_down: usize,
}

impl Frame {
    /// The frame that a segment states, with planes of middle gray.
    pub(super) fn new(
        segment: &[u8],
        progressive: bool,
        at: usize,
        file_bytes: usize,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        let &[bits, h1, h0, w1, w0, count, ref stated @ ..] = segment else {
            return Err(damaged(at, "the frame's header is too short"));
        };
        if bits != 8 {
            return Err(DecodeError::unsupported(FORMAT, format!("samples of {bits} bits")));
        }
        let height = usize::from(u16::from_be_bytes([h1, h0]));
        let width = usize::from(u16::from_be_bytes([w1, w0]));
        checked_size(FORMAT, (width, height), limits)?;
        // A block of 64 pixels takes a bit at least, in the component that has one for each.
        if width * height / 64 / 8 > file_bytes {
            return Err(damaged(at, format!("{file_bytes} bytes cannot hold {width} x {height} pixels")));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(DecodeError::unsupported(FORMAT, format!("{count} components")));
        }
        if stated.len() != usize::from(count) * 3 {
            return Err(damaged(at, format!("the frame's header is not one of {count} components")));
        }
        let mut components = Vec::new();
        for &[id, factors, steps] in stated.as_chunks::<3>().0 {
            let (h, v) = (usize::from(factors >> 4), usize::from(factors & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || steps > 3 {
                return Err(damaged(at, "the frame's header has a component of impossible kind"));
            }
            components.push(Component { id, h, v, steps_index: steps.into(), ..Component::default() });
        }
        let mut frame = Self { width, height, progressive, components, units_across: 0, units_down: 0 };
        frame.lay_out()?;
        Ok(frame)
    }

    /// Places for the blocks of each component.
    fn lay_out(&mut self) -> Result<(), DecodeError> {
        let most = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        let (most_h, most_v) = (most(|component| component.h), most(|component| component.v));
        self.units_across = self.width.div_ceil(8 * most_h);
        self.units_down = self.height.div_ceil(8 * most_v);
        for component in &mut self.components {
            if most_h % component.h != 0 || most_v % component.v != 0 {
                return Err(DecodeError::unsupported(FORMAT, "components of sizes that are no multiples"));
            }
            let width = (self.width * component.h).div_ceil(most_h);
            let height = (self.height * component.v).div_ceil(most_v);
            component.blocks_across = width.div_ceil(8);
            component.blocks_down = height.div_ceil(8);
            component.blocks_stride = self.units_across * component.h;
            let rows = self.units_down * component.v;
            if self.progressive {
                component.coefficients = vec![[0; 64]; component.blocks_stride * rows];
            }
            let stride = component.blocks_stride * 8;
            component.plane = Plane {
                samples: vec![128; stride * rows * 8],
                stride,
                width,
                height,
                across: most_h / component.h,
                down: most_v / component.v,
            };
        }
        Ok(())
    }
}
