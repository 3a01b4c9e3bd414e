//! A store in memory, for simulations and tests: the same ledger over plain maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::broadcast;

use super::ledger::{
    CURSOR, Facts, GONE, Halt, Key, Ledger, Line, Need, News, Outgoing, Progress, Quiet, SHADOW, Unchecked, Untimed,
    here,
};
use super::list::{Position, matches};
use super::{
    Changes, Digest, Flags, Held, HistoryLine, Judge, Moved, Notice, Outcome, Page, PartitionState, Query, Request,
    Row, Run, Runs, Store, StoreError, Tally, Unsent, Visit,
};
use crate::domain::clock::Clock;
use crate::domain::ids::{Partition, RecordId, SaveId, TypeName};
use crate::domain::reconcile::{Hashed, Mark};
use crate::domain::record::pack::{Values, pack};
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;

/// How many records a step of [`Request::Forget`] and [`Request::Rejudge`] takes.
pub(super) const STEP: usize = 500;

/// Keeps everything in memory and nothing on disk. What it holds can be copied, as a disk can.
pub struct Model {
    judge: Arc<dyn Judge>,
    memory: Mutex<Memory>,
    notices: broadcast::Sender<Arc<Vec<Notice>>>,
    /// Whether numbers were given since it was opened, or copied.
    runs: AtomicBool,
    /// What tells it from all other copies, and how many were made of it: the same in each repetition.
    line: u64,
    copies: AtomicU64,
}

#[derive(Debug, Clone, Default)]
struct Memory {
    seq: u64,
    clock: Clock,
    records: BTreeMap<Key, Held>,
    history: BTreeMap<Key, Vec<Line>>,
    outbox: Vec<Stored>,
    waiting: BTreeMap<Key, Vec<Save>>,
    moved: BTreeMap<(Partition, Key), (u64, Stamp)>,
    partitions: BTreeMap<Partition, Sum>,
    locals: BTreeMap<(String, String), Value>,
    runs: Runs,
    closed: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    id: SaveId,
    body: Vec<u8>,
    unchecked: Option<Unchecked>,
    keys: Vec<Key>,
}

impl Stored {
    fn save(&self) -> Result<Save, StoreError> {
        ciborium::from_reader(self.body.as_slice()).map_err(|err| StoreError::Damaged(err.to_string()))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    head: u64,
    records: u64,
    digest: Digest,
}

impl Model {
    pub fn new(judge: Arc<dyn Judge>) -> Self {
        Self::over(judge, Memory::default(), 0)
    }

    /// Another store that holds what this one holds now: what a copied disk image, or a backup, is.
    pub fn copy(&self, judge: Arc<dyn Judge>) -> Self {
        let copy = self.copies.fetch_add(1, Ordering::Relaxed);
        Self::over(judge, self.memory().clone(), mix(self.line, copy + 1))
    }

