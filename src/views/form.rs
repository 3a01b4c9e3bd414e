//! A record's form as HTML: every control labelled, every message at its control, usable without a script.
//!
//! What there is to draw is decided in `domain::form`; here only how it looks. The page around it is
//! [`records::FormPage`](super::records::FormPage).

use std::fmt::{self, Display, Formatter};

use askama::Template;
use askama::filters::HtmlSafe;

use super::part::{self, Escaped};
use crate::domain::form::{
    Chooser, Control, Form, Head, Input, Message, MessageTone, Node, Options, Row, Rows, Section, Verb,
};

#[cfg(test)]
mod tests;

/// The form of a record, with the bar that saves it.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "form/form.html")]
pub struct FormView {
    pub form: Form,
    /// The page's own address.
    pub action: String,
    pub csrf: String,
    /// What the first fields are called where there are several sections: "Work order".
    pub title: String,
    /// "Save work order".
    pub save: String,
    /// Where to go without saving.
    pub leave: String,
    /// What stands in the bar.
    pub state: String,
}
impl HtmlSafe for FormView {}

/// One card of the form, and its line among the sections.
struct Card<'a> {
    anchor: String,
    title: String,
    words: String,
    faults: usize,
    body: Part<'a>,
}

impl FormView {
    fn summary(&self) -> Option<part::Summary> {
        if self.form.summary.is_empty() {
            return None;
        }
        let fault = |fault: &crate::domain::form::Fault| part::Fault {
            target: fault.target.clone(),
            message: fault.message.clone(),
        };
        let faults = self.form.summary.iter().map(fault).collect();
        Some(part::Summary { faults, note: "Everything you typed is still here. Nothing is saved yet.".to_owned() })
    }

    /// Fields that stand alone share a card; each section and each group has its own.
    fn cards(&self) -> Vec<Card<'_>> {
        let mut cards = Vec::new();
        let alone = |node: &Node| matches!(node, Node::Control(_));
        let mut rest = self.form.nodes.as_slice();
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|node| alone(node)).count();
            let (nodes, after) = rest.split_at(count.max(1));
            rest = after;
            let faults = nodes.iter().map(faults).sum();
            let to_do = match faults {
                0 => String::new(),
                1 => "1 to put right".to_owned(),
                more => format!("{more} to put right"),
            };
            let words = |own: String| if faults > 0 { to_do.clone() } else { own };
            cards.push(match first {
                Node::Control(control) => {
                    let title =
                        if cards.is_empty() && !self.title.is_empty() { &self.title } else { &control.head.label };
                    let anchor = format!("{}-card", control.head.id);
                    let plain = PlainView { anchor: anchor.clone(), title: title.clone(), nodes };
                    let fields = if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
                    Card { anchor, title: title.clone(), words: words(fields), faults, body: Part::Plain(plain) }
                }
                Node::Section(section) => Card {
                    anchor: section.head.id.clone(),
                    title: section.head.label.clone(),
                    words: words(if section.head.optional { "optional".to_owned() } else { String::new() }),
                    faults,
                    body: Part::Section(SectionView { section, is_card: true }),
                },
                Node::Chooser(chooser) => Card {
                    anchor: format!("{}-set", chooser.head.id),
                    title: chooser.head.label.clone(),
                    words: words(if chooser.head.optional { "optional".to_owned() } else { String::new() }),
                    faults,
                    body: Part::Chooser(ChooserView::of(chooser, true, false)),
                },
                Node::Rows(rows) => Card {
                    anchor: rows.head.id.clone(),
                    title: rows.head.label.clone(),
                    words: words(match rows.rows.len() {
                        1 => "1 entry".to_owned(),
                        count => format!("{count} entries"),
                    }),
                    faults,
                    body: Part::Rows(RowsView { rows, is_card: true }),
                },
            });
        }
        cards
    }
}

/// How many messages in it hold up the save.
fn faults(node: &Node) -> usize {
    let own = |head: &Head| usize::from(head.message.as_ref().is_some_and(holds_up));
    match node {
        Node::Control(control) => own(&control.head),
        Node::Section(section) => own(&section.head) + section.nodes.iter().map(faults).sum::<usize>(),
        Node::Chooser(chooser) => own(&chooser.head) + chooser.nodes.iter().map(faults).sum::<usize>(),
        Node::Rows(rows) => own(&rows.head) + rows.rows.iter().flat_map(|row| &row.nodes).map(faults).sum::<usize>(),
    }
}

fn holds_up(message: &Message) -> bool {
    message.tone == MessageTone::Stop
}

