//! Encoders of labels: numbers for labels, and columns of zeros and ones.

use ekiben_runtime::DType;
use ekiben_runtime::ops::one_hot::OneHot;

use super::categories::Categories;
use super::{Estimator, Family, Features, Method, Needs, cast, unsupported, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `LabelEncoder`.
pub(super) const ENCODER: Family = Family {
    classes: &["sklearn.preprocessing._label.LabelEncoder"],
    carried: &[],
    decode: |item| Ok(Box::new(LabelEncoder { classes: Categories::decode(&item.get("classes_")?)? })),
};

/// `LabelBinarizer`.
pub(super) const BINARIZER: Family = Family {
    classes: &["sklearn.preprocessing._label.LabelBinarizer"],
    carried: &[],
    decode: |item| Ok(Box::new(LabelBinarizer::decode(item)?)),
};

/// The number of each label; a row with another label is refused. The input is one column of labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelEncoder {
    /// The labels.
    pub classes: Categories,
}

impl Estimator for LabelEncoder {
    fn features(&self) -> usize {
        1
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(1)
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(Needs::columns(vec![self.classes.need()]))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let codes: Vec<i32> = (0..self.classes.count() as i32).collect();
        let codes = self.classes.codes(graph, path, (x, 0), &codes, -1)?;
        Ok(vec![cast(graph, path, codes, DType::I64)?])
    }
}

/// A column for each label, or one column for the second of two labels; nothing is marked for other labels.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelBinarizer {
    /// The labels.
    pub classes: Categories,
    /// What stands where the label is not, and where it is.
    pub marks: [i64; 2],
}

impl LabelBinarizer {
    fn decode(item: &Item<'_>) -> Result<LabelBinarizer, FrontendError> {
        let y_type = item.get("y_type_")?;
        if !["binary", "multiclass"].contains(&y_type.as_str()?) {
            return Err(unsupported(
                &y_type,
                "labels that are several at a time have no form in a table; transform them before",
            ));
        }
        let marks = [item.get("neg_label")?.as_i64()?, item.get("pos_label")?.as_i64()?];
        Ok(LabelBinarizer { classes: Categories::decode(&item.get("classes_")?)?, marks })
    }

    fn width(&self) -> usize {
        if self.classes.count() <= 2 { 1 } else { self.classes.count() }
    }
}

impl Estimator for LabelBinarizer {
    fn features(&self) -> usize {
        1
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.width())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(Needs::columns(vec![self.classes.need()]))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let count = self.classes.count() as i32;
        if self.width() == 1 {
            // A single label is never marked.
            let mark = |class: i32| self.marks[usize::from(class == 1)];
            let values: Vec<i64> = (0..count).map(mark).chain([self.marks[0]]).collect();
            let values = self.classes.map(graph, path, (x, 0), DType::I64, &values)?;
            return Ok(vec![with_columns(graph, path, values, &[1])?]);
        }
        let places: Vec<i32> = (0..count).collect();
        let places = self.classes.codes(graph, path, (x, 0), &places, count)?;
        let marks = graph.add_constant(&format!("{path}/marks"), DType::I64, &[2], &self.marks)?;
        let one_hot = OneHot { axis: 1, depth: count as u32 };
        Ok(vec![graph.add(&format!("{path}/labels"), one_hot, &[places, marks])?])
    }
}
