//! A hub and edges for tests.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use outpost::domain::feed::Cursor;
use outpost::domain::ids::{Epoch, Partition, RecordId, SaveId, TypeName};
use outpost::domain::path::Path;
use outpost::domain::protocol::{Hint, Hints};
use outpost::domain::record::{Act, Change, Content, Cover, edit_key};
use outpost::domain::save::Save;
use outpost::domain::session::LinkState;
use outpost::domain::stamp::Author;
use outpost::node::{Identity, KnownNode, Link as _, NodeRole, Nodes, PeerState, Peers as _, World};
use outpost::store::{Expect, Judge, LocalRecord, LocalSave, Model, Options, Outcome, Query, Request, Sqlite, Store};
use outpost::sync::{
    Corrected, HttpTransport, Hub, Link, LinkSettings, Offset, PeerSettings, Peers, Relay, Spread, Switch,
};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

pub fn note() -> TypeName {
    TypeName::custom("note").expect("a good name")
}

pub fn job() -> TypeName {
    TypeName::custom("job").expect("a good name")
}

pub struct Fixed;

impl Judge for Fixed {
    fn partition(&self, type_name: &TypeName, document: &Value) -> Partition {
        match type_name.as_str() {
            TypeName::LOST => Partition(document["partition"].as_str().unwrap_or("_lost").to_owned()),
            "job" => Partition::of_value(type_name, document.get("site")),
            _ => Partition::of_type(type_name),
        }
    }

    fn is_valid(&self, _: &TypeName, _: Option<outpost::domain::ids::RevisionId>, _: &Value) -> Option<bool> {
        Some(true)
    }
}

/// The real clock, and numbers that do not repeat.
pub struct Real(AtomicU64);

impl Real {
    pub fn new(seed: u64) -> Arc<Self> {
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        Arc::new(Self(AtomicU64::new(nanos as u64 ^ seed << 56)))
    }
}

impl World for Real {
    fn now(&self) -> i64 {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        time.as_millis() as i64
    }

    fn ticks(&self) -> i64 {
        self.now()
    }

    fn random(&self) -> u128 {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::hash(&number.to_le_bytes());
        u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("sixteen bytes"))
    }
}

#[derive(Clone, Copy)]
pub enum Kind {
    Model,
    Sqlite,
}

pub async fn store(kind: Kind) -> (Arc<dyn Store>, Option<TempDir>) {
    match kind {
        Kind::Model => (Arc::new(Model::new(Arc::new(Fixed))), None),
        Kind::Sqlite => {
            let dir = tempfile::tempdir().expect("a temporary directory");
            (open_store(&dir).await, Some(dir))
        }
    }
}

async fn open_store(dir: &TempDir) -> Arc<dyn Store> {
    let path = dir.path().join("outpost.db");
    Arc::new(Sqlite::open(&path, Arc::new(Fixed), Options::default()).await.expect("a database"))
}

/// What somebody has who copies the data directory of a node that does not run.
pub fn copied(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    for file in std::fs::read_dir(dir.path()).expect("the directory is there") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("it is copied");
    }
    copy
}

pub type Key = (TypeName, RecordId);

/// Somebody who works at a node.
pub struct Person {
    store: Arc<dyn Store>,
    author: Author,
    world: Arc<dyn World>,
    is_edge: bool,
}

impl Person {
    pub fn author(&self) -> Author {
        self.author
    }

    async fn save(&self, key: &Key, expect: Expect, change: Change) {
        let record = LocalRecord { type_name: key.0.clone(), id: key.1, revision: None, expect, changes: vec![change] };
        let save = LocalSave {
            id: SaveId(self.world.random()),
            author: self.author,
            now: self.world.now(),
            unchecked: None,
            records: vec![record],
            outbox: self.is_edge,
        };
        let outcome = self.store.write(Request::Save(save)).await.expect("the store works");
        assert!(matches!(outcome, Outcome::Saved(_)), "{outcome:?}");
    }

    pub async fn create(&self, type_name: TypeName, document: Value) -> Key {
        let key = (type_name, RecordId::from_u128(self.world.random()));
        let act = Act::Set(Content::json(document));
        self.save(&key, Expect::New, Change { path: Path::root(), act, replaces: Cover::nothing() }).await;
        key
    }

