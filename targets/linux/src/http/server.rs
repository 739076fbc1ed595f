//! The loop: sockets, timers, signals, and the way of a request through the other modules.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use subtle::ConstantTimeEq;

use super::access::AccessLog;
use super::answer::{all_old, text};
use super::body::Chunks;
use super::connection::{Connection, Phase, ReadOutcome, Stream};
use super::contract::{self, Plain};
use super::engine::Engine;
use super::head::{self, Framing, Head, HeadError, Method};
use super::identity::Identities;
use super::listen::{Listener, bind, raise_descriptor_limit};
use super::metrics::{Drop, Metrics};
use super::models::{Model, ServeError};
use super::page;
use super::routes::{self, Route};
use super::settings::{Address, ModelFile, Settings};
use super::tasks::Tasks;
use super::workers::Exchange;

const WAKER: Token = Token(0);
/// Tokens of listeners come after this one, and of connections after those.
const FIRST_LISTENER: usize = 1;
/// Connections beyond the limit that are told so.
const SPARE_CONNECTIONS: usize = 64;
/// Buffers that are kept for later, and the largest of them.
const POOLED: usize = 64;
const LARGEST_POOLED: usize = 256 << 10;
/// Time between two looks at timers and files.
const TICK: Duration = Duration::from_secs(1);
/// Time in which a client that is told that its connection ends may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// Stops or reloads a server from another thread.
#[derive(Clone, Debug)]
pub struct Control {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Control {
    /// Lets the server answer what was asked, and then end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // The server looks at its flags every second besides.
        let _ = self.waker.wake();
    }

    /// Lets the server open its artifacts anew.
    pub fn reload(&self) {
        self.reload.store(true, Ordering::Release);
        let _ = self.waker.wake();
    }
}

/// Serves artifacts until it is told to stop, by SIGTERM, SIGINT or the [`Control`] that `ready` is given together with the
/// addresses once the server listens.
///
/// # Errors
/// [`ServeError`], before it listens. Afterwards, only the system's refusal to poll.
pub fn serve(settings: &Settings, ready: impl FnOnce(&Control, &[Address])) -> Result<(), ServeError> {
    let mut models = Model::open_all(&settings.models)?;
    let mut server = Server::listen(settings, &models)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, server.control.stop.clone())?;
    }
    signal_hook::flag::register(signal_hook::consts::SIGHUP, server.control.reload.clone())?;
    ready(&server.control, &server.addresses);
    // Outside of systemd there is nobody to tell.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    loop {
        match server.serve_models(&models)? {
            Some(new) => {
                models = new;
                server.use_models(&models);
            }
            None => return Ok(()),
        }
    }
}

pub(super) struct Server<'s> {
    pub(super) settings: &'s Settings,
    pub(super) poll: Poll,
    pub(super) control: Control,
    pub(super) listeners: Vec<Listener>,
    pub(super) addresses: Vec<Address>,
    pub(super) connections: Vec<Option<Connection>>,
    pub(super) free: Vec<usize>,
    pub(super) by_address: HashMap<IpAddr, usize>,
    pub(super) pool: Vec<Vec<u8>>,
    pub(super) serial: u64,
    pub(super) metrics: Metrics,
    pub(super) log: Option<AccessLog>,
    pub(super) identities: Identities,
    pub(super) tasks: Tasks,
    pub(super) exchange: Arc<Exchange>,
    /// Jobs that are asked for and not delivered.
    pub(super) outstanding: usize,
    pub(super) page: String,
    /// When the server must end.
    pub(super) drain_until: Option<Instant>,
    /// Artifacts that are being opened, and those that wait for the jobs of the old ones.
    pub(super) opening: Option<mpsc::Receiver<Result<Vec<Model>, ServeError>>>,
    pub(super) incoming: Option<Vec<Model>>,
    /// Connections whose requests wait for new artifacts.
    pub(super) held: Vec<usize>,
    pub(super) prints: Vec<Option<FilePrint>>,
    pub(super) watchdog: bool,
}

/// What tells a file from the one that it replaced.
type FilePrint = (u64, u64, u64, i64, i64);

