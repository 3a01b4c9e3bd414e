//! Saves that may not be: kept as entries, and written over with what stands.
//!
//! A denied save is part of the record where it was made. It is taken into the record here as well and written over at
//! once, so every node that joins this record comes to the same, whatever it held. Beside such a record its *shadow* is
//! kept: the record as it would be had nobody made the denied saves. Whatever comes later is judged by the shadow, what
//! it loses, too; and where the record then shows something else than its shadow, it is written over again. So a
//! permitted write never loses to a restatement, in whatever order they arrive.
//!
//! A denied save that would have made the record makes none. What it would be lies in the shadow; readers are told that
//! the record is not there, as if it had moved away, and saves in it wait.

use std::cell::Cell;
use std::collections::BTreeSet;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::apply::Part;
use super::save::{Limits, check, encode};
use super::{Draft, Halt, Key, Line, Need, missing};
use crate::domain::ids::{Partition, RecordId, SaveId, TypeName};
use crate::domain::path::Path;
use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
use crate::domain::record::{Act, Change, Content, Cover, EffectKind, Origins, State, Written, edited};
use crate::domain::save::{Save, SavedRecord};
use crate::domain::stamp::{Author, Stamp};
use crate::store::{Denied, Held, Outcome, StoreError, Verdict};

/// The kind of local document that holds a record's shadow; by type and id.
pub(in crate::store) const SHADOW: &str = "shadow";
/// Entries about what belongs to no partition that travels are for the hub alone.
const HUB_ONLY: &str = "_quarantine";

/// What is known of a record besides itself, once a save in it was denied.
#[derive(Debug, Clone, Default)]
pub(super) struct Shadow {
    /// The record, had nobody made the denied saves.
    truth: State,
    /// While there is no record: what the denied saves come to.
    unborn: Option<State>,
    origins: Origins,
    /// Entries about it.
    entries: BTreeSet<RecordId>,
    /// In whose name it is written over.
    by: Author,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    truth: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unborn: Option<String>,
    dictionary: Dictionary,
    origins: Origins,
    entries: BTreeSet<RecordId>,
    by: Author,
}

impl Shadow {
    fn to_value(&self) -> Value {
        let mut dictionary = Dictionary::default();
        let mut text = |state: &State| {
            let mut state = state.clone();
            // numbers of arrival are nothing to a shadow
            state.renumber(1);
            HEXLOWER.encode(&pack(&state, 1, Values::Inline, &mut dictionary))
        };
        let truth = Some(&self.truth).filter(|truth| truth.exists()).map(&mut text);
        let unborn = self.unborn.as_ref().map(&mut text);
        let (origins, entries) = (self.origins.clone(), self.entries.clone());
        let kept = Kept { truth, unborn, dictionary, origins, entries, by: self.by };
        serde_json::to_value(kept).expect("a shadow is plain data")
    }

    fn of_value(value: &Value) -> Result<Self, Halt> {
        let damaged = |why: String| Halt::Fault(StoreError::Damaged(format!("shadow: {why}")));
        let kept: Kept = Kept::deserialize(value).map_err(|err| damaged(err.to_string()))?;
        let state = |text: &String| {
            let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|err| damaged(err.to_string()))?;
            unpack(&bytes, 1, None, &kept.dictionary).map_err(|err| damaged(err.to_string()))
        };
        Ok(Self {
            truth: kept.truth.as_ref().map(state).transpose()?.unwrap_or_default(),
            unborn: kept.unborn.as_ref().map(state).transpose()?,
            origins: kept.origins,
            entries: kept.entries,
            by: kept.by,
        })
    }

    fn is_unborn(&self) -> bool {
        self.unborn.as_ref().is_some_and(State::exists)
    }
}

/// The local document of a record's shadow.
pub(super) fn shadow_of(key: &Key) -> (String, String) {
    (SHADOW.into(), format!("{}/{}", key.0, key.1))
}

