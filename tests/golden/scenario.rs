//! How a golden set is made: a hub and its edges with some of everything, and what they say to each other.

use std::path::Path;
use std::sync::Arc;

use outpost::domain::people::{Actor, Role};
use serde_json::{Value, json};

use super::site::{Exchange, Recorder, Site};
use crate::hands::Hands;

/// 2026-11-03T09:00:00Z
const BEGIN: i64 = 1_793_696_400_000;
const DAY: i64 = 86_400_000;

/// A set as it is kept, but for the databases.
pub struct Made {
    /// The moment at which the databases were put away.
    pub moment: i64,
    pub hub: Value,
    pub edge: Value,
    /// What all of them show once they are in step.
    pub hub_after: Value,
    pub edge_after: Value,
    pub reader_after: Value,
    /// An edge with unsent saves meets its hub; the last ones are by hand.
    pub meeting: Vec<Exchange>,
    /// A new edge fetches its first copy after that.
    pub first_copy: Vec<Exchange>,
    pub files: Files,
}

/// What travels and is kept as a file.
pub struct Files {
    /// Of the edge, for the hub.
    pub up: Vec<u8>,
    /// Of the hub, for the reader, which has nothing.
    pub down: Vec<u8>,
    /// Of the hub, with a photo.
    pub backup: Vec<u8>,
    /// What they show who took them in.
    pub hub_after_up: Value,
    pub reader_after_down: Value,
    pub hub_of_backup: Value,
}

/// The photos that records refer to, at the hub and on the edge.
pub const PHOTOS: [&[u8]; 2] = [b"a photo of a pump, as good as any", b"and one of a valve"];

fn photo(bytes: &[u8]) -> Value {
    let hash = outpost::store::blob::hash_of(bytes).to_string();
    json!({ "sha256": hash, "name": "pump.jpg", "mime": "image/jpeg", "size": bytes.len() })
}

/// A copy of a closed node, with a photo beside it.
fn copy_of(dir: &Path, name: &str, bytes: Option<&[u8]>) -> std::path::PathBuf {
    let copy = dir.with_file_name(name);
    std::fs::create_dir_all(copy.join("blobs")).expect("a directory of our own");
    std::fs::copy(dir.join("outpost.db"), copy.join("outpost.db")).expect("it has room");
    if let Some(bytes) = bytes {
        let files = outpost::store::blob::BlobFiles::at(&copy);
        files.append(outpost::store::blob::hash_of(bytes), bytes.len() as u64, 0, bytes).expect("it is kept");
    }
    copy
}

async fn files(dirs: [&Path; 3], clock: &Arc<Hands>) -> Files {
    let [hub_dir, edge_dir, reader_dir] = dirs;
    let edge = Site::open(&copy_of(edge_dir, "edge-copy", Some(PHOTOS[1])), clock, None).await;
    let up = edge.bundle(None).await;
    edge.stop().await;
    let copy = copy_of(hub_dir, "hub-copy", Some(PHOTOS[0]));
    let hub = Site::open(&copy, clock, None).await;
    let down = hub.bundle(Some("Reader")).await;
    hub.stop().await;
    let file = hub_dir.with_file_name("backup");
    let writer = std::fs::File::create_new(&file).and_then(outpost::store::archive::Writer::new).expect("it has room");
    let kept = outpost::store::blob::BlobFiles::at(&copy);
    let now = outpost::node::World::now(&**clock);
    let made = outpost::store::backup::back_up(&copy.join("outpost.db"), &kept, writer, now, &mut |_, _| {}).await;
    assert_eq!(made.expect("it is backed up").index.files.count, 1);
    let backup = std::fs::read(&file).expect("it is there");

    let hub = Site::open(&copy_of(hub_dir, "hub-by-up", None), clock, None).await;
    assert_eq!(hub.take_bundle(&up).await.files, 1);
    let reader = Site::open(&copy_of(reader_dir, "reader-by-down", None), clock, None).await;
    assert_eq!(reader.take_bundle(&down).await.files, 1);
    let restored = restored(&hub_dir.with_file_name("restored"), &file, clock).await;
    let files = Files {
        up,
        down,
        backup,
        hub_after_up: hub.listing().await,
        reader_after_down: reader.listing().await,
        hub_of_backup: content(&restored.listing().await),
    };
    for site in [hub, reader, restored] {
        site.stop().await;
    }
    files
}

