//! The HTTP endpoint, asked over real sockets: what BentoML's own servers answered, and what is on the wire around it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ekiben::compile::compile_path;
use ekiben_edge::http::{ModelFile, Settings};
use ekiben_tests::case::{Case, Tolerance, group, root};
use ekiben_tests::exchange::difference;
use ekiben_tests::http::{Reader, Response, Server, post, settings};
use serde_json::Value;
use tempfile::TempDir;

/// Compiles the bento of a case into `folder`; `None` where it is refused.
fn compiled(case: &Case, folder: &Path) -> Option<PathBuf> {
    let bento = case.path("bento").expect("a bento");
    let result =
        if bento.is_file() { compile_path(&bento, None) } else { compile_path(case.assemble("bento").path(), None) };
    let path = folder.join(format!("{}.ekb", case.name()));
    fs::write(&path, result.ok()?.bytes()).expect("the artifact");
    Some(path)
}

fn case(name: &str) -> Case {
    let found = ["bentos", "served"].into_iter().flat_map(group).find(|case| case.name() == name);
    found.unwrap_or_else(|| panic!("no case {name}"))
}

/// An artifact of a case, and the folder that it is in.
fn artifact(name: &str) -> (PathBuf, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (compiled(&case(name), folder.path()).expect("it compiles"), folder)
}

fn serve(name: &str, change: impl FnOnce(&mut Settings)) -> (Server, TempDir) {
    let (path, folder) = artifact(name);
    let mut settings = settings(&path);
    change(&mut settings);
    (Server::start(settings).expect("a server"), folder)
}

const IRIS: &str = "v14_sklearn_iris_rf";
const ROW: &[u8] = br#"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#;

/// A deliberate difference from BentoML: of exchanges with these parts in the names of case and exchange, and these statuses.
struct Difference {
    case: String,
    exchange: String,
    /// BentoML's status and ours; any where there is none. 0 stands for no answer.
    expected: Option<u64>,
    got: Option<u64>,
    why: String,
}

impl Difference {
    fn is_of(&self, case: &str, exchange: &str, expected: u16, got: u16) -> bool {
        let same = |wanted: Option<u64>, status: u16| wanted.is_none_or(|wanted| wanted == u64::from(status));
        case.contains(&self.case)
            && exchange.contains(&self.exchange)
            && same(self.expected, expected)
            && same(self.got, got)
    }
}

fn differences() -> Vec<Difference> {
    let text = fs::read_to_string(root().join("exchanges/differences.json")).expect("the differences");
    let list: Vec<Value> = serde_json::from_str(&text).expect("a list");
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let read = |value: &Value| Difference {
        case: text(value, "case"),
        exchange: text(value, "exchange"),
        expected: value["expected"].as_u64(),
        got: value["got"].as_u64(),
        why: text(value, "why"),
    };
    list.iter().map(read).collect()
}

/// A recorded exchange: its name, the request's bytes and the response's.
type Recorded = (String, Vec<u8>, Vec<u8>);

/// The exchanges of each case.
fn recorded() -> Vec<(String, Vec<Recorded>)> {
    let folder = fs::read_dir(root().join("exchanges")).expect("exchanges").flatten();
    let mut cases = Vec::new();
    for path in folder.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "gz")) {
        let name = path.file_name().unwrap().to_string_lossy().trim_end_matches(".tar.gz").to_owned();
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().to_string_lossy().into_owned(), bytes);
        }
        let requests = files.iter().filter_map(|(file, bytes)| {
            let exchange = file.strip_suffix(".request")?;
            Some((exchange.to_owned(), bytes.clone(), files[&format!("{exchange}.response")].clone()))
        });
        cases.push((name, requests.collect()));
    }
    cases.sort();
    cases
}