fn print_of(file: &ModelFile) -> Option<FilePrint> {
    let metadata = std::fs::metadata(&file.path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// What became of a look at a connection's input.
pub(super) enum Progress {
    /// More is needed.
    Starved,
    /// An answer was written, or a part of a request used.
    Went,
    /// A model is asked, or the request waits for new artifacts.
    Waits,
}

impl<'s> Server<'s> {
    fn listen(settings: &'s Settings, models: &[Model]) -> Result<Self, ServeError> {
        raise_descriptor_limit(settings.limits.connections + SPARE_CONNECTIONS + 64);
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for (index, address) in settings.addresses.iter().enumerate() {
            let failed = |error| ServeError::Listen { address: address.to_string(), error };
            let (mut listener, bound) = bind(address).map_err(failed)?;
            let token = Token(FIRST_LISTENER + index);
            match &mut listener {
                Listener::Tcp(listener) => poll.registry().register(listener, token, Interest::READABLE)?,
                Listener::Unix(listener) => poll.registry().register(listener, token, Interest::READABLE)?,
            }
            listeners.push(listener);
            addresses.push(bound);
        }
        let mut watchdog_time = 0;
        Ok(Self {
            settings,
            poll,
            control: Control { stop: Arc::default(), reload: Arc::default(), waker },
            listeners,
            addresses,
            connections: Vec::new(),
            free: Vec::new(),
            by_address: HashMap::new(),
            pool: Vec::with_capacity(POOLED),
            serial: 0,
            metrics: Metrics::new(models),
            log: settings.access_log.map(AccessLog::new),
            identities: Identities::new(),
            tasks: Tasks::default(),
            exchange: Arc::new(Exchange::new(settings.limits.queue)),
            outstanding: 0,
            page: page::page(models),
            drain_until: None,
            opening: None,
            incoming: None,
            held: Vec::new(),
            prints: settings.models.iter().map(print_of).collect(),
            watchdog: sd_notify::watchdog_enabled(false, &mut watchdog_time),
        })
    }

    fn use_models(&mut self, models: &[Model]) {
        self.metrics.set_models(models);
        self.metrics.reloads += 1;
        self.page = page::page(models);
        eprintln!("reloaded: {}", described(models));
    }

    /// Serves these models until others take their place, which it returns, or the server ends.
    fn serve_models(&mut self, models: &[Model]) -> Result<Option<Vec<Model>>, ServeError> {
        let settings = self.settings;
        let artifacts: Vec<_> = models.iter().map(|model| model.session.artifact()).collect();
        for index in std::mem::take(&mut self.held) {
            self.drive(index, models);
        }
        if settings.workers == 0 {
            let mut engine = Engine::new(models, &artifacts, &settings.limits);
            return self.run(models, Some(&mut engine));
        }
        let exchange = self.exchange.clone();
        exchange.set_ends(false);
        let waker = self.control.waker.clone();
        std::thread::scope(|scope| {
            for _ in 0..settings.workers {
                scope.spawn(|| exchange.work(&mut Engine::new(models, &artifacts, &settings.limits), &waker));
            }
            let outcome = self.run(models, None);
            exchange.set_ends(true);
            outcome
        })
    }

    fn run(&mut self, models: &[Model], mut engine: Option<&mut Engine<'_>>) -> Result<Option<Vec<Model>>, ServeError> {
        let mut events = Events::with_capacity(256);
        let mut group = Vec::with_capacity(self.settings.limits.queue);
        let mut next_tick = Instant::now() + TICK;
        loop {
            let is_busy = engine.is_some() && self.exchange.waiting() > 0;
            let wait = if is_busy { Duration::ZERO } else { next_tick.saturating_duration_since(Instant::now()) };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            for event in &events {
                let Token(token) = event.token();
                let first_connection = self.first_connection();
                if event.token() == WAKER {
                } else if token < first_connection {
                    self.accept(token - FIRST_LISTENER);
                } else {
                    let index = token - first_connection;
                    if let Some(Some(connection)) = self.connections.get_mut(index) {
                        connection.is_ending |= event.is_read_closed();
                        connection.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                        connection.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
                        self.drive(index, models);
                    }
                }
            }
            match &mut engine {
                Some(engine) => {
                    self.exchange.take(&mut group, |model, api| engine.most_jobs(model, api));
                    engine.answer(&mut group);
                }
                None => self.exchange.collect(&mut group),
            }
            for job in group.drain(..) {
                self.deliver(job, models);
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                self.tick();
            }
            self.follow_orders();
            if let Some(new) = self.incoming.take_if(|_| self.outstanding == 0) {
                return Ok(Some(new));
            }
            if self.has_ended() {
                return Ok(None);
            }
        }
    }

    /// Looks at flags and at what other threads have for it.
    fn follow_orders(&mut self) {
        if self.control.stop.load(Ordering::Acquire) && self.drain_until.is_none() {
            self.drain_until = Some(Instant::now() + self.settings.limits.drain_time);
            let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
            self.listeners.clear();
            for index in 0..self.connections.len() {
                let is_idle = |c: &Connection| c.phase == Phase::Idle && c.is_flushed();
                if self.connections[index].as_ref().is_some_and(is_idle) {
                    self.close(index);
                }
            }
        }
        if self.control.reload.swap(false, Ordering::AcqRel) {
            self.open_models();
        }
        let Some(opening) = &self.opening else { return };
        match opening.try_recv() {
            Ok(Ok(models)) => {
                self.opening = None;
                self.incoming = Some(models);
            }
            Ok(Err(error)) => {
                self.opening = None;
                self.metrics.failed_reloads += 1;
                eprintln!("not reloaded, the artifact before it is served on: {error}");
            }
            Err(mpsc::TryRecvError::Empty) => {}
            Err(mpsc::TryRecvError::Disconnected) => self.opening = None,
        }
    }

    /// Opens and tests the artifacts on a thread of its own.
    fn open_models(&mut self) {
        if self.opening.is_some() || self.incoming.is_some() || self.drain_until.is_some() {
            // Asked again once this is done.
            self.control.reload.store(self.drain_until.is_none(), Ordering::Release);
            return;
        }
        self.prints = self.settings.models.iter().map(print_of).collect();
        let (files, waker) = (self.settings.models.clone(), self.control.waker.clone());
        let (send, receive) = mpsc::channel();
        let spawned = std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            // The server may have ended meanwhile.
            let _ = send.send(Model::open_all(&files));
            let _ = waker.wake();
        });
        match spawned {
            Ok(_) => self.opening = Some(receive),
            Err(error) => eprintln!("not reloaded: {error}"),
        }
    }

    fn has_ended(&self) -> bool {
        let Some(until) = self.drain_until else { return false };
        let all_closed = self.connections.iter().all(Option::is_none);
        (all_closed && self.outstanding == 0) || Instant::now() >= until
    }

    fn tick(&mut self) {
        if self.watchdog {
            let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]);
        }
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let prints: Vec<_> = self.settings.models.iter().map(print_of).collect();
        if prints != self.prints && prints.iter().all(Option::is_some) {
            self.open_models();
        }
        let now = Instant::now();
        for index in 0..self.connections.len() {
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
            if now < connection.deadline {
                continue;
            }
            match connection.phase {
                Phase::Waiting if connection.is_flushed() => {}
                Phase::Head | Phase::Body if connection.is_flushed() => {
                    self.metrics.drop_one(Drop::Time);
                    let Some(mut connection) = self.connections[index].take() else { continue };
                    let plain = Plain::error(false, 408, "the request took too long to arrive");
                    self.reply(&mut connection, &plain, false, false);
                    self.put_back(index, connection);
                }
                _ => self.close(index),
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        loop {
            let accepted = match self.listeners.get(listener) {
                Some(Listener::Tcp(listener)) => listener.accept().map(|(stream, peer)| {
                    // Without it an answer may wait for the client's acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    (Stream::Tcp(stream), Some(peer.ip()))
                }),
                Some(Listener::Unix(listener)) => listener.accept().map(|(stream, _)| (Stream::Unix(stream), None)),
                None => return,
            };
            match accepted {
                Ok((stream, peer)) => self.welcome(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return,
            }
        }
    }

    /// Token of the first connection, which stays when the server listens no more.
    fn first_connection(&self) -> usize {
        FIRST_LISTENER + self.addresses.len()
    }

    fn welcome(&mut self, stream: Stream, peer: Option<IpAddr>) {
        let limits = &self.settings.limits;
        let open = self.connections.len() - self.free.len();
        if open >= limits.connections + SPARE_CONNECTIONS {
            self.metrics.drop_one(Drop::Connections);
            return;
        }
        let from_peer = peer.map_or(0, |peer| self.by_address.get(&peer).copied().unwrap_or(0));
        let is_welcome = open < limits.connections && from_peer < limits.connections_per_address;
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let now = Instant::now();
        self.serial += 1;
        let mut connection = Connection::new(stream, peer, self.serial, now, now + limits.idle_time);
        let token = Token(self.first_connection() + index);
        if connection.stream.register(self.poll.registry(), token).is_err() {
            self.free.push(index);
            return;
        }
        if let Some(peer) = peer {
            *self.by_address.entry(peer).or_insert(0) += 1;
        }
        self.metrics.connections += 1;
        self.metrics.connections_total += 1;
        if !is_welcome {
            self.metrics.drop_one(Drop::Connections);
            let plain = Plain { more: contract::RETRY.into(), ..Plain::error(false, 503, "too many connections") };
            self.reply(&mut connection, &plain, false, false);
        }
        self.put_back(index, connection);
    }

    fn close(&mut self, index: usize) {
        let Some(mut connection) = self.connections.get_mut(index).and_then(Option::take) else { return };
        connection.stream.deregister(self.poll.registry());
        self.metrics.connections -= 1;
        self.metrics.held_bytes = self.metrics.held_bytes.saturating_sub(connection.counted);
        if let Some(series) = connection.series.take_if(|_| connection.phase != Phase::Waiting) {
            self.metrics.end(series, 499, connection.received.elapsed(), 0);
        }
        if let Some(count) = connection.peer.and_then(|peer| self.by_address.get_mut(&peer)) {
            *count -= 1;
            if let (0, Some(peer)) = (*count, connection.peer) {
                self.by_address.remove(&peer);
            }
        }
        self.recycle(std::mem::take(&mut connection.input));
        self.recycle(std::mem::take(&mut connection.output));
        self.free.push(index);
    }

    pub(super) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= LARGEST_POOLED && self.pool.len() < POOLED {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    /// Puts a connection back after it was looked at: writes, counts, and closes it where it is over.
    pub(super) fn put_back(&mut self, index: usize, mut connection: Connection) {
        let is_there = connection.flush();
        let flushed = connection.is_flushed();
        if flushed && connection.closes && connection.phase != Phase::Lingering && is_there {
            connection.stream.shutdown_write();
            connection.phase = Phase::Lingering;
            connection.deadline = Instant::now() + LINGER;
            // What is there already is read now, so that a client that waits for the end is not kept waiting.
            while connection.readable {
                connection.input.clear();
                if connection.read() == ReadOutcome::End {
                    self.connections[index] = Some(connection);
                    return self.close(index);
                }
            }
            connection.input.clear();
        }
        if flushed && connection.output.capacity() > 0 {
            let buffer = std::mem::take(&mut connection.output);
            self.recycle(buffer);
        }
        if connection.input.is_empty() && connection.input.capacity() > 0 {
            let buffer = std::mem::take(&mut connection.input);
            self.recycle(buffer);
        }
        let held = connection.held();
        self.metrics.held_bytes = (self.metrics.held_bytes + held).saturating_sub(connection.counted);
        connection.counted = held;
        self.connections[index] = Some(connection);
        if !is_there {
            self.close(index);
        }
    }

    /// Goes on with a connection as far as its input reaches.
    pub(super) fn drive(&mut self, index: usize, models: &[Model]) {
        let Some(mut connection) = self.connections.get_mut(index).and_then(Option::take) else { return };
        loop {
            if !connection.flush() {
                break self.put_back(index, connection);
            }
            match connection.phase {
                Phase::Waiting => break self.put_back(index, connection),
                Phase::Lingering => {
                    connection.input.clear();
                    if !connection.readable {
                        break self.put_back(index, connection);
                    }
                    if connection.read() == ReadOutcome::End {
                        self.connections[index] = Some(connection);
                        break self.close(index);
                    }
                    continue;
                }
                // A client that does not take its answers is not asked for more requests.
                _ if connection.closes || !connection.is_flushed() => {
                    if !connection.is_flushed() && connection.phase == Phase::Idle {
                        connection.deadline = connection.deadline.min(Instant::now() + self.settings.limits.write_time);
                    }
                    break self.put_back(index, connection);
                }
                _ => {}
            }
            match self.advance(index, &mut connection, models) {
                Progress::Went => continue,
                Progress::Waits => {
                    self.connections[index] = Some(connection);
                    break;
                }
                Progress::Starved => {}
            }
            if !connection.readable {
                break self.put_back(index, connection);
            }
            if connection.input.capacity() == 0 {
                connection.input = self.buffer();
            }
            if connection.read() == ReadOutcome::End {
                self.connections[index] = Some(connection);
                break self.close(index);
            }
        }
    }

    /// Uses what a connection's input has.
    fn advance(&mut self, index: usize, connection: &mut Connection, models: &[Model]) -> Progress {
        let limits = &self.settings.limits;
        let Some(head) = connection.head.clone() else {
            // Empty lines before a request are passed over: RFC 9112, section 2.2.
            while connection.input.starts_with(b"\r\n") {
                connection.input.drain(..2);
            }
            if connection.input.is_empty() {
                if connection.phase != Phase::Idle {
                    connection.phase = Phase::Idle;
                    connection.deadline = Instant::now() + limits.idle_time;
                }
                return Progress::Starved;
            }
            if connection.phase == Phase::Idle {
                connection.phase = Phase::Head;
                connection.received = Instant::now();
                connection.deadline = connection.received + limits.head_time;
            }
            return match head::parse(&connection.input, limits) {
                Ok(None) => Progress::Starved,
                Ok(Some(head)) => self.begin(connection, head, models),
                Err(error) => {
                    self.metrics.drop_one(Drop::Malformed);
                    self.refuse(connection, &error);
                    Progress::Went
                }
            };
        };
        let end = match head.framing {
            Framing::Length(length) => head.length + length,
            Framing::Chunked => {
                let chunks = connection.chunks.get_or_insert_with(Chunks::new);
                match chunks.take(&connection.input[head.length..], &mut connection.decoded, limits.body) {
                    Ok((taken, complete)) => {
                        connection.input.drain(head.length..head.length + taken);
                        if !complete {
                            return self.starved(connection);
                        }
                        head.length
                    }
                    Err(error) => {
                        let plain = Plain::error(all_old(models), error.status(), &error.to_string());
                        self.reply(connection, &plain, false, false);
                        return Progress::Went;
                    }
                }
            }
        };
        if connection.input.len() < end {
            return self.starved(connection);
        }
        self.dispatch(index, connection, &head, end, models)
    }

    /// More of a body is needed; where there is no memory for it, that is said.
    fn starved(&mut self, connection: &mut Connection) -> Progress {
        if self.metrics.held_bytes + connection.held().saturating_sub(connection.counted) > self.settings.limits.memory
        {
            self.metrics.drop_one(Drop::Memory);
            let plain = Plain { more: contract::RETRY.into(), ..Plain::error(false, 503, "no memory for the request") };
            self.reply(connection, &plain, false, false);
            return Progress::Went;
        }
        Progress::Starved
    }

    /// A head is complete.
    fn begin(&mut self, connection: &mut Connection, head: Head, models: &[Model]) -> Progress {
        let limits = &self.settings.limits;
        let path = text(&connection.input, &head.path);
        let series = self.metrics.series(path);
        self.metrics.begin(series);
        connection.series = Some(series);
        let body = match head.framing {
            Framing::Length(length) => length,
            Framing::Chunked => usize::MAX,
        };
        if self.log.is_some() {
            let method = text(&connection.input, &(0..head.path.start)).trim_end();
            let method = method.split(' ').next().unwrap_or_default();
            connection.line = Some((format!("{method} {path}"), if body == usize::MAX { 0 } else { body }));
        }
        let is_open = matches!(routes::find(models, path), Some(Route::Health | Route::Page));
        if !is_open && !self.is_authorized(&connection.input[head.authorization.clone()]) {
            let plain = Plain::unauthorized(all_old(models));
            self.reply(connection, &plain, head.keep_alive && body == 0, head.method == Method::Head);
            if body == 0 {
                self.consume(connection, head.length);
            }
            return Progress::Went;
        }
        if body != usize::MAX && self.metrics.held_bytes.saturating_add(body) > limits.memory {
            self.metrics.drop_one(Drop::Memory);
            let plain = Plain { more: contract::RETRY.into(), ..Plain::error(false, 503, "no memory for the request") };
            self.reply(connection, &plain, false, false);
            return Progress::Went;
        }
        if head.expects_continue && connection.input.len() == head.length {
            connection.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        connection.phase = Phase::Body;
        connection.deadline = Instant::now() + limits.body_time;
        connection.head = Some(head);
        Progress::Went
    }

    fn is_authorized(&self, given: &[u8]) -> bool {
        let Some(token) = &self.settings.token else { return true };
        let given = given.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        given.is_some_and(|(_, given)| given.trim_ascii_start().ct_eq(token).into())
    }

    fn refuse(&mut self, connection: &mut Connection, error: &HeadError) {
        let plain = Plain::error(false, error.status(), &error.to_string());
        self.reply(connection, &plain, false, false);
    }
}

/// Names and versions, for a message.
fn described(models: &[Model]) -> String {
    let one = |model: &Model| {
        let manifest = model.session.manifest();
        format!("{} {}", manifest.name, manifest.version).trim_end().to_owned()
    };
    models.iter().map(one).collect::<Vec<_>>().join(", ")
}
