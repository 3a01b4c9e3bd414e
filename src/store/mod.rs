//! Keeps what a node knows. All SQL is below this module; nothing above it names a database.
//!
//! [`Store`] is the seam: the SQLite store runs nodes, the model store beside it runs simulations, and one suite of
//! tests, `contract`, holds for both. What a write *does* is decided once for both in `ledger`, without I/O.

pub mod archive;
pub mod blob;
pub mod chunk;
#[cfg(test)]
mod contract;
mod ledger;
mod list;
mod model;
mod ready;
pub mod sqlite;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::broadcast;

use crate::domain::clock::Hlc;
pub use crate::domain::feed::{Cursor, Digest, Moved, Row, Run, Runs};
use crate::domain::ids::{Epoch, NodeId, Partition, PersonId, RecordId, RevisionId, SaveId, TypeName};
use crate::domain::path::Path;
use crate::domain::reconcile::{Hashed, Mark};
use crate::domain::record::hash::Hash;
use crate::domain::record::pack::Dictionary;
use crate::domain::record::{Change, Document, EffectKind, State};
use crate::domain::save::Save;
use crate::domain::schema::Conflict;
use crate::domain::scope::Scope;
pub use crate::domain::snapshot::Copying;
use crate::domain::stamp::{Author, Stamp};
use crate::meter::Writes;

pub use ledger::{COPYING, FLOOR, Floor, GONE, REMAINS, is_settled, kept_save, remains_of};
pub use model::Model;
pub use ready::{Ready, ReadyRow};
pub use sqlite::{Options, Sqlite, backup, checkup, restore};

/// What the store has to know of types while it writes. Pure and quick: it is asked in the writing transaction.
pub trait Judge: Send + Sync {
    /// The partition a record belongs to, by its type and its scope field.
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition;
    /// Whether the type is here, so that it can be told which of its partitions a record belongs to.
    fn knows(&self, _: &TypeName) -> bool {
        true
    }
    /// What becomes of a value that lost at a place of a record, by the publication the record was last written with.
    fn conflict(&self, _type_name: &TypeName, _revision: Option<RevisionId>, _path: &Path) -> Conflict {
        Conflict::Later
    }
    /// Whether a record is valid under the publication it was written with; `None` if that is not known here yet.
    fn is_valid(&self, type_name: &TypeName, revision: Option<RevisionId>, document: &Value) -> Option<bool>;
    /// Another number whenever it would say something else than before, so that what it said can be kept for a while.
    fn version(&self) -> Option<u64> {
        None
    }
}

/// A node's memory. Each call is one transaction; an error changes nothing. All methods may be called at once.
#[async_trait]
pub trait Store: Send + Sync {
    /// Carries out one request. When it answers, the result is on disk.
    async fn write(&self, request: Request) -> Result<Outcome, StoreError>;

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError>;

    /// A page of one type's records, in the asked order with the id as the last word, in the direction of the first.
    async fn records(&self, query: &Query) -> Result<Page, StoreError>;

    /// The same page for whoever passes the documents on as they are kept.
    async fn listed(&self, query: &Query) -> Result<Page<Listed>, StoreError> {
        let Page { items, next } = self.records(query).await?;
        Ok(Page { items: items.iter().map(Held::listed).collect(), next })
    }

    /// How many records of each type there are.
    async fn tallies(&self) -> Result<Vec<Tally>, StoreError>;

    /// Records that people should look at, newest change first: those with any of these flags. `limit` at most, all of
    /// them with a number below `before`.
    async fn flagged(&self, flags: Flags, before: Option<u64>, limit: usize) -> Result<Vec<Held>, StoreError>;

    /// Every change of a record this node saw, newest first. What its creation did is no line: it is the record.
    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError>;

    /// What changed in a partition for a reader who is complete up to `base` and has seen rows up to `after`; in order
    /// of `seq`, about `max_bytes` of rows, at least one if there is any. Head and digest are of the same moment.
    async fn changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError>;

