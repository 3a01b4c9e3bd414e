//! A store as a process sees it: it may be the last thing it sees, and it may have a planted bug.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use outpost::domain::ids::{Partition, RecordId, TypeName};
use outpost::domain::reconcile::{Hashed, Mark};
use outpost::domain::scope::Scope;
use outpost::store::{
    Changes, Digest, Flags, Held, HistoryLine, Model, Notice, Outcome, Page, PartitionState, Query, Request, Runs,
    Store, StoreError, Tally, Unsent, Visit,
};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::disk::{Disk, Kept};
use crate::fuse::Fuse;
use crate::people::Fixed;
use crate::planted::{Bug, Planted};

pub struct Seam {
    pub inner: Arc<dyn Store>,
    fuse: Arc<Fuse>,
    planted: Option<Planted>,
    /// For a store that answers before anything is on disk: what would be left of it.
    model: Option<Arc<Model>>,
    pub behind: Arc<Mutex<Option<Arc<Model>>>>,
}

impl Seam {
    pub fn new(disk: &Disk, fuse: &Arc<Fuse>, planted: Option<Planted>) -> Self {
        let model = match &disk.kept {
            Kept::Memory(model) => Some(model.clone()),
            Kept::Files(..) => None,
        };
        Self { inner: disk.store(), fuse: fuse.clone(), planted, model, behind: Arc::default() }
    }

    /// One transaction.
    pub async fn commit(&self, request: Request) -> Result<Outcome, StoreError> {
        if self.fuse.is_full() {
            return self.fuse.call(name(&request), async { Err(StoreError::Full) }).await;
        }
        if let (Some(Bug::NotDurable), Some(model)) = (self.planted.as_ref().map(|planted| planted.bug), &self.model) {
            *self.behind.lock().expect("one thread") = Some(Arc::new(model.copy(Arc::new(Fixed))));
        }
        self.fuse.call(name(&request), self.inner.write(request)).await
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Save(_) => "save",
        Request::Offer { .. } => "offer",
        Request::Receive { .. } => "receive",
        Request::Join { .. } => "join",
        Request::JoinChunk { .. } => "join a chunk",
        Request::Acknowledge(_) => "acknowledge",
        Request::Forget(_) => "forget",
        Request::Rejudge(_) => "rejudge",
        Request::Retime { .. } => "retime",
        Request::Local(_) => "local",
        Request::Quarantine { .. } => "quarantine",
        Request::Admit { .. } => "admit",
        Request::Purge { .. } => "purge",
        Request::Settle { .. } => "settle",
        Request::Absent { .. } => "absent",
    }
}

#[async_trait]
impl Store for Seam {
    async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        match &self.planted {
            Some(planted) => planted.write(self, request).await,
            None => self.commit(request).await,
        }
    }

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        self.fuse.call("record", self.inner.record(type_name, id)).await
    }

    async fn records(&self, query: &Query) -> Result<Page, StoreError> {
        self.fuse.call("records", self.inner.records(query)).await
    }

    async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        self.inner.tallies().await
    }

    async fn flagged(&self, flags: Flags, before: Option<u64>, limit: usize) -> Result<Vec<Held>, StoreError> {
        self.inner.flagged(flags, before, limit).await
    }

    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError> {
        self.inner.history(type_name, id).await
    }

    async fn changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        let changes = self.fuse.call("changes", self.inner.changes(partition, base, after, max_bytes)).await?;
        match &self.planted {
            Some(planted) => planted.changes(self, partition, (base, after), changes).await,
            None => Ok(changes),
        }
    }

    async fn walk(&self, partition: &Partition, visit: &mut Visit<'_>) -> Result<PartitionState, StoreError> {
        self.fuse.call("walk", self.inner.walk(partition, visit)).await
    }

    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        let mut unsent = self.fuse.call("outbox", self.inner.outbox(max_bytes)).await?;
        self.planted.iter().for_each(|planted| planted.outbox(&mut unsent));
        Ok(unsent)
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        self.fuse.call("waiting", self.inner.waiting()).await
    }

    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        let mut states = self.fuse.call("partitions", self.inner.partitions()).await?;
        self.planted.iter().for_each(|planted| planted.partitions(&mut states));
        Ok(states)
    }

    async fn partitions_in(&self, scope: &Scope) -> Result<Vec<PartitionState>, StoreError> {
        let mut states = self.fuse.call("partitions", self.inner.partitions_in(scope)).await?;
        self.planted.iter().for_each(|planted| planted.partitions(&mut states));
        Ok(states)
    }

    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError> {
        self.fuse.call("locals", self.inner.locals(kind)).await
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        self.fuse.call("local read", self.inner.local(kind, key)).await
    }

    async fn recompute_digests(&self) -> Result<Vec<(Partition, Digest)>, StoreError> {
        self.inner.recompute_digests().await
    }

    async fn removals(&self) -> Result<Vec<(Partition, u64)>, StoreError> {
        self.fuse.call("removals", self.inner.removals()).await
    }

    async fn runs(&self) -> Result<Runs, StoreError> {
        self.fuse.call("runs", self.inner.runs()).await
    }

    async fn hashes(
        &self,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError> {
        self.fuse.call("hashes", self.inner.hashes(partition, from, to, limit)).await
    }

    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.inner.notices()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What an edge was told a partition's digest is; shared between a transport and a store that believes it.
pub type Rumours = Arc<Mutex<BTreeMap<Partition, Digest>>>;
