//! `outpost records`: records in and out, as JSON Lines.
//!
//! A file is judged as a whole before anything of it is written, so that a refused file changes nothing. Rows without an
//! id get one that follows from the file and their line: an import that was interrupted is finished by running it again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use outpost::domain::ids::RecordId;
use outpost::domain::people::Actor;
use outpost::domain::save::MAX_RECORD_BYTES;
use outpost::domain::{self, FieldError};
use outpost::node::{ImportedRow, NodeError};
use outpost::store::Query;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::host::{self, Absent, Host, Served};
use super::{Failure, Result, answer, failure, print, types};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub enum Records {
    Import(Import),
    Export(Export),
}

/// Bring records in from a file of JSON Lines
///
/// A line is the data of one record, or a line of an export, whose id is kept. If any row is refused, nothing is
/// written, and each bad row and cell is told. Running an import again makes nothing twice.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost records import work-order orders.jsonl --dry-run")]
pub struct Import {
    /// The type of the records
    #[arg(value_name = "TYPE")]
    type_name: String,
    /// The file; - for standard input
    file: PathBuf,
    /// Judge the rows and write nothing
    #[arg(long, env = "OUTPOST_DRY_RUN", action = clap::ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    dry_run: bool,
}

/// Print all records of a type that are not in the bin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  outpost records export work-order > orders.jsonl")]
pub struct Export {
    /// The type of the records
    #[arg(value_name = "TYPE")]
    type_name: String,
    /// How they are written
    #[arg(long, env = "OUTPOST_FORMAT", default_value = "jsonl")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON Lines: {"id", "type", "data"} a line
    Jsonl,
    /// Not in this version
    Csv,
    /// Not in this version
    Xlsx,
}

