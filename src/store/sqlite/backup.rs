//! All of a database at one moment, into a backup, beside whoever writes to it.
//!
//! Records go as the chunks of their partition, with what only this database knows of them in a table beside; every other
//! table goes row by row, whatever it is, so that what is added to the schema later is in the backup without a word here.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column, Row, TypeInfo, ValueRef};

use super::rows;
use super::setup::{self, Names};
use super::{failed, walk};
use crate::domain::feed::Digest;
use crate::domain::ids::Partition;
use crate::domain::snapshot::{Content, Cutter, Manifest};
use crate::store::StoreError;
use crate::store::archive::{Cell, Index, Part, Rows, Table, Writer, weight};
use crate::store::blob::BlobFiles;

/// So many records, or rows, at once.
const BATCH: usize = 500;
/// What a record is made of is in the chunks.
const IN_CHUNKS: [&str; 2] = ["stamps", "doc"];
/// Made anew when somebody looks at a list.
const DERIVED: [&str; 1] = ["list_index"];
/// The table of what is in the chunks.
pub(super) const RECORDS: &str = "record";

/// What a backup turned out to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub index: Index,
    pub bytes: u64,
    /// Partitions whose digest in the database is not that of their records.
    pub differing: Vec<Partition>,
    /// Records that could not be read, and are kept as they stand.
    pub unreadable: u64,
}

fn unwritten(err: std::io::Error) -> StoreError {
    match err.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::ReadOnly(err.to_string()),
    }
}

/// Writes a backup of the database at `path`, and of the files that are here when all of that is read: what a record of it
/// refers to was here before, or is not here at all. `told` hears how many records are in, and of how many.
pub async fn back_up(
    path: &Path,
    files: &BlobFiles,
    mut writer: Writer,
    made_at: i64,
    told: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Made, StoreError> {
    let mut conn = setup::reader(path).await?;
    let schema = setup::migrated(&mut conn).await?;
    if schema < setup::migrations() {
        return Err(StoreError::Older);
    }
    // from the first thing that is read to the last it is one moment
    sqlx::query("begin").execute(&mut conn).await.map_err(failed)?;
    let identity = identity(&mut conn).await?;
    let (names, _) = setup::load(&mut conn).await?;
    let total = total(&mut conn).await?;
    let mut taking = Taking { conn, names, done: 0, total, unreadable: Vec::new(), unreadable_columns: Vec::new() };
    let mut tables = Vec::new();
    for name in table_names(&mut taking.conn).await? {
        if name != RECORDS && !DERIVED.contains(&name.as_str()) {
            tables.push(taking.table(&name, &mut writer).await?);
        }
    }
    let mut partitions = Vec::new();
    let mut differing = Vec::new();
    let all: Vec<Partition> = taking.names.partitions.all().to_vec();
    for (partition, ordinal) in all.into_iter().zip(1..) {
        let kept = walk::state(&mut taking.conn, &partition, ordinal).await?;
        let part = taking.partition(&partition, ordinal, kept.head, &mut writer, told).await?;
        if part.manifest.digest != kept.digest {
            differing.push(partition);
        }
        partitions.push(Part { manifest: Manifest { epoch: identity.epoch, ..part.manifest }, ..part });
    }
    let unreadable = taking.unreadable.len() as u64;
    let mut as_they_are = Vec::new();
    if unreadable > 0 {
        let rows = Rows { columns: taking.unreadable_columns, rows: taking.unreadable };
        as_they_are.push(writer.rows(rows).map_err(unwritten)?);
    }
    let index = Index {
        version: env!("CARGO_PKG_VERSION").into(),
        made_at,
        node: identity.node,
        name: identity.name,
        role: identity.role,
        schema: schema as u32,
        tables,
        partitions,
        unreadable: as_they_are,
        files: writer.files(files).map_err(unwritten)?,
    };
    let bytes = writer.finish(&index).map_err(unwritten)?;
    Ok(Made { index, bytes, differing, unreadable })
}

struct Whose {
    node: String,
    name: String,
    role: String,
    epoch: crate::domain::ids::Epoch,
}

/// Whose database it is.
async fn identity(conn: &mut SqliteConnection) -> Result<Whose, StoreError> {
    let sql = "select doc from local where kind = 'identity' and key = 'identity'";
    let row = sqlx::query(sql).fetch_optional(conn).await.map_err(failed)?;
    let Some(row) = row else { return Err(StoreError::Damaged("nobody is written down whose it is".into())) };
    let damaged = || StoreError::Damaged("whose it is cannot be read".into());
    let text: &str = row.try_get(0).map_err(failed)?;
    let value: serde_json::Value = serde_json::from_str(text).map_err(|_| damaged())?;
    let text = |name: &str| value[name].as_str().map(str::to_owned).ok_or_else(damaged);
    let role = if value["role"].as_str() == Some("hub") { "hub" } else { "edge" };
    let epoch = text("epoch")?.parse().map_err(|_| damaged())?;
    Ok(Whose { node: text("node")?, name: text("name")?, role: role.into(), epoch })
}

async fn total(conn: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("select count(*) from record").fetch_one(conn).await.map_err(failed)?;
    Ok(row.try_get::<i64, _>(0).map_err(failed)? as u64)
}

/// The tables that hold something of their own, in order of name.
pub(super) async fn table_names(conn: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let sql = "select name from pragma_table_list
       where schema = 'main' and type = 'table' and name not like 'sqlite\\_%' escape '\\'
       order by name";
    let found = sqlx::query(sql).fetch_all(conn).await.map_err(failed)?;
    found.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}

pub(super) async fn columns_of(conn: &mut SqliteConnection, table: &str) -> Result<Vec<String>, StoreError> {
    let sql = "select name from pragma_table_info(?1) order by cid";
    let found = sqlx::query(sql).bind(table.to_owned()).fetch_all(conn).await.map_err(failed)?;
    found.iter().map(|row| row.try_get(0).map_err(failed)).collect()
}

/// A name in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn cells(row: &SqliteRow) -> Result<Vec<Cell>, StoreError> {
    let cell = |at: usize| {
        let value = row.try_get_raw(at).map_err(failed)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        let kind = value.type_info().name().to_owned();
        Ok(match kind.as_str() {
            "INTEGER" => Cell::Int(row.try_get(at).map_err(failed)?),
            "REAL" => Cell::Real(row.try_get(at).map_err(failed)?),
            "TEXT" => Cell::Text(row.try_get(at).map_err(failed)?),
            "BLOB" => Cell::Blob(row.try_get(at).map_err(failed)?),
            other => return Err(StoreError::Damaged(format!("a value of type {other}"))),
        })
    };
    (0..row.columns().len()).map(cell).collect()
}

