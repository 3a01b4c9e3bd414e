//! What an edge gives back that this node lost: whole records, joined and numbered as a push is.

use super::keep::decided;
use super::{Draft, Halt, Key, Need, missing};
use crate::domain::ids::TypeName;
use crate::domain::json as canonical;
use crate::domain::path::Path;
use crate::domain::record::pack::unpack;
use crate::domain::record::{Content, LostValue, Place, State, is_difference};
use crate::domain::save::MAX_NESTING;
use crate::store::{Held, OfferedPage, Row};

impl Draft<'_> {
    /// `relay`: what lost is for the node above to judge.
    pub(super) fn offer(&mut self, row: &Row, page: &OfferedPage, now: i64, relay: bool) -> Result<(), Halt> {
        let key = (row.type_name.clone(), row.id);
        // whoever handed it in has read it
        let Ok(incoming) = unpack(&row.state, row.seq, None, &page.dictionary) else { return Ok(()) };
        let held = self.held(&key)?.cloned();
        if held.is_none() && !incoming.exists() {
            return Ok(());
        }
        if held.is_none() && !relay && self.offered_gone(&key, &incoming, &page.partition, now)? {
            return Ok(());
        }
        if self.shadow(&key)?.is_some() {
            // what was denied in it could come back by that; it is compared again when that is decided
            return self.absent(&key, &page.partition, incoming.latest(), now);
        }
        // what the hub alone writes loses nothing of anybody's
        let judged = !relay && !matches!(key.0.as_str(), TypeName::LOST | TypeName::QUARANTINE);
        let lost = match &held {
            Some(held) if judged => self.overruled(&key, held, &incoming)?,
            _ => Vec::new(),
        };
        let counted = match &held {
            Some(held) if judged => [&held.state, &incoming].into_iter().flat_map(differences).collect(),
            _ => Vec::new(),
        };
        let latest = incoming.latest();
        let mut state = held.as_ref().map_or_else(State::default, |held| held.state.clone());
        let written_before = state.written;
        let changed = state.join(incoming, self.seq + 1);
        let rewritten = state.written != written_before;
        let document = state.document();
        if canonical::nesting(&document.value) > MAX_NESTING {
            return Ok(());
        }
        self.clock.observe(now, latest.time);
        if held.is_none() || rewritten || !changed.is_empty() {
            let by = changed.iter().map(|path| decided(&state, path)).max().unwrap_or(latest);
            let seq = self.seq + 1;
            let moved = self.keep(&key, held.as_ref(), (state, document), by, false)?;
            match &held {
                None => self.come(&key, now, relay)?,
                Some(before) => {
                    self.tell_of_page(&key, before, &changed, seq, now)?;
                    if moved && !relay {
                        self.move_entries(&key)?;
                    }
                }
            }
        }
        for lost in &lost {
            self.lose(&key, lost, false)?;
        }
        lost.iter().try_for_each(|lost| self.put_again(&key, lost, now))?;
        counted.iter().try_for_each(|difference| self.still_counts(&key, difference, now))?;
        self.announce_absent(&key, &page.partition)
    }

    /// A difference that was here, or came, counts also where a later number came, or was here, unless that has counted it.
    fn still_counts(&mut self, key: &Key, difference: &LostValue, now: i64) -> Result<(), Halt> {
        let place = self.held(key)?.and_then(|held| held.state.place(&difference.path));
        if place.is_some_and(|place| place.write.is_some()) {
            return Ok(());
        }
        match self.is_named(key, &difference.path, difference.stamp) {
            Some(true) => Ok(()),
            Some(false) => self.count_again(key, difference, now),
            None => missing(Need::Named(key.clone())),
        }
    }

    /// Values that come now and stand below later ones here, of which nobody knew who wrote those.
    fn overruled(&self, key: &Key, held: &Held, incoming: &State) -> Result<Vec<LostValue>, Halt> {
        let mut below = Vec::new();
        values(&incoming.root, &mut Path::root(), &mut below);
        below.retain(|lost| {
            let here = held.state.place(&lost.path).and_then(|place| place.write.as_ref());
            let stands = held.document.get(&lost.path);
            !is_difference(&lost.path)
                && held.state.stamp_at(&lost.path) > lost.stamp
                && !held.state.stamp_at(&lost.path).is_same_save(&lost.stamp)
                && here.is_none_or(|write| write.stamp > lost.stamp)
                && !match (stands, &lost.value) {
                    (Some(a), Some(b)) => canonical::equal(a, b),
                    (None, None) => true,
                    _ => false,
                }
        });
        let mut found = Vec::new();
        for lost in below {
            match self.is_named(key, &lost.path, lost.stamp) {
                Some(true) => {}
                Some(false) => found.push(lost),
                None => return missing(Need::Named(key.clone())),
            }
        }
        Ok(found)
    }
}

fn differences(state: &State) -> Vec<LostValue> {
    let mut found = Vec::new();
    values(&state.root, &mut Path::root(), &mut found);
    found.retain(|value| is_difference(&value.path));
    found
}

fn values(place: &Place, path: &mut Path, found: &mut Vec<LostValue>) {
    if let Some(write) = place.write.as_ref().filter(|_| !path.is_root()) {
        let value = match &write.content {
            Content::Json(text) => Some(Some(text.0.clone())),
            Content::Absent => Some(None),
            Content::Group => None,
        };
        found.extend(value.map(|value| LostValue { path: path.clone(), stamp: write.stamp, value }));
    }
    for (segment, below) in &place.inside {
        path.0.push(segment.clone());
        values(below, path, found);
        path.0.pop();
    }
}
