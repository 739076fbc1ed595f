//! What an API returns, from the outputs of a run: the manifest's template walked over the tensors.

use ekiben_runtime::artifact::manifest::{FrameColumn, Orient, Returns, TextPart};
use ekiben_runtime::artifact::strings::Strings;
use ekiben_runtime::kernels::reference::storage_cast::{Rounding, SmallFloats, is_stored_only, storage_cast};
use ekiben_runtime::tensor::View;
use ekiben_runtime::{Artifact, DType, Executor};
use serde_json::Value;

use super::plain_text::PlainText;
use super::sinks::{Scalar, Sink};

/// Why outputs do not fit the template that the manifest gives for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The template reads what the outputs do not have.
    #[error("the manifest's answer reads {0}, which this artifact's outputs do not have")]
    Template(String),
    /// The answer is not one per row.
    #[error("this API does not answer row by row ({0}); give it a request")]
    NotPerRow(&'static str),
}

/// Outputs that an answer holds without an allocation.
const FEW: usize = 4;

/// The outputs of a finished run.
#[derive(Debug)]
pub struct Answer<'a> {
    outputs: heapless::Vec<View<'a>, FEW>,
    further: Vec<View<'a>>,
    strings: Strings<'a>,
    rows: usize,
}

/// Where in the loops of the template the walk is.
#[derive(Clone, Debug)]
enum Place {
    /// The answer to all rows.
    Whole,
    /// The answer to this row alone, before the loop over rows.
    Row(usize),
    /// Inside of loops, at these positions of the leading axes.
    At(Positions),
}

/// Positions of leading axes. Tensors have eight at most; a template with more loops than this reads none.
type Positions = heapless::Vec<usize, 16>;

fn push(positions: &mut Positions, position: usize) -> Walked {
    positions.push(position).map_err(|_| AnswerError::Template("more positions than a tensor has axes".to_owned()))
}

type Walked = Result<(), AnswerError>;

impl<'a> Answer<'a> {
    /// The outputs of the executor's last run.
    pub fn new(artifact: &Artifact<'a>, executor: &'a Executor<'_, '_>) -> Result<Self, ekiben_runtime::Error> {
        Self::part(artifact, executor, 0, executor.rows())
    }

    /// What the executor's last run found for `rows` rows from row `first` on, as if they had been all: outputs that have their rows on the
    /// first axis are cut.
    ///
    /// # Errors
    /// Those of [`Executor::output_view`]; [`ekiben_runtime::Error::Rows`] when the run had fewer rows.
    pub fn part(
        artifact: &Artifact<'a>,
        executor: &'a Executor<'_, '_>,
        first: usize,
        rows: usize,
    ) -> Result<Self, ekiben_runtime::Error> {
        let all = executor.rows();
        let mut answer = Self { outputs: heapless::Vec::new(), further: Vec::new(), strings: artifact.strings(), rows };
        for index in 0..executor.api().outputs.into() {
            let mut view = executor.output_view(index)?;
            if rows != all && view.spec.shape.batch_axis() == Some(0) {
                let each = view.bytes.len() / all.max(1);
                let cut = view.bytes.get(first * each..(first + rows) * each);
                view.bytes = cut.ok_or(ekiben_runtime::Error::Rows { given: first + rows, fixed: all })?;
                view.dims = view.spec.shape.resolve(rows);
            }
            answer.add(view);
        }
        Ok(answer)
    }

    /// Outputs of `rows` rows that are elsewhere than in an executor.
    pub fn of(outputs: Vec<View<'a>>, strings: Strings<'a>, rows: usize) -> Self {
        let mut answer = Self { outputs: heapless::Vec::new(), further: Vec::new(), strings, rows };
        outputs.into_iter().for_each(|view| answer.add(view));
        answer
    }

    fn add(&mut self, view: View<'a>) {
        if let Err(view) = self.outputs.push(view) {
            self.further.push(view);
        }
    }

    /// Walks the answer to the whole batch.
    ///
    /// # Errors
    /// [`AnswerError::Template`].
    pub fn whole(&self, returns: &Returns, sink: &mut dyn Sink) -> Walked {
        self.walk(returns, &Place::Whole, sink)
    }

