//! From two versions of a record to what a save has to write.
//!
//! Only what differs by value is written, cut as the schema's [`Shape`] says, and with it every place that one rule of the
//! schema ties to it. Each change names what stood there as its author saw it. What an array that came without keys
//! means is decided in [`match_items`]; nothing here judges whether a record is valid.

mod items;
#[cfg(test)]
mod laws;
mod patch;
mod rank;
mod sets;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod theorem;
mod undo;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::json::{self, Decimal};
use super::path::{ItemKey, Path, Segment};
use super::record::{Act, Change, Content, Document, State, difference, edit_key};
use super::schema::{Schema, Shape};

pub use items::match_items;
pub use patch::{apply_json_patch, apply_merge_patch};
pub use undo::undo;

/// Makes the key of a new item, from the place of its group and a number; asked again with another number if the key is
/// taken.
pub type MakeKey<'a> = &'a mut dyn FnMut(&Path, usize) -> ItemKey;

/// The changes that make a record of this value.
pub fn create(schema: &Schema, value: Value, keys: MakeKey) -> Vec<Change> {
    changes(schema, &State::default(), &match_items(schema, &Document::default(), value, keys), "")
}

/// The changes that make the candidate of the base; none if they are equal by value. A base that does not exist is created.
///
/// `once` names what the writer does, for numbers of which differences add up: what comes again under the same name counts
/// once.
pub fn changes(schema: &Schema, base: &State, candidate: &Document, once: &str) -> Vec<Change> {
    let before = if base.exists() { base.document() } else { Document::default() };
    let mut candidate = candidate.clone();
    sets::key_elements(schema.shape(), &mut candidate);
    let candidate = &candidate;
    let mut diff = Diff { base, before: &before, after: candidate, once, changes: Vec::new(), touched: Vec::new() };
    let root = &mut Path::root();
    if base.exists() {
        diff.walk(schema.shape(), root, Some(&before.value), Some(&candidate.value));
        diff.stamp_units(schema);
    } else {
        diff.write(schema.shape(), root, &candidate.value);
    }
    diff.changes
}

/// The keys of the group at a place, if the array that stands there has them.
fn keys_of<'d>(document: &'d Document, place: &Path, value: Option<&Value>) -> Option<&'d [ItemKey]> {
    let keys = document.keys.get(place)?;
    let items = value?.as_array()?;
    (keys.len() == items.len()).then_some(keys.as_slice())
}

struct Diff<'a> {
    base: &'a State,
    before: &'a Document,
    after: &'a Document,
    once: &'a str,
    changes: Vec<Change>,
    /// Groups that got their first item or lost their last.
    touched: Vec<Path>,
}

