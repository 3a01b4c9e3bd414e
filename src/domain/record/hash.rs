//! The hash of a record: equal on all nodes that saw the same changes.

use serde_json::Value;
use uuid::Uuid;

use super::{Content, Cover, Place, State};
use crate::domain::ids::TypeName;
use crate::domain::json;
use crate::domain::path::{Path, Segment};
use crate::domain::stamp::Stamp;

/// 128 bits of BLAKE3 over everything that is replicated of a record: what people see, what is kept beside it, and
/// all stamps; numbers of arrival are this node's own and left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub u128);

impl State {
    /// `document` is the projection of this state.
    pub fn hash(&self, type_name: &TypeName, id: Uuid, document: &Value) -> Hash {
        self.hash_of(type_name, id, &json::canonical(document))
    }

    /// The same, for whoever has the canonical text of the projection.
    pub fn hash_of(&self, type_name: &TypeName, id: Uuid, canonical: &str) -> Hash {
        let mut hasher = Hasher(blake3::Hasher::new());
        hasher.text(type_name.as_str());
        hasher.0.update(id.as_bytes());
        hasher.text(canonical);
        hasher.place(&self.root, true, Stamp::NEVER);
        if let Some(bin) = &self.bin {
            hasher.byte(if bin.binned { b'B' } else { b'b' });
            hasher.stamp(&bin.stamp);
            hasher.cover(&bin.cover);
        }
        if let Some(written) = &self.written {
            hasher.byte(b'v');
            hasher.0.update(&written.revision.0.to_le_bytes());
        }
        let digest = hasher.0.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.as_bytes()[..16]);
        Hash(u128::from_le_bytes(bytes))
    }
}

struct Hasher(blake3::Hasher);

impl Hasher {
    fn byte(&mut self, byte: u8) {
        self.0.update(&[byte]);
    }

    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn stamp(&mut self, stamp: &Stamp) {
        self.0.update(&stamp.time.0.to_le_bytes());
        self.0.update(&stamp.author.node.0.to_le_bytes());
        self.0.update(&stamp.author.incarnation.0.to_le_bytes());
        self.0.update(stamp.author.person.as_bytes());
        self.0.update(&stamp.tag.to_le_bytes());
    }

    fn segment(&mut self, segment: &Segment) {
        match segment {
            Segment::Property(name) => {
                self.byte(b'p');
                self.text(name);
            }
            Segment::Item(key) => {
                self.byte(b'i');
                self.text(&key.0);
            }
        }
    }

    fn path(&mut self, path: &Path) {
        self.0.update(&(path.0.len() as u64).to_le_bytes());
        path.0.iter().for_each(|segment| self.segment(segment));
    }

    fn cover(&mut self, cover: &Cover) {
        self.stamp(&cover.all);
        self.0.update(&(cover.inside.len() as u64).to_le_bytes());
        for (path, stamp) in &cover.inside {
            self.path(path);
            self.stamp(stamp);
        }
    }

    fn place(&mut self, place: &Place, shown: bool, above: Stamp) {
        if let Some(write) = &place.write {
            self.byte(match write.content {
                Content::Absent => b'-',
                Content::Json(_) => b'j',
                Content::Group => b'g',
            });
            self.stamp(&write.stamp);
        }
        if let Some(order) = &place.order {
            self.byte(b'o');
            self.stamp(&order.stamp);
            self.text(&order.rank);
        }
        let here = place.write.as_ref().map_or(above, |write| above.max(write.stamp));
        if let Some(removal) = &place.removal {
            self.byte(b'x');
            self.stamp(&removal.stamp);
            self.cover(&removal.cover);
        }
        if !shown {
            // kept beside the document, so it is not in the document's text
            self.byte(b'k');
            self.text(&place.parked(above).map(|value| json::canonical(&value)).unwrap_or_default());
        }
        self.byte(b'(');
        for (segment, below) in &place.inside {
            self.segment(segment);
            self.place(below, place.shows(segment, below, here), here);
        }
        self.byte(b')');
    }
}
