//! Sequences turned round.

use super::indices::{Indices, Outside};

/// The first two axes of the tensor, and the bytes at each place.
#[derive(Clone, Copy, Debug)]
pub struct SequenceShape {
    /// Time steps.
    pub steps: usize,
    /// Sequences.
    pub sequences: usize,
    /// Bytes at each step of a sequence.
    pub block: usize,
    /// Time is the first axis, sequences the second; the other way round otherwise.
    pub time_first: bool,
}

/// Copies sequences, the first `lengths[i]` steps of the `i`th in reverse. A length outside `0..=steps` is an error.
pub fn reverse_sequence(
    shape: SequenceShape,
    lengths: Indices<'_>,
    input: &[u8],
    output: &mut [u8],
) -> Result<(), Outside> {
    let SequenceShape { steps, sequences, block, time_first } = shape;
    let at = |step: usize, sequence: usize| {
        let place = if time_first { (step, sequences, sequence) } else { (sequence, steps, step) };
        place.0.wrapping_mul(place.1).wrapping_add(place.2).wrapping_mul(block)
    };
    for sequence in 0..sequences {
        let length = lengths.get(sequence).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|&length| length <= steps).ok_or(Outside)?;
        for step in 0..steps {
            let source = at(if step < length { length - 1 - step } else { step }, sequence);
            let target = at(step, sequence);
            let source = input.get(source..source.saturating_add(block));
            let target = output.get_mut(target..target.saturating_add(block));
            if let (Some(source), Some(target)) = (source, target) {
                target.copy_from_slice(source);
            }
        }
    }
    Ok(())
}
