//! Judges where the references of a schema lead: not in circles, not too far, not to too many places at once.
//!
//! Nothing here recurses, so that a chain of references as long as the document is a clear error and not a full stack.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{About, Document, Node, NodeId};
use super::{limits, pointer};
use crate::domain::FieldError;

pub(super) fn check(document: &Document, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    same_value(document, errors);
    if errors.len() == before {
        depth(document, errors);
    }
}

/// Follows what is about the same value: it must come to an end, soon, and not fan out without bound.
fn same_value(document: &Document, errors: &mut Vec<FieldError>) {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Unseen,
        Open,
        Done { refs: usize, subschemas: usize },
    }
    let mut states = vec![State::Unseen; document.nodes.len()];
    for start in 0..document.nodes.len() {
        if states[start] != State::Unseen {
            continue;
        }
        let mut work: Vec<(NodeId, usize)> = vec![(start, 0)];
        while let Some((id, next)) = work.pop() {
            states[id] = State::Open;
            let node = &document.nodes[id];
            if let Some(edge) = node.edges.get(next) {
                work.push((id, next + 1));
                if edge.about != About::SameValue {
                    continue;
                }
                match states[edge.to] {
                    State::Unseen => work.push((edge.to, 0)),
                    State::Open => {
                        let message = "This leads back to itself without ever looking at a value. Refer to the part that is \
                                       meant; a schema may only contain itself inside a property or an item.";
                        errors.push(FieldError::new(pointer::join(&node.pointer, edge.keyword), "$ref", message));
                        return;
                    }
                    State::Done { .. } => {}
                }
                continue;
            }
            let (mut refs, mut subschemas) = (0, 1usize);
            for edge in node.edges.iter().filter(|edge| edge.about == About::SameValue) {
                if let State::Done { refs: below, subschemas: each } = states[edge.to] {
                    refs = refs.max(below + usize::from(edge.is_reference()));
                    subschemas = subschemas.saturating_add(each);
                }
            }
            if refs > limits::REF_CHAIN {
                let message = format!(
                    "From here more than {} references lead from one to the next. Refer to the last of them directly.",
                    limits::REF_CHAIN
                );
                errors.push(FieldError::new(pointer::join(&node.pointer, "$ref"), "limit", message));
                return;
            }
            if subschemas > limits::SAME_PLACE {
                let message = format!(
                    "Here one value would be held against more than {} rules, since the same parts are referred to again \
                     and again. Refer to each part once.",
                    limits::SAME_PLACE
                );
                errors.push(FieldError::new(node.pointer.clone(), "limit", message));
                return;
            }
            states[id] = State::Done { refs, subschemas };
        }
    }
}

/// Bounds how deep subschemas lie within one another with each reference followed once, in whatever order that is done.
fn depth(document: &Document, errors: &mut Vec<FieldError>) {
    let components = document.components();
    let count = components.iter().max().map_or(0, |most| most + 1);
    let mut members: Vec<Vec<NodeId>> = vec![Vec::new(); count];
    for (id, &component) in components.iter().enumerate() {
        members[component].push(id);
    }
    // a component's number is greater than those it leads to, so all of these are known when it is its turn
    let mut deepest = vec![0usize; count];
    for component in 0..count {
        let leads = |node: &Node| {
            let edges = node.edges.iter().filter(|edge| edge.about != About::Nothing);
            edges.map(|edge| components[edge.to]).filter(|&to| to != component).map(|to| deepest[to]).max().unwrap_or(0)
        };
        let below = members[component].iter().map(|&id| leads(&document.nodes[id])).max().unwrap_or(0);
        deepest[component] = below + members[component].len();
        if deepest[component] > limits::SCHEMA_DEPTH {
            let at = members[component].iter().map(|&id| document.nodes[id].pointer.as_str()).min().unwrap_or("");
            let message = format!(
                "With its references written out, this schema is more than {} levels deep. Use fewer parts within one another.",
                limits::SCHEMA_DEPTH
            );
            errors.push(FieldError::new(at, "limit", message));
            return;
        }
    }
}

/// How deep records of a checked schema may be nested, so that judging them takes bounded work.
///
/// A schema that speaks of the same property twice, and again at the next level, is held against a value 2ⁿ times at level n.
/// So the work for one value is added up level by level, taking the worst property or item each time.
pub(super) fn record_nesting(document: &Document) -> usize {
    let parts: BTreeMap<NodeId, Parts> = heads(document).map(|id| (id, Parts::of(document, id))).collect();
    let mut work: Vec<usize> = vec![0; document.nodes.len()];
    for nesting in 0..limits::RECORD_NESTING {
        let mut next = work.clone();
        for (&id, parts) in &parts {
            next[id] = parts.count.saturating_add(parts.worst(&work));
        }
        if next[document.root()] > limits::HELD_AGAINST {
            return nesting;
        }
        if next == work {
            break;
        }
        work = next;
    }
    limits::RECORD_NESTING
}

/// The subschemas at which judging a value begins.
fn heads(document: &Document) -> impl Iterator<Item = NodeId> {
    let parts = document.nodes.iter().flat_map(|node| &node.edges).filter(|edge| edge.about == About::Part);
    parts.map(|edge| edge.to).chain([document.root()]).collect::<BTreeSet<_>>().into_iter()
}

/// What is said about the parts of a value, by all subschemas that speak of the value.
#[derive(Default)]
struct Parts<'a> {
    /// How many subschemas the value itself is held against.
    count: usize,
    /// By property name, those that a property of this name is held against.
    named: BTreeMap<&'a str, Vec<NodeId>>,
    /// Those for properties whose names are not listed, and those for whatever name.
    other: Vec<NodeId>,
    /// For items: one list for each subschema that speaks of items; an item is held against one of each list.
    items: Vec<Vec<NodeId>>,
}

impl<'a> Parts<'a> {
    fn of(document: &Document<'a>, head: NodeId) -> Self {
        let mut parts = Self::default();
        let mut open = vec![head];
        // a subschema that is reached on several ways is counted as often; `check` has seen that there are not many
        while let Some(id) = open.pop() {
            parts.count += 1;
            let mut by_position = Vec::new();
            for edge in &document.nodes[id].edges {
                match (edge.about, edge.keyword) {
                    (About::SameValue, _) => open.push(edge.to),
                    (About::Part, "properties") => parts.named.entry(edge.name).or_default().push(edge.to),
                    (About::Part, "prefixItems" | "items") => by_position.push(edge.to),
                    (About::Part, "contains" | "unevaluatedItems") => parts.items.push(vec![edge.to]),
                    (About::Part, _) => parts.other.push(edge.to),
                    (About::Nothing, _) => {}
                }
            }
            if !by_position.is_empty() {
                parts.items.push(by_position);
            }
        }
        parts
    }

    fn worst(&self, work: &[usize]) -> usize {
        let sum = |ids: &[NodeId]| ids.iter().fold(0usize, |sum, &id| sum.saturating_add(work[id]));
        let named = self.named.values().map(|ids| sum(ids)).max().unwrap_or(0).saturating_add(sum(&self.other));
        let most = |ids: &Vec<NodeId>| ids.iter().map(|&id| work[id]).max().unwrap_or(0);
        let items = self.items.iter().map(most).fold(0usize, usize::saturating_add);
        named.max(items)
    }
}