/// Anything that stands in a form.
enum Part<'a> {
    Plain(PlainView<'a>),
    Section(SectionView<'a>),
    Rows(RowsView<'a>),
    Chooser(ChooserView<'a>),
    Control(ControlView<'a>),
}
impl HtmlSafe for Part<'_> {}

impl Display for Part<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Part::Plain(view) => view.fmt(out),
            Part::Section(view) => view.fmt(out),
            Part::Rows(view) => view.fmt(out),
            Part::Chooser(view) => view.fmt(out),
            Part::Control(view) => view.fmt(out),
        }
    }
}

/// A part of a form inside of another one.
fn part(node: &Node) -> Part<'_> {
    match node {
        Node::Section(section) => Part::Section(SectionView { section, is_card: false }),
        Node::Rows(rows) => Part::Rows(RowsView { rows, is_card: false }),
        Node::Chooser(chooser) => Part::Chooser(ChooserView::of(chooser, false, false)),
        Node::Control(control) => Part::Control(ControlView { control, is_bare: false }),
    }
}

/// The same in a row of a list, whose label is read and not seen.
fn bare(node: &Node) -> Part<'_> {
    match node {
        Node::Control(control) => Part::Control(ControlView { control, is_bare: true }),
        Node::Chooser(chooser) => Part::Chooser(ChooserView::of(chooser, false, true)),
        other => part(other),
    }
}

#[derive(Template)]
#[template(path = "form/_plain.html")]
struct PlainView<'a> {
    anchor: String,
    title: String,
    nodes: &'a [Node],
}

#[derive(Template)]
#[template(path = "form/_section.html")]
struct SectionView<'a> {
    section: &'a Section,
    is_card: bool,
}

impl SectionView<'_> {
    fn is_wrong(&self) -> bool {
        self.section.head.message.as_ref().is_some_and(holds_up)
    }
}

#[derive(Template)]
#[template(path = "form/_chooser.html")]
struct ChooserView<'a> {
    chooser: &'a Chooser,
    is_card: bool,
    is_bare: bool,
    /// Types are chosen, not branches.
    is_typed: bool,
}

impl<'a> ChooserView<'a> {
    fn of(chooser: &'a Chooser, is_card: bool, is_bare: bool) -> Self {
        Self { chooser, is_card, is_bare, is_typed: chooser.name.ends_with("#type") }
    }

    fn is_wrong(&self) -> bool {
        self.chooser.head.message.as_ref().is_some_and(holds_up)
    }

    fn is_chosen(&self) -> bool {
        self.chooser.branches.iter().any(|branch| branch.chosen)
    }

    /// What was chosen has the chooser's label already, unless it is something of its own.
    fn inner<'n>(&self, node: &'n Node) -> Part<'n> {
        let is_same = node.head().name == self.chooser.head.name && node.head().label == self.chooser.head.label;
        if is_same { bare(node) } else { part(node) }
    }

    fn described(&self) -> Piece<impl Fn(&mut Formatter<'_>) -> fmt::Result + '_> {
        let head = &self.chooser.head;
        Piece(move |out: &mut Formatter<'_>| {
            out.write_str(" aria-describedby=\"")?;
            if head.hint.is_some() {
                write!(out, "{}-hint ", head.id)?;
            }
            write!(out, "{}-msg\"", head.id)?;
            if self.is_wrong() { out.write_str(" aria-invalid=\"true\"") } else { Ok(()) }
        })
    }
}

#[derive(Template)]
#[template(path = "form/_rows.html")]
struct RowsView<'a> {
    rows: &'a Rows,
    is_card: bool,
}

impl RowsView<'_> {
    fn is_wrong(&self) -> bool {
        self.rows.head.message.as_ref().is_some_and(holds_up)
    }

    fn button<'r>(&'r self, verb: &'static str, row: &'r Row) -> ButtonView<'r> {
        let (label, icon, is_off) = match verb {
            "up" => (format!("Move {} up", row.called), "up", row.is_first),
            "down" => (format!("Move {} down", row.called), "down", row.is_last),
            _ => (format!("Remove {}", row.called), "trash", false),
        };
        // where it was pressed it can be pressed again; at the end of the way, the other way
        let moves = |moved: Verb, at_end: bool| row.focus == Some(moved) && !at_end;
        let takes_focus = match verb {
            "up" => moves(Verb::Up, row.is_first) || moves(Verb::Down, !row.is_last),
            "down" => moves(Verb::Down, row.is_last) || moves(Verb::Up, !row.is_first),
            _ => false,
        };
        ButtonView { verb, icon, is_off, takes_focus, label, row, rows: &self.rows.head.id }
    }
}

