//! The two laws of forms, over small schemas and over hundreds from the wild.
//!
//! L1: a form that comes back as it was drawn gives the identical record and writes nothing. L2: a blank form gives nothing but the
//! defaults that were shown and constants.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Page;
use super::browser::layout;
use crate::domain::form::Layout;
use crate::domain::json::{self, sorted};
use crate::domain::schema::{Schema, upgrade};

fn holds_l1(layout: Layout, record: &Value) -> Result<(), String> {
    let page = Page::open(layout, Some(record.clone()));
    let decoded = page.post();
    // as text: every digit counts
    let (gives, expected) = (decoded.candidate.value.to_string(), sorted(record.clone()).to_string());
    if gives != expected {
        return Err(format!("{} became {}", shorten(record), shorten(&decoded.candidate.value)));
    }
    if decoded.candidate.keys != page.base.document.keys {
        return Err("the keys of items changed".into());
    }
    if !decoded.errors.is_empty() {
        return Err(format!("errors: {:?}", decoded.errors));
    }
    match page.changes().as_slice() {
        [] => Ok(()),
        changes => Err(format!("{} writes, the first at {}", changes.len(), changes[0].path)),
    }
}

fn shorten(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

/// What a blank form may give, by the schema alone: defaults and constants; and what must be there, empty.
fn is_expected(schema: &Schema, given: &Value) -> Result<(), String> {
    #[derive(Default)]
    struct Known {
        given: HashSet<String>,
        required: HashSet<String>,
    }
    fn walk(value: &Value, at: &str, known: &Known) -> Result<(), String> {
        match value {
            _ if known.given.contains(&json::canonical(value)) => Ok(()),
            Value::Object(map) if !map.is_empty() => {
                map.iter().try_for_each(|(name, value)| walk(value, &format!("{at}/{name}"), known))
            }
            Value::Array(items) if !items.is_empty() => {
                items.iter().try_for_each(|value| walk(value, &format!("{at}/@"), known))
            }
            Value::Object(_) | Value::Array(_) | Value::Null
                if at.is_empty() || known.required.contains(at.rsplit('/').next().unwrap_or_default()) =>
            {
                Ok(())
            }
            other => Err(format!("{at} is {other}, which nobody entered")),
        }
    }
    fn gather(schema: &Value, known: &mut Known) {
        fn all(value: &Value, known: &mut Known) {
            known.given.insert(json::canonical(value));
            match value {
                Value::Object(map) => map.values().for_each(|value| all(value, known)),
                Value::Array(items) => items.iter().for_each(|value| all(value, known)),
                _ => {}
            }
        }
        match schema {
            Value::Object(map) => map.iter().for_each(|(word, value)| match word.as_str() {
                "default" | "const" => all(value, known),
                "required" => {
                    let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                    known.required.extend(names.map(|name| name.rsplit('/').next().unwrap_or_default().to_owned()));
                }
                _ => gather(value, known),
            }),
            Value::Array(items) => items.iter().for_each(|value| gather(value, known)),
            _ => {}
        }
    }
    let mut known = Known::default();
    gather(schema.source(), &mut known);
    walk(given, "", &known)
}

fn holds_l2(page: Page) -> Result<(), String> {
    let decoded = page.post();
    if let Some(problem) =
        decoded.errors.iter().find(|problem| matches!(problem.error.keyword.as_str(), "name" | "json"))
    {
        return Err(format!("{problem:?}"));
    }
    is_expected(page.layout.schema(), &decoded.candidate.value)
}

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("OUTPOST_CORPORA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora"), PathBuf::from);
    let path = root.join("schemastore");
    if path.is_dir() {
        return Some(path);
    }
    let reason = format!("{} is not there; OUTPOST_CORPORA names another place", path.display());
    assert!(std::env::var_os("OUTPOST_TEST_ALL").is_none_or(|all| all != "1"), "{reason}");
    println!("skipped: {reason}");
    None
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[test]
fn forms_of_schemas_from_the_wild_keep_the_two_laws() {
    let Some(corpus) = corpus() else { return };
    let mut directories: Vec<PathBuf> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    let (mut schemas, mut documents, mut failures) = (0, 0, Vec::new());
    let (mut controls, mut as_json) = (0, 0);
    for directory in directories {
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        let upgraded = upgrade(read(&directory.join("schema.json"))).schema;
        // those that no type may have are told where schemas are judged
        let Ok(schema) = Schema::compile(&upgraded) else { continue };
        let schema = std::sync::Arc::new(schema);
        schemas += 1;
        let blank = Page::open(Layout::of(schema.clone()), None);
        controls += blank.names().len();
        as_json += blank.html.matches("data-kind=\"json\"").count();
        if let Err(why) = holds_l2(blank) {
            failures.push(format!("L2 {name}: {why}"));
        }
        let valid = std::fs::read_dir(directory.join("valid")).into_iter().flatten();
        for path in
            valid.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json"))
        {
            let record = read(&path);
            if !record.is_object() {
                continue;
            }
            documents += 1;
            if let Err(why) = holds_l1(Layout::of(schema.clone()), &record) {
                failures.push(format!("L1 {name}, {}: {why}", path.file_name().unwrap().to_string_lossy()));
            }
        }
    }
    let failed = |law: &str| failures.iter().filter(|failure| failure.starts_with(law)).count();
    println!("L1 untouched: {} of {documents} documents", documents - failed("L1"));
    println!("L2 blank: {} of {schemas} schemas", schemas - failed("L2"));
    println!("{as_json} of {controls} controls of blank forms are JSON text");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(schemas > 80 && documents > 150);
}

