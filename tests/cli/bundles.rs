//! Sync by files on a stick, between nodes that have no link.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::run::{Ended, Place, Running, http, hub, outpost, run, run_with, sample, titles};

/// A hub and an edge that joined over a link, which is gone since.
pub struct Site {
    pub place: Place,
    pub hub: PathBuf,
    pub edge: PathBuf,
    /// Where the hub answered.
    port: String,
    pub id: String,
}

impl Site {
    pub fn new() -> Self {
        let place = Place::new();
        let (data, _) = hub(&place);
        make(&data, "work-order", "before");
        let node = Running::serve(&data);
        let token = invite(&data, &["--name", "Platform 7"]);
        let edge = place.at("edge");
        run(&edge, &["join", &node.url, "--token", &token]).good();
        let port = node.url.trim_start_matches("http://").to_owned();
        node.stop();
        let id = run(&data, &["node", "list", "--json"]).json()[0]["id"].as_str().expect("an id").to_owned();
        Self { place, hub: data, edge, port, id }
    }

    pub fn serve_hub(&self) -> Running {
        let mut command = outpost();
        command.args(["serve", "--json", "--log", "warn", "--listen", &self.port, "--data"]).arg(&self.hub);
        Running::start(command)
    }

    /// From the edge.
    fn up(&self, name: &str) -> PathBuf {
        let file = self.place.at(name);
        run(&self.edge, &["bundle", "export", text(&file)]).good();
        file
    }

