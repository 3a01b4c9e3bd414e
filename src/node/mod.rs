//! What one can ask of a node: publish a type, save a record, decide about a lost value, sign a person in.
//!
//! Every operation names its actor. Pages, API and commands are siblings over this one [`Node`], so that HTML and JSON
//! obey the same rules. It knows no HTTP and no SQL.

mod blobs;
mod conflicts;
mod forgetting;
mod identity;
mod link;
mod memory;
mod people;
mod quarantine;
mod records;
mod types;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};

use tokio::sync::{Semaphore, broadcast};
use uuid::Uuid;

use crate::domain::FieldError;
use crate::domain::clock::Reading;
use crate::domain::ids::{Incarnation, SaveId};
use crate::domain::people::{Actor, Denied};
use crate::domain::record::hash::Hash;
use crate::domain::save::id_of;
use crate::domain::stamp::Author;
use crate::store::{Held, LocalRecord, LocalSave, Notice, Outcome, Request, Store, StoreError};

pub use blobs::{Blobs, HasFiles, MOST as LARGEST_FILE, Travelling, Wanted, by_types};
pub use conflicts::{Conflict, ConflictState, Conflicts, Side};
pub use forgetting::{BackedUp, Keeping, Order};
pub use identity::{Identity, Role as NodeRole, Upstream};
pub use link::{
    Holder, KnownNode, Link, LinkState, LinkStatus, NodeChange, Nodes, Noticed, Past, PeerState, PeerStatus, Peers,
    Reached, Sites, Sought, settled,
};
pub use memory::{Caches, Revision, Type};
pub use people::{ApiToken, Person, Session, SignIn, hash_password};
pub use quarantine::{
    Decision, DeniedAct, DeniedChange, MAX_WORD, Quarantine, QuarantineState, Quarantined, RefusedSave, WaitingSave,
};
pub use records::{Created, ImportedRow, Patch, Verdict};
pub use types::{CheckReport, Published};

/// The clock and the dice, handed in, so that a test can hold them.
pub trait World: Send + Sync {
    /// Milliseconds since 1970, corrected by what the hub's clock says where that is known.
    fn now(&self) -> i64;
    /// 128 bits nobody can foresee.
    fn random(&self) -> u128;
    /// Milliseconds of a clock that nobody sets and that never goes back, wherever it begins.
    fn ticks(&self) -> i64;

    /// A look at the clock, for a save.
    fn reading(&self) -> Reading {
        Reading { now: self.now(), unchecked: None }
    }
}

