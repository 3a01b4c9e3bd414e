//! The one task that writes: takes what waits, carries it out in one transaction, answers all.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::index::{self, Plan};
use super::load::{self, Numbers};
use super::setup::Book;
use super::{Shared, persist};
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::store::ledger::{Facts, Halt, Key, Ledger, Need, News, Progress, Quiet};
use crate::store::model::STEP;
use crate::store::{Outcome, Request, Run, StoreError};

/// At most so many requests, and about so much of them, in one transaction.
const GROUP: usize = 512;
const GROUP_WEIGHT: usize = 4 << 20;
/// Indexes for lists are made after this long even if somebody always writes.
const PATIENCE: Duration = Duration::from_secs(10);
/// After this long, the next number begins another run.
const RUN: Duration = Duration::from_secs(3_600);

pub(super) struct Job {
    pub work: Work,
    pub answer: oneshot::Sender<Result<Answer, StoreError>>,
}

pub(super) enum Work {
    Request(Box<Request>),
    Step(Step),
    Retime {
        offset: i64,
        now: i64,
    },
    /// An index for lists like this one; made when there is time.
    Index(Plan),
    Close,
}

/// A request over many records is carried out some records at a time.
pub(super) enum Step {
    Forget { partition: Partition, after: u64 },
    Rejudge { type_name: TypeName, after: Option<RecordId> },
}

pub(super) enum Answer {
    Outcome(Outcome),
    /// What is left to do.
    Next(Option<Step>),
}

pub(super) struct Writer {
    conn: SqliteConnection,
    book: Book,
    shared: Arc<Shared>,
    plans: VecDeque<(Plan, Instant)>,
    /// When the run of numbers began that is under way.
    run: Option<Instant>,
}

type Results = Vec<Result<Outcome, StoreError>>;

impl Writer {
    pub fn new(conn: SqliteConnection, book: Book, shared: Arc<Shared>) -> Self {
        Self { conn, book, shared, plans: VecDeque::new(), run: None }
    }

