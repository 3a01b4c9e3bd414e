//! Random histories of a hub and its edges: whatever happens in whatever order, in the end all hold the same, and
//! nothing that was saved is gone.

use super::*;
use crate::domain::path::{ItemKey, Segment};
use crate::domain::record::pack::Dictionary;

contract!(
    pages_read_while_others_write_never_skip_a_change,
    nodes_that_heard_of_everything_hold_the_same,
    bytes_that_nobody_made_are_refused_or_kept_and_never_spoil_a_record,
);

/// A source of chance that says the same again from the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

async fn pages_read_while_others_write_never_skip_a_change(kind_of: Kind) {
    for seed in 1..=6u64 {
        let mut dice = Dice(seed * 7919);
        let (hub, reader) = (kind_of.node(1).await, kind_of.node(2).await.edge());
        let mut count = 0u128;
        for _ in 0..120 {
            match dice.roll(5) {
                0 => {
                    count += 1;
                    let site = ["a", "b"][dice.roll(2) as usize];
                    hub.create("job", count, json!({"site": site, "text": "x".repeat(dice.roll(300) as usize)})).await;
                }
                1 | 2 if count > 0 => {
                    let held = hub.held("job", 1 + u128::from(dice.roll(count as u64))).await.expect("it is here");
                    let change = match dice.roll(6) {
                        0 => write(&held, "/site", json!(["a", "b"][dice.roll(2) as usize])),
                        1 => bin(&held, dice.roll(2) == 0),
                        roll => write(&held, &format!("/f{roll}"), json!(dice.roll(100))),
                    };
                    hub.change(&held, vec![change]).await;
                }
                _ => {
                    let partition = jobs_at(["a", "b"][dice.roll(2) as usize]);
                    reader.pull_page(&hub, &partition, 1 + dice.roll(800) as usize).await;
                }
            }
        }
        for partition in [jobs_at("a"), jobs_at("b"), jobs_at("a")] {
            reader.pull(&hub, &partition).await;
        }
        for partition in [jobs_at("a"), jobs_at("b")] {
            agree(&hub, &reader, &partition).await;
        }
        for number in 1..=count {
            let (there, here) = (hub.held("job", number).await, reader.held("job", number).await);
            assert_eq!(there.map(|held| held.hash()), here.map(|held| held.hash()), "seed {seed}, record {number}");
        }
    }
}

async fn nodes_that_heard_of_everything_hold_the_same(kind_of: Kind) {
    for seed in 1..=8u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let hub = kind_of.node(1).await;
        let edges = [kind_of.node(2).await.edge(), kind_of.node(3).await.edge(), kind_of.node(4).await.edge()];
        edges[2].now.store(1_800_000_600_000, Ordering::Relaxed);
        let mut said: Vec<(u128, String, Value)> = Vec::new();
        for step in 0..110u128 {
            let edge = &edges[dice.roll(3) as usize];
            let site = if dice.roll(6) == 0 { &hub } else { edge };
            let number = 1 + u128::from(dice.roll(5));
            match dice.roll(9) {
                0..=3 => match site.held("job", number).await {
                    None => {
                        // the same record may be created on two nodes only with one id each
                        let number = 100 * u128::from(site.author.node.0) + step;
                        site.create("job", number, json!({"site": "a", "title": step as u64})).await;
                    }
                    Some(held) => {
                        let field = format!("/f{}", dice.roll(3));
                        let value = json!(format!("{seed}-{step}"));
                        said.push((number, field.clone(), value.clone()));
                        site.change(&held, vec![write(&held, &field, value)]).await;
                    }
                },
                4 => {
                    if hub.held("job", number).await.is_none() {
                        hub.create("job", number, json!({"site": "a", "f0": "made"})).await;
                    }
                }
                5 => {
                    if let Some(held) = site.held("job", number).await {
                        let change = match dice.roll(3) {
                            0 => write(&held, "/site", json!(["a", "b"][dice.roll(2) as usize])),
                            _ => bin(&held, dice.roll(2) == 0),
                        };
                        site.change(&held, vec![change]).await;
                    }
                }
                6 => edge.push(&hub).await,
                7 => {
                    // the answer is lost: the hub hears the same again later
                    let saves = edge.unsent(600).await;
                    hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
                }
                _ => {
                    let partition = jobs_at(["a", "b"][dice.roll(2) as usize]);
                    edge.pull_page(&hub, &partition, 1 + dice.roll(900) as usize).await;
                }
            }
        }
        for edge in &edges {
            edge.push(&hub).await;
        }
        for edge in &edges {
            for partition in [jobs_at("a"), jobs_at("b"), jobs_at("a")] {
                edge.pull(&hub, &partition).await;
            }
            for partition in [jobs_at("a"), jobs_at("b")] {
                agree(&hub, edge, &partition).await;
            }
            let lost = |mut all: Vec<Value>| {
                all.sort_by_key(Value::to_string);
                all
            };
            assert_eq!(lost(hub.lost().await), lost(edge.lost().await), "seed {seed}");
        }
        // what a person saved stands, or was seen by whoever wrote over it, or is kept as lost
        let lost = hub.lost().await;
        for (number, pointer, value) in said {
            let stands = hub.held("job", number).await.and_then(|held| held.document.get(&at(&pointer)).cloned());
            let lines = hub.store.history(&kind("job"), id(number)).await.expect("works");
            let known = stands.as_ref() == Some(&value)
                || lines.iter().any(|line| line.old.as_ref() == Some(&value) || line.new.as_ref() == Some(&value))
                || lost.iter().any(|lost| lost["value"] == value);
            assert!(known, "seed {seed}: {value} at {pointer} of {number} is gone");
        }
    }
}

