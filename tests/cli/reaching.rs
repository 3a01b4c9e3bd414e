//! How far a record has come, as running nodes tell it over HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{Place, Running, http, hub, run};

/// Reads a record until its reach is so.
fn until(url: &str, token: &str, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, record) = http(url, "GET", path, token, None);
        assert_eq!(status, 200, "{record}");
        if is_so(&record["reach"]) {
            return record["reach"].clone();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{record}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_record_tells_how_far_it_has_come_on_edge_and_hub() {
    let place = Place::new();
    let (data, hub_token) = hub(&place);
    let node = Running::serve(&data);
    let mut edges = Vec::new();
    for name in ["seven", "boat"] {
        let invited = run(&data, &["node", "invite", "--name", name, "--json"]).json();
        let edge = place.at(name);
        run(&edge, &["join", &node.url, "--token", invited["token"].as_str().expect("a token")]).good();
        edges.push(edge);
    }
    let made = run(&edges[0], &["token", "create", "--name", "t", "--role", "staff", "--json"]).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let seven = Running::serve(&edges[0]);
    run(&edges[0], &["sync", "pause"]).good();
    let body = json!({ "data": { "title": "Seal" } });
    let (status, record) = http(&seven.url, "POST", "/api/v1/types/work-order/records", &token, Some(&body));
    assert_eq!(status, 201, "{record}");
    let path = format!("/api/v1/types/work-order/records/{}", record["id"].as_str().expect("an id"));
    let here = until(&seven.url, &token, &path, |_| true);
    assert_eq!(here, json!({ "state": "here", "at_hub": false, "sites": null }));

    run(&edges[0], &["sync", "resume"]).good();
    // one edge does not run: it is on one of two sites
    let reach = until(&seven.url, &token, &path, |reach| reach["sites"]["have"] == 1);
    assert_eq!((&reach["state"], &reach["at_hub"], &reach["sites"]["of"]), (&json!("hub"), &json!(true), &json!(2)));
    assert!(reach["sites"]["as_of"].is_string());
    let at_hub = until(&node.url, &hub_token, &path, |reach| reach["sites"]["have"] == 1);
    assert_eq!((&at_hub["state"], &at_hub["sites"]["of"]), (&json!("hub"), &json!(2)));

    let _boat = Running::serve(&edges[1]);
    let everywhere = |reach: &Value| reach["sites"]["have"] == 2;
    assert_eq!(until(&node.url, &hub_token, &path, everywhere)["state"], "sites");
    assert_eq!(until(&seven.url, &token, &path, everywhere)["state"], "sites");
    // what is told of it may come back with a copy
    let (_, whole) = http(&seven.url, "GET", &path, &token, None);
    let mut copy = whole.clone();
    copy.as_object_mut().expect("a record").remove("id");
    assert_eq!(http(&seven.url, "POST", "/api/v1/types/work-order/records", &token, Some(&copy)).0, 201);
}

#[test]
fn the_status_says_since_when_why_and_what_to_do() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let node = Running::serve(&data);
    let invited = run(&data, &["node", "invite", "--name", "seven", "--json"]).json();
    let edge = place.at("seven");
    run(&edge, &["join", &node.url, "--token", invited["token"].as_str().expect("a token")]).good();
    assert!(run(&edge, &["sync", "status"]).good().contains("outpost serve"), "nobody carries anything");
    let _seven = Running::serve(&edge);
    run(&edge, &["sync", "now"]).good();
    let said = run(&edge, &["sync", "status"]).good();
    assert!(said.contains("is in step") && said.contains(" since "), "{said}");
    run(&edge, &["sync", "pause"]).good();
    assert!(run(&edge, &["sync", "status"]).good().contains("outpost sync resume"));
    node.stop();
    run(&edge, &["sync", "resume"]).good();
    let began = Instant::now();
    loop {
        let said = run(&edge, &["sync", "status", "--json"]).json();
        let upstream = &said["upstream"];
        if upstream["state"] == "offline" && upstream["next_try"].is_string() {
            assert!(upstream["since"].is_string() && upstream["reason"].is_string(), "{said}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(run(&edge, &["sync", "status"]).good().contains("outpost sync now"));
}
