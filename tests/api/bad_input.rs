//! Whatever is wrong gets a clear answer and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Hub, start_hub};

const MERGE: &str = "application/merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";

async fn hub() -> (Hub, String) {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let record = hub.make("work-order", json!({ "title": "Seal", "parts": [{ "part": "Kit" }] })).await;
    (hub, record)
}

async fn ask(hub: &Hub, method: Method, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let mut request = hub.request(method, path).body(body);
    if !media_type.is_empty() {
        request = request.header("content-type", media_type);
    }
    hub.send(request).await
}

/// All that could have been changed.
async fn everything(hub: &Hub) -> Value {
    json!([
        hub.get("/types?retired=true").await.json(),
        hub.get("/types/work-order/records").await.json(),
        hub.get("/types/work-order/records?deleted=true").await.json(),
    ])
}

/// Method, address, media type, body; the status of the answer, and what it says.
type Case<'a> = (Method, &'a str, &'a str, Vec<u8>, u16, &'a str);

#[actix_web::test]
async fn bad_bodies_are_refused_by_the_table() {
    let (hub, record) = hub().await;
    let before = everything(&hub).await;
    let records = "/types/work-order/records";
    let deep = |levels: usize| {
        format!("{{\"data\":{{\"title\":\"x\",\"own\":{}1{}}}}}", "[".repeat(levels), "]".repeat(levels))
    };
    let deep_schema = format!(
        "{{\"name\":\"deep\",\"schema\":{{\"type\":\"object\",\"not\":{}{{}}{}}}}}",
        "{\"not\":".repeat(200),
        "}".repeat(200)
    );
    let table: Vec<Case> = vec![
        // media types
        (Method::POST, records, "", b"{\"data\":{\"title\":\"x\"}}".into(), 415, "application/json"),
        (Method::POST, records, "text/plain", b"{\"data\":{\"title\":\"x\"}}".into(), 415, "application/json"),
        (Method::POST, records, "application/x-www-form-urlencoded", b"title=x".into(), 415, "application/json"),
        (Method::POST, "/types", "text/json", b"{}".into(), 415, "application/json"),
        (Method::PATCH, &record, JSON, b"{\"title\":\"x\"}".into(), 415, "merge-patch"),
        (Method::PATCH, &record, "", b"{\"title\":\"x\"}".into(), 415, "merge-patch"),
        // not JSON
        (Method::POST, records, JSON, b"".into(), 400, "empty"),
        (Method::POST, records, JSON, b"{\"data\":".into(), 400, "not JSON"),
        (Method::POST, records, JSON, b"{\"data\":{}} x".into(), 400, "not JSON"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":NaN}}".into(), 400, "not JSON"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"\xff\xfe\"}}".into(), 400, "UTF-8"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"\\ud800\"}}".into(), 400, "not JSON"),
        (Method::PATCH, &record, MERGE, b"{".into(), 400, "not JSON"),
        (Method::PATCH, &record, PATCH, b"[{]".into(), 400, "not JSON"),
        (Method::PUT, "/types/work-order", JSON, b"{\"schema\":{]}".into(), 400, "not JSON"),
        // JSON that says a thing twice, or is too deep, or uses names of our reader
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"a\",\"title\":\"b\"}}".into(), 400, "twice"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"a\"},\"data\":{\"title\":\"b\"}}".into(), 400, "twice"),
        (Method::PATCH, &record, MERGE, b"{\"title\":\"a\",\"title\":\"b\"}".into(), 400, "twice"),
        (
            Method::POST,
            "/types",
            JSON,
            b"{\"name\":\"twice\",\"schema\":{\"type\":\"object\",\"title\":\"a\",\"title\":\"b\"}}".into(),
            400,
            "twice",
        ),
        (Method::POST, records, JSON, deep(200).into(), 400, "127 levels"),
        (Method::POST, records, JSON, deep(100_000).into(), 400, "127 levels"),
        (Method::PATCH, &record, MERGE, "[".repeat(1_000_000).into(), 400, "127 levels"),
        (Method::POST, "/types", JSON, deep_schema.into(), 400, "127 levels"),
        (
            Method::POST,
            records,
            JSON,
            b"{\"data\":{\"title\":\"x\",\"own\":{\"$serde_json::private::RawValue\":\"[\"}}}".into(),
            400,
            "reserved",
        ),
        (
            Method::POST,
            records,
            JSON,
            b"{\"data\":{\"title\":\"x\",\"own\":{\"$serde_json::private::Number\":\"12\"}}}".into(),
            400,
            "reserved",
        ),
        (Method::POST, records, JSON, b"{\"$serde_json::private::Number\":\"12\"}".into(), 400, "reserved"),
        (
            Method::PATCH,
            &record,
            MERGE,
            b"{\"own\":{\"\\u0024serde_json::private::Number\":\"12\"}}".into(),
            400,
            "reserved",
        ),
        (
            Method::PATCH,
            &record,
            PATCH,
            b"[{\"op\":\"add\",\"path\":\"/own\",\"value\":{\"$serde_json::private::RawValue\":\"1\"}}]".into(),
            400,
            "reserved",
        ),
        (
            Method::PATCH,
            &record,
            PATCH,
            b"[{\"op\":\"add\",\"path\":\"/$serde_json::private::RawValue\",\"value\":\"[\"}]".into(),
            422,
            "reserved",
        ),
        (
            Method::POST,
            "/types",
            JSON,
            b"{\"name\":\"x\",\"schema\":{\"properties\":{\"$serde_json::private::Number\":{}}}}".into(),
            400,
            "reserved",
        ),
        // nested deeper than a record can be kept
        (Method::POST, records, JSON, deep(122).into(), 422, "nested 120 levels"),
        // not what is asked for
        (Method::POST, records, JSON, b"[]".into(), 422, "object"),
        (Method::POST, records, JSON, b"{}".into(), 422, "data"),
        (Method::POST, records, JSON, b"{\"data\":[]}".into(), 422, "object"),
        (Method::POST, records, JSON, b"{\"data\":null}".into(), 422, "object"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"x\"},\"ID\":\"1\"}".into(), 422, "no member"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"x\"},\"id\":\"1\"}".into(), 422, "UUID"),
        (Method::POST, records, JSON, b"{\"data\":{\"title\":\"x\"},\"id\":1}".into(), 422, "UUID"),
        (Method::PATCH, &record, MERGE, b"[]".into(), 422, "object"),
        (Method::PATCH, &record, MERGE, b"{\"title\":null}".into(), 422, ""),
        (Method::PATCH, &record, PATCH, b"{}".into(), 422, "list"),
        (Method::PATCH, &record, PATCH, b"[{\"op\":\"erase\",\"path\":\"/title\"}]".into(), 422, "erase"),
        (Method::PATCH, &record, PATCH, b"[{\"op\":\"remove\",\"path\":\"/none\"}]".into(), 422, "/none"),
        (Method::PATCH, &record, PATCH, b"[{\"op\":\"remove\",\"path\":\"title\"}]".into(), 422, "Pointer"),
        (
            Method::PATCH,
            &record,
            PATCH,
            b"[{\"op\":\"replace\",\"path\":\"/parts/@forged/part\",\"value\":\"x\"}]".into(),
            422,
            "@forged",
        ),
        (Method::POST, "/types", JSON, b"{}".into(), 422, "things"),
        (
            Method::POST,
            "/types",
            JSON,
            b"{\"name\":\"Bad Name\",\"schema\":{\"type\":\"object\"}}".into(),
            422,
            "letter",
        ),
        (Method::POST, "/types", JSON, b"{\"name\":\"_type\",\"schema\":{\"type\":\"object\"}}".into(), 422, "letter"),
        (Method::POST, "/types", JSON, b"{\"name\":7,\"schema\":{}}".into(), 422, "text"),
        (Method::POST, "/types", JSON, b"{\"name\":\"list\",\"schema\":{\"type\":\"array\"}}".into(), 422, "object"),
        (Method::POST, "/types", JSON, b"{\"name\":\"no\",\"schema\":true}".into(), 422, "object"),
        (Method::POST, "/types", JSON, b"{\"name\":\"no\",\"schema\":null}".into(), 422, "object"),
        (
            Method::POST,
            "/types",
            JSON,
            b"{\"name\":\"no\",\"schema\":{\"$ref\":\"https://example.org/x\"}}".into(),
            422,
            "",
        ),
        (Method::POST, "/types", JSON, b"{\"name\":\"no\",\"schema\":{},\"titel\":\"x\"}".into(), 422, "no member"),
        (Method::PUT, "/types/work-order", JSON, b"{}".into(), 422, "Schema"),
        (Method::PUT, "/types/work-order", JSON, b"{\"name\":\"other\",\"schema\":{}}".into(), 422, "permanent"),
        (Method::PUT, "/types/work-order", JSON, b"{\"schema\":{\"type\":\"string\"}}".into(), 422, "object"),
        (Method::POST, "/types/work-order/check", JSON, b"{}".into(), 422, "schema"),
    ];
    for (method, path, media_type, body, status, says) in table {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let problem = ask(&hub, method.clone(), path, media_type, body).await;
        assert_eq!(problem.status, status, "{method} {path} {media_type} {shown}: {}", problem.text);
        let problem = problem.problem(status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{shown}: {problem}");
        assert_eq!(problem.get("errors").is_some(), status == 422, "{shown}: {problem}");
    }
    assert_eq!(everything(&hub).await, before);
}

