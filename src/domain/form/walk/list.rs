//! Lists: rows of one control each, items of several, and fixed slots. Rows are known by key.

use serde_json::Value;

use super::super::field::Field;
use super::super::problems::Problem;
use super::super::rows;
use super::super::say::{Heads, Say};
use super::super::view::{Control, Input, Node, Rows};
use super::super::{options::short, ways};
use super::{Ask, Outcome, Walk, Walked};
use crate::domain::FieldError;
use crate::domain::path::{ItemKey, Segment};
use crate::domain::schema::{Shape, Types};

/// More rows than this are not drawn one by one.
pub(super) const ROWS: usize = 2_000;

/// Entries that a list which asks for some begins with.
const TO_BEGIN: usize = 3;

impl<'a> Walk<'a> {
    pub(super) fn list(&mut self, ask: &Ask, say: &Say<'a>, field: &Field) -> Walked {
        let own = match ask.base {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(items)) if items.len() <= ROWS => items,
            Some(_) => return self.control(ask, field, &super::kinds::Json),
        };
        let shown = match ask.base {
            None => ask.given.or(field.default.as_ref()).filter(|_| ask.defaults).and_then(Value::as_array),
            Some(_) => None,
        };
        let own: &[Value] = shown.map_or(own, Vec::as_slice);
        let mut problems = Vec::new();
        let group = matches!(ask.shape, Shape::Group(_));
        let item_shape = if let Shape::Group(item) = ask.shape { item } else { &Shape::Leaf };
        let made = || (0..own.len()).map(|number| self.maker.key(&self.path, number)).collect();
        let there: Vec<ItemKey> = match self.base.document.keys.get(&self.path) {
            Some(keys) if group && keys.len() == own.len() => keys.clone(),
            _ => made(),
        };
        let (slots, is_open) = (say.slots(), say.is_open());
        let (least, most) = (say.least("minItems"), say.most("maxItems"));
        let heads = say.item(slots);
        let is_simple = self.is_simple(&heads);
        let blank = match (ask.base.is_none() && shown.is_none(), is_simple, slots) {
            (_, true, 0) if own.is_empty() => 1,
            (true, false, 0) if field.required && !self.is_deep(&heads) => least.min(TO_BEGIN),
            _ => 0,
        };
        let is_drawn = self.posted.get(&rows::marker(&self.name)).is_some();
        let (mut keys, added) = self.keys(&there, blank, &mut problems);
        for slot in 0..slots.min(ROWS) {
            let key = self.maker.key(&self.path, slot);
            if !group && !keys.contains(&key) {
                keys.insert(slot.min(keys.len()), key);
            }
        }
        let head = self.head(field);
        let marker = (rows::marker(&self.name), rows::written(&keys));
        let count = keys.len();
        let label = say
            .item(slots)
            .all
            .iter()
            .flat_map(|&id| ways::closure(self.parts, id))
            .find_map(|id| self.parts[id].text("title").map(str::to_owned));
        let item_label = label.clone().unwrap_or_else(|| "entry".to_owned());
        let kept = keys.iter().filter(|key| there.contains(key)).eq(&there);
        let mut changed = is_drawn && !kept;
        let (mut values, mut order): (Vec<Value>, Vec<ItemKey>) = (Vec::new(), Vec::new());
        let mut rows_drawn = Vec::with_capacity(count);
        let mut gap: Option<(String, String)> = None;
        for (number, key) in keys.into_iter().enumerate() {
            let at = there.iter().position(|other| *other == key);
            let was = at.and_then(|at| own.get(at));
            self.focus |= added.as_ref() == Some(&key);
            let is_slot = number < slots;
            let heads = say.item(number);
            let called = match (&label, is_slot) {
                (Some(label), false) => label.clone(),
                (_, true) => format!("Part {}", number + 1),
                _ => field.label.clone(),
            };
            let inner = Ask {
                heads: &heads,
                called: &called,
                required: !is_slot || number < least,
                base: was.filter(|_| shown.is_none()),
                given: was.filter(|_| shown.is_some()),
                fresh: ask.fresh || was.is_none() || shown.is_some(),
                defaults: was.is_none() || shown.is_some(),
                shape: item_shape,
                is_item: true,
                is_whole: false,
            };
            let mut walked = None;
            let row = self.within(Segment::Item(key.clone()), |walk| {
                walk.open.push(Vec::new());
                let mut done = walk.value(&inner);
                walk.open.pop();
                let mut node = done.node.take();
                if let Some(Node::Control(control)) = &mut node
                    && !is_slot
                {
                    control.head.label = format!("{}, {}", called, number + 1);
                    control.head.optional = false;
                }
                walked = Some(done);
                let mut row = walk.row(number, count, &item_label, None, was.is_none(), node.into_iter().collect());
                row.is_slot = is_slot;
                row
            });
            self.focus = false;
            let Some(Walked { outcome, problems: below, .. }) = walked else { continue };
            problems.extend(below);
            let value = match outcome {
                Outcome::Keep => was.cloned().filter(|_| shown.is_none()),
                Outcome::Is(value) => {
                    changed = true;
                    Some(value)
                }
                // an entry that was added and left blank is none
                Outcome::Implied(value) => was.map(|_| {
                    changed = true;
                    value
                }),
                Outcome::Absent => {
                    changed = true;
                    None
                }
            };
            let mut row = row;
            match value {
                Some(value) => {
                    if let Some((at, called)) = gap.take() {
                        let message = format!("Fill in {called} first, or empty what comes after it.");
                        problems.push(Problem::at(&at, FieldError::new(&at, "prefixItems", message)));
                    }
                    row.step = Some(values.len().to_string());
                    values.push(value);
                    order.push(key);
                }
                None if is_slot => {
                    // its place is kept, so that no error is told at another one
                    row.step = Some(values.len().to_string());
                    let label = row.nodes.first().map_or(called, |node| in_quotes(&node.head().label));
                    gap.get_or_insert_with(|| (row.name.clone(), label));
                }
                None => {}
            }
            rows_drawn.push(row);
        }
        let is_list = rows_drawn.iter().all(|row| matches!(row.nodes.as_slice(), [Node::Control(_)])) && is_simple;
        let (add, limit) = match is_open {
            true => adding(&item_label, count, least, most),
            false => (None, String::new()),
        };
        let node =
            Node::Rows(Rows { head, marker, rows: rows_drawn, is_list, is_free: false, is_aside: false, add, limit });
        let outcome = self.list_outcome(ask, field, changed, values, order, group, is_drawn);
        Walked { node: Some(node), outcome, problems, partial: None }
    }

    #[allow(clippy::too_many_arguments)]
    fn list_outcome(
        &mut self,
        ask: &Ask,
        field: &Field,
        changed: bool,
        values: Vec<Value>,
        order: Vec<ItemKey>,
        group: bool,
        is_drawn: bool,
    ) -> Outcome {
        if !changed || (!is_drawn && values.is_empty()) {
            let must =
                is_drawn && values.is_empty() && ask.base.is_none() && ask.fresh && field.required && !ask.is_item;
            if must {
                if group {
                    self.keys.insert(self.path.clone(), order);
                }
                return Outcome::Implied(Value::Array(Vec::new()));
            }
            return Outcome::Keep;
        }
        let was_array = matches!(ask.base, Some(Value::Array(_)));
        if values.is_empty() && !field.required && !was_array && !group {
            return match ask.base {
                None => Outcome::Keep,
                Some(_) if field.nullable => Outcome::Is(Value::Null),
                Some(_) => Outcome::Absent,
            };
        }
        if group {
            self.keys.insert(self.path.clone(), order);
        }
        Outcome::Is(Value::Array(values))
    }

    /// Whether an item is one control, so that a row of it takes one line.
    fn is_simple(&self, heads: &Heads) -> bool {
        let say = Say::gather(self.parts, heads, None, None, &|_, _| None);
        let types = say.types().without(Types::NULL);
        say.choosers.is_empty() && types.is_one() && types != Types::OBJECT && types != Types::ARRAY
    }

    /// The keys of the rows that are drawn, and of the one that was just added. `blank` rows are there to begin with.
    fn keys(
        &mut self,
        there: &[ItemKey],
        blank: usize,
        problems: &mut Vec<Problem>,
    ) -> (Vec<ItemKey>, Option<ItemKey>) {
        self.part("items", problems);
        let posted = rows::posted_rows(self.posted, self.maker, &self.path, &self.name, there);
        let mut keys = match posted {
            Some(Ok(keys)) => keys,
            Some(Err(fault)) => {
                problems.push(Problem::at(&self.name, fault));
                there.to_vec()
            }
            None if there.is_empty() => (0..blank).map(|number| self.maker.key(&self.path, number)).collect(),
            None => there.to_vec(),
        };
        let mut added = None;
        if let Some((action, done)) = &mut self.action
            && let Some(new) = rows::act(action, self.maker, &self.path, &self.name, &mut keys)
        {
            **done = true;
            added = new;
        }
        (keys, added)
    }

    /// The same for the rows of free names.
    pub(super) fn row_keys(
        &mut self,
        there: &[ItemKey],
        problems: &mut Vec<Problem>,
    ) -> (Vec<ItemKey>, Option<ItemKey>) {
        self.keys(there, 0, problems)
    }
}

