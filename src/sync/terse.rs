//! Short pushes between two who remember the last one.
//!
//! One save has few bytes of its own: who wrote, and what types and fields are called, was in the save before it as a rule.
//! So a push may be packed with the end of the push before as the beginning of what it repeats. Both sides have to hold the
//! same of it; whoever does not is told so by the checksum, which is over that, too, and the push is sent again in full.
//! Nothing but the size of a message hangs on it.
//!
//! Within it, what is random stands apart from what is alike in all saves, the id of a save that follows from the rest of it
//! is told by its tag alone, and the answer names only the saves that were not simply accepted.
//!
//! Layout: `o p s` and a 2 as the version of the frame; eight bytes of BLAKE3 over what is remembered and all that
//! follows; one zstd frame of CBOR without its first four bytes, which are always the same.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::{self, Malformed};
use crate::domain::clock::Hlc;
use crate::domain::feed::bytes;
use crate::domain::ids::{Epoch, RecordId, RevisionId, SaveId, TypeName};
use crate::domain::protocol::{Head, Push, Pushed, Verdict};
use crate::domain::record::Change;
use crate::domain::save::{Save, SavedRecord, id_of};
use crate::domain::stamp::Author;

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

    /// What both remember once this push, sent in full, has arrived.
    pub fn after(push: &Push) -> Self {
        Self::of(&wire::cbor(&Told::of(push)))
    }

    fn check(&self, packed: &[u8]) -> [u8; CHECK] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.bytes().len() as u64).to_le_bytes()).update(self.bytes()).update(packed);
        let mut check = [0; CHECK];
        check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
        check
    }
}

/// A push as it is told: what is random, and so cannot be packed, stands apart from what is alike in all saves.
#[derive(Serialize, Deserialize)]
struct Told {
    #[serde(default)]
    since: u64,
    /// The tag of each save.
    #[serde(with = "bytes")]
    tags: Vec<u8>,
    /// Each save whose id is not simply made of that and the rest: its place, and how many milliseconds it was begun before
    /// the moment of its first record, or 0 and its whole id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(u64, u8, SaveId)>,
    /// Of each record, byte by byte across all of them: the id, and how much later its moment is than that of the one before.
    #[serde(with = "bytes")]
    ids: Vec<u8>,
    #[serde(with = "bytes")]
    times: Vec<u8>,
    saves: Vec<ToldSave>,
}

#[derive(Serialize, Deserialize)]
struct ToldSave {
    author: Author,
    records: Vec<ToldRecord>,
}

/// The rest of a record's part.
#[derive(Serialize, Deserialize)]
struct ToldRecord {
    #[serde(rename = "t")]
    type_name: TypeName,
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    revision: Option<RevisionId>,
    #[serde(rename = "c")]
    changes: Vec<Change>,
}

impl Told {
    fn of(push: &Push) -> Self {
        let other = |(at, save): (u64, &Save)| match save.begun_before() {
            Some(0) => None,
            Some(before) => Some((at, before, SaveId::default())),
            None => Some((at, 0, save.id)),
        };
        let records = || push.saves.iter().flat_map(|save| &save.records);
        let mut last = 0;
        let later = records().map(|record| {
            let later = record.time.0.wrapping_sub(std::mem::replace(&mut last, record.time.0));
            later.to_be_bytes()
        });
        let told = |record: &SavedRecord| ToldRecord {
            type_name: record.type_name.clone(),
            revision: record.revision,
            changes: record.changes.clone(),
        };
        let save = |save: &Save| ToldSave { author: save.author, records: save.records.iter().map(told).collect() };
        Self {
            since: push.since,
            tags: push.saves.iter().flat_map(|save| save.id.tag().to_be_bytes()).collect(),
            others: (0..).zip(&push.saves).filter_map(other).collect(),
            ids: across(&records().map(|record| record.id.into_bytes()).collect::<Vec<_>>()),
            times: across(&later.collect::<Vec<_>>()),
            saves: push.saves.iter().map(save).collect(),
        }
    }

    fn into_push(self) -> Result<Push, Malformed> {
        let malformed = || Malformed::Content("its parts do not belong together".into());
        let count = self.saves.iter().map(|save| save.records.len()).sum();
        let (tags, rest) = self.tags.as_chunks::<4>();
        if tags.len() != self.saves.len() || !rest.is_empty() {
            return Err(malformed());
        }
        let mut others = HashMap::new();
        for (at, before, id) in self.others {
            if at >= tags.len() as u64 || others.insert(at, (before, id)).is_some() {
                return Err(malformed());
            }
        }
        let mut ids = along::<16>(&self.ids, count).ok_or_else(malformed)?.into_iter();
        let mut times = along::<8>(&self.times, count).ok_or_else(malformed)?.into_iter();
        let mut time = 0i64;
        let mut saves = Vec::with_capacity(tags.len());
        for ((at, tag), ToldSave { author, records }) in (0u64..).zip(tags).zip(self.saves) {
            let mut whole = Vec::with_capacity(records.len());
            for ToldRecord { type_name, revision, changes } in records {
                let (id, later) = ids.next().zip(times.next()).ok_or_else(malformed)?;
                time = time.wrapping_add(i64::from_be_bytes(later));
                let id = RecordId::from_bytes(id);
                whole.push(SavedRecord { type_name, id, revision, time: Hlc(time), changes });
            }
            let id = match (others.get(&at), whole.first()) {
                (Some((0, id)), _) => *id,
                (other, Some(first)) => {
                    let before = other.map_or(0, |(before, _)| i64::from(*before));
                    let now = first.time.millis().saturating_sub(before);
                    id_of(u32::from_be_bytes(*tag), &author, now, first.id)
                }
                (_, None) => return Err(malformed()),
            };
            saves.push(Save { id, author, records: whole });
        }
        Ok(Push { since: self.since, saves })
    }
}

