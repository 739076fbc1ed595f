//! Compares the outputs of two engines over several calls.

use ekiben_runtime::{DType, TensorSpec};

use super::oracle::{Output, Values};

/// Difference of floats that is always allowed.
pub const ABSOLUTE: f64 = 1e-5;
/// Further difference of floats that is allowed, per unit of the output's largest magnitude in the same call.
pub const RELATIVE: f64 = 1e-4;

/// How far one output is from the oracle's, over all calls.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputDifference {
    /// Name of the output.
    pub output: String,
    /// Elements compared.
    pub compared: usize,
    /// Elements outside of the tolerance; integers, booleans and strings have none.
    pub differing: usize,
    /// Labels that differ in rows whose two largest scores are equal within the tolerance ([`tied_rows`]): not counted as differing.
    pub undecided: usize,
    /// Largest difference; of strings 0 or 1.
    pub absolute: f64,
    /// Largest difference per unit of the largest magnitude that the oracle gives in the same call.
    pub relative: f64,
    /// The element that is farthest outside of, or nearest to, the tolerance; `None` when nothing differs at all.
    pub worst: Option<Worst>,
}

/// One element on which the engines differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// Number of the call.
    pub call: usize,
    /// Row of the batch.
    pub row: usize,
    /// Position in the row.
    pub element: usize,
    /// Value of the artifact.
    pub ours: String,
    /// Value of the oracle.
    pub oracle: String,
    /// Difference per unit of tolerance: more than 1 is too far.
    ratio: f64,
}

impl OutputDifference {
    /// An output of which nothing is compared yet.
    pub fn new(output: &str) -> Self {
        let output = output.to_owned();
        Self { output, compared: 0, differing: 0, undecided: 0, absolute: 0.0, relative: 0.0, worst: None }
    }

    /// True when no element is outside of the tolerance.
    pub fn agrees(&self) -> bool {
        self.differing == 0
    }

    /// Compares the output of one call of as many rows as `tied` has: those that [`tied_rows`] finds in the oracle's outputs.
    pub fn add(&mut self, call: usize, tied: &[bool], ours: &Output, oracle: &Output) {
        self.compared += ours.values.len();
        if ours.dims != oracle.dims {
            let shapes = (format!("shape {:?}", ours.dims), format!("shape {:?}", oracle.dims));
            return self.note(Worst::at(call, 0, 1, shapes, f64::INFINITY), f64::INFINITY, 1.0);
        }
        let per_row = (ours.values.len() / tied.len().max(1)).max(1);
        let decided = |index: usize| per_row > 1 || !tied.get(index).copied().unwrap_or(false);
        match (&ours.values, &oracle.values) {
            (Values::Floats(ours), Values::Floats(oracle)) => {
                let scale = magnitude(oracle);
                for (index, (ours, oracle)) in ours.iter().zip(oracle).enumerate() {
                    let difference = distance(*ours, *oracle);
                    let values = (ours.to_string(), oracle.to_string());
                    self.note(
                        Worst::at(call, index, per_row, values, difference / tolerance(scale)),
                        difference,
                        scale,
                    );
                }
            }
            (Values::Integers(ours), Values::Integers(oracle)) => {
                let scale = oracle.iter().fold(0.0, |scale: f64, value| scale.max(value.unsigned_abs() as f64));
                for (index, (ours, oracle)) in ours.iter().zip(oracle).enumerate().filter(|(_, (a, b))| a != b) {
                    let values = (ours.to_string(), oracle.to_string());
                    let worst = Worst::at(call, index, per_row, values, f64::INFINITY);
                    self.note_exact(worst, decided(index), ours.abs_diff(*oracle) as f64, scale);
                }
            }
            (Values::Texts(ours), Values::Texts(oracle)) => {
                for (index, (ours, oracle)) in ours.iter().zip(oracle).enumerate().filter(|(_, (a, b))| a != b) {
                    let values = (format!("{ours:?}"), format!("{oracle:?}"));
                    let worst = Worst::at(call, index, per_row, values, f64::INFINITY);
                    self.note_exact(worst, decided(index), 1.0, 1.0);
                }
            }
            (ours, oracle) => {
                let kinds = (ours.kind().to_owned(), oracle.kind().to_owned());
                self.note(Worst::at(call, 0, 1, kinds, f64::INFINITY), f64::INFINITY, 1.0);
            }
        }
    }

    fn note_exact(&mut self, at: Worst, decided: bool, difference: f64, scale: f64) {
        if decided { self.note(at, difference, scale) } else { self.undecided += 1 }
    }

    fn note(&mut self, at: Worst, difference: f64, scale: f64) {
        self.absolute = self.absolute.max(difference);
        self.relative = self.relative.max(if scale > 0.0 { difference / scale } else { 0.0 });
        self.differing += usize::from(at.ratio > 1.0);
        if at.ratio > 0.0 && self.worst.as_ref().is_none_or(|worst| at.ratio > worst.ratio) {
            self.worst = Some(at);
        }
    }
}

