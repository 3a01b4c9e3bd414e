//! Records that are deleted for good, between real nodes: nobody is passed over who may still write in them, and who was
//! silent for too long loses nothing.

use std::time::{Duration, Instant};

use outpost::domain::ids::TypeName;
use outpost::domain::protocol::{Enrol, Hello};
use outpost::domain::session::LinkState;
use outpost::node::{BackedUp, Keeping, Link as _, Order};
use outpost::store::{Held, LocalChange, Query, REMAINS, Request, Store, kept_save};
use serde_json::{Value, json};

use super::hops::{below, between};
use super::site::{EdgeNode, HubNode, Key, Kind, note};

const PATIENCE: Duration = Duration::from_secs(20);

/// An admin asks for it.
async fn order(hub: &HubNode, key: &Key) {
    let order = json!(Order { at: 1, person: Default::default() });
    let key = format!("{}/{}", key.0, key.1);
    let change = LocalChange { kind: Order::KIND, key, value: Some(order), expect: None };
    hub.store.write(Request::Local(vec![change])).await.expect("the store works");
}

async fn is_here(store: &dyn Store, key: &Key) -> bool {
    store.record(&key.0, key.1).await.expect("the store works").is_some()
}

async fn until_binned(hub: &HubNode, key: &Key) {
    let began = Instant::now();
    while !hub.store.record(&key.0, key.1).await.expect("the store works").is_some_and(|held| held.state.is_binned()) {
        assert!(began.elapsed() < PATIENCE, "it does not come into the bin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn remains(hub: &HubNode) -> usize {
    hub.store.locals(REMAINS).await.expect("the store works").len()
}

/// Forgets again and again, until it is as it should be.
async fn forgets_until(hub: &HubNode, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    loop {
        hub.hub.forget().await.expect("the store works");
        if is_so().await {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "it is not forgotten");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn quarantined(store: &dyn Store) -> Vec<Held> {
    let type_name = TypeName::built_in(TypeName::QUARANTINE);
    let (filters, sort) = Default::default();
    let query = Query { type_name, filters, sort, binned: false, limit: 100, cursor: None };
    store.records(&query).await.expect("the store works").items
}

async fn waits_for(hub: &HubNode, seconds: i64) {
    let keeping = Keeping { silent: seconds * 1_000, backups: 3_600_000, bin: None };
    keeping.keep(&*hub.store).await.expect("the store works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_deleted_for_good_when_every_node_has_heard_and_then_it_is_forgotten() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let record = hub.person.create(note(), json!({"title": "t"})).await;
        let (one, two) =
            (EdgeNode::join(&hub, kind, json!("all")).await, EdgeNode::join(&hub, kind, json!("all")).await);
        for edge in [&one, &two] {
            edge.person.sees(&record, "/title", json!("t")).await;
            edge.until_in_step().await;
        }
        two.switch.set(false);
        two.until(LinkState::Offline).await;
        one.person.bin(&record, true).await;
        until_binned(&hub, &record).await;
        order(&hub, &record).await;
        // one of them is out of reach, and may write in it
        for _ in 0..3 {
            hub.hub.forget().await.expect("the store works");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(is_here(&*hub.store, &record).await && is_here(&*one.store, &record).await);
        two.switch.set(true);
        two.link.sync_now();
        let hear = || [&one, &two].iter().for_each(|edge| edge.link.sync_now());
        forgets_until(&hub, async || {
            hear();
            !is_here(&*hub.store, &record).await
        })
        .await;
        one.person.is_gone(&record).await;
        two.person.is_gone(&record).await;
        forgets_until(&hub, async || {
            hear();
            remains(&hub).await == 0
        })
        .await;
        assert!(hub.store.removals().await.expect("the store works").is_empty());
        assert!(Order::all(&*hub.store).await.expect("the store works").is_empty());
        for edge in [&one, &two] {
            edge.until_in_step().await;
            edge.stop().await;
        }
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_silent_for_too_long_comes_back_with_all_it_saved_and_nothing_rises_from_the_dead() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let edited = hub.person.create(note(), json!({"title": "t", "place": "p"})).await;
        let untouched = hub.person.create(note(), json!({"title": "u"})).await;
        let kept = hub.person.create(note(), json!({"title": "k", "place": "p"})).await;
        let edge = EdgeNode::join(&hub, kind, json!("all")).await;
        edge.person.sees(&kept, "/title", json!("k")).await;
        edge.until_in_step().await;
        edge.switch.set(false);
        edge.until(LinkState::Offline).await;
        edge.person.set(&edited, "/title", json!("edited out there")).await;
        edge.person.set(&kept, "/title", json!("kept")).await;
        let new = edge.person.create(note(), json!({"title": "new"})).await;
        for record in [&edited, &untouched] {
            hub.person.bin(record, true).await;
            order(&hub, record).await;
        }
        hub.person.set(&kept, "/place", json!("q")).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        waits_for(&hub, 1).await;
        hub.until_it_knows(|node| node.silent).await;
        hub.hub.forget().await.expect("the store works");
        assert!(!is_here(&*hub.store, &edited).await && !is_here(&*hub.store, &untouched).await);
        assert_eq!(remains(&hub).await, 0, "nobody else is waited for");

        edge.switch.set(true);
        edge.link.sync_now();
        hub.person.sees(&new, "/title", json!("new")).await;
        hub.person.sees(&kept, "/title", json!("kept")).await;
        edge.person.sees(&kept, "/place", json!("q")).await;
        edge.person.is_gone(&edited).await;
        edge.person.is_gone(&untouched).await;
        edge.until_in_step().await;
        assert!(!is_here(&*hub.store, &edited).await && !is_here(&*hub.store, &untouched).await);
        // what was typed waits for a person, and with it the whole record; the edge shows it, too
        for store in [&hub.store, &edge.store] {
            let entries = quarantined(&**store).await;
            assert_eq!(entries.len(), 1, "{entries:?}");
            let entry = &entries[0].document.value;
            assert_eq!((&entry["state"], &entry["creates"]), (&json!("open"), &json!(true)));
            assert_eq!(entry["record"], json!(edited.1));
            let whole = format!("{:?}", kept_save(entry).expect("it is kept").records[0].changes);
            assert!(whole.contains("edited out there") && whole.contains("place"), "{whole}");
        }
        edge.stop().await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_with_a_program_that_cannot_compare_is_waited_for_however_long_it_is_silent() {
    let hub = HubNode::start(Kind::Model).await;
    let record = hub.person.create(note(), json!({"title": "t"})).await;
    hub.person.bin(&record, true).await;
    let token = hub.invite(json!("all")).await;
    let enrol = Enrol { token, name: String::new(), secret: "PDaJ5Gd2Tmyl7nVqD0J4jw".into() };
    let enrolled = hub.hub.enrol(&enrol).await.expect("it is let in");
    let node = hub.hub.authenticate(Some(&enrolled.credential)).await.expect("it is known");
    let said = json!({
        "protocols": [1], "node": enrolled.node, "incarnation": "3fea78414035df00", "clock": 0, "waiting": 0, "in_step": false, "partitions": [],
    });
    let old: Hello = serde_json::from_value(said).expect("a hello of before");
    hub.hub.hello(&node, &old).await.expect("it is welcome");
    order(&hub, &record).await;
    waits_for(&hub, -1).await;
    hub.hub.forget().await.expect("the store works");
    assert!(is_here(&*hub.store, &record).await, "it was not told that the record is in the bin");
    hub.until_it_knows(|node| !node.silent).await;

    // with a new program it can be told what it missed
    hub.hub.hello(&node, &Hello { attempt: Some(1), ..old }).await.expect("it is welcome");
    hub.hub.forget().await.expect("the store works");
    assert!(!is_here(&*hub.store, &record).await);
    hub.until_it_knows(|node| node.silent).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_at_second_hand_is_waited_for() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let record = hub.person.create(note(), json!({"title": "t"})).await;
    let (ship, url) = between(&hub, Kind::Sqlite, json!("all")).await;
    let tablet = below(&ship, &url, Kind::Sqlite, json!("all")).await;
    tablet.person.sees(&record, "/title", json!("t")).await;
    tablet.until_in_step().await;
    tablet.switch.set(false);
    tablet.until(LinkState::Offline).await;
    hub.person.bin(&record, true).await;
    order(&hub, &record).await;
    ship.until_in_step().await;
    for _ in 0..5 {
        hub.hub.forget().await.expect("the store works");
        ship.hub.forget().await.expect("the store works");
        ship.link.sync_now();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_here(&*hub.store, &record).await, "the tablet has not heard");
    // and it did write in it: that shows, and the record stays
    tablet.person.set(&record, "/title", json!("edited at second hand")).await;
    tablet.switch.set(true);
    tablet.link.sync_now();
    hub.person.sees(&record, "/title", json!("edited at second hand")).await;
    hub.hub.forget().await.expect("the store works");
    assert!(is_here(&*hub.store, &record).await, "a person looks at it first");
    hub.person.bin(&record, true).await;
    forgets_until(&hub, async || {
        ship.link.sync_now();
        tablet.link.sync_now();
        !is_here(&*hub.store, &record).await
    })
    .await;
    ship.person.is_gone(&record).await;
    tablet.person.is_gone(&record).await;
    forgets_until(&hub, async || {
        ship.link.sync_now();
        tablet.link.sync_now();
        remains(&hub).await == 0
    })
    .await;
    tablet.until_in_step().await;
    ship.until_in_step().await;
    tablet.stop().await;
    ship.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_does_not_hold_yet_is_not_forgotten_while_that_may_be_restored() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let record = hub.person.create(note(), json!({"title": "t"})).await;
    BackedUp::note(&*hub.store, Keeping::default().backups).await.expect("the store works");
    let made = BackedUp::all(&*hub.store).await.expect("the store works");
    assert_eq!(made.len(), 1);
    hub.person.bin(&record, true).await;
    order(&hub, &record).await;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    for (kept_for, is_left) in [(now, true), (3_600_000, false)] {
        Keeping { backups: kept_for, ..Keeping::default() }.keep(&*hub.store).await.expect("the store works");
        hub.hub.forget().await.expect("the store works");
        assert_eq!(is_here(&*hub.store, &record).await, is_left);
    }
    // those that are not restored any more are not remembered
    BackedUp::note(&*hub.store, now).await.expect("the store works");
    let made = BackedUp::all(&*hub.store).await.expect("the store works");
    assert_eq!(made.iter().map(|made| made.at).collect::<Vec<_>>(), [now]);
    let value: Value = hub.store.locals("gone").await.expect("the store works").remove(0).1;
    assert!(value.get("stamp").is_some(), "its name is kept");
    hub.stop().await;
}
