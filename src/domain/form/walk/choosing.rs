//! Values of which a person first says what they are: one of several branches, or one of several types.

use serde_json::{Map, Value};

use super::super::field::Field;
use super::super::posted::{Action, Posted, Verb};
use super::super::problems::Problem;
use super::super::say::{self, Say};
use super::super::view::{self, Branch, Head, Node};
use super::super::ways;
use super::{Ask, Outcome, Turn, Walk, Walked, id, over};
use crate::domain::FieldError;
use crate::domain::schema::{Parts, Types};

/// Branches up to this many are laid out side by side.
const SIDE_BY_SIDE: usize = 6;

/// The types in the order in which they are offered: the word that is posted, and what people read.
const TYPES: [(Types, &str, &str); 6] = [
    (Types::STRING, "string", "Text"),
    (Types::NUMBER, "number", "Number"),
    (Types::BOOLEAN, "boolean", "Yes or no"),
    (Types::ARRAY, "array", "List"),
    (Types::OBJECT, "object", "Named fields"),
    (Types::NULL, "null", "Nothing"),
];

/// What a chooser's name ends with. The first of a value is plain, so that its name does not depend on the schema.
fn part_of(parts: &Parts, chooser: &say::Chooser, is_first: bool) -> String {
    if is_first {
        return "choice".to_owned();
    }
    let place = format!("{}/{}", parts[chooser.holder].pointer, chooser.word);
    format!("choice-{}", &id(&place)[1..7])
}

/// How a button names the chooser whose control has this name.
fn at_of(name: &str, part: &str) -> String {
    if part == "choice" { name.to_owned() } else { format!("{name}#{part}") }
}

/// The branch that was posted or pressed. What is no number of a branch is found by [`Walk::chooser`].
fn said(posted: &Posted, action: Option<&Action>, name: &str, part: &str) -> Option<Option<usize>> {
    let at = at_of(name, part);
    if let Some(Action { verb: Verb::Choose, number: Some(number), .. }) = action.filter(|action| action.at == at) {
        return Some(Some(*number));
    }
    let text = posted.get(&format!("{name}#{part}"))?;
    Some(text.parse().ok())
}

