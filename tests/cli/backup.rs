//! All that a node knows, as one file and back.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use outpost::store::blob::{BlobFiles, hash_of};
use serde_json::{Value, json};

use crate::run::{Place, Running, ended, http, hub, outpost, run, run_with, sample, titles};

const RECORDS: &str = "/api/v1/types/work-order/records";

fn get(url: &str, path: &str, token: &str) -> Value {
    let (status, body) = http(url, "GET", path, token, None);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn items(page: &Value) -> &Vec<Value> {
    page.as_array().or_else(|| page["items"].as_array()).unwrap_or_else(|| panic!("a list: {page}"))
}

/// Everything that a node answers about what it holds.
fn answers(url: &str, token: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut ask = |path: String| {
        let mut body = get(url, &path, token);
        // how far it has come is no part of what is held
        if let Some(record) = body.as_object_mut().filter(|record| record.contains_key("fields")) {
            record.remove("reach");
        }
        all.push((path, body.clone()));
        body
    };
    let types = ask("/api/v1/types".into());
    for of in items(&types) {
        let name = of["name"].as_str().expect("a type has a name");
        for more in ["", "/schema", "/versions"] {
            ask(format!("/api/v1/types/{name}{more}"));
        }
        for query in ["?limit=500&sort=-changed", "?limit=500&deleted=true"] {
            let page = ask(format!("/api/v1/types/{name}/records{query}"));
            for record in items(&page) {
                let id = record["id"].as_str().expect("a record has an id");
                ask(format!("/api/v1/types/{name}/records/{id}"));
                ask(format!("/api/v1/types/{name}/records/{id}/history"));
            }
        }
    }
    ask("/api/v1/conflicts".into());
    // on an edge this is refused
    let (_, mut nodes) = http(url, "GET", "/api/v1/nodes", token, None);
    for node in nodes["items"].as_array_mut().into_iter().flatten() {
        // how it stood at its last contact is written down only now and then
        for fleeting in ["last_contact", "behind", "waiting", "in_step"] {
            node.as_object_mut().expect("a node").remove(fleeting);
        }
    }
    all.push(("nodes".into(), nodes));
    all
}

/// One answer after another, so that a difference can be read.
#[track_caller]
fn same(after: &[(String, Value)], before: &[(String, Value)]) {
    for (after, before) in after.iter().zip(before) {
        assert_eq!(after, before);
    }
    assert_eq!(after.len(), before.len());
}

fn invite(hub: &Path) -> String {
    run(hub, &["node", "invite", "--name", "Platform 7", "--json"]).json()["token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

fn token(data: &Path) -> String {
    let made = run(data, &["token", "create", "--name", "more", "--role", "admin", "--json"]).json();
    made["token"].as_str().expect("a token").to_owned()
}

fn create(url: &str, token: &str, data: &Value) -> String {
    let (status, body) = http(url, "POST", RECORDS, token, Some(&json!({ "data": data })));
    assert_eq!(status, 201, "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

fn patch(url: &str, token: &str, id: &str, data: &Value) {
    let (status, body) = http(url, "PATCH", &format!("{RECORDS}/{id}"), token, Some(data));
    assert_eq!(status, 200, "{body}");
}

fn backup(data: &Path, place: &Place, name: &str) -> PathBuf {
    let file = place.at(name);
    run(data, &["backup", &file.to_string_lossy()]).good();
    file
}

#[test]
fn everything_comes_back_from_a_backup_that_was_made_while_the_node_served() {
    let place = Place::new();
    let (data, hub_token) = hub(&place);
    run(&data, &["type", "import", &sample("inspection").to_string_lossy()]).good();
    run_with(&data, &["user", "add", "ann@example.org", "--role", "admin", "--password-stdin"], "harbour-7").good();
    let node = Running::serve(&data);
    let url = node.url.clone();
    let lines: String = (0..60).map(|n| format!("{{\"title\":\"order {n:02}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let edited = create(&url, &hub_token, &json!({ "title": "edited" }));
    patch(&url, &hub_token, &edited, &json!({ "title": "edited once" }));
    patch(&url, &hub_token, &edited, &json!({ "title": "edited twice" }));
    let binned = create(&url, &hub_token, &json!({ "title": "binned" }));
    assert_eq!(http(&url, "DELETE", &format!("{RECORDS}/{binned}"), &hub_token, None).0, 200);
    // a value that loses: both sides change the same field while the link is paused
    let edge = place.at("edge");
    run(&edge, &["join", &url, "--token", &invite(&data)]).good();
    let edge_node = Running::serve(&edge);
    let edge_token = token(&edge);
    run(&edge, &["sync", "pause"]).good();
    patch(&edge_node.url, &edge_token, &edited, &json!({ "title": "from the edge" }));
    patch(&url, &hub_token, &edited, &json!({ "title": "from the hub" }));
    run(&edge, &["sync", "resume"]).good();
    assert_eq!(run(&edge, &["sync", "now", "--json"]).json()["in_step"], true);
    // and one that waits
    run(&edge, &["sync", "pause"]).good();
    create(&edge_node.url, &edge_token, &json!({ "title": "made alone" }));

    let before = answers(&url, &hub_token);
    assert!(before.iter().any(|(path, body)| path == "/api/v1/conflicts" && !items(body).is_empty()), "something lost");
    let file = place.at("hub.outpost");
    let told = run(&data, &["backup", &file.to_string_lossy(), "--json"]).json();
    assert_eq!((&told["role"], &told["unreadable"]), (&json!("hub"), &json!(0)));
    assert_eq!(told["bytes"], json!(fs::metadata(&file).expect("it is there").len()));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let edge_before = answers(&edge_node.url, &edge_token);
    let edge_file = backup(&edge, &place, "edge.outpost");
    edge_node.stop();
    // later than the backup
    create(&url, &hub_token, &json!({ "title": "after the backup" }));

    let back = place.at("back");
    let told = run(&back, &["restore", &file.to_string_lossy(), "--json"]).json();
    assert_eq!(told["role"], "hub");
    let restored = Running::serve(&back);
    same(&answers(&restored.url, &hub_token), &before);
    assert!(run(&back, &["user", "list"]).good().contains("ann@example.org"));
    restored.stop();
    assert_eq!(identity(&back)["node"], identity(&data)["node"]);
    for changed in ["incarnation", "epoch"] {
        assert_ne!(identity(&back)[changed], identity(&data)[changed], "{changed}");
    }
    assert_eq!(identity(&back)["ancestors"], json!([identity(&data)["epoch"]]));

    // the edge keeps its credential and sends what waited
    let edge_back = place.at("edge-back");
    run(&edge_back, &["restore", &edge_file.to_string_lossy()]).good();
    let running = Running::serve(&edge_back);
    same(&answers(&running.url, &edge_token), &edge_before);
    run(&edge_back, &["sync", "resume"]).good();
    assert_eq!(run(&edge_back, &["sync", "now", "--json"]).json()["in_step"], true);
    assert!(titles(&data).contains(&"made alone".to_owned()));
    assert!(titles(&edge_back).contains(&"after the backup".to_owned()));
    running.stop();
    node.stop();
}

/// Whose a directory is.
fn identity(data: &Path) -> Value {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        use outpost::store::Store;
        let caches = std::sync::Arc::new(outpost::node::Caches::default());
        // beside the process that serves it, and only to look
        let store = outpost::store::Sqlite::open(&data.join("outpost.db"), caches, Default::default()).await;
        let store = store.expect("it opens");
        let identity = store.local("identity", "identity").await.expect("the store works").expect("it has one");
        store.close().await;
        identity
    })
}

#[test]
fn a_backup_is_not_written_over_and_not_half_written() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let file = place.file("kept", "something else");
    let name = file.to_string_lossy().into_owned();
    assert!(run(&data, &["backup", &name]).failed().contains("--force"));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "something else");
    run(&data, &["backup", &name, "--force"]).good();
    assert!(fs::read(&file).expect("a file").starts_with(b"outpost"));
    let nowhere = place.at("no/such/place");
    assert!(run(&data, &["backup", &nowhere.to_string_lossy()]).failed().contains("cannot be written"));
    assert!(run(&data, &["backup", &data.to_string_lossy(), "--force"]).failed().contains("is a directory"));
    assert!(run(&place.at("none"), &["backup", &name]).failed().contains("no node"));
    let left = fs::read_dir(place.at(".")).expect("a directory").filter_map(Result::ok);
    assert!(
        left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".outpost")),
        "nothing is left"
    );
}

#[test]
fn a_backup_goes_only_into_an_empty_directory_and_only_whole() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let lines: String = (0..60).map(|n| format!("{{\"title\":\"order {n:02}\"}}\n")).collect();
    run_with(&data, &["records", "import", "work-order", "-"], &lines).good();
    let file = backup(&data, &place, "hub.outpost");
    let name = file.to_string_lossy().into_owned();
    let whole = fs::read(&file).expect("a file");
    assert!(run(&data, &["restore", &name]).failed().contains("there is a node"));
    let other = place.at("other");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join("letters.txt"), "dear").expect("a file");
    assert!(run(&other, &["restore", &name]).failed().contains("letters.txt"));

    let back = place.at("back");
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (what, bytes, words) in [
        ("cut", whole[..whole.len() / 2].to_vec(), "cut short"),
        ("cut by a byte", whole[..whole.len() - 1].to_vec(), "cut short"),
        ("altered", altered, "damaged"),
        ("foreign", b"{\"a\": 1}".to_vec(), "no backup of outpost"),
        ("empty", Vec::new(), "no backup of outpost"),
    ] {
        let bad = place.at("bad.outpost");
        fs::write(&bad, bytes).expect("a file");
        let ended = run(&back, &["restore", &bad.to_string_lossy()]);
        assert!(ended.failed().contains(words), "{what}: {}", ended.err);
        assert!(!back.exists(), "{what}");
    }
    assert!(run(&back, &["restore", &place.at("none").to_string_lossy()]).failed().contains("cannot be read"));
    run(&back, &["restore", &name]).good();
    assert_eq!(titles(&back), titles(&data));
    // what was imported goes on being there, and more comes
    run_with(&back, &["records", "import", "work-order", "-"], "{\"title\":\"new\"}").good();
    assert_eq!(titles(&back).len(), 61);
}

