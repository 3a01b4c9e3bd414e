//! The first copy of a large partition: chunk by chunk, killed and cut anywhere, while the hub goes on working.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use outpost::domain::ids::{Partition, RecordId, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::protocol::{Failure, Hello, Pull, Pulled, Push, Pushed, Welcome};
use outpost::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use outpost::domain::record::{Act, Change, Content, Cover};
use outpost::domain::session::{Event, Session, Step};
use outpost::domain::snapshot::{ChunkHash, Manifest};
use outpost::domain::stamp::Author;
use outpost::node::{Identity, NodeRole, World};
use outpost::store::{Digest, Expect, LocalRecord, LocalSave, Outcome, Request, Store};
use outpost::sync::{Carrier, HttpTransport, LiveEvent, Offset, Switch, Transport};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::site::{self, HubNode, Kind, Real, job, note};

/// What happens on the way to the hub and back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    Fine,
    /// The next chunk does not come.
    Cut,
    /// The next chunk is gone at the hub.
    Gone,
    /// The next chunk comes damaged.
    Damaged,
}

struct Way {
    http: HttpTransport,
    weather: Mutex<Weather>,
    fetched: Mutex<BTreeMap<ChunkHash, usize>>,
}

#[async_trait]
impl Transport for Way {
    async fn hello(&self, hello: &Hello) -> Result<Welcome, Failure> {
        self.http.hello(hello).await
    }

    async fn push(&self, push: &Push) -> Result<Pushed, Failure> {
        self.http.push(push).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled, Failure> {
        self.http.pull(pull).await
    }

    async fn snapshot(&self, partition: &Partition) -> Result<Manifest, Failure> {
        self.http.snapshot(partition).await
    }

    async fn chunk(&self, hash: ChunkHash, then: Option<ChunkHash>) -> Result<Vec<u8>, Failure> {
        let weather = std::mem::replace(&mut *self.weather.lock().expect("one thread"), Weather::Fine);
        match weather {
            Weather::Cut => return Err(Failure::Unreachable("the link is cut".into())),
            Weather::Gone => return Err(Failure::NoChunk("gone".into())),
            Weather::Fine | Weather::Damaged => {}
        }
        let mut bytes = self.http.chunk(hash, then).await?;
        if weather == Weather::Damaged {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        } else {
            *self.fetched.lock().expect("one thread").entry(hash).or_default() += 1;
        }
        Ok(bytes)
    }

    async fn reconcile(&self, asked: &Reconcile) -> Result<Reconciled, Failure> {
        self.http.reconcile(asked).await
    }

    async fn fetch(&self, asked: &Fetch) -> Result<Fetched, Failure> {
        self.http.fetch(asked).await
    }

    async fn offer(&self, offer: &Offer) -> Result<Offered, Failure> {
        self.http.offer(offer).await
    }

    async fn live(&self, _: u64, _: mpsc::Sender<LiveEvent>) -> Failure {
        Failure::Local("nobody listens here".into())
    }
}

/// An edge whose steps are taken one by one.
struct Edge {
    store: Arc<dyn Store>,
    way: Arc<Way>,
    carrier: Carrier,
    session: Session,
    now: i64,
    /// What was done since the last start.
    copied: usize,
    pulled_rows: usize,
    _dir: Option<tempfile::TempDir>,
}

impl Edge {
    async fn enrol(hub: &HubNode, kind: Kind, scope: Value) -> Self {
        let (store, dir) = site::store(kind).await;
        let world = Real::new(7);
        let token = hub.invite(scope).await;
        let identity = outpost::sync::enrol(&*store, &*world, &hub.url, &token, "edge").await.expect("it is let in");
        let carrier = Self::carrier(&store, &identity, world).await;
        let (carrier, way) = carrier;
        Self { store, way, carrier, session: Session::new(0), now: 0, copied: 0, pulled_rows: 0, _dir: dir }
    }

