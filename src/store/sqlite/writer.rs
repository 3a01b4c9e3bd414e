//! The one writer: takes what waits, carries it out in one transaction, commits, answers.
//!
//! `synchronous=FULL`, so what was answered is on disk; savers that wait at the same time share one commit. If a group
//! fails, its requests are tried one by one, so that a bad one fails alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Connection, Row};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::failed;
use super::rows::{COLUMNS, Ordinals, id_of};
use crate::domain::ids::{Partition, RecordId, TypeName};
use crate::domain::path::Path;
use crate::domain::record::pack::{Values, pack};
use crate::domain::save::Save;
use crate::domain::stamp::Stamp;
use crate::store::ledger::{Batch, Key, Ledger, Shelf, Standing};
use crate::store::{Held, Judge, Notice, Outcome, Request, StoreError};

pub(super) enum Command {
    Write(Box<Request>, oneshot::Sender<Result<Outcome, StoreError>>),
    /// Makes an index for what people sort and filter by.
    Index(String),
    Close(oneshot::Sender<()>),
}

/// At most this many requests share a commit.
const GROUP: usize = 512;

pub(super) struct Writer {
    pub connection: SqliteConnection,
    pub judge: Arc<dyn Judge>,
    pub ordinals: Ordinals,
    pub published: Arc<RwLock<Arc<Ordinals>>>,
    pub standing: Standing,
    pub notices: broadcast::Sender<Arc<Vec<Notice>>>,
}

