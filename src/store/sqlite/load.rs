//! Supplies the ledger with the facts it needs, each kind for a whole group by one statement.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::PoisonError;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::rows::{self, columns};
use super::setup::Names;
use super::{Shared, failed};
use crate::domain::clock::Hlc;
use crate::domain::ids::{SaveId, TypeName};
use crate::domain::path::Path;
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;
use crate::store::StoreError;
use crate::store::ledger::{Facts, Key, Need, Untimed, here};

/// The local numbers of records that were loaded.
pub(super) type Numbers = HashMap<Key, i64>;

/// Keys as a JSON text of `[type, id]`, sorted as the table is.
fn json_of(keys: &BTreeSet<(i64, Uuid)>) -> String {
    let pairs: Vec<Value> = keys.iter().map(|(ordinal, id)| json!([ordinal, hex(id)])).collect();
    Value::Array(pairs).to_string()
}

fn json_of_saves(saves: &[SaveId]) -> String {
    let saves: Vec<String> = saves.iter().map(|save| hex(&Uuid::from_u128(save.0))).collect();
    json!(saves).to_string()
}

fn hex(id: &Uuid) -> String {
    data_encoding::HEXUPPER.encode(id.as_bytes())
}

pub(super) async fn supply(
    conn: &mut SqliteConnection,
    shared: &Shared,
    needs: Vec<Need>,
    facts: &mut Facts,
    numbers: &mut Numbers,
) -> Result<(), StoreError> {
    let mut records = BTreeSet::new();
    let mut named = BTreeSet::new();
    let mut waiting = BTreeSet::new();
    let mut entries = BTreeSet::new();
    let mut unsent = BTreeSet::new();
    let mut sent = Vec::new();
    let mut queued = Vec::new();
    let mut locals = Vec::new();
    let mut left = BTreeSet::new();
    let mut provisional = false;
    let mut gaps = Vec::new();
    {
        let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
        // a type that has no ordinal has no rows
        let find = |key: &Key| names.types.find(&key.0).map(|ordinal| (ordinal, key.1));
        for need in needs {
            match need {
                Need::Record(key) => {
                    records.extend(find(&key));
                    facts.records.entry(key).or_insert(None);
                }
                Need::Named(key) => {
                    named.extend(find(&key));
                    facts.named.entry(key).or_default();
                }
                Need::Waiting(key) => {
                    waiting.extend(find(&key));
                    facts.waiting.entry(key).or_default();
                }
                Need::Entries(key) => {
                    entries.insert((key.0.to_string(), key.1));
                    facts.entries.entry(key).or_default();
                }
                Need::Unsent(key) => {
                    unsent.extend(find(&key));
                    facts.unsent.entry(key).or_default();
                }
                Need::Sent(save) => {
                    sent.push(save);
                    facts.sent.entry(save).or_insert(None);
                }
                Need::Queued(save) => {
                    queued.push(save);
                    facts.queued.entry(save).or_insert(None);
                }
                Need::Local(kind, key) => locals.push((kind, key)),
                Need::Left(key) => {
                    left.extend(find(&key));
                    facts.left.entry(key).or_default();
                }
                Need::Provisional => provisional = true,
                Need::Gap(span) => match names.types.find(&span.0) {
                    Some(ordinal) => gaps.push((ordinal, span)),
                    None => drop(facts.gaps.insert(span, true)),
                },
            }
        }
    }
    if !records.is_empty() {
        load_records(conn, shared, &records, facts, numbers).await?;
    }
    if !named.is_empty() {
        load_named(conn, shared, &named, facts).await?;
    }
    if !waiting.is_empty() {
        load_waiting(conn, shared, &waiting, facts).await?;
    }
    if !entries.is_empty() {
        load_entries(conn, &entries, facts).await?;
    }
    if !unsent.is_empty() {
        load_unsent(conn, shared, &unsent, facts).await?;
    }
    if !sent.is_empty() {
        load_sent(conn, shared, &sent, facts).await?;
    }
    if !queued.is_empty() {
        load_queued(conn, &queued, facts).await?;
    }
    if !locals.is_empty() {
        load_locals(conn, locals, facts).await?;
    }
    if !left.is_empty() {
        load_left(conn, shared, &left, facts).await?;
    }
    for (ordinal, span) in gaps {
        let sql = "select not exists (select 1 from record where type = ? and id between ? and ?)";
        let found = sqlx::query(sql).bind(ordinal).bind(&span.1.as_bytes()[..]).bind(&span.2.as_bytes()[..]);
        let is_gap: bool = found.fetch_one(&mut *conn).await.map_err(failed)?.try_get(0).map_err(failed)?;
        facts.gaps.insert(span, is_gap);
    }
    if provisional {
        facts.provisional = Some(load_provisional(conn, shared).await?);
    }
    Ok(())
}

