//! A hub with very many edges: each holds a stream of hints, pulls what concerns it and says hello as the protocol asks.
//!
//! `cargo bench --bench crowd -- [edges] [changes a second] [seconds]`; 10,000, 100 and 60 by default. Ten edges have the same scope, so
//! each change concerns ten. The edges are of this process and speak the protocol without a store; their requests share 64 connections, so that
//! the limit of open files, which has to be above the number of edges, is enough for either side.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use futures_util::{StreamExt, stream};
use outpost::domain::feed::Cursor;
use outpost::domain::ids::{Incarnation, Partition, TypeName};
use outpost::domain::protocol::{Enrolled, Hello, Hint, Pull, Pulled, Reached, Welcome};
use outpost::sync::wire;
use reqwest::Client;
use serde_json::{Value, json};
use support::{RECORDS, SCHEMA, Served, record, run, token};
use tokio::sync::{Mutex, Semaphore, mpsc};

const TOGETHER: usize = 10;
const LIMIT: usize = 1 << 24;

/// What all edges share.
struct Crowd {
    hub: String,
    client: Client,
    /// For streams, which have connections of their own.
    streams: Client,
    at_once: Semaphore,
    began: Instant,
    /// When a record of a site was last saved, in microseconds since the beginning.
    saved: Vec<AtomicU64>,
    seen: Mutex<Vec<f64>>,
    hellos: AtomicU64,
    pulls: AtomicU64,
    failures: AtomicU64,
    connected: AtomicU64,
}

struct Edge {
    site: usize,
    credential: String,
    me: Enrolled,
    ratchet: Option<u64>,
    cursor: Option<Cursor>,
    partition: Partition,
}

fn site(number: usize) -> String {
    format!("platform-{number}")
}