fn in_quotes(label: &str) -> String {
    format!("\u{201c}{label}\u{201d}")
}

/// What the button for one more says, and how many there may be.
pub(super) fn adding(label: &str, count: usize, least: usize, most: Option<usize>) -> (Option<String>, String) {
    let limit = match (least, most) {
        (0, None) => String::new(),
        (0, Some(most)) => format!("At most {most}."),
        (least, None) => format!("At least {least}."),
        (least, Some(most)) => format!("At least {least}, at most {most}."),
    };
    let called = match label.chars().next() {
        Some(first) if label.chars().nth(1).is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(label.chars().skip(1)).collect()
        }
        _ => label.to_owned(),
    };
    let article = if called.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    let may = most.is_none_or(|most| count < most) && count < ROWS;
    (may.then(|| format!("Add {article} {called}")), limit)
}

/// What an item is called: the first text in it.
pub(super) fn first_text(nodes: &[Node]) -> Option<String> {
    nodes.iter().find_map(|node| match node {
        Node::Control(Control { input: Input::Line { text, .. }, .. }) if !text.trim().is_empty() => {
            Some(text.trim().chars().take(80).collect())
        }
        Node::Control(Control { input: Input::Options { options, .. }, .. }) => {
            options.iter().find(|option| option.chosen && option.json.is_some()).map(|option| option.label.clone())
        }
        Node::Control(Control { input: Input::Fixed { text, .. }, .. }) if !text.is_empty() => {
            Some(short(&Value::String(text.clone())))
        }
        Node::Section(section) => first_text(&section.nodes),
        Node::Chooser(chooser) => first_text(&chooser.nodes),
        _ => None,
    })
}
