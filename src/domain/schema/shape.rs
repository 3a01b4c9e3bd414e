//! How a record of a type is cut into places that merge on their own.
//!
//! Merging itself needs no shape; a writer needs it, to know which part of a document is one value and which has parts.

use std::collections::HashMap;

use serde_json::Value;

use super::document::{Document, NodeId};
use super::facets::{Facets, Types};
use super::limits;
use crate::domain::blob::says_file;

/// How a value is cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// An object of one fixed shape: each property on its own. Properties that the schema does not name are each one value.
    Object(ObjectShape),
    /// An array of objects of one shape: a repeated group, whose items have keys and are of the shape that is held here.
    Group(Box<Shape>),
    /// A list without repeats: each element on its own, adding wins. Elements are known by their value.
    Set,
    /// A number of which differences add up: what two people take away at once is taken away twice.
    Counter,
    /// A long text: what several people change of it at once is woven together.
    Text,
    /// One value, replaced whole: scalars, other lists of scalars, values of several possible shapes, free property names,
    /// recursion, and whatever a rule from outside ties together.
    Leaf,
}

/// The properties of an object of fixed shape, in the order of the schema.
#[derive(Debug, Clone, Default)]
pub struct ObjectShape {
    properties: Vec<Property>,
    by_name: HashMap<String, usize>,
}

impl PartialEq for ObjectShape {
    fn eq(&self, other: &Self) -> bool {
        self.properties == other.properties
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    pub name: String,
    pub shape: Shape,
    /// Required on no condition, where the object is there.
    pub required: bool,
}

impl ObjectShape {
    fn new(properties: Vec<Property>) -> Self {
        let by_name = properties.iter().enumerate().map(|(i, property)| (property.name.clone(), i)).collect();
        Self { properties, by_name }
    }

    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    pub fn property(&self, name: &str) -> Option<&Property> {
        self.by_name.get(name).map(|&i| &self.properties[i])
    }

    /// The shape of a property; one that the schema does not name is a leaf.
    pub fn shape_of(&self, name: &str) -> &Shape {
        self.property(name).map_or(&Shape::Leaf, |property| &property.shape)
    }
}

impl Shape {
    /// The shape at a path of property names and, below a group, item keys of whatever kind. `None` below a leaf.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Shape> {
        path.iter().try_fold(self, |shape, segment| match shape {
            Shape::Object(object) => Some(object.shape_of(segment.as_ref())),
            Shape::Group(item) => Some(item.as_ref()),
            Shape::Set => Some(&Shape::Leaf),
            Shape::Counter | Shape::Text | Shape::Leaf => None,
        })
    }

    /// Whether what is inside has no shape of its own.
    pub fn is_leaf(&self) -> bool {
        matches!(self, Shape::Leaf | Shape::Set | Shape::Counter | Shape::Text)
    }

    /// Makes one value of what stands at a path. Nothing happens below a leaf.
    pub(super) fn make_leaf<S: AsRef<str>>(&mut self, path: &[S]) {
        let Some((first, rest)) = path.split_first() else {
            *self = Shape::Leaf;
            return;
        };
        match self {
            Shape::Object(object) => {
                if let Some(&i) = object.by_name.get(first.as_ref()) {
                    object.properties[i].shape.make_leaf(rest);
                }
            }
            // a repeated group whose items are one value has nothing to merge inside: it is a list
            Shape::Group(_) if rest.is_empty() => *self = Shape::Leaf,
            Shape::Group(item) => item.make_leaf(rest),
            Shape::Set | Shape::Counter | Shape::Text | Shape::Leaf => {}
        }
    }

    /// The shape of a document, whose root is always an object.
    pub(super) fn of(document: &Document) -> Self {
        let mut builder = Builder {
            document,
            recursive: document.recursive(),
            open: vec![0; document.nodes.len()],
            places: 0,
            nesting: 0,
        };
        match builder.shape(&[document.root()], &[], true) {
            Shape::Object(object) => Shape::Object(object),
            _ => Shape::Object(ObjectShape::default()),
        }
    }
}

struct Builder<'d, 'a> {
    document: &'d Document<'a>,
    recursive: Vec<bool>,
    /// How often a subschema is being worked at, further up.
    open: Vec<u32>,
    places: usize,
    nesting: usize,
}

