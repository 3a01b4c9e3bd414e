//! Edges: let in, in step, on their own, withdrawn.

use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::run::{Place, Running, http, hub, run, run_with, sample, titles};

fn invite(hub: &Path, more: &[&str]) -> String {
    let invited = run(hub, &[&["node", "invite", "--json"], more].concat()).json();
    invited["token"].as_str().expect("a token").to_owned()
}

#[test]
fn an_edge_joins_copies_works_alone_and_comes_back_in_step() {
    let place = Place::new();
    let (data, token) = hub(&place);
    let lines: String = (0..40).map(|n| format!("{{\"title\":\"order {n:02}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let node = Running::serve(&data);
    let invitation = invite(&data, &["--name", "Platform 7"]);

    let edge = place.at("edge");
    let joined = run(&edge, &["join", &node.url, "--token", &invitation, "--json"]).json();
    assert_eq!((&joined["name"], &joined["records"]), (&json!("Platform 7"), &json!(40)));
    assert_eq!(titles(&edge), titles(&data));
    let status = run(&edge, &["sync", "status", "--json"]).json();
    assert_eq!((&status["role"], &status["upstream"]["state"]), (&json!("edge"), &json!("offline")));

    // the hub goes away; the edge needs nobody
    let port = node.url.trim_start_matches("http://").to_owned();
    node.stop();
    run_with(&edge, &["records", "import", "work-order", "-"], "{\"title\":\"made alone\"}").good();
    let status = run(&edge, &["sync", "status", "--json"]).json();
    assert_eq!(status["pending_out"], 1);
    let now = run(&edge, &["sync", "now"]);
    assert!(now.failed().contains("not in step with the hub"), "{}", now.err);

    // and comes back
    let mut command = crate::run::outpost();
    command.args(["serve", "--json", "--log", "warn", "--listen", &port, "--data"]).arg(&data);
    let _hub = Running::start(command);
    let now = run(&edge, &["sync", "now", "--json"]).json();
    assert_eq!((&now["in_step"], &now["pending_out"]), (&json!(true), &json!(0)));
    assert!(titles(&data).contains(&"made alone".to_owned()));

    // while it runs, too
    let running = Running::serve(&edge);
    assert_eq!(running.told["role"], "edge");
    let (status, _) = http(
        &format!("http://{port}"),
        "POST",
        "/api/v1/types/work-order/records",
        &token,
        Some(&json!({ "data": { "title": "from above" } })),
    );
    assert_eq!(status, 201);
    assert_eq!(run(&edge, &["sync", "now", "--json"]).json()["in_step"], true);
    assert!(titles(&edge).contains(&"from above".to_owned()));
    let listed = run(&data, &["node", "list", "--json"]).json();
    assert_eq!((&listed[0]["name"], &listed[0]["scope"]), (&json!("Platform 7"), &json!("all")));
}

#[test]
fn a_paused_link_stays_paused_until_it_is_resumed() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let node = Running::serve(&data);
    let edge = place.at("edge");
    run(&edge, &["join", &node.url, "--token", &invite(&data, &[])]).good();
    assert_eq!(run(&edge, &["sync", "pause", "--json"]).json()["upstream"]["state"], "paused");
    let now = run(&edge, &["sync", "now"]);
    assert!(now.failed().contains("outpost sync resume"), "{}", now.err);
    let running = Running::serve(&edge);
    assert_eq!(run(&edge, &["sync", "status", "--json"]).json()["upstream"]["state"], "paused");
    run(&edge, &["sync", "resume"]).good();
    assert_eq!(run(&edge, &["sync", "now", "--json"]).json()["in_step"], true);
    // by API the answer tells what came of it, too
    let made = run(&edge, &["token", "create", "--name", "t", "--role", "staff", "--json"]).json();
    let token = made["token"].as_str().expect("a token");
    for _ in 0..5 {
        let (status, state) = http(&running.url, "POST", "/api/v1/sync/pause", token, None);
        assert_eq!((status, &state["upstream"]["state"]), (200, &"paused".into()), "{state}");
        let (status, state) = http(&running.url, "POST", "/api/v1/sync/resume", token, None);
        assert_eq!(status, 200);
        assert_ne!(state["upstream"]["state"], "paused");
    }
}

#[test]
fn an_edge_gets_what_its_scope_names_and_nothing_else() {
    let place = Place::new();
    let (data, _) = hub(&place);
    run(&data, &["type", "import", &sample("inspection").to_string_lossy()]).good();
    let lines: String = ["platform-7", "platform-9", "platform-7"]
        .iter()
        .map(|site| format!("{{\"site\":\"{site}\",\"area\":\"Galley\",\"inspected_on\":\"2026-11-03\"}}\n"))
        .collect();
    run_with(&data, &["records", "import", "inspection", "-"], &lines).good();
    run_with(&data, &["records", "import", "work-order", "-"], "{\"title\":\"elsewhere\"}").good();
    let node = Running::serve(&data);
    let refused = run(&data, &["node", "invite", "--scope", "{\"inspection\": 7}"]);
    assert!(refused.failed().contains("inspection"), "{}", refused.err);
    let invitation = invite(&data, &["--scope", r#"{"inspection": ["platform-7"]}"#]);
    let edge = place.at("edge");
    run(&edge, &["join", &node.url, "--token", &invitation]).good();
    let held = run(&edge, &["records", "export", "inspection"]).good();
    assert_eq!(held.lines().count(), 2, "{held}");
    assert!(!held.contains("platform-9"), "{held}");
    assert!(titles(&edge).is_empty());
}

#[test]
fn joins_that_cannot_be_are_told_and_leave_nothing() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let node = Running::serve(&data);
    let used = invite(&data, &["--name", "first"]);
    let first = place.at("first");
    run(&first, &["join", &node.url, "--token", &used]).good();

    let second = place.at("second");
    let cases = [
        (node.url.as_str(), used.as_str(), "already used by first"),
        (&node.url, "opj_never-made", "not one of this hub"),
        ("http://127.0.0.1:1", "opj_x", "http://127.0.0.1:1"),
        ("not an address", "opj_x", "no address of a hub"),
        (&format!("{}/types", node.url), "opj_x", "/types"),
    ];
    for (url, token, word) in cases {
        let ended = run(&second, &["join", url, "--token", token]);
        assert!(ended.failed().contains(word), "{url}: {}", ended.err);
        assert!(!second.exists(), "{url}");
    }
    // a directory that is something already stays what it is
    let fresh = invite(&data, &[]);
    assert!(run(&first, &["join", &node.url, "--token", &fresh]).failed().contains("already an edge of"));
    let other = place.at("other");
    run(&other, &["token", "create", "--name", "a", "--role", "viewer"]).good();
    assert!(run(&other, &["join", &node.url, "--token", &fresh]).failed().contains("already the hub"));
    // and the token is still good
    run(&second, &["join", &node.url, "--token", &fresh]).good();
}

/// A way to a node at `url` on which the first answer is lost.
fn first_answer_lost(url: &str) -> String {
    let target = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let here = format!("http://{}", listener.local_addr().expect("it listens"));
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let (client, target) = (client.expect("a connection"), target.clone());
            thread::spawn(move || {
                let node = TcpStream::connect(target).expect("the node is there");
                let (mut up, mut down) = (client.try_clone().expect("a socket"), node.try_clone().expect("a socket"));
                let (mut from, mut to) = (node, client);
                let upward = thread::spawn(move || io::copy(&mut up, &mut down));
                if number == 0 {
                    from.read_exact(&mut [0]).expect("the node answers");
                    to.shutdown(Shutdown::Both).expect("it is open");
                } else {
                    // either side may go first
                    let _ = io::copy(&mut from, &mut to);
                }
                from.shutdown(Shutdown::Both).ok();
                upward.join().expect("it copies").ok();
            });
        }
    });
    here
}

