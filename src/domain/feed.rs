//! What a node hands to those who read from it: rows, removals, and how far a reader is.
//!
//! Only the shapes; what they do to a record is the record's, what is sent when is the session's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Epoch, RecordId, TypeName};
use super::record::hash::Hash;
use super::stamp::Stamp;

/// A record or a part of one, as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    #[serde(rename = "t")]
    pub type_name: TypeName,
    #[serde(rename = "id")]
    pub id: RecordId,
    #[serde(rename = "q")]
    pub seq: u64,
    /// Packed with values at their places, by the dictionary of the message.
    #[serde(rename = "s", with = "bytes")]
    pub state: Vec<u8>,
}

/// A record that left a partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    #[serde(rename = "t")]
    pub type_name: TypeName,
    #[serde(rename = "id")]
    pub id: RecordId,
    #[serde(rename = "q")]
    pub seq: u64,
    /// The stamp of the value of the scope field that took it away.
    #[serde(rename = "s")]
    pub stamp: Stamp,
}

/// How far a reader of a partition is: complete up to `base`, and in the middle of a pull up to `after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    pub epoch: Epoch,
    pub base: u64,
    pub after: u64,
    /// The tag of the run in which `after` was given; unknown on nodes that had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u64>,
}

impl Cursor {
    /// Before the first row of a line of numbers.
    pub fn start(epoch: Epoch) -> Self {
        Self { epoch, base: 0, after: 0, tag: None }
    }

    /// With the tag of the run in which `after` was given.
    #[must_use]
    pub fn tagged(self, tag: Option<u64>) -> Self {
        Self { tag, ..self }
    }

    /// Where the reader stands once a page is in. A record is listed at its newest number only, so an older change of it
    /// may lie below the end of a page that does not hold it: `base` moves only with the last page.
    pub fn turned(self, next: Option<u64>, head: u64) -> Self {
        match next {
            Some(after) => Self { after, ..self },
            None => Self { base: head, after: head, ..self },
        }
    }
}

/// Numbers that were given by one process within about an hour. What is put back to an earlier state and goes on gives
/// the same numbers again, in another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first number of it; it ends before that of the next.
    pub first: u64,
    /// Random.
    pub tag: u64,
}

/// All runs of a node, in order.
#[derive(Debug, Clone, Default)]
pub struct Runs(pub Arc<Vec<Run>>);

impl Runs {
    /// The tag of the run in which a number was given; `None` for one from before there were runs.
    pub fn tag_of(&self, number: u64) -> Option<u64> {
        let after = self.0.partition_point(|run| run.first <= number);
        self.0.get(after.checked_sub(1)?).map(|run| run.tag)
    }

    /// Whether a reader who is there read these very numbers, as far as can be told.
    pub fn agree(&self, after: u64, tag: Option<u64>) -> bool {
        match (tag, self.tag_of(after)) {
            (Some(theirs), Some(ours)) => theirs == ours,
            // a tag was given, and nobody here knows of it
            (Some(_), None) => after == 0,
            (None, _) => true,
        }
    }
}

/// The order-free sum of the hashes of a partition's records, the bin included; computed from a node's own rows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(pub u128);

impl Digest {
    #[must_use]
    pub fn plus(self, hash: Hash) -> Self {
        Self(self.0.wrapping_add(hash.0))
    }

    #[must_use]
    pub fn minus(self, hash: Hash) -> Self {
        Self(self.0.wrapping_sub(hash.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes::serialize(&self.0.to_be_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes::deserialize(deserializer)?;
        let bytes = bytes.try_into().map_err(|_| serde::de::Error::custom("a digest has 16 bytes"))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

/// Bytes as bytes in CBOR and as hexadecimal text in JSON.
pub(crate) mod bytes {
    use serde::de::{Deserializer, Error, Visitor};

    pub fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&data_encoding::HEXLOWER.encode(bytes))
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(E::custom)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Bytes)
        } else {
            deserializer.deserialize_byte_buf(Bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_given_twice_is_told_by_its_run() {
        let runs = Runs(Arc::new(vec![Run { first: 5, tag: 50 }, Run { first: 9, tag: 90 }]));
        assert_eq!([4, 5, 8, 9, 99].map(|number| runs.tag_of(number)), [None, Some(50), Some(50), Some(90), Some(90)]);
        assert!(runs.agree(8, Some(50)) && runs.agree(8, None) && runs.agree(4, None));
        assert!(!runs.agree(9, Some(50)) && !runs.agree(9, Some(7)) && !runs.agree(4, Some(50)));
    }
}