/// The first byte of each, then the second.
fn across<const N: usize>(pieces: &[[u8; N]]) -> Vec<u8> {
    (0..N).flat_map(|at| pieces.iter().map(move |piece| piece[at])).collect()
}

/// The reverse, for so many pieces.
fn along<const N: usize>(bytes: &[u8], count: usize) -> Option<Vec<[u8; N]>> {
    let is_whole = bytes.len() == count.checked_mul(N)?;
    is_whole.then(|| (0..count).map(|piece| std::array::from_fn(|at| bytes[at * count + piece])).collect())
}

/// The answer to a push that came so.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    epoch: Epoch,
    /// What was not simply accepted: its place in the push, and what became of it.
    #[serde(rename = "but", default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<(u64, Other)>,
    head: u64,
    partitions: Vec<Head>,
}

/// A [`Verdict`] without the save it is about.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Other {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quarantined: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    waits: bool,
}

impl Answer {
    pub fn of(pushed: Pushed) -> Self {
        let Pushed { epoch, verdicts, head, partitions } = pushed;
        let others = verdicts.into_iter().zip(0..).filter_map(|(verdict, at)| {
            let Verdict { save: _, refused, quarantined, waits } = verdict;
            let is_accepted = refused.is_none() && quarantined.is_none() && !waits;
            (!is_accepted).then_some((at, Other { refused, quarantined, waits }))
        });
        Self { epoch, others: others.collect(), head, partitions }
    }

    /// What it says of the saves of this push.
    pub fn about(self, push: &Push) -> Result<Pushed, Malformed> {
        let accepted = |save: &Save| Verdict { save: save.id, refused: None, quarantined: None, waits: false };
        let mut verdicts: Vec<Verdict> = push.saves.iter().map(accepted).collect();
        for (at, Other { refused, quarantined, waits }) in self.others {
            let verdict = usize::try_from(at).ok().and_then(|at| verdicts.get_mut(at));
            let verdict = verdict.ok_or_else(|| Malformed::Content("it answers about more than was sent".into()))?;
            (verdict.refused, verdict.quarantined, verdict.waits) = (refused, quarantined, waits);
        }
        Ok(Pushed { epoch: self.epoch, verdicts, head: self.head, partitions: self.partitions })
    }
}

