//! Chunks as bytes that are kept and sent: one zstd frame, named by its BLAKE3 hash.
//!
//! What is in them is the matter of [`domain::snapshot`](crate::domain::snapshot). The hash is of the packed bytes, so that
//! nothing is unpacked that is not what was asked for; another version of zstd may give the same records other names, which
//! costs one more transfer and nothing else.

use std::io::Read;

use crate::domain::snapshot::{ChunkHash, ChunkRef, Content, MAX_CHUNK};

/// Made once and read often.
const LEVEL: i32 = 6;
/// 32 MiB: what unpacking may need of memory, whatever the sender chose.
const WINDOW_LOG: u32 = 25;
/// No chunk is larger as it is kept and sent.
pub const MAX_PACKED: usize = 33 << 20;

/// Chunks are packed to no less than this part, as a rule.
const USUAL: usize = 16;

/// Why bytes are not the chunk they are taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChunk {
    #[error("its bytes are not those that its name stands for")]
    Hash,
    #[error("it cannot be unpacked: {0}")]
    Packing(String),
    #[error("it is larger than anything that is made")]
    TooLarge,
}

/// A chunk as it is kept and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub at: ChunkRef,
    pub bytes: Vec<u8>,
}

/// Packs and names what a chunk is made of.
pub fn seal(content: &Content) -> Sealed {
    let bytes = zstd::bulk::compress(&content.bytes, LEVEL).expect("memory takes what is written");
    let at = ChunkRef { hash: ChunkHash::of(&bytes), bytes: bytes.len() as u64, records: content.records };
    Sealed { at, bytes }
}

