//! Answers jobs: reads their bodies, runs the model on as many of them at once as it may, and writes the responses.

use std::time::Duration;

use ekiben_runtime::artifact::manifest::{Api, InputAdapter, ParameterKind};
use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, Executor};

use super::contract::{self, Plain};
use super::identity::Uuid;
use super::job::{Job, Media};
use super::models::Model;
use super::response::{self, RequestName, ResponseHead};
use super::settings::Limits;
use crate::adapter::{
    Answer, Batch, BodyKind, DataError, JsonText, PlainText, first_part, read_csv, read_request, read_request_as,
};
use crate::score::{ScoreError, Scorer};

/// Everything that runs models on one thread.
pub(super) struct Engine<'a> {
    models: Vec<ModelEngine<'a>>,
    arena: ArenaBuffer,
    json: JsonText,
    limits: &'a Limits,
}

struct ModelEngine<'a> {
    is_old: bool,
    apis: Vec<ApiEngine<'a>>,
}

struct ApiEngine<'a> {
    scorer: Scorer<'a>,
    is_old: bool,
    /// What the service's schema calls the class of the input.
    class: String,
    /// Whether rows of several requests may run together, and how many.
    most_rows: usize,
    /// The rows of one request, and those of several.
    request: Batch<'a>,
    batch: Batch<'a>,
}

/// Rows of a run where the bento does not say.
const DEFAULT_ROWS: u32 = 100;

impl<'a> Engine<'a> {
    /// Prepares every API. `artifacts` are those of `models`.
    pub(super) fn new(models: &'a [Model], artifacts: &'a [Artifact<'a>], limits: &'a Limits) -> Self {
        let engines = models.iter().zip(artifacts).map(|(model, artifact)| {
            let apis = &model.session.manifest().apis;
            let is_old = model.is_old();
            // Models are opened only with a plan for every API.
            let scorers = (0..apis.len()).filter_map(|index| Scorer::new(artifact, apis, index).ok());
            let engine = |scorer: Scorer<'a>| {
                let class = input_class(model, &scorer.api.name);
                ApiEngine::new(scorer, is_old, class)
            };
            ModelEngine { is_old, apis: scorers.map(engine).collect() }
        });
        Self { models: engines.collect(), arena: ArenaBuffer::default(), json: JsonText::default(), limits }
    }

    /// Requests of this API that [`Engine::answer`] takes at once.
    pub(super) fn most_jobs(&self, model: usize, api: usize) -> usize {
        self.models.get(model).and_then(|model| model.apis.get(api)).map_or(1, |api| api.most_rows)
    }

    /// Answers jobs of one API.
    pub(super) fn answer(&mut self, jobs: &mut [Job]) {
        let Some(first) = jobs.first() else { return };
        let (model, api) = (first.model, first.api);
        let Some(model) = self.models.get_mut(model) else {
            return jobs.iter_mut().for_each(|job| write_plain(job, &Plain::not_found(false)));
        };
        let is_old = model.is_old;
        let Some(api) = model.apis.get_mut(api) else {
            return jobs.iter_mut().for_each(|job| write_plain(job, &Plain::not_found(is_old)));
        };
        for job in jobs.iter_mut().filter(|job| job.received.elapsed() > api.patience(self.limits)) {
            write_plain(job, &Plain::overloaded(is_old));
        }
        let together = jobs.len() > 1 && api.answer_together(jobs, &mut self.arena, &mut self.json, self.limits);
        if !together {
            for job in jobs.iter_mut().filter(|job| job.status == 0) {
                api.answer_alone(job, &mut self.arena, &mut self.json, self.limits);
            }
        }
    }
}

impl<'a> ApiEngine<'a> {
    fn new(scorer: Scorer<'a>, is_old: bool, class: String) -> Self {
        let (artifact, record) = (scorer.artifact, scorer.record);
        let inputs = (0..record.inputs.into()).map(|index| artifact.api_input(&record, index));
        let outputs = (0..record.outputs.into()).map(|index| artifact.api_output(&record, index));
        let by_rows = |tensor: ekiben_runtime::artifact::tensors::TensorRecord| {
            let shape = tensor.spec.shape;
            shape.batch_axis() == Some(0) && shape.factor(0) == Some(1)
        };
        let separable = record.fixed_rows == 0
            && record.states == 0
            && scorer.api.batch
            && inputs.chain(outputs).all(|tensor| tensor.is_some_and(by_rows));
        let most_rows = if separable { scorer.api.max_batch_size.unwrap_or(DEFAULT_ROWS).max(1) as usize } else { 1 };
        let batch = Batch::new(artifact, &record);
        Self { is_old, class, most_rows, request: batch.clone(), batch, scorer }
    }

