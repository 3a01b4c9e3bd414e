//! The messages between an edge and its hub, as `docs/sync-protocol.md` describes them.
//!
//! Shapes only: `sync::wire` makes bytes of them, [`session`](super::session) decides which is sent when. A field that a
//! message does not know passes over, and one that may be missing has a default, so that versions can differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::feed::{Cursor, Digest, Moved, Row};
use super::ids::{Epoch, Incarnation, NodeId, Partition, SaveId};
use super::peer::Peer;
use super::record::pack::Dictionary;
use super::save::Save;
use super::scope::Scope;

/// The versions this program speaks, best first.
pub const PROTOCOLS: &[u16] = &[1];

/// The version for a conversation: the best one that both sides speak.
pub fn agree(theirs: &[u16]) -> Option<u16> {
    PROTOCOLS.iter().copied().find(|ours| theirs.contains(ours))
}

/// An edge opens a conversation, and tells how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub protocols: Vec<u16>,
    pub node: NodeId,
    pub incarnation: Incarnation,
    /// What the edge's own clock shows while this is sent, in milliseconds; not corrected by what it knows of the hub's.
    pub clock: i64,
    /// How many of its saves the hub has not acknowledged.
    #[serde(default)]
    pub waiting: u64,
    /// Whether the edge found itself in step when it last compared.
    #[serde(default)]
    pub in_step: bool,
    #[serde(default)]
    pub partitions: Vec<Reached>,
    /// What the last welcome gave, to show that the edge was neither put back nor copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratchet: Option<u64>,
    /// A random number of this hello, so that an echo of it is known as one. An edge that has none knows no ratchets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// The nodes that this edge serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<Below>,
    /// On an edge that serves others: up to which numbers it and all below it are complete, with nothing left to send.
    /// Without it that is how far it is itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<BTreeMap<String, u64>>,
}

/// A node that an edge serves, as the edge knows it. For showing only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Below {
    pub node: NodeId,
    #[serde(default)]
    pub name: String,
    /// When the edge last heard of it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<i64>,
    #[serde(default)]
    pub waiting: u64,
    #[serde(default)]
    pub in_step: bool,
    /// The name of the edge that serves it, if that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What it may hold; at most what the edge may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

/// How far the reader of a partition is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    pub id: Partition,
    pub cursor: Cursor,
}

/// The hub's answer: who it is, what the edge may hold, and where each of these partitions stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub protocol: u16,
    pub node: NodeId,
    pub name: String,
    pub epoch: Epoch,
    /// The epochs before, the latest last: the hub was restored, and may lack what their readers have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Epoch>,
    /// What the hub's clock showed while this was made, in milliseconds.
    pub clock: i64,
    pub scope: Scope,
    /// The highest number among `partitions`.
    pub head: u64,
    /// Every partition of the scope that the hub holds, read at one moment.
    pub partitions: Vec<Head>,
    pub limits: Limits,
    /// To be kept before anything of this is used, and presented at the next hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratchet: Option<u64>,
    /// Whether the edge may serve edges of its own.
    #[serde(default)]
    pub relays: bool,
    /// Whether this node can be asked how far records have come.
    #[serde(default, skip_serializing_if = "is_false")]
    pub locates: bool,
    /// Whether this node remembers the last push, so that the next may be packed with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub remembers: bool,
    /// How this node stands to the one above it; absent if it is the hub of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<Above>,
    /// The other edges of the site that this one is of, which it may speak to directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
}

/// How a node that serves others stands to its own hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Above {
    /// What that hub is called.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub in_step: bool,
    /// How many saves it has not handed over.
    #[serde(default)]
    pub waiting: u64,
    /// When the two last spoke, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<i64>,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub id: Partition,
    pub head: u64,
    pub digest: Digest,
    /// How many records are newer than the reader's cursor. For showing only.
    #[serde(default)]
    pub newer: u64,
    /// The cursor of the reader counts numbers that were given before the hub, or the edge, was put back to an earlier
    /// state.
    #[serde(default, skip_serializing_if = "is_false")]
    pub put_back: bool,
    /// Whether the hub has forgotten what left it once: who holds some of it and cannot say since when has to compare.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgets: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// About how large a push may be, in bytes of saves.
    pub push_bytes: usize,
    /// About how large the page of a pull may be, in bytes of rows.
    pub pull_bytes: usize,
    /// A partition of so many records may be copied chunk by chunk by whoever has nothing of it.
    #[serde(default = "never")]
    pub chunk_records: u64,
}

/// What a hub that knows no chunks means.
fn never() -> u64 {
    u64::MAX
}