impl Format {
    /// By what a file is called; JSON Lines where that says nothing.
    fn of(path: &Path) -> Self {
        match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).as_deref() {
            Some("csv") => Self::Csv,
            Some("xlsx") => Self::Xlsx,
            _ => Self::Jsonl,
        }
    }

    fn must_be_known(self) -> Result<()> {
        let name = match self {
            Self::Jsonl => return Ok(()),
            Self::Csv => "CSV",
            Self::Xlsx => "XLSX",
        };
        Err(Failure::new(format!("this version of outpost reads and writes no {name}; use JSON Lines (jsonl)")))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// Judge rows; answers with those that are refused.
    Check {
        type_name: String,
        rows: Vec<Row>,
    },
    Import {
        type_name: String,
        rows: Vec<Row>,
    },
    Export {
        type_name: String,
        cursor: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// From 1.
    line: u64,
    id: RecordId,
    #[serde(deserialize_with = "domain::json::deserialize")]
    data: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    line: u64,
    errors: Vec<FieldError>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Imported {
    created: u64,
    /// They were here already, from the same data.
    unchanged: u64,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    records: Vec<Value>,
    next: Option<String>,
    /// How many there are in all.
    total: u64,
}

pub async fn execute(ask: Ask, on: &Served) -> Result<Value> {
    let node = &on.node;
    let named = |err: NodeError, type_name: &str| match err {
        NodeError::NotFound("type") => types::no_type(type_name),
        other => other.into(),
    };
    match ask {
        Ask::Check { type_name, rows } => {
            node.type_name(&type_name).map_err(|err| named(err, &type_name))?;
            let mut refused = Vec::new();
            for row in rows {
                match node.check_row(&Actor::Operator, &type_name, &row.data) {
                    Ok(()) => {}
                    Err(err) => refused.push(Refused { line: row.line, errors: of_row(err, &type_name)? }),
                }
            }
            answer(refused)
        }
        Ask::Import { type_name, rows } => {
            let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
            let rows = rows.into_iter().map(|row| ImportedRow { id: Some(row.id), data: row.data }).collect();
            let results = node.import_records(&Actor::Operator, &type_name, rows).await;
            let mut imported = Imported::default();
            for (line, result) in lines.into_iter().zip(results.map_err(|err| named(err, &type_name))?) {
                match result {
                    Ok(created) if created.is_new => imported.created += 1,
                    Ok(_) => imported.unchanged += 1,
                    Err(err) => imported.refused.push(Refused { line, errors: of_row(err, &type_name)? }),
                }
            }
            answer(imported)
        }
        Ask::Export { type_name, cursor } => {
            let name = node.type_name(&type_name).map_err(|err| named(err, &type_name))?;
            let tallies = node.store().tallies().await?;
            let total = tallies.iter().find(|tally| tally.type_name == name).map_or(0, |tally| tally.living);
            let query =
                Query { type_name: name, filters: Vec::new(), sort: Vec::new(), binned: false, limit: 500, cursor };
            let page = node.records(&Actor::Operator, &query).await?;
            let records = page
                .items
                .into_iter()
                .map(|held| json!({ "id": held.id, "type": held.type_name.as_str(), "data": held.document.value }));
            answer(Page { records: records.collect(), next: page.next, total })
        }
    }
}

/// What is wrong with one row; what is not the row's fault ends the import.
fn of_row(err: NodeError, type_name: &str) -> Result<Vec<FieldError>> {
    match err {
        NodeError::Invalid(errors) => Ok(errors),
        NodeError::TooLarge(message) => Ok(vec![FieldError::new("", "limit", message)]),
        NodeError::NotFound("type") => Err(types::no_type(type_name)),
        // a retired type is told the same way; it ends the import at its first row
        NodeError::Conflict(message) if message.contains("retired") => Err(Failure::new(message)),
        NodeError::Conflict(message) => Ok(vec![FieldError::new("", "conflict", message)]),
        other => Err(other.into()),
    }
}

pub async fn run(command: Records, settings: &Settings) -> Result<()> {
    match command {
        Records::Import(import) => self::import(import, settings).await,
        Records::Export(export) => self::export(export, settings).await,
    }
}

async fn export(export: Export, settings: &Settings) -> Result<()> {
    export.format.must_be_known()?;
    let mut host = Host::find(settings, Absent::Refused, "records export").await?;
    let done = pages(&mut host, &export.type_name).await;
    host.close().await;
    done
}

async fn pages(host: &mut Host, type_name: &str) -> Result<()> {
    let mut progress = None;
    let (mut cursor, mut done) = (None, 0);
    loop {
        let ask = Ask::Export { type_name: type_name.to_owned(), cursor };
        let page: Page = host.ask(host::Ask::Records(ask)).await?;
        let mut text = String::new();
        for record in &page.records {
            text.push_str(&record.to_string());
            text.push('\n');
        }
        print::bytes(text.as_bytes())?;
        done += page.records.len() as u64;
        if page.next.is_none() {
            return Ok(());
        }
        progress.get_or_insert_with(|| print::Progress::new("exporting records", Some(page.total))).set(done);
        cursor = page.next;
    }
}

async fn import(import: Import, settings: &Settings) -> Result<()> {
    Format::of(&import.file).must_be_known()?;
    let mut input = Input::open(&import.file)?;
    let mut host = Host::find(settings, Absent::Refused, "records import").await?;
    let report = carry(&mut host, &mut input, &import).await;
    host.close().await;
    let report = report?;
    let Report { rows, imported } = &report;
    let refused = &imported.refused;
    if settings.json {
        print::json(&json!({
            "type": import.type_name, "rows": rows, "created": imported.created, "unchanged": imported.unchanged,
            "refused": refused, "dry_run": import.dry_run,
        }))?;
    } else {
        for row in refused {
            for error in &row.errors {
                print::note(format_args!("line {}: {}", row.line, failure::in_word(error)));
            }
        }
    }
    if !refused.is_empty() {
        let wrote = if imported.created == 0 { "nothing was written" } else { "the others were written" };
        return Err(Failure::new(format!(
            "{} of {rows} rows were refused and {wrote}; put right what is told and import the file again",
            refused.len()
        )));
    }
    if settings.json {
        return Ok(());
    }
    match import.dry_run {
        true => print::line(format_args!("{rows} rows are good; nothing was written")),
        false => {
            print::line(format_args!("{} records made, {} were here already", imported.created, imported.unchanged))
        }
    }
}

struct Report {
    rows: u64,
    imported: Imported,
}

/// Judges all rows, then writes them if none is refused.
async fn carry(host: &mut Host, input: &mut Input, import: &Import) -> Result<Report> {
    let type_name = &import.type_name;
    // a type that is not here is told before anything is read, and for a file without rows, too
    let nothing = Ask::Check { type_name: type_name.clone(), rows: Vec::new() };
    host.ask::<Vec<Refused>>(host::Ask::Records(nothing)).await?;
    let mut report = Report { rows: 0, imported: Imported::default() };
    let mut seen: HashMap<RecordId, u64> = HashMap::new();
    let mut whole = blake3::Hasher::new();
    whole.update(type_name.as_bytes());
    let mut progress = print::Progress::new("judging rows", None);
    let mut batches = input.batches(type_name, [0; 32])?;
    while let Some(batch) = batches.next(Some(&mut whole))? {
        report.rows += batch.rows.len() as u64 + batch.refused.len() as u64;
        report.imported.refused.extend(batch.refused);
        for row in batch.rows.iter().filter(|row| batch.own_ids.contains(&row.line)) {
            if let Some(first) = seen.insert(row.id, row.line) {
                let error = FieldError::new("", "id", format!("This id stands at line {first} already"));
                report.imported.refused.push(Refused { line: row.line, errors: vec![error] });
            }
        }
        let ask = Ask::Check { type_name: type_name.clone(), rows: batch.rows };
        report.imported.refused.extend(host.ask::<Vec<Refused>>(host::Ask::Records(ask)).await?);
        progress.set(report.rows);
    }
    report.imported.refused.sort_by_key(|row| row.line);
    if import.dry_run || !report.imported.refused.is_empty() {
        return Ok(report);
    }
    drop(progress);
    let mut progress = print::Progress::new("importing records", Some(report.rows));
    let mut batches = input.batches(type_name, *whole.finalize().as_bytes())?;
    while let Some(batch) = batches.next(None)? {
        let ask = Ask::Import { type_name: type_name.clone(), rows: batch.rows };
        let imported: Imported = host.ask(host::Ask::Records(ask)).await?;
        report.imported.created += imported.created;
        report.imported.unchanged += imported.unchanged;
        report.imported.refused.extend(imported.refused);
        progress.set(report.imported.created + report.imported.unchanged);
    }
    Ok(report)
}

/// A file that can be read twice.
struct Input(File);

impl Input {
    fn open(path: &Path) -> Result<Self> {
        if path != Path::new("-") {
            let file = File::open(path).map_err(|err| Failure::of_file(path, &err))?;
            if file.metadata().is_ok_and(|meta| meta.is_file()) {
                return Ok(Self(file));
            }
            return Self::spooled(file).map_err(|err| Failure::of_file(path, &err));
        }
        Self::spooled(io::stdin().lock()).map_err(|err| Failure::new(format!("standard input cannot be read: {err}")))
    }

    /// What can be read only once is kept beside.
    fn spooled(mut from: impl Read) -> io::Result<Self> {
        let mut kept = tempfile::tempfile()?;
        io::copy(&mut from, &mut kept)?;
        kept.flush()?;
        Ok(Self(kept))
    }

    /// Its rows from the beginning. `seed` makes the ids of rows that have none.
    fn batches<'a>(&'a mut self, type_name: &'a str, seed: [u8; 32]) -> Result<Batches<'a>> {
        self.0.rewind().map_err(unreadable)?;
        Ok(Batches { reader: BufReader::new(&mut self.0), type_name, seed, line: 0 })
    }
}

fn unreadable(err: io::Error) -> Failure {
    Failure::new(format!("the file cannot be read: {err}"))
}

struct Batches<'a> {
    reader: BufReader<&'a mut File>,
    type_name: &'a str,
    seed: [u8; 32],
    line: u64,
}

/// Some rows together, so that they share the writer's commits.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    refused: Vec<Refused>,
    /// Lines that say their id themselves.
    own_ids: Vec<u64>,
}

