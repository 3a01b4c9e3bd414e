//! What is deleted for good, what is forgotten of it and when; and that nothing anybody saved is lost by that, whenever it
//! comes.

use proptest::prelude::*;

use super::syncing::pair;
use super::*;
use crate::domain::ids::{Epoch, THE_HUB};
use crate::domain::record::pack::{Dictionary, Values, pack};

contract!(
    a_record_that_is_deleted_for_good_goes_from_all_and_stays_away,
    nothing_goes_but_what_is_in_the_bin_or_decided,
    what_somebody_saved_before_they_heard_brings_all_of_it_back,
    an_edit_that_comes_when_it_is_forgotten_is_kept_whole_and_makes_no_record,
    a_creation_that_comes_again_makes_no_record,
    who_has_not_heard_and_knows_nothing_more_only_hears,
    an_entry_that_is_decided_goes_and_is_not_made_again,
    removals_are_forgotten_up_to_a_number_and_no_further,
    whoever_asks_again_does_not_make_it_anew,
    what_is_gone_is_gone_after_a_restart,
    nothing_comes_back_by_itself_and_nothing_is_lost,
);

const EPOCH: Epoch = Epoch(0);

async fn purge(hub: &Site, records: &[(&str, RecordId)]) {
    let records = records.iter().map(|(name, id)| (kind(name), *id)).collect();
    let by = Author { person: THE_HUB, ..hub.author };
    assert_eq!(hub.write(Request::Purge { records, by, now: hub.now() }).await, Outcome::Done);
}

/// Forgets all that was told.
async fn forget(hub: &Site) {
    let removals = hub.store.removals().await.expect("the store works");
    let mut floors = Vec::new();
    for (partition, _) in removals {
        let head = hub.store.changes(&partition, 0, 0, 1).await.expect("the store works").head;
        floors.push((partition, head));
    }
    let remains = hub.store.locals(REMAINS).await.expect("the store works");
    let remains = remains.iter().filter_map(|(key, _)| remains_of(key)).collect();
    assert_eq!(hub.write(Request::Settle { epoch: EPOCH, floors, remains }).await, Outcome::Done);
}

async fn remains(hub: &Site) -> usize {
    hub.store.locals(REMAINS).await.expect("the store works").len()
}

async fn receive(hub: &Site, saves: Vec<Save>) {
    hub.write(Request::Receive { saves, now: hub.now(), relay: false }).await;
}

/// Gives the hub what a node has of a record.
async fn offer(hub: &Site, from: &Site, number: u128) {
    let held = from.held("note", number).await.expect("it is here");
    let mut dictionary = Dictionary::default();
    let state = pack(&held.state, held.seq, Values::Inline, &mut dictionary);
    let rows = vec![Row { type_name: held.type_name, id: held.id, seq: held.seq, state }];
    let page = OfferedPage { partition: notes(), rows, dictionary };
    hub.write(Request::Offer { page, now: hub.now(), relay: false }).await;
}

async fn quarantined(site: &Site) -> Vec<Held> {
    site.store.records(&query(TypeName::QUARANTINE)).await.expect("the store works").items
}

async fn binned(hub: &Site, number: u128) -> Held {
    let held = hub.held("note", number).await.expect("it is here");
    hub.change(&held, vec![bin(&held, true)]).await
}

async fn a_record_that_is_deleted_for_good_goes_from_all_and_stays_away(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    one.create("note", 1, json!({"title": "a"})).await;
    hub.create("note", 2, json!({"title": "stays"})).await;
    let made = one.unsent(1 << 20).await;
    one.push(&hub).await;
    two.pull(&hub, &notes()).await;
    binned(&hub, 1).await;
    purge(&hub, &[("note", id(1))]).await;
    assert!(hub.held("note", 1).await.is_none());
    assert!(hub.store.history(&kind("note"), id(1)).await.expect("works").is_empty());
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        assert!(edge.held("note", 1).await.is_none());
        agree(&hub, edge, &notes()).await;
    }
    assert_eq!(remains(&hub).await, 1);
    receive(&hub, made.clone()).await;
    assert!(hub.held("note", 1).await.is_none(), "all of that was known");
    let before = hub.digest(&notes()).await;
    forget(&hub).await;
    assert_eq!((remains(&hub).await, hub.store.removals().await.expect("works").len()), (0, 0));
    assert_eq!(hub.digest(&notes()).await, before, "forgetting changes nothing that is there");
    let new = kind_of.node(4).await.edge();
    new.pull(&hub, &notes()).await;
    agree(&hub, &new, &notes()).await;
}

