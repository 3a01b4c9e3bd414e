//! Messages as bytes: CBOR, compressed with zstd, framed so that a damaged one is always noticed.
//!
//! Layout: `o p s` and the version of the frame; sixteen bytes of BLAKE3 over all that follows; one zstd frame of CBOR.
//! Whoever decodes says how large the message may become; nothing beyond that is ever unpacked.

use std::io::Read;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The media type of a framed message.
pub const MEDIA_TYPE: &str = "application/vnd.outpost.sync";

const MAGIC: [u8; 4] = *b"ops\x01";
const CHECK: usize = 16;
const LEVEL: i32 = 3;
/// 16 MiB: what unpacking may need of memory, whatever the sender chose.
pub(super) const WINDOW_LOG: u32 = 24;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("this is no sync message of a version known here")]
    Frame,
    #[error("the message was damaged on its way: its checksum does not match")]
    Damaged,
    #[error("the message was made for somebody who remembers the one before it; send it in full")]
    Unremembered,
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the message cannot be read: {0}")]
    Content(String),
}

pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let packed = zstd::bulk::compress(&cbor(message), LEVEL).expect("memory takes what is written");
    let mut out = Vec::with_capacity(MAGIC.len() + CHECK + packed.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&check(&packed));
    out.extend_from_slice(&packed);
    out
}

/// Reads what [`encode`] made, if it is no larger than `limit` once unpacked.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, Malformed> {
    let (magic, rest) = bytes.split_at_checked(MAGIC.len()).ok_or(Malformed::Frame)?;
    if magic != MAGIC {
        return Err(Malformed::Frame);
    }
    let (sum, packed) = rest.split_at_checked(CHECK).ok_or(Malformed::Damaged)?;
    if sum != check(packed) {
        return Err(Malformed::Damaged);
    }
    let content = |err: &dyn std::fmt::Display| Malformed::Content(err.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|err| content(&err))?;
    decoder.window_log_max(WINDOW_LOG).map_err(|err| content(&err))?;
    let mut cbor = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut cbor).map_err(|err| content(&err))?;
    if cbor.len() > limit {
        return Err(Malformed::TooLarge(limit));
    }
    message(&cbor)
}

pub(super) fn cbor<T: Serialize>(message: &T) -> Vec<u8> {
    let mut cbor = Vec::with_capacity(256);
    ciborium::into_writer(message, &mut cbor).expect("our messages have an encoding, and memory takes what is written");
    cbor
}

