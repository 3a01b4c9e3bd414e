//! Somebody who fills in a form through its controls alone, without running any script: what the HTML says is all there is.

use std::future::Future;
use std::pin::Pin;

use outpost::domain::json;
use outpost::domain::path::escape;
use scraper::{ElementRef, Html};
use serde_json::Value;

use crate::browser::{Browser, Page, select};

/// A choice of a control.
#[derive(Clone, Debug)]
struct Choice {
    token: String,
    json: Option<Value>,
}

/// One control, as the HTML has it.
#[derive(Clone, Debug)]
struct Control {
    name: String,
    /// `text`, `select`, `radio`, `checkbox`, `hidden`, `json`, or the `type` of an input.
    kind: String,
    is_fixed: bool,
    /// It asks for a number.
    is_number: bool,
    choices: Vec<Choice>,
    /// What it sends.
    sends: Vec<String>,
}

/// A form in somebody's hands.
pub struct Typist<'b> {
    browser: &'b Browser,
    path: String,
    controls: Vec<Control>,
    buttons: Vec<String>,
    /// Text is not typed where a number is asked for.
    pub is_careful: bool,
    /// Presses left, so that nobody presses for ever.
    patience: usize,
}

type Filled<'f> = Pin<Box<dyn Future<Output = usize> + 'f>>;

impl<'b> Typist<'b> {
    pub fn at(browser: &'b Browser, path: &str, page: &Page) -> Self {
        let mut typist = Self {
            browser,
            path: path.to_owned(),
            controls: Vec::new(),
            buttons: Vec::new(),
            is_careful: true,
            patience: 6_000,
        };
        typist.look(page);
        typist
    }

    pub fn look(&mut self, page: &Page) {
        let html = page.html();
        self.controls = controls(&html);
        let pressable = select("#record-form button[name=_do]:not([disabled])");
        self.buttons =
            html.select(&pressable).filter_map(|button| button.value().attr("value")).map(str::to_owned).collect();
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let sent = |control: &Control| {
            control.sends.iter().map(|text| (control.name.clone(), text.clone())).collect::<Vec<_>>()
        };
        self.controls.iter().flat_map(sent).collect()
    }

    pub async fn save(&self) -> Page {
        self.browser.submit(&self.path, &self.pairs()).await
    }

    async fn press(&mut self, action: &str) -> bool {
        if self.patience == 0 || !self.buttons.iter().any(|button| button == action) {
            return false;
        }
        self.patience -= 1;
        let mut pairs = self.pairs();
        pairs.push(("_do".to_owned(), action.to_owned()));
        let page = self.browser.submit(&self.path, &pairs).await;
        if page.status != 200 {
            return false;
        }
        self.look(&page);
        true
    }

    pub async fn refresh(&mut self) -> bool {
        self.press("refresh").await
    }

    fn control(&mut self, name: &str) -> Option<&mut Control> {
        self.controls.iter_mut().find(|control| control.name == name && control.kind != "hidden")
    }

    fn has_below(&self, name: &str) -> bool {
        let parts = [format!("{name}/"), format!("{name}#")];
        self.controls
            .iter()
            .any(|control| control.name == name || parts.iter().any(|part| control.name.starts_with(part)))
    }

    /// The names of the rows of a list, in order.
    fn rows(&self, name: &str) -> Vec<String> {
        let marker = format!("{name}#items");
        let marker = self.controls.iter().find(|control| control.name == marker);
        let keys = marker.and_then(|marker| marker.sends.first()).cloned().unwrap_or_default();
        keys.split('/').skip(1).map(|key| format!("{name}/{key}")).collect()
    }

