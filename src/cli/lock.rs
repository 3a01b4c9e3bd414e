//! The lock on a data directory: at most one process works in it.
//!
//! The operating system holds the lock and lets it go with the process, however that ends. What stands in the file is
//! only for telling people who holds it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Failure;

/// A held lock; dropping it lets it go.
#[derive(Debug)]
pub struct Lock {
    file: File,
    holder: Holder,
}

/// Who holds a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    /// The command, for example `serve`.
    pub command: String,
    /// Where it answers browsers, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Holder {
    pub fn serves(&self) -> bool {
        self.command == "serve"
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pid == 0 {
            return f.write_str("another process");
        }
        write!(f, "process {} (outpost {}", self.pid, self.command)?;
        if let Some(url) = &self.url {
            write!(f, " at {url}")?;
        }
        f.write_str(")")
    }
}

impl Lock {
    /// In the directory that it locks.
    pub const FILE: &'static str = "outpost.lock";

    /// Tries to take the lock on a directory, which is made if it is not there. The inner error is whoever has it.
    pub fn try_take(dir: &Path, command: &str) -> Result<Result<Self, Holder>, Failure> {
        if !dir.is_dir() {
            // what is inside is the concern of this user alone
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|err| Failure::of_data(dir, &err))?;
        }
        let path = dir.join(Self::FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|err| Failure::of_data(dir, &err))?;
        match file.try_lock() {
            Ok(()) => {
                let holder = Holder { pid: std::process::id(), command: command.into(), url: None };
                let mut lock = Self { file, holder };
                lock.write();
                Ok(Ok(lock))
            }
            Err(TryLockError::WouldBlock) => {
                let text = fs::read_to_string(&path).unwrap_or_default();
                Ok(Err(serde_json::from_str(&text).unwrap_or_default()))
            }
            Err(TryLockError::Error(err)) => Err(Failure::of_data(dir, &err)),
        }
    }

    /// Notes where this process answers.
    pub fn set_url(&mut self, url: &str) {
        self.holder.url = Some(url.into());
        self.write();
    }

    /// Who holds the lock is a courtesy: on a full disk it stays unsaid.
    fn write(&mut self) {
        let text = serde_json::to_string(&self.holder).expect("a holder is plain data");
        let _ =
            self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(text.as_bytes()));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_who_is_known_and_makes_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("new");
        let mut first = Lock::try_take(&dir, "serve").expect("usable").expect("free");
        first.set_url("http://127.0.0.1:1");
        let holder = Lock::try_take(&dir, "user list").expect("usable").expect_err("held");
        let told = format!("process {} (outpost serve at http://127.0.0.1:1)", std::process::id());
        assert_eq!(holder.to_string(), told);
        assert!(holder.serves());
        drop(first);
        Lock::try_take(&dir, "user list").expect("usable").expect("free again");
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let failure = Lock::try_take(file.path(), "serve").expect_err("a file");
        assert!(failure.line.contains("is not a directory"), "{}", failure.line);
    }
}
