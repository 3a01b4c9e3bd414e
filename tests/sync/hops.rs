//! Edges that serve edges of their own.

use std::time::Duration;

use outpost::domain::session::LinkState;
use outpost::node::{KnownNode, Link as _, LinkStatus, NodeChange, Nodes};
use serde_json::{Value, json};

use crate::site::{EdgeNode, HubNode, Kind, job, note};

/// An edge of the hub that may serve others, and does; and where.
pub async fn between(hub: &HubNode, kind: Kind, scope: Value) -> (EdgeNode, String) {
    let token = hub.hub.invite("ship", scope, true).await.expect("an invitation is made");
    let mut edge = EdgeNode::join_at(&hub.url, &token, kind).await;
    edge.until_in_step().await;
    let url = edge.serve();
    (edge, url)
}

pub async fn below(edge: &EdgeNode, url: &str, kind: Kind, scope: Value) -> EdgeNode {
    let token = edge.hub.invite("tablet", scope, false).await.expect("an invitation is made");
    EdgeNode::join_at(url, &token, kind).await
}

async fn known(hub: &HubNode, name: &str, is_so: impl Fn(&KnownNode) -> bool) {
    hub.until_it_knows(|node| node.name == name && is_so(node)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_two_hops_away_arrives_either_way_and_every_node_knows_how_it_stands() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let early = hub.person.create(note(), json!({"title": "early", "status": "open"})).await;
        let (ship, url) = between(&hub, kind, json!("all")).await;
        let tablet = below(&ship, &url, kind, json!("all")).await;
        tablet.person.sees(&early, "/title", json!("early")).await;
        let new = tablet.person.create(note(), json!({"title": "from the tablet"})).await;
        hub.person.sees(&new, "/title", json!("from the tablet")).await;
        tablet.person.set(&early, "/status", json!("done")).await;
        hub.person.sees(&early, "/status", json!("done")).await;
        hub.person.set(&new, "/title", json!("from the hub")).await;
        tablet.person.sees(&new, "/title", json!("from the hub")).await;
        for edge in [&ship, &tablet] {
            edge.until_in_step().await;
            assert_eq!(edge.store.waiting().await.expect("the store works"), 0);
        }
        known(&hub, "ship", |node| node.in_step && node.via.is_none() && node.relays).await;
        known(&hub, "tablet", |node| node.in_step && node.via.as_deref() == Some("ship")).await;
        for node in [&tablet, &ship] {
            node.stop().await;
        }
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_its_hub_goes_on_together_and_hands_everything_over_later() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let record = hub.person.create(note(), json!({"title": "t", "status": "open", "place": "p"})).await;
    let (ship, url) = between(&hub, Kind::Sqlite, json!("all")).await;
    let one = below(&ship, &url, Kind::Sqlite, json!("all")).await;
    let two = below(&ship, &url, Kind::Model, json!("all")).await;
    for node in [&one, &two] {
        node.person.sees(&record, "/title", json!("t")).await;
    }
    ship.switch.set(false);
    ship.until(LinkState::Offline).await;
    one.person.set(&record, "/title", json!("one")).await;
    two.person.sees(&record, "/title", json!("one")).await;
    two.person.set(&record, "/status", json!("two")).await;
    one.person.sees(&record, "/status", json!("two")).await;
    ship.person.set(&record, "/place", json!("ship")).await;
    two.person.sees(&record, "/place", json!("ship")).await;
    let new = two.person.create(note(), json!({"title": "made out there"})).await;
    one.person.sees(&new, "/title", json!("made out there")).await;
    one.person.set(&new, "/title", json!("and changed there")).await;
    ship.person.sees(&new, "/title", json!("and changed there")).await;
    hub.person.set(&record, "/note", json!("meanwhile")).await;
    assert_eq!(hub.person.value(&record, "/title").await, Some(json!("t")));
    assert!(ship.store.waiting().await.expect("the store works") >= 5);
    // a node below sees that the way further up is cut
    let mut watch = one.link.watch();
    let is_told = |status: &LinkStatus| status.above.as_ref().is_some_and(|above| !above.in_step && above.waiting > 0);
    let told = tokio::time::timeout(Duration::from_secs(20), watch.wait_for(is_told)).await;
    assert!(told.is_ok_and(|told| told.is_ok()), "{:?}", one.link.status());

    ship.switch.set(true);
    for (pointer, value) in [("/title", "one"), ("/status", "two"), ("/place", "ship"), ("/note", "meanwhile")] {
        for person in [&hub.person, &ship.person, &one.person, &two.person] {
            person.sees(&record, pointer, json!(value)).await;
        }
    }
    hub.person.sees(&new, "/title", json!("and changed there")).await;
    for node in [&ship, &one, &two] {
        node.until_in_step().await;
    }
    assert_eq!(hub.lost().await, 0, "nobody wrote over what they had not seen");
    for node in [&one, &two, &ship] {
        node.stop().await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_below_holds_no_more_than_the_one_it_joined() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let seven = hub.person.create(job(), json!({"site": "platform-7", "title": 7})).await;
    let eight = hub.person.create(job(), json!({"site": "platform-8", "title": 8})).await;
    let note = hub.person.create(note(), json!({"title": "n"})).await;
    let (ship, url) = between(&hub, Kind::Sqlite, json!({"job": true})).await;
    let tablet = below(&ship, &url, Kind::Sqlite, json!({"job": ["platform-7"], "note": true})).await;
    tablet.person.sees(&seven, "/title", json!(7)).await;
    tablet.until_in_step().await;
    for outside in [&eight, &note] {
        assert_eq!(tablet.person.value(outside, "/title").await, None);
    }
    // what moves away at the hub goes from both, and comes back to both
    hub.person.set(&seven, "/site", json!("platform-9")).await;
    tablet.person.is_gone(&seven).await;
    hub.person.set(&seven, "/site", json!("platform-7")).await;
    tablet.person.sees(&seven, "/title", json!(7)).await;

    // the scope of the one between shrinks: what it drops goes from those below as well
    let id = hub.hub.list().await.expect("the store works").iter().find(|node| node.via.is_none()).expect("a node").id;
    let scope = json!({"job": ["platform-8"]});
    hub.hub.change(id, NodeChange { scope: Some(scope), relays: None }).await.expect("the node is known");
    ship.person.is_gone(&seven).await;
    tablet.person.is_gone(&seven).await;
    for node in [&ship, &tablet] {
        node.until_in_step().await;
    }
    // and when it may not serve others any more, they are told
    let none = NodeChange { scope: None, relays: Some(false) };
    hub.hub.change(id, none).await.expect("the node is known");
    tablet.until(LinkState::Offline).await;
    let reason = tablet.link.status().reason.expect("a reason");
    assert!(reason.contains("does not let it serve others"), "{reason}");
    for node in [&tablet, &ship] {
        node.stop().await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_serves_nobody_unless_its_hub_lets_it() {
    let hub = HubNode::start(Kind::Model).await;
    let mut edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.until_in_step().await;
    let url = edge.serve();
    assert!(!edge.hub.serves());
    let token = edge.hub.invite("tablet", json!("all"), false).await.expect("a token is only a token");
    let world = crate::site::Real::new(77);
    let store = crate::site::store(Kind::Model).await.0;
    let refused = outpost::sync::enrol(&*store, &*world, &url, &token, "tablet").await.expect_err("it may not");
    assert!(refused.to_string().contains("does not let it serve others"), "{refused}");
    // once it may, the same token works
    let id = hub.hub.list().await.expect("the store works")[0].id;
    let change = NodeChange { scope: None, relays: Some(true) };
    hub.hub.change(id, change).await.expect("the node is known");
    while !edge.hub.serves() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tablet = EdgeNode::join_at(&url, &token, Kind::Model).await;
    tablet.until_in_step().await;
    for node in [&tablet, &edge] {
        node.stop().await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nodes_below_wrote_comes_back_through_the_one_that_serves_them_when_the_hub_was_restored() {
    let mut hub = HubNode::start(Kind::Sqlite).await;
    let before = hub.person.create(note(), json!({"title": "before", "status": "old"})).await;
    let (ship, url) = between(&hub, Kind::Sqlite, json!("all")).await;
    let tablet = below(&ship, &url, Kind::Sqlite, json!("all")).await;
    tablet.person.sees(&before, "/title", json!("before")).await;
    let copy = hub.copy().await;
    tablet.person.set(&before, "/status", json!("new")).await;
    let made = tablet.person.create(note(), json!({"title": "made below"})).await;
    hub.person.sees(&before, "/status", json!("new")).await;
    hub.person.sees(&made, "/title", json!("made below")).await;
    ship.until_in_step().await;
    tablet.until_in_step().await;

    hub.put_back(copy).await;
    hub.restored().await;
    assert_eq!(hub.person.value(&made, "/title").await, None);
    // somebody goes on at the hub, and somebody below, before the ship says a word
    hub.person.set(&before, "/title", json!("at the hub")).await;
    tablet.person.set(&made, "/status", json!("later")).await;
    ship.link.sync_now();
    hub.person.sees(&before, "/status", json!("new")).await;
    hub.person.sees(&made, "/title", json!("made below")).await;
    hub.person.sees(&made, "/status", json!("later")).await;
    for edge in [&ship, &tablet] {
        edge.person.sees(&before, "/title", json!("at the hub")).await;
        edge.person.sees(&before, "/status", json!("new")).await;
        edge.until_in_step().await;
    }
    known(&hub, "ship", |node| node.in_step).await;
    for edge in [&tablet, &ship] {
        edge.stop().await;
    }
    hub.stop().await;
}
