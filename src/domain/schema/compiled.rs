//! A schema made ready for work: compiled once per version, shared, and then asked by pure calls.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use serde_json::Value;

use super::conflict::Conflict;
use super::document::Document;
use super::fields::{self, Field, Kind};
use super::parts::Parts;
use super::shape::Shape;
use super::units::{self, Units};
use super::{annotations, check, graph, limits, messages, patterns};
use crate::domain::FieldError;
use crate::domain::path::Path;

/// A custom type's schema, judged and compiled.
pub struct Schema {
    source: Value,
    validator: jsonschema::Validator,
    shape: Shape,
    units: Units,
    fields: Vec<Field>,
    /// From the pointer of a subschema with a reference to the pointer of what it refers to.
    references: HashMap<String, String>,
    title: Option<String>,
    title_fields: Vec<String>,
    scope_field: Option<String>,
    /// How deep a record may be nested.
    nesting: usize,
    /// Made for the first form.
    parts: OnceLock<Parts>,
}

impl Schema {
    /// Judges the schema as [`check`](super::check) does and compiles it. Older drafts are upgraded before, not here.
    pub fn compile(schema: &Value) -> Result<Self, Vec<FieldError>> {
        super::check(schema)?;
        let validator = validator(schema)?;
        let document = Document::read(schema);
        let mut shape = Shape::of(&document);
        let fields = fields::of(&document, &shape);
        let units = units::find(&document, &mut shape);
        let faults = annotations::check_units(&document, &fields, &units);
        if !faults.is_empty() {
            return Err(faults);
        }
        let references = document.nodes.iter().filter_map(|node| {
            let edge = node.edges.iter().find(|edge| edge.is_reference())?;
            Some((node.pointer.clone(), document.nodes[edge.to].pointer.clone()))
        });
        Ok(Self {
            references: references.collect(),
            title: schema.get("title").and_then(Value::as_str).map(str::to_string),
            title_fields: title_fields(&document, &fields),
            scope_field: annotations::scope_field(&document),
            nesting: graph::record_nesting(&document),
            source: schema.clone(),
            validator,
            shape,
            units,
            fields,
            parts: OnceLock::new(),
        })
    }

    /// What is wrong with a record; empty where nothing is. A missing property is told at the property, not at its parent.
    pub fn validate(&self, record: &Value) -> Vec<FieldError> {
        self.validate_chosen(record, &|_, _| None)
    }

    /// The same where a person chose among branches: `chosen` says which, from the place in the record and the place of the
    /// branches in the schema. What is wrong is told of that branch alone.
    pub fn validate_chosen(&self, record: &Value, chosen: &dyn Fn(&str, &str) -> Option<usize>) -> Vec<FieldError> {
        if let Some(fault) = self.record_fault(record) {
            return vec![fault];
        }
        if self.validator.is_valid(record) {
            return Vec::new();
        }
        let mut errors: Vec<FieldError> = Vec::new();
        for error in self.validator.iter_errors(record) {
            for error in messages::of_record_fault(self, &error, chosen) {
                if !errors.contains(&error) {
                    errors.push(error);
                }
            }
            if errors.len() >= limits::ERRORS {
                errors.truncate(limits::ERRORS);
                break;
            }
        }
        errors
    }

    pub fn is_valid(&self, record: &Value) -> bool {
        self.record_fault(record).is_none() && self.validator.is_valid(record)
    }

    /// What would make judging a record too much work.
    fn record_fault(&self, record: &Value) -> Option<FieldError> {
        if check::value_nesting(record, self.nesting).is_none() {
            let message = format!("This record is nested more than {} levels deep.", self.nesting);
            return Some(FieldError::new("", "limit", message));
        }
        check::number_fault(record, "")
    }

    /// How deep records may be nested: [`limits::RECORD_NESTING`], and less where the schema makes deep ones expensive.
    pub fn nesting(&self) -> usize {
        self.nesting
    }

