//! Shapes: up to eight axes, of which one may be a multiple of the batch size N.

/// The most axes that a tensor can have.
pub const MAX_RANK: usize = 8;

/// Why a shape cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ShapeError {
    /// More than [`MAX_RANK`] axes.
    Rank(usize),
    /// The batch axis is not an axis of the shape.
    BatchAxis(usize),
    /// An axis is longer than `u32::MAX`.
    Axis(usize),
}

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Rank(rank) => write!(f, "{rank} axes, {MAX_RANK} at most"),
            Self::BatchAxis(axis) => write!(f, "batch axis {axis} is outside the shape"),
            Self::Axis(axis) => write!(f, "axis {axis} is longer than {}", u32::MAX),
        }
    }
}

impl core::error::Error for ShapeError {}

/// A shape known up to the batch size: axis `i` has length `k` or, on the batch axis, `k * N`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shape {
    dims: [u32; MAX_RANK],
    rank: u8,
    /// `u8::MAX` when no axis depends on the batch.
    batch_axis: u8,
}

impl Shape {
    const NO_BATCH: u8 = u8::MAX;

    /// A shape that does not depend on the batch.
    pub fn fixed(dims: &[usize]) -> Result<Self, ShapeError> {
        Self::new(dims, None)
    }

    /// A shape whose axis `batch_axis` (if any) has `dims[batch_axis] * N` elements.
    pub fn new(dims: &[usize], batch_axis: Option<usize>) -> Result<Self, ShapeError> {
        if dims.len() > MAX_RANK {
            return Err(ShapeError::Rank(dims.len()));
        }
        let mut stored = [0; MAX_RANK];
        for (axis, (slot, &dim)) in stored.iter_mut().zip(dims).enumerate() {
            *slot = u32::try_from(dim).map_err(|_| ShapeError::Axis(axis))?;
        }
        let batch = match batch_axis {
            None => Self::NO_BATCH,
            Some(axis) if axis < dims.len() => axis as u8,
            Some(axis) => return Err(ShapeError::BatchAxis(axis)),
        };
        Ok(Self { dims: stored, rank: dims.len() as u8, batch_axis: batch })
    }

    /// A shape made of axes of other shapes, each with its dependence on the batch; at most one of them may have it.
    pub fn of_axes<'a>(axes: impl Iterator<Item = (&'a Self, usize)>) -> Result<Self, ShapeError> {
        let mut dims = [0usize; MAX_RANK];
        let (mut rank, mut batch) = (0usize, None);
        for (shape, axis) in axes {
            let length = shape.factor(axis).ok_or(ShapeError::Axis(axis))?;
            *dims.get_mut(rank).ok_or(ShapeError::Rank(rank.saturating_add(1)))? = length;
            if shape.is_batch(axis) && batch.replace(rank).is_some() {
                return Err(ShapeError::BatchAxis(rank));
            }
            rank = rank.saturating_add(1);
        }
        Self::new(dims.get(..rank).unwrap_or_default(), batch)
    }

    /// The shape that an artifact stores: `rank` lengths and zeros after them, and a batch axis or 255. `None` for anything else.
    pub(crate) fn stored(dims: [u32; MAX_RANK], rank: u8, batch_axis: u8) -> Option<Self> {
        let unused = dims.get(rank.into()..)?;
        let sound = unused.iter().all(|&dim| dim == 0) && (batch_axis < rank || batch_axis == Self::NO_BATCH);
        sound.then_some(Self { dims, rank, batch_axis })
    }

    /// The shape without axes, of one element.
    pub const fn scalar() -> Self {
        Self { dims: [0; MAX_RANK], rank: 0, batch_axis: Self::NO_BATCH }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.rank.into()
    }

    /// The axis that grows with the batch.
    pub fn batch_axis(&self) -> Option<usize> {
        (self.batch_axis != Self::NO_BATCH).then_some(self.batch_axis.into())
    }

    /// True when an axis grows with the batch.
    pub fn is_batched(&self) -> bool {
        self.batch_axis != Self::NO_BATCH
    }

    /// Lengths of the axes for one row: the batch axis's factor `k` stands for `k * N`.
    pub fn factors(&self) -> &[u32] {
        &self.dims[..self.rank()]
    }

    /// Factor of an axis, as [`Shape::factors`].
    pub fn factor(&self, axis: usize) -> Option<usize> {
        self.factors().get(axis).map(|&dim| dim as usize)
    }

    /// Product of the factors: elements per row of the batch, or in all. `None` on overflow.
    pub fn elements(&self) -> Option<u64> {
        self.factors().iter().try_fold(1u64, |product, &dim| product.checked_mul(dim.into()))
    }

    /// True when `axis` is the batch axis.
    pub fn is_batch(&self, axis: usize) -> bool {
        self.batch_axis() == Some(axis)
    }

    /// The lengths for a batch of `rows`.
    pub fn resolve(&self, rows: usize) -> Dims {
        let mut dims = [0; MAX_RANK];
        for (axis, (slot, &dim)) in dims.iter_mut().zip(self.factors()).enumerate() {
            let factor = dim as usize;
            *slot = if self.is_batch(axis) { factor.saturating_mul(rows) } else { factor };
        }
        Dims { dims, rank: self.rank }
    }

    /// The shape with axis `axis` replaced; the axis keeps or loses its dependence on the batch as `batched` says.
    pub fn with_axis(&self, axis: usize, length: usize, batched: bool) -> Result<Self, ShapeError> {
        let mut dims = [0usize; MAX_RANK];
        for (slot, &dim) in dims.iter_mut().zip(self.factors()) {
            *slot = dim as usize;
        }
        *dims.get_mut(axis).ok_or(ShapeError::BatchAxis(axis))? = length;
        let batch = match self.batch_axis() {
            Some(old) if old == axis => batched.then_some(axis),
            other if batched => other.or(Some(axis)),
            other => other,
        };
        Self::new(&dims[..self.rank()], batch)
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("[")?;
        for (axis, dim) in self.factors().iter().enumerate() {
            if axis > 0 {
                f.write_str(", ")?;
            }
            match (self.is_batch(axis), dim) {
                (true, 1) => f.write_str("N")?,
                (true, dim) => write!(f, "{dim}N")?,
                (false, dim) => write!(f, "{dim}")?,
            }
        }
        f.write_str("]")
    }
}

impl core::fmt::Debug for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Lengths of all axes, the batch size being known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Dims {
    /// Number of elements. The executor has checked that their bytes fit in memory.
    pub fn elements(&self) -> usize {
        self.iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// Length of `axis`, 1 where there is no such axis.
    pub fn at(&self, axis: usize) -> usize {
        self.get(axis).copied().unwrap_or(1)
    }

    /// Product of the lengths before `axis`.
    pub fn outer(&self, axis: usize) -> usize {
        self.iter().take(axis).fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// Product of the lengths after `axis`.
    pub fn inner(&self, axis: usize) -> usize {
        self.iter().skip(axis.saturating_add(1)).fold(1, |product, &dim| product.saturating_mul(dim))
    }
}

impl core::ops::Deref for Dims {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..self.rank.into()]
    }
}
