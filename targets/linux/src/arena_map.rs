//! What lies where in an API's arena, step by step, and how many bytes are in use: read off the artifact alone.
//!
//! Bytes are in use from the step that writes them to the last that reads them, inputs of the API from the first step, outputs to the
//! last and states always, in blocks of 16. The largest number in use at one step is a bound that no other places for the same steps can undercut.

use ekiben_runtime::artifact::MEMORY_ALIGNMENT;
use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::artifact::tensors::{Place, TensorRecord};
use ekiben_runtime::{Artifact, Op};
use serde::Serialize;

/// Columns of the chart.
const COLUMNS: u64 = 64;
/// Steps that the chart shows; of more it shows those around the fullest. `--json` has all.
const SHOWN_STEPS: usize = 64;

/// An API's arena over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArenaMap {
    /// Rows of the batch that the map is for.
    pub rows: u64,
    /// Bytes of the arena.
    pub bytes: u64,
    /// Bytes in use at the fullest step.
    pub lower_bound: u64,
    /// Steps in the order of their run.
    pub steps: Vec<StepMap>,
}

/// The arena during one step: pairs of first byte and end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepMap {
    /// Name of the operator.
    pub operator: &'static str,
    /// Bytes in use.
    pub live_bytes: u64,
    /// Bytes that the step reads.
    pub reads: Vec<(u64, u64)>,
    /// Bytes that it writes, scratch memory included.
    pub writes: Vec<(u64, u64)>,
    /// Bytes that lie there for later steps.
    pub kept: Vec<(u64, u64)>,
}

/// Sorted spans that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Spans(Vec<(u64, u64)>);

