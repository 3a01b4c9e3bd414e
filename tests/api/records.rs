//! Records: made, read, changed, binned, and their history.

use serde_json::{Value, json};

use crate::support::{Hub, start_hub};

const ID: &str = "01997f0e-6c5a-7b31-9a59-2f1f0a3c9d11";
const JSON_PATCH: &str = "application/json-patch+json";

async fn hub() -> Hub {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    hub
}

#[actix_web::test]
async fn a_record_is_made_and_read_with_who_wrote_each_field() {
    let hub = hub().await;
    let data = json!({ "title": "Replace seal", "status": "open", "hours": 1.50, "location": { "deck": "2" } });
    let made = hub.post("/types/work-order/records", &json!({ "data": data })).await;
    let (tag, address) = (made.header("etag").to_owned(), made.header("location").to_owned());
    let made = made.expect(201);
    let read = hub.get(address.strip_prefix("/api/v1").expect("ours")).await;
    assert_eq!(read.header("etag"), tag);
    let read = read.expect(200);
    assert_eq!(read, made);
    assert_eq!(read["type"], "work-order");
    assert_eq!(read["schema_version"], 1);
    assert_eq!((&read["valid"], &read["errors"], &read["deleted"]), (&json!(true), &json!([]), &json!(false)));
    assert_eq!(read["updated_at"], "2026-11-03T09:00:00.000Z");
    let fields = read["fields"].as_object().expect("fields");
    let mut pointers: Vec<&str> = fields.keys().map(String::as_str).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/hours", "/location/deck", "/status", "/title"]);
    assert_eq!(fields["/title"]["at"], "2026-11-03T09:00:00.000Z");
    assert_eq!(fields["/title"]["node"], json!({ "id": hub.node().identity().node, "name": "Hub" }));
    assert_eq!(fields["/title"]["by"]["name"], "tests");
}

#[actix_web::test]
async fn numbers_come_back_as_they_were_typed() {
    let hub = hub().await;
    let body = r#"{"data":{"title":"x","hours":1.50,"own":123456789012345678901234567890,"tiny":1.0e-30}}"#;
    let request = hub
        .request(reqwest::Method::POST, "/types/work-order/records")
        .header("content-type", "application/json; charset=utf-8")
        .body(body);
    let made = hub.send(request).await;
    assert_eq!(made.status, 201, "{}", made.text);
    for text in ["1.50", "123456789012345678901234567890", "1.0e-30"] {
        assert!(made.text.contains(&format!(":{text}")), "{text}: {}", made.text);
    }
}

#[actix_web::test]
async fn sending_a_record_again_is_harmless_even_after_it_was_changed() {
    let hub = hub().await;
    let body = json!({ "id": ID, "data": { "title": "Replace seal", "hours": 1 } });
    let address = format!("/types/work-order/records/{ID}");
    hub.post("/types/work-order/records", &body).await.expect(201);
    hub.post("/types/work-order/records", &body).await.expect(200);
    hub.merge(&address, &json!({ "title": "Replace both seals" })).await.expect(200);
    let again = json!({ "id": ID, "data": { "hours": 1.0, "title": "Replace seal" } });
    let now = hub.post("/types/work-order/records", &again).await.expect(200);
    assert_eq!(now["data"]["title"], "Replace both seals");
    let other = json!({ "id": ID, "data": { "title": "Something else" } });
    hub.post("/types/work-order/records", &other).await.problem(409);
    hub.delete(&address).await.expect(200);
    hub.post("/types/work-order/records", &body).await.problem(409);
    assert_eq!(hub.get(&address).await.expect(200)["data"]["title"], "Replace both seals");
}

#[actix_web::test]
async fn a_record_that_is_not_valid_is_refused_with_pointers() {
    let hub = hub().await;
    let data = json!({ "hours": -1, "permit": "x", "parts": [{ "part": "Seal", "quantity": 0 }] });
    let problem = hub.post("/types/work-order/records", &json!({ "data": data })).await.problem(422);
    let errors = problem["errors"].as_array().expect("errors");
    let mut told: Vec<_> =
        errors.iter().map(|error| (error["pointer"].as_str().unwrap(), error["keyword"].as_str().unwrap())).collect();
    told.sort_unstable();
    let expected = [
        ("/hours", "minimum"),
        ("/parts/0/quantity", "exclusiveMinimum"),
        ("/permit", "pattern"),
        ("/title", "required"),
    ];
    assert_eq!(told, expected);
    assert_eq!(hub.get("/types/work-order/records").await.expect(200)["items"], json!([]));
}

