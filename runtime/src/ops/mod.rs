//! Operators: one file each, holding attributes, their bytes (parse beside emit), the shape rule and the run.
//!
//! [`Op`] is the only operator enum of the project; the compiler's graph holds it, an artifact stores its tag and
//! attributes, and a [`KernelSet`] says which of them a program can run.

mod error;
mod fixed_point;
mod heads;
pub mod integer;
mod kernel_set;
mod linear;
mod operands;
mod spatial;
mod width;
mod window;

pub use error::{OpError, Problem};
pub use kernel_set::{CheckStep, KernelEntry, KernelSet, StepMemory};
pub use operands::{Inputs, OperandSpec, Operands, Outputs};

use crate::bytes::{BytesError, Reader, Writer};

/// The most bytes that an operator's attributes take.
pub const MAX_ATTRIBUTE_BYTES: usize = 64;

/// What the table of operators in this module gives each of them.
pub trait Listed {
    /// Number of the operator in an artifact; never reused for another meaning.
    const TAG: u16;
    /// Name for messages.
    const NAME: &'static str;
}

/// What every operator defines.
pub trait Operator: Listed + Sized {
    /// Inputs that must be constants in the tables section, because their values are indices, lengths or bounds: bit `i` for
    /// input `i`.
    const TABLE_INPUTS: u32 = 0;

    /// Reads the attributes. Fails on values outside their range.
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError>;

    /// Writes the attributes, at most [`MAX_ATTRIBUTE_BYTES`]; none unless an operator says otherwise.
    fn emit(&self, _writer: &mut Writer<'_>) -> Result<(), BytesError> {
        Ok(())
    }

    /// The shape rule: checks the inputs and states each output's type and shape.
    ///
    /// The compiler calls it to build a graph and the loader to check an artifact, so everything that `run` relies on is
    /// checked here, also the values of constant inputs that are used as indices or lengths.
    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError>;

    /// Scratch memory that a run needs. Zero for most operators.
    fn scratch(&self, _inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(Scratch::default())
    }

    /// Inputs that may lie in the very place of an output, whose bytes `run` then takes with [`Operands::overwrite`] and reads
    /// in no other way. The planner makes use of it where such an input is not read later and has the output's number of bytes for
    /// every batch; the loader accepts nothing else.
    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[]
    }

    /// Scratch memory that a run in place needs, where that differs.
    fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        self.scratch(inputs)
    }

    /// Computes the outputs. Called only on operands that `infer` accepted.
    fn run(&self, operands: &dyn Operands) -> Result<(), OpError>;
}

/// Pairs of an input and the output in whose place it may lie. One of several inputs for an output does so at a time.
pub type InPlace = &'static [(u8, u8)];

/// Bytes of scratch memory: `fixed + per_row * N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    /// Bytes whatever the batch.
    pub fixed: u64,
    /// Bytes for each row of the batch.
    pub per_row: u64,
}

