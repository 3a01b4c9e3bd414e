//! Forms of hundreds of schemas, filled in over HTTP by somebody who runs no script.
//!
//! Six measures, printed in total and, for what falls short, one by one; `OUTPOST_CORPUS=all` prints every schema. Where a
//! measure has a goal, falling below it fails.

#[path = "../pages/browser.rs"]
#[allow(dead_code)]
mod browser;
mod sets;
#[path = "../support/mod.rs"]
mod support;
mod typist;

use std::collections::HashSet;

use outpost::domain::json::{self, sorted};
use outpost::domain::people::{Actor, Role};
use reqwest::Method;
use scraper::Html;
use serde_json::{Value, json};

use browser::{Browser, Page, Site, select};
use sets::Case;
use typist::Typist;

/// How often something held, of how often it was tried.
#[derive(Default)]
struct Tally {
    held: usize,
    tried: usize,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, known_as: &str, outcome: Result<(), String>) {
        self.tried += 1;
        match outcome {
            Ok(()) => self.held += 1,
            Err(why) => self.failures.push(format!("{known_as}: {:.600}", why)),
        }
    }

    fn share(&self) -> f64 {
        if self.tried == 0 { 100.0 } else { self.held as f64 * 100.0 / self.tried as f64 }
    }

    fn print(&self, what: &str) {
        println!("{what}: {} of {} ({:.1} %)", self.held, self.tried, self.share());
        for failure in &self.failures {
            println!("  {failure}");
        }
    }
}

#[derive(Default)]
struct Measures {
    opens: Tally,
    untouched: Tally,
    blank: Tally,
    typed: Tally,
    told: Tally,
    emptied: Tally,
}

/// A node, and somebody in front of it.
struct Desk {
    browser: Browser,
    token: String,
}

impl Desk {
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

    async fn make_type(&self, name: &str, schema: &Value) -> Result<(), String> {
        let body = json!({ "name": name, "schema": schema }).to_string();
        match self.api(Method::POST, "/types", Some(body)).await {
            (201, _) => Ok(()),
            (_, problem) => Err(problem.to_string()),
        }
    }

    /// The record behind the address of its page.
    async fn data(&self, name: &str, page: &str) -> Value {
        let path = page.replacen(&format!("/records/{name}/"), &format!("/types/{name}/records/"), 1);
        self.api(Method::GET, &path, None).await.1["data"].clone()
    }

    async fn changes(&self, path: &str) -> usize {
        let (_, history) = self.api(Method::GET, &format!("{path}/history"), None).await;
        history["items"].as_array().map_or(0, Vec::len)
    }

    async fn opens(&self, page: &Page) -> Result<(), String> {
        if page.status != 200 {
            return Err(format!("the form does not open: {}", page.status));
        }
        let html = page.html();
        labelled(&html)
    }

