//! What sync costs over real sockets, and beside PouchDB doing the same on the same machine.
//!
//! `cargo bench --bench sync -- [copy|live|catch-up|wire|idle] [records]`; all of them, with 100,000 records, by default.
//! PouchDB is measured where `npm ci` was run in `benches/pouchdb`.

#[path = "support/beside.rs"]
mod beside;
#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use beside::Pouch;
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use support::{Connection, RECORDS, SCHEMA, Served, record, run, sorted, token, told};
use tempfile::TempDir;

const CHANGED: u64 = 1_000;
const SAVES: u64 = 500;

/// A hub with so many records, not served yet.
fn hub_with(folder: &Path, name: &str, records: u64) -> PathBuf {
    let (hub, schema) = (folder.join(name), folder.join("work-order.json"));
    std::fs::write(&schema, SCHEMA).expect("a file");
    run(&hub, &["type", "import", &schema.to_string_lossy(), "--name", "work-order"], &mut |_| {});
    run(&hub, &["records", "import", "work-order", "-"], &mut |input| {
        let mut input = std::io::BufWriter::new(input);
        (0..records).for_each(|number| writeln!(input, "{}", record(number)).expect("it reads"));
    });
    hub
}

/// Joins an edge, and how long that took with its first copy.
fn join(hub: &Path, address: &str, edge: &Path) -> Duration {
    let invited =
        told(hub, &["node", "invite", "--name", &edge.file_name().expect("a name").to_string_lossy(), "--json"]);
    let invitation = invited["token"].as_str().expect("a token").to_owned();
    let started = Instant::now();
    run(edge, &["join", &format!("http://{address}"), "--token", &invitation, "--json"], &mut |_| {});
    started.elapsed()
}

fn state(asking: &mut Connection) -> Value {
    serde_json::from_str(&asking.ask("GET", "/api/v1/sync", None)).expect("JSON")
}

fn until_in_step(asking: &mut Connection) {
    while state(asking)["in_step"] != true {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn median(figures: Vec<f64>) -> f64 {
    let mut figures = figures;
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port().to_string()
}

/// A PouchDB server with so many records, and its address.
fn pouch_with(dir: &Path, records: u64) -> (Pouch, String) {
    let port = free_port();
    let mut server = Pouch::start("serve", dir, &port);
    server.ask(&json!({ "load": records }));
    (server, format!("http://127.0.0.1:{port}/work"))
}

/// Lines of JSON over TCP into a plain table with the same key, in transactions of a thousand: what could not be undercut.
fn plain_copy(folder: &Path, round: usize, records: u64) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let sender = std::thread::spawn(move || {
        let mut out = std::io::BufWriter::new(listener.accept().expect("a reader").0);
        for number in 0..records {
            let id = uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number) << 80 | 7);
            writeln!(out, "{}", json!([id.simple().to_string(), record(number).to_string()])).expect("it reads");
        }
    });
    let file = folder.join(format!("plain-{round}.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let started = Instant::now();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
        let mut conn = options.connect().await.expect("it opens");
        let table =
            "create table record (type integer not null, id blob not null, doc text not null, unique (type, id))";
        sqlx::query(table).execute(&mut conn).await.expect("a table");
        let mut lines = BufReader::new(TcpStream::connect(address).expect("it listens")).lines();
        loop {
            let group: Vec<String> = lines.by_ref().take(1000).map(|line| line.expect("a line")).collect();
            if group.is_empty() {
                break;
            }
            let sql = "insert into record (type, id, doc) select 1, unhex(value ->> 0), value ->> 1 from json_each($1)";
            sqlx::query(sql).bind(format!("[{}]", group.join(","))).execute(&mut conn).await.expect("it inserts");
        }
    });
    let took = started.elapsed();
    sender.join().expect("it sends");
    took
}

