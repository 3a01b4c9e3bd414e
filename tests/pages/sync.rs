//! How a node stands with others, on its pages; live hints; the demo; the end.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use outpost::domain::FieldError;
use outpost::domain::ids::NodeId;
use outpost::domain::people::{Actor, Role};
use outpost::domain::protocol::Above;
use outpost::node::{
    KnownNode, Link, LinkState, LinkStatus, NodeChange, NodeError, Nodes, PeerState, PeerStatus, Peers, Reached, Sites,
    Sought,
};
use outpost::store::{LocalChange, Request};
use outpost::web::{Demo, DemoPerson, Switch};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::browser::{Beside, PASSWORD, Site};
use crate::support::BEGIN;

/// A link that is what it is told to be, and says so much of how far records have come.
struct Held(watch::Sender<LinkStatus>, Mutex<Option<Reached>>, Option<Arc<Hall>>);

impl Held {
    fn new(state: LinkState) -> Arc<Self> {
        Arc::new(Self::of(state, None))
    }

    /// With other edges of its site.
    fn beside(state: LinkState, hall: Arc<Hall>) -> Arc<Self> {
        Arc::new(Self::of(state, Some(hall)))
    }

    fn of(state: LinkState, hall: Option<Arc<Hall>>) -> Self {
        Self(
            watch::Sender::new(LinkStatus {
                url: "http://hub.example".into(),
                hub_name: "Tern Bay".into(),
                state,
                since: BEGIN,
                last_contact: Some(BEGIN),
                reason: Some("connection refused".into()),
                next_try: Some(BEGIN + 40_000),
                pending_out: 0,
                pending_in: 3,
                in_step: state == LinkState::InStep,
                clock_ahead: None,
                above: None,
                noticed: None,
            }),
            Mutex::default(),
            hall,
        )
    }

    fn set(&self, state: LinkState) {
        self.0.send_modify(|status| status.state = state);
    }
}

#[async_trait]
impl Link for Held {
    fn status(&self) -> LinkStatus {
        self.0.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<LinkStatus> {
        self.0.subscribe()
    }

    fn sync_now(&self) {
        self.set(LinkState::Behind);
    }

    fn pause(&self) {
        self.set(LinkState::Paused);
    }

    fn resume(&self) {
        self.set(LinkState::InStep);
    }

    fn put_away(&self) {
        self.0.send_modify(|status| status.noticed = None);
    }

    fn peers(&self) -> Option<Arc<dyn Peers>> {
        self.2.clone().map(|peers| peers as Arc<dyn Peers>)
    }

    async fn reach(&self, of: &[Sought], _: Duration) -> Vec<Option<Reached>> {
        vec![*self.1.lock().expect("no panic"); of.len()]
    }
}

/// The others of a site, at addresses.
#[derive(Default)]
struct Hall(Mutex<Vec<PeerStatus>>);

#[async_trait]
impl Peers for Hall {
    fn list(&self) -> Vec<PeerStatus> {
        self.0.lock().expect("no panic").clone()
    }

    fn named(&self) -> Vec<(String, Option<i64>)> {
        vec![("Platform 9".into(), None)]
    }

    async fn add(&self, url: &str) -> Result<(), NodeError> {
        if !url.starts_with("http://") {
            return Err(NodeError::Invalid(vec![FieldError::new("/url", "url", "that is no address".to_owned())]));
        }
        self.0.lock().expect("no panic").push(PeerStatus {
            url: url.into(),
            name: Some("Platform 9".into()),
            state: PeerState::Unreachable,
            since: BEGIN,
            last_contact: None,
            reason: Some("it cannot be reached: connection refused".into()),
            next_try: None,
            saves: 2,
            records: 0,
            chunks: 0,
        });
        Ok(())
    }

