//! The protocol over HTTP, from the edge's side.

mod blobs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::sse::Reader;
use super::terse::{self, Memory};
use super::transport::{LiveEvent, Opened, Switch, Transport};
use super::wire;
use crate::domain::blob::{AskBlobs, BlobHash, BlobsHeld, HubHas};
use crate::domain::ids::Partition;
use crate::domain::protocol::{
    Enrol, Enrolled, Failure, Hello, Hint, Hints, Problem, Pull, Pulled, Push, Pushed, Snapshot, Welcome,
};
use crate::domain::reach::{Located, Whereabouts};
use crate::domain::reconcile::{Fetch, Fetched, Offer, Offered, Reconcile, Reconciled};
use crate::domain::snapshot::{ChunkHash, Manifest};
use crate::meter::Talk;
use crate::store::Judge;
use crate::store::chunk::MAX_PACKED;

const CONNECT: Duration = Duration::from_secs(10);
/// Without a byte for so long, an answer is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A link slower than this many bytes a second is none; a large push has as much more time.
const SLOWEST: usize = 2_000;
const MAX_ANSWER: usize = 64 << 20;
/// Without a byte for so long, something on the way holds the stream back, and we only poll.
const BUFFERED: Duration = Duration::from_secs(3);
/// Without a byte for so long, we poll beside it, so that what happens meanwhile is not told late.
const PROMPT: Duration = Duration::from_millis(300);
/// The hub says something every twenty seconds.
const LIVE_SILENCE: Duration = Duration::from_secs(45);
const POLL_MILLIS: u64 = 20_000;
/// So much later the stream is tried again instead.
const POLL_FOR: Duration = Duration::from_secs(900);

/// A hub behind an address.
pub struct HttpTransport {
    client: Client,
    base: String,
    authorization: String,
    switch: Switch,
    meter: Arc<Talk>,
    /// Streams were held back until then.
    polls_until: Mutex<Option<Instant>>,
    ahead: Mutex<Option<Ahead>>,
    /// Whether the hub remembers the last push, and what is remembered of it here.
    remembered: AtomicBool,
    memory: Mutex<Memory>,
}

/// A chunk that comes, and is made ready, while the one before it is joined, so that neither costs its time for each.
struct Ahead {
    partition: Partition,
    hash: ChunkHash,
    fetching: JoinHandle<Result<Opened, Failure>>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

/// The address of a hub without its last slash; `None` if it is none.
pub(super) fn base(url: &str) -> Option<String> {
    let parsed = reqwest::Url::parse(url.trim()).ok()?;
    let is_http = matches!(parsed.scheme(), "http" | "https") && parsed.has_host();
    let is_plain = parsed.query().is_none() && parsed.fragment().is_none();
    (is_http && is_plain).then(|| url.trim().trim_end_matches('/').to_owned())
}

pub(super) fn client(base: &str) -> Result<Client, Failure> {
    // no harm if one is installed
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = reqwest::Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let is_here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    let builder = || {
        let builder = Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        if is_here { builder.no_proxy() } else { builder }
    };
    let client = match is_here && base.starts_with("http:") {
        // nothing on that way asks for a certificate, and reading those of the machine takes its time
        true => builder().tls_certs_only([]).build(),
        false => builder().build(),
    };
    // a small device may have no root certificates at all, and still a hub without TLS on its own network
    let client =
        if base.starts_with("http:") { client.or_else(|_| builder().tls_certs_only([]).build()) } else { client };
    client.map_err(|err| Failure::Local(format!("TLS cannot be used here: {}", cause(&err))))
}

/// The innermost reason, which is the one people understand.
pub(super) fn cause(err: &dyn std::error::Error) -> String {
    let mut err = err;
    while let Some(source) = err.source() {
        err = source;
    }
    err.to_string()
}

fn unreachable(err: &reqwest::Error) -> Failure {
    let reason = cause(err);
    Failure::Unreachable(if err.is_connect() {
        format!("the hub cannot be reached: {reason}")
    } else {
        format!("the connection to the hub broke: {reason}")
    })
}

fn silent() -> Failure {
    Failure::Unreachable("the hub does not answer".into())
}

fn accepting(request: RequestBuilder) -> RequestBuilder {
    request.header(ACCEPT, wire::MEDIA_TYPE)
}

async fn answer<A: DeserializeOwned>(response: Response) -> Result<A, Failure> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(response).await);
    }
    let bytes = body(response, MAX_ANSWER).await?;
    wire::decode(&bytes, MAX_ANSWER).map_err(|err| Failure::Faulty(format!("the hub's answer: {err}")))
}

