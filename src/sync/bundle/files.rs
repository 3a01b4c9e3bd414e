//! Photos and files in bundles: in the parts of their lane, behind all records, and told of by name.
//!
//! Nobody knows that a bundle arrived, so either side says by name what it has and wants. Who may have a file is decided
//! where it is taken in, as if it came over a link.

use serde::{Deserialize, Serialize};

use super::Piece;
use super::file::pack;
use crate::domain::blob::{BlobHash, parts};
use crate::domain::ids::Epoch;
use crate::node::{Blobs, Wanted};

/// So many names are told in one piece.
const TOLD: usize = 4096;

/// A part of a file, as in its lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilePart {
    pub hash: BlobHash,
    /// Of the whole file.
    pub size: u64,
    pub part: u64,
    #[serde(with = "crate::domain::feed::bytes")]
    pub bytes: Vec<u8>,
}

impl FilePart {
    pub fn is_last(&self) -> bool {
        self.part.saturating_add(1) >= parts(self.size)
    }
}

/// What an edge says of files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesTold {
    /// It has these, and as far as it knows its hub does not.
    pub here: Vec<BlobHash>,
    /// Its records refer to these, and it does not have them.
    pub wanted: Vec<BlobHash>,
}

/// Files that a hub has, of those that the edge told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesHad {
    pub epoch: Epoch,
    pub files: Vec<BlobHash>,
}

/// Files that are in a bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    pub count: u64,
    pub bytes: u64,
    /// Records refer to them, and they are not here.
    pub missing: u64,
}

impl Files {
    #[must_use]
    pub fn and(self, more: Files) -> Self {
        Self { count: self.count + more.count, bytes: self.bytes + more.bytes, missing: self.missing + more.missing }
    }
}

/// Files that are still to go into a bundle, the last of them first, of which so many parts are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    files: Vec<Wanted>,
    part: u64,
}

impl Sending {
    /// These, the short ones first: so most of them are in when an import ends early.
    pub fn of(mut files: Vec<Wanted>) -> Self {
        files.sort_unstable_by_key(|(hash, size)| (std::cmp::Reverse(*size), *hash));
        Self { files, part: 0 }
    }

    /// About `room` bytes of packed parts, and how many files came to their end with them. `is_for` decides of each once more.
    pub async fn next(
        &mut self,
        blobs: &Blobs,
        room: usize,
        is_for: impl Fn(BlobHash) -> bool,
    ) -> (Vec<Vec<u8>>, Files) {
        let (mut packed, mut bytes, mut done) = (Vec::new(), 0, Files::default());
        while bytes < room
            && let Some((hash, _)) = self.files.last().copied()
        {
            let part = self.part;
            self.part += 1;
            let size = blobs.size(hash).filter(|_| is_for(hash));
            let read = match size {
                Some(_) => blobs.part(hash, part).await,
                None => Ok(None),
            };
            if let Err(err) = &read {
                tracing::warn!(%hash, %err, "a file cannot be read for a bundle");
            }
            let (Some(size), Ok(Some(content))) = (size, read) else {
                done.missing += 1;
                self.files.pop();
                self.part = 0;
                continue;
            };
            let piece = FilePart { hash, size, part, bytes: content };
            if piece.is_last() {
                done.count += 1;
                done.bytes += size;
                self.files.pop();
                self.part = 0;
            }
            let piece = pack(&Piece::FilePart(piece));
            bytes += piece.len();
            packed.push(piece);
        }
        (packed, done)
    }

    pub fn is_done(&self) -> bool {
        self.files.is_empty()
    }
}

/// What an edge tells of files, in pieces of a size.
pub fn told(here: &[BlobHash], wanted: &[BlobHash]) -> Vec<Vec<u8>> {
    let here = here.chunks(TOLD).map(|here| FilesTold { here: here.to_vec(), wanted: Vec::new() });
    let wanted = wanted.chunks(TOLD).map(|wanted| FilesTold { here: Vec::new(), wanted: wanted.to_vec() });
    here.chain(wanted).map(|told| pack(&Piece::FilesTold(told))).collect()
}

/// What a hub says that it has, in pieces of a size.
pub fn had(epoch: Epoch, files: &[BlobHash]) -> Vec<Vec<u8>> {
    let had = files.chunks(TOLD).map(|files| FilesHad { epoch, files: files.to_vec() });
    had.map(|had| pack(&Piece::FilesHad(had))).collect()
}
