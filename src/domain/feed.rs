//! What a node hands to those who read from it: rows, removals, and how far a reader is.
//!
//! Only the shapes; what they do to a record is the record's, what is sent when is the session's.

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
}

impl Cursor {
    /// Before the first row of a line of numbers.
    pub fn start(epoch: Epoch) -> Self {
        Self { epoch, base: 0, after: 0 }
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
