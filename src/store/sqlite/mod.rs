//! The store that runs nodes: SQLite, one writer, readers beside it.

mod list;
mod rows;
mod writer;

use std::collections::{BTreeMap, HashSet};
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::ledger::Standing;
use super::{
    Changes, Cursor, Digest, Flags, Held, HistoryLine, Judge, Moved, Notice, Outcome, Page, PartitionState, Query,
    Request, Row, Store, StoreError, Tally,
};
use crate::domain::clock::{Clock, Hlc};
use crate::domain::ids::{Epoch, Partition, RecordId, TypeName};
use crate::domain::record::hash::Hash;
use crate::domain::record::pack::{Values, pack};
use crate::domain::save::Save;
use rows::{COLUMNS, Ordinals, id_of};
use writer::{Command, Writer};

/// All migrations, in order; the version of a database is how many it has.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_records.sql")];
/// Older ones can lose committed data in WAL mode.
const OLDEST: (u32, u32, u32) = (3, 51, 3);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections for reading.
    pub readers: u32,
    /// At most this many pages in the database; for tests of a full disk.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 4, max_pages: None }
    }
}

pub struct Sqlite {
    readers: SqlitePool,
    commands: mpsc::Sender<Command>,
    notices: broadcast::Sender<Arc<Vec<Notice>>>,
    ordinals: Arc<RwLock<Arc<Ordinals>>>,
    /// Indexes that were asked for since the start.
    indexes: Mutex<HashSet<String>>,
}

impl Sqlite {
    /// Opens the database in this file, made if it is not there, and brings it up to this version.
    pub async fn open(path: &FilePath, judge: Arc<dyn Judge>, options: Options) -> Result<Self, StoreError> {
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5))
            .pragma("cache_size", "-16000")
            .statement_cache_capacity(256);
        let mut connection = connect.clone().create_if_missing(true).connect().await.map_err(failed)?;
        check_version(&mut connection).await?;
        migrate(&mut connection).await?;
        if let Some(pages) = options.max_pages {
            let sql = format!("pragma max_page_count = {pages}");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.map_err(failed)?;
        }
        let ordinals = Ordinals::load(&mut connection).await?;
        let standing = read_standing(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(options.readers.max(1))
            .connect_with(connect.read_only(true).create_if_missing(false))
            .await
            .map_err(failed)?;
        let (commands, queue) = mpsc::channel(1024);
        let (notices, _) = broadcast::channel(1024);
        let published = Arc::new(RwLock::new(Arc::new(ordinals.clone())));
        let writer =
            Writer { connection, judge, ordinals, published: published.clone(), standing, notices: notices.clone() };
        tokio::spawn(writer.run(queue));
        Ok(Self { readers, commands, notices, ordinals: published, indexes: Mutex::default() })
    }

    fn ordinals(&self) -> Arc<Ordinals> {
        self.ordinals.read().expect("no holder of this lock panics").clone()
    }

    async fn fetch(&self, sql: String, bind: impl FnOnce(Bound) -> Bound) -> Result<Vec<SqliteRow>, StoreError> {
        bind(sqlx::query(AssertSqlSafe(sql))).fetch_all(&self.readers).await.map_err(failed)
    }
}

type Bound = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// What the database said, in our words.
fn failed(err: sqlx::Error) -> StoreError {
    let code = err.as_database_error().and_then(|err| err.code()).and_then(|code| code.parse::<i32>().ok());
    match code.map(|code| code & 0xff) {
        Some(13) => StoreError::Full,
        Some(8 | 14) => StoreError::ReadOnly(err.to_string()),
        _ => StoreError::Database(Box::new(err)),
    }
}

async fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: String = sqlx::query("select sqlite_version()").fetch_one(connection).await.map_err(failed)?.get(0);
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    if (next(), next(), next()) < OLDEST { Err(StoreError::OldSqlite(version)) } else { Ok(()) }
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: i64 = sqlx::query("pragma user_version").fetch_one(&mut *connection).await.map_err(failed)?.get(0);
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        return Err(StoreError::Newer);
    }
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let step = format!("begin immediate;\n{sql}\npragma user_version = {};\ncommit;", number + 1);
        if let Err(err) = sqlx::raw_sql(AssertSqlSafe(step)).execute(&mut *connection).await {
            let _ = sqlx::raw_sql("rollback").execute(&mut *connection).await;
            return Err(failed(err));
        }
    }
    Ok(())
}

async fn read_standing(connection: &mut SqliteConnection) -> Result<Standing, StoreError> {
    let row =
        sqlx::query("select clock, seq, waiting from standing").fetch_one(&mut *connection).await.map_err(failed)?;
    let partitions = sqlx::query(PARTITIONS).fetch_all(connection).await.map_err(failed)?;
    Ok(Standing {
        clock: Clock { last: Hlc(row.get(0)) },
        seq: row.get::<i64, _>(1) as u64,
        waiting: row.get::<i64, _>(2) as u64,
        partitions: partitions
            .iter()
            .map(|row| partition(row).map(|state| (state.partition.clone(), state)))
            .collect::<Result<BTreeMap<_, _>, _>>()?,
    })
}