async fn load_records(
    conn: &mut SqliteConnection,
    shared: &Shared,
    keys: &BTreeSet<(i64, Uuid)>,
    facts: &mut Facts,
    numbers: &mut Numbers,
) -> Result<(), StoreError> {
    let sql = concat!(
        "select ",
        columns!(),
        " from (
           select r.*
           from json_each(?1) as k
           cross join record as r on r.type = k.value ->> 0 and r.id = unhex(k.value ->> 1)
         )",
    );
    let row = sqlx::query(sql).bind(json_of(keys)).fetch_one(conn).await.map_err(failed)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    for (number, held) in rows::records(&row, 0, &names)? {
        let key = (held.type_name.clone(), held.id);
        numbers.insert(key.clone(), number);
        facts.records.insert(key, Some(held));
    }
    Ok(())
}

async fn load_named(
    conn: &mut SqliteConnection,
    shared: &Shared,
    keys: &BTreeSet<(i64, Uuid)>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select r.type, r.id, h.path, h.seen_time, h.seen_author, h.seen_tag
         from json_each(?1) as k
         cross join record as r on r.type = k.value ->> 0 and r.id = unhex(k.value ->> 1)
         cross join history as h on h.record = r.number
         where h.seen_time is not null",
    );
    let found = found.bind(json_of(keys)).fetch_all(conn).await.map_err(failed)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    for row in found {
        let path: String = row.try_get(2).map_err(failed)?;
        let path: Path = serde_json::from_str(&path).map_err(|_| StoreError::Damaged(format!("path {path}")))?;
        let stamp = stamp_of(&row, 3, &names)?;
        facts.named.entry(key_of(&row, &names)?).or_default().insert((path, stamp));
    }
    Ok(())
}

async fn load_waiting(
    conn: &mut SqliteConnection,
    shared: &Shared,
    keys: &BTreeSet<(i64, Uuid)>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select w.type, w.id, w.body
         from json_each(?1) as k
         cross join waiting as w on w.type = k.value ->> 0 and w.id = unhex(k.value ->> 1)
         order by w.number",
    );
    let found = found.bind(json_of(keys)).fetch_all(conn).await.map_err(failed)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    for row in found {
        facts.waiting.entry(key_of(&row, &names)?).or_default().push(save_of(&row, 2)?);
    }
    Ok(())
}

async fn load_entries(
    conn: &mut SqliteConnection,
    keys: &BTreeSet<(String, Uuid)>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let pairs: Vec<Value> = keys.iter().map(|(type_name, id)| json!([type_name, id])).collect();
    let found = sqlx::query(
        "select k.value ->> 0, k.value ->> 1, r.id, r.doc ->> '$.state' = 'open' and r.flags & 1 = 0
         from json_each(?1) as k
         cross join record as r on r.doc ->> '$.record' = k.value ->> 1 and r.type = 1
         where r.doc ->> '$.type' = k.value ->> 0",
    );
    for row in found.bind(Value::Array(pairs).to_string()).fetch_all(conn).await.map_err(failed)? {
        let type_name: String = row.try_get(0).map_err(failed)?;
        let id: String = row.try_get(1).map_err(failed)?;
        let type_name: TypeName = type_name.parse().map_err(|_| StoreError::Damaged("type".into()))?;
        let id = Uuid::parse_str(&id).map_err(|_| StoreError::Damaged("id".into()))?;
        let open: Option<bool> = row.try_get(3).map_err(failed)?;
        facts.entries.entry((type_name, id)).or_default().insert(uuid_of(&row, 2)?, open.unwrap_or(false));
    }
    Ok(())
}

async fn load_unsent(
    conn: &mut SqliteConnection,
    shared: &Shared,
    keys: &BTreeSet<(i64, Uuid)>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select r.type, r.id, o.save
         from json_each(?1) as k
         cross join record as r on r.type = k.value ->> 0 and r.id = unhex(k.value ->> 1)
         cross join unsent as u on u.record = r.number
         cross join outbox as o on o.position = u.position",
    );
    let found = found.bind(json_of(keys)).fetch_all(conn).await.map_err(failed)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    for row in found {
        let save = SaveId(uuid_of(&row, 2)?.as_u128());
        facts.unsent.entry(key_of(&row, &names)?).or_default().insert(save);
    }
    Ok(())
}

async fn load_sent(
    conn: &mut SqliteConnection,
    shared: &Shared,
    saves: &[SaveId],
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select r.type, r.id, o.save
         from json_each(?1) as k
         cross join outbox as o on o.save = unhex(k.value)
         left join unsent as u on u.position = o.position
         left join record as r on r.number = u.record",
    );
    let found = found.bind(json_of_saves(saves)).fetch_all(conn).await.map_err(failed)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    let mut keys: BTreeMap<SaveId, Vec<Key>> = BTreeMap::new();
    for row in found {
        let of = keys.entry(SaveId(uuid_of(&row, 2)?.as_u128())).or_default();
        if row.try_get::<Option<i64>, _>(0).map_err(failed)?.is_some() {
            of.push(key_of(&row, &names)?);
        }
    }
    facts.sent.extend(keys.into_iter().map(|(save, keys)| (save, Some(keys))));
    Ok(())
}

