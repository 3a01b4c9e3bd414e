//! Values that lost a merge.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::query::Decided;
use super::write::Who;
use super::{Problem, query, record_id, records, segment, time};
use crate::node::{Conflict, NodeError, Side};
use crate::web::App;

const STATES: [&str; 4] = ["open", "restored", "dismissed", "seen"];

/// `GET /conflicts`
pub async fn list(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let Decided { state, limit, cursor } = query::decided(req.query_string(), &STATES)?;
    let found = app.node.conflicts(&caller.actor, state.as_deref(), limit, cursor).await?;
    let who = Who::everywhere(&app).await;
    let items = found.items.iter().map(|conflict| shown(conflict, &who)).collect();
    Ok(super::json(&query::page(items, found.next.as_deref())))
}

/// `POST /conflicts/{id}/restore`: the record with the lost value in it again.
pub async fn restore(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let held = app.node.restore_conflict(&caller.actor, named(&req)?).await?;
    records::answer(&app, &held).await
}

/// `POST /conflicts/{id}/dismiss`
pub async fn dismiss(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let id = named(&req)?;
    app.node.dismiss_conflict(&caller.actor, id).await?;
    Ok(super::json(&json!({ "id": id, "state": "dismissed" })))
}

fn named(req: &HttpRequest) -> Result<Uuid, Problem> {
    Ok(record_id(segment(req, "id")).ok_or(NodeError::NotFound("lost value"))?)
}

fn shown(conflict: &Conflict, who: &Who) -> Value {
    let mut said = json!({
        "id": conflict.id,
        "type": conflict.type_name,
        "record": conflict.record,
        "pointer": conflict.pointer,
        "state": conflict.state.as_str(),
        "kept": side(&conflict.kept, who),
        "lost": side(&conflict.lost, who),
    });
    // only where the type says so
    if conflict.asks {
        said["ask"] = json!(true);
    }
    said
}

/// A place that was cleared has no member `value`: `null` is a value.
fn side(side: &Side, who: &Who) -> Value {
    let mut said = json!({});
    if let Some(value) = &side.value {
        said["value"] = value.clone();
    }
    said["at"] = json!(time::text(side.at));
    said["by"] = who.person(side.by);
    said["node"] = who.node(side.node);
    said
}
