//! The two laws of forms over HTTP, for hundreds of schemas and documents from the wild.
//!
//! L1: a form that comes back as it was drawn leaves the record as it is, to the byte, and writes nothing. L2: a blank form
//! gives nothing but the defaults that were shown and constants.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use outpost::domain::json::{self, sorted};
use outpost::domain::people::{Actor, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::{Browser, Fields, Site};

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

/// Whoever fills in forms, and a program beside them.
struct Hands {
    browser: Browser,
    token: String,
}

impl Hands {
    async fn api(&self, method: Method, path: &str, body: Option<String>) -> (u16, Value) {
        let request = self.browser.request(method, &format!("/api/v1{path}")).bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        };
        let answer = self.browser.send(request).await;
        let value = serde_json::from_str(&answer.text).unwrap_or_else(|err| panic!("{path}: {err}: {}", answer.text));
        (answer.status, value)
    }

    async fn make_type(&self, name: &str, schema: &str) -> Result<(), String> {
        let body = format!("{{\"name\":\"{name}\",\"schema\":{schema}}}");
        match self.api(Method::POST, "/types", Some(body)).await {
            (201, _) => Ok(()),
            (_, problem) => Err(problem["detail"].to_string()),
        }
    }

    async fn changes(&self, record: &str) -> usize {
        let (_, history) = self.api(Method::GET, &format!("{record}/history"), None).await;
        history["items"].as_array().map_or(0, Vec::len)
    }

    async fn keeps_l1(&self, name: &str, document: &Value) -> Result<(), String> {
        let body = json!({ "data": document }).to_string();
        let (status, made) = self.api(Method::POST, &format!("/types/{name}/records"), Some(body)).await;
        if status != 201 {
            return Err(format!("the API refuses it: {made}"));
        }
        let id = made["id"].as_str().expect("an id");
        let (page, record) = (format!("/records/{name}/{id}/edit"), format!("/types/{name}/records/{id}"));
        let before = self.changes(&record).await;
        let form = self.browser.get(&page).await;
        if form.status != 200 {
            return Err(format!("the form does not open: {}", form.status));
        }
        let saved = self.browser.submit(&page, &form.form("#record-form")).await;
        if saved.status != 303 {
            return Err(format!("{}: {:?}", saved.status, saved.words(".summary li")));
        }
        let (_, after) = self.api(Method::GET, &record, None).await;
        let (gives, expected) = (after["data"].to_string(), sorted(document.clone()).to_string());
        if gives != expected {
            return Err(format!("{expected:.300} became {gives:.300}"));
        }
        match self.changes(&record).await - before {
            0 => Ok(()),
            writes => Err(format!("{writes} writes")),
        }
    }

    /// `None` where the schema asks for something that only a person can give.
    async fn keeps_l2(&self, name: &str, schema: &Value) -> Result<Option<()>, String> {
        let page = format!("/records/{name}/new");
        let form = self.browser.get(&page).await;
        if form.status != 200 {
            return Err(format!("the form does not open: {}", form.status));
        }
        let fields = form.form("#record-form");
        let saved = self.browser.submit(&page, &fields).await;
        if saved.status == 422 {
            let again = saved.form("#record-form");
            return if typed(&again) == typed(&fields) {
                Ok(None)
            } else {
                Err(format!("it comes back with other values: {:?}", differing(&fields, &again)))
            };
        }
        let record = saved.led_to().replacen(&format!("/records/{name}/"), &format!("/types/{name}/records/"), 1);
        let (_, record) = self.api(Method::GET, &record, None).await;
        is_expected(schema, &record["data"]).map(Some)
    }
}

/// What a person sees of the fields.
fn typed(fields: &Fields) -> Vec<&(String, String)> {
    fields.iter().filter(|(name, _)| !name.starts_with('_')).collect()
}

fn differing<'a>(before: &'a Fields, after: &'a Fields) -> Vec<&'a (String, String)> {
    typed(after).into_iter().filter(|field| !before.contains(field)).collect()
}

