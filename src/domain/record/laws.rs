//! The laws of merging, as properties over random histories on several replicas.

use proptest::prelude::*;
use serde_json::json;

use super::pack::{Dictionary, Values, pack, unpack};
use super::*;
use crate::domain::clock::Hlc;
use crate::domain::ids::{Incarnation, NodeId, RevisionId, SaveId, TypeName};
use crate::domain::path::ItemKey;
use crate::domain::stamp::Author;

const REPLICAS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A person on a replica changes something; the clock of the replica may stand anywhere.
    Edit { replica: usize, what: usize, value: u8, time: i64 },
    /// One replica takes the state of another.
    Join { from: usize, to: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..REPLICAS, 0..15usize, any::<u8>(), 1..40i64)
            .prop_map(|(replica, what, value, time)| Step::Edit { replica, what, value, time }),
        1 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, to)| Step::Join { from, to }),
    ]
}

fn key(text: &str) -> ItemKey {
    ItemKey(text.into())
}

/// What a form would send for one press of the person, given what they see.
fn changes(state: &State, what: usize, value: u8, once: &str) -> Vec<Change> {
    let root = Path::root();
    let parts = root.property("parts");
    let address = root.property("address");
    let item = parts.item(&key(["a", "b", "c"][value as usize % 3]));
    let set = |path: Path, content| Change { replaces: state.cover(&path), path, act: Act::Set(content) };
    let here = |path: &Path| state.document().get(path).is_some();
    match what {
        0 => vec![set(root.property("title"), Content::json(json!(value)))],
        1 => vec![set(root.property("status"), Content::Absent)],
        2 => vec![set(address.property("city"), Content::json(json!(value)))],
        3 => vec![set(address.clone(), Content::json(json!({"city": value, "street": "s"})))],
        4 => vec![Change { replaces: state.cover(&address), path: address, act: Act::Remove }],
        5 if !here(&item) => vec![
            set(parts, Content::Group),
            set(item.clone(), Content::json(json!({"part": value, "note": {"a": 1}}))),
            Change { replaces: Cover::nothing(), path: item, act: Act::Rank(format!("{value}")) },
        ],
        6 if here(&item) => vec![set(item.property("part"), Content::json(json!(value)))],
        7 if here(&item) => vec![Change { replaces: state.cover(&item), path: item, act: Act::Remove }],
        8 if here(&item) => {
            vec![Change { replaces: state.cover(&item), path: item, act: Act::Rank(format!("{value}")) }]
        }
        9 => vec![Change { replaces: state.cover(&root), path: root, act: Act::Bin(value.is_multiple_of(2)) }],
        10 if here(&item) => {
            let note = item.property("note");
            vec![Change { replaces: state.cover(&note), path: note, act: Act::Remove }]
        }
        11 | 12 => {
            // a word somewhere in a text goes, another comes
            let path = root.property("story");
            let shown =
                state.document().get(&path).and_then(|text| Some(text.as_str()?.to_owned())).unwrap_or_default();
            let mut words: Vec<&str> = shown.split(' ').collect();
            let at = value as usize % words.len();
            let new = format!("w{value}");
            if value.is_multiple_of(3) {
                words.remove(at);
            }
            words.insert(at.min(words.len()), &new);
            match state.text_edit(&path, &words.join(" ")) {
                Some(edit) => vec![set(path.item(&edit_key(once)), Content::json(edit))],
                None => vec![set(path, Content::json(json!(words.join(" "))))],
            }
        }
        13 => vec![set(root.property("story"), Content::json(json!(format!("anew {}", value % 3))))],
        14 => vec![set(root.property("story"), Content::Absent)],
        _ => vec![set(root.property("x"), Content::json(json!([value, {"y": 1.50}])))],
    }
}

struct World {
    replicas: Vec<State>,
    saves: Vec<(Vec<Change>, Stamp)>,
}

