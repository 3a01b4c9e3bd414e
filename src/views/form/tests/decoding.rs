//! The decoding table: what each control means, left alone, filled or emptied.

use serde_json::{Map, Value, json};

use super::Page;
use super::browser::{layout, stored};
use crate::domain::clock::Hlc;
use crate::domain::ids::SaveId;
use crate::domain::stamp::{Author, Stamp};

/// `tests/data/form/decoding.json`: a list of cases. `schema` is one property's schema, called `v`; `required` makes it so;
/// `record` is the record it is opened with, without one it is new. `do`: a list of steps `[verb, name, value?]`. `gives` is the
/// record that comes of it, `refused` the words of a message at `v`.
#[test]
fn controls_mean_what_the_table_says() {
    let table: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/form/decoding.json")).unwrap();
    let mut failures = Vec::new();
    for case in &table {
        let what = case["what"].as_str().unwrap();
        let mut properties = Map::new();
        properties.insert("v".into(), case["schema"].clone());
        let mut schema = json!({"type": "object", "properties": properties});
        if case["required"] == json!(true) {
            schema["required"] = json!(["v"]);
        }
        let mut page = Page::open(layout(&schema), case.get("record").cloned());
        for step in case["do"].as_array().into_iter().flatten() {
            let text = |at: usize| step.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let last = |name: &str, names: Vec<&str>| match name.strip_suffix('*') {
                Some(start) => {
                    let found = names.into_iter().rfind(|found| found.starts_with(start));
                    found.unwrap_or_else(|| panic!("{what}: {name}")).to_owned()
                }
                None => name.to_owned(),
            };
            let name = last(&text(1), page.names());
            match text(0).as_str() {
                "fill" => page.fill(&name, &text(2)),
                "choose" => page.choose(&name, step.get(2).map(Value::to_string).as_deref()),
                "untick" => page.untick(&name),
                "press" => page.press(&text(1)),
                other => panic!("{what}: {other}"),
            }
        }
        let decoded = page.post();
        let messages: Vec<String> =
            decoded.errors.iter().map(|problem| format!("{}: {}", problem.name, problem.error.message)).collect();
        // as text: every digit counts
        let (gives, expected) = (decoded.candidate.value.to_string(), case["gives"].to_string());
        match case.get("refused").and_then(Value::as_str) {
            Some(words) if messages.iter().any(|message| message.starts_with("/v") && message.contains(words)) => {}
            Some(words) => failures.push(format!("{what}: refused with {messages:?}, not {words:?}")),
            None if !messages.is_empty() => failures.push(format!("{what}: refused with {messages:?}")),
            None if gives != expected => failures.push(format!("{what}: {gives} and not {expected}")),
            None => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(table.len() > 60);
}

#[test]
fn only_what_a_person_changed_is_written() {
    let schema = json!({"type": "object", "properties": {
        "title": {"type": "string"}, "n": {"type": "number"}, "done": {"type": "boolean"},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "q": {"type": "number"}}}}}});
    let record =
        json!({"title": "a", "n": 1.50, "done": true, "parts": [{"name": "x", "q": 1}, {"name": "y"}], "more": [1]});
    let mut page = Page::open(layout(&schema), Some(record));
    assert_eq!(page.changes(), []);
    page.fill("/parts/@k1/q", "2");
    let paths = |page: &Page| page.changes().iter().map(|change| change.path.to_string()).collect::<Vec<_>>();
    assert_eq!(paths(&page), ["/parts/@k1/q"]);
    page.press("down /parts/@k1");
    assert_eq!(paths(&page).len(), 2);
    assert_eq!(page.post().candidate.value["parts"], json!([{"name": "y"}, {"name": "x", "q": 2}]));
    page.press("add /parts");
    let added = page.names().into_iter().rfind(|name| name.ends_with("/name")).expect("a new item").to_owned();
    page.fill(&added, "z");
    page.press("remove /parts/@k2");
    assert_eq!(page.post().candidate.value["parts"], json!([{"name": "x", "q": 2}, {"name": "z"}]));
    assert_eq!(page.post().candidate.value["more"], json!([1]));
}

