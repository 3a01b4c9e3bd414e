//! Saves that the hub did not accept.

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, SaveId, THE_HUB, TypeName};
use outpost::domain::path::Path;
use outpost::domain::people::Role;
use outpost::domain::record::{Act, Change, Content, Cover};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::Author;
use outpost::store::{Denied, Outcome, Request, Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Hub, start_hub};

/// A record whose title somebody changed on an edge who may not.
async fn denied() -> (Hub, String) {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let id = Uuid::parse_str(record.rsplit('/').next().expect("an id")).expect("a UUID");
    let held = hub.node().store().record(&work_order(), id).await.expect("read").expect("there");
    let title = Path::root().property("title");
    let change =
        Change { replaces: held.state.cover(&title), path: title, act: Act::Set(Content::json(json!("Mine"))) };
    deny(&hub, id, change, 1).await;
    (hub, record)
}

fn work_order() -> TypeName {
    TypeName::custom("work-order").expect("a name")
}

async fn deny(hub: &Hub, id: Uuid, change: Change, number: u128) {
    let now = hub.node().now();
    let save = Save {
        id: SaveId(number << 96),
        author: Author { node: NodeId(0xed9e), incarnation: Incarnation(1), person: Uuid::from_u128(9) },
        records: vec![SavedRecord {
            type_name: work_order(),
            id,
            revision: None,
            time: Hlc::at(now + 1000),
            changes: vec![change],
        }],
    };
    let identity = hub.node().identity();
    let by = Author { node: identity.node, incarnation: identity.incarnation, person: THE_HUB };
    let denied = Denied { save, reason: "this needs the role staff".into(), via: NodeId(0xed9e) };
    let outcome = hub.node().store().write(Request::Quarantine { saves: vec![denied], by, now: now + 2000 }).await;
    let quarantined = Verdict::Quarantined("this needs the role staff".into());
    assert_eq!(outcome.expect("received"), Outcome::Received(vec![quarantined]));
    hub.hands.advance(5000);
}

async fn open(hub: &Hub) -> Vec<Value> {
    hub.get("/quarantine?state=open").await.expect(200)["items"].as_array().expect("items").clone()
}

async fn address(hub: &Hub) -> String {
    format!("/quarantine/{}", open(hub).await[0]["id"].as_str().expect("an id"))
}

#[actix_web::test]
async fn what_was_not_accepted_is_listed_with_the_reason_beside_what_stands() {
    let (hub, record) = denied().await;
    let listed = open(&hub).await;
    assert_eq!(listed.len(), 1);
    let entry = &listed[0];
    assert!(record.ends_with(entry["record"].as_str().expect("an id")));
    assert_eq!((&entry["reason"], &entry["state"]), (&json!("this needs the role staff"), &json!("open")));
    assert_eq!(entry["changes"], json!([{"pointer": "/title", "act": "set", "denied": "Mine", "stands": "Seal"}]));
    assert_eq!((&entry["node"]["id"], &entry["decision"]), (&json!("000000000000ed9e"), &Value::Null));
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seal");
    let one = hub.get(&address(&hub).await).await.expect(200);
    assert_eq!(one["content"]["id"], entry["save"], "the save comes with it");
    let history = hub.get(&format!("{record}/history")).await.expect(200);
    assert_eq!((&history["items"][0]["act"], &history["items"][0]["new"]), (&json!("denied"), &json!("Mine")));
    hub.get("/quarantine?state=lost").await.problem(400);
    hub.get("/quarantine/nothing").await.problem(404);
}

#[actix_web::test]
async fn an_admin_admits_it_once_and_it_is_a_write_of_its_author() {
    let (hub, record) = denied().await;
    let address = address(&hub).await;
    let admitted = hub.post(&format!("{address}/admit"), &json!({})).await.expect(200);
    assert_eq!(admitted["state"], "admitted");
    let now = hub.get(&record).await.expect(200);
    assert_eq!(now["data"]["title"], "Mine");
    assert_eq!(now["fields"]["/title"]["by"]["id"], json!(Uuid::from_u128(9)));
    hub.post(&format!("{address}/admit"), &json!({})).await.problem(409);
    hub.post(&format!("{address}/return"), &json!({"reason": "late"})).await.problem(409);
    assert!(open(&hub).await.is_empty());
}

#[actix_web::test]
async fn an_admin_sends_it_back_with_a_word() {
    let (hub, record) = denied().await;
    let address = address(&hub).await;
    hub.post(&format!("{address}/return"), &json!({"reason": " "})).await.problem(422);
    hub.post(&format!("{address}/return"), &json!({"why": "x"})).await.problem(422);
    let back = hub.post(&format!("{address}/return"), &json!({"reason": "Ask Mei first"})).await.expect(200);
    assert_eq!((&back["state"], &back["decision"]["word"]), (&json!("returned"), &json!("Ask Mei first")));
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seal");
}

#[actix_web::test]
async fn a_record_that_may_not_be_is_there_once_it_is_admitted() {
    let (hub, _) = denied().await;
    let id = Uuid::from_u128(77);
    let act = Act::Set(Content::json(json!({"title": "New seal"})));
    deny(&hub, id, Change { path: Path::root(), act, replaces: Cover::nothing() }, 2).await;
    let record = format!("/types/work-order/records/{id}");
    hub.get(&record).await.problem(404);
    let entry = open(&hub).await.into_iter().find(|entry| entry["creates"] == json!(true)).expect("its entry");
    let address = format!("/quarantine/{}", entry["id"].as_str().expect("an id"));
    hub.post(&format!("{address}/admit"), &json!({})).await.expect(200);
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "New seal");
}

#[actix_web::test]
async fn others_than_admins_see_only_what_they_saved_and_decide_nothing() {
    let (hub, _) = denied().await;
    let address = address(&hub).await;
    let token = hub.token(Role::Designer).await;
    let ask = |method: reqwest::Method, path: String| {
        hub.client.request(method, format!("{}/api/v1{path}", hub.base)).bearer_auth(&token)
    };
    let listed = hub.send(ask(reqwest::Method::GET, "/quarantine".into())).await.expect(200);
    assert_eq!(listed["items"], json!([]));
    hub.send(ask(reqwest::Method::GET, address.clone())).await.problem(404);
    hub.send(ask(reqwest::Method::POST, format!("{address}/admit"))).await.problem(403);
}
