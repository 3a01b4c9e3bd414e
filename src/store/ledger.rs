//! What a group of requests does, decided once for every store.
//!
//! A store opens a transaction, lets the [`Ledger`] carry out each waiting request in order against a [`Shelf`] of what is
//! on disk, writes down the [`Batch`] that results, and commits. Each request checks all it expects before it changes
//! anything, so a refused one leaves no trace among the others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::pin::Pin;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Digest, Expect, Flags, Held, HistoryLine, Judge, LocalChange, LocalSave, Moved, Notice, Outcome, PartitionState,
    PulledPage, Request, StoreError, Verdict,
};
use crate::domain::clock::Clock;
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::domain::json;
use crate::domain::path::Path;
use crate::domain::record::hash::Hash;
use crate::domain::record::pack::unpack;
use crate::domain::record::{Act, Applied, Change, Content, Cover, EffectKind, LostValue, State, Written};
use crate::domain::save::{MAX_RECORD_BYTES, MAX_RECORDS, Save, SavedRecord};
use crate::domain::stamp::Stamp;

pub(super) type Key = (TypeName, RecordId);

/// What is on disk, read inside the writing transaction.
pub(super) trait Shelf: Send {
    fn record(&mut self, key: &Key) -> impl Future<Output = Result<Option<Held>, StoreError>> + Send;
    /// All writes of a record that some later one named as replaced.
    fn named(&mut self, key: &Key) -> impl Future<Output = Result<HashSet<(Path, Stamp)>, StoreError>> + Send;
    /// Saves that wait for this record, oldest first.
    fn waiting(&mut self, key: &Key) -> impl Future<Output = Result<Vec<Save>, StoreError>> + Send;
    /// Whether some save of this record is not acknowledged.
    fn is_unsent(&mut self, key: &Key) -> impl Future<Output = Result<bool, StoreError>> + Send;
    fn local(&mut self, kind: &str, key: &str) -> impl Future<Output = Result<Option<Value>, StoreError>> + Send;
    fn keys_of_partition(&mut self, partition: &Partition)
    -> impl Future<Output = Result<Vec<Key>, StoreError>> + Send;
    fn keys_of_type(&mut self, type_name: &TypeName) -> impl Future<Output = Result<Vec<Key>, StoreError>> + Send;
    /// The entries of values that this record lost, whatever their state.
    fn lost_entries(&mut self, key: &Key) -> impl Future<Output = Result<Vec<RecordId>, StoreError>> + Send;
}

/// What the store remembers between transactions.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub clock: Clock,
    /// The last number handed out.
    pub seq: u64,
    pub partitions: BTreeMap<Partition, PartitionState>,
    /// How many saves wait for their record; usually none.
    pub waiting: u64,
}

/// What a transaction writes down.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Records that are new or changed, by key.
    pub records: Vec<Held>,
    pub dropped: Vec<Key>,
    pub history: Vec<(Key, HistoryLine)>,
    pub outbox: Vec<Save>,
    pub acknowledged: Vec<crate::domain::ids::SaveId>,
    pub waiting: Vec<(Key, Save)>,
    /// Records whose waiting saves were applied.
    pub arrived: Vec<Key>,
    pub moved: Vec<(Partition, Moved)>,
    pub locals: Vec<LocalChange>,
    /// Partitions whose state changed.
    pub partitions: Vec<PartitionState>,
    pub notices: Vec<Notice>,
}

struct Slot {
    held: Option<Held>,
    /// The partition and hash as they are on disk.
    before: Option<(Partition, Hash)>,
    dirty: bool,
}

pub(super) struct Ledger<'a, S> {
    judge: &'a dyn Judge,
    shelf: S,
    pub standing: Standing,
    slots: BTreeMap<Key, Slot>,
    locals: HashMap<(&'static str, String), Option<Value>>,
    touched: BTreeSet<Partition>,
    batch: Batch,
}

impl<'a, S: Shelf> Ledger<'a, S> {
    pub fn new(judge: &'a dyn Judge, standing: Standing, shelf: S) -> Self {
        Self {
            judge,
            shelf,
            standing,
            slots: BTreeMap::new(),
            locals: HashMap::new(),
            touched: BTreeSet::new(),
            batch: Batch::default(),
        }
    }

