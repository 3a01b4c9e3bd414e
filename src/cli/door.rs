//! The private socket in the data directory, by which commands ask the process that serves the node.
//!
//! A question is one line of JSON, and so is its answer. Only the user who runs the node, and root, are let in.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::Failure;
use super::host::{Ask, Served, execute};

const SOCKET: &str = "outpost.sock";
/// Above the largest schema and the largest batch of an import.
const MAX_LINE: u64 = 64 << 20;
/// How long questions that are under way may take after the node was asked to stop.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Done(Value),
    Failed(Failure),
}

/// The address of a socket is at most some hundred bytes long; a deep directory is reached through its open handle.
fn reachable(dir: &Path, name: &str) -> io::Result<(PathBuf, Option<File>)> {
    const LONGEST: usize = 100;
    let path = dir.join(name);
    if path.as_os_str().len() <= LONGEST {
        return Ok((path, None));
    }
    let handle = File::open(dir)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd())), Some(handle)))
}

/// The serving side.
pub struct Door {
    path: PathBuf,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Door {
    /// Opens the door of a directory whose lock is held; a socket that a killed process left is replaced.
    pub fn open(dir: &Path, served: Arc<Served>) -> io::Result<Self> {
        // it comes into sight only when nobody else can use it any more
        let inner = tempfile::Builder::new().prefix(".door-").tempdir_in(dir)?;
        let (at, _handle) = reachable(inner.path(), "s")?;
        let listener = UnixListener::bind(&at)?;
        let made = inner.path().join("s");
        fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        let owner = fs::metadata(&made)?.uid();
        let path = dir.join(SOCKET);
        fs::rename(&made, &path)?;
        let closing = watch::Sender::new(false);
        let task = tokio::spawn(admit(listener, owner, served, closing.subscribe()));
        Ok(Self { path, closing, task })
    }

    /// Lets nobody in any more and waits for what is under way.
    pub async fn close(self) {
        let _ = fs::remove_file(&self.path);
        self.closing.send_replace(true);
        if tokio::time::timeout(PATIENCE, self.task).await.is_err() {
            tracing::warn!("a command was still under way when the node stopped");
        }
    }
}

/// Ready once the node stops. It hands out no guard: those must not live across an await.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn admit(listener: UnixListener, owner: u32, served: Arc<Served>, mut closing: watch::Receiver<bool>) {
    let mut conversations = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = closed(&mut closing) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(err) => {
                    tracing::warn!(%err, "a command could not be let in");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        if stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0) {
            conversations.spawn(converse(stream, served.clone(), closing.clone()));
        }
        while conversations.try_join_next().is_some() {}
    }
    while conversations.join_next().await.is_some() {}
}

/// Answers one command after another until the other side leaves or the node stops.
async fn converse(stream: UnixStream, served: Arc<Served>, mut closing: watch::Receiver<bool>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let question = tokio::select! {
            () = closed(&mut closing) => return,
            question = read_line(&mut reader) => question,
        };
        let Ok(Some(question)) = question else { return };
        let answer = match serde_json::from_slice::<Ask>(&question) {
            Ok(ask) => match execute(ask, &served).await {
                Ok(value) => Answer::Done(value),
                Err(failure) => Answer::Failed(failure),
            },
            Err(err) => Answer::Failed(Failure::new(format!(
                "the running node, version {}, does not know this command: {err}; restart it with this version",
                env!("CARGO_PKG_VERSION")
            ))),
        };
        let mut line = serde_json::to_vec(&answer).expect("answers are plain data");
        line.push(b'\n');
        if writer.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The asking side.
pub struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    /// `None` if nobody answers there.
    pub async fn open(dir: &Path) -> Option<Self> {
        let (path, _handle) = reachable(dir, SOCKET).ok()?;
        let stream = UnixStream::connect(path).await.ok()?;
        let (reader, writer) = stream.into_split();
        Some(Self { reader: BufReader::new(reader), writer })
    }

    pub async fn ask(&mut self, ask: &Ask) -> Result<Value, Failure> {
        let gone = |_| {
            Failure::new(
                "the running node went away before it answered; see whether it was done, and run the command again",
            )
        };
        let mut line = serde_json::to_vec(ask).expect("questions are plain data");
        line.push(b'\n');
        self.writer.write_all(&line).await.map_err(gone)?;
        let answer = read_line(&mut self.reader).await.map_err(gone)?;
        let answer = answer.ok_or_else(|| gone(io::ErrorKind::UnexpectedEof.into()))?;
        match serde_json::from_slice(&answer) {
            Ok(Answer::Done(value)) => Ok(value),
            Ok(Answer::Failed(failure)) => Err(failure),
            Err(err) => Err(Failure::new(format!("the running node gave no answer that is understood: {err}"))),
        }
    }
}
