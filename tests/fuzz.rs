//! Every decoder that reads what another node wrote, and the one that reads what a browser posts, fed with messages that are nearly right.
//!
//! Nothing may panic, overflow the stack or hold memory out of proportion; and what is accepted is the same after it was
//! written and read again. Some thousands of inputs for each target in every run of the tests;
//! `OUTPOST_FUZZ=10000000 cargo test --test fuzz -- --nocapture --test-threads 1` for a long run. The same inputs in every
//! run: a failure names the number of its input, and `OUTPOST_FUZZ_AT=NUMBER` runs that one.

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/forms.rs"]
mod forms;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/run.rs"]
mod run;

use std::sync::Arc;

use ciborium::Value as Cbor;
use outpost::domain::ids::{Partition, RevisionId, TypeName};
use outpost::domain::json;
use outpost::domain::path::Path;
use outpost::domain::protocol::{
    Enrol, Enrolled, Failure, Hello, Hint, Hints, Problem, Pull, Pulled, Push, Pushed, Welcome,
};
use outpost::domain::record::State;
use outpost::domain::record::pack::{Dictionary, Values, pack, unpack};
use outpost::domain::scope::Scope;
use outpost::store::{Cursor, Judge, Model, PulledPage, Query, Request, Sort, SortKey, Store};
use outpost::sync::{sse, wire};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use run::{Counting, Dice, Taken, run};

#[global_allocator]
static COUNTING: Counting = Counting;

const TARGETS: u64 = 11;
/// What a message may become in these tests.
const LIMIT: usize = 1 << 20;

fn taken(size: usize, accepted: bool) -> Taken {
    // a byte of a message may become a node of a tree
    Taken { size, each: 600, accepted }
}

/// Reads a message as the receiver does. What is accepted stays the same however often it travels.
fn message<T: Serialize + DeserializeOwned>(frame: &[u8]) -> bool {
    let Ok(message) = wire::decode::<T>(frame, LIMIT) else { return false };
    let once = wire::encode(&message);
    let again: T = wire::decode(&once, usize::MAX >> 1).expect("what we write, we read");
    assert_eq!(once, wire::encode(&again), "a message changed on its way");
    true
}

/// Each kind of message by the name it has in the corpus.
fn by_kind(kind: u8, frame: &[u8]) -> bool {
    match kind {
        0 => message::<Hello>(frame),
        1 => message::<Welcome>(frame),
        2 => message::<Push>(frame),
        3 => message::<Pushed>(frame),
        4 => message::<Pulled>(frame),
        5 => message::<Hints>(frame),
        6 => message::<Enrol>(frame),
        _ => message::<Enrolled>(frame),
    }
}

#[test]
fn a_target_that_panics_or_hoards_is_told_with_its_input() {
    let make = |dice: &mut Dice| vec![dice.below(50) as u8];
    let told = |take: fn(&[u8]) -> Taken| {
        let ended = std::panic::catch_unwind(|| run("planted", TARGETS, make, take)).expect_err("it is found");
        ended.downcast_ref::<String>().cloned().unwrap_or_default()
    };
    let panics = told(|input| {
        assert_ne!(input[0], 7);
        taken(1, true)
    });
    assert!(panics.contains("OUTPOST_FUZZ_AT=") && panics.ends_with("1 bytes: 07"), "{panics}");
    let hoards = told(|input| {
        let much = vec![1u8; usize::from(input[0]) << 20];
        taken(usize::from(much.first().copied().unwrap_or(0)), true)
    });
    assert!(hoards.contains("bytes held"), "{hoards}");
}

#[test]
fn frames_that_were_damaged() {
    let corpus = corpus::messages();
    let frames: Vec<Vec<u8>> = corpus.iter().map(|(_, message)| wire::encode(message)).collect();
    let make = move |dice: &mut Dice| {
        let at = dice.below(frames.len());
        let frame = &frames[at];
        // the checksum holds in most of them, so that what lies behind it is reached
        let mut out = match dice.below(4) {
            0 => mutate::bytes(dice, frame, &frames),
            1 => frame.clone(),
            _ => corpus::framed(&mutate::bytes(dice, &frame[20..], &frames)),
        };
        out.insert(0, corpus[at].0);
        out
    };
    run("frames", TARGETS, make, |input| taken(LIMIT.min(input.len() * 40), by_kind(input[0], &input[1..])));
}

