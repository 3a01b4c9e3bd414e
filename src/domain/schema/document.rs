//! A schema document taken apart: its subschemas, what leads from one to another, and where each reference ends.
//!
//! Only what the document itself holds is looked at; a reference that leads out of it is a fault, never fetched. Values
//! under `enum`, `const`, `default` and `examples` are data and hold no subschemas, whatever they look like.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{limits, pointer, uri};
use crate::domain::FieldError;

/// The base that a schema without an absolute `$id` has, so that relative ones resolve among themselves.
const NO_BASE: &str = "json-schema:///";

/// Keywords that hold subschemas: the word, how it holds them, what they are about.
pub(super) const APPLICATORS: &[(&str, Holds, About)] = &[
    ("allOf", Holds::List, About::SameValue),
    ("anyOf", Holds::List, About::SameValue),
    ("oneOf", Holds::List, About::SameValue),
    ("not", Holds::One, About::SameValue),
    ("if", Holds::One, About::SameValue),
    ("then", Holds::One, About::SameValue),
    ("else", Holds::One, About::SameValue),
    ("dependentSchemas", Holds::Named, About::SameValue),
    ("properties", Holds::Named, About::Part),
    ("patternProperties", Holds::Named, About::Part),
    ("additionalProperties", Holds::One, About::Part),
    ("unevaluatedProperties", Holds::One, About::Part),
    ("propertyNames", Holds::One, About::Part),
    ("prefixItems", Holds::List, About::Part),
    ("items", Holds::One, About::Part),
    ("unevaluatedItems", Holds::One, About::Part),
    ("contains", Holds::One, About::Part),
    ("contentSchema", Holds::One, About::Nothing),
    ("$defs", Holds::Named, About::Nothing),
    ("definitions", Holds::Named, About::Nothing),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    One,
    List,
    Named,
}

/// What a subschema is about, seen from the schema that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// The same value.
    SameValue,
    /// A property, an item or a name of it.
    Part,
    /// Nothing until somebody refers to it.
    Nothing,
}

/// A subschema, by its number in the document.
pub(super) type NodeId = usize;

pub(super) struct Node<'a> {
    pub pointer: String,
    pub schema: &'a Value,
    pub edges: Vec<Edge<'a>>,
    resource: usize,
}

impl<'a> Node<'a> {
    pub fn keyword(&self, word: &str) -> Option<&'a Value> {
        self.schema.as_object()?.get(word)
    }

    pub fn edges_of<'s>(&'s self, word: &'s str) -> impl Iterator<Item = &'s Edge<'a>> + 's {
        self.edges.iter().filter(move |edge| edge.keyword == word)
    }
}

pub(super) struct Edge<'a> {
    pub keyword: &'static str,
    /// The property name or pattern where the keyword names its subschemas.
    pub name: &'a str,
    pub about: About,
    pub to: NodeId,
}

impl Edge<'_> {
    pub fn is_reference(&self) -> bool {
        matches!(self.keyword, "$ref" | "$dynamicRef")
    }
}

struct Resource {
    uri: String,
    pointer: String,
}

pub(super) struct Document<'a> {
    pub nodes: Vec<Node<'a>>,
    /// What is wrong with identifiers and references.
    pub faults: Vec<FieldError>,
    /// Subschemas that only a reference makes one: no keyword leads to where they stand.
    pub strays: Vec<NodeId>,
    root: &'a Value,
    by_pointer: HashMap<String, NodeId>,
    pointers_bytes: usize,
    resources: Vec<Resource>,
    by_uri: HashMap<String, usize>,
    anchors: HashMap<(usize, &'a str), NodeId>,
    dynamic_anchors: HashMap<&'a str, Vec<NodeId>>,
}

