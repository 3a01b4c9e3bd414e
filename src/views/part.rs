//! The small parts that pages share: icons, chips, people, times, links, form fields, what happened and what stands against what.
//!
//! Each is a struct that writes its own markup, so a template places it with `{{ part }}` and no page spells it twice.

use std::fmt::{self, Display, Formatter, Write};

use askama::Template;
use askama::filters::HtmlSafe;

use super::assets;
use super::value::Shown;

/// Markup that was rendered by a trusted template already, such as the body of a form.
///
/// Never wrap what a person typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(pub String);

impl Display for Markup {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
impl HtmlSafe for Markup {}

/// Writes text as HTML, in an element or in a quoted attribute.
pub(super) struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                c => out.write_char(c)?,
            }
        }
        Ok(())
    }
}
impl HtmlSafe for Escaped<'_> {}

/// A sentence in which `…` between backticks is code, as in the API's document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prose(pub String);

impl Display for Prose {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let pieces: Vec<&str> = self.0.split('`').collect();
        for (at, piece) in pieces.iter().enumerate() {
            let is_code = at % 2 == 1 && at + 1 < pieces.len();
            match (is_code, at % 2) {
                (true, _) => write!(out, "<code>{}</code>", Escaped(piece))?,
                // a backtick without a partner stays what it is
                (false, 1) => write!(out, "`{}", Escaped(piece))?,
                (false, _) => write!(out, "{}", Escaped(piece))?,
            }
        }
        Ok(())
    }
}
impl HtmlSafe for Prose {}

/// An icon of `icons.svg`, always beside words or inside something that has a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icon {
    name: &'static str,
    small: bool,
}

/// The icon of that name, at the size of text on a button.
pub fn icon(name: &'static str) -> Icon {
    Icon { name, small: false }
}

/// The same, smaller: beside notes and in table heads.
pub fn small_icon(name: &'static str) -> Icon {
    Icon { name, small: true }
}

impl Display for Icon {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let size = if self.small { " data-size=\"s\"" } else { "" };
        write!(
            out,
            "<svg class=\"icon\"{size} aria-hidden=\"true\"><use href=\"{}#{}\"/></svg>",
            assets::icons(),
            self.name
        )
    }
}
impl HtmlSafe for Icon {}

/// The icon of a type, guessed from its name; a list where nothing fits.
pub fn type_icon(type_name: &str) -> &'static str {
    const KNOWN: &[(&str, &[&str])] = &[
        ("wrench", &["work", "repair", "maint", "job", "task"]),
        ("clipboard", &["inspect", "check", "audit", "visit", "survey"]),
        ("pulse", &["vital", "patient", "health", "clinic", "reading"]),
        ("people", &["person", "people", "staff", "contact", "customer"]),
        ("hub", &["site", "place", "location", "station"]),
    ];
    KNOWN
        .iter()
        .find(|(_, words)| words.iter().any(|word| type_name.contains(word)))
        .map_or("records", |(icon, _)| icon)
}

/// What a state means; the colour follows from it, the words stand beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Info,
    Ok,
    Wait,
    Stop,
    Merge,
}

impl Display for Tone {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Tone::Plain => "plain",
            Tone::Info => "info",
            Tone::Ok => "ok",
            Tone::Wait => "wait",
            Tone::Stop => "stop",
            Tone::Merge => "merge",
        })
    }
}
impl HtmlSafe for Tone {}

/// A word of state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chip {
    pub tone: Tone,
    pub icon: Option<&'static str>,
    pub words: String,
}

impl Chip {
    pub fn new(tone: Tone, words: impl Into<String>) -> Chip {
        Chip { tone, icon: None, words: words.into() }
    }

    pub fn with_icon(self, icon: &'static str) -> Chip {
        Chip { icon: Some(icon), ..self }
    }
}

impl Display for Chip {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "<span class=\"chip\" data-tone=\"{}\">", self.tone)?;
        if let Some(name) = self.icon {
            write!(out, "{}", icon(name))?;
        }
        write!(out, "{}</span>", Escaped(&self.words))
    }
}
impl HtmlSafe for Chip {}

