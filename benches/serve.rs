//! What people feel of a running `outpost serve`: how soon it answers, and how much memory it holds.
//!
//! `cargo bench --bench serve -- [records]`; 100,000 by default. It runs the binary itself and speaks HTTP to it.

mod support;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use support::{RECORDS, SCHEMA, Served, record, run, sorted, token};

const STARTS: usize = 15;
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
}
