//! Opening the database: settings, migrations, and what is kept at hand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use super::{Options, failed};
use crate::domain::clock::{Clock, Hlc};
use crate::domain::ids::{Incarnation, NodeId, Partition, TypeName};
use crate::domain::record::pack::Dictionary;
use crate::domain::stamp::Author;
use crate::store::ledger::{GONE, SHADOW};
use crate::store::{Digest, Run, Runs, StoreError};

/// In order; each is applied once and never edited after a release.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_records.sql"),
    include_str!("../../../migrations/sqlite/0002_runs.sql"),
];
/// Versions before this one can lose committed data in WAL mode.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// What the ordinals in the database stand for. Only ever added to; the writer adds before it commits, so a reader never
/// meets an ordinal that is not here.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub dictionary: Dictionary,
    pub types: Ordinals<TypeName>,
    pub partitions: Ordinals<Partition>,
}

#[derive(Debug)]
pub(super) struct Ordinals<T> {
    all: Vec<T>,
    by_name: HashMap<T, i64>,
}

impl<T> Default for Ordinals<T> {
    fn default() -> Self {
        Self { all: Vec::new(), by_name: HashMap::new() }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Ordinals<T> {
    pub fn get(&self, ordinal: i64) -> Option<&T> {
        self.all.get(usize::try_from(ordinal).ok()?.checked_sub(1)?)
    }

    pub fn find(&self, name: &T) -> Option<i64> {
        self.by_name.get(name).copied()
    }

    pub fn ordinal(&mut self, name: &T) -> i64 {
        if let Some(ordinal) = self.by_name.get(name) {
            return *ordinal;
        }
        self.all.push(name.clone());
        let ordinal = self.all.len() as i64;
        self.by_name.insert(name.clone(), ordinal);
        ordinal
    }

    pub fn all(&self) -> &[T] {
        &self.all
    }
}

/// What the writer keeps at hand: always as it is on disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub seq: u64,
    pub clock: Clock,
    pub next_record: i64,
    pub next_position: i64,
    pub sums: HashMap<i64, Sum>,
    pub tallies: HashMap<(i64, u8), i64>,
    pub waiting: i64,
    pub unsent: i64,
    pub untimed: i64,
    pub moved: i64,
    /// Whether any record has a shadow.
    pub shadows: bool,
    /// Whether any record was deleted for good.
    pub gone: bool,
    /// How many authors, names, types and partitions are on disk.
    pub written: [usize; 4],
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub head: u64,
    pub records: u64,
    pub digest: Digest,
}

/// The one connection that writes, with the schema of this version.
pub(super) async fn writer(path: &Path, options: &Options) -> Result<SqliteConnection, StoreError> {
    let mut connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        // what is written together is one of them; see `script`
        .statement_cache_capacity(64)
        .pragma("cache_size", "-8192")
        .pragma("temp_store", "memory")
        .pragma("journal_size_limit", "16777216");
    if let Some(pages) = options.max_pages {
        connect = connect.pragma("max_page_count", pages.to_string());
    }
    let mut conn = connect.disable_statement_logging().connect().await.map_err(|err| not_opened(err, path))?;
    check_version(&mut conn).await?;
    migrate(&mut conn).await.map_err(|err| match err {
        StoreError::Database(_) if !is_writable(path) => StoreError::ReadOnly(path.display().to_string()),
        other => other,
    })?;
    Ok(conn)
}

pub(super) fn readers(path: &Path, connections: u32) -> SqlitePool {
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("cache_size", "-4096")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(connect)
}

fn not_opened(err: sqlx::Error, path: &Path) -> StoreError {
    let why = failed(err);
    match why {
        StoreError::Database(_) if !is_writable(path) => StoreError::ReadOnly(path.display().to_string()),
        other => other,
    }
}

fn is_writable(path: &Path) -> bool {
    std::fs::OpenOptions::new().append(true).create(true).open(path).is_ok()
}

/// A connection that only reads, beside whoever writes.
pub(super) async fn reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    let connect = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(5));
    // a large sort goes to a file
    let connect = connect.pragma("cache_size", "-8192").pragma("temp_store", "file");
    connect.disable_statement_logging().connect().await.map_err(failed)
}

async fn check_version(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let (version, is_safe) = sqlite_version(conn).await?;
    if is_safe { Ok(()) } else { Err(StoreError::OldSqlite(version)) }
}

/// Which SQLite this is, and whether it keeps what it was given.
pub(super) async fn sqlite_version(conn: &mut SqliteConnection) -> Result<(String, bool), StoreError> {
    let version: String =
        sqlx::query("select sqlite_version()").fetch_one(conn).await.map_err(failed)?.try_get(0).map_err(failed)?;
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let number = (next(), next(), next());
    let is_safe = number >= OLDEST_SQLITE;
    Ok((version, is_safe))
}

async fn migrate(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    migrate_to(conn, MIGRATIONS.len()).await
}

/// How many migrations there are.
pub(super) fn migrations() -> usize {
    MIGRATIONS.len()
}

/// How many migrations a database has seen; not more than there are.
pub(super) async fn migrated(conn: &mut SqliteConnection) -> Result<usize, StoreError> {
    let version: i64 =
        sqlx::query("pragma user_version").fetch_one(&mut *conn).await.map_err(failed)?.try_get(0).map_err(failed)?;
    let done = usize::try_from(version).unwrap_or_default();
    if done > MIGRATIONS.len() { Err(StoreError::Newer) } else { Ok(done) }
}

