//! Metrics in Prometheus's text form, under BentoML's names and our own.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::models::Model;

/// Upper bounds of the buckets of times, in seconds: those of Prometheus's Python client, which BentoML uses, and finer ones before.
const BUCKETS: [f64; 22] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0,
    2.5, 5.0, 7.5, 10.0, 30.0, 60.0,
];
/// Upper bounds of the buckets of batch sizes.
const SIZES: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// Counts by upper bound.
#[derive(Clone, Debug, PartialEq)]
struct Histogram<const N: usize> {
    counts: [u64; N],
    total: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    const fn new() -> Self {
        Self { counts: [0; N], total: 0, sum: 0.0 }
    }

    fn observe(&mut self, value: f64, bounds: &[f64; N]) {
        self.total += 1;
        self.sum += value;
        if let Some(at) = bounds.iter().position(|&bound| value <= bound) {
            self.counts[at] += 1;
        }
    }

    /// Writes buckets, sum and count; `labels` are without the braces around them.
    fn write(&self, name: &str, labels: &str, bounds: &[f64; N], out: &mut String) {
        let mut below = 0;
        for (count, bound) in self.counts.iter().zip(bounds) {
            below += count;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound:?}\"}} {below}.0");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}.0", self.total);
        let _ = writeln!(out, "{name}_count{{{labels}}} {}.0", self.total);
        let _ = writeln!(out, "{name}_sum{{{labels}}} {:?}", self.sum);
    }
}

/// What is counted for one path.
#[derive(Clone, Debug)]
struct Endpoint {
    /// Index of the artifact; `None` for the server's own paths.
    model: Option<usize>,
    path: String,
    by_status: Vec<(u16, Histogram<22>)>,
    batch_rows: Histogram<13>,
    in_progress: u64,
    last: Option<SystemTime>,
}

/// Everything that is counted.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    endpoints: Vec<Endpoint>,
    /// Names of the artifacts: service, version, whether it is of 0.13, largest arena.
    services: Vec<(String, String, bool, usize)>,
    /// Requests refused for lack of room, by reason.
    pub(super) dropped: [u64; Drop::ALL.len()],
    pub(super) connections: usize,
    pub(super) connections_total: u64,
    pub(super) held_bytes: usize,
    pub(super) reloads: u64,
    pub(super) failed_reloads: u64,
}

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drop {
    Queue,
    Memory,
    Connections,
    Time,
    Malformed,
}

impl Drop {
    const ALL: [Self; 5] = [Self::Queue, Self::Memory, Self::Connections, Self::Time, Self::Malformed];

    const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Memory => "memory",
            Self::Connections => "connections",
            Self::Time => "time",
            Self::Malformed => "malformed",
        }
    }
}

/// Where a path's counts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Series(usize);

impl Metrics {
    /// Counts nothing yet. The APIs of `models` come first, in order.
    pub(super) fn new(models: &[Model]) -> Self {
        let mut metrics = Self {
            endpoints: Vec::new(),
            services: Vec::new(),
            dropped: [0; Drop::ALL.len()],
            connections: 0,
            connections_total: 0,
            held_bytes: 0,
            reloads: 0,
            failed_reloads: 0,
        };
        metrics.set_models(models);
        metrics
    }

    /// Keeps the counts of paths that are still there.
    pub(super) fn set_models(&mut self, models: &[Model]) {
        let before = std::mem::take(&mut self.endpoints);
        self.services.clear();
        for (index, model) in models.iter().enumerate() {
            let manifest = model.session.manifest();
            let artifact = model.session.artifact();
            let arena = (0..artifact.api_count()).filter_map(|api| artifact.arena_bytes(api, 1)).max().unwrap_or(0);
            self.services.push((manifest.name.clone(), manifest.version.clone(), model.is_old(), arena));
            for api in &manifest.apis {
                self.endpoints.push(Endpoint::new(Some(index), format!("{}/{}", model.prefix, api.route)));
            }
        }
        for path in ["/", "/healthz", "/livez", "/readyz", "/metrics", "other"] {
            self.endpoints.push(Endpoint::new(None, path.to_owned()));
        }
        for old in before {
            if let Some(same) = self.endpoints.iter_mut().find(|new| new.path == old.path) {
                *same = Endpoint { model: same.model, ..old };
            }
        }
    }

