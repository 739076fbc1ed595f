//! A node's attributes: each is read with its type checked, and those that nobody read are refused by name.

use std::cell::Cell;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto};

use super::call::Refusal;

/// The attributes of one node.
pub(super) struct Attributes<'a> {
    attributes: Vec<(&'a AttributeProto, Cell<bool>)>,
}

impl<'a> Attributes<'a> {
    /// Fails when a name occurs twice or refers to a function's parameter.
    pub(super) fn new(node: &'a NodeProto) -> Result<Self, Refusal> {
        let mut names: Vec<_> = node.attribute.iter().map(|attribute| attribute.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Refusal(format!("attribute {} is there twice", pair[0])));
        }
        if let Some(attribute) = node.attribute.iter().find(|attribute| !attribute.ref_attr_name.is_empty()) {
            return Err(Refusal(format!("attribute {} is a parameter of a function", attribute.name)));
        }
        Ok(Self { attributes: node.attribute.iter().map(|attribute| (attribute, Cell::new(false))).collect() })
    }

    /// No attributes.
    pub(super) fn none() -> Self {
        Self { attributes: Vec::new() }
    }

    fn get(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, Refusal> {
        let Some((attribute, read)) = self.attributes.iter().find(|(attribute, _)| attribute.name == name) else {
            return Ok(None);
        };
        read.set(true);
        // Files of the first IR versions state no type.
        if attribute.r#type != kind as i32 && attribute.r#type != 0 {
            return Err(Refusal(format!("attribute {name} is not of type {}", kind.as_str_name())));
        }
        Ok(Some(attribute))
    }

    /// True when the attribute is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(attribute, _)| attribute.name == name)
    }

    /// Marks an attribute that does not change the result of an inference as read.
    pub(super) fn ignore(&self, names: &[&str]) {
        for (attribute, read) in &self.attributes {
            if names.contains(&attribute.name.as_str()) {
                read.set(true);
            }
        }
    }

    /// An integer.
    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        Ok(self.get(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    /// An integer that is 0 or 1.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(Refusal(format!("attribute {name} is {other} instead of 0 or 1"))),
        }
    }

    /// A number.
    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, Refusal> {
        Ok(self.get(name, AttributeType::Float)?.map(|attribute| attribute.f))
    }

    /// Integers.
    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, Refusal> {
        Ok(self.get(name, AttributeType::Ints)?.map(|attribute| attribute.ints.as_slice()))
    }

    /// Numbers.
    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, Refusal> {
        Ok(self.get(name, AttributeType::Floats)?.map(|attribute| attribute.floats.as_slice()))
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.get(name, AttributeType::String)?.map(|attribute| text(name, &attribute.s)).transpose()
    }

    /// Texts.
    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<&'a str>>, Refusal> {
        let attribute = self.get(name, AttributeType::Strings)?;
        attribute.map(|attribute| attribute.strings.iter().map(|bytes| text(name, bytes)).collect()).transpose()
    }

    /// A tensor.
    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, Refusal> {
        Ok(self.get(name, AttributeType::Tensor)?.and_then(|attribute| attribute.t.as_ref()))
    }

    /// A tensor stored with the positions of what is not zero.
    pub(super) fn sparse(&self, name: &str) -> Result<Option<&'a SparseTensorProto>, Refusal> {
        Ok(self.get(name, AttributeType::SparseTensor)?.and_then(|attribute| attribute.sparse_tensor.as_ref()))
    }

    /// A body.
    pub(super) fn graph(&self, name: &str) -> Result<Option<&'a GraphProto>, Refusal> {
        Ok(self.get(name, AttributeType::Graph)?.and_then(|attribute| attribute.g.as_ref()))
    }

    /// Fails with the name of an attribute that nobody has read.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        match self.attributes.iter().find(|(_, read)| !read.get()) {
            Some((attribute, _)) => Err(Refusal(format!("attribute {} is not supported", attribute.name))),
            None => Ok(()),
        }
    }
}

fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal(format!("attribute {name} is not UTF-8")))
}