/// The node that comes of a backup.
pub async fn restored(dir: &Path, backup: &Path, clock: &Arc<Hands>) -> Site {
    std::fs::create_dir_all(dir).expect("a directory of our own");
    let reader = std::fs::File::open(backup).expect("it is there");
    let reader = outpost::store::archive::Reader::open(reader).expect("it is a backup");
    let files = outpost::store::blob::BlobFiles::at(dir);
    let at = dir.join("outpost.db");
    outpost::store::restore::restore(&at, &files, reader, &mut |_, _| {}).await.expect("it is restored");
    let (store, _) = super::site::store(dir).await;
    outpost::node::Identity::settle_restored(&*store, &**clock).await.expect("the store works");
    store.close().await;
    Site::open(dir, clock, None).await
}

/// Of a listing, what a restored node shows alike: numbers of arrival are others.
pub fn content(listing: &Value) -> Value {
    let mut records = json!({});
    for (name, held) in listing["records"].as_object().expect("records") {
        for (id, shown) in held.as_object().expect("records") {
            records[format!("{name}/{id}")] = shown["record"]["data"].clone();
        }
    }
    json!({ "records": records, "people": listing["people"], "partitions": listing["partitions"] })
}

fn job(version: u32) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Job",
        "type": "object",
        "x-scope": "site",
        "x-title": ["title"],
        "required": ["title"],
        "properties": {
            "title": { "title": "What is to be done", "type": "string", "maxLength": 80 },
            "site": { "title": "Site", "enum": ["north", "south"] },
            "status": { "title": "Status", "enum": ["open", "done"] },
            "tags": { "title": "Tags", "type": "array", "items": { "type": "string" }, "x-merge": "set" },
            "report": { "title": "Report", "type": "string", "x-merge": "text" },
            "depth": { "title": "Depth", "type": "number", "x-conflict": "highest" },
            "owner": { "title": "Owner", "type": "string", "x-conflict": "ask" },
            "photo": {
                "title": "Photo",
                "type": "object",
                "x-kind": "photo",
                "properties": {
                    "sha256": { "type": "string" }, "name": { "type": "string" },
                    "mime": { "type": "string" }, "size": { "type": "integer" }
                }
            },
            "hours": { "title": "Hours", "type": "number", "minimum": 0, "x-merge": "counter" },
            "place": {
                "title": "Place",
                "type": "object",
                "properties": { "deck": { "type": "integer" }, "room": { "type": "string" } }
            },
            "parts": {
                "title": "Parts",
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "name": { "type": "string" }, "count": { "type": "integer" } },
                    "required": ["name"]
                }
            }
        }
    });
    if version >= 2 {
        schema["properties"]["due"] = json!({ "title": "Due", "type": "string", "format": "date" });
        schema["properties"]["title"]["maxLength"] = json!(120);
    }
    if version >= 3 {
        schema["properties"]["status"]["enum"] = json!(["open", "waiting", "done"]);
        schema["properties"]["place"]["title"] = json!("Where");
    }
    schema
}

fn note() -> Value {
    json!({
        "title": "Note",
        "type": "object",
        "properties": { "text": { "type": "string" }, "weight": { "type": "number" } }
    })
}

fn id(n: u32) -> String {
    format!("0199d6a8-0000-7000-8000-{n:012}")
}

async fn make(site: &Site, clock: &Hands, type_name: &str, n: u32, data: Value) -> String {
    clock.advance(61_000);
    site.post(&format!("/types/{type_name}/records"), json!({ "id": id(n), "data": data })).await;
    format!("/types/{type_name}/records/{}", id(n))
}

async fn change(site: &Site, clock: &Hands, path: &str, patch: Value) {
    clock.advance(1_700);
    site.merge(path, patch).await;
}

fn parts(record: &Value, position: usize) -> String {
    let fields = record["fields"].as_object().expect("fields");
    let mut keys: Vec<&str> =
        fields.keys().filter_map(|pointer| pointer.strip_prefix("/parts/@")?.split('/').next()).collect();
    keys.sort_unstable();
    keys.dedup();
    format!("/parts/@{}", keys[position])
}

