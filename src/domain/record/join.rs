//! The join of two versions of a record.

use serde_json::Value;

use super::{Bin, Content, Cover, Order, Place, Removal, State, Write, Written};
use crate::domain::path::{Path, Segment};
use crate::domain::stamp::Stamp;

impl State {
    /// Joins another version of the same record into this one. What comes in gets `arrival` as its number. Returns the
    /// places that changed, in order; joining the same again returns none.
    pub fn join(&mut self, other: State, arrival: u64) -> Vec<Path> {
        let mut changed = Vec::new();
        self.root.join(other.root, arrival, Stamp::NEVER, &mut Path::root(), &mut changed);
        self.settle();
        if let Some(bin) = other.bin
            && self.bin.as_ref().is_none_or(|mine| mine.stamp < bin.stamp)
        {
            self.bin = Some(Bin { arrival, ..bin });
            if changed.first() != Some(&Path::root()) {
                changed.insert(0, Path::root());
            }
        }
        if let Some(written) = other.written {
            self.note_revision(Written { arrival, ..written });
        }
        changed
    }

    /// Notes under which publication the latest write was made.
    pub fn note_revision(&mut self, written: Written) {
        if self.written.is_none_or(|mine| mine.stamp < written.stamp) {
            self.written = Some(written);
        }
    }

    /// Gives all of the record one number, for readers who have seen nothing of it.
    pub fn renumber(&mut self, arrival: u64) {
        fn place(here: &mut Place, arrival: u64) {
            here.write.iter_mut().for_each(|write| write.arrival = arrival);
            here.removal.iter_mut().for_each(|removal| removal.arrival = arrival);
            here.order.iter_mut().for_each(|order| order.arrival = arrival);
            here.inside.values_mut().for_each(|below| place(below, arrival));
        }
        place(&mut self.root, arrival);
        self.bin.iter_mut().for_each(|bin| bin.arrival = arrival);
        self.written.iter_mut().for_each(|written| written.arrival = arrival);
    }

    /// Brings the tree into its one normal form after a change.
    pub(super) fn settle(&mut self) {
        self.root.settle(Stamp::NEVER, None);
    }

    /// Only what came with a number above `base`: what a reader who is complete up to `base` lacks.
    pub fn since(&self, base: u64) -> State {
        State {
            root: self.root.since(base),
            bin: self.bin.clone().filter(|bin| bin.arrival > base),
            written: self.written.filter(|written| written.arrival > base),
        }
    }
}

impl Place {
    /// `above` is the latest stamp on the way down in the joined tree: what is earlier is hidden and does not come in.
    fn join(&mut self, other: Place, arrival: u64, above: Stamp, path: &mut Path, changed: &mut Vec<Path>) {
        let mut touched = false;
        if let Some(write) = other.write
            && write.stamp >= above
            && self.write.as_ref().is_none_or(|mine| mine.stamp < write.stamp)
        {
            self.write = Some(Write { arrival, ..write });
            touched = true;
        }
        if let Some(order) = other.order
            && order.stamp >= above
            && self.order.as_ref().is_none_or(|mine| mine.stamp < order.stamp)
        {
            self.order = Some(Order { arrival, ..order });
            touched = true;
        }
        if let Some(removal) = other.removal {
            touched |= self.remove(removal.stamp, arrival, &removal.cover);
        }
        if touched {
            changed.push(path.clone());
        }
        let here = self.write.as_ref().map_or(above, |write| above.max(write.stamp));
        for (segment, theirs) in other.inside {
            path.0.push(segment.clone());
            self.inside.entry(segment).or_default().join(theirs, arrival, here, path, changed);
            path.0.pop();
        }
    }

    /// Adds a removal to those that are there; says whether it named anything new. Removals are only ever added: what is
    /// in them depends on the removals alone, not on the order in which they and the writes came.
    pub(super) fn remove(&mut self, stamp: Stamp, arrival: u64, cover: &Cover) -> bool {
        let Some(mine) = &mut self.removal else {
            self.removal = Some(Removal { stamp, arrival, cover: cover.clone() });
            return true;
        };
        let mut joined = mine.cover.clone();
        joined.join(cover);
        let grew = joined != mine.cover || stamp > mine.stamp;
        if grew {
            *mine = Removal { stamp: stamp.max(mine.stamp), arrival, cover: joined };
        }
        grew
    }

    /// Drops what a later write above hides; a write of the same save as the one above stays, the two were made together.
    /// And gives a removed place its own copy of what the write above says of it, since that is no longer shown above.
    fn settle(&mut self, above: Stamp, source: Option<(&Write, &Value)>) {
        if self.write.as_ref().is_some_and(|write| write.stamp < above) {
            self.write = None;
        }
        if self.order.as_ref().is_some_and(|order| order.stamp < above) {
            self.order = None;
        }
        if self.removal.is_some()
            && self.write.is_none()
            && let Some((write, value)) = source
        {
            self.write = Some(Write { content: Content::json(value.clone()), ..*write });
        }
        let here = self.write.as_ref().map_or(above, |write| above.max(write.stamp));
        let source = match &self.write {
            Some(write) => match &write.content {
                Content::Json(text) => Some((write, &text.0)),
                Content::Absent | Content::Group => None,
            },
            None => source,
        };
        self.inside.retain(|segment, place| {
            let below = match segment {
                Segment::Property(name) => {
                    source.and_then(|(write, value)| Some((write, value.as_object()?.get(name)?)))
                }
                Segment::Item(_) => None,
            };
            place.settle(here, below);
            !place.is_empty()
        });
    }

    fn since(&self, base: u64) -> Place {
        Place {
            write: self.write.clone().filter(|write| write.arrival > base),
            removal: self.removal.clone().filter(|removal| removal.arrival > base),
            order: self.order.clone().filter(|order| order.arrival > base),
            inside: self
                .inside
                .iter()
                .map(|(segment, place)| (segment.clone(), place.since(base)))
                .filter(|(_, place)| !place.is_empty())
                .collect(),
        }
    }
}
