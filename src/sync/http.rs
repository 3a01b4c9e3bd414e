//! The hub's side of the protocol on the network.

pub mod blobs;
mod peers;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentEncoding, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, Resource};
use futures_util::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::enrolment::NodeRecord;
use super::hub::{Hub, HubError};
use super::listener::Listener;
use super::observe;
use super::sse;
use super::terse::{self, Memory};
use super::wire::{self, Malformed};
use crate::domain::protocol::{Enrol, Hello, Hints, Problem, Pull, Push, Snapshot};
use crate::domain::reach::Whereabouts;
use crate::domain::reconcile::{Fetch, Offer, Reconcile};
use crate::domain::snapshot::ChunkHash;
use crate::store::StoreError;

/// A body as it comes, and what may become of it when it is unpacked.
const MAX_BODY: usize = 8 << 20;
const MAX_UNPACKED: usize = 32 << 20;
/// How long a message may take to come in.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take once the hub is about to stop.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);
/// How long an edge waits while chunks are made; then it is told to ask again.
const PATIENCE_WITH_CHUNKS: Duration = Duration::from_secs(15);
const COMMENT_EVERY: Duration = Duration::from_secs(20);
const MAX_POLL_MILLIS: u64 = 30_000;

/// Mounts `/sync/v1`. The app data has the [`Hub`] if this node is one.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::scope("/sync/v1")
            .wrap(from_fn(observe::asked))
            .service(at("/enrol", "POST").route(web::post().to(enrol)))
            .service(at("/hello", "POST").route(web::post().to(hello)))
            .service(at("/push", "POST").route(web::post().to(push)))
            .service(at("/pull", "GET").route(web::get().to(pull)))
            .service(at("/snapshot", "GET").route(web::get().to(snapshot)))
            .service(at("/chunks/{hash}", "GET").route(web::get().to(chunk)))
            .service(at("/blobs", "POST").route(web::post().to(blobs::ask)))
            .service(
                at("/blobs/{hash}/{part}", "GET, PUT")
                    .route(web::get().to(blobs::get))
                    .route(web::put().to(blobs::put)),
            )
            .service(at("/reconcile", "POST").route(web::post().to(reconcile)))
            .service(at("/fetch", "POST").route(web::post().to(fetch)))
            .service(at("/offer", "POST").route(web::post().to(offer)))
            .service(at("/whereabouts", "POST").route(web::post().to(whereabouts)))
            .service(at("/peer/meet", "POST").route(web::post().to(peers::meet)))
            .service(at("/peer/ask", "POST").route(web::post().to(peers::ask)))
            .service(at("/live", "GET").route(web::get().to(live)))
            .default_service(web::to(async || {
                let detail = "version 1 of the protocol has no such address";
                plain(StatusCode::NOT_FOUND, detail, None)
            })),
    );
}

/// An address that says what can be asked of it.
fn at(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move || async move {
        plain(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allowed} can be asked of this address"), Some(allowed))
    }))
}

/// A problem that no program reacts to.
fn plain(status: StatusCode, detail: &str, allowed: Option<&'static str>) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or_default().to_lowercase();
    let problem = Problem { kind: "about:blank".into(), title, status: status.as_u16(), detail: detail.into() };
    let mut response = HttpResponse::build(status);
    if let Some(allowed) = allowed {
        response.insert_header((header::ALLOW, allowed));
    }
    let body = serde_json::to_string(&problem).expect("a problem is plain data");
    response.content_type("application/problem+json").body(body)
}

type HubData = Option<Data<Hub>>;

async fn enrol(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    answer(&request, async { its(&hub)?.enrol(&read::<Enrol>(&request, body).await?).await }.await)
}

/// `POST /sync/v1/hello`: a conversation begins.
async fn hello(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let welcome = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.hello(&node, &read::<Hello>(&request, body).await?).await
    };
    answer(&request, welcome.await)
}