/// Declares the operator modules, the enum over them, and the set of all their kernels.
macro_rules! operators {
    ($($(#[$doc:meta])* $module:ident::$name:ident = $tag:literal;)*) => {
        $(#[allow(missing_docs, reason = "each file documents itself")] pub mod $module;)*

        /// Any operator with its attributes.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Op {
            $($(#[$doc])* $name($module::$name),)*
        }

        $(impl From<$module::$name> for Op {
            fn from(operator: $module::$name) -> Self {
                Self::$name(operator)
            }
        })*

        impl Op {
            /// Number of the operator in an artifact.
            pub const fn tag(&self) -> u16 {
                match self { $(Self::$name(_) => $tag,)* }
            }

            /// Name for messages.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            /// Inputs whose constants belong in the tables section; see [`Operator::TABLE_INPUTS`].
            pub const fn table_inputs(&self) -> u32 {
                match self { $(Self::$name(_) => <$module::$name as Operator>::TABLE_INPUTS,)* }
            }

            /// Name of the operator with this tag.
            pub const fn name_of(tag: u16) -> Option<&'static str> {
                match tag { $($tag => Some(stringify!($name)),)* _ => None }
            }

            /// Rust path of the operator's type under [`crate::ops`], for generated kernel sets.
            pub const fn path_of(tag: u16) -> Option<&'static str> {
                match tag { $($tag => Some(concat!(stringify!($module), "::", stringify!($name))),)* _ => None }
            }

            /// Reads the attributes of the operator with this tag; `None` when there is no such operator.
            pub fn parse(tag: u16, reader: &mut Reader<'_>) -> Option<Result<Self, BytesError>> {
                match tag { $($tag => Some(Operator::parse(reader).map(Self::$name)),)* _ => None }
            }

            /// Writes the attributes.
            pub fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
                match self { $(Self::$name(operator) => operator.emit(writer),)* }
            }

            /// The shape rule; see [`Operator::infer`].
            pub fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
                match self { $(Self::$name(operator) => operator.infer(inputs, outputs),)* }
            }

            /// Scratch memory of a run; see [`Operator::scratch`].
            pub fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
                match self { $(Self::$name(operator) => operator.scratch(inputs),)* }
            }

            /// Inputs that may have the places of outputs; see [`Operator::in_place`].
            pub fn in_place(&self, inputs: &dyn Inputs) -> InPlace {
                match self { $(Self::$name(operator) => operator.in_place(inputs),)* }
            }

            /// Scratch memory of a run in place; see [`Operator::in_place_scratch`].
            pub fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
                match self { $(Self::$name(operator) => operator.in_place_scratch(inputs),)* }
            }

            /// Computes the outputs; see [`Operator::run`].
            pub fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
                match self { $(Self::$name(operator) => operator.run(operands),)* }
            }
        }

        $(impl Listed for $module::$name {
            const TAG: u16 = $tag;
            const NAME: &'static str = stringify!($name);
        })*

        impl KernelSet {
            /// Every operator of this version of the runtime.
            pub const ALL: KernelSet = KernelSet::new(&[$(&KernelEntry::of::<$module::$name>(),)*]);
        }

        /// Calls the macro `$then` with every operator, as `module::Type = tag;`.
        #[macro_export]
        macro_rules! for_each_operator {
            ($then:ident) => {
                $then! { $($module::$name = $tag;)* }
            };
        }
    };
}