fn copy(records: u64) {
    println!("== first copy of {records} records of ten fields");
    let folder = TempDir::new().expect("a folder");
    let hub = hub_with(folder.path(), "hub", records);
    let served = Served::start(&hub);
    let a_second = |time: f64| records as f64 / time;
    let first = join(&hub, &served.address, &folder.path().join("first"));
    println!("the first edge, for which the hub makes the chunks: {:.0} records/s", a_second(first.as_secs_f64()));
    let pouch = beside::is_here().then(|| pouch_with(&folder.path().join("pouch"), records));
    let (mut ours, mut plain, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..3 {
        ours.push(join(&hub, &served.address, &folder.path().join(format!("edge-{round}"))).as_secs_f64());
        plain.push(plain_copy(folder.path(), round, records).as_secs_f64());
        if let Some((_, url)) = &pouch {
            let mut edge = Pouch::start("edge", &folder.path().join(format!("pouch-{round}")), url);
            let copied = edge.ask(&json!({ "pull": true }));
            assert_eq!(copied["written"], records);
            theirs.push(copied["ms"].as_f64().expect("a number") / 1e3);
        }
    }
    let (ours, plain) = (median(ours), median(plain));
    println!(
        "others: {:.0} records/s with the start of the process; plain rows over TCP into SQLite {:.0}: {:.2}",
        a_second(ours),
        a_second(plain),
        plain / ours
    );
    if !theirs.is_empty() {
        let theirs = median(theirs);
        println!("PouchDB {:.0} records/s: {:.1} times", a_second(theirs), theirs / ours);
    }
}

/// A hub and an edge that are served and in step, and what goes between them.
struct Pair {
    hub: Served,
    edge: Served,
    hub_token: String,
    edge_token: String,
    wire: std::sync::Arc<proxy::Counted>,
}

fn pair(folder: &Path, records: u64) -> Pair {
    let data = hub_with(folder, "hub", records);
    let hub = Served::start(&data);
    let (address, wire) = proxy::between(&hub.address);
    let below = folder.join("edge");
    join(&data, &address, &below);
    let (hub_token, edge_token) = (token(&data), token(&below));
    let edge = Served::start(&below);
    until_in_step(&mut edge.connect(&edge_token));
    Pair { hub, edge, hub_token, edge_token, wire }
}

fn ids(asking: &mut Connection, count: u64) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    while (ids.len() as u64) < count {
        let page: Value =
            serde_json::from_str(&asking.ask("GET", &format!("{RECORDS}?limit=500{cursor}"), None)).expect("JSON");
        let items = page["items"].as_array().expect("a list");
        ids.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ids.truncate(count as usize);
    ids
}

fn hours(round: u64, number: u64) -> u64 {
    100 + round * 7 + number % 3
}

/// A status and a number of each record.
fn change(asking: &mut Connection, ids: &[String], round: u64) {
    for (number, id) in ids.iter().enumerate() {
        let changed =
            json!({ "status": support::STATUSES[(number + round as usize) % 4], "hours": hours(round, number as u64) });
        asking.patch(&format!("{RECORDS}/{id}"), &changed);
    }
}

fn catch_up(records: u64) {
    let mut medians = Vec::new();
    for records in [10_000, records] {
        println!("== catching up on {CHANGED} changed among {records} records");
        let folder = TempDir::new().expect("a folder");
        let pair = pair(folder.path(), records);
        let ids = ids(&mut pair.hub.connect(&pair.hub_token), CHANGED);
        // PouchDB is given a tenth of a million: with all of them its first copy alone takes many minutes
        let pouch = beside::is_here().then(|| pouch_with(&folder.path().join("pouch"), records.min(100_000)));
        let mut pouch = pouch.map(|(server, url)| {
            let mut edge = Pouch::start("edge", &folder.path().join("pouch-edge"), &url);
            edge.ask(&json!({ "pull": true }));
            (server, edge)
        });
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..5 {
            let (mut on_hub, mut on_edge) = (pair.hub.connect(&pair.hub_token), pair.edge.connect(&pair.edge_token));
            on_edge.ask("POST", "/api/v1/sync/pause", None);
            change(&mut on_hub, &ids, round);
            let started = Instant::now();
            on_edge.ask("POST", "/api/v1/sync/resume", None);
            let last = &ids[ids.len() - 1];
            while !on_edge
                .ask("GET", &format!("{RECORDS}/{last}"), None)
                .contains(&format!("\"hours\":{}", hours(round, CHANGED - 1)))
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            until_in_step(&mut on_edge);
            ours.push(started.elapsed().as_secs_f64() * 1e3);
            if let Some((server, edge)) = &mut pouch {
                let keys: Vec<u64> = (0..CHANGED).map(|number| number * 7 % records.min(100_000)).collect();
                server.ask(&json!({ "change": true, "round": round, "keys": keys }));
                theirs.push(edge.ask(&json!({ "pull": true }))["ms"].as_f64().expect("a number"));
            }
        }
        let ours = median(ours);
        println!("in step again after {ours:.1} ms");
        if !theirs.is_empty() {
            let theirs = median(theirs);
            println!("PouchDB, with {} records, after {theirs:.1} ms: {:.3}", records.min(100_000), ours / theirs);
        }
        medians.push(ours);
    }
    println!("many against few: {:.2}", medians[1] / medians[0]);
}

fn hear(on: &Served, token: &str) -> mpsc::Receiver<(String, Instant)> {
    let mut live = on.connect(token);
    live.send("GET", "/api/v1/events", None);
    live.head();
    live.stream.get_ref().set_read_timeout(None).expect("a socket");
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while matches!(live.stream.read_line(&mut line), Ok(read) if read > 0) {
            let at = Instant::now();
            if let Some(event) = line.strip_prefix("data: ")
                && let Ok(event) = serde_json::from_str::<Value>(event)
                && let Some(id) = event["id"].as_str()
                && told.send((id.to_owned(), at)).is_err()
            {
                break;
            }
            line.clear();
        }
    });
    heard
}

