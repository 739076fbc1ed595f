//! Comprehensions: over values that are known, item by item; over rows, once for all of them.

use std::rc::Rc;

use ruff_python_ast::{Comprehension, Expr, ExprDictComp};

use super::super::library;
use super::{Array, Evaluated, Evaluator, Index, LoopId, MAX_ITEMS, Place, Stop, Value};

/// What a loop goes over.
pub(super) enum Iteration<'a> {
    /// Items that are known.
    Items(Vec<Value<'a>>),
    /// One value for every position of a loop.
    Rows(LoopId, Value<'a>),
}

impl<'a> Evaluator<'_, 'a> {
    /// `[item for … in …]`.
    pub(super) fn comprehension(
        &mut self,
        place: &'a Expr,
        item: &'a Expr,
        generators: &'a [Comprehension],
    ) -> Evaluated<'a> {
        let generator = self.single(place, generators)?;
        let place = self.place(place);
        match self.iterate_over(generator, false)? {
            Iteration::Items(items) => {
                let mut results = Vec::new();
                for value in items {
                    if let Some(result) = self.each(generator, value, |evaluator| evaluator.expression(item))? {
                        results.push(result);
                    }
                }
                Ok(Self::list(results))
            }
            Iteration::Rows(id, value) => {
                if let Some(filter) = generator.ifs.first() {
                    return self
                        .fail_at(filter, "which rows are left out depends on the request; all rows are answered");
                }
                let Some(result) = self.each(generator, value, |evaluator| evaluator.expression(item))? else {
                    return self.fail(place, "this comprehension is not compiled");
                };
                self.rows(id, result, place)
            }
        }
    }

    /// `{key: value for … in …}`.
    pub(super) fn dict_comprehension(&mut self, comprehension: &'a ExprDictComp) -> Evaluated<'a> {
        let place = self.place(comprehension);
        let (Some(key), [generator]) = (&comprehension.key, &comprehension.generators[..]) else {
            return self.fail(place, "only a dict comprehension with one `for` is compiled");
        };
        match self.iterate_over(generator, true)? {
            Iteration::Items(items) => {
                let mut results = Vec::new();
                for value in items {
                    let pair = |evaluator: &mut Self| {
                        let key = evaluator.expression(key)?;
                        Ok(Value::Tuple([key, evaluator.expression(&comprehension.value)?].into()))
                    };
                    if let Some(Value::Tuple(pair)) = self.each(generator, value, pair)?
                        && let [key, value] = &*pair
                    {
                        results.push((key.clone(), value.clone()));
                    }
                }
                self.dict(results, place)
            }
            Iteration::Rows(..) => {
                self.fail(place, "the keys of this dict depend on the request. Make a list with one item per row")
            }
        }
    }

    fn single(&self, place: &'a Expr, generators: &'a [Comprehension]) -> Result<&'a Comprehension, Stop> {
        match generators {
            [generator] if !generator.is_async => Ok(generator),
            _ => self.fail_at(place, "only a comprehension with one plain `for` is compiled. Nest two of them"),
        }
    }

    /// What `item` gives when the loop's names have `value`; `None` if a condition leaves it out. The names end with it.
    fn each(
        &mut self,
        generator: &'a Comprehension,
        value: Value<'a>,
        item: impl FnOnce(&mut Self) -> Evaluated<'a>,
    ) -> Result<Option<Value<'a>>, Stop> {
        let outer = self.scope().locals.clone();
        self.scope().comprehensions += 1;
        self.assign(&generator.target, value)?;
        let mut kept = true;
        for filter in &generator.ifs {
            kept = match self.expression(filter)?.truth() {
                Some(truth) => kept && truth,
                None => return self.fail_at(filter, "this condition depends on the request"),
            };
        }
        let result = if kept { Some(item(self)?) } else { None };
        self.scope().locals = outer;
        self.scope().comprehensions -= 1;
        Ok(result)
    }

    fn iterate_over(&mut self, generator: &'a Comprehension, unroll: bool) -> Result<Iteration<'a>, Stop> {
        let place = self.place(&generator.iter);
        let value = self.expression(&generator.iter)?;
        self.iterate(&value, unroll, place)
    }

    /// What a loop over `value` gives; with `unroll`, axes of known length are taken apart.
    pub(super) fn iterate(&mut self, value: &Value<'a>, unroll: bool, place: Place) -> Result<Iteration<'a>, Stop> {
        match self.known_items(value, unroll, place)? {
            Some(items) => Ok(Iteration::Items(items)),
            None => {
                let Some(extent) = self.row_extent(value, place)? else {
                    return self.fail(place, format!("{} is not iterated over", value.describe()));
                };
                self.loops.push(extent);
                let id = self.loops.len() - 1;
                let row = self.row(value, id, place)?;
                Ok(Iteration::Rows(id, row))
            }
        }
    }

    /// The items of a value whose number is known; `None` for rows.
    pub(in crate::service) fn known_items(
        &mut self,
        value: &Value<'a>,
        unroll: bool,
        place: Place,
    ) -> Result<Option<Vec<Value<'a>>>, Stop> {
        let items = match value {
            Value::List(items) | Value::Tuple(items) => items.to_vec(),
            Value::Stored(_) => library::lines(self, value, place)?,
            Value::Dict(items) => items.iter().map(|(key, _)| key.clone()).collect(),
            Value::Range(from, to) => {
                if to.saturating_sub(*from) > MAX_ITEMS as i64 {
                    return self.fail(place, format!("more than {MAX_ITEMS} items are not compiled"));
                }
                (*from..*to).map(Value::Int).collect()
            }
            Value::Array(array) => match array.axes(&self.graph).first() {
                Some(&axis) => match array.extent(&self.graph, axis) {
                    (length, false) if unroll && length <= MAX_ITEMS => {
                        (0..length).map(|at| Value::Array(array.with_index(axis, Index::At(at as u32)))).collect()
                    }
                    _ => return Ok(None),
                },
                None => match self.open_leaf(array) {
                    Some(leaf) => return self.settle_records(leaf, place),
                    None => return self.fail(place, "a number is not iterated over"),
                },
            },
            Value::Json(json) => return self.settle_list(json, place),
            Value::Enumerate(inner, start) => match self.known_items(inner, true, place)? {
                Some(items) => {
                    (*start..).zip(items).map(|(at, item)| Value::Tuple([Value::Int(at), item].into())).collect()
                }
                None => return self.fail(place, "the number of a row is not compiled. Leave `enumerate` out"),
            },
            Value::Zip(members) => return self.zip_items(members, unroll, place),
            _ => return Ok(None),
        };
        Ok(Some(items))
    }

    /// `zip`: by items where one member is known item by item, else by rows.
    fn zip_items(&mut self, members: &[Value<'a>], unroll: bool, place: Place) -> Result<Option<Vec<Value<'a>>>, Stop> {
        let mut known = Vec::new();
        for member in members {
            known.push(self.known_items(member, unroll, place)?);
        }
        if known.iter().all(Option::is_none) && !members.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::new();
        for (member, items) in members.iter().zip(known) {
            let items = match items {
                Some(items) => Some(items),
                None => self.known_items(member, true, place)?,
            };
            match items {
                Some(items) => columns.push(items),
                None => {
                    return self.fail(
                        place,
                        "rows, whose number depends on the request, are zipped with items that are known",
                    );
                }
            }
        }
        let length = columns.iter().map(Vec::len).min().unwrap_or(0);
        let tuple = |at: usize| Value::Tuple(columns.iter().map(|column| column[at].clone()).collect());
        Ok(Some((0..length).map(tuple).collect()))
    }

    /// How many rows a value has: the factor, and whether the number of rows in a request multiplies it.
    fn row_extent(&self, value: &Value<'a>, place: Place) -> Result<Option<(usize, bool)>, Stop> {
        Ok(match value {
            Value::Array(array) => array.axes(&self.graph).first().map(|&axis| array.extent(&self.graph, axis)),
            Value::Rows(id, _) => self.loops.get(*id).copied(),
            Value::Zip(members) => {
                let mut extent = None;
                for member in members.iter() {
                    let next = self.row_extent(member, place)?;
                    if extent.is_some() && extent != next {
                        return self.fail(place, "what is zipped has different numbers of rows");
                    }
                    extent = next;
                }
                extent
            }
            _ => None,
        })
    }

    /// The row of loop `id` of a value.
    fn row(&self, value: &Value<'a>, id: LoopId, place: Place) -> Evaluated<'a> {
        match value {
            Value::Array(array) => match array.axes(&self.graph).first() {
                Some(&axis) => Ok(Value::Array(array.with_index(axis, Index::Loop(id)))),
                None => self.fail(place, "a number is not iterated over"),
            },
            Value::Rows(old, item) => Ok(item.substitute(*old, Index::Loop(id))),
            Value::Zip(members) => {
                let rows = members.iter().map(|member| self.row(member, id, place)).collect::<Result<Vec<_>, _>>()?;
                Ok(Value::Tuple(rows.into()))
            }
            other => self.fail(place, format!("{} is not iterated over", other.describe())),
        }
    }

    /// The list of `item` for every position of loop `id`: an array's part where it is just that.
    pub(super) fn rows(&self, id: LoopId, item: Value<'a>, place: Place) -> Evaluated<'a> {
        if let Value::Array(array) = &item
            && let Some(axis) = array.indices.iter().position(|index| *index == Index::Loop(id))
            && array.axes(&self.graph).first().is_none_or(|&first| axis < first)
        {
            return Ok(Value::Array(Array { python: true, ..array.with_index(axis, Index::All) }));
        }
        let batched = self.loops.get(id).is_some_and(|(_, batched)| *batched);
        if !item.reads(id) && !batched {
            return self.fail(place, "no item of this comprehension reads what it goes over");
        }
        Ok(Value::Rows(id, Rc::new(item)))
    }
}
