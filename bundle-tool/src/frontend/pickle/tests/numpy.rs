//! Arrays, scalars and element types in numpy's spellings.

use super::*;
use crate::frontend::pickle::Kind;

/// `numpy.dtype(code, False, True)` with a state that says the byte order.
fn dtype(code: &str, order: &str) -> Vec<u8> {
    let mut bytes = global("numpy", "dtype");
    bytes.extend(text(code));
    bytes.extend(b"\x89\x88\x87R(K\x03");
    bytes.extend(text(order));
    bytes.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
    bytes
}

/// `_reconstruct(ndarray, (0,), b'b')` with a state of `shape`, `dtype`, `fortran` and `data`.
fn array(shape: &[u8], dtype: &[u8], fortran: bool, data: &[u8]) -> Vec<u8> {
    let order: &[u8] = if fortran { b"\x88" } else { b"\x89" };
    [
        &global("numpy._core.multiarray", "_reconstruct")[..],
        &global("numpy", "ndarray"),
        b"K\x00\x85C\x01b\x87R(K\x01",
        shape,
        dtype,
        order,
        data,
        b"tb",
    ]
    .concat()
}

/// SHORT_BINBYTES.
fn bytes(data: &[u8]) -> Vec<u8> {
    [&[b'C', data.len() as u8], data].concat()
}

fn f64s(file: &[u8]) -> Result<Vec<f64>, String> {
    let document = decode(file).map_err(|e| e.to_string())?;
    let array = document.root().array().map_err(|e| e.to_string())?;
    array.f64s().map_err(|e| e.to_string())
}

#[test]
fn every_element_type_of_numbers() {
    let cases: &[(&str, &str, &[u8], [f64; 2])] = &[
        ("b1", "|", &[0, 1], [0.0, 1.0]),
        ("i1", "|", &[0x80, 0x7f], [-128.0, 127.0]),
        ("u1", "|", &[0x80, 0x7f], [128.0, 127.0]),
        ("i2", "<", &[0xfe, 0xff, 1, 0], [-2.0, 1.0]),
        ("u2", ">", &[0xff, 0xfe, 0, 1], [65534.0, 1.0]),
        ("i4", ">", &[0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1], [-2.0, 1.0]),
        ("u4", "<", &[0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0], [4294967294.0, 1.0]),
        ("f2", "<", &[0, 0x3c, 0, 0xb8], [1.0, -0.5]),
        ("f4", "<", &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf], [1.0, -0.5]),
        ("f4", ">", &[0x3f, 0x80, 0, 0, 0xbf, 0, 0, 0], [1.0, -0.5]),
    ];
    for (code, order, data, expected) in cases {
        let file = pickle(&[&array(b"K\x02\x85", &dtype(code, order), false, &bytes(data))]);
        assert_eq!(f64s(&file), Ok(expected.to_vec()), "{order}{code}");
    }
}

#[test]
fn frombuffer_is_an_array_too() {
    let file = pickle(&[
        &global("numpy.core.numeric", "_frombuffer"),
        b"(\x96\x04\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04",
        &dtype("u1", "|"),
        b"K\x02K\x02\x86\x8c\x01FtR",
    ]);
    assert_eq!(f64s(&file), Ok(vec![1.0, 3.0, 2.0, 4.0]));
}

#[test]
fn fortran_order_is_undone() {
    // Shape (2, 3, 2): the element at (i, j, k) is stored at i + 2 j + 6 k.
    let data: Vec<u8> = (0..12).collect();
    let file = pickle(&[&array(b"K\x02K\x03K\x02\x87", &dtype("u1", "|"), true, &bytes(&data))]);
    let mut expected = Vec::new();
    for i in 0..2 {
        for j in 0..3 {
            expected.extend((0..2).map(|k| f64::from(i + 2 * j + 6 * k)));
        }
    }
    assert_eq!(f64s(&file), Ok(expected));
}

#[test]
fn integers_that_floats_cannot_hold_are_refused_as_floats() {
    let file = pickle(&[&array(b"K\x01\x85", &dtype("i8", "<"), false, &bytes(&[1, 0, 0, 0, 0, 0, 0, 1]))]);
    let error = f64s(&file).unwrap_err();
    assert!(error.contains("exact as float64"), "{error}");
    let document = decode(&file);
    let ints = root(&document).array().unwrap().i64s();
    assert_eq!(ints, Ok(vec![(1 << 56) + 1]));
}

