//! Counts of the terms in texts, as scikit-learn's vectorisers count them.
//!
//! | attribute | type | meaning |
//! |---|---|---|
//! | analyzer | u8 | 0 n-grams of words, 1 of characters, 2 of characters inside of words with a space on either side, 3 the text as one term |
//! | fewest, most | u8 | tokens or characters of an n-gram, 1 to [`MAX_N`] |
//! | accents | u8 | 0 stay, 1 replaced by the map, 2 also left out where the map has none |
//! | flags | u8 | 1 lower case, 2 binary, 4 columns by hash, 8 the hash's sign counts, 16 and 32 a token starts and ends at an edge of a word, 64 words are left out |
//! | prefix | u8 | characters of a token that have a class of their own, less than [`MAX_ITEMS`] |
//! | fewest, most | u32 | characters of the last class after them |
//! | seed | u32 | of the vocabulary's perfect hash |
//!
//! | input | type | holds |
//! |---|---|---|
//! | 0 | text `[N, bytes]` | texts; zeros after them |
//! | 1 | i32 `[R, 2]` | classes of characters, in rising ranges: the first character, then the last one times 256 plus the classes: 1 of words, 2 cased, 4 ignorable beside cased ones, 8 the first item of a token, 16 the second, … |
//! | 2 | i32 `[M, 3]`, optional | the map, rising: a character beyond ASCII, start and length of its replacement in input 3 |
//! | 3 | u8 `[B]`, optional | replacements |
//! | 4 | i32 `[T, 3]`, optional | terms in the order of the perfect hash's slots: start and length in input 6, column or -1 for a word that is left out |
//! | 5 | i32 `[D]`, optional | displacements of the perfect hash |
//! | 6 | u8 `[B]`, optional | bytes of the terms |
//!
//! The output is f64 `[N, columns]` as declared. A hashed term is counted in column `|murmur3(term)| % columns`. Scratch holds one prepared text.
//! See [`perfect_hash`](crate::kernels::reference::perfect_hash) for inputs 4 and 5, and
//! [`text_analysis`](crate::kernels::reference::text_analysis) for what is done to a text.

use super::{Inputs, OpError, OperandSpec, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::term_counts::Analyzer;
use crate::kernels::reference::term_counts::{Analysis, Counter, Vocabulary};
pub use crate::kernels::reference::text_analysis::{Accents, MAX_ITEMS, MAX_N, TokenPattern};
use crate::kernels::reference::text_analysis::{Classes, Preparation};
use crate::tensor::{DType, Shape, TensorSpec};

/// Counts terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TermCounts {
    /// What a text is taken apart into.
    pub analyzer: Analyzer,
    /// The fewest tokens or characters of an n-gram.
    pub fewest: u8,
    /// The most of them.
    pub most: u8,
    /// What becomes of accents.
    pub accents: Accents,
    /// Whether letters become lower-case first.
    pub lower: bool,
    /// Whether a term that occurs counts 1 and no more.
    pub binary: bool,
    /// Whether columns are told by a hash, and whether its sign counts.
    pub hashed: Option<bool>,
    /// Whether words of the vocabulary with the column -1 are left out before n-grams are made.
    pub leaves_out: bool,
    /// What a token looks like.
    pub pattern: TokenPattern,
    /// Seed of the vocabulary's perfect hash.
    pub seed: u32,
}

const NEEDS_CLASSES: &str = "rising ranges of characters";
const NEEDS_MAP: &str = "rising characters beyond ASCII with replacements inside input 3";
const NEEDS_TERMS: &str = "terms inside input 6 with columns of the output";

/// A constant table of i32 with rows of `width`, and the number of its rows.
fn table<'i>(
    inputs: &'i dyn Inputs,
    index: usize,
    width: u32,
    needs: &'static str,
) -> Result<Option<(OperandSpec<'i>, usize)>, OpError> {
    let Some(operand) = inputs.get(index) else { return Ok(None) };
    let shape = operand.spec.shape;
    match shape.factors() {
        &[rows, columns] if columns == width && operand.spec.dtype == DType::I32 && !shape.is_batched() => {
            if operand.constant.is_none() {
                return Err(OpError::input(index, Problem::NotConstant, needs));
            }
            Ok(Some((operand, rows as usize)))
        }
        _ => Err(OpError::input(index, Problem::Shape, needs)),
    }
}

