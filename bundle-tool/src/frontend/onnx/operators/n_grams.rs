//! Counts of n-grams.

use std::collections::HashSet;

use ekiben_runtime::ops::n_grams::{CountMode, NGramCounts};
use ekiben_runtime::{DType, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, one};

/// The most columns of a result.
const MAX_COLUMNS: usize = 1 << 20;

/// Start in the pool, length and number of each n-gram; numbers count all n-grams in the order of the pool.
fn grams(starts: &[i64], pool: usize) -> Result<Vec<(usize, usize, usize)>, Refusal> {
    let inside = |&start: &i64| usize::try_from(start).ok().filter(|&start| start <= pool);
    let starts =
        starts.iter().map(inside).collect::<Option<Vec<_>>>().ok_or("ngram_counts are not places in the pool")?;
    let mut found = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let length = index + 1;
        let end = starts.get(length).copied().unwrap_or(pool);
        let elements = end.checked_sub(start).filter(|elements| elements % length == 0);
        let elements = elements.ok_or("ngram_counts do not divide the pool into n-grams")?;
        for gram in 0..elements / length {
            found.push((start + gram * length, length, found.len()));
        }
    }
    Ok(found)
}

/// The weight of each column, from those of the n-grams.
fn by_column(weights: &[f32], columns: &[i64], width: usize) -> Result<Vec<f32>, Refusal> {
    if weights.len() != columns.len() {
        return Err(Refusal(format!("{} weights for {} n-grams", weights.len(), columns.len())));
    }
    let mut stated = vec![None; width];
    for (&weight, &column) in weights.iter().zip(columns) {
        if *stated[column as usize].get_or_insert(weight) != weight {
            return Err(Refusal(format!("n-grams of column {column} have different weights")));
        }
    }
    Ok(stated.into_iter().map(|weight| weight.unwrap_or(1.0)).collect())
}

pub(super) fn tf_idf(call: &mut Call<'_>) -> Lowered {
    let stated = |name: &str| call.attributes.int(name)?.ok_or_else(|| Refusal(format!("attribute {name} is missing")));
    let (least, most, skips) = (stated("min_gram_length")?, stated("max_gram_length")?, stated("max_skip_count")?);
    let skips = u32::try_from(skips).map_err(|_| Refusal(format!("attribute max_skip_count is {skips}")))?;
    if least < 1 || most < least {
        return Err(Refusal(format!("min_gram_length is {least} and max_gram_length {most}")));
    }
    let mode = match call.attributes.string("mode")? {
        Some("TF") => CountMode::Count,
        Some("IDF") => CountMode::Presence,
        Some("TFIDF") => CountMode::Weighted,
        other => return Err(Refusal(format!("attribute mode is {other:?}"))),
    };
    if call.attributes.has("pool_strings") {
        return Err("attribute pool_strings: texts are not supported".into());
    }
    let weights = call.attributes.floats("weights")?;
    let pool = call.attributes.ints("pool_int64s")?.ok_or("attribute pool_int64s is missing")?;
    let columns = call.attributes.ints("ngram_indexes")?.ok_or("attribute ngram_indexes is missing")?;
    let starts = call.attributes.ints("ngram_counts")?.ok_or("attribute ngram_counts is missing")?;
    let grams = grams(starts, pool.len())?;
    if grams.len() != columns.len() || columns.iter().any(|&column| column < 0) {
        return Err(Refusal(format!("{} ngram_indexes for {} n-grams", columns.len(), grams.len())));
    }
    let width =
        columns.iter().max().and_then(|&last| usize::try_from(last).ok()).map_or(0, |last| last.saturating_add(1));
    if width > MAX_COLUMNS {
        return Err(Refusal(format!("{width} columns, {MAX_COLUMNS} are supported")));
    }
    let mut table = Vec::new();
    let mut seen = HashSet::new();
    for (start, length, number) in grams {
        if !seen.insert(&pool[start..start + length]) {
            return Err(Refusal(format!("n-gram {:?} is there twice", &pool[start..start + length])));
        }
        if (least..=most).contains(&(length as i64)) {
            let row = [start as i64, length as i64, columns[number]].map(i32::try_from);
            let row = row.into_iter().collect::<Result<Vec<_>, _>>().map_err(|_| "the pool is too large")?;
            table.extend(row);
        }
    }
    if table.is_empty() {
        return Err("there are no n-grams to count".into());
    }
    let x = call.tensor(0)?;
    let last = call.shape(x).rank().checked_sub(1).ok_or("it needs one axis at least")?;
    let mut inputs = vec![
        x,
        call.constant(DType::I64, &[pool.len()], pool)?,
        call.constant(DType::I32, &[table.len() / 3, 3], &table)?,
    ];
    if let Some(weights) = weights.filter(|weights| !weights.is_empty()) {
        let weights = by_column(weights, columns, width)?;
        inputs.push(call.constant(DType::F32, &[width], &weights)?);
    }
    let inputs: Vec<_> = inputs.into_iter().map(Some).collect();
    let declared = TensorSpec::new(DType::F32, call.shape(x).with_axis(last, width, false)?);
    one(call.add_node(NGramCounts { skips, mode }.into(), &inputs, &[declared])?[0])
}