    /// Fills in a value; says how many of its leaves could not be.
    pub fn fill<'f>(&'f mut self, name: &'f str, value: &'f Value) -> Filled<'f> {
        self.fill_after(name, value, Vec::new())
    }

    /// The same where some choosers of the value have been tried already.
    fn fill_after<'f>(&'f mut self, name: &'f str, value: &'f Value, tried: Vec<String>) -> Filled<'f> {
        Box::pin(async move {
            let choosers: Vec<String> = self.choosers(name).into_iter().filter(|own| !tried.contains(own)).collect();
            let mut best = self.fill_here(name, value).await;
            let Some(chooser) = choosers.first() else { return best };
            let tried: Vec<String> = tried.into_iter().chain([chooser.clone()]).collect();
            let place = |button: &str| button.strip_prefix("choose ")?.rsplit_once(' ').map(|(at, _)| at.to_owned());
            let buttons = self.buttons.clone().into_iter().filter(|button| place(button).as_ref() == Some(chooser));
            for button in buttons {
                if best == 0 {
                    return best;
                }
                let before = (self.controls.clone(), self.buttons.clone());
                if !self.press(&button).await {
                    continue;
                }
                match self.fill_after(name, value, tried.clone()).await {
                    missing if missing < best => best = missing,
                    _ => (self.controls, self.buttons) = before,
                }
            }
            best
        })
    }

    /// The places of the choosers of branches of a value, as the buttons name them.
    fn choosers(&self, name: &str) -> Vec<String> {
        let mut places = Vec::new();
        for button in &self.buttons {
            let Some((at, _)) = button.strip_prefix("choose ").and_then(|rest| rest.rsplit_once(' ')) else { continue };
            let own = at == name || at.strip_prefix(name).is_some_and(|rest| rest.starts_with("#choice"));
            let has = |part: &str| self.controls.iter().any(|control| control.name == format!("{name}#{part}"));
            let is_type = at == name && has("type") && !has("choice");
            if own && !is_type && !places.iter().any(|known| known == at) {
                places.push(at.to_owned());
            }
        }
        places
    }

    async fn fill_here(&mut self, name: &str, value: &Value) -> usize {
        if !self.say_type(name, value).await {
            return leaves(value);
        }
        match value {
            Value::Object(map) if self.control(name).is_none() => {
                let mut missing = usize::from(map.is_empty() && (self.is_undecided(name) || !self.is_careful));
                // what the form asks for first, since it may decide what else it asks for; names of one's own at last
                let mut left: Vec<(&String, &Value)> = map.iter().collect();
                for _ in 0..3 {
                    let (mut later, mut done) = (Vec::new(), false);
                    for (key, value) in left {
                        if self.is_asked(name, key).await {
                            missing += self.fill(&format!("{name}/{}", escape(key)), value).await;
                            done = true;
                        } else {
                            later.push((key, value));
                        }
                    }
                    left = later;
                    if left.is_empty() || !done || !self.refresh().await {
                        break;
                    }
                }
                for (key, value) in left {
                    missing += self.fill_row(name, key, value).await;
                }
                let kept: Vec<String> = map.keys().map(|key| format!("{name}/{}", escape(key))).collect();
                self.leave_out(name, &kept).await;
                missing
            }
            Value::Array(items) if self.control(name).is_none() => self.fill_list(name, items).await,
            Value::Null if self.control(name).is_none() => {
                self.leave_out(name, &[]).await;
                usize::from(!self.is_careful)
            }
            leaf => usize::from(!self.type_in(name, leaf)),
        }
    }

    /// Whether the form asks for a property, opening what has to be opened for that.
    async fn is_asked(&mut self, name: &str, key: &str) -> bool {
        let own = format!("{name}/{}", escape(key));
        if (self.buttons.contains(&format!("add {own}")) && !self.has_below(&own)) || self.is_closed(&own) {
            self.press(&format!("add {own}")).await;
        }
        self.has_below(&own)
    }

    /// A property by a name of one's own.
    async fn fill_row(&mut self, name: &str, key: &str, value: &Value) -> usize {
        let there = self.rows(name).into_iter().find(|row| {
            self.controls.iter().any(|control| control.name == format!("{row}#name") && control.sends == [key])
        });
        let row = match there {
            Some(row) => row,
            None => {
                if !self.press(&format!("add {name}")).await {
                    return leaves(value);
                }
                let Some(row) = self.rows(name).pop() else { return leaves(value) };
                row
            }
        };
        match self.control(&format!("{row}#name")) {
            Some(control) => control.sends = vec![key.to_owned()],
            None => return leaves(value),
        }
        // the name may decide what is asked for
        self.refresh().await;
        self.fill(&row, value).await
    }

    /// Empties what was prefilled and is not wanted.
    async fn leave_out(&mut self, name: &str, kept: &[String]) {
        for row in self.rows(name) {
            let key = self.controls.iter().find(|control| control.name == format!("{row}#name"));
            let key = key.and_then(|control| control.sends.first()).map(|key| format!("{name}/{}", escape(key)));
            if key.is_some_and(|key| !kept.contains(&key)) {
                self.press(&format!("remove {row}")).await;
            }
        }
        let rows = self.rows(name);
        let below = format!("{name}/");
        let is_kept = |own: &str| {
            kept.iter().chain(&rows).any(|kept| {
                own == kept || own.strip_prefix(kept.as_str()).is_some_and(|rest| rest.starts_with(['/', '#']))
            })
        };
        for control in &mut self.controls {
            if !control.name.starts_with(&below) || is_kept(&control.name) || control.kind == "hidden" {
                continue;
            }
            let is_type = control.name.ends_with("#type");
            match control.kind.as_str() {
                "select" | "radio" if is_type => {}
                "select" | "radio" => {
                    if control.choices.iter().any(|choice| choice.token.is_empty()) {
                        control.sends = vec![String::new()];
                    }
                }
                "checkbox" if control.choices.len() == 1 => {}
                "checkbox" => control.sends.clear(),
                _ => control.sends = vec![String::new()],
            }
        }
    }

    /// Whether a branch has to be chosen first.
    fn is_undecided(&self, name: &str) -> bool {
        let choice = format!("{name}#choice");
        let own = self.controls.iter().find(|control| control.name == choice);
        own.is_some_and(|control| control.sends.iter().all(String::is_empty))
    }

    fn is_closed(&self, name: &str) -> bool {
        let marker = format!("{name}#shown");
        self.controls.iter().any(|control| control.name == marker && control.sends == ["0"])
    }

    async fn fill_list(&mut self, name: &str, items: &[Value]) -> usize {
        let mut missing = usize::from(items.is_empty() && (self.is_undecided(name) || !self.is_careful));
        if items.is_empty() && !self.choosers(name).is_empty() && !self.is_list(name).await {
            missing += 1;
        }
        // rows that are there and not needed go
        while self.rows(name).len() > items.len() {
            let Some(last) = self.rows(name).pop() else { break };
            if !self.press(&format!("remove {last}")).await {
                break;
            }
        }
        for (at, item) in items.iter().enumerate() {
            if self.rows(name).len() <= at && !self.press(&format!("add {name}")).await {
                missing += leaves(item);
                continue;
            }
            let Some(row) = self.rows(name).get(at).cloned() else { return missing + leaves(item) };
            if self.control(&format!("{row}#name")).is_some() {
                missing += leaves(item);
                continue;
            }
            missing += self.fill(&row, item).await;
        }
        if items.is_empty() && self.rows(name).is_empty() && !self.has_below(name) {
            return 1;
        }
        missing
    }

    /// Whether what is added here are entries without names.
    async fn is_list(&mut self, name: &str) -> bool {
        if !self.press(&format!("add {name}")).await {
            return false;
        }
        let Some(row) = self.rows(name).pop() else { return false };
        let is_named = self.control(&format!("{row}#name")).is_some();
        self.press(&format!("remove {row}")).await;
        !is_named
    }

    /// Says which type a value has, where the form asks.
    async fn say_type(&mut self, name: &str, value: &Value) -> bool {
        let word = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let Some(control) = self.control(&format!("{name}#type")) else { return true };
        let Some(at) = control.choices.iter().filter(|choice| !choice.token.is_empty()).position(|c| c.token == word)
        else {
            return false;
        };
        if control.sends == [word] {
            return true;
        }
        let has_choice = self.controls.iter().any(|control| control.name == format!("{name}#choice"));
        let Some(control) = self.control(&format!("{name}#type")) else { return true };
        control.sends = vec![word.to_owned()];
        let place = if has_choice { format!("{name}#type") } else { name.to_owned() };
        self.press(&format!("choose {place} {at}")).await
    }

    /// Types one value into its control; false where there is none for it.
    fn type_in(&mut self, name: &str, value: &Value) -> bool {
        if let (Some(text), true) = (value.as_str(), self.control(&format!("{name}#date")).is_some()) {
            return self.type_moment(name, text);
        }
        let careful = self.is_careful;
        let is_typed_null = value.is_null()
            && self.controls.iter().any(|control| control.name == format!("{name}#type") && control.sends == ["null"]);
        let Some(control) = self.control(name) else { return is_typed_null };
        match control.kind.as_str() {
            "json" => false,
            _ if control.is_fixed => {
                let own = control.choices.first().and_then(|choice| choice.json.as_ref());
                own.is_some_and(|own| json::equal(own, value))
            }
            "checkbox" if control.choices.len() == 1 && !value.is_array() => {
                let ticked = control.choices[0].json.as_ref().is_some_and(|own| json::equal(own, value));
                if ticked {
                    control.sends = vec![control.choices[0].token.clone()];
                } else if value == &Value::Bool(false) {
                    control.sends = Vec::new();
                }
                ticked || value == &Value::Bool(false)
            }
            "checkbox" => {
                let Value::Array(items) = value else { return false };
                let token = |item: &Value| {
                    let mut choices = control.choices.iter();
                    choices.find(|choice| choice.json.as_ref().is_some_and(|own| json::equal(own, item)))
                };
                let tokens: Option<Vec<String>> =
                    items.iter().map(|item| token(item).map(|choice| choice.token.clone())).collect();
                let found = tokens.is_some();
                control.sends = tokens.unwrap_or_default();
                found
            }
            "select" | "radio" => {
                let mut choices = control.choices.iter();
                let token = choices.find(|choice| choice.json.as_ref().is_some_and(|own| json::equal(own, value)));
                let Some(token) = token.map(|choice| choice.token.clone()) else { return false };
                control.sends = vec![token];
                true
            }
            _ => {
                let text = match value {
                    // text of digits in a control for numbers would be a number
                    Value::String(text) if control.is_number && (careful || text.parse::<f64>().is_ok()) => {
                        return false;
                    }
                    Value::String(text) => text.clone(),
                    Value::Number(_) if !control.is_number => return false,
                    Value::Number(number) => number.to_string(),
                    // an emptied control means null where null is a value
                    Value::Null => String::new(),
                    _ => return false,
                };
                control.sends = vec![text];
                true
            }
        }
    }

    fn type_moment(&mut self, name: &str, text: &str) -> bool {
        let Some((date, rest)) = text.split_once(['T', 't']) else { return false };
        let Some(at) = rest.find(['Z', 'z', '+', '-']) else { return false };
        let (time, zone) = rest.split_at(at);
        for (part, text) in [("date", date), ("time", time), ("zone", zone)] {
            let part = format!("{name}#{part}");
            match self.controls.iter_mut().find(|control| control.name == part) {
                Some(control) => control.sends = vec![text.to_owned()],
                None => return false,
            }
        }
        true
    }

    /// The controls of text that can be emptied: those of values that need not be there.
    pub fn optional(&self, page: &Page) -> Vec<String> {
        let html = page.html();
        let marked = select("#record-form .field > label:has(small)");
        let marked = html.select(&marked).filter(|label| label.text().any(|text| text.trim() == "optional"));
        let ids: Vec<String> = marked.filter_map(|label| label.value().attr("for")).map(str::to_owned).collect();
        let mut names = Vec::new();
        for id in ids {
            let control = html.select(&select(&format!("[id=\"{id}\"][name]"))).next();
            let Some(control) = control else { continue };
            let name = control.value().attr("name").unwrap_or_default().to_owned();
            let filled = |own: &&Control| own.name == name && own.sends.first().is_some_and(|text| !text.is_empty());
            let is_text =
                |own: &&Control| !own.is_fixed && !matches!(own.kind.as_str(), "checkbox" | "radio" | "hidden");
            if self.controls.iter().filter(is_text).any(|own| filled(&own)) {
                names.push(name);
            }
        }
        names
    }

    pub fn empty(&mut self, name: &str) {
        if let Some(control) = self.control(name) {
            control.sends = vec![String::new()];
        }
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(leaves).sum::<usize>().max(1),
        Value::Object(map) => map.values().map(leaves).sum::<usize>().max(1),
        _ => 1,
    }
}

