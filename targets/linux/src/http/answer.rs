//! From a request that is complete to its answer, and back to the connection.

use std::time::Instant;

use super::access::Access;
use super::body;
use super::connection::{Connection, Phase};
use super::contract::{self, Plain};
use super::engine::write_plain;
use super::head::{Encoding, Framing, Head, Method};
use super::identity::Uuid;
use super::job::{Job, Media, Purpose};
use super::metrics::Drop;
use super::models::Model;
use super::page;
use super::response::{self, ResponseHead};
use super::routes::{self, Document, Route, TaskStep};
use super::server::{Progress, Server};
use super::tasks::Asked;

impl Server<'_> {
    /// A request is complete; its body ends at `end` of the input, or has been decoded.
    pub(super) fn dispatch(
        &mut self,
        index: usize,
        connection: &mut Connection,
        head: &Head,
        end: usize,
        models: &[Model],
    ) -> Progress {
        if self.incoming.is_some() {
            self.held.push(index);
            return Progress::Waits;
        }
        let is_old = all_old(models);
        let keep_alive = head.keep_alive && self.drain_until.is_none();
        let is_head = head.method == Method::Head;
        let answer = |server: &mut Self, connection: &mut Connection, plain: &Plain| {
            server.reply(connection, plain, keep_alive, is_head);
            server.consume(connection, end);
            Progress::Went
        };
        let path = text(&connection.input, &head.path);
        let Some(route) = routes::find(models, path) else {
            let plain = match path.strip_suffix('/').filter(|path| !is_old && routes::find(models, path).is_some()) {
                Some(path) => contract::moved(path),
                None => Plain::not_found(is_old),
            };
            return answer(self, connection, &plain);
        };
        let allowed = route.allowed(models);
        if !allowed.is_empty() && !allowed.contains(&head.method) {
            return answer(self, connection, &Plain::method_not_allowed(is_old, allow(allowed)));
        }
        if head.method == Method::Options && allowed.contains(&Method::Options) {
            return answer(self, connection, &Plain::options(allow(allowed)));
        }
        if head.encoding != Encoding::Identity {
            let raw = match head.framing {
                Framing::Length(_) => &connection.input[head.length..end],
                Framing::Chunked => &connection.decoded[..],
            };
            let mut unpacked = Vec::new();
            if let Err(error) = body::decode(head.encoding, raw, &mut unpacked, self.settings.limits.body) {
                return answer(self, connection, &Plain::error(is_old, error.status(), &error.to_string()));
            }
            connection.decoded = unpacked;
        }
        let is_decoded = head.encoding != Encoding::Identity || head.framing == Framing::Chunked;
        match route {
            Route::Api(model, api) => {
                let media = Media::of(&connection.input[head.content_type.clone()]);
                if media == Media::Pickle {
                    return answer(self, connection, &Plain::pickle_refused());
                }
                if self.exchange.waiting() >= self.settings.limits.queue {
                    self.metrics.drop_one(Drop::Queue);
                    return answer(self, connection, &Plain::overloaded(models[model].is_old()));
                }
                let (request, range) = if is_decoded {
                    let decoded = std::mem::take(&mut connection.decoded);
                    connection.input.drain(..end);
                    connection.taken = 0;
                    let length = decoded.len();
                    (decoded, 0..length)
                } else {
                    connection.taken = end;
                    (std::mem::take(&mut connection.input), head.length..end)
                };
                let job = Job {
                    connection: index,
                    serial: connection.serial,
                    model,
                    api,
                    purpose: Purpose::Reply,
                    media,
                    is_1_1: head.is_1_1,
                    is_head,
                    keep_alive,
                    request,
                    body: range,
                    identity: (self.identities.next(), self.identities.next()),
                    received: connection.received,
                    response: self.buffer(),
                    status: 0,
                    batch_rows: 0,
                };
                connection.phase = Phase::Waiting;
                self.outstanding += 1;
                self.exchange.push(job);
                Progress::Waits
            }
            other => {
                let raw = if is_decoded { &connection.decoded[..] } else { &connection.input[head.length..end] };
                let query = text(&connection.input, &head.query);
                let media = Media::of(&connection.input[head.content_type.clone()]);
                match self.plain(other, query, media, raw, models) {
                    Ok(plain) => answer(self, connection, &plain),
                    Err((status, response)) => {
                        connection.output.extend_from_slice(&response);
                        connection.closes = !keep_alive;
                        self.finish(connection, status, 0);
                        self.consume(connection, end);
                        Progress::Went
                    }
                }
            }
        }
    }

    /// The answer of a route without a model, or the status and the bytes of a response that was made before.
    pub(super) fn plain(
        &mut self,
        route: Route,
        query: &str,
        media: Media,
        body: &[u8],
        models: &[Model],
    ) -> Result<Plain, (u16, Vec<u8>)> {
        let is_old = all_old(models);
        let documents = |model: usize| &models[model].session.manifest().documents;
        Ok(match route {
            Route::Page => Plain { more: page::head().into(), ..Plain::new(200, contract::HTML, self.page.clone()) },
            Route::Health if self.drain_until.is_some() => Plain::new(503, contract::TEXT, "the server ends\n"),
            Route::Health => Plain::new(200, contract::TEXT, "\n"),
            Route::Metrics => {
                let kind = if is_old { contract::HTML } else { "text/plain; version=1.0.0; charset=utf-8" };
                Plain::new(200, kind, self.metrics.text(self.exchange.waiting()))
            }
            Route::Document(model, Document::OpenApi) => {
                Plain::new(200, contract::JSON, documents(model).openapi.clone())
            }
            Route::Document(model, Document::Schema) => {
                Plain::new(200, contract::JSON, documents(model).schema.clone())
            }
            Route::Document(model, Document::Metadata) => {
                Plain::new(200, contract::JSON, format!("{}\n", documents(model).metadata))
            }
            Route::Document(_, Document::Feedback) => match contract::feedback_problem(body) {
                Some(plain) => plain,
                None => {
                    let line: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).collect();
                    eprintln!("feedback: {line}");
                    Plain::new(200, contract::HTML, "success")
                }
            },
            Route::Task(model, api, step) => {
                let id = query.split('&').find_map(|pair| pair.strip_prefix("task_id="));
                match step {
                    TaskStep::Status => self.tasks.status(id),
                    TaskStep::Cancel => self.tasks.cancel(id),
                    TaskStep::Get => {
                        return self
                            .tasks
                            .result(id)
                            .map_or_else(Ok, |(status, response)| Err((status, response.to_vec())));
                    }
                    TaskStep::Submit => self.submit(Asked { model, api, media, body: body.to_vec() }),
                    TaskStep::Retry => match self.tasks.asked(id) {
                        Ok(asked) => self.submit(asked),
                        Err(plain) => plain,
                    },
                }
            }
            Route::Api(..) => Plain::not_found(is_old),
        })
    }

    pub(super) fn submit(&mut self, asked: Asked) -> Plain {
        if self.exchange.waiting() >= self.settings.limits.queue {
            self.metrics.drop_one(Drop::Queue);
            return Plain::overloaded(false);
        }
        let id = Uuid(self.identities.next(), self.identities.next());
        let Some((number, plain)) = self.tasks.submit(&asked, id) else {
            self.metrics.drop_one(Drop::Memory);
            return Plain::overloaded(false);
        };
        let length = asked.body.len();
        let job = Job {
            connection: usize::MAX,
            serial: 0,
            model: asked.model,
            api: asked.api,
            purpose: Purpose::Task(number),
            media: asked.media,
            is_1_1: true,
            is_head: false,
            keep_alive: true,
            request: asked.body,
            body: 0..length,
            identity: (self.identities.next(), self.identities.next()),
            received: Instant::now(),
            response: self.buffer(),
            status: 0,
            batch_rows: 0,
        };
        self.outstanding += 1;
        self.exchange.push(job);
        plain
    }

    /// The request is used up to `end`.
    pub(super) fn consume(&mut self, connection: &mut Connection, end: usize) {
        connection.input.drain(..end.min(connection.input.len()));
        connection.head = None;
        connection.chunks = None;
        connection.decoded = Vec::new();
        connection.phase = Phase::Idle;
        connection.deadline = Instant::now() + self.settings.limits.idle_time;
    }

    /// Appends an answer of the server itself.
    pub(super) fn reply(&mut self, connection: &mut Connection, plain: &Plain, keep_alive: bool, is_head: bool) {
        let head = ResponseHead {
            more: &plain.more,
            is_bare: is_head,
            ..ResponseHead::new(plain.status, plain.content_type, keep_alive)
        };
        response::write(&mut connection.output, &head, plain.body.as_bytes());
        connection.closes |= !keep_alive;
        connection.deadline = Instant::now() + self.settings.limits.write_time;
        self.finish(connection, plain.status, 0);
    }

    /// Counts and logs a request that has its answer.
    pub(super) fn finish(&mut self, connection: &mut Connection, status: u16, batch_rows: u32) {
        let took = connection.received.elapsed();
        if let Some(series) = connection.series.take() {
            self.metrics.end(series, status, took, batch_rows);
        }
        let (Some(log), Some((line, received))) = (&mut self.log, connection.line.take()) else { return };
        let (method, path) = line.split_once(' ').unwrap_or((&line, ""));
        let peer = connection.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
        log.add(&Access { peer: &peer, method, path, status, received, sent: connection.output.len(), took });
    }

    /// Gives the answer of a job to the connection that asked.
    pub(super) fn deliver(&mut self, mut job: Job, models: &[Model]) {
        self.outstanding -= 1;
        if job.status == 0 {
            write_plain(&mut job, &contract::failed_unknown(all_old(models)));
        }
        if let Purpose::Task(number) = job.purpose {
            self.tasks.end(number, job.status, &job.response);
            return self.recycle(job.response);
        }
        let index = job.connection;
        let is_same = |connection: &&mut Connection| connection.serial == job.serial;
        let asked = self.connections.get_mut(index).and_then(Option::as_mut).filter(is_same).is_some();
        let Some(mut connection) = asked.then(|| self.connections[index].take()).flatten() else {
            self.recycle(job.request);
            return self.recycle(job.response);
        };
        if connection.output.is_empty() {
            std::mem::swap(&mut connection.output, &mut job.response);
        } else {
            connection.output.extend_from_slice(&job.response);
        }
        self.recycle(job.response);
        connection.closes |= !job.keep_alive;
        self.finish(&mut connection, job.status, job.batch_rows);
        if connection.taken > 0 {
            connection.input = job.request;
        } else {
            self.recycle(job.request);
        }
        let end = std::mem::take(&mut connection.taken);
        self.consume(&mut connection, end);
        connection.deadline = Instant::now() + self.settings.limits.write_time;
        self.connections[index] = Some(connection);
        self.drive(index, models);
    }
}

pub(super) fn all_old(models: &[Model]) -> bool {
    models.iter().all(Model::is_old)
}

pub(super) fn text<'b>(buffer: &'b [u8], range: &std::ops::Range<usize>) -> &'b str {
    std::str::from_utf8(buffer.get(range.clone()).unwrap_or_default()).unwrap_or_default()
}

fn allow(methods: &[Method]) -> &'static str {
    match methods.first() {
        Some(Method::Get) => "Allow: GET, HEAD\r\n",
        Some(Method::Put) => "Allow: PUT\r\n",
        Some(Method::Post) if methods.contains(&Method::Get) => "Allow: GET, HEAD, OPTIONS, POST\r\n",
        Some(Method::Post) if methods.contains(&Method::Options) => "Allow: OPTIONS, POST\r\n",
        _ => "Allow: POST\r\n",
    }
}