impl Builder<'_, '_> {
    /// The shape of a value of which these subschemas speak. Where none holds for certain, the conditional ones must agree.
    fn shape(&mut self, certain: &[NodeId], conditional: &[NodeId], is_root: bool) -> Shape {
        self.places += 1;
        let lead = if certain.is_empty() { conditional } else { certain };
        if lead.is_empty() || self.places > limits::PLACES || self.nesting > limits::PLACE_NESTING {
            return Shape::Leaf;
        }
        let facets = Facets::gather(self.document, certain, conditional, &[]);
        let fixed: Vec<NodeId> = facets.certain.iter().chain(&facets.conditional).copied().collect();
        if fixed.iter().any(|&id| self.recursive[id] && self.open[id] > 0) {
            return Shape::Leaf;
        }
        if !is_root && fixed.iter().any(|&id| says_file(self.document.nodes[id].keyword("x-kind"))) {
            // the hash of one file with the name of another would be neither
            return Shape::Leaf;
        }
        let types = lead.iter().map(|&id| Types::of(self.document, id)).fold(Types::ALL, Types::and);
        let says = |word: &str| fixed.iter().any(|&id| self.document.nodes[id].keyword(word).is_some());
        let types = match types {
            Types::ALL if says("properties") => Types::OBJECT,
            Types::ALL if says("items") => Types::ARRAY,
            types => types,
        };
        for &id in &fixed {
            self.open[id] += 1;
        }
        self.nesting += 1;
        let shape = if is_root || types == Types::OBJECT {
            self.object(&facets, &fixed, is_root)
        } else if types == Types::ARRAY {
            self.array(&facets)
        } else if self.is_counter(&facets, types) {
            Shape::Counter
        } else if self.is_text(&facets, types) {
            Shape::Text
        } else {
            Shape::Leaf
        };
        for &id in &fixed {
            self.open[id] -= 1;
        }
        self.nesting -= 1;
        shape
    }

    fn object(&mut self, facets: &Facets, fixed: &[NodeId], is_root: bool) -> Shape {
        let named = facets.properties(self.document);
        if !is_root {
            let nothing_named =
                named.iter().all(|property| property.certain.is_empty() && property.conditional.is_empty());
            if nothing_named || fixed.iter().any(|&id| self.has_free_names(id)) {
                return Shape::Leaf;
            }
        }
        let properties = named
            .into_iter()
            .map(|property| Property {
                name: property.name.to_string(),
                shape: self.shape(&property.certain, &property.conditional, false),
                required: property.required,
            })
            .collect();
        Shape::Object(ObjectShape::new(properties))
    }

    /// Whether a schema is declared for properties that are not named.
    fn has_free_names(&self, id: NodeId) -> bool {
        let node = &self.document.nodes[id];
        let declares = |word: &str| matches!(node.keyword(word), Some(Value::Object(schema)) if !schema.is_empty());
        declares("patternProperties") || declares("additionalProperties") || declares("unevaluatedProperties")
    }

    fn array(&mut self, facets: &Facets) -> Shape {
        let nodes = &self.document.nodes;
        if facets.all().any(|id| nodes[id].keyword("prefixItems").is_some()) {
            return Shape::Leaf;
        }
        let items = |ids: &[NodeId]| -> Vec<NodeId> {
            ids.iter().flat_map(|&id| nodes[id].edges_of("items")).map(|edge| edge.to).collect()
        };
        match self.shape(&items(&facets.certain), &items(&facets.conditional), false) {
            item @ Shape::Object(_) => Shape::Group(Box::new(item)),
            Shape::Leaf if self.is_set(facets) => Shape::Set,
            _ => Shape::Leaf,
        }
    }
}

impl Builder<'_, '_> {
    /// Whether elements may come and go one by one: the list says that none repeats, or that it is a set, and nothing
    /// in its schema looks at it as a whole, but for how many there are.
    fn is_set(&self, facets: &Facets) -> bool {
        let merges = self.says(facets, "x-merge", "set")
            || self.says(facets, "uniqueItems", true) && !self.says(facets, "x-merge", "lww");
        merges && self.is_looked_at_in_parts(facets)
    }

    /// Whether it is a number that says that differences add up.
    fn is_counter(&self, facets: &Facets, types: Types) -> bool {
        types == Types::NUMBER && self.says(facets, "x-merge", "counter") && self.is_looked_at_in_parts(facets)
    }

