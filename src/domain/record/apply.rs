//! What one save does to a record, and what of it has to be told to people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::project::{is_difference, told_at};
use super::{Bin, Content, Cover, Document, Order, Place, State, Write, weave};
use crate::domain::json;
use crate::domain::path::{Path, Segment};
use crate::domain::stamp::Stamp;

/// One thing a save does to a record. All changes of a save to one record carry the same stamp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    #[serde(rename = "p", default, skip_serializing_if = "Path::is_root")]
    pub path: Path,
    #[serde(rename = "a")]
    pub act: Act,
    /// What stood there as the author saw it rendered.
    #[serde(rename = "r")]
    pub replaces: Cover,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// Writes the place as a whole. At the root it creates the record.
    #[serde(rename = "s")]
    Set(Content),
    /// Puts an item where its rank belongs among its siblings.
    #[serde(rename = "o")]
    Rank(String),
    /// Removes an item or an optional object, as far as it was seen.
    #[serde(rename = "d")]
    Remove,
    /// Puts the record into the bin or takes it out.
    #[serde(rename = "b")]
    Bin(bool),
}

/// One line of a record's history.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    pub path: Path,
    pub act: EffectKind,
    pub old: Option<Value>,
    pub new: Option<Value>,
    /// What the author had seen there; what a later writer names to show that they saw this one.
    pub replaced: Stamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectKind {
    /// The value of the place is now the new one.
    Changed,
    /// The value came too late, a later one stands; it is in the history all the same.
    Overruled,
    Moved,
    Binned,
    Restored,
    /// The value was not accepted: it is in quarantine and changed nothing.
    Denied,
}

/// A value that was written by someone whose write nobody saw and which does not stand.
#[derive(Debug, Clone, PartialEq)]
pub struct LostValue {
    pub path: Path,
    /// The write that lost.
    pub stamp: Stamp,
    /// What it said; `None` where it had cleared the place.
    pub value: Option<Value>,
}

/// What applying a save to a record did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// Whether anything was new.
    pub changed: bool,
    pub effects: Vec<Effect>,
    pub lost: Vec<LostValue>,
    /// Writes that this save names as seen: an open entry for one of them closes.
    pub seen: Vec<(Path, Stamp)>,
}

impl State {
    /// Applies the changes of one save. `arrival` is this node's number for it.
    ///
    /// `was_seen(path, stamp)` answers whether some write known here names that write as replaced; it is asked only about
    /// writes that do not stand. Applying a save again changes nothing and loses nothing.
    pub fn apply(
        &mut self,
        changes: &[Change],
        stamp: Stamp,
        arrival: u64,
        was_seen: &dyn Fn(&Path, Stamp) -> bool,
    ) -> Applied {
        let mut applied = Applied::default();
        let created = !self.exists();
        let before = if created { Document::default() } else { self.document() };
        for change in changes {
            self.judge(change, stamp, &before, was_seen, &mut applied);
            applied.changed |= self.put(change, stamp, arrival);
        }
        self.settle();
        if created || !applied.changed {
            // what a creation did is the record itself
            if created {
                applied.lost.clear();
                applied.effects.clear();
            }
            return applied;
        }
        let after = self.document();
        for change in changes {
            let path = told_at(&change.path);
            let effect = |act, old: Option<&Value>, new: Option<&Value>| Effect {
                path: path.clone(),
                act,
                old: old.cloned(),
                new: new.cloned(),
                replaced: change.replaces.all,
            };
            let (old, new) = (before.get(&path), after.get(&path));
            let stands = self.stamp_at(&change.path) == stamp;
            match &change.act {
                Act::Set(_) if stands && same(old, new) => {}
                Act::Set(_) if stands => applied.effects.push(effect(EffectKind::Changed, old, new)),
                Act::Set(Content::Json(edit)) if weave::is_edit(&change.path) => {
                    let said = weave::with_edit(old, &edit.0);
                    applied.effects.push(effect(EffectKind::Overruled, old, said.as_ref()));
                }
                Act::Set(content) => {
                    applied.effects.push(effect(EffectKind::Overruled, old, value_of(content)));
                }
                Act::Remove => applied.effects.push(effect(EffectKind::Changed, old, new)),
                Act::Rank(_) => applied.effects.push(effect(EffectKind::Moved, None, None)),
                Act::Bin(true) => applied.effects.push(effect(EffectKind::Binned, None, None)),
                Act::Bin(false) => applied.effects.push(effect(EffectKind::Restored, None, None)),
            }
        }
        applied
    }

    /// Puts one change in its place, unless something later stands there. Says whether it was new.
    fn put(&mut self, change: &Change, stamp: Stamp, arrival: u64) -> bool {
        if let Act::Bin(binned) = change.act {
            let newer = self.bin.as_ref().is_none_or(|bin| bin.stamp < stamp);
            if newer {
                self.bin = Some(Bin { stamp, arrival, binned, cover: change.replaces.clone() });
            }
            return newer;
        }
        if let Some(parent) = change.path.parent()
            && self.stamp_at(&parent) > stamp
            && !matches!(change.act, Act::Remove)
        {
            return false;
        }
        let mut place: &mut Place = &mut self.root;
        for segment in &change.path.0 {
            place = place.inside.entry(segment.clone()).or_default();
        }
        match &change.act {
            Act::Set(content) => {
                let newer = place.write.as_ref().is_none_or(|write| write.stamp < stamp);
                if newer {
                    place.write = Some(Write { stamp, arrival, content: content.clone() });
                }
                newer
            }
            Act::Rank(rank) => {
                let newer = place.order.as_ref().is_none_or(|order| order.stamp < stamp);
                if newer {
                    place.order = Some(Order { stamp, arrival, rank: rank.clone() });
                }
                newer
            }
            Act::Remove => place.remove(stamp, arrival, &change.replaces),
            Act::Bin(_) => false,
        }
    }

