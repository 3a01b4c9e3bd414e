//! The controls of a form, ready to be drawn: every name, id, text and message is decided here.

use std::collections::BTreeMap;

use super::base::Base;
use super::decode::Context;
use super::layout::Layout;
use super::posted::{Action, PARKED, Posted, Verb};
use super::problems::{self, Problem};
use super::rows;
use super::walk::walk;
use crate::domain::FieldError;

/// A form.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Form {
    /// The hidden fields, `_base` and others.
    pub hidden: Vec<(&'static str, String)>,
    pub nodes: Vec<Node>,
    /// What has to be put right, in the order of the form; the form as a whole first.
    pub summary: Vec<Fault>,
    pub is_new: bool,
    /// Whether answers decide which controls there are.
    pub is_live: bool,
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
    Chooser(Chooser),
    Control(Control),
}

impl Node {
    pub fn head(&self) -> &Head {
        match self {
            Node::Section(section) => &section.head,
            Node::Rows(rows) => &rows.head,
            Node::Chooser(chooser) => &chooser.head,
            Node::Control(control) => &control.head,
        }
    }

    pub fn head_mut(&mut self) -> &mut Head {
        match self {
            Node::Section(section) => &mut section.head,
            Node::Rows(rows) => &mut rows.head,
            Node::Chooser(chooser) => &mut chooser.head,
            Node::Control(control) => &mut control.head,
        }
    }
}

/// A nested object.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub head: Head,
    pub nodes: Vec<Node>,
    /// Where a button opens and closes it.
    pub closing: Option<Closing>,
}

/// A section that is there only once somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The hidden field that says whether it is open.
    pub marker: String,
    pub is_open: bool,
    /// What it is, in the middle of a sentence.
    pub called: String,
}

/// A choice between branches, or between types, with the controls of what was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Chooser {
    pub head: Head,
    /// The name of the control.
    pub name: String,
    /// How its buttons name it.
    pub button: String,
    pub branches: Vec<Branch>,
    /// Whether nothing may be chosen.
    pub blank: bool,
    pub as_menu: bool,
    /// What was chosen is what nearly everybody wants: the choice stands back.
    pub is_aside: bool,
    /// Where the schema has the branches; empty for types.
    pub(super) holder: String,
    pub(super) chosen: Option<usize>,
    pub nodes: Vec<Node>,
}

/// One of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// What is posted.
    pub token: String,
    pub position: usize,
    pub label: String,
    pub note: Option<String>,
    pub chosen: bool,
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
    /// Rows of a name and a value.
    pub is_free: bool,
    /// They are possible and not asked for: the group stands back.
    pub is_aside: bool,
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
    /// It has its fixed place.
    pub is_slot: bool,
    /// The step of a JSON Pointer that leads to it in the candidate; `None` where it is not in it.
    pub(super) step: Option<String>,
    /// Where its name is asked for.
    pub key: Option<Key>,
    /// What was just done to it, and it takes the focus: it was moved, or came to the place of one that was removed.
    pub focus: Option<Verb>,
    pub nodes: Vec<Node>,
}

