//! Writes down what a group of requests changed, each kind by few statements over many rows.

use std::sync::PoisonError;

use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::load::Numbers;
use super::script::{Batch, Cell, Script, values};
use super::setup::{Book, Names};
use super::{Shared, failed};
use crate::domain::ids::Partition;
use crate::domain::record::EffectKind;
use crate::domain::record::pack::{Values, pack};
use crate::domain::stamp::Stamp;
use crate::store::ledger::{Facts, Fresh, GONE, Key, Line, News, Outgoing, SHADOW};
use crate::store::{Flags, Run, StoreError};

/// All that is to be written, encoded.
struct Sheets {
    authors: Batch,
    names: Batch,
    types: Batch,
    partitions: Batch,
    records: Batch,
    history: Batch,
    outbox: Batch,
    unsent: Batch,
    waiting: Batch,
    moved: Batch,
    tallies: Batch,
    locals: Batch,
    /// By local number.
    deleted: Vec<i64>,
    /// By local number.
    histories: Vec<i64>,
    came: Vec<(i64, String)>,
    returned: Vec<(i64, i64, String)>,
    /// Removals in these partitions that are forgotten, up to these numbers.
    forgotten: Vec<(i64, i64)>,
    cleared: Vec<(String, String)>,
    timed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    restamped: Vec<Restamp>,
}

/// A write of a record has another time from now on; all by local number.
struct Restamp {
    record: i64,
    author: i64,
    tag: i64,
    old: i64,
    new: i64,
}

/// Writes it all down in one transaction.
pub(super) async fn persist(
    conn: &mut SqliteConnection,
    shared: &Shared,
    book: &mut Book,
    facts: Facts,
    mut news: News,
    numbers: Numbers,
    run: Option<Run>,
) -> Result<(), StoreError> {
    let fresh = std::mem::take(&mut news.fresh);
    let acknowledged: Vec<String> = news.acknowledged.iter().map(|save| format!("{:032X}", save.0)).collect();
    let sheets = {
        let mut names = shared.names.write().unwrap_or_else(PoisonError::into_inner);
        encode(&mut names, book, facts, news, numbers)?
    };
    let mut script = Script::default();
    let text = |value: serde_json::Value| [Cell::Text(value.to_string())];
    script.add("begin immediate", []);
    if let Some(Run { first, tag }) = run {
        script.add("insert into run (first, tag) values (?, ?)", [first as i64, tag as i64].map(Cell::Int));
    }
    for batch in [sheets.authors, sheets.names, sheets.types, sheets.partitions] {
        batch.write(&mut script, conn).await?;
    }
    if !sheets.histories.is_empty() {
        let sql = "delete from history where record in (select value from json_each(?))";
        script.add(sql, text(json!(sheets.histories)));
    }
    if !sheets.deleted.is_empty() {
        let sql = "delete from record where number in (select value from json_each(?))";
        script.add(sql, text(json!(sheets.deleted)));
    }
    sheets.records.write(&mut script, conn).await?;
    if !fresh.is_empty() {
        script.run(conn).await?;
        write_fresh(conn, shared, book, &fresh).await?;
    }
    sheets.history.write(&mut script, conn).await?;
    if !sheets.restamped.is_empty() || !sheets.timed.is_empty() {
        script.run(conn).await?;
        restamp(conn, sheets.restamped, sheets.timed).await?;
    }
    if !acknowledged.is_empty() {
        script.run(conn).await?;
        book.unsent -= acknowledge(conn, &acknowledged).await?;
    }
    book.unsent += sheets.outbox.rows.len() as i64;
    sheets.outbox.write(&mut script, conn).await?;
    sheets.unsent.write(&mut script, conn).await?;
    if !sheets.came.is_empty() && book.waiting > 0 {
        script.run(conn).await?;
        script.add(
            "delete from waiting
             where number in (
               select w.number
               from json_each(?) as k
               cross join waiting as w on w.type = k.value ->> 0 and w.id = unhex(k.value ->> 1)
             )",
            text(json!(sheets.came)),
        );
        book.waiting -= script.run(conn).await? as i64;
    }
    book.waiting += sheets.waiting.rows.len() as i64;
    sheets.waiting.write(&mut script, conn).await?;
    if !sheets.returned.is_empty() && book.moved > 0 {
        script.add(
            "delete from moved
             where (type, id, partition) in (
               select value ->> 1, unhex(value ->> 2), value ->> 0
               from json_each(?)
             )",
            text(json!(sheets.returned)),
        );
    }
    for (partition, upto) in &sheets.forgotten {
        script.add("delete from moved where partition = ? and seq <= ?", [Cell::Int(*partition), Cell::Int(*upto)]);
    }
    let counts_moved = !sheets.moved.rows.is_empty() || !sheets.returned.is_empty() || !sheets.forgotten.is_empty();
    sheets.moved.write(&mut script, conn).await?;
    if counts_moved {
        script.run(conn).await?;
        let row = sqlx::query("select count(*) from (select 1 from moved limit 1)").fetch_one(&mut *conn).await;
        book.moved = row.map_err(failed)?.try_get(0).map_err(failed)?;
    }
    sheets.tallies.write(&mut script, conn).await?;
    if !sheets.cleared.is_empty() {
        let sql = "delete from local where (kind, key) in (select value ->> 0, value ->> 1 from json_each(?))";
        script.add(sql, text(json!(sheets.cleared)));
    }
    sheets.locals.write(&mut script, conn).await?;
    let (seq, clock) = (book.seq as i64, book.clock.last.0);
    let sql = "update node set seq = ?, clock = ? where seq <> ? or clock <> ?";
    script.add(sql, [seq, clock, seq, clock].map(Cell::Int));
    script.add("commit", []);
    script.run(conn).await?;
    Ok(())
}

