//! The C functions, called as a C program calls them, on an artifact that adds (10, 20) to every row.
#![expect(unsafe_code, reason = "a C program has no safe calls")]

use std::ffi::{CStr, c_void};
use std::{ptr, slice};

use ekiben_firmware::{
    Direction, KernelList, Session, Status, TensorInfo, UNKNOWN_CATEGORY, ekiben_all_kernels, ekiben_arena_bytes,
    ekiben_category, ekiben_input, ekiben_open, ekiben_output, ekiben_run, ekiben_self_test, ekiben_status_str,
    ekiben_tensor_info,
};
use ekiben_runtime::artifact::golden::{Source, VectorHead};
use ekiben_runtime::artifact::tensors::{Place, TensorRecord};
use ekiben_runtime::artifact::{ApiParts, ArtifactParts, Extent, GoldenValues, GoldenVector, StepParts, emit};
use ekiben_runtime::executor::self_test::{SelfTestError, SelfTestReport, self_test};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::map_categories::MapCategories;
use ekiben_runtime::tensor::{Quantization, Shape};
use ekiben_runtime::{Artifact, DType, Error, TensorSpec};

const ROWS: u32 = 2;
const ARENA_PER_ROW: usize = 32;

#[repr(C, align(16))]
struct Aligned<T>(T);

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Rows of a golden vector that no arena here is large enough for.
const MANY_ROWS: usize = 5;

fn golden_vector(rows: usize, output: [f32; 2]) -> GoldenVector {
    GoldenVector {
        head: VectorHead { api: 0, source: Source::Framework, rows: rows as u32, absolute: 0.0, relative: 0.0 },
        inputs: vec![GoldenValues::Stored(bytes_of(&[1.0, 2.0].repeat(rows)))],
        outputs: vec![bytes_of(&output.repeat(rows))],
    }
}

/// Its golden vectors say that (1, 2) gives `golden`.
fn artifact(golden: [f32; 2]) -> Vec<u8> {
    let mut parts = ArtifactParts::default();
    let batched = TensorSpec::new(DType::F32, Shape::new(&[1, 2], Some(0)).expect("two axes"));
    let scaled = TensorSpec { quantization: Some(Quantization { scale: 0.5, zero_point: -3 }), ..batched };
    let constant = TensorSpec::new(DType::F32, Shape::fixed(&[2]).expect("one axis"));
    let (api, x) = (parts.strings.string("add"), parts.strings.string("x"));
    // A row takes 8 bytes of its 16; the output follows the input.
    parts.tensors = vec![
        TensorRecord { spec: scaled, place: Place::Arena { offset: 0, per_row: 0 }, name: Some(x) },
        TensorRecord { spec: constant, place: Place::Weights { offset: 0 }, name: None },
        TensorRecord { spec: batched, place: Place::Arena { offset: 0, per_row: 16 }, name: None },
    ];
    parts.weights = bytes_of(&[10.0, 20.0]);
    let step = StepParts {
        op: Binary { kind: BinaryKind::Add }.into(),
        inputs: vec![Some(0), Some(1)],
        outputs: vec![2],
        scratch: None,
        in_place: false,
    };
    parts.apis = vec![ApiParts {
        name: api,
        inputs: vec![0],
        outputs: vec![2],
        fixed_rows: 0,
        arena: Extent { fixed: 0, per_row: ARENA_PER_ROW as u64 },
        states: vec![],
        steps: vec![step],
    }];
    parts.golden = vec![golden_vector(MANY_ROWS, golden), golden_vector(1, golden)];
    emit(&parts).expect("the artifact is small")
}

/// A model in memory as the linker gives it, and everything that a session needs.
struct Device {
    model: Aligned<[u8; 4096]>,
    model_length: usize,
    arena: Aligned<[u8; 128]>,
    session: Session,
}

impl Device {
    fn new(golden: [f32; 2]) -> Self {
        Self::of(&artifact(golden))
    }

    fn of(bytes: &[u8]) -> Self {
        let mut model = Aligned([0; 4096]);
        model.0[..bytes.len()].copy_from_slice(bytes);
        Self { model, model_length: bytes.len(), arena: Aligned([0; 128]), session: Session::new() }
    }

