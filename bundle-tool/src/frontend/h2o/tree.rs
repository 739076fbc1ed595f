//! H2O's trees: a preorder of nodes in bytes, of H2O 3.18 and newer.
//!
//! A node is: a byte of flags; the column (2 bytes, 65535 for a tree of a single leaf); where a missing value goes; a float32 or a set of categories
//! (except where only missing values are split off); the length of the left subtree unless that is a leaf; the left subtree or leaf; the right one.
//! A set that contains a category sends it right. A category past the set goes where missing values go.

use std::collections::HashMap;

use crate::frontend::FrontendError;
use crate::frontend::forest::{Comparison, Forest, Split, Test, TreeNode};

/// Where missing values go: `NAvsREST`, `NALeft`, `NARight`, `Left`, `Right`.
const NA_VS_REST: u8 = 1;
const NA_LEFT: u8 = 2;
const LEFT: u8 = 4;

/// A column number that stands for a leaf.
const NO_COLUMN: u16 = u16::MAX;

/// A child: a node by its place in the bytes, or the value of a leaf.
#[derive(Clone, Copy)]
enum Child {
    At(usize),
    Leaf(f32),
}

/// A decision, and where it leads.
struct Node {
    column: u32,
    test: NodeTest,
    na_right: bool,
    left: Child,
    right: Child,
}

enum NodeTest {
    /// All that are not missing go left.
    Missing,
    /// At least this goes right.
    AtLeast(f32),
    /// These categories, from a first one on, go right.
    Member(Vec<u32>),
}

