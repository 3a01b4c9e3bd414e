//! A browser without scripts, and the site it looks at.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, Once};

use outpost::domain::people::{Actor, Role};
use outpost::node::{Caches, Identity, Link, Node, Nodes};
use outpost::store::{Options, Sqlite, Store};
use outpost::web::{self, App, Demo};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, redirect};
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::Hands;

/// A node that serves its pages.
pub struct Site {
    pub base: String,
    pub node: Node,
    pub hands: Arc<Hands>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<std::io::Result<()>>>,
    _directory: TempDir,
}

/// What a site has beside its node.
#[derive(Default)]
pub struct Beside {
    pub link: Option<Arc<dyn Link>>,
    pub nodes: Option<Arc<dyn Nodes>>,
    pub demo: Option<Demo>,
}

pub const PASSWORD: &str = "correct horse 7";

impl Site {
    /// A hub with the sample types and one person of each role: `admin@example.org` and so on.
    pub async fn start() -> Self {
        let site = Self::empty(Beside::default()).await;
        site.fill().await;
        site
    }

    pub async fn with(beside: Beside) -> Self {
        let site = Self::empty(beside).await;
        site.fill().await;
        site
    }

    async fn fill(&self) {
        for role in Role::ALL {
            let email = format!("{role}@example.org");
            let name = format!("{role} person");
            self.node.add_person(&Actor::Operator, &email, &name, role, Some(PASSWORD)).await.expect("a person");
        }
        for (name, schema) in outpost::domain::schema::SAMPLES {
            self.node.create_type(&Actor::Operator, name, schema.as_bytes()).await.expect("a type");
        }
    }

    /// A hub without people and types.
    pub async fn empty(beside: Beside) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("nobody else chose a provider");
        });
        let directory = TempDir::new().expect("a directory of our own");
        let caches = Arc::new(Caches::default());
        let path = directory.path().join("outpost.db");
        let store = Sqlite::open(&path, caches.clone(), Options::default()).await.expect("the database opens");
        let store: Arc<dyn Store> = Arc::new(store);
        let hands = Hands::at(crate::support::BEGIN, 7);
        let identity = Identity::hub(&*hands, "Tern Bay");
        assert!(identity.settle(&*store).await.expect("an identity is written"));
        let node = Node::open(store, caches, hands.clone(), identity).await.expect("the node opens");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let Beside { link, nodes, demo } = beside;
        let app = App { link, nodes, demo, ..App::new(node.clone()) };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(web::serve(app, listener, |_| {}, shutdown));
        Self { base, node, hands, stop: Some(stop), server: Some(server), _directory: directory }
    }

    pub fn visitor(&self) -> Browser {
        let client = Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Browser { client, base: self.base.clone(), cookies: Mutex::default(), csrf: Mutex::default() }
    }

    /// A browser in which the person of this role is signed in.
    pub async fn browser(&self, role: Role) -> Browser {
        let browser = self.visitor();
        let email = format!("{role}@example.org");
        let answer = browser.post("/login", &[("email", &email), ("password", PASSWORD)]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
        let home = browser.get("/").await.expect(200);
        *browser.csrf.lock().expect("no holder panics") = home.value("input[name=_csrf]");
        browser
    }

    /// Makes a record and returns its path.
    pub async fn make(&self, type_name: &str, data: Value) -> String {
        let made = self.node.create_record(&Actor::Operator, type_name, None, data).await.expect("a record");
        format!("/records/{type_name}/{}", made.held.id)
    }

    /// What a record holds now.
    pub async fn data(&self, path: &str) -> Value {
        let mut steps = path.split('/').skip(2);
        let type_name = steps.next().expect("a type");
        let id = steps.next().expect("an id").parse().expect("a UUID");
        self.node.record(&Actor::Operator, type_name, id).await.expect("a record").document.value
    }

    /// Asks the server to stop and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.server.take().expect("it runs").await.expect("it does not panic").expect("it ends well");
    }
}

pub struct Browser {
    client: Client,
    base: String,
    cookies: Mutex<BTreeMap<String, String>>,
    csrf: Mutex<String>,
}

/// The pairs that a form sends.
pub type Fields = Vec<(String, String)>;

