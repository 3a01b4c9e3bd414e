//! A node that runs: one writer, and an end that loses nothing.

use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::run::{Place, Running, ended, http, hub, outpost, run, run_with, sample, send, titles};

const RECORDS: &str = "/api/v1/types/work-order/records";

#[test]
fn a_new_directory_becomes_a_hub_whose_first_admin_sets_themselves_up() {
    let place = Place::new();
    let data = place.at("deep/down");
    let node = Running::serve(&data);
    assert_eq!(node.told["role"], "hub");
    let setup = node.told["setup"].as_str().expect("a set-up address");
    assert!(setup.starts_with(&format!("{}/setup?token=", node.url)), "{setup}");
    assert_eq!(http(&node.url, "GET", "/healthz", "", None).0, 200);
    run_with(&data, &["user", "add", "a@example.org", "--role", "admin", "--password-stdin"], "harbour-7").good();
    node.stop();
    // who has people needs no set-up
    assert!(Running::serve(&data).told["setup"].is_null());
}

#[test]
fn commands_work_while_the_node_serves_and_what_they_do_is_seen_at_once() {
    let place = Place::new();
    let data = place.at("hub");
    let node = Running::serve(&data);
    run(&data, &["type", "import", &sample("work-order").to_string_lossy()]).good();
    let made = run(&data, &["token", "create", "--name", "tests", "--role", "staff", "--json"]).json();
    let token = made["token"].as_str().expect("a token");
    let (status, record) = http(&node.url, "POST", RECORDS, token, Some(&json!({ "data": { "title": "by API" } })));
    assert_eq!(status, 201, "{record}");
    run_with(&data, &["records", "import", "work-order", "-"], "{\"title\":\"by command\"}").good();
    assert_eq!(titles(&data), ["by API", "by command"]);
    let (_, page) = http(&node.url, "GET", RECORDS, token, None);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    // refusals come through as they are
    assert!(run(&data, &["type", "show", "nothing"]).failed().contains("outpost type list"));
    run(&data, &["token", "revoke", "tests"]).good();
    assert_eq!(http(&node.url, "GET", RECORDS, token, None).0, 401);
    node.stop();
    assert_eq!(titles(&data), ["by API", "by command"]);
}

#[test]
fn a_second_serve_is_told_who_holds_the_directory() {
    let place = Place::new();
    let data = place.at("hub");
    let node = Running::serve(&data);
    let second = run(&data, &["serve", "--listen", "127.0.0.1:0"]);
    let line = second.failed();
    assert!(line.contains(&node.pid().to_string()) && line.contains(&node.url), "{line}");
    let join = run(&data, &["join", &node.url, "--token", "opj_x"]);
    assert!(join.failed().contains("in use by process"), "{}", join.err);
    assert_eq!(http(&node.url, "GET", "/healthz", "", None).0, 200);
}

#[test]
fn a_port_in_use_is_told() {
    let place = Place::new();
    let node = Running::serve(&place.at("one"));
    let address = node.url.trim_start_matches("http://");
    let ended = run(&place.at("two"), &["serve", "--listen", address]);
    assert!(ended.failed().contains("another program uses it") && ended.err.contains("--listen"), "{}", ended.err);
}

#[test]
fn what_was_answered_is_there_after_an_orderly_stop() {
    durable(Running::stop);
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    durable(Running::kill);
}