#[test]
fn messages_that_mean_something_else() {
    let corpus = corpus::messages();
    let others: Vec<Vec<u8>> = corpus.iter().map(|(_, message)| corpus::cbor(message)).collect();
    let make = move |dice: &mut Dice| {
        let (kind, message) = dice.of(&corpus);
        let mut cbor = corpus::cbor(&mutate::cbor(dice, message));
        if dice.one_in(3) {
            cbor = mutate::bytes(dice, &cbor, &others);
        }
        let mut out = vec![if dice.one_in(20) { dice.below(8) as u8 } else { *kind }];
        out.extend(cbor);
        out
    };
    run("messages", TARGETS, make, |input| {
        let frame = corpus::framed(&zstd::bulk::compress(&input[1..], 1).expect("memory takes what is written"));
        taken(input.len(), by_kind(input[0], &frame))
    });
}

#[test]
fn messages_as_json() {
    fn same<T: Serialize + DeserializeOwned>(text: &[u8]) -> bool {
        let Ok(message) = serde_json::from_slice::<T>(text) else { return false };
        let once = serde_json::to_vec(&message).expect("what was read is written");
        let again: T = serde_json::from_slice(&once).expect("what we write, we read");
        assert_eq!(once, serde_json::to_vec(&again).expect("what was read is written"), "a message changed on its way");
        true
    }
    let corpus = corpus::documented();
    let make = move |dice: &mut Dice| {
        let (kind, value) = dice.of(&corpus);
        let mut text = mutate::json(dice, value).to_string().into_bytes();
        if dice.one_in(3) {
            text = mutate::bytes(dice, &text, &[]);
        }
        text.insert(0, *kind);
        text
    };
    run("json messages", TARGETS, make, |input| {
        let text = &input[1..];
        let accepted = match input[0] {
            0 => same::<Hello>(text),
            1 => same::<Welcome>(text),
            2 => same::<Push>(text),
            3 => same::<Pushed>(text),
            4 => same::<Pulled>(text),
            5 => same::<Hints>(text),
            6 => same::<Enrol>(text),
            7 => same::<Enrolled>(text),
            8 => same::<Hint>(text),
            9 => same::<Pull>(text),
            _ => {
                let problem = serde_json::from_slice::<Problem>(text).ok();
                let failure = Failure::of(403, problem.as_ref(), Some(i64::MAX));
                !failure.to_string().is_empty() && problem.is_some()
            }
        };
        taken(text.len(), accepted)
    });
}

/// A record as it travels, with the words of its message.
fn packed(dice: &mut Dice, rows: &[(Dictionary, u64, Vec<u8>)]) -> Vec<u8> {
    let at = dice.below(rows.len());
    let others: Vec<Vec<u8>> = Vec::new();
    let state = if dice.one_in(50) { rows[at].2.clone() } else { mutate::bytes(dice, &rows[at].2, &others) };
    let mut out = vec![at as u8];
    out.extend(state);
    out
}

/// What is read of a record can be looked at, merged and written, and is the same when it is read again.
fn usable(state: &State, seq: u64) {
    let document = state.document();
    let name = TypeName::custom("note").expect("a good name");
    let hash = state.hash(&name, uuid::Uuid::nil(), &document.value);
    let mut twice = state.clone();
    twice.join(state.clone(), seq);
    let mut words = Dictionary::default();
    let once = pack(state, seq, Values::Inline, &mut words);
    let again = unpack(&once, seq, None, &words).expect("what we write, we read");
    let document = again.document();
    assert_eq!(again.hash(&name, uuid::Uuid::nil(), &document.value), hash, "a record changed on its way");
    let mut others = Dictionary::default();
    assert_eq!(pack(&again, seq, Values::Inline, &mut others), once, "a record changed on its way");
}

#[test]
fn records_as_they_travel() {
    let rows = corpus::rows();
    let known = rows.clone();
    run(
        "records",
        TARGETS,
        move |dice| packed(dice, &rows),
        move |input| {
            let (words, seq, _) = &known[usize::from(input[0])];
            let read = unpack(&input[1..], *seq, None, words);
            let accepted = read.as_ref().is_ok_and(|state| {
                usable(state, *seq);
                true
            });
            taken(input.len(), accepted)
        },
    );
}

