//! What is said of one value, in the words of a form: its label, what helps to fill it in, and the control it is drawn with.

use serde_json::Value;

use super::kinds::{self, Kind};
use super::options;
use super::say::Say;
use crate::domain::json;
use crate::domain::schema::{Types, humanized, limits};

/// One value to be asked for.
pub(super) struct Field {
    pub label: String,
    pub hint: Option<String>,
    pub unit: Option<String>,
    pub example: Option<String>,
    pub required: bool,
    pub nullable: bool,
    pub read_only: bool,
    pub default: Option<Value>,
    /// What may be chosen, where the values are listed; for a list, those of its items.
    pub options: Vec<Choice>,
    /// The one value that it can have.
    pub fixed: Option<Value>,
    /// A number without a fraction.
    pub integer: bool,
    pub widget: String,
    pub format: String,
    pub max_length: Option<usize>,
}

/// A value that can be chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub value: Value,
    pub label: String,
    pub note: Option<String>,
}

impl Choice {
    pub fn of(value: Value, label: &str) -> Self {
        Self { value, label: label.to_owned(), note: None }
    }
}

/// What a value is drawn as.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Control(&'static dyn Kind),
    Object,
    List,
    /// A person says first which type it has.
    Typed,
    /// Nothing can stand here.
    Nothing,
}

impl Field {
    pub fn of(say: &Say, name: &str, required: bool) -> Self {
        let text = |word: &str, most: usize| say.text(word).map(|text| text.chars().take(most).collect::<String>());
        let example = say.words("examples").find_map(|all| all.get(0));
        let example = example.filter(|value| !value.is_object() && !value.is_array()).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let types = say.types();
        let label = text("title", limits::TITLE_CHARS).unwrap_or_else(|| humanized(name));
        Self {
            label: if label.trim().is_empty() { "No name".to_owned() } else { label },
            hint: text("description", limits::DESCRIPTION_CHARS),
            unit: text("x-unit", limits::TITLE_CHARS),
            example: example.filter(|example| example.chars().count() <= limits::TITLE_CHARS),
            required,
            nullable: types != Types::ALL && types.has(Types::NULL),
            read_only: say.flag("readOnly") || say.word("x-compute").is_some(),
            default: say.word("default").cloned().map(json::sorted),
            options: options::listed(say),
            fixed: say.word("const").cloned(),
            integer: is_integer(say),
            widget: say.text("x-widget").unwrap_or_default().to_owned(),
            format: say.text("format").unwrap_or_default().to_owned(),
            max_length: say.most("maxLength"),
        }
    }

    /// The label in the middle of a sentence: "Gas reading" is "gas reading", "ATEX class" stays, a question is quoted.
    pub fn in_sentence(&self) -> String {
        if self.label.ends_with('?') {
            return format!("\u{201c}{}\u{201d}", self.label);
        }
        let mut chars = self.label.chars();
        match (chars.next(), chars.next()) {
            (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') => {
                first.to_lowercase().chain(self.label.chars().skip(1)).collect()
            }
            _ => self.label.clone(),
        }
    }
}

fn is_integer(say: &Say) -> bool {
    say.words("type").any(|said| match said {
        Value::String(name) => name == "integer",
        Value::Array(names) => names.iter().any(|name| name == "integer") && !names.iter().any(|name| name == "number"),
        _ => false,
    })
}

/// What a value is drawn as; `typed` is the type that a person chose, or that the value has.
pub(super) fn body(say: &Say, field: &mut Field, typed: Option<Types>) -> Body {
    let all = say.types();
    let types = all.without(Types::NULL);
    if field.fixed.is_some() || all == Types::NULL {
        let fixed = field.fixed.get_or_insert(Value::Null);
        return Body::Control(if *fixed == Value::Bool(true) { &kinds::Consent } else { &kinds::Fixed });
    }
    if types == Types::NONE {
        return Body::Nothing;
    }
    if !field.options.is_empty() {
        return Body::Control(&kinds::Choice);
    }
    let types = match typed.filter(|typed| types.has(*typed)) {
        Some(typed) => typed,
        None if all == Types::ALL => hinted(say),
        None => types,
    };
    match types {
        Types::OBJECT => Body::Object,
        Types::ARRAY => list(say, field),
        one if one.is_one() => Body::Control(kinds::of(one, field)),
        _ => Body::Typed,
    }
}

fn list(say: &Say, field: &mut Field) -> Body {
    if say.slots() == 0 && say.flag("uniqueItems") {
        let item = Say::gather(say.parts, &say.item(0), None, None, &|_, _| None);
        field.options = options::listed(&item);
        if !field.options.is_empty() {
            return Body::Control(&kinds::Choices);
        }
    }
    Body::List
}

/// Where no type is said, what is said hints at it.
pub(super) fn hinted(say: &Say) -> Types {
    const OBJECT: [&str; 11] = [
        "properties",
        "required",
        "patternProperties",
        "additionalProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
        "dependencies",
    ];
    const ARRAY: [&str; 9] = [
        "items",
        "prefixItems",
        "contains",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minContains",
        "maxContains",
        "unevaluatedItems",
    ];
    const STRING: [&str; 6] = ["pattern", "minLength", "maxLength", "format", "contentMediaType", "contentEncoding"];
    const NUMBER: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
    let hints = [
        (say.says_any(&OBJECT), Types::OBJECT),
        (say.says_any(&ARRAY), Types::ARRAY),
        (say.says_any(&STRING), Types::STRING),
        (say.says_any(&NUMBER), Types::NUMBER),
    ];
    let hinted = hints.into_iter().filter(|(says, _)| *says).map(|(_, types)| types).fold(Types::NONE, Types::or);
    if hinted == Types::NONE { Types::ALL.without(Types::NULL) } else { hinted }
}