impl Default for Limits {
    fn default() -> Self {
        Self { push_bytes: 1 << 20, pull_bytes: 1 << 20, chunk_records: 5_000 }
    }
}

/// Saves of the edge, in the order they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Push {
    /// The answer names the partitions with a number above this one: the `head` of the last [`Welcome`] or [`Pushed`].
    #[serde(default)]
    pub since: u64,
    pub saves: Vec<Save>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pushed {
    pub epoch: Epoch,
    /// One for each save, in order. This is the acknowledgement.
    pub verdicts: Vec<Verdict>,
    pub head: u64,
    pub partitions: Vec<Head>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub save: SaveId,
    /// Why the hub did not take it; absent if it is on the hub's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Why it may not be: it is on the hub's disk, in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// It edits a record that the hub does not have at all: a hub that was put back is to be given that whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

/// Asks for what is new in a partition. Travels in the address of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    pub partition: Partition,
    pub epoch: Epoch,
    pub base: u64,
    pub after: u64,
    /// The tag of the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u64>,
    pub max_bytes: usize,
}

/// A page of a partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pulled {
    pub partition: Partition,
    pub epoch: Epoch,
    /// The stamps of `rows` speak of these authors and names.
    pub dictionary: Dictionary,
    pub rows: Vec<Row>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
    /// Where the next page begins; absent if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Head and digest of the partition at the moment of the page.
    pub head: u64,
    pub digest: Digest,
    /// The tag of the run in which `next`, or else `head`, was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u64>,
}

/// Asks for all of a partition, as a [`Manifest`](super::snapshot::Manifest). Travels in the address of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub partition: Partition,
}

/// A partition moved on. Only a hint: the pull is the truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    pub epoch: Epoch,
    pub partition: Partition,
    pub head: u64,
    /// How many records changed since the hint before it. For showing only.
    #[serde(default)]
    pub records: u64,
}

/// The answer to a long poll: what moved on since the number that was asked about, empty when the time is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    pub hints: Vec<Hint>,
}

/// A new edge presents its one-time token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    pub token: String,
    /// What people shall call this node; the invitation's name stands if there is one.
    #[serde(default)]
    pub name: String,
    /// 128 bits that the new edge chose, base64url without padding: the secret of its credential. Who asks again with
    /// the same token and the same secret gets the same answer, should the first have been lost.
    pub secret: String,
}

/// The edge is a node of the hub now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Enrolled {
    pub node: NodeId,
    pub name: String,
    /// Presented with every request from now on; the hub keeps only its hash.
    pub credential: String,
    pub hub: NodeId,
    pub hub_name: String,
    pub epoch: Epoch,
    pub scope: Scope,
}

/// Why a request was not carried out (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub status: u16,
    #[serde(default)]
    pub detail: String,
}

/// The kinds of [`Problem`] that a program reacts to.
pub mod problem {
    pub const MALFORMED: &str = "urn:outpost:problem:malformed";
    pub const TOO_LARGE: &str = "urn:outpost:problem:too-large";
    pub const PROTOCOL: &str = "urn:outpost:problem:protocol";
    pub const CREDENTIAL: &str = "urn:outpost:problem:credential";
    pub const NODE_REVOKED: &str = "urn:outpost:problem:node-revoked";
    pub const TOKEN: &str = "urn:outpost:problem:token";
    pub const OUT_OF_SCOPE: &str = "urn:outpost:problem:out-of-scope";
    pub const EPOCH: &str = "urn:outpost:problem:epoch";
    pub const UNREMEMBERED: &str = "urn:outpost:problem:unremembered";
    pub const NO_CHUNK: &str = "urn:outpost:problem:no-chunk";
    pub const NO_BLOB: &str = "urn:outpost:problem:no-blob";
    pub const NOT_A_PEER: &str = "urn:outpost:problem:not-a-peer";
    pub const SESSION: &str = "urn:outpost:problem:session";
    pub const TWIN: &str = "urn:outpost:problem:twin";
    pub const NOT_A_HUB: &str = "urn:outpost:problem:not-a-hub";
    pub const BUSY: &str = "urn:outpost:problem:busy";
    pub const INTERNAL: &str = "urn:outpost:problem:internal";
}

