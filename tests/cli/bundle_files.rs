//! Photos and files on a stick.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use outpost::domain::blob::BlobHash;
use outpost::store::blob::{Arrived, BlobFiles, hash_of};
use serde_json::{Value, json};

use crate::bundles::{Site, healthy, import, text};
use crate::directory::Mounted;
use crate::run::{Place, outpost, run, run_with};

pub fn photo(seed: u64, size: usize) -> Vec<u8> {
    let mut at = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        at ^= at << 13;
        at ^= at >> 7;
        at ^= at << 17;
        at as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

pub fn types(site: &Site) {
    let schema = json!({"$id": "https://outpost.invalid/types/snag", "title": "Snag", "type": "object",
        "x-scope": "site", "properties": {
        "site": {"type": "string"},
        "photo": {"type": "object", "x-kind": "photo", "properties": {
            "name": {"type": "string"}, "mime": {"type": "string"},
            "size": {"type": "integer"}, "sha256": {"type": "string"}}}}});
    let file = site.place.file("snag.schema.json", &schema.to_string());
    run(&site.hub, &["type", "import", text(&file)]).good();
    import(&site.edge, &site.down("types.down")).good();
}

/// A record that refers to a photo; the photo itself comes by another way.
pub fn refer(data: &Path, at: &str, bytes: &[u8]) {
    let line = json!({"site": at, "photo": {"name": "p.jpg", "mime": "image/jpeg", "size": bytes.len(),
        "sha256": hash_of(bytes).to_string()}});
    run_with(data, &["records", "import", "snag", "-"], &format!("{line}\n")).good();
}

pub fn put(data: &Path, bytes: &[u8]) -> BlobHash {
    let hash = hash_of(bytes);
    let put = BlobFiles::at(data).append(hash, bytes.len() as u64, 0, bytes).expect("it is kept");
    assert_eq!(put, Arrived::Whole);
    hash
}

pub fn has(data: &Path, bytes: &[u8]) -> bool {
    let files = BlobFiles::at(data);
    let (hash, size) = (hash_of(bytes), bytes.len() as u64);
    match files.read(hash, 0, size + 1).expect("it reads") {
        Some(read) => {
            assert!(read == bytes, "a file in sight is whole");
            true
        }
        None => false,
    }
}

fn export(data: &Path, file: &Path, more: &[&str]) -> Value {
    run(data, &[&["bundle", "export", text(file), "--json", "--force"], more].concat()).json()
}

pub fn waiting(data: &Path) -> [u64; 2] {
    let files = run(data, &["sync", "status", "--json"]).json()["files"].clone();
    ["pending_out", "pending_in"].map(|way| files[way]["files"].as_u64().expect("a number"))
}

const FOR: [&str; 2] = ["--for", "Platform 7"];

#[test]
fn photos_go_both_ways_by_stick_and_each_goes_once() {
    let site = Site::new();
    types(&site);
    let (from_edge, from_hub, empty) = (photo(1, 700_000), photo(2, 300_000), Vec::new());
    for bytes in [&from_edge, &empty] {
        refer(&site.edge, "platform-7", bytes);
        put(&site.edge, bytes);
    }
    refer(&site.hub, "platform-7", &from_hub);
    put(&site.hub, &from_hub);
    // one that nobody has: it is told, and the rest goes
    let absent = photo(3, 10);
    refer(&site.hub, "platform-7", &absent);

    let (up, down) = (site.place.at("1.up"), site.place.at("1.down"));
    let told = export(&site.edge, &up, &[]);
    assert_eq!((&told["files"], &told["file_bytes"], &told["files_missing"]), (&json!(2), &json!(700_000), &json!(0)));
    assert_eq!(waiting(&site.edge)[0], 2, "that it was written does not mean that it arrived");
    let taken = import(&site.hub, &up).json();
    assert_eq!((&taken["files"], &taken["file_bytes"]), (&json!(2), &json!(700_000)), "{taken}");
    assert!(has(&site.hub, &from_edge) && has(&site.hub, &empty));
    let again = import(&site.hub, &up).json();
    assert_eq!((&again["files"], &again["files_refused"], &again["files_damaged"]), (&json!(0), &json!(0), &json!(0)));

    let told = export(&site.hub, &down, &FOR);
    assert_eq!((&told["files"], &told["file_bytes"], &told["files_missing"]), (&json!(1), &json!(300_000), &json!(1)));
    let taken = import(&site.edge, &down).json();
    assert_eq!((&taken["files"], &taken["files_at_hub"]), (&json!(1), &json!(2)), "{taken}");
    assert!(has(&site.edge, &from_hub));
    assert_eq!(waiting(&site.edge), [0, 1], "its own are at the hub, and one is nowhere yet");
    let again = import(&site.edge, &down).json();
    assert_eq!((&again["files"], &again["files_at_hub"]), (&json!(0), &json!(0)));

    // none of them goes again, and what was nowhere comes when it is there, though its record came long ago
    assert_eq!(export(&site.edge, &up, &[])["files"], 0);
    put(&site.hub, &absent);
    import(&site.hub, &up).good();
    let told = export(&site.hub, &down, &FOR);
    assert_eq!((&told["files"], &told["files_missing"]), (&json!(1), &json!(0)), "{told}");
    assert_eq!(import(&site.edge, &down).json()["files"], 1);
    assert_eq!(waiting(&site.edge), [0, 0]);
    export(&site.edge, &up, &[]);
    import(&site.hub, &up).good();
    assert_eq!(export(&site.hub, &down, &FOR)["files"], 0);

    // a link afterwards finds nothing to do
    let node = site.serve_hub();
    assert_eq!(run(&site.edge, &["sync", "now", "--json"]).json()["in_step"], true);
    assert_eq!(waiting(&site.edge), [0, 0]);
    node.stop();
    healthy(&site.hub);
    healthy(&site.edge);
}

#[test]
fn files_can_be_left_out_and_follow_with_the_next_bundle() {
    let site = Site::new();
    types(&site);
    let bytes = photo(4, 500_000);
    refer(&site.edge, "platform-7", &bytes);
    put(&site.edge, &bytes);
    let (without, with) = (site.place.at("a.up"), site.place.at("b.up"));
    let told = export(&site.edge, &without, &["--no-files"]);
    assert_eq!((&told["files"], told["bytes"].as_u64().is_some_and(|bytes| bytes < 100_000)), (&json!(0), true));
    assert_eq!(import(&site.hub, &without).json()["saves"], 1);
    assert!(!has(&site.hub, &bytes));
    // those who read bundles before there were files in them read these, too
    let version = |file: &Path| fs::read(file).expect("it is there")[7];
    assert_eq!(version(&without), 1);
    assert_eq!(export(&site.edge, &with, &[])["files"], 1);
    assert_eq!(version(&with), 2);
    assert_eq!(import(&site.hub, &with).json()["files"], 1);
    assert!(has(&site.hub, &bytes));
}

#[test]
fn a_new_site_joins_by_a_stick_with_photos_on_it() {
    let site = Site::new();
    types(&site);
    let photos: Vec<Vec<u8>> = (10..14).map(|seed| photo(seed, 200_000)).collect();
    for bytes in &photos {
        refer(&site.hub, "platform-7", bytes);
        put(&site.hub, bytes);
    }
    let token = crate::bundles::invite(&site.hub, &["--name", "Far rock"]);
    let (stick, far) = (site.place.at("far.bundle"), site.place.at("far"));
    assert_eq!(export(&site.hub, &stick, &["--token", &token])["files"], 4);
    run(&far, &["join", "http://127.0.0.1:1", "--token", &token, "--bundle", text(&stick)]).good();
    assert!(photos.iter().all(|bytes| has(&far, bytes)));
    assert_eq!(waiting(&far), [0, 0]);
    healthy(&far);
}

#[test]
fn a_hub_gives_and_takes_by_stick_only_what_a_record_in_scope_refers_to() {
    let site = Site::new();
    types(&site);
    let (ours, theirs, outside) = (photo(20, 1_000), photo(21, 1_000), photo(22, 1_000));
    run(&site.hub, &["node", "change", &site.id, "--scope", r#"{"snag": ["platform-7"]}"#]).good();
    for (at, bytes) in [("platform-7", &ours), ("platform-8", &theirs)] {
        refer(&site.hub, at, bytes);
        put(&site.hub, bytes);
    }
    let (up, down) = (site.place.at("a.up"), site.place.at("a.down"));
    // it does not know yet that it may not
    refer(&site.edge, "platform-9", &outside);
    put(&site.edge, &outside);
    export(&site.edge, &up, &[]);
    let taken = import(&site.hub, &up).json();
    assert_eq!((&taken["files"], &taken["files_refused"]), (&json!(0), &json!(1)), "{taken}");
    assert!(!has(&site.hub, &outside));
    assert_eq!(export(&site.hub, &down, &FOR)["files"], 1);
    assert!(!fs::read(&down).expect("it is there").windows(64).any(|bytes| bytes == &theirs[100..164]));
    let taken = import(&site.edge, &down).json();
    assert_eq!((&taken["files"], &taken["files_at_hub"]), (&json!(1), &json!(0)), "{taken}");
    assert!(has(&site.edge, &ours) && !has(&site.edge, &theirs));

    // a revoked one brings no files
    refer(&site.edge, "platform-7", &photo(23, 9));
    put(&site.edge, &photo(23, 9));
    run(&site.hub, &["node", "revoke", &site.id]).good();
    export(&site.edge, &up, &[]);
    let taken = import(&site.hub, &up).json();
    assert_eq!(taken["files"], 0, "{taken}");
    assert!(taken["files_refused"].as_u64().is_some_and(|files| files >= 1), "{taken}");
}

#[test]
fn a_file_that_rotted_where_a_bundle_was_made_is_not_taken_and_the_others_are() {
    let site = Site::new();
    types(&site);
    let (good, bad) = (photo(30, 600_000), photo(31, 400_000));
    for bytes in [&bad, &good] {
        refer(&site.edge, "platform-7", bytes);
        put(&site.edge, bytes);
    }
    let name = hash_of(&bad).to_string();
    let mut rotten = bad.clone();
    rotten[300_000] ^= 1;
    fs::write(site.edge.join("blobs").join(&name[..2]).join(&name), rotten).expect("the disk rots");
    let up = site.place.at("a.up");
    export(&site.edge, &up, &[]);
    let ended = import(&site.hub, &up);
    assert!(ended.err.contains("outpost doctor"), "{}", ended.err);
    let taken = ended.json();
    assert_eq!((&taken["files"], &taken["files_damaged"]), (&json!(1), &json!(1)), "{taken}");
    assert!(has(&site.hub, &good) && !has(&site.hub, &bad));
    healthy(&site.hub);
}

#[test]
fn an_import_that_is_killed_at_any_moment_goes_on_when_it_is_done_again() {
    let site = Site::new();
    types(&site);
    let photos: Vec<Vec<u8>> = (40..46).map(|seed| photo(seed, 2_500_000)).collect();
    for bytes in &photos {
        refer(&site.edge, "platform-7", bytes);
        put(&site.edge, bytes);
    }
    let up = site.place.at("a.up");
    assert_eq!(export(&site.edge, &up, &[])["files"], 6);
    let mut killed = 0;
    for round in 0..12 {
        let mut command = outpost();
        command.args(["bundle", "import", text(&up), "--data"]).arg(&site.hub);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(4 + 8 * round));
        killed += u64::from(child.try_wait().expect("it can be asked").is_none());
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        // what is in sight is whole, whenever that is
        for bytes in &photos {
            let _ = has(&site.hub, bytes);
        }
    }
    assert!(killed > 2, "it was too fast to be killed");
    import(&site.hub, &up).good();
    assert!(photos.iter().all(|bytes| has(&site.hub, bytes)));
    healthy(&site.hub);
}

#[test]
fn a_full_disk_stops_an_import_and_an_export_and_nothing_is_half_done() {
    let place = Place::new();
    let small = place.at("small");
    fs::create_dir(&small).expect("a directory of our own");
    let Some(_mounted) = Mounted::small(&small) else {
        eprintln!("no small disk can be mounted here; not tested");
        return;
    };
    let site = Site::new();
    types(&site);
    let photos: Vec<Vec<u8>> = (50..54).map(|seed| photo(seed, 800_000)).collect();
    for bytes in &photos {
        refer(&site.edge, "platform-7", bytes);
        put(&site.edge, bytes);
    }
    let up = site.place.at("a.up");
    export(&site.edge, &up, &[]);

    // a stick that is too small
    let onto = small.join("a.up");
    let refused = run(&site.edge, &["bundle", "export", text(&onto)]);
    assert!(refused.failed().contains("is full; free some space"), "{}", refused.err);
    assert_eq!(fs::read_dir(&small).expect("it lists").count(), 0);

    // files on a disk that is too small
    let blobs: PathBuf = site.hub.join("blobs");
    std::os::unix::fs::symlink(&small, &blobs).expect("ours");
    let refused = import(&site.hub, &up);
    assert!(refused.failed().contains("full"), "{}", refused.err);
    let whole = photos.iter().filter(|bytes| has(&site.hub, bytes)).count();
    assert!(whole < photos.len(), "they do not all fit");
    assert_eq!(run(&site.hub, &["records", "export", "snag"]).good().lines().count(), 4, "records came before");
    healthy(&site.hub);
    let again = import(&site.hub, &up);
    assert!(again.failed().contains("full"), "{}", again.err);

    // with room, it goes on
    fs::remove_file(&blobs).expect("ours");
    let copied = std::process::Command::new("cp").arg("-r").arg(&small).arg(&blobs).status();
    assert!(copied.is_ok_and(|status| status.success()));
    let taken = import(&site.hub, &up).json();
    assert_eq!(taken["files"], photos.len() - whole, "only what was missing: {taken}");
    assert!(photos.iter().all(|bytes| has(&site.hub, bytes)));
    healthy(&site.hub);
}
