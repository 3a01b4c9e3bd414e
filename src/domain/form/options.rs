//! The options of a control that chooses among values, each with its opaque token.

use serde_json::Value;

use super::field::Choice;
use super::kinds::{Read, Sent};
use super::say::Say;
use super::view::{self, Input, Options};
use super::ways;
use crate::domain::json;
use crate::domain::schema::PartId;

/// One option.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choosable {
    /// What is posted.
    pub token: String,
    /// `None` for "no answer".
    pub value: Option<Value>,
    pub label: String,
    pub note: Option<String>,
}

pub(super) const NOT_OFFERED: &str = "Choose one of the values on offer.";

impl Choosable {
    pub fn is(&self, value: &Value) -> bool {
        self.value.as_ref().is_some_and(|own| json::equal(own, value))
    }

    pub fn drawn(self, chosen: &[String]) -> view::Choice {
        view::Choice {
            chosen: chosen.contains(&self.token),
            json: self.value.map(|value| value.to_string()),
            token: self.token,
            label: self.label,
            note: self.note,
        }
    }
}

/// The values that are listed for a value, null apart: what every list that holds has in common.
pub(super) fn listed(say: &Say) -> Vec<Choice> {
    let parts = say.parts;
    let titled = |(value, title): (Value, Option<String>), branch: Option<PartId>| {
        let label = title.unwrap_or_else(|| short(&value));
        let label = if label.trim().is_empty() { "(empty)".to_owned() } else { label };
        let note = branch.and_then(|branch| parts[branch].text("description")).map(str::to_owned);
        Choice { value, label, note }
    };
    let mut lists: Vec<Vec<Choice>> = Vec::new();
    for held in &say.all {
        let part = &parts[held.id];
        if part.words.contains_key("enum")
            && let Some(values) = ways::finite(parts, held.id)
        {
            lists.push(values.into_iter().map(|own| titled(own, None)).collect());
        }
    }
    let alternatives = say
        .values
        .iter()
        .map(|(holder, word)| parts[*holder].leads_by(word).map(|lead| lead.to).collect::<Vec<PartId>>());
    let either = (!say.either.is_empty()).then(|| say.either.clone());
    for branches in alternatives.chain(either) {
        let each = branches.iter().map(|&branch| Some((branch, ways::finite(parts, branch)?)));
        let Some(each) = each.collect::<Option<Vec<_>>>() else { continue };
        let of_branch = |(branch, values): (PartId, Vec<(Value, Option<String>)>)| {
            let only = (values.len() == 1).then_some(branch);
            values.into_iter().map(move |own| titled(own, only))
        };
        lists.push(each.into_iter().flat_map(of_branch).collect());
    }
    let mut lists = lists.into_iter();
    let mut common: Vec<Choice> = Vec::new();
    for choice in lists.next().unwrap_or_default() {
        if !choice.value.is_null() && !common.iter().any(|own| json::equal(&own.value, &choice.value)) {
            common.push(choice);
        }
    }
    for list in lists {
        common.retain(|own| list.iter().any(|other| json::equal(&own.value, &other.value)));
    }
    let types = say.types();
    common.retain(|own| types.has(crate::domain::schema::Types::of_value(&own.value)));
    common
}

pub(super) fn yes_no() -> [Choice; 2] {
    [Choice::of(true.into(), "Yes"), Choice::of(false.into(), "No")]
}

/// The options for these choices, null among them under a name, and whatever else is there already.
pub(super) fn with<'v>(
    choices: &[Choice],
    null: Option<&str>,
    there: impl Iterator<Item = &'v Value>,
) -> Vec<Choosable> {
    let option =
        |token: String, value: Value, label: String| Choosable { token, value: Some(value), label, note: None };
    let offered = choices.iter().map(|choice| Choosable {
        note: choice.note.clone(),
        ..option(token(&choice.value), choice.value.clone(), choice.label.clone())
    });
    let null = null.map(|label| option(token(&Value::Null), Value::Null, label.to_owned()));
    let mut options: Vec<Choosable> = offered.chain(null).collect();
    for value in there {
        if !options.iter().any(|known| known.is(value)) {
            let label = format!("{} (no longer offered)", short(value));
            options.push(option(token(value), value.clone(), label));
        }
    }
    options
}

/// What stands for a value in a post. It is the same whatever else is on offer, since other answers may change that meanwhile.
fn token(value: &Value) -> String {
    let hash = blake3::hash(json::canonical(value).as_bytes());
    format!("e{}", data_encoding::BASE32_DNSSEC.encode(&hash.as_bytes()[..5]))
}

/// A control that chooses one of these; `blank` is what no answer is called, where it is offered.
pub(super) fn draw(
    options: Vec<Choosable>,
    value: Option<&Value>,
    blank: Option<&str>,
    as_: Options,
    sent: &Sent,
) -> Input {
    let own: Vec<String> = chosen(&options, value).map(str::to_owned).into_iter().collect();
    let typed = sent.all();
    let chosen: &[String] = if sent.was_shown() || !typed.is_empty() { typed } else { &own };
    let blank = blank.map(|label| view::Choice {
        token: String::new(),
        json: None,
        label: label.to_owned(),
        note: None,
        chosen: chosen.first().is_none_or(|token| token.is_empty()),
    });
    let offered = options.into_iter().map(|option| option.drawn(chosen));
    let options = match as_ {
        Options::Menu => blank.into_iter().chain(offered).collect(),
        _ => offered.chain(blank).collect(),
    };
    Input::Options { options, as_ }
}

/// What came back from a control that chooses one of these.
pub(super) fn read(options: Vec<Choosable>, value: Option<&Value>, sent: &Sent) -> Read {
    let token = match sent.text() {
        Some(token) => token,
        None if sent.was_shown() => "",
        None => return Read::NotDrawn,
    };
    if chosen(&options, value).unwrap_or_default() == token {
        return Read::Same;
    }
    if token.is_empty() {
        return if value.is_some() { Read::Cleared } else { Read::Same };
    }
    match options.into_iter().find(|option| option.token == token).and_then(|option| option.value) {
        Some(value) => Read::Is(value),
        None => Read::wrong("enum", NOT_OFFERED),
    }
}

fn chosen<'o>(options: &'o [Choosable], value: Option<&Value>) -> Option<&'o str> {
    let value = value?;
    options.iter().find(|option| option.is(value)).map(|option| option.token.as_str())
}

/// A value, cut to what fits a label.
pub(super) fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "Yes".to_owned(),
        Value::Bool(false) => "No".to_owned(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text,
    }
}
