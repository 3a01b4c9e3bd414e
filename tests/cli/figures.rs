//! What Prometheus reads of a hub and its edge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::run::{Place, Running, http, hub, run};

const RECORDS: &str = "/api/v1/types/work-order/records";

/// The figures of a node by name and labels, read as strictly as Prometheus does.
fn figures(url: &str, token: &str) -> BTreeMap<String, f64> {
    let (status, page) = http(url, "GET", "/metrics", token, None);
    assert_eq!(status, 200);
    let text = page.as_str().expect("it is text");
    let (mut kinds, mut all) = (BTreeMap::new(), BTreeMap::new());
    let mut helped = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(help.ends_with('.') && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().expect("a name");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                let family = name.strip_suffix(end)?;
                (kinds.get(family).map(String::as_str) == Some("histogram")).then_some(family)
            });
            assert!(helped.contains(family.unwrap_or(name)), "{line} has no family");
            let value: f64 = value.parse().expect("a number");
            assert!(all.insert(series.to_owned(), value).is_none(), "{line} stands twice");
        }
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        let of = |end: &str| {
            let begin = format!("{name}{end}");
            let ours: Vec<_> = all.iter().filter(|(series, _)| series.starts_with(&begin)).collect();
            ours
        };
        let whole = of("_bucket").into_iter().filter(|(series, _)| series.contains("le=\"+Inf\""));
        let most: Vec<f64> = whole.map(|(_, value)| *value).collect();
        let counts: Vec<f64> = of("_count").into_iter().map(|(_, value)| *value).collect();
        assert_eq!(most, counts, "{name}");
    }
    all
}

#[test]
fn an_operator_sees_what_travelled_and_how_each_edge_is() {
    let place = Place::new();
    let (data, above) = hub(&place);
    let top = Running::serve(&data);
    let invited = run(&data, &["node", "invite", "--name", "Platform \"7\"", "--json"]).json();
    let edge = place.at("edge");
    run(&edge, &["join", &top.url, "--token", invited["token"].as_str().expect("a token")]).good();
    let made = run(&edge, &["token", "create", "--name", "tests", "--role", "admin", "--json"]).json();
    let below = made["token"].as_str().expect("a token");
    let bottom = Running::serve(&edge);
    for (url, token) in [(&bottom.url, below), (&top.url, above.as_str())] {
        assert_eq!(http(url, "POST", RECORDS, token, Some(&json!({ "data": { "title": "A" } }))).0, 201);
    }
    run(&edge, &["sync", "now"]).good();

    let down = figures(&bottom.url, below);
    let at = |name: &str| *down.get(name).unwrap_or_else(|| panic!("{name} is not there"));
    assert!(at("outpost_link_steps_total{step=\"push\",outcome=\"ok\"}") >= 1.0);
    assert!(at("outpost_link_steps_total{step=\"hello\",outcome=\"ok\"}") >= 1.0);
    assert!(at("outpost_link_step_seconds_count{step=\"pull\"}") >= 1.0);
    assert_eq!(at("outpost_link_saves_total{verdict=\"accepted\"}"), 1.0);
    assert!(at("outpost_link_rows_total") >= 1.0 && at("outpost_link_sent_bytes_total") > 100.0);
    assert!(at("outpost_link_received_bytes_total") > 100.0);
    assert_eq!(at("outpost_link_state{state=\"in-step\"}"), 1.0);
    assert_eq!(at("outpost_link_differences_total"), 0.0);
    assert!(at("outpost_link_clock_ahead_seconds").abs() < 5.0);
    assert!(at("outpost_link_last_contact_timestamp_seconds") > 1.5e9);
    assert_eq!(at("outpost_outbox_saves"), 0.0);
    assert!(at("outpost_store_group_requests_count") > 1.0 && at("outpost_store_commit_seconds_count") > 1.0);
    assert!(!down.contains_key("outpost_outbox_oldest_timestamp_seconds"));

    let began = Instant::now();
    let mut up = figures(&top.url, &above);
    while up["outpost_nodes{in_step=\"true\"}"] < 1.0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{up:?}");
        std::thread::sleep(Duration::from_millis(50));
        up = figures(&top.url, &above);
    }
    let at = |name: &str| *up.get(name).unwrap_or_else(|| panic!("{name} is not there"));
    assert_eq!(at("outpost_sync_requests_total{step=\"enrol\",outcome=\"ok\"}"), 1.0);
    assert_eq!(at("outpost_sync_saves_total{verdict=\"accepted\"}"), 1.0);
    assert!(at("outpost_sync_rows_total") >= 1.0 && at("outpost_sync_received_bytes_total") > 100.0);
    assert!(at("outpost_sync_sent_bytes_total") > 100.0);
    assert!(at("outpost_sync_listening") >= 1.0);
    let of_the_node = |name: &str| {
        let found = up.iter().find(|(series, _)| series.starts_with(&format!("{name}{{")));
        let (series, value) = found.unwrap_or_else(|| panic!("{name} is not there"));
        assert!(series.contains("name=\"Platform \\\"7\\\"\""), "{series}");
        *value
    };
    assert_eq!(of_the_node("outpost_node_in_step"), 1.0);
    assert_eq!((of_the_node("outpost_node_behind_records"), of_the_node("outpost_node_waiting_saves")), (0.0, 0.0));
    // whoever shows nothing is told no names
    assert!(figures(&top.url, "").keys().all(|series| !series.contains("Platform")));

    // a hub that is gone
    top.stop();
    assert_eq!(http(&bottom.url, "POST", RECORDS, below, Some(&json!({ "data": { "title": "B" } }))).0, 201);
    let began = Instant::now();
    let failed = "outpost_link_steps_total{step=\"hello\",outcome=\"unreachable\"}";
    let mut down = figures(&bottom.url, below);
    while down[failed] < 1.0 || down["outpost_link_state{state=\"offline\"}"] < 1.0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{down:?}");
        std::thread::sleep(Duration::from_millis(50));
        down = figures(&bottom.url, below);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later").as_secs_f64();
    assert!((now - down["outpost_outbox_oldest_timestamp_seconds"]).abs() < 30.0);
    assert_eq!(down["outpost_outbox_saves"], 1.0);
}