    async fn untouched(&self, name: &str, id: &str, document: &Value) -> Result<(), String> {
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

    async fn blank(&self, name: &str, schema: &Value) -> Result<(), String> {
        let page = format!("/records/{name}/new");
        let form = self.browser.get(&page).await;
        let fields = form.form("#record-form");
        let saved = self.browser.submit(&page, &fields).await;
        if saved.status == 422 {
            // it asks for what only a person can give, and keeps what it showed
            let again = saved.form("#record-form");
            let shown = |fields: &browser::Fields| -> Vec<(String, String)> {
                fields.iter().filter(|(name, _)| !name.starts_with('_')).cloned().collect()
            };
            let lost: Vec<_> = shown(&fields).into_iter().filter(|pair| !again.contains(pair)).collect();
            return if lost.is_empty() { Ok(()) } else { Err(format!("it comes back without {lost:?}")) };
        }
        is_expected(schema, &self.data(name, &saved.led_to()).await)
    }

    async fn typed(&self, name: &str, document: &Value) -> Result<(), String> {
        let path = format!("/records/{name}/new");
        let page = self.browser.get(&path).await;
        let mut typist = Typist::at(&self.browser, &path, &page);
        let mut missing = typist.fill("", document).await;
        if missing > 0 && typist.refresh().await {
            missing = typist.fill("", document).await;
        }
        let mut saved = typist.save().await;
        if saved.status == 422 {
            // what is asked for now was not asked for before
            typist.look(&saved);
            missing = typist.fill("", document).await;
            saved = typist.save().await;
        }
        if saved.status != 303 {
            let told: Vec<String> = saved
                .html()
                .select(&select("#record-form [aria-invalid=true]"))
                .filter_map(|own| own.value().attr("name").map(str::to_owned))
                .collect();
            return Err(format!(
                "{missing} not typed; {}: {:?} at {told:?}; {document}",
                saved.status,
                saved.words(".summary li")
            ));
        }
        let at = saved.led_to();
        let data = self.data(name, &at).await;
        if is_same(&data, document) {
            return Ok(());
        }
        // what came of the first answers may be completed
        let path = format!("{at}/edit");
        let page = self.browser.get(&path).await;
        let mut typist = Typist::at(&self.browser, &path, &page);
        let missing = typist.fill("", document).await;
        let saved = typist.save().await;
        let data = self.data(name, &at).await;
        if is_same(&data, document) {
            return Ok(());
        }
        let mut differences = Vec::new();
        differ(&data, document, "", &mut differences);
        Err(format!("{missing} not typed; {}: {}", saved.status, differences.join("; ")))
    }

    /// A document that does not fit is typed in; what is wrong is told at a control that is seen.
    async fn told(&self, name: &str, document: &Value) -> Result<(), String> {
        let path = format!("/records/{name}/new");
        let page = self.browser.get(&path).await;
        let mut typist = Typist::at(&self.browser, &path, &page);
        typist.is_careful = false;
        let missing = typist.fill("", document).await;
        let saved = typist.save().await;
        if saved.status == 303 {
            return if missing > 0 { Ok(()) } else { Err(format!("it is taken: {document}")) };
        }
        let html = saved.html();
        let told: Vec<String> = html
            .select(&select("#record-form .message[data-tone=stop]"))
            .map(|message| message.text().collect::<String>().trim().to_owned())
            .collect();
        if told.is_empty() {
            return Err(format!("nothing is told at a control: {:?}; {document}", saved.words(".summary li")));
        }
        let jargon =
            ["schema", "oneOf", "anyOf", "allOf", "additionalProperties", "instance", "regex", "does not fit any"];
        match told
            .iter()
            .map(|text| text.replace("$schema", ""))
            .find(|text| jargon.iter().any(|word| text.contains(word)))
        {
            Some(text) => Err(format!("no words of people: {text}")),
            None => Ok(()),
        }
    }

    /// Values that need not be there are emptied, one by one, and stay away.
    async fn emptied(&self, known_as: &str, name: &str, document: &Value, tally: &mut Tally) {
        let id = self.make(name, document).await;
        let Some(id) = id else { return };
        let path = format!("/records/{name}/{id}/edit");
        let page = self.browser.get(&path).await;
        let names = Typist::at(&self.browser, &path, &page).optional(&page);
        for control in names.into_iter().take(6) {
            let Some(id) = self.make(name, document).await else { continue };
            let (path, record) = (format!("/records/{name}/{id}/edit"), format!("/types/{name}/records/{id}"));
            let page = self.browser.get(&path).await;
            let mut typist = Typist::at(&self.browser, &path, &page);
            let Some(control) = same_place(&typist.optional(&page), &control) else { continue };
            typist.empty(&control);
            let saved = typist.save().await;
            let outcome = async {
                if saved.status != 303 {
                    // emptying it may break a rule; that it is told is what matters
                    let told = saved.has("#record-form .message[data-tone=stop]");
                    return if told { Ok(()) } else { Err(format!("{control}: {}", saved.status)) };
                }
                let data = self.api(Method::GET, &record, None).await.1["data"].clone();
                if json::equal(&data, document) {
                    return Err(format!("{control} is still there"));
                }
                self.untouched(name, &id, &data).await
            };
            let outcome = outcome.await;
            tally.add(known_as, outcome);
        }
    }

    async fn make(&self, name: &str, document: &Value) -> Option<String> {
        let body = json!({ "data": document }).to_string();
        let (status, made) = self.api(Method::POST, &format!("/types/{name}/records"), Some(body)).await;
        (status == 201).then(|| made["id"].as_str().expect("an id").to_owned())
    }
}

/// Where a record is not what was typed.
fn differ(data: &Value, document: &Value, at: &str, differences: &mut Vec<String>) {
    match (data, document) {
        (Value::Object(data), Value::Object(document)) => {
            for (key, value) in document {
                match data.get(key) {
                    Some(own) => differ(own, value, &format!("{at}/{key}"), differences),
                    None if is_empty(value) => {}
                    None => differences.push(format!("{at}/{key} is not there: {value:.60}")),
                }
            }
            for (key, value) in data.iter().filter(|(key, value)| !document.contains_key(*key) && !is_unticked(value)) {
                differences.push(format!("{at}/{key} is there: {value:.60}"));
            }
        }
        (Value::Array(data), Value::Array(document)) if data.len() == document.len() => {
            for (number, (own, value)) in data.iter().zip(document).enumerate() {
                differ(own, value, &format!("{at}/{number}"), differences);
            }
        }
        _ if json::equal(data, document) => {}
        _ => differences.push(format!("{at} is {data:.60} and not {document:.60}")),
    }
}

/// Documents with more values than this are typed in only where everything is asked for: a press of a button for each of their
/// entries takes its time.
const MOST: usize = 150;

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(leaves).sum(),
        Value::Object(map) => map.values().map(leaves).sum(),
        _ => 1,
    }
}

