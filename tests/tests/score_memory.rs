//! Scoring rows takes the same memory whatever their number.

mod measuring;

use std::io::{self, BufReader, Read};

use ekiben_edge::adapter::Table;
use ekiben_edge::score::{DEFAULT_BATCH, Scorer};
use ekiben_runtime::Artifact;
use measuring::Measuring;

#[global_allocator]
static ALLOCATOR: Measuring = Measuring::new();

/// The same row of a CSV file, again and again, made as it is read.
struct Rows {
    left: usize,
    at: usize,
}

const ROW: &[u8] = b"6.3,3.4,6.0,2.55\n";

impl Read for Rows {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let count = ROW[self.at..].len().min(out.len());
        out[..count].copy_from_slice(&ROW[self.at..][..count]);
        self.at += count;
        if self.at == ROW.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(count)
    }
}

// One test in this program: others would allocate beside it.
#[test]
fn memory_does_not_grow_with_the_file() {
    let bento = ekiben_tests::case::root().join("bentos/v013_onnx_iris_gb/bundle");
    let compiled = ekiben::compile::compile_path(&bento, None).unwrap();
    let artifact = Artifact::parse(compiled.bytes()).unwrap();
    let scorer = Scorer::new(&artifact, &compiled.manifest.apis, 0).unwrap();
    for format in [Table::Csv, Table::JsonLines] {
        let peak = |rows: usize| {
            ALLOCATOR.peak_of(|| {
                let input = BufReader::new(Rows { left: rows, at: 0 });
                let scored = scorer.score_rows(input, Table::Csv, io::sink(), format, DEFAULT_BATCH).unwrap();
                assert_eq!(scored, rows as u64);
            })
        };
        let short = peak(4 * DEFAULT_BATCH);
        let long = peak(100 * DEFAULT_BATCH);
        assert!(short > 0 && long <= short, "{long} bytes for the long file, {short} for the short one");
    }
}
