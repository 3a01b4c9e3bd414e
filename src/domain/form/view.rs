//! The controls of a form, ready to be drawn: every name, id, text and message is decided here.

use std::collections::BTreeMap;

use super::base::Base;
use super::build::build;
use super::decode::Context;
use super::keys::KeyMaker;
use super::layout::Layout;
use super::posted::{Action, Posted, Verb};
use super::problems::{self, Problem};
use super::rows;
use crate::domain::FieldError;

/// A form.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Form {
    /// The hidden fields `_base`, `_schema` and `_submission`.
    pub hidden: Vec<(&'static str, String)>,
    pub nodes: Vec<Node>,
    /// What has to be put right, in the order of the form; the form as a whole first.
    pub summary: Vec<Fault>,
    pub is_new: bool,
}

/// One line of the summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The id of the control; empty for the form as a whole.
    pub target: String,
    pub message: String,
}

/// What stands in a form.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Section(Section),
    Rows(Rows),
    Control(Control),
}

/// A nested object.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub head: Head,
    pub nodes: Vec<Node>,
}

/// A list or a repeated group.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    pub head: Head,
    /// The hidden field that says which rows there are.
    pub marker: (String, String),
    pub rows: Vec<Row>,
    /// Rows of one control each.
    pub is_list: bool,
    /// "Add a part"; `None` if there are as many as there may be.
    pub add: Option<String>,
    pub limit: String,
}

/// A row of a list or an item of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    /// Its place as the buttons name it.
    pub name: String,
    /// "1. Seal kit HS-22".
    pub title: String,
    /// "seal kit HS-22", for the labels of buttons.
    pub called: String,
    pub is_first: bool,
    pub is_last: bool,
    pub is_new: bool,
    /// What was just done to it, and it takes the focus: it was moved, or came to the place of one that was removed.
    pub focus: Option<Verb>,
    pub nodes: Vec<Node>,
}

/// One control, or several that make one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    pub head: Head,
    pub input: Input,
}

/// What every part of a form has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The pointer of the value: the name of the control.
    pub name: String,
    /// A short hash of the name.
    pub id: String,
    pub label: String,
    pub hint: Option<String>,
    /// Whether to mark it as optional.
    pub optional: bool,
    pub message: Option<Message>,
    /// It takes the focus: the first control of what was just added, the group that something was removed from.
    pub focus: bool,
}

