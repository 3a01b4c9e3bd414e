//! The JSON text of a value that no other control can show.

use serde_json::Value;

use super::{Kind, Read, Sent, typed};
use crate::domain::form::field::Field;
use crate::domain::form::text::Way;
use crate::domain::form::view::Input;
use crate::domain::json::{self, NotJson};

pub(in crate::domain::form) struct Json;

fn pretty(value: Option<&Value>) -> String {
    value.map(|value| serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())).unwrap_or_default()
}

impl Kind for Json {
    fn shows(&self, _: &Value) -> bool {
        true
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let text = typed(sent, || pretty(value));
        Input::Lines { rows: text.lines().count().clamp(3, 20), text, is_json: true }
    }

    fn read(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        let Some(posted) = sent.text() else { return Read::NotDrawn };
        if Way::Lines.is_untouched(&pretty(value), posted) {
            return Read::Same;
        }
        if posted.trim().is_empty() {
            return Read::Cleared;
        }
        match json::read(posted) {
            Ok(meant) if value == Some(&meant) => Read::Same,
            Ok(meant) => Read::Is(meant),
            Err(fault) => Read::wrong("json", not_json(&fault)),
        }
    }

    fn is_json(&self) -> bool {
        true
    }
}

fn not_json(fault: &NotJson) -> String {
    if fault.is_json {
        return format!("{fault}.");
    }
    format!("{fault}. Text stands in double quotes, for example \"open\".")
}
