//! What the store costs by itself, against plain SQLite in the same run.
//!
//! `cargo bench --bench store -- [records]`; 100,000 by default. Figures are medians of alternating rounds.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, Partition, RevisionId, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::record::{Act, Change, Content, Cover};
use outpost::domain::snapshot::{Cutter, read};
use outpost::domain::stamp::Author;
use outpost::store::chunk::{self, seal};
use outpost::store::{
    Copying, Cursor, Expect, Filter, Judge, LocalRecord, LocalSave, Operator, Options, Outcome, PulledPage, Query,
    Ready, Request, Sort, SortKey, Sqlite, Store,
};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const CONNECTIONS: u64 = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const STATUSES: [&str; 4] = ["open", "doing", "done", "parked"];

struct Anything;

impl Judge for Anything {
    fn partition(&self, type_name: &TypeName, _: &Value) -> Partition {
        Partition::of_type(type_name)
    }

    fn is_valid(&self, _: &TypeName, _: Option<RevisionId>, _: &Value) -> Option<bool> {
        Some(true)
    }
}

/// Ten fields.
fn document(number: u64) -> Value {
    json!({
        "asset": format!("Pump P-{}", number % 977),
        "assigned_to": "ingrid@example.org",
        "due": format!("2026-{:02}-{:02}", number * 7 % 12 + 1, number * 11 % 28 + 1),
        "hours": number % 80,
        "notes": "Seal weeps about a cup an hour at full load. Oil on the bed plate, wiped at noon.",
        "priority": number % 5 + 1,
        "site": format!("platform-{}", number % 13),
        "status": STATUSES[(number % 4) as usize],
        "title": format!("Replace hydraulic pump seal {number}"),
        "urgent": number.is_multiple_of(9)
    })
}

/// As a UUID of version 7 would be: later ones are higher.
fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number) << 80 | u128::from(number * 7919))
}

fn kind() -> TypeName {
    TypeName::custom("work-order").expect("a good name")
}

fn creation(number: u64) -> LocalRecord {
    let change =
        Change { path: Path::root(), act: Act::Set(Content::json(document(number))), replaces: Cover::nothing() };
    LocalRecord {
        type_name: kind(),
        id: id(number),
        revision: Some(RevisionId(1)),
        expect: Expect::New,
        changes: vec![change],
    }
}

fn save(number: u64, records: Vec<LocalRecord>) -> Request {
    let author = Author { node: NodeId(1), incarnation: Incarnation(1), person: Uuid::from_u128(1) };
    let id = SaveId(u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    Request::Save(LocalSave {
        id,
        author,
        now: Hlc::at(1_800_000_000_000).millis(),
        unchecked: None,
        records,
        outbox: false,
    })
}

async fn open(file: &FilePath) -> Arc<Sqlite> {
    Arc::new(Sqlite::open(file, Arc::new(Anything), Options::default()).await.expect("it opens"))
}

type Plain = mpsc::Sender<(Uuid, String, oneshot::Sender<()>)>;

fn connect(file: &FilePath) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

/// A table with the same key and a writer that groups what waits.
async fn plain(file: &FilePath) -> Plain {
    let mut conn = connect(file).connect().await.expect("it opens");
    let table = "create table record (type integer not null, id blob not null, doc text not null, unique (type, id))";
    sqlx::query(table).execute(&mut conn).await.expect("a table");
    let (rows, mut queue) = mpsc::channel::<(Uuid, String, oneshot::Sender<()>)>(1024);
    tokio::spawn(async move {
        while let Some(first) = queue.recv().await {
            let mut group = vec![first];
            while group.len() < 512
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            let list: Vec<Value> = group.iter().map(|(id, doc, _)| json!([id.simple().to_string(), doc])).collect();
            sqlx::query("begin immediate").execute(&mut conn).await.expect("it begins");
            let sql = "insert into record (type, id, doc) select 1, unhex(value ->> 0), value ->> 1 from json_each($1)";
            sqlx::query(sql).bind(Value::Array(list).to_string()).execute(&mut conn).await.expect("it inserts");
            sqlx::query("commit").execute(&mut conn).await.expect("it commits");
            for (_, _, answer) in group {
                let _ = answer.send(());
            }
        }
    });
    rows
}

/// How many are done in a second by this many at once.
async fn rate<F: Future<Output = ()> + Send + 'static>(work: impl Fn(u64) -> F + Send + Sync + 'static) -> f64 {
    static NEXT: AtomicU64 = AtomicU64::new(10_000_000);
    let work = Arc::new(work);
    let started = Instant::now();
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut done = 0u64;
                while started.elapsed() < ROUND {
                    work(NEXT.fetch_add(1, Ordering::Relaxed)).await;
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for worker in workers {
        done += worker.await.expect("it works");
    }
    done as f64 / started.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

async fn size(file: &FilePath) -> f64 {
    let mut conn = connect(file).connect().await.expect("it opens");
    let row = sqlx::query("select page_count * page_size from pragma_page_count, pragma_page_size");
    row.fetch_one(&mut conn).await.expect("a size").get::<i64, _>(0) as f64 / 1e6
}

#[tokio::main]
async fn main() {
    let records: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("outpost.db"), folder.path().join("plain.db"));
    let (store, rows) = (open(&ours).await, plain(&theirs).await);

    let started = Instant::now();
    for from in (0..records).step_by(500) {
        let records = (from..(from + 500).min(records)).map(creation).collect();
        let saved = store.write(save(from, records)).await.expect("it saves");
        assert!(matches!(saved, Outcome::Saved(_)));
    }
    println!("{:.0} creates/s in saves of 500", records as f64 / started.elapsed().as_secs_f64());
    let mut last = None;
    for number in 0..records {
        let (answer, answered) = oneshot::channel();
        rows.send((id(number), document(number).to_string(), answer)).await.expect("it takes it");
        last = Some(answered);
    }
    last.expect("there are some").await.expect("it is answered");
    println!("{:.0} MiB resident with {records} records", resident());
    let (a, b) = (size(&ours).await, size(&theirs).await);
    println!("database {a:.1} MB, plain table {b:.1} MB: {:.2}", a / b);

    pull(&store, folder.path(), records).await;
    first_copy(&store, folder.path(), records).await;
    lists(&store, &theirs).await;

    let (mut mine, mut plainly) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let rows = rows.clone();
        plainly.push(
            rate(move |number| {
                let rows = rows.clone();
                async move {
                    let (answer, answered) = oneshot::channel();
                    let doc = document(number).to_string();
                    rows.send((id(number), doc, answer)).await.expect("it takes it");
                    answered.await.expect("it is answered");
                }
            })
            .await,
        );
        let store = store.clone();
        mine.push(
            rate(move |number| {
                let store = store.clone();
                async move {
                    store.write(save(number, vec![creation(number)])).await.expect("it saves");
                }
            })
            .await,
        );
    }
    let (mine, plainly) = (median(mine), median(plainly));
    println!("durable creates by {CONNECTIONS} at once: {mine:.0}/s, plain {plainly:.0}/s: {:.2}", mine / plainly);
    println!("{:.0} MiB resident at the end", resident());
}