impl<'a> Document<'a> {
    /// The caller has bounded the document's size and nesting.
    pub fn read(root: &'a Value) -> Self {
        let mut document = Self {
            nodes: Vec::new(),
            faults: Vec::new(),
            strays: Vec::new(),
            root,
            by_pointer: HashMap::new(),
            pointers_bytes: 0,
            resources: vec![Resource { uri: NO_BASE.to_string(), pointer: String::new() }],
            by_uri: HashMap::from([(NO_BASE.to_string(), 0)]),
            anchors: HashMap::new(),
            dynamic_anchors: HashMap::new(),
        };
        document.visit(root, String::new(), 0);
        // a reference may lead to a place that no keyword makes a subschema; it becomes one, at the end of the list
        let mut next = 0;
        while next < document.nodes.len() {
            document.link(next);
            next += 1;
        }
        document
    }

    pub fn root(&self) -> NodeId {
        0
    }

    pub fn is_too_large(&self) -> bool {
        self.nodes.len() > limits::SUBSCHEMAS || self.pointers_bytes > limits::POINTERS_BYTES
    }

    fn visit(&mut self, schema: &'a Value, pointer: String, resource: usize) -> NodeId {
        if let Some(&known) = self.by_pointer.get(&pointer) {
            return known;
        }
        let id = self.nodes.len();
        self.pointers_bytes += pointer.len();
        self.by_pointer.insert(pointer.clone(), id);
        self.nodes.push(Node { pointer: pointer.clone(), schema, edges: Vec::new(), resource });
        if self.is_too_large() {
            return id;
        }
        if let Value::Object(object) = schema {
            let resource = self.identify(object, &pointer, id, resource);
            self.nodes[id].resource = resource;
            let edges = self.visit_parts(object, &pointer, resource);
            self.nodes[id].edges = edges;
        }
        id
    }