/// `POST /sync/v1/push`: saves of an edge, each answered on its own.
async fn push(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let mut is_terse = false;
    let pushed = async {
        let hub = its(&hub)?;
        let node = hub.recognise(bearer(&request)).await?;
        let bytes = whole(&request, body).await?;
        let (push, memory) = match kind(&request) {
            wire::MEDIA_TYPE if terse::is_terse(&bytes) => {
                is_terse = true;
                terse::decode(&bytes, MAX_UNPACKED, &hub.last_push(node.id))?
            }
            kind => {
                let push = message::<Push>(kind, &bytes)?;
                let memory = Memory::after(&push);
                (push, memory)
            }
        };
        let pushed = hub.push(&node, push).await?;
        hub.remember(node.id, memory);
        Ok(pushed)
    };
    let pushed = pushed.await;
    if is_terse { answer(&request, pushed.map(terse::Answer::of)) } else { answer(&request, pushed) }
}

/// `GET /sync/v1/pull`: a page of a partition.
async fn pull(hub: HubData, request: HttpRequest) -> HttpResponse {
    let pulled = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.pull(&node, &query::<Pull>(&request)?).await
    };
    answer(&request, pulled.await)
}

/// `GET /sync/v1/snapshot`: of which chunks a partition is made.
async fn snapshot(hub: HubData, request: HttpRequest) -> HttpResponse {
    let manifest = async {
        let hub = hub.ok_or(HubError::NotAHub)?.into_inner();
        let node = hub.authenticate(bearer(&request)).await?;
        let Snapshot { partition } = query(&request)?;
        let asked = partition.clone();
        // made to its end, also if it takes longer than anybody waits for
        let made = tokio::spawn(async move { hub.snapshot(&node, &partition).await });
        match tokio::time::timeout(PATIENCE_WITH_CHUNKS, made).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => Err(StoreError::Closed.into()),
            Err(_) => Err(HubError::Preparing(asked)),
        }
    };
    answer(&request, manifest.await)
}

/// `GET /sync/v1/chunks/{hash}`: a chunk as it is kept. It never changes.
async fn chunk(hub: HubData, request: HttpRequest) -> HttpResponse {
    let chunk = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        let hash = request.match_info().get("hash").unwrap_or_default();
        let hash = hash.parse::<ChunkHash>().map_err(|_| HubError::Meaningless("that is no name of a chunk".into()))?;
        hub.chunk(&node, hash).await
    };
    match chunk.await {
        Ok(bytes) => HttpResponse::Ok()
            .content_type("application/vnd.outpost.chunk")
            // only for who may see it
            .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
            .insert_header(ContentEncoding::Identity)
            .body(bytes),
        Err(err) => problem(&err),
    }
}

#[derive(Deserialize)]
struct Live {
    #[serde(default)]
    since: u64,
    /// For how many milliseconds an answer may be held back: a long poll instead of a stream.
    wait: Option<u64>,
}

/// `GET /sync/v1/live`: hints as they come.
async fn live(hub: HubData, request: HttpRequest) -> HttpResponse {
    let listening = async {
        let hub = its(&hub)?;
        let node: NodeRecord = hub.authenticate(bearer(&request)).await?;
        let Live { since, wait } = query(&request)?;
        Ok((hub.listen(&node, since).await?, wait))
    };
    match listening.await {
        Err(err) => problem(&err),
        Ok((listener, None)) => streamed(listener),
        Ok((listener, Some(wait))) => answer(&request, Ok(polled(listener, wait).await)),
    }
}

async fn polled(mut listener: Listener, wait: u64) -> Hints {
    let wait = Duration::from_millis(wait.min(MAX_POLL_MILLIS));
    Hints { hints: listener.next(wait).await.unwrap_or_default() }
}

fn streamed(listener: Listener) -> HttpResponse {
    let hello = Bytes::from_static(sse::COMMENT.as_bytes());
    let events = stream::unfold(listener, |mut listener| async move {
        let hints = listener.next(COMMENT_EVERY).await?;
        let text: String = hints.iter().map(|hint| sse::event("head", hint)).collect();
        let text = if text.is_empty() { sse::COMMENT.to_owned() } else { text };
        Some((Ok::<_, actix_web::Error>(Bytes::from(text)), listener))
    });
    let first = stream::once(async move { Ok(hello) });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        // a compressor would hold events back
        .insert_header(ContentEncoding::Identity)
        .streaming(futures_util::StreamExt::chain(first, events))
}