    /// Walks the answer that the API gives to a batch of only row `row`, without the list over rows around it.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn row(&self, returns: &Returns, row: usize, sink: &mut dyn Sink) -> Walked {
        self.walk(returns, &Place::Row(row), sink)
    }

    fn walk(&self, returns: &Returns, place: &Place, sink: &mut dyn Sink) -> Walked {
        match returns {
            Returns::Output { output, at } => self.output(*output, at, place, sink),
            Returns::Rows(item) => self.rows(item, place, sink),
            Returns::Object(members) => {
                sink.begin_object();
                for (key, member) in members {
                    sink.key(key);
                    self.walk(member, place, sink)?;
                }
                sink.end_object();
                Ok(())
            }
            Returns::List(items) => {
                sink.begin_list();
                items.iter().try_for_each(|item| self.walk(item, place, sink))?;
                sink.end_list();
                Ok(())
            }
            Returns::Frame { columns, orient, digits } => self.frame(columns, *orient, *digits, place, sink),
            Returns::Constant(json) => {
                let value = serde_json::from_str(json);
                constant(&value.map_err(|error| AnswerError::Template(format!("a constant: {error}")))?, sink);
                Ok(())
            }
            Returns::Text(parts) => {
                let mut text = PlainText::default();
                for part in parts {
                    match part {
                        TextPart::Literal(literal) => text.text.push_str(literal),
                        TextPart::Value { value, format } => {
                            text.format = *format;
                            self.walk(value, place, &mut text)?;
                        }
                    }
                }
                sink.scalar(Scalar::Text(&text.finish()?));
                Ok(())
            }
        }
    }

    fn view(&self, output: u32) -> Result<&View<'a>, AnswerError> {
        let index = output as usize;
        let view = self.outputs.get(index).or_else(|| self.further.get(index.checked_sub(FEW)?));
        view.ok_or_else(|| AnswerError::Template(format!("output {output}")))
    }

    /// The position of a row on an output's first axis; `None` when the output has all of it in one row.
    fn leading(&self, view: &View<'_>, row: usize) -> Result<Option<usize>, AnswerError> {
        let shape = &view.spec.shape;
        match (shape.batch_axis(), shape.factor(0)) {
            (Some(0), Some(1)) => Ok(Some(row)),
            (None, Some(1)) => Ok(Some(0)),
            (None, _) => Ok(None),
            _ => Err(AnswerError::NotPerRow("an output's rows are not its first axis")),
        }
    }

    fn output(&self, output: u32, at: &[u32], place: &Place, sink: &mut dyn Sink) -> Walked {
        let view = self.view(output)?;
        let mut path = Positions::new();
        let mut at = at.iter().map(|&position| position as usize);
        match place {
            Place::Whole => {}
            Place::At(prefix) => prefix.iter().take(axes(view)).try_for_each(|&position| push(&mut path, position))?,
            Place::Row(row) => match (self.leading(view, *row)?, at.len()) {
                (Some(lead), 0) => push(&mut path, lead)?,
                (Some(lead), _) if view.spec.shape.is_batched() => {
                    if at.next() != Some(0) {
                        return Err(AnswerError::NotPerRow("it reads one certain row of its batch"));
                    }
                    push(&mut path, lead)?;
                }
                _ => {}
            },
        }
        at.try_for_each(|position| push(&mut path, position))?;
        let mut first = 0;
        for (axis, &position) in path.iter().enumerate() {
            let length = if axis < axes(view) { view.dims.at(axis) } else { 0 };
            if position >= length {
                return Err(AnswerError::Template(format!("output {output} at {path:?}")));
            }
            first = first * length + position;
        }
        let elements = (path.len()..axes(view)).map(|axis| view.dims.at(axis)).product::<usize>();
        self.nested(view, path.len(), first * elements, sink);
        Ok(())
    }

    /// Writes the part of a tensor from element `first` on, as lists over the axes from `axis` on.
    fn nested(&self, view: &View<'_>, axis: usize, first: usize, sink: &mut dyn Sink) {
        if axis >= axes(view) {
            return self.element(view, first, sink);
        }
        let inner = (axis + 1..axes(view)).map(|axis| view.dims.at(axis)).product::<usize>();
        sink.begin_list();
        for position in 0..view.dims.at(axis) {
            self.nested(view, axis + 1, first + position * inner, sink);
        }
        sink.end_list();
    }

    fn element(&self, view: &View<'_>, index: usize, sink: &mut dyn Sink) {
        let category = |value: u32| view.spec.table.and_then(|table| self.strings.list_item(table, value));
        match view.spec.dtype {
            DType::Category => {
                let value = array(view.bytes, index).map(u32::from_le_bytes);
                sink.scalar(value.and_then(category).map_or(Scalar::Null, Scalar::Text));
            }
            DType::Text => {
                let width = view.dims.at(axes(view));
                let bytes = view.bytes.get(index * width..(index + 1) * width).unwrap_or_default();
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                sink.scalar(Scalar::Text(&String::from_utf8_lossy(&bytes[..end])));
            }
            dtype => sink.scalar(number(dtype, view.bytes, index)),
        }
    }

    fn rows(&self, item: &Returns, place: &Place, sink: &mut dyn Sink) -> Walked {
        let prefix = match place {
            Place::Whole => Positions::new(),
            Place::At(prefix) => prefix.clone(),
            Place::Row(row) => match self.lead(item, *row)? {
                Some(lead) => {
                    let mut at = Positions::new();
                    push(&mut at, lead)?;
                    return self.walk(item, &Place::At(at), sink);
                }
                None => Positions::new(),
            },
        };
        let (mut shortest, mut reads) = (None, false);
        for_each_output(item, &mut |output| {
            let view = self.view(output)?;
            reads = true;
            if axes(view) > prefix.len() {
                let length = view.dims.at(prefix.len());
                shortest = Some(shortest.map_or(length, |least: usize| least.min(length)));
            }
            Ok(())
        })?;
        let length = match shortest {
            Some(length) => length,
            None if !reads && prefix.is_empty() => self.rows,
            None => return Err(AnswerError::Template("rows of a single value".to_owned())),
        };
        sink.begin_list();
        for position in 0..length {
            let mut inner = prefix.clone();
            push(&mut inner, position)?;
            self.walk(item, &Place::At(inner), sink)?;
        }
        sink.end_list();
        Ok(())
    }

    /// Where a row stands on the first axis of all outputs that `item` reads; `None` where one has all of its axis in each row.
    fn lead(&self, item: &Returns, row: usize) -> Result<Option<usize>, AnswerError> {
        let (mut lead, mut whole) = (None, false);
        for_each_output(item, &mut |output| {
            match self.leading(self.view(output)?, row)? {
                Some(position) => lead = lead.max(Some(position)),
                None => whole = true,
            }
            Ok(())
        })?;
        Ok(if whole { None } else { Some(lead.unwrap_or(row)) })
    }

    fn frame(
        &self,
        columns: &[FrameColumn],
        orient: Orient,
        digits: Option<u8>,
        place: &Place,
        sink: &mut dyn Sink,
    ) -> Walked {
        let sink = &mut Cells { sink, digits };
        let row_of = |row: usize, sink: &mut dyn Sink, keyed: bool| {
            if keyed {
                sink.begin_object()
            } else {
                sink.begin_list()
            }
            for column in columns {
                if keyed {
                    sink.key(&column.name);
                }
                self.cell(column, row, sink)?;
            }
            if keyed {
                sink.end_object()
            } else {
                sink.end_list()
            }
            Ok(())
        };
        if let Place::Row(row) = place {
            return row_of(*row, sink, true);
        }
        let mut shortest = None;
        for column in columns {
            let length = self.view(column.output)?.dims.at(0);
            shortest = Some(shortest.map_or(length, |least: usize| least.min(length)));
        }
        let rows = shortest.unwrap_or(self.rows);
        match orient {
            Orient::Records | Orient::Values => {
                sink.begin_list();
                (0..rows).try_for_each(|row| row_of(row, sink, orient == Orient::Records))?;
                sink.end_list();
            }
            Orient::Index => {
                sink.begin_object();
                for row in 0..rows {
                    sink.key(&row.to_string());
                    row_of(row, sink, true)?;
                }
                sink.end_object();
            }
            Orient::Columns => {
                sink.begin_object();
                for column in columns {
                    sink.key(&column.name);
                    sink.begin_object();
                    for row in 0..rows {
                        sink.key(&row.to_string());
                        self.cell(column, row, sink)?;
                    }
                    sink.end_object();
                }
                sink.end_object();
            }
            Orient::Split => {
                sink.begin_object();
                sink.key("columns");
                sink.begin_list();
                columns.iter().for_each(|column| sink.scalar(Scalar::Text(&column.name)));
                sink.end_list();
                sink.key("index");
                sink.begin_list();
                (0..rows).for_each(|row| sink.scalar(Scalar::Integer(row as i128)));
                sink.end_list();
                sink.key("data");
                sink.begin_list();
                (0..rows).try_for_each(|row| row_of(row, sink, false))?;
                sink.end_list();
                sink.end_object();
            }
        }
        Ok(())
    }

    fn cell(&self, column: &FrameColumn, row: usize, sink: &mut dyn Sink) -> Walked {
        if column.at.len() + 1 != axes(self.view(column.output)?) {
            return Err(AnswerError::Template(format!("one element per row for column {}", column.name)));
        }
        let mut at = Positions::new();
        push(&mut at, row)?;
        self.output(column.output, &column.at, &Place::At(at), sink)
    }
}