impl Browser {
    pub fn csrf(&self) -> String {
        self.csrf.lock().expect("no holder panics").clone()
    }

    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.lock().expect("no holder panics").clone()
    }

    /// A request with the cookies of this browser.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies = self.cookies();
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.client.request(method, format!("{}{path}", self.base));
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    pub async fn send(&self, request: RequestBuilder) -> Page {
        let response = request.send().await.expect("the site answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for cookie in headers.get_all("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII");
            let (pair, attributes) = cookie.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            let mut cookies = self.cookies.lock().expect("no holder panics");
            if attributes.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.into(), value.into());
            }
        }
        Page { status, headers, text: response.text().await.expect("a body of text") }
    }

    pub async fn get(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Sends a form without a token.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.post_body(path, serde_urlencoded::to_string(fields).expect("pairs")).await
    }

    pub async fn post_body(&self, path: &str, body: impl Into<reqwest::Body>) -> Page {
        let request = self.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(body)).await
    }

    /// Sends a form with the token of the session.
    pub async fn press(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf();
        let mut all = vec![("_csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        self.post(path, &all).await
    }

    /// Opens a page and fills its record form: the fields as they stand, with these values changed.
    pub async fn open(&self, path: &str) -> Fields {
        self.get(path).await.expect(200).form("#record-form")
    }

    pub async fn submit(&self, path: &str, fields: &Fields) -> Page {
        self.post_body(path, serde_urlencoded::to_string(fields).expect("pairs")).await
    }
}

/// The same fields with other values; a name that is not there is added.
pub fn filled(fields: &Fields, changes: &[(&str, &str)]) -> Fields {
    let mut fields = fields.clone();
    for (name, value) in changes {
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = (*value).to_owned(),
            None => fields.push(((*name).to_owned(), (*value).to_owned())),
        }
    }
    fields
}

/// What was answered.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The path that a redirect leads to.
    #[track_caller]
    pub fn led_to(self) -> String {
        assert_eq!(self.status, 303, "{}", self.text);
        self.header("location").to_owned()
    }

    pub fn html(&self) -> Html {
        Html::parse_document(&self.text)
    }

    /// The words of all elements that fit, each on one line.
    pub fn words(&self, selector: &str) -> Vec<String> {
        let html = self.html();
        let plain = |element: ElementRef| element.text().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        html.select(&select(selector)).map(plain).collect()
    }

    /// All words of the page's own part.
    pub fn main(&self) -> String {
        self.words("main").join(" ")
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.main().contains(words), "{words:?} is not in {:?}", self.main());
        self
    }

    pub fn has(&self, selector: &str) -> bool {
        self.html().select(&select(selector)).next().is_some()
    }

    /// An attribute of the first element that fits.
    #[track_caller]
    pub fn attribute(&self, selector: &str, name: &str) -> String {
        let html = self.html();
        let element = html.select(&select(selector)).next();
        let element = element.unwrap_or_else(|| panic!("no {selector} in {}", self.text));
        element.value().attr(name).unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    #[track_caller]
    pub fn value(&self, selector: &str) -> String {
        self.attribute(selector, "value")
    }

    /// What a form sends when it is submitted as it is, by its first button.
    #[track_caller]
    pub fn form(&self, selector: &str) -> Fields {
        let html = self.html();
        let form = html.select(&select(selector)).next().unwrap_or_else(|| panic!("no {selector} in {}", self.text));
        let mut fields = Vec::new();
        for control in form.select(&select("input[name], textarea[name], select[name]")) {
            let attr = |name: &str| control.value().attr(name);
            let name = attr("name").expect("it has one").to_owned();
            if attr("disabled").is_some() {
                continue;
            }
            match control.value().name() {
                "textarea" => fields.push((name, control.text().collect::<String>().replace('\n', "\r\n"))),
                "select" => {
                    let chosen = control.select(&select("option[selected]")).next();
                    let option = chosen.or_else(|| control.select(&select("option")).next()).expect("an option");
                    fields.push((name, option.value().attr("value").expect("a value").to_owned()));
                }
                _ => {
                    let is_choice = matches!(attr("type"), Some("radio" | "checkbox"));
                    if !is_choice || attr("checked").is_some() {
                        fields.push((name, attr("value").unwrap_or("on").to_owned()));
                    }
                }
            }
        }
        fields
    }

    /// The token of the choice that stands for this JSON value.
    #[track_caller]
    pub fn token(&self, name: &str, json: &str) -> String {
        let html = self.html();
        let radio = format!("input[name=\"{name}\"]");
        let option = format!("select[name=\"{name}\"] option");
        let found = html
            .select(&select(&format!("{radio}, {option}")))
            .find(|choice| choice.value().attr("data-json") == Some(json));
        let found = found.unwrap_or_else(|| panic!("no {json} in {name}"));
        found.value().attr("value").expect("a token").to_owned()
    }
}

pub fn select(selector: &str) -> Selector {
    Selector::parse(selector).unwrap_or_else(|err| panic!("{selector}: {err}"))
}