pub(super) fn message<T: DeserializeOwned>(cbor: &[u8]) -> Result<T, Malformed> {
    let mut rest = cbor;
    let message = ciborium::from_reader(&mut rest).map_err(|err| Malformed::Content(err.to_string()))?;
    if rest.is_empty() { Ok(message) } else { Err(Malformed::Content("something follows the message".into())) }
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::clock::Hlc;
    use crate::domain::feed::{Cursor, Digest, Moved, Row};
    use crate::domain::ids::{Epoch, Incarnation, NodeId, Partition, SaveId, TypeName};
    use crate::domain::path::Path;
    use crate::domain::protocol::{Hello, Pulled, Push, Reached};
    use crate::domain::record::pack::Dictionary;
    use crate::domain::record::{Act, Change, Content, Cover};
    use crate::domain::save::{Save, SavedRecord};
    use crate::domain::stamp::{Author, Stamp};

    const LIMIT: usize = 1 << 20;

    fn author(n: u64) -> Author {
        Author { node: NodeId(n), incarnation: Incarnation(!n), person: uuid::Uuid::from_u128(u128::from(n) << 64) }
    }

    fn stamp(n: u64) -> Stamp {
        Stamp::new(Hlc(n as i64 >> 1), author(n), SaveId(u128::from(n) << 96))
    }

    fn save(n: u64, text: String) -> Save {
        let path = Path::root().property("a/b").item(&crate::domain::path::ItemKey(text.clone()));
        let mut cover = Cover { all: stamp(n), ..Cover::default() };
        cover.inside.insert(path.clone(), stamp(n / 2));
        let number: serde_json::Value = serde_json::from_str("1.2300e-400").expect("a number");
        let content = Content::json(json!({ "t": text, "n": number, "big": u64::MAX, "deep": [[null, true]] }));
        let change = |act| Change { path: path.clone(), act, replaces: cover.clone() };
        let acts = [Act::Set(content), Act::Set(Content::Absent), Act::Rank("a0".into()), Act::Remove, Act::Bin(true)];
        Save {
            id: SaveId(u128::from(n) * 3),
            author: author(n),
            records: vec![SavedRecord {
                type_name: TypeName::custom("work-order").expect("a good name"),
                id: uuid::Uuid::from_u128(7),
                revision: n.is_multiple_of(2).then_some(crate::domain::ids::RevisionId(n)),
                time: Hlc(n as i64 >> 1),
                changes: acts.map(change).to_vec(),
            }],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn a_push_survives_the_wire_and_json(numbers in prop::collection::vec((any::<u64>(), ".{0,20}"), 0..6)) {
            let saves = numbers.into_iter().map(|(n, text)| save(n, text)).collect();
            let push = Push { since: u64::MAX, saves };
            prop_assert_eq!(&decode::<Push>(&encode(&push), LIMIT).expect("what was encoded is read"), &push);
            let json = serde_json::to_vec(&push).expect("a push is JSON too");
            prop_assert_eq!(&serde_json::from_slice::<Push>(&json).expect("what was encoded is read"), &push);
        }

        #[test]
        fn a_page_survives_the_wire(rows in prop::collection::vec((any::<u64>(), any::<Vec<u8>>()), 0..6), n in any::<u64>()) {
            let name = || TypeName::custom("a").expect("a good name");
            let rows = rows.into_iter().map(|(seq, state)| Row { type_name: name(), id: uuid::Uuid::nil(), seq, state });
            let page = Pulled {
                partition: Partition::of_type(&name()),
                epoch: Epoch(n),
                dictionary: Dictionary::of(vec![author(n)], vec!["ä".into()]),
                rows: rows.collect(),
                moved: vec![Moved { type_name: name(), id: uuid::Uuid::max(), seq: n, stamp: stamp(n) }],
                next: Some(n),
                head: n,
                digest: Digest(u128::from(n) << 60),
                tag: None,
            };
            let read: Pulled = decode(&encode(&page), LIMIT).expect("what was encoded is read");
            prop_assert_eq!(&read.rows, &page.rows);
            prop_assert_eq!(&read.moved, &page.moved);
            prop_assert_eq!(read.dictionary.authors(), page.dictionary.authors());
            prop_assert_eq!((read.next, read.head, read.digest), (page.next, page.head, page.digest));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_always_noticed(n in any::<u64>(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let bytes = encode(&Push { since: 1, saves: vec![save(n, "x".into())] });
            let at = at.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            prop_assert!(matches!(decode::<Push>(&flipped, LIMIT), Err(Malformed::Frame | Malformed::Damaged)));
            prop_assert!(matches!(decode::<Push>(&bytes[..at], LIMIT), Err(Malformed::Frame | Malformed::Damaged)));
        }

        #[test]
        fn noise_with_a_good_checksum_is_an_error_and_no_panic(noise in any::<Vec<u8>>()) {
            let packed = zstd::bulk::compress(&noise, 1).expect("memory takes what is written");
            let bytes = [&MAGIC[..], &check(&packed), &packed].concat();
            let _ = decode::<Push>(&bytes, LIMIT);
            let bytes = [&MAGIC[..], &check(&noise), &noise].concat();
            prop_assert!(decode::<Push>(&bytes, LIMIT).is_err());
        }
    }

    #[test]
    fn a_small_body_cannot_become_a_large_one() {
        let bomb = zstd::bulk::compress(&vec![0u8; 200 << 20], 19).expect("memory takes what is written");
        assert!(bomb.len() < 100_000);
        let bytes = [&MAGIC[..], &check(&bomb), &bomb].concat();
        assert_eq!(decode::<Push>(&bytes, LIMIT), Err(Malformed::TooLarge(LIMIT)));
    }

    #[test]
    fn what_follows_a_message_is_told() {
        let hello = Hello {
            protocols: vec![1],
            node: NodeId(1),
            incarnation: Incarnation(2),
            clock: 3,
            waiting: 0,
            in_step: true,
            partitions: vec![Reached { id: Partition::types(), cursor: Cursor::start(Epoch(4)) }],
            ratchet: None,
            below: Vec::new(),
            settled: None,
            attempt: None,
        };
        assert_eq!(decode::<Hello>(&encode(&hello), LIMIT), Ok(hello.clone()));
        let mut cbor = Vec::new();
        ciborium::into_writer(&hello, &mut cbor).expect("memory takes what is written");
        cbor.push(0);
        let packed = zstd::bulk::compress(&cbor, 3).expect("memory takes what is written");
        let bytes = [&MAGIC[..], &check(&packed), &packed].concat();
        assert!(matches!(decode::<Hello>(&bytes, LIMIT), Err(Malformed::Content(_))));
    }
}