    async fn carrier(store: &Arc<dyn Store>, identity: &Identity, world: Arc<Real>) -> (Carrier, Arc<Way>) {
        let NodeRole::Edge(upstream) = &identity.role else { panic!("it is an edge") };
        let http = HttpTransport::new(&upstream.url, &upstream.credential, Switch::default()).expect("an address");
        let way = Arc::new(Way { http, weather: Mutex::new(Weather::Fine), fetched: Mutex::default() });
        let offset = Offset::load(&**store).await.expect("the store works");
        let carrier = Carrier {
            store: store.clone(),
            transport: way.clone(),
            identity: identity.clone(),
            world,
            offset,
            below: None,
        };
        (carrier, way)
    }

    /// What the process knew is gone; what is on disk is not.
    fn kill(&mut self) {
        self.session = Session::new(self.now);
        self.copied = 0;
    }

    fn weather(&self, weather: Weather) {
        *self.way.weather.lock().expect("one thread") = weather;
    }

    /// Takes steps until so many chunks are in since the last start, or both are in step.
    async fn run(&mut self, chunks: usize) {
        for _ in 0..10_000 {
            if self.copied >= chunks || self.session.is_in_step() {
                return;
            }
            let step = self.session.next(self.now);
            if let Step::Wait { until } = step {
                self.now = until.unwrap_or(self.now + 1_000).max(self.now + 1);
                continue;
            }
            let Some(event) = self.carrier.carry_out(step, false).await else { continue };
            match &event {
                Event::Copied { .. } => self.copied += 1,
                Event::Joined { rows, .. } => self.pulled_rows += *rows as usize,
                _ => {}
            }
            self.now += 1;
            self.session.handle(event, self.now, 1);
        }
        panic!("it does not come to an end: {:?}", self.session.status());
    }

    async fn finish(&mut self) {
        self.run(usize::MAX).await;
        assert!(self.session.is_in_step(), "{:?}", self.session.status());
        assert_eq!(self.session.healed(), 0, "nothing had to be healed");
    }

    /// How often each chunk came.
    fn fetched(&self) -> Vec<usize> {
        self.way.fetched.lock().expect("one thread").values().copied().collect()
    }
}

async fn digest(store: &dyn Store, partition: &Partition) -> Digest {
    let states = store.partitions().await.expect("the store works");
    states.into_iter().find(|state| state.partition == *partition).map(|state| state.digest).unwrap_or_default()
}

async fn equal(hub: &HubNode, edge: &Edge, partition: &Partition) {
    let recomputed = edge.store.recompute_digests().await.expect("the store works");
    let mine = recomputed.into_iter().find(|(name, _)| name == partition).map(|(_, digest)| digest);
    assert_eq!(mine, Some(digest(&*hub.store, partition).await), "{partition} is the same on both");
}

fn id(number: u64) -> RecordId {
    let hash = blake3::hash(&number.to_le_bytes());
    RecordId::from_u128(u128::from_le_bytes(*hash.as_bytes().first_chunk().expect("long enough")))
}

/// Many at once, at the hub.
async fn fill(hub: &HubNode, type_name: &TypeName, numbers: std::ops::Range<u64>, document: impl Fn(u64) -> Value) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(1_000) {
        let record = |number: &u64| LocalRecord {
            type_name: type_name.clone(),
            id: id(*number),
            revision: None,
            expect: Expect::New,
            changes: vec![Change {
                path: Path::root(),
                act: Act::Set(Content::json(document(*number))),
                replaces: Cover::nothing(),
            }],
        };
        save(hub, some.iter().map(record).collect()).await;
    }
}

async fn save(hub: &HubNode, records: Vec<LocalRecord>) {
    let world = Real::new(some_seed());
    let save = LocalSave {
        id: SaveId(world.random()),
        author: hub.person.author(),
        now: world.now(),
        unchecked: None,
        records,
        outbox: false,
    };
    let outcome = hub.store.write(Request::Save(save)).await.expect("the store works");
    assert!(matches!(outcome, Outcome::Saved(_)), "it is saved");
}

