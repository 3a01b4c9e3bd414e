//! Reading: each method one statement, so one moment.

use std::collections::{BTreeMap, HashSet};
use std::sync::{PoisonError, RwLockReadGuard};

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::load::{save_of, stamp, stamp_of};
use super::persist::act_of;
use super::rows::{self, columns};
use super::setup::{Names, digest_of};
use super::{Sqlite, failed};
use crate::domain::ids::{Partition, RecordId, SaveId, TypeName};
use crate::domain::record::pack::{Values, pack};
use crate::domain::scope::Named;
use crate::domain::stamp::Stamp;
use crate::store::ledger::{CURSOR, here};
use crate::store::{
    Changes, Digest, Flags, Held, HistoryLine, Moved, PartitionState, Row as Sent, StoreError, Tally, Unsent,
};

/// At most so many rows in one page of changes.
const PAGE: i64 = 5_000;

impl Sqlite {
    pub(super) fn names(&self) -> RwLockReadGuard<'_, Names> {
        // a panic elsewhere cannot have left them half written: they are only added to
        self.shared.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn read_record(&self, type_name: &TypeName, id: RecordId) -> Result<Option<Held>, StoreError> {
        let Some(ordinal) = self.names().types.find(type_name) else { return Ok(None) };
        let sql = concat!("select ", columns!(), " from record where type = ?1 and id = ?2 and facet = 0");
        let query = sqlx::query(sql).bind(ordinal).bind(id.as_bytes().to_vec());
        let row = query.fetch_one(&self.readers).await.map_err(failed)?;
        Ok(rows::records(&row, 0, &self.names())?.pop().map(|(_, held)| held))
    }

    pub(super) async fn read_tallies(&self) -> Result<Vec<Tally>, StoreError> {
        let found = sqlx::query(
            "select t.name,
               sum(case when a.flags & 1 = 0 then a.records else 0 end),
               sum(case when a.flags & 1 = 1 then a.records else 0 end),
               sum(case when a.flags & 6 <> 0 then a.records else 0 end)
             from tally as a
             join type as t on t.ordinal = a.type
             group by t.name
             having sum(a.records) > 0
             order by t.name",
        );
        let found = found.fetch_all(&self.readers).await.map_err(failed)?;
        let tally = |row: &sqlx::sqlite::SqliteRow| {
            let name: String = row.try_get(0).map_err(failed)?;
            let count = |at: usize| row.try_get::<i64, _>(at).map(|count| count as u64).map_err(failed);
            Ok(Tally {
                type_name: name.parse().map_err(|_| StoreError::Damaged(format!("type {name:?}")))?,
                living: count(1)?,
                binned: count(2)?,
                flagged: count(3)?,
            })
        };
        found.iter().map(tally).collect()
    }

