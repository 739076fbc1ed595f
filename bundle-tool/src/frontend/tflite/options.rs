//! Options of operators, checked.

use ekiben_runtime::DType;
use ekiben_runtime::ops::conv2d::{Clamp, Window, WindowAxis};
use ekiben_runtime::ops::quantized_conv2d::Target;
use ekiben_runtime::tensor::{MAX_RANK, Quantization};
use tract_tflite::tflite::{self, ActivationFunctionType, BuiltinOperator, Padding};

/// What a file states about an operator besides its inputs.
#[derive(Debug)]
pub(super) enum Options {
    /// CONV_2D, DEPTHWISE_CONV_2D.
    Conv { steps: Steps, activation: Activation },
    /// AVERAGE_POOL_2D, MAX_POOL_2D.
    Pool { steps: Steps, kernel: [u32; 2], activation: Activation },
    /// FULLY_CONNECTED.
    Dense { activation: Activation, keep_dims: bool, asymmetric: bool, shuffled: bool },
    /// ADD, SUB, MUL, DIV and operators with nothing but an activation, or nothing at all.
    Activation(Activation),
    /// SOFTMAX (beta), LEAKY_RELU (alpha).
    Number(f32),
    /// CONCATENATION, PACK, UNPACK.
    Axis { axis: i32, activation: Activation },
    /// RESHAPE, SQUEEZE: lengths or axes, one more than a tensor can have at most.
    List(Vec<i32>),
    /// STRIDED_SLICE.
    Masks { begin: i32, end: i32, shrink: i32, others: i32 },
    /// MEAN.
    KeepDims(bool),
    /// VAR_HANDLE: the variable's name.
    Variable(String),
    /// CALL_ONCE: the subgraph that is run before the first run.
    Subgraph(usize),
    /// SVDF.
    Svdf { rank: u32, activation: Activation },
    /// UNIDIRECTIONAL_SEQUENCE_LSTM.
    Lstm { is_tanh: bool, cell_clip: f32, projection_clip: f32, time_major: bool, is_diagonal: bool },
    /// GATHER.
    Gather { axis: i32, batch_dims: i32 },
    /// SPACE_TO_DEPTH, DEPTH_TO_SPACE.
    Block(i32),
    /// RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR.
    Resize { align_corners: bool, half_pixel_centers: bool },
    /// BATCH_MATMUL: whether each side is transposed.
    Adjoint([bool; 2]),
    /// CUMSUM.
    Running { exclusive: bool, reverse: bool },
    /// MIRROR_PAD: whether the first and the last element are repeated.
    Symmetric(bool),
}

/// How a window moves: strides and dilations for height, then width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    same: bool,
    strides: [u32; 2],
    dilations: [u32; 2],
}

impl Steps {
    fn new(padding: Padding, strides: [i32; 2], dilations: [i32; 2]) -> Result<Self, String> {
        let positive = |what: &str, values: [i32; 2]| match values.map(u32::try_from) {
            [Ok(height @ 1..), Ok(width @ 1..)] => Ok([height, width]),
            _ => Err(format!("{what} {values:?}")),
        };
        let same = match padding {
            Padding::SAME => true,
            Padding::VALID => false,
            Padding(code) => return Err(format!("padding {code}")),
        };
        Ok(Self { same, strides: positive("strides", strides)?, dilations: positive("dilations", dilations)? })
    }

    /// The window for images of `size` and a `kernel`, both height then width.
    ///
    /// With padding SAME there are `size / stride` output positions, rounded up; what they need beyond the image is added, half before
    /// (rounded down), the rest after.
    pub(super) fn window(&self, size: [usize; 2], kernel: [usize; 2]) -> Result<Window, String> {
        let axis = |i: usize| {
            let (stride, dilation) = (self.strides[i], self.dilations[i]);
            let dense = WindowAxis { stride, dilation, before: 0, after: 0 };
            if !self.same {
                return Some(dense);
            }
            let (stride, dilation) = (u64::from(stride), u64::from(dilation));
            let last = (size[i] as u64).div_ceil(stride).checked_sub(1)?.checked_mul(stride)?;
            let span = (kernel[i] as u64).checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
            let total = last.checked_add(span)?.saturating_sub(size[i] as u64);
            let (before, after) = (u32::try_from(total / 2).ok()?, u32::try_from(total - total / 2).ok()?);
            Some(WindowAxis { before, after, ..dense })
        };
        match (axis(0), axis(1)) {
            (Some(rows), Some(columns)) => Ok(Window { rows, columns }),
            _ => Err("the padding of the window is too large".to_owned()),
        }
    }
}