    async fn remove(&self, url: &str) -> Result<(), NodeError> {
        self.0.lock().expect("no panic").retain(|peer| peer.url != url);
        Ok(())
    }
}

#[actix_web::test]
async fn an_edge_of_a_site_shows_the_others_and_an_admin_tells_it_where_they_are() {
    let hall = Arc::new(Hall::default());
    let link = Held::beside(LinkState::Offline, hall.clone());
    let site = Site::with(Beside { link: Some(link), ..Beside::default() }).await;
    let admin = site.browser(Role::Admin).await;
    admin.get("/sync").await.expect(200).says("Without the hub").says("The hub names Platform 9 here.");
    let wrong = admin.press("/sync", &[("_do", "meet"), ("url", "platform 9")]).await.expect(422);
    wrong.says("that is no address");
    assert!(wrong.has("input[name=url][value='platform 9'][aria-invalid=true]"));
    let url = "http://192.168.1.20:8080";
    assert_eq!(admin.press("/sync", &[("_do", "meet"), ("url", url)]).await.led_to(), "/sync");
    let page = admin.get("/sync").await.expect(200);
    page.says("Other edges of this site")
        .says("Platform 9 at http://192.168.1.20:8080")
        .says("Out of reach since 09:00, not heard yet, 2 saves came from it");
    page.says("It cannot be reached: connection refused.");
    // who may not change it sees it
    let staff = site.browser(Role::Staff).await;
    let page = staff.get("/sync").await.expect(200);
    page.says("Platform 9 at");
    assert!(!page.has("button[value=part]") && !page.has("button[value=meet]"));
    staff.press("/sync", &[("_do", "part"), ("url", url)]).await.expect(403);
    assert_eq!(admin.press("/sync", &[("_do", "part"), ("url", url)]).await.led_to(), "/sync");
    assert!(hall.list().is_empty());
}

#[derive(Default)]
struct Below(Mutex<Vec<KnownNode>>);

#[async_trait]
impl Nodes for Below {
    async fn invite(&self, name: &str, scope: Value, _: bool) -> Result<String, NodeError> {
        Ok(format!("token-of-{name}-{scope}").replace(['"', ' '], ""))
    }

    async fn list(&self) -> Result<Vec<KnownNode>, NodeError> {
        Ok(self.0.lock().expect("no panic").clone())
    }

    async fn revoke(&self, id: NodeId) -> Result<(), NodeError> {
        let mut known = self.0.lock().expect("no panic");
        known.iter_mut().filter(|node| node.id == id).for_each(|node| node.revoked = true);
        Ok(())
    }