fn run(steps: &[Step]) -> World {
    let author =
        |replica: usize| Author { node: NodeId(replica as u64), incarnation: Incarnation(7), ..Author::default() };
    let created = vec![
        Change {
            path: Path::root(),
            act: Act::Set(Content::json(
                json!({"title": "t", "status": 1, "story": "once upon a time", "address": {"city": "c", "street": "s"}}),
            )),
            replaces: Cover::nothing(),
        },
        Change { path: Path::root().property("parts"), act: Act::Set(Content::Group), replaces: Cover::nothing() },
        Change {
            path: Path::root().property("parts").item(&key("a")),
            act: Act::Set(Content::json(json!({"part": "p", "note": {"a": 0}}))),
            replaces: Cover::nothing(),
        },
    ];
    let first = Stamp::new(Hlc::at(1), author(0), SaveId(1 << 100));
    let mut state = State::default();
    state.apply(&created, first, 1, &|_, _| false);
    let mut world = World { replicas: vec![state; REPLICAS], saves: vec![(created, first)] };
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Edit { replica, what, value, time } => {
                let state = &mut world.replicas[*replica];
                let changes = changes(state, *what, *value, &format!("save {number}"));
                let above = changes.iter().map(|change| change.replaces.latest().time).max().unwrap_or_default();
                let time = Hlc::at(*time).max(above.next());
                let stamp = Stamp::new(time, author(*replica), SaveId((number as u128 + 2) << 96));
                let applied = state.apply(&changes, stamp, number as u64 + 2, &|_, _| false);
                assert!(applied.lost.is_empty(), "what its author had seen is not lost: {applied:?}");
                world.saves.push((changes, stamp));
            }
            Step::Join { from, to } => {
                let other = world.replicas[*from].clone();
                world.replicas[*to].join(other, number as u64 + 2);
            }
        }
    }
    world
}