/// The control for a property's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub id: String,
    pub text: String,
    pub focus: bool,
    pub fault: Option<Message>,
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
    /// The id of a message about what it is in, which has no control of its own: it is told here, too.
    pub also: Option<String>,
    /// It takes the focus: the first control of what was just added, the group that something was removed from.
    pub focus: bool,
    /// The step of a JSON Pointer that leads to it from what it is in; `None` where it is about the same value.
    pub(super) step: Option<String>,
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
        /// The JSON of the one value there can be; it comes back, so that a program sees what it has.
        json: Option<String>,
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
        let walked = walk(layout, base, &Posted::default(), context, None);
        let standing =
            if base.is_new() { Vec::new() } else { problems::of(layout, &base.document.value, &walked.nodes) };
        let mut form = Self::drawn(base, context, walked);
        form.tell(standing, MessageTone::Wait);
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
        let mut form = Self::drawn(base, context, walk(layout, base, posted, context, None));
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
        let mut done = action.verb == Verb::Refresh;
        let walked = walk(layout, base, posted, context, Some((action, &mut done)));
        let mut form = Self::drawn(base, context, walked);
        if !done {
            let message = match action.verb {
                Verb::Choose => format!("There is nothing of that kind to choose at {}.", action.at),
                _ => format!("There is no list or entry {} in this form.", action.at),
            };
            return Err(FieldError::new("", "name", message));
        }
        let (group, item) = action.at.rsplit_once('/').unwrap_or_default();
        visit_rows(&mut form.nodes, &mut |rows| match action.verb {
            Verb::Remove if rows.head.name == group => {
                let before = posted.get(&rows::marker(group)).unwrap_or_default();
                let at = before.split('/').skip(1).position(|key| key == item).unwrap_or(0);
                let at = at.min(rows.rows.len().saturating_sub(1));
                match rows.rows.get_mut(at) {
                    Some(row) => row.focus = Some(action.verb),
                    None => rows.head.focus = true,
                }
            }
            Verb::Up | Verb::Down => {
                let moved = rows.rows.iter_mut().find(|row| row.name == action.at);
                moved.into_iter().for_each(|row| row.focus = Some(action.verb));
            }
            _ => {}
        });
        if action.verb == Verb::Choose {
            visit_choosers(&mut form.nodes, &mut |chooser| chooser.head.focus |= chooser.button == action.at);
        }
        Ok(form)
    }

    fn drawn(base: &Base, context: Context, walked: super::walk::Form) -> Self {
        let mut hidden = vec![
            ("_base", base.seal(context.secret)),
            ("_schema", base.revision.to_string()),
            ("_submission", base.submission.to_string()),
        ];
        if !walked.parked.is_empty() {
            hidden.push((PARKED, serde_json::to_string(&walked.parked).unwrap_or_default()));
        }
        Self { hidden, nodes: walked.nodes, summary: Vec::new(), is_new: base.is_new(), is_live: walked.is_live }
    }

    /// Puts each problem at the nearest control, and those that hold up the save into the summary.
    fn tell(&mut self, problems: Vec<Problem>, tone: MessageTone) {
        if problems.is_empty() {
            return;
        }
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        visit(&mut self.nodes, &mut |spot, _| {
            names.entry(spot.name().to_owned()).or_default();
        });
        let mut whole = Vec::new();
        for problem in problems {
            let mut name = problem.name.as_str();
            while !name.is_empty() && !names.contains_key(name) {
                name = name.rfind(['/', '#']).map_or("", |at| &name[..at]);
            }
            match names.get_mut(name) {
                Some(messages) if !messages.contains(&problem.error.message) => messages.push(problem.error.message),
                Some(_) => {}
                None => whole.push(Fault { target: String::new(), message: problem.error.message }),
            }
        }
        let mut faults = Vec::new();
        visit(&mut self.nodes, &mut |mut spot, target| {
            // of two places with one name the first has the message
            let Some(messages) = names.remove(spot.name()).filter(|messages| !messages.is_empty()) else { return };
            spot.tell(Message { text: messages.join(" "), tone });
            faults.extend(messages.into_iter().map(|message| Fault { target: target.to_owned(), message }));
        });
        if tone == MessageTone::Stop {
            point(&mut self.nodes, &mut Vec::new());
            if let Some(first) = first_control(&mut self.nodes).filter(|_| !whole.is_empty()) {
                first.head.also = Some(format!("fault-{}", self.summary.len() + 1));
                let target = first.target();
                whole.iter_mut().for_each(|fault| fault.target.clone_from(&target));
            }
            self.summary.extend(whole);
            self.summary.extend(faults);
        }
    }
}

