//! What people feel of a running `outpost serve`: how soon it answers, how much memory it holds, and how soon a save is
//! seen on the other node.
//!
//! `cargo bench --bench serve -- [records]`; 100,000 by default. It runs the binary itself and speaks HTTP to it.

mod support;

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{RECORDS, SCHEMA, Served, record, run, sorted, token, told};

const STARTS: usize = 15;
const SAVES: usize = 500;
fn starts(what: &str, data: impl Fn(usize) -> std::path::PathBuf) {
    let times = sorted((0..STARTS).map(|number| Served::start(&data(number)).start).collect());
    println!(
        "start of serve, {what}: median {:.1} ms, slowest of {STARTS} {:.1} ms",
        times[STARTS / 2],
        times[STARTS - 1]
    );
}

fn memory(data: &Path, records: u64) {
    let token = token(data);
    let node = Served::start(data);
    println!("resident at the start: {:.1} MiB", node.resident());
    let readers: Vec<_> = (0..8u64)
        .map(|reader| {
            let mut connection = node.connect(&token);
            std::thread::spawn(move || {
                let fields = ["due", "priority", "title", "site"];
                for n in 0..100 {
                    let field = fields[(n / 20) % fields.len()];
                    connection.ask("GET", &format!("{RECORDS}?sort=/{field}&limit=50"), None);
                    connection.ask("GET", &format!("{RECORDS}?filter=/status:eq:open&sort=/due&limit=50"), None);
                    let page = connection.ask("GET", &format!("{RECORDS}?sort=-/{field}&limit=200"), None);
                    let page: Value = serde_json::from_str(&page).expect("JSON");
                    for item in page["items"].as_array().expect("a list").iter().take(20) {
                        let id = item["id"].as_str().expect("an id");
                        connection.ask("GET", &format!("{RECORDS}/{id}"), None);
                        if n % 10 == 0 {
                            connection.ask("GET", &format!("{RECORDS}/{id}/history"), None);
                        }
                    }
                    for k in 0..5 {
                        let number = records + reader * 1000 + n as u64 * 5 + k;
                        connection.ask("POST", RECORDS, Some(&json!({ "data": record(number) })));
                    }
                }
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().expect("it reads"));
    println!(
        "resident with {records} records after lists, pages, records, histories and creates: {:.1} MiB",
        node.resident()
    );
}

/// How soon a save on one node is told by the other.
fn seen(what: &str, from: &Served, of: &str, on: &Served, token: &str) {
    let mut live = on.connect(token);
    live.send("GET", "/api/v1/events", None);
    live.head();
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
    let (mut saving, mut reading) = (from.connect(of), on.connect(token));
    let (mut after_answer, mut whole) = (Vec::new(), Vec::new());
    for number in 0..SAVES as u64 {
        let began = Instant::now();
        let made = saving.ask("POST", RECORDS, Some(&json!({ "data": record(number) })));
        let answered = Instant::now();
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let id = made["id"].as_str().expect("an id");
        let at = loop {
            let (seen, at) = heard.recv_timeout(Duration::from_secs(30)).expect("it is seen");
            if seen == id {
                break at;
            }
        };
        after_answer.push(at.saturating_duration_since(answered));
        whole.push(at - began);
        reading.ask("GET", &format!("{RECORDS}/{id}"), None);
        std::thread::sleep(Duration::from_millis(number % 40));
    }
    let (after_answer, whole) = (sorted(after_answer), sorted(whole));
    let at = |times: &[f64], share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{what}: seen p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms after the save was answered; p50 {:.1} ms, p99 {:.1} ms after it was sent",
        at(&after_answer, 50),
        at(&after_answer, 99),
        at(&after_answer, 100),
        at(&whole, 50),
        at(&whole, 99)
    );
}

fn visible(data: &Path, folder: &Path) {
    let (hub_token, edge) = (token(data), folder.join("edge"));
    let hub = Served::start(data);
    let invited = told(data, &["node", "invite", "--name", "edge", "--json"]);
    let invitation = invited["token"].as_str().expect("a token");
    let started = Instant::now();
    run(&edge, &["join", &format!("http://{}", hub.address), "--token", invitation, "--json"], &mut |_| {});
    println!("join with its first copy: {:.1} s", started.elapsed().as_secs_f64());
    let edge_token = token(&edge);
    let edge = Served::start(&edge);
    let mut asking = edge.connect(&edge_token);
    while serde_json::from_str::<Value>(&asking.ask("GET", "/api/v1/sync", None)).expect("JSON")["in_step"] != true {
        std::thread::sleep(Duration::from_millis(50));
    }
    seen("saved on the edge, seen on the hub", &edge, &edge_token, &hub, &hub_token);
    seen("saved on the hub, seen on the edge", &hub, &hub_token, &edge, &edge_token);
}

fn main() {
    let records: u64 = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let hub = folder.path().join("hub");
    let schema = folder.path().join("work-order.json");
    std::fs::write(&schema, SCHEMA).expect("a file");
    run(&hub, &["type", "import", &schema.to_string_lossy(), "--name", "work-order"], &mut |_| {});
    let started = Instant::now();
    run(&hub, &["records", "import", "work-order", "-"], &mut |input| {
        let mut input = std::io::BufWriter::new(input);
        (0..records).for_each(|number| writeln!(input, "{}", record(number)).expect("it reads"));
    });
    println!("import of {records} records: {:.1} s", started.elapsed().as_secs_f64());
    starts("new directory", |number| folder.path().join(format!("new-{number}")));
    starts(&format!("with {records} records"), |_| hub.clone());
    memory(&hub, records);
    visible(&hub, folder.path());
}
