//! A first copy whose chunks come from peers: the hub says what a partition is made of, and whoever has a chunk of that name
//! gives it.
//!
//! Only the name counts: bytes that are not what they are called are thrown away, and that peer is not asked again for the
//! partition. What no peer has comes from the hub.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::client::{Client, Trouble};
use super::{POISON, Peers};
use crate::domain::blob::{AskBlobs, BlobHash, BlobsHeld, HubHas};
use crate::domain::ids::Partition;
use crate::domain::peer::{Ask, Told};
use crate::domain::protocol::{Failure, Hello, Pull, Pulled, Push, Pushed, Welcome};
use crate::domain::reach::{Located, Whereabouts};
use crate::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use crate::domain::snapshot::{ChunkHash, Manifest};
use crate::meter::Talk;
use crate::store::Judge;
use crate::sync::transport::{LiveEvent, Opened, Transport};

/// A peer may not have heard yet that this edge was let in.
const UNTIL_NAMED: Duration = Duration::from_secs(5);
/// A peer that puts chunks together is waited for, since that is quicker than a thin link.
const UNTIL_MADE: Duration = Duration::from_secs(60);
/// How long nobody asks again where it failed.
const LATER: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(200);
/// The answer of a peer that makes chunks is held back for so long.
const MAKING: Duration = Duration::from_secs(10);

/// A way to the hub, beside which chunks come from peers.
pub struct Spread {
    hub: Arc<dyn Transport>,
    peers: Arc<Peers>,
    /// What the hub said of which partition a chunk is.
    of: Mutex<HashMap<ChunkHash, Partition>>,
    sources: tokio::sync::Mutex<Sources>,
}

#[derive(Default)]
struct Sources {
    by_url: HashMap<String, Source>,
    /// When a chunk was wanted for the first time.
    began: Option<Instant>,
}

#[derive(Default)]
struct Source {
    client: Option<Client>,
    has: HashMap<Partition, HashSet<ChunkHash>>,
    /// Partitions of which it gave something else.
    wrong: HashSet<Partition>,
    not_before: Option<Instant>,
}

/// Whether somebody should wait for a peer.
enum Wait {
    No,
    UntilNamed,
    UntilMade,
}

impl Spread {
    pub fn new(hub: Arc<dyn Transport>, peers: Arc<Peers>) -> Self {
        Self { hub, peers, of: Mutex::default(), sources: tokio::sync::Mutex::default() }
    }

    /// The chunk, if a peer has it.
    async fn nearby(&self, hash: ChunkHash) -> Option<Vec<u8>> {
        let urls = self.peers.urls();
        if urls.is_empty() {
            return None;
        }
        let partition = self.of.lock().expect(POISON).get(&hash).cloned()?;
        let mut sources = self.sources.lock().await;
        let began = *sources.began.get_or_insert_with(Instant::now);
        let asked = Instant::now();
        loop {
            let (mut named, mut made) = (false, false);
            for url in &urls {
                let source = sources.by_url.entry(url.clone()).or_default();
                match self.learn(url, source, &partition).await {
                    Wait::No => {}
                    Wait::UntilNamed => named = true,
                    Wait::UntilMade => made = true,
                }
                if let Some(bytes) = self.fetch(url, source, &partition, hash).await {
                    return Some(bytes);
                }
            }
            let goes_on = (named && began.elapsed() < UNTIL_NAMED) || (made && asked.elapsed() < UNTIL_MADE);
            if !goes_on {
                return None;
            }
            sleep(SOON).await;
        }
    }

    /// Finds out what a peer has of a partition, unless that is known.
    async fn learn(&self, url: &str, source: &mut Source, partition: &Partition) -> Wait {
        let later = source.not_before.is_some_and(|at| Instant::now() < at);
        if later || source.has.contains_key(partition) || source.wrong.contains(partition) {
            return Wait::No;
        }
        match self.ask(url, source, &Ask::Chunks(partition.clone()), MAKING).await {
            Ok(Told::Chunks(has)) => {
                source.has.insert(partition.clone(), has.into_iter().collect());
                Wait::No
            }
            Ok(Told::Preparing) => Wait::UntilMade,
            Ok(_) => {
                source.has.insert(partition.clone(), HashSet::new());
                Wait::No
            }
            Err(Trouble::Refused(_)) => Wait::UntilNamed,
            Err(_) => {
                source.not_before = Some(Instant::now() + LATER);
                Wait::No
            }
        }
    }