    /// Hands on every record of a partition in the order of type and id, whole, as of one moment, never holding many of
    /// them; and says where the partition stood then. An error of `visit` ends it.
    async fn walk(&self, partition: &Partition, visit: &mut Visit<'_>) -> Result<PartitionState, StoreError>;

    /// The oldest saves the hub has not acknowledged, in the order they were made; about `max_bytes`, at least one.
    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Unsent>, StoreError>;

    /// As [`Store::outbox`], from behind a save on; from the beginning if that is not in the outbox (any more).
    async fn outbox_after(&self, after: Option<SaveId>, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        let all = self.outbox(usize::MAX).await?;
        let from = after.and_then(|after| all.iter().position(|unsent| unsent.save.id == after));
        let mut bytes = 0;
        let rest = all.into_iter().skip(from.map_or(0, |at| at + 1));
        let fits = |unsent: &Unsent| {
            let first = bytes == 0;
            bytes += serde_json::to_string(&unsent.save).map_or(0, |text| text.len());
            first || bytes <= max_bytes
        };
        Ok(rest.take_while(fits).collect())
    }

    /// How many saves wait to be acknowledged.
    async fn waiting(&self) -> Result<u64, StoreError>;

    /// Those of these records with saves that wait to be acknowledged.
    async fn unsent(&self, of: &[(TypeName, RecordId)]) -> Result<HashSet<(TypeName, RecordId)>, StoreError> {
        let saves = self.outbox(usize::MAX).await?.into_iter().flat_map(|unsent| unsent.save.records);
        let unsent: HashSet<_> = saves.map(|record| (record.type_name, record.id)).collect();
        Ok(of.iter().filter(|key| unsent.contains(*key)).cloned().collect())
    }

    /// Every partition that ever held a record here or was pulled, with head and digest of one moment.
    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError>;

    /// Those of them that are in a scope; however many others there are, this takes no longer.
    async fn partitions_in(&self, scope: &Scope) -> Result<Vec<PartitionState>, StoreError> {
        let mut states = self.partitions().await?;
        states.retain(|state| scope.contains(&state.partition));
        Ok(states)
    }

    /// Documents of this node alone, which never travel: sessions, tokens, nodes, invitations, cursors, settings. In order of key.
    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError>;

    /// Those whose keys begin so.
    async fn locals_under(&self, kind: &str, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let mut all = self.locals(kind).await?;
        all.retain(|(key, _)| key.starts_with(prefix));
        Ok(all)
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError>;

    /// The digest of every partition that holds records, computed anew from all of them: what [`Store::partitions`] says
    /// must be the same. For a check-up; it reads everything.
    async fn recompute_digests(&self) -> Result<Vec<(Partition, Digest)>, StoreError>;

    /// The partitions that records left, with the lowest number of that which is not forgotten.
    async fn removals(&self) -> Result<Vec<(Partition, u64)>, StoreError>;

    /// The runs in which this node gave its numbers. A run is on disk with its first number.
    async fn runs(&self) -> Result<Runs, StoreError>;

    /// The hashes of a partition's records in the order of type and id, from one to before another, `limit` at most.
    async fn hashes(
        &self,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError>;

    /// What was committed, as it is committed. A receiver that falls behind is told so and looks for itself.
    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>>;

    /// Whom it asks about types, if others may ask, too.
    fn judge(&self) -> Option<Arc<dyn Judge>> {
        None
    }

    /// What is counted of the writing, if it is.
    fn meter(&self) -> Option<Arc<Writes>> {
        None
    }

    /// Finishes what is under way and closes the database.
    async fn close(&self);
}

/// Sees one record after another.
pub type Visit<'a> = dyn FnMut(Held) -> Result<(), StoreError> + Send + 'a;

/// One atomic step.
#[derive(Debug, Clone)]
pub enum Request {
    /// A person's save on this node.
    Save(LocalSave),
    /// Saves that another node pushed, each judged and answered on its own. Saves of a record that is not here and that
    /// they do not create wait beside until it comes. With `relay` this node is no hub: each goes into the outbox as it came,
    /// and what loses by it is for the hub to judge.
    Receive { saves: Vec<Save>, now: i64, relay: bool },
    /// Saves that another node pushed and that may not be. Each is kept as a record of the type
    /// [`TypeName::QUARANTINE`], where the record is that it is about; what it wrote where it was made is written over
    /// with what stands here, in the name of `by`. A save that was accepted before stays accepted.
    Quarantine { saves: Vec<Denied>, by: Author, now: i64 },
    /// Applies saves that were kept from being, by the ids of their entries: as later writes of their authors, who write
    /// as `save`; `by` decided so. [`Outcome::Unexpected`] if one is not open, or its record is not here.
    Admit { entries: Vec<RecordId>, save: SaveId, by: Author, now: i64 },
    /// A page of a partition pulled from the hub, with the cursor it leads to.
    Join { page: PulledPage, now: i64 },
    /// A chunk of a partition that is copied for the first time: joined like a page, and that it is in is remembered with
    /// it. `copying` is how far the copy is then. Without it this was the last, and the cursor of the page is taken. `ready`
    /// are its rows made ready, if that was done before.
    JoinChunk { page: PulledPage, ready: Ready, copying: Option<Copying>, now: i64 },
    /// Records that an edge gives back, since this node lost them: joined and numbered as those of a push. `relay`: what
    /// loses by that is judged by the node above.
    Offer { page: OfferedPage, now: i64, relay: bool },
    /// The hub has these saves: they leave the outbox.
    Acknowledge(Vec<SaveId>),
    /// Rows of these partitions are outside this node's scope now and are dropped, whatever their cursors say, except
    /// those with saves that the hub has not acknowledged; these go when it has. Done in steps that others may write
    /// between; what a crash interrupts is finished by asking again.
    Forget(Vec<Partition>),
    /// Judges the records of a type again, after its publications changed: flags and partitions are brought up to date.
    /// Done in steps, like [`Request::Forget`].
    Rejudge(TypeName),
    /// What the clock showed is known now: the hub's clock was asked, and is `offset` milliseconds ahead of this device's.
    /// Saves that were made with an unchecked clock are brought to corrected time, in their order and above all that they
    /// were put above, and may be sent. `now` is the corrected time.
    Retime { offset: i64, now: i64 },
    /// Deletes these records for good, in the name of `by`: those that are in the bin, and lost values that are decided.
    /// Readers are told as of a record that moved away; what each was is kept until [`Request::Settle`]. What somebody
    /// edited in the bin, or what waits in quarantine, is left as it is.
    Purge { records: Vec<(TypeName, RecordId)>, by: Author, now: i64 },
    /// A node has these records in a partition, each with nothing later than a stamp in it, and may not give them back.
    /// Of those that are elsewhere, that were deleted for good, or that a denied save would have made, its readers are told
    /// that they are not there.
    Absent { partition: Partition, records: Vec<(TypeName, RecordId, Stamp)>, now: i64 },
    /// Forgets which records left a partition, up to a number; and what these were that were deleted for good, if all
    /// their readers know by these numbers. Whoever is not that far has to compare all it holds.
    Settle { epoch: Epoch, floors: Vec<(Partition, u64)>, remains: Vec<(TypeName, RecordId)> },
    /// Documents of this node alone. All or none: if an expectation fails, the outcome is [`Outcome::Unexpected`].
    Local(Vec<LocalChange>),
}

#[derive(Debug, Clone)]
pub struct LocalSave {
    pub id: SaveId,
    pub author: Author,
    /// Corrected now, in milliseconds.
    pub now: i64,
    /// The correction in `now`, if it could not be checked lately; such a save is not sent before [`Request::Retime`].
    pub unchecked: Option<i64>,
    pub records: Vec<LocalRecord>,
    /// Whether the save waits for a hub's acknowledgement: true on an edge.
    pub outbox: bool,
}

#[derive(Debug, Clone)]
pub struct LocalRecord {
    pub type_name: TypeName,
    pub id: RecordId,
    pub revision: Option<RevisionId>,
    pub expect: Expect,
    pub changes: Vec<Change>,
}

/// A save that may not be.
#[derive(Debug, Clone, PartialEq)]
pub struct Denied {
    pub save: Save,
    /// Why, in words for people.
    pub reason: String,
    /// The node that brought it; as a rule the one it was made on.
    pub via: NodeId,
}

/// A save that the hub has not acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsent {
    pub save: Save,
    /// Whether its time was checked against the hub's clock. If not, it is to be brought to corrected time first.
    pub checked: bool,
}

/// What must be so in the writing transaction for a save to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The record is not here.
    New,
    /// The record is here, in the bin or not.
    Exists,
    /// The record is here and this is its hash.
    Unchanged(Hash),
}

#[derive(Debug, Clone)]
pub struct LocalChange {
    pub kind: &'static str,
    pub key: String,
    /// `None` deletes.
    pub value: Option<Value>,
    /// What must stand there now: `Some(None)` means nothing.
    pub expect: Option<Option<Value>>,
}

#[derive(Debug, Clone)]
pub struct PulledPage {
    pub partition: Partition,
    pub rows: Vec<Row>,
    /// Records that left the partition: dropped here unless this node knows a later value of the scope field.
    pub moved: Vec<Moved>,
    /// Where the reader stands after this page.
    pub cursor: Cursor,
    /// The stamps of `rows` speak of these authors and names.
    pub dictionary: Dictionary,
}

/// Whole records as an edge has them, in this partition.
#[derive(Debug, Clone)]
pub struct OfferedPage {
    pub partition: Partition,
    pub rows: Vec<Row>,
    pub dictionary: Dictionary,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The save was carried out; the records as they are now, in its order.
    Saved(Vec<Held>),
    /// The save was not carried out because an expectation failed; the record's place in the save, and how it is now.
    Refused {
        index: usize,
        now: Option<Box<Held>>,
    },
    /// One verdict a pushed save, in order.
    Received(Vec<Verdict>),
    Done,
    /// The first local change whose expectation failed.
    Unexpected {
        index: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is on disk, and applied now or before.
    Accepted,
    /// It is on disk, and some of it is applied as soon as its record comes: this node has nothing of that record.
    Waits,
    /// It is on disk, and kept from being; why.
    Quarantined(String),
    /// It cannot be stored here, and why; the others are not held up.
    Refused(String),
}

/// A record as the store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub type_name: TypeName,
    pub id: RecordId,
    pub partition: Partition,
    pub state: State,
    /// The projection of `state`.
    pub document: Document,
    /// This node's number of its newest change.
    pub seq: u64,
    pub flags: Flags,
}

impl Held {
    pub fn hash(&self) -> Hash {
        self.state.hash(&self.type_name, self.id, &self.document.value)
    }

