//! A record as a node holds it, and how two versions of it become one.
//!
//! A record is a tree of *places*. A place may carry the latest *write* of everything at and below it; places below may
//! carry later ones. What people see, the [`Document`], is a projection of that tree: at each place the latest write at
//! or above it decides. Merging is the join of two trees, place by place, and needs no schema. It is commutative,
//! associative and idempotent, because a write is hidden exactly by a later one at or above its place, and "later" is a
//! total order.
//!
//! Two things are not "the later one wins". Removing an optional object or an item of a group names what the remover
//! saw there ([`Cover`]); the place is gone only while nothing else was written in it, and what it held is kept with it.
//! And the bin is a register of the record as a whole: an edit does not bring a binned record back by itself.

mod align;
mod apply;
mod cover;
mod document;
pub mod hash;
mod join;
#[cfg(test)]
mod laws;
pub mod pack;
mod project;
mod restamp;
mod weave;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::json;

pub use align::Origins;
pub use apply::{Act, Applied, Change, Effect, EffectKind, LostValue};
pub use cover::Cover;
pub use document::{Document, Keys};
pub use project::{difference, is_difference, told_at};
pub use restamp::Restamped;
pub use weave::{edit_key, edited};

use super::ids::RevisionId;
use super::path::{Path, Segment};
use super::stamp::Stamp;

/// What was written at a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Nothing: the property is not there. Other than `null`, which is a value.
    #[serde(rename = "-")]
    Absent,
    /// A value, whole.
    #[serde(rename = "j")]
    Json(JsonText),
    /// A repeated group; its items are places of their own.
    #[serde(rename = "g")]
    Group,
}

impl Content {
    pub fn json(value: Value) -> Self {
        Content::Json(JsonText(value))
    }
}

/// A JSON value that travels as its text, so that any encoding keeps every digit.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonText(pub Value);

impl Serialize for JsonText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.0.serialize(serializer) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            json::deserialize(deserializer).map(JsonText)
        } else {
            let text = String::deserialize(deserializer)?;
            json::read(&text).map(JsonText).map_err(serde::de::Error::custom)
        }
    }
}

/// The latest write of a place as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    pub stamp: Stamp,
    /// This node's number of the change that brought it. Differs per node; no part of what is compared or hashed.
    pub arrival: u64,
    pub content: Content,
}

/// The place was removed by someone who had seen what `cover` names.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// The latest of the removals, for showing who did it.
    pub stamp: Stamp,
    pub arrival: u64,
    pub cover: Cover,
}

/// Where an item stands among its siblings: a fractional index, compared as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub stamp: Stamp,
    pub arrival: u64,
    pub rank: String,
}

/// A place in a record and all places below it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Place {
    pub write: Option<Write>,
    pub removal: Option<Removal>,
    pub order: Option<Order>,
    pub inside: BTreeMap<Segment, Place>,
}

/// Whether the record is in the bin.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    pub stamp: Stamp,
    pub arrival: u64,
    pub binned: bool,
    /// What the person who pressed the button had seen.
    pub cover: Cover,
}

/// Under which publication of its type the record was last written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Written {
    pub stamp: Stamp,
    pub arrival: u64,
    pub revision: RevisionId,
}

/// A whole record, without its identity.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    pub root: Place,
    pub bin: Option<Bin>,
    pub written: Option<Written>,
}

impl State {
    /// Whether the record was created: a record is never built from some of its fields.
    pub fn exists(&self) -> bool {
        self.root.write.is_some()
    }

    pub fn is_binned(&self) -> bool {
        self.bin.as_ref().is_some_and(|bin| bin.binned)
    }

    /// Whether somebody who had not seen the deletion wrote in the record. Shown, and never undone by itself.
    pub fn is_edited_after_deletion(&self) -> bool {
        self.bin.as_ref().is_some_and(|bin| bin.binned && self.root.survives(&bin.cover))
    }

    pub fn revision(&self) -> Option<RevisionId> {
        self.written.map(|written| written.revision)
    }