    /// Works until it is closed or nobody can ask any more.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut closing = None;
        let mut next = None;
        while closing.is_none() {
            let job = match next.take() {
                Some(job) => Some(job),
                None => self.wait(&mut queue).await,
            };
            let Some(Job { work, answer }) = job else { break };
            match work {
                Work::Request(request) => {
                    let mut group = vec![(*request, answer)];
                    next = gather(&mut group, &mut queue).await;
                    self.group(group).await;
                }
                Work::Step(step) => {
                    let done = self.step(step).await;
                    // whoever asked may be gone
                    let _ = answer.send(done.map(Answer::Next));
                }
                Work::Retime { offset, now } => {
                    let done = self.retime(offset, now).await;
                    let _ = answer.send(done.map(|()| Answer::Next(None)));
                }
                Work::Index(plan) => {
                    let records = self.book.tallies.iter().filter(|((of, _), _)| *of == plan.type_ordinal);
                    let records: i64 = records.map(|(_, count)| *count).sum();
                    if records >= self.shared.options.index_from as i64 {
                        self.plans.push_back((plan, Instant::now()));
                    } else {
                        self.shared.lists.decline(&plan);
                    }
                }
                Work::Close => closing = Some(answer),
            }
        }
        queue.close();
        if let Err(err) = self.conn.close().await {
            tracing::error!(%err, "closing the database");
        }
        if let Some(answer) = closing {
            let _ = answer.send(Ok(Answer::Next(None)));
        }
    }

    /// The next job; while there is none, or when it was put off for too long, makes an index.
    async fn wait(&mut self, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        while let Some((_, since)) = self.plans.front() {
            if since.elapsed() < PATIENCE
                && let Ok(job) = tokio::time::timeout(self.shared.options.index_after, queue.recv()).await
            {
                return job;
            }
            if let Some((plan, _)) = self.plans.pop_front() {
                index::make(&mut self.conn, &self.shared.lists, plan).await;
            }
        }
        queue.recv().await
    }

    /// Carries out a group and answers it. If it fails as a whole, each request is tried on its own, so that one cannot
    /// fail the others.
    async fn group(&mut self, group: Vec<(Request, oneshot::Sender<Result<Answer, StoreError>>)>) {
        let (requests, answers): (Vec<Request>, Vec<_>) = group.into_iter().unzip();
        self.shared.writes.together.saw(requests.len() as u64);
        let results = match self.carry_out(&requests).await {
            Ok(results) => results,
            Err(err) if requests.len() == 1 => vec![Err(err)],
            Err(_) => {
                let mut results = Results::with_capacity(requests.len());
                for request in &requests {
                    let alone = self.carry_out(std::slice::from_ref(request)).await;
                    results.push(alone.and_then(|mut results| results.pop().unwrap_or(Err(StoreError::Closed))));
                }
                results
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            let _ = answer.send(result.map(Answer::Outcome));
        }
    }

    async fn carry_out(&mut self, requests: &[Request]) -> Result<Results, StoreError> {
        let shared = self.shared.clone();
        self.transaction(async |conn, ledger, numbers| {
            let needs: Vec<Need> = requests.iter().flat_map(|request| ledger.needs(request)).collect();
            load::supply(conn, &shared, needs, &mut ledger.facts, numbers).await?;
            let mut results = Results::with_capacity(requests.len());
            for request in requests {
                let mut progress = Progress::default();
                let result = loop {
                    match ledger.request(request, &mut progress) {
                        Ok(outcome) => break Ok(outcome),
                        Err(Halt::Fault(err)) => break Err(err),
                        Err(Halt::Missing(needs)) => {
                            load::supply(conn, &shared, needs, &mut ledger.facts, numbers).await?;
                        }
                    }
                };
                results.push(result);
            }
            Ok(results)
        })
        .await
    }

    async fn step(&mut self, step: Step) -> Result<Option<Step>, StoreError> {
        let shared = self.shared.clone();
        self.transaction(async |conn, ledger, numbers| {
            let keys = index::keys_of(conn, &shared, &step).await?;
            loop {
                let done = match &step {
                    Step::Forget { partition, .. } => {
                        let keys: Vec<Key> = keys.iter().map(|(key, _)| key.clone()).collect();
                        ledger.forget(partition, &keys)
                    }
                    Step::Rejudge { .. } => {
                        let keys: Vec<Key> = keys.iter().map(|(key, _)| key.clone()).collect();
                        ledger.rejudge(&keys)
                    }
                };
                match done {
                    Ok(()) => break,
                    Err(Halt::Fault(err)) => return Err(err),
                    Err(Halt::Missing(needs)) => {
                        load::supply(conn, &shared, needs, &mut ledger.facts, numbers).await?;
                    }
                }
            }
            let Some((last, seq)) = keys.last().filter(|_| keys.len() >= STEP) else { return Ok(None) };
            Ok(Some(match &step {
                Step::Forget { partition, .. } => Step::Forget { partition: partition.clone(), after: *seq },
                Step::Rejudge { type_name, .. } => Step::Rejudge { type_name: type_name.clone(), after: Some(last.1) },
            }))
        })
        .await
    }

    async fn retime(&mut self, offset: i64, now: i64) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        self.transaction(async |conn, ledger, numbers| {
            let untimed = load::untimed(conn).await?;
            loop {
                match ledger.retime(&untimed, offset, now) {
                    Ok(()) => return Ok(()),
                    Err(Halt::Fault(err)) => return Err(err),
                    Err(Halt::Missing(needs)) => {
                        load::supply(conn, &shared, needs, &mut ledger.facts, numbers).await?;
                    }
                }
            }
        })
        .await
    }

    /// Runs something on a ledger and writes down its news. Whatever fails leaves no trace. Facts are read before the
    /// transaction begins: nobody else writes.
    async fn transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection, &mut Ledger, &mut Numbers) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let judge = self.shared.judge.clone();
        let mut ledger = Ledger::new(judge.as_ref(), quiet(&self.book), self.book.seq, self.book.clock);
        let mut numbers = Numbers::new();
        let result = work(&mut self.conn, &mut ledger, &mut numbers).await?;
        let Ledger { seq, clock, facts, news, .. } = ledger;
        let began = Instant::now();
        let committed = self.commit(seq, clock, facts, news, numbers).await;
        self.shared.writes.took.took(began.elapsed());
        if committed.is_err() {
            self.shared.writes.failed.add(1);
            // SQLite may have done so itself
            let _ = sqlx::query("rollback").execute(&mut self.conn).await;
        }
        committed.map(|()| result)
    }

    async fn commit(
        &mut self,
        seq: u64,
        clock: crate::domain::clock::Clock,
        facts: Facts,
        mut news: News,
        numbers: Numbers,
    ) -> Result<(), StoreError> {
        let notices = std::mem::take(&mut news.notices);
        let mut book = self.book.clone();
        (book.seq, book.clock) = (seq, clock);
        let is_due = seq > self.book.seq && self.run.is_none_or(|began| began.elapsed() > RUN);
        let run = if is_due { Some(self.begin_run()?) } else { None };
        let written = persist::persist(&mut self.conn, &self.shared, &mut book, facts, news, numbers, run).await;
        if let Some(run) = run {
            match written {
                Ok(()) => self.run = Some(Instant::now()),
                Err(_) => self.with_runs(|runs| runs.retain(|known| *known != run)),
            }
        }
        written?;
        self.book = book;
        if !notices.is_empty() {
            // nobody may be listening
            let _ = self.shared.notices.send(Arc::new(notices));
        }
        Ok(())
    }
}