/// What is wrong with a group is told at its first control as well.
fn point(nodes: &mut [Node], told: &mut Vec<String>) {
    for node in nodes {
        let head = node.head();
        let is_wrong = head.message.as_ref().is_some_and(|message| message.tone == MessageTone::Stop);
        if let Node::Control(control) = node {
            if let Some(message) = told.pop().filter(|_| is_asked(control)) {
                control.head.also = Some(message);
                told.clear();
            }
            continue;
        }
        if is_wrong {
            told.push(format!("{}-msg", head.id));
        }
        match node {
            Node::Control(_) => {}
            Node::Section(section) => point(&mut section.nodes, told),
            Node::Chooser(chooser) => point(&mut chooser.nodes, told),
            Node::Rows(rows) => rows.rows.iter_mut().for_each(|row| point(&mut row.nodes, told)),
        }
        told.clear();
    }
}

fn is_asked(control: &Control) -> bool {
    !matches!(control.input, Input::Fixed { .. })
}

fn first_control(nodes: &mut [Node]) -> Option<&mut Control> {
    nodes.iter_mut().find_map(|node| match node {
        Node::Control(control) => is_asked(control).then_some(control),
        Node::Section(section) => first_control(&mut section.nodes),
        Node::Chooser(chooser) => first_control(&mut chooser.nodes),
        Node::Rows(rows) => rows.rows.iter_mut().find_map(|row| first_control(&mut row.nodes)),
    })
}

impl Spot<'_> {
    fn name(&self) -> &str {
        match self {
            Spot::Head(head) => &head.name,
            Spot::Key(key) => &key.name,
        }
    }

    fn tell(&mut self, message: Message) {
        match self {
            Spot::Head(head) => head.message = Some(message),
            Spot::Key(key) => key.fault = Some(message),
        }
    }
}

impl Chooser {
    /// The id of the element that takes the focus.
    pub fn target(&self) -> String {
        if self.as_menu {
            return self.head.id.clone();
        }
        let chosen = self.branches.iter().find(|branch| branch.chosen).or(self.branches.first());
        format!("{}-{}", self.head.id, chosen.map_or("", |branch| branch.token.as_str()))
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
            Node::Chooser(chooser) => visit_rows(&mut chooser.nodes, see),
            Node::Rows(rows) => {
                see(rows);
                rows.rows.iter_mut().for_each(|row| visit_rows(&mut row.nodes, see));
            }
        }
    }
}

fn visit_choosers(nodes: &mut [Node], see: &mut dyn FnMut(&mut Chooser)) {
    for node in nodes {
        match node {
            Node::Control(_) => {}
            Node::Section(section) => visit_choosers(&mut section.nodes, see),
            Node::Rows(rows) => rows.rows.iter_mut().for_each(|row| visit_choosers(&mut row.nodes, see)),
            Node::Chooser(chooser) => {
                see(chooser);
                visit_choosers(&mut chooser.nodes, see);
            }
        }
    }
}

/// What a message can stand at.
enum Spot<'n> {
    Head(&'n mut Head),
    Key(&'n mut Key),
}

/// Every place of a message in order, with its name and the id that a link leads to.
fn visit(nodes: &mut [Node], see: &mut dyn FnMut(Spot, &str)) {
    for node in nodes {
        match node {
            Node::Control(control) => {
                let target = control.target();
                see(Spot::Head(&mut control.head), &target);
            }
            Node::Section(section) => {
                let target = section.head.id.clone();
                see(Spot::Head(&mut section.head), &target);
                visit(&mut section.nodes, see);
            }
            Node::Chooser(chooser) => {
                // what is wrong with the value is told at its control, if it has one
                let is_told_inside = matches!(chooser.nodes.as_slice(), [one] if one.head().name == chooser.head.name);
                if !is_told_inside {
                    let target = chooser.target();
                    see(Spot::Head(&mut chooser.head), &target);
                }
                visit(&mut chooser.nodes, see);
            }
            Node::Rows(rows) => {
                let target = rows.head.id.clone();
                see(Spot::Head(&mut rows.head), &target);
                for row in &mut rows.rows {
                    if let Some(key) = &mut row.key {
                        let target = key.id.clone();
                        see(Spot::Key(key), &target);
                    }
                    visit(&mut row.nodes, see);
                }
            }
        }
    }
}