#[test]
fn text_arrays_drop_their_padding() {
    let data = [b'a', 0, 0, 0, 0xe9, 0, 0, 0, b'b', 0, 0, 0, 0, 0, 0, 0];
    let file = pickle(&[&array(b"K\x02\x85", &dtype("U2", "<"), false, &bytes(&data))]);
    let document = decode(&file);
    let strings = root(&document).array().unwrap().strings();
    assert_eq!(strings, Ok(vec!["aé".to_owned(), "b".to_owned()]));
}

#[test]
fn object_arrays_hold_values_in_order() {
    let object = dtype("O8", "|");
    let file = pickle(&[&array(b"K\x02K\x02\x86", &object, true, b"](\x8c\x01a\x8c\x01b\x8c\x01c\x8c\x01de")]);
    let document = decode(&file);
    let array = root(&document).array().unwrap();
    assert_eq!(array.strings().unwrap(), ["a", "c", "b", "d"]);
    assert_eq!(array.dtype().kind, Kind::Object);
}

#[test]
fn scalars_become_plain_values() {
    let scalar = |dtype: &[u8], data: &[u8]| {
        let head = global("numpy.core.multiarray", "scalar");
        pickle(&[&head, dtype, &bytes(data), b"\x86R"])
    };
    let file = scalar(&dtype("f8", "<"), &0.1f64.to_le_bytes());
    assert_eq!(root(&decode(&file)).as_f64(), Ok(0.1));
    let file = scalar(&dtype("f8", ">"), &0.1f64.to_be_bytes());
    assert_eq!(root(&decode(&file)).as_f64(), Ok(0.1));
    let file = scalar(&dtype("i4", "<"), &(-7i32).to_le_bytes());
    assert_eq!(root(&decode(&file)).as_i64(), Ok(-7));
    let file = scalar(&dtype("b1", "|"), &[1]);
    assert_eq!(root(&decode(&file)).as_bool(), Ok(true));
    let file = scalar(&dtype("U1", "<"), &[b'z', 0, 0, 0]);
    assert_eq!(root(&decode(&file)).as_str(), Ok("z"));
    let file = scalar(&dtype("f8", "<"), &[0; 7]);
    assert!(decode(&file).is_err());
    let file = scalar(&dtype("O8", "|"), &[0; 8]);
    assert!(decode(&file).is_err());
}

#[test]
fn arrays_without_dimensions_serve_as_numbers() {
    let file = pickle(&[&array(b")", &dtype("i8", "<"), false, &bytes(&[3, 0, 0, 0, 0, 0, 0, 0]))]);
    assert_eq!(root(&decode(&file)).as_usize(), Ok(3));
    assert_eq!(root(&decode(&file)).as_f64(), Ok(3.0));
}

#[test]
fn unread_element_types_are_named() {
    for (code, word) in [
        ("c16", "complex"),
        ("f16", "wider than 64"),
        ("M8", "dates"),
        ("Z9", "unknown"),
        ("U99999999999999999999", "out of range"),
    ] {
        let file = pickle(&[&dtype(code, "<")]);
        let error = decode(&file).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(code), "{error}");
    }
}

#[test]
fn structured_elements_must_hold_their_fields() {
    let structure = |offset: u8, size: u8| {
        let field = dtype("f8", "<");
        let mut file = global("numpy", "dtype");
        file.extend(b"\x8c\x02V9\x89\x88\x87R(K\x03\x8c\x01|N\x8c\x01x\x85}\x8c\x01x");
        file.extend(field);
        file.extend([b'K', offset, 0x86, b's', b'K', size]);
        file.extend(b"K\x01K\x00tb");
        file
    };
    let data = [&[9][..], &2.5f64.to_le_bytes()].concat();
    let file = pickle(&[&array(b"K\x01\x85", &structure(1, 9), false, &bytes(&data))]);
    let document = decode(&file);
    let array = root(&document).array().unwrap();
    assert_eq!(array.field("x").unwrap().f64s(), Ok(vec![2.5]));
    let error = array.field("y").unwrap_err().to_string();
    assert!(error.contains("a structured array with a field \"y\""), "{error}");
    let error = decode(&pickle(&[&structure(2, 9)])).unwrap_err().to_string();
    assert!(error.contains("outside the element"), "{error}");
}