/// A fused activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// None.
    None,
    /// 0 and above.
    Relu,
    /// -1 to 1.
    ReluN1To1,
    /// 0 to 6.
    Relu6,
    /// One that is not translated.
    Other(i8),
}

impl Activation {
    fn read(stated: ActivationFunctionType) -> Self {
        match stated {
            ActivationFunctionType::NONE => Self::None,
            ActivationFunctionType::RELU => Self::Relu,
            ActivationFunctionType::RELU_N1_TO_1 => Self::ReluN1To1,
            ActivationFunctionType::RELU6 => Self::Relu6,
            ActivationFunctionType(code) => Self::Other(code),
        }
    }

    /// Bounds of floats.
    pub(super) fn clamp(self) -> Result<Clamp, String> {
        Ok(match self {
            Self::None => Clamp::NONE,
            Self::Relu => Clamp::RELU,
            Self::ReluN1To1 => Clamp { low: -1.0, high: 1.0 },
            Self::Relu6 => Clamp { low: 0.0, high: 6.0 },
            Self::Other(code) => {
                let name = ActivationFunctionType(code).variant_name().unwrap_or("unknown");
                return Err(format!("the fused activation {name} ({code}) is not translated"));
            }
        })
    }

    /// As [`Self::target`], for int8 and int16.
    pub(super) fn wide_target(self, output: Quantization, dtype: DType) -> Result<Target<i16>, String> {
        let clamp = self.clamp()?;
        let (low, high) = if dtype == DType::I16 { (i16::MIN, i16::MAX) } else { (i8::MIN.into(), i8::MAX.into()) };
        let zero = i16::try_from(output.zero_point).ok().filter(|zero| (low..=high).contains(zero));
        let zero = zero.ok_or_else(|| format!("a zero point of {}", output.zero_point))?;
        let bound = |real: f32| {
            let steps = (real / output.scale).round() as i32;
            steps.saturating_add(zero.into()).clamp(low.into(), high.into()) as i16
        };
        Ok(Target { zero, low: bound(clamp.low), high: bound(clamp.high) })
    }

    /// Zero point and bounds of an int8 result: real bounds are quantized, halves away from zero.
    pub(super) fn target(self, output: Quantization) -> Result<Target, String> {
        let zero = i8::try_from(output.zero_point).map_err(|_| format!("a zero point of {}", output.zero_point))?;
        let clamp = self.clamp()?;
        let bound = |real: f32| {
            let steps = (real / output.scale).round() as i32;
            steps.saturating_add(zero.into()).clamp(i8::MIN.into(), i8::MAX.into()) as i8
        };
        Ok(Target { zero, low: bound(clamp.low), high: bound(clamp.high) })
    }
}

impl Options {
    /// The subgraph that the operator runs.
    pub(super) fn subgraph(&self) -> Option<usize> {
        match self {
            Self::Subgraph(index) => Some(*index),
            _ => None,
        }
    }