/// Whether there is nothing in a value to be typed: a control that is left empty means no answer.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

/// Whether a value is of boxes alone.
fn is_unticked(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::Object(map) => !map.is_empty() && map.values().all(is_unticked),
        _ => false,
    }
}

/// Whether a record is what was typed. A box that is not ticked says no, and there is no way to leave it out.
fn is_same(data: &Value, document: &Value) -> bool {
    match (data, document) {
        (Value::Object(data), Value::Object(document)) => {
            document.iter().all(|(key, value)| match data.get(key) {
                Some(own) => is_same(own, value),
                None => is_empty(value),
            }) && data.iter().all(|(key, value)| document.contains_key(key) || is_unticked(value))
        }
        (Value::Array(data), Value::Array(document)) => {
            data.len() == document.len() && data.iter().zip(document).all(|(own, value)| is_same(own, value))
        }
        _ => json::equal(data, document),
    }
}

/// The control of the same place in another record: keys of rows differ.
fn same_place(names: &[String], name: &str) -> Option<String> {
    let plain = |name: &str| -> Vec<String> {
        name.split('/').map(|step| if step.starts_with('@') { "@".to_owned() } else { step.to_owned() }).collect()
    };
    names.iter().find(|other| plain(other) == plain(name)).cloned()
}

/// Every control has a label, and no id is given twice.
fn labelled(html: &Html) -> Result<(), String> {
    let mut ids = HashSet::new();
    for element in html.select(&select("[id]")) {
        let id = element.value().attr("id").unwrap_or_default();
        if !ids.insert(id) {
            return Err(format!("the id {id} is given twice"));
        }
    }
    let labels: HashSet<&str> =
        html.select(&select("label[for]")).filter_map(|label| label.value().attr("for")).collect();
    for control in html.select(&select("#record-form :is(input, textarea, select)")) {
        let attr = |name: &str| control.value().attr(name);
        if attr("type") == Some("hidden") {
            continue;
        }
        let is_named = attr("aria-label").is_some_and(|label| !label.trim().is_empty());
        let is_inside =
            control.ancestors().any(|above| above.value().as_element().is_some_and(|own| own.name() == "label"));
        if !is_named && !is_inside && !attr("id").is_some_and(|id| labels.contains(id)) {
            return Err(format!("{:?} has no label", attr("name")));
        }
    }
    Ok(())
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
            Value::Null => Ok(()),
            other => Err(format!("{at} is {other}, which nobody entered")),
        }
    }
    let mut known = HashSet::new();
    gather(schema, false, &mut known);
    walk(given, "", &known)
}

