//! Between values and the text of controls: what a control shows, what HTML makes of it on the way, and what a person's text means.

use std::str::FromStr;

use serde_json::{Number, Value};

use super::layout::{Field, Kind, TextInput};
use crate::domain::json::{self, NotJson};

/// The control that a value is in fact drawn with; a value that does not fit the field's own control gets one that keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drawn {
    /// The field's own.
    Own,
    /// One line of text.
    Line,
    /// Several lines of text.
    Lines,
    /// The JSON text.
    Json,
}

/// More rows than this are not drawn one by one.
pub(super) const ROWS: usize = 300;

/// How a value is drawn.
pub(super) fn drawn(kind: &Kind, value: Option<&Value>) -> Drawn {
    let Some(value) = value else { return Drawn::Own };
    let as_text = |fits: fn(&str) -> bool| match value {
        Value::String(text) if text.contains(['\n', '\r']) => Drawn::Lines,
        Value::String(text) if fits(text) => Drawn::Own,
        Value::Null => Drawn::Own,
        Value::Array(_) | Value::Object(_) => Drawn::Json,
        _ => Drawn::Line,
    };
    match kind {
        Kind::Text(_) => match as_text(|_| true) {
            Drawn::Line => Drawn::Own,
            other => other,
        },
        Kind::Lines if value.is_array() || value.is_object() => Drawn::Json,
        Kind::Number { .. } if value.is_number() => Drawn::Own,
        Kind::Number { .. } => as_text(|_| false),
        Kind::Date => as_text(is_date),
        Kind::Time => as_text(|text| TimeOfDay::read(text).is_some()),
        Kind::Moment => as_text(|text| Moment::read(text).is_some()),
        Kind::Tick | Kind::Consent if !value.is_boolean() => Drawn::Json,
        Kind::Choices(_) | Kind::List { .. } | Kind::Group { .. } => match value {
            Value::Null if !matches!(kind, Kind::Group { .. }) => Drawn::Own,
            Value::Array(items) if items.len() <= ROWS => Drawn::Own,
            _ => Drawn::Json,
        },
        Kind::Object(_) if !value.is_object() => Drawn::Json,
        _ => Drawn::Own,
    }
}

/// The text a control shows for a value.
pub(super) fn shown(kind: &Kind, drawn: Drawn, value: Option<&Value>) -> String {
    match (drawn, kind, value) {
        (_, _, None) => String::new(),
        (Drawn::Json, _, Some(value)) | (Drawn::Own, Kind::Json, Some(value)) => pretty(value),
        (_, _, Some(Value::Null)) => String::new(),
        (Drawn::Own, Kind::Time, Some(Value::String(text))) => {
            TimeOfDay::read(text).map(|time| time.time).unwrap_or_default()
        }
        (_, _, Some(Value::String(text))) => text.clone(),
        (_, _, Some(other)) => other.to_string(),
    }
}

pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// What HTML does to the text of a control on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// An `input` loses its line breaks.
    Line,
    /// Of type `email` or `url` it also loses the spaces around.
    Trimmed,
    /// A `textarea` loses its first line break, and the rest become CRLF.
    Lines,
}

impl Way {
    pub fn of(kind: &Kind, drawn: Drawn) -> Self {
        match (drawn, kind) {
            (Drawn::Lines | Drawn::Json, _) | (Drawn::Own, Kind::Lines | Kind::Json) => Way::Lines,
            (Drawn::Own, Kind::Text(TextInput::Email | TextInput::Url)) => Way::Trimmed,
            _ => Way::Line,
        }
    }

    /// Whether what came back is what was shown.
    pub fn is_untouched(self, shown: &str, posted: &str) -> bool {
        if shown == posted {
            return true;
        }
        match self {
            Way::Line => line(shown) == line(posted),
            Way::Trimmed => line(shown).trim() == line(posted).trim(),
            Way::Lines => {
                let (shown, posted) = (lines(shown), lines(posted));
                let without = |text: &str| text.strip_prefix('\n').map(str::to_owned);
                shown == posted || without(&shown).as_ref() == Some(&posted) || without(&posted) == Some(shown)
            }
        }
    }
}

/// Text of several lines with one kind of line break.
pub(super) fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}")
}

fn line(text: &str) -> String {
    text.replace(['\r', '\n'], "").replace('\0', "\u{fffd}")
}

