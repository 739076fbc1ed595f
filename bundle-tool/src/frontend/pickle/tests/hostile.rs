//! Files made to run something, to exhaust memory, or to overflow the stack.

use super::*;
use crate::frontend::pickle::{AccessError, Refused};
use std::io::Write;
use std::time::{Duration, Instant};

#[test]
fn a_call_of_os_system_is_refused_by_name() {
    let spellings: &[&[u8]] = &[
        b"\x80\x04cos\nsystem\n\x8c\x07echo hi\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x07echo hi\x85R.",
        b"\x80\x02cposix\nsystem\nX\x07\x00\x00\x00echo hi\x85R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
        b"\x80\x04cbuiltins\ngetattr\n.",
    ];
    for file in spellings {
        let Err(PickleError::GlobalsNotAllowed(refused)) = decode(file) else {
            panic!("{file:?} was not refused");
        };
        let [Refused { name, offset }] = refused.as_slice() else { panic!("{refused:?}") };
        assert!(*offset < file.len());
        let message = decode(file).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains("Nothing was executed"));
    }
}

#[test]
fn every_refused_global_is_listed() {
    // An object of a refused class, made in every way, with contents of every kind, among which is another one.
    let file = pickle(&[
        b"](cmine\nModel\n)\x81}\x8c\x01acposix\nsystem\n\x8c\x02ls\x85Rsbcmine\nmake\nK\x01\x85RK\x02\x85R",
        b"ccopyreg\n_reconstructor\ncmine\nList\ncbuiltins\nlist\n]\x87R(K\x01K\x02e",
        b"cmine\nModel\n)R}\x8c\x01bK\x01sbe",
    ]);
    let Err(PickleError::GlobalsNotAllowed(refused)) = decode(&file) else {
        panic!("not refused");
    };
    let names: Vec<&str> = refused.iter().map(|refused| refused.name.as_str()).collect();
    assert_eq!(names, ["mine.Model", "posix.system", "mine.make", "mine.List", "builtins.list"]);
    assert!(refused.iter().all(|refused| file[refused.offset] == b'c'));
    let document = super::super::survey(&file, &allow(), &Limits::default()).unwrap();
    assert_eq!(document.refused(), refused);
    assert_eq!(document.root().at(0).unwrap().class(), Ok("mine.Model"));
    exercise(&document, 100);
    // What cannot be followed to its end is refused for the names, and so is a file of nothing but names.
    let names = |count: usize| (0..count).flat_map(|n| format!("cmine\nC{n}\n0").into_bytes()).collect::<Vec<u8>>();
    for (body, listed) in [(b"cmine\nModel\n\xff".to_vec(), 1), (names(1000), 64)] {
        match decode(&pickle(&[&body])) {
            Err(PickleError::GlobalsNotAllowed(refused)) => assert_eq!(refused.len(), listed),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_global_hidden_in_a_nested_pickle_is_refused_too() {
    let mut file = forest_024();
    let wrapper = wrapper("O8", b"K\x01\x85", false);
    file.truncate(2);
    file.extend(wrapper);
    let inner = file.len();
    file.extend(b"\x80\x02cos\nsystem\nU\x02ls\x85R..");
    let Err(PickleError::GlobalsNotAllowed(refused)) = decode(&file) else {
        panic!("not refused");
    };
    assert_eq!(refused, [Refused { name: "os.system".to_owned(), offset: inner + 2 }]);
}

#[test]
fn control_characters_of_a_name_do_not_reach_the_terminal() {
    let file = pickle(&[&text("os\x1b[2J"), &text("x"), b"\x93"]);
    let message = decode(&file).unwrap_err().to_string();
    assert!(!message.contains('\x1b') && message.contains("os"), "{message}");
}

#[test]
fn only_globals_are_applied() {
    for body in [&b"K\x01)R"[..], b")))\x81", b"\x8c\x02os)R", b"clibrary\nModel\n)\x81)R"] {
        let error = decode(&pickle(&[body])).unwrap_err().to_string();
        assert!(error.contains("nothing was executed") || error.contains("too few"), "{error}");
    }
}

#[test]
fn old_and_extension_opcodes_are_refused_with_a_reason() {
    for (body, name) in [
        (&b"(ios\nsystem\n"[..], "INST"),
        (b"(cos\nsystem\no", "GlobalsNotAllowed"),
        (b"(o", "OBJ"),
        (b"\x82\x01", "EXT1"),
        (b"K\x01Q", "BINPERSID"),
        (b"\x97", "NEXT_BUFFER"),
        (b"I1\n", "INT"),
        (b"\xff", "unknown"),
    ] {
        let error = decode(&pickle(&[body])).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn structures_that_contain_themselves_are_walked_to_a_bound() {
    let list = pickle(&[b"]\x94h\x00a"]);
    let dict = pickle(&[b"}\x94\x8c\x01ah\x00s"]);
    let model = pickle(&[b"clibrary\nModel\n)\x81\x94}\x8c\x05stepsh\x00sb"]);
    let array = pickle(&[
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R\x94(K\x01K\x01\x85cnumpy\ndtype\n",
        b"\x8c\x02O8\x89\x88\x87R\x89]h\x00atb",
    ]);
    let cases: [(Vec<u8>, Descent); 4] = [
        (list, |item| item.at(0)),
        (dict, |item| item.get("a")),
        (model, |item| item.get("steps")),
        (array, |item| item.items().map(|mut items| items.remove(0))),
    ];
    for (file, into_itself) in cases {
        let document = decode(&file);
        let mut item = root(&document);
        let mut levels = 0;
        let error = loop {
            match into_itself(&item) {
                Ok(next) => item = next,
                Err(error) => break error.to_string(),
            }
            levels += 1;
        };
        assert_eq!(levels, 64);
        assert!(error.contains("at most 64 levels deep"), "{error}");
        exercise(document.as_ref().unwrap(), 500);
    }
}

/// Goes from a value to the value inside it that is itself again.
type Descent = for<'d> fn(&Item<'d>) -> Result<Item<'d>, AccessError>;

#[test]
fn a_key_cannot_contain_its_own_dict() {
    for body in [&b"}\x94h\x00K\x01s"[..], b"\x8f\x94(h\x00\x90", b"(]\x91"] {
        let error = decode(&pickle(&[body])).unwrap_err().to_string();
        assert!(error.contains("cannot be a key"), "{error}");
    }
}

/// A joblib wrapper's opcodes, up to and including its BUILD.
fn wrapper(code: &str, shape: &[u8], aligned: bool) -> Vec<u8> {
    let alignment: &[u8] = if aligned { b"\x8c\x1bnumpy_array_alignment_bytesK\x10" } else { b"" };
    [
        &global("joblib.numpy_pickle", "NumpyArrayWrapper")[..],
        b")\x81}(",
        &text("subclass"),
        &global("numpy", "ndarray"),
        &text("shape"),
        shape,
        &text("order"),
        &text("C"),
        &text("dtype"),
        &global("numpy", "dtype"),
        &text(code),
        b"\x89\x88\x87R",
        &text("allow_mmap"),
        b"\x88",
        alignment,
        b"ub",
    ]
    .concat()
}

#[test]
fn declared_arrays_are_checked_against_the_bytes_there_are() {
    let ten_gigabytes = b"\x8a\x05\x00\xe4\x0b\x54\x02\x85";
    let overflowing = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86";
    let negative = b"J\xff\xff\xff\xff\x85";
    for shape in [&ten_gigabytes[..], overflowing, negative] {
        for aligned in [false, true] {
            let file = pickle(&[&wrapper("f8", shape, aligned), b"\x01\xff12345678"]);
            assert!(matches!(decode(&file), Err(PickleError::Misuse { .. })));
        }
        let plain = pickle(&[
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01",
            shape,
            b"cnumpy\ndtype\n\x8c\x02f8\x89\x88\x87R\x89C\x0812345678tb",
        ]);
        assert!(matches!(decode(&plain), Err(PickleError::Misuse { .. })));
        // Elements of no bytes at all.
        let file = pickle(&[&wrapper("S0", shape, false)]);
        assert!(matches!(decode(&file), Err(PickleError::Misuse { .. })));
    }
    let mut file = pickle(&[&wrapper("f8", b"K\x01\x85", true), b"\x02\xff\xff\0\0\0\0\0\0\xf0\x3f"]);
    assert_eq!(root(&decode(&file)).array().unwrap().f64s(), Ok(vec![1.0]));
    file.truncate(file.len() - 2);
    assert!(decode(&file).is_err());
}

#[test]
fn declared_text_and_bytes_are_checked_before_they_are_taken() {
    for body in [
        &b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"B\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\x7f",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let error = decode(&pickle(&[body])).unwrap_err();
        assert!(matches!(error, PickleError::Truncated { .. }), "{error}");
    }
}

#[test]
fn nesting_of_any_depth_overflows_no_stack() {
    const LEVELS: usize = 100_000;
    let marks = pickle(&[&vec![b'('; LEVELS]]);
    let error = decode(&marks).unwrap_err().to_string();
    assert!(error.contains("more than 1000 containers"), "{error}");
    for (open, close) in [(b"]".as_slice(), b"a".as_slice()), (b"N", b"\x85"), (b"", b"\x85")] {
        let body = [open.repeat(LEVELS).as_slice(), b"N", &close.repeat(LEVELS)].concat();
        let file = pickle(&[&body]);
        let document = decode(&file);
        exercise(document.as_ref().unwrap(), 200);
        let _ = format!("{:?}", root(&document));
        drop(document);
    }
}

#[test]
fn doubling_lists_are_bounded_when_read_and_when_walked() {
    // l0 = []; l(n + 1) = [l(n), l(n)]
    let mut body = b"]\x94".to_vec();
    for n in 0..60 {
        body.extend([b']', b'(', b'h', n, b'h', n, b'e', 0x94]);
    }
    let file = pickle(&[&body]);
    let limits = Limits { visits: 100_000, ..Limits::default() };
    let document = read(&file, &allow(), &limits).unwrap();
    let mut queue = vec![document.root()];
    let mut visited = 0u64;
    let error = loop {
        let item = queue.pop().expect("the walk ends by the limit first");
        visited += 1;
        match item.items() {
            Ok(items) => queue.extend(items),
            Err(error) => break error.to_string(),
        }
    };
    assert!(visited < 110_000 && error.contains(" values in all"), "{error}");
}

#[test]
fn copies_of_shared_lists_are_paid_for() {
    // One list of 255 elements, made into a set a thousand times.
    let mut body = b"](".to_vec();
    body.extend(b"N".repeat(255));
    body.extend(b"e\x94(");
    for _ in 0..1000 {
        body.extend(b"cbuiltins\nset\nh\x00\x85R");
    }
    body.push(b't');
    let file = pickle(&[&body]);
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    let error = read(&file, &allow(), &limits).unwrap_err();
    assert!(matches!(error, PickleError::Limit { what, .. } if what.contains("decoded values")));
}

#[test]
fn steps_memo_and_memory_have_limits() {
    let limits = Limits { steps: 1000, memo_entries: 10, memory_bytes: 10_000, ..Limits::default() };
    for (body, word) in
        [(b"N0".repeat(1000), "opcodes"), (b"N\x94".repeat(20), "memo entries"), (b"N".repeat(900), "decoded values")]
    {
        let file = pickle(&[&body]);
        let error = read(&file, &allow(), &limits).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let sparse = pickle(&[b"Nr\xff\xff\xff\xff0j\xff\xff\xff\xff"]);
    assert!(root(&decode(&sparse)).is_none());
}

#[test]
fn compression_bombs_stop_at_the_limit() {
    let started = Instant::now();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0u8; 1 << 20];
    encoder.write_all(b"\x80\x04").unwrap();
    for _ in 0..80 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 500_000);
    let error = decode(&bomb).unwrap_err().to_string();
    assert!(error.contains("decompressed data"), "{error}");
    let small = Limits { decoded_bytes: 1000, input_bytes: 100_000, ..Limits::default() };
    assert!(matches!(read(&bomb, &allow(), &small), Err(PickleError::Limit { limit: 100_000, .. })));
    assert!(matches!(
        read(&bomb, &allow(), &Limits { input_bytes: 1 << 20, ..small }),
        Err(PickleError::Limit { limit: 1000, .. })
    ));
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_xz_header_cannot_ask_for_gigabytes() {
    // A stream header and a block header with the LZMA2 filter and dictionary size code 40: 4 GiB.
    let mut file = b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36\x02\x00\x21\x01\x28\0\0\0".to_vec();
    let crc = flate2_crc(&file[12..20]);
    file.extend(crc.to_le_bytes());
    file.extend([0; 64]);
    let error = decode(&file).unwrap_err();
    assert!(matches!(error, PickleError::CompressionDamaged { format: "xz", .. }), "{error}");
    let lzma = b"\x5d\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00";
    assert!(decode(lzma).is_err());
}

/// CRC-32 as xz and gzip have it.
fn flate2_crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
