//! What a group of requests does to a node's memory, decided without I/O, once for every store.
//!
//! A store loads the facts a request is about, lets the [`Ledger`] carry it out, and writes down the [`News`]. Where a
//! fact turns out to be missing, the ledger says which ([`Halt::Missing`]) and leaves no trace; the store supplies it
//! and asks again. So each request of a group is atomic, whatever becomes of the others.

mod apply;
mod draft;
mod fresh;
mod gone;
mod join;
mod keep;
mod lost;
mod offer;
mod quarantine;
mod retime;
mod save;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Flags, Held, Judge, Notice, Outcome, Request, StoreError, Verdict};
use crate::domain::clock::Clock;
use crate::domain::ids::{Partition, RecordId, SaveId, TypeName};
use crate::domain::path::Path;
use crate::domain::record::{EffectKind, Restamped};
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;

use draft::{Draft, missing};
pub(super) use fresh::Fresh;
use fresh::Span;
pub use gone::{FLOOR, Floor, GONE, REMAINS, is_settled, remains_of};
pub use join::COPYING;
pub(super) use join::CURSOR;
pub(super) use keep::{flags_of, here, partition_of};
pub(super) use quarantine::SHADOW;
pub use quarantine::kept_save;
pub(super) use retime::{Unchecked, Untimed};

pub(super) type Key = (TypeName, RecordId);

/// A fact that has to be supplied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The record, or that it is not here.
    Record(Key),
    /// The writes of a record that later writes name as seen.
    Named(Key),
    /// Saves that wait for a record to come.
    Waiting(Key),
    /// The lost values of a record: the ids of their entries, and which are open.
    Entries(Key),
    /// The saves of a record that the hub has not acknowledged.
    Unsent(Key),
    /// The records of a save that the hub has not acknowledged.
    Sent(SaveId),
    /// The save itself, if the hub has not acknowledged it.
    Queued(SaveId),
    Local(String, String),
    /// The partitions that a record left and did not come back to.
    Left(Key),
    /// The entries that only this node knows of.
    Provisional,
    /// Whether no record is here from one to another of its type.
    Gap(Span),
}

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) enum Halt {
    Missing(Vec<Need>),
    Fault(StoreError),
}

/// What is known, on disk and from the requests of this group that were carried out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub records: HashMap<Key, Option<Held>>,
    /// As on disk; what this group adds is in [`News::lines`].
    pub named: HashMap<Key, BTreeSet<(Path, Stamp)>>,
    pub waiting: HashMap<Key, Vec<Save>>,
    pub entries: HashMap<Key, BTreeMap<RecordId, bool>>,
    pub unsent: HashMap<Key, BTreeSet<SaveId>>,
    pub sent: HashMap<SaveId, Option<Vec<Key>>>,
    pub queued: HashMap<SaveId, Option<Save>>,
    pub locals: HashMap<(String, String), Option<Value>>,
    pub left: HashMap<Key, BTreeSet<Partition>>,
    pub provisional: Option<BTreeSet<RecordId>>,
    /// As on disk.
    pub gaps: HashMap<Span, bool>,
}

/// Kinds of facts of which there is none at all on disk, so that nobody has to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quiet {
    pub waiting: bool,
    pub entries: bool,
    pub unsent: bool,
    pub untimed: bool,
    pub moved: bool,
    /// No record has a shadow.
    pub shadows: bool,
    /// No record was deleted for good.
    pub gone: bool,
}

/// One line of history. Without an act it is not shown and only remembers what a write had seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub seq: u64,
    pub stamp: Stamp,
    pub path: Path,
    pub act: Option<EffectKind>,
    pub old: Option<Value>,
    pub new: Option<Value>,
    pub replaced: Stamp,
    pub seen_at: i64,
}

/// How a partition shifts: its new head if it is higher, how many records more, what comes to its digest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shift {
    pub head: u64,
    pub records: i64,
    pub digest: u128,
}

/// A save for the outbox.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub save: Save,
    pub body: Vec<u8>,
    pub unchecked: Option<Unchecked>,
}

