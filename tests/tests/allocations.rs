//! After a session is open and has run once, runs allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use ekiben_runtime::{Error, Session};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[allow(unsafe_code, reason = "a global allocator is unsafe by its nature")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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

// One test in this program: others would allocate beside it.
#[test]
fn a_session_that_has_run_once_runs_without_allocating() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = ekiben_tests::small_artifacts();
    assert!(!artifacts.is_empty());
    for (name, bytes) in artifacts {
        let path = folder.path().join("artifact.ekb");
        std::fs::write(&path, bytes).unwrap();
        let mut session = Session::open(&path).unwrap();
        for api in 0..session.artifact().api_count() {
            let fixed = session.artifact().api(api).unwrap().fixed_rows as usize;
            let rows = if fixed == 0 { 16 } else { fixed };
            let mut run = |rows: usize| {
                session.with_executor(api, rows, |executor| {
                    for input in 0..usize::from(executor.api().inputs) {
                        executor.input_view(input)?.bytes.fill(0);
                    }
                    executor.run()?;
                    let bytes = (0..usize::from(executor.api().outputs)).map(|index| executor.output_view(index));
                    bytes.map(|view| Ok::<_, Error>(view?.bytes.len())).sum::<Result<usize, Error>>()
                })
            };
            run(rows).unwrap();
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let written = run(rows).unwrap() + run(if fixed == 0 { 1 } else { fixed }).unwrap();
            assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before, "{name}, API {api}");
            assert!(written > 0);
        }
    }
}