/// Axes of the tensor as Python sees it: a text's bytes are not an axis.
fn axes(view: &View<'_>) -> usize {
    view.dims.len().saturating_sub((view.spec.dtype == DType::Text).into())
}

/// Calls `visit` with every output that a template reads.
fn for_each_output(returns: &Returns, visit: &mut dyn FnMut(u32) -> Walked) -> Walked {
    match returns {
        Returns::Output { output, .. } => visit(*output),
        Returns::Rows(item) => for_each_output(item, visit),
        Returns::Object(members) => members.iter().try_for_each(|(_, member)| for_each_output(member, visit)),
        Returns::List(items) => items.iter().try_for_each(|item| for_each_output(item, visit)),
        Returns::Frame { columns, .. } => columns.iter().try_for_each(|column| visit(column.output)),
        Returns::Constant(_) => Ok(()),
        Returns::Text(parts) => parts.iter().try_for_each(|part| match part {
            TextPart::Literal(_) => Ok(()),
            TextPart::Value { value, .. } => for_each_output(value, visit),
        }),
    }
}

fn constant(value: &Value, sink: &mut dyn Sink) {
    match value {
        Value::Null => sink.scalar(Scalar::Null),
        Value::Bool(flag) => sink.scalar(Scalar::Bool(*flag)),
        Value::String(text) => sink.scalar(Scalar::Text(text)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => sink.scalar(Scalar::Integer(integer.into())),
            None => sink.scalar(Scalar::Float(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::Array(items) => {
            sink.begin_list();
            items.iter().for_each(|item| constant(item, sink));
            sink.end_list();
        }
        Value::Object(members) => {
            sink.begin_object();
            for (key, member) in members {
                sink.key(key);
                constant(member, sink);
            }
            sink.end_object();
        }
    }
}

/// Element `index` of little-endian elements of `N` bytes.
fn array<const N: usize>(bytes: &[u8], index: usize) -> Option<[u8; N]> {
    bytes.get(index * N..(index + 1) * N)?.try_into().ok()
}

/// Element `index` of a tensor of numbers.
pub(crate) fn number(dtype: DType, bytes: &[u8], index: usize) -> Scalar<'static> {
    macro_rules! integer {
        ($type:ty) => {
            array(bytes, index).map(|element| Scalar::Integer(<$type>::from_le_bytes(element).into()))
        };
    }
    let scalar = match dtype {
        DType::Bool => bytes.get(index).map(|&byte| Scalar::Bool(byte != 0)),
        DType::I8 => integer!(i8),
        DType::I16 => integer!(i16),
        DType::I32 => integer!(i32),
        DType::I64 => integer!(i64),
        DType::U8 => integer!(u8),
        DType::U16 => integer!(u16),
        DType::U32 => integer!(u32),
        DType::U64 => integer!(u64),
        stored if is_stored_only(stored) => stored_number(stored, bytes, index),
        _ => {
            let width = (dtype.bits() / 8) as usize;
            bytes.get(index * width..(index + 1) * width).map(|element| {
                let mut wide = [0; 8];
                ekiben_runtime::kernels::reference::cast::cast(dtype, element, DType::F64, &mut wide);
                Scalar::Float(f64::from_le_bytes(wide))
            })
        }
    };
    scalar.unwrap_or(Scalar::Null)
}

/// Element `index` of a type of eight bits or less that is only stored.
fn stored_number(dtype: DType, bytes: &[u8], index: usize) -> Option<Scalar<'static>> {
    let bits = dtype.bits() as usize;
    let code = bytes.get(index * bits / 8)? >> (index * bits % 8);
    let mut wide = [0; 8];
    let exact = SmallFloats { saturate: false, rounding: Rounding::Nearest };
    storage_cast(dtype, &[code], DType::F64, &mut wide, exact);
    let value = f64::from_le_bytes(wide);
    Some(if dtype.is_integer() { Scalar::Integer(value as i128) } else { Scalar::Float(value) })
}

/// Cells of a data frame: rounded, and null where they are not numbers, as pandas writes them.
struct Cells<'s> {
    sink: &'s mut dyn Sink,
    digits: Option<u8>,
}

impl Sink for Cells<'_> {
    fn begin_list(&mut self) {
        self.sink.begin_list();
    }

    fn end_list(&mut self) {
        self.sink.end_list();
    }

    fn begin_object(&mut self) {
        self.sink.begin_object();
    }

    fn key(&mut self, key: &str) {
        self.sink.key(key);
    }

    fn end_object(&mut self) {
        self.sink.end_object();
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        match (scalar, self.digits) {
            (Scalar::Float(value), _) if !value.is_finite() => self.sink.scalar(Scalar::Null),
            (Scalar::Float(value), Some(digits)) => {
                let rounded = format!("{value:.*}", usize::from(digits)).parse().unwrap_or(value);
                self.sink.scalar(Scalar::Float(rounded));
            }
            (other, _) => self.sink.scalar(other),
        }
    }
}