fn hash(state: &State) -> hash::Hash {
    state.hash(&TypeName::custom("t").expect("a good name"), uuid::Uuid::nil(), &state.document().value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn replicas_that_saw_the_same_are_equal(steps in prop::collection::vec(step(), 0..24)) {
        let world = run(&steps);
        let joined = |order: [usize; 3]| {
            let mut state = world.replicas[order[0]].clone();
            for other in &order[1..] {
                state.join(world.replicas[*other].clone(), 99);
            }
            state
        };
        let one = joined([0, 1, 2]);
        let two = joined([2, 1, 0]);
        let three = joined([1, 0, 2]);
        prop_assert_eq!(one.document(), two.document());
        prop_assert_eq!(hash(&one), hash(&two));
        prop_assert_eq!(hash(&one), hash(&three));
        let mut again = one.clone();
        prop_assert!(again.join(two, 100).is_empty(), "joining again changes nothing");
        prop_assert_eq!(again, one);
    }

    #[test]
    fn saves_in_any_order_give_what_states_give(steps in prop::collection::vec(step(), 0..16), seed in any::<u64>()) {
        let world = run(&steps);
        let mut joined = State::default();
        for replica in &world.replicas {
            joined.join(replica.clone(), 99);
        }
        let mut saves = world.saves.clone();
        let (_, rest) = saves.split_at_mut(1);
        rest.sort_by_key(|(_, stamp)| (u64::from(stamp.tag) ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut applied = State::default();
        for (changes, stamp) in saves.iter().chain(&saves) {
            applied.apply(changes, *stamp, 1, &|_, _| false);
        }
        prop_assert_eq!(applied.document(), joined.document());
        prop_assert_eq!(hash(&applied), hash(&joined));
    }

    #[test]
    fn packing_keeps_everything(steps in prop::collection::vec(step(), 0..24)) {
        let world = run(&steps);
        for state in &world.replicas {
            let mut state = state.clone();
            let written = Written { stamp: state.latest(), arrival: 3, revision: RevisionId(0xabc) };
            state.written = Some(written);
            let mut dictionary = Dictionary::default();
            let bytes = pack(&state, 200, Values::Beside, &mut dictionary);
            let read = unpack(&bytes, 200, Some(state.document().value), &dictionary);
            let read = read.expect("what was packed is read");
            prop_assert_eq!(read.document(), state.document());
            prop_assert_eq!(hash(&read), hash(&state));
            prop_assert_eq!(pack(&read, 200, Values::Beside, &mut dictionary), bytes);
            let bytes = pack(&state, 200, Values::Inline, &mut dictionary);
            prop_assert_eq!(unpack(&bytes, 200, None, &dictionary).expect("what was packed is read"), state);
        }
    }

    #[test]
    fn what_is_new_since_a_number_brings_a_reader_up(steps in prop::collection::vec(step(), 1..24), cut in 0usize..24) {
        let cut = cut.min(steps.len());
        let early = run(&steps[..cut]).replicas[0].clone();
        let late = run(&steps).replicas[0].clone();
        let mut reader = early;
        let mut dictionary = Dictionary::default();
        let bytes = pack(&late.since(cut as u64 + 1), 200, Values::Inline, &mut dictionary);
        reader.join(unpack(&bytes, 200, None, &dictionary).expect("what was packed is read"), 300);
        prop_assert_eq!(hash(&reader), hash(&late));
    }

    #[test]
    fn damaged_bytes_are_told_and_never_panic(
        steps in prop::collection::vec(step(), 0..12), at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()
    ) {
        let world = run(&steps);
        let mut dictionary = Dictionary::default();
        let mut bytes = pack(&world.replicas[0], 200, Values::Inline, &mut dictionary);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(unpack(&bytes, 200, None, &dictionary).is_err());
        } else {
            bytes[at] ^= flip;
            if let Ok(state) = unpack(&bytes, 200, None, &dictionary) {
                state.document();
            }
        }
    }
}

#[test]
fn two_people_who_write_different_fields_both_keep_their_change() {
    let world = run(&[]);
    let (mut here, mut there) = (world.replicas[0].clone(), world.replicas[1].clone());
    let write = |state: &mut State, node: u64, name: &str, value: u8| {
        let path = Path::root().property(name);
        let change = Change { replaces: state.cover(&path), path, act: Act::Set(Content::json(json!(value))) };
        let author = Author { node: NodeId(node), ..Author::default() };
        let stamp = Stamp::new(Hlc::at(10), author, SaveId(u128::from(node) << 96));
        state.apply(&[change], stamp, 5, &|_, _| false)
    };
    write(&mut here, 1, "title", 1);
    write(&mut there, 2, "status", 2);
    here.join(there, 9);
    assert_eq!(here.document().value["title"], json!(1));
    assert_eq!(here.document().value["status"], json!(2));
    let lost = write(&mut world.replicas[2].clone(), 3, "title", 3);
    assert!(lost.lost.is_empty());
}

#[test]
fn the_value_that_was_not_seen_is_lost_and_named() {
    let world = run(&[]);
    let base = world.replicas[0].clone();
    let path = Path::root().property("title");
    let change = |value: u8| Change {
        replaces: base.cover(&path),
        path: path.clone(),
        act: Act::Set(Content::json(json!(value))),
    };
    let stamp = |time, node: u64| {
        Stamp::new(Hlc::at(time), Author { node: NodeId(node), ..Author::default() }, SaveId(u128::from(node) << 96))
    };
    let mut hub = base.clone();
    hub.apply(&[change(1)], stamp(10, 1), 2, &|_, _| false);
    let applied = hub.apply(&[change(2)], stamp(11, 2), 3, &|_, _| false);
    assert_eq!(applied.lost, [LostValue { path: path.clone(), stamp: stamp(10, 1), value: Some(json!(1)) }]);
    let late = hub.apply(&[change(3)], stamp(9, 3), 4, &|_, _| false);
    assert_eq!(late.lost, [LostValue { path: path.clone(), stamp: stamp(9, 3), value: Some(json!(3)) }]);
    assert_eq!(hub.document().get(&path), Some(&json!(2)));
    let again = hub.apply(&[change(2)], stamp(11, 2), 5, &|_, _| false);
    assert!(!again.changed && again.lost.is_empty());
}
