//! Files that scikit-learn and joblib wrote.

use super::*;
use std::io::Write;

/// The thresholds of one tree, and its leaf values' shape.
fn tree<'d>(model: &Item<'d>, index: usize) -> (Vec<f64>, Vec<usize>) {
    let tree = model.get("estimators_").unwrap().at(index).unwrap();
    let state = tree.get("tree_").unwrap();
    let nodes = state.get("nodes").unwrap().array().unwrap();
    let thresholds = nodes.field("threshold").unwrap().f64s().unwrap();
    let values = state.get("values").unwrap().array().unwrap();
    (thresholds, values.shape().to_vec())
}

#[test]
fn forest_of_sklearn_024_without_padding() {
    let bytes = forest_024();
    let document = decode(&bytes);
    let model = root(&document);
    assert_eq!(model.class(), Ok(FOREST[0]));
    assert_eq!(model.get("_sklearn_version").unwrap().as_str(), Ok("0.24.2"));
    let classes = model.get("classes_").unwrap().array().unwrap();
    assert_eq!(classes.i64s(), Ok(vec![0, 1, 2]));
    let trees = model.get("estimators_").unwrap().items().unwrap().len();
    assert_eq!(trees as i64, model.get("n_estimators").unwrap().as_i64().unwrap());
    let nodes = root(&document).get("estimators_").unwrap().at(0).unwrap();
    let nodes = nodes.get("tree_").unwrap().get("nodes").unwrap().array().unwrap();
    assert!(nodes.find_field("missing_go_to_left").is_none());
    let (thresholds, shape) = tree(&model, 0);
    assert_eq!(shape, [thresholds.len(), 1, 3]);
    // Leaves have the threshold -2.
    assert!(thresholds.iter().all(|&t| t == -2.0 || (0.0..8.0).contains(&t)));
}

#[test]
fn forest_of_sklearn_19_with_padding() {
    let bytes = forest_19();
    let document = decode(&bytes);
    let model = root(&document);
    assert_eq!(model.get("_sklearn_version").unwrap().as_str(), Ok("1.9.1"));
    let node = model.get("estimators_").unwrap().at(0).unwrap();
    let node = node.get("tree_").unwrap();
    let nodes = node.get("nodes").unwrap().array().unwrap();
    assert!(nodes.find_field("missing_go_to_left").is_some());
    let values = node.get("values").unwrap().array().unwrap().f64s().unwrap();
    for class_fractions in values.chunks_exact(3) {
        assert!((class_fractions.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    assert!(document.unwrap().globals().any(|g| g == "numpy.dtype"));
}

#[test]
fn whole_file_compression() {
    let plain = forest_19();
    let expected = tree(&root(&decode(&plain)), 1);
    let level = flate2::Compression::fast();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(&plain).unwrap();
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz2.write_all(&plain).unwrap();
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(&plain).unwrap();
    let options = lzma_rust2::LzmaOptions::with_preset(1);
    let mut lzma = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
    lzma.write_all(&plain).unwrap();
    for file in [
        zlib.finish().unwrap(),
        gzip.finish().unwrap(),
        bz2.finish().unwrap(),
        xz.finish().unwrap(),
        lzma.finish().unwrap(),
    ] {
        let document = decode(&file);
        assert_eq!(tree(&root(&document), 1), expected, "{:02x?}", &file[..4]);
        for cut in [5, file.len() / 2, file.len() - 9] {
            assert!(decode(&file[..cut]).is_err());
        }
    }
}

#[test]
fn lz4_is_refused_by_name() {
    let error = decode(b"\x04\x22\x4d\x18rest").unwrap_err().to_string();
    assert!(error.contains("lz4") && error.contains("joblib.dump"), "{error}");
}

#[test]
fn what_is_not_a_pickle_is_said_to_be_what_it_is() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x93NUMPY", "numpy array"),
        (b"(lp0\n.", "protocol 0"),
        (b"hello", "68 65 6c 6c"),
    ] {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let error = decode(b"\x80\x06N.").unwrap_err().to_string();
    assert!(error.contains("protocol 6"), "{error}");
}