/// Why a step of a conversation failed, as far as the one who asked reacts differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer: no network, no hub, or the answer was lost or took too long.
    #[error("{0}")]
    Unreachable(String),
    /// Try later, not before so many milliseconds.
    #[error("{reason}")]
    Busy { reason: String, retry_after: Option<i64> },
    /// The hub does not accept this node.
    #[error("{0}")]
    Refused(String),
    /// The hub takes what this node has to give, into quarantine, and gives it nothing any more.
    #[error("{0}")]
    Revoked(String),
    /// Another device goes on with this one's data, or has gone on before it was put back.
    #[error("{0}")]
    Twin(String),
    /// The cursor is of another line of numbers.
    #[error("the hub counts from a new beginning")]
    ForeignEpoch,
    /// The node may not hold this partition.
    #[error("{0}")]
    OutOfScope(String),
    /// The hub does not have this chunk, or cannot put any together: another manifest, or the pull, does it.
    #[error("{0}")]
    NoChunk(String),
    /// The hub can never accept this request as it is.
    #[error("{0}")]
    Rejected(String),
    /// The hub, or something before it, is at fault.
    #[error("{0}")]
    Faulty(String),
    /// This node's own store failed.
    #[error("{0}")]
    Local(String),
}

impl Failure {
    /// Reads an answer that is no success. `retry_after` is in milliseconds.
    pub fn of(status: u16, problem: Option<&Problem>, retry_after: Option<i64>) -> Self {
        let reason = match problem {
            Some(problem) if !problem.detail.is_empty() => problem.detail.clone(),
            Some(problem) if !problem.title.is_empty() => problem.title.clone(),
            _ => format!("the hub answered with status {status}"),
        };
        match (status, problem.map(|problem| problem.kind.as_str())) {
            (_, Some(problem::EPOCH)) => Failure::ForeignEpoch,
            (_, Some(problem::TWIN)) => Failure::Twin(reason),
            (_, Some(problem::OUT_OF_SCOPE)) => Failure::OutOfScope(reason),
            (_, Some(problem::NO_CHUNK)) => Failure::NoChunk(reason),
            (_, Some(problem::NODE_REVOKED)) => Failure::Revoked(reason),
            (_, Some(problem::CREDENTIAL | problem::PROTOCOL | problem::TOKEN | problem::NOT_A_PEER)) => {
                Failure::Refused(reason)
            }
            (429 | 503, _) => Failure::Busy { reason, retry_after },
            // not one of our hub's answers: a captive portal or a proxy says so, and that passes
            (401 | 403 | 404 | 407 | 511, None) => Failure::Faulty(reason),
            (400 | 404 | 413 | 415 | 422, _) => Failure::Rejected(reason),
            _ => Failure::Faulty(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_not_known_passes_over() {
        let json = json!({
            "protocols": [2, 1], "node": "00000000000000aa", "incarnation": "00000000000000bb", "clock": 1,
            "partitions": [{"id": "_types", "cursor": {"epoch": "00000000000000cc", "base": 3, "after": 4, "tag": 9}}],
            "sent": {"by": ["a later version"]}
        });
        let hello: Hello = serde_json::from_value(json).expect("what is known is read");
        assert_eq!(hello.partitions[0].cursor.base, 3);
        assert_eq!(hello.waiting, 0);
        assert_eq!(agree(&hello.protocols), Some(1));
        assert_eq!(agree(&[2, 3]), None);
    }

    #[test]
    fn digests_are_text_in_json_and_bytes_in_cbor() {
        let head = Head {
            id: Partition::types(),
            head: 7,
            digest: Digest(u128::MAX - 1),
            newer: 0,
            put_back: false,
            forgets: false,
        };
        let json = serde_json::to_value(&head).expect("a head is encoded");
        assert_eq!(json["digest"], json!("fffffffffffffffffffffffffffffffe"));
        assert_eq!(serde_json::from_value::<Head>(json).expect("a head is decoded"), head);
        let mut cbor = Vec::new();
        ciborium::into_writer(&head, &mut cbor).expect("a head is encoded");
        assert_eq!(ciborium::from_reader::<Head, _>(&cbor[..]).expect("a head is decoded"), head);
    }

    #[test]
    fn an_answer_of_something_else_than_the_hub_is_no_refusal() {
        let problem = |kind: &str| Problem {
            kind: kind.into(),
            title: "t".into(),
            status: 403,
            detail: "this node was revoked".into(),
        };
        let revoked = Failure::of(403, Some(&problem(problem::NODE_REVOKED)), None);
        assert_eq!(revoked, Failure::Revoked("this node was revoked".into()));
        assert!(matches!(Failure::of(403, None, None), Failure::Faulty(_)));
        assert!(matches!(Failure::of(502, None, None), Failure::Faulty(_)));
        assert!(matches!(Failure::of(409, Some(&problem(problem::EPOCH)), None), Failure::ForeignEpoch));
        let busy = Failure::of(503, None, Some(2_000));
        assert!(matches!(busy, Failure::Busy { retry_after: Some(2_000), .. }), "{busy:?}");
        assert!(matches!(Failure::of(413, Some(&problem(problem::TOO_LARGE)), None), Failure::Rejected(_)));
    }
}
