//! What a verification found, and how it is told.

use std::fmt;

use ekiben_runtime::executor::self_test::SelfTestReport;

use super::answers::ServiceReport;
use super::compare::{ABSOLUTE, OutputDifference, RELATIVE};
use super::oracle;

/// What a verification comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every model, or every API, has been compared with something independent, and nothing differs.
    Agrees,
    /// Something differs.
    Differs,
    /// Nothing differs, but there is a model and an API that nothing independent has been compared with.
    NoOracle,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agrees => "agrees",
            Self::Differs => "DIFFERS",
            Self::NoOracle => "not verified (oracle: none)",
        })
    }
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The models of the bento that the artifact was compiled from.
    pub models: Vec<ModelReport>,
    /// The artifact's golden vectors.
    pub golden: GoldenReport,
    /// Whether code of a service stands around the models.
    pub service: bool,
    /// What the bento's own service answered, with BentoML's version, where it was asked.
    pub answers: Option<(String, Vec<ServiceReport>)>,
}

/// One model against the oracle.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelReport {
    /// Name or tag.
    pub model: String,
    /// What came of it.
    pub comparison: Comparison,
}

/// What came of running a model in the oracle.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// The outputs were compared.
    Compared {
        /// Where the inputs of each call that the oracle answered were from.
        calls: Vec<String>,
        /// Rows of all calls together.
        rows: usize,
        /// Calls that the oracle did not answer, with its reason for the first.
        unanswered: Option<(usize, String)>,
        /// The outputs, in the model's order.
        outputs: Vec<OutputDifference>,
        /// Calls that the oracle answered and the artifact refused, with the reason for the first.
        refused: Option<(usize, String)>,
    },
    /// There is no oracle, and why.
    None(String),
}

/// The golden vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GoldenReport {
    /// Vectors that passed, by who computed them.
    pub passed: SelfTestReport,
    /// The first one that did not.
    pub failure: Option<String>,
    /// APIs without a vector that was computed independently.
    pub uncovered: Vec<String>,
}

impl ModelReport {
    fn agrees(&self) -> bool {
        match &self.comparison {
            Comparison::Compared { outputs, refused, .. } => {
                refused.is_none() && outputs.iter().all(OutputDifference::agrees)
            }
            Comparison::None(_) => true,
        }
    }
}