#[derive(Template)]
#[template(path = "form/_button.html")]
struct ButtonView<'a> {
    verb: &'static str,
    icon: &'static str,
    is_off: bool,
    takes_focus: bool,
    label: String,
    row: &'a Row,
    rows: &'a str,
}
impl HtmlSafe for ButtonView<'_> {}

#[derive(Template)]
#[template(path = "form/_message.html")]
struct MessageView<'a> {
    head: &'a Head,
    /// What stands there when there is no message.
    otherwise: String,
}
impl HtmlSafe for MessageView<'_> {}

fn message(head: &Head) -> MessageView<'_> {
    MessageView { head, otherwise: String::new() }
}

#[derive(Template)]
#[template(path = "form/_control.html")]
struct ControlView<'a> {
    control: &'a Control,
    is_bare: bool,
}

/// A piece of markup that is too small for a template.
struct Piece<F>(F);
impl<F: Fn(&mut Formatter<'_>) -> fmt::Result> HtmlSafe for Piece<F> {}

impl<F: Fn(&mut Formatter<'_>) -> fmt::Result> Display for Piece<F> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        (self.0)(out)
    }
}

impl ControlView<'_> {
    fn state(&self) -> Piece<impl Fn(&mut Formatter<'_>) -> fmt::Result> {
        let is_wrong = self.control.head.message.as_ref().is_some_and(holds_up);
        Piece(move |out: &mut Formatter<'_>| if is_wrong { out.write_str(" data-state=\"error\"") } else { Ok(()) })
    }

    /// `aria-describedby`, `aria-invalid`.
    fn described(&self) -> Piece<impl Fn(&mut Formatter<'_>) -> fmt::Result + '_> {
        let head = &self.control.head;
        Piece(move |out: &mut Formatter<'_>| {
            out.write_str(" aria-describedby=\"")?;
            if head.hint.is_some() {
                write!(out, "{}-hint ", head.id)?;
            }
            write!(out, "{}-msg", head.id)?;
            if let Some(also) = &head.also {
                write!(out, " {also}")?;
            }
            out.write_str("\"")?;
            if head.also.is_some() || head.message.as_ref().is_some_and(holds_up) {
                out.write_str(" aria-invalid=\"true\"")?;
            }
            Ok(())
        })
    }

    /// The same for the element that takes the focus.
    fn focused(&self) -> Piece<impl Fn(&mut Formatter<'_>) -> fmt::Result + '_> {
        let focus = self.control.head.focus;
        Piece(move |out: &mut Formatter<'_>| {
            self.described().fmt(out)?;
            if focus { out.write_str(" autofocus") } else { Ok(()) }
        })
    }

    fn label(&self) -> Piece<impl Fn(&mut Formatter<'_>) -> fmt::Result + '_> {
        let head = &self.control.head;
        Piece(move |out: &mut Formatter<'_>| {
            let unseen = if self.is_bare { " class=\"unseen\"" } else { "" };
            write!(out, "<label for=\"{}\"{unseen}>{}", head.id, Escaped(&head.label))?;
            if head.optional {
                out.write_str(" <small>optional</small>")?;
            }
            write!(out, "</label>{}", self.hint())
        })
    }

    fn hint(&self) -> Piece<impl Fn(&mut Formatter<'_>) -> fmt::Result + '_> {
        let head = &self.control.head;
        Piece(move |out: &mut Formatter<'_>| match &head.hint {
            Some(hint) => write!(out, "<p class=\"hint\" id=\"{}-hint\">{}</p>", head.id, Escaped(hint)),
            None => Ok(()),
        })
    }

    fn message(&self) -> MessageView<'_> {
        message(&self.control.head)
    }

    fn message_or(&self, otherwise: String) -> MessageView<'_> {
        MessageView { head: &self.control.head, otherwise }
    }

    fn zone_words(&self, zone: &str) -> String {
        match zone {
            "" => String::new(),
            "Z" | "z" | "+00:00" | "-00:00" => "UTC".to_owned(),
            zone => format!("UTC{zone}"),
        }
    }

    fn json_words(&self, is_json: &bool) -> String {
        if *is_json { "JSON: text stands in double quotes.".to_owned() } else { String::new() }
    }

    /// Whether the browser's own control can show the text; otherwise it would be dropped.
    fn is_date(&self, text: &str) -> bool {
        text.is_empty() || crate::domain::form::is_date(text)
    }

    fn is_time(&self, text: &str) -> bool {
        text.is_empty() || crate::domain::form::is_time(text)
    }
}