    /// The latest stamp anywhere in the record: when it was last changed, and by whom.
    pub fn latest(&self) -> Stamp {
        self.bin.as_ref().map_or(Stamp::NEVER, |bin| bin.stamp).max(self.root.latest())
    }

    /// Every stamp of a write, a removal, a rank or the bin.
    pub fn each_stamp(&self, see: &mut dyn FnMut(Stamp)) {
        self.bin.iter().for_each(|bin| see(bin.stamp));
        self.root.each_stamp(see);
    }

    /// Whether it has repeated items, whose keys are no part of the document's text.
    pub fn has_groups(&self) -> bool {
        fn search(place: &Place) -> bool {
            let here = place.write.as_ref().is_some_and(|write| write.content == Content::Group);
            here || place.inside.values().any(search)
        }
        search(&self.root)
    }

    /// The place at a path, if anything was ever written there on its own.
    pub fn place(&self, path: &Path) -> Option<&Place> {
        path.0.iter().try_fold(&self.root, |place, segment| place.inside.get(segment))
    }

    /// The stamp of the write that decides the value at a path: the latest at or above it.
    pub fn stamp_at(&self, path: &Path) -> Stamp {
        let mut stamp = Stamp::NEVER;
        let mut place = Some(&self.root);
        let mut steps = path.0.iter();
        while let Some(here) = place {
            stamp = here.write.as_ref().map_or(stamp, |write| stamp.max(write.stamp));
            place = steps.next().and_then(|segment| here.inside.get(segment));
        }
        stamp
    }

    /// What a writer who has this version in front of them sees at a path: the stamps their write replaces.
    pub fn cover(&self, path: &Path) -> Cover {
        let mut cover = Cover { all: self.stamp_at(path), inside: BTreeMap::new() };
        if let Some(place) = self.place(path) {
            place.visit(&mut Path::root(), &mut |below, place| {
                if let Some(write) = &place.write
                    && write.stamp > cover.all
                {
                    cover.inside.insert(below.clone(), write.stamp);
                }
            });
        }
        cover
    }

    /// The stamps of all places that have one of their own, in order of place; for the `fields` of the API.
    pub fn stamps(&self) -> Vec<(Path, Stamp)> {
        let mut stamps = Vec::new();
        self.root.visit(&mut Path::root(), &mut |path, place| {
            if let Some(write) = &place.write {
                stamps.push((path.clone(), write.stamp));
            }
        });
        stamps
    }
}

impl Place {
    /// The latest stamp at or below this place.
    pub fn latest(&self) -> Stamp {
        let mut latest = Stamp::NEVER;
        self.each_stamp(&mut |stamp| latest = latest.max(stamp));
        latest
    }

    fn each_stamp(&self, see: &mut dyn FnMut(Stamp)) {
        self.write.iter().for_each(|write| see(write.stamp));
        self.removal.iter().for_each(|removal| see(removal.stamp));
        self.order.iter().for_each(|order| see(order.stamp));
        self.inside.values().for_each(|below| below.each_stamp(see));
    }

    /// Walks this place and all below it, parents first.
    pub fn visit(&self, path: &mut Path, see: &mut dyn FnMut(&Path, &Place)) {
        see(path, self);
        for (segment, place) in &self.inside {
            path.0.push(segment.clone());
            place.visit(path, see);
            path.0.pop();
        }
    }

    /// Whether some write at or below this place is not covered.
    pub(crate) fn survives(&self, cover: &Cover) -> bool {
        fn search(place: &Place, path: &mut Path, cover: &Cover) -> bool {
            if place.write.as_ref().is_some_and(|write| !cover.covers(path, write.stamp)) {
                return true;
            }
            place.inside.iter().any(|(segment, place)| {
                path.0.push(segment.clone());
                let found = search(place, path, cover);
                path.0.pop();
                found
            })
        }
        search(self, &mut Path::root(), cover)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.write.is_none() && self.removal.is_none() && self.order.is_none() && self.inside.is_empty()
    }
}
