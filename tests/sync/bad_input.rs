//! What is not a message, not permitted or too much gets a clear answer and changes nothing.

use std::time::Duration;

use outpost::domain::ids::{Epoch, Incarnation, NodeId, SaveId};
use outpost::domain::path::Path;
use outpost::domain::protocol::{Failure, Hello, Pull, Push};
use outpost::domain::record::{Act, Content};
use outpost::domain::save::Save;
use outpost::domain::stamp::Author;
use outpost::node::Nodes;
use outpost::store::Model;
use outpost::sync::wire::{self, MEDIA_TYPE};
use outpost::sync::{EnrolError, HttpTransport, Switch, Transport};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::site::{EdgeNode, Fixed, HubNode, Kind, Real, note};

async fn post(url: &str, credential: &str, kind: &str, body: Vec<u8>) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(url).header("content-type", kind).header("accept", "application/json");
    request.bearer_auth(credential).body(body).send().await.expect("the hub answers")
}

async fn get(url: &str, credential: &str) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.get(url).bearer_auth(credential).header("accept", "application/json").send().await.expect("the hub answers")
}

/// The answer is a problem of this kind, told in words.
async fn is_problem(response: Response, status: u16, kind: &str, words: &str) {
    assert_eq!(response.status(), StatusCode::from_u16(status).expect("a status"));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.expect("a problem is JSON");
    assert_eq!(problem["type"], format!("urn:outpost:problem:{kind}"), "{problem}");
    assert_eq!(problem["status"], json!(status));
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{problem}");
}

fn push(node: NodeId) -> Push {
    let author = Author { node, ..Author::default() };
    Push { since: 0, saves: vec![Save { id: SaveId(1), author, records: Vec::new() }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_body_is_told_and_changes_nothing() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.link.stop().await;
    let record = edge.person.create(note(), json!({"title": "x".repeat(1000)})).await;
    let saves =
        edge.store.outbox(1).await.expect("the store works").into_iter().map(|unsent| unsent.save).collect::<Vec<_>>();
    let before = hub.store.partitions().await.expect("the store works");
    let url = format!("{}/sync/v1/push", hub.url);
    let bytes = wire::encode(&Push { since: 0, saves });
    let step = (bytes.len() / 23).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let words = if at < 4 { "no sync message" } else { "checksum" };
        is_problem(post(&url, edge.credential(), MEDIA_TYPE, flipped).await, 400, "malformed", words).await;
        let cut = bytes[..at].to_vec();
        is_problem(post(&url, edge.credential(), MEDIA_TYPE, cut).await, 400, "malformed", "message").await;
    }
    is_problem(
        post(&url, edge.credential(), "application/json", b"{\"saves\":".to_vec()).await,
        400,
        "malformed",
        "EOF",
    )
    .await;
    is_problem(post(&url, edge.credential(), "text/plain", bytes.clone()).await, 400, "malformed", "send").await;
    assert_eq!(hub.store.partitions().await.expect("the store works"), before);
    assert_eq!(hub.person.value(&record, "/title").await, None);
    let good = post(&url, edge.credential(), MEDIA_TYPE, bytes).await;
    assert_eq!(good.status(), StatusCode::OK);
    assert!(hub.person.value(&record, "/title").await.is_some());
    edge.stop().await;
    hub.stop().await;
}

/// Names that the JSON reader takes for its own: what is kept under them would be read back as something else.
#[tokio::test(flavor = "multi_thread")]
async fn json_that_would_be_read_back_as_something_else_is_refused_from_other_nodes() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.link.stop().await;
    edge.person.create(note(), json!({"title": "x"})).await;
    let unsent = edge.store.outbox(1).await.expect("the store works");
    let saves: Vec<Save> = unsent.into_iter().map(|unsent| unsent.save).collect();
    let before = hub.store.partitions().await.expect("the store works");
    let url = format!("{}/sync/v1/push", hub.url);
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let mut own = serde_json::Map::new();
        own.insert(name.to_owned(), json!("12"));
        let mut whole = saves.clone();
        whole[0].records[0].changes[0].act = Act::Set(Content::json(json!({"own": own})));
        let push = Push { since: 0, saves: whole };
        for (kind, body) in
            [(MEDIA_TYPE, wire::encode(&push)), ("application/json", serde_json::to_vec(&push).expect("plain data"))]
        {
            is_problem(post(&url, edge.credential(), kind, body).await, 400, "malformed", "reserved").await;
        }
        let mut place = saves.clone();
        let mut named = place[0].records[0].changes[0].clone();
        (named.path, named.act) = (Path::root().property(name), Act::Set(Content::json(json!("12"))));
        place[0].records[0].changes.push(named);
        let answer = post(&url, edge.credential(), MEDIA_TYPE, wire::encode(&Push { since: 0, saves: place })).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let verdicts: Value = answer.json().await.expect("verdicts");
        assert!(verdicts.to_string().contains("reserved"), "{verdicts}");
    }
    assert_eq!(hub.store.partitions().await.expect("the store works"), before);
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_the_protocol_does_not_have_is_told() {
    let hub = HubNode::start(Kind::Model).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    for (method, path, status, words) in [
        (Method::GET, "nothing", 404, "no such address"),
        (Method::POST, "", 404, "no such address"),
        (Method::GET, "push", 405, "only POST"),
        (Method::DELETE, "hello", 405, "only POST"),
        (Method::POST, "pull", 405, "only GET"),
    ] {
        let response = client.request(method, format!("{}/sync/v1/{path}", hub.url)).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        let problem: Value = response.json().await.expect("a problem is JSON");
        assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)));
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{problem}");
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_told_before_it_is_unpacked() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    edge.link.stop().await;
    let url = format!("{}/sync/v1/push", hub.url);
    let large = vec![b' '; (8 << 20) + 1];
    is_problem(post(&url, edge.credential(), "application/json", large).await, 413, "too-large", "larger").await;
    let text = "x".repeat(40 << 20);
    let bomb = wire::encode(&json!({ "since": 0, "saves": [], "more": text }));
    assert!(bomb.len() < 1 << 20);
    is_problem(post(&url, edge.credential(), MEDIA_TYPE, bomb).await, 413, "too-large", "larger").await;
    edge.stop().await;
    hub.stop().await;
}

