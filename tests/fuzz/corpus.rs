//! What the inputs are made from: the recorded conversations, the examples of the protocol's document, and saves with one
//! of everything.

use ciborium::Value as Cbor;
use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, RecordId, SaveId, TypeName};
use outpost::domain::path::{ItemKey, Path};
use outpost::domain::protocol::{Pulled, Push};
use outpost::domain::record::pack::{Dictionary, Values, pack};
use outpost::domain::record::{Act, Change, Content, Cover, State};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::{Author, Stamp};
use outpost::sync::wire;
use serde_json::{Value, json};

const LIMIT: usize = 1 << 20;

/// The number by which the tests know a kind of message.
fn kind(name: &str) -> Option<u8> {
    const KINDS: [&str; 11] =
        ["hello", "welcome", "push", "pushed", "pulled", "hints", "enrol", "enrolled", "hint", "pull", "problem"];
    KINDS.iter().position(|known| *known == name).map(|at| at as u8)
}

pub fn cbor<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(message, &mut out).expect("memory takes what is written");
    out
}

/// A frame with a good checksum around anything.
pub fn framed(packed: &[u8]) -> Vec<u8> {
    [b"ops\x01", &blake3::hash(packed).as_bytes()[..16], packed].concat()
}

/// The recorded messages and ours, with their kinds.
pub fn messages() -> Vec<(u8, Cbor)> {
    let mut all = Vec::new();
    for file in ["meeting", "first-copy"] {
        let path = format!("{}/tests/golden/0.1.0/{file}.json.zst", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).expect("there is a golden set");
        let text = zstd::stream::decode_all(&bytes[..]).expect("zstd");
        let exchanges: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
        for exchange in exchanges {
            let path = exchange["path"].as_str().expect("a path");
            let path = path.trim_start_matches("/sync/v1/").split('?').next().unwrap_or_default();
            let (asks, tells) = match path {
                "hello" => ("hello", "welcome"),
                "push" => ("push", "pushed"),
                "pull" => ("pull", "pulled"),
                "enrol" => ("enrol", "enrolled"),
                _ => ("", "hints"),
            };
            for (name, member) in [(asks, "body"), (tells, "answer")] {
                let text = exchange[member].as_str().expect("base64");
                let bytes = data_encoding::BASE64.decode(text.as_bytes()).expect("base64");
                if let (Some(kind), Ok(message)) = (kind(name), wire::decode::<Cbor>(&bytes, LIMIT)) {
                    all.push((kind, message));
                }
            }
        }
    }
    let ours = Push { since: 7, saves: saves() };
    all.push((2, ciborium::from_reader(&cbor(&ours)[..]).expect("what we write, we read")));
    for kind in 0..8 {
        assert!(all.iter().any(|(known, _)| *known == kind), "no message of kind {kind}");
    }
    all
}

/// The examples of the protocol's document, with their kinds.
pub fn documented() -> Vec<(u8, Value)> {
    let text = include_str!("../../docs/sync-protocol.md");
    let mut all = Vec::new();
    for block in text.split("```json ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a block has lines");
        let (json, _) = rest.split_once("```").expect("a block ends");
        if let Some(kind) = kind(name.trim()) {
            all.push((kind, serde_json::from_str(json).expect("JSON")));
        }
    }
    all.push((2, serde_json::to_value(Push { since: 7, saves: saves() }).expect("JSON")));
    all
}

fn author(n: u64) -> Author {
    Author { node: NodeId(n), incarnation: Incarnation(n), person: RecordId::from_u128(u128::from(n)) }
}