    pub fn listed(&self) -> Listed {
        Listed {
            type_name: self.type_name.clone(),
            id: self.id,
            seq: self.seq,
            flags: self.flags,
            revision: self.state.revision(),
            latest: self.state.latest(),
            document: self.document.value.to_string(),
        }
    }
}

/// A record as one of many: what is said of it, and its document as the text that is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub type_name: TypeName,
    pub id: RecordId,
    pub seq: u64,
    pub flags: Flags,
    /// The publication it was last written with.
    pub revision: Option<RevisionId>,
    /// The latest stamp anywhere in it.
    pub latest: Stamp,
    pub document: String,
}

/// What a list or a person has to know of a record without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    pub const BINNED: Flags = Flags(1);
    /// Not valid under the publication it was written with.
    pub const INVALID: Flags = Flags(2);
    /// In the bin, and somebody who had not seen that wrote in it.
    pub const EDITED_AFTER_DELETION: Flags = Flags(4);
    /// Written under a publication that is not here yet.
    pub const UNKNOWN_REVISION: Flags = Flags(8);
    /// Values of it lost a merge and nobody has decided yet.
    pub const LOST: Flags = Flags(16);
    /// Outside this node's scope, and kept until the hub has what was saved here.
    pub const LEAVING: Flags = Flags(32);
    /// A lost value that only this node knows of: shown here until the hub has judged the save that lost.
    pub const PROVISIONAL: Flags = Flags(64);

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn with(self, other: Flags, on: bool) -> Flags {
        if on { Flags(self.0 | other.0) } else { Flags(self.0 & !other.0) }
    }
}

