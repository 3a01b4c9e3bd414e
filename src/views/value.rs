//! One value of a record in words: dates as people say them, numbers with their digits, choices by title, what is missing by name.
//!
//! What a value means is said by its schema, which [`reading`](super::reading) follows; here is only how it looks.

use std::fmt::{self, Display, Formatter};

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use super::file::Attached;
use super::part::{Chip, Escaped, Link, Versus, When};

/// A value as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Shown {
    /// Nothing was answered.
    #[default]
    Missing,
    /// `null`: asked, and not known.
    Unknown,
    /// A text of no characters, which is something else than no answer.
    Blank,
    /// An empty list or object.
    Nothing,
    Text(String),
    /// A text of several lines.
    Lines(String),
    /// One of the values a schema lists, by its title or as it is.
    Choice(String),
    Chip(Chip),
    Link(Link),
    When(When),
    List(Vec<Shown>),
    Facts(Vec<Fact>),
    Table(Table),
    Files(Vec<Attached>),
    /// What has no better form.
    Json(String),
}

impl Shown {
    pub fn text(words: impl Into<String>) -> Shown {
        Shown::Text(words.into())
    }

    /// Whether there is nothing to read.
    pub fn is_missing(&self) -> bool {
        matches!(self, Shown::Missing)
    }

    /// Whether it is better kept on one line of a table.
    pub fn is_short(&self) -> bool {
        match self {
            Shown::Chip(_) | Shown::When(_) | Shown::Missing | Shown::Unknown | Shown::Blank | Shown::Nothing => true,
            Shown::Text(words) | Shown::Choice(words) => words.chars().count() <= 16,
            Shown::Link(link) => link.words.chars().count() <= 16,
            _ => false,
        }
    }

    /// The value in a line of plain words, for buttons and summaries: at most `limit` characters.
    pub fn brief(&self, limit: usize) -> String {
        let words = match self {
            Shown::Missing => "no answer".to_owned(),
            Shown::Unknown => "unknown".to_owned(),
            Shown::Blank => "empty text".to_owned(),
            Shown::Nothing => "none".to_owned(),
            Shown::Text(words) | Shown::Lines(words) | Shown::Choice(words) | Shown::Json(words) => words.clone(),
            Shown::Chip(chip) => chip.words.clone(),
            Shown::Link(link) => link.words.clone(),
            Shown::When(when) => when.words.clone(),
            Shown::List(items) => items.iter().map(|item| item.brief(limit)).collect::<Vec<_>>().join(", "),
            Shown::Facts(facts) => {
                let fact = |fact: &Fact| format!("{}: {}", fact.label, fact.value.brief(limit));
                facts.iter().filter(|fact| !fact.value.is_missing()).map(fact).collect::<Vec<_>>().join(", ")
            }
            Shown::Table(table) => format!("{} rows", table.rows.len()),
            Shown::Files(files) => files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.chars().count() <= limit {
            return words;
        }
        let mut short: String = words.chars().take(limit.saturating_sub(1)).collect();
        short.truncate(short.trim_end().len());
        short.push('…');
        short
    }
}

impl Display for Shown {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let none = |out: &mut Formatter<'_>, words: &str| write!(out, "<span class=\"none\">{words}</span>");
        match self {
            Shown::Missing => none(out, "Not answered"),
            Shown::Unknown => write!(out, "Unknown"),
            Shown::Blank => none(out, "Empty text"),
            Shown::Nothing => none(out, "None"),
            Shown::Text(words) => Escaped(words).fmt(out),
            Shown::Lines(words) => write!(out, "<span class=\"lines\">{}</span>", Escaped(words)),
            Shown::Choice(words) => write!(out, "<span class=\"choice\">{}</span>", Escaped(words)),
            Shown::Chip(chip) => chip.fmt(out),
            Shown::Link(link) => link.fmt(out),
            Shown::When(when) => when.fmt(out),
            Shown::List(items) => {
                out.write_str("<ul class=\"values\">")?;
                for item in items {
                    write!(out, "<li>{item}</li>")?;
                }
                out.write_str("</ul>")
            }
            Shown::Facts(facts) => Facts { facts }.fmt(out),
            Shown::Table(table) => table.fmt(out),
            Shown::Files(files) => {
                out.write_str("<ul class=\"photos\">")?;
                for file in files {
                    write!(out, "<li>{file}</li>")?;
                }
                out.write_str("</ul>")
            }
            Shown::Json(text) => write!(out, "<pre tabindex=\"0\"><code>{}</code></pre>", Escaped(text)),
        }
    }
}
impl HtmlSafe for Shown {}