    async fn change(&self, id: NodeId, change: NodeChange) -> Result<(), NodeError> {
        let mut known = self.0.lock().expect("no panic");
        known
            .iter_mut()
            .filter(|node| node.id == id)
            .for_each(|node| node.scope = change.scope.clone().expect("a scope"));
        Ok(())
    }
}

fn below() -> Arc<Below> {
    let node = |id, name: &str, in_step| KnownNode {
        id: NodeId(id),
        name: name.into(),
        scope: json!({"work-order": ["platform-7"]}),
        relays: false,
        site: None,
        via: None,
        enrolled_at: BEGIN,
        last_contact: Some(BEGIN),
        revoked: false,
        behind: Some(if in_step { 0 } else { 37 }),
        waiting: Some(0),
        in_step,
        past: None,
        silent: false,
    };
    Arc::new(Below(Mutex::new(vec![node(1, "Platform 7", true), node(2, "Boat Alma", false)])))
}

#[actix_web::test]
async fn an_edge_shows_its_link_and_who_may_steers_it() {
    let link = Held::new(LinkState::Offline);
    let site = Site::with(Beside { link: Some(link.clone()), ..Beside::default() }).await;
    let browser = site.browser(Role::Staff).await;
    let page = browser.get("/sync").await.expect(200);
    page.says("Tern Bay out of reach since 09:00").says("Next try in 40 seconds").says("Hub out of reach");
    assert_eq!(page.words(".bar .linked"), ["Offline"]);
    assert_eq!(browser.press("/sync", &[("_do", "pause")]).await.led_to(), "/sync");
    assert_eq!(link.status().state, LinkState::Paused);
    browser.get("/sync").await.expect(200).says("Paused");
    let csrf = browser.csrf();
    let request =
        browser.request(Method::POST, "/sync").header("hx-request", "true").header("hx-request-type", "partial");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let part = browser.send(request.body(format!("_csrf={csrf}&_do=resume"))).await.expect(200);
    assert!(part.text.contains("id=\"link-card\"") && !part.text.contains("<html"), "{}", part.text);
    assert_eq!(link.status().state, LinkState::InStep);
    let viewer = site.browser(Role::Viewer).await;
    assert!(!viewer.get("/sync").await.has("main form[action='/sync']"));
    viewer.press("/sync", &[("_do", "pause")]).await.expect(403);
    // what was noticed of its data stands there until somebody has seen it
    link.0.send_modify(|status| status.noticed = Some(BEGIN));
    let page = browser.get("/sync").await.expect(200);
    page.says("This device's data was copied or put back.").says("That was noticed at 09:00");
    assert!(!viewer.get("/sync").await.has("button[value=seen]"));
    assert_eq!(browser.press("/sync", &[("_do", "seen")]).await.led_to(), "/sync");
    assert!(!browser.get("/sync").await.expect(200).text.contains("copied or put back"));
    link.set(LinkState::Refused);
    let bar = browser.get("/link").await.expect(200);
    assert_eq!(bar.words("a"), ["Withdrawn"]);
}

#[actix_web::test]
async fn a_hub_shows_its_edges_invites_and_withdraws() {
    let nodes = below();
    let site = Site::with(Beside { nodes: Some(nodes.clone()), ..Beside::default() }).await;
    let browser = site.browser(Role::Admin).await;
    let page = browser.get("/sync").await.expect(200);
    page.says("Platform 7 in step 09:00 nothing work-order: platform-7").says("Boat Alma");
    assert_eq!(page.words(".bar .linked"), ["1 of 2 sites in step"]);
    let made =
        browser.press("/nodes", &[("_do", "invite"), ("name", "North"), ("holds", "everything")]).await.expect(200);
    let command = made.words("pre code").join("");
    assert_eq!(command, format!("outpost join {} --token token-of-North-all", site.base));
    let some = [("_do", "invite"), ("name", "North"), ("holds", "chosen"), ("part/work-order", "all")];
    let made = browser.press("/nodes", &some).await.expect(200);
    assert!(made.words("pre code").join("").ends_with("--token token-of-North-{work-order:true}"));
    let address = format!("/nodes/{}", NodeId(1));
    let wrong = [("_do", "rescope"), ("holds", "chosen"), ("part/work-order", "values"), ("values/work-order", " \n")];
    let wrong = browser.press(&address, &wrong).await.expect(422);
    wrong.says("Enter at least one, each on a line of its own");
    let right = [("_do", "rescope"), ("holds", "chosen"), ("part/work-order", "all"), ("values/work-order", "x")];
    assert_eq!(browser.press(&address, &right).await.led_to(), "/nodes");
    assert_eq!(nodes.0.lock().expect("no panic")[0].scope, json!({"work-order": true}));
    let asked = browser.press(&address, &[("_do", "revoke")]).await.expect(200);
    asked.says("Withdraw Platform 7?");
    assert!(!nodes.0.lock().expect("no panic")[0].revoked);
    let sure = asked.form("main form");
    assert_eq!(browser.submit(&address, &sure).await.led_to(), "/nodes");
    assert!(nodes.0.lock().expect("no panic")[0].revoked);
    browser.press("/nodes/0000000000000009", &[("_do", "revoke")]).await.expect(404);
    site.browser(Role::Designer).await.get("/nodes").await.expect(403);
}

#[actix_web::test]
async fn an_edge_says_at_a_record_how_far_it_has_come_and_since_when_it_knows() {
    let link = Held::new(LinkState::InStep);
    let site = Site::with(Beside { link: Some(link.clone()), ..Beside::default() }).await;
    let path = site.make("work-order", json!({"title": "Seal"})).await;
    let browser = site.browser(Role::Viewer).await;
    let words = async || browser.get(&path).await.expect(200).words("#reach").join("");
    let brief = async || browser.get("/records/work-order").await.expect(200).words("td .reach").join("");
    let told = |at_hub, have, age: i64| {
        let sites = Some(Sites { have, of: 3, age: 0 });
        *link.1.lock().expect("no panic") = Some(Reached { at_hub, sites, as_of: BEGIN - age });
    };
    assert_eq!((words().await, brief().await), ("Saved here 09:00 · at hub".into(), "at hub".into()));
    told(true, 2, 0);
    assert_eq!(words().await, "Saved here 09:00 · at hub · on 2 of 3 sites");
    assert_eq!(brief().await, "on 2 of 3 sites");
    let part = browser.get(&format!("{path}/reach")).await.expect(200);
    assert!(part.has("p#reach[hx-trigger] .reach[data-reach=hub]") && !part.text.contains("<html"), "{}", part.text);
    told(true, 3, 0);
    let part = browser.get(&format!("{path}/reach")).await.expect(200);
    assert_eq!(part.words("#reach"), ["Saved here 09:00 · at hub · on 3 sites"]);
    assert!(part.has(".reach[data-reach=sites]") && !part.has("[hx-trigger]"), "there is nothing to wait for");
    told(true, 0, 0);
    assert_eq!(words().await, "Saved here 09:00 · at hub · on no site yet");
    // what was told long ago is said with its time
    told(true, 2, 600_000);
    assert_eq!(words().await, "Saved here 09:00 · at hub · on 2 of 3 sites, as of 10 min ago");
    assert_eq!(brief().await, "at hub");
    *link.1.lock().expect("no panic") = None;
    link.set(LinkState::Offline);
    assert_eq!(words().await, "Saved here 09:00 · at hub · on how many sites is not known out of reach");
    // below an edge, that one is not the hub
    link.0.send_modify(|status| {
        status.state = LinkState::InStep;
        status.above = Some(Above { name: "Shore".into(), in_step: false, waiting: 2, last_contact: None });
    });
    assert_eq!(words().await, "Saved here 09:00 · at Tern Bay");
    *link.1.lock().expect("no panic") = Some(Reached { at_hub: false, sites: None, as_of: BEGIN });
    assert_eq!(words().await, "Saved here 09:00 · at Tern Bay, not yet at hub");
    browser.get(&format!("/records/work-order/{}/reach", uuid::Uuid::nil())).await.expect(404);
}

#[actix_web::test]
async fn a_hub_says_at_a_record_which_sites_have_it() {
    let nodes = below();
    nodes.0.lock().expect("no panic")[1].last_contact = Some(BEGIN - 3 * 3_600_000);
    let site = Site::with(Beside { nodes: Some(nodes.clone()), ..Beside::default() }).await;
    let browser = site.browser(Role::Viewer).await;
    // nobody else may hold this
    let elsewhere =
        site.make("inspection", json!({"site": "platform-7", "area": "Galley", "inspected_on": "2026-11-03"})).await;
    let page = browser.get(&elsewhere).await.expect(200);
    assert!(!page.has(".reach") && !page.has("#h-where"));
    nodes.0.lock().expect("no panic").iter_mut().for_each(|node| node.scope = json!({"work-order": true}));
    let path = site.make("work-order", json!({"title": "Seal"})).await;
    let page = browser.get(&path).await.expect(200);
    assert_eq!(page.words("#reach"), ["Saved here 09:00 · on 1 of 2 sites"]);
    assert_eq!(page.words("details.change > summary"), ["1 of 2 sites has it"]);
    page.says("Platform 7 has it").says("Boat Alma not yet, last seen 3 h ago");
    nodes.0.lock().expect("no panic")[1].in_step = true;
    let page = browser.get(&path).await.expect(200);
    assert_eq!(page.words("#reach"), ["Saved here 09:00 · on 2 sites"]);
    assert_eq!(browser.get("/records/work-order").await.expect(200).words("td .reach"), ["on 2 sites"]);
}

/// Reads hints until one of this name came.
async fn hint(stream: &mut (impl StreamExt<Item = reqwest::Result<actix_web::web::Bytes>> + Unpin), name: &str) {
    let mut text = String::new();
    let wanted = format!("event: {name}\n");
    while !text.contains(&wanted) {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("in time");
        let chunk = chunk.unwrap_or_else(|| panic!("the stream ended after {text:?}")).expect("bytes");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
}

#[actix_web::test]
async fn what_a_hub_did_not_take_is_listed_with_the_reason() {
    let site = Site::with(Beside { link: Some(Held::new(LinkState::InStep)), ..Beside::default() }).await;
    site.make("work-order", json!({"title": "Seal"})).await;
    // as a node kept it that knew no quarantine
    let refused = json!({
        "save": {
            "id": "d5ea7926793aadf749e1fdea1ea23dd1",
            "author": {
                "node": "7eb19c621ee27571",
                "incarnation": "3fea78414035df00",
                "person": "0199d6a8-93f1-7c3e-a1d0-4b7b0c6f2e11"
            },
            "records": [{
                "t": "work-order",
                "id": "c56b3c8d-fd28-1922-9c16-0ed4701ddcbc",
                "at": 117672505902497793i64,
                "c": [{"a": {"s": {"j": {"title": "Leaking seal"}}}, "r": {"a": {
                    "time": 0,
                    "author": {
                        "node": "0000000000000000",
                        "incarnation": "0000000000000000",
                        "person": "00000000-0000-0000-0000-000000000000"
                    },
                    "tag": 0
                }}}]
            }]
        },
        "reason": "this needs the role staff",
        "at": BEGIN
    });
    let change = LocalChange { kind: "refused-save", key: "d5ea".into(), value: Some(refused), expect: None };
    site.node.store().write(Request::Local(vec![change])).await.expect("kept");
    let page = site.browser(Role::Staff).await.get("/sync").await.expect(200);
    page.says("The hub did not take it: this needs the role staff");
}

#[actix_web::test]
async fn live_hints_come_as_things_happen_and_end_with_the_server() {
    let link = Held::new(LinkState::InStep);
    let site = Site::with(Beside { link: Some(link.clone()), ..Beside::default() }).await;
    site.visitor().get("/live").await.expect(204);
    let browser = site.browser(Role::Viewer).await;
    let response =
        browser.request(Method::GET, "/live").header("accept-encoding", "gzip").send().await.expect("a stream");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(
        !response.headers().contains_key("content-encoding") || response.headers()["content-encoding"] == "identity"
    );
    let mut stream = response.bytes_stream();
    site.make("work-order", json!({"title": "Seal"})).await;
    hint(&mut stream, "records-work-order").await;
    link.set(LinkState::Offline);
    hint(&mut stream, "link").await;
    // whoever comes back looks at everything again
    let back = browser.request(Method::GET, "/live").header("last-event-id", "1").send().await.expect("a stream");
    let mut back = back.bytes_stream();
    hint(&mut back, "link").await;
    drop(back);
    let ended = tokio::spawn(async move { while stream.next().await.is_some() {} });
    tokio::time::timeout(Duration::from_secs(10), site.stop()).await.expect("the server ends soon");
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("so does the stream").expect("no panic");
}

#[derive(Default)]
struct Toggle(AtomicBool);

impl Switch for Toggle {
    fn is_up(&self) -> bool {
        !self.0.load(SeqCst)
    }

    fn set(&self, up: bool) {
        self.0.store(!up, SeqCst);
    }
}

#[actix_web::test]
async fn the_demo_greets_with_three_steps_signs_in_at_a_press_and_has_a_switch() {
    let switch = Arc::new(Toggle::default());
    let person = |name: &str, role: &str| DemoPerson {
        name: name.into(),
        email: format!("{role}@example.org"),
        password: PASSWORD.into(),
        role: role.into(),
        does: "tries".into(),
    };
    let demo = Demo {
        hub: "http://127.0.0.1:1".into(),
        edge: "http://127.0.0.1:2".into(),
        people: vec![person("Tomás Reyes", "admin"), person("Ingrid Solheim", "staff")],
        switch: switch.clone(),
    };
    let site = Site::with(Beside { demo: Some(demo), ..Beside::default() }).await;
    let record = site.make("work-order", json!({"title": "Replace hydraulic pump seal"})).await;
    let visitor = site.visitor();
    let page = visitor.get("/").await.expect(200);
    page.says("Three things to try").says("Replace hydraulic pump seal").says("staff@example.org").says(PASSWORD);
    assert_eq!(page.words(".tour li").len(), 3);
    assert!(page.text.contains(&format!("http://127.0.0.1:2/demo/as/1?next={record}/edit")), "{}", page.text);
    assert_eq!(visitor.get(&format!("/demo/as/1?next={record}/edit")).await.led_to(), format!("{record}/edit"));
    let form = visitor.get(&format!("{record}/edit")).await.expect(200);
    assert!(form.has("#record-form"));
    visitor.get("/demo/as/2").await.expect(404);
    assert_eq!(site.visitor().post("/demo/link", &[("_do", "cut"), ("_to", "/demo")]).await.led_to(), "/demo");
    assert!(!switch.is_up());
    visitor.get("/").await.expect(200).says("Link is cut");
    assert_eq!(visitor.post("/demo/link", &[("_do", "restore"), ("_to", "//evil")]).await.led_to(), "/demo");
    assert!(switch.is_up());
    let request = visitor.request(Method::POST, "/demo/link").header("origin", "http://evil.example");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("_do=cut");
    visitor.send(request).await.expect(403);
    assert!(switch.is_up());
}

#[actix_web::test]
async fn a_request_that_was_begun_is_finished_when_the_server_ends() {
    let site = Site::start().await;
    let browser = site.browser(Role::Staff).await;
    let new = "/records/work-order/new";
    let form = crate::browser::filled(&browser.open(new).await, &[("/title", "Last words")]);
    let body = serde_urlencoded::to_string(&form).expect("pairs").into_bytes();
    let (halves, node) = (body.len() / 2, site.node.clone());
    let (first, second) = (body[..halves].to_vec(), body[halves..].to_vec());
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let slow = futures_util::stream::once(async move { Ok::<_, std::io::Error>(first) }).chain(
        futures_util::stream::once(async move {
            let _ = gone.await;
            Ok(second)
        }),
    );
    let posted = browser.post_body(new, reqwest::Body::wrap_stream(slow));
    let ended = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let stopping = site.stop();
        let finish = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let _ = go.send(());
        };
        tokio::join!(stopping, finish);
    };
    let (answer, ()) = tokio::join!(posted, ended);
    let record = answer.led_to();
    let id = record.rsplit('/').next().expect("an id").parse().expect("a UUID");
    let held = node.record(&Actor::Operator, "work-order", id).await.expect("it was saved");
    assert_eq!(held.document.value["title"], "Last words");
}
