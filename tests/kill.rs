//! Power cuts: a hub and its edge as real processes under load, killed at any moment, over and over.
//!
//! Whatever was answered must be there in the end, on both. `OUTPOST_KILLS=200 cargo test --test kill -- --nocapture` for a
//! long run; `OUTPOST_SEED` chooses the moments.

#[allow(dead_code)]
#[path = "cli/run.rs"]
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use run::{Place, Running, http, hub, outpost, run};
use serde_json::{Value, json};

const KILLS: usize = 8;
const WRITERS: usize = 2;
const RECORDS: &str = "/api/v1/types/work-order/records";
/// Written by everybody at once.
const SHARED: &str = "0199d6a8-0000-7000-8000-00000000aaaa";
const FIELDS: [&str; 3] = ["title", "asset", "assigned_to"];

/// Dice that fall alike for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One request; an error says that no whole answer came.
fn ask(url: &str, method: &str, path: &str, token: &str, body: &Value) -> std::io::Result<u16> {
    let address = url.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let body = body.to_string();
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n"
    );
    stream.write_all(format!("{head}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let status = std::str::from_utf8(answer.get(9..12).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
    status.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

/// What one writer did, in its order.
#[derive(Default)]
struct Written {
    /// Record, field, value, and whether it was answered.
    saves: Vec<(String, &'static str, String, bool)>,
}

/// Writes until it is told to stop. A save that was not answered may be there or not, and is not sent again.
fn write(number: usize, url: &str, token: &str, stop: &AtomicBool) -> Written {
    let mut dice = Dice(number as u64 + 1);
    let mut written = Written::default();
    let mut own: Vec<String> = Vec::new();
    for n in 0u64.. {
        if stop.load(Relaxed) {
            break;
        }
        let field = FIELDS[dice.below(FIELDS.len() as u64) as usize];
        let value = format!("writer {number} save {n}");
        let (id, field, sent) = if own.is_empty() || dice.below(12) == 0 {
            let id = format!("0199d6a8-0000-7000-8000-{number:02}{n:010}");
            let body = json!({ "id": id, "data": { "title": value } });
            (id, "title", ask(url, "POST", RECORDS, token, &body))
        } else {
            let recent = own.len().saturating_sub(20) as u64;
            let at = recent + dice.below(own.len() as u64 - recent);
            let id = if dice.below(8) == 0 { SHARED.to_owned() } else { own[at as usize].clone() };
            (id.clone(), field, ask(url, "PATCH", &format!("{RECORDS}/{id}"), token, &json!({ field: value })))
        };
        match sent {
            Ok(status @ 200..=299) => {
                if status == 201 {
                    own.push(id.clone());
                }
                written.saves.push((id, field, value, true));
            }
            Ok(status) => assert!(status >= 500, "{status} for {id}"),
            Err(_) => {
                written.saves.push((id, field, value, false));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    written
}

/// A node that comes back at the same address each time.
struct Victim {
    data: PathBuf,
    address: String,
    running: Option<Running>,
}

impl Victim {
    fn new(data: PathBuf) -> Self {
        let running = Running::serve(&data);
        Self { address: running.url.trim_start_matches("http://").to_owned(), data, running: Some(running) }
    }

    fn command(&self) -> std::process::Command {
        let mut command = outpost();
        command.args(["serve", "--json", "--log", "warn", "--listen", &self.address, "--data"]).arg(&self.data);
        command
    }

    fn kill(&mut self, dice: &mut Dice) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
        // sometimes again while it starts
        while dice.below(4) == 0 {
            let mut child = self.command().stderr(Stdio::inherit()).spawn().expect("the binary starts");
            std::thread::sleep(Duration::from_millis(dice.below(200)));
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    fn start(&mut self) {
        self.running = Some(Running::start(self.command()));
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn whatever_was_answered_is_on_both_after_any_number_of_power_cuts() {
    let kills = number("OUTPOST_KILLS", KILLS);
    let seed = number("OUTPOST_SEED", std::process::id() as usize);
    println!("{kills} kills, OUTPOST_SEED={seed}");
    let mut dice = Dice(seed as u64);
    let place = Place::new();
    let (data, above) = hub(&place);
    let mut top = Victim::new(data.clone());
    let shared = json!({ "id": SHARED, "data": { "title": "shared" } });
    assert_eq!(ask(&top.url(), "POST", RECORDS, &above, &shared).expect("it answers"), 201);
    let edge = place.at("edge");
    let invited = run(&data, &["node", "invite", "--json"]).json();
    run(&edge, &["join", &top.url(), "--token", invited["token"].as_str().expect("a token")]).good();
    let made = run(&edge, &["token", "create", "--name", "tests", "--role", "admin", "--json"]).json();
    let below = made["token"].as_str().expect("a token").to_owned();
    let mut bottom = Victim::new(edge.clone());

    let (stop, hit) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (top_url, bottom_url) = (top.url(), bottom.url());
    let written: Vec<Written> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2 * WRITERS)
            .map(|number| {
                let (url, token) = if number % 2 == 0 { (&top_url, &above) } else { (&bottom_url, &below) };
                let stop = &stop;
                scope.spawn(move || write(number, url, token, stop))
            })
            .collect();
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(30 + dice.below(500)));
            let which = dice.below(5);
            let mut victims: Vec<&mut Victim> = match which {
                0 | 1 => vec![&mut top],
                2 | 3 => vec![&mut bottom],
                _ => vec![&mut top, &mut bottom],
            };
            victims.iter_mut().for_each(|victim| victim.kill(&mut dice));
            hit.fetch_add(victims.len(), Relaxed);
            std::thread::sleep(Duration::from_millis(dice.below(100)));
            victims.iter_mut().for_each(|victim| victim.start());
        }
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });

    let began = Instant::now();
    while run(&edge, &["sync", "now", "--json"]).status != 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", run(&edge, &["sync", "status"]).out);
    }
    println!("in step {:?} after the last", began.elapsed());
    let sums = check(&written, &[(&top_url, &above), (&bottom_url, &below)]);
    println!(
        "{} processes killed; {} saves answered, {} not; {} records",
        hit.load(Relaxed),
        sums[0],
        sums[1],
        sums[2]
    );
    for victim in [&mut bottom, &mut top] {
        victim.running.take().expect("it runs").stop();
    }
    for dir in [&data, &edge] {
        is_whole(dir);
    }
    assert!(sums[0] > 20 * kills, "too little was written to tell: {}", sums[0]);
}

/// All that was answered is on both nodes, or shown as lost; the hub saw each of them.
fn check(written: &[Written], nodes: &[(&String, &String); 2]) -> [usize; 3] {
    // what may stand in a field that one writer wrote: its last answered value or a later one of its own
    let mut last: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut shared: BTreeSet<&str> = BTreeSet::new();
    let mut answered: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let (mut yes, mut no) = (0, 0);
    for (id, field, value, was_answered) in written.iter().flat_map(|written| &written.saves) {
        if *was_answered {
            yes += 1;
            answered.entry(id).or_default().push((field, value));
        } else {
            no += 1;
        }
        if id == SHARED {
            shared.insert(value);
            continue;
        }
        let may = last.entry((id, field)).or_default();
        if *was_answered {
            may.clear();
        }
        may.push(value);
    }
    let mut shown = Vec::new();
    for (url, token) in nodes {
        let mut records = BTreeMap::new();
        for (id, saves) in &answered {
            let (status, record) = http(url, "GET", &format!("{RECORDS}/{id}"), token, None);
            assert_eq!(status, 200, "{id} is not at {url}");
            for (field, value) in saves {
                let stands = record["data"][field].as_str().unwrap_or_default();
                if *id == SHARED {
                    assert!(shared.contains(stands), "{stands:?} stands in {field} of the shared record");
                } else {
                    let may = &last[&(*id, *field)];
                    assert!(
                        may.contains(&stands),
                        "{field} of {id} at {url} is {stands:?}, and {may:?} was answered ({value})"
                    );
                }
            }
            records.insert(*id, record["data"].clone());
        }
        shown.push(records);
    }
    assert_eq!(shown[0], shown[1], "hub and edge show the same");
    let (url, token) = nodes[0];
    let lost = http(url, "GET", "/api/v1/conflicts?state=all&limit=500", token, None).1.to_string();
    for (id, saves) in &answered {
        let history = http(url, "GET", &format!("{RECORDS}/{id}/history"), token, None).1.to_string();
        for (_, value) in saves {
            let told = json!(value).to_string();
            assert!(history.contains(&told) || lost.contains(&told), "the hub never saw {told} of {id}");
        }
    }
    [yes, no, answered.len()]
}

fn is_whole(data: &Path) {
    use sqlx::{Connection, SqliteConnection};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found: String = runtime.block_on(async {
        let url = format!("sqlite://{}", data.join("outpost.db").display());
        let mut conn = SqliteConnection::connect(&url).await.expect("the database opens");
        sqlx::query_scalar("pragma integrity_check").fetch_one(&mut conn).await.expect("it can be checked")
    });
    assert_eq!(found, "ok", "{}", data.display());
}