#[test]
fn deep_and_large_records_keep_the_first_law() {
    let mut deep = json!("end");
    for level in 0..100 {
        deep = if level % 2 == 0 { json!([deep]) } else { json!({"in": deep}) };
    }
    let item = |n: usize| json!({"name": format!("item {n}"), "n": n});
    let many = |count: usize| Value::Array((0..count).map(item).collect());
    let schema = json!({"type": "object", "properties": {
        "text": {"type": "string"}, "deep": {},
        "tags": {"type": "array", "items": {"type": "number"}},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "number"}}}}}});
    for record in [
        json!({"deep": deep, "text": "x".repeat(200_000)}),
        json!({"parts": many(200), "tags": (0..250).collect::<Vec<_>>()}),
        json!({"parts": many(3_000), "tags": (0..5_000).collect::<Vec<_>>()}),
    ] {
        holds_l1(layout(&schema), &record).unwrap_or_else(|why| panic!("{why}"));
    }
    let mut page = Page::open(layout(&schema), Some(json!({"parts": many(2_400)})));
    let text = page.controls.iter().find(|control| control.name == "/parts").expect("as JSON").value.clone();
    page.fill("/parts", &text.replace("\"item 7\"", "\"other\""));
    let changed: Vec<String> = page.changes().iter().map(|change| change.path.to_string()).collect();
    assert_eq!(changed, ["/parts/@k8/name"]);
}

/// Schemas of every kind of control, and values that mostly do not fit them.
fn field() -> impl Strategy<Value = Value> {
    let scalar = prop::sample::select(vec![
        json!({"type": "string"}),
        json!({"type": ["string", "null"], "default": "d"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "time"}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "email"}),
        json!({"type": "string", "maxLength": 500}),
        json!({"type": "number", "default": 1.0}),
        json!({"type": ["integer", "null"]}),
        json!({"type": "boolean"}),
        json!({"type": "boolean", "default": true}),
        json!({"type": ["boolean", "null"]}),
        json!({"const": true}),
        json!({"const": "fixed"}),
        json!({"enum": ["a", 1, "1", null, {"x": 1.0}]}),
        json!({"enum": [1, 2, 3, 4, 5, 6, 7], "default": 3}),
        json!({"oneOf": [{"const": "a", "title": "A"}, {"type": "null"}]}),
        json!({"type": "string", "readOnly": true}),
        json!({"type": ["string", "number"]}),
        json!({"oneOf": [{"type": "object", "properties": {"p": {"type": "string"}}}, {"type": "array"}]}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "array", "items": {"type": "number"}, "minItems": 2}),
        json!({"type": "array", "uniqueItems": true, "items": {"enum": ["a", "b"]}}),
        json!({"type": "array", "prefixItems": [{"type": "string"}]}),
        json!({}),
    ]);
    scalar.prop_recursive(3, 20, 4, |inner| {
        let object =
            (prop::collection::vec((prop::sample::select(vec!["a", "b", "c/d", ""]), inner), 1..4), any::<bool>())
                .prop_map(|(fields, all)| {
                    let properties: Map<String, Value> =
                        fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
                    let required: Vec<&String> = if all { properties.keys().collect() } else { Vec::new() };
                    json!({"type": "object", "required": required, "properties": properties})
                });
        prop_oneof![object.clone(), object.prop_map(|item| json!({"type": "array", "items": item}))]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "1",
        "1.0",
        "2.50",
        "-0",
        "1e400",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\"",
        "\" a \"",
        "\"\\n\"",
        "\"\\r\\na\\r\"",
        "\"\\u0000\\u0001\"",
        "\"2026-05-14\"",
        "\"2026-05-14T16:00:00Z\"",
        "\"16:00:00.5+01:00\"",
        "\"fixed\"",
        "\"<&>\\\"'\"",
        "{\"x\": 1}",
        "[]",
        "{}",
        "[\"b\", \"a\", \"b\"]",
    ])
    .prop_map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    scalar.prop_recursive(3, 24, 4, |inner| {
        let name = prop::sample::select(vec!["a", "b", "c/d", "", "more"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((name, inner), 0..4).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
            )),
        ]
    })
}

fn type_of(fields: Vec<(&'static str, Value)>, all: bool) -> Value {
    let properties: Map<String, Value> = fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
    let required: Vec<&String> = if all { properties.keys().collect() } else { Vec::new() };
    json!({"type": "object", "required": required, "properties": properties})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_record_under_any_type_keeps_the_first_law(
        fields in prop::collection::vec((prop::sample::select(vec!["a", "b", "c/d", ""]), field()), 1..4),
        record in prop::collection::vec((prop::sample::select(vec!["a", "b", "c/d", "", "more"]), value()), 0..5),
        all in any::<bool>(),
    ) {
        let record = Value::Object(record.into_iter().map(|(name, value)| (name.into(), value)).collect());
        holds_l1(layout(&type_of(fields, all)), &record).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn any_blank_form_keeps_the_second_law(
        fields in prop::collection::vec((prop::sample::select(vec!["a", "b", "c/d", ""]), field()), 1..4), all in any::<bool>(),
    ) {
        holds_l2(Page::open(layout(&type_of(fields, all)), None)).map_err(TestCaseError::fail)?;
    }
}