impl Writer {
    /// A run that begins with the next number, known to readers before that is.
    fn begin_run(&mut self) -> Result<Run, StoreError> {
        let mut tag = [0; 8];
        getrandom::fill(&mut tag).map_err(|err| StoreError::Database(Box::new(err)))?;
        let first_run = self.shared.options.first_run.filter(|_| self.run.is_none());
        let tag = first_run.unwrap_or(u64::from_le_bytes(tag));
        let run = Run { first: self.book.seq + 1, tag };
        self.with_runs(|runs| runs.push(run));
        Ok(run)
    }

    fn with_runs(&self, change: impl FnOnce(&mut Vec<Run>)) {
        let mut runs = self.shared.runs.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut runs.0));
    }
}

fn quiet(book: &Book) -> Quiet {
    const LOST: i64 = 1;
    Quiet {
        waiting: book.waiting == 0,
        entries: book.tallies.iter().all(|((of, _), count)| *of != LOST || *count == 0),
        unsent: book.unsent == 0,
        untimed: book.untimed == 0,
        moved: book.moved == 0,
        shadows: !book.shadows,
        gone: !book.gone,
    }
}

/// Takes the requests that wait already; gives back what came and is no request.
async fn gather(
    group: &mut Vec<(Request, oneshot::Sender<Result<Answer, StoreError>>)>,
    queue: &mut mpsc::Receiver<Job>,
) -> Option<Job> {
    let mut weight: usize = group.iter().map(|(request, _)| weigh(request)).sum();
    let mut patience = 2;
    // a chunk is taken in alone: then its rows meet nothing that is not on disk
    let is_chunk = |request: &Request| matches!(request, Request::JoinChunk { .. });
    if group.iter().any(|(request, _)| is_chunk(request)) {
        return None;
    }
    while group.len() < GROUP && weight < GROUP_WEIGHT {
        match queue.try_recv() {
            Ok(job) if matches!(&job.work, Work::Request(request) if is_chunk(request)) => return Some(job),
            Ok(Job { work: Work::Request(request), answer }) => {
                weight += weigh(&request);
                group.push((*request, answer));
            }
            Ok(other) => return Some(other),
            Err(_) if patience > 0 => {
                // those who were just answered may be about to ask again
                patience -= 1;
                tokio::task::yield_now().await;
            }
            Err(_) => break,
        }
    }
    None
}

/// About how much work a request is, in bytes.
fn weigh(request: &Request) -> usize {
    match request {
        Request::Save(save) => save.records.iter().map(|record| 256 + 128 * record.changes.len()).sum(),
        Request::Receive { saves, .. } => saves.iter().map(|save| 512 * save.records.len()).sum(),
        Request::Quarantine { saves, .. } => saves.iter().map(|denied| 2048 * denied.save.records.len()).sum(),
        Request::Admit { entries, .. } => 4096 * entries.len(),
        Request::Join { page, .. } | Request::JoinChunk { page, .. } => {
            page.rows.iter().map(|row| 512 + row.state.len()).sum()
        }
        Request::Offer { page, .. } => page.rows.iter().map(|row| 512 + row.state.len()).sum(),
        Request::Acknowledge(saves) => 64 * saves.len(),
        Request::Local(changes) => 256 * changes.len(),
        Request::Purge { records, .. } => 1024 * records.len(),
        Request::Absent { records, .. } => 256 * records.len(),
        Request::Settle { floors, remains, .. } => 256 * (floors.len() + remains.len()),
        Request::Forget(_) | Request::Rejudge(_) | Request::Retime { .. } => 0,
    }
}
