//! What the node costs over HTTP, against a floor measured in the same run: a minimal actix handler that validates and
//! hands rows to one grouped SQLite writer, and its plain reads.
//!
//! `cargo bench --bench http -- [records]`; 100,000 by default. Each figure is the median of alternating rounds, so that a
//! noisy machine disturbs both sides alike.

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App as Actix, HttpResponse, HttpServer, web};
use outpost::domain::people::{Actor, Role};
use outpost::node::{Caches, Identity, ImportedRow, Node, World};
use outpost::store::{Options, Sqlite};
use outpost::web::App;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row};
use support::{SCHEMA, record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

struct Dice;

impl World for Dice {
    fn now(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        since.as_millis() as i64
    }

    fn ticks(&self) -> i64 {
        self.now()
    }

    fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system has chance");
        u128::from_le_bytes(bytes)
    }
}

/// The floor: a table with the same key, a writer that groups what waits.
mod floor {
    use super::*;

    pub struct Floor {
        pub rows: mpsc::Sender<(Uuid, String, oneshot::Sender<()>)>,
        pub readers: SqlitePool,
        pub validator: jsonschema::Validator,
    }

    pub async fn open(file: &Path) -> Floor {
        let connect = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = connect.connect().await.expect("it connects");
        sqlx::raw_sql(
            "create table record (type integer not null, id blob not null, facet integer not null default 0, doc text not null, unique (type, id, facet));
             create index list on record (json_extract(doc, '$.status'), json_extract(doc, '$.due'), id)",
        )
        .execute(&mut connection)
        .await
        .expect("the table is made");
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(connect.read_only(true))
            .await
            .expect("it connects");
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
                sqlx::query("begin immediate").execute(&mut connection).await.expect("it begins");
                sqlx::query(
                    "insert into record (type, id, doc) select 1, unhex(value ->> 0), value ->> 1 from json_each($1)",
                )
                .bind(Value::Array(list).to_string())
                .execute(&mut connection)
                .await
                .expect("it inserts");
                sqlx::query("commit").execute(&mut connection).await.expect("it commits");
                for (_, _, reply) in group {
                    let _ = reply.send(());
                }
            }
        });
        let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        let validator =
            jsonschema::draft202012::options().should_validate_formats(true).build(&schema).expect("a schema");
        Floor { rows, readers, validator }
    }

    pub async fn create(floor: web::Data<Floor>, body: web::Bytes) -> HttpResponse {
        let Ok(body) = serde_json::from_slice::<Value>(&body) else { return HttpResponse::BadRequest().finish() };
        let data = &body["data"];
        if !floor.validator.is_valid(data) {
            return HttpResponse::UnprocessableEntity().finish();
        }
        let id = Uuid::from_u128(Dice.random());
        let (reply, done) = oneshot::channel();
        floor.rows.send((id, data.to_string(), reply)).await.expect("the writer is there");
        done.await.expect("the writer answers");
        HttpResponse::Created().content_type("application/json").body(format!("{{\"id\":\"{id}\",\"data\":{data}}}"))
    }

    pub async fn show(floor: web::Data<Floor>, id: web::Path<Uuid>) -> HttpResponse {
        let row = sqlx::query("select doc from record where type = 1 and id = $1")
            .bind(id.as_bytes().to_vec())
            .fetch_one(&floor.readers)
            .await
            .expect("it is there");
        let doc: &str = row.get(0);
        HttpResponse::Ok().content_type("application/json").body(format!("{{\"id\":\"{id}\",\"data\":{doc}}}"))
    }

    pub async fn list(floor: web::Data<Floor>) -> HttpResponse {
        let rows = sqlx::query(
            "select id, doc from record where json_extract(doc, '$.status') = 'open' order by json_extract(doc, '$.due'), id limit 50",
        )
        .fetch_all(&floor.readers)
        .await
        .expect("it lists");
        let items: Vec<String> = rows.iter().map(|row| format!("{{\"data\":{}}}", row.get::<&str, _>(1))).collect();
        HttpResponse::Ok().content_type("application/json").body(format!("{{\"items\":[{}]}}", items.join(",")))
    }
}

/// Requests a second over all connections, and the slowest hundredth.
async fn load(address: &str, request: &(dyn Fn(u64) -> Vec<u8> + Sync)) -> f64 {
    let started = Instant::now();
    let all = (0..CONNECTIONS as u64).map(|connection| async move {
        let mut stream = TcpStream::connect(address).await.expect("it connects");
        stream.set_nodelay(true).expect("a socket");
        let mut buffer = vec![0; 1 << 20];
        let mut count = 0u64;
        while started.elapsed() < ROUND {
            stream.write_all(&request(connection << 32 | count)).await.expect("it is sent");
            read_answer(&mut stream, &mut buffer).await;
            count += 1;
        }
        count
    });
    let counts = futures_util::future::join_all(all).await;
    counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(read > 0, "the connection was closed");
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).expect("a head");
        assert!(text.starts_with("HTTP/1.1 2"), "{text}\n{}", String::from_utf8_lossy(&buffer[head..filled]));
        let length = text
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
            .expect("a length");
        if filled >= head + 4 + length.parse::<usize>().expect("a number") {
            return;
        }
    }
}

