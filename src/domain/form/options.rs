//! The options of a control that chooses among values, each with its opaque token.

use serde_json::Value;

use super::layout::{Choice, Field, Kind};
use crate::domain::json;

/// One option.
#[derive(Debug, Clone, PartialEq)]
pub struct Choosable {
    /// What is posted.
    pub token: String,
    /// `None` for "no answer".
    pub value: Option<Value>,
    pub label: String,
    pub note: Option<String>,
    /// The record has this value, and the type does not offer it any more.
    pub is_kept: bool,
}

/// The options of a field, given the value that is there.
pub(super) fn of(field: &Field, value: Option<&Value>) -> Vec<Choosable> {
    let yes_no;
    let (choices, several): (&[Choice], bool) = match &field.kind {
        Kind::Choice { choices, .. } => (choices, false),
        Kind::Choices(choices) => (choices, true),
        Kind::YesNo => {
            yes_no = [Choice::of(true.into(), "Yes"), Choice::of(false.into(), "No")];
            (&yes_no, false)
        }
        _ => (&[], false),
    };
    let option = |token: String, value: Value, label: String| Choosable {
        token,
        value: Some(value),
        label,
        note: None,
        is_kept: false,
    };
    let mut options: Vec<Choosable> = choices
        .iter()
        .enumerate()
        .map(|(at, choice)| Choosable {
            note: choice.note.clone(),
            ..option(format!("e{at}"), choice.value.clone(), choice.label.clone())
        })
        .collect();
    if !several && field.nullable {
        let label = if matches!(field.kind, Kind::YesNo) { "Unknown" } else { "None" };
        options.push(option(format!("e{}", choices.len()), Value::Null, label.to_owned()));
    }
    let there: &[Value] = match (value, several) {
        (Some(Value::Array(values)), true) => values,
        (Some(value), false) => std::slice::from_ref(value),
        _ => &[],
    };
    for value in there {
        if !options.iter().any(|known| known.value.as_ref().is_some_and(|known| json::equal(known, value))) {
            let kept = options.iter().filter(|option| option.is_kept).count();
            let label = format!("{} (no longer offered)", short(value));
            options.push(Choosable { is_kept: true, ..option(format!("k{kept}"), value.clone(), label) });
        }
    }
    options
}

/// The tokens of the options that a value chooses, in the order of the options.
pub(super) fn chosen(options: &[Choosable], value: Option<&Value>, several: bool) -> Vec<String> {
    let is = |option: &Choosable, value: &Value| option.value.as_ref().is_some_and(|own| json::equal(own, value));
    match (value, several) {
        (Some(Value::Array(values)), true) => {
            let among = |option: &&Choosable| values.iter().any(|value| is(option, value));
            options.iter().filter(among).map(|option| option.token.clone()).collect()
        }
        (Some(value), false) => {
            options.iter().find(|option| is(option, value)).map(|option| option.token.clone()).into_iter().collect()
        }
        _ => Vec::new(),
    }
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