async fn nothing_goes_but_what_is_in_the_bin_or_decided(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    hub.create("note", 1, json!({"title": "lives"})).await;
    let made = hub.create("note", 2, json!({"title": "a"})).await;
    one.pull(&hub, &notes()).await;
    one.change(&made, vec![write(&made, "/title", json!("edited"))]).await;
    binned(&hub, 2).await;
    one.push(&hub).await;
    let held = hub.held("note", 2).await.expect("it is here");
    assert!(held.flags.has(Flags::EDITED_AFTER_DELETION));
    purge(&hub, &[("note", id(1)), ("note", id(2)), ("note", id(3))]).await;
    assert!(hub.held("note", 1).await.is_some() && hub.held("note", 2).await.is_some());
    assert_eq!(remains(&hub).await, 0);
    // somebody looked at it, and left it there
    hub.change(&held, vec![bin(&held, true)]).await;
    purge(&hub, &[("note", id(2))]).await;
    assert!(hub.held("note", 2).await.is_none());
    hub.check().await;
}

async fn what_somebody_saved_before_they_heard_brings_all_of_it_back(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    let made = hub.create("note", 1, json!({"title": "a", "n": 1})).await;
    two.pull(&hub, &notes()).await;
    // a value of it was lost, and decided by nobody
    two.change(&made, vec![write(&made, "/n", json!(2))]).await;
    for _ in 0..20 {
        hub.now();
    }
    hub.change(&made, vec![write(&made, "/n", json!(3))]).await;
    two.push(&hub).await;
    assert_eq!(hub.lost().await.len(), 1);
    let in_bin = binned(&hub, 1).await;
    one.pull(&hub, &notes()).await;
    let seen = one.held("note", 1).await.expect("it is in the bin");
    one.change(&seen, vec![bin(&seen, false)]).await;
    purge(&hub, &[("note", id(1))]).await;
    assert!(hub.held("note", 1).await.is_none() && hub.lost().await.is_empty());
    one.pull(&hub, &notes()).await;
    assert!(one.held("note", 1).await.is_some(), "what was saved here stays until it is sent");
    one.push(&hub).await;
    let back = hub.held("note", 1).await.expect("somebody brought it back");
    assert!(!back.state.is_binned());
    assert_eq!(back.document.value, in_bin.document.value);
    assert!(back.flags.has(Flags::LOST), "with what was lost of it");
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        assert_eq!(edge.value("note", 1).await, back.document.value);
        agree(&hub, edge, &notes()).await;
    }
    assert_eq!(remains(&hub).await, 0);
}

