//! What a model's trees compute, as operators.

use std::collections::HashMap;

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::category_statistics::{CategoryStatistics, Part, category_value, combined};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::oblivious_trees::{BinSplit, NAN_ABOVE, ObliviousTrees};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::text_hash::TextHash;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::ensemble::{Ctr, CtrTable, CtrType, Ensemble, NanTreatment, Node, Projection, Split, Trees};
use crate::frontend::FrontendError;
use crate::frontend::forest::{self, Aggregate, Combination, Comparison, Forest, Test, TreeNode};
use crate::graph::{Graph, TensorId};

/// What a model is asked about.
#[derive(Clone, Debug)]
pub(in crate::frontend) enum Columns {
    /// `[N, columns]` of numbers.
    Matrix(TensorId),
    /// One tensor for each column: `[N]` of numbers or `[N, bytes]` of text.
    Table(Vec<TensorId>),
}

/// Borders of one column of bins; one more serves to tell categories of later columns.
const BORDERS: usize = 254;

/// The most values of statistics.
const MAX_STATISTICS: usize = 1 << 26;

fn damaged(path: &str, reason: impl std::fmt::Display) -> FrontendError {
    FrontendError::malformed(path, reason)
}

/// The position among `indices` of the feature that a file numbers `index`.
fn position(mut indices: impl Iterator<Item = i32>, index: i32) -> Result<u32, FrontendError> {
    let found = indices.position(|known| known == index).and_then(|position| u32::try_from(position).ok());
    found.ok_or_else(|| damaged("features", format_args!("a combination has feature {index}, which is not there")))
}

/// The tables of [`CategoryStatistics`] as they grow.
#[derive(Default)]
struct Statistics {
    rows: Vec<[u32; 3]>,
    parts: Vec<[u32; 3]>,
    keys: Vec<u64>,
    values: Vec<f32>,
    columns: usize,
}

impl Statistics {
    /// Adds a statistic: `values` gives a row of columns for each key and one for unknown combinations.
    fn push(&mut self, parts: &[Part], keys: &[u64], width: usize, values: Vec<f32>) -> Result<(), FrontendError> {
        self.parts.extend(parts.iter().map(|part| part.pack()));
        self.keys.extend(keys);
        self.values.extend(values);
        let row = [self.parts.len(), self.keys.len(), width].map(u32::try_from);
        if row.iter().any(Result::is_err) || self.values.len() > MAX_STATISTICS {
            return Err(damaged("statistics", "there are too many counts"));
        }
        self.rows.push(row.map(Result::unwrap_or_default));
        self.columns += width;
        Ok(())
    }
}

/// Statistics of the same combinations of the same features.
struct Group<'e> {
    projection: &'e Projection,
    keys: Vec<u64>,
    ctrs: Vec<usize>,
}

impl Ensemble {
    /// The trees' sum with scale and bias, before any link: `[N, dimension]` in float64.
    ///
    /// # Errors
    /// Parts of the model that do not belong together; columns that are not what the model needs.
    pub(super) fn lower(&self, graph: &mut Graph, path: &str, columns: &Columns) -> Result<TensorId, FrontendError> {
        let (x, places) = self.features(graph, path, columns)?;
        let mut sum = match &self.trees {
            Trees::Oblivious(trees) => self.lower_oblivious(graph, path, trees, x, &places)?,
            Trees::Free(trees) => self.lower_free(graph, path, trees, x, &places)?,
        };
        if self.scale != 1.0 {
            let scale = graph.add_constant(&format!("{path}/scale"), DType::F64, &[1], &[self.scale])?;
            sum = graph.add(&format!("{path}/scaled"), Binary { kind: BinaryKind::Mul }, &[sum, scale])?;
        }
        if self.bias.iter().any(|&bias| bias != 0.0) {
            let bias = graph.add_constant(&format!("{path}/bias"), DType::F64, &[self.dimension], &self.bias)?;
            sum = graph.add(&format!("{path}/biased"), Binary { kind: BinaryKind::Add }, &[sum, bias])?;
        }
        Ok(sum)
    }

