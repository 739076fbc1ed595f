//! What an artifact holds.

use std::collections::BTreeMap;

use ekiben_runtime::artifact::golden::GoldenReader;
use ekiben_runtime::artifact::header::SectionKind;
use ekiben_runtime::artifact::manifest::{Manifest, Provenance};
use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::{Artifact, Op};
use serde::Serialize;

use crate::arena_map::{ArenaMap, arena_map};

/// Strings of a category that are shown to people; `--json` has all.
const SHOWN_CATEGORIES: usize = 10;

/// What an artifact holds, for people and programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Name of the service or model.
    pub name: String,
    /// Version of the bento; empty for a bare model.
    pub version: String,
    /// Kind of the source: `v0_13`, `v1`, `bare`.
    pub generation: serde_json::Value,
    /// Labels of the bento.
    pub labels: BTreeMap<String, String>,
    /// Where it came from.
    pub provenance: Provenance,
    /// Bytes of the artifact.
    pub artifact_bytes: usize,
    /// BLAKE3 digests over structure and numbers, in hexadecimal.
    pub digests: BTreeMap<&'static str, String>,
    /// Bytes by section.
    pub sections: BTreeMap<&'static str, usize>,
    /// APIs.
    pub apis: Vec<ApiInspection>,
    /// Steps by operator, over all APIs.
    pub operators: BTreeMap<&'static str, usize>,
    /// Golden vectors by who computed them.
    pub golden: BTreeMap<&'static str, usize>,
}

