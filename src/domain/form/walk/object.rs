//! Objects: their properties in order, what chosen branches add, and rows for properties whose names nobody knows beforehand.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::field::Field;
use super::super::kinds::{PARTS, is_part};
use super::super::options::short;
use super::super::posted::Verb;
use super::super::problems::Problem;
use super::super::rows;
use super::super::say::{Free, Heads, Named, Say};
use super::super::view::{Closing, Control, Head, Input, Key, Node, Row, Rows, Section};
use super::super::ways;
use super::list::{adding, first_text};
use super::{Ask, Outcome, Turn, Walk, Walked, id};
use crate::domain::FieldError;
use crate::domain::json;
use crate::domain::path::{ItemKey, Segment, escape};
use crate::domain::schema::{Shape, Types};

/// An object, put together.
struct Built<'v> {
    map: Cow<'v, Map<String, Value>>,
    changed: bool,
    /// Whether somebody, or a default that was shown, gave it an answer.
    answered: bool,
    /// What is drawn, and the chooser that it belongs to.
    nodes: Vec<(Option<usize>, Node)>,
    problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    pub(super) fn object(&mut self, ask: &Ask, turn: &mut Turn<'_, 'a>, field: &Field) -> Walked {
        let say = turn.say;
        let empty = Map::new();
        let was = ask.base.and_then(Value::as_object);
        let own = was.unwrap_or(&empty);
        let mut problems = Vec::new();
        let closing = match self.closing(ask, &field.in_sentence(), was.is_some(), &mut problems) {
            Ok(closing) => closing,
            Err(closed) => {
                let head = self.head(field);
                let outcome = if was.is_some() { Outcome::Absent } else { Outcome::Keep };
                let node = Node::Section(Section { head, nodes: Vec::new(), closing: Some(closed) });
                return Walked { node: Some(node), outcome, problems, partial: None };
            }
        };
        let was_opened = closing.is_some() && was.is_none();
        let head = self.head(field);
        let anew = turn.was.is_some() && self.has_chosen_anew(turn);
        let chose = turn.say.choosers.iter().any(|chooser| chooser.chosen.is_some()) && self.has_chosen_anew(turn);
        let fresh = was.is_none() || ask.fresh;
        let known = turn.known.and_then(Value::as_object);
        let mut named = say.named(known);
        self.rename(&mut named, say);
        let given = if was_opened { Some(Map::new()) } else { self.given(ask, field, &named) };
        let mut built = Built { map: Cow::Borrowed(own), changed: false, answered: false, nodes: Vec::new(), problems };
        let mut fixed: Vec<(&Named, Value)> = Vec::new();
        let open = self.recursive(ask.heads);
        self.open.push(open);
        let odd: Vec<&str> = named
            .iter()
            .map(|one| &*one.name)
            .chain(own.keys().map(String::as_str))
            .filter(|name| name.contains('#'))
            .collect();
        let mut memo = std::mem::take(turn.memo);
        for property in &named {
            let value = own.get(&property.name);
            if property.name.contains('\r') && named.iter().any(|other| is_sent_alike(&other.name, &property.name)) {
                // a browser could not tell the two apart; what is there stays
                continue;
            }
            let known = memo.remove(&property.name);
            let known = known.filter(|(heads, required, _)| *heads == property.heads && *required == property.required);
            let (_, _, walked) = known.unwrap_or_else(|| {
                let ask = Ask {
                    heads: &property.heads,
                    called: &property.name,
                    required: property.required,
                    base: value,
                    given: given.as_ref().and_then(|given| given.get(&property.name)),
                    fresh,
                    defaults: given.is_some() || (anew && property.under.is_some()),
                    shape: ask.shape.property(&property.name),
                    is_item: false,
                    is_whole: is_cut(&property.name, &odd),
                };
                let name = Segment::Property(property.name.clone());
                let walked = self.within(name, |walk| walk.value(&ask));
                (Heads::default(), false, walked)
            });
            let constant = self.constant(&property.heads);
            match &walked.outcome {
                Outcome::Keep => built.answered |= value.is_some() && constant.is_none(),
                Outcome::Is(value) => {
                    built.answered = true;
                    built.changed = true;
                    built.map.to_mut().insert(property.name.clone(), value.clone());
                }
                Outcome::Implied(value) => {
                    built.changed = true;
                    built.map.to_mut().insert(property.name.clone(), value.clone());
                }
                Outcome::Absent => built.changed |= remove(&mut built.map, &property.name),
            }
            fixed.extend(constant.map(|constant| (property, constant)));
            if say.is_live() {
                let known = (property.heads.clone(), property.required, walked.clone());
                turn.memo.insert(property.name.clone(), known);
            }
            built.problems.extend(walked.problems);
            if let Some(mut node) = walked.node {
                node.head_mut().step = Some(escape(&property.name));
                built.nodes.push((property.under, node));
            }
        }
        self.vanished(&mut built, own, &named, turn, anew);
        self.others(&mut built, own, &named, say);
        self.open.pop();
        for (property, constant) in fixed {
            let name = &property.name;
            let differs = built.map.get(name).is_none_or(|own| !json::equal(own, &constant));
            let must = built.changed && (property.required || (anew && built.map.contains_key(name)));
            let begins = (was.is_none() || ask.fresh) && !built.map.contains_key(name);
            if begins || (anew && property.under.is_some() && differs) || (must && differs) {
                built.map.to_mut().insert(name.clone(), constant);
                built.changed = true;
            }
        }
        built.answered |= chose || was_opened;
        built.changed |= chose || was_opened;
        let nodes = self.assemble(&mut built, say, field);
        let Built { map, changed, answered, problems, .. } = built;
        let partial = say.is_live().then(|| map.clone().into_owned());
        let outcome = match was {
            None if answered || ask.is_item && self.path.is_root() => Outcome::Is(Value::Object(map.into_owned())),
            None if (field.required || ask.required) && ask.fresh && !ask.is_item => {
                Outcome::Implied(Value::Object(map.into_owned()))
            }
            None => Outcome::Keep,
            Some(_) if !changed => Outcome::Keep,
            Some(_) if answered || ask.required || ask.is_item => Outcome::Is(Value::Object(map.into_owned())),
            Some(_) => Outcome::Absent,
        };
        let node = match nodes {
            // nothing stands beside the choice: it is the whole
            (mut nodes, true) if nodes.len() == 1 && closing.is_none() && !self.path.is_root() => {
                let mut node = nodes.remove(0);
                let own = node.head_mut();
                own.label = head.label;
                own.hint = head.hint;
                own.optional = head.optional;
                own.focus = head.focus;
                node
            }
            (mut nodes, _)
                if closing.is_none()
                    && !self.path.is_root()
                    && matches!(nodes.as_slice(), [Node::Rows(Rows { is_free: true, is_aside: false, .. })]) =>
            {
                // nothing but names of people's own
                let mut node = nodes.remove(0);
                let own = node.head_mut();
                *own = Head { id: std::mem::take(&mut own.id), ..head };
                node
            }
            (nodes, _) => Node::Section(Section { head, nodes, closing }),
        };
        Walked { node: Some(node), outcome, problems, partial }
    }

    /// Rows that somebody named like a property. One that is only required by its name stays a row; what has a control of its own
    /// takes over what was entered.
    fn rename(&mut self, named: &mut Vec<Named>, say: &Say<'a>) {
        let keys = match self.posted.get(&rows::marker(&self.name)) {
            Some(keys) if !keys.is_empty() && say.free().is_some() => keys,
            _ => return,
        };
        for key in keys.split('/').skip(1) {
            let row = format!("{}/{key}", self.name);
            let Some(name) = self.posted.get(&format!("{row}#name")) else { continue };
            let Some(at) = named.iter().position(|property| property.name == name) else { continue };
            let own = format!("{}/{}", self.name, escape(name));
            if self.posted.has_control(&own) {
                continue;
            }
            match named[at].is_described {
                true => self.moves.push((row, own)),
                false => drop(named.remove(at)),
            }
        }
    }

    /// The defaults to be shown, where they are: an object that nobody has to fill in shows its own only if it is valid with them
    /// alone. Otherwise one that nobody asked for would hold up the save.
    fn given(&self, ask: &Ask, field: &Field, named: &[Named]) -> Option<Map<String, Value>> {
        if !ask.defaults || ask.base.is_some() {
            return None;
        }
        let whole = ask.given.or(field.default.as_ref());
        let given = whole.and_then(Value::as_object).cloned();
        if given.is_some() || ask.required || ask.is_item {
            return Some(given.unwrap_or_default());
        }
        let shown = named.iter().filter_map(|property| {
            let value = self.constant(&property.heads).or_else(|| self.default(&property.heads).cloned())?;
            Some((property.name.clone(), value))
        });
        let shown = Value::Object(shown.collect());
        let suffices = ask.heads.all.iter().all(|&head| self.parts.holds(head, &shown));
        suffices.then(Map::new)
    }

    /// The one value that a property can have and that nobody is asked for; a consent is asked.
    pub(super) fn constant(&self, heads: &Heads) -> Option<Value> {
        if !heads.either.is_empty() {
            return None;
        }
        if heads.all.iter().any(|&head| self.parts[head].types == Types::NULL) {
            return Some(Value::Null);
        }
        let closures = heads.all.iter().flat_map(|&head| ways::closure(self.parts, head));
        let constant = closures.filter_map(|id| self.parts[id].word("const")).next()?;
        (*constant != Value::Bool(true)).then(|| constant.clone())
    }

    fn default(&self, heads: &Heads) -> Option<&'a Value> {
        let parts = self.parts;
        let closures = heads.all.iter().flat_map(|&head| ways::closure(parts, head));
        closures.filter_map(|id| parts[id].word("default")).next()
    }

    /// Whether an object that nobody has to fill in and that would go on for ever is open, and how it is closed; `Err` if it is
    /// closed.
    fn closing(
        &mut self,
        ask: &Ask,
        called: &str,
        is_there: bool,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Closing>, Closing> {
        if ask.required && !self.is_deep(ask.heads) || ask.is_item || !self.is_deep(ask.heads) {
            return Ok(None);
        }
        let posted = self.part("shown", problems);
        let mut is_open = posted.map_or(is_there, |text| text == "1");
        if let Some((action, done)) = &mut self.action
            && action.at == self.name
            && matches!(action.verb, Verb::Add | Verb::Remove)
        {
            **done = true;
            is_open = action.verb == Verb::Add;
            self.focus |= is_open;
        }
        let closing = Closing { marker: format!("{}#shown", self.name), is_open, called: called.to_owned() };
        if is_open { Ok(Some(closing)) } else { Err(closing) }
    }

    /// What held for the object as it was shown and does not any more goes, unless it is to be kept.
    fn vanished(&mut self, built: &mut Built, own: &Map<String, Value>, named: &[Named], turn: &Turn, anew: bool) {
        let Some(was) = turn.was.filter(|was| anew || !was.is_same(turn.say)) else { return };
        for before in was.named(Some(own)) {
            let is_asked = named.iter().any(|now| now.name == before.name);
            if is_asked || !own.contains_key(&before.name) {
                continue;
            }
            let closures = before.heads.all.iter().flat_map(|&head| ways::closure(self.parts, head));
            let mut words = closures.filter_map(|id| self.parts[id].word("x-keep-when-hidden"));
            if !words.any(|word| word == &Value::Bool(true)) {
                built.changed |= remove(&mut built.map, &before.name);
            }
        }
    }

    /// Properties that are there and not named: rows where names are free, else they are carried as they are.
    fn others(&mut self, built: &mut Built, own: &Map<String, Value>, named: &[Named], say: &Say<'a>) {
        let others: Vec<(&String, &Value)> = own
            .iter()
            .filter(|(name, _)| built.map.contains_key(*name) && !named.iter().any(|property| property.name == **name))
            .collect();
        match say.free() {
            Some(free) => {
                let node = self.free(built, &others, named, say, free);
                built.nodes.push((None, node));
            }
            None => {
                for (name, value) in others {
                    built.answered = true;
                    let node = self.within(Segment::Property(name.clone()), |walk| walk.carried(name, value));
                    built.nodes.push((None, node));
                }
            }
        }
    }

    /// A value of which the type says nothing: shown, kept, and not asked.
    fn carried(&mut self, name: &str, value: &Value) -> Node {
        let below = format!("{}/", self.name);
        self.use_control(&PARTS);
        self.used.extend(self.posted.beginning(below));
        let label = if name.trim().is_empty() { "No name".to_owned() } else { name.to_owned() };
        let head = Head {
            name: self.name.clone(),
            id: id(&self.name),
            label,
            hint: Some("Not part of this form. It is kept as it is.".to_owned()),
            step: Some(escape(name)),
            ..Head::default()
        };
        Node::Control(Control { head, input: Input::Fixed { text: short(value), unit: None, json: None } })
    }

    /// Rows of a name and a value each.
    fn free(
        &mut self,
        built: &mut Built,
        there: &[(&String, &Value)],
        named: &[Named],
        say: &Say<'a>,
        free: Free,
    ) -> Node {
        // the name decides what is asked for
        self.is_live |= say.leads("patternProperties");
        let said = Heads::of(free.said);
        let keys: Vec<ItemKey> = (0..there.len()).map(|number| self.maker.key(&self.path, number)).collect();
        let (rows_now, added) = self.row_keys(&keys, &mut built.problems);
        let is_drawn = self.posted.get(&rows::marker(&self.name)).is_some();
        let marker = (rows::marker(&self.name), rows::written(&rows_now));
        for (key, (name, _)) in keys.iter().zip(there) {
            if is_drawn && !rows_now.contains(key) {
                built.changed |= remove(&mut built.map, name);
            }
        }
        let (most, least) = (say.most("maxProperties"), say.least("minProperties"));
        let count = rows_now.len();
        let is_named_only = !named.is_empty();
        let mut drawn = Vec::with_capacity(count);
        let mut taken: Vec<String> = named.iter().map(|property| property.name.clone()).collect();
        for (number, key) in rows_now.into_iter().enumerate() {
            let own = keys.iter().position(|other| *other == key).map(|at| there[at]);
            let is_added = added.as_ref() == Some(&key);
            let segment = Segment::Item(key);
            let mut outcome = (Outcome::Keep, String::new());
            let row = self.within(segment, |walk| {
                let posted = walk.part("name", &mut built.problems);
                let name = posted.map_or_else(|| own.map(|(name, _)| name.clone()).unwrap_or_default(), str::to_owned);
                let mut heads = Heads::of(say.beside(&name));
                if heads.all.is_empty() || name.is_empty() {
                    heads = said.clone();
                }
                let called = if name.is_empty() { "Value" } else { &name };
                let inner = Ask {
                    heads: &heads,
                    called,
                    required: true,
                    base: own.map(|(_, value)| value),
                    given: None,
                    fresh: own.is_none(),
                    defaults: own.is_none(),
                    shape: &Shape::Leaf,
                    is_item: true,
                    is_whole: false,
                };
                walk.open.push(Vec::new());
                let mut walked = walk.value(&inner);
                walk.open.pop();
                // who names a field and leaves it empty means it so, where empty is a value
                if own.is_none() && !name.is_empty() && walked.problems.is_empty() && walked.outcome == Outcome::Keep {
                    walked.outcome = walked.node.as_ref().and_then(empty).map_or(Outcome::Keep, Outcome::Is);
                }
                built.problems.extend(walked.problems);
                let mut row = walk.row(number, count, "field", None, own.is_none(), walked.node.into_iter().collect());
                row.step = Some(escape(&name));
                row.title = format!("{}. {}", number + 1, if name.is_empty() { "New field" } else { &name });
                row.called = if name.is_empty() { format!("field {}", number + 1) } else { name.clone() };
                row.key = Some(Key {
                    name: format!("{}#name", walk.name),
                    id: format!("{}-name", id(&walk.name)),
                    text: name.clone(),
                    focus: is_added,
                    fault: None,
                });
                outcome = (walked.outcome, name);
                row
            });
            let at = row.name.clone();
            drawn.push(row);
            let (outcome, name) = outcome;
            let fault = |message: &str| {
                let at_name = format!("{at}#name");
                Problem::at(&at_name, FieldError::new(&at_name, "propertyNames", message))
            };
            let value = match &outcome {
                Outcome::Keep => own.map(|(_, value)| value.clone()),
                Outcome::Is(value) => Some(value.clone()),
                Outcome::Implied(_) | Outcome::Absent => None,
            };
            let is_same = own.is_some_and(|(own, _)| *own == name) && outcome == Outcome::Keep;
            if name.is_empty() && own.is_none_or(|(own, _)| !own.is_empty()) {
                if value.is_some() {
                    built.problems.push(fault("Enter a name for this value, or remove it."));
                    built.answered = true;
                }
                continue;
            }
            if taken.contains(&name) {
                built.problems.push(fault(&format!("\u{201c}{name}\u{201d} is there already. Choose another name.")));
                built.answered = true;
                continue;
            }
            taken.push(name.clone());
            built.answered = true;
            if is_same {
                continue;
            }
            if let Some((before, _)) = own.filter(|(own, _)| **own != name || outcome == Outcome::Absent) {
                remove(&mut built.map, before);
            }
            built.changed = true;
            match value {
                Some(value) => {
                    built.map.to_mut().insert(name, value);
                }
                None if own.is_none() => {
                    let message = format!("Enter a value for \u{201c}{name}\u{201d}, or remove it.");
                    built.problems.push(Problem::at(&at, FieldError::new(&at, "required", message)));
                }
                None => {}
            }
        }
        let (add, limit) =
            adding("field", count, if is_named_only { 0 } else { least }, most.filter(|_| !is_named_only));
        let label = if named.is_empty() { "Fields" } else { "Other fields" };
        let head = Head {
            name: self.name.clone(),
            id: format!("{}-free", id(&self.name)),
            label: label.to_owned(),
            ..Head::default()
        };
        Node::Rows(Rows {
            head,
            marker,
            rows: drawn,
            is_list: false,
            is_free: true,
            is_aside: free.is_aside && count == 0,
            add,
            limit,
        })
    }

    /// What is drawn, with the choosers around what their branches add. Says whether all of it is one choice.
    fn assemble(&mut self, built: &mut Built, say: &Say<'a>, field: &Field) -> (Vec<Node>, bool) {
        let mut inside: Vec<Vec<Node>> = say.choosers.iter().map(|_| Vec::new()).collect();
        let mut nodes = Vec::new();
        for (under, node) in std::mem::take(&mut built.nodes) {
            match under.and_then(|at| inside.get_mut(at)) {
                Some(own) => own.push(node),
                None => nodes.push(node),
            }
        }
        let is_alone = nodes.is_empty();
        for at in (0..say.choosers.len()).rev() {
            let own = std::mem::take(&mut inside[at]);
            let under = say.choosers[at].under;
            let label = if is_alone && under.is_none() { &*field.label } else { "Kind" };
            let node = self.chooser(say, at, label, true, own, &mut built.problems);
            match under.and_then(|outer| inside.get_mut(outer)) {
                Some(outer) => outer.push(node),
                None if is_alone => nodes.insert(0, node),
                None => {
                    let rows = nodes.iter().rposition(|node| !matches!(node, Node::Rows(Rows { is_free: true, .. })));
                    nodes.insert(rows.map_or(0, |at| at + 1), node);
                }
            }
        }
        (nodes, is_alone && say.choosers.iter().filter(|chooser| chooser.under.is_none()).count() == 1)
    }

    /// A row with its buttons.
    pub(super) fn row(
        &self,
        number: usize,
        count: usize,
        label: &str,
        summary: Option<String>,
        is_new: bool,
        nodes: Vec<Node>,
    ) -> Row {
        let words = summary.or_else(|| first_text(&nodes)).unwrap_or_else(|| label.to_owned());
        Row {
            id: format!("{}-row", id(&self.name)),
            name: self.name.clone(),
            title: format!("{}. {words}", number + 1),
            called: format!("{} {words}", number + 1),
            is_first: number == 0,
            is_last: number + 1 == count,
            is_new,
            is_slot: false,
            focus: None,
            step: None,
            key: None,
            nodes,
        }
    }
}

