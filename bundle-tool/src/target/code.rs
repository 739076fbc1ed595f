//! Sizes of the runtime's code, measured on a Cortex-M4F by `scripts/measure-code.sh`, which writes `code_size.tsv`.

/// Lines of the name of an operator's module, a tab, and bytes.
const MEASURED: &str = include_str!("code_size.tsv");

/// Name of the line for a firmware without any operator.
const RUNTIME: &str = "runtime";

/// Bytes of code and constants of a firmware that can load an artifact, without operators.
pub(super) fn runtime() -> u64 {
    measured(RUNTIME).unwrap_or_else(largest)
}

/// Bytes that the operator with this path ([`ekiben_runtime::Op::path_of`]) adds, what it shares with others included; the largest of all
/// for one that has not been measured.
pub(super) fn kernel(path: &str) -> u64 {
    path.split("::").next().and_then(measured).unwrap_or_else(largest)
}

fn lines() -> impl Iterator<Item = (&'static str, u64)> {
    let line = |line: &'static str| {
        let (name, bytes) = line.split_once('\t')?;
        Some((name, bytes.parse().ok()?))
    };
    MEASURED.lines().filter_map(line)
}

fn measured(name: &str) -> Option<u64> {
    lines().find(|&(known, _)| known == name).map(|(_, bytes)| bytes)
}

fn largest() -> u64 {
    lines().map(|(_, bytes)| bytes).max().unwrap_or(0)
}