/// What has to be written down.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Records to be written as [`Facts::records`] has them now, or deleted.
    pub dirty: BTreeSet<Key>,
    /// Records that were not here before; none of them is in [`Facts::records`].
    pub fresh: Vec<Fresh>,
    /// Records whose history goes, whether they come again in this group or not.
    pub dropped: BTreeSet<Key>,
    pub lines: Vec<(Key, Line)>,
    pub outbox: Vec<Outgoing>,
    /// Saves of the outbox whose time is checked now, with their body if it changed by that.
    pub timed: Vec<(SaveId, Option<Vec<u8>>)>,
    /// Writes that have other stamps from now on, also in the history.
    pub restamped: Vec<(Key, Restamped)>,
    pub acknowledged: Vec<SaveId>,
    pub waits: Vec<(Key, Save)>,
    /// Records that came: nothing waits for them any more.
    pub came: BTreeSet<Key>,
    pub moved: BTreeMap<(Partition, Key), Option<(u64, Stamp)>>,
    /// Removals in these partitions that are forgotten, up to these numbers.
    pub forgotten: Vec<(Partition, u64)>,
    pub partitions: BTreeMap<Partition, Shift>,
    /// By type and flags.
    pub tallies: BTreeMap<(TypeName, u8), i64>,
    pub locals: BTreeMap<(String, String), Option<Value>>,
    pub notices: Vec<Notice>,
}

/// How far a request of several steps is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    step: usize,
    verdicts: Vec<Verdict>,
    /// The rows of a page that are joined one by one, once that is known.
    rows: Option<Vec<usize>>,
}

pub(super) struct Ledger<'a> {
    judge: &'a dyn Judge,
    quiet: Quiet,
    /// The number given out last.
    pub seq: u64,
    pub clock: Clock,
    pub facts: Facts,
    pub news: News,
}

impl<'a> Ledger<'a> {
    pub fn new(judge: &'a dyn Judge, quiet: Quiet, seq: u64, clock: Clock) -> Self {
        Self { judge, quiet, seq, clock, facts: Facts::default(), news: News::default() }
    }

