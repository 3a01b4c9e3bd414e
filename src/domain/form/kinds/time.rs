//! A time of day with its zone.

use serde_json::Value;

use super::{Kind, Read, Sent, for_example, read_text, typed};
use crate::domain::form::field::Field;
use crate::domain::form::text::{TimeOfDay, Way, clock, picker};
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Time;

fn shown(value: Option<&Value>) -> String {
    let time = value.and_then(Value::as_str).and_then(TimeOfDay::read);
    time.map(|time| time.time).unwrap_or_default()
}

impl Kind for Time {
    fn shows(&self, value: &Value) -> bool {
        value.as_str().is_some_and(|text| TimeOfDay::read(text).is_some())
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let text = typed(sent, || shown(value));
        let step = text.matches(':').count().gt(&1).then_some("any");
        picker("time", text, is_time, step)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Line, &shown(value), field, value, sent)
    }

    fn meant(&self, field: &Field, text: &str, value: Option<&Value>, zone: &str) -> Result<Value, String> {
        let base = value.and_then(Value::as_str).and_then(TimeOfDay::read);
        let zone = base.as_ref().map_or(zone, |base| base.zone.as_str());
        let entered = clock(text).map(|time| format!("{time}{zone}"));
        entered
            .or_else(|| TimeOfDay::read(text).map(|_| text.to_owned()))
            .map(Value::String)
            .ok_or_else(|| for_example(field, "a time", "16:00"))
    }
}

/// Whether a browser's time control can show it.
pub fn is_time(text: &str) -> bool {
    clock(text).is_some() && text.split_once('.').is_none_or(|(_, fraction)| fraction.len() <= 3)
}