async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) =
        timeout(SILENCE, response.chunk()).await.map_err(|_| silent())?.map_err(|err| unreachable(&err))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            return Err(Failure::Faulty("the hub's answer is too large".into()));
        }
    }
    Ok(bytes)
}

async fn chunk(request: RequestBuilder) -> Result<Vec<u8>, Failure> {
    let sent = timeout(SILENCE, request.send()).await;
    let response = sent.map_err(|_| silent())?.map_err(|err| unreachable(&err))?;
    if response.status() == StatusCode::OK { body(response, MAX_PACKED).await } else { Err(refusal(response).await) }
}

/// Fetches a chunk and makes it ready, where that holds up nobody.
async fn records(
    (of, hash): (Partition, ChunkHash),
    request: RequestBuilder,
    meter: Arc<Talk>,
    judge: Option<Arc<dyn Judge>>,
) -> Result<Opened, Failure> {
    let bytes = chunk(request).await?;
    meter.bytes_received.add(bytes.len());
    let opened = tokio::task::spawn_blocking(move || Opened::of(&of, hash, &bytes, judge.as_deref())).await;
    opened.unwrap_or_else(|err| Err(Failure::Local(format!("a chunk was not unpacked: {err}"))))
}

/// What an answer that is no success means.
async fn refusal(response: Response) -> Failure {
    let status = response.status().as_u16();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<i64>().ok());
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/problem+json"));
    let problem: Option<Problem> = match body(response, 64 << 10).await {
        Ok(bytes) if is_problem => serde_json::from_slice(&bytes).ok(),
        _ => None,
    };
    let problem = problem.filter(|problem| problem.kind.starts_with("urn:outpost:"));
    Failure::of(status, problem.as_ref(), seconds.map(|seconds| seconds.saturating_mul(1_000)))
}

fn post<T: Serialize>(client: &Client, base: &str, path: &str, message: &T) -> (RequestBuilder, usize) {
    let bytes = wire::encode(message);
    let size = bytes.len();
    (posted(client, base, path, bytes), size)
}

fn posted(client: &Client, base: &str, path: &str, bytes: Vec<u8>) -> RequestBuilder {
    client.post(format!("{base}/sync/v1/{path}")).header(CONTENT_TYPE, wire::MEDIA_TYPE).body(bytes)
}

/// The failure comes with whether the request left.
pub(super) async fn enrol(base: &str, enrol: &Enrol) -> Result<Enrolled, (Failure, bool)> {
    let client = client(base).map_err(|failure| (failure, false))?;
    let (request, _) = post(&client, base, "enrol", enrol);
    let response = match timeout(SILENCE, accepting(request).send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(err)) => return Err((unreachable(&err), !err.is_connect())),
        Err(_) => return Err((silent(), true)),
    };
    answer(response).await.map_err(|failure| (failure, true))
}

impl HttpTransport {
    /// The hub at `url`, to which this node shows `credential`, as long as the switch is up.
    pub fn new(url: &str, credential: &str, switch: Switch) -> Result<Self, Failure> {
        let base = base(url).ok_or_else(|| Failure::Local(format!("{url:?} is no address of a hub")))?;
        Ok(Self {
            client: client(&base)?,
            base,
            authorization: format!("Bearer {credential}"),
            switch,
            meter: Arc::default(),
            polls_until: Mutex::new(None),
            ahead: Mutex::new(None),
            remembered: AtomicBool::new(false),
            memory: Mutex::default(),
        })
    }