    /// Carries out one request, going on where `progress` stands. [`Request::Forget`], [`Request::Rejudge`]
    /// and [`Request::Retime`] are carried out by [`Ledger::forget`], [`Ledger::rejudge`] and [`Ledger::retime`].
    pub fn request(&mut self, request: &Request, progress: &mut Progress) -> Result<Outcome, Halt> {
        if progress.rows.is_none() {
            self.settle_fresh();
        }
        match request {
            Request::Save(save) => {
                self.prepare(save.records.iter().map(|record| (record.type_name.clone(), record.id)).collect())?;
                self.attempt(|draft| draft.save(save))
            }
            Request::Receive { saves, now, relay } => {
                if progress.step == 0 {
                    let keys: Vec<Key> = saves.iter().flat_map(keys_of).collect();
                    if *relay {
                        let queued = saves.iter().map(|save| Need::Queued(save.id));
                        self.require(keys.iter().cloned().map(Need::Unsent).chain(queued).collect())?;
                    }
                    self.prepare(keys)?;
                }
                while let Some(save) = saves.get(progress.step) {
                    let verdict = self.attempt(|draft| draft.receive(save, *now, *relay))?;
                    progress.verdicts.push(verdict);
                    progress.step += 1;
                }
                Ok(Outcome::Received(std::mem::take(&mut progress.verdicts)))
            }
            Request::Quarantine { saves, by, now } => {
                if progress.step == 0 {
                    self.prepare(saves.iter().flat_map(|denied| keys_of(&denied.save)).collect())?;
                }
                while let Some(denied) = saves.get(progress.step) {
                    let verdict = self.attempt(|draft| draft.quarantine(denied, *by, *now))?;
                    progress.verdicts.push(verdict);
                    progress.step += 1;
                }
                Ok(Outcome::Received(std::mem::take(&mut progress.verdicts)))
            }
            Request::Admit { entries, save, by, now } => self.attempt(|draft| draft.admit(entries, *save, *by, *now)),
            Request::Join { page, now } | Request::JoinChunk { page, now, .. } => {
                if progress.rows.is_none() {
                    let rest = match request {
                        Request::JoinChunk { ready, .. } => self.take_fresh(page, ready, *now)?,
                        _ => None,
                    };
                    if rest.is_none() {
                        self.require(self.needs_of_page(page))?;
                        self.prepare(page.rows.iter().map(|row| (row.type_name.clone(), row.id)).collect())?;
                    }
                    progress.rows = Some(rest.unwrap_or_else(|| (0..page.rows.len()).collect()));
                }
                let rows = progress.rows.as_deref().unwrap_or_default();
                while let Some(row) = rows.get(progress.step).map(|at| &page.rows[*at]) {
                    self.attempt(|draft| draft.join(row, page, *now))?;
                    progress.step += 1;
                }
                while let Some(moved) = page.moved.get(progress.step - rows.len()) {
                    self.attempt(|draft| draft.leave(moved, &page.partition))?;
                    progress.step += 1;
                }
                self.attempt(|draft| match request {
                    Request::JoinChunk { copying: Some(copying), .. } => draft.copied(page, copying),
                    _ => draft.reach(page),
                })?;
                Ok(Outcome::Done)
            }
            Request::Offer { page, now, relay } => {
                if progress.step == 0 {
                    self.prepare(page.rows.iter().map(|row| (row.type_name.clone(), row.id)).collect())?;
                }
                while let Some(row) = page.rows.get(progress.step) {
                    self.attempt(|draft| draft.offer(row, page, *now, *relay))?;
                    progress.step += 1;
                }
                Ok(Outcome::Done)
            }
            Request::Acknowledge(saves) => {
                self.require(saves.iter().copied().map(Need::Sent).collect())?;
                let sent = saves.iter().filter_map(|save| self.facts.sent.get(save)?.as_ref());
                let needs = sent.flatten().flat_map(|key| [Need::Record(key.clone()), Need::Unsent(key.clone())]);
                let again = saves.iter().map(|save| again(*save)).map(|(kind, key)| Need::Local(kind, key));
                self.require(needs.chain(again.filter(|_| !self.quiet.unsent)).collect())?;
                self.prepare_provisional()?;
                self.attempt(|draft| draft.acknowledge(saves))
            }
            Request::Local(changes) => self.attempt(|draft| draft.local(changes)),
            Request::Purge { records, by, now } => {
                while let Some(key) = records.get(progress.step) {
                    self.attempt(|draft| draft.purge(key, *by, *now))?;
                    progress.step += 1;
                }
                Ok(Outcome::Done)
            }
            Request::Absent { partition, records, now } => {
                while let Some((type_name, id, above)) = records.get(progress.step) {
                    self.attempt(|draft| draft.absent(&(type_name.clone(), *id), partition, *above, *now))?;
                    progress.step += 1;
                }
                Ok(Outcome::Done)
            }
            Request::Settle { epoch, floors, remains } => {
                self.attempt(|draft| draft.settle(*epoch, floors, remains))?;
                Ok(Outcome::Done)
            }
            Request::Forget(_) | Request::Rejudge(_) | Request::Retime { .. } => Ok(Outcome::Done),
        }
    }

    /// Drops these records, or marks them to be dropped as soon as the hub has what was saved in them.
    pub fn forget(&mut self, partition: &Partition, keys: &[Key]) -> Result<(), Halt> {
        self.require(keys.iter().cloned().map(Need::Unsent).collect())?;
        self.prepare(keys.to_vec())?;
        self.attempt(|draft| draft.forget(partition, keys))
    }

    /// Brings flags and partitions of these records up to date.
    pub fn rejudge(&mut self, keys: &[Key]) -> Result<(), Halt> {
        self.prepare(keys.to_vec())?;
        self.attempt(|draft| draft.rejudge(keys))
    }

    /// Brings these saves, all of the outbox whose time is not checked, to corrected time.
    pub fn retime(&mut self, untimed: &[Untimed], offset: i64, now: i64) -> Result<(), Halt> {
        let keys: Vec<Key> = untimed.iter().flat_map(|untimed| keys_of(&untimed.save)).collect();
        self.require(keys.iter().map(retime::known_as).map(|(kind, key)| Need::Local(kind, key)).collect())?;
        self.prepare(keys)?;
        self.attempt(|draft| draft.retime(untimed, offset, now))
    }

