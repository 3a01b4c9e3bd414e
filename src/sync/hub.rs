//! The hub's side of the protocol, as plain functions over a store.

mod blobs;
mod bundle_files;
mod bundles;
mod forgetting;
mod lives;
mod nodes;
mod peers;
mod push;
mod reach;
mod reconcile;
mod roster;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::forgetting::Checkpoints;
pub use self::forgetting::Forgotten;
use self::peers::Conversations;
use self::reach::Known;
use self::roster::Roster;
use self::snapshots::Snapshots;
use super::enrolment::{self, NodeRecord};
use super::listener::Listener;
use super::observe::Listening;
use super::relay::Relay;
use super::switchboard::Switchboard;
use super::terse::Memory;
use super::wire::Malformed;
use crate::domain::ids::{NodeId, Partition};
use crate::domain::protocol::{
    Above, Below, Enrol, Enrolled, Head, Hello, Limits, PROTOCOLS, Problem, Pull, Pulled, Welcome, agree, problem,
};
use crate::domain::save::Save;
use crate::domain::snapshot::{ChunkHash, Manifest};
use crate::meter::Talk;
use crate::node::{Blobs, Identity, Node, World};
use crate::store::{LocalChange, PartitionState, Store, StoreError};

/// Judges a save by the rights of its author; `Err` says why it may not be.
pub type Permits = Box<dyn Fn(&Save) -> std::result::Result<(), String> + Send + Sync>;

const CONTACT: &str = "contact";
/// An edge tells of so many nodes that it serves.
const MAX_BELOW: usize = 1_000;
/// The last pushes of so many nodes are remembered.
const MOST_REMEMBERED: usize = 10_000;
/// How often it is written down that a node was heard of.
const KEEP_EVERY: i64 = 30_000;

pub struct Hub {
    store: Arc<dyn Store>,
    identity: Identity,
    world: Arc<dyn World>,
    permits: Permits,
    limits: Limits,
    contacts: Mutex<BTreeMap<NodeId, Contact>>,
    reach: Mutex<Known>,
    roster: tokio::sync::Mutex<Option<Arc<Roster>>>,
    snapshots: Snapshots,
    closing: watch::Sender<bool>,
    switchboard: Arc<Switchboard>,
    meter: Arc<Talk>,
    /// On an edge that serves others: how it stands to its own hub.
    relay: Option<Arc<Relay>>,
    checkpoints: Mutex<Checkpoints>,
    /// The files that it takes and gives, where it keeps any.
    blobs: OnceLock<Arc<Blobs>>,
    /// On an edge: with others of its site.
    conversations: Conversations,
    /// The last push of each node, as far as it is remembered.
    memories: Mutex<HashMap<NodeId, Memory>>,
}

/// What a node told when it was last heard of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Contact {
    at: i64,
    waiting: u64,
    in_step: bool,
    /// How far its clock was ahead, in milliseconds.
    clock_ahead: i64,
    /// The numbers up to which it is complete.
    reached: BTreeMap<String, u64>,
    /// The nodes that it serves.
    #[serde(default)]
    below: Vec<Below>,
    #[serde(skip)]
    kept_at: i64,
}

/// Why the hub does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Meaningless(String),
    #[error("this hub speaks version {ours} of the sync protocol, the node speaks {theirs}; update the older one", ours = list(PROTOCOLS), theirs = list(.0))]
    Protocol(Vec<u16>),
    #[error("this hub does not know the credential of this node")]
    Credential,
    #[error("this node was revoked at the hub")]
    Revoked,
    #[error("{0}")]
    Token(String),
    #[error("{0} is not in the scope of this node")]
    OutOfScope(Partition),
    #[error(
        "another device goes on with the data of this one, or has gone on before it was put back; take a new incarnation"
    )]
    Twin,
    #[error("the cursor counts from another beginning than this hub does")]
    ForeignEpoch,
    #[error("{0}")]
    NoChunk(String),
    #[error("{0}")]
    NoBlob(String),
    #[error("this hub takes files of at most {} MiB", .0 >> 20)]
    FileTooLarge(u64),
    #[error("{0} is being put together for a first copy; ask again soon")]
    Preparing(Partition),
    #[error("{0}")]
    NotAPeer(String),
    #[error("this conversation is not known here, or not any more")]
    NoSession,
    #[error("this node is an edge; sync goes to its hub")]
    NotAHub,
    #[error("this node is an edge, and its hub does not let it serve others")]
    NoRelay,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn list(versions: &[u16]) -> String {
    match versions {
        [] => "none".into(),
        versions => versions.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
    }
}

