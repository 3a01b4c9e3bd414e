//! Bundles: what an edge and its hub have to tell each other, as files that people carry where there is no link.
//!
//! A bundle is made of the messages of the protocol, and whoever takes it does with them what it does when they come over a
//! link. One goes up, with the saves that the hub has not acknowledged and how far the edge is; one goes down, with what the
//! edge lacks and which saves the hub has. `docs/decisions/bundles.md` says why either may be lost, late or taken twice.
//! Reading and writing the file itself is in [`file`]; finding the file is the command's affair.

mod edge;
mod edge_files;
pub mod file;
pub mod files;

use serde::{Deserialize, Serialize};

use super::hub::HubError;
use crate::domain::ids::{Epoch, Incarnation, NodeId, Partition, SaveId};
use crate::domain::protocol::{Below, Pulled, Push, Reached, Verdict};
use crate::domain::reconcile::Offer;
use crate::domain::scope::Scope;
use crate::domain::snapshot::{ChunkRef, Manifest};
use crate::store::StoreError;

pub use edge::{EdgeSide, identity_to_join, key_to_join};
pub use file::{BadBundle, Key};
pub use files::{FilePart, Files, FilesHad, FilesTold, Sending};

/// Which way a bundle goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From an edge to its hub.
    Up,
    /// From a hub to one of its edges.
    Down,
}

/// Stands in front: whose bundle it is. The names are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub way: Way,
    /// The edge, whichever way it goes.
    pub edge: NodeId,
    pub edge_name: String,
    pub hub: NodeId,
    pub hub_name: String,
    /// Random.
    pub id: u64,
    /// Counts the bundles that the maker made for this reader.
    pub number: u64,
    /// Milliseconds since 1970 by the clock of the maker.
    pub made_at: i64,
    /// The life of the edge that made it, or the line of numbers of the hub that did.
    pub life: u64,
    /// It may hold files, which the first programs that read bundles do not know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files: bool,
}

/// A part of a bundle. Each is taken in by itself, in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Piece {
    /// Up, first.
    Told(Told),
    /// Up.
    Push(Push),
    /// Down, first.
    Facts(Facts),
    /// Up: records whole, of whose saves the hub said that it has nothing of them.
    Whole(Offer),
    /// Down: saves that are on the hub's disk, or why they are not.
    Received(Vec<Verdict>),
    /// Down.
    Page(Page),
    /// Down: of a partition that the edge holds nothing of.
    Chunk(Chunk),
    /// Up: which files it has and wants.
    FilesTold(FilesTold),
    /// Down: which of them the hub has.
    FilesHad(FilesHad),
    /// Behind the records that refer to it, in order.
    FilePart(FilePart),
    /// Last.
    End,
}

/// What an edge says of itself, as in a hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub incarnation: Incarnation,
    pub partitions: Vec<Reached>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<Below>,
}

/// What a hub says, as in a welcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub epoch: Epoch,
    pub scope: Scope,
    #[serde(default)]
    pub relays: bool,
    /// It reads [`Piece::Whole`].
    #[serde(default)]
    pub takes_whole: bool,
    pub starts: Vec<Start>,
}

/// From where on a bundle tells of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub partition: Partition,
    /// It is for whoever is complete up to here.
    pub base: u64,
    /// It begins with all of it, in chunks.
    #[serde(default)]
    pub whole: bool,
}

/// A page of a pull, with what was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    pub base: u64,
    pub after: u64,
    pub page: Pulled,
}

/// A chunk of a first copy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Chunk {
    pub partition: Partition,
    pub epoch: Epoch,
    /// Of the manifest that it is from.
    pub head: u64,
    pub chunk: ChunkRef,
    pub is_last: bool,
    #[serde(with = "crate::domain::feed::bytes")]
    pub bytes: Vec<u8>,
}