impl Draft<'_> {
    pub(super) fn shadow(&self, key: &Key) -> Result<Option<Shadow>, Halt> {
        let at = shadow_of(key);
        let value = match self.facts.locals.get(&at).or_else(|| self.base.locals.get(&at)) {
            Some(value) => value.as_ref(),
            None if self.quiet.shadows => None,
            None => return missing(Need::Local(at.0, at.1)),
        };
        value.map(Shadow::of_value).transpose()
    }

    /// Whether a save in the record may not be, and nobody has decided yet.
    pub(super) fn waits_for_decision(&self, key: &Key) -> Result<bool, Halt> {
        let entries = self.shadow(key)?.map(|shadow| shadow.entries).unwrap_or_default();
        for id in entries {
            let entry = self.held(&(TypeName::built_in(TypeName::QUARANTINE), id))?;
            if entry.is_some_and(|held| held.document.value["state"] == json!("open")) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is known of a record beside itself goes with it.
    pub(super) fn drop_shadow(&mut self, key: &Key) -> Result<(), Halt> {
        if self.shadow(key)?.is_some() {
            self.put_local(shadow_of(key), None);
        }
        Ok(())
    }

    fn put_shadow(&mut self, key: &Key, shadow: &Shadow) {
        self.put_local(shadow_of(key), Some(shadow.to_value()));
    }

    /// Applies a permitted write to a record that has a shadow: what it does is decided there.
    pub(super) fn apply_beside(
        &mut self,
        part: &Part,
        before: Option<Held>,
        mut shadow: Shadow,
        now: i64,
    ) -> Result<(), Halt> {
        let Part { key, changes, stamp, revision } = *part;
        let seq = self.seq + 1;
        let written = revision.map(|revision| Written { stamp, arrival: seq, revision });
        let unknown = Cell::new(false);
        let was_seen = |path: &Path, stamp: Stamp| {
            self.is_named(key, path, stamp).unwrap_or_else(|| {
                unknown.set(true);
                false
            })
        };
        let seen = shadow.origins.translate(changes);
        let applied = shadow.truth.apply(&seen, stamp, seq, &was_seen);
        if unknown.get() {
            return missing(Need::Named(key.clone()));
        }
        let mut state = before.as_ref().map(|held| held.state.clone()).or(shadow.unborn.take()).unwrap_or_default();
        state.apply(changes, stamp, seq, &|_, _| true);
        let born = before.is_none() && holds_more(&state, &shadow.truth);
        if let Some(written) = written {
            shadow.truth.note_revision(written);
            state.note_revision(written);
        }
        if before.is_some() {
            self.write_lines(key, stamp, &applied, now)?;
            self.tell_of_hidden(part, &shadow.truth, now);
        }
        self.realign(&mut state, &mut shadow, None, born, now, seq);
        self.put_shadow(key, &shadow);
        if before.is_none() {
            // it is new to every reader, whenever the denied saves came
            state.renumber(seq);
        }
        if before.as_ref().is_none_or(|held| held.state != state) {
            let document = state.document();
            if self.keep(key, before.as_ref(), (state, document), stamp, false)? {
                self.move_entries(key)?;
            }
        }
        let overruled = !applied.changed || applied.effects.iter().any(|effect| effect.act == EffectKind::Overruled);
        if overruled && before.is_some() {
            self.announce_overruled(part)?;
        }
        self.tell(part, &applied, seq, now, false)
    }

    /// What somebody wrote into something that only a denied save made shows nowhere: then the history says so.
    fn tell_of_hidden(&mut self, part: &Part, truth: &State, now: i64) {
        let document = truth.document();
        for change in part.changes {
            let Act::Set(Content::Json(text)) = &change.act else { continue };
            let stands = truth.place(&change.path).and_then(|place| place.write.as_ref());
            let hidden = stands.is_some_and(|write| write.stamp == part.stamp && write.arrival > self.seq)
                && change.path.parent().is_some_and(|parent| document.get(&parent).is_none());
            if hidden {
                let line = self.line(part.stamp, &change.path, EffectKind::Overruled, None, Some(text.0.clone()), now);
                self.news.lines.push((part.key.clone(), line));
            }
        }
    }

    fn line(
        &self,
        stamp: Stamp,
        path: &Path,
        act: EffectKind,
        old: Option<Value>,
        new: Option<Value>,
        seen_at: i64,
    ) -> Line {
        Line { seq: self.seq + 1, stamp, path: path.clone(), act: Some(act), old, new, replaced: Stamp::NEVER, seen_at }
    }

    /// Writes over what shows otherwise than in the shadow; or everything, where the record is `born` with denied writes
    /// in it.
    fn realign(
        &mut self,
        state: &mut State,
        shadow: &mut Shadow,
        denied: Option<(&[Change], Stamp)>,
        born: bool,
        now: i64,
        seq: u64,
    ) {
        let written = state.written.map_or(Stamp::NEVER, |written| written.stamp);
        let above = denied.map_or(Stamp::NEVER, |(_, stamp)| stamp).max(state.latest()).max(written);
        let mut clock = self.clock;
        let by = Stamp { time: clock.stamp(now, above.time), author: shadow.by, tag: seq as u32 };
        let changes = match denied {
            None if born => state.rewritten(&shadow.truth, by),
            denied => state.realigned(&shadow.truth, by, denied),
        };
        let revision = shadow.truth.revision().filter(|revision| state.revision() != Some(*revision));
        if changes.is_empty() && revision.is_none() {
            return;
        }
        self.clock = clock;
        shadow.origins.note_restated(&changes, by, &shadow.truth);
        state.apply(&changes, by, seq, &|_, _| true);
        if let Some(revision) = revision {
            state.note_revision(Written { stamp: by, arrival: seq, revision });
        }
    }

    pub(super) fn quarantine(&mut self, denied: &Denied, by: Author, now: i64) -> Result<Verdict, Halt> {
        let save = &denied.save;
        if let Err(why) = check(save, Limits::Waived) {
            return Ok(Verdict::Refused(why));
        }
        if save.records.iter().any(|record| record.type_name.as_str() == TypeName::QUARANTINE) {
            return Ok(Verdict::Refused("what is in quarantine is decided at the hub".into()));
        }
        for record in &save.records {
            if self.is_accepted(save, record)? {
                return Ok(Verdict::Accepted);
            }
        }
        for record in &save.records {
            self.deny(denied, record, by, now)?;
        }
        Ok(Verdict::Quarantined(denied.reason.clone()))
    }

    /// Whether it came before, when it was permitted: a right that is withdrawn counts from then on.
    fn is_accepted(&self, save: &Save, record: &SavedRecord) -> Result<bool, Halt> {
        let (key, stamp) = (key_of(record), save.stamp(record));
        let shadow = self.shadow(&key)?;
        let held = self.held(&key)?;
        let truth = shadow.as_ref().map(|shadow| &shadow.truth).or(held.map(|held| &held.state));
        let mut found = false;
        if let Some(truth) = truth {
            truth.each_stamp(&mut |other| found |= other == stamp);
        }
        let waits = || Ok(held.is_none() && self.waiting(&key)?.iter().any(|waiting| waiting.id == save.id));
        Ok(found || waits()?)
    }

    fn deny(&mut self, denied: &Denied, record: &SavedRecord, by: Author, now: i64) -> Result<(), Halt> {
        let (key, stamp) = (key_of(record), denied.save.stamp(record));
        self.clock.observe(now, record.time);
        let part = Part { key: &key, changes: &record.changes, stamp, revision: record.revision };
        let entry = entry_id(denied.save.id, &key);
        let is_new = self.shadow(&key)?.is_none_or(|shadow| !shadow.entries.contains(&entry));
        let held = self.held(&key)?.cloned();
        if let (Some(held), true) = (&held, is_new) {
            self.tell_of_denied(held, &record.changes, stamp, now);
        }
        let partition = self.write_over(&part, by, now)?;
        if is_new {
            let mut shadow = self.shadow(&key)?.unwrap_or_default();
            shadow.entries.insert(entry);
            self.put_shadow(&key, &shadow);
            self.enter(denied, record, &partition, by, now)?;
        }
        if held.is_none() {
            return self.wait_for_denied(&key, &record.changes, now);
        }
        // where it was made it closed the entries of lost values that its author had seen
        let sets = record.changes.iter().filter(|change| matches!(change.act, Act::Set(_))).cloned();
        let seen = self.entries_seen(&key, &sets.collect::<Vec<_>>())?.into_iter().map(closing);
        for (entry, change) in seen.collect::<Vec<_>>() {
            self.write_over(&Part { key: &entry, changes: &[change], stamp, revision: None }, by, now)?;
        }
        self.announce_overruled(&part)
    }

    /// Takes a denied write into the record, and writes over it what the record is without. Says where the record is, or
    /// would be.
    fn write_over(&mut self, part: &Part, by: Author, now: i64) -> Result<Partition, Halt> {
        let Part { key, changes, stamp, revision } = *part;
        let seq = self.seq + 1;
        let before = self.held(key)?.cloned();
        let mut shadow = match self.shadow(key)? {
            Some(shadow) => shadow,
            None => Shadow {
                truth: before.as_ref().map(|held| held.state.clone()).unwrap_or_default(),
                ..Shadow::default()
            },
        };
        shadow.by = by;
        shadow.origins.note_denied(changes, stamp);
        let mut state = before.as_ref().map(|held| held.state.clone()).or(shadow.unborn.take()).unwrap_or_default();
        state.apply(changes, stamp, seq, &|_, _| true);
        if let Some(revision) = revision {
            state.note_revision(Written { stamp, arrival: seq, revision });
        }
        let Some(held) = before else {
            let partition = self.partition(&key.0, &state.document().value);
            shadow.unborn = Some(state);
            self.put_shadow(key, &shadow);
            return Ok(partition);
        };
        self.realign(&mut state, &mut shadow, Some((changes, stamp)), false, now, seq);
        self.put_shadow(key, &shadow);
        if state != held.state {
            let (document, latest) = (state.document(), state.latest());
            self.keep(key, Some(&held), (state, document), latest, false)?;
        }
        Ok(held.partition)
    }

    fn tell_of_denied(&mut self, held: &Held, changes: &[Change], stamp: Stamp, now: i64) {
        let key = (held.type_name.clone(), held.id);
        for change in changes {
            let new = match &change.act {
                Act::Set(Content::Json(text)) => Some(text.0.clone()),
                Act::Set(Content::Absent) => None,
                _ => continue,
            };
            let (path, new) = edited(&held.document, change).unwrap_or((change.path.clone(), new));
            let old = held.document.get(&path).cloned();
            let line = self.line(stamp, &path, EffectKind::Denied, old, new, now);
            self.news.lines.push((key.clone(), line));
        }
    }

    /// Makes the entry of one record's part of a denied save.
    pub(super) fn enter(
        &mut self,
        denied: &Denied,
        record: &SavedRecord,
        partition: &Partition,
        by: Author,
        now: i64,
    ) -> Result<(), Halt> {
        let Denied { save, reason, via } = denied;
        let part = Save { records: vec![record.clone()], ..*save };
        let partition = if partition.is_local() { HUB_ONLY } else { partition.0.as_str() };
        let mut map = Map::new();
        map.insert("at".into(), json!(record.time.millis()));
        map.insert("body".into(), json!(BASE64URL_NOPAD.encode(&encode(&part)?)));
        map.insert("creates".into(), json!(record.creates()));
        map.insert("node".into(), json!(save.author.node));
        map.insert("partition".into(), json!(partition));
        map.insert("person".into(), json!(save.author.person));
        map.insert("reason".into(), json!(reason));
        map.insert("received".into(), json!(now));
        map.insert("record".into(), json!(record.id));
        map.insert("save".into(), json!(save.id));
        map.insert("state".into(), json!("open"));
        map.insert("type".into(), json!(record.type_name));
        map.insert("via".into(), json!(via));
        let key = (TypeName::built_in(TypeName::QUARANTINE), entry_id(save.id, &key_of(record)));
        let act = Act::Set(Content::json(Value::Object(map)));
        let time = self.clock.stamp(now, record.time);
        let stamp = Stamp { time, author: by, tag: (self.seq + 1) as u32 };
        let before = self.held(&key)?.cloned();
        let mut state = State::default();
        state.apply(&[Change { path: Path::root(), act, replaces: Cover::nothing() }], stamp, self.seq + 1, &|_, _| {
            true
        });
        let document = state.document();
        self.keep(&key, before.as_ref(), (state, document), stamp, false)?;
        Ok(())
    }

    /// If the save that would have made the record was denied: readers are told that the record is not there, wherever
    /// its authors may have it; and what waits for it is listed with the entry.
    pub(super) fn wait_for_denied(&mut self, key: &Key, denied: &[Change], now: i64) -> Result<(), Halt> {
        let Some(shadow) = self.shadow(key)?.filter(Shadow::is_unborn) else { return Ok(()) };
        let Some(mut state) = shadow.unborn else { return Ok(()) };
        let mut waiting = self.waiting(key)?;
        waiting.sort_by_key(|save| save.records.first().map(|record| save.stamp(record)));
        // also where somebody has it who knows of nothing later
        let meant = |state: &State, changes: &[Change]| {
            let mut meant = state.clone();
            let latest = meant.latest();
            meant.apply(changes, Stamp { time: latest.time.next(), ..latest }, 1, &|_, _| true);
            self.partition(&key.0, &meant.document().value)
        };
        let mut partitions = BTreeSet::from([self.partition(&key.0, &state.document().value), meant(&state, denied)]);
        for save in &waiting {
            for record in &save.records {
                state.apply(&record.changes, save.stamp(record), 1, &|_, _| true);
                partitions.insert(self.partition(&key.0, &state.document().value));
                partitions.insert(meant(&state, &record.changes));
            }
        }
        partitions.extend(self.left(key)?);
        partitions.retain(|partition| !partition.is_local());
        self.seq += 1;
        let latest = state.latest();
        let stamp = Stamp { time: latest.time.next(), author: shadow.by, tag: self.seq as u32 };
        let mut left = self.left(key)?;
        for partition in partitions {
            left.insert(partition.clone());
            self.news.moved.insert((partition.clone(), key.clone()), Some((self.seq, stamp)));
            self.head(&partition, self.seq);
            self.notify(partition, key, self.seq, stamp);
        }
        self.facts.left.insert(key.clone(), left);
        if waiting.is_empty() {
            return Ok(());
        }
        let listed = waiting.iter().map(waits).collect::<Result<Vec<Value>, Halt>>()?;
        self.list_waiting(&shadow.entries, listed, shadow.by, now)
    }

    /// A node has the record that a denied save would have made, and has not heard that there is none: those who read the
    /// partition are told once more.
    pub(super) fn tell_unborn(&mut self, key: &Key, partition: &Partition, above: Stamp, now: i64) -> Result<(), Halt> {
        let Some(shadow) = self.shadow(key)? else { return Ok(()) };
        let time = self.clock.stamp(now, above.time);
        self.seq += 1;
        let stamp = Stamp { time, author: shadow.by, tag: self.seq as u32 };
        let mut left = self.left(key)?;
        left.insert(partition.clone());
        self.facts.left.insert(key.clone(), left);
        self.news.moved.insert((partition.clone(), key.clone()), Some((self.seq, stamp)));
        self.head(partition, self.seq);
        self.notify(partition.clone(), key, self.seq, stamp);
        Ok(())
    }

    /// Writes down what waits, with the entries of those saves that would have made the record.
    fn list_waiting(
        &mut self,
        entries: &BTreeSet<RecordId>,
        waiting: Vec<Value>,
        by: Author,
        now: i64,
    ) -> Result<(), Halt> {
        for id in entries {
            let key = (TypeName::built_in(TypeName::QUARANTINE), *id);
            let Some(entry) = self.held(&key)? else { continue };
            if entry.document.value["creates"] != json!(true) {
                continue;
            }
            let above = entry.state.latest().time;
            let stamp = Stamp { time: self.clock.stamp(now, above), author: by, tag: (self.seq + 1) as u32 };
            self.write_fields(&key, vec![("waiting", Value::Array(waiting.clone()))], stamp)?;
        }
        Ok(())
    }

    /// Entries live where their record lives.
    pub(super) fn move_quarantined(&mut self, of: &Key, partition: &str) -> Result<(), Halt> {
        let Some(shadow) = self.shadow(of)? else { return Ok(()) };
        for id in &shadow.entries {
            let key = (TypeName::built_in(TypeName::QUARANTINE), *id);
            let Some(latest) = self.held(&key)?.map(|held| held.state.latest()) else { continue };
            let by = Stamp { time: latest.time.next(), author: shadow.by, tag: latest.tag };
            self.write_fields(&key, vec![("partition", json!(partition))], by)?;
        }
        Ok(())
    }

    pub(super) fn admit(&mut self, entries: &[RecordId], id: SaveId, by: Author, now: i64) -> Result<Outcome, Halt> {
        for (index, entry) in entries.iter().enumerate() {
            let at = (TypeName::built_in(TypeName::QUARANTINE), *entry);
            let open = self.held(&at)?.filter(|held| held.document.value["state"] == json!("open")).cloned();
            let Some(entry) = open else { return Ok(Outcome::Unexpected { index }) };
            let Some(save) = kept_save(&entry.document.value) else { return Ok(Outcome::Unexpected { index }) };
            for record in &save.records {
                if !self.let_be(&save, record, id, now)? {
                    return Ok(Outcome::Unexpected { index });
                }
            }
            let stamp = Stamp::new(self.clock.stamp(now, entry.state.latest().time), by, id);
            let mut fields = vec![("by", json!(by.person)), ("decided", json!(now)), ("state", json!("admitted"))];
            if entry.document.value.get("waiting").is_some() {
                fields.push(("waiting", json!([])));
            }
            self.write_fields(&at, fields, stamp)?;
        }
        Ok(Outcome::Done)
    }

    /// Applies what was denied; says whether there is a record to apply it to.
    fn let_be(&mut self, save: &Save, record: &SavedRecord, id: SaveId, now: i64) -> Result<bool, Halt> {
        let key = key_of(record);
        let revision = record.revision;
        let Some(held) = self.held(&key)?.cloned() else {
            if !record.creates() {
                return Ok(false);
            }
            // nobody has seen it and no other write can stand against it: it keeps its time, below what followed it
            let stamp = save.stamp(record);
            self.not_gone(&key)?;
            if let Some(mut shadow) = self.shadow(&key)? {
                shadow.origins.forget(stamp);
                self.put_shadow(&key, &shadow);
            }
            self.apply(&Part { key: &key, changes: &record.changes, stamp, revision }, now, false)?;
            return Ok(true);
        };
        // whoever lets it be has seen what stands
        let seen = |change: &Change| Change { replaces: held.state.cover(&change.path), ..change.clone() };
        let changes: Vec<Change> = record.changes.iter().map(seen).collect();
        let stamp = Stamp::new(self.clock.stamp(now, held.state.latest().time), save.author, id);
        self.apply(&Part { key: &key, changes: &changes, stamp, revision }, now, false)?;
        Ok(true)
    }
}

/// What a write that had seen a lost value does to its entry.
fn closing(entry: &Held) -> (Key, Change) {
    let path = Path::root().property("state");
    let replaces = entry.state.cover(&path);
    let change = Change { path, act: Act::Set(Content::json(json!("seen"))), replaces };
    ((entry.type_name.clone(), entry.id), change)
}

/// Whether there are writes in it that the truth does not know.
fn holds_more(state: &State, truth: &State) -> bool {
    let mut known = BTreeSet::new();
    truth.each_stamp(&mut |stamp| {
        known.insert(stamp);
    });
    let mut more = false;
    state.each_stamp(&mut |stamp| more |= !known.contains(&stamp));
    more
}

fn key_of(record: &SavedRecord) -> Key {
    (record.type_name.clone(), record.id)
}

/// The save of an entry, as it was made; only what it wrote in the record that the entry is about.
pub fn kept_save(entry: &Value) -> Option<Save> {
    let bytes = BASE64URL_NOPAD.decode(entry.get("body")?.as_str()?.as_bytes()).ok()?;
    ciborium::from_reader(bytes.as_slice()).ok()
}

fn waits(save: &Save) -> Result<Value, Halt> {
    Ok(json!({
        "at": save.records.first().map(|record| record.time.millis()),
        "body": BASE64URL_NOPAD.encode(&encode(save)?),
        "node": save.author.node,
        "person": save.author.person,
        "save": save.id,
    }))
}

/// One entry for each record of a save, however often the save comes.
pub(super) fn entry_id(save: SaveId, key: &Key) -> RecordId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"quarantine\0");
    hasher.update(&save.0.to_be_bytes());
    hasher.update(key.0.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(key.1.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
