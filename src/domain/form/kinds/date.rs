//! A day.

use std::str::FromStr;

use serde_json::Value;

use super::{Kind, Read, Sent, for_example, plain, read_text, typed};
use crate::domain::form::field::Field;
use crate::domain::form::text::{Way, picker};
use crate::domain::form::view::Input;

pub(in crate::domain::form) struct Date;

impl Kind for Date {
    fn shows(&self, value: &Value) -> bool {
        value.as_str().is_some_and(is_date)
    }

    fn draw(&self, _: &Field, value: Option<&Value>, sent: &Sent) -> Input {
        picker("date", typed(sent, || plain(value)), is_date, None)
    }

    fn read(&self, field: &Field, value: Option<&Value>, sent: &Sent) -> Read {
        read_text(self, Way::Line, &plain(value), field, value, sent)
    }

    fn meant(&self, field: &Field, text: &str, _: Option<&Value>, _: &str) -> Result<Value, String> {
        if is_date(text) {
            return Ok(Value::String(text.to_owned()));
        }
        Err(for_example(field, "a date as year-month-day", "2026-05-14"))
    }
}

/// Whether a browser's date control can show it.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && jiff::civil::Date::from_str(text).is_ok_and(|date| date.to_string() == text && date.year() > 0)
}