impl Batches<'_> {
    /// The next rows; `None` at the end. All that is read goes into `whole`.
    fn next(&mut self, mut whole: Option<&mut blake3::Hasher>) -> Result<Option<Batch>> {
        const MOST_ROWS: usize = 500;
        const MOST_BYTES: usize = 4 << 20;
        /// A record with its id and white space; longer lines are not read to their end into memory.
        const LONGEST: u64 = 4 * MAX_RECORD_BYTES as u64;
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut text = Vec::new();
        loop {
            let rows = batch.rows.len() + batch.refused.len();
            if rows >= MOST_ROWS || (bytes >= MOST_BYTES && rows > 0) {
                break;
            }
            text.clear();
            let read = (&mut self.reader).take(LONGEST).read_until(b'\n', &mut text).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            self.line += 1;
            bytes += read;
            if let Some(whole) = &mut whole {
                whole.update(&text);
            }
            if read as u64 == LONGEST && text.last() != Some(&b'\n') {
                return Err(Failure::new(format!(
                    "line {} is longer than any record may be; nothing was written",
                    self.line
                )));
            }
            let line = self.line;
            let bom: &[u8] = if line == 1 { b"\xef\xbb\xbf" } else { b"" };
            let trimmed = text.strip_prefix(bom).unwrap_or(&text).trim_ascii();
            if trimmed.is_empty() {
                continue;
            }
            match row(trimmed, self.type_name) {
                Ok((Some(id), data)) => {
                    batch.own_ids.push(line);
                    batch.rows.push(Row { line, id, data });
                }
                Ok((None, data)) => batch.rows.push(Row { line, id: made_id(&self.seed, line), data }),
                Err(error) => batch.refused.push(Refused { line, errors: vec![error] }),
            }
        }
        Ok(if batch.rows.is_empty() && batch.refused.is_empty() { None } else { Some(batch) })
    }
}