#[test]
fn a_restore_that_was_interrupted_is_never_served_and_is_begun_again() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let file = backup(&data, &place, "hub.outpost");
    let back = place.at("back");
    fs::create_dir(&back).expect("a directory");
    // as a power cut leaves it
    let mut half = fs::File::create(back.join("outpost.db.restoring")).expect("a file");
    half.write_all(&fs::read(data.join("outpost.db")).expect("a file")[..4096]).expect("it is written");
    for args in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["user", "list"],
        &["node", "invite"],
        &["join", "http://127.0.0.1:1", "--token", "opj_x"],
    ] {
        let ended = run(&back, args);
        assert!(ended.failed().contains("outpost restore"), "{args:?}: {}", ended.err);
        assert!(!back.join("outpost.db").exists());
    }
    run(&back, &["restore", &file.to_string_lossy()]).good();
    assert!(!back.join("outpost.db.restoring").exists());
    run(&back, &["user", "list"]).good();
}

#[test]
fn a_record_that_cannot_be_read_is_backed_up_as_it_stands() {
    let place = Place::new();
    let (data, _) = hub(&place);
    run_with(&data, &["records", "import", "work-order", "-"], "{\"title\":\"a\"}\n{\"title\":\"b\"}\n").good();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let damage = |data: &Path| {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join("outpost.db"));
        runtime.block_on(async {
            use sqlx::ConnectOptions;
            let mut conn = options.connect().await.expect("it opens");
            let sql = "update record set stamps = x'63' where doc ->> '$.title' = 'a'";
            sqlx::query(sql).execute(&mut conn).await.expect("it is damaged").rows_affected()
        })
    };
    assert_eq!(damage(&data), 1);
    let file = place.at("hub.outpost");
    let told = run(&data, &["backup", &file.to_string_lossy(), "--json"]).json();
    assert_eq!(told["unreadable"], 1);
    let back = place.at("back");
    run(&back, &["restore", &file.to_string_lossy()]).good();
    assert_eq!(damage(&back), 1, "it is there, as it was");
    let mut command = outpost();
    let help = ended(command.args(["restore", "--help"])).good();
    assert!(help.contains("outpost restore"));
}

