//! One box: for an answer that is false unless it is ticked, and for a consent, which is no answer unless it is given.

use serde_json::Value;

use super::{Kind, Read, Sent};
use crate::domain::form::field::Field;
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Tick;
pub(in crate::domain::form) struct Consent;

const TRUE: Value = Value::Bool(true);

fn draw(value: Option<&Value>, sent: &Sent) -> Input {
    let ticked = match sent.text() {
        Some(_) => true,
        None => !sent.was_shown() && value == Some(&TRUE),
    };
    Input::Tick { ticked, json: "true".to_owned() }
}

fn read(value: Option<&Value>, sent: &Sent, unticked: impl FnOnce(bool) -> Read) -> Read {
    let (is_ticked, was) = (sent.text().is_some(), value == Some(&TRUE));
    match is_ticked {
        true if was => Read::Same,
        true => Read::Is(TRUE),
        false if sent.was_shown() => unticked(was),
        false => Read::NotDrawn,
    }
}

impl Kind for Tick {
    fn shows(&self, value: &Value) -> bool {
        value.is_boolean()
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        draw(value, sent)
    }

    fn read(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read(value, sent, |was| match value {
            _ if was => Read::Is(Value::Bool(false)),
            None if sent.fresh => Read::Implied(Value::Bool(false)),
            _ => Read::Same,
        })
    }

    fn parts(&self) -> &'static [&'static str] {
        &["shown"]
    }
}

impl Kind for Consent {
    fn shows(&self, value: &Value) -> bool {
        value.is_boolean()
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        draw(value, sent)
    }

    fn read(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read(value, sent, |was| if was { Read::Cleared } else { Read::Same })
    }

    fn parts(&self) -> &'static [&'static str] {
        &["shown"]
    }
}
