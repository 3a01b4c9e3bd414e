//! Commands on a directory that nobody serves.

use serde_json::{Value, json};

use crate::run::{Place, ended, outpost, run, run_with, sample};

#[test]
fn wrong_usage_is_told_with_status_two() {
    for args in [
        &["records"][..],
        &["nonsense"],
        &["user", "add"],
        &["user", "add", "a@example.org", "--role", "king"],
        &["serve", "--listen", "nowhere"],
        &["node", "invite", "--scope", "{not json"],
        &["records", "export", "a", "--format", "pdf"],
        &["token", "list", "--log", "outpost=loudly"],
        &["user", "add", "a@example.org", "--role", "staff"],
    ] {
        let ended = ended(outpost().args(args));
        assert_eq!(ended.status, 2, "{args:?}: {}{}", ended.out, ended.err);
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{args:?}");
    }
}

#[test]
fn help_is_no_failure_and_shows_an_example() {
    let help = ended(outpost().args(["records", "import", "--help"])).good();
    assert!(help.contains("Example:") && help.contains("OUTPOST_DRY_RUN"), "{help}");
    assert!(ended(outpost().arg("--version")).good().starts_with("outpost "));
}

#[test]
fn a_directory_without_a_node_is_told_and_left_alone() {
    let place = Place::new();
    let data = place.at("nothing");
    for args in [&["user", "list"][..], &["type", "list"], &["records", "export", "a"], &["sync", "now"]] {
        let ended = run(&data, args);
        let line = ended.failed();
        assert!(line.contains("no node") && line.contains("outpost serve"), "{line}");
    }
    assert!(!data.exists());
}

#[test]
fn every_option_can_come_from_the_environment() {
    let place = Place::new();
    let mut command = outpost();
    command.args(["token", "create"]).env("OUTPOST_DATA", place.at("hub"));
    command.env("OUTPOST_NAME", "by environment").env("OUTPOST_ROLE", "viewer").env("OUTPOST_JSON", "1");
    let made: Value = serde_json::from_str(&ended(&mut command).good()).expect("JSON");
    assert_eq!((&made["name"], &made["role"]), (&json!("by environment"), &json!("viewer")));
}

#[test]
fn people_are_added_listed_disabled_and_given_passwords() {
    let place = Place::new();
    let data = place.at("hub");
    let add = |email: &str, role: &str, password: &str| {
        run_with(&data, &["user", "add", email, "--role", role, "--password-stdin", "--json"], password)
    };
    assert_eq!(add("Tomas@Example.org", "admin", "harbour-7\n").json()["email"], "tomas@example.org");
    add("ingrid@example.org", "staff", "lantern-9").json();

    let refused = add("kim@example.org", "staff", "short\n");
    assert!(refused.failed().contains("at least 8 characters"), "{}", refused.err);
    let refused = add("ingrid@example.org", "staff", "lantern-9\n");
    assert!(refused.failed().contains("/email"), "{}", refused.err);
    let refused = add("nobody", "staff", "lantern-9\n");
    assert!(refused.failed().contains("ingrid@example.org"), "{}", refused.err);
    assert!(add("kim@example.org", "staff", "").failed().contains("standard input"));

    let passwd = ["user", "passwd", "ingrid@example.org", "--password-stdin"];
    run_with(&data, &passwd, "another-lantern\n").good();
    run(&data, &["user", "disable", "ingrid@example.org"]).good();
    assert!(run(&data, &["user", "disable", "tomas@example.org"]).failed().contains("last admin"));
    assert!(run(&data, &["user", "disable", "nobody@example.org"]).failed().contains("outpost user list"));

    let people = run(&data, &["user", "list", "--json"]).json();
    let brief: Vec<_> = people
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["email"].as_str().expect("text"), one["role"].as_str().expect("text"), one["disabled"] == true))
        .collect();
    assert_eq!(brief, [("ingrid@example.org", "staff", true), ("tomas@example.org", "admin", false)]);
    run(&data, &["user", "enable", "ingrid@example.org"]).good();
    assert!(!run(&data, &["user", "list"]).good().contains("disabled"));
}

#[test]
fn a_token_is_shown_once_and_can_be_withdrawn() {
    let place = Place::new();
    let data = place.at("hub");
    let printed = run(&data, &["token", "create", "--name", "export", "--role", "viewer"]).good();
    let token = printed.trim();
    assert!(token.starts_with("op_") && !token.contains(char::is_whitespace), "{printed}");
    let listed = run(&data, &["token", "list"]).good();
    assert!(listed.contains("export") && !listed.contains(token), "{listed}");
    run(&data, &["token", "revoke", "export"]).good();
    assert_eq!(run(&data, &["token", "list", "--json"]).json()[0]["revoked"], true);
    run(&data, &["token", "revoke", "never made"]).failed();
}