    /// Reads the options of an operator; those of operators that are not translated are not looked at.
    pub(super) fn read(code: BuiltinOperator, operator: &tflite::Operator<'_>) -> Result<Self, String> {
        let needed = || "the options are missing".to_owned();
        Ok(match code {
            BuiltinOperator::CONV_2D => {
                let stated = operator.builtin_options_as_conv_2_doptions().ok_or_else(needed)?;
                let strides = [stated.stride_h(), stated.stride_w()];
                let dilations = [stated.dilation_h_factor(), stated.dilation_w_factor()];
                let activation = Activation::read(stated.fused_activation_function());
                Self::Conv { steps: Steps::new(stated.padding(), strides, dilations)?, activation }
            }
            BuiltinOperator::DEPTHWISE_CONV_2D => {
                let stated = operator.builtin_options_as_depthwise_conv_2_doptions().ok_or_else(needed)?;
                let strides = [stated.stride_h(), stated.stride_w()];
                let dilations = [stated.dilation_h_factor(), stated.dilation_w_factor()];
                let activation = Activation::read(stated.fused_activation_function());
                Self::Conv { steps: Steps::new(stated.padding(), strides, dilations)?, activation }
            }
            BuiltinOperator::AVERAGE_POOL_2D | BuiltinOperator::MAX_POOL_2D | BuiltinOperator::L2_POOL_2D => {
                let stated = operator.builtin_options_as_pool_2_doptions().ok_or_else(needed)?;
                let kernel = [stated.filter_height(), stated.filter_width()];
                let [Ok(height @ 1..), Ok(width @ 1..)] = kernel.map(u32::try_from) else {
                    return Err(format!("a kernel of {kernel:?}"));
                };
                let steps = Steps::new(stated.padding(), [stated.stride_h(), stated.stride_w()], [1, 1])?;
                let activation = Activation::read(stated.fused_activation_function());
                Self::Pool { steps, kernel: [height, width], activation }
            }
            BuiltinOperator::TRANSPOSE_CONV => {
                let stated = operator.builtin_options_as_transpose_conv_options().ok_or_else(needed)?;
                let strides = [stated.stride_h(), stated.stride_w()];
                let activation = Activation::read(stated.fused_activation_function());
                Self::Conv { steps: Steps::new(stated.padding(), strides, [1, 1])?, activation }
            }
            BuiltinOperator::RESIZE_BILINEAR => {
                let stated = operator.builtin_options_as_resize_bilinear_options().ok_or_else(needed)?;
                let (align_corners, half_pixel_centers) = (stated.align_corners(), stated.half_pixel_centers());
                Self::Resize { align_corners, half_pixel_centers }
            }
            BuiltinOperator::RESIZE_NEAREST_NEIGHBOR => {
                let stated = operator.builtin_options_as_resize_nearest_neighbor_options().ok_or_else(needed)?;
                let (align_corners, half_pixel_centers) = (stated.align_corners(), stated.half_pixel_centers());
                Self::Resize { align_corners, half_pixel_centers }
            }
            BuiltinOperator::FULLY_CONNECTED => {
                let stated = operator.builtin_options_as_fully_connected_options().ok_or_else(needed)?;
                Self::Dense {
                    activation: Activation::read(stated.fused_activation_function()),
                    keep_dims: stated.keep_num_dims(),
                    asymmetric: stated.asymmetric_quantize_inputs(),
                    shuffled: stated.weights_format() != tflite::FullyConnectedOptionsWeightsFormat::DEFAULT,
                }
            }
            BuiltinOperator::SOFTMAX => {
                Self::Number(operator.builtin_options_as_softmax_options().ok_or_else(needed)?.beta())
            }
            BuiltinOperator::LEAKY_RELU => {
                Self::Number(operator.builtin_options_as_leaky_relu_options().ok_or_else(needed)?.alpha())
            }
            BuiltinOperator::CALL_ONCE => {
                let stated = operator.builtin_options_as_call_once_options().ok_or_else(needed)?;
                let index = stated.init_subgraph_index();
                Self::Subgraph(usize::try_from(index).map_err(|_| format!("there is no subgraph {index}"))?)
            }
            BuiltinOperator::VAR_HANDLE => {
                let stated = operator.builtin_options_as_var_handle_options().ok_or_else(needed)?;
                let [container, name] = [stated.container(), stated.shared_name()].map(Option::unwrap_or_default);
                Self::Variable(format!("{container}/{name}"))
            }
            BuiltinOperator::SVDF => {
                let stated = operator.builtin_options_as_svdfoptions().ok_or_else(needed)?;
                let rank = u32::try_from(stated.rank()).ok().filter(|&rank| rank > 0);
                Self::Svdf {
                    rank: rank.ok_or_else(|| format!("a rank of {}", stated.rank()))?,
                    activation: Activation::read(stated.fused_activation_function()),
                }
            }
            BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM => {
                let stated = operator.builtin_options_as_unidirectional_sequence_lstmoptions().ok_or_else(needed)?;
                Self::Lstm {
                    is_tanh: stated.fused_activation_function() == ActivationFunctionType::TANH,
                    cell_clip: stated.cell_clip(),
                    projection_clip: stated.proj_clip(),
                    time_major: stated.time_major(),
                    is_diagonal: stated.diagonal_recurrent_tensors(),
                }
            }
            _ => Self::read_small(code, operator),
        })
    }

