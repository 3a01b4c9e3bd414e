//! The one value that there can be: shown, not asked, and written with what it is in.

use serde_json::Value;

use super::{Kind, Read, Sent};
use crate::domain::form::field::Field;
use crate::domain::form::options::short;
use crate::domain::form::text::Way;
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Fixed;

fn shown(field: &Field, value: Option<&Value>) -> String {
    value.or(field.fixed.as_ref()).map(short).unwrap_or_default()
}

impl Kind for Fixed {
    fn shows(&self, _: &Value) -> bool {
        true
    }

    fn draw(&self, field: &Field, value: Option<&Value>, _: &Sent) -> Input {
        let json = value.or(field.fixed.as_ref()).map(Value::to_string);
        Input::Fixed { text: shown(field, value), unit: field.unit.clone(), json }
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        let shown = shown(field, value);
        match sent.text() {
            Some(text) if !text.trim().is_empty() && !Way::Lines.is_untouched(&shown, text) => {
                Read::wrong("const", format!("This must be {shown}."))
            }
            _ => Read::NotDrawn,
        }
    }
}
