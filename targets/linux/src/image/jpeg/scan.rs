//! One scan: which components and bits it has, and its blocks in order.

use super::super::DecodeError;
use super::blocks::{Band, band_first, band_refined, mean_first, mean_refined, whole};
use super::frame::{Component, Frame};
use super::huffman::{Bits, Table};
use super::{FORMAT, MAX_SCANS, State, damaged};

/// Most blocks of a unit.
const MAX_UNIT_BLOCKS: usize = 10;

/// A component's part in a scan.
struct Member<'a> {
    /// Its index in the frame.
    index: usize,
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
    /// The mean of the last block.
    mean: i32,
}

struct Scan<'a> {
    members: Vec<Member<'a>>,
    band: Band,
    progressive: bool,
    blocks_to_skip: u32,
}

/// Where a block is.
#[derive(Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
}

impl State {
    /// Reads the scan whose header is `segment` and whose bits start at `at`, and returns where they end.
    pub(super) fn scan(&mut self, bytes: &[u8], segment: &[u8], at: usize) -> Result<usize, DecodeError> {
        let mut frame = self.frame.take().ok_or_else(|| damaged(at, "a scan comes before the frame's header"))?;
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(DecodeError::unsupported(FORMAT, format!("more than {MAX_SCANS} scans")));
        }
        let mut scan = self.header(segment, &mut frame, at)?;
        let mut bits = Bits::new(bytes, at);
        scan.read(&mut frame, &mut bits, self.restart_interval);
        if bits.is_cut() {
            return Err(damaged(bytes.len(), "it ends in the middle of its pixels"));
        }
        let end = bits.position();
        self.frame = Some(frame);
        Ok(end)
    }

    fn header(&self, segment: &[u8], frame: &mut Frame, at: usize) -> Result<Scan<'_>, DecodeError> {
        let bad = || damaged(at, "a scan's header is not one");
        let (&count, rest) = segment.split_first().ok_or_else(bad)?;
        let (stated, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or_else(bad)?;
        let &[first, last, bits] = rest else { return Err(bad()) };
        let mut members: Vec<Member<'_>> = Vec::new();
        for &[id, tables] in stated.as_chunks::<2>().0 {
            let index = frame.components.iter().position(|component| component.id == id).ok_or_else(bad)?;
            if members.iter().any(|member| member.index == index) {
                return Err(bad());
            }
            let dc = self.dc.get(usize::from(tables >> 4)).ok_or_else(bad)?.as_ref();
            let ac = self.ac.get(usize::from(tables & 15)).ok_or_else(bad)?.as_ref();
            members.push(Member { index, dc, ac, mean: 0 });
            let component = &mut frame.components[index];
            if component.steps.is_none() {
                component.steps = self.steps[component.steps_index];
            }
            if component.steps.is_none() {
                return Err(damaged(at, "a scan's quantisation table is missing"));
            }
        }
        let band = Band { first: first.into(), last: last.into(), refines: bits >> 4 != 0, low: (bits & 15).into() };
        let scan = Scan { members, band, progressive: frame.progressive, blocks_to_skip: 0 };
        scan.check(frame, bits >> 4).ok_or_else(bad)?;
        scan.check_tables().ok_or_else(|| damaged(at, "a scan's Huffman table is missing"))?;
        Ok(scan)
    }
}

impl Scan<'_> {
    /// `None` where the header states what cannot be.
    fn check(&self, frame: &Frame, high: u8) -> Option<()> {
        let blocks = |member: &Member<'_>| frame.components[member.index].h * frame.components[member.index].v;
        let unit: usize = self.members.iter().map(blocks).sum();
        let interleaved = self.members.len() > 1;
        let fits = !self.members.is_empty() && (!interleaved || unit <= MAX_UNIT_BLOCKS);
        let Band { first, last, refines, low } = self.band;
        let means = first == 0 && last == 0;
        let others = first > 0 && first <= last && last < 64 && !interleaved;
        let bits = low <= 13 && (!refines || u32::from(high) == low + 1);
        (fits && (!self.progressive || (bits && (means || others)))).then_some(())
    }

    /// `None` where a table is missing.
    fn check_tables(&self) -> Option<()> {
        let means = !self.progressive || (self.band.first == 0 && !self.band.refines);
        let others = !self.progressive || self.band.first > 0;
        let complete = |member: &Member<'_>| (!means || member.dc.is_some()) && (!others || member.ac.is_some());
        self.members.iter().all(complete).then_some(())
    }

    fn read(&mut self, frame: &mut Frame, bits: &mut Bits<'_>, restart_interval: usize) {
        let alone = (self.members.len() == 1).then(|| self.members[0].index);
        let (across, down) = match alone {
            Some(index) => (frame.components[index].blocks_across, frame.components[index].blocks_down),
            None => (frame.units_across, frame.units_down),
        };
        for unit in 0..across * down {
            if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
                bits.restart(((unit / restart_interval - 1) % 8) as u8);
                self.blocks_to_skip = 0;
                self.members.iter_mut().for_each(|member| member.mean = 0);
            }
            if bits.is_exhausted() {
                if restart_interval == 0 || bits.is_cut() {
                    return;
                }
                continue;
            }
            let place = Place { x: unit % across, y: unit / across };
            if alone.is_some() {
                self.block(frame, bits, 0, place);
            } else {
                self.unit(frame, bits, place);
            }
        }
    }

    /// The blocks of all components in one unit.
    fn unit(&mut self, frame: &mut Frame, bits: &mut Bits<'_>, unit: Place) {
        for member in 0..self.members.len() {
            let component = &frame.components[self.members[member].index];
            let (h, v) = (component.h, component.v);
            for index in 0..h * v {
                let place = Place { x: unit.x * h + index % h, y: unit.y * v + index / h };
                self.block(frame, bits, member, place);
            }
        }
    }

    fn block(&mut self, frame: &mut Frame, bits: &mut Bits<'_>, member: usize, place: Place) {
        let member = &mut self.members[member];
        let component = &mut frame.components[member.index];
        if self.progressive {
            progressive_block(component, member, bits, self.band, &mut self.blocks_to_skip, place);
        } else if let (Some(dc), Some(ac)) = (member.dc, member.ac) {
            let mut block = [0; 64];
            whole(bits, dc, ac, &mut member.mean, &mut block);
            component.place(place.x, place.y, &block);
        }
    }
}

fn progressive_block(
    component: &mut Component,
    member: &mut Member<'_>,
    bits: &mut Bits<'_>,
    band: Band,
    blocks_to_skip: &mut u32,
    place: Place,
) {
    let index = place.y * component.blocks_stride + place.x;
    let Some(block) = component.coefficients.get_mut(index) else { return };
    match (band.first, band.refines, member.dc, member.ac) {
        (0, false, Some(dc), _) => mean_first(bits, dc, &mut member.mean, band.low, block),
        (0, true, ..) => mean_refined(bits, band.low, block),
        (_, false, _, Some(ac)) => band_first(bits, ac, band, blocks_to_skip, block),
        (_, true, _, Some(ac)) => band_refined(bits, ac, band, blocks_to_skip, block),
        _ => {}
    }
}