    /// Options that have a meaning when they are missing.
    fn read_small(code: BuiltinOperator, operator: &tflite::Operator<'_>) -> Self {
        let activation = |stated: Option<ActivationFunctionType>| stated.map_or(Activation::None, Activation::read);
        match code {
            BuiltinOperator::ADD => Self::Activation(activation(
                operator.builtin_options_as_add_options().map(|stated| stated.fused_activation_function()),
            )),
            BuiltinOperator::SUB => Self::Activation(activation(
                operator.builtin_options_as_sub_options().map(|stated| stated.fused_activation_function()),
            )),
            BuiltinOperator::MUL => Self::Activation(activation(
                operator.builtin_options_as_mul_options().map(|stated| stated.fused_activation_function()),
            )),
            BuiltinOperator::DIV => Self::Activation(activation(
                operator.builtin_options_as_div_options().map(|stated| stated.fused_activation_function()),
            )),
            BuiltinOperator::CONCATENATION => {
                let stated = operator.builtin_options_as_concatenation_options();
                let fused = activation(stated.as_ref().map(|stated| stated.fused_activation_function()));
                Self::Axis { axis: stated.map_or(0, |stated| stated.axis()), activation: fused }
            }
            BuiltinOperator::PACK => {
                let axis = operator.builtin_options_as_pack_options().map_or(0, |stated| stated.axis());
                Self::Axis { axis, activation: Activation::None }
            }
            BuiltinOperator::UNPACK => {
                let axis = operator.builtin_options_as_unpack_options().map_or(0, |stated| stated.axis());
                Self::Axis { axis, activation: Activation::None }
            }
            BuiltinOperator::GATHER => {
                let stated = operator.builtin_options_as_gather_options();
                let (axis, batch_dims) = stated.map_or((0, 0), |stated| (stated.axis(), stated.batch_dims()));
                Self::Gather { axis, batch_dims }
            }
            BuiltinOperator::SPACE_TO_DEPTH => Self::Block(
                operator.builtin_options_as_space_to_depth_options().map_or(0, |stated| stated.block_size()),
            ),
            BuiltinOperator::DEPTH_TO_SPACE => Self::Block(
                operator.builtin_options_as_depth_to_space_options().map_or(0, |stated| stated.block_size()),
            ),
            BuiltinOperator::BATCH_MATMUL => {
                let stated = operator.builtin_options_as_batch_mat_mul_options();
                Self::Adjoint(stated.map_or([false; 2], |stated| [stated.adj_x(), stated.adj_y()]))
            }
            BuiltinOperator::L2_NORMALIZATION => Self::Activation(activation(
                operator.builtin_options_as_l2_norm_options().map(|stated| stated.fused_activation_function()),
            )),
            BuiltinOperator::MIRROR_PAD => {
                let mode = operator.builtin_options_as_mirror_pad_options().map(|stated| stated.mode());
                Self::Symmetric(mode == Some(tflite::MirrorPadMode::SYMMETRIC))
            }
            BuiltinOperator::CUMSUM => {
                let stated = operator.builtin_options_as_cumsum_options();
                let (exclusive, reverse) =
                    stated.map_or((false, false), |stated| (stated.exclusive(), stated.reverse()));
                Self::Running { exclusive, reverse }
            }
            BuiltinOperator::RESHAPE => {
                let list = operator.builtin_options_as_reshape_options().and_then(|stated| stated.new_shape());
                Self::List(list.into_iter().flatten().take(MAX_RANK + 1).collect())
            }
            BuiltinOperator::SQUEEZE => {
                let list = operator.builtin_options_as_squeeze_options().and_then(|stated| stated.squeeze_dims());
                Self::List(list.into_iter().flatten().take(MAX_RANK + 1).collect())
            }
            BuiltinOperator::STRIDED_SLICE => match operator.builtin_options_as_strided_slice_options() {
                None => Self::Masks { begin: 0, end: 0, shrink: 0, others: 0 },
                Some(stated) => Self::Masks {
                    begin: stated.begin_mask(),
                    end: stated.end_mask(),
                    shrink: stated.shrink_axis_mask(),
                    others: stated.ellipsis_mask() | stated.new_axis_mask(),
                },
            },
            BuiltinOperator::MEAN
            | BuiltinOperator::SUM
            | BuiltinOperator::REDUCE_MAX
            | BuiltinOperator::REDUCE_MIN => {
                Self::KeepDims(operator.builtin_options_as_reducer_options().is_some_and(|stated| stated.keep_dims()))
            }
            _ => Self::Activation(Activation::None),
        }
    }
}
