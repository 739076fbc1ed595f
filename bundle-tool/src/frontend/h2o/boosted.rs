//! XGBoost inside a MOJO: its binary file, read by the front-end of that format, on columns that H2O has made numbers.
//!
//! The file's trees are summed and linked in float32 as xgboost does it.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::select::Select;

use super::answer::{Answer, Classes};
use super::columns::{cast, join, shaped, take};
use super::ini::Ini;
use super::linear::Levels;
use crate::frontend::FrontendError;
use crate::frontend::xgboost;
use crate::frontend::xgboost::lower::Way;
use crate::frontend::xgboost::model::Booster;
use crate::frontend::zipped::Files;
use crate::graph::{Graph, TensorId};

/// A booster, and how its columns are made.
pub(super) struct Boosted {
    booster: Booster,
    categories: usize,
    numbers: usize,
    levels: Levels,
    /// Zeros count as missing.
    sparse: bool,
}

impl Boosted {
    pub(super) fn read(files: &Files, ini: &Ini) -> Result<Self, FrontendError> {
        let (categories, numbers): (usize, usize) = (ini.number("cats")?, ini.number("nums")?);
        if categories.checked_add(numbers) != Some(ini.features()?) {
            return Err(FrontendError::malformed("model.ini", "cats and nums are not the features"));
        }
        let levels = Levels::read(ini, categories)?;
        let booster = xgboost::read_state(files.bytes(&format!("{}boosterBytes", ini.folder))?)?;
        let columns = levels.count() + numbers;
        if booster.features > columns {
            let reason = format!("it reads {} columns of {columns}", booster.features);
            return Err(FrontendError::malformed("boosterBytes", reason));
        }
        Ok(Self { booster, categories, numbers, levels, sparse: ini.flag("sparse", false) })
    }

    pub(super) fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        ini: &Ini,
        classes: &Classes,
        x: TensorId,
    ) -> Result<Answer, FrontendError> {
        let mut parts = self.levels.parts(graph, path, ini, self.categories, x)?;
        if self.numbers > 0 {
            parts.push(take(graph, &format!("{path}/numbers"), x, self.categories..self.categories + self.numbers)?);
        }
        let row = join(graph, &format!("{path}/row"), &parts)?;
        let mut row = cast(graph, &format!("{path}/row"), row, DType::F32)?;
        if self.sparse {
            let name = |part: &str| format!("{path}/{part}");
            let zero = graph.add_constant(&name("zero"), DType::F32, &[1], &[0.0_f32])?;
            let missing = graph.add_constant(&name("missing"), DType::F32, &[1], &[f32::NAN])?;
            let is_zero = graph.add(&name("is_zero"), Compare { kind: CompareKind::Equal }, &[row, zero])?;
            row = graph.add(&name("sparse"), Select, &[is_zero, missing, row])?;
        }
        // The file may know fewer columns than there are: those at the end that no tree reads.
        row = take(graph, &format!("{path}/read"), row, 0..self.booster.features)?;
        let margins = self.booster.margins(graph, path, row, Way { from: 0, to: None, in_place: false })?;
        let values = self.booster.predictions(graph, path, margins)?;
        let width = graph.shape(values).factor(1).unwrap_or(1);
        match classes.count {
            0 | 1 => {
                let value = cast(graph, path, values, DType::F64)?;
                Ok(Answer::Value(shaped(graph, path, value, &[1])?))
            }
            2 => {
                let second = shaped(graph, path, values, &[1])?;
                let one = graph.add_constant(&format!("{path}/one"), DType::F32, &[1], &[1.0_f32])?;
                let first = graph.add(&format!("{path}/first"), Binary { kind: BinaryKind::Sub }, &[one, second])?;
                let shares = join(graph, &format!("{path}/shares"), &[first, second])?;
                let shares = cast(graph, path, shares, DType::F64)?;
                let class = classes.predicted(graph, path, shares)?;
                Ok(Answer::Classes(shares, class))
            }
            count if count == width => {
                let shares = cast(graph, path, values, DType::F64)?;
                let class = classes.predicted(graph, path, shares)?;
                Ok(Answer::Classes(shares, class))
            }
            count => Err(FrontendError::malformed("boosterBytes", format!("{width} values for {count} classes"))),
        }
    }
}
