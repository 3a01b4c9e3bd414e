//! Reading a part of a partition in the order of its records.

use sqlx::Row;
use uuid::Uuid;

use super::rows::{self, columns};
use super::{Sqlite, failed};
use crate::domain::ids::{Partition, TypeName};
use crate::domain::reconcile::{Hashed, Mark};
use crate::store::{Digest, StoreError};

/// A partition of no more records than this is read whole and sorted; of a larger one, the records of its type are read
/// in their order.
const SMALL: i64 = 8_192;

impl Sqlite {
    pub(super) async fn read_hashes(
        &self,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError> {
        const SIZE: &str = "select records from partition where ordinal = ?1";
        const SMALL_ONE: &str = concat!(
            "select ",
            columns!(),
            " from (
               select r.*
               from record as r
               join type as t on t.ordinal = r.type
               where r.partition = ?1
                 and (t.name > ?2 or t.name = ?2 and r.id >= ?3)
                 and (?4 is null or t.name < ?4 or t.name = ?4 and r.id < ?5)
               order by t.name, r.id
               limit ?6
             )"
        );
        let Some(ordinal) = self.names().partitions.find(partition) else { return Ok(Vec::new()) };
        let size = sqlx::query(SIZE).bind(ordinal).fetch_optional(&self.readers).await.map_err(failed)?;
        let size: i64 = size.map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
        if size > SMALL {
            return self.read_large(ordinal, partition, from, to, limit).await;
        }
        let from_name = from.map_or("", |from| from.type_name.as_str()).to_owned();
        let from_id = from.map_or(Uuid::nil(), |from| from.id).as_bytes().to_vec();
        let query = sqlx::query(SMALL_ONE).bind(ordinal).bind(from_name).bind(from_id);
        let query = query.bind(to.map(|to| to.type_name.to_string())).bind(to.map(|to| to.id.as_bytes().to_vec()));
        let row = query.bind(limit as i64).fetch_one(&self.readers).await.map_err(failed)?;
        hashed(&row, self)
    }

    async fn read_large(
        &self,
        ordinal: i64,
        partition: &Partition,
        from: Option<&Mark>,
        to: Option<&Mark>,
        limit: usize,
    ) -> Result<Vec<Hashed>, StoreError> {
        // the order within a type is that of an index; the one by partition would have to be sorted
        const SQL: &str = concat!(
            "select ",
            columns!(),
            " from (
               select *
               from record
               where type = ?2 and id >= ?3 and (?4 is null or id < ?4) and facet = 0 and +partition = ?1
               order by id
               limit ?5
             )"
        );
        let types = {
            let names = self.names();
            let mut types: Vec<TypeName> = names.types.all().to_vec();
            types.retain(|name| name.is_built_in() || name.as_str() == partition.type_name());
            types.sort();
            types.into_iter().filter_map(|name| Some((names.types.find(&name)?, name))).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        for (type_ordinal, name) in types {
            let is_before = from.is_some_and(|from| name < from.type_name);
            if found.len() >= limit || is_before || to.is_some_and(|to| name > to.type_name) {
                continue;
            }
            let first = from.filter(|from| from.type_name == name).map_or(Uuid::nil(), |from| from.id);
            let end = to.filter(|to| to.type_name == name).map(|to| to.id.as_bytes().to_vec());
            let query = sqlx::query(SQL).bind(ordinal).bind(type_ordinal).bind(first.as_bytes().to_vec()).bind(end);
            let row = query.bind((limit - found.len()) as i64).fetch_one(&self.readers).await.map_err(failed)?;
            found.extend(hashed(&row, self)?);
        }
        Ok(found)
    }
}

fn hashed(row: &sqlx::sqlite::SqliteRow, store: &Sqlite) -> Result<Vec<Hashed>, StoreError> {
    let held = rows::records(row, 0, &store.names())?;
    Ok(held
        .into_iter()
        .map(|(_, held)| Hashed { hash: Digest(held.hash().0), mark: Mark { type_name: held.type_name, id: held.id } })
        .collect())
}