/// Makes it in three directories; the databases are closed and whole when `put_away` is called.
pub async fn play(hub_dir: &Path, edge_dir: &Path, reader_dir: &Path, put_away: impl FnOnce()) -> Made {
    let clock = Hands::at(BEGIN, 7);
    let hub = Site::new_hub(hub_dir, &clock).await;
    let node = hub.node();
    let people = [
        ("ingrid@example.org", "Ingrid Solheim", Role::Admin, Some("lantern-9")),
        ("tomas@example.org", "Tomáš Novák", Role::Staff, None),
        ("gone@example.org", "Gone", Role::Viewer, None),
    ];
    for (email, name, role, password) in people {
        let person = node.add_person(&Actor::Operator, email, name, role, password).await.expect("a person");
        if name == "Gone" {
            node.set_disabled(&Actor::Operator, person.id, true).await.expect("a person");
        }
    }
    for (name, schema) in [("job", job(1)), ("note", note()), ("secret", note())] {
        hub.post("/types", json!({ "name": name, "schema": schema })).await;
    }
    let pump = json!({
        "title": "Replace the seal of pump 2", "site": "north", "status": "open", "tags": ["pump", "urgent"],
        "hours": 1.50, "place": { "deck": 2, "room": "Engine" },
        "parts": [{ "name": "Seal", "count": 1 }, { "name": "Bolt M8", "count": 6 }]
    });
    let pump = make(&hub, &clock, "job", 1, pump).await;
    let valve = make(&hub, &clock, "job", 2, json!({ "title": "Valve", "site": "south", "hours": 0 })).await;
    let stays = make(&hub, &clock, "job", 3, json!({ "title": "Bin me", "site": "north" })).await;
    make(&hub, &clock, "job", 4, json!({ "title": "Without a site" })).await;
    let digits: Value = serde_json::from_str(
        r#"{"text": "Digits", "weight": 12345678901234567890.1230e-3, "later": {"a/b": [1.0, null, "~"], "@x": ""}}"#,
    )
    .expect("JSON");
    make(&hub, &clock, "note", 5, digits).await;
    let told = json!({
        "title": "Told by several", "site": "north", "report": "The pump is loud. The valve is shut.",
        "depth": 3.5, "owner": "Ada", "photo": photo(PHOTOS[0])
    });
    let several = make(&hub, &clock, "job", 9, told).await;
    let purged = make(&hub, &clock, "note", 10, json!({ "text": "deleted for good" })).await;
    make(&hub, &clock, "secret", 6, json!({ "text": "not for the edge" })).await;

    // an edge of its part
    let asked = json!({ "name": "North", "scope": { "job": ["north", null], "note": true } });
    let token = hub.post("/nodes/invitations", asked).await;
    let token = token["token"].as_str().expect("a token").to_owned();
    let recorder = Recorder::start(&hub.url);
    Site::enrol(edge_dir, &clock, &recorder.url, &token).await;
    let enrolment = recorder.stop().await;
    let edge = Site::open(edge_dir, &clock, Some(&hub.url)).await;
    edge.until_in_step().await;

    // both write at once: fields, entries of a set, counts, items, the bin
    edge.switch.set(false);
    change(&hub, &clock, &pump, json!({ "status": "done", "hours": 2.50, "tags": ["pump"] })).await;
    change(&edge, &clock, &pump, json!({ "title": "Replace the seal of pump 3", "status": null, "hours": 2.00 })).await;
    let tags = ["pump", "urgent", "wet"];
    edge.merge(&pump, json!({ "tags": tags, "place": { "room": "Pumps" }, "extra": { "kept": true } })).await;
    let bolt = parts(&edge.get(&pump).await, 1);
    edge.patch(&pump, json!([{ "op": "replace", "path": format!("{bolt}/count"), "value": 8 }])).await;
    change(&hub, &clock, &pump, json!({ "title": "Pump 2: new seal" })).await;
    hub.patch(&pump, json!([{ "op": "remove", "path": bolt }])).await;
    hub.patch(&pump, json!([{ "op": "add", "path": "/parts/-", "value": { "name": "Grease", "count": 1 } }])).await;
    let theirs = json!({ "report": "The old pump is loud. The valve is shut.", "depth": 5, "owner": "Ingrid" });
    change(&hub, &clock, &several, theirs).await;
    let ours = json!({ "report": "The pump is loud. The valve is open now.", "depth": 4, "owner": "Tomáš" });
    change(&edge, &clock, &several, ours).await;
    hub.ask("DELETE", &purged, "", None).await;
    hub.ask("DELETE", &stays, "", None).await;
    change(&edge, &clock, &stays, json!({ "title": "Written after it went to the bin" })).await;
    edge.switch.set(true);
    edge.until_same_as(&hub).await;
    // one lost value is decided, others stay open
    let lost = hub.get("/conflicts?state=open").await;
    let first = lost["items"][0]["id"].as_str().expect("somebody lost a value");
    hub.post(&format!("/conflicts/{first}/restore"), json!({})).await;
    edge.until_same_as(&hub).await;

    // what both have heard of is forgotten
    let mut tries = 0;
    while hub.status("GET", &purged).await != 404 {
        hub.status("DELETE", &format!("{purged}?purge=true")).await;
        edge.until_in_step().await;
        hub.until_told_in_step().await;
        tries += 1;
        assert!(tries < 20, "it is not forgotten");
    }

    // a device is revoked while something was saved on it
    let token = hub.post("/nodes/invitations", json!({ "name": "Stolen", "scope": "all" })).await;
    let stolen_dir = hub_dir.with_file_name("stolen");
    std::fs::create_dir_all(&stolen_dir).expect("a directory of our own");
    Site::enrol(&stolen_dir, &clock, &hub.url, token["token"].as_str().expect("a token")).await;
    let stolen = Site::open(&stolen_dir, &clock, Some(&hub.url)).await;
    stolen.until_in_step().await;
    stolen.switch.set(false);
    change(&stolen, &clock, &several, json!({ "title": "Whose is it?" })).await;
    let nodes = hub.get("/nodes").await;
    let nodes = nodes["items"].as_array().or_else(|| nodes.as_array()).expect("nodes").clone();
    let known = nodes.iter().find(|node| node["name"] == "Stolen").expect("it is listed");
    hub.ask("DELETE", &format!("/nodes/{}", known["id"].as_str().expect("an id")), "", None).await;
    stolen.switch.set(true);
    let began = std::time::Instant::now();
    while !hub.get("/quarantine").await.to_string().contains("Whose is it?") {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{}", hub.get("/quarantine").await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stolen.stop().await;
    edge.until_same_as(&hub).await;

    // a record moves out of the scope and another one in
    clock.advance(DAY);
    let wanders = make(&hub, &clock, "job", 7, json!({ "title": "Wanders", "site": "north" })).await;
    edge.until_same_as(&hub).await;
    change(&hub, &clock, &wanders, json!({ "site": "south" })).await;
    change(&hub, &clock, &valve, json!({ "site": "north" })).await;
    edge.until_same_as(&hub).await;

    // the edge goes; the type goes on without it, twice
    edge.switch.set(false);
    clock.advance(DAY);
    change(&edge, &clock, &pump, json!({ "status": "open", "hours": 4.25 })).await;
    make(&edge, &clock, "note", 8, json!({ "text": "Made out of reach" })).await;
    make(&edge, &clock, "job", 11, json!({ "title": "Valve", "site": "north", "photo": photo(PHOTOS[1]) })).await;
    for version in [2, 3] {
        hub.ask("PUT", "/types/job", "application/json", Some(json!({ "schema": job(version) }))).await;
        let data = json!({ "title": format!("Under publication {version}"), "site": "north", "due": "2026-12-24" });
        make(&hub, &clock, "job", 20 + version, data).await;
    }
    change(&hub, &clock, &pump, json!({ "status": "waiting", "due": "2026-12-01", "hours": 6 })).await;
    change(&hub, &clock, &valve, json!({ "site": "south", "status": "done" })).await;
    edge.stop().await;
    // it was off, so that nobody knows how its clock ran meanwhile
    clock.advance(DAY);
    let edge = Site::open(edge_dir, &clock, None).await;
    change(&edge, &clock, &valve, json!({ "title": "Valve 9", "place": { "deck": 1 } })).await;
    edge.ask("DELETE", &format!("/types/note/records/{}", id(8)), "", None).await;

    // a second one is let in and has fetched nothing yet
    let token = hub.post("/nodes/invitations", json!({ "name": "Reader", "scope": "all" })).await;
    Site::enrol(reader_dir, &clock, &hub.url, token["token"].as_str().expect("a token")).await;
    clock.advance(60_000);
    let moment = outpost::node::World::now(&*clock);
    let (hub_listing, edge_listing) = (hub.listing().await, edge.listing().await);
    edge.stop().await;
    hub.stop().await;
    put_away();
    let files = files([hub_dir, edge_dir, reader_dir], &clock).await;

    let hub = Site::open(hub_dir, &clock, None).await;
    let recorder = Recorder::start(&hub.url);
    let edge = Site::open(edge_dir, &clock, Some(&recorder.url)).await;
    edge.until_same_as(&hub).await;
    hub.until_told_in_step().await;
    edge.stop().await;
    let mut meeting = enrolment;
    meeting.extend(recorder.stop().await);
    meeting.extend(by_hand(&meeting, &hub).await);
    let edge = Site::open(edge_dir, &clock, None).await;
    let recorder = Recorder::start(&hub.url);
    let reader = Site::open(reader_dir, &clock, Some(&recorder.url)).await;
    reader.until_in_step().await;
    hub.until_told_in_step().await;
    let made = Made {
        moment,
        hub: hub_listing,
        edge: edge_listing,
        hub_after: hub.listing().await,
        edge_after: edge.listing().await,
        reader_after: reader.listing().await,
        meeting,
        first_copy: Vec::new(),
        files,
    };
    for site in [reader, edge] {
        site.stop().await;
    }
    let first_copy = recorder.stop().await;
    hub.stop().await;
    Made { first_copy, ..made }
}

/// What the recorder does not keep, and what a hub refuses.
async fn by_hand(meeting: &[Exchange], hub: &Site) -> Vec<Exchange> {
    let last = meeting.iter().rfind(|one| one.path == "/sync/v1/hello").expect("they said hello");
    let get = |path: &str, accept: &str| Exchange {
        method: "GET".into(),
        path: path.into(),
        accept: accept.into(),
        body: Vec::new(),
        ..last.clone()
    };
    let framed = outpost::sync::wire::MEDIA_TYPE;
    let stranger = Exchange { authorization: "Bearer opn_00000000000000aa.none".into(), ..last.clone() };
    let asked = [
        get("/sync/v1/live?since=0&wait=1000", framed),
        get("/sync/v1/live?since=0", "text/event-stream"),
        get("/sync/v1/pull?partition=secret&epoch=0000000000000001&base=0&after=0&max_bytes=1000", framed),
        get("/sync/v1/pull?partition=note&epoch=0000000000000001&base=0&after=0&max_bytes=1000", framed),
        Exchange { body: b"no message".to_vec(), ..last.clone() },
        stranger,
    ];
    let client = reqwest::Client::new();
    let mut told = Vec::new();
    for one in asked {
        told.push(one.send(&client, &hub.url).await);
    }
    told
}

/// Where the maker of a set keeps it.
pub fn directory(set: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(set)
}

pub fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 19).expect("memory takes what is written")
}