/// A person by name; the disc with initials is decoration beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub initials: String,
    /// 0 to 4, the same for the same name everywhere.
    pub hue: u8,
}

impl Person {
    /// Initials and hue follow from the name; an e-mail address counts as a name up to its `@`.
    pub fn named(name: impl Into<String>) -> Person {
        let name = name.into();
        let plain = name.split('@').next().unwrap_or_default();
        let mut words = plain.split(|c: char| !c.is_alphanumeric()).filter_map(|word| word.chars().next());
        let (first, last) = (words.next(), words.next_back());
        let initials: String = first.into_iter().chain(last).flat_map(char::to_uppercase).collect();
        let sum = name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let initials = if initials.is_empty() { "?".to_owned() } else { initials };
        Person { name, initials, hue: (sum % 5) as u8 }
    }

    /// The disc alone, where the name is written beside it.
    pub fn disc(&self) -> Disc<'_> {
        Disc { person: self, large: false }
    }

    /// The disc of the bar.
    pub fn large_disc(&self) -> Disc<'_> {
        Disc { person: self, large: true }
    }
}

/// See [`Person::disc`].
pub struct Disc<'a> {
    person: &'a Person,
    large: bool,
}

impl Display for Disc<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let size = if self.large { " data-size=\"l\"" } else { "" };
        let Person { initials, hue, .. } = self.person;
        write!(out, "<span class=\"person\" data-hue=\"{hue}\"{size} aria-hidden=\"true\">{}</span>", Escaped(initials))
    }
}
impl HtmlSafe for Disc<'_> {}

impl Display for Person {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "<span class=\"by\">{} <span>{}</span></span>", self.disc(), Escaped(&self.name))
    }
}
impl HtmlSafe for Person {}

/// A moment in the words a reader uses, with the whole of it for whoever points at it and for machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// "14:32", "Tue 18:40", "2 May".
    pub words: String,
    /// "Thursday 14 May 2026, 14:32:07".
    pub full: String,
    /// RFC 3339.
    pub machine: String,
}

impl Display for When {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.machine.is_empty() {
            return write!(out, "{}", Escaped(&self.words));
        }
        write!(
            out,
            "<time datetime=\"{}\" title=\"{}\">{}</time>",
            Escaped(&self.machine),
            Escaped(&self.full),
            Escaped(&self.words)
        )
    }
}
impl HtmlSafe for When {}

/// Words that lead somewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub href: String,
    pub words: String,
}

impl Link {
    pub fn to(href: impl Into<String>, words: impl Into<String>) -> Link {
        Link { href: href.into(), words: words.into() }
    }
}

impl Display for Link {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "<a href=\"{}\">{}</a>", Escaped(&self.href), Escaped(&self.words))
    }
}
impl HtmlSafe for Link {}

/// A link of a row of tabs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tab {
    pub href: String,
    pub words: String,
    pub count: Option<Total>,
    pub current: bool,
}

/// How many there are, counted to the end or only so far: "1,284", "200+".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    pub n: u64,
    /// There are more than `n`.
    pub more: bool,
}

impl From<u64> for Total {
    fn from(n: u64) -> Total {
        Total { n, more: false }
    }
}

impl Display for Total {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", grouped(self.n), if self.more { "+" } else { "" })
    }
}
impl HtmlSafe for Total {}

/// How far a save has travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// On this node alone.
    Here,
    /// At the hub, on some sites or none.
    Hub,
    /// Wherever it should be.
    Sites,
    /// The hub set it aside; it is kept here.
    Refused,
}

/// How far a save has travelled, in words: "Saved here 14:32, not yet at hub".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    pub stage: Stage,
    pub words: String,
}

impl Reach {
    pub fn new(stage: Stage, words: impl Into<String>) -> Reach {
        Reach { stage, words: words.into() }
    }
}

