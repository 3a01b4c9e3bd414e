//! Files over the API.

use outpost::domain::people::Role;
use outpost::store::blob::hash_of;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Hub, start_hub};

async fn hub() -> (Hub, tempfile::TempDir) {
    let (hub, dir) = (start_hub().await, tempfile::tempdir().expect("a temporary directory"));
    hub.node().keep_files_in(dir.path()).await.expect("a place for files");
    let schema = json!({"type": "object", "title": "Note", "properties": {
        "title": {"type": "string"},
        "photo": {"type": "object", "x-kind": "photo", "required": ["sha256", "size"], "properties": {
            "id": {"type": "string"}, "name": {"type": "string"}, "mime": {"type": "string"},
            "size": {"type": "integer"}, "sha256": {"type": "string"}}}}});
    hub.post("/types", &json!({"name": "note", "schema": schema})).await.expect(201);
    (hub, dir)
}

fn put(hub: &Hub, path: &str, bytes: &[u8]) -> reqwest::RequestBuilder {
    hub.request(Method::PUT, path).body(bytes.to_vec())
}

fn photo(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

fn reference(bytes: &[u8], name: &str, mime: &str) -> Value {
    json!({"name": name, "mime": mime, "size": bytes.len(), "sha256": hash_of(bytes).to_string()})
}

#[actix_web::test]
async fn a_file_comes_in_parts_and_is_given_with_ranges_for_ever_the_same() {
    let (hub, _dir) = hub().await;
    let bytes = photo(700_000);
    let hash = hash_of(&bytes);
    let path = format!("/blobs/{hash}");
    let first = hub.send(put(&hub, &format!("{path}?offset=0&size=700000"), &bytes[..300_000])).await.expect(202);
    assert_eq!((&first["offset"], &first["whole"]), (&json!(300_000), &json!(false)));
    let gap = hub.send(put(&hub, &format!("{path}?offset=400000&size=700000"), &bytes[400_000..])).await.problem(409);
    assert!(gap["detail"].as_str().is_some_and(|detail| detail.contains("300000")), "{gap}");
    hub.get(&path).await.problem(404);
    hub.send(put(&hub, &format!("{path}?offset=300000&size=700000"), &bytes[300_000..])).await.expect(201);
    hub.send(put(&hub, &path, &bytes)).await.expect(200);
    hub.make("note", json!({"title": "n", "photo": reference(&bytes, "pump.jpg", "image/jpeg")})).await;

    let whole = hub.request(Method::GET, &path).send().await.expect("an answer");
    let header = |name: &str| whole.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "image/jpeg");
    assert_eq!(header("content-length"), "700000");
    assert_eq!(header("etag"), format!("\"{hash}\""));
    assert!(header("cache-control").contains("immutable") && header("content-security-policy").contains("sandbox"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-disposition").starts_with("inline; filename=\"pump.jpg\""));
    assert_eq!(whole.bytes().await.expect("a body"), bytes);
    let part = hub.request(Method::GET, &path).header("range", "bytes=-9").send().await.expect("an answer");
    assert_eq!(
        (part.status(), &part.headers()["content-range"]),
        (
            206.try_into().expect("a status"),
            &"bytes 699991-699999/700000".parse::<reqwest::header::HeaderValue>().expect("a value")
        )
    );
    assert_eq!(part.bytes().await.expect("a body"), bytes[699_991..]);
    let outside = hub.request(Method::GET, &path).header("range", "bytes=700000-").send().await.expect("an answer");
    assert_eq!(outside.status(), 416);
    let again = hub.request(Method::GET, &path).header("if-none-match", format!("\"{hash}\""));
    assert_eq!(again.send().await.expect("an answer").status(), 304);
    let head = hub.request(Method::HEAD, &path).send().await.expect("an answer");
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"700000".parse::<reqwest::header::HeaderValue>().expect("a value"))
    );
    let state = hub.get(&format!("{path}/state")).await.expect(200);
    assert_eq!((&state["state"], &state["name"]), (&json!("here"), &json!("pump.jpg")));
}