    /// All facts that a request is sure to need, so that they can be loaded for a whole group at once.
    pub fn needs(&self, request: &Request) -> Vec<Need> {
        match request {
            Request::Save(save) => {
                let keys = save.records.iter().map(|record| (record.type_name.clone(), record.id));
                let unsent = (save.unchecked.is_some() || !self.quiet.untimed) && !self.quiet.unsent;
                let unsent = |key: &Key| unsent.then(|| Need::Unsent(key.clone()));
                keys.flat_map(|key| unsent(&key).into_iter().chain(self.needs_of_key(key))).collect()
            }
            Request::Receive { saves, .. } => {
                saves.iter().flat_map(keys_of).flat_map(|key| self.needs_of_key(key)).collect()
            }
            Request::Quarantine { saves, .. } => {
                let keys = saves.iter().flat_map(|denied| keys_of(&denied.save));
                keys.flat_map(|key| self.needs_of_key(key)).collect()
            }
            Request::Join { page, .. } => self.needs_of_page(page),
            Request::JoinChunk { page, .. } => match self.gaps_of(page) {
                Some(gaps) => gaps.into_iter().map(Need::Gap).collect(),
                None => self.needs_of_page(page),
            },
            Request::Offer { page, .. } => {
                page.rows.iter().flat_map(|row| self.needs_of_key((row.type_name.clone(), row.id))).collect()
            }
            Request::Acknowledge(saves) if !self.quiet.unsent => saves.iter().copied().map(Need::Sent).collect(),
            Request::Local(changes) => changes
                .iter()
                .filter(|change| change.expect.is_some())
                .map(|change| Need::Local(change.kind.to_owned(), change.key.clone()))
                .collect(),
            Request::Admit { .. }
            | Request::Purge { .. }
            | Request::Absent { .. }
            | Request::Settle { .. }
            | Request::Acknowledge(_)
            | Request::Forget(_)
            | Request::Rejudge(_)
            | Request::Retime { .. } => Vec::new(),
        }
    }

    fn needs_of_key(&self, key: Key) -> Vec<Need> {
        let mut needs = vec![Need::Record(key.clone())];
        if !self.quiet.shadows {
            let (kind, of) = quarantine::shadow_of(&key);
            needs.push(Need::Local(kind, of));
        }
        if !self.quiet.gone {
            let (kind, of) = gone::gone_at(&key);
            needs.push(Need::Local(kind, of));
        }
        if !self.quiet.entries && key.0.as_str() != TypeName::LOST {
            needs.push(Need::Entries(key));
        }
        needs
    }

    /// Has all that steps about these records are likely to need supplied at once.
    fn prepare(&self, keys: Vec<Key>) -> Result<(), Halt> {
        self.require(keys.iter().cloned().flat_map(|key| self.needs_of_key(key)).collect())?;
        let mut needs = Vec::new();
        for key in keys {
            match self.facts.records.get(&key) {
                Some(None) => needs.extend([Need::Waiting(key.clone()), Need::Left(key)]),
                Some(Some(held)) if key.0.as_str() == TypeName::LOST => {
                    needs.extend(lost::target(held).into_iter().flat_map(|of| self.needs_of_key(of)));
                }
                _ => {}
            }
        }
        self.require(needs)
    }

    /// Has all supplied at once that is needed to see which provisional entries have had their time.
    fn prepare_provisional(&self) -> Result<(), Halt> {
        self.require(vec![Need::Provisional])?;
        let lost = TypeName::built_in(TypeName::LOST);
        let entries: Vec<Key> = self.facts.provisional.iter().flatten().map(|id| (lost.clone(), *id)).collect();
        let needs = entries.iter().flat_map(|key| [Need::Record(key.clone()), Need::Unsent(key.clone())]);
        self.require(needs.collect())?;
        let held = entries.iter().filter_map(|key| self.facts.records.get(key)?.as_ref());
        let about = held.filter_map(lost::target);
        let needs = about.flat_map(|key| [Need::Unsent(key.clone()), Need::Record(key.clone()), Need::Entries(key)]);
        self.require(needs.collect())
    }

    /// Says which of these facts are not known yet.
    fn require(&self, needs: Vec<Need>) -> Result<(), Halt> {
        let missing: Vec<Need> = needs.into_iter().filter(|need| !self.knows(need)).collect();
        if missing.is_empty() { Ok(()) } else { Err(Halt::Missing(missing)) }
    }