/// Reads from a place on.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    path: &'a str,
}

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrontendError> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let found = found.ok_or_else(|| FrontendError::malformed(self.path, "the tree ends in a node"))?;
        self.at += N;
        Ok(*found)
    }

    fn u8(&mut self) -> Result<u8, FrontendError> {
        Ok(self.take::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, FrontendError> {
        self.take().map(u16::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, FrontendError> {
        self.take().map(f32::from_le_bytes)
    }

    fn skip(&mut self, count: usize) -> Result<&'a [u8], FrontendError> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| FrontendError::malformed(self.path, "a part lies behind the tree's end"))?;
        let part = &self.bytes[self.at..end];
        self.at = end;
        Ok(part)
    }
}

/// The set of categories that go right: `first` that are not in the node's set, which go with missing values, then the `count` bits of `bytes`, then
/// others that go with missing values.
fn set(first: usize, count: usize, bytes: &[u8], outside: bool) -> Vec<u32> {
    let count = first + count;
    let mut words = vec![0; count.div_ceil(32)];
    let member = |bit: usize| match bit.checked_sub(first) {
        None => outside,
        Some(bit) => bytes[bit / 8] >> (bit % 8) & 1 == 1,
    };
    for bit in (0..words.len() * 32).filter(|&bit| if bit < count { member(bit) } else { outside }) {
        words[bit / 32] |= 1 << (bit % 32);
    }
    words
}

/// Bits of all sets of a tree, at most, for each of its bytes: a set says how many bits before it are left out.
const SET_BITS_PER_BYTE: usize = 64;

fn read_node(cursor: &mut Cursor<'_>, bits: &mut usize) -> Result<Result<Node, f32>, FrontendError> {
    let flags = cursor.u8()?;
    let column = cursor.u16()?;
    if column == NO_COLUMN {
        return Ok(Err(cursor.f32()?));
    }
    let direction = cursor.u8()?;
    let na_right = !matches!(direction, NA_LEFT | LEFT);
    let test = match (direction, flags & 12) {
        (NA_VS_REST, _) => NodeTest::Missing,
        (_, 0) => NodeTest::AtLeast(cursor.f32()?),
        (_, 8) => NodeTest::Member(set(0, 32, cursor.skip(4)?, na_right)),
        (_, 12) => {
            let first = usize::from(cursor.u16()?);
            let count = cursor.take().map(u32::from_le_bytes)? as usize;
            let bytes = cursor.skip(count.div_ceil(8))?;
            let left = bits.checked_sub(first + count);
            *bits = left.ok_or_else(|| FrontendError::malformed(cursor.path, "sets of categories are too large"))?;
            NodeTest::Member(set(first, count, bytes, na_right))
        }
        _ => return Err(FrontendError::malformed(cursor.path, "a node of an unknown kind")),
    };
    let left_flags = flags & 51;
    let length = match left_flags {
        0 => Some(usize::from(cursor.u8()?)),
        1 => Some(usize::from(cursor.u16()?)),
        2 => {
            let [a, b, c] = cursor.take()?;
            Some(u32::from_le_bytes([a, b, c, 0]) as usize)
        }
        3 => Some(cursor.take().map(u32::from_le_bytes)? as usize),
        48 => None,
        _ => return Err(FrontendError::malformed(cursor.path, "a node of an unknown kind")),
    };
    let left = match length {
        Some(length) => {
            let at = cursor.at;
            cursor.skip(length)?;
            Child::At(at)
        }
        None => Child::Leaf(cursor.f32()?),
    };
    let right = if flags & 0x40 != 0 { Child::Leaf(cursor.f32()?) } else { Child::At(cursor.at) };
    Ok(Ok(Node { column: column.into(), test, na_right, left, right }))
}

/// Adds a tree, whose leaves are values of `target`, to `forest`. `path` names the tree in messages.
///
/// # Errors
/// A damaged tree.
pub(super) fn add(forest: &mut Forest, path: &str, bytes: &[u8], target: u32) -> Result<(), FrontendError> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut read: Vec<Result<Node, f32>> = Vec::new();
    let mut bits = bytes.len().saturating_mul(SET_BITS_PER_BYTE).saturating_add(1 << 17);
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        if places.contains_key(&at) {
            continue;
        }
        places.insert(at, read.len());
        let node = read_node(&mut Cursor { bytes, at, path }, &mut bits)?;
        if let Ok(node) = &node {
            open.extend([node.right, node.left].iter().filter_map(|child| match child {
                Child::At(at) => Some(*at),
                Child::Leaf(_) => None,
            }));
        }
        read.push(node);
    }
    let mut values: Vec<[(u32, f64); 1]> = Vec::new();
    let mut place = |child: Child| match child {
        Child::At(at) => places.get(&at).copied().unwrap_or(usize::MAX),
        Child::Leaf(value) => {
            values.push([(target, value.into())]);
            read.len() + values.len() - 1
        }
    };
    let children: Vec<[usize; 2]> =
        read.iter().map(|node| node.as_ref().map_or([0, 0], |node| [place(node.left), place(node.right)])).collect();
    let single: Vec<[(u32, f64); 1]> =
        read.iter().map(|node| [(target, node.as_ref().err().copied().unwrap_or(0.0).into())]).collect();
    let lowered = read.iter().enumerate().map(|(index, node)| match node {
        Err(_) => TreeNode::Sparse(&single[index]),
        Ok(node) => {
            let test = match &node.test {
                NodeTest::Missing => Test::Compare { comparison: Comparison::Greater, threshold: f64::INFINITY },
                NodeTest::AtLeast(value) => {
                    Test::Compare { comparison: Comparison::GreaterOrEqual, threshold: (*value).into() }
                }
                NodeTest::Member(set) => Test::Member { set, outside: node.na_right, fractions: false },
            };
            let [when_false, when_true] = children[index];
            let nan_is_true = node.na_right;
            let feature = node.column;
            TreeNode::Split(Split { feature, test, nan_is_true, zero_is_missing: false, when_true, when_false })
        }
    });
    let nodes: Vec<TreeNode<'_>> = lowered.chain(values.iter().map(|value| TreeNode::Sparse(value))).collect();
    forest.add_tree(path, &nodes, 0)
}