/// Inserts records that were not here: the next ones are encoded while SQLite writes those before.
async fn write_fresh(
    conn: &mut SqliteConnection,
    shared: &Shared,
    book: &mut Book,
    fresh: &[Fresh],
) -> Result<(), StoreError> {
    const INSERT: &str = "insert into record (number, type, id, facet, partition, seq, flags, stamps, doc)";
    let mut groups = fresh.chunks(FRESH);
    let mut encoded = |book: &mut Book| {
        let group = groups.next()?;
        let mut names = shared.names.write().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::with_capacity(group.len() * RECORD);
        for fresh in group {
            let row = fresh.row();
            let number = book.next_record;
            book.next_record += 1;
            let stamps = pack(&row.state, 1, Values::Beside, &mut names.dictionary);
            let at = (&fresh.partition, fresh.seq, fresh.flags);
            rows.extend(record_row(number, &fresh.key, at, stamps, row.text.clone(), &mut names));
        }
        Some((group.len(), rows))
    };
    let mut next = encoded(book);
    while let Some((count, cells)) = next {
        let mut script = Script::default();
        script.add(&values(INSERT, RECORD, count, ""), cells);
        let (written, then) = futures_util::join!(script.run(conn), async { encoded(book) });
        written?;
        next = then;
    }
    // authors and names that came with them
    let (mut authors, mut texts, mut types, mut partitions) = batches();
    {
        let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
        write_names(&names, book, [&mut authors, &mut texts, &mut types, &mut partitions]);
    }
    let mut script = Script::default();
    for batch in [authors, texts, types, partitions] {
        batch.write(&mut script, conn).await?;
    }
    script.run(conn).await.map(|_| ())
}

/// So many rows are inserted at once.
const FRESH: usize = 256;
/// The columns of a record.
const RECORD: usize = 9;

/// Authors, names, types and partitions.
fn batches() -> (Batch, Batch, Batch, Batch) {
    (
        Batch::new("insert into author (ordinal, node, incarnation, person)", ""),
        Batch::new("insert into name (ordinal, name)", ""),
        Batch::new("insert into type (ordinal, name)", ""),
        Batch::new(
            "insert into partition (ordinal, name, head, records, digest)",
            "on conflict (ordinal) do update
             set head = excluded.head, records = excluded.records, digest = excluded.digest",
        ),
    )
}

