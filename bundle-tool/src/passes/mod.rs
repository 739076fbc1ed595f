//! Rewrites of the graph. Each keeps inputs, outputs and what is computed, and is tested by running the graph before and after it.

mod cancel_transposes;
#[cfg(test)]
mod convolution_tests;
mod fold_constants;
mod fold_padding;
mod fold_scales;
mod fuse_activations;
mod fuse_attention;
mod fuse_clamps;
mod fuse_normalisation;
mod fuse_quantized;
mod fuse_residual_add;
mod fuse_softmax;
mod merge_equal_nodes;
mod move_reshape;
mod pattern;
mod remove_dead_nodes;
mod rewrite;
#[cfg(test)]
mod tests;
mod users;

pub use cancel_transposes::cancel_transposes;
pub use fold_constants::fold_constants;
pub(crate) use fold_constants::widens;
pub use fold_padding::fold_padding;
pub use fold_scales::fold_scales;
pub use fuse_activations::fuse_activations;
pub use fuse_attention::fuse_attention;
pub use fuse_clamps::fuse_clamps;
pub use fuse_normalisation::fuse_normalisation;
pub use fuse_quantized::fuse_quantized;
pub use fuse_residual_add::fuse_residual_add;
pub use fuse_softmax::fuse_softmax;
pub use merge_equal_nodes::merge_equal_nodes;
pub use remove_dead_nodes::remove_dead_nodes;

use crate::graph::{ConstantError, EvaluateError, Graph, GraphError};

/// A pass that failed. A sound graph gives none.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// An operator refused operands that it had taken in the graph before the pass.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A constant does not fit its shape.
    #[error(transparent)]
    Constant(#[from] ConstantError),
    /// A node over constants cannot be computed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// All passes, in the order in which they help each other.
///
/// # Errors
/// [`PassError`] names the node.
pub fn optimise(graph: &Graph) -> Result<Graph, PassError> {
    let graph = fuse_quantized(graph)?;
    let graph = fold_constants(&graph)?;
    let graph = fuse_softmax(&graph)?;
    let graph = fuse_normalisation(&graph)?;
    let graph = fuse_activations(&graph)?;
    let graph = fuse_attention(&graph)?;
    let graph = cancel_transposes(&graph)?;
    let graph = merge_equal_nodes(&graph)?;
    let graph = fold_padding(&graph)?;
    let graph = fold_scales(&graph)?;
    let graph = fuse_clamps(&graph)?;
    let graph = remove_dead_nodes(&graph)?;
    fuse_residual_add(&graph)
}
