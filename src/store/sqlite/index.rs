//! Indexes for the lists that people look at, made by the store itself when somebody looks at one, a few for each type.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::load::key_of;
use super::writer::Step;
use super::{Shared, failed};
use crate::store::StoreError;
use crate::store::ledger::Key;
use crate::store::model::STEP;

/// At most so many for one type: each costs a little at every write. The one that was not used for the longest time goes.
const MOST: usize = 6;

/// The index that a list would be read along: expressions over `record`, made by [`super::list`] and nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub type_ordinal: i64,
    pub terms: Vec<String>,
}

/// The indexes that are there.
#[derive(Debug, Default)]
pub(super) struct Lists {
    known: Mutex<Known>,
    tick: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    made: HashMap<Plan, (String, u64)>,
    asked: HashSet<Plan>,
}

impl Lists {
    pub async fn load(conn: &mut SqliteConnection) -> Result<Self, StoreError> {
        let lists = Self::default();
        let sql = "select name, type, terms from list_index";
        for row in sqlx::query(sql).fetch_all(conn).await.map_err(failed)? {
            let terms: String = row.try_get(2).map_err(failed)?;
            let terms = serde_json::from_str(&terms).map_err(|_| StoreError::Damaged("list_index".into()))?;
            let plan = Plan { type_ordinal: row.try_get(1).map_err(failed)?, terms };
            lists.known().made.insert(plan, (row.try_get(0).map_err(failed)?, 0));
        }
        Ok(lists)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the index, if it is there.
    pub fn find(&self, plan: &Plan) -> Option<String> {
        let tick = self.tick.fetch_add(1, Ordering::Relaxed);
        let mut known = self.known();
        let (name, used) = known.made.get_mut(plan)?;
        *used = tick;
        Some(name.clone())
    }

    /// Whether somebody should ask the writer for it: nobody did.
    pub fn ask(&self, plan: &Plan) -> bool {
        self.known().asked.insert(plan.clone())
    }

    pub fn decline(&self, plan: &Plan) {
        self.known().asked.remove(plan);
    }

    /// The one of a type that was not used for the longest time, if there are as many as there may be.
    fn surplus(&self, type_ordinal: i64) -> Option<(Plan, String)> {
        let known = self.known();
        let of_type = known.made.iter().filter(|(plan, _)| plan.type_ordinal == type_ordinal);
        if of_type.clone().count() < MOST {
            return None;
        }
        of_type.min_by_key(|(_, (_, used))| *used).map(|(plan, (name, _))| (plan.clone(), name.clone()))
    }
}

/// Makes it, in the place of an old one if there are too many. A list is read without it if that fails.
pub(super) async fn make(conn: &mut SqliteConnection, lists: &Lists, plan: Plan) {
    // a large one is sorted in a file, not in memory
    let _ = sqlx::query("pragma temp_store = file").execute(&mut *conn).await;
    if let Err(err) = try_make(conn, lists, &plan).await {
        // it may have been rolled back already
        let _ = sqlx::query("rollback").execute(&mut *conn).await;
        tracing::warn!(%err, "an index for a list could not be made");
    }
    let _ = sqlx::query("pragma temp_store = memory").execute(conn).await;
    lists.decline(&plan);
}

async fn try_make(conn: &mut SqliteConnection, lists: &Lists, plan: &Plan) -> Result<(), StoreError> {
    if lists.known().made.contains_key(plan) {
        return Ok(());
    }
    let surplus = lists.surplus(plan.type_ordinal);
    sqlx::query("begin immediate").execute(&mut *conn).await.map_err(failed)?;
    if let Some((old, name)) = &surplus {
        lists.known().made.remove(old);
        // a name we made
        let sql = AssertSqlSafe(format!("drop index if exists {name}"));
        sqlx::query(sql).persistent(false).execute(&mut *conn).await.map_err(failed)?;
        let sql = "delete from list_index where name = ?1";
        sqlx::query(sql).bind(name.clone()).execute(&mut *conn).await.map_err(failed)?;
    }
    let terms = serde_json::to_string(&plan.terms).expect("texts can be written as JSON");
    let name = format!("list_{}", &blake3::hash(format!("{} {terms}", plan.type_ordinal).as_bytes()).to_hex()[..16]);
    // expressions of `list.rs`, which quotes what is not its own
    let sql = AssertSqlSafe(format!(
        "create index {name} on record ({}, id) where type = {} and flags & 1 = 0",
        plan.terms.join(", "),
        plan.type_ordinal
    ));
    sqlx::query(sql).persistent(false).execute(&mut *conn).await.map_err(failed)?;
    let sql = "insert into list_index (name, type, terms) values (?1, ?2, ?3)";
    let insert = sqlx::query(sql).bind(name.clone()).bind(plan.type_ordinal).bind(terms);
    insert.execute(&mut *conn).await.map_err(failed)?;
    sqlx::query("commit").execute(&mut *conn).await.map_err(failed)?;
    let tick = lists.tick.fetch_add(1, Ordering::Relaxed);
    lists.known().made.insert(plan.clone(), (name, tick));
    Ok(())
}

/// The records of the next step of a request over many, with their numbers.
pub(super) async fn keys_of(
    conn: &mut SqliteConnection,
    shared: &Shared,
    step: &Step,
) -> Result<Vec<(Key, u64)>, StoreError> {
    let names = || shared.names.read().unwrap_or_else(PoisonError::into_inner);
    let query = match step {
        Step::Forget { partition, after } => {
            let Some(ordinal) = names().partitions.find(partition) else { return Ok(Vec::new()) };
            let sql = "select type, id, seq from record where partition = ?1 and seq > ?2 order by seq limit ?3";
            sqlx::query(sql).bind(ordinal).bind(*after as i64)
        }
        Step::Rejudge { type_name, after } => {
            let Some(ordinal) = names().types.find(type_name) else { return Ok(Vec::new()) };
            let after = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
            let sql = "select type, id, seq from record where type = ?1 and id > ?2 order by id limit ?3";
            sqlx::query(sql).bind(ordinal).bind(after)
        }
    };
    let found = query.bind(STEP as i64).fetch_all(conn).await.map_err(failed)?;
    let names = names();
    let key =
        |row: &sqlx::sqlite::SqliteRow| Ok((key_of(row, &names)?, row.try_get::<i64, _>(2).map_err(failed)? as u64));
    found.iter().map(key).collect()
}