#[actix_web::test]
async fn what_could_run_is_given_to_be_kept_and_not_to_be_shown() {
    let (hub, _dir) = hub().await;
    for (name, mime, bytes) in [
        ("evil.html", "text/html", &b"<script>alert(1)</script>"[..]),
        ("evil.svg", "image/svg+xml", b"<svg onload='alert(1)'/>"),
        ("evil.jpg", "image/jpeg\r\nx: y", b"not a picture"),
    ] {
        let path = format!("/blobs/{}", hash_of(bytes));
        hub.send(put(&hub, &path, bytes)).await.expect(201);
        hub.make("note", json!({"photo": reference(bytes, name, mime)})).await;
        let given = hub.request(Method::GET, &path).send().await.expect("an answer");
        assert_eq!(given.headers()["content-type"], "application/octet-stream", "{name}");
        assert!(given.headers()["content-disposition"].to_str().expect("text").starts_with("attachment"), "{name}");
        assert!(given.headers()["content-security-policy"].to_str().expect("text").contains("sandbox"), "{name}");
    }
}

#[actix_web::test]
async fn bad_files_get_a_clear_answer_and_leave_nothing() {
    let (hub, _dir) = hub().await;
    let bytes = photo(1000);
    let hash = hash_of(&bytes);
    for name in ["x", "..%2F..%2Fetc%2Fpasswd", &hash.to_string().to_uppercase(), &format!("{hash}0")] {
        hub.send(put(&hub, &format!("/blobs/{name}"), &bytes)).await.problem(400);
        hub.get(&format!("/blobs/{name}")).await.problem(400);
    }
    let path = format!("/blobs/{hash}");
    hub.send(put(&hub, &path, b"other bytes")).await.problem(422);
    hub.send(put(&hub, &format!("{path}?size=10"), &bytes)).await.problem(400);
    hub.send(put(&hub, &format!("{path}?size=-1"), &bytes)).await.problem(400);
    hub.send(put(&hub, &format!("{path}?offset=x"), &bytes)).await.problem(400);
    hub.send(put(&hub, &format!("{path}?size=99999999999"), &bytes)).await.problem(413);
    hub.send(put(&hub, &format!("{path}?offset=18446744073709551615&size=1000"), &bytes)).await.problem(400);
    hub.get(&format!("{path}/state")).await.problem(404);
    let viewer = hub.token(Role::Viewer).await;
    let denied = hub.client.put(format!("{}/api/v1{path}", hub.base)).bearer_auth(&viewer).body(bytes.clone());
    hub.send(denied).await.problem(403);
    let nobody = hub.client.get(format!("{}/api/v1{path}", hub.base));
    hub.send(nobody).await.problem(401);
}

#[actix_web::test]
async fn a_file_is_seen_by_whoever_brought_it_until_a_record_refers_to_it() {
    let (hub, _dir) = hub().await;
    let bytes = photo(1000);
    let path = format!("/blobs/{}", hash_of(&bytes));
    hub.send(put(&hub, &path, &bytes)).await.expect(201);
    let viewer = hub.token(Role::Viewer).await;
    let see = || hub.client.get(format!("{}/api/v1{path}", hub.base)).bearer_auth(&viewer);
    assert_eq!(hub.request(Method::GET, &path).send().await.expect("an answer").status(), 200);
    hub.send(see()).await.problem(404);
    let id = hub.make("note", json!({"photo": reference(&bytes, "a", "image/png")})).await;
    assert_eq!(see().send().await.expect("an answer").status(), 200);
    // what a record referred to once is not taken away: it can be brought back
    hub.merge(&id, &json!({"photo": null})).await.expect(200);
    assert_eq!(see().send().await.expect("an answer").status(), 200);
}
