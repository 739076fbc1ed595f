//! Requests to a service's APIs, made of what their adapters take: seeded random values in the ranges in which features are found.

use ekiben_runtime::artifact::image;
use ekiben_runtime::artifact::manifest::{
    Api, Frame, InputAdapter, Limits, Orient, Parameter, ParameterKind, Scalar, ScalarKind, Sound,
};
use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::artifact::tensors::TensorRecord;
use ekiben_runtime::{Artifact, DType};
use serde_json::{Map, Value, json};

use crate::python::ServiceRequest;

/// Requests that are made of one API: rows, and the range of its numbers.
const VARIANTS: [(usize, f64, f64); 6] =
    [(1, 0.0, 1.0), (3, -2.0, 2.0), (1, 0.0, 10.0), (4, 0.0, 100.0), (2, -1.0, 3000.0), (1, 20.0, 60.0)];
/// Seed of the first request of the first API; the next one's is one more.
const FIRST_SEED: u64 = 0x0A51_BE70;
/// Width and height of images whose size no tensor tells.
const SIZES: [(usize, usize); 3] = [(48, 40), (96, 61), (33, 70)];
/// What texts are made of, where no table of the model has any.
const WORDS: [&str; 12] = ["a", "the", "good", "bad", "film", "was", "not", "very", "1", "free", "offer", "afternoon"];
/// Most elements of an array in a request.
const MOST_ELEMENTS: usize = 200_000;
const BOUNDARY: &str = "ekiben-verify-boundary";

/// Requests to the API at `index` of the artifact, which its manifest describes as `api`. Empty where what it takes is too large to be made.
pub(super) fn made(artifact: &Artifact<'_>, index: usize, api: &Api) -> Vec<ServiceRequest> {
    let Some(record) = artifact.api(index) else { return Vec::new() };
    let mut requests = Vec::new();
    for (at, (rows, low, high)) in VARIANTS.into_iter().enumerate() {
        let seed = FIRST_SEED + (index * VARIANTS.len() + at) as u64;
        let rows = if record.fixed_rows == 0 { rows } else { record.fixed_rows as usize };
        let mut maker = Maker { artifact, record, rows, is_item: false, range: (low, high), variant: at, state: seed };
        if let Some((body, content_type)) = maker.body(&api.input) {
            let origin = format!("made request {}, numbers from {low} to {high}", at + 1);
            let (api, route) = (api.name.clone(), api.route.clone());
            requests.push(ServiceRequest { api, route, body, content_type, origin });
        }
    }
    requests
}

/// A part of a form.
enum Part {
    Field(String),
    File(Vec<u8>, &'static str),
}

struct Maker<'m, 'a> {
    artifact: &'m Artifact<'a>,
    record: ApiRecord,
    rows: usize,
    /// Whether a value of one row is made.
    is_item: bool,
    range: (f64, f64),
    variant: usize,
    state: u64,
}

impl Maker<'_, '_> {
    /// A body and its content type.
    fn body(&mut self, input: &InputAdapter) -> Option<(Vec<u8>, String)> {
        let json = |value: Value| Some((value.to_string().into_bytes(), "application/json".to_owned()));
        match input {
            InputAdapter::Dataframe(frame) => json(self.frame(frame)?),
            InputAdapter::Value(parameter) => json(self.value(&parameter.kind)?),
            InputAdapter::Row(parameter) => json(self.item(single(&parameter.kind))?),
            InputAdapter::Text(parameter) => {
                let text = self.item(single(&parameter.kind))?;
                Some((text.as_str()?.as_bytes().to_vec(), "text/plain".to_owned()))
            }
            InputAdapter::Parameters(parameters) if parameters.iter().any(|other| has_image(&other.kind)) => {
                self.form(parameters)
            }
            InputAdapter::Parameters(parameters) => json(self.object(parameters)?),
            InputAdapter::File { parameters, .. } => match &parameters[..] {
                [only] => match single(&only.kind) {
                    ParameterKind::Image(image) => Some((self.picture(image)?, "image/bmp".to_owned())),
                    ParameterKind::Sound(sound) => Some((self.sound(sound)?, "audio/wav".to_owned())),
                    _ => None,
                },
                several => self.form(several),
            },
        }
    }