    pub(super) async fn read_flagged(
        &self,
        flags: Flags,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Held>, StoreError> {
        const MANY: &str = concat!(
            "select ",
            columns!(),
            " from (select * from record where flags & ?1 <> 0 and seq < ?3 order by seq desc limit ?2)"
        );
        const FEW: &str = concat!(
            "select ",
            columns!(),
            " from (select * from record where flags > 1 and flags & ?1 <> 0 and seq < ?3 order by seq desc limit ?2)"
        );
        let sql = if flags.has(Flags::BINNED) { MANY } else { FEW };
        let most = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let query = sqlx::query(sql).bind(i64::from(flags.0)).bind(most(limit as u64));
        let query = query.bind(before.map_or(i64::MAX, most));
        let row = query.fetch_one(&self.readers).await.map_err(failed)?;
        Ok(rows::records(&row, 0, &self.names())?.into_iter().map(|(_, held)| held).collect())
    }

    pub(super) async fn read_history(&self, type_name: &TypeName, id: Uuid) -> Result<Vec<HistoryLine>, StoreError> {
        let Some(ordinal) = self.names().types.find(type_name) else { return Ok(Vec::new()) };
        let found = sqlx::query(
            "select h.seq, h.time, h.author, h.tag, h.path, h.act, h.old, h.new, h.seen_at, h.seen_time, h.seen_author, h.seen_tag
             from record as r
             join history as h on h.record = r.number
             where r.type = ?1 and r.id = ?2 and r.facet = 0 and h.act is not null
             order by h.number desc",
        );
        let found = found.bind(ordinal).bind(id.as_bytes().to_vec()).fetch_all(&self.readers).await.map_err(failed)?;
        let names = self.names();
        let line = |row: &sqlx::sqlite::SqliteRow| {
            let path: String = row.try_get(4).map_err(failed)?;
            let value = |at: usize| -> Result<Option<Value>, StoreError> {
                let text: Option<String> = row.try_get(at).map_err(failed)?;
                let parsed = text.map(|text| serde_json::from_str(&text)).transpose();
                parsed.map_err(|_| StoreError::Damaged("history".into()))
            };
            Ok(HistoryLine {
                seq: row.try_get::<i64, _>(0).map_err(failed)? as u64,
                stamp: stamp_of(row, 1, &names)?,
                path: serde_json::from_str(&path).map_err(|_| StoreError::Damaged(format!("path {path}")))?,
                act: act_of(row.try_get(5).map_err(failed)?)?,
                old: value(6)?,
                new: value(7)?,
                replaced: match row.try_get::<Option<i64>, _>(9).map_err(failed)? {
                    Some(_) => stamp_of(row, 9, &names)?,
                    None => Stamp::NEVER,
                },
                seen_at: row.try_get(8).map_err(failed)?,
            })
        };
        found.iter().map(line).collect()
    }

    pub(super) async fn read_changes(
        &self,
        partition: &Partition,
        base: u64,
        after: u64,
        max_bytes: usize,
    ) -> Result<Changes, StoreError> {
        let Some(ordinal) = self.names().partitions.find(partition) else { return Ok(Changes::default()) };
        let sql = concat!(
            "with size as (
               select seq, octet_length(doc) + octet_length(stamps) as bytes
               from record
               where partition = ?1 and seq > ?2
               order by seq
               limit ?4
             ),
             sum as (
               select seq, sum(bytes) over (order by seq) - bytes as before
               from size
             ),
             bound as (
               select max(seq) as last
               from sum
               where before < ?3
             )
             select ",
            columns!(),
            ",
               (select max(seq) from record where partition = ?1),
               (select head from partition where ordinal = ?1),
               (select digest from partition where ordinal = ?1),
               (
                 select group_concat(type || ',' || hex(id) || ',' || seq || ',' || time || ',' || author || ',' || tag, ';')
                 from (select * from moved where partition = ?1 and seq > ?2 order by seq)
               )
             from (
               select *
               from record
               where partition = ?1 and seq > ?2 and seq <= (select last from bound)
               order by seq
             )"
        );
        let limit = i64::try_from(max_bytes).unwrap_or(i64::MAX).max(1);
        let query = sqlx::query(sql).bind(ordinal).bind(after as i64).bind(limit).bind(PAGE);
        let row = query.fetch_one(&self.readers).await.map_err(failed)?;
        let mut changes = Changes::default();
        let names = self.names();
        for (_, held) in rows::records(&row, 0, &names)? {
            let state = pack(&held.state.since(base), held.seq, Values::Inline, &mut changes.dictionary);
            changes.rows.push(Sent { type_name: held.type_name, id: held.id, seq: held.seq, state });
        }
        let newest: Option<i64> = row.try_get(2).map_err(failed)?;
        let last = changes.rows.last().map(|row| row.seq);
        changes.next = last.filter(|last| newest.is_some_and(|newest| newest as u64 > *last));
        changes.head = row.try_get::<Option<i64>, _>(3).map_err(failed)?.unwrap_or_default() as u64;
        let digest: Option<&[u8]> = row.try_get(4).map_err(failed)?;
        changes.digest = digest.map(digest_of).transpose()?.unwrap_or_default();
        let moved: Option<&str> = row.try_get(5).map_err(failed)?;
        let up_to = changes.next.unwrap_or(u64::MAX);
        for text in moved.into_iter().flat_map(|moved| moved.split(';')) {
            let moved = moved_of(text, &names).ok_or_else(|| StoreError::Damaged(format!("move {text}")))?;
            if moved.seq <= up_to {
                changes.moved.push(moved);
            }
        }
        Ok(changes)
    }

