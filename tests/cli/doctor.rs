//! What `outpost doctor` finds, and that it finds nothing where all is well.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::run::{Place, Running, hub, run, run_with};

/// Changes a database behind the back of its node.
fn tamper(data: &Path, sql: &str) {
    use sqlx::ConnectOptions;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join("outpost.db"));
    runtime.block_on(async {
        let mut conn = options.connect().await.expect("it opens");
        let touched = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.expect("it is changed");
        assert!(touched.rows_affected() > 0, "{sql}");
    });
}

/// What is not well, by name, with what to do.
fn findings(data: &Path) -> Vec<(String, String, String)> {
    let ended = run(data, &["doctor", "--json"]);
    let told: Value = serde_json::from_str(ended.out.lines().next().expect("a line")).expect("JSON");
    let checks = told["checks"].as_array().expect("checks");
    assert!(checks.len() >= 5, "{told}");
    let found: Vec<_> = checks.iter().filter(|check| check["ok"] == json!(false)).collect();
    assert_eq!(told["sound"], json!(found.is_empty()));
    assert_eq!(ended.status, i32::from(!found.is_empty()), "{}", ended.err);
    let text = |check: &Value, name: &str| check[name].as_str().expect("a sentence").to_owned();
    found.into_iter().map(|check| (text(check, "check"), text(check, "text"), text(check, "todo"))).collect()
}

fn filled(place: &Place) -> std::path::PathBuf {
    let (data, _) = hub(place);
    let lines: String = (0..700).map(|n| format!("{{\"title\":\"order {n:02}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    data
}

#[test]
fn a_sound_node_is_told_to_be_sound_whether_it_runs_or_not() {
    let place = Place::new();
    let data = filled(&place);
    assert_eq!(findings(&data), []);
    let out = run(&data, &["doctor"]).good();
    assert!(out.contains("[ok] The database file is sound.") && out.contains("does not run"), "{out}");
    assert!(out.lines().all(|line| line.starts_with("[ok]")), "{out}");
    let node = Running::serve(&data);
    assert_eq!(findings(&data), []);
    let edge = place.at("edge");
    let invited = run(&data, &["node", "invite", "--json"]).json();
    run(&edge, &["join", &node.url, "--token", invited["token"].as_str().expect("a token")]).good();
    assert_eq!(findings(&edge), []);
    // with the hub out of reach, or paused, its page says so, and so does the doctor
    let running = Running::serve(&edge);
    run(&edge, &["sync", "now"]).good();
    assert_eq!(findings(&edge), []);
    run(&edge, &["sync", "pause"]).good();
    assert_eq!(findings(&edge)[0].0, "link");
    running.stop();
    node.stop();
    assert!(run(&place.at("none"), &["doctor"]).failed().contains("no node"));
}

#[test]
fn each_thing_that_is_not_well_is_found_and_said_what_to_do_about() {
    const DAYS_AGO: i64 = 3 * 24 * 3_600 * 1_000;
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let cases = [
        ("records", "update record set stamps = x'63' where doc ->> '$.title' = 'order 07'".to_owned(), "work-order"),
        (
            "digests",
            "update partition set digest = x'00000000000000000000000000000000' where name = 'work-order'".into(),
            "work-order",
        ),
        ("digests", "update partition set records = records + 1 where name = 'work-order'".into(), "work-order"),
        ("lists", "insert into list_index (name, type, terms) values ('list_gone', 1, '[]')".into(), "list_gone"),
        ("set-aside", "insert into local (kind, key, doc) values ('set-aside', 'a', '{}')".into(), "1 record"),
        ("refused", "insert into local (kind, key, doc) values ('refused-save', 'a', '{}')".into(), "1 save"),
        ("clock", format!("update node set clock = {}", (now + DAYS_AGO) << 16), "days"),
        ("clock", "insert into local (kind, key, doc) values ('clock', 'clock', '-7200000')".into(), "2 h fast"),
        (
            "first-copy",
            "insert into local (kind, key, doc) values ('join', 'first-copy', '\"x\"')".into(),
            "not finished",
        ),
    ];
    let place = Place::new();
    let data = filled(&place);
    for (number, (check, sql, words)) in cases.iter().enumerate() {
        let copy = place.at(&format!("copy-{number}"));
        fs::create_dir(&copy).expect("a directory");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).expect("ours");
        fs::copy(data.join("outpost.db"), copy.join("outpost.db")).expect("a copy");
        tamper(&copy, sql);
        let found = findings(&copy);
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        let (name, text, todo) = &found[0];
        assert_eq!(name, check, "{sql}");
        assert!(text.contains(words) && text.ends_with('.') && todo.ends_with('.'), "{text} {todo}");
        let ended = run(&copy, &["doctor"]);
        assert!(ended.failed().contains("1 thing is not well"), "{}", ended.err);
        assert!(ended.out.contains(&format!("[!!] {text}\n     {todo}")), "{}", ended.out);
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).expect("ours");
    assert_eq!(findings(&data)[0].0, "permissions");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("ours");
    // a log as large as one that something holds up; its room on this disk is only claimed
    let log = fs::File::create(data.join("outpost.db-wal")).expect("a file");
    log.set_len((256 << 20) + 1).expect("a sparse file");
    let found = findings(&data);
    assert_eq!((found[0].0.as_str(), found.len()), ("log", 1), "{found:?}");
    assert!(found[0].1.contains("256 MB"), "{found:?}");
    fs::File::create(data.join("outpost.db-wal")).expect("a file");
    assert_eq!(findings(&data), []);
    // a file that is no database any more
    let mut bytes = fs::read(data.join("outpost.db")).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xAB);
    fs::write(data.join("outpost.db"), &bytes).expect("a file");
    assert!(findings(&data).iter().any(|(name, ..)| name == "database"));
    fs::write(data.join("outpost.db"), vec![7; 9_000]).expect("a file");
    let ended = run(&data, &["doctor"]);
    assert!(ended.failed().contains("not well") && ended.out.contains("cannot be read"), "{}{}", ended.out, ended.err);
}
