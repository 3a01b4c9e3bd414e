//! From the tree of writes to what people see.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Content, Document, Keys, Order, Place, State, weave};
use crate::domain::json::Decimal;
use crate::domain::path::{ItemKey, Path, Segment};
use crate::domain::stamp::Stamp;

impl State {
    /// What people see. A record that does not exist is `null`.
    pub fn document(&self) -> Document {
        let mut keys = Keys::new();
        let value = project(&self.root, None, Stamp::NEVER, &mut Vec::new(), &mut keys).unwrap_or(Value::Null);
        Document { value, keys }
    }

    /// The value of [`State::document`], which most records have as it was written.
    pub fn shown(&self) -> Cow<'_, Value> {
        match &self.root {
            Place { write: Some(write), removal: None, inside, .. } if inside.is_empty() => match &write.content {
                Content::Json(text) => Cow::Borrowed(&text.0),
                Content::Absent | Content::Group => Cow::Owned(self.document().value),
            },
            _ => Cow::Owned(self.document().value),
        }
    }
}

impl Place {
    /// Whether an item or an optional object is seen, given the stamp of the write above that decides it. An item that
    /// was never written whole is not: nobody sees an item built from some of its fields.
    pub(super) fn is_shown(&self, is_item: bool, inherited: Stamp) -> bool {
        if is_item && self.write.is_none() {
            return false;
        }
        match &self.removal {
            None => true,
            Some(removal) => inherited > removal.cover.all || self.survives(&removal.cover),
        }
    }

    /// The items of a group in their order, shown ones only.
    pub(super) fn items(&self) -> Vec<(&ItemKey, &Place)> {
        if !self.is_group() {
            return Vec::new();
        }
        let mut items: Vec<(&ItemKey, &Place)> = self
            .inside
            .iter()
            .filter_map(|(segment, place)| match segment {
                Segment::Item(key) if place.is_shown(true, Stamp::NEVER) => Some((key, place)),
                _ => None,
            })
            .collect();
        items.sort_by(|a, b| rank(a.1).cmp(rank(b.1)).then_with(|| a.0.cmp(b.0)));
        items
    }

    /// Whether this place is an array of items with keys.
    pub(super) fn is_group(&self) -> bool {
        matches!(&self.write, Some(write) if write.content == Content::Group)
    }

    /// Whether a place directly below is seen; `here` is the stamp that decides this place.
    pub(super) fn shows(&self, segment: &Segment, below: &Place, here: Stamp) -> bool {
        let is_item = matches!(segment, Segment::Item(_));
        is_item == self.is_group() && below.is_shown(is_item, if is_item { Stamp::NEVER } else { here })
    }

    /// Whether anything was written at or below this place.
    fn is_written(&self) -> bool {
        self.write.is_some() || self.inside.values().any(Place::is_written)
    }

    /// What the place holds although it is not shown.
    pub(super) fn parked(&self, above: Stamp) -> Option<Value> {
        let unremoved = Place { removal: None, ..self.clone() };
        project(&unremoved, None, above, &mut Vec::new(), &mut Keys::new())
    }
}

/// The key under which a difference is kept below the number that it adds to: its name, marked so that it is taken for
/// no item of a group and no element of a set.
pub fn difference(once: &str) -> ItemKey {
    ItemKey(format!("{DIFFERENCE}{once}"))
}

const DIFFERENCE: char = '+';

/// Whether a place is a difference that adds to the number above it.
pub fn is_difference(path: &Path) -> bool {
    matches!(path.0.last(), Some(Segment::Item(key)) if key.0.starts_with(DIFFERENCE))
}

/// Whether a place is one of the many writes that make one value: a difference of a number or an edit of a text.
pub(super) fn is_part(path: &Path) -> bool {
    is_difference(path) || weave::is_edit(path)
}

/// The place that people are told of when one is written: the number of a difference, the text of an edit, else itself.
pub fn told_at(path: &Path) -> Path {
    path.parent().filter(|_| is_part(path)).unwrap_or_else(|| path.clone())
}