/// Where the making of a bundle goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Next {
    /// The saves behind this one.
    Up { begun: bool, after: Option<SaveId>, files: bool },
    /// These partitions, and then the files of what is told of these.
    Down { edge: NodeId, begun: bool, routes: Vec<Route>, files: Option<Vec<Start>> },
    /// These files, for this edge or for the hub.
    Files { edge: Option<NodeId>, sending: Sending },
}

/// Some pieces of a bundle as they stand in the file.
#[derive(Debug, Default)]
pub struct Packed {
    pub pieces: Vec<Vec<u8>>,
    /// Files that came to their end with them.
    pub files: Files,
    /// Where it goes on; `None` if that was all.
    pub next: Option<Next>,
}

impl Packed {
    /// With the piece that ends a bundle, if nothing is left.
    pub(super) fn ended(mut self) -> Self {
        if self.next.as_ref().is_none_or(Next::is_done) {
            self.next = None;
            self.pieces.push(file::pack(&Piece::End));
        }
        self
    }
}

impl Next {
    fn is_done(&self) -> bool {
        matches!(self, Self::Files { sending, .. } if sending.is_done())
    }
}

/// A partition that is still to go into a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub partition: Partition,
    pub base: u64,
    pub after: u64,
    /// It begins with all of it: with these chunks, once they are known, of which so many are in.
    #[serde(default)]
    pub whole: bool,
    #[serde(default)]
    pub chunks: Option<(Manifest, usize)>,
}

/// What came of taking in a part of a bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Saves that came.
    pub saves: u64,
    pub quarantined: u64,
    pub refused: u64,
    /// Saves that are at the hub now, as this edge hears.
    pub acknowledged: u64,
    /// Rows that came.
    pub records: u64,
    /// It is not newer than what is here already.
    pub is_old: bool,
    /// Files that came, and were not here before; and how long they are.
    #[serde(default)]
    pub files: u64,
    #[serde(default)]
    pub file_bytes: u64,
    /// No record here that its edge may hold refers to them, or they are larger than is taken here.
    #[serde(default)]
    pub files_refused: u64,
    /// Their bytes are not those of their name.
    #[serde(default)]
    pub files_damaged: u64,
    /// Files of this edge that are at the hub now, as it hears.
    #[serde(default)]
    pub files_at_hub: u64,
}

impl Taken {
    #[must_use]
    pub fn and(self, more: Taken) -> Self {
        Self {
            saves: self.saves + more.saves,
            quarantined: self.quarantined + more.quarantined,
            refused: self.refused + more.refused,
            acknowledged: self.acknowledged + more.acknowledged,
            records: self.records + more.records,
            is_old: self.is_old || more.is_old,
            files: self.files + more.files,
            file_bytes: self.file_bytes + more.file_bytes,
            files_refused: self.files_refused + more.files_refused,
            files_damaged: self.files_damaged + more.files_damaged,
            files_at_hub: self.files_at_hub + more.files_at_hub,
        }
    }
}

/// Why a bundle is not made, or not taken in.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("it was made by this node itself; it is to be imported at {0}")]
    Own(String),
    #[error("it is for {0}, which is not this node")]
    ForOther(String),
    #[error("it is from {0}, which is not the hub of this node")]
    OfOtherHub(String),
    #[error("it is from {0}, which is no node of this hub")]
    Stranger(String),
    #[error("{0} was revoked and gets nothing any more")]
    Revoked(String),
    #[error(
        "it begins after what this node holds of {0}: bring a bundle from here to the hub first, and then one from there"
    )]
    Gap(Partition),
    #[error("a part of it is no good: {0}")]
    Faulty(String),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The secret of the credential with which an edge joins by a bundle: both sides know the token, and the file tells nobody.
pub fn secret_of(token: &str) -> String {
    let key = blake3::derive_key("outpost 2026-11 secret of an edge that joins by a bundle", token.trim().as_bytes());
    data_encoding::BASE64URL_NOPAD.encode(&key[..16])
}
