//! Runs the binary, and speaks HTTP to what it serves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A place for data directories, removed afterwards.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a directory of our own"))
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file beside the data directories.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, text).expect("a file of our own");
        path
    }
}

pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"))
}

/// The binary, with nothing of the surroundings that could steer it.
pub fn outpost() -> Command {
    binary(Path::new(env!("CARGO_BIN_EXE_outpost")))
}

/// The same, of a copy.
pub fn binary(at: &Path) -> Command {
    let mut command = Command::new(at);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OUTPOST_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().expect("it ends by itself");
        Self { status, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// What it printed, if it succeeded.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The one line in which it said why it failed.
    #[track_caller]
    pub fn failed(&self) -> &str {
        assert_eq!(self.status, 1, "{}{}", self.out, self.err);
        let line = self.err.lines().last().unwrap_or_default();
        assert!(line.starts_with("outpost: ") && line.len() > 30, "{:?}", self.err);
        line
    }

    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.good();
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap_or_else(|err| panic!("{err}: {out}"))
    }
}

/// Runs a command on a data directory.
pub fn run(data: &Path, args: &[&str]) -> Ended {
    run_with(data, args, "")
}

/// The same, with something on standard input.
pub fn run_with(data: &Path, args: &[&str], input: &str) -> Ended {
    let mut command = outpost();
    command.args(args).arg("--data").arg(data).stdin(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // a command that does not read it closes it
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    finish(child)
}

pub fn ended(command: &mut Command) -> Ended {
    finish(command.spawn().expect("the binary starts"))
}

/// Waits for the end of a command; one that goes on and on fails the test.
fn finish(child: Child) -> Ended {
    let pid = child.id().to_string();
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if waiting.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    });
    let output = child.wait_with_output().expect("it ends");
    drop(done);
    watch.join().expect("the watch ends");
    Ended::of(&output)
}

/// A process that goes on until it is told to stop; killed when dropped.
pub struct Running {
    child: Child,
    /// What it printed when it was ready.
    pub told: Value,
    pub url: String,
}

impl Running {
    /// Serves a data directory on a free port.
    pub fn serve(data: &Path) -> Self {
        let mut command = outpost();
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--log", "warn", "--data"]).arg(data);
        let mut running = Self::start(command);
        running.url = running.told["url"].as_str().expect("an address").to_owned();
        running
    }

    /// Starts a command that says in one line of JSON that it is ready.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("the binary starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.as_mut().expect("a pipe"));
        out.read_line(&mut line).expect("it prints");
        let told = serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line:?}"));
        Self { child, told, url: String::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end, for some seconds.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as an operator does.
    pub fn stop(mut self) {
        self.signal("TERM");
        assert!(self.wait().success());
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.signal("KILL");
        assert!(!self.wait().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Opens a connection to `http://HOST:PORT` and sends one request. The body is JSON.
pub fn send(url: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> TcpStream {
    let address = url.strip_prefix("http://").expect("a plain address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    if !token.is_empty() {
        request.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    match body.map(Value::to_string) {
        Some(body) => {
            let length = body.len();
            let kind = if method == "PATCH" { "merge-patch+json" } else { "json" };
            request.push_str(&format!("content-type: application/{kind}\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
        None => request.push_str("\r\n"),
    }
    stream.write_all(request.as_bytes()).expect("it takes the request");
    stream
}

/// One request with its answer: the status and the body.
pub fn http(url: &str, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
    let mut answer = String::new();
    send(url, method, path, token, body).read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|_| json!(body)))
}

/// A hub with the work order and a token, closed.
pub fn hub(place: &Place) -> (PathBuf, String) {
    let data = place.at("hub");
    run(&data, &["type", "import", &sample("work-order").to_string_lossy()]).good();
    let made = run(&data, &["token", "create", "--name", "tests", "--role", "admin", "--json"]).json();
    (data, made["token"].as_str().expect("a token").to_owned())
}

/// The titles of all work orders in a directory, sorted.
pub fn titles(data: &Path) -> Vec<String> {
    let text = run(data, &["records", "export", "work-order"]).good();
    let title = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["data"]["title"].clone();
    let mut titles: Vec<String> = text.lines().map(|line| title(line).as_str().expect("a title").to_owned()).collect();
    titles.sort();
    titles
}