async fn bytes_that_nobody_made_are_refused_or_kept_and_never_spoil_a_record(kind_of: Kind) {
    for seed in 1..=5 {
        hostile(kind_of, Dice(seed * 4711)).await;
    }
}

async fn hostile(kind_of: Kind, mut dice: Dice) {
    let (hub, one) = (kind_of.node(1).await, kind_of.node(2).await.edge());
    let made = hub.create("note", 1, json!({"title": "a", "o": {"p": 1}, "list": [1, {"x": 2}]})).await;
    for round in 0..150u128 {
        let held = hub.held("note", 1).await.expect("it is here");
        let segments = ["title", "o", "p", "list", "0", "@k", "q"];
        let path = Path(
            (0..dice.roll(4))
                .map(|_| {
                    let name = segments[dice.roll(7) as usize].to_owned();
                    if dice.roll(3) == 0 { Segment::Item(ItemKey(name)) } else { Segment::Property(name) }
                })
                .collect(),
        );
        let act = match dice.roll(7) {
            0 => Act::Set(Content::Absent),
            1 => Act::Set(Content::Group),
            2 => Act::Remove,
            3 => Act::Rank(format!("{}", dice.roll(9))),
            4 => Act::Set(Content::json(json!({"p": {"q": dice.roll(9)}, "list": [1]}))),
            _ => Act::Set(Content::json(json!(dice.roll(9)))),
        };
        let replaces = match dice.roll(3) {
            0 => Cover::nothing(),
            1 => held.state.cover(&path),
            _ => made.state.cover(&Path::root()),
        };
        let save = Save {
            id: SaveId((round + 1) << 96 | round),
            author: Author { node: NodeId(9), ..Author::default() },
            records: vec![crate::domain::save::SavedRecord {
                type_name: kind("note"),
                id: id(1),
                revision: None,
                time: Hlc::at(1_800_000_000_000 + dice.roll(5000) as i64),
                changes: vec![Change { path, act, replaces }],
            }],
        };
        hub.write(Request::Receive { saves: vec![save], now: 1, relay: false }).await;
        assert!(hub.held("note", 1).await.is_some(), "round {round}");
        hub.check().await;
        if dice.roll(4) == 0 {
            one.pull(&hub, &notes()).await;
            let there = hub.held("note", 1).await.map(|held| held.hash());
            assert_eq!(one.held("note", 1).await.map(|held| held.hash()), there, "round {round}");
        }
    }
    hub.check().await;
    // and rows that were changed on the way
    let changes = hub.store.changes(&notes(), 0, 0, 1 << 20).await.expect("works");
    let reader = kind_of.node(3).await;
    for round in 0..100 {
        let mut rows = changes.rows.clone();
        let row = &mut rows[0];
        let at = dice.roll(row.state.len() as u64) as usize;
        row.state[at] ^= 1 << dice.roll(8);
        let dictionary = Dictionary::of(changes.dictionary.authors().to_vec(), changes.dictionary.names().to_vec());
        let page = PulledPage { partition: notes(), rows, moved: Vec::new(), cursor: Cursor::default(), dictionary };
        reader.write(Request::Join { page, now: 1 }).await;
        assert!(reader.store.record(&kind("note"), id(1)).await.is_ok(), "round {round}");
    }
    reader.check().await;
}