fn its(hub: &HubData) -> Result<&Hub, HubError> {
    hub.as_ref().map(|hub| hub.get_ref()).ok_or(HubError::NotAHub)
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, HubError> {
    Query::<T>::from_query(request.query_string())
        .map(Query::into_inner)
        .map_err(|err| HubError::Meaningless(format!("the address: {err}")))
}

/// Reads a message: framed, or JSON if the sender says so.
async fn read<T: DeserializeOwned>(request: &HttpRequest, body: Payload) -> Result<T, HubError> {
    message(kind(request), &whole(request, body).await?)
}

/// Of which media type the body of a request is.
fn kind(request: &HttpRequest) -> &str {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// All of a body, if it comes in time and is not too large.
async fn whole(request: &HttpRequest, body: Payload) -> Result<Bytes, HubError> {
    let too_late = async {
        let Some(hub) = request.app_data::<Data<Hub>>() else { return tokio::time::sleep(PATIENCE).await };
        if tokio::time::timeout(PATIENCE, hub.closing()).await.is_ok() {
            tokio::time::sleep(PATIENCE_AT_END).await;
        }
    };
    let whole = tokio::select! {
        biased;
        whole = body.to_bytes_limited(MAX_BODY) => whole,
        () = too_late => return Err(Malformed::Content("the rest of it did not come".into()).into()),
    };
    match whole {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(err)) => Err(Malformed::Content(err.to_string()).into()),
        Err(_) => Err(Malformed::TooLarge(MAX_BODY).into()),
    }
}

fn message<T: DeserializeOwned>(kind: &str, bytes: &[u8]) -> Result<T, HubError> {
    match kind {
        wire::MEDIA_TYPE => Ok(wire::decode(bytes, MAX_UNPACKED)?),
        "application/json" => serde_json::from_slice(bytes).map_err(|err| Malformed::Content(err.to_string()).into()),
        _ => Err(HubError::Meaningless(format!("send {} or application/json", wire::MEDIA_TYPE))),
    }
}

fn answer<T: Serialize>(request: &HttpRequest, result: Result<T, HubError>) -> HttpResponse {
    let message = match result {
        Ok(message) => message,
        Err(err) => return problem(&err),
    };
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if accept.contains("json") {
        response.json(message)
    } else {
        // compressed already
        response
            .content_type(HeaderValue::from_static(wire::MEDIA_TYPE))
            .insert_header(ContentEncoding::Identity)
            .body(wire::encode(&message))
    }
}

fn problem(err: &HubError) -> HttpResponse {
    let problem = err.problem();
    if problem.status == 500 {
        tracing::error!("sync: {err}");
    }
    let status = StatusCode::from_u16(problem.status).expect("our problems have statuses of HTTP");
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(seconds) = err.retry_after() {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    let body = serde_json::to_string(&problem).expect("a problem is plain data");
    response.content_type("application/problem+json").body(body)
}

/// `POST /sync/v1/reconcile`: a partition is brought together again.
async fn reconcile(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let answered = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.reconcile(&node, &read::<Reconcile>(&request, body).await?).await
    };
    answer(&request, answered.await)
}

/// `POST /sync/v1/fetch`: a partition is brought together again.
async fn fetch(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let answered = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.fetch(&node, &read::<Fetch>(&request, body).await?).await
    };
    answer(&request, answered.await)
}

/// `POST /sync/v1/offer`: a partition is brought together again.
async fn offer(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let answered = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.offer(&node, read::<Offer>(&request, body).await?).await
    };
    answer(&request, answered.await)
}

/// `POST /sync/v1/whereabouts`: how far records have come.
async fn whereabouts(hub: HubData, request: HttpRequest, body: Payload) -> HttpResponse {
    let answered = async {
        let hub = its(&hub)?;
        let node = hub.authenticate(bearer(&request)).await?;
        hub.whereabouts(&node, &read::<Whereabouts>(&request, body).await?).await
    };
    answer(&request, answered.await)
}
