//! What two edges of one site tell each other without their hub, and how they know each other.
//!
//! The hub gives each pair of edges of a site a key of its own. Whoever asks and whoever answers prove that they have it, and
//! seal every message with what both made of it, so that nobody between them can alter one, or send one again. Nothing is
//! encrypted here. Shapes and seals only: what is told to whom is decided in `sync`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::feed::{Cursor, Row, bytes};
use super::ids::{Epoch, NodeId, Partition, SaveId};
use super::record::pack::Dictionary;
use super::save::Save;
use super::scope::Scope;
use super::snapshot::ChunkHash;

/// Another edge of the site, as the hub names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    pub node: NodeId,
    #[serde(default)]
    pub name: String,
    /// What it may hold.
    pub scope: Scope,
    /// Known to this pair and the hub alone.
    pub key: PeerKey,
}

/// What two edges know each other by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PeerKey([u8; 32]);

/// What the messages of one conversation are sealed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Question,
    Answer,
}

impl PeerKey {
    /// Of the edges of a pair, in either order; `secret` is the hub's own.
    pub fn of(secret: &[u8; 32], one: NodeId, other: NodeId) -> Self {
        let mut text = b"outpost 2026-11 two edges of a site".to_vec();
        for node in [one.min(other), one.max(other)] {
            text.extend_from_slice(&node.0.to_be_bytes());
        }
        Self(*blake3::keyed_hash(secret, &text).as_bytes())
    }

    /// Of a conversation that `asks` began with a number of its own, and `answers` took up with one of its own.
    pub fn session(&self, asks: NodeId, answers: NodeId, challenge: u64, response: u64) -> SessionKey {
        let mut text = b"outpost 2026-11 a conversation of two edges".to_vec();
        for number in [asks.0, answers.0, challenge, response] {
            text.extend_from_slice(&number.to_be_bytes());
        }
        SessionKey(*blake3::keyed_hash(&self.0, &text).as_bytes())
    }
}

impl SessionKey {
    pub fn seal(&self, way: Way, number: u64, body: &[u8]) -> Seal {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(match way {
            Way::Question => b"question",
            Way::Answer => b"answer..",
        });
        hasher.update(&number.to_be_bytes());
        hasher.update(body);
        Seal(hasher.finalize())
    }
}

/// Never told in a log.
impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey")
    }
}

impl Serialize for PeerKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for PeerKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = bytes::deserialize(deserializer)?;
        key.try_into().map(Self).map_err(|_| serde::de::Error::custom("a key has 32 bytes"))
    }
}

/// Compared in the same time whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal(blake3::Hash);

impl Serialize for Seal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(self.0.as_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Seal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seal = bytes::deserialize(deserializer)?;
        let seal: [u8; 32] = seal.try_into().map_err(|_| serde::de::Error::custom("a seal has 32 bytes"))?;
        Ok(Self(blake3::Hash::from_bytes(seal)))
    }
}

/// An edge begins a conversation with another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meet {
    pub protocols: Vec<u16>,
    pub node: NodeId,
    /// Random.
    pub challenge: u64,
}

/// The other one takes it up, and proves that it has the key of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    pub protocol: u16,
    pub node: NodeId,
    #[serde(default)]
    pub name: String,
    /// Random; names the conversation, too.
    pub session: u64,
    /// Of an answer with the number 0 and without a body.
    pub seal: Seal,
}

/// A message of a conversation: an [`Ask`], or a [`Told`], as it travels by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub session: u64,
    /// Each question has a higher one than those before it; the answer has that of its question.
    pub number: u64,
    #[serde(with = "bytes")]
    pub body: Vec<u8>,
    pub seal: Seal,
}

impl Sealed {
    pub fn new(session: u64, number: u64, body: Vec<u8>, way: Way, key: &SessionKey) -> Self {
        let seal = key.seal(way, number, &body);
        Self { session, number, body, seal }
    }

    pub fn is_of(&self, key: &SessionKey, way: Way) -> bool {
        self.seal == key.seal(way, self.number, &self.body)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    News(News),
    /// Of which chunks a partition is made there.
    Chunks(Partition),
    Chunk {
        partition: Partition,
        hash: ChunkHash,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Told {
    News(Box<Tidings>),
    Chunks(Vec<ChunkHash>),
    /// They are being made: ask again soon.
    Preparing,
    Chunk(#[serde(with = "bytes")] Vec<u8>),
    /// It is not there, or not for whoever asks.
    Nothing,
}

/// Asks what the other one has that the hub may lack, and what it heard from the hub since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// Whether the asking edge is in contact with its hub.
    pub in_contact: bool,
    /// For how many milliseconds the answer may be held back until there is something to tell.
    #[serde(default)]
    pub wait: u64,
    /// The last save of the other one's outbox that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<SaveId>,
    pub partitions: Vec<Standing>,
}

/// How far the asking edge is in a partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub id: Partition,
    /// Complete up to this number of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<(Epoch, u64)>,
    /// Up to which number of the other one it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Cursor>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tidings {
    pub stands: Stands,
    /// Of the outbox, in order: those that the asking edge may hold and did not make itself.
    #[serde(default)]
    pub saves: Vec<Save>,
    /// The last save that was looked at, if any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<SaveId>,
    /// There are more saves, which come before any rows.
    #[serde(default)]
    pub more: bool,
    #[serde(default)]
    pub pages: Vec<PeerPage>,
}

/// How an edge stands to its hub, as far as its peers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stands {
    /// Somebody has to carry for it.
    Apart,
    InContact,
    /// Somebody paused it.
    Paused,
}

/// Whole records of a partition, by the number that the one who tells gave them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerPage {
    pub partition: Partition,
    pub dictionary: Dictionary,
    pub rows: Vec<Row>,
    /// Where the next one begins.
    pub read: Cursor,
    /// It is not the last.
    #[serde(default)]
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn both_of_a_pair_have_one_key_and_nobody_else_has_it() {
        let key = PeerKey::of(&[7; 32], A, B);
        assert_eq!(key, PeerKey::of(&[7; 32], B, A));
        assert_ne!(key, PeerKey::of(&[8; 32], A, B));
        assert_ne!(key, PeerKey::of(&[7; 32], A, NodeId(3)));
        assert_eq!(format!("{key:?}"), "PeerKey");
    }

    #[test]
    fn a_message_that_was_altered_or_sent_back_or_comes_from_another_conversation_is_noticed() {
        let key = PeerKey::of(&[7; 32], A, B);
        let session = key.session(A, B, 3, 4);
        let sealed = Sealed::new(4, 1, b"news".to_vec(), Way::Question, &session);
        assert!(sealed.is_of(&session, Way::Question));
        assert!(!sealed.is_of(&session, Way::Answer));
        for other in [key.session(B, A, 3, 4), key.session(A, B, 3, 5), key.session(A, B, 2, 4)] {
            assert!(!sealed.is_of(&other, Way::Question));
        }
        assert!(!Sealed { number: 2, ..sealed.clone() }.is_of(&session, Way::Question));
        assert!(!Sealed { body: b"olds".to_vec(), ..sealed }.is_of(&session, Way::Question));
    }
}
