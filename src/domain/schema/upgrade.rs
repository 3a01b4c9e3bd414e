//! Brings a schema of an older draft up to 2020-12, and reports each change.
//!
//! Nothing is lost and the order of keys stays. Only subschemas are rewritten: what stands under `enum`, `const`, `default`,
//! `examples` or an unknown word is data and stays as it is.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{limits, pointer, uri};

/// What [`upgrade`] made of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Upgraded {
    pub schema: Value,
    /// The draft the schema was written in.
    pub from: Draft,
    /// What was changed; empty where the schema stayed as it was.
    pub report: Vec<Change>,
}

/// One thing that was changed, or that means something else now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// A JSON Pointer into the schema as it was given.
    pub pointer: String,
    pub message: String,
}

/// The drafts that can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Draft {
    Draft4,
    Draft6,
    Draft7,
    Draft201909,
    Draft202012,
}

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Upgrades a schema. One that says it is 2020-12, or says nothing and uses no old words, comes back as it is.
pub fn upgrade(schema: Value) -> Upgraded {
    let from = draft_of(&schema);
    if from == Draft::Draft202012 {
        return Upgraded { schema, from, report: Vec::new() };
    }
    let mut upgrader = Upgrader {
        from,
        ids: HashMap::new(),
        report: Vec::new(),
        recursive_anchor: from == Draft::Draft201909 && has_recursive_anchor(&schema, 0),
    };
    upgrader.note_ids(&schema, 0);
    let upgraded = upgrader.schema(&schema, "", &schema, 0);
    Upgraded { schema: upgraded, from, report: upgrader.report }
}

/// The draft that `$schema` names; without it 2020-12, unless words are used that only older drafts have.
fn draft_of(schema: &Value) -> Draft {
    match schema.get("$schema").and_then(Value::as_str) {
        Some(name) if name.contains("draft-03") || name.contains("draft-04") => Draft::Draft4,
        Some(name) if name.contains("draft-06") => Draft::Draft6,
        Some(name) if name.contains("draft-07") => Draft::Draft7,
        Some(name) if name.contains("2019-09") => Draft::Draft201909,
        Some(name) if name.trim_end_matches('#').ends_with("json-schema.org/schema") => Draft::Draft7,
        Some(_) => Draft::Draft202012,
        None => oldest_words(schema, 0),
    }
}

/// The oldest draft whose words are used in subschemas.
fn oldest_words(schema: &Value, depth: usize) -> Draft {
    let Value::Object(object) = schema else { return Draft::Draft202012 };
    if depth > limits::SCHEMA_NESTING {
        return Draft::Draft202012;
    }
    let is_bool = |word: &str| object.get(word).is_some_and(Value::is_boolean);
    let own = if is_bool("exclusiveMinimum") || is_bool("exclusiveMaximum") {
        Draft::Draft4
    } else if object.get("items").is_some_and(Value::is_array)
        || ["definitions", "dependencies"].iter().any(|word| object.get(*word).is_some_and(Value::is_object))
    {
        Draft::Draft7
    } else {
        Draft::Draft202012
    };
    subschemas(object).map(|(.., below)| oldest_words(below, depth + 1)).fold(own, Draft::min)
}

fn has_recursive_anchor(schema: &Value, depth: usize) -> bool {
    let Value::Object(object) = schema else { return false };
    depth <= limits::SCHEMA_NESTING
        && (object.get("$recursiveAnchor") == Some(&Value::Bool(true))
            || subschemas(object).any(|(.., below)| has_recursive_anchor(below, depth + 1)))
}

/// How a word of any draft holds subschemas.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    One,
    List,
    Named,
    /// `items`: one, or a list of them in older drafts.
    Items,
    /// `dependencies`: by name, each a subschema or a list of names.
    Dependencies,
}

fn holds(word: &str) -> Option<Holds> {
    Some(match word {
        "not"
        | "if"
        | "then"
        | "else"
        | "additionalProperties"
        | "unevaluatedProperties"
        | "propertyNames"
        | "additionalItems"
        | "unevaluatedItems"
        | "contains"
        | "contentSchema" => Holds::One,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Holds::List,
        "properties" | "patternProperties" | "definitions" | "$defs" | "dependentSchemas" => Holds::Named,
        "items" => Holds::Items,
        "dependencies" => Holds::Dependencies,
        _ => return None,
    })
}