impl Worst {
    fn at(call: usize, index: usize, per_row: usize, (ours, oracle): (String, String), ratio: f64) -> Self {
        Self { call, row: index / per_row, element: index % per_row, ours, oracle, ratio }
    }
}

/// Which of `rows` rows have scores that leave their label open: in an output of the shape `[rows, classes]`, the two largest are as
/// near to each other as the tolerance. Rounding then decides, and classifiers that saturate often come to this.
pub(super) fn tied_rows(rows: usize, outputs: &[Output]) -> Vec<bool> {
    let mut tied = vec![false; rows];
    for output in outputs {
        let (Values::Floats(values), &[count, classes]) = (&output.values, output.dims.as_slice()) else { continue };
        if count != rows || classes < 2 {
            continue;
        }
        let near = tolerance(magnitude(values));
        for (tied, scores) in tied.iter_mut().zip(values.chunks(classes)) {
            let (mut first, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
            for &score in scores {
                second = second.max(score.min(first));
                first = first.max(score);
            }
            *tied |= first - second <= near;
        }
    }
    tied
}

/// Difference that is allowed in an output whose largest magnitude is `scale`.
fn tolerance(scale: f64) -> f64 {
    ABSOLUTE + RELATIVE * scale
}

/// The largest magnitude among finite values.
fn magnitude(values: &[f64]) -> f64 {
    values.iter().filter(|value| value.is_finite()).fold(0.0, |scale: f64, value| scale.max(value.abs()))
}

/// How far apart two floats are: NaN equals NaN and infinities equal themselves; both are infinitely far from all else.
fn distance(a: f64, b: f64) -> f64 {
    let equal = a == b || a.is_nan() && b.is_nan();
    if equal {
        0.0
    } else if a.is_finite() && b.is_finite() {
        (a - b).abs()
    } else {
        f64::INFINITY
    }
}

impl Values {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Floats(_) => "floats",
            Self::Integers(_) => "integers",
            Self::Texts(_) => "texts",
        }
    }
}

/// The bytes of a tensor on a batch of `rows` as values; categories by their names in `table`.
pub(super) fn decode(spec: &TensorSpec, rows: usize, bytes: &[u8], table: &[String]) -> Output {
    let mut dims = spec.shape.resolve(rows).to_vec();
    let values = match spec.dtype {
        dtype if dtype.is_float() => Values::Floats(elements(spec.dtype, bytes, |element| float(dtype, element))),
        DType::Category => Values::Texts(elements(spec.dtype, bytes, |element| {
            let index = integer(DType::U32, element);
            usize::try_from(index).ok().and_then(|index| table.get(index)).cloned().unwrap_or_default()
        })),
        DType::Text => {
            let width = dims.pop().unwrap_or(1).max(1);
            let text = |cell: &[u8]| String::from_utf8_lossy(cell).trim_end_matches('\0').to_owned();
            Values::Texts(bytes.chunks(width).map(text).collect())
        }
        dtype => Values::Integers(elements(spec.dtype, bytes, |element| integer(dtype, element))),
    };
    Output { dims, values }
}

fn elements<T>(dtype: DType, bytes: &[u8], read: impl FnMut(&[u8]) -> T) -> Vec<T> {
    let width = (dtype.bits() / 8).max(1) as usize;
    bytes.chunks_exact(width).map(read).collect()
}

/// The first `N` bytes of an element, zeros where it is shorter.
fn first<const N: usize>(element: &[u8]) -> [u8; N] {
    std::array::from_fn(|index| element.get(index).copied().unwrap_or(0))
}

fn float(dtype: DType, element: &[u8]) -> f64 {
    match dtype {
        DType::F16 => half::f16::from_le_bytes(first(element)).into(),
        DType::BF16 => half::bf16::from_le_bytes(first(element)).into(),
        DType::F32 => f32::from_le_bytes(first(element)).into(),
        _ => f64::from_le_bytes(first(element)),
    }
}

fn integer(dtype: DType, element: &[u8]) -> i128 {
    match dtype {
        DType::I8 => i8::from_le_bytes(first(element)).into(),
        DType::I16 => i16::from_le_bytes(first(element)).into(),
        DType::I32 => i32::from_le_bytes(first(element)).into(),
        DType::I64 => i64::from_le_bytes(first(element)).into(),
        _ => u64::from_le_bytes(first(element)).into(),
    }
}

#[cfg(test)]
mod tests {
    use ekiben_runtime::Shape;

    use super::*;

    fn compare(ours: Values, oracle: Values) -> OutputDifference {
        let output = |values: Values| Output { dims: vec![2, values.len() / 2], values };
        let mut difference = OutputDifference::new("y");
        difference.add(3, &[false; 2], &output(ours), &output(oracle));
        difference
    }