impl Diff<'_> {
    fn push(&mut self, path: &Path, act: Act) {
        self.changes.push(Change { replaces: self.base.cover(path), path: path.clone(), act });
    }

    fn set(&mut self, path: &Path, value: Option<&Value>) {
        let content = value.map_or(Content::Absent, |value| Content::json(json::sorted(value.clone())));
        self.push(path, Act::Set(content));
    }

    fn walk(&mut self, shape: &Shape, path: &mut Path, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, None) => return,
            (Some(old), Some(new)) if json::equal(old, new) => return,
            _ => {}
        }
        match shape {
            Shape::Leaf => self.set(path, new),
            Shape::Group(item) => self.group(item, path, old, new),
            Shape::Set => self.group(&Shape::Leaf, path, old, new),
            Shape::Counter => self.count(path, old, new),
            Shape::Text => self.weave(path, old, new),
            Shape::Object(object) => match (old, new) {
                // what was built from its fields would go with the last of them
                (Some(Value::Object(_)), Some(Value::Object(is))) if is.is_empty() && !path.is_root() => {
                    self.set(path, new);
                }
                (Some(Value::Object(was)), Some(Value::Object(is))) => {
                    let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
                    for name in names {
                        path.0.push(Segment::Property(name.clone()));
                        self.walk(object.shape_of(name), path, was.get(name), is.get(name));
                        path.0.pop();
                    }
                }
                (Some(Value::Object(_)), None) => self.push(path, Act::Remove),
                // where nothing was ever written, two people who add the object each keep their fields
                (None, Some(Value::Object(is))) if !is.is_empty() && self.base.place(path).is_none() => {
                    for (name, value) in is {
                        path.0.push(Segment::Property(name.clone()));
                        self.walk(object.shape_of(name), path, None, Some(value));
                        path.0.pop();
                    }
                }
                (_, Some(new)) => self.write(shape, path, new),
                (_, None) => self.set(path, None),
            },
        }
    }

    /// A number that stays one is changed by the difference, which adds to those of others.
    fn count(&mut self, path: &Path, old: Option<&Value>, new: Option<&Value>) {
        let number = |value: Option<&Value>| value.and_then(Decimal::of);
        match (number(old), number(new)) {
            (Some(old), Some(new)) if new.minus(&old).is_some() => {
                let by = new.minus(&old).map(|by| by.to_value());
                self.set(&path.item(&difference(self.once)), by.as_ref());
            }
            _ => self.set(path, new),
        }
    }

    /// Of a text that stays one only what differs is written. Also of one that is begun, so that two people who both begin
    /// it both find their words.
    fn weave(&mut self, path: &Path, old: Option<&Value>, new: Option<&Value>) {
        let edit = match (old, new) {
            (None | Some(Value::String(_)), Some(Value::String(new))) => self.base.text_edit(path, new),
            _ => None,
        };
        match edit {
            Some(edit) => self.set(&path.item(&edit_key(self.once)), Some(&edit)),
            None => self.set(path, new),
        }
    }

    fn group(&mut self, item: &Shape, path: &mut Path, old: Option<&Value>, new: Option<&Value>) {
        let (before, after) = (self.before, self.after);
        let was = keys_of(before, path, old);
        let is = keys_of(after, path, new);
        match (was, is) {
            (Some(was), Some(is)) => self.items(item, path, (was, old), (is, new)),
            (Some(was), None) if new.is_none() => {
                for key in was {
                    self.push(&path.item(key), Act::Remove);
                }
                self.push(path, Act::Remove);
            }
            (_, Some(_)) => self.write_group(item, path, new),
            (_, None) => self.set(path, new),
        }
    }

    fn items(
        &mut self,
        shape: &Shape,
        path: &mut Path,
        (was, old): (&[ItemKey], Option<&Value>),
        (is, new): (&[ItemKey], Option<&Value>),
    ) {
        let values = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let (old, new) = (values(old), values(new));
        let stood: HashMap<&ItemKey, usize> = was.iter().zip(0..).collect();
        let stays: HashSet<&ItemKey> = is.iter().collect();
        if was.is_empty() != is.is_empty() {
            self.touched.push(path.clone());
        }
        for key in was.iter().filter(|key| !stays.contains(key)) {
            self.push(&path.item(key), Act::Remove);
        }
        let ranks = self.ranks(path, is, &stood);
        for ((key, value), rank) in is.iter().zip(&new).zip(ranks) {
            path.0.push(Segment::Item(key.clone()));
            match stood.get(key) {
                Some(&at) => self.walk(shape, path, old.get(at), Some(value)),
                None => self.write(shape, path, value),
            }
            if let Some(rank) = rank {
                self.push(path, Act::Rank(rank));
            }
            path.0.pop();
        }
    }

    /// A new rank for each item that is new or was moved; as few are moved as can be.
    fn ranks(&self, path: &Path, is: &[ItemKey], stood: &HashMap<&ItemKey, usize>) -> Vec<Option<String>> {
        let place = self.base.place(path);
        let standing = |key: &ItemKey| -> &str {
            let item = place.and_then(|place| place.inside.get(&Segment::Item(key.clone())));
            item.and_then(|item| item.order.as_ref()).map_or("", |order| order.rank.as_str())
        };
        let order: Vec<Option<(usize, &str)>> =
            is.iter().map(|key| stood.get(key).map(|at| (*at, standing(key)))).collect();
        rank::place(&order)
    }

    /// Writes a place whole; the groups in it are places of their own.
    fn write(&mut self, shape: &Shape, path: &mut Path, value: &Value) {
        match shape {
            Shape::Group(item) if keys_of(self.after, path, Some(value)).is_some() => {
                self.write_group(item, path, Some(value));
            }
            Shape::Set if keys_of(self.after, path, Some(value)).is_some() => {
                self.write_group(&Shape::Leaf, path, Some(value));
            }
            _ => {
                let mut groups = Vec::new();
                let rest = self.without_groups(shape, path, value, &mut groups);
                self.set(path, Some(&rest));
                for (mut path, item, value) in groups {
                    self.write_group(item, &mut path, Some(value));
                }
            }
        }
    }

    fn write_group(&mut self, item: &Shape, path: &mut Path, value: Option<&Value>) {
        let after = self.after;
        let keys = keys_of(after, path, value).unwrap_or_default();
        let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        self.push(path, Act::Set(Content::Group));
        for ((key, value), rank) in keys.iter().zip(items).zip(rank::first(keys.len())) {
            path.0.push(Segment::Item(key.clone()));
            self.write(item, path, value);
            self.push(path, Act::Rank(rank));
            path.0.pop();
        }
    }

    /// A value without the groups in it, which are gathered with their places.
    fn without_groups<'v, 's>(
        &self,
        shape: &'s Shape,
        path: &mut Path,
        value: &'v Value,
        groups: &mut Vec<(Path, &'s Shape, &'v Value)>,
    ) -> Value {
        let (Shape::Object(object), Value::Object(map)) = (shape, value) else { return value.clone() };
        let mut rest = Map::new();
        for (name, value) in map {
            path.0.push(Segment::Property(name.clone()));
            match object.shape_of(name) {
                Shape::Group(item) if keys_of(self.after, path, Some(value)).is_some() => {
                    groups.push((path.clone(), item, value));
                }
                Shape::Set if keys_of(self.after, path, Some(value)).is_some() => {
                    groups.push((path.clone(), &Shape::Leaf, value));
                }
                shape => {
                    rest.insert(name.clone(), self.without_groups(shape, path, value, groups));
                }
            }
            path.0.pop();
        }
        Value::Object(rest)
    }

    /// Writes, unchanged, every place that a rule of the schema ties to one that changes.
    fn stamp_units(&mut self, schema: &Schema) {
        if schema.units().all().is_empty() || self.changes.is_empty() {
            return;
        }
        let writes = self.changes.iter().filter(|change| !matches!(change.act, Act::Rank(_)));
        let paths = writes.map(|change| &change.path).chain(&self.touched);
        let touched: Vec<Vec<&str>> = paths
            .map(|path| {
                let steps = path.0.iter().map(|segment| match segment {
                    Segment::Property(name) => name.as_str(),
                    Segment::Item(key) => key.0.as_str(),
                });
                steps.collect()
            })
            .collect();
        let mut written: BTreeSet<Path> = self
            .changes
            .iter()
            .filter(|change| !matches!(change.act, Act::Rank(_)))
            .map(|change| change.path.clone())
            .collect();
        for steps in schema.units().expand(&touched) {
            let mut path = Path::root();
            let mut shape = schema.shape();
            for step in steps {
                let (segment, below) = match shape {
                    Shape::Group(item) => (Segment::Item(ItemKey(step)), item.as_ref()),
                    Shape::Object(object) => {
                        let below = object.shape_of(&step);
                        (Segment::Property(step), below)
                    }
                    Shape::Set | Shape::Counter | Shape::Text => (Segment::Item(ItemKey(step)), &Shape::Leaf),
                    Shape::Leaf => break,
                };
                path.0.push(segment);
                shape = below;
            }
            self.stamp(shape, &mut path, &mut written);
        }
    }

    fn stamp(&mut self, shape: &Shape, path: &mut Path, written: &mut BTreeSet<Path>) {
        let holds = |depth: usize| written.contains(&Path(path.0[..depth].to_vec()));
        if (0..=path.0.len()).any(holds) {
            // a change at the place itself may have changed only a part of it
            if !matches!(shape, Shape::Object(_)) || self.changes.iter().any(|change| change.path == *path) {
                return;
            }
        }
        let after = self.after;
        let value = after.get(path);
        match (shape, value) {
            (Shape::Object(object), Some(Value::Object(map))) => {
                let unknown = map.keys().filter(|name| object.property(name).is_none());
                let names: Vec<&String> = object.properties().iter().map(|p| &p.name).chain(unknown).collect();
                for name in names {
                    path.0.push(Segment::Property(name.clone()));
                    self.stamp(object.shape_of(name), path, written);
                    path.0.pop();
                }
            }
            // rules ask of a group only that it has items: one value in each keeps it from being removed meanwhile
            (Shape::Group(item), Some(Value::Array(_))) if after.is_group(path) => {
                for key in after.keys.get(path).into_iter().flatten() {
                    path.0.push(Segment::Item(key.clone()));
                    self.stamp_one(item, path, written);
                    path.0.pop();
                }
            }
            (Shape::Group(_), None) => {}
            (_, None) => {
                let above = (0..path.0.len()).map(|depth| Path(path.0[..depth].to_vec()));
                let gone = above.into_iter().find(|place| after.get(place).is_none());
                let removed = |place: &Path| self.base.place(place).is_some_and(|place| place.removal.is_some());
                // a write inside of what was removed would bring it back
                if !gone.is_some_and(|place| removed(&place)) && written.insert(path.clone()) {
                    self.set(path, None);
                }
            }
            (_, Some(value)) => {
                if written.insert(path.clone()) {
                    // the whole takes the place of the part
                    if matches!(shape, Shape::Counter | Shape::Text) {
                        self.changes.retain(|change| change.path.parent().as_ref() != Some(path));
                    }
                    self.write(shape, path, value);
                }
            }
        }
    }

    /// Writes the first value inside of an item again, unless something is written in it anyway.
    fn stamp_one(&mut self, shape: &Shape, path: &mut Path, written: &mut BTreeSet<Path>) {
        if written.range(path.clone()..).next().is_some_and(|other| other.0.starts_with(&path.0)) {
            return;
        }
        let after = self.after;
        let leaf = match (shape, after.get(path)) {
            (Shape::Object(object), Some(Value::Object(map))) => {
                // what is made of many writes is written whole only where there is nothing else
                let plain = map.iter().find(|(name, _)| *object.shape_of(name) == Shape::Leaf);
                let leaf = plain.or_else(|| map.iter().find(|(name, _)| object.shape_of(name).is_leaf()));
                leaf.map(|(name, value)| (Some(name), value))
            }
            (_, value) => value.map(|value| (None, value)),
        };
        let (place, value) = match leaf {
            Some((Some(name), value)) => (path.property(name), value),
            Some((None, value)) => (path.clone(), value),
            None => match after.get(path) {
                Some(value) => {
                    written.insert(path.clone());
                    return self.write(shape, path, value);
                }
                None => return,
            },
        };
        written.insert(place.clone());
        self.set(&place, Some(value));
    }
}