const PARTITIONS: &str = "select name, head, records, digest, epoch, base, after from partition order by ordinal";

fn partition(row: &SqliteRow) -> Result<PartitionState, StoreError> {
    let number = |at: usize| row.get::<i64, _>(at) as u64;
    let cursor = row.get::<Option<i64>, _>(4);
    Ok(PartitionState {
        partition: Partition(row.get(0)),
        head: number(1),
        records: number(2),
        digest: digest(row.get(3))?,
        cursor: cursor.map(|epoch| Cursor { epoch: Epoch(epoch as u64), base: number(5), after: number(6) }),
    })
}

fn digest(text: &str) -> Result<Digest, StoreError> {
    u128::from_str_radix(text, 16).map(Digest).map_err(|_| StoreError::Damaged("a digest is no number".into()))
}

async fn local<'e, E>(executor: E, kind: &str, key: &str) -> Result<Option<Value>, StoreError>
where
    E: sqlx::Executor<'e, Database = sqlx::Sqlite>,
{
    let row = sqlx::query("select doc from local where kind = $1 and key = $2")
        .bind(kind.to_owned())
        .bind(key.to_owned())
        .fetch_optional(executor)
        .await
        .map_err(failed)?;
    row.map(|row| parse(row.get(0))).transpose()
}

fn parse(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|err| StoreError::Damaged(err.to_string()))
}

#[async_trait]
impl Store for Sqlite {
    async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Write(Box::new(request), reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        let Some(ordinal) = self.ordinals().known_type(type_name) else { return Ok(None) };
        let sql = format!("select {COLUMNS} from record where type = $1 and id = $2");
        let rows = self.fetch(sql, |query| query.bind(ordinal).bind(id.as_bytes().to_vec())).await?;
        let ordinals = self.ordinals();
        rows.first().map(|row| ordinals.held(row)).transpose()
    }

    async fn records(&self, query: &Query) -> Result<Page, StoreError> {
        let Some(ordinal) = self.ordinals().known_type(&query.type_name) else { return Ok(Page::default()) };
        let plan = list::Plan::of(query, ordinal)?;
        for index in plan.indexes() {
            let is_new = self.indexes.lock().expect("no holder of this lock panics").insert(index.clone());
            if is_new {
                // later lists are quick; this one does not wait for it
                let _ = self.commands.try_send(Command::Index(index));
            }
        }
        let mut items = Vec::new();
        for statement in plan.statements() {
            let left = query.limit + 1 - items.len();
            if left == 0 {
                break;
            }
            let mut sql = sqlx::query(AssertSqlSafe(statement.sql(left)));
            for value in statement.values() {
                sql = list::bind(sql, value);
            }
            let rows = sql.fetch_all(&self.readers).await.map_err(failed)?;
            let ordinals = self.ordinals();
            for row in &rows {
                items.push(ordinals.held(row)?);
            }
        }
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(|held| super::query::Position::of(held, query).write());
        Ok(Page { items, next })
    }