    fn form(&mut self, parameters: &[Parameter]) -> Option<(Vec<u8>, String)> {
        let mut body = Vec::new();
        for parameter in parameters {
            for part in self.parts(&parameter.kind)? {
                let name = &parameter.name;
                body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
                match part {
                    Part::Field(text) => body.extend(format!("\r\n\r\n{text}").bytes()),
                    Part::File(bytes, kind) => {
                        let ending = kind.rsplit('/').next().unwrap_or_default();
                        body.extend(format!("; filename=\"{name}.{ending}\"\r\nContent-Type: {kind}\r\n\r\n").bytes());
                        body.extend(bytes);
                    }
                }
                body.extend(b"\r\n");
            }
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        Some((body, format!("multipart/form-data; boundary={BOUNDARY}")))
    }

    fn parts(&mut self, kind: &ParameterKind) -> Option<Vec<Part>> {
        Some(match kind {
            ParameterKind::Image(image) => vec![Part::File(self.picture(image)?, "image/bmp")],
            ParameterKind::Sound(sound) => vec![Part::File(self.sound(sound)?, "audio/wav")],
            // Several files of one name, or an adapter of 0.13 that takes one.
            ParameterKind::Records(item) if has_image(item) => {
                let count = if self.variant.is_multiple_of(2) { 1 } else { 2 };
                let mut parts = Vec::new();
                for _ in 0..count {
                    parts.extend(self.parts(item)?);
                }
                parts
            }
            ParameterKind::Object(_) => {
                vec![Part::File(self.value(kind)?.to_string().into_bytes(), "application/json")]
            }
            other => vec![Part::Field(match self.value(other)? {
                Value::String(text) => text,
                value => value.to_string(),
            })],
        })
    }

    fn value(&mut self, kind: &ParameterKind) -> Option<Value> {
        match kind {
            ParameterKind::Array { input, .. } => self.array(*input),
            ParameterKind::Dataframe(frame) => self.frame(frame),
            ParameterKind::Scalar(scalar) => self.scalar(scalar),
            ParameterKind::Object(members) => self.object(members),
            ParameterKind::Records(item) => {
                let items = (0..self.rows).map(|_| self.item(item));
                items.collect::<Option<Vec<_>>>().map(Value::Array)
            }
            ParameterKind::Single(item) => self.item(item),
            ParameterKind::Image(_) | ParameterKind::Sound(_) => None,
        }
    }

    /// The value of one row: without the rows of its arrays.
    fn item(&mut self, kind: &ParameterKind) -> Option<Value> {
        let (rows, within) = (std::mem::replace(&mut self.rows, 1), std::mem::replace(&mut self.is_item, true));
        let value = self.value(kind);
        (self.rows, self.is_item) = (rows, within);
        match (kind, value?) {
            (ParameterKind::Dataframe(_), Value::Array(mut rows)) if rows.len() == 1 => rows.pop(),
            (_, value) => Some(value),
        }
    }

    /// An object; every other one has no members that have a default.
    fn object(&mut self, members: &[Parameter]) -> Option<Value> {
        let mut object = Map::new();
        for member in members {
            if member.default.is_none() || self.variant.is_multiple_of(2) {
                object.insert(member.name.clone(), self.value(&member.kind)?);
            }
        }
        Some(Value::Object(object))
    }

    fn tensor(&self, input: u32) -> Option<TensorRecord> {
        self.artifact.api_input(&self.record, input as usize)
    }

    /// Nested lists for an input.
    fn array(&mut self, input: u32) -> Option<Value> {
        let tensor = self.tensor(input)?;
        // The bytes of a text are no axis of the request's.
        let skipped = usize::from(tensor.spec.dtype == DType::Text);
        let dims = tensor.spec.shape.resolve(self.rows);
        let dims = dims.to_vec();
        let rows = usize::from(self.is_item && tensor.spec.shape.is_batch(0));
        let dims = &dims[rows..dims.len().saturating_sub(skipped).max(rows)];
        let elements = dims.iter().try_fold(1_usize, |product, length| product.checked_mul(*length))?;
        if elements > MOST_ELEMENTS { None } else { self.nested(&tensor, dims) }
    }

    fn nested(&mut self, tensor: &TensorRecord, dims: &[usize]) -> Option<Value> {
        match dims {
            [] => self.element(tensor),
            [length, rest @ ..] => {
                (0..*length).map(|_| self.nested(tensor, rest)).collect::<Option<Vec<_>>>().map(Value::Array)
            }
        }
    }

    /// One element of an input: a category that the model knows, a text, or a number.
    fn element(&mut self, tensor: &TensorRecord) -> Option<Value> {
        let dtype = tensor.spec.dtype;
        Some(match dtype {
            DType::Category | DType::Text => Value::String(self.text(tensor.spec.table)),
            DType::Bool => Value::Bool(self.below(2) == 1),
            _ if dtype.is_float() => json!(self.number(self.range.0, self.range.1)),
            _ => {
                let (low, high) = (self.range.0.max(0.0), self.range.1.clamp(1.0, 100.0));
                json!(self.number(low, high).round() as i64)
            }
        })
    }

    /// An entry of a table of categories, or a few words.
    fn text(&mut self, table: Option<u32>) -> String {
        let strings = self.artifact.strings();
        let known = table.and_then(|table| Some((table, strings.list_len(table).filter(|count| *count > 0)?)));
        if let Some((table, count)) = known {
            let at = self.below(u64::from(count)) as u32;
            return strings.list_item(table, at).unwrap_or_default().to_owned();
        }
        let count = 1 + self.below(6);
        let words: Vec<&str> = (0..count).map(|_| WORDS[self.below(WORDS.len() as u64) as usize]).collect();
        words.join(" ")
    }

    fn scalar(&mut self, scalar: &Scalar) -> Option<Value> {
        let tensor = self.tensor(scalar.input)?;
        if scalar.nullable && self.variant.is_multiple_of(3) {
            return Some(Value::Null);
        }
        let limits = &scalar.limits;
        if !limits.one_of.is_empty() {
            let at = self.below(limits.one_of.len() as u64) as usize;
            return serde_json::from_str(limits.one_of.get(at)?).ok();
        }
        let (low, high) = bounds(limits, self.range);
        Some(match scalar.kind {
            ScalarKind::Any => self.element(&tensor)?,
            ScalarKind::Number => json!(self.number(low, high)),
            ScalarKind::Integer => {
                let step = limits.multiple_of.unwrap_or(1.0);
                json!(((self.number(low, high) / step).floor() * step).max(low.ceil()) as i64)
            }
            ScalarKind::Boolean => Value::Bool(self.below(2) == 1),
            ScalarKind::Text => {
                let mut text = self.text(tensor.spec.table);
                while text.chars().count() < limits.min_length.unwrap_or(0) as usize {
                    text.push('x');
                }
                let most = limits.max_length.unwrap_or(u32::MAX) as usize;
                Value::String(text.chars().take(most).collect())
            }
        })
    }

    fn frame(&mut self, frame: &Frame) -> Option<Value> {
        let mut rows = Vec::new();
        let width = self.tensor(frame.input)?.spec.shape.resolve(self.rows).to_vec().get(1).copied();
        for _ in 0..self.rows {
            let count = if frame.inputs.is_empty() { width? } else { frame.inputs.len() };
            let cells = (0..count).map(|at| {
                let tensor = self.tensor(frame.inputs.get(at).copied().unwrap_or(frame.input))?;
                self.element(&tensor)
            });
            rows.push(cells.collect::<Option<Vec<_>>>()?);
        }
        Some(spelled(frame, rows))
    }

    /// An image of the size that an input says, or of one of [`SIZES`].
    fn picture(&mut self, image: &image::Image) -> Option<Vec<u8>> {
        let fixed = image.uses.iter().find(|made| !made.steps.iter().any(changes_size));
        let (width, height) = match fixed {
            Some(made) => {
                let tensor = self.tensor(made.input)?;
                let dims = tensor.spec.shape.resolve(1).to_vec();
                let start = usize::from(tensor.spec.shape.is_batched());
                (*dims.get(start + 1)?, *dims.get(start)?)
            }
            None => SIZES[self.variant % SIZES.len()],
        };
        if width.checked_mul(height)? > MOST_ELEMENTS { None } else { Some(self.bitmap(width, height)) }
    }

    /// Noise as a file of 16 bits a sample.
    fn sound(&mut self, sound: &Sound) -> Option<Vec<u8>> {
        let samples = self.tensor(sound.input)?.spec.shape.factors().last().copied()? as usize;
        if samples > MOST_ELEMENTS {
            return None;
        }
        let rate = sound.rate.unwrap_or(16_000);
        let data: Vec<u8> = (0..samples).flat_map(|_| (self.below(1 << 16) as u16).to_le_bytes()).collect();
        let mut out = b"RIFF".to_vec();
        out.extend((36 + data.len() as u32).to_le_bytes());
        out.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        out.extend(rate.to_le_bytes());
        out.extend((rate * 2).to_le_bytes());
        out.extend(b"\x02\0\x10\0data");
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        Some(out)
    }

    /// A bitmap of 24 bits (BITMAPINFOHEADER): slopes of colour with noise.
    fn bitmap(&mut self, width: usize, height: usize) -> Vec<u8> {
        let stride = (width * 3).next_multiple_of(4);
        let size = (54 + stride * height) as u32;
        let mut out = Vec::with_capacity(size as usize);
        out.extend(b"BM");
        for number in [size, 0, 54, 40, width as u32, height as u32, 1 | 24 << 16, 0, 0, 2835, 2835, 0, 0] {
            out.extend(number.to_le_bytes());
        }
        for y in 0..height {
            let start = out.len();
            for x in 0..width {
                for slope in [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)] {
                    out.push((slope as u64 * 3 / 4 + self.below(64)) as u8);
                }
            }
            out.resize(start + stride, 0);
        }
        out
    }