#[test]
fn types_come_in_and_go_out_as_they_were_typed() {
    let place = Place::new();
    let data = place.at("hub");
    let (orders, vitals) = (sample("work-order"), sample("vitals"));
    let import = |paths: &[&str]| run(&data, &[&["type", "import"], paths].concat());
    import(&[&orders.to_string_lossy(), &vitals.to_string_lossy()]).good();
    assert!(import(&[&orders.to_string_lossy()]).good().contains("unchanged, version 1"));

    let typed = std::fs::read_to_string(&orders).expect("the sample");
    assert_eq!(run(&data, &["type", "export", "work-order"]).good(), typed);
    let changed = place.file("work-order.json", &typed.replacen("Work order", "Order of work", 1));
    assert!(import(&[&changed.to_string_lossy()]).good().contains("version 2 is published"));
    let shown = run(&data, &["type", "show", "work-order", "--json"]).json();
    assert_eq!((&shown["title"], &shown["version"]), (&json!("Order of work"), &json!(2)));
    assert_eq!(shown["schema"]["properties"]["title"]["maxLength"], 120);
    assert!(shown["fields"].as_array().expect("a list").iter().any(|field| field["pointer"] == "/parts/@/quantity"));

    let out = place.at("schemas");
    run(&data, &["type", "export", "work-order", "vitals", "--dir", &out.to_string_lossy()]).good();
    let written = std::fs::read_to_string(out.join("vitals.schema.json")).expect("written");
    assert_eq!(written, std::fs::read_to_string(&vitals).expect("the sample"));
    assert!(run(&data, &["type", "show", "nothing"]).failed().contains("outpost type list"));
    let names = run(&data, &["type", "list", "--json"]).json();
    assert_eq!((&names[0]["name"], &names[1]["name"]), (&json!("vitals"), &json!("work-order")));
}

#[test]
fn a_refused_schema_is_told_place_by_place_and_an_old_draft_is_brought_up() {
    let place = Place::new();
    let data = place.at("hub");
    let bad =
        place.file("bad.json", r#"{"type": "object", "properties": {"a": {"type": "strng"}, "b": {"minLength": -1}}}"#);
    let no_json = place.file("no-json.json", "{");
    let old = place.file(
        "old.json",
        r##"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
            "definitions": {"t": {"type": "string"}}, "properties": {"a": {"$ref": "#/definitions/t"}}}"##,
    );
    let paths = [&bad, &no_json, &old].map(|path| path.to_string_lossy().into_owned());
    let ended = run(&data, &["type", "import", &paths[0], &paths[1], &paths[2], "--json"]);
    assert!(ended.failed().contains("2 of 3 files"), "{}", ended.err);
    assert!(ended.err.contains("/properties/a/type") && ended.err.contains("/properties/b/minLength"), "{}", ended.err);
    let report: Value = serde_json::from_str(&ended.out).expect("a report");
    assert!(report[0]["errors"].as_array().expect("a list").len() >= 2, "{report}");
    assert_eq!(report[1]["errors"][0]["keyword"], "json");
    assert!(!report[2]["upgraded"].as_array().expect("a list").is_empty(), "{report}");
    let names = run(&data, &["type", "list", "--json"]).json();
    assert_eq!(names.as_array().map(Vec::len), Some(1));

    assert!(run(&data, &["type", "import", "no-such-file.json"]).failed().contains("cannot be read"));
    assert_eq!(run(&data, &["type", "import", &paths[0], &paths[1], "--name", "a"]).status, 2);
}

#[test]
fn the_api_is_described_with_and_without_a_node() {
    let place = Place::new();
    let data = place.at("hub");
    let bare: Value = serde_json::from_str(&run(&data, &["openapi"]).good()).expect("JSON");
    assert!(bare["openapi"].as_str().expect("a version").starts_with("3.1"));
    assert!(!data.exists());
    run(&data, &["type", "import", &sample("vitals").to_string_lossy()]).good();
    let full: Value = serde_json::from_str(&run(&data, &["openapi"]).good()).expect("JSON");
    assert_eq!(full["components"]["schemas"]["vitals"]["title"], "Patient vitals");
}
