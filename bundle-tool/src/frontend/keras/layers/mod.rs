//! The layers that are compiled: one function for each class.

mod attention;
mod convolution;
mod images;
mod merge;
mod norm;
mod plain;
mod pool;
mod recurrent;
mod wrappers;

use super::config::Layer;
use super::lowering::{Flow, Site, Stop};
use crate::frontend::Blocker;
use crate::graph::TensorId;

/// What a layer gives for one input.
type Single = fn(&mut Site<'_, '_>, TensorId) -> Result<TensorId, Stop>;
/// What a layer gives for several inputs.
type Several = fn(&mut Site<'_, '_>, &[TensorId]) -> Result<TensorId, Stop>;

/// How a class of layers is lowered.
#[derive(Clone, Copy)]
enum Kind {
    /// It gives what it takes, as it is.
    Identity,
    /// Elements of any type move.
    Moves(Single),
    /// Floats are computed, each step of a sequence by itself.
    Steps(Single),
    /// Floats are computed.
    Floats(Single),
    /// Tensors are joined.
    Joins(Several),
    /// Sequences are read, from a state that may be given; results are the layer's own.
    Recurrent,
    /// A layer is applied to other tensors than it is called with.
    Wraps,
    /// Queries, values and keys.
    Attends,
    /// Positions in a table become rows.
    Embeds,
    /// Steps are marked as not there.
    Masks,
}

/// How the layers of a class are lowered.
fn kind(class: &str) -> Option<Kind> {
    Some(match class {
        "Dropout"
        | "SpatialDropout1D"
        | "SpatialDropout2D"
        | "SpatialDropout3D"
        | "GaussianNoise"
        | "GaussianDropout"
        | "AlphaDropout"
        | "ActivityRegularization"
        | "Identity" => Kind::Identity,
        "Dense" => Kind::Steps(plain::dense),
        "Activation" => Kind::Steps(plain::activation),
        "LeakyReLU" | "ELU" | "ThresholdedReLU" | "ReLU" => Kind::Steps(plain::function),
        "Softmax" => Kind::Floats(plain::function),
        "PReLU" => Kind::Steps(plain::prelu),
        "Flatten" => Kind::Moves(plain::flatten),
        "Reshape" => Kind::Moves(plain::reshape),
        "Permute" => Kind::Moves(plain::permute),
        "RepeatVector" => Kind::Moves(plain::repeat),
        "Embedding" => Kind::Embeds,
        "Masking" => Kind::Masks,
        "Conv1D" | "Convolution1D" | "Conv2D" | "Convolution2D" => Kind::Floats(convolution::conv),
        "DepthwiseConv1D" | "DepthwiseConv2D" => Kind::Floats(convolution::depthwise),
        "SeparableConv1D" | "SeparableConvolution1D" | "SeparableConv2D" | "SeparableConvolution2D" => {
            Kind::Floats(convolution::separable)
        }
        "Conv1DTranspose" | "Convolution1DTranspose" | "Conv2DTranspose" | "Convolution2DTranspose" => {
            Kind::Floats(convolution::transposed)
        }
        "MaxPooling1D" | "MaxPool1D" | "MaxPooling2D" | "MaxPool2D" | "AveragePooling1D" | "AvgPool1D"
        | "AveragePooling2D" | "AvgPool2D" => Kind::Floats(pool::pool),
        "GlobalMaxPooling1D"
        | "GlobalMaxPool1D"
        | "GlobalMaxPooling2D"
        | "GlobalMaxPool2D"
        | "GlobalAveragePooling1D"
        | "GlobalAvgPool1D"
        | "GlobalAveragePooling2D"
        | "GlobalAvgPool2D" => Kind::Floats(pool::global),
        "ZeroPadding1D" | "ZeroPadding2D" => Kind::Moves(images::zero_padding),
        "Cropping1D" | "Cropping2D" => Kind::Moves(images::cropping),
        "UpSampling1D" | "UpSampling2D" => Kind::Floats(images::up_sampling),
        "Resizing" => Kind::Floats(images::resizing),
        "CenterCrop" => Kind::Floats(images::center_crop),
        "Rescaling" => Kind::Steps(norm::rescaling),
        "BatchNormalization" | "BatchNormalizationV1" | "SyncBatchNormalization" => Kind::Steps(norm::batch),
        "LayerNormalization" => Kind::Steps(norm::layer),
        "RMSNormalization" => Kind::Steps(norm::root_mean_square),
        "GroupNormalization" => Kind::Floats(norm::group),
        "UnitNormalization" => Kind::Floats(norm::unit),
        "Normalization" => Kind::Floats(norm::normalization),
        "Add" => Kind::Joins(merge::add),
        "Subtract" => Kind::Joins(merge::subtract),
        "Multiply" => Kind::Joins(merge::multiply),
        "Average" => Kind::Joins(merge::average),
        "Maximum" => Kind::Joins(merge::maximum),
        "Minimum" => Kind::Joins(merge::minimum),
        "Concatenate" => Kind::Joins(merge::concatenate),
        "Dot" => Kind::Joins(merge::dot),
        "SimpleRNN" | "LSTM" | "GRU" => Kind::Recurrent,
        "Bidirectional" | "TimeDistributed" => Kind::Wraps,
        "MultiHeadAttention" | "Attention" => Kind::Attends,
        _ => return None,
    })
}