fn is_schema(value: &Value) -> bool {
    value.is_object() || value.is_boolean()
}

/// Every subschema right below: the word, the name or position within it, the subschema.
fn subschemas(object: &Map<String, Value>) -> impl Iterator<Item = (&str, Option<String>, &Value)> {
    object.iter().flat_map(|(word, value)| {
        let found: Vec<(&str, Option<String>, &Value)> = match (holds(word), value) {
            (Some(Holds::One | Holds::Items), one) if is_schema(one) => vec![(word, None, one)],
            (Some(Holds::List | Holds::Items), Value::Array(list)) => {
                list.iter().enumerate().map(|(i, one)| (word.as_str(), Some(i.to_string()), one)).collect()
            }
            (Some(Holds::Named | Holds::Dependencies), Value::Object(named)) => named
                .iter()
                .filter(|(_, one)| is_schema(one))
                .map(|(name, one)| (word.as_str(), Some(name.clone()), one))
                .collect(),
            _ => Vec::new(),
        };
        found.into_iter()
    })
}

struct Upgrader<'a> {
    from: Draft,
    /// Subschemas by the text of their identifier, for references that name one.
    ids: HashMap<&'a str, &'a Value>,
    report: Vec<Change>,
    recursive_anchor: bool,
}

impl<'a> Upgrader<'a> {
    fn id_word(&self) -> &'static str {
        if self.from == Draft::Draft4 { "id" } else { "$id" }
    }

    fn note_ids(&mut self, schema: &'a Value, depth: usize) {
        let Value::Object(object) = schema else { return };
        if depth > limits::SCHEMA_NESTING {
            return;
        }
        if let Some(Value::String(id)) = object.get(self.id_word()) {
            self.ids.entry(uri::without_fragment(id)).or_insert(schema);
        }
        for (.., below) in subschemas(object) {
            self.note_ids(below, depth + 1);
        }
    }

    fn tell(&mut self, at: &str, word: &str, message: impl Into<String>) {
        self.report.push(Change { pointer: pointer::join(at, word), message: message.into() });
    }

    /// Rewrites one subschema. `base` is the nearest one around it that has an identifier.
    fn schema(&mut self, schema: &'a Value, at: &str, base: &'a Value, depth: usize) -> Value {
        let Value::Object(object) = schema else { return schema.clone() };
        if depth > limits::SCHEMA_NESTING {
            return schema.clone();
        }
        let base = if object.get(self.id_word()).and_then(Value::as_str).is_some_and(|id| !id.starts_with('#')) {
            schema
        } else {
            base
        };
        let mut new = Map::new();
        for (word, value) in object {
            self.keyword(object, word, value, at, base, depth, &mut new);
        }
        self.report_siblings(object, at);
        Value::Object(new)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a walk, with where it is and what it adds to")]
    fn keyword(
        &mut self,
        object: &'a Map<String, Value>,
        word: &'a str,
        value: &'a Value,
        at: &str,
        base: &'a Value,
        depth: usize,
        new: &mut Map<String, Value>,
    ) {
        let here = pointer::join(at, word);
        let list_items = object.get("items").is_some_and(Value::is_array);
        match (word, value) {
            ("$schema", Value::String(name)) => {
                if name != DIALECT {
                    self.tell(at, word, "The schema is written in JSON Schema 2020-12 now.");
                }
                new.insert(word.to_string(), Value::from(DIALECT));
            }
            ("id", Value::String(id)) if self.from == Draft::Draft4 => self.identifier(object, word, id, at, new),
            ("$id", Value::String(id)) if self.from > Draft::Draft4 => self.identifier(object, word, id, at, new),
            ("$ref", Value::String(reference)) => {
                let moved = self.reference(reference, base);
                if moved != *reference {
                    self.tell(at, word, format!("\"{reference}\" is called \"{moved}\" now."));
                }
                new.insert(word.to_string(), Value::from(moved));
            }
            ("$recursiveRef", Value::String(_)) => {
                let (word_now, target) =
                    if self.recursive_anchor { ("$dynamicRef", "#recursive") } else { ("$ref", "#") };
                self.tell(at, word, format!("\"$recursiveRef\" is \"{word_now}\" now."));
                new.insert(word_now.to_string(), Value::from(target));
            }
            ("$recursiveAnchor", Value::Bool(on)) => {
                self.tell(at, word, "\"$recursiveAnchor\" is \"$dynamicAnchor\" now.");
                if *on {
                    new.insert("$dynamicAnchor".to_string(), Value::from("recursive"));
                }
            }
            // where both words are used, each keeps its own names; "definitions" is still understood
            ("definitions", Value::Object(_)) if !object.contains_key("$defs") => {
                self.tell(at, word, "\"definitions\" is called \"$defs\" now.");
                let moved = self.named(value, &here, base, depth);
                new.insert("$defs".to_string(), moved);
            }
            ("items", Value::Array(_)) => {
                self.tell(at, word, "A list of \"items\" is called \"prefixItems\" now.");
                let moved = self.list(value, &here, base, depth);
                new.insert("prefixItems".to_string(), moved);
            }
            ("additionalItems", _) if list_items => {
                self.tell(at, word, "\"additionalItems\" beside a list of items is called \"items\" now.");
                let moved = self.schema(value, &here, base, depth + 1);
                new.insert("items".to_string(), moved);
            }
            ("additionalItems", _) => {
                self.tell(at, word, "\"additionalItems\" without a list of \"items\" has no effect, and had none.");
                new.insert(word.to_string(), value.clone());
            }
            ("dependencies", Value::Object(dependencies)) => self.dependencies(dependencies, at, base, depth, new),
            ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(on)) => {
                let limit = if word == "exclusiveMinimum" { "minimum" } else { "maximum" };
                match object.get(limit) {
                    Some(number) if *on => {
                        self.tell(
                            at,
                            word,
                            format!("\"{word}\" holds the number itself now, in place of \"{limit}\"."),
                        );
                        new.insert(word.to_string(), number.clone());
                    }
                    _ => self.tell(at, word, format!("\"{word}\" had no effect and was left out.")),
                }
            }
            ("minimum", _) if object.get("exclusiveMinimum") == Some(&Value::Bool(true)) => {}
            ("maximum", _) if object.get("exclusiveMaximum") == Some(&Value::Bool(true)) => {}
            _ => {
                let kept = match (holds(word), value) {
                    (Some(Holds::One | Holds::Items), one) if is_schema(one) => {
                        self.schema(one, &here, base, depth + 1)
                    }
                    (Some(Holds::List), Value::Array(_)) => self.list(value, &here, base, depth),
                    (Some(Holds::Named), Value::Object(_)) => self.named(value, &here, base, depth),
                    _ => value.clone(),
                };
                match (word, kept) {
                    ("dependentSchemas" | "dependentRequired", Value::Object(named)) => merge_into(new, word, named),
                    (_, kept) => {
                        new.insert(word.to_string(), kept);
                    }
                }
            }
        }
    }

    fn list(&mut self, value: &'a Value, here: &str, base: &'a Value, depth: usize) -> Value {
        let schemas = value.as_array().into_iter().flatten().enumerate();
        schemas.map(|(i, schema)| self.schema(schema, &format!("{here}/{i}"), base, depth + 1)).collect()
    }

    fn named(&mut self, value: &'a Value, here: &str, base: &'a Value, depth: usize) -> Value {
        let schemas = value.as_object().into_iter().flatten();
        let upgraded = schemas
            .map(|(name, schema)| (name.clone(), self.schema(schema, &pointer::join(here, name), base, depth + 1)))
            .collect::<Map<String, Value>>();
        Value::Object(upgraded)
    }

    fn dependencies(
        &mut self,
        dependencies: &'a Map<String, Value>,
        at: &str,
        base: &'a Value,
        depth: usize,
        new: &mut Map<String, Value>,
    ) {
        let here = pointer::join(at, "dependencies");
        let (mut required, mut schemas) = (Map::new(), Map::new());
        for (name, value) in dependencies {
            match value {
                Value::Array(_) => required.insert(name.clone(), value.clone()),
                Value::String(one) => required.insert(name.clone(), Value::from(vec![one.clone()])),
                schema => {
                    schemas.insert(name.clone(), self.schema(schema, &pointer::join(&here, name), base, depth + 1))
                }
            };
        }
        let words = [("dependentRequired", required), ("dependentSchemas", schemas)];
        let now: Vec<String> =
            words.iter().filter(|(_, named)| !named.is_empty()).map(|(word, _)| format!("\"{word}\"")).collect();
        let message = match now.is_empty() {
            true => "\"dependencies\" was empty and was left out.".to_string(),
            false => format!("\"dependencies\" is called {} now.", now.join(" and ")),
        };
        self.tell(at, "dependencies", message);
        for (word, named) in words {
            if !named.is_empty() {
                merge_into(new, word, named);
            }
        }
    }

    fn identifier(
        &mut self,
        object: &Map<String, Value>,
        word: &str,
        id: &str,
        at: &str,
        new: &mut Map<String, Value>,
    ) {
        if object.contains_key("$ref") && self.from <= Draft::Draft7 {
            self.tell(at, word, "An identifier beside \"$ref\" had no effect and was left out.");
            return;
        }
        let (before, name) = id.split_once('#').unwrap_or((id, ""));
        if !before.is_empty() {
            new.insert("$id".to_string(), Value::from(before));
        }
        if !name.is_empty() && !name.starts_with('/') {
            new.insert("$anchor".to_string(), Value::from(name));
        }
        if word != "$id" {
            self.tell(at, word, "\"id\" is called \"$id\" now.");
        } else if !name.is_empty() {
            self.tell(at, word, "A name after \"#\" in an identifier is an \"$anchor\" now.");
        }
    }

    /// Words beside a `$ref` were ignored up to draft 7 and apply now. They are kept: their author meant them.
    fn report_siblings(&mut self, object: &Map<String, Value>, at: &str) {
        if self.from > Draft::Draft7 || !object.get("$ref").is_some_and(Value::is_string) {
            return;
        }
        let silent = |word: &str| {
            matches!(
                word,
                "$ref"
                    | "$schema"
                    | "$id"
                    | "id"
                    | "$comment"
                    | "title"
                    | "description"
                    | "default"
                    | "examples"
                    | "definitions"
                    | "$defs"
                    | "readOnly"
                    | "writeOnly"
                    | "deprecated"
            ) || (holds(word).is_none() && !is_assertion(word))
        };
        let words: Vec<String> = object.keys().filter(|word| !silent(word)).map(|word| format!("\"{word}\"")).collect();
        if !words.is_empty() {
            let message = format!("Beside \"$ref\" {} had no effect before, and applies now.", words.join(", "));
            self.tell(at, "$ref", message);
        }
    }

    /// A reference, with the places it passes through called by their new names.
    fn reference(&self, reference: &str, base: &'a Value) -> String {
        let (before, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !fragment.starts_with('/') {
            return if reference.ends_with('#') && reference.len() > 1 {
                before.to_string()
            } else {
                reference.to_string()
            };
        }
        let start = if before.is_empty() { Some(base) } else { self.ids.get(before).copied() };
        match start {
            Some(start) => format!("{before}#{}", moved_pointer(start, fragment)),
            None => reference.to_string(),
        }
    }
}

