//! Bugs that others had, planted where the storm holds the product: at the seams of store, transport and session.
//!
//! The product's own code has no switch for them. A tester that misses one of these is not done.

use std::collections::BTreeMap;
use std::sync::Mutex;

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{NodeId, Partition, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::record::{Act, Change, Content, Document, edited};
use outpost::domain::save::Save;
use outpost::domain::stamp::Author;
use outpost::store::{
    Changes, Expect, LocalRecord, LocalSave, Outcome, PartitionState, PulledPage, Ready, Request, StoreError, Unsent,
    Verdict,
};

use crate::seam::{Rumours, Seam};

macro_rules! registry {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal, $seed:expr,)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// Each with the seed that was found to show it.
            pub const ALL: &[(Bug, &str, u64)] = &[$((Bug::$bug, $name, $seed),)+];
        }
    };
}

registry! {
    /// A number is given out before its row can be read; a reader's cursor passes it.
    LateRow = "late-row", 1,
    /// Rows are chosen by the time they were written, not by the number they got.
    ChangedSince = "changed-since", 1,
    /// The cursor is kept in a transaction of its own, before the rows.
    CursorFirst = "cursor-first", 9,
    /// A row is left out where this node has unsent work, and the cursor passes it.
    SkipsUnsent = "skips-unsent", 22,
    /// A digest is taken over from the hub instead of computed from rows.
    AdoptsDigest = "adopts-digest", 0,
    /// What a wrong clock stamped is sent as it is.
    TrustsClock = "trusts-clock", 22,
    /// A save that is not later than the latest of its node is taken for a repetition.
    DedupByTime = "dedup-by-time", 5,
    /// A hub that counts from a new beginning makes its edges begin from nothing, unsent work included.
    EpochClears = "epoch-clears", 6,
    /// Editing a record takes it out of the bin.
    Resurrects = "resurrects", 0,
    /// What is taken from a counter is written as the number that is left.
    CounterOverwrites = "counter-overwrites", 1,
    /// A save that is sent again is another save.
    NewIdOnRetry = "new-id-on-retry", 0,
    /// Whatever is pushed last is the latest.
    LastPushWins = "last-push-wins", 5,
    /// A write is answered before it is on disk.
    NotDurable = "not-durable", 0,
    /// A push that failed is tried again with the next save, not before.
    NoRetry = "no-retry", 0,
    /// What left a partition stays with its readers.
    KeepsMoved = "keeps-moved", 1,
    /// What is out of scope stays on disk.
    KeepsForeign = "keeps-foreign", 0,
    /// Each page is asked for as if the reader were complete up to the one before.
    BaseMovesWithPage = "base-moves-with-page", 1,
    /// The records of a save are written one by one.
    SplitsSaves = "splits-saves", 97,
    /// What was pulled is pushed again as one's own.
    Echoes = "echoes", 1,
    /// A write counts as having seen whatever it replaced.
    NamesUnseen = "names-unseen", 0,
    /// A push without an answer counts as taken.
    AcknowledgesSilence = "acknowledges-silence", 0,
    /// Of fields that a rule ties together only those are written that changed.
    CutsUnits = "cuts-units", 7,
    /// A page that cannot be written is taken for written.
    SwallowsErrors = "swallows-errors", 146,
    /// An edge that serves others keeps to itself what they save.
    KeepsFromAbove = "keeps-from-above", 1,
    /// A chunk is remembered as joined before its rows are.
    ChunkFirst = "chunk-first", 20,
    /// A hub that was restored does not say from when.
    HidesRestore = "hides-restore", 15,
    /// An edit of a long text is taken for the text as its author saw it.
    TextOverwrites = "text-overwrites", 1,
}

/// One of them in a node's store.
pub struct Planted {
    pub bug: Bug,
    pub is_edge: bool,
    pub rumours: Rumours,
    state: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    calls: u64,
    served: BTreeMap<Partition, Hlc>,
    latest: BTreeMap<NodeId, Hlc>,
    renamed: BTreeMap<SaveId, SaveId>,
}