#[actix_web::test]
async fn a_merge_patch_writes_only_what_differs() {
    let hub = hub().await;
    let record = hub.make("work-order", json!({ "title": "Seal", "asset": "P-204", "hours": 2 })).await;
    hub.hands.advance(1000);
    let patch = json!({ "title": "Seal", "hours": 3, "asset": null, "location": { "deck": "2" } });
    let changed = hub.merge(&record, &patch).await.expect(200);
    assert_eq!(changed["data"], json!({ "hours": 3, "location": { "deck": "2" }, "title": "Seal" }));
    let (old, new) = ("2026-11-03T09:00:00.000Z", "2026-11-03T09:00:01.000Z");
    for (pointer, at) in [("/title", old), ("/hours", new), ("/location/deck", new), ("/asset", new)] {
        assert_eq!(changed["fields"][pointer]["at"], at, "{pointer}");
    }
    // nothing that differs, nothing that is written
    let same = hub.merge(&record, &json!({ "hours": 3.0 })).await;
    assert_eq!(same.expect(200), changed);
    assert_eq!(hub.get(&record).await.expect(200), changed);
}

#[actix_web::test]
async fn if_match_guards_against_a_change_meanwhile() {
    let hub = hub().await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let tag = hub.get(&record).await.header("etag").to_owned();
    let merge = "application/merge-patch+json";
    let patch = json!({ "title": "Seals" });
    let changed = hub.patch(&record, merge, &patch, Some(&tag)).await;
    let new = changed.header("etag").to_owned();
    changed.expect(200);
    assert_ne!(new, tag);
    let late = json!({ "title": "Late" });
    for stale in [tag.as_str(), "\"x\"", "x", &format!("W/{new}")] {
        let refused = hub.patch(&record, merge, &late, Some(stale)).await;
        assert_eq!(refused.header("etag"), new, "{stale}");
        refused.problem(412);
    }
    let refused = hub.request(reqwest::Method::DELETE, &record).header("if-match", &tag);
    hub.send(refused).await.problem(412);
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seals");
    let either = format!("{tag}, {new}");
    hub.patch(&record, merge, &json!({ "title": "Both" }), Some(&either)).await.expect(200);
    hub.patch(&record, merge, &json!({ "title": "Any" }), Some("*")).await.expect(200);
}

#[actix_web::test]
async fn a_json_patch_reaches_one_item_by_its_key_and_stores_null() {
    let hub = hub().await;
    let parts = json!([{ "part": "Seal kit", "quantity": 1 }, { "part": "Oil", "quantity": 2 }]);
    let record = hub.make("work-order", json!({ "title": "Seal", "parts": parts })).await;
    let read = hub.get(&record).await.expect(200);
    let quantities: Vec<&String> =
        read["fields"].as_object().expect("fields").keys().filter(|key| key.ends_with("/quantity")).collect();
    assert_eq!(quantities.len(), 2, "{read}");
    let patch = json!([
        { "op": "test", "path": quantities[1], "value": 2.0 },
        { "op": "replace", "path": quantities[1], "value": 5 },
        { "op": "add", "path": "/isolated", "value": null },
        { "op": "add", "path": "/parts/-", "value": { "part": "Rag" } }
    ]);
    let changed = hub.patch(&record, JSON_PATCH, &patch, None).await.expect(200);
    let data = &changed["data"];
    assert_eq!(data["parts"][1], json!({ "part": "Oil", "quantity": 5 }));
    assert_eq!(data["parts"][0], json!({ "part": "Seal kit", "quantity": 1 }));
    assert_eq!(data["parts"][2]["part"], "Rag");
    assert!(data["isolated"].is_null() && data.as_object().expect("an object").contains_key("isolated"));
    let failing = json!([
        { "op": "replace", "path": "/title", "value": "No" },
        { "op": "test", "path": "/title", "value": "Seal" }
    ]);
    let problem = hub.patch(&record, JSON_PATCH, &failing, None).await.problem(422);
    assert_eq!(problem["errors"][0]["keyword"], "test");
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seal");
}