    pub async fn carry_out(&mut self, request: &Request) -> Result<Outcome, StoreError> {
        match request {
            Request::Save(save) => self.save(save).await,
            Request::Receive { saves, now } => {
                let mut verdicts = Vec::with_capacity(saves.len());
                for save in saves {
                    verdicts.push(self.receive(save, *now).await?);
                }
                Ok(Outcome::Received(verdicts))
            }
            Request::Join { page, now } => self.join(page, *now).await,
            Request::Acknowledge(ids) => {
                self.batch.acknowledged.extend_from_slice(ids);
                Ok(Outcome::Done)
            }
            Request::Forget(partitions) => self.forget(partitions).await,
            Request::Rejudge(type_name) => self.rejudge(type_name).await,
            Request::Local(changes) => self.local(changes).await,
        }
    }

    /// Everything that has to be written down, and what the store remembers from now on.
    pub fn finish(mut self) -> (Batch, Standing, S) {
        for (key, slot) in self.slots {
            if !slot.dirty {
                continue;
            }
            if let Some((partition, hash)) = &slot.before {
                let state = partition_of(&mut self.standing.partitions, partition);
                state.digest = state.digest.minus(*hash);
                state.records = state.records.saturating_sub(1);
                self.touched.insert(partition.clone());
            }
            match slot.held {
                Some(held) => {
                    let state = partition_of(&mut self.standing.partitions, &held.partition);
                    state.digest = state.digest.plus(held.hash());
                    state.records += 1;
                    self.touched.insert(held.partition.clone());
                    self.batch.records.push(held);
                }
                None if slot.before.is_some() => self.batch.dropped.push(key),
                None => {}
            }
        }
        self.batch.partitions =
            self.touched.iter().filter_map(|partition| self.standing.partitions.get(partition)).cloned().collect();
        (self.batch, self.standing, self.shelf)
    }

    async fn slot(&mut self, key: &Key) -> Result<&mut Slot, StoreError> {
        if !self.slots.contains_key(key) {
            let held = self.shelf.record(key).await?;
            let before = held.as_ref().map(|held| (held.partition.clone(), held.hash()));
            self.slots.insert(key.clone(), Slot { held, before, dirty: false });
        }
        Ok(self.slots.get_mut(key).expect("it was put there just now"))
    }

    async fn held(&mut self, key: &Key) -> Result<Option<Held>, StoreError> {
        Ok(self.slot(key).await?.held.clone())
    }

    async fn save(&mut self, save: &LocalSave) -> Result<Outcome, StoreError> {
        for (index, record) in save.records.iter().enumerate() {
            let now = self.held(&(record.type_name.clone(), record.id)).await?.filter(|held| held.state.exists());
            let met = match (record.expect, &now) {
                (Expect::New, held) => held.is_none(),
                (Expect::Exists, held) => held.is_some(),
                (Expect::Unchanged(hash), held) => held.as_ref().is_some_and(|held| held.hash() == hash),
            };
            if !met {
                return Ok(Outcome::Refused { index, now: now.map(Box::new) });
            }
        }
        let mut sent = Save { id: save.id, author: save.author, records: Vec::with_capacity(save.records.len()) };
        for record in &save.records {
            if record.changes.is_empty() {
                continue;
            }
            let key = (record.type_name.clone(), record.id);
            let above = match &self.slot(&key).await?.held {
                Some(held) => record.changes.iter().map(|change| held.state.cover(&change.path).latest().time).max(),
                None => None,
            };
            let replaced = record.changes.iter().map(|change| change.replaces.latest().time).max();
            let time = self.standing.clock.stamp(save.now, above.max(replaced).unwrap_or_default());
            let one = SavedRecord {
                type_name: record.type_name.clone(),
                id: record.id,
                revision: record.revision,
                time,
                changes: record.changes.clone(),
            };
            self.apply(&key, &one, sent.stamp(&one), save.now).await?;
            sent.records.push(one);
        }
        if save.outbox && !sent.records.is_empty() {
            self.batch.outbox.push(sent);
        }
        let mut records = Vec::with_capacity(save.records.len());
        for record in &save.records {
            records.extend(self.held(&(record.type_name.clone(), record.id)).await?);
        }
        Ok(Outcome::Saved(records))
    }

