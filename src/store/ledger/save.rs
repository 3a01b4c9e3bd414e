//! Saves: a person's on this node, and those that other nodes push.

use std::collections::BTreeSet;

use super::apply::Part;
use super::retime::{Unchecked, Under};
use super::{Draft, Halt, Key, Outgoing};
use crate::domain::clock::Hlc;
use crate::domain::ids::SaveId;
use crate::domain::json;
use crate::domain::path::Segment;
use crate::domain::record::{Act, Change, Content, Cover, State};
use crate::domain::save::{MAX_NESTING, MAX_RECORD_BYTES, MAX_RECORDS, MAX_SAVE_BYTES, Save, SavedRecord};
use crate::domain::stamp::Stamp;
use crate::store::{Expect, Held, LocalSave, Outcome, StoreError, Verdict};

/// Times beyond the year 4199 are no times: a write could not be stamped above them.
const LAST_TIME: i64 = 1 << 46;

impl Draft<'_> {
    pub(super) fn save(&mut self, save: &LocalSave) -> Result<Outcome, Halt> {
        for (index, record) in save.records.iter().enumerate() {
            let key = (record.type_name.clone(), record.id);
            let held = self.held(&key)?;
            let holds = match (record.expect, held) {
                (Expect::New, held) => held.is_none(),
                (Expect::Exists, held) => held.is_some(),
                (Expect::Unchanged(hash), held) => held.is_some_and(|held| held.hash() == hash),
            };
            // whoever asks again for what was deleted for good does not make it anew
            if !holds || (held.is_none() && self.is_gone(&key)?) {
                return Ok(Outcome::Refused { index, now: held.cloned().map(Box::new) });
            }
        }
        let changed = save.records.iter().filter(|record| !record.changes.is_empty());
        if changed.clone().count() > MAX_RECORDS {
            return Err(Halt::Fault(StoreError::Limit(format!("more than {MAX_RECORDS} records"))));
        }
        // what follows saves with an unchecked time is stamped above them, so it is corrected with them
        let waits = |outgoing: &Outgoing| outgoing.unchecked.is_some();
        let untimed = save.unchecked.is_some() || !self.quiet.untimed || self.past.outbox.iter().any(waits);
        let mut records = Vec::new();
        let mut under = Vec::new();
        for record in changed {
            check_readable(&record.changes).map_err(|why| Halt::Fault(StoreError::Limit(why)))?;
            let key = (record.type_name.clone(), record.id);
            let changes = self.as_known_now(&key, &record.changes)?;
            let above = changes.iter().map(|change| self.above(&key, change));
            let above = above.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or_default();
            let time = self.clock.stamp(save.now, above);
            let stamp = Stamp::new(time, save.author, save.id);
            let part = Part { key: &key, changes: &changes, stamp, revision: record.revision };
            if self.held(&key)?.is_none() && !creates(&record.changes) {
                let index = save.records.iter().position(|other| std::ptr::eq(other, record)).unwrap_or_default();
                return Ok(Outcome::Refused { index, now: None });
            }
            if save.outbox && untimed {
                under.push(self.under(&key, &changes)?);
            }
            self.apply(&part, save.now, save.outbox)?;
            if save.outbox {
                records.push(SavedRecord {
                    type_name: record.type_name.clone(),
                    id: record.id,
                    revision: record.revision,
                    time,
                    changes: changes.into_owned(),
                });
            }
        }
        if !records.is_empty() {
            let unchecked = untimed.then_some(Unchecked { at: save.now, offset: save.unchecked, records: under });
            self.send(Save { id: save.id, author: save.author, records }, unchecked)?;
        }
        let held = |key: Key| -> Result<Option<Held>, Halt> { Ok(self.held(&key)?.cloned()) };
        let now = save.records.iter().map(|record| held((record.type_name.clone(), record.id)));
        Ok(Outcome::Saved(now.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
    }

    /// The latest time a change has to come after: what it replaces as its author saw it, and what stands there now.
    fn above(&self, key: &Key, change: &Change) -> Result<Hlc, Halt> {
        let state = self.held(key)?.map(|held| &held.state);
        let mut above = Hlc::ZERO;
        met(state, change, &mut |stamp| above = above.max(stamp.time));
        Ok(above)
    }

    /// All that a save has to stay above, should its own time turn out to be wrong.
    fn under(&self, key: &Key, changes: &[Change]) -> Result<Under, Halt> {
        let entries = self.entries_seen(key, changes)?;
        let mut unsent = self.unsent(key)?;
        for entry in &entries {
            unsent.extend(self.unsent(&(entry.type_name.clone(), entry.id))?);
        }
        let state = self.held(key)?.map(|held| &held.state);
        let mut above = BTreeSet::new();
        let mut others = Stamp::NEVER;
        let mut see = |stamp: Stamp| {
            // this node's own may get other stamps, too
            if unsent.iter().any(|save| save.tag() == stamp.tag) {
                above.insert(stamp);
            } else {
                others = others.max(stamp);
            }
        };
        changes.iter().for_each(|change| met(state, change, &mut see));
        entries.iter().for_each(|entry| entry.state.each_stamp(&mut see));
        above.insert(others);
        let written = state.and_then(|state| state.written).map(|written| (written.stamp, written.revision));
        Ok(Under { above: above.into_iter().collect(), written })
    }

    /// Puts a save into the outbox.
    fn send(&mut self, save: Save, unchecked: Option<Unchecked>) -> Result<(), Halt> {
        let body = encode(&save)?;
        if body.len() > 2 * MAX_SAVE_BYTES {
            return Err(Halt::Fault(StoreError::Limit(format!("more than {MAX_SAVE_BYTES} bytes"))));
        }
        for record in &save.records {
            let key = (record.type_name.clone(), record.id);
            let mut unsent = self.unsent(&key)?;
            unsent.insert(save.id);
            self.facts.unsent.insert(key, unsent);
        }
        let keys = save.records.iter().map(|record| (record.type_name.clone(), record.id)).collect();
        self.facts.sent.insert(save.id, Some(keys));
        self.facts.queued.insert(save.id, Some(save.clone()));
        self.news.outbox.push(Outgoing { save, body, unchecked });
        Ok(())
    }

    /// Sends on what another node made. Of a save that waits already only another version of it follows: a twin of its node
    /// may have corrected the stamps otherwise, and the hub has to join both.
    fn send_on(&mut self, save: &Save) -> Result<(), Halt> {
        match self.queued(save.id)? {
            None => self.send(save.clone(), None),
            Some(queued) if queued == save => Ok(()),
            Some(_) => {
                let value =
                    serde_json::to_value(save).map_err(|err| Halt::Fault(StoreError::Limit(err.to_string())))?;
                self.put_local(super::again(save.id), Some(value));
                Ok(())
            }
        }
    }

    /// The hub has a save: another version of it that came meanwhile is next.
    pub(super) fn send_again(&mut self, id: SaveId) -> Result<(), Halt> {
        let at = super::again(id);
        if self.quiet.unsent {
            return Ok(());
        }
        let Some(kept) = self.local_now(&at)?.cloned() else { return Ok(()) };
        let save = serde_json::from_value(kept).map_err(|err| Halt::Fault(StoreError::Damaged(err.to_string())))?;
        self.put_local(at, None);
        self.send(save, None)
    }

    pub(super) fn receive(&mut self, save: &Save, now: i64, relay: bool) -> Result<Verdict, Halt> {
        if let Err(why) = check(save, Limits::Held) {
            return Ok(Verdict::Refused(why));
        }
        let mut lacks = false;
        for record in &save.records {
            let key = (record.type_name.clone(), record.id);
            self.clock.observe(now, record.time);
            if self.held(&key)?.is_none() && !relay && self.receive_gone(save, record, now)? {
                continue;
            }
            if self.held(&key)?.is_none() && !record.creates() {
                // what may not be made is not wanted either, nor, by an edge between, what it heard is elsewhere
                lacks |= self.shadow(&key)?.is_none() && (!relay || self.left(&key)?.is_empty());
                let mut waiting = self.waiting(&key)?;
                let part = Save { records: vec![record.clone()], ..*save };
                if !waiting.contains(&part) {
                    waiting.push(part.clone());
                    self.facts.waiting.insert(key.clone(), waiting);
                    self.news.waits.push((key.clone(), part));
                    self.wait_for_denied(&key, &[], now)?;
                }
                continue;
            }
            let stamp = save.stamp(record);
            let part = Part { key: &key, changes: &record.changes, stamp, revision: record.revision };
            self.apply(&part, now, relay)?;
        }
        if relay {
            self.send_on(save)?;
        }
        Ok(if lacks { Verdict::Waits } else { Verdict::Accepted })
    }
}

pub(super) fn stamps(cover: &Cover) -> impl Iterator<Item = &Stamp> {
    cover.inside.values().chain([&cover.all])
}

pub(super) fn creates(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.path.is_root() && matches!(change.act, Act::Set(_)))
}

