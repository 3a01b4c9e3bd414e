//! Records as they lie in the table. Many are read as one row, since each row that crosses from the connection's thread
//! costs as much as reading a record.

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::failed;
use super::setup::Names;
use crate::domain::record::Document;
use crate::domain::record::pack::unpack;
use crate::store::{Flags, Held, StoreError};

/// What to select from a table or a subquery with the columns of `record` to get [`records`]. A document is one line, as
/// we write it.
macro_rules! columns {
    () => {
        "group_concat(number || ',' || type || ',' || hex(id) || ',' || partition || ',' || seq || ',' || flags || ',' || hex(stamps), ';'),
         group_concat(doc, char(10))"
    };
}
pub(super) use columns;

/// The records of one such row, in its order, with their local numbers. `first` is the place of the first of the columns.
pub(super) fn records(row: &SqliteRow, first: usize, names: &Names) -> Result<Vec<(i64, Held)>, StoreError> {
    let heads: Option<&str> = row.try_get(first).map_err(failed)?;
    let docs: Option<&str> = row.try_get(first + 1).map_err(failed)?;
    let (Some(heads), Some(docs)) = (heads, docs) else { return Ok(Vec::new()) };
    heads.split(';').zip(docs.split('\n')).map(|(head, doc)| record(head, doc, names)).collect()
}

fn record(head: &str, doc: &str, names: &Names) -> Result<(i64, Held), StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("{what} in {head}"));
    let mut parts = head.split(',');
    let mut text = || parts.next().ok_or_else(|| StoreError::Damaged(head.to_owned()));
    let (number, type_name, id, partition) = (text()?, text()?, text()?, text()?);
    let (seq, flags, stamps) = (text()?, text()?, text()?);
    let integer = |text: &str| text.parse::<i64>().map_err(|_| damaged("number"));
    let bytes = |text: &str| data_encoding::HEXUPPER.decode(text.as_bytes()).map_err(|_| damaged("bytes"));
    let id = Uuid::from_slice(&bytes(id)?).map_err(|_| damaged("id"))?;
    let value: Value = serde_json::from_str(doc).map_err(|_| damaged("document"))?;
    let seq = integer(seq)? as u64;
    let state = unpack(&bytes(stamps)?, seq, Some(value.clone()), &names.dictionary);
    let state = state.map_err(|err| StoreError::Damaged(format!("{id}: {err}")))?;
    let held = Held {
        type_name: names.types.get(integer(type_name)?).ok_or_else(|| damaged("type"))?.clone(),
        id,
        partition: names.partitions.get(integer(partition)?).ok_or_else(|| damaged("partition"))?.clone(),
        document: if state.has_groups() { state.document() } else { Document::new(value) },
        state,
        seq,
        flags: Flags(integer(flags)? as u8),
    };
    Ok((integer(number)?, held))
}