    async fn receive(&mut self, save: &Save, now: i64) -> Result<Verdict, StoreError> {
        if save.records.len() > MAX_RECORDS {
            return Ok(Verdict::Refused(format!("a save may have {MAX_RECORDS} records")));
        }
        for record in &save.records {
            let key = (record.type_name.clone(), record.id);
            let stamp = save.stamp(record);
            let held = self.held(&key).await?;
            let is_here = held.as_ref().is_some_and(|held| held.state.exists());
            if !is_here && !record.creates() {
                let part = Save { id: save.id, author: save.author, records: vec![record.clone()] };
                self.batch.waiting.push((key, part));
                self.standing.waiting += 1;
                continue;
            }
            let mut trial = held.map(|held| held.state).unwrap_or_default();
            trial.apply(&record.changes, stamp, self.standing.seq + 1, &|_, _| true);
            if trial.document().value.to_string().len() > MAX_RECORD_BYTES {
                return Ok(Verdict::Refused("a record may have 1 MiB of JSON".into()));
            }
        }
        for record in &save.records {
            let key = (record.type_name.clone(), record.id);
            let is_here = self.slot(&key).await?.held.as_ref().is_some_and(|held| held.state.exists());
            if !is_here && !record.creates() {
                continue;
            }
            let stamp = save.stamp(record);
            self.standing.clock.observe(now, stamp.time);
            self.apply(&key, record, stamp, now).await?;
            if !is_here {
                self.arrived(&key, now).await?;
            }
        }
        Ok(Verdict::Accepted)
    }

