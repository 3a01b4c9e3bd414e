//! Some of the listed values, each once.

use std::collections::HashSet;

use serde_json::Value;

use super::{Kind, Read, Sent};
use crate::domain::form::field::Field;
use crate::domain::form::options::{self, Choosable};
use crate::domain::form::view::{Input, Options};
use crate::domain::json;

pub(in crate::domain::form) struct Choices;

fn values(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn options(field: &Field, value: Option<&Value>) -> Vec<Choosable> {
    options::with(&field.options, None, values(value).iter())
}

fn chosen(options: &[Choosable], value: Option<&Value>) -> Vec<String> {
    let among = |option: &&Choosable| values(value).iter().any(|value| option.is(value));
    options.iter().filter(among).map(|option| option.token.clone()).collect()
}

impl Kind for Choices {
    fn shows(&self, value: &Value) -> bool {
        value.is_array()
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let options = options(field, value);
        let own = chosen(&options, value);
        let typed = sent.all();
        let chosen: &[String] = if sent.was_shown() || !typed.is_empty() { typed } else { &own };
        let options = options.into_iter().map(|option| option.drawn(chosen)).collect();
        Input::Options { options, as_: Options::Boxes }
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        let tokens = sent.all();
        if !sent.was_shown() && tokens.is_empty() {
            return Read::NotDrawn;
        }
        let options = options(field, value);
        let own = chosen(&options, value);
        let posted: HashSet<&str> = tokens.iter().map(String::as_str).collect();
        if !posted.iter().all(|token| options.iter().any(|option| option.token == *token)) {
            return Read::wrong("enum", options::NOT_OFFERED);
        }
        if own.len() == posted.len() && own.iter().all(|token| posted.contains(token.as_str())) {
            return Read::Same;
        }
        let is_chosen = |option: &&Choosable| posted.contains(option.token.as_str());
        let kept = |value: &&Value| options.iter().any(|option| is_chosen(&option) && option.is(value));
        let mut all: Vec<Value> = values(value).iter().filter(kept).cloned().collect();
        for option in options.iter().filter(is_chosen) {
            all.extend(option.value.clone().filter(|value| !all.iter().any(|own| json::equal(own, value))));
        }
        if all.is_empty() && !field.required && !matches!(value, Some(Value::Array(_))) {
            return Read::Cleared;
        }
        Read::Is(Value::Array(all))
    }

    fn takes_several(&self) -> bool {
        true
    }

    fn parts(&self) -> &'static [&'static str] {
        &["shown"]
    }
}