fn some_seed() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static SEED: AtomicU64 = AtomicU64::new(20);
    SEED.fetch_add(1, Ordering::Relaxed) % 200
}

/// Sets a field of many records at once.
async fn touch(hub: &HubNode, type_name: &TypeName, numbers: std::ops::Range<u64>, field: &str, value: Value) {
    let numbers: Vec<u64> = numbers.collect();
    for some in numbers.chunks(1_000) {
        let mut records = Vec::new();
        for number in some {
            let held = hub.store.record(type_name, id(*number)).await.expect("the store works").expect("it is here");
            let path = Path::root().property(field);
            let change =
                Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(value.clone())) };
            records.push(LocalRecord {
                type_name: type_name.clone(),
                id: id(*number),
                revision: None,
                expect: Expect::Exists,
                changes: vec![change],
            });
        }
        save(hub, records).await;
    }
}

fn text(number: u64) -> Value {
    json!({"title": format!("note {number}"), "body": "Seal weeps about a cup an hour at full load. ".repeat(20), "n": number})
}

/// 6,000 notes are some chunks.
const MANY: u64 = 6_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_partition_comes_in_chunks_and_a_small_one_by_pulling() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        fill(&hub, &note(), 0..MANY, text).await;
        fill(&hub, &job(), 0..10, |n| json!({"site": "a", "title": n})).await;
        let mut edge = Edge::enrol(&hub, kind, json!("all")).await;
        edge.finish().await;
        assert!(edge.copied >= 3, "{}", edge.copied);
        assert_eq!(edge.pulled_rows, 10, "what came in chunks is not pulled again");
        assert!(edge.fetched().iter().all(|times| *times == 1));
        equal(&hub, &edge, &Partition::of_type(&note())).await;
        let held = edge.store.record(&note(), id(17)).await.expect("the store works").expect("it came");
        assert_eq!(held.document.value, text(17));
        let cursor = edge.store.local("cursor", "note").await.expect("the store works").expect("it is written down");
        assert_eq!(cursor["base"], json!(MANY));
        assert_eq!(edge.store.local("copying", "note").await.expect("the store works"), None);
        // what changes from now on is pulled
        touch(&hub, &note(), 3..4, "title", json!("changed")).await;
        edge.kill();
        edge.finish().await;
        assert_eq!((edge.copied, edge.pulled_rows), (0, 11));
        equal(&hub, &edge, &Partition::of_type(&note())).await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_or_cut_between_any_two_chunks_goes_on_where_it_was() {
    let hub = HubNode::start(Kind::Model).await;
    fill(&hub, &note(), 0..MANY, text).await;
    let partition = Partition::of_type(&note());
    let mut whole = Edge::enrol(&hub, Kind::Model, json!("all")).await;
    whole.finish().await;
    let chunks = whole.copied;
    for weather in [Weather::Fine, Weather::Cut, Weather::Gone, Weather::Damaged] {
        for stop in 0..chunks {
            let mut edge = Edge::enrol(&hub, Kind::Model, json!("all")).await;
            edge.run(stop).await;
            edge.weather(weather);
            if weather == Weather::Fine {
                edge.kill();
            }
            edge.finish().await;
            assert_eq!(edge.fetched(), vec![1; chunks], "{weather:?} after {stop}");
            assert_eq!(edge.pulled_rows, 0, "{weather:?} after {stop}");
            equal(&hub, &edge, &partition).await;
        }
    }
    // at every chunk, one after the other
    let mut edge = Edge::enrol(&hub, Kind::Sqlite, json!("all")).await;
    for _ in 0..chunks {
        edge.kill();
        edge.run(1).await;
    }
    edge.kill();
    edge.finish().await;
    assert_eq!((edge.copied, edge.fetched()), (0, vec![1; chunks]));
    equal(&hub, &edge, &partition).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_before_the_first_chunk_and_may_not_be_goes() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        fill(&hub, &note(), 0..MANY, text).await;
        let mut edge = Edge::enrol(&hub, kind, json!("all")).await;
        let hello = edge.session.next(edge.now);
        let welcomed = edge.carrier.carry_out(hello, false).await.expect("it is no wait");
        edge.session.handle(welcomed, edge.now, 1);
        let author = Author { node: edge.carrier.identity.node, ..Author::default() };
        let change = Change {
            path: Path::root(),
            act: Act::Set(Content::json(json!({"title": "forbidden"}))),
            replaces: Cover::nothing(),
        };
        let records = vec![LocalRecord {
            type_name: note(),
            id: id(MANY),
            revision: None,
            expect: Expect::New,
            changes: vec![change],
        }];
        let (id_of_save, now) = (SaveId(1 << 96), edge.carrier.world.now());
        let save = LocalSave { id: id_of_save, author, now, unchecked: None, records, outbox: true };
        edge.store.write(Request::Save(save)).await.expect("the store works");
        edge.session.handle(Event::Waiting(1), edge.now, 1);
        edge.finish().await;
        assert!(edge.store.record(&note(), id(MANY)).await.expect("the store works").is_none());
        equal(&hub, &edge, &Partition::of_type(&note())).await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_between_two_manifests_is_told() {
    for kind in [Kind::Model, Kind::Sqlite] {
        let hub = HubNode::start(kind).await;
        let at_a = |number: u64| json!({"site": "a", "title": number, "body": "Oil on the bed plate. ".repeat(16)});
        fill(&hub, &job(), 0..MANY, at_a).await;
        let mut edge = Edge::enrol(&hub, kind, json!({"job": ["a"]})).await;
        edge.run(1).await;
        let mut first = None;
        for number in 0..MANY {
            if edge.store.record(&job(), id(number)).await.expect("the store works").is_some() {
                first = Some(number);
                break;
            }
        }
        let first = first.expect("the first chunk holds something");
        // a record that is here leaves; so much changes that the chunks are made anew; and the old ones are gone
        touch(&hub, &job(), first..first + 1, "site", json!("b")).await;
        touch(&hub, &job(), MANY - 1_500..MANY, "title", json!("changed")).await;
        edge.weather(Weather::Gone);
        edge.run(2).await;
        assert!(edge.copied >= 2);
        assert!(edge.store.record(&job(), id(first)).await.expect("the store works").is_some(), "nobody told it yet");
        edge.finish().await;
        assert!(
            edge.store.record(&job(), id(first)).await.expect("the store works").is_none(),
            "it is not in its scope"
        );
        equal(&hub, &edge, &Partition::of_value(&job(), Some(&json!("a")))).await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_given_to_who_may_hold_it_and_to_nobody_else() {
    let hub = HubNode::start(Kind::Sqlite).await;
    fill(&hub, &note(), 0..MANY, text).await;
    let all = Edge::enrol(&hub, Kind::Model, json!("all")).await;
    let some = Edge::enrol(&hub, Kind::Model, json!({"job": ["a"]})).await;
    let partition = Partition::of_type(&note());
    let manifest = all.way.http.snapshot(&partition).await.expect("it may");
    assert_eq!(manifest.records, MANY);
    let sizes: u64 = manifest.chunks.iter().map(|chunk| chunk.records).sum();
    assert_eq!(sizes, MANY);
    let again = all.way.http.snapshot(&partition).await.expect("it may");
    assert_eq!(again, manifest, "it is made once");
    let hash = manifest.chunks[0].hash;
    let bytes = all.way.http.chunk(hash, None).await.expect("it may");
    assert_eq!((bytes.len() as u64, ChunkHash::of(&bytes)), (manifest.chunks[0].bytes, hash));
    assert!(matches!(some.way.http.snapshot(&partition).await, Err(Failure::OutOfScope(_))));
    assert!(matches!(some.way.http.chunk(hash, None).await, Err(Failure::NoChunk(_))));
    assert!(matches!(all.way.http.chunk(ChunkHash::of(b""), None).await, Err(Failure::NoChunk(_))));
    hub.stop().await;
}