#[actix_web::test]
async fn a_record_goes_to_the_bin_and_comes_back() {
    let hub = hub().await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let binned = hub.delete(&record).await.expect(200);
    assert_eq!((&binned["deleted"], &binned["data"]["title"]), (&json!(true), &json!("Seal")));
    // again changes nothing
    assert_eq!(hub.delete(&record).await.expect(200), binned);
    assert_eq!(hub.get(&record).await.expect(200)["deleted"], true);
    hub.merge(&record, &json!({ "title": "x" })).await.problem(409);
    let count = |page: Value| page["items"].as_array().expect("items").len();
    assert_eq!(count(hub.get("/types/work-order/records").await.expect(200)), 0);
    assert_eq!(count(hub.get("/types/work-order/records?deleted=true").await.expect(200)), 1);
    let back = hub.send(hub.request(reqwest::Method::POST, &format!("{record}/restore"))).await.expect(200);
    assert_eq!(back["deleted"], false);
    assert_eq!(count(hub.get("/types/work-order/records").await.expect(200)), 1);
}

#[actix_web::test]
async fn the_history_tells_each_change_with_old_and_new_value() {
    let hub = hub().await;
    let record = hub.make("work-order", json!({ "title": "Seal", "hours": 1 })).await;
    hub.hands.advance(1000);
    hub.merge(&record, &json!({ "title": "Seals", "asset": "P-204" })).await.expect(200);
    hub.merge(&record, &json!({ "hours": null })).await.expect(200);
    hub.delete(&record).await.expect(200);
    let history = hub.get(&format!("{record}/history")).await.expect(200);
    let lines = history["items"].as_array().expect("lines");
    let acts: Vec<&str> = lines.iter().filter_map(|line| line["act"].as_str()).collect();
    assert_eq!(acts, ["binned", "changed", "changed", "changed", "created"]);
    let line = |pointer: &str| lines.iter().find(|line| line["pointer"] == pointer).expect(pointer);
    assert_eq!((&line("/title")["old"], &line("/title")["new"]), (&json!("Seal"), &json!("Seals")));
    assert_eq!(line("/title")["at"], "2026-11-03T09:00:01.000Z");
    assert_eq!(line("/title")["node"]["name"], "Hub");
    // absent and null are two things
    assert!(line("/asset").get("old").is_none() && line("/hours").get("new").is_none());
    assert_eq!(lines[4]["at"], "2026-11-03T09:00:00.000Z");
    assert_eq!(lines[4]["new"], json!({ "title": "Seal", "hours": 1 }));
    assert!(lines[4].get("old").is_none());
}

#[actix_web::test]
async fn a_person_is_named_where_they_wrote() {
    let hub = hub().await;
    let node = hub.node();
    let operator = outpost::domain::people::Actor::Operator;
    let staff = outpost::domain::people::Role::Staff;
    let person = node.add_person(&operator, "ingrid@example.org", "Ingrid Solheim", staff, None).await.expect("added");
    let actor = outpost::domain::people::Actor::Person { id: person.id, role: staff };
    let made = node.create_record(&actor, "work-order", None, json!({ "title": "Seal" })).await.expect("made");
    let read = hub.get(&format!("/types/work-order/records/{}", made.held.id)).await.expect(200);
    let by = &read["fields"]["/title"]["by"];
    assert_eq!(*by, json!({ "id": person.id, "name": "Ingrid Solheim", "email": "ingrid@example.org" }));
}

#[actix_web::test]
async fn an_unchanged_record_is_not_sent_again() {
    let hub = hub().await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let tag = hub.get(&record).await.header("etag").to_owned();
    let again = hub.request(reqwest::Method::GET, &record).header("if-none-match", format!("\"x\", {tag}"));
    assert_eq!(hub.send(again).await.status, 304);
    hub.merge(&record, &json!({ "title": "Seals" })).await.expect(200);
    let again = hub.request(reqwest::Method::GET, &record).header("if-none-match", &tag);
    assert_eq!(hub.send(again).await.status, 200);
}

#[actix_web::test]
async fn a_record_that_a_new_version_would_refuse_stays_valid_under_its_own() {
    let hub = start_hub().await;
    let old = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let new = json!({ "type": "object", "properties": { "n": { "type": "integer", "maximum": 5 } } });
    hub.post("/types", &json!({ "name": "count", "schema": old })).await.expect(201);
    let record = hub.make("count", json!({ "n": 9 })).await;
    hub.put("/types/count", &json!({ "schema": new })).await.expect(200);
    let read = hub.get(&record).await.expect(200);
    assert_eq!((&read["valid"], &read["schema_version"]), (&json!(true), &json!(1)));
    hub.post("/types/count/records", &json!({ "data": { "n": 9 } })).await.problem(422);
    // what was wrong already and is not touched holds nobody up
    let changed = hub.merge(&record, &json!({ "note": "x" })).await.expect(200);
    assert_eq!((&changed["valid"], &changed["schema_version"]), (&json!(false), &json!(2)));
    assert_eq!(changed["errors"][0]["pointer"], "/n");
}