/// The stamps that a change has to come after: those it replaces as its author saw them, and those that it meets in the
/// record as it is.
fn met(state: Option<&State>, change: &Change, see: &mut dyn FnMut(Stamp)) {
    fn all(cover: &Cover, see: &mut dyn FnMut(Stamp)) {
        stamps(cover).for_each(|stamp| see(*stamp));
    }
    all(&change.replaces, see);
    let Some(state) = state else { return };
    let place = state.place(&change.path);
    match &change.act {
        Act::Set(_) => all(&state.cover(&change.path), see),
        Act::Remove => {
            all(&state.cover(&change.path), see);
            place.and_then(|place| place.removal.as_ref()).iter().for_each(|removal| see(removal.stamp));
        }
        Act::Rank(_) => {
            see(state.stamp_at(&change.path));
            place.and_then(|place| place.order.as_ref()).iter().for_each(|order| see(order.stamp));
        }
        Act::Bin(_) => state.each_stamp(see),
    }
}

pub(super) fn encode(save: &Save) -> Result<Vec<u8>, Halt> {
    let mut body = Vec::new();
    ciborium::into_writer(save, &mut body)
        .map_err(|err| Halt::Fault(StoreError::Limit(format!("it cannot be encoded: {err}"))))?;
    Ok(body)
}