/// Each fault is told at its place; none takes long, asks another host or makes a type.
#[actix_web::test]
async fn hostile_schemas_are_refused_at_their_place_and_make_no_type() {
    let (hub, _) = hub().await;
    let before = everything(&hub).await;
    let object = |property: Value| json!({ "type": "object", "properties": { "a": property } });
    let chain = |length: usize| {
        let next = |i: usize| (format!("a{i}"), json!({ "$ref": format!("#/$defs/a{}", i + 1) }));
        let mut defs: serde_json::Map<String, Value> = (0..length).map(next).collect();
        defs.insert(format!("a{length}"), json!({ "type": "string" }));
        json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/a0" } }, "$defs": defs })
    };
    let circle = json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/b" } },
        "$defs": { "b": { "$ref": "#/$defs/c" }, "c": { "$ref": "#/$defs/b" } } });
    let doubled = (0..14).fold(json!({}), |below, _| json!({ "allOf": [below, below] }));
    let many: serde_json::Map<String, Value> = (0..5_000).map(|i| (format!("p{i}"), json!({}))).collect();
    let pattern = |pattern: &str| object(json!({ "type": "string", "pattern": pattern }));
    let place = "/properties/a/pattern";
    for (schema, pointer) in [
        (json!({ "$ref": "#" }), "/$ref"),
        (circle, "/$defs/c/$ref"),
        (chain(300), "/$defs/a43/$ref"),
        (chain(3_000), "/$defs/a2743/$ref"),
        (chain(19_000), "/$defs/a18743/$ref"),
        (chain(25_000), ""),
        (doubled, ""),
        (json!({ "type": "object", "properties": many }), "/properties"),
        (object(json!({ "$ref": format!("{}/api/v1/types", hub.base) })), "/properties/a/$ref"),
        (object(json!({ "$ref": "file:///etc/passwd" })), "/properties/a/$ref"),
        (object(json!({ "$ref": "#/$defs/none" })), "/properties/a/$ref"),
        (pattern("(a{1000}){1000}"), place),
        (pattern("["), place),
        (pattern(&"x".repeat(5_000)), place),
        (object(json!({ "type": "strng" })), "/properties/a/type"),
        (object(json!({ "multipleOf": 0 })), "/properties/a/multipleOf"),
        (object(json!("text")), "/properties/a"),
        (json!({ "type": "object", "x-scope": "none" }), "/x-scope"),
    ] {
        let begun = std::time::Instant::now();
        let problem = hub.post("/types", &json!({ "name": "hostile", "schema": schema })).await.problem(422);
        let told = problem["errors"].as_array().expect("errors").iter().any(|error| error["pointer"] == pointer);
        assert!(told, "{pointer}: {problem}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{pointer}: {:?}", begun.elapsed());
        hub.put("/types/work-order", &json!({ "schema": schema })).await.problem(422);
        hub.post("/types/work-order/check", &json!({ "schema": schema })).await.problem(422);
    }
    assert_eq!(everything(&hub).await, before);
    // what backtracks elsewhere is quick here
    for (at, slow) in ["(a+)+$", "(a|aa)+$", "((((a*)*)*)*)*b", "^(?!y)(a+)+$"].into_iter().enumerate() {
        let name = format!("slow-{at}");
        hub.post("/types", &json!({ "name": name, "schema": pattern(slow) })).await.expect(201);
        let begun = std::time::Instant::now();
        let data = json!({ "data": { "a": format!("{}!", "a".repeat(900_000)) } });
        let problem = hub.post(&format!("/types/{name}/records"), &data).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/a", "{problem}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{slow}: {:?}", begun.elapsed());
    }
}

