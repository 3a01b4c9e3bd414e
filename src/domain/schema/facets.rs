//! All that a schema says about one value, gathered from where `$ref`, `allOf`, conditions and branches have spread it.
//!
//! Nothing is merged: the subschemas stay as they are and are only sorted by how surely they hold.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::document::{Document, NodeId};

/// The subschemas that are about one value.
#[derive(Default)]
pub(super) struct Facets {
    /// They hold always; what stands nearest comes first, so that a title beside a `$ref` wins.
    pub certain: Vec<NodeId>,
    /// They hold on a condition: `if`, `then`, `else`, `dependentSchemas`.
    pub conditional: Vec<NodeId>,
    /// They are one choice of several: `anyOf`, `oneOf`.
    pub branches: Vec<NodeId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Holding {
    Certainly,
    Conditionally,
    AsBranch,
}

/// A property, with the subschemas that speak of it by name.
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub certain: Vec<NodeId>,
    pub conditional: Vec<NodeId>,
    pub branches: Vec<NodeId>,
    pub required: bool,
}

impl Named<'_> {
    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.certain.iter().chain(&self.conditional).chain(&self.branches).copied()
    }
}

impl Facets {
    pub fn of(document: &Document, certain: &[NodeId]) -> Self {
        Self::gather(document, certain, &[], &[])
    }

    pub fn gather(document: &Document, certain: &[NodeId], conditional: &[NodeId], branches: &[NodeId]) -> Self {
        let mut facets = Self::default();
        let mut seen = HashSet::new();
        for (nodes, holding) in
            [(certain, Holding::Certainly), (conditional, Holding::Conditionally), (branches, Holding::AsBranch)]
        {
            for &id in nodes {
                facets.add(document, id, holding, &mut seen);
            }
        }
        facets
    }

    fn add(&mut self, document: &Document, id: NodeId, holding: Holding, seen: &mut HashSet<(NodeId, Holding)>) {
        if !seen.insert((id, holding)) {
            return;
        }
        match holding {
            Holding::Certainly => self.certain.push(id),
            Holding::Conditionally => self.conditional.push(id),
            Holding::AsBranch => self.branches.push(id),
        }
        for edge in &document.nodes[id].edges {
            let below = match (edge.keyword, holding) {
                ("$ref" | "$dynamicRef" | "allOf", _) => holding,
                ("if" | "then" | "else" | "dependentSchemas", Holding::Certainly) => Holding::Conditionally,
                ("if" | "then" | "else" | "dependentSchemas", _) => holding,
                ("anyOf" | "oneOf", _) => Holding::AsBranch,
                _ => continue,
            };
            self.add(document, edge.to, below, seen);
        }
    }

    pub fn all(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.certain.iter().chain(&self.conditional).chain(&self.branches).copied()
    }

    /// The first that is said by a word, the surest first.
    pub fn keyword<'a>(&self, document: &Document<'a>, word: &str) -> Option<&'a Value> {
        self.certain.iter().chain(&self.conditional).find_map(|&id| document.nodes[id].keyword(word))
    }

    /// The properties that are named, in the order of the schema.
    pub fn properties<'a>(&self, document: &Document<'a>) -> Vec<Named<'a>> {
        let mut named: Vec<Named<'a>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (nodes, holding) in [
            (&self.certain, Holding::Certainly),
            (&self.conditional, Holding::Conditionally),
            (&self.branches, Holding::AsBranch),
        ] {
            for &id in nodes {
                for edge in document.nodes[id].edges_of("properties") {
                    let place = *places.entry(edge.name).or_insert_with(|| {
                        named.push(Named {
                            name: edge.name,
                            certain: Vec::new(),
                            conditional: Vec::new(),
                            branches: Vec::new(),
                            required: false,
                        });
                        named.len() - 1
                    });
                    match holding {
                        Holding::Certainly => named[place].certain.push(edge.to),
                        Holding::Conditionally => named[place].conditional.push(edge.to),
                        Holding::AsBranch => named[place].branches.push(edge.to),
                    }
                }
            }
        }
        for &id in &self.certain {
            let Some(Value::Array(required)) = document.nodes[id].keyword("required") else { continue };
            for name in required.iter().filter_map(Value::as_str) {
                if let Some(&place) = places.get(name) {
                    named[place].required = true;
                }
            }
        }
        named
    }
}

/// Which of the JSON types a value may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Types(u8);

impl Types {
    pub const ALL: Self = Self(0b11_1111);
    pub const NULL: Self = Self(1);
    pub const BOOLEAN: Self = Self(2);
    pub const NUMBER: Self = Self(4);
    pub const STRING: Self = Self(8);
    pub const ARRAY: Self = Self(16);
    pub const OBJECT: Self = Self(32);
    pub const NONE: Self = Self(0);

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether they are one of the types.
    pub fn is_one(self) -> bool {
        self.0.count_ones() == 1
    }

    /// Each of them by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..6).map(|bit| Self(1 << bit)).filter(move |one| self.has(*one))
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "number" | "integer" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::NONE,
        }
    }

    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    /// What a subschema leaves possible. References that are about the same value come to an end, as `check` has seen to.
    pub(super) fn of(document: &Document, id: NodeId) -> Self {
        let node = &document.nodes[id];
        let mut types = match node.schema {
            Value::Bool(false) => return Self::NONE,
            _ => Self::ALL,
        };
        match node.keyword("type") {
            Some(Value::String(name)) => types = types.and(Self::named(name)),
            Some(Value::Array(names)) => {
                types = types.and(names.iter().filter_map(Value::as_str).map(Self::named).fold(Self::NONE, Self::or));
            }
            _ => {}
        }
        if let Some(value) = node.keyword("const") {
            types = types.and(Self::of_value(value));
        }
        if let Some(Value::Array(values)) = node.keyword("enum") {
            types = types.and(values.iter().map(Self::of_value).fold(Self::NONE, Self::or));
        }
        for word in ["anyOf", "oneOf"] {
            let mut branches = node.edges_of(word).peekable();
            if branches.peek().is_some() {
                types = types.and(branches.map(|edge| Self::of(document, edge.to)).fold(Self::NONE, Self::or));
            }
        }
        for edge in &node.edges {
            if edge.keyword == "allOf" || edge.keyword == "$ref" {
                types = types.and(Self::of(document, edge.to));
            }
        }
        types
    }
}
