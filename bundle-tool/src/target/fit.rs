//! What an artifact needs of a device, beside what the device has.

use std::fmt;

use ekiben_edge::arena_map::arena_map;
use ekiben_runtime::artifact::header::SectionKind;
use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::{Artifact, Op};

use super::{System, Target, code, work};

/// Stack of a firmware that loads and runs an artifact: `examples/firmware` prints what it measures on a Cortex-M4F.
const STACK: u64 = 8 << 10;
/// Memory of the device program besides arena and artifact: what `bench --json` prints as `rss_kb` for a small model.
const PROGRAM: u64 = 8 << 20;

/// Something that takes memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// What is needed of one kind of memory, and what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// `RAM` or `flash`.
    pub resource: &'static str,
    /// Bytes that the device has.
    pub available: u64,
    /// What takes how much.
    pub parts: Vec<Part>,
}

impl Demand {
    /// Bytes of all parts.
    pub fn needed(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).fold(0, u64::saturating_add)
    }

    /// True when there is enough.
    pub fn fits(&self) -> bool {
        self.needed() <= self.available
    }
}

/// Multiply-accumulates of one row of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The API.
    pub api: String,
    /// Multiply-accumulates.
    pub multiply_accumulates: u64,
}

/// What an artifact needs of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The device.
    pub target: Target,
    /// Its memory, and its flash where that is counted.
    pub demands: Vec<Demand>,
    /// Work of each API.
    pub work: Vec<Work>,
}

impl Fit {
    /// What `artifact` needs of `target`, for one row at a time.
    pub fn of(artifact: &Artifact<'_>, target: &Target) -> Self {
        let mut demands = vec![ram(artifact, target)];
        demands.extend(target.flash.map(|available| flash(artifact, target, available)));
        let apis =
            (0..artifact.api_count()).filter_map(|index| Some((artifact.api_name(index)?, artifact.api(index)?)));
        let work = apis.map(|(name, api)| Work {
            api: name.to_owned(),
            multiply_accumulates: work::multiply_accumulates(artifact, &api),
        });
        Self { target: target.clone(), demands, work: work.collect() }
    }

    /// True when there is enough of everything.
    pub fn fits(&self) -> bool {
        self.demands.iter().all(Demand::fits)
    }
}

fn part(name: impl Into<String>, bytes: u64) -> Part {
    Part { name: name.into(), bytes }
}

fn ram(artifact: &Artifact<'_>, target: &Target) -> Demand {
    let arenas = (0..artifact.api_count()).filter_map(|index| {
        let api = artifact.api(index)?;
        let bytes = artifact.arena_bytes(index, api.fixed_rows.max(1) as usize);
        Some((artifact.api_name(index)?, api, bytes.map_or(u64::MAX, |bytes| bytes as u64)))
    });
    let arena = arenas.max_by_key(|&(_, _, bytes)| bytes);
    let mut parts: Vec<Part> =
        arena.into_iter().map(|(name, api, bytes)| part(arena_name(artifact, name, &api), bytes)).collect();
    match target.system {
        System::None => parts.push(part("stack", STACK)),
        System::Linux => {
            parts.push(part("artifact, mapped", artifact.bytes().len() as u64));
            parts.push(part("ekiben-edge", PROGRAM));
        }
    }
    parts.push(part("reserved by the profile", target.reserved_ram));
    Demand { resource: "RAM", available: target.ram, parts }
}

/// An arena, with the step of its API that has the most bytes in use.
fn arena_name(artifact: &Artifact<'_>, name: &str, api: &ApiRecord) -> String {
    let steps = arena_map(artifact, api).steps;
    let most = steps.iter().enumerate().max_by_key(|&(index, step)| (step.live_bytes, std::cmp::Reverse(index)));
    let most = most.map_or(String::new(), |(index, step)| format!(": step {index}, {}", step.operator));
    format!("arena of {name}, {} row(s){most}", api.fixed_rows.max(1))
}

fn flash(artifact: &Artifact<'_>, target: &Target, available: u64) -> Demand {
    let section = |kind| artifact.section(kind).len() as u64;
    let (weights, tables) = (section(SectionKind::Weights), section(SectionKind::Tables));
    let whole = artifact.bytes().len() as u64;
    let mut parts = vec![
        part("weights", weights),
        part("tables", tables),
        part("plan, names, golden vectors", whole.saturating_sub(weights).saturating_sub(tables)),
    ];
    if target.system == System::None {
        parts.push(part("runtime", code::runtime()));
        let plans = artifact.plans();
        let steps = (0..plans.step_count()).filter_map(|index| plans.step(index));
        let tags: std::collections::BTreeSet<u16> = steps.map(|step| step.tag).collect();
        let kernels = tags.iter().filter_map(|&tag| Op::path_of(tag)).map(code::kernel).fold(0, u64::saturating_add);
        parts.push(part(format!("kernels of {} operators, at most", tags.len()), kernels));
    }
    parts.push(part("reserved by the profile", target.reserved_flash));
    Demand { resource: "flash", available, parts }
}

/// The table of what is needed and what there is.
impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { name, device, rust_target, isa, features, .. } = &self.target;
        writeln!(
            f,
            "target {name} ({device}): {rust_target}, {}",
            [std::slice::from_ref(isa), features].concat().join(" ")
        )?;
        writeln!(f, "  {:<52}{:>14}{:>14}", "", "needed", "available")?;
        for demand in &self.demands {
            let verdict = if demand.fits() { "" } else { "  does not fit" };
            let (needed, available) = (demand.needed(), demand.available);
            writeln!(f, "  {:<52}{needed:>14}{available:>14}{verdict}", demand.resource)?;
            for part in demand.parts.iter().filter(|part| part.bytes > 0) {
                writeln!(f, "    {:<50}{:>14}", part.name, part.bytes)?;
            }
        }
        for work in &self.work {
            writeln!(f, "  {} multiply-accumulates per row of {}", work.multiply_accumulates, work.api)?;
        }
        Ok(())
    }
}
