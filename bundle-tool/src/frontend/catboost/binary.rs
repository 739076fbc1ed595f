//! Reads `.cbm` files: the magic `CBM1`, a flatbuffer with its length, and the tables of counts, each a flatbuffer with its length.
//!
//! Numbers of fields are those of CatBoost's schema (`model.fbs`, `features.fbs`, `ctr_data.fbs`).

use std::collections::HashMap;

use super::ensemble::{
    CatFeature, Ctr, CtrBase, CtrTable, CtrType, Ensemble, FloatFeature, NanTreatment, Node, OneHot, Projection,
    Questions, Trees,
};
use super::flatbuffer::{Buffer, Table};
use super::refuse_feature;
use crate::frontend::FrontendError;

/// First bytes of a file.
pub(super) const MAGIC: &[u8] = b"CBM1";
/// The only version of the flatbuffer's schema.
const VERSION: &str = "FlabuffersModel_v1";
/// Name of the part with tables of counts.
const CTR_PART: &str = "static_provider_v1";
/// A place in a table of hashes that is free.
const FREE: u64 = u64::MAX;

/// Takes a length and as many bytes off `rest`.
fn sized<'a>(rest: &mut &'a [u8], path: &str) -> Result<&'a [u8], FrontendError> {
    let parts = length(rest).and_then(|(length, after)| after.split_at_checked(length));
    let (part, after) = parts.ok_or_else(|| FrontendError::malformed(path, "the file ends in it"))?;
    *rest = after;
    Ok(part)
}

/// A length of four bytes, or of eight more after four of all ones.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&word, after) = bytes.split_first_chunk::<4>()?;
    match u32::from_le_bytes(word) {
        u32::MAX => {
            let (&word, after) = after.split_first_chunk::<8>()?;
            Some((usize::try_from(u64::from_le_bytes(word)).ok()?, after))
        }
        length => Some((length as usize, after)),
    }
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Ensemble, FrontendError> {
    let mut rest =
        bytes.strip_prefix(MAGIC).ok_or_else(|| FrontendError::malformed("file", "it is not a CatBoost model"))?;
    let core = Buffer::new(sized(&mut rest, "model")?, "model");
    let core = core.root()?;
    let version = core.text(0)?;
    if version != VERSION {
        return Err(FrontendError::unsupported("model", version, format!("only the format {VERSION} is read")));
    }
    let info = core.tables(2, |pair| Ok((pair.text(0)?, pair.text(1)?)))?.into_iter().collect();
    let trees = core.table(1)?.ok_or_else(|| FrontendError::malformed("model", "it has no trees"))?;
    let named = |table: Table<'_, '_>| Ok((table.text(2)?, table.i32(1, -1)?));
    for (index, kind) in [(12, "text"), (18, "embedding")] {
        if let Some((name, flat)) = trees.tables(index, named)?.first() {
            return Err(refuse_feature(name, *flat, kind));
        }
    }
    if !trees.tables(13, |_| Ok(()))?.is_empty() {
        return Err(FrontendError::malformed("features", "estimated features without what they are estimated from"));
    }
    let mut tables = HashMap::new();
    for part in core.texts(3)? {
        if part != CTR_PART {
            return Err(FrontendError::unsupported("model", part, "parts of this kind are not read"));
        }
        let count = length(rest).ok_or_else(|| FrontendError::malformed("counts", "the file ends in it"))?;
        rest = count.1;
        for _ in 0..count.0 {
            let table = Buffer::new(sized(&mut rest, "counts")?, "counts");
            let (base, table) = read_counts(table.root()?)?;
            tables.insert(base, table);
        }
    }
    let dimension = trees.i32(0, 0)?;
    let dimension = usize::try_from(dimension).map_err(|error| FrontendError::malformed("trees", error))?;
    let floats = trees.tables(5, read_float)?;
    let cats = trees.tables(4, |table| {
        Ok(CatFeature { index: table.i32(0, -1)?, flat: table.i32(1, -1)?, name: table.text(2)? })
    })?;
    let one_hots = trees.tables(6, |table| Ok(OneHot { cat: table.i32(0, -1)?, values: table.i32s(1)? }))?;
    let ctrs = trees.tables(7, read_ctr)?;
    let questions = Questions::new(&floats, &one_hots, &ctrs);
    let bias = match trees.f64s(16)? {
        // As wide as the leaves' values, which are in the file.
        bias if bias.is_empty() => vec![trees.f64(15, 0.0)?; dimension.min(1 << 16)],
        bias => bias,
    };
    Ensemble {
        trees: read_trees(&trees, &questions)?,
        leaves: trees.f64s(8)?,
        scale: trees.f64(14, 1.0)?,
        floats,
        cats,
        one_hots,
        ctrs,
        tables,
        dimension,
        bias,
        info,
    }
    .check()
}

fn read_float(table: Table<'_, '_>) -> Result<FloatFeature, FrontendError> {
    let has_nan = table.u8(0, 0)? != 0;
    Ok(FloatFeature {
        index: table.i32(1, -1)?,
        flat: table.i32(2, -1)?,
        borders: table.f32s(3)?,
        name: table.text(4)?,
        nan: if has_nan && table.u8(5, 0)? == 2 { NanTreatment::Above } else { NanTreatment::Below },
    })
}

