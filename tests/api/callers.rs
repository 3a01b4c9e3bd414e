//! Who may ask.

use outpost::domain::people::{Actor, Role};
use reqwest::Method;
use serde_json::json;

use crate::support::{Hub, start_hub};

#[actix_web::test]
async fn nobody_is_let_in_without_a_token_that_works() {
    let hub = start_hub().await;
    for value in ["", "Bearer", "Bearer nonsense", "Basic YTpi", &hub.admin, "Bearer op_ü"] {
        for path in ["/types", "/types/none/records", "/events", "/sync"] {
            let mut request = hub.client.get(format!("{}/api/v1{path}", hub.base));
            if !value.is_empty() {
                request = request.header("authorization", value.as_bytes());
            }
            let answer = hub.send(request).await;
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{value} {path}: {}", answer.text);
            answer.problem(401);
        }
    }
    let scheme =
        hub.client.get(format!("{}/api/v1/types", hub.base)).header("authorization", format!("bearer {}", hub.admin));
    hub.send(scheme).await.expect(200);
}

#[actix_web::test]
async fn a_revoked_token_stops_working_at_once() {
    let hub = start_hub().await;
    // of two with one name none is forgotten
    let (token, other) = (hub.token(Role::Staff).await, hub.token(Role::Staff).await);
    let request = || hub.client.get(format!("{}/api/v1/types", hub.base)).bearer_auth(&token);
    hub.send(request()).await.expect(200);
    hub.node().revoke_token(&Actor::Operator, "staff").await.expect("revoked");
    hub.send(request()).await.problem(401);
    hub.send(hub.client.get(format!("{}/api/v1/types", hub.base)).bearer_auth(&other)).await.problem(401);
    let nobody = hub.node().revoke_token(&Actor::Operator, "nobody").await;
    assert!(matches!(nobody, Err(outpost::node::NodeError::NotFound("token"))));
}

#[actix_web::test]
async fn each_role_may_do_what_the_table_says() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let schema = json!({ "type": "object" });
    let merge = "application/merge-patch+json";
    let table = [
        (Method::GET, "/types".to_owned(), None, Role::Viewer),
        (Method::GET, record.clone(), None, Role::Viewer),
        (Method::GET, format!("{record}/history"), None, Role::Viewer),
        (Method::GET, "/conflicts".to_owned(), None, Role::Viewer),
        (Method::GET, "/sync".to_owned(), None, Role::Viewer),
        (Method::PATCH, record.clone(), Some(json!({ "hours": 1 })), Role::Staff),
        (Method::POST, "/types/work-order/records".to_owned(), Some(json!({ "data": { "title": "x" } })), Role::Staff),
        (Method::DELETE, record.clone(), None, Role::Staff),
        (Method::POST, format!("{record}/restore"), None, Role::Staff),
        (Method::POST, "/types/work-order/check".to_owned(), Some(json!({ "schema": schema })), Role::Designer),
        (Method::POST, "/types".to_owned(), Some(json!({ "name": "new", "schema": schema })), Role::Designer),
        (Method::PUT, "/types/work-order".to_owned(), Some(json!({ "schema": schema })), Role::Designer),
        (Method::DELETE, "/types/work-order".to_owned(), None, Role::Designer),
    ];
    for role in Role::ALL {
        let token = hub.token(role).await;
        for (method, path, body, needed) in &table {
            let mut request =
                hub.client.request(method.clone(), format!("{}/api/v1{path}", hub.base)).bearer_auth(&token);
            if let Some(body) = body {
                let media_type = if *method == Method::PATCH { merge } else { "application/json" };
                request = request.header("content-type", media_type).body(body.to_string());
            }
            let answer = hub.send(request).await;
            if role >= *needed {
                assert!(answer.status < 300, "{role} {method} {path}: {}", answer.text);
            } else {
                let problem = answer.problem(403);
                assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(needed.as_str())), "{problem}");
            }
        }
        // back to how it was
        hub.put("/types/work-order", &json!({})).await;
    }
}

#[actix_web::test]
async fn a_session_may_look_and_needs_its_csrf_token_to_change() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let node = hub.node();
    let password = "correct horse battery";
    node.add_person(&Actor::Operator, "ingrid@example.org", "Ingrid", Role::Staff, Some(password))
        .await
        .expect("added");
    let signed = node.sign_in("ingrid@example.org", password).await.expect("signed in");
    let cookie = cookie(&hub, &signed.secret);
    let records = format!("{}/api/v1/types/work-order/records", hub.base);
    let look = hub.client.get(&records).header("cookie", &cookie);
    hub.send(look).await.expect(200);
    let make = || hub.client.post(&records).header("cookie", &cookie).json(&json!({ "data": { "title": "Seal" } }));
    hub.send(make()).await.problem(403);
    hub.send(make().header("x-csrf-token", "")).await.problem(403);
    hub.send(make().header("x-csrf-token", "forged")).await.problem(403);
    let made = hub.send(make().header("x-csrf-token", &signed.session.csrf)).await.expect(201);
    assert_eq!(made["fields"]["/title"]["by"]["email"], "ingrid@example.org");
    let forged = hub.client.get(&records).header("cookie", cookie.replace('=', "=x"));
    hub.send(forged).await.problem(401);
    node.sign_out(&signed.secret).await.expect("signed out");
    hub.send(hub.client.get(&records).header("cookie", &cookie)).await.problem(401);
}

/// The cookie of a session, as the node names it.
fn cookie(hub: &Hub, secret: &str) -> String {
    let id = hub.node().identity().node.to_string();
    format!("session={secret}; outpost-{}={secret}", &id[..8])
}
