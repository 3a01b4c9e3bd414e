//! Reads the words of our vocabulary that speak of a whole type: which fields name a record, which field scopes it.

use serde_json::Value;

use super::{conflict::Conflict, document::Document, facets::Facets, fields, pointer, units::Units};
use crate::domain::FieldError;

/// The fields that name a record in lists: `x-title` at the root, a name or a list of names; or `"x-title": true` at the fields.
pub(super) fn title_fields(document: &Document) -> Vec<String> {
    named(document, "x-title")
}

/// The field whose value decides which edges hold a record: `x-scope` at the root, or `"x-scope": true` at the field.
pub(super) fn scope_field(document: &Document) -> Option<String> {
    named(document, "x-scope").into_iter().next()
}

/// The pointers that a word names at the root, where they exist.
fn named(document: &Document, word: &str) -> Vec<String> {
    let facets = Facets::of(document, &[document.root()]);
    let root = &document.nodes[document.root()];
    let names: Vec<&str> = match root.keyword(word) {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => {
            let marked = facets.properties(document).into_iter().filter(|property| {
                property.all().any(|id| document.nodes[id].keyword(word) == Some(&Value::Bool(true)))
            });
            return marked.map(|property| pointer::join("", property.name)).collect();
        }
    };
    names.into_iter().filter(|name| leads_to_field(document, name)).map(as_pointer).collect()
}

/// A field is named by its property name or, where it lies deeper, by its JSON Pointer.
fn as_pointer(name: &str) -> String {
    if name.starts_with('/') { name.to_string() } else { pointer::join("", name) }
}

fn leads_to_field(document: &Document, name: &str) -> bool {
    let mut nodes = vec![document.root()];
    for segment in pointer::segments(&as_pointer(name)) {
        let facets = Facets::of(document, &nodes);
        let Some(property) = facets.properties(document).into_iter().find(|property| property.name == segment) else {
            return false;
        };
        nodes = property.all().collect();
    }
    true
}

/// What names a field must name one that exists.
pub(super) fn check(document: &Document, errors: &mut Vec<FieldError>) {
    if !errors.is_empty() {
        return;
    }
    for (id, node) in document.nodes.iter().enumerate() {
        if keeps_an_end(node.keyword(CONFLICT)) && !fields::has_order(document, id) {
            let message =
                "Values here have no order: \"highest\" and \"lowest\" are for numbers, dates and date-times.";
            errors.push(FieldError::new(pointer::join(&node.pointer, CONFLICT), CONFLICT, message));
        }
    }
    let root = &document.nodes[document.root()];
    for word in ["x-title", "x-scope"] {
        let names: Vec<&str> = match root.keyword(word) {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => continue,
        };
        for name in names.into_iter().filter(|name| !leads_to_field(document, name)) {
            let message = format!("There is no field \"{name}\". Name one of the type's properties.");
            errors.push(FieldError::new(pointer::join("", word), word, message));
        }
    }
}

const CONFLICT: &str = "x-conflict";

fn keeps_an_end(word: Option<&Value>) -> bool {
    matches!(Conflict::of(word), Conflict::Highest | Conflict::Lowest)
}

/// A value that is written again by itself must not be one that a rule ties to others: those would stay as they are.
pub(super) fn check_units(document: &Document, fields: &[fields::Field], units: &Units) -> Vec<FieldError> {
    let ends = fields.iter().filter(|field| matches!(field.conflict, Conflict::Highest | Conflict::Lowest));
    let tied = ends.filter(|field| {
        let steps: Vec<String> = pointer::segments(&field.pointer).collect();
        units.of(&steps).is_some()
    });
    let faults = tied.filter_map(|field| {
        let at = pointer::join("/properties", &field.name);
        let says = |node: &&super::document::Node| node.pointer.ends_with(&at) && keeps_an_end(node.keyword(CONFLICT));
        let node = document.nodes.iter().find(says)?;
        let message = format!(
            "A rule ties \"{}\" to other fields, so it cannot go back to its highest or lowest value alone. Use \"ask\".",
            field.title
        );
        Some(FieldError::new(pointer::join(&node.pointer, CONFLICT), CONFLICT, message))
    });
    faults.collect()
}