/// A node of the network, hub or edge. Cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    caches: Arc<Caches>,
    world: Arc<dyn World>,
    identity: Identity,
    /// As it is now; a node whose data was copied takes another while it runs.
    incarnation: Arc<AtomicU64>,
    /// What people call it now; its identity says what it was called at the start.
    name: RwLock<String>,
    /// Authenticates what a form carries of the version it was rendered from.
    secret: [u8; 32],
    /// Argon2 takes 19 MiB and a core each time.
    hashing: Semaphore,
    failures: RwLock<HashMap<String, people::Failures>>,
    /// By the fingerprint of their secret.
    tokens: RwLock<HashMap<String, ApiToken>>,
    /// The files beside the records, where this node keeps any.
    blobs: OnceLock<Arc<Blobs>>,
}

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("sign in first")]
    SignedOut,
    /// What was given cannot be taken; where and why, for people.
    #[error("not valid")]
    Invalid(Vec<FieldError>),
    #[error("there is no {0} of this name")]
    NotFound(&'static str),
    /// Something is so that should not be: the id is taken, the record is in the bin, two published at once.
    #[error("{0}")]
    Conflict(String),
    /// The record was changed since the version that was named.
    #[error("the record was changed meanwhile")]
    Changed(Box<Held>),
    /// Over a limit that is told.
    #[error("{0}")]
    TooLarge(String),
    /// Too many wrong passwords; seconds until the next try.
    #[error("too many tries; wait {0} seconds")]
    Wait(u64),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub type Result<T, E = NodeError> = std::result::Result<T, E>;

impl Node {
    /// A node over an open store. `store` must be the one that `caches` judge for; see [`Node::watching`].
    pub async fn open(
        store: Arc<dyn Store>,
        caches: Arc<Caches>,
        world: Arc<dyn World>,
        identity: Identity,
    ) -> Result<Self> {
        let incarnation = Arc::new(AtomicU64::new(identity.incarnation.0));
        let store: Arc<dyn Store> = Arc::new(memory::Watched::new(store, caches.clone(), incarnation.clone()));
        caches.load(&*store).await?;
        let secret = identity::secret(&*store, &*world).await?;
        let tokens = people::tokens(&*store).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                caches,
                world,
                name: RwLock::new(identity.name.clone()),
                identity,
                incarnation,
                secret,
                hashing: Semaphore::new(2),
                failures: RwLock::default(),
                tokens: RwLock::new(tokens),
                blobs: OnceLock::new(),
            }),
        })
    }

    /// The node's memory. What is written through it is seen by the node at once; sync works on it.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Keeps files in this data directory from now on; the first place stays.
    pub async fn keep_files_in(&self, data: &std::path::Path) -> Result<Arc<Blobs>> {
        let has_files = by_types(self.inner.caches.clone());
        let blobs = Blobs::open(data, self.store().clone(), has_files, self.is_hub()).await?;
        Ok(self.inner.blobs.get_or_init(|| blobs).clone())
    }

    /// The files of this node, where it keeps any.
    pub fn blobs(&self) -> Option<&Arc<Blobs>> {
        self.inner.blobs.get()
    }

    /// Who it was at the start: its name and its incarnation may have changed since.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The incarnation that stamps what is saved here now.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.inner.incarnation.load(Ordering::Acquire))
    }

    /// What people call this node.
    pub fn name(&self) -> String {
        self.inner.name.read().expect("no holder of this lock panics").clone()
    }

    pub fn is_hub(&self) -> bool {
        matches!(self.inner.identity.role, NodeRole::Hub)
    }

    pub fn world(&self) -> &dyn World {
        &*self.inner.world
    }

    pub fn now(&self) -> i64 {
        self.inner.world.now()
    }

    /// The key that authenticates what forms carry.
    pub fn secret(&self) -> &[u8; 32] {
        &self.inner.secret
    }

    pub fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.inner.store.notices()
    }

    /// A new id for a record, a person, a submission: UUID version 7.
    pub fn new_id(&self) -> Uuid {
        let random = self.inner.world.random().to_be_bytes();
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&random[..10]);
        uuid::Builder::from_unix_timestamp_millis(self.now().max(0).unsigned_abs(), &bytes).into_uuid()
    }

    fn author(&self, actor: &Actor) -> Author {
        Author { node: self.inner.identity.node, incarnation: self.incarnation(), person: actor.person() }
    }

    /// Saves what one actor did at once. The outer error is the store's, the inner one says which expectation failed.
    async fn save(&self, actor: &Actor, records: Vec<LocalRecord>) -> Result<std::result::Result<Vec<Held>, Unmet>> {
        let Reading { now, unchecked } = self.inner.world.reading();
        let author = self.author(actor);
        let random = SaveId(self.inner.world.random());
        let first = records.iter().find(|record| !record.changes.is_empty());
        let save = LocalSave {
            id: first.map_or(random, |first| id_of(random.tag(), &author, now, first.id)),
            author,
            now,
            unchecked,
            records,
            outbox: !self.is_hub(),
        };
        Ok(match self.inner.store.write(Request::Save(save)).await? {
            Outcome::Saved(held) => Ok(held),
            Outcome::Refused { now, .. } => Err(Unmet { now: now.map(|held| *held) }),
            _ => unreachable!("a save is answered as a save"),
        })
    }
}

/// An expectation of a save that did not hold.
struct Unmet {
    /// How the record is that did not meet it; `None` if there is none.
    now: Option<Held>,
}

/// The entity tag of a record: equal on all nodes that saw the same changes.
pub fn etag(hash: Hash) -> String {
    format!("\"{:032x}\"", hash.0)
}