impl Display for Reach {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (state, name) = match self.stage {
            Stage::Here => ("here", "reach-1"),
            Stage::Hub => ("hub", "reach-2"),
            Stage::Sites => ("sites", "reach-3"),
            Stage::Refused => ("refused", "stop"),
        };
        write!(
            out,
            "<span class=\"reach\" data-reach=\"{state}\">{} <span>{}</span></span>",
            icon(name),
            Escaped(&self.words)
        )
    }
}
impl HtmlSafe for Reach {}

/// Something about the whole page that a person must know. At most one is shown, the gravest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/banner.html")]
pub struct Banner {
    pub tone: Tone,
    pub icon: &'static str,
    /// What is so, as a sentence.
    pub strong: String,
    /// What it does not affect, and what happens next.
    pub text: String,
    pub action: Option<Link>,
}
impl HtmlSafe for Banner {}

/// A button that posts: the form around it, where it goes and what it sends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/post.html")]
pub struct Post {
    pub action: String,
    pub csrf: String,
    /// The value of `_do`.
    pub verb: &'static str,
    /// Further hidden fields.
    pub fields: Vec<(String, String)>,
    pub words: String,
    pub icon: Option<&'static str>,
    /// `primary`, `quiet`, `danger`, or nothing.
    pub kind: &'static str,
}
impl HtmlSafe for Post {}

/// What was just done, with the way back where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toast {
    pub words: String,
    pub undo: Option<Post>,
}

/// Nothing to show: why, and the first thing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/empty.html")]
pub struct Empty {
    pub icon: &'static str,
    pub title: String,
    pub text: String,
    pub action: Option<Link>,
}
impl HtmlSafe for Empty {}

/// A labelled control of the product's own pages (a record's form has its own, richer ones).
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/entry.html")]
pub struct Entry {
    /// Unique on the page.
    pub id: String,
    pub name: &'static str,
    pub label: &'static str,
    /// `text`, `email`, `password`, `select`.
    pub kind: &'static str,
    pub value: String,
    pub hint: &'static str,
    pub optional: bool,
    pub autocomplete: &'static str,
    /// For `select`: value and words.
    pub choices: Vec<(String, String)>,
    pub error: Option<String>,
}
impl HtmlSafe for Entry {}

/// A message that leads to the control it concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// The `id` of the control.
    pub target: String,
    pub message: String,
}

/// The summary of errors at the top of a refused form; takes the focus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/summary.html")]
pub struct Summary {
    pub faults: Vec<Fault>,
    /// A sentence below the heading, such as that nothing typed was lost.
    pub note: String,
}
impl HtmlSafe for Summary {}

impl Summary {
    /// The summary of whatever is wrong with these controls, or nothing when all is well.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Summary> {
        let fault = |entry: &Entry| {
            entry.error.as_ref().map(|message| Fault { target: entry.id.clone(), message: message.clone() })
        };
        let faults: Vec<Fault> = entries.into_iter().filter_map(fault).collect();
        (!faults.is_empty()).then_some(Summary { faults, note: String::new() })
    }

    /// "One thing to put right", "12 things to put right".
    pub fn heading(&self) -> String {
        match self.faults.len() {
            1 => "One thing to put right".to_owned(),
            n => format!("{} to put right", counted(n as u64, "thing", "things")),
        }
    }
}

/// One value of a field before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    pub label: String,
    pub old: Option<Shown>,
    pub new: Option<Shown>,
}

/// One thing that happened, in a time line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/happening.html")]
pub struct Happening {
    /// What it means; `Plain` is an open dot.
    pub tone: Tone,
    /// Who did it; empty when it happened by itself.
    pub who: String,
    /// "saved 3 fields".
    pub what: String,
    /// What it was done to, where that isn't the page itself.
    pub subject: Option<Link>,
    pub changes: Vec<Change>,
    pub at: When,
    /// "on Platform 7, offline · reached hub 13:40".
    pub place: String,
}
impl HtmlSafe for Happening {}

