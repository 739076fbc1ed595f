//! Parameters as trees.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use ekiben_runtime::artifact::image::{ImageStep, Mode, PassOrder};
use serde_json::Value;

use super::ApiInput;

/// The most leaves of an API.
const MAX_LEAVES: usize = 4096;

/// How a value of a request is made of leaves.
#[derive(Clone, Debug)]
pub(in crate::service) enum Node {
    /// A leaf, by its index.
    Leaf(usize),
    /// An object; `open` where its members are only known by their use.
    Object { members: Vec<Member>, open: bool },
    /// A list with one item for each row.
    Records(Box<Node>),
    /// A value that stands for a list of it alone.
    Single(Box<Node>),
    /// An image, with the leaf of each array that is made of it.
    Image { source: ImageSource, uses: Vec<(Rc<[ImageStep]>, usize)> },
}

/// What a service gets where the request has an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::service) enum ImageSource {
    /// Pillow's image.
    Pillow,
    /// numpy's array of it in this mode, as imageio makes it.
    Imageio(Mode),
    /// A file.
    File,
}

/// A parameter, or a member of an object.
#[derive(Clone, Debug)]
pub(in crate::service) struct Member {
    pub(in crate::service) name: String,
    pub(in crate::service) node: Node,
    /// Its value where a request has none.
    pub(in crate::service) default: Option<Value>,
}

/// A step down a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) enum Step {
    /// To the member with this name.
    Member(Rc<str>),
    /// To the items of a list.
    Items,
}

/// The parameters of an API and their leaves, which are what this derefs to.
#[derive(Clone, Debug, Default)]
pub(in crate::service) struct Inputs {
    pub(in crate::service) leaves: Vec<ApiInput>,
    pub(in crate::service) parameters: Vec<Member>,
    /// Whether a request is one row of the only parameter.
    pub(in crate::service) is_row: bool,
    /// The order in which the sizes of images change.
    pub(in crate::service) order: PassOrder,
}

impl Deref for Inputs {
    type Target = Vec<ApiInput>;

    fn deref(&self) -> &Self::Target {
        &self.leaves
    }
}

impl DerefMut for Inputs {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.leaves
    }
}

impl Inputs {
    /// Adds a leaf; `None` where there are too many.
    pub(in crate::service) fn add(&mut self, leaf: ApiInput) -> Option<Node> {
        if self.leaves.len() >= MAX_LEAVES {
            return None;
        }
        self.leaves.push(leaf);
        Some(Node::Leaf(self.leaves.len() - 1))
    }

    /// The index of the first input of the graph that leaf `index` fills.
    pub(in crate::service) fn first_input(&self, index: usize) -> usize {
        self.leaves.iter().take(index).map(ApiInput::width).sum()
    }

    /// The leaf that fills input `input` of the graph.
    pub(in crate::service) fn leaf_of(&self, input: usize) -> Option<usize> {
        let mut next = 0;
        self.leaves.iter().position(|leaf| {
            next += leaf.width();
            input < next
        })
    }

    /// The node of parameter `parameter` at the end of `path`.
    pub(in crate::service) fn node(&mut self, parameter: usize, path: &[Step]) -> Option<&mut Node> {
        let mut node = &mut self.parameters.get_mut(parameter)?.node;
        for step in path {
            node = match (step, node) {
                (Step::Member(name), Node::Object { members, .. }) => {
                    &mut members.iter_mut().find(|member| *member.name == **name)?.node
                }
                (Step::Items, Node::Records(item) | Node::Single(item)) => item,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The parameter and the path of leaf `leaf`.
    pub(in crate::service) fn path_of(&self, leaf: usize) -> Option<(usize, Vec<Step>)> {
        self.parameters.iter().enumerate().find_map(|(parameter, member)| {
            let mut path = Vec::new();
            find(&member.node, leaf, &mut path).then_some((parameter, path))
        })
    }
}

/// Whether the leaf is below `node`; `path` then leads to it.
fn find(node: &Node, leaf: usize, path: &mut Vec<Step>) -> bool {
    match node {
        Node::Leaf(index) => *index == leaf,
        Node::Image { uses, .. } => uses.iter().any(|(_, index)| *index == leaf),
        Node::Object { members, .. } => members.iter().any(|member| {
            path.push(Step::Member(member.name.as_str().into()));
            find(&member.node, leaf, path) || {
                path.pop();
                false
            }
        }),
        Node::Records(item) | Node::Single(item) => {
            path.push(Step::Items);
            find(item, leaf, path) || {
                path.pop();
                false
            }
        }
    }
}
