//! Values that lost a merge.

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::record::{Act, Change, Content};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::Author;
use outpost::store::{Outcome, Request, Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Hub, start_hub};

/// A record whose title was written here and, by somebody who had not seen that, on an edge a second later.
async fn disputed() -> (Hub, String) {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let record = dispute(&hub, 7).await;
    (hub, record)
}

async fn dispute(hub: &Hub, save: u128) -> String {
    let begin = hub.node().now();
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let id = Uuid::parse_str(record.rsplit('/').next().expect("an id")).expect("a UUID");
    let type_name = TypeName::custom("work-order").expect("a name");
    let held = hub.node().store().record(&type_name, id).await.expect("read").expect("there");
    let title = Path::root().property("title");
    let elsewhere = Save {
        id: SaveId(save),
        author: Author { node: NodeId(0xed9e), incarnation: Incarnation(1), person: Uuid::from_u128(9) },
        records: vec![SavedRecord {
            type_name,
            id,
            revision: held.state.revision(),
            time: Hlc::at(begin + 2000),
            changes: vec![Change {
                replaces: held.state.cover(&title),
                path: title,
                act: Act::Set(Content::json(json!("Seal on deck 2"))),
            }],
        }],
    };
    hub.hands.advance(1000);
    hub.merge(&record, &json!({ "title": "Both seals" })).await.expect(200);
    hub.hands.advance(2000);
    let request = Request::Receive { saves: vec![elsewhere], now: begin + 3000, relay: false };
    let outcome = hub.node().store().write(request).await.expect("received");
    assert_eq!(outcome, Outcome::Received(vec![Verdict::Accepted]));
    record
}

async fn open(hub: &Hub) -> Vec<Value> {
    hub.get("/conflicts?state=open").await.expect(200)["items"].as_array().expect("items").clone()
}

#[actix_web::test]
async fn what_lost_is_listed_beside_what_was_kept() {
    let (hub, record) = disputed().await;
    let listed = open(&hub).await;
    assert_eq!(listed.len(), 1);
    let conflict = &listed[0];
    assert!(record.ends_with(conflict["record"].as_str().expect("an id")));
    assert_eq!((&conflict["type"], &conflict["pointer"]), (&json!("work-order"), &json!("/title")));
    assert_eq!(conflict["kept"]["value"], "Seal on deck 2");
    assert_eq!(conflict["kept"]["at"], "2026-11-03T09:00:02.000Z");
    assert_eq!(conflict["kept"]["node"]["id"], "000000000000ed9e");
    assert_eq!(conflict["lost"]["value"], "Both seals");
    assert_eq!(conflict["lost"]["at"], "2026-11-03T09:00:01.000Z");
    assert_eq!(conflict["lost"]["node"]["name"], "Hub");
    assert_eq!(hub.get("/conflicts?state=restored").await.expect(200)["items"], json!([]));
}

#[actix_web::test]
async fn one_request_brings_a_lost_value_back_and_closes_it() {
    let (hub, record) = disputed().await;
    let address = format!("/conflicts/{}/restore", open(&hub).await[0]["id"].as_str().expect("an id"));
    let restored = hub.post(&address, &json!({})).await.expect(200);
    assert_eq!(restored["data"]["title"], "Both seals");
    assert_eq!(hub.get(&record).await.expect(200), restored);
    assert!(open(&hub).await.is_empty());
    assert_eq!(hub.get("/conflicts").await.expect(200)["items"][0]["state"], "restored");
    hub.post(&address, &json!({})).await.problem(409);
}

#[actix_web::test]
async fn a_dismissed_value_is_kept_and_no_longer_open() {
    let (hub, record) = disputed().await;
    let id = open(&hub).await[0]["id"].clone();
    let address = format!("/conflicts/{}/dismiss", id.as_str().expect("an id"));
    assert_eq!(hub.post(&address, &json!({})).await.expect(200), json!({ "id": id, "state": "dismissed" }));
    assert!(open(&hub).await.is_empty());
    assert_eq!(hub.get("/conflicts?state=dismissed").await.expect(200)["items"][0]["lost"]["value"], "Both seals");
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seal on deck 2");
    hub.post(&address, &json!({})).await.problem(409);
}

