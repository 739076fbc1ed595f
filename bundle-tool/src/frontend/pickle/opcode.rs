//! The pickle opcodes that the reader knows, and those that it refuses with a reason.
//!
//! Source of the numbering: `pickletools.py` of CPython, which documents protocols 0 to 5.

/// A kind of container an opcode can create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    /// `list`
    List,
    /// `dict`
    Dict,
    /// `set` or `frozenset`
    Set,
}

/// What an opcode does. Numbers in parentheses are the width in bytes of the operand that follows: an integer, a length or a
/// memo index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Proto,
    Frame,
    Mark,
    Stop,
    Pop,
    PopMark,
    Dup,
    None,
    Bool(bool),
    /// An integer stored in place; four bytes are signed, fewer are not.
    Int(usize),
    /// A length, then that many bytes of a little-endian two's complement integer.
    Long(usize),
    Float,
    /// A length, then that many bytes of UTF-8.
    Text(usize),
    /// A length, then that many bytes of a Python 2 `str`.
    Ascii(usize),
    Bytes(usize),
    /// A tuple of the given number of topmost values.
    Tuple(usize),
    TupleFromMark,
    Empty(Container),
    FromMark(Container),
    Append,
    Appends,
    SetItem,
    SetItems,
    AddItems,
    Memoize,
    Put(usize),
    Get(usize),
    Global,
    StackGlobal,
    Reduce,
    NewObj,
    NewObjEx,
    Build,
}

/// The opcode of `byte`, with its name in `pickletools`.
pub(super) fn lookup(byte: u8) -> Option<(Op, &'static str)> {
    use Container::{Dict, List, Set};
    Some(match byte {
        0x80 => (Op::Proto, "PROTO"),
        0x95 => (Op::Frame, "FRAME"),
        b'(' => (Op::Mark, "MARK"),
        b'.' => (Op::Stop, "STOP"),
        b'0' => (Op::Pop, "POP"),
        b'1' => (Op::PopMark, "POP_MARK"),
        b'2' => (Op::Dup, "DUP"),
        b'N' => (Op::None, "NONE"),
        0x88 => (Op::Bool(true), "NEWTRUE"),
        0x89 => (Op::Bool(false), "NEWFALSE"),
        b'J' => (Op::Int(4), "BININT"),
        b'K' => (Op::Int(1), "BININT1"),
        b'M' => (Op::Int(2), "BININT2"),
        0x8a => (Op::Long(1), "LONG1"),
        0x8b => (Op::Long(4), "LONG4"),
        b'G' => (Op::Float, "BINFLOAT"),
        0x8c => (Op::Text(1), "SHORT_BINUNICODE"),
        b'X' => (Op::Text(4), "BINUNICODE"),
        0x8d => (Op::Text(8), "BINUNICODE8"),
        b'U' => (Op::Ascii(1), "SHORT_BINSTRING"),
        b'T' => (Op::Ascii(4), "BINSTRING"),
        b'C' => (Op::Bytes(1), "SHORT_BINBYTES"),
        b'B' => (Op::Bytes(4), "BINBYTES"),
        0x8e => (Op::Bytes(8), "BINBYTES8"),
        0x96 => (Op::Bytes(8), "BYTEARRAY8"),
        b')' => (Op::Tuple(0), "EMPTY_TUPLE"),
        0x85 => (Op::Tuple(1), "TUPLE1"),
        0x86 => (Op::Tuple(2), "TUPLE2"),
        0x87 => (Op::Tuple(3), "TUPLE3"),
        b't' => (Op::TupleFromMark, "TUPLE"),
        b']' => (Op::Empty(List), "EMPTY_LIST"),
        b'}' => (Op::Empty(Dict), "EMPTY_DICT"),
        0x8f => (Op::Empty(Set), "EMPTY_SET"),
        b'l' => (Op::FromMark(List), "LIST"),
        b'd' => (Op::FromMark(Dict), "DICT"),
        0x91 => (Op::FromMark(Set), "FROZENSET"),
        b'a' => (Op::Append, "APPEND"),
        b'e' => (Op::Appends, "APPENDS"),
        b's' => (Op::SetItem, "SETITEM"),
        b'u' => (Op::SetItems, "SETITEMS"),
        0x90 => (Op::AddItems, "ADDITEMS"),
        0x94 => (Op::Memoize, "MEMOIZE"),
        b'q' => (Op::Put(1), "BINPUT"),
        b'r' => (Op::Put(4), "LONG_BINPUT"),
        b'h' => (Op::Get(1), "BINGET"),
        b'j' => (Op::Get(4), "LONG_BINGET"),
        b'c' => (Op::Global, "GLOBAL"),
        0x93 => (Op::StackGlobal, "STACK_GLOBAL"),
        b'R' => (Op::Reduce, "REDUCE"),
        0x81 => (Op::NewObj, "NEWOBJ"),
        0x92 => (Op::NewObjEx, "NEWOBJ_EX"),
        b'b' => (Op::Build, "BUILD"),
        _ => return None,
    })
}

/// Name of an opcode that exists but is refused, with the reason.
pub(super) fn refused(byte: u8) -> (&'static str, &'static str) {
    const OLD: &str = "it belongs to protocols 0 and 1; save the model again with pickle protocol 2 or later";
    match byte {
        b'i' => ("INST", OLD),
        b'o' => ("OBJ", OLD),
        b'I' => ("INT", OLD),
        b'L' => ("LONG", OLD),
        b'F' => ("FLOAT", OLD),
        b'S' => ("STRING", OLD),
        b'V' => ("UNICODE", OLD),
        b'g' => ("GET", OLD),
        b'p' => ("PUT", OLD),
        0x82 => ("EXT1", "extension codes stand for globals known only to the writer's process"),
        0x83 => ("EXT2", "extension codes stand for globals known only to the writer's process"),
        0x84 => ("EXT4", "extension codes stand for globals known only to the writer's process"),
        b'P' => ("PERSID", "persistent ids refer to objects outside the pickle"),
        b'Q' => ("BINPERSID", "persistent ids refer to objects outside the pickle"),
        0x97 => ("NEXT_BUFFER", "its data is in a buffer outside the pickle; save the model into one file"),
        0x98 => ("READONLY_BUFFER", "its data is in a buffer outside the pickle; save the model into one file"),
        _ => ("unknown", "no pickle protocol has it; the file is damaged or not a pickle"),
    }
}
