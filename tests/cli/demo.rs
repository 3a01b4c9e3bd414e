//! The demo, from its first line to its last trace.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{Place, Running, ended, http, outpost};

fn start(place: &Place) -> Running {
    let mut command = outpost();
    command.args(["demo", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0", "--json", "--log", "warn"]);
    command.env("TMPDIR", place.at("."));
    Running::start(command)
}

fn left(place: &Place) -> Vec<PathBuf> {
    std::fs::read_dir(place.at(".")).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn it_says_where_both_answer_and_who_can_sign_in_and_leaves_nothing() {
    let place = Place::new();
    let begun = Instant::now();
    let demo = start(&place);
    // built without optimisation and beside other tests it may take longer than the second that is promised
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let address = |which: &str| demo.told[which].as_str().expect("an address").to_owned();
    for url in [address("hub"), address("edge")] {
        assert_eq!(http(&url, "GET", "/readyz", "", None).0, 200, "{url}");
        assert_eq!(http(&url, "GET", "/api/v1/types", "", None).0, 401, "{url}");
    }
    let people = demo.told["people"].as_array().expect("a list");
    assert!(people.len() >= 2);
    for person in people {
        let text = |name: &str| person[name].as_str().expect("text");
        assert!(text("email").contains('@') && text("password").len() >= 8, "{person}");
    }
    let roles: Vec<&Value> = people.iter().map(|person| &person["role"]).collect();
    assert!(roles.contains(&&Value::from("admin")) && roles.contains(&&Value::from("staff")), "{roles:?}");
    assert_eq!(left(&place).len(), 1);
    demo.stop();
    assert_eq!(left(&place), Vec::<PathBuf>::new());
}

#[test]
fn a_port_in_use_is_told() {
    let place = Place::new();
    let demo = start(&place);
    let taken = demo.told["edge"].as_str().expect("an address").trim_start_matches("http://").to_owned();
    for args in
        [["--listen", &taken, "--edge-listen", "127.0.0.1:0"], ["--listen", "127.0.0.1:0", "--edge-listen", &taken]]
    {
        let ended = ended(outpost().arg("demo").args(args));
        assert!(ended.failed().contains("another program uses it"), "{}", ended.err);
    }
}