fn say(what: &str, times: Vec<Duration>) -> f64 {
    let times = sorted(times);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms after it was sent", at(50), at(99), at(100));
    at(50)
}

fn live(records: u64) {
    println!("== how soon a save is seen on the other node, among {records} records");
    let folder = TempDir::new().expect("a folder");
    let pair = pair(folder.path(), records);
    let other = folder.path().join("other");
    join(&folder.path().join("hub"), &pair.hub.address, &other);
    let other_token = token(&other);
    let other = Served::start(&other);
    until_in_step(&mut other.connect(&other_token));
    let way = |from: &Served, of: &str, on: &Served, token: &str| {
        let heard = hear(on, token);
        let mut saving = from.connect(of);
        (0..SAVES)
            .map(|number| {
                std::thread::sleep(Duration::from_millis(number % 40));
                let began = Instant::now();
                let made = saving.ask("POST", RECORDS, Some(&json!({ "data": record(number) })));
                let made: Value = serde_json::from_str(&made).expect("JSON");
                loop {
                    let (seen, at) = heard.recv_timeout(Duration::from_secs(30)).expect("it is seen");
                    if made["id"] == seen.as_str() {
                        return at - began;
                    }
                }
            })
            .collect::<Vec<_>>()
    };
    let down = say("hub to edge", way(&pair.hub, &pair.hub_token, &pair.edge, &pair.edge_token));
    say("edge to hub", way(&pair.edge, &pair.edge_token, &pair.hub, &pair.hub_token));
    say("edge to hub to edge", way(&pair.edge, &pair.edge_token, &other, &other_token));
    if beside::is_here() {
        let (_server, url) = pouch_with(&folder.path().join("pouch"), records);
        let mut edge = Pouch::start("edge", &folder.path().join("pouch-edge"), &url);
        edge.ask(&json!({ "pull": true }));
        edge.ask(&json!({ "live": true }));
        std::thread::sleep(Duration::from_secs(2));
        let address = url.trim_start_matches("http://").trim_end_matches("/work").to_owned();
        let mut saving = Connection::over(TcpStream::connect(&address).expect("it listens"), "");
        let since_1970 =
            || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later").as_secs_f64() * 1e3;
        let times = (0..SAVES).map(|number| {
            std::thread::sleep(Duration::from_millis(number % 40));
            let began = since_1970();
            saving.ask("PUT", &format!("/work/{number}"), Some(&record(number)));
            let seen = edge.next();
            assert_eq!(seen["seen"], number.to_string());
            Duration::from_secs_f64((seen["at"].as_f64().expect("a number") - began).max(0.0) / 1e3)
        });
        let theirs = say("PouchDB, server to replica", times.collect());
        println!("ours of theirs: {:.2}", down / theirs);
    }
}