    async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        let sql = "select type, count(*), sum(flags & 1), sum(flags & 6 != 0) from record group by type order by type";
        let rows = self.fetch(sql.into(), |query| query).await?;
        let ordinals = self.ordinals();
        rows.iter()
            .map(|row| {
                let (all, binned) = (row.get::<i64, _>(1) as u64, row.get::<i64, _>(2) as u64);
                Ok(Tally {
                    type_name: ordinals.type_named(row.get(0))?.clone(),
                    living: all - binned,
                    binned,
                    flagged: row.get::<i64, _>(3) as u64,
                })
            })
            .collect()
    }

    async fn flagged(&self, flags: Flags, limit: usize) -> Result<Vec<Held>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from record where flags & 30 != 0 and flags & $1 != 0 order by seq desc limit $2"
        );
        let rows = self.fetch(sql, |query| query.bind(i64::from(flags.0)).bind(limit as i64)).await?;
        let ordinals = self.ordinals();
        rows.iter().map(|row| ordinals.held(row)).collect()
    }

    async fn history(&self, type_name: &TypeName, id: RecordId) -> Result<Vec<HistoryLine>, StoreError> {
        let Some(ordinal) = self.ordinals().known_type(type_name) else { return Ok(Vec::new()) };
        let sql =
            "select seq, time, author, tag, path, act, old, new, replaced_time, replaced_author, replaced_tag, seen_at
            from history where type = $1 and id = $2 order by seq desc, line desc";
        let rows = self.fetch(sql.into(), |query| query.bind(ordinal).bind(id.as_bytes().to_vec())).await?;
        let ordinals = self.ordinals();
        let damaged = |err: serde_json::Error| StoreError::Damaged(err.to_string());
        rows.iter()
            .map(|row| {
                Ok(HistoryLine {
                    seq: row.get::<i64, _>(0) as u64,
                    stamp: ordinals.stamp(row.get(1), row.get(2), row.get(3))?,
                    path: serde_json::from_str(row.get(4)).map_err(damaged)?,
                    act: serde_json::from_value(Value::String(row.get(5))).map_err(damaged)?,
                    old: row.get::<Option<&str>, _>(6).map(parse).transpose()?,
                    new: row.get::<Option<&str>, _>(7).map(parse).transpose()?,
                    replaced: ordinals.stamp(row.get(8), row.get(9), row.get(10))?,
                    seen_at: row.get(11),
                })
            })
            .collect()
    }

    async fn changes(
        &self,
        partition_name: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        const STEP: i64 = 256;
        let Some(ordinal) = self.ordinals().known_partition(partition_name) else { return Ok(Changes::default()) };
        // one moment for rows, head and digest
        let mut read = self.readers.begin().await.map_err(failed)?;
        let mut changes = Changes::default();
        let row = sqlx::query("select head, digest from partition where ordinal = $1")
            .bind(ordinal)
            .fetch_optional(&mut *read)
            .await
            .map_err(failed)?;
        let Some(row) = row else { return Ok(changes) };
        changes.head = row.get::<i64, _>(0) as u64;
        changes.digest = digest(row.get(1))?;
        let sql = format!("select {COLUMNS} from record where partition = $1 and seq > $2 order by seq limit {STEP}");
        let (mut upto, mut bytes, mut more) = (after, 0, true);
        'pages: while more {
            let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(ordinal)
                .bind(upto as i64)
                .fetch_all(&mut *read)
                .await
                .map_err(failed)?;
            more = rows.len() as i64 == STEP;
            let ordinals = self.ordinals();
            for row in &rows {
                if bytes >= max_bytes {
                    changes.next = Some(upto);
                    break 'pages;
                }
                let held = ordinals.held(row)?;
                let state = pack(&held.state.since(base), held.seq, Values::Inline, &mut changes.dictionary);
                bytes += state.len() + 32;
                upto = held.seq;
                changes.rows.push(Row { type_name: held.type_name, id: held.id, seq: held.seq, state });
            }
        }
        let last = changes.next.map_or(i64::MAX, |next| next as i64);
        let rows = sqlx::query(
            "select seq, type, id, time, author, tag from moved where partition = $1 and seq > $2 and seq <= $3 order by seq",
        )
        .bind(ordinal)
        .bind(after as i64)
        .bind(last)
        .fetch_all(&mut *read)
        .await
        .map_err(failed)?;
        let ordinals = self.ordinals();
        for row in &rows {
            changes.moved.push(Moved {
                type_name: ordinals.type_named(row.get(1))?.clone(),
                id: id_of(row.get(2))?,
                seq: row.get::<i64, _>(0) as u64,
                stamp: ordinals.stamp(row.get(3), row.get(4), row.get(5))?,
            });
        }
        Ok(changes)
    }

    async fn outbox(&self, max_bytes: usize) -> Result<Vec<Save>, StoreError> {
        let sql = "select body from (
                select position, body, sum(length(body)) over (order by position) - length(body) as before
                from (select position, body from outbox order by position limit 1000)
            ) where before = 0 or before < $1 order by position";
        let rows = self.fetch(sql.into(), |query| query.bind(max_bytes as i64)).await?;
        rows.iter().map(|row| writer::read_cbor(row.get(0))).collect()
    }

    async fn waiting(&self) -> Result<u64, StoreError> {
        let rows = self.fetch("select count(*) from outbox".into(), |query| query).await?;
        Ok(rows.first().map_or(0, |row| row.get::<i64, _>(0) as u64))
    }

    async fn partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        let rows = self.fetch(PARTITIONS.into(), |query| query).await?;
        rows.iter().map(partition).collect()
    }

    async fn locals(&self, kind: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let kind = kind.to_owned();
        let sql = "select key, doc from local where kind = $1 order by key";
        let rows = self.fetch(sql.into(), |query| query.bind(kind)).await?;
        rows.iter().map(|row| Ok((row.get(0), parse(row.get(1))?))).collect()
    }

    async fn local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        local(&self.readers, kind, key).await
    }

    fn notices(&self) -> broadcast::Receiver<Arc<Vec<Notice>>> {
        self.notices.subscribe()
    }

    async fn close(&self) {
        // the writer last: the last connection moves what stands in the log into the database
        self.readers.close().await;
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

impl Sqlite {
    /// The digest of a partition computed anew from its rows, for checks.
    pub async fn recompute(&self, partition: &Partition) -> Result<Digest, StoreError> {
        let Some(ordinal) = self.ordinals().known_partition(partition) else { return Ok(Digest::default()) };
        let sql = format!("select {COLUMNS} from record where partition = $1");
        let rows = self.fetch(sql, |query| query.bind(ordinal)).await?;
        let ordinals = self.ordinals();
        rows.iter().try_fold(Digest::default(), |digest, row| {
            let hash: Hash = ordinals.held(row)?.hash();
            Ok(digest.plus(hash))
        })
    }
}

#[cfg(test)]
impl Sqlite {
    /// As a newer version would leave the database.
    pub async fn raise_version(&self) {
        let raise = sqlx::raw_sql("pragma user_version = 999");
        let options = self.readers.connect_options().as_ref().clone().read_only(false);
        let mut connection = options.connect().await.expect("it connects");
        raise.execute(&mut connection).await.expect("it is written");
    }
}
