//! A partition as a row of immutable chunks, for whoever needs all of it: the first copy of an edge, a backup.
//!
//! A chunk holds some records in the order of type and id, whole and without numbers of arrival, so that the same records
//! are the same bytes wherever they are put together. Where one ends is decided by the ids of the records: after a change
//! most chunks are what they were. What chunks are made of is read strictly, since it may come from anywhere. Packing them
//! with zstd, and files, are no matter of this module.

mod columns;
mod cut;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::feed::{Digest, bytes};
use super::ids::{Epoch, MalformedId, Partition};

pub use columns::{Malformed, read};
pub use cut::{Content, Cutter};

/// What a chunk may be once it is unpacked: several times what [`Cutter`] makes, so that one record of any size fits.
pub const MAX_CHUNK: usize = 32 << 20;
/// More records are in no chunk.
pub const MAX_RECORDS: usize = 1 << 16;

/// The name of a chunk: the BLAKE3 hash of its bytes as they are kept and sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkHash(pub [u8; 32]);

impl ChunkHash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChunkHash {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| MalformedId)?;
        bytes.try_into().map(Self).map_err(|_| MalformedId)
    }
}

impl Serialize for ChunkHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for ChunkHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes::deserialize(deserializer)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("the name of a chunk has 32 bytes"))
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
