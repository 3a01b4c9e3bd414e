//! All of a partition in the order of type and id, of one moment, a few records at a time.

use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::rows::{self, columns};
use super::setup::digest_of;
use super::{Sqlite, failed};
use crate::domain::ids::Partition;
use crate::store::{PartitionState, StoreError, Visit};

/// So many records at once.
const BATCH: usize = 500;

impl Sqlite {
    pub(super) async fn walk_through(
        &self,
        partition: &Partition,
        visit: &mut Visit<'_>,
    ) -> Result<PartitionState, StoreError> {
        // one transaction, so one moment; it holds up no writer
        let mut reader = self.readers.begin().await.map_err(failed)?;
        let ordinal = self.names().partitions.find(partition);
        let Some(ordinal) = ordinal else {
            return Ok(PartitionState {
                partition: partition.clone(),
                head: 0,
                records: 0,
                digest: Default::default(),
                cursor: None,
            });
        };
        let state = state(&mut reader, partition, ordinal).await?;
        for numbers in numbers(&mut reader, ordinal).await?.chunks(BATCH) {
            let row = batch(&mut reader, numbers).await?;
            let held = rows::records(&row, 0, &self.names())?;
            held.into_iter().try_for_each(|(_, held)| visit(held))?;
        }
        Ok(state)
    }
}

/// Where a partition stands.
pub(super) async fn state(
    conn: &mut SqliteConnection,
    partition: &Partition,
    ordinal: i64,
) -> Result<PartitionState, StoreError> {
    let sql = "select head, records, digest from partition where ordinal = ?1";
    let row = sqlx::query(sql).bind(ordinal).fetch_optional(conn).await.map_err(failed)?;
    let number = |at: usize| -> Result<u64, StoreError> {
        let number = row.as_ref().map(|row| row.try_get::<i64, _>(at).map_err(failed)).transpose()?;
        Ok(number.unwrap_or_default() as u64)
    };
    let digest = row.as_ref().map(|row| digest_of(row.try_get(2).map_err(failed)?)).transpose()?;
    Ok(PartitionState {
        partition: partition.clone(),
        head: number(0)?,
        records: number(1)?,
        digest: digest.unwrap_or_default(),
        cursor: None,
    })
}

/// The local numbers of a partition's records, in the order of type and id: some bytes for each, which is all that is held
/// of the whole.
pub(super) async fn numbers(conn: &mut SqliteConnection, ordinal: i64) -> Result<Vec<i64>, StoreError> {
    let sql = "select group_concat(number, ',')
       from (
         select r.number
         from record as r
         join type as t on t.ordinal = r.type
         where r.partition = ?1
         order by t.name, r.id, r.facet
       )";
    let row = sqlx::query(sql).bind(ordinal).fetch_one(conn).await.map_err(failed)?;
    let text: Option<&str> = row.try_get(0).map_err(failed)?;
    let numbers = text.into_iter().flat_map(|text| text.split(',')).map(str::parse);
    numbers.collect::<Result<_, _>>().map_err(|_| StoreError::Damaged("record number".into()))
}

/// These records, in this order, for [`rows::lines`].
pub(super) async fn batch(conn: &mut SqliteConnection, numbers: &[i64]) -> Result<sqlx::sqlite::SqliteRow, StoreError> {
    const SQL: &str = concat!(
        "select ",
        columns!(),
        " from (
           select r.*
           from json_each(?1) as k
           cross join record as r on r.number = k.value
         )",
    );
    sqlx::query(SQL).bind(json!(numbers).to_string()).fetch_one(conn).await.map_err(failed)
}