    /// Finds out which values lose by this change, before it is put in its place.
    ///
    /// What stands is a head of the graph of writes: whoever had seen it would have written above it. So it is lost if the
    /// new write comes above it without naming it. The new write is lost if something stands above it and no write names it.
    fn judge(
        &self,
        change: &Change,
        stamp: Stamp,
        before: &Document,
        was_seen: &dyn Fn(&Path, Stamp) -> bool,
        applied: &mut Applied,
    ) {
        let Act::Set(content) = &change.act else { return };
        let path = &change.path;
        applied.seen.push((path.clone(), change.replaces.all));
        applied.seen.extend(change.replaces.inside.iter().map(|(below, seen)| (path.join(below), *seen)));
        let new = value_of(content);
        if is_difference(path) {
            // it adds to whatever number stands; only a later number as a whole hides it
            let hides = path.parent().is_some_and(|number| self.stamp_at(&number) > stamp);
            if hides && !was_seen(path, stamp) {
                applied.lost.push(LostValue { path: path.clone(), stamp, value: new.cloned() });
            }
            return;
        }
        let standing = self.stamp_at(path);
        if standing == stamp || standing == Stamp::NEVER {
            return;
        }
        let mut lose = |path: Path, stamp, value: Option<&Value>| {
            if !applied.lost.iter().any(|lost| lost.path == path && lost.stamp == stamp) {
                applied.lost.push(LostValue { path, stamp, value: value.cloned() });
            }
        };
        if weave::is_edit(path) {
            // it is woven into whatever text stands; only a later text as a whole hides it
            if let (Some(text), Some(edit)) = (path.parent(), new)
                && stamp < self.stamp_at(&text)
                && !standing.is_same_save(&stamp)
                && !was_seen(path, stamp)
            {
                let stands = before.get(&text);
                let said = weave::with_edit(stands, edit);
                if !same(said.as_ref(), stands) {
                    lose(text, stamp, said.as_ref());
                }
            }
            return;
        }
        // two copies of a device give the same save each with a time of its own, and it says the same
        let again = standing.is_same_save(&stamp);
        if stamp < standing {
            if !again && !same(new, before.get(path)) && !was_seen(path, stamp) {
                lose(path.clone(), stamp, new);
            }
            return;
        }
        if !again && !change.replaces.has_seen(&Path::root(), standing) && !same(new, before.get(path)) {
            lose(path.clone(), standing, before.get(path));
        }
        let Some(place) = self.place(path) else { return };
        // a text that had edits is lost as one
        let mut hidden: BTreeMap<Path, Stamp> = BTreeMap::new();
        place.visit(&mut Path::root(), &mut |below, place| {
            let Some(write) = &place.write else { return };
            if below.is_root() || change.replaces.has_seen(below, write.stamp) {
                return;
            }
            let full = path.join(below);
            if is_difference(&full) {
                // whoever names it at all has counted it, whatever clock it was stamped by then
                if write.stamp < stamp && !change.replaces.inside.contains_key(below) {
                    lose(full, write.stamp, value_of(&write.content));
                }
                return;
            }
            if let Some(text) = full.parent().filter(|_| weave::is_edit(&full)) {
                let above = below.parent().unwrap_or_default();
                let new = new.and_then(|new| value_in(new, &above));
                if write.stamp < stamp && !same(new, before.get(&text)) {
                    let latest = hidden.entry(text).or_insert(write.stamp);
                    *latest = write.stamp.max(*latest);
                }
                return;
            }
            let new = new.and_then(|new| value_in(new, below));
            if same(new, before.get(&full)) {
                return;
            }
            if write.stamp < stamp {
                lose(full.clone(), write.stamp, before.get(&full));
            } else if write.stamp > stamp && !was_seen(&full, stamp) {
                lose(full, stamp, new);
            }
        });
        for (text, stamp) in hidden {
            lose(text.clone(), stamp, before.get(&text));
        }
    }
}

fn value_of(content: &Content) -> Option<&Value> {
    static NO_ITEMS: Value = Value::Array(Vec::new());
    match content {
        Content::Absent => None,
        Content::Json(text) => Some(&text.0),
        Content::Group => Some(&NO_ITEMS),
    }
}

/// What a value that is written whole says of a place in it.
fn value_in<'a>(value: &'a Value, path: &Path) -> Option<&'a Value> {
    path.0.iter().try_fold(value, |value, segment| match segment {
        Segment::Property(name) => value.as_object()?.get(name),
        Segment::Item(_) => None,
    })
}

fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => json::equal(a, b),
        _ => false,
    }
}
