//! The table by operator, `docs/operators.md`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::Report;
use crate::outcome::Outcome;

/// The most reasons told of one operator, and the most characters of each.
const REASONS: usize = 3;
const LENGTH: usize = 110;

const HEAD: &str = "\
# ONNX operators, case by case

The cases that the Python package `onnx` 1.23.2 generates for its operators, compiled to an artifact and run by the executor, against the
expected values that come with them (relative tolerance 1e-3, absolute 1e-5, integers exact, 16-bit floats two steps). *As is*: every input is given when the
artifact runs. *Constant*: inputs after the first are in the model, as exporters write shapes, axes and weights. Every other case is
refused before anything is compiled, with a message that names the node, the operator and what stands in the way; none gives a wrong
value. `tests/tests/conformance` writes this page; [onnx.md](onnx.md) says what each family takes.

";

/// Compares the table with the one in the repository; `update` writes it.
pub(crate) fn check(reports: &[Report], update: bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators.md");
    let table = table(reports);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == table) {
        return;
    }
    if update {
        std::fs::write(&path, table).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    } else {
        println!("docs/operators.md is not up to date: set {}=1 to write it", crate::UPDATE);
    }
}

fn table(reports: &[Report]) -> String {
    let mut operators: BTreeMap<&str, Vec<&Report>> = BTreeMap::new();
    for report in reports {
        operators.entry(&report.case.operator).or_default().push(report);
    }
    let count =
        |reports: &[&Report], form: usize| reports.iter().filter(|report| report.outcomes[form].passes()).count();
    let all: Vec<&Report> = reports.iter().collect();
    let mut table = HEAD.to_owned();
    let (as_is, constant) = (count(&all, 0), count(&all, 1));
    let _ = writeln!(table, "{as_is} of {} cases pass as they are, {constant} with constants.\n", all.len());
    table.push_str("| operator | cases | as is | constant | the others, with constants |\n|---|---:|---:|---:|---|\n");
    for (operator, reports) in operators {
        let (as_is, constant) = (count(&reports, 0), count(&reports, 1));
        let _ = writeln!(
            table,
            "| {operator} | {} | {as_is} | {constant} | {} |",
            reports.len(),
            reasons(operator, &reports)
        );
    }
    table
}

/// Why cases are refused with constants, the most frequent reason first, and how many results are padded.
fn reasons(operator: &str, reports: &[&Report]) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for report in reports {
        match &report.outcomes[1] {
            Outcome::Refused(blockers) => *reasons.entry(reason(operator, &blockers[0])).or_default() += 1,
            Outcome::Padded => {
                *reasons.entry("(passes) results are padded to a fixed capacity".to_owned()).or_default() += 1
            }
            Outcome::Passes | Outcome::Wrong(_) => {}
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let left: usize = reasons.iter().skip(REASONS).map(|(_, count)| count).sum();
    let mut parts: Vec<_> = reasons.iter().take(REASONS).map(|(reason, count)| format!("{count}: {reason}")).collect();
    if left > 0 {
        parts.push(format!("{left} others"));
    }
    parts.join("<br>")
}

fn reason(operator: &str, blocker: &ekiben::frontend::Blocker) -> String {
    let mut reason = blocker.reason.lines().next().unwrap_or_default().replace('|', "\\|");
    if blocker.operator != operator {
        reason = format!("{}: {reason}", blocker.operator);
    }
    match reason.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    }
}