    fn over(judge: Arc<dyn Judge>, memory: Memory, line: u64) -> Self {
        let (memory, notices) = (Mutex::new(memory), broadcast::channel(1024).0);
        Self { judge, memory, notices, runs: AtomicBool::new(false), line, copies: AtomicU64::new(0) }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // a panic elsewhere cannot have left it half written: news are taken over after they are complete
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Memory>, StoreError> {
        let memory = self.memory();
        if memory.closed { Err(StoreError::Closed) } else { Ok(memory) }
    }

    /// Carries something out on the ledger and takes over what is new.
    fn run<T>(&self, mut step: impl FnMut(&mut Ledger) -> Result<T, Halt>) -> Result<T, StoreError> {
        let mut memory = self.open()?;
        let mut ledger = Ledger::new(self.judge.as_ref(), memory.quiet(), memory.seq, memory.clock);
        let result = loop {
            match step(&mut ledger) {
                Ok(result) => break result,
                Err(Halt::Missing(needs)) => needs.iter().for_each(|need| memory.supply(need, &mut ledger.facts)),
                Err(Halt::Fault(err)) => return Err(err),
            }
        };
        let Ledger { seq, clock, facts, news, .. } = ledger;
        if seq > memory.seq && !self.runs.swap(true, Ordering::Relaxed) {
            let run = Run { first: memory.seq + 1, tag: mix(self.line, memory.seq) };
            Arc::make_mut(&mut memory.runs.0).push(run);
        }
        (memory.seq, memory.clock) = (seq, clock);
        let notices = memory.take(facts, news);
        if !notices.is_empty() {
            // nobody may be listening
            let _ = self.notices.send(Arc::new(notices));
        }
        Ok(result)
    }

    /// Carries something out on the records that are chosen, some at a time.
    fn run_all(
        &self,
        chosen: impl Fn(&Held) -> bool,
        mut step: impl FnMut(&mut Ledger, &[Key]) -> Result<(), Halt>,
    ) -> Result<(), StoreError> {
        let keys: Vec<Key> =
            self.open()?.records.iter().filter(|(_, held)| chosen(held)).map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            return self.run(|ledger| step(ledger, &[]));
        }
        keys.chunks(STEP).try_for_each(|keys| self.run(|ledger| step(ledger, keys)))
    }
}

/// A number that no others are likely to give.
fn mix(one: u64, other: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&one.to_le_bytes()).update(&other.to_le_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

impl Memory {
    fn quiet(&self) -> Quiet {
        let lost = TypeName::built_in(TypeName::LOST);
        Quiet {
            waiting: self.waiting.is_empty(),
            entries: self.of_type(&lost).next().is_none(),
            unsent: self.outbox.is_empty(),
            untimed: self.outbox.iter().all(|stored| stored.unchecked.is_none()),
            moved: self.moved.is_empty(),
            shadows: !self.locals.keys().any(|(kind, _)| kind == SHADOW),
            gone: !self.locals.keys().any(|(kind, _)| kind == GONE),
        }
    }

    fn of_type<'a>(&'a self, type_name: &'a TypeName) -> impl Iterator<Item = &'a Held> {
        let first = (type_name.clone(), RecordId::nil());
        self.records.range(first..).take_while(move |(key, _)| key.0 == *type_name).map(|(_, held)| held)
    }

    fn untimed(&self) -> Result<Vec<Untimed>, StoreError> {
        let untimed = |stored: &Stored| Some((stored.save(), stored.unchecked.clone()?));
        let found = self.outbox.iter().filter_map(untimed);
        found.map(|(save, unchecked)| Ok(Untimed { save: save?, unchecked })).collect()
    }

    fn supply(&self, need: &Need, facts: &mut Facts) {
        match need {
            Need::Record(key) => {
                facts.records.insert(key.clone(), self.records.get(key).cloned());
            }
            Need::Named(key) => {
                let lines = self.history.get(key).into_iter().flatten();
                let named = lines.map(|line| (line.path.clone(), line.replaced)).collect();
                facts.named.insert(key.clone(), named);
            }
            Need::Waiting(key) => {
                facts.waiting.insert(key.clone(), self.waiting.get(key).cloned().unwrap_or_default());
            }
            Need::Entries(key) => {
                let of = (key.0.as_str(), key.1.to_string());
                let lost = TypeName::built_in(TypeName::LOST);
                let about = |held: &&Held| {
                    let text = |name: &str| held.document.value.get(name).and_then(Value::as_str);
                    text("type") == Some(of.0) && text("record") == Some(of.1.as_str())
                };
                let open = |held: &Held| {
                    !held.flags.has(Flags::BINNED)
                        && held.document.value.get("state").and_then(Value::as_str) == Some("open")
                };
                let entries = self.of_type(&lost).filter(about).map(|held| (held.id, open(held))).collect();
                facts.entries.insert(key.clone(), entries);
            }
            Need::Unsent(key) => {
                let unsent = self.outbox.iter().filter(|stored| stored.keys.contains(key)).map(|stored| stored.id);
                facts.unsent.insert(key.clone(), unsent.collect());
            }
            Need::Sent(save) => {
                let keys = self.outbox.iter().find(|stored| stored.id == *save).map(|stored| stored.keys.clone());
                facts.sent.insert(*save, keys);
            }
            Need::Queued(save) => {
                let queued = self.outbox.iter().find(|stored| stored.id == *save);
                facts.queued.insert(*save, queued.map(|stored| stored.save().expect("it was encoded here")));
            }
            Need::Local(kind, key) => {
                let key = (kind.clone(), key.clone());
                let value = self.locals.get(&key).cloned();
                facts.locals.insert(key, value);
            }
            Need::Left(key) => {
                let left = self.moved.keys().filter(|(_, of)| of == key).map(|(partition, _)| partition.clone());
                facts.left.insert(key.clone(), left.collect());
            }
            Need::Gap((type_name, first, last)) => {
                let span = (type_name.clone(), *first)..=(type_name.clone(), *last);
                let gap = self.records.range(span).next().is_none();
                facts.gaps.insert((type_name.clone(), *first, *last), gap);
            }
            Need::Provisional => {
                let lost = TypeName::built_in(TypeName::LOST);
                let here = self.of_type(&lost).filter(|held| held.flags.has(Flags::PROVISIONAL)).map(|held| held.id);
                facts.provisional = Some(here.collect::<BTreeSet<_>>());
            }
        }
    }

    fn take(&mut self, mut facts: Facts, news: News) -> Vec<Notice> {
        for key in &news.dropped {
            self.history.remove(key);
        }
        for key in news.dirty {
            match facts.records.remove(&key).flatten() {
                Some(held) => self.records.insert(key, held),
                None => self.records.remove(&key),
            };
        }
        for fresh in news.fresh {
            self.records.insert(fresh.key.clone(), fresh.held());
        }
        for (key, line) in news.lines {
            self.history.entry(key).or_default().push(line);
        }
        for (key, restamped) in &news.restamped {
            let follow = |stamp: &mut Stamp| *stamp = restamped.get(stamp).copied().unwrap_or(*stamp);
            for line in self.history.get_mut(key).into_iter().flatten() {
                follow(&mut line.stamp);
                follow(&mut line.replaced);
            }
        }
        for (save, body) in news.timed {
            for stored in self.outbox.iter_mut().filter(|stored| stored.id == save) {
                stored.unchecked = None;
                stored.body = body.clone().unwrap_or(std::mem::take(&mut stored.body));
            }
        }
        self.outbox.retain(|stored| !news.acknowledged.contains(&stored.id));
        for Outgoing { save, body, unchecked } in news.outbox {
            let keys = save.records.iter().map(|record| (record.type_name.clone(), record.id)).collect();
            self.outbox.push(Stored { id: save.id, body, unchecked, keys });
        }
        for key in &news.came {
            self.waiting.remove(key);
        }
        for (key, save) in news.waits {
            self.waiting.entry(key).or_default().push(save);
        }
        for (partition, upto) in &news.forgotten {
            self.moved.retain(|(from, _), (seq, _)| from != partition || *seq > *upto);
        }
        for (key, moved) in news.moved {
            match moved {
                Some(moved) => self.moved.insert(key, moved),
                None => self.moved.remove(&key),
            };
        }
        for (partition, shift) in news.partitions {
            let sum = self.partitions.entry(partition).or_default();
            sum.head = sum.head.max(shift.head);
            sum.records = sum.records.saturating_add_signed(shift.records);
            sum.digest = Digest(sum.digest.0.wrapping_add(shift.digest));
        }
        for (key, value) in news.locals {
            match value {
                Some(value) => self.locals.insert(key, value),
                None => self.locals.remove(&key),
            };
        }
        news.notices
    }
}

#[async_trait]
impl Store for Model {
    async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        match &request {
            Request::Forget(partitions) => {
                for partition in partitions {
                    self.run_all(|held| held.partition == *partition, |ledger, keys| ledger.forget(partition, keys))?;
                }
                Ok(Outcome::Done)
            }
            Request::Rejudge(type_name) => {
                self.run_all(|held| held.type_name == *type_name, |ledger, keys| ledger.rejudge(keys))?;
                Ok(Outcome::Done)
            }
            Request::Retime { offset, now } => {
                let untimed = self.open()?.untimed()?;
                self.run(|ledger| ledger.retime(&untimed, *offset, *now))?;
                Ok(Outcome::Done)
            }
            request => {
                let mut progress = Progress::default();
                self.run(|ledger| ledger.request(request, &mut progress))
            }
        }
    }

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        Ok(self.open()?.records.get(&(type_name.clone(), id)).cloned())
    }