fn is_assertion(word: &str) -> bool {
    matches!(
        word,
        "type"
            | "enum"
            | "const"
            | "required"
            | "minimum"
            | "maximum"
            | "exclusiveMinimum"
            | "exclusiveMaximum"
            | "multipleOf"
            | "minLength"
            | "maxLength"
            | "pattern"
            | "format"
            | "minItems"
            | "maxItems"
            | "uniqueItems"
            | "minProperties"
            | "maxProperties"
            | "dependentRequired"
            | "minContains"
            | "maxContains"
    )
}

/// Follows a pointer through a subschema of an old draft and tells what it is called now. The escaping stays as it was.
fn moved_pointer(start: &Value, fragment: &str) -> String {
    #[derive(PartialEq)]
    enum Position {
        Subschema,
        /// Inside a word that holds subschemas by name or position.
        Among,
        Data,
    }
    let mut position = Position::Subschema;
    let mut value = Some(start);
    let mut moved = String::new();
    for raw in fragment.split('/').skip(1) {
        let segment = uri::fragment(&format!("#{raw}")).replace("~1", "/").replace("~0", "~");
        let holder = value;
        value = holder.and_then(|holder| match holder {
            Value::Array(list) => list.get(segment.parse::<usize>().ok()?),
            other => other.get(&segment),
        });
        let mut name = raw;
        if position == Position::Subschema {
            let below = value.unwrap_or(&Value::Null);
            let list_items = holder.and_then(|holder| holder.get("items")).is_some_and(Value::is_array);
            position = match (holds(&segment), below) {
                (Some(Holds::One), _) => Position::Subschema,
                (Some(Holds::Items), below) if !below.is_array() => Position::Subschema,
                (Some(_), _) => Position::Among,
                (None, _) => Position::Data,
            };
            name = match segment.as_str() {
                "definitions" if holder.is_some_and(|holder| holder.get("$defs").is_none()) => "$defs",
                "items" if below.is_array() => "prefixItems",
                "additionalItems" if list_items => "items",
                "dependencies" => "dependentSchemas",
                _ => raw,
            };
        } else if position == Position::Among {
            position = Position::Subschema;
        }
        moved.push('/');
        moved.push_str(name);
    }
    moved
}