/// The push for somebody who remembers the same, and what both remember once it has arrived.
pub fn encode(push: &Push, memory: &Memory) -> (Vec<u8>, Memory) {
    const TAKES: &str = "memory takes what is written";
    let cbor = wire::cbor(&Told::of(push));
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
pub fn decode(bytes: &[u8], limit: usize, memory: &Memory) -> Result<(Push, Memory), Malformed> {
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
    Ok((wire::message::<Told>(&cbor)?.into_push()?, Memory::of(&cbor)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::domain::ids::{Incarnation, NodeId};
    use crate::domain::path::Path;
    use crate::domain::record::{Act, Content, Cover};
    use crate::domain::stamp::Stamp;

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
        let record = uuid::Uuid::from_u128(wide(n << 40));
        let (tag, now) = (random(n << 30) as u32, at(90_000 + n).millis());
        Save {
            // of a few it does not follow from the rest
            id: match n % 7 {
                3 => SaveId(wide(n << 30)),
                4 => id_of(tag, &author(0), now - 2, record),
                _ => id_of(tag, &author(0), now, record),
            },
            author: author(0),
            records: vec![SavedRecord {
                type_name: TypeName::custom("work-order").expect("a good name"),
                id: record,
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
            let (read, theirs) = decode(&bytes, LIMIT, &memory).expect("what was encoded is read");
            assert_eq!((read, &theirs), (push(n..n + 1), &next));
            sizes.push(bytes.len());
            memory = next;
        }
        sizes.sort_unstable();
        println!("in full {full} bytes, the first {}, then {:?}", first.len(), sizes);
        assert!(sizes[sizes.len() / 2] <= 120, "{sizes:?}");
    }

    #[test]
    fn a_thousand_saves_have_few_bytes_each() {
        let message = push(0..1_000);
        let (bytes, _) = encode(&message, &Memory::default());
        let each = bytes.len() as f64 / 1e3;
        println!("{each:.1} bytes each, {:.1} in full", wire::encode(&message).len() as f64 / 1e3);
        // random are 16 of the record's id, 4 of the tag, 4 of the tag that was seen, and some 4 of two times
        assert!(each < 42.0, "{each}");
    }

    #[test]
    fn an_answer_says_what_was_not_simply_accepted() {
        let message = push(0..5);
        let accepted = |save: &Save| Verdict { save: save.id, refused: None, quarantined: None, waits: false };
        let mut verdicts: Vec<Verdict> = message.saves.iter().map(accepted).collect();
        verdicts[1].refused = Some("no".into());
        verdicts[2].waits = true;
        verdicts[4].quarantined = Some("not yours".into());
        let pushed = Pushed { epoch: Epoch(3), verdicts, head: 9, partitions: Vec::new() };
        let answer: Answer = wire::decode(&wire::encode(&Answer::of(pushed.clone())), LIMIT).expect("it is read");
        assert_eq!(answer.about(&message), Ok(pushed.clone()));
        assert!(Answer::of(pushed).about(&push(0..4)).is_err());
    }

    #[test]
    fn parts_that_do_not_belong_together_are_no_push() {
        let with = |change: &dyn Fn(&mut Told)| {
            let mut told = Told::of(&push(1..6));
            change(&mut told);
            told.into_push()
        };
        assert_eq!(with(&|_| {}), Ok(push(1..6)));
        let cases: [&dyn Fn(&mut Told); 9] = [
            &|told| told.tags.truncate(19),
            &|told| told.tags.extend([0; 4]),
            &|told| told.ids.truncate(79),
            &|told| told.ids.extend([0; 16]),
            &|told| told.times.clear(),
            &|told| told.others.push((5, 1, SaveId(3))),
            &|told| told.others.extend([(0, 1, SaveId(3)); 2]),
            &|told| drop(told.saves.pop()),
            &|told| {
                told.saves[0].records.clear();
                told.ids.truncate(4 * 16);
                told.times.truncate(4 * 8);
            },
        ];
        for (number, change) in cases.into_iter().enumerate() {
            assert!(with(change).is_err(), "{number}");
        }
    }

    #[test]
    fn whoever_remembers_something_else_says_so_and_whoever_was_started_anew_is_understood() {
        let (_, one) = encode(&push(0..1), &Memory::default());
        let (_, other) = encode(&push(5..6), &Memory::default());
        let (bytes, next) = encode(&push(1..3), &one);
        assert_eq!(decode(&bytes, LIMIT, &other), Err(Malformed::Unremembered));
        assert_eq!(decode(&bytes, LIMIT, &Memory::default()), Err(Malformed::Unremembered));
        assert_eq!(decode(&bytes, LIMIT, &one), Ok((push(1..3), next.clone())));
        assert_eq!(Memory::after(&push(1..3)), next);
        let (bytes, next) = encode(&push(8..9), &Memory::default());
        assert_eq!(decode(&bytes, LIMIT, &other), Ok((push(8..9), next)));
        assert_eq!(decode(&wire::encode(&push(0..1)), LIMIT, &one), Err(Malformed::Frame));
        assert!(is_terse(&bytes) && !is_terse(&wire::encode(&push(0..1))));
    }

    #[test]
    fn a_small_body_cannot_become_a_large_one() {
        let memory = Memory::of(&[0; 512]);
        let bomb = zstd::bulk::compress(&vec![0u8; 200 << 20], 19).expect("memory takes what is written");
        let packed = &bomb[ZSTD.len()..];
        let bytes = [&MAGIC[..], &memory.check(packed), packed].concat();
        assert_eq!(decode(&bytes, LIMIT, &memory), Err(Malformed::TooLarge(LIMIT)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn a_push_survives_whatever_went_before(before in 0u64..40, count in 0u64..8, many in any::<bool>()) {
            let memory = Memory::after(&push(before..before + count));
            let message = push(7..7 + if many { 90 } else { count });
            let (bytes, next) = encode(&message, &memory);
            prop_assert_eq!(decode(&bytes, LIMIT, &memory), Ok((message, next)));
        }

        #[test]
        fn a_flipped_bit_or_a_cut_is_always_noticed(n in 0u64..99, at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let memory = Memory::after(&push(n..n + 1));
            let (bytes, _) = encode(&push(50..51), &memory);
            let at = at.index(bytes.len());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            for bad in [&flipped[..], &bytes[..at]] {
                let read = decode(bad, LIMIT, &memory);
                prop_assert!(matches!(read, Err(Malformed::Frame | Malformed::Unremembered)));
            }
        }

        #[test]
        fn noise_with_a_good_checksum_is_an_error_and_no_panic(noise in any::<Vec<u8>>(), known in any::<Vec<u8>>()) {
            let memory = Memory::of(&known);
            let packed = zstd::bulk::compress(&noise, 1).expect("memory takes what is written");
            for packed in [&packed[4..], &noise[..]] {
                let bytes = [&MAGIC[..], &memory.check(packed), packed].concat();
                prop_assert!(decode(&bytes, LIMIT, &memory).is_err());
            }
        }
    }
}