/// Length of an optional list.
fn list(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<usize, OpError> {
    let Some(operand) = inputs.get(index) else { return Ok(0) };
    match operand.spec.shape.factors() {
        &[length] if operand.spec.dtype == dtype && !operand.spec.shape.is_batched() => Ok(length as usize),
        _ => Err(OpError::input(index, Problem::Shape, "a list of bytes or int32")),
    }
}

/// Rows of a table that a run reads.
fn rows<const N: usize>(operands: &dyn Operands, index: usize) -> Result<&[[i32; N]], OpError> {
    Ok(operands.optional_slice::<i32>(index)?.unwrap_or_default().as_chunks::<N>().0)
}

impl TermCounts {
    /// Times that the map makes a text longer, at most.
    fn growth(&self, inputs: &dyn Inputs) -> Result<u64, OpError> {
        // A syllable of Hangul, 3 bytes, becomes three letters.
        let mut growth = if self.accents == Accents::Map { 3 } else { 1 };
        if let Some((map, rows)) = table(inputs, 2, 3, NEEDS_MAP)? {
            for row in 0..rows {
                let field = |at: usize| map.i32_at(row * 3 + at).unwrap_or(0).max(0) as u32;
                let bytes = char::from_u32(field(0)).map_or(1, char::len_utf8) as u64;
                growth = growth.max(u64::from(field(2)).div_ceil(bytes));
            }
        }
        // No lower-case form takes more than twice the bytes.
        Ok(if self.lower { growth.saturating_mul(2) } else { growth })
    }

    fn check_tables(&self, inputs: &dyn Inputs, columns: usize) -> Result<(), OpError> {
        let value = |index, needs| OpError::input(index, Problem::Value, needs);
        let (classes, count) =
            table(inputs, 1, 2, NEEDS_CLASSES)?.ok_or(OpError::input(1, Problem::Missing, NEEDS_CLASSES))?;
        let mut next = 0;
        for row in 0..count {
            let field = |at: usize| classes.i32_at(row * 2 + at).ok_or(value(1, NEEDS_CLASSES));
            let (first, last) = (field(0)?, field(1)? >> 8);
            if first < next || last < first {
                return Err(value(1, NEEDS_CLASSES));
            }
            next = last.saturating_add(1);
        }
        let replacements = list(inputs, 3, DType::U8)?;
        if let Some((map, count)) = table(inputs, 2, 3, NEEDS_MAP)? {
            let mut before = 127;
            for row in 0..count {
                let field = |at: usize| map.i32_at(row * 3 + at).and_then(|value| u32::try_from(value).ok());
                let (Some(character), Some(start), Some(length)) = (field(0), field(1), field(2)) else {
                    return Err(value(2, NEEDS_MAP));
                };
                let inside = start.checked_add(length).is_some_and(|end| end as usize <= replacements);
                if character <= before || !inside {
                    return Err(value(2, NEEDS_MAP));
                }
                before = character;
            }
        }
        let (displacements, bytes) = (list(inputs, 5, DType::I32)?, list(inputs, 6, DType::U8)?);
        let Some((terms, count)) = table(inputs, 4, 3, NEEDS_TERMS)? else {
            return if self.hashed.is_some() { Ok(()) } else { Err(OpError::input(4, Problem::Missing, NEEDS_TERMS)) };
        };
        if displacements == 0 {
            return Err(OpError::input(5, Problem::Missing, "one displacement at least"));
        }
        for row in 0..count {
            let field = |at: usize| terms.i32_at(row * 3 + at).ok_or(value(4, NEEDS_TERMS));
            let (start, length, column) = (field(0)?, field(1)?, field(2)?);
            let place = u32::try_from(start).ok().zip(u32::try_from(length).ok());
            let end = place.and_then(|(start, length)| start.checked_add(length));
            let inside = end.is_some_and(|end| end as usize <= bytes);
            if !inside || column < -1 || column >= 0 && column as usize >= columns {
                return Err(value(4, NEEDS_TERMS));
            }
        }
        Ok(())
    }
}

impl Operator for TermCounts {
    const TABLE_INPUTS: u32 = 1 << 1 | 1 << 2 | 1 << 4;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let analyzer = match reader.u8()? {
            0 => Analyzer::Words,
            1 => Analyzer::Characters,
            2 => Analyzer::CharactersOfWords,
            3 => Analyzer::Whole,
            _ => return Err(reader.invalid("analyzer")),
        };
        let (fewest, most) = (reader.u8()?, reader.u8()?);
        let accents = match reader.u8()? {
            0 => Accents::Keep,
            1 => Accents::Map,
            2 => Accents::MapToAscii,
            _ => return Err(reader.invalid("accents")),
        };
        let flags = reader.u8()?;
        if flags & 128 != 0 {
            return Err(reader.invalid("flags"));
        }
        let pattern = TokenPattern {
            prefix: reader.u8()?,
            fewest: reader.u32()?,
            most: reader.u32()?,
            starts_at_edge: flags & 16 != 0,
            ends_at_edge: flags & 32 != 0,
        };
        Ok(Self {
            analyzer,
            fewest,
            most,
            accents,
            lower: flags & 1 != 0,
            binary: flags & 2 != 0,
            hashed: (flags & 4 != 0).then_some(flags & 8 != 0),
            leaves_out: flags & 64 != 0,
            pattern,
            seed: reader.u32()?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        let flags = [
            (self.lower, 1),
            (self.binary, 2),
            (self.hashed.is_some(), 4),
            (self.hashed == Some(true), 8),
            (self.pattern.starts_at_edge, 16),
            (self.pattern.ends_at_edge, 32),
            (self.leaves_out, 64),
        ];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
        for byte in [self.analyzer as u8, self.fewest, self.most, self.accents as u8, flags, self.pattern.prefix] {
            writer.u8(byte)?;
        }
        writer.u32(self.pattern.fewest)?;
        writer.u32(self.pattern.most)?;
        writer.u32(self.seed)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(7)?;
        let text = inputs.typed(0, &[DType::Text], "texts")?.shape;
        if text.rank() != 2 || text.is_batch(1) || text.factor(1) == Some(0) {
            return Err(OpError::input(0, Problem::Rank, "rows of bytes"));
        }
        if self.fewest == 0 || self.fewest > self.most || usize::from(self.most) > MAX_N {
            return Err(OpError::attribute("fewest, most", "1 to 8, rising"));
        }
        if usize::from(self.pattern.prefix) >= MAX_ITEMS {
            return Err(OpError::attribute("prefix", "less than 5"));
        }
        let declared = outputs.declared(0).ok_or(OpError::output(0, Problem::Missing, "a declared shape"))?.shape;
        let columns = declared.factor(1).filter(|&columns| columns > 0);
        let columns = columns.ok_or(OpError::output(0, Problem::Shape, "one column at least"))?;
        self.check_tables(inputs, columns)?;
        let shape = Shape::new(&[text.factor(0).unwrap_or(0), columns], text.batch_axis())?;
        outputs.put(0, TensorSpec::new(DType::F64, shape))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let bytes = inputs.required(0)?.spec.shape.factor(1).unwrap_or(0) as u64;
        Ok(Scratch { fixed: bytes.saturating_mul(self.growth(inputs)?), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let texts = operands.input(0)?;
        let length = texts.dims.at(1).max(1);
        let classes = Classes::new(rows::<2>(operands, 1)?);
        let preparation = Preparation {
            lower: self.lower,
            accents: self.accents,
            classes: &classes,
            map: rows::<3>(operands, 2)?,
            replacements: operands.optional_slice(3)?.unwrap_or_default(),
        };
        let vocabulary = Vocabulary {
            entries: rows::<3>(operands, 4)?,
            displacements: operands.optional_slice(5)?.unwrap_or_default(),
            seed: self.seed,
            terms: operands.optional_slice(6)?.unwrap_or_default(),
        };
        let counter = Counter {
            vocabulary: (!vocabulary.entries.is_empty()).then_some(vocabulary),
            leaves_out: self.leaves_out,
            hashed: self.hashed,
            binary: self.binary,
        };
        let n = (usize::from(self.fewest), usize::from(self.most));
        let analysis = Analysis { preparation, analyzer: self.analyzer, pattern: self.pattern, n };
        let mut output = operands.output(0)?;
        let columns = output.dims.at(1).max(1);
        let counts = output.elements::<f64>(0)?;
        let scratch = operands.scratch()?;
        counts.fill(0.0);
        for (text, counts) in texts.bytes.chunks_exact(length).zip(counts.chunks_exact_mut(columns)) {
            analysis.count(text, scratch.bytes, &counter, counts);
        }
        Ok(())
    }
}