/// What a blank form may give, by the schema alone: its defaults and constants, and what must be there, empty.
fn is_expected(schema: &Value, given: &Value) -> Result<(), String> {
    fn gather(schema: &Value, is_answer: bool, known: &mut HashSet<String>) {
        if is_answer {
            known.insert(json::canonical(schema));
        }
        match schema {
            Value::Object(map) => map.iter().for_each(|(word, value)| {
                gather(value, is_answer || word == "default" || word == "const", known);
            }),
            Value::Array(items) => items.iter().for_each(|value| gather(value, is_answer, known)),
            _ => {}
        }
    }
    fn walk(value: &Value, at: &str, known: &HashSet<String>) -> Result<(), String> {
        match value {
            _ if known.contains(&json::canonical(value)) => Ok(()),
            Value::Object(map) => map.iter().try_for_each(|(name, value)| walk(value, &format!("{at}/{name}"), known)),
            Value::Array(items) => items.iter().try_for_each(|value| walk(value, &format!("{at}/@"), known)),
            other => Err(format!("{at} is {other}, which nobody entered")),
        }
    }
    let mut known = HashSet::new();
    gather(schema, false, &mut known);
    walk(given, "", &known)
}

/// The same schema, asking for nothing that a blank form does not have.
fn lenient(schema: &Value) -> Value {
    const ASKING: [&str; 6] = ["required", "minProperties", "minItems", "minLength", "anyOf", "oneOf"];
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        ASKING.iter().for_each(|word| drop(map.shift_remove(*word)));
        // what asks below for something is drawn with its own mark, and stays
        for holder in ["$defs", "definitions", "properties"] {
            if let Some(Value::Object(below)) = map.get_mut(holder) {
                for schema in below.values_mut().filter_map(Value::as_object_mut) {
                    schema.shift_remove("required");
                }
            }
        }
    }
    schema
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[actix_web::test]
async fn forms_of_schemas_from_the_wild_keep_the_two_laws_over_http() {
    let Some(corpus) = corpus() else { return };
    let site = Site::start().await;
    let (token, _) = site.node.create_token(&Actor::Operator, "wild", Role::Admin).await.expect("a token");
    let hands = Hands { browser: site.browser(Role::Staff).await, token };
    let mut directories: Vec<PathBuf> = std::fs::read_dir(corpus)
        .expect("the corpus is a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    directories.sort();
    let (mut types, mut relaxed, mut refused, mut blank, mut asking, mut documents, mut kept) = (0, 0, 0, 0, 0, 0, 0);
    let mut failures = Vec::new();
    for (at, directory) in directories.iter().enumerate() {
        let known_as = directory.file_name().expect("a name").to_string_lossy().into_owned();
        let text = read(&directory.join("schema.json"));
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let name = format!("wild-{at}");
        // those that no type may have are told where schemas are judged
        if hands.make_type(&name, &text).await.is_err() {
            refused += 1;
            continue;
        }
        types += 1;
        let mut outcome = hands.keeps_l2(&name, &schema).await;
        if matches!(outcome, Ok(None)) {
            relaxed += 1;
            let lenient = lenient(&schema);
            let name = format!("lenient-{at}");
            if hands.make_type(&name, &lenient.to_string()).await.is_ok() {
                outcome = hands.keeps_l2(&name, &lenient).await;
            }
        }
        match outcome {
            Ok(Some(())) => blank += 1,
            Ok(None) => {
                println!("  {known_as} asks for more");
                asking += 1;
            }
            Err(why) => failures.push(format!("L2 {known_as}: {why}")),
        }
        for path in std::fs::read_dir(directory.join("valid")).into_iter().flatten() {
            let path = path.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let document: Value = serde_json::from_str(&read(&path)).expect("JSON");
            if !document.is_object() {
                continue;
            }
            documents += 1;
            match hands.keeps_l1(&name, &document).await {
                Ok(()) => kept += 1,
                Err(why) => failures.push(format!("L1 {known_as}, {}: {why}", path.display())),
            }
        }
    }
    println!("{types} of {} schemas are types, {refused} are refused", directories.len());
    println!("L1 untouched: {kept} of {documents} documents");
    println!("L2 blank: {blank} of {types} types saved; {asking} ask for more, and come back as they were");
    println!("({relaxed} were tried again without what they require)");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(types > 80 && documents > 150);
    site.stop().await;
}