#[actix_web::test]
async fn a_packed_body_is_refused_and_not_read_as_it_is() {
    let (hub, _) = hub().await;
    let before = everything(&hub).await;
    for encoding in ["gzip", "br", "zstd", "gzip, identity", "nonsense"] {
        let request = hub.request(Method::POST, "/types/work-order/records").header("content-encoding", encoding);
        let problem = hub.send(request.json(&json!({ "data": { "title": "x" } }))).await.problem(415);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Content-Encoding")), "{problem}");
    }
    assert_eq!(everything(&hub).await, before);
    let plain = hub.request(Method::POST, "/types/work-order/records").header("content-encoding", "identity");
    hub.send(plain.json(&json!({ "data": { "title": "x" } }))).await.expect(201);
}

#[actix_web::test]
async fn an_id_is_a_uuid_in_its_usual_form_whatever_its_letters() {
    let (hub, _) = hub().await;
    let records = "/types/work-order/records";
    let id = "0197a1b2-00ab-7000-8000-0000000000cd";
    let of = |id: &str| json!({ "id": id, "data": { "title": "x" } });
    assert_eq!(hub.post(records, &of(&id.to_uppercase())).await.expect(201)["id"], id);
    hub.post(records, &of(id)).await.expect(200);
    assert_eq!(hub.get(&format!("{records}/{}", id.to_uppercase())).await.expect(200)["id"], id);
    let before = everything(&hub).await;
    let plain = id.replace('-', "");
    for bad in ["", "x", &plain, &format!("{{{id}}}"), &format!("urn:uuid:{id}"), &format!("{id} "), &id[1..]] {
        let problem = hub.post(records, &of(bad)).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/id", "{bad}: {problem}");
        hub.get(&format!("{records}/{}", bad.replace(' ', "%20"))).await;
    }
    hub.get(&format!("{records}/{plain}")).await.problem(404);
    assert_eq!(everything(&hub).await, before);
}