async fn an_edit_that_comes_when_it_is_forgotten_is_kept_whole_and_makes_no_record(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    let made = hub.create("note", 1, json!({"title": "a", "n": 1, "o": {"p": [1, 2]}})).await;
    one.pull(&hub, &notes()).await;
    two.pull(&hub, &notes()).await;
    one.change(&made, vec![write(&made, "/title", json!("edited"))]).await;
    let seen = one.held("note", 1).await.expect("it is here");
    one.change(&seen, vec![write(&seen, "/n", json!(7))]).await;
    binned(&hub, 1).await;
    purge(&hub, &[("note", id(1))]).await;
    two.pull(&hub, &notes()).await;
    forget(&hub).await;
    let whole = one.value("note", 1).await;
    one.push(&hub).await;
    assert!(hub.held("note", 1).await.is_none(), "nothing is made of some of its fields");
    let entries = quarantined(&hub).await;
    assert_eq!(entries.len(), 2, "one for each save");
    assert!(entries.iter().all(|entry| entry.document.value["creates"] == json!(false)));
    for _ in 0..2 {
        offer(&hub, &one, 1).await;
        let entries = quarantined(&hub).await;
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.document.value["creates"] == json!(true)), "now it is whole");
        assert!(hub.held("note", 1).await.is_none());
    }
    one.pull(&hub, &notes()).await;
    assert!(one.held("note", 1).await.is_none());
    two.pull(&hub, &notes()).await;
    agree(&hub, &one, &notes()).await;
    agree(&hub, &two, &notes()).await;
    // a person lets it be
    let entry = quarantined(&hub).await.remove(0);
    let by = Author { person: id(9), ..hub.author };
    let admit = Request::Admit { entries: vec![entry.id], save: SaveId(77 << 96), by, now: hub.now() };
    assert_eq!(hub.write(admit).await, Outcome::Done);
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        assert_eq!(edge.value("note", 1).await, whole);
        agree(&hub, edge, &notes()).await;
    }
}

async fn a_creation_that_comes_again_makes_no_record(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    one.create("note", 1, json!({"title": "a"})).await;
    let made = one.unsent(1 << 20).await;
    one.push(&hub).await;
    binned(&hub, 1).await;
    purge(&hub, &[("note", id(1))]).await;
    forget(&hub).await;
    for _ in 0..2 {
        receive(&hub, made.clone()).await;
        assert!(hub.held("note", 1).await.is_none());
        assert_eq!(quarantined(&hub).await.len(), 1, "a person sees it, once");
    }
    hub.check().await;
}

async fn who_has_not_heard_and_knows_nothing_more_only_hears(kind_of: Kind) {
    let (hub, one, _) = pair(kind_of).await;
    hub.create("note", 1, json!({"title": "a"})).await;
    one.pull(&hub, &notes()).await;
    binned(&hub, 1).await;
    purge(&hub, &[("note", id(1))]).await;
    offer(&hub, &one, 1).await;
    assert!(hub.held("note", 1).await.is_none());
    forget(&hub).await;
    offer(&hub, &one, 1).await;
    assert!(hub.held("note", 1).await.is_none() && quarantined(&hub).await.is_empty());
    one.pull(&hub, &notes()).await;
    assert!(one.held("note", 1).await.is_none());
    agree(&hub, &one, &notes()).await;
}

async fn an_entry_that_is_decided_goes_and_is_not_made_again(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    let made = hub.create("note", 1, json!({"n": 1})).await;
    one.pull(&hub, &notes()).await;
    one.change(&made, vec![write(&made, "/n", json!(2))]).await;
    let late = one.unsent(1 << 20).await;
    for _ in 0..20 {
        hub.now();
    }
    hub.change(&made, vec![write(&made, "/n", json!(3))]).await;
    one.push(&hub).await;
    two.pull(&hub, &notes()).await;
    let entry = hub.store.records(&query(TypeName::LOST)).await.expect("works").items.remove(0);
    purge(&hub, &[("_lost", entry.id)]).await;
    assert_eq!(hub.lost().await.len(), 1, "nobody has decided yet");
    hub.change(&entry, vec![write(&entry, "/state", json!("dismissed"))]).await;
    purge(&hub, &[("_lost", entry.id)]).await;
    assert!(hub.lost().await.is_empty());
    receive(&hub, late.clone()).await;
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
    }
    forget(&hub).await;
    receive(&hub, late).await;
    assert!(hub.lost().await.is_empty(), "it was decided");
    for edge in [&one, &two] {
        edge.pull(&hub, &notes()).await;
        assert!(edge.lost().await.is_empty());
        agree(&hub, edge, &notes()).await;
    }
}

