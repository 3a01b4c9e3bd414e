//! The messages by which an edge and its hub bring a partition together again after one of them was put back to an
//! earlier state: numbers say nothing then, so what each holds is compared.
//!
//! The edge walks its own records in order and sends ranges of a few with their fingerprints. The hub answers which are
//! equal, and lists what it has in the others; where it has more than fits, up to a place from which the edge goes on.

use serde::{Deserialize, Serialize};

use super::feed::{Digest, Row};
use super::ids::{Epoch, Partition, RecordId, TypeName};
use super::record::pack::Dictionary;

/// How many records are in a range that an edge sends.
pub const RANGE_ROWS: usize = 64;
/// How many ranges are in a message at most.
pub const MAX_RANGES: usize = 32;
/// How many records are listed for a range at most.
pub const MAX_LISTED: usize = 256;
/// How many records are asked for, or offered, at once at most.
pub const MAX_ROWS: usize = 4096;

/// A record, in the order of type and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    #[serde(rename = "t")]
    pub type_name: TypeName,
    pub id: RecordId,
}

/// A record and its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hashed {
    #[serde(flatten)]
    pub mark: Mark,
    #[serde(rename = "h")]
    pub hash: Digest,
}

/// The records from one to before another; without them from the first on, or to the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Range {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Mark>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Mark>,
    pub count: u64,
    /// The sum of their hashes, as a digest is.
    pub fingerprint: Digest,
}

impl Range {
    pub fn of(from: Option<Mark>, to: Option<Mark>, rows: &[Hashed]) -> Self {
        Self { from, to, count: rows.len() as u64, fingerprint: fingerprint(rows) }
    }
}

pub fn fingerprint(rows: &[Hashed]) -> Digest {
    Digest(rows.iter().fold(0, |sum, row| sum.wrapping_add(row.hash.0)))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconcile {
    pub partition: Partition,
    pub epoch: Epoch,
    pub ranges: Vec<Range>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconciled {
    /// The partition's head before anything was compared, and the tag of its run.
    pub head: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u64>,
    /// One for each range, in order.
    pub ranges: Vec<Compared>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    Equal,
    Rows(Listing),
}

/// What the hub has in a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    pub rows: Vec<Hashed>,
    /// Where the list ends, if that is before the end of the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Mark>,
}

impl Listing {
    /// Where the two sides differ, `mine` being what this side has as far as the list goes.
    pub fn differences(&self, mine: &[Hashed]) -> Differences {
        let mut differences = Differences::default();
        let (mut ours, mut theirs) = (mine.iter().peekable(), self.rows.iter().peekable());
        loop {
            match (ours.peek(), theirs.peek()) {
                (None, None) => return differences,
                (Some(our), Some(their)) if our.mark == their.mark => {
                    if our.hash != their.hash {
                        differences.wanted.push((*their).clone());
                        differences.offered.push(our.mark.clone());
                    }
                    ours.next();
                    theirs.next();
                }
                (Some(our), their) if their.is_none_or(|their| our.mark < their.mark) => {
                    differences.offered.push(our.mark.clone());
                    ours.next();
                }
                (_, Some(their)) => {
                    differences.wanted.push((*their).clone());
                    theirs.next();
                }
                (Some(_), None) => unreachable!("that is the case above"),
            }
        }
    }
}

#[derive(Debug, Default, PartialEq)]
pub struct Differences {
    /// What the hub has that is not here, or is otherwise here; in order.
    pub wanted: Vec<Hashed>,
    /// What is here that the hub does not have, or has otherwise; in order.
    pub offered: Vec<Mark>,
}

/// Asks for whole records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    pub partition: Partition,
    pub epoch: Epoch,
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fetched {
    pub dictionary: Dictionary,
    /// Those that are in the partition, whole, in the order in which they were asked for.
    pub rows: Vec<Row>,
    /// How many of those that were asked for were looked at; the others are to be asked for again.
    pub looked_at: usize,
}

/// Gives back what the hub lacks. Joined as a push is, and judged by the rights of those who wrote it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offer {
    pub partition: Partition,
    pub epoch: Epoch,
    pub dictionary: Dictionary,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    /// Those that were not taken, and why; all others are on the hub's disk.
    #[serde(default)]
    pub refused: Vec<NotTaken>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotTaken {
    #[serde(flatten)]
    pub mark: Mark,
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u128, hash: u128) -> Hashed {
        let type_name = TypeName::custom("note").expect("a good name");
        Hashed { mark: Mark { type_name, id: RecordId::from_u128(id) }, hash: Digest(hash) }
    }

    #[test]
    fn what_differs_is_asked_for_and_offered_and_what_one_side_lacks_goes_there() {
        let mine = [row(1, 1), row(2, 2), row(4, 4), row(6, 6)];
        let listing = Listing { rows: vec![row(0, 0), row(2, 2), row(4, 5), row(5, 5)], to: None };
        let Differences { wanted, offered } = listing.differences(&mine);
        assert_eq!(wanted, [row(0, 0), row(4, 5), row(5, 5)]);
        assert_eq!(offered, [row(1, 1).mark, row(4, 4).mark, row(6, 6).mark]);
        assert_eq!(Listing { rows: mine.to_vec(), to: None }.differences(&mine), Differences::default());
    }
}