    fn api(&self) -> &'a Api {
        self.scorer.api
    }

    /// How long a request may wait.
    fn patience(&self, limits: &Limits) -> Duration {
        self.api().max_latency_ms.map_or(limits.queue_time, |limit| Duration::from_millis(limit.into()))
    }

    /// Reads the body of a job as the rows of `self.request`.
    fn read(&mut self, job: &Job, limits: &Limits) -> Result<(), DataError> {
        let api = self.scorer.api;
        let body = job.body();
        if depth_exceeds(body, limits.json_depth) && job.media == Media::Json && !takes_files(api) {
            return Err(DataError::Json(format!("nested deeper than {} lists and objects", limits.json_depth)));
        }
        let body = if body.is_empty() && !self.is_old && job.media == Media::Json { b"{}" } else { body };
        match (&api.input, job.media, self.is_old) {
            (InputAdapter::Dataframe(_), Media::Csv, true) => read_csv(api, body, &mut self.request),
            // A form's file stands for the body, whose type is that of the form: JSON.
            (InputAdapter::Dataframe(_) | InputAdapter::Row(_) | InputAdapter::Value(_), Media::Form, true) => {
                let part = first_part(body)?;
                if !matches!(part.trim_ascii_start(), [b'[' | b'{', ..]) {
                    return Err(DataError::Json("a form's file must be JSON".to_owned()));
                }
                read_request(api, &part, &mut self.request)
            }
            (InputAdapter::Dataframe(_), _, true) if !matches!(body.trim_ascii_start(), [b'[' | b'{', ..]) => {
                Err(DataError::Json("a table is a list or an object".to_owned()))
            }
            (_, _, true) => read_request(api, body, &mut self.request),
            // Services with runners take the files of their descriptors as they come.
            _ if !api.wire.input.is_empty() => read_request(api, body, &mut self.request),
            (_, Media::Form, false) => read_request_as(api, body, BodyKind::Form, &mut self.request),
            (_, Media::UrlEncoded, false) => read_request_as(api, body, BodyKind::UrlEncoded, &mut self.request),
            (_, _, false) => read_json(api, body, &mut self.request),
        }
    }

    fn answer_alone(&mut self, job: &mut Job, arena: &mut ArenaBuffer, json: &mut JsonText, limits: &Limits) {
        if let Err(error) = self.read(job, limits) {
            let plain = contract::refused(self.api(), &self.class, self.is_old, job.body(), &error);
            return write_plain(job, &plain);
        }
        let rows = self.request.rows;
        let outcome = self.run(rows, false, arena, limits, |api, executor| {
            let answer = Answer::new(api.scorer.artifact, executor)?;
            api.write(job, &answer, json)
        });
        job.batch_rows = u32::try_from(rows).unwrap_or(u32::MAX);
        if let Err(failure) = outcome {
            write_plain(job, &self.failure(failure));
        }
    }

    /// Runs the rows of all jobs at once; false where they must run one by one. Jobs that are refused are answered either way.
    fn answer_together(
        &mut self,
        jobs: &mut [Job],
        arena: &mut ArenaBuffer,
        json: &mut JsonText,
        limits: &Limits,
    ) -> bool {
        self.batch.clear();
        for job in jobs.iter_mut().filter(|job| job.status == 0) {
            match self.read(job, limits) {
                Ok(()) => {
                    job.batch_rows = u32::try_from(self.request.rows).unwrap_or(u32::MAX);
                    self.batch.append(&self.request);
                }
                Err(error) => {
                    let plain = contract::refused(self.api(), &self.class, self.is_old, job.body(), &error);
                    write_plain(job, &plain);
                }
            }
        }
        if self.batch.rows == 0 {
            return true;
        }
        if self.batch.rows > self.most_rows {
            return false;
        }
        let all = self.batch.rows;
        let outcome = self.run(all, true, arena, limits, |api, executor| {
            let mut first = 0;
            for job in jobs.iter_mut().filter(|job| job.status == 0) {
                let rows = job.batch_rows as usize;
                let answer = Answer::part(api.scorer.artifact, executor, first, rows)?;
                api.write(job, &answer, json)?;
                first += rows;
                job.batch_rows = u32::try_from(all).unwrap_or(u32::MAX);
            }
            Ok(())
        });
        outcome.is_ok()
    }

    /// Runs the model on the rows of the batch, or of the one request, and lets `write` have the outputs.
    fn run(
        &self,
        rows: usize,
        is_batch: bool,
        arena: &mut ArenaBuffer,
        limits: &Limits,
        write: impl FnOnce(&Self, &Executor<'_, '_>) -> Result<(), ScoreError>,
    ) -> Result<(), Failure> {
        let needed = self.scorer.arena_bytes(rows).map_err(|error| Failure::Run(error.into()))?;
        if needed > limits.memory {
            return Err(Failure::Memory { rows, needed });
        }
        let executor = Executor::new(self.scorer.artifact, self.scorer.index, rows, arena.get(needed));
        let mut executor = executor.map_err(|error| Failure::Run(error.into()))?;
        let inputs = if is_batch { &self.batch } else { &self.request };
        inputs.run(&mut executor).map_err(|error| Failure::Run(error.into()))?;
        write(self, &executor).map_err(Failure::Run)
    }

    fn failure(&self, failure: Failure) -> Plain {
        match failure {
            Failure::Run(error) => contract::failed(self.api(), self.is_old, &error.to_string()),
            Failure::Memory { rows, needed } => {
                let reason = format!("{rows} rows need {needed} bytes of memory, more than this server may use");
                Plain::error(self.is_old, 413, &reason)
            }
        }
    }

    /// Writes what the API returns as the job's response.
    fn write(&self, job: &mut Job, answer: &Answer<'_>, json: &mut JsonText) -> Result<(), ScoreError> {
        let api = self.api();
        let form = contract::form(api, self.is_old);
        let head = ResponseHead {
            name: Some(name(job, self.is_old)),
            is_chunked: form.is_chunked && job.is_1_1,
            is_bare: job.is_head,
            ..ResponseHead::new(200, form.content_type, job.keep_alive)
        };
        if api.is_text {
            let mut plain = PlainText::default();
            walk(api, answer, &mut plain)?;
            let text = plain.finish()?;
            response::write(&mut job.response, &head, text.as_bytes());
        } else {
            json.clear();
            json.set_style(form.style);
            walk(api, answer, json)?;
            response::write(&mut job.response, &head, json.text());
        }
        job.status = 200;
        Ok(())
    }
}

