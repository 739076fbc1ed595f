//! Objectives: what a model's sums stand for.

use crate::frontend::FrontendError;

/// What an objective makes of a row's sums ("margins"), in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The sums themselves.
    Identity,
    /// `1 / (1 + exp(-x))`.
    Logistic,
    /// 1 where the sum is above 0, else 0.
    Hinge,
    /// `exp(x)`.
    Exp,
    /// The number of the largest sum, the first of equal ones.
    Class,
    /// Softmax over the outputs.
    Softmax,
}

/// An objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objective {
    /// Its name in the file.
    pub(crate) name: String,
    /// What it makes of the sums.
    pub(crate) link: Link,
}

/// Every objective that xgboost has had, with its link.
const OBJECTIVES: &[(&str, Link)] = &[
    ("reg:squarederror", Link::Identity),
    ("reg:linear", Link::Identity),
    ("reg:squaredlogerror", Link::Identity),
    ("reg:pseudohubererror", Link::Identity),
    ("reg:absoluteerror", Link::Identity),
    ("reg:quantileerror", Link::Identity),
    ("reg:expectileerror", Link::Identity),
    ("reg:logistic", Link::Logistic),
    ("reg:gamma", Link::Exp),
    ("reg:tweedie", Link::Exp),
    ("count:poisson", Link::Exp),
    ("survival:cox", Link::Exp),
    ("survival:aft", Link::Exp),
    ("binary:logistic", Link::Logistic),
    ("binary:logitraw", Link::Identity),
    ("binary:hinge", Link::Hinge),
    ("multi:softmax", Link::Class),
    ("multi:softprob", Link::Softmax),
    ("rank:pairwise", Link::Identity),
    ("rank:ndcg", Link::Identity),
    ("rank:map", Link::Identity),
];

impl Objective {
    /// The objective called `name`; names of 0.x that ask for a GPU are the same objectives.
    pub(crate) fn named(name: &str) -> Result<Objective, FrontendError> {
        let plain = name.strip_prefix("gpu:").unwrap_or(name);
        match OBJECTIVES.iter().find(|(known, _)| *known == plain) {
            Some(&(_, link)) => Ok(Objective { name: name.to_owned(), link }),
            None => Err(FrontendError::unsupported(
                "learner.objective",
                format!("objective {}", name.escape_debug()),
                "what it makes of the sums of trees is not known; train with one of xgboost's own objectives",
            )),
        }
    }

    /// The sum that a base score stands for: the link's inverse, in float32, of a file of `version`. Files of releases before 1.0 hold
    /// the sum itself; `binary:logitraw` has taken it as a sum since 1.3.
    pub(crate) fn margin(&self, version: (u32, u32), base_score: f32) -> Result<f32, FrontendError> {
        let logit = |p: f32| -(1.0 / p - 1.0).ln();
        let in_unit = base_score > 0.0 && base_score < 1.0;
        let in_range = match self.link {
            _ if version.0 < 1 => return Ok(base_score),
            Link::Identity if self.name == "binary:logitraw" && version < (1, 3) => in_unit,
            Link::Logistic => in_unit,
            Link::Exp => base_score > 0.0,
            Link::Identity | Link::Hinge | Link::Class | Link::Softmax => return Ok(base_score),
        };
        if !in_range {
            let reason = format!("a base score of {base_score} for the objective {}", self.name);
            return Err(FrontendError::malformed("learner_model_param.base_score", reason));
        }
        Ok(if self.link == Link::Exp { base_score.ln() } else { logit(base_score) })
    }
}