    /// All that trees read, `[N, columns]` in float32, and the column of each source.
    fn features(
        &self,
        graph: &mut Graph,
        path: &str,
        columns: &Columns,
    ) -> Result<(TensorId, Vec<usize>), FrontendError> {
        let used = self.floats.iter().enumerate().filter(|(_, feature)| !feature.borders.is_empty());
        let table = match columns {
            Columns::Matrix(x) => {
                let flat = used.map(|(_, feature)| usize::try_from(feature.flat).unwrap_or_default());
                return Ok((cast(graph, path, *x)?, flat.collect()));
            }
            Columns::Table(table) => table,
        };
        let mut places: Vec<usize> = used.map(|(position, _)| position).collect();
        let column = |flat: i32| {
            let column = usize::try_from(flat).ok().and_then(|flat| table.get(flat)).copied();
            column.ok_or_else(|| damaged("features", format_args!("column {flat} is not there")))
        };
        let mut numbers = Vec::with_capacity(self.floats.len());
        for feature in &self.floats {
            let number = cast(graph, path, column(feature.flat)?)?;
            let shape = graph.shape(number);
            let rows = shape.factor(0).unwrap_or(1);
            let shape = Shape::new(&[rows, 1], shape.batch_axis()).map_err(|error| damaged(path, error))?;
            let spec = TensorSpec::new(DType::F32, shape);
            numbers.push(graph.add_declared(&format!("{path}/column"), Reshape, &[number], spec)?);
        }
        let numbers = join(graph, &format!("{path}/numbers"), &numbers)?;
        let (statistics, columns) = self.statistics()?;
        let offset = self.floats.len();
        places.extend(columns.iter().map(|column| offset + column));
        if statistics.rows.is_empty() {
            let none = || FrontendError::unsupported(path, "CatBoost", "the model has no features");
            return Ok((numbers.ok_or_else(none)?, places));
        }
        let mut hashes = Vec::with_capacity(self.cats.len());
        for feature in &self.cats {
            hashes.push(graph.add(&format!("{path}/hash"), TextHash, &[column(feature.flat)?])?);
        }
        let none = || damaged("features", "statistics without categories");
        let hashes = join(graph, &format!("{path}/hashes"), &hashes)?.ok_or_else(none)?;
        let mut constant = |part: &str, rows: &[[u32; 3]]| {
            let name = format!("{path}/{part}");
            graph.add_constant(&name, DType::U32, &[rows.len(), 3], rows.as_flattened())
        };
        let rows = constant("statistics", &statistics.rows)?;
        let parts = constant("parts", &statistics.parts)?;
        let keys =
            graph.add_constant(&format!("{path}/keys"), DType::U64, &[statistics.keys.len()], &statistics.keys)?;
        let name = format!("{path}/statistics_values");
        let values = graph.add_constant(&name, DType::F32, &[statistics.values.len()], &statistics.values)?;
        let inputs = [Some(hashes), Some(rows), Some(parts), Some(keys), Some(values), numbers];
        let inputs = if numbers.is_some() { &inputs[..] } else { &inputs[..5] };
        let made = graph.add_node(&format!("{path}/categories"), CategoryStatistics, inputs, &[])?[0];
        let all: Vec<TensorId> = numbers.into_iter().chain([made]).collect();
        let x = join(graph, &format!("{path}/features"), &all)?;
        Ok((x.unwrap_or(made), places))
    }

    /// The statistics that trees ask for, and the column of each one-hot feature and statistic.
    fn statistics(&self) -> Result<(Statistics, Vec<usize>), FrontendError> {
        let mut made = Statistics::default();
        let mut columns = Vec::new();
        for one_hot in &self.one_hots {
            let column = position(self.cats.iter().map(|cat| cat.index), one_hot.cat)?;
            let numbered = one_hot.values.iter().zip(1..);
            let mut known: Vec<(u64, f32)> =
                numbered.map(|(&hash, number)| (combined(0, category_value(hash)), number as f32)).collect();
            known.sort_by_key(|&(key, _)| key);
            known.dedup_by_key(|&mut (key, _)| key);
            let (keys, mut values): (Vec<u64>, Vec<f32>) = known.into_iter().unzip();
            values.push(0.0);
            columns.push(made.columns);
            made.push(&[Part::Category { column }], &keys, 1, values)?;
        }
        let first = columns.len();
        columns.resize(first + self.ctrs.len(), 0);
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut of_projection: HashMap<&Projection, Vec<usize>> = HashMap::new();
        for (index, ctr) in self.ctrs.iter().enumerate() {
            let mut keys: Vec<u64> = self.table(ctr)?.places.keys().copied().collect();
            keys.sort_unstable();
            let known = of_projection.entry(&ctr.base.projection).or_default();
            match known.iter().find(|&&group| groups[group].keys == keys) {
                Some(&group) => groups[group].ctrs.push(index),
                None => {
                    known.push(groups.len());
                    groups.push(Group { projection: &ctr.base.projection, keys, ctrs: vec![index] });
                }
            }
        }
        for group in groups {
            for (at, &ctr) in group.ctrs.iter().enumerate() {
                columns[first + ctr] = made.columns + at;
            }
            let count = (group.keys.len() + 1).saturating_mul(group.ctrs.len());
            if count.saturating_add(made.values.len()) > MAX_STATISTICS {
                return Err(damaged("statistics", "there are too many counts"));
            }
            let mut values = Vec::with_capacity(count);
            for key in group.keys.iter().map(Some).chain([None]) {
                for &ctr in &group.ctrs {
                    let ctr = &self.ctrs[ctr];
                    values.push(self.table(ctr)?.value(ctr, key)?);
                }
            }
            made.push(&self.parts(group.projection)?, &group.keys, group.ctrs.len(), values)?;
        }
        Ok((made, columns))
    }

