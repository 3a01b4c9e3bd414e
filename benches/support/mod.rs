//! A running `outpost` and what speaks HTTP to it, for the benchmarks.

#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const SCHEMA: &str = r#"{
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
pub const STATUSES: [&str; 4] = ["open", "doing", "done", "parked"];
pub const RECORDS: &str = "/api/v1/types/work-order/records";

pub fn record(number: u64) -> Value {
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

pub fn outpost(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outpost"));
    command.args(args).arg("--data").arg(data).args(["--log", "error"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a command to its end; what it printed.
pub fn run(data: &Path, args: &[&str], input: &mut dyn FnMut(&mut dyn Write)) -> String {
    let mut child = outpost(data, args).spawn().expect("it starts");
    input(&mut child.stdin.take().expect("a pipe"));
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

pub fn told(data: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&run(data, args, &mut |_| {})).expect("JSON")
}

/// A node that serves; stopped when dropped.
pub struct Served {
    pub child: Child,
    pub address: String,
    /// From the start of the process to the answer of `/healthz`.
    pub start: Duration,
}

impl Served {
    pub fn start(data: &Path) -> Self {
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

    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    }

    /// Processor time it has used, in milliseconds.
    pub fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
        (ticks(11) + ticks(12)) * 10.0
    }

    pub fn connect(&self, token: &str) -> Connection {
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
pub struct Connection {
    pub stream: BufReader<TcpStream>,
    token: String,
}

impl Connection {
    pub fn over(stream: TcpStream, token: &str) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        Self { stream: BufReader::new(stream), token: token.to_owned() }
    }

    pub fn send(&mut self, method: &str, path: &str, body: Option<&Value>) {
        self.send_as(method, path, "application/json", body);
    }

    fn send_as(&mut self, method: &str, path: &str, media_type: &str, body: Option<&Value>) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("it is sent");
    }

    /// The headers of an answer that is good.
    pub fn head(&mut self) -> HashMap<String, String> {
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

    pub fn patch(&mut self, path: &str, changed: &Value) {
        self.send_as("PATCH", path, "application/merge-patch+json", Some(changed));
        self.body();
    }

    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> String {
        self.send(method, path, body);
        self.body()
    }

    fn body(&mut self) -> String {
        let length = self.head()["content-length"].parse().expect("a length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("text")
    }
}

pub fn sorted(mut times: Vec<Duration>) -> Vec<f64> {
    times.sort();
    times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

pub fn token(data: &Path) -> String {
    let made = told(data, &["token", "create", "--name", "bench", "--role", "admin", "--json"]);
    made["token"].as_str().expect("a token").to_owned()
}