/// What differs between a recorded response and ours.
fn differs(expected: &Response, got: &Response, tolerance: Tolerance) -> Option<String> {
    let kind = |response: &Response| response.header("content-type").map(str::to_owned);
    if (expected.status, kind(expected)) != (got.status, kind(got)) {
        return Some(format!(
            "{} {:?} {}, expected {} {:?} {}",
            got.status,
            kind(got),
            got.text(),
            expected.status,
            kind(expected),
            expected.text()
        ));
    }
    if expected.body == got.body {
        return None;
    }
    let json = |response: &Response| serde_json::from_slice::<Value>(&response.body).ok();
    match (json(expected), json(got)) {
        // Spaces are as they were; digits of floats may be others within the tolerance.
        (Some(wanted), Some(found)) if shape(&expected.body) == shape(&got.body) => {
            difference("body", &found, &wanted, tolerance)
        }
        _ => Some(format!("{}, expected {}", got.text(), expected.text())),
    }
}

/// A JSON text with its numbers left out.
fn shape(text: &[u8]) -> Vec<u8> {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e');
    text.iter().copied().filter(|byte| !is_digit(byte)).collect()
}

#[test]
fn recorded_exchanges_are_answered_as_bentoml_answered_them() {
    let allowed = differences();
    let filter = std::env::var("EKIBEN_CASE").unwrap_or_default();
    let (mut compared, mut used, mut failures) = (0, BTreeMap::<usize, usize>::new(), Vec::new());
    for (name, exchanges) in recorded().into_iter().filter(|(name, _)| name.contains(&filter)) {
        let case = case(&name);
        let (server, _folder) = serve(&name, |_| {});
        // Tasks have names of their own here.
        let mut tasks = BTreeMap::<String, String>::new();
        for (exchange, mut request, mut response) in exchanges {
            for (theirs, ours) in &tasks {
                (request, response) = (replaced(&request, theirs, ours), replaced(&response, theirs, ours));
            }
            let method = String::from_utf8_lossy(&request).split(' ').next().unwrap_or_default().to_owned();
            let mut expected = Response::parse_answer(&response, method == "HEAD");
            expected.iter_mut().for_each(without_times);
            let mut got = server.ask(&request);
            compared += 1;
            if let (Some(theirs), Some(ours)) = (expected.as_ref().and_then(task_name), task_name(&got)) {
                let is_new = exchange.contains("submit") || exchange.contains("retry");
                if theirs != ours && is_new {
                    got.body = replaced(&got.body, &ours, &theirs);
                    tasks.insert(theirs, ours);
                }
            }
            without_times(&mut got);
            let found = match &expected {
                Some(expected) => differs(expected, &got, case.tolerance()),
                None => Some(format!("{} {}, where BentoML gave no answer", got.status, got.text())),
            };
            let Some(found) = found else { continue };
            let status = expected.map_or(0, |expected| expected.status);
            match allowed.iter().position(|known| known.is_of(&name, &exchange, status, got.status)) {
                Some(at) => *used.entry(at).or_default() += 1,
                None => failures.push((format!("{name} {exchange}"), found)),
            }
        }
    }
    let mut by_name = BTreeMap::<&str, usize>::new();
    used.iter().for_each(|(at, count)| *by_name.entry(&allowed[*at].why).or_default() += count);
    println!("{compared} exchanges; differ on purpose: {by_name:?}");
    let path = root().join("exchanges/open.txt");
    if std::env::var_os("EKIBEN_UPDATE_OPEN").is_some() && filter.is_empty() {
        let lines: Vec<_> = failures.iter().map(|(name, _)| format!("{name}\n")).collect();
        fs::write(&path, lines.concat()).unwrap();
    }
    let open = fs::read_to_string(&path).expect("open.txt");
    let open: BTreeSet<&str> = open.lines().filter(|line| line.contains(&filter)).collect();
    println!("{} differ and are open", open.len());
    let mut new: Vec<String> = Vec::new();
    for (name, found) in failures.iter().filter(|(name, _)| !open.contains(name.as_str()) || !filter.is_empty()) {
        new.push(format!("{name}: {found}"));
    }
    assert!(new.is_empty(), "{} of {compared} differ:\n{}", new.len(), new.join("\n"));
    let mended: Vec<_> = open.iter().filter(|line| failures.iter().all(|(name, _)| name != *line)).collect();
    assert!(mended.is_empty() || !filter.is_empty(), "open.txt lists what no longer differs: {mended:?}");
    if filter.is_empty() {
        assert!(compared >= 3000, "only {compared} exchanges");
        let is_served = |at: usize| root().join("served").join(&allowed[at].case).exists();
        let unused: Vec<_> = (0..allowed.len()).filter(|at| !used.contains_key(at) && !is_served(*at)).collect();
        assert!(unused.is_empty(), "differences {unused:?} are listed and not there");
    }
}