struct Taking {
    conn: SqliteConnection,
    names: Names,
    done: u64,
    total: u64,
    unreadable: Vec<Vec<Cell>>,
    unreadable_columns: Vec<String>,
}

impl Taking {
    async fn partition(
        &mut self,
        partition: &Partition,
        ordinal: i64,
        head: u64,
        writer: &mut Writer,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Part, StoreError> {
        let all = columns_of(&mut self.conn, RECORDS).await?;
        let beside: Vec<String> = all.into_iter().filter(|name| !IN_CHUNKS.contains(&name.as_str())).collect();
        let select: Vec<String> = beside.iter().map(|name| format!("r.{}", quoted(name))).collect();
        let select = select.join(", ");
        let mut making = Making { chunks: Vec::new(), beside: Vec::new(), rows: Vec::new(), columns: beside };
        let mut cutter = Cutter::new(partition);
        let mut digest = Digest::default();
        let mut records = 0;
        let numbers = walk::numbers(&mut self.conn, ordinal).await?;
        for numbers in numbers.chunks(BATCH) {
            let mut places = self.places(&select, numbers).await?;
            for (number, held) in self.batch(numbers).await? {
                let Some(place) = places.remove(&number) else {
                    return Err(StoreError::Damaged(format!("record {number} went away")));
                };
                let Some(held) = held else {
                    self.keep_as_it_is(number).await?;
                    continue;
                };
                digest = digest.plus(held.hash());
                records += 1;
                let text = held.document.value.to_string().len();
                let content = cutter.push(&held.type_name, held.id, held.state, text);
                content.map_or(Ok(()), |content| making.chunk(&content, writer)).map_err(unwritten)?;
                making.rows.push(place);
            }
            self.done += numbers.len() as u64;
            told(self.done, self.total);
        }
        let content = cutter.finish();
        content.map_or(Ok(()), |content| making.chunk(&content, writer)).map_err(unwritten)?;
        let manifest = Manifest {
            partition: partition.clone(),
            epoch: Default::default(),
            head,
            digest,
            records,
            chunks: making.chunks,
        };
        Ok(Part { manifest, beside: making.beside })
    }

    /// Records by their numbers; `None` where one cannot be read.
    async fn batch(&mut self, numbers: &[i64]) -> Result<Vec<(i64, Option<crate::store::Held>)>, StoreError> {
        let row = walk::batch(&mut self.conn, numbers).await?;
        if let Ok(held) = rows::records(&row, 0, &self.names) {
            return Ok(held.into_iter().map(|(number, held)| (number, Some(held))).collect());
        }
        // one of them is damaged: each on its own
        let mut all = Vec::with_capacity(numbers.len());
        for number in numbers {
            let row = walk::batch(&mut self.conn, &[*number]).await?;
            let held = rows::records(&row, 0, &self.names).ok().and_then(|mut held| held.pop());
            all.push((*number, held.map(|(_, held)| held)));
        }
        Ok(all)
    }

    async fn places(&mut self, select: &str, numbers: &[i64]) -> Result<BTreeMap<i64, Vec<Cell>>, StoreError> {
        // the names are those of our own table
        let sql = AssertSqlSafe(format!(
            "select r.number, {select} from json_each(?1) as k cross join record as r on r.number = k.value"
        ));
        let numbers = serde_json::json!(numbers).to_string();
        let found = sqlx::query(sql).bind(numbers).fetch_all(&mut self.conn).await.map_err(failed)?;
        let place = |row: &SqliteRow| {
            let mut cells = cells(row)?;
            cells.remove(0);
            Ok((row.try_get(0).map_err(failed)?, cells))
        };
        found.iter().map(place).collect()
    }

    async fn keep_as_it_is(&mut self, number: i64) -> Result<(), StoreError> {
        let row = sqlx::query("select * from record where number = ?1").bind(number).fetch_one(&mut self.conn).await;
        let row = row.map_err(failed)?;
        self.unreadable_columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
        self.unreadable.push(cells(&row)?);
        Ok(())
    }

    async fn table(&mut self, name: &str, writer: &mut Writer) -> Result<Table, StoreError> {
        use futures_util::TryStreamExt;
        let columns = columns_of(&mut self.conn, name).await?;
        let mut chunks = Vec::new();
        let mut rows = Rows { columns: columns.clone(), rows: Vec::new() };
        let mut weighs = 0;
        // a name of our own database
        let sql = AssertSqlSafe(format!("select * from {}", quoted(name)));
        let mut found = sqlx::query(sql).fetch(&mut self.conn);
        while let Some(row) = found.try_next().await.map_err(failed)? {
            let row = cells(&row)?;
            weighs += weight(&row);
            rows.rows.push(row);
            if rows.is_full(weighs) {
                let full = std::mem::replace(&mut rows, Rows { columns: columns.clone(), rows: Vec::new() });
                chunks.push(writer.rows(full).map_err(unwritten)?);
                weighs = 0;
            }
        }
        if !rows.rows.is_empty() {
            chunks.push(writer.rows(rows).map_err(unwritten)?);
        }
        Ok(Table { name: name.to_owned(), chunks })
    }
}

/// The chunks of a partition, and what is beside each.
struct Making {
    chunks: Vec<crate::domain::snapshot::ChunkRef>,
    beside: Vec<crate::domain::snapshot::ChunkRef>,
    columns: Vec<String>,
    /// Of the records that are in no chunk yet.
    rows: Vec<Vec<Cell>>,
}

impl Making {
    fn chunk(&mut self, content: &Content, writer: &mut Writer) -> std::io::Result<()> {
        self.chunks.push(writer.records(content)?);
        let count = usize::try_from(content.records).unwrap_or(usize::MAX).min(self.rows.len());
        let rows = self.rows.drain(..count).collect();
        self.beside.push(writer.rows(Rows { columns: self.columns.clone(), rows })?);
        Ok(())
    }
}