const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_whose_answer_was_lost_is_asked_for_again() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let token = hub.invite(json!("all")).await;
    let url = format!("{}/sync/v1/enrol", hub.url);
    let ask = async |secret: &str| {
        let body = serde_json::to_vec(&json!({"token": token, "name": "late", "secret": secret})).expect("plain data");
        post(&url, "", "application/json", body).await
    };
    for secret in ["", "short", "AAAAAAAAAAAAAAAAAAAA", "not base64 at all, no", &"A".repeat(400)] {
        is_problem(ask(secret).await, 403, "token", "secret is none").await;
    }
    let first = ask(SECRET).await.bytes().await.expect("an answer");
    assert_eq!(ask(SECRET).await.bytes().await.expect("an answer"), first, "the same answer");
    assert_eq!(hub.hub.list().await.expect("the store works").len(), 1, "and one node");
    is_problem(ask("BBBBBBBBBBBBBBBBBBBBBA").await, 403, "token", "already used").await;
    let node = hub.hub.list().await.expect("the store works")[0].id;
    assert!(outpost::sync::revoke(&*hub.store, node, 1).await.expect("the store works"));
    is_problem(ask(SECRET).await, 403, "token", "already used").await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_once() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let token = hub.invite(json!("all")).await;
    let world = Real::new(9);
    let join = async |token: &str| {
        let store = Model::new(std::sync::Arc::new(Fixed));
        outpost::sync::enrol(&store, &*world, &hub.url, token, "late").await
    };
    let both = tokio::join!(join(&token), join(&token));
    let refused = match both {
        (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
        other => panic!("one of two is let in: {other:?}"),
    };
    assert!(matches!(&refused, EnrolError::Refused { reason, .. } if reason.contains("already used")), "{refused}");
    let nodes = hub.hub.list().await.expect("the store works");
    assert_eq!(nodes.len(), 1);
    assert!(nodes[0].last_contact.is_none() && !nodes[0].in_step);
    let url = format!("{}/sync/v1/enrol", hub.url);
    let body = serde_json::to_vec(&json!({"token": token, "name": "late", "secret": SECRET})).expect("plain data");
    is_problem(post(&url, "", "application/json", body).await, 403, "token", "already used by platform 7").await;
    let body = serde_json::to_vec(&json!({"token": "opj_guess", "secret": SECRET})).expect("plain data");
    is_problem(post(&url, "", "application/json", body).await, 403, "token", "not one of this hub").await;
    let expired = outpost::sync::invite(&*hub.store, "x", outpost::domain::scope::Scope::All, false, 1, 77).await;
    let body =
        serde_json::to_vec(&json!({"token": expired.expect("the store works"), "secret": SECRET})).expect("plain data");
    is_problem(post(&url, "", "application/json", body).await, 403, "token", "expired").await;
    assert_eq!(hub.hub.list().await.expect("the store works").len(), 1);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_one_hub_only_and_a_hub_has_an_address() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let world = Real::new(9);
    let again = outpost::sync::enrol(&*edge.store, &*world, &hub.url, &hub.invite(json!("all")).await, "x").await;
    assert!(matches!(again, Err(EnrolError::AlreadyPart(_))), "{again:?}");
    let store = Model::new(std::sync::Arc::new(Fixed));
    let nowhere = outpost::sync::enrol(&store, &*world, "hub.example.org", "t", "x").await;
    assert!(matches!(nowhere, Err(EnrolError::Address(_))), "{nowhere:?}");
    let nobody = outpost::sync::enrol(&store, &*world, "http://127.0.0.1:1", "t", "x").await;
    assert!(matches!(nobody, Err(EnrolError::Unreachable { .. })), "{nobody:?}");
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_another_node() {
    let hub = HubNode::start(Kind::Model).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!({"job": true})).await;
    edge.link.stop().await;
    let url = format!("{}/sync/v1/push", hub.url);
    let body = wire::encode(&push(edge.identity.node));
    let flipped = edge.credential().replace('.', ".A");
    for wrong in ["", "opn_", "opn_0000000000000001.x", &flipped] {
        is_problem(post(&url, wrong, MEDIA_TYPE, body.clone()).await, 401, "credential", "does not know").await;
    }
    let transport = HttpTransport::new(&hub.url, edge.credential(), Switch::default()).expect("an address");
    let made = edge.person.create(note(), json!({"title": "a"})).await;
    let mut forged = push(NodeId(7));
    forged.saves[0].records = edge.store.outbox(1).await.expect("the store works").remove(0).save.records;
    let pushed = transport.push(&forged).await.expect("each save is answered on its own");
    assert_eq!(hub.person.value(&made, "/title").await, None);
    let verdict = &pushed.verdicts[0];
    assert!(verdict.quarantined.as_ref().is_some_and(|why| why.contains("not made on the device that brought it")));
    let mut hello = Hello {
        protocols: vec![1],
        node: NodeId(7),
        incarnation: Incarnation(1),
        clock: 0,
        waiting: 0,
        in_step: true,
        partitions: Vec::new(),
        ratchet: None,
        below: Vec::new(),
        settled: None,
        attempt: None,
    };
    let refused = transport.hello(&hello).await;
    assert!(matches!(&refused, Err(Failure::Rejected(why)) if why.contains("another node")), "{refused:?}");
    hello.node = edge.identity.node;
    let welcome = transport.hello(&hello).await.expect("that is its own name");
    hello.protocols = vec![9, 10];
    let refused = transport.hello(&hello).await;
    assert!(matches!(&refused, Err(Failure::Refused(why)) if why.contains("version 1") && why.contains("9, 10")));
    let mut pull = Pull {
        partition: outpost::domain::ids::Partition("note".into()),
        epoch: welcome.epoch,
        base: 0,
        after: 0,
        tag: None,
        max_bytes: 9,
    };
    let refused = transport.pull(&pull).await;
    assert!(matches!(&refused, Err(Failure::OutOfScope(why)) if why.contains("note")), "{refused:?}");
    pull.partition.0 = "job".into();
    pull.epoch = Epoch(12);
    assert_eq!(transport.pull(&pull).await.err(), Some(Failure::ForeignEpoch));
    let url = format!("{}/sync/v1/pull?partition=job&epoch={}&base=0&after=0&max_bytes=1", hub.url, pull.epoch);
    is_problem(get(&url, edge.credential()).await, 409, "epoch", "another beginning").await;
    let url = format!("{}/sync/v1/pull?partition=job&epoch=x", hub.url);
    is_problem(get(&url, edge.credential()).await, 400, "malformed", "address").await;
    let hub_list = hub.hub.list().await.expect("the store works");
    hub.hub.revoke(hub_list[0].id).await.expect("the node is known");
    let url = format!("{}/sync/v1/live?since=0", hub.url);
    is_problem(get(&url, edge.credential()).await, 403, "node-revoked", "revoked").await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_says_that_it_is_no_hub() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let server = actix_web::HttpServer::new(|| actix_web::App::new().configure(outpost::sync::http::configure))
        .workers(1)
        .disable_signals()
        .listen(listener)
        .expect("a port")
        .run();
    tokio::spawn(server);
    let url = format!("http://127.0.0.1:{port}/sync/v1/hello");
    is_problem(post(&url, "x", MEDIA_TYPE, Vec::new()).await, 404, "not-a-hub", "its hub").await;
    tokio::time::sleep(Duration::from_millis(1)).await;
}