/// Bytes with one text in place of another.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(from) => text.replace(from, to).into_bytes(),
        _ => bytes.to_vec(),
    }
}

/// The name of the task that a response speaks of.
fn task_name(response: &Response) -> Option<String> {
    let value: Value = serde_json::from_slice(&response.body).ok()?;
    Some(value["task_id"].as_str()?.to_owned())
}

/// A task's state without the times in it, which must be there.
fn without_times(response: &mut Response) {
    let Ok(mut value) = serde_json::from_slice::<Value>(&response.body) else { return };
    if value.get("created_at").and_then(Value::as_str).is_some_and(|time| time.len() == 19) {
        value["created_at"] = "time".into();
        value["executed_at"] = "time".into();
        response.body = value.to_string().into_bytes();
    }
}

/// Every deliberate difference is explained.
#[test]
fn differences_are_documented() {
    let docs = fs::read_to_string(root().join("../../docs/serve.md")).expect("docs/serve.md");
    for known in differences() {
        assert!(docs.contains(&format!("| {} |", known.why)), "docs/serve.md does not explain {:?}", known.why);
    }
}

#[test]
fn served_services_answer_over_the_wire() {
    let filter = std::env::var("EKIBEN_CASE").unwrap_or_default();
    let allowed = differences();
    let (mut compared, mut failures) = (0, Vec::new());
    for case in group("served").into_iter().filter(|case| case.name().contains(&filter)) {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(path) = compiled(&case, folder.path()) else { continue };
        let server = Server::start(settings(&path)).expect("a server");
        for run in case.exchanges() {
            let got = server.post(&run.route, &run.content_type, &fs::read(&run.request).unwrap());
            let place = format!("{} {} {}", case.name(), run.route, run.request.file_name().unwrap().display());
            let exchange = run.request.file_stem().unwrap().to_string_lossy();
            if allowed.iter().any(|known| case.name() == known.case && exchange == known.exchange.as_str()) {
                continue;
            }
            if u64::from(got.status) != run.status {
                failures.push(format!("{place}: {} {}, expected {}", got.status, got.text(), run.status));
                continue;
            }
            compared += 1;
            let found = match (&run.response_text, &run.response) {
                (Some(text), _) if *text == got.text() => None,
                (Some(text), _) => Some(format!("{place}: {:?}, expected {text:?}", got.text())),
                (None, Some(expected)) => match serde_json::from_slice(&got.body) {
                    Ok(found) => difference(&place, &found, expected, case.tolerance()),
                    Err(error) => Some(format!("{place}: {error}: {}", got.text())),
                },
                (None, None) => None,
            };
            failures.extend(found);
        }
    }
    println!("{compared} answers");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 250 || !filter.is_empty(), "only {compared} answers");
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    for workers in [0, 2] {
        let (server, _folder) = serve(IRIS, |settings| settings.workers = workers);
        let mut stream = server.connect();
        let mut all = Vec::new();
        for index in 0..50 {
            match index % 3 {
                0 => all.extend(post("/classify", "application/json", ROW)),
                1 => all.extend_from_slice(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
                _ => all.extend(post("/nowhere", "application/json", b"{}")),
            }
        }
        stream.write_all(&all).unwrap();
        let mut reader = Reader::new(stream);
        for index in 0..50 {
            let response = reader.response(false).expect("an answer");
            let expected = [(200, "[0]"), (200, "\n"), (404, "Not Found")][index % 3];
            assert_eq!((response.status, response.text().as_str()), expected, "{index}");
        }
        server.end().unwrap();
    }
}

