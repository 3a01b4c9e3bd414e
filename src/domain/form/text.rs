//! What HTML makes of the text of a control on its way, and dates and times as text.

use serde_json::Value;

use super::field::Field;
use super::kinds::is_date;
use super::view::Input;

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

/// A browser's date or time control; where it could not show what was typed, a line of text.
pub(super) fn picker(kind: &'static str, text: String, fits: fn(&str) -> bool, step: Option<&'static str>) -> Input {
    let kind = if text.is_empty() || fits(&text) { kind } else { "text" };
    Input::Line { kind, inputmode: None, text, unit: None, step }
}

/// `16:00`, `16:00:30` or `16:00:30.5` with its seconds written out. `None` for what is no time of day.
pub(super) fn clock(text: &str) -> Option<String> {
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
