//! Generalised linear models and neural networks.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::UnaryKind;

use super::algorithms::column;
use super::answer::{Answer, Classes, inverse_distribution_link, inverse_link, two};
use super::columns::{against, binary, cast, filled, join, take, unary, with};
use super::ini::Ini;
use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// Numbers that stand for the categories of a column, at most.
const MAX_CELLS: usize = 1 << 24;

fn damaged(reason: impl std::fmt::Display) -> FrontendError {
    FrontendError::malformed("model.ini", reason)
}

/// Where the levels of each column of categories begin among all levels, and where the last one ends.
pub(super) struct Levels {
    offsets: Vec<usize>,
    all: bool,
}

impl Levels {
    /// Reads them for the first `categories` columns.
    pub(super) fn read(ini: &Ini, categories: usize) -> Result<Self, FrontendError> {
        let mut offsets = ini.numbers::<usize>("cat_offsets")?;
        if offsets.is_empty() {
            offsets.push(0);
        }
        let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let fits = offsets.len() == categories + 1 && offsets.last().is_some_and(|&last| last <= MAX_CELLS);
        if !fits || !rising || offsets[0] != 0 {
            return Err(damaged("cat_offsets do not fit the columns"));
        }
        Ok(Self { offsets, all: ini.flag("use_all_factor_levels", false) })
    }

    /// Number of levels of all columns.
    pub(super) fn count(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The level among all of category number `place` of a column; the first category of each column has none unless all are used.
    fn level(&self, column: usize, place: usize) -> Option<usize> {
        let place = if self.all { place } else { place.checked_sub(1)? };
        Some(self.offsets[column] + place)
    }

    /// For each of the first `categories` columns of the row `x`, 1 in the column of its level and 0 in others; missing values have the last level.
    pub(super) fn parts(
        &self,
        graph: &mut Graph,
        path: &str,
        ini: &Ini,
        categories: usize,
        x: TensorId,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let mut parts = Vec::new();
        for index in 0..categories {
            let domain = ini.domains[index].as_ref().ok_or_else(|| damaged("a column of categories without domain"))?;
            let (start, end) = (self.offsets[index], self.offsets[index + 1]);
            let width = end - start;
            if width == 0 {
                continue;
            }
            check_cells(ini, domain.len() + 1, width)?;
            let hot = |level: Option<usize>| {
                let mut row = vec![0.0; width];
                if let Some(level) = level {
                    row[level.min(end - 1) - start] = 1.0;
                }
                row
            };
            let mut rows: Vec<Vec<f64>> = (0..domain.len()).map(|place| hot(self.level(index, place))).collect();
            rows.push(hot(Some(end - 1)));
            let name = format!("{path}/category_{index}");
            let places = take(graph, &name, x, [index])?;
            let places = filled(graph, &name, places, &[domain.len() as f64])?;
            parts.push(looked_up(graph, &name, places, 0, &rows)?);
        }
        Ok(parts)
    }
}

/// Refuses a table of too many numbers.
fn check_cells(ini: &Ini, rows: usize, width: usize) -> Result<(), FrontendError> {
    if rows.checked_mul(width).is_none_or(|cells| cells > MAX_CELLS) {
        let reason = "tables of so many categories are not supported; train a GBM, or group rare categories";
        return Err(ini.unsupported(&format!("{rows} categories"), reason));
    }
    Ok(())
}

/// Rows of a table by a column of places: `[N, width]`.
fn looked_up(
    graph: &mut Graph,
    name: &str,
    x: TensorId,
    index: usize,
    rows: &[Vec<f64>],
) -> Result<TensorId, FrontendError> {
    let width = rows.first().map_or(0, Vec::len);
    let flat: Vec<f64> = rows.iter().flatten().copied().collect();
    let table = graph.add_constant(&format!("{name}/levels"), DType::F64, &[rows.len(), width], &flat)?;
    let places = column(graph, name, x, index)?;
    let places = cast(graph, name, places, DType::I32)?;
    Ok(graph.add(&format!("{name}/level"), Gather { axis: 0 }, &[table, places])?)
}

/// `x` times a matrix, `[rows, columns]`.
fn product(
    graph: &mut Graph,
    name: &str,
    x: TensorId,
    [rows, columns]: [usize; 2],
    matrix: &[f64],
) -> Result<TensorId, FrontendError> {
    let matrix = graph.add_constant(&format!("{name}/weights"), DType::F64, &[rows, columns], matrix)?;
    Ok(graph.add(&format!("{name}/product"), MatMul { transpose_b: false }, &[x, matrix])?)
}

/// A generalised linear model.
pub(super) struct Glm {
    categories: usize,
    numbers: usize,
    levels: Levels,
    /// Coefficients of each class: levels, numbers, intercept.
    beta: Vec<Vec<f64>>,
    /// Modes and means where missing values are filled.
    fill: Option<Vec<f64>>,
}

impl Glm {
    pub(super) fn read(ini: &Ini) -> Result<Self, FrontendError> {
        if ini.number_or("num_interactions", 0_usize)? > 0 {
            return Err(ini.unsupported("interactions", "they are not supported; make the products before training"));
        }
        let family = ini.text("family")?;
        if matches!(family, "ordinal" | "hglm") {
            return Err(ini.unsupported(&format!("family {family:?}"), "it is not supported; train a GBM instead"));
        }
        let (categories, numbers): (usize, usize) = (ini.number("cats")?, ini.number("nums")?);
        if categories.checked_add(numbers) != Some(ini.features()?) {
            return Err(damaged("cats and nums are not the features"));
        }
        let levels = Levels::read(ini, categories)?;
        let classes = if family == "multinomial" { ini.number::<usize>("n_classes")? } else { 1 };
        let width = levels.count() + numbers + 1;
        let beta = ini.numbers::<f64>("beta")?;
        if classes.checked_mul(width) != Some(beta.len()) {
            return Err(damaged(format_args!("{} coefficients for {classes} classes of {width}", beta.len())));
        }
        let beta = beta.chunks(width).map(<[f64]>::to_vec).collect();
        let fill = if ini.flag("mean_imputation", false) {
            let modes = ini.numbers::<f64>("cat_modes")?;
            let means = ini.numbers::<f64>("num_means")?;
            if modes.len() != categories || means.len() != numbers {
                return Err(damaged("cat_modes or num_means do not fit the columns"));
            }
            Some(modes.into_iter().chain(means).collect())
        } else {
            None
        };
        Ok(Self { categories, numbers, levels, beta, fill })
    }

