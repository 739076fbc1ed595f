//! Operators that pad, repeat and rearrange: blocks of images, mirrored edges, broadcasts.

use ekiben_runtime::ops::expand::Expand;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::file::Operator;
use super::super::options::Options;
use super::parts::Part;
use super::{Dimension, Lowering, Stop, TensorId, Value};

impl<'a> Lowering<'a> {
    /// The paddings that an input states, before and after each axis.
    fn paddings(&mut self, operator: &'a Operator, input: usize, axes: usize) -> Result<Vec<[i32; 2]>, Stop> {
        let stated = self.fixed_numbers(operator, input)?;
        if stated.len() != 2 * axes {
            return Err(format!("{} paddings for {axes} axes", stated.len()).into());
        }
        let count = |&count: &i64| match i32::try_from(count) {
            Ok(count @ 0..) => Ok(count),
            _ => Err(Stop::from(format!("a padding of {count}"))),
        };
        stated.as_chunks().0.iter().map(|[before, after]| Ok([count(before)?, count(after)?])).collect()
    }

    /// Surrounds a tensor with `value`, or with zeros.
    fn padded(
        &mut self,
        operator: &'a Operator,
        id: TensorId,
        paddings: &[[i32; 2]],
        value: Option<TensorId>,
        mode: PadMode,
    ) -> Result<TensorId, Stop> {
        let counts: Vec<i32> = (0..2).flat_map(|side| paddings.iter().map(move |counts| counts[side])).collect();
        let counts = self.list(operator, DType::I32, &[2, paddings.len()], &counts)?;
        self.add(operator, Pad { mode }, &[Some(id), Some(counts), value])
    }

    /// What stands for real zero in a tensor of the file, where that is not 0.
    fn zero(&mut self, operator: &'a Operator, input: usize) -> Result<Option<TensorId>, Stop> {
        let stated = self.stated(operator, input)?;
        let zero = stated.quantization.as_ref().and_then(|q| q.per_tensor()).map_or(0, |one| one.zero_point);
        match (stated.dtype, i8::try_from(zero), u8::try_from(zero)) {
            (_, Ok(0), _) => Ok(None),
            (Some(DType::I8), Ok(zero), _) => self.list(operator, DType::I8, &[], &[zero]).map(Some),
            (Some(DType::U8), _, Ok(zero)) => self.list(operator, DType::U8, &[], &[zero]).map(Some),
            _ => Err(format!("a zero point of {zero}").into()),
        }
    }

    /// PAD, with what stands for zero; PADV2, with a value.
    pub(super) fn pad(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let paddings = self.paddings(operator, 1, self.graph.shape(input).rank())?;
        let value = match self.optional_tensor(operator, 2)? {
            Some(value) => {
                self.moves(operator, 2, 0)?;
                Some(self.reshaped(operator, value, &[])?)
            }
            None => self.zero(operator, 0)?,
        };
        Ok(Value::Tensor(self.padded(operator, input, &paddings, value, PadMode::Constant)?))
    }

    pub(super) fn mirror_pad(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Symmetric(symmetric) = operator.options else { return Err("the options are missing".into()) };
        let mut result = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let lengths = self.lengths(result);
        let paddings = self.paddings(operator, 1, lengths.len())?;
        let most = |length: usize| if symmetric { length as i64 } else { length as i64 - 1 };
        if paddings
            .iter()
            .zip(&lengths)
            .any(|(counts, &length)| counts.iter().any(|&count| i64::from(count) > most(length)))
        {
            return Err("a padding longer than what it mirrors".into());
        }
        if !symmetric {
            return Ok(Value::Tensor(self.padded(operator, result, &paddings, None, PadMode::Reflect)?));
        }
        for (axis, [before, after]) in paddings.into_iter().enumerate().filter(|(_, counts)| *counts != [0, 0]) {
            let length = lengths[axis] as i32;
            let mirrored = (0..before).rev().chain(0..length).chain((0..after).map(|back| length - 1 - back));
            let mirrored: Vec<i32> = mirrored.collect();
            let indices = self.list(operator, DType::I32, &[mirrored.len()], &mirrored)?;
            result = self.add(operator, Gather { axis: axis as u8 }, &[Some(result), Some(indices)])?;
        }
        Ok(Value::Tensor(result))
    }

    fn transposed(&mut self, operator: &'a Operator, id: TensorId, axes: &[usize]) -> Result<TensorId, Stop> {
        let perm = Permutation::new(axes).ok_or("too many axes")?;
        self.add(operator, Transpose { perm }, &[Some(id)])
    }

