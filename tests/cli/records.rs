//! Records in and out.

use serde_json::{Value, json};

use crate::run::{Place, Running, ended, hub, outpost, run, run_with, titles};

#[test]
fn what_was_exported_comes_in_elsewhere_as_it_is() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines = concat!(
        r#"{"title":"Grüße 1","hours":1.50,"parts":[{"part":"Seal","quantity":2.50},{"part":"Ring"}]}"#,
        "\n\n  ",
        r#"{"hours":3,"title":"two"}"#,
    );
    let file = place.file("orders.jsonl", lines).to_string_lossy().into_owned();
    let report = run(&data, &["records", "import", "work-order", &file, "--json"]).json();
    assert_eq!((&report["rows"], &report["created"], &report["unchanged"]), (&json!(2), &json!(2), &json!(0)));
    let exported = run(&data, &["records", "export", "work-order"]).good();
    assert_eq!(exported.lines().count(), 2);
    assert!(exported.contains(r#""hours":1.50"#) && exported.contains(r#""quantity":2.50"#), "{exported}");

    let other = place.at("other");
    run(&other, &["type", "import", &crate::run::sample("work-order").to_string_lossy()]).good();
    run_with(&other, &["records", "import", "work-order", "-"], &exported).good();
    assert_eq!(run(&other, &["records", "export", "work-order"]).good(), exported);
}

#[test]
fn an_import_that_is_run_again_makes_nothing_twice() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines: String = (0..1_200).map(|n| format!("{{\"title\":\"order {n:04}\"}}\n")).collect();
    let file = place.file("orders.jsonl", &lines).to_string_lossy().into_owned();
    let import = ["records", "import", "work-order", &file, "--json"];
    assert_eq!(run(&data, &import).json()["created"], 1_200);
    let again = run(&data, &import).json();
    assert_eq!((&again["created"], &again["unchanged"]), (&json!(0), &json!(1_200)));
    let titles = titles(&data);
    assert_eq!(titles.len(), 1_200);
    assert_eq!(titles[1_199], "order 1199");
}

#[test]
fn bad_rows_are_told_cell_by_cell_and_nothing_is_written() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let id = "01a20ec5-47c3-731f-9059-6299a3653fc6";
    let same = format!(r#"{{"id":"{id}","type":"work-order","data":{{"title":"one"}}}}"#);
    let lines = [
        r#"{"title":"good"}"#,
        r#"{"status":"lost","hours":-1}"#,
        "[1]",
        r#"{"title":"#,
        r#"{"id":"01a20ec5-47c3-731f-9059-6299a3653fc6","type":"vitals","data":{}}"#,
        &same,
        &same,
    ];
    let file = place.file("orders.jsonl", &lines.join("\n")).to_string_lossy().into_owned();
    for dry in [&["--json"][..], &["--json", "--dry-run"]] {
        let ended = run(&data, &[&["records", "import", "work-order", &file], dry].concat());
        assert!(ended.failed().contains("nothing was written"), "{}", ended.err);
        let report: Value = serde_json::from_str(&ended.out).expect("a report");
        let refused = report["refused"].as_array().expect("a list");
        let line = |refused: &Value| refused["line"].as_u64().expect("a line");
        assert_eq!(refused.iter().map(line).collect::<Vec<_>>(), [2, 3, 4, 5, 7]);
        let pointers: Vec<&str> =
            refused[0]["errors"].as_array().expect("a list").iter().filter_map(|e| e["pointer"].as_str()).collect();
        assert!(["/title", "/status", "/hours"].iter().all(|pointer| pointers.contains(pointer)), "{pointers:?}");
        assert_eq!(report["rows"], 7);
    }
    let ended = run(&data, &["records", "import", "work-order", &file]);
    assert!(ended.err.contains("line 2: /hours: "), "{}", ended.err);
    assert!(ended.err.contains("line 7: ") && ended.err.contains("line 6"), "{}", ended.err);
    assert!(titles(&data).is_empty());
}