#[test]
fn nothing_typed_is_lost_when_the_form_changes_its_shape_or_is_refused() {
    let schema = json!({"type": "object", "required": ["title"], "properties": {
        "title": {"type": "string"}, "n": {"type": "number", "x-unit": "kg"}, "due": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"}, "yes": {"type": ["boolean", "null"]},
        "tick": {"type": "boolean", "default": true}, "text": {"type": "string", "x-widget": "textarea"},
        "any": {}, "kind": {"enum": ["a", "b", "c", "d", "e", "f"]}, "some": {"type": "array", "uniqueItems": true, "items": {"enum": ["p", "q"]}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}});
    let mut page = Page::open(layout(&schema), None);
    page.fill("/n", "4,5,");
    page.fill("/due", "2026-13-01");
    page.fill("/at#date", "tomorrow");
    page.fill("/at#time", "noon");
    page.fill("/text", "\nfirst\r\nsecond <b>&amp;</b>");
    page.fill("/any", "{not json");
    page.choose("/yes", Some("null"));
    page.choose("/kind", Some("\"c\""));
    page.choose("/some", Some("\"q\""));
    page.untick("/tick");
    let before = page.pairs();
    let kept = |page: &Page| {
        let after = page.pairs();
        for (name, value) in before.iter().filter(|(name, _)| !name.ends_with("#items") && name != "/text") {
            assert!(after.iter().any(|pair| pair == &(name.clone(), value.clone())), "{name}={value}");
        }
        assert!(after.iter().any(|(name, value)| name == "/text" && value == "\r\nfirst\r\nsecond <b>&amp;</b>"));
        assert!(!after.iter().any(|(name, _)| name == "/tick"));
    };
    page.press("add /parts");
    kept(&page);
    page.press("add /tags");
    kept(&page);
    page.refused();
    kept(&page);
    let names: Vec<String> = page.post().errors.into_iter().map(|problem| problem.name).collect();
    for name in ["/n", "/due", "/at", "/title"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    assert_eq!(names.len(), 4);
}

#[test]
fn what_was_wrong_before_holds_nobody_up_who_does_not_touch_it() {
    let schema = json!({"type": "object", "required": ["must"], "properties": {
        "n": {"type": "number", "maximum": 10}, "must": {"type": "string"}, "title": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 2}}}});
    let mut page = Page::open(layout(&schema), Some(json!({"n": 99, "tags": ["x", "yy"]})));
    assert!(page.html.contains("at most 10"), "it is told when the form opens");
    assert!(!page.html.contains("role=\"alert\""), "and there is nothing to put right first");
    page.fill("/title", "x");
    let decoded = page.post();
    assert_eq!(decoded.errors, []);
    assert_eq!(decoded.standing.len(), 3);
    page.fill("/n", "98");
    assert_eq!(page.post().errors.len(), 1);
    page.fill("/n", "9");
    assert_eq!(page.post().errors, []);
}

#[test]
fn the_choices_of_a_rule_do_not_narrow_a_field() {
    let schema = json!({"type": "object", "properties": {"s": {"type": "string"}},
        "if": {"properties": {"s": {"enum": ["a", "b"]}}, "required": ["s"]}, "then": {"required": ["x"]}});
    let mut page = Page::open(layout(&schema), None);
    page.fill("/s", "free");
    assert_eq!(page.post().candidate.value, json!({"s": "free"}));
}

#[test]
fn an_older_record_is_shown_under_a_newer_type_and_keeps_what_it_has() {
    let old = layout(&json!({"type": "object", "properties": {"parts": {}, "size": {}, "n": {}, "gone": {}}}));
    let new = json!({"type": "object", "properties": {
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "size": {"type": "object", "properties": {"w": {"type": "number"}}},
        "n": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}}});
    let record = json!({"parts": [{"name": "a"}, 7], "size": "large", "n": "four", "gone": {"x": 1}, "tags": "none"});
    let state = stored(&old, record.clone());
    let mut page = Page::of_state(layout(&new), Some(state));
    assert_eq!(page.changes(), []);
    assert!(page.html.contains("large") && page.html.contains("four"));
    page.fill("/n", "4");
    page.fill("/size", "{\"w\": 3}");
    let name = page.names().into_iter().find(|name| name.ends_with("/name")).expect("the item").to_owned();
    page.fill(&name, "b");
    assert_eq!(
        page.post().candidate.value,
        json!({"gone": {"x": 1}, "n": 4, "parts": [{"name": "b"}, 7], "size": {"w": 3}, "tags": "none"})
    );
}

#[test]
fn two_people_with_the_same_form_open_both_keep_what_they_changed() {
    let schema = json!({"type": "object", "properties": {
        "title": {"type": "string"}, "status": {"enum": ["open", "done"]},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "q": {"type": "number"}}}}}});
    let record = json!({"title": "a", "status": "open", "parts": [{"name": "x", "q": 1}]});
    let state = stored(&layout(&schema), record);
    let open = || Page::of_state(layout(&schema), Some(state.clone()));
    let (mut one, mut other) = (open(), open());
    one.fill("/title", "b");
    one.fill("/parts/@k1/q", "2");
    other.choose("/status", Some("\"done\""));
    other.fill("/parts/@k1/name", "y");
    other.press("add /parts");
    let added = other.names().into_iter().rfind(|name| name.ends_with("/name")).expect("an item").to_owned();
    other.fill(&added, "z");
    let mut merged = state.clone();
    let mut lost = Vec::new();
    for (at, page) in [(2, &one), (3, &other)] {
        let stamp = Stamp::new(Hlc::at(at), Author::default(), SaveId((at as u128) << 100));
        lost.extend(merged.apply(&page.changes(), stamp, at as u64, &|_, _| false).lost);
    }
    assert_eq!(lost, []);
    assert_eq!(
        merged.document().value,
        json!({"parts": [{"name": "y", "q": 2}, {"name": "z"}], "status": "done", "title": "b"})
    );
}
