//! A server that has warmed up answers tensors and rows without allocating.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use ekiben::compile::compile_path;
use ekiben_edge::http::{Address, serve};
use ekiben_tests::case::root;
use ekiben_tests::http::{post, settings};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is the server's.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code, reason = "a global allocator is unsafe by its nature")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.try_with(Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sends a request and waits for the answer to it, which ends with `end`.
fn ask(stream: &mut TcpStream, request: &[u8], end: &[u8], buffer: &mut [u8]) {
    stream.write_all(request).unwrap();
    let mut length = 0;
    while !buffer[..length].ends_with(end) {
        let read = stream.read(&mut buffer[length..]).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&buffer[..length]));
        length += read;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..length]));
}

// One test in this program: others would allocate beside it.
#[test]
fn requests_are_answered_without_allocating() {
    let folder = tempfile::tempdir().unwrap();
    let rows = r#"[{"sl": 5.1, "sw": 3.5, "pl": 1.4, "pw": 0.2}, {"sl": 6.3, "sw": 3.4, "pl": 6, "pw": 2.55}]"#;
    for (name, requests) in [
        (
            "v14_sklearn_iris_rf",
            vec![
                (
                    post("/classify", "application/json", br#"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#),
                    &b"\r\n\r\n[0]"[..],
                ),
                (post("/v1/proba", "application/json", br#"{"rows": [[5.1, 3.5, 1.4, 0.2]]}"#), b"[[1.0, 0.0, 0.0]]"),
                (
                    post("/classify_df", "application/json", format!("{{\"df\": {rows}}}").as_bytes()),
                    b"[{\"label\": 0}, {\"label\": 2}]",
                ),
            ],
        ),
        (
            "v013_sklearn_iris_rf",
            vec![(post("/predict", "application/json", b"[[5.1, 3.5, 1.4, 0.2], [6.3, 3.4, 6, 2.55]]"), b"[0, 2]")],
        ),
    ] {
        let path = folder.path().join("artifact.ekb");
        let compiled = compile_path(&root().join("bentos").join(name).join("bundle"), None).unwrap();
        std::fs::write(&path, compiled.bytes()).unwrap();
        let settings = settings(&path);
        let (send, receive) = mpsc::channel();
        let server = std::thread::spawn(move || {
            serve(&settings, |control, addresses| {
                send.send((control.clone(), addresses.to_vec())).unwrap();
                COUNTS.with(|counts| counts.set(true));
            })
        });
        let (control, addresses) = receive.recv().unwrap();
        let Address::Tcp(address) = &addresses[0] else { panic!("{addresses:?}") };
        let mut stream = TcpStream::connect(address).unwrap();
        let mut buffer = [0; 4096];
        for (request, end) in &requests {
            for _ in 0..100 {
                ask(&mut stream, request, end, &mut buffer);
            }
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            for _ in 0..1000 {
                ask(&mut stream, request, end, &mut buffer);
            }
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            // What the server does once a second (a look at the files) may fall among them.
            let request = String::from_utf8_lossy(request);
            assert!(allocated < 50, "{allocated} allocations for 1,000 requests: {request}");
        }
        control.stop();
        drop(stream);
        server.join().unwrap().unwrap();
    }
}
