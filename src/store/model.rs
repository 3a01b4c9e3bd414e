//! A store in memory, for simulations and tests: the same ledger, no disk.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::broadcast;

use super::ledger::{Batch, Key, Ledger, Shelf, Standing};
use super::{
    Changes, Digest, Flags, Held, HistoryLine, Judge, Moved, Notice, Outcome, Page, PartitionState, Query, Request,
    Row, Store, StoreError, Tally, query,
};
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::domain::path::Path;
use crate::domain::record::pack::{Values, pack};
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;

/// Everything in maps behind one lock.
pub struct Model {
    judge: Arc<dyn Judge>,
    shelves: Mutex<Shelves>,
    notices: broadcast::Sender<Arc<Vec<Notice>>>,
}

#[derive(Default)]
struct Shelves {
    standing: Standing,
    records: BTreeMap<Key, Held>,
    history: BTreeMap<Key, Vec<HistoryLine>>,
    outbox: Vec<Save>,
    waiting: Vec<(Key, Save)>,
    moved: Vec<(Partition, Moved)>,
    locals: BTreeMap<(String, String), Value>,
}

const POISON: &str = "no holder of this lock panics";

impl Model {
    pub fn new(judge: Arc<dyn Judge>) -> Self {
        Self { judge, shelves: Mutex::default(), notices: broadcast::channel(1024).0 }
    }

    fn read<T>(&self, read: impl FnOnce(&Shelves) -> T) -> T {
        read(&self.shelves.lock().expect(POISON))
    }
}

impl Shelf for &mut Shelves {
    async fn record(&mut self, key: &Key) -> Result<Option<Held>, StoreError> {
        Ok(self.records.get(key).cloned())
    }

    async fn named(&mut self, key: &Key) -> Result<HashSet<(Path, Stamp)>, StoreError> {
        let lines = self.history.get(key).map(Vec::as_slice).unwrap_or_default();
        Ok(lines.iter().map(|line| (line.path.clone(), line.replaced)).collect())
    }

    async fn waiting(&mut self, key: &Key) -> Result<Vec<Save>, StoreError> {
        Ok(self.waiting.iter().filter(|(waits, _)| waits == key).map(|(_, save)| save.clone()).collect())
    }

    async fn is_unsent(&mut self, key: &Key) -> Result<bool, StoreError> {
        let speaks = |save: &Save| save.records.iter().any(|record| record.type_name == key.0 && record.id == key.1);
        Ok(self.outbox.iter().any(speaks))
    }

    async fn local(&mut self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        Ok(self.locals.get(&(kind.to_owned(), key.to_owned())).cloned())
    }

    async fn keys_of_partition(&mut self, partition: &Partition) -> Result<Vec<Key>, StoreError> {
        Ok(self.records.iter().filter(|(_, held)| held.partition == *partition).map(|(key, _)| key.clone()).collect())
    }

    async fn keys_of_type(&mut self, type_name: &TypeName) -> Result<Vec<Key>, StoreError> {
        Ok(self.records.keys().filter(|key| key.0 == *type_name).cloned().collect())
    }

    async fn lost_entries(&mut self, key: &Key) -> Result<Vec<RecordId>, StoreError> {
        let of = |held: &Held| {
            let value = &held.document.value;
            value["type"] == key.0.as_str() && value["record"] == serde_json::json!(key.1)
        };
        let lost = self.records.iter().filter(|(name, held)| name.0.as_str() == TypeName::LOST && of(held));
        Ok(lost.map(|(name, _)| name.1).collect())
    }
}

impl Shelves {
    fn write_down(&mut self, batch: Batch, standing: Standing) -> Vec<Notice> {
        self.standing = standing;
        for held in batch.records {
            self.records.insert((held.type_name.clone(), held.id), held);
        }
        for key in batch.dropped {
            self.records.remove(&key);
        }
        for (key, line) in batch.history {
            self.history.entry(key).or_default().push(line);
        }
        let gone: BTreeSet<_> = batch.acknowledged.into_iter().collect();
        self.outbox.extend(batch.outbox);
        self.outbox.retain(|save| !gone.contains(&save.id));
        self.waiting.retain(|(key, _)| !batch.arrived.contains(key));
        self.waiting.extend(batch.waiting);
        self.moved.extend(batch.moved);
        for change in batch.locals {
            let key = (change.kind.to_owned(), change.key);
            match change.value {
                Some(value) => self.locals.insert(key, value),
                None => self.locals.remove(&key),
            };
        }
        batch.notices
    }
}