#[test]
fn bodies_come_in_every_way() {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    let (server, _folder) = serve(IRIS, |_| {});
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(ROW).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(ROW).unwrap();
    let zlib = zlib.finish().unwrap();
    let head = "POST /classify HTTP/1.1\r\nHost: x\r\n";
    let sized = |lines: &str, body: &[u8]| {
        [format!("{head}{lines}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    };
    let chunked = |lines: &str, body: &[u8]| {
        let mut all = format!("{head}{lines}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in body.chunks(7) {
            all.extend(format!("{:x}\r\n", piece.len()).into_bytes());
            all.extend_from_slice(piece);
            all.extend_from_slice(b"\r\n");
        }
        all.extend_from_slice(b"0\r\n\r\n");
        all
    };
    for request in [
        sized("", ROW),
        sized("Content-Encoding: gzip\r\n", &gzip),
        sized("Content-Encoding: deflate\r\n", &zlib),
        chunked("", ROW),
        chunked("Content-Encoding: gzip\r\n", &gzip),
    ] {
        // At once, twice on one connection, and byte by byte.
        let mut stream = server.connect();
        stream.write_all(&request).unwrap();
        stream.write_all(&request).unwrap();
        let mut reader = Reader::new(stream);
        for _ in 0..2 {
            assert_eq!(reader.response(false).expect("an answer").text(), "[0]");
        }
        for byte in &request {
            reader.source().write_all(&[*byte]).unwrap();
        }
        assert_eq!(reader.response(false).expect("an answer").text(), "[0]");
    }
    let refused = server.ask(&sized("Content-Encoding: br\r\n", ROW));
    assert_eq!(refused.status, 415);
    assert!(refused.text().contains("br") && refused.text().contains("gzip"), "{}", refused.text());
    assert_eq!(server.ask(&sized("Content-Encoding: gzip\r\n", ROW)).status, 400);
}

#[test]
fn a_client_may_ask_before_it_sends() {
    let (server, _folder) = serve(IRIS, |_| {});
    let mut stream = server.connect();
    let head =
        format!("POST /classify HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", ROW.len());
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(ROW).unwrap();
    assert_eq!(Reader::new(stream).response(false).unwrap().text(), "[0]");
}

#[test]
fn a_server_that_ends_answers_what_was_begun() {
    for workers in [0, 1] {
        let (server, _folder) = serve(IRIS, |settings| settings.workers = workers);
        let mut stream = server.connect();
        let request = post("/classify", "application/json", ROW);
        stream.write_all(&request[..request.len() - 5]).unwrap();
        // The server has read it once it answers on another connection.
        assert_eq!(server.get("/healthz").status, 200);
        server.control.stop();
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(&request[request.len() - 5..]).unwrap();
        let response = Reader::new(stream).response(false).expect("an answer");
        assert_eq!((response.text().as_str(), response.header("connection")), ("[0]", Some("close")));
        server.end().unwrap();
    }
}

#[test]
fn streams_go_in_chunks_to_those_who_take_them() {
    let (server, _folder) = serve("v14_stream", |_| {});
    for (version, chunked) in [("1.1", Some("chunked")), ("1.0", None)] {
        let body = fs::read(root().join("served/v14_stream/tell_0.json")).unwrap();
        let head = format!("POST /tell HTTP/{version}\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        let response = server.ask(&[head.as_bytes(), &body].concat());
        assert_eq!((response.text().as_str(), response.header("transfer-encoding")), ("It will be fine.\n", chunked));
    }
}

#[test]
fn head_has_no_body() {
    let (server, _folder) = serve(IRIS, |_| {});
    let mut stream = server.connect();
    stream.write_all(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut reader = Reader::new(stream);
    let head = reader.response(true).unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("1")));
    assert_eq!(reader.response(false).unwrap().body, b"\n");
    assert_eq!(server.ask(b"HEAD /classify HTTP/1.1\r\nHost: x\r\n\r\n").status, 405);
}

#[test]
fn connections_are_kept_or_closed_as_asked() {
    let (server, _folder) = serve(IRIS, |_| {});
    for (request, stays) in [
        ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", true),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", false),
        ("GET /healthz HTTP/1.0\r\n\r\n", false),
        ("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", false),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = Reader::new(stream);
        reader.response(false).expect("an answer");
        let again = reader.source().write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(again.is_ok() && reader.response(false).is_some(), stays, "{request}");
    }
}

#[test]
fn a_token_is_needed_where_there_is_one() {
    let (server, _folder) = serve(IRIS, |settings| settings.token = Some(b"secret".to_vec()));
    let ask = |line: &str| {
        let request = format!("POST /classify HTTP/1.1\r\nHost: x\r\n{line}Content-Length: {}\r\n\r\n", ROW.len());
        server.ask(&[request.as_bytes(), ROW].concat()).status
    };
    assert_eq!(ask("Authorization: Bearer secret\r\n"), 200);
    for line in
        ["", "Authorization: Bearer secre\r\n", "Authorization: Bearer secrets\r\n", "Authorization: secret\r\n"]
    {
        assert_eq!(ask(line), 401, "{line}");
    }
    assert_eq!(server.get("/metrics").status, 401);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn limits_hold() {
    let (server, _folder) = serve(IRIS, |settings| {
        settings.limits.body = 1000;
        settings.limits.connections = 10;
        settings.limits.head_time = Duration::from_millis(300);
    });
    assert_eq!(server.post("/classify", "application/json", &[b' '; 1001]).status, 413);
    let deep = format!("{{\"input_data\": {}1{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(server.post("/classify", "application/json", deep.as_bytes()).status, 400);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(20_000));
    assert_eq!(server.ask(long.as_bytes()).status, 431);
    let pickle = server.post("/classify", "application/vnd.bentoml+pickle", b"\x80\x05N.");
    assert_eq!(pickle.status, 415);
    // Clients that never finish their head are told so, and do not keep others from being answered.
    let mut slow: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HT").unwrap();
    }
    let refused = server.get("/healthz");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    for stream in slow {
        assert_eq!(Reader::new(stream).response(false).expect("an answer").status, 408);
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_full_queue_says_so() {
    let (server, _folder) = serve(IRIS, |settings| settings.limits.queue = 0);
    let refused = server.post("/classify", "application/json", ROW);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    let (server, _folder) = serve("v013_sklearn_iris_rf", |settings| settings.limits.queue = 0);
    let refused = server.post("/predict", "application/json", b"[[1, 2, 3, 4]]");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
}

#[test]
fn several_artifacts_have_their_own_routes() {
    let (old, _old_folder) = artifact("v013_sklearn_iris_rf");
    let (server, _folder) = serve(IRIS, |settings| {
        settings.models.push(ModelFile { name: "old".to_owned(), path: old });
    });
    assert_eq!(server.post("/model/classify", "application/json", ROW).text(), "[0]");
    assert_eq!(server.post("/old/predict", "application/json", b"[[5.1, 3.5, 1.4, 0.2]]").text(), "[0]");
    assert_eq!(server.post("/classify", "application/json", ROW).status, 404);
    assert_eq!(server.get("/old/metadata").status, 200);
    assert_eq!(server.get("/model/schema.json").status, 200);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("bentoml_service_request_total{endpoint=\"/model/classify\",http_response_code=\"200\""));
    assert!(
        metrics.contains("BENTOML_IrisClassifier_request_total{endpoint=\"/old/predict\",http_response_code=\"200\"")
    );
}

#[test]
fn a_reload_loses_no_reply() {
    for workers in [0, 1] {
        let (path, folder) = artifact(IRIS);
        let server = Server::start(Settings { workers, ..settings(&path) }).expect("a server");
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut reader = Reader::new(server.connect());
                        for _ in 0..300 {
                            reader.source().write_all(&post("/classify", "application/json", ROW)).unwrap();
                            assert_eq!(reader.response(false).expect("a reply").text(), "[0]");
                        }
                    })
                })
                .collect();
            for round in 0..20 {
                let new = folder.path().join("new.ekb");
                fs::copy(&path, &new).unwrap();
                fs::rename(&new, &path).unwrap();
                server.control.reload();
                std::thread::sleep(Duration::from_millis(10 + round));
            }
            clients.into_iter().for_each(|client| client.join().unwrap());
        });
        // One that is damaged does not take its place.
        let new = folder.path().join("new.ekb");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&new, bytes).unwrap();
        fs::rename(&new, &path).unwrap();
        server.control.reload();
        let metric = |name: &str| {
            let text = server.get("/metrics").text();
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
            line.expect("the metric").parse::<u64>().unwrap()
        };
        while metric("ekiben_failed_reloads_total") == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(metric("ekiben_reloads_total") > 0);
        assert_eq!(server.post("/classify", "application/json", ROW).text(), "[0]");
        server.end().unwrap();
    }
}