    /// Applies the saves that waited for a record that is here now.
    fn arrived<'f>(
        &'f mut self,
        key: &'f Key,
        now: i64,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'f>> {
        Box::pin(self.take_waiting(key, now))
    }

    async fn take_waiting(&mut self, key: &Key, now: i64) -> Result<(), StoreError> {
        if self.standing.waiting == 0 {
            return Ok(());
        }
        let mut saves = self.shelf.waiting(key).await?;
        let mine = |entry: &(Key, Save)| entry.0 == *key;
        saves.extend(self.batch.waiting.iter().filter(|entry| mine(entry)).map(|(_, save)| save.clone()));
        self.batch.waiting.retain(|entry| !mine(entry));
        if saves.is_empty() {
            return Ok(());
        }
        self.standing.waiting = self.standing.waiting.saturating_sub(saves.len() as u64);
        self.batch.arrived.push(key.clone());
        for save in saves {
            for record in &save.records {
                let stamp = save.stamp(record);
                self.apply(key, record, stamp, now).await?;
            }
        }
        Ok(())
    }

    /// Applies one record's part of a save, with everything that follows from it.
    async fn apply(&mut self, key: &Key, record: &SavedRecord, stamp: Stamp, now: i64) -> Result<(), StoreError> {
        let seq = self.standing.seq + 1;
        let mut held = self.held(key).await?.unwrap_or_else(|| blank(key));
        let named =
            if may_lose(&held.state, &record.changes, stamp) { self.shelf.named(key).await? } else { HashSet::new() };
        let mut state = std::mem::take(&mut held.state);
        let mut applied =
            state.apply(&record.changes, stamp, seq, &|path, stamp| named.contains(&(path.clone(), stamp)));
        if let Some(revision) = record.revision {
            // noted for a save that was overruled, too: its author's node has noted it
            let before = state.written;
            state.note_revision(Written { stamp, arrival: seq, revision });
            applied.changed |= state.written != before;
        }
        held.state = state;
        if !applied.changed && applied.lost.is_empty() {
            return Ok(());
        }
        if applied.changed {
            self.standing.seq = seq;
            self.put(key, held, seq, stamp);
            self.move_entries(key).await?;
        }
        let Applied { effects, lost, seen, .. } = applied;
        for effect in effects {
            let line = HistoryLine {
                seq,
                stamp,
                path: effect.path,
                act: effect.act,
                old: effect.old,
                new: effect.new,
                replaced: effect.replaced,
                seen_at: now,
            };
            self.batch.history.push((key.clone(), line));
        }
        self.lose(key, lost, now).await?;
        self.close_seen(key, seen, stamp).await?;
        if key.0.as_str() == TypeName::LOST {
            self.refresh_lost_of_entry(key).await?;
        }
        Ok(())
    }

    /// Puts a changed record in its slot: projection, partition, flags, notice.
    fn put(&mut self, key: &Key, mut held: Held, seq: u64, stamp: Stamp) {
        let was = self.slots.get(key).and_then(|slot| slot.held.as_ref()).map(|held| held.partition.clone());
        held.seq = seq;
        self.refresh(&mut held);
        if let Some(was) = was
            && was != held.partition
        {
            // whoever reads the new partition has seen nothing of this record
            held.state.renumber(seq);
            let moved = Moved { type_name: key.0.clone(), id: key.1, seq, stamp };
            partition_of(&mut self.standing.partitions, &was).head = seq;
            self.touched.insert(was.clone());
            self.batch.moved.push((was, moved));
        }
        partition_of(&mut self.standing.partitions, &held.partition).head = seq;
        self.touched.insert(held.partition.clone());
        self.batch.notices.push(Notice {
            partition: held.partition.clone(),
            type_name: key.0.clone(),
            id: key.1,
            seq,
            person: stamp.author.person,
            node: stamp.author.node,
            at: stamp.time,
        });
        let slot = self.slots.get_mut(key).expect("a record that is put was looked at");
        slot.held = Some(held);
        slot.dirty = true;
    }

    fn refresh(&self, held: &mut Held) {
        held.document = held.state.document();
        if held.type_name.as_str() != TypeName::LOST {
            held.partition = self.judge.partition(&held.type_name, &held.document.value);
        }
        let valid = self.judge.is_valid(&held.type_name, held.state.revision(), &held.document.value);
        held.flags = held
            .flags
            .with(Flags::BINNED, held.state.is_binned())
            .with(Flags::EDITED_AFTER_DELETION, held.state.is_edited_after_deletion())
            .with(Flags::INVALID, valid == Some(false))
            .with(Flags::UNKNOWN_REVISION, valid.is_none());
    }

    /// Makes the entries of values that lost. Id, content and stamp follow from the write that lost, so every node that
    /// judges makes the same entry.
    async fn lose(&mut self, key: &Key, lost: Vec<LostValue>, now: i64) -> Result<(), StoreError> {
        if lost.is_empty() || key.0.is_built_in() {
            return Ok(());
        }
        let partition = self.slot(key).await?.held.as_ref().map(|held| held.partition.clone());
        let Some(partition) = partition else { return Ok(()) };
        for value in lost {
            let entry = (TypeName::built_in(TypeName::LOST), lost_id(key, &value.path, value.stamp));
            if self.held(&entry).await?.is_some() {
                continue;
            }
            let mut document = Map::new();
            document.insert("type".into(), json!(key.0.as_str()));
            document.insert("record".into(), json!(key.1));
            document.insert("pointer".into(), json!(value.path.to_string()));
            document.insert("at".into(), json!(value.stamp.time.millis()));
            document.insert("node".into(), json!(value.stamp.author.node));
            document.insert("person".into(), json!(value.stamp.author.person));
            document.insert("state".into(), json!("open"));
            if let Some(value) = value.value {
                document.insert("value".into(), value);
            }
            let change = Change {
                path: Path::root(),
                act: Act::Set(Content::json(json::sorted(Value::Object(document)))),
                replaces: Cover::nothing(),
            };
            let mut held = blank(&entry);
            held.partition = partition.clone();
            self.standing.seq += 1;
            let seq = self.standing.seq;
            held.state.apply(&[change], value.stamp, seq, &|_, _| false);
            self.put(&entry, held, seq, value.stamp);
            self.arrived(&entry, now).await?;
        }
        self.refresh_lost(key).await
    }

    /// Closes the entries of values that a write names as seen.
    async fn close_seen(&mut self, key: &Key, seen: Vec<(Path, Stamp)>, stamp: Stamp) -> Result<(), StoreError> {
        let has_lost = self.slot(key).await?.held.as_ref().is_some_and(|held| held.flags.has(Flags::HAD_LOST));
        if !has_lost {
            return Ok(());
        }
        let mut closed = false;
        for (path, seen) in seen {
            let entry = (TypeName::built_in(TypeName::LOST), lost_id(key, &path, seen));
            let Some(mut held) = self.held(&entry).await? else { continue };
            let state = Path::root().property("state");
            let change =
                Change { replaces: held.state.cover(&state), path: state, act: Act::Set(Content::json(json!("seen"))) };
            self.standing.seq += 1;
            let seq = self.standing.seq;
            // the latest of those that saw it closes it, whatever the order they come in
            if held.state.apply(&[change], stamp, seq, &|_, _| false).changed {
                self.put(&entry, held, seq, stamp);
                closed = true;
            }
        }
        if closed { self.refresh_lost(key).await } else { Ok(()) }
    }

    /// After an entry changed: the flag of the record it speaks of.
    async fn refresh_lost_of_entry(&mut self, entry: &Key) -> Result<(), StoreError> {
        let Some(held) = self.held(entry).await? else { return Ok(()) };
        let value = &held.document.value;
        let of = |name: &str| value.get(name).and_then(Value::as_str);
        let (Some(Ok(name)), Some(Ok(id))) = (of("type").map(TypeName::custom), of("record").map(Uuid::parse_str))
        else {
            return Ok(());
        };
        self.refresh_lost(&(name, id)).await
    }

    /// The entries of what a record lost, those of this group among them.
    async fn entries(&mut self, key: &Key) -> Result<Vec<Key>, StoreError> {
        let mut ids: BTreeSet<RecordId> = self.shelf.lost_entries(key).await?.into_iter().collect();
        ids.extend(self.slots.iter().filter_map(|((name, id), slot)| {
            let value = &slot.held.as_ref()?.document.value;
            let is_mine =
                name.as_str() == TypeName::LOST && value["record"] == json!(key.1) && value["type"] == key.0.as_str();
            is_mine.then_some(*id)
        }));
        Ok(ids.into_iter().map(|id| (TypeName::built_in(TypeName::LOST), id)).collect())
    }

    /// Entries live where their record lives: when it moved, they move with it.
    async fn move_entries(&mut self, key: &Key) -> Result<(), StoreError> {
        if key.0.is_built_in() {
            return Ok(());
        }
        let slot = self.slot(key).await?;
        let Some(home) = slot.held.as_ref().map(|held| held.partition.clone()) else { return Ok(()) };
        if slot.before.as_ref().is_none_or(|(before, _)| *before == home) && !self.moved_in_group(key) {
            return Ok(());
        }
        for entry in self.entries(key).await? {
            let Some(mut held) = self.held(&entry).await? else { continue };
            if held.partition == home {
                continue;
            }
            held.partition = home.clone();
            self.standing.seq += 1;
            let (seq, stamp) = (self.standing.seq, held.state.latest());
            self.put(&entry, held, seq, stamp);
        }
        Ok(())
    }

    /// Whether a request of this group moved the record.
    fn moved_in_group(&self, key: &Key) -> bool {
        self.batch.moved.iter().any(|(_, moved)| moved.type_name == key.0 && moved.id == key.1)
    }

    async fn refresh_lost(&mut self, key: &Key) -> Result<(), StoreError> {
        let Some(held) = self.held(key).await? else { return Ok(()) };
        let entries = self.entries(key).await?;
        let any = !entries.is_empty();
        let mut open = false;
        for entry in entries {
            let entry = self.held(&entry).await?;
            open |= entry.is_some_and(|entry| entry.document.value["state"] == "open" && !entry.state.is_binned());
        }
        let flags = held.flags.with(Flags::LOST, open).with(Flags::HAD_LOST, any);
        if held.flags != flags {
            let slot = self.slot(key).await?;
            if let Some(held) = &mut slot.held {
                held.flags = flags;
                slot.dirty = true;
            }
        }
        Ok(())
    }

    async fn join(&mut self, page: &PulledPage, now: i64) -> Result<Outcome, StoreError> {
        for row in &page.rows {
            let key = (row.type_name.clone(), row.id);
            let theirs = match unpack(&row.state, row.seq, None, &page.dictionary) {
                Ok(state) => state,
                Err(_) => {
                    self.set_aside(row);
                    continue;
                }
            };
            let before = self.held(&key).await?;
            let is_new = before.as_ref().is_none_or(|held| !held.state.exists());
            let mut held = before.clone().unwrap_or_else(|| blank(&key));
            let seq = self.standing.seq + 1;
            let latest = theirs.latest();
            let written = held.state.written;
            let changed = held.state.join(theirs, seq);
            let noted = held.state.written != written;
            if key.0.as_str() == TypeName::LOST {
                held.partition = page.partition.clone();
            }
            if changed.is_empty() && !noted && before.as_ref().is_some_and(|before| before.partition == held.partition)
            {
                continue;
            }
            if !held.state.exists() {
                self.set_aside(row);
                continue;
            }
            self.standing.clock.observe(now, latest.time);
            self.standing.seq = seq;
            self.put(&key, held, seq, latest);
            self.move_entries(&key).await?;
            if is_new {
                self.arrived(&key, now).await?;
                if key.0.as_str() != TypeName::LOST {
                    // entries may have come before their record
                    self.refresh_lost(&key).await?;
                }
            } else if let Some(before) = before {
                self.note_joined(&key, &before, &changed, seq, now);
            }
            if key.0.as_str() == TypeName::LOST {
                self.refresh_lost_of_entry(&key).await?;
            }
        }
        for moved in &page.moved {
            let key = (moved.type_name.clone(), moved.id);
            let stays = self
                .slot(&key)
                .await?
                .held
                .as_ref()
                .is_none_or(|held| held.partition != page.partition || held.state.latest() > moved.stamp);
            if !stays && !self.shelf.is_unsent(&key).await? {
                for entry in self.entries(&key).await? {
                    self.drop_record(&entry).await?;
                }
                self.drop_record(&key).await?;
            }
        }
        let state = partition_of(&mut self.standing.partitions, &page.partition);
        state.cursor = Some(page.cursor);
        self.touched.insert(page.partition.clone());
        Ok(Outcome::Done)
    }

    /// The history of what came in by a pull.
    fn note_joined(&mut self, key: &Key, before: &Held, changed: &[Path], seq: u64, now: i64) {
        let Some(after) = self.slots.get(key).and_then(|slot| slot.held.as_ref()) else { return };
        for path in changed {
            let (old, new) = (before.document.get(path), after.document.get(path));
            let binned = (before.state.is_binned(), after.state.is_binned());
            let act = match binned {
                (false, true) if path.is_root() => EffectKind::Binned,
                (true, false) if path.is_root() => EffectKind::Restored,
                _ if old == new => continue,
                _ => EffectKind::Changed,
            };
            let stamp = match (&after.state.bin, act) {
                (Some(bin), EffectKind::Binned | EffectKind::Restored) => bin.stamp,
                _ => after.state.place(path).map_or_else(
                    || after.state.stamp_at(path),
                    |place| {
                        let write = place.write.as_ref().map(|write| write.stamp);
                        let removal = place.removal.as_ref().map(|removal| removal.stamp);
                        write.max(removal).unwrap_or_else(|| after.state.stamp_at(path))
                    },
                ),
            };
            let is_value = act == EffectKind::Changed;
            let line = HistoryLine {
                seq,
                stamp,
                path: path.clone(),
                act,
                old: old.filter(|_| is_value).cloned(),
                new: new.filter(|_| is_value).cloned(),
                replaced: before.state.stamp_at(path),
                seen_at: now,
            };
            self.batch.history.push((key.clone(), line));
        }
    }

    /// Keeps a row raw that cannot be understood, so that the cursor may pass it.
    fn set_aside(&mut self, row: &super::Row) {
        let key = format!("{}/{}/{}", row.type_name, row.id, row.seq);
        let value = serde_json::to_value(row).unwrap_or(Value::Null);
        self.batch.locals.push(LocalChange { kind: "set-aside", key, value: Some(value), expect: None });
    }

    async fn drop_record(&mut self, key: &Key) -> Result<(), StoreError> {
        let slot = self.slot(key).await?;
        slot.held = None;
        slot.dirty = true;
        Ok(())
    }

    async fn forget(&mut self, partitions: &[Partition]) -> Result<Outcome, StoreError> {
        for partition in partitions {
            for key in self.shelf.keys_of_partition(partition).await? {
                let here = self.slot(&key).await?.held.as_ref().is_some_and(|held| held.partition == *partition);
                if here && !self.shelf.is_unsent(&key).await? {
                    self.drop_record(&key).await?;
                }
            }
            let state = partition_of(&mut self.standing.partitions, partition);
            state.cursor = None;
            self.touched.insert(partition.clone());
        }
        Ok(Outcome::Done)
    }

    async fn rejudge(&mut self, type_name: &TypeName) -> Result<Outcome, StoreError> {
        for key in self.shelf.keys_of_type(type_name).await? {
            let Some(held) = self.held(&key).await? else { continue };
            let mut judged = held.clone();
            self.refresh(&mut judged);
            if judged.partition != held.partition {
                let seq = self.standing.seq + 1;
                self.standing.seq = seq;
                let stamp = held.state.latest();
                self.put(&key, held, seq, stamp);
                self.move_entries(&key).await?;
            } else if judged.flags != held.flags {
                let slot = self.slot(&key).await?;
                slot.held = Some(judged);
                slot.dirty = true;
            }
        }
        Ok(Outcome::Done)
    }

    async fn local(&mut self, changes: &[LocalChange]) -> Result<Outcome, StoreError> {
        for (index, change) in changes.iter().enumerate() {
            let Some(expected) = &change.expect else { continue };
            let now = match self.locals.get(&(change.kind, change.key.clone())) {
                Some(now) => now.clone(),
                None => self.shelf.local(change.kind, &change.key).await?,
            };
            if now != *expected {
                return Ok(Outcome::Unexpected { index });
            }
        }
        for change in changes {
            self.locals.insert((change.kind, change.key.clone()), change.value.clone());
            self.batch.locals.push(change.clone());
        }
        Ok(Outcome::Done)
    }
}