    pub(super) fn drop_one(&mut self, reason: Drop) {
        self.dropped[reason as usize] += 1;
    }

    /// The counts of a path; those of all paths without their own where it has none.
    pub(super) fn series(&self, path: &str) -> Series {
        let found = self.endpoints.iter().position(|endpoint| endpoint.path == path);
        Series(found.unwrap_or(self.endpoints.len() - 1))
    }

    /// A request begins.
    pub(super) fn begin(&mut self, series: Series) {
        if let Some(endpoint) = self.endpoints.get_mut(series.0) {
            endpoint.in_progress += 1;
        }
    }

    /// A request ends. `batch_rows` are those of the run that answered it, or 0.
    pub(super) fn end(&mut self, series: Series, status: u16, took: Duration, batch_rows: u32) {
        let Some(endpoint) = self.endpoints.get_mut(series.0) else { return };
        endpoint.in_progress = endpoint.in_progress.saturating_sub(1);
        endpoint.last = Some(SystemTime::now());
        if batch_rows > 0 {
            endpoint.batch_rows.observe(batch_rows.into(), &SIZES);
        }
        let at = match endpoint.by_status.iter().position(|(other, _)| *other == status) {
            Some(at) => at,
            None => {
                endpoint.by_status.push((status, Histogram::new()));
                endpoint.by_status.len() - 1
            }
        };
        endpoint.by_status[at].1.observe(took.as_secs_f64(), &BUCKETS);
    }

    /// The text of `/metrics`. `queued` requests wait for a model.
    pub(super) fn text(&self, queued: usize) -> String {
        let mut out = String::new();
        self.write_bentoml(&mut out);
        self.write_own(queued, &mut out);
        out
    }

    /// The metrics that BentoML's own server has.
    fn write_bentoml(&self, out: &mut String) {
        for (index, (service, version, is_old, _)) in self.services.iter().enumerate() {
            let endpoints = self.endpoints.iter().filter(|e| e.model.is_none_or(|model| model == index));
            let prefix = match is_old {
                true => format!("BENTOML_{service}_request"),
                false => "bentoml_service_request".to_owned(),
            };
            let labels = |endpoint: &Endpoint, status: Option<u16>| {
                let status = status.map(|status| format!(",http_response_code=\"{status}\"")).unwrap_or_default();
                let path = quoted(&endpoint.path);
                let (service, version) = (quoted(service), quoted(version));
                match is_old {
                    true => format!("endpoint=\"{path}\"{status},service_version=\"{version}\""),
                    false => format!(
                        "endpoint=\"{path}\"{status},runner_name=\"{service}\",service_name=\"{service}\",service_version=\"{version}\""
                    ),
                }
            };
            let _ = writeln!(out, "# HELP {prefix}_total Total number of HTTP requests\n# TYPE {prefix}_total counter");
            for endpoint in endpoints.clone() {
                for (status, times) in &endpoint.by_status {
                    let _ = writeln!(out, "{prefix}_total{{{}}} {}.0", labels(endpoint, Some(*status)), times.total);
                }
            }
            let _ = writeln!(
                out,
                "# HELP {prefix}_in_progress Total number of HTTP requests in progress now\n# TYPE {prefix}_in_progress gauge"
            );
            for endpoint in endpoints.clone() {
                let _ = writeln!(out, "{prefix}_in_progress{{{}}} {}.0", labels(endpoint, None), endpoint.in_progress);
            }
            let name = format!("{prefix}_duration_seconds");
            let _ = writeln!(out, "# HELP {name} API HTTP request duration in seconds\n# TYPE {name} histogram");
            for endpoint in endpoints.clone() {
                for (status, times) in &endpoint.by_status {
                    times.write(&name, &labels(endpoint, Some(*status)), &BUCKETS, out);
                }
            }
            if !is_old {
                let name = "bentoml_service_last_request_timestamp_seconds";
                let _ = writeln!(out, "# HELP {name} Timestamp of the last request\n# TYPE {name} gauge");
                for endpoint in endpoints.clone() {
                    let Some(last) = endpoint.last else { continue };
                    let seconds = last.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
                    let _ = writeln!(out, "{name}{{{}}} {seconds:?}", labels(endpoint, None));
                }
            }
            let name = match is_old {
                true => format!("BENTOML_{service}_mb_batch_size"),
                false => "bentoml_service_adaptive_batch_size".to_owned(),
            };
            let _ = writeln!(out, "# HELP {name} Rows of a run\n# TYPE {name} histogram");
            for endpoint in endpoints.filter(|endpoint| endpoint.model.is_some()) {
                endpoint.batch_rows.write(&name, &labels(endpoint, None), &SIZES, out);
            }
        }
    }