#[async_trait]
impl Store for Model {
    async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        let (outcome, notices) = {
            let mut guard = self.shelves.lock().expect(POISON);
            let shelves = &mut *guard;
            let standing = shelves.standing.clone();
            let mut ledger = Ledger::new(&*self.judge, standing, shelves);
            let carried = futures_util::FutureExt::now_or_never(ledger.carry_out(&request));
            let outcome = carried.expect("a shelf in memory never waits")?;
            let (batch, standing, shelves) = ledger.finish();
            (outcome, shelves.write_down(batch, standing))
        };
        if !notices.is_empty() {
            // nobody listening is no failure
            let _ = self.notices.send(Arc::new(notices));
        }
        Ok(outcome)
    }

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        Ok(self.read(|shelves| shelves.records.get(&(type_name.clone(), id)).cloned()))
    }

    async fn records(&self, query: &Query) -> Result<Page, StoreError> {
        self.read(|shelves| {
            query::answer(shelves.records.values().filter(|held| held.type_name == query.type_name).cloned(), query)
        })
    }

    async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        self.read(|shelves| {
            let mut tallies: BTreeMap<TypeName, Tally> = BTreeMap::new();
            for held in shelves.records.values().filter(|held| held.state.exists()) {
                let none = || Tally { type_name: held.type_name.clone(), living: 0, binned: 0, flagged: 0 };
                let tally = tallies.entry(held.type_name.clone()).or_insert_with(none);
                *(if held.flags.has(Flags::BINNED) { &mut tally.binned } else { &mut tally.living }) += 1;
                let flagged = held.flags.has(Flags::INVALID) || held.flags.has(Flags::EDITED_AFTER_DELETION);
                tally.flagged += u64::from(flagged);
            }
            Ok(tallies.into_values().collect())
        })
    }

    async fn flagged(&self, flags: Flags, limit: usize) -> Result<Vec<Held>, StoreError> {
        self.read(|shelves| {
            let mut found: Vec<Held> =
                shelves.records.values().filter(|held| held.flags.0 & flags.0 != 0).cloned().collect();
            found.sort_by_key(|held| std::cmp::Reverse(held.seq));
            found.truncate(limit);
            Ok(found)
        })
    }

    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError> {
        let mut lines = self.read(|shelves| shelves.history.get(&(type_name.clone(), id)).cloned().unwrap_or_default());
        lines.reverse();
        Ok(lines)
    }

    async fn changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        self.read(|shelves| {
            let state = shelves.standing.partitions.get(partition);
            let mut changes = Changes {
                head: state.map_or(0, |state| state.head),
                digest: state.map_or(Digest::default(), |state| state.digest),
                ..Changes::default()
            };
            let mut rows: Vec<&Held> =
                shelves.records.values().filter(|held| held.partition == *partition && held.seq > after).collect();
            rows.sort_by_key(|held| held.seq);
            let mut bytes = 0;
            let mut upto = u64::MAX;
            for held in rows {
                if bytes >= max_bytes {
                    changes.next = Some(upto);
                    break;
                }
                let state = pack(&held.state.since(base), held.seq, Values::Inline, &mut changes.dictionary);
                bytes += state.len() + 32;
                upto = held.seq;
                changes.rows.push(Row { type_name: held.type_name.clone(), id: held.id, seq: held.seq, state });
            }
            let within = |moved: &Moved| moved.seq > after && (changes.next.is_none() || moved.seq <= upto);
            let moved = shelves.moved.iter().filter(|(from, moved)| from == partition && within(moved));
            changes.moved = moved.map(|(_, moved)| moved.clone()).collect();
            Ok(changes)
        })
    }

    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Save>, StoreError> {
        self.read(|shelves| {
            let mut bytes = 0;
            let fits = |save: &&Save| {
                let first = bytes == 0;
                bytes += serde_json::to_string(save).map_or(0, |text| text.len());
                first || bytes <= max_bytes
            };
            Ok(shelves.outbox.iter().take_while(fits).cloned().collect())
        })
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        Ok(self.read(|shelves| shelves.outbox.len() as u64))
    }

    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        Ok(self.read(|shelves| shelves.standing.partitions.values().cloned().collect()))
    }

    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError> {
        Ok(self.read(|shelves| {
            let of_kind = shelves.locals.iter().filter(|((is, _), _)| is == kind);
            of_kind.map(|((_, key), value)| (key.clone(), value.clone())).collect()
        }))
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        Ok(self.read(|shelves| shelves.locals.get(&(kind.to_owned(), key.to_owned())).cloned()))
    }

    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.notices.subscribe()
    }

    async fn close(&self) {}
}
