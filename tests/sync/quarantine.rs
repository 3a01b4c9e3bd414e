//! Saves that the hub may not accept, between real nodes.

use std::time::Duration;

use outpost::domain::ids::{SaveId, THE_HUB, TypeName};
use outpost::domain::session::LinkState;
use outpost::domain::stamp::Author;
use outpost::node::{Link as _, Nodes};
use outpost::store::{Held, Outcome, Query, Request, Store};
use serde_json::{Value, json};

use crate::hops::{below, between};
use crate::site::{EdgeNode, HubNode, Kind, note};

async fn entries(store: &dyn Store) -> Vec<Held> {
    let query = Query {
        type_name: TypeName::built_in(TypeName::QUARANTINE),
        filters: Vec::new(),
        sort: Vec::new(),
        binned: false,
        limit: 100,
        cursor: None,
    };
    store.records(&query).await.expect("the store works").items
}

/// One entry, at the hub and at the edge.
async fn entry(hub: &HubNode, edge: &EdgeNode) -> Value {
    let [there, here] = [entries(&*hub.store).await, entries(&*edge.store).await];
    assert_eq!((there.len(), here.len()), (1, 1));
    assert_eq!(there[0].document, here[0].document);
    there[0].document.value.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_withdrawn_while_the_edge_was_away_puts_its_saves_into_quarantine_and_both_are_in_step() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let edge = EdgeNode::join(&hub, kind, json!("all")).await;
        let record = hub.person.create(note(), json!({"title": "a", "status": "open"})).await;
        edge.person.sees(&record, "/title", json!("a")).await;
        edge.until_in_step().await;
        edge.switch.set(false);
        edge.person.set(&record, "/title", json!("b")).await;
        hub.person.set(&record, "/status", json!("done")).await;
        *hub.withdrawn.lock().expect("no panic") = Some("Ingrid may not sign in any more".into());
        edge.switch.set(true);
        edge.until_waiting(0).await;
        edge.person.sees(&record, "/title", json!("a")).await;
        edge.person.sees(&record, "/status", json!("done")).await;
        edge.until_in_step().await;
        let entry = entry(&hub, &edge).await;
        assert_eq!(entry["reason"], json!("Ingrid may not sign in any more"));
        assert_eq!((&entry["record"], &entry["state"]), (&json!(record.1), &json!("open")));
        let history = edge.store.history(&record.0, record.1).await.expect("the store works");
        assert!(history.iter().any(|line| line.stamp.author.person == THE_HUB && line.new == Some(json!("a"))));
        assert!(outpost::sync::set_aside(&*edge.store).await.expect("the store works").is_empty());
        edge.stop().await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_save_in_the_middle_of_a_queue_holds_up_no_other() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let record = hub.person.create(note(), json!({"title": "a"})).await;
    edge.person.sees(&record, "/title", json!("a")).await;
    edge.switch.set(false);
    edge.person.set(&record, "/status", json!("before")).await;
    edge.person.set(&record, "/title", json!({"title": "forbidden"})).await;
    edge.person.set(&record, "/after", json!(1)).await;
    let fine = edge.person.create(note(), json!({"title": "fine"})).await;
    edge.switch.set(true);
    hub.person.sees(&fine, "/title", json!("fine")).await;
    hub.person.sees(&record, "/after", json!(1)).await;
    hub.person.sees(&record, "/status", json!("before")).await;
    edge.person.sees(&record, "/title", json!("a")).await;
    edge.until_in_step().await;
    assert_eq!(entry(&hub, &edge).await["reason"], json!("not permitted here"));
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_creation_leaves_its_edge_and_comes_back_when_it_is_admitted() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    edge.until_in_step().await;
    edge.switch.set(false);
    let denied = edge.person.create(note(), json!({"title": "forbidden"})).await;
    edge.person.set(&denied, "/status", json!("edited")).await;
    edge.switch.set(true);
    edge.until_waiting(0).await;
    edge.person.is_gone(&denied).await;
    edge.until_in_step().await;
    let held = entries(&*hub.store).await.remove(0);
    let entry = entry(&hub, &edge).await;
    assert_eq!((&entry["creates"], entry["waiting"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    let by = Author { node: hub.identity.node, incarnation: hub.identity.incarnation, ..Author::default() };
    let admit = Request::Admit {
        entries: vec![held.id],
        save: SaveId(1 << 100),
        by,
        now: entry["received"].as_i64().expect("a time"),
    };
    assert_eq!(hub.store.write(admit).await.expect("the store works"), Outcome::Done);
    for person in [&hub.person, &edge.person] {
        person.sees(&denied, "/title", json!("forbidden")).await;
        person.sees(&denied, "/status", json!("edited")).await;
    }
    edge.until_in_step().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_hands_over_what_it_has_and_rests() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let record = hub.person.create(note(), json!({"title": 1})).await;
    edge.person.sees(&record, "/title", json!(1)).await;
    edge.until_in_step().await;
    edge.switch.set(false);
    edge.person.set(&record, "/title", json!(2)).await;
    edge.person.create(note(), json!({"title": "new"})).await;
    let node = hub.hub.list().await.expect("the store works").remove(0);
    hub.hub.revoke(node.id).await.expect("the node is known");
    hub.person.set(&record, "/status", json!("later")).await;
    edge.switch.set(true);
    edge.until(LinkState::Refused).await;
    edge.until_waiting(0).await;
    let kept = entries(&*hub.store).await;
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|entry| entry.document.value["reason"] == json!("the device it was made on was revoked")));
    assert_eq!(hub.person.value(&record, "/title").await, Some(json!(1)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(edge.link.status().state, LinkState::Refused);
    assert_eq!(edge.person.value(&record, "/status").await, None, "it is given nothing");
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_permitted_comes_back_over_an_edge_that_serves_others_as_well() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let record = hub.person.create(note(), json!({"title": "a"})).await;
        let (ship, url) = between(&hub, kind, json!("all")).await;
        let tablet = below(&ship, &url, kind, json!("all")).await;
        tablet.person.sees(&record, "/title", json!("a")).await;
        ship.switch.set(false);
        tablet.person.set(&record, "/title", json!("b")).await;
        let made = tablet.person.create(note(), json!({"title": "new"})).await;
        ship.person.sees(&record, "/title", json!("b")).await;
        ship.person.sees(&made, "/title", json!("new")).await;
        *hub.withdrawn.lock().expect("no panic") = Some("not any more".into());
        ship.switch.set(true);
        for edge in [&ship, &tablet] {
            edge.person.sees(&record, "/title", json!("a")).await;
            edge.person.is_gone(&made).await;
            edge.until_in_step().await;
            assert_eq!(entries(&*edge.store).await.len(), 2);
        }
        for node in [&tablet, &ship] {
            node.stop().await;
        }
        hub.stop().await;
    }
}