/// What all differences that are kept below a number come to, if there are any.
fn differences(place: &Place) -> Option<Decimal> {
    let differences = place.inside.iter().filter_map(|(segment, below)| match (segment, &below.write) {
        (Segment::Item(key), Some(write)) if key.0.starts_with(DIFFERENCE) => match &write.content {
            Content::Json(text) => Decimal::of(&text.0),
            Content::Absent | Content::Group => None,
        },
        _ => None,
    });
    let mut differences = differences.peekable();
    differences.peek()?;
    differences.try_fold(Decimal::ZERO, |sum, by| sum.plus(&by))
}

/// A number as it shows: with the differences below it. What cannot be added to it changes nothing.
fn counted(place: &Place, number: Value) -> Value {
    let sum = differences(place).and_then(|by| Decimal::of(&number)?.plus(&by));
    sum.map_or(number, |sum| sum.to_value())
}

/// The reverse: what was written at the place itself, from what shows there.
pub(super) fn uncount(place: &Place, shown: &mut Value) {
    let number = differences(place).and_then(|by| Decimal::of(shown)?.minus(&by));
    if let Some(number) = number {
        *shown = number.to_value();
    }
}

pub(super) fn rank(place: &Place) -> &str {
    place.order.as_ref().map_or("", |Order { rank, .. }| rank)
}

/// The value of a place. `above` is what the nearest write above says of it, `inherited` the stamp of that write.
/// `path` is where it is.
fn project<'a>(
    place: &'a Place,
    above: Option<Value>,
    inherited: Stamp,
    path: &mut Vec<Cow<'a, Segment>>,
    keys: &mut Keys,
) -> Option<Value> {
    let (content, stamp) = match &place.write {
        Some(write) if write.stamp >= inherited => match &write.content {
            Content::Absent => (None, write.stamp),
            Content::Json(text) => (Some(text.0.clone()), write.stamp),
            Content::Group => (Some(Value::Array(Vec::new())), write.stamp),
        },
        _ => (above, inherited),
    };
    if !place.is_shown(false, inherited) {
        return None;
    }
    if place.is_group() {
        let mut order = Vec::new();
        let mut values = Vec::new();
        for (key, item) in place.items() {
            path.push(Cow::Owned(Segment::Item(key.clone())));
            if let Some(value) = project(item, None, stamp, path, keys) {
                order.push(key.clone());
                values.push(value);
            }
            path.pop();
        }
        keys.insert(Path(path.iter().map(|segment| segment.clone().into_owned()).collect()), order);
        return Some(Value::Array(values));
    }
    let is_written =
        |(segment, child): (&Segment, &Place)| matches!(segment, Segment::Property(_)) && child.is_written();
    if !place.inside.iter().any(is_written) {
        // what was removed under an earlier value does not hide a later one
        return match content {
            Some(number @ Value::Number(_)) => Some(counted(place, number)),
            content if weave::has_edits(place) => weave::shown(place, content),
            content => content,
        };
    }
    // whatever stood here is an object now that something was written inside, and is there if only as an empty one; so a
    // record read back, with what shows in the place of what was written, shows the same ever after
    let was_there = content.is_some();
    let mut map = match content {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    for (segment, child) in &place.inside {
        let Segment::Property(name) = segment else { continue };
        let old = map.get_mut(name).map(Value::take);
        path.push(Cow::Borrowed(segment));
        let value = project(child, old, stamp, path, keys);
        path.pop();
        match (value, map.get_mut(name)) {
            (Some(value), Some(slot)) => *slot = value,
            (Some(value), None) => drop(map.insert(name.clone(), value)),
            (None, _) => drop(map.shift_remove(name)),
        }
    }
    if map.is_empty() && !was_there {
        return None;
    }
    if !map.keys().is_sorted() {
        map.sort_keys();
    }
    Some(Value::Object(map))
}