impl HubError {
    /// The answer that tells it. What concerns only the hub itself is not told.
    pub fn problem(&self) -> Problem {
        let (status, kind, title) = match self {
            HubError::Malformed(Malformed::Unremembered) => (409, problem::UNREMEMBERED, "not remembered"),
            HubError::Malformed(Malformed::TooLarge(_)) => (413, problem::TOO_LARGE, "too large"),
            HubError::Malformed(_) | HubError::Meaningless(_) => (400, problem::MALFORMED, "malformed message"),
            HubError::Protocol(_) => (400, problem::PROTOCOL, "no common version"),
            HubError::Credential => (401, problem::CREDENTIAL, "unknown credential"),
            HubError::Revoked => (403, problem::NODE_REVOKED, "node revoked"),
            HubError::Token(_) => (403, problem::TOKEN, "token not accepted"),
            HubError::OutOfScope(_) => (403, problem::OUT_OF_SCOPE, "out of scope"),
            HubError::NotAPeer(_) => (403, problem::NOT_A_PEER, "not a peer"),
            HubError::NoSession => (409, problem::SESSION, "unknown conversation"),
            HubError::Twin => (409, problem::TWIN, "not the only one"),
            HubError::ForeignEpoch => (409, problem::EPOCH, "foreign epoch"),
            HubError::NotAHub | HubError::NoRelay => (404, problem::NOT_A_HUB, "not a hub"),
            HubError::NoChunk(_) => (404, problem::NO_CHUNK, "no such chunk"),
            HubError::NoBlob(_) => (404, problem::NO_BLOB, "no such file"),
            HubError::FileTooLarge(_) => (413, problem::TOO_LARGE, "too large"),
            HubError::Preparing(_) => (503, problem::BUSY, "not ready yet"),
            HubError::Store(StoreError::Full) => (503, problem::BUSY, "disk full"),
            HubError::Store(StoreError::Closed) => (503, problem::BUSY, "shutting down"),
            HubError::Store(_) => (500, problem::INTERNAL, "internal error"),
        };
        let detail = match (self, status) {
            (_, 500) => "the hub failed; its log says why".into(),
            (HubError::Store(StoreError::Full), _) => "the hub's disk is full".into(),
            (HubError::Store(_), _) => "the hub is shutting down".into(),
            _ => self.to_string(),
        };
        Problem { kind: kind.into(), title: title.into(), status, detail }
    }

    /// When it makes sense to ask again, in seconds.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            HubError::Preparing(_) => Some(5),
            HubError::Store(StoreError::Full) => Some(60),
            HubError::Store(StoreError::Closed) => Some(2),
            _ => None,
        }
    }
}

type Result<T> = std::result::Result<T, HubError>;

const POISON: &str = "no holder of this lock panics";

impl Hub {
    pub async fn open(
        store: Arc<dyn Store>,
        identity: Identity,
        world: Arc<dyn World>,
        permits: Permits,
    ) -> std::result::Result<Arc<Self>, StoreError> {
        Self::with(store, identity, world, permits, None).await
    }

    async fn with(
        store: Arc<dyn Store>,
        identity: Identity,
        world: Arc<dyn World>,
        permits: Permits,
        relay: Option<Arc<Relay>>,
    ) -> std::result::Result<Arc<Self>, StoreError> {
        let mut contacts = BTreeMap::new();
        for (id, contact) in store.locals(CONTACT).await? {
            // a contact that cannot be read is only forgotten
            if let (Ok(id), Ok(contact)) = (id.parse(), serde_json::from_value(contact)) {
                contacts.insert(id, contact);
            }
        }
        Ok(Arc::new(Self {
            store,
            identity,
            world,
            permits,
            limits: Limits::default(),
            contacts: Mutex::new(contacts),
            reach: Mutex::default(),
            roster: tokio::sync::Mutex::default(),
            snapshots: Snapshots::default(),
            closing: watch::Sender::new(false),
            switchboard: Arc::default(),
            meter: Arc::default(),
            relay,
            checkpoints: Mutex::default(),
            blobs: OnceLock::new(),
            conversations: Conversations::default(),
            memories: Mutex::default(),
        }))
    }

