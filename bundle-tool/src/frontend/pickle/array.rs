//! Arrays of a pickle, and typed copies of their elements.

use super::document::{Blob, Value};
use super::dtype::{Dtype, Kind};
use super::item::{AccessError, Item};

/// Dimensions of one array at most, as in numpy 2.
pub(super) const MOST_DIMENSIONS: usize = 64;

/// Order of an array's elements in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The last index varies fastest.
    C,
    /// The first index varies fastest.
    Fortran,
}

/// Elements of an array in memory order.
#[derive(Clone, Debug)]
pub(super) enum Elements {
    /// Exactly `count * dtype.size` bytes.
    Raw(Blob),
    /// Exactly `count` objects.
    Objects(Vec<Value>),
}

/// An array: `shape` was checked against the elements when it was made.
#[derive(Clone, Debug)]
pub(super) struct NdArray {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) order: Order,
    pub(super) elements: Elements,
}

/// The number of elements of `shape` and their size in bytes, or `None` when that overflows.
pub(super) fn extent(shape: &[usize], each: usize) -> Option<(usize, u64)> {
    let count = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n as u64));
    // One zero makes the array empty, whatever the other dimensions say.
    let count = if shape.contains(&0) { 0 } else { count? };
    let bytes = count.checked_mul(each as u64)?;
    Some((usize::try_from(count).ok()?, bytes))
}

/// An array of a document, or one field of a structured one, with the path that leads to it.
///
/// The typed copies are in C order whatever the order in the file, and say in their error which attribute has the wrong type.
#[derive(Clone, Debug)]
pub struct Array<'d> {
    item: Item<'d>,
    array: &'d NdArray,
    /// Element type: the array's, or that of the selected field.
    dtype: &'d Dtype,
    /// First byte of the value within an element.
    offset: usize,
    field: Option<&'d str>,
}