/// Several write at once until the node ends; all that was answered must be there.
fn durable(end: fn(Running)) {
    let place = Place::new();
    let (data, token) = hub(&place);
    let node = Running::serve(&data);
    let (url, token) = (&node.url.clone(), &token);
    let answered: Vec<String> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                scope.spawn(move || {
                    let mut answered = Vec::new();
                    for n in 0.. {
                        let title = format!("{writer} {n:04}");
                        let body = json!({ "data": { "title": title } });
                        // once the node is gone nothing is answered any more
                        let asked = std::panic::catch_unwind(|| http(url, "POST", RECORDS, token, Some(&body)).0);
                        match asked {
                            Ok(201) => answered.push(title),
                            Ok(status) => assert!(status >= 500, "{status}"),
                            Err(_) => return answered,
                        }
                    }
                    answered
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400));
        end(node);
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(answered.len() >= 3, "{answered:?}");
    // a socket that was left is no obstacle, to commands and to the next run
    let kept = titles(&data);
    let missing: Vec<_> = answered.iter().filter(|title| !kept.contains(title)).collect();
    assert!(missing.is_empty(), "{missing:?} of {}", answered.len());
    let node = Running::serve(&data);
    let (_, record) = http(&node.url, "POST", RECORDS, token, Some(&json!({ "data": { "title": "after" } })));
    assert_eq!(record["data"]["title"], "after");
    node.stop();
}

#[test]
fn a_stop_ends_live_streams_and_takes_no_long_time() {
    let place = Place::new();
    let (data, token) = hub(&place);
    let mut node = Running::serve(&data);
    let mut live = BufReader::new(send(&node.url, "GET", "/api/v1/events", &token, None));
    let mut line = String::new();
    live.read_line(&mut line).expect("it begins");
    assert!(line.contains("200"), "{line}");
    let begun = Instant::now();
    node.signal("TERM");
    assert!(node.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let mut rest = String::new();
    live.read_to_string(&mut rest).expect("the stream has an end");
    assert!(!data.join("outpost.sock").exists());
}

#[test]
fn whoever_stops_in_the_middle_of_a_body_does_not_hold_up_the_end() {
    use std::io::Write;
    let place = Place::new();
    let (data, token) = hub(&place);
    let mut node = Running::serve(&data);
    let address = node.url.strip_prefix("http://").expect("a plain address").to_owned();
    let mut stuck = Vec::new();
    for (path, kind) in [
        ("/api/v1/types/work-order/records", "application/json"),
        ("/login", "application/x-www-form-urlencoded"),
        ("/sync/v1/enrol", "application/json"),
    ] {
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n");
        write!(stream, "{head}content-type: {kind}\r\ncontent-length: 500\r\n\r\n{{").expect("it takes a part");
        stuck.push(stream);
    }
    // it has been taken up, as this answer shows
    assert_eq!(http(&node.url, "GET", "/healthz", "", None).0, 200);
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    node.signal("TERM");
    assert!(node.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let mut answer = String::new();
    stuck[0].read_to_string(&mut answer).expect("it is answered");
    assert!(answer.contains(" 408 ") && answer.contains("nothing was changed"), "{answer}");
    assert!(titles(&data).is_empty());
}

#[test]
fn a_directory_with_a_long_name_has_its_socket_too() {
    let place = Place::new();
    let data = place.at(&format!("{}/{}", "d".repeat(90), "e".repeat(90)));
    let _node = Running::serve(&data);
    assert_eq!(run(&data, &["type", "list", "--json"]).json(), json!([]));
}

#[test]
fn the_socket_and_the_directory_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let data = place.at("hub");
    let _node = Running::serve(&data);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("outpost.sock"))), (0o700, 0o600));
}

#[test]
fn a_question_that_is_not_understood_is_answered_and_harms_nothing() {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    let place = Place::new();
    let data = place.at("hub");
    let _node = Running::serve(&data);
    let socket = UnixStream::connect(data.join("outpost.sock")).expect("it listens");
    (&socket).write_all(b"{\"backup\":{}}\nnot json\n").expect("it takes lines");
    let mut lines = BufReader::new(socket).lines();
    for _ in 0..2 {
        let answer = lines.next().expect("an answer").expect("a line");
        assert!(answer.contains("failed") && answer.contains("does not know this command"), "{answer}");
    }
    ended(outpost().args(["type", "list", "--data"]).arg(&data)).good();
}
