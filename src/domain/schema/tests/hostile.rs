//! What somebody might send who means no good: each gets a clear error, soon, and a small stack is enough.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::super::*;
use crate::domain::FieldError;

fn refusal(schema: &Value) -> FieldError {
    Schema::compile(schema).err().unwrap_or_else(|| panic!("accepted")).remove(0)
}

fn within<T>(most: Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < most, "took {:?}", start.elapsed());
    result
}

const SOON: Duration = Duration::from_secs(5);

#[test]
fn ten_megabytes_are_too_large() {
    let text = format!("{{\"description\": \"{}\"}}", "x".repeat(10_000_000));
    let errors = within(SOON, || parse(text.as_bytes())).unwrap_err();
    assert_eq!((errors[0].pointer.as_str(), errors[0].keyword.as_str()), ("", "limit"));
    assert!(errors[0].message.contains("1 MiB"), "{errors:?}");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(refusal(&value).keyword, "limit");
}

#[test]
fn ten_thousand_levels_are_too_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"properties\":{\"a\":", "}}")] {
        let text = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let errors = within(SOON, || parse(text.as_bytes())).unwrap_err();
        assert_eq!(errors[0].keyword, "limit");
        assert!(errors[0].message.contains("levels deep"), "{errors:?}");
    }
    // what only looks deep is not
    parse(format!("{{\"title\": \"{}\\\"{{\"}}", "[{".repeat(1_000)).as_bytes()).unwrap();
}

#[test]
fn the_deepest_schema_that_is_allowed_compiles() {
    let levels = (limits::SCHEMA_NESTING - 2) / 2;
    let text = format!("{}{{\"type\":\"string\"}}{}", "{\"properties\":{\"a\":".repeat(levels), "}}".repeat(levels));
    let schema = parse(text.as_bytes()).unwrap();
    Schema::compile(&schema).unwrap();
}

#[test]
fn text_that_is_not_json_is_told_where() {
    for text in [&b"{\"type\": }"[..], b"", b"\xff\xfe", b"{} {}", b"{\"a\": 01}"] {
        let errors = parse(text).unwrap_err();
        assert_eq!(errors[0].keyword, "json");
        assert!(errors[0].message.starts_with("This is not JSON: "), "{errors:?}");
    }
}

fn chain(length: usize, step: impl Fn(String) -> Value) -> Value {
    let mut defs = Map::new();
    for i in 0..length {
        defs.insert(format!("a{i}"), step(format!("#/$defs/a{}", i + 1)));
    }
    defs.insert(format!("a{length}"), json!({"type": "string"}));
    json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": defs})
}

#[test]
fn a_chain_of_references_is_followed_so_far_and_no_further() {
    Schema::compile(&chain(limits::REF_CHAIN - 1, |next| json!({"$ref": next}))).unwrap();
    let fault = refusal(&chain(limits::REF_CHAIN + 1, |next| json!({"$ref": next})));
    assert_eq!(fault.keyword, "limit");
    let long = chain(19_000, |next| json!({"$ref": next}));
    let fault = within(SOON, || refusal(&long));
    assert_eq!(fault.keyword, "limit");
    assert!(fault.pointer.ends_with("/$ref"), "{fault:?}");
    let fault = within(SOON, || refusal(&chain(25_000, |next| json!({"$ref": next}))));
    assert_eq!(fault.keyword, "limit");
    // through properties no reference follows another directly, but compiling would still go as deep
    let fault = within(SOON, || refusal(&chain(6_000, |next| json!({"items": {"$ref": next}}))));
    assert_eq!(fault.keyword, "limit");
    assert!(fault.message.contains("levels deep"), "{fault:?}");
}

/// The order in which a compiler visits subschemas must not matter for how deep it may go.
#[test]
fn shortcuts_do_not_hide_a_long_chain() {
    let mut schema = chain(6_000, |next| json!({"items": {"$ref": next}}));
    for i in (0..6_000).step_by(100).rev() {
        schema["properties"][format!("p{i}")] = json!({"$ref": format!("#/$defs/a{i}")});
    }
    let fault = within(SOON, || refusal(&schema));
    assert!(fault.message.contains("levels deep"), "{fault:?}");
}

