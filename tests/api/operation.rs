//! For those who operate a node, and the description of the API.

use std::collections::BTreeSet;

use outpost::domain::people::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::start_hub;

#[actix_web::test]
async fn a_node_tells_that_it_lives_and_is_ready_until_it_stops() {
    let hub = start_hub().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(hub.send(hub.client.get(format!("{}{path}", hub.base))).await.status, 200, "{path}");
    }
    hub.app.run.stop();
    assert_eq!(hub.send(hub.client.get(format!("{}/readyz", hub.base))).await.status, 503);
    assert_eq!(hub.send(hub.client.get(format!("{}/healthz", hub.base))).await.status, 200);
}

#[actix_web::test]
async fn the_figures_are_in_the_format_of_prometheus_and_name_types_to_those_who_may_see_them() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    hub.make("work-order", json!({ "title": "Seal" })).await;
    hub.get("/types/none").await.problem(404);
    let open = hub.send(hub.client.get(format!("{}/metrics", hub.base))).await;
    assert_eq!(open.status, 200);
    assert!(open.header("content-type").starts_with("text/plain; version=0.0.4"));
    let has = |text: &str, line: &str| text.lines().any(|other| other == line);
    assert!(has(&open.text, "outpost_records{state=\"living\"} 1"), "{}", open.text);
    assert!(has(&open.text, "outpost_api_requests_total{method=\"POST\",status=\"2xx\"} 2"), "{}", open.text);
    assert!(has(&open.text, "outpost_api_requests_total{method=\"GET\",status=\"4xx\"} 1"), "{}", open.text);
    assert!(has(&open.text, "outpost_outbox_saves 0"), "{}", open.text);
    assert!(!open.text.contains("work-order"), "{}", open.text);
    let known = hub.send(hub.client.get(format!("{}/metrics", hub.base)).bearer_auth(&hub.admin)).await;
    assert!(has(&known.text, "outpost_records{type=\"work-order\",state=\"living\"} 1"), "{}", known.text);
    assert!(known.text.contains("outpost_partition_head{partition=\"work-order\"} "), "{}", known.text);
    let mut families = BTreeSet::new();
    for line in known.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(rest.split(' ').next().expect("a name")), "{line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().expect("a name");
            let of_a_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = of_a_histogram.filter(|family| families.contains(family)).unwrap_or(name);
            assert!(families.contains(family), "{line}");
            assert!(line.rsplit(' ').next().is_some_and(|value| value.parse::<f64>().is_ok()), "{line}");
        }
    }
}

#[actix_web::test]
async fn the_description_holds_what_is_served_and_the_types_that_people_made() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let address = format!("{}/api/openapi.json", hub.base);
    let open = hub.send(hub.client.get(&address)).await.expect(200);
    assert_eq!(open["openapi"], "3.1.1");
    assert!(!open.to_string().contains("work-order/records"));
    let token = hub.token(Role::Viewer).await;
    let document = hub.send(hub.client.get(&address).bearer_auth(&token)).await.expect(200);
    assert_eq!(document, outpost::web::api::openapi(hub.node()));
    let schema = &document["components"]["schemas"]["work-order"];
    assert_eq!(schema["properties"]["title"]["maxLength"], 120);
    let data = document.pointer("/components/schemas/NewRecord.work-order/properties/data/$ref");
    assert_eq!(data, Some(&json!("#/components/schemas/work-order")));
    let body =
        document.pointer("/paths/~1types~1work-order~1records/post/requestBody/content/application~1json/schema/$ref");
    assert_eq!(body, Some(&json!("#/components/schemas/NewRecord.work-order")));
    resolve(&document, &document);
    hub.send(hub.client.get(&address).bearer_auth("wrong")).await.problem(401);
}

/// Every reference into the document leads somewhere; those inside a type's schema are its own.
fn resolve(document: &Value, value: &Value) {
    match value {
        Value::Object(members) if members.contains_key("$id") => {}
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("a local reference");
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            members.values().for_each(|value| resolve(document, value));
        }
        Value::Array(items) => items.iter().for_each(|item| resolve(document, item)),
        _ => {}
    }
}

#[actix_web::test]
async fn everything_that_is_described_is_served_and_answers_as_described() {
    let hub = start_hub().await;
    let document = outpost::web::api::openapi(hub.node());
    for (path, item) in document["paths"].as_object().expect("paths") {
        let base = if item.get("servers").is_some() { hub.base.clone() } else { format!("{}/api/v1", hub.base) };
        let address = path.replace("{type}", "none").replace("{id}", "none");
        for (method, operation) in item.as_object().expect("a path") {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) || path == "/events" {
                continue;
            }
            let request = hub.client.request(method.clone(), format!("{base}{address}")).bearer_auth(&hub.admin);
            let answer = hub.send(request).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(!answer.text.contains("nothing at this address"), "{method} {path}");
            let told = operation["responses"].as_object().expect("answers");
            assert!(
                told.contains_key(&answer.status.to_string()),
                "{method} {path}: {} {}",
                answer.status,
                answer.text
            );
        }
    }
}

#[actix_web::test]
async fn a_head_is_a_get_without_its_body() {
    let hub = start_hub().await;
    hub.sample("work-order").await;
    let record = hub.make("work-order", json!({ "title": "Seal" })).await;
    let get = hub.get(&record).await;
    let head = hub.send(hub.request(Method::HEAD, &record)).await;
    assert_eq!((head.status, head.text.as_str(), head.header("etag")), (200, "", get.header("etag")));
}
