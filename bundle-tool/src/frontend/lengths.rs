//! Lengths of a model's inputs that its file leaves open and the user gives: `--dim seq=64`, `--shape x=1x3x96x96`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The longest axis that can be asked for.
const MAX_LENGTH: u32 = i32::MAX as u32;

/// A length that the user gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The batch, spelt `N`: known only when the model runs.
    Batch,
    /// A number.
    Fixed(u32),
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => f.write_str("N"),
            Self::Fixed(length) => write!(f, "{length}"),
        }
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "N" {
            return Ok(Self::Batch);
        }
        let length = text.parse().ok().filter(|length| (1..=MAX_LENGTH).contains(length));
        length
            .map(Self::Fixed)
            .ok_or_else(|| format!("{text:?} is neither a length from 1 to {MAX_LENGTH} nor N, the batch"))
    }
}

/// `NAME=LENGTH`: a dimension that the model calls by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dim {
    /// The name in the model.
    pub name: String,
    /// Its length.
    pub length: Length,
}

impl FromStr for Dim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, length) = halves(text, "NAME=LENGTH")?;
        Ok(Self { name, length: length.parse()? })
    }
}

/// `INPUT=AxBxC` or `INPUT=A,B,C`: the shape of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// The input's name in the model.
    pub input: String,
    /// One length for each axis.
    pub lengths: Vec<Length>,
}

impl FromStr for InputShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (input, shape) = halves(text, "INPUT=1x3x96x96")?;
        let lengths = shape.split(['x', ',']).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { input, lengths })
    }
}

/// Both sides of the last `=`: names may have one too.
fn halves<'a>(text: &'a str, form: &str) -> Result<(String, &'a str), String> {
    let (name, value) =
        text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or(format!("it has the form {form}"))?;
    Ok((name.to_owned(), value))
}

/// Lengths of inputs that models leave open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputLengths {
    dims: BTreeMap<String, Length>,
    shapes: BTreeMap<String, Vec<Length>>,
}

impl InputLengths {
    /// Puts lengths together.
    ///
    /// # Errors
    /// The name that is given twice.
    pub fn new(
        dims: impl IntoIterator<Item = Dim>,
        shapes: impl IntoIterator<Item = InputShape>,
    ) -> Result<Self, LengthsError> {
        let mut lengths = Self::default();
        for Dim { name, length } in dims {
            if lengths.dims.insert(name.clone(), length).is_some() {
                return Err(LengthsError(format!("the length of {name:?} is given twice")));
            }
        }
        for InputShape { input, lengths: shape } in shapes {
            if lengths.shapes.insert(input.clone(), shape).is_some() {
                return Err(LengthsError(format!("the shape of {input:?} is given twice")));
            }
        }
        Ok(lengths)
    }

    /// True when nothing is given.
    pub fn is_empty(&self) -> bool {
        self.dims.is_empty() && self.shapes.is_empty()
    }

    /// Lengths by the names of dimensions.
    pub fn dims(&self) -> impl Iterator<Item = (&str, Length)> {
        self.dims.iter().map(|(name, &length)| (name.as_str(), length))
    }

    /// Shapes by the names of inputs.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[Length])> {
        self.shapes.iter().map(|(name, lengths)| (name.as_str(), lengths.as_slice()))
    }

    /// The shape given for an input.
    pub fn shape(&self, input: &str) -> Option<&[Length]> {
        self.shapes.get(input).map(Vec::as_slice)
    }

    /// Every length and shape as it is spelt on the command line, without the flag.
    pub fn spelt(&self) -> (Vec<String>, Vec<String>) {
        let dims = self.dims().map(|(name, length)| format!("{name}={length}"));
        let shapes = self.shapes().map(|(input, lengths)| {
            let lengths = lengths.iter().map(Length::to_string).collect::<Vec<_>>();
            format!("{input}={}", lengths.join("x"))
        });
        (dims.collect(), shapes.collect())
    }

    /// Fails when a name is none of those that the models of a bento have.
    ///
    /// # Errors
    /// The name, and all that there are.
    pub fn check_names(&self, names: &OpenNames) -> Result<(), LengthsError> {
        let unknown = |flag: &str, name: &str, what: &str, known: &[String]| {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(LengthsError(format!("{flag} {name}: there is no such {what}; there is: {known}")))
        };
        if let Some((name, _)) = self.dims().find(|(name, _)| names.dims.iter().all(|known| known != name)) {
            return unknown("--dim", name, "named dimension of an input", &names.dims);
        }
        if let Some((input, _)) = self.shapes().find(|(input, _)| names.inputs.iter().all(|known| known != input)) {
            return unknown("--shape", input, "input whose shape can be given", &names.inputs);
        }
        Ok(())
    }
}

/// Names that lengths and shapes can be given for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenNames {
    /// Named dimensions of inputs.
    pub dims: Vec<String>,
    /// Inputs.
    pub inputs: Vec<String>,
}

impl OpenNames {
    /// Adds the names of another model.
    pub fn extend(&mut self, other: Self) {
        for (all, more) in [(&mut self.dims, other.dims), (&mut self.inputs, other.inputs)] {
            for name in more {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
    }
}

/// Lengths that contradict each other or the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LengthsError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_are_spelt() {
        let dim: Dim = "seq=64".parse().unwrap();
        let shape: InputShape = "a=b=Nx3x96".parse().unwrap();
        assert_eq!(shape.input, "a=b");
        let lengths = InputLengths::new([dim], [shape]).unwrap();
        assert_eq!(lengths.spelt(), (vec!["seq=64".to_owned()], vec!["a=b=Nx3x96".to_owned()]));
        for wrong in ["seq", "=4", "seq=0", "seq=-1", "seq=", "seq=9999999999"] {
            assert!(wrong.parse::<Dim>().is_err(), "{wrong}");
        }
        for wrong in ["x", "x=", "x=1x", "x=1,,2", "x=1xN2"] {
            assert!(wrong.parse::<InputShape>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_names_are_told_with_what_there_is() {
        let lengths = InputLengths::new(["sek=64".parse().unwrap()], []).unwrap();
        let names = OpenNames { dims: vec!["batch".to_owned(), "seq".to_owned()], inputs: vec![] };
        let error = lengths.check_names(&names).unwrap_err().to_string();
        assert_eq!(error, "--dim sek: there is no such named dimension of an input; there is: batch, seq");
        assert!(InputLengths::new(["a=1".parse().unwrap(), "a=1".parse().unwrap()], []).is_err());
    }
}