/// The class of an API's input, as the service's schema names it.
fn input_class(model: &Model, api: &str) -> String {
    let schema: Option<serde_json::Value> = serde_json::from_str(&model.session.manifest().documents.schema).ok();
    let route = schema.as_ref().and_then(|schema| schema.get("routes")?.as_array());
    let route = route.and_then(|routes| routes.iter().find(|route| route["name"] == api));
    let title = route.and_then(|route| route.pointer("/input/title")?.as_str());
    title.unwrap_or("Input").to_owned()
}

/// Reads JSON where an API may take files, which are then missing.
fn read_json(api: &Api, body: &[u8], request: &mut Batch<'_>) -> Result<(), DataError> {
    let is_raw = match &api.input {
        InputAdapter::Value(parameter) => matches!(parameter.kind, ParameterKind::Image(_) | ParameterKind::Sound(_)),
        _ => false,
    };
    let kind = if is_raw { BodyKind::Unknown } else { BodyKind::Json };
    read_request_as(api, body, kind, request)
}

/// Why a request that was read is not answered.
enum Failure {
    Run(ScoreError),
    Memory { rows: usize, needed: usize },
}

fn walk(api: &Api, answer: &Answer<'_>, sink: &mut dyn crate::adapter::Sink) -> Result<(), ScoreError> {
    match api.input.is_row() {
        true => answer.row(&api.returns, 0, sink)?,
        false => answer.whole(&api.returns, sink)?,
    }
    Ok(())
}

fn takes_files(api: &Api) -> bool {
    matches!(api.input, InputAdapter::File { .. } | InputAdapter::Text(_))
}

/// Whether JSON text nests deeper than `most`, without reading more of it than brackets and texts.
fn depth_exceeds(text: &[u8], most: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for &byte in text {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn name(job: &Job, is_old: bool) -> RequestName {
    match is_old {
        true => RequestName::Uuid(Uuid(job.identity.0, job.identity.1)),
        false => RequestName::Short(job.identity.0),
    }
}

/// Writes an answer that is none of a model as the job's response.
pub(super) fn write_plain(job: &mut Job, plain: &Plain) {
    let named = if plain.status == 429 { None } else { Some(job.identity) };
    // The style of the name is told by the content type alone where no model is at hand: 1.x errors are JSON.
    let is_old = plain.content_type != contract::JSON;
    let head = ResponseHead {
        name: named.map(|_| name(job, is_old)),
        more: &plain.more,
        is_bare: job.is_head,
        ..ResponseHead::new(plain.status, plain.content_type, job.keep_alive)
    };
    job.response.clear();
    response::write(&mut job.response, &head, plain.body.as_bytes());
    job.status = plain.status;
}

#[cfg(test)]
mod tests {
    use super::depth_exceeds;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        assert!(!depth_exceeds(br#"[[1, "[[[[\"[["], {"a": []}]"#, 3));
        assert!(depth_exceeds(b"[[[[", 3));
        assert!(!depth_exceeds(b"[][][][]", 1));
    }
}