/// Whether a save may have any size: what is kept from being is kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limits {
    Held,
    Waived,
}

/// Why a save that another node made cannot be kept here, in words for people.
pub(super) fn check(save: &Save, limits: Limits) -> Result<(), String> {
    if save.records.is_empty() {
        return Err("it holds no records".into());
    }
    if limits == Limits::Held && save.records.len() > MAX_RECORDS {
        return Err(format!("it holds more than {MAX_RECORDS} records"));
    }
    let mut total = 0usize;
    for record in &save.records {
        // what cannot be counted cannot be kept either
        let size = json::size(&record.changes).unwrap_or(usize::MAX / 4);
        if limits == Limits::Held && size > 2 * MAX_RECORD_BYTES {
            return Err(format!("a record in it is larger than {MAX_RECORD_BYTES} bytes"));
        }
        total = total.saturating_add(size);
        let seen = record.changes.iter().flat_map(|change| stamps(&change.replaces));
        let mut times = seen.map(|stamp| stamp.time).chain([record.time]);
        if times.any(|time| time.0 < 0 || time.millis() >= LAST_TIME) || record.time == Hlc::ZERO {
            return Err("a time in it is no time".into());
        }
        check_readable(&record.changes)?;
        let whole = |change: &Change| match &change.act {
            Act::Set(Content::Json(text)) => text.0.is_object(),
            Act::Set(_) | Act::Rank(_) | Act::Remove => false,
            Act::Bin(_) => true,
        };
        if !record.changes.iter().filter(|change| change.path.is_root()).all(whole) {
            return Err("a record in it is no object".into());
        }
    }
    if limits == Limits::Held && total > 2 * MAX_SAVE_BYTES {
        return Err(format!("it is larger than {MAX_SAVE_BYTES} bytes"));
    }
    Ok(())
}

/// What is written must be readable again.
fn check_readable(changes: &[Change]) -> Result<(), String> {
    let depth = |change: &Change| {
        let value = match &change.act {
            Act::Set(Content::Json(text)) => json::nesting(&text.0),
            _ => 0,
        };
        let seen = change.replaces.inside.keys().map(|path| path.0.len()).max().unwrap_or_default();
        change.path.0.len() + value.max(seen)
    };
    if changes.iter().any(|change| depth(change) > MAX_NESTING) {
        return Err(format!("a value is nested deeper than {MAX_NESTING} levels"));
    }
    for change in changes {
        let named = change.path.0.iter().find_map(|segment| match segment {
            Segment::Property(name) if json::is_reserved(name) => Some(name.as_str()),
            _ => None,
        });
        let held = || match &change.act {
            Act::Set(Content::Json(text)) => json::reserved_member(&text.0).map(|(_, name)| name),
            _ => None,
        };
        if let Some(name) = named.or_else(held) {
            return Err(format!("the name {name:?} in it is reserved"));
        }
    }
    Ok(())
}