    /// The hub's side of an edge, for edges below it: it takes all their saves and sends them on.
    pub async fn relaying(
        store: Arc<dyn Store>,
        identity: Identity,
        world: Arc<dyn World>,
        relay: Arc<Relay>,
    ) -> std::result::Result<Arc<Self>, StoreError> {
        Self::with(store, identity, world, Box::new(|_| Ok(())), Some(relay)).await
    }

    /// The hub's side of a node.
    pub async fn of(node: &Node, world: Arc<dyn World>) -> std::result::Result<Arc<Self>, StoreError> {
        let judge = node.clone();
        let permits = Box::new(move |save: &Save| judge.permits(save));
        Self::open(node.store().clone(), node.identity().clone(), world, permits).await
    }

    /// What it counts of its conversations.
    pub fn meter(&self) -> &Arc<Talk> {
        &self.meter
    }

    /// Ready when the live streams are to end.
    pub async fn closing(&self) {
        // an error says that nobody is there to close it
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Ends all live streams, so that the server can stop.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub async fn authenticate(&self, credential: Option<&str>) -> Result<NodeRecord> {
        self.may_serve()?;
        let mut node = enrolment::authenticate(&*self.store, credential.ok_or(HubError::Credential)?).await?;
        if let Some(relay) = &self.relay {
            // what this node does not hold whole it cannot hand on
            node.scope = node.scope.within(&relay.grant().scope);
        }
        Ok(node)
    }

    /// What is remembered of the last push of a node.
    pub(super) fn last_push(&self, node: NodeId) -> Memory {
        self.memories.lock().expect(POISON).get(&node).cloned().unwrap_or_default()
    }

    pub(super) fn remember(&self, node: NodeId, memory: Memory) {
        let mut memories = self.memories.lock().expect(POISON);
        if memories.len() >= MOST_REMEMBERED && !memories.contains_key(&node) {
            // whoever is forgotten sends one push in full
            memories.clear();
        }
        memories.insert(node, memory);
    }

    /// A hub serves whom it invited; an edge does if its own hub lets it.
    fn may_serve(&self) -> Result<()> {
        match &self.relay {
            Some(relay) if !relay.grant().relays => Err(HubError::NoRelay),
            _ => Ok(()),
        }
    }

    /// On an edge: its own link has something to send or to tell.
    fn stir(&self) {
        self.relay.iter().for_each(|relay| relay.stir());
    }

    fn above(&self) -> Option<Above> {
        self.relay.as_ref().map(|relay| relay.above())
    }

    /// As [`Hub::authenticate`], for handing over: to a hub a revoked node is known, too.
    pub async fn recognise(&self, credential: Option<&str>) -> Result<NodeRecord> {
        if self.relay.is_some() {
            return self.authenticate(credential).await;
        }
        enrolment::recognise(&*self.store, credential.ok_or(HubError::Credential)?).await
    }

    pub async fn enrol(&self, enrol: &Enrol) -> Result<Enrolled> {
        self.may_serve()?;
        let node = NodeId(self.world.random() as u64);
        let hub = Identity { name: self.name().await?, ..self.identity.clone() };
        let enrolled = enrolment::admit(&*self.store, &hub, enrol, self.world.now(), node).await?;
        self.tell_peers_of(enrolled.node).await?;
        Ok(enrolled)
    }

    pub async fn hello(&self, node: &NodeRecord, hello: &Hello) -> Result<Welcome> {
        let protocol = agree(&hello.protocols).ok_or_else(|| HubError::Protocol(hello.protocols.clone()))?;
        if hello.node != node.id {
            return Err(HubError::Meaningless("the credential is that of another node".into()));
        }
        self.came(node.id);
        let epoch = self.identity.epoch;
        let reached: BTreeMap<&Partition, u64> = hello
            .partitions
            .iter()
            .filter(|reached| reached.cursor.epoch == epoch)
            .map(|reached| (&reached.id, reached.cursor.base))
            .collect();
        let states = self.store.partitions_in(&node.scope).await?;
        let runs = self.store.runs().await?;
        let strayed: BTreeSet<&Partition> = hello
            .partitions
            .iter()
            .filter(|reached| reached.cursor.epoch == epoch && !runs.agree(reached.cursor.after, reached.cursor.tag))
            .map(|reached| &reached.id)
            .collect();
        let floors = self.floors_of(states.iter().map(|state| &state.partition)).await?;
        let fenced: BTreeSet<&Partition> = hello
            .partitions
            .iter()
            .filter(|reached| {
                let floor = floors.get(&reached.id).copied().unwrap_or(0);
                // whoever has read nothing yet is told all that is there
                reached.cursor.epoch == epoch && reached.cursor.after > 0 && reached.cursor.base < floor
            })
            .map(|reached| &reached.id)
            .collect();
        let partitions: Vec<Head> = states
            .iter()
            .map(|state| Head {
                put_back: strayed.contains(&state.partition) || fenced.contains(&state.partition),
                forgets: floors.get(&state.partition).is_some_and(|floor| *floor > 0),
                ..head(state, reached.get(&state.partition).copied().unwrap_or(0))
            })
            .collect();
        let clock = self.world.now();
        let contact = Contact {
            at: clock,
            waiting: hello.waiting,
            in_step: hello.in_step,
            clock_ahead: hello.clock.saturating_sub(clock),
            reached: reached.into_iter().map(|(partition, base)| (partition.0.clone(), base)).collect(),
            below: hello.below.iter().take(MAX_BELOW).cloned().collect(),
            kept_at: 0,
        };
        let kept = self.keep(node.id, contact);
        let random = self.world.random() as u64;
        let heads = states.iter().map(|state| (&state.partition, state.head)).collect();
        let numbers = lives::numbers(hello, epoch, &heads, |partition| strayed.contains(partition));
        let ratchet = lives::hear(&*self.store, hello, numbers, epoch, clock, random, kept).await?;
        Ok(Welcome {
            protocol,
            node: self.identity.node,
            name: self.name().await?,
            epoch,
            ancestors: self.identity.ancestors.clone(),
            clock,
            scope: node.scope.clone(),
            head: partitions.iter().map(|head| head.head).max().unwrap_or(0),
            partitions,
            limits: self.limits,
            ratchet,
            relays: node.relays,
            locates: true,
            remembers: true,
            above: self.above(),
            peers: self.peers_of(node).await?,
        })
    }

    /// What this hub is called now.
    async fn name(&self) -> Result<String> {
        Ok(Identity::name_in(&*self.store).await?.unwrap_or_else(|| self.identity.name.clone()))
    }

    /// Remembers what a node told; what of it is to be written down, which is not every time, for it tells often.
    fn keep(&self, node: NodeId, mut contact: Contact) -> Option<LocalChange> {
        let mut contacts = self.contacts.lock().expect(POISON);
        let last = contacts.get(&node);
        let is_due = last.is_none_or(|last| {
            last.in_step != contact.in_step || contact.at.abs_diff(last.kept_at) > KEEP_EVERY.unsigned_abs()
        });
        contact.kept_at = if is_due { contact.at } else { last.map_or(0, |last| last.kept_at) };
        let stands = |contact: &Contact| (contact.in_step, contact.waiting, contact.reached.clone());
        let is_news = last.is_none_or(|last| stands(last) != stands(&contact) || last.below != contact.below);
        let value = serde_json::to_value(&contact).expect("what is kept is plain data");
        contacts.insert(node, contact);
        drop(contacts);
        if is_news {
            self.stir();
        }
        is_due.then(|| LocalChange { kind: CONTACT, key: node.to_string(), value: Some(value), expect: None })
    }

    /// Takes notice that a node was heard of.
    fn noted(&self, node: NodeId, change: impl FnOnce(&mut Contact)) {
        let now = self.world.now();
        if let Some(contact) = self.contacts.lock().expect(POISON).get_mut(&node) {
            contact.at = now;
            change(contact);
        }
    }

    pub async fn pull(&self, node: &NodeRecord, pull: &Pull) -> Result<Pulled> {
        if !node.scope.contains(&pull.partition) {
            return Err(HubError::OutOfScope(pull.partition.clone()));
        }
        if pull.epoch != self.identity.epoch {
            return Err(HubError::ForeignEpoch);
        }
        if !self.store.runs().await?.agree(pull.after, pull.tag) {
            return Err(HubError::ForeignEpoch);
        }
        if pull.base > 0 && pull.base < self.floor(&pull.partition).await? {
            return Err(HubError::ForeignEpoch);
        }
        self.noted(node.id, |contact| {
            contact.reached.insert(pull.partition.0.clone(), pull.base);
        });
        self.page(pull).await
    }

    /// What a node has not read of a partition of its scope, whatever way it goes there.
    async fn page(&self, pull: &Pull) -> Result<Pulled> {
        let max_bytes = pull.max_bytes.clamp(1, self.limits.pull_bytes);
        let changes = self.store.changes(&pull.partition, pull.base, pull.after, max_bytes).await?;
        self.meter.rows.add(changes.rows.len());
        // a run is known before its first number is read
        let tag = self.store.runs().await?.tag_of(changes.next.unwrap_or(changes.head));
        Ok(Pulled {
            partition: pull.partition.clone(),
            epoch: self.identity.epoch,
            dictionary: changes.dictionary,
            rows: changes.rows,
            moved: changes.moved,
            next: changes.next,
            head: changes.head,
            digest: changes.digest,
            tag,
        })
    }

    /// Where the chunks of first copies are kept: a place of its own in this directory, which begins empty. Without it, it
    /// is where the machine keeps passing files.
    pub fn keep_chunks_in(&self, dir: &Path) {
        self.snapshots.keep_in(dir);
    }

    /// Makes chunks of about so many bytes before packing. Edges take chunks of any size.
    pub fn cut_chunks_about(&self, bytes: usize) {
        self.snapshots.cut_about(bytes);
    }

    /// All of a partition as chunks; some changes may have come since they were made. Whoever asks while they are being made
    /// waits for that.
    pub async fn snapshot(&self, node: &NodeRecord, partition: &Partition) -> Result<Manifest> {
        if !node.scope.contains(partition) {
            return Err(HubError::OutOfScope(partition.clone()));
        }
        self.noted(node.id, |_| {});
        self.snapshots.manifest(&*self.store, partition, self.identity.epoch).await
    }

    /// A chunk of a partition in the scope of the node. What is outside of it is as if it were not there.
    pub async fn chunk(&self, node: &NodeRecord, hash: ChunkHash) -> Result<Vec<u8>> {
        self.noted(node.id, |_| {});
        self.snapshots.chunk(hash, |partition| node.scope.contains(partition))
    }

    /// Hints for a node about what has a number above `since`.
    pub async fn listen(&self, node: &NodeRecord, since: u64) -> Result<Listener> {
        self.noted(node.id, |_| {});
        let line = self.switchboard.open(&*self.store, node.id, &node.scope);
        self.listens(node.id);
        let closing = self.closing.subscribe();
        let granted = self.relay.as_ref().map(|relay| relay.watch());
        let listener = Listener::new(self.store.clone(), line, node.clone(), self.identity.epoch, since, closing);
        Ok(listener.while_granted(granted).counted(Listening::of(&self.meter)))
    }
}

fn head(state: &PartitionState, reached: u64) -> Head {
    Head {
        id: state.partition.clone(),
        head: state.head,
        digest: state.digest,
        newer: newer(state, reached),
        put_back: false,
        forgets: false,
    }
}

/// At most so many records are newer than a number: exact for a reader in step and for a first copy.
fn newer(state: &PartitionState, reached: u64) -> u64 {
    let numbers = state.head.saturating_sub(reached);
    if reached == 0 { state.records.min(numbers) } else { numbers.min(state.records.max(1)) }
}
