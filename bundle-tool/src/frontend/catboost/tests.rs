use super::ensemble::{Ctr, CtrBase, CtrTable, CtrType, Projection};
use super::{Booster, open};
use crate::frontend::FrontendError;

fn ctr(kind: CtrType, target_border: i32) -> Ctr {
    let projection = Projection { cats: vec![0], floats: Vec::new(), one_hots: Vec::new() };
    let base = CtrBase { projection, kind, classifier: 0 };
    Ctr { base, target_border, prior: [0.5, 1.0], shift: 0.25, scale: 2.0, borders: vec![0.0] }
}

fn table(counts: Vec<i32>, classes: usize) -> CtrTable {
    CtrTable { places: [(7, 0), (9, 1)].into(), counts, denominator: 8, classes }
}

#[test]
fn statistics_of_every_kind() {
    // Each is (count + 0.5) / (total + 1), plus 0.25, times 2.
    let value = |count: f32, total: f32| ((count + 0.5) / (total + 1.0) + 0.25) * 2.0;
    let three = table(vec![1, 2, 4, 3, 0, 5], 3);
    for (kind, border, table, seen, unseen) in [
        (CtrType::Borders, 0, &three, [value(6.0, 7.0), value(5.0, 8.0)], value(0.0, 0.0)),
        (CtrType::Borders, 1, &three, [value(4.0, 7.0), value(5.0, 8.0)], value(0.0, 0.0)),
        (CtrType::Buckets, 1, &three, [value(2.0, 7.0), value(0.0, 8.0)], value(0.0, 0.0)),
        (CtrType::Borders, 0, &table(vec![1, 2, 4, 3], 2), [value(2.0, 3.0), value(3.0, 7.0)], value(0.0, 0.0)),
        (CtrType::Counter, 0, &table(vec![3, 5], 0), [value(3.0, 8.0), value(5.0, 8.0)], value(0.0, 8.0)),
        (CtrType::FeatureFreq, 0, &table(vec![3, 5], 0), [value(3.0, 8.0), value(5.0, 8.0)], value(0.0, 8.0)),
    ] {
        let ctr = ctr(kind, border);
        let got = [Some(&7), Some(&9), None].map(|key| table.value(&ctr, key).unwrap());
        assert_eq!(got, [seen[0], seen[1], unseen], "{kind:?} {border}");
    }
    let means = table(vec![1.5_f32.to_bits() as i32, 3, 0, 0], 0);
    for kind in [CtrType::BinarizedTargetMeanValue, CtrType::FloatTargetMeanValue] {
        let got = [Some(&7), None].map(|key| means.value(&ctr(kind, 0), key).unwrap());
        assert_eq!(got, [value(1.5, 3.0), value(0.0, 0.0)]);
    }
}

#[test]
fn counts_that_are_not_there_are_refused() {
    for (kind, border, table) in [
        (CtrType::Borders, 0, table(vec![1, 2, 3], 2)),
        (CtrType::Buckets, 3, table(vec![1; 6], 3)),
        (CtrType::Buckets, 0, table(Vec::new(), 0)),
        (CtrType::Counter, 0, table(vec![1], 0)),
        (CtrType::FloatTargetMeanValue, 0, table(vec![0, 1, 2], 0)),
    ] {
        assert!(matches!(table.value(&ctr(kind, border), Some(&9)), Err(FrontendError::Malformed { .. })), "{kind:?}");
    }
}

/// A document with one oblivious tree over these features.
fn document(features: &str, leaves: &str) -> String {
    format!(
        r#"{{"features_info": {{{features}}}, "oblivious_trees": [{{"leaf_values": {leaves}, "splits": [{{"split_index": 0}}]}}],
            "scale_and_bias": [1, [0]], "model_info": {{}}}}"#
    )
}

const FLOAT: &str =
    r#""float_features": [{"feature_index": 0, "flat_feature_index": 0, "borders": [0.5], "has_nans": false}]"#;

#[test]
fn text_features_are_refused_by_name() {
    let text = format!(r#"{FLOAT}, "text_features": [{{"flat_feature_index": 1, "feature_name": "remarks"}}]"#);
    let error = open(document(&text, "[1.0, 2.0]").as_bytes()).err().unwrap();
    let FrontendError::Unsupported(blockers) = error else { panic!("{error}") };
    assert!(blockers[0].node.contains("remarks") && blockers[0].reason.contains("text_features"), "{}", blockers[0]);
}

#[test]
fn damaged_documents_are_refused() {
    assert!(Booster::read(document(FLOAT, "[1.0, 2.0]").as_bytes()).is_ok());
    for (features, leaves) in [
        (FLOAT, "[1.0, 2.0, 3.0]"),
        (FLOAT, "[]"),
        (r#""float_features": []"#, "[1.0, 2.0]"),
        (r#""float_features": [{"feature_index": 0, "flat_feature_index": -1, "borders": [0.5]}]"#, "[1.0, 2.0]"),
        (
            r#""float_features": [{"feature_index": 0, "flat_feature_index": 4294967296, "borders": [0.5]}]"#,
            "[1.0, 2.0]",
        ),
        (r#""float_features": [{"feature_index": 0, "flat_feature_index": 0, "borders": [0.5, 0.5]}]"#, "[1.0, 2.0]"),
    ] {
        let error = Booster::read(document(features, leaves).as_bytes()).unwrap_err();
        assert!(matches!(error, FrontendError::Malformed { .. }), "{features}: {error}");
    }
}