async fn load_queued(conn: &mut SqliteConnection, saves: &[SaveId], facts: &mut Facts) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select o.body
         from json_each(?1) as k
         cross join outbox as o on o.save = unhex(k.value)",
    );
    for row in found.bind(json_of_saves(saves)).fetch_all(conn).await.map_err(failed)? {
        let save = save_of(&row, 0)?;
        facts.queued.insert(save.id, Some(save));
    }
    Ok(())
}

async fn load_locals(
    conn: &mut SqliteConnection,
    keys: Vec<(String, String)>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select l.kind, l.key, l.doc
         from json_each(?1) as k
         cross join local as l on l.kind = k.value ->> 0 and l.key = k.value ->> 1",
    );
    for row in found.bind(json!(keys).to_string()).fetch_all(conn).await.map_err(failed)? {
        let doc: String = row.try_get(2).map_err(failed)?;
        let value = serde_json::from_str(&doc).map_err(|_| StoreError::Damaged("local document".into()))?;
        facts.locals.insert((row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?), Some(value));
    }
    for key in keys {
        facts.locals.entry(key).or_insert(None);
    }
    Ok(())
}

async fn load_left(
    conn: &mut SqliteConnection,
    shared: &Shared,
    keys: &BTreeSet<(i64, Uuid)>,
    facts: &mut Facts,
) -> Result<(), StoreError> {
    let found = sqlx::query(
        "select m.type, m.id, m.partition
         from json_each(?1) as k
         cross join moved as m on m.type = k.value ->> 0 and m.id = unhex(k.value ->> 1)",
    );
    let found = found.bind(json_of(keys)).fetch_all(conn).await.map_err(failed)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    for row in found {
        let ordinal: i64 = row.try_get(2).map_err(failed)?;
        let partition = names.partitions.get(ordinal).ok_or_else(|| StoreError::Damaged("partition".into()))?;
        facts.left.entry(key_of(&row, &names)?).or_default().insert(partition.clone());
    }
    Ok(())
}

async fn load_provisional(conn: &mut SqliteConnection, shared: &Shared) -> Result<BTreeSet<Uuid>, StoreError> {
    let ordinal = shared.names.read().unwrap_or_else(PoisonError::into_inner).partitions.find(&here());
    let Some(ordinal) = ordinal else { return Ok(BTreeSet::new()) };
    let sql = "select id from record where partition = ?1";
    let found = sqlx::query(sql).bind(ordinal).fetch_all(conn).await.map_err(failed)?;
    found.iter().map(|row| uuid_of(row, 0)).collect()
}

pub(super) fn key_of(row: &SqliteRow, names: &Names) -> Result<Key, StoreError> {
    let ordinal: i64 = row.try_get(0).map_err(failed)?;
    let type_name = names.types.get(ordinal).ok_or_else(|| StoreError::Damaged(format!("type {ordinal}")))?;
    Ok((type_name.clone(), uuid_of(row, 1)?))
}

pub(super) fn uuid_of(row: &SqliteRow, at: usize) -> Result<Uuid, StoreError> {
    let bytes: &[u8] = row.try_get(at).map_err(failed)?;
    Uuid::from_slice(bytes).map_err(|_| StoreError::Damaged("id".into()))
}

pub(super) fn stamp_of(row: &SqliteRow, first: usize, names: &Names) -> Result<Stamp, StoreError> {
    let number = |at: usize| row.try_get::<i64, _>(at).map_err(failed);
    stamp(number(first)?, number(first + 1)?, number(first + 2)?, names)
}

pub(super) fn stamp(time: i64, author: i64, tag: i64, names: &Names) -> Result<Stamp, StoreError> {
    let known = usize::try_from(author).ok().and_then(|at| names.dictionary.authors().get(at));
    let author = *known.ok_or_else(|| StoreError::Damaged(format!("author {author}")))?;
    Ok(Stamp { time: Hlc(time), author, tag: tag as u32 })
}

pub(super) fn save_of(row: &SqliteRow, at: usize) -> Result<Save, StoreError> {
    let bytes: &[u8] = row.try_get(at).map_err(failed)?;
    ciborium::from_reader(bytes).map_err(|err| StoreError::Damaged(format!("save: {err}")))
}

/// All of the outbox whose time is not checked, in order.
pub(super) async fn untimed(conn: &mut SqliteConnection) -> Result<Vec<Untimed>, StoreError> {
    let sql = "select body, unchecked from outbox where unchecked is not null order by position";
    let found = sqlx::query(sql).fetch_all(conn).await.map_err(failed)?;
    let untimed = found.iter().map(|row| {
        let unchecked: &[u8] = row.try_get(1).map_err(failed)?;
        let unchecked =
            ciborium::from_reader(unchecked).map_err(|err| StoreError::Damaged(format!("unchecked save: {err}")))?;
        Ok(Untimed { save: save_of(row, 0)?, unchecked })
    });
    untimed.collect()
}