impl Planted {
    pub fn new(bug: Bug, is_edge: bool, rumours: &Rumours) -> Self {
        Self { bug, is_edge, rumours: rumours.clone(), state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.state.lock().expect("one thread")
    }

    pub async fn write(&self, store: &Seam, request: Request) -> Result<Outcome, StoreError> {
        match (self.bug, request) {
            (Bug::CursorFirst, Request::Join { page, now }) => {
                let first = PulledPage { rows: Vec::new(), moved: Vec::new(), ..page.clone() };
                store.commit(Request::Join { page: first, now }).await?;
                store.commit(Request::Join { page, now }).await
            }
            (Bug::SkipsUnsent, Request::Join { mut page, now }) => {
                let unsent = store.inner.outbox(usize::MAX).await?;
                let mine = unsent.iter().flat_map(|unsent| unsent.save.records.iter().map(|record| record.id));
                let mine: Vec<_> = mine.collect();
                page.rows.retain(|row| !mine.contains(&row.id));
                store.commit(Request::Join { page, now }).await
            }
            (Bug::KeepsMoved, Request::Join { mut page, now }) => {
                page.moved.clear();
                store.commit(Request::Join { page, now }).await
            }
            (Bug::SwallowsErrors, Request::Join { page, now }) => {
                Ok(store.commit(Request::Join { page, now }).await.unwrap_or(Outcome::Done))
            }
            (Bug::Echoes, Request::Join { page, now }) => {
                let first = page.rows.iter().find(|row| row.type_name.as_str() == "note").map(|row| row.id);
                let done = store.commit(Request::Join { page, now }).await?;
                let Some(id) = first else { return Ok(done) };
                let type_name = TypeName::custom("note").expect("a good name");
                let Some(held) = store.inner.record(&type_name, id).await? else { return Ok(done) };
                let path = Path::root().property("title");
                let value = held.document.get(&path).cloned().unwrap_or_default();
                let change = Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(value)) };
                let changes = vec![change];
                let record = LocalRecord { type_name, id, revision: None, expect: Expect::Exists, changes };
                let tag = u128::from(u32::MAX - (held.seq as u32)) << 96;
                let author = Author { node: NodeId(held.seq), ..held.state.latest().author };
                let id = SaveId(tag | u128::from(now as u64));
                let save = LocalSave { id, author, now, unchecked: None, records: vec![record], outbox: true };
                store.commit(Request::Save(save)).await?;
                Ok(done)
            }
            (Bug::KeepsFromAbove, Request::Receive { saves, now, relay: true }) => {
                store.commit(Request::Receive { saves, now, relay: false }).await
            }
            (Bug::ChunkFirst, Request::JoinChunk { page, copying, now, ready }) => {
                let first = PulledPage { rows: Vec::new(), moved: Vec::new(), ..page.clone() };
                let nothing = Ready::default();
                store.commit(Request::JoinChunk { page: first, copying: copying.clone(), now, ready: nothing }).await?;
                store.commit(Request::JoinChunk { page, copying, now, ready }).await
            }
            (Bug::TrustsClock, Request::Retime { .. }) => Ok(Outcome::Done),
            (Bug::TrustsClock, Request::Save(save)) => {
                store.commit(Request::Save(LocalSave { unchecked: None, ..save })).await
            }
            (Bug::KeepsForeign, Request::Forget(_)) => Ok(Outcome::Done),
            (Bug::NewIdOnRetry, Request::Acknowledge(saves)) => {
                let saves = {
                    let state = self.state();
                    saves.into_iter().map(|save| state.renamed.get(&save).copied().unwrap_or(save)).collect()
                };
                store.commit(Request::Acknowledge(saves)).await
            }
            (bug, Request::Receive { saves, now, relay: false }) if !self.is_edge => {
                self.receive(bug, store, saves, now).await
            }
            (_, request) => store.commit(request).await,
        }
    }

    async fn receive(&self, bug: Bug, store: &Seam, mut saves: Vec<Save>, now: i64) -> Result<Outcome, StoreError> {
        match bug {
            Bug::DedupByTime => {
                let count = saves.len();
                {
                    let latest = &mut self.state().latest;
                    saves.retain(|save| {
                        let time = save.records.iter().map(|record| record.time).max().unwrap_or_default();
                        let latest = latest.entry(save.author.node).or_default();
                        let is_new = time > *latest;
                        *latest = time.max(*latest);
                        is_new
                    });
                }
                store.commit(Request::Receive { saves, now, relay: false }).await?;
                return Ok(Outcome::Received(vec![Verdict::Accepted; count]));
            }
            Bug::SplitsSaves => {
                let count = saves.len();
                for save in saves {
                    for record in &save.records {
                        let part = Save { records: vec![record.clone()], ..save.clone() };
                        store.commit(Request::Receive { saves: vec![part], now, relay: false }).await?;
                    }
                }
                return Ok(Outcome::Received(vec![Verdict::Accepted; count]));
            }
            _ => {}
        }
        for save in &mut saves {
            for record in &mut save.records {
                let held = store.inner.record(&record.type_name, record.id).await?;
                match (bug, held) {
                    (Bug::Resurrects, Some(held)) if held.state.is_binned() => {
                        let path = Path::root();
                        let replaces = held.state.cover(&path);
                        record.changes.push(Change { path, act: Act::Bin(false), replaces });
                    }
                    (Bug::LastPushWins, _) => record.time = Hlc::at(now),
                    (Bug::NamesUnseen, Some(held)) => {
                        for change in &mut record.changes {
                            change.replaces = held.state.cover(&change.path);
                        }
                    }
                    (Bug::TextOverwrites, Some(held)) => {
                        for change in &mut record.changes {
                            // a text with that edit alone is what its author is taken to have seen
                            let Some((path, reads)) = edited(&Document::default(), change) else { continue };
                            let act = Act::Set(reads.map_or(Content::Absent, Content::json));
                            *change = Change { replaces: held.state.cover(&path), path, act };
                        }
                    }
                    (Bug::CounterOverwrites, Some(held)) => {
                        let stock = Path::root().property("stock");
                        for change in &mut record.changes {
                            if change.path.parent().as_ref() != Some(&stock) {
                                continue;
                            }
                            let Act::Set(Content::Json(by)) = &change.act else { continue };
                            let stands = held.document.get(&stock).and_then(serde_json::Value::as_i64);
                            let left = stands.unwrap_or(0) + by.0.as_i64().unwrap_or(0);
                            let act = Act::Set(Content::json(serde_json::json!(left)));
                            *change = Change { path: stock.clone(), act, replaces: held.state.cover(&stock) };
                        }
                    }
                    _ => {}
                }
            }
        }
        store.commit(Request::Receive { saves, now, relay: false }).await
    }

    pub async fn changes(
        &self,
        store: &Seam,
        partition: &Partition,
        (base, after): (u64, u64),
        mut changes: Changes,
    ) -> Result<Changes, StoreError> {
        match self.bug {
            Bug::LateRow if changes.next.is_none() => {
                let calls = {
                    let mut state = self.state();
                    state.calls += 1;
                    state.calls
                };
                if calls.is_multiple_of(3) && changes.rows.last().is_some_and(|row| row.seq == changes.head) {
                    changes.rows.pop();
                }
            }
            Bug::ChangedSince => {
                let mut times = Vec::new();
                for row in &changes.rows {
                    let held = store.inner.record(&row.type_name, row.id).await?;
                    times.push(held.map_or(Hlc::ZERO, |held| held.state.since(base).latest().time));
                }
                let since = match self.state().served.get(partition) {
                    Some(since) if base > 0 && after == base => *since,
                    _ => Hlc::ZERO,
                };
                let mut all = times.iter();
                changes.rows.retain(|_| all.next().is_some_and(|time| *time >= since));
                let latest = times.into_iter().max().unwrap_or_default().max(since);
                self.state().served.insert(partition.clone(), latest);
            }
            _ => {}
        }
        Ok(changes)
    }

    pub fn outbox(&self, unsent: &mut [Unsent]) {
        if self.bug == Bug::NewIdOnRetry {
            let mut state = self.state();
            for unsent in unsent {
                state.calls += 1;
                let made = SaveId(unsent.save.id.0 ^ u128::from(state.calls) << 64 ^ u128::from(state.calls) << 120);
                state.renamed.insert(made, unsent.save.id);
                unsent.save.id = made;
            }
        }
    }

    pub fn partitions(&self, states: &mut [PartitionState]) {
        if self.bug == Bug::AdoptsDigest && self.is_edge {
            let rumours = self.rumours.lock().expect("one thread");
            for state in states {
                state.digest = rumours.get(&state.partition).copied().unwrap_or(state.digest);
            }
        }
    }
}

/// What a node without a hub's answer believes.
pub fn silence(saves: &[Save]) -> Vec<outpost::domain::protocol::Verdict> {
    saves
        .iter()
        .map(|save| outpost::domain::protocol::Verdict {
            save: save.id,
            refused: None,
            quarantined: None,
            waits: false,
        })
        .collect()
}