#[test]
fn a_join_whose_answer_was_lost_goes_on_with_the_same_command() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let node = Running::serve(&data);
    let url = first_answer_lost(&node.url);
    let (edge, token) = (place.at("edge"), invite(&data, &["--name", "Platform 7"]));
    let join = ["join", &url, "--token", &token];
    let lost = run(&edge, &join);
    assert!(lost.failed().contains("run the same command again"), "{}", lost.err);
    // it is no hub by accident meanwhile
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["sync", "status"]] {
        assert!(run(&edge, command).failed().contains("not finished"));
    }
    run(&edge, &join).good();
    assert_eq!(run(&data, &["node", "list", "--json"]).json().as_array().map(Vec::len), Some(1));
    // the same token from elsewhere is a used one
    let other = run(&place.at("other"), &["join", &node.url, "--token", &token]);
    assert!(other.failed().contains("already used by Platform 7"), "{}", other.err);
}

#[test]
fn what_only_a_hub_can_do_is_refused_on_an_edge() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let node = Running::serve(&data);
    let edge = place.at("edge");
    run(&edge, &["join", &node.url, "--token", &invite(&data, &[])]).good();
    let vitals = sample("vitals").to_string_lossy().into_owned();
    let add = run_with(&edge, &["user", "add", "a@example.org", "--role", "staff", "--password-stdin"], "lantern-9");
    for ended in
        [add, run(&edge, &["type", "import", &vitals]), run(&edge, &["node", "invite"]), run(&edge, &["node", "list"])]
    {
        assert!(ended.err.contains("edge of") && ended.err.contains(&node.url), "{}", ended.err);
        assert_eq!(ended.status, 1);
    }
    let hub_only = run(&data, &["sync", "now"]);
    assert!(hub_only.failed().contains("this node is the hub"), "{}", hub_only.err);
    assert_eq!(run(&data, &["sync", "status", "--json"]).json()["upstream"], Value::Null);
}

#[test]
fn a_withdrawn_edge_is_told_so() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let node = Running::serve(&data);
    let edge = place.at("edge");
    run(&edge, &["join", &node.url, "--token", &invite(&data, &["--name", "gone"])]).good();
    let listed = run(&data, &["node", "list", "--json"]).json();
    let id = listed[0]["id"].as_str().expect("an id");
    assert!(run(&data, &["node", "change", id, "--scope", r#"{"note": true}"#]).good().contains("note"));
    assert!(run(&data, &["node", "change", id, "--scope", r#"{"note": 1}"#]).failed().contains("note"));
    run(&data, &["node", "revoke", id]).good();
    assert!(run(&data, &["node", "change", id, "--scope", "all"]).failed().contains("revoked"));
    assert!(run(&data, &["node", "revoke", "0000000000000000"]).failed().contains("outpost node list"));
    let now = run(&edge, &["sync", "now"]);
    assert!(now.failed().contains("does not let this node in"), "{}", now.err);
    assert!(run(&data, &["node", "list"]).good().contains("revoked"));
}