/// A field of a record and what is to be known about its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fact {
    pub label: String,
    pub value: Shown,
    /// Words of state beside the value: merged, no longer offered.
    pub chips: Vec<Chip>,
    /// Who, when and where, if it is worth a line.
    pub by: String,
    /// What is wrong with it, in sentences.
    pub errors: Vec<String>,
    /// Values that lost against it.
    pub lost: Vec<Versus>,
}

/// Fields under each other.
#[derive(Debug, Clone, Template)]
#[template(path = "part/facts.html")]
pub struct Facts<'a> {
    pub facts: &'a [Fact],
}
impl HtmlSafe for Facts<'_> {}

/// Items of a repeated group, a row each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/table.html")]
pub struct Table {
    /// What the rows are, for whoever can't see the heading.
    pub label: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Shown>>,
}
impl HtmlSafe for Table {}

/// A column of a [`Table`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    pub title: String,
    pub numeric: bool,
}

/// The moment of the request and the zone in which the site lives, for saying when something was.
#[derive(Debug, Clone)]
pub struct Clock {
    pub now: Timestamp,
    pub zone: TimeZone,
}

impl Clock {
    pub fn new(now: Timestamp, zone: TimeZone) -> Clock {
        Clock { now, zone }
    }

    fn today(&self) -> DateTime {
        self.zone.to_datetime(self.now)
    }

    /// When something happened: "14:32" today, "Tue 18:40" in the week before, "2 May" this year, "2 May 2025".
    pub fn when(&self, at: Timestamp) -> When {
        let there = self.zone.to_datetime(at);
        let today = self.today();
        let days = days_between(there.date(), today.date());
        let words = if days == 0 {
            there.strftime("%H:%M").to_string()
        } else if (-6..=-1).contains(&days) {
            there.strftime("%a %H:%M").to_string()
        } else if there.year() == today.year() {
            there.strftime("%-d %b").to_string()
        } else {
            there.strftime("%-d %b %Y").to_string()
        };
        When { words, full: there.strftime("%A %-d %B %Y, %H:%M:%S").to_string(), machine: at.to_string() }
    }

    /// [`when`](Clock::when) for milliseconds since 1970; a moment no calendar has is shown as a number.
    pub fn when_millis(&self, millis: i64) -> When {
        match Timestamp::from_millisecond(millis) {
            Ok(at) => self.when(at),
            Err(_) => When { words: millis.to_string(), ..When::default() },
        }
    }

    /// [`when_millis`](Clock::when_millis) in the middle of a sentence: "at 14:32", "on Tue at 18:40", "on 2 May".
    pub fn spoken(&self, millis: i64) -> String {
        let words = self.when_millis(millis).words;
        match words.split_once(' ') {
            None => format!("at {words}"),
            Some((day, time)) if time.contains(':') => format!("on {day} at {time}"),
            Some(_) => format!("on {words}"),
        }
    }

    /// "Thursday 14 May, 14:32".
    pub fn heading(&self) -> String {
        self.today().strftime("%A %-d %B, %H:%M").to_string()
    }

    /// A calendar date of a record: "Thu 14 May", with the year when it is another one.
    fn date_words(&self, date: Date) -> String {
        let form = if date.year() == self.today().year() { "%a %-d %b" } else { "%a %-d %b %Y" };
        date.strftime(form).to_string()
    }

