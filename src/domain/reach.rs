//! How far records have come: the question of an edge to its hub, and the answer. For showing only.
//!
//! It is asked when somebody looks at a record, and about the records that are looked at: a save costs nothing by it, and
//! no node is told of others without wanting to know.

use serde::{Deserialize, Serialize};

use super::feed::Digest;
use super::ids::{RecordId, TypeName};

/// So many records are asked about at once.
pub const MAX_ASKED: usize = 100;

/// An edge asks how far these records have come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Whereabouts {
    pub records: Vec<Sought>,
}

/// A record as the one who asks has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sought {
    #[serde(rename = "t")]
    pub type_name: TypeName,
    #[serde(rename = "id")]
    pub id: RecordId,
    /// Of all that the asker has of it: if the hub has just that, the asker has what the hub has.
    #[serde(rename = "h")]
    pub hash: Digest,
}

/// One for each record that was asked about, in order; absent where the hub does not have it, or the asker may not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Located {
    pub records: Vec<Option<Standing>>,
}

/// How far a record has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it is at the hub of all, as far as the one who answers knows.
    pub at_hub: bool,
    /// Absent if the one who answers is no hub, and could not ask in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<Sites>,
}

/// On how many sites the newest of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sites {
    /// So many told that they have it; there may be more.
    pub have: u64,
    /// So many may hold it.
    pub of: u64,
    /// How long ago this was so, in milliseconds.
    #[serde(default)]
    pub age: u64,
}