    /// The block lengths of SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, for a tensor that must not grow with the batch.
    fn block(&mut self, operator: &'a Operator, id: TensorId) -> Result<Vec<usize>, Stop> {
        if self.graph.shape(id).is_batched() {
            return Err("it joins rows of the batch".into());
        }
        let block = self.fixed_numbers(operator, 1)?;
        let block = block.iter().map(|&length| usize::try_from(length).ok().filter(|&length| length > 0));
        let block = block.collect::<Option<Vec<_>>>().ok_or("a block length that is not positive")?;
        if block.len() >= self.lengths(id).len() {
            return Err("more block lengths than axes of space".into());
        }
        Ok(block)
    }

    /// `[B, H, W, …]` to `[bh * bw * B, H' / bh, W' / bw, …]`: block positions come first.
    pub(super) fn space_to_batch(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let block = self.block(operator, input)?;
        let mut paddings = vec![[0; 2]; self.lengths(input).len()];
        paddings[1..=block.len()].copy_from_slice(&self.paddings(operator, 2, block.len())?);
        let zero = self.zero(operator, 0)?;
        let padded = self.padded(operator, input, &paddings, zero, PadMode::Constant)?;
        let lengths = self.lengths(padded);
        let space = lengths[1..].iter().zip(&block).map(|(&length, &block)| {
            length
                .is_multiple_of(block)
                .then_some([length / block, block])
                .ok_or("a block that does not divide the image")
        });
        let space = space.collect::<Result<Vec<_>, _>>()?.concat();
        let rest = &lengths[1 + block.len()..];
        let split = self.reshaped(operator, padded, &[&[lengths[0]], &space[..], rest].concat())?;
        let spatial = 1..=space.len();
        let blocks = spatial.clone().filter(|axis| axis.is_multiple_of(2));
        let places = spatial.filter(|axis| !axis.is_multiple_of(2));
        let others = 1 + space.len()..1 + space.len() + rest.len();
        let order: Vec<usize> = blocks.chain([0]).chain(places).chain(others).collect();
        let turned = self.transposed(operator, split, &order)?;
        let batch = lengths[0] * block.iter().product::<usize>();
        let places: Vec<usize> = space.iter().step_by(2).copied().collect();
        self.reshaped(operator, turned, &[&[batch], &places[..], rest].concat()).map(Value::Tensor)
    }

    /// The inverse of [`Self::space_to_batch`], with edges cut off.
    pub(super) fn batch_to_space(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let block = self.block(operator, input)?;
        let lengths = self.lengths(input);
        let (places, rest) = lengths[1..].split_at(block.len());
        let all = block.iter().product::<usize>();
        let batch = lengths[0].checked_div(all).filter(|batch| batch * all == lengths[0]);
        let batch = batch.ok_or("a block that does not divide the batch")?;
        let split = self.reshaped(operator, input, &[&block[..], &[batch], places, rest].concat())?;
        let count = block.len();
        let space = (0..count).flat_map(|axis| [count + 1 + axis, axis]);
        let order: Vec<usize> =
            [count].into_iter().chain(space).chain(2 * count + 1..2 * count + 1 + rest.len()).collect();
        let turned = self.transposed(operator, split, &order)?;
        let sizes: Vec<usize> = places.iter().zip(&block).map(|(place, block)| place * block).collect();
        let whole = self.reshaped(operator, turned, &[&[batch], &sizes[..], rest].concat())?;
        let mut parts: Vec<Part> = self.lengths(whole).iter().map(|&length| Part::whole(length)).collect();
        for (part, [before, after]) in parts[1..].iter_mut().zip(self.paddings(operator, 2, count)?) {
            *part = Part { start: before.into(), step: 1, length: part.length - i64::from(before) - i64::from(after) };
        }
        self.sliced(operator, whole, &parts).map(Value::Tensor)
    }

    pub(super) fn space_to_depth(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let ([batch, height, width, channels], block, input) = self.images_and_block(operator)?;
        if !height.is_multiple_of(block) || !width.is_multiple_of(block) {
            return Err("a block that does not divide the image".into());
        }
        let split = self.reshaped(operator, input, &[batch, height / block, block, width / block, block, channels])?;
        let turned = self.transposed(operator, split, &[0, 1, 3, 2, 4, 5])?;
        let lengths = [batch, height / block, width / block, block * block * channels];
        self.reshaped(operator, turned, &lengths).map(Value::Tensor)
    }

    pub(super) fn depth_to_space(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let ([batch, height, width, channels], block, input) = self.images_and_block(operator)?;
        let depth = channels.checked_div(block * block).filter(|depth| depth * block * block == channels);
        let depth = depth.ok_or("a block that does not divide the channels")?;
        let split = self.reshaped(operator, input, &[batch, height, width, block, block, depth])?;
        let turned = self.transposed(operator, split, &[0, 1, 3, 2, 4, 5])?;
        self.reshaped(operator, turned, &[batch, height * block, width * block, depth]).map(Value::Tensor)
    }

