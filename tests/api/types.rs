//! Types: made, published, retired.

use serde_json::{Value, json};

use crate::support::start_hub;

fn schema(properties: Value) -> Value {
    json!({ "title": "Pump", "type": "object", "properties": properties })
}

#[actix_web::test]
async fn a_type_is_made_listed_and_shown_with_its_fields() {
    let hub = start_hub().await;
    let schema = schema(json!({ "tag": { "type": "string" }, "count": { "type": "integer" } }));
    let made = hub.post("/types", &json!({ "name": "pump", "schema": schema })).await;
    assert_eq!(made.header("location"), "/api/v1/types/pump");
    let made = made.expect(201);
    assert_eq!((&made["name"], &made["title"], &made["version"]), (&json!("pump"), &json!("Pump"), &json!(1)));
    assert_eq!((&made["schema"], &made["retired"], &made["upgraded"]), (&schema, &json!(false), &json!([])));
    assert_eq!(made["published_at"], "2026-11-03T09:00:00.000Z");
    assert_eq!(made["created_at"], made["published_at"]);
    let fields = made["fields"].as_array().expect("fields");
    assert_eq!(fields[1]["pointer"], "/count");
    assert_eq!(fields[1]["kind"], "integer");
    assert_eq!(fields[1]["id"].as_str().map(str::len), Some(16));
    let listed = hub.get("/types").await.expect(200);
    assert_eq!(listed["items"][0]["name"], "pump");
    let mut shown = hub.get("/types/pump").await.expect(200);
    shown["upgraded"] = json!([]);
    assert_eq!(shown, made);
}

#[actix_web::test]
async fn making_a_type_again_is_harmless_and_another_of_its_name_is_a_conflict() {
    let hub = start_hub().await;
    let body = json!({ "name": "pump", "schema": schema(json!({ "tag": { "type": "string" } })) });
    hub.post("/types", &body).await.expect(201);
    hub.post("/types", &body).await.expect(200);
    let other = json!({ "name": "pump", "schema": schema(json!({})) });
    hub.post("/types", &other).await.problem(409);
    assert_eq!(hub.get("/types/pump").await.expect(200)["version"], 1);
}

#[actix_web::test]
async fn the_schema_comes_back_byte_for_byte_and_once() {
    let hub = start_hub().await;
    let text = "{ \"type\":\"object\",\n  \"properties\": {\"b\":{\"maximum\":1.0e2}, \"a\" :{} } }";
    let body = format!("{{\"name\":\"pump\",\n \"schema\": {text}}}");
    let request = hub.request(reqwest::Method::POST, "/types").header("content-type", "application/json").body(body);
    hub.send(request).await.expect(201);
    let answer = hub.get("/types/pump/schema").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, text));
    assert_eq!(answer.header("content-type"), "application/schema+json");
    let tag = answer.header("etag").to_owned();
    let again = hub.request(reqwest::Method::GET, "/types/pump/schema").header("if-none-match", &tag);
    let again = hub.send(again).await;
    assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", tag.as_str()));
}

#[actix_web::test]
async fn publishing_makes_a_version_and_keeps_the_ids_of_fields_and_the_old_schema() {
    let hub = start_hub().await;
    let first = schema(json!({ "tag": { "type": "string" } }));
    let second = schema(json!({ "tag": { "type": "string" }, "count": { "type": "integer" } }));
    let made = hub.post("/types", &json!({ "name": "pump", "schema": first })).await.expect(201);
    hub.hands.advance(60_000);
    let published = hub.put("/types/pump", &json!({ "schema": second, "reason": "we count them now" })).await;
    let published = published.expect(200);
    assert_eq!((&published["version"], &published["schema"]), (&json!(2), &second));
    assert_eq!(published["fields"][0]["id"], made["fields"][0]["id"]);
    assert_ne!(published["fields"][1]["id"], made["fields"][0]["id"]);
    assert_eq!(published["published_at"], "2026-11-03T09:01:00.000Z");
    assert_eq!(published["created_at"], "2026-11-03T09:00:00.000Z");
    // the same again is no new version
    assert_eq!(hub.put("/types/pump", &json!({ "schema": second })).await.expect(200)["version"], 2);
    let versions = hub.get("/types/pump/versions").await.expect(200);
    let versions = versions["items"].as_array().expect("versions");
    assert_eq!(versions.len(), 2);
    assert_eq!((&versions[0]["version"], &versions[0]["current"]), (&json!(2), &json!(true)));
    assert_eq!(versions[0]["reason"], "we count them now");
    let old = hub.get("/types/pump/schema?version=1").await.expect(200);
    assert_eq!(old, first);
    let address = versions[1]["schema_url"].as_str().expect("an address").strip_prefix("/api/v1").expect("ours");
    assert_eq!(hub.get(address).await.expect(200), first);
    hub.get("/types/pump/schema?version=3").await.problem(404);
}

