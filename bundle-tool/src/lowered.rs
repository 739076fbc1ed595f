//! What an API computes, in the compiler's own terms: the seam between the readers of services and the compiler.

use ekiben_runtime::artifact::manifest;

use crate::graph::Graph;

/// One API of a service or of a bare model.
#[derive(Clone, Debug)]
pub struct LoweredApi {
    /// How data becomes the graph's inputs and its outputs the answer. Its input and output indices are positions among
    /// [`Graph::inputs`] and [`Graph::outputs`].
    pub manifest: manifest::Api,
    /// What happens in between. Every input is one of the manifest's adapter, every output one that its template reads.
    pub graph: Graph,
}
