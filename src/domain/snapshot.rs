//! A partition as a row of immutable chunks, for whoever needs all of it: the first copy of an edge, a backup.
//!
//! A chunk holds some records in the order of type and id, whole and without numbers of arrival, so that the same records
//! are the same bytes wherever they are put together. Where one ends is decided by the ids of the records: after a change
//! most chunks are what they were. What chunks are made of is read strictly, since it may come from anywhere. Packing them
//! with zstd, and files, are no matter of this module.

mod columns;
mod cut;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::feed::Digest;
use super::ids::{Epoch, Partition, hash256};

pub use columns::{Malformed, read};
pub use cut::{Content, Cutter};

/// What a chunk may be once it is unpacked: several times what [`Cutter`] makes, so that one record of any size fits.
pub const MAX_CHUNK: usize = 32 << 20;
/// More records are in no chunk.
pub const MAX_RECORDS: usize = 1 << 16;

hash256!(
    /// The name of a chunk: the BLAKE3 hash of its bytes as they are kept and sent.
    ChunkHash
);

impl ChunkHash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// A chunk as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    #[serde(rename = "h")]
    pub hash: ChunkHash,
    /// As it is kept and sent.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// How many records, or rows, are in it.
    #[serde(rename = "r")]
    pub records: u64,
}

/// All of a partition at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub partition: Partition,
    pub epoch: Epoch,
    /// The number of its newest change.
    pub head: u64,
    pub digest: Digest,
    pub records: u64,
    pub chunks: Vec<ChunkRef>,
}

/// A first copy that is under way.
///
/// `head` is that of the *oldest* manifest that a joined chunk came from, and from there the reader goes on pulling once the
/// last chunk is in. From the newest it would miss something: a record that it joined from an older manifest and that left the
/// partition before the newer one was made is in none of the newer chunks, and only a pull from before it left tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    pub epoch: Epoch,
    pub head: u64,
    pub done: BTreeSet<ChunkHash>,
}

impl Copying {
    /// After a chunk of a manifest with this head is in.
    #[must_use]
    pub fn with(self, hash: ChunkHash, head: u64) -> Self {
        let Self { epoch, head: oldest, mut done } = self;
        done.insert(hash);
        Self { epoch, head: oldest.min(head), done }
    }
}