    #[test]
    fn floats_within_the_tolerance_agree() {
        let near = compare(Values::Floats(vec![100.009, 0.0]), Values::Floats(vec![100.0, 0.01]));
        assert!(near.agrees());
        assert_eq!((near.compared, near.worst.as_ref().map(|worst| worst.row)), (2, Some(1)));
        assert!((near.absolute - 0.01).abs() < 1e-9 && (near.relative - 1e-4).abs() < 1e-9);
        let far = compare(Values::Floats(vec![1.0, 0.0, 1.0, 0.0]), Values::Floats(vec![1.0, 0.0, 1.0, 0.00012]));
        assert_eq!(far.differing, 1);
        let worst = far.worst.expect("an element");
        assert_eq!((worst.call, worst.row, worst.element), (3, 1, 1));
        assert_eq!((worst.ours.as_str(), worst.oracle.as_str()), ("0", "0.00012"));
    }

    #[test]
    fn only_equal_values_that_are_not_finite_agree() {
        let odd = || vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
        let same =
            compare(Values::Floats(odd()), Values::Floats(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0]));
        assert!(same.agrees() && same.worst.is_none());
        for other in [1.0, f64::NAN, f64::INFINITY] {
            let mut oracle = odd();
            oracle[2] = other;
            assert_eq!(compare(Values::Floats(odd()), Values::Floats(oracle)).differing, 1, "{other}");
        }
    }

    #[test]
    fn integers_and_texts_are_exact() {
        let large = 1_i128 << 60;
        assert!(compare(Values::Integers(vec![large, 1]), Values::Integers(vec![large, 1])).agrees());
        assert!(!compare(Values::Integers(vec![large, 1]), Values::Integers(vec![large + 1, 1])).agrees());
        let texts = |texts: [&str; 2]| Values::Texts(texts.map(str::to_owned).to_vec());
        assert!(compare(texts(["a", "b"]), texts(["a", "b"])).agrees());
        assert!(!compare(texts(["a", "b"]), texts(["a", "c"])).agrees());
        assert!(!compare(texts(["1", "2"]), Values::Integers(vec![1, 2])).agrees());
    }

    #[test]
    fn labels_are_open_where_the_scores_tie() {
        let scores =
            |dims: &[usize], values: &[f64]| Output { dims: dims.to_vec(), values: Values::Floats(values.to_vec()) };
        let table = scores(&[3, 3], &[0.2, 1.0, 0.99999, 0.5, 0.1, 0.49, f64::NAN, 1.0, 0.5]);
        assert_eq!(tied_rows(3, std::slice::from_ref(&table)), [true, false, false]);
        assert_eq!(tied_rows(3, &[scores(&[9], &[1.0; 9]), scores(&[3, 1], &[1.0; 3])]), [false; 3]);
        let labels = |labels: [i128; 3]| Output { dims: vec![3], values: Values::Integers(labels.to_vec()) };
        let mut difference = OutputDifference::new("label");
        difference.add(0, &tied_rows(3, &[table]), &labels([1, 0, 2]), &labels([2, 0, 1]));
        assert_eq!((difference.undecided, difference.differing), (1, 1));
        assert_eq!(difference.worst.map(|worst| worst.row), Some(2));
    }

    #[test]
    fn other_shapes_differ() {
        let mut difference = OutputDifference::new("y");
        let output = |dims: &[usize]| Output { dims: dims.to_vec(), values: Values::Integers(vec![0; 4]) };
        difference.add(0, &[false], &output(&[4]), &output(&[1, 4]));
        assert_eq!((difference.agrees(), difference.absolute), (false, f64::INFINITY));
    }

    #[test]
    fn every_type_is_decoded() {
        let spec = |dtype| TensorSpec::new(dtype, Shape::new(&[1], Some(0)).expect("an axis"));
        let cases: [(DType, &[u8], Values); 8] = [
            (DType::F32, &[0, 0, 0xC0, 0x3F], Values::Floats(vec![1.5])),
            (DType::F16, &[0, 0x3C], Values::Floats(vec![1.0])),
            (DType::BF16, &[0x80, 0x3F], Values::Floats(vec![1.0])),
            (DType::F64, &1.5_f64.to_le_bytes(), Values::Floats(vec![1.5])),
            (DType::I8, &[0xFF, 2], Values::Integers(vec![-1, 2])),
            (DType::U64, &[0xFF; 8], Values::Integers(vec![u64::MAX.into()])),
            (DType::Bool, &[1, 0], Values::Integers(vec![1, 0])),
            (DType::Category, &[1, 0, 0, 0, 255, 255, 255, 255], Values::Texts(vec!["b".to_owned(), String::new()])),
        ];
        for (dtype, bytes, expected) in cases {
            let rows = bytes.len() * 8 / dtype.bits() as usize;
            let output = decode(&spec(dtype), rows, bytes, &["a".to_owned(), "b".to_owned()]);
            assert_eq!(output, Output { dims: vec![rows], values: expected }, "{dtype}");
        }
        let text = TensorSpec::new(DType::Text, Shape::new(&[1, 3], Some(0)).expect("two axes"));
        let expected = Values::Texts(vec!["ab".to_owned(), "cde".to_owned()]);
        assert_eq!(decode(&text, 2, b"ab\0cde", &[]), Output { dims: vec![2], values: expected });
    }
}
