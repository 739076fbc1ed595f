//! A model inside your own program: opens an artifact, lets it prove itself, and classifies flowers.
//!
//! ```text
//! ekiben compile tests/fixtures/bentos/v013_sklearn_iris_rf/bundle -o iris.ekb
//! cargo run -p ekiben-examples --bin embed -- iris.ekb
//! ```

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use ekiben_runtime::Session;

/// Sepal length and width, petal length and width, in centimetres.
const FLOWERS: [[f64; 4]; 3] = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.3, 4.7, 1.45], [6.3, 3.4, 6.0, 2.55]];

/// The species that the artifact's API `predict` gives for each flower.
fn classify(artifact: &Path, flowers: &[[f64; 4]]) -> Result<Vec<i64>, Box<dyn Error>> {
    let mut session = Session::open(artifact)?;
    let api = session.artifact().api_index("predict").ok_or("the artifact has no API named predict")?;
    session.self_test()?;
    // One run takes all rows; its memory was planned when the artifact was compiled.
    session.with_executor(api, flowers.len(), |executor| {
        executor.input_mut::<f64>(0)?.copy_from_slice(flowers.as_flattened());
        executor.run()?;
        Ok(executor.output::<i64>(0)?.to_vec())
    })
}

fn main() -> ExitCode {
    let Some(artifact) = std::env::args_os().nth(1) else {
        eprintln!("usage: embed ARTIFACT");
        return ExitCode::from(2);
    };
    match classify(Path::new(&artifact), &FLOWERS) {
        Ok(species) => {
            for (flower, species) in FLOWERS.iter().zip(species) {
                println!("{flower:?}: species {species}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("embed: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowers_get_the_species_that_scikit_learn_gives_them() {
        let bento = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/bentos/v013_sklearn_iris_rf/bundle");
        let compiled = ekiben::compile::compile_path(&bento, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("iris.ekb");
        std::fs::write(&artifact, compiled.bytes()).unwrap();
        assert_eq!(classify(&artifact, &FLOWERS).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn a_file_that_is_no_artifact_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let artifact = folder.path().join("iris.ekb");
        std::fs::write(&artifact, "not an artifact").unwrap();
        let error = classify(&artifact, &FLOWERS).unwrap_err().to_string();
        assert!(error.contains("iris.ekb"), "{error}");
    }
}