/// What a person's text means, where it means something. It is trimmed and not empty.
pub(super) fn meant(field: &Field, text: &str, base: Option<&Value>, zone: &str) -> Result<Value, String> {
    match &field.kind {
        Kind::Number { integer } => number(text).map(Value::Number).ok_or_else(|| as_number(field, *integer)),
        Kind::Date if !is_date(text) => Err(for_example(field, "a date as year-month-day", "2026-05-14")),
        Kind::Time => {
            let base = base.and_then(Value::as_str).and_then(TimeOfDay::read);
            let zone = base.as_ref().map_or(zone, |base| base.zone.as_str());
            let entered = clock(text).map(|time| format!("{time}{zone}"));
            entered
                .or_else(|| TimeOfDay::read(text).map(|_| text.to_owned()))
                .map(Value::String)
                .ok_or_else(|| for_example(field, "a time", "16:00"))
        }
        Kind::Json => json::read(text).map_err(|fault| not_json(&fault)),
        _ => Ok(Value::String(text.to_owned())),
    }
}

pub(super) fn not_json(fault: &NotJson) -> String {
    if fault.is_json {
        return format!("{fault}.");
    }
    format!("{fault}. Text stands in double quotes, for example \"open\".")
}

fn as_number(field: &Field, integer: bool) -> String {
    let (what, example) = if integer { ("as a whole number", "4") } else { ("as a number", "4.5") };
    let example = field.example.as_deref().unwrap_or(example);
    format!("Enter {} {what}, for example {example}.", field.in_sentence())
}

fn for_example(field: &Field, what: &str, example: &str) -> String {
    format!("Enter {} as {what}, for example {example}.", field.in_sentence())
}

impl Field {
    /// The label in the middle of a sentence: "Gas reading" is "gas reading", "ATEX class" stays, a question is quoted.
    pub(super) fn in_sentence(&self) -> String {
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

/// A number as people write it: a comma may be the decimal mark, spaces may group digits. Every digit is kept.
fn number(text: &str) -> Option<Number> {
    let mut plain: String = text.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}')).collect();
    plain = plain.replace('\u{2212}', "-");
    if plain.contains(',') {
        if plain.contains('.') || plain.matches(',').count() > 1 {
            return None;
        }
        plain = plain.replace(',', ".");
    }
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let whole_ends = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(whole_ends);
    if whole.is_empty() && !rest.starts_with('.') {
        return None;
    }
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    Number::from_str(&format!("{sign}{whole}{rest}")).ok()
}

/// Whether a browser's date control can show it.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && jiff::civil::Date::from_str(text).is_ok_and(|date| date.to_string() == text && date.year() > 0)
}

/// `16:00`, `16:00:30` or `16:00:30.5` with its seconds written out. `None` for what is no time of day.
fn clock(text: &str) -> Option<String> {
    let (main, fraction) = match text.split_once('.') {
        Some((main, fraction)) => (main, Some(fraction)),
        None => (text, None),
    };
    if fraction.is_some_and(|digits| digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let parts: Vec<&str> = main.split(':').collect();
    let within = |part: &str, end: u8| {
        part.len() == 2
            && part.bytes().all(|b| b.is_ascii_digit())
            && part.parse::<u8>().is_ok_and(|number| number < end)
    };
    match parts.as_slice() {
        [hour, minute] if within(hour, 24) && within(minute, 60) && fraction.is_none() => {
            Some(format!("{hour}:{minute}:00"))
        }
        [hour, minute, second] if within(hour, 24) && within(minute, 60) && within(second, 60) => Some(text.to_owned()),
        _ => None,
    }
}

/// Whether a browser's time control can show it.
pub fn is_time(text: &str) -> bool {
    clock(text).is_some() && text.split_once('.').is_none_or(|(_, fraction)| fraction.len() <= 3)
}

/// Whether `Z` or `+01:00`.
pub(super) fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', zone @ ..] => {
            std::str::from_utf8(zone).is_ok_and(|zone| zone.len() == 5 && clock(zone).is_some())
        }
        _ => false,
    }
}

/// A time of day with its zone, as far as a browser's time control can show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeOfDay {
    /// `16:00`, or with seconds where it has some.
    pub time: String,
    pub zone: String,
}

impl TimeOfDay {
    pub fn read(text: &str) -> Option<Self> {
        let at = text.find(['Z', 'z', '+', '-'])?;
        let (time, zone) = text.split_at(at);
        if !is_zone(zone) || time.len() < 8 || time.split_once('.').is_some_and(|(_, fraction)| fraction.len() > 3) {
            return None;
        }
        let time = clock(time)?;
        Some(Self { time: time.strip_suffix(":00").unwrap_or(&time).to_owned(), zone: zone.to_owned() })
    }
}