    fn model(&self) -> *const c_void {
        self.model.0.as_ptr().cast()
    }

    fn open_on(&mut self, api: u32, rows: u32, arena_bytes: usize, kernels: *const KernelList) -> Status {
        let arena = self.arena.0.as_mut_ptr().cast();
        assert!(arena_bytes <= self.arena.0.len());
        // SAFETY: all pointers are to fields of `self` of the lengths given.
        unsafe {
            ekiben_open(&mut self.session, self.model(), self.model_length, api, rows, arena, arena_bytes, kernels)
        }
    }

    fn open(&mut self) -> Status {
        self.open_on(0, ROWS, ROWS as usize * ARENA_PER_ROW, &raw const ekiben_all_kernels)
    }
}

#[test]
fn runs_a_batch() {
    let mut device = Device::new([11.0, 22.0]);
    // SAFETY: the model has the length given.
    let needed = unsafe { ekiben_arena_bytes(device.model(), device.model_length, 0, ROWS) };
    assert_eq!(needed, ROWS as usize * ARENA_PER_ROW);
    assert_eq!(device.open(), Status::Ok);
    let (mut input, mut output) = (ptr::null_mut(), ptr::null());
    // SAFETY: the session is open, the answers have their memory, and tensors have two floats for each row.
    let values: &[f32] = unsafe {
        assert_eq!(ekiben_input(&device.session, 0, &mut input), Status::Ok);
        slice::from_raw_parts_mut(input.cast(), 4).copy_from_slice(&[1f32, 2.0, 3.0, 4.0]);
        assert_eq!(ekiben_run(&device.session), Status::Ok);
        assert_eq!(ekiben_output(&device.session, 0, &mut output), Status::Ok);
        slice::from_raw_parts(output.cast(), 4)
    };
    assert_eq!(values, [11.0, 22.0, 13.0, 24.0]);
    // SAFETY: as above.
    unsafe {
        assert_eq!(ekiben_input(&device.session, 1, &mut input), Status::NoTensor);
        assert_eq!(ekiben_output(&device.session, 1, &mut output), Status::NoTensor);
        assert_eq!(ekiben_output(&device.session, 0, ptr::null_mut()), Status::Argument);
    }
}

/// Its one input are categories of three texts, to which it gives 1, 2 and 3, and 0 to any other.
fn categories_artifact() -> Vec<u8> {
    let mut parts = ArtifactParts::default();
    let api = parts.strings.string("grade");
    let table = parts.strings.list(&["low".to_owned(), "".to_owned(), "höchst".to_owned()]);
    let shape = Shape::new(&[1], Some(0)).expect("one axis");
    let categories = TensorSpec { table: Some(table), ..TensorSpec::new(DType::Category, shape) };
    let values = TensorSpec::new(DType::F32, Shape::fixed(&[4]).expect("one axis"));
    parts.tensors = vec![
        TensorRecord { spec: categories, place: Place::Arena { offset: 0, per_row: 0 }, name: None },
        TensorRecord { spec: values, place: Place::Weights { offset: 0 }, name: None },
        TensorRecord {
            spec: TensorSpec::new(DType::F32, shape),
            place: Place::Arena { offset: 0, per_row: 16 },
            name: None,
        },
    ];
    parts.weights = bytes_of(&[1.0, 2.0, 3.0, 0.0]);
    let step = StepParts {
        op: MapCategories.into(),
        inputs: vec![Some(0), Some(1)],
        outputs: vec![2],
        scratch: None,
        in_place: false,
    };
    parts.apis = vec![ApiParts {
        name: api,
        inputs: vec![0],
        outputs: vec![2],
        fixed_rows: 0,
        arena: Extent { fixed: 0, per_row: ARENA_PER_ROW as u64 },
        states: vec![],
        steps: vec![step],
    }];
    emit(&parts).expect("the artifact is small")
}

