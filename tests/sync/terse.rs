//! Pushes are short between two who remember the last one, and arrive between others as well.

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, SaveId};
use outpost::domain::path::Path;
use outpost::domain::protocol::{Hello, Push};
use outpost::domain::record::{Act, Change, Content, Cover};
use outpost::domain::save::{Save, SavedRecord, id_of};
use outpost::sync::terse::{self, Memory};
use outpost::sync::{HttpTransport, Switch, Transport, wire};
use serde_json::json;
use uuid::Uuid;

use super::site::{EdgeNode, HubNode, Kind, note};

fn wide(salt: u64) -> u128 {
    u128::from_le_bytes(*blake3::hash(&salt.to_le_bytes()).as_bytes().first_chunk().expect("long enough"))
}

/// A new note, as this node would push it.
fn push(edge: &EdgeNode, number: u64) -> Push {
    let author = edge.person.author();
    let change = Change {
        path: Path::root(),
        act: Act::Set(Content::json(json!({ "title": number }))),
        replaces: Cover::nothing(),
    };
    let (now, id) = (1_795_539_946_021 + number as i64 * 977, Uuid::from_u128(wide(number)));
    let record = SavedRecord { type_name: note(), id, revision: None, time: Hlc(now << 16), changes: vec![change] };
    let id = id_of(SaveId(wide(!number)).tag(), &author, now, id);
    Push { since: 0, saves: vec![Save { id, author, records: vec![record] }] }
}

fn hello(node: NodeId, incarnation: Incarnation) -> Hello {
    Hello {
        protocols: vec![1],
        node,
        incarnation,
        clock: 0,
        waiting: 0,
        in_step: false,
        partitions: Vec::new(),
        ratchet: None,
        attempt: None,
        below: Vec::new(),
        settled: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_grow_short_and_whoever_forgot_is_told_in_full() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.until_in_step().await;
    edge.link.stop().await;
    let transport = || HttpTransport::new(&hub.url, edge.credential(), Switch::default()).expect("an address");
    let arrives = async |by: &HttpTransport, number: u64| {
        let before = by.meter().bytes_sent.get();
        let pushed = by.push(&push(&edge, number)).await.expect("the hub takes it");
        assert!(pushed.verdicts.iter().all(|verdict| verdict.refused.is_none()), "{pushed:?}");
        let key = (note(), Uuid::from_u128(wide(number)));
        let held = hub.store.record(&key.0, key.1).await.expect("the store works").expect("it is here");
        assert_eq!(held.document.value, json!({ "title": number }));
        by.meter().bytes_sent.get() - before
    };
    let author = edge.person.author();
    let one = transport();
    let full = arrives(&one, 1).await;
    assert_eq!(full, wire::encode(&push(&edge, 1)).len() as u64, "a hub that did not say so remembers nothing");
    let welcome = one.hello(&hello(author.node, author.incarnation)).await.expect("it is welcome");
    assert!(welcome.remembers);
    for number in 2..6 {
        let short = arrives(&one, number).await;
        assert!(short <= 80, "{short} of {full}");
    }
    // started anew, this side remembers nothing, and is understood at once
    let other = transport();
    let again = other.hello(&hello(author.node, author.incarnation)).await;
    assert!(again.is_ok_and(|welcome| welcome.remembers));
    let anew = arrives(&other, 6).await;
    assert!(anew < full, "{anew} of {full}");
    assert!(arrives(&other, 7).await <= 80);
    // the hub remembers what the other one sent: it says so, and gets it in full
    assert!(arrives(&one, 8).await > full);
    assert!(arrives(&one, 9).await <= 80);
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_remembered_is_a_problem_of_its_own_and_changes_nothing() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.until_in_step().await;
    edge.link.stop().await;
    let before = hub.store.partitions().await.expect("the store works");
    let (bytes, _) = terse::encode(&push(&edge, 1), &Memory::after(&push(&edge, 2)));
    let mut damaged = terse::encode(&push(&edge, 1), &Memory::default()).0;
    *damaged.last_mut().expect("it has bytes") ^= 1;
    for body in [bytes, damaged] {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(format!("{}/sync/v1/push", hub.url)).header("content-type", wire::MEDIA_TYPE);
        let answer = request.bearer_auth(edge.credential()).body(body).send().await.expect("the hub answers");
        assert_eq!(answer.status(), 409);
        let problem: serde_json::Value = answer.json().await.expect("a problem is JSON");
        assert_eq!(problem["type"], "urn:outpost:problem:unremembered");
    }
    assert_eq!(hub.store.partitions().await.expect("the store works"), before);
    edge.stop().await;
    hub.stop().await;
}
