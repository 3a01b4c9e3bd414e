//! Files between real nodes: they follow the records, go on where they were, and go only to whom they concern.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outpost::domain::blob::{AskBlobs, BlobHash, BlobsHeld, CHUNK, HubHas, Place, parts};
use outpost::domain::protocol::{Failure, Hello, Pull, Pulled, Push, Pushed, Welcome};
use outpost::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use outpost::node::{Blobs, Link as _, Nodes};
use outpost::store::blob::{Arrived, hash_of};
use outpost::sync::{BlobLink, BlobSettings, HttpTransport, LiveEvent, Transport};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::site::{EdgeNode, HubNode, Kind, Real, job, note};

const PATIENCE: Duration = Duration::from_secs(20);

/// A node's files, in a directory of their own.
struct Files {
    blobs: Arc<Blobs>,
    dir: TempDir,
}

impl Files {
    async fn of_hub(hub: &HubNode) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = Self { blobs: open(&dir, &hub.store, true).await, dir };
        hub.hub.keep_files(files.blobs.clone());
        files
    }

    async fn of_edge(edge: &EdgeNode) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = Self { blobs: open(&dir, &edge.store, false).await, dir };
        edge.hub.keep_files(files.blobs.clone());
        files
    }

    async fn put(&self, bytes: &[u8]) -> BlobHash {
        let (hash, size) = (hash_of(bytes), bytes.len() as u64);
        let arrived = self.blobs.append(hash, size, 0, bytes.to_vec()).await.expect("it is taken");
        assert_eq!(arrived, Arrived::Whole);
        hash
    }

    async fn until_here(&self, hash: BlobHash) {
        let began = Instant::now();
        while self.blobs.size(hash).is_none() {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.blobs.state(hash, 1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until(&self, hash: BlobHash, size: u64, place: Place) {
        let began = Instant::now();
        while self.blobs.state(hash, size).place != place {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.blobs.state(hash, size));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn open(dir: &TempDir, store: &Arc<dyn outpost::store::Store>, is_hub: bool) -> Arc<Blobs> {
    Blobs::open(dir.path(), store.clone(), Box::new(|_| true), is_hub).await.expect("a place for files")
}

/// The way of files, which can be slow, count, and break.
struct Way {
    inner: HttpTransport,
    delay: Duration,
    sent: std::sync::Mutex<Vec<u64>>,
    fetched: std::sync::Mutex<Vec<u64>>,
    /// So many parts pass, then none any more.
    passes: AtomicU64,
}

impl Way {
    fn of(edge: &EdgeNode, url: &str) -> Arc<Self> {
        Self::limited(edge, url, Duration::ZERO, u64::MAX)
    }

    fn limited(edge: &EdgeNode, url: &str, delay: Duration, passes: u64) -> Arc<Self> {
        let inner = HttpTransport::new(url, edge.credential(), edge.switch.clone()).expect("an address");
        let passes = AtomicU64::new(passes);
        Arc::new(Self { inner, delay, sent: Default::default(), fetched: Default::default(), passes })
    }

    async fn pass(&self) -> Result<(), Failure> {
        tokio::time::sleep(self.delay).await;
        let left = self.passes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| Failure::Unreachable("the way is cut".into()))
    }
}

fn not_this_way<T>() -> Result<T, Failure> {
    Err(Failure::Local("only files go this way".into()))
}

#[async_trait]
impl Transport for Way {
    async fn hello(&self, _: &Hello) -> Result<Welcome, Failure> {
        not_this_way()
    }
    async fn push(&self, _: &Push) -> Result<Pushed, Failure> {
        not_this_way()
    }
    async fn pull(&self, _: &Pull) -> Result<Pulled, Failure> {
        not_this_way()
    }
    async fn reconcile(&self, _: &Reconcile) -> Result<Reconciled, Failure> {
        not_this_way()
    }
    async fn fetch(&self, _: &Fetch) -> Result<Fetched, Failure> {
        not_this_way()
    }
    async fn offer(&self, _: &Offer) -> Result<Offered, Failure> {
        not_this_way()
    }
    async fn live(&self, _: u64, _: mpsc::Sender<LiveEvent>) -> Failure {
        Failure::Local("only files go this way".into())
    }
    async fn ask_blobs(&self, asked: &AskBlobs) -> Result<BlobsHeld, Failure> {
        self.inner.ask_blobs(asked).await
    }
    async fn put_blob(&self, hash: BlobHash, size: u64, part: u64, bytes: Vec<u8>) -> Result<HubHas, Failure> {
        self.pass().await?;
        let has = self.inner.put_blob(hash, size, part, bytes).await?;
        self.sent.lock().expect("no panic").push(part);
        Ok(has)
    }
    async fn blob(&self, hash: BlobHash, part: u64) -> Result<(Vec<u8>, u64), Failure> {
        self.pass().await?;
        let came = self.inner.blob(hash, part).await?;
        self.fetched.lock().expect("no panic").push(part);
        Ok(came)
    }
}

fn lane(edge: &EdgeNode, blobs: &Arc<Blobs>, transport: Arc<dyn Transport>) -> BlobLink {
    static SEED: AtomicU64 = AtomicU64::new(77);
    BlobLink::start(BlobSettings {
        blobs: blobs.clone(),
        store: edge.store.clone(),
        transport,
        status: edge.link.watch(),
        world: Real::new(SEED.fetch_add(1, Ordering::Relaxed)),
    })
}

fn photo(size: usize, salt: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 + n / 251 + salt) as u8).collect()
}

fn reference(bytes: &[u8]) -> Value {
    let hash = hash_of(bytes).to_string();
    json!({"id": "p1", "name": "pump.jpg", "mime": "image/jpeg", "size": bytes.len(), "sha256": hash})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_taken_out_of_reach_comes_to_the_hub_and_on_to_whoever_holds_its_record() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let other = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let (here, there) = (Files::of_edge(&edge).await, Files::of_edge(&other).await);
    let up = lane(&edge, &here.blobs, Way::of(&edge, &hub.url));
    let down = lane(&other, &there.blobs, Way::of(&other, &hub.url));
    edge.until_in_step().await;
    edge.switch.set(false);

    let bytes = photo(2 * CHUNK as usize + 9, 1);
    let hash = here.put(&bytes).await;
    let record = edge.person.create(note(), json!({"title": "leak", "photo": reference(&bytes)})).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(here.blobs.state(hash, bytes.len() as u64).place, Place::Waiting);
    assert_eq!(at_hub.blobs.size(hash), None);

    edge.switch.set(true);
    other.person.sees(&record, "/title", json!("leak")).await;
    at_hub.until_here(hash).await;
    there.until_here(hash).await;
    let came = there.blobs.read(hash, 0, u64::MAX).await.expect("it reads").expect("it is here");
    assert_eq!(came, bytes);
    here.until(hash, bytes.len() as u64, Place::AtHub).await;
    assert_eq!(here.blobs.travelling().0.files, 0);
    for lane in [up, down] {
        lane.stop().await;
    }
    edge.stop().await;
    other.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_cut_and_a_restart_of_both_a_file_goes_on_at_the_part_where_it_was() {
    let hub = HubNode::start(Kind::Sqlite).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Sqlite, json!("all")).await;
    let here = Files::of_edge(&edge).await;
    let bytes = photo(7 * CHUNK as usize - 5, 2);
    let (hash, size) = (here.put(&bytes).await, bytes.len() as u64);
    edge.person.create(note(), json!({"photo": reference(&bytes)})).await;

    let way = Way::limited(&edge, &hub.url, Duration::ZERO, 3);
    let first = lane(&edge, &here.blobs, way.clone());
    let began = Instant::now();
    while at_hub.blobs.arrived(hash) != Arrived::Bytes(3 * CHUNK) {
        assert!(began.elapsed() < PATIENCE, "{:?}", at_hub.blobs.arrived(hash));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.stop().await;
    // both processes begin anew with what is on their disks
    let again = open(&here.dir, &edge.store, false).await;
    let mut hub = hub;
    hub.pause_server().await;
    hub.resume_server().await;
    let reopened = open(&at_hub.dir, &hub.store, true).await;
    hub.hub.keep_files(reopened.clone());
    assert_eq!(reopened.arrived(hash), Arrived::Bytes(3 * CHUNK));
    let way = Way::of(&edge, &hub.url);
    let second = lane(&edge, &again, way.clone());
    let files = Files { blobs: reopened, dir: tempfile::tempdir().expect("a directory") };
    files.until_here(hash).await;
    let sent = way.sent.lock().expect("no panic").clone();
    assert!(sent.iter().all(|part| *part >= 3), "{sent:?}");
    assert!(sent.len() as u64 <= parts(size) - 3, "{sent:?}");
    second.stop().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_on_its_way_down_goes_on_where_it_was_too() {
    let hub = HubNode::start(Kind::Model).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let here = Files::of_edge(&edge).await;
    let bytes = photo(5 * CHUNK as usize, 3);
    let hash = at_hub.put(&bytes).await;
    hub.person.create(note(), json!({"photo": reference(&bytes)})).await;
    let way = Way::limited(&edge, &hub.url, Duration::ZERO, 2);
    let first = lane(&edge, &here.blobs, way);
    let began = Instant::now();
    while here.blobs.arrived(hash) != Arrived::Bytes(2 * CHUNK) {
        assert!(began.elapsed() < PATIENCE, "{:?}", here.blobs.arrived(hash));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.stop().await;
    let again = open(&here.dir, &edge.store, false).await;
    let way = Way::of(&edge, &hub.url);
    let second = lane(&edge, &again, way.clone());
    Files { blobs: again, dir: tempfile::tempdir().expect("a directory") }.until_here(hash).await;
    assert_eq!(*way.fetched.lock().expect("no panic"), [2, 3, 4]);
    second.stop().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_on_while_a_large_file_is_under_way_and_come_before_it() {
    let hub = HubNode::start(Kind::Model).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let here = Files::of_edge(&edge).await;
    let bytes = photo(60 * CHUNK as usize, 4);
    let hash = here.put(&bytes).await;
    let record = edge.person.create(note(), json!({"title": 0, "photo": reference(&bytes)})).await;
    // 15 MiB at 100 ms a part: six seconds at least
    let way = Way::limited(&edge, &hub.url, Duration::from_millis(100), u64::MAX);
    let lane = lane(&edge, &here.blobs, way.clone());
    let began = Instant::now();
    while at_hub.blobs.arrived(hash) == Arrived::Bytes(0) {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for n in 1..=5 {
        edge.person.set(&record, "/title", json!(n)).await;
        hub.person.sees(&record, "/title", json!(n)).await;
        hub.person.set(&record, "/title", json!(n * 100)).await;
        edge.person.sees(&record, "/title", json!(n * 100)).await;
    }
    assert_eq!(at_hub.blobs.size(hash), None, "all this came while the file was under way");
    at_hub.until_here(hash).await;
    lane.stop().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_hub_does_not_have_yet_comes_when_it_has_and_one_bad_file_stalls_nothing() {
    let hub = HubNode::start(Kind::Model).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let here = Files::of_edge(&edge).await;
    let lane = lane(&edge, &here.blobs, Way::of(&edge, &hub.url));
    // said to be somewhere, and nobody has it
    let nowhere = photo(10, 5);
    hub.person.create(note(), json!({"photo": reference(&nowhere)})).await;
    // more than this hub takes
    at_hub.blobs.take_at_most(2 * CHUNK);
    let large = photo(3 * CHUNK as usize, 6);
    let too_large = here.put(&large).await;
    edge.person.create(note(), json!({"photo": reference(&large)})).await;
    let late = photo(1000, 7);
    hub.person.create(note(), json!({"photo": reference(&late)})).await;
    let good = photo(2000, 8);
    let hash = here.put(&good).await;
    edge.person.create(note(), json!({"photo": reference(&good)})).await;
    at_hub.until_here(hash).await;
    let began = Instant::now();
    let told = loop {
        if let Some(trouble) = here.blobs.state(too_large, large.len() as u64).trouble {
            break trouble;
        }
        assert!(began.elapsed() < PATIENCE, "it is not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(told.contains("MiB"), "{told}");
    let state = here.blobs.state(hash_of(&nowhere), 10);
    assert_eq!(state.place, Place::Coming);
    at_hub.put(&late).await;
    here.until_here(hash_of(&late)).await;
    assert_eq!(at_hub.blobs.size(too_large), None);
    lane.stop().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_photo_and_one_that_lost_are_not_forgotten_on_the_edge() {
    let hub = HubNode::start(Kind::Model).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!("all")).await;
    let here = Files::of_edge(&edge).await;
    let lane = lane(&edge, &here.blobs, Way::of(&edge, &hub.url));
    edge.until_in_step().await;
    edge.switch.set(false);
    let (first, second) = (photo(700, 9), photo(800, 10));
    let replaced = here.put(&first).await;
    let stands = here.put(&second).await;
    let record = edge.person.create(note(), json!({"photo": reference(&first)})).await;
    edge.person.set(&record, "/photo", reference(&second)).await;
    edge.switch.set(true);
    at_hub.until_here(stands).await;
    at_hub.until_here(replaced).await;
    lane.stop().await;
    edge.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_over_an_edge_that_serves_others_both_ways() {
    let hub = HubNode::start(Kind::Model).await;
    let at_hub = Files::of_hub(&hub).await;
    let token = hub.hub.invite("ship", json!("all"), true).await.expect("an invitation is made");
    let mut ship = EdgeNode::join_at(&hub.url, &token, Kind::Model).await;
    ship.until_in_step().await;
    let on_ship = Files::of_edge(&ship).await;
    let ship_lane = lane(&ship, &on_ship.blobs, Way::of(&ship, &hub.url));
    let url = ship.serve();
    let token = ship.hub.invite("tablet", json!("all"), false).await.expect("an invitation is made");
    let tablet = EdgeNode::join_at(&url, &token, Kind::Model).await;
    let on_tablet = Files::of_edge(&tablet).await;
    let tablet_lane = lane(&tablet, &on_tablet.blobs, Way::of(&tablet, &url));
    let (up, down) = (photo(300_000, 11), photo(300_001, 12));
    let hash = on_tablet.put(&up).await;
    tablet.person.create(note(), json!({"photo": reference(&up)})).await;
    at_hub.until_here(hash).await;
    let hash = at_hub.put(&down).await;
    hub.person.create(note(), json!({"photo": reference(&down)})).await;
    on_tablet.until_here(hash).await;
    for lane in [ship_lane, tablet_lane] {
        lane.stop().await;
    }
    tablet.stop().await;
    ship.stop().await;
    hub.stop().await;
}

async fn status(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_gives_and_takes_only_what_a_record_in_scope_refers_to_and_only_sound_parts() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hub = HubNode::start(Kind::Model).await;
    let at_hub = Files::of_hub(&hub).await;
    let edge = EdgeNode::join(&hub, Kind::Model, json!({"job": ["platform-7"]})).await;
    let (mine, other) = (photo(1000, 13), photo(1000, 14));
    for (site, bytes) in [("platform-7", &mine), ("platform-8", &other)] {
        hub.person.create(job(), json!({"site": site, "photo": reference(bytes)})).await;
    }
    at_hub.put(&other).await;
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let at = |hash: BlobHash, rest: &str| format!("{}/sync/v1/blobs/{hash}/{rest}", hub.url);
    let put = |hash: BlobHash, rest: &str, bytes: &[u8]| {
        client.put(at(hash, rest)).bearer_auth(edge.credential()).body(bytes.to_vec())
    };
    let get = |hash: BlobHash| client.get(at(hash, "0")).bearer_auth(edge.credential());
    let (hash, foreign, stranger) = (hash_of(&mine), hash_of(&other), hash_of(b"anything"));

    assert_eq!(status(get(foreign)).await.0, 404, "outside of its scope");
    assert_eq!(status(get(hash)).await.1["type"], "urn:outpost:problem:no-blob", "not here yet");
    assert_eq!(status(client.get(at(foreign, "0"))).await.0, 401);
    for (hash, size) in [(foreign, 1000), (stranger, 8)] {
        let (code, problem) = status(put(hash, &format!("0?size={size}"), &mine[..size])).await;
        assert_eq!((code, &problem["type"]), (404, &json!("urn:outpost:problem:no-blob")));
    }
    let (code, problem) = status(put(hash, "0?size=99999999999", &mine)).await;
    assert_eq!((code, &problem["type"]), (413, &json!("urn:outpost:problem:too-large")), "{problem}");
    for (rest, bytes) in [
        ("0", &mine[..]),
        ("0?size=-1", &mine),
        ("0?size=999", &mine),
        ("1?size=1000", &mine),
        ("0?size=1000", &mine[..999]),
        ("18446744073709551615?size=1000", &mine),
        ("x?size=1000", &mine),
    ] {
        assert_eq!(status(put(hash, rest, bytes)).await.0, 400, "{rest}");
    }
    let too_much = photo(CHUNK as usize + 1, 1);
    assert_eq!(status(put(hash, "0?size=300000", &too_much)).await.0, 413);
    // flipped on the way: nothing is kept
    let other_digest = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    let flipped = put(hash, "0?size=1000", &mine).header("content-digest", other_digest);
    assert_eq!(status(flipped).await.0, 400);
    assert_eq!(at_hub.blobs.arrived(hash), Arrived::Bytes(0));
    // sound on the way, and not what the name stands for: nothing comes into sight
    assert_eq!(status(put(hash, "0?size=1000", &other)).await.0, 400);
    assert_eq!(at_hub.blobs.arrived(hash), Arrived::Bytes(0));
    for _ in 0..2 {
        let (code, has) = status(put(hash, "0?size=1000", &mine).header("accept", "application/json")).await;
        assert_eq!((code, has), (200, json!("whole")));
    }
    let response = get(hash).send().await.expect("an answer");
    assert_eq!(response.headers()["content-range"], "bytes 0-999/1000");
    assert_eq!(response.bytes().await.expect("a body"), mine);
    edge.stop().await;
    hub.stop().await;
}