impl<'a> Walk<'a> {
    /// How it is known which branch of the value here was chosen.
    pub(super) fn choices(&self) -> impl Fn(&say::Chooser, bool) -> Option<Option<usize>> + use<'a> {
        let (parts, posted, name) = (self.parts, self.posted, self.name.clone());
        let action: Option<&'a Action> = self.action.as_ref().map(|(action, _)| *action);
        move |chooser, is_first| said(posted, action, &name, &part_of(parts, chooser, is_first))
    }

    /// Whether somebody chose another branch than the value was shown with.
    pub(super) fn has_chosen_anew(&self, turn: &Turn) -> bool {
        turn.say.choosers.iter().enumerate().any(|(at, chooser)| self.is_chosen_anew(turn, at, chooser))
    }

    fn is_chosen_anew(&self, turn: &Turn, at: usize, chooser: &say::Chooser) -> bool {
        let said = said(self.posted, self.pressed(), &self.name, &part_of(self.parts, chooser, at == 0));
        let same = |other: &&say::Chooser| other.holder == chooser.holder && other.word == chooser.word;
        let before = turn.was.and_then(|was| was.choosers.iter().find(same)).and_then(|other| other.chosen);
        said.is_some() && chooser.chosen != before
    }

    fn pressed(&self) -> Option<&'a Action> {
        self.action.as_ref().map(|(action, _)| *action)
    }

    /// A value that is no object, or not yet: the choosers around the control of what was chosen.
    pub(super) fn chosen(&mut self, ask: &Ask, turn: &mut Turn<'_, 'a>, field: Field) -> Walked {
        let say = turn.say;
        let is_anew = self.has_chosen_anew(turn);
        let is_open = say.choosers.iter().any(|chooser| chooser.chosen.is_none());
        let (label, required) = (field.label.clone(), field.required);
        let mut walked = if is_open {
            Walked::nothing()
        } else {
            // what does not fit the branch that was chosen does not come with it
            let fits = |base: &&Value| {
                !is_anew
                    || say
                        .choosers
                        .iter()
                        .all(|chooser| chooser.chosen.is_none_or(|at| self.parts.holds(chooser.branches[at], base)))
            };
            let base = ask.base.filter(fits);
            let inner =
                Ask { base, required: true, fresh: ask.fresh || is_anew, defaults: ask.defaults || is_anew, ..*ask };
            let plain = Field { hint: None, ..Field::of(say, ask.called, true) };
            let walked = self.plain(&inner, turn, plain);
            match (walked.outcome, base) {
                (Outcome::Keep, None) if is_anew => {
                    let outcome = lone(say).map_or(Outcome::Keep, Outcome::Is);
                    over(Walked { outcome, ..walked }, ask.base)
                }
                (Outcome::Keep, Some(base)) if ask.base.is_none() => {
                    Walked { outcome: Outcome::Is(base.clone()), ..walked }
                }
                (outcome, None) => over(Walked { outcome, ..walked }, ask.base),
                (outcome, Some(_)) => Walked { outcome, ..walked },
            }
        };
        if is_open && is_anew && ask.base.is_some() {
            walked.outcome = Outcome::Absent;
        }
        let mut nodes: Vec<Node> = walked.node.take().into_iter().collect();
        for at in (0..say.choosers.len()).rev() {
            let node = self.chooser(say, at, &label, required, nodes, &mut walked.problems);
            nodes = vec![node];
        }
        if let Some(Node::Chooser(chooser)) = nodes.first_mut() {
            chooser.head.hint = field.hint.clone();
            chooser.head.optional = !required;
        }
        Walked { node: nodes.pop(), partial: None, ..walked }
    }

    /// The control of a chooser, with what was chosen in it.
    pub(super) fn chooser(
        &mut self,
        say: &Say<'a>,
        at: usize,
        label: &str,
        required: bool,
        nodes: Vec<Node>,
        problems: &mut Vec<Problem>,
    ) -> Node {
        let chooser = &say.choosers[at];
        let part = part_of(self.parts, chooser, at == 0);
        let name = format!("{}#{part}", self.name);
        let posted = self.part(&part, problems);
        let known = |text: &str| text.parse().is_ok_and(|at| chooser.possible.contains(&at));
        if posted.is_some_and(|text| !text.is_empty() && !known(text)) {
            problems.push(Problem::at(&self.name, FieldError::new(&name, "enum", "Choose one of the kinds on offer.")));
        }
        let button = at_of(&self.name, &part);
        if let Some((action, done)) = &mut self.action
            && action.verb == Verb::Choose
            && action.at == button
            && action.number.is_some_and(|number| chooser.possible.contains(&number))
        {
            **done = true;
        }
        let mut branches: Vec<Branch> = Vec::new();
        for &position in &chooser.possible {
            let branch = chooser.branches[position];
            let mut label = ways::called(self.parts, branch);
            if branches.iter().any(|other| other.label == label) {
                label = format!("{label} ({})", position + 1);
            }
            let note = self.parts[branch].text("description").map(str::to_owned);
            branches.push(Branch {
                token: position.to_string(),
                position,
                label,
                note,
                chosen: chooser.chosen == Some(position),
            });
        }
        let label = self.parts[chooser.holder].text("title").filter(|_| at > 0).unwrap_or(label);
        Node::Chooser(view::Chooser {
            head: Head {
                name: self.name.clone(),
                id: format!("{}-{part}", id(&self.name)),
                label: label.to_owned(),
                ..Head::default()
            },
            as_menu: branches.len() > SIDE_BY_SIDE,
            is_aside: false,
            blank: !required || chooser.chosen.is_none(),
            holder: format!("{}/{}", self.parts[chooser.holder].pointer, chooser.word),
            chosen: chooser.chosen,
            name,
            button,
            branches,
            nodes,
        })
    }

    /// A value of one of several types, the type chosen first. Where it is only that no type was said, and all else speaks of one,
    /// that one is the `usual`.
    pub(super) fn of_type(
        &mut self,
        ask: &Ask,
        turn: &mut Turn<'_, 'a>,
        field: Field,
        types: Types,
        usual: Option<Types>,
    ) -> Walked {
        let offered: Vec<_> = TYPES.into_iter().filter(|(own, ..)| types.has(*own)).collect();
        let mut problems = Vec::new();
        let posted = self.part("type", &mut problems);
        let mut said = posted.and_then(|text| offered.iter().find(|(_, word, _)| *word == text)).map(|(own, ..)| *own);
        if posted.is_some_and(|text| !text.is_empty()) && said.is_none() {
            let error = FieldError::new(format!("{}#type", self.name), "enum", "Choose one of the types on offer.");
            problems.push(Problem::at(&self.name, error));
        }
        // a branch of the same value may have been chosen before
        let button = if turn.say.choosers.is_empty() { self.name.clone() } else { format!("{}#type", self.name) };
        if let Some((action, done)) = &mut self.action
            && action.verb == Verb::Choose
            && action.at == button
            && let Some((own, ..)) = action.number.and_then(|number| offered.get(number))
        {
            **done = true;
            said = Some(*own);
        }
        let of_base = ask.base.map(Types::of_value).filter(|own| offered.iter().any(|(other, ..)| other == own));
        let is_offered = |own: &Types| offered.iter().any(|(other, ..)| other == own);
        let unsaid = usual.or_else(|| [Types::STRING, Types::NUMBER].into_iter().find(is_offered));
        let unsaid = unsaid.filter(|_| ask.base.is_none());
        let chosen = said.or(of_base).or(unsaid);
        let is_anew = said.is_some() && said != of_base.or(unsaid);
        let label = field.label.clone();
        self.is_live = true;
        let mut field = field;
        let (required, hint) = (field.required, field.hint.take());
        let walked = match chosen {
            Some(Types::NULL) => {
                let outcome = if ask.base == Some(&Value::Null) { Outcome::Keep } else { Outcome::Is(Value::Null) };
                Walked { outcome, ..Walked::nothing() }
            }
            Some(one) => {
                let base = ask.base.filter(|_| of_base == Some(one));
                let inner = Ask { base, fresh: ask.fresh || is_anew, defaults: ask.defaults && !is_anew, ..*ask };
                let walked = self.as_type(&inner, turn, field, Some(one));
                let empty = match one {
                    Types::ARRAY => Some(Value::Array(Vec::new())),
                    Types::OBJECT => Some(Value::Object(Map::new())),
                    _ => None,
                };
                match (&walked.outcome, empty) {
                    (Outcome::Keep, Some(empty)) if is_anew => Walked { outcome: Outcome::Is(empty), ..walked },
                    _ if base.is_none() => over(walked, ask.base),
                    _ => walked,
                }
            }
            None if ask.base.is_some() => self.as_type(ask, turn, field, None),
            None => Walked::nothing(),
        };
        problems.extend(walked.problems);
        let branch = |(position, (own, word, label)): (usize, (Types, &str, &str))| Branch {
            token: word.to_owned(),
            position,
            label: label.to_owned(),
            note: None,
            chosen: chosen == Some(own),
        };
        let node = view::Chooser {
            head: Head {
                name: self.name.clone(),
                id: format!("{}-type", id(&self.name)),
                label,
                hint,
                optional: !required,
                ..Head::default()
            },
            name: format!("{}#type", self.name),
            button,
            branches: offered.into_iter().enumerate().map(branch).collect(),
            blank: chosen.is_none(),
            as_menu: true,
            is_aside: usual.is_some() && chosen == usual,
            holder: String::new(),
            chosen: None,
            nodes: walked.node.into_iter().collect(),
        };
        Walked { node: Some(Node::Chooser(node)), problems, partial: walked.partial, outcome: walked.outcome }
    }
}

/// The only value that there can be, where nothing is asked.
fn lone(say: &Say) -> Option<Value> {
    match say.word("const") {
        Some(value) => Some(value.clone()),
        None => (say.types() == Types::NULL).then_some(Value::Null),
    }
}