impl Crowd {
    fn micros(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    async fn hello(&self, edge: &mut Edge) -> Option<Welcome> {
        let reached = edge.cursor.map(|cursor| Reached { id: edge.partition.clone(), cursor });
        let hello = Hello {
            protocols: vec![1],
            node: edge.me.node,
            incarnation: Incarnation(edge.me.node.0),
            clock: now(),
            waiting: 0,
            in_step: true,
            partitions: reached.into_iter().collect(),
            ratchet: edge.ratchet,
            attempt: Some(rand()),
            below: Vec::new(),
            settled: None,
        };
        let _turn = self.at_once.acquire().await.ok()?;
        let request = self.client.post(format!("{}/sync/v1/hello", self.hub)).bearer_auth(&edge.credential);
        let request = request.header("content-type", wire::MEDIA_TYPE).header("accept", wire::MEDIA_TYPE);
        let answer = request.body(wire::encode(&hello)).send().await.ok()?.error_for_status().ok()?;
        let welcome: Welcome = wire::decode(&answer.bytes().await.ok()?, LIMIT).ok()?;
        self.hellos.fetch_add(1, Ordering::Relaxed);
        edge.ratchet = welcome.ratchet;
        Some(welcome)
    }

    async fn pull(&self, edge: &mut Edge) -> Option<()> {
        let at = edge.cursor.unwrap_or(Cursor::start(edge.me.epoch));
        let Cursor { epoch, base, after, tag } = at;
        let asked = Pull { partition: edge.partition.clone(), epoch, base, after, tag, max_bytes: 1 << 20 };
        let query = serde_urlencoded::to_string(&asked).expect("plain names and values");
        let _turn = self.at_once.acquire().await.ok()?;
        let request = self.client.get(format!("{}/sync/v1/pull?{query}", self.hub)).bearer_auth(&edge.credential);
        let answer = request.header("accept", wire::MEDIA_TYPE).send().await.ok()?.error_for_status().ok()?;
        let pulled: Pulled = wire::decode(&answer.bytes().await.ok()?, LIMIT).ok()?;
        self.pulls.fetch_add(1, Ordering::Relaxed);
        edge.cursor = Some(Cursor { epoch: pulled.epoch, base: pulled.head, after: pulled.head, tag: pulled.tag });
        Some(())
    }

    /// Hints until the stream ends.
    async fn listen(self: Arc<Self>, credential: String, since: u64, hints: mpsc::Sender<()>) -> Option<()> {
        let request = self.streams.get(format!("{}/sync/v1/live?since={since}", self.hub)).bearer_auth(credential);
        let answer = request.header("accept", "text/event-stream").send().await.ok()?.error_for_status().ok()?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        let mut stream = answer.bytes_stream();
        while let Some(Ok(bytes)) = stream.next().await {
            let text = String::from_utf8_lossy(&bytes);
            if text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .any(|data| serde_json::from_str::<Hint>(data).is_ok())
            {
                let _ = hints.try_send(());
            }
        }
        self.connected.fetch_sub(1, Ordering::Relaxed);
        None
    }

    async fn live(self: Arc<Self>, mut edge: Edge) {
        let Some(welcome) = self.hello(&mut edge).await else {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if self.pull(&mut edge).await.is_none() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let (hint, mut hints) = mpsc::channel(1);
        tokio::spawn(self.clone().listen(edge.credential.clone(), welcome.head, hint));
        let mut hello_at = tokio::time::Instant::now() + Duration::from_millis(30_000 + rand() % 30_000);
        loop {
            let fine = tokio::select! {
                hint = hints.recv() => {
                    if hint.is_none() {
                        break;
                    }
                    let pulled = self.pull(&mut edge).await;
                    let saved = self.saved[edge.site].load(Ordering::Relaxed);
                    if saved > 0 {
                        let seen = (self.micros() - saved) as f64 / 1e3;
                        self.seen.lock().await.push(seen);
                    }
                    hello_at = hello_at.min(tokio::time::Instant::now() + Duration::from_secs(2));
                    pulled
                }
                () = tokio::time::sleep_until(hello_at) => {
                    hello_at = tokio::time::Instant::now() + Duration::from_secs(60);
                    self.hello(&mut edge).await.map(|_| ())
                }
            };
            if fine.is_none() {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    since.as_millis() as i64
}

fn rand() -> u64 {
    getrandom::u64().expect("chance")
}

/// Lets an edge in whose scope is one site.
async fn enrol(crowd: &Crowd, admin: &str, number: usize) -> Edge {
    let at = number / TOGETHER;
    let invitation = json!({ "name": format!("edge {number}"), "scope": { "work-order": [site(at)] } });
    let request =
        crowd.client.post(format!("{}/api/v1/nodes/invitations", crowd.hub)).bearer_auth(admin).json(&invitation);
    let answer = request.send().await.expect("an answer").error_for_status().expect("it is invited");
    let invited: Value = answer.json().await.expect("JSON");
    let enrol = json!({ "token": invited["token"], "name": "", "secret": BASE64URL_NOPAD.encode(&(number as u128).to_be_bytes()) });
    let request =
        crowd.client.post(format!("{}/sync/v1/enrol", crowd.hub)).header("accept", "application/json").json(&enrol);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    let me: Enrolled = answer.json().await.expect("JSON");
    let partition = Partition::of_value(&TypeName::custom("work-order").expect("a name"), Some(&json!(site(at))));
    Edge { site: at, credential: me.credential.clone(), me, ratchet: None, cursor: None, partition }
}

async fn run_crowd(served: &Served, admin: String, edges: usize, rate: u64, seconds: u64) {
    let sites = edges.div_ceil(TOGETHER);
    let client =
        || Client::builder().no_proxy().tcp_nodelay(true).pool_max_idle_per_host(64).build().expect("a client");
    let crowd = Arc::new(Crowd {
        hub: format!("http://{}", served.address),
        client: client(),
        streams: client(),
        at_once: Semaphore::new(64),
        began: Instant::now(),
        saved: (0..sites).map(|_| AtomicU64::new(0)).collect(),
        seen: Mutex::default(),
        hellos: AtomicU64::new(0),
        pulls: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        connected: AtomicU64::new(0),
    });
    let records: HashMap<usize, String> = stream::iter(0..sites)
        .map(|at| {
            let (crowd, admin) = (crowd.clone(), admin.clone());
            async move {
                let mut data = record(at as u64);
                data["site"] = json!(site(at));
                let request = crowd
                    .client
                    .post(format!("{}{RECORDS}", crowd.hub))
                    .bearer_auth(&admin)
                    .json(&json!({ "data": data }));
                let made: Value = request.send().await.expect("an answer").json().await.expect("JSON");
                (at, made["id"].as_str().expect("an id").to_owned())
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let started = Instant::now();
    let mut joining = stream::iter(0..edges).map(|number| enrol(&crowd, &admin, number)).buffer_unordered(16);
    let mut all = Vec::new();
    while let Some(edge) = joining.next().await {
        all.push(edge);
    }
    drop(joining);
    println!("{edges} edges let in: {:.1} s, {:.1} MiB resident", started.elapsed().as_secs_f64(), served.resident());
    let started = Instant::now();
    for (number, edge) in all.into_iter().enumerate() {
        tokio::spawn(crowd.clone().live(edge));
        if number % 20 == 19 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    while crowd.connected.load(Ordering::Relaxed) + crowd.failures.load(Ordering::Relaxed) < edges as u64 {
        assert!(
            started.elapsed() < Duration::from_secs(180),
            "{} are connected",
            crowd.connected.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "{} connected: {:.1} s, {:.1} MiB resident at the hub, {} failed",
        crowd.connected.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64(),
        served.resident(),
        crowd.failures.load(Ordering::Relaxed)
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    crowd.seen.lock().await.clear();
    let (hellos, pulls) = (crowd.hellos.load(Ordering::Relaxed), crowd.pulls.load(Ordering::Relaxed));
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
    let saves = Arc::new(Mutex::new(Vec::new()));
    let mut resident = 0f64;
    let (began, processor) = (Instant::now(), served.processor());
    for number in 0..rate * seconds {
        tick.tick().await;
        let at = (number * 7 % sites as u64) as usize;
        let (crowd, admin, saves, id) = (crowd.clone(), admin.clone(), saves.clone(), records[&at].clone());
        tokio::spawn(async move {
            let began = Instant::now();
            crowd.saved[at].store(crowd.micros(), Ordering::Relaxed);
            let request = crowd.client.patch(format!("{}{RECORDS}/{id}", crowd.hub)).bearer_auth(&admin);
            let request = request.header("content-type", "application/merge-patch+json");
            let answer = request
                .body(json!({ "hours": number, "status": support::STATUSES[(number % 4) as usize] }).to_string())
                .send()
                .await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                saves.lock().await.push(began.elapsed());
            } else {
                crowd.failures.fetch_add(1, Ordering::Relaxed);
            }
        });
        if number % rate == 0 {
            resident = resident.max(served.resident());
        }
    }
    let took = began.elapsed().as_secs_f64();
    let processor = (served.processor() - processor) / took / 10.0;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut seen = std::mem::take(&mut *crowd.seen.lock().await);
    seen.sort_by(f64::total_cmp);
    let at = |share: usize| seen[(seen.len() * share / 100).min(seen.len() - 1)];
    println!(
        "{} changes in {took:.0} s seen {} times, from sending the change to having pulled it: p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms",
        rate * seconds,
        seen.len(),
        at(50),
        at(99),
        at(100)
    );
    let saves = support::sorted(std::mem::take(&mut *saves.lock().await));
    println!("the saves themselves: p50 {:.1} ms, p99 {:.1} ms", saves[saves.len() / 2], saves[saves.len() * 99 / 100]);
    println!(
        "{:.0} hellos and {:.0} pulls a second; the hub used {processor:.0} % of a processor and {:.1} MiB at most; {} failed",
        (crowd.hellos.load(Ordering::Relaxed) - hellos) as f64 / took,
        (crowd.pulls.load(Ordering::Relaxed) - pulls) as f64 / took,
        resident.max(served.resident()),
        crowd.failures.load(Ordering::Relaxed)
    );
}

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else chose a provider");
    let args: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let given = |at: usize, otherwise: u64| args.get(at).copied().unwrap_or(otherwise);
    let folder = tempfile::tempdir().expect("a folder");
    let (hub, schema) = (folder.path().join("hub"), folder.path().join("work-order.json"));
    let scoped = SCHEMA.replacen(r#""title": "Work order""#, r#""title": "Work order", "x-scope": "site""#, 1);
    std::fs::write(&schema, scoped).expect("a file");
    run(&hub, &["type", "import", &schema.to_string_lossy(), "--name", "work-order"], &mut |_| {});
    let admin = token(&hub);
    let served = Served::start(&hub);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run_crowd(&served, admin, given(0, 10_000) as usize, given(1, 100), given(2, 60)));
}