/// One API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApiInspection {
    /// Name.
    pub name: String,
    /// Route without a leading slash.
    pub route: String,
    /// Inputs.
    pub inputs: Vec<TensorInspection>,
    /// Outputs.
    pub outputs: Vec<TensorInspection>,
    /// Number of steps.
    pub steps: usize,
    /// Rows that a run takes; 0 for any number.
    pub fixed_rows: u32,
    /// Bytes of arena whatever the batch.
    pub arena_fixed_bytes: u64,
    /// Bytes of arena for each row.
    pub arena_row_bytes: u64,
    /// The arena over time.
    pub arena: ArenaMap,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorInspection {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: &'static str,
    /// Lengths, the batch being `N`.
    pub shape: String,
    /// Real value of one step, for quantised tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Stored value of real zero, for quantised tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zero_point: Option<i32>,
    /// Strings that a category can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}

/// Describes an artifact.
pub fn inspect(artifact: &Artifact<'_>, manifest: &Manifest) -> Inspection {
    let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let header = artifact.header();
    let mut operators = BTreeMap::new();
    for index in 0..artifact.plans().step_count() {
        if let Some(name) = artifact.plans().step(index).and_then(|step| Op::name_of(step.tag)) {
            *operators.entry(name).or_insert(0) += 1;
        }
    }
    let apis = (0..artifact.api_count()).filter_map(|index| artifact.api(index));
    let described = apis.zip(&manifest.apis).map(|(record, api)| ApiInspection {
        name: api.name.clone(),
        route: api.route.clone(),
        inputs: tensors(artifact, &record, 0, record.inputs.into()),
        outputs: tensors(artifact, &record, record.inputs.into(), record.outputs.into()),
        steps: record.steps as usize,
        fixed_rows: record.fixed_rows,
        arena_fixed_bytes: record.arena.fixed,
        arena_row_bytes: record.arena.per_row,
        arena: arena_map(artifact, &record),
    });
    Inspection {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        generation: serde_json::to_value(manifest.generation).unwrap_or_default(),
        labels: manifest.labels.clone(),
        provenance: manifest.provenance.clone(),
        artifact_bytes: artifact.bytes().len(),
        digests: BTreeMap::from([
            ("structure", hex(&header.structure_digest)),
            ("numbers", hex(&header.numbers_digest)),
        ]),
        sections: SectionKind::ALL.iter().map(|&kind| (kind.name(), artifact.section(kind).len())).collect(),
        apis: described.collect(),
        operators,
        golden: golden(artifact),
    }
}

fn tensors(artifact: &Artifact<'_>, api: &ApiRecord, first: usize, count: usize) -> Vec<TensorInspection> {
    let records = (first..first + count).filter_map(|index| artifact.api_tensor(api, index));
    let strings = artifact.strings();
    let described = records.map(|record| TensorInspection {
        name: record.name.and_then(|name| strings.get(name)).unwrap_or_default().to_owned(),
        dtype: record.spec.dtype.name(),
        shape: record.spec.shape.to_string(),
        scale: record.spec.quantization.map(|quantization| quantization.scale),
        zero_point: record.spec.quantization.map(|quantization| quantization.zero_point),
        categories: record.spec.table.map_or(Vec::new(), |table| {
            let items = 0..strings.list_len(table).unwrap_or(0);
            items.filter_map(|item| strings.list_item(table, item)).map(str::to_owned).collect()
        }),
    });
    described.collect()
}

fn golden(artifact: &Artifact<'_>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let mut reader = GoldenReader::new(artifact);
    while let Some(Ok(head)) = reader.next_head() {
        *counts.entry(head.source.name()).or_insert(0) += 1;
        let Some(api) = artifact.api(head.api as usize) else { break };
        let inputs = (0..api.inputs).try_for_each(|_| reader.input().map(drop));
        let outputs = (0..api.outputs).try_for_each(|_| reader.output().map(drop));
        if inputs.and(outputs).is_err() {
            break;
        }
    }
    counts
}

impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = |map: &BTreeMap<&str, usize>| {
            let parts: Vec<_> = map.iter().filter(|(_, count)| **count > 0).map(|(k, v)| format!("{k} {v}")).collect();
            if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
        };
        writeln!(f, "{}", format!("{} {}", self.name, self.version).trim_end())?;
        writeln!(f, "  made by        {} for target {}", self.provenance.tool, self.provenance.target)?;
        if !self.provenance.bentoml_version.is_empty() {
            writeln!(f, "  bento          BentoML {}", self.provenance.bentoml_version)?;
        }
        for model in &self.provenance.models {
            let frameworks: Vec<_> =
                model.frameworks.iter().map(|(name, version)| format!("{name} {version}")).collect();
            writeln!(f, "  model          {} ({}) {}", model.name, model.format, frameworks.join(", "))?;
            writeln!(f, "    blake3       {}", model.blake3)?;
        }
        if !self.provenance.sources.is_empty() {
            writeln!(f, "  Python sources blake3 {}", self.provenance.sources)?;
        }
        if !self.labels.is_empty() {
            let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            writeln!(f, "  labels         {}", labels.join(", "))?;
        }
        let lengths: Vec<_> = self.provenance.dims.iter().chain(&self.provenance.shapes).map(String::as_str).collect();
        if !lengths.is_empty() {
            writeln!(f, "  lengths        {}", lengths.join(", "))?;
        }
        writeln!(f, "  size           {} bytes: {}", self.artifact_bytes, counts(&self.sections))?;
        writeln!(f, "  operators      {}", counts(&self.operators))?;
        writeln!(f, "  golden vectors {}", counts(&self.golden))?;
        for api in &self.apis {
            writeln!(f, "API {} (/{}), {} steps", api.name, api.route, api.steps)?;
            for (direction, tensors) in [("in ", &api.inputs), ("out", &api.outputs)] {
                for tensor in tensors {
                    write!(f, "  {direction} {} {} {}", tensor.name, tensor.dtype, tensor.shape)?;
                    if let (Some(scale), Some(zero)) = (tensor.scale, tensor.zero_point) {
                        write!(f, " scale {scale} zero point {zero}")?;
                    }
                    if !tensor.categories.is_empty() {
                        let shown: Vec<_> = tensor.categories.iter().take(SHOWN_CATEGORIES).cloned().collect();
                        let more = tensor.categories.len() - shown.len();
                        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
                        write!(f, " of {}{rest}", shown.join(", "))?;
                    }
                    writeln!(f)?;
                }
            }
            match api.fixed_rows {
                0 => writeln!(f, "  arena {} bytes + {} per row", api.arena_fixed_bytes, api.arena_row_bytes)?,
                rows => writeln!(f, "  arena {} bytes, {rows} row(s) at a time", api.arena_fixed_bytes)?,
            }
            write!(f, "{}", api.arena)?;
        }
        Ok(())
    }
}