    pub(super) fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        ini: &Ini,
        classes: &Classes,
        mut x: TensorId,
    ) -> Result<Answer, FrontendError> {
        if let Some(values) = &self.fill {
            x = filled(graph, &format!("{path}/row"), x, values)?;
        }
        let mut eta: Option<TensorId> = None;
        let add = |graph: &mut Graph, eta: Option<TensorId>, part, name: &str| match eta {
            Some(sum) => binary(graph, name, BinaryKind::Add, sum, part),
            None => Ok(part),
        };
        for index in 0..self.categories {
            let domain = ini.domains[index].as_ref().ok_or_else(|| damaged("a column of categories without domain"))?;
            let end = self.levels.offsets[index + 1];
            check_cells(ini, domain.len(), self.beta.len())?;
            let row = |place: usize| {
                let level = self.levels.level(index, place).filter(|&level| level < end);
                self.beta.iter().map(|beta| level.map_or(0.0, |level| beta[level])).collect::<Vec<f64>>()
            };
            let rows: Vec<Vec<f64>> = (0..domain.len().max(1)).map(row).collect();
            let name = format!("{path}/category_{index}");
            let part = looked_up(graph, &name, x, index, &rows)?;
            eta = Some(add(graph, eta, part, &name)?);
        }
        let first = self.levels.count();
        if self.numbers > 0 {
            let name = format!("{path}/numbers");
            let numbers = take(graph, &name, x, self.categories..self.categories + self.numbers)?;
            let weights: Vec<f64> =
                (0..self.numbers).flat_map(|at| self.beta.iter().map(move |beta| beta[first + at])).collect();
            let part = product(graph, &name, numbers, [self.numbers, self.beta.len()], &weights)?;
            eta = Some(add(graph, eta, part, &name)?);
        }
        let intercepts: Vec<f64> = self.beta.iter().map(|beta| beta[first + self.numbers]).collect();
        let eta = eta.ok_or_else(|| damaged("a model without features"))?;
        let eta = with(graph, &format!("{path}/intercept"), eta, BinaryKind::Add, &intercepts)?;
        let family = ini.text("family")?;
        if family == "multinomial" {
            let shares = graph.add(&format!("{path}/shares"), Softmax { axis: 1, log: false }, &[eta])?;
            let largest = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
            let class = graph.add(&format!("{path}/class"), largest, &[shares])?;
            return Ok(Answer::Classes(shares, class));
        }
        let power = ini.number_or("tweedie_link_power", 0.0)?;
        let value = inverse_link(graph, &format!("{path}/link"), ini, ini.text("link")?, power, eta)?;
        if !matches!(family, "binomial" | "fractionalbinomial" | "quasibinomial") {
            return Ok(Answer::Value(value));
        }
        let shares = two(graph, path, value)?;
        let class = classes.predicted(graph, path, shares)?;
        Ok(Answer::Classes(shares, class))
    }
}

