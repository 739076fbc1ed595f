//! Scales and zero points of an operator's inputs and results.

use ekiben_runtime::DType;
use ekiben_runtime::ops::quantized_conv2d::Factor;
use ekiben_runtime::tensor::Quantization;

use super::super::file::{Operator, Tensor};
use super::super::quantization;
use super::{FrontendError, Lowering, Stop};

impl Lowering<'_> {
    /// Scale and zero point of the int8 tensor at an input.
    pub(super) fn input_quantization(&self, operator: &Operator, input: usize) -> Result<(f32, i8), Stop> {
        int8_quantization(self.stated(operator, input)?)
    }

    /// Scale and zero point of the operator's result.
    pub(super) fn output_quantization(&self, operator: &Operator) -> Result<Quantization, Stop> {
        let output = operator.outputs.first().map(|&output| &self.file.tensors[output]);
        let output = output.ok_or("the operator has no output")?;
        let (scale, zero) = int8_quantization(output)?;
        Ok(Quantization { scale, zero_point: zero.into() })
    }

    /// Element type of the operator's result.
    pub(super) fn output_dtype(&self, operator: &Operator) -> Result<DType, Stop> {
        let output = operator.outputs.first().map(|&output| &self.file.tensors[output]);
        output.ok_or("the operator has no output")?.known_dtype().map_err(|error| Stop::Unsupported(error.to_string()))
    }

    /// Scale and zero point of the tensor at an input, of any integer type.
    pub(super) fn input_scale(&self, operator: &Operator, input: usize) -> Result<Quantization, Stop> {
        scale_of(self.stated(operator, input)?)
    }

    /// As [`Self::input_scale`], of the operator's result.
    pub(super) fn output_scale(&self, operator: &Operator) -> Result<Quantization, Stop> {
        let output = operator.outputs.first().map(|&output| &self.file.tensors[output]);
        scale_of(output.ok_or("the operator has no output")?)
    }

    /// Fails unless an input and a result stand for the same numbers: one scale and one zero point, or none.
    pub(super) fn moves(&self, operator: &Operator, input: usize, output: usize) -> Result<(), Stop> {
        let quantization = |index: usize| {
            let tensor = &self.file.tensors[index];
            tensor.quantization.as_ref().and_then(|quantization| quantization.per_tensor())
        };
        let source = self.optional(operator, input).and_then(quantization);
        let result = operator.outputs.get(output).copied().and_then(quantization);
        let parts = |quantization: Option<Quantization>| quantization.map(|q| (q.scale, q.zero_point));
        if parts(source) == parts(result) {
            return Ok(());
        }
        Err(format!("input {input} and result {output} have different scales or zero points").into())
    }
}

/// Scale and zero point of a quantized tensor, the zero point inside its type.
pub(super) fn scale_of(tensor: &Tensor) -> Result<Quantization, Stop> {
    let place = tensor.place();
    let quantized = tensor.quantization.as_ref();
    let quantized = quantized.ok_or_else(|| format!("{place} has no scale"))?;
    let one = quantized.per_tensor().ok_or_else(|| format!("{place} has more than one scale"))?;
    let range = match tensor.dtype {
        Some(DType::I8) => i8::MIN.into()..=i8::MAX.into(),
        Some(DType::U8) => 0..=u8::MAX.into(),
        Some(DType::I16) => i16::MIN.into()..=i16::MAX.into(),
        _ => i32::MIN..=i32::MAX,
    };
    if !range.contains(&one.zero_point) {
        return Err(FrontendError::malformed(&place, format!("a zero point of {}", one.zero_point)).into());
    }
    Ok(one)
}

/// Fails unless real zero is stored as 0.
pub(super) fn symmetric<const N: usize>(quantizations: [Quantization; N]) -> Result<(), Stop> {
    match quantizations.iter().find(|quantization| quantization.zero_point != 0) {
        None => Ok(()),
        Some(other) => Err(format!("an int16 tensor with a zero point of {}", other.zero_point).into()),
    }
}

/// Scale and zero point of an int8 tensor.
pub(super) fn int8_quantization(tensor: &Tensor) -> Result<(f32, i8), Stop> {
    let place = tensor.place();
    let quantized = tensor.quantization.as_ref();
    let quantized = quantized.ok_or_else(|| FrontendError::malformed(&place, "an int8 tensor without a scale"))?;
    let one = quantized.per_tensor().ok_or_else(|| format!("{place} has more than one scale"))?;
    let zero = i8::try_from(one.zero_point);
    let zero = zero.map_err(|_| FrontendError::malformed(&place, format!("a zero point of {}", one.zero_point)))?;
    Ok((one.scale, zero))
}

/// The factor nearest to a real number.
pub(super) fn factor(value: f64) -> Result<Factor, Stop> {
    quantization::factor(value).ok_or_else(|| format!("scales whose ratio is {value}").into())
}
