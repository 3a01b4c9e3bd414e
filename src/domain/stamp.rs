//! Who wrote, and when: the name of a write and its place in the order of all writes.

use serde::{Deserialize, Serialize};

use super::clock::Hlc;
use super::ids::{Incarnation, NodeId, PersonId, SaveId};

/// A person on one life of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Author {
    pub node: NodeId,
    pub incarnation: Incarnation,
    pub person: PersonId,
}

/// One write. Ordered by clock, node, incarnation, save: total, without ties, the same on every node and the same for
/// every leaf of a save. Never ordered by value: the leaves of one merge unit would be won by different saves.
#[derive(Debug, Clone, Copy, Eq, Default, Serialize, Deserialize)]
pub struct Stamp {
    pub time: Hlc,
    pub author: Author,
    /// The leading bits of the save's id.
    pub tag: u32,
}

impl Stamp {
    /// Before every write.
    pub const NEVER: Stamp = Stamp {
        time: Hlc::ZERO,
        author: Author { node: NodeId(0), incarnation: Incarnation(0), person: PersonId::nil() },
        tag: 0,
    };

    pub fn new(time: Hlc, author: Author, save: SaveId) -> Self {
        Self { time, author, tag: save.tag() }
    }

    /// Whether it is the same write, maybe under another time: two copies of a device bring what it had saved to corrected
    /// time each by themselves.
    pub fn is_same_save(&self, other: &Stamp) -> bool {
        let name = |stamp: &Stamp| (stamp.author.node, stamp.author.incarnation, stamp.tag);
        name(self) == name(other)
    }

    fn key(&self) -> (Hlc, NodeId, Incarnation, u32) {
        (self.time, self.author.node, self.author.incarnation, self.tag)
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl std::hash::Hash for Stamp {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Stamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}