    /// Carries out an exchange as long as the link is not cut.
    async fn unless_cut<T>(&self, exchange: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            cut = self.switch.cut() => Err(cut),
            answer = exchange => answer,
        }
    }

    /// Sends a request and reads the whole answer. `sends` is how many bytes it carries.
    async fn exchange<A: DeserializeOwned>(&self, request: RequestBuilder, sends: usize) -> Result<A, Failure> {
        answer(self.respond(request, sends).await?).await
    }

    async fn respond(&self, request: RequestBuilder, sends: usize) -> Result<Response, Failure> {
        let patience = SILENCE + Duration::from_secs((sends / SLOWEST) as u64);
        self.meter.bytes_sent.add(sends);
        let sent = timeout(patience, accepting(request).send()).await;
        let response = sent.map_err(|_| silent())?.map_err(|err| unreachable(&err))?;
        self.meter.bytes_received.add(response.content_length().and_then(|size| size.try_into().ok()).unwrap_or(0));
        Ok(response)
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(&self, path: &str, message: &Q) -> Result<A, Failure> {
        let (request, size) = post(&self.client, &self.base, path, message);
        self.unless_cut(self.exchange(request.header(AUTHORIZATION, &self.authorization), size)).await
    }

    fn get(&self, path: &str, query: &str) -> RequestBuilder {
        let url = format!("{}/sync/v1/{path}?{query}", self.base);
        self.client.get(url).header(AUTHORIZATION, &self.authorization)
    }

    fn chunk_request(&self, hash: ChunkHash) -> RequestBuilder {
        self.get(&format!("chunks/{hash}"), "")
    }

    /// Listens on the stream, and tells when it is heard. `None`: something on the way holds it back.
    async fn stream(&self, since: u64, heard: &mpsc::Sender<LiveEvent>, flows: &Notify) -> Option<Failure> {
        let request = self.get("live", &format!("since={since}")).header(ACCEPT, "text/event-stream");
        let asked = Instant::now();
        let mut response = match timeout(BUFFERED, request.send()).await {
            Ok(Ok(response)) if response.status() == StatusCode::OK => response,
            Ok(Ok(response)) => return Some(refusal(response).await),
            Ok(Err(err)) => return Some(unreachable(&err)),
            Err(_) => return None,
        };
        let mut reader = Reader::default();
        let mut is_heard = false;
        loop {
            let patience = if is_heard { LIVE_SILENCE } else { BUFFERED.saturating_sub(asked.elapsed()) };
            let chunk = match timeout(patience, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Some(Failure::Unreachable("the hub ended the stream".into())),
                Ok(Err(err)) => return Some(unreachable(&err)),
                Err(_) if !is_heard => return None,
                Err(_) => return Some(silent()),
            };
            if !is_heard {
                is_heard = true;
                flows.notify_one();
                if heard.send(LiveEvent::Up).await.is_err() {
                    return Some(nobody_listens());
                }
            }
            self.meter.bytes_received.add(chunk.len());
            for (name, data) in reader.read(&chunk) {
                if name != "head" {
                    continue;
                }
                let Ok(hint) = serde_json::from_str::<Hint>(&data) else { continue };
                if heard.send(LiveEvent::Hint(hint)).await.is_err() {
                    return Some(nobody_listens());
                }
            }
        }
    }

    /// Asks again and again, each answer being held back by the hub until there is something to tell.
    async fn poll(&self, since: u64, heard: &mpsc::Sender<LiveEvent>) -> Failure {
        let mut since = since;
        let mut wait = 0;
        let until = Instant::now() + POLL_FOR;
        while Instant::now() < until {
            let answer = self.exchange(self.get("live", &format!("since={since}&wait={wait}")), 0).await;
            let Hints { hints } = match answer {
                Ok(hints) => hints,
                Err(failure) => return failure,
            };
            since = hints.iter().fold(since, |since, hint| since.max(hint.head));
            let events = hints.into_iter().map(LiveEvent::Hint);
            for event in (wait == 0).then_some(LiveEvent::Up).into_iter().chain(events) {
                if heard.send(event).await.is_err() {
                    return nobody_listens();
                }
            }
            wait = POLL_MILLIS;
        }
        Failure::Unreachable("the stream is tried again".into())
    }

    /// Listens on the stream, and polls beside it until it flows; only polls where it does not.
    async fn listen(&self, since: u64, heard: &mpsc::Sender<LiveEvent>) -> Failure {
        if self.polls() {
            return self.poll(since, heard).await;
        }
        let flows = Notify::new();
        let mut stream = Box::pin(self.stream(since, heard, &flows));
        let mut beside = Box::pin(async {
            sleep(PROMPT).await;
            self.poll(since, heard).await
        });
        tokio::select! {
            biased;
            ended = &mut stream => match ended {
                Some(failure) => failure,
                None => {
                    *self.polls_until.lock().expect(POISON) = Some(Instant::now() + POLL_FOR);
                    beside.await
                }
            },
            () = flows.notified() => {
                drop(beside);
                stream.await.unwrap_or_else(silent)
            }
            failure = &mut beside => failure,
        }
    }

    fn polls(&self) -> bool {
        let until = self.polls_until.lock().expect(POISON);
        until.is_some_and(|until| Instant::now() < until)
    }
}

const POISON: &str = "no holder of this lock panics";

fn nobody_listens() -> Failure {
    Failure::Local("nobody listens any more".into())
}

#[async_trait]
impl Transport for HttpTransport {
    async fn hello(&self, hello: &Hello) -> Result<Welcome, Failure> {
        let welcome: Welcome = self.ask("hello", hello).await?;
        self.remembered.store(welcome.remembers, Ordering::Relaxed);
        Ok(welcome)
    }

