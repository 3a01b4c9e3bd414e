//! Nodes that speak over real sockets: a hub on a free port, edges with their running links.

#[path = "sync/bad_input.rs"]
mod bad_input;
#[path = "sync/blobs.rs"]
mod blobs;
#[path = "sync/document.rs"]
mod document;
#[path = "sync/first_copy.rs"]
mod first_copy;
#[path = "sync/forgetting.rs"]
mod forgetting;
#[path = "sync/hops.rs"]
mod hops;
#[path = "sync/identity.rs"]
mod identity;
#[path = "sync/peers.rs"]
mod peers;
#[path = "sync/quarantine.rs"]
mod quarantine;
#[path = "sync/reach.rs"]
mod reach;
#[path = "sync/site.rs"]
mod site;
#[path = "sync/terse.rs"]
mod terse;
#[path = "sync/texts.rs"]
mod texts;

use std::time::{Duration, Instant};

use outpost::domain::ids::{Epoch, Partition};
use outpost::domain::session::LinkState;
use outpost::node::{Link as _, NodeChange, Nodes};
use outpost::sync::{HttpTransport, LiveEvent, Switch, Transport};
use serde_json::{Value, json};

use site::{EdgeNode, HubNode, Kind, job, note};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_on_either_side_is_soon_on_both_and_both_know_it() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let early = hub.person.create(note(), json!({"title": "early"})).await;
        let edge = EdgeNode::join(&hub, kind, json!("all")).await;
        edge.until_in_step().await;
        edge.person.sees(&early, "/title", json!("early")).await;

        let there = hub.person.create(note(), json!({"title": 1, "status": "open"})).await;
        edge.person.sees(&there, "/title", json!(1)).await;
        edge.person.set(&there, "/title", json!(2)).await;
        hub.person.sees(&there, "/title", json!(2)).await;
        let here = edge.person.create(note(), json!({"title": "from the edge"})).await;
        hub.person.sees(&here, "/title", json!("from the edge")).await;

        edge.until_in_step().await;
        let status = edge.link.status();
        assert_eq!((status.pending_out, status.pending_in, status.in_step), (0, 0, true), "{status:?}");
        assert!(status.last_contact.is_some() && status.clock_ahead.is_some_and(|ahead| ahead.abs() < 1_000));
        hub.until_it_knows(|node| node.in_step && node.behind == Some(0) && node.waiting == Some(0)).await;
        edge.stop().await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_hears_what_its_hub_is_called_now_and_knows_it_after_a_restart() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let mut edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    edge.until_in_step().await;
    assert_eq!(edge.link.status().hub_name, "Tern Bay hub");
    hub.rename("Tern Bay, new").await;
    edge.link.sync_now();
    let mut watch = edge.link.watch();
    let heard = watch.wait_for(|status| status.hub_name == "Tern Bay, new");
    tokio::time::timeout(Duration::from_secs(20), heard).await.expect("soon").expect("it runs");
    hub.stop().await;
    edge.restart().await;
    assert_eq!(edge.link.status().hub_name, "Tern Bay, new");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_visible_on_the_other_node_at_once() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let record = hub.person.create(note(), json!({"title": 0})).await;
    edge.person.sees(&record, "/title", json!(0)).await;
    edge.until_in_step().await;
    for (name, from, to) in [("hub to edge", &hub.person, &edge.person), ("edge to hub", &edge.person, &hub.person)] {
        let mut times = Vec::new();
        for n in 1..=40 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            from.set(&record, "/title", json!(format!("{name} {n}"))).await;
            let saved = Instant::now();
            to.sees(&record, "/title", json!(format!("{name} {n}"))).await;
            times.push(saved.elapsed());
        }
        times.sort();
        let (p50, p99) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{name}: p50 {p50:?}, slowest of 40 {p99:?}");
        // the goal is 10 ms on a quiet machine; tests run on busy ones
        assert!(p50 < Duration::from_millis(250), "{name}: {times:?}");
    }
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_link_is_cut_both_sides_work_and_then_both_edits_stand_in_one_record() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let record = hub.person.create(note(), json!({"title": "a", "status": "b"})).await;
    edge.person.sees(&record, "/title", json!("a")).await;
    edge.until_in_step().await;

    edge.switch.set(false);
    edge.until(LinkState::Offline).await;
    assert!(edge.link.status().reason.is_some_and(|reason| reason.contains("cut")));
    hub.person.set(&record, "/title", json!("hub")).await;
    edge.person.set(&record, "/status", json!("edge")).await;
    edge.person.create(note(), json!({"title": "meanwhile"})).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(edge.link.status().pending_out, 2);
    assert_eq!(edge.person.value(&record, "/title").await, Some(json!("a")));

    edge.switch.set(true);
    for person in [&hub.person, &edge.person] {
        person.sees(&record, "/title", json!("hub")).await;
        person.sees(&record, "/status", json!("edge")).await;
    }
    edge.until_in_step().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_holds_its_scope_and_nothing_else() {
    let hub = HubNode::start(Kind::Model).await;
    let mine = hub.person.create(job(), json!({"site": "platform-7", "title": 1})).await;
    let other = hub.person.create(job(), json!({"site": "platform-8", "title": 2})).await;
    let note = hub.person.create(note(), json!({"title": 3})).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!({"job": ["platform-7"]})).await;
    edge.person.sees(&mine, "/title", json!(1)).await;
    edge.until_in_step().await;
    for outside in [&other, &note] {
        assert_eq!(edge.person.value(outside, "/title").await, None);
    }
    // what moves away goes, what moves here comes whole
    hub.person.set(&mine, "/site", json!("platform-8")).await;
    hub.person.set(&other, "/site", json!("platform-7")).await;
    edge.person.sees(&other, "/title", json!(2)).await;
    edge.person.is_gone(&mine).await;
    edge.until_in_step().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_scope_changes_fetches_and_drops_only_the_difference() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let [seven, eight] = ["platform-7", "platform-8"].map(|site| json!({"site": site, "title": site}));
    let seven = hub.person.create(job(), seven).await;
    let eight = hub.person.create(job(), eight).await;
    let note = hub.person.create(note(), json!({"title": "n"})).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!({"job": ["platform-7"], "note": true})).await;
    edge.person.sees(&seven, "/title", json!("platform-7")).await;
    edge.until_in_step().await;
    let notes = Partition::of_type(&self::note());
    let before = edge.cursor(&notes).await;
    let id = hub.hub.list().await.expect("the store works")[0].id;
    let to = |scope: Value| NodeChange { scope: Some(scope), relays: None };

    // it hears of it at once, without a word from its side
    hub.hub.change(id, to(json!({"job": ["platform-8"], "note": true}))).await.expect("the node is known");
    edge.person.sees(&eight, "/title", json!("platform-8")).await;
    edge.person.is_gone(&seven).await;
    edge.until_in_step().await;
    assert_eq!(edge.cursor(&notes).await, before, "what stays in the scope is not fetched again");
    assert_eq!(edge.person.value(&note, "/title").await, Some(json!("n")));

    // what was saved in something that goes reaches the hub before it goes
    edge.switch.set(false);
    edge.until(LinkState::Offline).await;
    edge.person.set(&eight, "/title", json!("saved out of reach")).await;
    hub.hub.change(id, to(json!({"job": ["platform-7"]}))).await.expect("the node is known");
    edge.switch.set(true);
    hub.person.sees(&eight, "/title", json!("saved out of reach")).await;
    edge.person.sees(&seven, "/title", json!("platform-7")).await;
    edge.person.is_gone(&eight).await;
    edge.person.is_gone(&note).await;
    edge.until_in_step().await;
    for wrong in [json!("some"), json!({"job": 1})] {
        assert!(hub.hub.change(id, to(wrong)).await.is_err());
    }
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_link_waits_also_over_a_restart_until_somebody_resumes_it() {
    let hub = HubNode::start(Kind::Model).await;
    let mut edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.until_in_step().await;
    edge.link.pause();
    edge.until(LinkState::Paused).await;
    let record = edge.person.create(note(), json!({"title": 1})).await;
    edge.restart().await;
    edge.until(LinkState::Paused).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(edge.link.status().pending_out, 1);
    assert_eq!(hub.person.value(&record, "/title").await, None);
    edge.link.resume();
    hub.person.sees(&record, "/title", json!(1)).await;
    edge.until_in_step().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_node_is_told_so_pulls_nothing_more_and_keeps_what_it_has() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let record = hub.person.create(note(), json!({"title": 1})).await;
    edge.person.sees(&record, "/title", json!(1)).await;
    let node = hub.hub.list().await.expect("the store works").remove(0);
    hub.hub.revoke(node.id).await.expect("the node is known");
    hub.hub.revoke(node.id).await.expect("again changes nothing");
    edge.person.set(&record, "/title", json!(2)).await;
    edge.until(LinkState::Refused).await;
    let status = edge.link.status();
    assert!(status.reason.is_some_and(|reason| reason.contains("revoked")));
    hub.person.set(&record, "/title", json!(3)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(edge.person.value(&record, "/title").await, Some(json!(2)));
    assert!(hub.hub.list().await.expect("the store works")[0].revoked);
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_counts_from_a_new_beginning_is_read_again_and_nothing_is_dropped() {
    let mut hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let record = hub.person.create(note(), json!({"title": 1})).await;
    edge.person.sees(&record, "/title", json!(1)).await;
    edge.until_in_step().await;
    hub.restart_with(Epoch(4711)).await;
    hub.person.set(&record, "/title", json!(2)).await;
    edge.link.sync_now();
    edge.person.sees(&record, "/title", json!(2)).await;
    edge.until_in_step().await;
    let cursor = edge.cursor(&Partition::of_type(&note())).await;
    assert_eq!(cursor.map(|cursor| cursor.epoch), Some(Epoch(4711)));
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_comes_back_by_itself_after_it_was_away() {
    let mut hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.until_in_step().await;
    hub.pause_server().await;
    edge.until(LinkState::Offline).await;
    let record = edge.person.create(note(), json!({"title": 1})).await;
    hub.resume_server().await;
    hub.person.sees(&record, "/title", json!(1)).await;
    edge.until_in_step().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_proxy_holds_the_stream_back_it_is_polled() {
    let proxy = site::BufferingProxy::start().await;
    let transport = HttpTransport::new(&proxy.url, "opn_x.y", Switch::default()).expect("an address");
    let (heard, mut events) = tokio::sync::mpsc::channel(8);
    let listening = tokio::spawn(async move { transport.live(3, heard).await });
    let mut next = async || tokio::time::timeout(Duration::from_secs(10), events.recv()).await.expect("in time");
    assert_eq!(next().await, Some(LiveEvent::Up));
    let Some(LiveEvent::Hint(hint)) = next().await else { panic!("a hint was expected") };
    assert_eq!(hint.head, 4, "it is asked from the number on that is known");
    let Some(LiveEvent::Hint(hint)) = next().await else { panic!("a hint was expected") };
    assert_eq!(hint.head, 5, "and from the last hint on");
    listening.abort();
}