fn http(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs both sides in turn and prints the ratio of the medians.
async fn compare(
    what: &str,
    floor: (&str, &(dyn Fn(u64) -> Vec<u8> + Sync)),
    ours: (&str, &(dyn Fn(u64) -> Vec<u8> + Sync)),
) {
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        low.push(load(floor.0, floor.1).await);
        high.push(load(ours.0, ours.1).await);
    }
    let (low, high) = (median(low), median(high));
    println!("{what:<40} floor {low:>9.0}/s   outpost {high:>9.0}/s   {:>5.1} %", high / low * 100.0);
}

/// In megabytes, with what stands in the log.
async fn size(folder: &Path) -> f64 {
    let connect = SqliteConnectOptions::new().filename(folder.join("outpost.db")).read_only(true);
    let mut connection = connect.connect().await.expect("it connects");
    let row = sqlx::query("select page_count * page_size from pragma_page_count, pragma_page_size");
    row.fetch_one(&mut connection).await.expect("a size").get::<i64, _>(0) as f64 / 1e6
}

#[tokio::main]
async fn main() {
    let records: u64 = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).expect("a folder");
    let base = floor::open(&plain.join("outpost.db")).await;
    let caches = Arc::new(Caches::default());
    let store =
        Sqlite::open(&folder.path().join("outpost.db"), caches.clone(), Options::default()).await.expect("it opens");
    let store = Arc::new(store);
    let identity = Identity::hub(&Dice, "bench");
    identity.settle(&*store).await.expect("it settles");
    let node = Node::open(store, caches, Arc::new(Dice), identity).await.expect("it opens");
    let admin = Actor::Operator;
    node.create_type(&admin, "work-order", SCHEMA.as_bytes()).await.expect("a type");
    let (token, _) = node.create_token(&admin, "bench", Role::Admin).await.expect("a token");

    let started = Instant::now();
    let mut ids = Vec::with_capacity(records as usize);
    for from in (0..records).step_by(5_000) {
        let rows =
            (from..(from + 5_000).min(records)).map(|n| ImportedRow { id: Some(node.new_id()), data: record(n) });
        let rows: Vec<ImportedRow> = rows.collect();
        for row in &rows {
            let (reply, done) = oneshot::channel();
            let id = row.id.expect("it was given");
            base.rows.send((id, row.data.to_string(), reply)).await.expect("the writer is there");
            ids.push(id);
            drop(done);
        }
        for made in node.import_records(&admin, "work-order", rows).await.expect("imported") {
            made.expect("made");
        }
    }
    println!("{records} records in both in {:.1} s", started.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_millis(500)).await;

    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let (one, two) = (listen(), listen());
    let (low, high) = (one.local_addr().expect("bound").to_string(), two.local_addr().expect("bound").to_string());
    let base = web::Data::new(base);
    let server = HttpServer::new(move || {
        Actix::new()
            .app_data(base.clone())
            .route("/records", web::post().to(floor::create))
            .route("/records", web::get().to(floor::list))
            .route("/records/{id}", web::get().to(floor::show))
    });
    let server = server.workers(2).disable_signals().listen(one).expect("it listens").run();
    let stop = server.handle();
    tokio::spawn(server);
    let app = web::Data::new(App::new(node));
    let server = HttpServer::new(move || Actix::new().app_data(app.clone()).configure(outpost::web::api::configure));
    let server = server.workers(2).disable_signals().listen(two).expect("it listens").run();
    let stop_too = server.handle();
    tokio::spawn(server);

    let body = |number: u64| json!({ "data": record(number) }).to_string();
    let create_floor = |number| http("POST", "/records", "", &body(number));
    let create_ours = |number| http("POST", "/api/v1/types/work-order/records", &token, &body(number));
    let id = |number: u64| ids[(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % records) as usize];
    let show_floor = |number| http("GET", &format!("/records/{}", id(number)), "", "");
    let show_ours = |number| http("GET", &format!("/api/v1/types/work-order/records/{}", id(number)), &token, "");
    let list_floor = |_| http("GET", "/records", "", "");
    let list_ours =
        |_| http("GET", "/api/v1/types/work-order/records?filter=/status:eq:open&sort=/due&limit=50", &token, "");

    // the first list asks for its index
    load(&high, &list_ours).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    compare("read one record", (&low, &show_floor), (&high, &show_ours)).await;
    compare("page of 50, filtered and sorted", (&low, &list_floor), (&high, &list_ours)).await;
    println!(
        "database {:.2} MB, the same JSON in a plain table {:.2} MB (indexes for lists in both)",
        size(folder.path()).await,
        size(&plain).await
    );
    compare("durable validated creates", (&low, &create_floor), (&high, &create_ours)).await;
    stop.stop(false).await;
    stop_too.stop(false).await;
}
