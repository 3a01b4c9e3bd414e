//! Saves made with a clock that could not be checked, brought to corrected time before any other node gets them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::save::{encode, stamps};
use super::{Draft, Halt, Key};
use crate::domain::clock::{Hlc, MAX_LEAD};
use crate::domain::ids::{RevisionId, TypeName};
use crate::domain::record::{Change, Restamped, State, Written};
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;
use crate::store::{Held, StoreError};

/// A clock that was wrong by no more than this is not worth other stamps; in milliseconds.
const TOLERANCE: i64 = 1_000;

/// What has to be known of a save to bring it to corrected time later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Unchecked {
    /// The time it was made with, in milliseconds.
    pub at: i64,
    /// The correction in that; none if the time itself was checked and only followed saves whose time was not.
    pub offset: Option<i64>,
    /// For each of its records.
    pub records: Vec<Under>,
}

/// What one record's part of a save was put above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct Under {
    /// The latest of other nodes' stamps, and all of this node's that may change.
    pub above: Vec<Stamp>,
    /// Under which publication the record was written before.
    pub written: Option<(Stamp, RevisionId)>,
}

/// A save of the outbox whose time is not checked.
#[derive(Debug, Clone)]
pub(in crate::store) struct Untimed {
    pub save: Save,
    pub unchecked: Unchecked,
}

/// Where the corrected stamps of a record's writes are kept, for forms that were drawn before and name the old ones.
pub(super) fn known_as(key: &Key) -> (String, String) {
    ("restamped".into(), format!("{}/{}", key.0, key.1))
}

impl Draft<'_> {
    /// Changes as they name what was seen by the stamps it has now.
    pub(super) fn as_known_now<'c>(&self, key: &Key, changes: &'c [Change]) -> Result<Cow<'c, [Change]>, Halt> {
        let Some(held) = self.held(key)? else { return Ok(Cow::Borrowed(changes)) };
        let mut standing = BTreeSet::from([Stamp::NEVER]);
        held.state.each_stamp(&mut |stamp| {
            standing.insert(stamp);
        });
        let mut seen = changes.iter().flat_map(|change| stamps(&change.replaces));
        if seen.all(|stamp| standing.contains(stamp)) {
            return Ok(Cow::Borrowed(changes));
        }
        let restamped = self.restamped(key)?;
        if restamped.is_empty() {
            return Ok(Cow::Borrowed(changes));
        }
        let mut changes = changes.to_vec();
        changes.iter_mut().for_each(|change| change.replaces.restamp(&restamped));
        Ok(Cow::Owned(changes))
    }

    fn restamped(&self, key: &Key) -> Result<Restamped, Halt> {
        let Some(known) = self.local_now(&known_as(key))? else { return Ok(Restamped::new()) };
        let pairs: Result<Vec<(Stamp, Stamp)>, _> = serde_json::from_value(known.clone());
        let pairs = pairs.map_err(|err| Halt::Fault(StoreError::Damaged(format!("corrected stamps: {err}"))))?;
        Ok(pairs.into_iter().collect())
    }

    /// `untimed` is in the order in which they were made.
    pub(super) fn retime(&mut self, untimed: &[Untimed], offset: i64, now: i64) -> Result<(), Halt> {
        let mut restamped: BTreeMap<Key, Restamped> = BTreeMap::new();
        // of all records: a write may have been put above one in another record, an entry
        let mut everywhere = Restamped::new();
        let mut revisions: BTreeMap<Key, Vec<(Stamp, RevisionId)>> = BTreeMap::new();
        let own: BTreeSet<u32> = untimed.iter().map(|untimed| untimed.save.id.tag()).collect();
        let mut last = Hlc::ZERO;
        for Untimed { save, unchecked } in untimed {
            let wrong = unchecked.offset.map_or(0, |then| offset.saturating_sub(then));
            let wrong = if wrong.unsigned_abs() <= TOLERANCE.unsigned_abs() { 0 } else { wrong };
            // whatever the clock showed, it was before now
            let at = Hlc::at(unchecked.at.saturating_add(wrong).min(now));
            let mut corrected = save.clone();
            for (record, under) in corrected.records.iter_mut().zip(&unchecked.records) {
                let key = (record.type_name.clone(), record.id);
                let old = save.stamp(record);
                let known = restamped.entry(key.clone()).or_default();
                let now_is = |stamp| known.get(stamp).or_else(|| everywhere.get(stamp)).unwrap_or(stamp);
                let above = under.above.iter().map(|stamp| now_is(stamp).time);
                let above = above.max().unwrap_or_default();
                let is_right = wrong == 0 && above < old.time && old.time <= Hlc::at(now.saturating_add(MAX_LEAD));
                let new = if is_right {
                    last = last.max(old.time.min(Hlc::at(now)));
                    old.time
                } else {
                    last = at.max(last.next());
                    last.max(above.next())
                };
                record.changes.iter_mut().for_each(|change| change.replaces.restamp(known));
                record.time = new;
                if new != old.time {
                    known.insert(old, Stamp { time: new, ..old });
                    let latest = everywhere.entry(old).or_default();
                    *latest = Stamp { time: new, ..old }.max(*latest);
                }
                let written = under.written.filter(|(stamp, _)| !own.contains(&stamp.tag));
                revisions.entry(key).or_default().extend(written);
            }
            let body = if corrected == *save { None } else { Some(encode(&corrected)?) };
            self.news.timed.push((save.id, body));
        }
        restamped.retain(|_, restamped| !restamped.is_empty());
        for (key, restamped) in restamped {
            let under = revisions.remove(&key).unwrap_or_default();
            self.restamp(&key, &restamped, under)?;
            self.news.restamped.push((key, restamped));
        }
        self.clock.correct(now, last);
        Ok(())
    }

    fn replace(&mut self, before: &Held, state: State) {
        if state == before.state {
            return;
        }
        let document = state.document();
        let flags = self.flags(&before.type_name, &state, &document.value, before.flags);
        let held = Held { state, document, flags, ..before.clone() };
        self.shift(Some(before), Some(&held));
        self.put(held);
    }

    /// Nobody else has these writes, so the record keeps its number: there is no news for any reader.
    fn restamp(&mut self, key: &Key, restamped: &Restamped, under: Vec<(Stamp, RevisionId)>) -> Result<(), Halt> {
        let Some(before) = self.held(key)?.cloned() else { return Ok(()) };
        let mut state = before.state.clone();
        let arrival = state.written.map_or(before.seq, |written| written.arrival);
        let under = under.into_iter().map(|(stamp, revision)| Written { stamp, arrival, revision });
        state.restamp(restamped, under);
        self.replace(&before, state);
        // entries that these writes closed
        for id in self.entries(key)?.into_keys() {
            let Some(entry) = self.held(&(TypeName::built_in(TypeName::LOST), id))?.cloned() else { continue };
            let mut state = entry.state.clone();
            state.restamp(restamped, []);
            self.replace(&entry, state);
        }
        let mut known = self.restamped(key)?;
        known.extend(restamped);
        let known: Vec<(Stamp, Stamp)> = known.into_iter().collect();
        let known = serde_json::to_value(known).map_err(|err| Halt::Fault(StoreError::Damaged(err.to_string())))?;
        self.put_local(known_as(key), Some(known));
        Ok(())
    }
}