async fn removals_are_forgotten_up_to_a_number_and_no_further(kind_of: Kind) {
    let (hub, one, two) = pair(kind_of).await;
    for number in 1..=2 {
        hub.create("job", number, json!({"site": "a"})).await;
    }
    one.pull(&hub, &jobs_at("a")).await;
    let first = hub.held("job", 1).await.expect("it is here");
    let upto = hub.change(&first, vec![write(&first, "/site", json!("b"))]).await.seq;
    two.pull(&hub, &jobs_at("b")).await;
    let second = hub.held("job", 2).await.expect("it is here");
    hub.change(&second, vec![write(&second, "/site", json!("b"))]).await;
    assert_eq!(hub.store.removals().await.expect("works"), [(jobs_at("a"), upto)]);
    let floors = vec![(jobs_at("a"), upto)];
    hub.write(Request::Settle { epoch: EPOCH, floors, remains: Vec::new() }).await;
    let changes = hub.store.changes(&jobs_at("a"), 0, 0, 1 << 20).await.expect("works");
    assert_eq!(changes.moved.iter().map(|moved| moved.id).collect::<Vec<_>>(), [id(2)]);
    assert_eq!(hub.store.removals().await.expect("works"), [(jobs_at("a"), changes.moved[0].seq)]);
    let floor = hub.store.local(FLOOR, &jobs_at("a").0).await.expect("works").expect("it is written down");
    assert_eq!(floor["upto"], json!(upto));
    // who reads on from there hears of the other
    one.pull(&hub, &jobs_at("a")).await;
    assert!(one.held("job", 2).await.is_none());
    hub.check().await;
}

async fn whoever_asks_again_does_not_make_it_anew(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    hub.create("note", 1, json!({"title": "a"})).await;
    binned(&hub, 1).await;
    for forgotten in [false, true] {
        purge(&hub, &[("note", id(1))]).await;
        if forgotten {
            forget(&hub).await;
        }
        let again = hub.save(vec![part("note", id(1), Expect::New, create(json!({"title": "a"})))]).await;
        assert_eq!(again, Outcome::Refused { index: 0, now: None });
    }
    let other = hub.save(vec![part("note", id(2), Expect::New, create(json!({"title": "b"})))]).await;
    assert!(matches!(other, Outcome::Saved(_)));
}

async fn what_is_gone_is_gone_after_a_restart(kind_of: Kind) {
    let hub = kind_of.node(1).await;
    let one = kind_of.node(2).await.edge();
    one.create("note", 1, json!({"title": "a"})).await;
    let made = one.unsent(1 << 20).await;
    one.push(&hub).await;
    binned(&hub, 1).await;
    purge(&hub, &[("note", id(1))]).await;
    let Some(dir) = &hub.dir else { return };
    hub.store.close().await;
    let again = Sqlite::open(&dir.path().join("outpost.db"), hub.rules.clone(), Options::default()).await;
    let again = Site::new(Arc::new(again.expect("it opens")), hub.rules.clone(), None);
    receive(&again, made.clone()).await;
    assert!(again.held("note", 1).await.is_none() && quarantined(&again).await.is_empty());
    forget(&again).await;
    receive(&again, made).await;
    assert!(again.held("note", 1).await.is_none());
    assert_eq!(quarantined(&again).await.len(), 1);
}

/// One step of a history of two edges and a hub that deletes for good and forgets.
#[derive(Debug, Clone)]
enum Step {
    Edit {
        edge: usize,
        number: u128,
    },
    Bin {
        edge: usize,
        number: u128,
        binned: bool,
    },
    Push {
        edge: usize,
    },
    /// The answer is lost; the same comes again.
    Echo {
        edge: usize,
    },
    Pull {
        edge: usize,
    },
    Purge {
        number: u128,
    },
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edge = 0..2usize;
    let number = 1..4u128;
    let step = prop_oneof![
        4 => (edge.clone(), number.clone()).prop_map(|(edge, number)| Step::Edit { edge, number }),
        3 => (edge.clone(), number.clone(), any::<bool>())
            .prop_map(|(edge, number, binned)| Step::Bin { edge, number, binned }),
        3 => edge.clone().prop_map(|edge| Step::Push { edge }),
        1 => edge.clone().prop_map(|edge| Step::Echo { edge }),
        4 => edge.prop_map(|edge| Step::Pull { edge }),
        3 => number.prop_map(|number| Step::Purge { number }),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 1..60)
}