/// Which records of a type, in which order.
#[derive(Debug, Clone)]
pub struct Query {
    pub type_name: TypeName,
    /// All of them hold.
    pub filters: Vec<Filter>,
    pub sort: Vec<Sort>,
    /// The bin instead of the living.
    pub binned: bool,
    pub limit: usize,
    /// Where the page before ended, as its [`Page::next`] said.
    pub cursor: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Filter {
    /// Property names down from the record.
    pub path: Vec<String>,
    pub operator: Operator,
    pub value: Value,
}

/// Absent and `null` are empty. An absent field is never equal, less or greater, and always not equal; a `null` equals
/// only `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    /// A text contains a text, without regard to ASCII case; a list contains a value.
    Contains,
    Starts,
    /// The value says whether it is to be empty.
    Empty,
}

#[derive(Debug, Clone)]
pub struct Sort {
    pub by: SortKey,
    pub descending: bool,
}

#[derive(Debug, Clone)]
pub enum SortKey {
    /// Numbers by value, then texts by code point; records without a value come last, either way.
    Field(Vec<String>),
    /// The number of the newest change here.
    Changed,
}

#[derive(Debug, Clone)]
pub struct Page<T = Held> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: None }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    pub type_name: TypeName,
    pub living: u64,
    pub binned: u64,
    /// Living or binned ones that are flagged invalid or edited after deletion.
    pub flagged: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HistoryLine {
    /// This node's number of the change.
    pub seq: u64,
    pub stamp: Stamp,
    pub path: Path,
    pub act: EffectKind,
    pub old: Option<Value>,
    pub new: Option<Value>,
    /// What the author had seen there, if that is known here.
    pub replaced: Stamp,
    /// When this node took it in, in milliseconds.
    pub seen_at: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub rows: Vec<Row>,
    pub moved: Vec<Moved>,
    pub dictionary: Dictionary,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<u64>,
    pub head: u64,
    pub digest: Digest,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PartitionState {
    pub partition: Partition,
    /// The number of its newest change here.
    pub head: u64,
    pub records: u64,
    pub digest: Digest,
    /// How far it was pulled from the hub; on a hub none.
    pub cursor: Option<Cursor>,
}

/// One record changed, or left a partition.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub partition: Partition,
    pub type_name: TypeName,
    pub id: RecordId,
    pub seq: u64,
    pub person: PersonId,
    pub node: NodeId,
    pub at: Hlc,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database was written by a newer version of outpost; use that version or a newer one")]
    Newer,
    #[error("the database was written by an older version of outpost; start its node once with this version")]
    Older,
    #[error("the disk is full; nothing was changed")]
    Full,
    #[error("the data directory cannot be written: {0}")]
    ReadOnly(String),
    #[error("SQLite {0} can lose committed data; 3.51.3 or newer is needed")]
    OldSqlite(String),
    #[error("a record in the database is damaged: {0}")]
    Damaged(String),
    #[error("the save is over a limit: {0}")]
    Limit(String),
    #[error("the cursor is not one of this list")]
    Cursor,
    #[error("the store is closed")]
    Closed,
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}