/// A moment as a date and a time of day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Moment {
    pub date: String,
    pub time: String,
    pub zone: String,
}

impl Moment {
    pub fn read(text: &str) -> Option<Self> {
        let date = text.get(..10).filter(|date| is_date(date))?;
        let rest = text[10..].strip_prefix(['T', 't'])?;
        let TimeOfDay { time, zone } = TimeOfDay::read(rest)?;
        Some(Self { date: date.to_owned(), time, zone })
    }

    /// What two controls show for a value; empty with the site's zone where there is none.
    pub fn shown(value: Option<&Value>, zone: &str) -> Self {
        let moment = value.and_then(Value::as_str).and_then(Self::read);
        moment.unwrap_or_else(|| Self { zone: zone.to_owned(), ..Self::default() })
    }

    pub fn is_same(&self, date: &str, time: &str) -> bool {
        date == self.date && (time == self.time || clock(time).is_some_and(|time| clock(&self.time) == Some(time)))
    }

    /// The moment that two controls say.
    pub fn meant(field: &Field, date: &str, time: &str, zone: &str) -> Result<String, String> {
        let label = field.in_sentence();
        if date.is_empty() {
            return Err(format!("Enter the date for {label}, for example 2026-05-14."));
        }
        if time.is_empty() {
            return Err(format!("Enter the time for {label}, for example 16:00."));
        }
        if !is_date(date) {
            return Err(format!("Enter the date for {label} as year-month-day, for example 2026-05-14."));
        }
        let Some(time) = clock(time) else {
            return Err(format!("Enter the time for {label} as hours and minutes, for example 16:00."));
        };
        if !is_zone(zone) {
            return Err(format!("Enter the zone for {label} as its distance to UTC, for example +01:00."));
        }
        Ok(format!("{date}T{time}{zone}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them_and_keep_their_digits() {
        for (text, read) in [
            ("4.5", "4.5"),
            ("4,50", "4.50"),
            ("1 234 567,8", "1234567.8"),
            ("-0", "-0"),
            ("+3", "3"),
            (".5", "0.5"),
            ("007", "7"),
            ("\u{2212}2", "-2"),
            ("1e3", "1e+3"),
            ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
        ] {
            assert_eq!(number(text).map(|number| number.to_string()).as_deref(), Some(read), "{text}");
        }
        for text in ["", "4,5,", "1,000.5", "a", "4.5x", "--1", "1.", "NaN", "Infinity", "0x10", "e3", "-", "1-2"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn what_html_does_on_the_way_is_no_change() {
        for (shown, posted) in
            [("a\nb", "a\r\nb"), ("\na", "a"), ("\r\na", "\na"), ("a\rb", "a\r\nb"), ("a", "\na"), ("", "")]
        {
            assert!(Way::Lines.is_untouched(shown, posted), "{shown:?} {posted:?}");
        }
        for (shown, posted) in [("a\nb", "ab"), ("a\0", "a\u{fffd}"), ("\u{1}", "\u{1}")] {
            assert!(Way::Line.is_untouched(shown, posted), "{shown:?} {posted:?}");
        }
        assert!(Way::Trimmed.is_untouched(" a@b ", "a@b"));
        assert!(
            !Way::Line.is_untouched(" a", "a")
                && !Way::Lines.is_untouched("a", "")
                && !Way::Lines.is_untouched("a", "a ")
        );
    }

    #[test]
    fn times_are_shown_by_time_controls_only_where_nothing_is_lost() {
        let read = |text: &str| Moment::read(text).map(|moment| (moment.date, moment.time, moment.zone));
        let moment = |date: &str, time: &str, zone: &str| Some((date.into(), time.into(), zone.into()));
        assert_eq!(read("2026-05-14T16:00:00Z"), moment("2026-05-14", "16:00", "Z"));
        assert_eq!(read("2026-05-14t16:00:05.25-03:30"), moment("2026-05-14", "16:00:05.25", "-03:30"));
        for text in [
            "2026-05-14",
            "2026-02-30T16:00:00Z",
            "2026-05-14T16:00Z",
            "2026-05-14T23:59:60Z",
            "T",
            "2026-05-14T16:00:00",
            "2026-05-14T16:00:00.1234Z",
            "2026-05-14 16:00:00Z",
            "äöüäöüäöü",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(is_date("2024-02-29") && !is_date("2023-02-29") && !is_date("24-02-29") && !is_date("2024-2-29"));
    }
}
