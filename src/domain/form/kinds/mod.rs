//! The controls that ask for one value each. Every kind is one file with the same parts in the same order: which values it can
//! show, how it is drawn, and what it means when it comes back.

mod choice;
mod choices;
mod date;
mod fixed;
mod json;
mod line;
mod lines;
mod moment;
mod number;
mod tick;
mod time;
mod yes_no;

use serde_json::Value;

use super::field::Field;
use super::posted::Posted;
use super::text::Way;
use super::view::Input;
use crate::domain::schema::Types;

pub(super) use choice::Choice;
pub(super) use choices::Choices;
pub(super) use date::Date;
pub use date::is_date;
pub(super) use fixed::Fixed;
pub(super) use json::Json;
pub(super) use line::{Email, Line, Url};
pub(super) use lines::Lines;
pub(super) use moment::Moment;
pub(super) use number::Number;
pub(super) use tick::{Consent, Tick};
pub(super) use time::Time;
pub use time::is_time;
pub(super) use yes_no::YesNo;

/// All that the name of a value may be followed by.
pub(super) const PARTS: [&str; 8] = ["choice", "date", "items", "name", "shown", "time", "type", "zone"];

pub(super) fn is_part(part: &str) -> bool {
    PARTS.contains(&part) || part.starts_with("choice-")
}

/// A control for one value.
pub(super) trait Kind: Sync {
    /// Whether it can show a value without loss. Null is shown by everything, as nothing.
    fn shows(&self, value: &Value) -> bool;

    /// What to draw, with what was typed if something was.
    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input;

    /// What came back, `value` being what was shown.
    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read;

    /// What a text means where a line stands in for this control, since it could not show the value.
    fn meant(&self, _field: &Field, text: &str, _value: Option<&Value>, _zone: &str) -> Result<Value, String> {
        Ok(Value::String(text.to_owned()))
    }

    /// What its name may be followed by, after `#`.
    fn parts(&self) -> &'static [&'static str] {
        &[]
    }

    /// For the two that stand in for others: what HTML makes of their text.
    fn stands_in(&self) -> Option<Way> {
        None
    }

    fn is_json(&self) -> bool {
        false
    }

    /// Whether its name may be posted several times.
    fn takes_several(&self) -> bool {
        false
    }
}

/// What a control that came back says.
#[derive(Debug, PartialEq)]
pub(super) enum Read {
    /// It was not in the form.
    NotDrawn,
    /// As it was shown.
    Same,
    Cleared,
    Is(Value),
    /// What has to be there because nothing else was said; no answer of anybody.
    Implied(Value),
    Wrong {
        keyword: &'static str,
        message: String,
    },
}

impl Read {
    pub fn wrong(keyword: &'static str, message: impl Into<String>) -> Self {
        Read::Wrong { keyword, message: message.into() }
    }
}

/// What was posted for one value.
pub(super) struct Sent<'a> {
    pub posted: &'a Posted,
    pub name: &'a str,
    /// What a time that is entered without a zone means.
    pub zone: &'a str,
    /// The object that it is in is not in the record yet.
    pub fresh: bool,
}

impl<'a> Sent<'a> {
    pub fn text(&self) -> Option<&'a str> {
        self.posted.get(self.name)
    }

    pub fn all(&self) -> &'a [String] {
        self.posted.all(self.name)
    }

    pub fn part(&self, part: &str) -> Option<&'a str> {
        self.posted.get(&format!("{}#{part}", self.name))
    }

    /// Whether a control that posts nothing when it is empty was in the form.
    pub fn was_shown(&self) -> bool {
        self.part("shown").is_some()
    }
}

/// The control for a value of one type.
pub(super) fn of(types: Types, field: &Field) -> &'static dyn Kind {
    let widget = field.widget.as_str();
    match types {
        Types::BOOLEAN => {
            let hinted = matches!(widget, "tick" | "checkbox");
            let defaults = field.default.as_ref().is_some_and(Value::is_boolean);
            if !field.nullable && widget != "radio" && (hinted || defaults) { &Tick } else { &YesNo }
        }
        Types::NUMBER => &Number,
        Types::STRING => match field.format.as_str() {
            "date" => &Date,
            "time" => &Time,
            "date-time" => &Moment,
            "email" | "idn-email" => &Email,
            "uri" | "uri-reference" | "iri" | "iri-reference" => &Url,
            _ if widget == "textarea" || (widget.is_empty() && field.max_length.is_some_and(|most| most > 120)) => {
                &Lines
            }
            _ => &Line,
        },
        _ => &Json,
    }
}

/// The control that stands in for one that cannot show a value.
pub(super) fn instead_of(own: &dyn Kind, value: Option<&Value>) -> Option<&'static dyn Kind> {
    match value? {
        Value::Null => None,
        value if own.shows(value) => None,
        Value::String(text) if text.contains(['\n', '\r']) => Some(&Lines),
        Value::Array(_) | Value::Object(_) => Some(&Json),
        _ => Some(&Line),
    }
}

/// What came back from a control of text that stands for `own`.
pub(super) fn read_text(
    own: &dyn Kind,
    way: Way,
    shown: &str,
    field: &Field,
    value: Option<&Value>,
    sent: &Sent,
) -> Read {
    let Some(posted) = sent.text() else { return Read::NotDrawn };
    if way.is_untouched(shown, posted) {
        return Read::Same;
    }
    let posted = if way == Way::Lines { super::text::lines(posted) } else { posted.trim().to_owned() };
    if posted.trim().is_empty() {
        return Read::Cleared;
    }
    match own.meant(field, &posted, value, sent.zone) {
        Ok(meant) if value == Some(&meant) => Read::Same,
        Ok(meant) => Read::Is(meant),
        Err(message) => Read::wrong("type", message),
    }
}

/// The text of a value in a control of text.
pub(super) fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What was typed, or what is there.
fn typed(sent: &Sent, shown: impl FnOnce() -> String) -> String {
    sent.text().map_or_else(shown, str::to_owned)
}

fn for_example(field: &Field, what: &str, example: &str) -> String {
    format!("Enter {} as {what}, for example {example}.", field.in_sentence())
}
