//! Nodes over database files, with a clock that is set by hand, and what stands between an edge and its hub.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, HttpServer};
use futures_util::StreamExt;
use outpost::domain::people::{Actor, Role};
use outpost::domain::session::LinkState;
use outpost::node::{Caches, Identity, Link as _, Node, NodeRole, Nodes, World};
use outpost::store::{Options, Sqlite, Store};
use outpost::sync::bundle::file::{Reader, Writer, unpack};
use outpost::sync::bundle::{EdgeSide, Next, Taken, Way};
use outpost::sync::{Corrected, HttpTransport, Hub, Link, LinkSettings, Offset, Relay, Switch};
use outpost::web::App;
use reqwest::{Client, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::hands::Hands;

const HELLO: &str = "/sync/v1/hello";
const PUSH: &str = "/sync/v1/push";
const PATIENCE: Duration = Duration::from_secs(30);

/// A node that serves what is in a directory.
pub struct Site {
    pub url: String,
    pub app: Data<App>,
    pub link: Option<Arc<Link>>,
    pub switch: Switch,
    token: String,
    client: Client,
    hub: Option<Arc<Hub>>,
    edge: Option<EdgeSide>,
    server: ServerHandle,
}

fn tls() {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // no harm if somebody else chose one
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

pub async fn store(dir: &Path) -> (Arc<dyn Store>, Arc<Caches>) {
    let caches = Arc::new(Caches::default());
    let store = Sqlite::open(&dir.join("outpost.db"), caches.clone(), Options::default()).await;
    (Arc::new(store.expect("the database opens")), caches)
}

impl Site {
    /// A new hub in an empty directory.
    pub async fn new_hub(dir: &Path, clock: &Arc<Hands>) -> Self {
        let (store, _) = store(dir).await;
        let identity = Identity::hub(&**clock, "Golden hub");
        assert!(identity.settle(&*store).await.expect("an identity is written"));
        store.close().await;
        Self::open(dir, clock, None).await
    }

    /// A new edge of a hub, which serves only once it is opened.
    pub async fn enrol(dir: &Path, clock: &Arc<Hands>, url: &str, token: &str) {
        let (store, _) = store(dir).await;
        outpost::sync::enrol(&*store, &**clock, url, token, "an edge").await.expect("the hub lets it in");
        store.close().await;
    }

    /// The node in a directory. An edge finds its hub at `upstream`; without one its link is cut.
    pub async fn open(dir: &Path, clock: &Arc<Hands>, upstream: Option<&str>) -> Self {
        tls();
        let (store, caches) = store(dir).await;
        let identity = Identity::load(&*store).await.expect("the store works").expect("it is a node");
        let switch = Switch::default();
        switch.set(upstream.is_some());
        let offset = Offset::load(&*store).await.expect("the store works");
        let world: Arc<dyn World> = match &identity.role {
            NodeRole::Hub => clock.clone(),
            NodeRole::Edge(_) => Arc::new(Corrected::new(clock.clone(), offset.clone())),
        };
        let node = Node::open(store, caches, world.clone(), identity.clone()).await.expect("the node opens");
        let mut blobs = None;
        if dir.join("blobs").exists() {
            blobs = Some(node.keep_files_in(dir).await.expect("a place for files"));
        }
        let mut edge = None;
        let (hub, link) = match &identity.role {
            NodeRole::Hub => (Some(Hub::of(&node, world.clone()).await.expect("the store works")), None),
            NodeRole::Edge(known) => {
                if upstream.is_none() {
                    let (store, name) = (node.store().clone(), &known.name);
                    let relay = Relay::load(&*store, offset.clone(), name).await.expect("the store works");
                    let below = Hub::relaying(store.clone(), identity.clone(), world.clone(), relay.clone()).await;
                    edge = Some(EdgeSide {
                        store,
                        identity: identity.clone(),
                        world: clock.clone(),
                        offset: offset.clone(),
                        relay,
                        below: below.expect("the store works"),
                        blobs: blobs.clone(),
                    });
                }
                let url = upstream.unwrap_or(&known.url);
                let transport = HttpTransport::new(url, &known.credential, switch.clone()).expect("an address");
                let settings = LinkSettings {
                    store: node.store().clone(),
                    identity: identity.clone(),
                    transport: Arc::new(transport),
                    world: clock.clone(),
                    offset,
                    switch: switch.clone(),
                    below: None,
                };
                (None, Some(Link::start(settings).await.expect("the store works")))
            }
        };
        if let (Some(hub), Some(blobs)) = (&hub, blobs) {
            hub.keep_files(blobs);
        }
        let name = format!("golden at {}", clock.now());
        let (token, _) = node.create_token(&Actor::Operator, &name, Role::Admin).await.expect("a token");
        let app = Data::new(App {
            link: link.clone().map(|link| link as Arc<dyn outpost::node::Link>),
            nodes: hub.clone().map(|hub| hub as Arc<dyn Nodes>),
            ..App::new(node)
        });
        let (shared, below) = (app.clone(), hub.clone().map(Data::from));
        let (server, url) = serve(move |cfg| {
            cfg.app_data(shared.clone());
            if let Some(hub) = &below {
                cfg.app_data(hub.clone());
            }
            cfg.configure(outpost::sync::http::configure).configure(outpost::web::api::configure);
        });
        Self { url, app, link, switch, token, client: Client::new(), hub, edge, server }
    }

    pub fn node(&self) -> &Node {
        &self.app.node
    }

    pub async fn stop(self) {
        if let Some(link) = &self.link {
            link.stop().await;
        }
        if let Some(hub) = &self.hub {
            hub.close();
        }
        self.app.run.stop();
        self.server.stop(true).await;
        self.node().store().close().await;
    }

    /// A bundle of all that the other side lacks: of this edge, or of this hub for one of its edges.
    pub async fn bundle(&self, to: Option<&str>) -> Vec<u8> {
        const ROOM: usize = 1 << 20;
        let (hub, edge) = (self.hub.as_ref(), self.edge.as_ref());
        let (header, key, next) = match (hub, edge, to) {
            (Some(hub), _, Some(name)) => {
                let known = Nodes::list(&**hub).await.expect("the store works");
                let known = known.iter().find(|known| known.name == name).expect("it was let in");
                hub.begin_bundle(known.id, true).await.expect("it may have one")
            }
            (_, Some(edge), None) => edge.begin(true).await.expect("it has a hub"),
            _ => panic!("a hub makes bundles for edges, and an edge for its hub"),
        };
        let mut writer = Writer::new(Vec::new(), &key, &header).expect("memory takes it");
        let mut next = Some(next);
        while let Some(from) = next {
            let packed = match (from, hub, edge) {
                (Next::Down { edge, begun, routes, files }, Some(hub), _) => {
                    hub.more_of_bundle(edge, begun, routes, files, ROOM).await
                }
                (Next::Files { edge: Some(edge), sending }, Some(hub), _) => {
                    hub.more_files_of_bundle(edge, sending, ROOM).await
                }
                (Next::Up { begun, after, files }, _, Some(edge)) => edge.more(begun, after, files, ROOM).await,
                (Next::Files { edge: None, sending }, _, Some(edge)) => edge.more_files(sending, ROOM).await,
                (from, ..) => panic!("{from:?}"),
            };
            let packed = packed.expect("it goes on");
            packed.pieces.iter().for_each(|piece| writer.piece(piece).expect("memory takes it"));
            next = packed.next;
        }
        writer.finish().expect("memory takes it").0
    }

    /// Takes a bundle in.
    pub async fn take_bundle(&self, bytes: &[u8]) -> Taken {
        let mut reader = Reader::open(std::io::Cursor::new(bytes)).expect("it is whole");
        let header = reader.header().clone();
        let key = match (&self.hub, &self.edge) {
            (Some(hub), _) => hub.key_of_bundle(&header).await,
            (None, Some(edge)) => edge.key(&header),
            (None, None) => panic!("its link is up"),
        };
        reader.unseal(&key.expect("it is for this node")).expect("it is sealed as it should be");
        let mut pieces = Vec::new();
        while let Some(packed) = reader.piece().expect("it reads") {
            pieces.push(unpack(&packed).expect("a piece"));
        }
        let taken = match (header.way, &self.hub, &self.edge) {
            (Way::Up, Some(hub), _) => hub.take_bundle(&header, pieces).await,
            (Way::Down, _, Some(edge)) => edge.take(&header, pieces).await,
            (way, ..) => panic!("{way:?} to here"),
        };
        taken.expect("it is taken in")
    }

    /// The status of an answer that may be any.
    pub async fn status(&self, method: &str, path: &str) -> u16 {
        let method: Method = method.parse().expect("a method");
        let asked = self.client.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(&self.token);
        asked.send().await.expect("the node answers").status().as_u16()
    }

    /// Asks the API as an admin. The answer has to be a success.
    pub async fn ask(&self, method: &str, path: &str, kind: &str, body: Option<Value>) -> Value {
        let method: Method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = request.send().await.expect("the node answers");
        let (status, text) = (answer.status(), answer.text().await.expect("text"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|err| panic!("{path}: {err}: {text}"))
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "", None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, "application/json", Some(body)).await
    }

    pub async fn merge(&self, path: &str, patch: Value) -> Value {
        self.ask("PATCH", path, "application/merge-patch+json", Some(patch)).await
    }

    pub async fn patch(&self, path: &str, patch: Value) -> Value {
        self.ask("PATCH", path, "application/json-patch+json", Some(patch)).await
    }

    /// Waits until this edge is in step, having been asked to look at once.
    pub async fn until_in_step(&self) {
        let link = self.link.as_ref().expect("it is an edge");
        link.sync_now();
        let mut watch = link.watch();
        let in_step = watch.wait_for(|status| status.state == LinkState::InStep && status.pending_out == 0);
        let waited = tokio::time::timeout(PATIENCE, in_step).await.is_ok();
        assert!(waited, "{:?}", link.status());
    }

    /// Waits until this edge and its hub hold the same and know it.
    pub async fn until_same_as(&self, hub: &Site) {
        let began = std::time::Instant::now();
        while !self.holds_the_same_as(hub).await {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.link.as_ref().map(|link| link.status()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.until_in_step().await;
    }

    async fn holds_the_same_as(&self, hub: &Site) -> bool {
        let (here, there) = (self.node().store(), hub.node().store());
        if here.waiting().await.expect("the store works") > 0 {
            return false;
        }
        let there = there.partitions().await.expect("the store works");
        let here = here.partitions().await.expect("the store works");
        let fetched = here.iter().filter(|state| state.cursor.is_some());
        fetched.into_iter().all(|mine| {
            let digest = there.iter().find(|state| state.partition == mine.partition).map(|state| state.digest);
            digest == Some(mine.digest)
        })
    }

    /// Waits until this hub knows that all its nodes but those that were never heard of are in step.
    pub async fn until_told_in_step(&self) {
        let began = std::time::Instant::now();
        loop {
            let nodes = items(&self.get("/nodes").await);
            if nodes
                .iter()
                .all(|node| node["last_contact"].is_null() || node["in_step"] == true || node["revoked"] == true)
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{nodes:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All that people can see here.
    pub async fn listing(&self) -> Value {
        let (mut types, mut records) = (json!({}), json!({}));
        for found in items(&self.get("/types").await) {
            let name = found["name"].as_str().expect("a name").to_owned();
            let schema = self.get(&format!("/types/{name}/schema")).await;
            let versions = self.get(&format!("/types/{name}/versions")).await;
            types[&name] = json!({ "versions": versions, "schema": schema, "title": found["title"] });
            let base = format!("/types/{name}/records");
            let mut held = json!({});
            for path in [base.clone(), format!("{base}?deleted=true")] {
                for item in items(&self.get(&path).await) {
                    let id = item["id"].as_str().expect("an id").to_owned();
                    let mut record = self.get(&format!("{base}/{id}")).await;
                    // who has it is known of this moment only
                    record.as_object_mut().map(|record| record.remove("reach"));
                    let history = self.get(&format!("{base}/{id}/history")).await;
                    held[&id] = json!({ "record": record, "history": history });
                }
            }
            records[&name] = held;
        }
        let people = self.node().people(&Actor::Operator).expect("an operator may");
        let mut people: Vec<Value> =
            people.iter().map(|one| json!([one.email, one.name, one.role.as_str(), one.disabled])).collect();
        people.sort_by_key(Value::to_string);
        let store = self.node().store();
        let mut partitions = json!({});
        for state in store.partitions().await.expect("the store works") {
            let digest = format!("{:032x}", state.digest.0);
            partitions[&state.partition.0] = json!({ "records": state.records, "digest": digest });
        }
        json!({
            "types": types,
            "records": records,
            "conflicts": self.get("/conflicts?state=all").await,
            "quarantine": self.get("/quarantine").await,
            "people": people,
            "partitions": partitions,
            "waiting": store.waiting().await.expect("the store works"),
        })
    }

    /// What the database says of itself must be what its rows say.
    pub async fn check_digests(&self) {
        let store = self.node().store();
        let said = store.partitions().await.expect("the store works");
        for (partition, digest) in store.recompute_digests().await.expect("the store works") {
            let said = said.iter().find(|state| state.partition == partition).map(|state| state.digest);
            assert_eq!(said, Some(digest), "{partition}");
        }
    }
}

fn items(page: &Value) -> Vec<Value> {
    assert!(page["next"].is_null(), "a golden set is small");
    page["items"].as_array().or_else(|| page.as_array()).cloned().unwrap_or_else(|| panic!("{page}"))
}

fn serve(configure: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static) -> (ServerHandle, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let server = HttpServer::new(move || actix_web::App::new().configure(configure.clone()))
        .workers(1)
        .disable_signals()
        .shutdown_timeout(2)
        .listen(listener)
        .expect("the port is ours")
        .run();
    let handle = server.handle();
    tokio::spawn(server);
    (handle, url)
}

/// One question and its answer, as bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exchange {
    pub method: String,
    /// With its query.
    pub path: String,
    pub authorization: String,
    pub accept: String,
    #[serde(with = "base64")]
    pub body: Vec<u8>,
    pub status: u16,
    pub kind: String,
    #[serde(with = "base64")]
    pub answer: Vec<u8>,
}

mod base64 {
    use data_encoding::BASE64;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

impl Exchange {
    /// Sends the question to a hub and returns what it answers now.
    pub async fn send(&self, client: &Client, hub: &str) -> Exchange {
        let method: Method = self.method.parse().expect("a method");
        let mut request = client.request(method, format!("{hub}{}", self.path)).header("accept", &self.accept);
        if !self.authorization.is_empty() {
            request = request.header("authorization", &self.authorization);
        }
        if !self.body.is_empty() {
            request = request.header("content-type", outpost::sync::wire::MEDIA_TYPE).body(self.body.clone());
        }
        let mut answer = request.send().await.expect("the hub answers");
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut now = Exchange { status: answer.status().as_u16(), kind: kind.to_owned(), ..self.clone() };
        now.answer.clear();
        if now.kind.starts_with("text/event-stream") {
            // the comment that opens it and the first hints
            while !String::from_utf8_lossy(&now.answer).contains("data:") {
                let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await.expect("in time");
                now.answer.extend_from_slice(&chunk.expect("it goes on").expect("it goes on"));
            }
        } else {
            now.answer = answer.bytes().await.expect("a body").to_vec();
        }
        now
    }
}

/// Stands between an edge and its hub, and keeps what they say; streams pass unkept.
pub struct Recorder {
    pub url: String,
    kept: Arc<Mutex<Vec<Exchange>>>,
    server: ServerHandle,
}

impl Recorder {
    pub fn start(hub: &str) -> Self {
        tls();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (hub, client, keep) = (hub.to_owned(), Client::new(), kept.clone());
        let pass = move |req: HttpRequest, body: Bytes| {
            let (hub, client, keep) = (hub.clone(), client.clone(), keep.clone());
            async move { pass(&hub, &client, &keep, &req, body).await }
        };
        let (server, url) = serve(move |cfg| {
            cfg.app_data(web::PayloadConfig::new(16 << 20)).default_service(web::to(pass.clone()));
        });
        Self { url, kept, server }
    }

    pub async fn stop(self) -> Vec<Exchange> {
        self.server.stop(false).await;
        self.kept.lock().expect("no holder of this lock panics").clone()
    }
}

fn said(req: &HttpRequest, name: &str) -> String {
    req.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn pass(hub: &str, client: &Client, keep: &Mutex<Vec<Exchange>>, req: &HttpRequest, body: Bytes) -> HttpResponse {
    let asked = Exchange {
        method: req.method().to_string(),
        path: req.uri().to_string(),
        authorization: said(req, "authorization"),
        accept: said(req, "accept"),
        body: body.to_vec(),
        status: 0,
        kind: String::new(),
        answer: Vec::new(),
    };
    if asked.accept.contains("event-stream") {
        let url = format!("{hub}{}", asked.path);
        let answer = client.get(url).header("authorization", &asked.authorization).header("accept", &asked.accept);
        let Ok(answer) = answer.send().await else { return HttpResponse::BadGateway().finish() };
        let stream = answer.bytes_stream().map(|chunk| chunk.map_err(std::io::Error::other));
        return HttpResponse::Ok().content_type("text/event-stream").streaming(stream);
    }
    let told = asked.send(client, hub).await;
    keep.lock().expect("no holder of this lock panics").push(told.clone());
    answer_with(&told)
}

fn answer_with(told: &Exchange) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(told.status).expect("a status");
    HttpResponse::build(status).content_type(told.kind.as_str()).body(told.answer.clone())
}

/// A hub that can only say again what it once said.
pub struct Echo {
    pub url: String,
    /// What was asked that nobody ever asked before.
    pub unknown: Arc<Mutex<Vec<String>>>,
    server: ServerHandle,
}

impl Echo {
    pub fn start(told: &[Exchange]) -> Self {
        let told: Vec<Exchange> = told.to_vec();
        let unknown = Arc::new(Mutex::new(Vec::new()));
        // how often each was asked; a hello is answered as it was after as many pushes
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let missed = unknown.clone();
        let pass = move |req: HttpRequest, _: Bytes| {
            let path = req.uri().to_string();
            let streams = said(&req, "accept").contains("event-stream");
            let response = if streams {
                let silence = futures_util::stream::pending::<Result<Bytes, actix_web::Error>>();
                let hello = futures_util::stream::once(async { Ok(Bytes::from_static(b": still here\n\n")) });
                HttpResponse::Ok().content_type("text/event-stream").streaming(hello.chain(silence))
            } else {
                let mut asked = asked.lock().expect("no holder of this lock panics");
                let answer = again(&told, &path, &asked);
                *asked.entry(path.clone()).or_insert(0) += 1;
                match answer {
                    Some(answer) => answer_with(answer),
                    None => {
                        missed.lock().expect("no holder of this lock panics").push(path);
                        HttpResponse::NotFound().finish()
                    }
                }
            };
            async move { response }
        };
        let (server, url) = serve(move |cfg| {
            cfg.app_data(web::PayloadConfig::new(16 << 20)).default_service(web::to(pass.clone()));
        });
        Self { url, unknown, server }
    }

    pub async fn stop(self) {
        self.server.stop(false).await;
    }
}

/// What was answered at this point of the conversation.
fn again<'a>(told: &'a [Exchange], path: &str, asked: &HashMap<String, usize>) -> Option<&'a Exchange> {
    let good = || told.iter().filter(|one| one.status == 200);
    if path != HELLO {
        let at = asked.get(path).copied().unwrap_or(0);
        let mut answers: Vec<&Exchange> = good().filter(|one| one.path == path).collect();
        answers.truncate(at + 1);
        return answers.pop();
    }
    let pushes = asked.get(PUSH).copied().unwrap_or(0);
    let mut seen = 0;
    let so_far = good().take_while(|one| {
        seen += usize::from(one.path == PUSH);
        seen <= pushes
    });
    so_far.filter(|one| one.path == HELLO).last()
}