/// Reads a partition page by page from `base` on and joins it in another store; how long each took, and where it ended.
async fn carry(store: &Sqlite, reader: &Sqlite, base: u64) -> (Duration, Duration, u64) {
    let partition = Partition::of_type(&kind());
    let (mut after, mut reading, mut joining) = (base, Duration::ZERO, Duration::ZERO);
    loop {
        let started = Instant::now();
        let changes = store.changes(&partition, base, after, 1 << 20).await.expect("it reads");
        reading += started.elapsed();
        let head = changes.head;
        let cursor = Cursor { base, after: changes.next.unwrap_or(changes.head), ..Cursor::default() };
        let (rows, moved, dictionary) = (changes.rows, changes.moved, changes.dictionary);
        let page = PulledPage { partition: partition.clone(), rows, moved, cursor, dictionary };
        let started = Instant::now();
        reader.write(Request::Join { page, now: 1_800_000_000_000 }).await.expect("it joins");
        joining += started.elapsed();
        match changes.next {
            Some(next) => after = next,
            None => return (reading, joining, head),
        }
    }
}

/// All records, and then one field of each of them.
async fn pull(store: &Sqlite, folder: &FilePath, records: u64) {
    let reader = open(&folder.join("reader.db")).await;
    let a_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
    let (reading, joining, head) = carry(store, &reader, 0).await;
    println!("pull: {:.0} rows/s read, {:.0} rows/s joined", a_second(records, reading), a_second(records, joining));
    let changed = records.min(50_000);
    for from in (0..changed).step_by(500) {
        let mut records = Vec::new();
        for number in from..(from + 500).min(changed) {
            let held = store.record(&kind(), id(number)).await.expect("it reads").expect("it is here");
            let path = Path::root().property("hours");
            let replaces = held.state.cover(&path);
            let change = Change { path, act: Act::Set(Content::json(json!(1000 + number))), replaces };
            let expect = Expect::Exists;
            records.push(LocalRecord { expect, changes: vec![change], ..creation(number) });
        }
        store.write(save(30_000_000 + from, records)).await.expect("it saves");
    }
    let (reading, joining, _) = carry(store, &reader, head).await;
    println!(
        "of one field: {:.0} rows/s read, {:.0} rows/s joined",
        a_second(changed, reading),
        a_second(changed, joining)
    );
    let digest = |states: Vec<outpost::store::PartitionState>| states[0].digest;
    assert_eq!(
        digest(store.partitions().await.expect("it reads")),
        digest(reader.partitions().await.expect("it reads"))
    );
    reader.close().await;
}