/// Two writes may have changed places in time, and a line must not be taken for one that was just changed: all of a
/// record's lines are told apart by their tag as well, which no two saves of one author share.
async fn restamp(
    conn: &mut SqliteConnection,
    restamped: Vec<Restamp>,
    timed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
) -> Result<(), StoreError> {
    let mut script = Script::default();
    for Restamp { record, author, tag, old, new } in restamped {
        let lines = "update history set time = ? where record = ? and author = ? and tag = ? and time = ?";
        let seen = "update history set seen_time = ?
             where record = ? and seen_author = ? and seen_tag = ? and seen_time = ?";
        for sql in [lines, seen] {
            script.add(sql, [new, record, author, tag, old].map(Cell::Int));
        }
        script.run(conn).await?;
    }
    for (save, body) in timed {
        let sql = "update outbox set body = coalesce(?, body), unchecked = null where save = ?";
        script.add(sql, [body.map_or(Cell::Null, Cell::Blob), Cell::Blob(save)]);
        script.run(conn).await?;
    }
    Ok(())
}

/// Says how many saves left the outbox.
async fn acknowledge(conn: &mut SqliteConnection, saves: &[String]) -> Result<i64, StoreError> {
    let saves = json!(saves).to_string();
    let mut script = Script::default();
    script.add(
        "delete from unsent
         where position in (
           select o.position
           from json_each(?) as k
           cross join outbox as o on o.save = unhex(k.value)
         )",
        [Cell::Text(saves.clone())],
    );
    script.run(conn).await?;
    script.add("delete from outbox where save in (select unhex(value) from json_each(?))", [Cell::Text(saves)]);
    Ok(script.run(conn).await? as i64)
}

