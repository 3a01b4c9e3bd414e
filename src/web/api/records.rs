//! Records: listed, made, read, changed, binned and brought back, and their history.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::caller::Caller;
use super::write::{self, Who};
use super::{Problem, body, created, matches_none, not_modified, query, record_id, segment, time};
use crate::domain::ids::RecordId;
use crate::domain::people::{Operation, authorise};
use crate::domain::record::EffectKind;
use crate::domain::record::hash::Hash;
use crate::node::{NodeError, Patch, etag};
use crate::store::{Held, HistoryLine};
use crate::web::App;
use crate::web::travel::Travel;

/// `GET /types/{type}/records`
pub async fn list(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let type_name = app.node.type_name(segment(&req, "type"))?;
    let query = query::records(type_name, req.query_string())?;
    let page = app.node.listed(&caller.actor, &query).await?;
    let mut out = Vec::with_capacity(64 + page.items.len() * 512);
    out.extend_from_slice(b"{\"items\":[");
    for (i, listed) in page.items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write::listed(&mut out, &app.node, listed);
    }
    out.extend_from_slice(b"],\"next\":");
    write::put(&mut out, &page.next);
    out.push(b'}');
    Ok(super::ok(out))
}

/// `POST /types/{type}/records`
pub async fn create(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let type_name = segment(&req, "type");
    let (id, data) = new_record(body::json_object(&req, payload).await?)?;
    let made = app.node.create_record(&caller.actor, type_name, id, data).await?;
    let text = text(&app, &made.held).await;
    let tag = etag(made.held.hash());
    let mut response = if made.is_new {
        created(&format!("/api/v1/types/{type_name}/records/{}", made.held.id), text)
    } else {
        super::ok(text)
    };
    put_tag(&mut response, &tag);
    Ok(response)
}

/// The id and the data of a new record. What a `GET` tells beside them may come back, and says nothing here.
fn new_record(members: Map<String, Value>) -> Result<(Option<RecordId>, Value), Problem> {
    const TOLD: [&str; 8] = ["type", "schema_version", "valid", "errors", "deleted", "updated_at", "fields", "reach"];
    let (mut id, mut data) = (None, None);
    for (name, value) in members {
        match (name.as_str(), value) {
            ("data", value) => data = Some(value),
            ("id", Value::Null) => {}
            ("id", Value::String(text)) if record_id(&text).is_some() => id = record_id(&text),
            ("id", _) => {
                let message = "An id is a UUID, for example 01997f0e-6c5a-7b31-9a59-2f1f0a3c9d11.";
                return Err(Problem::member("/id", "format", message));
            }
            (told, _) if TOLD.contains(&told) => {}
            _ => return Err(super::unknown_member(&name, "id and data")),
        }
    }
    let data = data.ok_or_else(|| Problem::member("/data", "required", "Give the record as data."))?;
    Ok((id, data))
}

/// `GET /types/{type}/records/{id}`
pub async fn show(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (type_name, id) = named(&req)?;
    let held = app.node.record(&caller.actor, type_name, id).await?;
    let tag = etag(held.hash());
    if !matches_none(&req, &tag) {
        return Ok(not_modified(&tag));
    }
    let mut response = super::ok(text(&app, &held).await);
    put_tag(&mut response, &tag);
    Ok(response)
}

/// `PATCH /types/{type}/records/{id}`
pub async fn patch(
    req: HttpRequest,
    app: Data<App>,
    caller: Caller,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (type_name, id) = named(&req)?;
    let patch = match body::media_type(&req).as_str() {
        body::MERGE_PATCH => Patch::Merge,
        body::JSON_PATCH => Patch::Json,
        _ => {
            let detail =
                "A change is application/merge-patch+json (RFC 7396) or application/json-patch+json (RFC 6902).";
            let accepted = format!("{}, {}", body::MERGE_PATCH, body::JSON_PATCH);
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
                .with_header(header::HeaderName::from_static("accept-patch"), accepted));
        }
    };
    let patch = patch(body::parse(&body::read(&req, payload).await?)?);
    let expected = expected(&req, &app, &caller, type_name, id).await?;
    let held = app.node.patch_record(&caller.actor, type_name, id, expected, patch).await?;
    answer(&app, &held).await
}

/// `DELETE /types/{type}/records/{id}`: to the bin; with `purge=true` from there for good.
pub async fn bin(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    if req.query_string().split('&').any(|parameter| parameter == "purge=true") {
        return purge(&req, &app, &caller).await;
    }
    set_binned(&req, &app, &caller, true).await
}