#[actix_web::test]
async fn lost_values_come_in_pages() {
    let (hub, first) = disputed().await;
    let second = dispute(&hub, 8).await;
    let page = hub.get("/conflicts?state=open&limit=1").await.expect(200);
    assert!(second.ends_with(page["items"][0]["record"].as_str().expect("an id")), "newest first");
    let next = page["next"].as_str().expect("there is more");
    let rest = hub.get(&format!("/conflicts?state=open&limit=1&cursor={next}")).await.expect(200);
    assert!(first.ends_with(rest["items"][0]["record"].as_str().expect("an id")));
    assert_eq!((rest["items"].as_array().map(Vec::len), &rest["next"]), (Some(1), &Value::Null));
    hub.get("/conflicts?cursor=forged").await.problem(400);
}

#[actix_web::test]
async fn a_wrong_question_about_lost_values_is_told_so() {
    let hub = start_hub().await;
    for query in ["state=closed", "limit=0", "status=open"] {
        let problem = hub.get(&format!("/conflicts?{query}")).await.problem(400);
        let name = query.split('=').next().expect("a name");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.starts_with(name)), "{problem}");
    }
}

/// A record of a type whose fields say what becomes of what lost, and a save of it that an edge made at the same time.
async fn measured(hub: &Hub, field: &str, here: Value, elsewhere: Value) -> String {
    let begin = hub.node().now();
    let record = hub.make("log", json!({"title": "Gas"})).await;
    let id = Uuid::parse_str(record.rsplit('/').next().expect("an id")).expect("a UUID");
    let type_name = TypeName::custom("log").expect("a name");
    let held = hub.node().store().record(&type_name, id).await.expect("read").expect("there");
    let path = Path::root().property(field);
    let changes = vec![Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(elsewhere)) }];
    let saved = SavedRecord { type_name, id, revision: held.state.revision(), time: Hlc::at(begin + 2000), changes };
    let author = Author { node: NodeId(0xed9e), incarnation: Incarnation(1), person: Uuid::from_u128(9) };
    hub.hands.advance(1000);
    hub.merge(&record, &json!({ field: here })).await.expect(200);
    hub.hands.advance(2000);
    let saves = vec![Save { id: SaveId(u128::from(id.as_u64_pair().1)), author, records: vec![saved] }];
    let request = Request::Receive { saves, now: begin + 3000, relay: false };
    let outcome = hub.node().store().write(request).await.expect("received");
    assert_eq!(outcome, Outcome::Received(vec![Verdict::Accepted]));
    record
}

#[actix_web::test]
async fn a_type_says_per_field_what_becomes_of_what_lost() {
    let hub = start_hub().await;
    let schema = json!({"type": "object", "properties": {
        "title": {"type": "string"},
        "peak": {"type": "number", "x-conflict": "highest"},
        "due": {"type": "string", "format": "date", "x-conflict": "lowest"},
        "safe": {"type": "boolean", "x-conflict": "ask"}}});
    hub.post("/types", &json!({"name": "log", "schema": schema})).await.expect(201);

    let record = measured(&hub, "peak", json!(40), json!(9.5)).await;
    assert_eq!(hub.get(&record).await.expect(200)["data"]["peak"], json!(40), "the higher one, though earlier");
    let record = measured(&hub, "due", json!("2026-05-10"), json!("2026-11-02")).await;
    assert_eq!(hub.get(&record).await.expect(200)["data"]["due"], "2026-05-10");
    assert!(open(&hub).await.is_empty(), "nobody has to look");

    let record = measured(&hub, "safe", json!(false), json!(true)).await;
    assert_eq!(hub.get(&record).await.expect(200)["data"]["safe"], true);
    measured(&hub, "title", json!("Here"), json!("There")).await;
    let listed = open(&hub).await;
    assert_eq!(listed.iter().map(|one| one["ask"].clone()).collect::<Vec<_>>(), [Value::Null, json!(true)]);
    let actor = outpost::domain::people::Actor::Operator;
    let first = hub.node().open_conflicts(&actor, 10, None).await.expect("read").items;
    assert_eq!(first.iter().map(|one| one.pointer.as_str()).collect::<Vec<_>>(), ["/safe", "/title"]);
    let address = format!("/conflicts/{}/restore", listed[1]["id"].as_str().expect("an id"));
    assert_eq!(hub.post(&address, &json!({})).await.expect(200)["data"]["safe"], false);

    let bad = json!({"type": "object", "properties": {"title": {"type": "string", "x-conflict": "highest"}}});
    let problem = hub.post("/types", &json!({"name": "bad", "schema": bad})).await.problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/properties/title/x-conflict", "{problem}");
}
