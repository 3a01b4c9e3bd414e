//! Records that are deleted for good, and removals that are forgotten.
//!
//! A record that is deleted for good leaves its partition, as one does that moves elsewhere: readers are told so by
//! number. What it was is kept, where no reader sees it, until nobody can have written in it who has not heard: then it is
//! forgotten, with the removal. Whatever somebody writes in it before brings all of it back. What comes later, from a
//! node that was silent for too long, finds only its name: that goes to quarantine, and nothing is made of it by itself.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::apply::Part;
use super::save::encode;
use super::{Draft, Halt, Key, Line, Need, lost, missing, quarantine};
use crate::domain::ids::{Epoch, Partition, RecordId, SaveId, TypeName};
use crate::domain::path::Path;
use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
use crate::domain::record::{State, Written};
use crate::domain::save::{Save, SavedRecord};
use crate::domain::stamp::{Author, Stamp};
use crate::store::{Denied, Flags, Held, StoreError};

/// The kind of local document that says of a record that it was deleted for good; by type and id. It stays.
pub const GONE: &str = "gone";
/// The kind of local document that keeps what such a record was, until that is forgotten; by type and id.
pub const REMAINS: &str = "remains";
/// The kind of local document that says up to which number removals in a partition are forgotten; by partition.
pub const FLOOR: &str = "floor";

/// Told to whoever wrote in what is forgotten.
const TOO_LATE: &str = "the record was deleted for good before this came";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Gone {
    /// Of the deletion: above all that was in the record.
    stamp: Stamp,
    /// Where it was.
    partition: Partition,
    /// Saves that came after it was forgotten: each has its entry in quarantine.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    edits: BTreeSet<SaveId>,
}

#[derive(Debug, Clone)]
struct Remains {
    state: State,
    /// The partitions whose readers are told, with the numbers of that.
    told: BTreeMap<Partition, u64>,
    /// The writes in it that others name as seen.
    named: BTreeSet<(Path, Stamp)>,
    /// The lost values of it that went with it.
    entries: Vec<RecordId>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    state: String,
    dictionary: Dictionary,
    told: BTreeMap<Partition, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    named: Vec<(Path, Stamp)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    entries: Vec<RecordId>,
}

/// Up to which number the removals of a partition are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub epoch: Epoch,
    pub upto: u64,
}

impl Remains {
    fn to_value(&self) -> Value {
        let mut dictionary = Dictionary::default();
        let mut state = self.state.clone();
        // numbers of arrival are nothing to what is not there
        state.renumber(1);
        let kept = Kept {
            state: HEXLOWER.encode(&pack(&state, 1, Values::Inline, &mut dictionary)),
            dictionary,
            told: self.told.clone(),
            named: self.named.iter().cloned().collect(),
            entries: self.entries.clone(),
        };
        serde_json::to_value(kept).expect("what is kept is plain data")
    }

    fn of_value(value: &Value) -> Result<Self, Halt> {
        let kept = Kept::deserialize(value).map_err(|err| damaged(&err.to_string()))?;
        let bytes = HEXLOWER.decode(kept.state.as_bytes()).map_err(|err| damaged(&err.to_string()))?;
        let state = unpack(&bytes, 1, None, &kept.dictionary).map_err(|err| damaged(&err.to_string()))?;
        Ok(Self { state, told: kept.told, named: kept.named.into_iter().collect(), entries: kept.entries })
    }
}

fn damaged(why: &str) -> Halt {
    Halt::Fault(StoreError::Damaged(format!("remains: {why}")))
}

/// Whether such a document of remains is of a record whose removal every reader it was told to knows, by the floors.
pub fn is_settled(remains: &Value, floor: impl Fn(&Partition) -> u64) -> bool {
    Kept::deserialize(remains).is_ok_and(|kept| kept.told.iter().all(|(partition, seq)| floor(partition) >= *seq))
}

pub(super) fn gone_at(key: &Key) -> (String, String) {
    (GONE.into(), format!("{}/{}", key.0, key.1))
}

fn remains_at(key: &Key) -> (String, String) {
    (REMAINS.into(), format!("{}/{}", key.0, key.1))
}