    pub(super) async fn read_outbox(&self, after: Option<SaveId>, max_bytes: usize) -> Result<Vec<Unsent>, StoreError> {
        let found = sqlx::query(
            "with size as (
               select position, octet_length(body) as bytes
               from outbox
               where position > coalesce((select position from outbox where save = ?3), -1)
               order by position
               limit ?2
             ),
             sum as (
               select position, bytes, sum(bytes) over (order by position) as up_to
               from size
             )
             select o.body, o.unchecked is null
             from sum as s
             join outbox as o on o.position = s.position
             where s.up_to <= ?1 or s.up_to = s.bytes
             order by o.position",
        );
        let limit = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        let after = after.map(|after| after.0.to_be_bytes().to_vec());
        let found = found.bind(limit).bind(PAGE).bind(after).fetch_all(&self.readers).await.map_err(failed)?;
        let unsent = |row| Ok(Unsent { save: save_of(row, 0)?, checked: row.try_get(1).map_err(failed)? });
        found.iter().map(unsent).collect()
    }

    pub(super) async fn count_outbox(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("select count(*) from outbox").fetch_one(&self.readers).await.map_err(failed)?;
        Ok(row.try_get::<i64, _>(0).map_err(failed)? as u64)
    }

    pub(super) async fn read_unsent(
        &self,
        of: &[(TypeName, RecordId)],
    ) -> Result<HashSet<(TypeName, RecordId)>, StoreError> {
        let keys: Vec<_> = {
            let names = self.names();
            let key = |(name, id): &(TypeName, RecordId)| Some((names.types.find(name)?, id.simple().to_string()));
            of.iter().filter_map(key).collect()
        };
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let found = sqlx::query(
            "select r.type, r.id
             from json_each(?1) as k
             cross join record as r on r.type = k.value ->> 0 and r.id = unhex(k.value ->> 1) and r.facet = 0
             where exists (select 1 from unsent as u where u.record = r.number)",
        );
        let keys = serde_json::to_string(&keys).map_err(|err| StoreError::Damaged(err.to_string()))?;
        let found = found.bind(keys).fetch_all(&self.readers).await.map_err(failed)?;
        let names = self.names();
        let key = |row: &SqliteRow| {
            let ordinal = row.try_get(0).map_err(failed)?;
            let id: Vec<u8> = row.try_get(1).map_err(failed)?;
            let damaged = || StoreError::Damaged("the key of an unsent record".into());
            let name = names.types.get(ordinal).ok_or_else(damaged)?.clone();
            Ok((name, RecordId::from_slice(&id).map_err(|_| damaged())?))
        };
        found.iter().map(key).collect()
    }

    pub(super) async fn read_partitions(&self) -> Result<Vec<PartitionState>, StoreError> {
        let found = sqlx::query(
            "select p.name, p.head, p.records, p.digest, l.doc
             from partition as p
             left join local as l on l.kind = ?1 and l.key = p.name
             where p.name <> ?2
             order by p.name",
        );
        let found = found.bind(CURSOR).bind(here().0).fetch_all(&self.readers).await.map_err(failed)?;
        found.iter().map(partition_state).collect()
    }

    /// The partitions that records left, with the lowest number of that.
    pub(super) async fn read_removals(&self) -> Result<Vec<(Partition, u64)>, StoreError> {
        let found = sqlx::query(
            "select p.name, (select min(m.seq) from moved as m where m.partition = p.ordinal) as oldest
             from partition as p
             where oldest is not null
             order by p.name",
        );
        let found = found.fetch_all(&self.readers).await.map_err(failed)?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok((Partition(row.try_get(0).map_err(failed)?), row.try_get::<i64, _>(1).map_err(failed)? as u64))
        };
        found.iter().map(read).collect()
    }

    /// As [`Self::read_partitions`]; found by their names, not among all.
    pub(super) async fn read_partitions_of(&self, named: &Named<'_>) -> Result<Vec<PartitionState>, StoreError> {
        let found = sqlx::query(
            "with wanted(name) as (
               select value
               from json_each(?2)
               union
               select w.value
               from json_each(?3) as w
               union
               select p.name
               from json_each(?3) as w
               cross join partition as p on p.name >= w.value || '=' and p.name < w.value || '>'
             )
             select p.name, p.head, p.records, p.digest, l.doc
             from wanted as w
             cross join partition as p on p.name = w.name
             left join local as l on l.kind = ?1 and l.key = p.name
             order by p.name",
        );
        let [partitions, whole] = [json!(named.partitions), json!(named.whole)].map(|names| names.to_string());
        let found = found.bind(CURSOR).bind(partitions).bind(whole);
        found.fetch_all(&self.readers).await.map_err(failed)?.iter().map(partition_state).collect()
    }

    pub(super) async fn read_locals(&self, kind: &str, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        // nothing that begins so comes after the prefix with the last of all characters
        let sql =
            "select key, doc from local where kind = ?1 and key >= ?2 and key <= ?2 || char(0x10ffff) order by key";
        let found = sqlx::query(sql)
            .bind(kind.to_owned())
            .bind(prefix.to_owned())
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        let pair = |row: &sqlx::sqlite::SqliteRow| {
            Ok((row.try_get(0).map_err(failed)?, local_of(row.try_get(1).map_err(failed)?)?))
        };
        found.iter().map(pair).collect()
    }

    pub(super) async fn read_local(&self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        let sql = "select doc from local where kind = ?1 and key = ?2";
        let query = sqlx::query(sql).bind(kind.to_owned()).bind(key.to_owned());
        let row = query.fetch_optional(&self.readers).await.map_err(failed)?;
        row.map(|row| local_of(row.try_get(0).map_err(failed)?)).transpose()
    }

    pub(super) async fn recompute(&self) -> Result<Vec<(Partition, Digest)>, StoreError> {
        const SQL: &str =
            concat!("select ", columns!(), " from (select * from record where number > ?1 order by number limit 1000)");
        let mut digests: BTreeMap<Partition, Digest> = BTreeMap::new();
        // one transaction, so one moment
        let mut reader = self.readers.begin().await.map_err(failed)?;
        let mut after = 0i64;
        loop {
            let row = sqlx::query(SQL).bind(after).fetch_one(&mut *reader).await.map_err(failed)?;
            let found = rows::records(&row, 0, &self.names())?;
            let Some((last, _)) = found.last() else { break };
            after = *last;
            for (_, held) in found.iter().filter(|(_, held)| held.partition != here()) {
                let digest = digests.entry(held.partition.clone()).or_default();
                *digest = digest.plus(held.hash());
            }
        }
        Ok(digests.into_iter().collect())
    }
}

fn partition_state(row: &sqlx::sqlite::SqliteRow) -> Result<PartitionState, StoreError> {
    let cursor: Option<&str> = row.try_get(4).map_err(failed)?;
    Ok(PartitionState {
        partition: Partition(row.try_get(0).map_err(failed)?),
        head: row.try_get::<i64, _>(1).map_err(failed)? as u64,
        records: row.try_get::<i64, _>(2).map_err(failed)? as u64,
        digest: digest_of(row.try_get(3).map_err(failed)?)?,
        cursor: cursor.and_then(|text| serde_json::from_str(text).ok()),
    })
}

fn local_of(text: &str) -> Result<Value, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Damaged("local document".into()))
}

fn moved_of(text: &str, names: &Names) -> Option<Moved> {
    let mut parts = text.split(',');
    let mut next = || parts.next();
    let type_name = names.types.get(next()?.parse().ok()?)?.clone();
    let id = data_encoding::HEXUPPER.decode(next()?.as_bytes()).ok()?;
    let seq = next()?.parse().ok()?;
    let (time, author, tag) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    Some(Moved { type_name, id: Uuid::from_slice(&id).ok()?, seq, stamp: stamp(time, author, tag, names).ok()? })
}
