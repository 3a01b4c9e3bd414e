//! Saves that the hub may not accept.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::query::Decided;
use super::write::Who;
use super::{Problem, body, query, record_id, segment, time};
use crate::domain::people::Operation;
use crate::node::{NodeError, Quarantined};
use crate::web::App;

const STATES: [&str; 3] = ["open", "admitted", "returned"];

/// `GET /quarantine`
pub async fn list(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let Decided { state, limit, cursor } = query::decided(req.query_string(), &STATES)?;
    let found = app.node.quarantine(&caller.actor, state.as_deref(), limit, cursor).await?;
    let who = Who::everywhere(&app).await;
    let items = found.items.iter().map(|entry| shown(entry, &who)).collect();
    Ok(super::json(&query::page(items, found.next.as_deref())))
}

/// `GET /quarantine/{id}`: with the save as it was made.
pub async fn show(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let entry = app.node.quarantined(&caller.actor, named(&req)?).await?;
    Ok(super::json(&whole(&entry, &Who::everywhere(&app).await)))
}

/// `POST /quarantine/{id}/admit`
pub async fn admit(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Administer)?;
    let entry = app.node.admit(&caller.actor, named(&req)?).await?;
    Ok(super::json(&shown(&entry, &Who::everywhere(&app).await)))
}

/// `POST /quarantine/{id}/return`
pub async fn send_back(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    caller.may(Operation::Administer)?;
    let id = named(&req)?;
    let mut reason = String::new();
    for (member, value) in body::json_object(&req, payload).await? {
        match (member.as_str(), value) {
            ("reason", Value::String(text)) => reason = text,
            ("reason", _) => return Err(Problem::member("/reason", "type", "The reason is a text.")),
            _ => return Err(super::unknown_member(&member, "reason")),
        }
    }
    let entry = app.node.send_back(&caller.actor, id, &reason).await?;
    Ok(super::json(&shown(&entry, &Who::everywhere(&app).await)))
}

fn named(req: &HttpRequest) -> Result<Uuid, Problem> {
    Ok(record_id(segment(req, "id")).ok_or(NodeError::NotFound("save in quarantine"))?)
}

/// The entry with the save in it, for taking it elsewhere.
pub fn whole(entry: &Quarantined, who: &Who) -> Value {
    let mut said = shown(entry, who);
    if let Some(save) = &entry.content {
        said["content"] = serde_json::to_value(save).expect("a save is plain data");
    }
    said
}

fn shown(entry: &Quarantined, who: &Who) -> Value {
    let changes = entry.changes.iter().map(|change| {
        let mut said = json!({ "pointer": change.path.to_string(), "act": change.act.as_str() });
        // a place without a value has no member: `null` is a value
        for (name, value) in [("denied", &change.denied), ("stands", &change.stands)] {
            if let Some(value) = value {
                said[name] = value.clone();
            }
        }
        said
    });
    let waiting = entry.waiting.iter().map(|save| {
        json!({ "save": save.save, "by": who.person(save.person), "node": who.node(save.node), "at": time::text(save.at) })
    });
    json!({
        "id": entry.id,
        "type": entry.type_name,
        "record": entry.record,
        "save": entry.save,
        "state": entry.state.as_str(),
        "reason": entry.reason,
        "creates": entry.creates,
        "by": who.person(entry.person),
        "node": who.node(entry.node),
        "via": who.node(entry.via),
        "at": time::text(entry.at),
        "received": time::text(entry.received),
        "decision": entry.decision.as_ref().map(|decision| json!({
            "by": who.person(decision.by),
            "at": time::text(decision.at),
            "word": decision.word,
        })),
        "changes": changes.collect::<Vec<_>>(),
        "waiting": waiting.collect::<Vec<_>>(),
    })
}
