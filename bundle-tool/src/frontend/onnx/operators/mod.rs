//! What each operator is lowered to, one file per family.

mod arithmetic;
pub(super) mod attention;
mod audio;
mod boxes;
mod cast;
mod channel_normalization;
mod choice;
mod contrib;
mod contrib_attention;
mod contrib_group_query;
mod contrib_quantized;
mod convolution;
mod counted;
mod dense;
mod einsum;
mod elementwise;
mod encoders;
mod indexing;
mod known;
mod labels;
mod layout;
mod linear;
mod logic;
mod loss;
mod n_grams;
mod normalization;
mod pool;
mod post_transform;
mod quantization;
mod recurrent;
mod reduce;
mod resample;
mod scale;
mod scan;
mod scatter;
mod sequences;
mod shape;
mod small_codes;
mod sources;
mod svm;
mod texts;
mod tree_ensemble;
mod trees;
mod version_6;
mod window;

pub(super) use indexing::{Part, take};
pub(super) use labels::zip_map_keys;
pub(super) use shape::shape_of_counts;
pub(super) use version_6::adapt;

use tract_onnx::pb::NodeProto;

use super::call::{Call, Lowered, Refusal};
use super::control;
use crate::frontend::Blocker;

/// Lowers one node.
pub(super) type Lower = fn(&mut Call<'_>) -> Lowered;

/// True for operators of `ai.onnx.ml`.
pub(super) fn is_ml(node: &NodeProto) -> bool {
    node.domain == "ai.onnx.ml"
}

/// Name of a node's operator, with its domain unless it is the default one.
pub(super) fn qualified(node: &NodeProto) -> String {
    match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}::{}", node.op_type),
    }
}

/// Why there is no lowering of a node's operator.
fn why_unsupported(node: &NodeProto) -> &'static str {
    let name = node.op_type.as_str();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["Sequence", "Optional"]) {
        "sequences and optionals are not supported: only tensors are"
    } else if has(&["String", "Regex", "Tokenizer"]) {
        "texts are not computed on a device: do it before the model"
    } else if has(&["Random", "Bernoulli", "Multinomial"]) {
        "random numbers are not made on a device: give them as an input"
    } else if matches!(name, "CastMap" | "DictVectorizer") {
        "maps are not supported: give the model a tensor with a column for each key"
    } else if name == "ImageDecoder" {
        "compressed images are not decoded by the model: give it the pixels"
    } else {
        "this operator is not supported"
    }
}

/// How a node's operator is lowered.
pub(super) fn find(node: &NodeProto) -> Result<Lower, Refusal> {
    let found = match node.domain.as_str() {
        "" | "ai.onnx" => default_domain(&node.op_type),
        "ai.onnx.ml" => ml_domain(&node.op_type),
        "com.microsoft" => contrib::find(&node.op_type).or_else(|| contrib_quantized::find(&node.op_type)),
        "com.microsoft.nchwc" | "com.ms.internal.nhwc" => {
            return Err(Refusal(
                "it is laid out for one machine: write the optimised model at the level ORT_ENABLE_EXTENDED".to_owned(),
            ));
        }
        "ai.onnx.preview.training" | "ai.onnx.training" => {
            return Err(Refusal("it belongs to training: export the model for inference".to_owned()));
        }
        domain => return Err(Refusal(format!("operators of the domain {domain:?} are not supported"))),
    };
    found.ok_or_else(|| Refusal(why_unsupported(node).to_owned()))
}

/// Operators that mean the same in the versions before [`OLDEST`] that have them.
const UNCHANGED: [&str; 16] = [
    "Abs",
    "Ceil",
    "Exp",
    "Floor",
    "Identity",
    "Log",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Shape",
    "Sigmoid",
    "Softsign",
    "Sqrt",
    "Tanh",
    "Transpose",
];
/// From this version of the default operator set on every operator is read; see [`version_6`].
const OLDEST: i64 = 6;

