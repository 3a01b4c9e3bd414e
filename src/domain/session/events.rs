//! What a session says is to be done, and what it is told that happened.

use super::Walk;
use crate::domain::feed::{Cursor, Digest};
use crate::domain::ids::{Epoch, Partition, SaveId};
use crate::domain::protocol::{Failure, Hint, Pushed, Welcome};
use crate::domain::reconcile::Mark;
use crate::domain::snapshot::{ChunkHash, ChunkRef};

/// What to do next. Each is carried out to its end before the next is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Hello,
    /// Take a new incarnation: the data of this node was copied, or put back to an earlier state.
    Renew,
    /// Send the oldest saves of the outbox, about so many bytes of them, and acknowledge what the hub has.
    Push {
        max_bytes: usize,
        since: u64,
    },
    /// Move a save out of the way of the others, with the reason.
    SetAside {
        save: SaveId,
        reason: String,
    },
    /// Drop partitions that are outside the scope.
    Forget(Vec<Partition>),
    /// Pull a page and join it.
    Pull {
        partition: Partition,
        cursor: Cursor,
        max_bytes: usize,
    },
    /// Ask which chunks a partition is made of, and which of them are not here yet.
    List {
        partition: Partition,
        epoch: Epoch,
    },
    /// Fetch a chunk of a manifest with this head and join it. `then` is the one that comes after it, if it is not the last.
    Copy {
        partition: Partition,
        epoch: Epoch,
        head: u64,
        chunk: ChunkRef,
        then: Option<ChunkHash>,
    },
    /// Compare some of a partition's records with the hub's, get what it has and give it what it lacks; when none are left,
    /// go on reading where the hub was when it began.
    Reconcile {
        partition: Partition,
        epoch: Epoch,
        walk: Walk,
        push_bytes: usize,
    },
    /// Read this node's own digests.
    Compare,
    /// Nothing, until something happens or this moment comes.
    Wait {
        until: Option<i64>,
    },
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// How many saves the outbox holds: after a start, and whenever a person saved.
    Waiting(u64),
    /// The hub answered a hello; what this node held at that time.
    Welcomed {
        welcome: Welcome,
        held: Vec<Holding>,
    },
    /// This node has a new incarnation, and all that it had.
    Renewed,
    /// The hub answered a push, and what it took is acknowledged. `waiting` is how many saves are left.
    Pushed {
        reply: Pushed,
        waiting: u64,
    },
    /// There was nothing to push.
    NothingToPush,
    /// The save is out of the way. `waiting` is how many saves are left.
    IsAside {
        waiting: u64,
    },
    Forgot,
    /// A page is joined, and this is where the partition stands now.
    Joined {
        partition: Partition,
        cursor: Cursor,
        head: u64,
        digest: Digest,
        rows: u64,
    },
    /// The hub told which chunks a partition is made of. If none is left to be fetched, this is where the partition stands.
    Listed {
        partition: Partition,
        epoch: Epoch,
        head: u64,
        digest: Digest,
        left: Vec<ChunkRef>,
        cursor: Option<Cursor>,
    },
    /// A chunk is joined; after the last one, this is where the partition stands.
    Copied {
        partition: Partition,
        chunk: ChunkRef,
        cursor: Option<Cursor>,
    },
    /// These records are the same on both sides, as far as the hub takes them; `next` is where it goes on.
    Reconciled {
        partition: Partition,
        begun: Cursor,
        next: Option<Mark>,
    },
    /// This node's own digests, and how many saves the outbox held before and after they were read, whichever is more.
    Compared {
        waiting: u64,
        held: Vec<Holding>,
    },
    Failed {
        doing: Doing,
        failure: Failure,
    },
    /// The hub said that a partition moved on.
    Heard(Hint),
    /// Hints arrive from now on.
    LiveUp,
    /// Hints do not arrive any more.
    LiveDown,
    /// Something of the nodes below is to be told to the hub.
    Report,
    Pause,
    Resume,
    /// Somebody wants it to be tried at once.
    Now,
}

/// What failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Doing {
    Hello,
    Renew,
    /// The save, if it was a single one.
    Push(Option<SaveId>),
    SetAside,
    Forget,
    Pull(Partition),
    List(Partition),
    Copy(Partition),
    Reconcile(Partition),
    Compare,
}

/// A partition as this node holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    pub partition: Partition,
    pub cursor: Option<Cursor>,
    pub records: u64,
    pub digest: Digest,
    /// Whether its first copy, chunk by chunk, is under way.
    pub copying: bool,
}