/// One of two values that met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    pub value: Shown,
    pub by: Option<Person>,
    pub at: When,
    /// "on Platform 7".
    pub place: String,
    /// A remark on it, such as that the device's clock was wrong.
    pub remark: String,
}

/// A kept and a lost value side by side, with what can be done about them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/versus.html")]
pub struct Versus {
    /// The id of the lost value, as in `/conflicts/{id}`.
    pub id: String,
    pub csrf: String,
    pub kept: Side,
    pub lost: Side,
    /// "Bring back 16 May".
    pub restore_words: String,
    /// "Fine as it is".
    pub keep_words: String,
    /// The type says that people choose: it is not waved through.
    pub asks: bool,
    /// Whether this person may decide.
    pub may_decide: bool,
    /// Where the browser goes afterwards.
    pub back: String,
}
impl HtmlSafe for Versus {}

impl Versus {
    /// Both sides as they are drawn: value, meaning, heading, icon.
    pub fn sides(&self) -> [(&Side, Tone, &'static str, &'static str); 2] {
        if self.asks {
            return [(&self.kept, Tone::Merge, "One answer", "merge"), (&self.lost, Tone::Merge, "Another", "merge")];
        }
        [(&self.kept, Tone::Ok, "Kept", "check"), (&self.lost, Tone::Merge, "Lost", "merge")]
    }
}

/// Something worth a look: a row that leads on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer {
    pub tone: Tone,
    pub icon: &'static str,
    pub href: String,
    pub title: String,
    pub text: String,
}

/// A node and how it stands, in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Template)]
#[template(path = "part/node.html")]
pub struct NodeRow {
    pub tone: Tone,
    /// `hub`, `edge`, or `cut` when out of reach.
    pub icon: &'static str,
    pub name: String,
    /// "In step · spoke 14:31".
    pub words: String,
}
impl HtmlSafe for NodeRow {}

/// A whole number of something, however often a template has borrowed it.
pub trait Count {
    fn count(&self) -> u64;
}

impl Count for u64 {
    fn count(&self) -> u64 {
        *self
    }
}

impl<T: Count> Count for &T {
    fn count(&self) -> u64 {
        (*self).count()
    }
}

/// A whole number with its thousands apart: `12,408`.
pub fn grouped(n: impl Count) -> String {
    let digits = n.count().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 save", "1,204 saves".
pub fn counted(n: impl Count, one: &str, many: &str) -> String {
    let n = n.count();
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_people_and_chips_escapes_what_was_typed() {
        let person = Person::named("<b>Ada</b> O'Neil");
        assert!(person.to_string().contains("&lt;b&gt;Ada&lt;/b&gt; O&#39;Neil"));
        let link = Link::to("/x?a=\"b\"", "<i>").to_string();
        assert_eq!(link, "<a href=\"/x?a=&quot;b&quot;\">&lt;i&gt;</a>");
    }

    #[test]
    fn code_in_prose_needs_both_of_its_backticks() {
        let html = |words: &str| Prose(words.to_owned()).to_string();
        assert_eq!(html("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
        assert_eq!(html("a `b"), "a `b");
        assert_eq!(html("`a` `b` `"), "<code>a</code> <code>b</code> `");
        assert_eq!(html(""), "");
    }

    #[test]
    fn initials_are_the_first_and_the_last_word() {
        let initials = |name: &str| Person::named(name).initials;
        assert_eq!(initials("Mei Tanaka"), "MT");
        assert_eq!(initials("Ana María de la Cruz"), "AC");
        assert_eq!(initials("ingrid@demo.example"), "I");
        assert_eq!(initials("  "), "?");
        assert_eq!(Person::named("Mei Tanaka").hue, Person::named("Mei Tanaka").hue);
    }

    #[test]
    fn counts_are_grouped_and_agree_with_their_noun() {
        assert_eq!(counted(1u64, "save", "saves"), "1 save");
        assert_eq!(counted(0u64, "save", "saves"), "0 saves");
        assert_eq!(counted(1_204_000u64, "save", "saves"), "1,204,000 saves");
        assert_eq!(grouped(999u64), "999");
    }
}