/// A layer: weights `[outputs, inputs]` as they are written, and what is added.
struct Layer {
    weights: Vec<f64>,
    bias: Vec<f64>,
    /// Pieces of a maxout unit.
    pieces: usize,
}

/// A neural network.
pub(super) struct Network {
    categories: usize,
    numbers: usize,
    levels: Levels,
    /// What is taken off numbers, and what they are multiplied by then.
    norm: Option<[Vec<f64>; 2]>,
    units: Vec<usize>,
    dropout: Vec<f64>,
    layers: Vec<Layer>,
}

impl Network {
    pub(super) fn read(ini: &Ini) -> Result<Self, FrontendError> {
        if ini.find("category") == Some("AutoEncoder") {
            return Err(ini.unsupported("autoencoder", "it is not supported"));
        }
        let (categories, numbers): (usize, usize) = (ini.number("cats")?, ini.number("nums")?);
        if categories.checked_add(numbers) != Some(ini.features()?) {
            return Err(damaged("cats and nums are not the features"));
        }
        let levels = Levels::read(ini, categories)?;
        let (factors, less) = (ini.numbers::<f64>("norm_mul")?, ini.numbers::<f64>("norm_sub")?);
        let norm = if factors.is_empty() { None } else { Some([less, factors]) };
        if norm.iter().flatten().any(|part| part.len() != numbers) {
            return Err(damaged("norm_mul or norm_sub do not fit the columns"));
        }
        let units = ini.numbers::<usize>("neural_network_sizes")?;
        let dropout = ini.numbers::<f64>("hidden_dropout_ratios")?;
        if units.len() < 2 || units[0] != levels.count() + numbers || dropout.len() + 1 < units.len() {
            return Err(damaged("neural_network_sizes do not fit the columns"));
        }
        let mut layers = Vec::new();
        for (number, pair) in units.windows(2).enumerate() {
            let weights = ini.numbers::<f32>(&format!("weight_layer{number}"))?;
            let bias = ini.numbers::<f64>(&format!("bias_layer{number}"))?;
            let pieces = bias.len().checked_div(pair[1]).unwrap_or(0);
            let needed = pair[0].checked_mul(pair[1]).and_then(|weights| weights.checked_mul(pieces));
            if pieces == 0 || bias.len() != pair[1] * pieces || needed != Some(weights.len()) {
                return Err(damaged(format_args!("layer {number}: weights or biases do not fit its units")));
            }
            layers.push(Layer { weights: weights.into_iter().map(f64::from).collect(), bias, pieces });
        }
        Ok(Self { categories, numbers, levels, norm, units, dropout, layers })
    }