    fn table(&self, ctr: &Ctr) -> Result<&CtrTable, FrontendError> {
        self.tables.get(&ctr.base).ok_or_else(|| damaged("statistics", "counts of a combination are not in the file"))
    }

    /// The values that make a combination, in the order in which CatBoost hashes them.
    fn parts(&self, projection: &Projection) -> Result<Vec<Part>, FrontendError> {
        let cat = |index| position(self.cats.iter().map(|cat| cat.index), index);
        let mut parts = Vec::new();
        for &index in &projection.cats {
            parts.push(Part::Category { column: cat(index)? });
        }
        for &(index, border) in &projection.floats {
            let column = position(self.floats.iter().map(|feature| feature.index), index)?;
            let nan = self.floats[column as usize].nan == NanTreatment::Above;
            parts.push(Part::Above { column, border: f32::from_bits(border), nan });
        }
        for &(index, hash) in &projection.one_hots {
            parts.push(Part::Equal { column: cat(index)?, hash });
        }
        Ok(parts)
    }

    /// Borders that split `source`, whether NaN is above them, and whether they are numbers of categories.
    fn borders(&self, source: usize) -> (Vec<f32>, bool, bool) {
        let mut floats = self.floats.iter().filter(|feature| !feature.borders.is_empty());
        let count = floats.clone().count();
        if let Some(feature) = floats.nth(source) {
            return (feature.borders.clone(), feature.nan == NanTreatment::Above, false);
        }
        match source - count {
            one_hot if one_hot < self.one_hots.len() => {
                let count = self.one_hots[one_hot].values.len();
                ((0..count).map(|number| number as f32 + 0.5).collect(), false, true)
            }
            ctr => (self.ctrs[ctr - self.one_hots.len()].borders.clone(), false, false),
        }
    }

    fn lower_oblivious(
        &self,
        graph: &mut Graph,
        path: &str,
        trees: &[Vec<Split>],
        x: TensorId,
        places: &[usize],
    ) -> Result<TensorId, FrontendError> {
        let (mut columns, mut borders): (Vec<[u32; 2]>, Vec<f32>) = (Vec::new(), Vec::new());
        let mut sources = Vec::with_capacity(places.len());
        for (source, &place) in places.iter().enumerate() {
            let (own, nan_above, is_one_hot) = self.borders(source);
            sources.push((columns.len(), is_one_hot));
            for (block, part) in own.chunks(BORDERS).enumerate() {
                borders.extend(part);
                if is_one_hot && own.len() > (block + 1) * BORDERS {
                    borders.push(own[(block + 1) * BORDERS]);
                }
                let feature = u32::try_from(place).unwrap_or(u32::MAX) | if nan_above { NAN_ABOVE } else { 0 };
                columns.push([feature, u32::try_from(borders.len()).unwrap_or(u32::MAX)]);
            }
        }
        if columns.len() > 1 << 16 {
            let reason = "it has more borders than are supported; train it with a smaller `border_count`";
            return Err(FrontendError::unsupported(path, "CatBoost", reason));
        }
        let splits = trees.iter().flatten().map(|split| {
            let (first, is_one_hot) = sources[split.source];
            let (column, bin) = ((first + split.border / BORDERS) as u16, (split.border % BORDERS + 1) as u8);
            if is_one_hot {
                BinSplit { column, mask: !bin, least: 255 }
            } else {
                BinSplit { column, mask: 0, least: bin }
            }
        });
        let splits: Vec<u32> = splits.map(BinSplit::pack).collect();
        let depths: Vec<u8> = trees.iter().map(|splits| splits.len() as u8).collect();
        let name = |part: &str| format!("{path}/{part}");
        let inputs = [
            x,
            graph.add_constant(&name("columns"), DType::U32, &[columns.len(), 2], columns.as_flattened())?,
            graph.add_constant(&name("borders"), DType::F32, &[borders.len()], &borders)?,
            graph.add_constant(&name("splits"), DType::U32, &[splits.len()], &splits)?,
            graph.add_constant(&name("depths"), DType::U8, &[depths.len()], &depths)?,
            graph.add_constant(&name("leaves"), DType::F64, &[self.leaves.len()], &self.leaves)?,
        ];
        let targets = u32::try_from(self.dimension).map_err(|error| damaged(path, error))?;
        Ok(graph.add(&name("trees"), ObliviousTrees { targets }, &inputs)?)
    }

