//! Numbers in bins.
//!
//! Before scikit-learn 1.1 a number counts as `x + (1e-8 + 1e-5 |x|)` when its bin is looked up. A number on an edge is in the bin above it.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::digitize::Digitize;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::features::take;
use super::transformer::{Transformer, floats};
use super::{Family, cast, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `KBinsDiscretizer`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.preprocessing._discretization.KBinsDiscretizer"],
    carried: &["sklearn.preprocessing._encoders.OneHotEncoder"],
    decode: |item| Ok(Box::new(Discretizer::decode(item)?)),
};

/// Bins all together at most.
const MOST_BINS: usize = 1 << 20;

/// The number of a column's bin, or a column for each bin that is 1 in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Discretizer {
    /// The inner edges of each column's bins, rising: one less than its bins.
    pub edges: Vec<Vec<f64>>,
    /// A column for each bin instead of its number.
    pub one_hot: bool,
    /// A number counts as a little more than it is.
    pub lenient: bool,
    /// Numbers are rounded to float32 first, or widened to float64; `None` leaves floats as they are.
    pub dtype: Option<DType>,
}

impl Discretizer {
    fn decode(item: &Item<'_>) -> Result<Discretizer, FrontendError> {
        let encode = item.get("encode")?;
        let one_hot = match encode.as_str()? {
            "onehot" | "onehot-dense" => true,
            "ordinal" => false,
            _ => return Err(encode.wrong("onehot, onehot-dense or ordinal").into()),
        };
        let dtype = match item.find("dtype")?.filter(|dtype| !dtype.is_none()) {
            None => None,
            Some(dtype) => match dtype.as_global() {
                Ok("numpy.float32") => Some(DType::F32),
                Ok("numpy.float64") => Some(DType::F64),
                _ => return Err(unsupported(&dtype, "a type other than numpy.float32 and numpy.float64")),
            },
        };
        let counts = item.get("n_bins_")?;
        let counts = counts.array()?.i64s()?;
        let all = item.get("bin_edges_")?;
        let mut edges = Vec::new();
        let mut total = 0usize;
        for column in all.items()? {
            let array = column.array()?;
            let &[count] = array.shape() else {
                return Err(column.wrong("a list of edges").into());
            };
            if count < 2 {
                return Err(column.wrong("two edges at least").into());
            }
            total = total.saturating_add(count - 1);
            if counts.get(edges.len()) != Some(&(count as i64 - 1)) || total > MOST_BINS {
                return Err(inconsistent(&column, format!("{count} edges of another number of bins")));
            }
            let values = array.f64s()?;
            edges.push(values.get(1..values.len() - 1).unwrap_or_default().to_vec());
        }
        if edges.len() != counts.len() || edges.is_empty() {
            return Err(inconsistent(&all, format!("edges of {} columns of {}", edges.len(), counts.len())));
        }
        Ok(Discretizer { edges, one_hot, lenient: version(item)? < (1, 1), dtype })
    }
}

impl Transformer for Discretizer {
    fn width(&self) -> usize {
        self.edges.len()
    }

    fn results(&self) -> usize {
        if self.one_hot { self.edges.iter().map(|edges| edges.len() + 1).sum() } else { self.edges.len() }
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let mut x = match self.dtype {
            Some(dtype) => cast(graph, path, x, dtype)?,
            None => floats(graph, path, x)?,
        };
        let dtype = graph.spec(x).dtype;
        if self.lenient {
            let size = graph.add(&format!("{path}/abs"), Unary::of(UnaryKind::Abs), &[x])?;
            let more = Unary { kind: UnaryKind::Affine, alpha: 1e-5, beta: 1e-8 };
            let more = graph.add(&format!("{path}/eps"), more, &[size])?;
            x = graph.add(&format!("{path}/lenient"), Binary { kind: BinaryKind::Add }, &[x, more])?;
        }
        let edges = self.edges.concat();
        let mut starts = vec![0i32];
        for edges in &self.edges {
            starts.push(starts.last().copied().unwrap_or(0) + edges.len() as i32);
        }
        let name = format!("{path}/bin_edges_");
        let edges = graph.add_constant(&name, DType::F64, &[edges.len()], &edges)?;
        let starts = graph.add_constant(&name, DType::I32, &[starts.len()], &starts)?;
        let bins = graph.add(&format!("{path}/bins"), Digitize, &[x, edges, starts])?;
        if !self.one_hot {
            return Ok(bins);
        }
        let of_each = |edges: &Vec<f64>| 0..=edges.len();
        let columns = self.edges.iter().enumerate().flat_map(|(column, edges)| of_each(edges).map(move |_| column));
        let columns: Vec<usize> = columns.collect();
        let bins = take(graph, path, bins, &columns)?;
        let numbers: Vec<f64> = self.edges.iter().flat_map(of_each).map(|bin| bin as f64).collect();
        let name = format!("{path}/one_hot");
        let numbers = match dtype {
            DType::F32 => {
                let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
                graph.add_constant(&name, dtype, &[numbers.len()], &numbers)?
            }
            _ => graph.add_constant(&name, dtype, &[numbers.len()], &numbers)?,
        };
        let is_in = graph.add(&name, Compare { kind: CompareKind::Equal }, &[bins, numbers])?;
        cast(graph, path, is_in, dtype)
    }
}