#[test]
fn photos_and_files_are_in_the_backup_and_the_doctor_looks_at_them() {
    let place = Place::new();
    let (data, _) = hub(&place);
    let photos = [vec![7; 300_000], b"short".to_vec(), Vec::new()];
    let here = BlobFiles::at(&data);
    for photo in &photos {
        here.append(hash_of(photo), photo.len() as u64, 0, photo).expect("it is kept");
    }
    // one that has not arrived whole stays where it is
    here.append(hash_of(b"later"), 5, 0, b"la").expect("it is kept");
    let file = place.at("backup");
    let made = run(&data, &["backup", &file.to_string_lossy(), "--json"]).json();
    assert_eq!(made["files"], 3);
    let back = place.at("back");
    assert!(run(&back, &["restore", &file.to_string_lossy()]).good().contains("and 3 files"));
    let there = BlobFiles::at(&back);
    for photo in &photos {
        assert_eq!(there.read(hash_of(photo), 0, 1 << 20).expect("it reads").as_ref(), Some(photo));
    }
    assert_eq!(there.all().expect("a list").len(), 3);
    let left: Vec<_> = fs::read_dir(&back).expect("a directory").flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("restoring")), "{left:?}");
    let told = |doctor: &Value| {
        let mut checks = doctor["checks"].as_array().expect("a list").iter();
        checks.find(|check| check["check"] == "files").expect("it looks at files")["ok"].clone()
    };
    assert_eq!(told(&run(&back, &["doctor", "--json"]).json()), true);
    let name = hash_of(&photos[1]).to_string();
    fs::write(back.join("blobs").join(&name[..2]).join(&name), b"shore").expect("the disk rots");
    let doctor = run(&back, &["doctor", "--json"]);
    let said = serde_json::from_str(&doctor.out).expect("JSON");
    assert_eq!((doctor.status, told(&said)), (1, json!(false)));
    // what rots in a backup is found when it is restored, and nothing comes of it
    let mut bytes = fs::read(&file).expect("a file");
    let at = bytes.windows(5).position(|bytes| bytes == b"short").expect("it is in there");
    bytes[at] = b'S';
    fs::write(&file, bytes).expect("a file");
    let third = place.at("third");
    assert!(run(&third, &["restore", &file.to_string_lossy()]).failed().contains("damaged"));
    assert!(!third.exists());
}