/// Brings a database to the schema after so many migrations.
pub(super) async fn migrate_to(conn: &mut SqliteConnection, count: usize) -> Result<(), StoreError> {
    let done = migrated(conn).await?;
    for (number, text) in MIGRATIONS.iter().enumerate().take(count).skip(done) {
        let script = format!("begin immediate;\n{text};\npragma user_version = {};\ncommit;", number + 1);
        // our own text with a number in it
        let applied = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *conn).await;
        if let Err(err) = applied {
            // it may have been rolled back already
            let _ = sqlx::raw_sql("rollback").execute(&mut *conn).await;
            return Err(failed(err));
        }
    }
    Ok(())
}

/// Reads what is kept at hand.
pub(super) async fn load(conn: &mut SqliteConnection) -> Result<(Names, Book), StoreError> {
    let mut book = Book::default();
    let row = sqlx::query(
        "select seq, clock,
           (select coalesce(max(number), 0) from record),
           (select coalesce(max(position), 0) from outbox),
           (select count(*) from waiting),
           (select count(*) from outbox),
           (select count(*) from moved),
           (select count(*) from outbox where unchecked is not null),
           exists (select 1 from local where kind = ?),
           exists (select 1 from local where kind = ?)
         from node",
    );
    let row = row.bind(SHADOW).bind(GONE).fetch_one(&mut *conn).await.map_err(failed)?;
    let number = |at: usize| row.try_get::<i64, _>(at).map_err(failed);
    book.seq = number(0)? as u64;
    book.clock = Clock { last: Hlc(number(1)?) };
    book.next_record = number(2)? + 1;
    book.next_position = number(3)? + 1;
    (book.waiting, book.unsent, book.moved) = (number(4)?, number(5)?, number(6)?);
    book.untimed = number(7)?;
    book.shadows = number(8)? != 0;
    book.gone = number(9)? != 0;

    let mut types = Ordinals::default();
    for row in sqlx::query("select name from type order by ordinal").fetch_all(&mut *conn).await.map_err(failed)? {
        let name: String = row.try_get(0).map_err(failed)?;
        types.ordinal(&name.parse::<TypeName>().map_err(|_| StoreError::Damaged(format!("type {name:?}")))?);
    }
    let mut partitions = Ordinals::default();
    let sql = "select name, head, records, digest from partition order by ordinal";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await.map_err(failed)? {
        let ordinal = partitions.ordinal(&Partition(row.try_get(0).map_err(failed)?));
        let digest: Vec<u8> = row.try_get(3).map_err(failed)?;
        let sum = Sum {
            head: row.try_get::<i64, _>(1).map_err(failed)? as u64,
            records: row.try_get::<i64, _>(2).map_err(failed)? as u64,
            digest: digest_of(&digest)?,
        };
        book.sums.insert(ordinal, sum);
    }
    for row in sqlx::query("select type, flags, records from tally").fetch_all(&mut *conn).await.map_err(failed)? {
        let number = |at: usize| row.try_get::<i64, _>(at).map_err(failed);
        book.tallies.insert((number(0)?, number(1)? as u8), number(2)?);
    }
    let dictionary = dictionary(conn).await?;
    let (authors, texts) = (dictionary.authors().len(), dictionary.names().len());
    book.written = [authors, texts, types.all().len(), partitions.all().len()];
    Ok((Names { dictionary, types, partitions }, book))
}

/// Who wrote, and what properties are called, by their ordinals.
pub(super) async fn dictionary(conn: &mut SqliteConnection) -> Result<Dictionary, StoreError> {
    let mut authors = Vec::new();
    let sql = "select node, incarnation, person from author order by ordinal";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await.map_err(failed)? {
        let person: Vec<u8> = row.try_get(2).map_err(failed)?;
        authors.push(Author {
            node: NodeId(row.try_get::<i64, _>(0).map_err(failed)? as u64),
            incarnation: Incarnation(row.try_get::<i64, _>(1).map_err(failed)? as u64),
            person: uuid::Uuid::from_slice(&person).map_err(|_| StoreError::Damaged("author".into()))?,
        });
    }
    let mut names = Vec::new();
    for row in sqlx::query("select name from name order by ordinal").fetch_all(&mut *conn).await.map_err(failed)? {
        names.push(row.try_get(0).map_err(failed)?);
    }
    Ok(Dictionary::of(authors, names))
}

/// All runs that numbers were given in.
pub(super) async fn runs(conn: &mut SqliteConnection) -> Result<Runs, StoreError> {
    let found = sqlx::query("select first, tag from run order by first").fetch_all(conn).await.map_err(failed)?;
    let run = |row: &sqlx::sqlite::SqliteRow| {
        let number = |at: usize| row.try_get::<i64, _>(at).map(|number| number as u64).map_err(failed);
        Ok(Run { first: number(0)?, tag: number(1)? })
    };
    Ok(Runs(Arc::new(found.iter().map(run).collect::<Result<_, StoreError>>()?)))
}

pub(super) fn digest_of(bytes: &[u8]) -> Result<Digest, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged("digest".into()))?;
    Ok(Digest(u128::from_le_bytes(bytes)))
}