/// Saves that make a record and do everything to it that can be done.
pub fn saves() -> Vec<Save> {
    let title = Path::root().property("title");
    let parts = Path::root().property("parts");
    let (first, second) = (parts.item(&ItemKey("k1".into())), parts.item(&ItemKey("k2".into())));
    let digits: Value = serde_json::from_str("[1.500, 1e400, -0, 12345678901234567890123]").expect("JSON");
    let whole = json!({ "title": "Pump", "hours": 4, "place": { "deck": 2 }, "digits": digits });
    let steps: Vec<Vec<(Path, Act)>> = vec![
        vec![(Path::root(), Act::Set(Content::json(whole)))],
        vec![
            (parts.clone(), Act::Set(Content::Group)),
            (first.clone(), Act::Set(Content::json(json!({ "name": "Seal", "count": 1 })))),
            (first.clone(), Act::Rank("a0".into())),
            (second.clone(), Act::Set(Content::json(json!({ "name": "Bolt" })))),
            (second.clone(), Act::Rank("a1".into())),
        ],
        vec![
            (title.clone(), Act::Set(Content::json(json!("Pump 2")))),
            (second.property("count"), Act::Set(Content::json(json!(6)))),
        ],
        vec![(first, Act::Remove), (Path::root().property("place"), Act::Set(Content::Absent))],
        vec![(Path::root(), Act::Bin(true))],
        vec![(title, Act::Set(Content::json(json!(null)))), (Path::root(), Act::Bin(false))],
    ];
    let mut state = State::default();
    let mut all = Vec::new();
    for (n, step) in (1..).zip(steps) {
        let author = author(n % 2 + 1);
        let id = SaveId(u128::from(n) << 96);
        let time = Hlc::at(1_793_696_400_000 + n as i64 * 1_000);
        let changes: Vec<Change> =
            step.into_iter().map(|(path, act)| Change { replaces: state.cover(&path), path, act }).collect();
        let stamp = Stamp::new(time, author, id);
        state.apply(&changes, stamp, n, &|_, _| true);
        let record = SavedRecord {
            type_name: TypeName::custom(if n % 3 == 0 { "job" } else { "note" }).expect("a good name"),
            id: RecordId::from_u128(5),
            revision: None,
            time,
            changes,
        };
        let made = SavedRecord { type_name: TypeName::custom("note").expect("a good name"), ..record };
        all.push(Save { id, author, records: vec![made] });
    }
    // somebody who saw nothing of it
    let change = Change {
        path: Path::root().property("title"),
        act: Act::Set(Content::json(json!("Other"))),
        replaces: Cover::nothing(),
    };
    let record = SavedRecord { time: Hlc::at(1_793_696_402_500), changes: vec![change], ..all[0].records[0].clone() };
    all.push(Save { id: SaveId(77), author: author(9), records: vec![record] });
    all
}

/// Packed records with the words and the number they are read with.
pub fn rows() -> Vec<(Dictionary, u64, Vec<u8>)> {
    let mut all = Vec::new();
    for (kind, message) in messages() {
        if kind != 4 {
            continue;
        }
        let pulled: Pulled = ciborium::from_reader(&cbor(&message)[..]).expect("a good message");
        for row in pulled.rows.into_iter().take(4) {
            all.push((pulled.dictionary.clone(), row.seq, row.state));
        }
    }
    let mut state = State::default();
    for (n, save) in (1..).zip(saves()) {
        state.apply(&save.records[0].changes, save.stamp(&save.records[0]), n, &|_, _| true);
        let mut words = Dictionary::default();
        let bytes = pack(&state, 100, Values::Inline, &mut words);
        all.push((words, 100, bytes));
    }
    assert!(all.len() > 10 && all.len() < 256);
    all
}

pub fn texts() -> Vec<String> {
    let mut all: Vec<String> = documented().into_iter().map(|(_, value)| value.to_string()).collect();
    all.extend(
        [
            r#"{"a": [1, 1.0, -0, 1e400, 1E-400, 0.10, 12345678901234567890123], "b": {"": null, "ä\u00e4\ud83d\ude00": true}}"#,
            r#"["\"\\\/\b\f\n\r\t", {"a/b": {"~1": []}}]"#,
            r#"{"$serde_json::private": {"x": [[[[]]]]}}"#,
            "-12.5e+3",
            "null",
        ]
        .map(str::to_owned),
    );
    all
}

pub fn addresses() -> Vec<Vec<u8>> {
    let position = json!({ "l": "000000000000", "k": ["x"], "i": "0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11" }).to_string();
    [
        "partition=job%3D%22north%22&epoch=0e4afbe69ce4a37f&base=10&after=10&max_bytes=1048576".to_owned(),
        data_encoding::BASE64URL_NOPAD.encode(position.as_bytes()),
        r#"{"job": ["north", null, 1.50], "note": true}"#.to_owned(),
        "all".to_owned(),
        "/parts/@k7f2/a~1b/~0".to_owned(),
        "work-order".to_owned(),
        "job=\"platform-7\"".to_owned(),
        "_types".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}