#[actix_web::test]
async fn of_many_who_make_one_id_at_once_one_does_and_the_others_are_told() {
    let (hub, _) = hub().await;
    let id = "0197a1b2-00ab-7000-8000-0000000000cd";
    let make = |i: usize| {
        let body = json!({ "id": id, "data": { "title": if i.is_multiple_of(2) { "one" } else { "other" } } });
        let hub = &hub;
        async move { hub.post("/types/work-order/records", &body).await }
    };
    let answers = futures_util::future::join_all((0..24).map(make)).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(201), count(200), count(409)), (1, 11, 12));
    let history = hub.get(&format!("/types/work-order/records/{id}/history")).await.expect(200);
    assert_eq!(history["items"].as_array().map(Vec::len), Some(1), "{history}");
}

#[actix_web::test]
async fn what_is_not_there_is_not_found() {
    let (hub, record) = hub().await;
    let id = "01997f0e-6c5a-7b31-9a59-2f1f0a3c9d11";
    for path in [
        "/types/none".to_owned(),
        "/types/Work-Order".to_owned(),
        "/types/_person".to_owned(),
        "/types/%ff".to_owned(),
        format!("/types/{}", "a".repeat(5000)),
        "/types/none/schema".to_owned(),
        "/types/none/versions".to_owned(),
        "/types/none/records".to_owned(),
        "/types/_person/records".to_owned(),
        format!("/types/none/records/{id}"),
        format!("/types/_person/records/{id}"),
        format!("/types/work-order/records/{id}"),
        "/types/work-order/records/none".to_owned(),
        "/types/work-order/records/%00".to_owned(),
        "/types/work-order/records/..%2f..%2fetc".to_owned(),
        format!("/types/work-order/records/{id}/history"),
        format!("{record}/"),
        format!("{record}/none"),
        "/nothing".to_owned(),
        "".to_owned(),
    ] {
        hub.get(&path).await.problem(404);
    }
    hub.merge(&format!("/types/work-order/records/{id}"), &json!({})).await.problem(404);
    hub.delete(&format!("/types/work-order/records/{id}")).await.problem(404);
    hub.delete("/types/none").await.problem(404);
    hub.put("/types/none", &json!({ "schema": { "type": "object" } })).await.problem(404);
    hub.post("/types/none/records", &json!({ "data": {} })).await.problem(404);
    hub.post(&format!("/conflicts/{id}/restore"), &json!({})).await.problem(404);
    hub.post("/conflicts/none/dismiss", &json!({})).await.problem(404);
    for path in ["/api", "/api/", "/api/v2/types", "/api/v1x", "/api/openapi.yaml"] {
        let answer = hub.send(hub.client.get(format!("{}{path}", hub.base))).await;
        if path != "/api" {
            answer.problem(404);
        }
    }
}