impl Writer {
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut closed = None;
        while let Some(first) = commands.recv().await {
            let mut group = Vec::new();
            let mut next = Some(first);
            let mut indexes = Vec::new();
            while let Some(command) = next {
                match command {
                    Command::Write(request, reply) => group.push((*request, reply)),
                    Command::Index(sql) => indexes.push(sql),
                    Command::Close(reply) => closed = Some(reply),
                }
                next = if group.len() < GROUP && closed.is_none() { commands.try_recv().ok() } else { None };
            }
            self.carry_out(group).await;
            for sql in indexes {
                if let Err(err) = sqlx::query(AssertSqlSafe(sql)).execute(&mut self.connection).await {
                    tracing::warn!(%err, "an index could not be made; lists are slower without it");
                }
            }
            if closed.is_some() {
                break;
            }
        }
        if let Err(err) = self.connection.close().await {
            tracing::warn!(%err, "the database was not closed cleanly");
        }
        if let Some(reply) = closed {
            let _ = reply.send(());
        }
    }

    async fn carry_out(&mut self, group: Vec<(Request, oneshot::Sender<Result<Outcome, StoreError>>)>) {
        if group.is_empty() {
            return;
        }
        let (requests, replies): (Vec<Request>, Vec<_>) = group.into_iter().unzip();
        match self.transaction(&requests).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(err) if requests.len() == 1 => {
                if let Some(reply) = replies.into_iter().next() {
                    let _ = reply.send(Err(err));
                }
            }
            Err(_) => {
                for (request, reply) in requests.into_iter().zip(replies) {
                    let outcome = self.transaction(std::slice::from_ref(&request)).await;
                    let _ = reply.send(outcome.map(|mut outcomes| outcomes.remove(0)));
                }
            }
        }
    }

    async fn transaction(&mut self, requests: &[Request]) -> Result<Vec<Outcome>, StoreError> {
        sqlx::query("begin immediate").execute(&mut self.connection).await.map_err(failed)?;
        match self.attempt(requests).await {
            Ok((outcomes, standing, notices)) => {
                if let Err(err) = sqlx::query("commit").execute(&mut self.connection).await {
                    self.roll_back().await;
                    return Err(failed(err));
                }
                self.standing = standing;
                if !notices.is_empty() {
                    // nobody listening is no failure
                    let _ = self.notices.send(Arc::new(notices));
                }
                Ok(outcomes)
            }
            Err(err) => {
                self.roll_back().await;
                Err(err)
            }
        }
    }

    /// Undoes the transaction and reads the ordinals anew: those it made are gone.
    async fn roll_back(&mut self) {
        let _ = sqlx::query("rollback").execute(&mut self.connection).await;
        match Ordinals::load(&mut self.connection).await {
            Ok(ordinals) => {
                self.ordinals = ordinals;
                self.publish();
            }
            Err(err) => tracing::error!(%err, "the database does not answer after a failed write"),
        }
    }

    fn publish(&self) {
        *self.published.write().expect("no holder of this lock panics") = Arc::new(self.ordinals.clone());
    }

    async fn attempt(&mut self, requests: &[Request]) -> Result<(Vec<Outcome>, Standing, Vec<Notice>), StoreError> {
        let known = self.ordinals.counts();
        let mut disk = Disk { connection: &mut self.connection, ordinals: &mut self.ordinals, fetched: HashMap::new() };
        disk.prefetch(requests).await?;
        let judge = self.judge.clone();
        let mut ledger = Ledger::new(&*judge, self.standing.clone(), disk);
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            outcomes.push(ledger.carry_out(request).await?);
        }
        let (mut batch, standing, _) = ledger.finish();
        let notices = std::mem::take(&mut batch.notices);
        self.write_down(batch, &standing).await?;
        if self.ordinals.counts() != known {
            self.write_ordinals(known).await?;
            self.publish();
        }
        Ok((outcomes, standing, notices))
    }

    async fn write_down(&mut self, batch: Batch, standing: &Standing) -> Result<(), StoreError> {
        let ordinals = &mut self.ordinals;
        let mut records = Rows::new("record (type, id, partition, doc, stamps, seq, flags)", 7)
            .then("on conflict (type, id, facet) do update set partition = excluded.partition, doc = excluded.doc, stamps = excluded.stamps, seq = excluded.seq, flags = excluded.flags");
        for held in &batch.records {
            let stamps = pack(&held.state, held.seq, Values::Beside, &mut ordinals.dictionary);
            records.row(|row| {
                row.integer(ordinals.type_of(&held.type_name));
                row.blob(held.id.as_bytes().to_vec());
                row.integer(ordinals.partition_of(&held.partition));
                row.text(held.document.value.to_string());
                row.blob(stamps);
                row.integer(held.seq as i64);
                row.integer(i64::from(held.flags.0));
            });
        }
        let mut history = Rows::new(
            "history (type, id, seq, line, time, author, tag, path, act, old, new, replaced_time, replaced_author, replaced_tag, seen_at)",
            15,
        );
        for (line, (key, change)) in batch.history.iter().enumerate() {
            history.row(|row| {
                row.integer(ordinals.type_of(&key.0));
                row.blob(key.1.as_bytes().to_vec());
                row.integer(change.seq as i64);
                row.integer(line as i64);
                row.stamp(&change.stamp, ordinals);
                row.text(as_text(&change.path));
                row.text(
                    serde_json::to_value(change.act)
                        .ok()
                        .and_then(|act| Some(act.as_str()?.to_owned()))
                        .unwrap_or_default(),
                );
                row.optional(change.old.as_ref().map(Value::to_string));
                row.optional(change.new.as_ref().map(Value::to_string));
                row.stamp(&change.replaced, ordinals);
                row.integer(change.seen_at);
            });
        }
        let mut outbox = Rows::new("outbox (save, body)", 2);
        let mut outbox_records = Rows::new("outbox_record (type, id, save)", 3).or_ignore();
        for save in &batch.outbox {
            let id = save.id.0.to_be_bytes().to_vec();
            let body = cbor(save)?;
            outbox.row(|row| {
                row.blob(id.clone());
                row.blob(body);
            });
            for record in &save.records {
                outbox_records.row(|row| {
                    row.integer(ordinals.type_of(&record.type_name));
                    row.blob(record.id.as_bytes().to_vec());
                    row.blob(id.clone());
                });
            }
        }
        let mut waiting = Rows::new("waiting (type, id, body)", 3);
        for (key, save) in &batch.waiting {
            let body = cbor(save)?;
            waiting.row(|row| {
                row.integer(ordinals.type_of(&key.0));
                row.blob(key.1.as_bytes().to_vec());
                row.blob(body);
            });
        }
        let mut moved = Rows::new("moved (partition, seq, type, id, time, author, tag)", 7);
        for (partition, gone) in &batch.moved {
            moved.row(|row| {
                row.integer(ordinals.partition_of(partition));
                row.integer(gone.seq as i64);
                row.integer(ordinals.type_of(&gone.type_name));
                row.blob(gone.id.as_bytes().to_vec());
                row.stamp(&gone.stamp, ordinals);
            });
        }
        let mut partitions = Rows::new("partition (ordinal, name, head, records, digest, epoch, base, after)", 8)
            .then("on conflict (ordinal) do update set head = excluded.head, records = excluded.records, digest = excluded.digest, epoch = excluded.epoch, base = excluded.base, after = excluded.after");
        for state in &batch.partitions {
            partitions.row(|row| {
                row.integer(ordinals.partition_of(&state.partition));
                row.text(state.partition.0.clone());
                row.integer(state.head as i64);
                row.integer(state.records as i64);
                row.text(format!("{:032x}", state.digest.0));
                row.optional_integer(state.cursor.map(|cursor| cursor.epoch.0 as i64));
                row.optional_integer(state.cursor.map(|cursor| cursor.base as i64));
                row.optional_integer(state.cursor.map(|cursor| cursor.after as i64));
            });
        }
        let connection = &mut self.connection;
        for rows in [records, history, outbox, outbox_records, waiting, moved, partitions] {
            rows.insert(connection).await?;
        }
        for key in &batch.dropped {
            sqlx::query("delete from record where type = $1 and id = $2")
                .bind(self.ordinals.type_of(&key.0))
                .bind(key.1.as_bytes().to_vec())
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        for key in &batch.arrived {
            sqlx::query("delete from waiting where type = $1 and id = $2")
                .bind(self.ordinals.type_of(&key.0))
                .bind(key.1.as_bytes().to_vec())
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        if !batch.acknowledged.is_empty() {
            let saves: Vec<String> = batch.acknowledged.iter().map(ToString::to_string).collect();
            let saves = json!(saves).to_string();
            for table in ["outbox", "outbox_record"] {
                let sql = format!("delete from {table} where save in (select unhex(value) from json_each($1))");
                sqlx::query(AssertSqlSafe(sql)).bind(saves.clone()).execute(&mut *connection).await.map_err(failed)?;
            }
        }
        for change in batch.locals {
            let query = match change.value {
                Some(value) => sqlx::query(
                    "insert into local (kind, key, doc) values ($1, $2, $3) on conflict (kind, key) do update set doc = excluded.doc",
                )
                .bind(change.kind)
                .bind(change.key)
                .bind(value.to_string()),
                None => sqlx::query("delete from local where kind = $1 and key = $2").bind(change.kind).bind(change.key),
            };
            query.execute(&mut *connection).await.map_err(failed)?;
        }
        let was = &self.standing;
        if (was.clock, was.seq, was.waiting) != (standing.clock, standing.seq, standing.waiting) {
            sqlx::query("update standing set clock = $1, seq = $2, waiting = $3")
                .bind(standing.clock.last.0)
                .bind(standing.seq as i64)
                .bind(standing.waiting as i64)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the ordinals that were made since `known`.
    async fn write_ordinals(&mut self, known: [usize; 4]) -> Result<(), StoreError> {
        let mut types = Rows::new("type (ordinal, name)", 2);
        for (at, name) in self.ordinals.types().iter().enumerate().skip(known[0]) {
            types.row(|row| {
                row.integer(at as i64 + 1);
                row.text(name.to_string());
            });
        }
        let dictionary = &self.ordinals.dictionary;
        let mut authors = Rows::new("author (ordinal, node, incarnation, person)", 4);
        for (at, author) in dictionary.authors().iter().enumerate().skip(known[1]) {
            authors.row(|row| {
                row.integer(at as i64);
                row.integer(author.node.0 as i64);
                row.integer(author.incarnation.0 as i64);
                row.blob(author.person.as_bytes().to_vec());
            });
        }
        let mut names = Rows::new("name (ordinal, text)", 2);
        for (at, name) in dictionary.names().iter().enumerate().skip(known[2]) {
            names.row(|row| {
                row.integer(at as i64);
                row.text(name.clone());
            });
        }
        for rows in [types, authors, names] {
            rows.insert(&mut self.connection).await?;
        }
        Ok(())
    }
}

fn cbor(save: &Save) -> Result<Vec<u8>, StoreError> {
    let mut body = Vec::new();
    ciborium::into_writer(save, &mut body).map_err(|err| StoreError::Database(Box::new(err)))?;
    Ok(body)
}

pub(super) fn read_cbor(bytes: &[u8]) -> Result<Save, StoreError> {
    ciborium::from_reader(bytes).map_err(|err| StoreError::Damaged(format!("a save that waits: {err}")))
}

fn as_text(path: &Path) -> String {
    serde_json::to_string(path).expect("a path is plain data")
}

/// What is on disk, read on the writing connection.
struct Disk<'a> {
    connection: &'a mut SqliteConnection,
    ordinals: &'a mut Ordinals,
    /// What was read for the whole group in one go.
    fetched: HashMap<Key, Option<Held>>,
}

impl Disk<'_> {
    async fn prefetch(&mut self, requests: &[Request]) -> Result<(), StoreError> {
        let mut wanted: Vec<Key> = Vec::new();
        for request in requests {
            match request {
                Request::Save(save) => wanted.extend(save.records.iter().map(|one| (one.type_name.clone(), one.id))),
                Request::Receive { saves, .. } => {
                    let records = saves.iter().flat_map(|save| &save.records);
                    wanted.extend(records.map(|one| (one.type_name.clone(), one.id)));
                }
                Request::Join { page, .. } => {
                    wanted.extend(page.rows.iter().map(|row| (row.type_name.clone(), row.id)))
                }
                _ => {}
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let list: Vec<Value> = wanted
            .iter()
            .filter_map(|(name, id)| Some(json!([self.ordinals.known_type(name)?, id.simple().to_string()])))
            .collect();
        self.fetched.extend(wanted.into_iter().map(|key| (key, None)));
        let sql = format!(
            "select {COLUMNS} from json_each($1) as wanted cross join record on record.type = wanted.value ->> 0 and record.id = unhex(wanted.value ->> 1)"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(Value::Array(list).to_string())
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failed)?;
        for row in rows {
            let held = self.ordinals.held(&row)?;
            self.fetched.insert((held.type_name.clone(), held.id), Some(held));
        }
        Ok(())
    }

    async fn keys(&mut self, sql: &'static str, ordinal: i64) -> Result<Vec<Key>, StoreError> {
        let rows = sqlx::query(sql).bind(ordinal).fetch_all(&mut *self.connection).await.map_err(failed)?;
        rows.iter().map(|row| Ok((self.ordinals.type_named(row.get(0))?.clone(), id_of(row.get(1))?))).collect()
    }
}

impl Shelf for Disk<'_> {
    async fn record(&mut self, key: &Key) -> Result<Option<Held>, StoreError> {
        if let Some(held) = self.fetched.remove(key) {
            return Ok(held);
        }
        let Some(ordinal) = self.ordinals.known_type(&key.0) else { return Ok(None) };
        let sql = format!("select {COLUMNS} from record where type = $1 and id = $2");
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(ordinal)
            .bind(key.1.as_bytes().to_vec())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(failed)?;
        row.map(|row| self.ordinals.held(&row)).transpose()
    }

    async fn named(&mut self, key: &Key) -> Result<HashSet<(Path, Stamp)>, StoreError> {
        let rows = sqlx::query(
            "select path, replaced_time, replaced_author, replaced_tag from history where type = $1 and id = $2",
        )
        .bind(self.ordinals.type_of(&key.0))
        .bind(key.1.as_bytes().to_vec())
        .fetch_all(&mut *self.connection)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let path = serde_json::from_str(row.get(0)).map_err(|err| StoreError::Damaged(err.to_string()))?;
                Ok((path, self.ordinals.stamp(row.get(1), row.get(2), row.get(3))?))
            })
            .collect()
    }

    async fn waiting(&mut self, key: &Key) -> Result<Vec<Save>, StoreError> {
        let rows = sqlx::query("select body from waiting where type = $1 and id = $2 order by position")
            .bind(self.ordinals.type_of(&key.0))
            .bind(key.1.as_bytes().to_vec())
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| read_cbor(row.get(0))).collect()
    }

    async fn is_unsent(&mut self, key: &Key) -> Result<bool, StoreError> {
        let row = sqlx::query("select 1 from outbox_record where type = $1 and id = $2 limit 1")
            .bind(self.ordinals.type_of(&key.0))
            .bind(key.1.as_bytes().to_vec())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(failed)?;
        Ok(row.is_some())
    }

    async fn local(&mut self, kind: &str, key: &str) -> Result<Option<Value>, StoreError> {
        super::local(&mut *self.connection, kind, key).await
    }

    async fn keys_of_partition(&mut self, partition: &Partition) -> Result<Vec<Key>, StoreError> {
        let Some(ordinal) = self.ordinals.known_partition(partition) else { return Ok(Vec::new()) };
        self.keys("select type, id from record where partition = $1", ordinal).await
    }

    async fn keys_of_type(&mut self, type_name: &TypeName) -> Result<Vec<Key>, StoreError> {
        let Some(ordinal) = self.ordinals.known_type(type_name) else { return Ok(Vec::new()) };
        self.keys("select type, id from record where type = $1", ordinal).await
    }

    async fn lost_entries(&mut self, key: &Key) -> Result<Vec<RecordId>, StoreError> {
        let rows = sqlx::query(
            "select id from record where type = 4 and json_extract(doc, '$.record') = $1 and json_extract(doc, '$.type') = $2",
        )
        .bind(key.1.to_string())
        .bind(key.0.as_str().to_owned())
        .fetch_all(&mut *self.connection)
        .await
        .map_err(failed)?;
        rows.iter().map(|row| id_of(row.get(0))).collect()
    }
}