/// What a chunk of this name is made of.
pub fn open(hash: ChunkHash, bytes: &[u8]) -> Result<Vec<u8>, BadChunk> {
    if bytes.len() > MAX_PACKED {
        return Err(BadChunk::TooLarge);
    }
    if ChunkHash::of(bytes) != hash {
        return Err(BadChunk::Hash);
    }
    let bad = |err: std::io::Error| BadChunk::Packing(err.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(bad)?.single_frame();
    decoder.window_log_max(WINDOW_LOG).map_err(bad)?;
    let says = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten().unwrap_or_default();
    // a size that is not true costs no memory to speak of
    let mut content = Vec::with_capacity(usize::try_from(says).unwrap_or(0).min(bytes.len() * USUAL) + 1);
    decoder.by_ref().take(MAX_CHUNK as u64 + 1).read_to_end(&mut content).map_err(bad)?;
    if content.len() > MAX_CHUNK {
        return Err(BadChunk::TooLarge);
    }
    if !decoder.finish().is_empty() {
        return Err(BadChunk::Packing("something follows".into()));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::domain::clock::Hlc;
    use crate::domain::ids::{Incarnation, NodeId, Partition, RecordId, RevisionId, SaveId, TypeName};
    use crate::domain::path::Path;
    use crate::domain::record::pack::{Dictionary, Values, pack, unpack};
    use crate::domain::record::{Act, Change, Content as Written, Cover, State};
    use crate::domain::snapshot::{Cutter, Malformed, read};
    use crate::domain::stamp::{Author, Stamp};

    fn kind() -> TypeName {
        TypeName::custom("work-order").expect("a good name")
    }

    fn partition() -> Partition {
        Partition::of_type(&kind())
    }

    /// Ten fields, as different as real ones.
    fn document(number: u64) -> Value {
        let words = [
            "seal", "pump", "valve", "weeps", "at", "full", "load", "oil", "on", "the", "bed", "plate", "noon",
            "checked",
        ];
        let dice = |salt: u64| {
            let hash = blake3::hash(&(number << 8 | salt).to_le_bytes());
            u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("long enough"))
        };
        let notes: Vec<&str> = (0..8 + dice(1) % 12).map(|n| words[(dice(20 + n) % 14) as usize]).collect();
        json!({
            "asset": format!("Pump P-{}", dice(2) % 977),
            "assigned_to": (["ingrid@example.org", "ola@example.org", "kari@example.org"][(dice(3) % 3) as usize]),
            "due": format!("2026-{:02}-{:02}", dice(4) % 12 + 1, dice(5) % 28 + 1),
            "hours": dice(6) % 80,
            "notes": notes.join(" "),
            "priority": dice(7) % 5 + 1,
            "site": format!("platform-{}", dice(8) % 13),
            "status": (["open", "doing", "done", "parked"][(dice(9) % 4) as usize]),
            "title": format!("Replace hydraulic pump seal {number}"),
            "urgent": dice(10).is_multiple_of(9)
        })
    }

    /// A record that one of a few people made, and sometimes changed.
    fn state(number: u64, edits: u64) -> State {
        let author = Author {
            node: NodeId(1 + number % 3),
            incarnation: Incarnation(1),
            person: Uuid::from_u128(u128::from(number % 7)),
        };
        let tag = |n: u64| {
            u128::from_le_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes().first_chunk().expect("long enough"))
        };
        let stamp = |n: u64| {
            Stamp::new(
                Hlc(((1_780_000_000_000 + number * 61_000 + n * 977) << 16) as i64),
                author,
                SaveId(tag(number * 31 + n)),
            )
        };
        let mut state = State::default();
        let create =
            Change { path: Path::root(), act: Act::Set(Written::json(document(number))), replaces: Cover::nothing() };
        state.apply(&[create], stamp(0), 5 + number, &|_, _| true);
        for n in 1..=edits {
            let path = Path::root().property(["status", "hours", "extra"][(n % 3) as usize]);
            let change = Change { replaces: state.cover(&path), path, act: Act::Set(Written::json(json!(n))) };
            state.apply(&[change], stamp(n), 9_000_000 + n, &|_, _| true);
        }
        state.note_revision(crate::domain::record::Written { stamp: stamp(0), arrival: 1, revision: RevisionId(7) });
        state
    }

    fn id(number: u64) -> RecordId {
        let hash = blake3::hash(&number.to_le_bytes());
        let random = u128::from_le_bytes(*hash.as_bytes().first_chunk().expect("long enough"));
        Uuid::from_u128(u128::from(0x0190_0000_0000 + number * 61_000) << 80 | 7 << 76 | random >> 52)
    }

    fn cut(records: impl Iterator<Item = (RecordId, State)>) -> Vec<Sealed> {
        let mut cutter = Cutter::new(&partition());
        let mut sealed = Vec::new();
        for (id, state) in records {
            let text = state.document().value.to_string().len();
            sealed.extend(cutter.push(&kind(), id, state, text).map(|content| seal(&content)));
        }
        sealed.extend(cutter.finish().map(|content| seal(&content)));
        sealed
    }

    fn inline(state: &State) -> Vec<u8> {
        let mut state = state.clone();
        state.renumber(0);
        pack(&state, 0, Values::Inline, &mut Dictionary::default())
    }

    #[test]
    fn what_is_cut_into_chunks_comes_back_whole_and_in_order() {
        let records: Vec<(RecordId, State)> = (0..9_000).map(|n| (id(n), state(n, n % 4))).collect();
        let sealed = cut(records.iter().cloned());
        assert!(sealed.len() > 2, "{}", sealed.len());
        let mut at = 0;
        for chunk in &sealed {
            let content = open(chunk.at.hash, &chunk.bytes).expect("it is what was sealed");
            let (rows, dictionary) = read(&partition(), &content).expect("it is a chunk");
            assert_eq!(rows.len() as u64, chunk.at.records);
            for row in rows {
                let back = unpack(&row.state, 0, None, &dictionary).expect("a record");
                assert_eq!(row.id, records[at].0);
                assert_eq!(inline(&back), inline(&records[at].1));
                at += 1;
            }
        }
        assert_eq!(at, records.len());
    }

    #[test]
    fn after_a_small_change_most_chunks_are_what_they_were() {
        let names =
            |chunks: &[Sealed]| chunks.iter().map(|chunk| chunk.at.hash).collect::<std::collections::BTreeSet<_>>();
        let before = names(&cut((0..20_000).map(|n| (id(n), state(n, 0)))));
        assert_eq!(before, names(&cut((0..20_000).map(|n| (id(n), state(n, 0))))));
        // one more at the beginning, one fewer, one that changed
        let numbers = std::iter::once(0).chain((2..9_000).chain(9_001..20_000));
        let after = names(&cut(numbers.map(|n| (id(n), state(n, u64::from(n == 12_000))))));
        assert!(
            before.len() > 5 && before.difference(&after).count() <= 5,
            "{} of {}",
            before.difference(&after).count(),
            before.len()
        );
    }

    /// `cargo test --lib store::chunk -- --nocapture` shows the figures.
    #[test]
    fn chunks_are_smaller_than_packed_json_lines() {
        const RECORDS: u64 = 20_000;
        let mut lines = String::new();
        for n in 0..RECORDS {
            let line = json!({ "id": id(n), "type": kind(), "data": document(n) });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let plain = zstd::bulk::compress(lines.as_bytes(), 3).expect("memory takes it").len();
        for (what, most, edits) in [("as made", 0.8, 0), ("each edited once", 0.9, 1)] {
            let chunks = cut((0..RECORDS).map(|n| (id(n), state(n, edits))));
            let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
            let ratio = bytes as f64 / plain as f64;
            println!("{what}: {} chunks, {bytes} bytes, JSON lines of zstd -3 {plain}: {ratio:.3}", chunks.len());
            assert!(ratio < most, "{what}: {ratio}");
        }
    }

    #[test]
    fn a_chunk_that_is_cut_altered_or_a_bomb_is_told() {
        let chunk = cut((0..50).map(|n| (id(n), state(n, n % 3)))).remove(0);
        let hash = chunk.at.hash;
        assert_eq!(open(hash, &chunk.bytes[..chunk.bytes.len() - 1]), Err(BadChunk::Hash));
        let mut altered = chunk.bytes.clone();
        altered[9] ^= 1;
        assert_eq!(open(hash, &altered), Err(BadChunk::Hash));
        let of = |bytes: &[u8]| open(ChunkHash::of(bytes), bytes);
        assert!(matches!(of(&chunk.bytes[..chunk.bytes.len() - 9]), Err(BadChunk::Packing(_))));
        assert!(matches!(of(b"no zstd"), Err(BadChunk::Packing(_))));
        assert!(matches!(of(&[&chunk.bytes[..], b"more"].concat()), Err(BadChunk::Packing(_))));
        let bomb = zstd::bulk::compress(&vec![0u8; MAX_CHUNK + 1], 19).expect("memory takes it");
        assert_eq!(of(&bomb), Err(BadChunk::TooLarge));
    }

    /// The parts of a good chunk, for making bad ones.
    fn parts() -> Vec<(ciborium::Value, ciborium::Value)> {
        let chunk = cut((0..4).map(|n| (id(n), state(n, n % 2)))).remove(0);
        let content = open(chunk.at.hash, &chunk.bytes).expect("it is what was sealed");
        let value: ciborium::Value = ciborium::from_reader(&content[..]).expect("it is CBOR");
        value.into_map().expect("a map")
    }

    fn read_with(name: &str, value: ciborium::Value) -> Result<usize, Malformed> {
        let mut parts = parts();
        for (key, old) in &mut parts {
            if key.as_text() == Some(name) {
                *old = value.clone();
            }
        }
        let mut bytes = Vec::new();
        ciborium::into_writer(&ciborium::Value::Map(parts), &mut bytes).expect("it has an encoding");
        read(&partition(), &bytes).map(|(rows, _)| rows.len())
    }

    #[test]
    fn hostile_content_is_an_error_and_nothing_else() {
        use ciborium::Value as V;
        let part =
            |name: &str| parts().into_iter().find(|(key, _)| key.as_text() == Some(name)).expect("it is there").1;
        assert_eq!(read_with("f", V::from(1)), Ok(4));
        let text = |text: &str| V::from(text);
        let types = |count: u64| V::Array(vec![V::Array(vec![text("work-order"), V::from(count)])]);
        let ids = part("i").into_bytes().expect("bytes");
        let doubled: Vec<u8> = ids.chunks(4).flat_map(|plane| [plane[0], plane[0], plane[2], plane[3]]).collect();
        let cases = [
            ("another format", "f", V::from(9)),
            ("another partition", "p", text("note")),
            ("more types than records", "t", types(5)),
            ("no end of types", "t", types(u64::MAX)),
            ("a sum beyond counting", "t", V::Array(vec![types(u64::MAX).into_array().expect("one").remove(0); 2])),
            ("a name that is no type", "t", V::Array(vec![V::Array(vec![text("Work Order"), V::from(4)])])),
            ("half an id", "i", V::Bytes(ids[..63].to_vec())),
            ("a record twice", "i", V::Bytes(doubled)),
            ("a shape that is not there", "o", V::Array(vec![V::from(200); 4])),
            ("too few shapes", "o", V::Array(vec![V::from(1); 3])),
            ("no values", "v", V::Array(vec![])),
            ("fewer columns than names", "v", V::Array(vec![V::Array(vec![text("1\n")])])),
            (
                "a length beyond all bytes",
                "b",
                V::Map(vec![(text("l"), V::Array(vec![V::from(u32::MAX); 4])), (text("b"), V::Bytes(vec![]))]),
            ),
            (
                "bytes left over",
                "a",
                V::Map(vec![(text("l"), V::Array(vec![V::from(0); 4])), (text("b"), V::Bytes(vec![1]))]),
            ),
            ("no dictionary", "d", V::Null),
        ];
        for (what, name, value) in cases {
            assert!(read_with(name, value).is_err(), "{what}");
        }
        // few bytes that would become many
        let names: Vec<V> = vec![text(&"n".repeat(1 << 20))];
        let many = 1 << 16;
        let ids: Vec<u8> = (0..16)
            .flat_map(|byte| (0..many).map(move |n: u32| if byte < 12 { 0 } else { n.to_be_bytes()[byte - 12] }))
            .collect();
        let lengths =
            || V::Map(vec![(text("l"), V::Array(vec![V::from(0); many as usize])), (text("b"), V::Bytes(vec![]))]);
        let hostile = V::Map(vec![
            (text("f"), V::from(1)),
            (text("p"), text("work-order")),
            (text("d"), part("d")),
            (text("t"), types(u64::from(many))),
            (text("i"), V::Bytes(ids)),
            (text("s"), V::Array(vec![V::Array(names)])),
            (text("o"), V::Array(vec![V::from(1); many as usize])),
            (text("v"), V::Array(vec![V::Array(vec![text(&"1\n".repeat(many as usize))])])),
            (text("b"), lengths()),
            (text("a"), lengths()),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&hostile, &mut bytes).expect("it has an encoding");
        assert_eq!(read(&partition(), &bytes).map(|_| ()), Err(Malformed::TooLarge));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn noise_is_an_error_and_no_panic(noise in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let packed = zstd::bulk::compress(&noise, 1).expect("memory takes it");
            if let Ok(content) = open(ChunkHash::of(&packed), &packed) {
                let _ = read(&partition(), &content);
            }
            let _ = open(ChunkHash::of(&noise), &noise);
            let chunk = cut((0..3).map(|n| (id(n), state(n, n)))).remove(0);
            let mut content = open(chunk.at.hash, &chunk.bytes).expect("it is what was sealed");
            let at = at.index(content.len());
            content[at] = byte;
            if let Ok((rows, dictionary)) = read(&partition(), &content) {
                for row in rows {
                    let _ = unpack(&row.state, row.seq, None, &dictionary);
                }
            }
        }
    }
}
