//! Identifiers. Each kind has its own type, so that a node is never taken for a person.
//!
//! Random ones are made by whoever has a source of chance (the node) and handed in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The random 64-bit identifiers are written as sixteen hexadecimal digits wherever a person or JSON sees them.
macro_rules! id64 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
                if !hex {
                    return Err(MalformedId);
                }
                u64::from_str_radix(text, 16).map($name).map_err(|_| MalformedId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    u64::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

/// The names that are hashes of 256 bits: 64 hexadecimal digits in lower case and nothing else wherever a person or JSON
/// sees them, so that a name never leads out of the place where such things are kept; bytes otherwise.
macro_rules! hash256 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::ids::MalformedId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                bytes.map($name).ok_or($crate::domain::ids::MalformedId)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::domain::feed::bytes::serialize(&self.0, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = $crate::domain::feed::bytes::deserialize(deserializer)?;
                bytes.try_into().map($name).map_err(|_| serde::de::Error::custom("a name of this kind has 32 bytes"))
            }
        }
    };
}
pub(super) use hash256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of this kind")]
pub struct MalformedId;

id64!(
    /// A node, hub or edge: random, given at enrolment (a hub gives itself one).
    NodeId
);
id64!(
    /// One life of a node's database: new at first start, after a restore, after a clone was noticed.
    Incarnation
);
id64!(
    /// The line of numbers a node hands out; changes when the node's own past changed.
    Epoch
);
id64!(
    /// A field of a type: permanent, whatever it is called.
    FieldId
);
id64!(
    /// One immutable publication of a type.
    RevisionId
);

/// A record within its type: a UUID, version 7 where we make it, so that B-trees stay local.
pub type RecordId = Uuid;

/// A person. All zero stands for the node itself (sample data, an import without a person).
pub type PersonId = Uuid;

/// Whom a hub names when it writes over what somebody was not permitted to write: nobody but itself.
pub const THE_HUB: PersonId = Uuid::from_u128(1);

/// What one person saved at once: the idempotence key, and the last word in the order of writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SaveId(pub u128);

impl SaveId {
    /// The part of the id that stamps carry. Two saves tie in it only if twins of one incarnation wrote in the same
    /// tick, and then with one chance in 2³².
    pub fn tag(self) -> u32 {
        (self.0 >> 96) as u32
    }
}

impl fmt::Debug for SaveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SaveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for SaveId {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(MalformedId);
        }
        u128::from_str_radix(text, 16).map(SaveId).map_err(|_| MalformedId)
    }
}

impl Serialize for SaveId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            Uuid::from_u128(self.0).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for SaveId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            Uuid::deserialize(deserializer).map(|id| SaveId(id.as_u128()))
        }
    }
}

/// The permanent key of a type. People's types match `^[a-z][a-z0-9-]{0,62}$`; our own begin with `_`, so the two
/// never meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// A type document: one for each custom type.
    pub const TYPE: &'static str = "_type";
    /// One publication of a type.
    pub const REVISION: &'static str = "_revision";
    /// A person.
    pub const PERSON: &'static str = "_person";
    /// A value that lost a merge.
    pub const LOST: &'static str = "_lost";
    /// A save that the hub may not accept.
    pub const QUARANTINE: &'static str = "_quarantine";

    /// A name that a person gave to a type of theirs.
    pub fn custom(name: &str) -> Result<Self, MalformedId> {
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if first && rest && name.len() <= 63 { Ok(Self(name.into())) } else { Err(MalformedId) }
    }

    /// One of our own types, by its constant above.
    pub fn built_in(name: &'static str) -> Self {
        Self(name.into())
    }

    pub fn is_built_in(&self) -> bool {
        self.0.starts_with('_')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeName {
    type Err = MalformedId;
    /// Custom and built-in names alike: what comes from the database or from another node.
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        match text {
            Self::TYPE | Self::REVISION | Self::PERSON | Self::LOST | Self::QUARANTINE => Ok(Self(text.into())),
            _ => Self::custom(text),
        }
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TypeName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A disjoint part of all records: a type, or a type and one value of the field it declares with `x-scope`. A cursor
/// runs through one partition, and an edge's scope is a set of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub String);

impl Partition {
    /// Types and their publications: pulled first, by every node.
    pub fn types() -> Self {
        Self("_types".into())
    }

    /// People: pulled second, by every node.
    pub fn people() -> Self {
        Self("_people".into())
    }

    /// Whether it is a node's own and never travels.
    pub fn is_local(&self) -> bool {
        self.0.starts_with('_') && *self != Self::types() && *self != Self::people()
    }

    /// All records of a type that declares no `x-scope`.
    pub fn of_type(name: &TypeName) -> Self {
        Self(name.to_string())
    }

    /// The records of a type whose scope field has this value; canonical JSON keeps `1`, `"1"` and absence apart.
    pub fn of_value(name: &TypeName, value: Option<&serde_json::Value>) -> Self {
        match value {
            Some(value) => Self(format!("{name}={}", super::json::canonical(value))),
            None => Self(format!("{name}=")),
        }
    }

    /// The type all of this partition's records are of, or the built-in name.
    pub fn type_name(&self) -> &str {
        self.0.split('=').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_name_is_lower_case_and_never_one_of_ours() {
        for good in ["a", "work-order", "w2", &"a".repeat(63)] {
            assert!(TypeName::custom(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "2w", "-a", "_type", "a_b", "a b", "ä", &"a".repeat(64), "a\n"] {
            assert!(TypeName::custom(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_of_one_and_its_text_differ() {
        let name = TypeName::custom("a").expect("a good name");
        let number = Partition::of_value(&name, Some(&serde_json::json!(1)));
        let text = Partition::of_value(&name, Some(&serde_json::json!("1")));
        assert_ne!(number, text);
        assert_ne!(number, Partition::of_value(&name, None));
    }
}