async fn nothing_comes_back_by_itself_and_nothing_is_lost(kind_of: Kind) {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let cases = if kind_of == Kind::Memory { 150 } else { 6 };
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    for _ in 0..cases {
        let steps = steps().new_tree(&mut runner).expect("a history").current();
        history(kind_of, &steps).await;
    }
}

async fn history(kind_of: Kind, steps: &[Step]) {
    let hub = kind_of.node(1).await;
    let edges = [kind_of.node(2).await.edge(), kind_of.node(3).await.edge()];
    for number in 1..4 {
        edges[0].create("note", number, json!({"title": "made", "n": 0})).await;
    }
    let created = edges[0].unsent(1 << 20).await;
    edges[0].push(&hub).await;
    let mut values = Vec::new();
    let mut went = BTreeSet::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Edit { edge, number } => {
                if let Some(held) = edges[*edge].held("note", *number).await.filter(|held| !held.state.is_binned()) {
                    let value = json!(format!("{at}"));
                    edges[*edge].change(&held, vec![write(&held, "/title", value.clone())]).await;
                    values.push((*number, value));
                }
            }
            Step::Bin { edge, number, binned } => {
                let held = edges[*edge].held("note", *number).await;
                if let Some(held) = held.filter(|held| held.state.is_binned() != *binned) {
                    edges[*edge].change(&held, vec![bin(&held, *binned)]).await;
                }
            }
            Step::Push { edge } => edges[*edge].push(&hub).await,
            Step::Echo { edge } => receive(&hub, edges[*edge].unsent(1 << 20).await).await,
            Step::Pull { edge } => edges[*edge].pull(&hub, &notes()).await,
            Step::Purge { number } => {
                purge(&hub, &[("note", id(*number))]).await;
                if hub.held("note", *number).await.is_none() {
                    went.insert(*number);
                }
            }
            Step::Forget => {
                // only when all have heard, with nothing left to send
                for edge in &edges {
                    edge.push(&hub).await;
                    edge.pull(&hub, &notes()).await;
                }
                let head = hub.store.changes(&notes(), 0, 0, 1).await.expect("works").head;
                let mut all = true;
                for edge in &edges {
                    all &= edge.cursor(&notes()).await.base >= head;
                }
                if all {
                    forget(&hub).await;
                }
            }
        }
    }
    for edge in edges.iter().chain(&edges) {
        edge.push(&hub).await;
        edge.pull(&hub, &notes()).await;
    }
    for edge in &edges {
        agree(&hub, edge, &notes()).await;
    }
    let there = [hub.held("note", 1).await, hub.held("note", 2).await, hub.held("note", 3).await];
    let (lost, kept) = (hub.lost().await, quarantined(&hub).await);
    assert!(kept.is_empty(), "nobody was late: {kept:?} after {steps:?}");
    for (number, value) in values {
        let Some(held) = &there[number as usize - 1] else {
            assert!(went.contains(&number), "{number} was never deleted for good: {steps:?}");
            continue;
        };
        let lines = hub.store.history(&kind("note"), held.id).await.expect("works");
        let known = held.document.value["title"] == value
            || lost.iter().any(|lost| lost["value"] == value)
            || lines.iter().any(|line| line.old.as_ref() == Some(&value) || line.new.as_ref() == Some(&value))
            // its history went with it, before somebody brought the record back
            || went.contains(&number);
        assert!(known, "{value} of {number} is gone after {steps:?}");
    }
    // and a twin hands in what it was made with
    receive(&hub, created).await;
    let after = [hub.held("note", 1).await, hub.held("note", 2).await, hub.held("note", 3).await];
    let hashes = |all: &[Option<Held>]| all.iter().map(|held| held.as_ref().map(Held::hash)).collect::<Vec<_>>();
    assert_eq!(hashes(&there), hashes(&after), "nothing comes back by itself after {steps:?}");
    hub.check().await;
}