#[test]
fn json_that_would_be_read_back_as_something_else_is_refused_in_files_and_on_the_socket() {
    use std::io::{BufRead, BufReader, Write};
    let place = Place::new();
    let (data, _) = hub(&place);
    let bad = [
        r#"{"$serde_json::private::Number":"12"}"#,
        r#"{"title":"a","own":[{"$serde_json::private::RawValue":"{}"}]}"#,
        r#"{"title":"a","title":"b"}"#,
    ];
    let file = place.file("bad.jsonl", &bad.join("\n")).to_string_lossy().into_owned();
    let refused = run(&data, &["records", "import", "work-order", &file]);
    for line in ["line 1: This JSON", "line 2: This JSON", "line 3: This JSON", "nothing was written"] {
        assert!(refused.status == 1 && refused.err.contains(line), "{}", refused.err);
    }
    for (at, bad) in bad.iter().enumerate() {
        let schema = place.file(&format!("type-{at}.json"), &format!(r#"{{"type":"object","default":{bad}}}"#));
        let refused = run(&data, &["type", "import", &schema.to_string_lossy()]);
        assert!(refused.status == 1 && refused.err.contains("cannot be taken"), "{}", refused.err);
        assert_eq!(run(&data, &["node", "invite", "--scope", bad]).status, 2);
    }
    let node = Running::serve(&data);
    let socket = std::os::unix::net::UnixStream::connect(data.join("outpost.sock")).expect("it listens");
    let mut lines = BufReader::new(&socket).lines();
    for bad in bad {
        let id = "0197a1b2-0000-7000-8000-000000000001";
        let rows = format!(r#"[{{"line":1,"id":"{id}","data":{bad}}}]"#);
        let ask = format!(r#"{{"records":{{"import":{{"type_name":"work-order","rows":{rows}}}}}}}"#);
        (&socket).write_all(format!("{ask}\n").as_bytes()).expect("it takes lines");
        let answer = lines.next().expect("an answer").expect("a line");
        assert!(answer.contains("reserved") || answer.contains("twice"), "{answer}");
    }
    node.stop();
    assert!(titles(&data).is_empty());
    assert_eq!(run(&data, &["type", "list", "--json"]).json().as_array().map(Vec::len), Some(1));
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let told = run_with(&data, &["records", "import", "work-order", "-", "--dry-run"], "{\"title\":\"one\"}\n").good();
    assert!(told.contains("1 rows are good"), "{told}");
    assert!(titles(&data).is_empty());
}

#[test]
fn what_cannot_be_imported_is_told() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let csv = place.file("orders.csv", "title\none\n").to_string_lossy().into_owned();
    let long = format!("{{\"title\":\"{}\"}}", "x".repeat(5 << 20));
    let cases: [(&[&str], &str, &str); 6] = [
        (&["records", "import", "work-order", &csv], "", "JSON Lines"),
        (&["records", "export", "work-order", "--format", "xlsx"], "", "JSON Lines"),
        (&["records", "import", "work-order", "no-such-file.jsonl"], "", "cannot be read"),
        (&["records", "import", "nothing", "-"], "{\"title\":\"one\"}", "outpost type list"),
        (&["records", "import", "nothing", "-"], "", "outpost type list"),
        (&["records", "import", "work-order", "-"], &long, "line 1 is longer"),
    ];
    for (args, input, word) in cases {
        let ended = run_with(&data, args, input);
        assert!(ended.failed().contains(word), "{args:?}: {}", ended.err);
    }
    assert!(titles(&data).is_empty());
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines: String =
        (0..600).map(|n| format!("{{\"title\":\"order {n}\",\"fault\":\"{}\"}}\n", "x".repeat(500))).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let mut child = outpost();
    child.args(["records", "export", "work-order", "--data"]).arg(&data);
    let mut child = child.spawn().expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    // and the directory is free again
    ended(outpost().args(["type", "list", "--data"]).arg(&data)).good();
}
