//! `include/ekiben.h` says what the library's symbols are: it is generated from the source, and must be up to date.

use ekiben_runtime::DType;
use std::path::Path;
use std::{env, fs};

/// Generated anew when this variable is set.
const WRITE: &str = "EKIBEN_WRITE_HEADER";

/// Operators are symbols that a macro makes.
const OPERATOR: &str = "
/* An operator of the runtime. Each has a symbol `ekiben_op_...`; what `ekiben package` writes names those that an
 * artifact needs. */
typedef struct ekiben_op ekiben_op;
";

/// What cbindgen cannot see; the element types are an enum of another crate.
fn preamble() -> String {
    let mut text = "\n/* Type of a tensor's elements. */\nenum {\n".to_string();
    for dtype in DType::ALL {
        text += &format!("  EKIBEN_DTYPE_{} = {},\n", dtype.name().to_uppercase(), dtype.code());
    }
    text += "};\n";
    text + OPERATOR
}

fn generated() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shape = here.join("../../../runtime/src/tensor/shape.rs");
    let sources = ["operators.rs", "session.rs", "status.rs", "tensor.rs"].map(|file| here.join("src").join(file));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let mut builder = cbindgen::Builder::new().with_config(config).with_after_include(preamble());
    for source in sources.into_iter().chain([shape]) {
        builder = builder.with_src(source);
    }
    let mut header = Vec::new();
    builder.generate().expect("the sources parse").write(&mut header);
    String::from_utf8(header).expect("a header is text")
}

#[test]
fn header_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/ekiben.h");
    let header = generated();
    if env::var_os(WRITE).is_some() {
        fs::write(&path, &header).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == header, "{} is out of date: run this test with {WRITE}=1", path.display());
}
