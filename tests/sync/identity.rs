//! Data that is copied, or put back to an earlier state: whatever anybody was told is saved is there on all nodes.

use outpost::domain::ids::Incarnation;
use outpost::domain::protocol::{Failure, Hello, PROTOCOLS};
use outpost::domain::session::LinkState;
use outpost::node::{Identity, Link as _, Noticed};
use outpost::sync::{HttpTransport, Switch, Transport};
use serde_json::json;

use super::site::{EdgeNode, HubNode, Kind, Person, copied, job, note};

async fn incarnation(edge: &EdgeNode) -> Incarnation {
    Identity::load(&*edge.store).await.expect("the store works").expect("it has joined").incarnation
}

/// All of these say the same of all of these records.
async fn all_see(people: &[&Person], saved: &[(&super::site::Key, &str)]) {
    for person in people {
        for (key, title) in saved {
            person.sees(key, "/title", json!(title)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_edge_and_its_original_both_go_on_and_keep_all_their_work() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let before = edge.person.create(note(), json!({"title": "before"})).await;
    edge.until_in_step().await;
    let lives = incarnation(&edge).await;
    let files = edge.sleep().await;
    let copy = copied(&files);
    let (one, other) = (EdgeNode::wake(files).await, EdgeNode::wake(copy).await);
    let first = one.person.create(note(), json!({"title": "first"})).await;
    let second = other.person.create(note(), json!({"title": "second"})).await;
    let saved = [(&before, "before"), (&first, "first"), (&second, "second")];
    all_see(&[&hub.person, &one.person, &other.person], &saved).await;
    // whoever speaks again finds out, whichever it is
    for _ in 0..2 {
        for edge in [&one, &other] {
            edge.person.set(&before, "/title", json!("again")).await;
            edge.until_waiting(0).await;
            edge.until_in_step().await;
        }
    }
    hub.until_it_knows(|node| node.past.is_some_and(|past| past.noticed == Noticed::RunsTwice)).await;
    let now = [incarnation(&one).await, incarnation(&other).await];
    assert!(now[0] != now[1] && now.contains(&lives), "one of them has taken a new incarnation: {now:?}, {lives}");
    let renewed = if now[0] == lives { &other } else { &one };
    assert!(renewed.link.status().reason.is_some_and(|reason| reason.contains("copied or put back")));
    assert!(renewed.link.status().noticed.is_some());
    let third = renewed.person.create(note(), json!({"title": "third"})).await;
    all_see(&[&hub.person, &one.person, &other.person], &[(&third, "third"), (&before, "again")]).await;
    one.stop().await;
    other.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_put_back_gets_all_it_had_sent_and_keeps_what_waited_in_the_copy() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    edge.until_in_step().await;
    edge.link.pause();
    edge.until(LinkState::Paused).await;
    let waits = edge.person.create(note(), json!({"title": "waits"})).await;
    let files = edge.sleep().await;
    let copy = copied(&files);
    let edge = EdgeNode::wake(files).await;
    edge.link.resume();
    edge.until_in_step().await;
    let lives = incarnation(&edge).await;
    let later = edge.person.create(note(), json!({"title": "later"})).await;
    edge.person.set(&waits, "/title", json!("changed")).await;
    all_see(&[&hub.person], &[(&waits, "changed"), (&later, "later")]).await;
    edge.until_in_step().await;
    edge.stop().await;

    let edge = EdgeNode::wake(copy).await;
    edge.link.resume();
    let new = edge.person.create(note(), json!({"title": "new"})).await;
    let saved = [(&waits, "changed"), (&later, "later"), (&new, "new")];
    all_see(&[&hub.person, &edge.person], &saved).await;
    edge.until_in_step().await;
    assert_ne!(incarnation(&edge).await, lives);
    // it says so over a restart, until a person has seen it
    let mut edge = edge;
    let noticed = edge.link.status().noticed;
    assert!(noticed.is_some());
    edge.restart().await;
    edge.until_in_step().await;
    let status = edge.link.status();
    assert_eq!(status.noticed, noticed);
    assert!(status.reason.is_some_and(|reason| reason.contains("copied or put back")));
    edge.link.put_away();
    let mut watch = edge.link.watch();
    let gone = watch.wait_for(|status| status.noticed.is_none());
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("soon").expect("it runs");
    edge.restart().await;
    edge.until_in_step().await;
    assert_eq!(edge.link.status().noticed, None);
    hub.until_it_knows(|node| node.past.is_some_and(|past| past.noticed == Noticed::PutBack) && node.in_step).await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_and_an_echo_are_no_clone_and_an_old_value_is() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.link.stop().await;
    let transport = HttpTransport::new(&hub.url, edge.credential(), Switch::default()).expect("an address");
    let mut attempt = 0;
    let mut hello = async |ratchet: Option<u64>, echo: bool| {
        attempt += u64::from(!echo);
        let hello = Hello {
            protocols: PROTOCOLS.to_vec(),
            node: edge.identity.node,
            incarnation: Incarnation(77),
            clock: 0,
            waiting: 0,
            in_step: false,
            partitions: Vec::new(),
            ratchet,
            attempt: Some(attempt),
            below: Vec::new(),
            settled: None,
        };
        transport.hello(&hello).await.map(|welcome| welcome.ratchet.expect("a ratchet is given"))
    };
    let lost = hello(None, false).await.expect("never seen");
    let first = hello(None, false).await.expect("the answer was lost");
    assert_ne!(lost, first);
    let second = hello(Some(first), false).await.expect("the current one");
    assert_eq!(hello(Some(first), true).await, Ok(second), "an echo");
    let again = hello(Some(first), false).await.expect("the answer was lost");
    assert_ne!(second, again, "never the same answer twice");
    for old in [Some(second), Some(lost), None, Some(1)] {
        let told = hello(old, false).await;
        assert!(matches!(&told, Err(Failure::Twin(why)) if why.contains("new incarnation")), "{told:?}");
    }
    hello(Some(again), false).await.expect("and the other is not stopped");
    edge.stop().await;
    hub.stop().await;
}

/// A hub and an edge in step, and the hub's files from before the second record.
async fn a_hub_put_back(numbers_given_again: u32) -> (HubNode, EdgeNode, Vec<super::site::Key>) {
    let mut hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let before = hub.person.create(note(), json!({"title": "before", "status": "old"})).await;
    edge.person.sees(&before, "/title", json!("before")).await;
    let copy = hub.copy().await;
    let after = hub.person.create(note(), json!({"title": "after"})).await;
    let from_edge = edge.person.create(note(), json!({"title": "from the edge"})).await;
    let moved = edge.person.create(job(), json!({"title": "a job", "site": "a"})).await;
    edge.person.sees(&after, "/title", json!("after")).await;
    edge.person.set(&before, "/status", json!("new")).await;
    edge.until_waiting(0).await;
    edge.until_in_step().await;
    edge.switch.set(false);
    edge.until(LinkState::Offline).await;
    let unsent = edge.person.create(note(), json!({"title": "unsent"})).await;
    hub.put_back(copy).await;
    assert_eq!(hub.person.value(&after, "/title").await, None);
    let mut keys = vec![before, after, from_edge, moved, unsent];
    for _ in 0..numbers_given_again {
        keys.push(hub.person.create(note(), json!({"title": "again"})).await);
    }
    (hub, edge, keys)
}

async fn all_is_there_again(hub: &HubNode, edge: &EdgeNode, keys: &[super::site::Key]) {
    edge.switch.set(true);
    let titles = ["before", "after", "from the edge", "a job", "unsent"].into_iter().chain(std::iter::repeat("again"));
    let saved: Vec<_> = keys.iter().zip(titles).collect();
    all_see(&[&hub.person, &edge.person], &saved).await;
    hub.person.sees(&keys[0], "/status", json!("new")).await;
    edge.until_in_step().await;
    assert_eq!(hub.store.partitions().await.expect("the store works").len(), 2);
    for (here, there) in [(&hub.store, &edge.store), (&edge.store, &hub.store)] {
        let digests = there.recompute_digests().await.expect("the store works");
        assert_eq!(here.recompute_digests().await.expect("the store works"), digests);
    }
    assert_eq!(hub.lost().await, 0, "nobody's value lost by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_put_back_gets_back_what_its_edges_hold() {
    for numbers_given_again in [0, 1, 40] {
        let (hub, edge, keys) = a_hub_put_back(numbers_given_again).await;
        all_is_there_again(&hub, &edge, &keys).await;
        let next = hub.person.create(note(), json!({"title": "next"})).await;
        all_see(&[&edge.person], &[(&next, "next")]).await;
        edge.stop().await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_was_restored_gets_back_what_its_edges_hold_also_when_it_is_cut_off_meanwhile() {
    let (mut hub, edge, keys) = a_hub_put_back(3).await;
    hub.restored().await;
    edge.switch.set(true);
    edge.switch.set(false);
    all_is_there_again(&hub, &edge, &keys).await;
    let cursor = edge.cursor(&outpost::domain::ids::Partition::of_type(&note())).await;
    assert_eq!(cursor.map(|cursor| cursor.epoch), Some(hub.epoch()));
    // another edge that had the same, and was away
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_hub_gets_back_whole_what_left_the_scope_of_an_edge_meanwhile() {
    let mut hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!({"note": true, "job": ["a"]})).await;
    let first = hub.person.create(note(), json!({"title": "first"})).await;
    edge.person.sees(&first, "/title", json!("first")).await;
    let copy = hub.copy().await;
    let moved = edge.person.create(job(), json!({"title": "a job", "site": "a"})).await;
    edge.until_waiting(0).await;
    edge.until_in_step().await;
    edge.switch.set(false);
    edge.until(LinkState::Offline).await;
    edge.person.set(&moved, "/site", json!("b")).await;
    hub.put_back(copy).await;
    hub.restored().await;
    assert_eq!(hub.person.value(&moved, "/title").await, None);
    edge.switch.set(true);
    edge.link.sync_now();
    hub.person.sees(&moved, "/site", json!("b")).await;
    assert_eq!(hub.person.value(&moved, "/title").await, Some(json!("a job")));
    edge.person.is_gone(&moved).await;
    edge.until_in_step().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_lost_with_the_hub_and_is_beaten_when_it_comes_back_is_kept() {
    let (hub, edge, keys) = a_hub_put_back(0).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    hub.person.set(&keys[0], "/status", json!("other")).await;
    edge.switch.set(true);
    edge.person.sees(&keys[0], "/status", json!("other")).await;
    edge.until_in_step().await;
    assert_eq!(hub.lost().await, 1, "what the edge had written is kept as lost");
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_are_brought_together_in_stretches_from_either_side() {
    let mut hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let first = hub.person.create(note(), json!({"title": 0})).await;
    edge.person.sees(&first, "/title", json!(0)).await;
    let copy = hub.copy().await;
    let mut last = hub.person.create(note(), json!({"title": 1})).await;
    for n in 0..400 {
        last = hub.person.create(note(), json!({"title": n})).await;
    }
    edge.person.sees(&last, "/title", json!(399)).await;
    edge.until_in_step().await;
    edge.switch.set(false);
    edge.until(LinkState::Offline).await;
    hub.put_back(copy).await;
    for n in 0..600 {
        hub.person.create(note(), json!({"title": n})).await;
    }
    edge.switch.set(true);
    hub.person.sees(&last, "/title", json!(399)).await;
    edge.until_in_step().await;
    for store in [&hub.store, &edge.store] {
        assert_eq!(store.tallies().await.expect("the store works")[0].living, 1_002);
    }
    edge.stop().await;
    hub.stop().await;
}