async fn measure(prefix: &str, cases: &[Case]) -> Measures {
    let site = Site::start().await;
    let (token, _) = site.node.create_token(&Actor::Operator, "corpus", Role::Admin).await.expect("a token");
    let desk = Desk { browser: site.browser(Role::Staff).await, token };
    let mut all = Measures::default();
    let mut refused = Vec::new();
    let only = std::env::var("OUTPOST_CORPUS").ok();
    let is_all = only.as_deref() == Some("all");
    for (at, case) in cases.iter().enumerate() {
        let known_as = &case.known_as;
        if only.as_ref().is_some_and(|only| only != "all" && !known_as.contains(only.as_str())) {
            continue;
        }
        let name = format!("{prefix}-{at}");
        // what no type may have is told where schemas are judged
        if let Err(why) = desk.make_type(&name, &case.schema).await {
            refused.push(format!("{known_as}: {why:.300}"));
            continue;
        }
        let page = desk.browser.get(&format!("/records/{name}/new")).await;
        let opens = desk.opens(&page).await;
        let opened = opens.is_ok();
        all.opens.add(known_as, opens);
        if !opened {
            continue;
        }
        all.blank.add(known_as, desk.blank(&name, &case.schema).await);
        for document in &case.valid {
            match desk.make(&name, document).await {
                Some(id) => {
                    let page = desk.browser.get(&format!("/records/{name}/{id}/edit")).await;
                    all.opens.add(known_as, desk.opens(&page).await);
                    all.untouched.add(known_as, desk.untouched(&name, &id, document).await);
                }
                None => all.untouched.add(known_as, Err(format!("the API refuses {document}"))),
            }
            let is_nothing = document.as_object().is_some_and(|map| !map.is_empty() && map.values().all(is_empty));
            if !is_nothing && (leaves(document) <= MOST || is_all) {
                all.typed.add(known_as, desk.typed(&name, document).await);
            }
            desk.emptied(known_as, &name, document, &mut all.emptied).await;
        }
        for document in &case.invalid {
            all.told.add(known_as, desk.told(&name, document).await);
        }
    }
    println!("\n{prefix}: {} schemas, {} are refused as types", cases.len(), refused.len());
    refused.iter().for_each(|reason| println!("  {reason}"));
    all.opens.print("opens, every control labelled");
    all.untouched.print("untouched: identical, no write");
    all.blank.print("blank: no phantom");
    all.typed.print("typed in through the controls: equal");
    all.told.print("what is wrong is told at a control");
    all.emptied.print("emptied: absent, and stays so");
    site.stop().await;
    all
}

#[actix_web::test]
async fn forms_of_schemas_from_the_wild_reach_their_marks() {
    let Some(cases) = sets::schemastore() else { return };
    let all = measure("schemastore", &cases).await;
    assert!(all.opens.share() == 100.0 && all.untouched.share() == 100.0 && all.blank.share() == 100.0);
    assert!(all.typed.share() >= 97.0 && all.told.share() >= 97.0 && all.emptied.share() >= 99.0);
}

#[actix_web::test]
async fn forms_of_the_official_suite_reach_their_marks() {
    let Some(cases) = sets::suite() else { return };
    let all = measure("suite", &cases).await;
    assert!(all.opens.share() == 100.0 && all.untouched.share() == 100.0 && all.blank.share() == 100.0);
    assert!(all.typed.share() >= 90.0 && all.told.share() >= 95.0 && all.emptied.share() >= 95.0);
}
