//! Estimators made by hand, unsupported ones and damaged ones. Fixtures are compared with scikit-learn's answers in the tests of
//! the workspace.

use super::*;
use crate::frontend::pickle::tests::fixture;
use crate::frontend::pickle::tests::mutation::{SMALL, mutate};
use crate::graph::evaluate;

/// Runs every method of `model` on one row of 0.5; what is damaged may be refused, but must not panic.
fn run_every_method(model: &dyn Model) {
    let spec = model.inputs()[0].spec;
    let row = vec![0.5f64; spec.shape.factor(1).unwrap_or(0).min(1000)];
    if spec.shape.factor(1) != Some(row.len()) {
        return;
    }
    for method in model.methods() {
        let mut graph = Graph::new();
        let x = graph.add_input("X", spec);
        match model.call(&mut graph, method, &[x]) {
            Ok(outputs) => outputs.iter().for_each(|output| graph.add_output(output.tensor)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        evaluate(&graph, 1, &[bytemuck::cast_slice(&row)]).expect("a graph that was accepted runs");
    }
}

#[test]
fn an_estimator_that_is_not_supported_is_named() {
    let file = b"\x80\x04csklearn.tree._tree\nTree\n)R.";
    let error = read(file, &Limits::default()).unwrap_err().to_string();
    assert!(error.starts_with("unsupported:\n  model (sklearn.tree._tree.Tree): "), "{error}");
    let error = read(b"\x80\x04}.", &Limits::default()).unwrap_err().to_string();
    assert_eq!(error, "model: expected a scikit-learn estimator, found a dict of 0");
    let file = b"\x80\x04csklearn.manifold._t_sne\nTSNE\n)\x81.";
    let error = read(file, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("sklearn.manifold._t_sne.TSNE"), "{error}");
}

/// Opcodes of an object of `class` without attributes.
fn bare(class: &str) -> Vec<u8> {
    let (module, name) = class.rsplit_once('.').unwrap();
    format!("c{module}\n{name}\n)").bytes().chain([0x81]).collect()
}

/// A pipeline of `steps`, each the opcodes of an estimator.
fn pipeline(steps: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"csklearn.pipeline\nPipeline\n)\x81}\x8c\x05steps](".to_vec();
    for step in steps {
        file.extend(b"\x8c\x01s");
        file.extend(step);
        file.push(0x86);
    }
    file.extend(b"esb");
    file
}

#[test]
fn everything_that_is_not_supported_is_listed_with_its_place() {
    let scaler = b"csklearn.preprocessing._data\nStandardScaler\n)\x81}\x8c\x01fcmine\nhelper\nsb".to_vec();
    let inner =
        pipeline(&[bare("sklearn.manifold._isomap.Isomap"), b"\x8c\x0bpassthrough".to_vec(), bare("mine.Scaler")]);
    let steps = [inner, bare("sklearn.manifold._t_sne.TSNE"), bare("mine.Scaler"), scaler];
    let file = [b"\x80\x04".to_vec(), pipeline(&steps), b".".to_vec()].concat();
    // The scaler is damaged besides, which matters less than what is not supported.
    let Err(FrontendError::Unsupported(blockers)) = read(&file, &Limits::default()) else { panic!("it was read") };
    let all: Vec<(&str, &str)> = blockers.iter().map(|b| (b.node.as_str(), b.operator.as_str())).collect();
    let helper = file.windows(6).position(|window| window == b"helper").unwrap() - "cmine\n".len();
    assert_eq!(
        all,
        [
            ("steps[0][1].steps[0][1]", "sklearn.manifold._isomap.Isomap"),
            ("steps[0][1].steps[2][1]", "mine.Scaler"),
            ("steps[1][1]", "sklearn.manifold._t_sne.TSNE"),
            ("steps[2][1]", "mine.Scaler"),
            (format!("byte {helper}").as_str(), "mine.helper"),
        ]
    );
}

#[test]
fn what_is_not_supported_inside_ensembles_is_listed_with_its_place() {
    // VotingRegressor(estimators_=[mine.A, DummyClassifier(strategy="uniform"), Pipeline([("s", mine.B)])])
    let dummy =
        b"csklearn.dummy\nDummyClassifier\n)\x81}(\x8c\x09_strategy\x8c\x07uniform\x8c\x0an_outputs_K\x01".to_vec();
    let labels =
        b"\x8c\x08classes_cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01K\x01\x85";
    let labels = [&labels[..], b"cnumpy\ndtype\n(\x8c\x02i8\x89\x88tR\x89C\x08\x03\0\0\0\0\0\0\0tb"].concat();
    let prior =
        b"\x8c\x0cclass_prior_cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01K\x01\x85";
    let prior = [&prior[..], b"cnumpy\ndtype\n(\x8c\x02f8\x89\x88tR\x89C\x08\0\0\0\0\0\0\xf0?tb"].concat();
    let dummy = [dummy, labels, prior, b"ub".to_vec()].concat();
    let head = b"\x80\x04csklearn.ensemble._voting\nVotingRegressor\n)\x81}\x8c\x0bestimators_](".to_vec();
    let file = [head, bare("mine.A"), dummy, pipeline(&[bare("mine.B")]), b"esb.".to_vec()].concat();
    let error = match read(&file, &Limits::default()) {
        Err(FrontendError::Unsupported(blockers)) => blockers,
        other => panic!("{other:?}"),
    };
    let all: Vec<(&str, &str)> = error.iter().map(|b| (b.node.as_str(), b.operator.as_str())).collect();
    assert_eq!(
        all,
        [
            ("estimators_[0]", "mine.A"),
            ("estimators_[1]", "sklearn.dummy.DummyClassifier"),
            ("estimators_[2].steps[0][1]", "mine.B"),
        ]
    );
    assert!(error[1].reason.contains("answers at random"), "{}", error[1].reason);
}

#[test]
fn pipelines_that_contain_themselves_end() {
    // p.steps = [("a", p), ("b", p)]
    let file =
        b"\x80\x04csklearn.pipeline\nPipeline\n)\x81\x94}\x8c\x05steps](\x8c\x01ah\x00\x86\x8c\x01bh\x00\x86esb.";
    let error = read(file, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("levels deep"), "{error}");
    // Forty pipelines, each of twice the one before.
    let mut file = b"\x80\x04csklearn.preprocessing._data\nStandardScaler\n)\x81}(\x8c\x0en_features_in_K\x01".to_vec();
    file.extend(b"\x8c\x10_sklearn_version\x8c\x031.9\x8c\x09with_mean\x89\x8c\x08with_std\x89ub\x94");
    for below in 0..20 {
        file.extend(b"csklearn.pipeline\nPipeline\n)\x81}\x8c\x05steps](\x8c\x01ah");
        file.extend([below, 0x86, 0x8c, 1, b'b', b'h', below]);
        file.extend(b"\x86esb\x94");
    }
    file.push(b'.');
    let error = read(&file, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("values in all"), "{error}");
}

#[test]
fn damaged_estimators_are_refused_or_run() {
    let forest = "sklearn/v19_forest_classifier_missing/model.pkl";
    for (seed, path) in SMALL.iter().chain([&forest]).enumerate() {
        let reads = |bytes: &[u8]| match open(bytes) {
            Ok(model) => {
                run_every_method(model.as_ref());
                false
            }
            Err(error) => !error.to_string().is_empty(),
        };
        assert!(!reads(&fixture(path)));
        let refused = mutate(&fixture(path), 1_500, 100 + seed as u64, reads);
        assert!(refused > 100 && refused < 1_500, "{path}: {refused} refused");
    }
}

#[test]
fn steps_must_fit_together() {
    let scaler = |columns: u8| {
        let head = b"csklearn.preprocessing._data\nStandardScaler\n)\x81}(\x8c\x0en_features_in_K";
        let tail = b"\x8c\x10_sklearn_version\x8c\x031.9\x8c\x09with_mean\x89\x8c\x08with_std\x89ub";
        [&head[..], &[columns], tail].concat()
    };
    let pipeline = |first: u8, second: u8| {
        let head = b"\x80\x04csklearn.pipeline\nPipeline\n)\x81}\x8c\x05steps](\x8c\x01a";
        let parts = [&head[..], &scaler(first), b"\x86\x8c\x01b", &scaler(second), b"\x86esb."];
        read(&parts.concat(), &Limits::default())
    };
    assert_eq!(pipeline(3, 3).unwrap().transformed(), Some(3));
    let error = pipeline(3, 4).unwrap_err().to_string();
    assert_eq!(error, "steps: damaged model: \"a\" gives 3 columns, \"b\" takes 4");
}

#[test]
fn options_that_are_not_supported_are_named_with_what_would_work() {
    let model = |class: &str, attribute: &str, value: &[u8]| {
        let mut file = bare(class);
        file.extend(b"}\x8c");
        file.push(attribute.len() as u8);
        file.extend(attribute.as_bytes());
        file.extend(value);
        file.extend(b"sb");
        [b"\x80\x04".to_vec(), pipeline(&[file]), b".".to_vec()].concat()
    };
    for (class, attribute, value, expected) in [
        ("sklearn.svm._classes.SVC", "kernel", &b"\x8c\x0bprecomputed"[..], "kernel=\"precomputed\"; use \"linear\""),
        ("sklearn.svm._classes.SVR", "kernel", b"cbuiltins\nint\n", "kernel=\"a function\"; use \"linear\""),
        (
            "sklearn.linear_model._ransac.RANSACRegressor",
            "estimator_",
            b"csklearn.svm._classes\nNuSVR\n)\x81}\x8c\x06kernel\x8c\x04nonesb",
            "kernel=\"none\"",
        ),
    ] {
        let error = read(&model(class, attribute, value), &Limits::default()).unwrap_err();
        assert!(matches!(error, FrontendError::Unsupported(_)), "{error}");
        let (error, inner) = (error.to_string(), if attribute == "kernel" { "" } else { ".estimator_" });
        assert!(error.contains(&format!("steps[0][1]{inner} (sklearn.svm._classes.")), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