fn wire() {
    println!("== bytes on the wire for a changed status and number");
    let folder = TempDir::new().expect("a folder");
    let pair = pair(folder.path(), 2_000);
    let ids = ids(&mut pair.hub.connect(&pair.hub_token), CHANGED);
    for (way, from_edge) in [("up", true), ("down", false)] {
        std::thread::sleep(Duration::from_secs(3));
        let (mut on_hub, mut on_edge) = (pair.hub.connect(&pair.hub_token), pair.edge.connect(&pair.edge_token));
        on_edge.ask("POST", "/api/v1/sync/pause", None);
        let round = 1 + u64::from(from_edge);
        change(if from_edge { &mut on_edge } else { &mut on_hub }, &ids, round);
        pair.wire.clear();
        on_edge.ask("POST", "/api/v1/sync/resume", None);
        let (there, last) = (if from_edge { &mut on_hub } else { &mut on_edge }, &ids[ids.len() - 1]);
        while !there
            .ask("GET", &format!("{RECORDS}/{last}"), None)
            .contains(&format!("\"hours\":{}", hours(round, CHANGED - 1)))
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        until_in_step(&mut on_edge);
        std::thread::sleep(Duration::from_secs(3));
        let bytes = pair.wire.both();
        let pushed: usize = pair.wire.bodies("/sync/v1/push").iter().sum();
        println!(
            "{way}, {CHANGED} at once: {:.1} bytes each of both ways with all headers and hellos; {:.1} in bodies of pushes",
            bytes as f64 / CHANGED as f64,
            pushed as f64 / CHANGED as f64
        );
    }
    let (mut alone, mut on_edge) = (Vec::new(), pair.edge.connect(&pair.edge_token));
    for (number, id) in ids.iter().take(30).enumerate() {
        std::thread::sleep(Duration::from_millis(100));
        pair.wire.clear();
        on_edge.patch(
            &format!("{RECORDS}/{id}"),
            &json!({ "status": support::STATUSES[number % 4], "hours": 500 + number }),
        );
        while pair.wire.bodies("/sync/v1/push").is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
        until_in_step(&mut on_edge);
        alone.extend(pair.wire.bodies("/sync/v1/push").iter().map(|&bytes| bytes as f64));
    }
    println!("alone: {:.0} bytes besides HTTP headers, median of {}", median(alone.clone()), alone.len());
}

fn idle(records: u64) {
    println!("== an idle edge with {records} records");
    let folder = TempDir::new().expect("a folder");
    let pair = pair(folder.path(), records);
    std::thread::sleep(Duration::from_secs(30));
    pair.wire.clear();
    let (edge, hub) = (pair.edge.processor(), pair.hub.processor());
    let minutes = 3.0;
    std::thread::sleep(Duration::from_secs_f64(60.0 * minutes));
    println!(
        "{:.0} bytes a minute both ways, {:.0} ms of processor time a minute ({:.0} at the hub), {:.1} MiB resident",
        pair.wire.both() as f64 / minutes,
        (pair.edge.processor() - edge) / minutes,
        (pair.hub.processor() - hub) / minutes,
        pair.edge.resident()
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let records = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let named = |name: &str| args.iter().any(|arg| arg == name);
    let all = !["copy", "live", "catch-up", "wire", "idle"].into_iter().any(named);
    if all || named("copy") {
        copy(records);
    }
    if all || named("live") {
        live(records.min(10_000));
    }
    if all || named("catch-up") {
        catch_up(records);
    }
    if all || named("wire") {
        wire();
    }
    if all || named("idle") {
        idle(records);
    }
}