impl<'d> Array<'d> {
    pub(super) fn new(item: Item<'d>, array: &'d NdArray) -> Array<'d> {
        Array { item, array, dtype: &array.dtype, offset: 0, field: None }
    }

    /// Length of each dimension; empty for a 0-dimensional array.
    pub fn shape(&self) -> &'d [usize] {
        &self.array.shape
    }

    /// Element type.
    pub fn dtype(&self) -> &'d Dtype {
        self.dtype
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        extent(&self.array.shape, 0).map_or(0, |(count, _)| count)
    }

    /// The field `name` of each element of a structured array.
    pub fn field(&self, name: &str) -> Result<Array<'d>, AccessError> {
        self.find_field(name).ok_or_else(|| self.wrong(&format!("a structured array with a field {name:?}")))
    }

    /// The field `name`, or `None` where the elements have no such field.
    pub fn find_field(&self, name: &str) -> Option<Array<'d>> {
        let Kind::Struct(fields) = &self.dtype.kind else {
            return None;
        };
        let field = fields.iter().find(|f| f.name == name)?;
        Some(Array {
            item: self.item.clone(),
            array: self.array,
            dtype: &field.dtype,
            offset: self.offset + field.offset,
            field: Some(&field.name),
        })
    }

    /// The elements as `f64`, from floats, integers and booleans; 64-bit integers must be exact as `f64`.
    pub fn f64s(&self) -> Result<Vec<f64>, AccessError> {
        let big = self.dtype.big_endian;
        match self.dtype.kind {
            Kind::Float => match self.dtype.size {
                2 => self.map(|b| half::f16::from_bits(unsigned(b, big) as u16).to_f64()),
                4 => self.map(|b| f64::from(f32::from_bits(unsigned(b, big) as u32))),
                _ => self.map(|b| f64::from_bits(unsigned(b, big))),
            },
            Kind::Bool | Kind::Int | Kind::UInt => {
                const EXACT: i64 = 1 << f64::MANTISSA_DIGITS;
                let ints = self.i64s()?;
                if ints.iter().any(|i| !(-EXACT..=EXACT).contains(i)) {
                    return Err(self.wrong("numbers that are exact as float64"));
                }
                Ok(ints.into_iter().map(|i| i as f64).collect())
            }
            _ => Err(self.wrong("an array of numbers")),
        }
    }

    /// The elements as `i64`, from integers and booleans; unsigned ones must fit.
    pub fn i64s(&self) -> Result<Vec<i64>, AccessError> {
        let (big, size) = (self.dtype.big_endian, self.dtype.size);
        match self.dtype.kind {
            Kind::Int => {
                let unused = 64 - 8 * size as u32;
                self.map(|b| ((unsigned(b, big) << unused) as i64) >> unused)
            }
            Kind::UInt => {
                let wide = self.map(|b| unsigned(b, big))?;
                let narrow: Result<Vec<i64>, _> = wide.into_iter().map(i64::try_from).collect();
                narrow.map_err(|_| self.wrong("integers of at most 63 bits"))
            }
            Kind::Bool => self.map(|b| i64::from(unsigned(b, big) != 0)),
            _ => Err(self.wrong("an array of integers")),
        }
    }

    /// The elements of a boolean array; a `uint8` array counts as one, zero being false.
    pub fn bools(&self) -> Result<Vec<bool>, AccessError> {
        match (&self.dtype.kind, self.dtype.size) {
            (Kind::Bool, _) | (Kind::UInt, 1) => self.map(|b| unsigned(b, false) != 0),
            _ => Err(self.wrong("an array of booleans")),
        }
    }

    /// The elements of an array of text: fixed-width, or objects that all are `str`.
    pub fn strings(&self) -> Result<Vec<String>, AccessError> {
        match self.dtype.kind {
            Kind::Unicode => {
                let big = self.dtype.big_endian;
                let texts = self.map(|b| decode_ucs4(b, big))?;
                let texts: Option<Vec<String>> = texts.into_iter().collect();
                texts.ok_or_else(|| self.wrong("text of valid code points"))
            }
            Kind::Object => {
                let items = self.objects()?;
                items.iter().map(|i| i.as_str().map(str::to_owned)).collect()
            }
            _ => Err(self.wrong("an array of text")),
        }
    }

    /// The elements of an array of objects.
    pub fn objects(&self) -> Result<Vec<Item<'d>>, AccessError> {
        match &self.array.elements {
            Elements::Objects(values) => {
                let ordered = storage_order(&self.array.shape, self.array.order, values.len());
                let picked: Vec<Value> = ordered.filter_map(|i| values.get(i).copied()).collect();
                self.item.elements(&picked)
            }
            Elements::Raw(_) => Err(self.wrong("an array of objects")),
        }
    }

    /// Applies `read` to the bytes of each element, in C order.
    fn map<T>(&self, read: impl Fn(&[u8]) -> T) -> Result<Vec<T>, AccessError> {
        let Elements::Raw(blob) = &self.array.elements else {
            return Err(self.wrong("an array of plain values"));
        };
        self.item.visit(self.count())?;
        let bytes = self.item.document().bytes(blob);
        let stride = self.array.dtype.size;
        let order = storage_order(&self.array.shape, self.array.order, self.count());
        let value = |i: usize| {
            let start = i * stride + self.offset;
            read(bytes.get(start..start + self.dtype.size).unwrap_or_default())
        };
        Ok(order.map(value).collect())
    }

    fn wrong(&self, expected: &str) -> AccessError {
        let mut error = self.item.wrong(expected);
        if let Some(field) = self.field {
            error.path = format!("{}[{field:?}]", error.path);
            error.found = format!("{} of {:?}", self.dtype, self.array.shape);
        }
        error
    }
}

/// The unsigned integer of at most 8 bytes.
fn unsigned(bytes: &[u8], big_endian: bool) -> u64 {
    let join = |wide: u64, &byte: &u8| (wide << 8) | u64::from(byte);
    if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
}

/// Text of four bytes per code point, up to the padding. `None` where a code point is not one.
pub(super) fn decode_ucs4(bytes: &[u8], big_endian: bool) -> Option<String> {
    let text: Option<String> = bytes.chunks_exact(4).map(|c| char::from_u32(unsigned(c, big_endian) as u32)).collect();
    text.map(|t| t.trim_end_matches('\0').to_owned())
}

/// For each element in C order, its index in memory; `count` is the number of elements of `shape`.
fn storage_order(shape: &[usize], order: Order, count: usize) -> impl Iterator<Item = usize> {
    let fortran = order == Order::Fortran && shape.len() > 1;
    let mut strides = vec![1; shape.len()];
    for i in 1..shape.len() {
        strides[i] = usize::wrapping_mul(strides[i - 1], shape[i - 1]);
    }
    let shape = shape.to_vec();
    let mut index = vec![0; shape.len()];
    let mut position = 0usize;
    (0..count).map(move |linear| {
        if !fortran {
            return linear;
        }
        let here = position;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            position = position.wrapping_add(strides[axis]);
            if index[axis] < shape[axis] {
                break;
            }
            position = position.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
            index[axis] = 0;
        }
        here
    })
}
