//! What the HTML of a form has to be, whatever the type and the record.

use scraper::{Html, Selector};
use serde_json::{Value, json};

use super::Page;
use super::browser::layout;

fn hostile() -> Value {
    let names = [
        "\"quoted\"",
        "a/b~c",
        "<script>alert(1)</script>",
        "__proto__",
        "constructor",
        "",
        " ",
        "🙂",
        "@x",
        "#",
        "a#date",
        "ä b",
        "'",
    ];
    let mut properties = serde_json::Map::new();
    for name in names {
        properties.insert(
            name.into(),
            json!({"type": "string", "title": format!("<img src=x onerror=alert(1)>{name}"), "description": "\"><script>", "x-unit": "<i>"}),
        );
    }
    let inner = properties.clone();
    properties.insert("list\"<".into(), json!({"type": "array", "items": {"type": "object", "properties": inner}}));
    properties.insert("choice<".into(), json!({"enum": ["<b>", "\"", "'"]}));
    json!({"type": "object", "title": "</title><script>", "properties": properties})
}

fn all(html: &str, selector: &str) -> usize {
    Html::parse_document(html).select(&Selector::parse(selector).expect("a selector")).count()
}

#[test]
fn hostile_names_and_texts_are_only_text() {
    let mut page = Page::open(layout(&hostile()), None);
    assert_eq!(all(&page.html, "script, img, i, b"), 0);
    let names: Vec<String> = page.names().into_iter().map(str::to_owned).collect();
    for name in ["/\"quoted\"", "/a~1b~0c", "/__proto__", "/", "/ ", "/🙂", "/@x", "/#", "/a#date"] {
        if name.contains('#') {
            assert!(page.has(name), "{name}");
        } else {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        page.fill(name, "</textarea><script>\"'");
    }
    page.press("add /list\"<");
    assert_eq!(all(&page.html, "script, img, i, b"), 0);
    let decoded = page.post();
    assert_eq!(decoded.errors, []);
    assert_eq!(decoded.candidate.value["__proto__"], "</textarea><script>\"'");
    assert_eq!(decoded.candidate.value[""], "</textarea><script>\"'");
    assert_eq!(decoded.candidate.value["a#date"], "</textarea><script>\"'");
}

fn everything() -> Value {
    json!({"type": "object", "required": ["title", "n", "yes"], "properties": {
        "title": {"type": "string", "description": "What it is."}, "mail": {"type": "string", "format": "email"},
        "n": {"type": "number", "x-unit": "kg"}, "due": {"type": "string", "format": "date"}, "at": {"type": "string", "format": "date-time"},
        "yes": {"type": "boolean"}, "unknown": {"type": ["boolean", "null"]}, "tick": {"type": "boolean", "default": false}, "agree": {"const": true},
        "text": {"type": "string", "maxLength": 1000}, "any": {}, "fixed": {"const": "x"}, "own": {"type": "string", "readOnly": true, "default": "d"},
        "few": {"enum": ["a", "b"]}, "many": {"enum": [1, 2, 3, 4, 5, 6]}, "some": {"type": "array", "uniqueItems": true, "items": {"enum": ["p", "q"]}},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "object", "description": "Where.", "properties": {"deck": {"type": "string"}, "geo": {"type": "object", "properties": {"x": {"type": "number"}}}}},
        "parts": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"title": "Part", "type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "q": {"type": "number"}, "notes": {"type": "array", "items": {"type": "object", "properties": {"by": {"type": "string"}}}}}}}}})
}

#[test]
fn every_control_has_a_label_and_every_reference_leads_somewhere() {
    let mut page = Page::open(layout(&everything()), None);
    page.press("add /parts");
    let added = page.names().into_iter().rfind(|name| name.ends_with("/q")).expect("an item").to_owned();
    page.fill(&added, "many");
    page.fill("/n", "x");
    page.refused();
    let document = Html::parse_document(&page.html);
    let select = |selector: &str| Selector::parse(selector).expect("a selector");
    let mut ids = std::collections::HashSet::new();
    for element in document.select(&select("[id]")) {
        assert!(ids.insert(element.attr("id").unwrap_or_default()), "{:?} twice", element.attr("id"));
    }
    for element in document.select(&select("input:not([type=hidden]), textarea, select")) {
        let id = element.attr("id").unwrap_or_default();
        let by_for = document.select(&select("label[for]")).any(|label| label.attr("for") == Some(id));
        let around = element.ancestors().any(|node| node.value().as_element().is_some_and(|e| e.name() == "label"));
        assert!(by_for || around || element.attr("aria-label").is_some(), "{id} has no label");
    }
    for (selector, attribute) in
        [("[aria-describedby]", "aria-describedby"), ("[aria-labelledby]", "aria-labelledby"), ("[for]", "for")]
    {
        for element in document.select(&select(selector)) {
            for id in element.attr(attribute).unwrap_or_default().split_whitespace() {
                assert!(ids.contains(id), "{attribute} {id}");
            }
        }
    }
    let links: Vec<&str> = document.select(&select(".summary a, .steps a")).filter_map(|a| a.attr("href")).collect();
    assert!(links.len() > 4);
    for link in links {
        assert!(ids.contains(link.trim_start_matches('#')), "{link}");
    }
    let wrong = all(&page.html, "[aria-invalid=true]");
    assert!(wrong >= 3, "{wrong}");
    assert_eq!(all(&page.html, "[style], [onclick], script"), 0);
    assert_eq!(all(&page.html, "button:not([aria-label]):empty"), 0);
}

#[test]
fn enter_in_a_text_field_saves() {
    let page = Page::open(layout(&everything()), Some(json!({"parts": [{"name": "a"}]})));
    let document = Html::parse_document(&page.html);
    let buttons = Selector::parse("form button").expect("a selector");
    let first = document.select(&buttons).next().expect("a button");
    assert_eq!(first.attr("name"), None);
    assert_eq!(first.text().collect::<String>(), "Save thing");
    assert!(document.select(&buttons).skip(1).all(|button| button.attr("name") == Some("_do")));
    assert_eq!(all(&page.html, "form[method=post][novalidate]"), 1);
}

#[test]
fn what_was_added_takes_the_focus_and_the_limits_are_kept() {
    let mut page = Page::open(layout(&everything()), None);
    for count in 1..=3 {
        page.press("add /parts");
        assert_eq!(all(&page.html, "[autofocus]"), 1, "{count}");
    }
    assert!(!page.html.contains("value=\"add /parts\""), "no more than three");
    assert!(page.html.contains("At least 1, at most 3."));
}

#[test]
fn a_property_that_looks_like_a_part_of_another_is_none() {
    let schema = json!({"type": "object", "properties": {
        "due": {"type": "string", "format": "date-time"}, "due#date": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}, "list#items": {}}});
    let record = json!({"due": "2026-05-14T16:00:00Z", "due#date": "x", "list": ["a"], "list#items": "y"});
    let mut page = Page::open(layout(&schema), Some(record.clone()));
    assert_eq!(page.post().candidate.value, record);
    page.fill("/due#date", "z");
    let decoded = page.post();
    assert_eq!(decoded.errors, []);
    assert_eq!(decoded.candidate.value["due#date"], "z");
    assert_eq!(decoded.candidate.value["due"], record["due"]);
}

#[test]
fn a_type_as_deep_as_types_may_be_opens_and_keeps_what_is_there() {
    let mut defs = serde_json::Map::new();
    for level in 0..500 {
        let below = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        defs.insert(
            format!("d{level}"),
            json!({"type": "object", "properties": {"in": below, "n": {"type": "number"}}}),
        );
    }
    defs.insert("d500".into(), json!({"type": "string"}));
    let schema = json!({"type": "object", "properties": {"top": {"$ref": "#/$defs/d0"}}, "$defs": defs});
    let mut record = json!({"n": 1.0});
    for _ in 0..60 {
        record = json!({"in": record});
    }
    let record = json!({"top": record});
    let mut page = Page::open(layout(&schema), Some(record.clone()));
    assert_eq!(page.changes(), []);
    page.fill("/top/in/n", "2,5");
    assert_eq!(page.changes().len(), 1);
}
