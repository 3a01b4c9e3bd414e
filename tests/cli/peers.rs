//! Edges of one site, as processes of their own.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{Place, Running, hub, outpost, run, run_with, titles};

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(40), "{what}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn two_edges_of_a_site_go_on_together_without_the_hub_and_a_third_copies_from_them() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines: String = (0..30).map(|n| format!("{{\"title\":\"order {n:02}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let node = Running::serve(&data);
    let port = node.url.trim_start_matches("http://").to_owned();
    let join = |name: &str, more: &[&str]| {
        let invited = run(&data, &["node", "invite", "--name", name, "--site", "Tern Bay", "--json"]).json();
        let token = invited["token"].as_str().expect("a token").to_owned();
        let edge = place.at(name);
        run(&edge, &[&["join", &node.url, "--token", &token], more].concat()).good();
        edge
    };
    let (one, two) = (join("one", &[]), join("two", &[]));
    // it says who is there, and what is no address is refused
    let listed = run(&two, &["sync", "peer", "list"]).good();
    assert!(listed.contains("At this site there is one: outpost sync peer add URL"), "{listed}");
    assert!(run(&two, &["sync", "peer", "add", "over there"]).failed().contains("no address of an edge"));
    assert!(run(&two, &["sync", "peer", "remove", "http://127.0.0.1:1"]).failed().contains("is not asked"));
    assert!(run(&data, &["sync", "peer", "add", "http://127.0.0.1:1"]).failed().contains("is the hub"));
    assert!(run(&two, &["sync", "peer", "add", &node.url]).failed().contains("is the hub of this edge"));

    let (runs_one, runs_two) = (Running::serve(&one), Running::serve(&two));
    let shown = run(&one, &["sync", "peer", "add", &runs_two.url, "--json"]).json();
    assert_eq!(shown[0]["url"], json!(runs_two.url));
    run(&two, &["sync", "peer", "add", &runs_one.url]).good();
    let state = |edge| run(edge, &["sync", "peer", "list", "--json"]).json()[0].clone();
    until("both meet the hub", || [&one, &two].iter().all(|edge| state(edge)["state"] == "resting"));
    assert_eq!((&state(&one)["name"], &state(&two)["name"]), (&json!("two"), &json!("one")));

    node.stop();
    until("the hub is missed", || {
        let away = |edge| run(edge, &["sync", "status", "--json"]).json()["upstream"]["state"] == "offline";
        [&one, &two].iter().all(|edge| away(edge))
    });
    run_with(&one, &["records", "import", "work-order", "-"], "{\"title\":\"from one\"}").good();
    run_with(&two, &["records", "import", "work-order", "-"], "{\"title\":\"from two\"}").good();
    let has = |edge, title: &str| titles(edge).contains(&title.to_owned());
    until("each has what the other saved", || has(&two, "from one") && has(&one, "from two"));
    let said = run(&one, &["sync", "status"]).good();
    assert!(said.contains("peer two at http") && said.contains(": connected since"), "{said}");
    // killed at once, it is still there
    runs_one.kill();

    let mut command = outpost();
    command.args(["serve", "--json", "--log", "warn", "--listen", &port, "--data"]).arg(&data);
    let _node = Running::start(command);
    run(&two, &["sync", "now"]).good();
    assert!(has(&data, "from one") && has(&data, "from two"), "two brought both");
    let status: Value = run(&one, &["sync", "status", "--json"]).json();
    assert!(status["pending_out"].as_u64().expect("a number") >= 1, "the hub has not told one: {status}");
    run(&one, &["sync", "now"]).good();
    assert_eq!(titles(&one), titles(&data));
    assert_eq!(titles(&two), titles(&data));
    assert_eq!(titles(&data).len(), 32, "nothing is there twice");

    // a third one is told of two when it joins, and where it is kept
    let invited = run(&data, &["node", "invite", "--site", "Tern Bay", "--json"]).json();
    let token = invited["token"].as_str().expect("a token");
    let three = place.at("three");
    run(&three, &["join", &format!("http://{port}"), "--token", token, "--peer", &runs_two.url]).good();
    assert_eq!(titles(&three), titles(&data));
    assert_eq!(run(&three, &["sync", "peer", "list", "--json"]).json()[0]["url"], json!(runs_two.url));
    // who leaves the site is told of nobody
    let nodes = run(&data, &["node", "list", "--json"]).json();
    let id = nodes.as_array().expect("a list").iter().find(|node| node["name"] == "two").expect("it is there");
    assert_eq!(id["site"], "Tern Bay");
    run(&data, &["node", "change", id["id"].as_str().expect("an id"), "--site", ""]).good();
    until("two is alone", || run(&two, &["sync", "status", "--json"]).json()["site"] == json!([]));
}