#[actix_web::test]
async fn what_a_get_told_can_be_put_back() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let mut shown = hub.get("/types/work-order").await.expect(200);
    shown["schema"]["description"] = json!("Another");
    let published = hub.put("/types/work-order", &shown).await.expect(200);
    assert_eq!((&published["version"], &published["schema"]), (&json!(2), &shown["schema"]));
}

#[actix_web::test]
async fn a_retired_type_is_hidden_keeps_its_records_and_comes_back() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    assert_eq!(hub.delete("/types/work-order").await.expect(200)["retired"], true);
    assert_eq!(hub.get("/types").await.expect(200)["items"], json!([]));
    assert_eq!(hub.get("/types?retired=true").await.expect(200)["items"][0]["name"], "work-order");
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seal");
    hub.post("/types/work-order/records", &json!({ "data": { "title": "x" } })).await.problem(409);
    // again changes nothing
    hub.delete("/types/work-order").await.expect(200);
    let back = hub.put("/types/work-order", &json!({})).await.expect(200);
    assert_eq!((&back["retired"], &back["version"]), (&json!(false), &json!(1)));
    hub.make("work-order", json!({ "title": "x" })).await;
}

#[actix_web::test]
async fn an_older_draft_is_brought_up_to_2020_12_with_a_report() {
    let hub = start_hub().await;
    let old = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "definitions": { "tag": { "type": "string" } },
        "properties": { "tag": { "$ref": "#/definitions/tag" } }
    });
    let made = hub.post("/types", &json!({ "name": "pump", "schema": old })).await.expect(201);
    let report = made["upgraded"].as_array().expect("a report");
    assert!(report.iter().any(|line| line["pointer"] == "/definitions" && line["message"].is_string()), "{report:?}");
    assert_eq!(made["schema"]["$defs"]["tag"]["type"], "string");
    assert!(made["schema"].get("definitions").is_none());
}

#[actix_web::test]
async fn a_check_tells_what_a_version_would_do_and_changes_nothing() {
    let hub = start_hub().await;
    hub.post("/types", &json!({ "name": "pump", "schema": schema(json!({})) })).await.expect(201);
    hub.make("pump", json!({ "count": 3 })).await;
    let bad = hub.make("pump", json!({ "count": "three" })).await;
    let new = schema(json!({ "count": { "type": "integer" } }));
    let report = hub.post("/types/pump/check", &json!({ "schema": new })).await.expect(200);
    assert_eq!(report["records"], 2);
    assert_eq!(report["valid"], 1);
    assert_eq!(report["invalid"], 1);
    assert!(bad.ends_with(report["examples"][0]["id"].as_str().expect("an id")));
    assert_eq!(report["examples"][0]["errors"][0]["pointer"], "/count");
    assert_eq!(hub.get("/types/pump").await.expect(200)["version"], 1);
}

#[actix_web::test]
async fn each_fault_of_a_schema_is_told_with_its_pointer() {
    let hub = start_hub().await;
    let bad = json!({ "type": "object", "properties": { "a": { "type": "text" }, "b": { "minLength": -1 } } });
    let problem = hub.post("/types", &json!({ "name": "pump", "schema": bad })).await.problem(422);
    let pointers: Vec<&str> =
        problem["errors"].as_array().expect("errors").iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert!(pointers.iter().any(|pointer| pointer.starts_with("/properties/a/type")), "{pointers:?}");
    assert!(pointers.contains(&"/properties/b/minLength"), "{pointers:?}");
    hub.get("/types/pump").await.problem(404);
}
