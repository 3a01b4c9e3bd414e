//! A subschema together with whatever it takes in, as far as showing a value needs it.

use std::ops::Deref;

use serde_json::{Map, Value};

/// How many subschemas are looked at for one value, so that no schema makes a page endless.
const MOST_PARTS: usize = 64;

/// What a field holds, as far as showing it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Boolean,
    Date,
    DateTime,
    Choice,
    /// Lists, objects, and whatever has several types.
    Other,
}

/// A schema with whatever it takes in.
#[derive(Default)]
pub struct Parts<'a> {
    all: Vec<&'a Value>,
    /// How many of them always apply; the others are branches.
    own: usize,
}

impl<'a> Parts<'a> {
    /// The schema and whatever it takes in, nearest first: `$ref`, `allOf` and a sole branch beside `null`, then what may apply.
    pub fn of(root: &'a Value, schema: &'a Value) -> Parts<'a> {
        let mut all = vec![schema];
        let mut at = 0;
        while let Some(part) = all.get(at).copied() {
            let target = part.get("$ref").and_then(Value::as_str).and_then(|reference| target(root, reference));
            let more = target.into_iter().chain(listed(part, "allOf")).chain(sole_branch(part));
            add_new(&mut all, more);
            at += 1;
        }
        let own = all.len();
        at = 0;
        while let Some(part) = all.get(at).copied() {
            let target = part.get("$ref").and_then(Value::as_str).and_then(|reference| target(root, reference));
            let conditional = ["then", "else"].into_iter().filter_map(|keyword| part.get(keyword));
            let dependent = part.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(Map::values);
            let branches = ["oneOf", "anyOf", "allOf"].into_iter().flat_map(|keyword| listed(part, keyword));
            add_new(&mut all, target.into_iter().chain(branches).chain(conditional).chain(dependent));
            at += 1;
        }
        Parts { all, own }
    }

    /// The parts that always apply.
    pub fn own(&self) -> &[&'a Value] {
        &self.all[..self.own]
    }
}

impl<'a> Deref for Parts<'a> {
    type Target = [&'a Value];

    fn deref(&self) -> &[&'a Value] {
        &self.all
    }
}

fn add_new<'a>(parts: &mut Vec<&'a Value>, more: impl Iterator<Item = &'a Value>) {
    for part in more {
        if parts.len() < MOST_PARTS && !parts.iter().any(|known| std::ptr::eq(*known, part)) {
            parts.push(part);
        }
    }
}

fn listed<'a>(part: &'a Value, keyword: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    part.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

/// The one branch of a value that may be `null` besides.
fn sole_branch(part: &Value) -> Option<&Value> {
    let branches = ["oneOf", "anyOf"].into_iter().find_map(|keyword| part.get(keyword)?.as_array())?;
    let is_null = |branch: &&Value| branch.get("type").and_then(Value::as_str) == Some("null");
    let mut others = branches.iter().filter(|branch| !is_null(branch));
    match (others.next(), others.next()) {
        (Some(sole), None) if branches.len() > 1 => Some(sole),
        _ => None,
    }
}

/// The first part's value of a keyword.
pub fn get<'a>(parts: &[&'a Value], keyword: &str) -> Option<&'a Value> {
    parts.iter().find_map(|part| part.get(keyword))
}

/// The values a schema lists, with their titles.
pub fn choices_of<'a>(parts: &[&'a Value]) -> Vec<(&'a Value, String)> {
    if let Some(listed) = get(parts, "enum").and_then(Value::as_array) {
        let names = get(parts, "enumNames").or_else(|| get(parts, "x-enumNames")).and_then(Value::as_array);
        let title = |at: usize| names.and_then(|names| names.get(at)).and_then(Value::as_str);
        return listed
            .iter()
            .enumerate()
            .filter(|(_, v)| !v.is_null())
            .map(|(at, v)| (v, title(at).map_or_else(|| plain(v), str::to_owned)))
            .collect();
    }
    for part in parts {
        let branches = ["oneOf", "anyOf"].into_iter().find_map(|keyword| part.get(keyword)?.as_array());
        let Some(branches) = branches else { continue };
        let constant = |branch: &'a Value| {
            let value = branch.get("const")?;
            let title = branch.get("title").and_then(Value::as_str).map_or_else(|| plain(value), str::to_owned);
            (!value.is_null()).then_some((value, title))
        };
        let choices: Vec<_> = branches.iter().filter_map(constant).collect();
        if !choices.is_empty() {
            return choices;
        }
    }
    vec![]
}

/// A listed value without a title: a text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "Yes".to_owned(),
        Value::Bool(false) => "No".to_owned(),
        other => other.to_string(),
    }
}

pub fn kind_of(parts: &[&Value]) -> Kind {
    if !choices_of(parts).is_empty() {
        return Kind::Choice;
    }
    let mut types: Vec<&str> = match get(parts, "type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => parts.iter().filter_map(|part| part.get("type")?.as_str()).collect(),
    };
    types.retain(|name| *name != "null");
    match types[..] {
        ["string"] => match get(parts, "format").and_then(Value::as_str) {
            Some("date") => Kind::Date,
            Some("date-time") => Kind::DateTime,
            _ => Kind::Text,
        },
        ["number" | "integer"] => Kind::Number,
        ["boolean"] => Kind::Boolean,
        _ => Kind::Other,
    }
}

/// What a reference inside this schema leads to: a pointer or an anchor of `$defs`.
fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return root.pointer(&percent_decoded(fragment));
    }
    let definitions = root.get("$defs")?.as_object()?;
    definitions.values().find(|schema| schema.get("$anchor").and_then(Value::as_str) == Some(fragment))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [a, b, ..]) => std::str::from_utf8(&[*a, *b]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