pub fn unpack(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    zstd::stream::decode_all(&bytes[..]).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// A set as it was put away.
pub struct Set {
    pub name: String,
    pub golden: Value,
    pub meeting: Vec<Exchange>,
    pub first_copy: Vec<Exchange>,
}

impl Set {
    pub fn all() -> Vec<Self> {
        let here = directory("");
        let mut names: Vec<String> = std::fs::read_dir(&here)
            .expect("there are sets")
            .filter_map(|entry| {
                let path = entry.expect("a directory can be read").path();
                path.join("golden.json.zst").exists().then(|| path.file_name()?.to_str().map(str::to_owned))?
            })
            .collect();
        names.sort();
        assert!(!names.is_empty(), "there is a set");
        names.into_iter().map(Self::named).collect()
    }

    fn named(name: String) -> Self {
        let dir = directory(&name);
        let conversations = |file: &str| serde_json::from_slice(&unpack(&dir.join(file))).expect("exchanges");
        Self {
            golden: serde_json::from_slice(&unpack(&dir.join("golden.json.zst"))).expect("JSON"),
            meeting: conversations("meeting.json.zst"),
            first_copy: conversations("first-copy.json.zst"),
            name,
        }
    }

    /// A copy of one of its databases in a directory of its own.
    pub fn open(&self, node: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory of our own");
        let bytes = self.read(&format!("{node}.db"));
        std::fs::write(dir.path().join("outpost.db"), bytes).expect("it has room");
        dir
    }

    /// Whether it holds this file; the first sets hold fewer.
    pub fn has(&self, file: &str) -> bool {
        directory(&self.name).join(format!("{file}.zst")).exists()
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        unpack(&directory(&self.name).join(format!("{file}.zst")))
    }

    pub fn clock(&self) -> Arc<Hands> {
        Hands::at(self.golden["moment"].as_i64().expect("a moment"), 11)
    }
}