/// Puts a partition into chunks, and joins them in another store.
async fn first_copy(store: &Sqlite, folder: &FilePath, records: u64) {
    let partition = Partition::of_type(&kind());
    let started = Instant::now();
    let mut cutter = Cutter::new(&partition);
    let mut chunks = Vec::new();
    let mut lines = String::new();
    let mut see = |held: outpost::store::Held| {
        let text = held.document.value.to_string();
        let content = cutter.push(&held.type_name, held.id, held.state, text.len());
        chunks.extend(content.map(|content| seal(&content)));
        Ok(())
    };
    let state = store.walk(&partition, &mut see).await.expect("it reads");
    chunks.extend(cutter.finish().map(|content| seal(&content)));
    let making = started.elapsed();
    for number in 0..records {
        lines.push_str(&json!({ "id": id(number), "type": kind(), "data": document(number) }).to_string());
        lines.push('\n');
    }
    let plain = zstd::bulk::compress(lines.as_bytes(), 3).expect("memory takes it").len();
    let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();

    let edge = open(&folder.join("edge.db")).await;
    let (started, count) = (Instant::now(), chunks.len());
    let (mut copying, mut joining) = (Some(Copying::default()), Duration::ZERO);
    for (number, chunk) in chunks.into_iter().enumerate() {
        let content = chunk::open(chunk.at.hash, &chunk.bytes).expect("it is whole");
        let (rows, dictionary) = read(&partition, &content).expect("it is a chunk");
        let cursor = Cursor { base: state.head, after: state.head, ..Cursor::default() };
        let page = PulledPage { partition: partition.clone(), rows, moved: Vec::new(), cursor, dictionary };
        copying = copying.map(|copying| copying.with(chunk.at.hash, state.head)).filter(|_| number + 1 < count);
        let began = Instant::now();
        let request =
            Request::JoinChunk { page, ready: Ready::default(), copying: copying.clone(), now: 1_800_000_000_000 };
        edge.write(request).await.expect("it joins");
        joining += began.elapsed();
    }
    let a_second = |time: Duration| records as f64 / time.as_secs_f64();
    println!(
        "first copy: {count} chunks, {:.0} records/s made, {:.0} taken in, of which joining {:.0}; {:.2} of JSON lines by zstd -3",
        a_second(making),
        a_second(started.elapsed()),
        a_second(joining),
        bytes as f64 / plain as f64
    );
    let states = edge.partitions().await.expect("it reads");
    assert_eq!(states[0].digest, state.digest);
    edge.close().await;
}

/// A page of 50, filtered and sorted, along an index on both sides.
async fn lists(store: &Sqlite, theirs: &FilePath) {
    let mut conn: SqliteConnection = connect(theirs).connect().await.expect("it opens");
    let index = "create index list on record (doc ->> '$.status', doc ->> '$.due', id)";
    sqlx::query(index).execute(&mut conn).await.expect("an index");
    let field = |name: &str| vec![name.to_owned()];
    let query = Query {
        type_name: kind(),
        filters: vec![Filter { path: field("status"), operator: Operator::Equal, value: json!("open") }],
        sort: vec![Sort { by: SortKey::Field(field("due")), descending: false }],
        binned: false,
        limit: 50,
        cursor: None,
    };
    let started = Instant::now();
    store.records(&query).await.expect("it reads");
    println!("the first list without an index: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let mut longest = Duration::ZERO;
    for number in 20_000_000..20_000_012 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = Instant::now();
        store.write(save(number, vec![creation(number)])).await.expect("it saves");
        longest = longest.max(started.elapsed());
    }
    println!("the longest save while its index was made: {:.1} ms", longest.as_secs_f64() * 1e3);
    let (mut mine, mut plainly) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let started = Instant::now();
        assert_eq!(store.records(&query).await.expect("it reads").items.len(), 50);
        mine.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        let sql = "select id, doc from record where doc ->> '$.status' = 'open' order by doc ->> '$.due', id limit 51";
        let rows = sqlx::query(sql).fetch_all(&mut conn).await.expect("it reads");
        let read: Vec<(Vec<u8>, Value)> =
            rows.iter().map(|row| (row.get(0), serde_json::from_str(row.get::<&str, _>(1)).expect("JSON"))).collect();
        assert_eq!(read.len(), 51);
        plainly.push(started.elapsed().as_secs_f64());
    }
    let (mine, plainly) = (median(mine) * 1e3, median(plainly) * 1e3);
    println!("page of 50, filtered and sorted: {mine:.2} ms, plain {plainly:.2} ms: {:.2}", plainly / mine);
    let started = Instant::now();
    for number in 0..200 {
        store.record(&kind(), id(number * 37)).await.expect("it reads").expect("it is here");
    }
    println!("one record: {:.3} ms", started.elapsed().as_secs_f64() * 1e3 / 200.0);
}