fn read_base(table: Option<Table<'_, '_>>) -> Result<CtrBase, FrontendError> {
    let damaged = |what| FrontendError::malformed("statistics", what);
    let table = table.ok_or_else(|| damaged("no features"))?;
    let features = table.table(0)?.ok_or_else(|| damaged("no features"))?;
    let code = table.u8(1, 0)?;
    let &(kind, _) = CtrType::ALL.get(usize::from(code)).ok_or_else(|| damaged("an unknown kind"))?;
    let floats = features.pairs(1)?.into_iter();
    let one_hots = features.pairs(2)?.into_iter();
    let projection = Projection {
        cats: features.i32s(0)?,
        floats: floats.map(|[index, border]| (i32::from_le_bytes(index), u32::from_le_bytes(border))).collect(),
        one_hots: one_hots.map(|[index, value]| (i32::from_le_bytes(index), i32::from_le_bytes(value))).collect(),
    };
    Ok(CtrBase { projection, kind, classifier: table.i32(2, 0)? })
}

fn read_ctr(table: Table<'_, '_>) -> Result<Ctr, FrontendError> {
    let ctr = table.table(0)?.ok_or_else(|| FrontendError::malformed("statistics", "no statistic"))?;
    Ok(Ctr {
        base: read_base(ctr.table(0)?)?,
        target_border: ctr.i32(1, 0)?,
        prior: [ctr.f32(2, 0.0)?, ctr.f32(3, 1.0)?],
        shift: ctr.f32(4, 0.0)?,
        scale: ctr.f32(5, 1.0)?,
        borders: table.f32s(1)?,
    })
}

fn read_counts(table: Table<'_, '_>) -> Result<(CtrBase, CtrTable), FrontendError> {
    let base = read_base(table.table(0)?)?;
    let buckets = table.bytes(1)?.as_chunks::<12>().0.iter();
    let bucket = |&[a, b, c, d, e, f, g, h, i, j, k, l]: &[u8; 12]| {
        (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
    };
    let counts = table.bytes(2)?.as_chunks::<4>().0.iter().map(|&word| i32::from_le_bytes(word)).collect();
    let table = CtrTable {
        places: buckets.map(bucket).filter(|&(hash, _)| hash != FREE).collect(),
        counts,
        denominator: table.i32(3, 0)?,
        classes: usize::try_from(table.i32(4, 0)?).map_err(|error| FrontendError::malformed("counts", error))?,
    };
    Ok((base, table))
}

fn read_trees(trees: &Table<'_, '_>, questions: &Questions) -> Result<Trees, FrontendError> {
    let damaged = |reason| FrontendError::malformed("trees", reason);
    let (splits, sizes) = (trees.i32s(1)?, trees.i32s(2)?);
    let sizes = sizes.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
    let sizes = sizes.map_err(|_| damaged("a tree of a negative size"))?;
    let steps = trees.u32s(10)?;
    let mut rest = splits.as_slice();
    if steps.is_empty() {
        let mut oblivious = Vec::with_capacity(sizes.len());
        for size in sizes {
            let parts = rest.split_at_checked(size).ok_or_else(|| damaged("fewer splits than the trees have"))?;
            let splits = parts.0.iter().map(|&split| questions.get(split.into()));
            oblivious.push(splits.collect::<Result<_, _>>()?);
            rest = parts.1;
        }
        return Ok(Trees::Oblivious(oblivious));
    }
    let leaf_of = trees.u32s(11)?;
    if steps.len() != splits.len() || leaf_of.len() != splits.len() {
        return Err(damaged("splits, steps and leaves of nodes are not as many"));
    }
    let (mut start, mut free) = (0, Vec::with_capacity(sizes.len()));
    for size in sizes {
        let parts = rest.split_at_checked(size).filter(|_| size > 0);
        let (tree, after) = parts.ok_or_else(|| damaged("a tree without nodes, or fewer nodes than the trees have"))?;
        // Node `i` is followed by the leaf that it stands for where it has no child.
        let mut nodes = Vec::with_capacity(2 * size);
        for (at, &split) in tree.iter().enumerate() {
            let step = steps[start + at];
            let child = |distance: u32| match distance as usize {
                0 => Ok(2 * at + 1),
                distance if at + distance < size => Ok(2 * (at + distance)),
                _ => Err(damaged("a child lies in another tree")),
            };
            let leaf = leaf_of[start + at] as usize;
            nodes.push(match step {
                0 => Node::Leaf(leaf),
                _ => Node::Split(questions.get(split.into())?, child(step >> 16)?, child(step & 0xffff)?),
            });
            nodes.push(Node::Leaf(if step == 0 || step >> 16 == 0 || step & 0xffff == 0 { leaf } else { 0 }));
        }
        free.push(nodes);
        (start, rest) = (start + size, after);
    }
    Ok(Trees::Free(free))
}
