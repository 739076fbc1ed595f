//! Hostile files, and what is refused by name.

use std::path::Path;

use prost::Message;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{ModelProto, TensorProto, ValueInfoProto};

use super::*;
use crate::frontend::lengths::InputLengths;

/// Lowers a model's only method.
fn lower(model: &OnnxModel) -> Result<Graph, FrontendError> {
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    for output in model.call(&mut graph, "run", &inputs)? {
        graph.add_output(output.tensor);
    }
    Ok(graph)
}

fn fixture(case: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/onnx");
    std::fs::read(folder.join(case).join("model.onnx")).unwrap()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Changes some bytes: flipped, replaced, cut out, doubled, or cut off.
fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + random.below(16)).min(bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => bytes.truncate(bytes.len() - random.below(8).min(bytes.len() - 1)),
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}

#[test]
fn damaged_models_are_refused_or_optimised_without_a_panic() {
    let mut random = Random(2);
    let (mut refused, mut lowered) = (0, 0);
    for case in [
        "torch_cnn",
        "torch_pads",
        "torch_expand",
        "torch_attention",
        "made_tree_min",
        "sklearn_scaler_logistic_zipmap",
        "made_label_encoder_integer_to_text",
        "torch_transpose_slice",
        "image_conv_3d",
        "image_conv_transpose_2d",
        "image_deform_conv",
        "image_global_lp_pool_3d",
        "image_grid_sample_2d",
        "image_normalisation",
        "image_pool_3d",
        "image_pool_indices_2d",
        "image_resize_cubic",
        "image_roi_align",
        "image_upsample_10",
        "network_shufflenet_torchscript",
        "network_unet_bilinear_dynamo",
        "control_functions",
        "control_if_selected",
        "control_loop_nested",
        "control_scan",
        "control_sequences",
        "control_sparse_constants",
        "recurrent_lstm_peepholes",
        "batch_counted",
        "indexing_einsum_bilinear",
        "indexing_non_max_suppression_0",
        "indexing_rows",
        "indexing_tf_idf",
        "indexing_top_k_all",
        "indexing_unique_rows",
        "network_detector_dynamo",
    ] {
        let original = fixture(case);
        for _ in 0..1000 {
            match OnnxModel::read(&mutate(&original, &mut random)).and_then(|model| lower(&model)) {
                Ok(graph) => {
                    crate::passes::optimise(&graph).unwrap();
                    lowered += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 500 && lowered > 100, "{refused} refused, {lowered} lowered");
}

#[test]
fn damaged_quantized_models_are_refused_or_optimised_without_a_panic() {
    let mut random = Random(3);
    let (mut refused, mut optimised) = (0, 0);
    for case in [
        "onnx_quantized/explicit_u8",
        "onnx_quantized/cnn_qdq_u8u8_channels",
        "onnx_quantized/mlp_qoperator_u8u8",
        "onnx_quantized/mlp_dynamic_u8",
        "onnx_narrow/float16_weights",
        "onnx_narrow/uint4_blocks_zeros",
        "onnx_narrow/n_bits_4_zeros",
    ] {
        let original = fixture(&format!("../{case}"));
        for _ in 0..250 {
            let graph = OnnxModel::read(&mutate(&original, &mut random)).and_then(|model| lower(&model));
            match graph.map(|graph| crate::passes::optimise(&graph)) {
                Ok(Ok(_)) => optimised += 1,
                Ok(Err(error)) => panic!("{case}: {error}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 300 && optimised > 100, "{refused} refused, {optimised} optimised");
}

#[test]
fn a_small_file_cannot_ask_for_much_memory() {
    // An empty message takes two bytes: three million of them, as nodes of a graph.
    let nodes = [0x0A, 0x00].repeat(3_000_000);
    let mut bytes = vec![0x3A];
    prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
    bytes.extend(nodes);
    let error = wire::decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("parts for its size"), "{error}");
}

#[test]
fn constants_are_checked_against_their_shape() {
    let tensor = |dims: &[i64], floats: usize| TensorProto {
        dims: dims.to_vec(),
        data_type: 1,
        float_data: vec![1.0; floats],
        ..TensorProto::default()
    };
    assert!(tensor::read(&tensor(&[2, 3], 6)).is_ok());
    let reason = |tensor: &TensorProto| tensor::read(tensor).err().unwrap();
    assert_eq!(reason(&tensor(&[2, 3], 5)), "it has 20 bytes of values, its shape [2, 3] needs 24");
    assert_eq!(reason(&tensor(&[2, -3], 5)), "an axis has length -3");
    assert!(reason(&tensor(&[1 << 31, 1 << 31, 1 << 31], 0)).contains("too large"));
    let mut outside = tensor(&[1], 0);
    outside.data_location = Some(1);
    assert!(reason(&outside).contains("another file"));
}

/// The model of a fixture with an axis of its first input without a length.
fn with_free_axis(case: &str, axis: usize, name: &str) -> Vec<u8> {
    let mut model = ModelProto::decode(&fixture(case)[..]).unwrap();
    let input: &mut ValueInfoProto = &mut model.graph.as_mut().unwrap().input[0];
    let Some(TypeValue::TensorType(tensor)) = &mut input.r#type.as_mut().unwrap().value.as_mut() else { panic!() };
    tensor.shape.as_mut().unwrap().dim[axis].value = Some(Dimension::DimParam(name.to_owned()));
    model.encode_to_vec()
}

#[test]
fn free_lengths_beyond_the_batch_are_named() {
    let error = OnnxModel::read(&with_free_axis("torch_cnn", 2, "height")).err().unwrap().to_string();
    let expected = "x (input): the length of axis 2 (\"height\") is not stated. Give it: --dim height=LENGTH";
    assert!(error.contains(expected), "{error}");
    let error = OnnxModel::read(&with_free_axis("torch_cnn", 2, "")).err().unwrap().to_string();
    assert!(error.contains("axis 2 is not stated, and it has no name. Give the input's shape: --shape x="), "{error}");
}

/// Reads a model with `--dim` and `--shape` as on the command line.
fn read_with(bytes: &[u8], dims: &[&str], shapes: &[&str]) -> Result<OnnxModel, FrontendError> {
    let dims = dims.iter().map(|dim| dim.parse().unwrap());
    let lengths = InputLengths::new(dims, shapes.iter().map(|shape| shape.parse().unwrap())).unwrap();
    OnnxModel::read_with(bytes, &OpenOptions { lengths, ..OpenOptions::default() })
}

#[test]
fn given_lengths_take_the_place_of_free_ones() {
    let shape = |model: Result<OnnxModel, FrontendError>| model.map(|model| model.inputs()[0].spec.shape.to_string());
    let named = with_free_axis("torch_cnn", 2, "height");
    let stated = shape(OnnxModel::read(&fixture("torch_cnn"))).unwrap();
    assert!(stated.starts_with("[N, "), "{stated}");
    let height = stated.trim_end_matches(']').split(", ").nth(2).unwrap();
    assert_eq!(shape(read_with(&named, &[&format!("height={height}")], &[])).unwrap(), stated);
    assert!(read_with(&named, &[&format!("height={height}")], &[]).is_ok_and(|model| lower(&model).is_ok()));
    let full = |batch: &str| stated.replace("N", batch).replace(", ", "x").trim_matches(['[', ']']).to_owned();
    assert_eq!(shape(read_with(&named, &[], &[&format!("x={}", full("N"))])).unwrap(), stated);
    assert_eq!(shape(read_with(&named, &[], &[&format!("x={}", full("5"))])).unwrap(), stated.replace("N", "5"));
    let wrong = |dims: &[&str], shapes: &[&str]| match read_with(&named, dims, shapes).err() {
        Some(FrontendError::Lengths(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(&[], &["x=1x2"]), "--shape x: it has 4 axes, not 2");
    assert!(wrong(&[], &["x=1x999x8x8"]).contains("axis 1, not 999"));
    assert!(wrong(&["height=3"], &[&format!("x={}", full("N"))]).contains("\"height\", which is 3, not"));
}

#[test]
fn the_batch_may_lie_on_another_axis() {
    let inner = with_free_axis("torch_mlp", 1, "batch");
    let error = OnnxModel::read(&inner).err().unwrap().to_string();
    assert!(error.contains("--dim batch=LENGTH"), "{error}");
    let first = open_names(&inner).unwrap().dims[0].clone();
    let model = read_with(&inner, &[&format!("{first}=3")], &[]).unwrap();
    assert_eq!(model.inputs()[0].spec.shape.to_string(), "[3, N]");
    let model = read_with(&inner, &["batch=N", &format!("{first}=3")], &[]).unwrap();
    assert_eq!(model.inputs()[0].spec.shape.to_string(), "[3, N]");
}

#[test]
fn keys_of_maps_are_told() {
    let keys = |case: &str, output: &str| OnnxModel::read(&fixture(case)).unwrap().keys(output);
    let numbers = keys("sklearn_forest_zipmap", "output_probability").unwrap();
    assert_eq!(numbers, [Key::Int(0), Key::Int(1), Key::Int(2)]);
    let texts = keys("sklearn_forest_text_labels_zipmap", "output_probability").unwrap();
    assert!(texts.len() == 3 && texts.iter().all(|key| matches!(key, Key::Text(_))), "{texts:?}");
    assert_eq!(keys("sklearn_forest_zipmap", "output_label"), None);
}

#[test]
fn constants_that_grow_are_not_computed() {
    // Each of forty nodes doubles a constant of a thousand elements.
    let mut model = ModelProto::decode(&fixture("torch_mlp")[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let mut concat = graph.node[0].clone();
    concat.op_type = "Concat".to_owned();
    concat.attribute.truncate(1);
    concat.attribute[0].name = "axis".to_owned();
    (concat.attribute[0].r#type, concat.attribute[0].i) = (2, 0);
    let mut name = "grown".to_owned();
    let values = TensorProto { dims: vec![1000], data_type: 1, float_data: vec![0.0; 1000], ..TensorProto::default() };
    graph.initializer.push(TensorProto { name: name.clone(), ..values });
    for step in 0..40 {
        let output = format!("grown {step}");
        concat.input = vec![name.clone(), name];
        concat.output = vec![output.clone()];
        concat.name = output.clone();
        graph.node.push(concat.clone());
        name = output;
    }
    let error = lower(&OnnxModel::read(&model.encode_to_vec()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("cannot be stored"), "{error}");
}

#[test]
fn an_unknown_attribute_is_refused_by_name() {
    let mut model = ModelProto::decode(&fixture("torch_mlp")[..]).unwrap();
    let node = &mut model.graph.as_mut().unwrap().node[0];
    let mut attribute = node.attribute[0].clone();
    attribute.name = "sideways".to_owned();
    node.attribute.push(attribute);
    let model = OnnxModel::read(&model.encode_to_vec()).unwrap();
    let error = lower(&model).unwrap_err().to_string();
    assert!(error.contains("attribute sideways is not supported"), "{error}");
}

#[test]
fn loops_are_unrolled_within_a_bound() {
    let mut model = ModelProto::decode(&fixture("control_loop_count")[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let trip = graph.initializer.iter_mut().find(|tensor| tensor.name == "trip").unwrap();
    *trip = TensorProto { name: "trip".to_owned(), data_type: 7, int64_data: vec![100_000], ..TensorProto::default() };
    let error = lower(&OnnxModel::read(&model.encode_to_vec()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("(Loop): unrolled bodies have more than 16384 nodes in all, reached at Loop["), "{error}");
}

#[test]
fn functions_that_grow_are_refused() {
    let mut model = ModelProto::decode(&fixture("control_functions")[..]).unwrap();
    let twice = model.functions.iter().position(|function| function.name.as_deref() == Some("twice")).unwrap();
    model.functions[twice].node[0].op_type = "twice".to_owned();
    model.functions[twice].node[0].attribute.clear();
    let error = OnnxModel::read(&model.encode_to_vec()).err().unwrap().to_string();
    assert!(error.contains("functions call each other more than 32 deep"), "{error}");
    // Thirty functions, each of which calls the next one twice.
    let mut model = ModelProto::decode(&fixture("control_functions")[..]).unwrap();
    let original = model.functions[twice].clone();
    let name = |level: usize| if level == 0 { "twice".to_owned() } else { format!("level {level}") };
    model.functions.remove(twice);
    for level in 0..30 {
        let mut function = original.clone();
        function.name = Some(name(level));
        function.attribute.truncate(usize::from(level == 0));
        for node in &mut function.node {
            node.attribute.clear();
            node.op_type = if level == 29 { "sloped".to_owned() } else { name(level + 1) };
        }
        model.functions.push(function);
    }
    let error = OnnxModel::read(&model.encode_to_vec()).err().unwrap().to_string();
    assert!(error.contains("calls of functions add too many nodes"), "{error}");
}

#[test]
fn weights_in_other_files_are_checked() {
    let external = |offset: &str, length: &str| {
        let mut model = ModelProto::decode(&fixture("torch_mlp")[..]).unwrap();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        let entry = |key: &str, value: &str| tract_onnx::pb::StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        tensor.raw_data.clear();
        tensor.data_location = Some(1);
        tensor.external_data = vec![entry("location", "w.bin"), entry("offset", offset), entry("length", length)];
        model.encode_to_vec()
    };
    let read = |bytes: &[u8]| {
        let beside = |_: &str| Ok(vec![0; 64]);
        let options = OpenOptions { beside: Some(&beside), ..OpenOptions::default() };
        OnnxModel::read_with(bytes, &options).and_then(|model| lower(&model)).unwrap_err().to_string()
    };
    assert!(
        read(&external("60", "8")).contains("its 8 bytes from 60 on are beyond the end of \"w.bin\", which has 64")
    );
    assert!(read(&external("18446744073709551615", "8")).contains("beyond the end"));
    assert!(read(&external("-1", "8")).contains("the offset of its external data is \"-1\""));
    assert!(read(&external("0", "8")).contains("it has 8 bytes of values"), "{}", read(&external("0", "8")));
}

#[test]
fn constants_are_read_from_every_field() {
    use ekiben_runtime::DType as D;
    let typed = |kind: i32| TensorProto { dims: vec![2], data_type: kind, ..TensorProto::default() };
    let ints = |kind: i32, values: [i32; 2]| TensorProto { int32_data: values.to_vec(), ..typed(kind) };
    let cases = [
        (
            TensorProto { float_data: vec![1.5, -2.0], ..typed(1) },
            D::F32,
            [1.5f32, -2.0].map(f32::to_le_bytes).concat(),
        ),
        (ints(2, [1, 255]), D::U8, vec![1, 255]),
        (ints(3, [-1, 7]), D::I8, vec![255, 7]),
        (ints(4, [1, 65535]), D::U16, [1u16, 65535].map(u16::to_le_bytes).concat()),
        (ints(5, [-1, 7]), D::I16, [-1i16, 7].map(i16::to_le_bytes).concat()),
        (ints(6, [-1, 7]), D::I32, [-1i32, 7].map(i32::to_le_bytes).concat()),
        (TensorProto { int64_data: vec![-1, 7], ..typed(7) }, D::I64, [-1i64, 7].map(i64::to_le_bytes).concat()),
        (ints(9, [1, 0]), D::Bool, vec![1, 0]),
        (ints(10, [0x3C00, 0xC000]), D::F16, vec![0x00, 0x3C, 0x00, 0xC0]),
        (
            TensorProto { double_data: vec![1.5, -2.0], ..typed(11) },
            D::F64,
            [1.5f64, -2.0].map(f64::to_le_bytes).concat(),
        ),
        (
            TensorProto { uint64_data: vec![1, 4_294_967_295], ..typed(12) },
            D::U32,
            [1u32, u32::MAX].map(u32::to_le_bytes).concat(),
        ),
        (
            TensorProto { uint64_data: vec![1, u64::MAX], ..typed(13) },
            D::U64,
            [1u64, u64::MAX].map(u64::to_le_bytes).concat(),
        ),
        (ints(16, [0x3F80, 0xC000]), D::BF16, vec![0x80, 0x3F, 0x00, 0xC0]),
    ];
    for (tensor, dtype, bytes) in cases {
        let raw = TensorProto { raw_data: bytes.clone(), ..typed(tensor.data_type) };
        for tensor in [tensor, raw] {
            let constant = tensor::read(&tensor).unwrap();
            assert_eq!((constant.spec.dtype, constant.bytes), (dtype, bytes.clone()), "{dtype}");
        }
    }
}