// Tags are part of the artifact format: keep them in rising order and never give one a second meaning.
operators! {
    /// Converts elements to another type.
    cast::Cast = 1;
    /// Gives the same elements another shape.
    reshape::Reshape = 2;
    /// Permutes axes.
    transpose::Transpose = 3;
    /// Joins tensors along an axis.
    concat::Concat = 4;
    /// Takes regular parts of the axes.
    slice::Slice = 5;
    /// Adds elements around a tensor.
    pad::Pad = 6;
    /// Takes parts of an axis by index.
    gather::Gather = 7;
    /// Repeats axes of length 1.
    expand::Expand = 8;
    /// Arithmetic on two tensors with broadcasting.
    binary::Binary = 10;
    /// A function of each element.
    unary::Unary = 11;
    /// Compares two tensors.
    compare::Compare = 12;
    /// Combines booleans.
    logic::Logic = 13;
    /// Chooses between two tensors.
    select::Select = 14;
    /// The same bits as another type.
    bit_cast::BitCast = 15;
    /// Converts from and to types that are only stored.
    storage_cast::StorageCast = 16;
    /// Matrix product over the last two axes.
    mat_mul::MatMul = 20;
    /// Convolves images with filters, f32.
    conv2d::Conv2d = 21;
    /// Convolves each channel of images by itself, f32.
    depthwise_conv2d::DepthwiseConv2d = 22;
    /// Reduces windows of images to their largest element or their average, f32.
    pool2d::Pool2d = 23;
    /// Products of pairs of matrices.
    batch_mat_mul::BatchMatMul = 24;
    /// Convolves over any number of axes, or transposed.
    conv_nd::ConvNd = 25;
    /// Reduces windows over any number of axes.
    pool_nd::PoolNd = 26;
    /// Puts the largest elements of windows back.
    max_unpool::MaxUnpool = 27;
    /// Resamples axes.
    resize::Resize = 28;
    /// Samples images at places given by data.
    grid_sample::GridSample = 29;
    /// Places of an image's elements under affine maps.
    affine_grid::AffineGrid = 30;
    /// Pools regions of images.
    roi_align::RoiAlign = 31;
    /// Convolves images with taps moved by data.
    deform_conv::DeformConv = 32;
    /// Sums blocks back into images.
    col2im::Col2Im = 33;
    /// Local response normalisation.
    local_response_norm::LocalResponseNorm = 34;
    /// Normalises groups of channels.
    group_norm::GroupNorm = 35;
    /// Reduces axes to one element.
    reduce::Reduce = 40;
    /// Index of the largest or smallest element.
    arg_reduce::ArgReduce = 41;
    /// Softmax or its logarithm.
    softmax::Softmax = 42;
    /// Layer normalisation.
    layer_norm::LayerNorm = 43;
    /// Convolves int8 images with int8 filters.
    quantized_conv2d::QuantizedConv2d = 60;
    /// Convolves each channel of int8 images by itself.
    quantized_depthwise_conv2d::QuantizedDepthwiseConv2d = 61;
    /// Multiplies int8 rows by an int8 matrix.
    quantized_fully_connected::QuantizedFullyConnected = 62;
    /// Adds two int8 tensors of different scales.
    quantized_add::QuantizedAdd = 63;
    /// Reduces windows of int8 images to their largest element or their average.
    quantized_pool2d::QuantizedPool2d = 64;
    /// Softmax of int8 rows in integers.
    quantized_softmax::QuantizedSoftmax = 65;
    /// Float32 to int8.
    quantize::Quantize = 66;
    /// Int8 to float32.
    dequantize::Dequantize = 67;
    /// Convolves float images with int8 filters, summed in integers.
    hybrid_conv2d::HybridConv2d = 68;
    /// Convolves each channel of float images with int8 filters, summed in integers.
    hybrid_depthwise_conv2d::HybridDepthwiseConv2d = 69;
    /// Multiplies float rows by an int8 matrix, summed in integers.
    hybrid_fully_connected::HybridFullyConnected = 70;
    /// A function of one integer, given by its values.
    table_lookup::TableLookup = 71;
    /// Arithmetic on two quantized tensors of different scales.
    quantized_binary::QuantizedBinary = 72;
    /// Changes scale and type of quantized elements.
    rescale::Rescale = 73;
    /// Logistic function or hyperbolic tangent of int16.
    sigmoid16::Sigmoid16 = 74;
    /// Sum of quantized elements over axes.
    quantized_reduce::QuantizedReduce = 75;
    /// Softmax of int16 rows by tables.
    wide_softmax::WideSoftmax = 76;
    /// Convolves int16 images with int8 filters.
    wide_conv2d::WideConv2d = 77;
    /// Multiplies int16 rows by an int8 matrix.
    wide_fully_connected::WideFullyConnected = 78;
    /// Reduces windows of int16 images to their largest element or their average.
    wide_pool2d::WidePool2d = 79;
    /// Position of elements among sorted keys.
    lookup::Lookup = 81;
    /// Decision trees.
    forest::Forest = 82;
    /// A value for each category.
    map_categories::MapCategories = 90;
    /// Refuses data that the model does not know.
    require_known::RequireKnown = 91;
    /// Counts the terms of texts.
    term_counts::TermCounts = 92;
    /// Weighs counted terms.
    term_weights::TermWeights = 93;
    /// Fills missing numbers from neighbours.
    knn_impute::KnnImpute = 94;
    /// Distances of rows to points.
    pairwise_distance::PairwiseDistance = 98;
    /// Probabilities of classes out of those of pairs.
    pairwise_coupling::PairwiseCoupling = 99;
    /// Sums of leaves that are linear functions.
    linear_leaves::LinearLeaves = 106;
    /// A recurrent layer: RNN, GRU or LSTM.
    recurrent::Recurrent = 110;
    /// Values of B-splines.
    spline_basis::SplineBasis = 112;
    /// Columns that are products of columns.
    products::Products = 113;
    /// Bins of numbers between edges.
    digitize::Digitize = 114;
    /// Piecewise linear functions of columns.
    interpolate::Interpolate = 115;
    /// Families of power functions of columns.
    power_transform::PowerTransform = 116;
    /// Least squares without negative coefficients.
    coordinate_descent::CoordinateDescent = 117;
    /// Hashes of texts.
    text_hash::TextHash = 120;
    /// Statistics of combinations of categories.
    category_statistics::CategoryStatistics = 121;
    /// Trees whose nodes of one depth all ask the same question.
    oblivious_trees::ObliviousTrees = 122;
    /// Each query's weighted mean of values.
    attention::Attention = 130;
    /// Turns pairs of elements by an angle that depends on the row.
    rotary_embedding::RotaryEmbedding = 131;
    /// Attention without a softmax, by a state that each row changes.
    linear_attention::LinearAttention = 132;
    /// Convolves each channel of a sequence with its past.
    causal_conv::CausalConv = 133;
    /// How unlikely the expected classes are.
    negative_log_likelihood::NegativeLogLikelihood = 134;
    /// Discrete Fourier transform of an axis.
    fourier::Fourier = 135;
    /// Discrete Fourier transforms of overlapping frames.
    short_fourier::ShortFourier = 136;
    /// Takes an element for each index.
    gather_elements::GatherElements = 140;
    /// Takes parts by tuples of indices.
    gather_nd::GatherNd = 141;
    /// Writes an element for each index.
    scatter_elements::ScatterElements = 142;
    /// Writes parts by tuples of indices.
    scatter_nd::ScatterNd = 143;
    /// Writes the next steps of sequences into their caches.
    cache_write::CacheWrite = 144;
    /// The largest or smallest elements along an axis.
    top_k::TopK = 145;
    /// Indices as vectors of which one element is set.
    one_hot::OneHot = 146;
    /// Turns the beginnings of sequences round.
    reverse_sequence::ReverseSequence = 147;
    /// Running sums and products.
    cumulate::Cumulate = 148;
    /// Triangles of matrices.
    triangle::Triangle = 149;
    /// Determinants.
    determinant::Determinant = 150;
    /// Choice of boxes that do not overlap.
    non_max_suppression::NonMaxSuppression = 151;
    /// Counts of n-grams.
    n_grams::NGramCounts = 152;
    /// Numbers of the rows of the batch.
    row_numbers::RowNumbers = 153;
    /// Numbers rounded to decimal places.
    round_decimals::RoundDecimals = 154;
    /// Numbers to linearly quantized integers.
    linear_quantize::LinearQuantize = 160;
    /// Linearly quantized integers to numbers.
    linear_dequantize::LinearDequantize = 161;
    /// Float32 to uint8 by the tensor's own range.
    dynamic_quantize::DynamicQuantize = 162;
    /// Convolves images of 8-bit integers with int8 filters.
    integer_conv2d::IntegerConv2d = 163;
    /// Convolves each channel of images of 8-bit integers by itself.
    integer_depthwise_conv2d::IntegerDepthwiseConv2d = 164;
    /// Multiplies matrices of 8-bit integers.
    integer_mat_mul::IntegerMatMul = 165;
    /// A function of one byte, as a table.
    byte_map::ByteMap = 166;
    /// Arithmetic on two tensors of 8-bit integers that stand for real numbers.
    integer_binary::IntegerBinary = 167;
    /// Reduces windows of 8-bit images.
    integer_pool2d::IntegerPool2d = 168;
    /// Softmax of 8-bit integers that stand for real numbers.
    integer_softmax::IntegerSoftmax = 169;
    /// Multiplies float rows by a matrix of narrow integers in blocks.
    block_mat_mul::BlockMatMul = 170;
    /// Singular value decomposition filters with a memory.
    svdf::Svdf = 180;
    /// Convolves int16 images with int8 filters the other way round.
    wide_transpose_conv2d::WideTransposeConv2d = 181;
    /// Float32 to int16.
    wide_quantize::WideQuantize = 182;
    /// An LSTM in integers over sequences.
    integer_lstm::IntegerLstm = 183;
    /// Writes a block into a tensor.
    update_slice::UpdateSlice = 212;
    /// Logarithm of the softmax of int8 rows in integers.
    quantized_log_softmax::QuantizedLogSoftmax = 213;
    /// Interpolates images between pixels, as TFLite does.
    resize_bilinear::ResizeBilinear = 214;
    /// Convolves images with filters the other way round, f32.
    transpose_conv2d::TransposeConv2d = 215;
    /// Convolves int8 images with int8 filters the other way round.
    quantized_transpose_conv2d::QuantizedTransposeConv2d = 216;
    /// Products of pairs of int8 or int16 matrices.
    quantized_batch_mat_mul::QuantizedBatchMatMul = 217;
    /// Gives int8 rows the length 1.
    quantized_l2_norm::QuantizedL2Norm = 218;
    /// Compares two int8 tensors of different scales.
    quantized_compare::QuantizedCompare = 219;
    /// Convolves int8 images with int8 filters and adds other images.
    quantized_conv2d_add::QuantizedConv2dAdd = 220;
}