    async fn fetch(&self, url: &str, source: &mut Source, partition: &Partition, hash: ChunkHash) -> Option<Vec<u8>> {
        if !source.has.get_mut(partition)?.remove(&hash) {
            return None;
        }
        let ask = Ask::Chunk { partition: partition.clone(), hash };
        match self.ask(url, source, &ask, Duration::ZERO).await {
            Ok(Told::Chunk(bytes)) if ChunkHash::of(&bytes) == hash => {
                self.peers.with(url, |status| status.chunks += 1);
                Some(bytes)
            }
            Ok(Told::Chunk(_)) => {
                tracing::warn!(url, %partition, "a peer gave another chunk than was asked for; the hub is asked instead");
                source.has.remove(partition);
                source.wrong.insert(partition.clone());
                None
            }
            Ok(_) => None,
            Err(trouble) => {
                tracing::debug!(url, %trouble, "a peer could not give a chunk");
                source.has.remove(partition);
                source.not_before = Some(Instant::now() + LATER);
                None
            }
        }
    }

    async fn ask(&self, url: &str, source: &mut Source, ask: &Ask, wait: Duration) -> Result<Told, Trouble> {
        let client = match &mut source.client {
            Some(client) => client,
            none => none.insert(self.peers.client(url)?),
        };
        client.ask(ask, wait).await
    }

    /// The chunk that the hub may be asked for ahead: none that a peer has.
    async fn of_the_hub(&self, hash: Option<ChunkHash>) -> Option<ChunkHash> {
        let sources = self.sources.lock().await;
        let has =
            |hash: &ChunkHash| sources.by_url.values().any(|source| source.has.values().any(|has| has.contains(hash)));
        hash.filter(|hash| !has(hash))
    }
}

#[async_trait]
impl Transport for Spread {
    async fn hello(&self, hello: &Hello) -> Result<Welcome, Failure> {
        self.hub.hello(hello).await
    }

    async fn push(&self, push: &Push) -> Result<Pushed, Failure> {
        self.hub.push(push).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled, Failure> {
        self.hub.pull(pull).await
    }

    async fn reconcile(&self, asked: &Reconcile) -> Result<Reconciled, Failure> {
        self.hub.reconcile(asked).await
    }

    async fn fetch(&self, asked: &Fetch) -> Result<Fetched, Failure> {
        self.hub.fetch(asked).await
    }

    async fn offer(&self, offer: &Offer) -> Result<Offered, Failure> {
        self.hub.offer(offer).await
    }

    async fn snapshot(&self, partition: &Partition) -> Result<Manifest, Failure> {
        let manifest = self.hub.snapshot(partition).await?;
        let mut of = self.of.lock().expect(POISON);
        of.retain(|_, known| known != partition);
        of.extend(manifest.chunks.iter().map(|chunk| (chunk.hash, partition.clone())));
        Ok(manifest)
    }

    async fn chunk(&self, hash: ChunkHash, then: Option<ChunkHash>) -> Result<Vec<u8>, Failure> {
        match self.nearby(hash).await {
            Some(bytes) => Ok(bytes),
            None => self.hub.chunk(hash, self.of_the_hub(then).await).await,
        }
    }

    async fn records(
        &self,
        of: &Partition,
        hash: ChunkHash,
        then: Option<ChunkHash>,
        judge: Option<Arc<dyn Judge>>,
    ) -> Result<Opened, Failure> {
        match self.nearby(hash).await {
            Some(bytes) => Opened::of(of, hash, &bytes, judge.as_deref()),
            None => self.hub.records(of, hash, self.of_the_hub(then).await, judge).await,
        }
    }

    async fn whereabouts(&self, asked: &Whereabouts) -> Result<Located, Failure> {
        self.hub.whereabouts(asked).await
    }

    async fn ask_blobs(&self, asked: &AskBlobs) -> Result<BlobsHeld, Failure> {
        self.hub.ask_blobs(asked).await
    }

    async fn put_blob(&self, hash: BlobHash, size: u64, part: u64, bytes: Vec<u8>) -> Result<HubHas, Failure> {
        self.hub.put_blob(hash, size, part, bytes).await
    }

    async fn blob(&self, hash: BlobHash, part: u64) -> Result<(Vec<u8>, u64), Failure> {
        self.hub.blob(hash, part).await
    }

    async fn live(&self, since: u64, heard: mpsc::Sender<LiveEvent>) -> Failure {
        self.hub.live(since, heard).await
    }

    fn meter(&self) -> Arc<Talk> {
        self.hub.meter()
    }
}