impl Spans {
    fn of(spans: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut sorted: Vec<_> = spans.into_iter().filter(|(start, end)| start < end).collect();
        sorted.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (start, end) in sorted {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        Self(joined)
    }

    fn with(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }

    fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut cuts = other.0.as_slice();
        for &(mut start, end) in &self.0 {
            while let Some((_, rest)) = cuts.split_first().filter(|(cut, _)| cut.1 <= start) {
                cuts = rest;
            }
            for cut in cuts.iter().take_while(|cut| cut.0 < end) {
                left.push((start, cut.0));
                start = start.max(cut.1);
            }
            left.push((start, end));
        }
        Self::of(left)
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    fn meets(&self, span: (u64, u64)) -> bool {
        let next = self.0.partition_point(|other| other.1 <= span.0);
        self.0.get(next).is_some_and(|other| other.0 < span.1)
    }
}

/// The map of an API of a checked artifact, for one row or the number of rows that the API is fixed to.
pub fn arena_map(artifact: &Artifact<'_>, api: &ApiRecord) -> ArenaMap {
    let rows = u64::from(api.fixed_rows.max(1));
    let plans = artifact.plans();
    let spans = |first: usize, count: usize| {
        let tensors = (first..first + count).filter_map(|index| plans.operand(index).flatten());
        let records = tensors.filter_map(|tensor| artifact.tensors().get(tensor as usize));
        Spans::of(records.filter_map(|record| span(&record, rows)))
    };
    let (inputs, outputs) = (usize::from(api.inputs), usize::from(api.outputs));
    let first = api.first_operand as usize;
    let states: Vec<_> = (0..api.states as usize).filter_map(|index| artifact.api_state(api, index)).collect();
    let held = Spans::of(states.iter().filter_map(|state| span(&state.state, rows)));
    let next = Spans::of(states.iter().filter_map(|state| span(&state.next, rows)));
    let mut live = spans(first + inputs, outputs).with(&next);
    let mut steps = Vec::new();
    for index in (api.first_step..api.first_step.saturating_add(api.steps)).rev() {
        let Some(step) = plans.step(index as usize) else { continue };
        let (first, inputs) = (step.first_operand as usize, usize::from(step.inputs));
        let reads = spans(first, inputs);
        let writes = spans(first + inputs, step.operands() - inputs);
        let before = live.without(&writes).with(&reads);
        let kept = before.with(&live).with(&held).without(&reads).without(&writes);
        steps.push(StepMap {
            operator: Op::name_of(step.tag).unwrap_or_default(),
            live_bytes: reads.with(&writes).with(&kept).bytes(),
            reads: reads.0,
            writes: writes.0,
            kept: kept.0,
        });
        live = before;
    }
    steps.reverse();
    if let Some(step) = steps.first_mut() {
        let (reads, writes) = (Spans(step.reads.clone()), Spans(step.writes.clone()));
        let all = reads.with(&writes).with(&Spans(step.kept.clone())).with(&spans(first, inputs));
        step.live_bytes = all.bytes();
        step.kept = all.without(&reads).without(&writes).0;
    }
    let lower_bound = steps.iter().map(|step| step.live_bytes).max().unwrap_or(0);
    let bytes = api.arena.per_row.saturating_mul(rows).saturating_add(api.arena.fixed);
    ArenaMap { rows, bytes, lower_bound, steps }
}

/// First byte and end of a tensor in the arena, in whole blocks.
fn span(record: &TensorRecord, rows: u64) -> Option<(u64, u64)> {
    let Place::Arena { offset, per_row } = record.place else { return None };
    let start = u64::from(per_row).checked_mul(rows)?.checked_add(offset)?;
    let rows = if record.spec.shape.is_batched() { rows } else { 1 };
    let bytes = record.spec.bytes()?.checked_mul(rows)?;
    Some((start, start.checked_add(bytes)?.checked_next_multiple_of(MEMORY_ALIGNMENT as u64)?))
}

impl StepMap {
    /// One character for each column of an arena of `bytes` bytes.
    fn chart(&self, bytes: u64) -> String {
        let [reads, writes, kept] = [&self.reads, &self.writes, &self.kept].map(|spans| Spans(spans.clone()));
        let mark = |column: u64| {
            // Wide enough that no column is empty, however small the arena.
            let at = |column: u64| (u128::from(bytes) * u128::from(column) / u128::from(COLUMNS)) as u64;
            let cell = (at(column), at(column + 1).max(at(column) + 1));
            match (reads.meets(cell), writes.meets(cell), kept.meets(cell)) {
                (true, true, _) => 'x',
                (false, true, _) => 'w',
                (true, false, _) => 'r',
                (false, false, true) => '-',
                (false, false, false) => '.',
            }
        };
        (0..COLUMNS).map(mark).collect()
    }
}

impl std::fmt::Display for ArenaMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fullest = self.steps.iter().position(|step| step.live_bytes == self.lower_bound).unwrap_or(0);
        let last_start = self.steps.len().saturating_sub(SHOWN_STEPS);
        let first = fullest.saturating_sub(SHOWN_STEPS / 2).min(last_start);
        let width = self.steps.iter().map(|step| step.operator.len()).max().unwrap_or(0);
        writeln!(
            f,
            "  arena for {} row(s): {} bytes, at most {} in use at one step; r read, w written, x both, - kept",
            self.rows, self.bytes, self.lower_bound
        )?;
        if first > 0 {
            writeln!(f, "       … {first} steps before")?;
        }
        for (index, step) in self.steps.iter().enumerate().skip(first).take(SHOWN_STEPS) {
            let (operator, live) = (step.operator, step.live_bytes);
            writeln!(f, "  {index:>4} {operator:width$} {live:>9} |{}|", step.chart(self.bytes))?;
        }
        match self.steps.len().saturating_sub(first + SHOWN_STEPS) {
            0 => Ok(()),
            after => writeln!(f, "       … {after} steps after"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_joined_and_cut() {
        let a = Spans::of([(48, 64), (0, 16), (16, 32)]);
        assert_eq!(a.0, [(0, 32), (48, 64)]);
        assert_eq!(a.without(&Spans::of([(8, 12), (30, 50)])).0, [(0, 8), (12, 30), (50, 64)]);
        assert_eq!(a.without(&a), Spans::default());
        assert_eq!(a.with(&Spans::of([(32, 48)])).0, [(0, 64)]);
        assert_eq!(a.bytes(), 48);
        assert!(a.meets((31, 33)) && !a.meets((32, 48)) && a.meets((40, 49)));
    }

    #[test]
    fn a_chart_has_a_mark_for_every_column() {
        let step = StepMap { reads: vec![(0, 32)], writes: vec![(16, 48)], kept: vec![(48, 56)], ..StepMap::default() };
        assert_eq!(
            step.chart(64),
            format!("{}{}{}{}{}", "r".repeat(16), "x".repeat(16), "w".repeat(16), "-".repeat(8), ".".repeat(8))
        );
        assert_eq!(StepMap::default().chart(16).len(), COLUMNS as usize);
    }
}
