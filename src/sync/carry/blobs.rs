//! Carries out what the lane of files says, beside the link of an edge: it watches how that stands, so that records go first.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::domain::blob::{AskBlobs, BlobHash, CHUNK, HubHas};
use crate::domain::ids::Epoch;
use crate::domain::protocol::Failure;
use crate::domain::session::{BlobEvent, BlobLane, BlobStep, LinkState, Way};
use crate::node::{Blobs, LinkStatus, World};
use crate::store::Store;
use crate::store::blob::{Arrived, BlobError};
use crate::sync::transport::Transport;

/// Records that change often are read together.
const TOGETHER: Duration = Duration::from_millis(300);

pub struct BlobSettings {
    pub blobs: Arc<Blobs>,
    pub store: Arc<dyn Store>,
    pub transport: Arc<dyn Transport>,
    /// How the link of records stands.
    pub status: watch::Receiver<LinkStatus>,
    pub world: Arc<dyn World>,
}

/// The lane of an edge's files. Runs until it is dropped or stopped; what has arrived by then stays.
pub struct BlobLink {
    task: Mutex<Option<JoinHandle<()>>>,
}

impl BlobLink {
    pub fn start(settings: BlobSettings) -> Self {
        Self { task: Mutex::new(Some(tokio::spawn(run(settings)))) }
    }

    /// Ends it, and returns when nothing of it is under way any more.
    pub async fn stop(&self) {
        let task = self.task.lock().expect("no holder of this lock panics").take();
        if let Some(task) = task {
            task.abort();
            // it was told to end, and does
            let _ = task.await;
        }
    }
}

impl Drop for BlobLink {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().ok().and_then(Option::take) {
            task.abort();
        }
    }
}

/// Whether the hub is in reach and no record waits on either side.
fn is_calm(status: &LinkStatus) -> bool {
    matches!(status.state, LinkState::InStep | LinkState::Behind)
        && status.last_contact.is_some()
        && status.pending_out == 0
        && status.pending_in == 0
}

