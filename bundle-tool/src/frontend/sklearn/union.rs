//! Transformers side by side: `FeatureUnion` of the same columns, `ColumnTransformer` of chosen ones.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};

use super::{Estimator, Family, Features, Method, Need, Needs, cast, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `FeatureUnion`.
pub(super) const FEATURE_UNION: Family = Family {
    classes: &["sklearn.pipeline.FeatureUnion"],
    carried: &[],
    decode: |item| Ok(Box::new(Union::decode_union(item)?)),
};

/// `ColumnTransformer`.
pub(super) const COLUMN_TRANSFORMER: Family = Family {
    classes: &["sklearn.compose._column_transformer.ColumnTransformer"],
    carried: &[
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.compose._column_transformer.make_column_selector",
        "collections.UserList",
        // What "passthrough" is stored as.
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
    ],
    decode: |item| Ok(Box::new(Union::decode_columns(item)?)),
};

/// A transformer of some columns.
#[derive(Debug)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// Where in the file it is, for messages.
    pub path: String,
    /// Positions of the columns that it takes; `None` for all.
    pub columns: Option<Vec<usize>>,
    /// The transformer; `None` hands the columns on.
    pub transformer: Option<Box<dyn Estimator>>,
    /// What its result is multiplied by.
    pub weight: Option<f64>,
}

/// Transformers whose results stand side by side.
#[derive(Debug)]
pub struct Union {
    /// Columns of the input.
    pub features: usize,
    /// The transformers, one at least.
    pub blocks: Vec<Block>,
}

/// What a list of transformers has instead of one.
enum Entry {
    Dropped,
    Passed,
    Transformer(Box<dyn Estimator>),
}

impl Entry {
    fn decode(item: &Item<'_>) -> Result<Entry, FrontendError> {
        match item.as_str() {
            Ok("drop") => return Ok(Entry::Dropped),
            Ok("passthrough") => return Ok(Entry::Passed),
            _ if item.is_none() => return Ok(Entry::Dropped),
            _ => {}
        }
        // scikit-learn keeps an identity in the place of "passthrough".
        if item.class().is_ok_and(|class| class == "sklearn.preprocessing._function_transformer.FunctionTransformer")
            && item.find("func")?.is_none_or(|func| func.is_none())
        {
            return Ok(Entry::Passed);
        }
        Ok(Entry::Transformer(super::decode(item)?))
    }
}