#[test]
fn the_deepest_schema_with_references_compiles_on_a_small_stack() {
    let deepest = [
        (chain(limits::SCHEMA_DEPTH / 2 - 2, |next| json!({"properties": {"p": {"$ref": next}}})), "{\"p\":", "}"),
        (chain(limits::SCHEMA_DEPTH / 2 - 2, |next| json!({"items": {"$ref": next}})), "[", "]"),
        (chain(limits::SCHEMA_DEPTH / 4 - 2, |next| json!({"items": {"not": {"not": {"$ref": next}}}})), "[", "]"),
    ];
    for (schema, open, close) in deepest {
        let levels = limits::SCHEMA_NESTING - 1;
        let text = format!("{{\"x\":{}null{}}}", open.repeat(levels), close.repeat(levels));
        let record: Value = serde_json::from_str(&text).unwrap();
        let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let work = move || {
            let schema = Schema::compile(&schema).map_err(|errors| errors[0].clone())?;
            Ok::<_, FieldError>((schema.is_valid(&record), schema.validate(&record).len()))
        };
        assert_eq!(thread.spawn(work).unwrap().join().unwrap(), Ok((true, 0)));
    }
}

#[test]
fn references_in_a_circle_are_refused() {
    for defs in [
        json!({"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}),
        json!({"a": {"$ref": "#/$defs/a"}}),
        json!({"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"anyOf": [{}, {"$ref": "#/$defs/a"}]}}}),
        json!({"a": {"if": {"$ref": "#/$defs/a"}}}),
        json!({"a": {"dependentSchemas": {"x": {"$ref": "#/$defs/a"}}}}),
    ] {
        let fault = refusal(&json!({"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": defs}));
        assert_eq!(fault.keyword, "$ref");
        assert!(fault.message.contains("leads back to itself"), "{fault:?}");
    }
    refusal(&json!({"$ref": "#"}));
    Schema::compile(&json!({"properties": {"child": {"$ref": "#"}, "children": {"items": {"$ref": "#"}}}})).unwrap();
}

#[test]
fn references_out_of_the_document_are_refused_and_never_fetched() {
    for reference in
        ["https://example.com/schema.json", "other.json", "file:///etc/passwd", "urn:x:y", "//host/x", "http://["]
    {
        let fault = refusal(&json!({"properties": {"x": {"$ref": reference}}}));
        assert_eq!((fault.pointer.as_str(), fault.keyword.as_str()), ("/properties/x/$ref", "$ref"));
        assert!(fault.message.contains("another document") || fault.message.contains("URI"), "{fault:?}");
    }
    for reference in ["#/$defs/missing", "#missing", "#/properties/x/type"] {
        let schema = json!({"properties": {"x": {"type": "string"}, "y": {"$ref": reference}}});
        assert_eq!(refusal(&schema).pointer, "/properties/y/$ref", "{reference}");
    }
    assert_eq!(
        refusal(&json!({"properties": {"x": {"$dynamicRef": "https://example.com/#m"}}})).keyword,
        "$dynamicRef"
    );
}

#[test]
fn a_slow_pattern_is_quick_on_a_long_text() {
    let schema = Schema::compile(&json!({"properties": {"x": {"type": "string", "pattern": "^(a+)+$"}}})).unwrap();
    let record = json!({"x": format!("{}!", "a".repeat(100_000))});
    assert_eq!(within(SOON, || schema.validate(&record)).len(), 1);
}

#[test]
fn a_pattern_with_look_around_on_thousands_of_texts_comes_to_an_end() {
    let items = json!({"type": "string", "pattern": "^(?!y)(a+)+$"});
    let schema = Schema::compile(&json!({"properties": {"x": {"type": "array", "items": items}}})).unwrap();
    let texts: Vec<String> = (0..10_000).map(|_| format!("{}!", "a".repeat(60))).collect();
    assert!(!within(Duration::from_secs(20), || schema.validate(&json!({"x": texts}))).is_empty());
}

#[test]
fn patterns_are_bounded_one_by_one_and_together() {
    let fault = refusal(&json!({"properties": {"x": {"pattern": "("}}}));
    assert_eq!((fault.pointer.as_str(), fault.keyword.as_str()), ("/properties/x/pattern", "pattern"));
    assert!(fault.message.contains("not a regular expression"), "{fault:?}");
    let fault = refusal(&json!({"patternProperties": {"a/(b": {}}}));
    assert_eq!((fault.pointer.as_str(), fault.keyword.as_str()), ("/patternProperties/a~1(b", "patternProperties"));
    let many: Map<String, Value> =
        (0..900).map(|i| (format!("p{i}"), json!({"pattern": format!(r"^{i}\p{{L}}{{1,30}}$")}))).collect();
    let fault = within(Duration::from_secs(20), || refusal(&json!({"properties": many})));
    assert_eq!(fault.keyword, "limit");
}

/// Each level doubles what one value is held against: 2³⁰ without the limit.
#[test]
fn parts_referred_to_twice_at_every_level_are_refused() {
    let fault = within(SOON, || refusal(&chain(30, |next| json!({"allOf": [{"$ref": next.clone()}, {"$ref": next}]}))));
    assert_eq!(fault.keyword, "limit");
    assert!(fault.message.contains("again and again"), "{fault:?}");
}

#[test]
fn too_many_properties_are_refused() {
    let properties: Map<String, Value> = (0..=limits::PROPERTIES).map(|i| (format!("p{i}"), json!({}))).collect();
    let fault = refusal(&json!({"properties": properties}));
    assert_eq!((fault.pointer.as_str(), fault.keyword.as_str()), ("/properties", "limit"));
    let most: Map<String, Value> =
        (0..limits::PROPERTIES).map(|i| (format!("p{i}"), json!({"type": "string"}))).collect();
    let schema = within(SOON, || Schema::compile(&json!({"properties": most}))).unwrap();
    assert_eq!(schema.fields().len(), limits::PROPERTIES);
}

#[test]
fn faults_against_the_standard_are_told_where_they_are() {
    for (schema, pointer) in [
        (json!({"type": "strin"}), "/type"),
        (json!({"type": "array"}), "/type"),
        (json!({"type": ["string", "null"]}), "/type"),
        (json!({"properties": {"a/b": {"type": "strin"}}}), "/properties/a~1b/type"),
        (json!({"properties": {"a": {"minimum": "3"}}}), "/properties/a/minimum"),
        (json!({"properties": {"a": {"maxLength": -1}}}), "/properties/a/maxLength"),
        (json!({"properties": {"a": {"multipleOf": 0}}}), "/properties/a/multipleOf"),
        (json!({"properties": {"a": {"items": [{}]}}}), "/properties/a/items"),
        (json!({"properties": {"a": {"enum": 3}}}), "/properties/a/enum"),
        (json!({"properties": ["a"]}), "/properties"),
        (json!({"required": ["a", "a"]}), "/required"),
        (json!({"required": "a"}), "/required"),
        (json!({"allOf": []}), "/allOf"),
        (json!({"properties": {"a": 3}}), "/properties/a"),
        (json!({"$id": "x#y"}), "/$id"),
        (json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "/$schema"),
        (json!({"$schema": "https://example.com/dialect"}), "/$schema"),
        (json!({"$defs": {"a": {"$anchor": "1"}}}), "/$defs/a/$anchor"),
        (json!(true), ""),
        (json!(null), ""),
        (json!([]), ""),
        (json!("type"), ""),
        (json!({"properties": {"a": {"$ref": "#/x-shelf/a"}}, "x-shelf": {"a": {"type": 5}}}), "/x-shelf/a/type"),
        (json!({"x-scope": "site"}), "/x-scope"),
        (json!({"x-title": ["a", "b"], "properties": {"a": {}}}), "/x-title"),
        (json!({"properties": {"a": {"x-unit": 3}}}), "/properties/a/x-unit"),
        (json!({"properties": {"a": {"x-merge": "maybe"}}}), "/properties/a/x-merge"),
        (json!({"properties": {"a": {"x-conflict": "theirs"}}}), "/properties/a/x-conflict"),
        (json!({"properties": {"a": {"type": "string", "x-conflict": "highest"}}}), "/properties/a/x-conflict"),
        (json!({"properties": {"a": {"type": "boolean", "x-conflict": "lowest"}}}), "/properties/a/x-conflict"),
        (
            json!({"properties": {"a": {"type": "number", "x-conflict": "highest"}, "b": {}}, "dependentRequired": {"a": ["b"]}}),
            "/properties/a/x-conflict",
        ),
        (json!({"properties": {"a": {"x-message": {"pattern": 3}}}}), "/properties/a/x-message"),
        (json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}), "/$defs/b/$anchor"),
        (json!({"$defs": {"a": {"$id": "x"}, "b": {"$id": "x"}}}), "/$defs/b/$id"),
    ] {
        let errors = Schema::compile(&schema).err().unwrap_or_else(|| panic!("{schema} is accepted"));
        assert_eq!(errors[0].pointer, pointer, "{schema}: {errors:?}");
        for error in &errors {
            assert!(error.message.ends_with('.') && !error.keyword.is_empty(), "{error:?}");
        }
    }
}

#[test]
fn odd_property_names_are_ordinary_fields() {
    let names =
        ["", "__proto__", "constructor", "a/b", "m~n", "~1", "a b", "😀", "@x", "0", "-", "$ref", "a\"b", "a\nb"];
    let properties: Map<String, Value> =
        names.iter().map(|name| ((*name).to_string(), json!({"type": "integer"}))).collect();
    let schema = Schema::compile(&json!({"type": "object", "properties": properties, "required": names})).unwrap();
    assert_eq!(schema.fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), names);
    for name in names {
        let mut record: Map<String, Value> = names.iter().map(|name| ((*name).to_string(), json!(1))).collect();
        assert_eq!(schema.validate(&Value::Object(record.clone())), []);
        record.insert(name.to_string(), json!("text"));
        let errors = schema.validate(&Value::Object(record.clone()));
        assert_eq!(errors.len(), 1, "{name:?}");
        assert_eq!(errors[0].pointer, format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        record.shift_remove(name);
        let errors = schema.validate(&Value::Object(record));
        assert_eq!(errors.len(), 1, "{name:?}: {errors:?}");
        assert_eq!(errors[0].pointer, format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        assert!(schema.shape().at(&[name]).is_some_and(Shape::is_leaf));
    }
}

#[test]
fn a_record_too_deep_is_an_error_and_not_a_full_stack() {
    let schema = Schema::compile(&json!({"properties": {"child": {"$ref": "#"}}})).unwrap();
    let nested = |levels: usize| {
        let mut record = json!({});
        for _ in 1..levels {
            record = json!({"child": record});
        }
        record
    };
    assert_eq!(schema.validate(&nested(limits::RECORD_NESTING)), []);
    let deep = nested(limits::RECORD_NESTING + 1);
    assert_eq!(schema.validate(&deep)[0].keyword, "limit");
    assert!(!schema.is_valid(&deep));
}

#[test]
fn numbers_are_judged_by_their_digits() {
    let schema = Schema::compile(
        &serde_json::from_str(
            r#"{"properties": {
                "tenth": {"multipleOf": 0.1}, "cent": {"multipleOf": 0.01}, "quarter": {"multipleOf": 0.25},
                "whole": {"type": "integer"},
                "big": {"maximum": 1152921504606846977}, "bigger": {"exclusiveMinimum": 1152921504606846976},
                "exact": {"const": 1152921504606846977}, "one": {"const": 1.0}, "choice": {"enum": [0.1, 100]},
                "distinct": {"uniqueItems": true}
            }}"#,
        )
        .unwrap(),
    )
    .unwrap();
    for (record, valid) in [
        (r#"{"tenth": 0.3}"#, true),
        (r#"{"tenth": 36.8}"#, true),
        (r#"{"tenth": 4.5}"#, true),
        (r#"{"tenth": 1e30}"#, true),
        (r#"{"tenth": 123456789012345678901234567890.1}"#, true),
        (r#"{"tenth": 123456789012345678901234567890.12}"#, false),
        (r#"{"tenth": 0.35}"#, false),
        (r#"{"tenth": 36.80}"#, true),
        (r#"{"tenth": 0.30000000000000004}"#, false),
        (r#"{"cent": 19.99}"#, true),
        (r#"{"cent": 1.005}"#, false),
        (r#"{"quarter": 1.75}"#, true),
        (r#"{"whole": 1.0}"#, true),
        (r#"{"whole": 1e2}"#, true),
        (r#"{"whole": 10e-1}"#, true),
        (r#"{"whole": 1.5}"#, false),
        (r#"{"whole": 115292150460684697700000000000001}"#, true),
        (r#"{"whole": 115292150460684697700000000000001.5}"#, false),
        (r#"{"big": 1152921504606846977}"#, true),
        (r#"{"big": 1152921504606846978}"#, false),
        (r#"{"bigger": 1152921504606846977}"#, true),
        (r#"{"bigger": 1152921504606846976}"#, false),
        (r#"{"exact": 1152921504606846977}"#, true),
        (r#"{"exact": 1152921504606846976}"#, false),
        (r#"{"one": 1}"#, true),
        (r#"{"one": 10e-1}"#, true),
        (r#"{"choice": 1e2}"#, true),
        (r#"{"choice": 0.10}"#, true),
        (r#"{"distinct": [1, 1.0]}"#, false),
        (r#"{"distinct": [1152921504606846976, 1152921504606846977]}"#, true),
    ] {
        let record_value: Value = serde_json::from_str(record).unwrap();
        assert_eq!(schema.is_valid(&record_value), valid, "{record}");
        assert_eq!(schema.validate(&record_value).is_empty(), valid, "{record}");
    }
}

#[test]
fn numbers_without_end_are_refused_before_anything_computes_with_them() {
    let schema = Schema::compile(
        &json!({"properties": {"a": {"type": "integer"}, "b": {"multipleOf": 0.1}, "c": {"minimum": 3}, "d": {"enum": [1]}}}),
    )
    .unwrap();
    for name in ["a", "b", "c", "d"] {
        for number in ["1e1000000000", "1e-1000000000", "1E99999999999999999999", &"9".repeat(100_000)] {
            let record: Value = serde_json::from_str(&format!("{{\"{name}\": [{{\"x\": {number}}}]}}")).unwrap();
            let errors = within(SOON, || schema.validate(&record));
            assert_eq!(errors[0].pointer, format!("/{name}/0/x"));
            assert_eq!(errors[0].keyword, "limit");
        }
        let record: Value = serde_json::from_str(&format!("{{\"{name}\": 1e900}}")).unwrap();
        within(SOON, || schema.validate(&record));
    }
    let schema: Value = serde_json::from_str(r#"{"properties": {"x": {"multipleOf": 1e-1000000000}}}"#).unwrap();
    assert_eq!(within(SOON, || refusal(&schema)).pointer, "/properties/x/multipleOf");
}

#[test]
fn a_record_with_thousands_of_faults_tells_the_first_hundred() {
    let schema =
        Schema::compile(&json!({"properties": {"x": {"type": "array", "items": {"type": "string"}}}})).unwrap();
    let record = json!({"x": vec![1; 100_000]});
    assert_eq!(within(SOON, || schema.validate(&record)).len(), limits::ERRORS);
}

/// Each level of a record doubles what a value is held against: 2²⁵⁶ without the limit.
#[test]
fn a_schema_that_says_everything_twice_bounds_how_deep_records_go() {
    let twice = json!({
        "properties": {"a": {"$ref": "#/$defs/t"}},
        "$defs": {"t": {"properties": {"a": {"$ref": "#/$defs/t"}}, "allOf": [{"properties": {"a": {"$ref": "#/$defs/t"}}}]}}
    });
    let lists = json!({
        "properties": {"a": {"$ref": "#/$defs/t"}},
        "$defs": {"t": {"anyOf": [{"items": {"$ref": "#/$defs/t"}}, {"type": "null"}], "contains": {"$ref": "#/$defs/t"}}}
    });
    // not recursive, and as bad
    let mut defs = Map::new();
    for i in 0..200 {
        let next = json!({"a": {"$ref": format!("#/$defs/d{}", i + 1)}});
        defs.insert(format!("d{i}"), json!({"properties": next, "not": {"not": {"properties": next}}}));
    }
    defs.insert("d200".to_string(), json!(true));
    let steps = json!({"$ref": "#/$defs/d0", "$defs": defs});
    for (source, open, close) in [(twice, "{\"a\":", "}"), (lists, "[", "]"), (steps, "{\"a\":", "}")] {
        let schema = Schema::compile(&source).unwrap();
        for levels in [3, 8, 20, 60, 120] {
            let text = format!("{{\"a\":{}null{}}}", open.repeat(levels), close.repeat(levels));
            let record: Value = serde_json::from_str(&text).unwrap();
            let errors = within(SOON, || schema.validate(&record));
            if levels == 3 {
                assert_eq!(errors, []);
            } else if levels > 20 {
                assert_eq!(errors[0].keyword, "limit", "{source}");
            }
        }
    }
}

/// One large part that is referred to from everywhere is not copied everywhere.
#[test]
fn large_parts_referred_to_often_stay_small() {
    let values: Vec<String> = (0..60_000).map(|i| format!("v{i:06}")).collect();
    let properties: Map<String, Value> =
        (0..400).map(|i| (format!("p{i}"), json!({"$ref": "#/$defs/large"}))).collect();
    let schema = json!({"properties": properties, "$defs": {"large": {"enum": values, "title": "t".repeat(100_000), "description": "d".repeat(100_000)}}});
    let schema = within(Duration::from_secs(30), || Schema::compile(&schema)).unwrap();
    assert_eq!(schema.fields().len(), 400);
    assert!(schema.fields().iter().all(|field| field.kind == Kind::Choice));
    let kept: usize = schema.fields().iter().map(|field| field.choices.len()).sum();
    assert!((60_000..1_000_000).contains(&kept), "{kept}");
    let size = serde_json::to_vec(schema.fields()).unwrap().len();
    assert!(size < 20_000_000, "{size}");
}

#[test]
fn long_names_are_refused() {
    let name = "n".repeat(900_000);
    assert_eq!(refusal(&json!({"properties": {name.clone(): {}}})).keyword, "limit");
    let many: Map<String, Value> = (0..15_000).map(|i| (format!("{i}"), json!({}))).collect();
    assert_eq!(within(SOON, || refusal(&json!({"$defs": {name: {"$defs": many}}}))).keyword, "limit");
}

#[test]
fn rules_over_thousands_of_names_are_found_soon() {
    let names: Vec<String> = (0..300).map(|i| format!("n{i}")).collect();
    let dependent: Map<String, Value> = (0..400).map(|i| (format!("m{i}"), json!(names))).collect();
    let apart: Map<String, Value> = (0..8_000).map(|i| (format!("a{i}"), json!([format!("b{i}")]))).collect();
    let schema = json!({"allOf": [{"dependentRequired": dependent}, {"dependentRequired": apart}]});
    let schema = within(SOON, || Schema::compile(&schema)).unwrap();
    assert_eq!(schema.units().all().len(), 8_001);
    let touched: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    let expanded = within(SOON, || schema.units().expand::<Vec<String>, String>(&touched));
    assert_eq!(expanded.len(), 700);
}
