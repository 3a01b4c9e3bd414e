//! Long texts whose changes are woven together.

use outpost::domain::clock::Hlc;
use outpost::domain::ids::{Incarnation, NodeId, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::record::{Act, Change, Content, State, edit_key};
use outpost::domain::save::{Save, SavedRecord};
use outpost::domain::stamp::Author;
use outpost::store::{Outcome, Request, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Hub, start_hub};

async fn log_book() -> (Hub, String) {
    let hub = start_hub().await;
    let schema = json!({"type": "object", "properties": {
        "title": {"type": "string"}, "story": {"type": "string", "x-merge": "text"}}});
    hub.post("/types", &json!({"name": "log", "schema": schema})).await.expect(201);
    let record = hub.make("log", json!({"title": "Monday", "story": "The pump is loud. The valve is shut."})).await;
    (hub, record)
}

fn story() -> Path {
    Path::root().property("story")
}

async fn state(hub: &Hub, record: &str) -> (TypeName, Uuid, State) {
    let id = Uuid::parse_str(record.rsplit('/').next().expect("an id")).expect("a UUID");
    let type_name = TypeName::custom("log").expect("a name");
    let held = hub.node().store().record(&type_name, id).await.expect("read").expect("there");
    (type_name, id, held.state)
}

/// What an edge sends that had this version in front of it.
async fn receive(hub: &Hub, record: &str, seen: &State, after: i64, path: Path, value: serde_json::Value) {
    let (type_name, id, _) = state(hub, record).await;
    let changes = vec![Change { replaces: seen.cover(&path), path, act: Act::Set(Content::json(value)) }];
    let saved =
        SavedRecord { type_name, id, revision: seen.revision(), time: Hlc::at(hub.node().now() + after), changes };
    let author = Author { node: NodeId(0xed9e), incarnation: Incarnation(1), person: Uuid::from_u128(9) };
    let saves = vec![Save { id: SaveId(u128::from(after.unsigned_abs()) << 90), author, records: vec![saved] }];
    let outcome = hub.node().store().write(Request::Receive { saves, now: hub.node().now(), relay: false }).await;
    assert_eq!(outcome.expect("received"), Outcome::Received(vec![Verdict::Accepted]));
}

#[actix_web::test]
async fn a_program_that_sends_the_whole_text_changes_only_what_differs() {
    let (hub, record) = log_book().await;
    let (_, _, seen) = state(&hub, &record).await;
    hub.hands.advance(1000);
    let changed = json!({"story": "The old pump is loud. The valve is shut."});
    let saved = hub.merge(&record, &changed).await.expect(200);
    assert_eq!(saved["data"]["story"], changed["story"], "what is read is the plain text");

    let edit = seen.text_edit(&story(), "The pump is loud. The valve is open.").expect("an edit");
    receive(&hub, &record, &seen, -500, story().item(&edit_key("elsewhere")), edit).await;
    let both = "The old pump is loud. The valve is open.";
    assert_eq!(hub.get(&record).await.expect(200)["data"]["story"], both);
    assert_eq!(hub.get("/conflicts?state=open").await.expect(200)["items"], json!([]));
    let listed = hub.get("/types/log/records?filter=/story:contains:valve%20is%20open").await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "lists look into the plain text");

    let history = hub.get(&format!("{record}/history")).await.expect(200);
    let line = &history["items"][0];
    assert_eq!(line["pointer"], "/story", "{history:#}");
    assert_eq!(line["old"], "The old pump is loud. The valve is shut.");
    assert_eq!(line["new"], both);

    // sending the same again writes nothing
    let before = hub.get(&record).await;
    let tag = before.header("etag").to_owned();
    assert_eq!(hub.merge(&record, &json!({"story": both})).await.header("etag"), tag);
}

#[actix_web::test]
async fn an_edit_of_a_text_that_was_replaced_since_is_kept_as_lost_and_brought_back_as_an_edit() {
    let (hub, record) = log_book().await;
    let (_, _, seen) = state(&hub, &record).await;
    let edit = seen.text_edit(&story(), "The pump is loud and hot. The valve is shut.").expect("an edit");
    // by a node of a time when the text was one value
    receive(&hub, &record, &seen, 2000, story(), json!("Look: the pump is loud. Call.")).await;
    receive(&hub, &record, &seen, 1000, story().item(&edit_key("elsewhere")), edit).await;
    assert_eq!(hub.get(&record).await.expect(200)["data"]["story"], "Look: the pump is loud. Call.");
    let open = hub.get("/conflicts?state=open").await.expect(200)["items"].clone();
    assert_eq!((open.as_array().map(Vec::len), &open[0]["pointer"]), (Some(1), &json!("/story")), "{open:#}");
    assert_eq!(open[0]["lost"]["value"], "Look: the pump is loud and hot. Call.", "the edit, put into what stands");
    let address = format!("/conflicts/{}/restore", open[0]["id"].as_str().expect("an id"));
    hub.hands.advance(5000);
    let (_, _, seen) = state(&hub, &record).await;
    hub.post(&address, &json!({})).await.expect(200);
    assert_eq!(hub.get(&record).await.expect(200)["data"]["story"], "Look: the pump is loud and hot. Call.");
    let edit = seen.text_edit(&story(), "Look: the pump is loud. Call. Now.").expect("an edit");
    receive(&hub, &record, &seen, 3, story().item(&edit_key("another")), edit).await;
    assert_eq!(hub.get(&record).await.expect(200)["data"]["story"], "Look: the pump is loud and hot. Call. Now.");
}
