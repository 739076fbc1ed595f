//! Damaged files.

use std::time::{Duration, Instant};

use flatbuffers::FlatBufferBuilder;
use tract_tflite::tflite;

use super::*;

const MODEL: &[u8] = include_bytes!("../../../../tests/fixtures/tflite/odd_shapes_int8/model.tflite");

/// Xorshift, as good as any for choosing places.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn damaged_files_are_refused_or_read_but_never_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut bytes = MODEL.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
                2 => bytes.truncate(at.max(8)),
                _ => {
                    let from = random.below(bytes.len());
                    let length = random.below(32).min(bytes.len() - from.max(at));
                    bytes.copy_within(from..from + length, at);
                }
            }
        }
        match TfliteModel::open(&bytes) {
            Ok(model) => drop(lowered(&model)),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

/// A model that opened can be lowered and planned.
fn lowered(model: &TfliteModel) -> Result<crate::planner::ArenaPlan, crate::planner::PlanError> {
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    for output in model.call(&mut graph, "run", &inputs).expect("it was lowered when it was opened") {
        graph.add_output(output.tensor);
    }
    crate::planner::plan(&graph)
}

#[test]
fn every_truncation_is_refused() {
    for length in (0..MODEL.len()).step_by(7) {
        assert!(TfliteModel::open(&MODEL[..length]).is_err(), "{length}");
    }
}

/// A model of `count` tensors and buffers that all share one name and one array of `length` bytes.
fn sharing(count: usize, length: usize) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let data = builder.create_vector(&vec![7u8; length]);
    let name = builder.create_string(&"n".repeat(length));
    let shape = builder.create_vector(&[length as i32]);
    let buffer = tflite::Buffer::create(&mut builder, &tflite::BufferArgs { data: Some(data) });
    let buffers = builder.create_vector(&vec![buffer; count]);
    let args = tflite::TensorArgs {
        shape: Some(shape),
        type_: tflite::TensorType::INT8,
        name: Some(name),
        ..Default::default()
    };
    let tensor = tflite::Tensor::create(&mut builder, &args);
    let tensors = builder.create_vector(&vec![tensor; count]);
    let args = tflite::SubGraphArgs { tensors: Some(tensors), ..Default::default() };
    let graph = tflite::SubGraph::create(&mut builder, &args);
    let subgraphs = builder.create_vector(&[graph]);
    let args = tflite::ModelArgs { subgraphs: Some(subgraphs), buffers: Some(buffers), ..Default::default() };
    let model = tflite::Model::create(&mut builder, &args);
    builder.finish(model, Some("TFL3"));
    builder.finished_data().to_vec()
}

#[test]
fn parts_that_share_cannot_make_a_small_file_take_much_memory() {
    let file = sharing(1000, 100_000);
    assert!(file.len() < 250_000);
    let start = Instant::now();
    let error = TfliteModel::open(&file).unwrap_err().to_string();
    assert!(error.contains("share so much"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    let error = TfliteModel::open(&sharing(2, 100)).unwrap_err().to_string();
    assert!(error.contains("no output"), "{error}");
}

/// A model of one operator without options, from float32 `[1, 1, 4]` to float32 of another shape.
fn one_operator(code: tflite::BuiltinOperator, output: &[i32]) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let buffer = tflite::Buffer::create(&mut builder, &Default::default());
    let buffers = builder.create_vector(&[buffer]);
    let tensor = |builder: &mut FlatBufferBuilder<'static>, name: &str, shape: &[i32]| {
        let (name, shape) = (builder.create_string(name), builder.create_vector(shape));
        let args = tflite::TensorArgs { shape: Some(shape), name: Some(name), ..Default::default() };
        tflite::Tensor::create(builder, &args)
    };
    let tensors = [tensor(&mut builder, "x", &[1, 1, 4]), tensor(&mut builder, "y", output)];
    let tensors = builder.create_vector(&tensors);
    let (inputs, outputs) = (builder.create_vector(&[0]), builder.create_vector(&[1]));
    let args = tflite::OperatorArgs { inputs: Some(inputs), outputs: Some(outputs), ..Default::default() };
    let operator = tflite::Operator::create(&mut builder, &args);
    let operators = builder.create_vector(&[operator]);
    let args = tflite::SubGraphArgs {
        tensors: Some(tensors),
        inputs: Some(inputs),
        outputs: Some(outputs),
        operators: Some(operators),
        ..Default::default()
    };
    let graph = tflite::SubGraph::create(&mut builder, &args);
    let subgraphs = builder.create_vector(&[graph]);
    let args = tflite::OperatorCodeArgs { builtin_code: code, ..Default::default() };
    let code = tflite::OperatorCode::create(&mut builder, &args);
    let operator_codes = builder.create_vector(&[code]);
    let args = tflite::ModelArgs {
        subgraphs: Some(subgraphs),
        buffers: Some(buffers),
        operator_codes: Some(operator_codes),
        ..Default::default()
    };
    let model = tflite::Model::create(&mut builder, &args);
    builder.finish(model, Some("TFL3"));
    builder.finished_data().to_vec()
}

/// The shape and the values that a model of one operator gives for `x`.
fn computed(code: tflite::BuiltinOperator, output: &[i32], x: [f32; 4]) -> (String, Vec<f32>) {
    let model = TfliteModel::open(&one_operator(code, output)).expect("a model");
    let mut graph = Graph::new();
    let input = graph.add_input("x", model.inputs()[0].spec);
    let outputs = model.call(&mut graph, "run", &[input]).expect("it was lowered when it was opened");
    graph.add_output(outputs[0].tensor);
    let values = crate::graph::evaluate(&graph, 1, &[bytemuck::cast_slice(&x)]).expect("a run");
    (graph.shape(outputs[0].tensor).to_string(), bytemuck::cast_slice(values[0].as_slice()).to_vec())
}

#[test]
fn operators_without_options_follow_their_definition() {
    use tflite::BuiltinOperator as Code;
    let x = [-4.0, -1.5, 0.75, 9.0];
    let batched = "[N, 1, 4]".to_owned();
    assert_eq!(computed(Code::RELU_N1_TO_1, &[1, 1, 4], x), (batched.clone(), vec![-1.0, -1.0, 0.75, 1.0]));
    assert_eq!(computed(Code::RELU6, &[1, 1, 4], x), (batched.clone(), vec![0.0, 0.0, 0.75, 6.0]));
    let (shape, values) = computed(Code::HARD_SWISH, &[1, 1, 4], x);
    let expected = x.map(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0);
    assert!(values.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-6), "{values:?}");
    assert_eq!(shape, batched);
    assert_eq!(computed(Code::SQUEEZE, &[4], x), ("[4]".to_owned(), x.to_vec()), "the batch would go");
}
