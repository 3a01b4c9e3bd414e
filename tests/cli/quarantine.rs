//! What a hub may not accept, looked at and decided by commands.

use serde_json::json;

use crate::run::{Place, Running, http, hub, run};

#[test]
fn what_is_in_quarantine_is_listed_shown_exported_and_decided() {
    let place = Place::new();
    let (data, token) = hub(&place);
    assert_eq!(run(&data, &["quarantine", "list", "--json"]).json(), json!([]));
    let node = Running::serve(&data);
    let invited = run(&data, &["node", "invite", "--name", "Platform 7", "--json"]).json();
    let edge = place.at("edge");
    run(&edge, &["join", &node.url, "--token", invited["token"].as_str().expect("a token")]).good();
    let made = run(&edge, &["token", "create", "--name", "t", "--role", "staff", "--json"]).json();
    let edge_token = made["token"].as_str().expect("a token").to_owned();
    let running = Running::serve(&edge);
    run(&edge, &["sync", "pause"]).good();
    for title in ["one", "two"] {
        let body = format!("{{\"data\":{{\"title\":\"{title}\"}}}}");
        let body = serde_json::from_str(&body).expect("JSON");
        let made = http(&running.url, "POST", "/api/v1/types/work-order/records", &edge_token, Some(&body));
        assert_eq!(made.0, 201, "{made:?}");
    }
    let known = run(&data, &["node", "list", "--json"]).json();
    run(&data, &["node", "revoke", known[0]["id"].as_str().expect("an id")]).good();
    run(&edge, &["sync", "resume"]).good();
    let began = std::time::Instant::now();
    let listed = loop {
        let listed = run(&data, &["quarantine", "list", "--json"]).json();
        if listed.as_array().is_some_and(|listed| listed.len() == 2) {
            break listed;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{listed}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let of = |title: &str| {
        let entry = listed.as_array().expect("a list").iter().find(|entry| entry["changes"][0]["denied"] == title);
        entry.expect("it is listed").clone()
    };
    let (one, two) = (of("one"), of("two"));
    let id = |entry: &serde_json::Value| entry["id"].as_str().expect("an id").to_owned();
    assert_eq!((&one["state"], &one["node"]["name"]), (&json!("open"), &json!("Platform 7")));
    let table = run(&data, &["quarantine", "list"]).good();
    assert!(table.contains(&id(&one)) && table.contains("revoked") && table.contains("Platform 7"), "{table}");
    let shown = run(&data, &["quarantine", "show", &id(&one)]).good();
    assert!(shown.contains("/title set: \"one\"; nothing stands"), "{shown}");
    assert_eq!(run(&data, &["quarantine", "show", &id(&one), "--json"]).json(), one);

    let file = place.at("save.json");
    run(&data, &["quarantine", "export", &id(&one), "--out", &file.to_string_lossy()]).good();
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(kept, one);
    assert!(kept["content"]["records"].is_array(), "all that was typed: {kept}");
    let again = run(&data, &["quarantine", "export", &id(&one), "--out", &file.to_string_lossy()]);
    assert!(again.failed().contains("cannot be written"), "a file that is there stays");
    let out = run(&data, &["quarantine", "export", &id(&one)]).good();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).expect("JSON"), one);

    assert!(run(&data, &["quarantine", "admit", &id(&one)]).good().contains("is admitted"));
    let record = format!("/api/v1/types/work-order/records/{}", one["record"].as_str().expect("an id"));
    assert_eq!(http(&node.url, "GET", &record, &token, None).1["data"]["title"], "one");
    assert!(run(&data, &["quarantine", "admit", &id(&one)]).failed().contains("decided already"));
    let empty = run(&data, &["quarantine", "send-back", &id(&two), "--reason", " "]);
    assert!(empty.failed().contains("in a few words"), "{}", empty.err);
    run(&data, &["quarantine", "send-back", &id(&two), "--reason", "twice"]).good();
    assert!(run(&data, &["quarantine", "show", &id(&two)]).good().contains("word: twice"));
    // where the node does not run, too
    node.stop();
    assert_eq!(run(&data, &["quarantine", "list", "--json"]).json(), json!([]));
    let states = |state: &str| run(&data, &["quarantine", "list", "--state", state, "--json"]).json();
    assert_eq!(states("admitted")[0]["id"], one["id"]);
    assert_eq!(states("returned")[0]["id"], two["id"]);
    assert_eq!(states("all").as_array().map(Vec::len), Some(2));
    let none = run(&data, &["quarantine", "show", "0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11"]);
    assert!(none.failed().contains("save in quarantine"), "{}", none.err);
    // it is decided at the hub
    let below = run(&edge, &["quarantine", "admit", &id(&two)]);
    assert!(below.failed().contains("at the hub"), "{}", below.err);
}
