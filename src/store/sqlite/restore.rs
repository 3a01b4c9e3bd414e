//! A backup back into a database of its own, everything held against what the backup says of it.
//!
//! The database is made at the schema the backup had; whoever opens it brings it up to this version's. Until then nobody
//! uses it: it may be half done.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::backup::{RECORDS, columns_of, quoted, table_names};
use super::script::{Cell as Bound, Script};
use super::{failed, setup};
use crate::domain::feed::Digest;
use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
use crate::domain::snapshot::read;
use crate::store::StoreError;
use crate::store::archive::{BadArchive, Cell, Part, Reader, Rows};
use crate::store::blob::BlobFiles;

/// Values in one statement.
const VALUES: usize = 900;

/// Why a backup did not come back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Archive(#[from] BadArchive),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn damaged(what: impl Into<String>) -> RestoreError {
    BadArchive::Damaged(what.into()).into()
}

/// Fills a new database at `path`, and a place for files. `told` hears how many records are in, and of how many.
pub async fn restore(
    path: &Path,
    files: &BlobFiles,
    mut reader: Reader,
    told: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<(), RestoreError> {
    let index = reader.index.clone();
    let schema = index.schema as usize;
    if schema > setup::migrations() {
        return Err(BadArchive::Newer.into());
    }
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // what comes of a crash is begun anew
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(16)
        .pragma("cache_size", "-65536");
    let mut conn = connect.disable_statement_logging().connect().await.map_err(failed)?;
    setup::migrate_to(&mut conn, schema).await?;
    let known = table_names(&mut conn).await?;
    sqlx::query("begin").execute(&mut conn).await.map_err(failed)?;
    let mut filling = Filling { conn };
    for table in &index.tables {
        if !known.contains(&table.name) || table.name == RECORDS {
            return Err(damaged(format!("there is no table {:?}", table.name)));
        }
        // what a new database has of its own is in the backup, too
        let sql = AssertSqlSafe(format!("delete from {}", quoted(&table.name)));
        sqlx::query(sql).execute(&mut filling.conn).await.map_err(failed)?;
        for at in &table.chunks {
            let rows = reader.rows(at)?;
            filling.rows(&table.name, rows).await?;
        }
    }
    let mut dictionary = setup::dictionary(&mut filling.conn).await?;
    let written = (dictionary.authors().len(), dictionary.names().len());
    let total = index.records();
    let mut done = 0;
    for part in &index.partitions {
        let before = done;
        let mut tell = |records| told(before + records, total);
        done += filling.partition(part, &mut reader, &mut dictionary, &mut tell).await?;
    }
    if (dictionary.authors().len(), dictionary.names().len()) != written {
        return Err(damaged("its records name somebody, or something, that its tables do not know"));
    }
    for at in &index.unreadable {
        let rows = reader.rows(at)?;
        filling.rows(RECORDS, rows).await?;
    }
    reader.files(files)?;
    // a record that cannot be read is in the digest that was kept, and in no other
    for part in index.partitions.iter().filter(|_| index.unreadable.is_empty()) {
        let sql = "update partition set digest = ?1 where name = ?2";
        let query = sqlx::query(sql).bind(part.manifest.digest.0.to_le_bytes().to_vec());
        let query = query.bind(part.manifest.partition.0.clone());
        query.execute(&mut filling.conn).await.map_err(failed)?;
    }
    sqlx::query("commit").execute(&mut filling.conn).await.map_err(failed)?;
    filling.conn.close().await.map_err(failed)?;
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|err| StoreError::ReadOnly(format!("{}: {err}", path.display())))?;
    Ok(())
}

struct Filling {
    conn: SqliteConnection,
}

impl Filling {
    /// Inserts rows into a table that is there.
    async fn rows(&mut self, table: &str, rows: Rows) -> Result<(), RestoreError> {
        let Rows { columns, rows } = rows;
        let known = columns_of(&mut self.conn, table).await?;
        if columns.is_empty() || columns.iter().any(|column| !known.contains(column)) {
            return Err(damaged(format!("the table {table} has other columns")));
        }
        let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let insert = format!("insert into {} ({}) values ", quoted(table), names.join(", "));
        let one = format!("({})", vec!["?"; columns.len()].join(", "));
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let count = rows.len().min((VALUES / columns.len()).max(1));
            let mut script = Script::default();
            let values = vec![one.as_str(); count].join(", ");
            script.add(&format!("{insert}{values}"), rows.by_ref().take(count).flatten().map(bound));
            script.run(&mut self.conn).await.map_err(|err| match err {
                StoreError::Database(err) => damaged(format!("rows of {table} do not fit in it: {err}")),
                other => other.into(),
            })?;
        }
        Ok(())
    }

    /// All records of a partition. How many they are.
    async fn partition(
        &mut self,
        part: &Part,
        reader: &mut Reader,
        dictionary: &mut Dictionary,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<u64, RestoreError> {
        let manifest = &part.manifest;
        let of = |what: &str| damaged(format!("{}: {what}", manifest.partition));
        let (mut digest, mut records) = (Digest::default(), 0);
        for (chunk, beside) in manifest.chunks.iter().zip(&part.beside) {
            let content = reader.records(chunk)?;
            let (found, names) = read(&manifest.partition, &content).map_err(|err| of(&err.to_string()))?;
            let Rows { mut columns, rows: places } = reader.rows(beside)?;
            if found.len() != places.len() || chunk.records != found.len() as u64 {
                return Err(of("its records and what is beside them are not as many"));
            }
            let column = |name: &str| columns.iter().position(|column| column == name);
            let (Some(id_at), Some(seq_at)) = (column("id"), column("seq")) else {
                return Err(of("what is beside its records names none"));
            };
            let mut rows = Vec::with_capacity(found.len());
            for (row, mut place) in found.into_iter().zip(places) {
                let seq = match (&place[id_at], &place[seq_at]) {
                    (Cell::Blob(id), Cell::Int(seq)) if *id == row.id.as_bytes() => *seq,
                    _ => return Err(of("what is beside its records belongs to others")),
                };
                let state = unpack(&row.state, row.seq, None, &names);
                let mut state = state.map_err(|err| of(&format!("the record {}: {err}", row.id)))?;
                let document = state.document().value;
                digest = digest.plus(state.hash(&row.type_name, row.id, &document));
                // numbers of arrival count for readers of another epoch only
                state.renumber(seq as u64);
                place.push(Cell::Blob(pack(&state, seq as u64, Values::Beside, dictionary)));
                place.push(Cell::Text(document.to_string()));
                rows.push(place);
            }
            records += rows.len() as u64;
            columns.extend(["stamps".to_owned(), "doc".to_owned()]);
            self.rows(RECORDS, Rows { columns, rows }).await?;
            told(records);
        }
        if records != manifest.records || digest != manifest.digest {
            return Err(of("its records are not those that were backed up"));
        }
        Ok(records)
    }
}

fn bound(cell: Cell) -> Bound {
    match cell {
        Cell::Null => Bound::Null,
        Cell::Int(number) => Bound::Int(number),
        Cell::Real(number) => Bound::Real(number),
        Cell::Text(text) => Bound::Text(text),
        Cell::Blob(bytes) => Bound::Blob(bytes),
    }
}