    async fn records(&self, query: &Query) -> Result<Page, StoreError> {
        let after = query.cursor.as_deref().map(|text| Position::parse(query, text)).transpose()?;
        let memory = self.open()?;
        let found = memory.of_type(&query.type_name).filter(|held| matches(query, *held));
        let mut items: Vec<(Position, &Held)> = found.map(|held| (Position::of(query, held), held)).collect();
        items.retain(|(position, _)| after.as_ref().is_none_or(|after| position.compare(after, &query.sort).is_gt()));
        items.sort_by(|a, b| a.0.compare(&b.0, &query.sort));
        let next = items.len() > query.limit;
        items.truncate(query.limit);
        let next = if next { items.last().map(|(position, _)| position.cursor()) } else { None };
        Ok(Page { items: items.into_iter().map(|(_, held)| held.clone()).collect(), next })
    }

    async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        let mut tallies: BTreeMap<TypeName, Tally> = BTreeMap::new();
        for held in self.open()?.records.values() {
            let new = || Tally { type_name: held.type_name.clone(), living: 0, binned: 0, flagged: 0 };
            let tally = tallies.entry(held.type_name.clone()).or_insert_with(new);
            let binned = held.flags.has(Flags::BINNED);
            *(if binned { &mut tally.binned } else { &mut tally.living }) += 1;
            let flagged = held.flags.has(Flags::INVALID) || held.flags.has(Flags::EDITED_AFTER_DELETION);
            tally.flagged += u64::from(flagged);
        }
        Ok(tallies.into_values().collect())
    }

    async fn flagged(&self, flags: Flags, before: Option<u64>, limit: usize) -> Result<Vec<Held>, StoreError> {
        let memory = self.open()?;
        let is_wanted = |held: &&Held| held.flags.0 & flags.0 != 0 && before.is_none_or(|before| held.seq < before);
        let mut found: Vec<&Held> = memory.records.values().filter(is_wanted).collect();
        found.sort_by_key(|held| std::cmp::Reverse(held.seq));
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError> {
        let memory = self.open()?;
        let lines = memory.history.get(&(type_name.clone(), id)).into_iter().flatten();
        let shown = lines.filter_map(|line| {
            Some(HistoryLine {
                seq: line.seq,
                stamp: line.stamp,
                path: line.path.clone(),
                act: line.act?,
                old: line.old.clone(),
                new: line.new.clone(),
                replaced: line.replaced,
                seen_at: line.seen_at,
            })
        });
        let mut shown: Vec<HistoryLine> = shown.collect();
        shown.reverse();
        Ok(shown)
    }

    async fn changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        let memory = self.open()?;
        let after = after.max(base);
        let mut found: Vec<&Held> =
            memory.records.values().filter(|held| held.partition == *partition && held.seq > after).collect();
        found.sort_by_key(|held| held.seq);
        let mut changes = Changes::default();
        let mut bytes = 0;
        for held in found {
            if bytes >= max_bytes && !changes.rows.is_empty() {
                changes.next = changes.rows.last().map(|row| row.seq);
                break;
            }
            let state = pack(&held.state.since(base), held.seq, Values::Inline, &mut changes.dictionary);
            bytes += state.len();
            changes.rows.push(Row { type_name: held.type_name.clone(), id: held.id, seq: held.seq, state });
        }
        let up_to = changes.next.unwrap_or(u64::MAX);
        let moved =
            memory.moved.iter().filter(|((from, _), (seq, _))| from == partition && *seq > after && *seq <= up_to);
        changes.moved = moved
            .map(|((_, (type_name, id)), (seq, stamp))| Moved {
                type_name: type_name.clone(),
                id: *id,
                seq: *seq,
                stamp: *stamp,
            })
            .collect();
        changes.moved.sort_by_key(|moved| moved.seq);
        let sum = memory.partitions.get(partition).copied().unwrap_or_default();
        (changes.head, changes.digest) = (sum.head, sum.digest);
        Ok(changes)
    }

    async fn walk(&self, partition: &Partition, visit: &mut Visit<'_>) -> Result<PartitionState, StoreError> {
        let memory = self.open()?.clone();
        for held in memory.records.into_values().filter(|held| held.partition == *partition) {
            visit(held)?;
        }
        let sum = memory.partitions.get(partition).copied().unwrap_or_default();
        let Sum { head, records, digest } = sum;
        Ok(PartitionState { partition: partition.clone(), head, records, digest, cursor: None })
    }

    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        let memory = self.open()?;
        let mut saves = Vec::new();
        let mut bytes = 0;
        for stored in &memory.outbox {
            if bytes + stored.body.len() > max_bytes && !saves.is_empty() {
                break;
            }
            bytes += stored.body.len();
            saves.push(Unsent { save: stored.save()?, checked: stored.unchecked.is_none() });
        }
        Ok(saves)
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        Ok(self.open()?.outbox.len() as u64)
    }

    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        let memory = self.open()?;
        let here = here();
        let states = memory.partitions.iter().filter(|(partition, _)| **partition != here).map(|(partition, sum)| {
            let cursor = memory.locals.get(&(CURSOR.to_owned(), partition.to_string()));
            PartitionState {
                partition: partition.clone(),
                head: sum.head,
                records: sum.records,
                digest: sum.digest,
                cursor: cursor.and_then(|value| serde_json::from_value(value.clone()).ok()),
            }
        });
        Ok(states.collect())
    }

    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let memory = self.open()?;
        let all = memory.locals.range((kind.to_owned(), String::new())..);
        Ok(all.take_while(|((of, _), _)| of == kind).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        Ok(self.open()?.locals.get(&(kind.to_owned(), key.to_owned())).cloned())
    }

    async fn recompute_digests(&self) -> Result<Vec<(Partition, Digest)>, StoreError> {
        let mut digests: BTreeMap<Partition, Digest> = BTreeMap::new();
        let memory = self.open()?;
        for held in memory.records.values().filter(|held| held.partition != here()) {
            let digest = digests.entry(held.partition.clone()).or_default();
            *digest = digest.plus(held.hash());
        }
        Ok(digests.into_iter().collect())
    }

    async fn removals(&self) -> Result<Vec<(Partition, u64)>, StoreError> {
        let mut oldest: BTreeMap<Partition, u64> = BTreeMap::new();
        for ((partition, _), (seq, _)) in &self.open()?.moved {
            let known = oldest.entry(partition.clone()).or_insert(*seq);
            *known = (*known).min(*seq);
        }
        Ok(oldest.into_iter().collect())
    }

    async fn runs(&self) -> Result<Runs, StoreError> {
        Ok(self.open()?.runs.clone())
    }

    async fn hashes(
        &self,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError> {
        let memory = self.open()?;
        let hashed = memory.records.values().filter(|held| held.partition == *partition).map(|held| Hashed {
            mark: Mark { type_name: held.type_name.clone(), id: held.id },
            hash: Digest(held.hash().0),
        });
        let is_within = |row: &Hashed| from.is_none_or(|from| *from <= row.mark) && to.is_none_or(|to| row.mark < *to);
        Ok(hashed.filter(is_within).take(limit).collect())
    }

    fn judge(&self) -> Option<Arc<dyn Judge>> {
        Some(self.judge.clone())
    }

    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.notices.subscribe()
    }

    async fn close(&self) {
        self.memory().closed = true;
    }
}
