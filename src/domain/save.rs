//! What one person saved at once, as it travels: made once, when it is saved; transport only carries its bytes.

use serde::{Deserialize, Serialize};

use super::clock::Hlc;
use super::ids::{RecordId, RevisionId, SaveId, TypeName};
use super::record::Change;
use super::stamp::{Author, Stamp};

/// At most this many records in one save, so that it stays one atomic step everywhere.
pub const MAX_RECORDS: usize = 1_000;
/// At most this many bytes of JSON in one save.
pub const MAX_SAVE_BYTES: usize = 4 << 20;
/// At most this many bytes of JSON in one record, told at save.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// How deep a record may be nested: what is written must be readable again, and JSON is read 128 levels deep at most.
pub const MAX_NESTING: usize = 120;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Save {
    pub id: SaveId,
    pub author: Author,
    pub records: Vec<SavedRecord>,
}

/// One record's part in a save.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedRecord {
    #[serde(rename = "t")]
    pub type_name: TypeName,
    #[serde(rename = "id")]
    pub id: RecordId,
    /// Under which publication it was written; built-in types have none.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionId>,
    /// Its own moment: above all it replaces, so a stamp from a wrong clock stays with the leaves it touched.
    #[serde(rename = "at")]
    pub time: Hlc,
    #[serde(rename = "c")]
    pub changes: Vec<Change>,
}

/// The id of a save that was begun at `now`, in milliseconds, and changes this record first. All of it follows from what
/// travels with the save anyway, but for the tag, which is random; so it is another one for each save as surely as stamps are.
pub fn id_of(tag: u32, author: &Author, now: i64, record: RecordId) -> SaveId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"save").update(&tag.to_le_bytes()).update(&now.to_le_bytes()).update(record.as_bytes());
    hasher.update(&author.node.0.to_le_bytes()).update(&author.incarnation.0.to_le_bytes());
    hasher.update(author.person.as_bytes());
    let hash: [u8; 16] = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
    SaveId(u128::from(tag) << 96 | u128::from_le_bytes(hash) >> 32)
}

impl Save {
    /// How many milliseconds before its first record's moment it was begun, if its id is that of [`id_of`].
    pub fn begun_before(&self) -> Option<u8> {
        let first = self.records.first()?;
        // as a rule that is the very millisecond; not so when it had to come after something
        let is_it = |before: &u8| {
            let now = first.time.millis().saturating_sub(i64::from(*before));
            id_of(self.id.tag(), &self.author, now, first.id) == self.id
        };
        (0..4).find(is_it)
    }

    pub fn stamp(&self, record: &SavedRecord) -> Stamp {
        Stamp::new(record.time, self.author, self.id)
    }
}

impl SavedRecord {
    /// Whether this save makes the record.
    pub fn creates(&self) -> bool {
        self.changes.iter().any(|change| change.path.is_root() && matches!(change.act, super::record::Act::Set(_)))
    }
}