/// 204 if it is gone, 202 with the record as long as some node has not heard that it is in the bin.
async fn purge(req: &HttpRequest, app: &App, caller: &Caller) -> Result<HttpResponse, Problem> {
    let (type_name, id) = named(req)?;
    let held = app.node.record(&caller.actor, type_name, id).await?;
    if expected(req, app, caller, type_name, id).await?.is_some_and(|hash| hash != held.hash()) {
        return Err(NodeError::Changed(Box::new(held)).into());
    }
    app.node.delete_for_good(&caller.actor, type_name, id).await?;
    if let Some(nodes) = &app.nodes {
        nodes.forget().await?;
    }
    match app.node.record(&caller.actor, type_name, id).await {
        Err(NodeError::NotFound(_)) => Ok(HttpResponse::NoContent().finish()),
        found => {
            let mut response = answer(app, &found?).await?;
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
    }
}

/// `POST /types/{type}/records/{id}/restore`
pub async fn restore(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    set_binned(&req, &app, &caller, false).await
}

async fn set_binned(req: &HttpRequest, app: &App, caller: &Caller, binned: bool) -> Result<HttpResponse, Problem> {
    let (type_name, id) = named(req)?;
    let expected = expected(req, app, caller, type_name, id).await?;
    let held = app.node.bin_record(&caller.actor, type_name, id, expected, binned).await?;
    answer(app, &held).await
}

/// `GET /types/{type}/records/{id}/history`, newest first
pub async fn history(req: HttpRequest, app: Data<App>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (type_name, id) = named(&req)?;
    let held = app.node.record(&caller.actor, type_name, id).await?;
    let lines = app.node.history(&caller.actor, type_name, id).await?;
    let who = Who::everywhere(&app).await;
    let mut items: Vec<Value> = lines.iter().map(|line| change(line, &who)).collect();
    if let Some(made) = &held.state.root.write {
        let mut said = json!({ "pointer": "", "act": "created" });
        if let Some(new) = app.node.made_from(&held, &lines) {
            said["new"] = new;
        }
        said["at"] = json!(time::text(made.stamp.time.millis()));
        said["by"] = who.person(made.stamp.author.person);
        said["node"] = who.node(made.stamp.author.node);
        items.push(said);
    }
    Ok(super::json(&query::page(items, None)))
}

/// A value that was not there has no member: `null` is a value.
fn change(line: &HistoryLine, who: &Who) -> Value {
    let act = match line.act {
        EffectKind::Changed => "changed",
        EffectKind::Overruled => "overruled",
        EffectKind::Moved => "moved",
        EffectKind::Binned => "binned",
        EffectKind::Restored => "restored",
        EffectKind::Denied => "denied",
    };
    let mut said = json!({ "pointer": line.path.to_string(), "act": act });
    if let Some(old) = &line.old {
        said["old"] = old.clone();
    }
    if let Some(new) = &line.new {
        said["new"] = new.clone();
    }
    said["at"] = json!(time::text(line.stamp.time.millis()));
    said["by"] = who.person(line.stamp.author.person);
    said["node"] = who.node(line.stamp.author.node);
    said["seen_at"] = json!(time::text(line.seen_at));
    said["seq"] = json!(line.seq);
    said
}

/// A record as the answer to a request.
pub async fn answer(app: &App, held: &Held) -> Result<HttpResponse, Problem> {
    let mut response = super::ok(text(app, held).await);
    put_tag(&mut response, &etag(held.hash()));
    Ok(response)
}

async fn text(app: &App, held: &Held) -> Vec<u8> {
    let who = Who::of(app, held).await;
    let mut out = Vec::with_capacity(2048);
    write::record(&mut out, &app.node, held, Some(&who));
    // how far it has come is no part of the version, and told to whoever reads the whole
    match Travel::of(app, std::slice::from_ref(held), Duration::ZERO).await {
        Ok(travel) => {
            if let Some(reach) = travel.json(held) {
                out.truncate(out.len() - 1);
                out.extend_from_slice(b",\"reach\":");
                write::put(&mut out, &reach);
                out.push(b'}');
            }
        }
        // the record is well all the same
        Err(err) => tracing::warn!("how far a record has come cannot be told: {err}"),
    }
    out
}

fn put_tag(response: &mut HttpResponse, tag: &str) {
    if let Ok(value) = header::HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, value);
        response.headers_mut().insert(header::CACHE_CONTROL, super::REVALIDATE);
    }
}

/// The record an address names. What is no UUID names none.
fn named(req: &HttpRequest) -> Result<(&str, RecordId), Problem> {
    let id = record_id(segment(req, "id")).ok_or(NodeError::NotFound("record"))?;
    Ok((segment(req, "type"), id))
}

/// The version that `If-Match` asks for: none without it, and none for `*`, which only asks that the record is here.
/// Tags that no version has are answered at once.
async fn expected(
    req: &HttpRequest,
    app: &App,
    caller: &Caller,
    type_name: &str,
    id: Uuid,
) -> Result<Option<Hash>, Problem> {
    let mut tags = super::tags(req, &header::IF_MATCH).peekable();
    if tags.peek().is_none() {
        return Ok(None);
    }
    let held = app.node.record(&caller.actor, type_name, id).await?;
    authorise(&caller.actor, Operation::Edit, Some((&held.type_name, id)), &[])?;
    let hash = held.hash();
    let tag = etag(hash);
    for given in tags {
        if given == "*" {
            return Ok(None);
        }
        if given == tag {
            return Ok(Some(hash));
        }
    }
    Err(NodeError::Changed(Box::new(held)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_record_says_its_data_and_perhaps_its_id() {
        let read = |value: Value| new_record(value.as_object().expect("an object").clone());
        let id = "01997f0e-6c5a-7b31-9a59-2f1f0a3c9d11";
        let (found, data) = read(json!({ "id": id, "data": { "a": 1 }, "valid": true })).expect("a new record");
        assert_eq!((found.map(|id| id.to_string()), data), (Some(id.to_owned()), json!({ "a": 1 })));
        assert_eq!(read(json!({ "data": null })).expect("it is judged later").1, Value::Null);
        for bad in [
            json!({}),
            json!({ "id": id }),
            json!({ "data": {}, "dat": {} }),
            json!({ "data": {}, "id": 7 }),
            json!({ "data": {}, "id": "7" }),
            json!({ "data": {}, "id": format!("{{{id}}}") }),
            json!({ "data": {}, "id": id.replace('-', "") }),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