    /// A number between two others, of at most three decimals.
    fn number(&mut self, low: f64, high: f64) -> f64 {
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((low + fraction * (high - low)) * 1000.0).round() / 1000.0
    }

    fn below(&mut self, count: u64) -> u64 {
        self.next() % count.max(1)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// What a request has for one row.
fn single(kind: &ParameterKind) -> &ParameterKind {
    match kind {
        ParameterKind::Records(item) => item,
        other => other,
    }
}

fn has_image(kind: &ParameterKind) -> bool {
    match kind {
        ParameterKind::Image(_) | ParameterKind::Sound(_) => true,
        ParameterKind::Records(item) | ParameterKind::Single(item) => has_image(item),
        _ => false,
    }
}

fn changes_size(step: &image::ImageStep) -> bool {
    use image::ImageStep as Step;
    matches!(
        step,
        Step::Resize { .. } | Step::Crop(_) | Step::Fit { .. } | Step::ShorterSide { .. } | Step::CenterCrop { .. }
    )
}

/// The part of a range that limits leave, where they leave one.
fn bounds(limits: &Limits, (low, high): (f64, f64)) -> (f64, f64) {
    const NEAR: f64 = 1e-3;
    let least = limits.minimum.or(limits.exclusive_minimum.map(|bound| bound + NEAR));
    let most = limits.maximum.or(limits.exclusive_maximum.map(|bound| bound - NEAR));
    let (low, high) = (low.max(least.unwrap_or(low)), high.min(most.unwrap_or(high)));
    if low <= high { (low, high) } else { (least.unwrap_or(most.unwrap_or(0.0)), most.unwrap_or(least.unwrap_or(0.0))) }
}

/// A table as its orientation spells it: with names where they are known, else as lists.
fn spelled(frame: &Frame, rows: Vec<Vec<Value>>) -> Value {
    let names = (!frame.columns.is_empty()).then_some(&frame.columns);
    let record = |row: Vec<Value>| -> Value {
        match names {
            Some(names) => Value::Object(names.iter().cloned().zip(row).collect()),
            None => Value::Array(row),
        }
    };
    match (frame.orient, names) {
        (None | Some(Orient::Records), _) => Value::Array(rows.into_iter().map(record).collect()),
        (Some(Orient::Values), _) => Value::Array(rows.into_iter().map(Value::Array).collect()),
        (Some(Orient::Index), _) => {
            Value::Object(rows.into_iter().enumerate().map(|(at, row)| (at.to_string(), record(row))).collect())
        }
        (Some(Orient::Columns), _) => {
            let width = rows.first().map_or(0, Vec::len);
            let name = |at: usize| names.and_then(|names| names.get(at).cloned()).unwrap_or_else(|| at.to_string());
            let cells = |at: usize| -> Map<String, Value> {
                rows.iter()
                    .enumerate()
                    .filter_map(|(row, cells)| Some((row.to_string(), cells.get(at)?.clone())))
                    .collect()
            };
            Value::Object((0..width).map(|at| (name(at), Value::Object(cells(at)))).collect())
        }
        (Some(Orient::Split), _) => {
            let width = rows.first().map_or(0, Vec::len);
            let columns = names.cloned().unwrap_or_else(|| (0..width).map(|at| at.to_string()).collect());
            json!({ "columns": columns, "index": (0..rows.len()).collect::<Vec<_>>(), "data": rows })
        }
    }
}
