//! Forms whose controls depend on the answers: branches, conditions, types, names of people's own, recursion.

use serde_json::{Value, json};

use super::Page;
use super::browser::layout;

/// The last or, with a digit behind the star, that name which begins so.
fn found(page: &Page, name: &str) -> String {
    let Some((start, rest)) = name.split_once('*') else { return name.to_owned() };
    let (verb, start) = start.find('/').map_or(("", start), |at| start.split_at(at));
    let (digit, end) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
    let rows: Vec<String> = {
        let mut rows: Vec<String> = page
            .controls
            .iter()
            .filter(|control| control.name.starts_with(start) && control.kind_is_seen())
            .map(|control| control.name[start.len()..].split(['/', '#']).next().unwrap_or_default().to_owned())
            .collect();
        rows.dedup();
        rows
    };
    let row = match digit.parse::<usize>() {
        Ok(at) => rows.get(at),
        Err(_) => rows.last(),
    };
    format!("{verb}{start}{}{end}", row.unwrap_or_else(|| panic!("no row at {name}")))
}

/// `tests/data/form/answers.json`: a list of cases. `schema` is a type's, `record` what it is opened with. `do` is a list of steps
/// `[verb, name, value?]`. The form `begins_with` these controls and `begins_without` those; afterwards it `has` and `lacks` some, and
/// there is the record it `gives`, or the place at which it is `refused`, with what it `says` there.
#[test]
fn controls_follow_the_answers_as_the_table_says() {
    let table: Vec<Value> = serde_json::from_str(include_str!("../../../../tests/data/form/answers.json")).unwrap();
    let mut failures = Vec::new();
    for case in &table {
        let what = case["what"].as_str().unwrap();
        let mut schema = case["schema"].clone();
        schema.as_object_mut().unwrap().entry("type").or_insert_with(|| json!("object"));
        let mut page = Page::open(layout(&schema), case.get("record").cloned());
        failures.extend(differing(&page, case, "begins_with", "begins_without").map(|why| format!("{what}: {why}")));
        for step in case["do"].as_array().into_iter().flatten() {
            let text = |at: usize| step.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
            let name = found(&page, &text(1));
            match text(0).as_str() {
                "fill" if page.has(&name) => page.fill(&name, &text(2)),
                "choose" => page.choose(&name, step.get(2).map(Value::to_string).as_deref()),
                "press" => page.press(&name),
                _ => failures.push(format!("{what}: there is no {name}")),
            }
        }
        failures.extend(differing(&page, case, "has", "lacks").map(|why| format!("{what}: {why}")));
        let decoded = page.post();
        let told: Vec<String> =
            decoded.errors.iter().map(|problem| format!("{}: {}", problem.name, problem.error.message)).collect();
        let gives = decoded.candidate.value;
        match case.get("refused").and_then(Value::as_str) {
            Some(at) => {
                let says = case["says"].as_str().unwrap_or_default();
                if !told.iter().any(|own| own.starts_with(at) && own.contains(says)) {
                    failures.push(format!("{what}: refused with {told:?}; {gives}"));
                }
            }
            None if !told.is_empty() => failures.push(format!("{what}: refused with {told:?}; {gives}")),
            None if !crate::domain::json::equal(&gives, &case["gives"]) => {
                failures.push(format!("{what}: {gives} and not {}", case["gives"]));
            }
            None => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(table.len() > 45);
}

fn differing(page: &Page, case: &Value, has: &str, lacks: &str) -> Option<String> {
    let names = |word: &str| case[word].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    let seen = |name: &str| page.controls.iter().any(|control| control.name == name);
    if let Some(name) = names(has).into_iter().find(|name| !seen(name)) {
        return Some(format!("there is no {name}"));
    }
    names(lacks).into_iter().find(|name| seen(name)).map(|name| format!("there is {name}"))
}

#[test]
fn forged_choices_are_refused_and_change_nothing() {
    let schema = json!({"type": "object", "properties": {
        "v": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"a": {"type": "string"}}}]},
        "t": {"type": ["string", "number"]}}});
    let record = json!({"v": "x", "t": 1});
    for (name, value) in
        [("/v#choice", "7"), ("/v#choice", "-1"), ("/v#choice", "one"), ("/t#type", "object"), ("/t#type", "x")]
    {
        let mut page = Page::open(layout(&schema), Some(record.clone()));
        page.set(name, value);
        let decoded = page.post();
        assert!(!decoded.errors.is_empty(), "{name}={value} is taken");
        let told = decoded.errors[0].error.message.clone();
        assert!(told.starts_with("Choose one of"), "{told}");
    }
}

#[test]
fn properties_of_hostile_names_are_fields_like_others() {
    let names = ["__proto__", "", "a/b~c", "😀 \"'<b>", "@k", "x#choice", "constructor", "a\nb"];
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": properties});
    let record: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!("v"))).collect();
    let mut page = Page::open(layout(&schema), Some(Value::Object(record.clone())));
    assert_eq!(page.changes(), []);
    let mut expected = record;
    for name in names {
        page.fill(&format!("/{}", crate::domain::path::escape(name)), "w");
        expected.insert(name.to_owned(), json!("w"));
    }
    assert!(crate::domain::json::equal(&page.post().candidate.value, &Value::Object(expected)));
}