#[test]
fn texts_become_categories() {
    let mut device = Device::of(&categories_artifact());
    assert_eq!(device.open_on(0, 1, ARENA_PER_ROW, &raw const ekiben_all_kernels), Status::Ok);
    for (text, number, grade) in [
        ("low", 0, 1.0),
        ("", 1, 2.0),
        ("höchst", 2, 3.0),
        ("lo", UNKNOWN_CATEGORY, 0.0),
        ("hoechst", UNKNOWN_CATEGORY, 0.0),
    ] {
        let (mut category, mut input, mut output) = (7, ptr::null_mut(), ptr::null());
        // SAFETY: the session is open, the text has the length given, the answers have their memory, tensors have one element of 4 bytes.
        unsafe {
            let status = ekiben_category(&device.session, 0, text.as_ptr().cast(), text.len(), &mut category);
            assert_eq!((status, category), (Status::Ok, number), "{text:?}");
            assert_eq!(ekiben_input(&device.session, 0, &mut input), Status::Ok);
            input.cast::<u32>().write(category);
            assert_eq!(ekiben_run(&device.session), Status::Ok);
            assert_eq!(ekiben_output(&device.session, 0, &mut output), Status::Ok);
            assert_eq!(output.cast::<f32>().read(), grade, "{text:?}");
        }
    }
    let (mut category, not_utf8) = (7, [0xFFu8]);
    // SAFETY: as above.
    unsafe {
        let status = ekiben_category(&device.session, 0, not_utf8.as_ptr().cast(), 1, &mut category);
        assert_eq!((status, category), (Status::Ok, UNKNOWN_CATEGORY));
        assert_eq!(ekiben_category(&device.session, 1, ptr::null(), 0, &mut category), Status::NoTensor);
        assert_eq!(ekiben_category(&device.session, 0, ptr::null(), 3, &mut category), Status::Argument);
        assert_eq!(ekiben_category(&device.session, 0, ptr::null(), 0, ptr::null_mut()), Status::Argument);
    }
    let mut numbers = Device::new([11.0, 22.0]);
    assert_eq!(numbers.open(), Status::Ok);
    // SAFETY: as above.
    let status = unsafe { ekiben_category(&numbers.session, 0, ptr::null(), 0, &mut category) };
    assert_eq!(status, Status::NoTensor);
}

#[test]
fn describes_tensors() {
    let mut device = Device::new([11.0, 22.0]);
    assert_eq!(device.open(), Status::Ok);
    let describe = |direction, index| {
        let mut info = std::mem::MaybeUninit::<TensorInfo>::uninit();
        // SAFETY: the session is open, and `info` is memory for the answer, read only when there is one.
        unsafe {
            match ekiben_tensor_info(&device.session, direction, index, info.as_mut_ptr()) {
                Status::Ok => Ok(info.assume_init()),
                error => Err(error),
            }
        }
    };
    let input = describe(Direction::Input, 0).expect("an input");
    // SAFETY: the name lies in the model.
    let name = unsafe { slice::from_raw_parts(input.name.cast::<u8>(), input.name_length) };
    assert_eq!(name, b"x");
    assert_eq!((input.dtype, input.rank, input.shape, input.bytes), (12, 2, [2, 2, 0, 0, 0, 0, 0, 0], 16));
    assert_eq!((input.scale, input.zero_point), (0.5, -3));
    let output = describe(Direction::Output, 0).expect("an output");
    assert!(output.name.is_null() && output.name_length == 0);
    assert_eq!((output.scale, output.zero_point), (0.0, 0));
    assert_eq!(describe(Direction::Output, 1).err(), Some(Status::NoTensor));
}

#[test]
fn self_test_counts_vectors_or_says_that_a_result_differs() {
    for (golden, expected) in [([11.0, 22.0], (Status::Ok, 1)), ([11.0, 22.5], (Status::Differs, 0))] {
        let mut device = Device::new(golden);
        assert_eq!(device.open(), Status::Ok);
        let mut vectors = 0;
        // SAFETY: the session is open.
        let status = unsafe { ekiben_self_test(&device.session, &mut vectors) };
        assert_eq!((status, vectors), expected);
    }
}

