//! Stacked ensembles: the answers of base models are the features of a metalearner.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::algorithms::Algorithm;
use super::answer::Answer;
use super::columns::{against, binary, join, take, unary, with};
use super::ini::Ini;
use crate::frontend::FrontendError;
use crate::frontend::zipped::Files;
use crate::graph::{Graph, TensorId};

/// Ensembles in ensembles, at most.
const MAX_DEPTH: usize = 3;
/// The most models of an ensemble.
const MAX_MODELS: usize = 1 << 12;

struct Part {
    ini: Ini,
    algorithm: Algorithm,
}

/// Models, and where they find their columns.
pub(super) struct StackedEnsemble {
    metalearner: Part,
    /// Base models, with the ensemble's column for each of their own.
    base: Vec<(Part, Vec<usize>)>,
    /// Whether shares are made log-odds for the metalearner.
    logit: bool,
}

impl StackedEnsemble {
    /// Reads the models of an ensemble, which is part of `depth` others.
    ///
    /// # Errors
    /// Those of the models; columns that a base model has and the ensemble does not.
    pub(super) fn read(files: &Files, ini: &Ini, depth: usize) -> Result<Self, FrontendError> {
        let damaged = |reason: String| FrontendError::malformed(format!("{}model.ini", ini.folder), reason);
        let (count, parts) = (ini.number::<usize>("base_models_num")?, ini.number::<usize>("submodel_count")?);
        if depth >= MAX_DEPTH || count > MAX_MODELS || parts > MAX_MODELS {
            return Err(damaged(format!("{parts} models, {depth} ensembles deep: more than is read")));
        }
        let logit = match ini.find("metalearner_transform") {
            None | Some("NONE") => false,
            Some("Logit") => true,
            Some(other) => {
                return Err(ini.unsupported(&format!("metalearner_transform {other:?}"), "it is not supported"));
            }
        };
        let folder = |key: &str| {
            let numbers = 0..parts;
            let found = numbers.into_iter().find(|number| ini.find(&format!("submodel_key_{number}")) == Some(key));
            let number = found.ok_or_else(|| damaged(format!("the model {key:?} is not there")))?;
            Ok::<_, FrontendError>(format!("{}{}", ini.folder, ini.text(&format!("submodel_dir_{number}"))?))
        };
        let part = |key: &str| {
            let ini = Ini::read(files, &folder(ini.text(key)?)?)?;
            let algorithm = Algorithm::read(files, &ini, depth + 1)?;
            Ok::<_, FrontendError>(Part { ini, algorithm })
        };
        let features = ini.features()?;
        let mut base = Vec::new();
        for number in 0..count {
            let key = format!("base_model{number}");
            if ini.find(&key).is_none() {
                continue;
            }
            let part = part(&key)?;
            let own = part.ini.columns.iter().take(part.ini.features()?);
            let place = |name: &String| {
                let place = ini.columns.iter().take(features).position(|known| known == name);
                place.ok_or_else(|| damaged(format!("a base model reads {name:?}, which the ensemble does not have")))
            };
            let places = own.map(place).collect::<Result<Vec<_>, _>>()?;
            let same = places.iter().zip(&part.ini.domains).all(|(&at, domain)| ini.domains[at] == *domain);
            if !same {
                return Err(damaged("a base model has other domains than the ensemble".to_owned()));
            }
            base.push((part, places));
        }
        Ok(Self { metalearner: part("metalearner")?, base, logit })
    }

    /// What the metalearner makes of the base models' answers to `x`.
    ///
    /// # Errors
    /// Those of the models.
    pub(super) fn lower(&self, graph: &mut Graph, path: &str, ini: &Ini, x: TensorId) -> Result<Answer, FrontendError> {
        let classes = ini.number::<usize>("n_classes")?;
        let mut parts = Vec::new();
        for (number, (part, places)) in self.base.iter().enumerate() {
            let path = format!("{path}/base_{number}");
            let row = take(graph, &path, x, places.iter().copied())?;
            let answer = match part.algorithm.lower(graph, &path, &part.ini, row)? {
                Answer::Classes(shares, _) if classes == 2 => take(graph, &format!("{path}/second"), shares, [1])?,
                Answer::Classes(shares, _) if classes > 2 => shares,
                Answer::Value(value) if classes < 2 => value,
                _ => return Err(FrontendError::malformed(path, "a base model that answers something else")),
            };
            parts.push(answer);
        }
        let mut row = join(graph, path, &parts)?;
        if self.logit && classes >= 2 {
            row = logit(graph, path, row)?;
        }
        let features = self.metalearner.ini.features()?;
        if graph.shape(row).factor(1) != Some(features) {
            return Err(FrontendError::malformed(path, format!("the metalearner reads {features} answers")));
        }
        self.metalearner.algorithm.lower(graph, &format!("{path}/metalearner"), &self.metalearner.ini, row)
    }
}

/// Log-odds of shares, which H2O keeps between 1e-9 and 1 - 1e-9 before, and at -19 or more after.
fn logit(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    let name = format!("{path}/logit");
    let x = with(graph, &format!("{name}/least"), x, BinaryKind::Max, &[1e-9])?;
    let x = with(graph, &format!("{name}/most"), x, BinaryKind::Min, &[0.999999999])?;
    let rest = against(graph, &name, 1.0, BinaryKind::Sub, x)?;
    let odds = binary(graph, &name, BinaryKind::Div, x, rest)?;
    let log = unary(graph, &name, UnaryKind::Log, odds)?;
    with(graph, &name, log, BinaryKind::Max, &[-19.0])
}
