//! How far a record has come, asked where people look at it.

use std::time::{Duration, Instant};

use outpost::domain::feed::Digest;
use outpost::domain::session::LinkState;
use outpost::node::{Link as _, Nodes as _, Reached, Sought};
use serde_json::json;

use crate::hops::{below, between};
use crate::site::{EdgeNode, HubNode, Key, Kind, job};

async fn sought(edge: &EdgeNode, key: &Key) -> Sought {
    let held = edge.store.record(&key.0, key.1).await.expect("the store works").expect("it is here");
    Sought { type_name: key.0.clone(), id: key.1, hash: Digest(held.hash().0) }
}

async fn told(edge: &EdgeNode, key: &Key) -> Option<Reached> {
    let sought = [sought(edge, key).await];
    edge.link.reach(&sought, Duration::from_millis(300)).await[0]
}

/// Asks as a page does that is open, until it has come so far.
async fn comes(edge: &EdgeNode, key: &Key, have: u64, of: u64) {
    let began = Instant::now();
    loop {
        let reached = told(edge, key).await;
        let sites = reached.and_then(|reached| reached.sites).map(|sites| (sites.have, sites.of));
        if sites == Some((have, of)) {
            assert!(reached.is_some_and(|reached| reached.at_hub));
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{reached:?}, not on {have} of {of}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the hub knows which sites have it, those first that do not.
async fn has(hub: &HubNode, key: &Key, wanted: &[(&str, bool)]) {
    let began = Instant::now();
    loop {
        let have = have(hub, key).await;
        if have.iter().map(|(name, has)| (name.as_str(), *has)).eq(wanted.iter().copied()) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{have:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn have(hub: &HubNode, key: &Key) -> Vec<(String, bool)> {
    let held = hub.store.record(&key.0, key.1).await.expect("the store works").expect("it is here");
    let holders = hub.hub.holders(&held.partition, held.seq).await.expect("the store works");
    let counted = hub.hub.sites(&[(held.partition, held.seq)]).await.expect("the store works")[0];
    assert_eq!(counted.of, holders.len() as u64);
    holders.into_iter().map(|holder| (holder.name, holder.has)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_and_the_hub_know_on_how_many_sites_a_record_is() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let join = async |name: &str, scope| {
            let token = hub.hub.invite(name, scope, false).await.expect("an invitation is made");
            EdgeNode::join_at(&hub.url, &token, kind).await
        };
        let seven = join("seven", json!({"job": ["platform-7"]})).await;
        let boat = join("boat", json!({"job": true})).await;
        let nine = join("nine", json!({"job": ["platform-9"]})).await;
        for edge in [&seven, &boat, &nine] {
            edge.until_in_step().await;
        }
        boat.switch.set(false);
        boat.until(LinkState::Offline).await;
        let record = seven.person.create(job(), json!({"site": "platform-7", "title": 1})).await;
        hub.person.sees(&record, "/title", json!(1)).await;
        seven.until_in_step().await;
        // the one that may not hold it does not count, and the one that made it does at once
        comes(&seven, &record, 1, 2).await;
        has(&hub, &record, &[("boat", false), ("seven", true)]).await;
        boat.switch.set(true);
        boat.person.sees(&record, "/title", json!(1)).await;
        comes(&seven, &record, 2, 2).await;
        has(&hub, &record, &[("boat", true), ("seven", true)]).await;

        // a later save has to come everywhere anew
        boat.switch.set(false);
        boat.until(LinkState::Offline).await;
        let known = told(&boat, &record).await;
        hub.person.set(&record, "/title", json!(2)).await;
        seven.person.sees(&record, "/title", json!(2)).await;
        comes(&seven, &record, 1, 2).await;
        // out of reach nobody is waited for, and what was told last stands with its time
        let began = Instant::now();
        assert_eq!(told(&boat, &record).await, known);
        assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
        // what was saved since is another version, of which nothing was told
        boat.person.set(&record, "/title", json!(3)).await;
        assert_eq!(told(&boat, &record).await, None);

        // what an edge may not hold is as if it were not there
        let mut foreign = sought(&seven, &record).await;
        assert_eq!(nine.link.reach(std::slice::from_ref(&foreign), Duration::from_secs(2)).await, [None]);
        foreign.id = uuid::Uuid::from_u128(1);
        assert_eq!(seven.link.reach(&[foreign], Duration::from_secs(2)).await, [None]);

        // a withdrawn node is no site any more
        let boat_id = boat.identity.node;
        hub.hub.revoke(boat_id).await.expect("the node is known");
        comes(&seven, &record, 1, 1).await;
        for edge in [&seven, &boat, &nine] {
            edge.stop().await;
        }
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_below_an_edge_knows_it_too_and_counts() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let (ship, url) = between(&hub, Kind::Sqlite, json!({"job": true})).await;
    let one = below(&ship, &url, Kind::Sqlite, json!({"job": true})).await;
    let two = below(&ship, &url, Kind::Model, json!({"job": ["platform-9"]})).await;
    for edge in [&one, &two] {
        edge.until_in_step().await;
    }
    let record = one.person.create(job(), json!({"site": "platform-7", "title": 1})).await;
    hub.person.sees(&record, "/title", json!(1)).await;
    // the ship and the tablet that made it; the other one may not hold it
    comes(&one, &record, 2, 2).await;
    comes(&ship, &record, 2, 2).await;
    // cut off from the hub, it is on the ship and not at the hub
    ship.switch.set(false);
    ship.until(LinkState::Offline).await;
    one.person.set(&record, "/title", json!(2)).await;
    ship.person.sees(&record, "/title", json!(2)).await;
    one.until_waiting(0).await;
    let reached = told(&one, &record).await.expect("the ship answers");
    assert_eq!((reached.at_hub, reached.sites), (false, None));
    ship.switch.set(true);
    hub.person.sees(&record, "/title", json!(2)).await;
    comes(&one, &record, 2, 2).await;
    assert!(hub.hub.sites(&[]).await.expect("the store works").is_empty());
    has(&hub, &record, &[("ship", true), ("tablet", true)]).await;
    for edge in [&one, &two, &ship] {
        edge.stop().await;
    }
    hub.stop().await;
}
