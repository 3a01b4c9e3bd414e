//! Short pushes between two who remember the last one.
//!
//! One save has few bytes of its own: who wrote, and what types and fields are called, was in the save before it as a rule.
//! So a push may be packed with the end of the push before as the beginning of what it repeats. Both sides have to hold the
//! same of it; whoever does not is told so by the checksum, which is over that, too, and the push is sent again in full.
//! Nothing but the size of a message hangs on it.
//!
//! Layout: `o p s` and a 2 as the version of the frame; eight bytes of BLAKE3 over what is remembered and all that
//! follows; one zstd frame of CBOR without its first four bytes, which are always the same.

use std::io::Read;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{self, Malformed};

const MAGIC: [u8; 4] = *b"ops\x02";
const CHECK: usize = 8;
/// How every zstd frame begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// So much of a push is remembered: several saves of a few fields.
const MEMORY: usize = 1 << 10;
/// A small one is worth some trouble.
const SMALL: usize = 16 << 10;
const LEVELS: [i32; 2] = [19, 9];

/// What is remembered of the last push that arrived; empty before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory(Option<Arc<[u8]>>);

impl Memory {
    fn of(cbor: &[u8]) -> Self {
        Self(Some(cbor[cbor.len().saturating_sub(MEMORY)..].into()))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// What both remember once this message, sent in full, has arrived.
    pub fn after<T: Serialize>(message: &T) -> Self {
        Self::of(&wire::cbor(message))
    }

    fn check(&self, packed: &[u8]) -> [u8; CHECK] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.bytes().len() as u64).to_le_bytes()).update(self.bytes()).update(packed);
        let mut check = [0; CHECK];
        check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
        check
    }
}

/// The message for somebody who remembers the same, and what both remember once it has arrived.
pub fn encode<T: Serialize>(message: &T, memory: &Memory) -> (Vec<u8>, Memory) {
    const TAKES: &str = "memory takes what is written";
    let cbor = wire::cbor(message);
    let level = LEVELS[usize::from(cbor.len() > SMALL)];
    let mut packer = zstd::bulk::Compressor::with_dictionary(level, memory.bytes()).expect(TAKES);
    let packed = packer.compress(&cbor).expect(TAKES);
    let packed = packed.strip_prefix(&ZSTD).expect("a zstd frame begins so");
    ([&MAGIC[..], &memory.check(packed), packed].concat(), Memory::of(&cbor))
}