/// What stands at a control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub text: String,
    pub tone: MessageTone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTone {
    /// It has to be put right before the form can be saved.
    Stop,
    /// It was so before and does not hold up the save.
    Wait,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Line {
        /// The `type` of the element.
        kind: &'static str,
        inputmode: Option<&'static str>,
        text: String,
        unit: Option<String>,
        /// Where seconds are part of the value.
        step: Option<&'static str>,
    },
    Lines {
        text: String,
        rows: usize,
        /// Its text is JSON.
        is_json: bool,
    },
    Moment {
        date: String,
        time: String,
        zone: String,
        with_seconds: bool,
    },
    Options {
        options: Vec<Choice>,
        as_: Options,
    },
    /// One box.
    Tick {
        ticked: bool,
        /// The JSON of what a tick means.
        json: String,
    },
    /// It is shown and not asked.
    Fixed {
        text: String,
        unit: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Options {
    Menu,
    Radio,
    /// Side by side.
    RadioRow,
    /// Several may be chosen.
    Boxes,
}

/// A value that can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub token: String,
    /// The JSON of the value; `None` for "no answer".
    pub json: Option<String>,
    pub label: String,
    pub note: Option<String>,
    pub chosen: bool,
}

impl Form {
    /// The form as it is opened. What is wrong with the record already is told at its controls.
    pub fn open(layout: &Layout, base: &Base, context: Context) -> Self {
        let mut form = build(layout, base, &Posted::default(), context, None);
        let maker = KeyMaker { secret: context.secret, submission: base.submission };
        form.tell(problems::standing(layout, base, maker), MessageTone::Wait);
        form
    }

    /// The form again, with all that was typed and what is wrong with it.
    pub fn again(
        layout: &Layout,
        base: &Base,
        posted: &Posted,
        context: Context,
        errors: Vec<Problem>,
        standing: Vec<Problem>,
    ) -> Self {
        let mut form = build(layout, base, posted, context, None);
        form.tell(standing, MessageTone::Wait);
        form.tell(errors, MessageTone::Stop);
        form
    }

    /// The form again, with all that was typed, changed as the button says. Nothing is judged.
    pub fn reshaped(
        layout: &Layout,
        base: &Base,
        posted: &Posted,
        context: Context,
        action: &Action,
    ) -> Result<Self, FieldError> {
        let mut done = false;
        let mut form = build(layout, base, posted, context, Some((action, &mut done)));
        if done {
            let (group, item) = action.at.rsplit_once('/').unwrap_or_default();
            visit_rows(&mut form.nodes, &mut |rows| match action.verb {
                Verb::Add => {}
                Verb::Remove if rows.head.name == group => {
                    let before = posted.get(&rows::marker(group)).unwrap_or_default();
                    let at = before.split('/').skip(1).position(|key| key == item).unwrap_or(0);
                    let at = at.min(rows.rows.len().saturating_sub(1));
                    match rows.rows.get_mut(at) {
                        Some(row) => row.focus = Some(action.verb),
                        None => rows.head.focus = true,
                    }
                }
                Verb::Remove => {}
                Verb::Up | Verb::Down => {
                    let moved = rows.rows.iter_mut().find(|row| row.name == action.at);
                    moved.into_iter().for_each(|row| row.focus = Some(action.verb));
                }
            });
            return Ok(form);
        }
        Err(FieldError::new("", "name", format!("There is no list or entry {} in this form.", action.at)))
    }

    /// Puts each problem at the nearest control, and those that hold up the save into the summary.
    fn tell(&mut self, problems: Vec<Problem>, tone: MessageTone) {
        if problems.is_empty() {
            return;
        }
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        visit(&mut self.nodes, &mut |head, _| {
            names.entry(head.name.clone()).or_default();
        });
        let mut whole = Vec::new();
        for problem in problems {
            let mut name = problem.name.as_str();
            while !name.is_empty() && !names.contains_key(name) {
                name = name.rfind('/').map_or("", |at| &name[..at]);
            }
            match names.get_mut(name) {
                Some(messages) if !messages.contains(&problem.error.message) => messages.push(problem.error.message),
                Some(_) => {}
                None => whole.push(Fault { target: String::new(), message: problem.error.message }),
            }
        }
        let mut faults = Vec::new();
        visit(&mut self.nodes, &mut |head, target| {
            let messages = names.get(&head.name).map(Vec::as_slice).unwrap_or_default();
            if messages.is_empty() {
                return;
            }
            head.message = Some(Message { text: messages.join(" "), tone });
            faults.extend(messages.iter().map(|text| Fault { target: target.to_owned(), message: text.clone() }));
        });
        if tone == MessageTone::Stop {
            self.summary.extend(whole);
            self.summary.extend(faults);
        }
    }
}

impl Control {
    /// The id of the element that takes the focus.
    pub fn target(&self) -> String {
        let id = &self.head.id;
        match &self.input {
            Input::Moment { date, time, .. } if !date.is_empty() && time.is_empty() => format!("{id}-time"),
            Input::Moment { .. } => format!("{id}-date"),
            Input::Options { options, as_ } if *as_ != Options::Menu => {
                let chosen = options.iter().find(|option| option.chosen).or(options.first());
                format!("{id}-{}", chosen.map_or("", |option| option.token.as_str()))
            }
            _ => id.clone(),
        }
    }
}

fn visit_rows(nodes: &mut [Node], see: &mut dyn FnMut(&mut Rows)) {
    for node in nodes {
        match node {
            Node::Control(_) => {}
            Node::Section(section) => visit_rows(&mut section.nodes, see),
            Node::Rows(rows) => {
                see(rows);
                rows.rows.iter_mut().for_each(|row| visit_rows(&mut row.nodes, see));
            }
        }
    }
}

/// Every head in order, with the id that a link leads to.
fn visit(nodes: &mut [Node], see: &mut dyn FnMut(&mut Head, &str)) {
    for node in nodes {
        match node {
            Node::Control(control) => {
                let target = control.target();
                see(&mut control.head, &target);
            }
            Node::Section(section) => {
                let target = section.head.id.clone();
                see(&mut section.head, &target);
                visit(&mut section.nodes, see);
            }
            Node::Rows(rows) => {
                let target = rows.head.id.clone();
                see(&mut rows.head, &target);
                rows.rows.iter_mut().for_each(|row| visit(&mut row.nodes, see));
            }
        }
    }
}
