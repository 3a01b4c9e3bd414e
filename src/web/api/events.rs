//! What changes, as it changes: server-sent events for programs.
//!
//! An event is a hint, the record is the truth: it says which record or type changed, and whoever wants more reads it.
//! The id of an event is this node's number of the change, so a stream goes on where the one before broke off.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::http::header::{self, ContentEncoding};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::caller::Caller;
use super::{NO_STORE, Problem};
use crate::domain::ids::{RecordId, TypeName};
use crate::domain::people::Operation;
use crate::node::Node;
use crate::store::{Notice, StoreError};
use crate::web::App;

/// Proxies and clients give up on a silent stream; and whoever was signed out meanwhile is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a reader missed is told up to here; beyond it, reading anew is less work.
const MAX_MISSED: usize = 10_000;
const PAGE_BYTES: usize = 1 << 20;
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// `GET /events`
pub async fn stream(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Operation::See)?;
    let seen = last_event_id(&req)?;
    // listening begins before looking, so that nothing falls between
    let notices = app.node.notices();
    let stopping = app.run.stopping();
    let sent = match seen {
        Some(seen) => seen,
        None => head(&app.node).await?,
    };
    let mut heartbeat = interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut feed = Feed { req, app, notices, stopping, heartbeat, sent, ready: VecDeque::new() };
    feed.ready.push_back(Bytes::from(format!("retry: 2000\nid: {sent}\n\n")));
    if seen.is_some() {
        feed.catch_up().await?;
    }
    let events = futures_util::stream::unfold(feed, |mut feed| async {
        let bytes = feed.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), feed))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(NO_STORE)
        // neither a proxy nor our own compression may hold events back
        .insert_header(("X-Accel-Buffering", "no"))
        .insert_header((header::CONTENT_ENCODING, ContentEncoding::Identity.as_str()))
        .streaming(events))
}

fn last_event_id(req: &HttpRequest) -> Result<Option<u64>, Problem> {
    let Some(value) = req.headers().get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let seen = value.to_str().ok().and_then(|text| text.parse().ok());
    seen.map(Some).ok_or_else(|| Problem::bad("Last-Event-ID: This is not the id of an event of this stream."))
}

/// The number of the newest change here.
async fn head(node: &Node) -> Result<u64, StoreError> {
    let partitions = node.store().partitions().await?;
    Ok(partitions.iter().map(|state| state.head).max().unwrap_or(0))
}

/// One reader.
struct Feed {
    req: HttpRequest,
    app: Data<App>,
    notices: broadcast::Receiver<std::sync::Arc<Vec<Notice>>>,
    stopping: watch::Receiver<bool>,
    heartbeat: Interval,
    /// The number up to which everything is in `ready` or was sent.
    sent: u64,
    ready: VecDeque<Bytes>,
}

/// What happens next on a stream.
enum Turn {
    Committed(std::sync::Arc<Vec<Notice>>),
    Missed,
    Heartbeat,
    End,
}

impl Feed {
    /// The next bytes; `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let turn = tokio::select! {
                notice = self.notices.recv() => match notice {
                    Ok(notices) => Turn::Committed(notices),
                    Err(RecvError::Lagged(_)) => Turn::Missed,
                    Err(RecvError::Closed) => Turn::End,
                },
                _ = self.heartbeat.tick() => Turn::Heartbeat,
                _ = self.stopping.wait_for(|stopping| *stopping) => Turn::End,
            };
            let done = match turn {
                Turn::Committed(notices) => self.tell(&notices).await,
                Turn::Missed => self.catch_up().await,
                Turn::Heartbeat => {
                    self.ready.push_back(Bytes::from_static(b":\n\n"));
                    // a token may be revoked and a person disabled while they listen
                    match Caller::of(&self.req).await {
                        Ok(caller) if caller.may(Operation::See).is_ok() => Ok(()),
                        _ => return None,
                    }
                }
                Turn::End => return None,
            };
            if let Err(err) = done {
                // the reader comes back with the id of the last event it got
                tracing::warn!("a stream of events ends: {err}");
                return None;
            }
        }
    }

    async fn tell(&mut self, notices: &[Notice]) -> Result<(), StoreError> {
        let (before, mut told) = (self.sent, self.sent);
        for notice in notices.iter().filter(|notice| notice.seq > before) {
            told = told.max(notice.seq);
            self.push(notice.seq, &notice.type_name, notice.id).await?;
        }
        self.sent = told;
        Ok(())
    }

    /// Tells what changed since the last event, from the store.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let store = self.app.node.store().clone();
        let partitions = store.partitions().await?;
        let head = partitions.iter().map(|state| state.head).max().unwrap_or(0);
        let mut missed = Vec::new();
        // an id above all numbers is one of another life of this database
        let mut too_much = self.sent > head;
        for state in partitions.iter().filter(|state| state.head > self.sent) {
            let mut after = self.sent;
            while !too_much {
                let page = store.changes(&state.partition, self.sent, after, PAGE_BYTES).await?;
                // what came after the head will be noticed
                let rows = page.rows.into_iter().filter(|row| row.seq > self.sent && row.seq <= head);
                missed.extend(rows.map(|row| (row.seq, row.type_name, row.id)));
                too_much = missed.len() > MAX_MISSED;
                match page.next {
                    Some(next) if next > after => after = next,
                    _ => break,
                }
            }
        }
        self.sent = head;
        if too_much {
            self.ready.push_back(event(head, "reset", &json!({ "seq": head })));
            return Ok(());
        }
        missed.sort();
        for (seq, type_name, id) in missed {
            self.push(seq, &type_name, id).await?;
        }
        Ok(())
    }

    async fn push(&mut self, seq: u64, type_name: &TypeName, id: RecordId) -> Result<(), StoreError> {
        let bytes = match type_name.as_str() {
            // a publication comes with its type; people and what they may not do are nobody else's business
            TypeName::REVISION | TypeName::PERSON | TypeName::QUARANTINE => return Ok(()),
            TypeName::TYPE => {
                let held = self.app.node.store().record(type_name, id).await?;
                let name = held.as_ref().and_then(|held| held.document.value.get("name")?.as_str());
                let Some(name) = name else { return Ok(()) };
                event(seq, "type", &json!({ "type": name, "seq": seq }))
            }
            TypeName::LOST => event(seq, "conflict", &json!({ "id": id, "seq": seq })),
            _ => event(seq, "record", &json!({ "type": type_name, "id": id, "seq": seq })),
        };
        self.ready.push_back(bytes);
        Ok(())
    }
}

fn event(id: u64, name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("id: {id}\nevent: {name}\ndata: {data}\n\n"))
}
