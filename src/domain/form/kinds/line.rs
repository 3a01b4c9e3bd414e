//! One line of text; also an e-mail address and a web address.

use serde_json::Value;

use super::{Kind, Read, Sent, plain, read_text, typed};
use crate::domain::form::field::Field;
use crate::domain::form::text::Way;
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Line;
pub(in crate::domain::form) struct Email;
pub(in crate::domain::form) struct Url;

fn shows(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains(['\n', '\r']),
        other => !other.is_array() && !other.is_object(),
    }
}

fn draw(kind: &'static str, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
    Input::Line { kind, inputmode: None, text: typed(sent, || plain(value)), unit: field.unit.clone(), step: None }
}

impl Kind for Line {
    fn shows(&self, value: &Value) -> bool {
        shows(value)
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        draw("text", field, value, sent)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Line, &plain(value), field, value, sent)
    }

    fn stands_in(&self) -> Option<Way> {
        Some(Way::Line)
    }
}

impl Kind for Email {
    fn shows(&self, value: &Value) -> bool {
        shows(value)
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        draw("email", field, value, sent)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Trimmed, &plain(value), field, value, sent)
    }
}

impl Kind for Url {
    fn shows(&self, value: &Value) -> bool {
        shows(value)
    }

    fn draw(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        draw("url", field, value, sent)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Trimmed, &plain(value), field, value, sent)
    }
}