#[test]
fn self_test_skips_vectors_that_do_not_fit_but_not_all_of_them() {
    let device = Device::new([11.0, 22.0]);
    let artifact = Artifact::parse(&device.model.0[..device.model_length]).expect("an artifact");
    let mut arena = Aligned([0; 256]);
    let mut test = |bytes: usize| self_test(&artifact, &mut arena.0[..bytes]);
    let report = |framework, skipped| Ok(SelfTestReport { framework, skipped, ..SelfTestReport::default() });
    assert_eq!(test(ARENA_PER_ROW * MANY_ROWS), report(2, 0));
    assert_eq!(test(ARENA_PER_ROW), report(1, 1));
    let error = Error::ArenaTooSmall { needed: ARENA_PER_ROW, given: 16 };
    assert_eq!(test(16), Err(SelfTestError::Run { vector: 0, error }));
}

#[test]
fn refuses_what_does_not_fit() {
    let mut device = Device::new([11.0, 22.0]);
    let all = &raw const ekiben_all_kernels;
    let arena = ROWS as usize * ARENA_PER_ROW;
    assert_eq!(device.open_on(1, ROWS, arena, all), Status::NoApi);
    assert_eq!(device.open_on(0, 0, arena, all), Status::Rows);
    assert_eq!(device.open_on(0, ROWS, arena - 1, all), Status::ArenaTooSmall);
    assert_eq!(device.open_on(0, ROWS, arena, ptr::null()), Status::Argument);
    // SAFETY: the first operator of the list is there.
    let backwards = unsafe { [*ekiben_all_kernels.operators.add(1), *ekiben_all_kernels.operators] };
    for (count, expected) in [(0, Status::NoKernel), (1, Status::NoKernel), (2, Status::Argument)] {
        let list = KernelList { operators: backwards.as_ptr(), count };
        assert_eq!(device.open_on(0, ROWS, arena, &list), expected, "{count} operators");
    }
    device.model.0[0] ^= 1;
    assert_eq!(device.open(), Status::NotAnArtifact);
    device.model.0[0] ^= 1;
    device.model.0[8] ^= 64;
    assert_eq!(device.open(), Status::Version);
    device.model.0[8] ^= 64;
    device.model_length -= 1;
    assert_eq!(device.open(), Status::Corrupt);
    device.model_length += 1;
    assert_eq!(device.open(), Status::Ok);
}

#[test]
fn refuses_null_and_misaligned_pointers() {
    let mut device = Device::new([11.0, 22.0]);
    let (model, length, all) = (device.model(), device.model_length, &raw const ekiben_all_kernels);
    let arena: *mut c_void = device.arena.0.as_mut_ptr().cast();
    let session = &raw mut device.session;
    // SAFETY: pointers are null, or to memory of the lengths given.
    unsafe {
        assert_eq!(ekiben_open(ptr::null_mut(), model, length, 0, 1, arena, 64, all), Status::Argument);
        assert_eq!(ekiben_open(session, ptr::null(), length, 0, 1, arena, 64, all), Status::Argument);
        assert_eq!(ekiben_open(session, model, length, 0, 1, ptr::null_mut(), 64, all), Status::Argument);
        assert_eq!(ekiben_open(session, model, length, 0, 1, arena.byte_add(8), 64, all), Status::Misaligned);
        assert_eq!(ekiben_open(session, model.byte_add(8), length, 0, 1, arena, 64, all), Status::Misaligned);
        assert_eq!(ekiben_open(session.byte_add(4), model, length, 0, 1, arena, 64, all), Status::Misaligned);
        assert_eq!(ekiben_run(ptr::null()), Status::Argument);
        assert_eq!(ekiben_arena_bytes(ptr::null(), 64, 0, 1), 0);
        assert_eq!(ekiben_arena_bytes(model, 63, 0, 1), 0);
        assert_eq!(ekiben_arena_bytes(model, length, 7, 1), 0);
    }
}

#[test]
fn every_status_has_a_text_of_its_own() {
    let text = |status: i32| {
        // SAFETY: the function gives a terminated text.
        unsafe { CStr::from_ptr(ekiben_status_str(status)) }.to_str().expect("English")
    };
    let texts: std::collections::BTreeSet<_> = (-12..=0).map(text).collect();
    assert_eq!(texts.len(), 13);
    assert_eq!((text(1), text(-13)), ("unknown status", "unknown status"));
    assert!(!texts.contains("unknown status"));
}
