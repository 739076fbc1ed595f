//! Planes of fewer samples than pixels, made as wide and high as the image: libjpeg's triangle filter where a plane has
//! half as many in a direction, repetition otherwise.

/// Samples of one component.
#[derive(Clone, Default)]
pub(super) struct Plane {
    pub(super) samples: Vec<u8>,
    /// Samples from one row to the next.
    pub(super) stride: usize,
    /// Samples of a row that belong to the image.
    pub(super) width: usize,
    /// Rows that belong to the image.
    pub(super) height: usize,
    /// Pixels of a row for each sample.
    pub(super) across: usize,
    /// Rows of the image for each row.
    pub(super) down: usize,
}

impl Plane {
    fn row(&self, y: usize) -> &[u8] {
        let start = y.min(self.height.saturating_sub(1)) * self.stride;
        self.samples.get(start..start + self.width).unwrap_or_default()
    }

    /// Row `y` of the image, its first pixels: at least as many as the image has.
    pub(super) fn upsampled(&self, y: usize, out: &mut Vec<u8>) {
        out.clear();
        match (self.across, self.down) {
            (1, 1) => out.extend_from_slice(self.row(y)),
            (2, 1) if self.width > 2 => twice_across(self.row(y), out),
            (1, 2) => {
                let (near, far) = self.neighbours(y);
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                out.extend(near.iter().zip(far).map(|(&near, &far)| ((3 * sum(near) + sum(far) + bias) >> 2) as u8));
            }
            (2, 2) if self.width > 2 => {
                let (near, far) = self.neighbours(y);
                twice_both_ways(near, far, out);
            }
            (across, down) => {
                for &sample in self.row(y / down.max(1)) {
                    out.extend(std::iter::repeat_n(sample, across));
                }
            }
        }
    }

    /// The row that lies under row `y` of the image, and the one that is next to it on the other side, of half as many
    /// rows.
    fn neighbours(&self, y: usize) -> (&[u8], &[u8]) {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (self.row(near), self.row(far))
    }
}

fn sum(sample: u8) -> u32 {
    sample.into()
}

/// Three quarters of the nearer sample and one of the farther; halves go down on the left and up on the right.
fn twice_across(row: &[u8], out: &mut Vec<u8>) {
    let last = row.len() - 1;
    for (x, &sample) in row.iter().enumerate() {
        let near = 3 * sum(sample);
        out.push(if x == 0 { sample } else { ((near + sum(row[x - 1]) + 1) >> 2) as u8 });
        out.push(if x == last { sample } else { ((near + sum(row[x + 1]) + 2) >> 2) as u8 });
    }
}

/// The same in both directions at once, rounded once.
fn twice_both_ways(near: &[u8], far: &[u8], out: &mut Vec<u8>) {
    let column = |x: usize| 3 * sum(near[x]) + sum(far[x]);
    let last = near.len() - 1;
    for x in 0..=last {
        let this = column(x);
        out.push(if x == 0 { (4 * this + 8) >> 4 } else { (3 * this + column(x - 1) + 8) >> 4 } as u8);
        out.push(if x == last { (4 * this + 7) >> 4 } else { (3 * this + column(x + 1) + 7) >> 4 } as u8);
    }
}
