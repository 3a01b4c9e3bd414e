//! Records as they lie in the table. Many are read as one row, since each row that crosses from the connection's thread
//! costs as much as reading a record.

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::failed;
use super::setup::Names;
use crate::domain::ids::{Partition, TypeName};
use crate::domain::record::pack::unpack;
use crate::domain::record::{Document, State};
use crate::store::list::Candidate;
use crate::store::{Flags, Held, Listed, StoreError};

/// What to select from a table or a subquery with the columns of `record` to get [`lines`]. A document is one line, as
/// we write it.
macro_rules! columns {
    () => {
        "group_concat(number || ',' || type || ',' || hex(id) || ',' || partition || ',' || seq || ',' || flags || ',' || hex(stamps), ';'),
         group_concat(doc, char(10))"
    };
}
pub(super) use columns;

/// A record as it came, not decoded yet.
pub(super) struct Line<'a> {
    /// Of this database.
    pub number: i64,
    type_name: &'a TypeName,
    id: Uuid,
    partition: &'a Partition,
    seq: u64,
    flags: Flags,
    stamps: Vec<u8>,
    document: &'a str,
}

/// The records of one such row, in its order. `first` is the place of the first of the columns.
pub(super) fn lines<'a>(row: &'a SqliteRow, first: usize, names: &'a Names) -> Result<Vec<Line<'a>>, StoreError> {
    let heads: Option<&str> = row.try_get(first).map_err(failed)?;
    let docs: Option<&str> = row.try_get(first + 1).map_err(failed)?;
    let (Some(heads), Some(docs)) = (heads, docs) else { return Ok(Vec::new()) };
    heads.split(';').zip(docs.split('\n')).map(|(head, doc)| line(head, doc, names)).collect()
}

fn line<'a>(head: &str, document: &'a str, names: &'a Names) -> Result<Line<'a>, StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("{what} in {head}"));
    let mut parts = head.split(',');
    let mut text = || parts.next().ok_or_else(|| StoreError::Damaged(head.to_owned()));
    let (number, type_name, id, partition) = (text()?, text()?, text()?, text()?);
    let (seq, flags, stamps) = (text()?, text()?, text()?);
    let integer = |text: &str| text.parse::<i64>().map_err(|_| damaged("number"));
    let bytes = |text: &str| data_encoding::HEXUPPER.decode(text.as_bytes()).map_err(|_| damaged("bytes"));
    Ok(Line {
        number: integer(number)?,
        type_name: names.types.get(integer(type_name)?).ok_or_else(|| damaged("type"))?,
        id: Uuid::from_slice(&bytes(id)?).map_err(|_| damaged("id"))?,
        partition: names.partitions.get(integer(partition)?).ok_or_else(|| damaged("partition"))?,
        seq: integer(seq)? as u64,
        flags: Flags(integer(flags)? as u8),
        stamps: bytes(stamps)?,
        document,
    })
}

impl Line<'_> {
    pub fn held(&self, names: &Names) -> Result<Held, StoreError> {
        let value = serde_json::from_str(self.document);
        let value: Value = value.map_err(|_| StoreError::Damaged(format!("document of {}", self.id)))?;
        let state = self.state(value.clone(), names)?;
        Ok(Held {
            type_name: self.type_name.clone(),
            id: self.id,
            partition: self.partition.clone(),
            document: if state.has_groups() { state.document() } else { Document::new(value) },
            state,
            seq: self.seq,
            flags: self.flags,
        })
    }

    pub fn listed(&self, names: &Names) -> Result<Listed, StoreError> {
        // who wrote it last, and with which publication, does not depend on what was written
        let state = self.state(Value::Null, names)?;
        Ok(Listed {
            type_name: self.type_name.clone(),
            id: self.id,
            seq: self.seq,
            flags: self.flags,
            revision: state.revision(),
            latest: state.latest(),
            document: self.document.to_owned(),
        })
    }

    fn state(&self, document: Value, names: &Names) -> Result<State, StoreError> {
        let state = unpack(&self.stamps, self.seq, Some(document), &names.dictionary);
        state.map_err(|err| StoreError::Damaged(format!("{}: {err}", self.id)))
    }
}

/// What a row is decoded to.
pub(super) trait Decoded: Candidate + Sized {
    fn of(line: &Line, names: &Names) -> Result<Self, StoreError>;
}

impl Decoded for Held {
    fn of(line: &Line, names: &Names) -> Result<Self, StoreError> {
        line.held(names)
    }
}

impl Decoded for Listed {
    fn of(line: &Line, names: &Names) -> Result<Self, StoreError> {
        line.listed(names)
    }
}

/// The records of a row with [`columns`], with their local numbers.
pub(super) fn records(row: &SqliteRow, first: usize, names: &Names) -> Result<Vec<(i64, Held)>, StoreError> {
    lines(row, first, names)?.iter().map(|line| Ok((line.number, line.held(names)?))).collect()
}