#[test]
fn the_page_describes_what_is_served() {
    let (server, _folder) = serve(IRIS, |_| {});
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
    let text = page.text();
    assert!(text.contains("IrisClassifier") && text.contains("/v1/proba"));
    assert!(text.len() < 60 << 10, "{} bytes", text.len());
    assert!(!text.contains("http://") && !text.contains("https://"), "the page asks for something from elsewhere");
}

/// BentoML's own client, in the interpreter that `EKIBEN_PYTHON_V14` names.
#[test]
fn bentomls_own_client_calls_it() {
    let Some(python) = std::env::var_os("EKIBEN_PYTHON_V14") else {
        println!("skipped: EKIBEN_PYTHON_V14 names no interpreter with tests/fixtures/make/requirements-bentoml14.txt");
        return;
    };
    let (server, _folder) = serve(IRIS, |settings| settings.workers = 1);
    let script = root().join("../clients/bentoml_client.py");
    let run = std::process::Command::new(python).arg(script).arg(format!("http://{}", server.address)).output();
    let run = run.expect("the interpreter");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let found: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(found["ready"], true);
    assert_eq!(found["classify"], serde_json::json!([0, 2]));
    assert_eq!(found["lists"], found["classify"]);
    assert_eq!(found["frame"], found["classify"]);
    assert_eq!(found["proba"][0], serde_json::json!([1.0, 0.0, 0.0]));
    assert_eq!(found["refused"][0], 400);
    let reason = found["refused"][1].as_str().unwrap();
    assert!(reason.contains("an array of shape [1, 2]"), "{reason}");
}