    fn images_and_block(&mut self, operator: &'a Operator) -> Result<([usize; 4], usize, TensorId), Stop> {
        let Options::Block(block) = operator.options else { return Err("the options are missing".into()) };
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let block = usize::try_from(block).ok().filter(|block| (1..=1 << 15).contains(block));
        let lengths = <[usize; 4]>::try_from(self.lengths(input)).map_err(|_| "the input has no four axes")?;
        Ok((lengths, block.ok_or("a block size that is not positive")?, input))
    }

    pub(super) fn broadcast_to(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let dimensions = self.numbers(operator, 1)?;
        self.expanded(operator, input, &dimensions).map(Value::Tensor)
    }

    /// Repeats a tensor until it has these lengths.
    fn expanded(&mut self, operator: &'a Operator, id: TensorId, dimensions: &[Dimension]) -> Result<TensorId, Stop> {
        let lengths = dimensions.iter().map(|dimension| usize::try_from(dimension.factor));
        let lengths = lengths.collect::<Result<Vec<_>, _>>().map_err(|_| "a negative length")?;
        let stated = self.graph.shape(id);
        // A length of the file is that of one row.
        let growing = dimensions.iter().position(|dimension| dimension.batched);
        let offset = lengths.len().checked_sub(stated.rank()).ok_or("fewer axes than the input has")?;
        let batch = growing.or_else(|| stated.batch_axis().map(|axis| axis + offset));
        let shape = Shape::new(&lengths, batch).map_err(|error| error.to_string())?;
        let spec = TensorSpec { shape, ..self.graph.spec(id) };
        Ok(self.graph.add_declared(self.file.node_name(operator), Expand, &[id], spec)?)
    }

    /// Of numbers only: the lengths that two shapes broadcast to.
    pub(super) fn broadcast_args(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let [mut a, mut b] = [self.numbers(operator, 0)?, self.numbers(operator, 1)?];
        let rank = a.len().max(b.len());
        let one = Dimension { factor: 1, batched: false };
        for list in [&mut a, &mut b] {
            list.splice(0..0, vec![one; rank - list.len()]);
        }
        let joined = a.into_iter().zip(b).map(|pair| match pair {
            (x, y) if x == y || y == one => Ok(x),
            (x, y) if x == one => Ok(y),
            (x, y) => Err(Stop::from(format!("lengths {} and {} that do not broadcast", x.factor, y.factor))),
        });
        Ok(Value::Numbers(joined.collect::<Result<Vec<_>, _>>()?))
    }

    pub(super) fn fill(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let dimensions = self.numbers(operator, 0)?;
        let value = self.tensor(operator, 1)?;
        self.moves(operator, 1, 0)?;
        let value = self.reshaped(operator, value, &[])?;
        self.expanded(operator, value, &dimensions).map(Value::Tensor)
    }

    pub(super) fn zeros_like(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let spec = self.graph.spec(input);
        let zero = match spec.dtype {
            DType::F32 => self.list(operator, DType::F32, &[], &[0f32])?,
            DType::I32 => self.list(operator, DType::I32, &[], &[0i32])?,
            DType::I64 => self.list(operator, DType::I64, &[], &[0i64])?,
            dtype => return Err(format!("{dtype} is not translated").into()),
        };
        Ok(Value::Tensor(self.graph.add_declared(self.file.node_name(operator), Expand, &[zero], spec)?))
    }

    /// Each axis becomes two, of which the first is repeated.
    pub(super) fn tile(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let lengths = self.lengths(input);
        let counts = self.fixed_numbers(operator, 1)?;
        let counts = counts.iter().map(|&count| usize::try_from(count).ok().filter(|&count| count > 0));
        let counts = counts.collect::<Option<Vec<_>>>().filter(|counts| counts.len() == lengths.len());
        let counts = counts.ok_or("a positive count for each axis is needed")?;
        if self.graph.shape(input).is_batched() && counts.first() != Some(&1) {
            return Err("it repeats rows of the batch".into());
        }
        // The batch stays the first axis.
        let axes = 1.min(lengths.len())..lengths.len();
        let first = &lengths[..axes.start];
        let split: Vec<usize> = first.iter().copied().chain(axes.clone().flat_map(|axis| [1, lengths[axis]])).collect();
        let spread = first.iter().copied().chain(axes.flat_map(|axis| [counts[axis], lengths[axis]]));
        let spread: Vec<Dimension> = spread.map(|factor| Dimension { factor: factor as i64, batched: false }).collect();
        if counts.first().is_some_and(|&count| count != 1) {
            return Err("it repeats the first axis, which is not translated".into());
        }
        let split = self.reshaped(operator, input, &split)?;
        let tiled = self.expanded(operator, split, &spread)?;
        let result: Vec<usize> = lengths.iter().zip(&counts).map(|(length, count)| length * count).collect();
        self.reshaped(operator, tiled, &result).map(Value::Tensor)
    }
}