#[test]
fn records_as_they_lie_on_disk() {
    let rows: Vec<(Dictionary, u64, Vec<u8>)> = corpus::rows()
        .into_iter()
        .map(|(words, seq, state)| {
            let state = unpack(&state, seq, None, &words).expect("a good row");
            let mut words = words;
            let kept = pack(&state, seq, Values::Beside, &mut words);
            (words, seq, [kept.as_slice(), state.document().value.to_string().as_bytes()].concat())
        })
        .collect();
    let documents: Vec<Value> = corpus::rows()
        .into_iter()
        .map(|(words, seq, state)| unpack(&state, seq, None, &words).expect("a good row").document().value)
        .collect();
    let lengths: Vec<usize> =
        rows.iter().zip(&documents).map(|(row, document)| row.2.len() - document.to_string().len()).collect();
    let stamps: Vec<(Dictionary, u64, Vec<u8>)> = rows
        .into_iter()
        .zip(&lengths)
        .map(|((words, seq, mut bytes), length)| {
            bytes.truncate(*length);
            (words, seq, bytes)
        })
        .collect();
    let known = stamps.clone();
    run(
        "kept records",
        TARGETS,
        move |dice| packed(dice, &stamps),
        move |input| {
            let at = usize::from(input[0]);
            let (words, seq, _) = &known[at];
            let document = documents[at].clone();
            let size = input.len() + document.to_string().len();
            let read = unpack(&input[1..], *seq, Some(document), words);
            let accepted = read.is_ok_and(|state| {
                let _ = state.document();
                let _ = pack(&state, *seq, Values::Beside, &mut words.clone());
                true
            });
            taken(size, accepted)
        },
    );
}

#[test]
fn json_that_somebody_wrote() {
    let corpus = corpus::texts();
    let others: Vec<Vec<u8>> = corpus.iter().map(|text| text.clone().into_bytes()).collect();
    let make = move |dice: &mut Dice| {
        let text = dice.of(&others).clone();
        let value: Value = serde_json::from_slice(&text).expect("a good text");
        let text = if dice.one_in(2) { mutate::json(dice, &value).to_string().into_bytes() } else { text };
        if dice.one_in(2) { mutate::bytes(dice, &text, &others) } else { text }
    };
    run("json", TARGETS, make, |input| {
        let read = json::read_bytes(input);
        let accepted = read.is_ok_and(|value| {
            let text = value.to_string();
            let again = json::read(&text).expect("what we write, we read");
            assert_eq!(value, again, "a value changed on its way");
            assert_eq!(json::canonical(&value), json::canonical(&again));
            assert!(json::equal(&value, &again));
            true
        });
        taken(input.len(), accepted)
    });
}

struct Free;

impl Judge for Free {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            "job" => Partition::of_value(type_name, document.get("site")),
            _ => Partition::of_type(type_name),
        }
    }

    fn is_valid(&self, _: &TypeName, _: Option<RevisionId>, _: &Value) -> Option<bool> {
        Some(true)
    }
}

/// A store that is new after some inputs, so that it stays small.
struct Fresh {
    store: Arc<dyn Store>,
    runtime: tokio::runtime::Runtime,
    used: u32,
}

impl Fresh {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Self { store: Arc::new(Model::new(Arc::new(Free))), runtime, used: 0 }
    }

    fn write(&mut self, request: Request) -> bool {
        self.used += 1;
        if self.used.is_multiple_of(200) {
            self.store = Arc::new(Model::new(Arc::new(Free)));
        }
        self.runtime.block_on(self.store.write(request)).is_ok()
    }
}

const NOW: i64 = 1_793_696_400_000;

#[test]
fn saves_that_a_hub_takes_in() {
    let corpus: Vec<Cbor> =
        corpus::messages().into_iter().filter(|(kind, _)| *kind == 2).map(|(_, message)| message).collect();
    let make = move |dice: &mut Dice| {
        let message = dice.of(&corpus);
        corpus::cbor(&mutate::cbor(dice, message))
    };
    let mut hub: Option<Fresh> = None;
    run("saves", TARGETS, make, move |input| {
        let hub = hub.get_or_insert_with(Fresh::new);
        let Ok(push) = ciborium::from_reader::<Push, _>(input) else { return taken(input.len(), false) };
        let accepted = hub.write(Request::Receive { saves: push.saves, now: NOW, relay: false });
        let digests = hub.runtime.block_on(async {
            let said = hub.store.partitions().await.expect("the store works");
            let found = hub.store.recompute_digests().await.expect("the store works");
            found.into_iter().all(|(partition, digest)| {
                said.iter().any(|state| state.partition == partition && state.digest == digest)
            })
        });
        assert!(digests, "a digest is not that of the records");
        Taken { size: input.len() + (64 << 10), each: 2_000, accepted }
    });
}

