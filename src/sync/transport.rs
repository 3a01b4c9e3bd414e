use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::domain::blob::{AskBlobs, BlobHash, BlobsHeld, HubHas};
use crate::domain::ids::Partition;
use crate::domain::protocol::{Failure, Hello, Hint, Pull, Pulled, Push, Pushed, Welcome};
use crate::domain::reach::{Located, Whereabouts};
use crate::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use crate::domain::record::pack::Dictionary;
use crate::domain::snapshot::{ChunkHash, Manifest, read};
use crate::meter::Talk;
use crate::store::{Judge, Ready, Row, chunk};

/// Brings messages to the hub and its answers back. A failure says nothing about whether the hub did what it was asked.
#[async_trait]
pub trait Transport: Send + Sync {
    async fn hello(&self, hello: &Hello) -> Result<Welcome, Failure>;
    async fn push(&self, push: &Push) -> Result<Pushed, Failure>;
    async fn pull(&self, pull: &Pull) -> Result<Pulled, Failure>;
    async fn reconcile(&self, asked: &Reconcile) -> Result<Reconciled, Failure>;
    async fn fetch(&self, asked: &Fetch) -> Result<Fetched, Failure>;
    async fn offer(&self, offer: &Offer) -> Result<Offered, Failure>;
    /// Which chunks a partition is made of.
    async fn snapshot(&self, _: &Partition) -> Result<Manifest, Failure> {
        Err(Failure::NoChunk("no chunks come this way".into()))
    }
    /// A chunk as it is kept; nobody has looked at it yet. `then` is the one that will be asked for next, and may be fetched
    /// meanwhile.
    async fn chunk(&self, _: ChunkHash, _then: Option<ChunkHash>) -> Result<Vec<u8>, Failure> {
        Err(Failure::NoChunk("no chunks come this way".into()))
    }
    /// What is in a chunk, if it is what its name says, made ready to be joined.
    async fn records(
        &self,
        of: &Partition,
        hash: ChunkHash,
        then: Option<ChunkHash>,
        judge: Option<Arc<dyn Judge>>,
    ) -> Result<Opened, Failure> {
        Opened::of(of, hash, &self.chunk(hash, then).await?, judge.as_deref())
    }
    /// How far records have come; only asked for showing.
    async fn whereabouts(&self, _: &Whereabouts) -> Result<Located, Failure> {
        Err(Failure::Rejected("how far records have come is not told this way".into()))
    }
    /// How it stands with some files at the hub.
    async fn ask_blobs(&self, _: &AskBlobs) -> Result<BlobsHeld, Failure> {
        Err(Failure::Rejected("no files go this way".into()))
    }
    /// Brings a part of a file that is `size` bytes long; how it stands with it then.
    async fn put_blob(&self, _: BlobHash, _size: u64, _part: u64, _: Vec<u8>) -> Result<HubHas, Failure> {
        Err(Failure::Rejected("no files go this way".into()))
    }
    /// A part of a file, and how long the whole is; nobody has looked at it yet.
    async fn blob(&self, _: BlobHash, _part: u64) -> Result<(Vec<u8>, u64), Failure> {
        Err(Failure::Rejected("no files go this way".into()))
    }
    /// Listens for hints about numbers above `since` and hands them on, until it fails.
    async fn live(&self, since: u64, heard: mpsc::Sender<LiveEvent>) -> Failure;
    /// What is counted of these conversations; a transport that knows how many bytes it carried counts them here.
    fn meter(&self) -> Arc<Talk> {
        Arc::default()
    }
}

/// What is in a chunk.
pub struct Opened {
    pub rows: Vec<Row>,
    pub ready: Ready,
    pub dictionary: Dictionary,
}

impl Opened {
    /// Unpacks a chunk of this partition and this name, as it came. It is much work, and waits for nothing.
    pub fn of(
        partition: &Partition,
        hash: ChunkHash,
        bytes: &[u8],
        judge: Option<&dyn Judge>,
    ) -> Result<Self, Failure> {
        let bad = |why: &dyn std::fmt::Display| Failure::Faulty(format!("a chunk of {partition} is no good: {why}"));
        let content = chunk::open(hash, bytes).map_err(|err| bad(&err))?;
        let (rows, dictionary) = read(partition, &content).map_err(|err| bad(&err))?;
        Ok(Self { ready: Ready::of(&rows, &dictionary, partition, judge), rows, dictionary })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveEvent {
    /// The hub is heard.
    Up,
    Hint(Hint),
}

/// Cuts and restores a link, as if the network went and came back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Switch(Arc<watch::Sender<bool>>);

impl Default for Switch {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Switch {
    pub fn is_up(&self) -> bool {
        *self.0.borrow()
    }

    pub fn set(&self, up: bool) {
        self.0.send_if_modified(|now| std::mem::replace(now, up) != up);
    }

    /// Sees each change from now on.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Returns as soon as the link is cut; at once if it is.
    pub async fn cut(&self) -> Failure {
        let mut up = self.0.subscribe();
        // the sender lives as long as this switch
        let _ = up.wait_for(|up| !up).await;
        Failure::Unreachable("the link is cut".into())
    }
}