async fn run(settings: BlobSettings) {
    let BlobSettings { blobs, store, transport, mut status, world } = settings;
    let began = Instant::now();
    let now = || i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let random = || world.random() as u64;
    let mut lane = BlobLane::new();
    let mut works: JoinSet<BlobEvent> = JoinSet::new();
    let mut notices = store.notices();
    let mut stirred = blobs.stirred();
    // when what changed is looked at
    let mut look_at: Option<Instant> = None;
    let carrier = Carrier { blobs: blobs.clone(), transport };
    loop {
        let calm = is_calm(&status.borrow_and_update());
        lane.handle(BlobEvent::Calm(calm), now(), random());
        let until = loop {
            match lane.next(now()) {
                BlobStep::Wait { until } => break until,
                step => {
                    let (carrier, epoch) = (carrier.clone(), lane.epoch());
                    works.spawn(async move { carrier.carry_out(step, epoch).await });
                }
            }
        };
        let timer = async {
            let until = until.map(|until| began + Duration::from_millis(until.max(0).unsigned_abs()));
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let look = async {
            match look_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            loop {
                match notices.recv().await {
                    Ok(batch) if !batch.iter().any(|notice| blobs.concerns(&notice.partition)) => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            changed = status.changed() => if changed.is_err() { return },
            Some(done) = works.join_next(), if !works.is_empty() => {
                let Ok(event) = done else { return };
                tell(&blobs, &lane, &event);
                lane.handle(event, now(), random());
            }
            () = changed => { look_at.get_or_insert(Instant::now() + TOGETHER); }
            Ok(()) = stirred.changed() => { look_at.get_or_insert(Instant::now() + TOGETHER); }
            () = look => {
                look_at = None;
                lane.handle(BlobEvent::Stirred, now(), random());
            }
            () = timer => {}
        }
    }
}

/// Lets people see how files get on.
fn tell(blobs: &Blobs, lane: &BlobLane, event: &BlobEvent) {
    match event {
        BlobEvent::Moved { hash, next: Some(next) } => {
            let there = if lane.way(*hash) == Some(Way::Up) { *next } else { 0 };
            blobs.gets_on(*hash, there, None);
        }
        BlobEvent::Told { hub, .. } => {
            for (hash, has) in hub {
                match (lane.way(*hash), has) {
                    (Some(Way::Up), HubHas::Parts(there)) => blobs.gets_on(*hash, *there, None),
                    (Some(_), HubHas::Unknown) => {
                        blobs.gets_on(*hash, 0, Some("no record at the hub refers to it".into()));
                    }
                    _ => {}
                }
            }
        }
        BlobEvent::Failed { doing: Some(hash), failure } => {
            tracing::debug!(%hash, %failure, "a file does not get on");
            blobs.gets_on(*hash, 0, Some(failure.to_string()));
        }
        _ => {}
    }
}

#[derive(Clone)]
struct Carrier {
    blobs: Arc<Blobs>,
    transport: Arc<dyn Transport>,
}

impl From<BlobError> for Failure {
    fn from(err: BlobError) -> Self {
        match err {
            BlobError::Full | BlobError::Io(_) => Failure::Local(err.to_string()),
            err => Failure::Rejected(err.to_string()),
        }
    }
}

impl Carrier {
    async fn carry_out(&self, step: BlobStep, epoch: Option<Epoch>) -> BlobEvent {
        let (doing, done) = match step {
            BlobStep::Wait { .. } => return BlobEvent::Stirred,
            BlobStep::List => (None, self.list(epoch).await),
            BlobStep::Ask(hashes) => (None, self.ask(hashes).await),
            BlobStep::Send { hash, size, part } => (Some(hash), self.send(hash, size, part, epoch).await),
            BlobStep::Fetch { hash, .. } => (Some(hash), self.fetch(hash, epoch).await),
        };
        done.unwrap_or_else(|failure| BlobEvent::Failed { doing, failure })
    }

    async fn list(&self, epoch: Option<Epoch>) -> Result<BlobEvent, Failure> {
        self.blobs.catch_up().await?;
        Ok(BlobEvent::Listed { up: self.blobs.to_send(epoch), down: self.blobs.to_fetch() })
    }

    async fn ask(&self, hashes: Vec<BlobHash>) -> Result<BlobEvent, Failure> {
        let told = self.transport.ask_blobs(&AskBlobs { blobs: hashes.clone() }).await?;
        if told.blobs.len() != hashes.len() {
            return Err(Failure::Faulty("the hub answered about other files than were asked for".into()));
        }
        let hub: Vec<(BlobHash, HubHas)> = hashes.into_iter().zip(told.blobs).collect();
        let whole = hub.iter().filter(|(_, has)| *has == HubHas::Whole).map(|(hash, _)| *hash);
        let there: Vec<BlobHash> = whole.filter(|hash| self.blobs.size(*hash).is_some()).collect();
        self.blobs.at_hub(&there, told.epoch).await?;
        for (hash, _) in hub.iter().filter(|(_, has)| *has == HubHas::Unknown) {
            self.blobs.look_again(*hash).await?;
        }
        Ok(BlobEvent::Told { epoch: told.epoch, hub })
    }

    async fn at_hub(&self, hash: BlobHash, epoch: Option<Epoch>) -> Result<BlobEvent, Failure> {
        if let Some(epoch) = epoch {
            self.blobs.at_hub(&[hash], epoch).await?;
        }
        Ok(BlobEvent::Moved { hash, next: None })
    }

    async fn send(&self, hash: BlobHash, size: u64, part: u64, epoch: Option<Epoch>) -> Result<BlobEvent, Failure> {
        let bytes = self.blobs.part(hash, part).await?;
        let bytes = bytes.ok_or_else(|| Failure::Local("the file is not here any more".into()))?;
        match self.transport.put_blob(hash, size, part, bytes).await? {
            HubHas::Whole => self.at_hub(hash, epoch).await,
            HubHas::Parts(next) if next > part => Ok(BlobEvent::Moved { hash, next: Some(next) }),
            // another one brings it, too, or it began again: it is asked anew where it stands
            HubHas::Parts(_) | HubHas::Unknown => Err(Failure::Faulty("the hub did not take this part".into())),
        }
    }

    async fn fetch(&self, hash: BlobHash, epoch: Option<Epoch>) -> Result<BlobEvent, Failure> {
        let Arrived::Bytes(before) = self.blobs.arrived(hash) else { return self.at_hub(hash, epoch).await };
        let part = before / CHUNK;
        let (bytes, size) = self.transport.blob(hash, part).await?;
        match self.blobs.append(hash, size, part * CHUNK, bytes).await? {
            Arrived::Whole => self.at_hub(hash, epoch).await,
            Arrived::Bytes(bytes) if bytes > before => Ok(BlobEvent::Moved { hash, next: Some(bytes / CHUNK) }),
            Arrived::Bytes(_) => Err(Failure::Faulty("the hub gave nothing of this part".into())),
        }
    }
}