/// Damaged requests are answered with an error or not at all, and the server goes on. `EKIBEN_MUTATIONS` is their number.
#[test]
fn damaged_requests_are_answered_or_refused() {
    let count = std::env::var("EKIBEN_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    let picture = recorded().into_iter().find(|(name, _)| name == "v14_sklearn_pictures").expect("pictures").1;
    let forms: Vec<_> = picture.into_iter().map(|(_, request, _)| request).take(8).collect();
    for (name, seeds) in [
        (
            IRIS,
            vec![post("/classify", "application/json", ROW), post("/classify_df", "application/json", b"{\"df\": []}")],
        ),
        ("v013_sklearn_iris_rf", vec![post("/predict", "text/csv", b"a,b,c,d\n1,2,3,4\n")]),
        ("v14_sklearn_pictures", forms),
    ] {
        let (server, _folder) = serve(name, |settings| {
            settings.limits.head_time = Duration::from_secs(1);
            settings.limits.body_time = Duration::from_secs(1);
        });
        let mut words = ekiben_tests::case::splitmix64(6);
        let mut word = |below: usize| words.next().unwrap() as usize % below.max(1);
        for index in 0..count {
            let mut request = seeds[word(seeds.len())].clone();
            for _ in 0..=word(4) {
                let at = word(request.len());
                match word(4) {
                    0 => request[at] ^= 1 << word(8),
                    1 => request.truncate(at.max(1)),
                    2 => drop(request.splice(at..at, std::iter::repeat_n(b'9', word(40)))),
                    _ => drop(request.drain(at..(at + word(20)).min(request.len()))),
                }
                if request.is_empty() {
                    request.push(b'G');
                }
            }
            let mut stream = server.connect();
            // The server may have refused it before all of it is sent.
            let _ = stream.write_all(&request);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            if let Some(response) = Reader::new(stream).response(request.starts_with(b"HEAD")) {
                let known = [200, 400, 404, 405, 408, 411, 413, 415, 417, 431, 500, 501, 505];
                assert!(known.contains(&response.status), "{index}: {} {}", response.status, response.text());
                // 500 is what BentoML answers to some of it; it must not be a failure of the server's own.
                assert!(response.status != 500 || name.starts_with("v013"), "{index}: {}", response.text());
            }
        }
        assert_eq!(server.get("/healthz").status, 200);
        server.end().unwrap();
    }
}