    /// The schema as it was given.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Its subschemas, for whoever has to find the rules that hold for one value.
    pub fn parts(&self) -> &Parts {
        self.parts.get_or_init(|| Parts::of(&self.source))
    }

    /// How records are cut for merging.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What is written together.
    pub fn units(&self) -> &Units {
        &self.units
    }

    /// All fields, those of objects and of groups' items after their object or group.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field at a pointer; `@…` or a number stands for an item of a group.
    pub fn field(&self, pointer: &str) -> Option<&Field> {
        self.fields.iter().find(|field| leads_to(&self.shape, &field.pointer, pointer))
    }

    /// What becomes of a value that lost at this place, items by key.
    pub fn conflict(&self, path: &Path) -> Conflict {
        self.field(&path.to_string()).map_or(Conflict::Later, |field| field.conflict)
    }

    /// Fields that a list can show in a column, those that name a record first.
    pub fn columns(&self) -> Vec<&Field> {
        let top = || self.fields.iter().filter(|field| field.kind.is_scalar() && is_at_root(&field.pointer));
        let names = |field: &&Field| self.title_fields.contains(&field.pointer);
        top().filter(names).chain(top().filter(|field| !names(field))).collect()
    }

    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Pointers of the fields that name a record, in order; where the type names none, its first required text or its
    /// first text. Empty where it has no text.
    pub fn title_fields(&self) -> &[String] {
        &self.title_fields
    }

    /// Pointer of the field whose value decides which edges hold a record.
    pub fn scope_field(&self) -> Option<&str> {
        self.scope_field.as_deref()
    }

    /// What the reference of the subschema at `pointer` refers to, with its own pointer. `None` where it has no reference.
    pub fn referent(&self, pointer: &str) -> Option<(&str, &Value)> {
        let target = self.references.get(pointer)?;
        Some((target, self.source.pointer(target)?))
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The fields that name a record: those that the type names, or its first required text, or its first text.
fn title_fields(document: &Document, fields: &[Field]) -> Vec<String> {
    let named = annotations::title_fields(document);
    if !named.is_empty() {
        return named;
    }
    let texts = || fields.iter().filter(|field| field.kind == Kind::Text && is_at_root(&field.pointer));
    let first = texts().find(|field| field.required).or_else(|| texts().next());
    first.map(|field| field.pointer.clone()).into_iter().collect()
}

fn is_at_root(pointer: &str) -> bool {
    pointer.rfind('/') == Some(0)
}

/// Whether a field's pointer, with `@` for items, stands for a pointer into a record.
fn leads_to(shape: &Shape, field: &str, pointer: &str) -> bool {
    let (mut field, mut actual) = (field.split('/').skip(1), pointer.split('/').skip(1));
    let mut shape = Some(shape);
    loop {
        match (field.next(), actual.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) => {
                let is_item = matches!(shape, Some(Shape::Group(_)));
                if a != b && !(a == "@" && (is_item || shape.is_none_or(Shape::is_leaf))) {
                    return false;
                }
                shape = shape.and_then(|shape| match shape {
                    Shape::Object(object) => Some(object.shape_of(&a.replace("~1", "/").replace("~0", "~"))),
                    Shape::Group(item) => Some(item),
                    Shape::Set | Shape::Counter | Shape::Text | Shape::Leaf => None,
                });
            }
            _ => return false,
        }
    }
}

/// The validator of a schema that has passed the check.
pub(super) fn validator(schema: &Value) -> Result<jsonschema::Validator, Vec<FieldError>> {
    jsonschema::draft202012::options()
        .with_retriever(NoRetriever)
        .with_pattern_options(patterns::options())
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| messages::of_schema_fault(&error))
}

/// Fetches nothing: a type holds all it needs.
pub(super) struct NoRetriever;

impl jsonschema::Retrieve for NoRetriever {
    fn retrieve(&self, uri: &jsonschema::Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is another document, and no other document is ever fetched").into())
    }
}