    fn visit_parts(&mut self, object: &'a Map<String, Value>, pointer: &str, resource: usize) -> Vec<Edge<'a>> {
        let mut edges = Vec::new();
        for (word, value) in object {
            let Some(&(keyword, holds, about)) = APPLICATORS.iter().find(|(name, ..)| name == word) else { continue };
            let pointer = pointer::join(pointer, keyword);
            match (holds, value) {
                (Holds::One, Value::Object(_) | Value::Bool(_)) => {
                    edges.push(Edge { keyword, name: "", about, to: self.visit(value, pointer, resource) });
                }
                (Holds::List, Value::Array(schemas)) => {
                    for (i, schema) in schemas.iter().enumerate() {
                        let to = self.visit(schema, format!("{pointer}/{i}"), resource);
                        edges.push(Edge { keyword, name: "", about, to });
                    }
                }
                (Holds::Named, Value::Object(schemas)) => {
                    for (name, schema) in schemas {
                        let to = self.visit(schema, pointer::join(&pointer, name), resource);
                        edges.push(Edge { keyword, name, about, to });
                    }
                }
                _ => {}
            }
        }
        edges
    }

    /// Notes the `$id` and the anchors of a subschema; the resource it belongs to.
    fn identify(&mut self, object: &'a Map<String, Value>, pointer: &str, id: NodeId, resource: usize) -> usize {
        let mut resource = resource;
        if let Some(Value::String(text)) = object.get("$id")
            && !text.starts_with('#')
        {
            let Some(uri) = uri::resolve(&self.resources[resource].uri, text) else {
                let message = format!("\"{text}\" is not a URI.");
                self.faults.push(FieldError::new(pointer::join(pointer, "$id"), "$id", message));
                return resource;
            };
            if id == self.root() {
                self.by_uri = HashMap::from([(uri.clone(), 0)]);
                self.resources[0].uri = uri;
            } else if self.by_uri.contains_key(&uri) {
                self.faults.push(FieldError::new(
                    pointer::join(pointer, "$id"),
                    "$id",
                    format!("\"{text}\" already names another part of this schema. Choose another name."),
                ));
            } else {
                resource = self.resources.len();
                self.by_uri.insert(uri.clone(), resource);
                self.resources.push(Resource { uri, pointer: pointer.to_string() });
            }
        }
        for word in ["$anchor", "$dynamicAnchor"] {
            if let Some(Value::String(name)) = object.get(word) {
                if self.anchors.insert((resource, name), id).is_some_and(|other| other != id) {
                    self.faults.push(FieldError::new(
                        pointer::join(pointer, word),
                        word,
                        format!("\"{name}\" already names another part of this schema. Choose another name."),
                    ));
                }
                if word == "$dynamicAnchor" {
                    self.dynamic_anchors.entry(name).or_default().push(id);
                }
            }
        }
        resource
    }

    fn link(&mut self, from: NodeId) {
        let Value::Object(object) = self.nodes[from].schema else { return };
        for keyword in ["$ref", "$dynamicRef"] {
            let Some(Value::String(reference)) = object.get(keyword) else { continue };
            match self.find(from, reference) {
                Ok(to) => {
                    let mut targets = vec![to];
                    if keyword == "$dynamicRef"
                        && let Some(Value::String(name)) = self.nodes[to].keyword("$dynamicAnchor")
                    {
                        targets.extend(
                            self.dynamic_anchors.get(name.as_str()).into_iter().flatten().filter(|&&id| id != to),
                        );
                    }
                    for to in targets {
                        self.nodes[from].edges.push(Edge { keyword, name: "", about: About::SameValue, to });
                    }
                }
                Err(message) => {
                    self.faults.push(FieldError::new(
                        pointer::join(&self.nodes[from].pointer, keyword),
                        keyword,
                        message,
                    ));
                }
            }
        }
    }

    fn find(&mut self, from: NodeId, reference: &str) -> Result<NodeId, String> {
        let own = self.nodes[from].resource;
        let resource = if uri::without_fragment(reference).is_empty() {
            own
        } else {
            let uri = uri::resolve(&self.resources[own].uri, reference);
            uri.and_then(|uri| self.by_uri.get(&uri).copied()).ok_or_else(|| {
                format!(
                    "\"{reference}\" is another document, and no other document is ever fetched. Copy the part that is \
                     needed under \"$defs\" and refer to it, for example with \"#/$defs/address\"."
                )
            })?
        };
        let fragment = uri::fragment(reference);
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return self.anchors.get(&(resource, fragment.as_str())).copied().ok_or_else(|| {
                format!("Nothing in this schema is called \"{fragment}\". Add \"$anchor\": \"{fragment}\" to the part that is meant.")
            });
        }
        let target = format!("{}{fragment}", self.resources[resource].pointer);
        if let Some(&known) = self.by_pointer.get(&target) {
            return Ok(known);
        }
        match self.root.pointer(&target) {
            Some(schema @ (Value::Object(_) | Value::Bool(_))) => {
                let stray = self.visit(schema, target, resource);
                self.strays.push(stray);
                Ok(stray)
            }
            Some(_) => Err(format!("\"{reference}\" leads to something that is not a schema.")),
            None => Err(format!("\"{reference}\" leads nowhere: there is no such place in this schema.")),
        }
    }

    /// Whether a subschema can be reached from itself, for every subschema.
    pub fn recursive(&self) -> Vec<bool> {
        let components = self.components();
        let mut size = vec![0usize; self.nodes.len()];
        for &component in &components {
            size[component] += 1;
        }
        (0..self.nodes.len())
            .map(|id| {
                size[components[id]] > 1 || self.nodes[id].edges.iter().any(|e| e.about != About::Nothing && e.to == id)
            })
            .collect()
    }