/// The weight of the transformer `name`.
fn weight(item: &Item<'_>, name: &str) -> Result<Option<f64>, FrontendError> {
    match item.find("transformer_weights")? {
        Some(weights) if !weights.is_none() => match weights.find(name)? {
            Some(weight) if !weight.is_none() => Ok(Some(weight.as_f64()?)),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Decodes each of `items`; what is not supported is collected over all of them.
fn decode_all<'d, T>(
    items: &[Item<'d>],
    mut decode: impl FnMut(&Item<'d>) -> Result<Option<T>, FrontendError>,
) -> Result<Vec<T>, FrontendError> {
    let (mut all, mut blockers) = (Vec::new(), Vec::new());
    for item in items {
        match decode(item) {
            Ok(decoded) => all.extend(decoded),
            Err(FrontendError::Unsupported(more)) => blockers.extend(more),
            Err(error) if blockers.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    if blockers.is_empty() { Ok(all) } else { Err(FrontendError::Unsupported(blockers)) }
}

impl Union {
    fn decode_union(item: &Item<'_>) -> Result<Union, FrontendError> {
        let blocks = decode_all(&item.get("transformer_list")?.items()?, |entry| {
            let name = entry.at(0)?.as_str()?.to_owned();
            let place = entry.at(1)?;
            let transformer = match Entry::decode(&place)? {
                Entry::Dropped => return Ok(None),
                Entry::Passed => None,
                Entry::Transformer(transformer) => Some(transformer),
            };
            Ok(Some(Block { weight: weight(item, &name)?, name, path: place.path(), columns: None, transformer }))
        })?;
        let features = blocks.iter().filter_map(|block| block.transformer.as_ref()).map(|t| t.features()).max();
        let features = match features {
            Some(features) => features,
            None => item.get("n_features_in_")?.as_usize()?,
        };
        Union { features, blocks }.check(item)
    }

    fn decode_columns(item: &Item<'_>) -> Result<Union, FrontendError> {
        let features = match item.find("n_features_in_")? {
            Some(features) => features.as_usize()?,
            None => item.get("_n_features")?.as_usize()?,
        };
        let names = super::table::column_names(item)?.unwrap_or_default();
        let resolved = item.find("_transformer_to_input_indices")?;
        let blocks = decode_all(&item.get("transformers_")?.items()?, |entry| {
            let name = entry.at(0)?.as_str()?.to_owned();
            let (place, columns) = (entry.at(1)?, entry.at(2)?);
            let known = resolved.as_ref().map(|resolved| resolved.find(&name)).transpose()?.flatten();
            let columns = match known {
                Some(known) => positions_of(&known, features)?,
                None => columns_of(&columns, features, &names)?,
            };
            if columns.is_empty() {
                return Ok(None);
            }
            let transformer = match Entry::decode(&place)? {
                Entry::Dropped => return Ok(None),
                Entry::Passed => None,
                Entry::Transformer(transformer) => Some(transformer),
            };
            let columns = Some(columns);
            Ok(Some(Block { weight: weight(item, &name)?, name, path: place.path(), columns, transformer }))
        })?;
        Union { features, blocks }.check(item)
    }

    /// Every block transforms the columns that it takes, and there is one at least.
    fn check(self, item: &Item<'_>) -> Result<Union, FrontendError> {
        if self.blocks.is_empty() {
            return Err(unsupported(item, "a transformer that gives no columns"));
        }
        for block in &self.blocks {
            let (name, given) = (&block.name, block.columns.as_ref().map_or(self.features, Vec::len));
            let Some(transformer) = &block.transformer else { continue };
            if transformer.transformed().is_none() {
                return Err(unsupported(item, format!("{name:?} does not transform")));
            }
            let taken = transformer.features();
            // 0 stands for any number of columns.
            if taken != given && taken != 0 {
                return Err(inconsistent(item, format!("{name:?} takes {taken} columns, {given} are given")));
            }
        }
        Ok(self)
    }
}

/// Positions of columns, each one of `features`.
fn positions_of(item: &Item<'_>, features: usize) -> Result<Vec<usize>, FrontendError> {
    let positions = if item.is_array() {
        item.array()?.i64s()?
    } else {
        item.items()?.iter().map(Item::as_i64).collect::<Result<_, _>>()?
    };
    positions.into_iter().map(|position| inside(item, position, features)).collect()
}

/// Position `position` of `features`, a negative one counted from the end.
fn inside(item: &Item<'_>, position: i64, features: usize) -> Result<usize, FrontendError> {
    let count = features as i64;
    let from_start = if position < 0 { position.saturating_add(count) } else { position };
    match usize::try_from(from_start) {
        Ok(place) if place < features => Ok(place),
        _ => Err(inconsistent(item, format!("column {position} of {features}"))),
    }
}

/// The columns that a specifier names: positions, names, a mask, a slice of positions or of names, or one of them alone.
fn columns_of(item: &Item<'_>, features: usize, names: &[String]) -> Result<Vec<usize>, FrontendError> {
    let named = |name: &str| {
        let place = names.iter().position(|known| known == name);
        place.ok_or_else(|| inconsistent(item, format!("column {name:?}, which the file does not name")))
    };
    if item.class().is_ok_and(|class| class.ends_with("builtins.slice") || class.ends_with("builtin__.slice")) {
        let bound = |index: usize| {
            let bound = item.argument(index)?;
            match (bound.is_none(), bound.as_str()) {
                (true, _) => Ok::<_, FrontendError>(None),
                // A slice of names includes its end.
                (_, Ok(name)) => Ok(Some((named(name)? + index) as i64)),
                _ => Ok(Some(bound.as_i64()?)),
            }
        };
        let (start, stop) = (bound(0)?, bound(1)?);
        let step = item.argument(2)?;
        let step = if step.is_none() { 1 } else { step.as_i64()? };
        return slice(start, stop, step, features).ok_or_else(|| inconsistent(item, "a slice of step 0"));
    }
    if item.class().is_ok_and(|class| class.ends_with("_RemainderColsList")) {
        return positions_of(&item.get("data")?, features);
    }
    if let Ok(name) = item.as_str() {
        return Ok(vec![named(name)?]);
    }
    if let Ok(position) = item.as_i64() {
        return Ok(vec![inside(item, position, features)?]);
    }
    if item.is_none() {
        return Ok(Vec::new());
    }
    let items = if item.is_array() { None } else { item.items().ok() };
    if item.is_array() {
        let array = item.array()?;
        if let Ok(mask) = array.bools() {
            return Ok(mask_places(&mask, features));
        }
        if let Ok(positions) = array.i64s() {
            return positions.into_iter().map(|position| inside(item, position, features)).collect();
        }
        return array.strings()?.iter().map(|name| named(name)).collect();
    }
    let Some(items) = items else {
        return Err(unsupported(
            item,
            "columns chosen by a function; name them, or fit with scikit-learn 1.0 or newer",
        ));
    };
    if let Ok(mask) = items.iter().map(Item::as_bool).collect::<Result<Vec<bool>, _>>()
        && !mask.is_empty()
    {
        return Ok(mask_places(&mask, features));
    }
    items.iter().map(|item| columns_of(item, features, names)).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
}

/// Positions of what is true.
fn mask_places(mask: &[bool], features: usize) -> Vec<usize> {
    mask.iter().take(features).enumerate().filter(|(_, chosen)| **chosen).map(|(place, _)| place).collect()
}

/// The positions of a Python slice of a list of `length`; `None` for a step of 0.
fn slice(start: Option<i64>, stop: Option<i64>, step: i64, length: usize) -> Option<Vec<usize>> {
    let length = length as i64;
    let (lowest, highest) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let bound = |bound: Option<i64>, default: i64| {
        let Some(bound) = bound else { return default };
        let from_start = if bound < 0 { bound.saturating_add(length) } else { bound };
        from_start.clamp(lowest, highest)
    };
    let (first, last) = match step {
        0 => return None,
        step if step < 0 => (bound(start, highest), bound(stop, lowest)),
        _ => (bound(start, lowest), bound(stop, highest)),
    };
    let mut places = Vec::new();
    let mut at = first;
    while if step < 0 { at > last } else { at < last } {
        places.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    Some(places)
}

impl Block {
    /// Columns of the result.
    fn width(&self, features: usize) -> usize {
        let given = self.columns.as_ref().map_or(features, Vec::len);
        match &self.transformer {
            Some(transformer) if transformer.features() != 0 => transformer.transformed().unwrap_or(0),
            _ => given,
        }
    }
}

impl Estimator for Union {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.blocks.iter().map(|block| block.width(self.features)).sum())
    }

    fn needs(&self, path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        let mut all = vec![Need::Nothing; self.features];
        let mut start = 0;
        for block in &self.blocks {
            let width = block.width(self.features);
            let part = match after {
                Needs::Numbers => Needs::Numbers,
                Needs::Columns(_) => Needs::columns((start..start + width).map(|column| after.of(column)).collect()),
            };
            start += width;
            let needs = match &block.transformer {
                Some(transformer) => transformer.needs(&block.path, &part)?,
                None => part,
            };
            for position in 0..block.columns.as_ref().map_or(self.features, Vec::len) {
                let column = block.columns.as_ref().map_or(position, |columns| columns[position]);
                let before = std::mem::replace(&mut all[column], Need::Nothing);
                all[column] = before.and(needs.of(position), path)?;
            }
        }
        Ok(Needs::columns(all))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        Ok(self.transform(graph, path, x)?.tensors())
    }

    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        let mut parts = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let taken = match &block.columns {
                Some(columns) => x.select(graph, &block.path, columns)?,
                None => x.clone(),
            };
            let mut part = match &block.transformer {
                Some(transformer) => transformer.transform(graph, &block.path, &taken)?,
                None => taken.gathered(graph, &block.path)?,
            };
            if let Some(weight) = block.weight {
                let matrix = part.matrix(graph, &block.path)?;
                let matrix = cast(graph, &block.path, matrix, DType::F64)?;
                let name = format!("{}/weight", block.path);
                let weight = graph.add_constant(&name, DType::F64, &[1], &[weight])?;
                part = Features::of(graph.add(&name, Binary { kind: BinaryKind::Mul }, &[matrix, weight])?);
            }
            parts.push(part);
        }
        Features::join(graph, path, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::slice;

    #[test]
    fn slices_are_pythons() {
        assert_eq!(slice(Some(1), Some(3), 1, 5), Some(vec![1, 2]));
        assert_eq!(slice(None, None, 2, 5), Some(vec![0, 2, 4]));
        assert_eq!(slice(Some(-2), None, 1, 5), Some(vec![3, 4]));
        assert_eq!(slice(None, None, -2, 5), Some(vec![4, 2, 0]));
        assert_eq!(slice(Some(3), Some(0), -1, 5), Some(vec![3, 2, 1]));
        assert_eq!(slice(Some(9), Some(99), 1, 5), Some(vec![]));
        assert_eq!(slice(None, None, 0, 5), None);
    }
}