#[actix_web::test]
async fn what_cannot_be_asked_of_an_address_is_told_with_what_can() {
    let (hub, record) = hub().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/types", "GET, HEAD, POST"),
        (Method::PATCH, "/types/work-order", "GET, HEAD, PUT, DELETE"),
        (Method::PUT, record.as_str(), "GET, HEAD, PATCH, DELETE"),
        (Method::POST, record.as_str(), "GET, HEAD, PATCH, DELETE"),
        (Method::POST, "/events", "GET, HEAD"),
        (Method::GET, "/sync/now", "POST"),
        (Method::OPTIONS, "/sync", "GET, HEAD"),
        (Method::TRACE, "/sync", "GET, HEAD"),
    ] {
        let answer = hub.send(hub.request(method.clone(), path)).await;
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        answer.problem(405);
    }
}

#[actix_web::test]
async fn what_is_too_large_is_told_so() {
    let (hub, record) = hub().await;
    let before = everything(&hub).await;
    let schema = format!(
        "{{\"name\":\"large\",\"schema\":{{\"type\":\"object\",\"description\":\"{}\"}}}}",
        "x".repeat(10_000_000)
    );
    let problem = ask(&hub, Method::POST, "/types", JSON, schema).await.problem(413);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("5 MiB")), "{problem}");
    let schema = format!(
        "{{\"name\":\"large\",\"schema\":{{\"type\":\"object\",\"description\":\"{}\"}}}}",
        "x".repeat(2_000_000)
    );
    let problem = ask(&hub, Method::POST, "/types", JSON, schema).await.problem(413);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("1 MiB")), "{problem}");
    let data = json!({ "data": { "title": "x", "own": "y".repeat(1_100_000) } });
    let problem = hub.post("/types/work-order/records", &data).await.problem(413);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("1 MiB")), "{problem}");
    hub.merge(&record, &data["data"]).await.problem(413);
    // without a Content-Length, too
    let chunks = futures_util::stream::iter((0..80).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100_000])));
    let body = reqwest::Body::wrap_stream(chunks);
    ask(&hub, Method::POST, "/types/work-order/records", JSON, body).await.problem(413);
    // one field of nearly a megabyte is welcome
    let welcome = json!({ "data": { "title": "x", "own": "y".repeat(1_000_000) } });
    let made = hub.post("/types/work-order/records", &welcome).await.expect(201);
    hub.delete(&format!("/types/work-order/records/{}", made["id"].as_str().expect("an id"))).await.expect(200);
    let after = everything(&hub).await;
    assert_eq!((&after[0], &after[1]), (&before[0], &before[1]));
}

#[actix_web::test]
async fn a_patch_that_copies_itself_or_nests_without_end_is_refused() {
    let (hub, record) = hub().await;
    let doubling: Vec<Value> =
        (0..60).map(|i| json!({ "op": "copy", "from": "", "path": format!("/own{i}") })).collect();
    let answer = hub.patch(&record, PATCH, &json!(doubling), None).await;
    assert!(matches!(answer.status, 413 | 422), "{}", answer.text);
    let mut nesting = vec![json!({ "op": "add", "path": "/own", "value": {} })];
    for _ in 0..12_000 {
        nesting.push(json!({ "op": "add", "path": "/next", "value": {} }));
        nesting.push(json!({ "op": "move", "from": "/own", "path": "/next/a" }));
        nesting.push(json!({ "op": "move", "from": "/next", "path": "/own" }));
    }
    let answer = hub.patch(&record, PATCH, &json!(nesting), None).await;
    assert!(matches!(answer.status, 413 | 422), "{}", answer.text);
    let few: Vec<Value> = nesting[..901].to_vec();
    let answer = hub.patch(&record, PATCH, &json!(few), None).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert_eq!(hub.get(&record).await.expect(200)["data"]["title"], "Seal");
}