impl Report {
    /// What all of it comes to.
    pub fn verdict(&self) -> Verdict {
        let compared = |model: &ModelReport| matches!(model.comparison, Comparison::Compared { .. });
        let services = self.answers.as_ref().map(|(_, apis)| &apis[..]).unwrap_or_default();
        if self.golden.failure.is_some()
            || !self.models.iter().all(ModelReport::agrees)
            || !services.iter().all(ServiceReport::agrees)
        {
            Verdict::Differs
        } else if !services.is_empty() && services.iter().all(|api| api.answered > 0)
            || self.golden.uncovered.is_empty()
            || !self.models.is_empty() && self.models.iter().all(compared)
        {
            Verdict::Agrees
        } else {
            Verdict::NoOracle
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for model in &self.models {
            model.fmt(f)?;
        }
        self.golden.fmt(f)?;
        match &self.answers {
            Some((version, apis)) => {
                writeln!(f, "service: the bento's own, of BentoML {version}")?;
                apis.iter().try_for_each(|api| api.fmt(f))?;
            }
            None if self.service => writeln!(
                f,
                "service code: what stands around the models is covered by golden vectors only; --allow-python asks the bento's own service"
            )?,
            None => {}
        }
        writeln!(f, "verdict: {}", self.verdict())?;
        if self.verdict() == Verdict::NoOracle {
            let apis = self.golden.uncovered.join(", ");
            writeln!(
                f,
                "Nothing independent has been compared for {apis}. Give inputs with the framework's own outputs: \
                 `ekiben compile BENTO -o OUT.ekb --data FILE --expected FILE`"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ModelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {}: oracle: ", self.model)?;
        let (calls, rows, unanswered, outputs, refused) = match &self.comparison {
            Comparison::None(reason) => return writeln!(f, "none ({reason})"),
            Comparison::Compared { calls, rows, unanswered, outputs, refused } => {
                (calls, rows, unanswered, outputs, refused)
            }
        };
        writeln!(f, "{}, {rows} rows in {} calls", oracle::NAME, calls.len())?;
        if let Some((count, reason)) = unanswered {
            writeln!(f, "  the oracle has no answer to {count} further calls: {reason}")?;
        }
        if let Some((count, reason)) = refused {
            writeln!(f, "  DIFFERS: the artifact refuses {count} calls that the oracle answers: {reason}")?;
        }
        let width = outputs.iter().map(|output| output.output.chars().count()).max().unwrap_or(0).max("output".len());
        writeln!(f, "  {:width$}  {:>8}  {:>9}  {:>9}  worst element", "output", "elements", "max abs", "max rel")?;
        for output in outputs {
            write!(f, "  {:width$}  {:>8}", output.output, output.compared)?;
            write!(f, "  {:>9}  {:>9}  ", short(output.absolute), short(output.relative))?;
            difference(f, output, calls)?;
        }
        if !self.agrees() {
            writeln!(
                f,
                "  tolerance: {ABSOLUTE:e} + {RELATIVE:e} of the output's largest magnitude in the call; integers and \
                 strings are exact"
            )?;
        }
        Ok(())
    }
}

/// The last column of an output's line.
fn difference(f: &mut fmt::Formatter<'_>, output: &OutputDifference, calls: &[String]) -> fmt::Result {
    if output.undecided > 0 {
        write!(f, "{} labels open, the scores tie; ", output.undecided)?;
    }
    let Some(worst) = &output.worst else { return writeln!(f, "equal") };
    if !output.agrees() {
        write!(f, "{} DIFFER; ", output.differing)?;
    }
    let origin = calls.get(worst.call).map_or("", String::as_str);
    let (row, element) = (worst.row, worst.element);
    writeln!(f, "row {row}, element {element}: {} instead of {} ({origin})", worst.ours, worst.oracle)
}

/// A magnitude in few characters.
fn short(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") }
}

impl fmt::Display for GoldenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.failure {
            return writeln!(f, "golden vectors: DIFFER: {failure}");
        }
        let SelfTestReport { framework, oracle, reference, skipped } = self.passed;
        let total = self.passed.total();
        write!(
            f,
            "golden vectors: {total} pass, of which {framework} computed by the framework, {oracle} by an oracle"
        )?;
        write!(f, " and {reference} by ekiben itself (not independent)")?;
        if skipped > 0 {
            write!(f, "; {skipped} do not fit in this machine's memory")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::oracle::{Output, Values};
    use super::*;

    fn compared(model: &str, ours: f64) -> ModelReport {
        let mut output = OutputDifference::new("y");
        let side = |value| Output { dims: vec![1], values: Values::Floats(vec![value]) };
        output.add(0, &[false], &side(ours), &side(1.0));
        let calls = vec!["random values, range 1 of each type".to_owned()];
        let comparison =
            Comparison::Compared { calls, rows: 1, unanswered: None, outputs: vec![output], refused: None };
        ModelReport { model: model.to_owned(), comparison }
    }

    fn unknown(model: &str) -> ModelReport {
        ModelReport { model: model.to_owned(), comparison: Comparison::None("a reason".to_owned()) }
    }

    fn report(models: Vec<ModelReport>, uncovered: &[&str], failure: Option<&str>) -> Report {
        let golden = GoldenReport {
            passed: SelfTestReport { reference: 4, ..SelfTestReport::default() },
            failure: failure.map(str::to_owned),
            uncovered: uncovered.iter().map(|&api| api.to_owned()).collect(),
        };
        Report { models, golden, service: false, answers: None }
    }

    #[test]
    fn agreement_needs_something_independent_for_everything() {
        let api = &["predict"][..];
        assert_eq!(report(vec![compared("a", 1.0)], api, None).verdict(), Verdict::Agrees);
        assert_eq!(report(vec![compared("a", 1.1)], api, None).verdict(), Verdict::Differs);
        assert_eq!(report(vec![compared("a", 1.1)], &[], None).verdict(), Verdict::Differs);
        assert_eq!(report(vec![compared("a", 1.0), unknown("b")], api, None).verdict(), Verdict::NoOracle);
        assert_eq!(report(vec![unknown("a")], api, None).verdict(), Verdict::NoOracle);
        assert_eq!(report(vec![unknown("a")], &[], None).verdict(), Verdict::Agrees);
        assert_eq!(report(vec![unknown("a")], &[], Some("vector 3")).verdict(), Verdict::Differs);
        assert_eq!(report(Vec::new(), api, None).verdict(), Verdict::NoOracle);
    }

    #[test]
    fn a_refused_call_is_a_difference() {
        let mut model = compared("a", 1.0);
        if let Comparison::Compared { refused, .. } = &mut model.comparison {
            *refused = Some((2, "step 4".to_owned()));
        }
        let report = report(vec![model], &[], None);
        assert_eq!(report.verdict(), Verdict::Differs);
        assert!(report.to_string().contains("refuses 2 calls that the oracle answers: step 4"));
    }

    #[test]
    fn the_text_says_who_the_oracle_was_and_what_differs() {
        let text = report(vec![compared("a", 1.5)], &["predict"], None).to_string();
        for part in ["model a: oracle: tract 0.23.9, 1 rows in 1 calls", "1.5 instead of 1", "verdict: DIFFERS"] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        let text = report(vec![unknown("a")], &["predict"], None).to_string();
        for part in
            ["oracle: none (a reason)", "verdict: not verified", "for predict", "--expected FILE", "4 by ekiben"]
        {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }
}