/// Lists the layers, of those in a layer too, whose classes are not compiled.
pub(super) fn unknown(layer: &Layer, blockers: &mut Vec<Blocker>) {
    let known = layer.network.is_some() || layer.class == "InputLayer" || kind(&layer.class).is_some();
    if !known {
        let reason = match layer.class.as_str() {
            "Lambda" => {
                "its Python code is in the model and cannot be read as data. Use layers of Keras for it".to_owned()
            }
            class if class.contains('>') => "it is a layer of the user's own. Use layers of Keras for it".to_owned(),
            _ => "this layer is not compiled. docs/keras.md lists those that are; or export the model as TFLite"
                .to_owned(),
        };
        blockers.push(Blocker { node: layer.path.clone(), operator: layer.class.clone(), reason });
    }
    let inner = layer.network.iter().flat_map(|network| &network.layers).chain(&layer.wrapped);
    // What is in a layer that is not known is not compiled in any case.
    inner.filter(|_| known).for_each(|inner| unknown(inner, blockers));
}

/// Refuses what is computed in other floats than float32.
fn single_floats(layer: &Layer) -> Result<(), Stop> {
    let named = match layer.config.get("dtype") {
        Some(serde_json::Value::String(name)) => Some(name.as_str()),
        Some(policy) => policy.get("config").and_then(|config| config.get("name")).and_then(|name| name.as_str()),
        None => None,
    };
    match named {
        Some(name) if name.contains("16") || name.contains("float64") || name.contains("float8") => {
            Err(format!("it computes in {name}; layers of float32 are compiled").into())
        }
        _ => Ok(()),
    }
}

/// Lowers a call of a layer.
pub(super) fn lower(site: &mut Site<'_, '_>, flows: &[Flow], named: &[(&str, Vec<Flow>)]) -> Result<Vec<Flow>, Stop> {
    let kind = kind(&site.layer.class).ok_or("this layer is not compiled")?;
    single_floats(site.layer)?;
    let first = flows.first().copied();
    let takes_named = matches!(kind, Kind::Attends | Kind::Recurrent);
    if let Some((name, _)) = named.first().filter(|_| !takes_named) {
        return Err(format!("it is called with {name}, which is not compiled").into());
    }
    let only = || {
        first
            .filter(|_| flows.len() == 1)
            .ok_or_else(|| Stop::from(format!("it is called with {} tensors", flows.len())))
    };
    let given = |tensor: TensorId, masked: bool| Ok::<_, Stop>(vec![Flow { tensor, masked }]);
    match kind {
        Kind::Identity => Ok(vec![only()?]),
        Kind::Moves(lower) => {
            let tensor = lower(site, only()?.tensor)?;
            given(tensor, false)
        }
        Kind::Steps(lower) => {
            let flow = only()?;
            let x = site.floats(flow.tensor)?;
            let result = lower(site, x)?;
            given(result, flow.masked)
        }
        Kind::Floats(lower) => {
            let flow = only()?;
            if flow.masked
                && matches!(site.layer.class.as_str(), "GlobalAveragePooling1D" | "GlobalAvgPool1D" | "Softmax")
            {
                return Err(masked());
            }
            let x = site.floats(flow.tensor)?;
            // A layer of one step for each of the input's may hand the mask on.
            let masked = flow.masked && !site.layer.class.starts_with("Global");
            let result = lower(site, x)?;
            given(result, masked)
        }
        Kind::Joins(lower) => {
            let mut tensors = Vec::new();
            for flow in flows {
                tensors.push(site.floats(flow.tensor)?);
            }
            if tensors.is_empty() {
                return Err("it is called without tensors".into());
            }
            let result = lower(site, &tensors)?;
            given(result, flows.iter().any(|flow| flow.masked))
        }
        Kind::Embeds => {
            let tensor = plain::embedding(site, only()?.tensor)?;
            given(tensor, site.flag("mask_zero", false))
        }
        Kind::Masks => {
            let tensor = plain::masking(site, only()?.tensor)?;
            given(tensor, true)
        }
        Kind::Recurrent => {
            let tensors = unmasked(site, flows)?;
            let results = recurrent::layer(site, &tensors, named)?;
            Ok(results.into_iter().map(|tensor| Flow { tensor, masked: false }).collect())
        }
        Kind::Wraps => {
            let tensors = unmasked(site, flows)?;
            let results = wrappers::wrapper(site, &tensors)?;
            Ok(results.into_iter().map(|tensor| Flow { tensor, masked: false }).collect())
        }
        Kind::Attends => {
            let tensors = unmasked(site, flows)?;
            let tensor = attention::attention(site, &tensors, named)?;
            given(tensor, false)
        }
    }
}

fn masked() -> Stop {
    "it leaves out masked steps (of Masking or of an Embedding with mask_zero), which is not compiled. Train without a mask"
        .into()
}

/// The tensors of a layer that would leave masked steps out, in floats.
fn unmasked(site: &mut Site<'_, '_>, flows: &[Flow]) -> Result<Vec<TensorId>, Stop> {
    if flows.iter().any(|flow| flow.masked) {
        return Err(masked());
    }
    flows.iter().map(|flow| site.floats(flow.tensor)).collect()
}