    pub fn knows(&self, need: &Need) -> bool {
        let facts = &self.facts;
        match need {
            Need::Record(key) => facts.records.contains_key(key),
            Need::Named(key) => facts.named.contains_key(key),
            Need::Waiting(key) => self.quiet.waiting || facts.waiting.contains_key(key),
            Need::Entries(key) => self.quiet.entries || facts.entries.contains_key(key),
            Need::Unsent(key) => self.quiet.unsent || facts.unsent.contains_key(key),
            Need::Sent(save) => self.quiet.unsent || facts.sent.contains_key(save),
            Need::Queued(save) => self.quiet.unsent || facts.queued.contains_key(save),
            Need::Local(kind, key) => facts.locals.contains_key(&(kind.clone(), key.clone())),
            Need::Left(key) => self.quiet.moved || facts.left.contains_key(key),
            Need::Provisional => self.quiet.entries || facts.provisional.is_some(),
            Need::Gap(span) => facts.gaps.contains_key(span),
        }
    }

    /// Runs a step on a draft and takes the draft over if it succeeded and is to have an effect.
    fn attempt<T: Effective>(&mut self, step: impl FnOnce(&mut Draft) -> Result<T, Halt>) -> Result<T, Halt> {
        let mut draft = Draft {
            judge: self.judge,
            told: None,
            quiet: self.quiet,
            base: &self.facts,
            past: &self.news,
            seq: self.seq,
            clock: self.clock,
            facts: Facts::default(),
            news: News::default(),
        };
        let result = step(&mut draft)?;
        if result.is_effective() {
            let Draft { seq, clock, facts, news, .. } = draft;
            (self.seq, self.clock) = (seq, clock);
            self.facts.absorb(facts);
            self.news.absorb(news);
        }
        Ok(result)
    }
}

/// Whether what a step did is to stay.
trait Effective {
    fn is_effective(&self) -> bool {
        true
    }
}

impl Effective for () {}
impl Effective for Verdict {
    fn is_effective(&self) -> bool {
        !matches!(self, Verdict::Refused(_))
    }
}
impl Effective for Outcome {
    fn is_effective(&self) -> bool {
        !matches!(self, Outcome::Refused { .. } | Outcome::Unexpected { .. })
    }
}

impl Facts {
    fn absorb(&mut self, newer: Facts) {
        self.records.extend(newer.records);
        self.waiting.extend(newer.waiting);
        self.entries.extend(newer.entries);
        self.unsent.extend(newer.unsent);
        self.sent.extend(newer.sent);
        self.queued.extend(newer.queued);
        self.locals.extend(newer.locals);
        self.left.extend(newer.left);
        if newer.provisional.is_some() {
            self.provisional = newer.provisional;
        }
    }
}

impl News {
    fn absorb(&mut self, newer: News) {
        if !newer.dropped.is_empty() {
            self.lines.retain(|(key, _)| !newer.dropped.contains(key));
        }
        if !newer.came.is_empty() {
            self.waits.retain(|(key, _)| !newer.came.contains(key));
        }
        self.dirty.extend(newer.dirty);
        self.dropped.extend(newer.dropped);
        self.lines.extend(newer.lines);
        self.outbox.extend(newer.outbox);
        self.timed.extend(newer.timed);
        self.restamped.extend(newer.restamped);
        self.acknowledged.extend(newer.acknowledged);
        self.waits.extend(newer.waits);
        self.came.extend(newer.came);
        self.moved.extend(newer.moved);
        self.forgotten.extend(newer.forgotten);
        for (partition, shift) in newer.partitions {
            self.shift(partition, shift);
        }
        for (kind, count) in newer.tallies {
            *self.tallies.entry(kind).or_default() += count;
        }
        self.locals.extend(newer.locals);
        self.notices.extend(newer.notices);
    }

    fn shift(&mut self, partition: Partition, shift: Shift) {
        let sum = self.partitions.entry(partition).or_default();
        sum.head = sum.head.max(shift.head);
        sum.records += shift.records;
        sum.digest = sum.digest.wrapping_add(shift.digest);
    }
}

/// Where a save is kept that came again with other stamps while the first waits in the outbox. It follows when the hub has
/// that one.
fn again(save: SaveId) -> (String, String) {
    ("again".into(), save.to_string())
}

fn keys_of(save: &Save) -> impl Iterator<Item = Key> + '_ {
    save.records.iter().map(|record| (record.type_name.clone(), record.id))
}

/// How a record counts among those of its type.
fn tally_key(held: &Held) -> (TypeName, u8) {
    (held.type_name.clone(), held.flags.0 & COUNTED.0)
}

/// The flags by which records are counted.
pub(super) const COUNTED: Flags = Flags(Flags::BINNED.0 | Flags::INVALID.0 | Flags::EDITED_AFTER_DELETION.0);