    fn lower_free(
        &self,
        graph: &mut Graph,
        path: &str,
        trees: &[Vec<Node>],
        x: TensorId,
        places: &[usize],
    ) -> Result<TensorId, FrontendError> {
        let mut forest = Forest::new(u32::try_from(self.dimension).map_err(|error| damaged(path, error))?);
        let sources: Vec<_> = (0..places.len()).map(|source| self.borders(source)).collect();
        for (index, nodes) in trees.iter().enumerate() {
            let lowered = |node: &Node| match *node {
                Node::Leaf(first) => TreeNode::Dense(&self.leaves[first..first + self.dimension]),
                Node::Split(split, when_true, when_false) => {
                    let (borders, nan_is_true, is_one_hot) = &sources[split.source];
                    let (comparison, threshold) = match is_one_hot {
                        true => (Comparison::Equal, split.border as f64 + 1.0),
                        false => (Comparison::Greater, borders[split.border].into()),
                    };
                    let feature = u32::try_from(places[split.source]).unwrap_or(u32::MAX);
                    TreeNode::Split(forest::Split {
                        feature,
                        test: Test::Compare { comparison, threshold },
                        nan_is_true: *nan_is_true,
                        zero_is_missing: false,
                        when_true,
                        when_false,
                    })
                }
            };
            let nodes: Vec<_> = nodes.iter().map(lowered).collect();
            forest.add_tree(&format!("{path}/trees[{index}]"), &nodes, 0)?;
        }
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: None };
        forest.lower(graph, &format!("{path}/trees"), x, combination)
    }
}

impl CtrTable {
    /// The statistic of a combination, or of one that was not seen in training.
    pub(super) fn value(&self, ctr: &Ctr, key: Option<&u64>) -> Result<f32, FrontendError> {
        let count = |index: usize| {
            let count = self.counts.get(index).copied();
            count.ok_or_else(|| damaged("statistics", "a combination's counts are not in the file"))
        };
        let place = key.and_then(|key| self.places.get(key)).map(|&place| place as usize);
        let border = usize::try_from(ctr.target_border).map_err(|error| damaged("statistics", error))?;
        let sum = |start: usize, end: usize| {
            let counts = self.counts.get(start..end).unwrap_or_default();
            counts.iter().fold(0_i32, |sum, &count| sum.wrapping_add(count)) as f32
        };
        Ok(match (ctr.base.kind, place) {
            (CtrType::Counter | CtrType::FeatureFreq, place) => {
                let seen = place.map_or(Ok(0), count)?;
                ctr.value(seen as f32, self.denominator as f32)
            }
            (_, None) => ctr.value(0.0, 0.0),
            (CtrType::BinarizedTargetMeanValue | CtrType::FloatTargetMeanValue, Some(place)) => {
                let first = place.saturating_mul(2);
                ctr.value(f32::from_bits(count(first)? as u32), count(first.saturating_add(1))? as f32)
            }
            (kind, Some(place)) => {
                // Of two classes there is one border, and the second class is above it.
                let classes = if kind == CtrType::Borders { self.classes.max(2) } else { self.classes };
                let border = if kind == CtrType::Borders && classes == 2 { 0 } else { border };
                if classes == 0 || border >= classes {
                    return Err(damaged("statistics", format_args!("border {border} of {classes} classes")));
                }
                let start = place.saturating_mul(classes);
                let end = start.saturating_add(classes);
                count(end - 1)?;
                let good = match kind {
                    CtrType::Borders => sum(start + border + 1, end),
                    _ => count(start + border)? as f32,
                };
                ctr.value(good, sum(start, end))
            }
        })
    }
}

/// `x` in float32.
fn cast(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    match graph.spec(x).dtype {
        DType::F32 => Ok(x),
        _ => Ok(graph.add(&format!("{path}/float32"), Cast { to: DType::F32 }, &[x])?),
    }
}

/// Columns side by side; `None` for none.
fn join(graph: &mut Graph, name: &str, parts: &[TensorId]) -> Result<Option<TensorId>, FrontendError> {
    match parts {
        [] => Ok(None),
        &[part] => Ok(Some(part)),
        parts => Ok(Some(graph.add(name, Concat { axis: 1 }, parts)?)),
    }
}