    /// What the first layer reads: categories one by one, then numbers, none of them missing.
    fn input(&self, graph: &mut Graph, path: &str, ini: &Ini, x: TensorId) -> Result<TensorId, FrontendError> {
        let mut parts = self.levels.parts(graph, path, ini, self.categories, x)?;
        if self.numbers > 0 {
            let name = format!("{path}/numbers");
            let mut numbers = take(graph, &name, x, self.categories..self.categories + self.numbers)?;
            if let Some([less, factors]) = &self.norm {
                numbers = with(graph, &name, numbers, BinaryKind::Sub, less)?;
                numbers = with(graph, &name, numbers, BinaryKind::Mul, factors)?;
            }
            parts.push(filled(graph, &name, numbers, &[0.0])?);
        }
        join(graph, &format!("{path}/input"), &parts)
    }

    pub(super) fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        ini: &Ini,
        classes: &Classes,
        x: TensorId,
    ) -> Result<Answer, FrontendError> {
        let activation = ini.text("activation")?;
        let mut x = self.input(graph, path, ini, x)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let name = format!("{path}/layer_{number}");
            let (inputs, outputs) = (self.units[number], self.units[number + 1]);
            let is_last = number + 1 == self.layers.len();
            let mut pieces = Vec::with_capacity(layer.pieces);
            for piece in 0..layer.pieces {
                let weight =
                    |input: usize, output: usize| layer.weights[layer.pieces * (output * inputs + input) + piece];
                let matrix: Vec<f64> =
                    (0..inputs).flat_map(|input| (0..outputs).map(move |output| weight(input, output))).collect();
                let bias: Vec<f64> = (0..outputs).map(|output| layer.bias[layer.pieces * output + piece]).collect();
                let sums = product(graph, &name, x, [inputs, outputs], &matrix)?;
                pieces.push(with(graph, &name, sums, BinaryKind::Add, &bias)?);
            }
            let mut sums = pieces[0];
            for &piece in &pieces[1..] {
                sums = binary(graph, &name, BinaryKind::Max, sums, piece)?;
            }
            x = match (is_last, activation.trim_end_matches("WithDropout")) {
                (true, _) if classes.count > 1 => graph.add(&name, Softmax { axis: 1, log: false }, &[sums])?,
                (true, _) | (_, "Maxout") => sums,
                (_, "Rectifier") => unary(graph, &name, UnaryKind::Relu, sums)?,
                (_, "ExpRectifier") => {
                    let elu = ekiben_runtime::ops::unary::Unary {
                        alpha: 1.0,
                        ..ekiben_runtime::ops::unary::Unary::of(UnaryKind::Elu)
                    };
                    graph.add(&format!("{name}/elu"), elu, &[sums])?
                }
                (_, "Tanh") => {
                    let twice = with(graph, &name, sums, BinaryKind::Mul, &[2.0])?;
                    let power = unary(graph, &name, UnaryKind::Exp, twice)?;
                    let sum = with(graph, &format!("{name}/one"), power, BinaryKind::Add, &[1.0])?;
                    let part = against(graph, &format!("{name}/two"), 2.0, BinaryKind::Div, sum)?;
                    against(graph, &format!("{name}/tanh"), 1.0, BinaryKind::Sub, part)?
                }
                (_, other) => return Err(ini.unsupported(&format!("activation {other:?}"), "it is not supported")),
            };
            if !is_last && activation.ends_with("WithDropout") && self.dropout[number] > 0.0 {
                x = with(graph, &format!("{name}/dropout"), x, BinaryKind::Mul, &[1.0 - self.dropout[number]])?;
            }
        }
        if classes.count > 1 {
            return classes.answer(graph, path, x);
        }
        let (factor, offset) = (ini.numbers::<f64>("norm_resp_mul")?, ini.numbers::<f64>("norm_resp_sub")?);
        if let (&[factor, ..], &[offset, ..]) = (factor.as_slice(), offset.as_slice()) {
            x = with(graph, &format!("{path}/scale"), x, BinaryKind::Div, &[factor])?;
            x = with(graph, &format!("{path}/offset"), x, BinaryKind::Add, &[offset])?;
        }
        Ok(Answer::Value(inverse_distribution_link(graph, &format!("{path}/link"), ini, x)?))
    }
}