fn controls(html: &Html) -> Vec<Control> {
    let mut controls: Vec<Control> = Vec::new();
    let named = select("#record-form :is(input, textarea, select)[name]");
    let json =
        |element: &ElementRef| element.value().attr("data-json").map(|text| serde_json::from_str(text).expect("JSON"));
    for element in html.select(&named).filter(|element| element.value().attr("disabled").is_none()) {
        let attr = |name: &str| element.value().attr(name);
        let name = attr("name").expect("it has one").to_owned();
        let value = attr("value").unwrap_or_default().to_owned();
        match (element.value().name(), attr("type").unwrap_or("text")) {
            ("textarea", _) => {
                let text: String = element.text().collect();
                let kind = if attr("data-kind") == Some("json") { "json" } else { "text" };
                let sends = vec![text.replace('\n', "\r\n")];
                controls.push(Control {
                    name,
                    kind: kind.into(),
                    is_number: false,
                    is_fixed: attr("readonly").is_some(),
                    choices: json(&element)
                        .map(|own| Choice { token: String::new(), json: Some(own) })
                        .into_iter()
                        .collect(),
                    sends,
                });
            }
            ("select", _) => {
                let options: Vec<ElementRef> = element.select(&select("option")).collect();
                let token = |option: &ElementRef| option.value().attr("value").unwrap_or_default().to_owned();
                let chosen =
                    options.iter().find(|option| option.value().attr("selected").is_some()).or(options.first());
                let sends = chosen.map(token).into_iter().collect();
                let choices =
                    options.iter().map(|option| Choice { token: token(option), json: json(option) }).collect();
                controls.push(Control {
                    name,
                    kind: "select".into(),
                    is_number: false,
                    is_fixed: false,
                    choices,
                    sends,
                });
            }
            (_, kind @ ("radio" | "checkbox")) => {
                let choice = Choice { token: value.clone(), json: json(&element) };
                let sends = attr("checked").map(|_| value);
                match controls.iter_mut().find(|control| control.name == name && control.kind == kind) {
                    Some(control) => {
                        control.choices.push(choice);
                        control.sends.extend(sends);
                    }
                    None => controls.push(Control {
                        name,
                        kind: kind.into(),
                        is_number: false,
                        is_fixed: false,
                        choices: vec![choice],
                        sends: sends.into_iter().collect(),
                    }),
                }
            }
            (_, kind) => {
                let choices = json(&element).map(|own| Choice { token: String::new(), json: Some(own) });
                let choices = choices.into_iter().collect();
                let is_number = attr("inputmode").is_some() && attr("readonly").is_none();
                controls.push(Control {
                    name,
                    kind: kind.into(),
                    is_number,
                    is_fixed: attr("readonly").is_some(),
                    choices,
                    sends: vec![value],
                });
            }
        }
    }
    controls
}