    /// A value of format `date`, or `None` where it isn't one.
    pub fn date(&self, text: &str) -> Option<When> {
        let date: Date = if text.len() == 10 { text.parse().ok()? } else { return None };
        let full = date.strftime("%A %-d %B %Y").to_string();
        Some(When { words: self.date_words(date), full, machine: text.to_owned() })
    }

    /// A value of format `date-time` as it was entered, with its offset when that isn't the site's; `None` where it isn't one.
    pub fn date_time(&self, text: &str) -> Option<When> {
        let at: Timestamp = text.parse().ok()?;
        let (local, offset) = entered(text, at)?;
        let here = self.zone.to_offset(at);
        let mut words = format!("{}, {}", self.date_words(local.date()), local.strftime("%H:%M"));
        if local.second() != 0 {
            words.push_str(&local.strftime(":%S").to_string());
        }
        if offset != here {
            words.push_str(&format!(" {}", offset_words(offset)));
        }
        Some(When { words, full: text.to_owned(), machine: text.to_owned() })
    }
}

/// The wall-clock time that was written, and its offset.
fn entered(text: &str, at: Timestamp) -> Option<(DateTime, Offset)> {
    let offset = if text.ends_with(['Z', 'z']) {
        Offset::UTC
    } else {
        let tail = text.get(text.len().checked_sub(6)?..)?;
        let (sign, rest) = (tail.chars().next()?, tail.get(1..)?);
        let (hours, minutes) = rest.split_once(':')?;
        let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
        Offset::from_seconds(if sign == '-' { -seconds } else { seconds }).ok()?
    };
    Some((offset.to_datetime(at), offset))
}

/// "UTC", "UTC+2", "UTC−3:30".
fn offset_words(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    if minutes == 0 {
        return "UTC".to_owned();
    }
    let sign = if minutes < 0 { '−' } else { '+' };
    match (minutes.abs() / 60, minutes.abs() % 60) {
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    }
}

fn days_between(then: Date, today: Date) -> i32 {
    (then - today).get_days()
}

/// A number as it was typed, with thousands apart from five digits on: `12,408.50`. What has an exponent stays as it is.
pub fn number(digits: &str) -> String {
    let (sign, rest) = match digits.strip_prefix('-') {
        Some(rest) => ("−", rest),
        None => ("", digits),
    };
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(whole, fraction)| (whole, Some(fraction)));
    if rest.contains(['e', 'E']) || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return digits.to_owned();
    }
    let mut text = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && whole.len() > 4 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// A property's name as a label, where the schema gives no title: `due_date` and `dueDate` are "Due date".