    fn write_own(&self, queued: usize, out: &mut String) {
        let name = "ekiben_request_duration_seconds";
        let _ = writeln!(out, "# HELP {name} Time from a request's first byte to its answer\n# TYPE {name} histogram");
        for endpoint in &self.endpoints {
            for (status, times) in &endpoint.by_status {
                let labels = format!("endpoint=\"{}\",status=\"{status}\"", quoted(&endpoint.path));
                times.write(name, &labels, &BUCKETS, out);
            }
        }
        let mut gauge = |name: &str, kind: &str, help: &str, labels: &str, value: u64| {
            if !help.is_empty() {
                let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            let _ = writeln!(out, "{name}{labels} {value}");
        };
        gauge("ekiben_queue", "gauge", "Requests that wait for a model", "", queued as u64);
        gauge("ekiben_connections", "gauge", "Open connections", "", self.connections as u64);
        gauge("ekiben_connections_total", "counter", "Connections so far", "", self.connections_total);
        gauge("ekiben_held_bytes", "gauge", "Bytes of requests and answers held", "", self.held_bytes as u64);
        for (index, reason) in Drop::ALL.into_iter().enumerate() {
            let help = if index == 0 { "Requests and connections refused" } else { "" };
            let labels = format!("{{reason=\"{}\"}}", reason.name());
            gauge("ekiben_dropped_total", "counter", help, &labels, self.dropped[index]);
        }
        for (index, (service, version, _, arena)) in self.services.iter().enumerate() {
            let help = if index == 0 { "Bytes of scratch memory that one row takes" } else { "" };
            let labels = format!("{{service=\"{}\",version=\"{}\"}}", quoted(service), quoted(version));
            gauge("ekiben_arena_bytes", "gauge", help, &labels, *arena as u64);
        }
        gauge("ekiben_reloads_total", "counter", "Artifacts replaced while serving", "", self.reloads);
        gauge(
            "ekiben_failed_reloads_total",
            "counter",
            "Artifacts that failed to replace another",
            "",
            self.failed_reloads,
        );
    }
}

impl Endpoint {
    fn new(model: Option<usize>, path: String) -> Self {
        Self { model, path, by_status: Vec::new(), batch_rows: Histogram::new(), in_progress: 0, last: None }
    }
}

/// A label's value with what Prometheus escapes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted() {
        let mut metrics = Metrics::new(&[]);
        let series = metrics.series("/healthz");
        metrics.begin(series);
        metrics.end(series, 200, Duration::from_micros(80), 0);
        let text = metrics.text(3);
        assert!(
            text.contains(
                "ekiben_request_duration_seconds_bucket{endpoint=\"/healthz\",status=\"200\",le=\"5e-5\"} 0.0"
            )
        );
        assert!(text.contains(
            "ekiben_request_duration_seconds_bucket{endpoint=\"/healthz\",status=\"200\",le=\"0.0001\"} 1.0"
        ));
        assert!(text.contains("ekiben_queue 3\n"));
        assert_eq!(metrics.series("/nowhere"), Series(5));
    }
}