    /// Makes all of them in one save.
    pub async fn create_all(&self, type_name: TypeName, documents: Vec<Value>) {
        let record = |document| LocalRecord {
            type_name: type_name.clone(),
            id: RecordId::from_u128(self.world.random()),
            revision: None,
            expect: Expect::New,
            changes: vec![Change {
                path: Path::root(),
                act: Act::Set(Content::json(document)),
                replaces: Cover::nothing(),
            }],
        };
        let save = LocalSave {
            id: SaveId(self.world.random()),
            author: self.author,
            now: self.world.now(),
            unchecked: None,
            records: documents.into_iter().map(record).collect(),
            outbox: self.is_edge,
        };
        let outcome = self.store.write(Request::Save(save)).await.expect("the store works");
        assert!(matches!(outcome, Outcome::Saved(_)), "{outcome:?}");
    }

    pub async fn set(&self, key: &Key, pointer: &str, value: Value) {
        let held = self.store.record(&key.0, key.1).await.expect("the store works").expect("the record is here");
        let path = Path::parse(pointer, |_| false).expect("a pointer");
        let change = Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(value)) };
        self.save(key, Expect::Exists, change).await;
    }

    /// Puts a record into the bin, or takes it out.
    pub async fn bin(&self, key: &Key, binned: bool) {
        let held = self.store.record(&key.0, key.1).await.expect("the store works").expect("the record is here");
        let path = Path::root();
        self.save(key, Expect::Exists, Change { replaces: held.state.cover(&path), path, act: Act::Bin(binned) }).await;
    }

    /// Makes this of a long text, as a form would that shows it as it is here.
    pub async fn edit(&self, key: &Key, pointer: &str, text: &str) {
        let held = self.store.record(&key.0, key.1).await.expect("the store works").expect("the record is here");
        let path = Path::parse(pointer, |_| false).expect("a pointer");
        let edit = held.state.text_edit(&path, text).expect("the text can be edited");
        let path = path.item(&edit_key(&format!("{:x}", self.world.random())));
        let change = Change { replaces: held.state.cover(&path), path, act: Act::Set(Content::json(edit)) };
        self.save(key, Expect::Exists, change).await;
    }

    pub async fn value(&self, key: &Key, pointer: &str) -> Option<Value> {
        let held = self.store.record(&key.0, key.1).await.expect("the store works")?;
        held.document.value.pointer(pointer).cloned()
    }

    /// Waits until this value stands here.
    pub async fn sees(&self, key: &Key, pointer: &str, value: Value) {
        let began = Instant::now();
        let mut notices = self.store.notices();
        while self.value(key, pointer).await.as_ref() != Some(&value) {
            assert!(began.elapsed() < PATIENCE, "{pointer} of {key:?} is {:?}", self.value(key, pointer).await);
            let _ = tokio::time::timeout(Duration::from_millis(50), notices.recv()).await;
        }
    }

    pub async fn is_gone(&self, key: &Key) {
        let began = Instant::now();
        while self.store.record(&key.0, key.1).await.expect("the store works").is_some() {
            assert!(began.elapsed() < PATIENCE, "{key:?} is still here");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub struct HubNode {
    pub hub: Arc<Hub>,
    pub store: Arc<dyn Store>,
    pub person: Person,
    pub url: String,
    pub withdrawn: Withdrawn,
    pub identity: Identity,
    world: Arc<Real>,
    port: u16,
    server: ServerHandle,
    _dir: Option<TempDir>,
}

/// Why nobody may save anything, if so.
pub type Withdrawn = Arc<Mutex<Option<String>>>;

async fn open(store: &Arc<dyn Store>, identity: &Identity, world: &Arc<Real>, withdrawn: &Withdrawn) -> Arc<Hub> {
    let withdrawn = withdrawn.clone();
    let permits = move |save: &Save| {
        if let Some(reason) = &*withdrawn.lock().expect("no panic") {
            return Err(reason.clone());
        }
        let forbidden = |change: &Change| match &change.act {
            Act::Set(Content::Json(text)) => text.0["title"] == "forbidden",
            _ => false,
        };
        if save.records.iter().flat_map(|record| &record.changes).any(forbidden) {
            return Err("not permitted here".to_owned());
        }
        Ok(())
    };
    Hub::open(store.clone(), identity.clone(), world.clone(), Box::new(permits)).await.expect("the store works")
}

fn serve(hub: &Arc<Hub>, port: u16) -> (ServerHandle, u16) {
    let hub = web::Data::from(hub.clone());
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let server = HttpServer::new(move || App::new().app_data(hub.clone()).configure(outpost::sync::http::configure))
        .workers(1)
        .disable_signals()
        .shutdown_timeout(2)
        .listen(listener)
        .expect("a port")
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    (handle, port)
}

impl HubNode {
    pub async fn start(kind: Kind) -> Self {
        let (store, dir) = store(kind).await;
        let world = Real::new(1);
        let identity = Identity::hub(&*world, "Tern Bay hub");
        let withdrawn = Withdrawn::default();
        let hub = open(&store, &identity, &world, &withdrawn).await;
        let (server, port) = serve(&hub, 0);
        let author = Author { node: identity.node, incarnation: identity.incarnation, ..Author::default() };
        let person = Person { store: store.clone(), author, world: world.clone(), is_edge: false };
        let url = format!("http://127.0.0.1:{port}");
        Self { hub, store, person, url, withdrawn, identity, world, port, server, _dir: dir }
    }

    pub async fn invite(&self, scope: Value) -> String {
        self.hub.invite("platform 7", scope, false).await.expect("an invitation is made")
    }

    /// Writes another name down, as setting up a hub does.
    pub async fn rename(&self, name: &str) {
        let identity = Identity { name: name.into(), ..self.identity.clone() };
        assert!(identity.settle(&*self.store).await.expect("the store works"), "it had a name in its store already");
    }

    /// How many values lost here.
    pub async fn lost(&self) -> usize {
        let query = Query {
            type_name: TypeName::built_in(TypeName::LOST),
            filters: Vec::new(),
            sort: Vec::new(),
            binned: false,
            limit: 1_000,
            cursor: None,
        };
        self.store.records(&query).await.expect("the store works").items.len()
    }

    /// Closes the node and takes a copy of its files; they go on being those of this hub.
    pub async fn copy(&mut self) -> TempDir {
        self.pause_server().await;
        self.store.close().await;
        let copy = copied(self._dir.as_ref().expect("it is on disk"));
        self.open_again().await;
        copy
    }

    /// Closes the node and goes on with these files, as if nothing had been.
    pub async fn put_back(&mut self, dir: TempDir) {
        self.pause_server().await;
        self.store.close().await;
        self._dir = Some(dir);
        self.open_again().await;
    }

    /// As `outpost restore` does: it says that its past is another.
    pub async fn restored(&mut self) {
        self.pause_server().await;
        self.identity = self.identity.restored(&*self.world);
        self.resume_server().await;
    }

    pub fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    async fn open_again(&mut self) {
        self.store = open_store(self._dir.as_ref().expect("it is on disk")).await;
        self.person.store = self.store.clone();
        self.resume_server().await;
    }

    pub async fn pause_server(&mut self) {
        self.hub.close();
        self.server.stop(true).await;
    }

    pub async fn resume_server(&mut self) {
        self.hub = open(&self.store, &self.identity, &self.world, &self.withdrawn).await;
        (self.server, _) = serve(&self.hub, self.port);
    }

    pub async fn restart_with(&mut self, epoch: Epoch) {
        self.pause_server().await;
        self.identity.epoch = epoch;
        self.resume_server().await;
    }

    /// Waits until the one node of this hub is as it should be.
    pub async fn until_it_knows(&self, is_so: impl Fn(&KnownNode) -> bool) {
        let began = Instant::now();
        loop {
            let nodes = self.hub.list().await.expect("the store works");
            if nodes.iter().any(&is_so) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{nodes:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn stop(&self) {
        self.hub.close();
        self.server.stop(true).await;
        self.store.close().await;
    }
}

pub struct EdgeNode {
    pub link: Arc<Link>,
    pub store: Arc<dyn Store>,
    pub person: Person,
    pub switch: Switch,
    pub identity: Identity,
    world: Arc<Real>,
    offset: Arc<Offset>,
    /// Its side of sync with nodes below it.
    pub hub: Arc<Hub>,
    relay: Arc<Relay>,
    pub peers: Arc<Peers>,
    server: Option<(ServerHandle, u16)>,
    _dir: Option<TempDir>,
}

impl EdgeNode {
    pub async fn join(hub: &HubNode, kind: Kind, scope: Value) -> Self {
        let edge = Self::join_at(&hub.url, &hub.invite(scope).await, kind).await;
        assert_eq!(edge.identity.name, "platform 7");
        edge
    }

    /// Joins whoever answers there.
    pub async fn join_at(url: &str, token: &str, kind: Kind) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(2);
        let (store, dir) = store(kind).await;
        let world = Real::new(SEED.fetch_add(1, Ordering::Relaxed));
        let identity = outpost::sync::enrol(&*store, &*world, &format!("{url}/"), token, "named by its hub").await;
        Self::over(store, dir, world, identity.expect("the hub lets it in")).await
    }

    /// Runs the edge whose files these are.
    pub async fn wake(dir: TempDir) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(100);
        let store = open_store(&dir).await;
        let identity = Identity::load(&*store).await.expect("the store works").expect("it has joined");
        Self::over(store, Some(dir), Real::new(SEED.fetch_add(1, Ordering::Relaxed)), identity).await
    }

    /// Stops it; its files.
    pub async fn sleep(mut self) -> TempDir {
        self.stop().await;
        self._dir.take().expect("it is on disk")
    }

    /// Joins, and asks at these addresses from the beginning.
    pub async fn join_beside(url: &str, token: &str, kind: Kind, beside: &[String]) -> Self {
        Self::join_telling(url, token, kind, beside, |_| {}).await
    }

    /// As before; `tell` gets its store before it asks anybody.
    pub async fn join_telling(
        url: &str,
        token: &str,
        kind: Kind,
        beside: &[String],
        tell: impl FnOnce(Arc<dyn Store>),
    ) -> Self {
        static SEED: AtomicU64 = AtomicU64::new(50);
        let (store, dir) = store(kind).await;
        let world = Real::new(SEED.fetch_add(1, Ordering::Relaxed));
        let identity = outpost::sync::enrol(&*store, &*world, url, token, "named by its hub").await;
        tell(store.clone());
        Self::with(store, dir, world, identity.expect("the hub lets it in"), beside).await
    }

    /// Asks the edge at an address from now on.
    pub async fn meets(&self, url: &str) {
        self.peers.add(url).await.expect("an address");
        self.peers.start();
    }

    /// Waits until it stands so with all it asks.
    pub async fn until_peers(&self, state: PeerState) {
        let began = Instant::now();
        while !self.peers.list().iter().all(|peer| peer.state == state) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.peers.list());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn over(store: Arc<dyn Store>, dir: Option<TempDir>, world: Arc<Real>, identity: Identity) -> Self {
        Self::with(store, dir, world, identity, &[]).await
    }

    async fn with(
        store: Arc<dyn Store>,
        dir: Option<TempDir>,
        world: Arc<Real>,
        identity: Identity,
        beside: &[String],
    ) -> Self {
        let offset = Offset::load(&*store).await.expect("the store works");
        let corrected = Arc::new(Corrected::new(world.clone(), offset.clone()));
        let relay = Relay::load(&*store, offset.clone(), "Tern Bay hub").await.expect("the store works");
        let hub = Hub::relaying(store.clone(), identity.clone(), corrected.clone(), relay.clone()).await;
        let hub = hub.expect("the store works");
        let switch = Switch::default();
        let below = Some((hub.clone(), relay.clone()));
        let peers = peers(&store, &identity, &relay, &hub, &corrected).await;
        for url in beside {
            peers.add(url).await.expect("an address");
        }
        let link = start(&store, &identity, &world, &offset, &switch, below, &peers).await;
        let author = Author { node: identity.node, incarnation: identity.incarnation, ..Author::default() };
        let person = Person { store: store.clone(), author, world: corrected, is_edge: true };
        Self { link, store, person, switch, identity, world, offset, hub, relay, peers, server: None, _dir: dir }
    }

    /// Answers nodes below it from now on; where.
    pub fn serve(&mut self) -> String {
        let (_, port) = self.server.get_or_insert_with(|| serve(&self.hub, 0));
        format!("http://127.0.0.1:{port}")
    }

    pub async fn restart(&mut self) {
        self.link.stop().await;
        let identity = Identity::load(&*self.store).await.expect("the store works");
        self.identity = identity.expect("it has joined");
        let below = Some((self.hub.clone(), self.relay.clone()));
        self.link =
            start(&self.store, &self.identity, &self.world, &self.offset, &self.switch, below, &self.peers).await;
    }

    pub async fn until(&self, state: LinkState) {
        let mut watch = self.link.watch();
        let waited = tokio::time::timeout(PATIENCE, watch.wait_for(|status| status.state == state)).await;
        assert!(waited.is_ok(), "{:?}", self.link.status());
    }

    pub async fn until_in_step(&self) {
        self.until(LinkState::InStep).await;
    }

    pub async fn until_waiting(&self, saves: u64) {
        let mut watch = self.link.watch();
        let waited = tokio::time::timeout(PATIENCE, watch.wait_for(|status| status.pending_out == saves)).await;
        assert!(waited.is_ok(), "{:?}", self.link.status());
    }

    pub async fn cursor(&self, partition: &Partition) -> Option<Cursor> {
        let states = self.store.partitions().await.expect("the store works");
        states.into_iter().find(|state| state.partition == *partition)?.cursor
    }

    pub fn credential(&self) -> &str {
        match &self.identity.role {
            NodeRole::Edge(upstream) => &upstream.credential,
            NodeRole::Hub => panic!("it is an edge"),
        }
    }

    pub async fn stop(&self) {
        self.peers.stop().await;
        self.link.stop().await;
        self.hub.close();
        if let Some((server, _)) = &self.server {
            server.stop(true).await;
        }
        self.store.close().await;
    }
}

async fn peers(
    store: &Arc<dyn Store>,
    identity: &Identity,
    relay: &Arc<Relay>,
    hub: &Arc<Hub>,
    world: &Arc<Corrected>,
) -> Arc<Peers> {
    let settings = PeerSettings {
        store: store.clone(),
        identity: identity.clone(),
        relay: relay.clone(),
        hub: hub.clone(),
        world: world.clone(),
        judge: Arc::new(Fixed),
    };
    Peers::load(settings).await.expect("the store works")
}

async fn start(
    store: &Arc<dyn Store>,
    identity: &Identity,
    world: &Arc<Real>,
    offset: &Arc<Offset>,
    switch: &Switch,
    below: Option<(Arc<Hub>, Arc<Relay>)>,
    peers: &Arc<Peers>,
) -> Arc<Link> {
    let NodeRole::Edge(upstream) = &identity.role else { panic!("it is an edge") };
    let transport = HttpTransport::new(&upstream.url, &upstream.credential, switch.clone()).expect("an address");
    let settings = LinkSettings {
        store: store.clone(),
        identity: identity.clone(),
        transport: Arc::new(Spread::new(Arc::new(transport), peers.clone())),
        world: world.clone(),
        offset: offset.clone(),
        switch: switch.clone(),
        below,
    };
    Link::start(settings).await.expect("the store works")
}

/// Something between edge and hub that passes answers on only when they are complete.
pub struct BufferingProxy {
    pub url: String,
}

impl BufferingProxy {
    pub async fn start() -> Self {
        async fn live(query: web::Query<std::collections::BTreeMap<String, u64>>) -> HttpResponse {
            if !query.contains_key("wait") {
                let silence = futures_util::stream::pending::<Result<web::Bytes, actix_web::Error>>();
                return HttpResponse::Ok().content_type("text/event-stream").streaming(silence);
            }
            if query["since"] >= 5 {
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
            let partition = Partition("note".into());
            let hint = Hint { epoch: Epoch(1), partition, head: query["since"] + 1, records: 1 };
            HttpResponse::Ok()
                .content_type(outpost::sync::wire::MEDIA_TYPE)
                .body(outpost::sync::wire::encode(&Hints { hints: vec![hint] }))
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = HttpServer::new(|| App::new().route("/sync/v1/live", web::get().to(live)))
            .workers(1)
            .disable_signals()
            .listen(listener)
            .expect("a port")
            .run();
        tokio::spawn(server);
        Self { url: format!("http://127.0.0.1:{port}") }
    }
}