/// Rows for one table, inserted many at a time by a few prepared statements.
struct Rows {
    table: &'static str,
    columns: usize,
    verb: &'static str,
    then: &'static str,
    cells: Vec<Cell>,
}

enum Cell {
    Integer(Option<i64>),
    Text(Option<String>),
    Blob(Vec<u8>),
}

struct Cells<'a>(&'a mut Vec<Cell>);

impl Cells<'_> {
    fn integer(&mut self, value: i64) {
        self.0.push(Cell::Integer(Some(value)));
    }

    fn optional_integer(&mut self, value: Option<i64>) {
        self.0.push(Cell::Integer(value));
    }

    fn text(&mut self, value: String) {
        self.0.push(Cell::Text(Some(value)));
    }

    fn optional(&mut self, value: Option<String>) {
        self.0.push(Cell::Text(value));
    }

    fn blob(&mut self, value: Vec<u8>) {
        self.0.push(Cell::Blob(value));
    }

    fn stamp(&mut self, stamp: &Stamp, ordinals: &mut Ordinals) {
        self.integer(stamp.time.0);
        self.integer(ordinals.dictionary.author(&stamp.author) as i64);
        self.integer(i64::from(stamp.tag));
    }
}

impl Rows {
    fn new(table: &'static str, columns: usize) -> Self {
        Self { table, columns, verb: "insert", then: "", cells: Vec::new() }
    }

    fn then(self, then: &'static str) -> Self {
        Self { then, ..self }
    }

    fn or_ignore(self) -> Self {
        Self { verb: "insert or ignore", ..self }
    }

    fn row(&mut self, fill: impl FnOnce(&mut Cells)) {
        fill(&mut Cells(&mut self.cells));
    }

    async fn insert(self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Rows { table, columns, verb, then, cells } = self;
        let mut left = cells.len() / columns;
        let mut cells = cells.into_iter();
        while left > 0 {
            // few sizes, so that the statements stay prepared
            let count = if left >= 64 {
                64
            } else if left >= 8 {
                8
            } else {
                1
            };
            left -= count;
            let one = format!("({})", vec!["?"; columns].join(", "));
            let sql = format!("{verb} into {table} values {} {then}", vec![one; count].join(", "));
            let mut arguments = SqliteArguments::default();
            for cell in cells.by_ref().take(count * columns) {
                let added = match cell {
                    Cell::Integer(value) => arguments.add(value),
                    Cell::Text(value) => arguments.add(value),
                    Cell::Blob(value) => arguments.add(value),
                };
                added.map_err(StoreError::Database)?;
            }
            sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *connection).await.map_err(failed)?;
        }
        Ok(())
    }
}