    /// The number of the strongly connected component of every subschema; a component's number is greater than those of
    /// the components it leads to. (Tarjan, without recursion: chains may be as long as the document.)
    pub fn components(&self) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let n = self.nodes.len();
        let (mut index, mut low, mut component) = (vec![UNSEEN; n], vec![0; n], vec![UNSEEN; n]);
        let (mut stack, mut work) = (Vec::new(), Vec::new());
        let (mut counter, mut found) = (0, 0);
        for start in 0..n {
            if index[start] != UNSEEN {
                continue;
            }
            work.push((start, 0));
            while let Some((id, next)) = work.pop() {
                if next == 0 {
                    index[id] = counter;
                    low[id] = counter;
                    counter += 1;
                    stack.push(id);
                }
                let edges = &self.nodes[id].edges;
                if let Some(edge) = edges.get(next) {
                    work.push((id, next + 1));
                    if edge.about != About::Nothing {
                        if index[edge.to] == UNSEEN {
                            work.push((edge.to, 0));
                        } else if component[edge.to] == UNSEEN {
                            low[id] = low[id].min(index[edge.to]);
                        }
                    }
                    continue;
                }
                // all that `id` leads to is done
                for edge in edges.iter().filter(|e| e.about != About::Nothing && component[e.to] == UNSEEN) {
                    low[id] = low[id].min(low[edge.to]);
                }
                if low[id] == index[id] {
                    while let Some(member) = stack.pop() {
                        component[member] = found;
                        if member == id {
                            break;
                        }
                    }
                    found += 1;
                }
            }
        }
        component
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target<'a>(document: &'a Document, from: &str) -> Option<&'a str> {
        let id = document.by_pointer[from];
        let edge = document.nodes[id].edges.iter().find(|e| e.is_reference())?;
        Some(&document.nodes[edge.to].pointer)
    }

    #[test]
    fn references_end_where_pointers_anchors_and_ids_say() {
        let schema = json!({
            "$id": "https://example.com/root",
            "properties": {
                "pointer": {"$ref": "#/$defs/a~1b"},
                "percent": {"$ref": "#/$defs/a%20c"},
                "anchor": {"$ref": "#here"},
                "own": {"$ref": "https://example.com/root#here"},
                "embedded": {"$ref": "item"},
                "inner": {"$ref": "item#/$defs/deep"},
                "odd": {"$ref": "#/x-shelf/thing"},
                "self": {"$ref": "#"}
            },
            "x-shelf": {"thing": {"type": "string"}},
            "$defs": {
                "a/b": {}, "a c": {}, "c": {"$anchor": "here"},
                "d": {"$id": "item", "$defs": {"deep": {}, "back": {"$ref": "#/$defs/deep"}}}
            }
        });
        let document = Document::read(&schema);
        assert_eq!(document.faults, []);
        for (from, to) in [
            ("/properties/pointer", "/$defs/a~1b"),
            ("/properties/percent", "/$defs/a c"),
            ("/properties/anchor", "/$defs/c"),
            ("/properties/own", "/$defs/c"),
            ("/properties/embedded", "/$defs/d"),
            ("/properties/inner", "/$defs/d/$defs/deep"),
            ("/properties/odd", "/x-shelf/thing"),
            ("/properties/self", ""),
            ("/$defs/d/$defs/back", "/$defs/d/$defs/deep"),
        ] {
            assert_eq!(target(&document, from), Some(to), "{from}");
        }
    }

    #[test]
    fn data_that_looks_like_a_schema_is_not_one() {
        let schema = json!({
            "const": {"$ref": "http://elsewhere/"}, "enum": [{"$ref": "#/nowhere"}], "default": {"$id": "x"},
            "examples": [{"$anchor": "y"}], "properties": {"$ref": {"type": "string"}}
        });
        let document = Document::read(&schema);
        assert_eq!(document.faults, []);
        assert_eq!(document.nodes.len(), 2);
    }

    #[test]
    fn components_follow_what_leads_where() {
        let schema = json!({
            "properties": {"tree": {"$ref": "#/$defs/tree"}, "plain": {"$ref": "#/$defs/plain"}},
            "$defs": {"tree": {"properties": {"children": {"items": {"$ref": "#/$defs/tree"}}}}, "plain": {"type": "string"}}
        });
        let document = Document::read(&schema);
        let recursive = document.recursive();
        let is = |pointer: &str| recursive[document.by_pointer[pointer]];
        assert!(
            is("/$defs/tree") && is("/$defs/tree/properties/children") && is("/$defs/tree/properties/children/items")
        );
        assert!(!is("") && !is("/$defs/plain") && !is("/properties/tree"));
        let components = document.components();
        assert!(components[0] > components[document.by_pointer["/$defs/tree"]]);
    }
}
