//! Files that records refer to: what a reference looks like, where one is found, into which parts a file is cut on its way.
//!
//! A record holds `{"sha256": …, "name": …, "mime": …, "size": …}` where its type says `"x-kind": "file"` (or `photo`,
//! `signature`); the bytes never travel inside records. Reading and hashing bytes is no matter of this module.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ids::{Epoch, hash256};

/// How much of a file travels at once. Small enough that records never wait long behind it.
pub const CHUNK: u64 = 256 << 10;
/// So many files are asked about at once.
pub const MAX_ASKED: usize = 256;
/// The words of `x-kind` that mean a file.
const KINDS: [&str; 3] = ["file", "photo", "signature"];
/// References of a record beyond this many are not looked at.
const MAX_REFERENCES: usize = 10_000;
const MAX_NAME: usize = 255;

hash256!(
    /// The name of a file: the SHA-256 of its bytes.
    BlobHash
);

/// What a record says of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    #[serde(rename = "sha256")]
    pub hash: BlobHash,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub mime: String,
    pub size: u64,
}

impl FileRef {
    /// Reads a value as a reference; `None` if it is none. The hash and the size make one; what is said beside is for people.
    pub fn of(value: &Value) -> Option<Self> {
        let Value::Object(map) = value else { return None };
        let hash = map.get("sha256")?.as_str()?.parse().ok()?;
        // through text: a size such as 1e3 is none
        let size = map.get("size").filter(|size| size.is_number())?.to_string().parse().ok()?;
        Some(Self { hash, size, name: text(map, "name", MAX_NAME), mime: text(map, "mime", 100) })
    }

    /// Its media type if it is a picture that a browser draws without running anything in it.
    pub fn picture(&self) -> Option<&'static str> {
        ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"]
            .into_iter()
            .find(|known| *known == self.mime)
    }
}

fn text(map: &Map<String, Value>, name: &str, most: usize) -> String {
    map.get(name).and_then(Value::as_str).unwrap_or_default().chars().take(most).collect()
}

/// Whether a subschema says of itself that its values are files.
pub fn says_file(kind: Option<&Value>) -> bool {
    kind.and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind))
}

/// Whether records of a schema may refer to files: some subschema of it says so.
pub fn has_files(schema: &Value) -> bool {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if says_file(map.get("x-kind")) {
                    return true;
                }
                open.extend(map.values());
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    false
}

/// The files that a value refers to, each once, in the order in which they stand.
///
/// It is told by the form of the value, wherever it stands, for records of a type that [`has_files`]: so it is found
/// behind choices, in lists, in what an older or a newer publication wrote, and in a value that lost.
pub fn references(value: &Value) -> Vec<FileRef> {
    let mut found: Vec<FileRef> = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if let Some(file) = FileRef::of(value) {
            if found.iter().all(|known| known.hash != file.hash) {
                found.push(file);
            }
            if found.len() >= MAX_REFERENCES {
                break;
            }
            continue;
        }
        match value {
            Value::Object(map) => open.extend(map.values().rev()),
            Value::Array(values) => open.extend(values.iter().rev()),
            _ => {}
        }
    }
    found
}

/// How many parts a file of this size travels in. An empty one is one part, too.
pub fn parts(size: u64) -> u64 {
    size.div_ceil(CHUNK).max(1)
}

/// Where a file is, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileState {
    pub place: Place,
    /// Parts that have arrived where it is going, of how many; of what is under way only.
    pub done: u64,
    pub of: u64,
    /// Why it does not get on, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On this node, which has no hub.
    Here,
    /// On this node, and its hub does not have it yet.
    Waiting,
    /// On this node and at its hub.
    AtHub,
    /// Not on this node yet.
    Coming,
}

impl FileState {
    /// In words for people, without a full stop.
    pub fn words(&self) -> String {
        let parts = match self.done {
            0 => String::new(),
            done => format!(" ({done} of {} parts)", self.of),
        };
        match self.place {
            Place::Here => "here".into(),
            Place::Waiting => format!("here, waiting to be sent{parts}"),
            Place::AtHub => "here and at the hub".into(),
            Place::Coming if self.done > 0 => format!("on its way here{parts}"),
            Place::Coming => "not here yet: comes when its node is in reach".into(),
        }
    }
}

/// Asks a hub how it stands with these files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskBlobs {
    pub blobs: Vec<BlobHash>,
}

/// One answer for each file that was asked about, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobsHeld {
    /// Changes when the hub was put back: what it had, it may have no more.
    pub epoch: Epoch,
    pub blobs: Vec<HubHas>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HubHas {
    Whole,
    /// So many parts, from the beginning; it takes the next.
    Parts(u64),
    /// No record that this node may hold refers to it there.
    Unknown,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_name_of_a_file_is_its_hash_and_never_a_way() {
        assert!(A.parse::<BlobHash>().is_ok());
        for bad in ["", "aa", "../../etc/passwd", &A.to_uppercase(), &format!("{A}a"), &A.replace('a', "/"), "ä"] {
            assert!(bad.parse::<BlobHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn references_are_found_wherever_they_stand_each_once_and_in_order() {
        let record = json!({
            "title": "Pump", "photos": [{"sha256": B, "size": 3, "name": "b.jpg", "mime": "image/jpeg"}],
            "choice": {"deep": [{"plan": {"id": "x", "sha256": A, "size": 9}}]}, "again": {"sha256": B, "size": 3}
        });
        let names: Vec<String> = references(&record).iter().map(|file| file.hash.to_string()).collect();
        assert_eq!(names, [B, A]);
        let first = references(&record).remove(0);
        assert_eq!((first.name.as_str(), first.picture(), first.size), ("b.jpg", Some("image/jpeg"), 3));
    }

    #[test]
    fn what_only_looks_a_little_like_a_reference_is_none() {
        for value in [
            json!({"sha256": A}),
            json!({"size": 3}),
            json!({"sha256": A, "size": -3}),
            json!({"sha256": A, "size": "3"}),
            json!({"sha256": A, "size": 1.5}),
            json!({"sha256": "../x", "size": 3}),
            json!({"sha256": [A], "size": 3}),
            json!(A),
            json!(null),
        ] {
            assert_eq!(references(&value), [], "{value}");
        }
        let svg = FileRef::of(&json!({"sha256": A, "size": 3, "mime": "image/svg+xml"})).expect("a reference");
        assert_eq!(svg.picture(), None, "a picture in which something may run");
    }

    #[test]
    fn a_type_has_files_if_it_says_so_anywhere() {
        let photo = json!({"type": "object", "x-kind": "photo"});
        assert!(has_files(&json!({"properties": {"photos": {"type": "array", "items": photo}}})));
        assert!(has_files(&json!({"$defs": {"p": photo}, "properties": {"p": {"$ref": "#/$defs/p"}}})));
        for none in
            [json!({}), json!(true), json!({"properties": {"x-kind": {"type": "string"}}}), json!({"x-kind": 7})]
        {
            assert!(!has_files(&none), "{none}");
        }
    }

    #[test]
    fn a_file_travels_in_parts() {
        for (size, count) in [(0, 1), (1, 1), (CHUNK, 1), (CHUNK + 1, 2), (50 << 20, 200)] {
            assert_eq!(parts(size), count, "{size}");
        }
    }
}
