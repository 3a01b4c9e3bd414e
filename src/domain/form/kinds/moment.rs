//! A date and a time of day with their zone.

use serde_json::Value;

use super::{Kind, Read, Sent};
use crate::domain::form::field::Field;
use crate::domain::form::text::{self, Way};
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Moment;

impl Kind for Moment {
    fn shows(&self, value: &Value) -> bool {
        value.as_str().is_some_and(|text| text::Moment::read(text).is_some())
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        let shown = text::Moment::shown(value, sent.zone);
        let part = |part: &str, own: String| sent.part(part).map_or(own, str::to_owned);
        let time = part("time", shown.time);
        Input::Moment {
            date: part("date", shown.date),
            with_seconds: time.matches(':').count() > 1,
            time,
            zone: part("zone", shown.zone),
        }
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        // a program may send it whole
        if let Some(whole) = sent.text() {
            return match value.and_then(Value::as_str) {
                Some(own) if Way::Line.is_untouched(own, whole) => Read::Same,
                _ if whole.trim().is_empty() => Read::Cleared,
                _ => Read::Is(Value::String(whole.trim().to_owned())),
            };
        }
        let (date, time) = (sent.part("date"), sent.part("time"));
        if date.is_none() && time.is_none() {
            return Read::NotDrawn;
        }
        let shown = text::Moment::shown(value, sent.zone);
        let date = date.unwrap_or(&shown.date).trim();
        let time = time.unwrap_or(&shown.time).trim();
        let zone = sent.part("zone").map_or(shown.zone.as_str(), str::trim);
        if shown.is_same(date, time) && (zone == shown.zone || date.is_empty()) {
            return Read::Same;
        }
        if date.is_empty() && time.is_empty() {
            return Read::Cleared;
        }
        match text::Moment::meant(field, date, time, zone) {
            Ok(moment) => Read::Is(Value::String(moment)),
            Err(message) => Read::wrong("format", message),
        }
    }

    fn parts(&self) -> &'static [&'static str] {
        &["date", "time", "zone"]
    }
}
