//! Scoring through a small artifact: every input adapter and format, every form of answer, and what is refused.

use ekiben_edge::adapter::Table;
use ekiben_edge::score::{ScoreError, Scorer};
use ekiben_runtime::artifact::manifest::{
    Api, Frame, FrameColumn, Generation, InputAdapter, Manifest, Orient, Parameter, ParameterKind, Provenance, Returns,
};
use ekiben_runtime::artifact::tensors::{Place, TensorRecord};
use ekiben_runtime::artifact::{ApiParts, ArtifactParts, Extent, StepParts, emit};
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, DType, Shape, TensorSpec};

/// An artifact whose API takes `x` of shape `[N, 3]` and gives its absolute values and the position of the largest of them.
struct Fixture {
    buffer: ArenaBuffer,
    length: usize,
    apis: Vec<Api>,
}

fn record(parts: &mut ArtifactParts, name: &str, dtype: DType, dims: &[usize], per_row: u32) -> u32 {
    let spec = TensorSpec::new(dtype, Shape::new(dims, Some(0)).unwrap());
    let name = Some(parts.strings.string(name));
    parts.tensors.push(TensorRecord { spec, place: Place::Arena { offset: 0, per_row }, name });
    parts.tensors.len() as u32 - 1
}

impl Fixture {
    fn new(input: InputAdapter, returns: Returns) -> Self {
        let mut parts = ArtifactParts::default();
        let x = record(&mut parts, "x", DType::F32, &[1, 3], 0);
        let absolute = record(&mut parts, "absolute", DType::F32, &[1, 3], 16);
        let largest = record(&mut parts, "largest", DType::I64, &[1], 32);
        let arg_max = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: true };
        let step = |op, input, output| StepParts {
            op,
            inputs: vec![Some(input)],
            outputs: vec![output],
            scratch: None,
            in_place: false,
        };
        let api = Api {
            name: "predict".to_owned(),
            route: "predict".to_owned(),
            description: String::new(),
            batch: true,
            input,
            returns,
            max_batch_size: None,
            max_latency_ms: None,
            is_text: false,
            wire: Default::default(),
        };
        let manifest = Manifest {
            name: "Absolute".to_owned(),
            version: "1".to_owned(),
            generation: Generation::V1,
            description: String::new(),
            labels: Default::default(),
            provenance: Provenance::default(),
            apis: vec![api.clone()],
            documents: Default::default(),
        };
        parts.manifest = manifest.to_cbor().unwrap();
        let name = parts.strings.string("predict");
        parts.apis.push(ApiParts {
            name,
            inputs: vec![x],
            outputs: vec![absolute, largest],
            fixed_rows: 0,
            arena: Extent { fixed: 0, per_row: 48 },
            states: vec![],
            steps: vec![step(Unary::of(UnaryKind::Abs).into(), x, absolute), step(arg_max.into(), absolute, largest)],
        });
        let bytes = emit(&parts).unwrap();
        let mut buffer = ArenaBuffer::default();
        buffer.get(bytes.len())[..bytes.len()].copy_from_slice(&bytes);
        Self { buffer, length: bytes.len(), apis: vec![api] }
    }

    fn with_scorer<T>(&mut self, run: impl FnOnce(&Scorer<'_>) -> T) -> T {
        let artifact = Artifact::parse(&self.buffer.get(self.length)[..self.length]).unwrap();
        run(&Scorer::new(&artifact, &self.apis, 0).unwrap())
    }

    fn request(&mut self, body: &str, format: Option<Table>) -> Result<String, ScoreError> {
        let mut out = Vec::new();
        self.with_scorer(|scorer| scorer.score_request(body.as_bytes(), &mut out, format))?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn rows(&mut self, input: &str, from: Table, to: Table, batch: usize) -> Result<String, ScoreError> {
        let mut out = Vec::new();
        self.with_scorer(|scorer| scorer.score_rows(input.as_bytes(), from, &mut out, to, batch))?;
        Ok(String::from_utf8(out).unwrap())
    }
}

fn frame(orient: Option<Orient>, columns: &[&str]) -> Frame {
    Frame {
        orient,
        columns: columns.iter().map(|&name| name.to_owned()).collect(),
        fills: false,
        input: 0,
        inputs: Vec::new(),
    }
}

fn array(shape: Option<&[i64]>) -> InputAdapter {
    let kind = ParameterKind::Array { shape: shape.map(<[i64]>::to_vec), dtype: None, input: 0 };
    InputAdapter::Parameters(vec![Parameter { name: "x".to_owned(), kind, default: None }])
}

fn labelled() -> Returns {
    let member = |name: &str, value| (name.to_owned(), value);
    Returns::rows(Returns::Object(vec![member("label", Returns::output(1)), member("values", Returns::output(0))]))
}

fn message(result: Result<String, ScoreError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_orientation_of_a_table_is_read() {
    let expected = "[[1.0, 2.0, 3.0], [4.0, 5.0, 0.5]]\n";
    let bodies = [
        (None, "[[-1, 2, 3], [4, 5, -0.5]]"),
        (None, r#"[{"a": -1, "b": 2, "c": 3}, {"c": -0.5, "b": 5, "a": "4"}]"#),
        (None, r#"{"a": {"0": -1, "1": 4}, "b": {"0": 2, "1": 5}, "c": {"0": 3, "1": -0.5}}"#),
        (None, r#"{"columns": ["a", "b", "c"], "index": [0, 1], "data": [[-1, 2, 3], [4, 5, -0.5]]}"#),
        (Some(Orient::Index), r#"{"r": {"a": -1, "b": 2, "c": 3}, "s": {"a": 4, "b": 5, "c": -0.5}}"#),
        (None, "a,b,c\n-1,2,3\n4,5,-0.5\n"),
        // The first row of a request's CSV is its header, whatever it holds.
        (None, "0,1,2\n-1,2,3\n\n4,5,-0.5\n"),
    ];
    for (orient, body) in bodies {
        let adapter = InputAdapter::Dataframe(frame(orient, &[]));
        assert_eq!(Fixture::new(adapter, Returns::output(0)).request(body, None).unwrap(), expected, "{body}");
    }
}

#[test]
fn declared_columns_are_found_by_name_and_extra_ones_dropped() {
    let mut fixture =
        Fixture::new(InputAdapter::Dataframe(frame(Some(Orient::Records), &["b", "a", "c"])), Returns::output(0));
    let body = r#"[{"a": 1, "z": 9, "c": 3, "b": 2}]"#;
    assert_eq!(fixture.request(body, None).unwrap(), "[[2.0, 1.0, 3.0]]\n");
    let lacking = message(fixture.request(r#"[{"a": 1, "c": 3, "b": 2}, {"a": 1, "b": 2}]"#, None));
    assert_eq!(lacking, "body: row 1, column c: the row lacks this column");
    let other = message(fixture.request("[[1, 2, 3]]", None));
    assert!(other.contains("row 0: this row is no object"), "{other}");
}

/// What numpy 2 says.
const RAGGED: &str = "x: setting an array element with a sequence. The requested array has an inhomogeneous shape after 1 \
                      dimensions. The detected shape was (2,) + inhomogeneous part.";

#[test]
fn arrays_follow_numpy_and_the_declared_shape() {
    let mut fixture = Fixture::new(array(Some(&[-1, 3])), Returns::output(1));
    assert_eq!(fixture.request(r#"{"x": [[1, 5, 2], [-9, 0, 1]]}"#, None).unwrap(), "[1, 0]\n");
    assert_eq!(fixture.request(r#"{"y": 0, "x": [1, 5, 2, -9, 0, 1]}"#, None).unwrap(), "[1, 0]\n");
    for (body, reason) in [
        (r#"{"x": [1, 2]}"#, "x: cannot reshape array of size 2 into shape (3)"),
        (r#"{"x": [[1, 2, 3], [4]]}"#, RAGGED),
        (
            r#"{"x": [[1, 2], [3, [4]]]}"#,
            "x: setting an array element with a sequence. The requested array has an inhomogeneous shape after 2 dimensions. \
             The detected shape was (2, 2) + inhomogeneous part.",
        ),
        (r#"{"x": [["a", 2, 3]]}"#, "x: could not convert string to float: 'a'"),
        (r#"{"y": [[1, 2, 3]]}"#, "x: this parameter is missing; the body has \"y\""),
        ("{}", "x: this parameter is missing"),
        ("[1]", "body: it must be an object with \"x\""),
        ("{", "body: no JSON: EOF while parsing an object at line 1 column 1"),
    ] {
        assert_eq!(message(fixture.request(body, None)), reason, "{body}");
    }
    let unshaped = message(Fixture::new(array(None), Returns::output(0)).request(r#"{"x": [[1, 2]]}"#, None));
    assert_eq!(unshaped, "x: an array of shape [1, 2], the API takes [N, 3]");
    let kind = ParameterKind::Array { shape: None, dtype: None, input: 0 };
    let root = InputAdapter::Value(Parameter { name: "x".to_owned(), kind, default: None });
    assert_eq!(Fixture::new(root, Returns::output(1)).request("[[0, 0, 1]]", None).unwrap(), "[2]\n");
}

#[test]
fn answers_take_every_form() {
    let column = |name: &str, output, at: &[u32]| FrameColumn { name: name.to_owned(), output, at: at.to_vec() };
    let columns = vec![column("label", 1, &[]), column("first", 0, &[0])];
    let table = |orient| Returns::Frame { columns: columns.clone(), orient, digits: Some(2) };
    let cases = [
        (Returns::output(1), "[2, 0]"),
        (Returns::item(1, &[0]), "2"),
        (Returns::rows(Returns::item(0, &[1])), "[0.5, 0.25]"),
        (labelled(), r#"[{"label": 2, "values": [1.125, 0.5, 7.0]}, {"label": 0, "values": [3.0, 0.25, 0.0]}]"#),
        (Returns::rows(Returns::rows(Returns::output(0))), "[[1.125, 0.5, 7.0], [3.0, 0.25, 0.0]]"),
        (Returns::rows(Returns::Constant("\"ok\"".to_owned())), r#"["ok", "ok"]"#),
        (Returns::List(vec![Returns::output(1), Returns::Constant("null".to_owned())]), "[[2, 0], null]"),
        (table(Orient::Records), r#"[{"label": 2, "first": 1.12}, {"label": 0, "first": 3.0}]"#),
        (table(Orient::Columns), r#"{"label": {"0": 2, "1": 0}, "first": {"0": 1.12, "1": 3.0}}"#),
        (table(Orient::Index), r#"{"0": {"label": 2, "first": 1.12}, "1": {"label": 0, "first": 3.0}}"#),
        (table(Orient::Values), "[[2, 1.12], [0, 3.0]]"),
        (table(Orient::Split), r#"{"columns": ["label", "first"], "index": [0, 1], "data": [[2, 1.12], [0, 3.0]]}"#),
    ];
    for (returns, expected) in cases {
        let answer =
            Fixture::new(array(None), returns.clone()).request(r#"{"x": [[1.125, -0.5, 7], [3, 0.25, 0]]}"#, None);
        assert_eq!(answer.unwrap().trim_end(), expected, "{returns:?}");
    }
    let outside = Fixture::new(array(None), Returns::item(0, &[0, 3])).request(r#"{"x": [[1, 2, 3]]}"#, None);
    assert!(matches!(outside, Err(ScoreError::Answer(_))), "{outside:?}");
    let missing = Fixture::new(array(None), Returns::output(2)).request(r#"{"x": [[1, 2, 3]]}"#, None);
    assert!(matches!(missing, Err(ScoreError::Answer(_))), "{missing:?}");
}

#[test]
fn rows_stream_in_batches_and_give_the_same_answers() {
    let adapter = || InputAdapter::Dataframe(frame(None, &["a", "b", "c"]));
    let csv = "c,a,b\n3,-1,2\n0.5,4,5\n1,1,\n";
    let lines = "{\"label\": 2, \"values\": [1.0, 2.0, 3.0]}\n{\"label\": 1, \"values\": [4.0, 5.0, 0.5]}\n\
                 {\"label\": 0, \"values\": [1.0, NaN, 1.0]}\n";
    for batch in [1, 2, 3, 256] {
        let mut fixture = Fixture::new(adapter(), labelled());
        assert_eq!(fixture.rows(csv, Table::Csv, Table::JsonLines, batch).unwrap(), lines);
        let cells = fixture.rows(csv, Table::Csv, Table::Csv, batch).unwrap();
        let expected = "label,values_0,values_1,values_2\n2,1.0,2.0,3.0\n1,4.0,5.0,0.5\n0,1.0,nan,1.0\n";
        assert_eq!(cells, expected);
        let objects = "{\"a\": -1, \"b\": 2, \"c\": 3}\n\n[4, 5, 0.5]\n{\"c\": 1, \"b\": null, \"a\": 1}";
        assert_eq!(fixture.rows(objects, Table::JsonLines, Table::JsonLines, batch).unwrap(), lines);
    }
    let mut plain = Fixture::new(array(None), Returns::output(1));
    assert_eq!(plain.rows("1,2,3\n3,2,1\n", Table::Csv, Table::Csv, 2).unwrap(), "prediction\n2\n0\n");
    assert_eq!(plain.rows("p,q,r\n1,2,3\n", Table::Csv, Table::Csv, 2).unwrap(), "prediction\n2\n");
    assert_eq!(plain.rows("{\"x\": [[1, 2, 3]]}\n", Table::JsonLines, Table::JsonLines, 2).unwrap(), "2\n");
    assert_eq!(plain.rows("", Table::Csv, Table::Csv, 2).unwrap(), "");
    let mut many = Fixture::new(array(None), Returns::output(0));
    let scored = many.rows("1,2,3\n", Table::Csv, Table::Csv, 2).unwrap();
    assert_eq!(scored, "prediction_0,prediction_1,prediction_2\n1.0,2.0,3.0\n");
    let records = many.request(r#"{"x": [[1, 2, 3], [4, 5, 6]]}"#, Some(Table::JsonLines)).unwrap();
    assert_eq!(records, "[1.0, 2.0, 3.0]\n[4.0, 5.0, 6.0]\n");
}

#[test]
fn json_decimals_are_read_exactly() {
    // Readers that round digits and power of ten apart give another float for each of these.
    for decimal in ["3.9634806967355276", "2.3182529167238846", "0.9671196784464513"] {
        let value: f64 = decimal.parse().unwrap();
        let parsed: serde_json::Value = serde_json::from_str(decimal).unwrap();
        assert_eq!(parsed.as_f64().map(f64::to_bits), Some(value.to_bits()), "{decimal}");
    }
}

#[test]
fn a_batch_too_large_for_memory_is_an_error() {
    let mut fixture = Fixture::new(array(None), Returns::output(1));
    for batch in [usize::MAX, usize::MAX / 64] {
        let refused = fixture.rows("1,2,3\n", Table::Csv, Table::Csv, batch);
        assert!(matches!(refused, Err(ScoreError::Run(_))), "{refused:?}");
    }
}

#[test]
fn faults_in_rows_are_named_by_line_and_column() {
    let mut named = Fixture::new(InputAdapter::Dataframe(frame(None, &["a", "b", "c"])), Returns::output(1));
    let cases = [
        ("a,b,c\n1,2,3\n1,x,3\n", "line 3, column b: \"x\" is no number"),
        ("a,b,c\n1,2\n", "line 2: 2 fields, the API takes 3"),
        ("a,b\n1,2\n", "line 1, column c: the header has no such column"),
        ("a,b,c,d\n", "line 1, column d: this column is not one of the API's: a, b, c"),
        ("a,b,c,a\n", "line 1, column a: the header has this column more than once"),
    ];
    for (input, expected) in cases {
        assert_eq!(message(named.rows(input, Table::Csv, Table::Csv, 8)), expected, "{input}");
    }
    let cases = [
        ("[1, 2, 3]\n[1, \"x\", 3]\n", "line 2, column b: \"x\" is no number"),
        ("[1, 2]\n", "line 1: 2 numbers, the API takes 3"),
        ("{\"a\": 1, \"b\": 2, \"d\": 3}\n", "line 1, column c: the row lacks this column"),
        ("{\n", "line 1: no JSON: EOF while parsing an object at line 2 column 0"),
    ];
    for (input, expected) in cases {
        assert_eq!(message(named.rows(input, Table::JsonLines, Table::Csv, 8)), expected, "{input}");
    }
    let mut certain = Fixture::new(array(None), Returns::item(1, &[1]));
    assert!(message(certain.rows("1,2,3\n", Table::Csv, Table::Csv, 8)).contains("one certain row"));
    let mut first = Fixture::new(array(None), Returns::item(1, &[0]));
    assert_eq!(first.rows("1,2,3\n3,2,1\n", Table::Csv, Table::Csv, 8).unwrap(), "prediction\n2\n0\n");
}
