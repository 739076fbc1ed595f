//! Power transforms: Box-Cox's and Yeo-Johnson's functions, one parameter for each column, then a standard scaler. NaN stays.
//!
//! The formulas are those of the release that wrote the file: Yeo-Johnson by powers before scikit-learn 1.9, by `expm1` and `log1p` from then on;
//! the inverse of Box-Cox by powers before 1.6.

use ekiben_runtime::DType;
use ekiben_runtime::ops::power_transform::{PowerKind, PowerTransform};

use super::transformer::{Transformer, column_values, in_f64, width};
use super::{Family, StandardScaler, inconsistent, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `PowerTransformer`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.preprocessing._data.PowerTransformer"],
    carried: &[],
    decode: |item| Ok(Box::new(Power::decode(item)?)),
};

/// A function of a family for each column, then a scaler.
#[derive(Debug, Clone, PartialEq)]
pub struct Power {
    /// The family, and that of the inverse.
    pub kinds: (PowerKind, PowerKind),
    /// The parameter of each column.
    pub lambdas: Vec<f64>,
    /// For `standardize=True`.
    pub scaler: Option<StandardScaler>,
}

impl Power {
    fn decode(item: &Item<'_>) -> Result<Power, FrontendError> {
        let version = version(item)?;
        let method = item.get("method")?;
        let kinds = match method.as_str()? {
            "box-cox" if version < (1, 6) => (PowerKind::BoxCox, PowerKind::InverseBoxCoxByPower),
            "box-cox" => (PowerKind::BoxCox, PowerKind::InverseBoxCox),
            "yeo-johnson" if version < (1, 9) => (PowerKind::YeoJohnsonByPower, PowerKind::InverseYeoJohnson),
            "yeo-johnson" => (PowerKind::YeoJohnson, PowerKind::InverseYeoJohnson),
            _ => return Err(method.wrong("box-cox or yeo-johnson").into()),
        };
        let lambdas = column_values(&item.get("lambdas_")?, width(item, "lambdas_")?)?;
        let mut scaler = None;
        if item.get("standardize")?.as_bool()? {
            let inner = item.get("_scaler")?;
            let decoded = StandardScaler::decode(&inner)?;
            if decoded.features != lambdas.len() {
                return Err(inconsistent(&inner, format!("{} columns of {}", decoded.features, lambdas.len())));
            }
            scaler = Some(decoded);
        }
        Ok(Power { kinds, lambdas, scaler })
    }

    fn power(&self, graph: &mut Graph, path: &str, kind: PowerKind, x: TensorId) -> Result<TensorId, FrontendError> {
        in_f64(graph, path, x, |graph, x| {
            let name = format!("{path}/lambdas_");
            let lambdas = graph.add_constant(&name, DType::F64, &[self.lambdas.len()], &self.lambdas)?;
            Ok(graph.add(&name, PowerTransform { kind }, &[x, lambdas])?)
        })
    }
}

impl Transformer for Power {
    fn width(&self) -> usize {
        self.lambdas.len()
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let x = self.power(graph, path, self.kinds.0, x)?;
        match &self.scaler {
            Some(scaler) => scaler.apply(graph, &format!("{path}._scaler"), x),
            None => Ok(x),
        }
    }

    fn invert(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let x = match &self.scaler {
            Some(scaler) => scaler.invert(graph, &format!("{path}._scaler"), x)?,
            None => x,
        };
        self.power(graph, path, self.kinds.1, x)
    }
}
