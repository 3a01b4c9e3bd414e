//! A whole node in this process, for tests that speak HTTP to it: a database of its own, a clock that is set by hand.

#![allow(dead_code)]

mod hands;

use std::net::TcpListener;
use std::sync::{Arc, Once};

use actix_web::web::Data;
use outpost::domain::people::{Actor, Role};
use outpost::node::{Caches, Identity, Link, Node, Nodes};
use outpost::store::{Options, Sqlite, Store};
use outpost::web::App;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;

pub use hands::Hands;

/// 2026-11-03T09:00:00Z
pub const BEGIN: i64 = 1_793_696_400_000;

/// A hub that serves its API on a free port.
pub struct Hub {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// The token of an admin.
    pub admin: String,
    pub app: Data<App>,
    pub hands: Arc<Hands>,
    pub client: Client,
    server: actix_web::dev::ServerHandle,
    _directory: TempDir,
}

/// Starts a hub without types and people.
pub async fn start_hub() -> Hub {
    start_hub_with(|_| (None, None)).await
}

/// Starts a hub with the links that `links` makes for it.
pub async fn start_hub_with(links: impl FnOnce(&Node) -> (Option<Arc<dyn Link>>, Option<Arc<dyn Nodes>>)) -> Hub {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nobody else chose a provider");
    });
    let directory = TempDir::new().expect("a directory of our own");
    let caches = Arc::new(Caches::default());
    let store: Arc<dyn Store> = Arc::new(
        Sqlite::open(&directory.path().join("outpost.db"), caches.clone(), Options::default())
            .await
            .expect("the database opens"),
    );
    let hands = Hands::at(BEGIN, 1);
    let identity = Identity::hub(&*hands, "Hub");
    assert!(identity.settle(&*store).await.expect("an identity is written"));
    let node = Node::open(store, caches, hands.clone(), identity).await.expect("the node opens");
    let (admin, _) = node.create_token(&Actor::Operator, "tests", Role::Admin).await.expect("a token");
    let (link, nodes) = links(&node);
    let app = Data::new(App { link, nodes, ..App::new(node) });
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let shared = app.clone();
    let server = actix_web::HttpServer::new(move || {
        actix_web::App::new().app_data(shared.clone()).configure(outpost::web::api::configure)
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .expect("the port is ours")
    .run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Hub { base, admin, app, hands, client: Client::new(), server: handle, _directory: directory }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a body of text") }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|err| panic!("{err}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The body, if this is the expected status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The problem, if this is the expected status and the body says so itself.
    #[track_caller]
    pub fn problem(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.ends_with(['.', '!'])), "{problem}");
        problem
    }
}

impl Hub {
    pub fn node(&self) -> &Node {
        &self.app.node
    }

    /// A request to `/api/v1` by an admin.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.admin)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> Answer {
        self.patch(path, "application/merge-patch+json", patch, None).await
    }

    pub async fn patch(&self, path: &str, media_type: &str, patch: &Value, if_match: Option<&str>) -> Answer {
        let mut request = self.request(Method::PATCH, path).header("content-type", media_type).body(patch.to_string());
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        self.send(request).await
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.send().await.expect("the hub answers")).await
    }

    /// Makes a type of one of the sample schemas.
    pub async fn sample(&self, name: &str) {
        let samples = outpost::domain::schema::SAMPLES;
        let (_, text) = samples.iter().find(|(sample, _)| *sample == name).expect("a sample");
        let body = format!("{{\"name\":\"{name}\",\"schema\":{text}}}");
        let request = self.request(Method::POST, "/types").header("content-type", "application/json").body(body);
        self.send(request).await.expect(201);
    }

    /// Makes a record and returns its address below `/api/v1`.
    pub async fn make(&self, type_name: &str, data: Value) -> String {
        let made = self.post(&format!("/types/{type_name}/records"), &serde_json::json!({ "data": data })).await;
        let made = made.expect(201);
        format!("/types/{type_name}/records/{}", made["id"].as_str().expect("an id"))
    }

    /// A token of this role.
    pub async fn token(&self, role: Role) -> String {
        self.node().create_token(&Actor::Operator, role.as_str(), role).await.expect("a token").0
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.app.run.stop();
        drop(self.server.stop(false));
    }
}
