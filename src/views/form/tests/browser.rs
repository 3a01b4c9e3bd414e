//! A person in front of a form: reads the HTML as a browser does, types, presses, posts.

use std::sync::Arc;

use askama::Template;
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;

use crate::domain::clock::Hlc;
use crate::domain::diff;
use crate::domain::form::{Base, Context, Decoded, Form, Layout, Posted, decode, is_date, is_time};
use crate::domain::ids::{RecordId, RevisionId, SaveId, TypeName};
use crate::domain::record::{Change, State};
use crate::domain::schema::Schema;
use crate::domain::stamp::{Author, Stamp};
use crate::views::form::FormView;

pub const SECRET: [u8; 32] = [7; 32];
pub const CONTEXT: Context = Context { secret: &SECRET, zone: "+01:00" };

/// One control, as it stands in the HTML.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    pub name: String,
    pub value: String,
    /// Checked, selected, or a text.
    pub is_sent: bool,
    pub json: Option<String>,
    /// Of a `select`, radio or checkbox.
    pub is_option: bool,
    pub is_hidden: bool,
}

impl Control {
    /// Not a hidden field.
    pub fn kind_is_seen(&self) -> bool {
        !self.is_hidden
    }
}

pub struct Page {
    pub layout: Layout,
    pub base: Base,
    pub html: String,
    pub controls: Vec<Control>,
}

pub fn type_name() -> TypeName {
    TypeName::custom("thing").expect("a good name")
}

pub fn layout(schema: &Value) -> Layout {
    Layout::of(Arc::new(Schema::compile(schema).unwrap_or_else(|errors| panic!("{errors:?}"))))
}

pub fn stored(layout: &Layout, value: Value) -> State {
    let mut count = 0;
    let changes = diff::create(layout.schema(), value, &mut |_, _| {
        count += 1;
        crate::domain::path::ItemKey(format!("k{count}"))
    });
    let mut state = State::default();
    state.apply(&changes, Stamp::new(Hlc::at(1), Author::default(), SaveId(1 << 100)), 1, &|_, _| false);
    state
}

impl Page {
    /// The form of a new record, or of one that is there.
    pub fn open(layout: Layout, record: Option<Value>) -> Self {
        let state = record.map(|record| stored(&layout, record));
        Self::of_state(layout, state)
    }

    pub fn of_state(layout: Layout, state: Option<State>) -> Self {
        let (id, revision, submission) = (RecordId::from_u128(5), RevisionId(6), SaveId(7));
        let base = match state {
            None => Base::new_record(type_name(), id, revision, submission),
            Some(state) => Base::edit(&layout, &SECRET, type_name(), id, revision, submission, state),
        };
        let form = Form::open(&layout, &base, CONTEXT);
        Self::drawn(layout, base, form)
    }

    fn drawn(layout: Layout, base: Base, form: Form) -> Self {
        let html = render(form);
        let controls = controls(&html);
        Self { layout, base, html, controls }
    }

    pub fn pairs(&self) -> Vec<(String, String)> {
        let sent = self.controls.iter().filter(|control| control.is_sent);
        sent.map(|control| (control.name.clone(), control.value.clone())).collect()
    }

    pub fn posted(&self) -> Posted {
        Posted::read(self.pairs())
    }

    pub fn post(&self) -> Decoded {
        decode(&self.layout, &self.base, &self.posted(), CONTEXT)
    }