fn encode(
    names: &mut Names,
    book: &mut Book,
    mut facts: Facts,
    news: News,
    mut numbers: Numbers,
) -> Result<Sheets, StoreError> {
    let (authors, texts, types, partitions) = batches();
    let mut sheets = Sheets {
        authors,
        names: texts,
        types,
        partitions,
        records: Batch::new(
            "insert into record (number, type, id, facet, partition, seq, flags, stamps, doc)",
            "on conflict (number) do update
             set partition = excluded.partition, seq = excluded.seq, flags = excluded.flags, stamps = excluded.stamps,
               doc = excluded.doc",
        ),
        history: Batch::new(
            "insert into history (record, seq, time, author, tag, path, act, old, new, seen_time, seen_author, seen_tag,
               seen_at)",
            "",
        ),
        outbox: Batch::new("insert into outbox (position, save, body, unchecked)", ""),
        unsent: Batch::new("insert into unsent (position, record)", "on conflict do nothing"),
        waiting: Batch::new("insert into waiting (type, id, body)", ""),
        moved: Batch::new(
            "insert into moved (partition, type, id, seq, time, author, tag)",
            "on conflict (type, id, partition) do update
             set seq = excluded.seq, time = excluded.time, author = excluded.author, tag = excluded.tag",
        ),
        tallies: Batch::new(
            "insert into tally (type, flags, records)",
            "on conflict (type, flags) do update set records = excluded.records",
        ),
        locals: Batch::new(
            "insert into local (kind, key, doc)",
            "on conflict (kind, key) do update set doc = excluded.doc",
        ),
        deleted: Vec::new(),
        histories: news.dropped.iter().filter_map(|key| numbers.get(key).copied()).collect(),
        came: Vec::new(),
        returned: Vec::new(),
        forgotten: Vec::new(),
        cleared: Vec::new(),
        timed: news.timed.iter().map(|(save, body)| (save.0.to_be_bytes().to_vec(), body.clone())).collect(),
        restamped: Vec::new(),
    };
    for key in &news.dirty {
        let Some(held) = facts.records.remove(key).flatten() else {
            sheets.deleted.extend(numbers.get(key));
            continue;
        };
        let next = &mut book.next_record;
        let number = *numbers.entry(key.clone()).or_insert_with(|| {
            *next += 1;
            *next - 1
        });
        let stamps = pack(&held.state, held.seq, Values::Beside, &mut names.dictionary);
        let at = (&held.partition, held.seq, held.flags);
        sheets.records.push(record_row(number, key, at, stamps, held.document.value.to_string(), names));
    }
    let number = |key: &Key| {
        let number = numbers.get(key).copied();
        number.ok_or_else(|| StoreError::Damaged(format!("{} {} has no number", key.0, key.1)))
    };
    for (key, line) in news.lines {
        sheets.history.rows.push(history_row(number(&key)?, line, names));
    }
    for (key, restamped) in &news.restamped {
        // what is not here any more has no history either
        let Some(record) = numbers.get(key).copied() else { continue };
        for (old, new) in restamped {
            sheets.restamped.push(Restamp {
                record,
                author: names.dictionary.author(&old.author) as i64,
                tag: i64::from(old.tag),
                old: old.time.0,
                new: new.time.0,
            });
        }
    }
    book.untimed -= news.timed.len() as i64;
    for Outgoing { save, body, unchecked } in news.outbox {
        book.untimed += i64::from(unchecked.is_some());
        let position = book.next_position;
        book.next_position += 1;
        let unchecked = unchecked.map(|unchecked| cbor(&unchecked)).transpose()?.map_or(Cell::Null, Cell::Blob);
        let id = save.id.0.to_be_bytes().to_vec();
        sheets.outbox.push([Cell::Int(position), Cell::Blob(id), Cell::Blob(body), unchecked]);
        for record in &save.records {
            // what waits for a record that is not here is no matter of it yet
            let Some(number) = numbers.get(&(record.type_name.clone(), record.id)) else { continue };
            sheets.unsent.push([Cell::Int(position), Cell::Int(*number)]);
        }
    }
    for key in news.came {
        sheets.came.push((names.types.ordinal(&key.0), hex(&key)));
    }
    for (key, save) in news.waits {
        let body = cbor(&save)?;
        let id = Cell::Blob(key.1.as_bytes().to_vec());
        sheets.waiting.push([Cell::Int(names.types.ordinal(&key.0)), id, Cell::Blob(body)]);
    }
    for (partition, upto) in &news.forgotten {
        sheets.forgotten.push((names.partitions.ordinal(partition), *upto as i64));
    }
    for ((partition, key), moved) in news.moved {
        let (partition, type_name) = (names.partitions.ordinal(&partition), names.types.ordinal(&key.0));
        let Some((seq, stamp)) = moved else {
            sheets.returned.push((partition, type_name, hex(&key)));
            continue;
        };
        sheets.moved.push([
            Cell::Int(partition),
            Cell::Int(type_name),
            Cell::Blob(key.1.as_bytes().to_vec()),
            Cell::Int(seq as i64),
            Cell::Int(stamp.time.0),
            Cell::Int(names.dictionary.author(&stamp.author) as i64),
            Cell::Int(i64::from(stamp.tag)),
        ]);
    }
    for (partition, shift) in &news.partitions {
        let ordinal = names.partitions.ordinal(partition);
        let sum = book.sums.entry(ordinal).or_default();
        sum.head = sum.head.max(shift.head);
        sum.records = sum.records.saturating_add_signed(shift.records);
        sum.digest.0 = sum.digest.0.wrapping_add(shift.digest);
        sheets.partitions.push([
            Cell::Int(ordinal),
            Cell::Text(partition.to_string()),
            Cell::Int(sum.head as i64),
            Cell::Int(sum.records as i64),
            Cell::Blob(sum.digest.0.to_le_bytes().to_vec()),
        ]);
    }
    for ((type_name, flags), more) in news.tallies {
        if more != 0 {
            let ordinal = names.types.ordinal(&type_name);
            let count = book.tallies.entry((ordinal, flags)).or_default();
            *count += more;
            sheets.tallies.push([Cell::Int(ordinal), Cell::Int(i64::from(flags)), Cell::Int(*count)]);
        }
    }
    for ((kind, key), value) in news.locals {
        book.shadows |= kind == SHADOW;
        book.gone |= kind == GONE;
        match value {
            Some(value) => sheets.locals.push([Cell::Text(kind), Cell::Text(key), Cell::Text(value.to_string())]),
            None => sheets.cleared.push((kind, key)),
        }
    }
    let Sheets { authors, names: texts, types, partitions, .. } = &mut sheets;
    write_names(names, book, [authors, texts, types, partitions]);
    Ok(sheets)
}