fn blank(key: &Key) -> Held {
    Held {
        type_name: key.0.clone(),
        id: key.1,
        partition: Partition(String::new()),
        state: State::default(),
        document: crate::domain::record::Document::default(),
        seq: 0,
        flags: Flags::default(),
    }
}

fn partition_of<'a>(
    partitions: &'a mut BTreeMap<Partition, PartitionState>,
    partition: &Partition,
) -> &'a mut PartitionState {
    partitions.entry(partition.clone()).or_insert_with(|| PartitionState {
        partition: partition.clone(),
        head: 0,
        records: 0,
        digest: Digest::default(),
        cursor: None,
    })
}

/// Whether something stands at one of the places that is later than the new write: only then can it have been seen by
/// another before it came.
fn may_lose(state: &State, changes: &[Change], stamp: Stamp) -> bool {
    state.exists() && changes.iter().any(|change| state.cover(&change.path).latest() > stamp)
}

/// The entry of a write that lost: the same id wherever it is made.
fn lost_id(key: &Key, path: &Path, stamp: Stamp) -> RecordId {
    let mut hasher = blake3::Hasher::new_derive_key("outpost lost value");
    hasher.update(key.0.as_str().as_bytes()).update(&[0]).update(key.1.as_bytes());
    hasher.update(path.to_string().as_bytes()).update(&[0]);
    hasher.update(&stamp.time.0.to_le_bytes()).update(&stamp.author.node.0.to_le_bytes());
    hasher.update(&stamp.author.incarnation.0.to_le_bytes()).update(&stamp.tag.to_le_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
