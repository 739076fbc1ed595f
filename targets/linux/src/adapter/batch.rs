//! The inputs of one run while they are collected.

use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::{Artifact, Executor, TensorSpec};

/// Elements of one input of the API.
#[derive(Clone, Debug)]
pub struct InputBuffer {
    /// Name.
    pub name: String,
    /// Type and shape.
    pub spec: TensorSpec,
    /// Elements of all rows so far, in C order.
    pub bytes: Vec<u8>,
}

impl InputBuffer {
    /// Elements of one row.
    pub fn elements(&self) -> usize {
        self.spec.shape.elements().and_then(|elements| usize::try_from(elements).ok()).unwrap_or(usize::MAX)
    }
}

/// The inputs of a run of some rows. The buffers keep their memory from batch to batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One buffer per input of the API.
    pub inputs: Vec<InputBuffer>,
    /// Rows collected.
    pub rows: usize,
}

impl Batch {
    /// An empty batch for an API of an artifact.
    pub fn new(artifact: &Artifact<'_>, api: &ApiRecord) -> Self {
        let records = (0..api.inputs.into()).filter_map(|index| artifact.api_input(api, index));
        let inputs = records.map(|record| InputBuffer {
            name: record.name.and_then(|name| artifact.strings().get(name)).unwrap_or_default().to_owned(),
            spec: record.spec,
            bytes: Vec::new(),
        });
        Self { inputs: inputs.collect(), rows: 0 }
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.rows = 0;
        for input in &mut self.inputs {
            input.bytes.clear();
        }
    }

    /// Runs the API on the rows.
    ///
    /// # Errors
    /// Those of [`Executor::set_rows`] and [`Executor::run`].
    pub fn run(&self, executor: &mut Executor<'_, '_>) -> Result<(), ekiben_runtime::Error> {
        executor.set_rows(self.rows)?;
        for (index, input) in self.inputs.iter().enumerate() {
            let view = executor.input_view(index)?;
            let (given, needed) = (input.bytes.len(), view.bytes.len());
            if given != needed {
                return Err(ekiben_runtime::Error::ArenaTooSmall { needed, given });
            }
            view.bytes.copy_from_slice(&input.bytes);
        }
        executor.run()
    }
}
