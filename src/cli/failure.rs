//! Why a command failed, in one line: what, why, what to do.

use std::io;
use std::path::Path;

use outpost::domain::FieldError;
use outpost::node::NodeError;
use outpost::store::StoreError;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Empty where there is nobody to tell: whoever read the output went away.
    pub line: String,
    /// The exit status: 1, or 2 for wrong usage.
    pub status: u8,
    /// What is wrong with what was given, place by place, where there is more than the line says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Failure {
    pub fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), status: 1, errors: Vec::new() }
    }

    /// The command was given in a way that cannot be carried out by anyone.
    pub fn usage(line: impl Into<String>) -> Self {
        Self { status: 2, ..Self::new(line) }
    }

    /// The reader of our output closed it, as `head` does: no failure of ours.
    pub fn nobody_reads() -> Self {
        Self { status: 0, ..Self::new("") }
    }

    /// Something in the data directory cannot be used.
    pub fn of_data(dir: &Path, err: &io::Error) -> Self {
        let dir = dir.display();
        Self::new(match err.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => format!(
                "the data directory {dir} cannot be written: {err}; let this user write there, or choose another with --data"
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("the disk of the data directory {dir} is full; free some space and try again")
            }
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                format!("{dir} is not a directory; choose another with --data")
            }
            _ => format!("the data directory {dir} cannot be used: {err}; choose another with --data"),
        })
    }

    /// A file that was named cannot be read.
    pub fn of_file(path: &Path, err: &io::Error) -> Self {
        Self::new(format!("{} cannot be read: {err}", path.display()))
    }
}

impl From<NodeError> for Failure {
    fn from(err: NodeError) -> Self {
        match err {
            NodeError::Store(err) => err.into(),
            NodeError::Invalid(errors) => Self { line: in_words(&errors), errors, status: 1 },
            other => Self::new(other.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(err: StoreError) -> Self {
        Self::new(match err {
            StoreError::Full => format!("{err}; free some space and try again"),
            StoreError::ReadOnly(_) => format!("{err}; let this user write there, or choose another with --data"),
            other => other.to_string(),
        })
    }
}

/// All of them in one line.
fn in_words(errors: &[FieldError]) -> String {
    const SHOWN: usize = 3;
    let mut words: Vec<String> = errors.iter().take(SHOWN).map(in_word).collect();
    if errors.len() > SHOWN {
        words.push(format!("and {} more", errors.len() - SHOWN));
    }
    words.join("; ")
}

/// One of them: where, and what.
pub fn in_word(error: &FieldError) -> String {
    if error.pointer.is_empty() { error.message.clone() } else { format!("{}: {}", error.pointer, error.message) }
}
