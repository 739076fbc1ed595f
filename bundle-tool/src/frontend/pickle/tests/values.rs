//! Plain values, containers, the memo, and the accessors' messages.

use super::*;

#[test]
fn integers_of_every_width() {
    let cases: &[(&[u8], i64)] = &[
        (b"K\xff", 255),
        (b"M\xff\xff", 65535),
        (b"J\xff\xff\xff\xff", -1),
        (b"\x8a\x00", 0),
        (b"\x8a\x01\x80", -128),
        (b"\x8a\x02\x80\x00", 128),
        (b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80", i64::MIN),
        (b"\x8b\x01\x00\x00\x00\x7f", 127),
        (b"\x8a\x09\x00\x00\x00\x50\x00\x00\x00\x00\x00", 0x5000_0000),
        (b"\x8a\x0a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff", -2),
    ];
    for (body, expected) in cases {
        let bytes = pickle(&[body]);
        assert_eq!(root(&decode(&bytes)).as_i64(), Ok(*expected), "{body:?}");
    }
}

#[test]
fn integers_beyond_64_bits_are_kept_and_named() {
    for top in [b"\x00\x01", b"\x80\x00", b"\x7f\xff"] {
        let bytes = pickle(&[b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00", top]);
        let error = root(&decode(&bytes)).as_i64().unwrap_err();
        let message = "model: expected an int, found an int of 72 bits";
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn floats_are_big_endian() {
    let bytes = pickle(&[b"G\x3f\xb9\x99\x99\x99\x99\x99\x9a"]);
    assert_eq!(root(&decode(&bytes)).as_f64(), Ok(0.1));
}

#[test]
fn text_and_bytes_of_every_spelling() {
    let texts: &[&[u8]] =
        &[b"\x8c\x03\xc3\xa9x", b"X\x03\x00\x00\x00\xc3\xa9x", b"\x8d\x03\x00\x00\x00\x00\x00\x00\x00\xc3\xa9x"];
    for body in texts {
        let bytes = pickle(&[body]);
        assert_eq!(root(&decode(&bytes)).as_str(), Ok("éx"), "{body:?}");
    }
    let blobs: &[&[u8]] = &[
        b"C\x02\x00\xff",
        b"B\x02\x00\x00\x00\x00\xff",
        b"\x8e\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff",
        b"\x96\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff",
        b"c_codecs\nencode\n\x8c\x03\x00\xc3\xbf\x8c\x06latin1\x86R",
        b"c__builtin__\nbytearray\nC\x02\x00\xff\x85R",
    ];
    for body in blobs {
        let bytes = pickle(&[body]);
        assert_eq!(root(&decode(&bytes)).as_bytes(), Ok(&[0, 0xff][..]), "{body:?}");
    }
    let bytes = pickle(&[b"U\x02ab"]);
    assert_eq!(root(&decode(&bytes)).as_str(), Ok("ab"));
}

#[test]
fn containers_by_every_way() {
    let lists: &[&[u8]] = &[
        b"](K\x01K\x02e",
        b"]K\x01aK\x02a",
        b"(K\x01K\x02l",
        b"(K\x01K\x02t",
        b"K\x01K\x02\x86",
        b"\x8f(K\x01K\x02\x90",
        b"(K\x01K\x02\x91",
        b"cbuiltins\nset\n](K\x01K\x02e\x85R",
        b"K\x07K\x01K\x02\x860K\x01K\x02\x86",
        b"clibrary\nModel\n)\x81(K\x01K\x02e",
    ];
    for body in lists {
        let bytes = pickle(&[body]);
        let document = decode(&bytes);
        let items = root(&document).items().unwrap();
        let ints: Result<Vec<i64>, _> = items.iter().map(Item::as_i64).collect();
        assert_eq!(ints, Ok(vec![1, 2]), "{body:?}");
    }
    let dicts: &[&[u8]] = &[
        b"}(\x8c\x01aK\x01\x8c\x01bK\x02u",
        b"}\x8c\x01aK\x01s\x8c\x01bK\x02s",
        b"(\x8c\x01aK\x01\x8c\x01bK\x02d",
        b"ccollections\nOrderedDict\n)R(\x8c\x01aK\x01\x8c\x01bK\x02u",
        b"ccollections\ndefaultdict\ncbuiltins\nint\n\x85R(\x8c\x01aK\x01\x8c\x01bK\x02u",
        b"}(\x8c\x01bK\x09\x8c\x01aK\x01\x8c\x01bK\x02u",
    ];
    for body in dicts {
        let bytes = pickle(&[body]);
        let document = decode(&bytes);
        assert_eq!(root(&document).get("a").unwrap().as_i64(), Ok(1));
        assert_eq!(root(&document).get("b").unwrap().as_i64(), Ok(2), "{body:?}");
    }
}

#[test]
fn the_memo_shares_and_later_changes_show() {
    // a = []; b = (a, a); a.append(5)
    for body in [&b"]\x94h\x00h\x00\x87h\x00K\x05a0"[..], b"]q\x07h\x07h\x07\x87h\x07K\x05a0"] {
        let bytes = pickle(&[body]);
        let document = decode(&bytes);
        for i in 0..3 {
            let first = root(&document).at(i).unwrap().at(0).unwrap();
            assert_eq!(first.as_i64(), Ok(5));
            assert_eq!(first.path(), format!("[{i}][0]"));
        }
    }
}

#[test]
fn objects_have_a_class_arguments_and_attributes() {
    let state = [&b"}("[..], &text("coef_"), b"K\x07", &text("steps"), b"]\x88au"].concat();
    let makers: &[&[u8]] = &[
        b"clibrary\nModel\nK\x01\x85\x81",
        b"\x8c\x07library\x8c\x05Model\x93K\x01\x85R",
        b"clibrary\nModel\nK\x01\x85}\x8c\x04copyK\x01s\x92",
    ];
    for maker in makers {
        let bytes = pickle(&[maker, &state, b"b"]);
        let document = decode(&bytes);
        let model = root(&document);
        assert_eq!(model.class(), Ok(MODEL));
        assert_eq!(model.argument(0).unwrap().as_i64(), Ok(1));
        assert_eq!(model.get("coef_").unwrap().as_i64(), Ok(7));
        assert!(model.find("absent").unwrap().is_none());
        let keyword = model.find_keyword("copy").unwrap();
        assert_eq!(keyword.is_some(), maker.ends_with(b"\x92"));
    }
}

#[test]
fn objects_with_slots_have_both_halves_of_their_state() {
    let bytes = pickle(&[b"clibrary\nModel\n)\x81}\x8c\x01aK\x01s}\x8c\x01bK\x02s\x86b"]);
    let document = decode(&bytes);
    assert_eq!(root(&document).get("a").unwrap().as_i64(), Ok(1));
    assert_eq!(root(&document).get("b").unwrap().as_i64(), Ok(2));
}

#[test]
fn accessors_say_where_they_were() {
    let bytes = pickle(&[b"clibrary\nModel\n)\x81}(\x8c\x05steps]\x8c\x06scaler}\x8c\x05mean_\x8c\x03abcs\x86aub"]);
    let document = decode(&bytes);
    let mean = |item: &Item<'_>| item.get("steps")?.at(0)?.at(1)?.get("mean_")?.array()?.f64s();
    assert_eq!(mean(&root(&document)).unwrap_err().to_string(), "steps[0][1].mean_: expected an array, found a str");
    let error = root(&document).get("coef_").unwrap_err().to_string();
    assert_eq!(error, "model: expected something with an attribute `coef_`, found an object of `library.Model`");
}

#[test]
fn tuples_that_contain_themselves() {
    // How pickle writes l = []; t = (l, …); l.append(t): the tuple is in the memo before its own opcode is reached, so what was
    // pushed for it is popped again, by POP for up to three elements and by POP_MARK for more.
    let one: &[u8] = b"]q\x00h\x00\x85q\x01a0h\x01";
    let five: &[u8] = b"(]q\x00(h\x00NNNNtq\x01aNNNN1h\x01";
    for (body, length) in [(one, 1), (five, 5)] {
        let bytes = pickle(&[body]);
        let document = decode(&bytes);
        let tuple = root(&document);
        assert_eq!(tuple.items().unwrap().len(), length);
        let inner = tuple.at(0).unwrap().at(0).unwrap();
        assert_eq!(inner.items().unwrap().len(), length);
        assert_eq!(inner.at(0).unwrap().path(), "[0][0][0]");
    }
}