/// The value of a control that nothing was entered into, where that is one.
fn empty(node: &Node) -> Option<Value> {
    match node {
        Node::Section(_) | Node::Rows(Rows { is_free: true, .. }) => Some(Value::Object(Map::new())),
        Node::Rows(_) => Some(Value::Array(Vec::new())),
        Node::Chooser(chooser) => chooser.nodes.first().and_then(empty),
        Node::Control(Control { input: Input::Line { kind: "text", inputmode: None, .. }, .. }) => {
            Some(Value::String(String::new()))
        }
        Node::Control(Control { input: Input::Lines { is_json: false, .. }, .. }) => Some(Value::String(String::new())),
        Node::Control(_) => None,
    }
}

fn remove(map: &mut Cow<Map<String, Value>>, name: &str) -> bool {
    map.contains_key(name) && map.to_mut().shift_remove(name).is_some()
}

/// Whether two names of properties are one on the way from a browser.
fn is_sent_alike(one: &str, other: &str) -> bool {
    let sent = |name: &str| name.replace("\r\n", "\n").replace('\r', "\n");
    one != other && sent(one) == sent(other)
}

/// Whether one of these names is the name of a part of a property.
fn is_cut(name: &str, odd: &[&str]) -> bool {
    odd.iter().filter_map(|odd| odd.strip_prefix(name)?.strip_prefix('#')).any(is_part)
}

impl Shape {
    /// The shape of a property; below anything that is one value, it is part of that.
    fn property(&self, name: &str) -> &Shape {
        match self {
            Shape::Object(object) => object.shape_of(name),
            _ => &Shape::Leaf,
        }
    }
}