/// The record that a document of remains is of.
pub fn remains_of(key: &str) -> Option<Key> {
    let (type_name, id) = key.split_once('/')?;
    Some((type_name.parse().ok()?, id.parse().ok()?))
}

impl Draft<'_> {
    fn gone(&self, key: &Key) -> Result<Option<Gone>, Halt> {
        let at = gone_at(key);
        let value = match self.facts.locals.get(&at).or_else(|| self.base.locals.get(&at)) {
            Some(value) => value.as_ref(),
            None if self.quiet.gone => None,
            None => return missing(Need::Local(at.0, at.1)),
        };
        value.map(|value| Gone::deserialize(value).map_err(|err| damaged(&err.to_string()))).transpose()
    }

    pub(super) fn is_gone(&self, key: &Key) -> Result<bool, Halt> {
        Ok(self.gone(key)?.is_some())
    }

    fn put_gone(&mut self, key: &Key, gone: &Gone) {
        self.put_local(gone_at(key), Some(serde_json::to_value(gone).expect("what is kept is plain data")));
    }

    fn remains(&self, key: &Key) -> Result<Option<Remains>, Halt> {
        self.local_now(&remains_at(key))?.map(Remains::of_value).transpose()
    }

    /// Somebody decided that it is there again: nothing says any more that it was deleted.
    pub(super) fn not_gone(&mut self, key: &Key) -> Result<(), Halt> {
        if self.is_gone(key)? {
            self.put_local(gone_at(key), None);
            self.put_local(remains_at(key), None);
        }
        Ok(())
    }

    /// Deletes a record for good with the lost values of it. It is left as it is, if it is not in the bin, if somebody
    /// edited it there, or if a save in it waits for a decision. A lost value goes if it is decided.
    pub(super) fn purge(&mut self, key: &Key, by: Author, now: i64) -> Result<(), Halt> {
        let Some(held) = self.held(key)?.cloned() else { return Ok(()) };
        let may_go = if key.0.as_str() == TypeName::LOST {
            !lost::is_open(&held)
        } else {
            held.state.is_binned() && !held.state.is_edited_after_deletion()
        };
        let kept = Flags::PROVISIONAL.0 | Flags::LEAVING.0;
        if !may_go || held.flags.0 & kept != 0 || held.partition.is_local() || self.waits_for_decision(key)? {
            return Ok(());
        }
        let mut entries = Vec::new();
        for id in self.entries(key)?.into_keys() {
            let entry = (TypeName::built_in(TypeName::LOST), id);
            if let Some(held) = self.held(&entry)?.filter(|held| !held.flags.has(Flags::PROVISIONAL)).cloned() {
                self.bury(&held, Vec::new(), by, now)?;
                entries.push(id);
            }
        }
        // it is flagged otherwise now
        let Some(held) = self.held(key)?.cloned() else { return Ok(()) };
        self.drop_shadow(key)?;
        self.bury(&held, entries, by, now)
    }

    fn bury(&mut self, held: &Held, entries: Vec<RecordId>, by: Author, now: i64) -> Result<(), Halt> {
        let key = (held.type_name.clone(), held.id);
        let named = self.named(&key)?;
        let left = BTreeSet::from([held.partition.clone()]);
        let (stamp, told) = self.tell_gone(&key, left, held.state.latest(), by, now)?;
        self.put_gone(&key, &Gone { stamp, partition: held.partition.clone(), edits: BTreeSet::new() });
        let remains = Remains { state: held.state.clone(), told, named, entries };
        self.put_local(remains_at(&key), Some(remains.to_value()));
        self.drop_record(held)
    }

    /// Tells the readers of these partitions, and of all that the record left before, that it is not there.
    fn tell_gone(
        &mut self,
        key: &Key,
        partitions: BTreeSet<Partition>,
        above: Stamp,
        by: Author,
        now: i64,
    ) -> Result<(Stamp, BTreeMap<Partition, u64>), Halt> {
        let mut left = self.left(key)?;
        left.extend(partitions);
        let time = self.clock.stamp(now, above.time);
        self.seq += 1;
        let seq = self.seq;
        let stamp = Stamp { time, author: by, tag: seq as u32 };
        for partition in &left {
            self.news.moved.insert((partition.clone(), key.clone()), Some((seq, stamp)));
            self.head(partition, seq);
            self.notify(partition.clone(), key, seq, stamp);
        }
        let told = left.iter().map(|partition| (partition.clone(), seq)).collect();
        self.facts.left.insert(key.clone(), left);
        Ok((stamp, told))
    }

    /// The writes of a record that others name as seen.
    fn named(&self, key: &Key) -> Result<BTreeSet<(Path, Stamp)>, Halt> {
        let Some(on_disk) = self.base.named.get(key) else { return missing(Need::Named(key.clone())) };
        let recent = self.past.lines.iter().chain(&self.news.lines).filter(|(of, _)| of == key);
        let recent = recent.map(|(_, line)| (line.path.clone(), line.replaced));
        Ok(on_disk.iter().cloned().chain(recent).filter(|(_, stamp)| *stamp != Stamp::NEVER).collect())
    }

    /// A save in a record that is not here: says whether it was deleted for good, and sees to it that nothing is lost of
    /// what the save says that was not known then.
    pub(super) fn receive_gone(&mut self, save: &Save, record: &SavedRecord, now: i64) -> Result<bool, Halt> {
        let key = (record.type_name.clone(), record.id);
        let Some(gone) = self.gone(&key)? else { return Ok(false) };
        let Some(remains) = self.remains(&key)? else {
            self.keep_edit(&key, gone, save, record, now)?;
            return Ok(true);
        };
        let (stamp, seq) = (save.stamp(record), self.seq + 1);
        let mut state = remains.state.clone();
        let was_seen = |path: &Path, stamp: Stamp| {
            let of_place = remains.named.range((path.clone(), Stamp::NEVER)..).take_while(|(of, _)| of == path);
            of_place.into_iter().any(|(_, replaced)| replaced.is_same_save(&stamp))
        };
        let applied = state.apply(&record.changes, stamp, seq, &was_seen);
        if !applied.changed && applied.lost.is_empty() {
            // it was known when the record went
            return Ok(true);
        }
        if let Some(revision) = record.revision {
            state.note_revision(Written { stamp, arrival: seq, revision });
        }
        self.come_back(&key, remains, state, stamp, now)?;
        let part = Part { key: &key, changes: &record.changes, stamp, revision: record.revision };
        self.tell(&part, &applied, seq, now, false)?;
        Ok(true)
    }

    /// The record is there again, new to every reader.
    fn come_back(&mut self, key: &Key, remains: Remains, mut state: State, by: Stamp, now: i64) -> Result<(), Halt> {
        self.not_gone(key)?;
        let seq = self.seq + 1;
        state.renumber(seq);
        let hidden = remains.named.into_iter().map(|(path, replaced)| Line {
            seq,
            stamp: by,
            path,
            act: None,
            old: None,
            new: None,
            replaced,
            seen_at: now,
        });
        self.news.lines.extend(hidden.map(|line| (key.clone(), line)));
        let document = state.document();
        self.keep(key, None, (state, document), by, false)?;
        for id in remains.entries {
            let entry = (TypeName::built_in(TypeName::LOST), id);
            let Some(remains) = self.remains(&entry)? else { continue };
            if self.held(&entry)?.is_none() {
                let (state, by) = (remains.state.clone(), remains.state.latest());
                self.come_back(&entry, remains, state, by, now)?;
            }
        }
        self.move_entries(key)?;
        self.come(key, now, false)
    }

    /// A save in what is forgotten is kept for a person to see. A decision about a lost value is about nothing any more.
    fn keep_edit(
        &mut self,
        key: &Key,
        mut gone: Gone,
        save: &Save,
        record: &SavedRecord,
        now: i64,
    ) -> Result<(), Halt> {
        if matches!(key.0.as_str(), TypeName::LOST | TypeName::QUARANTINE) || !gone.edits.insert(save.id) {
            return Ok(());
        }
        let denied = Denied { save: save.clone(), reason: TOO_LATE.into(), via: save.author.node };
        self.put_gone(key, &gone);
        self.enter(&denied, record, &gone.partition, gone.stamp.author, now)
    }

    /// A record that was deleted for good, as a node has it that had not heard. Says whether it is one. If it knows more
    /// than was known then, it comes back; if that is forgotten, what was written in it since is completed by it.
    pub(super) fn offered_gone(
        &mut self,
        key: &Key,
        incoming: &State,
        partition: &Partition,
        now: i64,
    ) -> Result<bool, Halt> {
        let Some(gone) = self.gone(key)? else { return Ok(false) };
        let remains = self.remains(key)?;
        if let Some(remains) = &remains {
            let mut state = remains.state.clone();
            if !state.join(incoming.clone(), self.seq + 1).is_empty() {
                let by = incoming.latest();
                self.come_back(key, remains.clone(), state, by, now)?;
                return Ok(true);
            }
        } else {
            for save in gone.edits.clone() {
                self.complete(key, save, incoming, gone.stamp.author, now)?;
            }
        }
        self.tell_again(key, partition, incoming.latest(), now)?;
        Ok(true)
    }

    fn tell_again(&mut self, key: &Key, partition: &Partition, above: Stamp, now: i64) -> Result<(), Halt> {
        let Some(mut gone) = self.gone(key)? else { return Ok(()) };
        let remains = self.remains(key)?;
        let above = gone.stamp.max(above);
        let (stamp, told) = self.tell_gone(key, BTreeSet::from([partition.clone()]), above, gone.stamp.author, now)?;
        gone.stamp = stamp;
        self.put_gone(key, &gone);
        if let Some(mut remains) = remains {
            remains.told.extend(told);
            self.put_local(remains_at(key), Some(remains.to_value()));
        }
        Ok(())
    }

    /// A node has it and may not give it back.
    pub(super) fn absent(&mut self, key: &Key, partition: &Partition, above: Stamp, now: i64) -> Result<(), Halt> {
        if self.held(key)?.is_some() {
            return self.announce_absent(key, partition);
        }
        if self.is_gone(key)? {
            return self.tell_again(key, partition, above, now);
        }
        self.tell_unborn(key, partition, above, now)
    }

    /// The entry of an edit holds the whole record as its author had it, so that all of it can be brought back.
    fn complete(&mut self, key: &Key, save: SaveId, whole: &State, by: Author, now: i64) -> Result<(), Halt> {
        let entry = (TypeName::built_in(TypeName::QUARANTINE), quarantine::entry_id(save, key));
        let Some(held) = self.held(&entry)?.cloned() else { return Ok(()) };
        let document = &held.document.value;
        let Some(kept) = quarantine::kept_save(document) else { return Ok(()) };
        if document["state"] != json!("open") || document["creates"] == json!(true) {
            return Ok(());
        }
        let time = whole.latest().time;
        let stamp = Stamp::new(time, kept.author, kept.id);
        let record = SavedRecord {
            type_name: key.0.clone(),
            id: key.1,
            revision: whole.revision(),
            time,
            changes: State::default().rewritten(whole, stamp),
        };
        let body = BASE64URL_NOPAD.encode(&encode(&Save { records: vec![record], ..kept })?);
        let time = self.clock.stamp(now, held.state.latest().time);
        let stamp = Stamp { time, author: by, tag: (self.seq + 1) as u32 };
        self.write_fields(&entry, vec![("body", json!(body)), ("creates", json!(true))], stamp)
    }

    /// Forgets removals up to these numbers, and what these records were whose readers all know.
    pub(super) fn settle(
        &mut self,
        epoch: Epoch,
        floors: &[(Partition, u64)],
        remains: &[(TypeName, RecordId)],
    ) -> Result<(), Halt> {
        for (partition, upto) in floors {
            self.put_local((FLOOR.into(), partition.to_string()), Some(json!(Floor { epoch, upto: *upto })));
            self.news.forgotten.push((partition.clone(), *upto));
        }
        for key in remains {
            let Some(known) = self.remains(key)? else { continue };
            let mut settled = true;
            for (partition, seq) in &known.told {
                let floor = self.local_now(&(FLOOR.into(), partition.to_string()))?;
                let floor = floor.and_then(|value| Floor::deserialize(value).ok());
                settled &= floor.is_some_and(|floor| floor.epoch == epoch && floor.upto >= *seq);
            }
            if settled {
                self.put_local(remains_at(key), None);
            }
        }
        Ok(())
    }
}