pub fn label(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    for c in name.chars() {
        let next = match c {
            '_' | '-' => ' ',
            c => c,
        };
        if c.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit()) {
            words.push(' ');
            words.extend(c.to_lowercase());
        } else if words.is_empty() {
            words.extend(next.to_uppercase());
        } else {
            words.push(next);
        }
        before = c;
    }
    let words = words.trim();
    if words.is_empty() { "(no name)".to_owned() } else { words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        let now = "2026-05-14T12:32:07Z".parse().expect("a timestamp");
        Clock::new(now, TimeZone::fixed(Offset::constant(2)))
    }

    fn when(text: &str) -> String {
        clock().when(text.parse().expect("a timestamp")).words
    }

    #[test]
    fn the_nearer_a_moment_the_shorter_its_words() {
        assert_eq!(when("2026-05-14T12:32:07Z"), "14:32");
        assert_eq!(when("2026-05-13T22:10:00Z"), "00:10");
        assert_eq!(when("2026-05-12T16:40:00Z"), "Tue 18:40");
        assert_eq!(when("2026-05-07T16:40:00Z"), "7 May");
        assert_eq!(when("2025-12-31T12:00:00Z"), "31 Dec 2025");
        assert_eq!(when("2026-05-15T12:00:00Z"), "15 May");
    }

    #[test]
    fn a_moment_has_its_preposition() {
        let spoken = |text: &str| {
            let at: Timestamp = text.parse().expect("a timestamp");
            clock().spoken(at.as_millisecond())
        };
        assert_eq!(spoken("2026-05-14T12:32:07Z"), "at 14:32");
        assert_eq!(spoken("2026-05-12T16:40:00Z"), "on Tue at 18:40");
        assert_eq!(spoken("2026-05-07T16:40:00Z"), "on 7 May");
        assert_eq!(spoken("2025-12-31T12:00:00Z"), "on 31 Dec 2025");
    }

    #[test]
    fn a_whole_stamp_stands_behind_the_words() {
        let html = clock().when("2026-05-14T12:32:07Z".parse().expect("a timestamp")).to_string();
        assert_eq!(
            html,
            "<time datetime=\"2026-05-14T12:32:07Z\" title=\"Thursday 14 May 2026, 14:32:07\">14:32</time>"
        );
        assert_eq!(clock().when_millis(i64::MAX).to_string(), i64::MAX.to_string());
    }

    #[test]
    fn a_moment_is_shown_as_it_was_entered() {
        let words = |text: &str| clock().date_time(text).map(|when| when.words);
        assert_eq!(words("2026-05-14T16:00:00+02:00").as_deref(), Some("Thu 14 May, 16:00"));
        assert_eq!(words("2026-05-14T16:00:00Z").as_deref(), Some("Thu 14 May, 16:00 UTC"));
        assert_eq!(words("2026-05-14T16:00:05-03:30").as_deref(), Some("Thu 14 May, 16:00:05 UTC−3:30"));
        assert_eq!(words("2027-01-02T00:30:00+02:00").as_deref(), Some("Sat 2 Jan 2027, 00:30"));
        assert_eq!(words("tomorrow"), None);
        assert_eq!(words("é"), None);
    }

    #[test]
    fn a_date_that_is_none_stays_text() {
        assert_eq!(clock().date("2026-05-14").map(|when| when.words).as_deref(), Some("Thu 14 May"));
        assert_eq!(clock().date("2025-02-28").map(|when| when.words).as_deref(), Some("Fri 28 Feb 2025"));
        assert_eq!(clock().date("2026-02-30"), None);
        assert_eq!(clock().date(""), None);
    }

    #[test]
    fn a_number_keeps_every_digit() {
        assert_eq!(number("12408.50"), "12,408.50");
        assert_eq!(number("2026"), "2026");
        assert_eq!(number("-1234567"), "−1,234,567");
        assert_eq!(number("1.10"), "1.10");
        assert_eq!(number("9007199254740993"), "9,007,199,254,740,993");
        assert_eq!(number("6.02e+23"), "6.02e+23");
    }

    #[test]
    fn a_property_without_a_title_is_still_called_something() {
        assert_eq!(label("due_date"), "Due date");
        assert_eq!(label("dueDate"), "Due date");
        assert_eq!(label("assigned-to"), "Assigned to");
        assert_eq!(label("WO2"), "WO2");
        assert_eq!(label(""), "(no name)");
        assert_eq!(label("éa"), "Éa");
    }

    #[test]
    fn a_brief_is_one_line_and_no_longer_than_asked() {
        let long = Shown::Lines("Seal weeps\nabout a cup an hour".to_owned());
        assert_eq!(long.brief(80), "Seal weeps about a cup an hour");
        assert_eq!(long.brief(12), "Seal weeps…");
        assert_eq!(Shown::Missing.brief(20), "no answer");
    }

    #[test]
    fn what_was_typed_is_never_markup() {
        let evil = "<img src=x onerror=alert(1)>";
        for shown in
            [Shown::text(evil), Shown::Lines(evil.into()), Shown::Choice(evil.into()), Shown::Json(evil.into())]
        {
            let html = Shown::List(vec![shown]).to_string();
            assert!(!html.contains("<img") && html.contains("&lt;img"), "{html}");
        }
    }
}
