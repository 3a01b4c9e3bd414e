//! What people feel of a running `outpost serve`: how soon it answers, how much memory it holds, and how soon a save is
//! seen on the other node.
//!
//! `cargo bench --bench serve -- [records]`; 100,000 by default. It runs the binary itself and speaks HTTP to it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const STARTS: usize = 15;
const SAVES: usize = 500;
const SCHEMA: &str = r#"{
    "type": "object", "title": "Work order",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "status": {"enum": ["open", "doing", "done", "parked"]},
        "priority": {"type": "integer", "minimum": 1, "maximum": 5},
        "asset": {"type": "string"}, "site": {"type": "string"},
        "due": {"type": "string", "format": "date"},
        "hours": {"type": "number", "minimum": 0},
        "urgent": {"type": "boolean"},
        "assigned_to": {"type": "string"},
        "notes": {"type": "string"}
    },
    "required": ["title", "status"]
}"#;
const STATUSES: [&str; 4] = ["open", "doing", "done", "parked"];
const RECORDS: &str = "/api/v1/types/work-order/records";

fn record(number: u64) -> Value {
    json!({
        "title": format!("Replace hydraulic pump seal {number}"),
        "status": STATUSES[(number % 4) as usize],
        "priority": number % 5 + 1,
        "asset": format!("Pump P-{}", number % 977),
        "site": format!("platform-{}", number % 13),
        "due": format!("2026-{:02}-{:02}", number * 7 % 12 + 1, number * 11 % 28 + 1),
        "hours": number % 80,
        "urgent": number.is_multiple_of(9),
        "assigned_to": "ingrid@example.org",
        "notes": "Seal weeps about a cup an hour at full load. Oil on the bed plate, wiped at noon."
    })
}

fn outpost(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
    command.args(args).arg("--data").arg(data).args(["--log", "error"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a command to its end; what it printed.
fn run(data: &Path, args: &[&str], input: &mut dyn FnMut(&mut dyn Write)) -> String {
    let mut child = outpost(data, args).spawn().expect("it starts");
    input(&mut child.stdin.take().expect("a pipe"));
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn told(data: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&run(data, args, &mut |_| {})).expect("JSON")
}

/// A node that serves; stopped when dropped.
struct Served {
    child: Child,
    address: String,
    /// From the start of the process to the answer of `/healthz`.
    start: Duration,
}

impl Served {
    fn start(data: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let address = format!("127.0.0.1:{port}");
        let mut command = outpost(data, &["serve", "--listen", &address]);
        let started = Instant::now();
        let child = command.stdout(Stdio::null()).spawn().expect("it starts");
        let mut served = Self { child, address, start: Duration::ZERO };
        loop {
            if let Ok(stream) = TcpStream::connect(&served.address) {
                let answer = Connection::over(stream, "").ask("GET", "/healthz", None);
                assert_eq!(answer, "ok\n");
                served.start = started.elapsed();
                return served;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "it does not answer");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    }

    fn connect(&self, token: &str) -> Connection {
        Connection::over(TcpStream::connect(&self.address).expect("it listens"), token)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// One connection that is kept alive.
struct Connection {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Connection {
    fn over(stream: TcpStream, token: &str) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        Self { stream: BufReader::new(stream), token: token.to_owned() }
    }

    fn send(&mut self, method: &str, path: &str, body: Option<&Value>) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("it is sent");
    }

    /// The headers of an answer that is good.
    fn head(&mut self) -> HashMap<String, String> {
        let mut lines = std::iter::from_fn(|| {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("an answer");
            let line = line.trim_end().to_owned();
            (!line.is_empty()).then_some(line)
        });
        let status = lines.next().expect("a status");
        assert!(status.starts_with("HTTP/1.1 2"), "{status}");
        let header = |line: String| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        lines.map(header).collect()
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> String {
        self.send(method, path, body);
        let length = self.head()["content-length"].parse().expect("a length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("text")
    }
}

fn sorted(mut times: Vec<Duration>) -> Vec<f64> {
    times.sort();
    times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

fn starts(what: &str, data: impl Fn(usize) -> std::path::PathBuf) {
    let times = sorted((0..STARTS).map(|number| Served::start(&data(number)).start).collect());
    println!(
        "start of serve, {what}: median {:.1} ms, slowest of {STARTS} {:.1} ms",
        times[STARTS / 2],
        times[STARTS - 1]
    );
}

fn token(data: &Path) -> String {
    let made = told(data, &["token", "create", "--name", "bench", "--role", "admin", "--json"]);
    made["token"].as_str().expect("a token").to_owned()
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
