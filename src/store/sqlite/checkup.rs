//! Looks a database over without changing it, beside whoever writes to it: is the file sound, can every record be read, are
//! the books right, and what lies about.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::load::save_of;
use super::setup::{self, digest_of};
use super::{failed, rows, walk};
use crate::domain::clock::Hlc;
use crate::domain::feed::Digest;
use crate::domain::ids::Partition;
use crate::store::StoreError;
use crate::store::ledger::here;

/// So many records at once.
const BATCH: usize = 500;
/// So many of one kind are named; all are counted.
const NAMED: usize = 5;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Checkup {
    /// The version of SQLite that this program has in it, and whether it is one that keeps what it was given.
    pub sqlite: String,
    pub sqlite_is_safe: bool,
    pub records: u64,
    /// What SQLite itself finds wrong with the file.
    pub faults: Vec<String>,
    /// Records that cannot be read, some of them by name.
    pub unreadable: u64,
    pub unreadable_named: Vec<String>,
    /// Partitions whose digest, or number of records, is kept other than it is.
    pub differing: Vec<Partition>,
    /// Indexes for lists that are written down and not there.
    pub lost_indexes: Vec<String>,
    /// The highest time that was given out, in milliseconds.
    pub clock: i64,
    /// Saves that the hub has not acknowledged, and the time of the oldest in milliseconds.
    pub outbox: u64,
    pub outbox_since: Option<i64>,
    /// Saves of records that are not here.
    pub waiting: u64,
    pub waiting_since: Option<i64>,
    /// Documents of this node alone, by kind.
    pub locals: BTreeMap<String, u64>,
}

/// Looks at the database at `path`. `told` hears how many records were looked at, and of how many.
pub async fn examine(path: &Path, told: &mut (dyn FnMut(u64, u64) + Send)) -> Result<Checkup, StoreError> {
    let mut conn = setup::reader(path).await?;
    let (sqlite, sqlite_is_safe) = setup::sqlite_version(&mut conn).await?;
    if setup::migrated(&mut conn).await? < setup::migrations() {
        return Err(StoreError::Older);
    }
    // one moment
    sqlx::query("begin").execute(&mut conn).await.map_err(failed)?;
    let faults = faults(&mut conn).await?;
    let mut checkup = Checkup { sqlite, sqlite_is_safe, faults, ..Checkup::default() };
    counts(&mut conn, &mut checkup).await?;
    records(&mut conn, &mut checkup, told).await?;
    Ok(checkup)
}

/// A document of the node alone.
pub async fn document(path: &Path, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
    let mut conn = setup::reader(path).await?;
    let sql = "select doc from local where kind = ?1 and key = ?2";
    let query = sqlx::query(sql).bind(kind.to_owned()).bind(key.to_owned());
    let row = query.fetch_optional(&mut conn).await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let text: &str = row.try_get(0).map_err(failed)?;
    serde_json::from_str(text).map(Some).map_err(|_| StoreError::Damaged(format!("the document {kind} {key}")))
}

async fn faults(conn: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let found = sqlx::query("pragma integrity_check(20)").fetch_all(conn).await.map_err(failed)?;
    let faults = found.iter().map(|row| row.try_get::<String, _>(0).map_err(failed));
    let faults: Vec<String> = faults.collect::<Result<_, _>>()?;
    Ok(faults.into_iter().filter(|fault| fault != "ok").collect())
}

async fn counts(conn: &mut SqliteConnection, checkup: &mut Checkup) -> Result<(), StoreError> {
    let sql =
        "select (select count(*) from record), (select count(*) from outbox), (select count(*) from waiting), clock
       from node";
    let row = sqlx::query(sql).fetch_one(&mut *conn).await.map_err(failed)?;
    let number = |at: usize| row.try_get::<i64, _>(at).map_err(failed);
    checkup.records = number(0)? as u64;
    checkup.outbox = number(1)? as u64;
    checkup.waiting = number(2)? as u64;
    checkup.clock = Hlc(number(3)?).millis();
    checkup.outbox_since = since(conn, "select body from outbox order by position limit 1").await?;
    checkup.waiting_since = since(conn, "select body from waiting order by number limit 1").await?;
    let sql = "select kind, count(*) from local group by kind";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await.map_err(failed)? {
        let count: i64 = row.try_get(1).map_err(failed)?;
        checkup.locals.insert(row.try_get(0).map_err(failed)?, count as u64);
    }
    let sql = "select l.name from list_index as l
       where not exists (select 1 from sqlite_schema as s where s.type = 'index' and s.name = l.name)";
    for row in sqlx::query(sql).fetch_all(conn).await.map_err(failed)? {
        checkup.lost_indexes.push(row.try_get(0).map_err(failed)?);
    }
    Ok(())
}

/// When the save was made that this statement finds, if it finds one that says so.
async fn since(conn: &mut SqliteConnection, sql: &'static str) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(sql).fetch_optional(conn).await.map_err(failed)?;
    let save = row.and_then(|row| save_of(&row, 0).ok());
    Ok(save.and_then(|save| save.records.iter().map(|record| record.time.millis()).max()))
}

async fn records(
    conn: &mut SqliteConnection,
    checkup: &mut Checkup,
    told: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), StoreError> {
    let (names, _) = setup::load(conn).await?;
    let (mut done, total) = (0, checkup.records);
    for (partition, ordinal) in names.partitions.all().iter().zip(1..) {
        let (mut digest, mut records, mut unreadable) = (Digest::default(), 0u64, 0u64);
        for numbers in walk::numbers(conn, ordinal).await?.chunks(BATCH) {
            let row = walk::batch(conn, numbers).await?;
            match rows::records(&row, 0, &names) {
                Ok(held) if held.len() == numbers.len() => {
                    records += held.len() as u64;
                    digest = held.iter().fold(digest, |digest, (_, held)| digest.plus(held.hash()));
                }
                // one of them is damaged: each on its own
                _ => {
                    for number in numbers {
                        let row = walk::batch(conn, &[*number]).await?;
                        match rows::records(&row, 0, &names).ok().and_then(|mut held| held.pop()) {
                            Some((_, held)) => {
                                records += 1;
                                digest = digest.plus(held.hash());
                            }
                            None => {
                                unreadable += 1;
                                if checkup.unreadable_named.len() < NAMED {
                                    checkup.unreadable_named.push(name_of(conn, *number).await?);
                                }
                            }
                        }
                    }
                }
            }
            done += numbers.len() as u64;
            told(done, total);
        }
        checkup.unreadable += unreadable;
        let sql = "select records, digest from partition where ordinal = ?1";
        let row = sqlx::query(sql).bind(ordinal).fetch_one(&mut *conn).await.map_err(failed)?;
        let kept: i64 = row.try_get(0).map_err(failed)?;
        let kept_digest = digest_of(row.try_get(1).map_err(failed)?)?;
        // what cannot be read is told of already; it is in the digest that was kept
        if unreadable == 0 && (kept as u64 != records || kept_digest != digest) && *partition != here() {
            checkup.differing.push(partition.clone());
        }
    }
    Ok(())
}

async fn name_of(conn: &mut SqliteConnection, number: i64) -> Result<String, StoreError> {
    let sql = "select t.name || ' ' || lower(hex(r.id))
       from record as r
       left join type as t on t.ordinal = r.type
       where r.number = ?1";
    let row = sqlx::query(sql).bind(number).fetch_one(conn).await.map_err(failed)?;
    let name: Option<String> = row.try_get(0).map_err(failed)?;
    Ok(name.unwrap_or_else(|| format!("number {number}")))
}
