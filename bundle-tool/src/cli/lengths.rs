//! The flags that give lengths of inputs.

use clap::Args;

use crate::frontend::lengths::{Dim, InputLengths, InputShape, LengthsError};

/// Lengths that a model's file leaves open.
#[derive(Args, Debug)]
pub(super) struct LengthFlags {
    /// Length of a dimension that the model's inputs name, as seq=64; N keeps it the batch. May be repeated
    #[arg(long = "dim", value_name = "NAME=LENGTH")]
    dims: Vec<Dim>,
    /// Shape of an input, as x=1x3x96x96 or x=1,3,96,96; an axis N is the batch. May be repeated
    #[arg(long = "shape", visible_alias = "input-shape", value_name = "INPUT=AxBxC")]
    shapes: Vec<InputShape>,
}

impl LengthFlags {
    /// The lengths together.
    pub(super) fn lengths(&self) -> Result<InputLengths, LengthsError> {
        InputLengths::new(self.dims.iter().cloned(), self.shapes.iter().cloned())
    }
}
