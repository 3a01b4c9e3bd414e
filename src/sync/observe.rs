//! What is told of conversations to those who operate a node: figures, spans and lines in the log. Never what is in a
//! record.

use std::sync::Arc;
use std::time::Instant;

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::{Data, Query};
use serde::Deserialize;
use tracing::Instrument;

use super::hub::Hub;
use crate::domain::protocol::{Failure, Verdict};
use crate::domain::session::{Event, Step};
use crate::meter::Talk;

/// The step of a conversation, by its name in figures, and the partition that it is about.
pub(super) fn step(step: &Step) -> (&'static str, &str) {
    match step {
        Step::Hello => ("hello", ""),
        Step::Push { .. } => ("push", ""),
        Step::SetAside { .. } => ("set-aside", ""),
        Step::Forget(_) => ("forget", ""),
        Step::Pull { partition, .. } => ("pull", &partition.0),
        Step::List { partition, .. } => ("snapshot", &partition.0),
        Step::Copy { partition, .. } => ("chunks", &partition.0),
        Step::Renew => ("renew", ""),
        Step::Reconcile { partition, .. } => ("reconcile", &partition.0),
        Step::Compare => ("compare", ""),
        Step::Wait { .. } => ("wait", ""),
    }
}

fn outcome(failure: &Failure) -> &'static str {
    match failure {
        Failure::Unreachable(_) => "unreachable",
        Failure::Busy { .. } => "busy",
        Failure::Refused(_) | Failure::Revoked(_) => "refused",
        Failure::Twin(_)
        | Failure::ForeignEpoch
        | Failure::OutOfScope(_)
        | Failure::NoChunk(_)
        | Failure::Rejected(_) => "rejected",
        Failure::Faulty(_) | Failure::Local(_) => "failed",
    }
}

/// Saves were pushed, and this is what became of them.
pub(super) fn judged(talk: &Talk, verdicts: &[Verdict]) {
    for verdict in verdicts {
        let counter = match (&verdict.refused, &verdict.quarantined) {
            (Some(_), _) => &talk.saves_refused,
            (None, Some(_)) => &talk.saves_quarantined,
            (None, None) => &talk.saves_accepted,
        };
        counter.add(1);
    }
}

/// An edge has carried out a step.
pub(super) fn carried_out(talk: &Talk, step: &'static str, began: Instant, event: &Event) {
    let (mut how, mut rows, mut saves) = ("ok", 0, 0);
    match event {
        Event::Joined { rows: joined, .. } => rows = usize::try_from(*joined).unwrap_or(usize::MAX),
        Event::Copied { chunk, .. } => rows = usize::try_from(chunk.records).unwrap_or(usize::MAX),
        Event::Pushed { reply, .. } => {
            saves = reply.verdicts.len();
            judged(talk, &reply.verdicts);
        }
        Event::Failed { failure, .. } => how = outcome(failure),
        _ => {}
    }
    talk.rows.add(rows);
    talk.ended(step, how, began.elapsed());
    let took = began.elapsed();
    tracing::debug!(outcome = how, rows, saves, ?took, "carried out");
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    partition: String,
}

/// Counts and traces what a hub is asked.
pub(super) async fn asked(
    req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let began = Instant::now();
    let talk = req.app_data::<Data<Hub>>().map(|hub| hub.meter().clone());
    // these are asked for by their names
    let named = ["chunks", "blobs"].into_iter().find(|step| req.path().contains(&format!("/{step}/")));
    let step = named.unwrap_or_else(|| req.path().rsplit('/').next().unwrap_or_default()).to_owned();
    let span = tracing::debug_span!("asked", step, node = node(&req), partition = partition(&req));
    let header = |name: header::HeaderName| req.headers().get(name)?.to_str().ok()?.parse::<usize>().ok();
    let received = header(header::CONTENT_LENGTH).unwrap_or(0);
    async move {
        let answered = next.call(req).await;
        let (status, sent) = match &answered {
            Ok(response) => (response.status().as_u16(), response.response().body().size()),
            Err(err) => (err.as_response_error().status_code().as_u16(), BodySize::None),
        };
        let sent = if let BodySize::Sized(sent) = sent { usize::try_from(sent).unwrap_or(usize::MAX) } else { 0 };
        let how = match status {
            200..=299 => "ok",
            401 | 403 => "refused",
            400..=499 => "rejected",
            503 => "busy",
            _ => "failed",
        };
        if let Some(talk) = talk {
            talk.bytes_received.add(received);
            talk.bytes_sent.add(sent);
            talk.ended(&step, how, began.elapsed());
        }
        let took = began.elapsed();
        tracing::debug!(outcome = how, status, received, sent, ?took, "answered");
        answered
    }
    .instrument(span)
    .await
}

/// Who asks, as far as they say; the secret half of a credential is told to nobody.
fn node(req: &ServiceRequest) -> String {
    let credential = req.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let id = credential.and_then(|value| value.split_once("opn_")?.1.split_once('.')).map(|(id, _)| id);
    let id = id.and_then(|id| id.parse::<crate::domain::ids::NodeId>().ok());
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn partition(req: &ServiceRequest) -> String {
    Query::<About>::from_query(req.query_string()).map(|about| about.into_inner().partition).unwrap_or_default()
}

/// Counted as long as it is held.
pub(super) struct Listening(Arc<Talk>);

impl Listening {
    pub fn of(talk: &Arc<Talk>) -> Self {
        talk.listening.up();
        Self(talk.clone())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.down();
    }
}
