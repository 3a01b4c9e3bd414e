//! Judges a custom type's schema before anything is built from it: JSON, the 2020-12 meta-schema, our vocabulary, our limits.
//!
//! Everything that could make compiling or validating endless, or make it ask another host, is found here first.

use std::sync::LazyLock;

use serde_json::Value;

use super::{document::Document, graph, limits, messages, patterns, pointer};
use crate::domain::{FieldError, json};

/// Reads a schema's JSON text, within our limits. The schema itself is not judged yet, see [`check`].
pub fn parse(text: &[u8]) -> Result<Value, Vec<FieldError>> {
    if text.len() > limits::SCHEMA_BYTES {
        return Err(vec![too_large(text.len())]);
    }
    if nesting(text) > limits::SCHEMA_NESTING {
        return Err(vec![too_deep()]);
    }
    json::read_bytes(text).map_err(|fault| vec![FieldError::new("", "json", format!("{fault}."))])
}

/// Judges the schema of a custom type. `Err` holds every fault with its pointer into the schema.
pub fn check(schema: &Value) -> Result<(), Vec<FieldError>> {
    let mut errors = root_faults(schema);
    if errors.is_empty() {
        errors = faults(schema);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What is wrong with a schema, the rule for roots apart.
pub(super) fn faults(schema: &Value) -> Vec<FieldError> {
    let mut errors = size_faults(schema);
    if !errors.is_empty() {
        return errors;
    }
    hold_against_standard(schema, "", &mut errors);
    if !errors.is_empty() {
        return tidy(errors);
    }
    let document = Document::read(schema);
    if document.is_too_large() {
        let message = format!("This schema has more than {} parts. Split the type.", limits::SUBSCHEMAS);
        return vec![FieldError::new("", "limit", message)];
    }
    errors.extend_from_slice(&document.faults);
    for &stray in &document.strays {
        let node = &document.nodes[stray];
        hold_against_standard(node.schema, &node.pointer, &mut errors);
    }
    dialects(&document, &mut errors);
    count_properties(&document, &mut errors);
    graph::check(&document, &mut errors);
    patterns::check(&document, &mut errors);
    vocabulary(&document, &mut errors);
    tidy(errors)
}

fn hold_against_standard(schema: &Value, at: &str, errors: &mut Vec<FieldError>) {
    let meta = jsonschema::draft202012::meta::validator();
    for error in meta.iter_errors(schema).take(limits::ERRORS) {
        errors.extend(messages::of_schema_fault(&error).into_iter().map(|mut fault| {
            fault.pointer.insert_str(0, at);
            fault
        }));
    }
}

fn root_faults(schema: &Value) -> Vec<FieldError> {
    let Value::Object(root) = schema else {
        let message = "A type is a JSON object, for example {\"type\": \"object\", \"properties\": {}}.";
        return vec![FieldError::new("", "type", message)];
    };
    let objects = match root.get("type") {
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        _ => true,
    };
    if objects {
        return Vec::new();
    }
    vec![FieldError::new("/type", "type", "A record is an object with fields: write \"type\": \"object\".")]
}

fn size_faults(schema: &Value) -> Vec<FieldError> {
    if value_nesting(schema, limits::SCHEMA_NESTING).is_none() {
        return vec![too_deep()];
    }
    let mut counter = Counter(0);
    if serde_json::to_writer(&mut counter, schema).is_err() || counter.0 > limits::SCHEMA_BYTES {
        return vec![too_large(counter.0)];
    }
    number_fault(schema, "").into_iter().collect()
}

fn too_large(bytes: usize) -> FieldError {
    let message = format!(
        "This schema takes {bytes} bytes, and {} (1 MiB) is the most. Split the type, or move long lists into records.",
        limits::SCHEMA_BYTES
    );
    FieldError::new("", "limit", message)
}

fn too_deep() -> FieldError {
    let message =
        format!("This schema is nested more than {} levels deep. Use \"$defs\" and \"$ref\".", limits::SCHEMA_NESTING);
    FieldError::new("", "limit", message)
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How deep objects and arrays lie within one another in JSON text. Text that is not JSON has some depth, too.
fn nesting(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// How deep a value is nested, or `None` where that is more than `most`.
pub(super) fn value_nesting(value: &Value, most: usize) -> Option<usize> {
    fn deepest<'v>(mut parts: impl Iterator<Item = &'v Value>, most: usize) -> Option<usize> {
        let rest = most.checked_sub(1)?;
        let below = parts.try_fold(0, |deepest, part| Some(value_nesting(part, rest)?.max(deepest)))?;
        Some(below + 1)
    }
    match value {
        Value::Array(items) => deepest(items.iter(), most),
        Value::Object(members) => deepest(members.values(), most),
        _ => Some(0),
    }
}

/// The first number that is too long to be computed with, or whose exponent is.
pub(super) fn number_fault(value: &Value, at: &str) -> Option<FieldError> {
    match value {
        Value::Number(number) => {
            let text = number.as_str();
            let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
            let exponent: usize = exponent.trim_start_matches(['+', '-']).parse().unwrap_or(usize::MAX);
            (digits.len().saturating_add(exponent) > limits::NUMBER_DIGITS).then(|| {
                let message = format!("This number has more than {} digits, exponent included.", limits::NUMBER_DIGITS);
                FieldError::new(at, "limit", message)
            })
        }
        Value::Array(items) => items.iter().enumerate().find_map(|(i, item)| {
            // pointers are built for the rare fault only
            number_fault(item, "").map(|fault| under(at, &i.to_string(), fault))
        }),
        Value::Object(members) => {
            members.iter().find_map(|(name, member)| number_fault(member, "").map(|fault| under(at, name, fault)))
        }
        _ => None,
    }
}

fn under(at: &str, segment: &str, mut fault: FieldError) -> FieldError {
    fault.pointer = pointer::join(at, segment) + &fault.pointer;
    fault
}

/// A schema may name its dialect, and then it is 2020-12.
fn dialects(document: &Document, errors: &mut Vec<FieldError>) {
    for node in &document.nodes {
        let Some(Value::String(name)) = node.keyword("$schema") else { continue };
        if !name.contains("json-schema.org/draft/2020-12/") {
            let message = format!(
                "\"{name}\" is another dialect. Write \"https://json-schema.org/draft/2020-12/schema\"; drafts 4 to 2019-09 \
                 are brought up to it on import."
            );
            errors.push(FieldError::new(pointer::join(&node.pointer, "$schema"), "$schema", message));
        }
    }
}

fn count_properties(document: &Document, errors: &mut Vec<FieldError>) {
    let mut count = 0;
    for node in &document.nodes {
        for edge in node.edges_of("properties") {
            count += 1;
            if edge.name.chars().count() > limits::NAME_CHARS {
                let message =
                    format!("A name in \"properties\" has more than {} characters. Shorten it.", limits::NAME_CHARS);
                errors.push(FieldError::new(pointer::join(&node.pointer, "properties"), "limit", message));
                return;
            }
        }
        if count > limits::PROPERTIES {
            let message = format!("This schema names more than {} properties. Split the type.", limits::PROPERTIES);
            errors.push(FieldError::new(pointer::join(&node.pointer, "properties"), "limit", message));
            return;
        }
    }
}

/// Holds the words of ours against `schemas/vocabulary.schema.json`; other words that begin with `x-` are people's own.
fn vocabulary(document: &Document, errors: &mut Vec<FieldError>) {
    static WORDS: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let schema: Value = serde_json::from_str(super::VOCABULARY).expect("the vocabulary is JSON, as a test shows");
        jsonschema::draft202012::new(&schema).expect("the vocabulary compiles, as a test shows")
    });
    for node in &document.nodes {
        let Value::Object(object) = node.schema else { continue };
        if !object.keys().any(|word| word.starts_with("x-")) || WORDS.is_valid(node.schema) {
            continue;
        }
        for error in WORDS.iter_errors(node.schema) {
            let at = error.instance_path().as_str();
            let word = pointer::segments(at).next().unwrap_or_default();
            errors.push(FieldError::new(format!("{}{at}", node.pointer), word.as_str(), vocabulary_message(&word)));
        }
    }
    super::annotations::check(document, errors);
}

/// What the vocabulary itself says about a word, which is what its author needs to hear.
fn vocabulary_message(word: &str) -> String {
    let says = serde_json::from_str::<Value>(super::VOCABULARY)
        .ok()
        .and_then(|schema| Some(schema.get("properties")?.get(word)?.get("description")?.as_str()?.to_string()));
    match says {
        Some(says) => format!("\"{word}\" is used differently. {says}"),
        None => format!("\"{word}\" is used differently."),
    }
}

/// Each fault once, and not more than anybody reads.
fn tidy(errors: Vec<FieldError>) -> Vec<FieldError> {
    let mut kept: Vec<FieldError> = Vec::new();
    for error in errors {
        if kept.len() == limits::ERRORS {
            break;
        }
        if !kept.contains(&error) {
            kept.push(error);
        }
    }
    kept
}