    /// For the edge.
    pub fn down(&self, name: &str) -> PathBuf {
        let file = self.place.at(name);
        run(&self.hub, &["bundle", "export", text(&file), "--for", "Platform 7"]).good();
        file
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

pub fn invite(hub: &Path, more: &[&str]) -> String {
    let invited = run(hub, &[&["node", "invite", "--json"], more].concat()).json();
    invited["token"].as_str().expect("a token").to_owned()
}

fn make(data: &Path, type_name: &str, title: &str) {
    run_with(data, &["records", "import", type_name, "-"], &format!("{{\"title\":\"{title}\"}}\n")).good();
}

pub fn import(data: &Path, file: &Path) -> Ended {
    run(data, &["bundle", "import", text(file), "--json"])
}

fn waiting(edge: &Path) -> u64 {
    run(edge, &["sync", "status", "--json"]).json()["pending_out"].as_u64().expect("a number")
}

pub fn healthy(data: &Path) {
    let doctor = run(data, &["doctor", "--json"]);
    assert_eq!(doctor.status, 0, "{}", doctor.out);
}

#[test]
fn what_is_saved_on_either_side_comes_over_on_a_stick_and_a_link_afterwards_has_nothing_to_do() {
    let site = Site::new();
    make(&site.edge, "work-order", "made on the edge");
    make(&site.hub, "work-order", "made at the hub");

    let up = site.up("1.up");
    let taken = import(&site.hub, &up).json();
    assert_eq!((&taken["from"], &taken["saves"], &taken["quarantined"]), (&json!("Platform 7"), &json!(1), &json!(0)));
    assert_eq!(titles(&site.hub), ["before", "made at the hub", "made on the edge"]);
    assert_eq!(waiting(&site.edge), 1, "it does not know yet");

    let down = site.down("1.down");
    let taken = import(&site.edge, &down).json();
    assert_eq!((&taken["acknowledged"], &taken["is_old"]), (&json!(1), &json!(false)), "{taken}");
    assert_eq!(titles(&site.edge), titles(&site.hub));
    assert_eq!(waiting(&site.edge), 0);

    // again, nothing is there twice
    for (data, file) in [(&site.hub, &up), (&site.edge, &down)] {
        import(data, file).good();
    }
    let again = import(&site.edge, &down).json();
    assert_eq!((&again["records"], &again["acknowledged"]), (&json!(0), &json!(0)));
    assert_eq!(titles(&site.edge), ["before", "made at the hub", "made on the edge"]);
    assert_eq!(titles(&site.hub), titles(&site.edge));

    let node = site.serve_hub();
    let now = run(&site.edge, &["sync", "now", "--json"]).json();
    assert_eq!(now["in_step"], true);
    assert_eq!(titles(&site.hub), titles(&site.edge));
    node.stop();
    healthy(&site.hub);
    healthy(&site.edge);
}

#[test]
fn a_bundle_holds_all_that_waits_however_much_that_is() {
    let site = Site::new();
    // more than are ever read at once
    let lines: String = (0..5_400).map(|n| format!("{{\"title\":\"order {n:04}\"}}\n")).collect();
    run_with(&site.edge, &["records", "import", "work-order", "-"], &lines).good();
    assert_eq!(waiting(&site.edge), 5_400);
    let taken = import(&site.hub, &site.up("many.up")).json();
    assert_eq!(taken["saves"], json!(5_400), "{taken}");
    let taken = import(&site.edge, &site.down("many.down")).json();
    assert_eq!(taken["acknowledged"], json!(5_400), "{taken}");
    assert_eq!(waiting(&site.edge), 0);
}

#[test]
fn bundles_go_in_and_out_while_both_sides_serve() {
    let site = Site::new();
    // at another address than the edge knows
    let _hub = Running::serve(&site.hub);
    let _edge = Running::serve(&site.edge);
    for round in 0..3 {
        make(&site.edge, "work-order", &format!("edge {round}"));
        make(&site.hub, "work-order", &format!("hub {round}"));
        let up = site.up(&format!("{round}.up"));
        assert_eq!(import(&site.hub, &up).json()["saves"], 1);
        let down = site.down(&format!("{round}.down"));
        assert_eq!(import(&site.edge, &down).json()["acknowledged"], 1);
        assert_eq!(titles(&site.edge), titles(&site.hub));
    }
    // only what is new travels
    let status = run(&site.hub, &["node", "list", "--json"]).json();
    assert_eq!(status[0]["waiting"], 0, "{status}");
    make(&site.hub, "work-order", "last");
    let last = site.down("last.down");
    let taken = import(&site.edge, &last).json();
    assert_eq!(taken["records"], 3, "from where the edge last said it was: {taken}");
    assert_eq!(titles(&site.edge), titles(&site.hub));
}

#[test]
fn a_stick_that_is_lost_late_or_out_of_order_does_no_harm() {
    let site = Site::new();
    make(&site.edge, "work-order", "first");
    let lost = site.up("lost.up");
    make(&site.edge, "work-order", "second");
    let newer = site.up("newer.up");
    // the first stick never came; the second has everything
    assert_eq!(import(&site.hub, &newer).json()["saves"], 2);
    make(&site.hub, "work-order", "third");
    let old = site.down("old.down");
    make(&site.hub, "work-order", "fourth");
    let new = site.down("new.down");
    let late = import(&site.hub, &lost).json();
    assert_eq!((&late["is_old"], &late["refused"]), (&json!(true), &json!(0)), "{late}");

    assert_eq!(import(&site.edge, &new).json()["acknowledged"], 2);
    let all = ["before", "first", "fourth", "second", "third"];
    assert_eq!(titles(&site.edge), all);
    let late = import(&site.edge, &old).json();
    assert_eq!((&late["is_old"], &late["records"]), (&json!(true), &json!(0)), "{late}");
    assert_eq!(titles(&site.edge), all);
    assert_eq!(titles(&site.hub), all);
    healthy(&site.edge);
}

#[test]
fn what_an_edge_may_hold_changes_by_stick_and_an_older_one_does_not_change_it_back() {
    let site = Site::new();
    run(&site.hub, &["type", "import", text(&sample("inspection"))]).good();
    let line = r#"{"site":"platform-7","area":"Galley","inspected_on":"2026-11-03"}"#;
    run_with(&site.hub, &["records", "import", "inspection", "-"], line).good();
    let wide = site.down("wide.down");
    run(&site.hub, &["node", "change", &site.id, "--scope", r#"{"inspection": ["platform-7"]}"#]).good();
    let narrow = site.down("narrow.down");
    import(&site.edge, &narrow).good();
    assert!(titles(&site.edge).is_empty(), "it is outside the scope now");
    assert_eq!(run(&site.edge, &["records", "export", "inspection"]).good().lines().count(), 1);
    let late = import(&site.edge, &wide).json();
    assert_eq!(late["is_old"], true);
    assert!(titles(&site.edge).is_empty(), "an older bundle gives nothing back that was taken away");
}

#[test]
fn a_site_that_never_had_a_link_joins_by_a_stick() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines: String = (0..6_000).map(|n| format!("{{\"title\":\"order {n:05}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    run_with(&data, &["user", "add", "ada@example.org", "--role", "staff", "--password-stdin"], "lantern-9").good();
    let token = invite(&data, &["--name", "Far rock"]);
    let stick = place.at("far.bundle");
    run(&data, &["bundle", "export", text(&stick), "--token", &token]).good();
    let edge = place.at("edge");

    let wrong = run(&edge, &["join", "https://hub.example.org", "--token", "opj_other", "--bundle", text(&stick)]);
    assert!(wrong.failed().contains("was not made for an edge that joins with this token"), "{}", wrong.err);
    assert!(!edge.exists());
    let join = ["join", "https://hub.example.org", "--token", &token, "--bundle", text(&stick), "--json"];
    let joined = run(&edge, &join).json();
    assert_eq!((&joined["name"], &joined["records"]), (&json!("Far rock"), &json!(6_000)));
    assert!(run(&edge, &join).failed().contains("already an edge"), "once");
    assert_eq!(titles(&edge), titles(&data));
    assert!(run(&edge, &["user", "list"]).good().contains("ada@example.org"), "people come, too");
    healthy(&edge);

    // the same token lets nobody else in
    let node = Running::serve(&data);
    let other = run(&place.at("other"), &["join", &node.url, "--token", &token]);
    assert!(other.failed().contains("already used by Far rock"), "{}", other.err);
    node.stop();

    // what is saved there goes the other way
    make(&edge, "work-order", "from far");
    let up = place.at("far.up");
    run(&edge, &["bundle", "export", text(&up)]).good();
    assert_eq!(import(&data, &up).json()["saves"], 1);
    let down = place.at("far.down");
    run(&data, &["bundle", "export", text(&down), "--for", "Far rock"]).good();
    let taken = import(&edge, &down).json();
    assert_eq!(taken["acknowledged"], 1);
    assert!(taken["records"].as_u64().is_some_and(|records| records < 100), "only what is new: {taken}");
    assert_eq!(titles(&edge), titles(&data));
}

#[test]
fn a_bundle_for_another_node_of_another_hub_cut_altered_or_newer_is_refused_and_changes_nothing() {
    let site = Site::new();
    make(&site.edge, "work-order", "made on the edge");
    make(&site.hub, "work-order", "made at the hub");
    let (up, down) = (site.up("a.up"), site.down("a.down"));
    let other = Site::new();
    let before = (titles(&site.hub), titles(&site.edge), titles(&other.hub), titles(&other.edge));
    let word = |data: &Path, file: &Path, word: &str| {
        let ended = import(data, file);
        assert!(ended.failed().contains(word), "{word}: {}", ended.err);
    };
    word(&other.hub, &up, "is not this node");
    word(&other.edge, &down, "is for Platform 7");
    word(&other.edge, &up, "is for");
    word(&site.edge, &up, "made by this node itself");
    word(&site.hub, &down, "made by this node itself");

    let bytes = fs::read(&up).expect("it is there");
    let bad = |name: &str, bytes: &[u8]| {
        let file = site.place.at(name);
        fs::write(&file, bytes).expect("a file of our own");
        file
    };
    word(&site.hub, &bad("cut", &bytes[..bytes.len() / 2]), "cut short");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    word(&site.hub, &bad("flipped", &flipped), "damaged");
    // its checksum put right
    let end = bytes.len() - 80;
    let hash = blake3::hash(&flipped[..end]);
    flipped[end..end + 32].copy_from_slice(hash.as_bytes());
    word(&site.hub, &bad("forged", &flipped), "seal does not match");
    let mut newer = bytes.clone();
    newer[7] = 9;
    word(&site.hub, &bad("newer", &newer), "newer version of outpost");
    word(
        &site.hub,
        &bad("text", b"not a bundle at all, but long enough to be one if it were, or so it may seem here"),
        "no bundle",
    );
    word(&site.hub, &site.place.at("absent"), "cannot be read");
    let after = (titles(&site.hub), titles(&site.edge), titles(&other.hub), titles(&other.edge));
    assert_eq!(before, after);
    assert_eq!(waiting(&site.edge), 1);

    let there = run(&site.edge, &["bundle", "export", text(&up)]);
    assert!(there.failed().contains("--force"), "{}", there.err);
    run(&site.edge, &["bundle", "export", text(&up), "--force"]).good();
    assert_eq!(run(&site.hub, &["bundle", "export", text(&site.place.at("x"))]).status, 2);
    let nobody = run(&site.hub, &["bundle", "export", text(&site.place.at("x")), "--for", "nobody"]);
    assert!(nobody.failed().contains("outpost node list"), "{}", nobody.err);
    assert!(!site.place.at("x").exists());
    let left: Vec<_> = fs::read_dir(site.place.at("")).expect("a directory").flatten().collect();
    assert!(left.iter().all(|file| !file.file_name().to_string_lossy().starts_with(".outpost-bundle-")), "{left:?}");
}

#[test]
fn what_a_revoked_node_brings_goes_to_quarantine_and_it_gets_nothing() {
    let site = Site::new();
    make(&site.edge, "work-order", "after it was revoked");
    let (up, down) = (site.up("a.up"), site.place.at("a.down"));
    run(&site.hub, &["node", "revoke", &site.id]).good();
    let taken = import(&site.hub, &up).json();
    assert_eq!((&taken["saves"], &taken["quarantined"]), (&json!(1), &json!(1)), "{taken}");
    assert_eq!(titles(&site.hub), ["before"]);
    let refused = run(&site.hub, &["bundle", "export", text(&down), "--for", &site.id]);
    assert!(refused.failed().contains("was revoked"), "{}", refused.err);
    assert!(!down.exists());
}

#[test]
fn an_edge_that_was_put_back_is_told_what_to_bring_first() {
    let site = Site::new();
    let backup = site.place.at("edge.outpost");
    run(&site.edge, &["backup", text(&backup)]).good();
    make(&site.hub, "work-order", "one");
    import(&site.edge, &site.down("1.down")).good();
    import(&site.hub, &site.up("1.up")).good();
    make(&site.hub, "work-order", "two");
    let down = site.down("2.down");
    let restored = site.place.at("restored");
    run(&restored, &["restore", text(&backup)]).good();
    let gap = import(&restored, &down);
    assert!(gap.failed().contains("begins after what this node holds"), "{}", gap.err);
    assert_eq!(titles(&restored), ["before"], "nothing of it is taken in");
    let up = site.place.at("2.up");
    run(&restored, &["bundle", "export", text(&up)]).good();
    import(&site.hub, &up).good();
    import(&restored, &site.down("3.down")).good();
    assert_eq!(titles(&restored), ["before", "one", "two"]);
    let value: Value = run(&restored, &["sync", "status", "--json"]).json();
    assert_eq!(value["pending_out"], 0);
}

#[test]
fn a_link_that_runs_rests_while_a_bundle_comes_in_and_goes_on_as_it_was() {
    let site = Site::new();
    let _hub = site.serve_hub();
    let _edge = Running::serve(&site.edge);
    assert_eq!(run(&site.edge, &["sync", "now", "--json"]).json()["in_step"], true);
    run(&site.edge, &["sync", "pause"]).good();
    make(&site.edge, "work-order", "while it was paused");
    make(&site.hub, "work-order", "above");
    let up = site.up("a.up");
    assert_eq!(import(&site.hub, &up).json()["saves"], 1);
    let down = site.down("a.down");
    assert_eq!(import(&site.edge, &down).json()["acknowledged"], 1);
    let all = ["above", "before", "while it was paused"];
    assert_eq!(titles(&site.edge), all);
    assert_eq!(run(&site.edge, &["sync", "status", "--json"]).json()["upstream"]["state"], "paused");
    run(&site.edge, &["sync", "resume"]).good();
    assert_eq!(run(&site.edge, &["sync", "now", "--json"]).json()["in_step"], true);
    // what comes in again while the link is up is known by then
    make(&site.hub, "work-order", "over the link");
    assert_eq!(run(&site.edge, &["sync", "now", "--json"]).json()["in_step"], true);
    assert_eq!(import(&site.edge, &down).json()["records"], 0);
    assert_eq!(run(&site.edge, &["sync", "now", "--json"]).json()["in_step"], true);
    assert_eq!(titles(&site.edge), ["above", "before", "over the link", "while it was paused"]);
    assert_eq!(titles(&site.hub), titles(&site.edge));
}

#[test]
fn what_is_deleted_for_good_waits_for_an_edge_that_is_heard_of_by_sticks_alone() {
    let place = Place::new();
    let (data, token) = hub(&place);
    make(&data, "work-order", "gone");
    let invitation = invite(&data, &["--name", "Far rock"]);
    let (stick, edge) = (place.at("far.bundle"), place.at("edge"));
    run(&data, &["bundle", "export", text(&stick), "--token", &invitation]).good();
    run(&edge, &["join", "http://127.0.0.1:1", "--token", &invitation, "--bundle", text(&stick)]).good();

    let node = Running::serve(&data);
    let exported = run(&data, &["records", "export", "work-order"]).good();
    let record: Value = serde_json::from_str(exported.trim()).expect("one record");
    let path = format!("/api/v1/types/work-order/records/{}", record["id"].as_str().expect("an id"));
    let purge = format!("{path}?purge=true");
    let asked = |path: &str| http(&node.url, "DELETE", path, &token, None).0;
    assert!(asked(&path) < 300);
    assert!(asked(&purge) < 300);
    let is_there = || http(&node.url, "GET", &path, &token, None).0 != 404;
    assert!(is_there(), "the edge may still write in it");

    let round = |name: &str| {
        let (up, down) = (place.at(&format!("{name}.up")), place.at(&format!("{name}.down")));
        run(&edge, &["bundle", "export", text(&up)]).good();
        import(&data, &up).good();
        run(&data, &["bundle", "export", text(&down), "--for", "Far rock"]).good();
        import(&edge, &down).good();
    };
    round("1");
    asked(&purge);
    assert!(is_there(), "it has heard of the bin and not said so");
    let up = place.at("2.up");
    run(&edge, &["bundle", "export", text(&up)]).good();
    import(&data, &up).good();
    asked(&purge);
    assert!(!is_there());
    round("3");
    assert!(titles(&edge).is_empty());
    healthy(&edge);
}

#[test]
fn what_a_hub_that_was_put_back_lacks_comes_whole_by_the_next_stick() {
    let mut site = Site::new();
    let backup = site.place.at("hub.outpost");
    run(&site.hub, &["backup", text(&backup)]).good();
    make(&site.hub, "work-order", "made since");
    import(&site.edge, &site.down("1.down")).good();
    let restored = site.place.at("restored");
    run(&restored, &["restore", text(&backup)]).good();
    site.hub = restored;

    let token = run(&site.edge, &["token", "create", "--name", "t", "--role", "staff", "--json"]).json();
    let edge = Running::serve(&site.edge);
    let exported = run(&site.edge, &["records", "export", "work-order"]).good();
    let line = exported.lines().find(|line| line.contains("made since")).expect("it is here");
    let record: Value = serde_json::from_str(line).expect("JSON");
    let path = format!("/api/v1/types/work-order/records/{}", record["id"].as_str().expect("an id"));
    let change = json!({ "title": "changed on the edge" });
    let (status, said) = http(&edge.url, "PATCH", &path, token["token"].as_str().expect("a token"), Some(&change));
    assert_eq!(status, 200, "{said}");
    edge.stop();

    import(&site.hub, &site.up("2.up")).good();
    assert_eq!(titles(&site.hub), ["before"], "the save alone makes no record");
    import(&site.edge, &site.down("2.down")).good();
    assert_eq!(waiting(&site.edge), 1, "the hub is to have the record before that counts");
    let up = site.up("3.up");
    for _ in 0..2 {
        import(&site.hub, &up).good();
        assert_eq!(titles(&site.hub), ["before", "changed on the edge"]);
    }
    import(&site.edge, &site.down("3.down")).good();
    assert_eq!(waiting(&site.edge), 0);
    assert_eq!(titles(&site.edge), titles(&site.hub));
    healthy(&site.hub);
    healthy(&site.edge);
}