#[test]
fn pages_that_an_edge_joins() {
    let corpus: Vec<Cbor> =
        corpus::messages().into_iter().filter(|(kind, _)| *kind == 4).map(|(_, message)| message).collect();
    let make = move |dice: &mut Dice| {
        let message = dice.of(&corpus);
        corpus::cbor(&mutate::cbor(dice, message))
    };
    let mut edge: Option<Fresh> = None;
    run("pages", TARGETS, make, move |input| {
        let edge = edge.get_or_insert_with(Fresh::new);
        let Ok(pulled) = ciborium::from_reader::<Pulled, _>(input) else { return taken(input.len(), false) };
        let cursor = Cursor::start(pulled.epoch).turned(pulled.next, pulled.head);
        let page = PulledPage {
            partition: pulled.partition,
            rows: pulled.rows,
            moved: pulled.moved,
            cursor,
            dictionary: pulled.dictionary,
        };
        let accepted = edge.write(Request::Join { page, now: NOW });
        Taken { size: input.len() + (64 << 10), each: 2_000, accepted }
    });
}

#[test]
fn streams_of_hints() {
    let hint = r#"{"epoch":"0063626d82b4f3f3","partition":"note","head":4,"records":1}"#;
    let texts = [
        format!("{}event: head\ndata: {hint}\n\n{}", sse::COMMENT, sse::COMMENT),
        format!("event: head\r\ndata: {hint}\r\ndata: {hint}\r\n\r\nretry: 10\nid: 7\n\n"),
        "data\n\nevent\n\n:\n\ndata: {}\n\n".to_owned(),
    ]
    .map(String::into_bytes);
    let make = move |dice: &mut Dice| {
        let text = dice.of(&texts);
        mutate::bytes(dice, text, &texts)
    };
    run("hints", TARGETS, make, |input| {
        let all = sse::Reader::default().read(input);
        let mut reader = sse::Reader::default();
        let cut: Vec<(String, String)> = input.chunks(7).flat_map(|chunk| reader.read(chunk)).collect();
        assert_eq!(all, cut, "events depend on how they are cut");
        let hints = all.iter().filter(|(_, data)| serde_json::from_str::<Hint>(data).is_ok()).count();
        taken(input.len(), hints > 0)
    });
}

#[test]
fn cursors_names_and_addresses() {
    let query = |cursor: Option<String>| Query {
        type_name: TypeName::custom("note").expect("a good name"),
        filters: Vec::new(),
        sort: vec![Sort { by: SortKey::Field(vec!["a".into()]), descending: false }],
        binned: false,
        limit: 2,
        cursor,
    };
    let texts: Vec<Vec<u8>> = corpus::addresses();
    let make = move |dice: &mut Dice| {
        let text = dice.of(&texts).clone();
        let mut out = vec![dice.below(6) as u8];
        out.extend(if dice.one_in(4) { text } else { mutate::bytes(dice, &text, &texts) });
        out
    };
    let mut node: Option<Fresh> = None;
    run("cursors", TARGETS, make, move |input| {
        let node = node.get_or_insert_with(Fresh::new);
        let text = String::from_utf8_lossy(&input[1..]).into_owned();
        let accepted = match input[0] {
            0 => serde_urlencoded::from_str::<Pull>(&text).is_ok_and(|pull| {
                let once = serde_urlencoded::to_string(&pull).expect("plain parts");
                assert_eq!(serde_urlencoded::from_str::<Pull>(&once), Ok(pull));
                true
            }),
            1 => node.runtime.block_on(node.store.records(&query(Some(text.clone())))).is_ok(),
            2 => text.parse::<Scope>().is_ok_and(|scope| {
                assert_eq!(Scope::from_json(&scope.to_json()), Ok(scope.clone()));
                assert!(scope.contains(&Partition::types()) && !scope.contains(&Partition("_lost".into())));
                true
            }),
            3 => Path::parse(&text, |_| false).is_some_and(|path| {
                assert_eq!(Path::parse(&path.to_string(), |_| false), Some(path));
                true
            }),
            4 => text.parse::<TypeName>().is_ok_and(|name| name.to_string() == text),
            _ => {
                let partition = Partition(text.clone());
                text.starts_with(partition.type_name())
            }
        };
        taken(input.len(), accepted)
    });
}

#[test]
fn forms_that_were_posted() {
    let forms = forms::Forms::all();
    let pairs = forms.pairs.clone();
    let make = move |dice: &mut Dice| {
        let at = dice.below(pairs.len());
        let post = forms::mutated(dice, &pairs[at], &pairs);
        let mut out = vec![at as u8];
        out.extend(serde_json::to_vec(&post).expect("pairs are written"));
        out
    };
    run("forms", TARGETS, make, move |input| {
        let pairs: Vec<(String, String)> = serde_json::from_slice(&input[1..]).expect("pairs are read");
        let accepted = forms.post(usize::from(input[0]), pairs);
        // a form is drawn for each post, whatever is in it
        taken(20_000 + input.len(), accepted)
    });
}