fn record_row(
    number: i64,
    key: &Key,
    (partition, seq, flags): (&Partition, u64, Flags),
    stamps: Vec<u8>,
    document: String,
    names: &mut Names,
) -> [Cell; RECORD] {
    [
        Cell::Int(number),
        Cell::Int(names.types.ordinal(&key.0)),
        Cell::Blob(key.1.as_bytes().to_vec()),
        Cell::Int(0),
        Cell::Int(names.partitions.ordinal(partition)),
        Cell::Int(seq as i64),
        Cell::Int(i64::from(flags.0)),
        Cell::Blob(stamps),
        Cell::Text(document),
    ]
}

fn cbor(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|err| StoreError::Limit(err.to_string()))?;
    Ok(bytes)
}

fn hex(key: &Key) -> String {
    data_encoding::HEXUPPER.encode(key.1.as_bytes())
}

fn history_row(record: i64, line: Line, names: &mut Names) -> Vec<Cell> {
    let text = |value: Option<serde_json::Value>| value.map_or(Cell::Null, |value| Cell::Text(value.to_string()));
    let path = serde_json::to_string(&line.path).expect("a path is texts");
    let mut row = vec![
        Cell::Int(record),
        Cell::Int(line.seq as i64),
        Cell::Int(line.stamp.time.0),
        Cell::Int(names.dictionary.author(&line.stamp.author) as i64),
        Cell::Int(i64::from(line.stamp.tag)),
        Cell::Text(path),
        line.act.map_or(Cell::Null, |act| Cell::Int(act_number(act))),
        text(line.old),
        text(line.new),
    ];
    if line.replaced == Stamp::NEVER {
        row.extend([Cell::Null, Cell::Null, Cell::Null]);
    } else {
        row.extend([
            Cell::Int(line.replaced.time.0),
            Cell::Int(names.dictionary.author(&line.replaced.author) as i64),
            Cell::Int(i64::from(line.replaced.tag)),
        ]);
    }
    row.push(Cell::Int(line.seen_at));
    row
}

const ACTS: [EffectKind; 6] = [
    EffectKind::Changed,
    EffectKind::Overruled,
    EffectKind::Moved,
    EffectKind::Binned,
    EffectKind::Restored,
    EffectKind::Denied,
];

fn act_number(act: EffectKind) -> i64 {
    ACTS.iter().position(|other| *other == act).map_or(0, |at| at as i64)
}

pub(super) fn act_of(number: i64) -> Result<EffectKind, StoreError> {
    let act = usize::try_from(number).ok().and_then(|at| ACTS.get(at));
    act.copied().ok_or_else(|| StoreError::Damaged(format!("act {number}")))
}

/// New ordinals, also those of a transaction before that did not come through.
fn write_names(names: &Names, book: &mut Book, sheets: [&mut Batch; 4]) {
    let [of_authors, of_names, of_types, of_partitions] = sheets;
    let [authors, texts, types, partitions] = book.written;
    for (ordinal, author) in names.dictionary.authors().iter().enumerate().skip(authors) {
        of_authors.push([
            Cell::Int(ordinal as i64),
            Cell::Int(author.node.0 as i64),
            Cell::Int(author.incarnation.0 as i64),
            Cell::Blob(author.person.as_bytes().to_vec()),
        ]);
    }
    for (ordinal, name) in names.dictionary.names().iter().enumerate().skip(texts) {
        of_names.push([Cell::Int(ordinal as i64), Cell::Text(name.clone())]);
    }
    for (at, name) in names.types.all().iter().enumerate().skip(types) {
        of_types.push([Cell::Int(at as i64 + 1), Cell::Text(name.to_string())]);
    }
    for (at, partition) in names.partitions.all().iter().enumerate().skip(partitions) {
        let ordinal = at as i64 + 1;
        if !of_partitions.rows.iter().any(|row| matches!(row[0], Cell::Int(other) if other == ordinal)) {
            of_partitions.push([
                Cell::Int(ordinal),
                Cell::Text(partition.to_string()),
                Cell::Int(0),
                Cell::Int(0),
                Cell::Blob(vec![0; 16]),
            ]);
        }
    }
    book.written = [
        names.dictionary.authors().len(),
        names.dictionary.names().len(),
        names.types.all().len(),
        names.partitions.all().len(),
    ];
}