    /// Whether it is a text that says that changes are woven together, and no rule asks for a certain form of the whole.
    fn is_text(&self, facets: &Facets, types: Types) -> bool {
        let mut nodes = facets.certain.iter().map(|&id| &self.document.nodes[id]);
        types == Types::STRING
            && self.says(facets, "x-merge", "text")
            && self.is_looked_at_in_parts(facets)
            && !nodes.any(|node| ["pattern", "format"].iter().any(|word| node.keyword(word).is_some()))
    }

    fn says(&self, facets: &Facets, word: &str, what: impl Into<Value>) -> bool {
        let what = what.into();
        facets.certain.iter().any(|&id| self.document.nodes[id].keyword(word) == Some(&what))
    }

    /// Whether no rule of its own schema allows only certain values of the whole.
    fn is_looked_at_in_parts(&self, facets: &Facets) -> bool {
        const WHOLE: [&str; 13] = [
            "const",
            "enum",
            "not",
            "anyOf",
            "oneOf",
            "if",
            "then",
            "else",
            "contains",
            "dependentSchemas",
            "dependentRequired",
            "unevaluatedItems",
            "x-compute",
        ];
        let mut nodes = facets.certain.iter().map(|&id| &self.document.nodes[id]);
        facets.conditional.is_empty() && !nodes.any(|node| WHOLE.iter().any(|word| node.keyword(word).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A shape in few words: `{a, b: {c}, d: [{e}]}`.
    fn sketch(shape: &Shape) -> String {
        match shape {
            Shape::Leaf => String::new(),
            Shape::Set => "*".into(),
            Shape::Counter => "+".into(),
            Shape::Text => "~".into(),
            Shape::Group(item) => format!("[{}]", sketch(item)),
            Shape::Object(object) => {
                let properties: Vec<String> = object
                    .properties()
                    .iter()
                    .map(|property| match sketch(&property.shape) {
                        below if below.is_empty() => property.name.clone(),
                        below => format!("{}: {below}", property.name),
                    })
                    .collect();
                format!("{{{}}}", properties.join(", "))
            }
        }
    }

    #[test]
    fn shapes_follow_the_table() {
        let table: Vec<Value> = serde_json::from_str(include_str!("../../../tests/data/schema/shapes.json")).unwrap();

        for case in table {
            let document = Document::read(&case["schema"]);
            assert_eq!(document.faults, []);
            assert_eq!(sketch(&Shape::of(&document)), case["shape"], "{}", case["what"]);
        }
    }

    #[test]
    fn a_path_leads_through_properties_and_items() {
        let schema = json!({"properties": {"parts": {"type": "array", "items": {
            "type": "object", "properties": {"quantity": {"type": "number"}, "@": {}}}}, "a/b": {}, "": {}}});
        let shape = Shape::of(&Document::read(&schema));
        assert!(matches!(shape.at(&["parts"]), Some(Shape::Group(_))));
        assert!(matches!(shape.at(&["parts", "@k7f2"]), Some(Shape::Object(_))));
        assert!(shape.at(&["parts", "@k7f2", "quantity"]).is_some_and(Shape::is_leaf));
        assert!(shape.at(&["parts", "@k7f2", "@"]).is_some_and(Shape::is_leaf));
        assert!(shape.at(&["not named"]).is_some_and(Shape::is_leaf));
        assert_eq!(shape.at(&["not named", "deeper"]), None);
        assert!(shape.at(&[""]).is_some_and(Shape::is_leaf));
        assert_eq!(shape.at::<&str>(&[]), Some(&shape));
    }

    #[test]
    fn parts_referred_to_again_and_again_do_not_explode() {
        let mut defs = serde_json::Map::new();
        for i in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            defs.insert(format!("d{i}"), json!({"type": "object", "properties": {"a": next, "b": next, "c": next}}));
        }
        defs.insert("d30".into(), json!({"type": "string"}));
        let schema = json!({"properties": {"x": {"$ref": "#/$defs/d0"}, "y": {"type": "string"}}, "$defs": defs});
        let shape = Shape::of(&Document::read(&schema));
        assert!(shape.at(&["x", "a", "a", "a"]).is_some());
        assert!(shape.at(&["y"]).is_some_and(Shape::is_leaf));
    }
}