/// Adds to what `dependentRequired` or `dependentSchemas` already holds; under one name, both hold.
fn merge_into(new: &mut Map<String, Value>, word: &str, named: Map<String, Value>) {
    let Some(Value::Object(known)) = new.get_mut(word) else {
        new.insert(word.to_string(), Value::Object(named));
        return;
    };
    for (name, value) in named {
        let both = match (known.remove(&name), value) {
            (None, value) => value,
            (Some(Value::Array(mut names)), Value::Array(more)) => {
                names.extend(more.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
                Value::Array(names)
            }
            (Some(one), other) => serde_json::json!({ "allOf": [one, other] }),
        };
        known.insert(name, both);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn upgrades_follow_the_table() {
        let table: Vec<Value> = serde_json::from_str(include_str!("../../../tests/data/schema/upgrades.json")).unwrap();
        assert!(table.len() > 10);
        for case in table {
            let upgraded = upgrade(case["old"].clone());
            // compared as text, since the order of keys counts
            assert_eq!(upgraded.schema.to_string(), case["new"].to_string(), "{}", case["what"]);
            let report: Vec<&str> = upgraded.report.iter().map(|change| change.pointer.as_str()).collect();
            assert_eq!(json!(report), case["report"], "{}", case["what"]);
            for pointer in report {
                assert!(
                    case["old"].pointer(pointer).is_some(),
                    "{}: {pointer} is a place in what was given",
                    case["what"]
                );
            }
            let again = upgrade(upgraded.schema.clone());
            if case["old"].get("$schema").is_some() {
                assert_eq!((again.schema, again.report), (upgraded.schema, vec![]), "{}", case["what"]);
            }
        }
    }

    /// The validator is asked under both drafts.
    #[test]
    fn an_upgraded_schema_judges_as_it_did() {
        let old = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"pair": {"items": [{"type": "string"}, {"type": "number"}], "additionalItems": false}},
            "properties": {"pairs": {"items": {"$ref": "#/definitions/pair"}}, "card": {}, "address": {}},
            "dependencies": {"card": ["address"], "address": {"properties": {"pairs": {"minItems": 1}}}}
        });
        let before = jsonschema::draft7::new(&old).unwrap();
        let after = jsonschema::draft202012::new(&upgrade(old).schema).unwrap();
        for record in [
            json!({}),
            json!({"card": 1}),
            json!({"card": 1, "address": 2}),
            json!({"address": 2, "pairs": []}),
            json!({"address": 2, "pairs": [["a", 1]]}),
            json!({"pairs": [["a", "b"]]}),
            json!({"pairs": [["a", 1, 2]]}),
        ] {
            assert_eq!(before.is_valid(&record), after.is_valid(&record), "{record}");
        }
    }
}