    async fn push(&self, push: &Push) -> Result<Pushed, Failure> {
        if self.remembered.load(Ordering::Relaxed) {
            let last = self.memory.lock().expect(POISON).clone();
            let (bytes, next) = terse::encode(push, &last);
            let size = bytes.len();
            let sent = {
                let request = posted(&self.client, &self.base, "push", bytes);
                let request = request.header(AUTHORIZATION, &self.authorization);
                self.unless_cut(self.respond(request, size)).await?
            };
            // what the hub does not remember, or does not understand any more, is sent in full
            if !matches!(sent.status(), StatusCode::CONFLICT | StatusCode::BAD_REQUEST) {
                let answer: terse::Answer = self.unless_cut(answer(sent)).await?;
                let pushed = answer.about(push).map_err(|err| Failure::Faulty(format!("the hub's answer: {err}")))?;
                *self.memory.lock().expect(POISON) = next;
                return Ok(pushed);
            }
        }
        let pushed = self.ask("push", push).await?;
        *self.memory.lock().expect(POISON) = Memory::after(push);
        Ok(pushed)
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled, Failure> {
        let query = serde_urlencoded::to_string(pull).expect("the parts of a pull are plain text and numbers");
        self.unless_cut(self.exchange(self.get("pull", &query), 0)).await
    }

    fn meter(&self) -> Arc<Talk> {
        self.meter.clone()
    }

    async fn whereabouts(&self, asked: &Whereabouts) -> Result<Located, Failure> {
        self.ask("whereabouts", asked).await
    }

    async fn snapshot(&self, partition: &Partition) -> Result<Manifest, Failure> {
        let asked = Snapshot { partition: partition.clone() };
        let query = serde_urlencoded::to_string(&asked).expect("a partition is plain text");
        self.unless_cut(self.exchange(self.get("snapshot", &query), 0)).await
    }

    async fn chunk(&self, hash: ChunkHash, _: Option<ChunkHash>) -> Result<Vec<u8>, Failure> {
        let bytes = self.unless_cut(chunk(self.chunk_request(hash))).await?;
        self.meter.bytes_received.add(bytes.len());
        Ok(bytes)
    }

    async fn records(
        &self,
        of: &Partition,
        hash: ChunkHash,
        then: Option<ChunkHash>,
        judge: Option<Arc<dyn Judge>>,
    ) -> Result<Opened, Failure> {
        let ahead = {
            let mut ahead = self.ahead.lock().expect(POISON);
            ahead.take_if(|ahead| ahead.hash == hash && ahead.partition == *of)
        };
        let fetch = async {
            // what failed then may be well by now
            let came = match ahead {
                Some(mut ahead) => (&mut ahead.fetching).await.ok().and_then(Result::ok),
                None => None,
            };
            match came {
                Some(opened) => Ok(opened),
                None => records((of.clone(), hash), self.chunk_request(hash), self.meter.clone(), judge.clone()).await,
            }
        };
        let opened = self.unless_cut(fetch).await?;
        if let Some(hash) = then {
            let fetch = records((of.clone(), hash), self.chunk_request(hash), self.meter.clone(), judge);
            let mut ahead = self.ahead.lock().expect(POISON);
            ahead.get_or_insert_with(|| Ahead { partition: of.clone(), hash, fetching: tokio::spawn(fetch) });
        }
        Ok(opened)
    }

    async fn reconcile(&self, asked: &Reconcile) -> Result<Reconciled, Failure> {
        self.ask("reconcile", asked).await
    }

    async fn fetch(&self, asked: &Fetch) -> Result<Fetched, Failure> {
        self.ask("fetch", asked).await
    }

    async fn offer(&self, offer: &Offer) -> Result<Offered, Failure> {
        self.ask("offer", offer).await
    }

    async fn ask_blobs(&self, asked: &AskBlobs) -> Result<BlobsHeld, Failure> {
        self.ask("blobs", asked).await
    }

    async fn put_blob(&self, hash: BlobHash, size: u64, part: u64, bytes: Vec<u8>) -> Result<HubHas, Failure> {
        self.send_part(hash, size, part, bytes).await
    }

    async fn blob(&self, hash: BlobHash, part: u64) -> Result<(Vec<u8>, u64), Failure> {
        self.fetch_part(hash, part).await
    }

    async fn live(&self, since: u64, heard: mpsc::Sender<LiveEvent>) -> Failure {
        tokio::select! {
            biased;
            cut = self.switch.cut() => cut,
            failure = self.listen(since, &heard) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn the_address_of_a_hub_is_http_without_query() {
        assert_eq!(base(" http://127.0.0.1:8080/ ").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(base("https://hub.example.org/outpost").as_deref(), Some("https://hub.example.org/outpost"));
        for bad in ["", "hub.example.org", "ftp://hub", "http://", "https://hub/?a=b", "https://hub/#a", "mailto:a@b"] {
            assert_eq!(base(bad), None, "{bad}");
        }
    }
}