/// Whether a message has the frame that [`encode`] makes.
pub fn is_terse(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Reads what [`encode`] made, if it is no larger than `limit` once unpacked. [`Malformed::Unremembered`] if it was made
/// for somebody who remembers something else, or was damaged.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize, memory: &Memory) -> Result<(T, Memory), Malformed> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(Malformed::Frame)?;
    let (sum, packed) = rest.split_at_checked(CHECK).ok_or(Malformed::Unremembered)?;
    // whoever was started anew remembers nothing
    let nothing = Memory::default();
    let memory = [memory, &nothing].into_iter().find(|memory| sum == memory.check(packed));
    let memory = memory.ok_or(Malformed::Unremembered)?;
    let content = |err: &dyn std::fmt::Display| Malformed::Content(err.to_string());
    let whole = ZSTD.chain(packed);
    let decoder = zstd::stream::read::Decoder::with_dictionary(whole, memory.bytes());
    let mut decoder = decoder.map_err(|err| content(&err))?;
    decoder.window_log_max(wire::WINDOW_LOG).map_err(|err| content(&err))?;
    let mut cbor = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut cbor).map_err(|err| content(&err))?;
    if cbor.len() > limit {
        return Err(Malformed::TooLarge(limit));
    }
    Ok((wire::message(&cbor)?, Memory::of(&cbor)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::clock::Hlc;
    use crate::domain::ids::{Incarnation, NodeId, RevisionId, SaveId, TypeName};
    use crate::domain::path::Path;
    use crate::domain::protocol::Push;
    use crate::domain::record::{Act, Change, Content, Cover};
    use crate::domain::save::{Save, SavedRecord};
    use crate::domain::stamp::{Author, Stamp};

    const LIMIT: usize = 1 << 20;

    fn random(salt: u64) -> u64 {
        u64::from_le_bytes(*blake3::hash(&salt.to_le_bytes()).as_bytes().first_chunk().expect("long enough"))
    }

    fn wide(salt: u64) -> u128 {
        u128::from(random(salt)) << 64 | u128::from(random(!salt))
    }

    fn author(n: u64) -> Author {
        let person = uuid::Uuid::from_u128(wide(n << 8 | 2));
        Author { node: NodeId(random(n << 8)), incarnation: Incarnation(random(n << 8 | 1)), person }
    }

    /// A status and a number of a record that somebody else wrote last.
    fn save(n: u64) -> Save {
        let at = |n: u64| Hlc(((1_795_539_946_021 + n * 1_733) << 16) as i64);
        let seen = Stamp::new(at(n), author(1), SaveId(wide(n << 20)));
        let change = |name: &str, value| Change {
            path: Path::root().property(name),
            act: Act::Set(Content::json(value)),
            replaces: Cover { all: seen, ..Cover::default() },
        };
        Save {
            id: SaveId(wide(n << 30)),
            author: author(0),
            records: vec![SavedRecord {
                type_name: TypeName::custom("work-order").expect("a good name"),
                id: uuid::Uuid::from_u128(wide(n << 40)),
                revision: Some(RevisionId(random(7))),
                time: at(90_000 + n),
                changes: vec![change("status", json!("parked")), change("hours", json!(500 + n))],
            }],
        }
    }

    fn push(numbers: std::ops::Range<u64>) -> Push {
        Push { since: 100_000 + numbers.start, saves: numbers.map(save).collect() }
    }

    /// `cargo test --lib sync::terse -- --nocapture` shows the figures.
    #[test]
    fn one_save_after_another_has_few_bytes() {
        let full = wire::encode(&push(0..1)).len();
        let (first, mut memory) = encode(&push(0..1), &Memory::default());
        let mut sizes = Vec::new();
        for n in 1..30 {
            let (bytes, next) = encode(&push(n..n + 1), &memory);
            let (read, theirs) = decode::<Push>(&bytes, LIMIT, &memory).expect("what was encoded is read");
            assert_eq!((read, &theirs), (push(n..n + 1), &next));
            sizes.push(bytes.len());
            memory = next;
        }
        sizes.sort_unstable();
        println!("in full {full} bytes, the first {}, then {:?}", first.len(), sizes);
        assert!(sizes[sizes.len() / 2] <= 120, "{sizes:?}");
    }

    #[test]
    fn whoever_remembers_something_else_says_so_and_whoever_was_started_anew_is_understood() {
        let (_, one) = encode(&push(0..1), &Memory::default());
        let (_, other) = encode(&push(5..6), &Memory::default());
        let (bytes, next) = encode(&push(1..3), &one);
        assert_eq!(decode::<Push>(&bytes, LIMIT, &other), Err(Malformed::Unremembered));
        assert_eq!(decode::<Push>(&bytes, LIMIT, &Memory::default()), Err(Malformed::Unremembered));
        assert_eq!(decode::<Push>(&bytes, LIMIT, &one), Ok((push(1..3), next.clone())));
        assert_eq!(Memory::after(&push(1..3)), next);
        let (bytes, next) = encode(&push(8..9), &Memory::default());
        assert_eq!(decode::<Push>(&bytes, LIMIT, &other), Ok((push(8..9), next)));
        assert_eq!(decode::<Push>(&wire::encode(&push(0..1)), LIMIT, &one), Err(Malformed::Frame));
        assert!(is_terse(&bytes) && !is_terse(&wire::encode(&push(0..1))));
    }

    #[test]
    fn a_small_body_cannot_become_a_large_one() {
        let memory = Memory::of(&[0; 512]);
        let bomb = zstd::bulk::compress(&vec![0u8; 200 << 20], 19).expect("memory takes what is written");
        let packed = &bomb[ZSTD.len()..];
        let bytes = [&MAGIC[..], &memory.check(packed), packed].concat();
        assert_eq!(decode::<Push>(&bytes, LIMIT, &memory), Err(Malformed::TooLarge(LIMIT)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn a_push_survives_whatever_went_before(before in 0u64..40, count in 0u64..8, many in any::<bool>()) {
            let memory = Memory::after(&push(before..before + count));
            let message = push(7..7 + if many { 90 } else { count });
            let (bytes, next) = encode(&message, &memory);
            prop_assert_eq!(decode::<Push>(&bytes, LIMIT, &memory), Ok((message, next)));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_always_noticed(n in 0u64..99, at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let memory = Memory::after(&push(n..n + 1));
            let (bytes, _) = encode(&push(50..51), &memory);
            let at = at.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            for bad in [&flipped[..], &bytes[..at]] {
                let read = decode::<Push>(bad, LIMIT, &memory);
                prop_assert!(matches!(read, Err(Malformed::Frame | Malformed::Unremembered)));
            }
        }

        #[test]
        fn noise_with_a_good_checksum_is_an_error_and_no_panic(noise in any::<Vec<u8>>(), known in any::<Vec<u8>>()) {
            let memory = Memory::of(&known);
            let packed = zstd::bulk::compress(&noise, 1).expect("memory takes what is written");
            for packed in [&packed[4..], &noise[..]] {
                let bytes = [&MAGIC[..], &memory.check(packed), packed].concat();
                prop_assert!(decode::<Push>(&bytes, LIMIT, &memory).is_err());
            }
        }
    }
}