/// Fails when the model's version of the default operator set is too old for the node's operator.
pub(super) fn check_version(node: &NodeProto, default: i64) -> Result<(), Refusal> {
    if is_ml(node) || default >= OLDEST || UNCHANGED.contains(&node.op_type.as_str()) {
        return Ok(());
    }
    Err(Refusal(format!(
        "version {default} of the operator set is not supported for it, {OLDEST} and newer are. Convert the model with \
         onnx.version_converter"
    )))
}

/// How a node of the default domain is lowered when some of its inputs depend on the batch, where that is another way.
pub(super) fn find_counted(node: &NodeProto) -> Option<Lower> {
    if is_ml(node) { None } else { counted::find(&node.op_type) }
}

/// Every node whose operator is unknown.
pub(super) fn unknown(nodes: &[NodeProto]) -> Vec<Blocker> {
    let blocker = |(position, node): (usize, &NodeProto)| {
        if control::find(node).is_some() {
            return None;
        }
        let Refusal(reason) = find(node).err()?;
        let name = if node.name.is_empty() { format!("node {position}") } else { node.name.clone() };
        Some(Blocker { node: name, operator: qualified(node), reason })
    };
    nodes.iter().enumerate().filter_map(blocker).collect()
}

fn default_domain(name: &str) -> Option<Lower> {
    if let Some(lower) = elementwise::find(name).or_else(|| arithmetic::find(name)).or_else(|| logic::find(name)) {
        return Some(lower);
    }
    Some(match name {
        "AffineGrid" => resample::affine_grid,
        "ArgMax" => reduce::arg_max,
        "ArgMin" => reduce::arg_min,
        "Attention" => attention::attention,
        "AveragePool" => pool::average,
        "BatchNormalization" => normalization::batch,
        "BlackmanWindow" => audio::blackman,
        "CausalConvWithState" => attention::causal_conv,
        "CenterCropPad" => layout::center_crop_pad,
        "Col2Im" => convolution::col2im,
        "Compress" => choice::compress,
        "BitCast" => cast::bit_cast,
        "Cast" => cast::cast,
        "CastLike" => cast::cast_like,
        "Concat" => layout::concat,
        "ConcatFromSequence" => sequences::concat,
        "Constant" => sources::constant,
        "ConstantOfShape" => sources::constant_of_shape,
        "Conv" => convolution::conv,
        "ConvInteger" => quantization::conv_integer,
        "ConvTranspose" => convolution::conv_transpose,
        "CumProd" => scan::cum_prod,
        "CumSum" => scan::cum_sum,
        "DFT" => audio::dft,
        "DeformConv" => convolution::deform_conv,
        "DepthToSpace" => layout::depth_to_space,
        "DequantizeLinear" => quantization::dequantize_linear,
        "Det" => scan::det,
        "DynamicQuantizeLinear" => quantization::dynamic_quantize_linear,
        "Einsum" => einsum::einsum,
        "Dropout" => sources::dropout,
        "Expand" => layout::expand,
        "EyeLike" => sources::eye_like,
        "Flatten" => shape::flatten,
        "GRU" => recurrent::gru,
        "Gather" => indexing::gather,
        "GatherElements" => scatter::gather_elements,
        "GatherND" => scatter::gather_nd,
        "Gemm" => dense::gemm,
        "GlobalAveragePool" => pool::global_average,
        "GlobalLpPool" => pool::global_lp,
        "GlobalMaxPool" => pool::global_max,
        "GridSample" => resample::grid_sample,
        "GroupNormalization" => channel_normalization::group,
        "HammingWindow" => audio::hamming,
        "HannWindow" => audio::hann,
        "Hardmax" => choice::hardmax,
        "Identity" => sources::identity,
        "InstanceNormalization" => channel_normalization::instance,
        "LRN" => channel_normalization::local_response,
        "LSTM" => recurrent::lstm,
        "LayerNormalization" => normalization::layer,
        "LinearAttention" => attention::linear,
        "LogSoftmax" => normalization::log_softmax,
        "LpNormalization" => normalization::lp,
        "LpPool" => pool::lp,
        "MatMul" => dense::mat_mul,
        "MatMulInteger" => quantization::mat_mul_integer,
        "MaxPool" => pool::max,
        "MaxUnpool" => pool::max_unpool,
        "MeanVarianceNormalization" => channel_normalization::mean_variance,
        "MelWeightMatrix" => audio::mel_weights,
        "NegativeLogLikelihoodLoss" => loss::negative_log_likelihood,
        "NonMaxSuppression" => boxes::non_max_suppression,
        "NonZero" => choice::non_zero,
        "OneHot" => choice::one_hot,
        "Optional" | "OptionalGetElement" => sequences::element,
        "OptionalHasElement" => sequences::has_element,
        "Pad" => layout::pad,
        "QLinearConv" => quantization::qlinear_conv,
        "QLinearMatMul" => quantization::qlinear_mat_mul,
        "QuantizeLinear" => quantization::quantize_linear,
        "RMSNormalization" => normalization::root_mean_square,
        "RNN" => recurrent::rnn,
        "Range" => sources::range,
        "Reshape" => shape::reshape,
        "Resize" => resample::resize,
        "ReverseSequence" => scan::reverse_sequence,
        "RoiAlign" => resample::roi_align,
        "RotaryEmbedding" => attention::rotary,
        "STFT" => audio::stft,
        "Scatter" | "ScatterElements" => scatter::scatter_elements,
        "ScatterND" => scatter::scatter_nd,
        "SequenceAt" => sequences::at,
        "SequenceConstruct" => sequences::construct,
        "SequenceEmpty" => sequences::empty,
        "SequenceErase" => sequences::erase,
        "SequenceInsert" => sequences::insert,
        "SequenceLength" => sequences::length,
        "Shape" => shape::shape,
        "SimplifiedLayerNormalization" => normalization::root_mean_square,
        "Size" => shape::size,
        "Slice" => indexing::slice,
        "Softmax" => normalization::softmax,
        "SoftmaxCrossEntropyLoss" => loss::softmax_cross_entropy,
        "SpaceToDepth" => layout::space_to_depth,
        "Split" => indexing::split,
        "SplitToSequence" => sequences::split,
        "Squeeze" => shape::squeeze,
        "StringNormalizer" => texts::normalizer,
        "SwiGLU" => elementwise::swish_gate,
        "TensorScatter" => scatter::tensor_scatter,
        "TfIdfVectorizer" => n_grams::tf_idf,
        "Tile" => layout::tile,
        "TopK" => choice::top_k,
        "Transpose" => layout::transpose,
        "Trilu" => scan::trilu,
        "Unique" => choice::unique,
        "Unsqueeze" => shape::unsqueeze,
        "Upsample" => resample::upsample,
        _ => return reduce::find(name),
    })
}

fn ml_domain(name: &str) -> Option<Lower> {
    Some(match name {
        "ArrayFeatureExtractor" => indexing::array_feature_extractor,
        "Binarizer" => scale::binarizer,
        "CategoryMapper" => encoders::category_mapper,
        "FeatureVectorizer" => encoders::feature_vectorizer,
        "Imputer" => scale::imputer,
        "LabelEncoder" => labels::encoder,
        "LinearClassifier" => linear::classifier,
        "LinearRegressor" => linear::regressor,
        "Normalizer" => scale::normalizer,
        "OneHotEncoder" => encoders::one_hot,
        "SVMClassifier" => svm::classifier,
        "SVMRegressor" => svm::regressor,
        "Scaler" => scale::scaler,
        "TreeEnsemble" => tree_ensemble::lower,
        "TreeEnsembleClassifier" => trees::classifier,
        "TreeEnsembleRegressor" => trees::regressor,
        "ZipMap" => labels::zip_map,
        _ => return None,
    })
}