    pub fn changes(&self) -> Vec<Change> {
        diff::changes(self.layout.schema(), &self.base.state, &self.post().candidate, "once")
    }

    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.controls.iter().map(|control| control.name.as_str()).collect();
        names.dedup();
        names.retain(|name| !name.starts_with('_') && !name.contains('#'));
        names
    }

    pub fn has(&self, name: &str) -> bool {
        self.controls.iter().any(|control| control.name == name)
    }

    /// Types into a text control.
    pub fn fill(&mut self, name: &str, text: &str) {
        let control = self.controls.iter_mut().find(|control| control.name == name && !control.is_option);
        let control = control.unwrap_or_else(|| panic!("no text control {name}"));
        control.value = text.to_owned();
    }

    /// Sends another value than the form has.
    pub fn set(&mut self, name: &str, value: &str) {
        self.controls.retain(|control| control.name != name || control.is_hidden);
        let (name, value) = (name.to_owned(), value.to_owned());
        let control = Control { name, value, is_sent: true, json: None, is_option: false, is_hidden: false };
        self.controls.push(control);
    }

    /// Chooses by JSON value; `None` is the option that is no answer. In a group of boxes the others stay.
    pub fn choose(&mut self, name: &str, json: Option<&str>) {
        let boxes = self.is_boxes(name);
        let mut found = false;
        for control in self.controls.iter_mut().filter(|control| control.name == name && control.is_option) {
            if control.json.as_deref() == json {
                (control.is_sent, found) = (true, true);
            } else if !boxes {
                control.is_sent = false;
            }
        }
        assert!(found, "no option {json:?} of {name}");
    }

    fn is_boxes(&self, name: &str) -> bool {
        let document = Html::parse_document(&self.html);
        let boxes = Selector::parse("input[type=checkbox]").expect("a selector");
        document.select(&boxes).any(|input| input.attr("name") == Some(name))
    }

    pub fn untick(&mut self, name: &str) {
        self.controls.iter_mut().filter(|control| control.name == name).for_each(|control| control.is_sent = false);
    }

    /// Presses a button that changes the form.
    pub fn press(&mut self, action: &str) {
        let button = Selector::parse("button[name=_do]:not([disabled])").expect("a selector");
        let document = Html::parse_document(&self.html);
        assert!(document.select(&button).any(|button| button.attr("value") == Some(action)), "no button {action}");
        let mut pairs = self.pairs();
        pairs.push(("_do".into(), action.into()));
        let posted = Posted::read(pairs);
        let action = posted.action().expect("a known button").expect("a button");
        let form = Form::reshaped(&self.layout, &self.base, &posted, CONTEXT, &action).expect("the form has it");
        self.html = render(form);
        self.controls = controls(&self.html);
    }

    /// The form as it comes back when it was refused.
    pub fn refused(&mut self) {
        let decoded = self.post();
        assert!(!decoded.errors.is_empty(), "nothing is wrong");
        let form = Form::again(&self.layout, &self.base, &self.posted(), CONTEXT, decoded.errors, decoded.standing);
        self.html = render(form);
        self.controls = controls(&self.html);
    }
}

pub fn render(form: Form) -> String {
    let view = FormView {
        form,
        action: "/records/thing/new".into(),
        csrf: "c".into(),
        title: "Thing".into(),
        save: "Save thing".into(),
        leave: "/records/thing".into(),
        state: String::new(),
    };
    view.render().expect("a page")
}

/// What a browser makes of the controls of a form.
pub fn controls(html: &str) -> Vec<Control> {
    let document = Html::parse_document(html);
    let select = Selector::parse("form input, form textarea, form select").expect("a selector");
    let option = Selector::parse("option").expect("a selector");
    let mut controls = Vec::new();
    for element in document.select(&select) {
        let is_open = element.attr("disabled").is_none() && element.attr("readonly").is_none();
        let Some(name) = element.attr("name").filter(|_| is_open) else { continue };
        let mut push = |value: String, is_sent, json: Option<&str>, is_option| {
            let json = json.map(str::to_owned);
            let is_hidden = element.attr("type") == Some("hidden");
            controls.push(Control { name: name.to_owned(), value, is_sent, json, is_option, is_hidden });
        };
        match element.value().name() {
            "textarea" => push(text_of(element).replace('\n', "\r\n"), true, None, false),
            "select" => {
                let options: Vec<ElementRef> = element.select(&option).collect();
                let chosen = options.iter().rposition(|option| option.attr("selected").is_some()).unwrap_or(0);
                for (at, option) in options.iter().enumerate() {
                    let value = option.attr("value").unwrap_or_default().to_owned();
                    push(value, at == chosen, option.attr("data-json"), true);
                }
            }
            _ => {
                let kind = element.attr("type").unwrap_or("text");
                let value = element.attr("value").unwrap_or_default();
                match kind {
                    "checkbox" | "radio" => {
                        push(value.to_owned(), element.attr("checked").is_some(), element.attr("data-json"), true)
                    }
                    "hidden" => push(value.to_owned(), true, None, false),
                    _ => push(sanitized(kind, value), true, None, false),
                }
            }
        }
    }
    controls
}

fn text_of(element: ElementRef) -> String {
    element.text().collect()
}

/// The value sanitization of HTML.
fn sanitized(kind: &str, value: &str) -> String {
    let line = value.replace(['\n', '\r'], "");
    match kind {
        "email" | "url" => line.trim().to_owned(),
        "date" if !is_date(&line) => String::new(),
        "time" if !is_time(&line) => String::new(),
        _ => line,
    }
}