/// The id and the data of a line: a line of an export, or data alone.
fn row(text: &[u8], type_name: &str) -> Result<(Option<RecordId>, Value), FieldError> {
    let value: Value = domain::json::read_bytes(text)
        // its own count of lines is always 1 here
        .map_err(|fault| FieldError::new("", "json", format!("{} at column {}", fault.what, fault.column)))?;
    let Value::Object(mut members) = value else {
        return Err(FieldError::new("", "type", "A record is a JSON object, on one line"));
    };
    let is_export = members.len() == 3
        && members.get("id").is_some_and(Value::is_string)
        && members.get("type").is_some_and(Value::is_string)
        && members.get("data").is_some_and(Value::is_object);
    if !is_export {
        return Ok((None, Value::Object(members)));
    }
    let of = members["type"].as_str().unwrap_or_default();
    if of != type_name {
        return Err(FieldError::new("", "type", format!("This line is a record of the type {of}, not {type_name}")));
    }
    let id = members["id"].as_str().unwrap_or_default();
    let id = Uuid::parse_str(id).map_err(|_| FieldError::new("", "id", format!("The id “{id}” is no UUID")))?;
    Ok((Some(id), members.swap_remove("data").unwrap_or_default()))
}

/// The id of a row that has none: in the order of the lines, and the same whenever this file is imported.
fn made_id(seed: &[u8; 32], line: u64) -> RecordId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed[..8]);
    bytes[9..14].copy_from_slice(&line.to_be_bytes()[3..]);
    bytes[14..].copy_from_slice(&seed[8..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_data_or_a_line_of_an_export() {
        let id = "0197a1b2-0000-7000-8000-000000000001";
        let exported = format!(r#"{{"id":"{id}","type":"a","data":{{"n":1.10}}}}"#);
        let (found, data) = row(exported.as_bytes(), "a").expect("an export");
        assert_eq!(found.map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(data.to_string(), r#"{"n":1.10}"#);
        assert!(row(exported.as_bytes(), "b").is_err());
        let plain = r#"{"id":"x","data":{"n":1}}"#;
        assert_eq!(row(plain.as_bytes(), "a").expect("data").1.to_string(), plain);
        for bad in ["", "{", "[1]", "1", r#"{"id":"no","type":"a","data":{}}"#] {
            assert!(row(bad.as_bytes(), "a").is_err(), "{bad}");
        }
    }

    #[test]
    fn made_ids_are_in_the_order_of_the_lines_and_follow_from_the_file() {
        let ids: Vec<_> = (1..2_000).map(|line| made_id(&[7; 32], line)).collect();
        assert!(ids.is_sorted());
        assert_eq!(made_id(&[7; 32], 5), ids[4]);
        assert_ne!(made_id(&[8; 32], 5), ids[4]);
    }
}
