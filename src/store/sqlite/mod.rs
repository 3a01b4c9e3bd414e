//! The SQLite store: one connection that writes, grouping what waits into one transaction; a few that read.
//!
//! A write that was answered has reached the disk (WAL, `synchronous=FULL`), and all that waited together share one
//! flush of it. What a write does is no matter of this module: it supplies the ledger with facts and writes down its
//! news, both by statements over whole groups.

pub mod backup;
pub mod checkup;
mod index;
mod list;
mod load;
mod persist;
mod read;
mod reconcile;
pub mod restore;
mod rows;
mod script;
mod setup;
mod walk;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{broadcast, mpsc, oneshot};

use self::index::Lists;
use self::setup::Names;
use self::writer::{Answer, Job, Step, Work, Writer};
use super::{
    Changes, Digest, Flags, Held, HistoryLine, Judge, Listed, Notice, Outcome, Page, PartitionState, Query, Request,
    Runs, Store, StoreError, Tally, Unsent, Visit,
};
use crate::domain::ids::{Partition, RecordId, SaveId, TypeName};
use crate::domain::reconcile::{Hashed, Mark};
use crate::domain::scope::Scope;
use crate::meter::Writes;

/// How many requests may wait to be written before callers wait themselves.
const QUEUE: usize = 1024;

#[derive(Debug, Clone)]
pub struct Options {
    /// Connections for reading.
    pub readers: u32,
    /// The database may grow to this many pages; none is as large as the disk.
    pub max_pages: Option<u32>,
    /// Types with fewer records than this get no indexes for their lists.
    pub index_from: u64,
    /// Indexes for lists are made when nobody wrote for this long.
    pub index_after: Duration,
    /// The tag of the run of numbers that begins with this opening, for who repeats what happens; else it is random.
    pub first_run: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 3,
            max_pages: None,
            index_from: 1_000,
            index_after: Duration::from_millis(200),
            first_run: None,
        }
    }
}

pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
    readers: SqlitePool,
    shared: Arc<Shared>,
}

/// What the writer and the readers share.
struct Shared {
    judge: Arc<dyn Judge>,
    names: RwLock<Names>,
    lists: Lists,
    notices: broadcast::Sender<Arc<Vec<Notice>>>,
    /// The writer adds to them before it commits, so that no number is read whose run is not known.
    runs: RwLock<Runs>,
    options: Options,
    writes: Arc<Writes>,
}

impl Sqlite {
    /// Opens the database at `path`, makes it if it is not there and brings it to this version's schema. Nobody else may
    /// write to it while it is open.
    pub async fn open(path: &Path, judge: Arc<dyn Judge>, options: Options) -> Result<Self, StoreError> {
        let mut conn = setup::writer(path, &options).await?;
        let (names, book) = setup::load(&mut conn).await?;
        let lists = Lists::load(&mut conn).await?;
        let runs = RwLock::new(setup::runs(&mut conn).await?);
        let shared = Arc::new(Shared {
            judge,
            names: RwLock::new(names),
            lists,
            notices: broadcast::channel(1024).0,
            runs,
            options,
            writes: Arc::default(),
        });
        let readers = shared.options.readers.max(1);
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(Writer::new(conn, book, shared.clone()).run(queue));
        Ok(Self { jobs, readers: setup::readers(path, readers), shared })
    }

    async fn ask(&self, work: Work) -> Result<Answer, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { work, answer }).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Carries out step after step.
    async fn ask_all(&self, mut step: Step) -> Result<(), StoreError> {
        while let Answer::Next(Some(next)) = self.ask(Work::Step(step)).await? {
            step = next;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        match request {
            Request::Forget(partitions) => {
                for partition in partitions {
                    self.ask_all(Step::Forget { partition, after: 0 }).await?;
                }
                Ok(Outcome::Done)
            }
            Request::Rejudge(type_name) => {
                self.ask_all(Step::Rejudge { type_name, after: None }).await?;
                Ok(Outcome::Done)
            }
            Request::Retime { offset, now } => {
                self.ask(Work::Retime { offset, now }).await?;
                Ok(Outcome::Done)
            }
            request => match self.ask(Work::Request(Box::new(request))).await? {
                Answer::Outcome(outcome) => Ok(outcome),
                Answer::Next(_) => Ok(Outcome::Done),
            },
        }
    }

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        self.read_record(type_name, id).await
    }

    async fn records(&self, query: &Query) -> Result<Page, StoreError> {
        self.read_list(query).await
    }

    async fn listed(&self, query: &Query) -> Result<Page<Listed>, StoreError> {
        self.read_list(query).await
    }

    async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        self.read_tallies().await
    }

    async fn flagged(&self, flags: Flags, before: Option<u64>, limit: usize) -> Result<Vec<Held>, StoreError> {
        self.read_flagged(flags, before, limit).await
    }

    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError> {
        self.read_history(type_name, id).await
    }

    async fn changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        self.read_changes(partition, base, after.max(base), max_bytes).await
    }

    async fn walk(&self, partition: &Partition, visit: &mut Visit<'_>) -> Result<PartitionState, StoreError> {
        self.walk_through(partition, visit).await
    }

    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        self.read_outbox(None, max_bytes).await
    }

    async fn outbox_after(&self, after: Option<SaveId>, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        self.read_outbox(after, max_bytes).await
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        self.count_outbox().await
    }

    async fn unsent(&self, of: &[(TypeName, RecordId)]) -> Result<HashSet<(TypeName, RecordId)>, StoreError> {
        self.read_unsent(of).await
    }

    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        self.read_partitions().await
    }

    async fn partitions_in(&self, scope: &Scope) -> Result<Vec<PartitionState>, StoreError> {
        match scope.named() {
            Some(named) => self.read_partitions_of(&named).await,
            None => Ok(self.read_partitions().await?.into_iter().filter(|of| scope.contains(&of.partition)).collect()),
        }
    }

    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError> {
        self.read_locals(kind, "").await
    }

    async fn locals_under(&self, kind: &str, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        self.read_locals(kind, prefix).await
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        self.read_local(kind, key).await
    }

    async fn recompute_digests(&self) -> Result<Vec<(Partition, Digest)>, StoreError> {
        self.recompute().await
    }

    async fn removals(&self) -> Result<Vec<(Partition, u64)>, StoreError> {
        self.read_removals().await
    }

    async fn runs(&self) -> Result<Runs, StoreError> {
        Ok(self.shared.runs.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn hashes(
        &self,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError> {
        self.read_hashes(partition, from, to, limit).await
    }

    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.shared.notices.subscribe()
    }

    fn judge(&self) -> Option<Arc<dyn Judge>> {
        Some(self.shared.judge.clone())
    }

    fn meter(&self) -> Option<Arc<Writes>> {
        Some(self.shared.writes.clone())
    }

    async fn close(&self) {
        // the writer last: the last connection moves what stands in the log into the database
        self.readers.close().await;
        // if it is closed already there is nothing to finish
        let _ = self.ask(Work::Close).await;
    }
}

/// What went wrong, in the words of [`StoreError`].
fn failed(err: sqlx::Error) -> StoreError {
    const FULL: i32 = 13;
    const READ_ONLY: i32 = 8;
    let code = match &err {
        sqlx::Error::Database(err) => err.code().and_then(|code| code.parse::<i32>().ok()),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => return StoreError::Closed,
        _ => None,
    };
    match code.map(|code| code & 0xff) {
        Some(FULL) => StoreError::Full,
        Some(READ_ONLY) => StoreError::ReadOnly(err.to_string()),
        _ => StoreError::Database(Box::new(err)),
    }
}
