//! PouchDB doing the same: `node benches/pouchdb/side.js`, which obeys one JSON command a line.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pouchdb")
}

/// Whether it can be asked here; else it says what is missing.
pub fn is_here() -> bool {
    let node =
        Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    let here = node && folder().join("node_modules/pouchdb").exists();
    if !here {
        println!("PouchDB is not measured: it needs Node.js, and `npm ci` in benches/pouchdb");
    }
    here
}

/// Ended when dropped.
pub struct Pouch {
    child: Child,
    pub told: BufReader<ChildStdout>,
}

impl Pouch {
    /// `serve DIR PORT`, or `edge DIR URL`.
    pub fn start(role: &str, dir: &Path, at: &str) -> Self {
        std::fs::create_dir_all(dir).expect("a folder");
        let mut command = Command::new("node");
        command.arg(folder().join("side.js")).arg(role).arg(dir).arg(at);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let told = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut pouch = Self { child, told };
        assert_eq!(pouch.next()["ready"], true);
        pouch
    }

    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).expect("JSON")
    }

    pub fn ask(&mut self, command: &Value) -> Value {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{command}").expect("it reads");
        self.next()
    }
}

impl Drop for Pouch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
